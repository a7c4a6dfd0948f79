"""The picture at the top of README.md: what popular code shows as samples, beside what the same models draw.

    python -m vaebench.reporting.readme_picture results/theory_vs_practice

writes docs/means_and_draws.png and the lines under it in README.md, from the images and numbers that were published.
"""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaebench.engines.lockfile import read_lock
from vaebench.reporting.figures import style
from vaebench.reporting.figures.board import Panel, Shelf, board, tiles
from vaebench.reporting.figures.catalogue import stored_figures
from vaebench.reporting.leaderboard import Leaderboard
from vaebench.reporting.runs import read_runs
from vaebench.reporting.sections import shown
from vaebench.reporting.text import markdown_table
from vaebench.store.files import replacing, write_text
from vaebench.store.folders import SuiteFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

VIEW = "mnist/grey"
VARIANTS = {
    "vae-gaussian-floor": "σ(z) learned, above 0.1",
    "vae-gaussian-shared": "one σ, learned",
    "vae-mse": "σ = 1, called MSE",
}
BESIDE = {
    "vae-half-sigma": "σ = ½",
    "vae-gaussian": "σ(z) learned, above 0.001",
    "independent-levels": "no code, a histogram for each pixel",
}
"""In the table alone: a smaller σ, what the singularity does to a short training, and what knows nothing."""
PANELS = {"real": ("real", ""), "decoder means": ("means", "frechet.mean"), "draws": ("draws", "frechet.ancestral")}
"""Images in the stored figure → what stands above them, and the number that says how far they are from the data's."""
COLUMNS = {
    "bits_per_dim": "bits per dimension ↓",
    "frechet.mean": "Fréchet distance of decoder means ↓",
    "frechet.ancestral": "of draws ↓",
    "sharpness.mean_ratio": "sharpness of means (data: 1)",
    "sharpness.ancestral_ratio": "of draws",
}
WIDE = 6
IMAGES = 12
TITLE = "Decoder means are not samples"
PLACE = re.compile(r"(<!-- picture: [^\n]* -->\n).*?(<!-- /picture -->\n)", re.DOTALL)


def rows_of(folder: Path) -> dict[str, Any]:
    """Variant → its row of the leaderboard."""
    dataset, _, view = VIEW.partition("/")
    table = Leaderboard.read(folder).filter(dataset=dataset, view=view, variant=[*VARIANTS, *BESIDE]).table
    return {row["variant"]: row for row in table.to_dict("records")}


def picture(folder: Path) -> "Picture":
    rows = rows_of(folder)
    images = {figure.name: figure.data for figure in stored_figures(SuiteFolder(folder).figures)}
    shelves = []
    for variant, what in VARIANTS.items():
        stored: Any = images[f"{variant}-samples-{VIEW.replace('/', '-')}"]
        panels = [
            Panel(
                tiles(stored[f"{variant}/{kind}"][:IMAGES], WIDE),
                f"{name}: FD {shown(rows[variant], metric)}" if metric else name,
            )
            for kind, (name, metric) in PANELS.items()
        ]
        shelves.append(Shelf(panels, f"{variant}: {what}"))
    return board(TITLE, shelves)


def lines(folder: Path) -> str:
    """Markdown for README.md: the picture, and the numbers of its models."""
    rows = rows_of(folder)
    cells = [
        [f"`{name}`, {what}", *(shown(rows[name], metric) for metric in COLUMNS)]
        for name, what in {**VARIANTS, **BESIDE}.items()
    ]
    table = markdown_table(["MNIST, grey", *COLUMNS.values()], cells, tuple(range(1, 1 + len(COLUMNS))))
    (seeds,) = {row["seeds"] for row in rows.values()}
    epochs = read_lock(SuiteFolder(folder).lock).suite.recipe["epochs"]
    return (
        f"![{TITLE}](docs/means_and_draws.png)\n\n{table}\n\n"
        f"Means over {seeds} seeds of {epochs} epochs, ± half of the 95 % interval, from\n"
        f"[{folder.name}](results/{folder.name}/report.md). {_same_images(folder)}\n"
        "So short a training of σ(z) with so low a floor as 0.001 may be caught by\n"
        "[a density that grows as σ falls](docs/theory/gaussian_decoders.md#the-singularity).\n"
        "Bits per dimension are upper estimates where there is a code, and reward most who knows\n"
        "[black pixels](docs/theory/grey_pixels.md#what-knows-nothing-scores): N(0, 1) at every pixel has\n"
        "2.63, without any code. The Fréchet distance (FD) is in the features of a small classifier, and compares\n"
        "with no published number."
    )


def _same_images(folder: Path) -> str:
    """What the intervals leave out, for they are between seeds: which images the bits are taken on."""
    dataset, _, view = VIEW.partition("/")
    runs = read_runs(SuiteFolder(folder).runs)
    runs = runs[(runs["dataset"] == dataset) & (runs["view"] == view) & (runs["metric"] == "bits_per_dim")]
    runs = runs[runs["variant"].isin([*VARIANTS, *BESIDE])]
    (images,) = set(runs["protocol"].str.extract(r"\bimages=(\d+)")[0])
    error = runs["stderr"].median()
    return (
        f"All bits are of the same {images} test images;\n"
        f"others would move them by about {error:.2f}, one standard error."
    )


def main(folder: Path, root: Path) -> None:
    content = style.png(picture(folder))
    with replacing(root / "docs" / "means_and_draws.png") as temporary:
        temporary.write_bytes(content)
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    write_text(readme, PLACE.sub(lambda found: f"{found[1]}{lines(folder)}\n{found[2]}", text))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).resolve().parents[2])
