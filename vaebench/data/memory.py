"""How much memory is free on a device."""

import os
from pathlib import Path

import torch


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
