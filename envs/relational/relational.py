"""Worlds that are one table of moves: what graphs, groups, families, lines and lap tasks share."""

from typing import Any, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from envs.drawing import draw
from envs.settings import check_batch, check_objects
from envs.table import Table
from envs.world import ALLOCENTRIC, NO_BODY, Array, Bools, Floats, Ints, World


class Relational(World):
    """B rows that walk on one `Table`, each with a sensory map of its own, drawn anew each episode.

    Args:
        num_envs: worlds stepped together.
        table: where each action leads from each node; a negative target is a bump. Its arrays become read-only.
        objects: kinds of objects; each position holds one, drawn with replacement.
        motion: unit of felt motion; `NO_BODY` where nothing moves.
        motion_noise: standard deviation of felt motion.
        render_mode: "rgb_array" or None.
        start: node at which every episode begins; None: any node.
        position: position whose object each node shows [N], from 0 on without gaps; None: each node has its own.
        pays: nodes [N] whose arrival pays 1.
        visible_reward: the nodes that pay show an object of their own: the number `objects`.
        place_unit: unit of `place`.
        features: numbers sensed at each node in place of its object, float32 [N, n].

    Raises:
        ValueError: fewer than one kind of object; a start that is no node; more positions than memory holds.
    """

    def __init__(
        self,
        num_envs: int,
        table: Table,
        *,
        objects: int,
        motion: Literal["dx, dy", "turn, advance", "none"],
        motion_noise: float,
        render_mode: str | None,
        start: int | None = None,
        position: Ints | None = None,
        pays: Bools | None = None,
        visible_reward: bool = False,
        place_unit: str = "cells",
        features: Floats | None = None,
    ) -> None:
        check_objects(objects)
        positions = int(position.max()) + 1 if position is not None else len(table)
        check_batch(num_envs, positions, "positions")
        if start is not None and not 0 <= start < len(table):
            raise ValueError(f"start is {start}: give a node, 0 to {len(table) - 1}, or None for any")
        space: gymnasium.Space[Any] = gymnasium.spaces.Discrete(objects + visible_reward)
        if features is not None:
            space = gymnasium.spaces.Box(-np.inf, np.inf, features.shape[1:], np.float32)
        super().__init__(
            num_envs,
            space,
            table.actions,
            motion,
            motion_noise,
            render_mode,
            angles=_angles(table) if motion == ALLOCENTRIC else None,
            place_unit=place_unit,
        )
        self._table = table
        self._start = start
        self._objects = objects
        self._has_body = motion != NO_BODY
        nodes = np.arange(len(table))
        self._positions = positions
        column = nodes if position is None else position.copy()
        if visible_reward and pays is not None:
            column[pays] = self._positions  # the column after the last position holds the reward's own object
        self._column = column
        self._pays = None if pays is None else pays.astype(np.float64)
        # Flat, so that a step is a few gathers: entry node * A + action.
        self._refused = (table.target < 0).ravel()
        self._next = np.where(table.target < 0, nodes[:, None], table.target).astype(np.int64).ravel()
        self._motions = table.motion.reshape(-1, 2)
        self._features = features
        constant = (table.target, table.place, table.motion, table.heading)
        for x in (*constant, self._column, self._refused, self._next, self._motions, self._pays, self._features):
            if x is not None:
                x.setflags(write=False)

        self._map = np.full((num_envs, self._positions + visible_reward), objects, np.int32)  # object of each position
        self._map_starts = np.arange(num_envs) * self._map.shape[1]
        self._node = np.zeros(num_envs, np.int64)

    def table(self, row: int = 0) -> Table:
        """Where each action leads from each node: the same table for every row, read-only."""
        self._check_row(row, begun=False)
        return self._table

    def _begin(self, rows: Ints) -> None:
        u = self._uniform(rows, 1 + self._positions)
        self._node[rows] = u[:, 0] * len(self._table) if self._start is None else self._start
        self._map[rows, : self._positions] = u[:, 1:] * self._objects

    def _move(self, actions: Ints) -> tuple[Floats, Bools]:
        move = self._node * len(self._table.actions) + actions
        self._node = self._next.take(move)
        # without a body the present motion is zero, and stays so
        return self._motions.take(move, axis=0) if self._has_body else self._motion, self._refused.take(move)

    def _observe(self) -> Array:
        if self._features is not None:
            return self._features.take(self._node, axis=0)
        here = self._map_starts + self._column.take(self._node)
        observation: Ints = self._map.ravel().take(here).astype(np.int64)
        return observation

    def _truth(self) -> tuple[Ints, Floats, Floats]:
        return self._node.copy(), self._table.place.take(self._node, axis=0), self._table.heading.take(self._node)

    def _outcome(self) -> tuple[NDArray[np.float64], Bools, Bools]:
        reward, terminated, truncated = super()._outcome()
        if self._pays is not None:
            reward = self._pays.take(self._node) * ~self._bump
        return reward, terminated, truncated

    def _objects_at(self, row: int) -> Ints:
        objects: Ints = self._map[row, self._column].astype(np.int64)
        return objects

    def _frame(self, row: int) -> NDArray[np.uint8]:
        place = self._table.place
        distinct = np.unique(place, axis=0)
        nearest = 1.0  # distance of a place to the nearest other one
        if len(distinct) > 1:
            nearest = float(np.median(np.asarray(KDTree(distinct).query(place, k=2)[0])[:, 1]))
        radius = max(0.4 * nearest, float(np.ptp(place, axis=0).max()) / 200)  # seen, however many there are
        angle = np.linspace(0, 2 * np.pi, 24)
        disc = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        x, y = place[self._node[row]].tolist()
        return draw(place, self._objects_at(row), disc, (x, y), place[self._table.edges[:, [0, 2]]])


def _angles(table: Table) -> list[float] | None:
    """The direction of each action, rad (NaN: it never moves); None where one leads in different directions."""
    angles = []
    for motion in table.motion.swapaxes(0, 1).astype(np.float64):
        ways = np.unique(np.arctan2(*motion[motion.any(axis=1)].T[::-1]).round(6))
        if len(ways) > 1:
            return None
        angles.append(float(ways[0]) % (2 * np.pi) if len(ways) else np.nan)
    return angles


def make_table(
    actions: tuple[str, ...], target: Ints, place: Floats, names: tuple[str, ...] = (), *, body: bool
) -> Table:
    """A table of targets [N, A] and places [N, 2] without headings; a body feels the difference of places."""
    motion = differences(target, place) if body else np.zeros((*target.shape, 2), np.float32)
    return Table(actions, target, place, motion, np.zeros(len(target), np.float32), names)


def differences(target: Ints, place: Floats) -> Floats:
    """The way from each node to each target [N, A, 2], zero where refused."""
    way: Floats = np.where(target[..., None] >= 0, place[target.clip(0)] - place[:, None], np.float32(0))
    return way
