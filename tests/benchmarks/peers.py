"""vaebench, plain loops and pythae: the same network, data, batches and epochs.

    pip install -e '.[peers]'
    python -m tests.benchmarks.peers [--threads 2] [--write]

MLP 784-400-400-32 and back, batch 128, Adam 1e-3, Bernoulli, on thresholded MNIST where VAEBENCH_DATA or the cache
holds it, else on random images of its size. All sides train in turn, round after round; a ratio is the median over the
rounds, with its 95 % interval. The final loss is one function of the weights that every side ends with, on the same
images with the same draws, so nobody is fast by doing less.

What a clock contains, divided by the epochs, the same for all, and by the models:

- vaebench: the whole call of `train_fleet`, networks, optimisers and curves included, without the seconds in which a
  step is traced and compiled. So few steps as here are plain, unless they are compiled.
- a plain loop: network, optimiser and loop. One reads a DataLoader; the other shuffles an index into the tensor of all
  images.
- pythae: its trainer's `train()`. That sets seed, optimiser, folder and progress bar up, copies the best model deeply
  after an epoch, and saves the last to disk; with more epochs the saving weighs less. Network, trainer and its check of
  the network were made before.

Then the same weights are scored by vaebench's log_likelihood and pythae's get_nll, beside the bare products of the
decoder.

With `--write` tables are kept for two threads, which is the comparison, and for one.
"""

import argparse
import contextlib
import io
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.benchmarks.outcome import FOLDER, command, into_page, keep, machine, origin, table
from tests.benchmarks.timing import Rounds, alternate, settle
from tests.benchmarks.workloads import Shape, bare_products, decoder_products, random_source
from vaebench.data.dataset import load_dataset
from vaebench.data.mnist import DataError
from vaebench.data.source import Source
from vaebench.metrics.log_likelihood import evaluate as log_likelihood
from vaebench.metrics.subject import Subject
from vaebench.training.fleet import Surroundings, train_fleet

SHAPE = Shape()
PLACES = {1: "peers-one-thread", 2: "peers"}
"""Threads → place in the page, and name of the numbers."""
PYTHAE = "pythae"
LOADER = "plain DataLoader loop"
FLOOR = "bare matrix products"


class PlainVae(nn.Module):
    """What a tutorial writes."""

    def __init__(self) -> None:
        super().__init__()
        sizes = SHAPE.layers
        self.encode = nn.Sequential(nn.Linear(*sizes[0]), nn.ReLU(), nn.Linear(*sizes[1]), nn.ReLU())
        self.mean, self.log_variance = (nn.Linear(SHAPE.hidden, SHAPE.latent) for _ in range(2))
        self.decode = nn.Sequential(
            nn.Linear(*sizes[3]), nn.ReLU(), nn.Linear(*sizes[4]), nn.ReLU(), nn.Linear(*sizes[5])
        )

    def loss(self, x: Tensor, draws: Tensor) -> Tensor:
        """−1/N Σ_i ln p(x_i|z_i) − KL(q(z|x_i) ‖ p(z)), z_i of `draws` from N(0, I); (image, latent)."""
        hidden = self.encode(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        z = mean + torch.exp(0.5 * log_variance) * draws
        entropy = nn.functional.binary_cross_entropy_with_logits(self.decode(z), x, reduction="sum")
        kl = -0.5 * torch.sum(1 + log_variance - mean.square() - log_variance.exp())
        return (entropy + kl) / len(x)


class Trained(NamedTuple):
    seconds: float
    """Of a model-epoch."""
    network: PlainVae
    """With the weights that training ended with."""


def images_of(count: int) -> Source:
    """Thresholded images: the same zeros and ones for everybody."""
    try:
        root = os.environ.get("VAEBENCH_DATA")
        data = load_dataset("mnist", Path(root) if root else None).trained_on(count)
    except DataError:
        return random_source(count, "threshold")
    return Source(data, "threshold")


def by_vaebench(
    source: Source, epochs: int, members: int, compiled: bool = False, precision: str = "float32"
) -> Trained:
    """A fleet by `train_fleet`, and the network of its first member."""
    cells = Shape(members=members, precision=precision).cells(epochs)
    begun = time.perf_counter()
    fleet = train_fleet(cells, Surroundings(source, compiled=compiled))
    settle(source.device)
    taken = time.perf_counter() - begun
    preparing = sum(float(str(trained.details["preparing_seconds"])) for trained in fleet)
    return Trained((taken - preparing) / epochs / members, plain_twin(fleet[0].model))


def by_loader(source: Source, epochs: int) -> Trained:
    """The usual loop over a DataLoader."""
    loader = DataLoader(TensorDataset(source.images("train")), batch_size=SHAPE.batch, shuffle=True, drop_last=True)
    return _looped(lambda: (batch for (batch,) in loader), epochs, source.device)


def by_tensors(source: Source, epochs: int) -> Trained:
    """The same loop over a tensor that is in memory."""
    x = source.images("train")

    def batches() -> Iterator[Tensor]:
        for index in torch.split(torch.randperm(len(x), device=x.device), SHAPE.batch):
            if len(index) == SHAPE.batch:
                yield x[index]

    return _looped(batches, epochs, source.device)


def _looped(batches: Callable[[], Iterable[Tensor]], epochs: int, device: torch.device) -> Trained:
    """zero_grad, backward, step, a running loss."""
    begun, running = time.perf_counter(), 0.0
    model = PlainVae().to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        for batch in batches():
            optimiser.zero_grad()
            loss = model.loss(batch, torch.randn(len(batch), SHAPE.latent, device=device))
            loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
            optimiser.step()
            running += loss.item()
    return Trained((time.perf_counter() - begun) / epochs, model)


def by_pythae(source: Source, epochs: int) -> Trained:
    """Its VAE and its trainer with the given networks, on the source's device; it moves each batch there itself."""
    from pythae.data.datasets import BaseDataset
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    network, x = PlainVae(), source.images("train").cpu()
    with tempfile.TemporaryDirectory() as folder, silence():
        config = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=epochs,
            learning_rate=1e-3,
            per_device_train_batch_size=SHAPE.batch,
            optimizer_cls="Adam",
            no_cuda=source.device.type == "cpu",
        )
        data = BaseDataset(x, torch.zeros(len(x)))
        trainer = BaseTrainer(pythae_model(network), data, training_config=config)
        begun = time.perf_counter()
        trainer.train()
        settle(source.device)
        taken = time.perf_counter() - begun
    return Trained(taken / epochs, network)


def pythae_model(network: PlainVae) -> Any:
    """pythae's VAE around the layers of a network, written as its manual says."""
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    class Encoder(BaseEncoder):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.body, self.mean, self.log_variance = network.encode, network.mean, network.log_variance

        def forward(self, x: Tensor) -> Any:
            hidden = self.body(x)
            return ModelOutput(embedding=self.mean(hidden), log_covariance=self.log_variance(hidden))

    class Decoder(BaseDecoder):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.body = network.decode

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=torch.sigmoid(self.body(z)))

    config = VAEConfig(input_dim=(784,), latent_dim=SHAPE.latent, reconstruction_loss="bce")
    return VAE(config, encoder=Encoder(), decoder=Decoder())


@torch.no_grad()
def plain_twin(model: nn.Module) -> PlainVae:
    """The plain network with the weights of ours, which gives ln σ where the plain one gives ln σ²."""
    ours = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    twin = PlainVae().to(ours[0].weight.device)
    theirs = [twin.encode[0], twin.encode[2], twin.decode[0], twin.decode[2], twin.decode[4]]
    head = ours.pop(2)
    for own, other in zip(ours, theirs, strict=True):
        other.load_state_dict(own.state_dict())
    for name in ("weight", "bias"):
        mean, log_scale = getattr(head, name).chunk(2)
        getattr(twin.mean, name).copy_(mean)
        getattr(twin.log_variance, name).copy_(2.0 * log_scale)
    return twin


@torch.no_grad()
def final_losses(networks: dict[str, PlainVae], x: Tensor) -> dict[str, float]:
    """The negative ELBO of every side's network, on the same images with the same draws."""
    draws = torch.randn(len(x), SHAPE.latent, generator=torch.Generator().manual_seed(0)).to(x.device)
    return {name: float(network.loss(x, draws)) for name, network in networks.items()}


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Without pythae's progress bars and logs."""
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


def has_pythae() -> bool:
    try:
        import pythae  # noqa: F401
    except ImportError:
        return False
    return True


def training(source: Source, epochs: int, rounds: int, members: int, compiled: bool) -> tuple[Rounds, dict[str, float]]:
    """Rounds of model-epochs, and the final loss of every side."""
    fleet = f"vaebench, a fleet of {members}"
    ways: dict[str, Callable[[], Trained]] = {
        "vaebench": lambda: by_vaebench(source, epochs, 1),
        fleet: lambda: by_vaebench(source, epochs, members),
        LOADER: lambda: by_loader(source, epochs),
        "plain loop over tensors": lambda: by_tensors(source, epochs),
    }
    if compiled:
        ways["vaebench, compiled"] = lambda: by_vaebench(source, epochs, 1, True)
        ways[f"{fleet}, compiled"] = lambda: by_vaebench(source, epochs, members, True)
        ways["vaebench, bfloat16, compiled"] = lambda: by_vaebench(source, epochs, 1, True, "bfloat16")
    if has_pythae():
        ways[PYTHAE] = lambda: by_pythae(source, epochs)
    networks: dict[str, PlainVae] = {}

    def side(name: str) -> Callable[[], float]:
        def run() -> float:
            seconds, networks[name] = ways[name]()
            return seconds

        return run

    steps, bare = len(source.training_content("split")) / SHAPE.batch, bare_products(SHAPE)
    sides = {name: side(name) for name in ways}
    taken = alternate({**sides, FLOOR: lambda: bare(20) * steps}, rounds)
    return taken, final_losses(networks, source.images("train")[:2000])


def evaluation(source: Source, images: int, samples: int, rounds: int) -> tuple[Rounds, dict[str, float]]:
    """The same weights on the same images: our estimate and pythae's, and the bare products of the decoder."""
    (trained,) = train_fleet(Shape().cells(epochs=1), Surroundings(source))
    subject, values = Subject(trained.model, source), {}  # type: ignore[arg-type]
    protocol = {"split": "test", "seed": 0, "samples": samples, "images": images}
    x = source.images("test", subject.index(protocol))

    @torch.no_grad()
    def ours() -> None:
        values["vaebench log_likelihood"] = float(log_likelihood(subject, protocol)[0].value)  # type: ignore[union-attr]

    def theirs() -> None:
        with silence():
            values["pythae get_nll"] = float(twin.get_nll(x, n_samples=samples, batch_size=100))

    rows = subject.rows
    blocks = [min(rows, images * samples - first) for first in range(0, images * samples, rows)]
    bare = decoder_products(SHAPE, blocks)
    sides: dict[str, Callable[[], None]] = {"vaebench log_likelihood": ours, "bare decoder products": bare}
    if has_pythae():
        twin = pythae_model(plain_twin(trained.model)).eval()
        sides["pythae get_nll"] = theirs
    return alternate(sides, rounds), values


def training_table(taken: Rounds, losses: dict[str, float]) -> str:
    reference = PYTHAE if PYTHAE in taken.seconds else LOADER
    rows = [
        [
            name,
            taken.best(name),
            taken.median(name),
            taken.compared(name, FLOOR),
            taken.compared(reference, name),
            losses.get(name, "–"),
        ]
        for name in sorted(taken.seconds, key=taken.median)
    ]
    columns = ["best (s)", "median (s)", "× bare products", f"{reference} takes ×", "final loss (nats)"]
    return table(["a model-epoch", *columns], rows)


def evaluation_table(taken: Rounds, values: dict[str, float]) -> str:
    rows = [
        [
            name,
            taken.best(name),
            taken.median(name),
            taken.compared(name, "bare decoder products"),
            values.get(name, "–"),
        ]
        for name in sorted(taken.seconds, key=taken.median)
    ]
    return table(["ln p(x)", "best (s)", "median (s)", "× bare products", "value (nats)"], rows)


def picture(taken: Rounds, file: Any) -> None:
    """Bars: seconds of a model-epoch, each round a dot."""
    from matplotlib.figure import Figure

    names = sorted(taken.seconds, key=taken.median, reverse=True)
    figure = Figure(figsize=(7, 0.5 + 0.4 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.barh(
        names, [taken.median(name) for name in names], color=["#bbb" if "bare" in n else "#4a7ab5" for n in names]
    )
    for place, name in enumerate(names):
        axes.plot(taken.seconds[name], [place] * len(taken.seconds[name]), ".", color="black", markersize=4)
    axes.set_xlabel("seconds a model-epoch (bar: median; dots: rounds)")
    figure.savefig(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="six at least, for an interval")
    parser.add_argument("--images", type=int, default=12_800, help="training images an epoch, rounded to whole batches")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--members", type=int, default=5, help="of the fleet")
    parser.add_argument("--samples", type=int, default=1000, help="K of the evaluation")
    parser.add_argument("--scored", type=int, default=100, help="images of the evaluation")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-compile", action="store_true", help="leave the compiled sides out")
    parser.add_argument("--write", action="store_true", help="tables and picture into docs/performance.md")
    options = parser.parse_args()
    if options.write and options.threads not in PLACES:
        parser.error(f"--threads {options.threads}: tables are kept for {' and '.join(map(str, PLACES))}")
    torch.set_num_threads(options.threads)
    source = images_of(options.images // SHAPE.batch * SHAPE.batch)
    images = len(source.training_content("split"))
    where, how = machine(), command("tests.benchmarks.peers")
    what = f"{images:,} images of {source.dataset.name}, {options.epochs} epochs, {options.rounds} rounds"
    taken, losses = training(source, options.epochs, options.rounds, options.members, not options.no_compile)
    text = f"{training_table(taken, losses)}\n{what}. {origin(where, how)}"
    print(text)
    scored, values = evaluation(source, options.scored, options.samples, options.rounds)
    again = f"{evaluation_table(scored, values)}\nK = {options.samples}, {options.scored} images. {origin(where, how)}"
    print(again)
    if options.write:
        place = PLACES[options.threads]
        numbers = {"seconds": taken.seconds, "losses": losses, "evaluation": scored.seconds, "values": values}
        keep(place, {"machine": where, "command": how, **numbers}, FOLDER)
        into_page(place, text)
        if place == "peers":
            picture(taken, FOLDER / "peers.svg")
            into_page("peers-evaluation", again)


if __name__ == "__main__":
    main()
