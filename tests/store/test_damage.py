"""What becomes of a record when its file is not what was written."""

import json
import os
import random
import shutil

import pytest

from vaebench.store.files import SCHEMA, Damaged, StoreError, read_json, write_json
from vaebench.store.folders import CellFolder, ResultsFolder
from vaebench.store.record import Failure, MetricValue, Record

VALUE = MetricValue("elbo", "elbo", {"samples": 8, "split": "test", "seed": 0}, "done", -23.0849, 0.0123)
RECORD = Record("0123456789abcdef", "done", {"models": "m"}, [VALUE], training={"seconds": 4.5}, environment={"é": "ü"})


@pytest.fixture
def folder(tmp_path):
    kept = CellFolder(tmp_path / RECORD.cell)
    kept.write_record(RECORD)
    return kept


def test_a_record_reads_as_it_was_written(folder):
    assert folder.read_record() == RECORD


def test_no_flipped_bit_goes_unnoticed(folder):
    """Either the file still says the same (white space), or it reads as damaged; never as another number."""
    written = folder.result.read_bytes()
    chance = random.Random(0)
    noticed = 0
    for _ in range(500):
        content = bytearray(written)
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        folder.result.write_bytes(content)
        try:
            record = folder.read_record()
        except StoreError as refused:
            if "is newer than" in str(refused):  # a bit of the schema's number
                continue
            raise
        if record != RECORD:
            assert record.status == "failed"
            assert record.failure.kind == "damaged"
            assert record.fingerprints == {}
            assert record.metrics == []
            noticed += 1
    assert noticed > 400


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_record_is_damaged_and_says_which_file(folder, share):
    written = folder.result.read_bytes()
    folder.result.write_bytes(written[: int(share * (len(written) - 2))])
    failure = folder.read_record().failure
    assert failure == Failure("damaged", failure.message)
    assert str(folder.result) in failure.message


@pytest.mark.parametrize("content", [{}, {"cell": 3}, {"metrics": 7, "cell": "", "status": "", "fingerprints": {}}])
def test_json_that_is_no_record_is_damaged(folder, content):
    write_json(folder.result, content)
    assert folder.read_record().failure.kind == "damaged"


def test_a_newer_schema_is_refused_and_left_alone(folder):
    folder.result.write_text(json.dumps({"schema": SCHEMA + 1}))
    with pytest.raises(StoreError, match="newer than this vaebench reads"):
        folder.read_record()


def test_files_of_before_there_were_checksums_are_read(tmp_path):
    path = tmp_path / "old.json"
    path.write_text('{"schema": 1, "cell": "a"}')
    assert read_json(path) == {"schema": 1, "cell": "a"}
    path.write_text('{"schema": 1, "checksum": "0", "cell": "a"}')
    with pytest.raises(Damaged, match="checksum"):
        read_json(path)


def test_a_record_of_another_cell_counts_as_damaged(tmp_path):
    """Somebody has swapped two folders, or copied one over the other."""
    results = ResultsFolder(tmp_path)
    for cell in ("a" * 16, "b" * 16):
        results.cell(cell).path.mkdir(parents=True)
        results.cell(cell).write_record(Record(cell, "done", {}))
    shutil.copy(results.cell("a" * 16).result, results.cell("b" * 16).result)
    assert results.cell("a" * 16).read_record().status == "done"
    found = results.cell("b" * 16).read_record()
    assert (found.cell, found.status, found.failure.kind) == ("b" * 16, "failed", "damaged")
    assert "of another cell, 'aaaaaaaaaaaaaaaa'" in found.failure.message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_in_place_of_a_record_is_damaged_and_nobody_waits_for_it(tmp_path):
    folder = ResultsFolder(tmp_path).cell("a" * 16)
    folder.path.mkdir(parents=True)
    os.mkfifo(folder.result)
    assert "no plain file" in folder.read_record().failure.message
