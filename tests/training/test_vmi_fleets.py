"""The two players of VMI train as a fleet with every kind of sub-code, by both steppers alike."""

import pytest
import torch

from tests.compositions import VMI, cell, composition
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.training.fleet import Surroundings, train_fleet

JOINT = {
    "latent": 7,
    "conditional": False,
    "posterior": {"name": "joint", "categories": 4, "temperature": 1.0, "final_temperature": 0.5},
    "prior": {"name": "normal-and-uniform", "categories": 4},
}


@pytest.mark.parametrize("entropy", ["aggregate", "prior"])
def test_a_category_as_subcode_trains_alike_by_both_steppers(entropy):
    source = Source(load_dataset("digits"), "binary", dtype=torch.float64)
    weights = (0.5, 2.0)
    objectives = [{**VMI, "code": "category", "entropy": entropy, "lambda": weight} for weight in weights]
    cells = [cell(seed, choices=composition(**JOINT, objective=made)) for seed, made in enumerate(objectives)]
    in_turn, mapped = (train_fleet(cells, Surroundings(source, stepper)) for stepper in ("in-turn", "mapped"))
    for one, other in zip(in_turn, mapped, strict=True):
        for a, b in zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True):
            assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)
