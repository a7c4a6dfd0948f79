"""The common shape of encoders and decoders: a body that gives features, and heads that read them.

An encoder reads the pixels of an image and `beside` more numbers behind them, such as a label.
"""

import math
from collections.abc import Callable
from typing import TypeVar

from torch import Tensor, nn

from vaebench.data.dataset import Shape

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky-relu": nn.LeakyReLU,
    "softplus": nn.Softplus,
    "silu": nn.SiLU,
}

INITIALISATIONS: dict[str, Callable[[Tensor], object]] = {
    "torch": lambda weight: nn.init.kaiming_uniform_(weight, a=math.sqrt(5)),
    "glorot": nn.init.xavier_uniform_,
    "he": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
}


class Trunk(nn.Module):
    """A body from inputs to `features` numbers, with heads of the same initialisation."""

    def __init__(self, body: nn.Module, features: int, initialisation: str) -> None:
        super().__init__()
        self.body = body
        self.features = features
        self.initialisation = initialisation

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.body(inputs)
        return features

    def vector_head(self, size: int) -> nn.Module:
        """features → (…, size)"""
        return initialised(nn.Linear(self.features, size), self.initialisation)


class Decoder(Trunk):
    """A trunk from codes; how features become pixels is its own affair."""

    def __init__(self, body: nn.Module, features: int, initialisation: str, shape: Shape) -> None:
        super().__init__(body, features, initialisation)
        self.shape = shape

    @property
    def pixels(self) -> int:
        return self.shape.pixels

    def pixel_head(self, maps: int) -> nn.Module:
        """features → (…, maps, pixel): one number for each pixel in each of `maps` maps"""
        return nn.Sequential(self.vector_head(maps * self.pixels), nn.Unflatten(-1, (maps, self.pixels)))


Layer = TypeVar("Layer", nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def initialised(layer: Layer, initialisation: str) -> Layer:
    """The layer with named first weights; `torch` is torch's own default, the others start from zero bias."""
    INITIALISATIONS[initialisation](layer.weight)
    if initialisation != "torch" and layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
