"""Policies that go somewhere by the oracle: to landmark objects, again and again; to a goal, the shortest way.

Ways are found in a row's world as it is when an episode begins.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from envs.oracle import after, next_actions, places, stack, steps_to
from envs.world import Array, Ints, World


class ObjectSeeking:
    """Goes to a landmark object again and again, then to the next ("shiny" objects, Whittington et al. 2020).

    Each row seeks one of its `world.landmarks`: with probability `greedy` by an action that begins a shortest way to
    it, with `inverse` by an action drawn in proportion to 1 / (1 + steps that are left after it), else by any action;
    ties at random. It has come to an object when it steps onto it; after 15 to 20 visits, drawn evenly from `visits`,
    it seeks another. Where the world has an action "stay", that is taken with probability `stay`, and else never.

    Raises:
        ValueError: on the first tick of an episode in a world without landmarks.
    """

    def __init__(
        self,
        world: World,
        greedy: float = 0.2,
        inverse: float = 0.55,
        stay: float = 0.05,
        visits: tuple[int, int] = (15, 20),
    ) -> None:
        names = world.metadata["actions"]
        self._world, self._greedy, self._inverse, self._visits = world, greedy, inverse, visits
        self._moves = np.array([i for i, name in enumerate(names) if name != "stay"])
        self._stay = names.index("stay") if "stay" in names else None
        self._stay_share = stay

    def reset(self, batch: int, rng: np.random.Generator) -> None:
        """Begin walks of `batch` agents."""
        self._rng, self._rows = rng, np.arange(batch)
        self._episode = np.zeros(batch, np.int64)  # in which the row's ways were found; 0: not yet
        self._objects, self._sought, self._visits_left = np.zeros((3, batch), np.int64)
        self._on_it = np.zeros(batch, np.bool_)
        self._target = np.zeros((batch, 0, 0), np.int64)  # [B, N, A] as in a `Table`
        self._steps = np.zeros((batch, 0, 0))  # [B, object, node] from the node to the object

    def act(self, info: Mapping[str, Any]) -> Ints:
        """The next actions, int64 [B]."""
        if (begun := _begun(self._world, self._episode)).size:
            self._begin(begun)
        rows, node = self._rows, info["node"]
        self._visits_left -= (self._steps[rows, self._sought, node] == 0) & ~self._on_it
        if (done := np.flatnonzero(self._visits_left == 0)).size:
            self._seek_another(done)
        self._on_it = self._steps[rows, self._sought, node] == 0

        moves = self._target[rows, node][:, None, self._moves]  # as worlds of the one node that the row is at
        left = after(moves, self._steps[rows, self._sought])[:, 0]
        u, pick, stays = self._rng.random((3, len(rows)))
        weight = np.ones(left.shape)
        greedy, inverse = u < self._greedy, (u >= self._greedy) & (u < self._greedy + self._inverse)
        weight[greedy] = (left == left.min(axis=1, keepdims=True))[greedy]
        weight[inverse] = 1 / (1 + left[inverse])
        weight[~weight.any(axis=1)] = 1.0  # no way leads there
        upto = weight.cumsum(axis=1)
        action: Ints = self._moves[(upto > pick[:, None] * upto[:, -1:]).argmax(axis=1)]
        if self._stay is not None:
            action[stays < self._stay_share] = self._stay
        return action

    def _begin(self, rows: Ints) -> None:
        tables = [self._world.table(row) for row in rows.tolist()]
        place = [places(table) for table in tables]  # an object lies at all poses of its place
        objects = [np.unique(p[self._world.landmarks(row)]) for p, row in zip(place, rows.tolist(), strict=True)]
        if not all(map(len, objects)):
            raise ValueError(
                "the object-seeking policy goes to landmarks, and this world has none: give the world landmarks=3 "
                "where it takes them, or walk by 'uniform' or 'least_visited'"
            )
        target = stack(tables)
        ways = [
            steps_to(target, [np.flatnonzero(p == o[k % len(o)]) for p, o in zip(place, objects, strict=True)])
            for k in range(max(map(len, objects)))
        ]
        self._target = _put(self._target, rows, target)
        self._steps = _put(self._steps, rows, np.stack(ways, axis=1))
        self._objects[rows] = [len(o) for o in objects]
        self._sought[rows] = self._rng.integers(self._objects[rows])
        self._visits_left[rows] = self._rng.integers(*self._visits, size=len(rows), endpoint=True)
        self._on_it[rows] = False

    def _seek_another(self, rows: Ints) -> None:
        further = 1 + self._rng.integers(np.maximum(self._objects[rows] - 1, 1))
        self._sought[rows] = (self._sought[rows] + further) % self._objects[rows]
        self._visits_left[rows] = self._rng.integers(*self._visits, size=len(rows), endpoint=True)


class Shortest:
    """A shortest way to a goal, by the oracle; any action at the goal, and where no way leads there.

    Args:
        world: the world to be walked.
        goal: a node for each row [B], or several for each (the poses of a place): whichever is nearest. Or a function
            that tells them of a row (`world.goal`), asked when an episode begins.
    """

    def __init__(self, world: World, goal: Sequence[ArrayLike] | Ints | Callable[[int], ArrayLike]) -> None:
        if not callable(goal) and len(goal) != world.num_envs:
            raise ValueError(f"{len(goal)} goals for {world.num_envs} worlds: give one a row")
        self._world, self._n = world, len(world.metadata["actions"])
        self._goal_of = goal if callable(goal) else goal.__getitem__

    def reset(self, batch: int, rng: np.random.Generator) -> None:
        """Begin walks of `batch` agents."""
        self._rng, self._rows = rng, np.arange(batch)
        self._episode = np.zeros(batch, np.int64)
        self._action = np.zeros((batch, 0), np.int64)  # [B, N] next action from each node

    def act(self, info: Mapping[str, Any]) -> Ints:
        """The next actions, int64 [B]."""
        if (begun := _begun(self._world, self._episode)).size:
            tables = [self._world.table(row) for row in begun.tolist()]
            goals = [self._goal_of(row) for row in begun.tolist()]
            self._action = _put(self._action, begun, next_actions(tables, goals))
        action = self._action[self._rows, info["node"]]
        return np.where(action >= 0, action, self._rng.integers(self._n, size=len(action)))


def _begun(world: World, episode: Ints) -> Ints:
    """The rows that are in another episode than when last asked."""
    rows = np.flatnonzero(world.episode != episode)
    episode[rows] = world.episode[rows]
    return rows


def _put(kept: Array, rows: Ints, new: Array) -> Array:
    """`kept` with some rows anew, larger where they need it; what lies beyond a row's own is never asked for."""
    more = np.maximum(np.array(new.shape) - kept.shape, 0)
    more[0] = 0
    if more.any():
        kept = np.pad(kept, [(0, m) for m in more])
    own: Any = (rows, *map(slice, new.shape[1:]))
    kept[own] = new
    return kept
