"""q(z|x): a Gaussian draw sent through autoregressive steps (Kingma et al. 2016)"""

from torch import Tensor, nn

from vaebench.models.flows import InverseAutoregressive, Made, Step
from vaebench.models.networks.trunk import Trunk
from vaebench.models.posteriors.diagonal_gaussian import DiagonalGaussian


class InverseAutoregressiveFlow(nn.Module):
    """Each step has a network of its own, which sees the encoder's features, or (`context` false, as in popular code)
    nothing of x, so that only the first Gaussian depends on the image."""

    def __init__(self, encoder: Trunk, latent: int, steps: int, hidden: list[int], context: bool) -> None:
        super().__init__()
        self.noise_size = latent
        self.base = DiagonalGaussian(encoder, latent)
        self.networks = nn.ModuleList(
            Made(latent, hidden, encoder.vector_head(hidden[0]) if context else None) for _ in range(steps)
        )

    def forward(self, features: Tensor) -> InverseAutoregressive:
        steps = [Step(network, network.seen(features)) for network in self.networks]  # type: ignore[operator, arg-type]
        return InverseAutoregressive(self.base(features), steps)
