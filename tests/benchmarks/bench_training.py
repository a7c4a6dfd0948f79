"""Plain steps of one member of each family of objectives, all paths of one of them, and the views.

    pytest -n 0 tests/benchmarks/bench_training.py --benchmark-enable

`-n 0`, because pytest-benchmark times nothing where pytest has workers, which it has here without it.
"""

from itertools import cycle

import pytest
import torch

from tests.benchmarks.workloads import PATHS, taking
from tests.compositions import cell
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.data.views import VIEWS
from vaebench.suite.expansion import expand
from vaebench.suite.loading import load_suite_mapping
from vaebench.training.fleet import _member
from vaebench.training.inputs import SEGMENT_STEPS, Inputs, Timetable
from vaebench.training.programs import missing_for_compiling
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


def advancing(name: str, stepper: str, path: str):
    """A fleet of one that has taken its first step."""
    made = cell_of(name)
    source = Source(load_dataset(made.dataset), made.view)
    images = len(source.training_content("split"))
    with taking(path):
        fleet = STEPPERS[stepper](
            [_member(made, source, images)], source, Timetable(made.recipe, images), path == "compiled"
        )
    fleet.advance(0, 1)
    return fleet


@pytest.mark.parametrize("stepper", ["in-turn", "mapped"])
@pytest.mark.parametrize("name", FAMILIES)
def test_steps(benchmark, name, stepper):
    benchmark(advancing(name, stepper, "plain").advance, 1, 1 + STEPS)


@pytest.mark.parametrize("stepper", ["in-turn", "mapped"])
@pytest.mark.parametrize("path", PATHS)
def test_paths_of_the_elbo(benchmark, path, stepper):
    if path == "compiled" and (missing := missing_for_compiling(torch.device("cpu"))):
        pytest.skip(f"{missing} is missing")
    benchmark(advancing("vae", stepper, path).advance, 1, 1 + STEPS)


@pytest.mark.parametrize("view", [name for name in VIEWS if name != "real"])
def test_views(benchmark, view):
    """A batch as training reads it: gathered, drawn anew where the view does so, observed."""
    source = Source(load_dataset("digits"), view)
    made = cell(precision="float32", epochs=SEGMENT_STEPS, batch=128)
    inputs = Inputs([made], source, (), Timetable(made.recipe, len(source.training_content("split"))))
    inputs.prepare(0, SEGMENT_STEPS)
    steps = cycle(range(SEGMENT_STEPS))
    benchmark(lambda: inputs.images(next(steps)))
