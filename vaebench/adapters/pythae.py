"""Models of pythae (https://github.com/clementchadebec/benchmark_VAE), scored by their own encoders and decoders.

`read` says how each class is taken, from the catalog. A folder that a model has saved holds model_config.json, model.pt
(tensors) and, for networks that are not pythae's own, encoder.pkl and decoder.pkl. Pickles run whatever code their
author put there, so they are opened only on trust.
"""

import json
import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaebench.catalog.catalog import load_catalog
from vaebench.catalog.library import Reading
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.models.calibration import mean_squared_error
from vaebench.models.distributions import DiagonalNormal, IndependentBernoulli
from vaebench.models.foreign import ForeignModelError, told
from vaebench.models.mixtures import EqualMixture
from vaebench.models.point import Point
from vaebench.suite.mistakes import enumerated, nearest
from vaebench.suite.trainers import not_installed

NAME = "pythae"
CONFIG, WEIGHTS = "model_config.json", "model.pt"
PICKLED = {"uses_default_encoder": "encoder.pkl", "uses_default_decoder": "decoder.pkl"}
"""Flag of a configuration that is false where the network is not pythae's own → the file that holds it."""
CRITIC = "discriminator."
"""Of the networks that only training needs."""
LEAST_LOG = -100.0
"""What F.binary_cross_entropy, pythae's reconstruction loss, puts in place of smaller logarithms."""


def logits_of(means: Tensor) -> Tensor:
    """l with ln sigmoid(l) = ln π and ln sigmoid(−l) = ln(1 − π), neither below −100: so −ln p(x|z) is the binary
    cross-entropy that pythae prints, also where float32 has rounded π to 0 or 1."""
    return means.log().clamp_min(LEAST_LOG) - (-means).log1p().clamp_min(LEAST_LOG)


class PythaeModel(nn.Module):
    """p(z), q(z|x) and p(x|z) by the networks of a pythae model."""

    sigma: Tensor

    def __init__(self, model: Any, reading: Reading) -> None:
        super().__init__()
        self.encoder: nn.Module = model.encoder
        self.decoder: nn.Module = model.decoder
        self.input_dim = tuple(model.model_config.input_dim)
        self.latent = int(model.model_config.latent_dim)
        self.posterior_family = POSTERIORS[_posterior(model, reading)]
        self.loss: str = getattr(model.model_config, "reconstruction_loss", "mse")
        self.pseudo_inputs: nn.Module | None = model.pseudo_inputs if reading.prior == "vampprior" else None
        self.components = int(getattr(model, "number_components", 0))
        self.register_buffer("sigma", torch.ones(()))

    def prior(self) -> Distribution:
        """N(0, I), or for VAMP the equal mixture of the posteriors at its pseudo-inputs"""
        if self.pseudo_inputs is not None:
            which = torch.eye(self.components, dtype=self.sigma.dtype, device=self.sigma.device)
            return EqualMixture(self.posterior(self.pseudo_inputs(which)))
        zeros = self.sigma.new_zeros(self.latent)
        return DiagonalNormal(zeros, zeros + 1.0)

    def posterior(self, x: Tensor) -> Distribution:
        """N(embedding, diag(exp(log_covariance))), or a point; x: (image, pixel)"""
        return self.posterior_family(self.encoder(x.reshape(-1, *self.input_dim)))

    def likelihood(self, z: Tensor) -> Distribution:
        """Bernoulli for bce; N(x̂(z), σ² I) for mse; z: (…, latent)"""
        decoded = self.decoder(z.reshape(-1, self.latent))["reconstruction"]
        means = decoded.reshape(*z.shape[:-1], math.prod(self.input_dim))
        if self.loss == "bce":
            return IndependentBernoulli(logits_of(means))
        return DiagonalNormal(means, self.sigma.expand_as(means))


def _gaussian(encoded: Any) -> Distribution:
    return DiagonalNormal(encoded["embedding"], (0.5 * encoded["log_covariance"]).exp())


POSTERIORS: dict[str, Callable[[Any], Distribution]] = {
    "gaussian": _gaussian,
    "point": lambda encoded: Point(encoded["embedding"]),
}


def _posterior(model: Any, reading: Reading) -> str:
    if reading.posterior == "gaussian-or-point":
        return "point" if model.model_config.deterministic_posterior else "gaussian"
    return reading.posterior


def adapt(model: Any, training_images: Tensor | None = None) -> PythaeModel:
    """A pythae model as one that `vaebench.evaluate` scores.

    Classes whose squared error is no log density get σ² = the mean squared error of `training_images`, (image, pixel).
    """
    reads, name = load_catalog().libraries[NAME].reads, type(model).__name__
    if name not in reads or not type(model).__module__.startswith(f"{NAME}."):
        raise ForeignModelError(_wrong_class(name))
    adapted = PythaeModel(model, reads[name]).eval()
    if adapted.loss == "mse" and reads[name].squared_error == "training-error":
        if training_images is None:
            what = "its squared error is no log density, so it needs training_images, whose error says what σ is"
            raise ForeignModelError(f"{name}: {what}")
        seen = training_images.to(adapted.sigma)
        adapted.sigma.copy_(mean_squared_error(adapted, seen, None, NAME, "calibration").sqrt())
    return adapted


def _wrong_class(name: str) -> str:
    reads = load_catalog().libraries[NAME].reads
    near = nearest(name, reads)
    hint = f" (did you mean {near!r}?)" if near else ""
    return f"{name or 'no name'} is none of the classes that the adapter for pythae reads, {enumerated(reads)}{hint}"


@dataclass(frozen=True)
class Saved:
    """A folder that a model has saved, as far as its configuration says."""

    folder: Path
    config: Mapping[str, Any]

    @property
    def config_class(self) -> str:
        return str(self.config.get("name", ""))

    @property
    def model_class(self) -> str:
        return self.config_class.removesuffix("Config").removesuffix("_")

    @property
    def loss(self) -> str:
        """`bce` or `mse`, which classes without a choice have."""
        return str(self.config.get("reconstruction_loss", "mse"))

    @property
    def pickled(self) -> list[str]:
        """Files that hold networks which are not pythae's own."""
        return [file for flag, file in PICKLED.items() if not self.config.get(flag, True)]


def mistakes(folder: Path, dataset: str, trust: bool) -> list[str]:
    """What can be said before anything of the folder is loaded: one line for each mistake."""
    library = load_catalog().libraries[NAME]
    found = [line] if (line := not_installed(library)) else []
    try:
        saved = _saved(folder)
    except ForeignModelError as error:
        return [*found, str(error)]
    if saved.model_class not in library.reads:
        found.append(f"{folder / CONFIG}: {_wrong_class(saved.model_class)}")
    if saved.pickled and not trust:
        what = "networks of its author's own are pickled in"
        advice = "opening them runs whatever code is in there; say --trust if you trust who made them"
        found.append(f"{folder}: {what} {enumerated(saved.pickled)}; {advice}")
    known = load_catalog().datasets.get(dataset.partition("/")[0])
    shape = saved.config.get("input_dim")
    if not (isinstance(shape, list) and all(isinstance(size, int) for size in shape)):
        found.append(f"{folder / CONFIG}: input_dim must be a list of sizes, is {shape!r}")
    elif known is not None and math.prod(shape) != known.pixels:
        found.append(f"{folder / CONFIG}: its images are {shape}, those of {known.name} have {known.pixels} pixels")
    return found + _mistakes_of_view(saved, dataset)


def _mistakes_of_view(saved: Saved, dataset: str) -> list[str]:
    """Its p(x|z) is a probability of 0/1 pixels with `bce`, and a density with `mse`; a view has either."""
    name, _, view = dataset.partition("/")
    known, views = load_catalog().datasets.get(name), load_catalog().views
    if known is None or view not in known.views:
        return []  # which is told as a mistake in the question
    wanted = "counting" if saved.loss == "bce" else "density"
    if views[view].measure == wanted:
        return []
    fitting = [f"{name}/{other}" for other in known.views if views[other].measure == wanted]
    where = f"score it on {' or '.join(fitting)}" if fitting else f"{name} has no view for it"
    what = "a probability of 0/1 pixels" if saved.loss == "bce" else "a density of grey pixels"
    return [f"{saved.folder / CONFIG}: reconstruction_loss {saved.loss!r} makes p(x|z) {what}; {where}"]


def _saved(folder: Path) -> Saved:
    """The folder's configuration; one line of what is wrong where there is none."""
    if not folder.is_dir():
        what = "is a file; name the folder that pythae saved" if folder.exists() else "no such folder"
        raise ForeignModelError(f"{folder}: {what}")
    absent = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if absent:
        inside = sorted(path.parent for path in folder.glob(f"**/{CONFIG}"))
        hint = f"; did you mean {str(inside[-1])!r}?" if inside else "; give the folder that model.save(…) wrote"
        raise ForeignModelError(f"{folder}: is no saved model of pythae ({enumerated(absent)} missing){hint}")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ForeignModelError(f"{folder / CONFIG}: is no JSON ({error})") from error
    if not isinstance(config, dict):
        raise ForeignModelError(f"{folder / CONFIG}: must be a mapping, is {type(config).__name__}")
    return Saved(folder, config)


def load(folder: Path, dataset: str, data_root: Path | None, trust: bool) -> PythaeModel:
    """The model in a folder, ready to be scored on a data set view; `trust` allows for pickles."""
    refused = mistakes(folder, dataset, trust)
    if refused:
        raise ForeignModelError(refused[0])
    saved = _saved(folder)
    model = _with_pickles(saved) if saved.pickled else _without_pickles(saved)
    name, _, view = dataset.partition("/")
    return adapt(model, Source(load_dataset(name, data_root), view).images("train"))


def _with_pickles(saved: Saved) -> Any:
    from pythae import models

    try:
        return getattr(models, saved.model_class).load_from_folder(str(saved.folder))
    except Exception as error:
        raise ForeignModelError(f"{saved.folder}: pythae cannot load it: {told(error)}") from error


def _without_pickles(saved: Saved) -> Any:
    """pythae's own networks in the sizes of the configuration, filled with tensors and nothing else."""
    from pythae import models

    try:
        config = getattr(models, saved.config_class).from_json_file(str(saved.folder / CONFIG))
        config.uses_default_discriminator = True  # it is not read
        model = getattr(models, saved.model_class)(config)
    except Exception as error:
        raise ForeignModelError(f"{saved.folder / CONFIG}: pythae refuses it: {told(error)}") from error
    path = saved.folder / WEIGHTS
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["model_state_dict"]
        own = {name: value for name, value in state.items() if not name.startswith(CRITIC)}
        missing, unexpected = model.load_state_dict(own, strict=False)
    except pickle.UnpicklingError as error:
        raise ForeignModelError(f"{path}: holds more than tensors, or is damaged, and is not read") from error
    except (RuntimeError, KeyError, TypeError, AttributeError, OSError, EOFError) as error:
        raise ForeignModelError(f"{path}: does not fit {saved.model_class}: {told(error)}") from error
    absent = [name for name in missing if not name.startswith(CRITIC)]
    if absent or unexpected:
        told_names = [
            f"{what} {enumerated(names, 4)}"
            for what, names in (("missing", absent), ("unexpected", unexpected))
            if names
        ]
        raise ForeignModelError(f"{path}: does not fit {saved.model_class}: {'; '.join(told_names)}")
    return model
