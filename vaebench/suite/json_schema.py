"""JSON Schema of suite files, from the shapes that check them and the names of the catalog, for editors that complete.

It knows names, types and ranges. `vaebench check` knows the rest: what fits together, and a suite's own names.

python -m vaebench.suite.json_schema > docs/suite.schema.json
"""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from vaebench.catalog.catalog import KINDS, Catalog, load_catalog
from vaebench.catalog.parameters import Parameter
from vaebench.suite.conditions import SEED, SEED_COUNT
from vaebench.suite.schema import LONGEST_NAME, SuiteShape

Schema = dict[str, Any]

DIALECT = "http://json-schema.org/draft-07/schema#"
"""The one that YAML language servers read."""
NAME: Schema = {"type": "string", "pattern": f"^[A-Za-z0-9_][A-Za-z0-9._-]{{0,{LONGEST_NAME - 1}}}$"}
PARTS_SHOWN = 6

MEANINGS = {
    "suite": "Name of the suite, and of its folder in the results.",
    "description": "What the suite asks, for its report.",
    "datasets": "Data set views that variants are trained on.",
    "seeds": "Number of seeds (0 … n − 1), or a list of them. A contrast needs five for a verdict.",
    "profile": "A named pair of recipe (training) and budget (evaluation), or one of the suite's own profiles.",
    "profiles": "Name → what the suite says under it: data sets, seeds, recipe, budget, defaults; chosen by --profile.",
    "recipe": "How every model is trained: a recipe's name, or a mapping that extends one.",
    "budget": "How every model is scored: a budget's name, or a mapping that extends one.",
    "plugins": "Files (from the suite's own folder) or modules that bring parts; run with --trust-plugins or --plugin.",
    "defaults": "Choices that reach every variant whose part has them; one value each.",
    "variants": "Names from the catalog, or mappings that extend one. A list in place of a value is a grid.",
    "metrics": "A metric stands for all its parts, a part such as sharpness.mean_ratio for itself.",
    "rank_by": "View → the column that ranks it.",
    "contrasts": "Questions that two variants answer together, seed by seed.",
    "expected": "Published numbers, exact truths and orders that the suite's numbers are held against.",
    "figures": "Figures of a document, and which pictures of the report show the same.",
    "name": "Name in the leaderboard; without it that of what is extended.",
    "extends": "A variant of the catalog, or another of this suite.",
    "on": "Data set views that it is restricted to.",
    "trainer": "Who trains it: vaebench, or another library by its own loss and loop.",
    "generation": "How z is drawn and what is shown of p(x|z).",
    "question": "The question, in a sentence.",
    "theory": "A variant of the suite, or variant:metric.",
    "practice": "A variant of the suite, or variant:metric.",
    "primary": "The column that decides; without it the one that ranks the view.",
}
MEANINGS_OF_EXPECTED = {
    "source": "Who says so.",
    "kind": "exact: it follows from the mathematics; statistical: a published number; order: which number is larger.",
    "on": "Data set view; without it the suite's only one.",
    "of": "The number: variant:metric.",
    "value": "What it is expected to be: a number, or the variant:metric whose number it is to equal.",
    "band": "Largest distance from the value that is within the band, in the metric's unit.",
    "order": "Several variant:metric, from the least to the greatest.",
    "profile": "The profile that keeps the published protocol; under another one the number is shown and not judged.",
    "note": "What must be known to read it.",
}
MEANINGS_OF_FIGURE = {
    "figure": "Which: document and number.",
    "says": "What is to be seen there, or what the document makes of it.",
    "ours": "The pictures that show it, each variant:kind, or sub-code.",
    "on": "Data set view of the pictures; without it the suite's first.",
    "answered_by": "Questions of the suite, and sources of its expectations, that measure what the figure says.",
    "seen": "Profile → what its authors saw by eye in their run under it; shown in reports of that profile.",
}


def suite_schema(catalog: Catalog | None = None) -> Schema:
    """The schema of a suite file, with the names of `catalog` (and of plugins that have joined it)."""
    catalog = catalog or load_catalog()
    schema = _plain(SuiteShape.model_json_schema())
    shapes = schema.pop("$defs")
    _put(shapes["Composition"], _composition(catalog))
    _put(shapes["VariantShape"], {**_composition(catalog), **_variant(catalog)})
    _put(shapes["ContrastShape"], {"primary": {"enum": list(catalog.columns)}})
    _put(shapes["ExpectedShape"], {}, MEANINGS_OF_EXPECTED)
    _put(shapes["FigureShape"], {}, MEANINGS_OF_FIGURE)
    _put(shapes["ProfileShape"], _conditions(catalog))
    _put(schema, _suite(catalog, schema["properties"]["variants"]))
    parts = {kind: _part(kind, catalog) for kind in KINDS}
    protocols = {_protocol(name): _mapping(metric.parameters) for name, metric in catalog.metrics.items()}
    head: Schema = {"$schema": DIALECT, "$id": "urn:vaebench:suite", "title": "A suite of vaebench"}
    catalogs = {"properties": {"profile": {"enum": list(catalog.profiles)}}}
    head |= {"if": {"required": ["profiles"]}, "else": catalogs}  # without profiles of its own it has the catalog's
    return {**head, **schema, "$defs": {**shapes, **parts, **protocols}}


def text(schema: Schema) -> str:
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _plain(schema: Any) -> Any:
    """Without what pydantic adds for nobody: titles made of keys, and nulls that would be refused."""
    if isinstance(schema, dict):
        if "properties" in schema:
            schema = {**schema, "properties": {name: _plain(content) for name, content in schema["properties"].items()}}
        return {
            name: content if name == "properties" else _plain(content)
            for name, content in schema.items()
            if name != "title" and (name, content) != ("default", None)
        }
    return [_plain(element) for element in schema] if isinstance(schema, list) else schema


def _put(shape: Schema, better: Mapping[str, Schema], meanings: Mapping[str, str] = MEANINGS) -> None:
    """Say what the catalog knows of a shape's keys, and what each is for."""
    for name, content in shape["properties"].items():
        meaning = {"description": meanings[name]} if name in meanings else {}
        shape["properties"][name] = {**meaning, **better.get(name, content)}


def _suite(catalog: Catalog, variants: Schema) -> dict[str, Schema]:
    names = {"anyOf": [{"enum": list(catalog.variants)}, {"type": "string", "minLength": 1}]}
    shape = {"$ref": "#/$defs/VariantShape"}
    return {
        "suite": NAME,
        **_conditions(catalog),
        "profile": NAME,
        "profiles": {
            "type": "object",
            "additionalProperties": {"$ref": "#/$defs/ProfileShape"},
            "propertyNames": NAME,
            "minProperties": 1,
        },
        "variants": {**variants, "items": {"anyOf": [names, shape]}},
        "metrics": {"type": "array", "minItems": 1, "items": _metric(catalog)},
        "rank_by": _closed({view: {"enum": list(catalog.columns)} for view in catalog.views}),
    }


def _conditions(catalog: Catalog) -> dict[str, Schema]:
    """What all variants share, under one profile."""
    return {
        "datasets": {**_several(catalog.sources), "minItems": 1},
        "seeds": {"anyOf": [_value(SEED_COUNT), {"type": "array", "items": _value(SEED), "minItems": 1}]},
        "recipe": _extended(catalog.recipes, {name: _value(one) for name, one in catalog.recipe_parameters.items()}),
        "budget": _extended(catalog.budgets, {name: _reference(_protocol(name)) for name in catalog.metrics}),
    }


def _composition(catalog: Catalog) -> dict[str, Schema]:
    scalars = {name: _gridded(parameter) for name, parameter in catalog.scalars.items()}
    return {**{kind: _reference(kind) for kind in KINDS}, **scalars, "generation": _gridded_mapping(catalog.generation)}


def _variant(catalog: Catalog) -> dict[str, Schema]:
    return {
        "name": NAME,
        "extends": {"anyOf": [{"enum": list(catalog.variants)}, {"type": "string", "minLength": 1}]},
        "on": {**_several(catalog.sources), "minItems": 1},
    }


def _part(kind: str, catalog: Catalog) -> Schema:
    """A name, a grid of names, or a mapping with the parameters of any part of the kind."""
    names: Schema = {"enum": list(catalog.parts[kind])}
    grid = {"type": "array", "items": names, "minItems": 1}
    owners: dict[str, dict[str, Parameter]] = {}
    for name in catalog.parts[kind]:
        for parameter in catalog.parameters_of(kind, name).values():
            owners.setdefault(parameter.name, {})[name] = parameter
    parameters = {name: _shared(found) for name, found in owners.items()}
    mapping = _closed({"name": {"anyOf": [names, grid]}, **parameters})
    titles = "; ".join(f"{name}: {part.title}" for name, part in catalog.parts[kind].items())
    return {"description": titles, "anyOf": [names, grid, mapping]}


def _shared(owners: Mapping[str, Parameter]) -> Schema:
    """A parameter that several parts have, each perhaps with a range of its own."""
    schemas: list[Schema] = []
    for parameter in owners.values():
        content = _gridded(parameter)
        if content not in schemas:
            schemas.append(content)
    shown = ", ".join([*owners][:PARTS_SHOWN]) + (", …" if len(owners) > PARTS_SHOWN else "")
    helps = "; ".join(dict.fromkeys(parameter.help for parameter in owners.values() if parameter.help))
    described = {"description": f"{helps} ({shown})" if helps else f"({shown})"}
    return {**described, **(schemas[0] if len(schemas) == 1 else {"anyOf": schemas})}


def _metric(catalog: Catalog) -> Schema:
    """A metric's name, or one metric and what it overrides in the budget."""
    names = list(dict.fromkeys((*catalog.metrics, *catalog.columns)))
    overridden = {name: _reference(_protocol(catalog.metric_of(name).name)) for name in names}
    return {"anyOf": [{"enum": names}, {**_closed(overridden), "minProperties": 1, "maxProperties": 1}]}


def _extended(names: Iterable[str], changes: Mapping[str, Schema]) -> Schema:
    """A name, or a mapping that extends one."""
    known: Schema = {"enum": list(names)}
    return {"anyOf": [known, _closed({"extends": known, **changes})]}


def _mapping(parameters: Mapping[str, Parameter]) -> Schema:
    return _closed({name: _described(parameter, _value(parameter)) for name, parameter in parameters.items()})


def _gridded_mapping(parameters: Mapping[str, Parameter]) -> Schema:
    return _closed({name: _described(parameter, _gridded(parameter)) for name, parameter in parameters.items()})


def _described(parameter: Parameter, schema: Schema) -> Schema:
    return {"description": parameter.help, **schema} if parameter.help else schema


def _gridded(parameter: Parameter) -> Schema:
    """A value, or a list of them."""
    value = _value(parameter)
    return {"anyOf": [value, {"type": "array", "items": value, "minItems": 1}]}


def _value(parameter: Parameter) -> Schema:
    bounds = {
        "minimum": parameter.minimum,
        "exclusiveMinimum": parameter.above,
        "maximum": parameter.maximum,
        "exclusiveMaximum": parameter.below,
    }
    sized = {name: bound for name, bound in bounds.items() if bound is not None}
    kinds: dict[str, Schema] = {
        "number": {"type": "number", **sized},
        "integer": {"type": "integer", **sized},
        "boolean": {"type": "boolean"},
        "choice": {"enum": list(parameter.choices)},
        "integers": {"type": "array", "items": {"type": "integer", **sized}, "minItems": 1},
    }
    schema = kinds[parameter.type]
    return {"anyOf": [schema, {"type": "null"}]} if parameter.optional else schema


def _closed(properties: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _several(names: Iterable[str]) -> Schema:
    return {"type": "array", "items": {"enum": list(names)}, "uniqueItems": True}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _protocol(family: str) -> str:
    return f"protocol.{family}"


if __name__ == "__main__":
    sys.stdout.write(text(suite_schema()))
