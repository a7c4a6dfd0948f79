"""What tensors leave stays with the process, and what is free is what the system says."""

import ctypes
import subprocess
import sys

import pytest
import torch

from vaebench.data.memory import free_bytes

MAPPED = """
import ctypes, sys, torch
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks".split()]
    _fields_ += [(name, ctypes.c_size_t) for name in "uordblks fordblks keepcost".split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
if sys.argv[1] == "source":
    Source(load_dataset("digits"), "binary")
before = libc.mallinfo2().hblks
tensors = [torch.empty(24 << 20, dtype=torch.uint8) for _ in range(4)]
print(libc.mallinfo2().hblks - before)
"""


def mapped(kind: str) -> int:
    """How many of four tensors of 24 MiB the system had to be asked for; those it takes back when they are freed."""
    return int(subprocess.run([sys.executable, "-c", MAPPED, kind], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="asks glibc 2.33 or later")
def test_once_images_are_read_large_tensors_lie_in_memory_that_the_process_keeps():
    assert mapped("nothing") == 4
    assert mapped("source") == 0


def test_free_memory_lies_between_nothing_and_all_there_is():
    assert 0 < free_bytes(torch.device("cpu")) < 1 << 50
