"""The benchmarks' own arithmetic."""

import random

import pytest
from torch.utils.flop_counter import FlopCounterMode

from tests.benchmarks import estimates, gate, growth, outcome
from tests.benchmarks.timing import Rounds, alternate
from tests.benchmarks.workloads import Shape, Steps, random_source
from vaebench.store.record import Record
from vaebench.suite.expansion import expand, requests
from vaebench.suite.loading import load_suite_mapping


@pytest.mark.parametrize("shape", [Shape(), Shape(2, batch=20, latent=5), Shape(hidden=50, samples=7)])
@pytest.mark.parametrize("stepper", ["in-turn", "mapped"])
def test_the_operations_of_a_step_are_those_that_torch_counts(shape, stepper):
    fleet = Steps(shape, random_source(256), stepper)
    fleet(1)
    with FlopCounterMode(display=False) as counter:
        fleet(1)
    assert counter.get_total_flops() == shape.operations


def test_the_parameters_of_a_shape_are_those_of_its_model():
    fleet = Steps(Shape(), random_source(256), "in-turn")
    assert Shape().parameters == sum(value.numel() for value in fleet.members[0].system.parameters())


def test_a_ratio_forgives_rounds_that_were_slow_for_both_sides():
    rounds = Rounds({"one": [2.0, 20.0, 2.0], "other": [1.0, 10.0, 1.0]})
    assert rounds.ratio("one", "other") == 2.0
    assert rounds.best("one") == 2.0


def test_sides_take_turns_and_the_first_round_does_not_count():
    called = []
    rounds = alternate({name: lambda name=name: called.append(name) or 1.0 for name in "ab"}, rounds=2)
    assert called == ["a", "b"] * 3
    assert rounds.seconds == {"a": [1.0, 1.0], "b": [1.0, 1.0]}


def test_the_gates_lower_end_lies_above_the_true_median_in_a_fortieth_of_the_cases_at_most():
    generator = random.Random(0)
    above = sum(gate.lower_end([generator.lognormvariate(0.0, 0.3) for _ in range(15)]) > 1.0 for _ in range(4000))
    assert 0.01 < above / 4000 < 0.03
    assert gate.lower_end([1.0, 2.0]) == 1.0


def test_the_turning_point_is_where_the_faster_path_changes():
    def point(size, in_turn, mapped):
        return growth.Point("batch", size, {"in turn": in_turn, "mapped": mapped, "products": 0.5})

    points = [point(20, 2.0, 1.0), point(64, 3.0, 2.0), point(128, 4.0, 5.0), point(512, 8.0, 9.0)]
    assert growth.turning_point(points) == 128
    assert growth.turning_point(points[:2]) is None
    assert growth.turning_points(points) == "batch: in turn from 128"


def test_a_table_finds_its_place_in_the_page_and_leaves_the_rest(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- one -->\nold\n<!-- /one -->\nafter\n", encoding="utf-8")
    outcome.into_page("one", outcome.table(["a", "b"], [["x", 1.23456]]), page)
    assert page.read_text(encoding="utf-8") == (
        "before\n<!-- one -->\n\n| a | b |\n| --- | ---: |\n| x | 1.23 |\n\n<!-- /one -->\nafter\n"
    )
    with pytest.raises(SystemExit, match="no place for two"):
        outcome.into_page("two", "", page)


def test_every_benchmark_that_writes_has_its_place_in_the_page():
    content = outcome.PAGE.read_text(encoding="utf-8")
    for name in ("profile", "steppers", "peers", "peers-evaluation", "growth", "precision", "estimates"):
        assert f"<!-- {name} -->\n" in content
        assert f"<!-- /{name} -->\n" in content


def test_a_row_is_estimated_from_the_others_alone():
    """VAE and β-VAE are as alike as two variants are; one took three times as long as the other."""
    variants = ["vae", {"extends": "beta-vae", "objective": {"beta": 4}}]
    suite = load_suite_mapping(
        {"suite": "two", "datasets": ["digits/binary"], "seeds": 2, "variants": variants, "metrics": ["kl"]}
    )
    seconds = {"vae": 2.0, "beta-vae": 6.0}
    seen = {}
    for planned in expand(suite).planned:
        scoring = {request.key: 1.0 for request in requests(suite, planned)}
        epochs = planned.cell.recipe["epochs"]
        took = {"seconds": seconds[planned.variant], "epochs": epochs, "scoring_seconds": scoring}
        seen[planned.cell.id] = planned.cell, Record(planned.cell.id, "done", {}, training=took)
    first, second = estimates.judged(suite, seen)
    assert (first.estimated, first.taken) == pytest.approx((14.0, 6.0))
    assert (second.estimated, second.taken) == pytest.approx((6.0, 14.0))
    assert estimates.summary("two", [first, second])[1:] == [
        2,
        pytest.approx(1.0),
        pytest.approx(29 / 21),
        "0.43 … 2.33",
        "0 of 2",
    ]
