"""Grid score and spacing: how near to a lattice a cell's autocorrelogram is, and of what scale.

**Definition of the score.** The autocorrelogram is read on rings around its centre, every half bin of radius and every
3 degrees (bilinear). Within an annulus, r(a) is the Pearson correlation of the ring samples with the same samples
turned by a degrees, each ring weighted by its radius, that is by area. Then

    score 60 = min(r(60), r(120)) - max(r(30), r(90), r(150))       score 90 = r(90) - max(r(45), r(135))

(60: Sargolini et al. 2006, Science 312:758; Langston et al. 2010, Science 328:1576. 90: the mean of 45 and 135 in
Banino et al. 2018, Nature 557:429.) An autocorrelogram is its own point reflection, so r(120) = r(60), r(150) = r(30),
r(135) = r(45), exactly, and half a circle holds everything.

**The annulus.** Its inner radius is that of the central peak: where the mean over the ring first falls under 0.2 or
first has a minimum, whichever is nearer (Langston et al. 2010). Its outer radius is swept by half bins from `inner +
max(2 bins, inner)` to 0.8 of the shorter side of the map, or to the first ring of which less than half is known; the
score is the largest mean of that sweep over a span of radii of `max(2 bins, inner)`. All radii scale with the cell and
not with the map, so that one rule serves 40 x 40 bins of an arena and 12 x 12 cells of a grid world. (On a lattice the
central peak ends at .27 spacings, and the six peaks around it at 4.7 times that; without the mean, stripes score .17
just there.)

Everything is in bins, equal along x and y: directions are those of the world whatever the shape of the map.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse

from analysis.sources import Array

STEP = 0.5  # bins between rings
DEGREES = 3  # between the samples of a ring
SAMPLES = 180 // DEGREES  # on half a circle
REACH = 0.8  # of the shorter side: beyond it few bins overlap
PEAK_LEVEL = 0.2
NARROWEST = 0.9  # bins: the central peak of a lattice with a spacing of 3.5 to 4 bins
BLOCK = 64


class GridScore(NamedTuple):
    """Scores and the annulus that gave them, each of the shape of the stack of autocorrelograms; radii in bins.

    Where a score could not be computed it is NaN, and `reason` says why ("" elsewhere).
    """

    score: Array
    inner: Array
    outer: Array
    reason: Array


class Rings(NamedTuple):
    """Autocorrelograms read on rings: radii `[R]` (bins), samples `[n, R, SAMPLES]`, central peak `[n]` (bins)."""

    radii: Array
    samples: Array
    peak: Array


def grid_score(sacs: npt.ArrayLike, symmetry: int = 60) -> GridScore:
    """Grid scores of autocorrelograms `[..., 2y-1, 2x-1]` for a lattice of 60 or 90 degrees.

    "Not computable": a map that is constant or of which too little was visited; fields narrower than a bin (central
    peak under 1 bin of radius, which a lattice reaches at a spacing of about 4 bins); fields so wide that no annulus
    fits.
    """
    stack = np.asarray(sacs, float)
    if stack.ndim < 2 or not all(side % 2 for side in stack.shape[-2:]):
        raise ValueError(f"a grid score needs autocorrelograms [..., 2y-1, 2x-1], not shape {list(stack.shape)}")
    rings = read_rings(stack.reshape(-1, *stack.shape[-2:]))
    score, outer = sweep(rings, symmetry)
    reason = np.array([_reason(rings, i, np.isfinite(score[i])) for i in range(len(score))], dtype=object)
    fails = reason != ""
    score, outer = np.where(fails, np.nan, score), np.where(fails, np.nan, outer)
    return GridScore(*(part.reshape(stack.shape[:-2]) for part in (score, rings.peak, outer, reason)))


def read_rings(sacs: Array) -> Rings:
    """Read autocorrelograms `[n, 2y-1, 2x-1]` on rings, and find the radius of each central peak (NaN: no end)."""
    radii, weights = _ring_weights(*sacs.shape[-2:])
    flat = sacs.reshape(len(sacs), -1).T
    unknown = np.isnan(flat)
    samples: Array = weights @ np.where(unknown, 0.0, flat)
    if unknown.any():
        samples = np.where(weights @ unknown.astype(float) > 1e-6, np.nan, samples)
    samples = samples.T.reshape(len(sacs), len(radii), SAMPLES)
    return Rings(radii, samples, _central_peak(radii, samples))


def sweep(rings: Rings, symmetry: int) -> tuple[Array, Array]:
    """The best score over outer radii and that radius (bins), `[n]` each; NaN where no annulus fits.

    A peak narrower than one bin counts as one bin here: shuffles are scored whether or not they have fields.
    """
    if symmetry not in (60, 90):
        raise ValueError(f"symmetry {symmetry}: a lattice of 60 or of 90 degrees can be scored")
    best, at = np.full(len(rings.peak), np.nan), np.full(len(rings.peak), np.nan)
    if not len(rings.radii):
        return best, at
    for first in range(0, len(best), BLOCK):
        part = slice(first, first + BLOCK)
        inner = np.maximum(rings.peak[part], 1.0)[:, None]
        samples = np.where((rings.radii >= inner)[..., None], rings.samples[part], np.nan)
        turned = {angle: _turned_correlation(rings.radii, samples, angle) for angle in (symmetry, *_OFF_AXES[symmetry])}
        scores = turned[symmetry] - np.maximum.reduce([turned[angle] for angle in _OFF_AXES[symmetry]])
        known = np.isfinite(rings.samples[part]).mean(-1) >= 0.5
        unbroken = np.logical_and.accumulate(known | (rings.radii < inner), -1)
        width = np.maximum(2.0, inner)
        scores = np.where(unbroken & (rings.radii >= inner + width), scores, np.nan)
        best[part], at[part] = _best_mean(rings.radii, scores, width)
    return best, at


def _best_mean(radii: Array, scores: Array, width: Array) -> tuple[Array, Array]:
    """The largest mean of `scores` `[n, R]` over a span of radii `width` `[n, 1]` (bins), and its middle radius."""
    known = np.isfinite(scores)
    total, count = (
        np.concatenate([np.zeros((len(scores), 1)), np.cumsum(part, -1)], 1)
        for part in (np.where(known, scores, 0), known)
    )
    first = np.arange(len(radii))[None]
    last = first + np.rint(np.nan_to_num(width) / STEP).astype(int)  # radii on both ends of the span belong to it
    inside = np.minimum(last, len(radii) - 1) + 1
    size = last + 1 - first
    means = (np.take_along_axis(total, inside, 1) - total[:, :-1]) / size
    means = np.where(np.take_along_axis(count, inside, 1) - count[:, :-1] == size, means, -np.inf)
    where = means.argmax(1)
    best = means[np.arange(len(means)), where]
    found = np.isfinite(best)
    return np.where(found, best, np.nan), np.where(found, radii[where] + width[:, 0] / 2, np.nan)


_OFF_AXES = {60: (30, 90), 90: (45,)}  # where a lattice agrees least with itself


def grid_spacing(sacs: npt.ArrayLike) -> Array:
    """Spacing of autocorrelograms `[..., 2y-1, 2x-1]`, in bins: median distance of the 6 peaks nearest to the centre.

    A peak is a positive maximum within the radius of the central peak around itself, placed between bins by a parabola
    along x and y. NaN where there are fewer than 6. (A plane wave of a lattice is sqrt(3)/2 of this long.)
    """
    stack = np.asarray(sacs, float)
    flat = stack.reshape(-1, *stack.shape[-2:])
    peaks = read_rings(flat).peak
    spacing = np.array([_spacing(sac, peak) for sac, peak in zip(flat, peaks, strict=True)])
    return spacing.reshape(stack.shape[:-2])


def _spacing(sac: Array, radius: float) -> float:
    if not np.isfinite(radius):
        return float("nan")
    reach = np.arange(-int(max(radius, 1.0)), int(max(radius, 1.0)) + 1)
    disc = np.hypot(*np.meshgrid(reach, reach)) <= max(radius, 1.5)
    values = np.where(np.isnan(sac), -2.0, sac)
    tops = (values == ndimage.maximum_filter(values, footprint=disc, mode="constant", cval=-2.0)) & (values > 0)
    tops[[0, -1]] = tops[:, [0, -1]] = False
    row, column = np.nonzero(tops)
    centre = (np.array(sac.shape) - 1) / 2
    y = row - centre[0] + _vertex(sac[row - 1, column], sac[row, column], sac[row + 1, column])
    x = column - centre[1] + _vertex(sac[row, column - 1], sac[row, column], sac[row, column + 1])
    distance = np.sort(np.hypot(x, y))
    distance = distance[distance > max(radius, 1.0)][:6]
    return float(np.median(distance)) if len(distance) == 6 else float("nan")


def _vertex(before: Array, at: Array, after: Array) -> Array:
    """Where between -1/2 and 1/2 a parabola through three neighbours has its top; 0 where one of them is not known."""
    bend = before - 2 * at + after
    offset = np.divide(before - after, 2 * bend, out=np.zeros_like(at), where=bend < 0)
    vertex: Array = np.clip(np.nan_to_num(offset), -0.5, 0.5)
    return vertex


@lru_cache(maxsize=8)
def _ring_weights(height: int, width: int) -> tuple[Array, sparse.csr_array]:
    """Radii `[R]` and bilinear weights `[R * SAMPLES, height * width]` that read half circles around the centre."""
    centre_y, centre_x = (height - 1) // 2, (width - 1) // 2
    radii = STEP * np.arange(1, int(REACH * min(centre_y, centre_x) / STEP) + 1)
    angle = np.deg2rad(DEGREES * np.arange(SAMPLES))
    y = (centre_y + radii[:, None] * np.sin(angle)).ravel()
    x = (centre_x + radii[:, None] * np.cos(angle)).ravel()
    row, column = np.floor(y).astype(int), np.floor(x).astype(int)
    up, right = y - row, x - column
    corners = [(0, 0, (1 - up) * (1 - right)), (0, 1, (1 - up) * right), (1, 0, up * (1 - right)), (1, 1, up * right)]
    at = np.concatenate([(row + dy) * width + column + dx for dy, dx, _ in corners])
    weight = np.concatenate([w for *_, w in corners])
    point = np.tile(np.arange(len(y)), 4)
    used = weight > 1e-9
    weights = sparse.csr_array((weight[used], (point[used], at[used])), shape=(len(y), height * width))
    return radii, weights


def _central_peak(radii: Array, samples: Array) -> Array:
    """Radius at which the mean over the ring first falls under `PEAK_LEVEL` or first has a minimum, `[n]` (bins)."""
    known = np.isfinite(samples)
    count = known.sum(-1)
    ring = np.divide(np.where(known, samples, 0.0).sum(-1), count, out=np.full(count.shape, np.nan), where=count > 0)
    profile = np.concatenate([np.ones((len(ring), 1)), ring], 1)  # r = 1 at no lag
    radius = np.concatenate([[0.0], radii])
    peak = np.full(len(profile), np.inf)
    under, lowest = profile < PEAK_LEVEL, np.zeros(profile.shape, bool)
    lowest[:, 1:-1] = (profile[:, 1:-1] <= profile[:, :-2]) & (profile[:, 1:-1] < profile[:, 2:])
    for n in np.flatnonzero(under.any(1)):
        i = int(under[n].argmax())
        peak[n] = radius[i] - STEP * (PEAK_LEVEL - profile[n, i]) / (profile[n, i - 1] - profile[n, i])
    at = np.where(lowest.any(1), radius[lowest.argmax(1)], np.inf)
    peak = np.minimum(peak, at)
    return np.where(np.isfinite(peak), peak, np.nan)


def _turned_correlation(radii: Array, samples: Array, angle: int) -> Array:
    """Correlation of rings with themselves turned by `angle`, over all rings up to each radius, `[n, R]`."""
    known = np.isfinite(samples).astype(float)
    a = np.where(known > 0, samples, 0.0)
    b, known_b = (np.roll(part, -angle // DEGREES, -1) for part in (a, known))

    def total(left: Array, right: Array) -> Array:
        """Sum over a ring, times its radius, over all rings up to each."""
        rings: Array = np.cumsum(np.einsum("nrs,nrs->nr", left, right) * radii, -1)
        return rings

    n, sum_a, sum_b = total(known, known_b), total(a, known_b), total(known, b)
    sum_aa, sum_bb, sum_ab = total(a * a, known_b), total(known, b * b), total(a, b)
    var_a, var_b = n * sum_aa - sum_a**2, n * sum_bb - sum_b**2
    good = (var_a > 1e-12 * n**2) & (var_b > 1e-12 * n**2)
    below = np.sqrt(np.where(good, var_a * var_b, 1.0))
    r: Array = np.divide(n * sum_ab - sum_a * sum_b, below, out=np.full(n.shape, np.nan), where=good)
    return r


def _reason(rings: Rings, i: int, scored: bool) -> str:
    reach = rings.radii[-1] if len(rings.radii) else 0.0
    peak = rings.peak[i]
    if not np.isfinite(rings.samples[i]).any():
        return "the map is constant, or too few of its bins were visited"
    if peak < NARROWEST:
        return f"fields narrower than a bin (central peak {peak:.1f} bins; a lattice needs a spacing of about 4)"
    if not scored:
        ends = "does not end" if np.isnan(peak) else f"ends at {peak:.1f}"
        return f"no annulus fits (central peak {ends} of {reach:g} bins): fields too wide, or too little visited"
    return ""
