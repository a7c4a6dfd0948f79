"""Does an object keep the model contract? Asked before a model that vaebench did not build is scored.

Everything is asked of a few images of the data set, in the shapes in which the evaluators ask. What breaks the
contract is told with the method's name and what was expected, and so is whatever the model itself raises.
"""

import math
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.data import streams
from vaebench.metrics import exact, fitness
from vaebench.metrics.answer import in_short
from vaebench.metrics.draws import draw
from vaebench.metrics.normalised import normalised
from vaebench.models.foreign import METHODS, told
from vaebench.models.given import given, is_conditional
from vaebench.models.point import NoDensity, Point

DRAWS = 3
"""Codes an image that the model is asked about."""
CODES, PIXEL_DRAWS = 4, 256
"""Codes whose p(x|z) is held against the view, and images that are drawn from each."""
ROUNDING = 1e-3
"""Relative to a number and to its dimensions: how far two answers to one question may lie apart."""

Said = TypeVar("Said")


class ContractError(Exception):
    """A model does not offer what it must; the message names the method and what was expected."""


def check_contract(model: Any, x: Tensor, y: Tensor | None = None, view: str | None = None) -> None:
    """Raise ContractError at the first breach. x: (image, pixel), of the view; y: their labels, (image,), or None.

    Without a view, p(x|z) is not held against one.
    """
    devices = [x.device] if x.device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        examination = Examination(model, x, y)
        z, log_q = examination.posterior()
        log_prior = examination.prior(z)
        log_p = examination.likelihood(z, view)
        examination.company(z)
        weighted = log_q is not None and log_prior is not None and log_p is not None
        examination.exact(log_p + log_prior - log_q if weighted else None, view)  # type: ignore[operator]
        examination.samples()


class Examination:
    """A model and the few images that it is asked about."""

    def __init__(self, model: Any, x: Tensor, y: Tensor | None) -> None:
        self.model, self.x, self.y = model, x, y
        self.name = type(model).__name__
        for method in METHODS:
            if not callable(getattr(model, method, None)):
                raise ContractError(f"{self.name} has no method {method}()")
        self.labelled = is_conditional(model)
        if self.labelled and y is None:
            raise ContractError(f"{self.name} is conditional, and the data set has no labels to give it")
        self.keys = streams.image_keys(x, "contract")

    def posterior(self) -> tuple[Tensor, Tensor | None]:
        """z: (draw, image, latent), and ln q(z|x): (draw, image), None where q has no density"""
        called, count = self.called("posterior", "x"), len(self.x)
        q = self.distribution(called, lambda: self.asked().posterior(self.x), x=self.x)
        self.rows(called, q, "latents", (count,), None)
        z = self.said(f"{called}: drawing", lambda: draw(q, self.keys, 0, DRAWS), x=self.x)
        self.tensor(f"{called}: {DRAWS} draws for {count} images", z, (DRAWS, count, *q.event_shape))
        log_q = self.log_prob(f"{called}.log_prob(z)", q, z, "latents")
        self.positive(f"{called}.log_prob(z)", log_q)
        return z, log_q

    def prior(self, z: Tensor) -> Tensor | None:
        """ln p(z): (draw, image); None for a model that says that it has no prior"""
        count, latents = len(self.x), z.shape[-1]
        try:
            p = self.distribution("prior()", self.model.prior)
        except NoDensity:
            return None
        self.rows("prior()", p, "latents", (), latents, f"since posterior(x) has {latents} latents")
        drawn = self.said("prior(): drawing", lambda: draw(p, self.keys, 0, 1))
        self.tensor(f"prior(): one draw for each of {count} images", drawn, (1, count, latents))
        called = self.called("likelihood", "z")
        try:
            decoded = self.distribution(called, lambda: self.asked().likelihood(drawn[0]), z=drawn[0])
        except ContractError as error:
            if drawn.dtype != z.dtype:
                self.refuse("prior()", f"draws {drawn.dtype}, where posterior(x) draws {z.dtype}; {error}")
            raise
        self.rows(called, decoded, "pixels", (count,), self.x.shape[-1])
        return self.log_prob("prior().log_prob(z)", p, z, "latents")

    def likelihood(self, z: Tensor, view: str | None) -> Tensor | None:
        """ln p(x|z): (draw, image); None where it has no density"""
        called, pixels = self.called("likelihood", "z"), self.x.shape[-1]
        p = normalised(self.distribution(called, lambda: self.asked().likelihood(z), z=z))
        advice = "z has leading axes (draw, image): z.flatten(0, -2) makes them one, unflatten brings them back"
        self.rows(called, p, "pixels", tuple(z.shape[:2]), pixels, advice)
        mean = self.optional(f"{called}.mean", lambda: p.mean, z=z)
        if mean is not None:
            self.tensor(f"{called}.mean", mean, (*z.shape[:2], pixels))
        some, x = z[0, :CODES], self.x[:CODES]
        of_some = normalised(self.said(called, lambda: self.asked(slice(CODES)).likelihood(some), z=some))
        drawn = None if view is None else self.pixels_drawn(called, of_some, view)
        log_p = self.log_prob(f"{called}.log_prob(x)", p, self.x, "pixels")
        self.positive(f"{called}.log_prob(x)", log_p)
        if view is not None and log_p is not None:
            self.unless(called, self.said(called, lambda: fitness.unfit_mass(of_some, x, drawn, view), z=some))
            self.unless(f"{called}.mean", None if mean is None else fitness.unfit_mean(mean, view))
        return log_p

    def pixels_drawn(self, called: str, p: Distribution, view: str) -> Tensor | None:
        """(draw, code, pixel), fit for the view; None where p(x|z) has no density or cannot be drawn from"""
        if isinstance(p, Point):
            return None
        drawn = self.optional(f"{called}: drawing", lambda: draw(p, self.keys[:CODES], 0, PIXEL_DRAWS))
        if drawn is not None:
            self.tensor(f"{called}: {PIXEL_DRAWS} draws", drawn, (PIXEL_DRAWS, *p.batch_shape, self.x.shape[-1]))
            self.unless(called, fitness.unfit_draws(drawn, view))
        return drawn

    def company(self, z: Tensor) -> None:
        """Refuse answers that are not each image's own: the same when asked again, and among other images."""
        some = torch.arange(len(self.x) - 1, -1, -2, device=self.x.device)
        self.own(
            self.called("posterior", "x"),
            lambda: _telling(self.asked().posterior(self.x), z),
            lambda: _telling(self.asked(some).posterior(self.x[some]), z[:, some]),
            lambda answer: answer[:, some],
            z.shape[-1],
        )
        self.own(
            self.called("likelihood", "z"),
            lambda: _telling(self.asked().likelihood(z), self.x),
            lambda: _telling(self.asked(some).likelihood(z[0, some]), self.x[some]),
            lambda answer: answer[0, some],
            self.x.shape[-1],
        )

    def own(
        self,
        called: str,
        ask: Callable[[], Tensor],
        ask_some: Callable[[], Tensor],
        of_some: Callable[[Tensor], Tensor],
        size: int,
    ) -> None:
        """Refuse if the answer differs at a second call, or what it says of some images from what they get alone."""
        first, again, fewer = (self.said(called, asking) for asking in (ask, ask, ask_some))
        self.alike(called, first, again, size, "at a second call: methods must draw no random numbers of their own")
        self.alike(called, of_some(first), fewer, size, "among other images: it must depend on the image alone")

    def exact(self, log_weights: Tensor | None, view: str | None) -> None:
        """The optional ln p(x), held against ln p(x, z)/q(z|x), (draw, image), where there is one."""
        if not hasattr(self.model, "log_prob"):
            return
        called = self.called("log_prob", "x")
        log_density = self.said(called, lambda: self.asked().log_prob(self.x), x=self.x)
        self.tensor(called, log_density, (len(self.x),))
        different = exact.first_of_each(self.keys)
        of_different = None if log_weights is None else log_weights[:, different]
        self.unless(called, exact.refusal(log_density[different], of_different, self.x.shape[-1], view))

    def samples(self) -> None:
        """The optional `sample(count)`."""
        if hasattr(self.model, "sample") and not self.labelled:
            drawn = self.said(f"sample({DRAWS})", lambda: self.model.sample(DRAWS))
            self.tensor(f"sample({DRAWS})", drawn, (DRAWS, self.x.shape[-1]))

    def called(self, method: str, argument: str) -> str:
        return f"{method}({argument}, y)" if self.labelled else f"{method}({argument})"

    def asked(self, index: Tensor | slice | None = None) -> Any:
        """The model; a conditional one with the labels of the images at `index` filled in."""
        return given(self.model, self.y if self.y is None or index is None else self.y[index])

    def said(self, called: str, ask: Callable[[], Said], **arguments: Tensor) -> Said:
        """The answer. Whatever the model raises is told with the method's name; that it has no density is an answer."""
        try:
            return ask()
        except (NoDensity, ContractError):
            raise
        except Exception as error:
            where = "" if self.x.device.type == "cpu" else f" on {self.x.device}"
            shapes = [f"{name} of shape {tuple(value.shape)}{where}" for name, value in arguments.items()]
            if self.labelled and self.y is not None:
                shapes.append(f"labels y of shape {tuple(self.y.shape)}, 0 to {int(self.y.max())}")
            what = f"raised {in_short(told(error))}" + (f", for {' and '.join(shapes)}" if shapes else "")
            if isinstance(error, TypeError) and "argument" in str(error):
                what += "; a model says conditional = True if its methods take labels y, and only then"
            raise ContractError(f"{self.name}.{called}: {what}") from error

    def optional(self, called: str, ask: Callable[[], Tensor], **arguments: Tensor) -> Tensor | None:
        """The answer, or None where a distribution does not implement what is asked."""
        try:
            return self.said(called, ask, **arguments)
        except ContractError as error:
            if isinstance(error.__cause__, NotImplementedError):
                return None
            raise

    def distribution(self, called: str, ask: Callable[[], Any], **arguments: Tensor) -> Distribution:
        answer = self.said(called, ask, **arguments)
        if not isinstance(answer, Distribution):
            self.refuse(called, f"must return a torch distribution, returned {type(answer).__name__}")
        return answer

    def rows(
        self, called: str, p: Distribution, of: str, batch: tuple[int, ...], size: int | None, advice: str = ""
    ) -> None:
        """Refuse a distribution whose events are no rows (of that size, if it is known), or of another batch."""
        events = "(latent,)" if size is None else f"({size},)"
        wanted = f"must have batch shape {batch} and event shape {events}"
        wanted = f"{wanted}, has {tuple(p.batch_shape)} and {tuple(p.event_shape)}"
        if len(p.event_shape) == 0:
            self.refuse(called, f"{wanted}: log_prob must sum over {of}, as that of Independent(…, 1) does")
        right = len(p.event_shape) == 1 and size in (None, p.event_shape[0]) and tuple(p.batch_shape) == batch
        if not right:
            self.refuse(called, f"{wanted}; {advice}".rstrip("; "))

    def log_prob(self, called: str, p: Distribution, value: Tensor, over: str) -> Tensor | None:
        """(draw, image); None where p says that it has no density"""
        try:
            log_density = self.said(called, lambda: p.log_prob(value), value=value)
        except NoDensity:
            return None
        shape = (DRAWS, len(self.x))
        if not isinstance(log_density, Tensor) or tuple(log_density.shape) != shape:
            self.refuse(called, f"must sum over {over} to shape {shape}, is {_form(log_density)}")
        for what, bad in (("NaN", log_density.isnan()), ("infinite", log_density == math.inf)):
            if bool(bad.any()):
                self.refuse(called, f"is {what} on {int(bad.any(0).sum())} of the {len(self.x)} images asked about")
        return log_density

    def positive(self, called: str, log_density: Tensor | None) -> None:
        """Refuse a density that is 0 where something was observed."""
        if log_density is not None and bool((log_density == -math.inf).any()):
            bad = int((log_density == -math.inf).any(0).sum())
            self.refuse(called, f"is −inf on {bad} of the {len(self.x)} images asked about, which leaves no bound")

    def alike(self, called: str, first: Tensor, second: Tensor, size: int, when: str) -> None:
        """Refuse two answers to one question that differ by more than rounding."""
        difference = (first - second).double().abs()
        if bool((difference > ROUNDING * (first.double().abs() + size)).any()):
            self.refuse(called, f"says something else of an image, by {float(difference.max()):.3g} nats, {when}")

    def tensor(self, called: str, answer: Any, shape: tuple[int, ...]) -> None:
        """Refuse what is no tensor of finite floats of that shape."""
        if not isinstance(answer, Tensor) or tuple(answer.shape) != shape:
            self.refuse(called, f"must be of shape {shape}, is {_form(answer)}")
        if not answer.is_floating_point():
            self.refuse(called, f"must be floats, is {answer.dtype}")
        if not bool(answer.isfinite().all()):
            self.refuse(called, "is NaN" if bool(answer.isnan().any()) else "is infinite")

    def unless(self, called: str, reason: str | None) -> None:
        """Refuse if there is a reason to."""
        if reason is not None:
            self.refuse(called, reason)

    def refuse(self, called: str, what: str) -> NoReturn:
        raise ContractError(f"{self.name}.{called}: {what}")


def _telling(p: Distribution, value: Tensor) -> Tensor:
    """What tells one distribution from another: ln p at the value, or its mean where it has no density."""
    try:
        return p.log_prob(value)
    except NoDensity:
        return p.mean.sum(-1).expand(torch.broadcast_shapes(p.batch_shape, value.shape[:-1]))


def _form(answer: Any) -> str:
    return str(tuple(answer.shape)) if isinstance(answer, Tensor) else f"a {type(answer).__name__}"
