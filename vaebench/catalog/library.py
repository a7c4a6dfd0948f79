"""What the catalog says of a library of others: whose folders it reads, and which compositions it can train."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OURS = "vaebench"
"""The trainer that a composition has unless it names a library."""


@dataclass(frozen=True)
class Reading:
    """How a saved model of one class is scored."""

    posterior: str
    """`gaussian`, `point`, or `gaussian-or-point` where the model's configuration decides."""
    prior: str
    squared_error: str
    """What stands for σ where its decoder gives means alone: `unit-variance` or `training-error`."""


@dataclass(frozen=True)
class ForeignModel:
    """A class of the library, and the compositions that it trains."""

    name: str
    needs: dict[str, tuple[Any, ...]]
    """Choice, such as `objective` or `objective.kl` → values for which its loss is the one that is named."""
    takes: dict[str, str] = field(default_factory=dict)
    """Parameter of its configuration → the choice that it follows."""
    gives: dict[str, Any] = field(default_factory=dict)
    """Parameter of its configuration → value."""

    def unmet(self, composition: Mapping[str, Any]) -> list[str]:
        """Choices of the composition that it cannot follow, in the order of `needs`."""
        found = {place: choice(composition, place) for place in self.needs}
        return [place for place, value in found.items() if value is not None and value not in self.needs[place]]


@dataclass(frozen=True)
class Library:
    name: str
    title: str
    package: str
    """The name that is imported, and the extra of vaebench that installs it."""
    home: str
    note: str
    """What must be known of the cells that it trains."""
    examines: str
    """`module:function` that says what is wrong with a folder."""
    loads: str
    """`module:function` that reads one."""
    reads: dict[str, Reading]
    """Class → how its folders are scored."""
    trains: str
    """`module:function` that trains cells."""
    views: tuple[str, ...]
    """Views that it can be trained on."""
    follows: tuple[str, ...]
    """Recipe parameters that its training loop follows; the others must be at their defaults."""
    honours: tuple[str, ...]
    """Choices that make no difference to which model it is; others that no model names must be at their defaults."""
    words: dict[str, Any]
    """Our value → its word for it, where they differ."""
    models: tuple[ForeignModel, ...]

    def configuration(self, model: ForeignModel, composition: Mapping[str, Any]) -> dict[str, Any]:
        """What the class's configuration is given for a composition that it can train."""
        taken = {parameter: choice(composition, place) for parameter, place in model.takes.items()}
        return {parameter: self.words.get(value, value) for parameter, value in taken.items()} | model.gives


def choice(composition: Mapping[str, Any], place: str) -> Any:
    """The value at `objective.kl`, or the name of the part at `objective`; None where a composition has none."""
    part, _, parameter = place.partition(".")
    value = composition.get(part)
    if isinstance(value, Mapping):
        return value.get(parameter or "name")
    return value


def library_from(name: str, entry: Mapping[str, Any]) -> Library:
    converted = {
        "reads": {kind: Reading(**reading) for kind, reading in entry["reads"].items()},
        "views": tuple(entry["views"]),
        "follows": tuple(entry["follows"]),
        "honours": tuple(entry["honours"]),
        "models": tuple(_model(model) for model in entry["models"]),
    }
    return Library(name=name, **{**entry, **converted})


def _model(entry: Mapping[str, Any]) -> ForeignModel:
    needs = {place: tuple(values) for place, values in entry["needs"].items()}
    return ForeignModel(entry["class"], needs, dict(entry.get("takes", {})), dict(entry.get("gives", {})))
