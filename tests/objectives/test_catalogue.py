"""Every objective of the catalogue against its defining equation."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from tests.compositions import cell, composition
from vaebench.catalog.catalog import complete, load_catalog
from vaebench.data.dataset import Shape
from vaebench.models.distributions import DiagonalNormal
from vaebench.objectives import discrepancy, moments, score_function
from vaebench.objectives.critic import Critic, critic_loss, shuffled, shuffled_rows
from vaebench.objectives.discrepancy import unbiased_mmd
from vaebench.objectives.elbo import effective_beta
from vaebench.objectives.iwae import LOSSES, importance_bound, log_weights
from vaebench.objectives.reconstruction import squared_jacobian
from vaebench.objectives.total_correlation import ESTIMATORS, WEIGHTINGS, kl_parts, weighted_once
from vaebench.training.initialisation import build_system

IMAGES, PIXELS = 30, 9
DOUBLE = torch.float64
ONE = torch.ones((), dtype=DOUBLE)


def objective_of(name, **parameters):
    return {"name": name, **complete(load_catalog().parts["objective"][name].parameters, parameters)}


def built(name, images=1000, choices=None, **parameters):
    made = composition(objective=objective_of(name, **parameters), **(choices or {}))
    system, objective = build_system(cell(choices=made), Shape(PIXELS), images)
    return system, objective


def inputs_of(player, seed=1):
    generator = torch.Generator().manual_seed(seed)
    batches = tuple((torch.rand(IMAGES, PIXELS, generator=generator) < 0.4).double() for _ in range(player.batches))
    noise = {}
    for name, wanted in player.noise.items():
        draw = torch.rand if wanted.law == "uniform" else torch.randn
        noise[name] = draw(wanted.draws, IMAGES, wanted.size, dtype=DOUBLE, generator=generator)
    return batches, noise


LINEAR = {"name": "linear", "initialisation": "torch"}


def is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def settings(**values):
    known = {"kl_weight": 1.0, "progress": 0.5, **values}
    return {name: torch.tensor(value, dtype=DOUBLE) for name, value in known.items()}


def gradient(loss, system, prefix="model."):
    parameters = [value for name, value in system.named_parameters() if name.startswith(prefix)]
    return torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True, retain_graph=True)


class TestIwae:
    def test_the_loss_is_the_bound_and_its_gradient_weighs_each_sample_by_its_share(self):
        """∇ ln 1/K Σ w_k = Σ_k w̃_k ∇ ln w_k, with w̃ the normalised weights held still."""
        system, objective = built("iwae", samples=7)
        (player,) = objective.players
        (x,), noise = inputs_of(player)
        loss, terms = system(player, (x,), noise, settings())
        log_weight = log_weights(system.model, x, noise["z"], ONE)[0]
        by_hand = torch.log(torch.exp(log_weight - log_weight.max(0).values).mean(0)) + log_weight.max(0).values
        assert torch.allclose(terms["bound"], by_hand.mean(), rtol=1e-12)
        assert torch.allclose(loss, -by_hand.mean(), rtol=1e-12)
        share = torch.softmax(log_weight, dim=0).detach()
        surrogate = -(share * log_weight).sum(0).mean()
        assert not torch.allclose(surrogate, loss, rtol=1e-3)
        for ours, theirs in zip(gradient(loss, system), gradient(surrogate, system), strict=True):
            assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12)

    def test_one_sample_is_the_monte_carlo_elbo(self):
        system, objective = built("iwae", samples=1)
        plain, elbo = built("elbo", kl="monte-carlo", samples=1)
        (x,), noise = inputs_of(objective.players[0])
        bound, _ = system(objective.players[0], (x,), noise, settings())
        loss, _ = plain(elbo.players[0], (x,), noise, settings(beta=1.0))
        assert torch.allclose(bound, loss, rtol=1e-12)

    def test_more_samples_never_lower_the_bound_on_the_same_draws(self):
        weights = torch.randn(12, 50, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
        in_groups = torch.stack([importance_bound(group) for group in weights.split(4)]).mean()
        assert weights.mean() <= in_groups <= importance_bound(weights)


class TestScoreFunction:
    @pytest.mark.parametrize(("baseline", "draws"), [("none", 4000), ("leave-one-out", 400)])
    def test_it_agrees_with_the_reparametrised_gradient_in_expectation(self, baseline, draws):
        """Encoder gradients of both estimators on the same images, over many draws, within their errors."""
        system, objective = built("score-function", samples=draws, baseline=baseline)
        (player,) = objective.players
        (x,), _ = inputs_of(player)
        x = x[:2]
        target = next(system.model.posterior_head.parameters())
        estimates, pathwise = [], []
        generator = torch.Generator().manual_seed(3)
        for _ in range(40):
            noise = {"z": torch.randn(draws, 2, 4, dtype=DOUBLE, generator=generator)}
            loss, terms = system(player, (x,), noise, settings())
            estimates.append(torch.autograd.grad(loss, target)[0])
            weights = log_weights(system.model, x, noise["z"], ONE)[0]
            pathwise.append(torch.autograd.grad(-weights.mean(), target)[0])
            assert torch.allclose(loss, -terms["elbo"])
        ours, theirs = torch.stack(estimates), torch.stack(pathwise)
        error = (ours.var(0) / 40 + theirs.var(0) / 40).sqrt()
        deviation = ((ours.mean(0) - theirs.mean(0)).abs() / error.clamp_min(1e-12))[error > 1e-12]
        assert float(deviation.max()) < 5.0

    def test_the_decoders_gradient_is_the_usual_one(self):
        system, objective = built("score-function", samples=5, baseline="none")
        (player,) = objective.players
        (x,), noise = inputs_of(player)
        loss, _ = system(player, (x,), noise, settings())
        weights = log_weights(system.model, x, noise["z"], ONE)[0]
        for ours, theirs in zip(
            gradient(loss, system, "model.decoder"), gradient(-weights.mean(), system, "model.decoder"), strict=True
        ):
            assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("theta", [0.0, 1.0, 2.0])
    def test_wangs_example_has_his_exact_variances(self, theta):
        """q = N(θ, 1), f = x²: the score estimator x²(x − θ) has variance θ⁴ + 14 θ² + 15, the reparametrised
        2(θ + ε) has 4 (Wang 2018)."""
        noise = torch.randn(2_000_000, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
        x = theta + noise
        location = torch.tensor(theta, dtype=DOUBLE)
        score = x.square() * (x - location)
        assert float(score.mean()) == pytest.approx(2 * theta, abs=0.05)
        assert float(score.var()) == pytest.approx(theta**4 + 14 * theta**2 + 15, rel=0.02)
        assert float((2 * x).var()) == pytest.approx(4.0, rel=0.01)

    def test_leave_one_out_is_the_mean_of_the_others(self):
        f = torch.randn(5, 3, dtype=DOUBLE)
        for draw in range(5):
            others = torch.cat([f[:draw], f[draw + 1 :]]).mean(0)
            assert torch.allclose(score_function.leave_one_out(f)[draw], others)


WITHOUT_KL = {"autoencoder", "wasserstein", "adversarial"}


def laws_of(name, system, batches, noise):
    """The codes of the law that the critic says yes to, and of the other; (code, latent) each"""
    model = system.model
    codes = [model.posterior(x) for x in batches]
    drawn = codes[0].mean + codes[0].stddev * noise["z"][0]
    if name == "adversarial":
        return noise["prior"][0], drawn
    others = codes[1].mean + codes[1].stddev * noise["second"][0]
    return drawn, torch.stack(
        [column[key.argsort()] for column, key in zip(others.T, noise["order"][0].T, strict=True)], 1
    )


class TestWarmUp:
    @pytest.mark.parametrize(
        ("name", "choices"),
        [
            ("elbo", {}),
            ("mean-reduction", {"likelihood": {"name": "gaussian-fixed", "sigma": 1.0}}),
            ("kl-slip", {}),
            ("iwae", {}),
            ("score-function", {}),
            ("alternating", {}),
            ("free-bits", {}),
            ("capacity", {}),
            ("dip", {}),
            ("info", {}),
            ("total-correlation", {}),
            ("factor", {}),
            ("vmi", {}),
            ("linear-elbo", {"likelihood": {"name": "gaussian-fixed", "sigma": 1.0}, "network": LINEAR}),
        ],
    )
    def test_every_objective_with_a_kl_obeys_the_weight_that_rises(self, name, choices):
        """The loss moves with the weight, so that one recipe is one recipe for all of them, and is affine in it; of the
        importance-weighted bound, −ln of a mean of exponentials, it is concave."""
        system, objective = built(name, choices=choices)
        player = objective.players[-1]
        batches, noise = inputs_of(player)
        chosen = settings(**{key: float(value) for key, value in objective_of(name).items() if is_number(value)})

        def loss_at(weight):
            return float(system(player, batches, noise, {**chosen, "kl_weight": weight * ONE})[0].detach())

        none, half, whole = loss_at(0.0), loss_at(0.5), loss_at(1.0)
        assert abs(whole - none) > 1e-5
        if name == "iwae":
            assert half > (none + whole) / 2
        else:
            assert half == pytest.approx((none + whole) / 2, rel=1e-12)

    def test_no_objective_with_a_kl_was_forgotten(self):
        """Every trained objective of the catalog is above, or has no KL."""
        (mark,) = TestWarmUp.test_every_objective_with_a_kl_obeys_the_weight_that_rises.pytestmark
        trained = {name for name, part in load_catalog().parts["objective"].items() if not part.fitted}
        assert {name for name, _ in mark.args[1]} == trained - WITHOUT_KL

    def test_a_warming_importance_bound_is_the_mean_of_weighed_ratios_and_still_logs_the_bound(self):
        """ln 1/K Σ_k p(x|z_k) (p(z_k)/q(z_k|x))^w"""
        system, objective = built("iwae", samples=7)
        (player,) = objective.players
        (x,), noise = inputs_of(player)
        loss, terms = system(player, (x,), noise, settings(kl_weight=0.3))
        q = system.model.posterior(x)
        z = q.from_noise(noise["z"])
        log_ratio = system.model.prior().log_prob(z) - q.log_prob(z)
        log_density = system.model.likelihood(z).log_prob(x)
        assert torch.allclose(loss, -torch.log(torch.exp(log_density + 0.3 * log_ratio).mean(0)).mean(), rtol=1e-10)
        assert torch.allclose(terms["bound"], importance_bound(log_density + log_ratio), rtol=1e-12)

    def test_a_warming_score_function_estimates_the_gradient_of_the_weighed_bound(self):
        system, objective = built("score-function", samples=400, baseline="leave-one-out")
        (player,) = objective.players
        (x,), _ = inputs_of(player)
        x = x[:2]
        target = next(system.model.posterior_head.parameters())
        estimates, pathwise = [], []
        generator = torch.Generator().manual_seed(3)
        for _ in range(40):
            noise = {"z": torch.randn(400, 2, 4, dtype=DOUBLE, generator=generator)}
            estimates.append(torch.autograd.grad(system(player, (x,), noise, settings(kl_weight=0.3))[0], target)[0])
            q = system.model.posterior(x)
            kl = kl_divergence(q, system.model.prior()).mean()
            density = system.model.likelihood(q.from_noise(noise["z"])).log_prob(x).mean()
            pathwise.append(torch.autograd.grad(0.3 * kl - density, target)[0])
        ours, theirs = torch.stack(estimates), torch.stack(pathwise)
        error = (ours.var(0) / 40 + theirs.var(0) / 40).sqrt()
        deviation = ((ours.mean(0) - theirs.mean(0)).abs() / error.clamp_min(1e-12))[error > 1e-12]
        assert float(deviation.max()) < 5.0


class TestAlternating:
    def test_each_turn_is_the_elbos_gradient_in_its_own_half(self):
        system, objective = built("alternating")
        plain, elbo = built("elbo")
        (x,), noise = inputs_of(objective.players[0])
        reference, _ = plain(elbo.players[0], (x,), noise, settings(beta=1.0))
        owned = set()
        for player in objective.players:
            loss, _ = system(player, (x,), noise, settings(beta=1.0))
            assert torch.allclose(loss, reference)
            own = [name for name, _ in system.named_parameters() if name.startswith(player.owns)]
            gradients = torch.autograd.grad(loss, [system.get_parameter(name) for name in own])
            expected = torch.autograd.grad(reference, [plain.get_parameter(name) for name in own], retain_graph=True)
            assert all(torch.allclose(*pair) for pair in zip(gradients, expected, strict=True))
            owned |= {name for name, _ in system.named_parameters() if name.startswith(player.owns)}
        assert owned == {name for name, _ in system.named_parameters()}
        assert not set(objective.players[0].owns) & set(objective.players[1].owns)

    def test_the_encoder_moves_first_and_the_decoder_sees_where_it_went(self):
        _, objective = built("alternating")
        assert [player.owns for player in objective.players] == [
            ("model.encoder", "model.posterior_head"),
            ("model.decoder", "model.likelihood_head", "model.prior_family"),
        ]


class TestConstrained:
    def test_free_bits_charge_each_latent_for_its_batch_mean_above_the_allowance(self):
        system, objective = built("free-bits")
        (player,) = objective.players
        (x,), noise = inputs_of(player)
        q = system.model.posterior(x)
        by_latent = (0.5 * (q.variance + q.mean.square() - 1 - q.variance.log())).mean(0)
        allowance = float(by_latent.detach().median())
        loss, terms = system(player, (x,), noise, settings(free_nats=allowance))
        charged = sum(max(float(kl), allowance) for kl in by_latent)
        assert float(loss) == pytest.approx(charged - float(terms["reconstruction"]), rel=1e-9)

    @pytest.mark.parametrize(("progress", "reached"), [(0.0, 0.0), (0.2, 0.5), (0.4, 1.0), (0.9, 1.0)])
    def test_capacity_rises_to_its_maximum_and_is_that_of_the_batchs_mean(self, progress, reached):
        system, objective = built("capacity", rise=0.4)
        (player,) = objective.players
        (x,), noise = inputs_of(player)
        loss, terms = system(player, (x,), noise, settings(gamma=3.0, maximum=2.0, progress=progress))
        assert float(terms["capacity"]) == pytest.approx(2.0 * reached)
        distance = abs(float(terms["kl"]) - 2.0 * reached)
        assert float(loss) == pytest.approx(3.0 * distance - float(terms["reconstruction"]), rel=1e-9)

    def test_capacity_per_image_is_another_number_once_images_differ(self):
        faithful, popular = (built("capacity", per_image=flag) for flag in (False, True))
        (x,), noise = inputs_of(faithful[1].players[0])
        kl = kl_divergence(faithful[0].model.posterior(x), faithful[0].model.prior())
        middle = float(kl.mean())
        chosen = settings(gamma=1.0, maximum=middle, progress=1.0)
        (one, terms), (other, _) = (
            system(objective.players[0], (x,), noise, chosen) for system, objective in (faithful, popular)
        )
        assert float(one + terms["reconstruction"]) == pytest.approx(0.0, abs=1e-9)
        assert float(other - one) == pytest.approx(float((kl - middle).abs().mean()), rel=1e-9)


class TestMoments:
    def test_covariances_are_numpys_with_divisor_n(self):
        mean, variance = torch.randn(20, 3, dtype=DOUBLE), torch.rand(20, 3, dtype=DOUBLE)
        expected = np.cov(mean.numpy(), rowvar=False, bias=True)
        assert np.allclose(moments.covariance_of_means(mean, variance), expected)
        assert np.allclose(moments.covariance_of_codes(mean, variance), expected + np.diag(variance.mean(0).numpy()))

    def test_the_penalty_is_zero_exactly_at_the_identity(self):
        off, on = moments.distances(torch.eye(3, dtype=DOUBLE))
        assert float(off) == float(on) == 0.0
        covariance = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=DOUBLE)
        off, on = moments.distances(covariance)
        assert (float(off), float(on)) == (0.5, 1.0)

    @pytest.mark.parametrize("form", ["i", "ii"])
    def test_dip_adds_its_penalty_to_the_elbo(self, form):
        """Form I of the means alone; form II of the codes, whose noise stands on the diagonal."""
        system, objective = built("dip", form=form)
        (player,) = objective.players
        (x,), noise = inputs_of(player)
        loss, terms = system(player, (x,), noise, settings(lambda_off=2.0, lambda_on=3.0))
        q = system.model.posterior(x)
        covariance = torch.cov(q.mean.mT, correction=0)
        if form == "ii":
            covariance = covariance + torch.diag(q.variance.mean(0))
        off = (covariance - torch.diag(covariance.diagonal())).square().sum()
        on = (covariance.diagonal() - 1).square().sum()
        elbo = terms["reconstruction"] - kl_divergence(q, system.model.prior()).mean()
        assert torch.allclose(loss, 2.0 * off + 3.0 * on - elbo)


class TestDiscrepancy:
    @pytest.mark.parametrize("kernel", ["imq", "rbf"])
    def test_mmd_equals_a_double_loop(self, kernel):
        a, b = torch.randn(6, 2, dtype=DOUBLE), torch.randn(6, 2, dtype=DOUBLE) + 1

        def k(x, y):
            squared = float((x - y).square().sum())
            if kernel == "rbf":
                return math.exp(-squared / 4.0)
            return sum(4.0 * s / (4.0 * s + squared) for s in discrepancy.SCALES)

        pairs = [(i, j) for i in range(6) for j in range(6)]
        within = sum(k(p[i], p[j]) for p in (a, b) for i, j in pairs if i != j) / 30
        between = sum(k(a[i], b[j]) for i, j in pairs) / 36
        assert float(unbiased_mmd(a, b, discrepancy.KERNELS[kernel])) == pytest.approx(within - 2 * between, rel=1e-9)

    @pytest.mark.parametrize("kernel", ["imq", "rbf"])
    def test_mmd_is_zero_in_expectation_for_equal_laws_and_positive_for_others(self, kernel):
        generator = torch.Generator().manual_seed(0)
        chosen = discrepancy.KERNELS[kernel]

        def sample(count, shift=0.0):
            return shift + torch.randn(count, 3, dtype=DOUBLE, generator=generator)

        values = torch.stack([unbiased_mmd(sample(20), sample(20), chosen) for _ in range(500)])
        assert abs(float(values.mean())) < 4 * float(values.std()) / math.sqrt(500)
        apart = unbiased_mmd(
            torch.randn(50, 3, dtype=DOUBLE), 2 + torch.randn(50, 3, dtype=DOUBLE), discrepancy.KERNELS[kernel]
        )
        assert float(apart) > 0.1

    def test_info_vae_weighs_as_its_equation(self):
        system, objective = built("info")
        (player,) = objective.players
        (x,), noise = inputs_of(player)
        loss, terms = system(player, (x,), noise, settings(alpha=0.3, **{"lambda": 5.0}))
        assert torch.allclose(loss, 0.7 * terms["kl"] + 4.3 * terms["mmd"] - terms["reconstruction"])


class TestTotalCorrelation:
    def log_density(self, mean, scale, z):
        return Normal(mean, scale).log_prob(z.unsqueeze(1))

    def test_the_parts_sum_to_the_monte_carlo_kl_for_every_estimator(self):
        mean, scale = torch.randn(16, 3, dtype=DOUBLE), torch.rand(16, 3, dtype=DOUBLE) + 0.2
        z = mean + scale * torch.randn(16, 3, dtype=DOUBLE)
        log_prior = Normal(0.0, 1.0).log_prob(z)
        for make in ESTIMATORS.values():
            parts = kl_parts(self.log_density(mean, scale, z), make(16, 500, z), log_prior)
            kl = (DiagonalNormal(mean, scale).log_prob(z) - log_prior.sum(-1)).mean()
            assert torch.allclose(sum(parts), kl, rtol=1e-9)

    def test_over_the_whole_set_stratified_weights_give_the_exact_mixture(self):
        mean, scale = torch.randn(40, 2, dtype=DOUBLE), torch.rand(40, 2, dtype=DOUBLE) + 0.2
        z = mean + scale * torch.randn(40, 2, dtype=DOUBLE)
        mixture = MixtureSameFamily(Categorical(torch.ones(40).double()), Independent(Normal(mean, scale), 1))
        exact = (DiagonalNormal(mean, scale).log_prob(z) - mixture.log_prob(z)).mean()
        information, _, _ = kl_parts(
            self.log_density(mean, scale, z), ESTIMATORS["mss"](40, 40, z), torch.zeros_like(z)
        )
        assert torch.allclose(information, exact, rtol=1e-10)

    def test_estimators_on_a_known_aggregate(self):
        """Section 7.4: N = 10,000, D = 10, σ = 0.3, batch 256, mean of 40 batches: MSS within 0.5 nats of the exact MI
        and TC; MWS off by about 6 in MI and 86 in TC."""
        generator = torch.Generator().manual_seed(0)
        means = torch.randn(10_000, 10, dtype=torch.float32, generator=generator)
        scale = torch.tensor(0.3)
        z = means[:400] + scale * torch.randn(400, 10, generator=generator)
        log_q, log_q_product = [], []
        for part in z.split(20):
            density = Normal(means, scale).log_prob(part.unsqueeze(1))
            log_q.append(torch.logsumexp(density.sum(-1), 1) - math.log(10_000))
            log_q_product.append((torch.logsumexp(density, 1) - math.log(10_000)).sum(-1))
        log_q, log_q_product = torch.cat(log_q), torch.cat(log_q_product)
        exact_information = float((Normal(means[:400], scale).log_prob(z).sum(-1) - log_q).mean())
        exact_total = float((log_q - log_q_product).mean())
        found = {}
        for name, make in ESTIMATORS.items():
            values = []
            for _ in range(40):
                batch = torch.randperm(10_000, generator=generator)[:256]
                drawn = means[batch] + scale * torch.randn(256, 10, generator=generator)
                density = Normal(means[batch], scale).log_prob(drawn.unsqueeze(1))
                values.append(torch.stack(kl_parts(density, make(256, 10_000, drawn), torch.zeros_like(drawn))[:2]))
            found[name] = torch.stack(values).mean(0).tolist()
        assert found["mss"][0] == pytest.approx(exact_information, abs=0.5)
        assert found["mss"][1] == pytest.approx(exact_total, abs=0.5)
        assert found["mws"][0] - exact_information == pytest.approx(6, abs=1.5)
        assert found["mws"][1] - exact_total == pytest.approx(86, abs=8)

    def test_weights_of_one_and_beta_are_factor_vaes_under_exact_total_correlation(self):
        """Section 7.6: β-TCVAE(α = γ = 1, β) = ELBO − (β − 1) TC."""
        system, objective = built("total-correlation")
        (player,) = objective.players
        (x,), noise = inputs_of(player)
        loss, terms = system(player, (x,), noise, settings(alpha=1.0, beta=4.0, gamma=1.0))
        q = system.model.posterior(x)
        z = q.mean + q.stddev * noise["z"][0]
        monte_carlo_kl = (q.log_prob(z) - system.model.prior().log_prob(z)).mean()
        expected = monte_carlo_kl - terms["reconstruction"] + 3.0 * terms["total_correlation"]
        assert torch.allclose(loss, expected, rtol=1e-9)

    @pytest.mark.parametrize("weights", [(2.0, 1.0, 1.0), (1.0, 1.0, 3.0), (0.0, 5.0, 0.5)])
    def test_each_part_has_its_own_weight(self, weights):
        """α I + β TC + γ Σ_u KL_u − E ln p(x|z), the parts from densities written out by hand (eq. 5.5)."""
        system, objective = built("total-correlation")
        (player,) = objective.players
        (x,), noise = inputs_of(player)
        chosen = dict(zip(("alpha", "beta", "gamma"), weights, strict=True))
        loss, terms = system(player, (x,), noise, settings(**chosen))
        q = system.model.posterior(x)
        z = q.mean + q.stddev * noise["z"][0]
        density = Normal(q.mean, q.stddev).log_prob(z[:, None])
        stratified = torch.full((IMAGES, IMAGES), (1000 - 1) / (1000 * (IMAGES - 1)), dtype=DOUBLE)
        log_weight = stratified.fill_diagonal_(1 / 1000).log()
        log_q = torch.logsumexp(density.sum(-1) + log_weight, 1)
        log_product = torch.logsumexp(density + log_weight[..., None], 1).sum(-1)
        log_prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
        information = (q.log_prob(z) - log_q).mean()
        by_hand = (information, (log_q - log_product).mean(), (log_product - log_prior).mean())
        penalty = sum(weight * part for weight, part in zip(weights, by_hand, strict=True))
        assert torch.allclose(loss, penalty - terms["reconstruction"], rtol=1e-9)


class TestCritics:
    @pytest.mark.parametrize("name", ["factor", "adversarial"])
    def test_the_critic_learns_to_say_yes_to_the_law_that_the_model_player_asks_about(self, name):
        """FactorVAE's critic is the log ratio of q(z) to the shuffled product, the adversarial one's that of p(z) to
        q(z): a critic that knows the difference has the smaller loss, and one that has them exchanged the larger."""
        system, objective = built(name)
        critic = objective.players[0]
        batches, noise = inputs_of(critic)
        first, second = laws_of(name, system, batches, noise)

        class Knows(torch.nn.Module):
            def __init__(self, sign):
                super().__init__()
                self.sign = sign

            def forward(self, z):
                told = (z.unsqueeze(-2) == first).all(-1).any(-1)
                assert bool((told | (z.unsqueeze(-2) == second).all(-1).any(-1)).all())
                return self.sign * torch.where(told, 5.0, -5.0).to(DOUBLE)

        losses = []
        for sign in (1.0, -1.0):
            system.critic = Knows(sign)
            losses.append(float(system(critic, batches, noise, settings())[0]))
        assert losses[0] < 0.01
        assert losses[1] > 4.0

    def test_shuffling_keeps_each_latents_values_and_breaks_their_company(self):
        z = torch.arange(30, dtype=DOUBLE).reshape(10, 3)
        mixed = shuffled(z, torch.rand(10, 3, generator=torch.Generator().manual_seed(0)))
        assert torch.equal(mixed.sort(0).values, z)
        assert not torch.equal(mixed, z)
        assert len({tuple((row // 3).tolist()) for row in mixed}) > 3

    @pytest.mark.parametrize("name", ["factor", "adversarial"])
    def test_the_critics_loss_gives_the_model_exactly_no_gradient(self, name):
        system, objective = built(name)
        critic = objective.players[0]
        batches, noise = inputs_of(critic)
        loss, _ = system(critic, batches, noise, settings())
        loss.backward()
        assert all(parameter.grad is None for parameter in system.model.parameters())
        assert all(parameter.grad is not None for parameter in system.critic.parameters())

    def test_the_best_critic_is_the_log_ratio_of_the_densities(self):
        """N(½, 1) against N(−½, 1): the logit is z, and its mean under the first law is the KL, ½."""
        torch.manual_seed(0)
        critic = Critic(1, [32, 32])
        optimiser = torch.optim.Adam(critic.parameters(), lr=5e-3)
        for _ in range(600):
            loss = critic_loss(critic(torch.randn(512, 1) + 0.5), critic(torch.randn(512, 1) - 0.5))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        z = torch.linspace(-1.5, 1.5, 7).unsqueeze(-1)
        assert torch.allclose(critic(z).detach(), z.squeeze(-1), atol=0.25)
        assert float(critic(torch.randn(50_000, 1) + 0.5).mean().detach()) == pytest.approx(0.5, abs=0.12)

    def test_factor_vae_subtracts_gamma_times_the_critics_ratio(self):
        system, objective = built("factor")
        player = objective.players[1]
        (x,), noise = inputs_of(player)
        loss, terms = system(player, (x,), noise, settings(gamma=5.0))
        assert torch.allclose(loss, terms["kl"] - terms["reconstruction"] + 5.0 * terms["total_correlation"])
        q = system.model.posterior(x)
        z = q.mean + q.stddev * noise["z"][0]
        assert torch.allclose(terms["total_correlation"], system.critic(z).mean())

    def test_the_adversarial_player_wants_its_codes_taken_for_the_priors(self):
        system, objective = built("adversarial")
        player = objective.players[1]
        (x,), noise = inputs_of(player)
        loss, terms = system(player, (x,), noise, settings(**{"lambda": 2.0}))
        q = system.model.posterior(x)
        z = q.mean + q.stddev * noise["z"][0]
        expected = -torch.sigmoid(system.critic(z)).log().mean()
        assert torch.allclose(terms["deceived"], expected)
        assert torch.allclose(loss, 2.0 * expected - terms["reconstruction"])


def test_the_squared_jacobian_is_unbiased():
    weight = torch.randn(5, 3, dtype=DOUBLE)
    x = torch.randn(4, 5, dtype=DOUBLE)

    def code(images):
        return torch.tanh(images @ weight)

    exact = torch.stack([torch.autograd.functional.jacobian(code, row).square().sum() for row in x])
    generator = torch.Generator().manual_seed(0)
    probes = torch.randn(3000, 4, 3, dtype=DOUBLE, generator=generator)
    estimates = torch.stack([squared_jacobian(code, x, probe) for probe in probes])
    error = estimates.std(0) / math.sqrt(3000)
    assert bool(((estimates.mean(0) - exact).abs() < 5 * error).all())


class TestPopularDepartures:
    """Each popular form does what its card says, and differs from its twin by what the theory says."""

    def test_mean_reduction_is_the_elbo_with_sigma_one_at_its_effective_beta(self):
        """The gradient of 1/D ‖x − μ‖² + w KL is 2/D times that of the negative ELBO with σ = 1 and β = w D/2."""
        likelihood = {"name": "gaussian-fixed", "sigma": 1.0}
        system, objective = built("mean-reduction", choices={"likelihood": likelihood})
        (player,) = objective.players
        (x,), noise = inputs_of(player)
        loss, _ = system(player, (x,), noise, settings(weight=0.3))
        q = system.model.posterior(x)
        mean = system.model.likelihood(q.mean + q.stddev * noise["z"][0]).mean
        popular = (x - mean).square().mean() + 0.3 * kl_divergence(q, system.model.prior()).mean()
        for ours, theirs in zip(gradient(loss, system), gradient(popular, system), strict=True):
            assert torch.allclose(2 / PIXELS * ours, theirs, rtol=1e-9, atol=1e-14)
        assert float(effective_beta(torch.tensor(0.00025), 784)) == pytest.approx(0.098)

    def test_a_variance_drawn_as_a_deviation_is_charged_as_the_variance_it_was_meant_to_be(self):
        """By hand, from the encoder's own numbers l = ln s: z = μ + eˡ ε, charged ½ Σ (eˡ + μ² − 1 − l)"""
        system, objective = built("kl-slip", slip="variance-as-deviation", samples=3)
        (player,) = objective.players
        (x,), noise = inputs_of(player)
        loss, terms = system(player, (x,), noise, settings(kl_weight=0.7))
        q = system.model.posterior(x)
        said = q.stddev.log()
        z = q.mean + said.exp() * noise["z"]
        charged = 0.5 * (said.exp() + q.mean.square() - 1 - said).sum(-1).mean()
        expected = 0.7 * charged - system.model.likelihood(z).log_prob(x).mean()
        assert torch.allclose(loss, expected, rtol=1e-12)
        pairs = zip(gradient(loss, system), gradient(expected, system), strict=True)
        assert all(torch.allclose(*pair, rtol=1e-9, atol=1e-12) for pair in pairs)
        s = q.stddev
        assert torch.allclose(terms["kl"] - charged, 0.5 * (s.square() - s - s.log()).sum(-1).mean(), rtol=1e-9)
        assert terms["charged_kl"] < terms["kl"]

    def test_a_kl_averaged_over_the_latents_is_the_elbo_at_beta_one_over_their_number(self):
        system, objective = built("kl-slip", slip="average-over-latents")
        plain, elbo = built("elbo")
        (x,), noise = inputs_of(objective.players[0])
        ours, _ = system(objective.players[0], (x,), noise, settings())
        theirs, _ = plain(elbo.players[0], (x,), noise, settings(beta=1 / system.model.noise_size))
        assert torch.allclose(ours, theirs, rtol=1e-12)
        pairs = zip(gradient(ours, system), gradient(theirs, plain), strict=True)
        assert all(torch.allclose(*pair, rtol=1e-10, atol=1e-14) for pair in pairs)

    def test_weights_from_the_loss_prefer_the_worst_draw_and_miss_the_bound(self):
        log_weight = torch.tensor([[-90.0], [-100.0], [-95.0]], dtype=DOUBLE, requires_grad=True)
        popular = LOSSES["losses"](log_weight)
        (pulled,) = torch.autograd.grad(popular, log_weight)
        assert pulled.abs().argmax() == 1
        assert float(popular) > float(-log_weight.mean()) > float(LOSSES["bound"](log_weight))
        by_hand = sum(math.exp(v - 100) * v for v in (90, 100, 95)) / sum(math.exp(v - 100) for v in (90, 100, 95))
        assert float(popular) == pytest.approx(by_hand)

    def test_the_stride_of_the_column_form_misses_the_diagonal(self):
        """Written as popular code writes it: a flat view of the B × B matrix with a stride of B."""
        batch, images = 7, 100
        written = torch.full((batch, batch), 1 / (batch - 1), dtype=DOUBLE)
        written.view(-1)[::batch] = 1 / images
        written.view(-1)[1::batch] = (images - batch + 1) / (images * (batch - 1))
        written[batch - 2, 0] = (images - batch + 1) / (images * (batch - 1))
        ours = ESTIMATORS["mss-column"](batch, images, torch.zeros((), dtype=DOUBLE)).exp()
        assert torch.allclose(ours, written)
        assert float(ours.diagonal()[2:].max()) == pytest.approx(1 / (batch - 1))

    def test_column_and_inside_forms_miss_the_exact_parts_by_more_than_two_nats(self):
        """Section 7.4, on a smaller aggregate: N = 4,000, D = 10, σ = 0.3, batch 256."""
        generator = torch.Generator().manual_seed(0)
        means, scale = torch.randn(4000, 10, generator=generator), torch.tensor(0.3)
        z = means[:200] + scale * torch.randn(200, 10, generator=generator)
        density = Normal(means, scale).log_prob(z.unsqueeze(1))
        log_q = torch.logsumexp(density.sum(-1), 1) - math.log(4000)
        exact = float((Normal(means[:200], scale).log_prob(z).sum(-1) - log_q).mean())
        found = {}
        for name in ("mss", "mss-column", "mss-inside", "mss-column-inside"):
            values = []
            for _ in range(20):
                batch = torch.randperm(4000, generator=generator)[:256]
                drawn = means[batch] + scale * torch.randn(256, 10, generator=generator)
                seen = Normal(means[batch], scale).log_prob(drawn.unsqueeze(1))
                weights = ESTIMATORS[name](256, 4000, drawn)
                parts = kl_parts(seen, weights, torch.zeros_like(drawn), WEIGHTINGS.get(name, weighted_once))
                values.append(float(parts[0]))
            found[name] = sum(values) / len(values)
        assert found["mss"] == pytest.approx(exact, abs=0.5)
        assert abs(found["mss-column"] - exact) > 2
        assert abs(found["mss-inside"] - exact) > 2
        assert abs(found["mss-column-inside"] - exact) > 2

    def test_weights_inside_pay_for_a_latent_so_narrow_that_posteriors_part(self):
        """(β − α)(M − 1) ln(N/(B − 1)) nats of what is minimised, against the faithful form; training runs there."""
        latents, images, batch, alpha, beta, gamma = 10, 50_000, 64, 1.0, 6.0, 1.0
        noise = torch.randn(batch, latents, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))

        def penalty(name, spread, narrowness):
            means, scale = torch.zeros_like(noise), torch.ones_like(noise)
            means[:, 0], scale[:, 0] = spread * torch.linspace(-1, 1, batch, dtype=DOUBLE), narrowness
            z = means + scale * noise
            density = Normal(means, scale).log_prob(z.unsqueeze(1))
            weights = ESTIMATORS[name](batch, images, z)
            log_prior = Normal(torch.zeros_like(z), 1.0).log_prob(z)
            parts = kl_parts(density, weights, log_prior, WEIGHTINGS.get(name, weighted_once))
            return float(alpha * parts[0] + beta * parts[1] + gamma * parts[2])

        faithful, popular = (penalty(name, 1.0, 1e-4) - penalty(name, 0.0, 1.0) for name in ("mss", "mss-inside"))
        assert faithful > 5
        gained = (beta - alpha) * (latents - 1) * math.log(images / (batch - 1))
        assert faithful - popular == pytest.approx(gained, rel=1e-3)

    def test_a_leaking_critics_loss_moves_the_encoder_and_a_clean_ones_does_not(self):
        """The leaking player's gradient is the clean player's and the critic's loss's, by the encoder's parameters."""
        system, objective = built("factor", leak=True, critic_hidden=[8])
        critic, leaking = objective.players
        batches, noise = inputs_of(leaking)
        values = settings(gamma=3.0)
        clean = built("factor", critic_hidden=[8])[1].players[1]
        difference = system(leaking, batches, noise, values)[0] - system(clean, batches[:1], noise, values)[0]
        q, other = system.model.posterior(batches[0]), system.model.posterior(batches[1])
        joint = q.mean + q.stddev * noise["z"][0]
        product = shuffled(other.mean + other.stddev * noise["second"][0], noise["order"][0])
        expected = critic_loss(system.critic(joint), system.critic(product.detach()))
        leaked = gradient(difference, system)
        assert any(float(part.abs().max()) > 0 for part in leaked)
        for ours, theirs in zip(leaked, gradient(expected, system), strict=True):
            assert torch.allclose(ours, theirs, rtol=1e-8, atol=1e-12)
        critics_own, _ = system(critic, batches, noise, values)
        assert not critics_own.requires_grad or all(not part.any() for part in gradient(critics_own, system))

    def test_the_same_batch_shuffled_shares_its_codes_with_those_it_is_compared_with(self):
        system, objective = built("factor", second_batch=False, critic_hidden=[8])
        critic, _ = objective.players
        assert critic.batches == 1
        batches, noise = inputs_of(critic)
        joint, product = critic.laws.of(system, batches, noise)
        assert torch.equal(joint.sort(0).values, product.sort(0).values)
        assert not torch.equal(joint, product)

    def test_rows_shuffle_latents_among_themselves_and_so_mix_the_marginals(self):
        z = torch.randn(2000, 3, dtype=DOUBLE) * torch.tensor([0.1, 1.0, 5.0])
        mixed = shuffled_rows(z, torch.rand(2000, 3, dtype=DOUBLE))
        assert torch.equal(mixed.sort(1).values, z.sort(1).values)
        spread = mixed.square().mean(0)
        assert torch.allclose(spread, z.square().mean().expand(3), rtol=0.2)
        clean = shuffled(z, torch.rand(2000, 3, dtype=DOUBLE))
        assert torch.allclose(clean.square().mean(0), z.square().mean(0), rtol=1e-12)

    def test_centring_over_latents_is_no_covariance_and_grows_with_the_batch(self):
        mean = torch.randn(500, 4, dtype=DOUBLE) + torch.tensor([0.0, 2.0, -1.0, 5.0])
        popular = moments.MOMENTS["i-over-latents"](mean, mean)
        array = mean.numpy() - mean.numpy().mean(1, keepdims=True)
        assert np.allclose(popular.numpy(), array.T @ array)
        assert not np.allclose(popular.numpy(), np.cov(mean.numpy().T, bias=True), rtol=0.5)
        twice = moments.MOMENTS["i-over-latents"](torch.cat([mean, mean]), mean)
        assert torch.allclose(twice, 2 * popular)

    def test_the_over_normalised_discrepancy_is_the_biased_one_divided_once_more(self):
        a, b = torch.randn(20, 3, dtype=DOUBLE), torch.randn(20, 3, dtype=DOUBLE) + 1.0
        kernel = discrepancy.KERNELS["imq"]

        def mean(one, other):
            return sum(float(kernel((u - v).square().sum(), 3)) for u in one for v in other) / 400

        biased = mean(a, a) + mean(b, b) - 2 * mean(a, b)
        ours = discrepancy.ESTIMATES["over-normalised"](a, b, kernel)
        assert float(ours) == pytest.approx(biased / (20 * 19), rel=1e-9)
        assert float(unbiased_mmd(a, b, kernel)) > 100 * float(ours)
