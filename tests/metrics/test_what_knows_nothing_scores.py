"""Bits for a pixel that are had without a model: the table in docs/theory/grey_pixels.md, taken from the data again."""

import math
import os
import re
from pathlib import Path

import pytest
import torch
from torch.distributions import Independent, Normal

from tests.compositions import composition
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.data.views import bins
from vaebench.models.distributions import IndependentPixels
from vaebench.models.likelihoods.bins import log_mass
from vaebench.models.likelihoods.level_histogram import LevelHistogram
from vaebench.training.independent import Frequencies, frequencies

PAGE = Path(__file__).parents[2] / "docs" / "theory" / "grey_pixels.md"
ROOT = os.environ.get("VAEBENCH_DATA")
COLUMNS = {"mnist": 1, "fashion-mnist": 2}
HISTOGRAMS = composition(
    network={"name": "none"},
    latent=1,
    likelihood={"name": "level-histogram", "levels": 256},
    posterior={"name": "exact"},
    prior={"name": "standard-normal"},
    objective={"name": "frequencies", "smoothing": 1.0},
)


def told(dataset: str) -> list[float]:
    """The table's column of a data set."""
    section = PAGE.read_text(encoding="utf-8").split("## What knows nothing scores\n")[1].split("\n## ")[0]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in section.splitlines() if line.startswith("|")][2:]
    return [float(row[COLUMNS[dataset]]) for row in rows]


@pytest.mark.skipif(ROOT is None, reason="VAEBENCH_DATA names no folder with the real files")
@pytest.mark.parametrize("dataset", COLUMNS)
@torch.no_grad()
def test_the_table_is_what_the_data_say(dataset: str) -> None:
    source = Source(load_dataset(dataset, Path(ROOT or "")), "grey")
    content = source.training_content("all")
    x = source.training_batch(content, torch.arange(len(content)), torch.zeros(()))
    test = source.images("test")
    mean = x.mean(0, dtype=torch.float64).float()
    spread = (x - mean).square().mean().sqrt()
    everywhere = frequencies(x.reshape(-1, 1), 256, 1e-9).log().expand(source.pixels, -1)
    known = [
        Frequencies().fit(HISTOGRAMS, x, seed=0).model.likelihood(torch.zeros(1)),
        IndependentPixels(LevelHistogram(everywhere)),
        Independent(Normal(torch.zeros_like(mean), 1.0), 1),
        Independent(Normal(mean, spread), 1),
        IndependentPixels(LevelHistogram(torch.zeros(source.pixels, 256))),
    ]
    nats = [log_mass(p.base_dist, *bins(test, 256, "grey")).double() for p in known]
    in_bits = -1 / (len(test) * source.pixels * math.log(2.0))
    assert [float(each.sum()) * in_bits for each in nats] == pytest.approx(told(dataset), abs=6e-4)
    if dataset == "mnist":
        assert float((test == 0).float().mean()) == pytest.approx(0.8, abs=0.01), "four pixels in five are black"
        histogram, _, normal, *_ = [float(each[test == 0].sum()) * in_bits for each in nats]
        assert normal - histogram == pytest.approx(0.61, abs=5e-3)
        page = " ".join(PAGE.read_text(encoding="utf-8").split())
        assert f"{normal:.2f} bits of N(0, 1) and {histogram:.2f} of the histogram are those of black pixels" in page


def test_limits_repeats_the_table() -> None:
    """Its two numbers are those of MNIST, rounded."""
    histogram, _, normal, *_ = told("mnist")
    text = " ".join((PAGE.parents[1] / "limits.md").read_text(encoding="utf-8").split())
    assert f"has {histogram:.2f} and N(0, 1) at every pixel {normal:.2f} (" in text
    assert f"of the {normal - histogram:.2f} bits between them" in text


@torch.no_grad()
def test_what_a_collapsed_model_of_digits_is_worth() -> None:
    """The number that the page and the quickstart's collapsed row share."""
    choices = {**HISTOGRAMS, "likelihood": {"name": "bernoulli"}}
    source = Source(load_dataset("digits"), "binary")
    content = source.training_content("split")
    x = (torch.rand(200, *content.shape, generator=torch.Generator().manual_seed(0)) * 16 < content).float()
    model = Frequencies().fit(choices, x.flatten(0, 1), seed=0).model.float()
    nats = float(model.log_prob(source.images("test")).mean(dtype=torch.float64))
    assert nats == pytest.approx(-27.21, abs=0.02)
    assert "on `digits/binary` −27.21 nats" in PAGE.read_text(encoding="utf-8")
