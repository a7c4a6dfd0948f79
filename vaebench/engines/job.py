"""What a worker is asked to do: one fleet, as plain JSON."""

from dataclasses import asdict, dataclass, field
from typing import Any

from vaebench.store.cell import Cell
from vaebench.store.record import MetricRequest


class Interrupted(Exception):
    """A job was asked to stop and did; what it had finished is on disk."""


@dataclass(frozen=True)
class CellWork:
    """One cell of a job."""

    cell: Cell
    train: bool
    """False where the stored model is only to be scored."""
    requests: tuple[MetricRequest, ...]
    """The metrics to be scored now; answers to other requests in the record stay as they are."""
    fingerprints: dict[str, str]
    """Room → hash of the sources that make this model, for its record."""

    def to_json(self) -> dict[str, Any]:
        return {
            "spec": self.cell.spec(),
            "train": self.train,
            "requests": [asdict(request) for request in self.requests],
            "fingerprints": self.fingerprints,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "CellWork":
        return cls(
            cell=Cell.from_spec(content["spec"]),
            train=content["train"],
            requests=tuple(MetricRequest(**request) for request in content["requests"]),
            fingerprints=content["fingerprints"],
        )


@dataclass(frozen=True)
class Job:
    """A fleet's cells that have work."""

    fleet: str
    """Key of the fleet."""
    cells: tuple[CellWork, ...]
    metric_fingerprints: dict[str, str]
    """Metric family → hash of its evaluator's sources, for the answers."""
    device: str = "auto"
    data_root: str | None = None
    plugins: dict[str, str] = field(default_factory=dict)
    """Reference of each plugin that the cells need → hash of its sources when the job was planned."""
    compiled: bool = False
    """Whether training is to take compiled steps."""
    owner: str | None = None
    """Who holds the leases of the cells (store.leases); None where nobody shares the results."""

    @property
    def epochs(self) -> int | None:
        """Epochs of training; None where nothing is trained."""
        return next((work.cell.recipe.get("epochs") for work in self.cells if work.train), None)

    def to_json(self) -> dict[str, Any]:
        return {
            "fleet": self.fleet,
            "cells": [work.to_json() for work in self.cells],
            "metric_fingerprints": self.metric_fingerprints,
            "device": self.device,
            "data_root": self.data_root,
            "plugins": self.plugins,
            "compiled": self.compiled,
            "owner": self.owner,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Job":
        return cls(
            fleet=content["fleet"],
            cells=tuple(CellWork.from_json(work) for work in content["cells"]),
            metric_fingerprints=content["metric_fingerprints"],
            device=content["device"],
            data_root=content["data_root"],
            plugins=content["plugins"],
            compiled=content["compiled"],
            owner=content["owner"],
        )
