"""What an agent sees of the places around it: straight ways along the table of moves, which walls and doors bar."""

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.spatial.geometry import Geometry
from envs.table import CLOSED, WALL

KINDS = ("unseen", "wall", "closed door", "place", "goal")
PLACE, GOAL = 3, 4
MOST_VIEW = 63  # places from side to side: what is seen takes memory as the square of it, and as the batch
assert (KINDS[-WALL], KINDS[-CLOSED]) == ("wall", "closed door")  # a refused move tells the kind
ROWS = 512  # are looked from at once: what they need stays in the processor's cache

Ints = NDArray[np.int64]
Seen = tuple[Ints, NDArray[np.uint8]]


class View:
    """A window of `size` x `size` places: ahead of a body that turns, around one that does not.

    A place n steps away is seen if a straight way to it lets the agent through, by the world's own moves. After 1, 2,
    .. n steps, a straight way is at the place of so many steps that is nearest to the line from centre to centre. Where
    the line runs midway between two such places there are two straight ways, one all along the left of the line and one
    all along the right, and either will do. On squares, a straight way is thus the places that the line crosses, and
    the corners that the line meets are passed all on the left or all on the right. Thin walls, walls as cells, doors
    and the seam of a torus need no rule of their own.

    A position where no place is seen shows a wall or a closed door, if that refuses the move to there from a place that
    is seen and nearer by one step (if both do, the door). All else is unseen.

    Egocentric: the agent stands in the middle of the last row and looks up; on hexagons it stands in the first column
    of the last row, the rows lead 60 degrees to the left and the columns 60 degrees to the right. Allocentric: the
    agent stands in the middle, north is up (northeast, on hexagons). There, the window of hexagons is a rhombus, and
    what is farther than size // 2 steps is always unseen: as far as that, the agent sees alike all around.

    Seen is uint8 [size, size, 2]: the kind (an index of `KINDS`), and the object there + 1 (0: none).
    """

    def __init__(self, geometry: Geometry, size: int, egocentric: bool) -> None:
        if not 3 <= size <= MOST_VIEW or size % 2 == 0:
            raise ValueError(
                f"view is {size}: give an odd number, 3 to {MOST_VIEW}, or None to sense the object underfoot"
            )
        self.size, self._directions, self._egocentric = size, len(geometry.steps), egocentric
        window = _window(geometry, size, egocentric)  # [K, 2]
        distance = geometry.distance(window)
        order = distance.argsort(kind="stable")
        if self._directions == 6 and not egocentric:
            order = order[distance[order] <= size // 2]
        self._order = order  # of the N places in sight, nearest first: their position in the window
        places, far = window[order], distance[order]
        at = np.zeros((4 * size, 4 * size), np.int64)  # by lattice coordinates (from the end, where negative)
        at[tuple(places.T)] = np.arange(len(places))

        # A place lies between two directions, `turned` of its steps in the second. The last move to it is in either,
        # but on an axis. Moves are numbered by distance: the first ones of all places there, then the second ones.
        first, turned = _between(geometry, places)
        second = (first + 1) % self._directions
        low, high = far.searchsorted(far), far.searchsorted(far, side="right")
        self._moves = low + np.arange(len(far)) + np.array([[0], [1]]) * (high - low)  # [2, N]
        direction = np.stack([first, np.where(turned > 0, second, first)])
        number = self._moves.ravel().argsort()
        before = (places - geometry.steps[direction]).reshape(-1, 2)[number]
        self._before = at[tuple(before.T)]  # [2N]: the place from where each move is
        ahead = direction.ravel()[number, None]
        self._ahead = (ahead + np.arange(self._directions)) % self._directions if egocentric else ahead  # by heading
        levels = np.unique([low, high], axis=1).T[1:].tolist()  # of each distance but 0: its places from .. to
        self._levels = [(slice(a, b), slice(2 * a, 2 * b), self._before[2 * a : 2 * b]) for a, b in levels]

        # After n steps, of each place's ways the left and the right one: how many of the steps were in the second
        # direction, rounded up or down at a tie.
        n = np.minimum(np.arange(far[-1] + 1)[:, None, None], far)
        turns = (2 * n * turned + far - np.array([[0], [1]])) // np.maximum(2 * far, 1)  # [steps + 1, 2, N]
        passed = (n - turns)[..., None] * geometry.steps[first] + turns[..., None] * geometry.steps[second]
        way = self._moves[np.diff(turns, axis=0), at[passed[1:, ..., 0], passed[1:, ..., 1]]]
        self._ways = np.where(np.diff(n, axis=0) > 0, way, 0)  # [steps, 2, N]: moves, then 0 (free: where one stands)

    def space(self, senses: int) -> gymnasium.spaces.Box:
        """The space of what is seen in a world with so many senses of a place."""
        if senses > 254:
            raise ValueError(f"{senses} objects (landmarks and borders counted): a view tells at most 254 apart")
        high = np.full((self.size, self.size, 2), senses, np.uint8)
        high[..., 0] = len(KINDS) - 1
        return gymnasium.spaces.Box(np.zeros_like(high), high, dtype=np.uint8)

    def see(self, target: Ints, at: Ints, heading: Ints) -> Seen:
        """At each position of the window, the place, if one is seen, and the kind (`goal` left to `paint`) [B, K] each.

        target: flat table of moves, place * directions + direction. at, heading: place and direction of each row [B].
        """
        place = np.zeros((len(at), self.size**2), np.int64)
        kind = np.zeros(place.shape, np.uint8)
        for start in range(0, len(at), ROWS):
            rows = slice(start, start + ROWS)
            near, near_kind = self._see(target, at[rows], heading[rows])
            place[rows, self._order], kind[rows, self._order] = near.T, near_kind.T
        return place, kind

    def _see(self, target: Ints, at: Ints, heading: Ints) -> tuple[Ints, NDArray[np.int8]]:
        """As `see`, but [N, B] each, nearest first: what is done alike for all rows lies side by side."""
        place = np.empty((len(self._order), len(at)), np.int64)
        beyond = np.empty((len(self._before), len(at)), np.int64)  # where each move leads
        place[0] = beyond[:2] = at
        ahead = self._ahead.take(heading, axis=1) if self._egocentric else self._ahead
        for places, moves, before in self._levels:
            n, move = len(before) // 2, place.take(before, axis=0)
            no_way = move >> 63  # all bits set where negative, thus -1, and else none
            np.maximum(move, 0, out=move)
            move *= self._directions
            move += ahead[moves]
            to = target.take(move, out=beyond[moves], mode="clip")  # in range; "raise" would buffer
            to |= no_way
            np.maximum(to[:n], to[n:], out=place[places])
        free = np.bitwise_and.reduce(np.packbits(beyond >= 0, axis=1).take(self._ways, axis=0), axis=0)
        seen = np.unpackbits(free[0] | free[1], axis=1, count=len(at)).view(np.int8)
        refused = np.minimum(beyond, 0).astype(np.int8)
        refused *= seen.take(self._before, axis=0)
        kind = np.maximum(-refused.take(self._moves, axis=0).min(axis=0), PLACE * seen)
        return np.maximum(place, 0, out=place), kind

    def paint(self, seen: Seen, senses: NDArray[np.int32], goal: Ints | None) -> NDArray[np.uint8]:
        """What `see` found as an observation [B, size, size, 2]; senses: the object on every place; goal [B]."""
        place, kind = seen
        is_place = kind == PLACE
        view = np.empty((*place.shape, 2), np.uint8)
        view[..., 0] = kind
        view[..., 1] = (senses.take(place) + 1) * is_place
        if goal is not None:
            view[..., 0][is_place & (place == goal[:, None])] = GOAL
        return view.reshape(-1, self.size, self.size, 2)


def _window(geometry: Geometry, size: int, egocentric: bool) -> Ints:
    """Lattice coordinates of the window's places [size * size, 2], for a heading to the east or none, row by row."""
    row, column = np.indices((size, size)).reshape(2, -1, 1)
    half = size // 2
    if not egocentric:
        return np.concatenate([column - half, half - row], axis=1)
    square = len(geometry.steps) == 4
    up, right = (geometry.steps[0], geometry.steps[3]) if square else (geometry.steps[1], geometry.steps[5])
    window: Ints = (size - 1 - row) * up + (column - half * square) * right
    return window


def _between(geometry: Geometry, places: Ints) -> tuple[Ints, Ints]:
    """Of each place, the direction at or right of it, and how many steps of the way are in the one left of it."""
    second = np.roll(geometry.steps, -1, axis=0)
    q, r = places.T[..., None]
    steps = q * second[:, 1] - r * second[:, 0]  # [n, D] in a direction and in the next, whose cross product is 1
    turned = r * geometry.steps[:, 0] - q * geometry.steps[:, 1]
    first = ((steps > 0) & (turned >= 0)).argmax(axis=1)
    return first, turned[np.arange(len(places)), first]
