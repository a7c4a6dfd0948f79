"""Every check of everything that a plugin brings."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from vaebench.catalog.catalog import load_catalog
from vaebench.conformance import answers, datasets, densities, metrics, objectives, steps, variants
from vaebench.conformance.finding import Breach, Finding, NotAsked
from vaebench.conformance.trial import trial
from vaebench.plugins.declaring import Declaration
from vaebench.plugins.faults import near_path, place, told
from vaebench.plugins.plugin import Plugin


@dataclass(frozen=True)
class Check:
    """One promise of a kind of thing."""

    name: str
    ask: Callable[[Any], None]
    """Raises Breach where the promise is not kept."""
    needs: tuple[str, ...] = ()
    """Checks without which the question says nothing."""


ANSWERS = ("shapes", "determinism")
OF_PARTS = (
    Check("float64", answers.precision, ANSWERS),
    Check("devices", answers.devices, ("shapes",)),
    Check("storing", answers.storing, ANSWERS),
    Check("fleet", steps.fleet, (*ANSWERS, "kl", "gradients", "float64")),
)
GRADIENTS = Check("gradients", steps.part_gradients, ("shapes", "kl"))
FIRST = (Check("shapes", answers.shapes), Check("determinism", answers.determinism, ("shapes",)))
CHECKS: dict[str, tuple[Check, ...]] = {
    "likelihood": (
        *FIRST,
        Check("normalisation", densities.likelihood_normalisation, ANSWERS),
        Check("draws", densities.likelihood_draws, ("normalisation",)),
        Check("bins", densities.bin_masses, ("normalisation",)),
        GRADIENTS,
        *OF_PARTS,
    ),
    "posterior": (
        *FIRST,
        Check("normalisation", densities.posterior_normalisation, ANSWERS),
        Check("draws", densities.posterior_draws, ("normalisation",)),
        Check("kl", densities.divergence, ("normalisation",)),
        GRADIENTS,
        *OF_PARTS,
    ),
    "prior": (
        *FIRST,
        Check("normalisation", densities.prior_normalisation, ANSWERS),
        Check("draws", densities.prior_draws, ("normalisation",)),
        Check("kl", densities.divergence, ("normalisation",)),
        GRADIENTS,
        *OF_PARTS,
    ),
    "network": (*FIRST, GRADIENTS, *OF_PARTS),
    "objective": (
        Check("shapes", objectives.shapes),
        Check("determinism", objectives.determinism, ("shapes",)),
        Check("gradients", objectives.gradients, ("shapes",)),
        Check("float64", objectives.precision, ("shapes",)),
        Check("devices", objectives.devices, ("shapes",)),
        Check("fleet", steps.fleet, (*ANSWERS, "gradients", "float64")),
    ),
    "dataset": (Check("shapes", datasets.shapes), Check("determinism", datasets.determinism, ("shapes",))),
    "metric": (
        Check("shapes", metrics.shapes),
        Check("determinism", metrics.determinism, ("shapes",)),
        Check("blocks", metrics.blocks, ANSWERS),
        Check("order", metrics.order, ANSWERS),
    ),
    "variant": (
        Check("fits", variants.fits),
        Check("trains", variants.trains, ("fits",)),
        Check("fleet", variants.fleet, ("trains",)),
    ),
}
"""Kind → what it promises, in the order in which it is asked."""


def examine(plugin: Plugin) -> Iterator[Finding]:
    """Try everything that a loaded plugin brings."""
    for declaration in plugin.declarations:
        yield from examined(declaration)


def examined(declaration: Declaration) -> Iterator[Finding]:
    """Every check of one thing; those that build upon one that has failed are not asked."""
    where = f"{near_path(declaration.file)}:{declaration.line}"
    thing = f"{declaration.kind} {declaration.name}"
    failed: dict[str, None] = {}
    for check in CHECKS[declaration.kind]:
        missing = [name for name in check.needs if name in failed]
        breach, why = ("", f"needs {', '.join(missing)}") if missing else _asked(check, declaration)
        if breach or missing:
            failed[check.name] = None
        yield Finding(where, thing, check.name, breach, why, waits=bool(missing))


def _asked(check: Check, declaration: Declaration) -> tuple[str, str]:
    """What is wrong, and why nothing could be asked; whatever the plugin itself raises is wrong."""
    try:
        check.ask(_subject(declaration))
    except Breach as breach:
        return str(breach), ""
    except NotAsked as reason:
        return "", str(reason)
    except Exception as error:
        cause = error.__cause__ if type(error).__name__ == "ContractError" and error.__cause__ else error
        at = place(cause, "")
        return f"expected an answer; came {told(cause)}" + (f" ({at})" if at else ""), ""
    return "", ""


def _subject(declaration: Declaration) -> Any:
    """What the checks of its kind are asked about."""
    catalog, kind, name = load_catalog(), declaration.kind, declaration.name
    if kind == "dataset":
        return datasets.Loading(catalog.datasets[name])
    if kind == "metric":
        return metrics.Asking(catalog.metrics[name])
    if kind == "variant":
        return variants.Training(name)
    return trial(catalog.parts[kind][name])
