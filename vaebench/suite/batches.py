"""Batches too small for what compares their images with each other, or larger than what they are drawn from."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from vaebench.catalog.catalog import Catalog
from vaebench.suite.mistakes import Findings, enumerated

if TYPE_CHECKING:
    from vaebench.suite.suite import Variant


def check_images(recipe: Mapping[str, Any], sources: Iterable[str], catalog: Catalog, findings: Findings) -> None:
    """A batch or a share of a data set that has more images than are there goes to `findings`."""
    for name in dict.fromkeys(source.partition("/")[0] for source in sources):
        splits, first = catalog.datasets[name].splits, recipe.get("first_images")
        images = splits["train"] + (splits["validation"] if recipe["train"] == "all" else 0)
        if first is not None and first > images:
            findings.add(("recipe", "first_images"), f"{name} has {images} training images, is {first}")
        elif recipe["batch"] > (first or images):
            findings.add(
                ("recipe", "batch"), f"on {name} it is drawn from {first or images} images, is {recipe['batch']}"
            )


def check_batch(recipe: Mapping[str, Any], variants: Iterable["Variant"], catalog: Catalog, findings: Findings) -> None:
    """What needs more images a step than the recipe gives goes to `findings`, a line for each objective."""
    needing: dict[str, list[str]] = {}
    for variant in variants:
        needing.setdefault(variant.composition["objective"]["name"], []).append(variant.name)
    for name, named in needing.items():
        least = catalog.parts["objective"][name].least_batch
        if least is not None and recipe["batch"] < least:
            what = f"objective {name} of {enumerated(named)} compares images, so it needs a batch of {least} at least"
            findings.add(("recipe", "batch"), f"{what}, is {recipe['batch']}")
