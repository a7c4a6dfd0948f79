"""A recorded program gives the program's numbers; on the CPU a recording is played by running the program again."""

import pytest
import torch
from torch.utils._pytree import tree_leaves

from tests.compositions import ELBO, cell, composition
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.training import steppers
from vaebench.training.capture import Captured, Unlike, record_on_gpu
from vaebench.training.fleet import Surroundings, train_fleet
from vaebench.training.programs import Program

ADVERSARIAL = {"name": "adversarial", "lambda": 1.0, "critic_hidden": [8]}


def record_here(run):
    """As a GPU does it: from what is in the memory of now, into the memory of then."""
    outcome = run()

    def replay():
        for kept, value in zip(tree_leaves(outcome), tree_leaves(run()), strict=True):
            kept.copy_(value)

    return outcome, replay


def record_once(run):
    """A recording that does not see what changes."""
    return run(), lambda: None


def squares(owned, others, buffers, batches, scale):
    """d/dw of scale · ½ Σ (w x)²"""
    (x,) = batches
    inner = owned["w"] * x
    return {"w": scale["s"] * inner * x}, (scale["s"] * 0.5 * inner.square().sum(), {"inner": inner.sum()})


def arguments(w, x, s):
    return {"w": w}, {}, {}, (x,), {"s": s}


def test_a_replay_reads_the_parameters_where_they_are_and_what_is_given_with_each_step():
    w = torch.tensor([1.0, 2.0])
    recorded = Captured(squares, arguments(w, torch.tensor([3.0, 4.0]), torch.tensor(1.0)), record_here)
    kept = []
    for step in range(3):
        x, s = torch.tensor([step + 1.0, 2.0]), torch.tensor(float(step))
        gradients, (loss, terms) = recorded(*arguments(w, x, s))
        expected, (expected_loss, expected_terms) = squares(*arguments(w, x, s))
        assert torch.equal(gradients["w"], expected["w"])
        kept.append((loss, terms["inner"], expected_loss, expected_terms["inner"]))
        w += 1.0
    for loss, inner, expected_loss, expected_inner in kept:
        assert torch.equal(loss, expected_loss)
        assert torch.equal(inner, expected_inner)


def test_what_is_given_is_left_as_it_is():
    x, s = torch.tensor([3.0, 4.0]), torch.tensor(2.0)
    recorded = Captured(squares, arguments(torch.ones(2), x, s), record_here)
    recorded(*arguments(torch.ones(2), torch.zeros(2), torch.tensor(5.0)))
    assert x.tolist() == [3.0, 4.0]
    assert float(s) == 2.0


def test_a_replay_that_is_unlike_the_program_is_found_before_it_is_used():
    given = arguments(torch.ones(2), torch.tensor([3.0, 4.0]), torch.tensor(1.0))
    looks = iter(range(100))

    def changing(*inputs):
        gradients, rest = squares(*inputs)
        return {"w": gradients["w"] + next(looks)}, rest

    with pytest.raises(Unlike):
        Captured(changing, given, record_once)


def test_a_program_that_cannot_be_recorded_goes_on_without():
    def refusing(run):
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    program = Program(squares, record=refusing)
    given = arguments(torch.ones(2), torch.tensor([3.0, 4.0]), torch.tensor(1.0))
    with pytest.warns(UserWarning, match="cannot be recorded.*stream is capturing$"):
        program(*given)
    gradients, _ = program(*arguments(torch.ones(2), torch.tensor([1.0, 2.0]), torch.tensor(3.0)))
    assert gradients["w"].tolist() == [3.0, 12.0]


@pytest.mark.parametrize("objective", [ELBO, ADVERSARIAL], ids=["one player", "two players"])
def test_a_fleet_of_recorded_steps_ends_with_the_bits_of_the_others(objective, monkeypatch):
    """The KL's weight grows, so that settings change with the step; every curve is compared."""
    source = Source(load_dataset("digits"), "binary")
    choices = composition(objective=objective)
    cells = [cell(seed, choices=choices, precision="float32", kl_warmup=2, epochs=3) for seed in range(2)]
    monkeypatch.setattr(steppers, "TRACED_STEPS", 1)
    plain = train_fleet(cells, Surroundings(source, "mapped"))
    count = 0

    def counted(run):
        nonlocal count
        count += 1
        return record_here(run)

    monkeypatch.setattr(steppers, "recorder", lambda device: counted)
    recorded = train_fleet(cells, Surroundings(source, "mapped"))
    assert count == (1 if objective is ELBO else 2)
    for one, other in zip(plain, recorded, strict=True):
        assert one.curves == other.curves
        for name, value in one.model.state_dict().items():
            assert torch.equal(value, other.model.state_dict()[name])


def test_there_is_nothing_to_record_on_a_cpu():
    assert steppers.recorder(torch.device("cpu")) is None
    recorder = steppers.recorder(torch.device("cuda:1"))
    assert recorder.func is record_on_gpu
    assert recorder.args == (torch.device("cuda:1"),)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="records what a GPU is told")
@pytest.mark.parametrize("compiled", [False, True], ids=["traced", "compiled"])
def test_on_a_gpu_a_recorded_fleet_is_the_one_that_is_launched_step_by_step(compiled, monkeypatch):
    source = Source(load_dataset("digits"), "binary", torch.device("cuda"))
    cells = [cell(seed, precision="float32", kl_warmup=2, epochs=3) for seed in range(3)]
    monkeypatch.setattr(steppers, "TRACED_STEPS", 1)
    recorded = train_fleet(cells, Surroundings(source, "mapped", compiled=compiled))
    monkeypatch.setattr(steppers, "recorder", lambda device: None)
    launched = train_fleet(cells, Surroundings(source, "mapped", compiled=compiled))
    for one, other in zip(launched, recorded, strict=True):
        for name, value in one.model.state_dict().items():
            assert torch.allclose(value, other.model.state_dict()[name], rtol=1e-4, atol=1e-6), name
