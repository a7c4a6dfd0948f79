"""Decoder means along walks through the space of codes: one latent, two latents, every category, a 2-D manifold."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from vaebench.metrics.categories import category_probabilities
from vaebench.metrics.kl import kl_parts
from vaebench.metrics.subject import Images, Subject
from vaebench.models.mixed import category_of
from vaebench.models.point import NoDensity, Point

REACH, FAR = 3.0, 5.0
"""How far every latent is walked, and how far those that an objective singles out (Serdega 2019, fig 4.4)."""
STEPS, FAR_STEPS, PLANE, MANIFOLD, LABELLED = 9, 11, 7, 15, 11
"""Values of a latent along a walk, a far one, each side of a plane, of a manifold, and of one for each label shown."""
ASKED = (4, 9)
"""Labels under which a manifold is shown (Beaulac 2019, figs 1, 7 and 12: a four, figs 9 to 11: a nine)."""
LATENTS = 10
"""That are walked along at most."""
MOST_CATEGORIES, MOST_COMPONENTS = 20, 64
"""That are decoded beside Gaussian latents, and alone."""
IMAGES = 10
"""Whose category is changed, if there are no labels to choose one of each by."""


class Territory(NamedTuple):
    """The codes among which one walks: the Gaussian latents, and behind them a category or nothing."""

    base: Tensor
    """The code at which a walk starts, that of the first image; (latent,)"""
    gaussian: int
    """Number of latents that are no category."""
    centre: Tensor
    scale: Tensor
    """Where a latent is 0 and how long a step of 1 is; (gaussian,)"""
    importance: Tensor
    """By which latents are ranked; (gaussian,)"""


def walks(subject: Subject, images: Images, codes: Tensor, chosen: Sequence[int] = ()) -> dict[str, Tensor]:
    """Every walk that the model's codes allow, as arrays by name; codes: (image, latent), those of the images.

    `categories` says how many of the latents, the last ones, are a category; `latent_kl` what each latent carries.
    Along a latent z goes from −3 to 3, the other latents staying what the first image's code has. Codes that no
    prior holds near N(0, I) in training, those of a `Point`, are walked in their own standard deviations.
    """
    q = subject.given(images[:1].y).posterior(images.x[:1])
    category = category_of(q)
    categories = 0 if category is None else category.noise_size
    gaussian = codes.shape[-1] - categories
    by_latent = _kl_by_latent(subject, images)
    found = {"categories": torch.tensor(categories)} | ({} if by_latent is None else {"latent_kl": by_latent})
    y = None if images.y is None else images.y[:1]
    if gaussian:
        importance = None if by_latent is None else by_latent[:gaussian]
        land = _territory(codes, gaussian, isinstance(q, Point), importance)
        found |= _traversals(subject, y, land, chosen)
        if chosen:
            found |= {"far_walks": _far_walks(subject, y, land, chosen), "far_original": images.x[0]}
        if gaussian == 2:
            found |= _manifold(subject, land)
        elif gaussian > 2:
            found |= _planes(subject, y, land, chosen)
    return found if not categories else {**found, **_categories(subject, images, codes, gaussian)}


def _territory(codes: Tensor, gaussian: int, own_scale: bool, importance: Tensor | None) -> Territory:
    """Latents whose KL is unknown are ranked by the variance of their codes."""
    spread, centre = torch.var_mean(codes[:, :gaussian].double(), 0)
    return Territory(
        base=_with_certain_category(codes[:1], codes.shape[-1] - gaussian)[0],
        gaussian=gaussian,
        centre=(centre if own_scale else torch.zeros_like(centre)).to(codes.dtype),
        scale=(spread.sqrt() if own_scale else torch.ones_like(spread)).to(codes.dtype),
        importance=spread if importance is None else importance,
    )


def code_counts(subject: Subject, images: Images) -> Tensor | None:
    """How many images of each class have each most probable category; None without either; (category, class)"""
    category = category_of(subject.given(images[:1].y).posterior(images.x[:1]))
    if images.y is None or category is None:
        return None
    codes, classes = category_probabilities(subject, images).argmax(-1), subject.source.dataset.classes
    pairs = torch.bincount(codes * classes + images.y, minlength=category.noise_size * classes)
    return pairs.reshape(category.noise_size, classes)


def _kl_by_latent(subject: Subject, images: Images) -> Tensor | None:
    """Mean over images of each latent's KL, a category being the last; None where q or p do not factorise; (latent,)"""
    total = None
    try:
        prior = subject.model.prior()
        for block in subject.blocks(images, 1):
            parts = kl_parts(block.model.posterior(block.x), prior)
            if parts is None:
                return None
            total = parts.double().sum(0) + (0 if total is None else total)
    except NoDensity:
        return None
    return None if total is None else total / len(images)


def _traversals(subject: Subject, y: Tensor | None, land: Territory, chosen: Sequence[int]) -> dict[str, Tensor]:
    """Rows along the chosen latents, then along those of largest KL; (latent, step, pixel)"""
    latents = _ranked(land, chosen)[:LATENTS]
    steps = torch.linspace(-REACH, REACH, STEPS, dtype=land.base.dtype, device=land.base.device)
    values = land.centre[latents, None] + land.scale[latents, None] * steps
    codes = land.base.repeat(len(latents), STEPS, 1)
    for row, latent in enumerate(latents):
        codes[row, :, latent] = values[row]
    return {
        "traversals": _decoded(subject, codes, y),
        "traversal_latents": torch.tensor(latents),
        "traversal_values": values,
    }


def _far_walks(subject: Subject, y: Tensor | None, land: Territory, chosen: Sequence[int]) -> Tensor:
    """Each chosen latent from −5 to 5; (latent, step, pixel)"""
    steps = torch.linspace(-FAR, FAR, FAR_STEPS, dtype=land.base.dtype, device=land.base.device)
    codes = land.base.repeat(len(chosen), FAR_STEPS, 1)
    for row, latent in enumerate(chosen):
        codes[row, :, latent] = land.centre[latent] + land.scale[latent] * steps
    return _decoded(subject, codes, y)


def _planes(subject: Subject, y: Tensor | None, land: Territory, chosen: Sequence[int]) -> dict[str, Tensor]:
    """Two latents at once: the chosen two or those of largest KL, then the two of least; (pair, row, column, pixel)

    The first latent of a pair goes along the rows (Serdega 2019, fig 4.3).
    """
    ranked = _ranked(land, chosen)
    pairs = [ranked[:2], ranked[-2:]] if land.gaussian > 3 else [ranked[:2]]
    steps = torch.linspace(-REACH, REACH, PLANE, dtype=land.base.dtype, device=land.base.device)
    grids = []
    for first, second in pairs:
        codes = land.base.repeat(PLANE, PLANE, 1)
        codes[:, :, first] = (land.centre[first] + land.scale[first] * steps)[:, None]
        codes[:, :, second] = land.centre[second] + land.scale[second] * steps
        grids.append(_decoded(subject, codes, y))
    return {"planes": torch.stack(grids), "plane_latents": torch.tensor(pairs)}


def _manifold(subject: Subject, land: Territory) -> dict[str, Tensor]:
    """z_0 along the columns, z_1 up the rows, at the (i + ½)/n-quantiles of a normal; (row, column, pixel), and of a
    model that is given labels one for each label shown, (label, row, column, pixel)"""
    side = LABELLED if subject.conditional else MANIFOLD
    shares = (torch.arange(side, dtype=land.base.dtype, device=land.base.device) + 0.5) / side
    quantiles = land.centre[:, None] + land.scale[:, None] * torch.special.ndtri(shares)
    codes = land.base.repeat(side, side, 1)
    codes[:, :, 0] = quantiles[0]
    codes[:, :, 1] = quantiles[1].flip(0)[:, None]
    if not subject.conditional:
        return {"manifold": _decoded(subject, codes, None), "manifold_values": quantiles}
    labels = torch.tensor([label for label in ASKED if label < subject.source.dataset.classes] or [0])
    grids = _decoded(subject, codes.expand(len(labels), *codes.shape), labels.to(codes.device))
    return {"manifold": grids, "manifold_values": quantiles, "manifold_labels": labels}


def _categories(subject: Subject, images: Images, codes: Tensor, gaussian: int) -> dict[str, Tensor]:
    """Images decoded with every category in place of their own (Serdega 2019, fig 4.5); (image, category, pixel)

    Where there is nothing but a category, one row holds what each stands for.
    """
    count = codes.shape[-1] - gaussian
    if count > (MOST_CATEGORIES if gaussian else MOST_COMPONENTS):
        return {}
    rows = _one_of_each_class(images) if gaussian else torch.zeros(1, dtype=torch.long, device=codes.device)
    wanted = torch.eye(count, dtype=codes.dtype, device=codes.device).expand(len(rows), -1, -1)
    kept = codes[rows, None, :gaussian].expand(-1, count, -1)
    means = _decoded(subject, torch.cat([kept, wanted], dim=-1), None if images.y is None else images.y[rows])
    return {"category_means": means, **({"category_originals": images.x[rows]} if gaussian else {})}


def _decoded(subject: Subject, codes: Tensor, y: Tensor | None) -> Tensor:
    """E[x|z]; codes: (image, …, latent), y: one label for each image or one for all → (image, …, pixel)"""
    flat = codes.flatten(0, -2)
    labels = None if y is None or not subject.conditional else y.repeat_interleave(len(flat) // len(y))
    parts = [
        subject.given(None if labels is None else labels[rows]).likelihood(flat[rows]).mean
        for rows in torch.arange(len(flat), device=flat.device).split(subject.rows)
    ]
    return torch.cat(parts).unflatten(0, codes.shape[:-1])


def _ranked(land: Territory, chosen: Sequence[int]) -> list[int]:
    """The chosen latents, then the others, the most important first."""
    order = torch.argsort(land.importance, descending=True, stable=True).tolist()
    return [*chosen, *(latent for latent in order if latent not in chosen)]


def _with_certain_category(codes: Tensor, categories: int) -> Tensor:
    """The codes with their most probable category as one-hot; (image, latent)"""
    if not categories:
        return codes
    certain = one_hot(codes[:, -categories:].argmax(-1), categories).to(codes.dtype)
    return torch.cat([codes[:, :-categories], certain], dim=-1)


def _one_of_each_class(images: Images) -> Tensor:
    """The first image of each class, or simply the first ones; (image,)"""
    if images.y is None:
        return torch.arange(min(IMAGES, len(images)), device=images.x.device)
    first = [int((images.y == label).nonzero()[0, 0]) for label in images.y.unique().tolist()]
    return torch.tensor(first[:IMAGES], device=images.x.device)
