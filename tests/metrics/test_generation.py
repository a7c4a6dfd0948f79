"""Where codes come from, and what is said of the images that they make."""

import dataclasses
import math

import pytest
import torch
from scipy.stats import norm

from tests.compositions import composition
from vaebench.data.dataset import Split, load_dataset
from vaebench.data.source import Source
from vaebench.metrics import out_of_range, sharpness
from vaebench.metrics.answer import NotApplicable
from vaebench.metrics.evaluation import evaluate
from vaebench.metrics.fitted_mixture import CODES, fitted_mixture
from vaebench.metrics.generation import PRIORS, generated, prior_draws
from vaebench.metrics.subject import Subject
from vaebench.models.classical.pca import PrincipalComponents
from vaebench.models.composition import Composition
from vaebench.models.distributions import DiagonalNormal
from vaebench.models.mixed import GaussianAndOneHot, OneHot
from vaebench.models.point import NoDensity, Point
from vaebench.store.record import MetricRequest

TEMPERATURES = {"temperature": 1.0, "final_temperature": 0.5}
CHOICES = {
    "gaussian": {},
    "joint": {
        "latent": 7,
        "posterior": {"name": "joint", "categories": 4, **TEMPERATURES},
        "prior": {"name": "normal-and-uniform", "categories": 4},
    },
    "categorical": {
        "posterior": {"name": "categorical", **TEMPERATURES},
        "prior": {"name": "uniform-categorical"},
    },
    "vampprior": {"prior": {"name": "vampprior", "components": 5}},
    "conditional": {"conditional": True},
}


@pytest.fixture(scope="module")
def source():
    return Source(load_dataset("digits"), "grey", dtype=torch.float64)


def composed(name, source, **more):
    torch.manual_seed(0)
    model = Composition(composition(**CHOICES[name]), source.dataset.shape).double().requires_grad_(False)
    return Subject(model, source, **more)


WAYS = [(prior, "prior") for prior in PRIORS] + [("own", "x")]
POSSIBLE = [(name, *way) for name in CHOICES for way in WAYS if (name, way[0]) != ("categorical", "normal")]


@pytest.mark.parametrize(("name", "prior", "around"), POSSIBLE)
def test_a_row_depends_neither_on_how_many_there_are_nor_on_the_block(name, prior, around, source):
    whole = generated(composed(name, source), 40, 3, prior, around)
    fewer = generated(composed(name, source), 11, 3, prior, around)
    in_blocks = generated(composed(name, source, block_numbers=7 * 64), 40, 3, prior, around)
    for field in ("z", "mean", "draw"):
        first, second, third = (getattr(samples, field) for samples in (whole, fewer, in_blocks))
        assert torch.allclose(first[:11], second, rtol=1e-9, atol=1e-12)
        assert torch.allclose(first, third, rtol=1e-9, atol=1e-12)
    assert (whole.y is not None) == (name == "conditional")
    if whole.y is not None:
        assert torch.equal(whole.y[:11], fewer.y)
    assert not torch.equal(generated(composed(name, source), 40, 4, prior, around).z, whole.z)


def test_means_and_draws_are_those_of_the_decoder_at_the_codes(source):
    subject = composed("conditional", source)
    for prior, around in WAYS:
        samples = generated(subject, 500, 0, prior, around)
        p = subject.model.likelihood(samples.z, samples.y)
        assert torch.allclose(samples.mean, p.mean, rtol=1e-9)
        assert set(samples.draw.unique().tolist()) == {0.0, 1.0}
        error = (samples.draw - p.mean).mean() / math.sqrt(float((p.mean * (1 - p.mean)).mean()) / samples.draw.numel())
        assert abs(float(error)) < 4


def test_normal_is_the_standard_normal_whatever_the_models_own_prior(source):
    own = prior_draws(composed("vampprior", source), list(range(2000)), 0, "own")
    z = prior_draws(composed("vampprior", source), list(range(2000)), 0, "normal")
    assert torch.allclose(z.mean(0), torch.zeros(4).double(), atol=4 / math.sqrt(2000))
    assert torch.allclose(torch.cov(z.mT), torch.eye(4).double(), atol=0.15)
    assert float(own.mean(0).abs().max()) > 0.2


def test_normal_gives_a_category_the_uniform_law_and_a_category_alone_has_none(source):
    z = prior_draws(composed("joint", source), list(range(2000)), 0, "normal")
    assert torch.equal(z[:, 3:].sum(1), torch.ones(2000).double())
    assert torch.allclose(z[:, 3:].mean(0), torch.full((4,), 0.25).double(), atol=0.04)
    assert torch.allclose(torch.cov(z[:, :3].mT), torch.eye(3).double(), atol=0.15)
    with pytest.raises(NotApplicable, match="a category and nothing else"):
        prior_draws(composed("categorical", source), [0], 0, "normal")


class Coder:
    """An autoencoder of known codes: what the images are does not matter, only their place in the split."""

    def __init__(self, source, codes):
        self.rows = {x.numpy().tobytes(): code for x, code in zip(source.images("train"), codes, strict=True)}
        self.asked = 0

    def posterior(self, x):
        self.asked += len(x)
        return Point(torch.stack([self.rows[row.numpy().tobytes()] for row in x]))

    def likelihood(self, z):
        return DiagonalNormal(z.new_zeros(len(z), 64), z.new_full((len(z), 64), 0.1))

    def prior(self):
        raise NoDensity("an autoencoder has no prior")


def known_mixture(count, latents=3):
    """Draws from .7 N(a, A) + .3 N(b, B), scales of latents far apart; and which of the two each is from."""
    generator = torch.Generator().manual_seed(0)
    second = torch.rand(count, generator=generator) < 0.3
    noise = torch.randn(count, latents, dtype=torch.float64, generator=generator)
    scales = torch.tensor([1000.0, 1.0, 0.001]).double()
    turn = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.0, -0.5, 0.5]]).double()
    codes = torch.where(second[:, None], 6.0 + 0.5 * noise, noise @ turn.mT)
    return codes * scales, second


def test_a_fitted_mixture_samples_the_mixture_that_the_codes_are(source):
    """An autoencoder's codes: the moments of the two parts, and the third moments, which no single Gaussian has."""
    codes, second = known_mixture(1197)
    subject = Subject(Coder(source, codes), source)
    z = prior_draws(subject, list(range(20_000)), 0, "fitted-gmm")
    scales = codes.std(0)
    z, codes = z / scales, codes / scales
    upper = z[:, 1] > codes[second, 1].mean() - 3 * codes[second, 1].std()
    assert float(upper.double().mean()) == pytest.approx(float(second.double().mean()), abs=0.02)
    for drawn, known in ((z, codes), (z[upper], codes[second]), (z[~upper], codes[~second])):
        assert torch.allclose(drawn.mean(0), known.mean(0), atol=0.03)
        assert torch.allclose(torch.cov(drawn.mT), torch.cov(known.mT), atol=0.04)
    third = ((z - z.mean(0)) ** 3).mean(0)
    assert torch.allclose(third, ((codes - codes.mean(0)) ** 3).mean(0), atol=0.08)
    assert float(third.abs().min()) > 0.4


def test_the_components_are_drawn_by_their_weights_and_factors(source):
    """Φ of the last noise picks: each component's draws have its mean and covariance."""
    codes, _ = known_mixture(1197)
    mixture = fitted_mixture(Subject(Coder(source, codes), source))
    noise = torch.randn(40_000, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    z = mixture.from_noise(noise)
    expected = mixture.weights @ mixture.means
    assert float(mixture.weights.sum()) == pytest.approx(1.0)
    assert torch.allclose(z.mean(0), expected, atol=0.02 * float(codes.std(0).max()), rtol=0.02)
    share = torch.special.ndtr(noise[:, -1])
    edges = mixture.weights.cumsum(0)
    of_first = z[share < edges[0]]
    covariance = mixture.factors[0] @ mixture.factors[0].mT
    assert len(of_first) / 40_000 == pytest.approx(float(edges[0]), abs=0.01)
    deviations = covariance.diagonal().sqrt()
    error = (torch.cov(of_first.mT) - covariance) / (deviations[:, None] * deviations)
    assert float(error.abs().max()) < 5 / math.sqrt(len(of_first))


def test_a_mixture_is_fitted_once_for_all_metrics(source):
    coder = Coder(source, known_mixture(1197)[0])
    subject = Subject(coder, source)
    protocol = {"images": 100, "split": "test", "seed": 0, "generation_prior": "fitted-gmm"}
    for seed in (0, 1):
        out_of_range.evaluate(subject, {**protocol, "seed": seed})
        sharpness.evaluate(subject, {**protocol, "seed": seed})
    assert coder.asked == min(CODES, 1197)


def test_codes_with_a_category_are_fitted_value_by_value(source):
    """Gaussian latents that stand elsewhere for each value: a drawn value brings latents from its own place."""

    class Joint:
        def posterior(self, x):
            value = torch.where(x[:, :32].sum(1) > x[:, 32:].sum(1), 2, 0)
            code = 1000.0 * (torch.eye(3, dtype=x.dtype)[value] - 0.5)
            loc = torch.stack([10.0 * value, -10.0 * value], dim=1).to(x.dtype)
            return GaussianAndOneHot(DiagonalNormal(loc, torch.full_like(loc, 0.5)), OneHot(code))

    subject = Subject(Joint(), source)
    z = prior_draws(subject, list(range(3000)), 0, "fitted-gmm")
    codes = subject.codes(subject.split("train"))
    assert torch.allclose(z[:, 2:].mean(0), codes[:, 2:].mean(0), atol=0.03)
    for value in (0, 2):
        own = z[z[:, 2 + value] == 1.0][:, :2]
        assert torch.allclose(own.mean(0), torch.tensor([10.0 * value, -10.0 * value]).double(), atol=0.1)
        assert torch.allclose(own.std(0), torch.full((2,), 0.5).double(), atol=0.05)
    assert float(z[:, 3].sum()) == 0.0


def test_a_category_alone_is_drawn_as_often_as_the_codes_have_it(source):
    subject = composed("categorical", source)
    z = prior_draws(subject, list(range(4000)), 0, "fitted-gmm")
    expected = subject.model.posterior(source.images("train")).mean.mean(0)
    assert torch.equal(z.sum(1), torch.ones(4000).double())
    assert torch.allclose(z.mean(0), expected, atol=0.05)


def test_more_latents_than_a_full_covariance_can_take_are_not_applicable(source):
    wide = Subject(Coder(source, torch.zeros(1197, 101).double()), source)
    with pytest.raises(NotApplicable, match="100 latents at most, the code has 101"):
        fitted_mixture(wide)


class Narrow:
    """Codes are the first latents of the image, with hardly any spread; the decoder shows them."""

    conditional = False

    def posterior(self, x):
        return DiagonalNormal(x[:, :10], torch.full_like(x[:, :10], 1e-9))

    def likelihood(self, z):
        mean = torch.cat([z, z.new_zeros(len(z), 54)], dim=1)
        return DiagonalNormal(mean, torch.full_like(mean, 1e-9))


def test_around_x_each_image_of_the_split_is_encoded_before_any_comes_again(source):
    subject = Subject(Narrow(), source)
    for split in ("test", "validation"):
        images = source.images(split)[:, :10]
        z = generated(subject, 600, 0, around="x", split=split).z
        distance = torch.cdist(z[:300], images)
        assert float(distance.min(1).values.max()) < 1e-6
        assert float(distance.min(0).values.max()) < 1e-6
        assert torch.allclose(z[:300], z[300:], atol=1e-7)
        assert not torch.equal(z[:300], z[300:])


def test_around_x_a_conditional_model_is_asked_for_the_images_own_labels(source):
    class Told(Narrow):
        conditional = True

        def posterior(self, x, y):
            return DiagonalNormal(y[:, None].double(), torch.full((len(x), 1), 1e-9).double())

        def likelihood(self, z, y):
            mean = (z - y[:, None]).expand(-1, 64)
            return DiagonalNormal(mean, torch.full_like(mean, 1e-9))

    samples = generated(Subject(Told(), source), 300, 0, around="x")
    assert torch.equal(samples.z.round().long()[:, 0], samples.y)
    assert torch.equal(samples.y.bincount(), source.labels("test").bincount())
    assert float(samples.mean.abs().max()) < 1e-6


class Known:
    """Every pixel N(μ, σ²) with μ the first of the code."""

    def __init__(self, sigma):
        self.sigma = sigma

    def prior(self):
        return DiagonalNormal(torch.full((2,), 0.3).double(), torch.full((2,), 1e-9).double())

    def posterior(self, x):
        return DiagonalNormal(torch.full((len(x), 2), 1.2).double(), torch.full((len(x), 2), 1e-9).double())

    def likelihood(self, z):
        mean = z[..., :1].expand(*z.shape[:-1], 64)
        return DiagonalNormal(mean, torch.full_like(mean, self.sigma))


@pytest.mark.parametrize("sigma", [0.15, 0.2, 1.0])
def test_out_of_range_is_the_tail_of_the_decoders_normal(source, sigma):
    """Φ(−μ/σ) + Φ((μ − 1)/σ), at μ = 0.3 from the prior and at μ = 1.2 around images."""
    protocol = {"images": 2000, "split": "test", "seed": 0}
    for around, mean in (("prior", 0.3), ("x", 1.2)):
        (answer,) = out_of_range.evaluate(Subject(Known(sigma), source), {**protocol, "generation_around": around})
        expected = norm.cdf(-mean / sigma) + norm.sf((1 - mean) / sigma)
        assert abs(answer.value - expected) < 4 * answer.stderr
        by_hand = math.sqrt(expected * (1 - expected) / (2000 * 64))
        assert answer.stderr == pytest.approx(by_hand, rel=0.1)


def test_black_and_white_draws_are_in_range(source):
    (answer,) = out_of_range.evaluate(composed("gaussian", source), {"images": 100, "split": "test", "seed": 0})
    assert (answer.value, answer.stderr) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("metric", "more"),
    [
        ("sharpness", {}),
        ("frechet", {}),
        ("precision", {"neighbours": 3}),
        ("recall", {"neighbours": 3}),
        ("out_of_range", {}),
    ],
)
def test_metrics_of_generated_images_obey_the_way_to_generate(source, metric, more):
    """At σ = 0.2 codes of the prior draw grey images, those around images white ones."""
    protocol = {"images": 200, "split": "test", "seed": 0, **more}
    subject = Subject(Known(0.2), source)

    def values(**way):
        found = evaluate(subject, [MetricRequest(metric, {**protocol, **way})])
        return {value.metric: value.value for value in found if value.metric != "frechet.fitted_gmm"}

    usual = values()
    assert values(generation_prior="own", generation_around="prior") == usual
    around, fitted, normal = (
        values(generation_around="x"),
        values(generation_prior="fitted-gmm"),
        values(generation_prior="normal"),
    )
    if metric in ("frechet", "out_of_range"):
        assert around != usual
        assert normal != usual
        for column, value in around.items():
            assert fitted[column] == pytest.approx(value, rel=0.05)
    if metric == "sharpness":
        assert normal["sharpness.mean"] == pytest.approx(0.0, abs=1e-12)
    assert None not in around.values()


def test_a_decoder_that_gives_a_point_has_means_and_no_draws(source):
    subject = Subject(PrincipalComponents(64, 4).double(), source)
    with torch.no_grad():
        samples = generated(subject, 20, 0, prior="fitted-gmm")
    assert samples.mean.shape == (20, 64)
    with pytest.raises(NoDensity, match="nothing to draw"):
        samples.draw  # noqa: B018
    protocol = {"images": 50, "split": "test", "seed": 0, "generation_prior": "fitted-gmm"}
    found = {value.metric: value for value in evaluate(subject, [MetricRequest("sharpness", protocol)])}
    assert found["sharpness.mean_ratio"].status == "done"
    assert found["sharpness.ancestral"].status == found["sharpness.ancestral_ratio"].status == "n/a"


def test_few_training_images_still_have_a_mixture(source):
    few = {name: Split(split.content[:3], split.labels[:3]) for name, split in source.dataset.splits.items()}
    subject = Subject(Narrow(), dataclasses.replace(source, dataset=dataclasses.replace(source.dataset, splits=few)))
    z = prior_draws(subject, list(range(50)), 0, "fitted-gmm")
    assert bool(z.isfinite().all())
