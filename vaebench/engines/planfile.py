"""`plan.json`, read: what a suite's last run had to do, for whoever wants to know how far it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from vaebench.store.files import StoreError, read_json
from vaebench.store.shapes import Misshapen, Pattern, shaped

Hash = Annotated[str, Pattern("[0-9a-f-]{1,40}")]
"""Of a cell or a fleet; files are called so."""


@dataclass(frozen=True)
class CellLine:
    cell: Hash
    wanted: list[str]
    """Keys of the metrics that the suite asks for."""
    fingerprints: dict[str, str]


@dataclass(frozen=True)
class FleetLine:
    fleet: Hash


@dataclass(frozen=True)
class PlanFile:
    suite: str
    cells: list[CellLine]
    fleets: list[FleetLine]
    metric_fingerprints: dict[str, str]
    keep_stale: bool


def read_plan(path: Path) -> PlanFile:
    content = read_json(path)
    try:
        plan: PlanFile = shaped(PlanFile, content)
    except Misshapen as error:
        raise StoreError(f"{path}: not a plan ({error}); run the suite again") from error
    return plan
