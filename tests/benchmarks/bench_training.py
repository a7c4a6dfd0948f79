"""Steps of one member of each family of objectives, and views.

pytest tests/benchmarks/bench_*.py --benchmark-enable
"""

import pytest
import torch

from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.data.views import VIEWS
from vaebench.suite.expansion import expand
from vaebench.suite.loading import load_suite_mapping
from vaebench.training.fleet import _member
from vaebench.training.inputs import Timetable
from vaebench.training.steppers import STEPPERS

FAMILIES = {
    "vae": {},
    "iwae": {"objective": {"samples": 5}},
    "vae-score-function": {},
    "vae-em": {},
    "beta-vae-capacity": {},
    "factor-vae": {},
    "beta-tcvae": {},
    "dip-vae-ii": {},
    "info-vae": {},
    "vmi-vae": {},
    "wae-mmd": {},
    "wae-gan": {},
    "ae-contractive": {},
    "vae-iaf": {},
    "vampprior-vae": {"prior": {"components": 50}},
    "vae-gaussian": {},
    "cvae": {},
}
ON_GREY = ("wae-mmd", "wae-gan", "ae-contractive", "vae-gaussian")
STEPS = 10


def cell_of(name: str):
    suite = load_suite_mapping(
        {
            "suite": "speed",
            "datasets": ["digits/grey" if name in ON_GREY else "digits/binary"],
            "seeds": 1,
            "variants": [{"extends": name, **FAMILIES[name]}],
            "metrics": ["train_seconds"],
        }
    )
    return expand(suite).planned[0].cell


@pytest.mark.parametrize("stepper", ["in-turn", "mapped"])
@pytest.mark.parametrize("name", FAMILIES)
def test_steps(benchmark, name, stepper):
    made = cell_of(name)
    source = Source(load_dataset(made.dataset), made.view)
    images = len(source.training_content("split"))
    member = _member(made, source, images)
    fleet = STEPPERS[stepper]([member], source, Timetable(made.recipe, images), False)
    fleet.advance(0, 1)
    benchmark(fleet.advance, 1, 1 + STEPS)


@pytest.mark.parametrize("view", [name for name in VIEWS if name != "real"])
def test_views(benchmark, view):
    source = Source(load_dataset("digits"), view)
    content = source.training_content("split")
    index = torch.arange(128).reshape(1, 128)
    u = torch.rand(1, 128, source.pixels)
    benchmark(source.training_batch, content, index, u)
