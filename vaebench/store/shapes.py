"""Files that others may have written are held against their types before anything is done with them."""

import functools
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler


class Misshapen(ValueError):
    """JSON that is not what it should be; the message says where and what."""


def shaped(kind: Any, content: Any) -> Any:
    """`content` as a `kind` (a dataclass, a TypedDict), every field of its type; more keys than that are no harm."""
    from pydantic import ValidationError

    try:
        return _adapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise Misshapen(f"{place[:80]}: {first['msg']}") from None


class Pattern:
    """Of a text that is more than words: `Annotated[str, Pattern("[0-9a-f]{16}")]`."""

    def __init__(self, pattern: str) -> None:
        self.pattern = re.compile(pattern, re.ASCII)

    def __get_pydantic_core_schema__(self, source: Any, handler: "GetCoreSchemaHandler") -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, text: str) -> str:
        if not self.pattern.fullmatch(text):
            raise ValueError(f"{text[:40]!r} does not look like {self.pattern.pattern}")
        return text


@functools.lru_cache(maxsize=32)
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
