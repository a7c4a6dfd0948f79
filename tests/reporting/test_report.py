"""The report: complete, escaped, with templates that a user may replace."""

import pytest
from markdown_it import MarkdownIt

from tests.reporting.fabrication import SOURCES, TINY, done, fabricate, failed, plausible
from vaebench.reporting.contrasts import contrasts_table
from vaebench.reporting.leaderboard import Leaderboard, leaderboard_table
from vaebench.reporting.report import ReportError, render_report
from vaebench.reporting.runs import runs_table
from vaebench.reporting.write import write_all
from vaebench.suite.loading import load_suite_mapping


def report_of(suite, results, templates=None, info=None, **fabricated):
    fabricate(suite, results, **fabricated)
    runs = runs_table(suite, results)
    return render_report(
        suite, runs, leaderboard_table(suite, runs), contrasts_table(suite, runs), info or {}, templates
    )


def section(report, heading):
    """The lines below a heading up to the next one of the same or a higher level."""
    lines = report.splitlines()
    start = lines.index(heading)
    level = len(heading.split()[0])
    stop = (i for i, line in enumerate(lines) if i > start and line.startswith("#") and len(line.split()[0]) <= level)
    return "\n".join(lines[start : next(stop, len(lines))])


def test_a_report_answers_the_questions_first(tiny, results):
    report = report_of(tiny, results)
    headings = [line for line in report.splitlines() if line.startswith(("# ", "## "))]
    assert headings == [
        "# tiny",
        "## The questions",
        "## Leaderboard",
        "## The other metrics of each question",
        "## The variants",
        "## Method and protocol",
        "## What is missing",
        "## To reproduce",
    ]


def test_a_verdict_comes_with_its_size_its_certainty_and_the_one_choice_that_differs(tiny, results):
    def numbers(planned, column):
        return plausible(planned, column) + (0.31 if planned.variant == "vae-mse" else 0.0)

    answer = section(report_of(tiny, results, numbers=numbers), "### Does fixing σ(z) = 1 produce a more useful model?")
    assert "`digits/grey`: **theory better.** In `bits_per_dim` practice is worse by 0." in answer
    assert "bits per pixel (95 % 0." in answer
    assert "5 seeds)" in answer
    assert (
        "The two differ only in `likelihood`: `gaussian (sigma_floor 0.001)` against `gaussian-fixed (sigma 1)`."
        in answer
    )


def test_not_distinguishable_says_what_could_have_been_seen(tiny, results):
    def numbers(planned, column):
        noise = {0: 0.1, 1: -0.1, 2: 0.05, 3: -0.02, 4: 0.01}[planned.cell.seed]
        return 3.0 + (noise if planned.variant == "vae-mse" else 0.0)

    answer = section(report_of(tiny, results, numbers=numbers), "### Does fixing σ(z) = 1 produce a more useful model?")
    assert "**not distinguishable** in `bits_per_dim`: practice − theory is 0.008 bits per pixel" in answer
    assert "These seeds would have shown a difference of 0.2" in answer


def test_not_comparable_says_why(results):
    report = report_of(load_suite_mapping({**TINY, "seeds": 3}), results)
    assert "**not comparable** in `bits_per_dim`: 3 seeds have a number on both sides, 5 are needed" in report
    assert "so far" in report


def test_what_failed_is_said_once_and_not_per_seed(tiny, results):
    report = report_of(tiny, results, instead={"vae-mse": failed})
    missing = section(report, "## What is missing")
    assert "- **failed**: every metric on `digits/grey` (`vae-mse`), every seed. diverged at step 120: the " in missing
    assert missing.count("diverged") == 1
    assert "failed: seeds 0, 1, 2, 3, 4" in section(report, r"### digits/grey, ranked by bits_per_dim")


def test_what_differs_only_in_its_numbers_is_said_once(tiny, results):
    def at_different_steps(planned):
        step = 100 + planned.cell.seed
        return failed(planned, message=f"diverged at step {step} of its training", step=step)

    missing = section(report_of(tiny, results, instead={"vae-mse": at_different_steps}), "## What is missing")
    last = 100 + max(tiny.seeds)
    assert f"`digits/grey` (`vae-mse`), every seed. diverged at step 100 … {last} of its training" in missing
    assert missing.count("diverged") == 1


def test_what_does_not_apply_is_said_with_its_reason(tiny, results):
    missing = section(report_of(tiny, results), "## What is missing")
    assert "probe_accuracy needs labels, linear-gaussian has none" in missing
    assert "bits_per_dim is defined on the views grey and dequantised" in missing


def test_a_stale_row_is_shown_below_with_its_number(tiny, results):
    older = {**SOURCES, "models": "m0"}
    stale = {"vae-mse": lambda planned: done(tiny, planned, fingerprints=older)}
    ranking = section(report_of(tiny, results, instead=stale), r"### digits/grey, ranked by bits_per_dim")
    last = [line for line in ranking.split("Other metrics")[0].splitlines() if line.startswith("|")][-1]
    assert "vae-mse" in last
    assert "±" in last
    assert "stale: seeds 0, 1, 2, 3, 4" in last


def test_a_report_without_contrasts_seeds_or_records_is_complete_too(results):
    bare = load_suite_mapping(
        {"suite": "bare", "datasets": ["digits/binary"], "seeds": 1, "variants": ["vae"], "metrics": ["elbo"]}
    )
    runs = runs_table(bare, results)
    report = render_report(bare, runs, leaderboard_table(bare, runs), contrasts_table(bare, runs), {})
    assert "## The questions" not in report
    assert "0 complete, 1 not" in report
    assert "**missing**: every metric on `digits/binary` (`vae`), every seed. not trained yet" in report


def test_text_from_users_cannot_become_markup(results):
    hostile = "<script>alert(1)</script> **bold** [link](http://x) | cell `tick` # _x_"
    content = {**TINY, "description": hostile, "contrasts": [{**TINY["contrasts"][0], "question": hostile}]}
    content["variants"] = [
        {"extends": "vae-gaussian", "title": hostile, "source": hostile, "departs": hostile},
        "vae-mse",
    ]
    suite = load_suite_mapping({**content, "datasets": ["digits/grey"]})
    broken = {"vae-mse": lambda planned: failed(planned, "error", hostile)}
    report = report_of(
        suite, results, instead=broken, info={"command": "run `x`\n# no heading", "environment": {"cpu": hostile}}
    )
    page = MarkdownIt("commonmark").enable("table").render(report)
    assert "<script>" not in page
    assert "<a href" not in page.replace('<a href="#what-is-missing">', "")
    assert "<h1>no heading" not in page
    assert "<strong>bold</strong>" not in page
    assert page.count("alert(1)") >= 6


def test_a_user_may_replace_one_template(tiny, results, tmp_path):
    (tmp_path / "questions.md.jinja").write_text("Asked: {{ questions | length }}\n")
    report = report_of(tiny, results, templates=tmp_path)
    assert "Asked: 3" in report
    assert "## Leaderboard" in report


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("one\n{{ verdicts }}\n", r"questions\.md\.jinja:2: 'verdicts' is undefined"),
        ("{% if %}", r"questions\.md\.jinja"),
    ],
)
def test_a_broken_template_is_named_with_its_line(tiny, results, tmp_path, template, what):
    (tmp_path / "questions.md.jinja").write_text(template)
    with pytest.raises(ReportError, match=what):
        report_of(tiny, results, templates=tmp_path)


def test_a_folder_of_templates_must_exist(tiny, results, tmp_path):
    with pytest.raises(ReportError, match="no folder"):
        report_of(tiny, results, templates=tmp_path / "none")


def test_everything_is_written_and_rewriting_changes_nothing(tiny, results):
    fabricate(tiny, results, instead={"vae-mse": failed})
    write_all(tiny, results, {"command": "vaebench run tiny.yaml"})
    folder = results.suite("tiny")
    files = [folder.runs, folder.leaderboard, folder.contrasts, folder.report]
    before = [path.read_bytes() for path in files]
    write_all(tiny, results, {"command": "vaebench run tiny.yaml"})
    assert [path.read_bytes() for path in files] == before
    assert sorted(path.name for path in folder.path.iterdir()) == sorted(path.name for path in files)
    assert Leaderboard.read(folder.leaderboard).table["variant"].nunique() == len(tiny.variants)
    report = folder.report.read_text()
    assert "    vaebench run tiny.yaml" in report
    assert "- torch: 2.15" in report
