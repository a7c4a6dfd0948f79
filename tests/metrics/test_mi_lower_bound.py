"""Bounds on information against models whose information is known."""

import math

import pytest
import torch
from torch.distributions import Independent, Laplace

from tests.metrics.test_mutual_information import (
    CATEGORIES,
    FACTORS,
    IMAGES,
    LATENTS,
    LOGITS,
    MEANS,
    NORMAL,
    SCALES,
    UNIFORM,
    Table,
    linear_gaussian,
    log_mean,
    numbers,
    source_of,
)
from vaebench.data.dataset import Dataset, Split
from vaebench.data.source import Source
from vaebench.metrics import mi_lower_bound
from vaebench.metrics.evaluation import evaluate
from vaebench.metrics.mi_lower_bound import Entropy, bound, entropy_of, entropy_of_aggregate
from vaebench.metrics.reader import Lesson
from vaebench.metrics.subject import Subject
from vaebench.models.classical.pca import PrincipalComponents
from vaebench.models.distributions import DiagonalNormal, FullNormal
from vaebench.models.mixed import GaussianAndOneHot, OneHot
from vaebench.models.mixtures import EqualMixture
from vaebench.models.point import Point
from vaebench.store.record import MetricRequest

PROTOCOL = {
    "split": "test",
    "seed": 0,
    "steps": 250,
    "batch": 256,
    "hidden": [32],
    "learning_rate": 0.01,
    "q": "diagonal",
    "images": 1000,
    "draws": 4000,
}
HASTY = {**PROTOCOL, "steps": 8, "batch": 16, "draws": 40}


class Decoded(Table):
    """p(x|z) = N(f(z), σ² I), f linear; q(z|x) looked up."""

    def __init__(self, posterior_of, prior, weights, sigma):
        super().__init__(posterior_of, prior)
        self.weights, self.sigma = weights, torch.tensor(sigma).double()

    def likelihood(self, z):
        mean = z @ self.weights.T
        return DiagonalNormal(mean, self.sigma.expand_as(mean))


def parts_of(subject, protocol=PROTOCOL):
    with torch.no_grad():
        return {answer.part: answer for answer in mi_lower_bound.evaluate(subject, protocol)}


def generative(subject, protocol=PROTOCOL):
    with torch.no_grad():
        (answer,) = mi_lower_bound.generative(subject, protocol)
    return answer


def linear_information(weights, sigma):
    """½ ln |I + WᵀW/σ²|"""
    return 0.5 * float(torch.logdet(torch.eye(weights.shape[1]).double() + weights.T @ weights / sigma**2))


@pytest.fixture(scope="module")
def shrunk():
    return linear_gaussian(0.3, 1000)


@pytest.fixture(scope="module")
def with_full_covariance(shrunk):
    return parts_of(shrunk[0], {**PROTOCOL, "steps": 400, "q": "full", "draws": 8000})


def test_with_a_full_covariance_the_generative_bound_closes_to_two_per_cent(shrunk, with_full_covariance):
    """Truth 8: p(z|x) of a linear-Gaussian model is a normal with full covariance, which Q can be."""
    answer, closed = with_full_covariance["generative"], shrunk[1]
    assert answer.value == pytest.approx(closed, rel=0.02)
    assert answer.value <= closed + 3 * answer.stderr
    assert 0 < answer.stderr < 0.03
    assert answer.note == ""


def test_a_diagonal_covariance_loses_what_it_cannot_say(shrunk):
    """The best diagonal Q has the posterior's variances S_uu: H(z) − ½ Σ_u ln 2πe S_uu, I less the posterior's TC."""
    subject, closed = shrunk
    variances = subject.model.posterior(subject.source.images("test")[:1]).covariance_matrix[0].diagonal()
    best = -0.5 * float(variances.log().sum())
    answer = generative(subject, {**PROTOCOL, "steps": 400, "draws": 8000})
    assert best < closed - 0.1
    assert answer.value == pytest.approx(best, rel=0.02)
    assert answer.value <= best + 3 * answer.stderr


def test_an_encoder_near_the_exact_posterior_has_nearly_the_models_information(shrunk, with_full_covariance):
    """q(z) is then nearly p(z), and its entropy, seen on 1000 images, a little lower, never higher."""
    _, closed = shrunk
    answer = with_full_covariance["encoder"]
    assert closed - 0.3 < answer.value < closed + 3 * answer.stderr


def test_the_encoders_bound_is_about_its_own_codes_and_the_priors_entropy_breaks_it():
    """z ~ N(0, ½² I) whatever the image: I = ½ ln |I + ¼ WᵀW/σ²|. The prior's entropy adds D ln 2 that is not there."""
    weights, sigma, latents = 0.8 * numbers(20, 3), 0.5, 3

    def posterior_of(i):
        return DiagonalNormal(torch.zeros(len(i), latents).double(), torch.tensor(0.5).double())

    subject = Subject(Decoded(posterior_of, NORMAL, weights, sigma), source_of(1500))
    closed = linear_information(0.5 * weights, sigma)
    answers = parts_of(subject, {**PROTOCOL, "q": "full"})
    assert answers["encoder"].value == pytest.approx(closed, rel=0.04)
    assert answers["encoder"].value <= closed + 3 * answers["encoder"].stderr
    excess = answers["encoder_prior_entropy"].value - answers["encoder"].value
    assert excess == pytest.approx(latents * math.log(2), abs=0.15)
    assert answers["encoder_prior_entropy"].value > closed + 1.5


def coded(code_of, sigma=0.1):
    """A one-hot code that a decoder shows plainly."""

    def posterior_of(i):
        return OneHot(torch.nn.functional.one_hot(code_of(i), 10).double().clamp_min(1e-300).log())

    prior = OneHot(torch.zeros(10).double())
    return Subject(Decoded(posterior_of, prior, torch.eye(10).double(), sigma), source_of(1000))


def test_rare_codes_have_little_information_and_the_priors_entropy_claims_all():
    """q(c) = (.91, .01 × 9) read without a mistake: I = 0.500, and with the entropy of the prior 2.303 (truth 8)."""
    answers = parts_of(coded(lambda i: (i - 900).clamp_min(0) // 10))
    assert answers["encoder"].value == pytest.approx(0.500, abs=0.005)
    assert answers["encoder_prior_entropy"].value == pytest.approx(2.303, abs=0.005)
    assert answers["generative"].value == pytest.approx(2.303, abs=0.005)


def test_a_constant_code_has_no_information_and_the_priors_entropy_claims_all():
    answers = parts_of(coded(lambda i: torch.full_like(i, 3)))
    assert answers["encoder"].value == pytest.approx(0.0, abs=0.005)
    assert answers["encoder_prior_entropy"].value == pytest.approx(2.303, abs=0.005)


def test_a_joint_code_has_the_information_of_both_parts():
    """A category shown plainly on pixels of its own beside a linear-Gaussian code: I = ln K + ½ ln |I + WᵀW/σ²|."""
    weights = torch.block_diag(0.25 * numbers(20, LATENTS, seed=4), 2 * torch.eye(CATEGORIES).double())
    sigma = 0.3
    prior = GaussianAndOneHot(NORMAL, UNIFORM)
    subject = Subject(Decoded(lambda i: GaussianAndOneHot(*_joint(i)), prior, weights, sigma), source_of(IMAGES))
    closed = linear_information(weights[:, :LATENTS], sigma) + math.log(CATEGORIES)
    answer = generative(subject, {**PROTOCOL, "q": "full"})
    assert answer.value == pytest.approx(closed, rel=0.02)
    assert answer.value <= closed + 3 * answer.stderr


def _joint(i):
    return DiagonalNormal(MEANS[i], SCALES[i]), OneHot(LOGITS[i])


def test_q_sees_the_label_that_a_conditional_model_is_given():
    """x = z + s_y + σ ε: given y, I(x; z|y) = ½ ln(1 + 1/σ²); a reader of x alone would know much less."""
    shifts = torch.tensor([0.0, 2.0, 4.0, 6.0]).double()

    class Shifted(Table):
        conditional = True

        def posterior(self, x, y):
            return DiagonalNormal(torch.zeros(len(x), 1).double(), torch.ones(1).double())

        def likelihood(self, z, y):
            return DiagonalNormal(z + shifts[y].unsqueeze(-1), torch.tensor([0.3]).double())

    prior = DiagonalNormal(torch.zeros(1).double(), torch.ones(1).double())
    subject = Subject(Shifted(None, prior), source_of(1000, torch.arange(1000) % 4))
    closed = 0.5 * math.log(1 + 1 / 0.09)
    for part, answer in parts_of(subject, {**PROTOCOL, "steps": 200}).items():
        assert answer.value == pytest.approx(closed, abs=0.05), part


def test_the_aggregates_entropy_is_the_double_loop_over_images():
    codes = torch.cat([MEANS + 0.1, MEANS - 0.1])
    index = torch.arange(IMAGES).repeat(2)
    subject = Subject(Table(lambda i: FullNormal(MEANS[i], FACTORS[i]), NORMAL), source_of(IMAGES))
    singles = [FullNormal(mean, factor) for mean, factor in zip(MEANS, FACTORS, strict=True)]
    by_hand = [-log_mean([float(single.log_prob(code)) for single in singles]) for code in codes]
    entropy = entropy_of_aggregate(subject, PROTOCOL, codes, index)
    assert entropy.terms.tolist() == pytest.approx(by_hand, rel=1e-9)
    assert entropy.shared.tolist() == list(range(2 * IMAGES))


def test_a_categorys_entropy_is_exact_and_that_of_its_mean():
    subject = Subject(Table(lambda i: OneHot(LOGITS[i]), UNIFORM), source_of(IMAGES))
    mean = LOGITS.softmax(-1).mean(0)
    entropy = entropy_of_aggregate(subject, PROTOCOL, torch.eye(CATEGORIES).double()[:2], torch.tensor([0, 1]))
    assert float(entropy.terms) == pytest.approx(-float((mean * mean.log()).sum()), rel=1e-12)
    assert entropy.shared is None


def test_prior_entropies_are_closed_forms_or_means_over_draws():
    normal = 0.5 * LATENTS * math.log(2 * math.pi * math.e)
    codes = torch.zeros(1, LATENTS).double()
    assert float(entropy_of(NORMAL, codes).terms) == pytest.approx(normal)
    assert float(entropy_of(UNIFORM, codes).terms) == pytest.approx(math.log(CATEGORIES))
    joint = entropy_of(GaussianAndOneHot(NORMAL, UNIFORM), codes)
    assert float(joint.terms) == pytest.approx(normal + math.log(CATEGORIES))
    centres = torch.tensor([[-2.0], [1.0], [1.5]]).double()
    mixture = EqualMixture(DiagonalNormal(centres, torch.tensor([[0.5], [0.3], [1.0]]).double()))
    grid = torch.linspace(-9, 9, 20001).double().unsqueeze(-1)
    log_density = mixture.log_prob(grid)
    by_quadrature = -float((log_density.exp() * log_density).sum() * (grid[1] - grid[0]))
    drawn = entropy_of(mixture, mixture.from_noise(numbers(20000, 2, seed=5)))
    assert abs(float(drawn.terms.mean()) - by_quadrature) < 3 * float(drawn.terms.std()) / math.sqrt(20000)


def test_a_prior_without_a_closed_form_has_its_entropy_from_draws_of_its_own():
    """Of which there are more than images: 4000 draws, 12 images. The two encoder forms differ by their entropies."""
    mixture = EqualMixture(DiagonalNormal(MEANS[:3], SCALES[:3]))
    model = Decoded(lambda i: FullNormal(MEANS[i], FACTORS[i]), mixture, numbers(5, LATENTS, seed=4), 0.5)
    subject = Subject(model, source_of(IMAGES))
    answers = parts_of(subject, HASTY | {"draws": 4000})
    own = entropy_of(mixture, mixture.from_noise(numbers(4000, LATENTS + 1, seed=5))).terms
    q = model.posterior(subject.source.images("test"))
    of_codes = answers["encoder_prior_entropy"].value - float(own.mean())
    assert of_codes < answers["encoder"].value  # by the entropy of the aggregate
    error = float(own.std()) * math.sqrt(2 / 4000)
    again = parts_of(Subject(Decoded(model.posterior_of, NORMAL, model.weights, 0.5), source_of(IMAGES)), HASTY)
    expected = float(own.mean()) - float(entropy_of(NORMAL, q.mean).terms)
    moved = answers["encoder_prior_entropy"].value - again["encoder_prior_entropy"].value
    assert abs(moved - expected) < 4 * error


def test_flows_have_their_aggregates_entropy_from_200_draws_of_images_that_q_reads():
    scale = torch.tensor([0.5, 2.0]).double()

    def posterior_of(i):
        return Independent(Laplace(torch.zeros(len(i), 2).double(), scale), 1)

    prior = DiagonalNormal(torch.zeros(2).double(), torch.ones(2).double())
    subject = Subject(Decoded(posterior_of, prior, torch.eye(2).double(), 0.1), source_of(600))
    protocol = {**PROTOCOL, "draws": 500}
    index = subject.index({**protocol, "images": 500})
    codes = Laplace(0.0, scale).icdf(torch.rand(500, 2, generator=torch.Generator().manual_seed(0)).double())
    entropy = entropy_of_aggregate(subject, protocol, codes, index)
    closed = float((1 + (2 * scale).log()).sum())
    assert abs(float(entropy.terms.mean()) - closed) < 3 * math.sqrt(2 / 200)
    assert torch.allclose(entropy.terms, -Laplace(0.0, scale).log_prob(codes[entropy.shared]).sum(-1))
    assert len(entropy.terms) == 200
    assert "200 draws" in parts_of(subject, HASTY | {"draws": 500})["encoder"].note


@pytest.mark.parametrize("shared", [0, 30, 100])
def test_the_standard_error_is_that_of_means_over_draws_that_are_shared_or_not(shared):
    """1/n Σ a + 1/m Σ b over repeated draws with cov(a, b) = 0.6: b at all, some or none of the n draws of a."""
    n, m = 100, shared or 50
    both = numbers(1500, n, 2, seed=6) @ torch.tensor([[1.0, 0.6], [0.0, 0.8]]).double()
    others = numbers(1500, m, seed=9)
    answers = []
    for pair, other in zip(both, others, strict=True):
        rows = torch.arange(n - m, n)
        entropy = Entropy(pair[rows, 1], rows) if shared else Entropy(other)
        answers.append(bound(Lesson([1, 2], pair[:, 0].expand(2, n)), entropy, "encoder"))
    spread = torch.tensor([answer.value for answer in answers]).var()
    stated = torch.tensor([answer.stderr for answer in answers]).square().mean()
    assert float(stated / spread) == pytest.approx(1.0, abs=0.12)


def test_a_q_that_was_still_learning_is_reported_with_its_way(shrunk):
    answer = generative(shrunk[0], {**PROTOCOL, "steps": 40, "learning_rate": 0.003})
    assert answer.note.startswith("Q has not converged")
    assert answer.details["after_steps"] == [10, 20, 30, 40]
    assert answer.details["held_out"][-1] == answer.value
    assert answer.details["held_out"] == sorted(answer.details["held_out"])
    assert answer.value < shrunk[1] - 0.3


def test_where_the_aggregates_entropy_is_capped_the_encoders_bound_says_so():
    subject, _ = linear_gaussian(1.0, 200)
    answers = parts_of(subject, HASTY)
    assert "at cap" in answers["encoder"].note
    assert "at cap" not in answers["generative"].note + answers["encoder_prior_entropy"].note


def reordered(order, block_numbers=None):
    split = Split(order.double().unsqueeze(-1))
    dataset = Dataset("points", dict.fromkeys(("train", "test"), split), pixels=1, side=None, levels=None)
    model = Decoded(lambda i: FullNormal(MEANS[i], FACTORS[i]), NORMAL, numbers(5, LATENTS, seed=4), 0.5)
    return Subject(model, Source(dataset, "real", dtype=torch.float64), block_numbers=block_numbers)


def test_nothing_depends_on_blocks_on_the_order_of_images_or_on_torchs_generator():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    reference = parts_of(reordered(torch.arange(IMAGES)), HASTY)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    others = [
        reordered(torch.arange(IMAGES), block_numbers=3),
        reordered(torch.randperm(IMAGES, generator=torch.Generator().manual_seed(0))),
    ]
    for other in others:
        for part, answer in parts_of(other, HASTY).items():
            assert answer.value == pytest.approx(reference[part].value, rel=1e-9)
            assert answer.stderr == pytest.approx(reference[part].stderr, rel=1e-9)


def test_points_have_a_generative_bound_only_and_pca_has_none():
    point = Decoded(lambda i: Point(MEANS[i]), NORMAL, numbers(5, LATENTS), 0.5)
    answers = parts_of(Subject(point, source_of(IMAGES)), HASTY)
    assert math.isfinite(answers["generative"].value)
    assert {str(answers[part]) for part in ("encoder", "encoder_prior_entropy")} == {"q is a point"}
    pca = Subject(PrincipalComponents(1, 1).double(), source_of(IMAGES))
    values = evaluate(pca, [MetricRequest("mi_lower_bound", HASTY)])
    assert {value.status for value in values} == {"n/a"}
    assert [value.note for value in values] == ["PCA has no prior p(z)", "q is a point", "q is a point"]


def test_q_learns_without_touching_the_model(shrunk):
    subject, _ = shrunk
    before = {name: value.clone() for name, value in subject.model.state_dict().items()}
    subject.model.exact.requires_grad_(True)
    parts_of(subject, HASTY)
    assert all(parameter.grad is None for parameter in subject.model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in subject.model.state_dict().items())
    subject.model.exact.requires_grad_(False)
