"""When two numbers answer the same question: likelihoods on one measure, given the same."""

from vaebench.catalog.catalog import load_catalog
from vaebench.suite.suite import Variant

SEEDS_FOR_VERDICT = 5
"""With fewer the two sides of a contrast are shown, and nothing is said of them."""


def measure_of(variant: Variant, view: str) -> str:
    """That of the likelihood where it has its own, else the view's."""
    catalog = load_catalog()
    own = catalog.parts["likelihood"][variant.composition["likelihood"]["name"]].measure
    return own or catalog.views[view].measure


def given(variant: Variant) -> str:
    """What its densities are given beside z: `label`, or nothing."""
    return "label" if variant.composition["conditional"] else ""


def incomparable(theory: Variant, theory_column: str, practice: Variant, practice_column: str, view: str) -> str | None:
    """Why two columns of two variants are different quantities on a view; None where they may be compared."""
    catalog = load_catalog()
    families = catalog.metric_of(theory_column), catalog.metric_of(practice_column)
    measures = measure_of(theory, view), measure_of(practice, view)
    if any(family.density for family in families) and measures[0] != measures[1]:
        theirs = f"that of {practice.name} on {measures[1]}"
        return f"{theory_column} of {theory.name} is on the measure {measures[0]}, {theirs}"
    if any(family.likelihood for family in families):
        sides = [
            (variant.name, "" if column.endswith(".marginal") else given(variant))
            for variant, column in ((theory, theory_column), (practice, practice_column))
        ]
        if sides[0][1] != sides[1][1]:
            told = next(name for name, what in sides if what)
            return f"{told} is given the label and the other is not; log_likelihood.marginal compares them"
    return None
