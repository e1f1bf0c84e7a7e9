"""What the tests of the modern Hopfield memory share: small memories, and what is written into them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cogarch import Signal
from cogarch.hc.modern_hopfield import ModernHopfield
from cogarch.module import State

Array = NDArray[Any]


def memory(capacity: int = 8, n_g: int = 5, n_x: int = 3, beta: float = 4.0, **more: Any) -> ModernHopfield:
    return ModernHopfield({"mec/g": Signal((n_g,)), "lec/x": Signal((n_x,))}, capacity=capacity, beta=beta, **more)


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def filled(hc: ModernHopfield, keys: Tensor, values: Tensor, **more: Any) -> State:
    """Keys `[P, B, n_g]` and values `[P, B, n_x]` written one after the other."""
    state = hc.init(keys.shape[1])
    for key, value in zip(keys, values, strict=True):
        state = hc.write(state, key, value, **more)
    return state


def unit(x: Array) -> Array:
    length: Array = np.linalg.norm(x, axis=-1, keepdims=True)
    return x / length
