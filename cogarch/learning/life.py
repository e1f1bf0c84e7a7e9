"""The agent's own life, learned from while it is lived: its executive acts, with the weights of this update."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

import envs
from cogarch.bus import Bus
from cogarch.config import Agent, Training
from cogarch.learning.backprop import Batch, schedule
from cogarch.learning.walks import TRAINING_WORLDS, Stays, piece
from cogarch.run import contracts, living, tell_notices

BUS = "bus."


class Life:
    """Agents who live `training.steps` ticks before each update, without gradient, and go on living after it.

    They are those of `learner`, as they are when they run: with an executive, and the settings of living. Before each
    update they take over the weights (and buffers) of `learner` and what is scheduled. Agent b lives its life n in the
    training world of seed n * B + b (modulo 1,000): for `training.walk` ticks, or the whole training. What a memory
    holds in a sensory code that is learned is lost at each update, for that is another version of the code.
    """

    def __init__(
        self, agent: Agent, world: str, options: Mapping[str, Any], seed: int, learner: Bus, console: Console
    ) -> None:
        self._setup, self._seed, self._learner, self._console = agent.training, seed, learner, console
        self.env = envs.make(world, agent.training.batch, **options)
        self.bus = living_bus(agent, self.env, seed, learner)
        self._inputs = [*learner.plan.inputs, "env/node", "env/place"]
        self._actions: list[NDArray[np.integer]] = []  # since the oldest life under way began
        self._told: set[str] = set()

    def windows(self, first: int, last: int) -> Iterator[Batch]:
        """What was lived before each update from `first` to `last` - 1, `[steps, B, ...]`, as walks of their own; each
        is lived when it is asked for."""
        setup = self._setup
        stay, window = _stays(setup, self._seed, last)
        # when the oldest life under way began: what was done since then must be done again in new worlds
        begun = (first - 1 - int(window[first - 1].max())) * setup.steps if first else 0

        def begins(t: int) -> dict[int, int | None]:
            update, within = divmod(t, setup.steps)
            if within:
                return {}
            new = np.flatnonzero((window[update] == 0) | (t == begun))
            seeds = (stay[update] * setup.batch + np.arange(setup.batch)) % TRAINING_WORLDS
            return {row: int(seeds[row]) for row in new.tolist()}

        if not first:
            self._take_over(0)
            self.bus.reset()  # how a life begins may be learned, too
        lives = living(self.env, self.bus, begins, first=begun, past=list(self._actions))
        for update in range(first, last):
            self._take_over(update)
            with torch.no_grad():
                lived = list(itertools.islice(lives, setup.steps))
            self._actions += [tick["executive/action"][:, 0].numpy() for tick in lived]
            self._actions = self._actions[-setup.steps * (int(window[update].max()) + 1) :]
            tell_notices(self.bus, self._told, self._console, (update + 1) * setup.steps)
            yield piece(
                self.env, setup, {topic: torch.stack([tick[topic] for tick in lived]) for topic in self._inputs}
            )

    def _take_over(self, update: int) -> None:
        """The weights and buffers that both have, and the settings of this update."""
        learned = self._learner.parts.state_dict()
        for name, x in self.bus.parts.state_dict().items():
            if name in learned:
                x.copy_(learned[name])
        schedule(self.bus, self._setup, update)

    def dump(self) -> dict[str, Tensor]:
        """What brings the life back, but for its weights: the state of the agents, and what they did `[n, B]`."""
        actions = np.array(self._actions, np.int32).reshape(-1, self._setup.batch)
        return {"actions": torch.from_numpy(actions), **{BUS + name: x for name, x in self.bus.dump().items()}}

    def load(self, saved: Mapping[str, Tensor]) -> None:
        """What `dump` gave, before `windows` is asked for the rest."""
        self._actions = list(saved["actions"].numpy().astype(np.int64))
        self.bus.load({name.removeprefix(BUS): x for name, x in saved.items() if name.startswith(BUS)})

    def close(self) -> None:
        """Free the worlds."""
        self.env.close()


def living_bus(agent: Agent, env: envs.World, seed: int, learner: Bus) -> Bus:
    """As many agents as worlds, as they live; ValueError where they cannot act, or cannot take over what is learned."""
    bus = agent.build(contracts(env), batch=env.num_envs, seed=seed)
    if "executive/action" not in bus.plan.topics:
        raise ValueError(
            f"training.policy is 'own', but nobody writes 'executive/action', so {agent.name} cannot act; give it an "
            "executive ([modules.executive], --swap executive=explorer), or let a policy walk (training.policy=uniform)"
        )
    learned = learner.parts.state_dict()
    for name, x in bus.parts.state_dict().items():
        if name in learned and learned[name].shape != x.shape:
            raise ValueError(
                f"training.policy is 'own', but {name!r} is {list(learned[name].shape)} while learning and "
                f"{list(x.shape)} while living: leave out what training.modules says of its size, or let a policy walk"
            )
    return bus


def _stays(setup: Training, seed: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each agent before each update, `[updates, B]`: the number of its life, and of the window in it."""
    if setup.walk is None:
        window = np.broadcast_to(np.arange(last)[:, None], (last, setup.batch))
        return np.zeros_like(window), window
    stays = Stays(setup, seed)
    both = np.array([stays.next() for _ in range(last)], np.int64).reshape(last, 2, setup.batch)
    return both[:, 0], both[:, 1]
