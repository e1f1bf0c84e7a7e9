"""Hexagonal lattices, six directions: the worlds in which the papers find hexagonal grid cells."""

from typing import Literal, Unpack

import numpy as np

from envs.settings import Size, size_range
from envs.spatial.geometry import HEXAGONAL
from envs.spatial.lattice import Lattice, LatticeSettings
from envs.world import Ints


class Hex(Lattice):
    """A hexagonal lattice with walls round it, its outline a hexagon or a rectangle.

    Args:
        num_envs: worlds stepped together.
        outline: "hexagon" or "rectangle".
        edge: places along a side of the hexagon, 3 edge (edge - 1) + 1 in all (5, 6, 7 make 61, 91, 127); an int, or
            (low, high), both included, drawn anew each episode. None: 5.
        width: places in a row of the rectangle (None: 8), and `height` how many rows (None: as many), every other one
            shifted east by half a cell; an int or a range, too.
        settings: see `LatticeSettings`.

    Actions east, northeast, northwest, west, southwest, southeast, 60 degrees apart; place in the plane, neighbours 1
    apart (rows sqrt(3) / 2); node in order of rows from the south, and from west to east within them.

    Raises:
        ValueError: a size below 2, a range from high to low, a size that the outline does not have, and what no
            lattice can be given.
    """

    _measures = "edge, or width x height"

    def __init__(
        self,
        num_envs: int = 1,
        *,
        outline: Literal["hexagon", "rectangle"] = "hexagon",
        edge: Size | None = None,
        width: Size | None = None,
        height: Size | None = None,
        **settings: Unpack[LatticeSettings],
    ) -> None:
        if outline not in ("hexagon", "rectangle"):
            raise ValueError(f'outline is {outline!r}: give "hexagon" or "rectangle"')
        self._hexagon = outline == "hexagon"
        for name, given in ({"width": width, "height": height} if self._hexagon else {"edge": edge}).items():
            if given is not None:
                raise ValueError(f"a {outline} has no {name}: leave {name}={given} out, or choose the other outline")
        if self._hexagon:
            self._widths = size_range("edge", 5 if edge is None else edge)
        else:
            self._widths = size_range("width", 8 if width is None else width)
        self._heights = None if height is None else size_range("height", height)
        low, high = self._widths
        if self._hexagon:
            shape, least = (2 * high - 1, 2 * high - 1), 3 * low * (low - 1) + 1
        else:
            rows, least_rows = (self._heights or self._widths)[1], (self._heights or self._widths)[0]
            shape = (rows, high + (rows - 1) // 2)
            least = low * (low if self._heights is None else least_rows)
        super().__init__(num_envs, HEXAGONAL, shape, least, settings)

    def _layout(self, rows: Ints) -> None:
        width, height = (n[:, None, None] for n in self._draw_sizes(rows, self._widths, self._heights))
        r, q = np.indices(self._shape)
        if self._hexagon:
            r, q = r - self._origin()[1], q - self._origin()[0]
            self._lay(rows, HEXAGONAL.distance(np.stack([q, r], axis=-1)) < width)
            return
        column = q - self._origin()[0] + r // 2
        self._lay(rows, (r < height) & (column >= 0) & (column < width))

    def _origin(self) -> tuple[int, int]:
        if self._hexagon:
            return self._widths[1] - 1, self._widths[1] - 1  # the middle
        return (self._shape[0] - 1) // 2, 0
