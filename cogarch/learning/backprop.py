"""How weights change: losses summed over played walks, back-propagated, one step of Adam."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cogarch.bus import Bus
from cogarch.config import Training
from cogarch.learning.zero_shot import WANTED, accuracy, hits
from cogarch.module import Messages


class Diverged(RuntimeError):
    """A number that is not finite; the text names the topic (or parameter) in which it first appeared."""


@dataclass(frozen=True)
class Batch:
    """The walks of one update: messages `[T, B, ...]`, where the loss counts, and where zero-shot events are."""

    walk: Messages
    counts: Tensor
    zero_shot: NDArray[np.bool_]


def rate(setup: Training, number: int) -> float:
    """The learning rate of update `number`."""
    fall = 0.5 * (1 + math.cos(math.pi * number / setup.updates))
    return setup.learning_rate * (setup.final_rate + (1 - setup.final_rate) * fall)


def update(
    bus: Bus,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    setup: Training,
    weights: list[torch.nn.Parameter],
    number: int,
    report: bool,
) -> dict[str, float]:
    """One step of the weights: losses `[T, B]` averaged over the ticks that count."""
    _begin(bus, number)
    said = bus.play(batch.walk, [*setup.losses, *(WANTED if report else ())])
    mask = batch.counts.to(bus.device)
    total = sum(
        (weight * said[topic][mask].mean() for topic, weight in setup.losses.items()),
        torch.zeros((), device=bus.device),
    )
    optimiser.zero_grad()
    total.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(weights, setup.clip)
    if not bool(total.isfinite()) or not bool(norm.isfinite()):
        raise Diverged(_culprit(bus, batch.walk, number, total))
    optimiser.step()
    if not report:
        return {}
    return {
        "loss": float(total.detach()),
        "zero_shot": accuracy(hits(said), batch.zero_shot),
        "events": int(batch.zero_shot.sum()),
        "gradient_norm": float(norm),
    }


def _begin(bus: Bus, number: int) -> None:
    """New agents; each update is an episode of its own, so that its noise is its own too."""
    bus.reset()
    bus.episode += number


def _culprit(bus: Bus, walk: Messages, number: int, total: Tensor) -> str:
    """Where the first number that is not finite appeared: in a message, else in the sum of the losses or a gradient.

    What is played at once is looked at in the order of playing: attention spreads a NaN to ticks before it.
    """
    _begin(bus, number)
    with torch.no_grad():
        said = bus.play(walk)
    played = [[topic for node in group.nodes for topic in node.step.writes] for group in bus.plan.groups]
    for topics in (bus.plan.inputs, *played):
        bad = [
            (int((~said[topic].isfinite()).flatten(1).any(1).nonzero()[0]), i, topic)
            for i, topic in enumerate(topics)
            if said[topic].dtype.is_floating_point and not bool(said[topic].isfinite().all())
        ]
        if bad:
            t, _, topic = min(bad)
            return f"{topic!r}, written by {bus.plan.writer(topic)}, is not finite at tick {t} of the walk"
    if not bool(total.isfinite()):
        return "the sum of the losses is not finite, though every message is"
    for name, p in bus.parts.named_parameters():
        if p.grad is not None and not bool(p.grad.isfinite().all()):
            return f"the gradient of {name!r} is not finite, though every message is"
    return "the norm of the gradient is not finite, though every message is: a sum overflowed"
