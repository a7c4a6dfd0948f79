"""Does an object keep the model contract? Asked before a model that vaebench did not build is scored."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.models.contract import LatentVariableModel


class ContractError(Exception):
    """A model does not offer what it must; the message names the method and what was expected."""


def check_contract(model: LatentVariableModel, x: Tensor) -> None:
    """Raise ContractError at the first breach, seen on a few images; x: (image, pixel)."""
    count, pixels = x.shape
    prior = _distribution(model, "prior")
    posterior = _distribution(model, "posterior", x)
    z = posterior.sample(torch.Size([3]))
    if z.dim() != 3 or z.shape[:2] != (3, count):
        raise ContractError(
            f"posterior(x): a draw of 3 for {count} images must be (3, {count}, latent), is {tuple(z.shape)}"
        )
    likelihood = _distribution(model, "likelihood", z)
    _log_prob(posterior, z, (3, count), "posterior(x).log_prob(z)", "latents")
    _log_prob(prior, z, (3, count), "prior().log_prob(z)", "latents")
    _log_prob(likelihood, x, (3, count), "likelihood(z).log_prob(x)", "pixels")
    shape = tuple(likelihood.mean.shape)
    if shape != (3, count, pixels):
        wanted = f"(3, {count}, {pixels}) for z of (3, {count}, latent)"
        raise ContractError(f"likelihood(z).mean: must be {wanted}, is {shape}")


def _distribution(model: LatentVariableModel, name: str, *arguments: Tensor) -> Distribution:
    method: Callable[..., Distribution] | None = getattr(model, name, None)
    if method is None:
        raise ContractError(f"{type(model).__name__} has no method {name}()")
    made = method(*arguments)
    if not isinstance(made, Distribution):
        raise ContractError(f"{name}(): must return a torch distribution, returned {type(made).__name__}")
    return made


def _log_prob(distribution: Distribution, value: Tensor, shape: tuple[int, ...], name: str, over: str) -> None:
    log_probability = distribution.log_prob(value)
    if tuple(log_probability.shape) != shape:
        raise ContractError(f"{name}: must sum over {over} to shape {shape}, is {tuple(log_probability.shape)}")
    if bool(log_probability.isnan().any()):
        raise ContractError(f"{name}: is NaN on images of the data set")
