"""What published protocols ask for beside the usual recipe, each against its definition."""

import math

import pytest
import torch

from tests.compositions import cell, composition
from vaebench import project
from vaebench.data.dataset import Dataset, Shape, Split, load_dataset
from vaebench.data.source import Source
from vaebench.models.networks.trunk import initialised
from vaebench.models.posteriors.diagonal_gaussian import DiagonalGaussian
from vaebench.objectives.player import System
from vaebench.training.calibration import calibrate
from vaebench.training.fleet import Surroundings, train_fleet
from vaebench.training.initialisation import build_system, start_from_data
from vaebench.training.inputs import Timetable
from vaebench.training.member import Member

IMAGES = 100


def test_the_staged_schedule_is_that_of_burda_et_al_to_the_step():
    """3^i epochs at 10^(−i/7) of the first rate, i = 0 … 7: 3,280 epochs, each rate for exactly its epochs."""
    timetable = Timetable(cell(schedule="staged", epochs=3280, batch=20).recipe, IMAGES)
    expected = [10 ** (-stage / 7) for stage in range(8) for _ in range(3**stage * IMAGES // 20)]
    assert timetable.steps == len(expected) == 16_400
    assert [timetable.rate(step) for step in range(timetable.steps)] == pytest.approx(expected, rel=1e-12)


def test_a_shortened_staged_schedule_keeps_the_proportions_and_ends_at_the_same_rate():
    timetable = Timetable(cell(schedule="staged", epochs=328, batch=20).recipe, IMAGES)
    rates = [timetable.rate(step) for step in range(timetable.steps)]
    assert rates[-1] == pytest.approx(10**-1)
    assert sum(rate == rates[-1] for rate in rates) / len(rates) == pytest.approx(2187 / 3280, abs=1 / len(rates))


def bernoulli(view: str, bias: str, **recipe):
    made = cell(choices=composition(likelihood={"name": "bernoulli", "bias": bias}), **recipe)
    source = Source(load_dataset("digits"), view, dtype=torch.float64)
    system, _ = build_system(made, source.dataset.shape, 1197)
    start_from_data(system, made, source)
    return system.get_submodule("model"), source


@pytest.mark.parametrize("train", ["split", "all"])
def test_the_decoders_bias_starts_at_the_logit_of_the_training_mean(train):
    """Pixels drawn anew have the mean of their probabilities k/(L − 1), over the images that are trained on."""
    model, source = bernoulli("binary", "train-mean", train=train)
    splits = ("train", "validation") if train == "all" else ("train",)
    k = torch.cat([source.dataset.splits[name].content for name in splits]).double()
    mean = (k / 16).mean(0).clamp(0.001, 0.999)
    bias = model.likelihood_head.logits[0].bias
    torch.testing.assert_close(bias, (mean / (1 - mean)).log(), rtol=1e-9, atol=1e-9)
    assert float(bias.detach().min()) == pytest.approx(math.log(0.001 / 0.999))


def test_on_a_view_that_is_drawn_once_it_is_the_logit_of_what_was_drawn():
    model, source = bernoulli("threshold", "train-mean")
    mean = source.images("train").mean(0).clamp(0.001, 0.999)
    torch.testing.assert_close(model.likelihood_head.logits[0].bias, mean.logit(), rtol=1e-9, atol=1e-9)


def test_unless_it_is_asked_for_the_bias_starts_as_the_network_says():
    named, _ = bernoulli("binary", "network")
    plain = build_system(cell(choices=composition()), load_dataset("digits").shape, 1197)[0].get_submodule("model")
    for one, other in zip(named.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("stepper", ["in-turn", "mapped"])
def test_training_begins_at_the_bias(stepper):
    """With a rate of next to nothing the trained decoder's bias is still the logit of the mean."""
    choices = composition(likelihood={"name": "bernoulli", "bias": "train-mean"})
    source = Source(load_dataset("digits"), "binary", dtype=torch.float64)
    made = cell(choices=choices, epochs=1, learning_rate=1e-9)
    (trained,) = train_fleet([made], Surroundings(source, stepper))
    model, _ = bernoulli("binary", "train-mean")
    expected = model.likelihood_head.logits[0].bias
    torch.testing.assert_close(trained.model.likelihood_head.logits[0].bias, expected, rtol=0, atol=1e-6)


def test_the_log_variance_stays_in_its_range_and_beyond_it_has_no_gradient():
    class Encoder(torch.nn.Module):
        def vector_head(self, size):
            return torch.nn.Identity()

    head = DiagonalGaussian(Encoder(), 3, least_log_variance=-6.0, most_log_variance=2.0)
    log_scale = torch.tensor([-9.0, -0.5, 4.0], requires_grad=True)
    q = head(torch.cat([torch.zeros(3), log_scale]).unsqueeze(0))
    log_variance = 2 * q.stddev.log()
    torch.testing.assert_close(log_variance, torch.tensor([[-6.0, -1.0, 2.0]]))
    log_variance.sum().backward()
    assert log_scale.grad.tolist() == pytest.approx([0.0, 2.0, 0.0])


def test_one_end_of_the_range_can_be_left_open():
    class Encoder(torch.nn.Module):
        def vector_head(self, size):
            return torch.nn.Identity()

    q = DiagonalGaussian(Encoder(), 2, most_log_variance=2.0)(torch.tensor([[0.0, 0.0, -50.0, 50.0]]))
    assert q.stddev.tolist()[0] == pytest.approx([math.exp(-50), math.e])


@pytest.mark.parametrize(
    ("name", "deviation", "bound"),
    [
        ("glorot", math.sqrt(2 / (300 + 200)), math.sqrt(6 / (300 + 200))),
        ("he", math.sqrt(2 / 300), math.inf),
    ],
)
def test_first_weights_have_the_spread_of_their_law_and_no_bias(name, deviation, bound):
    """Glorot: uniform on ±√(6/(inputs + outputs)); He: normal with variance 2/inputs."""
    torch.manual_seed(0)
    layer = initialised(torch.nn.Linear(300, 200), name)
    assert float(layer.weight.detach().std()) == pytest.approx(deviation, rel=0.01)
    assert float(layer.weight.detach().abs().max()) <= bound
    assert not layer.bias.any()


def test_first_images_trains_on_the_first_of_the_training_split_and_on_nothing_else():
    """The same model as from a data set that has only those images; the other splits stay whole."""
    digits = load_dataset("digits")
    made = cell(choices=composition(likelihood={"name": "gaussian-squared-error", "sigma_floor": 1e-3}), epochs=2)
    train = digits.splits["train"]
    by_hand = Dataset(
        "digits", {**digits.splits, "train": Split(train.content[:300], train.labels[:300])}, 64, 8, digits.levels
    )
    cut = digits.trained_on(300)
    sources = [Source(data, "grey", dtype=torch.float64) for data in (cut, by_hand, digits)]
    models = [train_fleet([made], Surroundings(source))[0].model for source in sources]
    weights = [torch.cat([value.flatten() for value in model.state_dict().values()]) for model in models]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert (len(cut.splits["train"].content), len(cut.splits["test"].content)) == (300, 300)
    assert digits.trained_on(None) is digits
    assert cut.shape == digits.shape


def test_what_is_settled_after_training_is_settled_on_the_first_images_too():
    cut = Source(load_dataset("digits").trained_on(50), "grey", dtype=torch.float64)
    made = cell(choices=composition(likelihood={"name": "gaussian-squared-error", "sigma_floor": 1e-3}))
    system, _ = build_system(made, Shape(64), 50)
    model = system.get_submodule("model").eval()
    calibrate(model, made, cut)
    errors = (cut.images("train") - model.likelihood(torch.zeros(50, 4, dtype=torch.float64)).mean).square()
    assert len(errors) == 50


def patient(warmup: float) -> Member:
    made = cell(choices=composition(), select="best-validation", patience=3, kl_warmup=warmup, epochs=50)
    system, objective = build_system(made, Shape(9), IMAGES)
    assert isinstance(system, System)
    return Member(made, system, objective)


@pytest.mark.parametrize(("warmup", "stops"), [(0, 4), (6, 9), (5.5, 9)])
def test_patience_is_not_counted_before_the_kl_has_its_full_weight(warmup, stops):
    """A validation loss that is best after the first epoch and never again."""
    member = patient(warmup)
    for epoch in range(1, 20):
        member.history.curves.append({"epoch": epoch})
        member.consider(epoch, 1.0 if epoch == 1 else 2.0)
        if not member.active:
            break
    assert (member.history.stopped_at, member.history.best_epoch) == (stops, 1)


def test_a_metric_of_the_training_split_is_taken_over_the_first_images_alone(tmp_path):
    """pPCA's exact log-likelihood, maximised over those images: ln p of N(x̄, C) in closed form, C with divisor N."""
    latent, first = 8, 200
    suite = {
        "suite": "trial",
        "datasets": ["digits/grey"],
        "seeds": 1,
        "recipe": {"first_images": first, "precision": "float64"},
        "defaults": {"latent": latent},
        "variants": ["ppca"],
        "metrics": [{"log_likelihood": {"split": "train"}}],
    }
    run = project.run(suite, project.Settings(results=tmp_path, device="cpu", workers=1, debug=True))
    x = load_dataset("digits").splits["train"].content[:first].double() / 16
    eigenvalues = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
    noise = eigenvalues[latent:].mean()
    log_determinant = eigenvalues[:latent].log().sum() + (64 - latent) * noise.log()
    expected = -0.5 * (64 * math.log(2 * math.pi) + log_determinant + 64)
    assert run.leaderboard.table["log_likelihood"].item() == pytest.approx(float(expected), rel=1e-9)
