"""p(x|z) for binary pixels."""

import torch
from torch import Tensor, nn

from vaebench.models.distributions import IndependentBernoulli
from vaebench.models.networks.trunk import Decoder

MEANS = (0.001, 0.999)
"""Range to which a pixel's mean is kept where a bias starts at its logit, since many pixels are never lit."""


class BernoulliLikelihood(nn.Module):
    """Π_d Bernoulli(x_d; π_d(z))"""

    def __init__(self, decoder: Decoder, bias: str = "network") -> None:
        super().__init__()
        self.logits = decoder.pixel_head(1)
        self.starts_at_mean = bias == "train-mean"

    @torch.no_grad()
    def start_at(self, mean: Tensor) -> None:
        """Let the last layer's bias be ln m_d/(1 − m_d), m the mean of the training images, (pixel,): at features of 0
        every pixel is drawn as often as it is lit, whatever the code (Burda, Grosse & Salakhutdinov 2016)."""
        layer = next(part for part in self.logits.modules() if isinstance(part, nn.Linear))
        layer.bias.copy_(mean.clamp(*MEANS).logit())

    def forward(self, features: Tensor) -> IndependentBernoulli:
        return IndependentBernoulli(self.logits(features).squeeze(-2))
