"""The σ² of greatest likelihood of a Gaussian decoder that has one σ for everything, by one pass over images."""

from typing import Any

import torch
from torch import Tensor

from vaebench.data import streams
from vaebench.models.given import given
from vaebench.models.mixed import GaussianAndOneHot, OneHot

BATCH = 1000


@torch.no_grad()
def mean_squared_error(model: Any, x: Tensor, y: Tensor | None, *words: object) -> Tensor:
    """1/(N D) Σ_i ‖x_i − E[x|z_i]‖², z_i ~ q(z|x_i), one draw from the image's own stream that `words` name; ()

    x: (image, pixel); y: (image,), read where the model is conditional. A category is drawn as the one-hot code that
    it is, not relaxed.
    """
    total = x.new_zeros((), dtype=torch.float64)
    for first in range(0, len(x), BATCH):
        block = x[first : first + BATCH]
        seen = given(model, None if y is None else y[first : first + BATCH])
        q: Any = seen.posterior(block)
        if isinstance(q, OneHot | GaussianAndOneHot):
            q = q.discrete()
        noise = streams.LAWS[q.noise_law](streams.image_keys(block, *words), 0, 1, q.noise_size, x.dtype)
        total += (block - seen.likelihood(q.from_noise(noise)).mean).double().square().sum()
    return (total / x.numel()).to(x.dtype)
