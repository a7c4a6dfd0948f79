"""A published suite is rendered again from its tables and the data of its figures, to the same bytes."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import vaebench
from vaebench import project
from vaebench.project import Settings
from vaebench.reporting.figures import stored
from vaebench.reporting.figures.figure import Figure
from vaebench.store.files import StoreError, write_json
from vaebench.store.folders import SuiteFolder

RESULTS = Path(__file__).resolve().parents[1] / "results"
SUITE = {
    "suite": "again",
    "datasets": ["digits/binary", "digits/grey"],
    "seeds": 2,
    "recipe": {"extends": "quick", "epochs": 1},
    "defaults": {"network": {"hidden": [8]}, "latent": 2},
    "variants": [
        "vae",
        {"extends": "vae-gaussian", "on": ["digits/grey"]},
        {"extends": "joint-vae", "latent": 12},
    ],
    "metrics": ["elbo", "kl", "reconstruction", "log_likelihood", "bits_per_dim", "sharpness", "train_seconds"],
    "contrasts": [{"question": "A code | with <a> category?", "theory": "vae", "practice": "joint-vae"}],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("again") / "runs"
    vaebench.run(SUITE, Settings(results=folder, debug=True))
    return folder / "again"


@pytest.fixture
def published(run: Path, tmp_path: Path) -> Path:
    return project.publish(run.name, run.parent, tmp_path / "results").folder.path


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_every_file_is_written_again_byte_for_byte(published: Path) -> None:
    before = contents(published)
    written = [name for name in before if name not in ("suite.lock.json", "plan.json")]
    assert len(written) > 20
    for name in written:
        if not name.startswith(("figures/data", "figures/index")) and name != "runs.csv":
            (published / name).unlink()
    project.report(published)
    after = contents(published)
    assert list(after) == list(before)
    assert [name for name in before if before[name] != after[name]] == []


def test_its_figures_are_those_of_the_run(run: Path, published: Path) -> None:
    ours, theirs = project.figures(run), project.figures(published)
    assert list(theirs) == list(ours)
    assert len({figure.drawer for figure in theirs.values()}) > 6
    for name, figure in theirs.items():
        assert (figure.title, figure.caption, figure.subject) == (
            ours[name].title,
            ours[name].caption,
            ours[name].subject,
        )
        if isinstance(figure.data, pd.DataFrame):
            pd.testing.assert_frame_equal(figure.data, ours[name].data, check_dtype=False)
            assert {str(kind) for kind in figure.data.dtypes} <= {"object", "str", "int64", "Int64", "float64", "bool"}
        else:
            for key, array in figure.data.items():
                np.testing.assert_allclose(array, ours[name].data[key], atol=0.5 / 128, rtol=0)


def test_a_folder_with_its_records_is_rendered_from_them(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run.parent, tmp_path / "runs")
    folder = SuiteFolder(tmp_path / "runs" / run.name)
    folder.runs.write_text(folder.runs.read_text().replace("done", "failed"))
    project.report(folder.path)
    assert "failed" not in folder.runs.read_text()


def test_pictures_without_an_index_are_left_alone(published: Path) -> None:
    (published / "figures" / "index.json").unlink()
    before = contents(published)
    with pytest.raises(StoreError, match=r"index\.json: missing, and with it what the pictures show"):
        project.report(published)
    assert contents(published) == before


def _cut(path: Path) -> None:
    path.write_text("\n".join(path.read_text().splitlines()[:-50]) + "\n")


def _unknown_to_the_lock(published: Path) -> None:
    """As a table that somebody else's lock file says nothing of."""
    lock = json.loads((published / "suite.lock.json").read_text())
    kept = {name: value for name, value in lock.items() if name not in ("schema", "checksum", "written")}
    write_json(published / "suite.lock.json", kept)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda published: (published / "runs.csv").unlink(), "missing, and there are no records either"),
        (lambda published: _cut(published / "runs.csv"), "its checksum is another"),
        (lambda published: (_unknown_to_the_lock(published), _cut(published / "runs.csv")), "not the table of this"),
        (lambda published: shutil.rmtree(published / "figures"), r"index\.json: missing"),
    ],
)
def test_what_is_not_as_it_was_written_is_refused_and_left_alone(published: Path, harm, told: str) -> None:
    harm(published)
    before = contents(published)
    with pytest.raises(StoreError, match=told):
        project.report(published)
    assert contents(published) == before


def test_pictures_of_others_stay_and_links_are_not_followed(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run.parent, tmp_path / "runs")
    folder, elsewhere = tmp_path / "runs" / run.name, tmp_path / "elsewhere"
    (folder / "figures" / "mine.svg").write_text("precious")
    project.report(folder)
    assert (folder / "figures" / "mine.svg").read_text() == "precious"
    elsewhere.mkdir()
    (elsewhere / "mine.svg").write_text("precious")
    shutil.rmtree(folder / "figures")
    (folder / "figures").symlink_to(elsewhere)
    with pytest.raises(StoreError, match="is a link"):
        project.report(folder)
    assert [path.name for path in elsewhere.iterdir()] == ["mine.svg"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "../../runs"}, "not as vaebench writes it"),
        ({"section": "elsewhere"}, "not as vaebench writes it"),
        ({"drawer": "os.system"}, "KeyError: 'os.system'"),
        ({"name": "nothing"}, "nothing.svg|nothing.csv"),
        ({"columns": {"no such": "text"}}, "no column no such"),
        ({"columns": None}, "TypeError"),
    ],
)
def test_an_index_of_somebody_else_is_refused_in_a_line(published: Path, change: dict, told: str) -> None:
    path = published / "figures" / "index.json"
    first, *others = json.loads(path.read_text())["figures"]
    write_json(path, {"figures": [{**first, **change}, *others]})
    with pytest.raises(StoreError, match=told) as error:
        project.report(published)
    assert "\n" not in str(error.value)


def test_what_is_drawn_survives_its_file(tmp_path: Path) -> None:
    """Names that look like numbers, whole numbers with gaps, floats to the last digit; images to 1/128."""

    def draw(data, heading):
        raise NotImplementedError

    table = pd.DataFrame(
        {
            "variant": ["1e5", "NA", "vae"],
            "rank": pd.array([1, None, 3], dtype="Int64"),
            "value": [0.1, np.nan, 1e-300],
            "epoch": np.array([1, 2, 3], dtype=np.uint8),
            "selected": [True, False, True],
        }
    )
    arrays = {"vae/mean": np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4), "kl": np.array([0.123456, 2.0])}
    for number, data in enumerate((table, arrays)):
        figure = Figure(f"f{number}", "", "", "overview", "", "", data, draw)
        again = stored.read_data(stored.write_data(figure, tmp_path), stored.kinds_of(data))
        if isinstance(data, dict):
            assert list(again) == list(data)
            np.testing.assert_array_equal(again["kl"], data["kl"])
            np.testing.assert_allclose(again["vae/mean"], data["vae/mean"], atol=0.5 / 128, rtol=0)
        else:
            pd.testing.assert_frame_equal(again, data, check_dtype=False)


PICTURE = re.compile(rb'data:image/[^"]*')
FOLDERS = sorted(path.parent for path in RESULTS.glob("*/suite.lock.json"))


@pytest.fixture
def one_of_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first picture of a kind is drawn, and paper in place of the others: a hundred for a report take minutes."""
    from matplotlib.figure import Figure as Picture

    drawn = set()

    def draw(self: Figure) -> Picture:
        if self.drawer in drawn:
            return Picture(figsize=(0.1, 0.1))
        drawn.add(self.drawer)
        return self.drawer(self.data, self.title, **self.more)

    monkeypatch.setattr(Figure, "draw", draw)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
@pytest.mark.usefixtures("one_of_each_kind")
def test_what_is_published_here_is_rendered_again_to_the_same_report(folder: Path, tmp_path: Path) -> None:
    """Report, tables and the data of the figures, and the page but for the pictures in it: another matplotlib may set
    the letters of a picture elsewhere."""
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    project.report(copy)
    before, after = contents(folder), contents(copy)
    assert list(after) == list(before)
    for name, content in before.items():
        if name.endswith((".md", ".csv", ".npz", ".json")):
            assert after[name] == content, name
        if name.endswith(".html"):
            assert PICTURE.sub(b"", after[name]) == PICTURE.sub(b"", content), name
