"""A folder in which no file can be written."""

from pathlib import Path

import pytest

from vaebench.store.files import Unwritable, check_folder


def test_a_file_where_a_folder_is_named_is_told_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    for path in (tmp_path / "taken", tmp_path / "taken" / "runs"):
        with pytest.raises(Unwritable, match=r"taken is a file; name a folder with --results$"):
            check_folder(path, "--results")
    check_folder(tmp_path / "not" / "there" / "yet", "--results")
    assert not (tmp_path / "not").exists()


def test_a_folder_that_may_not_be_written_is_told_with_what_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    with pytest.raises(Unwritable, match=r"runs: cannot be written \(.*\); .* name another folder with --to$"):
        check_folder(tmp_path / "runs", "--to")
