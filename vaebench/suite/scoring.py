"""What a suite measures: its metrics, what ranks each view, and the contrasts between its variants."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vaebench.catalog.catalog import Catalog
from vaebench.catalog.parameters import shown
from vaebench.suite.expansion import declined, not_applicable
from vaebench.suite.mistakes import Findings, Path, enumerated
from vaebench.suite.schema import BROKEN
from vaebench.suite.values import checked_values
from vaebench.suite.variants import VariantTable

Budget = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Ground:
    """What metrics are held against: the catalog, the suite's data set views, and who is trained on them."""

    catalog: Catalog
    datasets: tuple[str, ...]
    table: VariantTable
    datasets_are_sound: bool
    """No data set is missing, because of another mistake or because the profile leaves it to another one."""

    @property
    def views(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(map(_view, self.datasets)))

    def says_nothing(self, metric: str, views: Iterable[str] | None = None) -> str | None:
        """Why a metric applies to no variant of the suite (on `views`); None where it does or nobody can tell yet."""
        wanted = self.views if views is None else tuple(views)
        pairs = [(variant, source) for variant, source in self.table.pairs if _view(source) in wanted]
        reasons = [not_applicable(metric, variant, source) or declined(metric, variant) for variant, source in pairs]
        if not self.table.sound:
            reasons += [not_applicable(metric, None, source) for source in self.datasets if _view(source) in wanted]
        if not self.datasets_are_sound or None in reasons:
            return None
        return "; ".join(dict.fromkeys(reason for reason in reasons if reason)) or None


def listed_metrics(
    content: dict[str, Any], budget: Budget, ground: Ground, findings: Findings
) -> tuple[tuple[str, ...], Budget]:
    """The metrics as listed, and the budget with what their entries override."""
    budget = copy.deepcopy(budget)
    listed: list[str] = []
    overridden: dict[str, str] = {}
    for place, entry in enumerate(content.get("metrics", [])):
        path: Path = ("metrics", place)
        if entry is BROKEN:
            continue
        name, overrides = _name_and_overrides(entry, path, findings)
        if name is None or not _is_metric(name, path, ground.catalog, findings):
            continue
        if _check_listing(name, listed, path, ground, findings):
            listed.append(name)
        if overrides is not None:
            family = ground.catalog.metric_of(name)
            budget[family.name].update(
                checked_values(overrides, (*path, name), f"metric {family.name}", family.parameters, findings)
            )
            if family.name in overridden:
                findings.add(path, f"{overridden[family.name]} overrides the budget of {family.name} already")
            overridden.setdefault(family.name, name)
    return tuple(listed), budget


def _name_and_overrides(entry: Any, path: Path, findings: Findings) -> tuple[str | None, dict[str, Any] | None]:
    if isinstance(entry, str):
        return entry, None
    if len(entry) != 1:
        what = "one metric and what it overrides, such as {log_likelihood: {samples: 5000}}"
        findings.add(path, f"must be {what}; this mapping has {len(entry)} keys")
        return None, None
    name, overrides = next(iter(entry.items()))
    if isinstance(overrides, dict):
        return name, overrides
    findings.add((*path, name), f"must be a mapping such as {{samples: 100}}, is {shown(overrides)}")
    return name, None


def _check_listing(name: str, listed: list[str], path: Path, ground: Ground, findings: Findings) -> bool:
    """Is a metric listed for the first time? Overlaps, and that it applies to nobody, go to `findings`."""
    family = ground.catalog.metric_of(name).name
    covering = [other for other in listed if other in (name, family) or (name == family and _family(other) == family)]
    if name in listed:
        findings.add(path, f"{name} stands twice")
        return False
    if covering:
        findings.add(path, f"{name} overlaps with {covering[0]}; {family} alone lists every part of it")
    reason = ground.says_nothing(name)
    if reason is not None:
        findings.add(path, f"{name} applies to no variant of the suite: {reason}")
    return True


def resolve_ranking(
    content: dict[str, Any], listed: tuple[str, ...], ground: Ground, findings: Findings
) -> tuple[dict[str, str], tuple[str, ...]]:
    """View → column that ranks it, and the columns that the suite itself names for it.

    A view whose default column is neither in `listed` nor named stays unranked.
    """
    catalog = ground.catalog
    asked: dict[str, str] = {}
    for view, column in content.get("rank_by", {}).items():
        if view not in catalog.views:
            findings.unknown(("rank_by", view), f"{shown(view)} is no view", view, catalog.views)
            continue
        covered = _covered(view, content["rank_by"], ground)
        if not covered and ground.datasets_are_sound:
            findings.add(("rank_by", view), f"no data set of the suite has the view {view}")
        if _can_rank(column, covered, ("rank_by", view), ground, findings):
            asked.update(dict.fromkeys(covered, column))
    scored = {*listed, *asked.values()}
    defaults = {
        view: column
        for view in ground.views
        if view not in asked and (column := catalog.views[view].rank_by) and covers(scored, column)
    }
    ranking = {**defaults, **asked}
    return {view: ranking[view] for view in ground.views if view in ranking}, tuple(dict.fromkeys(asked.values()))


def _covered(view: str, rank_by: dict[str, str], ground: Ground) -> list[str]:
    """Views of the suite that an entry of `rank_by` speaks for: itself, and those ranked like it without an entry."""
    views = ground.catalog.views
    return [
        other for other in ground.views if other == view or (views[other].ranked_as == view and other not in rank_by)
    ]


def _can_rank(column: str, views: list[str], path: Path, ground: Ground, findings: Findings) -> bool:
    if not is_column(column, path, ground.catalog, findings):
        return False
    family, described = ground.catalog.metric_of(column), ground.catalog.column(column)
    densities = [view for view in views if ground.catalog.views[view].measure == "density"]
    unbounded = [view for view in densities if ground.catalog.views[view].rank_by != column]
    reason = ground.says_nothing(column, views) if views else None
    if described.better == "none":
        findings.add(path, f"{column} ranks nothing: neither more nor less of it is better")
    elif family.density and described.unit == "nats" and unbounded:
        better = ground.catalog.views[unbounded[0]].rank_by
        what = f"{column} is a density on the view {unbounded[0]}, which has no bound and is never ranked"
        what += f"; use {better}" if better else ""
        findings.add(path, what)
    elif reason is not None:
        findings.add(path, f"{column} applies to no variant of the suite: {reason}")
    else:
        return True
    return False


def covers(listed: Iterable[str], column: str) -> bool:
    """Is `column` among the listed metrics, by itself or with its family?"""
    return column in listed or _family(column) in listed


def is_column(name: str, path: Path, catalog: Catalog, findings: Findings) -> bool:
    """Is `name` one number, and not only a family of several?"""
    if not _is_metric(name, path, catalog, findings):
        return False
    if name not in catalog.columns:
        columns = enumerated(catalog.metrics[name].columns)
        findings.add(path, f"{name} has several numbers and none of that name; name one of {columns}")
    return name in catalog.columns


def _is_metric(name: str, path: Path, catalog: Catalog, findings: Findings) -> bool:
    valid = dict.fromkeys([*catalog.metrics, *catalog.columns])
    if name not in valid:
        findings.unknown(path, f"{shown(name)} is no metric", name, valid)
    return name in valid


def _family(column: str) -> str:
    return column.partition(".")[0]


def _view(source: str) -> str:
    return source.partition("/")[2]
