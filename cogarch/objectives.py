"""Losses of whole walks (`Module.objectives`): what a training asks of modules once all that they said is known."""

from __future__ import annotations

import torch
from torch import Tensor

from cogarch import noise
from cogarch.bus import Bus
from cogarch.module import Messages
from cogarch.wiring import WiringError


def objective(bus: Bus, topic: str, said: Messages, number: int) -> Tensor:
    """A loss of whole walks, of what was `said` `[T, B, ...]` on the topics that it reads; its noise is that of update
    `number`."""
    role, what = bus.objectives[topic]
    reads = what.subscriptions.items()
    args = {arg: said[read.topic] if read.grad else said[read.topic].detach() for arg, read in reads}
    first, now = (torch.tensor([n], device=bus.device) for n in (0, number))
    for arg, spec in what.noise.items():
        key = noise.key(bus.seed, f"{role}.{what.method}.{arg}", bus.stream)
        args[arg] = noise.draw(spec, key, first, now, first)[0]
    with bus.device:  # a state that it begins anew is there too
        loss: Tensor = getattr(bus.part(role), what.method)(**args)
    if loss.shape:
        raise WiringError(f"{role}.{what.method} -> {topic!r} made {list(loss.shape)}; an objective is one number")
    return loss
