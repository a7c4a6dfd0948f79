"""Clusters of posterior means as a classifier: each cluster stands for a label."""

from typing import Any

import numpy as np
from torch import Tensor

from vaebench.data import streams
from vaebench.metrics.answer import Answer, NotApplicable
from vaebench.metrics.code_accuracy import contingency, matching
from vaebench.metrics.subject import Subject


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """k-means with as many clusters as labels, and the one-to-one map to labels, both fitted on training images.

    The means are not standardised: that would blow up latents that say nothing until they count as much as the rest.
    """
    from sklearn.cluster import KMeans

    known, asked = subject.source.labels("train"), subject.source.labels(protocol["split"])
    if known is None or asked is None:
        raise NotApplicable(f"{subject.source.dataset.name} has no labels")
    shuffled = streams.permutation(streams.key("clusters", protocol["seed"]), 0, len(known))
    index = shuffled[: protocol["train_images"]].sort().values
    codes = _codes(subject, "train", index)
    clusters = KMeans(subject.source.dataset.classes, n_init=protocol["starts"], random_state=protocol["seed"])
    found = clusters.fit_predict(codes)
    labels = matching(contingency(np.eye(subject.source.dataset.classes)[found], known[index].numpy()))
    seen = labels[clusters.predict(_codes(subject, protocol["split"]))]
    return [Answer(float((seen == asked.numpy()).mean()), 0.0, details={"labels": labels.tolist()})]


def _codes(subject: Subject, split: str, index: Tensor | None = None) -> np.ndarray:
    codes: np.ndarray = subject.codes(subject.split(split, index)).double().cpu().numpy()
    return codes
