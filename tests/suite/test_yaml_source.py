"""YAML text to values and lines, and what is refused before anything is built."""

import json
from pathlib import Path

import pytest

from tests.suite.writing import FILE, mistakes_in, written
from vaebench.suite.mistakes import SuiteError
from vaebench.suite.yaml_source import MOST_BYTES, MOST_LEVELS, parse_source, read_source


def test_every_value_knows_its_line() -> None:
    text = "suite: a\nvariants:\n  - vae\n  - extends: vae\n    objective: {beta: [1,\n      4]}\n"
    lines = parse_source(text.encode(), FILE).lines
    assert lines[("suite",)] == 1
    assert lines[("variants",)] == 2
    assert lines[("variants", 1)] == 4
    assert lines[("variants", 1, "objective", "beta")] == 5
    assert lines[("variants", 1, "objective", "beta", 1)] == 6


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("010", 10),
        ("-3", -3),
        ("1e-3", 0.001),
        ("4.", 4.0),
        (".5", 0.5),
        ("1_000", "1_000"),
        ("'4'", "4"),
        ("2020-01-01", "2020-01-01"),
        ("1:30", "1:30"),
        ("-.inf", float("-inf")),
        ("1e999", float("inf")),
        ("9" * 5000, float("inf")),
    ],
)
def test_plain_words_mean_what_yaml_1_2_says(word: str, value: object) -> None:
    content = parse_source(f"key: {word}\n".encode(), FILE).content
    assert content == {"key": value}
    assert type(content["key"]) is type(value)


def test_an_alias_is_read_where_it_stands() -> None:
    content = parse_source(b"a: &x {b: [1, 2]}\nc: *x\n", FILE).content
    assert content == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}}


def test_a_byte_order_mark_is_no_mistake() -> None:
    assert mistakes_in(b"\xef\xbb\xbf" + written().encode()) == []


def test_windows_line_ends_move_no_line() -> None:
    text = written(seeds="0  # here").replace("\n", "\r\n")
    assert [mistake.line for mistake in mistakes_in(text)] == [3]


REFUSED = {
    "nothing at all": (b"", 1, "empty; a suite needs at least suite, datasets, variants and metrics"),
    "comments only": (b"# a suite\n", 1, "empty; a suite needs"),
    "a bracket left open": (b"suite: a\nseeds: [1,\nmetrics: [elbo]\n", 2, "not YAML: expected ',' or ']'"),
    "a quote left open": (b"suite: 'a\n", 1, "not YAML: found unexpected end of stream"),
    "an indentation that fits nowhere": (b"suite: a\n  seeds: 3\n", 2, "not YAML: mapping values are not allowed here"),
    "a tab": (b"suite: a\ndefaults:\n\tlatent: 3\n", 3, "a tab stands where YAML expects spaces"),
    "a character that begins nothing": (b"suite: a\nseeds: `3`\n", 2, "not YAML: found character '`'"),
    "bytes that are no UTF-8": ("suite: a\ndescription: größe\n".encode("latin-1"), 2, "not UTF-8: byte 0xf6"),
    "UTF-16": ("suite: a\n".encode("utf-16"), 1, "not UTF-8: byte 0xff"),
    "a control character": (
        b"suite: a\ndescription: a\x1b[31m\n",
        2,
        r"holds the unprintable character '\x1b'; remove it",
    ),
    "a zero byte": (b"suite: \x00\n", 1, r"holds the unprintable character '\x00'"),
    "a second document": (b"suite: a\n---\nsuite: b\n", 2, "a second document starts here; a suite is one"),
    "an alias of nothing": (b"suite: a\nseeds: *x\n", 2, "*x refers to nothing"),
    "an alias inside of its anchor": (b"suite: a\nseeds: &x [1, *x]\n", 2, "*x stands inside of &x: a circle"),
    "a list for a key": (b"suite: a\n? [b]\n: c\n", 2, "a list or mapping stands where a key is expected"),
    "an escape beyond Unicode": (b'suite: "\\UFFFFFFFF"\n', 1, "not YAML"),
    "an unknown YAML version": (b"%YAML 3.0\n---\nsuite: a\n", 1, "not YAML"),
}


@pytest.mark.parametrize(("data", "line", "what"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_readable_file_is_refused_in_one_line(data: bytes, line: int, what: str) -> None:
    (mistake,) = mistakes_in(data)
    assert (mistake.file, mistake.line, mistake.path) == (FILE, line, "")
    assert mistake.what.startswith(what)
    assert "\n" not in str(mistake)


NOTED = {
    "a duplicate key": ("suite: b", "suite", "stands twice, first on line 1"),
    "a tag": ("description: !!python/object:os.system x", "", "tags are not read; remove"),
    "an escaped control character": (r'description: "\x1b"', "", r"holds the unprintable character '\x1b'"),
    "an escaped lone surrogate": (r'description: "\ud800"', "", r"holds the unprintable character '\ud800'"),
}


@pytest.mark.parametrize(("line", "path", "what"), NOTED.values(), ids=NOTED)
def test_what_can_be_read_past_is_noted_and_the_rest_is_checked_too(line: str, path: str, what: str) -> None:
    first, second = mistakes_in(written() + f"{line}\nseed: 3\n")
    assert (first.line, first.path) == (6, path)
    assert first.what.startswith(what)
    assert str(second) == f"{FILE}:7: seed: unknown key (did you mean 'seeds'?)"


def test_half_a_character_in_a_key_is_noted_and_the_key_is_shown_without_it() -> None:
    first, second = mistakes_in(written() + '"see\\ud800ds": 3\n')
    assert first.what.startswith(r"holds the unprintable character '\ud800'")
    assert str(second).startswith(f"{FILE}:6: 'see?ds': unknown key")


def test_a_character_that_json_escapes_as_two_halves_is_one() -> None:
    text = json.dumps({"description": "β and 🎲", "🎲": 1})
    assert "\\ud83c\\udfb2" in text
    assert parse_source(text.encode(), FILE).content == {"description": "β and 🎲", "🎲": 1}


def test_every_duplicate_key_is_found() -> None:
    text = written(variants="\n- extends: vae\n  latent: 3\n  latent: 4\n  latent: 5", suite="trial\nsuite: trial")
    assert [
        str(mistake) for mistake in mistakes_in(text.replace("suite:\n  ", "suite: ").replace("  suite", "suite"))
    ] == [
        f"{FILE}:2: suite: stands twice, first on line 1",
        f"{FILE}:8: variants[0].latent: stands twice, first on line 7",
        f"{FILE}:9: variants[0].latent: stands twice, first on line 7",
    ]


def test_merge_keys_are_answered_with_extends() -> None:
    text = written(variants="\n- &base {extends: vae}\n- {<<: *base, name: b}")
    (mistake,) = mistakes_in(text)
    assert (mistake.line, mistake.path) == (6, "variants[1].<<")
    assert "merge keys (<<) are not read" in mistake.what
    (mistake,) = mistakes_in(text.replace("- {<<: *base, name: b}", "- {name: b, extends: vae, objective: {<<: 3}}"))
    assert (mistake.line, mistake.path) == (6, "variants[1].objective.<<")


def test_an_alias_bomb_is_refused_before_it_is_laid_open() -> None:
    layers = [
        f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]\n"
        for below, name in zip("abcdefghi", "bcdefghij", strict=True)
    ]
    (mistake,) = mistakes_in("a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(layers))
    assert mistake.line == 5
    assert "more than 50,000 values" in mistake.what


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused(opening: str) -> None:
    (mistake,) = mistakes_in(opening * 5000)
    assert mistake.what == f"nested deeper than {MOST_LEVELS} levels"


def test_deep_nesting_through_aliases_is_refused() -> None:
    deep = "[" * 15 + "]" * 15
    (mistake,) = mistakes_in(f"a: &a {deep}\nb: [[[[[[[*a]]]]]]]\n")
    assert (mistake.line, mistake.what) == (2, f"nested deeper than {MOST_LEVELS} levels")


def test_a_file_that_cannot_be_read_is_no_traceback(tmp_path: Path) -> None:
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"#" * (MOST_BYTES + 1))
    for path, what in ((huge, "larger than 1,000,000 bytes"), (tmp_path / "none.yaml", "cannot be read: No such file")):
        with pytest.raises(SuiteError) as caught:
            read_source(path, str(path))
        assert str(caught.value).startswith(f"{path}: {what}")
