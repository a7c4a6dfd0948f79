"""Asking a model questions, and the door for models that vaebench did not train."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from vaebench.catalog.catalog import load_catalog
from vaebench.catalog.implementation import implementation
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.metrics.answer import Answer, NotApplicable
from vaebench.metrics.contract import check_contract
from vaebench.metrics.subject import Subject
from vaebench.models.contract import LatentVariableModel
from vaebench.models.point import NoDensity
from vaebench.store.record import MetricRequest, MetricValue


def evaluate(
    subject: Subject,
    requests: Iterable[MetricRequest],
    fingerprints: dict[str, str] | None = None,
    on_metric: Callable[[str], None] = lambda metric: None,
) -> list[MetricValue]:
    """Every part that answers each request. A metric that raises is recorded as failed, and the others go on."""
    values = []
    for request in requests:
        on_metric(request.metric)
        values += _ask(subject, request, (fingerprints or {}).get(request.metric, ""))
    return values


def _ask(subject: Subject, request: MetricRequest, fingerprint: str) -> list[MetricValue]:
    metric = load_catalog().metrics[request.metric]

    def value(column: str, status: Any, **answer: Any) -> MetricValue:
        return MetricValue(column, request.metric, request.protocol, status, fingerprint=fingerprint, **answer)

    try:
        with torch.no_grad():
            answers: list[Answer | NotApplicable] = implementation(metric.implementation)(subject, request.protocol)
    except (NotApplicable, NoDensity) as reason:
        return [value(column, "n/a", note=str(reason)) for column in metric.columns]
    except (NotImplementedError, ValueError, ArithmeticError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return [value(column, "failed", note=f"{type(error).__name__}: {error}") for column in metric.columns]
    return [_value_of(answer, value, request.metric) for answer in answers]


def _value_of(answer: Answer | NotApplicable, value: Callable[..., MetricValue], family: str) -> MetricValue:
    column = f"{family}.{answer.part}" if answer.part else family
    if isinstance(answer, NotApplicable):
        return value(column, "n/a", note=str(answer))
    if not torch.isfinite(torch.tensor(answer.value)):
        return value(column, "failed", note=f"the number is {answer.value}; {answer.note}".rstrip("; "))
    known = answer.stderr is not None and bool(torch.isfinite(torch.tensor(answer.stderr)))
    return value(
        column,
        "done",
        value=answer.value,
        stderr=answer.stderr if known else None,
        note=answer.note,
        details=answer.details,
    )


def evaluate_model(
    model: LatentVariableModel,
    dataset: str,
    metrics: Sequence[MetricRequest],
    data_root: Path | None = None,
    device: str = "cpu",
) -> list[MetricValue]:
    """Score any model that keeps the contract on a data set view such as `mnist/binary`.

    A torch module is scored in its own precision and in evaluation mode, and gets its mode back afterwards.
    """
    name, _, view = dataset.partition("/")
    module = model if isinstance(model, torch.nn.Module) else None
    training = module.training if module else False
    first = next(module.parameters(), None) if module else None
    dtype = first.dtype if first is not None else torch.float32
    where = first.device if first is not None else torch.device(device)
    source = Source(load_dataset(name, data_root), view, where, dtype)
    if module:
        module.eval()
    try:
        with torch.no_grad():
            check_contract(model, source.images("test", torch.arange(4)))
        return evaluate(Subject(model, source), metrics)
    finally:
        if module:
            module.train(training)
