"""`vaebench publish`: what is copied, what is refused, and that a copy is whole or not there."""

import errno
import os
from pathlib import Path

import pytest

from tests.reporting.fabrication import TINY, fabricate, failed
from vaebench.reporting.publish import publish, readable
from vaebench.reporting.runs import runs_table
from vaebench.reporting.tables import write_table
from vaebench.store.files import StoreError, file_checksum, read_json, write_json
from vaebench.store.folders import ResultsFolder
from vaebench.suite.expansion import expand
from vaebench.suite.loading import load_suite_mapping

PUBLISHED = [
    "contrasts.csv",
    "figures/data/one.csv",
    "figures/one.svg",
    "leaderboard.csv",
    "plan.json",
    "report.html",
    "report.md",
    "runs.csv",
    "suite.lock.json",
]


def finished(results, **fabricated):
    """A suite's folder as a run leaves it, with stand-ins for what publishing only copies."""
    variants = [{"extends": name, "on": ["digits/grey"]} for name in ("vae-gaussian", "vae-mse", "ppca")]
    suite = load_suite_mapping({**TINY, "datasets": ["digits/grey"], "variants": variants, "contrasts": []})
    fabricate(suite, results, **fabricated)
    folder = results.suite(suite.name)
    write_table(folder.runs, runs_table(suite, results))
    write_json(folder.lock, {"suite": suite.to_json(), "source": "tiny"})
    cells = [{"cell": planned.cell.id, "wanted": [], "fingerprints": {}} for planned in expand(suite).planned]
    plan = {"suite": suite.name, "cells": cells, "fleets": [], "metric_fingerprints": {}, "keep_stale": False}
    write_json(folder.plan, plan)
    others = [folder.leaderboard, folder.contrasts, folder.report, folder.page]
    figures = [folder.figures / "one.svg", folder.figures / "data" / "one.csv"]
    left_behind = [folder.path / "progress" / "f.json", folder.figures / ".one.svg.tmp", folder.path / "notes.txt"]
    for path in (*others, *figures, *left_behind):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    return folder


@pytest.fixture
def folder(results):
    return finished(results)


def files(path: Path) -> list[str]:
    return sorted(found.relative_to(path).as_posix() for found in path.rglob("*") if not found.is_dir())


def names(path: Path) -> list[str]:
    return sorted(found.name for found in path.iterdir())


def test_what_people_read_is_copied_and_nothing_else_is_written(folder, tmp_path):
    before = files(tmp_path)
    published = publish(folder, tmp_path / "results")
    assert files(tmp_path / "results" / "tiny") == PUBLISHED
    assert files(tmp_path) == sorted([*before, *(f"results/tiny/{name}" for name in PUBLISHED)])
    assert names(tmp_path / "results") == ["tiny"]
    assert published.files == len(PUBLISHED)
    for name in PUBLISHED:
        assert (published.folder.path / name).read_bytes() == (folder.path / name).read_bytes()


def test_publishing_again_takes_the_place_of_what_was_there(folder, tmp_path):
    publish(folder, tmp_path / "results")
    (folder.figures / "one.svg").unlink()
    folder.report.write_text("new")
    published = publish(folder, tmp_path / "results")
    assert files(published.folder.path) == [name for name in PUBLISHED if name != "figures/one.svg"]
    assert published.folder.report.read_text() == "new"
    assert names(tmp_path / "results") == ["tiny"]


def test_what_was_fresh_when_it_was_written_and_is_stale_by_now_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("vaebench.reporting.runs.changed_rooms", lambda told, present: ["objectives"])
    with pytest.raises(StoreError, match=r"tiny: 15 cells are not complete \(15 stale\); run the suite again"):
        publish(folder, tmp_path / "results")
    assert not (tmp_path / "results").exists()
    assert publish(folder, tmp_path / "results", incomplete=True).files == len(PUBLISHED)


def test_a_copy_that_fails_leaves_what_was_there(folder, tmp_path, monkeypatch):
    publish(folder, tmp_path / "results")
    folder.report.write_text("new")

    def full(path, copy):
        raise OSError(errno.ENOSPC, "no space left", str(copy))

    monkeypatch.setattr("vaebench.reporting.publish.shutil.copyfile", full)
    with pytest.raises(OSError, match="no space"):
        publish(folder, tmp_path / "results")
    assert (tmp_path / "results" / "tiny" / "report.md").read_text() == "report.md"
    assert names(tmp_path / "results") == ["tiny"]


def test_a_rename_that_fails_puts_back_what_was_there(folder, tmp_path, monkeypatch):
    publish(folder, tmp_path / "results")
    replace = Path.replace

    def refusing(path, target):
        if path.name == "fresh":
            raise OSError(errno.EIO, "broken", str(path))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refusing)
    with pytest.raises(OSError, match="broken"):
        publish(folder, tmp_path / "results")
    assert files(tmp_path / "results" / "tiny") == PUBLISHED


def test_an_incomplete_suite_is_refused_unless_it_is_asked_for(results, tmp_path):
    folder = finished(results, instead={"vae-mse": failed, "ppca": lambda planned: None})
    with pytest.raises(StoreError, match=r"10 cells are not complete \(5 failed, 5 missing\)"):
        publish(folder, tmp_path / "results")
    assert not (tmp_path / "results").exists()
    assert publish(folder, tmp_path / "results", incomplete=True).files == len(PUBLISHED)


def test_what_is_too_large_is_refused_and_its_largest_files_are_named(folder, tmp_path):
    (folder.figures / "one.svg").write_text("x" * 30_000)
    with pytest.raises(StoreError, match=r"more than the 20 kB .* largest files: .*figures/one\.svg 30 kB"):
        publish(folder, tmp_path / "results", limit=20_000)
    assert not (tmp_path / "results").exists()


def test_a_folder_that_lacks_a_file_says_how_to_get_it(folder, tmp_path):
    folder.page.unlink()
    with pytest.raises(StoreError, match=r"report\.html is missing; `vaebench report"):
        publish(folder, tmp_path / "results")


def test_links_are_not_followed_out_of_the_folder(folder, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("secret")
    (folder.figures / "link.svg").symlink_to(tmp_path / "secret" / "key")
    (folder.figures / "linked").symlink_to(tmp_path / "secret")
    published = publish(folder, tmp_path / "results")
    assert files(published.folder.path) == PUBLISHED
    folder.report.unlink()
    folder.report.symlink_to(tmp_path / "secret" / "key")
    with pytest.raises(StoreError, match=r"report\.md is missing"):
        publish(folder, tmp_path / "results")


def test_a_foreign_folder_is_never_replaced(folder, tmp_path):
    (tmp_path / "results" / "tiny").mkdir(parents=True)
    (tmp_path / "results" / "tiny" / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match="is no published suite"):
        publish(folder, tmp_path / "results")
    assert files(tmp_path / "results" / "tiny") == ["thesis.tex"]


@pytest.mark.parametrize(
    ("to", "told"), [("..", "is the folder"), (".", "lies in the folder"), ("figures", "lies in the folder")]
)
def test_a_suite_is_not_published_onto_itself_nor_into(folder, to, told):
    before = files(folder.path)
    with pytest.raises(StoreError, match=f"{told} to be published"):
        publish(folder, folder.path / to)
    assert files(folder.path) == before


def test_another_suite_is_never_replaced(folder, tmp_path):
    published = publish(folder, tmp_path / "results").folder
    write_json(published.lock, {"suite": {"name": "thesis"}})
    with pytest.raises(StoreError, match="holds another suite, thesis"):
        publish(folder, tmp_path / "results")
    published.lock.write_text("{")
    assert publish(folder, tmp_path / "results").files == len(PUBLISHED)


def test_tables_that_are_older_than_a_record_are_refused(folder, results, tmp_path):
    record = next(results.path.glob("cells/*/result.json"))
    os.utime(record, ns=(later := folder.runs.stat().st_mtime_ns + 1, later))
    with pytest.raises(StoreError, match=r"the record of a cell is newer; `vaebench report .*tiny` writes"):
        publish(folder, tmp_path / "results")
    os.utime(folder.runs, ns=(later, later))
    assert publish(folder, tmp_path / "results").files == len(PUBLISHED)


def test_a_table_that_the_report_was_not_written_from_is_refused(folder, tmp_path):
    kept = {name: value for name, value in read_json(folder.lock).items() if name not in ("schema", "checksum")}
    write_json(folder.lock, {**kept, "written": {"runs.csv": file_checksum(folder.runs)}})
    assert publish(folder, tmp_path / "results").files == len(PUBLISHED)
    folder.runs.write_text(folder.runs.read_text().replace("done,elbo,-", "done,elbo,-1"))
    with pytest.raises(StoreError, match="not the table that the report was written from"):
        publish(folder, tmp_path / "results")


@pytest.mark.parametrize("name", ["suite.lock.json", "plan.json"])
def test_a_damaged_folder_is_not_published(folder, tmp_path, name):
    (folder.path / name).write_text("{")
    with pytest.raises(StoreError, match=f"{name}: damaged"):
        publish(folder, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_sizes_read_well():
    assert [readable(size) for size in (950, 31_400, 1_234_567)] == ["1 kB", "31 kB", "1.2 MB"]


def test_the_command_takes_a_name_or_a_folder(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    finished(ResultsFolder(tmp_path / "runs"))
    said = call("publish", "tiny")
    assert (said.code, said.out.startswith("results/tiny: 9 files, ")) == (0, True)
    assert call("publish", "runs/tiny", "--to", "elsewhere").code == 0
    assert files(tmp_path / "elsewhere" / "tiny") == PUBLISHED
    said = call("publish", "nobody")
    assert (said.code, "runs/nobody: there is no such folder" in said.err) == (2, True)
    said = call("publish", "runs/nobody")
    assert (said.code, "runs/runs" in said.err, "runs/nobody: there is no such folder" in said.err) == (2, False, True)
