"""How well simple classifiers read the label off the posterior mean."""

from typing import Any

import numpy as np
import torch

from vaebench.data import streams
from vaebench.metrics.answer import Answer, NotApplicable
from vaebench.metrics.subject import Subject


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """Fitted on posterior means of training images, standardised by their mean and deviation; scored on the split."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels, asked = subject.source.labels("train"), subject.source.labels(protocol["split"])
    if labels is None or asked is None:
        raise NotApplicable(f"{subject.source.dataset.name} has no labels")
    shuffled = streams.permutation(streams.key("probe", protocol["seed"]), 0, len(labels))
    index = shuffled[: protocol["train_images"]]
    known, codes = _codes(subject, "train", index), _codes(subject, protocol["split"], torch.arange(len(asked)))
    probes = {
        "logistic": LogisticRegression(max_iter=2000),
        "knn": KNeighborsClassifier(min(protocol["neighbours"], len(index))),
    }
    answers = []
    for part, classifier in probes.items():
        fitted = make_pipeline(StandardScaler(), classifier).fit(known, labels[index].numpy())
        answers.append(Answer(float(fitted.score(codes, asked.numpy())), 0.0, part=part))
    return answers


def _codes(subject: Subject, split: str, index: torch.Tensor) -> np.ndarray:
    return subject.codes(subject.split(split, index)).double().cpu().numpy()
