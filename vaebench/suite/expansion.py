"""From a suite to its cells: every data set view × variant × seed that can be."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vaebench.catalog.catalog import KINDS, Catalog, Dataset, Metric, complete, load_catalog
from vaebench.catalog.consistency import NEEDS
from vaebench.store.cell import Cell
from vaebench.store.record import MetricRequest
from vaebench.suite.suite import Suite, Variant
from vaebench.suite.trainers import trainer_obstacle


@dataclass(frozen=True)
class Planned:
    """A cell that the suite asks for, under the name of the variant that asks."""

    variant: str
    cell: Cell


@dataclass(frozen=True)
class Impossible:
    """A variant on a data set view that it cannot be trained on."""

    variant: str
    source: str
    reason: str


@dataclass(frozen=True)
class Expansion:
    """Ordered by data set, variant, seed."""

    planned: tuple[Planned, ...]
    impossible: tuple[Impossible, ...]


def expand(suite: Suite) -> Expansion:
    """All cells of `suite`. What a cell is depends on nothing else in the suite, so its id stays when others join."""
    catalog = load_catalog()
    planned: list[Planned] = []
    impossible: list[Impossible] = []
    for source in suite.datasets:
        dataset, _, view = source.partition("/")
        for variant in suite.variants:
            if variant.on is not None and source not in variant.on:
                continue
            composition = compose(variant, source, catalog)
            if isinstance(composition, Impossible):
                impossible.append(composition)
                continue
            cells = (Cell(dataset, view, composition, suite.recipe, seed) for seed in suite.seeds)
            planned += [Planned(variant.name, cell) for cell in cells]
    return Expansion(tuple(planned), tuple(impossible))


def compose(variant: Variant, source: str, catalog: Catalog) -> dict[str, Any] | Impossible:
    """The variant's composition on a data set view, with the view's own likelihood in place of `default`, and the grey
    levels of the data set where a likelihood asks for them and the variant names none."""
    dataset_name, _, view = source.partition("/")
    composition = copy.deepcopy(variant.composition)
    stand_ins = catalog.parts["likelihood"][composition["likelihood"]["name"]].by_view
    if stand_ins is not None:
        if view not in stand_ins:
            return Impossible(variant.name, source, f"the view {view} has no default likelihood")
        composition["likelihood"] = _stand_in(composition["likelihood"], stand_ins[view], catalog)
    if composition["likelihood"].get("levels", 0) is None:
        composition["likelihood"]["levels"] = catalog.datasets[dataset_name].levels
    reason = _obstacle(composition, view, catalog.datasets[dataset_name], catalog)
    reason = reason or trainer_obstacle(composition, view, catalog)
    return composition if reason is None else Impossible(variant.name, source, reason)


def requests(suite: Suite, planned: Planned) -> list[MetricRequest]:
    """What the planned cell is asked: one request for each metric family that is wanted and applies to it."""
    catalog = load_catalog()
    variant = suite.variant(planned.variant)
    families = [catalog.metrics[name] for name in suite.families]
    applicable = [metric for metric in families if not_applicable(metric.name, variant, planned.cell.source) is None]
    return [
        MetricRequest(metric.name, _protocol(metric, suite.budget[metric.name], variant, planned.cell))
        for metric in applicable
    ]


def not_applicable(metric: str, variant: Variant | None, source: str) -> str | None:
    """Why a metric (a family or a column) says nothing about a variant on a data set view; None where it does.

    Without a variant: why it says nothing about any variant there.
    """
    catalog = load_catalog()
    family = catalog.metric_of(metric)
    dataset_name, _, view = source.partition("/")
    dataset = catalog.datasets[dataset_name]
    if family.views is not None and view not in family.views:
        return f"{family.name} is defined on the views {_listed(family.views)}"
    if family.labels and dataset.classes is None:
        return f"{family.name} needs labels, {dataset.name} has none"
    if family.images and dataset.side is None:
        return f"{family.name} needs images, those of {dataset.name} have no width and height"
    if family.unconditional and variant is not None and variant.composition["conditional"]:
        return f"{family.name} says nothing of a model that is given the label"
    return None


def declined(metric: str, variant: Variant) -> str | None:
    """Why a metric (a family or a column) has no number of any model of the variant, as far as its posterior tells
    before one is trained; None where it has one, or nobody knows yet."""
    catalog = load_catalog()
    family = catalog.metric_of(metric)
    has = catalog.parts["posterior"][variant.composition["posterior"]["name"]].has
    part = "" if metric == family.name else family.column(metric).needs
    missing = [] if has is None else [need for need in (family.needs, part) if need and need not in has]
    return NEEDS[missing[0]] if missing else None


def _stand_in(likelihood: dict[str, Any], name: str, catalog: Catalog) -> dict[str, Any]:
    """The part `name` with its defaults, and over them what was given with `default` and exists there."""
    parameters = catalog.parts["likelihood"][name].parameters
    given = {key: value for key, value in likelihood.items() if key in parameters}
    return {"name": name, **copy.deepcopy(complete(parameters, given))}


def _obstacle(composition: dict[str, Any], view: str, dataset: Dataset, catalog: Catalog) -> str | None:
    """Why these choices cannot stand together on this view; None if they can."""
    if composition["conditional"] and dataset.classes is None:
        return f"conditional needs labels, {dataset.name} has none"
    for kind in KINDS:
        part = catalog.parts[kind][composition[kind]["name"]]
        if part.views is not None and view not in part.views:
            return f"{kind} {part.name} is for the views {_listed(part.views)}"
        for other, names in part.requires.items():
            if composition[other]["name"] not in names:
                return f"{kind} {part.name} needs {other} {' or '.join(names)}, here it is {composition[other]['name']}"
        for check in part.checks:
            reason = CHECKS[check](composition, dataset)
            if reason is not None:
                return reason
    return None


def _protocol(metric: Metric, budget: dict[str, Any], variant: Variant, cell: Cell) -> dict[str, Any]:
    if metric.cost:
        return {}
    protocol = {**budget, "split": budget.get("split", "test"), "seed": 0}
    if metric.density and "sigma_floor" in cell.composition["likelihood"]:
        protocol["sigma_floor"] = cell.composition["likelihood"]["sigma_floor"]
    if metric.generates:
        protocol["generation_prior"] = variant.generation["prior"]
        protocol["generation_around"] = variant.generation["around"]
    return protocol


def _code_is_there(composition: dict[str, Any], dataset: Dataset) -> str | None:
    code, posterior = composition["objective"]["code"], composition["posterior"]["name"]
    if code == "category" and posterior not in ("joint", "categorical"):
        return f"code category needs a categorical code: posterior joint or categorical, here it is {posterior}"
    if code == "latents" and posterior != "diagonal-gaussian":
        return f"code latents needs posterior diagonal-gaussian, here it is {posterior}; use code category"
    return None


def _subcode_within_latent(composition: dict[str, Any], dataset: Dataset) -> str | None:
    if composition["objective"]["code"] != "latents":
        return None
    subcode, latent = composition["objective"]["subcode"], composition["latent"]
    if len(set(subcode)) < len(subcode):
        return f"subcode {subcode} names a latent twice"
    if max(subcode) >= latent:
        return f"subcode {subcode} must be among the {latent} latents 0…{latent - 1}"
    return None


DRAWS_WITHOUT_GRADIENT = {
    "bernoulli": "a Bernoulli draw has none",
    "discretised-logistic": "a draw of grey levels has none",
    "gaussian-optimal": "the optimal σ is not known before x is",
    **dict.fromkeys(
        ("gaussian-lowrank", "truncated-gaussian", "continuous-bernoulli", "bernoulli-unnormalised"),
        "here it must be μ(z) + σ(z) ε with one normal ε a pixel",
    ),
}
"""Likelihood → why an objective cannot move the model through its draws."""


def _draw_has_gradient(composition: dict[str, Any], dataset: Dataset) -> str | None:
    reason = DRAWS_WITHOUT_GRADIENT.get(composition["likelihood"]["name"])
    if composition["objective"]["q_input"] == "draw" and reason is not None:
        return f"q_input draw needs a draw with a gradient, and {reason}; use q_input mean"
    return None


def _latent_below_pixels(composition: dict[str, Any], dataset: Dataset) -> str | None:
    if composition["latent"] >= dataset.pixels:
        return f"latent must be below the {dataset.pixels} pixels of {dataset.name}, is {composition['latent']}"
    return None


def _aggregate_entropy_needs_encoder(composition: dict[str, Any], dataset: Dataset) -> str | None:
    if composition["objective"]["entropy"] == "aggregate" and composition["objective"]["source"] == "prior":
        return "entropy aggregate belongs to codes from the encoder; with source prior use entropy prior"
    return None


def _network_needs_images(composition: dict[str, Any], dataset: Dataset) -> str | None:
    if dataset.side is None:
        return (
            f"network {composition['network']['name']} needs images, those of {dataset.name} have no width and height"
        )
    return None


def _rank_below_pixels(composition: dict[str, Any], dataset: Dataset) -> str | None:
    rank = composition["likelihood"]["rank"]
    if rank >= dataset.pixels:
        return f"rank must be below the {dataset.pixels} pixels of {dataset.name}, is {rank}"
    return None


def _leave_one_out_needs_two(composition: dict[str, Any], dataset: Dataset) -> str | None:
    chosen = composition["objective"]
    if chosen["baseline"] == "leave-one-out" and chosen["samples"] < 2:
        return "baseline leave-one-out is the mean of an image's other draws; it needs samples of 2 at least"
    return None


def _kl_monte_carlo(composition: dict[str, Any], dataset: Dataset) -> str | None:
    if composition["objective"].get("kl") == "analytic":
        return f"{_pair(composition)} has no KL in closed form; use kl monte-carlo"
    return None


def _kl_analytic(composition: dict[str, Any], dataset: Dataset) -> str | None:
    if composition["objective"].get("kl") == "monte-carlo":
        return "a relaxed category has no density under the discrete model; use kl analytic"
    return None


def _two_categories(composition: dict[str, Any], dataset: Dataset) -> str | None:
    if composition["latent"] < 2:
        return f"a category needs at least 2 latents, one for each value, here latent is {composition['latent']}"
    return None


def _room_for_gaussian_latents(composition: dict[str, Any], dataset: Dataset) -> str | None:
    categories, latent = composition["posterior"]["categories"], composition["latent"]
    if categories >= latent:
        return f"latent must exceed the {categories} categories, the rest being Gaussian, is {latent}"
    return None


def _same_categories(composition: dict[str, Any], dataset: Dataset) -> str | None:
    posterior, prior = composition["posterior"]["categories"], composition["prior"].get("categories")
    if posterior != prior:
        return f"posterior and prior must have the same categories, have {posterior} and {prior}"
    return None


def _unconditional(composition: dict[str, Any], dataset: Dataset) -> str | None:
    if composition["conditional"]:
        return f"objective {composition['objective']['name']} has no conditional form"
    return None


def _bias_of_each_pixel(composition: dict[str, Any], dataset: Dataset) -> str | None:
    if composition["likelihood"].get("bias") == "train-mean" and composition["network"]["name"] == "conv":
        return "bias train-mean needs a last layer with a bias for every pixel; that of network conv has one for all"
    return None


def _log_variance_range(composition: dict[str, Any], dataset: Dataset) -> str | None:
    least, most = (composition["posterior"].get(f"{end}_log_variance") for end in ("least", "most"))
    if least is not None and most is not None and least >= most:
        return f"least_log_variance must be below most_log_variance, they are {least:g} and {most:g}"
    return None


def _pair(composition: dict[str, Any]) -> str:
    return f"posterior {composition['posterior']['name']} with prior {composition['prior']['name']}"


def _grey_targets_need_levels(composition: dict[str, Any], dataset: Dataset) -> str | None:
    if composition["objective"]["train_on"] == "grey" and dataset.levels is None:
        return f"train_on grey needs images with grey levels, {dataset.name} has none"
    return None


def _levels_of_the_data(composition: dict[str, Any], dataset: Dataset) -> str | None:
    levels = composition["likelihood"]["levels"]
    if dataset.levels is not None and levels != dataset.levels:
        return f"levels must be the {dataset.levels} grey levels of {dataset.name}, is {levels}"
    return None


def _unit_sigma(composition: dict[str, Any], dataset: Dataset) -> str | None:
    sigma = composition["likelihood"]["sigma"]
    if sigma != 1.0:
        return f"objective mean-reduction is a squared error, whose likelihood has sigma 1, here it is {sigma:g}"
    return None


def _sigma_of_one_draw(composition: dict[str, Any], dataset: Dataset) -> str | None:
    if composition["likelihood"]["name"] == "gaussian-optimal":
        return "likelihood gaussian-optimal has the σ that is best for the ELBO, not for the importance-weighted bound"
    return None


def _discrepancy_not_rewarded(composition: dict[str, Any], dataset: Dataset) -> str | None:
    alpha, weight = composition["objective"]["alpha"], composition["objective"]["lambda"]
    if alpha + weight < 1.0:
        return f"alpha + lambda must be at least 1, or the discrepancy is maximised; it is {alpha + weight:g}"
    return None


def _components_below_images(composition: dict[str, Any], dataset: Dataset) -> str | None:
    images = dataset.splits["train"]
    if composition["latent"] > images:
        return f"latent, the components, must be at most the {images} training images, is {composition['latent']}"
    return None


def _temperature_falls(composition: dict[str, Any], dataset: Dataset) -> str | None:
    first, last = composition["posterior"]["temperature"], composition["posterior"]["final_temperature"]
    if last > first:
        return f"final_temperature must be at most temperature, which is {first:g}, is {last:g}"
    return None


CHECKS: dict[str, Callable[[dict[str, Any], Dataset], str | None]] = {
    "code-is-there": _code_is_there,
    "subcode-within-latent": _subcode_within_latent,
    "draw-has-gradient": _draw_has_gradient,
    "aggregate-entropy-needs-encoder": _aggregate_entropy_needs_encoder,
    "latent-below-pixels": _latent_below_pixels,
    "rank-below-pixels": _rank_below_pixels,
    "leave-one-out-needs-two": _leave_one_out_needs_two,
    "network-needs-images": _network_needs_images,
    "kl-monte-carlo": _kl_monte_carlo,
    "kl-analytic": _kl_analytic,
    "two-categories": _two_categories,
    "room-for-gaussian-latents": _room_for_gaussian_latents,
    "same-categories": _same_categories,
    "unconditional": _unconditional,
    "bias-of-each-pixel": _bias_of_each_pixel,
    "log-variance-range": _log_variance_range,
    "grey-targets-need-levels": _grey_targets_need_levels,
    "levels-of-the-data": _levels_of_the_data,
    "unit-sigma": _unit_sigma,
    "sigma-of-one-draw": _sigma_of_one_draw,
    "discrepancy-not-rewarded": _discrepancy_not_rewarded,
    "components-below-images": _components_below_images,
    "temperature-falls": _temperature_falls,
}
"""Conditions that a part's `checks` in the catalog name: composition and data set → what is wrong, or None."""


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
