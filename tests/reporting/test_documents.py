"""The figures of documents in a report: our pictures, and what the numbers say of what a figure says."""

import re
from pathlib import Path

import pytest

from tests.reporting.fabrication import TINY, fabricate, plausible
from tests.reporting.stand_ins import SQUARE, content_of
from tests.reporting.test_report import section
from vaebench.reporting import figures as package
from vaebench.reporting.figures.figure import Figure, Written
from vaebench.reporting.html import render_html
from vaebench.reporting.markdown import render_markdown
from vaebench.reporting.pictures import pictures
from vaebench.store.folders import ResultsFolder
from vaebench.suite.figures import KINDS, OF_ALL
from vaebench.suite.loading import load_suite_mapping

SIDES = TINY["contrasts"][0]
QUESTION = SIDES["question"]
SOURCE = "Somebody 2020, p. 3"
SHOWING = {
    **TINY,
    "profiles": {"cpu": {"seeds": 5}},
    "expected": [
        {"kind": "order", "on": "digits/grey", "order": ["vae-mse:kl", "vae-gaussian:kl"], "source": SOURCE},
    ],
    "figures": [
        {
            "figure": "Somebody 2020, fig. *1*",
            "says": "codes of σ = 1 lie <nearer> the prior.",
            "ours": ["vae-gaussian:latents", "vae-mse:latents"],
            "on": "digits/grey",
            "answered_by": [QUESTION, SOURCE],
            "seen": {"cpu": "nearer, and <not> by much."},
        },
        {"figure": "Somebody 2020, fig. 2", "says": "a plane.", "ours": ["vae:manifold", "vae:samples"]},
    ],
}


@pytest.fixture
def content(tmp_path: Path):
    """Of a suite whose numbers say that practice has less KL, and that has drawn two kinds of picture."""
    suite = load_suite_mapping(SHOWING)
    results = ResultsFolder(tmp_path / "runs")
    fabricate(suite, results, numbers=lambda cell, column: plausible(cell, column) - 5.0 * (cell.variant == "vae-mse"))
    drawn = []
    for variant, kind in (("vae-gaussian", "latents"), ("vae-mse", "latents"), ("vae", "samples")):
        file = tmp_path / f"{variant}-{kind}-digits-grey.svg"
        file.write_text(SQUARE, encoding="utf-8")
        figure = Figure(file.stem, f"{kind} of {variant}", f"Read {kind} so.", "variant", variant, "", {}, print)
        drawn.append(Written(figure, file))
    return content_of(suite, results, pictures=pictures(drawn, tmp_path))


def test_each_figure_has_its_pictures_and_what_the_numbers_say(content) -> None:
    text = section(render_markdown(content), r"### Somebody 2020, fig. \*1\*")
    assert r"There: codes of σ = 1 lie \<nearer> the prior." in text
    assert "![latents of vae-gaussian](vae-gaussian-latents-digits-grey.svg)" in text
    assert "![latents of vae-mse](vae-mse-latents-digits-grey.svg)" in text
    assert f"- {QUESTION} `{SIDES['theory']}` (theory) against `{SIDES['practice']}` (practice): " in text
    assert r"By eye: nearer, and \<not> by much." in text
    assert re.search(r"`vae-mse:kl` < `vae-gaussian:kl`: [\d.]+ < [\d.]+ \(at 5 of 5 seeds\), order holds\.", text)


def test_how_to_read_a_kind_is_said_once_among_them(content) -> None:
    text = section(render_markdown(content), "## The documents' figures")
    assert text.count("Read latents so.") == 1


def test_a_picture_that_is_not_there_is_named_and_one_without_a_measure_is_to_be_looked_at(content) -> None:
    text = section(render_markdown(content), "### Somebody 2020, fig. 2")
    assert "No picture of `vae:manifold`: no model of it is trained, or it has none of this kind." in text
    assert "![samples of vae](vae-samples-digits-grey.svg)" in text
    assert "seeds" not in text
    lines = text.splitlines()
    assert lines[next(i for i, line in enumerate(lines) if line.startswith("No picture")) - 1] == ""


def test_the_page_has_them_too_and_escapes_what_the_suite_says(content) -> None:
    text = render_html(content)
    assert "codes of σ = 1 lie &lt;nearer&gt; the prior." in text
    assert "By eye: nearer, and &lt;not&gt; by much." in text
    assert text.index('id="documents"') < text.index('id="leaderboard"')
    assert '<a href="#documents">' in text


def test_a_suite_that_follows_no_document_has_no_such_section(tmp_path: Path) -> None:
    suite, results = load_suite_mapping(TINY), ResultsFolder(tmp_path)
    fabricate(suite, results)
    assert "documents' figures" not in render_markdown(content_of(suite, results))


def test_the_kinds_that_a_suite_may_name_are_those_that_are_drawn() -> None:
    sources = [path.read_text(encoding="utf-8") for path in Path(package.__path__[0]).glob("*.py")]
    drawn = {kind for text in sources for kind in re.findall(r'place\.figure\(\s*"([a-z-]+)"', text)}
    assert drawn == set(KINDS)
    assert all(any(f'name=slug("{name}", source)' in text for text in sources) for name in OF_ALL)
