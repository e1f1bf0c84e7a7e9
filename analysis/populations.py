"""Populations side by side: of each its most grid-, band- and border-like cells, and the share that each class has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from analysis.autocorrelation import autocorrelogram
from analysis.captions import legend, stars
from analysis.classes import classes, shares
from analysis.grid import grid_score
from analysis.sources import Array
from analysis.style import GREY, STYLE, PaperFigure, colours, show, span

BEST = {"grid60": 2, "band": 1, "border": 1}
"""How many cells are drawn, the best by each score; place cells (`hc/*`), and what else has none, by information."""
SHORT = {"grid60": "grid", "band": "band", "border": "border", "spatial_information": "info"}
COLUMNS = 3
SIDE, GAP, TOP, HEAD, FOOT, BETWEEN = 0.62, 0.09, 0.5, 0.42, 0.3, 0.25  # inches


def plot_populations(
    populations: Mapping[str, tuple[xr.DataArray, xr.Dataset]], *, cmap: str = "viridis"
) -> PaperFigure:
    """A page of populations by name, each its `rate_maps` and its `scores` (of 99 shuffles or more).

    Each cell's map, its score in the title (* p at most .05, ** p at most .01 against its own shuffles), stands above
    its autocorrelogram with the annulus of its grid score, and that above the classes that the cell belongs to. Each
    map has its own range of colours; autocorrelograms run from -1 to 1. Unvisited bins are white.
    """
    drawn, columns = sum(BEST.values()), min(COLUMNS, len(populations))
    wide, tall = drawn * (SIDE + GAP), HEAD + 2 * SIDE + FOOT
    width = columns * (wide + BETWEEN) + GAP
    height = TOP + -(-len(populations) // columns) * tall
    with matplotlib.rc_context(STYLE):
        figure = PaperFigure(figsize=(width, height))

        def write(x: float, y: float, text: str, **kwargs: Any) -> None:
            figure.text(x / width, 1 - y / height, text, va="center", **kwargs)

        def place(x: float, y: float) -> Axes:
            return figure.add_axes((x / width, 1 - (y + SIDE) / height, SIDE / width, SIDE / height))

        shuffles = min(table.attrs["shuffles"] for _, table in populations.values())
        write(GAP, 0.14, "Rate maps (own colour range each) above autocorrelograms (−1 to 1) and classes", size=8)
        write(GAP, 0.3, f"{legend(shuffles)} against the cell's own {shuffles} time shifts", size=6, color=GREY)
        for i, (name, (maps, table)) in enumerate(populations.items()):
            x, y = GAP + (i % columns) * (wide + BETWEEN), TOP + (i // columns) * tall
            write(x, y + 0.05, name, size=7, weight="bold")
            write(x, y + 0.19, _shares(table), size=5.5, color=GREY)
            for column, (score, cell) in enumerate(_best(table, drawn)):
                left, one = x + column * (SIDE + GAP), table.sel(cell=[cell])
                values = maps.sel(cell=cell).values
                _map(place(left, y + HEAD), values, f"{SHORT[score]} {_value(one, score)}", cmap)
                _correlogram(place(left, y + HEAD + SIDE + 0.03), values, _classes(one), cmap)
    return figure


def _best(table: xr.Dataset, drawn: int) -> list[tuple[str, int]]:
    """The score by which a cell is drawn, and its number; each cell once."""
    chosen: dict[int, str] = {}
    best = {} if table.attrs["topic"].startswith("hc/") else BEST
    for score, count in {**best, "spatial_information": drawn}.items():
        ranked = table["cell"].values[np.argsort(-table[score].values, kind="stable")]
        known = set(table["cell"].values[np.isfinite(table[score].values)].tolist())
        left = [cell for cell in ranked.tolist() if cell in known and cell not in chosen]
        chosen |= dict.fromkeys(left[: min(count, drawn - len(chosen))], score)
    return [(score, cell) for cell, score in chosen.items()]


def _shares(table: xr.Dataset) -> str:
    found = shares(table)
    told = [f"{name} {100 * share:.0f}" if np.isfinite(share) else f"{name} –" for name, share in found.items()]
    return f"% of {table.sizes['cell']:,}: {', '.join(told)}"


def _value(one: xr.Dataset, score: str) -> str:
    return f"{float(one[score][0]):.2f}{stars(float(one[f'{score}_p'][0]))}".replace("-", "−")


def _classes(one: xr.Dataset) -> str:
    """The classes of one cell; "hexagonal" says "grid", too."""
    found = [str(name) for name, member in classes(one).data_vars.items() if bool(member[0])]
    return ", ".join(name for name in found if name != "grid" or "hexagonal" not in found)


def _map(ax: Axes, values: Array, title: str, cmap: str) -> None:
    low, high = span(values)
    show(ax, values, (0, values.shape[1], 0, values.shape[0]), cmap=colours(cmap), vmin=low, vmax=high)
    ax.set_title(title, size=6, pad=2)


def _correlogram(ax: Axes, values: Array, beneath: str, cmap: str) -> None:
    correlogram = autocorrelogram(values)
    rows, columns = correlogram.shape
    extent = (-columns / 2, columns / 2, -rows / 2, rows / 2)
    show(ax, correlogram, extent, cmap=colours(cmap), vmin=-1.0, vmax=1.0)
    fit = grid_score(correlogram)
    if np.isfinite(float(fit.outer)):
        for radius in (float(fit.inner), float(fit.outer)):
            ax.add_patch(Circle((0, 0), radius, fill=False, ec="white", lw=0.6))
    ax.set_xlabel(beneath, size=6, labelpad=2)
