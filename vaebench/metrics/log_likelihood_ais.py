"""ln p(x) by annealed importance sampling (Wu et al. 2017), and how far off it can be, by bidirectional Monte Carlo."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from vaebench.metrics.annealing import (
    Densities,
    Run,
    Shocks,
    anneal,
    log_mean,
    schedule,
    tuned_step_sizes,
)
from vaebench.metrics.answer import Answer, NotApplicable, average, variance_of_log_mean
from vaebench.metrics.code_parts import code_parts, decoded_per_code, log_joint_by_category, log_joint_of_category
from vaebench.metrics.draws import draw, stream_of
from vaebench.metrics.subject import Images, Subject
from vaebench.models.contract import LatentVariableModel
from vaebench.models.mixed import OneHot

PILOTS = 16
"""Draws from the prior that tell how far apart ln p(x|z) is there."""
TUNING_CHAINS = 1
"""Of an image, in the preliminary run that finds its step sizes."""
POOR_ACCEPTANCE = 0.4
"""Below this an image's chains hardly move; the step sizes aim at 0.65."""


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer | NotApplicable]:
    """The head on images of the split, `gap` on as many that the model simulates, given the same labels if any."""
    prior, images, population = subject.model.prior(), subject.images(protocol), subject.population(protocol)
    if isinstance(prior, OneHot):
        return _by_summing(subject, images, prior, population)
    if _is_discrete(code_parts(prior)[0]):
        raise NotApplicable("p(z) is discrete, and the chains follow gradients")
    if _is_bounded(code_parts(prior)[0]):
        raise NotApplicable("p(z) has bounds, and the chains move in all of space")
    annealer = Annealer(prior, protocol["chains"], protocol["steps"], protocol["leapfrog"])
    runs, forward, backward = [], [], []
    room = annealer.chains * decoded_per_code(prior, subject.source.pixels)
    for model, x, keys in subject.blocks(images, room, "annealing", protocol["seed"]):
        runs.append(annealer.run(annealer.densities(model, x), stream_of(keys, "images"))[0])
        there, back = annealer.both_ways(model, stream_of(keys, "simulated"))
        forward.append(there)
        backward.append(back)
    return [_head(_joined(runs), population), _gap(_joined(forward), _joined(backward))]


class Path(NamedTuple):
    """What leads from prior to posterior."""

    betas: Tensor
    """(bridge + 1, image)"""
    step_sizes: Tensor
    """(bridge − 1, image)"""


@dataclass(frozen=True)
class Annealer:
    """How chains run, whatever the images."""

    prior: Distribution
    chains: int
    bridges: int
    leapfrog: int

    @property
    def continuous(self) -> Distribution:
        """p(z) of the latents that chains move in"""
        return code_parts(self.prior)[0]

    @property
    def category(self) -> OneHot | None:
        """p(c), summed over at every z"""
        return code_parts(self.prior)[1]

    @property
    def latents(self) -> int:
        return int(self.continuous.event_shape[0])

    def densities(self, model: LatentVariableModel, x: Tensor) -> Densities:
        """ln p(z) and ln p(x|z), a category summed over: ln Σ_c p(c) p(x|z, c)"""
        category = self.category
        return Densities(self.continuous.log_prob, lambda z: log_joint_by_category(model, category, z, x).logsumexp(0))

    def run(self, densities: Densities, keys: Tensor) -> tuple[Run, Path]:
        """From the prior to the posterior: weights whose mean is p(x), and the path that was taken."""
        path = self._path(densities, keys)
        start = densities.at(draw(self.continuous, stream_of(keys, "start"), 0, self.chains))
        return anneal(densities, start, *path, self.leapfrog, Shocks(stream_of(keys, "forward"))), path

    def both_ways(self, model: LatentVariableModel, keys: Tensor) -> tuple[Run, Run]:
        """Forward, and back from the posterior to the prior, on images that the model simulates."""
        z, x = self.simulated(model, keys)
        densities = self.densities(model, x)
        forward, path = self.run(densities, keys)
        start = densities.at(z.expand(self.chains, *z.shape))
        shocks = Shocks(stream_of(keys, "backward"))
        backward = anneal(densities, start, path.betas.flip(0), path.step_sizes.flip(0), self.leapfrog, shocks)
        return forward, backward

    def simulated(self, model: LatentVariableModel, keys: Tensor) -> tuple[Tensor, Tensor]:
        """z ~ p(z) and x ~ p(x|z), which makes z a draw from p(z|x); (image, latent), (image, pixel)"""
        code = draw(self.prior, stream_of(keys, "code"), 0, 1)[0]
        x = draw(model.likelihood(code), stream_of(keys, "pixels"), 0, 1)[0]
        return code[:, : self.latents], x

    def _path(self, densities: Densities, keys: Tensor) -> Path:
        """β and step sizes, from chains that count for nothing else."""
        pilots = draw(self.continuous, stream_of(keys, "pilots"), 0, PILOTS)
        betas = schedule(self.bridges, torch.cat([densities.log_likelihood(z) for z in pilots.split(1)]))
        begin, shocks = densities.at(pilots[:TUNING_CHAINS]), Shocks(stream_of(keys, "tuning"))
        return Path(betas, tuned_step_sizes(densities, begin, betas, self.leapfrog, shocks))


def _by_summing(subject: Subject, images: Images, prior: OneHot, population: int) -> list[Answer | NotApplicable]:
    """Where a category is all there is to integrate over, the sum is the likelihood."""
    blocks = subject.blocks(images, prior.noise_size)
    values = torch.cat([log_joint_of_category(block.model, prior, block.x).logsumexp(0) for block in blocks])
    value, stderr = average(values, torch.zeros_like(values), population)
    note = f"exact: a sum over {prior.noise_size} categories"
    return [Answer(value, stderr, note=note), Answer(0.0, 0.0, part="gap", note=note)]


def _head(run: Run, population: int) -> Answer:
    """Mean over images of ln mean w."""
    chains = len(run.log_weights)
    variances = variance_of_log_mean(run.log_weights) if chains > 1 else None
    value, stderr = average(log_mean(run.log_weights), variances, population)
    details: dict[str, Any] = {"acceptance": _acceptance(run)}
    note = f"acceptance {float(run.acceptance.mean()):.2f}{_warning(run.acceptance)}"
    if chains > 1:
        details["spread_of_chains"] = float(run.log_weights.std(0).mean())
        note += f"; ln w of an image's chains spreads by {details['spread_of_chains']:.2g} nats"
    return Answer(value, stderr, note=note, details=details)


def _gap(forward: Run, backward: Run) -> Answer:
    """Mean upper bound less mean lower bound; the simulated images are independent draws, so their spread is its
    error."""
    lower, upper = log_mean(forward.log_weights), -log_mean(backward.log_weights)
    count = len(lower)
    stderr = float((upper - lower).std()) / math.sqrt(count) if count > 1 else None
    bounds = {"lower": float(lower.mean()), "upper": float(upper.mean())}
    details = {**bounds, "acceptance": {"forward": _acceptance(forward), "backward": _acceptance(backward)}}
    note = f"on simulated images: ln p(x) between {bounds['lower']:.2f} and {bounds['upper']:.2f}; "
    acceptance = torch.minimum(forward.acceptance, backward.acceptance)
    note += f"acceptance {float(acceptance.mean()):.2f}{_warning(acceptance)}"
    return Answer(bounds["upper"] - bounds["lower"], stderr, part="gap", note=note, details=details)


def _acceptance(run: Run) -> dict[str, float]:
    return {"mean": float(run.acceptance.mean()), "least": float(run.acceptance.min())}


def _warning(acceptance: Tensor) -> str:
    """Where chains hardly moved; acceptance: (image,)"""
    poor, images = int((acceptance < POOR_ACCEPTANCE).sum()), len(acceptance)
    return (
        f"; it is below {POOR_ACCEPTANCE} on {poor:,} of {images:,} images, whose chains hardly move"
        if poor > 0
        else ""
    )


def _joined(runs: list[Run]) -> Run:
    """Of all blocks, images in order."""
    return Run(torch.cat([run.log_weights for run in runs], dim=1), torch.cat([run.acceptance for run in runs]))


def _is_discrete(distribution: Distribution) -> bool:
    try:
        support = distribution.support
    except NotImplementedError:  # those written here do not say; of them only a category is discrete
        return False
    return support is not None and bool(support.is_discrete)


def _is_bounded(distribution: Distribution) -> bool:
    """Whether p(z) is 0 somewhere; those written here, which do not say, are not."""
    try:
        support: Any = distribution.support
    except NotImplementedError:
        return False
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    return not isinstance(support, type(constraints.real))
