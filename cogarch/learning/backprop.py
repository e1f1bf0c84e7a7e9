"""How weights change: losses summed over played walks, back-propagated, one step of Adam."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cogarch.bus import Bus
from cogarch.config import Training
from cogarch.learning.zero_shot import CONTINUOUS, WANTED, accuracy, hits, retrieved, view_ids
from cogarch.module import Messages
from cogarch.objectives import objective


class Diverged(RuntimeError):
    """A number that is not finite; the text names the topic (or parameter) in which it first appeared."""


class Tell(Protocol):
    """Who wants to hear what was said `[T, B, ...]` on some topics in an update."""

    @property
    def topics(self) -> tuple[str, ...]: ...

    def __call__(self, said: Messages) -> None: ...


@dataclass(frozen=True)
class Batch:
    """The walks of one update: messages `[T, B, ...]`, where the loss counts, and where zero-shot events are."""

    walk: Messages
    counts: Tensor
    zero_shot: NDArray[np.bool_]

    def row(self, row: int) -> Batch:
        """One of the walks."""
        walk = {topic: x[:, row : row + 1] for topic, x in self.walk.items()}
        return Batch(walk, self.counts[:, row : row + 1], self.zero_shot[:, row : row + 1])

    @classmethod
    def side_by_side(cls, parts: Sequence[Batch]) -> Batch:
        """One of several."""
        walk = {topic: torch.cat([part.walk[topic] for part in parts], 1) for topic in parts[0].walk}
        zero_shot = np.concatenate([part.zero_shot for part in parts], 1)
        return cls(walk, torch.cat([part.counts for part in parts], 1), zero_shot)


def rate(setup: Training, number: int) -> float:
    """The learning rate of update `number`."""
    if "learning_rate" in setup.schedules:
        return setup.schedules["learning_rate"].at(number)
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
    tell: Tell | None = None,
) -> dict[str, float]:
    """One step of the weights: losses `[T, B]` averaged over the ticks that count; `tell` hears what was said."""
    losses = schedule(bus, setup, number)
    _begin(bus, setup, number)
    before = dict(bus.state)
    scored = report and set(WANTED) <= bus.plan.topics.keys()
    whole = [topic for topic in losses if topic not in bus.plan.topics]
    read = [read.topic for topic in whole for read in bus.objectives[topic][1].subscriptions.values()]
    modules = [bus.part(role) for role in bus.parts]
    heard = {
        *(WANTED if scored else ()),
        *(() if tell is None else tell.topics),
        *(t for module in modules for t in module.hears),
    }
    said = bus.play(batch.walk, {*(losses.keys() - set(whole)), *read, *heard})
    mask = batch.counts.to(bus.device)
    parts = {
        topic: objective(bus, topic, said, number) if topic in whole else _mean(said[topic][mask]) for topic in losses
    }
    total = sum((weight * parts[topic] for topic, weight in losses.items()), torch.zeros((), device=bus.device))
    optimiser.zero_grad()
    total.backward()  # type: ignore[no-untyped-call]
    if setup.clip_each is not None:
        for weight in weights:
            torch.nn.utils.clip_grad_norm_(weight, setup.clip_each)
    norm = torch.nn.utils.clip_grad_norm_(weights, setup.clip)
    if not bool(total.isfinite()) or not bool(norm.isfinite()):
        bus.state = before
        raise Diverged(_culprit(bus, batch.walk, setup, number, parts, total))
    optimiser.step()
    for module in modules:
        module.learned(said)
    if tell is not None:
        tell(said)
    if not report:
        return {}
    return {
        "loss": float(total.detach()),
        "zero_shot": accuracy(_hits(bus, batch, said), batch.zero_shot) if scored else math.nan,
        "events": int(batch.zero_shot.sum()) if scored else 0,
        "gradient_norm": float(norm),
        **{topic: float(part.detach()) for topic, part in parts.items()},
    }


def _mean(x: Tensor) -> Tensor:
    """0 where no tick counts."""
    return x.mean() if len(x) else x.sum()


def _hits(bus: Bus, batch: Batch, said: Messages) -> NDArray[np.bool_]:
    if bus.plan.topics["lec/x"].unit != CONTINUOUS:
        return hits(said)
    seen = batch.walk["env/observation"]
    return retrieved(said, view_ids((seen[..., 0] if seen.dtype == torch.int64 else seen).cpu().numpy()))


@contextmanager
def no_subnormals() -> Iterator[None]:
    """Numbers below 1e-38 are 0 meanwhile: they mean nothing, and arithmetic with them is a hundred times slower."""
    flushed = float(torch.tensor(1e-40) * 1.0) == 0.0  # by whoever calls
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)


def schedule(bus: Bus, setup: Training, number: int) -> dict[str, float]:
    """Set what is scheduled in modules for update `number`; the weights of the losses then."""
    losses = dict(setup.losses)
    for name, value in setup.schedules.items():
        role, _, setting = name.partition(".")
        if setting:
            setattr(bus.parts[role], setting, value.at(number))
        elif name in losses:
            losses[name] = value.at(number)
    return losses


def _begin(bus: Bus, setup: Training, number: int) -> None:
    """New agents; each update is an episode of its own, so that its noise is its own too. Agents that stay go on."""
    if setup.stays:
        bus.detach()
        return
    bus.reset()
    bus.episode += number


def _culprit(bus: Bus, walk: Messages, setup: Training, number: int, parts: Mapping[str, Tensor], total: Tensor) -> str:
    """Where the first number that is not finite appeared: in a message, else in the sum of the losses or a gradient.

    What is played at once is looked at in the order of playing: attention spreads a NaN to ticks before it.
    """
    _begin(bus, setup, number)
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
    for topic, part in parts.items():
        if not bool(part.isfinite()):
            return f"{topic!r} is not finite, though every message is"
    if not bool(total.isfinite()):
        return "the sum of the losses is not finite, though every message is"
    for name, p in bus.parts.named_parameters():
        if p.grad is not None and not bool(p.grad.isfinite().all()):
            return f"the gradient of {name!r} is not finite, though every message is"
    return "the norm of the gradient is not finite, though every message is: a sum overflowed"
