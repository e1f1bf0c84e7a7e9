"""Square and hexagonal lattices: directions, and from lattice coordinates to the plane."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Geometry:
    """A lattice of equal tiles, a cell (the distance of neighbours) apart.

    Directions go round counter-clockwise from east, evenly, so turning by one is turning by `2 pi / len(steps)`.
    """

    directions: tuple[str, ...]
    steps: NDArray[np.int64]  # [D, 2] to the neighbour in each direction, in lattice coordinates
    basis: NDArray[np.float64]  # [2, 2] x, y of one step along each lattice coordinate
    tile: NDArray[np.float64]  # [D, 2] corners of a tile around its centre

    @property
    def angles(self) -> tuple[float, ...]:
        """Of each direction, rad."""
        return tuple(2 * math.pi * i / len(self.steps) for i in range(len(self.steps)))

    @property
    def felt(self) -> NDArray[np.float32]:
        """The motion of a step in each direction, x, y [D, 2]."""
        return (self.steps @ self.basis).astype(np.float32)

    def distance(self, offset: NDArray[np.int64]) -> NDArray[np.int64]:
        """Steps from the origin to lattice coordinates [..., 2] on an open plane."""
        q, r = offset[..., 0], offset[..., 1]
        straight: NDArray[np.int64] = np.abs(q) + np.abs(r)
        return straight if len(self.steps) == 4 else (straight + np.abs(q + r)) // 2


def _corners(n: int, radius: float) -> NDArray[np.float64]:
    angle = 2 * math.pi * (np.arange(n) + 0.5) / n
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


SQUARE = Geometry(
    ("east", "north", "west", "south"),
    np.array([[1, 0], [0, 1], [-1, 0], [0, -1]]),
    np.eye(2),
    _corners(4, math.sqrt(0.5)),
)
HEXAGONAL = Geometry(  # axial coordinates: the second runs to the northeast
    ("east", "northeast", "northwest", "west", "southwest", "southeast"),
    np.array([[1, 0], [0, 1], [-1, 1], [-1, 0], [0, -1], [1, -1]]),
    np.array([[1, 0], [0.5, math.sqrt(0.75)]]),
    _corners(6, math.sqrt(1 / 3)),
)
