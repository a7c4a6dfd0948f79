"""Three parts of a step and of an evaluation as they were first written, against what stands there now.

    python -m tests.benchmarks.parts [--rounds 21] [--write]

Both forms give the same numbers (the first two bit for bit), which is asked before anything is timed.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent

from tests.benchmarks.outcome import FOLDER, command, into_page, keep, machine, origin, table
from tests.benchmarks.timing import Rounds, alternate, steps_lasting
from vaebench.data import streams
from vaebench.models.distributions import IndependentBernoulli
from vaebench.training.inputs import NOISE_BLOCK

BATCH, PIXELS = 128, 784
DRAWS, IMAGES = 50, 100
STEPS = NOISE_BLOCK["cuda"] // (BATCH * PIXELS)
"""So many steps of a batch were once drawn at a time on a CPU too."""


class Part(NamedTuple):
    """The same work in two forms."""

    before: Callable[[], Tensor]
    after: Callable[[], Tensor]
    exact: bool
    """Bit for bit, or up to rounding."""


def parts() -> dict[str, Part]:
    """Drawn anew: nothing of it was ever trained on."""
    generator = torch.Generator().manual_seed(0)
    content = torch.randint(0, 256, (4096, PIXELS), generator=generator, dtype=torch.uint8)
    index = torch.randint(0, len(content), (BATCH,), generator=generator)
    keys = streams.keys([("parts",)])
    logits = 4.0 * torch.randn(DRAWS, IMAGES, PIXELS, generator=generator)
    ink = torch.randint(0, 2, (IMAGES, PIXELS), generator=generator).float()
    return {
        f"{BATCH} images of {len(content):,}, by `content[index]` and by `index_select`": Part(
            lambda: content[index], lambda: content.index_select(0, index), exact=True
        ),
        f"uniforms for {STEPS} batches of {PIXELS} pixels, in fresh memory and in place": Part(
            lambda: torch.cat([fresh_uniforms(keys, 0, STEPS, BATCH * PIXELS)]),
            lambda: torch.cat([streams.uniform(keys, step, 1, BATCH * PIXELS) for step in range(STEPS)]),
            exact=True,
        ),
        f"log density of {PIXELS} binary pixels, {DRAWS} × {IMAGES}, by a logarithm a pixel and a product": Part(
            lambda: Independent(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False).log_prob(ink),
            lambda: IndependentBernoulli(logits).log_prob(ink),
            exact=False,
        ),
    }


def fresh_uniforms(stream: Tensor, first: int, count: int, size: int) -> Tensor:
    """`streams.uniform` with a new tensor for each operation, and all steps at once."""
    pairs = (size + 1) // 2
    position = torch.arange(first * pairs, (first + count) * pairs).reshape(count, *(1,) * stream.dim(), pairs)
    z = stream.unsqueeze(-1) + (position + 1) * streams.GAMMA
    z = (z ^ _shifted(z, 30)) * streams.MIX_1
    z = (z ^ _shifted(z, 27)) * streams.MIX_2
    z = z ^ _shifted(z, 31)
    both = torch.cat([_shifted(z, 32) >> 8, (z & 0xFFFFFFFF) >> 8], dim=-1)
    return (both.to(torch.float32) * 2.0**-24)[..., :size]


def _shifted(bits: Tensor, by: int) -> Tensor:
    return (bits >> by) & ((1 << (64 - by)) - 1)


def check(part: Part) -> None:
    """The two forms agree."""
    with torch.no_grad():
        before, after = part.before(), part.after()
    same = torch.equal(before, after) if part.exact else torch.allclose(before, after, rtol=1e-4, atol=1e-2)
    if not same:
        raise AssertionError("the two forms differ")


def repeated(form: Callable[[], Tensor], times: int) -> None:
    with torch.no_grad():
        for _ in range(times):
            form()


def measure(part: Part, rounds: int, seconds: float) -> Rounds:
    check(part)
    times = steps_lasting(seconds, partial(repeated, part.before))
    sides = {name: partial(repeated, getattr(part, name), times) for name in ("before", "after")}
    found = alternate(sides, rounds)
    return Rounds({name: [taken / times for taken in values] for name, values in found.seconds.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--seconds", type=float, default=0.2, help="about so long is a side of a round")
    parser.add_argument("--write", action="store_true", help="the table into docs/performance.md")
    options = parser.parse_args()
    where, how = machine(), command("tests.benchmarks.parts")
    taken = {name: measure(part, options.rounds, options.seconds) for name, part in parts().items()}
    rows = [
        [name, 1e3 * rounds.median("before"), 1e3 * rounds.median("after"), str(rounds.compared("before", "after"))]
        for name, rounds in taken.items()
    ]
    heads = ["part", "before (ms)", "after (ms)", "before ÷ after, 95 %"]
    text = f"{table(heads, rows)}\n{origin(where, how)}"
    print(text)
    if options.write:
        seconds = {name: dict(rounds.seconds) for name, rounds in taken.items()}
        keep("parts", {"machine": where, "command": how, "seconds": seconds}, FOLDER)
        into_page("parts", text)


if __name__ == "__main__":
    main()
