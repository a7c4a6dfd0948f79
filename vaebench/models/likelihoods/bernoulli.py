"""p(x|z) for binary pixels."""

from torch import Tensor, nn

from vaebench.models.distributions import IndependentBernoulli
from vaebench.models.networks.trunk import Decoder


class BernoulliLikelihood(nn.Module):
    """Π_d Bernoulli(x_d; π_d(z))"""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.logits = decoder.pixel_head(1)

    def forward(self, features: Tensor) -> IndependentBernoulli:
        return IndependentBernoulli(self.logits(features).squeeze(-2))
