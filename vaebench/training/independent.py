"""Maximum likelihood of pixels that know nothing of each other: the frequencies of the training images."""

from typing import Any

import torch
from torch import Tensor

from vaebench.data.dataset import Shape
from vaebench.models.classical.independent import OwnHistograms, OwnProbabilities, WithoutCode
from vaebench.training.fitted import Fitted, Stop, never


class Frequencies:
    """π_dk = (n_dk + s/L)/(N + s): of N images those with level k at pixel d, and s images more, spread evenly over the
    L levels, so that nothing that an image shows for the first time has probability 0."""

    def model(self, choices: dict[str, Any], shape: Shape) -> WithoutCode:
        likelihood, latent = choices["likelihood"], choices["latent"]
        if likelihood["name"] == "bernoulli":
            return OwnProbabilities(shape.pixels, latent)
        return OwnHistograms(shape.pixels, latent, likelihood["levels"])

    @torch.no_grad()
    def fit(self, choices: dict[str, Any], x: Tensor, seed: int, should_stop: Stop = never) -> Fitted:
        """No part of it is random."""
        smoothing = choices["objective"]["smoothing"]
        model = self.model(choices, Shape(x.shape[1])).to(x.device, torch.float64)
        if isinstance(model, OwnProbabilities):
            lit = (x.double().sum(0) + 0.5 * smoothing) / (len(x) + smoothing)
            model.logits.copy_(lit.logit())
        elif isinstance(model, OwnHistograms):
            model.logits.copy_(frequencies(x, model.logits.shape[-1], smoothing).log())
        return Fitted(model, [-float(model.log_prob(x).mean())])


def frequencies(x: Tensor, levels: int, smoothing: float) -> Tensor:
    """π; (pixel, level)"""
    k = torch.round(x * (levels - 1)).clamp(0, levels - 1).long()
    count = torch.zeros(x.shape[1], levels, dtype=torch.float64, device=x.device)
    count.scatter_add_(1, k.mT, torch.ones((), dtype=torch.float64, device=x.device).expand(k.mT.shape))
    return (count + smoothing / levels) / (len(x) + smoothing)
