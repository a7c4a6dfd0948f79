"""What a trial of a plugin has shown."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass


class Breach(Exception):
    """A promise that is not kept."""

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(f"expected {expected}; came {came}")


class NotAsked(Exception):
    """A question that makes no sense here; the message says why."""


@dataclass(frozen=True)
class Finding:
    """One check of one thing that a plugin brings."""

    place: str
    """file:line of its declaration."""
    thing: str
    """Such as `likelihood laplace`."""
    check: str
    breach: str = ""
    """What was expected and what came; empty where the promise is kept."""
    not_asked: str = ""
    """Why the question was not put; empty where it was."""
    waits: bool = False
    """Whether it builds on a promise that is not kept."""

    @property
    def passed(self) -> bool:
        return not self.breach and not self.not_asked


@dataclass(frozen=True)
class Examined:
    """Everything that was found."""

    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        return not any(finding.breach for finding in self.findings)

    @property
    def lines(self) -> list[str]:
        """For each thing a line of what holds, one for each question that makes no sense, one for each breach, one of
        what could not be asked for them; and the sum."""
        counts = Counter("failed" if found.breach else "passed" for found in self.findings if not found.not_asked)
        told = ", ".join(f"{counts[word]} {word}" for word in ("passed", "failed") if counts[word])
        return [*self._of_things(), f"checks: {told or 'none'}"]

    def _of_things(self) -> Iterator[str]:
        for thing in dict.fromkeys(finding.thing for finding in self.findings):
            mine = [finding for finding in self.findings if finding.thing == thing]
            kept = [finding.check for finding in mine if finding.passed]
            if kept:
                yield f"{thing}: holds: {', '.join(kept)}"
            senseless = [found for found in mine if found.not_asked and not found.waits]
            yield from (f"{thing}: {found.check}: not asked: {found.not_asked}" for found in senseless)
            yield from (f"{found.place}: {thing}: {found.check}: {found.breach}" for found in mine if found.breach)
            waiting = [found.check for found in mine if found.waits]
            if waiting:
                yield f"{thing}: not asked before that is mended: {', '.join(waiting)}"
