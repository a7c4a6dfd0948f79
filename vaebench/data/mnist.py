"""MNIST and its relatives, read from files in torchvision's layout (`<root>/<Name>/raw/`), raw or `.gz`.

torchvision's classes fetch the files, with their mirrors and checksums. Reading is done here, because a root that
belongs to the user is never written to (torchvision unpacks into it), and because the content is checked, however
it was packed.
"""

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vaebench.data.dataset import Dataset, Split
from vaebench.store.here import user_cache

VALIDATION = 10_000
"""Images at the end of the training file that are kept for validation."""
SIDE, LEVELS = 28, 256


class DataError(Exception):
    """A file of a data set is missing, truncated or wrong; the message names it and says how to get it."""


@dataclass(frozen=True)
class IdxFile:
    """One file of a data set in the IDX format: header, then bytes."""

    name: str
    shape: tuple[int, ...]
    md5: str | None = None
    """Of the uncompressed content; None where no authority states it, then only the form is checked."""

    @property
    def header(self) -> bytes:
        """Magic number (0, 0, type 8 = unsigned byte, dimensions), then the sizes, big-endian."""
        return bytes([0, 0, 8, len(self.shape)]) + b"".join(size.to_bytes(4, "big") for size in self.shape)

    @property
    def size(self) -> int:
        return len(self.header) + int(np.prod(self.shape))


@dataclass(frozen=True)
class Files:
    """The four files of a data set and the torchvision class that fetches them."""

    torchvision: str
    train_images: IdxFile
    train_labels: IdxFile
    test_images: IdxFile
    test_labels: IdxFile
    options: tuple[tuple[str, str], ...] = ()
    """Arguments of the class beside root and download."""
    transposed: bool = False

    def __iter__(self) -> Iterator[IdxFile]:
        return iter((self.train_images, self.train_labels, self.test_images, self.test_labels))


def _files(torchvision: str, md5: tuple[str | None, str | None, str | None, str | None]) -> Files:
    return Files(
        torchvision,
        IdxFile("train-images-idx3-ubyte", (60_000, SIDE, SIDE), md5[0]),
        IdxFile("train-labels-idx1-ubyte", (60_000,), md5[1]),
        IdxFile("t10k-images-idx3-ubyte", (10_000, SIDE, SIDE), md5[2]),
        IdxFile("t10k-labels-idx1-ubyte", (10_000,), md5[3]),
    )


FILES = {
    "mnist": _files(
        "MNIST",
        (
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ),
    ),
    "fashion-mnist": _files(
        "FashionMNIST",
        (
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "9018921c3c673c538a1fc5bad174d6f9",
            "8181f5470baa50b63fa0f6fddb340f0a",
            "15d484375f8d13e6eb1aabb0c3f46965",
        ),
    ),
    "kmnist": _files("KMNIST", (None, None, None, None)),
    "emnist-digits": Files(
        "EMNIST",
        IdxFile("emnist-digits-train-images-idx3-ubyte", (240_000, SIDE, SIDE)),
        IdxFile("emnist-digits-train-labels-idx1-ubyte", (240_000,)),
        IdxFile("emnist-digits-test-images-idx3-ubyte", (40_000, SIDE, SIDE)),
        IdxFile("emnist-digits-test-labels-idx1-ubyte", (40_000,)),
        options=(("split", "digits"),),
        transposed=True,
    ),
}


def load(name: str, root: Path | None = None) -> Dataset:
    """The data set from the user's root, or from vaebench's own, fetched into it on first use."""
    files = FILES[name]
    if root is None:
        root = own_root()
        ensure(name)
    arrays = [read(file, folder(name, root), name) for file in files]
    images, labels, test_images, test_labels = (torch.from_numpy(array) for array in arrays)
    if files.transposed:
        images, test_images = images.mT.contiguous(), test_images.mT.contiguous()
    images, test_images = images.flatten(1), test_images.flatten(1)
    splits = {
        "train": Split(images[:-VALIDATION], labels[:-VALIDATION].long()),
        "validation": Split(images[-VALIDATION:], labels[-VALIDATION:].long()),
        "test": Split(test_images, test_labels.long()),
    }
    return Dataset(name, splits, pixels=SIDE * SIDE, side=SIDE, levels=LEVELS)


def ensure(name: str) -> None:
    """Fetch the data set into vaebench's own folder if it is not there."""
    if any(find(file, folder(name, own_root())) is None for file in FILES[name]):
        fetch(name, own_root())


def own_root() -> Path:
    """Where vaebench keeps what it fetched itself."""
    return user_cache() / "data"


def folder(name: str, root: Path) -> Path:
    return root / FILES[name].torchvision / "raw"


def find(file: IdxFile, where: Path) -> Path | None:
    """The file as it is, or packed."""
    for path in (where / file.name, where / f"{file.name}.gz"):
        if path.is_file():
            return path
    return None


def read(file: IdxFile, where: Path, name: str) -> np.ndarray:
    """The checked content; uint8, of the file's shape."""
    path = find(file, where)
    advice = f"get it with `vaebench data fetch {name}`"
    if path is None:
        raise DataError(f"{where / file.name}: missing, and so is {file.name}.gz beside it; {advice}")
    content = _content(path, file, advice)
    if len(content) != file.size:
        what = "truncated" if len(content) < file.size else "too long"
        raise DataError(f"{path}: {what}: {len(content):,} bytes unpacked, expected {file.size:,}; {advice}")
    if content[: len(file.header)] != file.header:
        raise DataError(f"{path}: not {file.shape} unsigned bytes in IDX format; {advice}")
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if file.md5 is not None and found != file.md5:
        raise DataError(f"{path}: wrong content: MD5 {found} unpacked, expected {file.md5}; {advice}")
    return np.frombuffer(content, dtype=np.uint8, offset=len(file.header)).reshape(file.shape).copy()


def _content(path: Path, file: IdxFile, advice: str) -> bytes:
    """The unpacked bytes, never many more than expected, whatever the archive holds."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            return bytes(stream.read(file.size + 1))
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); {advice}") from error


def verify(name: str, root: Path | None = None) -> list[str]:
    """Read and check every file; one line for each mistake, none if all is well."""
    where = folder(name, root or own_root())
    mistakes = []
    for file in FILES[name]:
        try:
            read(file, where, name)
        except DataError as error:
            mistakes.append(str(error))
    return mistakes


def fetch(name: str, root: Path) -> None:
    """Download the data set into `root` by torchvision's class, which tries its mirrors and checks its archives."""
    import torchvision.datasets

    files = FILES[name]
    make = getattr(torchvision.datasets, files.torchvision)
    try:
        make(str(root), train=True, download=True, **dict(files.options))
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"{name}: could not be fetched ({error}); "
            f"put its files into a folder {files.torchvision}/raw and name the folder above it with VAEBENCH_DATA"
        ) from error
