"""Asking a model questions, and the door for models that vaebench did not train."""

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.catalog.catalog import load_catalog
from vaebench.catalog.implementation import implementation
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.metrics.answer import Answer, NotApplicable, in_short
from vaebench.metrics.contract import ContractError, check_contract
from vaebench.metrics.normalised import with_normaliser
from vaebench.metrics.subject import Subject
from vaebench.models.contract import LatentVariableModel
from vaebench.models.given import ConditionalModel, is_conditional
from vaebench.models.point import NoDensity
from vaebench.store.record import MetricRequest, MetricValue

FAULTS = (NotImplementedError, ValueError, ArithmeticError, RuntimeError)
"""What an evaluator may raise over a model that vaebench built; anything else is a mistake of vaebench's own."""
IMAGES = 20
"""Images, spread over the split, that a foreign model is examined on; and one of each label."""
COARSE = (torch.float16, torch.bfloat16)
"""Precisions in which a sum over pixels has no digits left."""


def evaluate(
    subject: Subject,
    requests: Iterable[MetricRequest],
    fingerprints: dict[str, str] | None = None,
    on_metric: Callable[[str], None] = lambda metric: None,
    faults: tuple[type[Exception], ...] = FAULTS,
) -> list[MetricValue]:
    """Every part that answers each request. A metric that raises one of `faults` is recorded as failed, and the others
    go on."""
    values = []
    for request in requests:
        on_metric(request.metric)
        values += _ask(subject, request, (fingerprints or {}).get(request.metric, ""), faults)
    return values


def _ask(
    subject: Subject, request: MetricRequest, fingerprint: str, faults: tuple[type[Exception], ...]
) -> list[MetricValue]:
    metric = load_catalog().metrics[request.metric]

    def value(column: str, status: Any, **answer: Any) -> MetricValue:
        return MetricValue(column, request.metric, request.protocol, status, fingerprint=fingerprint, **answer)

    try:
        with torch.no_grad():
            answers: list[Answer | NotApplicable] = implementation(metric.implementation)(subject, request.protocol)
    except (NotApplicable, NoDensity) as reason:
        return [value(column, "n/a", note=str(reason)) for column in metric.columns]
    except faults as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return [value(column, "failed", note=in_short(f"{type(error).__name__}: {error}")) for column in metric.columns]
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
    model: LatentVariableModel | ConditionalModel,
    dataset: str,
    metrics: Sequence[MetricRequest],
    data_root: Path | None = None,
    device: torch.device | None = None,
    on_metric: Callable[[str], None] = lambda metric: None,
) -> list[MetricValue]:
    """Score any model that keeps the contract on a data set view such as `mnist/binary`.

    A torch module is scored in its own precision, in evaluation mode, on `device` (None: where it lies), and is put
    back afterwards. Whatever a foreign model raises while it is scored, it is a metric's failure.
    """
    if inspect.isclass(model):
        raise ContractError(f"{model.__name__} is a class: give a model that is made of it, {model.__name__}(…)")
    name, _, view = dataset.partition("/")
    with _arguments_checked(), _ready(model, device) as (where, dtype):
        source = Source(load_dataset(name, data_root), view, where, dtype)
        subject = Subject(model, source)
        images = subject.split("test", _spread(source))
        check_contract(model, images.x, images.y, view)
        with torch.no_grad():
            subject = Subject(with_normaliser(model, images[:1]), source)
        values = []
        for request in metrics:
            if is_conditional(model) and load_catalog().metrics[request.metric].unconditional:
                values += _given_the_label(request)
            else:
                values += evaluate(subject, [request], on_metric=on_metric, faults=(Exception,))
        return values


@contextlib.contextmanager
def _arguments_checked() -> Iterator[None]:
    """torch's distributions refuse what lies outside of their support, as they do by default; its compiler turns that
    off for the rest of a process."""
    before = Distribution._validate_args
    Distribution.set_default_validate_args(__debug__)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)


@contextlib.contextmanager
def _ready(model: object, device: torch.device | None) -> Iterator[tuple[torch.device, torch.dtype]]:
    """Device and precision of the images for it; a torch module is in evaluation mode meanwhile."""
    if not isinstance(model, torch.nn.Module):
        yield device or torch.device("cpu"), torch.float32
        return
    tensors = (*model.parameters(), *model.buffers())
    first = next((tensor for tensor in tensors if tensor.is_floating_point()), torch.zeros(()))
    if first.dtype in COARSE:
        raise ContractError(f"{type(model).__name__} is in {first.dtype}, too coarse to sum over pixels; use .float()")
    if any(tensor.is_meta for tensor in tensors):
        raise ContractError(f"{type(model).__name__} lies on the device meta, which holds no numbers; fill it first")
    modes, home = {module: module.training for module in model.modules()}, first.device
    model.eval()
    if device is not None:
        model.to(device)
    try:
        yield device or home, first.dtype
    finally:
        for module, training in modes.items():
            module.training = training
        if device is not None:
            model.to(home)


def _spread(source: Source) -> Tensor:
    """Images over the whole test split, and the first of each label."""
    labels = source.labels("test")
    count = len(source.dataset.splits["test"].content)
    evenly = torch.linspace(0, count - 1, min(IMAGES, count)).long()
    if labels is None:
        return evenly
    return torch.cat([evenly, *((labels == label).nonzero()[0] for label in labels.unique())]).unique()


def _given_the_label(request: MetricRequest) -> list[MetricValue]:
    note = f"{request.metric} says nothing of a model that is given the label"
    columns = load_catalog().metrics[request.metric].columns
    return [MetricValue(column, request.metric, request.protocol, "n/a", note=note) for column in columns]
