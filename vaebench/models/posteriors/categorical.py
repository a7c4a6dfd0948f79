"""q(c|x) = Π_k π_k(x)^c_k, c one-hot"""

import torch
from torch import Tensor, nn

from vaebench.models.mixed import OneHot, Temperatures
from vaebench.models.networks.trunk import Trunk


class CategoricalCode(nn.Module):
    """The head gives ln π up to a constant; in training, draws are relaxed at a temperature that falls."""

    initial: Tensor
    final: Tensor

    def __init__(self, encoder: Trunk, latent: int, temperature: float, final_temperature: float) -> None:
        super().__init__()
        self.noise_size = latent
        self.logits = encoder.vector_head(latent)
        self.register_buffer("initial", torch.tensor(float(temperature)))
        self.register_buffer("final", torch.tensor(float(final_temperature)))

    def forward(self, features: Tensor) -> OneHot:
        return OneHot(self.logits(features), Temperatures(self.initial, self.final))
