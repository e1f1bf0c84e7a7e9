"""Spatial autocorrelograms: how well a map agrees with itself, shifted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft

from analysis.sources import Array

MIN_OVERLAP = 20  # bins (Sargolini et al. 2006, Science 312:758)
BLOCK = 64  # maps transformed at once: keeps the work in cache and memory small


def autocorrelogram(maps: npt.ArrayLike, min_overlap: int = MIN_OVERLAP) -> Array:
    """Pearson correlation of each map with itself at every lag, `[..., y, x] -> [..., 2y-1, 2x-1]`, centre = no lag.

    Over the n bins visited both before and after the shift,
    r = (n S(ab) - S(a) S(b)) / sqrt((n S(aa) - S(a)^2) (n S(bb) - S(b)^2)), a the map and b the shifted one
    (Sargolini et al. 2006, supporting material; Hafting et al. 2005). NaN in a map = not visited. A lag is NaN where
    fewer than `min_overlap` bins overlap, or where either side of the overlap is constant (its standard deviation below
    1e-5 of the whole map's).

    The sums at all lags are correlations, taken by FFT over all maps at once; the transform of the mask is shared by
    maps that were visited alike (the cells of one recording, and their shuffles).
    """
    stack = np.asarray(maps, float)
    if stack.ndim < 2:
        raise ValueError(f"an autocorrelogram needs maps [..., y, x], not shape {list(stack.shape)}")
    flat = stack.reshape(-1, *stack.shape[-2:])
    rows, columns = stack.shape[-2:]
    out = np.empty((len(flat), 2 * rows - 1, 2 * columns - 1))
    visited = np.isfinite(flat)
    alike = bool((visited == visited[:1]).all())
    for first in range(0, len(flat), BLOCK):
        part = slice(first, first + BLOCK)
        out[part] = _pearson(flat[part], visited[:1] if alike else visited[part], min_overlap)
    return out.reshape(*stack.shape[:-2], *out.shape[-2:])


def _pearson(maps: Array, visited: Array, min_overlap: int) -> Array:
    """`maps` `[k, y, x]`, `visited` `[k or 1, y, x]`."""
    rows, columns = maps.shape[-2:]
    size = (fft.next_fast_len(2 * rows - 1, real=True), fft.next_fast_len(2 * columns - 1, real=True))

    def lags(spectrum: Array) -> Array:
        return np.roll(fft.irfft2(spectrum, size), (rows - 1, columns - 1), (-2, -1))[
            ..., : 2 * rows - 1, : 2 * columns - 1
        ]

    count = np.maximum(visited.sum((-2, -1), keepdims=True), 1)
    centred = np.where(visited, maps - np.where(visited, maps, 0.0).sum((-2, -1), keepdims=True) / count, 0.0)
    scale = np.sqrt((centred**2).sum((-2, -1), keepdims=True) / count)
    largest = np.abs(np.where(visited, maps, 0.0)).max((-2, -1), keepdims=True)
    varies = scale > 1e-9 * largest  # else what varies is rounding
    centred = centred / np.where(varies, scale, 1.0)  # r does not change, and rounding can be told from variance

    v, vv, m = fft.rfft2(centred, size), fft.rfft2(centred**2, size), fft.rfft2(visited.astype(float), size)
    n = np.rint(lags(m * m.conj()))
    ab, a, aa = lags(v * v.conj()), lags(v * m.conj()), lags(vv * m.conj())
    b, bb = a[..., ::-1, ::-1], aa[..., ::-1, ::-1]  # the shifted side at a lag is the first side at the opposite lag
    var_a, var_b = n * aa - a * a, n * bb - b * b
    floor = 1e-10 * n * n
    good = (n >= max(min_overlap, 2)) & (var_a > floor) & (var_b > floor) & varies
    r = np.divide(
        n * ab - a * b, np.sqrt(np.where(good, var_a * var_b, 1.0)), out=np.full(ab.shape, np.nan), where=good
    )
    correlogram: Array = np.clip((r + r[..., ::-1, ::-1]) / 2, -1.0, 1.0)  # symmetric to the bit
    return correlogram
