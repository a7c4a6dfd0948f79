"""Evaluators see the discrete code: exact sums over its values, draws that are one-hot."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.compositions import ELBO, composition
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.metrics import active_units, code_accuracy, code_entropy, elbo, kl, log_likelihood, mutual_information
from vaebench.metrics.categories import category_probabilities, information
from vaebench.metrics.evaluation import evaluate
from vaebench.metrics.subject import Images, Subject
from vaebench.models.composition import Composition
from vaebench.models.mixed import GaussianAndOneHot, OneHot
from vaebench.store.record import MetricRequest

TEST = {"split": "test", "seed": 0}
TEMPERATURES = {"temperature": 1.0, "final_temperature": 0.5}
CATEGORICAL = {"posterior": {"name": "categorical", **TEMPERATURES}, "prior": {"name": "uniform-categorical"}}
JOINT = {
    "latent": 7,
    "conditional": False,
    "posterior": {"name": "joint", "categories": 4, **TEMPERATURES},
    "prior": {"name": "normal-and-uniform", "categories": 4},
}


@pytest.fixture(scope="module")
def source():
    return Source(load_dataset("digits"), "binary", dtype=torch.float64)


def subject_of(source, scale=20.0, **choices):
    """An untrained model whose category depends strongly on the image and moves the decoder."""
    torch.manual_seed(0)
    model = Composition(composition(**choices), source.dataset.shape).double().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if "logits" in name or "decoder" in name:
            parameter.mul_(scale if "logits" in name else 4.0)
    return Subject(model, source)


def test_with_a_category_alone_everything_is_exact(source):
    """elbo without Monte Carlo error, below ln p(x) = ln Σ_c p(x|c)/K, which drawn codes approach from below."""
    subject = subject_of(source, scale=1.0, **CATEGORICAL)
    x, codes = source.images("test"), torch.eye(4).double()
    log_joint = subject.model.likelihood(codes[:, None]).log_prob(x) - math.log(4)
    exact = float(log_joint.logsumexp(0).mean())
    q = subject.model.posterior(x).mean
    by_hand = float(((q * (log_joint.T - q.log())).sum(-1)).mean())
    answer, *_ = elbo.evaluate(subject, {**TEST, "samples": 3, "kl": "analytic"})
    assert answer.value == pytest.approx(by_hand, rel=1e-9)
    assert answer.stderr == 0.0
    assert answer.value < exact
    estimate, *_ = log_likelihood.evaluate(subject, {**TEST, "samples": 400, "images": 300})
    assert exact - 3 * estimate.stderr - 0.5 < estimate.value < exact + 3 * estimate.stderr


def test_the_joint_elbo_sums_over_the_category_and_averages_over_the_rest(source):
    subject = subject_of(source, **JOINT)
    summed, *_ = elbo.evaluate(subject, {**TEST, "samples": 40, "kl": "analytic"})
    x = source.images("test")
    q = subject.model.posterior(x).discrete()
    noise = torch.randn(600, len(x), 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    drawn = torch.stack([subject.model.likelihood(q.from_noise(n)).log_prob(x) for n in noise])
    by_draws = drawn.mean(0) - torch.distributions.kl_divergence(q, subject.model.prior())
    error = float((drawn.var(0) / 600).sum().sqrt()) / len(x)
    assert abs(summed.value - float(by_draws.mean())) < 4 * math.hypot(error, summed.stderr)


def test_kl_is_exact_and_told_by_latent_with_the_category_last(source):
    subject = subject_of(source, **JOINT)
    answer, of_category = kl.evaluate(subject, {**TEST, "samples": 2})
    assert answer.stderr == 0.0
    assert len(answer.details["by_latent"]) == 4
    assert sum(answer.details["by_latent"]) == pytest.approx(answer.value)
    assert of_category.value == pytest.approx(answer.details["by_latent"][-1])


@pytest.mark.parametrize("choices", [JOINT, CATEGORICAL])
def test_the_kl_of_a_category_is_its_information_and_what_its_use_lacks_of_ln_c(source, choices):
    """KL(q(c|x) ‖ uniform) = I(x; c) + ln C − H(q(c)), so a KL near ln C does not speak for information."""
    subject = subject_of(source, **choices)
    of_category = next(answer for answer in kl.evaluate(subject, {**TEST, "samples": 2}) if answer.part == "code")
    q = category_probabilities(subject, subject.split("test"))
    aggregate = q.mean(0)
    used = -float((aggregate * aggregate.log()).sum())
    told = float((q * (q.log() - aggregate.log())).sum(-1).mean())
    assert of_category.value == pytest.approx(told + math.log(4) - used)
    assert of_category.stderr == 0.0


class Coded(nn.Module):
    """q(c|x) is looked up by the image's place in its split."""

    def __init__(self, source, probabilities):
        super().__init__()
        self.rows = {}
        for split, table in probabilities.items():
            images = source.images(split)
            self.rows |= {image.numpy().tobytes(): row for image, row in zip(images, table, strict=True)}

    def prior(self):
        return OneHot(torch.zeros(10, dtype=torch.float64))

    def posterior(self, x):
        return OneHot(torch.stack([self.rows[image.numpy().tobytes()] for image in x]).clamp_min(1e-300).log())


def coded(source, of_label, classes=10):
    """q(c|x) as a function of the label; (label, category)"""
    tables = {split: of_label[source.labels(split)] for split in ("train", "test")}
    return Subject(Coded(source, tables), source)


@pytest.fixture(scope="module")
def distinct(source):
    """Grey images, no two of which are alike."""
    return Source(load_dataset("digits"), "grey", dtype=torch.float64)


def test_a_constant_code_has_no_entropy_and_no_information(distinct):
    """Where the prior's entropy would claim ln 10 (DESIGN.md section 7, truth 8)."""
    constant = torch.zeros(10, 10).double()
    constant[:, 3] = 1.0
    subject = coded(distinct, constant)
    assert code_entropy.evaluate(subject, TEST)[0].value == pytest.approx(0.0, abs=1e-9)
    assert mutual_information.evaluate(subject, {**TEST, "samples": 1})[0].value == pytest.approx(0.0, abs=1e-9)
    assert active_units.evaluate(subject, {**TEST, "threshold": 0.01})[0].value == 0


def test_a_code_that_is_the_label_has_the_labels_entropy_and_counts_as_one_active_unit(distinct):
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    subject = coded(distinct, torch.eye(10).double()[order])
    share = torch.bincount(distinct.labels("test"), minlength=10).double() / 300
    expected = -float((share * share.log()).sum())
    assert code_entropy.evaluate(subject, TEST)[0].value == pytest.approx(expected)
    assert mutual_information.evaluate(subject, {**TEST, "samples": 1})[0].value == pytest.approx(expected)
    assert active_units.evaluate(subject, {**TEST, "threshold": 0.01})[0].value == 1
    accuracies = {answer.part: answer.value for answer in code_accuracy.evaluate(subject, TEST)}
    assert accuracies == {"majority": 1.0, "matching": 1.0}


def test_information_is_the_mean_kl_from_the_marginal():
    q = torch.rand(50, 4, dtype=torch.float64).softmax(-1)
    marginal = q.mean(0)
    by_hand = float((q * (q / marginal).log()).sum(-1).mean())
    assert information(q) == pytest.approx(by_hand)
    rare = torch.eye(10).double()[torch.tensor([0] * 91 + list(range(1, 10)))]
    assert information(rare) == pytest.approx(0.500, abs=5e-4)  # q(c) = (.91, .01 × 9)


def test_two_codes_for_one_label_count_for_the_majority_and_only_one_of_them_for_the_matching():
    table = np.array([[50, 0, 0], [40, 1, 0], [0, 30, 0], [0, 0, 0]])
    assert code_accuracy.majority(table).tolist() == [0, 0, 1, code_accuracy.NO_LABEL]
    matched = code_accuracy.matching(table)
    assert matched[0] == 0
    assert matched[2] == 1
    assert len({label for label in matched if label >= 0}) == sum(label >= 0 for label in matched)


def test_the_map_from_codes_to_labels_is_learned_from_the_training_images_alone(source):
    """A code that stands for one label in training and for the next one at the test is never right."""
    train, test = (source.labels(split) for split in ("train", "test"))
    tables = {"train": torch.eye(10).double()[train], "test": torch.eye(10).double()[(test + 1) % 10]}
    answers = code_accuracy.evaluate(Subject(Coded(source, tables), source), TEST)
    assert {answer.part: answer.value for answer in answers} == {"majority": 0.0, "matching": 0.0}


def test_a_gaussian_code_is_asked_nothing_about_categories(source):
    torch.manual_seed(0)
    model = Composition(composition(objective=ELBO), source.dataset.shape).double()
    requests = [MetricRequest(name, TEST) for name in ("code_entropy", "code_accuracy")]
    values = evaluate(Subject(model, source), requests)
    assert {value.status for value in values} == {"n/a"}
    assert {value.note for value in values} == {"q(z|x) has no categorical code"}
    whole, of_category = evaluate(Subject(model, source), [MetricRequest("kl", {**TEST, "samples": 2})])
    assert (whole.status, of_category.status) == ("done", "n/a")
    assert (of_category.metric, of_category.note) == ("kl.code", "the code has no category")


def test_the_joint_codes_active_units_are_its_gaussian_latents_and_one_category(source):
    (answer,) = active_units.evaluate(subject_of(source, **JOINT), {**TEST, "threshold": 1e-9})
    assert answer.value == 4
    assert len(answer.details["variance_of_means"]) == 3
    q = subject_of(source, **JOINT).model.posterior(source.images("test"))
    assert isinstance(q, GaussianAndOneHot)
    assert answer.details["information_of_category"] == pytest.approx(information(q.category.mean))


def test_the_noise_of_drawn_means_makes_no_latent_active(source):
    """A flow that forgot the image: 64 draws leave each mean a variance of 1/64 of q's, above the threshold."""
    torch.manual_seed(0)
    flow = {"name": "iaf", "steps": 1, "hidden": [8], "context": False}
    model = Composition(composition(posterior=flow), source.dataset.shape).double().requires_grad_(False)
    nn.init.zeros_(model.posterior_head.base.mean_and_log_scale.weight)
    (answer,) = active_units.evaluate(Subject(model, source), {**TEST, "threshold": 0.006})
    assert float(Subject(model, source).codes(Images(source.images("test"))).var(0).min()) > 0.006
    assert answer.value == 0
