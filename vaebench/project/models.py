"""A trained model, taken out of the results of a suite."""

from pathlib import Path
from typing import TYPE_CHECKING

from vaebench.catalog.catalog import load_catalog
from vaebench.project.reports import opened
from vaebench.project.settings import UnknownName, check_device, known
from vaebench.store.cell import Cell
from vaebench.store.files import StoreError
from vaebench.store.folders import CellFolder, ResultsFolder
from vaebench.suite.expansion import expand
from vaebench.suite.mistakes import enumerated

if TYPE_CHECKING:
    from vaebench.models.contract import LatentVariableModel
    from vaebench.models.given import ConditionalModel


def load_model(
    folder: str | Path, variant: str, dataset: str | None = None, seed: int | None = None, device: str = "auto"
) -> "LatentVariableModel | ConditionalModel":
    """The model that a suite has trained of a variant, with prior(), posterior(x) and likelihood(z): those of
    vaebench.models.contract. `folder` is that of the suite, such as `runs/quickstart`.

    `dataset`: a data set view such as `digits/grey`, which may be left out where the variant has one. `seed`: the
    suite's first unless it is given.
    """
    path = Path(folder)
    check_device(device)
    cell = _cell(path, variant, dataset, seed)
    return _filled(cell, ResultsFolder(path.parent).cell(cell.id), f"{path}: {variant} on {cell.source}", device)


def _cell(path: Path, variant: str, dataset: str | None, seed: int | None) -> Cell:
    """Which of the suite's cells is meant."""
    _, suite, _ = opened(path)
    planned = expand(suite).planned
    known(f"variant in {path}:", variant, list(dict.fromkeys(one.variant for one in planned)))
    cells = [one.cell for one in planned if one.variant == variant]
    views = list(dict.fromkeys(cell.source for cell in cells))
    if dataset is None and len(views) > 1:
        raise UnknownName(f"{path}: {variant} was trained on {enumerated(views)}; name one of them as dataset")
    if dataset is not None:
        known(f"data set view of {variant} in {path}:", dataset, views)
    seeds = {cell.seed: cell for cell in cells if cell.source == (dataset or views[0])}
    if seed is None:
        return next(iter(seeds.values()))
    if seed not in seeds:
        raise UnknownName(f"{path}: {variant} has no seed {seed}; valid: {enumerated(map(str, seeds), 20)}")
    return seeds[seed]


def _filled(cell: Cell, folder: CellFolder, which: str, device: str) -> "LatentVariableModel | ConditionalModel":
    from vaebench.data.dataset import Shape
    from vaebench.engines.work import UNREADABLE, choose_device, filled_model

    record = folder.read_record()
    if record is None or not (record.failure or folder.model.exists()):
        raise StoreError(f"{which}, seed {cell.seed}: no trained model is in {folder.path}; `vaebench run` makes it")
    if record.failure is not None:
        raise StoreError(f"{which}, seed {cell.seed}: {record.failure.kind}: {record.failure.message}")
    known_shape = load_catalog().datasets[cell.dataset]
    shape = Shape(known_shape.pixels, known_shape.side, known_shape.levels, known_shape.classes or 0)
    try:
        model = filled_model(cell, folder, shape, record.training.get("model_checksum"))
    except UNREADABLE as error:
        raise StoreError(f"{folder.model}: cannot be read: {error}") from error
    loaded: LatentVariableModel | ConditionalModel = model.to(choose_device(device))
    return loaded
