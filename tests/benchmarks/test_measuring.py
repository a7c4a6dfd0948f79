"""The benchmarks' own arithmetic."""

import json
import os
import random
import subprocess
import sys
import time
import warnings

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.benchmarks import bench_training, estimates, gate, gate_work, gpu, growth, outcome, parts, peers, profiling
from tests.benchmarks.timing import Ratio, Rounds, alternate, judged, steps_lasting
from tests.benchmarks.workloads import PATHS, Shape, Steps, random_source
from tests.compositions import ELBO
from vaebench.store.record import MetricValue, Record
from vaebench.suite.expansion import expand, requests
from vaebench.suite.loading import load_suite_mapping
from vaebench.training import steppers
from vaebench.training.fleet import Surroundings, train_fleet
from vaebench.training.inputs import Timetable


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


def test_an_interval_misses_the_true_median_in_a_twentieth_of_the_cases_at_most():
    generator = random.Random(0)
    found = [judged([generator.lognormvariate(0.0, 0.3) for _ in range(15)]) for _ in range(4000)]
    assert 0.01 < sum(ratio.above for ratio in found) / 4000 < 0.025
    assert 0.01 < sum(ratio.below for ratio in found) / 4000 < 0.025
    assert all(ratio.low <= ratio.median <= ratio.high for ratio in found)


def test_from_too_few_rounds_nothing_is_concluded():
    few = judged([2.0, 2.0, 2.0, 2.0, 2.0])
    assert few == Ratio(2.0, None, None)
    assert not few.above
    assert str(few) == "2 (–)"
    enough = judged([2.0, 2.1, 2.2, 2.3, 2.4, 2.5])
    assert enough.above
    assert str(enough) == "2.25 (2 … 2.5)"
    assert gate.is_slower(enough, 1.15)
    assert not gate.is_slower(enough, 2.1)
    assert not gate.is_slower(few, 1.15)


def test_what_the_first_steps_take_does_not_count_for_how_many_last_so_long():
    calls = []

    def step(steps):
        time.sleep(0.2 if not calls else 0.005 * steps)
        calls.append(steps)

    assert 4 <= steps_lasting(0.1, step) <= 20


def test_the_gates_traced_workload_takes_the_steps_from_which_a_fleet_is_traced():
    cells = gate_work.cells(64, ELBO, gate_work.TRACED_EPOCHS)
    images = len(gate_work.digits().training_content("split"))
    assert len(cells) * Timetable(cells[0].recipe, images).steps >= steppers.TRACED_STEPS


def test_steps_take_the_path_that_they_are_told_to():
    programs = {path: Steps(Shape(), random_source(256), "in-turn", path).stepper.programs for path in PATHS}
    assert not programs["plain"]
    assert [program.compiled for program in programs["traced"]] == [False]
    assert [program.compiled for program in programs["compiled"]] == [True]


CLEAR = 0.05
"""Half the width of an interval in these tests."""


def point(size, to_alone, to_turn=1.0):
    """A size of a fleet whose ratios are known so well."""
    ratios = [Ratio(value, value - CLEAR, value + CLEAR) for value in (to_alone, to_turn)]
    return growth.Point("batch", size, {"alone": 1.0, "products": 0.5}, "mapped", *ratios, 2.0)


def test_a_mark_stands_where_a_clear_answer_is_followed_by_the_other_one():
    pays, turn = growth.QUESTIONS
    points = [point(20, 0.8), point(64, 0.97), point(128, 1.02), point(512, 1.2), point(1024, 0.99), point(4096, 1.3)]
    assert growth.turning_points(pays, points) == [(512, "a member alone is faster")]
    assert growth.turning_points(pays, points[:3]) == []
    assert growth.turning_points(turn, points) == []
    assert growth.in_words(points[2:4]) == (
        "- batch, best fleet ÷ alone: a member alone is faster at 512; cannot be told at 128.\n"
        "- batch, mapped ÷ in turn: cannot be told at 128, 512.\n"
    )


def test_a_point_holds_the_better_fleet_against_the_member_alone():
    taken = Rounds({"alone": [2.0] * 6, "in turn": [1.0] * 6, "mapped": [4.0] * 6, "products": [0.5] * 6})
    found = growth.point_of("hidden", 400, taken)
    assert found.best == "in turn"
    assert found.to_alone == Ratio(0.5, 0.5, 0.5)
    assert found.to_turn == Ratio(4.0, 4.0, 4.0)
    assert found.to_floor == 2.0
    assert found.milliseconds["alone"] == 2000.0


def test_every_event_of_a_profile_is_of_one_kind_and_what_encloses_kernels_of_none():
    kinds = {
        "aten::addmm": "products",
        "aten::_fused_adam_": "Adam",
        "Optimizer.step#Adam.step": "Adam",
        "aten::softplus": "softplus",
        "aten::relu": profiling.OTHERS,
        "graph_0_cpp_fused_softplus_sub_1": profiling.FUSED,
        "## Call CompiledFxGraph fbkndwllyw4f ##": None,
        "Torch-Compiled Region: 0/0": None,
    }
    assert {event: profiling.kind_of(event) for event in kinds} == kinds
    names = [name for names in profiling.KINDS.values() for name in names]
    assert len(names) == len(set(names))


def test_the_rest_of_a_step_is_its_time_without_the_kernels():
    shares = profiling.Seen(2.0, {"products": 1.0, "Adam": 0.25, profiling.OTHERS: 0.25}).shares
    assert list(shares) == list(profiling.COLUMNS)
    assert shares[profiling.REST] == 0.25


def test_the_plain_twin_of_a_model_of_ours_is_the_same_function():
    (trained,) = train_fleet(Shape().cells(epochs=1), Surroundings(random_source(256, "threshold")))
    x, draws = random_source(64, "threshold").images("test"), torch.randn(64, Shape().latent)
    twin = peers.plain_twin(trained.model)
    q = trained.model.posterior(x)
    kl = torch.distributions.kl_divergence(q, trained.model.prior())
    own = (kl - trained.model.likelihood(q.mean + q.stddev * draws).log_prob(x)).mean()
    assert twin.loss(x, draws).item() == pytest.approx(own.item(), rel=1e-5)


def test_every_peer_ends_with_a_loss_by_one_function_of_its_weights(monkeypatch):
    monkeypatch.setattr(peers, "has_pythae", lambda: False)
    taken, losses = peers.training(random_source(256, "threshold"), 1, 1, 2, False)
    sides = {"vaebench", "vaebench, a fleet of 2", peers.LOADER, "plain loop over tensors"}
    assert losses.keys() == sides == taken.seconds.keys() - {peers.FLOOR}
    assert losses["vaebench"] == pytest.approx(losses["vaebench, a fleet of 2"], rel=1e-5)
    assert all(seconds > 0 for side in taken.seconds.values() for seconds in side)


def test_a_section_that_raises_costs_the_others_nothing(tmp_path):
    """What was found stands in the file while the next section is still at work."""
    report, out = gpu.Report(tmp_path / "speed"), tmp_path / "speed.json"

    def broken(report):
        report.rows.append(gpu.Row("found before", 1.0))
        raise RuntimeError("no kernel image |\nfor this device")

    def last(report):
        assert [row["what"] for row in json.loads(out.read_text())["rows"]] == ["first", "found before", "broken"]
        report.rows.append(gpu.Row("last", 3.0, 2.0, 1.5, gpu.Goal(high=2)))

    first = gpu.Section("first", 0, lambda report: report.rows.append(gpu.Row("first", 2.0)))
    gpu.run([first, gpu.Section("broken", 0, broken), gpu.Section("last", 0, last)], report)
    found = json.loads(out.read_text())
    assert [row["what"] for row in found["rows"]] == ["first", "found before", "broken", "last"]
    assert found["rows"][2]["measured"] == "failed: RuntimeError: no kernel image |\nfor this device"
    assert found["rows"][3]["met"] == "yes"
    assert "no kernel image" in found["failures"]["broken"]
    assert (
        "| broken | failed: RuntimeError: no kernel image / / for this device |" in (tmp_path / "speed.md").read_text()
    )
    assert {path.name for path in tmp_path.iterdir()} == {"speed.json", "speed.md"}


def test_a_section_that_would_not_end_in_time_is_left_out_by_name(tmp_path):
    report = gpu.Report(tmp_path / "speed", limit=30)
    gpu.run([gpu.Section("long", 60, pytest.fail), gpu.Section("short", 1, lambda report: None)], report)
    (row,) = report.rows
    assert row.what == "long"
    assert row.measured.startswith("left out: takes about 60 s")


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (gpu.Row("", 3.0, 2.0, Ratio(1.5, 1.4, 1.6), gpu.Goal(high=1.5)), "yes"),
        (gpu.Row("", 30.0, 2.0, 15.0, gpu.Goal(low=100)), "no"),
        (gpu.Row("", 0.0, goal=gpu.Goal(high=0)), "yes"),
        (gpu.Row("", "the host computes here", goal=gpu.Goal(high=0)), "not measured"),
        (gpu.Row("", 3.0), ""),
    ],
)
def test_a_goal_is_met_by_the_ratio_or_by_the_number_itself(row, met):
    assert row.met == met


def test_a_process_that_fails_shows_the_end_of_what_it_said(tmp_path):
    with pytest.raises(RuntimeError, match=r"(?s)ended with 1:.*ValueError: no such device$"):
        gpu.in_process("raise ValueError('no such device')", str(tmp_path))


def test_waits_are_counted_where_they_happen(monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

    def work():
        for _ in range(3):
            warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        warnings.warn("something else", stacklevel=1)

    found = gpu.waits_in(work)
    assert found.total() == 3
    assert all(place.startswith("test_measuring.py:") for place in found)
    assert modes == ["warn", "default"]


def test_the_command_that_the_benches_name_times_something(tmp_path):
    """pytest-benchmark times nothing where pytest has workers, and pytest has them here unless it is told otherwise."""
    named = next(line.strip() for line in bench_training.__doc__.splitlines() if "--benchmark-enable" in line)
    numbers = tmp_path / "numbers.json"
    few = [
        "--benchmark-max-time=0.01",
        f"--benchmark-json={numbers}",
        "-k",
        "test_views and grey",
        "-p",
        "no:cacheprovider",
    ]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    asked = [sys.executable, "-m", *named.split(), *few]
    ended = subprocess.run(asked, cwd=outcome.HERE, env=alone, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (timed,) = json.loads(numbers.read_text())["benchmarks"]
    assert timed["stats"]["rounds"] > 1
    assert timed["stats"]["median"] > 0


def test_the_sources_differ_from_the_commit_only_where_sources_do(tmp_path):
    def git(*words):
        who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    page, source = tmp_path / "docs" / "performance.md", tmp_path / "vaebench" / "one.py"
    for path in (page, source):
        path.parent.mkdir()
        path.write_text("old\n")
    assert outcome.commit(tmp_path) == "unknown"
    git("init")
    git("add", ".")
    git("commit", "--message", "first")
    page.write_text("new\n")
    clean = outcome.commit(tmp_path)
    assert clean.isalnum()
    source.write_text("new\n")
    assert outcome.commit(tmp_path) == f"{clean}+"


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
    for name in (
        "profile",
        "parts",
        "steppers",
        *peers.PLACES.values(),
        "peers-evaluation",
        "growth",
        "precision",
        "estimates",
    ):
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
        asked = requests(suite, planned)
        scoring = {request.key: 1.0 for request in asked}
        values = [MetricValue(request.metric, request.metric, request.protocol, "done", 0.0) for request in asked]
        epochs = planned.cell.recipe["epochs"]
        took = {"seconds": seconds[planned.variant], "epochs": epochs, "scoring_seconds": scoring}
        seen[planned.cell.id] = planned.cell, Record(planned.cell.id, "done", {}, values, training=took)
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


@pytest.mark.parametrize("part", parts.parts().values(), ids=["rows", "uniforms", "ink"])
def test_the_forms_of_a_part_agree(part):
    parts.check(part)


def test_forms_that_differ_are_not_timed():
    with pytest.raises(AssertionError, match="differ"):
        parts.measure(parts.Part(lambda: torch.zeros(2), lambda: torch.ones(2), exact=False), rounds=1, seconds=0.01)
