"""Random numbers as a pure function of a stream's name and a position in it.

A stream is a 64-bit key; its n-th output is SplitMix64's mixing of key + n·γ (Steele, Lea & Flood 2014). There is no
state: a number depends on its key and position alone, never on the batch, the fleet, the device or what was drawn
before. That is why a member of a fleet trains as it would alone, a killed run resumes at the same numbers, and an
image meets the same draws in whatever order the images are evaluated.

One output gives two uniforms of 32 bits, or by Box and Muller two normals. Integers are exact on every device;
normals agree up to the rounding of log, sqrt and cos. What is worked on is a tensor of their own, so they work in
place: fresh memory costs more than the arithmetic.
"""

import hashlib
import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

Law = Literal["normal", "uniform"]

GAMMA = -7046029254386353131  # 0x9E3779B97F4A7C15, the odd integer nearest 2⁶⁴/φ
MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


def key(*words: object) -> int:
    """The key of the stream that `words` name, such as `key(seed, "noise", "model", "z")`."""
    name = "\0".join(str(word) for word in words)
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little", signed=True)


def keys(names: Iterable[tuple[object, ...]], device: torch.device | str = "cpu") -> Tensor:
    """Keys of several streams as one tensor."""
    return torch.tensor([key(*words) for words in names], dtype=torch.int64, device=device)


def image_keys(images: Tensor, *words: object) -> Tensor:
    """One key an image, from its content, so that neither order nor company of the images matters; (image,)."""
    salt = "\0".join(str(word) for word in words).encode()
    rows = images.detach().to("cpu", torch.float32).contiguous().numpy()
    hashes = [hashlib.blake2b(row.tobytes(), digest_size=8, key=salt[:64]).digest() for row in rows]
    content = [int.from_bytes(value, "little", signed=True) for value in hashes]
    return torch.tensor(content, dtype=torch.int64, device=images.device)


def mixed(stream: Tensor, position: Tensor) -> Tensor:
    """SplitMix64 of each key at each position, broadcast; int64 holding 64 random bits."""
    z = stream + (position + 1) * GAMMA
    z.bitwise_xor_(_shifted(z, 30)).mul_(MIX_1)
    z.bitwise_xor_(_shifted(z, 27)).mul_(MIX_2)
    return z.bitwise_xor_(_shifted(z, 31))


def uniform(stream: Tensor, first: int, count: int, size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Uniforms on [0, 1) at steps `first` to `first + count` of each stream; (count, *stream.shape, size).

    24 bits each, so that float32 and float64 hold the same number, exactly.
    """
    high, low = _halves(stream, first, count, size)
    both = torch.cat([(half >> 8).to(dtype) for half in (high, low)], dim=-1)
    return both.mul_(2.0**-24)[..., :size]


def normal(stream: Tensor, first: int, count: int, size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normals at steps `first` to `first + count` of each stream; (count, *stream.shape, size)."""
    high, low = _halves(stream, first, count, size)
    radius = high.to(dtype).add_(0.5).mul_(2.0**-32).log_().mul_(-2.0).sqrt_()
    angle = low.to(dtype).mul_(2.0 * math.pi * 2.0**-32)
    return torch.cat([torch.cos(angle).mul_(radius), torch.sin(angle).mul_(radius)], dim=-1)[..., :size]


LAWS = {"normal": normal, "uniform": uniform}


def permutation(stream: int, epoch: int, count: int) -> Tensor:
    """The `epoch`-th shuffle of 0 … count − 1 in a stream."""
    position = torch.arange(epoch * count, (epoch + 1) * count)
    return torch.argsort(mixed(torch.tensor(stream), position), stable=True)


def _halves(stream: Tensor, first: int, count: int, size: int) -> tuple[Tensor, Tensor]:
    """The two 32-bit halves of the outputs that fill `size` numbers a step; (count, *stream.shape, ⌈size/2⌉)."""
    pairs = (size + 1) // 2
    position = torch.arange(first * pairs, (first + count) * pairs, device=stream.device)
    position = position.reshape(count, *(1,) * stream.dim(), pairs)
    bits = mixed(stream.unsqueeze(-1), position)
    return _shifted(bits, 32), bits & 0xFFFFFFFF


def _shifted(bits: Tensor, by: int) -> Tensor:
    """Logical shift to the right (torch's own keeps the sign)."""
    return (bits >> by).bitwise_and_((1 << (64 - by)) - 1)
