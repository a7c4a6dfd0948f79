"""How large a model is, told from its choices: what an epoch of it costs beside that of another."""

import itertools

from vaebench.catalog.catalog import load_catalog
from vaebench.store.cell import Cell

BESIDE = 1e5
"""Products that coding an image, and decoding a draw, cost as much as beside those of their layers: elements of images,
steps of the optimiser. By the records of this project's suites, whose estimates it serves best."""


def size(cell: Cell, draws: int | None = None) -> float:
    """Products of a pass forward over one image: its encoder's once, its decoder's for each of the draws of a training
    step, or as many as are given."""
    taken = cell.composition["objective"].get("samples") if draws is None else draws
    return (BESIDE + _products(cell)) * (1 + (taken if isinstance(taken, int) and taken > 0 else 1))


def _products(cell: Cell) -> int:
    """Of the encoder's layers, or the decoder's, which mirror them; of a network that brings no widths, as if x and z
    were all there is."""
    network, latent = cell.composition["network"], cell.composition["latent"]
    dataset = load_catalog().datasets[cell.dataset]
    if network["name"] == "conv" and dataset.side is not None:
        return _of_convolutions(network["channels"], dataset.side, latent)
    gates = {"mlp": 1, "gated": 2}.get(network["name"], 0)
    widths = [dataset.pixels, *(network["hidden"] if gates else ()), latent]
    return max(gates, 1) * sum(before * after for before, after in itertools.pairwise(widths))


def _of_convolutions(channels: list[int], side: int, latent: int) -> int:
    """3 × 3, each of stride 2, and then the code."""
    found, before = 0, 1
    for after in channels:
        side = -(-side // 2)
        found += side * side * 9 * before * after
        before = after
    return found + side * side * before * latent
