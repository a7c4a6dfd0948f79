"""Training and scoring on every device that is here: always the CPU, and a GPU where torch sees one."""

import pytest
import torch

from tests.compositions import ELBO, VMI, cell, composition, ppca_composition
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.metrics.evaluation import evaluate
from vaebench.metrics.subject import Subject
from vaebench.store.record import MetricRequest
from vaebench.training.checkpoint import Checkpoints
from vaebench.training.fitting import fit
from vaebench.training.fleet import Surroundings

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
TEST = {"split": "test", "seed": 0}
REQUESTS = [
    MetricRequest("elbo", {**TEST, "samples": 4, "kl": "analytic"}),
    MetricRequest("log_likelihood", {**TEST, "samples": 10, "images": 100}),
    MetricRequest("kl", {**TEST, "samples": 4}),
    MetricRequest("active_units", {**TEST, "threshold": 0.01}),
    MetricRequest("sharpness", {**TEST, "images": 50}),
]


def scored(device, view, cells, tmp_path, stepper="auto"):
    """The numbers of every cell, trained and scored on a device, in float64."""
    source = Source(load_dataset("digits"), view, torch.device(device), torch.float64)
    checkpoints = Checkpoints(lambda made: tmp_path / f"{device}-{stepper}-{made.id}", {}, interval=0.0)
    outcomes = list(fit(cells, Surroundings(source, stepper, checkpoints)))
    for outcome in outcomes:
        assert all(value.device.type == device for value in outcome.model.state_dict().values())
    found = [evaluate(Subject(outcome.model.to(torch.float64), source), REQUESTS) for outcome in outcomes]
    assert all(value.status != "failed" for values in found for value in values), found
    numbers = [[value.value for value in values if value.status == "done"] for values in found]
    assert all(len(row) >= len(REQUESTS) for row in numbers)
    return torch.tensor(numbers, dtype=torch.float64)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("objective", [ELBO, VMI], ids=lambda objective: objective["name"])
def test_every_device_finds_the_numbers_of_the_cpu(device, objective, tmp_path):
    """The streams are the same everywhere, so in float64 only rounding separates the devices."""
    cells = [cell(seed, choices=composition(objective=objective), epochs=2) for seed in range(3)]
    reference = scored("cpu", "binary", cells, tmp_path, stepper="in-turn")
    for stepper in ("in-turn", "mapped"):
        assert torch.allclose(scored(device, "binary", cells, tmp_path, stepper), reference, rtol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("view", ["grey", "dequantised"])
def test_closed_forms_fit_on_every_device(device, view, tmp_path):
    cells = [cell(seed, source=f"digits/{view}", choices=ppca_composition()) for seed in range(2)]
    assert torch.allclose(scored(device, view, cells, tmp_path), scored("cpu", view, cells, tmp_path), rtol=1e-6)
