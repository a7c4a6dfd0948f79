"""What a person finds in Python and in a notebook: leaderboards, contrasts and figures of a suite's folder."""

import re
from pathlib import Path

import pandas as pd
import pytest
import torch
from matplotlib.axes import Axes
from torch.distributions import Distribution, Independent, Normal

import vaebench
from tests.reporting.fabrication import TINY, fabricate, plausible
from vaebench.reporting.dictionary import read
from vaebench.store.files import StoreError
from vaebench.store.folders import ResultsFolder, SuiteFolder
from vaebench.suite.loading import load_suite, load_suite_mapping

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "notebook.md"
HOSTILE = "<script>alert(1)</script> & σ | =1+1?"


@pytest.fixture
def folder(results: ResultsFolder) -> SuiteFolder:
    """Five seeds of a small suite, one of whose questions is hostile, rendered without its report."""
    contrasts = [{**contrast, "question": f"{HOSTILE} {place}"} for place, contrast in enumerate(TINY["contrasts"])]
    suite = load_suite_mapping({**TINY, "contrasts": contrasts, "seeds": 5})
    fabricate(suite, results)
    rendered(suite, results)
    return results.suite(suite.name)


def rendered(suite, results: ResultsFolder) -> None:
    from vaebench.reporting.contrasts import contrasts_table
    from vaebench.reporting.leaderboard import leaderboard_table
    from vaebench.reporting.runs import runs_table
    from vaebench.reporting.tables import write_table
    from vaebench.store.files import write_json

    runs, made = runs_table(suite, results), results.suite(suite.name)
    write_table(made.runs, runs)
    write_table(made.leaderboard, leaderboard_table(suite, runs))
    write_table(made.contrasts, contrasts_table(suite, runs))
    write_json(made.lock, {"suite": suite.to_json(), "source": suite.name, "plugins": []})


def test_contrasts_are_the_rows_of_the_table_each_question_and_view_once(folder: SuiteFolder) -> None:
    table, asked = read(folder.contrasts, "contrasts"), vaebench.Contrasts.read(folder.path)
    pd.testing.assert_frame_equal(pd.concat([each.table for each in asked], ignore_index=True), table)
    assert len(asked) == int(table["primary"].sum()) > 1
    assert [each.verdict for each in asked] == table["verdict"][table["primary"]].tolist()
    assert len({(each.question, each.source) for each in asked}) == len(asked)
    assert [each.question for each in asked[1:]] == [each.question for each in asked][1:]


def test_the_seeds_of_a_contrast_are_those_whose_mean_difference_the_table_tells(folder: SuiteFolder) -> None:
    for each in vaebench.Contrasts.read(folder.contrasts):
        assert each.seeds is not None
        assert len(each.seeds) == each.primary.seeds == 5
        found = (each.seeds["practice"] - each.seeds["theory"]).mean()
        assert found == pytest.approx(each.primary.difference, rel=1e-12)


def test_a_side_that_names_its_metric_has_the_seeds_of_that_metric(results: ResultsFolder) -> None:
    asked = {"question": "Draws?", "theory": "vae:elbo", "practice": "vae:log_likelihood"}
    suite = load_suite_mapping({**TINY, "contrasts": [asked], "seeds": 3})
    fabricate(suite, results)
    rendered(suite, results)
    runs, asked_of = (
        read(results.suite(suite.name).runs, "runs"),
        vaebench.Contrasts.read(results.suite(suite.name).path),
    )
    assert len(asked_of) >= 1
    for each in asked_of:
        vae = runs[(runs["variant"] == "vae") & (runs["dataset"] + "/" + runs["view"] == each.source)]
        assert each.seeds is not None
        assert each.seeds["theory"].tolist() == vae[vae["metric"] == "elbo"]["value"].tolist()
        assert each.seeds["practice"].tolist() == vae[vae["metric"] == "log_likelihood"]["value"].tolist()


def test_a_notebook_shows_tables_in_which_text_from_users_is_text(folder: SuiteFolder) -> None:
    asked, board = vaebench.Contrasts.read(folder.path), vaebench.Leaderboard.read(folder.path)
    for thing in (asked, asked[0], board):
        html = thing._repr_html_()
        assert html.count("<table>") == html.count("</table>") == 1
        assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; σ | =1+1? 0" in asked._repr_html_()
    assert asked._repr_html_().count("<tr>") == len(asked) + 1
    assert asked[0]._repr_html_().count("<tr>") == len(asked[0].table) + 1
    assert board._repr_html_().count("<tr>") == len(board.table) + 1
    assert len(repr(board).splitlines()) == len(board.table) + 2
    assert "Leaderboard(" not in repr(board)


def test_an_empty_leaderboard_and_a_suite_without_contrasts_are_empty_tables(folder: SuiteFolder) -> None:
    none = vaebench.Leaderboard.read(folder.path).filter(rank=99)
    assert none._repr_html_().count("<td") == 0
    assert vaebench.Contrasts([])._repr_html_().count("<td") == 0
    assert "verdict" in repr(vaebench.Contrasts([]))


def test_elsewhere_a_contrast_is_a_sentence_with_its_evidence(folder: SuiteFolder) -> None:
    for each in vaebench.Contrasts.read(folder.path):
        question, sentence = repr(each).splitlines()
        assert question == each.question
        assert re.match(rf"{each.source}: {each.verdict}: .* in {re.escape(each.primary.metric)} \(95 % ", sentence)
        assert "after Holm, 5 seeds)" in sentence


def test_a_leaderboard_is_plotted_as_one_axes_with_the_rows_and_their_numbers(folder: SuiteFolder) -> None:
    grey = vaebench.Leaderboard.read(folder.path).filter(view="grey")
    axes = grey.plot("bits_per_dim")
    assert isinstance(axes, Axes)
    shown = grey.table[grey.table["bits_per_dim"].notna()]
    means = [line.get_xdata()[0] for line in axes.lines if line.get_marker() in "os^" and len(line.get_xdata()) == 1]
    assert means == shown["bits_per_dim"].tolist()
    assert [text.get_text().replace("\n", "") for text in axes.texts] == shown["variant"].tolist()


def test_what_cannot_be_plotted_is_said(folder: SuiteFolder) -> None:
    board = vaebench.Leaderboard.read(folder.path)
    with pytest.raises(ValueError, match=r"here are 3; filter\(dataset=…, view=…\) first"):
        board.plot("elbo")
    with pytest.raises(KeyError, match="no metric 'elbow'"):
        board.plot("elbow")
    with pytest.raises(ValueError, match="no row here has a number for"):
        board.filter(view="binary").plot("bits_per_dim")
    folder.runs.unlink()
    with pytest.raises(StoreError, match="no seed has numbers here"):
        vaebench.Contrasts.read(folder.path)[0].plot()


def test_a_contrast_is_plotted_as_both_sides_and_their_differences(folder: SuiteFolder) -> None:
    first = vaebench.Contrasts.read(folder.path)[0]
    assert first.seeds is not None
    both, differences = first.plot()
    assert [label.get_text().replace("\n", "") for label in both.get_xticklabels()] == [
        first.primary.theory,
        first.primary.practice,
    ]
    drawn = next(line for line in differences.lines if line.get_marker() == "o").get_ydata()
    assert list(drawn) == pytest.approx((first.seeds["practice"] - first.seeds["theory"]).tolist())


def test_the_figures_of_a_report_are_drawn_when_asked_for(folder: SuiteFolder) -> None:
    found = vaebench.figures(folder.path)
    assert {"intervals-digits-grey", "contrast-1-differences-digits-grey"} <= set(found)
    for figure in found.values():
        assert all(isinstance(axes, Axes) for axes in figure.axes())
        assert figure.axes()[0].figure is not None


def test_a_metric_of_a_plugin_that_is_not_loaded_is_shown_and_said_where_it_is_drawn(folder: SuiteFolder) -> None:
    text = folder.contrasts.read_text(encoding="utf-8").replace(",bits_per_dim,", ",inkiness,")
    folder.contrasts.write_text(text, encoding="utf-8")
    runs = folder.runs.read_text(encoding="utf-8").replace(",bits_per_dim,", ",inkiness,")
    folder.runs.write_text(runs, encoding="utf-8")
    (first, *_) = (one for one in vaebench.Contrasts.read(folder.path) if one.primary.metric == "inkiness")
    assert "in inkiness" in first.sentence
    with pytest.raises(StoreError, match=r"inkiness: no metric that is known here; vaebench\.load_plugins brings"):
        first.plot()


class Coin:
    """What a trained model can be asked, of no training."""

    def prior(self) -> Distribution:
        return Independent(Normal(torch.zeros(2), 1.0), 1)

    def posterior(self, x: torch.Tensor) -> Distribution:
        return Independent(Normal(x[..., :2], 1.0), 1)

    def likelihood(self, z: torch.Tensor) -> Distribution:
        return Independent(Normal(z.sum(-1, keepdim=True).expand(*z.shape[:-1], 64), 1.0), 1)


def test_the_page_on_notebooks_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    suite = load_suite("quickstart")
    numbers = {"vmi-vae": 0.1}
    fabricate(
        suite,
        ResultsFolder(Path("runs")),
        lambda planned, column: plausible(planned, column) + numbers.get(planned.variant, 0.0),
    )
    rendered(suite, ResultsFolder(Path("runs")))
    monkeypatch.setattr(vaebench, "load_model", lambda folder, variant: Coin())  # the runs are made up, there are none
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        exec(block, names)
    assert {path.name for path in tmp_path.glob("*.svg")} == {"board.svg", "question.svg", "ranked.svg"}
    assert names["first"].verdict in capsys.readouterr().out  # type: ignore[attr-defined]
