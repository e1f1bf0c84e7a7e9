"""A world seen from above, whole: as symbols, place by place, or as a picture of 64 x 64 pixels."""

from typing import Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.drawing import colours
from envs.spatial.view import GOAL, KINDS, PLACE
from envs.table import CLOSED, WALL
from envs.world import Bools, Ints

SIGHTS = ("map", "pixels")
PIXELS = 64
MOST_SIDE = (PIXELS - 1) // 3  # places from side to side: three pixels each are the least that shows an agent
SOLID, LINE, DOOR, GOLD, BODY, HEAD = (
    np.array(rgb, np.uint8) for rgb in ([89] * 3, [38] * 3, [255, 69, 0], [255, 215, 0], [38] * 3, [255] * 3)
)
KIND, SIDES, OBJECT, AGENT = range(4)  # channels of a map


class Overhead:
    """What is seen from above a square lattice, north at the top; worlds smaller than the largest lie in the southwest.

    Map: uint8 [height, width, 4], at each place its kind (an index of `KINDS`: wall, place or goal), its sides that
    bar the way as bits (1 east, 2 north, 4 west, 8 south a wall; 16, 32, 64, 128 a closed door), the object there + 1,
    and the agent: 1 where it is, and 1 more for each quarter turn from east that it has made, where it turns.

    Pixels: uint8 [64, 64, 3], a picture of the same; the agent is dark, with a white front where it turns.
    It hides the object under it in worlds of more than 10 places from side to side, and a goal hides one in any.

    Raises:
        ValueError: more places from side to side than a picture can show.
    """

    def __init__(self, shape: tuple[int, int], sight: Literal["map", "pixels"], egocentric: bool) -> None:
        self._shape, self._turns, self._draws = shape, egocentric, sight == "pixels"
        if self._draws and max(shape) > MOST_SIDE:
            raise ValueError(
                f"view is 'pixels' of a world {max(shape)} places from side to side: {PIXELS} pixels show {MOST_SIDE} "
                'at most; make it smaller, or give view="map"'
            )
        self.scale = (PIXELS - 1) // max(shape)  # pixels of a place; walls are drawn on the last one of each

    @property
    def size(self) -> int:
        """Numbers that one world's observation holds."""
        return PIXELS * PIXELS * 3 if self._draws else self._shape[0] * self._shape[1] * 4

    def space(self, senses: int) -> gymnasium.spaces.Box:
        """The space of what is seen in a world with so many senses of a place."""
        if senses > 254:
            raise ValueError(f"{senses} objects (landmarks and borders counted): seen from above, at most 254 differ")
        if self._draws:
            return gymnasium.spaces.Box(0, 255, (PIXELS, PIXELS, 3), np.uint8)
        high = np.full((*self._shape, 4), [len(KINDS) - 1, 255, senses, 4 if self._turns else 1], np.uint8)
        return gymnasium.spaces.Box(np.zeros_like(high), high, dtype=np.uint8)

    def observe(
        self,
        target: Ints,
        position: Ints,
        present: Bools,
        senses: NDArray[np.int32],
        at: Ints,
        heading: Ints,
        goal: Ints | None,
    ) -> NDArray[np.uint8]:
        """Observations `[B, ...]`.

        target [B, places, 4], position [B, places, 2] (x, y), present [B, places], senses [B, places]; at, heading and
        goal [B], places within their row.
        """
        height, width = self._shape
        seen = np.zeros((len(at), height, width, 4), np.uint8)
        seen[..., KIND] = KINDS.index("wall")
        row, place = np.nonzero(present)
        x, y = position[row, place].T
        own = target[row, place]
        bits = np.array([1, 2, 4, 8])
        here = np.empty((len(row), 4), np.uint8)
        here[:, KIND] = PLACE
        here[:, SIDES] = (own == WALL) @ bits + (own == CLOSED) @ (16 * bits)
        here[:, OBJECT] = senses[row, place] + 1
        here[:, AGENT] = 0
        seen[row, height - 1 - y, x] = here
        each = np.arange(len(at))
        x, y = position[each, at].T
        seen[each, height - 1 - y, x, AGENT] = 1 + heading * self._turns
        if goal is not None:
            x, y = position[each, goal].T
            seen[each, height - 1 - y, x, KIND] = GOAL
        return self._picture(seen) if self._draws else seen

    def _picture(self, seen: NDArray[np.uint8]) -> NDArray[np.uint8]:
        (height, width), s = self._shape, self.scale
        kind, sides, thing, agent = np.moveaxis(seen, -1, 0)
        colour = np.where((kind == GOAL)[..., None], GOLD, colours(np.arange(-1, 255))[thing])
        colour = np.where((kind == KINDS.index("wall"))[..., None], SOLID, colour).astype(np.uint8)
        picture = np.full((len(seen), PIXELS, PIXELS, 3), SOLID)
        drawn = picture[:, : height * s + 1, : width * s + 1]
        drawn[:, 1:, 1:] = colour.repeat(s, axis=1).repeat(s, axis=2)
        self._draw_agent(drawn, agent)
        for bit, line in ((1, LINE), (16, DOOR)):
            east, north, west, south = ((sides & (bit << side)) > 0 for side in range(4))
            rows = np.zeros((len(seen), height + 1, width), np.bool_)
            rows[:, 1:] = south
            rows[:, :-1] |= north  # a place that bars no way back leaves the line of its neighbour
            columns = np.zeros((len(seen), height, width + 1), np.bool_)
            columns[:, :, 1:] = east
            columns[:, :, :-1] |= west
            drawn[:, ::s, 1:][rows.repeat(s, axis=2)] = line
            drawn[:, 1:, ::s][columns.repeat(s, axis=1)] = line
        return picture

    def _draw_agent(self, drawn: NDArray[np.uint8], agent: NDArray[np.uint8]) -> None:
        row, y, x = np.nonzero(agent)
        s = self.scale
        body = np.arange(1 + s // 6, s - s // 6)  # its pixels within the place, the wall's line left out
        top, left = (y * s + 1)[:, None, None], (x * s + 1)[:, None, None]
        down, right = np.meshgrid(body - 1, body - 1, indexing="ij")
        drawn[row[:, None, None], top + down, left + right] = BODY
        if self._turns:
            turned = (agent[row, y, x] - 1).astype(np.int64)[:, None, None]
            ends = body[0] - 1, body[-1] - 1
            front = np.choose(turned, [right == ends[1], down == ends[0], right == ends[0], down == ends[1]])
            which, i, j = np.nonzero(np.broadcast_to(front, (len(row), len(body), len(body))))
            drawn[row[which], (top + down)[which, i, j], (left + right)[which, i, j]] = HEAD
