"""The shipped classifiers: are they what they say, and does label_accuracy ask them rightly?"""

import dataclasses
import shutil

import pytest
import torch

from vaebench.catalog.catalog import load_catalog
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.metrics import classifier as module
from vaebench.metrics import label_accuracy
from vaebench.metrics.answer import NotApplicable
from vaebench.metrics.classifier import FOLDER, HASHES, ClassifierError, about, classifier_of, file_hash
from vaebench.metrics.classifiers import train
from vaebench.metrics.generation import generated
from vaebench.metrics.subject import Subject
from vaebench.models.distributions import DiagonalNormal
from vaebench.store import fingerprints

TEST = {"split": "test", "seed": 0}


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.mark.parametrize("name", HASHES)
def test_a_shipped_file_is_small_and_says_what_it_is(name):
    path = FOLDER / f"{name}.safetensors"
    assert file_hash(path) == HASHES[name]
    assert path.stat().st_size < 300_000
    written = about(path)
    assert written["dataset"] == name
    assert written["script_version"] == train.VERSION
    assert written["steps"] == train.STEPS[name]
    least = {"digits": 0.97, "mnist": 0.985, "fashion-mnist": 0.88}[name]
    assert written["test_accuracy"]["grey"] >= least
    assert len(written["data_checksum"]) == 64


@pytest.mark.parametrize("view", ["grey", "binary", "threshold"])
def test_the_accuracies_are_those_that_the_file_states(digits, view):
    shipped = classifier_of(digits)
    source = Source(digits, view)
    right = shipped.labels(source.images("test")) == source.labels("test")
    assert float(right.double().mean()) == pytest.approx(shipped.about["test_accuracy"][view], abs=1e-6)
    assert shipped.about["data_checksum"] == digits.checksum


def test_features_are_what_the_last_layer_sees_and_no_pixel_is_clipped(digits):
    shipped = classifier_of(digits)
    x = Source(digits, "grey").images("test")
    features = shipped.features(x)
    assert features.shape == (300, 64)
    assert features.dtype == torch.float64
    assert torch.equal(shipped.network.head(features).argmax(-1), shipped.labels(x))
    assert bool((shipped.features(3 * x - 1) != shipped.features((3 * x - 1).clamp(0, 1))).any())
    assert bool((features.var(0) > 0).all())
    assert torch.allclose(shipped.features(x[[7, 3]]), features[[7, 3]], rtol=1e-12, atol=1e-12)


def test_loading_draws_no_random_numbers(digits):
    module._load.cache_clear()
    before = torch.get_rng_state()
    classifier_of(digits)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_file_that_is_not_the_sources_own_is_refused(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    module._load.cache_clear()
    with pytest.raises(ClassifierError, match=r"digits\.safetensors: missing"):
        classifier_of(digits)
    content = bytearray((FOLDER / "digits.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "digits.safetensors").write_bytes(content)
    with pytest.raises(ClassifierError, match=f"expected {HASHES['digits']}"):
        classifier_of(digits)


@pytest.mark.parametrize("metric", ["frechet", "precision", "recall", "label_accuracy"])
def test_another_file_makes_the_numbers_stale(metric, tmp_path, monkeypatch):
    """Its hash stands in the source, so the fingerprint of a metric that uses it changes with it."""
    shutil.copytree(fingerprints.PACKAGE, tmp_path / "vaebench", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fingerprints, "PACKAGE", tmp_path / "vaebench")
    implementation = load_catalog().metrics[metric].implementation.partition(":")[0]

    def now():
        return fingerprints.fingerprint([implementation], ("metrics",))["metrics"]

    before = now()
    assert now() == before
    source = tmp_path / "vaebench" / "metrics" / "classifier.py"
    source.write_text(source.read_text(encoding="utf-8").replace(HASHES["digits"], "0123456789abcdef"), "utf-8")
    assert now() != before


def test_a_data_set_without_a_classifier_is_not_applicable(digits):
    with pytest.raises(NotApplicable, match="no classifier ships for kmnist"):
        classifier_of(dataclasses.replace(digits, name="kmnist"))


def test_training_gives_the_same_bytes_again_and_learns(digits, tmp_path):
    paths = [tmp_path / "first", tmp_path / "second"]
    for path in paths:
        content = train.save(train.trained(digits, steps=80, seed=0), digits, path, seed=0)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert content["test_accuracy"]["grey"] > 0.6
    train.save(train.trained(digits, steps=80, seed=1), digits, tmp_path / "third", seed=0)
    assert (tmp_path / "third").read_bytes() != paths[0].read_bytes()


def test_training_sees_each_image_once_an_epoch_half_of_a_batch_in_black_and_white():
    epoch = torch.cat([train.batch(350, step, seed=0) for step in range(3)])
    assert len(epoch.unique()) == 300
    assert not torch.equal(epoch, torch.cat([train.batch(350, step, seed=0) for step in range(3, 6)]))
    k = torch.full((100, 4000), 4.0)
    x = train.both_views(k, 17, step=5, seed=0)
    assert set(x[:50].unique().tolist()) == {0.0, 1.0}
    assert float(x[:50].mean()) == pytest.approx(0.25, abs=0.005)
    assert bool((x[50:] == 0.25).all())


class Gallery:
    """Decodes a real image of the asked label, which one by the code."""

    conditional = True

    def __init__(self, x, y):
        self.by_label = [x[y == label] for label in range(10)]

    def prior(self):
        return DiagonalNormal(torch.zeros(1), torch.ones(1))

    def posterior(self, x, y):
        return DiagonalNormal(x[:, :1], torch.ones(len(x), 1))

    def likelihood(self, z, y):
        place = torch.special.ndtr(z[:, 0])
        shown = [self.by_label[label][int(u * len(self.by_label[label]))] for u, label in zip(place, y, strict=True)]
        return DiagonalNormal(torch.stack(shown), torch.full((len(z), 64), 1e-12))


def test_real_images_of_the_asked_label_have_the_classifiers_own_accuracy(digits):
    """On the very images that were drawn exactly; over all of them within the standard error."""
    source = Source(digits, "binary", dtype=torch.float64)
    x, y = source.images("test"), source.labels("test")
    subject = Subject(Gallery(x, y), source)
    (answer,) = label_accuracy.evaluate(subject, {**TEST, "images": 1000})
    shipped = classifier_of(digits)
    samples = generated(subject, 1000, seed=0)
    assert answer.value == float((shipped.labels(samples.mean.round()) == samples.y).double().mean())
    share = torch.bincount(source.labels("train"), minlength=10).double() / 1197
    right = torch.stack([(shipped.labels(x[y == label]) == label).double().mean() for label in range(10)])
    expected = float((share * right).sum())
    assert 0.85 < expected < 0.99
    assert abs(answer.value - expected) < 3 * answer.stderr
    assert answer.details == {"real": float((shipped.labels(x) == y).double().mean()), "classifier": HASHES["digits"]}


def test_a_model_that_mixes_up_two_labels_is_right_on_the_others(digits):
    source = Source(digits, "grey", dtype=torch.float64)
    x, y = source.images("test"), source.labels("test")
    sure = classifier_of(digits).labels(x) == y
    swapped = torch.where(y == 3, 8, torch.where(y == 8, 3, y))
    subject = Subject(Gallery(x[sure], swapped[sure]), source)
    (answer,) = label_accuracy.evaluate(subject, {**TEST, "images": 500})
    asked = generated(subject, 500, seed=0).y
    assert answer.value == pytest.approx(1.0 - float(((asked == 3) | (asked == 8)).double().mean()))


def test_a_model_that_is_given_no_label_has_no_label_accuracy(digits):
    class Free(Gallery):
        conditional = False

    subject = Subject(Free(*(torch.zeros(20, 64), torch.arange(20) % 10)), Source(digits, "grey"))
    with pytest.raises(NotApplicable, match="not asked for a label"):
        label_accuracy.evaluate(subject, {**TEST, "images": 10})
