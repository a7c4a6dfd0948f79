"""No input makes vaebench show a traceback, hang, write outside the results folder, or run anything."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from tests.reporting.fabrication import TINY
from tests.stress import hostile
from vaebench.store.shapes import Misshapen
from vaebench.suite.loading import load_suite_mapping
from vaebench.suite.resolved import check_usable

EXAMPLES = {
    "suite files": 60,
    "leaderboards, runs and contrasts": 12,
    "records, plans and lock files": 15,
    "files of parameters": 15,
    "data archives": 15,
}


@pytest.mark.parametrize("kind", hostile.TRIALS)
def test_hostile_inputs_are_refused_in_plain_words(kind):
    inputs, attempt = hostile.TRIALS[kind]

    @settings(max_examples=EXAMPLES[kind], deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(inputs)
    def trial(content):
        attempt(content)

    trial()


FOUND = {
    "a count that is missing": ("leaderboard", [(2, 9, ""), (9, 2, "0J")], b""),
    "a number of nobody's seeds": ("runs", [(4, 4, "9223372036854775808")], b""),
    "a link in a cell of text": ("leaderboard", [(13, 1, "\x1b[31mred"), (23, 3, "[x](javascript:alert(1))")], b""),
}
"""What the longer fuzz script has found, and was mended."""


@pytest.mark.parametrize("found", FOUND)
def test_what_was_found_once_is_not_found_again(found):
    hostile.try_table(FOUND[found])


def test_a_lock_file_has_no_formula_for_a_stance():
    suite = load_suite_mapping(TINY)
    check_usable(suite)
    first, *others = suite.variants
    with pytest.raises(Misshapen, match="'=1\\+1' is no stance"):
        check_usable(replace(suite, variants=[replace(first, stance="=1+1"), *others]))
