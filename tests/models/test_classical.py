"""Mixtures and principal components against their defining equations."""

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from vaebench.catalog.catalog import load_catalog
from vaebench.data.dataset import Dataset, Split
from vaebench.data.source import Source
from vaebench.metrics.evaluation import evaluate
from vaebench.metrics.subject import Subject
from vaebench.models.classical.gmm import DiagonalMixture, FullMixture
from vaebench.models.classical.pca import PrincipalComponents
from vaebench.store.record import MetricRequest

PIXELS, COMPONENTS = 5, 3


def random_factors(pixels=PIXELS, components=COMPONENTS):
    factors = 0.3 * torch.randn(components, pixels, pixels, dtype=torch.float64).tril(-1)
    return factors + torch.diag_embed(0.5 + torch.rand(components, pixels, dtype=torch.float64))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


@pytest.fixture
def diagonal():
    model = DiagonalMixture(PIXELS, COMPONENTS).double()
    model.log_weights.copy_(torch.tensor([0.2, 0.5, 0.3]).log())
    model.means.normal_()
    model.sigma.uniform_(0.3, 1.5)
    return model


@pytest.fixture
def full():
    model = FullMixture(PIXELS, COMPONENTS).double()
    model.log_weights.copy_(torch.tensor([0.2, 0.5, 0.3]).log())
    model.means.normal_()
    for k, factor in enumerate(random_factors()):
        model.set_factor(k, factor)
    return model


@pytest.fixture(params=["diagonal", "full"])
def mixture(request):
    return request.getfixturevalue(request.param)


def by_torch(model):
    """torch's own mixture with the same parameters."""
    weights = Categorical(logits=model.log_weights)
    if isinstance(model, DiagonalMixture):
        return MixtureSameFamily(weights, Independent(Normal(model.means, model.sigma), 1))
    factors = torch.stack([model.factor(k) for k in range(COMPONENTS)])
    return MixtureSameFamily(weights, MultivariateNormal(model.means, scale_tril=factors))


def test_a_mixtures_log_density_is_that_of_torchs_mixture(mixture):
    x = torch.randn(50, PIXELS, dtype=torch.float64)
    assert torch.allclose(mixture.log_prob(x), by_torch(mixture).log_prob(x), rtol=1e-12)


def test_a_mixtures_posterior_is_bayes_rule(mixture):
    """ln p(z) + ln p(x|z) − ln p(z|x) = ln p(x) for every component z."""
    x = torch.randn(50, PIXELS, dtype=torch.float64)
    z = torch.eye(COMPONENTS, dtype=torch.float64)[:, None].expand(-1, 50, -1)
    ratio = mixture.prior().log_prob(z) + mixture.likelihood(z).log_prob(x) - mixture.posterior(x).log_prob(z)
    assert torch.allclose(ratio, mixture.log_prob(x).expand(COMPONENTS, 50), rtol=1e-12)


def test_a_full_mixture_without_correlations_is_the_diagonal_one(diagonal, full):
    full.load_state_dict({**full.state_dict(), "log_weights": diagonal.log_weights, "means": diagonal.means})
    for k in range(COMPONENTS):
        full.set_factor(k, diagonal.sigma[k].diag())
    x, noise = torch.randn(2, 20, PIXELS, dtype=torch.float64)
    z = full.posterior(x).from_noise(torch.randn(20, COMPONENTS, dtype=torch.float64))
    assert torch.allclose(full.log_prob(x), diagonal.log_prob(x), rtol=1e-12)
    assert torch.allclose(full.likelihood(z).from_noise(noise), diagonal.likelihood(z).from_noise(noise), rtol=1e-12)
    assert torch.allclose(full.likelihood(z).variance, diagonal.likelihood(z).variance, rtol=1e-12)


def test_a_full_components_draw_from_unit_noise_is_its_mean_and_a_column_of_its_factor(full):
    z = torch.eye(COMPONENTS, dtype=torch.float64)[:, None]
    drawn = full.likelihood(z).from_noise(torch.eye(PIXELS, dtype=torch.float64).expand(COMPONENTS, -1, -1))
    for k in range(COMPONENTS):
        assert torch.allclose(drawn[k] - full.means[k], full.factor(k).mT, rtol=1e-12)


def test_samples_have_the_mixtures_mean_and_variance(mixture):
    drawn, known, count = mixture.sample(200_000), by_torch(mixture), 200_000
    error = (known.variance / count).sqrt()
    assert bool(((drawn.mean(0) - known.mean).abs() < 5 * error).all())
    assert torch.allclose(drawn.var(0), known.variance, rtol=0.03)


def test_in_single_precision_a_pixel_at_the_floor_keeps_its_digits(diagonal):
    """The distance is taken before it is squared: x² − 2xμ + μ² would lose (x − μ)²/σ² at σ = 1e-3."""
    diagonal.sigma.fill_(1e-3)
    x = diagonal.means + 2e-3
    assert torch.allclose(diagonal.float().log_prob(x.float()).double(), diagonal.double().log_prob(x), rtol=1e-3)


def test_full_mixtures_count_only_the_triangle_of_a_covariance(full):
    assert sum(value.numel() for value in full.parameters()) == COMPONENTS * (1 + PIXELS + PIXELS * (PIXELS + 1) // 2)


@pytest.fixture
def images():
    """16 pixels of 4 × 4, with labels; a source that every metric has something to ask of."""
    level = torch.randint(0, 17, (60, 16), dtype=torch.uint8)
    splits = {name: Split(level, torch.arange(60) % 2) for name in ("train", "validation", "test")}
    return Source(Dataset("small", splits, pixels=16, side=4, levels=17), "grey", dtype=torch.float64)


METRICS = (
    "elbo",
    "log_likelihood",
    "bits_per_dim",
    "kl",
    "reconstruction",
    "active_units",
    "probe_accuracy",
    "sharpness",
)


def asked(model, source):
    metrics = load_catalog().metrics
    shared = {"split": "test", "seed": 0}
    requests = [
        MetricRequest(name, {**{key: value.default for key, value in metrics[name].parameters.items()}, **shared})
        for name in METRICS
    ]
    return {value.metric: value for value in evaluate(Subject(model, source, train_seconds=1.0), requests)}


def test_pca_answers_what_needs_a_code_or_a_reconstruction_and_says_why_not_the_rest(images):
    model = PrincipalComponents(16, 3).double()
    model.basis.copy_(torch.linalg.qr(torch.randn(16, 3, dtype=torch.float64)).Q)
    model.mean.fill_(0.4)
    answers = asked(model, images)
    assert not [column for column, answer in answers.items() if answer.status == "failed"]
    done = {column for column, answer in answers.items() if answer.status == "done"}
    assert {"reconstruction.squared_error", "probe_accuracy.logistic", "probe_accuracy.knn"} <= done
    for column in ("elbo", "kl", "log_likelihood", "bits_per_dim", "sharpness.ancestral"):
        assert (answers[column].status, answers[column].note) == ("n/a", "PCA has no prior p(z)")
    assert (answers["reconstruction"].status, answers["reconstruction"].note) == ("n/a", "PCA has no likelihood p(x|z)")
    assert (answers["active_units"].status, answers["active_units"].note) == ("n/a", "q is a point")
    centred = images.images("test") - 0.4
    residual = centred - centred @ model.basis @ model.basis.mT
    assert answers["reconstruction.squared_error"].value == pytest.approx(float(residual.square().sum(-1).mean()))


def test_correlated_pixels_have_no_bits_per_dimension(images):
    answers = asked(FullMixture(16, COMPONENTS).double(), images)
    assert answers["bits_per_dim"].status == "n/a"
    assert "independent" in answers["bits_per_dim"].note
    assert not [column for column, answer in answers.items() if answer.status == "failed"]


def test_a_mixtures_elbo_under_its_exact_posterior_is_its_likelihood(images):
    model = DiagonalMixture(16, COMPONENTS).double()
    model.means.uniform_(0, 1)
    answers = asked(model, images)
    assert answers["elbo"].value == pytest.approx(
        answers["log_likelihood"].value, abs=4 * answers["elbo"].stderr + 1e-9
    )
    assert not [column for column, answer in answers.items() if answer.status == "failed"]
