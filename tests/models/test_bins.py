"""Bin masses: they sum to one over the levels, and survive the far tail."""

import math

import pytest
import scipy.special
import torch
from torch.distributions import Independent, MultivariateNormal, Normal, Uniform

from vaebench.data.views import bins
from vaebench.models.likelihoods.bins import log_bin_mass


def levels_of(view, levels, dtype=torch.float64):
    k = torch.arange(levels, dtype=dtype)
    return (k / (levels - 1) if view == "grey" else (k + 0.5) / levels).unsqueeze(-1)


@pytest.mark.parametrize("view", ["grey", "dequantised"])
@pytest.mark.parametrize(("loc", "scale"), [(0.5, 0.2), (-3.0, 0.5), (0.2, 1e-3), (1.7, 30.0)])
def test_masses_sum_to_one_over_the_levels(view, loc, scale):
    x = levels_of(view, 256)
    pixel = Independent(Normal(torch.full_like(x, loc), torch.full_like(x, scale)), 1)
    masses = log_bin_mass(pixel, *bins(x, 256, view)).exp()
    assert abs(float(masses.sum()) - 1.0) < 1e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_far_tails_keep_their_digits(dtype, side):
    """Against ln Φ differences from scipy's log_ndtr, up to 1,000 σ away; both tails alike."""
    distance = torch.tensor([[0.5], [5.0], [9.0], [14.0], [40.0], [1000.0]], dtype=dtype)
    lower, upper = (distance, distance + 0.5) if side > 0 else (-distance - 0.5, -distance)
    mass = log_bin_mass(Independent(Normal(torch.zeros_like(distance), torch.ones_like(distance)), 1), lower, upper)
    near, far = -distance.squeeze(-1).double().numpy(), -(distance + 0.5).squeeze(-1).double().numpy()
    log_near, log_far = scipy.special.log_ndtr(near), scipy.special.log_ndtr(far)
    expected = torch.tensor(log_near + scipy.special.log1p(-scipy.special.exp10((log_far - log_near) / math.log(10.0))))
    tolerance = 1e-4 if dtype == torch.float32 else 1e-9
    assert torch.allclose(mass.double(), expected, rtol=tolerance)


def test_a_uniform_density_gives_the_bits_that_arithmetic_gives():
    """Section 7.7: 8 bits on grey for [−1/510, 1 + 1/510]; [0, 1]: log₂ 255 inside, log₂ 510 outside, 8 dequantised."""
    grey, dequantised = levels_of("grey", 256), levels_of("dequantised", 256)
    wide = Independent(Uniform(torch.full_like(grey, -1 / 510), 1 + 1 / 510, validate_args=False), 1)
    assert torch.allclose(log_bin_mass(wide, *bins(grey, 256, "grey")), torch.tensor(-8.0 * math.log(2)).double())
    unit = Independent(Uniform(torch.zeros_like(grey), 1.0, validate_args=False), 1)
    bits = -log_bin_mass(unit, *bins(grey, 256, "grey")) / math.log(2)
    assert torch.allclose(bits[1:-1], torch.tensor(math.log2(255)).double())
    assert torch.allclose(bits[[0, -1]], torch.tensor(math.log2(510)).double())
    assert torch.allclose(
        -log_bin_mass(unit, *bins(dequantised, 256, "dequantised")) / math.log(2), torch.tensor(8.0).double()
    )


def test_pixels_that_depend_on_each_other_have_no_product_of_bins():
    with pytest.raises(NotImplementedError, match="independent given z"):
        log_bin_mass(MultivariateNormal(torch.zeros(2), torch.eye(2)), torch.zeros(2), torch.ones(2))
