"""One card for each variant: what it is, where it comes from and how it departs from there."""

from dataclasses import dataclass
from typing import Any

from vaebench.catalog.catalog import KINDS, load_catalog
from vaebench.reporting.text import setting
from vaebench.suite.expansion import Impossible, compose
from vaebench.suite.suite import Suite, Variant


@dataclass(frozen=True)
class Card:
    """One variant."""

    name: str
    title: str
    stance: str
    extends: str
    """Empty where it is the suite's own or stands for itself."""
    source: str
    departs: str
    mended: str
    composition: list[tuple[str, str]]
    """Choice and its setting, for every choice that makes the model, and how it generates."""
    equations: list[tuple[str, str]]
    """Kind of part and equation, the objective first."""


def cards(suite: Suite) -> list[Card]:
    return [_card(suite, variant) for variant in suite.variants]


def _card(suite: Suite, variant: Variant) -> Card:
    catalog = load_catalog()
    sources = [source for source in suite.datasets if variant.on is None or source in variant.on]
    composed = {source: compose(variant, source, catalog) for source in sources}
    compositions = {source: parts for source, parts in composed.items() if not isinstance(parts, Impossible)}
    parts = {**variant.composition, "generation": variant.generation}
    settings = [(part, setting(choice)) for part, choice in parts.items() if part != "likelihood"]
    likelihoods = _likelihoods(variant, compositions)
    names = {kind: dict.fromkeys(c[kind]["name"] for c in compositions.values()) for kind in KINDS}
    used = [
        catalog.parts[kind][name] for kind in ("objective", "likelihood", "posterior", "prior") for name in names[kind]
    ]
    return Card(
        name=variant.name,
        title=variant.title,
        stance=variant.stance,
        extends="" if variant.extends in (None, variant.name) else str(variant.extends),
        source=variant.source,
        departs=variant.departs,
        mended=variant.mended,
        composition=settings[:2] + likelihoods + settings[2:],
        equations=[(part.kind, part.equation) for part in used if part.equation],
    )


def _likelihoods(variant: Variant, compositions: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """The likelihood; one a view where the views decide it differently."""
    by_text: dict[str, list[str]] = {}
    for source, composition in compositions.items():
        by_text.setdefault(setting(composition["likelihood"]), []).append(source.partition("/")[2])
    if len(by_text) <= 1:
        return [("likelihood", text) for text in by_text] or [
            ("likelihood", setting(variant.composition["likelihood"]))
        ]
    return [(f"likelihood on {', '.join(dict.fromkeys(views))}", text) for text, views in by_text.items()]
