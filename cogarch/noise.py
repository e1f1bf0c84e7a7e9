"""Noise as a pure function of where it is used, so that tick = play, rows, restarts and clones agree to the bit.

The key of a number is (seed, module and argument name, stream, row, episode, tick, element). Each part is absorbed by
the finaliser of SplitMix64 (Steele, Lea & Flood 2014), which passes the usual batteries as a counter-based generator.
"""

from __future__ import annotations

import math
import zlib

import torch
from torch import Tensor

from cogarch.module import Noise

_GOLDEN = -0x61C8864680B583EB  # 0x9E3779B97F4A7C15 as a signed 64-bit number
_MIX1 = -0x40A7B892E31B1A47  # 0xBF58476D1CE4E5B9
_MIX2 = -0x6B2FB644ECCEEE15  # 0x94D049BB133111EB
_MASK64 = (1 << 64) - 1


def _mix(z: Tensor) -> Tensor:
    z = (z ^ ((z >> 30) & 0x3FFFFFFFF)) * _MIX1
    z = (z ^ ((z >> 27) & 0x1FFFFFFFFF)) * _MIX2
    return z ^ ((z >> 31) & 0x1FFFFFFFF)


def _mix_int(z: int) -> int:
    z &= _MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK64
    return z ^ (z >> 31)


def key(seed: int, name: str, stream: int) -> int:
    """The part of the key that does not change while an agent lives, as a signed 64-bit number."""
    h = 0
    for part in (seed, zlib.crc32(name.encode()), stream):
        h = _mix_int(h + 0x9E3779B97F4A7C15 + part)
    return h - (1 << 64) if h >> 63 else h


def draw(spec: Noise, key: int, rows: Tensor, episode: Tensor, tick: Tensor) -> Tensor:
    """Random numbers `[..., *spec.shape]` float32 for `rows`, `episode` and `tick` (`[...]` int64, broadcastable)."""
    h = _mix(rows * _GOLDEN + key)
    h = _mix(h + episode * _GOLDEN)
    h = _mix(h + tick * _GOLDEN)
    n = math.prod(spec.shape)
    h = _mix(h.unsqueeze(-1) + torch.arange(1, n + 1, device=h.device) * _GOLDEN)
    uniform = ((h >> 40) & 0xFFFFFF).double().add_(0.5).mul_(2.0**-24)  # in (0, 1), never 0 or 1
    if spec.kind == "uniform":
        # kept below 1 in float32 too, so that floor(u * n) < n
        x = uniform.clamp_(max=1 - 2.0**-24)
    else:
        x = torch.erfinv(uniform.mul_(2).sub_(1)).mul_(math.sqrt(2))
    return x.float().reshape(*h.shape[:-1], *spec.shape)
