"""How every picture looks: sizes, letters, colours that all eyes can tell apart, in light and in dark.

Nothing here touches matplotlib's global state: settings are in force while a picture is drawn or written.
"""

import base64
import contextlib
import functools
import io
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

Drawing = ParamSpec("Drawing")

WIDTH = 5.2
"""Inches of every picture: text of 9 points is as high as 10 pixels where the picture is 400 pixels wide."""
TITLE, TEXT, SMALL = 10.5, 9.0, 8.0
"""Points."""
LINE = 0.19
"""Inches from a line of the title to the next."""
LETTER = 0.078
"""Inches that a letter of TEXT takes on average."""

INK, SOFT, RULE, PAPER = "#1f2429", "#5c6670", "#d5dae0", "#fefefe"
MIDDLE = "#7c8187"
"""Letters of a PNG, which cannot change: as far from white paper as from black."""

BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY = "#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
"""Okabe and Ito's, without black and yellow, which vanish on dark and on light paper."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DARK = {
    **{INK: "#e8ecf0", SOFT: "#9ba6b1", RULE: "#3a424b", PAPER: "#16191d"},
    **{BLUE: "#3d9ee0", VERMILLION: "#ee7a30", GREEN: "#1fbf92"},
}
"""What becomes lighter or darker where the reader's screen is dark."""
STANCES = {"theory": (BLUE, "o"), "practice": (VERMILLION, "s"), "baseline": (GREEN, "^")}

SETTINGS: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": TEXT,
    "text.parse_math": False,  # names and questions are text, whatever dollars and underscores they hold
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.labelsize": TEXT,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.4,
    "lines.markersize": 5,
    "image.interpolation": "nearest",
    "svg.fonttype": "none",
    "svg.hashsalt": "vaebench",
}
NO_METADATA = ("Date", "Creator", "Format", "Type")
"""What an SVG would say of its making."""
DPI, RASTER = 150, 96
LONG_NUMBER = re.compile(r"(\d\.\d\d)\d+")
"""What stands before it is a hundredth of a point, smaller than any screen shows."""
LEVELS = 16
"""Of each channel in a PNG: as many greys as an eye tells apart in so small a tile, at a quarter of the bytes."""
RASTER_LEVELS = 10
"""The same inside an SVG, where points of many colours lie over each other."""
"""Of PNG files, twice what a screen shows, and of what is rastered inside an SVG."""


def settled(draw: "Callable[Drawing, Picture]") -> "Callable[Drawing, Picture]":
    """The same function, drawing under these settings."""

    @functools.wraps(draw)
    def drawn(*arguments: Drawing.args, **named: Drawing.kwargs) -> "Picture":
        with settings():
            return draw(*arguments, **named)

    return drawn


@contextlib.contextmanager
def settings() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(SETTINGS):  # type: ignore[arg-type]
        yield


def canvas(title: str, height: float, width: float = WIDTH) -> "tuple[Picture, float]":
    """A picture with its title, `height` inches below it; and the height of it all."""
    from matplotlib.figure import Figure

    lines = titled(title, width)
    total = height + LINE * len(lines) + 0.12
    picture = Figure(figsize=(width, total), dpi=DPI, facecolor="none")
    for place, line in enumerate(lines):
        at = 1 - (0.06 + LINE * place) / total
        picture.text(0.06 / width, at, line, va="top", ha="left", size=TITLE, weight="bold", color=INK)
    return picture, total


def axes(picture: "Picture", left: float, bottom: float, width: float, height: float, **more: Any) -> "Axes":
    """Axes whose frame stands at these inches."""
    across, up = picture.get_size_inches()
    return picture.add_axes((left / across, bottom / up, width / across, height / up), **more)


def titled(title: str, width: float = WIDTH) -> list[str]:
    """The lines of a title."""
    lines = [""]
    for word in title.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and text_width(longer, TITLE, bold=True) > width - 0.3:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def text_width(text: str, size: float = TEXT, bold: bool = False) -> float:
    """Inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
    points: float = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
    return points / 72


def name_lines(name: str, letters: int) -> list[str]:
    """A variant's name in lines of at most so many letters, its settings on a line of their own where it is long."""
    if len(name) <= letters:
        return [name]
    head, bracket, settings_ = name.partition("[")
    parts = [head, bracket + settings_] if bracket else [head]
    return [line for part in parts for line in _broken(part, letters)]


def _broken(text: str, letters: int) -> list[str]:
    """Broken behind hyphens and other joints where that is possible."""
    lines = [""]
    for piece in re.findall(r"[^-,=:._]*[-,=:._]?", text):
        for part in textwrap.wrap(piece, letters, drop_whitespace=False) or [""]:
            if len(lines[-1]) + len(part) > letters:
                lines.append("")
            lines[-1] += part
    return lines


def svg(picture: "Picture") -> bytes:
    """Text stays text; ink and paper follow the reader's preference for light or dark."""
    buffer = io.BytesIO()
    with settings():
        picture.patch.set_facecolor(PAPER)
        picture.savefig(buffer, format="svg", dpi=RASTER, metadata=dict.fromkeys(NO_METADATA))
    text = buffer.getvalue().decode()
    text = _slim(re.sub(r"<[^>]*>", lambda tag: LONG_NUMBER.sub(r"\1", tag[0]), text))  # never what the picture says
    text = re.sub(r"'DejaVu Sans'(, [^;\"]*)?sans-serif", "system-ui, 'DejaVu Sans', sans-serif", text)
    return re.sub(r"(<svg [^>]*>)", rf"\1\n <style>{_dark_rules()}</style>", text, count=1).encode()


def _slim(text: str) -> str:
    """The same picture without what matplotlib says of its own making: names of groups, turns by nothing, indents."""
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    text = re.sub(r' transform="rotate\(-?0 [^"]*\)"', "", text)
    text = re.sub(r"\n\s*", "\n", text)
    while (shorter := re.sub(r"<g>\n((?:(?!</?g\b).)*?)</g>\n", r"\1", text, flags=re.DOTALL)) != text:
        text = shorter
    return re.sub(r'(?<="data:image/png;base64,)[^"]*', lambda found: _slim_raster(found[0]), text)


def _slim_raster(encoded: str) -> str:
    return base64.b64encode(with_palette(base64.b64decode(encoded), RASTER_LEVELS)).decode("ascii")


def _dark_rules() -> str:
    """A rule of a stylesheet that is important wins over a style that stands at an element."""
    rules = "".join(
        f'[style*="{kind}: {light}"]{{{kind}:{dark} !important}}'
        for light, dark in DARK.items()
        for kind in ("fill", "stroke")
    )
    return f"@media (prefers-color-scheme: dark){{{rules}}}"


def png(picture: "Picture") -> bytes:
    """Transparent paper, three pixels for each two that a screen shows."""
    buffer = io.BytesIO()
    with settings():
        picture.savefig(buffer, format="png", dpi=DPI, facecolor="none", metadata={"Software": None})
    return with_palette(buffer.getvalue())


def with_palette(content: bytes, levels: int = LEVELS) -> bytes:
    """The PNG with its channels rounded to so many levels, and its colours in a palette; as it is if they are many."""
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))
    step = 255 / (levels - 1)
    nearest = np.round(np.round(np.arange(256) / step) * step).astype(np.uint8)
    rounded = nearest[pixels]
    rounded[rounded[..., 3] == 0] = 0
    # A number for each pixel that is greater where its channels are, found by hash and not by sorting millions of them.
    places, numbers = pd.factorize(rounded.view(">u4").ravel().astype(np.uint32))
    if len(numbers) > 256:
        return content
    order = np.argsort(numbers)
    colours = numbers[order].astype(">u4").view(np.uint8).reshape(-1, 4)
    indexed = Image.fromarray(np.argsort(order).astype(np.uint8)[places].reshape(pixels.shape[:2]))
    indexed.putpalette(colours[:, :3].tobytes())
    buffer = io.BytesIO()
    indexed.save(buffer, "png", optimize=True, transparency=colours[:, 3].tobytes())
    return buffer.getvalue()


def shortened(name: str, letters: int) -> str:
    """A name whose middle is left out where it is longer than that."""
    if len(name) <= letters:
        return name
    half = (letters - 1) // 2
    return f"{name[: letters - 1 - half]}…{name[-half:]}"
