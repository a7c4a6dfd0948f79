"""YAML files are read once, and anew as soon as one of them is another."""

import os
import sys
from pathlib import Path

import pytest
import ruamel.yaml

from vaebench.catalog import yaml_files
from vaebench.catalog.catalog import FOLDER
from vaebench.catalog.yaml_files import contents, kept_at

TEXT = "name: vae\nwhen: {true: 1, false: 1.0}\nlist: [1, a, null]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "b.yaml").write_text(TEXT, encoding="utf-8")
    (tmp_path / "a.yaml").write_text("β: 4\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise AssertionError("the YAML was read again")

    monkeypatch.setattr(ruamel.yaml.YAML, "load", refuse)


def test_the_second_time_they_are_the_same_to_the_type_and_the_order(folder, monkeypatch):
    first = contents(folder)
    assert list(first) == ["a.yaml", "below/b.yaml"]
    monkeypatch.setattr(ruamel.yaml.YAML, "load", None)
    assert repr(contents(folder)) == repr(first)
    assert first["below/b.yaml"]["when"] == {True: 1, False: 1.0}


@pytest.mark.usefixtures("never_read")
def test_the_test_would_notice_that_they_are_read_again(folder):
    with pytest.raises(AssertionError, match="read again"):
        contents(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "a.yaml").write_text("β: 5\n", encoding="utf-8"),
        lambda folder: (folder / "c.yaml").write_text("{}\n", encoding="utf-8"),
        lambda folder: (folder / "a.yaml").unlink(),
        lambda folder: (folder / "a.yaml").rename(folder / "d.yaml"),
    ],
    ids=["another content", "one more", "one less", "another name"],
)
def test_what_has_changed_is_read_anew(folder, change):
    before = contents(folder)
    change(folder)
    after = contents(folder)
    assert after != before
    assert set(after) == {path.relative_to(folder).as_posix() for path in folder.rglob("*.yaml")}


def test_a_file_of_the_same_length_and_time_is_read_anew(folder):
    contents(folder)
    path = folder / "a.yaml"
    stat = path.stat()
    path.write_text("β: 7\n", encoding="utf-8")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert contents(folder)["a.yaml"] == {"β": 7}


def test_another_reader_reads_anew(folder, monkeypatch):
    contents(folder)
    kept = kept_at(folder).read_bytes()
    monkeypatch.setattr(yaml_files.ruamel.yaml, "__version__", "1000")
    contents(folder)
    assert kept_at(folder).read_bytes() != kept


@pytest.mark.parametrize("place", [0, 40, 70, -1])
@pytest.mark.parametrize("harm", ["changed", "cut"])
def test_what_is_kept_is_not_believed_where_it_is_damaged(folder, place, harm):
    first = contents(folder)
    kept = bytearray(kept_at(folder).read_bytes())
    if harm == "cut":
        del kept[place:]
    else:
        kept[place] ^= 1
    kept_at(folder).write_bytes(bytes(kept))
    assert contents(folder) == first


def test_nothing_is_kept_where_python_keeps_nothing(folder, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    contents(folder)
    assert not kept_at(folder).parent.exists()


def test_a_place_that_cannot_be_written_to_is_no_harm(folder):
    kept_at(folder).parent.write_text("a file stands where the folder should", encoding="utf-8")
    assert contents(folder) == contents(folder)


def test_what_the_catalog_says_can_be_kept(folder, monkeypatch):
    for path in FOLDER.rglob("*.yaml"):
        copied = folder / path.relative_to(FOLDER)
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes(path.read_bytes())
    first = contents(folder)
    monkeypatch.setattr(ruamel.yaml.YAML, "load", None)
    assert repr(contents(folder)) == repr(first)
    assert {"composition.yaml", "variants/vae.yaml"} <= first.keys()
