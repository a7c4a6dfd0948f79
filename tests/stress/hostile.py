"""Inputs that somebody has made to do harm, and what every verb owes its user about them.

A trial feeds one input to the command line in this process, in a folder of its own: it must come to one of the exit
codes that are documented, say so in plain lines, write nothing outside the results folder, and run nothing.
"""

import contextlib
import copy
import csv
import gzip
import io
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import safetensors.torch
import torch
from hypothesis import strategies as st

from tests.reporting.fabrication import fabricate
from tests.reporting.stand_ins import Reader
from vaebench import cli
from vaebench.data.mnist import FILES, VALIDATION, IdxFile, folder
from vaebench.engines import planning
from vaebench.engines.planning import Plan
from vaebench.engines.progress import Progress, ProgressFiles
from vaebench.store.files import write_json
from vaebench.store.folders import ResultsFolder
from vaebench.suite.loading import load_suite_mapping

SECONDS = 60
"""After so long a verb is taken to hang."""
CODES = {0, 2, 3, 4, 5}
"""Of everything that is no mistake of vaebench's own."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")

SUITE: dict[str, Any] = {
    "suite": "tame",
    "description": "What a careful person writes.",
    "datasets": ["digits/binary"],
    "seeds": 2,
    "defaults": {"latent": 2},
    "variants": ["vae", {"extends": "beta-vae", "objective": {"beta": [0.5, 4]}}],
    "metrics": ["elbo", "log_likelihood", "kl", "active_units"],
    "rank_by": {"binary": "log_likelihood"},
    "contrasts": [{"question": "What does β cost?", "theory": "vae", "practice": "beta-vae[beta=4]"}],
}

CANARY = "canary"
CALL = f"__import__('pathlib').Path('{CANARY}').touch()"
WORDS = [
    *("=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", '=HYPERLINK("http://example.org","x")', "-2+3+cmd|' /C calc'!A0"),
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</td></tr></table>", "<svg/onload=alert(1)>"),
    *("[x](javascript:alert(1))", "![x](http://example.org/x.png)", "<http://example.org>", "# x", "```", "|", "a|b"),
    *("{{ 7 * 7 }}", "{% for x in [] %}", "{0.__class__}", "%s%s%n", "${HOME}", "%(x)s", "\\input{x}", "$x^2$"),
    *("../../outside", "/outside", "..", ".", "a/b", "a\\b", "C:\\x", "con", "cells", ".leases", "~", "x\x00y"),
    *("\x1b[31mred", "\x07", "\u202egnp", "\u2028", "\ufeff", "\ud800", "é" * 50, "A" * 3000, "", " ", "\n", "a\nb"),
    *("nan", "inf", "NA", "1e5", "true", "null", "0x10", "1_000"),
    *(f"`touch {CANARY}`", f"$(touch {CANARY})", CALL, f"!!python/object/apply:os.system ['touch {CANARY}']"),
]
NUMBERS = [0, -1, 1, 2**31, 2**63, 10**30, -(10**30), 1e308, 1e-320, 0.1, float("nan"), float("inf"), -float("inf")]


def words() -> st.SearchStrategy[str]:
    return st.sampled_from(WORDS) | st.text(max_size=20)


def values() -> st.SearchStrategy[Any]:
    """Whatever YAML or JSON can hold."""
    leaves = words() | st.sampled_from([*NUMBERS, None, True, False]) | st.integers(-3, 30) | st.floats()
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words(), inner, max_size=4))


@dataclass(frozen=True)
class Ended:
    """How a verb came to its end."""

    code: int
    output: str


@dataclass
class Place:
    """A folder of its own for one trial, with things in it that nobody may touch."""

    path: Path
    before: dict[str, bytes] = field(default_factory=dict)

    @property
    def results(self) -> ResultsFolder:
        return ResultsFolder(self.path / "runs")

    def files(self) -> dict[str, bytes]:
        """Everything outside the results folder, but what Python compiles for itself."""
        inside = self.results.path
        return {
            str(path.relative_to(self.path)): path.read_bytes()
            for path in self.path.rglob("*")
            if path.is_file() and not path.is_relative_to(inside) and path.parent.name != "__pycache__"
        }

    def run(self, *words: str, may_write: Sequence[str] = ()) -> Ended:
        """A verb of the command line, here."""
        self.before = self.files()
        ended = _command(words)
        now = {name: content for name, content in self.files().items() if name not in may_write}
        assert now == {name: content for name, content in self.before.items() if name not in may_write}, words
        assert ended.code in CODES, (words, ended)
        assert "internal error" not in ended.output, (words, ended)
        assert "Traceback" not in ended.output, (words, ended)
        assert not [sign for sign in ended.output if ord(sign) < 32 and sign not in "\n\t"], (words, ended.output)
        assert ended.code == 0 or ended.output.strip(), words
        return ended


def _command(words: Sequence[str]) -> Ended:
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    code = 0
    with (
        patch.object(sys, "argv", ["vaebench", *words]),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
        _time_limit(words),
    ):
        try:
            cli.main()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 0
    return Ended(code, output.buffer.getvalue().decode())


class Hangs(BaseException):
    """A verb that does not come to an end."""


@contextlib.contextmanager
def _time_limit(words: Sequence[str]) -> Iterator[None]:
    def on_alarm(*_: object) -> None:
        raise Hangs(f"{' '.join(words)}: more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def place() -> Iterator[Place]:
    """An empty one, which is the working directory meanwhile."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        found = Place(Path(name) / "inside")
        found.path.mkdir()
        (Path(name) / "outside").write_text("not yours")
        os.chdir(found.path)
        try:
            with patch.dict(os.environ, {"XDG_CACHE_HOME": str(Path(name) / "cache")}):
                yield found
            assert (Path(name) / "outside").read_text() == "not yours"
            assert {path.name for path in Path(name).iterdir()} <= {"inside", "outside", "cache"}
            assert not list(Path(name).rglob(CANARY)), "something was run"
        finally:
            os.chdir(before)


def suites() -> st.SearchStrategy[bytes]:
    """Suite files: good ones with bad values in places, bad YAML, and YAML made to swell."""
    return st.one_of(
        _changed(SUITE).map(lambda content: json.dumps(content).encode()),
        _changed(SUITE).map(lambda content: json.dumps(content, ensure_ascii=False).encode(errors="surrogatepass")),
        st.builds(_spoiled, st.just(_yaml()), st.integers(0, 10_000), st.binary(max_size=6)),
        st.binary(max_size=200),
        st.sampled_from(_SWELLING),
    )


def _changed(content: Any) -> st.SearchStrategy[Any]:
    """`content` with some of its values, or keys, exchanged for anything."""
    change = st.tuples(st.integers(0, 10_000), values(), st.integers(0, 3))
    return st.lists(change, min_size=1, max_size=3).map(lambda changes: _with(content, changes))


def _with(content: Any, changes: Sequence[tuple[int, Any, int]]) -> Any:
    """A way is to exchange the value, to wrap it, to add a key beside it, or to take it away."""
    made = copy.deepcopy(content)
    for position, value, way in changes:
        places = list(_places(made))
        holder, key = places[position % len(places)]
        if way == 0:
            holder[key] = value
        elif way == 1:
            holder[key] = [holder[key], value]
        elif way == 2 and isinstance(holder, dict):
            holder[value if isinstance(value, str) else str(key)] = copy.deepcopy(holder[key])
        elif len(places) > 1:
            del holder[key]
    return made


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    entries = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in list(entries):
        yield content, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _spoiled(content: bytes, position: int, instead: bytes) -> bytes:
    """Some bytes of a file exchanged, or its end cut off."""
    position %= len(content) + 1
    return content[:position] + instead + content[position + len(instead) :] if instead else content[:position]


def _yaml() -> bytes:
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in SUITE.items()]
    return "\n".join(lines).encode() + b"\n"


def _grown(**changes: Any) -> bytes:
    return json.dumps({**SUITE, **changes}).encode()


_SWELLING = [
    b"[" * 5_000,
    b"a: " * 3_000,
    b"{a: " * 500 + b"1" + b"}" * 500,
    b"a: &a [x, x, x, x, x, x, x, x, x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(ord("b"), ord("k"))),
    b"a: &a [*a]\n",
    b"x" * 2_000_000,
    b"? " * 2_000,
    b"- " * 2_000,
    b"!!python/object/apply:os.system ['touch canary']\n",
    b"%TAG ! tag:example.org,2000:\n---\na: !x 1\n",
    _grown(seeds=10**9),
    _grown(seeds=list(range(20_000))),
    _grown(variants=["vae"] * 3_000),
    _grown(variants=[{"extends": "beta-vae", "objective": {"beta": [i / 7 for i in range(3_000)]}}]),
    _grown(
        variants=[
            {
                "extends": "beta-vae",
                "latent": list(range(1, 60)),
                "network": {"hidden": [[i] for i in range(1, 60)]},
                "objective": {"beta": [i / 7 for i in range(60)]},
            }
        ]
    ),
    _grown(contrasts=SUITE["contrasts"] * 900),
    _grown(description="x" * 500_000),
    _grown(variants=[{"extends": "vae", "name": f"n{i}"} for i in range(500)]),
]


def try_suite(content: bytes) -> None:
    """A suite file for check and plan."""
    with place() as here:
        (here.path / "suite.yaml").write_bytes(content)
        checked = here.run("check", "suite.yaml")
        planned = here.run("plan", "suite.yaml", "--results", "runs")
        assert not here.results.path.exists(), "plan touches nothing"
        assert (checked.code == 0) == (planned.code in (0, 5)), (checked, planned)


TABLES = ("leaderboard", "runs", "contrasts")


def tables() -> st.SearchStrategy[tuple[str, list[tuple[int, int, str]], bytes]]:
    """A table of a suite, the cells to be exchanged in it, and bytes to be put in its middle."""
    cell = st.tuples(st.integers(0, 40), st.integers(0, 40), words() | st.sampled_from([str(n) for n in NUMBERS]))
    cells = st.lists(cell, max_size=4)
    return st.tuples(st.sampled_from(TABLES), cells, st.binary(max_size=6) | st.just(b""))


def try_table(given: tuple[str, list[tuple[int, int, str]], bytes]) -> None:
    """A table that somebody sends, for compare, gate and export."""
    name, cells, spoil = given
    with place() as here:
        kept = _finished(here)
        sent = here.path / "sent"
        shutil.copytree(kept, sent)
        path = sent / f"{name}.csv"
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
        for row, column, text in cells:
            line = rows[row % len(rows)]
            line[column % len(line)] = text
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        content = text.getvalue().encode(errors="surrogatepass")
        path.write_bytes(_spoiled(content, len(content) // 2, spoil) if spoil else content)
        here.run("compare", "sent", str(kept))
        here.run("compare", str(kept), "sent", "--json")
        here.run("gate", str(kept), "--baseline", "sent/leaderboard.csv")
        for ending in ("csv", "md", "tex", "json"):
            target = f"exported.{ending}"
            ended = here.run("export", "sent", "--table", name, "--to", target, may_write=[target])
            if ended.code == 0:
                _look_at_export(here.path / target)


def _look_at_export(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".csv":
        for row in csv.reader(io.StringIO(text)):
            for cell in row:
                assert not cell.startswith(FORMULA) or _is_number(cell), cell
    if path.suffix == ".md":
        assert_is_tame_markdown(text)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def assert_is_tame_markdown(text: str) -> None:
    """No HTML, no link and no picture that vaebench has not put there, outside of code."""
    prose = re.sub(r"(?s)^```.*?^```", "", text, flags=re.MULTILINE)
    prose = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", prose)
    plain = re.sub(r"\\.", "", prose)
    assert not re.search(r"<\s*/?\s*(script|img|svg|td|tr|table|a|iframe)\b", plain, re.IGNORECASE), plain
    links = re.findall(r"\[[^\[\]]*\]\(([^)]*)\)", plain)
    assert not [link for link in links if link.startswith(("javascript:", "http://example"))], plain


def records() -> st.SearchStrategy[tuple[str, list[tuple[int, Any, int]], bool]]:
    """A JSON file of a results folder, what is changed in it, and whether its checksum is made good."""
    which = st.sampled_from(("result.json", "spec.json", "suite.lock.json", "plan.json", "progress/*.json"))
    changes = st.lists(st.tuples(st.integers(0, 10_000), values(), st.integers(0, 3)), min_size=1, max_size=3)
    return st.tuples(which, changes, st.sampled_from([True, True, True, False]))


def try_record(given: tuple[str, list[tuple[int, Any, int]], bool]) -> None:
    """A record, plan or lock file that somebody sends, for every verb that reads results."""
    name, changes, is_sound = given
    with place() as here:
        kept = _finished(here)
        shutil.copytree(kept, here.path / "kept")
        victim = sorted(here.results.path.rglob(name))[0]
        content = json.loads(victim.read_text(encoding="utf-8"))
        changed = _with(content, changes)
        _write(victim, changed, is_sound and isinstance(changed, dict))
        for words in (
            ("status", str(kept)),
            ("status", str(kept), "--json"),
            ("compare", str(kept), str(kept)),
            ("gate", str(kept), "--baseline", "kept"),
            ("plan", "suite.yaml", "--results", "runs"),
        ):
            here.run(*words)
        merged = here.path / "runs" / "merged"
        here.run("merge", str(merged), "runs")
        with _without_pictures():
            ended = here.run("report", str(kept))
        if ended.code == 0:
            _look_at_report(kept)


def _write(path: Path, content: Any, is_sound: bool) -> None:
    with contextlib.suppress(ValueError, TypeError):
        if is_sound:
            write_json(path, {key: value for key, value in content.items() if key != "checksum"})
            return
    path.write_text(json.dumps(content), encoding="utf-8")


def _look_at_report(suite: Path) -> None:
    page = Reader((suite / "report.html").read_text(encoding="utf-8"))
    own = [tag for tag, _ in page.elements if tag in ("script", "iframe", "object", "embed", "form", "base")]
    assert set(own) <= {"script"}, own
    assert len(own) <= 1, own
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        links = [attributes.get(name, "") for name in ("href", "src")]
        assert not [link for link in links if link.lower().startswith(("javascript:", "http://example"))], attributes
    assert_is_tame_markdown((suite / "report.md").read_text(encoding="utf-8"))
    for table in TABLES:
        _look_at_export(suite / f"{table}.csv")


@contextlib.contextmanager
def _without_pictures() -> Iterator[None]:
    """Drawing takes seconds, and pictures hold names that are slugs and numbers."""
    with patch("vaebench.reporting.write.figures", lambda *_: []):
        yield


_TEMPLATE: list[tuple[tempfile.TemporaryDirectory[str], Path]] = []


def _finished(here: Place) -> Path:
    """A suite with fabricated records, reported once; the suite's folder."""
    if not _TEMPLATE:
        kept = tempfile.TemporaryDirectory()
        results = ResultsFolder(Path(kept.name) / "runs")
        suite = load_suite_mapping(SUITE)
        fabricate(suite, results)
        made = planning.plan(suite, results)
        for planned in made.cells:
            results.cell(planned.cell.id).write_cell(planned.cell)
        _write_progress(made, results)
        fleets = [{"fleet": path.stem} for path in results.suite(suite.name).progress("x").parent.glob("*.json")]
        write_json(results.suite(suite.name).plan, {**made.to_json(), "fleets": fleets, "keep_stale": True})
        lock = {"suite": suite.to_json(), "source": "suite.yaml", "versions": {"torch": "2"}, "device": "cpu"}
        write_json(results.suite(suite.name).lock, {**lock, "python": "3", "git": None, "data": {}})
        with _without_pictures():
            assert _command(("report", str(results.suite(suite.name).path))).code == 0
        _TEMPLATE.append((kept, results.path))
    shutil.copytree(_TEMPLATE[0][1], here.results.path)
    (here.path / "suite.yaml").write_bytes(_yaml())
    return here.results.suite("tame").path


def _write_progress(made: Plan, results: ResultsFolder) -> None:
    """As a running driver leaves it."""
    fresh = planning.plan(made.suite, ResultsFolder(results.path / "nowhere"))
    progress = Progress(fresh)
    files = ProgressFiles(results.suite(made.suite.name), progress)
    for job in fresh.jobs:
        progress.apply({"event": "start", "fleet": job.fleet})
    files.update({"event": "tick"})


def models() -> st.SearchStrategy[tuple[int, bytes, bool]]:
    """Where a file of parameters is changed, into what, and whether it is a pickle instead."""
    return st.tuples(st.integers(0, 3_000), st.binary(max_size=8), st.booleans())


FACTORY = """
import torch
from torch.distributions import Bernoulli, Independent, Normal

class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.mean, self.logits = torch.nn.Linear(64, 2), torch.nn.Linear(2, 64)
    def prior(self):
        return Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    def posterior(self, x):
        return Independent(Normal(self.mean(x), torch.ones(2)), 1)
    def likelihood(self, z):
        return Independent(Bernoulli(logits=self.logits(z)), 1)
"""


class Bomb:
    """What a pickle runs when it is read."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return (os.mkdir, (CANARY,))


def try_model(given: tuple[int, bytes, bool]) -> None:
    """A file of parameters that somebody sends, for evaluate."""
    position, instead, is_pickle = given
    with place() as here:
        (here.path / "tiny_model.py").write_text(FACTORY)
        state = {
            "mean.weight": torch.zeros(2, 64),
            "mean.bias": torch.zeros(2),
            "logits.weight": torch.zeros(64, 2),
            "logits.bias": torch.zeros(64),
        }
        path = here.path / "state.safetensors"
        if is_pickle:
            torch.save({**state, "bomb": Bomb()}, path)
        content = path.read_bytes() if is_pickle else safetensors.torch.save(state)
        path.write_bytes(_spoiled(content, position % 400, instead))
        words = ("--state", str(path), "--dataset", "digits/binary", "--metrics", "kl", "--device", "cpu")
        ended = here.run("evaluate", "tiny_model.py:Tiny", *words)
        assert not is_pickle or ended.code == 2, ended


SMALL = FILES["mnist"].__class__(
    "MNIST",
    IdxFile("train-images-idx3-ubyte", (VALIDATION + 8, 28, 28)),
    IdxFile("train-labels-idx1-ubyte", (VALIDATION + 8,)),
    IdxFile("t10k-images-idx3-ubyte", (8, 28, 28)),
    IdxFile("t10k-labels-idx1-ubyte", (8,)),
)


def archives() -> st.SearchStrategy[tuple[int, str, int, bytes]]:
    """Which file of a data set is bad, in which way, where, and what stands there."""
    ways = st.sampled_from(("cut", "changed", "bomb", "long", "name", "nothing", "folder", "fifo"))
    return st.tuples(st.integers(0, 3), ways, st.integers(0, 10**6), st.binary(min_size=1, max_size=8))


def try_archive(given: tuple[int, str, int, bytes]) -> None:
    """Files of a data set that somebody sends, for data verify; what is unpacked is never much more than expected."""
    number, way, position, instead = given
    with place() as here, patch.dict(FILES, {"mnist": SMALL}):
        raw = folder("mnist", here.path / "data")
        raw.mkdir(parents=True)
        for file in SMALL:
            (raw / file.name).write_bytes(file.header + bytes(file.size - len(file.header)))
        victim = list(SMALL)[number]
        path, packed = raw / victim.name, raw / f"{victim.name}.gz"
        content = path.read_bytes()
        path.unlink()
        _spoil_archive(way, path, packed, content, position, instead)
        here.run("data", "verify", "mnist", "--data-root", "data")


def _spoil_archive(way: str, path: Path, packed: Path, content: bytes, position: int, instead: bytes) -> None:
    if way == "folder":
        path.mkdir()
    elif way == "fifo":
        os.mkfifo(path)
    elif way == "bomb":
        packed.write_bytes(_bomb())
    elif way == "long":
        path.write_bytes(content + instead)
    elif way == "cut":
        packed.write_bytes(gzip.compress(content, 1)[: position % 2_000])
    elif way == "changed":
        packed.write_bytes(_spoiled(gzip.compress(content, 1), position, instead))
    elif way == "name":
        with gzip.GzipFile(f"../../../{CANARY}", "wb", fileobj=packed.open("wb"), compresslevel=1) as stream:
            stream.write(content)


def _bomb() -> bytes:
    """Four gigabytes of zeros in a few kilobytes: gzip members one after another."""
    return gzip.compress(bytes(1 << 20)) * 4096


TRIALS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], None]]] = {
    "suite files": (suites(), try_suite),
    "leaderboards, runs and contrasts": (tables(), try_table),
    "records, plans and lock files": (records(), try_record),
    "files of parameters": (models(), try_model),
    "data archives": (archives(), try_archive),
}
"""What is tried → inputs, and what is done with one."""
