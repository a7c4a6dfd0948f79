"""What a planned cell leaves behind, whatever happened to it."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from vaebench.store.cell import digest
from vaebench.store.shapes import shaped

AT_CAP = "at cap"
"""In the note of a value: it shows the limit of its evaluator, not the model. It is shown and compared with nothing."""

FINITE = {"allow_inf_nan": False}
"""Of every number that is read from a file."""

FailureKind = Literal["diverged", "oom", "timeout", "crash", "error", "damaged"]
"""The last is never written: it stands for a record that could not be read."""


@dataclass(frozen=True)
class MetricRequest:
    """One question to a trained model: the metric's family and how it is to be answered."""

    metric: str
    """The family, such as `sharpness`; its evaluator answers with every part of it."""
    protocol: dict[str, Any]
    """Everything that moves the number: samples, images, split, seed, estimator."""

    @property
    def key(self) -> str:
        return f"{self.metric}@{digest(self.protocol, 12)}"


@dataclass(frozen=True)
class MetricValue:
    """One number of a record: a metric or a part of one, its Monte Carlo error and how it was taken."""

    __pydantic_config__: ClassVar[dict[str, bool]] = FINITE

    metric: str
    """Full name with the part, such as `sharpness.mean_ratio`."""
    family: str
    protocol: dict[str, Any]
    status: Literal["done", "n/a", "failed"]
    value: float | None = None
    stderr: float | None = None
    """Monte Carlo standard error, of a mean over a subset of images with that of their choice; None: unknown."""
    note: str = ""
    """Why there is no number, or what must be known to read it."""
    fingerprint: str = field(default="", repr=False)
    """Hash of the evaluator's source."""
    details: dict[str, Any] = field(default_factory=dict, repr=False)
    """What has no column of its own: KL per latent, effective sample size."""

    @property
    def request(self) -> MetricRequest:
        return MetricRequest(self.family, self.protocol)


@dataclass(frozen=True)
class Failure:
    kind: FailureKind
    message: str
    step: int | None = None


@dataclass(frozen=True)
class _Training:
    """What others than the trainer read of `Record.training`."""

    __pydantic_config__: ClassVar[dict[str, bool]] = FINITE

    seconds: float | None = None
    preparing_seconds: float = 0.0
    epochs: int | None = None
    finished: float = 0.0
    peak_bytes: float | None = None
    model_checksum: str | None = None
    selected_epoch: int | None = None
    scoring_seconds: dict[str, float] = field(default_factory=dict)
    scored: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """`result.json` of one cell."""

    __pydantic_config__: ClassVar[dict[str, bool]] = FINITE

    cell: str
    status: Literal["done", "failed"]
    fingerprints: dict[str, str]
    """Room → hash of the sources that made the model: data, models, objectives, training."""
    metrics: list[MetricValue] = field(default_factory=list)
    failure: Failure | None = None
    training: dict[str, Any] = field(default_factory=dict)
    """What the trainer did: epochs, steps, seconds, members of the fleet, device."""
    environment: dict[str, Any] = field(default_factory=dict)

    def answers(self, request: MetricRequest) -> list[MetricValue]:
        """Every part that answers `request`, empty if it was never asked."""
        key = request.key
        return [value for value in self.metrics if value.family == request.metric and value.request.key == key]

    def with_answers(self, values: list[MetricValue]) -> "Record":
        """The record with `values` in place of older answers to the same requests."""
        replaced = {value.request.key for value in values}
        kept = [value for value in self.metrics if value.request.key not in replaced]
        return Record(**{**self.__dict__, "metrics": kept + values})

    def to_json(self) -> dict[str, Any]:
        """As JSON, which knows no infinity: a number of the details that is not finite becomes null."""
        content = asdict(self)
        for value in content["metrics"]:
            value["details"] = _finite(value["details"])
        return content

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Record":
        """Raises Misshapen where it is no record."""
        record: Record = shaped(cls, content)
        shaped(_Training, record.training)
        return record


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
