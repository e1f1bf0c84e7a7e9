"""Open fields and tori: a square lattice with an object on every place."""

from typing import Unpack

import numpy as np

from envs.settings import Size, size_range
from envs.spatial.geometry import SQUARE
from envs.spatial.lattice import Lattice, LatticeSettings
from envs.world import Ints


class Square(Lattice):
    """A square lattice with walls round it; the agent senses the object underfoot.

    Args:
        num_envs: worlds stepped together.
        width: places from west to east; an int, or (low, high), both included, drawn anew each episode.
        height: the same from south to north; None: as wide as high.
        settings: see `LatticeSettings`.

    node = y * width + x; never ends, never pays, unless it has a goal.

    Raises:
        ValueError: a size below 2, a range from high to low, and what no lattice can be given.
    """

    torus = False

    def __init__(
        self,
        num_envs: int = 1,
        *,
        width: Size = 8,
        height: Size | None = None,
        **settings: Unpack[LatticeSettings],
    ) -> None:
        self._widths = size_range("width", width)
        self._heights = None if height is None else size_range("height", height)
        (least_w, most_w), (least_h, most_h) = self._widths, self._heights or self._widths
        least = least_w * least_h if self._heights else least_w**2
        super().__init__(num_envs, SQUARE, (most_h, most_w), least, settings)
        self.width, self.height = np.zeros((2, num_envs), np.int64)

    def _layout(self, rows: Ints) -> None:
        width, height = self._draw_sizes(rows, self._widths, self._heights)
        self.width[rows], self.height[rows] = width, height
        y, x = np.indices(self._shape)
        is_place = (x < width[:, None, None]) & (y < height[:, None, None])
        self._lay(rows, is_place, (width, height) if self.torus else None)

    def _start(self, rows: Ints) -> Ints:
        u = self._uniform(rows, 2)
        x, y = (u[:, 0] * self.width[rows]).astype(np.int64), (u[:, 1] * self.height[rows]).astype(np.int64)
        return y * self.width[rows] + x


class Torus(Square):
    """A square lattice without edges: a step over the seam comes back at the other side.

    Settings as for `Square`; `place` jumps at the seam, `motion` does not, and nothing is ever bumped into.
    """

    torus = True
