"""Rooms joined by doors that can be closed: the worlds of bottlenecks, detours and moved doors."""

from typing import Literal, Unpack

import numpy as np

from envs.settings import Size, check_most, size_range
from envs.spatial.doors import Doors
from envs.spatial.geometry import SQUARE
from envs.spatial.lattice import LatticeSettings
from envs.spatial.passages import MOST_CELLS, neighbours, uniform
from envs.table import CLOSED
from envs.world import Bools, Ints


class Rooms(Doors):
    """Square rooms side by side, joined by doors; an experimenter may close and open them.

    Args:
        num_envs: worlds stepped together.
        columns: rooms from west to east; 2 by 2 are MiniGrid's four rooms, 2 by 1 are two rooms with one door.
        rows: rooms from south to north.
        size: places from side to side of every room; an int, or (low, high), both included, drawn anew each episode.
        walls: "edges": thin walls between places; "cells": a line of no places between rooms, in which each door is a
            place of its own.
        doors: "all": one in each wall between two rooms; "tree": just so many that one way leads from each room to each
            other, all such choices equally likely (`envs.spatial.passages.uniform`), drawn anew each episode.
        door: where in its wall each door is: in the "middle" (of an even number of places, north or east of it) or
            drawn anew each episode, "random".
        closed: how many doors are closed at each start, drawn anew each episode such that every room can still be
            reached (evenly from the doors outside a random tree that stays open).
        settings: see `LatticeSettings`.

    node: the places in order of rows from the south, from west to east within them (thin walls: y * width + x). Starts,
    goals and landmarks lie in rooms, never in a door (see `Doors`). Rooms are numbered column + columns * row, from the
    southwest.

    A door is a bottleneck (`envs.coverage.bottlenecks`) where the way round it takes 8 steps or more. There is no way
    round in one line of rooms, or with doors="tree". Else it leads through four rooms, and past doors in the middle it
    takes 4 size - 1 steps (walls as cells: 4 size + 3): all doors count, but between thin-walled rooms of size 2 none
    does. Doors at random places may lie so near to each other that some do not count, at any size.

    Raises:
        ValueError: fewer than two rooms, a size below 2, a range from high to low, more closed doors than can be,
            an unknown choice, and what no lattice can be given.
    """

    _measures = "columns x rows of rooms of size x size"

    def __init__(
        self,
        num_envs: int = 1,
        *,
        columns: int = 2,
        rows: int = 2,
        size: Size = 5,
        walls: Literal["edges", "cells"] = "edges",
        doors: Literal["all", "tree"] = "all",
        door: Literal["middle", "random"] = "middle",
        closed: int = 0,
        **settings: Unpack[LatticeSettings],
    ) -> None:
        choices = {"walls": ("edges", "cells"), "doors": ("all", "tree"), "door": ("middle", "random")}
        for name, given in {"walls": walls, "doors": doors, "door": door}.items():
            if given not in choices[name]:
                raise ValueError(f"{name} is {given!r}: give " + " or ".join(f'"{choice}"' for choice in choices[name]))
        if columns < 1 or rows < 1 or columns * rows < 2:
            raise ValueError(f"{columns} columns and {rows} rows of rooms: give 1 or more of each, 2 rooms or more")
        check_most("columns x rows", columns * rows, MOST_CELLS[uniform], " rooms")
        self._rooms = np.ones((1, rows, columns), np.bool_)
        self._rooms.setflags(write=False)
        self._tree, self._thick = doors == "tree", walls == "cells"
        self._random, self._closed = door == "random", closed
        n_doors = columns * rows - 1 if self._tree else int(neighbours(self._rooms).sum())
        most = n_doors - (columns * rows - 1)
        if not 0 <= closed <= most:
            raise ValueError(
                f"closed is {closed}: of the {n_doors} doors of {columns * rows} rooms, "
                f"{most} can be closed at most, or some room could not be reached"
            )
        self._sizes = low, high = size_range("size", size)
        shape = (rows * (high + self._thick) - self._thick, columns * (high + self._thick) - self._thick)
        super().__init__(num_envs, SQUARE, shape, columns * rows * low**2, settings)
        self.size = np.zeros(self.num_envs, np.int64)
        self._make_doors(n_doors)

    # ---- layouts ----

    def _layout(self, rows: Ints) -> None:
        low, high = self._sizes
        size = low + (self._uniform(rows, 1)[:, 0] * (high - low + 1)).astype(np.int64)
        self.size[rows] = size
        (_, n_rows, n_columns), apart = self._rooms.shape, size + self._thick
        y, x = np.indices(self._shape)
        column, across = np.divmod(x, apart[:, None, None])
        line, along = np.divmod(y, apart[:, None, None])
        in_room = (np.maximum(across, along) < size[:, None, None]) & (column < n_columns) & (line < n_rows)
        room = np.where(in_room, line * n_columns + column, -1)

        here, direction = self._draw_doors(rows)
        u = self._uniform(rows, here.shape[1]) if self._random else 0.5
        offset = (u * size[:, None]).astype(np.int64)
        line, column = np.divmod(here, n_columns)
        y = line * apart[:, None] + np.where(direction == 0, offset, size[:, None] - 1)
        x = column * apart[:, None] + np.where(direction == 0, size[:, None] - 1, offset)

        self._build(rows, room, y, x, direction)
        if self._closed:
            self._target[self._into[rows][self._draw_closed(rows, here, direction)]] = CLOSED

    def _draw_doors(self, rows: Ints) -> tuple[Ints, Ints]:
        """The room west or south of each door, and the direction from there, 0 east or 1 north, [rows, doors]."""
        rooms = np.broadcast_to(self._rooms, (len(rows), *self._rooms.shape[1:]))
        passages = uniform(self._uniform, rows, rooms) if self._tree else neighbours(rooms)
        here, direction = np.divmod(np.nonzero(passages.reshape(len(rows), -1))[1].reshape(len(rows), -1), 2)
        return here, direction

    def _draw_closed(self, rows: Ints, here: Ints, direction: Ints) -> Bools:
        """Which doors are closed [rows, doors], all rooms having doors to all others."""
        rooms = np.broadcast_to(self._rooms, (len(rows), *self._rooms.shape[1:]))
        tree = uniform(self._uniform, rows, rooms).reshape(len(rows), -1)
        open_ones = np.take_along_axis(tree, here * 2 + direction, axis=1)
        order = np.where(open_ones, 1.0, self._uniform(rows, here.shape[1])).argsort(axis=1)
        closed = np.zeros(here.shape, np.bool_)
        np.put_along_axis(closed, order[:, : self._closed], True, axis=1)
        return closed
