"""A suite, resolved: every name looked up, every parameter written out, every grid laid open."""

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vaebench.store.shapes import shaped


@dataclass(frozen=True)
class Variant:
    """One composition of choices, under the name that the leaderboard gives it."""

    name: str
    title: str
    stance: str
    """`theory`, `practice` or `baseline`."""
    composition: dict[str, Any]
    """network, latent, conditional, likelihood, posterior, prior, objective: parts are mappings with their name and
    every parameter, and trainer where that is not vaebench. The likelihood may still be `default`, which the view
    resolves (suite.expansion.compose)."""
    generation: dict[str, Any]
    """How z is drawn (`prior`) and what is shown of p(x|z) (`output`)."""
    on: tuple[str, ...] | None = None
    """Data set views that it is restricted to; None: all that it fits."""
    extends: str | None = None
    """The variant that it came from."""
    source: str = ""
    departs: str = ""
    """How the practice departs from the theory."""
    mended: str = ""
    """What was wrong in the source, and what is built instead."""


@dataclass(frozen=True)
class Contrast:
    """A question that two variants answer together, seed by seed."""

    question: str
    theory: str
    """A variant, or `variant:metric`."""
    practice: str
    """A variant, or `variant:metric`."""
    primary: str | None = None
    """Column that decides; None: the ranking metric of each view."""

    @property
    def theory_side(self) -> tuple[str, str | None]:
        """Variant and, where one is named, metric."""
        return split_side(self.theory)

    @property
    def practice_side(self) -> tuple[str, str | None]:
        """Variant and, where one is named, metric."""
        return split_side(self.practice)


@dataclass(frozen=True)
class Expectation:
    """What somebody has published, or what must be so, about a number of the suite or the order of several."""

    source: str
    """Who says so."""
    kind: str
    """`exact`: it follows from the mathematics; `statistical`: a published number; `order`: which is larger."""
    on: str
    """Data set view."""
    of: str | None = None
    """`variant:metric`; None where there is an order."""
    value: float | str | None = None
    """The number, or the `variant:metric` whose number it is to equal."""
    band: float | None = None
    """Largest distance from `value`."""
    order: tuple[str, ...] = ()
    """`variant:metric`, from the least to the greatest."""
    profile: str | None = None
    """The profile that keeps the published protocol; under another one the number is shown and not judged."""
    note: str = ""

    @property
    def sides(self) -> tuple[str, ...]:
        """Every `variant:metric` that it speaks of."""
        other = (self.value,) if isinstance(self.value, str) else ()
        return self.order or (self.of or "", *other)


@dataclass(frozen=True)
class DocumentFigure:
    """A figure of a document, and where this suite shows the same of its own models."""

    figure: str
    """Which: `Beaulac 2019, fig. 9`."""
    says: str
    """What is to be seen there, or what the document makes of it."""
    ours: tuple[str, ...]
    """`variant:kind` of the pictures that show it, or `sub-code`, of all variants that single out a latent."""
    on: str
    """Data set view."""
    answered_by: tuple[str, ...] = ()
    """Questions of the suite, and sources of its expectations, that measure what the figure says."""
    seen: str = ""
    """What the suite's authors saw by eye in their run under this profile."""


@dataclass(frozen=True)
class Suite:
    """What a suite file asks for."""

    name: str
    description: str
    datasets: tuple[str, ...]
    """Data set views, such as `digits/binary`."""
    seeds: tuple[int, ...]
    recipe: dict[str, Any]
    """How every model is trained: every recipe parameter."""
    recipe_name: str
    """Name of the recipe, with what the suite changed in it."""
    budget: dict[str, dict[str, Any]]
    """Metric family → every parameter of its protocol, for the families that are scored."""
    budget_name: str
    """Name of the budget, with what the suite changed in it."""
    variants: tuple[Variant, ...]
    metrics: tuple[str, ...]
    """Families and columns as listed, then those that `rank_by` and the contrasts name."""
    rank_by: dict[str, str]
    """View → column that ranks it; a view that is absent is not ranked."""
    contrasts: tuple[Contrast, ...] = ()
    expected: tuple[Expectation, ...] = ()
    figures: tuple[DocumentFigure, ...] = ()
    profile: str | None = None
    """The profile in force, where the suite has some of its own or one was asked for."""
    file: Path | None = None

    @property
    def views(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(source.partition("/")[2] for source in self.datasets))

    @property
    def families(self) -> tuple[str, ...]:
        """The metric families that are scored, each once."""
        return tuple(dict.fromkeys(metric.partition(".")[0] for metric in self.metrics))

    def variant(self, name: str) -> Variant:
        """The variant of this name; KeyError if there is none."""
        return self._by_name[name]

    @functools.cached_property
    def _by_name(self) -> dict[str, Variant]:
        return {variant.name: variant for variant in reversed(self.variants)}

    def to_json(self) -> dict[str, Any]:
        """Everything but the place of the file, for the lock file."""
        content = asdict(self)
        del content["file"]
        return content

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Suite":
        """The suite that `to_json` wrote; raises Misshapen where it did not."""
        suite: Suite = shaped(cls, {**content, "file": None})
        return suite


def split_side(text: str) -> tuple[str, str | None]:
    """`vae` → ("vae", None), `vae:elbo` → ("vae", "elbo")."""
    variant, _, metric = text.partition(":")
    return variant, metric or None
