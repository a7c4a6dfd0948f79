"""A member of a fleet gets the result that it has alone, whatever the fleet and the stepper."""

import pytest
import torch

from tests.compositions import ELBO, VMI, cell, composition, ppca_composition
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.training.fitting import fit
from vaebench.training.fleet import Interrupted, Surroundings, train_fleet
from vaebench.training.initialisation import build_system
from vaebench.training.inputs import Inputs, Timetable
from vaebench.training.member import Member
from vaebench.training.steppers import STEPPERS as STEPPERS_BY_NAME

STEPPERS = ("in-turn", "mapped")


@pytest.fixture(scope="module")
def binary():
    return Source(load_dataset("digits"), "binary", dtype=torch.float64)


def train(cells, source, stepper="auto", **around):
    return train_fleet(cells, Surroundings(source, stepper, **around))


def difference(one, other):
    """Largest difference between the parameters of two trained models."""
    pairs = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def one_player(seed, beta=1.0, **parameters):
    return cell(seed, choices=composition(objective={**ELBO, "beta": beta}), **parameters)


def two_players(seed, weight=1.0, **parameters):
    return cell(seed, choices=composition(objective={**VMI, "lambda": weight}), **parameters)


@pytest.mark.parametrize("make", [one_player, two_players])
def test_five_members_each_get_the_result_they_have_alone(binary, make):
    """Some hundred steps in float64, settings differing between the members, both steppers, to 1e-9."""
    cells = [make(seed, weight, epochs=17) for seed, weight in zip(range(5), (1.0, 0.25, 4.0, 1.0, 0.0), strict=True)]
    together = {stepper: train(cells, binary, stepper=stepper) for stepper in STEPPERS}
    assert together["mapped"][0].steps > 200
    for number in range(5):
        for stepper in STEPPERS:
            alone = train([cells[number]], binary, stepper=stepper)[0]
            assert difference(alone, together["in-turn"][number]) < 1e-9
            assert difference(alone, together["mapped"][number]) < 1e-9
    assert difference(together["mapped"][0], together["mapped"][3]) > 1e-3


def test_in_single_precision_a_members_result_is_identical_alone_on_one_path():
    source = Source(load_dataset("digits"), "binary")
    cells = [one_player(seed, precision="float32", epochs=10) for seed in range(3)]
    together = train(cells, source, stepper="in-turn")
    assert difference(train(cells[1:2], source, stepper="in-turn")[0], together[1]) == 0.0


@pytest.mark.parametrize("stepper", STEPPERS)
@pytest.mark.parametrize("mover", ["auxiliary", "model"])
def test_each_players_step_leaves_the_others_parameters_untouched(binary, stepper, mover):
    """With the other player's optimiser standing still, only the mover's own parameters change."""
    members = [
        Member(made, *build_system(made, binary.dataset.shape, 1197)) for made in (two_players(0), two_players(1))
    ]
    before = [{name: value.clone() for name, value in member.system.state_dict().items()} for member in members]
    still = next(i for i, player in enumerate(members[0].objective.players) if player.name != mover)
    made = STEPPERS_BY_NAME[stepper](members, binary, Timetable(members[0].cell.recipe, 1197))
    joint = made.movers[still] if stepper == "mapped" else []
    for optimiser in [member.optimisers[still] for member in members] + [rows.optimiser for rows in joint]:
        optimiser.step = lambda: None
    made.advance(0, 2)
    for member, old in zip(members, before, strict=True):
        moved = {name for name, value in member.system.named_parameters() if not torch.equal(value, old[name])}
        assert moved == {name for name, _ in member.system.named_parameters() if name.startswith(f"{mover}.")}


@pytest.mark.parametrize("stepper", STEPPERS)
@pytest.mark.parametrize("objective", [{**ELBO, "name": "alternating"}, VMI])
def test_players_move_in_their_order_on_the_same_batch_and_each_sees_where_the_last_went(binary, stepper, objective):
    """Against steps of Adam that are written out here; in the other order they end elsewhere."""
    made, images = cell(0, choices=composition(objective=objective), batch=100), 1197
    timetable = Timetable(made.recipe, images)

    def by_hand(order):
        member = Member(made, *build_system(made, binary.dataset.shape, images))
        inputs = Inputs([made], binary, member.objective.players, timetable)
        inputs.prepare(0, 3)
        for step in range(3):
            x = tuple(batch[0] for batch in inputs.images(step))
            settings = {name: value[0] for name, value in inputs.settings(step).items()}
            for number in order:
                player, owned = member.objective.players[number], member.owned[number].values()
                noise = {name: value[0] for name, value in inputs.noise(step, number).items()}
                loss, _ = member.system(player, x[: player.batches], noise, settings)
                gradients = torch.autograd.grad(loss, list(owned))
                member.move(number, gradients, 1.0)
        return member.system

    trained = Member(made, *build_system(made, binary.dataset.shape, images))
    STEPPERS_BY_NAME[stepper]([trained], binary, timetable).advance(0, 3)

    def apart(system):
        pairs = zip(trained.system.parameters(), system.parameters(), strict=True)
        return max(float((ours - theirs).detach().abs().max()) for ours, theirs in pairs)

    assert apart(by_hand((0, 1))) < 1e-9
    assert apart(by_hand((1, 0))) > 1e-6


def test_vmi_without_weight_is_the_vae(binary):
    plain = train([one_player(3, epochs=17)], binary, stepper="in-turn")[0]
    free = train([two_players(3, weight=0.0, epochs=17)], binary, stepper="in-turn")[0]
    assert difference(plain, free) < 1e-9
    assert difference(plain, train([two_players(3, weight=1.0, epochs=17)], binary)[0]) > 1e-3


@pytest.mark.parametrize("stepper", STEPPERS)
def test_a_diverging_member_is_frozen_and_its_mates_do_not_notice(binary, stepper):
    cells = [one_player(seed, learning_rate=rate, epochs=6) for seed, rate in ((0, 1e-3), (1, 1e6), (2, 1e-3))]
    fleet = train(cells, binary, stepper=stepper)
    assert fleet[1].diverged_at is not None
    assert fleet[1].epochs < 6
    for number in (0, 2):
        assert fleet[number].diverged_at is None
        assert difference(fleet[number], train([cells[number]], binary, stepper=stepper)[0]) < 1e-9


@pytest.mark.parametrize("stepper", STEPPERS)
def test_a_member_out_of_patience_freezes_and_the_others_go_on_unchanged(binary, stepper):
    patient = {"select": "best-validation", "patience": 2, "epochs": 8}
    cells = [one_player(0, learning_rate=3.0, **patient), one_player(1, learning_rate=3e-3, **patient)]
    fleet = train(cells, binary, stepper=stepper)
    assert fleet[0].epochs < 8
    assert fleet[1].epochs == 8
    assert difference(fleet[1], train(cells[1:], binary, stepper=stepper)[0]) < 1e-9


def test_best_validation_keeps_the_epoch_with_the_least_validation_loss(binary):
    (trained,) = train([one_player(0, select="best-validation", learning_rate=0.1, epochs=8)], binary)
    losses = [row["validation_loss"] for row in trained.curves]
    selected = trained.details["selected_epoch"]
    assert losses[selected - 1] == min(losses)
    (stopped_there,) = train([one_player(0, learning_rate=0.1, epochs=selected)], binary)
    assert difference(trained, stopped_there) == 0.0


def test_every_image_is_seen_once_an_epoch_and_none_is_dropped(binary):
    timetable = Timetable(cell(batch=100, epochs=5).recipe, 1197)
    inputs = Inputs([cell(3)], binary, (), timetable)
    assert timetable.steps == 59
    seen = []
    for first in range(0, 59, 13):
        last = min(first + 13, 59)
        inputs.prepare(first, last)
        seen += inputs.index[0, :, 0].flatten().tolist()
    for epoch in range(4):
        assert sorted(seen[epoch * 1197 : (epoch + 1) * 1197]) == list(range(1197))


def test_adam_takes_the_steps_of_its_paper(binary):
    """Two steps by hand on the same gradients: m, v with bias correction, lr · m̂/(√v̂ + ε)."""
    (trained,) = train([one_player(0, batch=1197, epochs=2, learning_rate=0.01)], binary, stepper="in-turn")
    member_cell = one_player(0, batch=1197, epochs=2, learning_rate=0.01)
    system, objective = build_system(member_cell, binary.dataset.shape, 1197)
    player = objective.players[0]
    inputs = Inputs([member_cell], binary, objective.players, Timetable(member_cell.recipe, 1197))
    inputs.prepare(0, 2)
    parameters = list(system.model.parameters())
    m, v = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    for step in range(2):
        noise = {name: value[0] for name, value in inputs.noise(step, 0).items()}
        own = {name: value[0] for name, value in inputs.settings(step).items()}
        loss, _ = system(player, (inputs.images(step)[0][0],), noise, own)
        for i, gradient in enumerate(torch.autograd.grad(loss, parameters)):
            m[i] = 0.9 * m[i] + 0.1 * gradient
            v[i] = 0.999 * v[i] + 0.001 * gradient.square()
            corrected = (v[i] / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
            parameters[i].data -= 0.01 * m[i] / (1 - 0.9 ** (step + 1)) / corrected
    for ours, by_hand in zip(trained.model.parameters(), parameters, strict=True):
        assert torch.allclose(ours, by_hand, rtol=1e-9, atol=1e-12)


def test_schedules_and_warmup():
    timetable = Timetable(cell(schedule="cosine", kl_warmup=2, batch=100, epochs=10).recipe, 1000)
    assert [timetable.rate(step) for step in (0, 50, 100)] == pytest.approx([1.0, 0.5, 0.0])
    assert [timetable.kl_weight(step) for step in (0, 9, 19, 60)] == pytest.approx([0.05, 0.5, 1.0, 1.0])
    assert Timetable(cell(kl_warmup=0).recipe, 1000).kl_weight(0) == 1.0
    assert Timetable(cell(schedule="linear", batch=100, epochs=10).recipe, 1000).rate(25) == pytest.approx(0.75)


@pytest.mark.parametrize("stepper", STEPPERS)
def test_clipping_bounds_each_members_own_gradient(binary, stepper):
    """Clipped to almost nothing, Adam still moves (it is scale-free); so compare with clipping that never bites."""
    free, wide, tight = (
        train([one_player(0, clip=clip), one_player(1, clip=clip)], binary, stepper=stepper)
        for clip in (None, 1e9, 1e-7)
    )
    assert difference(free[0], wide[0]) == 0.0
    assert difference(free[0], tight[0]) > 1e-6
    assert difference(tight[1], train([one_player(1, clip=1e-7)], binary, stepper=stepper)[0]) < 1e-9


def test_training_stops_when_asked(binary):
    with pytest.raises(Interrupted):
        train([one_player(0)], binary, should_stop=lambda: True)


def test_a_batch_larger_than_the_data_set_still_trains(binary):
    (trained,) = train([one_player(0, batch=3000, epochs=4)], binary)
    assert trained.steps == 1
    assert len(trained.curves) == 1


def test_closed_form_ppca_beats_every_perturbation_of_itself():
    source = Source(load_dataset("linear-gaussian"), "real", dtype=torch.float64)
    choices = ppca_composition(5)
    (trained,) = fit([cell(source="linear-gaussian/real", choices=choices)], Surroundings(source))
    x, model = source.training_content("split"), trained.model.requires_grad_(False)
    best = float(model.log_prob(x).sum())
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        for _ in range(5):
            step = 1e-3 * torch.randn(parameter.shape, dtype=parameter.dtype, generator=generator)
            parameter += step
            assert float(model.log_prob(x).sum()) < best
            parameter -= step


def test_a_model_trained_on_grey_pixels_of_a_binary_view_sees_k_over_l_minus_one():
    """And its twin sees zeros and ones; both are scored on the binary images."""
    source = Source(load_dataset("digits"), "binary", dtype=torch.float64)
    grey = cell(0, choices=composition(objective={**ELBO, "train_on": "grey"}))
    timetable = Timetable(grey.recipe, 1197)
    (player,) = build_system(grey, source.dataset.shape, 1197)[1].players
    shown, usual = (Inputs([made], source, [player], timetable) for made in (grey, cell(0)))
    for inputs in (shown, usual):
        inputs.prepare(0, 3)
    ((x,), (binary,)) = shown.images(2), usual.images(2)
    levels = source.dataset.splits["train"].content[shown.index[0][2, 0]].double()
    assert torch.equal(x[0] * 16, levels)
    assert set(binary.unique().tolist()) == {0.0, 1.0}
    assert len(x.unique()) == 17
    (trained,) = train([grey], source)
    assert set(source.images("test").unique().tolist()) == {0.0, 1.0}
    assert trained.diverged_at is None
