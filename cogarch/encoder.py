"""From what is sensed to a code of real numbers: the trunk that sensory encoders and world models share."""

from __future__ import annotations

import itertools
import math
from typing import Literal

import torch
from torch import Tensor, nn

from cogarch.module import Signal

CHANNELS = 16
PICTURE = 32
"""From so many pixels from side to side on a view is a picture."""

Kind = Literal["mlp", "conv"]


def measured(seen: Signal) -> tuple[int, ...]:
    """The shape of an observation as `numbers`: `(n,)`, or `(h, w, channels)`. ValueError for what is not taken."""
    image = len(seen.shape) == 3 and (seen.dtype == torch.uint8 or seen.dtype.is_floating_point)
    if image:
        height, width, channels = seen.shape
        return height, width, channels * (8 if _symbolic(seen) else 1)
    if seen.dtype == torch.int64 and seen.shape == (1,) and seen.values:
        return (seen.values,)
    if seen.dtype.is_floating_point and len(seen.shape) == 1:
        return seen.shape
    raise ValueError(
        f"no encoder takes env/observation {seen}: it takes one whole number of known range, features [n], and views "
        "or pixels [h, w, channels]; use another world"
    )


def numbers(observation: Tensor, seen: Signal) -> Tensor:
    """Observations `[N, *shape]` as numbers `[N, *measured(seen)]`.

    A whole number of known range is one-hot, features are taken as they are, pixels (unit "RGB") are 0 to 1. Each
    symbol of a view is told by its bits: of learned vectors, which are alike by chance, a few symbols that change
    (where the agent is) are drowned by the many that stay.
    """
    if seen.dtype == torch.int64:
        return nn.functional.one_hot(observation[:, 0], seen.values).float()
    if _symbolic(seen):
        bits = 1 << torch.arange(8, dtype=torch.uint8, device=observation.device)
        return ((observation.unsqueeze(-1) & bits) > 0).flatten(-2).float()
    return observation.float() / 255 if seen.dtype == torch.uint8 else observation.float()


def _symbolic(seen: Signal) -> bool:
    return seen.dtype == torch.uint8 and seen.unit != "RGB"


class Encoder(nn.Module):
    """Codes `[..., size]` of observations `[..., *shape]`, by their contract, as `numbers` tells them.

    `mlp`: two hidden layers on all of it; `conv`: two layers of convolutions, then one hidden layer. Raises ValueError
    for what it does not take.
    """

    def __init__(self, seen: Signal, size: int, *, kind: Kind = "mlp", hidden: int = 128) -> None:
        super().__init__()
        self.seen, self.kind = seen, kind
        shape = measured(seen)
        n, layers = math.prod(shape), [hidden, hidden, size]
        if kind == "conv":
            if len(shape) < 3:
                raise ValueError(f"convolutions take views [h, w, channels], env/observation is {seen}; use kind 'mlp'")
            self.conv = _convolutions(*shape, picture=not _symbolic(seen) and min(shape[:2]) >= PICTURE)
            n, layers = math.prod(self.conv(torch.zeros(1, *shape).movedim(-1, 1)).shape), [hidden, size]
        self.trunk = mlp([n, *layers])

    def forward(self, observation: Tensor) -> Tensor:
        lead = observation.shape[: -len(self.seen.shape)]
        x = numbers(observation.reshape(-1, *self.seen.shape), self.seen)
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


def _convolutions(height: int, width: int, channels: int, *, picture: bool) -> nn.Sequential:
    """Of views at full resolution; of pictures in patches of 4 x 4, each looked at for itself.

    A filter that spans more than a place of the world learns the agent together with the walls beside it, and does not
    know it beside others.
    """
    sizes, kernels = [channels, CHANNELS, CHANNELS], [(3, 1, 1), (3, 1, 1)]
    layers: list[nn.Module] = []
    if picture:
        sizes, kernels = [channels, 2 * CHANNELS, CHANNELS], [(4, 4, 0), (1, 1, 0)]
        layers = [nn.ZeroPad2d((0, -width % 4, 0, -height % 4))] if height % 4 or width % 4 else []
    for n, m, (kernel, stride, padding) in zip(sizes, sizes[1:], kernels, strict=False):
        layers += [nn.Conv2d(n, m, kernel, stride, padding), nn.ReLU()]
    return nn.Sequential(*layers)
