"""A model put together from the choices of a variant: network × latent size × likelihood × posterior × prior."""

from typing import Any

from torch import Tensor, nn
from torch.distributions import Distribution

from vaebench.catalog.catalog import load_catalog
from vaebench.catalog.implementation import implementation
from vaebench.data.dataset import Shape


class Composition(nn.Module):
    """encoder → q(z|x), p(z), decoder → p(x|z)."""

    def __init__(self, choices: dict[str, Any], shape: Shape) -> None:
        super().__init__()
        latent = choices["latent"]
        network = part(choices, "network")()
        self.encoder = network.encoder(shape)
        self.posterior_head = part(choices, "posterior")(self.encoder, latent)
        self.decoder = network.decoder(latent, shape)
        self.likelihood_head = part(choices, "likelihood")(self.decoder)
        self.prior_family = part(choices, "prior")(latent, shape)

    @property
    def noise_size(self) -> int:
        """Standard normals that a draw from q(z|x) takes; an objective that draws must provide them."""
        size: int = self.posterior_head.noise_size
        return size

    def prior(self) -> Distribution:
        distribution: Distribution = self.prior_family(self.posterior)
        return distribution

    def posterior(self, x: Tensor) -> Distribution:
        distribution: Distribution = self.posterior_head(self.encoder(x))
        return distribution

    def likelihood(self, z: Tensor) -> Distribution:
        distribution: Distribution = self.likelihood_head(self.decoder(z))
        return distribution


def part(choices: dict[str, Any], kind: str) -> Any:
    """The class that a choice names, with the choice's parameters filled in."""
    chosen = dict(choices[kind])
    made = implementation(load_catalog().parts[kind][chosen.pop("name")].implementation)
    return lambda *positional: made(*positional, **chosen)
