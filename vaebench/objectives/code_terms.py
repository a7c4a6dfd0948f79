"""What the training curves show of a categorical code (Serdega 2019, figs 4.7 and 4.9)."""

import torch
from torch.distributions import Distribution, kl_divergence

from vaebench.models.contract import LatentVariableModel
from vaebench.models.mixed import category_of
from vaebench.objectives.player import Terms

BINS = 10
"""Of the histogram of code probabilities: [0, 0.1), [0.1, 0.2), … [0.9, 1]."""


def code_terms(q: Distribution, model: LatentVariableModel) -> Terms:
    """Of a batch: `code_kl` = KL(q(c|x) ‖ p(c)), mean over images; `code_probability_b` = the share of all
    probabilities q(c = k|x), over images and categories, that lie in bin b. Nothing where there is no category."""
    category = category_of(q)
    if category is None:
        return {}
    prior = category_of(model.prior())
    assert prior is not None  # the catalog pairs no such posterior with another prior
    bins = (category.mean * BINS).floor().clamp(max=BINS - 1)
    numbers = torch.arange(BINS, device=bins.device)
    shares = (bins.unsqueeze(-1) == numbers).to(bins.dtype).mean(dim=(0, 1))
    return {
        "code_kl": kl_divergence(category, prior).mean(),
        **{f"code_probability_{number}": share for number, share in enumerate(shares.unbind())},
    }
