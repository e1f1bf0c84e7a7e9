"""Is a score more than chance? Compared with the same cell's activity, shifted in time against the path.

A circular shift keeps everything about the activity (its rate, bursts and rhythm) and about the path, and breaks only
the tie between them (Langston et al. 2010). A threshold on a score does not carry over from one definition to another;
a percentile of the same score's shuffles does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from analysis.maps import mean_maps
from analysis.sources import Array

MIN_SHIFT = 20  # ticks or seconds, at both ends


class Significance(NamedTuple):
    """p, and the 95th and 99th percentile of the shuffles (5th and 1st where less is more), `[n]` each."""

    p: Array
    percentile95: Array
    percentile99: Array


def circular_shifts(length: int, count: int, minimum: int, rng: np.random.Generator) -> Array:
    """`count` shifts (samples) of a record of `length`, drawn evenly, none nearer than `minimum` to no shift at all.

    Raises ValueError where the record is too short to be shifted.
    """
    if length < 2 * minimum + 1:
        raise ValueError(f"a record of {length} samples is too short for shifts of at least {minimum} at both ends")
    return rng.integers(minimum, length - minimum + 1, size=count)


def shuffled_maps(
    index: Array,
    activity: Array,
    shape: tuple[int, int],
    *,
    n: int = 100,
    seed: int = 0,
    min_shift: int = MIN_SHIFT,
    duration: Array | None = None,
) -> Iterator[Array]:
    """Maps `[cells, y, x]` of `n` shuffles: the activity of each agent shifted in time along its own whole record.

    index: flat bin of each sample, `[T, B]`. activity: `[T, B, cells]`. All cells of an agent are shifted by the same
    amount in one shuffle, which leaves each cell its own `n` draws and keeps the correlations between cells. duration:
    as in `mean_maps`, `[T, B]`. Same seed, same shuffles.
    """
    rng = np.random.default_rng(seed)
    ticks, agents = index.shape
    shifts = circular_shifts(ticks, n * agents, min_shift, rng).reshape(n, agents)
    flat = activity.reshape(ticks * agents, -1)
    for shift in shifts:
        # the path is turned back instead of the activity on: the same maps, and nothing large is copied
        moved = _turn(index, shift)
        yield mean_maps(moved, flat, shape, None if duration is None else _turn(duration, shift))[0]


def _turn(record: Array, shift: Array) -> Array:
    return np.stack([np.roll(record[:, b], -s) for b, s in enumerate(shift)], 1).ravel()


def shuffles(
    maps: Iterator[Array], scores: Callable[[Array], dict[str, Array]], observed: dict[str, Array], lower: set[str]
) -> dict[str, Significance]:
    """The significance of each observed score `[n]` against the scores of shuffled `maps`.

    `lower` names the scores that are remarkable when small.
    """
    drawn: dict[str, list[Array]] = {name: [] for name in observed}
    for stack in maps:
        for name, values in scores(stack).items():
            drawn[name].append(values)
    return {name: significance(observed[name], np.stack(drawn[name]), lower=name in lower) for name in observed}


def significance(observed: Array, drawn: Array, *, lower: bool = False) -> Significance:
    """`observed` `[n]` against `drawn` `[shuffles, n]`: p = (k + 1) / (m + 1), k of m shuffles at least as extreme.

    (Phipson & Smyth 2010, Stat Appl Genet Mol Biol 9:39.) Shuffles that are NaN are left out of m. NaN where the
    observed score is NaN or no shuffle could be scored.
    """
    sign = -1.0 if lower else 1.0
    m = np.isfinite(drawn).sum(0)
    k = (sign * drawn >= sign * observed).sum(0)  # NaN is at least nothing
    p = np.where(np.isfinite(observed) & (m > 0), (k + 1) / (m + 1), np.nan)
    percentiles = np.full((2, *observed.shape), np.nan)
    percentiles[:, m > 0] = sign * np.nanpercentile(sign * drawn[:, m > 0], [95, 99], axis=0)
    return Significance(p, *percentiles)
