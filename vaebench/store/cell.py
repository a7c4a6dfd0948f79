"""The identity of one model to be trained and scored."""

import functools
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from vaebench.store.shapes import shaped


def digest(content: Any, length: int = 16) -> str:
    """A short content hash of anything that is JSON; the order of keys does not matter, 1 and 1.0 are the same."""
    return _digest_of(json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False), length)


@functools.lru_cache(maxsize=4096)
def _digest_of(text: str, length: int) -> str:
    """Of JSON; kept because the same protocols are asked for again and again."""
    canonical = json.dumps(_canonical(json.loads(text)), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:length]


@dataclass(frozen=True)
class Cell:
    """dataset view × composition × recipe × seed: exactly what makes a model, and nothing else.

    The variant's name, its title, the metrics and the suite are not part of it, so a cell is trained once
    and reused by every suite that asks for the same model.
    """

    dataset: str
    """Name of the data set, such as `digits`."""
    view: str
    """Name of the view, such as `binary`."""
    composition: dict[str, Any]
    """The choices, resolved: network, latent, likelihood, posterior, prior, objective; every parameter written out."""
    recipe: dict[str, Any]
    """How it is trained, resolved."""
    seed: int

    @functools.cached_property
    def id(self) -> str:
        return digest(self.spec())

    @property
    def source(self) -> str:
        """The data set view in one word: `digits/binary`."""
        return f"{self.dataset}/{self.view}"

    def spec(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "view": self.view,
            "composition": self.composition,
            "recipe": self.recipe,
            "seed": self.seed,
        }

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> "Cell":
        """Raises Misshapen where it describes no cell."""
        cell: Cell = shaped(cls, spec)
        return cell


def _canonical(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _canonical(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_canonical(value) for value in content]
    if isinstance(content, float) and content.is_integer():
        return int(content)
    return content
