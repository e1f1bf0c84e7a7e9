"""What is learned from: fresh walks for every update, or agents that stay in their worlds over many."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import envs
from cogarch.config import Agent, Training
from cogarch.learning.backprop import Batch
from cogarch.learning.zero_shot import PER_SEED, events_of
from cogarch.module import SCORING_ONLY, Messages
from cogarch.run import heard
from envs import policies
from envs.world import World

TRAINING_WORLDS = 1000
"""World seeds below this train, and only these."""
WALKERS = 1600  # walked at once: a step of a thousand worlds costs little more than one of a few


def batches(agent: Agent, world: str, options: Mapping[str, Any], seed: int, first: int, last: int) -> Iterator[Batch]:
    """The walks of updates `first` to `last` - 1: a function of seed and update, so a resumed run has the same."""
    setup = agent.training
    walked = _fresh if setup.walk is None else _staying
    return walked(setup, world, options, seed, first, last)


def _fresh(
    setup: Training, world: str, options: Mapping[str, Any], seed: int, first: int, last: int
) -> Iterator[Batch]:
    """A new world for each walk; many updates are walked at once."""
    block = max(1, WALKERS // setup.batch)
    rows = block * setup.batch
    with contextlib.closing(envs.make(world, rows, **options)) as env:
        for b in range(first // block, -(-last // block)):
            world_seeds = [(b * rows + row) % TRAINING_WORLDS for row in range(rows)]
            walk = _Walk.make(env, setup, setup.steps, world_seeds, seed * PER_SEED + b)
            for i in range(max(first - b * block, 0), min(last - b * block, block)):
                yield walk.part(slice(0, setup.steps), slice(i * setup.batch, (i + 1) * setup.batch))


def _staying(
    setup: Training, world: str, options: Mapping[str, Any], seed: int, first: int, last: int
) -> Iterator[Batch]:
    """Each agent stays in its world for a drawn number of updates, then goes to its next one."""
    windows = Stays(setup, seed)
    held: dict[int, _Walk] = {}
    with contextlib.closing(envs.make(world, setup.batch, **options)) as env:
        for update in range(last):
            stay, window = windows.next()
            if update < first:
                continue
            for k in sorted(set(stay.tolist()) - held.keys()):
                world_seeds = [(k * setup.batch + row) % TRAINING_WORLDS for row in range(setup.batch)]
                ticks = windows.longest(k) * setup.steps
                held[k] = _Walk.make(env, setup, ticks, world_seeds, seed * PER_SEED + k)
            for k in held.keys() - set(stay.tolist()):
                del held[k]
            own = [
                held[k].part(slice(w * setup.steps, (w + 1) * setup.steps), slice(row, row + 1))
                for row, (k, w) in enumerate(zip(stay.tolist(), window.tolist(), strict=True))
            ]
            yield Batch.side_by_side(own)


class Stays:
    """How long each agent stays, in updates: drawn for each stay, the first one cut so that they part.

    A schedule `walk` adds ticks to a stay that begins at its update.
    """

    def __init__(self, setup: Training, seed: int) -> None:
        walk = setup.walk if isinstance(setup.walk, tuple) else (setup.walk, setup.walk)
        self._low, self._high = (max(1, round((ticks or 1) / setup.steps)) for ticks in walk)
        self._seed, self._batch = seed, setup.batch
        self._stay, self._window = np.full(setup.batch, -1), np.zeros(setup.batch, np.int64)
        self._left = np.zeros(setup.batch, np.int64)
        self._more, self._steps, self._update = setup.schedules.get("walk"), setup.steps, 0

    def longest(self, stay: int) -> int:
        """No agent stays longer in the stay of that number, whenever it begins, in updates."""
        more = 0 if self._more is None else max(self._more.start, self._more.end)
        return max(1, int(self.lengths(stay).max()) + math.ceil(more / self._steps))

    def lengths(self, stay: int) -> NDArray[np.int64]:
        """Of the stay of that number of each agent, `[B]`."""
        rng = np.random.default_rng([self._seed, stay])
        length = rng.integers(self._low, self._high, size=self._batch, endpoint=True)
        return rng.integers(1, length, endpoint=True) if stay == 0 else length

    def next(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The number of the stay and the window in it of each agent, for the next update."""
        over = self._left == 0
        self._stay, self._window = self._stay + over, np.where(over, 0, self._window + 1)
        more = 0 if self._more is None else round(self._more.at(self._update) / self._steps)
        for stay in np.unique(self._stay[over]):
            rows = over & (self._stay == stay)
            self._left[rows] = np.maximum(self.lengths(int(stay))[rows] + more, 1)
        self._left -= 1
        self._update += 1
        return self._stay.copy(), self._window


@dataclass(frozen=True)
class _Walk:
    """Walks of many agents: messages `[T, B, ...]`, and what is scored."""

    messages: Messages
    counts: torch.Tensor
    zero_shot: NDArray[np.bool_]

    @classmethod
    def make(cls, env: World, setup: Training, ticks: int, world_seeds: list[int], policy_seed: int) -> _Walk:
        walk = policies.walk(env, setup.policy, ticks, world_seeds=world_seeds, policy_seed=policy_seed)
        return cls(heard(walk), *_marks(env, setup, walk))

    def part(self, ticks: slice, rows: slice) -> Batch:
        messages = {topic: x[ticks, rows] for topic, x in self.messages.items()}
        return Batch(messages, self.counts[ticks, rows], self.zero_shot[ticks, rows])


def piece(env: World, setup: Training, said: Messages) -> Batch:
    """A piece `[T, B, ...]` of longer lives, the truth included, as walks of their own: who learns from it knows
    nothing of what was before, so that its first tick begins an episode."""
    before = {"env/action": -1, "env/motion": 0, "env/bump": False, "env/reward": 0, "env/start": True}
    walk = {topic: x for topic, x in said.items() if topic not in SCORING_ONLY}
    for topic, nothing in before.items():
        walk[topic] = walk[topic].clone()
        walk[topic][0] = nothing
    scalars = {name: walk[f"env/{name}"][..., 0].numpy() for name in ("action", "start")}
    truth = {"node": said["env/node"][..., 0].numpy(), "place": said["env/place"].numpy()}
    return Batch(walk, *_marks(env, setup, {**scalars, **truth}))


def _marks(env: World, setup: Training, walk: Mapping[str, NDArray[Any]]) -> tuple[torch.Tensor, NDArray[np.bool_]]:
    """Where the loss counts and where zero-shot events are, `[T, B]`; each episode is judged by itself."""
    start = walk["start"]
    visited, zero_shot = np.zeros_like(start), np.zeros_like(start)

    def mark(ticks: slice, rows: NDArray[np.integer]) -> None:
        found = events_of(env, {name: walk[name][ticks, rows] for name in ("node", "action", "start", "place")})
        visited[ticks, rows], zero_shot[ticks, rows] = found.visited, found.zero_shot

    several = start[1:].any(0)
    if not several.all():
        mark(slice(None), np.flatnonzero(~several))
    for row in np.flatnonzero(several):
        cuts = [0, *(np.flatnonzero(start[1:, row]) + 1).tolist(), len(start)]
        for a, b in itertools.pairwise(cuts):
            mark(slice(a, b), np.array([row]))
    return torch.from_numpy(visited if setup.visited_only else np.ones_like(visited)), zero_shot
