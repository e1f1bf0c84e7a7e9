"""Passages between the cells of rectangular grids, many grids at once: random spanning trees and thin walls.

Every generator of trees takes `draw(rows, n)`, n numbers in [0, 1) of each row's own stream; `rows`, the grids to be
made; and `inside` [rows, height, width], the cells of each, a rectangle from the first cell on. It returns the passages
of each grid, bool [rows, height, width, 2]: whether a cell is joined to its eastern and to its northern neighbour.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import minimum_spanning_tree

from envs.settings import MOST_PLACES
from envs.table import WALL
from envs.world import Bools, Ints

Draw = Callable[[Ints, int], NDArray[np.float64]]
SpanningTrees = Callable[[Draw, Ints, Bools], Bools]

MOST_STEPS = 1024  # of a walk drawn at once
OUTSIDE, NEW, ROOT = -2, -1, 4  # of a cell; any other number is the direction in which it was first entered


def depth_first(draw: Draw, rows: Ints, inside: Bools) -> Bools:
    """The recursive backtracker: a walk to new cells only, back where there are none; long corridors."""
    entered, first, step = _grid(inside)
    u = draw(rows, inside[0].size + 1)
    room = entered.reshape(len(rows), -1) == NEW
    start = (u[:, 0] * room.sum(axis=1)).astype(np.int64)
    at = first + (room.cumsum(axis=1) > start[:, None]).argmax(axis=1)
    entered[at] = ROOT
    begun = np.ones(len(rows), np.int64)  # cells entered, and numbers used
    for _ in range(2 * (inside[0].size - 1)):  # each cell but the root is entered once and left once
        new = entered[at[:, None] + step[:4]] == NEW
        onward = new.any(axis=1)
        pick = (u[np.arange(len(rows)), begun] * new.sum(axis=1)).astype(np.int64)
        direction = (new.cumsum(axis=1) > pick[:, None]).argmax(axis=1)
        at = np.where(onward, at + step[direction], at - step[entered[at]])
        entered[at[onward]] = direction[onward]
        begun += onward
    return _passages(entered, inside)


def uniform(draw: Draw, rows: Ints, inside: Bools) -> Bools:
    """Every spanning tree equally likely: the first entries of a random walk (Aldous 1990; Broder 1989).

    The walk stays where it is when it would leave the grid, which makes all its steps equally likely.
    """
    entered, first, step = _grid(inside)
    root = first + step[0] + step[1]
    entered[root] = ROOT
    live, at, steps = np.arange(len(rows)), root, min(4 * inside[0].size, MOST_STEPS)
    while len(live):
        for direction in (draw(rows[live], steps) * 4).astype(np.int64).T:
            to = at + step[direction]
            was = entered[to]
            at = np.where(was == OUTSIDE, at, to)
            new = was == NEW
            entered[to[new]] = direction[new]
        left = (entered.reshape(len(rows), -1)[live] == NEW).any(axis=1)
        live, at = live[left], at[left]
    return _passages(entered, inside)


def kruskal(draw: Draw, rows: Ints, inside: Bools) -> Bools:
    """The least spanning tree of random weights (Kruskal 1956): many short dead ends."""
    passages = neighbours(inside)
    weight = 1 + draw(rows, passages[0].size).reshape(passages.shape)[passages]  # 0 would be no edge
    cell, direction = np.divmod(np.flatnonzero(passages), 2)
    to = cell + np.where(direction == 0, 1, inside.shape[2])
    tree = minimum_spanning_tree(sparse.csr_array((weight, (cell, to)), shape=(inside.size, inside.size)))
    low, high = tree.nonzero()
    passages[:] = False
    passages.reshape(-1, 2)[low, (high - low == inside.shape[2]).astype(np.int64)] = True
    return passages


MOST_CELLS: dict[SpanningTrees, int] = {depth_first: 1_000_000, uniform: 250_000, kruskal: MOST_PLACES}
"""Of a grid: the walks of two generators go a cell at a time, which takes up to a minute for so many."""


def neighbours(inside: Bools) -> Bools:
    """Every pair of neighbours, as passages."""
    beside = np.zeros((*inside.shape, 2), np.bool_)
    beside[:, :, :-1, 0] = inside[:, :, :-1] & inside[:, :, 1:]
    beside[:, :-1, :, 1] = inside[:, :-1] & inside[:, 1:]
    return beside


def part(target: NDArray[np.int64], place: Ints, passages: Bools) -> None:
    """Put thin walls between all neighbours but those that a passage joins.

    target: flat table of moves, place * 4 + direction; place: the one on each cell, -1 for none [rows, height, width].
    """
    row, y, x, direction = np.nonzero(neighbours(place >= 0) & ~passages)
    target[place[row, y, x] * 4 + direction] = WALL
    target[place[row, y + direction, x + 1 - direction] * 4 + direction + 2] = WALL


def _grid(inside: Bools) -> tuple[NDArray[np.int8], Ints, Ints]:
    """The cells of all grids in one flat array, each grid with a margin; where each begins; the steps (none at 4)."""
    cells = np.pad(np.where(inside, NEW, OUTSIDE).astype(np.int8), ((0, 0), (1, 1), (1, 1)), constant_values=OUTSIDE)
    width = cells.shape[2]
    return cells.ravel(), np.arange(len(cells)) * cells[0].size, np.array([1, width, -1, -width, 0])


def _passages(entered: NDArray[np.int8], inside: Bools) -> Bools:
    rows, height, width = inside.shape
    cells = entered.reshape(rows, height + 2, width + 2)
    here, east, north = cells[:, 1:-1, 1:-1], cells[:, 1:-1, 2:], cells[:, 2:, 1:-1]
    return np.stack([(here == 2) | (east == 0), (here == 3) | (north == 1)], axis=-1)
