"""cogarch: brain-inspired modules that speak over a typed message bus."""

import os

import torch

# torch's default threads swing a tick's time 50-fold on small machines; more are seldom faster at these sizes
_threads = os.environ.get("COGARCH_THREADS", "1")
if not _threads.isdigit() or _threads == "0":
    raise ValueError(f"COGARCH_THREADS is {_threads!r}: it is a whole number of threads, 1 or more")
torch.set_num_threads(int(_threads))

from cogarch.bus import Bus  # noqa: E402
from cogarch.config import Agent  # noqa: E402
from cogarch.module import Module, Noise, Objective, Read, Signal, State, Step  # noqa: E402
from cogarch.registry import ConfigError  # noqa: E402
from cogarch.run import run  # noqa: E402
from cogarch.wiring import WiringError  # noqa: E402

__all__ = [
    "Agent",
    "Bus",
    "ConfigError",
    "Module",
    "Noise",
    "Objective",
    "Read",
    "Signal",
    "State",
    "Step",
    "WiringError",
    "run",
]
