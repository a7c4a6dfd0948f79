"""One card for each variant: what it is, where it comes from and how it departs from there."""

from dataclasses import dataclass
from typing import Any

from vaebench.catalog.catalog import Practice, load_catalog
from vaebench.reporting.content import Code, Phrase
from vaebench.reporting.text import setting
from vaebench.suite.expansion import Impossible, compose, expand
from vaebench.suite.suite import Suite, Variant

WITH_EQUATION = ("objective", "likelihood", "posterior", "prior")


@dataclass(frozen=True)
class Choice:
    """One choice that a variant makes."""

    part: str
    """Such as `likelihood`, or `likelihood on grey` where the views decide it differently."""
    setting: str
    equation: str
    """Empty where the part has none."""


@dataclass(frozen=True)
class Card:
    """One variant."""

    name: str
    title: str
    stance: str
    extends: str
    """The variant that it changes; empty where it stands for itself."""
    source: str
    departs: str
    mended: str
    choices: list[Choice]
    """What it maximises and of which distributions."""
    others: list[Choice]
    """Network, size of the code, way to generate."""
    practised: list[Practice]
    """Public code that does the same."""
    shared: Phrase
    """`The models of ae, sampled in another way`; empty where no variant before it has the same."""


def cards(suite: Suite) -> list[Card]:
    models: dict[str, set[str]] = {variant.name: set() for variant in suite.variants}
    for planned in expand(suite).planned:
        models[planned.variant].add(planned.cell.id)
    return [_card(suite, variant, _shared(suite, variant, models)) for variant in suite.variants]


def _shared(suite: Suite, variant: Variant, models: dict[str, set[str]]) -> Phrase:
    """Two names of one model have the same pictures of it, which a reader should know."""
    names = [one.name for one in suite.variants]
    before = [name for name in names[: names.index(variant.name)] if models[name] & models[variant.name]]
    if not before:
        return Phrase()
    differs = variant.generation != suite.variant(before[0]).generation
    return Phrase("The models of ", Code(before[0]), ", sampled in another way" if differs else "", ".")


def _card(suite: Suite, variant: Variant, shared: Phrase) -> Card:
    parts = {**variant.composition, "generation": variant.generation}
    said_if_true = {"conditional"}
    others = [name for name in parts if name not in WITH_EQUATION and (name not in said_if_true or parts[name])]
    return Card(
        name=variant.name,
        title=variant.title,
        stance=variant.stance,
        extends=_changed_variant(variant),
        source=variant.source,
        departs=variant.departs,
        mended=variant.mended,
        choices=[choice for part in WITH_EQUATION for choice in _choices(suite, variant, part)],
        practised=list(load_catalog().practised.get(variant.name, ())),
        others=[Choice(name, setting(parts[name]), "") for name in others],
        shared=shared,
    )


def _changed_variant(variant: Variant) -> str:
    """What the variant extends; for one taken from the catalog as it is, what the catalog's extends."""
    if variant.extends not in (None, variant.name):
        return str(variant.extends)
    entry = load_catalog().variants.get(variant.name)
    return (entry.extends or "") if entry else ""


def _choices(suite: Suite, variant: Variant, kind: str) -> list[Choice]:
    """The part of one kind; one a view where the views decide it differently."""
    parts = load_catalog().parts[kind]
    by_setting: dict[str, tuple[str, dict[str, None]]] = {}
    for view, composition in _compositions(suite, variant):
        equation = parts[composition[kind]["name"]].equation_of(composition[kind])
        _, views = by_setting.setdefault(setting(composition[kind]), (equation, {}))
        views[view] = None
    labels = [kind if len(by_setting) == 1 else f"{kind} on {', '.join(views)}" for _, views in by_setting.values()]
    return [Choice(label, text, by_setting[text][0]) for label, text in zip(labels, by_setting, strict=True)]


def _compositions(suite: Suite, variant: Variant) -> list[tuple[str, dict[str, Any]]]:
    """(view, composition) for the data set views of the suite that the variant is trained on."""
    sources = [source for source in suite.datasets if variant.on is None or source in variant.on]
    composed = [(source.partition("/")[2], compose(variant, source, load_catalog())) for source in sources]
    return [(view, composition) for view, composition in composed if not isinstance(composition, Impossible)]
