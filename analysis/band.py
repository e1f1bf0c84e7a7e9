"""Band score: how much more of a map one plane wave explains than a wave in any other direction.

Each wave vector k (cycles a bin) is fitted to the visited bins of a map by least squares, `a cos(2 pi k.r) +
b sin(2 pi k.r) + c`, and explains a share of the map's variance there. Then

    band = largest share of a wave  -  what the best wave at 30 degrees or more from it explains of what it leaves,
                                       as a share of the same variance

so a map of two orthogonal waves of amplitudes 1 and a scores (1 - a^2) / (1 + a^2). A stripe scores 1 (rectified .84:
its harmonics lie in its own direction and count neither way); square and hexagonal lattices of equal waves 0, although
one wave explains 1/2 and 1/3 of them. Waves are no shorter than 2 bins (Nyquist) and fit at least 1.5 times into the
map, from corner to corner along k: what never comes again is no band. Trivial maps of 15 x 15 bins: a round bump or a
linear ramp in any direction within .05 of 0; white noise .01 (median; 95th percentile .03), smooth noise (Gaussian,
sigma 2 bins) .18 (.47), which is why it takes more than shuffles to make a band cell (`analysis.classes`).

After Krupic et al. (2012, Science 337:853), who call band cells those of whose rate map's Fourier components one stands
out. Here it is weighed against the next in one number, and bins that were not visited are left out, not set to zero.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft

from analysis.autocorrelation import BLOCK, MIN_OVERLAP
from analysis.sources import Array

CYCLES = 1.5  # across the map: the longest wave
APART = 0.5  # sine of the angle between two directions: 30 degrees
FINE = 1 / 8  # cycles across the map between one wave that is tried and the next
RIDGE = 1e-6  # of a wave of 2 bins only the cosine is there


def band_score(maps: npt.ArrayLike) -> Array:
    """Band scores of maps `[..., y, x]` (NaN = not visited), `[...]`; waves are read to 1/16 cycle across the map.

    NaN, "not computable": a map that is constant, or with fewer than `MIN_OVERLAP` = 20 visited bins.
    """
    stack = np.asarray(maps, float)
    if stack.ndim < 2:
        raise ValueError(f"a band score needs maps [..., y, x], not shape {list(stack.shape)}")
    flat = stack.reshape(-1, *stack.shape[-2:])
    score = np.full(len(flat), np.nan)
    visited = np.isfinite(flat)
    left = visited.sum((-2, -1)) >= MIN_OVERLAP
    while left.any():  # once in a recording: all its cells were visited alike
        mask = visited[left.argmax()]
        alike = np.flatnonzero(left & (visited == mask).all((-2, -1)))
        for first in range(0, len(alike), BLOCK):
            part = alike[first : first + BLOCK]
            score[part] = _score(np.where(mask, flat[part], 0.0), mask)
        left[alike] = False
    return score.reshape(stack.shape[:-2])


def _score(maps: Array, visited: Array) -> Array:
    """`maps` `[n, y, x]`, 0 where not `visited` `[y, x]`."""
    count = visited.sum()
    largest = np.abs(maps).max((-2, -1))
    maps = (maps - maps.sum((-2, -1), keepdims=True) / count) * visited
    variance = (maps**2).sum((-2, -1))
    varies = variance > count * (1e-9 * largest) ** 2  # else what varies is rounding
    maps = maps / np.sqrt(np.where(varies, variance, 1.0))[:, None, None]
    share, wave = _best_wave(maps, visited, np.zeros((len(maps), 2)))
    second, _ = _best_wave(maps - _fit(maps, visited, wave), visited, wave)
    return np.where(varies, share - second, np.nan)


def _best_wave(maps: Array, visited: Array, off: Array) -> tuple[Array, Array]:
    """What the best wave explains of maps `[n, y, x]` whose mean is 0, `[n]`, and its vector (y, x), `[n, 2]`.

    Directions within 30 degrees of `off` `[n, 2]` are left out (none, where it is 0).
    """
    rows, columns = visited.shape
    size, seen = (2 * rows, 2 * columns), visited[None].astype(float)
    # first waves half a cycle apart, of all maps alike; k and -k are the same wave
    y, x = fft.fftfreq(size[0])[None], fft.rfftfreq(size[1])[None]
    spectrum = fft.fft2(seen, size)
    twice = spectrum[:, 2 * np.arange(size[0])[:, None] % size[0], 2 * np.arange(columns + 1) % size[1]]
    explained = _explained(fft.rfft2(maps, size), spectrum[..., : columns + 1], twice, visited.sum())
    _, wave = _largest(explained, y, x, visited.shape, off)
    # then closer by, around the best of each map
    y, x = (wave[:, i, None] + np.arange(-2, 3) * FINE / side for i, side in enumerate(visited.shape))
    sums = _transform(maps, y, x), _transform(seen, y, x), _transform(seen, 2 * y, 2 * x)
    return _largest(_explained(*sums, visited.sum()), y, x, visited.shape, off)


def _explained(f: Array, w: Array, w2: Array, count: int) -> Array:
    """The sum of squares of the least-squares fit of each wave to maps whose mean is 0, `[n, ky, kx]`.

    From sums over visited bins (`_transform`): of the maps, of 1, and of 1 at twice the wave vector.
    """
    # of cosine and sine less their means over visited bins: sums of squares and of their product
    small = RIDGE * count
    cc, ss = (count + w2.real) / 2 - w.real**2 / count + small, (count - w2.real) / 2 - w.imag**2 / count + small
    cs = w2.imag / 2 - w.real * w.imag / count
    explained: Array = (f.real**2 * ss - 2 * f.real * f.imag * cs + f.imag**2 * cc) / (cc * ss - cs**2)
    return explained


def _largest(explained: Array, y: Array, x: Array, side: tuple[int, ...], off: Array) -> tuple[Array, Array]:
    """The largest value `[n]` among wave vectors that may be tried, and that vector (y, x), `[n, 2]`."""
    ky, kx, off = y[:, :, None], x[:, None, :], off[:, :, None, None]
    length = np.hypot(ky, kx)
    repeats = np.abs(ky) * side[0] + np.abs(kx) * side[1] >= CYCLES
    apart = np.abs(ky * off[:, 1] - kx * off[:, 0]) >= APART * length * np.hypot(off[:, 0], off[:, 1])
    tried = np.where(repeats & apart & (length <= 0.5), explained, 0.0)
    each = np.arange(len(tried))
    row, column = np.unravel_index(tried.reshape(len(tried), -1).argmax(1), tried.shape[1:])
    wave = [np.broadcast_to(k, (len(tried), k.shape[1]))[each, i] for k, i in ((y, row), (x, column))]
    return tried[each, row, column], np.stack(wave, -1)


def _transform(maps: Array, y: Array, x: Array) -> Array:
    """Sums of maps times exp(-2 pi i k.r) at wave vectors y `[n, ky]` and x `[n, kx]`, `[n, ky, kx]`."""
    rows, columns = (np.arange(s) for s in maps.shape[-2:])
    across = maps @ np.exp(-2j * np.pi * columns[:, None] * x[:, None, :])
    sums: Array = np.exp(-2j * np.pi * rows * y[:, :, None]) @ across
    return sums


def _fit(maps: Array, visited: Array, wave: Array) -> Array:
    """The least-squares fit of one wave (y, x) `[n, 2]` to each map."""
    rows, columns = (np.arange(s) for s in visited.shape)
    y, x = wave[:, :, None, None].swapaxes(0, 1)
    phase = 2 * np.pi * (y * rows[:, None] + x * columns)
    basis = np.stack([np.cos(phase), np.sin(phase)], 1)[..., visited]  # [n, 2, bins]
    basis -= basis.mean(-1, keepdims=True)
    known = maps[:, visited, None]
    weights = np.linalg.solve(basis @ basis.mT + RIDGE * visited.sum() * np.eye(2), basis @ known)
    fit = np.zeros(maps.shape)
    fit[:, visited] = (weights.mT @ basis)[:, 0]
    return fit
