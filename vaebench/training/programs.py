"""The gradient of a player's loss as a program: plain Python, traced to its kernels, or the trace compiled.

Tracing (torch's `make_fx`) runs the plain function once on tensors without content and keeps the kernels that it
called. What a loss does with Python (distributions, the bookkeeping of autograd) is then paid once and not at every
step; the kernels and their order, and so the numbers, are the same, bit for bit. Compiling (torch's inductor) fuses
the kernels of a trace: rounding then differs from the plain program's as it does between devices. What was compiled is
kept in the user's cache for later fleets and processes. On a GPU either is recorded (vaebench.training.capture): the
same kernels in the same order, launched at once.
"""

import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.func import functional_call, grad
from torch.fx.experimental.proxy_tensor import make_fx

from vaebench.objectives.player import Batches, Named, Player, System, Terms
from vaebench.store.failures import is_out_of_memory
from vaebench.store.here import missing_compiler, user_cache
from vaebench.training.capture import Captured, Recorder

Outcome = tuple[Named, tuple[Tensor, Terms]]
"""Gradients by the owned parameters, (loss, terms)."""
Gradient = Callable[[Named, Named, Named, Batches, Named, Named, Batches], Outcome]
"""(owned parameters, the other parameters, buffers, and what `System.forward` takes after the player) → outcome"""

aten = torch.ops.aten
PRODUCTS: tuple[Any, ...] = (
    aten.mm.default,
    aten.addmm.default,
    aten.bmm.default,
    aten.baddbmm.default,
    aten.convolution.default,
    aten.convolution_backward.default,
)
"""What costs by the product of sizes in a step."""


def plain_gradient(system: System, player: Player) -> Gradient:
    """The gradient by the system's own parameters, as autograd finds it; the tensors that are given stand for them."""
    own = dict(system.named_parameters())

    def gradient(owned: Named, others: Named, buffers: Named, *inputs: Any) -> Outcome:
        loss, terms = system(player, *inputs)
        moved = [own[name] for name in owned]
        gradients = torch.autograd.grad(loss, moved, allow_unused=True, materialize_grads=True)
        detached = {name: value.detach() for name, value in terms.items()}
        return dict(zip(owned, gradients, strict=True)), (loss.detach(), detached)

    return gradient


def pure_gradient(system: System, player: Player) -> Gradient:
    """The gradient by whatever parameters are given: it can be mapped and traced."""

    def loss_of(owned: Any, others: Any, buffers: Any, *inputs: Any) -> Any:
        loss, terms = functional_call(system, ({**owned, **others}, buffers), (player, *inputs))
        return loss, (loss, terms)

    function: Gradient = grad(loss_of, has_aux=True)
    return function


class Program:
    """A pure gradient that is traced, and compiled and recorded if so wished, when it is first called."""

    def __init__(
        self,
        function: Gradient,
        compiled: bool = False,
        half_products: bool = False,
        record: Recorder | None = None,
    ) -> None:
        self.function = function
        self.compiled = compiled
        self.half_products = half_products
        """Whether matrix products are taken in bfloat16."""
        self.record = record
        """What records it, for calls with the same parameters and buffers only; None: nothing does."""
        self.seconds = 0.0
        """What tracing and compiling took, the first call included."""
        self._made: Callable[..., Outcome] | None = None

    @torch.no_grad()
    def __call__(self, *inputs: Any) -> Outcome:
        if self._made is not None:
            return self._made(*inputs)
        begun = time.perf_counter()
        self._made = self._traced(inputs)
        try:
            outcome = self._made(*inputs)
        except RuntimeError as why:
            if not self.compiled or is_out_of_memory(why):
                raise
            warnings.warn(f"cannot be compiled, and trains as it is: {_first_line(why)}", stacklevel=2)
            self.compiled = False
            self._made = self._traced(inputs)
            outcome = self._made(*inputs)
        if self.record is not None:
            self._made = self._recorded(self._made, inputs, self.record)
        self.seconds = time.perf_counter() - begun
        return outcome

    def _recorded(
        self, program: Callable[..., Outcome], inputs: tuple[Any, ...], record: Recorder
    ) -> Callable[..., Outcome]:
        """What cannot be recorded is launched kernel by kernel."""
        try:
            return Captured(program, inputs, record)
        except RuntimeError as why:
            warnings.warn(f"cannot be recorded, and is launched at each step: {_first_line(why)}", stacklevel=3)
            return program

    def _traced(self, inputs: tuple[Any, ...]) -> Callable[..., Outcome]:
        """A loss that looks at numbers on the host stays plain, unless its products are to be changed."""
        try:
            trace = make_fx(self.function, tracing_mode="fake", _allow_non_fake_inputs=True)(*inputs)
        except RuntimeError as why:
            if self.half_products:
                raise
            warnings.warn(f"cannot be traced, and trains as it is: {_first_line(why)}", stacklevel=2)
            return self.function
        if self.half_products:
            multiply_in_half(trace)
        return compiled(trace) if self.compiled else trace


def compiled(trace: fx.GraphModule) -> Callable[..., Outcome]:
    """The trace with its kernels fused, at its first call; in this process alone, so that nobody survives its death."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(user_cache() / "compiled"))
    program: Callable[..., Outcome] = torch.compile(
        trace, fullgraph=True, dynamic=False, options={"compile_threads": 1}
    )
    return program


def missing_for_compiling(device: torch.device) -> str | None:
    """What torch would need to compile for a device and is not here; None where nothing is missing."""
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        if not has_triton():
            return "Triton"
    return missing_compiler()


def multiply_in_half(trace: fx.GraphModule) -> None:
    """Let the matrix products of a trace, forward and backward, read and write bfloat16; all else stays as it is."""
    for node in [node for node in trace.graph.nodes if node.target in PRODUCTS]:
        with trace.graph.inserting_before(node):
            node.args = fx.map_arg(node.args, lambda read: _in_half(trace.graph, read))
        results = [node] if isinstance(node.meta["val"], Tensor) else list(node.users)
        for result in results:
            if not isinstance(result.meta["val"], Tensor):
                continue
            wide: dict[str, Any] = {"dtype": result.meta["val"].dtype}
            with trace.graph.inserting_after(result):
                widened = trace.graph.call_function(aten._to_copy.default, (result,), wide)
            result.replace_all_uses_with(widened, delete_user_cb=lambda user, own=widened: user is not own)
            widened.meta["val"] = result.meta["val"]
    trace.graph.lint()
    trace.recompile()


def _in_half(graph: fx.Graph, read: fx.Node) -> fx.Node:
    value = read.meta.get("val")
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return read
    half = graph.call_function(aten._to_copy.default, (read,), {"dtype": torch.bfloat16})
    half.meta["val"] = value
    return half


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
