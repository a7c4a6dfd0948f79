"""The memory of a fleet is predicted from tensors without content, and held against what the allocator hands out."""

import gc

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from tests.benchmarks.workloads import Shape, Steps, random_source
from vaebench.training.held import HeldBytes
from vaebench.training.inputs import NOISE_BLOCK
from vaebench.training.memory import Demand, demand, most_members


def handed_out(run):
    """Bytes that the allocator had given to `run` at most."""
    gc.collect()  # what others left must not be given back in between
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        run()
    now = peak = 0
    memory = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(memory, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


@pytest.mark.parametrize("stepper", ["in-turn", "mapped"])
@pytest.mark.parametrize(
    "shape",
    [Shape(1), Shape(4), Shape(2, hidden=1000), Shape(2, batch=512), Shape(2, samples=20), Shape(10, hidden=64)],
    ids=["one", "four", "wide", "large batches", "many draws", "ten small ones"],
)
def test_the_peak_of_a_fleet_is_predicted_within_a_fifth(shape, stepper):
    assert predicted(shape, stepper) == pytest.approx(found(shape, stepper, steps=3), rel=0.2)


@pytest.mark.parametrize("stepper", ["in-turn", "mapped"])
@pytest.mark.parametrize("shape", [Shape(2, hidden=1000), Shape(10, hidden=64)], ids=["wide", "ten small ones"])
def test_also_with_the_large_blocks_of_noise_that_a_gpu_draws(shape, stepper, monkeypatch):
    """Of 128 images of 784 pixels a block lasts for 41 steps of a member; only then one is drawn beside all else."""
    monkeypatch.setitem(NOISE_BLOCK, "cpu", NOISE_BLOCK["cuda"])
    assert predicted(shape, stepper) == pytest.approx(found(shape, stepper, steps=45), rel=0.2)


def predicted(shape, stepper):
    return demand(shape.cells()[0], random_source(1024)).of(shape.members, stepper)


def found(shape, stepper, steps):
    source, kept = random_source(1024), []

    def train():
        kept.append(Steps(shape, source, stepper))
        kept[0](steps)

    return handed_out(train)


@pytest.mark.parametrize("stepper", ["in-turn", "mapped"])
@pytest.mark.parametrize("free", [0, 10**7, 10**9])
def test_the_largest_fleet_fits_and_a_larger_one_does_not(stepper, free):
    wanted = Demand(lasting=300_000, gradient=50_000, drawn=(640, 50_000), block=1 << 16, itemsize=4)
    members = most_members(wanted, stepper, free)
    assert members == 1 or wanted.of(members, stepper) <= free
    assert wanted.of(members + 1, stepper) > free


def test_held_bytes_count_storages_once_and_let_go_of_what_is_gone():
    before = torch.zeros(1000)
    with HeldBytes() as held:
        first = torch.zeros(1000)
        view = first.view(10, 100) + 0 * before[0]
        assert held.now == 4 * (1000 + 1000)
        del first
        assert held.now == 4 * 1000
        second = torch.ones(500)
        del view, second
    assert held.now == 0
    assert held.peak >= 4 * (1000 + 1000)
