"""vaebench: the referee between the theory of variational autoencoders and the way people implement them."""

from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaebench.project import Settings, evaluate, run
    from vaebench.reporting.evaluation import Evaluation
    from vaebench.reporting.leaderboard import Leaderboard
    from vaebench.suite.loading import load_suite

__version__ = _version("vaebench")
__all__ = ["Evaluation", "Leaderboard", "Settings", "__version__", "evaluate", "load_suite", "run"]

_HOMES = {
    "load_suite": "vaebench.suite.loading",
    "run": "vaebench.project",
    "evaluate": "vaebench.project",
    "Settings": "vaebench.project",
    "Evaluation": "vaebench.reporting.evaluation",
    "Leaderboard": "vaebench.reporting.leaderboard",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, and no more: `import vaebench` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vaebench' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
