"""The schema of one parameter: what may be given, and the words that say so."""

import math
from dataclasses import dataclass
from typing import Any, Literal

ParameterType = Literal["number", "integer", "boolean", "choice", "integers"]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a part, a recipe or a metric's protocol, as the catalog describes it."""

    name: str
    type: ParameterType
    default: Any
    minimum: float | None = None
    """Least value that is allowed; of every element for `integers`."""
    above: float | None = None
    """Bound that the value must exceed."""
    maximum: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    setting: bool = False
    """A scalar that may differ between the members of a fleet, because it changes no shape and no branch."""
    optional: bool = False
    """None is allowed and switches the thing off."""
    unsaid: bool = False
    """Not written out where it is at its default, so that what was there before it existed keeps its identity."""
    help: str = ""

    @property
    def expected(self) -> str:
        """What a value must be, in words that follow 'must be'."""
        nouns = {
            "number": "a number",
            "integer": "an integer",
            "boolean": "true or false",
            "choice": f"one of {', '.join(self.choices)}",
            "integers": "a list of integers",
        }
        return nouns[self.type] + (" or null" if self.optional else "")

    def mistake(self, value: Any) -> str | None:
        """What is wrong with `value`, or None."""
        if value is None and self.optional:
            return None
        if self.type == "integers":
            return self._mistake_of_list(value)
        if not self._has_type(value):
            return f"must be {self.expected}, is {shown(value)}"
        if self.type in ("number", "integer"):
            return self._mistake_of_size(value)
        return None

    def normal(self, value: Any) -> Any:
        """A valid `value` in the form that is kept: numbers are floats, so that 4 and 4.0 are one composition."""
        return float(value) if self.type == "number" and value is not None else value

    def _has_type(self, value: Any) -> bool:
        if self.type == "choice":
            return isinstance(value, str) and value in self.choices
        if self.type == "boolean":
            return isinstance(value, bool)
        if isinstance(value, bool):
            return False
        return isinstance(value, int if self.type == "integer" else int | float)

    def _mistake_of_list(self, value: Any) -> str | None:
        if not isinstance(value, list | tuple):
            return f"must be {self.expected}, is {shown(value)}"
        if not value:
            return "must hold at least one integer, is an empty list"
        for element in value:
            if not isinstance(element, int) or isinstance(element, bool):
                return f"must be {self.expected}, holds {shown(element)}"
            problem = self._mistake_of_size(element)
            if problem:
                return f"every number {problem.replace(', is', ', one is')}"
        return None

    def _mistake_of_size(self, value: int | float) -> str | None:
        if not _is_finite(value):
            return f"must be a finite number, is {shown(value)}"
        bounds = (
            (self.minimum is None or value >= self.minimum, "at least", self.minimum),
            (self.above is None or value > self.above, "above", self.above),
            (self.maximum is None or value <= self.maximum, "at most", self.maximum),
            (self.below is None or value < self.below, "below", self.below),
        )
        for kept, word, bound in bounds:
            if not kept:
                return f"must be {word} {shown(bound)}, is {shown(value)}"
        return None


def shown(value: Any) -> str:
    """A value as a message quotes it: short, on one line, in the words of YAML."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    try:
        text = repr(value) if isinstance(value, str) else " ".join(repr(value).split())
    except ValueError:  # an integer of more digits than Python prints
        return "a very large number"
    return text if len(text) <= 60 else f"{text[:56]}…{text[-1]}"


def _is_finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of floats
        return False
