"""Conditional models: every density given the label y (Beaulac 2019 §3.6)."""

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.models.contract import LatentVariableModel


class ConditionalModel(Protocol):
    """The model contract with labels as a second argument; y: (image,), integers, as the images of x and z.

    A model says that it is one by `conditional = True`. z and y are independent a priori: p(z) is one for all labels.
    """

    conditional: bool

    def prior(self) -> Distribution:
        """p(z)"""
        ...

    def posterior(self, x: Tensor, y: Tensor) -> Distribution:
        """q(z|x, y)"""
        ...

    def likelihood(self, z: Tensor, y: Tensor) -> Distribution:
        """p(x|z, y)"""
        ...


class Given:
    """A conditional model with the labels of the images at hand filled in: a model of x alone for whoever asks.

    What else the model has, it has.
    """

    def __init__(self, model: ConditionalModel, y: Tensor) -> None:
        self._model = model
        self._y = y

    def prior(self) -> Distribution:
        """p(z)"""
        return self._model.prior()

    def posterior(self, x: Tensor) -> Distribution:
        """q(z|x, y)"""
        return self._model.posterior(x, self._y)

    def likelihood(self, z: Tensor) -> Distribution:
        """p(x|z, y)"""
        return self._model.likelihood(z, self._y)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._model, name)
        return (lambda x: found(x, self._y)) if name == "log_prob" else found


def is_conditional(model: object) -> bool:
    return bool(getattr(model, "conditional", False))


def given(model: Any, y: Tensor | None) -> LatentVariableModel:
    """The model of the images with labels y; any other model as it is."""
    if not is_conditional(model):
        unconditional: LatentVariableModel = model
        return unconditional
    if y is None:
        raise ValueError("a conditional model needs labels")
    return Given(model, y)


def beside(values: Tensor, y: Tensor | None, classes: int) -> Tensor:
    """Values with the label behind them as a one-hot vector; (…, image, size), (image,) → (…, image, size + classes)"""
    if classes == 0:
        return values
    if y is None:
        raise ValueError("a conditional model needs labels")
    labels = (y.unsqueeze(-1) == torch.arange(classes, device=y.device)).to(values.dtype)
    return torch.cat([values, labels.expand(*values.shape[:-1], classes)], dim=-1)
