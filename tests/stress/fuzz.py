"""`python -m tests.stress.fuzz --minutes 60 [--write docs/reliability.md]`

Feeds inputs that were made to do harm to every verb that reads them, until the time is over. An input after which a
verb shows a traceback, hangs, writes outside the results folder or runs something is a crash; it is printed, and the
script leaves with exit code 1.
"""

import argparse
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.stress.hostile import TRIALS, Hangs
from tests.stress.summary import write_table

EXAMPLES = 50
"""Of one kind before the next has its turn."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.stress.fuzz", description="Feed hostile inputs to vaebench.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="kinds of inputs whose name has this in it")
    parser.add_argument("--write", type=Path, help="document whose table of inputs gets the numbers")
    arguments = parser.parse_args()
    kinds = [kind for kind in TRIALS if not arguments.only or arguments.only in kind]
    tried, crashes = Counter(dict.fromkeys(kinds, 0)), Counter(dict.fromkeys(kinds, 0))
    begun = time.monotonic()
    turn = arguments.seed
    while time.monotonic() - begun < 60 * arguments.minutes:
        for kind in kinds:
            _turn(kind, turn, tried, crashes)
        turn += 1
    rows = [(kind, str(tried[kind]), str(crashes[kind])) for kind in kinds]
    rows.append(("**all**", f"**{tried.total()}**", f"**{crashes.total()}**"))
    write_table("fuzz", ("inputs", "tried", "crashes"), rows, time.monotonic() - begun, arguments.write)
    sys.exit(bool(crashes.total()))


def _turn(kind: str, number: int, tried: Counter[str], crashes: Counter[str]) -> None:
    """A number of inputs of one kind."""
    inputs, attempt = TRIALS[kind]

    @seed(number)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def trial(content: object) -> None:
        tried[kind] += 1
        try:
            attempt(content)
        except (Exception, Hangs):
            crashes[kind] += 1
            print(f"{kind}, turn {number}: {content!r}")
            traceback.print_exc()

    trial()


if __name__ == "__main__":
    main()
