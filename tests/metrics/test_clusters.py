"""Clusters of posterior means as a classifier, on codes that are known."""

import dataclasses

import pytest
import torch

from vaebench.data.dataset import Split, load_dataset
from vaebench.data.source import Source
from vaebench.metrics import cluster_accuracy
from vaebench.metrics.answer import NotApplicable
from vaebench.metrics.subject import Subject
from vaebench.models.distributions import DiagonalNormal
from vaebench.suite.expansion import not_applicable

PROTOCOL = {"train_images": 10000, "starts": 10, "split": "test", "seed": 0}


class Coded:
    """The posterior mean is looked up by the image."""

    def __init__(self, source, codes):
        self.codes = {}
        for split, rows in codes.items():
            self.codes |= {x.numpy().tobytes(): row for x, row in zip(source.images(split), rows, strict=True)}

    def posterior(self, x):
        mean = torch.stack([self.codes[row.numpy().tobytes()] for row in x])
        return DiagonalNormal(mean, torch.ones_like(mean))


@pytest.fixture(scope="module")
def source():
    return Source(load_dataset("digits"), "grey")


def coded(source, code_of):
    return Subject(Coded(source, {split: code_of(source.labels(split), split) for split in ("train", "test")}), source)


def blobs(labels, split, latents=6, spread=0.1):
    """Ten corners far from each other, and a little noise."""
    corners = 10.0 * torch.randn(10, latents, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(len(labels), latents, generator=torch.Generator().manual_seed(len(labels)))
    return corners[labels] + spread * noise


def test_blobs_that_stand_apart_are_told_apart_without_a_mistake(source):
    (answer,) = cluster_accuracy.evaluate(coded(source, blobs), PROTOCOL)
    assert answer.value == 1.0
    assert sorted(answer.details["labels"]) == list(range(10))


def test_two_labels_in_one_blob_count_for_one_of_them(source):
    """Nine corners: ten clusters must split one or name one blob after two labels, and no cluster stands for both."""

    def merged(labels, split):
        return blobs(torch.where(labels == 7, 2, labels), split)

    (answer,) = cluster_accuracy.evaluate(coded(source, merged), PROTOCOL)
    labels = source.labels("test")
    lost = float(((labels == 7) | (labels == 2)).double().mean())
    assert 1.0 - lost <= answer.value < 1.0


def test_codes_that_do_not_know_the_label_are_right_by_chance(source):
    (answer,) = cluster_accuracy.evaluate(
        coded(
            source,
            lambda labels, split: blobs(
                labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))], split
            ),
        ),
        PROTOCOL,
    )
    assert 0.03 < answer.value < 0.2


def test_the_map_from_clusters_to_labels_is_learned_from_the_training_images(source):
    """Test images in the blob of the next label are all wrong, though the test clusters are as clean as before."""

    def moved(labels, split):
        return blobs((labels + 1) % 10 if split == "test" else labels, split)

    (answer,) = cluster_accuracy.evaluate(coded(source, moved), PROTOCOL)
    assert answer.value == 0.0


def test_a_latent_of_little_spread_is_not_blown_up(source):
    """The means are not standardised: noise of deviation 0.01 in many latents does not hide the blobs."""

    def small(labels, split):
        noise = torch.randn(len(labels), 200, generator=torch.Generator().manual_seed(len(labels)))
        return torch.cat([blobs(labels, split, latents=2, spread=0.01), 0.01 * noise], dim=1)

    (answer,) = cluster_accuracy.evaluate(coded(source, small), PROTOCOL)
    assert answer.value == 1.0


def test_it_needs_labels_and_says_nothing_of_a_model_that_is_given_them(source):
    bare = {name: Split(split.content) for name, split in source.dataset.splits.items()}
    without = dataclasses.replace(source, dataset=dataclasses.replace(source.dataset, splits=bare))
    with pytest.raises(NotApplicable, match="no labels"):
        cluster_accuracy.evaluate(Subject(Coded(source, {}), without), PROTOCOL)
    assert "needs labels" in not_applicable("cluster_accuracy", None, "linear-gaussian/real")
