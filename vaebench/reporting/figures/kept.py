"""What the cells of a suite have kept beside their numbers, found by data set view and variant."""

import functools
import logging
import zipfile
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vaebench.reporting.tables import each_row
from vaebench.store.folders import CellFolder, ResultsFolder
from vaebench.store.record import Record

Arrays = dict[str, np.ndarray]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """One trained model's curves and arrays."""

    seed: int
    folder: CellFolder

    @functools.cached_property
    def record(self) -> Record | None:
        return self.folder.read_record()

    @functools.cached_property
    def curves(self) -> pd.DataFrame:
        """A row an epoch; empty for a model that was fitted at once, or where the file cannot be read."""
        if not self.folder.curves.exists():
            return pd.DataFrame()
        try:
            return pd.read_csv(self.folder.curves, dtype="float64")
        except pd.errors.EmptyDataError:
            return pd.DataFrame()
        except (OSError, ValueError) as error:
            log.warning("%s cannot be read: %s", self.folder.curves, error)
            return pd.DataFrame()

    @functools.cached_property
    def arrays(self) -> Arrays:
        """Images as float32; empty where there are none, or where the file cannot be read."""
        if not self.folder.arrays.exists():
            log.warning("%s is not there, so no picture shows this model", self.folder.arrays)
            return {}
        try:
            with np.load(self.folder.arrays, allow_pickle=False) as stored:
                return {name: _wide(stored[name]) for name in stored.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            log.warning("%s cannot be read: %s", self.folder.arrays, error)
            return {}

    @property
    def selected_epoch(self) -> int | None:
        """The epoch whose parameters were kept, where that was not simply the last one."""
        return self.record.training.get("selected_epoch") if self.record else None


@dataclass(frozen=True)
class Keeping:
    """The trained models of a suite."""

    models: dict[tuple[str, str], tuple[Kept, ...]]
    """(data set view, variant) → its models that came to an end, by seed."""

    @classmethod
    def of(cls, results: ResultsFolder, runs: pd.DataFrame) -> "Keeping":
        found: dict[tuple[str, str], list[Kept]] = {}
        for run in each_row(runs[["dataset", "view", "variant", "seed", "cell"]].drop_duplicates()):
            kept = Kept(run.seed, results.cell(run.cell))
            if kept.record is not None and kept.record.status == "done":
                found.setdefault((f"{run.dataset}/{run.view}", run.variant), []).append(kept)
        return cls({key: tuple(models) for key, models in found.items()})

    def seeds(self, source: str, variant: str) -> tuple[Kept, ...]:
        return self.models.get((source, variant), ())

    def one(self, source: str, variant: str) -> Kept | None:
        """The model that pictures show: that of the first seed."""
        return next(iter(self.seeds(source, variant)), None)

    def pair(self, source: str, theory: str, practice: str) -> tuple[Kept, Kept] | None:
        """Two models of the first seed that both have."""
        others = {kept.seed: kept for kept in self.seeds(source, practice)}
        return next(
            ((kept, others[kept.seed]) for kept in self.seeds(source, theory) if kept.seed in others),
            None,
        )


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == np.float16 else array
