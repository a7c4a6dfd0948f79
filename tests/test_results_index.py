"""results/README.md says what the tables say."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from vaebench.project import results_index
from vaebench.project.results_index import Numbers
from vaebench.store.folders import SuiteFolder

RESULTS = Path(__file__).resolve().parents[1] / "results"


def test_the_table_is_that_of_what_is_published() -> None:
    """No number in there by hand: after another publication the table is stale, and this says so."""
    text = (RESULTS / "README.md").read_text(encoding="utf-8")
    found = results_index.PLACE.search(text)
    assert found is not None
    assert found[0] == f"{found[1]}{results_index.lines(RESULTS)}{found[2]}"


def test_what_each_shows_is_said_in_two_sentences() -> None:
    summaries = YAML(typ="safe").load((RESULTS / "summaries.yaml").read_text(encoding="utf-8"))
    for name, said in summaries.items():
        words = re.sub(r"\{[^{}]*\}", "0", said["in_short"])
        assert len(re.findall(r"[.!?](?:\s|$)", words)) == 2, name


def test_what_readme_tells_a_newcomer_to_expect_is_what_is_published() -> None:
    """Its table's means and half intervals are those of results/quickstart, to the place that it writes."""
    text = (RESULTS.parent / "README.md").read_text(encoding="utf-8")
    board = Numbers.of(SuiteFolder(RESULTS / "quickstart")).board.set_index("variant")
    rows = re.findall(r"^\|[^|]*\| `([\w-]+)`[^|]*\| (−?[\d.]+)(?: ± ([\d.]+))? \|$", text, re.MULTILINE)
    assert sorted(name for name, _, _ in rows) == sorted(board.index)
    for name, mean, half in rows:
        metric = "log_likelihood" if board.at[name, "view"] == "binary" else "bits_per_dim"
        found, high = float(board.at[name, metric]), float(board.at[name, f"{metric}_high"])
        places = len(mean.partition(".")[2])
        assert mean.replace("−", "-") == f"{found:.{places}f}"
        assert half == (f"{high - found:.{len(half.partition('.')[2])}f}" if half else "")


@pytest.fixture
def numbers() -> Numbers:
    return Numbers.of(SuiteFolder(RESULTS / "theory_vs_practice"))


def test_a_mean_and_a_difference_are_written_to_the_place_of_their_intervals(numbers: Numbers) -> None:
    board = numbers.board
    row = board[(board["view"] == "binary") & (board["variant"] == "vae")].iloc[0]
    told = numbers.filled("{mnist/binary vae:log_likelihood}")
    assert float(told) == pytest.approx(row["log_likelihood"], abs=row["log_likelihood_high"] - row["log_likelihood"])
    asked = numbers.contrasts[(numbers.contrasts["question"] == "What does β = 4 cost?") & numbers.contrasts["primary"]]
    assert float(numbers.filled("{What does β = 4 cost?}")) == pytest.approx(-asked["difference"].iloc[0], rel=1e-2)
    seen = float(numbers.filled("{seen by: What does\n β = 4 cost?}"))
    assert seen == pytest.approx(asked["detectable"].iloc[0], rel=5e-2)


def test_a_question_can_be_asked_of_another_metric_than_its_own(numbers: Numbers) -> None:
    contrasts = numbers.contrasts
    rows = contrasts[(contrasts["question"] == "What does β = 4 cost?") & ~contrasts["primary"]]
    asked = rows[rows["metric"] == "elbo"].iloc[0]
    told = float(numbers.filled("{What does β = 4 cost? @elbo}"))
    assert told == pytest.approx(abs(asked["difference"]), rel=1e-2)
    with pytest.raises(ValueError, match=r"elbow"):
        numbers.filled("{What does β = 4 cost? @elbow}")


@pytest.mark.parametrize(
    "place",
    [
        "mnist/binary vae:bits_per_dim",
        "mnist/binary vea:elbo",
        "mnist/binary vae:elbow",
        "What does β = 5 cost?",
        "What do weights inside the sum over latents change?",
    ],
)
def test_what_has_no_number_is_named(numbers: Numbers, place: str) -> None:
    with pytest.raises(ValueError, match=r"\{"):
        numbers.filled(f"It is {{{place}}}.")


def test_the_verdicts_on_published_numbers_are_those_of_the_reports() -> None:
    told = {row[1].strip("[]").partition("]")[0]: row[3] for row in _rows() if row[3] != "–"}
    assert len(told) > 5
    for name, verdicts in told.items():
        report = (RESULTS / name / "report.md").read_text(encoding="utf-8")
        assert f"{verdicts}. A published number is met" in report


def _rows() -> list[list[str]]:
    lines = results_index.lines(RESULTS).splitlines()
    return [[cell.strip() for cell in line.split("|")] for line in lines if line.startswith("| [")]


def test_a_folder_without_words_is_named(tmp_path: Path) -> None:
    (tmp_path / "summaries.yaml").write_text("a: {shows: nothing}\n")
    with pytest.raises(ValueError, match=r"the folders differ: a$"):
        results_index.lines(tmp_path)
