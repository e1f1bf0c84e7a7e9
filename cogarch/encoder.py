"""From what is sensed to a code of real numbers: the trunk that sensory encoders and world models share."""

from __future__ import annotations

import itertools
import math
from typing import Literal

import torch
from torch import Tensor, nn

from cogarch.module import Signal

CHANNELS = 16

Kind = Literal["mlp", "conv"]


class Encoder(nn.Module):
    """Codes `[..., size]` of observations `[..., *shape]`, by their contract.

    A whole number of known range is one-hot, features are taken as they are, a symbolic view (uint8 `[h, w, channels]`)
    tells each symbol by its bits, pixels (unit "RGB") and images of floats are taken as such. `mlp`: two
    hidden layers on all of it; `conv`: two layers of convolutions, then one hidden layer. Raises ValueError for what it
    does not take.
    """

    def __init__(self, seen: Signal, size: int, *, kind: Kind = "mlp", hidden: int = 128) -> None:
        super().__init__()
        self.seen, self.kind = seen, kind
        symbols = seen.dtype == torch.uint8 and seen.unit != "RGB"
        if len(seen.shape) == 3 and (seen.dtype == torch.uint8 or seen.dtype.is_floating_point):
            height, width, channels = seen.shape
            if symbols:
                # each symbol is told by its bits: of learned vectors, which are alike by chance, a few symbols that
                # change (where the agent is) are drowned by the many that stay
                self.bits: Tensor
                self.register_buffer("bits", 1 << torch.arange(8, dtype=torch.uint8), persistent=False)
                channels *= 8
            if kind == "conv":
                self.conv = _convolutions(height, width, channels)
                n = math.prod(self.conv(torch.zeros(1, channels, height, width)).shape)
            else:
                n = height * width * channels
        elif kind == "conv":
            raise ValueError(f"convolutions take views [h, w, channels], env/observation is {seen}; use kind 'mlp'")
        elif seen.dtype == torch.int64 and seen.shape == (1,) and seen.values:
            n = seen.values
        elif seen.dtype.is_floating_point and len(seen.shape) == 1:
            n = seen.shape[0]
        else:
            raise ValueError(
                f"no encoder takes env/observation {seen}: it takes one whole number of known range, features [n], and "
                "views or pixels [h, w, channels]; use another world"
            )
        layers = [n, hidden, size] if kind == "conv" else [n, hidden, hidden, size]
        self.trunk = mlp(layers)

    def forward(self, observation: Tensor) -> Tensor:
        lead = observation.shape[: -len(self.seen.shape)]
        x = observation.reshape(-1, *self.seen.shape)
        if self.seen.dtype == torch.int64:
            x = nn.functional.one_hot(x[:, 0], self.seen.values).float()
        elif hasattr(self, "bits"):
            x = ((x.unsqueeze(-1) & self.bits) > 0).flatten(-2).float()
        elif self.seen.dtype == torch.uint8:
            x = x.float() / 255
        else:
            x = x.float()
        if self.kind == "conv":
            x = self.conv(x.movedim(-1, 1))
        coded: Tensor = self.trunk(x.flatten(1))
        return coded.reshape(*lead, -1)


def mlp(sizes: list[int]) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for n, m in itertools.pairwise(sizes):
        layers += [nn.Linear(n, m), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _convolutions(height: int, width: int, channels: int) -> nn.Sequential:
    """Of small views at full resolution; of pictures in two strides (Mnih et al. 2015, fewer channels)."""
    if min(height, width) < 32:
        sizes, kernels = [channels, CHANNELS, CHANNELS], [(3, 1, 1), (3, 1, 1)]
    else:
        sizes, kernels = [channels, CHANNELS, 2 * CHANNELS], [(8, 4, 0), (4, 2, 0)]
    layers: list[nn.Module] = []
    for n, m, (kernel, stride, padding) in zip(sizes, sizes[1:], kernels, strict=False):
        layers += [nn.Conv2d(n, m, kernel, stride, padding), nn.ReLU()]
    return nn.Sequential(*layers)
