"""A categorical code as a classifier: each value of the code stands for a label."""

from typing import Any

import numpy as np

from vaebench.metrics.answer import Answer, NotApplicable
from vaebench.metrics.categories import category_probabilities
from vaebench.metrics.subject import Subject

NO_LABEL = -1
"""Of a value that no label is left for."""


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """The code of an image is argmax_c q(c|x). Which label a value stands for is learned from the training images."""
    known, asked = subject.source.labels("train"), subject.source.labels(protocol["split"])
    if known is None or asked is None:
        raise NotApplicable(f"{subject.source.dataset.name} has no labels")
    table = contingency(_codes(subject, "train"), known.numpy())
    codes = _codes(subject, protocol["split"])
    answers = []
    for part, labels in (("majority", majority(table)), ("matching", matching(table))):
        share = float((labels[codes.argmax(-1)] == asked.numpy()).mean())
        answers.append(Answer(share, 0.0, part=part, details={"labels": labels.tolist()}))
    return answers


def contingency(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many images have each value and label; codes: (image, category), the largest counts; (category, label)"""
    table = np.zeros((codes.shape[1], int(labels.max()) + 1), dtype=np.int64)
    np.add.at(table, (codes.argmax(-1), labels), 1)
    return table


def majority(table: np.ndarray) -> np.ndarray:
    """The most frequent label of each value; several values may share one."""
    return np.where(table.sum(1) > 0, table.argmax(1), NO_LABEL)


def matching(table: np.ndarray) -> np.ndarray:
    """The one-to-one map from values to labels that is right most often (Hungarian assignment)."""
    from scipy.optimize import linear_sum_assignment

    values, labels = linear_sum_assignment(table, maximize=True)
    matched = np.full(len(table), NO_LABEL)
    matched[values] = labels
    return matched


def _codes(subject: Subject, split: str) -> np.ndarray:
    """(image, category)"""
    return category_probabilities(subject, subject.split(split)).cpu().numpy()
