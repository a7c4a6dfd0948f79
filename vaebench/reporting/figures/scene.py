"""What the makers of figures look at, and where their figures belong."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vaebench.catalog.catalog import load_catalog
from vaebench.reporting.figures.figure import Figure, Section, slug
from vaebench.reporting.figures.kept import Arrays, Keeping, Kept
from vaebench.reporting.runs import RowKey
from vaebench.suite.suite import Suite

ROUND_PRIORS = ("standard-normal", "normal-and-uniform")
"""Under which the Gaussian latents are N(0, I)."""


@dataclass(frozen=True)
class Scene:
    """A suite and what it has left."""

    suite: Suite
    keeping: Keeping
    values: dict[RowKey, dict[str, dict[int, float]]]
    """Row → metric → seed → value, of cells that are done or stale."""

    def sources(self, *variants: str) -> list[str]:
        """Data set views on which all of them have a model."""
        return [
            source for source in self.suite.datasets if all(self.keeping.seeds(source, variant) for variant in variants)
        ]

    def chosen(self, variant: str) -> tuple[int, ...]:
        """Latents that the objective singles out."""
        objective = self.suite.variant(variant).composition["objective"]
        return tuple(objective["subcode"]) if objective.get("code") == "latents" else ()

    def singles_out(self, variant: str) -> bool:
        """Two latents or more, be it with a weight of 0: that member of a grid is what the others are held against."""
        return len(self.chosen(variant)) > 1

    def generation(self, variant: str) -> dict[str, Any]:
        """How it is sampled from."""
        return self.suite.variant(variant).generation

    def is_round(self, variant: str) -> bool:
        return self.suite.variant(variant).composition["prior"]["name"] in ROUND_PRIORS

    def is_point(self, variant: str) -> bool:
        """Its encoder names a code and no law of codes, so no KL holds any prior near."""
        has = load_catalog().parts["posterior"][self.suite.variant(variant).composition["posterior"]["name"]].has
        return has is not None and "spread" not in has


@dataclass(frozen=True)
class Place:
    """A data set view, and one variant or both sides of a contrast on it."""

    scene: Scene
    source: str
    variants: tuple[str, ...]
    section: Section
    subject: str
    stem: str
    """Of the names of its figures."""

    @property
    def named(self) -> str:
        """`vae-mse on digits/grey`, `vae-gaussian and vae-mse on digits/grey`"""
        return f"{' and '.join(self.variants)} on {self.source}"

    @functools.cached_property
    def models(self) -> dict[str, Kept]:
        """The models that pictures show; two variants show models of one seed, or none."""
        if len(self.variants) == 1:
            alone = self.scene.keeping.one(self.source, self.variants[0])
            return {} if alone is None else {self.variants[0]: alone}
        pair = self.scene.keeping.pair(self.source, *self.variants)
        return {} if pair is None else dict(zip(self.variants, pair, strict=True))

    @functools.cached_property
    def arrays(self) -> dict[str, Arrays]:
        return {variant: kept.arrays for variant, kept in self.models.items()}

    @functools.cached_property
    def images(self) -> dict[str, Arrays]:
        """The arrays, where what the models observe are images."""
        dataset = load_catalog().datasets[self.source.partition("/")[0]]
        return {} if dataset.side is None else self.arrays

    @property
    def seed(self) -> str:
        """Said in captions of what one model shows."""
        return next((f"Models of seed {kept.seed}." for kept in self.models.values()), "")

    def complete(self, data: dict[str, Any], kind: str) -> bool:
        """Whether `data`, named VARIANT/KIND or VARIANT, has such an array of every variant."""
        return bool(self.models) and all((f"{name}/{kind}" if kind else name) in data for name in self.variants)

    def figure(self, kind: str, title: str, caption: str, data: Any, draw: Callable[..., Any], **more: Any) -> Figure:
        """`draw` takes the data, the title, and `more`."""
        return Figure(
            name=slug(self.stem, kind, self.source),
            title=title,
            caption=caption,
            section=self.section,
            subject=self.subject,
            view=self.source,
            data=data,
            drawer=draw,
            more=more,
        )
