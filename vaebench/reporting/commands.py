"""The commands that make a suite's numbers again."""

import shlex
from dataclasses import dataclass

from vaebench.suite.expansion import expand
from vaebench.suite.suite import Suite


@dataclass(frozen=True)
class RowCommand:
    """What trains and scores one row of a leaderboard."""

    source: str
    """Data set view."""
    variant: str
    command: str


def row_commands(suite: Suite, command: str) -> list[RowCommand]:
    """One command for each row, made of the one that runs the suite.

    `--seeds N` stands for the seeds 0 … N−1; other seeds can only come from the suite's file.
    """
    counted = suite.seeds == tuple(range(len(suite.seeds)))
    seeds = f" --seeds {len(suite.seeds)}" if counted else ""
    rows = dict.fromkeys((planned.cell.source, planned.variant) for planned in expand(suite).planned)
    return [
        RowCommand(source, variant, f"{command} --only {shlex.quote(f'{source}/{variant}')}{seeds}")
        for source, variant in rows
    ]
