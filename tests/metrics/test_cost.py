"""What training took."""

import pytest
import torch

from tests.compositions import cell, composition
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.metrics import cost
from vaebench.metrics.answer import NotApplicable
from vaebench.metrics.subject import Subject
from vaebench.training.fleet import Surroundings, train_fleet
from vaebench.training.peak import Peak


def test_peak_memory_is_the_fleets_share_in_mebibytes_and_asked_of_gpus_only():
    source = Source(load_dataset("digits"), "binary")
    asked = Subject(None, source, train_seconds=1.0, peak_bytes=3 * 2**20)
    assert cost.peak_memory(asked, {})[0].value == 3.0
    with pytest.raises(NotApplicable, match="GPUs only"):
        cost.peak_memory(Subject(None, source, train_seconds=1.0), {})
    with pytest.raises(NotApplicable, match="not trained here"):
        cost.peak_memory(Subject(None, source), {})
    assert Peak(torch.device("cpu")).share(4) == {}
    (trained,) = train_fleet(
        [cell(epochs=1)], Surroundings(Source(load_dataset("digits"), "binary", dtype=torch.float64))
    )
    assert "peak_bytes" not in trained.details


@pytest.mark.skipif(not torch.cuda.is_available(), reason="a GPU keeps the count")
def test_a_fleet_on_a_gpu_holds_at_least_its_parameters_gradients_and_moments():
    source = Source(load_dataset("digits"), "binary", torch.device("cuda"), torch.float64)
    wide = composition(network={"name": "mlp", "hidden": [1000], "activation": "relu", "initialisation": "torch"})
    cells = [cell(seed=seed, choices=wide, epochs=1) for seed in range(3)]
    trained = train_fleet(cells, Surroundings(source))
    count = sum(value.numel() for value in trained[0].model.parameters())
    held = [outcome.details["peak_bytes"] for outcome in trained]
    assert len(set(held)) == 1
    assert 4 * 8 * count < held[0] < 40 * 8 * count
