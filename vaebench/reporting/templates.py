"""Rendering the templates of a report, those of a user before those that vaebench ships."""

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

PACKAGE = Path(__file__).resolve().parent.parent


class ReportError(Exception):
    """Templates that cannot be rendered; the message names the file and what is wrong in it."""


def render(
    template: str,
    content: Mapping[str, Any],
    folder: Path | None,
    filters: Mapping[str, Callable[..., Any]],
    finalize: Callable[[Any], Any],
    autoescape: bool,
) -> str:
    """`template` with `content`; files are taken from `folder` where it has them, else from the shipped ones."""
    environment = SandboxedEnvironment(
        loader=ChoiceLoader([FileSystemLoader(path) for path in _folders(folder)]),
        undefined=StrictUndefined,
        finalize=finalize,
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= filters
    try:
        return environment.get_template(template).render(content)
    except TemplateError as error:
        raise ReportError(f"{_place(error, template)}: {error}") from error
    except Exception as error:
        if folder is None:
            raise
        raise ReportError(f"{_place(error, template)}: {type(error).__name__}: {error}") from error


def shipped_templates() -> Path:
    """The packaged templates, or those beside the package in a checkout."""
    packaged = PACKAGE / "shipped" / "report_templates"
    return packaged if packaged.is_dir() else PACKAGE.parent / "report_templates"


def _folders(folder: Path | None) -> list[Path]:
    if folder is not None and not folder.is_dir():
        raise ReportError(f"{folder}: no folder of templates")
    return [shipped_templates()] if folder is None else [folder, shipped_templates()]


def _place(error: Exception, template: str) -> str:
    """`report.md.jinja:12`, from the frames that Jinja rewrites to point into the template."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(".jinja")]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else template
