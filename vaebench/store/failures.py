"""What kind of thing went wrong, told from the error alone."""

import errno
import re

CPU_MEMORY = re.compile(r"DefaultCPUAllocator|can't allocate memory|not enough memory|bad_alloc")
"""What torch says where the host has no memory left: a plain RuntimeError."""
SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")
"""How safetensors, which is written in Rust, tells the system's error."""
UNWRITABLE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "make it writable, or name another folder",
    errno.EACCES: "make it writable, or name another folder",
    errno.EPERM: "make it writable, or name another folder",
    errno.ENOTDIR: "move away the file that stands where a folder is needed",
    errno.EEXIST: "move away the file that stands where a folder is needed",
}
"""Why a file cannot be written → what to do about it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the host or (by torch's name for it) on the device."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and CPU_MEMORY.search(str(error)) is not None


def system_error(error: BaseException) -> int | None:
    """Number of the system's error behind `error`; None where there is none."""
    if isinstance(error, OSError):
        return error.errno
    found = SYSTEM_ERROR.search(str(error))
    return int(found.group(1)) if found else None
