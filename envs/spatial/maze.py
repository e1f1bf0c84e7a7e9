"""Mazes: a square lattice whose places are joined by a random spanning tree, and by loops on request."""

from typing import Literal, Unpack

import numpy as np

from envs.settings import Size, check_most, size_range
from envs.spatial.geometry import SQUARE
from envs.spatial.lattice import Lattice, LatticeSettings
from envs.spatial.passages import MOST_CELLS, SpanningTrees, depth_first, kruskal, neighbours, part, uniform
from envs.world import Bools, Ints

GENERATORS: dict[str, SpanningTrees] = {"depth_first": depth_first, "kruskal": kruskal, "uniform": uniform}


class Maze(Lattice):
    """A random maze, drawn anew each episode: one way between any two places, or loops as well.

    Args:
        num_envs: worlds stepped together.
        width: cells of the maze from west to east; an int, or (low, high), both included, drawn anew each episode.
        height: the same from south to north; None: as wide as high.
        walls: "edges": thin walls between places; "cells": walls are a place thick, so cells lie two steps apart and
            every passage between two is a place, too.
        generator: "depth_first" (recursive backtracker: long corridors), "kruskal" (least spanning tree of random
            weights: many short dead ends) or "uniform" (all spanning trees equally likely; Aldous 1990, Broder 1989).
        loops: share, 0 to 1, of the walls left between neighbouring cells that are opened, rounded to a whole number
            of them; 1 is an open field or, with walls as cells, a grid of corridors.
        settings: see `LatticeSettings`.

    node: the places in order of rows from the south, from west to east within them (thin walls: y * width + x).

    Raises:
        ValueError: a size below 2, a range from high to low, unknown walls or generator, loops outside 0 to 1, and
            what no lattice can be given.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        width: Size = 8,
        height: Size | None = None,
        walls: Literal["edges", "cells"] = "edges",
        generator: Literal["depth_first", "kruskal", "uniform"] = "depth_first",
        loops: float = 0.0,
        **settings: Unpack[LatticeSettings],
    ) -> None:
        if walls not in ("edges", "cells"):
            raise ValueError(f'walls is {walls!r}: give "edges" (thin ones) or "cells"')
        if generator not in GENERATORS:
            raise ValueError(f"generator is {generator!r}: give one of {', '.join(GENERATORS)}")
        if not 0 <= loops <= 1:
            raise ValueError(f"loops is {loops}: give the share of walls to open, 0 to 1")
        self._widths = size_range("width", width)
        self._heights = None if height is None else size_range("height", height)
        self._thick, self._generator, self._loops = walls == "cells", GENERATORS[generator], loops
        (least_w, most_w), (least_h, most_h) = self._widths, self._heights or self._widths
        self._cells = most_h, most_w
        check_most(f'width x height of a maze by "{generator}"', most_w * most_h, MOST_CELLS[self._generator], " cells")
        least = least_w * (least_h if self._heights else least_w)
        if self._thick:
            least = 2 * least - 1  # and a passage less than cells
        shape = (2 * most_h - 1, 2 * most_w - 1) if self._thick else self._cells
        super().__init__(num_envs, SQUARE, shape, least, settings)
        self.width, self.height = np.zeros((2, num_envs), np.int64)

    def _layout(self, rows: Ints) -> None:
        width, height = self._draw_sizes(rows, self._widths, self._heights)
        self.width[rows], self.height[rows] = width, height
        y, x = np.indices(self._cells)
        inside = (x < width[:, None, None]) & (y < height[:, None, None])
        passages = self._generator(self._uniform, rows, inside)
        if self._loops:
            self._open(rows, passages, neighbours(inside) & ~passages)
        if not self._thick:
            at = self._lay(rows, inside)
            part(self._target, np.where(inside, at + self._first[rows, None, None], -1), passages)
            return
        is_place = np.zeros((len(rows), *self._shape), np.bool_)
        is_place[:, ::2, ::2] = inside
        is_place[:, ::2, 1::2] = passages[:, :, :-1, 0]
        is_place[:, 1::2, ::2] = passages[:, :-1, :, 1]
        self._lay(rows, is_place)

    def _open(self, rows: Ints, passages: Bools, walls: Bools) -> None:
        """Open a share of these walls [rows, height, width, 2], drawn evenly."""
        between = walls.reshape(len(rows), -1)
        order = np.where(between, self._uniform(rows, between.shape[1]), 1.0).argsort(axis=1).argsort(axis=1)
        opened = order < np.rint(self._loops * between.sum(axis=1))[:, None]
        passages |= opened.reshape(passages.shape)
