"""Traced steps give the plain steps' numbers bit for bit; compiled ones up to rounding."""

import dataclasses

import pytest
import torch
from torch import nn

from tests.compositions import ELBO, VMI, cell, composition
from vaebench.catalog.catalog import load_catalog
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.suite.expansion import expand
from vaebench.suite.loading import load_suite
from vaebench.suite.trainers import library_of
from vaebench.training import steppers
from vaebench.training.checkpoint import Checkpoints
from vaebench.training.fleet import Interrupted, Surroundings, train_fleet
from vaebench.training.initialisation import build_system, is_fitted
from vaebench.training.inputs import Inputs, Timetable
from vaebench.training.member import Member
from vaebench.training.programs import Program, missing_for_compiling, plain_gradient, pure_gradient
from vaebench.training.steppers import Mapped, clip_each

CPU = torch.device("cpu")
compiler = pytest.mark.skipif(missing_for_compiling(CPU) is not None, reason="needs a C++ compiler")


@pytest.fixture(scope="module")
def binary():
    return Source(load_dataset("digits"), "binary", dtype=torch.float64)


def difference(one, other):
    pairs = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def smoke_cells():
    """One cell of every variant of the catalogue that is trained by gradients, on a view that it fits."""
    planned = expand(load_suite("catalogue_smoke")).planned
    found = {one.variant: one.cell for one in planned if library_of(one.cell.composition, load_catalog()) is None}
    return [made for made in found.values() if not is_fitted(made)]


def given_to(made, source, player):
    """What the gradient of a player is called with at the third step."""
    images = len(source.training_content("split"))
    member = Member(made, *build_system(made, source.dataset.shape, images))
    inputs = Inputs([made], source, member.objective.players, Timetable(made.recipe, images))
    inputs.prepare(0, 3)
    own = {name: value.detach() for name, value in member.system.named_parameters()}
    owned = {name: own[name] for name in member.owned[player]}
    others = {name: value for name, value in own.items() if name not in owned}
    noise, settings = ({n: v[0] for n, v in values.items()} for values in (inputs.noise(2, player), inputs.settings(2)))
    batches = member.objective.players[player].batches
    images, labels = (tuple(batch[0] for batch in of(2))[:batches] for of in (inputs.images, inputs.labels))
    return member, (owned, others, dict(member.system.named_buffers()), images, noise, settings, labels)


def test_every_loss_of_the_catalogue_is_traced_to_the_same_bits():
    """Loss, terms and gradients in float32: what autograd finds by the plain module is what the trace computes."""
    data, checked = load_dataset("digits"), 0
    for made in smoke_cells():
        source = Source(data, made.view)
        for number in range(len(build_system(made, source.dataset.shape, 1197)[1].players)):
            member, inputs = given_to(made, source, number)
            player = member.objective.players[number]
            gradients, (loss, terms) = plain_gradient(member.system, player)(*inputs)
            traced, (traced_loss, traced_terms) = Program(pure_gradient(member.system, player))(*inputs)
            assert torch.equal(loss, traced_loss)
            assert all(torch.equal(terms[name], traced_terms[name]) for name in terms)
            assert all(torch.equal(gradients[name], traced[name]) for name in gradients)
            assert max(float(value.abs().max()) for value in gradients.values()) > 0
            checked += 1
    assert checked > 50


def test_a_traced_fleet_ends_with_the_bits_of_a_plain_one(binary, monkeypatch):
    source = Source(binary.dataset, "binary")
    for objective in (ELBO, VMI):
        cells = [cell(seed, choices=composition(objective=objective), precision="float32") for seed in range(2)]
        plain = train_fleet(cells, Surroundings(source, "in-turn"))
        with monkeypatch.context() as patched:
            patched.setattr(steppers, "TRACED_STEPS", 1)
            traced = train_fleet(cells, Surroundings(source, "in-turn"))
        assert traced[0].details["preparing_seconds"] > 0 == plain[0].details["preparing_seconds"]
        for one, other in zip(plain, traced, strict=True):
            assert difference(one, other) == 0.0
            assert one.curves == other.curves


def test_a_loss_that_looks_at_numbers_on_the_host_is_run_as_it_is():
    def looking(owned, *rest):
        gradient = {name: value * float(value.sum()) for name, value in owned.items()}
        return gradient, (torch.zeros(()), {})

    program = Program(looking)
    with pytest.warns(UserWarning, match="cannot be traced"):
        first, _ = program({"w": torch.ones(2)})
    second, _ = program({"w": torch.full((2,), 2.0)})
    assert first["w"].tolist() == [2.0, 2.0]
    assert second["w"].tolist() == [8.0, 8.0]


@compiler
@pytest.mark.parametrize("stepper", ["in-turn", "mapped"])
def test_a_compiled_fleet_is_the_plain_one_up_to_rounding_and_resumes_on_its_path(binary, stepper, tmp_path):
    """float64, some hundred steps, to 1e-9; killed and resumed where compiling is no longer wished: the same bits."""
    cells = [cell(seed, learning_rate=rate, epochs=9) for seed, rate in ((0, 1e-3), (1, 2e-3))]
    plain = train_fleet(cells, Surroundings(binary, "in-turn"))
    compiled = train_fleet(cells, Surroundings(binary, stepper, compiled=True))
    assert all(outcome.details["compiled"] for outcome in compiled)
    for one, other in zip(plain, compiled, strict=True):
        assert 0.0 < difference(one, other) < 1e-9
    looks = iter([False, False, False, True])
    checkpoints = Checkpoints(lambda made: tmp_path / made.id, {}, interval=0.0)
    with pytest.raises(Interrupted):
        train_fleet(cells, Surroundings(binary, stepper, checkpoints, should_stop=lambda: next(looks), compiled=True))
    resumed = train_fleet(cells, Surroundings(binary, stepper, checkpoints))
    assert all(difference(one, other) == 0.0 for one, other in zip(compiled, resumed, strict=True))


def test_products_in_bfloat16_are_near_the_full_ones_and_nothing_else_changes():
    """Relative to the gradient, 2⁻⁸ a rounding; the elementwise parts of the loss are exact."""
    source = Source(load_dataset("digits"), "binary")
    member, inputs = given_to(cell(precision="float32"), source, 0)
    function = pure_gradient(member.system, member.objective.players[0])
    full, (loss, _) = Program(function)(*inputs)
    half, (half_loss, _) = Program(function, half_products=True)(*inputs)
    assert half_loss.dtype == torch.float32
    assert 0.0 < abs(float(half_loss - loss)) < 0.02 * abs(float(loss))
    for name, value in full.items():
        assert half[name].dtype == torch.float32
        assert float((half[name] - value).norm() / value.norm()) < 0.03
        by_hand = value.to(torch.bfloat16).float()
        assert value.dim() == 1 or torch.equal(half[name], half[name].to(torch.bfloat16).float())
        assert not torch.equal(by_hand, half[name])


def test_a_bfloat16_recipe_trains_and_is_another_cell(binary):
    source = Source(binary.dataset, "binary")
    full, half = (cell(0, precision=precision, epochs=5) for precision in ("float32", "bfloat16"))
    assert full.id != half.id
    (one,), (other,) = (train_fleet([made], Surroundings(source)) for made in (full, half))
    assert all(value.dtype == torch.float32 for value in other.model.state_dict().values())
    assert difference(one, other) > 0.0
    assert one.curves[-1]["loss"] == pytest.approx(other.curves[-1]["loss"], rel=0.01)


def test_clipping_along_the_fleet_axis_is_torchs_clipping_of_each_member():
    generator = torch.Generator().manual_seed(0)
    gradients = [
        torch.randn(3, *shape, generator=generator) * torch.tensor([0.01, 1.0, 10.0]).reshape(-1, *(1,) * len(shape))
        for shape in ((4, 5), (5,))
    ]
    expected = []
    for row in range(3):
        parameters = [nn.Parameter(torch.zeros(value[row].shape)) for value in gradients]
        for parameter, value in zip(parameters, gradients, strict=True):
            parameter.grad = value[row].clone()
        nn.utils.clip_grad_norm_(parameters, 0.5)
        expected.append([parameter.grad for parameter in parameters])
    clip_each(gradients, 0.5)
    for row in range(3):
        for ours, theirs in zip(gradients, expected[row], strict=True):
            assert torch.allclose(ours[row], theirs, rtol=1e-5)
    assert float(gradients[0][0].norm()) < 0.1


def test_members_of_one_learning_rate_move_by_one_kernel_and_leave_the_fleet_as_if_alone(binary):
    """Three runs of rates make three movers; the moments are views of the stack, with the member's own numbers."""
    rates = (1e-3, 1e-3, 2e-3, 1e-3)
    cells = [cell(seed, learning_rate=rate, epochs=2) for seed, rate in enumerate(rates)]
    members = [Member(made, *build_system(made, binary.dataset.shape, 1197)) for made in cells]
    mapped = Mapped(members, binary, Timetable(cells[0].recipe, 1197))
    assert [(mover.rows.start, mover.rows.stop) for mover in mapped.movers[0]] == [(0, 2), (2, 3), (3, 4)]
    mapped.advance(0, 3)
    for made, member in zip(cells, members, strict=True):
        alone = Member(made, *build_system(made, binary.dataset.shape, 1197))
        steppers.InTurn([alone], binary, Timetable(made.recipe, 1197)).advance(0, 3)
        theirs = alone.tensors()
        for name, value in member.tensors().items():
            assert torch.allclose(value, theirs[name], rtol=1e-9, atol=1e-12), name
        assert dataclasses.asdict(member.history) == dataclasses.asdict(alone.history)
