"""torch's ContinuousBernoulli, whose normaliser is wrong, is scored as what it means: the density that has its logits.

It clamps λ to what its precision tells from 0 and 1, and near λ = ½ takes differences that cancel; for one decoder of
64 pixels that is 3 nats an image.
"""

from typing import Any

import torch
from torch import nn
from torch.distributions import ContinuousBernoulli as TorchContinuousBernoulli
from torch.distributions import Distribution, Independent

from vaebench.metrics.draws import draw
from vaebench.metrics.subject import Images
from vaebench.models.contract import LatentVariableModel
from vaebench.models.distributions import IndependentPixels
from vaebench.models.given import ConditionalModel, given
from vaebench.models.likelihoods.continuous_bernoulli import ContinuousBernoulli


def is_of_torch(p: Distribution) -> bool:
    """Whether p(x|z) has torch's continuous Bernoulli for its pixels."""
    of_rows = isinstance(p, Independent) and p.reinterpreted_batch_ndims == 1
    return of_rows and type(p.base_dist) is TorchContinuousBernoulli  # type: ignore[attr-defined]


def normalised(p: Distribution) -> Distribution:
    """The same with vaebench's own in its place; any other p(x|z) as it is."""
    return IndependentPixels(ContinuousBernoulli(p.base_dist.logits)) if is_of_torch(p) else p  # type: ignore[attr-defined]


def with_normaliser(model: LatentVariableModel | ConditionalModel, image: Images) -> Any:
    """The model itself, or one whose p(x|z) is normalised where its own, asked of one image, is not."""
    asked = given(model, image.y)
    z = draw(asked.posterior(image.x), torch.zeros(len(image), dtype=torch.int64, device=image.x.device), 0, 1)[0]
    if not is_of_torch(asked.likelihood(z)):
        return model
    return NormalisedModule(model) if isinstance(model, nn.Module) else Normalised(model)


class Normalised:
    """A model with another likelihood; what else the model has, it has."""

    def __init__(self, model: LatentVariableModel | ConditionalModel) -> None:
        self._model = model

    def likelihood(self, *codes: Any) -> Distribution:
        """p(x|z), or p(x|z, y)"""
        return normalised(self._model.likelihood(*codes))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


class NormalisedModule(Normalised, nn.Module):
    """The same of a torch module, whose parameters it has."""

    def __init__(self, model: nn.Module) -> None:
        nn.Module.__init__(self)
        self._modules["model"] = model
        self.__dict__["_model"] = model
