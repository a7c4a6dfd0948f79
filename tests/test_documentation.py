"""The documentation says what is: links lead somewhere, commands parse, code runs, names exist, pages are fresh.

tests/plugins/test_tutorial.py runs docs/plugins.md, tests/adapters/test_documentation.py docs/foreign_models.md.
"""

import ast
import csv
import functools
import importlib.util
import itertools
import math
import re
import shlex
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from ruamel.yaml import YAML

import vaebench
from vaebench import cli, cli_reference
from vaebench.catalog.catalog import load_catalog
from vaebench.suite.loading import load_suite, shipped

ROOT = Path(__file__).resolve().parents[1]
FRONT = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/README.md")]
PAGES = sorted([*FRONT, *(ROOT / "docs").rglob("*.md")])
GENERATED = {"cli.md", "variants.md", "metrics.md", "csv.md"}
ELSEWHERE = {"plugins.md", "foreign_models.md"}
"""Whose code and suites other tests run."""
PLACEHOLDER = re.compile(r"…|\bVERB\b")


class Block(NamedTuple):
    page: Path
    line: int
    language: str
    name: str
    """Of the file that a block is, where it says so."""
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@functools.cache
def blocks() -> list[Block]:
    """Every fenced block of every page."""
    fence = re.compile(r"^```(\w*)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [
        Block(page, text.count("\n", 0, found.start()) + 2, found[1], found[2] or "", found[3])
        for page in PAGES
        for text in [page.read_text(encoding="utf-8")]
        for found in fence.finditer(text)
    ]


def prose(page: Path) -> str:
    """A page without its fenced blocks, their lines left empty."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```$", lambda found: "\n" * found[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Of every heading, as GitHub makes them: letters, digits, hyphens and underscores; spaces become hyphens."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
        found.append(slug if slug not in found else f"{slug}-{found.count(slug)}")
    return set(found)


def links(text: str) -> Iterator[tuple[int, str]]:
    """Line and target of every link that leads into the repository."""
    for found in re.finditer(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)", text):
        target = found[1] or found[2]
        if "://" not in target:
            yield text.count("\n", 0, found.start()) + 1, target


def broken(page: Path, text: str) -> list[str]:
    found = []
    for line, target in links(text):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            found.append(f"{page.relative_to(ROOT)}:{line}: {target}: there is no such file")
        elif anchor and anchor not in anchors(file):
            found.append(f"{page.relative_to(ROOT)}:{line}: {target}: there is no such heading")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page):
    assert broken(page, prose(page)) == []


def test_a_link_that_leads_nowhere_is_found_with_its_line():
    page = ROOT / "docs" / "index.md"
    text = "\n[a](tutorial.md#install) [b](tutorial.md#instal)\n[c](nowhere.md) [d](https://example.org/x.md)"
    assert [said.split(": ")[0] for said in broken(page, text)] == ["docs/index.md:2", "docs/index.md:3"]


def commands() -> Iterator[tuple[str, str]]:
    """Where, and what is typed: every line of a block that calls vaebench, its comment cut off."""
    for block in blocks():
        for number, line in enumerate(block.text.splitlines()):
            for part in line.removeprefix("$ ").split(" && "):
                if part.startswith("vaebench ") and block.language in ("", "console", "sh", "bash"):
                    yield f"{block.page.relative_to(ROOT)}:{block.line + number}", part


def parse(arguments: list[str]) -> None:
    """Let the real parser read a command, and run nothing."""
    command = typer.main.get_command(cli.app)
    context = command.make_context("vaebench", arguments, resilient_parsing=arguments == ["--version"])
    while hasattr(command, "resolve_command") and (rest := [*getattr(context, "_protected_args", ()), *context.args]):
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


@pytest.mark.parametrize(("place", "command"), list(commands()), ids=lambda text: text[:60])
def test_every_command_in_a_block_is_read_by_the_parser(place, command):
    parse(shlex.split(command, comments=True)[1:])


@pytest.mark.parametrize(
    "wrong", ["vaebench rum quickstart", "vaebench run quickstart --device", "vaebench plan", "vaebench run a --sed 3"]
)
def test_the_parser_refuses_what_is_no_command(wrong):
    with pytest.raises(Exception, match=r"(?i)no such|missing|requires an argument"):
        parse(shlex.split(wrong)[1:])


def test_verbs_and_options_named_in_the_text_exist():
    known = dict(cli_reference.verbs(cli.app))
    found = []
    for page in PAGES:
        for command in re.findall(r"`vaebench ([^`]+)`", prose(page)):
            words = command.split()
            verb = " ".join(words[:2]) if words[0] == "data" else words[0]
            if words[0].startswith("-") or PLACEHOLDER.search(verb):
                continue
            if verb not in known:
                found.append(f"{page.name}: vaebench {command}")
                continue
            options = {one.shown.split()[0] for one in cli_reference.parameters(known[verb]) if not one.is_argument}
            wrong = {word for word in words if word.startswith("--")} - options - {"--help"}
            found += [f"{page.name}: vaebench {command}: {word}" for word in sorted(wrong)]
    assert found == []


def test_the_page_of_the_command_line_is_not_stale():
    committed = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert committed == cli_reference.page(), "run python -m vaebench.cli_reference again"


@pytest.mark.parametrize("block", [one for one in blocks() if one.language == "python"], ids=lambda one: one.place)
def test_every_python_block_compiles(block):
    compile(block.text, block.place, "exec")


@pytest.mark.parametrize(
    "block", [one for one in blocks() if one.language in ("yaml", "yml")], ids=lambda one: one.place
)
def test_every_yaml_block_is_yaml_and_every_suite_is_sound(block, tmp_path):
    content = YAML(typ="safe").load(block.text)
    if isinstance(content, dict) and "suite" in content and block.page.name not in ELSEWHERE:
        file = tmp_path / f"{content['suite']}.yaml"
        file.write_text(block.text, encoding="utf-8")
        assert load_suite(file).name == content["suite"]


def test_the_example_workflow_is_the_one_on_the_page_of_gates():
    file = (ROOT / "docs" / "workflow.yml").read_text(encoding="utf-8")
    (block,) = [one for one in blocks() if one.page.name == "gates.md" and one.language == "yaml"]
    assert file.partition("\n")[2] == block.text
    steps = YAML(typ="safe").load(file)["jobs"]["gate"]["steps"]
    typed = [step["run"] for step in steps if step.get("run", "").startswith("vaebench ")]
    assert len(typed) == 2
    for command in typed:
        parse(shlex.split(command)[1:])


@functools.cache
def defined(path: Path) -> set[str]:
    """Functions, classes and what is in them, as `name`, `Class::name` and `Class.name`."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            inner = [one.name for one in node.body if isinstance(one, ast.FunctionDef)]
            names |= {f"{node.name}{between}{one}" for one in inner for between in ("::", ".")}
    return names


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in GENERATED], ids=lambda page: page.name)
def test_every_path_and_module_named_exists(page):
    text = page.read_text(encoding="utf-8")
    found = []
    for path, name in re.findall(r"`((?:vaebench|tests|suites|docs|report_templates)/[\w./-]+)(?:::([\w:.]+))?`", text):
        if not (ROOT / path).exists():
            found.append(path)
        elif name and name not in defined(ROOT / path):
            found.append(f"{path}::{name}")
    for module in re.findall(r"python -m ((?:vaebench|tests)[\w.]*)", text):
        if importlib.util.find_spec(module) is None:
            found.append(module)
    assert found == []


def test_every_contrast_that_the_theory_names_is_asked_by_its_suite():
    asked = {name: {one.question for one in load_suite(path).contrasts} for name, path in shipped().items()}
    named = []
    for page in sorted((ROOT / "docs" / "theory").glob("*.md")):
        for cell in itertools.chain.from_iterable(line.split("|") for line in prose(page).splitlines()):
            parts = re.split(r"`(\w+)`: (?=\*)", cell)
            for suite, questions in zip(parts[1::2], parts[2::2], strict=True):
                named += [
                    (page.name, suite, question) for question in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", questions)
                ]
    assert len(named) > 60
    assert [one for one in named if one[2] not in asked.get(one[1], set())] == []


def test_every_question_of_theory_vs_practice_is_explained_by_the_theory():
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "theory").glob("*.md")]
    text = " ".join(" ".join(pages).split())
    asked = [one.question for one in load_suite("theory_vs_practice").contrasts]
    assert [question for question in asked if f"*{question}*" not in text] == []


def test_every_practice_variant_has_its_place_in_the_theory():
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "theory").glob("*.md"))
    catalog = load_catalog()
    ours = [name for name, entry in catalog.variants.items() if entry.stance == "practice" and "pythae" not in name]
    assert [name for name in ours if f"variants.md#{name})" not in text] == []


def test_formulas_stand_in_blocks_that_github_draws_and_none_within_a_line():
    for page in (ROOT / "docs").rglob("*.md"):
        assert not re.search(r"(?<![\w`$])\$[^$\n`]+\$(?!\w)", prose(page)), page
    assert sum(block.language == "math" for block in blocks()) > 30


def test_the_blocks_of_the_theory_that_are_python_hold():
    ran = [block for block in blocks() if block.language == "python" and block.page.parent.name == "theory"]
    assert ran
    for block in ran:
        exec(compile(block.text, block.place, "exec"), {})


def test_the_model_of_the_readme_can_be_scored():
    (block,) = [one for one in blocks() if one.page == ROOT / "README.md" and one.name == "my_vae.py"]
    content: dict[str, Any] = {}
    exec(compile(block.text.replace("784", "64"), block.place, "exec"), content)
    found = vaebench.evaluate(content["make"](), "digits/binary", ["elbo", "kl"])
    assert found["elbo"].value < -64 * math.log(2) * 0.8  # it knows nothing yet
    assert found["kl"].value > 0


SHORT = {
    "quickstart": ["--seeds", "1", "--only", "*/ppca", "--debug", "--device", "cpu"],
    "my_betas.yaml": ["--seeds", "1", "--debug", "--device", "cpu"],
}
"""What makes a run of the tutorial a matter of seconds."""


class Tutorial:
    """A folder in which the tutorial has been done, with few epochs and one seed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def type(self, command: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
        """Exit code, and all that is printed."""
        words = shlex.split(command)
        more = SHORT[words[2]] if words[1] == "run" else []
        with pytest.MonkeyPatch.context() as patched:
            patched.chdir(self.folder)
            patched.setattr(sys, "argv", [*words, *more])
            with pytest.raises(SystemExit) as ending:
                cli.main()
        said = capsys.readouterr()
        return int(ending.value.code or 0), said.out + said.err


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory):
    return Tutorial(tmp_path_factory.mktemp("tutorial"))


def test_the_tutorial_does_what_it_says(tutorial, capsys):
    """Its files are written, its commands typed in their order, and every line that it shows is printed."""
    typed = 0
    for block in blocks():
        if block.page != ROOT / "docs" / "tutorial.md":
            continue
        if block.name:
            short = block.text.replace("epochs: 100", "epochs: 1").replace("[128, 128]", "[8]")
            assert short != block.text
            (tutorial.folder / block.name).write_text(short, encoding="utf-8")
        if block.language == "console":
            for command, shown in typed_and_shown(block.text):
                code, printed = tutorial.type(command, capsys)
                assert code == 0, (command, printed)
                assert_shown(shown, printed)
                typed += 1
        if block.language == "python":
            with pytest.MonkeyPatch.context() as patched:
                patched.chdir(tutorial.folder)
                exec(compile(block.text, block.place, "exec"), {})
            assert "ppca" in capsys.readouterr().out
    assert typed > 10
    assert (tutorial.folder / "shared" / "my_betas" / "report.html").is_file()
    assert "What does β = 2 cost?" in (tutorial.folder / "runs" / "my_betas" / "report.md").read_text(encoding="utf-8")


def test_the_mistake_of_the_tutorial_is_told_as_it_says(tutorial, capsys):
    page = ROOT / "docs" / "tutorial.md"
    (block,) = [one for one in blocks() if one.page == page and one.name]
    (shown,) = re.findall(r"^    (my_betas\.yaml:\d+: .*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    (tutorial.folder / block.name).write_text(block.text.replace("theory: vae", "theory: vea"), encoding="utf-8")
    assert tutorial.type("vaebench check my_betas.yaml", capsys) == (cli.WRONG_INPUT, f"{shown}\n")


def typed_and_shown(text: str) -> Iterator[tuple[str, list[str]]]:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *shown = part.splitlines()
        yield command, shown


def assert_shown(shown: list[str], printed: str) -> None:
    """Every line is printed, an ellipsis standing for any text."""
    for line in shown:
        pattern = ".*".join(re.escape(part) for part in line.split("…"))
        assert any(re.fullmatch(pattern, candidate) for candidate in printed.splitlines()), (line, printed)


class Tracked:
    """Stands in for a tracking library: it keeps what it is told."""

    def __init__(self) -> None:
        self.scalars: list[tuple[str, str, float, int]] = []
        self.metrics: list[dict[str, float]] = []

    def modules(self) -> dict[str, Any]:
        kept = self

        class SummaryWriter:
            def __init__(self, folder: str) -> None:
                self.folder = folder

            def add_scalar(self, name: str, value: float, step: int) -> None:
                kept.scalars.append((self.folder, name, value, step))

            def close(self) -> None:
                pass

        class Run:
            def __enter__(self) -> None:
                pass

            def __exit__(self, *error: object) -> None:
                pass

        tensorboard = types.SimpleNamespace(SummaryWriter=SummaryWriter)
        mlflow = types.SimpleNamespace(
            set_experiment=lambda name: None,
            start_run=lambda run_name: Run(),
            log_params=lambda params: None,
            log_metrics=self.metrics.append,
            log_artifact=lambda path: Path(path).read_text(encoding="utf-8"),
        )
        return {"torch.utils.tensorboard": tensorboard, "mlflow": mlflow}


def test_the_records_reach_tensorboard_and_mlflow_as_they_are(tutorial, monkeypatch):
    """The two scripts on how-to/tracking.md, with stand-ins that take calls as the libraries do."""
    monkeypatch.chdir(tutorial.folder)
    tracked = Tracked()
    for name, module in tracked.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    for block in blocks():
        if block.page.name == "tracking.md" and block.language == "python":
            exec(compile(block.text, block.place, "exec"), {})
    with Path("runs/my_betas/runs.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["status"] == "done"]
    logged = sorted(value for metrics in tracked.metrics for value in metrics.values())
    assert logged == sorted(float(row["value"]) for row in rows)
    assert {folder.rpartition("/")[0].rpartition("/")[2] for folder, *_ in tracked.scalars} == {
        row["variant"] for row in rows
    }
    for cell, folder in {(row["cell"], f"{row['variant']}/seed-{row['seed']}") for row in rows}:
        with Path(f"runs/cells/{cell}/curves.csv").open(encoding="utf-8") as stream:
            losses = {(float(point["loss"]), int(point["step"])) for point in csv.DictReader(stream)}
        told = {
            (value, step) for where, name, value, step in tracked.scalars if name == "loss" and where.endswith(folder)
        }
        assert told == losses
