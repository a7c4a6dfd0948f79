"""What is timed: the step of an MLP 784-400-400-32 and back on images of MNIST's size, and the floors below it."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from tests.benchmarks.timing import settle
from tests.compositions import ELBO, cell, composition
from vaebench.data.dataset import Dataset, Split
from vaebench.data.source import Source
from vaebench.store.cell import Cell
from vaebench.training import steppers
from vaebench.training.fleet import _member
from vaebench.training.inputs import Timetable

PIXELS = 784
CPU = torch.device("cpu")
ENDLESS = 10_000
"""Epochs: more than any timing will take."""
PATHS = ("plain", "traced", "compiled")


@dataclass(frozen=True)
class Shape:
    """Of a fleet; the defaults are those of the peers' comparison."""

    members: int = 1
    hidden: int = 400
    latent: int = 32
    batch: int = 128
    samples: int = 1
    precision: str = "float32"
    objective: dict[str, Any] = field(default_factory=lambda: ELBO)

    def __str__(self) -> str:
        """Of the network, as the page writes it."""
        return f"{PIXELS}-{self.hidden}-{self.hidden}-{self.latent}"

    @property
    def layers(self) -> list[tuple[int, int]]:
        """Inputs and outputs of the encoder's layers, then of the decoder's."""
        width, latent = self.hidden, self.latent
        encoder = [(PIXELS, width), (width, width), (width, 2 * latent)]
        return [*encoder, (latent, width), (width, width), (width, PIXELS)]

    @property
    def parameters(self) -> int:
        """Of a member."""
        return sum(inputs * outputs + outputs for inputs, outputs in self.layers)

    @property
    def operations(self) -> float:
        """Floating-point operations of a step's matrix products: forward, and backward by weights and, but for the
        first layer, by inputs. The decoder sees every draw of a code."""
        rows = [self.batch] * 3 + [self.batch * self.samples] * 3
        sizes = [2.0 * count * inputs * outputs for count, (inputs, outputs) in zip(rows, self.layers, strict=True)]
        return self.members * (3.0 * sum(sizes) - sizes[0])

    def cells(self, epochs: int = ENDLESS) -> list[Cell]:
        network = {"name": "mlp", "hidden": [self.hidden] * 2, "activation": "relu", "initialisation": "torch"}
        choices = composition(
            network=network, latent=self.latent, objective={**self.objective, "samples": self.samples}
        )
        recipe: dict[str, Any] = {"precision": self.precision, "epochs": epochs, "batch": self.batch}
        return [cell(seed, choices=choices, **recipe) for seed in range(self.members)]


def random_source(images: int, view: str = "binary", device: torch.device = CPU) -> Source:
    """Random grey levels of MNIST's size."""
    content = torch.randint(0, 256, (images, PIXELS), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    split = Split(content)
    data = Dataset("random", {"train": split, "validation": split, "test": split}, PIXELS, 28, 256)
    return Source(data, view, device)


@contextlib.contextmanager
def taking(path: str) -> Iterator[None]:
    """Fleets that begin in here take plain steps, or are traced, however many steps there will be."""
    with mock.patch.object(steppers, "TRACED_STEPS", float("inf") if path == "plain" else 1):
        yield


class Steps:
    """A fleet that takes steps when it is told to."""

    def __init__(self, shape: Shape, source: Source, stepper: str, path: str = "traced") -> None:
        images, cells = len(source.training_content("split")), shape.cells()
        self.members = [_member(made, source, images) for made in cells]
        timetable = Timetable(cells[0].recipe, images)
        with taking(path):
            self.stepper = steppers.STEPPERS[stepper](self.members, source, timetable, path == "compiled")
        self.device = source.device
        self.shape = shape
        self.taken = 0

    def __call__(self, steps: int) -> float:
        """Seconds of a member's step."""
        settle(self.device)
        begun = time.perf_counter()
        self.stepper.advance(self.taken, self.taken + steps)
        settle(self.device)
        self.taken += steps
        return (time.perf_counter() - begun) / steps / self.shape.members


def bare_products(shape: Shape, device: torch.device = CPU, mapped: bool = False) -> Callable[[int], float]:
    """The matrix products of a step and nothing else, on tensors that are there; seconds of a member's step.

    `mapped`: all members' in one batched product each.
    """
    dtype = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}[shape.precision]
    rows = [shape.batch] * 3 + [shape.batch * shape.samples] * 3
    stack = (shape.members,) if mapped else ()

    def tensor(*sizes: int) -> Tensor:
        return torch.randn(*stack, *sizes, device=device).to(dtype)

    layers = [
        (tensor(count, inputs), tensor(outputs, inputs), tensor(count, outputs))
        for count, (inputs, outputs) in zip(rows, shape.layers, strict=True)
    ]
    outs = [(torch.empty_like(g), torch.empty_like(w), torch.empty_like(x)) for x, w, g in layers]

    def run(steps: int) -> float:
        settle(device)
        begun = time.perf_counter()
        for _ in range(steps if mapped else steps * shape.members):
            for number, ((x, weight, grad), (out, by_weight, by_x)) in enumerate(zip(layers, outs, strict=True)):
                torch.matmul(x, weight.mT, out=out)
                torch.matmul(grad.mT, x, out=by_weight)
                if number:
                    torch.matmul(grad, weight, out=by_x)
        settle(device)
        return (time.perf_counter() - begun) / steps / shape.members

    return run


def decoder_products(shape: Shape, rows: Sequence[int], device: torch.device = CPU) -> Callable[[], None]:
    """The decoder's forward products on blocks of so many codes."""
    weights = [torch.randn(outputs, inputs, device=device) for inputs, outputs in shape.layers[3:]]
    codes = {count: torch.randn(count, shape.latent, device=device) for count in set(rows)}

    def run() -> None:
        for count in rows:
            x = codes[count]
            for weight in weights:
                x = x @ weight.T
        settle(device)

    return run
