"""The picture at the top of README.md, and the numbers under it."""

import re
from pathlib import Path

import pandas as pd
import pytest

from vaebench.reporting import readme_picture

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "results" / "theory_vs_practice"


def test_readme_shows_what_is_published() -> None:
    """No number in there by hand: after another publication the block is stale, and this says so."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = readme_picture.PLACE.search(text)
    assert found is not None
    assert found[0] == f"{found[1]}{readme_picture.lines(PUBLISHED)}\n{found[2]}"


def test_images_stand_beside_their_own_scores() -> None:
    """Means and draws of each variant carry the mean over seeds of their own Fréchet distance, taken from runs.csv."""
    runs = pd.read_csv(PUBLISHED / "runs.csv", dtype={"metric": str})
    texts = [text.get_text() for text in readme_picture.picture(PUBLISHED).texts]
    for variant, what in readme_picture.VARIANTS.items():
        first = texts.index(f"{variant}: {what}") + 1
        real, *scored = texts[first : first + 3]
        assert real == "real"
        for text, name, metric in zip(scored, ("means", "draws"), ("frechet.mean", "frechet.ancestral"), strict=True):
            of_seeds = runs[(runs["view"] == "grey") & (runs["variant"] == variant) & (runs["metric"] == metric)]
            told = re.fullmatch(rf"{name}: FD ([\d.,]+) ± [\d.,]+", text)
            assert told, text
            assert float(told[1].replace(",", "")) == pytest.approx(of_seeds["value"].mean(), rel=0.02)


def test_the_block_is_replaced_and_the_rest_left_alone(tmp_path: Path) -> None:
    """Made again from the same results, README.md stays as it is to the letter."""
    (tmp_path / "docs").mkdir()
    before = (ROOT / "README.md").read_text(encoding="utf-8")
    (tmp_path / "README.md").write_text(before, encoding="utf-8")
    readme_picture.main(PUBLISHED, tmp_path)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == before
    assert (tmp_path / "docs" / "means_and_draws.png").read_bytes().startswith(b"\x89PNG")
