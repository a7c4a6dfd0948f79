"""Trials of metrics: the answers that were declared, and none that depends on what should not matter."""

import functools
import math
from dataclasses import dataclass, replace
from typing import Any

import torch

from vaebench.catalog.catalog import Metric
from vaebench.catalog.implementation import implementation
from vaebench.conformance.finding import Breach, NotAsked
from vaebench.conformance.trial import LATENTS, NETWORK, cell_of, source_of
from vaebench.data import streams
from vaebench.data.source import Source
from vaebench.metrics.answer import Answer, NotApplicable
from vaebench.metrics.subject import Subject
from vaebench.training.initialisation import build_system

STILL = ("digits/grey", "digits/threshold", "linear-gaussian/real")
"""Data set views on which an image is the same whatever stands beside it."""
MOVING = ("digits/binary", "digits/static-binary", "digits/dequantised")
SAME = 1e-6
"""Relative difference that the rounding of another order of sums may make."""
FEW_ROWS = 7


@dataclass(frozen=True)
class Asking:
    metric: Metric

    @property
    def view(self) -> str:
        """The first data set view that the metric is defined on."""
        wanted = [s for s in (*STILL, *MOVING) if self.metric.views is None or s.partition("/")[2] in self.metric.views]
        return wanted[0]

    @functools.cached_property
    def source(self) -> Source:
        return source_of(self._cell)

    @functools.cached_property
    def _cell(self) -> Any:
        entry = {"name": "trial", "extends": "vae", "network": NETWORK, "latent": LATENTS}
        return cell_of(entry, [self.view])

    @functools.cached_property
    def model(self) -> Any:
        return build_system(self._cell, self.source.dataset.shape, 1)[0].get_submodule("model").eval()

    @property
    def protocol(self) -> dict[str, Any]:
        """The defaults, over all images of the split."""
        defaults = {parameter.name: parameter.default for parameter in self.metric.parameters.values()}
        whole = {"images": len(self.source.dataset.splits["test"].content)} if "images" in defaults else {}
        generation = {"generation_prior": "own", "generation_around": "prior"} if self.metric.generates else {}
        return {**defaults, **whole, "split": "test", "seed": 0, **generation}

    def answers(self, source: Source | None = None, rows: int | None = None) -> dict[str, Answer]:
        """Column → answer; of images in blocks of `rows`."""
        source = source or self.source
        numbers = None if rows is None else rows * source.pixels
        subject = Subject(self.model, source, train_seconds=1.0, block_numbers=numbers)
        try:
            with torch.no_grad():
                found = implementation(self.metric.implementation)(subject, self.protocol)
        except NotApplicable as reason:
            raise NotAsked(f"it says of itself on {self.view}: {reason}") from reason
        if not isinstance(found, list) or not all(isinstance(answer, Answer | NotApplicable) for answer in found):
            expected = "a list of vaebench.metrics.answer.Answer"
            raise Breach(
                expected,
                f"a {type(found).__name__} of {', '.join(sorted({type(a).__name__ for a in found}))}"
                if isinstance(found, list)
                else f"a {type(found).__name__}",
            )
        name = self.metric.name
        return {f"{name}.{one.part}" if one.part else name: one for one in found if isinstance(one, Answer)}


def shapes(asking: Asking) -> None:
    """Columns that were declared, numbers that are finite, errors that are none or not below 0."""
    for column, answer in asking.answers().items():
        if column not in asking.metric.columns:
            raise Breach(f"answers for the columns {', '.join(asking.metric.columns)}", column)
        if not isinstance(answer.value, float) or not math.isfinite(answer.value):
            raise Breach(f"{column} to be a finite float", f"{answer.value!r}")
        if answer.stderr is not None and not answer.stderr >= 0:
            raise Breach(f"a standard error of {column} that is None or not below 0", f"{answer.stderr!r}")


def determinism(asking: Asking) -> None:
    """The same number again, whatever torch's own generator says, and a model that is left as it was."""
    before = {name: value.clone() for name, value in asking.model.state_dict().items()}
    found = []
    for seed in (0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            found.append(asking.answers())
    _alike(found[0], found[1], "the same number at a second call, drawn from streams that the protocol's seed names")
    changed = [name for name, value in asking.model.state_dict().items() if not torch.equal(value, before[name])]
    if changed or asking.model.training:
        raise Breach("the model to be left as it was", f"another {changed[0]}" if changed else "training mode")


def blocks(asking: Asking) -> None:
    """Nothing depends on how many images are evaluated at once."""
    _alike(asking.answers(), asking.answers(rows=FEW_ROWS), f"the same number with {FEW_ROWS} images at a time")


def order(asking: Asking) -> None:
    """Nothing depends on the order of the images."""
    if asking.view not in STILL:
        raise NotAsked(f"on {asking.view} what is drawn of an image goes by its place")
    source = asking.source
    splits = dict(source.dataset.splits)
    split = splits["test"]
    turned = streams.permutation(streams.key("conformance"), 0, len(split.content))
    labels = None if split.labels is None else split.labels[turned]
    splits["test"] = replace(split, content=split.content[turned], labels=labels)
    other = Source(replace(source.dataset, splits=splits), source.view_name, dtype=source.dtype)
    _alike(asking.answers(), asking.answers(other), "the same number with the images in another order")


def _alike(first: dict[str, Answer], second: dict[str, Answer], expected: str) -> None:
    for column, answer in first.items():
        other = second[column].value if column in second else math.nan
        if not math.isclose(answer.value, other, rel_tol=SAME, abs_tol=SAME):
            raise Breach(f"{expected} for {column}: {answer.value:.8g}", f"{other:.8g}")
