"""A plan's time is judged by earlier cells of the same machine, the most alike first."""

import dataclasses
import io
import math

import pytest
from rich.console import Console

from tests.compositions import ELBO as ELBO_OBJECTIVE
from tests.compositions import cell, composition
from tests.engines.tiny import tiny
from vaebench.cli_view import print_plan
from vaebench.data.dataset import load_dataset
from vaebench.engines.estimate import estimate_seconds, machine, makespan
from vaebench.engines.job import CellWork, Job
from vaebench.engines.planning import plan
from vaebench.engines.size import BESIDE, size
from vaebench.store.folders import ResultsFolder
from vaebench.store.record import MetricRequest, MetricValue, Record
from vaebench.training.checkpoint import Checkpoints
from vaebench.training.initialisation import build_system
from vaebench.training.member import Member

ELBO = MetricRequest("elbo", {"samples": 8, "split": "test", "seed": 0})
MORE = MetricRequest("elbo", {"samples": 64, "split": "test", "seed": 0})
WIDE = composition(network={"name": "mlp", "hidden": [500], "activation": "relu", "initialisation": "torch"})


def leave(results, made, seconds, scoring=(), where=None):
    """A record of `made` that took `seconds` to train, and to score by each request what stands beside it."""
    took = {request.key: each for request, each in scoring}
    training = {"seconds": seconds, "epochs": made.recipe["epochs"], "scoring_seconds": took}
    metrics = [MetricValue(request.metric, request.metric, request.protocol, "done", 0.0) for request, _ in scoring]
    folder = results.cell(made.id)
    folder.write_cell(made)
    folder.write_record(Record(made.id, "done", {}, metrics, training=training, environment=where or machine()))


def job(*cells, requests=(), train=True):
    return Job(cells[0].id, tuple(CellWork(made, train, tuple(requests), {}) for made in cells), {})


@pytest.fixture
def results(tmp_path):
    return ResultsFolder(tmp_path)


def test_nothing_to_do_takes_no_time_and_the_unknown_is_not_guessed(results):
    assert estimate_seconds([], results, workers=2) == 0.0
    assert estimate_seconds([job(cell())], results, workers=2) is None


def test_epochs_and_members_scale_the_time_of_an_earlier_seed(results):
    leave(results, cell(seed=0, epochs=3), seconds=6.0)
    todo = job(cell(seed=1, epochs=30), cell(seed=2, epochs=30))
    assert estimate_seconds([todo], results, workers=1) == pytest.approx(2 * 30 * 2.0)


def test_fewer_images_an_epoch_take_less_in_proportion(results):
    """Of the 1,197 training images of digits the first 399."""
    leave(results, cell(seed=0), seconds=6.0)
    few = job(cell(seed=1, first_images=399))
    assert estimate_seconds([few], results, workers=1) == pytest.approx(2.0)


def test_the_most_alike_cell_decides(results):
    leave(results, cell(seed=0), seconds=3.0)
    leave(results, cell(seed=0, choices=WIDE), seconds=30.0)
    assert estimate_seconds([job(cell(seed=9))], results, workers=1) == pytest.approx(3.0)
    assert estimate_seconds([job(cell(seed=9, choices=WIDE))], results, workers=1) == pytest.approx(30.0)


def test_a_fit_takes_as_long_as_a_fit_whatever_the_epochs_of_the_recipe(results):
    """The fit that is on record took 40 iterations; where none is, it counts as one epoch of what takes steps."""
    fit = cell(choices=composition(objective={"name": "ppca"}), epochs=40)
    leave(results, cell(), seconds=3.0)
    assert estimate_seconds([job(fit)], results, workers=1) == pytest.approx(3.0 / cell().recipe["epochs"])
    leave(results, fit, seconds=5.0)
    again = dataclasses.replace(fit, seed=8, recipe={**fit.recipe, "epochs": 20_000})
    assert estimate_seconds([job(again)], results, workers=1) == pytest.approx(5.0)
    other = cell(choices=composition(objective={"name": "pca"}), epochs=7)
    assert estimate_seconds([job(other)], results, workers=1) == pytest.approx(5.0)
    wide = cell(seed=6, choices=WIDE)
    assert estimate_seconds([job(wide)], results, workers=1) == pytest.approx(3.0 * size(wide) / size(cell()))


def test_records_of_another_machine_teach_nothing(results):
    leave(results, cell(seed=0), seconds=3.0, where={**machine(), "cores": 10_000})
    assert estimate_seconds([job(cell(seed=1))], results, workers=1) is None


def test_scoring_counts_by_its_own_protocol_first(results):
    leave(results, cell(seed=0), 3.0, scoring=[(ELBO, 1.0), (MORE, 9.0)])
    assert estimate_seconds([job(cell(seed=1), requests=[ELBO])], results, workers=1) == pytest.approx(4.0)
    assert estimate_seconds([job(cell(seed=1), requests=[MORE], train=False)], results, workers=1) == pytest.approx(9.0)


def test_another_protocol_takes_in_proportion_to_its_draws_and_images(results):
    """Digits have 300 test images, whatever number is asked for."""

    def likelihood(samples, images):
        return MetricRequest("log_likelihood", {"samples": samples, "images": images, "split": "test", "seed": 0})

    leave(results, cell(seed=0), 3.0, scoring=[(likelihood(10, 100), 2.0)])
    for samples, images, times in ((10, 100, 1), (500, 100, 50), (10, 200, 2), (50, 10_000, 15)):
        todo = job(cell(seed=1), requests=[likelihood(samples, images)], train=False)
        assert estimate_seconds([todo], results, workers=1) == pytest.approx(2.0 * times)
    odd = MetricRequest("log_likelihood", {"samples": "many", "images": -1, "split": "nowhere"})
    leave(results, cell(seed=2), 3.0, scoring=[(odd, 1.0)])
    assert estimate_seconds([job(cell(seed=1), requests=[odd], train=False)], results, workers=1) == pytest.approx(1.0)


def test_fleets_at_a_time_share_the_clock_but_none_is_cut(results):
    leave(results, cell(seed=0), seconds=10.0)
    long = job(*(cell(seed=seed) for seed in range(1, 5)))
    short = job(cell(seed=9))
    assert estimate_seconds([short, short], results, workers=2) == pytest.approx(10.0)
    assert estimate_seconds([long, short], results, workers=2) == pytest.approx(40.0)


@pytest.mark.parametrize(
    ("fleets", "workers", "seconds"),
    [([], 2, 0.0), ([3, 3, 3], 1, 9), ([3, 3, 3], 2, 6), ([1, 1, 4], 2, 5), ([4, 1, 1], 2, 4), ([2, 1], 8, 2)],
)
def test_fleets_begin_in_the_order_of_the_plan_as_workers_become_free(fleets, workers, seconds):
    assert makespan(fleets, workers) == seconds


def test_a_damaged_record_is_passed_over(results):
    leave(results, cell(seed=0), seconds=3.0)
    damaged = results.cell(cell(seed=5).id)
    damaged.write_cell(cell(seed=5))
    damaged.result.write_text("{")
    assert estimate_seconds([job(cell(seed=1))], results, workers=1) == pytest.approx(3.0)


def stand(results, made, step, seconds, fingerprints=None, preparing=0.0):
    """A checkpoint of `made` after so many steps, as training leaves it."""
    checkpoints = Checkpoints(lambda cell: results.cell(cell.id).checkpoint, {made.id: fingerprints or {}})
    system, objective = build_system(made, load_dataset("digits").shape, 1197)
    member = Member(made, system, objective)
    member.history.seconds, member.history.preparing = seconds + preparing, preparing
    checkpoints.save([member], step)


def test_a_model_that_stands_half_way_takes_what_remains_at_its_own_pace(results):
    """40 epochs of 1,197 images in batches of 100; a quarter of them took 5 s."""
    made = cell(seed=0, epochs=40)
    stand(results, made, step=round(10 * 1197 / 100), seconds=5.0)
    assert estimate_seconds([job(made)], results, workers=1) == pytest.approx(15.0, rel=0.01)


def test_a_plan_says_what_goes_on_from_a_checkpoint(results):
    suite = tiny(variants=["vae"], seeds=2)
    (first, second) = plan(suite, results).cells
    batch = first.cell.recipe["batch"]
    stand(results, first.cell, math.ceil(1197 / batch), seconds=5.0, fingerprints=first.fingerprints)
    stand(results, second.cell, math.ceil(1197 / batch), seconds=5.0, fingerprints={"training": "of older sources"})
    made = plan(suite, results)
    epochs = first.cell.recipe["epochs"]
    assert [cell.decision.why for cell in made.cells] == [f"stopped after 1 of {epochs} epochs", "never trained"]
    assert made.begun == {first.cell.id}
    out = io.StringIO()
    print_plan(Console(file=out, width=200), made)
    assert f"1 to train for {epochs} epochs, 1 to train on, to epoch {epochs}" in out.getvalue()


def test_compiling_is_no_part_of_what_remains(results):
    made = cell(seed=0, epochs=40)
    stand(results, made, step=round(10 * 1197 / 100), seconds=5.0, preparing=60.0)
    assert estimate_seconds([job(made)], results, workers=1) == pytest.approx(15.0, rel=0.01)


def test_what_stands_half_way_teaches_the_pace_of_its_like(results):
    first, second = cell(seed=0, epochs=40), cell(seed=1, epochs=40)
    stand(results, first, step=round(10 * 1197 / 100), seconds=5.0)
    assert estimate_seconds([job(first), job(second)], results, workers=1) == pytest.approx(15.0 + 20.0, rel=0.01)


def test_a_checkpoint_that_a_run_would_not_go_on_from_counts_for_nothing(results):
    made = cell(seed=0, epochs=40)
    stand(results, made, step=100, seconds=5.0, fingerprints={"training": "of older sources"})
    assert estimate_seconds([job(made)], results, workers=1) is None
    results.cell(made.id).checkpoint.write_bytes(b"\xff" * 64)
    assert estimate_seconds([job(made)], results, workers=1) is None


def test_more_draws_a_step_are_another_pace(results):
    one, many = (cell(choices=composition(objective={**ELBO_OBJECTIVE, "samples": k})) for k in (1, 50))
    leave(results, one, seconds=3.0)
    leave(results, many, seconds=90.0)
    assert estimate_seconds([job(dataclasses.replace(many, seed=7))], results, workers=1) == pytest.approx(90.0)


def test_a_network_that_was_never_trained_takes_in_proportion_to_its_products(results):
    """Of 64 pixels, 24 or 500 units and 4 latents: 64 · 24 + 24 · 4 = 1,632 products, or 34,000, and what is beside
    them."""
    leave(results, cell(seed=0), seconds=3.0)
    ratio = (BESIDE + 34_000) / (BESIDE + 1_632)
    assert estimate_seconds([job(cell(seed=9, choices=WIDE))], results, workers=1) == pytest.approx(3.0 * ratio)


def test_draws_that_were_never_taken_cost_a_decoding_each(results):
    leave(results, cell(seed=0), seconds=4.0)
    many = cell(choices=composition(objective={**ELBO_OBJECTIVE, "samples": 50}))
    assert estimate_seconds([job(many)], results, workers=1) == pytest.approx(4.0 * 51 / 2)


@pytest.mark.parametrize(
    ("network", "products"),
    [
        ({"name": "mlp", "hidden": [30, 10]}, 64 * 30 + 30 * 10 + 10 * 4),
        ({"name": "gated", "hidden": [30, 10]}, 2 * (64 * 30 + 30 * 10 + 10 * 4)),
        ({"name": "linear"}, 64 * 4),
        ({"name": "conv", "channels": [2, 3]}, 16 * 9 * 2 + 4 * 9 * 2 * 3 + 4 * 3 * 4),
        ({"name": "of-a-plugin", "hidden": 256, "channels": None}, 64 * 4),
    ],
)
def test_products_are_those_of_the_layers(network, products):
    made = cell(choices=composition(network=network))
    assert size(made) == pytest.approx(2 * (BESIDE + products))


def test_fitting_q_to_each_image_first_counts_as_twelve_draws_a_step(results):
    plain, fitted = (
        MetricRequest("bits_per_dim", {"samples": 100, "images": 300, "refine": steps, "split": "test", "seed": 0})
        for steps in (0, 150)
    )
    leave(results, cell(seed=0), seconds=3.0, scoring=[(plain, 2.0)])
    todo = job(cell(seed=1), requests=[fitted], train=False)
    assert estimate_seconds([todo], results, workers=1) == pytest.approx(2.0 * (100 + 12 * 150) / 100)
