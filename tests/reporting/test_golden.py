"""Whole reports as they were looked at and found good; `pytest tests/reporting/test_golden.py --regen-all` renews them.

The sections that show the catalogue's own texts (variants, method), the style and the script are left out, so that
these files change when the report does and not with every word of the catalogue.
"""

import re

import pytest

from tests.reporting.fabrication import TINY, fabricate, failed, plausible
from tests.reporting.stand_ins import content_of, pictures
from vaebench.reporting.html import render_html
from vaebench.reporting.markdown import render_markdown

CATALOGUE = ("variants", "method")


def numbers(planned, column):
    """Among the fabricated numbers, a posterior that collapsed."""
    if column == "active_units":
        return 0.0 if planned.variant == "beta-vae[beta=4]" else 4.0
    return plausible(planned, column)


@pytest.fixture
def content(tiny, results, tmp_path):
    fabricate(
        tiny, results, numbers, instead={"vae-mse": lambda planned: failed(planned) if planned.cell.seed else None}
    )
    drawn = pictures(tmp_path / "figures", TINY["contrasts"][0]["question"], "vae")
    return content_of(tiny, results, {"command": "vaebench run tiny.yaml", "environment": {"torch": "2.15"}}, drawn)


@pytest.fixture
def templates(tmp_path):
    folder = tmp_path / "templates"
    folder.mkdir()
    for section in CATALOGUE:
        for kind in ("md", "html"):
            (folder / f"{section}.{kind}.jinja").write_text("")
    return folder


def test_the_report_in_markdown(content, templates, file_regression):
    file_regression.check(render_markdown(content, templates), extension=".md", encoding="utf-8")


def test_the_report_in_html(content, templates, file_regression):
    page = render_html(content, templates)
    bare = re.sub(r"(<(style|script)>).*?(</\2>)", r"\1…\3", page, flags=re.DOTALL)
    bare = re.sub(r"sha256-[^']*", "…", bare)
    file_regression.check(bare, extension=".html", encoding="utf-8")
