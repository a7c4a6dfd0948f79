"""Images that a model generates: codes from its prior, from another law, or around images; then the mean of p(x|z) and
a draw from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.data import streams
from vaebench.metrics.answer import Answer, NotApplicable, told_numbers
from vaebench.metrics.draws import draw
from vaebench.metrics.fitted_mixture import categories_of, fitted_mixture
from vaebench.metrics.subject import Subject
from vaebench.models.distributions import DiagonalNormal
from vaebench.models.mixed import GaussianAndOneHot, OneHot
from vaebench.models.point import NoDensity, Point


@dataclass(frozen=True)
class Generated:
    """The same z behind a row's mean and its draw."""

    z: Tensor
    """(image, latent)"""
    known_mean: Tensor | None
    """E[x|z]; (image, pixel); None where the decoder's distribution has none"""
    y: Tensor | None
    """What a conditional model was asked for; (image,)"""
    drawn: Tensor | None
    """x ~ p(x|z), (image, pixel); None where the decoder gives a point"""

    @property
    def mean(self) -> Tensor:
        if self.known_mean is None:
            raise NotApplicable("the decoder's distribution has no mean")
        return self.known_mean

    @property
    def draw(self) -> Tensor:
        if self.drawn is None:
            raise NoDensity("the decoder gives a point, which leaves nothing to draw")
        return self.drawn


def generated(
    subject: Subject, count: int, seed: int, prior: str = "own", around: str = "prior", split: str = "test"
) -> Generated:
    """Rows 0 … count − 1 of the model's samples: a row is the same however many are asked for.

    `prior` is where codes come from; with `around` x they come from q(z|x) of images of the split, and a conditional
    model is asked for these images' labels in place of labels in the proportions of the training split.
    """
    rows = torch.arange(count)
    if around == "x":
        z, y = codes_around(subject, rows, seed, split)
    else:
        z, y = prior_draws(subject, rows.tolist(), seed, prior), asked_labels(subject, rows.tolist(), seed)
    return decoded(subject, z, y, seed)


def generated_for(subject: Subject, protocol: dict[str, Any], count: int | None = None) -> Generated:
    """As many as the protocol asks for, or `count`, in the way that it says."""
    samples = generated(
        subject,
        protocol["images"] if count is None else count,
        protocol["seed"],
        protocol.get("generation_prior", "own"),
        protocol.get("generation_around", "prior"),
        protocol["split"],
    )
    for values, what in ((samples.z, "z"), (samples.known_mean, "E[x|z]"), (samples.drawn, "x ~ p(x|z)")):
        if values is not None:
            told_numbers(values, what)
    return samples


def decoded(subject: Subject, z: Tensor, y: Tensor | None, seed: int) -> Generated:
    """Means and draws at given codes and labels."""
    means, draws = [], []
    for rows in torch.arange(len(z)).split(subject.rows):
        p = subject.given(None if y is None else y[rows]).likelihood(z[rows])
        mean = mean_of(p)
        if mean is not None:
            means.append(mean)
        if not isinstance(p, Point):
            draws.append(draw(p, _keys(subject, "generated x", seed, rows.tolist()), 0, 1)[0])
    return Generated(z, torch.cat(means) if means else None, y, torch.cat(draws) if draws else None)


def mean_of(p: Distribution) -> Tensor | None:
    """E[x|z]; (…, pixel); None where the distribution has none"""
    try:
        return p.mean
    except NotImplementedError:
        return None


def prior_draws(subject: Subject, rows: list[int], seed: int, prior: str = "own") -> Tensor:
    """The `rows`-th codes from the law that `prior` names; (image, latent)"""
    return draw(subject.once(PRIORS[prior]), _keys(subject, "generated z", seed, rows), 0, 1)[0]


def asked_labels(subject: Subject, rows: list[int], seed: int) -> Tensor | None:
    """The `rows`-th labels, each that of a training image drawn at random; None for a model that asks for none."""
    known = subject.source.labels("train") if subject.conditional else None
    if known is None:
        return None
    keys = streams.keys(("generated y", seed, row) for row in rows)
    u = streams.uniform(keys, 0, 1, 1, torch.float64)[0, :, 0]
    return known[(u * len(known)).long()].to(subject.source.device)


def codes_around(subject: Subject, rows: Tensor, seed: int, split: str) -> tuple[Tensor, Tensor | None]:
    """z ~ q(z|x), row i around the i-th image of a shuffled split (from its beginning again where rows outnumber
    images), and these images' labels if the model wants them; (image, latent), (image,)"""
    total = subject.population({"split": split})
    shuffled = streams.permutation(streams.key("generated around", split, seed), 0, total)
    drawn, labels = [], []
    for block in rows.split(subject.rows):
        images = subject.split(split, shuffled[block % total])
        q = subject.given(images.y).posterior(images.x)
        drawn.append(draw(q, _keys(subject, "generated z", seed, block.tolist()), 0, 1)[0])
        labels.append(images.y)
    return torch.cat(drawn), torch.cat(labels) if subject.conditional else None  # type: ignore[arg-type]


def standard_normal(subject: Subject) -> Distribution:
    """N(0, I) over the latents, and of a category behind them the uniform law"""
    first = subject.split("test", torch.zeros(1, dtype=torch.long))
    q = subject.given(first.y).posterior(first.x)
    values = categories_of(q)
    zeros = first.x.new_zeros(q.event_shape[-1] - values)
    if len(zeros) == 0:
        raise NotApplicable("the code is a category and nothing else, which no N(0, I) stands for")
    normal = DiagonalNormal(zeros, torch.ones_like(zeros))
    return normal if values == 0 else GaussianAndOneHot(normal, OneHot(first.x.new_zeros(values)))


def own_prior(subject: Subject) -> Distribution:
    return subject.model.prior()


PRIORS: dict[str, Callable[[Subject], Distribution]] = {
    "own": own_prior,
    "normal": standard_normal,
    "fitted-gmm": fitted_mixture,
}
"""Where codes come from, by the names of the catalog."""


def by_part(questions: dict[tuple[str, ...], Callable[[], list[Answer]]]) -> list[Answer | NotApplicable]:
    """The answers to each question; where one does not apply, that for each of the parts that it would answer."""
    answers: list[Answer | NotApplicable] = []
    for parts, question in questions.items():
        try:
            answers += question()
        except (NotApplicable, NoDensity) as reason:
            answers += [NotApplicable(str(reason), part) for part in parts]
    return answers


def _keys(subject: Subject, stream: str, seed: int, rows: list[int]) -> Tensor:
    return streams.keys(((stream, seed, row) for row in rows), subject.source.device)
