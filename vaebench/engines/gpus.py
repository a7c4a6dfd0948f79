"""The GPUs of this machine, told without torch, so that each worker is given one of its own."""

import functools
import os
import re
import subprocess

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""What CUDA reads to know which GPUs a process may see, and under which numbers."""


def gpus(device: str) -> tuple[str, ...]:
    """What a worker's CUDA_VISIBLE_DEVICES may be, one for each GPU; none where `device` is the CPU or a certain GPU.

    A GPU that is cut into instances (MIG) counts as those: a process can use one of them.
    """
    if device not in ("auto", "cuda"):
        return ()
    visible = os.environ.get(VISIBLE)
    if visible is None:
        return _all()
    return tuple(name.strip() for name in visible.split(",") if name.strip() not in ("", "-1"))


@functools.cache
def _all() -> tuple[str, ...]:
    """Every GPU that the driver of this machine lists."""
    try:
        said = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return listed(said)


def listed(said: str) -> tuple[str, ...]:
    """Of what `nvidia-smi -L` says: a line for each GPU and, below it, one for each of its instances."""
    found: dict[str, list[str]] = {}
    for line in said.splitlines():
        if gpu := re.match(r"GPU (\d+):", line):
            found[gpu.group(1)] = []
        elif found and (instance := re.match(r"\s+MIG .*\(UUID: (MIG-[^)]+)\)", line)):
            found[next(reversed(found))].append(instance.group(1))
    return tuple(name for gpu, instances in found.items() for name in instances or [gpu])
