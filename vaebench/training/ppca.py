"""Maximum likelihood of probabilistic PCA in closed form (Tipping & Bishop 1999)."""

from typing import Any

import torch
from torch import Tensor

from vaebench.data.dataset import Shape
from vaebench.models.classical.ppca import ProbabilisticPca
from vaebench.training.fitted import Fitted, Stop, never


class ClosedFormPpca:
    """W = U (Λ − σ²I)^½ on the leading eigenvectors of the covariance with divisor N; σ² the mean of the rest."""

    def model(self, choices: dict[str, Any], shape: Shape) -> ProbabilisticPca:
        return ProbabilisticPca(shape.pixels, choices["latent"])

    @torch.no_grad()
    def fit(self, choices: dict[str, Any], x: Tensor, seed: int, should_stop: Stop = never) -> Fitted:
        """The model that maximises Σ ln p(x); no part of it is random. σ is kept at its floor at least."""
        images, pixels = x.shape
        latent = choices["latent"]
        x = x.double()
        mean = x.mean(0)
        eigenvalues, eigenvectors = torch.linalg.eigh((x - mean).mT @ (x - mean) / images)
        leading, rest = eigenvalues[pixels - latent :], eigenvalues[: pixels - latent]
        variance = rest.mean().clamp_min(choices["likelihood"]["sigma_floor"] ** 2)
        model = self.model(choices, Shape(pixels)).to(x)
        scales = (leading - variance).clamp_min(0.0).sqrt()
        model.weights.copy_((eigenvectors[:, pixels - latent :] * scales).flip(-1))
        model.mean.copy_(mean)
        model.sigma.copy_(variance.sqrt())
        return Fitted(model, [-float(model.log_prob(x).mean())])
