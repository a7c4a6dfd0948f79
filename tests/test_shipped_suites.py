"""The suites that come with vaebench: sound under every profile, every expectation sourced, and each of them runs."""

import copy
from typing import Any

import pytest

from vaebench import project
from vaebench.catalog.catalog import load_catalog
from vaebench.reporting import write
from vaebench.reporting.documents import stem_of
from vaebench.reporting.published import NOT_MEASURED, judged
from vaebench.reporting.runs import DONE, FAILED, MISSING, read_runs
from vaebench.suite.loading import load_suite, load_suite_mapping, shipped
from vaebench.suite.yaml_source import read_source

PUBLISHED = (
    "beaulac2019",
    "serdega2019",
    "wang2018",
    "series9",
    "ae_vae_notes",
    "iwae2016",
    "vampprior2018",
    "lucas2019",
    "rybkin2021",
    "loaiza2019",
    "leaderboard",
)
OURS = ("theory_vs_practice", "more_shortcuts")
LEAST: dict[str, Any] = {
    "samples": 2,
    "refine": 2,
    "images": 100,
    "steps": 4,
    "chains": 1,
    "draws": 10,
    "batch": 10,
    "hidden": [8],
    "elbo_samples": 2,
    "surrogate_images": 20,
    "reader_steps": 4,
    "reader_batch": 10,
    "reader_hidden": [8],
    "reader_images": 100,
    "reader_draws": 100,
}
"""Parameter of any metric's protocol → the least that a smoke run has of it."""
FEW_IMAGES = ("inference_gap", "gradient_variance", "log_likelihood_ais")
HIDDEN = ("hidden", "critic_hidden", "auxiliary_hidden")


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_a_published_suite_has_a_profile_for_a_laptop_and_one_of_ten_seeds_for_a_gpu(name, profile):
    suite = load_suite(name, profile=profile)
    assert (suite.name, suite.profile) == (name, profile)
    assert profile == "cpu" or len(suite.seeds) == 10


def test_the_whole_protocol_of_iwae2016_is_six_fleets_of_three_seeds_and_3280_epochs(tmp_path):
    """Six cells of its table, each a fleet, so that a seed more costs little on a GPU."""
    made = project.plan(load_suite("iwae2016", profile="whole"), project.Settings(results=tmp_path))
    assert [len(job.cells) for job in made.jobs] == [3] * 6
    assert {job.epochs for job in made.jobs} == {3280}
    assert {made.variants(job) for job in made.jobs} == {
        (f"{name}[samples={draws}]",) for name in ("vae", "iwae") for draws in (1, 5, 50)
    }


def test_the_command_that_reproduces_a_suite_names_its_profile():
    suite = load_suite("iwae2016", profile="whole")
    lock = {"suite": suite.to_json(), "source": project.source_of(suite)}
    assert project.command_of(lock) == "vaebench run iwae2016 --profile whole"


@pytest.mark.parametrize("name", shipped())
def test_every_expectation_names_its_source(name):
    assert all(expectation.source for expectation in load_suite(name).expected)


def test_the_suites_expect_exact_truths_published_numbers_and_orders():
    found = [expectation.kind for name in PUBLISHED for expectation in load_suite(name).expected]
    assert {kind: found.count(kind) >= 5 for kind in ("exact", "statistical", "order")} == dict.fromkeys(
        ("exact", "statistical", "order"), True
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """One folder for all: a model that two of them ask for is trained once."""
    return tmp_path_factory.mktemp("results")


@pytest.mark.parametrize("name", [*PUBLISHED, *OURS])
def test_it_runs_for_two_epochs_on_digits_and_every_number_is_there(name, results, monkeypatch):
    """Every variant, metric, contrast and expectation of it, at the least size, and a picture of ours for each of a
    document's figures; how they are drawn has its own tests."""
    monkeypatch.setattr(write, "figures", lambda *_: ())
    suite = load_suite_mapping(on_digits(read_source(shipped()[name], name).content))
    run = project.run(suite, project.Settings(results=results, device="cpu", workers=1, debug=True))
    assert run.is_complete
    runs = read_runs(run.folder.runs)
    assert not {FAILED, MISSING} & set(runs["status"])
    assert set(runs[runs["status"] == DONE]["variant"]) == {variant.name for variant in suite.variants}
    assert [one.expectation.sides for one in judged(suite, runs) if one.verdict == NOT_MEASURED] == []
    if suite.expected:
        assert "## Published against measured" in run.folder.report.read_text(encoding="utf-8")
    if suite.figures:
        assert "## The documents' figures" in run.folder.report.read_text(encoding="utf-8")
        made = project.figures(run.folder.path)
        wanted = {stem_of(picture, figure.on): picture for figure in suite.figures for picture in figure.ours}
        assert [picture for stem, picture in wanted.items() if stem not in made] == []


def on_digits(content: dict[str, Any]) -> dict[str, Any]:
    """The suite as it is under its first profile, on digits: two epochs in a few steps, networks of a few units."""
    content = _renamed(copy.deepcopy(content))
    profile = content.pop("profiles", {}).get(content.pop("profile", ""), {})
    recipe = content.get("recipe", {}) | profile.get("recipe", {})
    short = {"epochs": 2, "kl_warmup": min(recipe.get("kl_warmup", 0), 2)}
    content["recipe"] = recipe | short | {"batch": min(recipe.get("first_images", 600), 600)}
    content |= {key: profile[key] for key in ("datasets",) if key in profile}
    content["datasets"] = list(dict.fromkeys(content["datasets"]))
    defaults = content.get("defaults", {}) | profile.get("defaults", {})
    content["defaults"] = _small(defaults)
    content["variants"] = [_small(entry) if isinstance(entry, dict) else entry for entry in content["variants"]]
    content["metrics"] = [_overridden(entry) for entry in content["metrics"]]
    content["expected"] = _distinct([_without("profile", entry) for entry in content.get("expected", [])])
    content["figures"] = [_answerable(_without("seen", entry), content) for entry in content.get("figures", [])]
    return content | {"seeds": 1, "budget": {"extends": "quick", **_least_budget()}}


def _without(key: str, entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != key}


def _renamed(value: Any) -> Any:
    """With digits in place of the data sets that need files."""
    if isinstance(value, dict):
        return {key: _renamed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner) for inner in value]
    dataset, slash, view = value.partition("/") if isinstance(value, str) else ("", "", "")
    return f"digits/{view}" if slash and dataset in ("mnist", "fashion-mnist") else value


def _small(entry: dict[str, Any]) -> dict[str, Any]:
    """A composition with networks of eight units and at most twelve latents."""
    small = dict(entry)
    if "latent" in small:
        small["latent"] = min(small["latent"], 12)
    for part in ("network", "objective"):
        if isinstance(small.get(part), dict):
            small[part] = {key: [8] if key in HIDDEN else value for key, value in small[part].items()}
    if "on" in small:
        small["on"] = list(dict.fromkeys(small["on"]))
    return small


def _overridden(entry: Any) -> Any:
    """Without sizes of its own; which split is scored stays."""
    if not isinstance(entry, dict):
        return entry
    ((name, protocol),) = entry.items()
    return {name: {key: value for key, value in protocol.items() if key == "split"}}


def _least_budget() -> dict[str, Any]:
    found = {}
    for metric in load_catalog().metrics.values():
        least = {name: LEAST[name] for name in metric.parameters if name in LEAST}
        if metric.name in FEW_IMAGES:
            least["images"] = 2
        found[metric.name] = least
    return {name: least for name, least in found.items() if least}


def _answerable(entry: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """A figure whose measures are those that two data sets that became one still have."""
    there = {one["question"] for one in content.get("contrasts", [])} | {one["source"] for one in content["expected"]}
    kept = [text for text in entry.get("answered_by", []) if text in there]
    return {**entry, "answered_by": kept} if kept else {key: entry[key] for key in entry if key != "answered_by"}


def _distinct(expected: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Two data sets that became one expect the same numbers twice."""
    found: dict[str, dict[str, Any]] = {}
    for entry in expected:
        found.setdefault(repr((entry.get("on"), entry.get("of"), entry.get("order"))), entry)
    return list(found.values())
