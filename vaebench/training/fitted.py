"""The contract of objectives that are maximised without gradients."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

from torch import Tensor, nn

from vaebench.data.dataset import Shape
from vaebench.training.fleet import Interrupted

State = TypeVar("State")
Stop = Callable[[], bool]


def never() -> bool:
    """Nobody asks to stop."""
    return False


class Fitted(NamedTuple):
    model: nn.Module
    losses: list[float]
    """What was minimised, an image, after each iteration; −ln p(x) where the model has a likelihood."""


class Fitter(Protocol):
    """A fitted objective."""

    def model(self, choices: dict[str, Any], shape: Shape) -> nn.Module:
        """The empty model of a composition."""
        ...

    def fit(self, choices: dict[str, Any], x: Tensor, seed: int, should_stop: Stop) -> Fitted:
        """The model fitted to x, (image, pixel); `seed` names the streams of its start. What takes long raises
        Interrupted when `should_stop()`: it has no checkpoint, and begins anew."""
        ...


def ascend(
    step: Callable[[State], tuple[State, float]],
    state: State,
    iterations: int,
    tolerance: float,
    should_stop: Stop = never,
) -> list[float]:
    """The value after each step from state to state: at most `iterations` of them, the last the first that improves
    the value by no more than `tolerance` of its size."""
    values: list[float] = []
    for _ in range(iterations):
        if should_stop():
            raise Interrupted
        state, value = step(state)
        values.append(value)
        if len(values) > 1 and values[-1] - values[-2] <= tolerance * abs(values[-1]):
            break
    return values
