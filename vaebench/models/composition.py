"""A model put together from the choices of a variant: network × latent size × likelihood × posterior × prior.

A conditional one sees the label as a one-hot vector behind the pixels and behind the code (Beaulac 2019 §3.6).
"""

from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.distributions import Distribution

from vaebench.catalog.catalog import load_catalog
from vaebench.catalog.implementation import implementation
from vaebench.data.dataset import Shape
from vaebench.models.given import beside


class Composition(nn.Module):
    """encoder → q(z|x), p(z), decoder → p(x|z)."""

    def __init__(self, choices: dict[str, Any], shape: Shape) -> None:
        super().__init__()
        latent = choices["latent"]
        self.conditional: bool = choices["conditional"]
        self.classes = shape.classes if self.conditional else 0
        network = part(choices, "network")()
        self.encoder = network.encoder(shape, self.classes)
        self.posterior_head = part(choices, "posterior")(self.encoder, latent)
        self.decoder = network.decoder(latent + self.classes, shape)
        self.likelihood_head = part(choices, "likelihood")(self.decoder)
        self.prior_family = part(choices, "prior")(latent, replace(shape, pixels=shape.pixels + self.classes))

    @property
    def noise_size(self) -> int:
        """Standard normals that a draw from q(z|x) takes; an objective that draws must provide them."""
        size: int = self.posterior_head.noise_size
        return size

    def prior(self) -> Distribution:
        distribution: Distribution = self.prior_family(self._posterior_of_inputs)
        return distribution

    def posterior(self, x: Tensor, y: Tensor | None = None) -> Distribution:
        return self._posterior_of_inputs(beside(x, y, self.classes))

    def likelihood(self, z: Tensor, y: Tensor | None = None) -> Distribution:
        distribution: Distribution = self.likelihood_head(self.decoder(beside(z, y, self.classes)))
        return distribution

    def _posterior_of_inputs(self, inputs: Tensor) -> Distribution:
        """What the encoder makes of pixels and, behind them, a label: a pseudo-input brings a label of its own."""
        distribution: Distribution = self.posterior_head(self.encoder(inputs))
        return distribution


def part(choices: dict[str, Any], kind: str) -> Any:
    """The class that a choice names, with the choice's parameters filled in."""
    chosen = dict(choices[kind])
    made = implementation(load_catalog().parts[kind][chosen.pop("name")].implementation)
    return lambda *positional: made(*positional, **chosen)
