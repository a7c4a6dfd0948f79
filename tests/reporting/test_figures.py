"""Figures of a small real run: they show what the records say, on equal scales, and never cost a report."""

import functools
import io
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.reporting.fabrication import fabricate
from vaebench.catalog.catalog import load_catalog
from vaebench.engines.local import LocalEngine
from vaebench.engines.planning import plan
from vaebench.reporting import statistics
from vaebench.reporting.contrasts import contrast_tests, contrasts_table
from vaebench.reporting.figures import (
    beyond,
    board,
    catalogue,
    code_counts,
    code_training,
    curves,
    differences,
    intervals,
    latents,
    marks,
    rate_distortion,
    samples,
    sharpness,
    strips,
    style,
)
from vaebench.reporting.figures.catalogue import figures, write_figures
from vaebench.reporting.figures.figure import Figure, Written, slug
from vaebench.reporting.leaderboard import leaderboard_table
from vaebench.reporting.runs import runs_table, values_by_seed
from vaebench.reporting.sections import sections
from vaebench.store.folders import ResultsFolder
from vaebench.suite.expansion import expand
from vaebench.suite.loading import load_suite_mapping
from vaebench.suite.suite import Suite

SMALL = {
    "suite": "pictures",
    "datasets": ["digits/grey", "digits/binary", "linear-gaussian/real"],
    "seeds": 2,
    "recipe": {"extends": "quick", "epochs": 3, "select": "best-validation"},
    "defaults": {"latent": 3, "network": {"hidden": [16]}, "objective": {"auxiliary_hidden": [8]}},
    "variants": [
        {"extends": "vae-gaussian", "on": ["digits/grey"]},
        {"extends": "vae-mse", "on": ["digits/grey"]},
        {"extends": "ae", "latent": 2, "on": ["digits/grey"]},
        {
            "name": "ae-mixture",
            "extends": "ae",
            "latent": 2,
            "generation": {"prior": "fitted-gmm"},
            "on": ["digits/grey"],
        },
        {"name": "_flat_vae_", "extends": "vae", "latent": 2, "on": ["digits/binary"]},
        {
            "name": "mixture",
            "extends": "vae",
            "latent": 2,
            "generation": {"prior": "fitted-gmm"},
            "on": ["digits/binary"],
        },
        {"name": "around", "extends": "vae", "latent": 2, "generation": {"around": "x"}, "on": ["digits/binary"]},
        {"extends": "beta-vae", "objective": {"beta": [0.25]}, "on": ["digits/binary"]},
        {"extends": "cvae", "on": ["digits/binary"]},
        {"name": "flat-cvae", "extends": "cvae", "latent": 2, "on": ["digits/binary"]},
        {"extends": "joint-vae", "latent": 12, "on": ["digits/binary"]},
        {"extends": "vmi-joint-vae", "latent": 12, "on": ["digits/binary"]},
        {"extends": "vmi-vae", "latent": 4, "on": ["digits/binary"]},
        {"extends": "vmi-vae-prior-entropy", "latent": 4, "on": ["digits/binary"]},
        {"extends": "vmi-vae", "name": "_unweighed_", "objective": {"lambda": 0}, "latent": 4, "on": ["digits/binary"]},
        {"extends": "ppca", "on": ["linear-gaussian/real"]},
    ],
    "budget": {"extends": "quick", "bits_per_dim": {"samples": 5}, "sharpness": {"images": 100}},
    "metrics": ["elbo", "bits_per_dim", "reconstruction", "kl", "sharpness"],
    "rank_by": {"grey": "bits_per_dim", "binary": "elbo"},
    "contrasts": [
        {"question": "Is $\\sigma(z)$ = 1 & <b>_harmless_</b>?", "theory": "vae-gaussian", "practice": "vae-mse"},
        {"question": "Does the code speak?", "theory": "vmi-joint-vae", "practice": "joint-vae"},
        {"question": "And with the prior's entropy?", "theory": "vmi-vae", "practice": "vmi-vae-prior-entropy"},
        {"question": "Which bound?", "theory": "_flat_vae_:elbo", "practice": "beta-vae[beta=0.25]:elbo"},
    ],
}


@dataclass(frozen=True)
class Made:
    """A run, its tables and its figures."""

    suite: Suite
    results: ResultsFolder
    runs: pd.DataFrame
    leaderboard: pd.DataFrame
    contrasts: pd.DataFrame
    folder: Path
    figures: dict[str, Figure]
    written: list[Written]

    def arrays(self, source: str, variant: str) -> dict[str, np.ndarray]:
        """Of the first seed."""
        found = (planned for planned in expand(self.suite).planned if planned.variant == variant)
        cell = next(planned.cell for planned in found if planned.cell.source == source)
        with np.load(self.results.cell(cell.id).arrays) as stored:
            return {name: stored[name] for name in stored.files}

    def values(self, source: str, variant: str, metric: str) -> dict[int, float]:
        """Seed → value, straight from runs.csv."""
        runs = self.runs
        chosen = runs[(runs["variant"] == variant) & (runs["metric"] == metric)]
        chosen = chosen[chosen["dataset"] + "/" + chosen["view"] == source]
        return dict(zip(chosen["seed"], chosen["value"], strict=True))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    suite, results = load_suite_mapping(SMALL), ResultsFolder(tmp_path_factory.mktemp("pictures"))
    LocalEngine(debug=True).run(plan(suite, results, device="cpu"), results, lambda event: None)
    runs = runs_table(suite, results)
    tables = runs, leaderboard_table(suite, runs), contrasts_table(suite, runs)
    found = list(figures(suite, results, *tables))
    folder = results.suite(suite.name).figures
    return Made(suite, results, *tables, folder, {one.name: one for one in found}, write_figures(found, folder))


@pytest.fixture
def five(results: ResultsFolder) -> tuple[Suite, pd.DataFrame]:
    """Fabricated numbers of five seeds, where intervals and verdicts exist."""
    suite = load_suite_mapping(
        {
            "suite": "five",
            "datasets": ["digits/grey"],
            "variants": ["vae-gaussian", "vae-mse", "vae"],
            "metrics": ["bits_per_dim", "kl"],
            "contrasts": [{"question": "Useful?", "theory": "vae-mse", "practice": "vae-gaussian"}],
        }
    )
    fabricate(suite, results)
    return suite, runs_table(suite, results)


KINDS = {
    "overview": {"intervals", "rate-distortion", "sharpness", "sub-code"},
    "contrast": {
        *("differences", "code-training", "code-counts"),
    },
    "variant": {
        *("curves", "samples", "reconstructions", "strips", "latents", "manifold", "traversals"),
        *("plane", "categories", "code-training", "code-counts"),
    },
}


def test_every_kind_that_applies_is_there_and_all_of_it_is_written(made: Made) -> None:
    for section, kinds in KINDS.items():
        names = [figure.name for figure in made.figures.values() if figure.section == section]
        assert {kind for kind in kinds if any(kind in name for name in names)} == kinds
    assert [one.figure.name for one in made.written] == list(made.figures)
    for one in made.written:
        assert one.path.parent == made.folder
        assert one.path.suffix == (".png" if one.figure.is_image_grid else ".svg")
        data = made.folder / "data" / f"{one.figure.name}{'.npz' if one.figure.is_image_grid else '.csv'}"
        assert data.stat().st_size > 0
    said = {figure.subject for figure in made.figures.values()}
    assert said == {"", *(v.name for v in made.suite.variants), *(c.question for c in made.suite.contrasts)}


def test_a_point_has_a_code_no_kl_and_no_prior(made: Made) -> None:
    """Nothing held an autoencoder's codes near N(0, I): captions call it by its name, and show no posterior's mean."""
    codes, vae = made.figures["ae-latents-digits-grey"], made.figures["vmi-vae-latents-digits-binary"]
    assert codes.caption.startswith("Each point is the code of a test image in its two latents, coloured by class;")
    assert "Dashed: one and two σ of N(0, I)." in codes.caption
    assert vae.caption.startswith("Each point is the posterior mean of a test image in the two latents of largest KL, ")
    assert "Dashed: one and two σ of the prior N(0, I)." in vae.caption
    assert "drawn from N(0, I); left" in made.figures["ae-samples-digits-grey"].caption
    assert "drawn from the prior; left" in made.figures["vae-mse-samples-digits-grey"].caption


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([(2, 0, True)], "its two latents"),
        ([(12, 10, True)], "its two latents that are no category"),
        ([(5, 0, True), (2, 0, True)], "the two latents of largest KL"),
        ([(5, 0, False)], "the two latents of largest variance"),
        ([(5, 0, True), (5, 0, False)], "the two latents of largest KL, where it is known, else of largest variance"),
    ],
)
def test_it_is_said_which_latents_are_shown(models: list[tuple[int, int, bool]], said: str) -> None:
    """By the width of a code, the categories among it, and whether the KL of a latent is known."""
    kept = [
        {"codes": np.zeros((3, width)), "categories": np.array(categories)}
        | ({"latent_kl": np.zeros(width)} if kl else {})
        for width, categories, kl in models
    ]
    assert latents.which({f"vae-{place}": arrays for place, arrays in enumerate(kept)}) == said


def test_what_is_no_image_has_no_pictures_of_images(made: Made) -> None:
    named = [name for name in made.figures if name.endswith("linear-gaussian-real")]
    assert named == ["ppca-latents-linear-gaussian-real"]


def test_no_picture_is_blank(made: Made) -> None:
    kinds = {(figure.section, figure.drawer): figure.name for figure in made.figures.values()}
    for one in made.written:
        if one.figure.name not in kinds.values():
            continue
        if one.figure.is_image_grid:
            pixels = matplotlib.image.imread(one.path)
        else:
            drawn = io.BytesIO()
            one.figure.draw().savefig(drawn, format="png", dpi=50, facecolor="white")
            pixels = matplotlib.image.imread(io.BytesIO(drawn.getvalue()))
        assert pixels[..., :3].var() > 1e-3, one.figure.name
        assert pixels.shape[1] > 200


def test_the_same_records_make_the_same_bytes(made: Made, tmp_path: Path) -> None:
    chosen = [figure for name, figure in made.figures.items() if name.startswith(("contrast-1", "intervals", "joint"))]
    for one in write_figures(chosen, tmp_path):
        first = made.folder / one.path.name
        assert one.path.read_bytes() == first.read_bytes(), one.path.name
    for path in (tmp_path / "data").iterdir():
        assert path.read_bytes() == (made.folder / "data" / path.name).read_bytes(), path.name


def test_names_and_questions_are_shown_as_they_are_written(made: Made) -> None:
    """No dollar, underscore, bracket or angle of a user means anything to matplotlib or to SVG."""

    def texts(name: str) -> set[str]:
        root = ElementTree.fromstring((made.folder / f"{name}.svg").read_bytes())
        return {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}

    asked = "Is $\\sigma(z)$ = 1 & <b>_harmless_</b>?"
    assert any(line.startswith(asked) for line in texts("contrast-1-differences-digits-grey"))
    assert {"_flat_vae_", "beta-vae[beta=0.25]"} <= texts("intervals-digits-binary")


def test_drawing_leaves_matplotlibs_global_state_alone(made: Made) -> None:
    before = dict(matplotlib.rcParams)
    style.svg(made.figures["intervals-digits-binary"].draw())
    assert dict(matplotlib.rcParams) == before


def test_matplotlib_is_imported_only_when_something_is_drawn() -> None:
    script = "import vaebench.reporting.figures.catalogue, sys; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_svg_shortens_its_coordinates_and_never_its_numbers() -> None:
    picture, _ = style.canvas("A difference of 0.58671 bits", height=2.0)
    frame = style.axes(picture, 1.0, 0.5, 3.0, 1.2)
    frame.plot([0.0, 1.0 / 3.0], [0.0, 2.0 / 3.0])
    frame.set_yticks([0.125, 0.375], ["0.125", "0.375"])
    written = style.svg(picture).decode()
    said = "".join(re.findall(r">([^<]*)</text>", written))
    assert all(number in said for number in ("0.58671", "0.125", "0.375"))
    assert not re.search(r"\d\.\d{3}", "".join(re.findall(r' d="[^"]*"', written)))


def test_an_svg_follows_the_reader_into_the_dark(made: Made) -> None:
    text = (made.folder / "intervals-digits-grey.svg").read_text()
    assert "@media (prefers-color-scheme: dark)" in text
    assert f"fill: {style.INK}" in text
    assert f'[style*="fill: {style.INK}"]{{fill:{style.DARK[style.INK]} !important}}' in text


# Overview


def test_an_interval_plot_shows_the_leaderboards_numbers_and_every_seed(five: tuple[Suite, pd.DataFrame]) -> None:
    suite, runs = five
    (ranking,) = sections(suite, leaderboard_table(suite, runs))
    data = intervals.table(ranking, values_by_seed(runs), "bits_per_dim")
    assert len(data) == 15
    for variant, rows in data.groupby("variant"):
        values = runs[(runs["variant"] == variant) & (runs["metric"] == "bits_per_dim")].set_index("seed")["value"]
        assert dict(zip(rows["seed"], rows["value"], strict=True)) == values.to_dict()
        expected = statistics.estimate(list(values))
        assert rows.iloc[0][["mean", "low", "high"]].tolist() == [expected.mean, expected.low, expected.high]
    (frame,) = intervals.draw(data, "title").axes
    drawn = [line.get_xdata() for line in frame.lines if line.get_linewidth() == 1.8]
    assert [list(ends) for ends in drawn] == data.drop_duplicates("variant")[["low", "high"]].to_numpy().tolist()
    heights = [line.get_ydata()[0] for line in frame.lines if line.get_linewidth() == 1.8]
    assert heights == sorted(heights)
    assert frame.get_ylim()[0] > frame.get_ylim()[1]  # the first row is on top


def exploded(data: pd.DataFrame, variant: str, **columns: float) -> pd.DataFrame:
    """The data of a figure with numbers of one variant that no other comes near."""
    return data.assign(**{name: data[name].where(data["variant"] != variant, value) for name, value in columns.items()})


def shown_text(picture: "matplotlib.figure.Figure") -> str:
    return " ".join(text.get_text() for frame in picture.axes for text in frame.texts)


def test_a_model_that_exploded_is_named_and_does_not_flatten_the_others(results: ResultsFolder) -> None:
    suite = load_suite_mapping(
        {
            "suite": "exploded",
            "datasets": ["digits/binary"],
            "variants": ["vae", "beta-vae", "iwae", "vae-mc-kl"],
            "metrics": ["elbo", "kl", "reconstruction"],
        }
    )
    fabricate(suite, results)
    runs = runs_table(suite, results)
    (section,) = sections(suite, leaderboard_table(suite, runs))
    values = values_by_seed(runs)
    data = intervals.table(section, values, "elbo")
    others = data[data["variant"] != "vae"]
    far = exploded(data, "vae", mean=-2.7e16, low=-1e17, high=5e16, value=-1e17)
    frame = intervals.draw(far, "x").axes[0]
    low, high = frame.get_xlim()
    assert high - low < 2 * (others[["value", "high"]].max().max() - others[["value", "low"]].min().min())
    assert "← mean −2.700e+16" in shown_text(intervals.draw(far, "x"))
    assert "mean" not in shown_text(intervals.draw(data, "x"))
    plane = exploded(rate_distortion.table(section, values), "vae", rate=7.7e19)
    picture = rate_distortion.draw(plane, "x")
    assert picture.axes[0].get_xlim()[1] < 1000
    assert re.search(r"beyond: vae at 7\.700e\+19, [0-9.]+", shown_text(picture))
    assert "e+19" not in rate_distortion.title(plane, "x")
    same = plane.assign(rate=6.31)
    assert rate_distortion.title(same, "x").endswith("KL 6.3 nats")
    names = list(dict.fromkeys(data["variant"]))
    ratios = {sharpness.MEAN: 0.3, sharpness.DRAW: 1.5}
    over = pd.DataFrame({"variant": names, "stance": "theory", "elbo": [-9.0, -8.0, -7.0, -1e17], **ratios})
    picture = sharpness.draw(over, "x", metric="elbo")
    assert picture.axes[0].get_xlim()[0] > -100
    assert f"beyond: {names[3]}, elbo −1.000e+17" in shown_text(picture)


@pytest.mark.parametrize(
    ("values", "beyond_it"),
    [
        ([-100.0, -101.0, -102.0, -103.0, -155.0], {4}),
        ([-100.0, -101.0, -102.0, -103.0, -104.0, -105.0, -106.0, -155.0, -170.0], {7, 8}),
        ([-100.0, -101.0, -102.0, -103.0, -113.0], set()),  # the others have more than a fifth
        ([-100.0, -101.0, -155.0, -160.0], set()),  # no few: half of them
        ([-100.0, -100.0, -100.0, -100.0, -101.0], set()),  # the others are one number
        ([2.6, 2.7, 2.8, 2.9, 3.0, 3.1, 28.0, 1e17], {6, 7}),
        ([1.0], set()),
        ([], set()),
        ([np.nan, 1.0, 2.0, 3.0, 4.0, 90.0], {5}),
    ],
)
def test_a_few_that_would_crowd_the_others_stand_beyond_the_scale(values: list[float], beyond_it: set[int]) -> None:
    assert set(np.flatnonzero(~beyond.near(np.array(values)))) == beyond_it


def test_a_row_that_is_alone_is_ahead_of_nobody(five: tuple[Suite, pd.DataFrame]) -> None:
    suite, runs = five
    (ranking,) = sections(suite, leaderboard_table(suite, runs))
    data = intervals.table(ranking, values_by_seed(runs), "bits_per_dim")
    best = data[data["rank"] == 1]
    assert best["variant"].nunique() < data["variant"].nunique()
    title = intervals.title(best, "bits_per_dim", "digits/grey")
    assert title == f"bits_per_dim on digits/grey: {best['variant'].iloc[0]} has nobody to be compared with"


@pytest.mark.parametrize("draws", [1.5, 90.0], ids=["linear", "logarithmic"])
def test_the_words_for_who_is_beyond_stand_above_all_that_is_drawn(draws: float) -> None:
    names = [f"row-{number}" for number in range(16)]
    metric = [*np.linspace(-104.0, -100.0, 12), -150.0, -160.0, -170.0, -180.0]
    over = pd.DataFrame({"variant": names, "stance": "theory", "elbo": metric})
    over[sharpness.MEAN], over[sharpness.DRAW] = 0.3, draws
    picture = sharpness.draw(over, "x", metric="elbo")
    frame = picture.axes[0]
    (words,) = (text for text in frame.texts if text.get_text().startswith("beyond"))
    assert words.get_text().count("beyond") == 4
    lowest = words.get_window_extent().y0
    assert lowest > max(frame.transData.transform((-102.0, height))[1] for height in (0.3, draws, 1.0))
    assert lowest > picture.axes[0].bbox.y0 + frame.bbox.height / 2


def test_bands_tell_the_groups_apart(five: tuple[Suite, pd.DataFrame]) -> None:
    suite, runs = five
    (ranking,) = sections(suite, leaderboard_table(suite, runs))
    data = intervals.table(ranking, values_by_seed(runs), "bits_per_dim")
    grouped = data.drop_duplicates("variant")["group"].tolist()
    (frame,) = intervals.draw(data, "title").axes
    assert len(frame.patches) == sum(group % 2 == 1 for group in grouped)
    assert {text.get_text() for text in frame.texts} >= {str(group) for group in grouped}


def test_the_plane_of_rate_and_distortion_holds_kl_and_reconstruction_of_counted_views_only(made: Made) -> None:
    planes = [name for name in made.figures if name.startswith("rate")]
    assert planes == ["rate-distortion-digits-binary", "rate-distortion-digits-binary-given-label"]
    data = made.figures["rate-distortion-digits-binary"].data
    for variant, rows in data.groupby("variant"):
        assert rows["rate"].tolist() == list(made.values("digits/binary", variant, "kl").values())
        distortions = [-value for value in made.values("digits/binary", variant, "reconstruction").values()]
        assert rows["distortion"].tolist() == distortions
    (frame,) = made.figures["rate-distortion-digits-binary"].draw().axes
    lines = [line for line in frame.lines if line.get_color() == style.RULE]
    sums = [line.get_xdata() + line.get_ydata() for line in lines]
    labels = [float(text.get_text().replace("−", "-")) for text in frame.texts[: len(lines)]]
    assert len(lines) >= 3
    for total, label in zip(sums, labels, strict=True):
        assert np.allclose(total, -label)


def test_sharpness_stands_over_the_ranking_metric_with_means_filled_and_draws_hollow(made: Made) -> None:
    figure = made.figures["sharpness-digits-grey"]
    for row in figure.data.to_dict("records"):
        for column in ("bits_per_dim", "sharpness.mean_ratio", "sharpness.ancestral_ratio"):
            values = list(made.values("digits/grey", row["variant"], column).values())
            assert row[column] == pytest.approx(np.mean(values))
    (frame,) = figure.draw().axes
    hollow = [line.get_ydata()[0] for line in frame.lines if line.get_markerfacecolor() == style.PAPER]
    assert hollow == figure.data["sharpness.ancestral_ratio"].tolist()


def test_names_next_to_marks_do_not_cover_each_other() -> None:
    picture, _ = style.canvas("title", 4.0)
    frame = style.axes(picture, 0.6, 0.6, 4.0, 3.0)
    frame.set_xlim(0, 10)
    frame.set_ylim(0, 10)
    shown = [marks.Mark(f"variant-{place}", "theory", 5.0, 5.0 + 0.4 * place) for place in range(3)]
    marks.name_all(picture, frame, shown, 0.2)
    picture.savefig(io.BytesIO(), format="png")
    boxes = [text.get_window_extent() for text in frame.texts]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


# Contrasts


@pytest.mark.parametrize("pattern", ["{name}", "{unit}", "{name}, {unit}"])
def test_labels_of_a_differences_picture_stay_clear_of_its_title(pattern: str) -> None:
    names = load_catalog().columns
    longest = max(names, key=lambda name: len(pattern.format(name=name, unit=load_catalog().column(name).unit)))
    data = pd.DataFrame({"seed": [0, 1], "theory": [1.0, 1.1], "practice": [2.0, 2.5], "difference": [1.0, 1.4]})
    picture = differences.draw(data, "A question? A verdict", "a", "b", longest)
    picture.savefig(io.BytesIO(), format="png")
    title = min(text.get_window_extent().y0 for text in picture.texts)
    for frame in picture.axes:
        label = frame.yaxis.label.get_window_extent()
        assert label.x0 >= 0
        assert label.y0 >= 0
        assert label.y1 <= title


@pytest.mark.parametrize("level", [0.0, -100.25, -123456.25])
def test_what_stands_beside_the_axes_of_differences_lies_on_the_picture_and_off_the_other_axes(level: float) -> None:
    rows = {"seed": range(4), "theory": [level, level + 1e-2, level + 3e-2, level], "practice": [level] * 4}
    data = pd.DataFrame(rows).assign(difference=lambda frame: frame["practice"] - frame["theory"] + level)
    picture = differences.draw(data, "A question? A verdict", "a", "b", "log_likelihood")
    picture.canvas.draw()
    both, alone = picture.axes
    assert both.get_tightbbox().x0 >= 0
    assert alone.get_tightbbox().x0 >= both.get_window_extent().x1
    assert both.get_window_extent().width == pytest.approx(alone.get_window_extent().width)
    assert both.get_window_extent().width > 60


def test_paired_differences_are_those_of_the_runs_with_their_mean_and_interval(
    five: tuple[Suite, pd.DataFrame],
) -> None:
    suite, runs = five
    test = next(test for test in contrast_tests(suite, runs) if test.primary)
    verdict = contrasts_table(suite, runs)["verdict"].iloc[0]
    figure = differences.make("contrast-1", test, verdict)
    by_seed = runs[runs["metric"] == "bits_per_dim"].pivot(index="seed", columns="variant", values="value")
    expected = by_seed["vae-gaussian"] - by_seed["vae-mse"]
    assert figure.data["difference"].tolist() == expected.tolist()
    assert verdict == statistics.PRACTICE_BETTER
    assert figure.title.startswith("Useful? Practice better: practice − theory is −0.")
    both, alone = figure.draw().axes
    assert [list(line.get_ydata()) for line in both.lines[:5]] == by_seed[["vae-mse", "vae-gaussian"]].values.tolist()
    interval = statistics.estimate(list(expected))
    drawn = [list(line.get_ydata()) for line in alone.lines]
    assert drawn == [[0.0, 0.0], expected.tolist(), [interval.low, interval.high], [interval.mean]]
    low, high = alone.get_ylim()
    assert low < min(0.0, interval.low)
    assert high > max(0.0, interval.high)


def test_two_seeds_are_shown_without_an_interval(made: Made) -> None:
    _, alone = made.figures["contrast-1-differences-digits-grey"].draw().axes
    assert len(alone.lines) == 3  # zero, seeds, mean
    assert "Not comparable" in made.figures["contrast-1-differences-digits-grey"].title


def test_samples_are_those_that_the_model_of_the_first_seed_kept(made: Made) -> None:
    for variant in ("vae-gaussian", "vae-mse"):
        data, arrays = made.figures[f"{variant}-samples-digits-grey"].data, made.arrays("digits/grey", variant)
        for kind, kept in (("real", "originals"), ("decoder means", "sample_means"), ("draws", "sample_draws")):
            assert np.array_equal(data[f"{variant}/{kind}"], arrays[kept][:20].astype(np.float32))


def test_samples_come_from_where_the_variant_says(made: Made) -> None:
    """One model under three names: what each shows is what its numbers are of."""
    names = {
        "_flat_vae_": ("sample_means", "sample_draws", "from the prior;"),
        "mixture": ("sample_means@fitted-gmm", "sample_draws@fitted-gmm", "from a Gaussian mixture fitted to codes"),
        "around": ("reconstructions", "reconstruction_draws", "from q(z|x) of the test image in its place"),
    }
    arrays = made.arrays("digits/binary", "_flat_vae_")
    for variant, (means, draws, whence) in names.items():
        shown = made.figures[f"{variant}-samples-digits-binary"]
        assert np.array_equal(shown.data[f"{variant}/decoder means"], arrays[means][:20].astype(np.float32))
        assert np.array_equal(shown.data[f"{variant}/draws"], arrays[draws][:20].astype(np.float32))
        assert whence in shown.caption
    assert not np.array_equal(arrays["sample_means"], arrays["sample_means@fitted-gmm"])


def test_every_law_of_the_catalog_has_its_words() -> None:
    assert set(samples.LAWS) == set(load_catalog().generation["prior"].choices)


def test_a_prior_that_is_asked_for_later_has_its_pictures_too(results: ResultsFolder) -> None:
    content = {
        "suite": "later",
        "datasets": ["digits/binary"],
        "recipe": {"extends": "quick", "epochs": 1},
        "defaults": {"latent": 2, "network": {"hidden": [8]}},
        "variants": ["vae"],
        "metrics": ["sharpness"],
    }
    for variants in (["vae"], ["vae", {"name": "mixture", "extends": "vae", "generation": {"prior": "fitted-gmm"}}]):
        suite = load_suite_mapping({**content, "variants": variants})
        LocalEngine(debug=True).run(plan(suite, results, device="cpu"), results, lambda event: None)
    with np.load(results.cell(expand(suite).planned[0].cell.id).arrays) as arrays:
        assert {"sample_means", "sample_means@fitted-gmm"} <= set(arrays.files)


def test_all_tiles_of_a_board_are_on_one_scale_from_black_to_white() -> None:
    dim, bright = np.array([[[0.0, 0.25]]]), np.array([[[1.0, 9.0]], [[-4.0, 0.5]]])
    shelves = [
        board.Shelf([board.Panel(np.full((1, 1, 8, 8), value)) for value in values.ravel()]) for values in (dim, bright)
    ]
    picture = board.board("title", shelves)
    middles = [image.get_array()[10, 10, 0] for image in picture.images]
    assert middles == [0, 64, 255, 255, 0, 128]
    assert len({image.get_array().shape for image in picture.images}) == 1


def test_tiles_without_an_image_stay_empty() -> None:
    grid = board.tiles(np.ones((3, 64), dtype=np.float32), columns=2)
    (image,) = board.board("title", [board.Shelf([board.Panel(grid)])]).images
    alpha = image.get_array()[..., 3]
    assert alpha[10, 10] == 255
    assert alpha[-10, 10] == 255
    assert alpha[-10, -10] == 0


def test_strips_run_from_two_sigma_below_the_mean_to_two_above(made: Made) -> None:
    data = made.figures["vae-gaussian-strips-digits-grey"].data
    arrays = made.arrays("digits/grey", "vae-gaussian")
    shown = strips.strips(data["vae-gaussian/mean"], data["vae-gaussian/sigma"])
    for column, sigmas in enumerate((-2, -1, 0, 1, 2)):
        expected = arrays["strip_means"].astype(float) + sigmas * arrays["strip_sigmas"].astype(float)
        np.testing.assert_allclose(shown[:, column], expected, atol=1e-6)
    assert "_flat_vae_-strips-digits-binary" not in made.figures


def test_strips_say_where_their_codes_come_from_and_are_of_no_other_law(made: Made) -> None:
    assert made.figures["vae-gaussian-strips-digits-grey"].caption.startswith("Each row is one z from the prior; ")
    assert made.figures["ae-strips-digits-grey"].caption.startswith("Each row is one z from N(0, I); ")
    assert "ae-mixture-samples-digits-grey" in made.figures
    assert "ae-mixture-strips-digits-grey" not in made.figures


def test_numbers_of_classes_with_one_middle_can_all_be_read_and_those_apart_stay() -> None:
    nearest = np.array([0.5, 0.25])
    apart = np.array([[0.0, 0.0], [2.0, 1.0], [-3.0, 4.0]])
    np.testing.assert_array_equal(latents._apart(apart, nearest), apart)
    pushed = latents._apart(np.zeros((10, 2)), nearest) / nearest
    gaps = np.linalg.norm(pushed[:, None] - pushed, axis=-1) + np.eye(10)
    assert gaps.min() > 0.9
    assert np.abs(pushed).max() < 4
    assert latents._apart(np.zeros((0, 2)), nearest).shape == (0, 2)


def test_codes_outside_the_frame_are_counted_and_circles_are_round() -> None:
    middle = np.random.default_rng(0).normal(size=(598, 2)) * [1.0, 0.2]
    codes = np.concatenate([middle, [[50.0, 0.0], [0.0, -40.0]]]).astype(np.float32)
    data = latents.table({"ae": {"codes": codes, "labels": np.arange(600) % 3}})
    frame = latents.draw(data, "x", circles=True).axes[0]
    (left, right), (bottom, top) = frame.get_xlim(), frame.get_ylim()
    outside = sum(not (left <= x <= right and bottom <= y <= top) for x, y in codes)
    assert outside >= 2
    assert f"{outside} outside" in [text.get_text() for text in frame.texts]
    assert np.ptp(frame.get_xlim()) == pytest.approx(np.ptp(frame.get_ylim()))
    within = latents.table({"ae": {"codes": np.tile(np.eye(2), (300, 1)), "labels": np.arange(600) % 3}})
    assert not [text for text in latents.draw(within, "x", circles=True).axes[0].texts if "outside" in text.get_text()]


def test_codes_are_shown_in_the_two_latents_of_largest_kl_on_the_same_axes(made: Made) -> None:
    variants = ("vae-gaussian", "vae-mse")
    data = latents.table({variant: made.arrays("digits/grey", variant) for variant in variants})
    shown = made.figures["vae-gaussian-latents-digits-grey"].data
    assert shown.equals(data[data["variant"] == "vae-gaussian"].reset_index(drop=True))
    for variant, rows in data.groupby("variant"):
        arrays = made.arrays("digits/grey", variant)
        first, second = sorted(np.argsort(-arrays["latent_kl"].astype(float))[:2])
        assert (rows["first"].unique(), rows["second"].unique()) == ([first], [second])
        np.testing.assert_allclose(rows["z_first"], arrays["codes"][:, first], atol=5.1e-4)
        np.testing.assert_allclose(rows["z_second"], arrays["codes"][:, second], atol=5.1e-4)
        np.testing.assert_array_equal(rows["class"], arrays["labels"])
    frames = latents.draw(data, "title", circles=False).axes
    assert len(frames) == 4
    assert len({(frame.get_xlim(), frame.get_ylim()) for frame in frames}) == 1
    alone = frames[1].lines[0]
    own = data[data["variant"] == "vae-gaussian"]
    assert len(alone.get_xdata()) == (own["class"] == latents.DIGIT).sum() > 10


def test_a_picture_loses_nothing_that_an_eye_would_miss_on_its_way_to_a_palette(made: Made) -> None:
    """No channel moves by more than half of a level, and what is left weighs less than half."""
    picture = made.figures["vae-mse-samples-digits-grey"].draw()
    with style.settings():
        buffer = io.BytesIO()
        picture.savefig(buffer, format="png", dpi=style.DPI, facecolor="none")
    packed = style.with_palette(buffer.getvalue())
    before, after = (
        np.asarray(Image.open(io.BytesIO(one)).convert("RGBA")).astype(int) for one in (buffer.getvalue(), packed)
    )
    seen = before[..., 3] > 128 / (style.LEVELS - 1)
    assert np.abs(before - after)[seen].max() <= 0.5 * 255 / (style.LEVELS - 1) + 1
    assert len(packed) < 0.6 * len(buffer.getvalue())


def test_a_picture_of_too_many_colours_stays_as_it_is() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "png")
    assert style.with_palette(buffer.getvalue()) == buffer.getvalue()


def test_every_class_has_a_look_of_its_own() -> None:
    looks = [latents._look(label) for label in range(10)]
    assert len(set(looks)) == 10


def test_counts_of_codes_are_those_of_the_whole_test_split_on_one_colour_scale(made: Made) -> None:
    figure = made.figures["contrast-2-code-counts-digits-binary"]
    for variant, rows in figure.data.groupby("variant"):
        counts = made.arrays("digits/binary", variant)["code_counts"]
        assert np.array_equal(rows.pivot(index="code", columns="class", values="images").to_numpy(), counts)
        assert rows["images"].sum() == 300
    limits = [frame.images[0].get_clim() for frame in figure.draw().axes]
    assert len(limits) == 2
    assert len(set(limits)) == 1


def test_agreement_is_the_share_that_majority_labels_get_right() -> None:
    data = pd.DataFrame({"code": [0, 0, 1, 1], "class": [0, 1, 0, 1], "images": [6, 2, 1, 1]})
    assert code_counts.agreement(data) == 0.7


def test_the_code_in_training_is_what_the_objective_logged(made: Made) -> None:
    figure = made.figures["contrast-2-code-training-digits-binary"]
    (cell,) = [
        planned.cell
        for planned in expand(made.suite).planned
        if (planned.variant, planned.cell.seed) == ("vmi-joint-vae", 1)
    ]
    logged = pd.read_csv(made.results.cell(cell.id).curves)
    own = figure.data[(figure.data["variant"] == "vmi-joint-vae") & (figure.data["seed"] == 1)]
    for term in ("information", "code_kl", "code_probability_0"):
        np.testing.assert_allclose(own[own["term"] == term]["value"], logged[term])
    shares = code_training.shares(figure.data[figure.data["variant"] == "joint-vae"])
    assert shares.shape == (10, 3)
    np.testing.assert_allclose(shares.sum(axis=0), 1.0)
    assert len(figure.draw().axes) == 4  # information, KL, a histogram for each
    assert figure.caption.startswith("The objective's bound on")
    assert ", and the code's KL: mean and range of the seeds. Then, epoch by epoch," in figure.caption
    alone = made.figures["joint-vae-code-training-digits-binary"]
    assert len(alone.draw().axes) == 2
    assert alone.caption.startswith("The code's KL: mean and range of the seeds. Then, epoch by epoch,")
    bound = figure.data[figure.data["term"] == "information"]
    assert code_training.caption(bound).endswith("where it has one: mean and range of the seeds.")
    assert "vmi-vae-code-training-digits-binary" not in made.figures  # it has no category; its curves say it all


# Variants


def test_curves_show_every_logged_term_with_the_range_of_the_seeds_and_the_kept_epoch(made: Made) -> None:
    figure = made.figures["vmi-vae-curves-digits-binary"]
    cells = {planned.cell.seed: planned.cell for planned in expand(made.suite).planned if planned.variant == "vmi-vae"}
    for seed, cell in cells.items():
        folder = made.results.cell(cell.id)
        logged = pd.read_csv(folder.curves)
        own = figure.data[figure.data["seed"] == seed]
        assert set(own["term"]) == set(logged.columns) - {"epoch", "step"}
        np.testing.assert_allclose(own[own["term"] == "kl"]["value"], logged["kl"])
        kept = own[own["selected"]]["epoch"].unique().tolist()
        assert kept == [folder.read_record().training["selected_epoch"]]
    frames = figure.draw().axes
    assert [frame.get_title(loc="left") for frame in frames] == [
        *("loss, nats", "auxiliary loss, nats", "reconstruction, nats", "kl, nats", "information, nats")
    ]
    wide = figure.data[figure.data["term"] == "kl"].pivot(index="epoch", columns="seed", values="value")
    band = frames[3].collections[0].get_paths()[0].vertices
    assert set(np.round(band[:, 1], 9)) == set(np.round(wide.to_numpy().ravel(), 9))
    np.testing.assert_allclose(frames[3].lines[0].get_ydata(), wide.mean(axis=1))


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([[9.0, 5.0, 2.0], [9.0, 6.0, 2.5]], "between 2 and 2.500 nats in 2 seeds, 3.2 below the epoch before"),
        ([[9.0, 5.0, 5.5]], "at 5.500 nats, 0.50 above the epoch before"),
        ([[9.0, 5.0, 5.0]], "at 5 nats"),
        ([[9.0, 5.0]], "at 5 nats"),
    ],
)
def test_the_title_of_curves_says_how_far_the_last_epoch_still_went(losses: list[list[float]], told: str) -> None:
    rows = [
        {"term": "loss", "epoch": epoch, "seed": seed, "value": value, "selected": epoch == len(values)}
        for seed, values in enumerate(losses)
        for epoch, value in enumerate(values, start=1)
    ]
    assert curves.title("vae", pd.DataFrame(rows)) == f"vae: the loss ends {told}"


def test_a_long_training_is_drawn_with_a_bounded_number_of_points() -> None:
    epochs = np.arange(1, 2001)
    data = pd.DataFrame({"term": "loss", "epoch": epochs, "seed": 0, "value": 1.0 / epochs, "selected": epochs == 2000})
    (frame,) = curves.draw(data, "title").axes
    assert 200 < len(frame.lines[0].get_xdata()) <= 400


def test_grids_of_one_variant_hold_its_arrays(made: Made) -> None:
    flat, joint = made.arrays("digits/binary", "_flat_vae_"), made.arrays("digits/binary", "joint-vae")
    vmi, unweighed = (made.arrays("digits/binary", name) for name in ("vmi-vae", "_unweighed_"))

    def data(name: str) -> dict[str, np.ndarray]:
        return made.figures[f"{name}-digits-binary"].data

    assert np.array_equal(data("_flat_vae_-manifold")["_flat_vae_"], flat["manifold"].astype(np.float32))
    labelled = made.arrays("digits/binary", "flat-cvae")
    assert list(data("flat-cvae-manifold")) == ["flat-cvae/4", "flat-cvae/9"]
    assert np.array_equal(data("flat-cvae-manifold")["flat-cvae/9"], labelled["manifold"][1].astype(np.float32))
    assert np.array_equal(data("_flat_vae_-traversals")["traversals"], flat["traversals"].astype(np.float32))
    assert np.array_equal(data("joint-vae-categories")["joint-vae/means"], joint["category_means"].astype(np.float32))
    assert np.array_equal(data("vmi-vae-plane")["vmi-vae"], vmi["planes"][0].astype(np.float32))
    assert data("vmi-vae-plane")["vmi-vae/latents"].tolist() == [0, 1]
    assert np.array_equal(data("_unweighed_-plane")["_unweighed_"], unweighed["planes"][0].astype(np.float32))
    assert data("_unweighed_-plane")["_unweighed_/latents"].tolist() == [0, 1]
    assert np.array_equal(data("sub-code")["vmi-vae"], vmi["far_walks"][0].astype(np.float32))
    assert np.array_equal(data("sub-code")["vmi-vae/original"], vmi["far_original"].astype(np.float32))
    reconstructed = data("cvae-reconstructions")
    assert list(reconstructed) == ["original", "cvae/mean", "cvae/draw"]
    assert set(np.unique(reconstructed["cvae/draw"])) <= {0.0, 1.0}


def walked(data: dict[str, np.ndarray]) -> list[tuple[str, str]]:
    """The names of an original and of the walk from it, of each variant."""
    return [(f"{name}/original", name) for name in data if f"{name}/original" in data]


@pytest.mark.parametrize(
    ("name", "grids"),
    [
        ("_flat_vae_-manifold", lambda data: [data["_flat_vae_"]]),
        ("vmi-vae-plane", lambda data: [data["vmi-vae"]]),
        ("sub-code", lambda data: [data[name].reshape(1, -1, 64) for pair in walked(data) for name in pair]),
        ("joint-vae-categories", lambda data: [data["joint-vae/originals"][:, None], data["joint-vae/means"]]),
        ("cvae-samples", lambda data: [data[f"cvae/{kind}"].reshape(4, 5, -1) for kind in samples.KINDS]),
    ],
)
def test_every_tile_of_a_grid_is_drawn_at_its_place(made: Made, name: str, grids) -> None:
    """Panel after panel, the tile in each row and column is the image of the data."""
    figure = made.figures[f"{name}-digits-binary"]
    for image, grid in zip(figure.draw().images, grids(figure.data), strict=True):
        rows, columns, _ = grid.shape
        mosaic = image.get_array()[..., 0] / 255.0
        step = (len(mosaic) - board.SEAM) // rows
        for row, column in np.ndindex(rows, columns):
            top, left = row * step + board.SEAM, column * step + board.SEAM
            tile = mosaic[top : top + step - board.SEAM, left : left + step - board.SEAM]
            side = round(grid.shape[-1] ** 0.5)
            nearest = np.arange(len(tile)) * side // len(tile)
            expected = grid[row, column].reshape(side, side)[np.ix_(nearest, nearest)]
            np.testing.assert_allclose(tile, np.clip(expected, 0, 1), atol=0.5 / 255 + 1e-6)


# What can go wrong


def test_a_broken_figure_costs_only_itself(made: Made, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good, other = made.figures["intervals-digits-grey"], made.figures["sharpness-digits-grey"]

    def explode(*anything: object, **more: object) -> None:
        raise ValueError("no such thing")

    broken = replace(good, name="broken", drawer=explode)
    assert [one.figure.name for one in write_figures([good, broken, other], tmp_path)] == [good.name, other.name]
    (line,) = caplog.messages
    assert line == "the figure broken is left out: ValueError: no such thing"


def test_without_matplotlib_it_is_said_once_and_what_was_drawn_before_stays(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = [made.figures["intervals-digits-grey"], made.figures["sharpness-digits-grey"]]
    write_figures(chosen, tmp_path)
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    monkeypatch.setattr(catalogue, "find_spec", lambda package: None)
    assert write_figures(chosen[:1], tmp_path) == []
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before
    assert caplog.messages == ["no picture is drawn: matplotlib is not installed; pip install matplotlib"]


def test_a_kind_that_fails_on_one_variant_is_said_and_left_out(
    made: Made, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original: Callable[..., pd.DataFrame] = latents.table

    def table(models: dict[str, dict[str, np.ndarray]]) -> pd.DataFrame:
        if "ae" in models:
            raise KeyError("codes")
        return original(models)

    monkeypatch.setattr(latents, "table", table)
    found = [one.name for one in figures(made.suite, made.results, made.runs, made.leaderboard, made.contrasts)]
    assert set(made.figures) - set(found) == {"ae-latents-digits-grey"}
    assert caplog.messages == ["a figure is left out (latents of ae on digits/grey): KeyError: 'codes'"]


def test_damaged_or_missing_arrays_cost_their_pictures_and_no_others(
    made: Made, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    results = ResultsFolder(tmp_path)
    for planned in {planned.cell.id: planned for planned in expand(made.suite).planned}.values():
        source, copy = made.results.cell(planned.cell.id), results.cell(planned.cell.id)
        copy.path.mkdir(parents=True)
        for path in (source.result, source.curves, source.arrays):
            (copy.path / path.name).write_bytes(path.read_bytes())
        if planned.variant == "vae-mse":
            copy.arrays.write_bytes(b"PK\x03\x04 not a zip file")
        if planned.variant == "cvae":
            copy.arrays.unlink()
    found = {one.name for one in figures(made.suite, results, made.runs, made.leaderboard, made.contrasts)}
    lost = set(made.figures) - found
    assert lost
    assert all(name.startswith(("vae-mse-", "cvae-", "contrast-1-")) and "curves" not in name for name in lost)
    assert {"vae-mse-curves-digits-grey", "contrast-1-differences-digits-grey"} <= found
    assert any("arrays.npz cannot be read" in message for message in caplog.messages)


def test_figures_of_an_earlier_report_are_removed_and_nothing_else_is(made: Made, tmp_path: Path) -> None:
    grid = next(figure for figure in made.figures.values() if figure.is_image_grid)
    write_figures([made.figures["sharpness-digits-grey"], grid], tmp_path)
    for name in ("notes.md", "data/notes.md", "mine.svg", "data/mine.csv"):
        (tmp_path / name).write_text("x")
    write_figures([made.figures["intervals-digits-grey"]], tmp_path)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    name = "intervals-digits-grey"
    ours = [f"data/{name}.csv", "index.json", f"{name}.svg"]
    assert left == sorted([*ours, "data/notes.md", "notes.md", "mine.svg", "data/mine.csv"])


def test_a_suite_without_a_single_model_has_no_figures(made: Made, tmp_path: Path) -> None:
    runs = made.runs.assign(status="missing", value=np.nan)
    empty = leaderboard_table(made.suite, runs), contrasts_table(made.suite, runs)
    assert list(figures(made.suite, ResultsFolder(tmp_path), runs, *empty)) == []


def test_names_that_look_alike_in_a_path_get_files_of_their_own(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    assert slug("a[b=1]", "curves", "digits/grey") == slug("a-b-1", "curves", "digits/grey")
    alike = ["a-b-1", "A-b-1", "a-b-1"]
    figure = made.figures["vae-mse-curves-digits-grey"]
    makers = [functools.partial(replace, figure, name=name) for name in alike]
    monkeypatch.setattr(catalogue, "_makers", lambda *records: makers)
    found = figures(made.suite, made.results, made.runs, made.leaderboard, made.contrasts)
    assert [one.name for one in found] == ["a-b-1", "A-b-1-2", "a-b-1-3"]


def test_file_names_hold_nothing_that_an_address_or_a_disk_minds(made: Made) -> None:
    names = list(made.figures)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") for name in names)


def test_long_names_are_broken_where_they_have_joints() -> None:
    assert style.name_lines("vmi-joint-vae-prior-entropy[lambda=10]", 26) == [
        *("vmi-joint-vae-prior-", "entropy", "[lambda=10]")
    ]
    assert style.name_lines("pythae-iwae:log_likelihood", 14) == ["pythae-iwae:", "log_likelihood"]
    assert style.name_lines("pythae-iwae:claimed.surrogate", 14) == ["pythae-iwae:", "claimed.", "surrogate"]
    assert style.name_lines("vae", 26) == ["vae"]
    assert "".join(style.name_lines("x" * 80, 26)) == "x" * 80


@pytest.mark.parametrize("epochs", [0, 1, 399, 400, 401, 10_000])
def test_of_a_long_training_the_data_of_a_picture_have_few_epochs_and_the_last_one(epochs: int) -> None:
    logged = pd.DataFrame({"epoch": np.arange(1.0, epochs + 1)})
    kept = curves.thinned(logged)
    assert min(epochs, 200) <= len(kept) <= 400
    assert list(kept["epoch"][-1:]) == list(logged["epoch"][-1:])
    assert set(np.diff(kept["epoch"])) <= {float(-(-epochs // 400))}
