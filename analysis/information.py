"""How much the activity of a cell tells about where the agent is."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from analysis.sources import Array


def spatial_information(
    maps: npt.ArrayLike, occupancy: npt.ArrayLike, unit: Literal["bits/spike", "bits/s"] = "bits/spike"
) -> Array:
    """Spatial information of maps `[..., y, x]` under an occupancy `[y, x]`, `[...]`.

    I = sum_i p_i (l_i / L) log2(l_i / L), L = sum_i p_i l_i, over visited bins, p_i the share of time spent in bin i;
    times L for bits/s (Skaggs et al. 1993, NIPS 5:1030). The sum is signed: bins below the mean count negative, and a
    bin of rate 0 counts 0. NaN where the cell never fired or where activity is negative, of which no rate can be made.
    """
    p, ratio, mean = _relative(maps, occupancy)
    log = np.log2(np.where(ratio > 0, ratio, 1.0))
    information: Array = np.maximum((p * ratio * log).sum((-2, -1)), 0.0)  # >= 0 by Jensen: less is rounding
    information = np.where(np.isfinite(mean), information, np.nan)
    return information * mean if unit == "bits/s" else information


def sparsity(maps: npt.ArrayLike, occupancy: npt.ArrayLike) -> Array:
    """Sparsity of maps `[..., y, x]`, L^2 / sum_i p_i l_i^2, `[...]`: 1 = everywhere alike, near 0 = one place.

    (Skaggs et al. 1996, Hippocampus 6:149.) NaN where `spatial_information` is.
    """
    p, ratio, mean = _relative(maps, occupancy)
    square = (p * ratio**2).sum((-2, -1))
    return np.where(np.isfinite(mean), 1 / np.where(square > 0, square, 1.0), np.nan)


def _relative(maps: npt.ArrayLike, occupancy: npt.ArrayLike) -> tuple[Array, Array, Array]:
    """Share of time and rate over mean rate, `[..., y, x]` (0 where not visited), and mean rate `[...]` or NaN."""
    rate, time = np.asarray(maps, float), np.asarray(occupancy, float)
    if rate.shape[-2:] != time.shape:
        raise ValueError(f"maps {list(rate.shape)} and occupancy {list(time.shape)} must have the same y and x")
    visited = np.isfinite(rate) & (time > 0)
    spent = np.where(visited, time, 0.0)
    p = spent / np.maximum(spent.sum((-2, -1), keepdims=True), np.finfo(float).tiny)
    rate = np.where(visited, rate, 0.0)
    mean = (p * rate).sum((-2, -1))
    mean = np.where((mean > 0) & (rate >= 0).all((-2, -1)), mean, np.nan)
    return p, rate / np.where(np.isfinite(mean), mean, 1.0)[..., None, None], mean
