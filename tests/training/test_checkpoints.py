"""A killed training goes on with the numbers of one that was never interrupted."""

import dataclasses
import itertools
import random

import pytest
import torch

from tests.compositions import ELBO, VMI, cell, composition
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.training import fitting, inputs, memory
from vaebench.training.checkpoint import Checkpoints
from vaebench.training.fleet import Interrupted, Surroundings, train_fleet
from vaebench.training.initialisation import build_system
from vaebench.training.member import Member


@pytest.fixture(scope="module")
def binary():
    return Source(load_dataset("digits"), "binary")


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    """So that a few epochs have places to stop in the middle of one."""
    monkeypatch.setattr(inputs, "SEGMENT_STEPS", 5)


def cells_of(objective, **parameters):
    recipe = {"precision": "float32", "epochs": 6, "select": "best-validation", "patience": 4, **parameters}
    return [cell(seed, choices=composition(objective=objective), **recipe) for seed in range(3)]


def checkpoints_in(folder, sources=None, interval=1e9):
    return Checkpoints(lambda cell: folder / f"{cell.id}.safetensors", sources or {}, interval)


def fresh_member(cell, source):
    system, objective = build_system(cell, source.dataset.shape, len(source.training_content("train")))
    return Member(cell, system, objective)


def assert_same(one, other):
    assert one.curves == other.curves
    assert one.details == other.details
    for a, b in zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def stop_after(looks):
    counter = itertools.count(1)
    return lambda: next(counter) > looks


@pytest.mark.parametrize("objective", [ELBO, VMI], ids=lambda objective: objective["name"])
@pytest.mark.parametrize("stepper", ["in-turn", "mapped"])
@pytest.mark.parametrize("looks", [1, 4, 9])
def test_a_stopped_fleet_ends_with_the_numbers_of_an_undisturbed_one(binary, tmp_path, objective, stepper, looks):
    cells = cells_of(objective)
    undisturbed = train_fleet(cells, Surroundings(binary, stepper))
    checkpoints = checkpoints_in(tmp_path)
    with pytest.raises(Interrupted):
        train_fleet(cells, Surroundings(binary, stepper, checkpoints, should_stop=stop_after(looks)))
    assert len(list(tmp_path.iterdir())) == 3
    resumed = train_fleet(cells, Surroundings(binary, stepper, checkpoints))
    for one, other in zip(undisturbed, resumed, strict=True):
        assert_same(one, other)


def test_members_whose_checkpoints_are_lost_start_anew_and_the_others_go_on(binary, tmp_path):
    """As after a kill between the files of two members."""
    cells = cells_of(ELBO)
    undisturbed = train_fleet(cells, Surroundings(binary))
    checkpoints = checkpoints_in(tmp_path)
    with pytest.raises(Interrupted):
        train_fleet(cells, Surroundings(binary, checkpoints=checkpoints, should_stop=stop_after(6)))
    checkpoints.path_of(cells[1]).unlink()
    damaged = checkpoints.path_of(cells[2])
    content = bytearray(damaged.read_bytes())
    content[-7] ^= 1
    damaged.write_bytes(content)
    begun = []
    resumed = train_fleet(cells, Surroundings(binary, checkpoints=checkpoints, on_epoch=begun.append))
    assert [progress.members for progress in begun if progress.epoch == 6] == [1, 2]
    for one, other in zip(undisturbed, resumed, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", bytes(1000)])
def test_a_damaged_checkpoint_is_not_taken_up(binary, tmp_path, damage):
    cells = cells_of(ELBO)[:1]
    checkpoints = checkpoints_in(tmp_path)
    checkpoints.path_of(cells[0]).write_bytes(damage)
    (begun_anew,) = train_fleet(cells, Surroundings(binary, checkpoints=checkpoints))
    assert_same(begun_anew, train_fleet(cells, Surroundings(binary))[0])


def test_no_flipped_bit_of_a_checkpoint_is_taken_up(binary, tmp_path):
    """Neither of its numbers nor of what is said about them: the step, the curves, the best loss so far."""
    cell = cells_of(ELBO)[0]
    checkpoints = checkpoints_in(tmp_path)
    with pytest.raises(Interrupted):
        train_fleet([cell], Surroundings(binary, checkpoints=checkpoints, should_stop=stop_after(6)))
    path = checkpoints.path_of(cell)
    written = path.read_bytes()
    head = 8 + int.from_bytes(written[:8], "little")
    member = fresh_member(cell, binary)
    step = checkpoints.restore(member)
    assert step > 0
    chance = random.Random(0)
    noticed = 0
    for number in range(400):
        content = bytearray(written)
        content[chance.randrange(head if number % 2 else len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        other = fresh_member(cell, binary)
        found = checkpoints.restore(other)
        noticed += found == 0
        if found:
            assert found == step
            assert other.history == member.history
            for name, tensor in member.tensors().items():
                assert torch.equal(tensor, other.tensors()[name])
    assert noticed > 300


def test_a_checkpoint_of_other_sources_is_not_taken_up(binary, tmp_path):
    cells = cells_of(ELBO)[:1]
    with pytest.raises(Interrupted):
        train_fleet(cells, Surroundings(binary, checkpoints=checkpoints_in(tmp_path), should_stop=stop_after(6)))
    changed = checkpoints_in(tmp_path, {cells[0].id: {"objectives": "other"}})
    epochs = []
    train_fleet(cells, Surroundings(binary, checkpoints=changed, on_epoch=epochs.append))
    assert epochs[0].epoch == 1


def test_checkpoints_are_taken_by_time(binary, tmp_path):
    saved = []

    class Counting(Checkpoints):
        def save(self, members, step):
            saved.append(step)
            super().save(members, step)

    cells = cells_of(ELBO)
    train_fleet(cells, Surroundings(binary, checkpoints=Counting(lambda cell: tmp_path / cell.id, {}, interval=0.0)))
    assert len(saved) > 12
    saved.clear()
    never = Counting(lambda cell: tmp_path / f"{cell.id} again", {}, interval=1e9)
    train_fleet(cells_of(ELBO, patience=None), Surroundings(binary, checkpoints=never))
    assert saved == []


def test_a_fleet_that_runs_out_of_memory_is_cut_and_loses_no_number(binary, monkeypatch):
    cells = [dataclasses.replace(cells_of(ELBO)[0], seed=seed) for seed in range(5)]
    undisturbed = train_fleet(cells, Surroundings(binary))
    sizes = []

    def crowded(part, around):
        sizes.append(len(part))
        if len(part) > 2:
            raise torch.OutOfMemoryError("no room")
        return train_fleet(part, around)

    monkeypatch.setattr(fitting, "train_fleet", crowded)
    outcome = list(fitting.fit(cells, Surroundings(binary)))
    assert sizes == [5, 2, 2, 1]
    for one, other in zip(undisturbed, outcome, strict=True):
        assert_same(one, other)


def test_one_member_that_does_not_fit_says_so(binary, monkeypatch):
    def full(part, around):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(fitting, "train_fleet", full)
    with pytest.raises(torch.OutOfMemoryError):
        list(fitting.fit(cells_of(ELBO), Surroundings(binary)))


def test_a_fleet_too_large_for_the_free_memory_is_trained_in_parts(binary, monkeypatch):
    cells = cells_of(ELBO)
    wanted = memory.demand(cells[0], binary)
    parameters = 64 * 24 + 24 + 24 * 8 + 8 + 4 * 24 + 24 + 24 * 64 + 64
    assert wanted.lasting >= 5 * 4 * parameters
    for stepper in ("mapped", "in-turn"):
        room = (wanted.of(2, stepper) + wanted.of(3, stepper)) / 2
        monkeypatch.setattr(memory, "free_bytes", lambda device, room=room: room / memory.SHARE)
        assert memory.largest_fleet(cells[0], Surroundings(binary, stepper)) == 2
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1.0)
    assert memory.largest_fleet(cells[0], Surroundings(binary, "mapped")) == 1
