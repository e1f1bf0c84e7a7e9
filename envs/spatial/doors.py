"""Places parted by walls with doors in them, which an experimenter may close and open."""

import numpy as np

from envs.settings import is_whole
from envs.spatial.lattice import Lattice
from envs.spatial.passages import part
from envs.table import CLOSED
from envs.world import Bools, Ints


class Doors(Lattice):
    """The base of square lattices of rooms with doors. A world writes `_layout`, which calls `_build`, and gives
    `_make_doors` the number of doors after `__init__`.

    A closed door refuses the step into it; who stands in a door (walls as cells) can leave it. Starts, goals and
    landmarks lie in rooms, never in a door.
    """

    def _make_doors(self, number: int) -> None:
        self._room = np.full(self.num_envs * self._most, -1)  # of each place
        # the moves into each door, in the flat table of moves
        self._into = np.zeros((self.num_envs, number, 2), np.int64)
        self._beyond = np.zeros((self.num_envs, number, 2), np.int64)  # where they lead while it is open

    # ---- for users ----

    def rooms(self, row: int = 0) -> Ints:
        """The room of each place, [N]; -1 in a door (walls as cells).

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

    def _build(self, rows: Ints, room: Ints, y: Ints, x: Ints, north: Ints) -> None:
        """Lay rooms and doors: room [rows, height, width], -1 where there is none; y, x [rows, doors], the place on the
        western or southern side of each door, which leads east, or north where `north` is 1."""
        each = np.arange(len(rows))[:, None]
        is_place = room >= 0
        if self._thick:
            is_place[each, y + north, x + 1 - north] = True
        place = self._lay(rows, is_place) + self._first[rows, None, None]
        if not self._thick:
            passages = np.stack([room == np.roll(room, -1, axis=2), room == np.roll(room, -1, axis=1)], axis=-1)
            passages[each, y, x, north] = True
            part(self._target, np.where(is_place, place, -1), passages)
        self._room.reshape(self.num_envs, -1)[rows] = -1
        self._room[place[is_place]] = room[is_place]

        far = 1 + self._thick  # steps from one side of a door to the other
        beyond = place[each, y + far * north, x + far * (1 - north)]
        self._into[rows] = np.stack([place[each, y, x] * 4 + north, beyond * 4 + north + 2], axis=-1)
        self._beyond[rows] = self._target[self._into[rows]]

    def _free(self, rows: Ints) -> Bools:
        free: Bools = self._room.reshape(self.num_envs, -1)[rows] >= 0
        return free
