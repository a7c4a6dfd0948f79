"""Models fitted without gradients, and the linear VAE that must find what they find."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture as ScikitMixture

from tests.compositions import cell, composition, ppca_composition
from vaebench.data.dataset import Dataset, Shape, Split
from vaebench.data.source import Source
from vaebench.models.composition import Composition
from vaebench.models.given import given
from vaebench.objectives.linear_elbo import columns_of, expected_log_density
from vaebench.training import gmm, ppca_em
from vaebench.training.fitting import fit
from vaebench.training.fleet import Interrupted, Surroundings, train_fleet
from vaebench.training.gmm import MixtureByEm
from vaebench.training.memory import demand
from vaebench.training.pca import ClosedFormPca
from vaebench.training.ppca import ClosedFormPpca
from vaebench.training.ppca_em import PpcaByEm

LIKELIHOODS = ("gaussian", "gaussian-full")


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def mixture_choices(likelihood="gaussian", components=3, **parameters):
    return {
        "network": {"name": "none"},
        "latent": components,
        "conditional": False,
        "likelihood": {"name": likelihood, "sigma_floor": 1e-3},
        "posterior": {"name": "exact"},
        "prior": {"name": "mixture-weights"},
        "objective": {"name": "gmm", "iterations": 100, "tolerance": 1e-6, **parameters},
    }


def em_choices(latent, **parameters):
    objective = {"name": "ppca-em", "iterations": 20_000, "tolerance": 0.0, **parameters}
    return {**ppca_composition(latent), "objective": objective}


def pca_choices(latent):
    return {**ppca_composition(latent), "objective": {"name": "pca"}}


def linear_choices(latent, **likelihood):
    return composition(
        network={"name": "linear", "initialisation": "torch"},
        latent=latent,
        likelihood=likelihood or {"name": "gaussian-shared", "sigma_floor": 1e-3},
        objective={"name": "linear-elbo", "beta": 1.0},
    )


def clusters(images=600, pixels=4):
    """Three overlapping normals with correlated pixels."""
    centres = 2.0 * torch.randn(3, pixels, dtype=torch.float64)
    mixing = torch.eye(pixels, dtype=torch.float64) + 0.4 * torch.randn(3, pixels, pixels, dtype=torch.float64)
    chosen = torch.arange(images) % 3
    noise = torch.randn(images, pixels, dtype=torch.float64)
    return centres[chosen] + torch.einsum("ni,nij->nj", noise, mixing[chosen])


def with_eigenvalues(eigenvalues, images=400):
    """Images whose covariance with divisor N has exactly these eigenvalues."""
    pixels = len(eigenvalues)
    white = torch.randn(images, pixels, dtype=torch.float64)
    white = torch.linalg.qr(white - white.mean(0)).Q * images**0.5
    rotation = torch.linalg.qr(torch.randn(pixels, pixels, dtype=torch.float64)).Q
    scales = torch.tensor(eigenvalues, dtype=torch.float64).sqrt()
    return (white * scales) @ rotation + torch.randn(pixels, dtype=torch.float64)


def source_of(x):
    splits = {name: Split(x) for name in ("train", "validation", "test")}
    return Source(Dataset("small", splits, x.shape[1], side=None, levels=None), "real", dtype=torch.float64)


def started(x, likelihood, components=3, floor=1e-3, seed=0):
    """A mixture as EM finds it before its first step."""
    model = MixtureByEm().model(mixture_choices(likelihood, components), Shape(x.shape[1])).double()
    gmm.start(model.requires_grad_(False), x, seed, floor)
    return model


def covariances(model):
    if hasattr(model, "sigma"):
        return torch.diag_embed(model.sigma.square())
    return torch.stack([model.factor(k) @ model.factor(k).mT for k in range(len(model.means))])


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_gmm_equals_scikit_learns_from_the_same_start(likelihood):
    x, steps = clusters(), 30
    start = started(x, likelihood)
    precisions = torch.linalg.inv(covariances(start))
    theirs = ScikitMixture(
        3,
        covariance_type="diag" if likelihood == "gaussian" else "full",
        tol=0.0,
        reg_covar=0.0,
        max_iter=steps,
        weights_init=start.log_weights.exp().numpy(),
        means_init=start.means.numpy(),
        precisions_init=(precisions.diagonal(dim1=1, dim2=2) if likelihood == "gaussian" else precisions).numpy(),
    )
    with pytest.warns(UserWarning, match="did not converge"):
        theirs.fit(x.numpy())
    ours = MixtureByEm().fit(mixture_choices(likelihood, iterations=steps, tolerance=0.0), x, 0).model
    assert np.allclose(ours.log_prob(x).detach().numpy(), theirs.score_samples(x.numpy()), rtol=1e-7)


@pytest.mark.parametrize("floor", [1e-3, 0.7])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_at_each_half_step_ln_p_is_elbo_plus_kl_and_neither_step_lowers_the_elbo(likelihood, floor):
    """q is what the E step set; after the M step it is no posterior any more. At the high floor many σ stand on it."""
    x = clusters()
    model = started(x, likelihood, floor=floor)
    log_q = gmm.expectation(model, x).log_gamma
    elbos, evidences = [], []
    for half in range(40):
        if half % 2:
            log_q = gmm.expectation(model, x).log_gamma
        else:
            gmm.maximise(model, x, log_q, floor)
        z = torch.eye(3, dtype=torch.float64)[:, None]
        log_joint = (model.prior().log_prob(z) + model.likelihood(z).log_prob(x)).mT
        elbo = (log_q.exp() * (log_joint - log_q)).sum(-1)
        log_posterior = log_joint - torch.logsumexp(log_joint, -1, keepdim=True)
        kl = (log_q.exp() * (log_q - log_posterior)).sum(-1)
        assert torch.allclose(model.log_prob(x), elbo + kl, rtol=1e-12, atol=1e-12)
        if half % 2:
            assert float(kl.abs().max()) < 1e-12
        elbos.append(float(elbo.mean()))
        evidences.append(float(model.log_prob(x).mean()))
    assert min(np.diff(elbos)) > -1e-12
    assert min(np.diff(evidences)) > -1e-12
    assert evidences[-1] > evidences[0] + 1e-3
    assert float(torch.linalg.eigvalsh(covariances(model)).min()) > floor**2 * (1 - 1e-9)


def test_curves_have_a_row_an_iteration_and_end_at_the_models_own_likelihood():
    x = clusters()
    for choices in (mixture_choices(), mixture_choices("gaussian-full"), em_choices(2, tolerance=1e-9)):
        (trained,) = fit([cell(0, "small/real", choices)], Surroundings(source_of(x)))
        losses = [row["loss"] for row in trained.curves]
        assert [row["step"] for row in trained.curves] == list(range(1, trained.steps + 1))
        assert max(np.diff(losses)) < 1e-12
        assert losses[-1] == pytest.approx(-trained.model.log_prob(x).mean().item(), rel=1e-12)
        assert 1 < len(losses) < choices["objective"]["iterations"]


def test_seeds_move_the_start_and_nothing_else_does():
    x = clusters()
    first = gmm.spread_out_centres(x, 3, seed=0)
    torch.manual_seed(1)
    assert torch.equal(first, gmm.spread_out_centres(x, 3, seed=0))
    assert not torch.equal(first, gmm.spread_out_centres(x, 3, seed=1))


def test_centres_are_images_drawn_by_their_squared_distance():
    """From three tight clusters one centre each, whatever the seed. Of 0, 1 and 3: after 0 comes 3 in 9 of 9 + 1
    cases, after 1 in 4 of 4 + 1, and after 3 comes 0 in 9 of 9 + 4."""
    tight = torch.tensor([0.0, 10.0, 20.0], dtype=torch.float64)[torch.arange(90) % 3, None]
    tight = tight + 1e-3 * torch.randn(90, 2, dtype=torch.float64)
    for seed in range(20):
        centres = gmm.spread_out_centres(tight, 3, seed)
        assert sorted((centres[:, 0] / 10).round().tolist()) == [0.0, 1.0, 2.0]
    line = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    pairs = [tuple(gmm.spread_out_centres(line, 2, seed).flatten().tolist()) for seed in range(3000)]
    for first, second, expected in ((0.0, 3.0, 0.9), (1.0, 3.0, 0.8), (3.0, 0.0, 9 / 13)):
        found = [pair[1] == second for pair in pairs if pair[0] == first]
        assert np.mean(found) == pytest.approx(expected, abs=4 * (expected * (1 - expected) / len(found)) ** 0.5)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_more_components_than_distinct_images_stay_finite(likelihood):
    x = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64).repeat(10, 1)
    model, losses = MixtureByEm().fit(mixture_choices(likelihood, 4), x, 0)
    assert np.isfinite(losses).all()
    assert all(bool(value.isfinite().all()) for value in model.parameters())
    assert float(torch.linalg.eigvalsh(covariances(model.requires_grad_(False))).min()) == pytest.approx(1e-6)


def test_ppca_by_em_reaches_the_closed_form():
    x = with_eigenvalues([5.0, 3.0, 2.0, 0.5, 0.4, 0.3, 0.2])
    em, curve = PpcaByEm().fit(em_choices(3), x, 0)
    closed, (least,) = ClosedFormPpca().fit(ppca_composition(3), x, 0)
    assert torch.allclose(em.weights @ em.weights.mT, closed.weights @ closed.weights.mT, atol=1e-6)
    assert em.sigma.item() == pytest.approx(closed.sigma.item(), rel=1e-7)
    assert closed.sigma.item() ** 2 == pytest.approx(0.35, rel=1e-9)
    assert curve[-1] == pytest.approx(least, rel=1e-12)
    assert max(np.diff(curve)) < 1e-12


def test_ppcas_m_step_uses_the_images_as_the_paper_writes_them():
    """Sums over the images against their covariance; the text's W_new, without the inverse, is another matrix."""
    x = with_eigenvalues([5.0, 3.0, 1.0, 0.5, 0.3])
    model = PpcaByEm().model(em_choices(2), Shape(5)).double().requires_grad_(False)
    mean = x.mean(0)
    covariance = (x - mean).mT @ (x - mean) / len(x)
    model.mean.copy_(mean)
    ppca_em.start(model, covariance, 0, 1e-3)
    q = model.posterior(x)
    second = (q.covariance_matrix + q.mean.unsqueeze(-1) * q.mean.unsqueeze(-2)).sum(0)
    cross = (x - mean).mT @ q.mean
    weights = cross @ torch.linalg.inv(second)
    terms = (x - mean).square().sum(-1) - 2 * (q.mean * ((x - mean) @ weights)).sum(-1)
    variance = (terms.sum() + (second @ weights.mT @ weights).trace()) / x.numel()
    ppca_em.maximise(model, covariance, ppca_em.expectation(model, covariance), 1e-3)
    assert torch.allclose(model.weights, weights, rtol=1e-10)
    assert float(model.sigma) ** 2 == pytest.approx(float(variance), rel=1e-10)
    assert not torch.allclose(cross @ second, weights, rtol=0.1)


def test_pcas_reconstruction_is_scikit_learns():
    x = clusters(pixels=6)
    model, (loss,) = ClosedFormPca().fit(pca_choices(2), x, 0)
    theirs = PCA(2).fit(x.numpy())
    with torch.no_grad():
        ours = model.likelihood(model.posterior(x).mean).mean
    expected = theirs.inverse_transform(theirs.transform(x.numpy()))
    assert np.allclose(ours.numpy(), expected, atol=1e-10)
    assert loss == pytest.approx(float((x - ours).square().sum(-1).mean()), rel=1e-10)
    basis = model.basis.detach().numpy().T
    signs = np.sign((basis * theirs.components_).sum(-1, keepdims=True))
    assert np.allclose(basis, signs * theirs.components_, atol=1e-8)  # largest eigenvalue first


@pytest.mark.parametrize(
    "likelihood", [{"name": "gaussian-shared", "sigma_floor": 0.1}, {"name": "gaussian-fixed", "sigma": 0.4}]
)
def test_the_analytic_expectation_is_the_monte_carlo_one(likelihood):
    model = Composition(linear_choices(3, **likelihood), Shape(6)).double().requires_grad_(False)
    x, draws = torch.randn(7, 6, dtype=torch.float64), 100_000
    q = model.posterior(x)
    log_density = model.likelihood(q.from_noise(torch.randn(draws, 7, 3, dtype=torch.float64))).log_prob(x)
    error = log_density.std(0) / draws**0.5
    closed = expected_log_density(model, columns_of(model, q.mean), q, x)
    assert bool(((log_density.mean(0) - closed).abs() < 4.5 * error).all())


def test_given_a_label_the_analytic_expectation_is_the_monte_carlo_one():
    """The label shifts the mean and leaves W alone, so the columns may be read off any one image."""
    choices = {**linear_choices(3, name="gaussian-fixed", sigma=0.4), "conditional": True}
    conditional = Composition(choices, Shape(6, classes=4)).double().requires_grad_(False)
    y, x, draws = torch.arange(7) % 4, torch.randn(7, 6, dtype=torch.float64), 100_000
    model = given(conditional, y)
    q = model.posterior(x)
    log_density = model.likelihood(q.from_noise(torch.randn(draws, 7, 3, dtype=torch.float64))).log_prob(x)
    error = log_density.std(0) / draws**0.5
    columns = [columns_of(given(conditional, one), q.mean) for one in (y[:1], y[3:4])]
    assert torch.allclose(*columns)
    closed = expected_log_density(model, columns[0], q, x)
    assert bool(((log_density.mean(0) - closed).abs() < 4.5 * error).all())
    others = given(conditional, (y + 1) % 4)
    assert bool(((expected_log_density(others, columns[0], q, x) - closed).abs() > 1e-3).all())


def trained_linear(x, latent, steps=1500, **likelihood):
    recipe = {"epochs": steps, "batch": len(x), "learning_rate": 0.03, "schedule": "cosine"}
    cells = [cell(seed, "small/real", linear_choices(latent, **likelihood), **recipe) for seed in range(2)]
    return train_fleet(cells, Surroundings(source_of(x)))


def exact_log_prob(model, x):
    """ln N(x; b, WWᵀ + σ²I) of a linear VAE."""
    origin = model.likelihood(torch.zeros(1, model.prior().event_shape[0], dtype=x.dtype))
    columns = model.likelihood(torch.eye(model.prior().event_shape[0], dtype=x.dtype)).mean - origin.mean
    covariance = columns.mT @ columns + origin.variance[0].diag()
    return torch.distributions.MultivariateNormal(origin.mean[0], covariance).log_prob(x)


@torch.no_grad()
def analytic_elbo(model, x):
    q = model.posterior(x)
    return expected_log_density(model, columns_of(model, q.mean), q, x) - torch.distributions.kl_divergence(
        q, model.prior()
    )


def test_a_linear_vae_ends_below_ppcas_maximum_and_close_to_it():
    x = with_eigenvalues([4.0, 2.0, 1.0, 0.3, 0.25, 0.2, 0.15, 0.1])
    _, (least,) = ClosedFormPpca().fit(ppca_composition(3), x, 0)
    for trained in trained_linear(x, 3):
        model = trained.model.requires_grad_(False)
        elbo, log_prob = float(analytic_elbo(model, x).mean()), float(exact_log_prob(model, x).mean())
        assert elbo <= log_prob <= -least + 1e-9
        assert -least - elbo < 0.5
        assert trained.curves[-1]["loss"] == pytest.approx(-elbo, abs=1e-3)


@pytest.mark.parametrize(("latent", "active"), [(6, 4), (3, 3)])
def test_with_a_fixed_sigma_the_active_latents_are_the_eigenvalues_above_its_square(latent, active):
    x = with_eigenvalues([4.0, 2.0, 1.0, 0.6, 0.1, 0.08, 0.05, 0.02])
    for trained in trained_linear(x, latent, name="gaussian-fixed", sigma=0.5):
        with torch.no_grad():
            spread = trained.model.posterior(x).mean.var(0)
        assert int((spread > 0.01).sum()) == active


def test_the_memory_of_an_objective_without_noise_is_known():
    x = with_eigenvalues([1.0, 0.5, 0.2])
    wanted = demand(cell(0, "small/real", linear_choices(2)), source_of(x))
    assert (wanted.lasting > 0, wanted.gradient > 0, wanted.drawn) == (True, True, ())


@pytest.mark.parametrize("fitter", [MixtureByEm(), PpcaByEm()], ids=["gmm", "ppca-em"])
def test_em_stops_between_two_iterations_when_it_is_asked_to(fitter):
    choices = mixture_choices(tolerance=0.0) if isinstance(fitter, MixtureByEm) else em_choices(2)
    looks = iter([False] * 3 + [True])
    with pytest.raises(Interrupted):
        fitter.fit(choices, clusters(), 0, lambda: next(looks))
    assert list(looks) == []
