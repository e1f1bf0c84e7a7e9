"""What the tests of continuous sensory codes share: small encoders, and walks in which views come again."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from buses import START
from torch import Tensor

from cogarch import Bus, Signal
from cogarch.hc.modern_hopfield import ModernHopfield
from cogarch.lec.continuous import Continuous
from cogarch.lec.conv import Conv
from cogarch.lec.jepa import Jepa
from cogarch.mec.rotor import Rotor
from cogarch.module import Messages

VIEW = Signal((5, 5, 2), torch.uint8)
PIXELS = Signal((32, 32, 3), torch.uint8, unit="RGB")
SMALL: dict[str, Any] = {"width": 16, "depth": 1, "predictor_width": 8, "predictor_depth": 1}


def jepa(seen: Signal = VIEW, **settings: Any) -> Jepa:
    torch.manual_seed(0)
    return Jepa({"env/observation": seen}, **(SMALL | settings))


def conv(seen: Signal = VIEW, **settings: Any) -> Conv:
    torch.manual_seed(0)
    return Conv({"env/observation": seen}, **({"size": 12, "hidden": 16} | settings))


def views(ticks: int, batch: int, kinds: int = 4, seed: int = 0) -> Tensor:
    """Walks `[T, B, 5, 5, 2]` in which so many views come again."""
    rng = np.random.default_rng(seed)
    different = rng.integers(0, 6, size=(kinds, *VIEW.shape), dtype=np.uint8)
    return torch.from_numpy(different[rng.integers(kinds, size=(ticks, batch))])


def mapped(lec: Continuous, batch: int = 3) -> tuple[Bus, Messages]:
    """A map in that code, and walks of 10 ticks."""
    topics = {
        "env/observation": lec.seen,
        "env/action": Signal(dtype=torch.int64, values=4),
        "env/motion": Signal((2,), unit="dx, dy"),
        "env/bump": Signal(dtype=torch.bool),
        "env/start": START,
    }
    known, parts = dict(topics), {"lec": lec}
    torch.manual_seed(0)
    for step in lec.steps():
        known |= step.writes
    mec = Rotor(known, motion="learned", modules=2, cells=6)
    for step in mec.steps():
        known |= step.writes
    hc = ModernHopfield(known, capacity=10, learn_beta=True)
    bus = Bus(topics, {**parts, "mec": mec, "hc": hc}, batch=batch)
    start = torch.zeros(10, batch, 1, dtype=torch.bool)
    start[0] = True
    g = torch.Generator().manual_seed(0)
    action = torch.randint(0, 4, (10, batch, 1), generator=g)
    return bus, {
        "env/observation": views(10, batch),
        "env/action": torch.where(start, -1, action),
        "env/motion": torch.zeros(10, batch, 2),
        "env/bump": torch.zeros_like(start),
        "env/start": start,
    }
