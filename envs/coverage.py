"""What a walk covered of its world: nodes, edges and bottlenecks (doors), which decide what a world model learns."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from envs.oracle import Worlds, places, reachable
from envs.table import Table
from envs.world import Array, Bools, Ints, World


@dataclass(frozen=True)
class Covered:
    """How much of one kind B walkers of T ticks have covered."""

    counts: Ints  # [T, B] different ones up to each tick, that tick included
    total: Ints  # [B] how many are within reach of where the walker was

    @property
    def share(self) -> NDArray[np.float64]:
        """The share covered in the end, [B]; NaN where there are none."""
        share: NDArray[np.float64] = self.curve[-1]
        return share

    @property
    def curve(self) -> NDArray[np.float64]:
        """The share covered up to each tick, [T, B]."""
        return np.where(self.total > 0, self.counts / np.maximum(self.total, 1), np.nan)


@dataclass(frozen=True)
class Coverage:
    """What a walk covered of its worlds."""

    nodes: Covered
    edges: Covered
    bottlenecks: Covered


def coverage(worlds: Worlds, walk: Mapping[str, Array], longer: int = 8) -> Coverage:
    """What a walk (`policies.walk`) covered of what was within its reach, row by row.

    Nodes and edges are those of the world's `Table`: for a turning body poses, and turns and steps from them. An edge
    is a (node, action) that is not refused; it counts once the action has led where the table says, so a slip does not.
    Bottlenecks are those of `bottlenecks`, in the direction walked.

    The table tells how the world is in the end, but it may have changed while it was walked (a door closed, a key
    picked up), or lead elsewhere than the body went (the patches of an arena). So within reach are the nodes that were
    walked, and all that the table leads to from them: no share is more than 1. A table that leads from no node to
    another, as along a recorded path or a smooth walk, tells nothing of reach: there the total is all of its nodes
    (the share of an arena's patches that were visited), and edges and bottlenecks, where there are none, are NaN.

    To compare with: a uniform walk of 300 ticks through two 6 x 6 rooms joined by a door covers 0.67 of the nodes, 0.48
    of the edges and 0.66 of the two ways through the door (mean of 32 walks).

    Args:
        worlds: a row for each of the walk's, with the layout in which it was walked (so one layout in all its
            episodes); or their tables.
        walk: `node`, `action` (that led to the tick) and `start`, [T, B] each.
        longer: see `bottlenecks`.

    Raises:
        ValueError: a walk of other rows, or through nodes that its world does not have.
    """
    node, action, start = (np.asarray(walk[name]) for name in ("node", "action", "start"))
    tables = [worlds.table(row) for row in range(worlds.num_envs)] if isinstance(worlds, World) else worlds
    if node.ndim != 2 or node.shape[1] != len(tables) or not node.shape == action.shape == start.shape:
        raise ValueError(
            f"a walk of shapes {node.shape}, {action.shape}, {start.shape} (node, action, start) in {len(tables)} "
            f"worlds: each is [ticks, rows]"
        )
    found: list[list[tuple[Ints, int]]] = [
        _of_row(table, node[:, row], action[:, row], start[:, row], row, longer) for row, table in enumerate(tables)
    ]
    kinds = zip(*found, strict=True)
    return Coverage(*(Covered(np.stack([c for c, _ in k], axis=1), np.array([n for _, n in k])) for k in kinds))


def bottlenecks(table: Table, longer: int = 8) -> Ints:
    """The edges (from, to) whose ends are far apart without them, [K, 2]: doors, bridges.

    An edge counts where the shortest way that does not use it takes `longer` steps or more (none: infinitely many). In
    an open square every such way takes 3; round a wall it is long. Between two nodes all edges are taken as one. The
    poses of a turning body are taken together (`oracle.places`): edges run between places, each named by its lowest
    node, and steps are places, not turns.
    """
    if longer < 2:
        raise ValueError(f"longer is {longer}: a way round has at least 2 steps")
    place, n = places(table), len(table)
    source, _, target = table.edges.T
    edges = np.unique(np.stack([place[source], place[target]], axis=1), axis=0)
    source, target = edges[edges[:, 0] != edges[:, 1]].T
    leads = sparse.csr_array((np.ones(len(source)), (source, target)), shape=(n, n))
    # for every edge at once: the places at the end of walks of k steps that do not use it, nor come back to its source
    row = np.arange(len(source))
    at_source = sparse.csr_array((np.ones(len(row)), (row, source)), shape=(len(row), n))
    at_target = sparse.csr_array((np.ones(len(row)), (row, target)), shape=(len(row), n))
    reached = at_source @ leads - at_target
    around = np.zeros(len(row), np.bool_)
    for _ in range(2, longer):
        reached = reached @ leads
        reached = reached - reached.multiply(at_source)
        reached.eliminate_zeros()
        reached.data[:] = 1.0
        around |= reached.multiply(at_target).sum(axis=1) > 0
    return np.stack([source, target], axis=1)[~around]


def _of_row(table: Table, node: Ints, action: Ints, start: Bools, row: int, longer: int) -> list[tuple[Ints, int]]:
    """Counts [T] and total of the nodes, the edges and the bottlenecks of one row."""
    n, actions = table.target.shape
    if node.min() < 0 or node.max() >= n or action.max() >= actions:
        raise ValueError(
            f"row {row} of the walk has nodes up to {node.max()} and actions up to {action.max()}, but its world has "
            f"{n} nodes and {actions} actions: give the world that was walked"
        )
    began = start | (np.arange(len(node)) == 0)
    within = reachable(table, np.unique(node)) if table.matrix.nnz else np.ones(n, np.bool_)
    place = places(table)
    source, target = bottlenecks(table, longer).T
    source, target = np.stack([source, target])[:, np.isin(source, place[within])]

    before = np.roll(node, 1)  # of no meaning where a walk began
    as_told = ~began & (action >= 0) & (table.target[before, action] == node)
    crossed = place[before] * n + place[node]
    through = ~began & np.isin(crossed, source * n + target)
    return [
        (_different(node, np.ones(len(node), np.bool_)), int(within.sum())),
        (_different(before * actions + action, as_told), int((table.target[within] >= 0).sum())),
        (_different(crossed, through), len(source)),
    ]


def _different(keys: Ints, count: Bools) -> Ints:
    """How many different keys there are up to each tick, of those that count, [T]."""
    _, first = np.unique(keys[count], return_index=True)
    new = np.zeros(len(keys), np.int64)
    new[np.flatnonzero(count)[first]] = 1
    return new.cumsum()
