"""Where and how a suite is run, and what is said of a name that is none."""

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

from vaebench.engines.compiling import Wanted
from vaebench.engines.gpus import gpus
from vaebench.engines.planning import Policy
from vaebench.suite.mistakes import enumerated, nearest


class NothingMatched(Exception):
    """A pattern that selects no cell."""


class UnknownName(Exception):
    """A name that is nothing in the catalog; the message names the nearest."""


@dataclass(frozen=True)
class Settings:
    """Where and how a suite is run; the defaults are those of the command line."""

    results: Path = Path("runs")
    device: str = "auto"
    workers: int | None = None
    """Fleets at a time; None: as many as there are cores, one where a GPU computes."""
    data_root: Path | None = None
    """Folder in torchvision's layout; None: VAEBENCH_DATA, else vaebench's own, into which data are fetched."""
    policy: Policy = field(default_factory=Policy)
    compiled: Wanted = "auto"
    """Whether training steps are compiled; auto: on a GPU, where the plan's estimate says that it pays."""
    compiled_cells: Collection[str] | None = None
    """Cells whose steps are compiled, and no others, whatever pays; None: as `compiled` says."""
    timeout: float | None = None
    fail_fast: bool = False
    debug: bool = False
    engine: str = "local"
    """Where the fleets run: local, ray or slurm."""
    address: str | None = None
    """Of a running Ray cluster, or `auto`; None: one of this machine's own."""
    slurm: Mapping[str, str | int] = field(default_factory=dict)
    """What submitit's AutoExecutor takes, such as partition and time; and `cluster`, which may be `local`."""
    detach: bool = False
    """Leave when everything is submitted to Slurm."""
    plugins: Sequence[str | Path] = ()
    """Files, or modules, that bring parts of their own."""
    trust_plugins: bool = False
    """Load also what the suite itself lists."""
    profile: str | None = None
    """One of the suite's profiles or, where it has none of its own, of the catalog's; None: the suite's choice."""

    def __post_init__(self) -> None:
        """Folders may be given as text, and one plugin by itself."""
        for name in ("results", "data_root"):
            if isinstance(value := getattr(self, name), str):
                object.__setattr__(self, name, Path(value))
        if isinstance(self.plugins, str | Path):
            object.__setattr__(self, "plugins", (self.plugins,))
        if self.compiled not in get_args(Wanted):
            raise UnknownName(f"compiled must be {enumerated(get_args(Wanted), 3)}, is {self.compiled!r}")
        if self.workers is not None and not (isinstance(self.workers, int) and self.workers >= 1):
            raise UnknownName(f"workers must be an integer from 1 on, is {self.workers!r}")


def known_settings(names: Iterable[str]) -> None:
    """Refuse a name that is no setting."""
    for name in names:
        known("setting", name, [each.name for each in fields(Settings)])


def known(kind: str, name: str, valid: Any) -> None:
    if name not in valid:
        near = nearest(name, valid)
        hint = f"did you mean {near!r}?" if near else f"valid: {enumerated(valid, 20)}"
        raise UnknownName(f"no {kind} {name!r}; {hint}")


def check_device(device: str, here: bool = True) -> None:
    """Refuse a device that is none, or is not here, before any cell is blamed for it; elsewhere it may be."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UnknownName(f"no device {device!r}; valid: auto, cpu, cuda, cuda:0, cuda:1, …")
    if here and device.startswith("cuda"):
        import torch

        if int(device.partition(":")[2] or 0) >= torch.cuda.device_count():
            raise UnknownName(f"no device {device!r} here: torch sees {torch.cuda.device_count()} CUDA devices")


def default_workers(device: str) -> int:
    """One for each GPU where they compute; else one for each core, with one thread each."""
    if found := gpus(device):
        return len(found)
    if device.startswith("cuda"):
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
