"""Rooms joined by doors that can be closed: the worlds of bottlenecks, detours and moved doors."""

from typing import Literal, Unpack

import numpy as np

from envs.settings import Size, check_most, is_whole, size_range
from envs.spatial.geometry import SQUARE
from envs.spatial.lattice import Lattice, LatticeSettings
from envs.spatial.passages import MOST_CELLS, neighbours, part, uniform
from envs.table import CLOSED
from envs.world import Bools, Ints


class Rooms(Lattice):
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
    goals and landmarks lie in rooms, never in a door. A closed door refuses the step into it; who stands in a door
    (walls as cells) can leave it.

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
        self._room = np.full(self.num_envs * self._most, -1)  # of each place
        # the moves into each door, in the flat table of moves
        self._into = np.zeros((self.num_envs, n_doors, 2), np.int64)
        self._beyond = np.zeros((self.num_envs, n_doors, 2), np.int64)  # where they lead while it is open

    # ---- for users ----

    def rooms(self, row: int = 0) -> Ints:
        """The room of each place, [N]: column + columns * row, from the southwest; -1 in a door (walls as cells).

        Places are the nodes of an allocentric body; the place of an egocentric one's node is `node // 4`.
        """
        self._check_row(row)
        return self._room[self._own(row)].copy()

    def doors(self, row: int = 0) -> Ints:
        """The two places at each door of a row's world, from which it is entered [doors, 2]: the western or southern
        one first. With thin walls they are neighbours, with walls as cells the door is the place between them.

        Doors are in order of the room west or south of them, its eastern before its northern. Places as in `rooms`.
        """
        self._check_row(row)
        sides: Ints = self._into[row] // 4 - self._first[row]
        return sides

    def is_closed(self, row: int, door: int) -> bool:
        """Whether a door, an index of `doors(row)`, is closed.

        This, closing and opening raise ValueError for a door or a row that is not there.
        """
        return bool(self._target[self._moves_into(row, door)[0]] == CLOSED)

    def close_door(self, row: int, door: int) -> None:
        """Close a door of a row's world until it is opened or the row is reset; sensed from the next step on.

        This may part the world: no room need be left a way out.
        """
        self._target[self._moves_into(row, door)] = CLOSED

    def open_door(self, row: int, door: int) -> None:
        """Open a door of a row's world."""
        moves = self._moves_into(row, door)
        self._target[moves] = self._beyond[row, door]

    def _moves_into(self, row: int, door: int) -> Ints:
        self._check_row(row)
        if not is_whole(door) or not 0 <= door < self._into.shape[1]:
            raise ValueError(f"door is {door!r}: row {row} has doors 0..{self._into.shape[1] - 1}")
        moves: Ints = self._into[row, door]
        return moves

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

        each = np.arange(len(rows))[:, None]
        is_place = in_room
        if self._thick:
            is_place[each, y + direction, x + 1 - direction] = True
        place = self._lay(rows, is_place) + self._first[rows, None, None]
        if not self._thick:
            passages = np.stack([room == np.roll(room, -1, axis=2), room == np.roll(room, -1, axis=1)], axis=-1)
            passages[each, y, x, direction] = True
            part(self._target, np.where(is_place, place, -1), passages)
        self._room.reshape(self.num_envs, -1)[rows] = -1
        self._room[place[is_place]] = room[is_place]

        far = 1 + self._thick  # steps from one side of a door to the other
        beyond = place[each, y + far * direction, x + far * (1 - direction)]
        self._into[rows] = np.stack([place[each, y, x] * 4 + direction, beyond * 4 + direction + 2], axis=-1)
        self._beyond[rows] = self._target[self._into[rows]]
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

    def _free(self, rows: Ints) -> Bools:
        free: Bools = self._room.reshape(self.num_envs, -1)[rows] >= 0
        return free
