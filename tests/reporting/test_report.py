"""The report: complete, escaped, with templates that a user may replace."""

import itertools
import re
import shlex
from dataclasses import replace

import pytest
import scipy.stats
from markdown_it import MarkdownIt

from tests.reporting import fabrication
from tests.reporting.fabrication import SOURCES, TINY, done, fabricate, failed, plausible
from tests.reporting.stand_ins import content_of, pictures
from vaebench.catalog.catalog import load_catalog
from vaebench.engines.planning import Policy
from vaebench.reporting.figures.figure import Figure, Written
from vaebench.reporting.leaderboard import Leaderboard, leaderboard_table
from vaebench.reporting.markdown import render_markdown
from vaebench.reporting.pictures import pictures as read_pictures
from vaebench.reporting.runs import runs_table
from vaebench.reporting.templates import ReportError
from vaebench.reporting.write import recorded_environment, write_all
from vaebench.suite.expansion import expand
from vaebench.suite.loading import load_suite_mapping


def report_of(suite, results, templates=None, info=None, **fabricated):
    fabricate(suite, results, **fabricated)
    return render_markdown(content_of(suite, results, info), templates)


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
    assert re.search(r"These seeds would have shown a difference of 0\.2\d* bits per pixel with 80 % power\.", answer)


def test_what_holms_correction_alone_takes_back_is_said(tiny, results):
    """Differences of mean 0.09 and deviation √0.003: t = 3.7 with four degrees of freedom, p = 0.021."""

    def numbers(planned, column):
        difference = {0: 0.04, 1: 0.05, 2: 0.08, 3: 0.11, 4: 0.17}[planned.cell.seed]
        return 3.0 + (difference if (planned.variant, column) == ("vae-mse", "bits_per_dim") else 0.0)

    report = report_of(tiny, results, numbers=numbers)
    answer = section(report, "### Does fixing σ(z) = 1 produce a more useful model?")
    assert "**not distinguishable** in `bits_per_dim`" in answer
    p_value = scipy.stats.ttest_1samp([0.04, 0.05, 0.08, 0.11, 0.17], 0.0).pvalue
    assert f"Taken alone it has p = {p_value:.2g}; among all questions of this suite that may be chance." in answer
    assert report.count("Taken alone") == 1
    (row,) = [line for line in report.splitlines() if line.startswith("| Does fixing")]
    assert f" ({p_value:.2g}) |" in row


def test_not_comparable_says_why(results):
    report = report_of(load_suite_mapping({**TINY, "seeds": 3}), results)
    assert "**not comparable** in `bits_per_dim`: 3 seeds have a number on both sides, 5 are needed" in report
    rows = [line.split("|") for line in report.splitlines() if "| *not comparable*" in line]
    (place,) = {
        k for line in report.splitlines() for k, cell in enumerate(line.split("|")) if cell.strip() == "p after Holm"
    }
    assert {row[place].strip() for row in rows} == {"–"}
    assert "so far" in report


def test_two_names_of_one_model_are_said_to_be_one(results):
    mixture = {"name": "mixture", "extends": "vae", "generation": {"prior": "fitted-gmm"}}
    again = {"name": "again", "extends": "vae"}
    report = report_of(load_suite_mapping({**TINY, "variants": [*TINY["variants"], mixture, again]}), results)
    assert "The models of `vae`, sampled in another way." in section(report, "### `mixture`: Variational autoencoder")
    assert "The models of `vae`." in section(report, "### `again`: Variational autoencoder")
    assert report.count("The models of") == 2


def test_a_side_that_exploded_is_why_the_two_are_not_comparable(tiny, results):
    def numbers(planned, column):
        return 1e17 if (planned.variant, planned.cell.seed) == ("vae-mse", 2) else plausible(planned, column)

    answer = section(report_of(tiny, results, numbers=numbers), "### Does fixing σ(z) = 1 produce a more useful model?")
    assert "4 seeds have a number on both sides, 5 are needed; `vae-mse` exploded at seed 2 (1.000e+17)" in answer


def test_a_side_whose_models_failed_is_why_the_two_are_not_comparable(tiny, results):
    def at_different_steps(planned):
        step = 100 + planned.cell.seed
        return failed(planned, message=f"diverged at step {step} of its training", step=step)

    answer = section(
        report_of(tiny, results, instead={"vae-mse": at_different_steps}),
        "### Does fixing σ(z) = 1 produce a more useful model?",
    )
    count, last = len(tiny.seeds), 100 + max(tiny.seeds)
    why = f"`vae-mse`: {count} of {count} models failed: diverged at step 100 … {last} of its training."
    assert f"no seed has a number on both sides, 5 are needed; {why}" in answer


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ("bits_per_dim", "; `vae-mse`: 1 of 5 models gave no number: the number is inf (practice"),
        ("kl", " (practice"),
    ],
)
def test_a_number_that_failed_is_named_where_it_is_compared_and_nowhere_else(tiny, results, metric, why):
    def without_a_number(planned):
        record = done(tiny, planned)
        if planned.cell.seed != 2:
            return record
        values = [
            replace(value, status="failed", value=None, stderr=None, note="the number is inf")
            if value.metric == metric
            else value
            for value in record.metrics
        ]
        return replace(record, metrics=values)

    answer = section(
        report_of(
            load_suite_mapping({**TINY, "seeds": 4 if metric == "kl" else 5}),
            results,
            instead={"vae-mse": without_a_number},
        ),
        "### Does fixing σ(z) = 1 produce a more useful model?",
    )
    assert f"4 seeds have a number on both sides, 5 are needed{why}" in answer


def test_how_many_thousand_standard_deviations_is_not_said(tiny, results):
    def numbers(planned, column):
        return 3.0 + 1e-9 * planned.cell.seed + (1.0 if planned.variant == "vae-mse" else 0.0)

    answer = section(report_of(tiny, results, numbers=numbers), "### Does fixing σ(z) = 1 produce a more useful model?")
    assert "over 1,000 seed standard deviations apart" in answer


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


def test_numbers_that_are_said_once_keep_their_signs(tiny, results):
    def below_zero(planned):
        return failed(planned, message=f"stood at -{100 + planned.cell.seed}.5 of 2 to 3-fold")

    missing = section(report_of(tiny, results, instead={"vae-mse": below_zero}), "## What is missing")
    last = 100 + max(tiny.seeds)
    assert f"stood at -{last}.5 … -100.5 of 2 to 3-fold" in missing


def test_what_does_not_apply_is_said_with_its_reason(tiny, results):
    missing = section(report_of(tiny, results), "## What is missing")
    assert "probe_accuracy needs labels, linear-gaussian has none" in missing
    assert "bits_per_dim is defined on the views grey and dequantised" in missing


def test_a_stale_row_is_shown_below_with_its_number(tiny, results):
    older = {**SOURCES, "models": "m0"}
    stale = {"vae-mse": lambda planned: done(tiny, planned, fingerprints=older)}
    ranking = section(report_of(tiny, results, instead=stale), r"### digits/grey, ranked by bits_per_dim")
    last = [line for line in ranking.split("Likelihoods")[0].splitlines() if line.startswith("|")][-1]
    assert "vae-mse" in last
    assert "±" in last
    assert "stale: seeds 0, 1, 2, 3, 4" in last


def test_a_report_without_contrasts_seeds_or_records_is_complete_too(results):
    bare = load_suite_mapping(
        {"suite": "bare", "datasets": ["digits/binary"], "seeds": 1, "variants": ["vae"], "metrics": ["elbo"]}
    )
    report = render_markdown(content_of(bare, results))
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
        ("one\n{{ answered }}\n", r"questions\.md\.jinja:2: 'answered' is undefined"),
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


def test_the_environment_says_whose_steps_were_compiled(tiny, results):
    fabricate(tiny, results, instead={"vae-mse": lambda planned: done(tiny, planned, training={"compiled": True})})
    assert recorded_environment(results, runs_table(tiny, results))["compiled"] == "vae-mse"
    fabricate(tiny, results)
    assert "compiled" not in recorded_environment(results, runs_table(tiny, results))


def test_everything_is_written_and_rewriting_changes_nothing(tiny, results):
    fabricate(tiny, results, instead={"vae-mse": failed})
    write_all(tiny, results, {"command": "vaebench run tiny.yaml"})
    folder = results.suite("tiny")
    files = [folder.runs, folder.leaderboard, folder.contrasts, folder.report, folder.page]
    before = [path.read_bytes() for path in files]
    write_all(tiny, results, {"command": "vaebench run tiny.yaml"})
    assert [path.read_bytes() for path in files] == before
    assert sorted(path.name for path in folder.path.iterdir()) == sorted(["figures", *(path.name for path in files)])
    assert Leaderboard.read(folder.leaderboard).table["variant"].nunique() == len(tiny.variants)
    report = folder.report.read_text()
    assert "    vaebench run tiny.yaml" in report
    assert "- torch: 2.15" in report


def table_below(report, words):
    """The cells of the first table after these words, without its line of dashes."""
    lines = report[report.index(words) :].splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("|"))
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[start:])
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return [cells[0], *cells[2:]]


def test_no_table_of_metrics_is_wide_and_what_belongs_together_stands_together(results):
    everything = list(load_catalog().metrics)
    variants = [{"extends": "joint-vae", "on": ["digits/grey"], "latent": 14}]
    suite = load_suite_mapping(
        {**TINY, "datasets": ["digits/grey"], "variants": variants, "metrics": everything, "contrasts": []}
    )
    centres = dict.fromkeys(load_catalog().columns, 1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fabrication, "CENTRES", centres)
        report = report_of(suite, results)
    headings = [line[:-1] for line in section(report, "## Leaderboard").splitlines() if line.endswith(":")]
    assert headings[0] == "Likelihoods (1 of 3)"
    order = ["Likelihoods", "Codes", "Samples", "Claims", "Cost", "Other metrics"]
    found = list(dict.fromkeys(heading.partition(" (")[0] for heading in headings))
    assert found == [heading for heading in order if heading in found]
    tables = [table_below(report, f"\n{heading}:") for heading in headings]
    assert max(len(table[0]) for table in tables) <= 1 + 6
    shown = [name.split()[0] for table in tables for name in table[0][1:]]
    board = Leaderboard(leaderboard_table(suite, runs_table(suite, results)))
    scored = [metric for metric in board.metrics if board.table[metric].notna().any()]
    assert sorted(shown) == sorted({*scored} - {"bits_per_dim"})


def test_a_collapsed_posterior_is_named_where_it_ranks_and_where_it_is_compared(tiny, results):
    def numbers(planned, column):
        dead = planned.variant == "beta-vae[beta=4]" and planned.cell.view == "binary"
        return 0.0 if column == "active_units" and dead else plausible(planned, column)

    report = report_of(tiny, results, numbers=numbers)
    binary = section(report, "### digits/binary, ranked by log_likelihood")
    assert "code says next to nothing about the image): `beta-vae[beta=4]` (every seed)." in binary
    assert "`beta-vae[beta=4]` *collapsed*" in binary
    assert "collapsed" not in section(report, "### digits/grey, ranked by bits_per_dim").lower()
    answers = section(report, "### What does β = 4 cost?").splitlines()
    assert ["active units" in line for line in answers if line.startswith("- ")] == [False, True]


def test_some_seeds_that_collapsed_are_named(tiny, results):
    def numbers(planned, column):
        dead = planned.variant == "vae-mse" and planned.cell.seed in (1, 3)
        return 0.0 if column == "active_units" and dead else plausible(planned, column)

    assert "`vae-mse` (seeds 1, 3)" in section(report_of(tiny, results, numbers=numbers), "## Leaderboard")


@pytest.mark.parametrize(("seeds", "says_p"), [(4, False), (5, True)])
def test_exploratory_tables_show_no_p_below_five_seeds(results, seeds, says_p):
    report = report_of(load_suite_mapping({**TINY, "seeds": seeds}), results)
    header, *rows = table_below(section(report, "## The other metrics of each question"), "###")
    assert all((row[header.index("p")] != "–") == says_p for row in rows)


def test_a_constant_difference_is_told_as_that_and_as_no_test(tiny, results):
    """Two closed forms differ by the same at every seed: that is certain, and five seeds are no evidence for it."""
    report = report_of(tiny, results, numbers=lambda planned, column: 2.0 + (planned.variant == "vae-mse"))
    answer = section(report, f"### {tiny.contrasts[0].question}")
    assert "(the same at each of 5 seeds)" in answer
    assert "95 %" not in answer.partition("![")[0]
    assert "< 0.0001" not in report
    assert ", p = 0," not in report
    assert ", p 0" not in report


def test_one_of_a_kind_is_said_in_the_singular(results):
    bare = load_suite_mapping(
        {"suite": "bare", "datasets": ["digits/binary"], "seeds": 1, "variants": ["vae"], "metrics": ["elbo"]}
    )
    assert "1 variant on 1 data set view, 1 seed each: 1 model, " in render_markdown(content_of(bare, results))


def test_every_row_has_the_command_that_makes_it_again(tiny, results):
    section_text = section(report_of(tiny, results, info={"command": "vaebench run tiny.yaml"}), "## To reproduce")
    planned = {(planned.cell.source, planned.variant) for planned in expand(tiny).planned}
    assert section_text.count("--only") == len(planned)
    command = "vaebench run tiny.yaml --only 'digits/grey/beta-vae[beta=4]' --seeds 5"
    assert f"`{command}`" in section_text
    pattern = shlex.split(command)[4]
    assert [pair for pair in planned if Policy(only=pattern).selects(*pair)] == [("digits/grey", "beta-vae[beta=4]")]


def test_pictures_are_linked_where_they_belong(tiny, results, tmp_path):
    question = TINY["contrasts"][1]["question"]
    fabricate(tiny, results)
    drawn = pictures(tmp_path / "figures", question, "vae", "What *there* is | to see.")
    report = render_markdown(content_of(tiny, results, pictures=drawn))
    assert "![The contrast](figures/pixel.png)" in section(report, f"### {question}")
    assert "![The variant](figures/square.svg)" in section(report, "### `vae`: Variational autoencoder")
    assert "![The overview](figures/square.svg)" in section(report, "## All variants in pictures")
    assert r"What \*there\* is \| to see." in report


def test_how_to_read_a_kind_of_picture_is_said_where_it_comes_first(tiny, results, tmp_path):
    """Two questions have the same kind of picture: the words stand once, below the first."""
    first, second = (contrast["question"] for contrast in TINY["contrasts"][:2])
    words, folder = "Every line is a seed.", tmp_path / "tiny"
    written = [
        Written(Figure(name, f"Title {name}", words, where, subject, "digits/grey", {}, None), folder / f"{name}.svg")
        for name, where, subject in (("a", "contrast", first), ("b", "contrast", second), ("c", "variant", "vae"))
    ]
    fabricate(tiny, results)
    content = content_of(tiny, results, pictures=read_pictures(written, folder))
    report = render_markdown(content)
    assert f"![Title a](a.svg)\n\n{words}\n" in section(report, f"### {first}")
    assert "![Title b](b.svg)" in section(report, f"### {second}")
    assert words not in section(report, f"### {second}")
    assert words in section(report, "### `vae`: Variational autoencoder")
