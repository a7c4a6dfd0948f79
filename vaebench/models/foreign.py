"""A model that vaebench did not build: found by `module:factory`, made by its own code, filled from a safetensors file.

Nothing here unpickles. What goes wrong in the user's own code is told with their file and line.
"""

import importlib
import importlib.util
import inspect
import os
import pkgutil
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from vaebench.plugins.faults import place, told
from vaebench.suite.mistakes import enumerated, nearest

METHODS = ("prior", "posterior", "likelihood")
MOST_NAMES = 4
"""Keys of a state dict that one line names."""


class ForeignModelError(Exception):
    """A model that cannot be found, made or filled as it was asked for: the user's mistake, in one line."""


def load(reference: str, state: Path | None = None, seed: int = 0) -> Any:
    """What `module:factory` or `path/to/file.py:factory` makes, with the parameters of a safetensors file.

    The factory is called without arguments; what it draws from torch's generator on the CPU is decided by `seed`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = made(found(reference), reference)
    if state is not None:
        fill(model, state)
    return model


def mistakes(reference: str, state: Path | None) -> list[str]:
    """What can be said without running the user's code: one line for each mistake."""
    where, _, name = reference.rpartition(":")
    lines = []
    if not where or not name:
        lines.append(f"{reference!r} names no model: give MODULE:FACTORY or path/to/file.py:FACTORY")
    elif _is_file(where):
        lines += _no_file(Path(where), "*.py")
    return lines if state is None else lines + _no_file(state, "*.safetensors")


def found(reference: str) -> Any:
    """The object that the reference means; the folder at hand, or the file's own, joins the import path."""
    refused = mistakes(reference, None)
    if refused:
        raise ForeignModelError(refused[0])
    where, _, names = reference.rpartition(":")
    thing: Any = _module_of_file(Path(where)) if _is_file(where) else _module(where)
    for name in names.split("."):
        if not hasattr(thing, name):
            valid = [other for other in dir(thing) if not other.startswith("_")]
            near = nearest(name, valid)
            hint = f"did you mean {near!r}?" if near else f"it has {enumerated(valid)}"
            raise ForeignModelError(f"{reference}: {where} has no {name!r}; {hint}")
        thing = getattr(thing, name)
    return thing


def made(thing: Any, reference: str) -> Any:
    """What the factory makes; a model that stands there ready is taken as it is."""
    if not inspect.isclass(thing) and (isinstance(thing, nn.Module) or all(hasattr(thing, name) for name in METHODS)):
        return thing
    if not callable(thing):
        what = f"is of type {type(thing).__name__}: neither a model (prior, posterior, likelihood) nor a factory of one"
        raise ForeignModelError(f"{reference} {what}")
    needed = _needed(thing)
    if needed:
        what = f"needs {enumerated(needed)}, and is called without arguments; name a function that fills them in"
        raise ForeignModelError(f"{reference} {what}")
    try:
        return thing()
    except (Exception, SystemExit) as error:
        raise _users(error, f"{reference} raised") from error


def fill(model: Any, path: Path) -> None:
    """Load a safetensors state dict, every name of it and no other, without losing digits."""
    refused = _no_file(path, "*.safetensors")
    if refused:
        raise ForeignModelError(refused[0])
    if not isinstance(model, nn.Module):
        raise ForeignModelError(f"{path}: cannot be loaded into a {type(model).__name__}, which is no torch module")
    try:
        state = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        advice = "write it with safetensors.torch.save_file(model.state_dict(), path); pickles are not read"
        raise ForeignModelError(f"{path}: is no safetensors file ({error}); {advice}") from error
    misfits = _misfits(model.state_dict(), state)
    if misfits:
        raise ForeignModelError(f"{path}: does not fit {type(model).__name__}: {'; '.join(misfits)}")
    model.load_state_dict(state, strict=False)


def _misfits(own: dict[str, Tensor], state: dict[str, Tensor]) -> list[str]:
    """Names of the model that the file lacks, and so on. Of a tensor with two names, one may be missing."""
    given = {_memory(own[name]) for name in state if name in own}
    both = [name for name in state if name in own]
    shapes = [
        f"{name} ({tuple(state[name].shape)} in the file, {tuple(own[name].shape)} in the model)"
        for name in both
        if state[name].shape != own[name].shape
    ]
    digits = [
        f"{name} ({_word(state[name])} in the file, {_word(own[name])} in the model)"
        for name in both
        if torch.promote_types(state[name].dtype, own[name].dtype) != own[name].dtype
    ]
    found = {
        "missing": [name for name in own if name not in state and _memory(own[name]) not in given],
        "unexpected": [name for name in state if name not in own],
        "of another shape": shapes,
        "would lose digits": digits,
    }
    return [f"{what} {enumerated(names, MOST_NAMES)}" for what, names in found.items() if names]


def _memory(tensor: Tensor) -> tuple[Any, ...]:
    """Tells whether two names mean one tensor."""
    return (tensor.data_ptr(), tensor.shape, tensor.stride()) if tensor.numel() else (id(tensor),)


def _word(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _is_file(where: str) -> bool:
    return where.endswith(".py") or "/" in where or os.sep in where


def _no_file(path: Path, pattern: str) -> list[str]:
    if path.is_file():
        return []
    if path.is_dir():
        return [f"{path}: is a folder, not a file"]
    near = nearest(path.name, [other.name for other in path.parent.glob(pattern)] if path.parent.is_dir() else [])
    return [f"{path}: no such file" + (f"; did you mean {str(path.parent / near)!r}?" if near else "")]


def _module(name: str) -> ModuleType:
    if not all(name.split(".")):
        raise ForeignModelError(f"no module {name!r}: give a dotted name, or the path of a .py file")
    _search_in(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not f"{name}.".startswith(f"{missing}."):
            raise _users(error, f"importing {name} raised") from error
        near = _near_module(missing)
        raise ForeignModelError(f"no module {missing!r}" + (f"; did you mean {near!r}?" if near else "")) from error
    except (Exception, SystemExit) as error:
        raise _users(error, f"importing {name} raised") from error


def _near_module(name: str) -> str | None:
    parent, _, last = name.rpartition(".")
    places: Iterable[str] | None = getattr(sys.modules.get(parent), "__path__", []) if parent else None
    near = nearest(last, [module.name for module in pkgutil.iter_modules(places)])
    return ".".join(filter(None, (parent, near))) if near else None


def _module_of_file(path: Path) -> ModuleType:
    _search_in(path.parent)
    name = f"vaebench_model_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise ForeignModelError(f"{path}: is no file of Python's")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _users(error, f"importing {path} raised") from error
    return module


def _search_in(folder: Path) -> None:
    """Let imports find what lies in the folder, now and when the model imports something later."""
    if str(folder.resolve()) not in sys.path:
        sys.path.insert(0, str(folder.resolve()))
    importlib.invalidate_caches()


def _needed(factory: Any) -> list[str]:
    """Arguments that it cannot be called without."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return []
    open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is inspect.Parameter.empty and p.kind not in open_ended]


def _users(error: BaseException, what: str) -> ForeignModelError:
    """Type and message of an error of the user's code, behind the last line of theirs that it passed."""
    return ForeignModelError(f"{place(error)}: {what} {told(error)}")
