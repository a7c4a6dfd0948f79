"""Images that a model generates: z from its prior, then the mean of p(x|z) and a draw from it."""

from typing import NamedTuple

import torch
from torch import Tensor

from vaebench.data import streams
from vaebench.metrics.draws import draw
from vaebench.metrics.subject import Subject


class Generated(NamedTuple):
    """The same z behind a row's mean and its draw."""

    z: Tensor
    """(image, latent)"""
    mean: Tensor
    """E[x|z]; (image, pixel)"""
    draw: Tensor
    """x ~ p(x|z); (image, pixel)"""
    y: Tensor | None
    """What a conditional model was asked for, labels in the proportions of the training split; (image,)"""


def generated(subject: Subject, count: int, seed: int) -> Generated:
    """Rows 0 … count − 1 of the model's samples: a row is the same however many are asked for."""
    rows = torch.arange(count)
    return decoded(subject, prior_draws(subject, rows.tolist(), seed), asked_labels(subject, rows.tolist(), seed), seed)


def decoded(subject: Subject, z: Tensor, y: Tensor | None, seed: int) -> Generated:
    """Means and draws at given codes and labels."""
    means, draws = [], []
    for rows in torch.arange(len(z)).split(subject.rows):
        p = subject.given(None if y is None else y[rows]).likelihood(z[rows])
        keys = streams.keys((("generated x", seed, row) for row in rows.tolist()), subject.source.device)
        means.append(p.mean)
        draws.append(draw(p, keys, 0, 1)[0])
    return Generated(z, torch.cat(means), torch.cat(draws), y)


def prior_draws(subject: Subject, rows: list[int], seed: int) -> Tensor:
    """The `rows`-th codes from the prior; (image, latent)"""
    keys = streams.keys((("generated z", seed, row) for row in rows), subject.source.device)
    return draw(subject.model.prior(), keys, 0, 1)[0]


def asked_labels(subject: Subject, rows: list[int], seed: int) -> Tensor | None:
    """The `rows`-th labels, each that of a training image drawn at random; None for a model that asks for none."""
    known = subject.source.labels("train") if subject.conditional else None
    if known is None:
        return None
    keys = streams.keys(("generated y", seed, row) for row in rows)
    u = streams.uniform(keys, 0, 1, 1, torch.float64)[0, :, 0]
    return known[(u * len(known)).long()].to(subject.source.device)
