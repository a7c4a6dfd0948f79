"""Principal component analysis in closed form."""

from typing import Any

import torch
from torch import Tensor

from vaebench.data.dataset import Shape
from vaebench.models.classical.pca import PrincipalComponents
from vaebench.training.fitted import Fitted, Stop, never


class ClosedFormPca:
    """U: the eigenvectors of the covariance with the largest eigenvalues, largest first."""

    def model(self, choices: dict[str, Any], shape: Shape) -> PrincipalComponents:
        return PrincipalComponents(shape.pixels, choices["latent"])

    @torch.no_grad()
    def fit(self, choices: dict[str, Any], x: Tensor, seed: int, should_stop: Stop = never) -> Fitted:
        """The basis that minimises Σ_n ‖x_n − x̂_n‖²; no part of it is random. The loss is 1/N of that sum, which is
        the sum of the eigenvalues left out."""
        images, pixels = x.shape
        latent = choices["latent"]
        x = x.double()
        mean = x.mean(0)
        eigenvalues, eigenvectors = torch.linalg.eigh((x - mean).mT @ (x - mean) / images)
        model = self.model(choices, Shape(pixels)).to(x)
        model.basis.copy_(eigenvectors[:, pixels - latent :].flip(-1))
        model.mean.copy_(mean)
        return Fitted(model, [float(eigenvalues[: pixels - latent].sum())])
