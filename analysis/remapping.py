"""What of a code carries over from one world to the next, and what remaps: rate maps of the same cells in two worlds.

Whittington et al. (2020), Fig. 4G,H and 6. Structural cells keep their maps and the relations between them, whatever
lies in a world; conjunctive cells move elsewhere, yet to where the structural cells that drive them are active, so that
what is at a place's peak in one world foretells what is at its peak in the next (`grid_at_place`).

Maps are as of `rate_maps`, `[cell, y, x]`, of worlds of one size in which the agent began at the same place: a code
that integrates a path tells places by where the path began. Bins that were not visited in both worlds are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from analysis.captions import word
from analysis.scores import ACTIVE
from analysis.sources import Array
from analysis.style import GREY, STYLE, PaperFigure, colours, show, span

Pair: TypeAlias = tuple[xr.DataArray, xr.DataArray]
"""Maps of the same cells in world 1 and in world 2."""

SIDE, GAP, BETWEEN, LEFT, TOP, LINE, HEAD = 0.62, 0.06, 0.3, 0.26, 0.08, 0.14, 0.5  # inches
CONSTANT = 1e-6  # a map that varies by less than this share of its height is flat but for rounding


@dataclass(frozen=True)
class Remapping:
    """What became of the maps of n cells in another world."""

    correlation: Array
    """`[n]`: of each cell's two maps; NaN where one of them is flat."""
    chance: float
    """Mean correlation of the map of one cell with that of another in the other world."""
    structure: float
    """Correlation, over all pairs of cells, of how alike their maps are in world 1 with how alike they are in world 2.
    NaN with fewer than three such pairs."""


@dataclass(frozen=True)
class GridAtPlace:
    """The rate of structural cells at the peaks of place cells, in one world against the other."""

    correlation: float
    """Over all pairs of a structural and a place cell; NaN where there are none, or nothing varies."""
    permuted: Array
    """`[permutations]`: the same where the peaks in world 2 are dealt to other place cells."""


def active_in_both(maps: Pair) -> Pair:
    """The cells whose peak is above `ACTIVE` = 1/1000 of the population's in either world: others have no map."""
    first, second = maps
    if first["cell"].size != second["cell"].size or (first["cell"].values != second["cell"].values).any():
        raise ValueError(
            f"{first.sizes['cell']} cells in world 1 and {second.sizes['cell']} in world 2: give maps of the same cells"
        )
    peaks = np.stack([np.nanmax(np.abs(m.values), axis=(1, 2), initial=0.0) for m in maps])
    active = (peaks > ACTIVE * peaks.max(1, keepdims=True, initial=0.0)).all(0)
    return first[active], second[active]


def map_correlations(first: xr.DataArray, second: xr.DataArray) -> Array:
    """Pearson's correlation of each map `[n, y, x]` with each `[m, y, x]`, `[n, m]`; NaN where either is flat.

    Raises ValueError where fewer than two bins were visited in both.
    """
    a, b = (_standard(values) for values in _common(first, second))
    correlations: Array = a @ b.T / a.shape[1]
    return correlations


def remapping(maps: Pair) -> Remapping:
    """Compare the maps of the same n cells in two worlds. Raises ValueError as `map_correlations`."""
    first, second = maps
    across = map_correlations(first, second)
    same, above = np.eye(len(across), dtype=bool), np.triu_indices(len(across), 1)
    other = across[~same & np.isfinite(across)]
    alike = [map_correlations(m, m)[above] for m in (first, second)]
    return Remapping(across[same], float(other.mean()) if other.size else float("nan"), _correlation(*alike))


def grid_at_place(grid: Pair, place: Pair, *, permutations: int = 1000, seed: int = 0) -> GridAtPlace:
    """Do place cells move to where the same structural cells are active? Of maps `[g, y, x]` and `[p, y, x]`.

    Whittington et al. (2020), Fig. 6: for each structural and each place cell, the structural rate at the place cell's
    peak; its correlation over all pairs between the worlds is 1 where places stay, 0 where they move at random. Each
    structural map is standardised over its bins first, so that a cell which is busy everywhere counts for nothing.
    """
    *rates, first, second = _common(*grid, *place)
    rates = [_standard(values) for values in rates]
    mapped = np.isfinite(rates).all((0, 2))
    at_peak = [r[mapped][:, p.argmax(1)] for r, p in zip(rates, (first, second), strict=True)]  # [g, p]
    products = _unit(at_peak[0]).T @ _unit(at_peak[1])  # [p, p]: what a cell adds if its peak moves to that of another
    rng, own = np.random.default_rng(seed), np.arange(len(products))
    permuted = [products[own, rng.permutation(own)].sum() for _ in range(permutations)]
    if not (mapped.any() and len(own)):
        return GridAtPlace(float("nan"), np.full(permutations, np.nan))
    return GridAtPlace(float(np.trace(products)), np.array(permuted))


def plot_remapping(codes: Mapping[str, Sequence[Pair]], *, cells: int = 5, cmap: str = "viridis") -> PaperFigure:
    """Maps of the same cells in world 1 (above) and world 2 (beneath), a block a code, its populations side by side.

    codes: name -> maps of each population of its cells. Of each, `cells` are drawn that are active in both worlds,
    evenly spaced by number, whatever their correlation `r`, which the title says. The two maps of a cell share their
    colours, from its lowest rate to its highest; bins not visited are white.
    """
    populations = max((len(pairs) for pairs in codes.values()), default=1)
    wide = cells * (SIDE + GAP) + BETWEEN
    tall = HEAD + 2 * (SIDE + GAP) + LINE
    width, height = LEFT + populations * wide, TOP + max(len(codes), 1) * tall + LINE
    with matplotlib.rc_context(STYLE):
        figure = PaperFigure(figsize=(width, height))

        def place(x: float, y: float) -> Axes:
            """Axes of a map, at inches from the left and from the top."""
            return figure.add_axes((x / width, 1 - (y + SIDE) / height, SIDE / width, SIDE / height))

        for i, (name, pairs) in enumerate(codes.items()):
            y = TOP + i * tall
            figure.text(0.05 / width, 1 - (y + 0.08) / height, name, size=8, weight="bold", va="center")
            for k in (0, 1):
                middle = 1 - (y + HEAD + k * (SIDE + GAP) + SIDE / 2) / height
                figure.text(0.14 / width, middle, f"world {k + 1}", size=6, rotation=90, ha="center", va="center")
            for j, pair in enumerate(pairs):
                x = LEFT + j * wide
                shown = active_in_both(pair)
                figure.text(x / width, 1 - (y + 0.24) / height, _about(shown), size=6, color=GREY, va="center")
                _maps(place, x, y + HEAD, shown, cells, cmap)
        note = (
            "above a cell's two maps: its number and their correlation r; mismatched: of one cell's map with another's"
        )
        figure.text(LEFT / width, 0.09 / height, note, size=6, color=GREY, va="center")
    return figure


def _maps(place: Callable[[float, float], Axes], x: float, y: float, pair: Pair, cells: int, cmap: str) -> None:
    correlation = remapping(pair).correlation
    count = len(correlation)
    for column, i in enumerate(np.unique(np.linspace(0, count - 1, min(cells, count)).round().astype(int))):
        both = [m[i] for m in pair]
        low, high = span(np.concatenate([m.values.ravel() for m in both]))
        for k, m in enumerate(both):
            ax = place(x + column * (SIDE + GAP), y + k * (SIDE + GAP))
            extent = (0.0, float(m.sizes["x"]), 0.0, float(m.sizes["y"]))
            show(ax, m.values, extent, cmap=colours(cmap), vmin=low, vmax=high)
            ax.spines[:].set(visible=True, color="0.7")
            if k == 0:
                ax.set_title(f"{int(m['cell'])}: {_r(correlation[i])}", size=6, pad=2)


def _about(pair: Pair) -> str:
    found, about = remapping(pair), pair[0].attrs
    known = found.correlation[np.isfinite(found.correlation)]
    name = about.get("cells") or about.get("topic") or "maps"
    mean = float(known.mean()) if known.size else float("nan")
    return f"{name}: mean {_r(mean)} of {known.size:,} {word(pair[0])}s; mismatched {_r(found.chance)}"


def _r(correlation: float) -> str:
    return f"r {round(correlation, 2) + 0.0:.2f}".replace("-", "−") if np.isfinite(correlation) else "flat"


def _common(*maps: xr.DataArray) -> list[Array]:
    """The values `[n, bins]` of maps in the bins where all of them are known."""
    aligned = xr.align(*maps, join="inner", exclude="cell")
    values = [m.values.reshape(m.shape[0], m.shape[1] * m.shape[2]).astype(float) for m in aligned]
    known = np.logical_and.reduce([np.isfinite(v).all(0) for v in values])
    if known.sum() < 2:
        raise ValueError(f"{int(known.sum())} bins were visited in both worlds: maps of different places, or too few")
    return [v[:, known] for v in values]


def _standard(values: Array) -> Array:
    """Each row `[n, bins]` with mean 0 and variance 1; NaN where it is flat."""
    centred = values - values.mean(1, keepdims=True)
    deviation = centred.std(1, keepdims=True)
    flat = deviation <= CONSTANT * np.abs(values).max(1, keepdims=True, initial=0.0)
    return np.where(flat, np.nan, centred / np.where(flat, 1.0, deviation))


def _correlation(a: Array, b: Array) -> float:
    known = np.isfinite(a) & np.isfinite(b)
    return float((_unit(a[known]) * _unit(b[known])).sum()) if known.sum() > 2 else float("nan")


def _unit(values: Array) -> Array:
    """An array with mean 0 and length 1, so that a product of two is their correlation; NaN where nothing varies."""
    centred = values - (values.mean() if values.size else 0.0)
    length = np.sqrt((centred**2).sum())
    return centred / length if length > 0 else np.full(values.shape, np.nan)
