"""Walks that are kept, to be learned from again: those that are foreseen worst are drawn most often."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cogarch.learning.backprop import Batch, Tell
from cogarch.module import Messages

NEVER = -1.0
ERROR = "loss/next"
"""How badly a tick was foreseen. `world/surprise` is in units of what is usual: by it all walks would be alike."""


class Replay:
    """The walks of the last `kept` updates; each update learns from some of them, drawn with replacement.

    A walk is drawn in proportion to its largest error of prediction when it was last learned from, to the power of
    `rare`: what seldom happens (a way through a door) is learned late, and is seen more often so. New walks count as
    the mean of the others. 0: all alike. After Schaul et al. (2016), whole walks in place of transitions.
    """

    def __init__(self, kept: int, rare: float, seed: int) -> None:
        self.kept, self.rare, self._seed = kept, rare, seed
        self._batches: deque[Batch] = deque(maxlen=kept)
        self.priority = torch.zeros(0)  # of each walk kept, the oldest first; NEVER learned from yet

    def add(self, batch: Batch, known: bool = False) -> None:
        """Keep the walks of a batch; the oldest batch goes where there is no room. `known`: their priorities are there
        already, from a checkpoint."""
        size = batch.counts.shape[1]
        if not known:
            if len(self._batches) == self._batches.maxlen:
                self.priority = self.priority[self._batches[0].counts.shape[1] :]
            self.priority = torch.cat([self.priority, torch.full((size,), NEVER)])
        self._batches.append(batch)

    @property
    def held(self) -> int:
        """Updates whose walks are here."""
        return len(self._batches)

    def dump(self, walks: bool) -> dict[str, Tensor]:
        """For a checkpoint: how badly each walk was foreseen; and the `walks`, where they cannot be walked again."""
        if not walks:
            return {"priority": self.priority}
        topics = self._batches[0].walk if self.held else {}
        said = {f"walk.{topic}": torch.stack([batch.walk[topic] for batch in self._batches]) for topic in topics}
        counts = [batch.counts for batch in self._batches]
        zero_shot = [torch.from_numpy(batch.zero_shot) for batch in self._batches]
        marks = {"counts": torch.stack(counts), "zero_shot": torch.stack(zero_shot)} if self.held else {}
        return {"priority": self.priority, **said, **marks}

    def load(self, saved: Mapping[str, Tensor]) -> None:
        """What `dump` gave."""
        self.priority = saved["priority"]
        for i, counts in enumerate(saved.get("counts", ())):
            walk = {name.removeprefix("walk."): x[i] for name, x in saved.items() if name.startswith("walk.")}
            self._batches.append(Batch(walk, counts, saved["zero_shot"][i].numpy()))

    def draw(self, size: int, update: int) -> tuple[Batch, _Mark]:
        """So many walks for update `update`, and who wants to hear how badly they were foreseen."""
        known = self.priority != NEVER
        weights = np.ones(len(known))
        if bool(known.any()):
            worst = self.priority.max().clamp(min=1e-30)
            learned = (self.priority[known].double() / worst).clamp(min=1e-12).pow(self.rare).numpy()
            weights[known.numpy()], weights[~known.numpy()] = learned, learned.mean()
        chosen = np.random.default_rng([self._seed, update]).choice(len(weights), size, p=weights / weights.sum())
        rows = [(batch, row) for batch in self._batches for row in range(batch.counts.shape[1])]
        picked = [batch.row(row) for batch, row in (rows[i] for i in chosen.tolist())]
        return Batch.side_by_side(picked), _Mark(self, torch.from_numpy(chosen))


@dataclass(frozen=True)
class _Mark:
    """Notes how badly the walks that were learned from were foreseen."""

    replay: Replay
    which: Tensor
    topics: tuple[str, ...] = (ERROR,)

    def __call__(self, said: Messages) -> None:
        self.replay.priority[self.which] = said[ERROR].detach().amax(0).to(self.replay.priority)


def first_walked(done: int, replay: Replay | None) -> int:
    """The update whose walks a training needs first, after `done` updates: those of a policy are a function of seed and
    update, so the ones that were kept are walked again, not saved. What was lived is in the checkpoint."""
    return done if replay is None or replay.held else max(done - replay.kept, 0)


def drawn(walks: Iterator[Batch], replay: Replay | None, size: int, done: int) -> Iterator[tuple[Batch, Tell | None]]:
    """The batch of each update from `done` on, of walks from `first_walked` on; and who wants to hear of it."""
    for update, batch in enumerate(walks, first_walked(done, replay)):
        if replay is None:
            yield batch, None
            continue
        replay.add(batch, known=update < done)
        if update >= done:
            yield replay.draw(size, update)
