"""Numbers with sensible digits, and names that stay names in Markdown."""

import html
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from vaebench.reporting.text import (
    beside,
    code,
    code_cell,
    escape_markdown,
    number,
    one_line,
    probability,
    setting,
    with_error,
)

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HOSTILE = st.text(alphabet=st.sampled_from(list("ab1 `*_[]()<>#+-=.!|~$&;:\\/\"'\n\tσ")), max_size=30)


@pytest.mark.parametrize(
    ("half", "value", "text"),
    [
        (0.5, -97.243, "-97.24"),
        (12.0, -97.243, "-97"),
        (7.4e16, -97.243, "-97.24"),
        (1150.0, -80.13, "-80.13"),
        (None, 0.25, "0.2500"),
        (0.0087, 1.112e-06, "0.0000"),
        (165.0, 137.7, "140"),
        (9.4e7, 90270.0, "90,270"),
    ],
)
def test_a_side_of_a_difference_keeps_its_own_digits_where_the_difference_has_none(half, value, text):
    assert beside(half, value) == text


@pytest.mark.parametrize(
    ("mean", "half", "text"),
    [
        (3.0247, 0.0312, "3.025 ± 0.031"),
        (-87.654, 0.0996, "-87.65 ± 0.10"),
        (-87.654, 1.26, "-87.7 ± 1.3"),
        (478592.4, 1234.0, "478,600 ± 1,200"),
        (0.9, 0.00031, "0.90000 ± 0.00031"),
        (478592.0, 0.0, "478,592"),
        (12.345678, 1e-14, "12.35"),
        (1.5e9, 2.5e7, "1.500e+09 ± 2.5e+07"),
    ],
)
def test_an_error_has_two_digits_and_its_mean_ends_where_it_does(mean, half, text):
    assert with_error(mean, mean - half, mean + half) == text


def test_without_an_interval_the_mean_stands_alone():
    assert with_error(3.14159, None, None) == "3.142"
    assert with_error(3.14159, math.nan, math.nan) == "3.142"


def test_what_rounding_leaves_of_0_is_written_as_0():
    assert with_error(-2.2e-16, None, None) == "0"
    assert with_error(-1.5e-8, -1.6e-8, -1.4e-8) == "0"
    assert with_error(2e-7, None, None) == "2.000e-07"
    assert with_error(1e-8, -0.5, 0.5) == "0.00 ± 0.50"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.0, "0"), (12.0, "12"), (0.12345, "0.1235"), (1234.5678, "1,235"), (3.2e-9, "3.200e-09")],
)
def test_numbers_have_four_digits_and_whole_ones_all(value, text):
    assert number(value) == text


def test_a_p_value_is_never_written_as_zero():
    assert [probability(p) for p in (0.0, 3e-9, 0.01234, 1.0)] == ["< 0.0001", "< 0.0001", "= 0.012", "= 1"]


def test_a_setting_reads_in_one_line():
    assert setting({"name": "mlp", "hidden": [400, 400], "dropout": None}) == "mlp (hidden 400-400, dropout none)"
    assert setting({"name": "elbo", "beta": 4.0}) == "elbo (beta 4)"
    assert setting(32) == "32"


def rendered(markdown):
    page = READER.render(markdown).strip()
    return html.unescape(page.removeprefix("<p>").removesuffix("</p>")), page


@given(HOSTILE)
def test_escaped_text_renders_as_itself(text):
    shown, page = rendered(escape_markdown(text))
    assert shown == one_line(text)
    assert page.count("<") == 2 or not page


@given(HOSTILE)
def test_a_code_span_shows_what_it_holds(text):
    if one_line(text):
        shown, _ = rendered(code(text))
        assert shown == f"<code>{one_line(text)}</code>"


@given(HOSTILE, HOSTILE)
def test_no_text_breaks_out_of_its_cell(first, second):
    page = READER.render(f"| a | b |\n|---|---|\n| {escape_markdown(first)} | {code_cell(second)} |")
    assert page.count("<td>") == 2
    assert html.unescape(page.split("<td>")[1].split("</td>")[0]) == one_line(first)
