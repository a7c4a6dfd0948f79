"""Data sets, views and splits: what a model observes is what section 5 of the design says."""

import numpy as np
import pytest
import sklearn.datasets
import torch
from torch.distributions import MultivariateNormal

from vaebench.catalog.catalog import load_catalog
from vaebench.data import digits as scikit_learns_digits
from vaebench.data import streams
from vaebench.data.dataset import load_dataset
from vaebench.data.linear_gaussian import truth
from vaebench.data.source import Source
from vaebench.data.views import bins


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


def test_catalog_and_loaders_agree_on_sizes_views_and_levels():
    for name in ("digits", "linear-gaussian"):
        described, loaded = load_catalog().datasets[name], load_dataset(name)
        assert {split: len(part.content) for split, part in loaded.splits.items()} == described.splits
        assert (loaded.pixels, loaded.side, loaded.levels) == (described.pixels, described.side, described.levels)


def test_the_splits_hold_every_digit_once(digits):
    raw = sklearn.datasets.load_digits()
    ours = np.concatenate([split.content.numpy() for split in digits.splits.values()])
    labels = np.concatenate([split.labels.numpy() for split in digits.splits.values()])
    together = np.column_stack([labels, ours])
    theirs = np.column_stack([raw.target, raw.data]).astype(int)
    assert sorted(map(tuple, together)) == sorted(map(tuple, theirs))
    assert digits.checksum == load_dataset("digits").checksum


def test_they_are_the_same_where_the_package_keeps_them_elsewhere(digits, monkeypatch):
    monkeypatch.setattr(scikit_learns_digits, "FILE", "elsewhere.csv.gz")
    assert scikit_learns_digits.load("digits").checksum == digits.checksum


def test_binary_pixels_average_to_their_grey_level(digits):
    source = Source(digits, "binary")
    content = source.training_content("split")
    index = torch.arange(40)
    u = streams.uniform(torch.tensor(streams.key("visits")), 0, 4000, 40 * 64).reshape(4000, 40, 64)
    x = source.training_batch(content, index.expand(4000, 40), u)
    assert set(x.unique().tolist()) == {0.0, 1.0}
    grey = digits.splits["train"].content[:40] / 16
    deviation = (x.mean(0) - grey).abs() / (grey * (1 - grey) / 4000).sqrt().clamp_min(1e-3)
    assert float(deviation.max()) < 5.0
    assert torch.equal(x.mean(0)[grey == 0], torch.zeros(int((grey == 0).sum())))
    assert torch.equal(x.mean(0)[grey == 1], torch.ones(int((grey == 1).sum())))


def test_evaluation_images_are_drawn_once_for_all(digits):
    first, again = (Source(load_dataset("digits"), "binary").images("test") for _ in range(2))
    assert torch.equal(first, again)
    index = torch.tensor([5, 3, 250])
    assert torch.equal(Source(digits, "binary").images("test", index), first[index])


def test_static_binary_trains_on_the_very_images_it_would_be_evaluated_on(digits):
    source = Source(digits, "static-binary")
    content = source.training_content("split")
    index = torch.tensor([0, 7, 1196])
    assert torch.equal(source.training_batch(content, index, torch.zeros(())), source.images("train", index))
    assert not source.training_noise()


def test_threshold_and_grey_are_the_designs_formulas(digits):
    k = digits.splits["test"].content
    assert torch.equal(Source(digits, "threshold").images("test"), (k >= 8.5).float())
    assert torch.allclose(Source(digits, "grey").images("test"), k / 16)


def test_dequantised_pixels_lie_in_the_bin_of_their_level(digits):
    k = digits.splits["test"].content.double()
    x = Source(digits, "dequantised", dtype=torch.float64).images("test")
    assert bool(((x >= k / 17) & (x < (k + 1) / 17)).all())
    assert abs(float((x * 17 - k).mean()) - 0.5) < 0.01


@pytest.mark.parametrize("view", ["grey", "dequantised"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bins_hold_their_pixel_and_leave_no_gap(digits, view, dtype):
    x = Source(digits, view, dtype=dtype).images("test")
    lower, upper = bins(x, 17, view)
    assert bool(((lower <= x) & (x <= upper)).all())
    k = digits.splits["test"].content
    assert bool(lower[k == 0].isinf().all())
    assert bool(upper[k == 16].isinf().all())
    width = {"grey": 1 / 16, "dequantised": 1 / 17}[view]
    inner = (k > 0) & (k < 16)
    assert torch.allclose((upper - lower)[inner], torch.tensor(width, dtype=dtype))


def test_train_all_adds_the_validation_images(digits):
    source = Source(digits, "grey")
    assert len(source.training_content("split")) == 1197
    assert len(source.training_content("all")) == 1497


def test_linear_gaussian_data_follow_their_known_law():
    known = truth()
    x = load_dataset("linear-gaussian").splits["train"].content
    covariance = known.weights @ known.weights.T + known.sigma**2 * torch.eye(20, dtype=torch.float64)
    law = MultivariateNormal(known.mean, covariance)
    log_density = law.log_prob(x)
    assert abs(float(log_density.mean() + law.entropy())) < 5 * float(log_density.std()) / len(x) ** 0.5
    standard = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), (x - known.mean).T, upper=False)
    assert torch.allclose(standard @ standard.T / len(x), torch.eye(20, dtype=torch.float64), atol=0.1)
