"""The ELBO by the score-function estimator (Wang 2018 §2.2; Serdega 2019 §3.1.4):

    ∇φ E_q[f] = E_q[(f(z) − b) ∇φ ln q(z|x)],  f = ln p(x|z) + w (ln p(z) − ln q(z|x)),

w the recipe's weight of the KL, 1 but for a warm-up. The term E_q[∇φ f] vanishes, since E_q[∇φ ln q] = 0. The decoder's
gradient is the usual one.
"""

from typing import Any

from torch import Tensor

from vaebench.data.dataset import Shape
from vaebench.models.composition import Composition
from vaebench.objectives.player import Batches, Named, Noise, Objective, System, Terms, model_of


def no_baseline(f: Tensor) -> Tensor:
    """b = 0"""
    return f.new_zeros(())


def leave_one_out(f: Tensor) -> Tensor:
    """b_l = mean of f over the other draws of the same image; (draw, image)"""
    return (f.sum(0) - f) / (len(f) - 1)


BASELINES = {"none": no_baseline, "leave-one-out": leave_one_out}


class ScoreFunctionPlayer:
    """Moves the model."""

    name = "model"
    owns: tuple[str, ...] = ("model",)
    batches = 1

    def __init__(self, noise_size: int, samples: int, baseline: str) -> None:
        self.baseline = BASELINES[baseline]
        self.noise = {"z": Noise(draws=samples, size=noise_size, law="normal")}

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        """The value is −E_q[f], at w = 1 the negative ELBO; the gradient is the estimator's."""
        (x,) = batches
        model = model_of(system)
        q = model.posterior(x)
        z = q.from_noise(noise["z"]).detach()  # type: ignore[attr-defined]
        log_q = q.log_prob(z)
        log_density, log_prior = model.likelihood(z).log_prob(x), model.prior().log_prob(z)
        weight, log_ratio = settings["kl_weight"], (log_prior - log_q).detach()
        f = log_density.detach() + weight * log_ratio
        surrogate = (log_density + weight * log_prior + (f - self.baseline(f)) * log_q).mean()
        elbo = log_density.detach() + log_ratio
        return f.mean().neg() - (surrogate - surrogate.detach()), {"elbo": elbo.mean()}


def score_function(model: Composition, choices: dict[str, Any], shape: Shape, images: int) -> Objective:
    """One player, the model."""
    chosen = choices["objective"]
    return Objective((ScoreFunctionPlayer(model.noise_size, chosen["samples"], chosen["baseline"]),), {})
