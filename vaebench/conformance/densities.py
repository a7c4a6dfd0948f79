"""Trials of densities and masses: that they are some, that draws follow them, that divergences and bins are theirs."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from vaebench.conformance.finding import Breach, NotAsked
from vaebench.conformance.quadrature import EVERYWHERE, grid, panels, plane
from vaebench.conformance.trial import Trial, trials
from vaebench.data import streams
from vaebench.data.dataset import Shape
from vaebench.data.views import bins
from vaebench.metrics.draws import draw
from vaebench.metrics.fitness import is_counting
from vaebench.models.composition import Composition
from vaebench.models.likelihoods.bins import log_bin_mass
from vaebench.models.mixed import GaussianAndOneHot, OneHot
from vaebench.models.point import NoDensity, Point

ROUNDING = 1e-3
"""Relative error of an integral that its quadrature may have."""
CODES = 2
NODES_AT_ONCE = 1 << 13
LOUD = (1.0, 4.0, 16.0)
"""Factors on the head's parameters, so that its numbers lie far apart, as a trained one's do."""
HEADS = 4
MOST_DRAWS = 20_000
ERRORS = 6.0
"""Standard errors that a mean of draws may be off."""
UNIT = (0.0, 1.0)
NODES = 64
"""Of a bin of grey level."""


def likelihood_normalisation(trial: Trial) -> None:
    """Σ p(x|z) = 1 over {0, 1}³ or all grey levels, ∫ p(x|z) dx = 1 over the plane, for images of few pixels."""
    for seen in trials(trial.part):
        view, levels = seen.cell.view, seen.source.dataset.levels
        if is_counting(view) or trial.part.measure == "levels":
            values = torch.tensor([0.0, 1.0]) if is_counting(view) else torch.arange(levels or 0) / ((levels or 0) - 1)
            pixels = 3 if is_counting(view) else 2
            p = _decoded(seen, pixels)
            log_mass = p.log_prob(grid(values.double(), pixels).unsqueeze(1)).logsumexp(0)
            _is_one(log_mass, f"the probabilities of all images on the view {view}", "add up")
        else:
            p, what = _decoded(seen, 2), f"the density on the view {view}"
            _is_one(_log_integral(p, _support(p, view)), what, "integrate")


def posterior_normalisation(trial: Trial) -> None:
    """∫ q(z|x) dz = 1 over the plane, for two latents."""
    _is_one(_log_integral(_encoded(trial)), "q(z|x)", "integrate")


def prior_normalisation(trial: Trial) -> None:
    """∫ p(z) dz = 1 over the plane, for two latents."""
    _is_one(_log_integral(_prior(trial)), "p(z)", "integrate")


def likelihood_draws(trial: Trial) -> None:
    """Draws of images of two pixels follow p(x|z)."""
    for seen in trials(trial.part):
        if not is_counting(seen.cell.view) and trial.part.measure != "levels":
            p = _decoded(seen, 2)
            within = _support(p, seen.cell.view)
            _draws_follow(p, "likelihood(z)", lambda p, count: draw(p, _keys(CODES), 0, count), within)


def posterior_draws(trial: Trial) -> None:
    """q.from_noise of standard normals follows q(z|x)."""

    def drawn(q: Any, count: int) -> Tensor:
        noise: Tensor = q.from_noise(streams.normal(_keys(CODES), 0, count, q.noise_size, torch.float64))
        return noise

    _draws_follow(_encoded(trial), "posterior(x)", drawn)


def prior_draws(trial: Trial) -> None:
    """Draws of codes follow p(z)."""
    _draws_follow(_prior(trial), "prior()", lambda p, count: draw(p, _keys(CODES), 0, count))


def divergence(trial: Trial) -> None:
    """The closed form of KL(q(z|x) ‖ p(z)) is ∫ q ln q/p dz."""
    if "kl-monte-carlo" in trial.part.checks:
        raise NotAsked("it says that it has no closed form")
    model = trial.on_a_plane()
    with torch.no_grad():
        q, p = model.posterior(trial.x[:CODES]), model.prior()
        _refuse_masses(q)
        try:
            closed = kl_divergence(q, p)
        except NotImplementedError as error:
            expected = "a closed form of KL(q ‖ p), by torch.distributions.kl.register_kl, or analytic_kl=False"
            raise Breach(expected, f"none for {type(q).__name__} and {type(p).__name__}") from error
        for number, (z, log_weight) in enumerate(_planes(q)):
            log_q, log_p = _log_density(q, z, number), p.log_prob(z)
            inside = log_q > -700.0
            terms = (log_q + log_weight).exp() * torch.where(inside, log_q - log_p, 0.0)
            integral, value = float(terms.sum()), float(closed[number])
            if not math.isclose(integral, value, rel_tol=5 * ROUNDING, abs_tol=5 * ROUNDING):
                raise Breach(f"kl_divergence(q, p) of {integral:.6g}, as ∫ q ln q/p dz by quadrature", f"{value:.6g}")


def bin_masses(trial: Trial) -> None:
    """The masses of a pixel's bins of grey level add up to 1, and each is the density's integral, also far out."""
    asked = [seen for seen in trials(trial.part) if seen.cell.view in ("grey", "dequantised")]
    if not asked or trial.part.measure == "levels":
        raise NotAsked("it is no density of grey pixels")
    for seen in asked:
        levels, view = seen.source.dataset.levels or 0, seen.cell.view
        x = (torch.arange(levels) / (levels - 1) if view == "grey" else (torch.arange(levels) + 0.5) / levels).double()
        lower, upper = bins(x, levels, view)
        for factor, seed in itertools.product(LOUD, range(HEADS)):
            model = seen.of_shape(Shape(1, None, levels, seen.source.dataset.classes), seed=seed)
            with torch.no_grad():
                for parameter in model.likelihood_head.parameters():
                    parameter *= factor
                log_mass = _log_masses(model, lower, upper)
                p = model.double().likelihood(_codes(16))
                _bins_add_up(log_mass, view)
                _bins_are_integrals(p, log_mass, lower, upper, view)


def _log_masses(model: Composition, lower: Tensor, upper: Tensor) -> Tensor:
    """In float32, as evaluators ask; lower, upper: (level,); (level, code)"""
    edges = (edge.float()[:, None, None] for edge in (lower, upper))
    try:
        return log_bin_mass(model.float().likelihood(_codes(16).float()), *edges).double()
    except NoDensity as reason:
        raise NotAsked(str(reason)) from reason
    except NotImplementedError as error:
        raise NotAsked("it has no distribution function, so bits_per_dim has no number") from error
    except ArithmeticError as error:
        raise Breach("the mass of every bin in float32", str(error)) from error


def _bins_add_up(log_mass: Tensor, view: str) -> None:
    """log_mass: (level, code)"""
    total = log_mass.logsumexp(0)
    worst = float(total[total.abs().argmax()].exp())
    if not abs(worst - 1.0) <= ROUNDING:
        raise Breach(f"the masses of all bins of a pixel on the view {view} to add up to 1", f"{worst:.6g}")


def _bins_are_integrals(p: Distribution, log_mass: Tensor, lower: Tensor, upper: Tensor, view: str) -> None:
    """log_mass: (level, code); lower, upper: (level,), the outer ones open"""
    for level in range(1, len(lower) - 1):
        ends = np.linspace(float(lower[level]), float(upper[level]), 9)
        fine, coarse = (_log_integral_over(p, ends, count) for count in (NODES, NODES // 2))
        known = (fine - coarse).abs() < ROUNDING
        off = (log_mass[level] - fine).abs() > 0.02 + ROUNDING * fine.abs()
        if bool((known & off).any()):
            code = int((known & off).nonzero()[0])
            expected = f"the mass of a bin on the view {view} to be e^{float(fine[code]):.4g}, the density's integral"
            advice = "register vaebench.models.likelihoods.bins.log_mass for the pixel's distribution"
            raise Breach(expected, f"e^{float(log_mass[level, code]):.4g} in float32; {advice}")


def _log_integral_over(p: Distribution, ends: np.ndarray, count: int) -> Tensor:
    """(code,)"""
    nodes, log_weight = panels(ends, count)
    log_p = p.log_prob(nodes[:, None, None])
    return (log_p + log_weight.unsqueeze(1)).logsumexp(0)


def _is_one(log_integral: Tensor, what: str, verb: str) -> None:
    worst = float(log_integral[log_integral.abs().argmax()].exp())
    if not abs(worst - 1.0) <= 10 * ROUNDING:
        raise Breach(f"{what} to {verb} to 1", f"{worst:.6g}")


def _draws_follow(
    p: Distribution, called: str, drawn: Callable[[Any, int], Tensor], within: tuple[float, float] = EVERYWHERE
) -> None:
    """Means of tanh((x − c)/s) and of its square, which exist for every density, over draws and by quadrature."""
    _refuse_masses(p)
    with torch.no_grad():
        try:
            draws = drawn(p, MOST_DRAWS).double()
        except NotImplementedError as error:
            raise NotAsked(f"{called} cannot be drawn from") from error
        centre = draws.median(0).values
        spread = (draws - centre).abs().median(0).values.clamp_min(1e-6)
        for number, (x, log_weight) in enumerate(_planes(p, within)):
            weight = (_log_density(p, x, number) + log_weight).exp()
            for power in (1, 2):
                by_density = (weight.unsqueeze(1) * _bounded(x, centre[number], spread[number]) ** power).sum(0)
                values = _bounded(draws[:, number], centre[number], spread[number]) ** power
                standard_error = values.std(0) / math.sqrt(len(values))
                off = (values.mean(0) - by_density).abs() > ERRORS * standard_error + ROUNDING
                if bool(off.any()):
                    place = int(off.nonzero()[0])
                    what = f"draws of {called} to follow its log_prob: E[tanh^{power}((x − c)/s)] = "
                    raise Breach(f"{what}{float(by_density[place]):.4f}", f"{float(values.mean(0)[place]):.4f}")


def _bounded(x: Tensor, centre: Tensor, spread: Tensor) -> Tensor:
    return torch.tanh((x - centre) / spread)


def _support(p: Distribution, view: str) -> tuple[float, float]:
    """Where p is a density: [0, 1] for one of pixels that it knows to lie there, whatever it says elsewhere."""
    inside = float(_log_integral(p, UNIT).abs().max()) if view in ("grey", "dequantised") else math.inf
    return UNIT if inside < math.log1p(10 * ROUNDING) else EVERYWHERE


def _log_integral(p: Distribution, within: tuple[float, float] = EVERYWHERE) -> Tensor:
    """ln ∫ p over the plane; (code,), or (1,) for a distribution without a batch"""
    _refuse_masses(p)
    with torch.no_grad():
        found = [
            (_log_density(p, x, number) + log_weight).logsumexp(0)
            for number, (x, log_weight) in enumerate(_planes(p, within))
        ]
    return torch.stack(found)


def _log_density(p: Distribution, x: Tensor, number: int) -> Tensor:
    """ln p of the batch's element; (node,)"""
    if not p.batch_shape:
        return torch.cat([p.log_prob(some) for some in x.split(NODES_AT_ONCE)])
    return torch.cat([p.log_prob(some.unsqueeze(1))[:, number] for some in x.split(NODES_AT_ONCE)])


def _planes(p: Distribution, within: tuple[float, float] = EVERYWHERE) -> Iterator[tuple[Tensor, Tensor]]:
    """Nodes and weights about the middle of each element of the batch."""
    try:
        middle = draw(p, _keys(CODES), 0, 301).median(0).values
    except NotImplementedError:
        middle = p.mean.expand(CODES, -1)
    for centre in middle if p.batch_shape else middle[:1]:
        yield plane(centre.double(), within)


def _refuse_masses(p: Distribution) -> None:
    if isinstance(p, Point | OneHot | GaussianAndOneHot):
        raise NotAsked("it is no density")


def _decoded(trial: Trial, pixels: int) -> Distribution:
    """p(x|z) of images of few pixels for a few codes; batch (code,)"""
    dataset = trial.source.dataset
    model = trial.of_shape(Shape(pixels, None, dataset.levels, dataset.classes))
    with torch.no_grad():
        return model.likelihood(2.0 * _codes(CODES))


def _encoded(trial: Trial) -> Distribution:
    """q(z|x) with two latents for a few images; batch (code,)"""
    model = trial.on_a_plane()
    with torch.no_grad():
        q: Any = model.posterior(trial.x[:CODES])
    return q


def _prior(trial: Trial) -> Distribution:
    """p(z) with two latents."""
    with torch.no_grad():
        return trial.on_a_plane().prior()


def _codes(count: int) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _keys(count: int) -> Tensor:
    return streams.keys(("conformance", number) for number in range(count))
