"""Values that a suite gives, held against the parameters of the catalog."""

from collections.abc import Mapping
from typing import Any

from vaebench.catalog.parameters import Parameter
from vaebench.suite.mistakes import Findings, Path, nearest


def accepted(value: Any, parameter: Parameter, path: Path, findings: Findings) -> bool:
    """Is `value` one that `parameter` can take? What is wrong with it goes to `findings`."""
    what = parameter.mistake(value)
    if what is not None:
        findings.add(path, what, nearest(value, parameter.choices) if isinstance(value, str) else None)
    return what is None


def checked_values(
    values: dict[str, Any], path: Path, owner: str, parameters: Mapping[str, Parameter], findings: Findings
) -> dict[str, Any]:
    """The valid ones of `values`, in normal form; the others go to `findings`."""
    valid: dict[str, Any] = {}
    for name, value in values.items():
        if name not in parameters:
            note_unknown_parameter(name, (*path, name), owner, parameters, findings)
        elif accepted(value, parameters[name], (*path, name), findings):
            valid[name] = parameters[name].normal(value)
    return valid


def note_unknown_parameter(
    name: str, path: Path, owner: str, parameters: Mapping[str, Parameter], findings: Findings
) -> None:
    if findings.touches(path):  # said where the file was read
        return
    if parameters:
        findings.unknown(path, f"{owner} has no such parameter", name, parameters)
    else:
        findings.add(path, f"{owner} has no parameters")


def written(value: Any) -> str:
    """A value as names show it: 0.25, 1 (for 1.0 too), relu, 400-400."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "-".join(written(element) for element in value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
