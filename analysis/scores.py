"""The scores of every cell of a topic, or of a recorded neuron, each beside its own shuffles."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from analysis import sources
from analysis.autocorrelation import BLOCK, autocorrelogram
from analysis.band import band_score
from analysis.border import border_score
from analysis.fields import field_counts
from analysis.files import whole
from analysis.grid import grid_score, grid_spacing, read_rings, sweep
from analysis.information import sparsity, spatial_information
from analysis.maps import Bins, cells_of, mean_maps, module_of, place_index, smooth_maps
from analysis.neuron import Neuron, frame_durations, spike_counts
from analysis.significance import MIN_SHIFT, shuffled_maps, shuffles
from analysis.sources import Array

NAMES = ("grid60", "grid90", "band", "border", "spatial_information", "sparsity", "peak")
LOWER = {"sparsity"}  # remarkable when small
ACTIVE = 1e-3  # of the population's peak: what lies below is numerical dust, a softmax is never quite silent


def scores(
    source: Any,
    topic: str = "mec/g",
    *,
    bins: float | None = None,
    smooth: float = 0.0,
    agent: int | None = 0,
    episode: int | None = 0,
    n: int = 100,
    seed: int = 0,
) -> xr.Dataset:
    """Scores of the active cells of a topic, with their significance; arguments as of `rate_maps`.

    Only active cells are scored, those whose peak activity is above `ACTIVE` = 1/1000 of the population's: a memory of
    a thousand slots is not a thousand cells.
    Over the dimension `cell` (numbered as in the topic; with `module` as in `rate_maps`): `grid60`, `grid90` (see
    `grid_score`), `band` and `border` (see `band_score`, `border_score`), `spacing` (units of the world),
    `spatial_information` (bits/spike), `sparsity`, `peak` (the map's highest value), `mean`, `fields` (their number)
    and `field_share` (of the visited bins, in the largest field), and for each of `NAMES` the `_p`, `_p95` and `_p99`
    of `n` circular time shifts of at least 20 ticks within the chosen episode (for sparsity, where less is more, p
    counts the smaller ones and the percentiles are `_p05` and `_p01`). `not_computable` says which scores are NaN and
    why. With n = 0, or on a record of fewer than 41 ticks, p and percentiles are NaN.

    Raises ValueError as `rate_maps`, and for a negative `n`.
    """
    recording = sources.open_recording(source)
    chosen = sources.select(recording, agent, episode)
    grid = Bins.of(chosen, bins)
    activity = cells_of(chosen, topic)
    peaks = np.abs(activity).max((0, 1), where=np.isfinite(activity), initial=0.0)
    active = np.flatnonzero(peaks > ACTIVE * peaks.max(initial=0.0))
    index = place_index(chosen, grid)
    table = _score(index, activity[..., active], grid, smooth=smooth, n=n, seed=seed, min_shift=MIN_SHIFT)
    variable = sources.signal(recording, topic)
    module = {name: (dim, values[active]) for name, (dim, values) in module_of(variable).items()}
    return table.assign_coords({"cell": active, **module}).assign_attrs(
        topic=topic,
        cells=sources.topics(recording)[topic],
        unit=str(variable.attrs.get("unit", "")),
        cells_in_topic=activity.shape[-1],
        agent="all" if agent is None else agent,
        episode="all" if episode is None else episode,
    )


def neuron_scores(neuron: Neuron, bin: float = 2.5, *, smooth: float = 2.0, n: int = 100, seed: int = 0) -> xr.Dataset:
    """The same of one recorded neuron (`peak` and `mean` in Hz, `spacing` in cm), on the map of `spike_rate_map`.

    Shifts are of at least 20 s, by whole frames. Raises ValueError where only one bin was visited.
    """
    place = np.stack([neuron.x, neuron.y], -1).astype(float)
    grid = Bins.cover(place, bin)
    index = grid.index(place)
    if len(np.unique(index)) < 2:
        raise ValueError(f"{neuron.name}: one bin of {bin:g} cm holds every position: are x and y in cm?")
    duration = frame_durations(neuron.t)
    min_shift = int(np.ceil(MIN_SHIFT / np.median(duration)))
    counts = spike_counts(neuron.t, neuron.spikes)[:, None, None]
    table = _score(
        index[:, None], counts, grid, smooth=smooth, n=n, seed=seed, min_shift=min_shift, duration=duration[:, None]
    )
    return table.assign_attrs(topic=neuron.name, cells="recorded neuron", unit="Hz", cells_in_topic=1)


def to_csv(table: xr.Dataset | list[xr.Dataset], path: str | Path, *, merge: bool = False) -> Path:
    """Write scores, a line a cell with its topic in front, whole or not at all; NaN is an empty field, and so is
    `module` where cells come in none.

    merge: keep the lines of other topics where the file is there and has the same columns; lines are then in the order
    of the topics' names.
    """
    tables = [table] if isinstance(table, xr.Dataset) else table
    path = Path(path)
    columns = [str(name) for name in tables[0].data_vars]
    header, lines = ["topic", "cell", "module", *columns], []
    for part in tables:
        module = part["module"].values.tolist() if "module" in part.coords else [""] * part.sizes["cell"]
        values = [part[name].values.tolist() for name in columns]
        for row in zip(part["cell"].values.tolist(), module, *values, strict=True):
            lines.append([part.attrs["topic"], *("" if value != value else value for value in row)])
    if merge:
        drawn = {part.attrs["topic"] for part in tables}
        lines = sorted(
            [*(line for line in _lines(path, header) if line[0] not in drawn), *lines], key=lambda line: line[0]
        )
    with whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *lines])
    return path


def _lines(path: Path, header: list[str]) -> list[list[str]]:
    """The lines of a table with this header; none where there is no such table."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        first, *lines = [*csv.reader(file)] or [[]]
    return [line for line in lines if line] if first == header else []


def _score(
    index: Array,
    activity: Array,
    grid: Bins,
    *,
    smooth: float,
    n: int,
    seed: int,
    min_shift: int,
    duration: Array | None = None,
) -> xr.Dataset:
    """Scores of `activity` `[T, B, cells]` at the flat bins `index` `[T, B]`."""
    if n < 0:
        raise ValueError(f"{n} shuffles: there must be none (no significance) or more")
    flat = activity.reshape(index.size, -1)
    maps, occupancy = mean_maps(index.ravel(), flat, grid.shape, None if duration is None else duration.ravel())
    mean = _mean(maps, occupancy)
    maps = smooth_maps(maps, smooth)
    score = _scorer(occupancy)
    observed = score(maps)
    reasons, spacing = _grid_verdicts(maps, observed)
    observed["grid60"][reasons != ""] = observed["grid90"][reasons != ""] = np.nan

    columns: dict[str, Array] = {"spacing": np.where(reasons == "", spacing * grid.size, np.nan), "mean": mean}
    columns["fields"], columns["field_share"] = field_counts(maps)
    can_shift = n > 0 and len(index) >= 2 * min_shift + 1 and bool(len(maps))
    drawn = (
        smooth_maps(stack, smooth)
        for stack in shuffled_maps(
            index, activity, grid.shape, n=n if can_shift else 0, seed=seed, min_shift=min_shift, duration=duration
        )
    )
    levels = shuffles(drawn, score, observed, LOWER) if can_shift else {}
    unknown = np.full(len(maps), np.nan)
    for name in NAMES:
        columns[name] = observed[name]
        values = levels.get(name, (unknown, unknown, unknown))
        columns |= dict(zip(columns_of(name)[1:], values, strict=True))
    order = [column for name in NAMES for column in columns_of(name)]
    order += ["spacing", "mean", "fields", "field_share"]
    data = {name: ("cell", columns[name]) for name in order}
    return xr.Dataset(
        data | {"not_computable": ("cell", _why(reasons, observed))},
        coords={"cell": np.arange(len(maps))},
        attrs={"shuffles": n if can_shift else 0, "bin_size": grid.size, "smooth": smooth, "seed": seed},
    )


def columns_of(name: str) -> list[str]:
    """The columns of one score: itself, p, and the two percentiles of its shuffles."""
    return [name, f"{name}_p", *((f"{name}_p05", f"{name}_p01") if name in LOWER else (f"{name}_p95", f"{name}_p99"))]


def _scorer(occupancy: Array) -> Callable[[Array], dict[str, Array]]:
    def score(maps: Array) -> dict[str, Array]:
        grid60, grid90 = np.empty(len(maps)), np.empty(len(maps))
        for first in range(0, len(maps), BLOCK):
            part = slice(first, first + BLOCK)
            rings = read_rings(autocorrelogram(maps[part]))
            grid60[part], grid90[part] = sweep(rings, 60)[0], sweep(rings, 90)[0]
        visited = np.isfinite(maps)
        top = np.where(visited, maps, -np.inf).max((-2, -1), initial=-np.inf)
        return {
            "grid60": grid60,
            "grid90": grid90,
            "band": band_score(maps),
            "border": border_score(maps),
            "spatial_information": spatial_information(maps, occupancy),
            "sparsity": sparsity(maps, occupancy),
            "peak": np.where(visited.any((-2, -1)), top, np.nan),
        }

    return score


def _grid_verdicts(maps: Array, observed: dict[str, Array]) -> tuple[Array, Array]:
    """Why a grid score cannot be computed (`[n]`, "" where it can), and the spacing in bins."""
    reasons, spacing = [np.empty(0, dtype=object)], [np.empty(0)]
    for first in range(0, len(maps), BLOCK):
        sacs = autocorrelogram(maps[first : first + BLOCK])
        reasons.append(grid_score(sacs).reason)
        spacing.append(grid_spacing(sacs))
    return np.concatenate(reasons), np.concatenate(spacing)


def _mean(maps: Array, occupancy: Array) -> Array:
    visited = np.isfinite(maps)
    time = np.where(visited, occupancy, 0.0).sum((-2, -1))
    total = (np.where(visited, maps, 0.0) * occupancy).sum((-2, -1))
    mean: Array = np.divide(total, time, out=np.full(total.shape, np.nan), where=time > 0)
    return mean


def _why(reasons: Array, observed: dict[str, Array]) -> list[str]:
    lines = []
    for i, reason in enumerate(reasons):
        parts = [f"grid score: {reason}"] if reason else []
        if np.isnan(observed["band"][i]):
            parts.append("band: the map is constant, or too few of its bins were visited")
        if np.isnan(observed["border"][i]):
            parts.append("border: the map is constant, or too little of its walls was visited")
        if np.isnan(observed["spatial_information"][i]):
            parts.append("information, sparsity: activity is negative or 0, no rate")
        lines.append("; ".join(parts))
    return lines
