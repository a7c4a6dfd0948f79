"""Each remaining evaluator at values that arithmetic gives."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal, Uniform

from tests.compositions import cell, composition
from vaebench.data.dataset import Split, load_dataset
from vaebench.data.source import Source
from vaebench.metrics import active_units, bits_per_dim, cost, elbo, log_likelihood, probe_accuracy
from vaebench.metrics import sharpness as sharpness_metric
from vaebench.metrics.answer import average
from vaebench.metrics.contract import ContractError, check_contract
from vaebench.metrics.evaluation import evaluate, evaluate_model
from vaebench.metrics.sharpness import sharpness
from vaebench.metrics.subject import Subject
from vaebench.models.distributions import DiagonalNormal
from vaebench.store.record import MetricRequest
from vaebench.training.fleet import Surroundings, train_fleet

TEST = {"split": "test", "seed": 0}


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


class Foreign:
    """A model that is no module and uses torch's own distributions only."""

    def __init__(self, decoded=0.5, scale=0.2, latent=3):
        self.decoded, self.scale, self.latent = decoded, scale, latent

    def prior(self):
        return Independent(Normal(torch.zeros(self.latent), torch.ones(self.latent)), 1)

    def posterior(self, x):
        mean = x[:, : self.latent]
        return Independent(Normal(mean, torch.full_like(mean, 0.5)), 1)

    def likelihood(self, z):
        mean = torch.full((*z.shape[:-1], 64), self.decoded)
        return Independent(Normal(mean, self.scale), 1)


class UniformPixels(Foreign):
    """Ignores z; density of each pixel uniform on an interval."""

    def __init__(self, low, high):
        super().__init__()
        self.low, self.high = low, high

    def posterior(self, x):
        return Independent(Normal(torch.zeros(len(x), self.latent), torch.ones(len(x), self.latent)), 1)

    def likelihood(self, z):
        low = torch.full((*z.shape[:-1], 64), self.low)
        return Independent(Uniform(low, self.high, validate_args=False), 1)


def test_bits_of_uniform_pixels_are_those_of_arithmetic(digits):
    """17 levels: a density uniform over all bins of equal width gives log₂ 17 a pixel, on grey and dequantised."""
    protocol = {**TEST, "samples": 3, "images": 50}
    for view, low, high in (("grey", -1 / 32, 1 + 1 / 32), ("dequantised", 0.0, 1.0)):
        answer, *_ = bits_per_dim.evaluate(Subject(UniformPixels(low, high), Source(digits, view)), protocol)
        assert answer.value == pytest.approx(math.log2(17), rel=1e-5)


def test_a_smaller_floor_sends_the_density_up_and_leaves_the_bits_bounded(digits):
    """Section 7.7 on pixels that never change: the density gains ln 10 a factor of ten, the bins fill up and stop."""

    only = dataclasses.replace(digits, splits={"test": Split(digits.splits["test"].content[:1])})
    source = Source(only, "grey")

    class Certain(Foreign):
        """Every decoded pixel is the one image's own."""

        def posterior(self, x):
            return Independent(Normal(torch.zeros(len(x), 3), torch.ones(len(x), 3)), 1)

        def likelihood(self, z):
            mean = source.images("test")[0].expand(*z.shape[:-1], 64)
            return DiagonalNormal(mean, torch.full_like(mean, self.scale))

    protocol = {**TEST, "samples": 2, "images": 1}
    densities, bits = [], []
    for scale in (1e-2, 1e-3, 1e-4, 1e-5):
        subject = Subject(Certain(scale=scale), source)
        densities.append(log_likelihood.evaluate(subject, protocol)[0].value)
        bits.append(bits_per_dim.evaluate(subject, protocol)[0].value)
    gains = np.diff(densities)
    assert gains == pytest.approx(np.full(3, 64 * math.log(10)), rel=1e-3)
    assert all(0 <= value < 1e-2 for value in bits)


def test_active_units_counts_latents_whose_mean_moves(digits):
    source = Source(digits, "grey")
    means = source.images("test")[:, :3].double()
    expected = int((means.var(0) > 0.01).sum())
    (answer,) = active_units.evaluate(Subject(Foreign(), source), {**TEST, "threshold": 0.01})
    assert answer.value == expected
    (all_of_them,) = active_units.evaluate(Subject(Foreign(), source), {**TEST, "threshold": 1e-12})
    assert all_of_them.value == int((means.var(0) > 1e-12).sum())


def test_probes_read_a_label_that_is_written_in_the_code_and_guess_one_that_is_not(digits):
    class Labelled(Foreign):
        def __init__(self, source, honest):
            super().__init__(latent=10)
            self.codes = {}
            for split in ("train", "test"):
                images, labels = source.images(split), source.labels(split)
                if not honest:
                    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))]
                self.codes |= {
                    image.numpy().tobytes(): nn.functional.one_hot(label, 10)
                    for image, label in zip(images, labels, strict=True)
                }

        def posterior(self, x):
            mean = torch.stack([self.codes[row.numpy().tobytes()] for row in x]).float()
            return Independent(Normal(mean, torch.ones_like(mean)), 1)

    source = Source(digits, "grey")
    protocol = {**TEST, "train_images": 10000, "neighbours": 5}
    for honest, low, high in ((True, 0.999, 1.0), (False, 0.0, 0.2)):
        answers = probe_accuracy.evaluate(Subject(Labelled(source, honest), source), protocol)
        assert {answer.part for answer in answers} == {"logistic", "knn"}
        assert all(low <= answer.value <= high for answer in answers)


def test_sharpness_of_a_hand_computed_image():
    """A single bright pixel in the middle of 5 × 5: the response is −4 once, 1 four times, 0 four times."""
    image = torch.zeros(1, 25)
    image[0, 12] = 1.0
    response = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    assert float(sharpness(image, 5)) == pytest.approx(response.var())
    assert float(sharpness(torch.full((1, 25), 0.7), 5)) == pytest.approx(0.0, abs=1e-12)


def test_white_noise_adds_twenty_times_its_variance():
    noise = 0.3 * torch.randn(2000, 784, generator=torch.Generator().manual_seed(0))
    smooth = torch.linspace(0, 1, 784).expand(2000, 784)
    added = float((sharpness(smooth + noise, 28) - sharpness(smooth, 28)).mean())
    assert added == pytest.approx(20 * 0.09, rel=0.02)


def test_sharpness_sets_means_against_grey_images_and_draws_against_the_views_own(digits):
    for view in ("grey", "binary"):
        source = Source(digits, view)
        answers = sharpness_metric.evaluate(Subject(Foreign(scale=0.2), source), {**TEST, "images": 400})
        values = {answer.part: answer for answer in answers}
        grey = float(sharpness(digits.splits["test"].content / 16, 8).mean())
        own = float(sharpness(source.images("test"), 8).mean())
        assert values["data"].value == pytest.approx(own)
        assert values["mean"].value == pytest.approx(0.0, abs=1e-9)
        expected = 20 * 0.04 * 35 / 36 * 1.0
        assert values["ancestral"].value == pytest.approx(expected, rel=0.06)
        assert values["ancestral_ratio"].value == pytest.approx(values["ancestral"].value / own)
        assert values["mean_ratio"].details["grey"] == pytest.approx(grey)


def test_cost_counts_every_learned_scalar(digits):
    made = cell(choices=composition(latent=2))
    (trained,) = train_fleet([made], Surroundings(Source(digits, "binary", dtype=torch.float64)))
    subject = Subject(trained.model, Source(digits, "binary"), train_seconds=1.5)
    by_hand = (64 * 24 + 24) + (24 * 4 + 4) + (2 * 24 + 24) + (24 * 64 + 64)
    assert cost.parameters(subject, {})[0].value == by_hand
    assert cost.train_seconds(subject, {})[0].value == 1.5


def test_a_foreign_model_gets_the_numbers_of_the_same_model_in_our_own_parts(digits):
    """Torch's Independent(Normal) is drawn from the same streams as ours."""

    class Ours(Foreign):
        def posterior(self, x):
            q = super().posterior(x).base_dist
            return DiagonalNormal(q.loc, q.scale)

    source = Source(digits, "grey")
    protocol = {**TEST, "samples": 5, "kl": "analytic", "images": 100}
    for evaluator in (elbo.evaluate, log_likelihood.evaluate):
        theirs, ours = (evaluator(Subject(model, source), protocol)[0] for model in (Foreign(), Ours()))
        assert theirs.value == pytest.approx(ours.value, rel=1e-5)


def test_evaluate_model_answers_requests_and_keeps_the_modules_mode(digits):
    made = cell(choices=composition(latent=2), precision="float32")
    (trained,) = train_fleet([made], Surroundings(Source(digits, "binary")))
    trained.model.train()
    requests = [MetricRequest("elbo", {**TEST, "samples": 4, "kl": "analytic"}), MetricRequest("train_seconds", {})]
    values = {value.metric: value for value in evaluate_model(trained.model, "digits/binary", requests)}
    subject = Subject(trained.model, Source(digits, "binary"))
    assert values["elbo"].value == evaluate(subject, requests[:1])[0].value
    assert values["train_seconds"].status == "n/a"
    assert trained.model.training


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (
            lambda m: setattr(m, "likelihood", lambda z: Normal(torch.zeros(*z.shape[:-1], 64), 1.0)),
            "must sum over pixels",
        ),
        (lambda m: setattr(m, "posterior", lambda x: Normal(x[:, :3], 1.0)), "must sum over latents"),
        (lambda m: setattr(m, "posterior", lambda x: x), "must return a torch distribution"),
        (lambda m: setattr(m, "prior", None), "has no method prior"),
        (
            lambda m: setattr(
                m,
                "likelihood",
                lambda z: Independent(Normal(torch.full((*z.shape[:-1], 64), math.nan), 1.0, validate_args=False), 1),
            ),
            "is NaN",
        ),
    ],
)
def test_an_object_that_breaks_the_contract_is_refused_with_the_methods_name(break_it, expected):
    model = Foreign()
    break_it(model)
    with pytest.raises(ContractError, match=expected):
        check_contract(model, torch.rand(4, 64))


def test_a_metric_that_raises_is_recorded_and_the_others_go_on(digits):
    class Broken(Foreign):
        def prior(self):
            raise ValueError("no prior today")

    requests = [
        MetricRequest("elbo", {**TEST, "samples": 4, "kl": "analytic"}),
        MetricRequest("active_units", {**TEST, "threshold": 0.01}),
    ]
    values = evaluate(Subject(Broken(), Source(digits, "grey")), requests)
    assert {value.family: value.status for value in values} == {"elbo": "failed", "active_units": "done"}
    assert "no prior today" in values[0].note


def test_the_error_of_a_subset_covers_the_mean_of_the_whole():
    """1/n² Σ s² + (1 − n/N)(S² − mean s²)/n, against the spread over many random subsets with noise."""
    generator = torch.Generator().manual_seed(0)
    values, noise = torch.randn(500, generator=generator).double(), 0.7
    estimates, errors = [], []
    for _ in range(2000):
        index = torch.randperm(500, generator=generator)[:100]
        noisy = values[index] + noise * torch.randn(100, generator=generator).double()
        mean, error = average(noisy, torch.full((100,), noise**2).double(), 500)
        estimates.append(mean)
        errors.append(error)
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.06)
