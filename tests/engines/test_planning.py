"""What a run would do: nothing that is done already, and everything that older sources made."""

import json
import shutil
from pathlib import Path

import pytest

from tests.engines.tiny import records, run_tiny, states, tiny
from vaebench.engines.job import Job
from vaebench.engines.planning import Plan, Policy, plan
from vaebench.store import fingerprints
from vaebench.store.folders import ResultsFolder
from vaebench.suite.loading import load_suite_mapping
from vaebench.suite.selection import Patterns
from vaebench.suite.suite import Suite

WIDE = {
    "suite": "wide",
    "datasets": ["digits/binary", "digits/grey"],
    "seeds": 2,
    "profile": "cpu",
    "defaults": {"latent": 4},
    "variants": ["vae", "beta-vae", "vmi-vae", "ppca"],
    "metrics": ["elbo", "kl", "active_units", "bits_per_dim"],
}


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package whose sources a test may change; fingerprints are taken from it."""
    copy = tmp_path / "vaebench"
    shutil.copytree(fingerprints.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fingerprints, "PACKAGE", copy)
    return copy


def wide() -> Suite:
    return load_suite_mapping(WIDE)


def change(module: Path) -> None:
    module.write_text(module.read_text() + "\nCHANGED = True\n")


def state_of(made: Plan, state: str) -> set[tuple[str, str]]:
    """The variants and views whose cells are in a state."""
    return {(planned.variant, planned.cell.view) for planned in made.cells if planned.decision.state == state}


def test_everything_is_trained_at_first_and_nothing_twice(results: ResultsFolder) -> None:
    before = plan(tiny(), results)
    assert before.counts == {"train": 6}
    assert not results.path.exists()
    run_tiny(results)
    after = plan(tiny(), results)
    assert after.counts == {"cached": 6}
    assert after.jobs == ()


def test_cells_that_differ_in_seed_and_settings_make_one_fleet(results: ResultsFolder) -> None:
    made = plan(wide(), results)
    variants = [(job.cells[0].cell.view, made.variants(job), len(job.cells)) for job in made.jobs]
    assert ("binary", ("vae", "beta-vae"), 4) in variants
    assert ("binary", ("vmi-vae",), 2) in variants


def test_two_names_for_one_model_train_it_once(results: ResultsFolder) -> None:
    made = plan(tiny(variants=["vae", {"name": "again", "extends": "vae"}]), results)
    assert len(made.cells) == 4
    assert made.counts == {"train": 2}
    assert sum(len(job.cells) for job in made.jobs) == 2
    assert made.variants(made.jobs[0]) == ("vae", "again")


def test_training_a_shared_cell_again_answers_both_names(results: ResultsFolder) -> None:
    suite = tiny(
        variants=["vae", {"name": "again", "extends": "vae", "generation": {"prior": "own"}}],
        metrics=["elbo", "sharpness"],
    )
    made, _ = run_tiny(results, suite=suite)
    assert len({planned.cell.id for planned in made.cells}) == 2
    assert len(plan(suite, results, Policy(force=True)).jobs[0].cells) == 2
    assert plan(suite, results).counts == {"cached": 2}


def test_impossible_pairs_are_listed_and_not_planned(results: ResultsFolder) -> None:
    made = plan(wide(), results)
    assert [(pair.variant, pair.source) for pair in made.impossible] == [("ppca", "digits/binary")]
    assert not any(planned.variant == "ppca" and planned.cell.view == "binary" for planned in made.cells)


def test_adding_a_variant_or_a_seed_leaves_the_other_cells_cached(results: ResultsFolder) -> None:
    run_tiny(results, suite=tiny(variants=["vae"]))
    made = plan(tiny(variants=["vae", "beta-vae"], seeds=3), results)
    assert [(p.variant, p.cell.seed) for p in made.cells if p.decision.state == "cached"] == [("vae", 0), ("vae", 1)]
    assert made.counts == {"cached": 2, "train": 4}


def test_adding_a_metric_scores_it_without_training(results: ResultsFolder) -> None:
    run_tiny(results, suite=tiny(metrics=["elbo"]))
    made = plan(tiny(), results)
    assert made.counts == {"score": 6}
    assert {planned.decision.why for planned in made.cells} == {"kl, probe_accuracy never scored"}
    assert not any(work.train for job in made.jobs for work in job.cells)
    run_tiny(results)
    assert plan(tiny(), results).counts == {"cached": 6}


def test_another_protocol_is_another_question(results: ResultsFolder) -> None:
    run_tiny(results)
    more = tiny(metrics=[{"elbo": {"samples": 99}}, "kl", "probe_accuracy"])
    assert {planned.decision.why for planned in plan(more, results).cells} == {"elbo not scored under this protocol"}
    run_tiny(results, suite=more)
    assert plan(more, results).counts == plan(tiny(), results).counts == {"cached": 6}


def test_changing_an_objective_makes_exactly_the_cells_that_used_it_stale(
    results: ResultsFolder, sources: Path
) -> None:
    run_tiny(results, suite=wide())
    change(sources / "objectives" / "vmi.py")
    made = plan(wide(), results)
    assert state_of(made, "stale") == {("vmi-vae", "binary"), ("vmi-vae", "grey")}
    assert {planned.decision.why for planned in made.cells if planned.decision.why} == {
        "changed since it was trained: objectives"
    }
    assert state_of(made, "cached") == {
        ("vae", "binary"),
        ("beta-vae", "binary"),
        ("vae", "grey"),
        ("beta-vae", "grey"),
        ("ppca", "grey"),
    }


@pytest.mark.parametrize(
    ("module", "stale"),
    [
        ("models/likelihoods/bernoulli.py", {"vae", "beta-vae", "vmi-vae"}),
        ("training/ppca.py", {"ppca"}),
        ("models/classical/ppca.py", {"ppca"}),
        ("models/networks/mlp.py", {"vae", "beta-vae", "vmi-vae"}),
        ("training/fleet.py", {"vae", "beta-vae", "vmi-vae", "ppca"}),
        ("data/digits.py", {"vae", "beta-vae", "vmi-vae", "ppca"}),
        ("data/linear_gaussian.py", set()),
        ("objectives/elbo.py", {"vae", "beta-vae", "vmi-vae"}),
        ("engines/local.py", set()),
        ("reporting/text.py", set()),
        ("catalog/variants/vae.yaml", set()),
    ],
)
def test_a_change_reaches_the_models_that_were_made_with_it(
    module: str, stale: set[str], results: ResultsFolder, sources: Path
) -> None:
    run_tiny(results, suite=wide())
    change(sources / module)
    made = plan(wide(), results)
    assert {variant for variant, _ in state_of(made, "stale")} == stale
    if module.endswith("bernoulli.py"):
        assert {view for _, view in state_of(made, "stale")} == {"binary"}


def test_changing_a_metric_makes_only_that_metric_stale(results: ResultsFolder, sources: Path) -> None:
    run_tiny(results, suite=wide())
    change(sources / "metrics" / "active_units.py")
    made = plan(wide(), results)
    assert set(made.counts) == {"score"}
    assert {request.metric for job in made.jobs for work in job.cells for request in work.requests} == {"active_units"}
    assert not any(work.train for job in made.jobs for work in job.cells)
    run_tiny(results, suite=wide())
    assert set(plan(wide(), results).counts) == {"cached"}


def test_keep_stale_makes_nothing_again(results: ResultsFolder, sources: Path) -> None:
    run_tiny(results, suite=wide())
    change(sources / "objectives" / "vmi.py")
    change(sources / "metrics" / "kl.py")
    made = plan(wide(), results, Policy(keep_stale=True))
    assert made.jobs == ()
    assert state_of(made, "stale") == {("vmi-vae", "binary"), ("vmi-vae", "grey")}


def test_stale_cells_are_made_again_by_the_next_run(results: ResultsFolder, sources: Path) -> None:
    before = run_tiny(results, suite=wide())[0]
    kept = records(before, results)["vae"]
    change(sources / "objectives" / "vmi.py")
    run_tiny(results, suite=wide())
    after = plan(wide(), results)
    assert set(after.counts) == {"cached"}
    assert records(after, results)["vae"] == kept


def test_failed_cells_are_kept_until_they_are_retried(results: ResultsFolder) -> None:
    run_tiny(results, "raising")
    assert states(plan(tiny(), results))["odd"] == {"failed"}
    retried = plan(tiny(), results, Policy(retry_failed=True))
    assert {planned.decision.why for planned in retried.cells if planned.variant == "odd"} == {"retried after error"}
    assert [retried.variants(job) for job in retried.jobs] == [("odd",)]


def test_a_change_of_sources_retries_what_failed(results: ResultsFolder, sources: Path) -> None:
    run_tiny(results, "raising")
    change(sources / "training" / "fleet.py")
    assert states(plan(tiny(), results))["odd"] == {"stale"}


def test_failed_metrics_make_a_failed_cell_and_are_retried_without_training(results: ResultsFolder) -> None:
    run_tiny(results, "broken")
    made = plan(tiny(), results)
    assert made.counts == {"failed": 6}
    assert made.cells[0].decision.why == "elbo: singular; kl: singular; probe_accuracy: singular"
    assert plan(tiny(), results, Policy(retry_failed=True)).counts == {"score": 6}


def test_force_trains_everything(results: ResultsFolder) -> None:
    run_tiny(results)
    made = plan(tiny(), results, Policy(force=True))
    assert made.counts == {"train": 6}
    assert all(len(work.requests) == 3 for job in made.jobs for work in job.cells)


def test_a_model_whose_file_is_gone_is_trained_again_when_it_is_to_be_scored(results: ResultsFolder) -> None:
    made, _ = run_tiny(results, suite=tiny(metrics=["elbo"]))
    results.cell(made.cells[0].cell.id).model.unlink()
    assert plan(tiny(metrics=["elbo"]), results).counts == {"cached": 6}
    again = plan(tiny(), results)
    assert again.counts == {"train": 1, "score": 5}
    assert again.cells[0].decision.why == "kl, probe_accuracy never scored, and the model's file is gone"


@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        ("*", {"vae", "beta-vae[beta=0.5]", "beta-vae[beta=2]"}),
        ("digits/binary/vae", {"vae"}),
        ("digits/*/beta-vae*", {"beta-vae[beta=0.5]", "beta-vae[beta=2]"}),
        ("*/beta-vae[beta=2]", {"beta-vae[beta=2]"}),
        ("vae", set()),
        (("*/vae", "*/beta-vae[beta=2]"), {"vae", "beta-vae[beta=2]"}),
        ((), {"vae", "beta-vae[beta=0.5]", "beta-vae[beta=2]"}),
    ],
)
def test_only_selects_by_data_set_view_and_variant(
    pattern: Patterns, selected: set[str], results: ResultsFolder
) -> None:
    suite = tiny(variants=["vae", {"extends": "beta-vae", "objective": {"beta": [0.5, 2]}}])
    made = plan(suite, results, Policy(only=pattern))
    assert len(made.cells) == 6
    assert {planned.variant for planned in made.selected} == selected
    assert {name for job in made.jobs for name in made.variants(job)} == selected


def test_a_job_survives_the_way_to_the_worker(results: ResultsFolder) -> None:
    for job in plan(wide(), results, data_root="/data").jobs:
        assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job
