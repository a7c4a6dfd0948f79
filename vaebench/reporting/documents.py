"""The figures of the documents that a suite follows: the pictures that show the same, and what the numbers say."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from vaebench.reporting.content import Code, Phrase, Text, listed
from vaebench.reporting.figures.figure import slug
from vaebench.reporting.pictures import Picture
from vaebench.reporting.published import Judged, in_words
from vaebench.reporting.questions import Answer, Question
from vaebench.suite.suite import DocumentFigure, split_side


@dataclass(frozen=True)
class Shown:
    """A figure of a document, with ours."""

    figure: str
    says: str
    answers: list[tuple[Question, Answer]]
    """Question and what it found."""
    held: list[Phrase]
    """What was expected, and what was measured."""
    pictures: list[Picture]
    seen: str
    """What the suite's authors saw by eye in their run under this profile; empty where nothing is said."""
    lacking: Phrase
    """Names of the pictures that the report does not have; empty where it has all."""


def shown(
    figures: Iterable[DocumentFigure], asked: Sequence[Question], held: Sequence[Judged], pictures: Iterable[Picture]
) -> list[Shown]:
    """Every figure, in the order of the suite. How to read a kind of picture is said where it comes first."""
    by_name = {picture.name: picture for picture in pictures if picture.section != "contrast"}
    found: list[Shown] = []
    captions: set[str] = set()
    for figure in figures:
        ours = {one: by_name.get(stem_of(one, figure.on)) for one in figure.ours}
        there = []
        for picture in ours.values():
            if picture is not None:
                there.append(replace(picture, is_first=picture.caption not in captions))
                captions.add(picture.caption)
        missing: list[Text] = [Code(name) for name, picture in ours.items() if picture is None]
        found.append(
            Shown(
                figure=figure.figure,
                says=figure.says,
                answers=[(one, answer) for one in asked for answer in _answers(one, figure)],
                held=[in_words(one) for one in held if one.expectation.source in figure.answered_by],
                pictures=there,
                seen=figure.seen,
                lacking=listed(missing) if missing else Phrase(""),
            )
        )
    return found


def _answers(question: Question, figure: DocumentFigure) -> list[Answer]:
    """Those on the figure's view; where there is none, all."""
    if question.text not in figure.answered_by:
        return []
    return [answer for answer in question.answers if answer.source == figure.on] or question.answers


def stem_of(picture: str, on: str) -> str:
    """Of the files of `variant:kind` on a view."""
    variant, kind = split_side(picture)
    return slug(variant, kind, on) if kind else slug(variant, on)
