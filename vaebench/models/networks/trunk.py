"""The common shape of encoders and decoders: a body that gives features, and heads that read them."""

import math
from collections.abc import Callable

from torch import Tensor, nn

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
    """A body from inputs to `features` numbers; heads are made by it, because a head's form depends on the body's."""

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
        return dense(self.features, size, self.initialisation)

    def pixel_head(self, maps: int, pixels: int) -> nn.Module:
        """features → (…, maps, pixel): one number for each pixel in each of `maps` maps"""
        return nn.Sequential(dense(self.features, maps * pixels, self.initialisation), nn.Unflatten(-1, (maps, pixels)))


def dense(inputs: int, outputs: int, initialisation: str) -> nn.Linear:
    """A linear layer with named first weights; `torch` is torch's own default, the others start from zero bias."""
    layer = nn.Linear(inputs, outputs)
    INITIALISATIONS[initialisation](layer.weight)
    if initialisation != "torch":
        nn.init.zeros_(layer.bias)
    return layer
