"""report.html: one file that needs nothing else, neither a network nor another file."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vaebench.reporting.content import Badge, Code
from vaebench.reporting.pictures import Picture
from vaebench.reporting.templates import render
from vaebench.reporting.text import one_line

TEMPLATE = "report.html.jinja"


def render_html(content: Mapping[str, Any], templates: Path | None = None) -> str:
    """report.html of what `report_content` found. Every expression of a template is escaped, unless it is HTML."""
    filters: dict[str, Callable[..., Any]] = {"code": Code, "badge": Badge, "digest": digest, "is_new": _is_new(set())}
    return render(TEMPLATE, content, templates, filters, finalize=written, autoescape=True).strip() + "\n"


def _is_new(seen: set[str]) -> Callable[[Picture], bool]:
    """Whether a page asks for a picture for the first time."""

    def is_new(picture: Picture) -> bool:
        is_known = picture.name in seen
        seen.add(picture.name)
        return not is_known

    return is_new


def written(value: Any) -> Any:
    """A value of a template before it is escaped: text without control characters, which HTML does not allow."""
    return value if hasattr(value, "__html__") else one_line(str(value))


def digest(script: str) -> str:
    """What a page's content security policy calls a script, so that no other can run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}"
