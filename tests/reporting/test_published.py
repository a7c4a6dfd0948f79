"""Published against measured: the verdict of each expectation, what a reader sees of it, and the gate."""

import dataclasses

import pytest

from tests.reporting.fabrication import TINY, fabricate, failed, plausible
from tests.reporting.test_gate import run_of
from vaebench.reporting import statistics
from vaebench.reporting.contrasts import contrasts_table
from vaebench.reporting.gate import gate
from vaebench.reporting.html import render_html
from vaebench.reporting.leaderboard import leaderboard_table
from vaebench.reporting.markdown import render_markdown
from vaebench.reporting.published import in_words, judge, judged, summary
from vaebench.reporting.report import report_content
from vaebench.reporting.runs import runs_table
from vaebench.store.folders import ResultsFolder
from vaebench.suite.loading import load_suite_mapping
from vaebench.suite.suite import Expectation

ON = "digits/grey"


def values(**by_side):
    """Of `vae_elbo=[…]`, seeds 0, 1, …"""
    found = {}
    for side, numbers in by_side.items():
        variant, metric = side.split("_")
        row = found.setdefault(("digits", "grey", variant), {})
        row[metric] = numbers if isinstance(numbers, dict) else dict(enumerate(numbers))
    return found


def number(value, band, **more):
    return Expectation("somebody", more.pop("kind", "statistical"), ON, "vae:elbo", value, band, **more)


def order(*sides, **more):
    return Expectation("somebody", "order", ON, order=sides, **more)


@pytest.mark.parametrize(
    ("measured", "verdict", "excess"),
    [
        ([-20.2, -20.4], "within the band", 0.0),
        ([-20.5, -20.5], "within the band", 0.0),
        ([-19.5, -19.5], "within the band", 0.0),
        ([-20.6, -20.8], "outside the band", 0.2),
        ([-19.0, -19.2], "outside the band", 0.4),
    ],
)
def test_a_number_is_met_where_the_mean_over_seeds_lies_within_the_band(measured, verdict, excess):
    found = judge(number(-20.0, 0.5), None, values(vae_elbo=measured))
    assert found.verdict == verdict
    assert found.excess == pytest.approx(excess, abs=1e-12)
    assert found.measured == (statistics.estimate(measured),)


def test_the_number_of_another_variant_is_compared_seed_by_seed():
    """The means differ by 2 over all seeds, by 0.1 at those that both have."""
    both = values(vae_elbo={0: 1.0, 1: 2.0, 2: 9.0}, pca_elbo={0: 1.1, 1: 2.1})
    found = judge(number("pca:elbo", 0.2), None, both)
    assert found.verdict == "within the band"
    assert found.difference.mean == pytest.approx(-0.1)


@pytest.mark.parametrize(
    ("first", "second", "verdict", "agreeing"),
    [
        ([1, 2, 3], [2, 3, 4], "order holds", 3),
        ([1, 2, 9], [2, 3.5, 10.2], "order holds", 3),
        ([1, 2, 9], [2, 3, 8], "order undecided", 2),
        ([3, 3, 3], [2, 2, 4], "order undecided", 1),
        ([3, 3, 3], [2, 2, 2.5], "order does not hold", 0),
        ([1, 2], [2, 3], "order undecided", 2),
        ([1, 1, 1], [1, 1, 1], "order does not hold", 0),
    ],
)
def test_an_order_is_judged_by_the_interval_of_each_step(first, second, verdict, agreeing):
    found = judge(order("vae:elbo", "iwae:elbo"), None, values(vae_elbo=first, iwae_elbo=second))
    assert (found.verdict, found.agreeing) == (verdict, agreeing)


def test_an_order_is_undecided_where_a_side_lacks_a_seed():
    """Four seeds that went well say nothing of the fifth, which diverged."""
    whole, lost = values(vae_elbo=[1, 2, 3, 4, 5], iwae_elbo=[2, 3, 4, 5, 6]), {0: 2.0, 1: 3.0, 2: 4.0, 3: 5.0}
    found = judge(order("vae:elbo", "iwae:elbo"), None, values(vae_elbo=[1, 2, 3, 4, 5], iwae_elbo=lost))
    assert judge(order("vae:elbo", "iwae:elbo"), None, whole).verdict == "order holds"
    assert (found.verdict, found.agreeing, found.lacking) == ("order undecided", 4, 1)
    assert str(in_words(found)).endswith("(at 4 of 4 seeds; 1 seed without a number on one side), order undecided")


def test_what_has_no_number_on_one_side_is_not_measured():
    assert judge(order("vae:elbo", "iwae:elbo"), None, values(vae_elbo=[1, 2])).verdict == "not measured"
    assert judge(number(1.0, 1.0), None, values(iwae_elbo=[1, 2])).verdict == "not measured"
    assert (
        judge(order("vae:elbo", "b:elbo"), None, values(vae_elbo={0: 1.0}, b_elbo={1: 2.0})).verdict == "not measured"
    )


def test_what_nobody_published_is_counted_as_ours():
    held = values(vae_elbo=[1, 2, 3], iwae_elbo=[2, 3, 4])
    sources = ("somebody", "Ours: a larger family", "our own guess", "ourselves")
    expected = (dataclasses.replace(order("vae:elbo", "iwae:elbo"), source=source) for source in sources)
    assert summary([judge(one, None, held) for one in expected]) == "4 expectations, 2 of them ours: 4 agree"


def test_a_number_of_another_profile_is_shown_and_not_judged():
    foreign = number(-20.0, 0.1, profile="whole")
    found = judge(foreign, "cpu", values(vae_elbo=[-25.0]))
    assert (found.verdict, found.failed, found.measured[0].mean) == ("not judged", False, -25.0)
    assert "judged under profile whole" in found.remark
    assert judge(foreign, "whole", values(vae_elbo=[-25.0])).verdict == "outside the band"


def test_a_sentence_says_what_was_found_and_by_how_much_it_is_off():
    found = judge(number(-20.0, 0.5), None, values(vae_elbo=[-20.6, -20.8, -20.7]))
    assert found.sentence == "digits/grey vae:elbo: -20.70, expected -20 ± 0.5 (somebody): outside by 0.20 nats"


EXPECTED = [
    {"kind": "exact", "on": ON, "of": "ppca:elbo", "value": -35, "band": 0.001, "source": "arithmetic"},
    {"kind": "statistical", "on": ON, "of": "vae-mse:elbo", "value": -20, "band": 0.3, "source": "A | B <2020>"},
    {"kind": "order", "on": ON, "order": ["vae-mse:elbo", "vae-gaussian:elbo"], "source": "theory", "note": "as said"},
]
SMALL = {
    **TINY,
    "datasets": [ON],
    "variants": ["vae-gaussian", "vae-mse", "ppca"],
    "metrics": ["elbo", "bits_per_dim"],
    "contrasts": [],
    "expected": EXPECTED,
}


def rendered(tmp_path, content=SMALL, **fabricated):
    suite = load_suite_mapping(content)
    results = ResultsFolder(tmp_path)
    fabricate(suite, results, **fabricated)
    runs = runs_table(suite, results)
    tables = (runs, leaderboard_table(suite, runs), contrasts_table(suite, runs))
    found = report_content(suite, *tables, {"command": "vaebench run tiny", "environment": {}})
    return judged(suite, runs), render_markdown(found), render_html(found)


def test_the_report_has_a_line_with_a_verdict_for_each_in_both_formats(tmp_path):
    found, markdown, page = rendered(tmp_path)
    assert [one.verdict for one in found] == ["within the band", "outside the band", "order holds"]
    assert summary(found) == "3 expectations: 2 agree, 1 does not"
    section = markdown.partition("## Published against measured")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    assert len(lines) == 3
    assert "*within the band*" in lines[0]
    assert "*outside the band* by 1" in lines[1]
    assert "*order holds*" in lines[2]
    assert "A \\| B \\<2020>" in lines[1]
    assert "as said" in lines[2]
    assert '<a href="#published">' in page
    assert page.count('class="badge order-holds"') == 1
    assert "A | B &lt;2020&gt;" in page


def test_a_suite_that_expects_nothing_has_no_such_section(tmp_path):
    _, markdown, page = rendered(tmp_path, {**SMALL, "expected": []})
    assert "Published against measured" not in markdown + page


def test_failed_models_are_not_measured_and_the_report_says_so(tmp_path):
    found, markdown, _ = rendered(tmp_path, instead={"vae-mse": failed})
    assert [one.verdict for one in found] == ["within the band", "not measured", "not measured"]
    assert "1 agrees, 2 not measured" in markdown


def shifted(planned, column):
    return plausible(planned, column) + (planned.variant == "ppca") * (column == "elbo") * 0.5


def test_an_exact_expectation_that_fails_shuts_the_gate_and_a_published_one_only_speaks(tmp_path):
    before, same = run_of(tmp_path / "before", SMALL), run_of(tmp_path / "same", SMALL)
    passed = gate(before, same)
    assert passed.passed
    assert [finding.kind for finding in passed.reports] == ["not as expected"]
    assert "vae-mse:elbo" in passed.reports[0].text
    shut = gate(run_of(tmp_path / "old", SMALL, numbers=shifted), run_of(tmp_path / "new", SMALL, numbers=shifted))
    assert not shut.passed
    assert [finding.text for finding in shut.problems] == [
        "digits/grey ppca:elbo: -34.50, expected -35 ± 0.001 (arithmetic): outside by 0.4990 nats"
    ]
    assert gate(before, same, metrics=["bits_per_dim"]).reports == []
