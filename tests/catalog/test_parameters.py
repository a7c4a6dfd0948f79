"""What a parameter takes, and what it says to everything else."""

from typing import Any

import pytest

from vaebench.catalog.parameters import Parameter, shown

BETA = Parameter("beta", "number", 1.0, minimum=0)
RATE = Parameter("learning_rate", "number", 0.001, above=0, below=1)
CLIP = Parameter("clip", "number", None, above=0, optional=True)
EPOCHS = Parameter("epochs", "integer", 30, minimum=1, maximum=100)
SWITCH = Parameter("switch", "boolean", False)
KL = Parameter("kl", "choice", "analytic", choices=("analytic", "monte-carlo"))
HIDDEN = Parameter("hidden", "integers", [400], minimum=1)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (BETA, 0),
        (BETA, 0.25),
        (BETA, 4),
        (RATE, 1e-9),
        (CLIP, None),
        (CLIP, 5),
        (EPOCHS, 1),
        (EPOCHS, 100),
        (SWITCH, True),
        (KL, "monte-carlo"),
        (HIDDEN, [1]),
        (HIDDEN, [400, 400]),
    ],
)
def test_a_value_of_the_right_type_and_range_is_taken(parameter: Parameter, value: Any) -> None:
    assert parameter.mistake(value) is None


@pytest.mark.parametrize(
    ("parameter", "value", "what"),
    [
        (BETA, -1, "must be at least 0, is -1"),
        (BETA, "4", "must be a number, is '4'"),
        (BETA, True, "must be a number, is true"),
        (BETA, None, "must be a number, is nothing"),
        (BETA, [4], "must be a number, is a list"),
        (BETA, {}, "must be a number, is an empty mapping"),
        (BETA, float("nan"), "must be a finite number, is nan"),
        (BETA, float("inf"), "must be a finite number, is inf"),
        (BETA, 10**400, "must be a finite number"),
        pytest.param(BETA, 10**6000, "must be a finite number, is a very large number", id="6001 digits"),
        (RATE, 0, "must be above 0, is 0"),
        (RATE, 1, "must be below 1, is 1"),
        (CLIP, "none", "must be a number or null, is 'none'"),
        (EPOCHS, 3.0, "must be an integer, is 3.0"),
        (EPOCHS, False, "must be an integer, is false"),
        (EPOCHS, 101, "must be at most 100, is 101"),
        (SWITCH, 1, "must be true or false, is 1"),
        (SWITCH, "yes", "must be true or false, is 'yes'"),
        (KL, "exact", "must be one of analytic, monte-carlo, is 'exact'"),
        (KL, ["analytic"], "must be one of analytic, monte-carlo, is a list"),
        (HIDDEN, 400, "must be a list of integers, is 400"),
        (HIDDEN, [], "must hold at least one integer, is an empty list"),
        (HIDDEN, [400, "a"], "must be a list of integers, holds 'a'"),
        (HIDDEN, [True], "must be a list of integers, holds true"),
        (HIDDEN, [[400]], "must be a list of integers, holds a list"),
        (HIDDEN, [400, 0], "every number must be at least 1, one is 0"),
    ],
)
def test_any_other_value_is_answered_with_what_was_given_and_what_is_valid(
    parameter: Parameter, value: Any, what: str
) -> None:
    assert (parameter.mistake(value) or "").startswith(what)


def test_numbers_are_kept_as_floats_so_that_4_and_4_0_are_one() -> None:
    assert type(BETA.normal(4)) is float
    assert CLIP.normal(None) is None
    assert EPOCHS.normal(4) == 4


@pytest.mark.parametrize(
    ("value", "words"),
    [("a\nb", r"'a\nb'"), ("x" * 200, f"'{'x' * 55}…'"), ([1], "a list"), ({"a": 1}, "a mapping"), (1e-5, "1e-05")],
)
def test_a_message_shows_a_value_on_one_short_line(value: Any, words: str) -> None:
    assert shown(value) == words
