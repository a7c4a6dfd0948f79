"""A histogram for each pixel: a density on [0, 1] that is even within the bin of each of L grey levels."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import pad


class LevelHistogram(Distribution):
    """p(x_d) = π_dk / (b_k − a_k) for a_k < x_d < b_k, the bin of level k = 0 … L − 1: within ½/(L − 1) of k/(L − 1),
    as far as that lies in [0, 1]; 0 elsewhere."""

    def __init__(self, logits: Tensor, batch: Sequence[int] = ()) -> None:
        """logits l: (pixel, level), π_dk = e^{l_dk} / Σ_j e^{l_dj}; the same for all of `batch`"""
        super().__init__(torch.Size([*batch, len(logits)]), validate_args=False)
        self.logits = logits.log_softmax(-1)
        self.levels = logits.shape[-1]
        self._pixel = torch.arange(len(logits), device=logits.device)
        steps = torch.arange(self.levels + 1, dtype=torch.float64, device=logits.device)
        self._edges = ((steps - 0.5) / (self.levels - 1)).clamp(0.0, 1.0)
        """a_0, and every b_k; (level + 1,)"""
        below = pad(self.logits.double().exp().cumsum(-1), (1, 0))
        self._below = below / below[:, -1:]
        """F there; (pixel, level + 1)"""

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "LevelHistogram":
        return LevelHistogram(self.logits, batch_shape[:-1])

    @property
    def mean(self) -> Tensor:
        """Σ_k π_k (a_k + b_k)/2"""
        return self._expected(self._centres).expand(self.batch_shape)

    @property
    def variance(self) -> Tensor:
        """Σ_k π_k (((a_k + b_k)/2)² + (b_k − a_k)²/12) − mean²"""
        squares = self._centres.square() + self._edges.diff().square() / 12.0
        return (self._expected(squares) - self._expected(self._centres).square()).expand(self.batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """ln π_k − ln(b_k − a_k)"""
        k = torch.round(value * (self.levels - 1)).clamp(0, self.levels - 1).long()
        log = self.logits[self._pixel, k] - self._edges.diff().log().to(self.logits)[k]
        log = log.masked_fill((value < 0) | (value > 1), -torch.inf)
        return log.expand(torch.broadcast_shapes(log.shape, self.batch_shape))

    def cdf(self, value: Tensor) -> Tensor:
        """Σ_{j<k} π_j + π_k (x − a_k)/(b_k − a_k)"""
        x = value.double().clamp(0.0, 1.0)
        k = torch.searchsorted(self._edges[1:-1], x.contiguous())
        share = (x - self._edges[k]) / self._edges.diff()[k]
        below, above = self._below[self._pixel, k], self._below[self._pixel, k + 1]
        found = below + (above - below) * share
        return found.expand(torch.broadcast_shapes(found.shape, self.batch_shape))

    def icdf(self, value: Tensor) -> Tensor:
        """x with F(x) = u: within the bin over which F passes u"""
        u = value.double().expand(torch.broadcast_shapes(value.shape, self.batch_shape))
        by_pixel = u.movedim(-1, 0)
        found = torch.searchsorted(
            self._below[:, 1:-1].contiguous(), by_pixel.reshape(len(self._pixel), -1).contiguous()
        )
        k = found.reshape(by_pixel.shape).movedim(0, -1)
        below, above = self._below[self._pixel, k], self._below[self._pixel, k + 1]
        share = ((u - below) / (above - below)).clamp(0.0, 1.0)
        return torch.lerp(self._edges[k], self._edges[k + 1], share).to(value.dtype)

    @property
    def _centres(self) -> Tensor:
        """(a_k + b_k)/2; (level,)"""
        return 0.5 * (self._edges[:-1] + self._edges[1:])

    def _expected(self, values: Tensor) -> Tensor:
        """Σ_k π_k v_k; (pixel,)"""
        return (self.logits.double().exp() @ values).to(self.logits)
