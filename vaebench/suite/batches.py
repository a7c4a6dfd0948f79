"""Objectives that compare the images of a batch with each other, and batches too small for that."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from vaebench.catalog.catalog import Catalog
from vaebench.suite.mistakes import Findings, enumerated

if TYPE_CHECKING:
    from vaebench.suite.suite import Variant


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
