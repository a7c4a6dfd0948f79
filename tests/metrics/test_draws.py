"""A row's draws are its own: the same in any company and in any portions, whatever the family, and of the right law."""

import pytest
import torch
from torch.distributions import (
    AffineTransform,
    Categorical,
    Dirichlet,
    Independent,
    Laplace,
    LowRankMultivariateNormal,
    MixtureSameFamily,
    Normal,
    TanhTransform,
    TransformedDistribution,
    Uniform,
    VonMises,
)

from vaebench.data import streams
from vaebench.metrics.draws import draw

ROWS, SIZE = 6, 3
LOC = torch.linspace(-1.0, 1.0, ROWS * SIZE).reshape(ROWS, SIZE)
SCALE = torch.linspace(0.3, 1.2, ROWS * SIZE).reshape(ROWS, SIZE)


def normal(rows):
    return Independent(Normal(LOC[rows], SCALE[rows]), 1)


FAMILIES = {
    "laplace": lambda rows: Independent(Laplace(LOC[rows], SCALE[rows]), 1),
    "uniform": lambda rows: Independent(Uniform(LOC[rows] - SCALE[rows], LOC[rows] + SCALE[rows]), 1),
    "von Mises": lambda rows: Independent(VonMises(LOC[rows], 1 / SCALE[rows]), 1),
    "dirichlet": lambda rows: Dirichlet(SCALE[rows]),
    "squashed": lambda rows: TransformedDistribution(normal(rows), [TanhTransform()]),
    "shifted laplace": lambda rows: TransformedDistribution(
        Independent(Laplace(torch.zeros_like(LOC[rows]), 1.0), 1),
        [AffineTransform(LOC[rows], SCALE[rows], event_dim=1)],
    ),
    "low rank": lambda rows: LowRankMultivariateNormal(LOC[rows], SCALE[rows].unsqueeze(-1), SCALE[rows].square()),
    "mixture": lambda rows: MixtureSameFamily(
        Categorical(torch.tensor([0.2, 0.8]).expand(len(LOC[rows]), 2)),
        Independent(Normal(torch.stack([LOC[rows], LOC[rows] + 3], 1), torch.stack([SCALE[rows]] * 2, 1)), 1),
    ),
}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_row_gets_the_same_draws_in_any_company_and_in_any_portions(family):
    keys = streams.keys([("row", number) for number in range(ROWS)])
    everything = slice(None)
    whole = draw(family(everything), keys, 0, 20)
    assert whole.shape == (20, ROWS, SIZE)
    some = torch.tensor([4, 1])
    assert torch.allclose(draw(family(some), keys[some], 0, 20), whole[:, some], atol=1e-6)
    portions = [draw(family(everything), keys, first, count) for first, count in ((0, 3), (3, 11), (14, 6))]
    assert torch.equal(torch.cat(portions), whole)
    assert len(whole[:, 0, 0].unique()) == 20


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_draws_have_the_moments_of_the_distributions_own_sampler(family):
    count = 4000
    keys = streams.keys([("row", number) for number in range(ROWS)])
    ours = draw(family(slice(None)), keys, 0, count).double()
    torch.manual_seed(0)
    theirs = family(slice(None)).sample((4 * count,)).double()
    error = theirs.std(0) * (1.25 / count) ** 0.5
    assert bool(((ours.mean(0) - theirs.mean(0)).abs() < 4.5 * error).all())
    assert torch.allclose(ours.std(0), theirs.std(0), rtol=0.12)


def test_one_mixture_for_all_rows_is_drawn_for_each():
    prior = MixtureSameFamily(
        Categorical(torch.ones(3)),
        Independent(Normal(torch.arange(3.0)[:, None].expand(3, 2) * 10, torch.ones(3, 2)), 1),
    )
    keys = streams.keys([("row", number) for number in range(300)])
    drawn = draw(prior, keys, 0, 10)
    assert drawn.shape == (10, 300, 2)
    near = (drawn / 10).round().clamp(0, 2)
    assert torch.equal(near[..., 0], near[..., 1])
    assert torch.allclose(near[..., 0].flatten().long().bincount() / 3000, torch.full((3,), 1 / 3), atol=0.04)
    assert torch.equal(draw(prior, keys[7:9], 4, 2), drawn[4:6, 7:9])
