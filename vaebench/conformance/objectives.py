"""Trials of objectives: players, their losses, and whom these move."""

import torch
from torch import Tensor

from vaebench.catalog.implementation import implementation
from vaebench.conformance.answers import HOST_LOOKS
from vaebench.conformance.finding import Breach, NotAsked
from vaebench.conformance.steps import Step, owned
from vaebench.conformance.trial import Trial
from vaebench.objectives.player import Objective


def shapes(trial: Trial) -> None:
    """Players with names of their own, the model's last; losses and terms that are scalars and finite."""
    make = implementation(trial.part.implementation)
    returned = make(trial.model(), trial.choices, trial.source.dataset.shape, len(trial.x))
    if not isinstance(returned, Objective):
        raise Breach("a vaebench.objectives.player.Objective", type(returned).__name__)
    system, objective = trial.system()
    names = [player.name for player in objective.players]
    if not names or names[-1] != "model" or len(set(names)) < len(names):
        raise Breach("players with different names, the last one called model", ", ".join(names) or "no player")
    step = Step(trial, system, objective)
    for number, player in enumerate(objective.players):
        loss, terms = step.loss(number)
        for what, value in {"loss": loss, **terms}.items():
            where = f"{what} of player {player.name}"
            if not isinstance(value, Tensor) or value.shape != ():
                came = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
                raise Breach(f"{where} to be a scalar tensor", came)
            if not bool(value.isfinite()):
                raise Breach(f"a finite {where}", str(float(value.detach())))


def determinism(trial: Trial) -> None:
    """The same loss for the same noise, whatever torch's own generator says."""
    first, second = (_losses(trial, seed) for seed in (0, 1))
    for name, loss in first.items():
        if loss != second[name]:
            expected = f"the loss of player {name} to draw from the noise it is given alone"
            raise Breach(expected, f"{loss:.6g} and {second[name]:.6g} for the same noise")


def _losses(trial: Trial, seed: int) -> dict[str, float]:
    """Player → loss at the first step of a new system, while torch's own generator stands at `seed`."""
    system, objective = trial.system()
    step = Step(trial, system, objective)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return {player.name: float(step.loss(number)[0].detach()) for number, player in enumerate(objective.players)}


def gradients(trial: Trial) -> None:
    """A player moves its own parameters, all of them by its loss alone, and nobody else's."""
    system, objective = trial.system()
    step, owner = Step(trial, system, objective), dict[str, str]()
    for number, player in enumerate(objective.players):
        mine = owned(system, player.owns)
        if not mine:
            modules = ", ".join(name for name, _ in system.named_modules() if name and name.count(".") < 2)
            raise Breach(f"player {player.name} to own some of {modules}", f"owns = {player.owns}")
        shared = [name for name in mine if name in owner]
        if shared:
            expected = f"player {player.name} to own what no other player owns"
            raise Breach(expected, f"{shared[0]}, which {owner[shared[0]]} owns too")
        owner |= dict.fromkeys(mine, player.name)
        before = {name: value.detach().clone() for name, value in system.state_dict().items()}
        loss, _ = step.loss(number)
        _is_pure(step, before, player.name)
        found = torch.autograd.grad(loss, list(mine.values()), allow_unused=True, materialize_grads=True)
        if not all(bool(gradient.isfinite().all()) for gradient in found):
            raise Breach(f"a finite gradient of player {player.name}'s loss", "one that is not")
        if not any(bool(gradient.any()) for gradient in found):
            expected = f"the loss of player {player.name} to reach the parameters that it owns"
            raise Breach(expected, "a gradient of 0 for all of them")
    nobody = [name for name, _ in system.named_parameters() if name not in owner]
    if nobody:
        raise Breach("every parameter to be owned by a player", f"{nobody[0]}, which nobody moves")


def _is_pure(step: Step, before: dict[str, Tensor], player: str) -> None:
    for name, value in step.system.state_dict().items():
        if not torch.equal(value, before[name]):
            raise Breach(f"the loss of player {player} to leave parameters as they are", f"another {name}")
    touched = [name for name, parameter in step.system.named_parameters() if parameter.grad is not None]
    if touched:
        expected = f"the loss of player {player} to return a number and call backward() on nothing"
        raise Breach(expected, f"a gradient on {touched[0]}")


def precision(trial: Trial) -> None:
    """Losses in float64 where everything else is."""
    system, objective = trial.system()
    step = Step(trial, system, objective)
    for number, player in enumerate(objective.players):
        loss, terms = step.loss(number)
        for name, value in {"loss": loss, **terms}.items():
            if value.dtype != torch.float64:
                raise Breach(f"{name} of player {player.name} in float64", str(value.dtype).removeprefix("torch."))


def devices(trial: Trial) -> None:
    """Losses on the device where system, images and noise are."""
    system, objective = trial.system()
    step = Step(trial, system, objective)
    system.to("meta")
    try:
        for number, player in enumerate(objective.players):
            batches = tuple(batch[0].to("meta") for batch in step.inputs.images(0))[: player.batches]
            noise = {name: value[0].to("meta") for name, value in step.inputs.noise(0, number).items()}
            settings = {name: value[0].to("meta") for name, value in step.inputs.settings(0).items()}
            system(player, batches, noise, settings)
    except (RuntimeError, NotImplementedError) as error:
        if any(word in str(error) for word in HOST_LOOKS):
            raise NotAsked("it looks at numbers while it computes, and no device is here but the host") from error
        expected = "a loss on the device where the system is: make tensors by x.new_zeros(…) and the like"
        raise Breach(expected, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
