"""Merging results folders: nothing is lost, nothing is written elsewhere, and the order of merging does not matter."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vaebench.store.cell import Cell
from vaebench.store.files import StoreError, checksum, read_json, write_json
from vaebench.store.folders import ResultsFolder
from vaebench.store.merge import merge
from vaebench.store.record import Failure, MetricValue, Record
from vaebench.store.versions import OTHERS, versions_of

CELL = Cell("digits", "binary", {"latent": 3}, {"epochs": 2}, seed=4)
MORNING, EVENING = 1_700_000_000.0, 1_700_040_000.0


def answer(metric: str, value: float | None, **changes) -> MetricValue:
    content = {"metric": metric, "family": metric, "protocol": {"seed": 0}, "status": "done", "value": value}
    return MetricValue(**{**content, **changes})


def record(finished: float = MORNING, cell: str = CELL.id, scored: dict[str, float] | None = None, **values) -> Record:
    """A finished cell that answers `values`; `scored` says when, the metric's name standing for its request."""
    answers = [answer(metric, value) for metric, value in values.items()]
    times = {one.request.key: scored[one.metric] for one in answers if scored and one.metric in scored}
    training = {"finished": finished, "seconds": 1.5, **({"scored": times} if times else {})}
    return Record(cell, "done", {"data": "d"}, answers, training=training, environment={"host": "here"})


def failed(finished: float = MORNING) -> Record:
    return Record(CELL.id, "failed", {"data": "d"}, failure=Failure("oom", "8 TiB"), training={"finished": finished})


def folder(path: Path, *records: Record, files: bytes | None = None) -> ResultsFolder:
    """A results folder with these records, each with its files: a model that says whose it is."""
    results = ResultsFolder(path)
    (path / "cells").mkdir(parents=True, exist_ok=True)
    for made in records:
        home = results.cell(made.cell)
        if made.cell == CELL.id:
            home.write_cell(CELL)
        home.path.mkdir(exist_ok=True)
        home.model.write_bytes(files or f"model of {made.training.get('finished')}".encode())
        home.write_record(made)
    return results


def content(results: ResultsFolder) -> dict[str, dict[str, object]]:
    """Cell → version → everything that it says; the cell's own under its own name."""
    found: dict[str, dict[str, object]] = {}
    for path in sorted((results.path / "cells").iterdir()):
        versions = versions_of(results.cell(path.name), [], is_ours=True)
        mine = {version.id: (version.record.status, version.answers, version.finished) for version in versions}
        own = next(version for version in versions if version.home.path == path)
        found[path.name] = {**mine, "own": own.id, "model": own.home.model.read_bytes()}
    return found


def copied(results: ResultsFolder, path: Path) -> ResultsFolder:
    shutil.copytree(results.path, path)
    return ResultsFolder(path)


def tree(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_cells_of_others_are_copied_whole(tmp_path):
    mine, theirs = folder(tmp_path / "a"), folder(tmp_path / "b", record(elbo=-1.0))
    theirs.cell(CELL.id).curves.write_text("epoch\n1\n")
    done = merge(mine, [theirs])
    assert (done.copied, done.joined, done.same, done.conflicts, done.skipped) == (1, 0, 0, [], [])
    assert tree(mine.path) == tree(theirs.path)


def test_a_folder_that_is_not_there_is_made(tmp_path):
    theirs = folder(tmp_path / "b", record(elbo=-1.0))
    merge(ResultsFolder(tmp_path / "new" / "place"), [theirs])
    assert tree(tmp_path / "new" / "place") == tree(theirs.path)


def test_merging_twice_is_merging_once(tmp_path):
    mine, theirs = folder(tmp_path / "a", record(elbo=-1.0)), folder(tmp_path / "b", record(EVENING, elbo=-2.0))
    merge(mine, [theirs])
    once = tree(mine.path)
    again = merge(mine, [theirs])
    assert (again.copied, again.joined, again.same, again.conflicts) == (0, 0, 1, [])
    assert tree(mine.path) == once


def test_answers_to_other_questions_about_one_model_are_joined(tmp_path):
    mine, theirs = folder(tmp_path / "a", record(elbo=-1.0)), folder(tmp_path / "b", record(elbo=-1.0, kl=0.5))
    done = merge(mine, [theirs])
    assert (done.joined, done.conflicts) == (1, [])
    values = {value.metric: value.value for value in mine.cell(CELL.id).read_record().metrics}
    assert values == {"elbo": -1.0, "kl": 0.5}


@pytest.mark.parametrize(("newer", "kept", "aside"), [(False, -1.0, -2.0), (True, -2.0, -1.0)])
def test_a_cell_trained_twice_is_reported_with_both_values_and_the_other_stands_aside(tmp_path, newer, kept, aside):
    mine = folder(tmp_path / "a", record(MORNING, elbo=-1.0))
    theirs = folder(tmp_path / "b", record(EVENING, elbo=-2.0))
    (conflict,) = merge(mine, [theirs], newer).conflicts
    assert conflict.startswith(f"digits/binary, seed 4, cell {CELL.id}: trained twice (elbo {kept:g} and {aside:g})")
    assert f"the {'newer' if newer else 'older'} one" in conflict
    home = mine.cell(CELL.id)
    assert home.read_record().metrics[0].value == kept
    assert home.model.read_bytes() == f"model of {EVENING if newer else MORNING}".encode()
    (other,) = (home.path / OTHERS).iterdir()
    assert other.name in conflict
    assert json.loads((other / "result.json").read_text())["metrics"][0]["value"] == aside
    assert (other / "model.safetensors").read_bytes() == f"model of {MORNING if newer else EVENING}".encode()


def test_a_cell_trained_twice_with_the_same_numbers_is_said_to_have_them(tmp_path):
    mine, theirs = folder(tmp_path / "a", record(elbo=-1.0)), folder(tmp_path / "b", record(EVENING, elbo=-1.0))
    (conflict,) = merge(mine, [theirs]).conflicts
    assert "trained twice, with the same numbers; kept is that of" in conflict
    others = folder(tmp_path / "c", record(EVENING, kl=0.5))
    (conflict,) = merge(folder(tmp_path / "d", record(elbo=-1.0)), [others]).conflicts
    assert "trained twice; kept is that of" in conflict, "they have answered no question alike"


def test_newer_brings_back_what_stood_aside(tmp_path):
    mine, theirs = folder(tmp_path / "a", record(elbo=-1.0)), folder(tmp_path / "b", record(EVENING, elbo=-2.0))
    merge(mine, [theirs])
    merge(mine, [theirs], newer=True)
    assert mine.cell(CELL.id).read_record() == record(EVENING, elbo=-2.0)
    merge(mine, [theirs])
    assert mine.cell(CELL.id).read_record() == record(MORNING, elbo=-1.0)


def test_a_training_that_failed_gives_way_to_one_that_did_not(tmp_path):
    mine, theirs = folder(tmp_path / "a", failed(MORNING)), folder(tmp_path / "b", record(EVENING, elbo=-2.0))
    (conflict,) = merge(mine, [theirs]).conflicts
    assert "which did not fail" in conflict
    assert mine.cell(CELL.id).read_record().status == "done"


def test_one_model_with_two_answers_keeps_the_older_and_says_both(tmp_path):
    mine = folder(tmp_path / "a", record(elbo=-1.0, scored={"elbo": 20.0}))
    theirs = folder(tmp_path / "b", record(elbo=-1.25, scored={"elbo": 10.0}))
    (conflict,) = merge(mine, [theirs]).conflicts
    assert conflict.endswith("one model with two answers; kept is elbo -1.25 and not -1")
    assert mine.cell(CELL.id).read_record() == theirs.cell(CELL.id).read_record()


def test_an_answer_that_failed_gives_way_to_one_that_did_not(tmp_path):
    out_of_memory = replace(record(), metrics=[answer("elbo", None, status="failed", note="oom")])
    for name, there, here in (("a", out_of_memory, record(elbo=-1.0)), ("b", record(elbo=-1.0), out_of_memory)):
        mine, theirs = folder(tmp_path / f"{name}1", here), folder(tmp_path / f"{name}2", there)
        (conflict,) = merge(mine, [theirs]).conflicts
        assert conflict.endswith("kept is elbo -1 and not failed")
        assert mine.cell(CELL.id).read_record() == record(elbo=-1.0)


TRAININGS = st.sampled_from([failed(10.0), record(10.0), record(20.0), record(30.0)])
ANSWERS = st.dictionaries(
    st.sampled_from(["elbo", "kl", "sharpness"]),
    st.tuples(st.sampled_from([1.0, 2.0, None]), st.sampled_from([None, 100.0, 200.0])),
)


@st.composite
def records(draw):
    """A training of the cell, with some answers that may contradict those of others."""
    made = draw(TRAININGS)
    if made.status == "failed":
        return made
    answers, times = [], {}
    for metric, (value, time) in draw(ANSWERS).items():
        one = answer(metric, value, status="done" if value is not None else "failed")
        answers.append(one)
        times |= {one.request.key: time} if time is not None else {}
    return replace(made, metrics=answers, training={**made.training, **({"scored": times} if times else {})})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=st.lists(st.one_of(st.none(), records()), min_size=3, max_size=3), newer=st.booleans())
def test_merging_is_associative_and_commutative_and_loses_nothing(tmp_path_factory, made, newer):
    place = tmp_path_factory.mktemp("merge")
    a, b, c = (folder(place / name, *([one] if one else [])) for name, one in zip("abc", made, strict=True))
    left, right, back = copied(a, place / "left"), copied(a, place / "right"), copied(c, place / "back")
    inner = copied(b, place / "inner")
    merge(left, [b], newer)
    merge(left, [c], newer)
    merge(inner, [c], newer)
    merge(right, [inner], newer)
    merge(back, [b, a], newer)
    assert content(left) == content(right) == content(back)
    lost = {version.id for one in (a, b, c) for version in versions_of(one.cell(CELL.id), [], is_ours=True)} - {
        version.id for version in versions_of(left.cell(CELL.id), [], is_ours=True)
    }
    asked = {value.metric for one in made if one for value in one.metrics}
    kept = {
        value.metric
        for version in versions_of(left.cell(CELL.id), [], is_ours=True)
        for value in version.record.metrics
    }
    assert (lost, asked - kept) == (set(), set())


def test_a_damaged_record_is_named_and_skipped_and_a_good_one_takes_its_place(tmp_path):
    good, bad = folder(tmp_path / "a", record(elbo=-1.0)), folder(tmp_path / "b", record(EVENING, elbo=-2.0))
    text = bad.cell(CELL.id).result.read_text()
    bad.cell(CELL.id).result.write_text(text.replace("-2.0", "-3.0"))
    before = tree(good.path)
    done = merge(good, [bad])
    assert done.skipped == [
        f"{bad.cell(CELL.id).result}: damaged (its checksum is another); delete it and run the suite again"
    ]
    assert tree(good.path) == before
    done = merge(bad, [good])
    assert (len(done.skipped), done.copied) == (1, 1)
    assert tree(bad.path) == before


def test_a_record_of_a_newer_schema_is_named_and_skipped(tmp_path):
    mine, theirs = folder(tmp_path / "a"), folder(tmp_path / "b", record(elbo=-2.0))
    path = theirs.cell(CELL.id).result
    newer = {**json.loads(path.read_text()), "schema": 99}
    path.write_text(json.dumps({**newer, "checksum": checksum(newer)}))
    (skipped,) = merge(mine, [theirs]).skipped
    assert "schema 99 is newer" in skipped
    assert tree(mine.path) == {}


def link_to_a_cell(path: Path, secret: Path) -> None:
    shutil.move(path / "cells" / CELL.id, secret)
    (path / "cells" / CELL.id).symlink_to(secret)


def link_to_a_file(path: Path, secret: Path) -> None:
    secret.write_text("secret")
    (path / "cells" / CELL.id / "log.txt").symlink_to(secret)


def link_beside(path: Path, secret: Path) -> None:
    secret.mkdir()
    (path / "cells" / CELL.id / OTHERS).symlink_to(secret)


def pipe(path: Path, secret: Path) -> None:
    os.mkfifo(path / "cells" / CELL.id / "log.txt")


def odd_file(path: Path, secret: Path) -> None:
    (path / "cells" / CELL.id / "run_me.sh").write_text("echo")


def odd_name(path: Path, secret: Path) -> None:
    (path / "cells" / CELL.id).rename(path / "cells" / "not-a-cell")


def another_cell(path: Path, secret: Path) -> None:
    ResultsFolder(path).cell(CELL.id).write_record(record(cell="0" * 16))


def another_spec(path: Path, secret: Path) -> None:
    ResultsFolder(path).cell(CELL.id).write_cell(replace(CELL, seed=5))


@pytest.mark.parametrize(
    "spoil",
    [link_to_a_cell, link_to_a_file, link_beside, pipe, odd_file, odd_name, another_cell, another_spec],
)
def test_links_odd_names_and_cells_of_another_name_are_refused_and_named(tmp_path, spoil):
    mine, theirs = folder(tmp_path / "a"), folder(tmp_path / "b", record(elbo=-2.0))
    spoil(theirs.path, tmp_path / "secret")
    done = merge(mine, [theirs])
    assert len(done.skipped) == 1
    assert done.skipped[0].startswith(str(theirs.path))
    assert tree(mine.path) == {}


@pytest.mark.parametrize("inner", ["", OTHERS])
def test_nothing_is_written_through_a_link_in_the_folder_itself(tmp_path, inner):
    mine, theirs = folder(tmp_path / "a", record(elbo=-1.0)), folder(tmp_path / "b", record(EVENING, elbo=-2.0))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    place = mine.cell(CELL.id).path / inner
    if not inner:
        shutil.rmtree(place)
    place.symlink_to(elsewhere)
    done = merge(mine, [theirs])
    assert [line.partition(": ")[2] for line in done.skipped] == ["is a link, and a merge never writes through one"]
    assert tree(elsewhere) == {}


def test_wrong_folders_are_refused_by_name(tmp_path):
    mine, empty = folder(tmp_path / "a", record()), tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(StoreError, match="empty: no results folder"):
        merge(mine, [ResultsFolder(empty)])
    with pytest.raises(StoreError, match="is the folder that is merged into"):
        merge(mine, [ResultsFolder(tmp_path / "a")])
    (tmp_path / "link").symlink_to(empty)
    with pytest.raises(StoreError, match="is a link"):
        merge(ResultsFolder(tmp_path / "link"), [mine])


def test_an_interrupted_merge_leaves_no_record_beside_the_files_of_another(tmp_path, monkeypatch):
    mine, theirs = folder(tmp_path / "a", record(elbo=-1.0)), folder(tmp_path / "b", record(EVENING, elbo=-2.0))
    expected = copied(mine, tmp_path / "undisturbed")
    merge(expected, [theirs], newer=True)
    copy, left = shutil.copyfile, [0]

    def dying(*arguments, **keywords):
        if left[0] == 0:
            raise OSError("pulled the plug")
        left[0] -= 1
        return copy(*arguments, **keywords)

    for steps in range(4):
        trial = copied(mine, tmp_path / f"trial{steps}")
        left[0] = steps
        monkeypatch.setattr(shutil, "copyfile", dying)
        with pytest.raises(OSError, match="plug"):
            merge(trial, [theirs], newer=True)
        monkeypatch.setattr(shutil, "copyfile", copy)
        home = trial.cell(CELL.id)
        if (found := home.read_record()) is not None:
            assert home.model.read_bytes() == f"model of {found.training['finished']}".encode()
        merge(trial, [theirs], newer=True)
        assert tree(trial.path) == tree(expected.path)


def lock(results: ResultsFolder, name: str, seeds: int) -> None:
    write_json(results.suite(name).lock, {"suite": {"name": name, "seeds": seeds}})


def test_a_suite_comes_along_unless_there_is_another_of_its_name(tmp_path):
    mine, theirs = folder(tmp_path / "a"), folder(tmp_path / "b", record(elbo=-2.0))
    lock(theirs, "quick", 5)
    assert merge(mine, [theirs]).suites == ["quick"]
    assert read_json(mine.suite("quick").lock) == read_json(theirs.suite("quick").lock)
    lock(theirs, "quick", 6)
    done = merge(mine, [theirs])
    assert done.skipped == []
    assert done.conflicts[0].endswith("which stays; the cells of both are there")
    assert read_json(mine.suite("quick").lock)["suite"]["seeds"] == 5


def test_a_suite_with_an_odd_name_or_damaged_or_behind_a_link_is_refused(tmp_path):
    mine, theirs = folder(tmp_path / "a"), folder(tmp_path / "b", record(elbo=-2.0))
    lock(theirs, "bad name", 5)
    lock(theirs, "damaged", 5)
    theirs.suite("damaged").lock.write_text("{")
    lock(theirs, "good", 5)
    (theirs.path / "good").rename(tmp_path / "hidden")
    (theirs.path / "good").symlink_to(tmp_path / "hidden")
    done = merge(mine, [theirs])
    reasons = [line.partition(": ")[2] for line in done.skipped]
    assert (reasons[0], reasons[2]) == ("is no name of a suite", "is a link, and links are not followed")
    assert reasons[1].startswith("damaged")
    assert {path.name for path in mine.path.iterdir()} == {"cells"}


def test_the_command_merges_several_folders_and_says_what_it_did(tmp_path, call):
    mine, theirs = folder(tmp_path / "a", record(elbo=-1.0)), folder(tmp_path / "b", record(EVENING, elbo=-2.0))
    others = folder(tmp_path / "c", record(cell="0" * 16, elbo=-3.0))
    lock(others, "quick", 5)
    code, out, err = call("merge", mine.path, theirs.path, others.path)
    assert (code, err) == (0, "")
    assert out.splitlines()[1:] == [
        f"{mine.path}: 1 cell copied, 1 completed, 0 there already",
        f"next: vaebench report {mine.path / 'quick'}",
    ]
    assert "trained twice (elbo -1 and -2)" in out.splitlines()[0]
    code, out, _ = call("merge", mine.path, theirs.path, others.path, "--newer", "--json")
    assert (code, json.loads(out)["same"]) == (0, 1)
    assert mine.cell(CELL.id).read_record().metrics[0].value == -2.0


def test_the_command_ends_with_3_where_something_was_refused_and_with_2_on_wrong_input(tmp_path, call):
    mine, theirs = folder(tmp_path / "a"), folder(tmp_path / "b", record(elbo=-2.0))
    theirs.cell(CELL.id).result.write_text("{")
    code, out, _ = call("merge", mine.path, theirs.path)
    assert code == 3
    assert out.startswith(f"skipped: {theirs.cell(CELL.id).result}: damaged")
    code, out, err = call("merge", mine.path, tmp_path / "nowhere")
    assert (code, out, err) == (2, "", f"{tmp_path / 'nowhere'}: no results folder (it has no folder cells)\n")
