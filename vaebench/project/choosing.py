"""Which engine runs the fleets, and what its options mean."""

import importlib.util
import re
from collections.abc import Callable, Iterable

from vaebench.engines.crew import Engine, EngineUnavailable
from vaebench.engines.local import LocalEngine
from vaebench.project.settings import Settings, UnknownName, check_device, default_workers, known


def _local_engine(settings: Settings) -> Engine:
    return LocalEngine(
        workers=settings.workers or default_workers(settings.device),
        timeout=settings.timeout,
        fail_fast=settings.fail_fast,
        debug=settings.debug,
    )


def _ray_engine(settings: Settings) -> Engine:
    from vaebench.engines.ray_engine import RayEngine

    return RayEngine(settings.address, settings.workers, settings.timeout, settings.fail_fast)


def _slurm_engine(settings: Settings) -> Engine:
    from vaebench.engines.slurm_engine import SlurmEngine

    return SlurmEngine(settings.slurm, settings.detach, settings.workers, settings.timeout, settings.fail_fast)


ENGINES: dict[str, Callable[[Settings], Engine]] = {
    "local": _local_engine,
    "ray": _ray_engine,
    "slurm": _slurm_engine,
}
NEEDED = {"ray": "ray", "slurm": "submitit"}
"""Engine → the package that it needs; the extra is named after the engine."""
OWN_OPTIONS = {"address": "ray", "slurm": "slurm", "detach": "slurm", "debug": "local"}
"""Setting → the only engine that it means anything to."""


def check_engine(settings: Settings) -> None:
    """Refuse an engine that is none or is not installed, and a device that it cannot have."""
    known("engine", settings.engine, ENGINES)
    for option, engine in OWN_OPTIONS.items():
        if getattr(settings, option) and engine != settings.engine:
            raise UnknownName(f"--{option} is for --engine {engine}, and this is --engine {settings.engine}")
    package = NEEDED.get(settings.engine)
    if package is not None and importlib.util.find_spec(package) is None:
        advice = f"pip install 'vaebench[{settings.engine}]'"
        raise EngineUnavailable(f"--engine {settings.engine}: {package} is not installed; {advice}")
    if settings.engine == "local":
        check_device(settings.device)
    elif settings.device not in ("auto", "cpu", "cuda"):
        raise UnknownName(f"--device {settings.device}: where others choose the machine, valid are auto, cpu and cuda")


SLURM_TIME = r"(\d+-)?\d+(:\d\d){0,2}"
"""What sbatch --time takes: minutes, minutes:seconds, hours:minutes:seconds, days-hours, …"""


def parsed_slurm(texts: Iterable[str]) -> dict[str, str | int]:
    """Of `partition=gpu,time=60`."""
    found: dict[str, str | int] = {}
    for part in (part for text in texts for part in text.split(",")):
        name, _, value = (word.strip() for word in part.partition("="))
        if not (name and value):
            raise UnknownName(f"--slurm {part}: must be NAME=VALUE, as in partition=gpu,time=60")
        if name == "time" and not re.fullmatch(SLURM_TIME, value):
            raise UnknownName(f"--slurm {part}: no time of Slurm's; minutes, or [DAYS-]HOURS:MINUTES:SECONDS")
        found[name] = int(value) if value.isdigit() else value
    return found
