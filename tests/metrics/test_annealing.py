"""Annealed importance sampling on densities whose integrals are known."""

import math

import pytest
import torch

from vaebench.data import streams
from vaebench.metrics.annealing import (
    Densities,
    Shocks,
    anneal,
    leapfrog,
    log_mean,
    schedule,
    transition,
    tuned_step_sizes,
)
from vaebench.metrics.answer import variance_of_log_mean

PRECISION = torch.tensor([[3.0, 1.2, 0.0], [1.2, 2.0, -0.7], [0.0, -0.7, 5.0]]).double()
"""Of the likelihood below as a function of z"""
CENTRE = torch.tensor([0.8, -0.5, 1.0]).double()


def log_prior(z):
    """ln N(z; 0, I)"""
    return -0.5 * z.square().sum(-1) - 0.5 * z.shape[-1] * math.log(2 * math.pi)


def log_likelihood(z):
    """−½ (z − c)ᵀ A (z − c)"""
    return -0.5 * ((z - CENTRE) @ PRECISION * (z - CENTRE)).sum(-1)


GAUSSIAN = Densities(log_prior, log_likelihood)
"""f_β is Gaussian for every β."""
CURVED = Densities(log_prior, lambda z: -3.0 * (torch.sin(2 * z).sum(-1) - z[..., 0] * z[..., 1]).square())
FIXED = torch.full((), 0.5).double()


def moments(beta):
    """Mean and covariance of f_β of the Gaussian above."""
    covariance = torch.linalg.inv(torch.eye(3).double() + beta * PRECISION)
    return beta * covariance @ PRECISION @ CENTRE, covariance


def log_integral():
    """ln ∫ N(z; 0, I) e^{−½ (z − c)ᵀ A (z − c)} dz = ln N(c; 0, I + A⁻¹) + ½ ln |2π A⁻¹|"""
    inverse = torch.linalg.inv(PRECISION)
    normal = torch.distributions.MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double() + inverse)
    return float(normal.log_prob(CENTRE) + 0.5 * torch.logdet(2 * math.pi * inverse))


def keys(count, *words):
    return streams.keys((*words, number) for number in range(count))


def normals(chains, images, *words):
    return streams.normal(keys(images, *words), 0, chains, 3, torch.float64)


def posterior_draws(chains, images, beta=1.0):
    mean, covariance = moments(beta)
    return mean + normals(chains, images, "posterior") @ torch.linalg.cholesky(covariance).mT


def step_sizes(value, bridges, images):
    return torch.full((bridges - 1, images), value).double()


def betas(bridges, images):
    return schedule(bridges, torch.zeros(1, images))


def forward(bridges, chains, images, size=0.4):
    start = GAUSSIAN.at(normals(chains, images, "prior"))
    path = betas(bridges, images), step_sizes(size, bridges, images)
    return anneal(GAUSSIAN, start, *path, 2, Shocks(keys(images, "forward")))


def backward(bridges, chains, images, size=0.4):
    start = GAUSSIAN.at(posterior_draws(chains, images))
    path = betas(bridges, images).flip(0), step_sizes(size, bridges, images)
    return anneal(GAUSSIAN, start, *path, 2, Shocks(keys(images, "backward")))


def test_the_schedule_is_sigmoidal_and_its_first_stride_is_short_however_far_apart_the_prior_draws_are():
    near = schedule(20, torch.zeros(5, 1))[:, 0]
    s = torch.sigmoid(4 * (2 * torch.arange(21).double() / 20 - 1))
    assert torch.allclose(near, (s - s[0]) / (s[20] - s[0]), atol=1e-14)
    spread = torch.tensor([[0.0, 0.0, 0.0], [-1e3, 1e7, -torch.inf]])
    far = schedule(20, spread)
    assert bool((far.diff(dim=0) > 0).all())
    assert torch.equal(far[[0, -1]], torch.tensor([[0.0] * 3, [1.0] * 3]).double())
    assert far[1].tolist() == pytest.approx([1e-5, 1e-9, 1e-14])


def test_leapfrog_returns_where_it_began_when_its_momentum_is_turned_round():
    z, momentum = normals(4, 6, "z"), normals(4, 6, "p")
    start, size = CURVED.at(z), torch.full((6, 1), 0.05).double()
    end, onward = leapfrog(CURVED, start, momentum, size, FIXED, 7)
    back, returned = leapfrog(CURVED, end, -onward, size, FIXED, 7)
    assert float((end.z - z).abs().min()) > 1e-3
    assert float((back.z - z).abs().max()) < 1e-10
    assert float((returned + momentum).abs().max()) < 1e-10


def test_leapfrog_preserves_volume():
    """The Jacobian of (z, p) ↦ (z', p') by central differences has determinant 1; that of z ↦ z' alone has not."""
    h = 1e-6
    point = torch.cat([normals(1, 1, "z"), normals(1, 1, "p")], dim=-1)
    moved = point + h * torch.cat([torch.eye(6), -torch.eye(6)]).double().unsqueeze(1)
    end, momentum = leapfrog(CURVED, CURVED.at(moved[..., :3]), moved[..., 3:], torch.tensor([0.07]).double(), FIXED, 5)
    ends = torch.cat([end.z, momentum], dim=-1)[:, 0]
    jacobian = (ends[:6] - ends[6:]) / (2 * h)
    assert float(torch.linalg.det(jacobian)) == pytest.approx(1.0, abs=1e-7)
    assert abs(float(torch.linalg.det(jacobian[:3, :3])) - 1.0) > 0.1


def test_transitions_leave_their_target_as_it_is_although_many_are_refused():
    """Exact draws stay exact draws; a step size that is off by as much as this one would distort them otherwise."""
    mean, covariance = moments(0.5)
    chains = 20_000
    place, refused = GAUSSIAN.at(posterior_draws(chains, 1, beta=0.5)), 0.0
    for number in range(25):
        shock = Shocks(keys(1, "transition")).of(number, place.z)
        place, acceptance = transition(GAUSSIAN, place, FIXED, torch.tensor([0.9]).double(), 2, shock)
        refused += float(1 - acceptance.mean()) / 25
    assert 0.2 < refused < 0.6
    standard = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), (place.z[:, 0] - mean).mT, upper=False)
    assert float(standard.mean(1).abs().max()) < 4.5 / math.sqrt(chains)
    assert float((standard @ standard.mT / chains - torch.eye(3)).abs().max()) < 4.5 * math.sqrt(2 / chains)
    assert float((standard.pow(4).mean(1) - 3).abs().max()) < 4.5 * math.sqrt(96 / chains)


def test_transitions_find_their_target_from_afar():
    mean, covariance = moments(0.5)
    place = GAUSSIAN.at(torch.full((4000, 1, 3), 4.0).double())
    for number in range(60):
        shock = Shocks(keys(1, "from afar")).of(number, place.z)
        place, _ = transition(GAUSSIAN, place, FIXED, torch.tensor([0.5]).double(), 3, shock)
    assert torch.allclose(place.z.mean((0, 1)), mean, atol=4.5 * math.sqrt(0.5 / 4000))
    assert torch.allclose(place.z[:, 0].mT.cov(), covariance, atol=0.05)


def test_a_trajectory_that_runs_off_is_refused():
    start = GAUSSIAN.at(normals(3, 2, "z"))
    shock = Shocks(keys(2, "off")).of(0, start.z)
    place, acceptance = transition(GAUSSIAN, start, FIXED, torch.tensor([1e60] * 2).double(), 4, shock)
    assert torch.equal(place.z, start.z)
    assert bool((acceptance == 0).all())


@pytest.mark.parametrize("bridges", [1, 2, 8])
def test_weights_are_unbiased_at_any_number_of_bridges_forward_and_backward(bridges):
    """E[w] = ∫ f_1 from the prior, and 1/∫ f_1 from the posterior, with steps too long to be accepted always."""
    ahead, back = forward(bridges, 40_000, 1, 0.6), backward(bridges, 40_000, 1, 0.6)
    for log_weights, truth in ((ahead.log_weights, log_integral()), (back.log_weights, -log_integral())):
        weights = torch.exp(log_weights - truth)
        assert abs(float(weights.mean()) - 1) < 4 * float(weights.std()) / 200
    assert bridges == 1 or float(ahead.acceptance) < 0.95


def test_more_bridges_bring_both_bounds_nearer_to_the_truth():
    """E[ln w] ≤ ln ∫ f_1 ≤ −E[ln 1/w], each nearer with each bridge added."""
    below = [float(forward(bridges, 3000, 1).log_weights.mean()) - log_integral() for bridges in (1, 4, 16, 64)]
    above = [-float(backward(bridges, 3000, 1).log_weights.mean()) - log_integral() for bridges in (1, 4, 16, 64)]
    assert below[0] < below[1] < below[2] < below[3] < 0.01
    assert above[0] > above[1] > above[2] > above[3] > -0.01
    assert above[3] - below[3] < 0.3


def test_the_preliminary_run_finds_step_sizes_that_are_accepted_two_times_in_three():
    """However far they are from where it starts; for the second image f_1 is ten times narrower than for the first."""
    scales = torch.logspace(-2, 0, 8).double() * torch.tensor([[1.0], [0.1]]).double()
    narrow = Densities(log_prior, lambda z: -0.5 * ((z - 0.3) / scales).square().sum(-1))
    pilots, begin = (streams.normal(keys(2, name), 0, 16, 8, torch.float64) for name in ("pilots", "start"))
    path = schedule(250, narrow.log_likelihood(pilots))
    sizes = tuned_step_sizes(narrow, narrow.at(pilots[:1]), path, 2, Shocks(keys(2, "tuning")))
    run = anneal(narrow, narrow.at(begin), path, sizes, 2, Shocks(keys(2, "main")))
    assert run.acceptance.tolist() == pytest.approx([0.65, 0.65], abs=0.06)
    assert float(sizes[-25:, 0].mean() / sizes[-25:, 1].mean()) == pytest.approx(10, rel=0.4)


def test_an_image_meets_the_same_chains_in_whatever_company():
    whole = forward(6, 3, 5)
    start, path = GAUSSIAN.at(normals(3, 5, "prior")[:, 3:]), (betas(6, 2), step_sizes(0.4, 6, 2))
    half = anneal(GAUSSIAN, start, *path, 2, Shocks(keys(5, "forward")[3:]))
    assert torch.equal(half.log_weights, whole.log_weights[:, 3:])


def test_the_jackknife_is_the_delta_method_for_weights_that_agree_and_sees_how_far_apart_others_are():
    noise = normals(8, 4000, "weights")[..., 0]
    small = 0.05 * noise
    delta = (torch.exp(2 * (small.logsumexp(0)) - (2 * small).logsumexp(0)).reciprocal() * 8 - 1) / 7
    assert torch.allclose(variance_of_log_mean(small), delta, rtol=0.2)
    truth = float(log_mean(small).var())
    assert float(variance_of_log_mean(small).mean()) == pytest.approx(truth, rel=0.1)
    apart = torch.tensor([[0.0], [-30.0]]).double()
    assert float(variance_of_log_mean(apart)) == pytest.approx(15.0**2)
    assert bool(variance_of_log_mean(apart[:1]).isnan().all())
    several = 3.0 * noise[:, :50]
    left_out = torch.stack([log_mean(torch.cat([several[:k], several[k + 1 :]])) for k in range(8)])
    by_hand = 7 / 8 * (left_out - left_out.mean(0)).square().sum(0)
    assert torch.allclose(variance_of_log_mean(several), by_hand, rtol=1e-10)


def test_a_density_that_does_not_depend_on_z_has_no_gradient():
    flat = Densities(log_prior, lambda z: torch.zeros(z.shape[:-1]))
    place = flat.at(normals(2, 3, "z"))
    assert torch.equal(place.likelihood_gradient, torch.zeros(2, 3, 3).double())
    assert torch.allclose(place.prior_gradient, -place.z)
