"""Border score: how much of a wall one field lines, and how near to the walls the cell is active.

(Solstad, Boccara, Kropff, Moser & Moser 2008, Science 322:1865.)

    border = (cM - dm) / (cM + dm)

over the fields of a map (`analysis.fields`) of at least 2 % of its visited bins, 200 cm2 of a box of 1 m2: cM, the
largest share of one wall that one field lines; dm, the mean distance to the nearest wall over all these fields, from
the centres of bins, weighted by rate, over half the shorter side of the world. So a field w bins deep along a whole
wall of a square of n bins scores about (n - w) / (n + w) (exactly for w = 1: .88 in 15 x 15 bins, .95 in 40 x 40), and
one that touches no wall -1. Trivial maps: one field over the whole square has cM = 1 and dm = 1/3, and scores 1/2; so
do, or nearly, a linear ramp and noise (median .48, 95th percentile .5 to .6), as rates count from the lowest bin. A
border cell is above that. A single bin at a wall of a square scores 0.

The walls are the four sides of the box around all that was visited, for now: inner walls count as floor, and worlds
that are no rectangles get a score that means little.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analysis.fields import find_fields
from analysis.sources import Array

MIN_AREA = 0.02  # of the visited bins; one bin at least
KNOWN = 0.5  # of the bins along a wall must have been visited, or it is left out
WALLS = (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1])


def border_score(maps: npt.ArrayLike) -> Array:
    """Border scores of maps `[..., y, x]` (NaN = not visited), -1 to 1, `[...]`.

    -1 where no field is large enough. NaN, "not computable": a constant map, or one without a wall of which half was
    visited.
    """
    stack = np.asarray(maps, float)
    if stack.ndim < 2:
        raise ValueError(f"a border score needs maps [..., y, x], not shape {list(stack.shape)}")
    flat = stack.reshape(-1, *stack.shape[-2:])
    visited = np.isfinite(flat)
    rate, field, owner, area = find_fields(flat)
    smallest = np.maximum(np.floor(MIN_AREA * visited.sum((-2, -1))), 1)
    kept = np.append(False, area[1:] >= smallest[owner[1:]])  # 0 is no field

    lined, walls = np.zeros(len(area)), np.zeros(len(flat), int)
    for wall in WALLS:
        bins = visited[wall].sum(-1)
        known = bins >= KNOWN * visited[wall].shape[-1]
        share = np.bincount(field[wall].ravel(), minlength=len(area))[1:] / np.maximum(bins, 1)[owner[1:]]
        lined[1:] = np.maximum(lined[1:], share * known[owner[1:]])
        walls += known
    coverage = np.zeros(len(flat))
    np.maximum.at(coverage, owner[1:], (lined * kept)[1:])

    weight = rate * kept[field]
    total = weight.sum((-2, -1))
    distance = (weight * _to_wall(*flat.shape[-2:])).sum((-2, -1)) / np.where(total > 0, total, 1.0)
    distance = np.where(total > 0, distance / (min(flat.shape[-2:]) / 2), 1.0)
    scored = (np.bincount(owner[1:], minlength=len(flat)) > 0) & (walls > 0)
    score: Array = np.divide(coverage - distance, coverage + distance, out=np.full(len(flat), np.nan), where=scored)
    return score.reshape(stack.shape[:-2])


def _to_wall(rows: int, columns: int) -> Array:
    """The distance of each bin's centre from the nearest wall, `[y, x]` (bins)."""
    y, x = np.arange(rows) + 0.5, np.arange(columns) + 0.5
    distance: Array = np.minimum(np.minimum(y, rows - y)[:, None], np.minimum(x, columns - x))
    return distance
