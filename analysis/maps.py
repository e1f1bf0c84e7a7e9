"""Rate maps: how active a cell was, on average, in each bin of the world.

`rate_maps` works on recordings, `spike_rate_map` on the spikes of a neuron; both end in `mean_maps`, and both smooth
after division. Maps are arrays `[..., y, x]` with y upwards; bins that were never visited are NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy import ndimage, sparse

from analysis import sources
from analysis.neuron import frame_durations, spike_counts
from analysis.sources import Array

MAX_BINS = 4_000_000
BIN = 2.5  # cm, of recorded neurons and of worlds in m


@dataclass(frozen=True)
class Bins:
    """Square bins that cover the visited world: their edges along x and y, in units of the world."""

    x_edges: Array
    y_edges: Array

    @classmethod
    def cover(cls, place: Array, size: float | None = None) -> Bins:
        """Bins of `size` (default: one unit of the world) around every place `[..., 2]`.

        Where all places are whole numbers (grid worlds), they are the centres of unit bins: edges at k - 1/2. Elsewhere
        edges are whole multiples of `size`. Raises ValueError for a size that is not positive or no finite place.
        """
        size = 1.0 if size is None else float(size)
        if not (np.isfinite(size) and size > 0):
            raise ValueError(f"bin size {size}: it must be a positive number, in units of the world")
        known = place.reshape(-1, 2)[np.isfinite(place.reshape(-1, 2)).all(1)].astype(float)
        if not len(known):
            raise ValueError("there is no finite place to make bins around")
        low, high = known.min(0), known.max(0)
        if np.allclose(known, np.rint(known), rtol=0, atol=1e-4):
            first, last = np.rint(low) - 0.5, np.rint(high) + 0.5
        else:
            first, last = np.floor(low / size) * size, high
        counts = np.maximum(np.ceil((last - first) / size - 1e-9).astype(int), 1)
        if counts.prod() > MAX_BINS:
            raise ValueError(f"bin size {size} makes {counts[0]} x {counts[1]} bins of this world: choose a larger one")
        x_edges, y_edges = (first[i] + size * np.arange(counts[i] + 1) for i in (0, 1))
        return cls(x_edges, y_edges)

    @classmethod
    def of(cls, recording: xr.Dataset, size: float | None = None) -> Bins:
        """Bins of `size` around every place of a recording; default: 2.5 where they are in cm, else as `cover`."""
        size = BIN if size is None and sources.place_unit(recording) == "cm" else size
        return cls.cover(recording[sources.PLACE].values, size)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows (y) and columns (x)."""
        return len(self.y_edges) - 1, len(self.x_edges) - 1

    @property
    def size(self) -> float:
        """Side of a bin, in units of the world."""
        return float(self.x_edges[1] - self.x_edges[0])

    @property
    def centres(self) -> dict[str, Array]:
        """Centres of the bins along y and x, as coordinates of a map."""
        return {"y": (self.y_edges[1:] + self.y_edges[:-1]) / 2, "x": (self.x_edges[1:] + self.x_edges[:-1]) / 2}

    def index(self, place: Array) -> Array:
        """The flat bin (row * columns + column) of each place, `[..., 2] -> [...]`; -1 outside or where not finite."""
        rows, columns = self.shape
        column, row = _bin(place[..., 0], self.x_edges), _bin(place[..., 1], self.y_edges)
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        return np.where(inside, row * columns + column, -1)


def _bin(value: Array, edges: Array) -> Array:
    at = np.searchsorted(edges, np.where(np.isfinite(value), value, edges[0] - 1), side="right") - 1
    return np.where(value == edges[-1], len(edges) - 2, at)  # the last bin holds its upper edge


def binned_sum(index: Array, activity: Array, count: int) -> Array:
    """Sum of `activity` `[T, n]` over the samples of each bin `[count, n]`; `index` `[T]`, -1 = in no bin."""
    at = np.flatnonzero(index >= 0)
    where = sparse.csr_array((np.ones(len(at)), (index[at], at)), shape=(count, len(index)))
    total: Array = where @ activity
    return total


def mean_maps(
    index: Array, activity: Array, shape: tuple[int, int], duration: Array | None = None
) -> tuple[Array, Array]:
    """Mean activity in each bin, `[n, y, x]`, and the occupancy, `[y, x]`.

    index: flat bin of each sample, `[T]` (-1 = none). activity: `[T, n]`, NaN = not known. duration: `[T]` seconds that
    each sample stands for, where `activity` counts events (the maps are then rates in Hz); else each counts one tick.
    """
    count, kept = shape[0] * shape[1], index >= 0
    weights = None if duration is None else duration[kept]
    occupancy = np.bincount(index[kept], weights=weights, minlength=count).astype(float)
    known = np.isfinite(activity)
    below = occupancy[:, None]
    if not known.all():
        below = binned_sum(index, known * (1.0 if duration is None else duration[:, None]), count)
        activity = np.where(known, activity, 0.0)
    total = binned_sum(index, activity, count)
    maps = np.divide(total, below, out=np.full(total.shape, np.nan), where=below > 0)
    return maps.T.reshape(-1, *shape), occupancy.reshape(shape)


def smooth_maps(maps: Array, sigma: float, *, zero_filled: bool = False) -> Array:
    """Maps `[..., y, x]` smoothed with a Gaussian of `sigma` bins, blind to unvisited bins, which stay NaN.

    The kernel is normalised by what it saw: G(v m) / G(m), m = 1 where visited (Nadaraya-Watson). `zero_filled` instead
    lets unvisited bins enter as zeros, as several packages do: rates beside holes come out too low. Borders reflect.
    """
    if sigma < 0:
        raise ValueError(f"smoothing of {sigma} bins: it must not be negative")
    if sigma == 0:
        return maps
    visited = np.isfinite(maps)
    width = [0.0] * (maps.ndim - 2) + [sigma, sigma]
    smoothed = ndimage.gaussian_filter(np.where(visited, maps, 0.0), width, mode="reflect")
    if not zero_filled:
        seen = ndimage.gaussian_filter(visited.astype(float), width, mode="reflect")
        smoothed = np.divide(smoothed, seen, out=np.full(maps.shape, np.nan), where=visited)
    return np.where(visited, smoothed, np.nan)


def rate_maps(
    source: Any,
    topic: str = "mec/g",
    *,
    bins: float | None = None,
    smooth: float = 0.0,
    agent: int | None = 0,
    episode: int | None = 0,
) -> xr.DataArray:
    """Rate maps of every cell of a topic, `[cell, y, x]`: its mean activity in each bin, NaN where no tick was spent.

    source: whatever `open_recording` takes. bins: side of a bin in units of the world (default 1: one cell of a grid
    world; 2.5 where places are in cm). smooth: sigma of a Gaussian, in bins (NaN-aware, after division). agent,
    episode: by default the first of the first, cut where `env.start` says; None pools all of them, which means
    something only where they share one world and one code (an agent that starts a life anew at another place has other
    phases and other memory slots).

    The coordinate `occupancy` `[y, x]` counts the ticks; `x` and `y` are the centres of the bins; `module` `[cell]` is
    the number of each cell's module, where the topic says that its cells come in modules. Attributes: topic,
    cells (the population), unit, bin_size, place_unit, smooth, agent, agents (how many were recorded), episode,
    episodes (how many the agent lived, or all of them where agent is None), ticks, run (which agent, world and seed).

    Raises ValueError: no such topic, agent or episode, a bin size that cannot be.
    """
    recording = sources.open_recording(source)
    variable = sources.signal(recording, topic)
    chosen = sources.select(recording, agent, episode)
    grid = Bins.of(chosen, bins)
    activity = cells_of(chosen, topic)
    maps, occupancy = mean_maps(place_index(chosen, grid).ravel(), activity.reshape(-1, activity.shape[-1]), grid.shape)
    return xr.DataArray(
        smooth_maps(maps, smooth),
        dims=("cell", "y", "x"),
        coords={
            "cell": np.arange(len(maps)),
            **module_of(variable),
            **grid.centres,
            "occupancy": (("y", "x"), occupancy),
        },
        name="rate",
        attrs={
            "topic": topic,
            "cells": str(variable.attrs.get("cells", "")),
            "unit": str(variable.attrs.get("unit", "")),
            "bin_size": grid.size,
            "place_unit": sources.place_unit(recording),
            "smooth": smooth,
            "agent": "all" if agent is None else agent,
            "agents": recording.sizes["agent"],
            "episode": "all" if episode is None else episode,
            "episodes": sources.episodes(sources.select(recording, agent)),
            "ticks": chosen.sizes["tick"],
            "run": sources.describe(recording),
        },
    )


def cells_of(recording: xr.Dataset, topic: str) -> Array:
    """The activity on a topic, `[T, B, n]`, its own dimensions laid out as one row of cells."""
    values = sources.signal(recording, topic).values
    values = values.reshape(*values.shape[:2], -1)
    return values if values.dtype == np.float32 else values.astype(float)


def module_of(variable: xr.DataArray) -> dict[str, tuple[str, Array]]:
    """The coordinate `module` `[cell]` of a topic whose attribute `modules` gives the sizes of its modules; else none.

    Raises ValueError where these are not as many cells as there are.
    """
    sizes = np.atleast_1d(np.asarray(variable.attrs.get("modules", ()), int))
    if not sizes.size:
        return {}
    cells = int(np.prod(variable.shape[2:]))
    if sizes.sum() != cells:
        raise ValueError(
            f"{variable.name} has {cells} cells, its modules ({', '.join(map(str, sizes))}) have {sizes.sum()}: "
            "correct its attribute `modules`"
        )
    return {"module": ("cell", np.repeat(np.arange(len(sizes)), sizes))}


def place_index(recording: xr.Dataset, grid: Bins) -> Array:
    """The flat bin that each agent was in, `[T, B]`."""
    return grid.index(recording[sources.PLACE].values.astype(float))


def spike_rate_map(
    x: Array,
    y: Array,
    t: Array,
    spikes: Array,
    bin: float = BIN,
    *,
    smooth: float = 2.0,
    zero_filled: bool = False,
) -> xr.DataArray:
    """Rate map of a recorded neuron, `[y, x]` in Hz, with the occupancy in s as a coordinate.

    x, y: position at each frame, `[T]` (cm); t: time of the frames, `[T]` (s); spikes: times of the spikes (s), each
    given to the nearest frame. bin: side of a bin (cm); smooth: sigma of a Gaussian in bins, after division, NaN-aware
    unless `zero_filled` (see `smooth_maps`).
    """
    place = np.stack([x, y], -1).astype(float)
    grid = Bins.cover(place, bin)
    maps, occupancy = mean_maps(grid.index(place), spike_counts(t, spikes)[:, None], grid.shape, frame_durations(t))
    return xr.DataArray(
        smooth_maps(maps, smooth, zero_filled=zero_filled)[0],
        dims=("y", "x"),
        coords={**grid.centres, "occupancy": (("y", "x"), occupancy)},
        name="rate",
        attrs={"unit": "Hz", "bin_size": grid.size, "place_unit": "cm", "smooth": smooth},
    )
