"""`figures` of a suite: the figures of a document, and the pictures of the suite that show the same."""

from typing import Any

from vaebench.catalog.parameters import shown
from vaebench.suite.contrasts import side_is_known
from vaebench.suite.expected import is_profile
from vaebench.suite.mistakes import Findings, Path, enumerated
from vaebench.suite.profiles import Reading
from vaebench.suite.schema import BROKEN
from vaebench.suite.scoring import Ground
from vaebench.suite.suite import DocumentFigure, split_side

KINDS = (
    "curves",
    "samples",
    "reconstructions",
    "strips",
    "latents",
    "manifold",
    "traversals",
    "plane",
    "categories",
    "code-training",
    "code-counts",
)
"""What a report shows of each variant, as far as it has it."""
OF_ALL = ("sub-code",)
"""What it shows of several variants together."""


def resolve_figures(reading: Reading, ground: Ground, findings: Findings) -> tuple[DocumentFigure, ...]:
    """The figures whose pictures, questions and sources the suite has; what is wrong goes to `findings`."""
    content = reading.content
    answers = _answers(content)
    found: list[DocumentFigure] = []
    first: dict[str, int] = {}
    for place, entry in enumerate(content.get("figures", [])):
        path: Path = ("figures", place)
        if entry is BROKEN:
            continue
        broken = findings.touches(path)
        label = " ".join(entry.get("figure", "").split())
        if label and label in first:
            findings.add((*path, "figure"), f"{shown(label)} stands already at figures[{first[label]}]")
        first.setdefault(label, place)
        on = _view(entry, path, ground, findings)
        for number, picture in _sound(entry.get("ours", [])):
            _check_picture(picture, (*path, "ours", number), on, ground, findings)
        answered_by = [(number, " ".join(text.split())) for number, text in _sound(entry.get("answered_by", []))]
        for number, text in answered_by:
            if text not in answers:
                what = f"{shown(text)} is no question of the suite, and no source of what it expects"
                findings.unknown((*path, "answered_by", number), what, text, answers)
        seen = entry.get("seen", {})
        sound = [is_profile(profile, reading.profiles, (*path, "seen", profile), findings) for profile in seen]
        if on is not None and all(sound) and not broken:
            says, questions = " ".join(entry["says"].split()), tuple(text for _, text in answered_by)
            by_eye = " ".join(seen.get(reading.profile, "").split())
            found.append(DocumentFigure(label, says, tuple(entry["ours"]), on, questions, by_eye))
    return tuple(found)


def _sound(texts: list[Any]) -> list[tuple[int, str]]:
    """Those that are text, with their places."""
    return [(number, text) for number, text in enumerate(texts) if text is not BROKEN]


def _answers(content: dict[str, Any]) -> list[str]:
    """Every question, and every source of an expectation."""
    entries = [(one, "question") for one in content.get("contrasts", ())]
    entries += [(one, "source") for one in content.get("expected", ())]
    texts = (" ".join(entry[key].split()) for entry, key in entries if entry is not BROKEN and key in entry)
    return list(dict.fromkeys(texts))


def _view(entry: dict[str, Any], path: Path, ground: Ground, findings: Findings) -> str | None:
    """The data set view of the pictures; without `on` the suite's first."""
    if not ground.datasets or findings.touches((*path, "on")):
        return None
    on: str = entry.get("on", ground.datasets[0])
    if on not in ground.datasets and ground.datasets_are_sound:
        findings.unknown((*path, "on"), f"{shown(on)} is not among the suite's datasets", on, ground.datasets)
    return on


def _check_picture(picture: str, path: Path, on: str | None, ground: Ground, findings: Findings) -> None:
    """`variant:kind` with a variant that is trained on the view, or a picture of several."""
    if picture in OF_ALL:
        return
    name, kind = split_side(picture)
    if kind is None:
        findings.add(
            path, f"must be variant:kind, such as {name}:samples, or {enumerated(OF_ALL)}; is {shown(picture)}"
        )
        return
    if kind not in KINDS:
        findings.unknown(path, f"no kind of picture {shown(kind)}", kind, KINDS)
    if side_is_known(name, path, ground, findings) and ground.table.sound and on in ground.datasets:
        trained = ground.table.sources(name)
        if on not in trained:
            findings.add(path, f"{name} is not trained on {on}, but on {enumerated(trained)}")
