"""What is no number never ends as one: NaN on an image that nobody examined, pixels without a number, absent means."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal

from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.metrics import active_units, code_accuracy, code_entropy, out_of_range, precision_recall, reconstruction
from vaebench.metrics import sharpness as sharpness_metric
from vaebench.metrics.subject import Subject
from vaebench.models.mixed import OneHot

TEST = {"split": "test", "seed": 0}
DIGITS = load_dataset("digits")


def normal(mean, scale=1.0):
    return Independent(Normal(mean, torch.as_tensor(scale).expand_as(mean), validate_args=False), 1)


class Sound:
    """Two latents, of which the first moves with the image."""

    def prior(self):
        return normal(torch.zeros(2))

    def posterior(self, x):
        return normal(torch.stack([x[:, 20] * 3, 0 * x[:, 0]], dim=-1), 0.5)

    def likelihood(self, z):
        return Independent(Bernoulli(logits=z[..., :1].expand(*z.shape[:-1], 64), validate_args=False), 1)


class NanOnOneImage(Sound):
    """Its posterior is NaN on the images that are as dark as the seventh."""

    def posterior(self, x):
        q = super().posterior(x)
        ink = Source(DIGITS, "grey").images("test")[7].sum()
        bad = ((x.sum(-1) - ink).abs() < 1e-4).unsqueeze(-1)
        return normal(torch.where(bad, math.nan, q.mean), 0.5)


def test_a_posterior_that_is_nan_on_one_image_fails_the_count_of_active_units():
    source = Source(DIGITS, "grey")
    assert active_units.evaluate(Subject(Sound(), source), {**TEST, "threshold": 0.01})[0].value == 1
    with pytest.raises(ArithmeticError, match=r"E_q\[z\] is NaN on \d of 300 images"):
        active_units.evaluate(Subject(NanOnOneImage(), source), {**TEST, "threshold": 0.01})


@pytest.mark.parametrize("evaluate", [code_accuracy.evaluate, code_entropy.evaluate], ids=["accuracy", "entropy"])
def test_a_category_that_is_nan_on_one_image_fails_what_is_counted_of_it(evaluate):
    class Category(Sound):
        def posterior(self, x):
            return OneHot(NanOnOneImage().posterior(x).mean.repeat(1, 5))

    with pytest.raises(ArithmeticError, match=r"q\(c\|x\) is NaN"):
        evaluate(Subject(Category(), Source(DIGITS, "grey")), TEST)


@pytest.mark.parametrize(
    "evaluate",
    [out_of_range.evaluate, precision_recall.precision, precision_recall.recall, sharpness_metric.evaluate],
    ids=["out_of_range", "precision", "recall", "sharpness"],
)
def test_a_decoder_that_is_nan_somewhere_fails_what_is_counted_of_its_draws(evaluate):
    """A draw of a Bernoulli whose probability is NaN is 0, so the mean is asked too."""

    class Nan(Sound):
        def likelihood(self, z):
            logits = torch.where(z[..., :1] > 1.5, math.nan, z[..., :1]).expand(*z.shape[:-1], 64)
            return Independent(Bernoulli(logits=logits, validate_args=False), 1)

    with pytest.raises(ArithmeticError, match=r"E\[x\|z\] is NaN on \d+ of 100 images"):
        evaluate(Subject(Nan(), Source(DIGITS, "binary")), {**TEST, "images": 100, "neighbours": 3})


class Meanless(Bernoulli):
    @property
    def mean(self):
        raise NotImplementedError


def test_a_decoder_without_a_mean_is_scored_where_no_mean_is_needed():
    class Foreign(Sound):
        def likelihood(self, z):
            return Independent(Meanless(logits=z[..., :1].expand(*z.shape[:-1], 64)), 1)

    subject, plain = (Subject(model, Source(DIGITS, "binary")) for model in (Foreign(), Sound()))
    protocol = {**TEST, "images": 100, "samples": 2}
    for evaluate, absent in (
        (sharpness_metric.evaluate, {"mean", "mean_ratio"}),
        (reconstruction.evaluate, {"squared_error"}),
    ):
        answers = {answer.part: answer for answer in evaluate(subject, protocol)}
        of_plain = {answer.part: answer for answer in evaluate(plain, protocol)}
        for part, answer in answers.items():
            if part in absent:
                assert "has no mean" in str(answer)
            else:
                assert math.isfinite(answer.value)
        if "" in answers:
            assert answers[""].value == pytest.approx(of_plain[""].value, rel=1e-6)
