"""Which pictures stand below which question."""

from pathlib import Path

import pytest

from tests.reporting.fabrication import TINY, fabricate
from tests.reporting.stand_ins import content_of
from vaebench.reporting.html import render_html
from vaebench.reporting.pictures import Picture
from vaebench.suite.loading import load_suite_mapping
from vaebench.suite.suite import Suite

QUESTION = TINY["contrasts"][0]["question"]


def picture(name: str, section: str, subject: str, folder: Path) -> Picture:
    file = folder / f"{name}.svg"
    file.write_text(f"<svg>{name}</svg>")
    return Picture(name, f"Title of {name}", "How to read it.", True, section, subject, "digits/grey", name, file)


@pytest.fixture
def suite() -> Suite:
    return load_suite_mapping({**TINY, "contrasts": TINY["contrasts"][:1]})


def named(names: list[str], folder: Path) -> list[Picture]:
    sections = [("contrast", QUESTION) if name.startswith("contrast") else ("variant", "") for name in names]
    return [picture(name, *section, folder) for name, section in zip(names, sections, strict=True)]


def below_the_question(suite: Suite, results, folder: Path, names: list[str]) -> list[Picture]:
    fabricate(suite, results)
    return content_of(suite, results, pictures=named(names, folder))["pictures"]["contrast"][QUESTION]


OF_VARIANTS = [
    *("vae-gaussian-curves-digits-grey", "vae-gaussian-samples-digits-grey", "vae-gaussian-strips-digits-grey"),
    *("vae-mse-samples-digits-grey", "vae-mse-strips-digits-grey", "vae-samples-digits-grey"),
]


def test_a_question_shows_samples_and_strips_of_both_sides_kind_by_kind(suite, results, tmp_path) -> None:
    shown = below_the_question(suite, results, tmp_path, ["contrast-1-differences-digits-grey", *OF_VARIANTS])
    assert [one.name for one in shown] == [
        "contrast-1-differences-digits-grey",
        "vae-gaussian-samples-digits-grey",
        "vae-mse-samples-digits-grey",
        "vae-gaussian-strips-digits-grey",
        "vae-mse-strips-digits-grey",
    ]


def test_what_an_older_report_drew_together_is_not_shown_again(suite, results, tmp_path) -> None:
    shown = below_the_question(suite, results, tmp_path, ["contrast-1-samples-digits-grey", *OF_VARIANTS])
    assert [one.name for one in shown] == [
        "contrast-1-samples-digits-grey",
        "vae-gaussian-strips-digits-grey",
        "vae-mse-strips-digits-grey",
    ]


def test_a_page_has_the_bytes_of_a_picture_once(suite, results, tmp_path) -> None:
    fabricate(suite, results)
    name = "vae-mse-samples-digits-grey"
    shown = picture(name, "variant", "vae-mse", tmp_path)
    page = render_html(content_of(suite, results, pictures=[shown]))
    assert page.count(shown.embedded) == 1
    assert f'<img id="picture-{name}" src="{shown.embedded}"' in page
    assert f'<a class="again" href="#picture-{name}"' in page
    assert page.index(f'id="picture-{name}"') < page.index(f'href="#picture-{name}"')
    assert render_html(content_of(suite, results, pictures=[shown])) == page
