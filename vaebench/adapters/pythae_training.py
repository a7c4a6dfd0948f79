"""Cells trained by pythae: its loss and its loop, on the composition's own networks, from the same first weights.

What pythae gets is encoder and decoder of a vaebench composition in its own base classes, the training images of the
view, and the recipe in the words of its trainer. What comes back is the composition, with the parameters that pythae
has left in it, so it is stored, scored and drawn like any other and needs no pythae any more.
"""

import contextlib
import itertools
import logging
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from pythae import models, trainers
from pythae.data.datasets import BaseDataset
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseDiscriminator, BaseEncoder
from pythae.trainers.training_callbacks import CallbackHandler, TrainingCallback
from torch import Tensor, nn

from vaebench.catalog.catalog import load_catalog
from vaebench.catalog.library import ForeignModel
from vaebench.data import streams
from vaebench.data.source import Source, training_splits
from vaebench.models.composition import Composition
from vaebench.models.distributions import DiagonalNormal
from vaebench.models.foreign import ForeignModelError
from vaebench.store.cell import Cell
from vaebench.suite.trainers import foreign_model
from vaebench.training.calibration import calibrate
from vaebench.training.fleet import Interrupted, Progress, Surroundings, Trained
from vaebench.training.initialisation import DTYPES, seeded
from vaebench.training.peak import Peak

NAME = "pythae"
LOSSES = {"train_epoch_loss": "loss", "eval_epoch_loss": "validation_loss"}
"""Name in pythae's log → in our curves; others lose their `train_` and `_epoch`."""

DIVERGED = ("NaN detected", "between 0 and 1")
"""How pythae stops when its loss, or a mean that its cross-entropy is given, is no number any more."""


class Encoder(BaseEncoder):
    """x → μ and ln σ² of the composition's q(z|x), or its point."""

    def __init__(self, composition: Composition) -> None:
        super().__init__()
        self.body, self.head = composition.encoder, composition.posterior_head

    def forward(self, x: Tensor) -> ModelOutput:
        q = self.head(self.body(x))
        spread = {"log_covariance": 2.0 * q.base_dist.scale.log()} if isinstance(q, DiagonalNormal) else {}
        return ModelOutput(embedding=q.mean, **spread)


class Decoder(BaseDecoder):
    """z → E[x|z] of the composition"""

    def __init__(self, composition: Composition) -> None:
        super().__init__()
        self.body, self.head = composition.decoder, composition.likelihood_head

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.head(self.body(z)).mean)


class TwoLogits(nn.Module):
    """FactorVAE's critic in the widths of the composition: logits of joint and of shuffled codes."""

    def __init__(self, latent: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_layers(latent, hidden), nn.Linear(hidden[-1], 2))

    def forward(self, z: Tensor) -> Tensor:
        logits: Tensor = self.layers(z)
        return logits


class OneProbability(BaseDiscriminator):
    """The critic of the adversarial autoencoder in the widths of the composition."""

    def __init__(self, latent: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_layers(latent, hidden), nn.Linear(hidden[-1], 1), nn.Sigmoid())

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(embedding=self.layers(z))


CRITICS: dict[str, Callable[[int, Sequence[int]], nn.Module]] = {
    "FactorVAE": TwoLogits,
    "Adversarial_AE": OneProbability,
}
"""Classes that pythae trains with a critic, whose own has sizes that nobody can choose."""

NEED_COMPANY = ("BetaTCVAE", "FactorVAE", "WAE_MMD", "INFOVAE_MMD")
"""Classes whose loss compares the images of a batch with each other; pythae closes an epoch with what is left."""


def _layers(latent: int, hidden: Sequence[int]) -> list[nn.Module]:
    pairs = itertools.pairwise([latent, *hidden])
    return [layer for sizes in pairs for layer in (nn.Linear(*sizes), nn.LeakyReLU(0.2))]


def fit(cells: Sequence[Cell], around: Surroundings) -> Iterator[Trained]:
    """Each cell by itself: pythae knows no fleets. One that diverges fails alone."""
    for cell in cells:
        with _own_random_numbers(), _silence():
            trained = _fit(cell, around)
        yield trained


def _fit(cell: Cell, around: Surroundings) -> Trained:
    source, recipe = around.source, cell.recipe
    chosen = foreign_model(load_catalog().libraries[NAME], cell.composition)
    assert isinstance(chosen, ForeignModel), chosen
    composition, model = build(cell, chosen, source)
    watch = Watch(recipe["epochs"], around)
    peak = Peak(source.device)
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(chosen, model, cell, source, folder, watch)
        diverged_at = None
        try:
            trainer.train()
        except (ArithmeticError, RuntimeError) as error:
            if not any(words in str(error) for words in DIVERGED):
                raise
            diverged_at = watch.steps
    library = load_catalog().libraries[NAME]
    details: dict[str, object] = {**peak.share(1), NAME: version(NAME), "class": chosen.name, "note": library.note}
    kept = model
    if recipe["select"] == "best-validation" and diverged_at is None:
        kept, details["selected_epoch"] = trainer._best_model, watch.best_epoch
    composition.load_state_dict(_state(composition, kept))
    composition.to(source.device).eval()
    if diverged_at is None:
        calibrate(composition, cell, source)
    return Trained(
        cell,
        composition,
        watch.curves,
        watch.seconds,
        steps=watch.steps,
        epochs=len(watch.curves),
        diverged_at=diverged_at,
        details=details,
    )


def build(cell: Cell, chosen: ForeignModel, source: Source) -> tuple[Composition, Any]:
    """The composition with the first weights that vaebench would train, and the pythae model around its networks."""
    choices, shape = cell.composition, source.dataset.shape
    composition = seeded(lambda: Composition(choices, shape), cell.seed, "initialisation", "model")
    composition.to(DTYPES[cell.recipe["precision"]])
    library = load_catalog().libraries[NAME]
    parameters = library.configuration(chosen, choices)
    config_class = getattr(models, f"{chosen.name}Config", None) or getattr(models, f"{chosen.name}_Config")
    config = config_class(input_dim=(shape.pixels,), latent_dim=choices["latent"], **parameters)

    def make() -> Any:
        model = getattr(models, chosen.name)(config, encoder=Encoder(composition), decoder=Decoder(composition))
        if chosen.name in CRITICS:
            model.discriminator = CRITICS[chosen.name](choices["latent"], choices["objective"]["critic_hidden"])
        return model

    return composition, seeded(make, cell.seed, "initialisation", "objective")


def _state(composition: Composition, model: Any) -> dict[str, Tensor]:
    """The parameters of a composition out of the pythae model that was trained around it, or around a copy."""
    parts = {
        "encoder": model.encoder.body,
        "posterior_head": model.encoder.head,
        "decoder": model.decoder.body,
        "likelihood_head": model.decoder.head,
    }
    state = composition.state_dict()
    for name, part in parts.items():
        state |= {f"{name}.{key}": value for key, value in part.state_dict().items()}
    if hasattr(model, "pseudo_inputs"):
        which = torch.eye(model.number_components, device=next(model.parameters()).device)
        state["prior_family.pseudo_inputs"] = model.pseudo_inputs(which).detach()
    return state


def _trainer(chosen: ForeignModel, model: Any, cell: Cell, source: Source, folder: str, watch: "Watch") -> Any:
    """pythae's trainer for the class, under the recipe."""
    recipe = cell.recipe
    adam = {"betas": (recipe["beta1"], recipe["beta2"]), "eps": recipe["epsilon"]}
    common = {
        "output_dir": folder,
        "num_epochs": recipe["epochs"],
        "per_device_train_batch_size": recipe["batch"],
        "per_device_eval_batch_size": recipe["batch"],
        "learning_rate": recipe["learning_rate"],
        "optimizer_params": adam,
        "seed": streams.key(cell.seed, NAME, "training") % 2**32,
        "no_cuda": source.device.type != "cuda",
    }
    base, config = trainers.BaseTrainer, trainers.BaseTrainerConfig
    if chosen.name in CRITICS:
        base, config = trainers.AdversarialTrainer, trainers.AdversarialTrainerConfig
        for player in ("autoencoder", "discriminator"):
            common |= {f"{player}_learning_rate": recipe["learning_rate"], f"{player}_optimizer_params": adam}
    by_validation = recipe["select"] == "best-validation"
    train = _images(source, recipe["train"])
    if len(train) % recipe["batch"] == 1 and chosen.name in NEED_COMPANY:
        what = f"{len(train)} images in batches of {recipe['batch']} leave one over"
        raise ForeignModelError(f"{what}, and pythae's {chosen.name} cannot take a batch of one; choose another batch")
    validation = _dataset(source.images("validation")) if by_validation else None
    return _quiet(base)(model, _dataset(train), validation, config(**common), callbacks=[watch])


def _quiet(trainer: Any) -> Any:
    """The trainer without its bars on the terminal, and without the copy that it saves at the end: a pickle of our
    own networks that nobody would read."""

    class Quiet(trainer):
        def _setup_callbacks(self) -> None:
            self.callback_handler = CallbackHandler(callbacks=self.callbacks, model=self.model)

        def save_model(self, model: Any, dir_path: str) -> None:
            """Nothing is saved."""

    return Quiet


def _images(source: Source, train: str) -> Tensor:
    """x of the training images; (image, pixel)"""
    return torch.cat([source.images(split) for split in training_splits(train)])


def _dataset(x: Tensor) -> Any:
    return BaseDataset(data=x.cpu(), labels=torch.zeros(len(x)))


class Watch(TrainingCallback):
    """Keeps the curves, tells of epochs, and passes on that the training is to stop."""

    def __init__(self, epochs: int, around: Surroundings) -> None:
        self.epochs = epochs
        self.around = around
        self.curves: list[dict[str, float]] = []
        self.steps = 0
        self.started = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    @property
    def best_epoch(self) -> int:
        """That of the least validation loss, the first of equals."""
        return int(min(self.curves, key=lambda row: row["validation_loss"])["epoch"])

    def on_train_step_end(self, training_config: Any, **kwargs: Any) -> None:
        """After each step; between two of them a training can stop."""
        self.steps += 1
        if self.around.should_stop():
            raise Interrupted

    def on_log(self, training_config: Any, logs: Mapping[str, float], **kwargs: Any) -> None:
        """After each epoch."""
        epoch = len(self.curves) + 1
        terms = {LOSSES.get(name, name.removeprefix("train_")): float(value) for name, value in logs.items()}
        self.curves.append({"epoch": epoch, "step": self.steps, **terms})
        self.around.on_epoch(Progress(epoch, self.epochs, 1, self.seconds))


@contextlib.contextmanager
def _own_random_numbers() -> Iterator[None]:
    """pythae seeds every generator there is; they stand as before afterwards."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Without the lines that pythae's loggers print at every step of a training."""
    loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict if name.split(".")[0] == NAME]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
