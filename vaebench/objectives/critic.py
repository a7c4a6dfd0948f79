"""Objectives with a critic that tells two laws of codes apart.

FactorVAE (Kim & Mnih 2018; Serdega 2019 §5.1): ELBO − γ TC(z), the total correlation read off a critic that tells
codes from codes whose latents were shuffled, each by itself, over a second batch. Adversarial autoencoders (Makhzani
et al. 2016; Serdega 2019 §5.4): the aggregate posterior is pulled to the prior by a critic between them.
"""

import itertools
from collections.abc import Callable
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


def shuffled_rows(z: Tensor, keys: Tensor) -> Tensor:
    """Popular code: each image's latents in an order of their own, which mixes latents and not images"""
    return z.gather(1, keys.argsort(dim=1))


SHUFFLES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"columns": shuffled, "rows": shuffled_rows}


class TwoLaws:
    """The codes that FactorVAE's critic is to tell apart: those of one batch, and shuffled ones of another."""

    def __init__(self, noise_size: int, latent: int, shuffle: str, second_batch: bool) -> None:
        self.shuffle = SHUFFLES[shuffle]
        self.batches = 2 if second_batch else 1
        self.noise = {"z": Noise(1, noise_size, "normal"), "order": Noise(1, latent, "uniform")}
        if second_batch:
            self.noise["second"] = Noise(1, noise_size, "normal")

    def of(self, system: System, batches: Batches, noise: Named) -> tuple[Tensor, Tensor]:
        """Draws from q(z), and what is held for draws from Π_u q(z_u); popular code shuffles the very same codes."""
        joint = codes(system, batches, 0, noise["z"])
        others = codes(system, batches, 1, noise["second"]) if self.batches == 2 else joint
        return joint, self.shuffle(others, noise["order"][0])


class FactorCritic:
    """Moves the critic: codes of one batch against shuffled codes of another. No gradient enters the encoder."""

    name = "critic"
    owns: tuple[str, ...] = ("critic",)

    def __init__(self, laws: TwoLaws) -> None:
        self.laws = laws
        self.batches, self.noise = laws.batches, laws.noise

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        critic = system.get_submodule("critic")
        with torch.no_grad():
            joint, product = self.laws.of(system, batches, noise)
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


class LeakingFactorPlayer(FactorPlayer):
    """Popular code: the codes are not detached where the critic learns, so its loss on them reaches the encoder too,
    which is so moved to be told apart; the shuffled codes are detached."""

    def __init__(self, noise_size: int, laws: TwoLaws) -> None:
        super().__init__(noise_size)
        self.laws = laws
        self.batches = laws.batches
        self.noise = {**laws.noise, **self.noise}

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        critic = system.get_submodule("critic")
        loss, terms = super().loss(system, batches[:1], noise, settings)
        joint, product = self.laws.of(system, batches, noise)
        return loss + critic_loss(critic(joint), critic(product.detach())), terms


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
    chosen = choices["objective"]
    critic = Critic(choices["latent"], chosen["critic_hidden"])
    laws = TwoLaws(model.noise_size, choices["latent"], chosen["shuffle"], chosen["second_batch"])
    player = LeakingFactorPlayer(model.noise_size, laws) if chosen["leak"] else FactorPlayer(model.noise_size)
    return Objective((FactorCritic(laws), player), {"critic": critic})


def adversarial(model: Composition, choices: dict[str, Any], shape: Shape, images: int) -> Objective:
    """Two players: the critic, then the model."""
    critic = Critic(choices["latent"], choices["objective"]["critic_hidden"])
    players = (PriorCritic(model.noise_size, choices["latent"]), AdversarialPlayer(model.noise_size))
    return Objective(players, {"critic": critic})
