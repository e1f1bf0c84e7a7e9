"""Oracles for scoring: exact distances and shortest ways in a world, and the planner that knows only walked edges.

They know the whole world (`World.table`), which no agent does; distances are in steps, infinite where there is no way.
Where a goal may be several nodes (the poses of a place, say), whichever is nearest counts.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse import csgraph

from envs.table import WALL, Table
from envs.world import Bools, Ints, World

Steps = NDArray[np.float64]  # inf where there is no way
Worlds = World | Sequence[Table]  # a batch: its rows as they are now, or their tables


def distances(table: Table, sources: ArrayLike | None = None) -> Steps:
    """Steps from each source (default: every node) to each node, [S, N]."""
    return _from(table.matrix, _nodes(sources, len(table)))


def distances_to(table: Table, targets: ArrayLike | None = None) -> Steps:
    """Steps to each target (default: every node) from each node, [S, N]."""
    return _from(table.matrix.T.tocsr(), _nodes(targets, len(table)))


def reachable(table: Table, sources: ArrayLike) -> Bools:
    """Which nodes some way leads to from any of the sources, themselves included, [N]."""
    return np.isfinite(_from(table.matrix, _nodes(sources, len(table)), min_only=True))


def next_action(table: Table, goal: ArrayLike) -> Ints:
    """The action that begins a shortest way to the goal from each node [N], the lowest of them where several do.

    -1 at the goal and where no way leads to it.
    """
    action: Ints = next_actions([table], [goal])[0]
    return action


def shortest_path(table: Table, start: int, goal: ArrayLike) -> tuple[Ints, Ints]:
    """A shortest way: its nodes [L + 1], the first and the last included, and its actions [L] (as `next_action`).

    Raises:
        ValueError: no way leads from start to goal.
    """
    _nodes(start, len(table))
    action = next_action(table, goal)
    ends = np.atleast_1d(goal).tolist()
    nodes, actions = [int(start)], []
    while nodes[-1] not in ends:
        if action[nodes[-1]] < 0:
            raise ValueError(f"no way leads from node {start} to {goal!r}: `distances` is inf where there is none")
        actions.append(int(action[nodes[-1]]))
        nodes.append(int(table.target[nodes[-1], actions[-1]]))
    return np.array(nodes), np.array(actions, np.int64)


def places(table: Table) -> Ints:
    """The place of each node, named by the lowest node there, [N].

    The poses of a turning body that differ in heading alone are one place; else each node is its own, also where
    places are drawn over each other (the laps of a loop).
    """
    if (table.heading == table.heading[0]).all():
        return np.arange(len(table))
    _, lowest, which = np.unique(table.place, axis=0, return_index=True, return_inverse=True)
    return lowest[which.ravel()]


# ---- a batch of worlds at once ----


def distance(worlds: Worlds, start: ArrayLike, goal: Sequence[ArrayLike] | Ints) -> Steps:
    """Steps from start [B] to goal [B] in each row's own world, [B]; a goal may be several nodes."""
    to_goal = distances_to_goal(worlds, goal)
    steps: Steps = to_goal[np.arange(len(to_goal)), np.asarray(start)]
    return steps


def distances_to_goal(worlds: Worlds, goal: Sequence[ArrayLike] | Ints) -> Steps:
    """Steps from every node to the goal of its row, [B, N]; inf beyond the nodes of a row with fewer than N."""
    return steps_to(stack(worlds), goal)


def next_actions(worlds: Worlds, goal: Sequence[ArrayLike] | Ints) -> Ints:
    """`next_action` of every row towards its own goal, [B, N]."""
    target = stack(worlds)
    return towards(target, steps_to(target, goal))


def stack(worlds: Worlds) -> Ints:
    """The targets of every row, [B, N, A]; rows with fewer than N nodes are filled with refused moves."""
    tables = [worlds.table(row) for row in range(worlds.num_envs)] if isinstance(worlds, World) else worlds
    target = np.full((len(tables), max(map(len, tables)), len(tables[0].actions)), WALL, np.int64)
    for row, table in enumerate(tables):
        target[row, : len(table)] = table.target
    return target


def steps_to(target: Ints, goal: Sequence[ArrayLike] | Ints) -> Steps:
    """Steps from every node to the goal of its row, [B, N], for targets [B, N, A]."""
    batch, n, _ = target.shape
    if len(goal) != batch:
        raise ValueError(f"{len(goal)} goals for {batch} worlds: give one a row")
    goals = np.concatenate([row * n + _nodes(nodes, n) for row, nodes in enumerate(goal)])
    row, node, action = np.nonzero(target >= 0)
    # all rows in one matrix: no way leads from one block to another, so the nearest goal is a row's own
    backwards = row * n + target[row, node, action], row * n + node
    matrix = sparse.csr_array((np.ones(len(row)), backwards), shape=(batch * n, batch * n))
    return _from(matrix, goals, min_only=True).reshape(batch, n)


def towards(target: Ints, to_goal: Steps) -> Ints:
    """The lowest action that comes a step nearer to the goal, -1 where none does, [B, N]."""
    nearer = after(target, to_goal) < to_goal[..., None]
    return np.where(nearer.any(axis=2), nearer.argmax(axis=2), -1)


def after(target: Ints, to_goal: Steps) -> Steps:
    """Steps to the goal after each action, inf where it is refused, [B, N, A]."""
    return np.where(target >= 0, to_goal[np.arange(len(target))[:, None, None], target], np.inf)


class Walked:
    """The planner that knows only the edges that its agent has walked, for each of B agents.

    Of each edge the last thing seen counts. A move that led nowhere unlearns the edge that was known there, and its way
    back where that was only known backwards: a door has been closed. Where moves slip, or fail by chance, an edge is
    thus lost until it is walked again.

    Args:
        batch: B.
        undo: the action that undoes each action, -1 where none does (a compass' is [2, 3, 0, 1]): walked edges are then
            known backwards too. None: only as they were walked.
    """

    def __init__(self, batch: int, undo: Sequence[int] | None = None) -> None:
        self._undo = None if undo is None else np.asarray(undo)
        self._target = np.full((batch, 64, 1 if undo is None else len(undo)), WALL, np.int64)
        self._inferred = np.zeros(self._target.shape, np.bool_)  # known backwards alone

    def see(self, node: Ints, action: Ints, next_node: Ints) -> None:
        """A transition of each agent, [B] each; a negative action (a start) teaches nothing.

        In a `walk`: `see(walk["node"][t - 1], walk["action"][t], walk["node"][t])`.
        """
        rows = np.flatnonzero(action >= 0)
        node, action, next_node = node[rows], action[rows], next_node[rows]
        self._grow(int(max(node.max(initial=0), next_node.max(initial=0))) + 1, int(action.max(initial=0)) + 1)
        known = self._target[rows, node, action]
        leads = np.where(next_node == node, WALL, next_node)
        self._set(rows, node, action, leads, inferred=False)
        if self._undo is None:
            return
        back = self._undo[action]
        stale = (back >= 0) & (known >= 0) & (known != leads)
        stale &= self._inferred[rows, known, back] & (self._target[rows, known, back] == node)
        self._set(rows[stale], known[stale], back[stale], WALL, inferred=False)
        new = (back >= 0) & (leads >= 0)
        # what was walked itself is known better
        new &= (self._target[rows, leads, back] < 0) | self._inferred[rows, leads, back]
        self._set(rows[new], leads[new], back[new], node[new], inferred=True)

    def distance(self, start: Ints, goal: Ints) -> Steps:
        """Steps from start [B] to goal [B] over walked edges, [B]; inf where they are not joined."""
        return self._to_goal(start, goal)[np.arange(len(start)), start]

    def next_action(self, node: Ints, goal: Ints) -> Ints:
        """The action that begins a shortest way over walked edges, [B]; -1 at the goal and where there is none."""
        to_goal = self._to_goal(node, goal)
        return towards(self._target, to_goal)[np.arange(len(node)), node]

    def _set(self, rows: Ints, node: Ints, action: Ints, target: Ints | int, *, inferred: bool) -> None:
        self._target[rows, node, action] = target
        self._inferred[rows, node, action] = inferred

    def _to_goal(self, start: Ints, goal: Ints) -> Steps:
        self._grow(int(max(np.max(start), np.max(goal))) + 1, 1)
        return steps_to(self._target, goal)

    def _grow(self, nodes: int, actions: int) -> None:
        _, n, a = self._target.shape
        if nodes > n or actions > a:  # twice the nodes, so that it seldom grows
            more = ((0, 0), (0, max(nodes, 2 * n) - n if nodes > n else 0), (0, max(actions - a, 0)))
            self._target = np.pad(self._target, more, constant_values=WALL)
            self._inferred = np.pad(self._inferred, more)


def _from(matrix: Any, sources: Ints, *, min_only: bool = False) -> Steps:
    find: Any = csgraph.dijkstra  # its stub knows no bool that is decided later
    steps: Steps = find(matrix, indices=sources, unweighted=True, min_only=min_only)
    return steps


def _nodes(nodes: ArrayLike | None, n: int) -> Ints:
    if nodes is None:
        return np.arange(n)
    found = np.atleast_1d(nodes)
    if found.dtype.kind not in "iu" or (found < 0).any() or (found >= n).any():
        raise ValueError(f"{nodes!r} is not of this world: its nodes are the whole numbers 0 to {n - 1}")
    return found
