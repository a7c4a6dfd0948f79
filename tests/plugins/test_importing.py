"""Whatever a plugin's module does when it is imported, its user reads one line with file and line."""

import sys
import textwrap
import threading
from pathlib import Path

import pytest

from tests.plugins.writing import LIGHT, load, marked_line, write
from vaebench.catalog.catalog import load_catalog, packaged_catalog
from vaebench.plugins import importing
from vaebench.plugins.loading import load_plugins
from vaebench.plugins.plugin import PluginError

FAULTS = {
    "SyntaxError": ("import vaebench\nclass (:  # here\n", "SyntaxError: invalid syntax"),
    "IndentationError": ("import vaebench\n  x = 1  # here\n", "IndentationError: unexpected indent"),
    "ImportError": ("import no_such_thing  # here\n", "ModuleNotFoundError: No module named 'no_such_thing'"),
    "an error": ("x = 1 / 0  # here\n", "ZeroDivisionError: division by zero"),
    "an error of two lines": ('raise ValueError("one\\ntwo")  # here\n', "ValueError: one two"),
    "exit()": ("import sys\nsys.exit(3)  # here\n", "SystemExit: 3"),
    "an error below all": ("class Odd(BaseException): pass\nraise Odd  # here\n", "raised Odd"),
    "an error in a library": ("import json\njson.loads('{')  # here\n", "JSONDecodeError: Expecting property name"),
    "recursion": ("def f(): f()  # here\nf()\n", "RecursionError: maximum recursion depth exceeded"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_module_that_fails_is_one_line_with_its_place(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text, expected = FAULTS[fault]
    write(tmp_path, text)
    with pytest.raises(PluginError) as error:
        load_plugins("mine.py")
    said = str(error.value)
    assert said.startswith(f"mine.py:{marked_line(text)}: importing mine.py raised ")
    assert expected in said
    assert "\n" not in said
    assert load_catalog() is packaged_catalog()
    assert not [name for name in sys.modules if name.startswith("vaebench_plugin_mine")]


HANGS = {
    "a loop": "while True: pass  # here\n",
    "a sleep": "import time\ntime.sleep(1000)  # here\n",
    "a lock": "import threading\nthreading.Event().wait()  # here\n",
    "a loop that catches everything": """\
        while True:
            try:
                while True: pass  # here
            except Exception:
                pass
        """,
}


@pytest.mark.parametrize("hang", HANGS)
def test_a_module_that_never_ends_is_ended_at_its_line(
    tmp_path: Path, hang: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importing, "IMPORT_SECONDS", 0.3)
    text = textwrap.dedent(HANGS[hang])
    write(tmp_path, text)
    with pytest.raises(PluginError) as error:
        load_plugins("mine.py")
    assert str(error.value) == f"mine.py:{marked_line(text)}: importing mine.py takes longer than 0.3 s"


def test_no_alarm_rings_after_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    monkeypatch.setattr(importing, "IMPORT_SECONDS", 0.3)
    load(tmp_path, LIGHT)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_thread_may_load_a_plugin_too(tmp_path: Path) -> None:
    path = write(tmp_path, LIGHT)
    thread = threading.Thread(target=load_plugins, args=(path,))
    thread.start()
    thread.join()
    assert "light" in load_catalog().parts["likelihood"]


def test_what_a_module_prints_is_no_output_of_vaebench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(tmp_path, f'print("hello")\n{LIGHT}')
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\n")


def test_a_module_that_runs_a_suite_with_itself_is_told_where_that_belongs(tmp_path: Path) -> None:
    text = f"{LIGHT}\nfrom vaebench.plugins.loading import load_plugins\nload_plugins(__file__)\n"
    with pytest.raises(PluginError, match=r'loads itself; keep what runs suites below `if __name__ == "__main__":`'):
        load(tmp_path, text)


def test_a_file_that_is_not_there_has_a_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, LIGHT, "my_laplace.py")
    for reference, expected in {
        "my_laplce.py": "my_laplce.py: no such file; did you mean 'my_laplace.py'?",
        "other/x.py": "other/x.py: no such file",
        ".": "no module '.'",
        "./": "./: is a folder; give the .py file in it",
        "my_laplace": "my_laplace: no module 'my_laplace'; did you mean 'my_laplace.py'?",
        "./suite.yaml": "./suite.yaml: no such file",
    }.items():
        with pytest.raises(PluginError) as error:
            load_plugins(reference)
        assert expected in str(error.value)


def test_a_module_that_declares_nothing_is_told_how(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"declares nothing; decorate what it brings, as in @vaebench.likelihood"):
        load(tmp_path, "x = 1\n")


def test_files_that_are_no_python_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_bytes(b"\x00\x01")
    with pytest.raises(PluginError, match=r"SyntaxError|ValueError"):
        load_plugins(tmp_path / "mine.py")
    (tmp_path / "mine.py").write_bytes(b"# \xff\xfe\nimport vaebench\n")
    with pytest.raises(PluginError, match=r"SyntaxError|UnicodeDecodeError"):
        load_plugins(tmp_path / "mine.py")
