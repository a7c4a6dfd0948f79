"""Objectives with a critic that tells two laws of codes apart.

FactorVAE (Kim & Mnih 2018; Serdega 2019 §5.1): ELBO − γ TC(z), the total correlation read off a critic that tells
codes from codes whose latents were shuffled, each by itself, over a second batch. Adversarial autoencoders (Makhzani
et al. 2016; Serdega 2019 §5.4): the aggregate posterior is pulled to the prior by a critic between them.
"""

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from vaebench.data.dataset import Shape
from vaebench.models.composition import Composition
from vaebench.objectives.elbo import evidence
from vaebench.objectives.player import Batches, Named, Noise, Objective, System, Terms, model_of


class Critic(nn.Module):
    """The logit that a code comes from the first law and not the second; (…, latent) → (…,)

    At its best it is the log ratio of the two densities.
    """

    def __init__(self, latent: int, hidden: list[int]) -> None:
        super().__init__()
        widths = [latent, *hidden]
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, z: Tensor) -> Tensor:
        logit: Tensor = self.layers(z).squeeze(-1)
        return logit


def shuffled(z: Tensor, keys: Tensor) -> Tensor:
    """Each latent's column in its own order, that of `keys`: a draw from Π_u q(z_u); (image, latent) each"""
    return z.gather(0, keys.argsort(dim=0))


def critic_loss(first: Tensor, second: Tensor) -> Tensor:
    """Cross-entropy of the logits of the two laws: −ln σ(first) − ln(1 − σ(second)), halved; ()"""
    return 0.5 * (softplus(-first).mean() + softplus(second).mean())


def codes(system: System, batches: Batches, batch: int, noise: Tensor) -> Tensor:
    """One draw from q(z|x) for each image of a batch; (image, latent)"""
    drawn: Tensor = model_of(system, batch).posterior(batches[batch]).from_noise(noise)[0]  # type: ignore[attr-defined]
    return drawn


class FactorCritic:
    """Moves the critic: codes of one batch against shuffled codes of another. No gradient enters the encoder."""

    name = "critic"
    owns: tuple[str, ...] = ("critic",)
    batches = 2

    def __init__(self, noise_size: int, latent: int) -> None:
        self.noise = {
            "z": Noise(1, noise_size, "normal"),
            "second": Noise(1, noise_size, "normal"),
            "order": Noise(1, latent, "uniform"),
        }

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        critic = system.get_submodule("critic")
        with torch.no_grad():
            joint = codes(system, batches, 0, noise["z"])
            product = shuffled(codes(system, batches, 1, noise["second"]), noise["order"][0])
        loss = critic_loss(critic(joint), critic(product))
        return loss, {"critic_loss": loss}


class FactorPlayer:
    """Moves the model: ELBO − γ E_q(z)[D(z)], D the critic's log ratio of q(z) and Π_u q(z_u)."""

    name = "model"
    owns: tuple[str, ...] = ("model",)
    batches = 1

    def __init__(self, noise_size: int) -> None:
        self.noise = {"z": Noise(1, noise_size, "normal")}

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        (x,) = batches
        seen = evidence(model_of(system), x, noise["z"], "analytic", settings["progress"])
        total = system.get_submodule("critic")(seen.z[0]).mean()
        loss = settings["kl_weight"] * seen.kl - seen.reconstruction + settings["gamma"] * total
        return loss, {"reconstruction": seen.reconstruction, "kl": seen.kl, "total_correlation": total}


class PriorCritic:
    """Moves the critic: draws from the prior against codes."""

    name = "critic"
    owns: tuple[str, ...] = ("critic",)
    batches = 1

    def __init__(self, noise_size: int, latent: int) -> None:
        self.noise = {"z": Noise(1, noise_size, "normal"), "prior": Noise(1, latent, "normal")}

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        critic = system.get_submodule("critic")
        with torch.no_grad():
            encoded = codes(system, batches, 0, noise["z"])
            drawn = model_of(system).prior().from_noise(noise["prior"])[0]  # type: ignore[attr-defined]
        loss = critic_loss(critic(drawn), critic(encoded))
        return loss, {"critic_loss": loss}


class AdversarialPlayer:
    """Moves the model: E ln p(x|z) + λ E ln σ(D(z)), codes taken for draws from the prior (non-saturating form)."""

    name = "model"
    owns: tuple[str, ...] = ("model",)
    batches = 1

    def __init__(self, noise_size: int) -> None:
        self.noise = {"z": Noise(1, noise_size, "normal")}

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        (x,) = batches
        model = model_of(system)
        z = codes(system, batches, 0, noise["z"])
        reconstruction = model.likelihood(z).log_prob(x).mean()
        deceived = softplus(-system.get_submodule("critic")(z)).mean()
        return settings["lambda"] * deceived - reconstruction, {"reconstruction": reconstruction, "deceived": deceived}


def factor(model: Composition, choices: dict[str, Any], shape: Shape, images: int) -> Objective:
    """Two players: the critic, then the model."""
    critic = Critic(choices["latent"], choices["objective"]["critic_hidden"])
    players = (FactorCritic(model.noise_size, choices["latent"]), FactorPlayer(model.noise_size))
    return Objective(players, {"critic": critic})


def adversarial(model: Composition, choices: dict[str, Any], shape: Shape, images: int) -> Objective:
    """Two players: the critic, then the model."""
    critic = Critic(choices["latent"], choices["objective"]["critic_hidden"])
    players = (PriorCritic(model.noise_size, choices["latent"]), AdversarialPlayer(model.noise_size))
    return Objective(players, {"critic": critic})
