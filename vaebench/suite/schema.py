"""The shape of a suite file. Names and values are looked up in the catalog later (vaebench.suite.loading)."""

import copy
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from vaebench.catalog.names import LONGEST_NAME, mistake_of_name
from vaebench.catalog.parameters import shown
from vaebench.suite.mistakes import Findings, Path, enumerated, nearest

MOST_CONTRASTS = 1_000
MOST_EXPECTED = 1_000
MOST_FIGURES = 200

WRONG_NAME = "vaebench_name"
ABSENT: Any = None
"""Default of a key that may be left out; an explicit null is refused."""

BROKEN = object()
"""Stands in a list for an element whose shape is wrong, so that the others keep their places."""


def _checked_name(name: str) -> str:
    what = mistake_of_name(name)
    if what is not None:
        raise PydanticCustomError(WRONG_NAME, "{what}", {"what": what})
    return name


def _shape(*types: type, expected: str) -> BeforeValidator:
    """Refuses everything but `types` in one sentence, where a union would complain once for each of its members."""

    def check(value: Any) -> Any:
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise PydanticCustomError("vaebench", "{what}", {"what": f"must be {expected}, is {shown(value)}"})
        return value

    return BeforeValidator(check)


def _word_or_mapping(value: Any) -> str | None:
    if isinstance(value, str):
        return WORD
    return MAPPING if isinstance(value, dict) else None


WORD, MAPPING = "<word>", "<mapping>"
NAME_OR_MAPPING = Discriminator(
    _word_or_mapping, custom_error_type="vaebench_choice", custom_error_message="must be a name or a mapping"
)

Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, AfterValidator(_checked_name)]
Choice = Annotated[str | dict[str, Any], _shape(str, dict, expected="a name or a mapping")]
PartChoice = Annotated[
    str | list[Any] | dict[str, Any], _shape(str, list, dict, expected="a name, a mapping, or a list of names (a grid)")
]
Seeds = Annotated[int | list[Any], _shape(int, list, expected="a number of seeds or a list of seeds")]
Latent = Annotated[int | list[Any], _shape(int, list, expected="an integer, or a list of integers (a grid)")]

Conditional = Annotated[bool | list[Any], _shape(bool, list, expected="true or false, or a list of both (a grid)")]

Trainer = Annotated[str | list[Any], _shape(str, list, expected="a trainer's name, or a list of names (a grid)")]

Expected = Annotated[
    int | float | str, _shape(int, float, str, expected="a number, or what it is to equal: a variant:metric")
]
Band = Annotated[int | float, _shape(int, float, expected="a number")]


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Composition(Shape):
    """The choices that a variant makes."""

    network: PartChoice = ABSENT
    latent: Latent = ABSENT
    conditional: Conditional = ABSENT
    trainer: Trainer = ABSENT
    likelihood: PartChoice = ABSENT
    posterior: PartChoice = ABSENT
    prior: PartChoice = ABSENT
    objective: PartChoice = ABSENT
    generation: dict[str, Any] = ABSENT


class VariantShape(Composition):
    """An entry of `variants`: what it extends, and what it changes."""

    name: Name = ABSENT
    extends: Text = ABSENT
    on: Annotated[list[Text], Field(min_length=1)] = ABSENT
    title: Text = ABSENT
    stance: Literal["theory", "practice", "baseline"] = ABSENT
    source: Text = ABSENT
    departs: Text = ABSENT
    mended: Text = ABSENT
    fixed: list[Literal["network", "likelihood", "posterior", "prior", "objective"]] = ABSENT


class ContrastShape(Shape):
    """A question that two variants of the suite answer together."""

    question: Text
    theory: Text
    practice: Text
    primary: Text = ABSENT


class ExpectedShape(Shape):
    """A number, or an order of numbers, that the suite's own are held against."""

    source: Text
    kind: Literal["exact", "statistical", "order"]
    on: Text = ABSENT
    of: Text = ABSENT
    value: Expected = ABSENT
    band: Band = ABSENT
    order: Annotated[list[Text], Field(min_length=2)] = ABSENT
    profile: Text = ABSENT
    note: Text = ABSENT


class FigureShape(Shape):
    """A figure of a document, and the pictures of this suite that show the same."""

    figure: Text
    says: Text
    ours: Annotated[list[Text], Field(min_length=1)]
    on: Text = ABSENT
    answered_by: Annotated[list[Text], Field(min_length=1)] = ABSENT
    seen: Annotated[dict[Name, Text], Field(min_length=1)] = ABSENT


class ProfileShape(Shape):
    """What a profile says in place of the suite."""

    datasets: Annotated[list[Text], Field(min_length=1)] = ABSENT
    seeds: Seeds = ABSENT
    recipe: Choice = ABSENT
    budget: Choice = ABSENT
    defaults: Composition = ABSENT


class SuiteShape(Shape):
    """A suite file."""

    suite: Name
    description: str = ""
    datasets: Annotated[list[Text], Field(min_length=1)]
    seeds: Seeds = 5
    profile: Text = ABSENT
    profiles: Annotated[dict[Name, ProfileShape], Field(min_length=1)] = ABSENT
    recipe: Choice = ABSENT
    budget: Choice = ABSENT
    plugins: Annotated[list[Text], Field(min_length=1)] = ABSENT
    defaults: Composition = ABSENT
    variants: Annotated[
        list[Annotated[Annotated[Text, Tag(WORD)] | Annotated[VariantShape, Tag(MAPPING)], NAME_OR_MAPPING]],
        Field(min_length=1),
    ]
    metrics: Annotated[
        list[Annotated[Annotated[Text, Tag(WORD)] | Annotated[dict[str, Any], Tag(MAPPING)], NAME_OR_MAPPING]],
        Field(min_length=1),
    ]
    rank_by: dict[str, Text] = ABSENT
    contrasts: Annotated[list[ContrastShape], Field(max_length=MOST_CONTRASTS)] = ABSENT
    expected: Annotated[list[ExpectedShape], Field(max_length=MOST_EXPECTED)] = ABSENT
    figures: Annotated[list[FigureShape], Field(max_length=MOST_FIGURES)] = ABSENT


def well_shaped(content: Any, findings: Findings) -> dict[str, Any]:
    """The part of `content` that has the right shape; what has not goes to `findings`, once, and is left out.

    The elements of lists keep their places: BROKEN stands for those that are left out.
    """
    if not isinstance(content, dict):
        keys = enumerated(SuiteShape.model_fields)
        findings.add((), f"a suite must be a mapping with the keys {keys}; this is {shown(content)}")
        return {}
    kept = copy.deepcopy(content)
    try:
        SuiteShape.model_validate(content)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        misspelt = _misspelt(errors)
        for details in errors:
            path = _path(details["loc"])
            said_where_read = details["type"] == "extra_forbidden" and findings.touches(path)
            if said_where_read or (details["type"] == "missing" and path in misspelt):
                _leave_out(kept, path)
                continue
            what, suggestion = _entry_by_name(content, path) or _in_our_words(details, path)
            findings.add(path, what, suggestion)
            if details["type"] != WRONG_NAME:  # such a name still serves to recognise what it names
                _leave_out(kept, path)
    return kept


def _misspelt(errors: Sequence[ErrorDetails]) -> set[Path]:
    """The keys that unknown ones beside them were meant to be: that they are missing is no mistake of its own."""
    unknown = [_path(details["loc"]) for details in errors if details["type"] == "extra_forbidden"]
    return {(*path[:-1], near) for path in unknown if (near := nearest(str(path[-1]), _keys_at(path[:-1])))}


def _path(loc: tuple[int | str, ...]) -> Path:
    """Where pydantic complains, without the tag by which it told a word from a mapping."""
    if loc[-1:] == ("[key]",):
        return loc[:-1]
    tagged = len(loc) > 2 and loc[0] in ("variants", "metrics") and loc[2] in (WORD, MAPPING)
    return loc[:2] + loc[3:] if tagged else loc


def _entry_by_name(content: dict[str, Any], path: Path) -> tuple[str, None] | None:
    """What to write for `- vae: {latent: 2}` among the variants, which is how metrics are written."""
    if path[:1] != ("variants",) or len(path) != 3 or path[2] in VariantShape.model_fields:
        return None
    entry = content["variants"][path[1]]
    changes = entry[path[2]]
    if len(entry) > 1 or not isinstance(changes, dict | None):
        return None
    return f"a variant is a name or a mapping; write {{extends: {path[2]}, …}}", None


def _in_our_words(details: ErrorDetails, path: Path) -> tuple[str, str | None]:
    given = details["input"]
    match details["type"]:
        case "extra_forbidden":
            valid = _keys_at(path[:-1])
            near = nearest(str(path[-1]), valid)
            return ("unknown key" if near else f"unknown key; valid: {', '.join(valid)}"), near
        case "missing":
            return "is missing", None
        case "string_type":
            return f"must be text, is {shown(given)}", None
        case "string_too_short":
            return "must not be empty", None
        case "list_type":
            return f"must be a list, is {shown(given)}" + _as_list(given), None
        case "model_type" | "dict_type":
            return f"must be a mapping, is {shown(given)}", None
        case "too_short" if details["ctx"]["min_length"] > 1:
            return f"must hold at least {details['ctx']['min_length']}, holds {details['ctx']['actual_length']}", None
        case "too_short":
            return f"must not be {shown(given)}", None
        case "too_long":
            return (
                f"must hold at most {details['ctx']['max_length']:,}, holds {details['ctx']['actual_length']:,}",
                None,
            )
        case "literal_error":
            expected = details["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
            near = nearest(given, expected.split(", ")) if isinstance(given, str) else None
            return f"must be one of {expected}, is {shown(given)}", near
        case "vaebench_choice":
            return f"{details['msg']}, is {shown(given)}", None
    return details["msg"], None


def _as_list(given: Any) -> str:
    is_name = isinstance(given, str) and given.isprintable() and 0 < len(given) <= LONGEST_NAME
    return f"; write [{given}]" if is_name else ""


def _keys_at(path: Path) -> list[str]:
    """The keys of the mapping at `path`, in the order in which a suite is written."""
    shapes: dict[str, type[Shape]] = {
        "defaults": Composition,
        "variants": VariantShape,
        "contrasts": ContrastShape,
        "expected": ExpectedShape,
        "figures": FigureShape,
        "profiles": ProfileShape,
    }
    inner = path[2:] if path[:1] == ("profiles",) and len(path) > 2 else path
    shape = shapes[str(inner[0])] if inner else SuiteShape
    return list(shape.model_fields)


def _leave_out(content: dict[str, Any], path: Path) -> None:
    container: Any = content
    for step in path[:-1]:
        try:
            container = container[step]
        except (KeyError, IndexError, TypeError):  # left out already
            return
    if isinstance(container, list) and isinstance(path[-1], int):
        container[path[-1]] = BROKEN
    elif isinstance(container, dict):
        container.pop(path[-1], None)
