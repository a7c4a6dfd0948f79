"""How much memory is free on a device, and how a process keeps what it has."""

import functools
import os
from pathlib import Path

import torch

LARGEST_KEPT = 31 << 20
"""Bytes; glibc's DEFAULT_MMAP_THRESHOLD_MAX, less a margin for what it writes beside a block."""


def free_bytes(device: torch.device) -> int:
    """On the CPU what the system could hand out without swapping; half of its memory where it does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


@functools.cache
def keep_freed_memory() -> None:
    """Have the C library of Linux keep memory that tensors leave for those that follow, instead of returning it to the
    system after every operation and fetching it anew, page by page: it does so up to the size of the largest tensor
    that was freed, 32 MiB at most, and here one is freed that was never written."""
    torch.empty(LARGEST_KEPT, dtype=torch.uint8)
