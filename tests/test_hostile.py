"""No input makes vaebench show a traceback, hang, write outside the results folder, or run anything."""

import pytest
from hypothesis import HealthCheck, given, settings

from tests.stress import hostile

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
