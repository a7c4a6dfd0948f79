"""One job from beginning to end: train the cells that need it, score them, leave a record of each."""

import csv
import io
import platform
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch

from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.engines.estimate import machine
from vaebench.engines.job import CellWork, Interrupted, Job
from vaebench.engines.settling import failed_answers
from vaebench.metrics.arrays import keepsakes
from vaebench.metrics.evaluation import evaluate
from vaebench.metrics.subject import Subject
from vaebench.store.cell import Cell
from vaebench.store.files import replacing, write_text
from vaebench.store.folders import CellFolder, ResultsFolder
from vaebench.store.record import Failure, Record
from vaebench.training import fleet
from vaebench.training.checkpoint import Checkpoints
from vaebench.training.fitting import fit
from vaebench.training.initialisation import DTYPES, empty_model

Emit = Callable[[dict[str, Any]], None]


def perform(job: Job, results: ResultsFolder, emit: Emit, stop: Callable[[], bool]) -> None:
    """Records are written as soon as they are known; raises Interrupted when `stop()` became true."""
    device = choose_device(job.device)
    first = job.cells[0].cell
    dataset = load_dataset(first.dataset, Path(job.data_root) if job.data_root else None)
    source = Source(dataset, first.view, device, DTYPES[first.recipe["precision"]])
    try:
        _train([work for work in job.cells if work.train], source, results, emit, stop)
    except fleet.Interrupted as interruption:
        raise Interrupted from interruption
    for work in job.cells:
        if stop():
            raise Interrupted
        _score(work, job, source, results, emit)


def choose_device(wanted: str) -> torch.device:
    """`auto` is a GPU when there is one."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def _train(works: list[CellWork], source: Source, results: ResultsFolder, emit: Emit, stop: Callable[[], bool]) -> None:
    """Train what needs training as one fleet, and leave each model with a record that has no numbers yet."""
    if not works:
        return

    def on_epoch(progress: fleet.Progress) -> None:
        emit({"event": "epoch", **progress.__dict__})

    by_cell = {work.cell.id: work for work in works}
    checkpoints = Checkpoints(
        lambda cell: results.cell(cell.id).checkpoint, {cell: work.fingerprints for cell, work in by_cell.items()}
    )
    around = fleet.Surroundings(source, checkpoints=checkpoints, on_epoch=on_epoch, should_stop=stop)
    for outcome in fit([work.cell for work in works], around):
        work, folder = by_cell[outcome.cell.id], results.cell(outcome.cell.id)
        _keep_model(folder, outcome)
        record = _record(work, outcome, source, len(works))
        folder.write_record(record)
        checkpoints.forget(work.cell)
        if record.failure:
            emit({"event": "cell", "cell": work.cell.id, "status": "failed", "message": record.failure.message})


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


def _record(work: CellWork, outcome: fleet.Trained, source: Source, members: int) -> Record:
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
            **outcome.details,
        },
        environment=environment(source),
    )


def _score(work: CellWork, job: Job, source: Source, results: ResultsFolder, emit: Emit) -> None:
    folder = results.cell(work.cell.id)
    record = folder.read_record()
    if record is None or record.status == "failed":
        return
    emit({"event": "scoring", "cell": work.cell.id, "metric": "", "done": 0, "of": len(work.requests)})
    try:
        model = load_model(work.cell, folder, source)
    except (safetensors.SafetensorError, OSError, RuntimeError) as error:
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
    if work.train or not folder.arrays.exists():
        _keep_arrays(folder, subject, chosen_latents(work.cell))
    training = {**training, "scoring_seconds": seconds, "scored": scored_at}
    folder.write_record(replace(record.with_answers(values), training=training))
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


def load_model(cell: Cell, folder: CellFolder, source: Source) -> Any:
    """The trained model of a cell, ready to be asked."""
    model = empty_model(cell, source.dataset.shape)
    model.load_state_dict(safetensors.torch.load_file(folder.model))
    return model.to(source.device).eval()


def chosen_latents(cell: Cell) -> tuple[int, ...]:
    """Those that the objective singles out, the sub-code of VMI; none elsewhere."""
    objective = cell.composition["objective"]
    return tuple(objective["subcode"]) if objective.get("code") == "latents" else ()


def _keep_arrays(folder: CellFolder, subject: Subject, chosen: tuple[int, ...]) -> None:
    try:
        arrays = keepsakes(subject, chosen)
    except (NotImplementedError, RuntimeError):
        traceback.print_exc()
        return
    with replacing(folder.arrays) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


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
