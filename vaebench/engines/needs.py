"""What a fleet needs of the machine that it is sent to: memory, and the share of a GPU."""

from dataclasses import dataclass

PROCESS = 2 << 30
"""Bytes of a worker that has imported torch, loaded MNIST and scores a model, beside what its training takes."""
GPU_PROCESS = 4 << 30
"""The same on the host of a GPU."""


@dataclass(frozen=True)
class Needs:
    """Of one fleet."""

    memory: int = PROCESS
    """Bytes on the host."""
    gpu: float = 0.0
    """Share of a GPU; 0 where the fleet computes on the CPU."""
