"""One square parted by one wall with one door: the world of the bottleneck, every layout of it countable."""

from typing import Literal, Unpack

import numpy as np

from envs.settings import check_most, is_whole
from envs.spatial.doors import Doors
from envs.spatial.geometry import SQUARE
from envs.spatial.lattice import LatticeSettings
from envs.world import Ints

HELD_OUT = 5  # one layout in about so many is held out
MOST_SIZE = 1000
LEAST = 2  # places from side to side of a room


class TwoRooms(Doors):
    """A square of places parted by one wall with one door in it, both drawn anew each episode.

    Args:
        num_envs: worlds stepped together.
        size: places from side to side of the square.
        walls: "edges": a thin wall between places; "cells": a line of no places, in which the door is a place.
        layouts: which of them are drawn: "all"; "train" or "held_out", four in five or the fifth.
        settings: see `LatticeSettings`.

    A layout is the wall's direction, which line it is on (each room is at least two places wide), and which of the
    `size` places along it has the door: 2 (size - 3) size layouts with walls as edges, 2 (size - 4) size with cells,
    90 in 9 x 9. `layout` [B] numbers them, size * wall + door. Held out are those where 5 divides door - wall with a
    remainder of 2: other doors in each wall, so that from size 8 on both sets have the door at every place.

    node: the places in order of rows from the south. Room 0 is the western or the southern one.

    Raises:
        ValueError: a size below 4 (walls as cells: 5), an unknown choice, and what no lattice can be given.
    """

    _measures = "size x size"

    def __init__(
        self,
        num_envs: int = 1,
        *,
        size: int = 9,
        walls: Literal["edges", "cells"] = "cells",
        layouts: Literal["all", "train", "held_out"] = "all",
        **settings: Unpack[LatticeSettings],
    ) -> None:
        choices = {"walls": ("edges", "cells"), "layouts": ("all", "train", "held_out")}
        for name, given in {"walls": walls, "layouts": layouts}.items():
            if given not in choices[name]:
                raise ValueError(f"{name} is {given!r}: give " + " or ".join(f'"{choice}"' for choice in choices[name]))
        self.size, self._thick = size, walls == "cells"
        least = 2 * LEAST + self._thick
        if size < least:
            raise ValueError(f"size is {size}: two rooms and their wall need {least} places or more from side to side")
        check_most("size", size, MOST_SIZE, " places")
        number = np.arange(2 * (size - least + 1) * size)
        held_out = (number % size - number // size) % HELD_OUT == 2
        self._numbers = number[{"all": held_out | True, "train": ~held_out, "held_out": held_out}[layouts]]
        self._numbers.setflags(write=False)
        super().__init__(num_envs, SQUARE, (size, size), size * (size - self._thick), settings)
        self.layout = np.zeros(self.num_envs, np.int64)
        self._make_doors(1)

    def move_door(self, row: int, door: int) -> None:
        """Move the door of a row's world to another place along its wall, 0 to size - 1 from the west or the south.

        Agent, objects and goal keep their places; sensed from the next step on. It is open there.

        Raises:
            ValueError: no such place; the agent stands in the door.
        """
        self._check_row(row)
        if not is_whole(door) or not 0 <= door < self.size:
            raise ValueError(f"door is {door!r}: row {row} has places 0..{self.size - 1} along its wall")
        own = self._own(row)
        if self._room[self._at[row]] < 0:
            raise ValueError(f"the agent of row {row} stands in the door: move it when it has left")
        in_room = self._room[own] >= 0  # the same places in the same order before and after
        kept = self._map[own][in_room]
        ranks = in_room.cumsum() - 1
        tracked = [self._at, self._goal] if self._pays else [self._at]
        held = [ranks[x[row] - self._first[row]] for x in tracked]
        self.layout[row] += door - self.layout[row] % self.size
        self._lay_out(np.array([row]))
        places = np.arange(own.start, own.stop)[self._room[own] >= 0]
        self._map[places] = kept
        for x, rank in zip(tracked, held, strict=True):
            x[row] = places[rank]

    def _layout(self, rows: Ints) -> None:
        pick = (self._uniform(rows, 1)[:, 0] * len(self._numbers)).astype(np.int64)
        self.layout[rows] = self._numbers[pick]
        self._lay_out(rows)

    def _lay_out(self, rows: Ints) -> None:
        wall, door = np.divmod(self.layout[rows], self.size)
        wall, north = np.divmod(wall, 2)  # the direction of the door
        wall += LEAST - 1  # the last line of the first room
        y, x = np.indices((self.size, self.size))
        across = np.where(north[:, None, None] == 1, y, x) - wall[:, None, None]  # lines past that last one
        room = np.where(across > self._thick, 1, np.where(across > 0, -1, 0))
        place = np.where(north == 1, [wall, door], [door, wall])[:, :, None]  # y, x [2, rows, 1]
        self._build(rows, room, place[0], place[1], north[:, None])
