"""One job from beginning to end: train the cells that need it, score them, leave a record of each."""

import csv
import io
import platform
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch

from vaebench.catalog.catalog import load_catalog
from vaebench.catalog.implementation import implementation
from vaebench.data.dataset import Dataset, Shape, load_dataset
from vaebench.data.mnist import DataError
from vaebench.data.source import Source
from vaebench.engines.estimate import machine
from vaebench.engines.job import CellWork, Interrupted, Job
from vaebench.engines.settling import failed_answers
from vaebench.metrics.arrays import keepsakes
from vaebench.metrics.evaluation import evaluate
from vaebench.metrics.subject import Subject
from vaebench.models.foreign import ForeignModelError
from vaebench.plugins.loading import load_as_planned
from vaebench.store.cell import Cell
from vaebench.store.files import file_checksum, replacing, write_text
from vaebench.store.folders import CellFolder, ResultsFolder
from vaebench.store.leases import is_held
from vaebench.store.record import Failure, Record
from vaebench.suite.trainers import library_of, not_installed
from vaebench.training import fleet
from vaebench.training.checkpoint import Checkpoints
from vaebench.training.fitting import fit
from vaebench.training.initialisation import DTYPES, empty_model

Emit = Callable[[dict[str, Any]], None]

UNREADABLE = (safetensors.SafetensorError, OSError, RuntimeError)
"""What reading a model raises whose file is damaged, or of another form."""


def perform(job: Job, results: ResultsFolder, emit: Emit, stop: Callable[[], bool]) -> None:
    """Records are written as soon as they are known; raises Interrupted when `stop()` became true."""
    load_as_planned(job.plugins)
    device = choose_device(job.device)
    first = job.cells[0].cell
    whole = load_dataset(first.dataset, Path(job.data_root) if job.data_root else None)
    _check_finite(whole)
    dataset = whole.trained_on(first.recipe.get("first_images"))
    source = Source(dataset, first.view, device, DTYPES[first.recipe["precision"]])
    try:
        _train(job, [work for work in job.cells if work.train], source, results, emit, stop)
    except fleet.Interrupted as interruption:
        raise Interrupted from interruption
    for work in job.cells:
        if stop():
            raise Interrupted
        _score(work, job, source, results, emit)


def _check_finite(dataset: Dataset) -> None:
    """A value that is none would come out as a model that diverged or an equation without a solution."""
    for name, split in dataset.splits.items():
        if split.content.is_floating_point() and not bool(split.content.isfinite().all()):
            image, pixel = (~split.content.isfinite()).nonzero()[0].tolist()
            value = float(split.content[image, pixel])
            raise DataError(f"{dataset.name}: {name} image {image} has the value {value} at pixel {pixel}: not finite")


def choose_device(wanted: str) -> torch.device:
    """`auto` is a GPU when there is one."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def _check_lease(job: Job, cell: Cell, results: ResultsFolder) -> None:
    """Before anything of a cell is written: another driver may have taken it over while this process was frozen."""
    if job.owner is not None and not is_held(results.path, cell.id, job.owner):
        raise Interrupted


def _train(
    job: Job,
    works: list[CellWork],
    source: Source,
    results: ResultsFolder,
    emit: Emit,
    stop: Callable[[], bool],
) -> None:
    """Train what needs training as one fleet, and leave each model with a record that has no numbers yet."""
    if not works:
        return

    def on_epoch(progress: fleet.Progress) -> None:
        emit({"event": "epoch", **progress.__dict__})

    by_cell = {work.cell.id: work for work in works}
    checkpoints = Checkpoints(
        lambda cell: results.cell(cell.id).checkpoint, {cell: work.fingerprints for cell, work in by_cell.items()}
    )
    around = fleet.Surroundings(
        source, checkpoints=checkpoints, on_epoch=on_epoch, should_stop=stop, compiled=job.compiled
    )
    train = trainer_of(works[0].cell)
    for outcome in train([work.cell for work in works], around):
        work, folder = by_cell[outcome.cell.id], results.cell(outcome.cell.id)
        _check_lease(job, work.cell, results)
        _keep_model(folder, outcome)
        record = _record(work, outcome, source, len(works), folder, job.plugins)
        folder.write_record(record)
        checkpoints.forget(work.cell)
        if record.failure:
            emit({"event": "cell", "cell": work.cell.id, "status": "failed", "message": record.failure.message})


def trainer_of(cell: Cell) -> Callable[[list[Cell], fleet.Surroundings], Iterator[fleet.Trained]]:
    """What trains a fleet: vaebench, or the library that its composition names."""
    library = library_of(cell.composition, load_catalog())
    if library is None:
        return fit
    if advice := not_installed(library):
        raise ForeignModelError(f"{advice}, then run again with --retry-failed")
    train: Callable[[list[Cell], fleet.Surroundings], Iterator[fleet.Trained]] = implementation(library.trains)
    return train


def _keep_model(folder: CellFolder, outcome: fleet.Trained) -> None:
    folder.write_cell(outcome.cell)
    write_text(folder.curves, curves_csv(outcome.curves))
    state = {name: value.detach().cpu().contiguous() for name, value in outcome.model.state_dict().items()}
    with replacing(folder.model) as temporary:
        safetensors.torch.save_file(state, temporary)


def curves_csv(rows: list[dict[str, float]]) -> str:
    """One row an epoch; a value that is not finite is left empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([row[name] if name in row and np.isfinite(row[name]) else "" for name in columns])
    return text.getvalue()


def _record(
    work: CellWork,
    outcome: fleet.Trained,
    source: Source,
    members: int,
    folder: CellFolder,
    plugins: Mapping[str, str],
) -> Record:
    diverged = outcome.diverged_at
    message = f"diverged at step {diverged} of its training"
    return Record(
        cell=work.cell.id,
        status="done" if diverged is None else "failed",
        fingerprints=work.fingerprints,
        failure=None if diverged is None else Failure("diverged", message, diverged),
        training={
            "epochs": outcome.epochs,
            "steps": outcome.steps,
            "seconds": outcome.seconds,
            "members": members,
            "finished": time.time(),
            "model_checksum": file_checksum(folder.model),
            **outcome.details,
        },
        environment={**environment(source), **plugins_used(plugins)},
    )


def _score(work: CellWork, job: Job, source: Source, results: ResultsFolder, emit: Emit) -> None:
    folder = results.cell(work.cell.id)
    record = folder.read_record()
    if record is None or record.status == "failed":
        return
    emit({"event": "scoring", "cell": work.cell.id, "metric": "", "done": 0, "of": len(work.requests)})
    try:
        checksum = record.training.get("model_checksum")
        model = filled_model(work.cell, folder, source.dataset.shape, checksum).to(source.device)
    except UNREADABLE as error:
        _give_up_model(work, job, folder, record, f"{type(error).__name__}: {error}", emit)
        return
    training = record.training
    subject = Subject(model, source, training.get("seconds"), peak_bytes=training.get("peak_bytes"))
    count = iter(range(len(work.requests)))

    def on_metric(metric: str) -> None:
        emit(
            {"event": "scoring", "cell": work.cell.id, "metric": metric, "done": next(count), "of": len(work.requests)}
        )

    seconds: dict[str, float] = dict(record.training.get("scoring_seconds", {}))
    scored_at: dict[str, float] = dict(record.training.get("scored", {}))
    values = []
    for request in work.requests:
        begun = time.perf_counter()
        values += evaluate(subject, [request], job.metric_fingerprints, on_metric)
        seconds[request.key] = time.perf_counter() - begun
        scored_at[request.key] = time.time()
    answered = record.with_answers(values)
    priors = other_priors(answered)
    if work.train or not _shown(folder, priors):
        _keep_arrays(folder, subject, chosen_latents(work.cell), priors)
    training = {**training, "scoring_seconds": seconds, "scored": scored_at}
    _check_lease(job, work.cell, results)
    folder.write_record(replace(answered, training=training))
    emit({"event": "cell", "cell": work.cell.id, "status": "done", "message": ""})


def _give_up_model(work: CellWork, job: Job, folder: CellFolder, record: Record, why: str, emit: Emit) -> None:
    """A stored model that cannot be read is removed, so that the next run may train it again; the others go on."""
    folder.model.unlink(missing_ok=True)
    note = f"{folder.model.name} was damaged ({why}) and has been removed; run again with --retry-failed"
    values = [
        value
        for request in work.requests
        for value in failed_answers(request, note, job.metric_fingerprints.get(request.metric, ""))
    ]
    folder.write_record(record.with_answers(values))
    emit({"event": "cell", "cell": work.cell.id, "status": "failed", "message": note})


def filled_model(cell: Cell, folder: CellFolder, shape: Shape, checksum: str | None = None) -> Any:
    """The trained model of a cell, ready to be asked; refused where its file is not the one that `checksum` is of."""
    if checksum is not None and file_checksum(folder.model) != checksum:
        raise OSError("its checksum is another")
    model = empty_model(cell, shape)
    model.load_state_dict(safetensors.torch.load_file(folder.model))
    return model.eval()


def chosen_latents(cell: Cell) -> tuple[int, ...]:
    """Those that the objective singles out, the sub-code of VMI; none elsewhere."""
    objective = cell.composition["objective"]
    return tuple(objective["subcode"]) if objective.get("code") == "latents" else ()


def other_priors(record: Record) -> tuple[str, ...]:
    """The laws besides its own that the model was sampled with for its numbers, so that pictures can show the same."""
    asked = {value.protocol.get("generation_prior", "own") for value in record.metrics}
    return tuple(sorted(asked - {"own"}))


def _shown(folder: CellFolder, priors: tuple[str, ...]) -> bool:
    """Whether there are arrays, and in them what is generated from these laws."""
    try:
        with np.load(folder.arrays, allow_pickle=False) as arrays:
            return all(f"sample_means@{prior}" in arrays for prior in priors)
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def _keep_arrays(folder: CellFolder, subject: Subject, chosen: tuple[int, ...], priors: tuple[str, ...]) -> None:
    try:
        arrays = keepsakes(subject, chosen, priors)
    except Exception:  # pictures are never worth a model's numbers
        traceback.print_exc()
        return
    with replacing(folder.arrays) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def plugins_used(plugins: Mapping[str, str]) -> dict[str, str]:
    """File or module of each plugin, and the hash of its sources; nothing where there is none."""
    told = [f"{Path(reference).name} {hashed}" for reference, hashed in plugins.items()]
    return {"plugins": ", ".join(told)} if told else {}


def environment(source: Source) -> dict[str, Any]:
    """Where and with what a model was made."""
    device, here = source.device, machine()
    return {
        "vaebench": version("vaebench"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        **here,
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else here["processor"],
        "threads": torch.get_num_threads(),
        "data_checksum": source.dataset.checksum,
    }
