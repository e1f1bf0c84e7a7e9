"""Worlds written by hand as tables, for the tests of oracles, tours and coverage."""

import math

import networkx as nx
import numpy as np

from envs.table import WALL, Table

STEPS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])


def grid(width: int, height: int, walls: tuple[tuple[int, int], ...] = ()) -> Table:
    """A field with compass moves, node = y * width + x; walls part pairs of neighbours."""
    node = np.arange(width * height)
    x, y = node % width, node // width
    target = np.full((len(node), 4), WALL)
    for action, (dx, dy) in enumerate(STEPS.tolist()):
        inside = (x + dx >= 0) & (x + dx < width) & (y + dy >= 0) & (y + dy < height)
        target[inside, action] = (node + dx + dy * width)[inside]
    for u, v in walls:
        target[u][target[u] == v] = WALL
        target[v][target[v] == u] = WALL
    motion = np.where(target[..., None] >= 0, STEPS, 0).astype(np.float32)
    place = np.stack([x, y], axis=1).astype(np.float32)
    return Table(("east", "north", "west", "south"), target, place, motion, np.zeros(len(node), np.float32))


def two_rooms(side: int, door: int = 0) -> Table:
    """Two square rooms side by side; the only way between them is in row `door`."""
    width = 2 * side
    wall = tuple((y * width + side - 1, y * width + side) for y in range(side) if y != door)
    return grid(width, side, wall)


def turning(table: Table) -> Table:
    """The same field for a body that turns: node = place * 4 + quarter turns; left, right, forward."""
    place, quarter = np.divmod(np.arange(4 * len(table)), 4)
    ahead = table.target[place, quarter]
    target = np.stack(
        [place * 4 + (quarter + 1) % 4, place * 4 + (quarter - 1) % 4, np.where(ahead < 0, WALL, ahead * 4 + quarter)],
        axis=1,
    )
    motion = np.zeros((len(place), 3, 2), np.float32)
    heading = (quarter * (math.pi / 2)).astype(np.float32)
    return Table(("left", "right", "forward"), target, table.place[place], motion, heading)


def of_graph(graph: "nx.DiGraph[int]") -> Table:
    """A table of a directed graph with nodes 0..N-1; action k of a node leads along its k-th edge."""
    n, most = len(graph), max(1, *(graph.out_degree(v) for v in graph))
    target = np.full((n, most), WALL)
    for node in range(n):
        for action, (_, to) in enumerate(graph.out_edges(node)):
            target[node, action] = to
    names = tuple(str(action) for action in range(most))
    still = np.zeros((n, most, 2), np.float32)
    return Table(names, target, np.zeros((n, 2), np.float32), still, np.zeros(n, np.float32))


def random_graph(n: int, edges: int, seed: int) -> "nx.DiGraph[int]":
    """A directed graph, often of several pieces, one-way edges and dead ends included."""
    graph: nx.DiGraph[int] = nx.gnm_random_graph(n, edges, seed=seed, directed=True)
    return graph
