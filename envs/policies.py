"""Policies that make training walks. They may use the truth in `info`, which no module of an agent ever sees.

They bump into walls: an agent that lives bumps, and a code trained on walks that never do falls apart when it does.
A world whose actions have no direction (a family tree) is walked by "uniform" or "least_visited".
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from envs.seeking import ObjectSeeking, Shortest
from envs.settings import did_you_mean
from envs.world import Array, Ints, World

__all__ = [
    "POLICIES",
    "DriftingHeading",
    "ForwardMostly",
    "LeastVisited",
    "ObjectSeeking",
    "Policy",
    "Script",
    "Shortest",
    "Uniform",
    "make",
    "usual",
    "walk",
]


@runtime_checkable
class Policy(Protocol):
    """Chooses the actions of a batch of agents that walk together.

    One of your own is a class with these two methods, or a function of `info` and a generator:

        class Pacing:  # east until it bumps, then west until it bumps, and so on
            def reset(self, batch, rng):
                self.action = np.zeros(batch, np.int64)

            def act(self, info):
                self.action = np.where(info["bump"], 2 - self.action, self.action)
                return self.action

        policies.walk(world, Pacing(), 100, world_seeds=[0], policy_seed=0)
        policies.walk(world, lambda info, rng: rng.integers(4, size=1), 100, world_seeds=[0], policy_seed=0)

    Rows begin new episodes within a walk where a world ends: `world.episode` [B] counts them.
    """

    def reset(self, batch: int, rng: np.random.Generator) -> None:
        """Begin walks of `batch` agents; every draw to come is from `rng`."""

    def act(self, info: Mapping[str, Any]) -> Ints:
        """The next action of each agent, int64 [B], from the world's `info` of this tick."""


Function = Callable[[Mapping[str, Any], np.random.Generator], Ints]


class Uniform:
    """Every action equally often."""

    def __init__(self, world: World) -> None:
        self._n = len(world.metadata["actions"])

    def reset(self, batch: int, rng: np.random.Generator) -> None:
        """Begin walks of `batch` agents."""
        self._batch, self._rng = batch, rng

    def act(self, info: Mapping[str, Any]) -> Ints:
        """A random action each, int64 [B]."""
        return self._rng.integers(self._n, size=self._batch)


class DriftingHeading:
    """With probability `follow` the action nearest to a heading that drifts slowly, else any action.

    Whittington et al. (2020): the heading changes by a uniform draw of up to `drift` rad a tick, and is drawn anew
    where the agent meets a wall. There the wall is walked round; here it is bumped into. For a world whose actions have
    directions, `metadata["angles"]`; one that has none (NaN) is taken by chance only.
    """

    def __init__(self, world: World, follow: float = 0.25, drift: float = 0.4) -> None:
        self._angles = np.array(world.metadata["angles"])
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
        action[followers] = np.nanargmax(np.cos(self._heading[followers, None] - self._angles), axis=1)
        drifted = self._heading + self._drift * (2 * turn - 1)
        self._heading = np.where(info["bump"], 2 * math.pi * turn, drifted)
        return action


class ForwardMostly:
    """The drifting walk of a body that turns: forward with probability .64, left and right with .18 each."""

    def __init__(self, world: World) -> None:
        names = world.metadata["actions"]
        self._choice = np.array([names.index(name) for name in ("forward", "left", "right")])

    def reset(self, batch: int, rng: np.random.Generator) -> None:
        """Begin walks of `batch` agents."""
        self._batch, self._rng = batch, rng

    def act(self, info: Mapping[str, Any]) -> Ints:
        """The next actions, int64 [B]."""
        action: Ints = self._choice[np.searchsorted((0.64, 0.82), self._rng.random(self._batch), side="right")]
        return action


class LeastVisited:
    """The action least often taken at this node so far in the walk, ties at random: covers a world soon and evenly."""

    def __init__(self, world: World) -> None:
        self._n = len(world.metadata["actions"])

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


class Script:
    """Actions that you wrote down, one a tick, from the beginning again when they end.

    Args:
        world: the world to be walked.
        actions: numbers or names of actions, [T] for all rows alike or [T, B]. In the tick in which a row begins a new
            episode its action is not taken.

    Raises:
        ValueError: no actions, another number of rows, or an action that the world does not have.
    """

    def __init__(self, world: World, actions: ArrayLike) -> None:
        names = world.metadata["actions"]
        script = np.asarray(actions)
        if not script.ndim or not script.size or script.shape[1:] not in ((), (world.num_envs,)):
            raise ValueError(f"a script of shape {script.shape}: give [ticks] or [ticks, {world.num_envs} rows]")
        known = np.array(names) if script.dtype.kind == "U" else np.arange(len(names))
        wrong = ~np.isin(script, known)
        if wrong.any():
            where = tuple(np.argwhere(wrong)[0].tolist())
            listed = ", ".join(f"{i} {name}" for i, name in enumerate(names))
            raise ValueError(f"{script[where]!s} at {list(where)} of the script is no action of this world: {listed}")
        number = {name: i for i, name in enumerate(known.tolist())}
        numbers = np.array([number[action] for action in script.ravel().tolist()]).reshape(len(script), -1)
        self._script = np.broadcast_to(numbers, (len(script), world.num_envs))

    def reset(self, batch: int, rng: np.random.Generator) -> None:
        """Begin at the beginning."""
        self._tick = -1

    def act(self, info: Mapping[str, Any]) -> Ints:
        """The next actions, int64 [B]."""
        self._tick += 1
        action: Ints = self._script[self._tick % len(self._script)]
        return action


class _Function:
    """A function as a policy."""

    def __init__(self, function: Function) -> None:
        self._function = function

    def reset(self, batch: int, rng: np.random.Generator) -> None:
        self._rng = rng

    def act(self, info: Mapping[str, Any]) -> Ints:
        return self._function(info, self._rng)


def _drifting(world: World) -> Policy:
    actions = world.metadata["actions"]
    if world.metadata["angles"] is not None:
        return DriftingHeading(world)
    if {"left", "right", "forward"} <= set(actions):
        return ForwardMostly(world)
    raise ValueError(
        f"the drifting policy needs actions with a direction (`angles` in the world's metadata) or left, right and "
        f"forward; this world's actions are {', '.join(actions)}: use 'uniform' or 'least_visited' "
        f"(from the shell: cogarch train ... --set training.policy=uniform)"
    )


POLICIES: dict[str, Callable[[World], Policy]] = {
    "uniform": Uniform,
    "drifting": _drifting,
    "least_visited": LeastVisited,
    "object_seeking": ObjectSeeking,
}


def usual(world: World) -> str:
    """The name of the walk that suits a world: "drifting" where actions have a direction, else "uniform"."""
    try:
        _drifting(world)
    except ValueError:
        return "uniform"
    return "drifting"


def _policy(policy: str | Policy | Function, world: World) -> Policy:
    if isinstance(policy, str):
        return make(policy, world)
    return policy if isinstance(policy, Policy) else _Function(policy)


def make(name: str, world: World) -> Policy:
    """The policy of that name for a world.

    Raises:
        ValueError: an unknown name, with the nearest ones; a world whose actions the policy has no meaning for.
    """
    if name not in POLICIES:
        raise ValueError(f"no policy is called {name!r}: {did_you_mean(name, POLICIES)}")
    return POLICIES[name](world)


def walk(
    env: World, policy: str | Policy | Function, steps: int, *, world_seeds: Sequence[int], policy_seed: int
) -> dict[str, Array]:
    """Walk through a batch of worlds for `steps` ticks, the first one included.

    Args:
        env: B worlds; reset here.
        policy: a name, a policy made for this world, or a function of `info` and a generator that returns the actions
            [B]; its memory runs over the whole walk.
        steps: T.
        world_seeds: a seed for each row.
        policy_seed: seeds the policy's choices.

    Returns:
        Arrays [T, B, ...]: observation, action (int64; the action that led TO the tick, -1 at a start), motion, bump,
        start (first tick of an episode), reward (float32), node, place, heading, and whatever else the world's `info`
        holds. A row that ends is reset in the tick after.
    """
    if steps < 1:
        raise ValueError(f"a walk of {steps} ticks: give 1 or more")
    if len(world_seeds) != env.num_envs:
        raise ValueError(f"{len(world_seeds)} world_seeds for {env.num_envs} worlds: give one a row")
    walker = _policy(policy, env)
    walker.reset(env.num_envs, np.random.default_rng(policy_seed))
    observation, info = env.reset(seed=list(world_seeds))

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
            action = walker.act(info)
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
