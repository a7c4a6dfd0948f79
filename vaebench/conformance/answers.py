"""Trials of what a part of a model answers: shapes, its own affair alone, precision, devices, what is stored."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.conformance.finding import Breach, NotAsked
from vaebench.conformance.trial import Trial
from vaebench.metrics.contract import ContractError, Examination
from vaebench.models.composition import Composition
from vaebench.models.distributions import FromNoise
from vaebench.models.given import given
from vaebench.models.point import NoDensity

DRAWS = 2
META = torch.device("meta")
HOST_LOOKS = ("meta tensor", "item()", "data-dependent")
"""In what torch says where a program looks at a number that a device without numbers does not have."""


def shapes(trial: Trial) -> None:
    """Batches and events of every distribution, also with labels; the sum of log_prob; finite numbers."""
    for conditional in (False, True) if trial.y is not None else (False,):
        model = trial.model(conditional=conditional).eval()
        with torch.no_grad():
            try:
                examination = Examination(model, trial.x, trial.y)
                z, _ = examination.posterior()
                examination.prior(z)
                examination.likelihood(z, None)
            except ContractError as error:
                raise Breach(*_expected(error)) from error
            _draws_from_noise(model, trial)


def _draws_from_noise(model: Composition, trial: Trial) -> None:
    """What every objective asks of q: (draw, image, noise) → (draw, image, latent)."""
    seen = given(model, trial.y)
    q, size = seen.posterior(trial.x), model.noise_size
    if not isinstance(q, FromNoise):
        raise Breach("a posterior whose distribution has from_noise(noise), noise_size and noise_law", type(q).__name__)
    if q.noise_law != "normal" or q.noise_size != size:
        expected = f"a posterior drawn from {size} standard normals, as its head's noise_size says"
        raise Breach(expected, f"noise_law {q.noise_law!r} and noise_size {q.noise_size} of its distribution")
    drawn, wanted = q.from_noise(_noise(model, trial)), (DRAWS, len(trial.x), trial.choices["latent"])
    if tuple(drawn.shape) != wanted:
        raise Breach(f"from_noise to give (draw, image, latent) = {wanted}", str(tuple(drawn.shape)))


def determinism(trial: Trial) -> None:
    """The same answer to the same question, while training too, and none that depends on the other images."""
    model = trial.model().train()
    with torch.no_grad():
        examination = Examination(model, trial.x, trial.y)
        z, _ = examination.posterior()
        try:
            examination.company(z)
        except ContractError as error:
            raise Breach(*_expected(error)) from error
        noise = _noise(model, trial)
        first, second = (model.posterior(trial.x).from_noise(noise) for _ in range(2))  # type: ignore[attr-defined]
        if not torch.equal(first, second):
            raise Breach("from_noise to give the same codes for the same noise", "other codes at the second call")


def precision(trial: Trial) -> None:
    """float64 in, float64 out, with all of its digits; and float32 likewise."""
    for dtype in (torch.float32, torch.float64):
        model = trial.model().to(dtype)
        for name, answer in _answers(model, trial, dtype, torch.device("cpu")):
            if answer.dtype != dtype:
                raise Breach(f"{name} in {_word(dtype)} where parameters and images are", _word(answer.dtype))
    model, step = trial.model(), 1e-11
    with torch.no_grad():
        z = model.posterior(trial.x).from_noise(_noise(model, trial))[0]  # type: ignore[attr-defined]
        moved = {
            "posterior(x)": [_telling(model.posterior(x), z) for x in (trial.x, trial.x + step)],
            "likelihood(z)": [_telling(model.likelihood(z + by), trial.x) for by in (0.0, step)],
        }
    for name, (before, after) in moved.items():
        if torch.equal(before, after):
            what = f"{name} to tell {step:g} apart in float64"
            raise Breach(what, "equal numbers: somewhere in between it is rounded to float32")


def devices(trial: Trial) -> None:
    """Everything moves with `model.to(device)`: tried on a device without numbers, and on a GPU where there is one."""
    where = [META, *([torch.device("cuda")] if torch.cuda.is_available() else [])]
    for device in where:
        try:
            model = trial.model().to(device)
            for name, answer in _answers(model, trial, torch.float64, device):
                if answer.device.type != device.type:
                    raise Breach(f"{name} on {device}, where parameters and images are", str(answer.device))
        except (RuntimeError, NotImplementedError) as error:
            if device is META and any(word in str(error) for word in HOST_LOOKS):
                raise NotAsked("it looks at numbers while it computes, and no device is here but the host") from error
            what = f"everything on {device} after model.to({device.type!r}): keep tensors in register_buffer"
            raise Breach(what, f"{type(error).__name__}: {_short(error)}") from error


def storing(trial: Trial) -> None:
    """A model filled from another's state_dict says what that says."""
    model, other = trial.model(seed=0), trial.model(seed=1)
    other.load_state_dict(model.state_dict())
    cpu = torch.device("cpu")
    pairs = zip(_answers(model, trial, torch.float64, cpu), _answers(other, trial, torch.float64, cpu), strict=True)
    for (name, before), (_, after) in pairs:
        if not torch.allclose(before, after, rtol=1e-12, atol=1e-12):
            what = f"the same {name} after load_state_dict of a stored model: keep what is random or learned in it"
            raise Breach(what, f"a difference of {float((before - after).abs().max()):.3g}")


@torch.no_grad()
def _answers(model: Composition, trial: Trial, dtype: torch.dtype, device: torch.device) -> list[tuple[str, Tensor]]:
    """What an objective reads of a model: name and number."""
    x = trial.x.to(device, dtype)
    q: Any = model.posterior(x)
    z = q.from_noise(_noise(model, trial).to(device, dtype))
    return [
        ("the codes of posterior(x)", z),
        ("likelihood(z).log_prob(x)", model.likelihood(z).log_prob(x)),
        ("prior().log_prob(z)", _telling(model.prior(), z)),
    ]


def _noise(model: Composition, trial: Trial) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    size = (DRAWS, len(trial.x), model.noise_size)
    return torch.randn(size, generator=generator, dtype=torch.float64)


def _telling(p: Distribution, value: Tensor) -> Tensor:
    try:
        return p.log_prob(value)
    except NoDensity:
        return p.mean


def _expected(error: ContractError) -> tuple[str, str]:
    """The contract's message in two halves where it says what came."""
    text = str(error).removeprefix("Composition.").removeprefix("Given.")
    for middle in (", has ", ", is ", ", returned "):
        if middle in text:
            expected, _, came = text.partition(middle)
            return expected.replace(": must ", " to ", 1), came
    return "the model contract (vaebench/models/contract.py)", text


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
