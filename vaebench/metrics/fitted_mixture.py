"""A Gaussian mixture fitted to a model's codes after training, to be sampled in place of a prior (Ghosh et al. 2020)"""

import warnings

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.data import streams
from vaebench.metrics.answer import NotApplicable
from vaebench.metrics.draws import draw
from vaebench.metrics.subject import Subject
from vaebench.models.drawn import Drawn
from vaebench.models.mixed import category_of

COMPONENTS = 10
CODES = 10_000
"""Codes that it is fitted to, each a draw from q(z|x) of another training image."""
MOST_LATENTS = 100
"""Above this many Gaussian latents a full covariance has too many numbers for so few codes."""


class CodeMixture(Drawn):
    """Σ_c π_c N(z; μ_c, L_c L_cᵀ), and behind z the category that belongs to component c, one-hot, if codes have one.

    weights: (component,); means: (component, latent); factors L: (component, latent, latent); categories:
    (component, category), of no columns where codes have no category.
    """

    def __init__(self, weights: Tensor, means: Tensor, factors: Tensor, categories: Tensor) -> None:
        super().__init__(torch.Size(), means.shape[1] + categories.shape[1])
        self.weights, self.means, self.factors, self.categories = weights, means, factors, categories
        self.noise_size = means.shape[1] + 1

    @property
    def dtype(self) -> torch.dtype:
        return self.means.dtype

    @property
    def device(self) -> torch.device:
        return self.means.device

    def from_noise(self, noise: Tensor) -> Tensor:
        """The last normal picks the component, at the place of Φ(n) among the sums of π; the others draw from it."""
        share = torch.special.ndtr(noise[..., -1].contiguous())
        picked = torch.searchsorted(self.weights.cumsum(0), share).clamp(max=len(self.weights) - 1)
        z = self.means[picked]
        for component, factor in enumerate(self.factors):
            own = picked == component
            z[own] += noise[own][:, :-1] @ factor.mT
        return torch.cat([z, self.categories[picked]], dim=-1)


def fitted_mixture(subject: Subject) -> CodeMixture:
    """Of codes of training images. A category among them is drawn as often as they have it, and each of its values has
    its share of the components, so that the Gaussian latents go with it as they do in the codes."""
    codes, values = training_codes(subject)
    latents = codes.shape[1] - values
    if latents > MOST_LATENTS:
        raise NotApplicable(f"a Gaussian mixture is fitted to {MOST_LATENTS} latents at most, the code has {latents}")
    category = codes[:, latents:].argmax(-1) if values > 0 else np.zeros(len(codes), dtype=int)
    one_hot = np.eye(values) if values > 0 else np.zeros((1, 0))
    found = np.unique(category)
    parts = []
    for value in found:
        own = category == value
        weights, means, factors = _gaussians(codes[own, :latents], max(1, COMPONENTS // len(found)))
        parts.append((weights * own.mean(), means, factors, one_hot[np.full(len(weights), value)]))
    arrays = (torch.from_numpy(np.concatenate(part)) for part in zip(*parts, strict=True))
    return CodeMixture(*(array.to(subject.source.device, subject.source.dtype) for array in arrays))


def training_codes(subject: Subject) -> tuple[np.ndarray, int]:
    """z ~ q(z|x) of a fixed random subset of training images, (image, latent), and how many of the last latents are
    the values of a category"""
    count = subject.population({"split": "train"})
    index = streams.permutation(streams.key("fitted mixture"), 0, count)[:CODES].sort().values
    drawn, values = [], 0
    for model, x, keys in subject.blocks(subject.split("train", index), 1, "fitted mixture"):
        q = model.posterior(x)
        values = categories_of(q)
        drawn.append(draw(q, keys, 0, 1)[0])
    return torch.cat(drawn).double().cpu().numpy(), values


def categories_of(q: Distribution) -> int:
    """How many of the last latents are the values of a category"""
    category = category_of(q)
    return 0 if category is None else category.noise_size


def _gaussians(codes: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and factors by EM from k-means, on codes whose every latent has mean 0 and deviation 1, so that
    the 10⁻⁶ that scikit-learn adds to variances is small for every scale of the codes; codes: (image, latent)"""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    latents = codes.shape[1]
    if latents == 0:
        return np.ones(1), np.zeros((1, 0)), np.zeros((1, 0, 0))
    centre, scale = codes.mean(0), codes.std(0)
    scale[scale == 0] = 1.0
    if len(codes) < 2:
        return np.ones(1), codes, np.zeros((1, latents, latents))
    mixture = GaussianMixture(min(components, len(codes)), random_state=0, max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # equal codes make fewer clusters than it was asked for
        mixture.fit((codes - centre) / scale)
    factors = np.linalg.cholesky(mixture.covariances_)
    return mixture.weights_, centre + scale * mixture.means_, scale[:, None] * factors
