"""Every gradient-trained row of the catalog trains in its conditional form, and the labels are the images' own."""

from dataclasses import replace

import pytest
import torch

from tests.compositions import cell, composition
from vaebench.data.dataset import Dataset, Split, load_dataset
from vaebench.data.source import Source
from vaebench.metrics import log_likelihood
from vaebench.metrics.subject import Subject
from vaebench.models.likelihoods.squared_error import SquaredErrorGaussian
from vaebench.objectives.critic import FactorCritic, TwoLaws
from vaebench.suite.expansion import expand
from vaebench.suite.loading import load_suite_mapping
from vaebench.training.fleet import Surroundings, train_fleet
from vaebench.training.inputs import Inputs, Timetable


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


def cells_of(name: str):
    """Two members of the row's conditional form on a view that it fits; none where it has none."""
    suite = load_suite_mapping(
        {
            "suite": "conditional",
            "datasets": ["digits/binary", "digits/grey"],
            "seeds": 2,
            "recipe": {"epochs": 1, "batch": 120, "precision": "float64"},
            "variants": [{"extends": name, "latent": 12, "network": {"hidden": [12]}, "conditional": True}],
            "metrics": ["reconstruction"],
        }
    )
    planned = expand(suite).planned
    return [item.cell for item in planned if item.cell.view == planned[0].cell.view]


ROWS = [
    "vae",
    "vae-mc-kl",
    "vae-em",
    "vae-score-function",
    "iwae",
    "vae-free-bits",
    "beta-vae-capacity",
    "factor-vae",
    "beta-tcvae",
    "dip-vae-i",
    "info-vae",
    "vae-full-covariance",
    "vae-iaf",
    "vae-constant-variance",
    "vampprior-vae",
    "vmi-vae",
    "vae-gaussian",
    "vae-gaussian-optimal",
    "vae-gaussian-lowrank",
    "ae-contractive",
    "wae-mmd",
    "aae",
]


@pytest.mark.parametrize("name", ROWS)
def test_a_row_trains_conditionally_and_alike_by_both_steppers(name, digits):
    cells = cells_of(name)
    source = Source(digits, cells[0].view, dtype=torch.float64)
    in_turn, mapped = (train_fleet(cells, Surroundings(source, stepper)) for stepper in ("in-turn", "mapped"))
    for one, other in zip(in_turn, mapped, strict=True):
        assert one.diverged_at is None
        for a, b in zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True):
            assert torch.allclose(a, b, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("train", ["split", "all"])
def test_the_labels_of_every_batch_are_those_of_its_images(digits, train):
    """The pixels are made to spell the label, so that a slip between the two would show."""
    source = Source(spelled(digits), "grey", dtype=torch.float64)
    made = cell(0, "digits/grey", composition(conditional=True), train=train)
    images = len(source.training_content(train))

    critic = FactorCritic(TwoLaws(noise_size=4, latent=4, shuffle="columns", second_batch=True))
    assert critic.batches == 2
    inputs = Inputs([made, replace(made, seed=1)], source, [critic], Timetable(made.recipe, images))
    inputs.prepare(5, 30)
    for step in (5, 17, 29):
        for x, y in zip(inputs.images(step), inputs.labels(step), strict=True):
            assert torch.equal(x[..., 0] * 16, y.double())
            assert x.shape[:2] == y.shape == (2, 100)
        (first, second) = inputs.labels(step)
        assert not torch.equal(first, second)


def spelled(digits: Dataset) -> Dataset:
    """The digits, each image's every pixel its label."""
    splits = {
        name: Split(split.labels.to(torch.uint8).unsqueeze(1).expand(-1, 64).contiguous(), split.labels)
        for name, split in digits.splits.items()
    }
    return replace(digits, splits=splits)


def test_right_labels_score_better_than_shuffled_ones(digits):
    """ln p(x|y) at the images' own labels, against labels of other images of the split, some nats below."""
    source = Source(digits, "binary", dtype=torch.float64)
    made = cell(0, choices=composition(conditional=True), epochs=40)
    (trained,) = train_fleet([made], Surroundings(source))
    shuffled = Source(with_shuffled_labels(digits), "binary", dtype=torch.float64)
    protocol = {"split": "test", "seed": 0, "samples": 64, "images": 300}
    trained.model.requires_grad_(False)
    right, wrong = (log_likelihood.evaluate(Subject(trained.model, seen), protocol)[0] for seen in (source, shuffled))
    assert right.stderr < 0.2
    assert right.value - wrong.value > 10 * (right.stderr + wrong.stderr)


def with_shuffled_labels(digits: Dataset) -> Dataset:
    order = torch.randperm(len(digits.splits["test"].labels), generator=torch.Generator().manual_seed(0))
    test = digits.splits["test"]
    return replace(digits, splits={**digits.splits, "test": Split(test.content, test.labels[order])})


def test_selection_and_calibration_see_the_labels(digits):
    """Labels that tell the image lower the error that σ is fixed by, and the loss on validation images."""
    source = Source(digits, "grey", dtype=torch.float64)
    likelihood = {"name": "gaussian-squared-error", "sigma_floor": 1e-3}
    autoencoder = {"name": "autoencoder", "corruption": 0.0, "contraction": 0.0, "sparsity": 0.0}
    choices = {"latent": 1, "likelihood": likelihood, "posterior": {"name": "point"}, "objective": autoencoder}
    plain, told = (
        train_fleet(
            [
                cell(
                    0,
                    "digits/grey",
                    composition(conditional=conditional, **choices),
                    epochs=30,
                    select="best-validation",
                )
            ],
            Surroundings(source),
        )[0]
        for conditional in (False, True)
    )
    assert isinstance(told.model.likelihood_head, SquaredErrorGaussian)
    assert float(told.model.likelihood_head.sigma) < 0.9 * float(plain.model.likelihood_head.sigma)
    assert min(row["validation_loss"] for row in told.curves) < min(row["validation_loss"] for row in plain.curves)
