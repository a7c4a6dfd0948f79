"""What is logged of a categorical code while it trains."""

import math

import pytest
import torch

from tests.compositions import VMI, cell, composition
from vaebench.data.dataset import Shape
from vaebench.models.composition import Composition
from vaebench.models.mixed import OneHot
from vaebench.objectives.code_terms import code_terms
from vaebench.training.initialisation import build_system

JOINT = {
    "latent": 7,
    "posterior": {"name": "joint", "categories": 4, "temperature": 1.0, "final_temperature": 0.5},
    "prior": {"name": "normal-and-uniform", "categories": 4},
}
PROBABILITIES = torch.tensor([[0.97, 0.01, 0.01, 0.01], [0.28, 0.28, 0.28, 0.16], [1.0, 0.0, 0.0, 0.0]])


class Uniform:
    """A model of which only the prior is asked."""

    def prior(self) -> OneHot:
        return OneHot(torch.zeros(4))


def test_the_histogram_counts_every_probability_in_its_tenth_and_sums_to_one() -> None:
    terms = code_terms(OneHot(PROBABILITIES.log().clamp_min(-80.0)), Uniform())
    shares = [float(terms[f"code_probability_{bin}"]) for bin in range(10)]
    assert sum(shares) == pytest.approx(1.0)
    assert shares == pytest.approx([6 / 12, 1 / 12, 3 / 12, 0, 0, 0, 0, 0, 0, 2 / 12])


def test_the_kl_is_that_of_the_category_alone() -> None:
    terms = code_terms(OneHot(PROBABILITIES.log().clamp_min(-80.0)), Uniform())
    entropies = -(0.97 * math.log(0.97) + 0.03 * math.log(0.01)), -(0.84 * math.log(0.28) + 0.16 * math.log(0.16)), 0.0
    assert float(terms["code_kl"]) == pytest.approx(math.log(4) - sum(entropies) / 3, abs=1e-6)


def test_a_code_without_a_category_logs_nothing_more() -> None:
    model = Composition(composition(), Shape(9))
    assert code_terms(model.posterior(torch.rand(5, 9)), model) == {}


@pytest.mark.parametrize("objective", [{}, {"objective": {**VMI, "code": "category"}}])
def test_both_objectives_of_a_joint_code_log_them_without_changing_the_loss(objective) -> None:
    system, chosen = build_system(cell(choices=composition(**JOINT, **objective)), Shape(9), images=100)
    player = chosen.players[-1]
    x = torch.rand(20, 9, dtype=torch.float64).round()
    noise = {name: torch.randn(w.draws, 20, w.size, dtype=torch.float64) for name, w in player.noise.items()}
    settings = {name: torch.tensor(1.0, dtype=torch.float64) for name in ("kl_weight", "beta", "lambda", "progress")}
    loss, terms = system(player, (x,), noise, settings)
    expected = code_terms(system.get_submodule("model").posterior(x), system.get_submodule("model"))
    assert {name: terms[name].item() for name in expected} == {name: value.item() for name, value in expected.items()}
    without = terms["kl"] - terms["reconstruction"] - terms.get("information", 0.0)
    assert loss.item() == pytest.approx(without.item())
