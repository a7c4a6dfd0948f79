"""From the packaged catalog and what plugins declare to one catalog, or to every mistake in the declarations."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from vaebench.catalog.catalog import (
    KINDS,
    Catalog,
    VariantEntry,
    as_dataset,
    as_metric,
    as_part,
    complete,
)
from vaebench.catalog.consistency import contradictions
from vaebench.catalog.names import mistake_of_name, nearest
from vaebench.catalog.parameters import Parameter, ParameterType, shown
from vaebench.plugins.declaring import Declaration
from vaebench.plugins.faults import near_path
from vaebench.plugins.plugin import Plugin, PluginError

OURS = "vaebench's own"
RESERVED = {
    **dict.fromkeys(KINDS, ("name",)),
    "objective": ("name", "kl_weight", "progress"),
    "metric": ("split", "seed", "sigma_floor", "generation_prior", "generation_around"),
}
"""Kind → names that a parameter cannot have, because something else has them where it is given."""


OWN_WORDS = ("source", "departs", "mended")
"""What a variant says of itself, and not of those that extend it."""


class Owner(NamedTuple):
    """Who brought a thing, in words, and where."""

    shown: str
    place: tuple[str, int] = ("", 0)


@dataclass
class _Joining:
    """A catalog in the making."""

    catalog: Catalog
    owners: dict[tuple[str, str], Owner]
    """Kind and name → who brought it."""
    mistakes: list[str] = field(default_factory=list)
    places: dict[str, Declaration] = field(default_factory=dict)
    """How a contradiction begins → what it is about."""
    refused: set[str] = field(default_factory=set)
    """Names of what did not join: that others name it is no mistake of theirs."""

    def refuse(self, declaration: Declaration, what: str) -> None:
        self.refused.add(str(declaration.name))
        self.mistakes.append(f"{near_path(declaration.file)}:{declaration.line}: {what}")


def joined(packaged: Catalog, plugins: Iterable[Plugin]) -> Catalog:
    """The packaged catalog and everything that the plugins bring; PluginError with a line for each mistake."""
    joining = _Joining(packaged, {thing: Owner(OURS) for thing in _things(packaged)})
    for plugin in plugins:
        for declaration in plugin.declarations:
            _add(declaration, plugin, joining)
    _find_contradictions(joining)
    if joining.mistakes:
        raise PluginError("\n".join(dict.fromkeys(joining.mistakes)))
    return joining.catalog


def laid_open(declaration: Declaration) -> Iterator[Declaration]:
    """The declaration itself; of a YAML file the variants that it holds, each with its line."""
    if declaration.kind != "variants":
        yield declaration
        return
    where = f"{near_path(declaration.file)}:{declaration.line}"
    path = Path(declaration.file).parent / declaration.name
    try:
        text = path.read_text(encoding="utf-8")
        content, lines = (YAML(typ=kind, pure=True).load(text) for kind in ("safe", "rt"))
    except MarkedYAMLError as error:
        at = f"{near_path(str(path))}:{error.problem_mark.line + 1}" if error.problem_mark else near_path(str(path))
        raise PluginError(f"{at}: {error.problem or error.context}") from error
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise PluginError(f"{where}: variants {declaration.name!r}: {reason}") from error
    if not isinstance(content, dict):
        raise PluginError(f"{near_path(str(path))}: must be a mapping of variants by name, is {shown(content)}")
    for name, entry in content.items():
        line = lines.lc.key(name)[0] + 1
        if not isinstance(name, str) or not isinstance(entry, dict):
            what = f"variant {name!r} must be a mapping, is {shown(entry)}"
            raise PluginError(f"{near_path(str(path))}:{line}: {what}")
        yield Declaration("variant", name, entry, str(path), line)


def _things(catalog: Catalog) -> Iterator[tuple[str, str]]:
    yield from ((kind, name) for kind in KINDS for name in catalog.parts[kind])
    yield from (("dataset", name) for name in catalog.datasets)
    yield from (("metric", name) for name in catalog.metrics)
    yield from (("variant", name) for name in catalog.variants)


def _add(declaration: Declaration, plugin: Plugin, joining: _Joining) -> None:
    """Join one thing to the catalog, unless something is wrong with its name or its form."""
    kind, name = declaration.kind, declaration.name
    problem = _mistake_of_declaration(declaration)
    owner = joining.owners.get((kind, name)) if problem is None else None
    if owner is not None and owner.place == (declaration.file, declaration.line):
        return  # two plugins import the module that brings it
    if owner is not None:
        problem = f"shadows {owner.shown}; give it another name"
    if problem is not None:
        joining.refuse(declaration, f"{kind} {name!r}: {problem}")
        return
    joining.owners[kind, name] = Owner(f"that of {plugin.shown}", (declaration.file, declaration.line))
    joining.places[f"{kind} {name}"] = declaration
    joining.catalog = _with(joining.catalog, declaration)


def _with(catalog: Catalog, declaration: Declaration) -> Catalog:
    kind, name = declaration.kind, declaration.name
    if kind == "variant":
        entry = VariantEntry(name, _completed_variant(name, declaration.content, catalog))
        return replace(catalog, variants={**catalog.variants, name: entry})
    content = {
        **{key: _plain(value) for key, value in declaration.content.items()},
        "title": declaration.content.get("title") or name,
        "implementation": declaration.implementation,
    }
    if kind == "dataset":
        return replace(catalog, datasets={**catalog.datasets, name: as_dataset(name, content)})
    if kind == "metric":
        metric = as_metric(name, content)
        budgets = {
            budget: {**protocols, name: complete(metric.parameters, {})}
            for budget, protocols in catalog.budgets.items()
        }
        return replace(catalog, metrics={**catalog.metrics, name: metric}, budgets=budgets)
    of_kind = {**catalog.parts[kind], name: as_part(kind, name, content)}
    return replace(catalog, parts={**catalog.parts, kind: of_kind})


def _completed_variant(name: str, content: Mapping[str, Any], catalog: Catalog) -> dict[str, Any]:
    """The stance is said by the variant, else by what it extends; what that says of its own source is not said of
    others."""
    base = catalog.variants.get(content.get("extends", ""))
    inherited = {"stance": base.mapping.get("stance")} if base and base.mapping.get("stance") else {}
    return {**inherited, "title": name, **dict.fromkeys(OWN_WORDS, ""), **content}


def _plain(value: Any) -> Any:
    """Tuples and other iterables as lists, so that an entry is what YAML would have given."""
    if isinstance(value, Mapping):
        return {key: _plain(content) for key, content in value.items()}
    if isinstance(value, str) or not isinstance(value, Iterable):
        return value
    return [_plain(content) for content in value]


def _mistake_of_declaration(declaration: Declaration) -> str | None:
    """Why nothing can be made of a declaration; None if something can."""
    if not isinstance(declaration.name, str):
        return f"a name is text, this is {shown(declaration.name)}"
    mistake = mistake_of_name(declaration.name)
    if mistake is not None:
        return mistake
    if declaration.kind == "metric" and "." in declaration.name:
        return "a metric's name has no '.', which stands before its parts"
    if declaration.kind == "variant":
        return None
    return (
        _mistake_of_thing(declaration)
        or _mistake_of_parameters(declaration.kind, declaration.content.get("parameters", {}))
        or _mistake_of_form(declaration)
    )


def _mistake_of_thing(declaration: Declaration) -> str | None:
    thing = declaration.thing
    name = getattr(thing, "__qualname__", None)
    if not callable(thing) or not isinstance(name, str):
        return f"a class or a function is decorated, this is {type(thing).__name__}"
    if "." in name:
        return f"{name} stands inside something; decorate what stands at the top of the module"
    if not hasattr(sys.modules.get(declaration.module), name):
        return f"{name} is not found in its module under this name"
    return None


def _mistake_of_parameters(kind: str, parameters: Any) -> str | None:
    if not isinstance(parameters, Mapping):
        return f"parameters must be a mapping by name, is {shown(parameters)}"
    known = [each.name for each in fields(Parameter) if each.name != "name"]
    for name, entry in parameters.items():
        where = f"parameter {name!r}"
        if not isinstance(name, str) or not name.isidentifier():
            return f"{where} is no name for a parameter"
        if name in RESERVED.get(kind, ()):
            return f"{where} has a name that is taken; give it another"
        if not isinstance(entry, Mapping):
            return f'{where} must be a mapping such as {{"type": "number", "default": 1.0}}, is {shown(entry)}'
        for key in entry:
            if key not in known:
                near = nearest(str(key), known)
                return f"{where} has no {key!r}; " + (
                    f"did you mean {near!r}?" if near else f"it has {', '.join(known)}"
                )
        missing = [key for key in ("type", "default") if key not in entry]
        if missing:
            return f"{where} needs {' and '.join(missing)}"
        if entry["type"] not in get_args(ParameterType):
            return f"{where}: type must be one of {', '.join(get_args(ParameterType))}, is {shown(entry['type'])}"
        if entry["type"] == "number" and not isinstance(entry["default"], int | float | None):
            return f"{where}: default must be a number, is {shown(entry['default'])}"
    return None


SHAPES: dict[str, tuple[type, ...]] = {
    "title": (str,),
    "equation": (str,),
    "unit": (str,),
    "better": (str,),
    "measure": (str,),
    "pixels": (int,),
    "side": (int,),
    "levels": (int,),
    "classes": (int,),
    "splits": (Mapping,),
    "requires": (Mapping,),
    "parts": (Mapping,),
}


def _mistake_of_form(declaration: Declaration) -> str | None:
    """A value of the wrong type, or a list that is none."""
    for key, value in declaration.content.items():
        wanted = SHAPES.get(key)
        if wanted and not isinstance(value, wanted):
            nouns = {str: "text", int: "an integer", Mapping: "a mapping"}
            return f"{key} must be {nouns[wanted[0]]}, is {shown(value)}"
    views = declaration.content.get("views", [])
    if isinstance(views, str) or not isinstance(views, Iterable):
        return f"views must be a list of names, is {shown(views)}"
    for key in KINDS:
        names = declaration.content.get("requires", {}).get(key, [])
        if isinstance(names, str) or not isinstance(names, Iterable):
            return f"requires: {key} must be a list of names, is {shown(names)}"
    splits = declaration.content.get("splits")
    if splits is not None and sorted(splits) != ["test", "train", "validation"]:
        return (
            f"splits must be train, validation and test with their sizes, is {', '.join(map(str, splits)) or 'empty'}"
        )
    for part, content in declaration.content.get("parts", {}).items():
        if not isinstance(content, Mapping) or sorted(content) != ["better", "title", "unit"]:
            return f"part {part!r} needs title, unit and better"
    return None


def _find_contradictions(joining: _Joining) -> None:
    """What the catalog's own check finds, at the declaration that it is about."""
    refused = [repr(name) for name in joining.refused]
    for line in contradictions(joining.catalog):
        if any(name in line for name in refused):
            continue
        owner = next((owner for owner in joining.places if line.startswith((f"{owner}:", f"{owner} "))), None)
        if owner is None:
            joining.mistakes.append(line)
        else:
            joining.refuse(joining.places[owner], line)
