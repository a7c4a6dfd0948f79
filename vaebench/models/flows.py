"""Inverse autoregressive flows (Kingma et al. 2016): z = f_T ∘ … ∘ f_1(μ + σ ε), the f_t with triangular Jacobians."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, logsigmoid

from vaebench.models.distributions import DiagonalNormal
from vaebench.models.drawn import Drawn


class MaskedLinear(nn.Linear):
    """y = (M ⊙ W) x + b, with M_ij = 1 where output i may see input j."""

    mask: Tensor

    def __init__(self, sees: Tensor) -> None:
        outputs, inputs = sees.shape
        super().__init__(inputs, outputs)
        self.register_buffer("mask", sees.to(self.weight.dtype), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight * self.mask, self.bias)


class Made(nn.Module):
    """(y, h) → (m, s), where m_d and s_d depend on y_1 … y_{d−1} and on the context h (Germain et al. 2015).

    Hidden units have degrees 0 … D − 1 in turn; one of degree k sees y_1 … y_k and the context. The last layer starts
    small with s near 2, so that the flow starts near the identity.
    """

    def __init__(self, latent: int, hidden: Sequence[int], context: nn.Module | None) -> None:
        super().__init__()
        degrees = [torch.arange(1, latent + 1), *(torch.arange(width) % latent for width in hidden)]
        self.degrees = degrees
        self.context = context
        self.layers = nn.ModuleList(
            MaskedLinear(later[:, None] >= earlier) for earlier, later in itertools.pairwise(degrees)
        )
        self.out = MaskedLinear((degrees[0][:, None] > degrees[-1]).repeat(2, 1))
        with torch.no_grad():
            self.out.weight *= 0.1
            self.out.bias.copy_(torch.cat([torch.zeros(latent), torch.full((latent,), 2.0)]))

    def seen(self, features: Tensor) -> Tensor | None:
        """What the context adds to the first hidden layer; (image, hidden)"""
        return None if self.context is None else self.context(features)

    def forward(self, y: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor]:
        for number, layer in enumerate(self.layers):
            y = layer(y)
            if number == 0 and seen is not None:
                y = y + seen
            y = nn.functional.elu(y)
        shift, gate = self.out(y).chunk(2, dim=-1)
        return shift, gate

    def solve(self, after: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor]:
        """(y, s) with sigmoid(s) ⊙ y + (1 − sigmoid(s)) ⊙ m = y', one dimension after the other.

        m_d and s_d need y_1 … y_{d−1} only, and a unit of degree k is computed as soon as y_k is found, so that all of
        it takes the products of one pass. Units stand in the order of their degrees, which puts what is known first.
        """
        after = after.movedim(-1, 0)
        seen = None if seen is None else seen.movedim(-1, 0)
        order = [degree.argsort(stable=True) for degree in self.degrees]
        known = [after[:0] for _ in self.degrees]
        gates = []
        for dimension in range(len(after)):
            for number, layer in enumerate(self.layers):
                new = (self.degrees[number + 1] == dimension).nonzero().squeeze(-1)
                unit = _affine(layer, new, order[number], known[number])  # type: ignore[arg-type]
                if number == 0 and seen is not None:
                    unit = unit + seen[new].reshape(len(new), *(1,) * (after.dim() - seen.dim()), *seen.shape[1:])
                known[number + 1] = torch.cat([known[number + 1], nn.functional.elu(unit)])
            outputs = torch.tensor([dimension, dimension + len(after)])
            shift, gate = _affine(self.out, outputs, order[-1], known[-1])
            solved = (after[dimension] - torch.sigmoid(-gate) * shift) * (1.0 + torch.exp(-gate))
            known[0] = torch.cat([known[0], solved.unsqueeze(0)])
            gates.append(gate)
        return known[0].movedim(0, -1), torch.stack(gates, dim=-1)


def _affine(layer: MaskedLinear, outputs: Tensor, order: Tensor, known: Tensor) -> Tensor:
    """Some outputs of a layer from those inputs, in their order, that are known; (input, …) → (output, …)"""
    weight = layer.weight[outputs][:, order[: len(known)]]
    bias = layer.bias[outputs].reshape(-1, *(1,) * (known.dim() - 1))
    return torch.einsum("oi,i...->o...", weight, known) + bias


class Step(NamedTuple):
    """y' = g ⊙ y + (1 − g) ⊙ m with g = sigmoid(s), (m, s) = made(y, context); ln |∂y'/∂y| = Σ_d ln g_d."""

    made: Made
    seen: Tensor | None

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """(y', ln |∂y'/∂y|)"""
        shift, gate = self.made(y, self.seen)
        kept = torch.sigmoid(gate)
        return kept * y + (1.0 - kept) * shift, logsigmoid(gate).sum(-1)

    def inverse(self, after: Tensor) -> tuple[Tensor, Tensor]:
        """(y, ln |∂y'/∂y|)"""
        y, gate = self.made.solve(after, self.seen)
        return y, logsigmoid(gate).sum(-1)


class InverseAutoregressive(Drawn):
    """The distribution of z. Between steps the order of the latents is reversed.

    ln q(z|x) = ln N(y_0; μ, σ²) − Σ_t ln |∂y_t/∂y_{t−1}|. It remembers its last draw: the density of that costs no
    pass; any other z is inverted. Where that leads beyond the largest number, the density is 0.
    """

    def __init__(self, base: DiagonalNormal, steps: Sequence[Step]) -> None:
        super().__init__(base.batch_shape, int(base.event_shape[0]))
        self.base, self.steps = base, steps
        self.noise_size = base.noise_size
        self._last: tuple[Tensor, Tensor] | None = None

    @property
    def dtype(self) -> torch.dtype:
        return self.base.mean.dtype

    @property
    def device(self) -> torch.device:
        return self.base.mean.device

    def from_noise(self, noise: Tensor) -> Tensor:
        z = self.base.from_noise(noise)
        log_density = -0.5 * (noise.square() + math.log(2.0 * math.pi)).sum(-1) - self.base.stddev.log().sum(-1)
        for number, step in enumerate(self.steps):
            z, log_determinant = step.forward(z if number == 0 else z.flip(-1))
            log_density = log_density - log_determinant
        self._last = (z, log_density)
        return z

    def to_noise(self, z: Tensor) -> Tensor:
        """The ε that `from_noise` turns into z."""
        return (self._inverted(z)[0] - self.base.mean) / self.base.stddev

    def log_prob(self, value: Tensor) -> Tensor:
        if self._last is not None and value is self._last[0]:
            return self._last[1]
        start, log_determinant = self._inverted(value)
        log_density = self.base.log_prob(start) - log_determinant
        return torch.where(start.isfinite().all(-1), log_density, -torch.inf)

    def _inverted(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(y_0, Σ_t ln |∂y_t/∂y_{t−1}|)"""
        z = z.expand(torch.broadcast_shapes(z.shape, self.base.mean.shape))
        total = torch.zeros_like(z[..., 0])
        for number in reversed(range(len(self.steps))):
            z, log_determinant = self.steps[number].inverse(z)
            total = total + log_determinant
            z = z if number == 0 else z.flip(-1)
        return z, total
