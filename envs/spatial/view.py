"""What an agent sees of the places around it: a view walks the table of moves, so walls and closed doors hide."""

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.spatial.geometry import Geometry
from envs.table import CLOSED, WALL

UNSEEN = -3  # below WALL and CLOSED: what hides behind them
KINDS = ("unseen", "wall", "closed door", "place", "goal")


class View:
    """A window of `size` x `size` places: ahead of a body that turns, around one that does not.

    A place is seen where the places on the straight way to it let the agent through: each has, in the window, one
    place before it on its line of sight (or two, where the line runs between them), and is reached from there by the
    world's own moves. A wall is seen from any nearer place that is seen. Thin walls, walls as cells, doors and the seam
    of a torus thus need no rule of their own.

    Egocentric: the agent stands in the middle of the last row and looks up; on hexagons it stands in the first column
    of the last row, the rows lead 60 degrees to the left and the columns 60 degrees to the right. Allocentric: the
    agent stands in the middle, north is up (northeast, on hexagons).

    Seen is uint8 [size, size, 2]: the kind (an index of `KINDS`), and the object there + 1 (0: none).
    """

    def __init__(self, geometry: Geometry, size: int, egocentric: bool) -> None:
        if size < 3 or size % 2 == 0:
            raise ValueError(f"view is {size}: give an odd number, 3 or more, or None to sense the object underfoot")
        self.size, self._directions = size, len(geometry.steps)
        window = _window(geometry, size, egocentric)  # [K, 2]
        far = geometry.distance(window)
        at = {tuple(offset): k for k, offset in enumerate(window.tolist())}
        self._here = at[0, 0]
        self._levels = []  # of each distance: places, the two nearer ones beside, directions from there, on the line?
        for distance in range(1, int(far.max()) + 1):
            places = np.flatnonzero(far == distance)
            before = np.array([_before(geometry, window[k], at) for k in places])  # [n, 2, 3]
            self._levels.append((places, before[..., 0], before[..., 1], before[..., 2] == 1))

    def space(self, senses: int) -> gymnasium.spaces.Box:
        """The space of what is seen in a world with so many senses of a place."""
        if senses > 254:
            raise ValueError(f"{senses} objects (landmarks and borders counted): a view tells at most 254 apart")
        high = np.full((self.size, self.size, 2), senses, np.uint8)
        high[..., 0] = len(KINDS) - 1
        return gymnasium.spaces.Box(np.zeros_like(high), high, dtype=np.uint8)

    def see(self, target: NDArray[np.int64], at: NDArray[np.int64], heading: NDArray[np.int64]) -> NDArray[np.int64]:
        """The place at each position of the window [B, K], or WALL, CLOSED or UNSEEN.

        target: flat table of moves, place * directions + direction. at, heading: place and direction of each row [B].
        """
        seen = np.empty((len(at), self.size * self.size), np.int64)
        seen[:, self._here] = at
        for places, before, direction, on_the_line in self._levels:
            standing = seen[:, before]  # [B, n, 2]
            ahead = (direction + heading[:, None, None]) % self._directions
            beyond = target.take(np.maximum(standing, 0) * self._directions + ahead)
            visible = (standing >= 0) & (on_the_line | (beyond < 0))
            seen[:, places] = np.where(visible, beyond, UNSEEN).max(axis=2)
        return seen

    def paint(
        self, seen: NDArray[np.int64], senses: NDArray[np.int32], goal: NDArray[np.int64] | None
    ) -> NDArray[np.uint8]:
        """What `see` found as an observation [B, size, size, 2]; senses: the object on every place; goal [B]."""
        view = np.zeros((*seen.shape, 2), np.uint8)
        view[..., 0] = np.array([3, 0, 2, 1], np.uint8)[np.minimum(seen, 0)]  # by place, UNSEEN, CLOSED, WALL
        view[..., 1] = np.where(seen >= 0, senses.take(np.maximum(seen, 0)) + 1, 0)
        if goal is not None:
            view[..., 0][seen == goal[:, None]] = KINDS.index("goal")
        return view.reshape(len(seen), self.size, self.size, 2)


assert (WALL, CLOSED, UNSEEN) == (-1, -2, -3)  # the order in which `paint` looks them up from the end


def _window(geometry: Geometry, size: int, egocentric: bool) -> NDArray[np.int64]:
    """Lattice coordinates of the window's places [size * size, 2], for a heading to the east or none, row by row."""
    row, column = np.indices((size, size)).reshape(2, -1, 1)
    half = size // 2
    if not egocentric:
        return np.concatenate([column - half, half - row], axis=1)
    square = len(geometry.steps) == 4
    up, right = (geometry.steps[0], geometry.steps[3]) if square else (geometry.steps[1], geometry.steps[5])
    window: NDArray[np.int64] = (size - 1 - row) * up + (column - half * square) * right
    return window


def _before(
    geometry: Geometry, place: NDArray[np.int64], at: dict[tuple[int, ...], int]
) -> list[tuple[int, int, bool]]:
    """The one or two nearer places beside a place: each with the direction from there, and whether it is on the line
    of sight (no farther from it than the other); one twice."""
    way, found = place @ geometry.basis, []
    for direction, step in enumerate(geometry.steps):
        before = place - step
        if geometry.distance(before) < geometry.distance(place):
            x, y = before @ geometry.basis
            beside = abs(way[0] * y - way[1] * x)  # distance from the line, times the length of the way
            found.append((beside, at[tuple(before.tolist())], direction))
    nearest = min(beside for beside, *_ in found)
    near = [(k, direction, beside < nearest + 1e-9) for beside, k, direction in found]
    return [near[0], near[-1]]
