"""Models that were trained elsewhere, scored as a suite scores its own; plugins, examined."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaebench.catalog.catalog import load_catalog
from vaebench.plugins.loading import load_plugins
from vaebench.project.data import check_data_of, root_of
from vaebench.project.settings import UnknownName, check_device
from vaebench.suite import question
from vaebench.suite.mistakes import Findings, SuiteError

if TYPE_CHECKING:
    from vaebench.conformance.finding import Examined
    from vaebench.models.contract import LatentVariableModel
    from vaebench.models.given import ConditionalModel
    from vaebench.reporting.evaluation import Evaluation
    from vaebench.store.record import MetricRequest


USUAL = ("elbo", "log_likelihood", "kl")
"""Metrics that an evaluation has unless it is asked for others."""


def parsed_metrics(text: str) -> list[str | dict[str, dict[str, Any]]]:
    """Of `elbo,log_likelihood:samples=5000:images=100` what `evaluate` takes; values are YAML, lists in brackets."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    found: list[str | dict[str, dict[str, Any]]] = []
    for entry in filter(None, (part.strip() for part in re.split(r",(?![^\[]*\])", text))):
        metric, *settings = entry.split(":")
        chosen = {}
        for setting in settings:
            name, equals, value = setting.partition("=")
            try:
                chosen[name.strip()] = YAML(typ="safe").load(value)
            except YAMLError:
                equals = ""
            if not equals or not name.strip():
                raise UnknownName(f"--metrics {entry}: {setting!r} must be SETTING=VALUE, as in samples=5000")
        found.append({metric.strip(): chosen} if chosen else metric.strip())
    return found


def evaluate(
    model: "LatentVariableModel | ConditionalModel",
    dataset: str,
    metrics: question.Metrics = USUAL,
    seed: int = 0,
    budget: str = "quick",
    data_root: Path | None = None,
    device: str | None = None,
    on_metric: Callable[[str], None] = lambda metric: None,
) -> "Evaluation":
    """What a suite would report of `model` on a data set view such as `mnist/binary`: metric → value, as a table.

    `model` keeps the contract of vaebench.models.contract, whoever trained it. `metrics` may change the budget as a
    suite's may: ["elbo", {"log_likelihood": {"samples": 5000}}]. `device` None: where the model lies.
    """
    from vaebench.engines.work import choose_device
    from vaebench.metrics.evaluation import evaluate_model
    from vaebench.reporting.evaluation import Evaluation

    requests = _asked(dataset, metrics, seed, budget, device)
    check_data_of(dataset, root_of(data_root))
    movable = device is not None and (device != "auto" or hasattr(model, "to"))
    where = choose_device(device) if device is not None and movable else None
    return Evaluation(evaluate_model(model, dataset, requests, root_of(data_root), where, on_metric))


def evaluate_reference(
    reference: str,
    dataset: str,
    metrics: question.Metrics = USUAL,
    state: Path | None = None,
    seed: int = 0,
    budget: str = "quick",
    data_root: Path | None = None,
    device: str = "auto",
    on_metric: Callable[[str], None] = lambda metric: None,
    trust: bool = False,
) -> "Evaluation":
    """The same of what `module:factory` or `path/to/file.py:factory` makes, filled from a safetensors file, or of a
    folder that a library has saved, `pythae:FOLDER`; networks that are pickled there are opened on `trust` only."""
    from vaebench.models import foreign

    library, colon, folder = reference.partition(":")
    if library in load_catalog().libraries and not folder:
        raise UnknownName(f"evaluate: model: {library}{colon} names no folder: give {library}:FOLDER")
    if library in load_catalog().libraries:
        model = _saved_model(library, Path(folder), dataset, metrics, state, seed, budget, data_root, device, trust)
        return evaluate(model, dataset, metrics, seed, budget, data_root, device, on_metric)
    mistakes = foreign.mistakes(reference, state)
    if Path(reference).is_dir():
        read = " or ".join(f"{name}:{reference}" for name in load_catalog().libraries)
        mistakes = [f"{reference!r} is a folder: give {read} if that is who saved it, or FILE.py:FACTORY"]
    _asked(dataset, metrics, seed, budget, device, mistakes)
    model = foreign.load(reference, state, seed)
    return evaluate(model, dataset, metrics, seed, budget, data_root, device, on_metric)


def _saved_model(
    library: str,
    folder: Path,
    dataset: str,
    metrics: question.Metrics,
    state: Path | None,
    seed: int,
    budget: str,
    data_root: Path | None,
    device: str,
    trust: bool,
) -> "LatentVariableModel":
    """The model in a folder that a library has saved, after everything that is asked of it was checked."""
    from vaebench.catalog.implementation import implementation

    adapter = load_catalog().libraries[library]
    mistakes = implementation(adapter.examines)(folder, dataset, trust)
    if state is not None:
        mistakes.append(f"--state: {library}:{folder} brings its own parameters")
    _asked(dataset, metrics, seed, budget, device, mistakes)
    model: LatentVariableModel = implementation(adapter.loads)(folder, dataset, root_of(data_root), trust)
    return model


def _asked(
    dataset: str, metrics: question.Metrics, seed: int, budget: str, device: str | None, mistakes: Sequence[str] = ()
) -> "list[MetricRequest]":
    """The requests; raises UnknownName with a line for each mistake, those that are known already among them."""
    findings = Findings("evaluate", {})
    for mistake in mistakes:
        findings.add(("model",), mistake)
    try:
        check_device(device or "auto")
    except UnknownName as unknown:
        findings.add(("device",), str(unknown))
    requests = question.requests(dataset, metrics, seed, budget, findings)
    try:
        findings.raise_if_any()
    except SuiteError as error:
        raise UnknownName(str(error)) from None
    return requests


def examine(references: Sequence[str | Path]) -> "Examined":
    """Do plugins keep what their kinds promise? Everything that they bring is tried, small and quick."""
    from vaebench.conformance.conformance import examine as examine_plugin
    from vaebench.conformance.finding import Examined

    if not references:
        raise UnknownName("check: give a suite, or a plugin: vaebench check --plugin my_plugin.py")
    return Examined(tuple(found for plugin in load_plugins(*references) for found in examine_plugin(plugin)))
