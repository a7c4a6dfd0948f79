"""Is p(x|z) a distribution of the pixels that a view shows? Asked of its draws and its log_prob, whatever its class.

On the counting views (binary, static-binary, threshold) it must be a probability of 0/1 pixels, on the others a
density (on `grey` also a mass on grey levels). What cannot be seen from here: a wrong constant where the pixels depend
on each other given z, where a density cannot be drawn from or its draws repeat, and one below CONSTANT a pixel.
"""

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import softplus

from vaebench.catalog.catalog import load_catalog

ROUNDING = 1e-3
"""Nats a pixel that float32 may lose."""
CONSTANT = 0.2
"""Nats a pixel by which a density's integral must differ from 1 to be seen: spacings of draws tell it that well."""
SPACING = 4
"""Draws between the two whose distance tells a density."""


def is_counting(view: str) -> bool:
    return load_catalog().views[view].measure == "counting"


def unfit_draws(drawn: Tensor, view: str) -> str | None:
    """Why these draws are not of the view's pixels; None: no reason seen. drawn: (draw, code, pixel)"""
    binary = bool(((drawn == 0) | (drawn == 1)).all())
    if is_counting(view) and not binary:
        value = float(drawn[(drawn != 0) & (drawn != 1)][0])
        return f"draws pixels such as {value:.3g}, and on the view {view} a pixel is 0 or 1: {ADVICE['counting']}"
    if not is_counting(view) and binary:
        return f"draws only 0 and 1, which on the view {view} is no density; {ADVICE['density']}"
    if view in ("dequantised", "real") and _is_mass(drawn):
        return f"draws the same values over and over, a mass on levels and on the view {view} no density"
    return None


def unfit_mean(mean: Tensor, view: str) -> str | None:
    """Why these means are not of the view's pixels; None: no reason seen. mean: (…, pixel)"""
    low, high = float(mean.min()), float(mean.max())
    outside = is_counting(view) and (low < -1e-6 or high > 1 + 1e-6)
    return f"must lie in [0, 1] on the view {view}, lies in [{low:.3g}, {high:.3g}]" if outside else None


def unfit_mass(p: Distribution, x: Tensor, drawn: Tensor | None, view: str) -> str | None:
    """Why p(x|z) is no probability or no density of the view's pixels; None: no reason seen.

    p: batch (code,); x: (code, pixel), images of the view; drawn: (draw, code, pixel), from p.
    """
    pixels = x.shape[-1]
    if not pixels_are_independent(p, x):
        above = is_counting(view) and bool((p.log_prob(x) > ROUNDING * pixels).any())
        return f"gives an image a probability above 1; {ADVICE['counting']}" if above else None
    if is_counting(view):
        log_mass = log_mass_of_binary(p, x) / pixels
        excess = float(log_mass[log_mass.abs().argmax()])
        wrong = f"the probabilities of 0 and 1 add up to e^{excess:+.2g} a pixel, not to 1; {ADVICE['counting']}"
        return wrong if abs(excess) > ROUNDING else None
    if drawn is None or _repeats(drawn):
        return None
    excess = float(log_integral(p, drawn).median()) / pixels
    wrong = f"its density, held against its own draws, integrates to e^{excess:+.2g} a pixel, not to 1"
    return wrong if abs(excess) > CONSTANT else None


ADVICE = {
    "counting": "p(x|z) must be a probability of 0/1 pixels, such as Independent(Bernoulli(logits=…), 1)",
    "density": "p(x|z) must be a density of grey pixels, such as Independent(Normal(…), 1)",
}


def pixels_are_independent(p: Distribution, x: Tensor) -> bool:
    """ln p(a) + ln p(b) = ln p(h) + ln p(g) for two images a, b and the hybrids h, g that swap half of their pixels.

    p: batch (code,); x: (code, pixel)
    """
    other = x.roll(1, 0)
    half = torch.arange(x.shape[-1], device=x.device)
    for mask in (half % 2 == 0, half < x.shape[-1] // 2):
        images = torch.stack([x, other, torch.where(mask, x, other), torch.where(mask, other, x)])
        log_density = p.log_prob(images).double()
        difference = (log_density[0] + log_density[1] - log_density[2] - log_density[3]).abs().max()
        if not difference <= ROUNDING * x.shape[-1] + 1e-5 * log_density.abs().max():
            return False
    return True


def log_mass_of_binary(p: Distribution, x: Tensor) -> Tensor:
    """ln Σ_{c ∈ {0,1}^D} p(c) = ln p(x) + Σ_d ln (1 + p(x with pixel d flipped)/p(x)), pixels independent; (code,)

    x: (code, pixel), 0 or 1
    """
    flips = torch.eye(x.shape[-1], dtype=torch.bool, device=x.device).unsqueeze(1)
    flipped = p.log_prob(torch.where(flips, 1 - x, x)).double()
    log_probability = p.log_prob(x).double()
    return log_probability + softplus(flipped - log_probability).sum(0)


def log_integral(p: Distribution, drawn: Tensor) -> Tensor:
    """ln ∫ p̃ dx = E[ln p̃(x)] + Σ_d H(x_d) over draws x ~ p̃/∫p̃, pixels independent; (code,)

    drawn: (draw, code, pixel)
    """
    return p.log_prob(drawn).double().mean(0) + spacing_entropy(drawn).sum(-1)


def spacing_entropy(drawn: Tensor) -> Tensor:
    """H = mean_i ln(x_(i+m) − x_(i)) + ψ(n + 1) − ψ(m) of n sorted draws (Vasicek 1976, unbiased where the density is
    even between m neighbours); drawn: (draw, …); (…)"""
    count = len(drawn)
    ordered = drawn.double().sort(0).values
    gaps = ordered[SPACING:] - ordered[:-SPACING]
    constant = torch.digamma(torch.tensor([count + 1.0, float(SPACING)], dtype=torch.float64))
    return gaps.log().mean(0) + float(constant[0] - constant[1])


def _repeats(drawn: Tensor) -> bool:
    """Whether SPACING draws and one more agree somewhere, so that a gap is 0; drawn: (draw, code, pixel)"""
    ordered = drawn.sort(0).values
    return len(drawn) <= SPACING or bool((ordered[SPACING:] == ordered[:-SPACING]).any())


def _is_mass(drawn: Tensor) -> bool:
    """Whether a tenth of the draws of every pixel were drawn before; drawn: (draw, code, pixel)"""
    ordered = drawn.sort(0).values
    return bool(((ordered[1:] == ordered[:-1]).double().mean(0) > 0.1).all())
