"""Firing fields: where a cell is active at all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from analysis.sources import Array

LEVEL = 0.3  # of the peak (Solstad et al. 2008, Science 322:1865)
NEIGHBOURS = np.zeros((3, 3, 3), bool)
NEIGHBOURS[1] = ndimage.generate_binary_structure(2, 1)  # bins that share a side, of one map


class Fields(NamedTuple):
    """The fields of maps `[n, y, x]`, numbered from 1 through all of them; 0 is no field."""

    rate: Array
    """Above the lowest bin of the map, `[n, y, x]`; 0 where not visited."""
    field: Array
    """The field that each bin lies in, `[n, y, x]`."""
    owner: Array
    """The map of each field, `[fields + 1]`."""
    area: Array
    """The bins of each field, `[fields + 1]`."""


def find_fields(maps: Array) -> Fields:
    """Fields of maps `[n, y, x]` (NaN = not visited): neighbouring bins at `LEVEL` = 30 % of the peak or above.

    Rates count from the map's lowest bin, which is silent in nearly every recorded cell: so activity of either sign, or
    with an offset, has fields too. A constant map has none.
    """
    visited = np.isfinite(maps)
    low = np.where(visited, maps, np.inf).min((-2, -1), keepdims=True, initial=np.inf)
    rate = np.where(visited, maps - np.where(np.isfinite(low), low, 0.0), 0.0)
    peak = rate.max((-2, -1), keepdims=True)
    largest = np.abs(np.where(visited, maps, 0.0)).max((-2, -1), keepdims=True)
    varies = peak > 1e-9 * largest  # else what varies is rounding
    field, count = ndimage.label(visited & varies & (rate >= LEVEL * peak), NEIGHBOURS)
    area = np.bincount(field.ravel(), minlength=count + 1)
    owner = np.zeros(count + 1, int)
    owner[field] = np.arange(len(maps))[:, None, None]
    return Fields(rate, field, owner, area)


def field_counts(maps: npt.ArrayLike) -> tuple[Array, Array]:
    """How many fields each of the maps `[..., y, x]` has, and the share of its visited bins in the largest, `[...]`."""
    stack = np.asarray(maps, float)
    flat = stack.reshape(-1, *stack.shape[-2:])
    _, _, owner, area = find_fields(flat)
    largest = np.zeros(len(flat))
    np.maximum.at(largest, owner[1:], area[1:])
    count = np.bincount(owner[1:], minlength=len(flat))
    share = largest / np.maximum(np.isfinite(flat).sum((-2, -1)), 1)
    return count.reshape(stack.shape[:-2]), share.reshape(stack.shape[:-2])
