"""The parts of the KL against closed forms, and against double loops over images on small sets."""

import math

import pytest
import torch
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, OneHotCategorical

from tests.compositions import composition
from tests.metrics.conftest import LinearGaussian
from vaebench.data.dataset import Dataset, Split
from vaebench.data.linear_gaussian import truth
from vaebench.data.source import Source
from vaebench.metrics import mutual_information
from vaebench.metrics.aggregate import DiagonalComponents, FullComponents
from vaebench.metrics.answer import NotApplicable
from vaebench.metrics.draws import draw
from vaebench.metrics.evaluation import evaluate
from vaebench.metrics.kl import monte_carlo_kl
from vaebench.metrics.subject import Subject
from vaebench.models.composition import Composition
from vaebench.models.distributions import DiagonalNormal, FullNormal
from vaebench.models.mixed import GaussianAndOneHot, OneHot
from vaebench.models.mixtures import EqualMixture
from vaebench.models.point import Point
from vaebench.store.record import MetricRequest

PROTOCOL = {"split": "test", "seed": 0, "samples": 3}
IMAGES, LATENTS, CATEGORIES = 12, 3, 4


def source_of(images, labels=None):
    """Points x with a name of their own: x_i = i."""
    split = Split(torch.arange(images, dtype=torch.float64).unsqueeze(-1), labels)
    splits = dict.fromkeys(("train", "validation", "test"), split)
    return Source(Dataset("points", splits, pixels=1, side=None, levels=None), "real", dtype=torch.float64)


class Table:
    """q(z|x_i) is looked up."""

    def __init__(self, posterior_of, prior: Distribution) -> None:
        self.posterior_of = posterior_of
        self.own_prior = prior

    def prior(self):
        return self.own_prior

    def posterior(self, x):
        return self.posterior_of(x[:, 0].long())


def numbers(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


MEANS, SCALES = 1.5 * numbers(IMAGES, LATENTS), (0.5 * numbers(IMAGES, LATENTS, seed=1)).exp()
FACTORS = torch.diag_embed(SCALES) + 0.7 * numbers(IMAGES, LATENTS, LATENTS, seed=2).tril(-1)
LOGITS = 2 * numbers(IMAGES, CATEGORIES, seed=3)


def _normal(latents):
    return DiagonalNormal(torch.zeros(latents).double(), torch.ones(latents).double())


NORMAL = _normal(LATENTS)
UNIFORM = OneHot(torch.zeros(CATEGORIES).double())

GAUSSIAN = {
    "diagonal": (lambda i: DiagonalNormal(MEANS[i], SCALES[i]), lambda i: FullNormal(MEANS[i], SCALES[i].diag())),
    "one scale": (
        lambda i: DiagonalNormal(MEANS[i], torch.tensor(0.3).double()),
        lambda i: FullNormal(MEANS[i], 0.3 * torch.eye(LATENTS).double()),
    ),
    "full": (lambda i: FullNormal(MEANS[i], FACTORS[i]), lambda i: FullNormal(MEANS[i], FACTORS[i])),
    "foreign diagonal": (
        lambda i: Independent(Normal(MEANS[i], SCALES[i]), 1),
        lambda i: FullNormal(MEANS[i], SCALES[i].diag()),
    ),
    "foreign full": (
        lambda i: MultivariateNormal(MEANS[i], scale_tril=FACTORS[i]),
        lambda i: FullNormal(MEANS[i], FACTORS[i]),
    ),
}
"""Posteriors of images as a model gives them, and that of one image."""


def parts_of(subject, protocol=PROTOCOL):
    return {answer.part: answer for answer in mutual_information.evaluate(subject, protocol)}


def values_of(subject, protocol=PROTOCOL):
    answers = parts_of(subject, protocol).items()
    return {part: answer.value for part, answer in answers if not isinstance(answer, NotApplicable)}


def drawn(subject, samples=PROTOCOL["samples"]):
    """The codes that the evaluator draws; (draw, image, latent)"""
    blocks = subject.blocks(subject.split("test"), 1, "mutual_information", PROTOCOL["seed"])
    return torch.cat([draw(block.model.posterior(block.x), block.keys, 0, samples) for block in blocks], dim=1)


def log_mean(values):
    """ln of the mean of exponentials, by Python's own sums."""
    return math.log(math.fsum(math.exp(value) for value in values) / len(values))


@pytest.mark.parametrize("kind", GAUSSIAN)
def test_every_part_of_gaussian_codes_is_the_double_loop_over_images(kind):
    """A known aggregate of N Gaussian posteriors (DESIGN.md section 7, truth 4)."""
    posterior_of, of_one = GAUSSIAN[kind]
    subject = Subject(Table(posterior_of, NORMAL), source_of(IMAGES))
    singles = [of_one(i) for i in range(IMAGES)]
    deviations = [single.covariance_matrix.diagonal().sqrt() for single in singles]
    sums = dict.fromkeys(("", "aggregate_kl", "total_correlation", "dimension_kl"), 0.0)
    z = drawn(subject)
    for draws in z:
        for i, code in enumerate(draws):
            own = float(singles[i].log_prob(code))
            joint = log_mean([float(single.log_prob(code)) for single in singles])
            marginals = math.fsum(
                log_mean([float(Normal(MEANS[j, u], deviations[j][u]).log_prob(code[u])) for j in range(IMAGES)])
                for u in range(LATENTS)
            )
            prior = float(Normal(0.0, 1.0).log_prob(code).sum())
            sums[""] += own - joint
            sums["aggregate_kl"] += joint - prior
            sums["total_correlation"] += joint - marginals
            sums["dimension_kl"] += marginals - prior
    expected = {part: total / (len(z) * IMAGES) for part, total in sums.items()}
    assert values_of(subject) == pytest.approx(expected, rel=1e-6)


def test_every_part_of_a_joint_code_sums_over_the_category_and_counts_it_as_one_latent():
    def posterior_of(i):
        return GaussianAndOneHot(DiagonalNormal(MEANS[i], SCALES[i]), OneHot(LOGITS[i]))

    subject = Subject(Table(posterior_of, GaussianAndOneHot(NORMAL, UNIFORM)), source_of(IMAGES))
    probabilities = LOGITS.softmax(-1)
    sums = dict.fromkeys(("", "aggregate_kl", "total_correlation", "dimension_kl"), 0.0)
    z = drawn(subject)[..., :LATENTS]
    for draws in z:
        for i, code in enumerate(draws):
            of_latents = Normal(MEANS, SCALES).log_prob(code)
            marginals = math.fsum(log_mean(of_latents[:, u].tolist()) for u in range(LATENTS))
            for c in range(CATEGORIES):
                weight = float(probabilities[i, c])
                own = float(of_latents[i].sum()) + math.log(weight)
                joint = log_mean([float(of_latents[j].sum() + probabilities[j, c].log()) for j in range(IMAGES)])
                of_category = math.log(float(probabilities[:, c].mean()))
                prior = float(Normal(0.0, 1.0).log_prob(code).sum()) - math.log(CATEGORIES)
                sums[""] += weight * (own - joint)
                sums["aggregate_kl"] += weight * (joint - prior)
                sums["total_correlation"] += weight * (joint - marginals - of_category)
                sums["dimension_kl"] += weight * (marginals + of_category - prior)
    expected = {part: total / (len(z) * IMAGES) for part, total in sums.items()}
    mean = probabilities.mean(0)
    expected["code"] = float((probabilities * (probabilities / mean).log()).sum(-1).mean())
    assert values_of(subject) == pytest.approx(expected, rel=1e-9)


def test_a_category_alone_needs_no_draws():
    """MI = mean KL(q(c|x) ‖ q(c)), aggregate KL = KL(q(c) ‖ p(c)): sums, without Monte Carlo error."""
    subject = Subject(Table(lambda i: OneHot(LOGITS[i]), UNIFORM), source_of(IMAGES))
    probabilities = LOGITS.softmax(-1)
    mean = probabilities.mean(0)
    information = float((probabilities * (probabilities / mean).log()).sum(-1).mean())
    divergence = float((mean * (mean * CATEGORIES).log()).sum())
    expected = {"": information, "aggregate_kl": divergence, "total_correlation": 0.0, "dimension_kl": divergence}
    assert values_of(subject) == pytest.approx({**expected, "code": information}, rel=1e-9, abs=1e-12)
    assert {answer.stderr for answer in parts_of(subject, {**PROTOCOL, "samples": 1}).values()} == {0.0}


def test_a_value_that_no_image_has_costs_what_the_prior_gives_it_and_no_more():
    """0 ln 0 = 0: with q(c|x) = 0 for one of three values, the KL from the uniform prior is that of two plus ln 3/2."""
    logits = torch.tensor([[0.0, 0.0, -math.inf], [1.0, 0.0, -math.inf]]).double()
    of_three = Table(lambda i: OneHot(logits[i]), OneHot(torch.zeros(3).double()))
    of_two = Table(lambda i: OneHot(logits[i, :2]), OneHot(torch.zeros(2).double()))
    three, two = (values_of(Subject(model, source_of(2))) for model in (of_three, of_two))
    assert three[""] == pytest.approx(two[""], rel=1e-12)
    assert three["aggregate_kl"] == pytest.approx(two["aggregate_kl"] + math.log(3 / 2), rel=1e-12)


@pytest.fixture(scope="module")
def flow():
    """Far from the identity, so that it is no Gaussian."""
    torch.manual_seed(0)
    iaf = {"name": "iaf", "steps": 2, "hidden": [8, 5], "context": True}
    source = source_of(IMAGES)
    model = Composition(composition(latent=LATENTS, posterior=iaf), source.dataset.shape).double()
    for parameter in model.parameters():
        parameter.requires_grad_(False).mul_(2.0)
    return Subject(model, source)


def test_flows_are_inverted_for_every_pair_and_their_marginals_are_not_known(flow):
    z, x = drawn(flow, 1)[0], flow.source.images("test")
    singles = [flow.model.posterior(x[i : i + 1]) for i in range(IMAGES)]
    own = [float(single.log_prob(code)) for single, code in zip(singles, z, strict=True)]
    joint = [log_mean([float(single.log_prob(code)) for single in singles]) for code in z]
    prior = Normal(0.0, 1.0).log_prob(z).sum(-1).tolist()
    values = values_of(flow)
    assert values[""] == pytest.approx(sum(o - j for o, j in zip(own, joint, strict=True)) / IMAGES, rel=1e-9)
    assert values["aggregate_kl"] == pytest.approx(sum(j - p for j, p in zip(joint, prior, strict=True)) / IMAGES)
    answers = parts_of(flow)
    for part in ("total_correlation", "dimension_kl"):
        assert str(answers[part]) == "the marginals of the flow are not known here; Gaussians and categories have them"


def test_a_flow_gives_no_density_where_its_inverse_leaves_all_numbers(flow):
    q = flow.model.posterior(flow.source.images("test"))
    far = torch.full((LATENTS,), -1e6, dtype=torch.float64)
    assert torch.equal(q.log_prob(far), torch.full((IMAGES,), -math.inf, dtype=torch.float64))


def test_flows_are_asked_at_200_draws_against_every_image():
    """Of a posterior that ignores the image the information is 0 at every draw, and that of the aggregate is known."""
    scale = torch.tensor([0.5, 2.0]).double()

    def posterior_of(i):
        return Independent(torch.distributions.Laplace(torch.zeros(len(i), 2).double(), scale), 1)

    answers = parts_of(Subject(Table(posterior_of, _normal(2)), source_of(500)), {**PROTOCOL, "samples": 1})
    assert answers[""].value == pytest.approx(0.0, abs=1e-12)
    # KL of Laplace(b) from N(0, 1): b² + ½ ln 2π − 1 − ln 2b
    closed = float((scale.square() + 0.5 * math.log(2 * math.pi) - 1 - (2 * scale).log()).sum())
    assert abs(answers["aggregate_kl"].value - closed) < 3 * answers["aggregate_kl"].stderr
    assert answers["aggregate_kl"].stderr == pytest.approx(8.2 / math.sqrt(200), rel=0.6)
    assert "200 draws" in answers["aggregate_kl"].note
    assert (
        str(answers["total_correlation"])
        == "the marginals of this posterior are not known here; Gaussians and categories have them"
    )


PRIORS = {
    "standard normal": NORMAL,
    "mixture": EqualMixture(DiagonalNormal(MEANS[:5], SCALES[:5])),
    "correlated": FullNormal(MEANS[0], FACTORS[0]),
}


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_on_the_same_draws_the_parts_sum_to_the_monte_carlo_kl(kind, prior):
    subject = Subject(Table(GAUSSIAN[kind][0], PRIORS[prior]), source_of(IMAGES))
    q = subject.model.posterior(subject.source.images("test"))
    kl = float(monte_carlo_kl(q, PRIORS[prior], drawn(subject)).mean())
    answers = parts_of(subject)
    assert answers[""].value + answers["aggregate_kl"].value == pytest.approx(kl, rel=1e-12)
    if prior == "standard normal":
        parts = [answers[part].value for part in ("", "total_correlation", "dimension_kl")]
        assert sum(parts) == pytest.approx(kl, rel=1e-12)
    else:
        assert str(answers["dimension_kl"]) == "the prior does not factorise"
        assert math.isfinite(answers["total_correlation"].value)


@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_divergences_are_not_negative_beyond_their_error(kind):
    """MI ≤ KL, TC ≥ 0, dimension-wise KL ≥ 0, within 3 standard errors and with nothing clipped; MI ≤ ln N exactly."""
    answers = parts_of(Subject(Table(GAUSSIAN[kind][0], NORMAL), source_of(IMAGES)), {**PROTOCOL, "samples": 60})
    assert 0 < answers[""].value <= math.log(IMAGES)
    for part in ("aggregate_kl", "total_correlation", "dimension_kl"):
        assert answers[part].value > -3 * answers[part].stderr
    one_latent = Subject(Table(lambda i: DiagonalNormal(MEANS[i, :1], SCALES[i, :1]), _normal(1)), source_of(IMAGES))
    assert parts_of(one_latent)["total_correlation"].value == pytest.approx(0.0, abs=1e-12)


def linear_gaussian(shrunk, images):
    """x = W z + μ + σ ε with W shrunk; its I(x; z) = ½ ln |I + WᵀW/σ²|, and images drawn from it."""
    model = LinearGaussian()
    model.exact.weights.mul_(shrunk)
    weights, sigma = model.exact.weights, truth().sigma
    closed = 0.5 * float(torch.logdet(torch.eye(5).double() + weights.T @ weights / sigma**2))
    x = numbers(images, 5, seed=7) @ weights.T + truth().mean + sigma * numbers(images, 20, seed=8)
    splits = dict.fromkeys(("train", "validation", "test"), Split(x))
    dataset = Dataset("shrunk", splits, pixels=20, side=None, levels=None)
    return Subject(model, Source(dataset, "real", dtype=torch.float64)), closed


def test_the_information_of_a_linear_gaussian_model_is_its_closed_form():
    """Where it is far below ln N (truth 2): q(z) is then nearly p(z), and the KL is nearly all information."""
    subject, closed = linear_gaussian(0.11, 3000)
    assert 1.0 < closed < 2.0
    answers = parts_of(subject, {**PROTOCOL, "samples": 2})
    assert answers[""].value == pytest.approx(closed, rel=0.05)
    assert answers[""].note == ""
    assert abs(answers["aggregate_kl"].value) < 0.05
    assert abs(answers["total_correlation"].value) < 0.05


def test_the_information_reaches_the_cap_where_there_is_more_than_ln_n_and_never_passes_it():
    subject, closed = linear_gaussian(1.0, 400)
    assert closed > math.log(400) + 4
    answers = parts_of(subject, {**PROTOCOL, "samples": 2})
    assert math.log(400) - 0.1 < answers[""].value <= math.log(400) * (1 + 1e-15)
    for part in ("", "aggregate_kl", "total_correlation"):
        assert "at cap" in answers[part].note
    assert answers["dimension_kl"].note == ""


def test_equal_posteriors_carry_no_information_and_the_rest_is_closed_forms():
    """q(z|x) = N(0, Σ) for every x: TC = −½ ln |corr Σ|, dimension-wise KL of N(0, Σ_uu), q(z) = N(0, Σ)."""
    factor = torch.tensor([[0.6, 0.0], [0.9, 0.4]]).double()
    covariance = factor @ factor.T

    def posterior_of(i):
        return FullNormal(torch.zeros(len(i), 2).double(), factor.expand(len(i), 2, 2))

    answers = parts_of(Subject(Table(posterior_of, _normal(2)), source_of(400)), {**PROTOCOL, "samples": 8})
    variances = covariance.diagonal()
    correlation = 0.5 * float(variances.log().sum() - torch.logdet(covariance))
    dimension = 0.5 * float((variances - 1 - variances.log()).sum())
    assert answers[""].value == pytest.approx(0.0, abs=1e-12)
    assert abs(answers["total_correlation"].value - correlation) < 3 * answers["total_correlation"].stderr < 0.1
    assert abs(answers["dimension_kl"].value - dimension) < 3 * answers["dimension_kl"].stderr < 0.1
    assert answers["aggregate_kl"].value == pytest.approx(
        answers["total_correlation"].value + answers["dimension_kl"].value, rel=1e-12
    )


def subjects(block_numbers=None, order=None):
    """One of each kind of code, perhaps with the images in another order."""
    order = torch.arange(IMAGES) if order is None else order
    split = Split(order.double().unsqueeze(-1))
    splits = dict.fromkeys(("train", "validation", "test"), split)
    source = Source(Dataset("points", splits, pixels=1, side=None, levels=None), "real", dtype=torch.float64)
    kinds = {name: (posterior_of, NORMAL) for name, (posterior_of, _) in GAUSSIAN.items() if "foreign" not in name}
    kinds["category"] = (lambda i: OneHot(LOGITS[i]), UNIFORM)
    kinds["joint"] = (
        lambda i: GaussianAndOneHot(DiagonalNormal(MEANS[i], SCALES[i]), OneHot(LOGITS[i])),
        GaussianAndOneHot(NORMAL, UNIFORM),
    )
    return {name: Subject(Table(*parts), source, block_numbers=block_numbers) for name, parts in kinds.items()}


@pytest.mark.parametrize("block_numbers", [1, 7, 25, 300])
def test_nothing_depends_on_the_blocks(block_numbers, flow):
    whole = subjects() | {"flow": flow}
    cut = subjects(block_numbers) | {"flow": Subject(flow.model, flow.source, block_numbers=block_numbers)}
    for name, subject in whole.items():
        one, two = parts_of(subject), parts_of(cut[name])
        for part, answer in one.items():
            if not isinstance(answer, NotApplicable):
                assert two[part].value == pytest.approx(answer.value, rel=1e-11, abs=1e-12)
                assert two[part].stderr == pytest.approx(answer.stderr, rel=1e-9, abs=1e-14)


def test_nothing_depends_on_the_order_of_images():
    order = torch.randperm(IMAGES, generator=torch.Generator().manual_seed(1))
    for one, two in zip(subjects().values(), subjects(order=order).values(), strict=True):
        assert values_of(two) == pytest.approx(values_of(one), rel=1e-11, abs=1e-12)


def test_the_standard_error_is_the_spread_over_seeds():
    """At fixed images and L = 2 or more; from one draw an image it holds the spread of images too, and is no less."""
    subject = Subject(Table(GAUSSIAN["diagonal"][0], NORMAL), source_of(IMAGES))
    runs = [parts_of(subject, {**PROTOCOL, "seed": seed}) for seed in range(150)]
    for part in ("", "aggregate_kl", "total_correlation", "dimension_kl"):
        spread = torch.tensor([run[part].value for run in runs]).std()
        stated = torch.tensor([run[part].stderr for run in runs]).square().mean().sqrt()
        assert float(stated / spread) == pytest.approx(1.0, abs=0.2)
    alone = parts_of(subject, {**PROTOCOL, "samples": 1})
    assert alone[""].note.startswith("from one draw an image")
    for part in ("", "aggregate_kl", "total_correlation", "dimension_kl"):
        of_one = torch.tensor(
            [parts_of(subject, {**PROTOCOL, "samples": 1, "seed": seed})[part].value for seed in range(60)]
        )
        assert alone[part].stderr > 0.8 * float(of_one.std())


def test_a_conditional_model_gives_each_image_the_posterior_of_its_own_label():
    labels = torch.arange(IMAGES) % 2

    class GivenLabel(Table):
        conditional = True

        def posterior(self, x, y):
            return self.posterior_of((x[:, 0].long() + y) % IMAGES)

    told = Subject(GivenLabel(GAUSSIAN["diagonal"][0], NORMAL), source_of(IMAGES, labels))
    shifted = (torch.arange(IMAGES) + labels) % IMAGES
    same = Subject(Table(lambda i: DiagonalNormal(MEANS[shifted][i], SCALES[shifted][i]), NORMAL), source_of(IMAGES))
    assert values_of(told) == pytest.approx(values_of(same), rel=1e-12)


def test_points_have_no_parts_and_say_why():
    subject = Subject(Table(lambda i: Point(MEANS[i]), NORMAL), source_of(IMAGES))
    values = evaluate(subject, [MetricRequest("mutual_information", PROTOCOL)])
    assert {(value.status, value.note) for value in values} == {("n/a", "q is a point")}
    assert len(values) == 5


def test_a_gaussian_code_has_no_category_to_carry_information():
    answers = parts_of(Subject(Table(GAUSSIAN["full"][0], NORMAL), source_of(IMAGES)))
    assert str(answers["code"]) == "q(z|x) has no categorical code"


def test_only_priors_of_independent_latents_factorise():
    loc = torch.zeros(3)
    assert mutual_information.factorises(Independent(Normal(loc, torch.ones(3)), 1))
    assert mutual_information.factorises(OneHot(loc))
    assert mutual_information.factorises(GaussianAndOneHot(NORMAL, UNIFORM))
    assert mutual_information.factorises(MultivariateNormal(loc, torch.eye(3)))
    assert not mutual_information.factorises(MultivariateNormal(loc, torch.eye(3) + 0.1))
    assert not mutual_information.factorises(Independent(OneHotCategorical(logits=torch.zeros(2, 3)), 1))
    assert not mutual_information.factorises(EqualMixture(DiagonalNormal(MEANS, SCALES)))


def test_squares_that_cancel_leave_digits_enough():
    """σ = 1e-4 far from the origin: terms of 1e10 whose difference is of the order of 1."""
    mean = 10 + numbers(50, 4)
    scale = torch.full_like(mean, 1e-4)
    z = mean + scale * numbers(50, 4, seed=1)
    direct = Normal(mean, scale).log_prob(z).sum(-1)
    for components in (DiagonalComponents(mean, scale), FullComponents(mean, torch.diag_embed(scale))):
        assert torch.allclose(components.log_prob(z).diagonal(), direct, atol=2e-4)
        assert torch.allclose(components.log_marginal(z, 1).diagonal(), Normal(mean, scale).log_prob(z)[:, 1])
