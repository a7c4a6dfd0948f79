"""Our distributions are torch's, plus a draw that is a function of noise."""

import pytest
import torch
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal, kl_divergence
from torch.func import vmap

from vaebench.models.distributions import DiagonalNormal, FullNormal, IndependentBernoulli, kl_by_latent


@pytest.fixture
def normal():
    torch.manual_seed(0)
    return DiagonalNormal(torch.randn(3, 4, dtype=torch.float64), torch.rand(3, 4, dtype=torch.float64) + 0.1)


def test_diagonal_normal_is_torchs(normal):
    theirs = Independent(Normal(normal.base_dist.loc, normal.base_dist.scale), 1)
    x = torch.randn(5, 3, 4, dtype=torch.float64)
    assert torch.allclose(normal.log_prob(x), theirs.log_prob(x), rtol=1e-12)
    standard = DiagonalNormal(torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64))
    theirs_standard = Independent(Normal(torch.zeros(4).double(), torch.ones(4).double()), 1).expand([3])
    assert torch.allclose(kl_divergence(normal, standard), kl_divergence(theirs, theirs_standard), rtol=1e-12)
    assert torch.allclose(kl_by_latent(normal, standard).sum(-1), kl_divergence(normal, standard))
    assert normal.expand([2, 3]).batch_shape == (2, 3)


def test_bernoulli_is_torchs_and_holds_at_extreme_logits():
    logits = torch.randn(3, 4, dtype=torch.float64)
    x = torch.randint(0, 2, (5, 3, 4)).double()
    theirs = Independent(Bernoulli(logits=logits), 1)
    assert torch.allclose(IndependentBernoulli(logits).log_prob(x), theirs.log_prob(x), rtol=1e-12)
    extreme = IndependentBernoulli(torch.tensor([1e4, -1e4]))
    assert float(extreme.log_prob(torch.tensor([1.0, 0.0]))) == 0.0
    assert float(extreme.log_prob(torch.tensor([0.0, 1.0]))) == -2e4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("pixels", [1, 7, 64, 127, 784])
def test_bernoulli_is_the_same_with_a_gradient_and_without(pixels, dtype):
    """Without one it takes another way, by products of σ(|l|): both are the exact sum, for grey values in x's place
    too, and where every factor is ½, whose products are the least there are."""
    generator = torch.Generator().manual_seed(0)
    logits = 8.0 * torch.randn(50, 3, pixels, generator=generator, dtype=dtype)
    logits[0], logits[1], logits[2], logits[3] = 0.0, 1e4, -1e4, 1e-30
    x = torch.rand(3, pixels, generator=generator, dtype=dtype)
    for values in (x, (x > 0.5).to(dtype)):
        exact = values.double() * logits.double() - torch.logaddexp(logits.double(), torch.zeros(()).double())
        with torch.enable_grad():
            kept = IndependentBernoulli(logits).log_prob(values)
        with torch.no_grad():
            quick = IndependentBernoulli(logits).log_prob(values)
        scale = logits.double().abs().sum(-1) + pixels
        cut = 4e-9  # torch's softplus is l from l = 20 on
        for found, least in ((kept, cut), (quick, 0.0)):
            assert found.dtype == dtype
            assert float(((found.double() - exact.sum(-1)) / scale).abs().max()) < 4 * torch.finfo(dtype).eps + least


def test_kl_of_a_full_covariance_from_a_diagonal_is_torchs():
    factor = torch.tril(torch.rand(4, 4, dtype=torch.float64)) + torch.eye(4, dtype=torch.float64)
    loc, p_loc, p_scale = (torch.rand(4, dtype=torch.float64) + 0.5 for _ in range(3))
    ours = kl_divergence(FullNormal(loc, factor), DiagonalNormal(p_loc, p_scale))
    theirs = kl_divergence(
        MultivariateNormal(loc, scale_tril=factor), MultivariateNormal(p_loc, scale_tril=torch.diag(p_scale))
    )
    assert torch.allclose(ours, theirs, rtol=1e-12)


def test_draws_from_noise_follow_the_law():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(200_000, 2, dtype=torch.float64, generator=generator)
    factor = torch.tensor([[1.0, 0.0], [0.7, 0.4]], dtype=torch.float64)
    loc = torch.tensor([0.3, -1.0], dtype=torch.float64)
    full = FullNormal(loc, factor).from_noise(noise)
    assert torch.allclose(full.mean(0), loc, atol=0.01)
    assert torch.allclose(full.T.cov(), factor @ factor.T, atol=0.02)
    diagonal = DiagonalNormal(loc, torch.tensor([2.0, 0.1]).double()).from_noise(noise)
    assert torch.allclose(diagonal.mean(0), loc, atol=0.02)
    assert torch.allclose(diagonal.std(0), torch.tensor([2.0, 0.1]).double(), rtol=0.01)
    uniform = torch.rand(200_000, 2, generator=generator)
    drawn = IndependentBernoulli(torch.tensor([0.0, 2.0])).from_noise(uniform)
    assert torch.allclose(drawn.mean(0), torch.tensor([0.0, 2.0]).sigmoid(), atol=0.01)


def test_everything_maps_over_members():
    loc, scale, noise = torch.randn(5, 3), torch.rand(5, 3) + 0.1, torch.randn(5, 3)

    def one(loc, scale, noise):
        q = DiagonalNormal(loc, scale)
        z = q.from_noise(noise)
        return q.log_prob(z) + kl_divergence(q, DiagonalNormal(torch.zeros(3), torch.ones(3)))

    mapped = vmap(one)(loc, scale, noise)
    assert torch.allclose(mapped, torch.stack([one(*row) for row in zip(loc, scale, noise, strict=True)]))
