"""Trials of variants: that they stand on a data set view, train, and train alike in a fleet."""

from dataclasses import dataclass, replace

from vaebench.catalog.catalog import load_catalog
from vaebench.conformance.finding import Breach, NotAsked
from vaebench.conformance.steps import same_alone
from vaebench.conformance.trial import RECIPE, SOURCES, cell_of, source_of
from vaebench.store.cell import Cell
from vaebench.training.fleet import Surroundings, train_fleet
from vaebench.training.initialisation import is_fitted


@dataclass(frozen=True)
class Training:
    name: str

    def cell(self) -> Cell:
        """On the first data set view that it fits; those of plugins come last, since they may be large."""
        others = [source for source in load_catalog().sources if source.partition("/")[0] not in ("mnist",)]
        return cell_of({"extends": self.name}, dict.fromkeys((*SOURCES, *others)))


def fits(training: Training) -> None:
    """There is a data set view that it fits."""
    training.cell()


def trains(training: Training) -> None:
    """A few steps leave a finite loss."""
    cell = training.cell()
    if is_fitted(cell):
        raise NotAsked("it is fitted without gradients")
    (trained,) = train_fleet([cell], Surroundings(source_of(cell), stepper="in-turn"))
    if trained.diverged_at is not None:
        raise Breach(f"a finite loss over {RECIPE['epochs']} epochs", f"divergence at step {trained.diverged_at}")


def fleet(training: Training) -> None:
    """Two seeds trained as one mapped program end with the parameters that each has alone."""
    cell = training.cell()
    if is_fitted(cell):
        raise NotAsked("it is fitted without gradients")
    same_alone((cell, replace(cell, seed=1)))
