"""What reports are tested with beside fabricated records: pictures that nobody had to draw, a reader that is strict."""

import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path

from vaebench.reporting.contrasts import contrasts_table
from vaebench.reporting.leaderboard import leaderboard_table
from vaebench.reporting.pictures import Picture
from vaebench.reporting.report import report_content
from vaebench.reporting.runs import runs_table

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
SQUARE = """<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20" width="40" height="20">
  <rect width="40" height="20" style="fill: #1f77b4"/><text x="2"
    y="15">50 % &amp; "σ"</text>
</svg>
"""


def png() -> bytes:
    """One white pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0\xff")), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def pictures(folder: Path, question: str, variant: str, caption: str = "What there is to see.") -> list[Picture]:
    """One for each section of a report."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "square.svg").write_text(SQUARE, encoding="utf-8")
    (folder / "pixel.png").write_bytes(png())
    places = {"overview": ("", "square.svg"), "contrast": (question, "pixel.png"), "variant": (variant, "square.svg")}
    return [
        Picture(
            section, f"The {section}", caption, True, section, subject, "digits/grey", f"figures/{name}", folder / name
        )
        for section, (subject, name) in places.items()
    ]


def content_of(suite, results, info=None, pictures=()):
    """What `write_all` would render of the records in `results`."""
    runs = runs_table(suite, results)
    return report_content(
        suite, runs, leaderboard_table(suite, runs), contrasts_table(suite, runs), info or {}, pictures
    )


class Reader(HTMLParser):
    """Reads a page as XML would be read: every element is closed, in the order in which it was opened."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.page = page
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.inside: list[str] = []
        self.texts: dict[str, str] = {}
        """Element → all text that stands directly in one of its kind."""
        self.feed(page)
        self.close()
        assert not self.inside, f"never closed: {self.inside}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{self.getpos()}: <{tag}> has an attribute twice"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag not in VOID, f"{self.getpos()}: </{tag}>"
        assert self.inside, f"{self.getpos()}: </{tag}> closes nothing"
        opened = self.inside.pop()
        assert opened == tag, f"{self.getpos()}: </{tag}> closes <{opened}>"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[self.inside[-1]] = self.texts.get(self.inside[-1], "") + data

    @property
    def words(self) -> str:
        """Everything that a reader sees, in one line."""
        seen = (text for tag, text in self.texts.items() if tag not in ("script", "style"))
        return " ".join(" ".join(seen).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] for _, attributes in self.elements if attribute in attributes]
