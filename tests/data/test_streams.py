"""Streams are pure functions of name and position, and their numbers are as random as they claim."""

import math

import pytest
import scipy.stats
import torch

from vaebench.data import streams


def test_mixing_is_splitmix64():
    """Reference outputs of SplitMix64 seeded with 0 and with 1234567 (Vigna's splitmix64.c)."""
    first = streams.mixed(torch.tensor(0), torch.arange(2)).tolist()
    assert [value % 2**64 for value in first] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]
    assert int(streams.mixed(torch.tensor(1234567), torch.tensor(0))) % 2**64 == 6457827717110365317


@pytest.mark.parametrize("law", ["normal", "uniform"])
@pytest.mark.parametrize("size", [1, 4, 7])
def test_a_number_does_not_depend_on_what_is_drawn_with_it(law, size):
    draw = streams.LAWS[law]
    keys = streams.keys([(seed, "noise") for seed in range(5)])
    whole = draw(keys, 0, 12, size)
    assert torch.equal(whole[7:10], draw(keys, 7, 3, size))
    assert torch.equal(whole[:, 3], draw(keys[3], 0, 12, size))


def test_uniforms_are_uniform_and_normals_are_normal():
    stream = torch.tensor(streams.key("test of laws"))
    uniform = streams.uniform(stream, 0, 1, 200_000).flatten()
    normal = streams.normal(stream, 1, 1, 200_000, torch.float64).flatten()
    assert scipy.stats.kstest(uniform.double().numpy(), "uniform").pvalue > 1e-3
    assert scipy.stats.kstest(normal.numpy(), "norm").pvalue > 1e-3
    assert float(uniform.min()) >= 0.0
    assert float(uniform.max()) < 1.0


def test_neighbouring_streams_and_positions_are_uncorrelated():
    keys = streams.keys([(seed, "noise") for seed in range(50)])
    draws = streams.normal(keys, 0, 1, 20_000, torch.float64)[0]
    correlation = torch.corrcoef(draws) - torch.eye(50, dtype=torch.float64)
    assert float(correlation.abs().max()) < 6.0 / math.sqrt(20_000)
    serial = (draws[:, 1:] * draws[:, :-1]).mean(1)
    assert float(serial.abs().max()) < 6.0 / math.sqrt(20_000)


def test_single_and_double_precision_see_the_same_uniforms_exactly():
    stream = torch.tensor(streams.key("precision"))
    single, double = (streams.uniform(stream, 0, 3, 11, dtype) for dtype in (torch.float32, torch.float64))
    assert torch.equal(single.double(), double)


def test_a_permutation_holds_every_index_once_and_differs_by_epoch():
    first, second = (streams.permutation(streams.key(0, "order"), epoch, 1000) for epoch in (0, 1))
    assert sorted(first.tolist()) == list(range(1000))
    assert not torch.equal(first, second)
    assert torch.equal(first, streams.permutation(streams.key(0, "order"), 0, 1000))


def test_an_image_keeps_its_stream_in_any_company_and_precision():
    images = torch.rand(6, 9)
    keys = streams.image_keys(images, "elbo", 0)
    assert torch.equal(streams.image_keys(images.flip(0), "elbo", 0), keys.flip(0))
    assert torch.equal(streams.image_keys(images.double(), "elbo", 0), keys)
    assert not torch.equal(streams.image_keys(images, "elbo", 1), keys)
