"""Small plugins for the tests, in which the comment `# here` marks the line that is wrong."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from vaebench.catalog import catalog
from vaebench.plugins import loading
from vaebench.plugins.plugin import Plugin

MARK = "# here"

LAPLACE = """\
import vaebench
from torch import nn
from torch.distributions import Laplace
from torch.nn.functional import softplus
from vaebench.models.distributions import IndependentPixels


@vaebench.likelihood(
    "laplace",
    equation="ln p(x|z) = Σ_d −|x_d − μ_d(z)|/b_d(z) − ln 2b_d(z)",
    views=["grey", "dequantised", "real"],
    parameters={"scale_floor": {"type": "number", "default": 1e-2, "above": 0, "help": "least b"}},
)
class LaplaceLikelihood(nn.Module):
    def __init__(self, decoder, scale_floor):
        super().__init__()
        self.heads, self.scale_floor = decoder.pixel_head(2), scale_floor

    def forward(self, features):
        mean, scale = self.heads(features).unbind(-2)
        return IndependentPixels(Laplace(mean, self.scale_floor + softplus(scale), validate_args=False))


vaebench.variant("vae-laplace", extends="vae-gaussian", title="VAE with a Laplace decoder", likelihood="laplace")
"""

LIGHT = """\
import vaebench


@vaebench.likelihood("light", views=["grey"], parameters={"scale": {"type": "number", "default": 1.0, "above": 0}})
class Light:
    pass


vaebench.variant("vae-light", extends="vae-gaussian", likelihood={"name": "light", "scale": 2.0})
"""
"""Brings names and no torch."""


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, text: str, name: str = "mine.py") -> Plugin:
    """The plugin of this source."""
    (plugin,) = loading.load_plugins(write(folder, text, name))
    return plugin


def marked_line(text: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), start=1) if MARK in line)


@contextlib.contextmanager
def forgotten() -> Iterator[None]:
    """Begin and end as a process that has loaded nothing."""
    before = list(sys.path)
    _forget()
    try:
        yield
    finally:
        _forget()
        sys.path[:] = before


def _forget() -> None:
    catalog._joined = None
    loading._loaded.clear()
    loading._is_complete = False
    for name in [name for name in sys.modules if name.startswith("vaebench_plugin_")]:
        del sys.modules[name]
