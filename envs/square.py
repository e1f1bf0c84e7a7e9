"""Open fields and tori: a square lattice with an object on every place."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.drawing import draw
from envs.world import ALLOCENTRIC, Array, Bools, Floats, Ints, SingleWorld, World

Size = int | Sequence[int]

ACTIONS = ("east", "north", "west", "south")
MOVES = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.int64)
MOVES_FELT = MOVES.astype(np.float32)


class Square(World):
    """A square lattice, walled or a torus; the agent senses the object underfoot.

    Args:
        num_envs: worlds stepped together.
        width: places from west to east; an int, or (low, high), both included, drawn anew each episode.
        height: the same from south to north; None: as wide as high.
        torus: a step over the edge comes back at the other side (and is felt as any other step).
        objects: kinds of objects; each place holds one, drawn with replacement anew each episode.
        motion_noise: standard deviation of felt motion, cells a step, on both components.
        render_mode: "rgb_array" or None.

    Observation `Discrete(objects)`; actions east, north, west, south; node = y * width + x; never ends, never pays.

    Raises:
        ValueError: a size below 2, a range from high to low, fewer than one kind of object.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        width: Size = 8,
        height: Size | None = None,
        torus: bool = False,
        objects: int = 45,
        motion_noise: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        if objects < 1:
            raise ValueError(f"objects is {objects}: a world needs at least 1 kind of object")
        super().__init__(num_envs, gymnasium.spaces.Discrete(objects), ACTIONS, ALLOCENTRIC, motion_noise, render_mode)
        self._width_range = _size_range("width", width)
        self._height_range = None if height is None else _size_range("height", height)
        self._torus = torus
        self._objects = objects
        places = self._width_range[1] * (self._height_range or self._width_range)[1]
        self._map = np.zeros((num_envs, places), np.int32)  # object of each node; narrower worlds leave the rest unused
        self._map_starts = np.arange(num_envs) * places
        self.width, self.height, self._x, self._y = np.zeros((4, num_envs), np.int64)

    def _begin(self, rows: Ints) -> None:
        u = self._uniform(rows, 4 + self._map.shape[1])
        width = _pick(u[:, 0], self._width_range)
        height = width if self._height_range is None else _pick(u[:, 1], self._height_range)
        self.width[rows], self.height[rows] = width, height
        self._x[rows], self._y[rows] = (u[:, 2] * width).astype(np.int64), (u[:, 3] * height).astype(np.int64)
        self._map[rows] = u[:, 4:] * self._objects

    def _move(self, actions: Ints) -> tuple[Floats, Bools]:
        x, y = self._x + MOVES[:, 0].take(actions), self._y + MOVES[:, 1].take(actions)
        motion = MOVES_FELT.take(actions, axis=0)
        if self._torus:
            self._x, self._y = x % self.width, y % self.height
            return motion, np.zeros(self.num_envs, np.bool_)
        self._x = np.minimum(np.maximum(x, 0), self.width - 1)
        self._y = np.minimum(np.maximum(y, 0), self.height - 1)
        bump = (self._x != x) | (self._y != y)
        motion[bump] = 0.0
        return motion, bump

    def _node(self) -> Ints:
        return self._y * self.width + self._x

    def _observe(self) -> Array:
        return self._map.ravel().take(self._map_starts + self._node()).astype(np.int64)

    def _truth(self) -> tuple[Ints, Floats, Floats]:
        place = np.empty((self.num_envs, 2), np.float32)
        place[:, 0], place[:, 1] = self._x, self._y
        return self._node(), place, np.zeros(self.num_envs, np.float32)

    def _frame(self, row: int) -> NDArray[np.uint8]:
        width, height = int(self.width[row]), int(self.height[row])
        y, x = np.divmod(np.arange(width * height), width)
        tile = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
        agent = (float(self._x[row]), float(self._y[row]))
        return draw(np.stack([x, y], axis=1), self._map[row, : width * height], tile, agent)


class SquareEnv(SingleWorld):
    """One square world, for `gymnasium.make`."""

    world_class = Square


def _size_range(name: str, size: Size) -> tuple[int, int]:
    ends: Any = size if isinstance(size, list | tuple) else (size, size)
    if len(ends) != 2 or not all(isinstance(end, int | np.integer) for end in ends):
        raise ValueError(f"{name} is {size!r}: give a whole number or a range (low, high)")
    low, high = (int(end) for end in ends)
    if low < 2:
        raise ValueError(f"{name} is {size!r}: a world is at least 2 places wide and high")
    if low > high:
        raise ValueError(f"{name} is {size!r}: a range runs from low to high; did you mean ({high}, {low})?")
    return low, high


def _pick(u: NDArray[np.float64], size_range: tuple[int, int]) -> Ints:
    low, high = size_range
    return low + (u * (high - low + 1)).astype(np.int64)
