"""Convolutional encoder and decoder: each layer halves the image's side, the decoder doubles it back."""

import itertools
import math

import torch
from torch import Tensor, nn

from vaebench.data.dataset import Shape
from vaebench.models.networks.trunk import ACTIVATIONS, Decoder, Trunk, initialised


class OnImages(nn.Module):
    """Applies convolutions to rows of numbers with any leading axes: (…, c · s · s) → (…, c' · s' · s')."""

    def __init__(self, layers: nn.Module, channels: int, side: int) -> None:
        super().__init__()
        self.layers = layers
        self.form = (channels, side, side)

    def forward(self, rows: Tensor) -> Tensor:
        leading = rows.shape[:-1]
        images: Tensor = self.layers(rows.reshape(math.prod(leading), *self.form))
        return images.reshape(*leading, -1)


class Planes(nn.Module):
    """Each number behind the pixels becomes a constant plane: (…, pixels + n) → (…, (1 + n) · pixels)"""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.pixels = pixels

    def forward(self, rows: Tensor) -> Tensor:
        image, numbers = rows[..., : self.pixels], rows[..., self.pixels :]
        planes = numbers.unsqueeze(-1).expand(*numbers.shape, self.pixels).flatten(-2)
        return torch.cat([image, planes], dim=-1)


class ConvDecoder(Decoder):
    """Its pixel head is the last upward convolution."""

    def __init__(
        self, body: nn.Module, channels: int, sides: tuple[int, int], initialisation: str, shape: Shape
    ) -> None:
        super().__init__(body, channels * sides[0] ** 2, initialisation, shape)
        self.channels, self.sides = channels, sides

    def pixel_head(self, maps: int) -> nn.Module:
        up = upward(self.channels, maps, *self.sides, self.initialisation)
        return nn.Sequential(OnImages(up, self.channels, self.sides[0]), nn.Unflatten(-1, (maps, self.pixels)))


class Conv:
    """3 × 3 convolutions with stride 2 and the given channels; the decoder mirrors the encoder.

    The sides follow from the image's: 28 → 14 → 7 → 4, 8 → 4 → 2 → 1.
    """

    def __init__(self, channels: list[int], activation: str, initialisation: str) -> None:
        self.channels = channels
        self.activation = ACTIVATIONS[activation]
        self.initialisation = initialisation

    def encoder(self, shape: Shape, beside: int = 0) -> Trunk:
        sides = self._sides(shape)
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise([1 + beside, *self.channels]):
            convolution = nn.Conv2d(inputs, outputs, kernel_size=3, stride=2, padding=1)
            layers += [initialised(convolution, self.initialisation), self.activation()]
        convolutions = OnImages(nn.Sequential(*layers), 1 + beside, sides[0])
        body = nn.Sequential(Planes(shape.pixels), convolutions) if beside else convolutions
        return Trunk(body, self.channels[-1] * sides[-1] ** 2, self.initialisation)

    def decoder(self, latent: int, shape: Shape) -> Decoder:
        sides = self._sides(shape)
        channels = [*reversed(self.channels)]
        first = nn.Linear(latent, channels[0] * sides[-1] ** 2)
        layers: list[nn.Module] = [self.activation()]
        for (inputs, outputs), (large, small) in zip(
            itertools.pairwise(channels), itertools.pairwise(reversed(sides[1:])), strict=True
        ):
            layers += [upward(inputs, outputs, large, small, self.initialisation), self.activation()]
        body = nn.Sequential(
            initialised(first, self.initialisation), OnImages(nn.Sequential(*layers), channels[0], sides[-1])
        )
        return ConvDecoder(body, channels[-1], (sides[1], sides[0]), self.initialisation, shape)

    def _sides(self, shape: Shape) -> list[int]:
        """Side of the image, and after each convolution."""
        if shape.side is None:
            raise ValueError("a convolutional network needs images")
        sides = [shape.side]
        for _ in self.channels:
            sides.append((sides[-1] + 1) // 2)
        return sides


def upward(inputs: int, outputs: int, small: int, large: int, initialisation: str) -> nn.ConvTranspose2d:
    """The transposed convolution from side `small` to side `large`, which is 2·small or 2·small − 1."""
    odd = large - (2 * small - 1)
    layer = nn.ConvTranspose2d(inputs, outputs, kernel_size=3, stride=2, padding=1, output_padding=odd)
    return initialised(layer, initialisation)
