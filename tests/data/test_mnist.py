"""MNIST and FashionMNIST: the right bytes or a clear refusal, and nothing written where they lie.

The tests on the real files run where VAEBENCH_DATA names them; the others make small stand-ins.
"""

import gzip
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch

from vaebench.data import mnist, streams
from vaebench.data.dataset import load_dataset
from vaebench.data.mnist import DataError, Files, IdxFile
from vaebench.data.source import Source

REAL = os.environ.get("VAEBENCH_DATA")
needs_files = pytest.mark.skipif(REAL is None, reason="VAEBENCH_DATA names no folder with the real files")
PIXELS = {"mnist": (0.1307, 0.3081), "fashion-mnist": (0.2860, 0.3530)}
TRAIN_LABELS = {
    "mnist": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "fashion-mnist": [6000] * 10,
}
TEST_LABELS = {"mnist": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009], "fashion-mnist": [1000] * 10}


@needs_files
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_real_files_hold_what_the_field_knows_of_them(name):
    """Content by MD5 (checked on reading), mean and deviation of all training pixels, label counts, splits."""
    dataset = load_dataset(name, Path(REAL))
    assert mnist.verify(name, Path(REAL)) == []
    train, validation, test = (dataset.splits[split] for split in ("train", "validation", "test"))
    assert [len(split.content) for split in (train, validation, test)] == [50_000, 10_000, 10_000]
    everything = torch.cat([train.content, validation.content]).double() / 255
    assert (float(everything.mean()), float(everything.std())) == pytest.approx(PIXELS[name], abs=5e-5)
    assert torch.cat([train.labels, validation.labels]).bincount().tolist() == TRAIN_LABELS[name]
    assert test.labels.bincount().tolist() == TEST_LABELS[name]


@needs_files
def test_binary_mnist_is_the_same_on_every_machine():
    """Count of bright pixels of the test set, drawn from the streams: integers alone, so equal everywhere."""
    source = Source(load_dataset("mnist", Path(REAL)), "binary")
    x = source.images("test")
    assert torch.equal(x, Source(load_dataset("mnist", Path(REAL)), "binary").images("test"))
    grey = source.dataset.splits["test"].content.double() / 255
    deviation = (float(x.double().sum()) - float(grey.sum())) / float((grey * (1 - grey)).sum().sqrt())
    assert abs(deviation) < 4


@needs_files
def test_binary_mnist_pixels_average_to_their_grey_level():
    source = Source(load_dataset("mnist", Path(REAL)), "binary")
    index = torch.arange(20)
    total = torch.zeros(20, 784)
    for visit in range(20):
        stream = torch.tensor(streams.key("visits"))
        u = streams.uniform(stream, visit * 100, 100, 20 * 784).reshape(100, 20, 784)
        total += source.training_batch(source.training_content("split"), index.expand(100, 20), u).sum(0)
    grey = source.dataset.splits["train"].content[:20] / 255
    error = (grey * (1 - grey) / 2000).sqrt().clamp_min(1e-3)
    assert float(((total / 2000 - grey).abs() / error).max()) < 5.5


@pytest.fixture
def little(monkeypatch, tmp_path):
    """A data set of four small files, registered under the name `little`."""
    import hashlib

    contents = {
        "train-images-idx3-ubyte": (30, 28, 28),
        "train-labels-idx1-ubyte": (30,),
        "t10k-images-idx3-ubyte": (6, 28, 28),
        "t10k-labels-idx1-ubyte": (6,),
    }
    random = np.random.default_rng(0)
    where = tmp_path / "Little" / "raw"
    where.mkdir(parents=True)
    files = []
    for name, shape in contents.items():
        body = random.integers(0, 10 if len(shape) == 1 else 256, shape, dtype=np.uint8)
        file = IdxFile(name, shape)
        content = file.header + body.tobytes()
        (where / name).write_bytes(content)
        files.append(IdxFile(name, shape, hashlib.md5(content, usedforsecurity=False).hexdigest()))
    monkeypatch.setitem(mnist.FILES, "little", Files("Little", *files))
    monkeypatch.setattr(mnist, "VALIDATION", 10)
    return tmp_path


def pack(where):
    for path in list(where.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


def test_raw_and_packed_files_give_the_same_data(little):
    raw = mnist.load("little", little)
    pack(little / "Little" / "raw")
    packed = mnist.load("little", little)
    assert raw.checksum == packed.checksum
    assert [len(split.content) for split in raw.splits.values()] == [20, 10, 6]
    assert not list(little.rglob("*ubyte"))


def test_a_read_only_root_works_and_stays_as_it_is(little):
    pack(little / "Little" / "raw")
    before = sorted((path, path.stat().st_mtime_ns) for path in little.rglob("*"))
    folders = [little / "Little" / "raw", little / "Little", little]
    for folder in folders:
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        mnist.load("little", little)
    finally:
        for folder in reversed(folders):
            folder.chmod(stat.S_IRWXU)
    assert sorted((path, path.stat().st_mtime_ns) for path in little.rglob("*")) == before


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    content = bytearray(path.read_bytes())
    content[500] ^= 255
    path.write_bytes(content)


def lengthen(path):
    path.write_bytes(path.read_bytes() + bytes(10))


def swap_header(path):
    path.write_bytes(bytes(16) + path.read_bytes()[16:])


def archive_of_something_else(path):
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes())[:-200])
    path.unlink()


def bomb(path):
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    path.unlink()


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: path.unlink(), "missing, and so is train-images-idx3-ubyte.gz"),
        (cut, "truncated: 23,436 bytes unpacked, expected 23,536"),
        (flip, "wrong content: MD5"),
        (lengthen, "too long"),
        (swap_header, r"not \(30, 28, 28\) unsigned bytes"),
        (lambda path: path.write_bytes(b""), "truncated: 0 bytes"),
        (archive_of_something_else, "cannot be read"),
        (bomb, "too long"),
    ],
)
def test_a_file_that_is_not_right_is_refused_by_name_with_the_way_to_get_it(little, damage, expected):
    path = little / "Little" / "raw" / "train-images-idx3-ubyte"
    damage(path)
    with pytest.raises(DataError, match=expected) as refusal:
        mnist.load("little", little)
    assert str(path) in str(refusal.value)
    assert "vaebench data fetch little" in str(refusal.value)
    assert len(mnist.verify("little", little)) == 1


def test_fetching_goes_through_torchvisions_class(little, monkeypatch, tmp_path):
    """The class is called with the root and download; what it cannot fetch is said with the way round."""
    import torchvision.datasets

    calls = []

    def fake(root, train, download, **options):
        calls.append((root, train, download, options))
        raise RuntimeError("Error downloading x: no route to host")

    monkeypatch.setattr(torchvision.datasets, "Little", fake, raising=False)
    with pytest.raises(DataError, match=r"no route to host.*VAEBENCH_DATA"):
        mnist.fetch("little", tmp_path / "own")
    assert calls == [(str(tmp_path / "own"), True, True, {})]


def test_every_torchvision_class_that_we_name_exists():
    import torchvision.datasets

    for files in mnist.FILES.values():
        assert hasattr(torchvision.datasets, files.torchvision)
