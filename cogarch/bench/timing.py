"""Two ways of doing one thing, timed side by side."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch


def paired(a: Callable[[], None], b: Callable[[], None], rounds: int) -> tuple[Any, float, float]:
    """Quartiles of the ratio a / b, and the median seconds of each, measured in turn so that noise hits both."""
    times = np.empty((rounds, 2))
    with torch.no_grad():
        for side in (a, b):
            side()  # warm
        for i in range(rounds):
            for j in (0, 1) if i % 2 else (1, 0):
                began = time.perf_counter()
                (a, b)[j]()
                times[i, j] = time.perf_counter() - began
    ratio = np.quantile(times[:, 0] / times[:, 1], [0.25, 0.5, 0.75])
    return ratio, float(np.median(times[:, 0])), float(np.median(times[:, 1]))
