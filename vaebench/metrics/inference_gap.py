"""ln p(x) − ELBO in its two parts: what the family of q cannot reach, and what the encoder does not find in it
(Cremer, Li & Duvenaud 2018)."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.data import streams
from vaebench.metrics.answer import Answer, NotApplicable, average
from vaebench.metrics.code_parts import code_parts, decoded_per_code, log_joint_of_category
from vaebench.metrics.draws import from_noise_form, stream_of
from vaebench.metrics.importance import FEW_EFFECTIVE
from vaebench.metrics.refined import Parameters, Terms, ascended, best_logits, family, terms
from vaebench.metrics.subject import Block, Images, Subject
from vaebench.models.contract import LatentVariableModel
from vaebench.models.distributions import DiagonalNormal, FromNoise
from vaebench.models.flows import InverseAutoregressive
from vaebench.models.mixed import OneHot


class Evidence(NamedTuple):
    """ln p(x) of each image, exact or from weights."""

    value: Tensor
    """(image,)"""
    influence: Tensor
    """What each draw adds to K times the value, to first order: w_k / mean w, or 0 where it is exact; (draw, image)"""
    effective: Tensor
    """Effective sample size; NaN where it is exact; (image,)"""


class Gaps(NamedTuple):
    """Of each image; (image,), float64."""

    approximation: Tensor
    """ln p(x) − ELBO[q*]"""
    approximation_variance: Tensor
    """Of its Monte Carlo estimate"""
    amortisation: Tensor
    """ELBO[q*] − ELBO[q(z|x)]"""
    amortisation_variance: Tensor
    effective: Tensor
    """Behind ln p(x)"""
    refined: Tensor
    """1 where q* is better than q(z|x), by draws that the gaps do not see, and else 0: there q* is q(z|x)"""
    last_rise: Tensor
    """By how much the last tenth of the steps raised the ELBO"""


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """q* ascends the ELBO of its image, started at q(z|x)."""
    images, population = subject.images(protocol), subject.population(protocol)
    q = subject.given(images[:1].y).posterior(images[:1].x)
    if isinstance(q, OneHot):
        return _by_summing(subject, images, population)
    spread_is_free = not _has_one_spread(subject, images)
    held = _held(family(q, spread_is_free).continuous, spread_is_free)
    prior = subject.model.prior()
    each = decoded_per_code(prior, subject.source.pixels)
    blocks = subject.blocks(images, protocol["draws"] * each, "inference gap", protocol["seed"])
    found = [_gaps(block, prior, spread_is_free, protocol, subject.rows // each) for block in blocks]
    return _answers(Gaps(*(torch.cat(parts) for parts in zip(*found, strict=True))), population, protocol, held)


def _gaps(block: Block, prior: Distribution, spread_is_free: bool, protocol: dict[str, Any], rows: int) -> Gaps:
    """Ascend from q(z|x), keep where it ends if that is better, and set both against each other on the same draws."""
    model, x, keys = block
    of, draws, samples = family(model.posterior(x), spread_is_free), protocol["draws"], protocol["samples"]

    def noise(purpose: str, first: int, count: int) -> Tensor:
        return streams.normal(stream_of(keys, purpose), first, count, of.continuous.noise_size, x.dtype)

    def noises(purpose: str) -> Iterator[Tensor]:
        step = max(1, rows // len(x))
        return (noise(purpose, first, min(step, samples - first)) for first in range(0, samples, step))

    def all_terms(parameters: Parameters, purpose: str) -> Terms:
        parts = [terms(model, prior, x, of, parameters, part) for part in noises(purpose)]
        return Terms(*(torch.cat(part).double() for part in zip(*parts, strict=True)))

    start = of.start(x)
    end, path = ascended(
        lambda parameters, step: terms(
            model, prior, x, of, parameters, noise("ascent", step * draws, draws)
        ).bound.mean(0),
        start,
        protocol["steps"],
        protocol["learning_rate"],
    )
    if of.category is not None:
        logits = [best_logits(model, prior, x, of, end, part) for part in noises("category")]
        end = {**end, "logits": torch.cat(logits).mean(0)}
    better = all_terms(end, "selection").bound.mean(0) > all_terms(start, "selection").bound.mean(0)
    best = {name: torch.where(better.unsqueeze(-1), end[name], value) for name, value in start.items()}
    refined, amortised = all_terms(best, "evaluation"), all_terms(start, "evaluation").bound
    evidence = _evidence(model, x, refined.log_weight)
    tenth = max(1, len(path) // 10)
    return Gaps(
        approximation=evidence.value - refined.bound.mean(0),
        approximation_variance=(evidence.influence - refined.bound).var(0) / samples,
        amortisation=(refined.bound - amortised).mean(0),
        amortisation_variance=(refined.bound - amortised).var(0) / samples,
        effective=evidence.effective,
        refined=better.double(),
        last_rise=(path[-tenth:].mean(0) - path[-2 * tenth : -tenth].mean(0)).double(),
    )


def _evidence(model: LatentVariableModel, x: Tensor, log_weights: Tensor) -> Evidence:
    """The model's own ln p(x), or ln 1/K Σ_k w_k of draws from q*, in expectation below ln p(x)."""
    if hasattr(model, "log_prob"):
        unknown = torch.full((len(x),), math.nan, dtype=torch.float64, device=x.device)
        return Evidence(model.log_prob(x).double(), torch.zeros_like(log_weights), unknown)
    log_sum = log_weights.logsumexp(0)
    value = log_sum - math.log(len(log_weights))
    effective = torch.exp(2.0 * log_sum - (2.0 * log_weights).logsumexp(0))
    return Evidence(value, torch.exp(log_weights - value), effective)


def _by_summing(subject: Subject, images: Images, population: int) -> list[Answer]:
    """The best q of a category alone is p(c|x) itself, so all of the gap is KL(q(c|x) ‖ p(c|x))."""
    prior = subject.model.prior()
    if not isinstance(prior, OneHot):
        raise NotApplicable("q is a category, and p(z) is none")
    divergences = []
    for model, x, _ in subject.blocks(images, prior.noise_size):
        log_q = model.posterior(x).log_probs.double()  # type: ignore[attr-defined]
        log_posterior = log_joint_of_category(model, prior, x).log_softmax(0).mT
        divergences.append(torch.where(log_q.exp() > 0, log_q.exp() * (log_q - log_posterior), 0.0).sum(-1))
    amortisation = torch.cat(divergences)
    value, stderr = average(amortisation, torch.zeros_like(amortisation), population)
    note = f"exact: a sum over {prior.noise_size} categories"
    return [Answer(0.0, 0.0, part="approximation", note=note), Answer(value, stderr, part="amortisation", note=note)]


def _answers(gaps: Gaps, population: int, protocol: dict[str, Any], held: str) -> list[Answer]:
    samples = protocol["samples"]
    if bool(gaps.effective.isnan().any()):
        evidence = "ln p(x) is exact"
    else:
        few, images = int((gaps.effective < FEW_EFFECTIVE).sum()), len(gaps.effective)
        evidence = f"ln p(x) from below, by {samples} draws of q* of effective size {float(gaps.effective.mean()):.1f}"
        evidence += f", below {FEW_EFFECTIVE:.0f} on {few:,} of {images:,} images" if few > 0 else ""
    details = {"refined": float(gaps.refined.mean()), "last_rise": float(gaps.last_rise.mean())}
    approximation = average(gaps.approximation, gaps.approximation_variance, population)
    amortisation = average(gaps.amortisation, gaps.amortisation_variance, population)
    ascent = f"the last tenth of the ascent was worth {details['last_rise']:.2g} nats"
    return [
        Answer(*approximation, part="approximation", note="; ".join(filter(None, (evidence, held)))),
        Answer(*amortisation, part="amortisation", note="; ".join(filter(None, (ascent, held))), details=details),
    ]


def _has_one_spread(subject: Subject, images: Images) -> bool:
    """Whether one number is the σ of every image and latent: a constant of the family, not a finding of the encoder."""
    least, most = math.inf, -math.inf
    for model, x, _ in subject.blocks(images, 1):
        known = from_noise_form(code_parts(model.posterior(x))[0])
        if not isinstance(known, DiagonalNormal):
            return False
        least, most = min(least, float(known.stddev.min())), max(most, float(known.stddev.max()))
    return least == most


def _held(continuous: FromNoise, spread_is_free: bool) -> str:
    if isinstance(continuous, InverseAutoregressive):
        return "the steps of the flow are held, and q* is free before them"
    return "" if spread_is_free else "σ is a constant of this family, and q* is free in its mean"
