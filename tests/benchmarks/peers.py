"""vaebench, a plain DataLoader loop and pythae: the same network, data, batches and epochs.

    pip install -e '.[peers]'
    python -m tests.benchmarks.peers [--write]

MLP 784-400-400-32 and back, batch 128, Adam 1e-3, Bernoulli, on thresholded MNIST where VAEBENCH_DATA or the cache
holds it, else on random images of its size. All sides train in turn, round after round; the ratios are medians over
the rounds. The final losses, by one estimator for all sides, show that nobody is fast by doing less. Then the same
weights are scored by vaebench's log_likelihood and pythae's get_nll, beside the bare products of the decoder.
"""

import argparse
import contextlib
import io
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.benchmarks.outcome import FOLDER, command, into_page, keep, machine, origin, table
from tests.benchmarks.timing import Rounds, alternate
from tests.benchmarks.workloads import Shape, bare_products, decoder_products, random_source
from vaebench.data.dataset import load_dataset
from vaebench.data.mnist import DataError
from vaebench.data.source import Source
from vaebench.metrics.log_likelihood import evaluate as log_likelihood
from vaebench.metrics.subject import Subject
from vaebench.training.fleet import Surroundings, train_fleet

SHAPE = Shape()
Loss = Callable[[Tensor], Tensor]


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

    def loss(self, x: Tensor) -> Tensor:
        hidden = self.encode(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        entropy = nn.functional.binary_cross_entropy_with_logits(self.decode(z), x, reduction="sum")
        kl = -0.5 * torch.sum(1 + log_variance - mean.square() - log_variance.exp())
        return (entropy + kl) / len(x)


def images_of(count: int) -> Source:
    """Thresholded images: the same zeros and ones for everybody."""
    try:
        root = os.environ.get("VAEBENCH_DATA")
        data = load_dataset("mnist", Path(root) if root else None).trained_on(count)
    except DataError:
        return random_source(count, "threshold")
    return Source(data, "threshold")


def by_vaebench(
    source: Source, epochs: int, members: int, compiled: bool, precision: str = "float32"
) -> tuple[float, Loss]:
    """Seconds of a model-epoch, tracing and compiling left out, and the first member's loss."""
    cells = [
        made.from_spec({**made.spec(), "recipe": {**made.recipe, "epochs": epochs}})
        for made in Shape(members=members, precision=precision).cells()
    ]
    first = train_fleet(cells, Surroundings(source, compiled=compiled))[0]
    preparing = first.details["preparing_seconds"]
    assert isinstance(preparing, float)
    model: Any = first.model

    def loss(x: Tensor) -> Tensor:
        q = model.posterior(x)
        z = q.mean + q.stddev * torch.randn_like(q.mean)
        kl = torch.distributions.kl_divergence(q, model.prior())
        return (kl - model.likelihood(z).log_prob(x)).mean()

    return (first.seconds - preparing) / epochs, loss


def by_plain_loop(source: Source, epochs: int) -> tuple[float, Loss]:
    """The usual loop: DataLoader, zero_grad, backward, step, a running loss."""
    loader = DataLoader(TensorDataset(source.images("train")), batch_size=SHAPE.batch, shuffle=True, drop_last=True)
    model = PlainVae()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    begun, running = time.perf_counter(), 0.0
    for _ in range(epochs):
        for (batch,) in loader:
            optimiser.zero_grad()
            loss = model.loss(batch)
            loss.backward()
            optimiser.step()
            running += loss.item()
    return (time.perf_counter() - begun) / epochs, model.loss


def by_pythae(source: Source, epochs: int) -> tuple[float, Loss]:
    """Its VAE and its trainer with the given networks."""
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    model, x = pythae_model(), source.images("train")
    with tempfile.TemporaryDirectory() as folder, silence():
        from pythae.data.datasets import BaseDataset

        config = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=epochs,
            learning_rate=1e-3,
            per_device_train_batch_size=SHAPE.batch,
            optimizer_cls="Adam",
            no_cuda=True,
        )
        trainer = BaseTrainer(model, BaseDataset(x, torch.zeros(len(x))), training_config=config)
        begun = time.perf_counter()
        trainer.train()
        taken = (time.perf_counter() - begun) / epochs

    def loss(x: Tensor) -> Tensor:
        value: Tensor = model({"data": x}).loss
        return value

    return taken, loss


def pythae_model() -> Any:
    """pythae's VAE with networks of the same sizes, written as its manual says."""
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    plain = PlainVae()

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.body, self.mean, self.log_variance = plain.encode, plain.mean, plain.log_variance

        def forward(self, x: Tensor) -> Any:
            hidden = self.body(x)
            return ModelOutput(embedding=self.mean(hidden), log_covariance=self.log_variance(hidden))

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.body = plain.decode

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=torch.sigmoid(self.body(z)))

    config = VAEConfig(input_dim=(784,), latent_dim=SHAPE.latent, reconstruction_loss="bce")
    return VAE(config, encoder=Encoder(), decoder=Decoder())


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
    losses: dict[str, Loss] = {}

    def side(name: str, train: Callable[[], tuple[float, Loss]]) -> Callable[[], float]:
        def run() -> float:
            seconds, losses[name] = train()
            return seconds

        return run

    fleet = f"vaebench, a fleet of {members}"
    ways: dict[str, tuple[Any, ...]] = {"vaebench": (1, False), fleet: (members, False)}
    if compiled:
        ways["vaebench, compiled"] = (1, True)
        ways[f"{fleet}, compiled"] = (members, True)
        ways["vaebench, bfloat16, compiled"] = (1, True, "bfloat16")
    sides = {name: side(name, lambda way=way: by_vaebench(source, epochs, *way)) for name, way in ways.items()}  # type: ignore[misc]
    sides["plain DataLoader loop"] = side("plain DataLoader loop", lambda: by_plain_loop(source, epochs))
    if has_pythae():
        sides["pythae"] = side("pythae", lambda: by_pythae(source, epochs))
    steps, bare = len(source.training_content("split")) / SHAPE.batch, bare_products(SHAPE)
    sides["bare matrix products"] = lambda: bare(20) * steps
    taken = alternate(sides, rounds)
    x = source.images("train")[:2000]
    with torch.no_grad():
        return taken, {name: float(loss(x)) for name, loss in losses.items()}


def evaluation(source: Source, images: int, samples: int, rounds: int) -> tuple[Rounds, dict[str, float]]:
    """The same weights on the same images: our estimate and pythae's, and the bare products of the decoder."""
    (made,) = Shape().cells()
    (trained,) = train_fleet(
        [made.from_spec({**made.spec(), "recipe": {**made.recipe, "epochs": 1}})], Surroundings(source)
    )
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
        twin = same_weights(trained.model)
        sides["pythae get_nll"] = theirs
    return alternate(sides, rounds), values


@torch.no_grad()
def same_weights(model: nn.Module) -> Any:
    """pythae's VAE with the weights of ours, which gives ln σ where pythae's gives ln σ²."""
    twin = pythae_model().eval()
    ours = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    encoder, decoder = twin.encoder, twin.decoder
    theirs = [encoder.body[0], encoder.body[2], None, decoder.body[0], decoder.body[2], decoder.body[4]]
    for own, other in zip(ours, theirs, strict=True):
        if other is not None:
            other.load_state_dict(own.state_dict())
    for name in ("weight", "bias"):
        mean, log_scale = getattr(ours[2], name).chunk(2)
        getattr(encoder.mean, name).copy_(mean)
        getattr(encoder.log_variance, name).copy_(2.0 * log_scale)
    return twin


def training_table(taken: Rounds, losses: dict[str, float]) -> str:
    reference = "pythae" if "pythae" in taken.seconds else "plain DataLoader loop"
    rows = [
        [
            name,
            taken.best(name),
            taken.median(name),
            taken.ratio(name, "bare matrix products"),
            taken.ratio(reference, name),
            losses.get(name, "–"),
        ]
        for name in sorted(taken.seconds, key=taken.median)
    ]
    columns = [
        "a model-epoch",
        "best (s)",
        "median (s)",
        "× bare products",
        f"{reference} takes ×",
        "final loss (nats)",
    ]
    return table(columns, rows)


def evaluation_table(taken: Rounds, values: dict[str, float]) -> str:
    rows = [
        [name, taken.best(name), taken.median(name), taken.ratio(name, "bare decoder products"), values.get(name, "–")]
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
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=12_800, help="training images an epoch")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--members", type=int, default=5, help="of the fleet")
    parser.add_argument("--samples", type=int, default=1000, help="K of the evaluation")
    parser.add_argument("--scored", type=int, default=100, help="images of the evaluation")
    parser.add_argument("--no-compile", action="store_true", help="leave the compiled sides out")
    parser.add_argument("--write", action="store_true", help="tables and picture into docs/performance.md")
    options = parser.parse_args()
    source = images_of(options.images)
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
        numbers = {"seconds": taken.seconds, "losses": losses, "evaluation": scored.seconds, "values": values}
        keep("peers", {"machine": where, "command": how, **numbers}, FOLDER)
        picture(taken, FOLDER / "peers.svg")
        into_page("peers", text)
        into_page("peers-evaluation", again)


if __name__ == "__main__":
    main()
