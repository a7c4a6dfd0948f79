"""How much of the code can be read off an image that is drawn from it: max_Q E[ln Q(z|x)] + H(z), x ~ p(x|z), on a
fixed model (Barber & Agakov 2003; Serdega 2019, eq. 4.7 and 4.8).

With H the entropy of the law that z is drawn from, the expression is I(x; z) − E KL(p(z|x) ‖ Q(z|x)), a lower bound for
every Q. The thesis draws z from the encoder and takes the entropy of the prior, that of another law: no bound.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.data import streams
from vaebench.metrics.aggregate import COSTLY_DRAWS, aggregate_of, is_at_cap
from vaebench.metrics.answer import Answer, NotApplicable
from vaebench.metrics.code_parts import code_parts
from vaebench.metrics.draws import draw, stream_of
from vaebench.metrics.fitted_mixture import categories_of
from vaebench.metrics.generation import by_part
from vaebench.metrics.reader import Lesson, Pairs, taught
from vaebench.metrics.subject import Images, Subject
from vaebench.store.record import AT_CAP


class Entropy(NamedTuple):
    """H(z), exactly or as a mean over draws of z."""

    terms: Tensor
    """−ln of the density at draws of z, (row,); () where H is known"""
    shared: Tensor | None = None
    """Which of the held-out draws these are; None where they are others."""
    note: str = ""


class Read(NamedTuple):
    """What Q has learned of the encoder's codes, and the held-out ones it was scored on."""

    lesson: Lesson
    z: Tensor
    """(row, latent)"""
    places: Tensor
    """Of their images in the split; (row,)"""


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer | NotApplicable]:
    return by_part(
        {
            ("generative",): lambda: generative(subject, protocol),
            ("encoder", "encoder_prior_entropy"): lambda: of_encoder(subject, protocol),
        }
    )


def generative(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """z ~ p(z): a bound on the information in the model's own joint law p(z) p(x|z)."""
    prior = subject.model.prior()
    teaching = _row_keys(subject, "teaching", protocol["seed"], protocol["batch"])
    held_out = _held_out_of_prior(subject, prior, protocol)
    lesson = taught(lambda step: prior_pairs(subject, prior, teaching, step), held_out, *_code(subject), protocol)
    entropy = entropy_of(prior, torch.cat([pairs.z for pairs in held_out]))
    return [bound(lesson, entropy, "generative")]


def of_encoder(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """z ~ q(z|x_i) and x' ~ p(x|z): with the entropy of the aggregate posterior a bound on I(z; x'); of a model that is
    given the label y, which Q sees, on I(z; (x', y))."""
    lesson, z, index = read_of_encoder(subject, protocol)
    entropy = entropy_of_aggregate(subject, protocol, z, index.to(z.device))
    return [bound(lesson, entropy, "encoder"), at_the_priors_entropy(subject, protocol, subject.model.prior(), lesson)]


def read_of_encoder(subject: Subject, protocol: dict[str, Any], first: int = 0) -> Read:
    """How well Q reads z ~ q(z|x_i), its latents from `first` on, off x' ~ p(x|z).

    Q learns from training images, a batch after the other in an order that their content decides, and is scored on the
    protocol's split.
    """
    split, seed = protocol["split"], protocol["seed"]
    _refuse_points(subject, split)
    images = subject.split("train", subject.index({**protocol, "split": "train"}))
    keys = streams.image_keys(images.x, "mi_lower_bound", "teaching", seed)
    order, batch = keys.argsort(), torch.arange(protocol["batch"], device=keys.device)

    def pairs_at(step: int) -> Pairs:
        rows = order[(step * len(batch) + batch) % len(order)]
        return since(first, encoder_pairs(subject, images[rows], keys[rows], step))

    index = subject.index({**protocol, "images": protocol["draws"]})
    held_out = [
        since(first, encoder_pairs(subject, block, streams.image_keys(block.x, "mi_lower_bound", "held out", seed), 0))
        for block in subject.split(split, index).split(subject.rows)
    ]
    lesson = taught(pairs_at, held_out, *_code(subject), protocol)
    return Read(lesson, torch.cat([pairs.z for pairs in held_out]), index)


def at_the_priors_entropy(subject: Subject, protocol: dict[str, Any], prior: Distribution, lesson: Lesson) -> Answer:
    """E[ln Q(z|x)] + H(p(z)) though z is drawn from the encoder; p(z) of those latents that Q reads."""
    others = draw(prior, _row_keys(subject, "prior", protocol["seed"], protocol["draws"]), 0, 1)[0]
    return bound(lesson, entropy_of(prior, others)._replace(shared=None), "encoder_prior_entropy")


def bound(lesson: Lesson, entropy: Entropy, part: str) -> Answer:
    """1/n Σ ln Q(z|x) + 1/m Σ −ln p(z), with the standard error over the draws; they are m of the n, or others:

    se² = s²(ln Q)/n + s²(−ln p)/m + 2 cov(ln Q, −ln p)/n, without the last where they are others.
    """
    log_q, (terms, shared, note) = lesson.log_prob[-1], entropy
    values = lesson.log_prob.mean(-1) + terms.mean()
    squared = float(log_q.var()) / len(log_q)
    if terms.dim() > 0:
        squared += float(terms.var()) / len(terms)
    if shared is not None:
        squared += 2.0 * float(torch.stack([log_q[shared], terms]).cov()[0, 1]) / len(log_q)
    stderr = math.sqrt(max(squared, 0.0))
    moved = float(values[-1] - values[-2])
    unfinished = f"Q has not converged: the last quarter of its steps moved the number by {moved:+.2g}"
    notes = (note, unfinished if abs(moved) > stderr else "")
    details = {"after_steps": lesson.steps, "held_out": values.tolist()}
    return Answer(float(values[-1]), stderr, part, "; ".join(filter(None, notes)), details)


def prior_pairs(subject: Subject, prior: Distribution, keys: Tensor, step: int) -> Pairs:
    """z ~ p(z) and x ~ p(x|z), for each key; labels as often as the training images have them."""
    z = draw(prior, stream_of(keys, "code"), step, 1)[0]
    y = subject.source.labels("train") if subject.conditional else None
    if y is not None:
        u = streams.uniform(stream_of(keys, "label"), step, 1, 1, torch.float64)[0, :, 0]
        y = y.to(keys.device)[(u * len(y)).long()]
    return _decoded(subject, z, y, keys, step)


def encoder_pairs(subject: Subject, images: Images, keys: Tensor, step: int) -> Pairs:
    """z ~ q(z|x_i) and x' ~ p(x|z)"""
    z = draw(subject.given(images.y).posterior(images.x), stream_of(keys, "code"), step, 1)[0]
    return _decoded(subject, z, images.y if subject.conditional else None, keys, step)


def since(first: int, pairs: Pairs) -> Pairs:
    """Without the latents before `first`."""
    return pairs._replace(z=pairs.z[:, first:])


def _decoded(subject: Subject, z: Tensor, y: Tensor | None, keys: Tensor, step: int) -> Pairs:
    return Pairs(z, draw(subject.given(y).likelihood(z), stream_of(keys, "pixels"), step, 1)[0], y)


def entropy_of(prior: Distribution, z: Tensor) -> Entropy:
    """In closed form where there is one, else by −ln p(z) at draws z of the prior; z: (row, latent)"""
    latents, category = code_parts(prior)
    try:
        entropy = latents.entropy()
    except NotImplementedError:
        return Entropy(-prior.log_prob(z).double(), torch.arange(len(z), device=z.device))
    return Entropy((entropy if category is None else entropy + category.entropy()).double())


def entropy_of_aggregate(subject: Subject, protocol: dict[str, Any], z: Tensor, index: Tensor) -> Entropy:
    """−ln q(z) at draws z_i ~ q(z|x_i), q(z) the mixture over the whole split; of a category alone exactly.

    z: (row, latent); index: the images' places in the split, (row,).
    """
    split = protocol["split"]
    aggregate = aggregate_of(subject, subject.split(split))
    if aggregate.entropy_of_category is not None:
        return Entropy(torch.tensor(aggregate.entropy_of_category, dtype=torch.float64, device=z.device))
    shared = torch.arange(len(z), device=z.device)
    if aggregate.costly:
        few = subject.index({**protocol, "images": min(COSTLY_DRAWS, len(z))}).to(z.device)
        shared = torch.searchsorted(index, few)
    own, joint = aggregate.log_densities(z[shared, : aggregate.latents], index[shared])
    note = f"H from {len(shared)} draws" if aggregate.costly else ""
    if is_at_cap(float((own - joint).mean()), aggregate.count):
        mark = (
            f"{AT_CAP}: a mixture over {aggregate.count} images has ln {aggregate.count} more entropy than one of them"
        )
        note = "; ".join(filter(None, (f"{mark} at most, so the bound is loose", note)))
    return Entropy(-joint, shared, note)


def _held_out_of_prior(subject: Subject, prior: Distribution, protocol: dict[str, Any]) -> list[Pairs]:
    keys = _row_keys(subject, "held out", protocol["seed"], protocol["draws"])
    return [prior_pairs(subject, prior, block, 0) for block in keys.split(subject.rows)]


def _row_keys(subject: Subject, purpose: str, seed: int, rows: int) -> Tensor:
    return streams.keys((("mi_lower_bound", purpose, seed, row) for row in range(rows)), subject.source.device)


def _code(subject: Subject) -> tuple[int, int]:
    """(how many of the last latents are the values of a category, how many labels the model is given)"""
    first = subject.split("train", torch.zeros(1, dtype=torch.long))
    categories = categories_of(subject.given(first.y).posterior(first.x))
    return categories, subject.source.dataset.classes if subject.conditional else 0


def _refuse_points(subject: Subject, split: str) -> None:
    """Codes without a density have an aggregate without one."""
    first = subject.split(split, torch.zeros(1, dtype=torch.long))
    q = subject.given(first.y).posterior(first.x)
    q.log_prob(draw(q, torch.zeros(1, dtype=torch.long, device=first.x.device), 0, 1))
