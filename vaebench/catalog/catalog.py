"""The catalog in memory: parts, data sets, views, metrics, recipes, budgets and variants, read from its YAML files."""

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vaebench.catalog.consistency import contradictions
from vaebench.catalog.library import Library, library_from
from vaebench.catalog.parameters import Parameter
from vaebench.catalog.yaml_files import contents

FOLDER = Path(__file__).resolve().parent

KINDS = ("network", "likelihood", "posterior", "prior", "objective")
"""The kinds of part that a variant is composed of, beside the size of its latent code and its way to generate."""


class CatalogError(Exception):
    """The catalog contradicts itself: a fault of vaebench, never of its user."""


@dataclass(frozen=True)
class Part:
    """One choice that a variant can make: a network, a likelihood, a posterior, a prior or an objective."""

    kind: str
    name: str
    title: str
    equation: str = ""
    equation_when: dict[str, dict[Any, str]] = field(default_factory=dict)
    """Parameter → value → the equation that stands in for it, where that value changes what is computed."""
    implementation: str | None = None
    """`module:object`; None where there is nothing to run."""
    views: tuple[str, ...] | None = None
    """Views on which it is right; None: all of them."""
    by_view: dict[str, str] | None = None
    """View → the part that stands in for this one; only `default` has it."""
    parameters: dict[str, Parameter] = field(default_factory=dict)
    requires: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Kind → the names that it works with."""
    checks: tuple[str, ...] = ()
    """Further conditions on a composition, by name (vaebench.suite.expansion.CHECKS)."""
    fitted: bool = False
    """Fitted without gradients."""
    least_batch: int | None = None
    """Images that a step needs, where one is not enough."""
    has: tuple[str, ...] | None = None
    """Of a posterior: which of `consistency.NEEDS` its codes have; None: nobody knows before a model is trained."""
    measure: str | None = None
    """Of a likelihood whose numbers are on another measure than the view's, such as the masses of grey levels."""

    def equation_of(self, chosen: dict[str, Any]) -> str:
        """The equation of the part with its parameters as they are chosen."""
        standing = (by_value.get(chosen.get(name)) for name, by_value in self.equation_when.items())
        return next(filter(None, standing), self.equation)


@dataclass(frozen=True)
class Dataset:
    name: str
    title: str
    implementation: str
    pixels: int
    splits: dict[str, int]
    """Split → number of images."""
    views: tuple[str, ...]
    side: int | None = None
    """Width and height of an image; None where x is no image."""
    levels: int | None = None
    """Number of grey levels, L; None where values are real."""
    classes: int | None = None
    """Number of labels; None where there are none."""
    latents: int | None = None
    """Dimensions of the true code, where it is known."""


@dataclass(frozen=True)
class View:
    name: str
    title: str
    measure: str
    """`counting`, `density` or `levels`: numbers on different measures never share a ranking."""
    rank_by: str | None = None
    """Metric that ranks a leaderboard of this view unless the suite says otherwise; None: it is not ranked."""
    ranked_as: str | None = None
    """View whose entry in a suite's `rank_by` covers this one too."""


@dataclass(frozen=True)
class MetricPart:
    """One column of a leaderboard."""

    title: str
    unit: str
    better: str
    """`higher`, `lower`, `one` (the ratio nearest 1) or `none`."""
    needs: str = ""
    """Like its family's, beyond it."""


@dataclass(frozen=True)
class Metric:
    """A family of numbers that one evaluator answers together."""

    name: str
    title: str
    equation: str
    unit: str
    better: str
    head: bool
    """The bare name is a number of its own."""
    implementation: str
    parts: dict[str, MetricPart] = field(default_factory=dict)
    """The numbers after the dot."""
    parameters: dict[str, Parameter] = field(default_factory=dict)
    """The protocol: everything about the evaluation that moves the number."""
    effort: tuple[str, ...] = ()
    """Parameters with whose product its time grows, when they are large."""
    density: bool = False
    """A log density on grey pixels, so the floor of σ is part of its protocol."""
    likelihood: bool = False
    """Says how probable images are, so it is another quantity where the model is given the label."""
    labels: bool = False
    images: bool = False
    generates: bool = False
    """Looks at generated images, so the variant's way to generate is part of its protocol."""
    cost: bool = False
    needs: str = ""
    """What q(z|x) must have, one of `consistency.NEEDS`; empty: any q will do."""
    unconditional: bool = False
    """Means nothing where the model is given the label."""
    group: str = ""
    """With which others a report shows it: one of `consistency.GROUPS`, or none of them."""
    estimator: str = ""
    """How the number is computed."""
    bias: str = ""
    """How the estimate differs from the quantity in expectation."""
    caps: str = ""
    """What bounds the number whatever the model."""
    test: str = ""
    """`path::name` of the test that holds it against an analytic truth."""
    views: tuple[str, ...] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Full names of its numbers: `sharpness.mean`, …, and the bare name where that is one."""
        head = (self.name,) if self.head else ()
        return head + tuple(f"{self.name}.{part}" for part in self.parts)

    def column(self, name: str) -> MetricPart:
        """Title, unit and direction of one of its `columns`."""
        if name == self.name and self.head:
            return MetricPart(self.title, self.unit, self.better, self.needs)
        return self.parts[name.removeprefix(f"{self.name}.")]


@dataclass(frozen=True)
class Profile:
    """A named pair of recipe (training) and budget (evaluation)."""

    name: str
    title: str
    recipe: str
    budget: str


@dataclass(frozen=True)
class VariantEntry:
    """A variant as the catalog writes it: what it extends and what it changes."""

    name: str
    mapping: dict[str, Any]

    @property
    def extends(self) -> str | None:
        return self.mapping.get("extends")

    @property
    def title(self) -> str:
        return self.mapping["title"]

    @property
    def stance(self) -> str:
        return self.mapping["stance"]


@dataclass(frozen=True)
class Practice:
    """A public project that does what a variant, or a printed number, does."""

    project: str
    file: str
    commit: str
    """The version that was read."""
    computes: str


@dataclass(frozen=True)
class Catalog:
    parts: dict[str, dict[str, Part]]
    """Kind → name → part."""
    scalars: dict[str, Parameter]
    """latent, conditional and trainer: choices that are one value each."""
    generation: dict[str, Parameter]
    datasets: dict[str, Dataset]
    views: dict[str, View]
    recipe_parameters: dict[str, Parameter]
    recipes: dict[str, dict[str, Any]]
    """Name → every recipe parameter."""
    recipe_titles: dict[str, str]
    budgets: dict[str, dict[str, dict[str, Any]]]
    """Name → metric → every parameter of its protocol."""
    budget_titles: dict[str, str]
    profiles: dict[str, Profile]
    metrics: dict[str, Metric]
    variants: dict[str, VariantEntry]
    practised: dict[str, tuple[Practice, ...]]
    """Variant, metric, or choice of generation or recipe → who does it."""
    libraries: dict[str, Library]
    """Whose models are scored here, and who can train in place of vaebench."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Every data set view in one word: `digits/binary`, …"""
        return tuple(f"{dataset.name}/{view}" for dataset in self.datasets.values() for view in dataset.views)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(column for metric in self.metrics.values() for column in metric.columns)

    def metric_of(self, column: str) -> Metric:
        """The family that `column` (`sharpness.mean`, or a family's own name) belongs to; KeyError if there is none."""
        metric = self.metrics[column.partition(".")[0]]
        if column != metric.name and column not in metric.columns:
            raise KeyError(column)
        return metric

    def column(self, name: str) -> MetricPart:
        """Title, unit and direction of a column."""
        return self.metric_of(name).column(name)

    def parameters_of(self, kind: str, name: str) -> dict[str, Parameter]:
        """The parameters that may be given with a part; for `default`, those of every part that may stand in for it."""
        part = self.parts[kind][name]
        if part.by_view is None:
            return part.parameters
        stand_ins = [self.parts[kind][target] for target in dict.fromkeys(part.by_view.values())]
        return {name: parameter for stand_in in stand_ins for name, parameter in stand_in.parameters.items()}


_joined: Catalog | None = None
"""The packaged catalog with what plugins have brought to this process (vaebench.plugins.loading)."""


def load_catalog() -> Catalog:
    """The catalog of this process: the packaged one, and with it what plugins have brought."""
    return _joined or packaged_catalog()


def adopt(catalog: Catalog) -> None:
    """Let `catalog` be that of this process."""
    global _joined
    _joined = catalog


@functools.lru_cache(maxsize=1)
def packaged_catalog() -> Catalog:
    """Read and check the packaged catalog, once a process."""
    catalog = read_catalog(FOLDER)
    found = contradictions(catalog)
    if found:
        raise CatalogError("the catalog contradicts itself:\n" + "\n".join(found))
    return catalog


def read_catalog(folder: Path) -> Catalog:
    """Read a catalog's YAML files; a key that no field has is a TypeError."""
    files = contents(folder)
    composition = files["composition.yaml"]
    recipes = files["recipes.yaml"]
    recipe_parameters = _parameters(recipes["parameters"])
    metrics = {name: as_metric(name, entry) for name, entry in files["metrics.yaml"].items()}
    budgets = files["budgets.yaml"]
    return Catalog(
        parts={kind: _parts(kind, files[f"parts/{kind}s.yaml"]) for kind in KINDS},
        scalars={name: _parameter(name, entry) for name, entry in composition.items() if name != "generation"},
        generation=_parameters(composition["generation"]),
        datasets={name: as_dataset(name, entry) for name, entry in files["datasets.yaml"].items()},
        views={name: View(name=name, **entry) for name, entry in files["views.yaml"].items()},
        recipe_parameters=recipe_parameters,
        recipes={name: _recipe(recipe_parameters, entry) for name, entry in recipes["recipes"].items()},
        recipe_titles={name: entry["title"] for name, entry in recipes["recipes"].items()},
        budgets={name: _budget(metrics, entry) for name, entry in budgets.items()},
        budget_titles={name: entry["title"] for name, entry in budgets.items()},
        profiles={name: Profile(name=name, **entry) for name, entry in files["profiles.yaml"].items()},
        metrics=metrics,
        variants=_variants({name: read for name, read in files.items() if name.startswith("variants/")}),
        practised={
            name: tuple(Practice(**entry) for entry in entries) for name, entries in files["practised.yaml"].items()
        },
        libraries={name: library_from(name, entry) for name, entry in files["libraries.yaml"].items()},
    )


def _parameters(entries: dict[str, Any] | None) -> dict[str, Parameter]:
    return {name: _parameter(name, entry) for name, entry in (entries or {}).items()}


def _parameter(name: str, entry: dict[str, Any]) -> Parameter:
    parameter = Parameter(name=name, **{**entry, "choices": tuple(entry.get("choices", ()))})
    return Parameter(**{**parameter.__dict__, "default": parameter.normal(parameter.default)})


def _parts(kind: str, entries: dict[str, Any]) -> dict[str, Part]:
    return {name: as_part(kind, name, entry) for name, entry in entries.items()}


def as_part(kind: str, name: str, entry: dict[str, Any]) -> Part:
    """The part that an entry of parts/*.yaml describes."""
    converted = {
        "views": _optional_tuple(entry.get("views")),
        "parameters": _parameters(entry.get("parameters")),
        "requires": {other: tuple(names) for other, names in entry.get("requires", {}).items()},
        "checks": tuple(entry.get("checks", ())),
        "has": _optional_tuple(entry.get("has")),
    }
    return Part(kind=kind, name=name, **{**entry, **converted})


def as_dataset(name: str, entry: dict[str, Any]) -> Dataset:
    """The data set that an entry of datasets.yaml describes."""
    return Dataset(name=name, **{**entry, "views": tuple(entry["views"])})


def as_metric(name: str, entry: dict[str, Any]) -> Metric:
    """The metric that an entry of metrics.yaml describes."""
    converted = {
        "views": _optional_tuple(entry.get("views")),
        "parameters": _parameters(entry.get("parameters")),
        "parts": {part: MetricPart(**content) for part, content in entry.get("parts", {}).items()},
        "effort": tuple(entry.get("effort", ())),
    }
    return Metric(name=name, **{"head": False, **entry, **converted})


def _recipe(parameters: dict[str, Parameter], entry: dict[str, Any]) -> dict[str, Any]:
    changes = {name: value for name, value in entry.items() if name != "title"}
    return complete(parameters, changes)


def _budget(metrics: dict[str, Metric], entry: dict[str, Any]) -> dict[str, dict[str, Any]]:
    unknown = set(entry) - set(metrics) - {"title"}
    if unknown:
        raise CatalogError(f"budgets.yaml names no metric of the catalog: {', '.join(sorted(unknown))}")
    return {name: complete(metric.parameters, entry.get(name, {})) for name, metric in metrics.items()}


def complete(parameters: dict[str, Parameter], changes: dict[str, Any]) -> dict[str, Any]:
    """Every parameter written out: the defaults, and `changes` over them; but not those that are better left unsaid."""
    given = {name: parameters[name].normal(value) for name, value in changes.items() if name in parameters}
    unknown = {name: value for name, value in changes.items() if name not in parameters}
    every = {**{name: parameter.default for name, parameter in parameters.items()}, **given}
    said = {
        name: value
        for name, value in every.items()
        if not (parameters[name].unsaid and value == parameters[name].default)
    }
    return {**said, **unknown}


def _variants(files: dict[str, Any]) -> dict[str, VariantEntry]:
    """The VAE's own file first, the others by their names."""
    found: dict[str, VariantEntry] = {}
    for path, entries in sorted(files.items(), key=lambda file: (not file[0].endswith("/vae.yaml"), file[0])):
        for name, mapping in entries.items():
            if name in found:
                raise CatalogError(f"{path}: variant {name!r} stands in another file too")
            found[name] = VariantEntry(name, mapping)
    return found


def _optional_tuple(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)
