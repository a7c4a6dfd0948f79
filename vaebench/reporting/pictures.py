"""The figures of a suite as a report shows them: linked from report.md, embedded in report.html."""

import base64
import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

SVG = "image/svg+xml"
PLAIN = " !$&'()*+,-./:;=?@_~[]{}|^`"
"""What an address of text may hold as it is: this takes a fifth less room than base64."""


@dataclass(frozen=True)
class Picture:
    """A figure that has been drawn into a file."""

    name: str
    title: str
    caption: str
    """How to read it."""
    is_first: bool
    """Of its section with this caption, which need not be read again under every other."""
    section: str
    """`overview`, `contrast` or `variant`."""
    subject: str
    """The question of the contrast, or the variant's name."""
    view: str
    link: str
    """From the suite's folder to the file, as an address."""
    file: Path

    @property
    def embedded(self) -> str:
        """The file itself as an address, so that a page needs no other file."""
        kind = mimetypes.guess_type(self.file.name)[0] or "application/octet-stream"
        content = self.file.read_bytes()
        if kind == SVG:
            return f"data:{kind},{quote(' '.join(content.decode('utf-8').split()), safe=PLAIN)}"
        return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"

    @property
    def anchor(self) -> str:
        """Where a page has it."""
        return f"picture-{self.name}"

    @property
    def words(self) -> str:
        """All that is said of it; the title is drawn into the picture, where not everybody can read it."""
        return f"{self.title.rstrip('.')}. {self.caption}"


def pictures(written: Iterable[Any], folder: Path) -> list[Picture]:
    """The pictures of what `figures.catalogue.write_figures` has written below a suite's folder."""
    found, seen = [], set()
    for entry in written:
        figure = entry.figure
        found.append(
            Picture(
                name=figure.name,
                title=figure.title,
                caption=figure.caption,
                is_first=(figure.section, figure.caption) not in seen,
                section=figure.section,
                subject=figure.subject or "",
                view=figure.view or "",
                link=quote(entry.path.relative_to(folder).as_posix()),
                file=entry.path,
            )
        )
        seen.add((figure.section, figure.caption))
    return found
