"""What a plugin says of itself: `@vaebench.likelihood("laplace", …)` and its kin, and `vaebench.variant(…)`.

A declaration is left in the module where it is made, and nothing else happens: to import a plugin's module, in a test
or a notebook, changes nothing. Only to load it (vaebench.plugins.loading) brings its parts into the catalog.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

DECLARED = "__vaebench__"
"""Name in a module under which its declarations are kept."""

Thing = TypeVar("Thing")
Decorator = Callable[[Thing], Thing]
Parameters = Mapping[str, Mapping[str, Any]]
"""Name → type, default, bounds, `setting`, help: what the catalog's own YAML says of a parameter."""


@dataclass(frozen=True)
class Declaration:
    """One thing that a plugin brings."""

    kind: str
    """likelihood, posterior, prior, objective, network, dataset, metric, variant; `variants` for a YAML file."""
    name: str
    """Of the thing; of a YAML file its path."""
    content: dict[str, Any]
    """What the catalog's entry says."""
    file: str
    line: int
    thing: Any = None
    """The class or function; None where there is none."""
    module: str = ""
    """Where the thing is found."""

    @property
    def implementation(self) -> str:
        return f"{self.module}:{self.thing.__qualname__}"


def declarations(module: ModuleType) -> tuple[Declaration, ...]:
    """What a module has declared, in its order."""
    return tuple(vars(module).get(DECLARED, ()))


def likelihood(
    name: str,
    *,
    title: str = "",
    equation: str = "",
    views: Iterable[str] | None = None,
    parameters: Parameters | None = None,
    requires: Mapping[str, Iterable[str]] | None = None,
    measure: str | None = None,
) -> Decorator[Any]:
    """A head p(x|z): a torch module, `Class(decoder, **parameters)`, from features to a distribution over pixels.

    `views`: those on which it is a probability (binary, static-binary, threshold) or a density (grey, dequantised,
    real) of what is seen; None: all. `measure="levels"`: a mass on grey levels.
    """
    return _declaring("likelihood", name, locals())


def posterior(
    name: str,
    *,
    title: str = "",
    equation: str = "",
    parameters: Parameters | None = None,
    requires: Mapping[str, Iterable[str]] | None = None,
    analytic_kl: bool = True,
    has: Iterable[str] | None = None,
) -> Decorator[Any]:
    """A head q(z|x): a torch module, `Class(encoder, latent, **parameters)`, from features to a distribution of codes
    that has `from_noise(noise)`, noise being `noise_size` standard normals.

    `analytic_kl=False`: there is no closed form of its KL; only objectives with `kl: monte-carlo` take it. `has`:
    "spread" where a code is no point, "category" where there is one among the latents, so that a metric which needs
    them is refused before anything is trained; None: nobody knows.
    """
    return _declaring("posterior", name, locals(), checks=[] if analytic_kl else ["kl-monte-carlo"])


def prior(
    name: str,
    *,
    title: str = "",
    equation: str = "",
    parameters: Parameters | None = None,
    requires: Mapping[str, Iterable[str]] | None = None,
    analytic_kl: bool = True,
) -> Decorator[Any]:
    """p(z): a torch module, `Class(latent, shape, **parameters)`, called with the map from inputs to q(z|x)."""
    return _declaring("prior", name, locals(), checks=[] if analytic_kl else ["kl-monte-carlo"])


def objective(
    name: str,
    *,
    title: str = "",
    equation: str = "",
    parameters: Parameters | None = None,
    requires: Mapping[str, Iterable[str]] | None = None,
) -> Decorator[Any]:
    """What is maximised: `function(model, choices, shape, images)` that returns an
    `vaebench.objectives.player.Objective`."""
    return _declaring("objective", name, locals())


def network(
    name: str,
    *,
    title: str = "",
    parameters: Parameters | None = None,
    requires: Mapping[str, Iterable[str]] | None = None,
    needs_images: bool = False,
) -> Decorator[Any]:
    """`Class(**parameters)` with `encoder(shape, beside)` and `decoder(latent, shape)`, see
    vaebench.models.networks.trunk. `needs_images`: it works on squares of pixels only."""
    return _declaring("network", name, locals(), checks=["network-needs-images"] if needs_images else [])


def dataset(
    name: str,
    *,
    pixels: int,
    splits: Mapping[str, int],
    views: Iterable[str],
    title: str = "",
    side: int | None = None,
    levels: int | None = None,
    classes: int | None = None,
) -> Decorator[Any]:
    """`function(name, root)` that returns a `vaebench.data.dataset.Dataset`.

    `splits`: train, validation, test → number of images; `levels`: grey levels L, None where values are real.
    """
    return _declaring("dataset", name, locals())


def metric(
    name: str,
    *,
    unit: str,
    better: str,
    title: str = "",
    equation: str = "",
    head: bool = True,
    parts: Mapping[str, Mapping[str, str]] | None = None,
    parameters: Parameters | None = None,
    views: Iterable[str] | None = None,
    group: str = "",
    density: bool = False,
    likelihood: bool = False,
    labels: bool = False,
    images: bool = False,
    generates: bool = False,
    unconditional: bool = False,
    needs: str = "",
    estimator: str = "",
    bias: str = "",
    caps: str = "",
) -> Decorator[Any]:
    """`function(subject, protocol)` that returns a list of `vaebench.metrics.answer.Answer`.

    `better`: higher, lower, one or none. `head`: the bare name is a number; `parts`: the numbers after the dot, each
    with title, unit and better. The flags are those of the catalog's metrics; `needs`: what q(z|x) must have, "spread"
    or "category".
    """
    return _declaring("metric", name, locals())


def variant(
    name: str, *, extends: str | None = None, title: str = "", stance: str = "", source: str = "", **choices: Any
) -> None:
    """A composition under a name, as in vaebench/catalog/variants: `likelihood="laplace"`, `objective={"beta": 4}`.

    `stance`: theory, practice or baseline; else that of what it extends. Further choices: departs, mended, fixed.
    """
    texts = {"title": title, "stance": stance, "source": source}
    content = {"extends": extends, **{key: text for key, text in texts.items() if text}, **choices}
    _leave("variant", name, {key: value for key, value in content.items() if value is not None}, None, 2)


def variants(path: str) -> None:
    """The variants of a YAML file, written as in vaebench/catalog/variants; its path begins where this module lies."""
    _leave("variants", path, {}, None, 2)


def _declaring(kind: str, name: str, given: Mapping[str, Any], **more: Any) -> Decorator[Any]:
    """The decorator; `given` are the arguments of the function that returns it."""
    unsaid = ("name", "analytic_kl", "needs_images")
    content = {key: value for key, value in given.items() if key not in unsaid and value is not None} | more
    place = _place(3)

    def declare(thing: Any) -> Any:
        _leave(kind, name, content, thing, 2, place)
        return thing

    return declare


def _leave(
    kind: str, name: str, content: dict[str, Any], thing: Any, depth: int, place: tuple[str, int] | None = None
) -> None:
    file, line = place or _place(depth + 1)
    module = sys._getframe(depth).f_globals
    module.setdefault(DECLARED, []).append(Declaration(kind, name, content, file, line, thing, module["__name__"]))


def _place(depth: int) -> tuple[str, int]:
    """File and line of a caller."""
    frame = sys._getframe(depth)
    return frame.f_code.co_filename, frame.f_lineno
