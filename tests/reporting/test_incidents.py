"""What must be known of the numbers: each statement once on a view, and where it does not hold of all, that too."""

import pandas as pd
import pytest

from vaebench.reporting.incidents import IN_PART, Incident, remarks, unfinished
from vaebench.reporting.runs import COLUMNS, FAILED, MISSING, NOT_APPLICABLE

CAP = "at cap: from 100 images no code can show more than ln 100"
SIZE = "mean effective sample size {} of 100; it is below 10 on {} of 1,000 images, where the error is a guess"


KEYS = [(variant, metric, seed) for variant in ("vae", "iwae") for metric in ("kl", "elbo") for seed in (0, 1)]


def runs(notes: dict[tuple[str, str, int], str], status: dict[tuple[str, str, int], str] | None = None) -> pd.DataFrame:
    """A table of two variants, two metrics and two seeds on one view, with notes by variant, metric and seed."""
    rows = [
        {
            "suite": "two",
            "dataset": "digits",
            "view": "binary",
            "variant": variant,
            "seed": seed,
            "cell": f"{variant}-{seed}",
            "status": (status or {}).get((variant, metric, seed), "done"),
            "metric": metric,
            "value": 1.0,
            "protocol": "",
            "note": notes.get((variant, metric, seed), ""),
        }
        for variant, metric, seed in KEYS
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def told(found: list[Incident]) -> list[str]:
    return [f"{one.metrics} on {one.where}{one.seeds and f', {one.seeds}'}: {one.note}" for one in found]


def test_statements_of_one_note_are_told_apart_and_each_once():
    """Those that speak of the one before them stay with it."""
    first, second = SIZE.format("4.2", "12"), f"{CAP}; {SIZE.format('1.5', '300')}"
    notes = {("vae", "kl", 0): first, ("vae", "kl", 1): second, ("iwae", "kl", 0): first, ("iwae", "kl", 1): first}
    assert told(remarks(runs(notes))) == [
        f"kl on digits/binary (every variant): {SIZE.format('1.5 … 4.2', '12 … 300')}",
        f"kl on digits/binary (vae), seed 1: {CAP}",
    ]


@pytest.mark.parametrize(
    ("concerned", "seeds"),
    [
        ([("vae", "kl", 0), ("vae", "kl", 1), ("iwae", "kl", 0), ("iwae", "kl", 1)], ""),
        ([("vae", "kl", 1), ("iwae", "kl", 1)], "seed 1"),
        ([("vae", "kl", 0), ("vae", "kl", 1), ("iwae", "kl", 1)], IN_PART),
        ([("vae", "kl", 0), ("vae", "elbo", 0), ("iwae", "kl", 0)], IN_PART),
    ],
    ids=["of all", "of one seed", "of different seeds", "of different metrics"],
)
def test_a_statement_that_holds_in_part_says_so(concerned: list[tuple[str, str, int]], seeds: str):
    (found,) = remarks(runs(dict.fromkeys(concerned, CAP)))
    assert found.seeds == seeds


@pytest.mark.parametrize("status", [FAILED, MISSING, NOT_APPLICABLE])
def test_a_statement_holds_of_all_where_the_other_numbers_are_not_there(status: str):
    """A seed that failed, or that an exact row does not have, leaves no number of which it would not hold."""
    (found,) = remarks(runs({("vae", "kl", 0): CAP}, {("vae", "kl", 1): status}))
    assert found.seeds == ""


def test_a_failure_on_two_seeds_is_one_incident_with_the_least_and_the_largest_step():
    failed = {key: f"diverged at step {200 + key[2]}" for key in KEYS if key[0] == "vae"}
    (found,) = unfinished(runs(failed, dict.fromkeys(failed, FAILED)))
    assert (str(found.where), str(found.metrics), found.seeds) == ("digits/binary (vae)", "every metric", "")
    assert found.note == "diverged at step 200 … 201"


def test_signs_and_powers_of_ten_are_numbers_of_one_range():
    notes = {
        ("vae", "kl", 0): "the last steps moved it by +0.3",
        ("vae", "kl", 1): "the last steps moved it by -2e-05",
    }
    assert [one.note for one in remarks(runs(notes))] == ["the last steps moved it by -2e-05 … +0.3"]
