"""The evidence lower bound: E_q[ln p(x|z)] − β KL(q(z|x) ‖ p(z))."""

from typing import Any, NamedTuple

from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from vaebench.data.dataset import Shape
from vaebench.models.composition import Composition
from vaebench.models.contract import LatentVariableModel
from vaebench.models.mixed import drawn
from vaebench.objectives.code_terms import code_terms
from vaebench.objectives.player import Batches, Named, Noise, Objective, System, Terms, model_of


class Evidence(NamedTuple):
    """One pass through encoder and decoder."""

    q: Distribution
    z: Tensor
    """Draws from q; (draw, image, latent)."""
    p: Distribution
    """p(x|z) at the draws."""
    reconstruction: Tensor
    """Mean over draws and images of ln p(x|z); ()."""
    kl: Tensor
    """Mean over images of the KL, in the form asked for; ()."""


def evidence(model: LatentVariableModel, x: Tensor, noise: Tensor, kl: str, progress: Tensor | None = None) -> Evidence:
    """`progress` sets the temperature at which a categorical code is relaxed; without it that is the final one."""
    q = model.posterior(x)
    z = drawn(q, noise, progress)
    p = model.likelihood(z)
    return Evidence(q, z, p, p.log_prob(x).mean(), KL_FORMS[kl](q, model.prior(), z).mean())


def analytic_kl(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    """KL(q ‖ p) in closed form; (image,)"""
    return kl_divergence(q, p)


def monte_carlo_kl(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    """ln q(z|x) − ln p(z) at the draws; (draw, image)"""
    return q.log_prob(z) - p.log_prob(z)


KL_FORMS = {"analytic": analytic_kl, "monte-carlo": monte_carlo_kl}


class ElboPlayer:
    """Moves the model."""

    name = "model"
    owns: tuple[str, ...] = ("model",)
    batches = 1

    def __init__(self, noise_size: int, kl: str, samples: int) -> None:
        self.kl = kl
        self.noise = {"z": Noise(draws=samples, size=noise_size, law="normal")}

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        (x,) = batches
        model = model_of(system)
        seen = evidence(model, x, noise["z"], self.kl, settings["progress"])
        loss = settings["kl_weight"] * settings["beta"] * seen.kl - seen.reconstruction
        return loss, {"reconstruction": seen.reconstruction, "kl": seen.kl, **code_terms(seen.q, model)}


class MeanReductionPlayer(ElboPlayer):
    """Popular code: squared error averaged over pixels, and the KL with a small weight w.

    1/D ‖x − μ(z)‖² + w KL = 2/D (½ ‖x − μ(z)‖² + w D/2 KL): up to a factor, which Adam does not see, and a constant,
    the negative ELBO of a Gaussian decoder with σ = 1 whose KL is weighed by β = w D/2.
    """

    def __init__(self, noise_size: int, kl: str, samples: int, pixels: int) -> None:
        super().__init__(noise_size, kl, samples)
        self.pixels = pixels

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        beta = effective_beta(settings["weight"], self.pixels)
        return super().loss(system, batches, noise, {**settings, "beta": beta})


def effective_beta(weight: Tensor, pixels: int) -> Tensor:
    """β = w D/2: what a KL of weight w beside a squared error averaged over D pixels weighs in nats"""
    return weight * pixels / 2


def mean_reduction(model: Composition, choices: dict[str, Any], shape: Shape, images: int) -> Objective:
    """One player, the model."""
    chosen = choices["objective"]
    player = MeanReductionPlayer(model.noise_size, chosen["kl"], chosen["samples"], shape.pixels)
    return Objective((player,), {})


def elbo(model: Composition, choices: dict[str, Any], shape: Shape, images: int) -> Objective:
    """One player, the model."""
    chosen = choices["objective"]
    return Objective((ElboPlayer(model.noise_size, chosen["kl"], chosen["samples"]),), {})
