"""A program on a GPU, recorded once and replayed with one launch in place of one for each kernel (CUDA graphs).

A recording reads and writes the memory that it was made with. Parameters and buffers stay where they are while one
stepper moves them, and are read there; what changes with the step is copied to where the recording reads it. Losses and
terms, which are kept for the curves, are copied out; gradients are used up before the next replay and are not.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

LASTING = 3
"""The first arguments of a gradient, which stay where they are: owned parameters, the others, buffers."""
WARM_UP = 3
"""Calls beside the main stream before a recording, for libraries that set themselves up at their first calls."""
Recorder = Callable[[Callable[[], Any]], tuple[Any, Callable[[], None]]]
"""From a function to what it returned, and a replay that writes its results into that again."""


class Unlike(RuntimeError):
    """A replay that does not give what the program gives."""


class Captured:
    """A recorded program in the place of the program itself; made from the arguments of one call."""

    def __init__(self, program: Callable[..., Any], arguments: tuple[Any, ...], record: Recorder) -> None:
        own = tree_map(torch.clone, arguments[LASTING:])
        self.read: list[Tensor] = tree_leaves(own)
        self.outcome, self.replay = record(lambda: program(*arguments[:LASTING], *own))
        self._prove(program, arguments)

    def __call__(self, *arguments: Any) -> Any:
        for kept, given in zip(self.read, tree_leaves(arguments[LASTING:]), strict=True):
            kept.copy_(given)
        self.replay()
        gradients, kept_for_curves = self.outcome
        return gradients, tree_map(torch.clone, kept_for_curves)

    def _prove(self, program: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Replay it from other memory once, and hold every number against the program's own."""
        expected = tree_map(torch.clone, program(*arguments))
        for value in self.read:
            value.zero_()
        for found, wanted in zip(tree_leaves(self(*arguments)), tree_leaves(expected), strict=True):
            if not torch.allclose(found, wanted, rtol=1e-4, atol=1e-6, equal_nan=True):
                raise Unlike("a replay differs from the program that was recorded")


def record_on_gpu(device: torch.device, run: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
    """Record the kernels that a function launches on a GPU."""
    with torch.cuda.device(device):
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP):
                run()
        torch.cuda.current_stream().wait_stream(beside)
        torch.cuda.synchronize()
        torch.cuda.empty_cache()  # the recording has memory of its own, of the same size
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outcome = run()
    return outcome, graph.replay
