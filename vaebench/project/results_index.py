"""results/README.md: what is published, a line for each suite and more below, with numbers read from its tables.

    python -m vaebench.project.results_index results

results/summaries.yaml holds the words. A place in braces is filled in:

    {mnist/grey vae-mse:frechet.mean}   a mean of the leaderboard
    {What does β = 4 cost?}             the size of the difference that decides a question
    {What does β = 4 cost? @elbo}       the size of its difference in another metric
    {seen by: What does β = 4 cost?}    the difference that its seeds would have shown with 80 % power
"""

import re
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from vaebench.engines.lockfile import read_lock
from vaebench.project.locking import command_of
from vaebench.reporting import dictionary
from vaebench.reporting.leaderboard import Leaderboard
from vaebench.reporting.published import judged, summary
from vaebench.reporting.runs import read_runs
from vaebench.reporting.tables import each_row
from vaebench.reporting.text import ABSENT, half_width, number, to_the_place_of
from vaebench.store.files import write_text
from vaebench.store.folders import SuiteFolder

COLUMNS = ("folder", "what it shows", "published against measured", "command", "machine, time", "date, commit")
PLACE = re.compile(r"(<!-- published -->\n).*?(<!-- /published -->\n)", re.DOTALL)
NUMBER = re.compile(r"(?P<source>\S+/\S+) (?P<variant>\S+):(?P<metric>\S+)")
SEEN_BY = "seen by: "
WIDTH = 120


@dataclass(frozen=True)
class Numbers:
    """What a published suite has measured."""

    board: pd.DataFrame
    contrasts: pd.DataFrame

    @classmethod
    def of(cls, folder: SuiteFolder) -> "Numbers":
        return cls(Leaderboard.read(folder.path).table, dictionary.read(folder.contrasts, "contrasts"))

    def filled(self, text: str) -> str:
        """The text with every place in braces filled in; ValueError names one that has no number."""
        return re.sub(r"\{([^{}]+)\}", lambda found: self.number(" ".join(found[1].split())), text)

    def number(self, place: str) -> str:
        if named := NUMBER.fullmatch(place):
            return self._mean(place, *named.group("source", "variant", "metric"))
        question, _, metric = place.removeprefix(SEEN_BY).partition(" @")
        row = self._difference(question, metric, place)
        if place.startswith(SEEN_BY):
            return number(row.detectable, 2)
        return to_the_place_of(half_width(row.low, row.high), abs(row.difference))

    def _mean(self, place: str, source: str, variant: str, metric: str) -> str:
        sources = self.board["dataset"] + "/" + self.board["view"]
        rows = self.board[(sources == source) & (self.board["variant"] == variant)].to_dict("records")
        if len(rows) != 1 or pd.isna(rows[0].get(metric)):
            raise ValueError(f"{{{place}}}: no such number")
        row = rows[0]
        return to_the_place_of(half_width(row[f"{metric}_low"], row[f"{metric}_high"]), row[metric])

    def _difference(self, question: str, metric: str, place: str) -> Any:
        """Of that metric, or else of the one that decides the question."""
        named = self.contrasts["metric"] == metric if metric else self.contrasts["primary"]
        asked = self.contrasts[(self.contrasts["question"] == question) & named]
        rows = [row for row in each_row(asked) if not pd.isna(row.difference)]
        if len(rows) != 1:
            raise ValueError(f"{{{place}}}: {len(rows)} differences are named so, not one")
        return rows[0]


def lines(results: Path) -> str:
    """The table in Markdown, in the order of the summaries, and below it what there is to say of each."""
    summaries = YAML(typ="safe").load((results / "summaries.yaml").read_text(encoding="utf-8"))
    published = {path.parent.name for path in results.glob("*/suite.lock.json")}
    if published != set(summaries):
        raise ValueError(f"summaries.yaml and the folders differ: {', '.join(sorted(published ^ set(summaries)))}")
    rows = [COLUMNS, ["---"] * len(COLUMNS), *(_cells(results, *one) for one in summaries.items())]
    return "".join([*map(_line, rows), *(_paragraph(results, *one) for one in summaries.items())])


def _paragraph(results: Path, name: str, said: dict[str, str]) -> str:
    """In lines of the width of the other documents."""
    words = " ".join(Numbers.of(SuiteFolder(results / name)).filled(said["shows"]).split())
    return f"\n## {name}\n\n{textwrap.fill(words, WIDTH, break_long_words=False, break_on_hyphens=False)}\n"


def _cells(results: Path, name: str, said: dict[str, str]) -> list[str]:
    folder = SuiteFolder(results / name)
    lock = read_lock(folder.lock)
    commit = (lock.git or {}).get("commit", "unknown")[:7]
    command = f"`{command_of(lock.content)}`" + (f" (with `{said['needs']}`)" if "needs" in said else "")
    shows = " ".join(Numbers.of(folder).filled(said["in_short"]).split())
    return [
        f"[{name}]({name}/report.md)",
        shows,
        summary(judged(lock.suite, read_runs(folder.runs))) if lock.suite.expected else ABSENT,
        command,
        f"{said['machine']}; {said['time']}",
        f"{said['date']}, {commit}",
    ]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def main(results: Path) -> None:
    readme = results / "README.md"
    text = readme.read_text(encoding="utf-8")
    write_text(readme, PLACE.sub(lambda found: f"{found[1]}{lines(results)}{found[2]}", text))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
