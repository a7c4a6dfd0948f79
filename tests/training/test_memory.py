"""The memory of a fleet is predicted from tensors without content, and held against what the allocator hands out."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from tests.benchmarks.workloads import Shape, Steps, random_source
from vaebench.training.held import HeldBytes
from vaebench.training.memory import member_bytes


def handed_out(run):
    """Bytes that the allocator had given to `run` at most."""
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
    [Shape(1), Shape(4), Shape(2, hidden=1000), Shape(2, batch=512), Shape(2, samples=20)],
    ids=["one", "four", "wide", "large batches", "many draws"],
)
def test_the_peak_of_a_fleet_is_predicted_within_a_fifth(shape, stepper):
    source, kept = random_source(1024), []

    def train():
        kept.append(Steps(shape, source, stepper))
        kept[0](3)

    lasting, working = member_bytes(shape.cells()[0], source)
    predicted = shape.members * lasting + working * (shape.members if stepper == "mapped" else 1)
    assert predicted == pytest.approx(handed_out(train), rel=0.2)


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
