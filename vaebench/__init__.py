"""vaebench: the referee between the theory of variational autoencoders and the way people implement them."""

from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaebench.plugins.declaring import (
        dataset,
        likelihood,
        metric,
        network,
        objective,
        posterior,
        prior,
        variant,
        variants,
    )
    from vaebench.plugins.loading import load_plugins
    from vaebench.project import Settings, evaluate, figures, load_model, run
    from vaebench.reporting.answers import Contrast, Contrasts
    from vaebench.reporting.evaluation import Evaluation
    from vaebench.reporting.leaderboard import Leaderboard
    from vaebench.suite.loading import load_suite

__version__ = _version("vaebench")
__all__ = [
    "Contrast",
    "Contrasts",
    "Evaluation",
    "Leaderboard",
    "Settings",
    "__version__",
    "dataset",
    "evaluate",
    "figures",
    "likelihood",
    "load_model",
    "load_plugins",
    "load_suite",
    "metric",
    "network",
    "objective",
    "posterior",
    "prior",
    "run",
    "variant",
    "variants",
]

_HOMES = {
    "load_suite": "vaebench.suite.loading",
    "run": "vaebench.project",
    "evaluate": "vaebench.project",
    "figures": "vaebench.project",
    "load_model": "vaebench.project",
    "Settings": "vaebench.project",
    "Contrast": "vaebench.reporting.answers",
    "Contrasts": "vaebench.reporting.answers",
    "Evaluation": "vaebench.reporting.evaluation",
    "Leaderboard": "vaebench.reporting.leaderboard",
    "load_plugins": "vaebench.plugins.loading",
    **dict.fromkeys(
        (
            "dataset",
            "likelihood",
            "metric",
            "network",
            "objective",
            "posterior",
            "prior",
            "variant",
            "variants",
        ),
        "vaebench.plugins.declaring",
    ),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, and no more: `import vaebench` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vaebench' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
