"""Which pictures stand below which question and which variant."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from vaebench.reporting.figures.figure import slug
from vaebench.reporting.pictures import Picture
from vaebench.reporting.questions import Question
from vaebench.suite.suite import split_side

OF_EITHER_SIDE = ("samples", "strips")
"""Pictures of one variant that a question shows of both."""


def by_subject(pictures: Iterable[Picture], section: str, subjects: Iterable[str]) -> dict[str, list[Picture]]:
    """Subject → the pictures of a section that are about it."""
    found: dict[str, list[Picture]] = {subject: [] for subject in subjects}
    for picture in pictures:
        if picture.section == section:
            found.setdefault(picture.subject, []).append(picture)
    return found


def of_questions(asked: Sequence[Question], pictures: Sequence[Picture]) -> dict[str, list[Picture]]:
    """Question → its own pictures, and those of its two variants that are to be compared by eye.

    How to read a kind of picture is said where it comes first among them.
    """
    by_name = {picture.name: picture for picture in pictures if picture.section == "variant"}
    found = by_subject(pictures, "contrast", (question.text for question in asked))
    captions = {picture.caption for of_one in found.values() for picture in of_one}
    for question in asked:
        drawn_together = {kind for kind in OF_EITHER_SIDE for picture in found[question.text] if _is_of(kind, picture)}
        for kind, picture in _of_either_side(question, by_name):
            if kind not in drawn_together:
                found[question.text].append(replace(picture, is_first=picture.caption not in captions))
                captions.add(picture.caption)
    return found


def _of_either_side(question: Question, by_name: dict[str, Picture]) -> list[tuple[str, Picture]]:
    """Of each data set view that answers it, kind by kind; none where both sides are the same models."""
    sides = [split_side(side)[0] for side in (question.theory, question.practice)]
    if sides[0] == sides[1]:
        return []
    sources = dict.fromkeys(answer.source for answer in question.answers)
    named = [(kind, slug(side, kind, source)) for source in sources for kind in OF_EITHER_SIDE for side in sides]
    return [(kind, by_name[name]) for kind, name in named if name in by_name]


def _is_of(kind: str, picture: Picture) -> bool:
    """A picture of both sides, as older reports have them."""
    return re.match(rf"contrast-\d+-{kind}-", picture.name) is not None
