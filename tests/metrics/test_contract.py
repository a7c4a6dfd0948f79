"""What breaks the model contract is refused, by the method's name and the expected shape; what keeps it is not."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.distributions import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
)

from vaebench.catalog.catalog import load_catalog
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.metrics import fitness
from vaebench.metrics.contract import ContractError, check_contract
from vaebench.metrics.evaluation import evaluate_model
from vaebench.store.cell import Cell
from vaebench.store.record import MetricRequest
from vaebench.suite.expansion import expand
from vaebench.suite.loading import load_suite_mapping
from vaebench.training.initialisation import empty_model

PIXELS, LATENTS, COUNT = 64, 3, 12
VIEWS = ("binary", "grey", "dequantised")
DIGITS = load_dataset("digits")


def images(view):
    source = Source(DIGITS, view)
    return source.images("test", torch.arange(COUNT)), source.labels("test")[:COUNT]


def normal(mean, scale=1.0):
    return Independent(Normal(mean, torch.as_tensor(scale).expand_as(mean), validate_args=False), 1)


class Sound:
    """Keeps the contract on every counting view."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.encode = torch.randn(PIXELS, LATENTS, generator=generator) / 8
        self.decode = torch.randn(LATENTS, PIXELS, generator=generator)

    def prior(self):
        return normal(torch.zeros(LATENTS))

    def posterior(self, x):
        return normal(x @ self.encode, 0.5)

    def likelihood(self, z):
        return Independent(Bernoulli(logits=z @ self.decode), 1)


class Grey(Sound):
    """Keeps it on every view of densities."""

    def likelihood(self, z):
        return normal(torch.sigmoid(z @ self.decode), 0.3)


class Labelled(Sound):
    conditional = True

    def posterior(self, x, y):
        return normal(x @ self.encode + y.unsqueeze(-1) / 10, 0.5)

    def likelihood(self, z, y):
        return Independent(Bernoulli(logits=z @ self.decode + y.unsqueeze(-1) / 10), 1)


class Invented(Distribution):
    """A distribution somebody wrote: independent pixels, given by functions of tensors."""

    arg_constraints = {}  # noqa: RUF012

    def __init__(self, mean, log_density, sampler=None):
        super().__init__(mean.shape[:-1], mean.shape[-1:], validate_args=False)
        self.given_mean, self.log_density, self.sampler = mean, log_density, sampler

    @property
    def mean(self):
        return self.given_mean

    def log_prob(self, value):
        return self.log_density(value, self.given_mean)

    def sample(self, sample_shape=()):
        if self.sampler is None:
            raise NotImplementedError
        return self.sampler(self.given_mean.expand(*sample_shape, *self.given_mean.shape))


def cross_entropy(x, mean):
    return (x * mean.log() + (1 - x) * (1 - mean).log()).sum(-1)


def squared_error(x, mean):
    return -(x - mean).square().sum(-1)


def broken(base=Sound, **methods):
    """The model with other methods."""
    model = base()
    for name, method in methods.items():
        setattr(model, name, method)
    return model


def logits(z):
    return torch.zeros(*z.shape[:-1], PIXELS)


@pytest.mark.parametrize("view", ["binary", "static-binary", "threshold"])
def test_a_model_that_keeps_the_contract_passes(view):
    check_contract(Sound(), *images(view), view)
    check_contract(Labelled(), *images(view), view)


@pytest.mark.parametrize("view", ["grey", "dequantised"])
def test_a_density_passes_where_pixels_are_grey(view):
    check_contract(Grey(), *images(view), view)


def coins(too_high):
    """Fair coins, which say so of themselves, but for an error in nats an image."""
    return broken(
        likelihood=lambda z: Independent(Bernoulli(logits=logits(z)), 1),
        log_prob=lambda x: torch.full((len(x),), -PIXELS * math.log(2) + too_high),
    )


BREACHES = {
    "log_prob not summed over pixels": (
        broken(likelihood=lambda z: Bernoulli(logits=logits(z))),
        r"Sound\.likelihood\(z\): must have batch shape \(12,\) and event shape \(64,\), has \(12, 64\) and \(\): "
        "log_prob must sum over pixels",
    ),
    "log_prob averaged over pixels": (
        broken(likelihood=lambda z: Invented(logits(z).sigmoid(), lambda x, m: cross_entropy(x, m) / PIXELS)),
        "the probabilities of 0 and 1 add up to",
    ),
    "codes not summed over": (
        broken(posterior=lambda x: Normal(x[:, :LATENTS], 1.0)),
        r"posterior\(x\): .*must sum over latents",
    ),
    "63 pixels": (
        broken(likelihood=lambda z: Independent(Bernoulli(logits=logits(z)[..., 1:]), 1)),
        r"likelihood\(z\): must have batch shape .* event shape \(64,\), has .* \(63,\)",
    ),
    "one pixel that would broadcast": (
        broken(likelihood=lambda z: Independent(Bernoulli(logits=logits(z)[..., :1]), 1)),
        r"event shape \(64,\), has .* \(1,\)",
    ),
    "images in place of rows": (
        broken(likelihood=lambda z: Independent(Bernoulli(logits=logits(z).unflatten(-1, (1, 8, 8))), 3)),
        r"event shape \(64,\), has .* \(1, 8, 8\)",
    ),
    "a prior of another dimension": (
        broken(prior=lambda: normal(torch.zeros(LATENTS + 1))),
        r"prior\(\): must have batch shape \(\) and event shape \(3,\), has \(\) and \(4,\); since posterior\(x\)",
    ),
    "a prior that would broadcast": (broken(prior=lambda: normal(torch.zeros(1))), r"prior\(\): must have .* \(1,\)"),
    "a prior with a batch": (
        broken(prior=lambda: normal(torch.zeros(COUNT, LATENTS))),
        r"prior\(\): must have batch shape \(\)",
    ),
    "a scalar prior": (broken(prior=lambda: Normal(0.0, 1.0)), r"prior\(\): .*must sum over latents"),
    "a likelihood that drops the draws": (
        broken(likelihood=lambda z: Independent(Bernoulli(logits=logits(z if z.dim() == 2 else z[0])), 1)),
        r"likelihood\(z\): must have batch shape \(3, 12\) .*leading axes",
    ),
    "a likelihood that flattens": (
        broken(likelihood=lambda z: Independent(Bernoulli(logits=logits(z.flatten(0, -2))), 1)),
        r"must have batch shape \(3, 12\) .* has \(36,\)",
    ),
    "a posterior of one image for all": (
        broken(posterior=lambda x: normal(torch.zeros(1, LATENTS))),
        r"posterior\(x\): must have batch shape \(12,\) and event shape \(latent,\), has \(1,\)",
    ),
    "a posterior whose draws have another batch": (
        broken(posterior=lambda x: Invented(torch.zeros(COUNT, LATENTS), squared_error, lambda mean: mean[:, :-1])),
        r"posterior\(x\): 3 draws for 12 images: must be of shape \(3, 12, 3\), is \(3, 11, 3\)",
    ),
    "a posterior of indices": (
        broken(posterior=lambda x: Categorical(logits=torch.zeros(len(x), LATENTS))),
        r"posterior\(x\): must have .* event shape \(latent,\), has \(12,\) and \(\)",
    ),
    "something else than a distribution": (
        broken(posterior=lambda x: (x, x)),
        r"posterior\(x\): must return a torch distribution, returned tuple",
    ),
    "no method": (broken(likelihood=None), r"Sound has no method likelihood\(\)"),
    "a method that raises": (
        broken(likelihood=lambda z: z @ torch.zeros(7, 64)),
        r"Sound\.likelihood\(z\): raised RuntimeError: .*, for z of shape \(12, 3\)",
    ),
    "NaN": (
        broken(likelihood=lambda z: Independent(Bernoulli(logits=logits(z) + math.nan, validate_args=False), 1)),
        r"likelihood\(z\).* is NaN",
    ),
    "NaN on some images": (
        broken(posterior=lambda x: normal(x[:, :LATENTS] + torch.where(x[:, 20:21] > 0, math.nan, 0.0))),
        r"posterior\(x\).* is NaN",
    ),
    "an infinite log_prob": (
        broken(likelihood=lambda z: Invented(logits(z) + 0.5, lambda x, m: cross_entropy(x, m) + math.inf)),
        r"log_prob\(x\): is infinite on 12 of the 12 images",
    ),
    "an image without probability": (
        broken(likelihood=lambda z: Invented(logits(z), lambda x, m: torch.where(x > m, -math.inf, 0.0).sum(-1))),
        r"log_prob\(x\): is −inf on 12 of the 12 images",
    ),
    "a mean outside the support": (
        broken(likelihood=lambda z: Invented(logits(z) - 1, lambda x, m: (x + m).sum(-1) * 0 - 44.36)),
        r"likelihood\(z\)\.mean: must lie in \[0, 1\] on the view binary, lies in \[-1, -1\]",
    ),
    "another answer at every call": (
        broken(posterior=lambda x: normal(x[:, :LATENTS] + torch.randn(len(x), LATENTS))),
        r"posterior\(x\): says something else of an image, by .* at a second call",
    ),
    "an answer that depends on the other images": (
        broken(likelihood=lambda z: Independent(Bernoulli(logits=logits(z) + 3 * z.mean()), 1)),
        r"likelihood\(z\): says something else of an image, by .* among other images",
    ),
    "an exact log_prob of the wrong shape": (
        broken(log_prob=lambda x: x.sum()),
        r"log_prob\(x\): must be of shape \(12,\), is \(\)",
    ),
    "an exact log_prob that is no log_prob": (
        broken(log_prob=lambda x: torch.full((len(x),), -500.0)),
        r"log_prob\(x\): must be ln p\(x\), exactly; prior, posterior and likelihood give an image .* nats more",
    ),
    "an exact log_prob above 0": (
        broken(log_prob=lambda x: torch.full((len(x),), 1.0)),
        r"log_prob\(x\): must be ln p\(x\), which on the view binary is at most 0, is 1 on an image",
    ),
    "an exact log_prob that is a little too low on every image": (
        coins(-12.0),
        r"log_prob\(x\): must be ln p\(x\), exactly; .* give \d[.\d]* nats more, a mean over images",
    ),
    "samples of the wrong shape": (
        broken(sample=lambda count: torch.zeros(count, 8, 8)),
        r"sample\(3\): must be of shape \(3, 64\), is \(3, 8, 8\)",
    ),
    "a model of labels that does not say so": (
        broken(posterior=Labelled().posterior),
        r"posterior\(x\): raised TypeError: .*missing 1 required positional argument.* conditional = True",
    ),
    "a conditional model without the second argument": (
        broken(Labelled, posterior=lambda x: normal(x[:, :LATENTS])),
        r"Labelled\.posterior\(x, y\): raised TypeError: .*takes 1 positional argument but 2 were given, for x",
    ),
    "labels out of range": (
        broken(Labelled, likelihood=lambda z, y: Independent(Bernoulli(logits=logits(z) + torch.eye(5)[y][:, :1]), 1)),
        r"likelihood\(z, y\): raised IndexError: .* labels y of shape \(12,\), 0 to 9",
    ),
}


@pytest.mark.parametrize(("model", "expected"), BREACHES.values(), ids=BREACHES)
def test_an_object_that_breaks_the_contract_is_refused_with_method_and_shape(model, expected):
    with pytest.raises(ContractError, match=expected) as refusal:
        check_contract(model, *images("binary"), "binary")
    assert "\n" not in str(refusal.value)


def test_a_conditional_model_is_refused_where_there_are_no_labels():
    with pytest.raises(ContractError, match="conditional, and the data set has no labels"):
        check_contract(Labelled(), images("binary")[0], None, "binary")


UNFIT = {
    "a normal on binary": ("binary", broken(Grey), "draws pixels such as .* must be a probability of 0/1 pixels"),
    "a continuous Bernoulli on binary": (
        "threshold",
        broken(likelihood=lambda z: Independent(ContinuousBernoulli(logits=logits(z)), 1)),
        "draws pixels such as",
    ),
    "a density without a sampler on binary": (
        "static-binary",
        broken(likelihood=lambda z: Invented(logits(z), lambda x, m: Normal(m, 1.0).log_prob(x).sum(-1))),
        "the probabilities of 0 and 1 add up to",
    ),
    "a Bernoulli on grey": ("grey", broken(Sound), "draws only 0 and 1, which on the view grey is no density"),
    "a Bernoulli on grey that does not look": (
        "dequantised",
        broken(likelihood=lambda z: Independent(Bernoulli(logits=logits(z), validate_args=False), 1)),
        "draws only 0 and 1",
    ),
    "the cross-entropy of grey pixels as a density": (
        "grey",
        broken(likelihood=lambda z: Invented(logits(z) + 0.5, cross_entropy, torch.rand_like)),
        r"integrates to e\^-0\.[67]\d* a pixel",
    ),
    "squared error as a log density": (
        "grey",
        broken(
            likelihood=lambda z: Invented(
                logits(z), squared_error, lambda mean: mean + math.sqrt(0.5) * torch.randn_like(mean)
            )
        ),
        r"integrates to e\^\+0\.5\d* a pixel",
    ),
    "a mass on levels where pixels have none": (
        "dequantised",
        broken(
            likelihood=lambda z: Invented(
                logits(z), lambda x, m: -math.log(17) * torch.ones_like(x + m).sum(-1),
                lambda mean: torch.randint_like(mean, 17) / 16,
            )
        ),
        "draws the same values over and over, a mass on levels",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("view", "model", "expected"), UNFIT.values(), ids=UNFIT)
def test_a_likelihood_that_is_no_distribution_of_the_views_pixels_is_refused(view, model, expected):
    with pytest.raises(ContractError, match=rf"likelihood\(z\): .*{expected}"):
        check_contract(model, *images(view), view)


def every_composition() -> list[tuple[str, Cell]]:
    """Each variant of the catalog once on each of the views that it fits."""
    suite = load_suite_mapping(
        {
            "suite": "all",
            "datasets": [f"digits/{view}" for view in VIEWS],
            "seeds": 1,
            "profile": "cpu",
            "defaults": {"network": {"hidden": [16]}, "prior": {"components": 20}},
            "variants": [name for name, entry in load_catalog().variants.items() if "trainer" not in entry.mapping],
            "metrics": ["reconstruction"],
        }
    )
    cells = {}
    for planned in expand(suite).planned:
        composition = {**planned.cell.composition, "objective": None}
        cells.setdefault(str((planned.cell.view, composition)), (planned.variant, planned.cell))
    return list(cells.values())


@pytest.mark.parametrize(("variant", "cell"), every_composition())
def test_no_variant_of_the_catalog_is_refused_on_a_view_that_it_fits(variant, cell):
    torch.manual_seed(0)
    check_contract(empty_model(cell, DIGITS.shape).eval(), *images(cell.view), cell.view)


def test_examining_a_model_leaves_torchs_generator_where_it_stood():
    class Drawing(Grey):
        def likelihood(self, z):
            return MultivariateNormal(z @ self.decode, torch.eye(PIXELS))

        def sample(self, count):
            return torch.rand(count, PIXELS)

    torch.manual_seed(5)
    before = torch.get_rng_state()
    check_contract(Drawing(), *images("grey"), "grey")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_probability_of_all_binary_images_is_the_sum_over_them():
    """By brute force over {0, 1}⁶, of pixels whose probabilities of 0 and 1 do not add up to 1."""
    weights = torch.rand(2, 6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.1
    p = Invented(torch.zeros(2, 6), lambda x, m: torch.where(x > 0.5, weights[..., 1], weights[..., 0]).log().sum(-1))
    everything = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6)), dtype=torch.float64).unsqueeze(1)
    total = p.log_prob(everything.expand(-1, 2, -1)).logsumexp(0)
    for x in (everything[3], everything[50]):
        assert torch.allclose(fitness.log_mass_of_binary(p, x.expand(2, -1)), total, rtol=1e-12)


@pytest.mark.parametrize(
    ("pixel", "constant"),
    [(Normal(0.3, 0.001), 0.0), (Normal(-2.0, 5.0), 0.9), (ContinuousBernoulli(logits=torch.tensor(-8.0)), -0.5)],
)
def test_a_density_times_a_constant_integrates_to_that_constant(pixel, constant):
    p = Independent(pixel.expand([4, PIXELS]), 1)
    torch.manual_seed(0)
    drawn = p.sample((256,))
    scaled = Invented(torch.zeros(4, PIXELS), lambda x, m: p.log_prob(x) + constant * PIXELS)
    assert torch.allclose(fitness.log_integral(scaled, drawn) / PIXELS, torch.tensor(constant).double(), atol=0.07)


def test_pixels_that_depend_on_each_other_are_told_from_those_that_do_not():
    x = images("grey")[0][:4]
    factors = torch.zeros(PIXELS, 1)
    factors[[10, 53]] = 1.0
    torch.manual_seed(0)
    together = LowRankMultivariateNormal(torch.zeros(4, PIXELS), factors, torch.full((PIXELS,), 0.1))
    assert not fitness.pixels_are_independent(together, torch.rand(4, PIXELS))
    assert fitness.pixels_are_independent(normal(torch.zeros(4, PIXELS), 1e-3), x)


def test_dependent_binary_pixels_are_allowed_and_probabilities_above_one_are_not():
    class Coupled(Sound):
        """Either all pixels are fair coins or none is ink: given z they depend on each other."""

        excess = 0.0

        def likelihood(self, z):
            def log_mass(x, mean):
                coins = torch.full_like((x + mean)[..., 0], -PIXELS * math.log(2))
                empty = torch.where(x.sum(-1) > 0, -math.inf, 0.0).expand_as(coins)
                return torch.logaddexp(coins, empty) - math.log(2) + self.excess

            return Invented(torch.full((*z.shape[:-1], PIXELS), 0.25), log_mass)

    x, y = images("binary")
    x[0] = 0.0
    check_contract(Coupled(), x, y, "binary")
    impossible = Coupled()
    impossible.excess = 10.0
    with pytest.raises(ContractError, match="gives an image a probability above 1"):
        check_contract(impossible, x, y, "binary")


class Net(nn.Module):
    """A torch module whose dropout would change every number if it were left in training."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(PIXELS, LATENTS), nn.Linear(LATENTS, PIXELS)
        self.dropout = nn.Dropout(0.5)

    def prior(self):
        return normal(torch.zeros(LATENTS, dtype=self.encoder.weight.dtype))

    def posterior(self, x):
        return normal(self.dropout(self.encoder(x)), 1.0)

    def likelihood(self, z):
        return Independent(Bernoulli(logits=self.decoder(z)), 1)


ELBO = [MetricRequest("elbo", {"samples": 2, "kl": "analytic", "split": "test", "seed": 0})]


def test_a_module_is_scored_in_evaluation_mode_and_every_part_gets_its_own_mode_back():
    net = Net()
    net.decoder.eval()
    modes = {name: part.training for name, part in net.named_modules()}
    first, second = (evaluate_model(net, "digits/binary", ELBO)[0].value for _ in range(2))
    assert first == second
    assert {name: part.training for name, part in net.named_modules()} == modes


def test_a_precision_in_which_sums_over_pixels_have_no_digits_is_refused():
    with pytest.raises(ContractError, match=r"Net is in torch\.bfloat16"):
        evaluate_model(Net().bfloat16(), "digits/binary", ELBO)


def test_what_a_model_raises_while_it_is_scored_is_that_metrics_failure():
    class Forgetful(Sound):
        """Knows no more than the images it was examined on."""

        def posterior(self, x):
            if len(x) > 40:
                raise KeyError("too many images")
            return super().posterior(x)

    values = {value.family: value for value in evaluate_model(Forgetful(), "digits/binary", ELBO)}
    assert values["elbo"].status == "failed"
    assert values["elbo"].note.startswith("KeyError: ")


def test_a_question_that_means_nothing_where_the_label_is_given_is_answered_so():
    request = MetricRequest("probe_accuracy", {"train_images": 100, "neighbours": 5, "split": "test", "seed": 0})
    values = evaluate_model(Labelled(), "digits/binary", [request])
    assert {value.status for value in values} == {"n/a"}
    assert all("given the label" in value.note for value in values)
