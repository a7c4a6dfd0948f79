"""The contrasts of a suite: two variants, a question, and a number on which they can meet."""

from dataclasses import dataclass
from typing import Any

from vaebench.catalog.parameters import shown
from vaebench.suite.comparability import incomparable
from vaebench.suite.expansion import declined, not_applicable
from vaebench.suite.mistakes import Findings, Path, enumerated
from vaebench.suite.schema import BROKEN
from vaebench.suite.scoring import Ground, is_column
from vaebench.suite.suite import Contrast, Variant, split_side


@dataclass(frozen=True)
class PlacedContrast:
    """A contrast whose every name is known, and where it stands in the file."""

    path: Path
    contrast: Contrast

    def columns(self) -> list[str]:
        """Columns that it names."""
        contrast = self.contrast
        return [name for name in (contrast.primary, contrast.theory_side[1], contrast.practice_side[1]) if name]


def named_contrasts(content: dict[str, Any], ground: Ground, findings: Findings) -> list[PlacedContrast]:
    """The contrasts whose variants and metrics exist; the others go to `findings`."""
    placed: list[PlacedContrast] = []
    first: dict[tuple[str, str, str | None], int] = {}
    questions: dict[str, int] = {}
    for place, entry in enumerate(content.get("contrasts", [])):
        path: Path = ("contrasts", place)
        if entry is BROKEN:
            continue
        known = _names_are_known(entry, path, ground, findings)
        question = " ".join(entry.get("question", "").split())
        if not known or findings.touches(path):
            if question in questions:
                _note_repeated(question, questions[question], path, findings)
            continue
        contrast = Contrast(question, entry["theory"], entry["practice"], entry.get("primary"))
        asked = (contrast.theory, contrast.practice, contrast.primary)
        if asked in first:
            findings.add(path, f"compares the same as contrasts[{first[asked]}]")
        elif question in questions:
            _note_repeated(question, questions[question], path, findings)
        first.setdefault(asked, place)
        questions.setdefault(question, place)
        placed.append(PlacedContrast(path, contrast))
    return placed


def _note_repeated(question: str, first: int, path: Path, findings: Findings) -> None:
    findings.add((*path, "question"), f"{shown(question)} stands already at contrasts[{first}]")


def check_common_ground(
    placed: list[PlacedContrast], rank_by: dict[str, str], ground: Ground, findings: Findings
) -> None:
    """Each contrast has a data set view on which both sides have a number, in one unit."""
    for one in placed:
        (theory, theory_metric), (practice, practice_metric) = one.contrast.theory_side, one.contrast.practice_side
        if theory == practice and theory_metric == practice_metric:
            findings.add(one.path, f"compares {theory} with itself")
            continue
        if theory_metric and practice_metric and one.contrast.primary:
            findings.add((*one.path, "primary"), "decides nothing: both sides name a metric of their own")
            continue
        if ground.datasets_are_sound:
            _check_meeting(one, rank_by, ground, findings)


def _check_meeting(one: PlacedContrast, rank_by: dict[str, str], ground: Ground, findings: Findings) -> None:
    theory, practice = one.contrast.theory_side[0], one.contrast.practice_side[0]
    sources = {name: ground.table.sources(name) for name in (theory, practice)}
    if not all(sources.values()):  # said already where the variant stands
        return
    shared = [source for source in sources[theory] if source in sources[practice]]
    if not shared:
        trained = "; ".join(f"{name} is trained on {enumerated(sources[name])}" for name in (theory, practice))
        findings.add(one.path, f"theory and practice share no data set view: {trained}")
        return
    obstacles = [_obstacle(one.contrast, source, rank_by, ground) for source in shared]
    if None not in obstacles:
        path = (*one.path, "primary") if one.contrast.primary else one.path
        findings.add(path, "; ".join(dict.fromkeys(obstacle for obstacle in obstacles if obstacle)))


def _obstacle(contrast: Contrast, source: str, rank_by: dict[str, str], ground: Ground) -> str | None:
    """Why the two sides cannot be compared on a data set view; None where they can."""
    deciding = contrast.primary or rank_by.get(source.partition("/")[2])
    units: list[str] = []
    compared: list[tuple[Variant, str]] = []
    for name, metric in (contrast.theory_side, contrast.practice_side):
        column = metric or deciding
        if column is None:
            return f"nothing ranks {source}, so the contrast must name its primary metric"
        variant = next(variant for variant in ground.table.variants if variant.name == name)
        reason = not_applicable(column, variant, source) or declined(column, variant)
        if reason is not None:
            return f"no {column} for {name} on {source}: {reason}"
        compared.append((variant, column))
        units.append(ground.catalog.column(column).unit)
    if units[0] != units[1]:
        return f"theory is in {units[0]}, practice in {units[1]}"
    return incomparable(*compared[0], *compared[1], source.partition("/")[2])


def _names_are_known(entry: dict[str, Any], path: Path, ground: Ground, findings: Findings) -> bool:
    """Do the variants and metrics of a contrast exist? Every name is looked at, whatever the others are."""
    known = [
        side_is_known(entry[side], (*path, side), ground, findings) for side in ("theory", "practice") if side in entry
    ]
    if "primary" in entry:
        known.append(_is_compared(entry["primary"], (*path, "primary"), ground, findings))
    return all(known)


def side_is_known(side: str, path: Path, ground: Ground, findings: Findings) -> bool:
    """Do the variant of a side and the metric that it may name exist, and is the metric one to compare?"""
    name, metric = split_side(side)
    table = ground.table
    names = [variant.name for variant in table.variants]
    known = name in names
    if not known and table.members(name):
        findings.add(path, f"{shown(name)} is a grid; name one of its members: {enumerated(table.members(name), 4)}")
    elif not known and names and not table.may_be_lost(name):
        findings.unknown(path, f"{shown(name)} is no variant of the suite", name, names)
    return (metric is None or _is_compared(metric, path, ground, findings)) and known


def _is_compared(column: str, path: Path, ground: Ground, findings: Findings) -> bool:
    """Is it a column that contrasts may compare?"""
    if not is_column(column, path, ground.catalog, findings):
        return False
    cost = ground.catalog.metric_of(column).cost
    if cost:
        findings.add(path, f"{column} is a cost, and costs enter no contrast")
    return not cost
