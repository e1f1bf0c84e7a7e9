"""Policies that make training walks. They may use the truth in `info`, which no module of an agent ever sees.

They bump into walls: an agent that lives bumps, and a code trained on walks that never do falls apart when it does.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from gymnasium.vector import VectorEnv

from envs.settings import did_you_mean
from envs.world import Array, Ints

COMPASS = {
    name: eighth * math.pi / 4
    for eighth, name in enumerate(
        ("east", "northeast", "north", "northwest", "west", "southwest", "south", "southeast")
    )
}  # rad, counter-clockwise from east


class Policy(Protocol):
    """Chooses the actions of a batch of agents that walk together."""

    def reset(self, batch: int, rng: np.random.Generator) -> None:
        """Begin walks of `batch` agents; every draw to come is from `rng`."""

    def act(self, info: Mapping[str, Any]) -> Ints:
        """The next action of each agent, int64 [B], from the world's `info` of this tick."""


class Uniform:
    """Every action equally often."""

    def __init__(self, actions: Sequence[str]) -> None:
        self._n = len(actions)

    def reset(self, batch: int, rng: np.random.Generator) -> None:
        """Begin walks of `batch` agents."""
        self._batch, self._rng = batch, rng

    def act(self, info: Mapping[str, Any]) -> Ints:
        """A random action each, int64 [B]."""
        return self._rng.integers(self._n, size=self._batch)


class DriftingHeading:
    """With probability `follow` the action nearest to a heading that drifts slowly, else any action.

    Whittington et al. (2020): the heading changes by a uniform draw of up to `drift` rad a tick, and is drawn anew
    where the agent meets a wall. There the wall is walked round; here it is bumped into.
    """

    def __init__(self, actions: Sequence[str], follow: float = 0.25, drift: float = 0.4) -> None:
        self._angles = np.array([COMPASS[name] for name in actions])
        self._follow, self._drift = follow, drift

    def reset(self, batch: int, rng: np.random.Generator) -> None:
        """Begin walks of `batch` agents, each with a heading of its own."""
        self._batch, self._rng = batch, rng
        self._heading = rng.uniform(0, 2 * math.pi, batch)

    def act(self, info: Mapping[str, Any]) -> Ints:
        """The next actions, int64 [B]."""
        u, turn = self._rng.random((2, self._batch))
        action = self._rng.integers(len(self._angles), size=self._batch)
        followers = np.flatnonzero(u < self._follow)
        action[followers] = np.cos(self._heading[followers, None] - self._angles).argmax(axis=1)
        drifted = self._heading + self._drift * (2 * turn - 1)
        self._heading = np.where(info["bump"], 2 * math.pi * turn, drifted)
        return action


class ForwardMostly:
    """The drifting walk of a body that turns: forward with probability .64, left and right with .18 each."""

    def __init__(self, actions: Sequence[str]) -> None:
        self._choice = np.array([actions.index(name) for name in ("forward", "left", "right")])

    def reset(self, batch: int, rng: np.random.Generator) -> None:
        """Begin walks of `batch` agents."""
        self._batch, self._rng = batch, rng

    def act(self, info: Mapping[str, Any]) -> Ints:
        """The next actions, int64 [B]."""
        action: Ints = self._choice[np.searchsorted((0.64, 0.82), self._rng.random(self._batch), side="right")]
        return action


class LeastVisited:
    """The action least often taken at this node so far in the walk, ties at random: covers a world soon and evenly."""

    def __init__(self, actions: Sequence[str]) -> None:
        self._n = len(actions)

    def reset(self, batch: int, rng: np.random.Generator) -> None:
        """Begin walks of `batch` agents that have been nowhere."""
        self._rng, self._rows = rng, np.arange(batch)
        self._counts = np.zeros((batch, 64, self._n), np.int32)  # times taken [B, node, action]

    def act(self, info: Mapping[str, Any]) -> Ints:
        """The next actions, int64 [B]."""
        node = info["node"]
        while node.max() >= self._counts.shape[1]:
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)], axis=1)
        taken = self._counts[self._rows, node]
        action: Ints = (taken + self._rng.random(taken.shape)).argmin(axis=1)
        self._counts[self._rows, node, action] += 1
        return action


def _drifting(actions: Sequence[str]) -> Policy:
    if set(actions) <= COMPASS.keys():
        return DriftingHeading(actions)
    if {"left", "right", "forward"} <= set(actions):
        return ForwardMostly(actions)
    raise ValueError(
        f"the drifting policy knows compass directions ({', '.join(COMPASS)}) and left, right, forward; this world's "
        f"actions are {', '.join(actions)}: use 'uniform' or 'least_visited' "
        f"(from the shell: cogarch train ... --set training.policy=uniform)"
    )


POLICIES: dict[str, Callable[[Sequence[str]], Policy]] = {
    "uniform": Uniform,
    "drifting": _drifting,
    "least_visited": LeastVisited,
}


def make(name: str, actions: Sequence[str]) -> Policy:
    """The policy of that name for a world with these actions (`env.metadata["actions"]`).

    Raises:
        ValueError: an unknown name, with the nearest ones; actions that the policy has no meaning for.
    """
    if name not in POLICIES:
        raise ValueError(f"no policy is called {name!r}: {did_you_mean(name, POLICIES)}")
    return POLICIES[name](actions)


def walk(
    env: VectorEnv[Any, Any, Any], policy: str | Policy, steps: int, *, world_seeds: Sequence[int], policy_seed: int
) -> dict[str, Array]:
    """Walk through a batch of worlds for `steps` ticks, the first one included.

    Args:
        env: B worlds; reset here.
        policy: a name or a policy; its memory runs over the whole walk.
        steps: T.
        world_seeds: a seed for each row.
        policy_seed: seeds the policy's choices.

    Returns:
        Arrays [T, B, ...]: observation, action (int64; the action that led TO the tick, -1 at a start), motion, bump,
        start (first tick of an episode), reward (float32), node, place, heading. A row that ends is reset in the tick
        after.
    """
    if steps < 1:
        raise ValueError(f"a walk of {steps} ticks: give 1 or more")
    if len(world_seeds) != env.num_envs:
        raise ValueError(f"{len(world_seeds)} world_seeds for {env.num_envs} worlds: give one a row")
    if isinstance(policy, str):
        policy = make(policy, env.metadata["actions"])
    policy.reset(env.num_envs, np.random.default_rng(policy_seed))
    observation, info = env.reset(seed=list(world_seeds))  # type: ignore[arg-type]

    shape = (steps, env.num_envs)
    sensed = env.single_observation_space
    walked: dict[str, Array] = {
        "observation": np.empty(shape + (sensed.shape or ()), sensed.dtype),
        "action": np.full(shape, -1, np.int64),
        "start": np.zeros(shape, np.bool_),
        "reward": np.zeros(shape, np.float32),
    }
    for name, values in info.items():
        walked[name] = np.empty((steps, *values.shape), values.dtype)
    walked["start"][0] = True
    done = np.zeros(env.num_envs, np.bool_)
    for t in range(steps):
        if t:
            action = policy.act(info)
            observation, reward, terminated, truncated, info = env.step(action)
            if done.any():  # rows that ended in the last tick begin anew in this one
                observation, info = env.reset(options={"reset_mask": done})
                action, reward = np.where(done, -1, action), np.where(done, 0.0, reward)
                walked["start"][t] = done
            walked["action"][t], walked["reward"][t] = action, reward
            done = (terminated | truncated) & ~done
        walked["observation"][t] = observation
        for name, values in info.items():
            walked[name][t] = values
    return walked
