"""Figures of cells: sheets of rate maps, and the portrait of one recorded neuron."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from analysis import captions
from analysis.autocorrelation import autocorrelogram
from analysis.grid import GridScore, grid_score
from analysis.maps import spike_rate_map
from analysis.neuron import Neuron, nearest_frames
from analysis.scores import LOWER, columns_of
from analysis.sources import Array
from analysis.style import GREY, STYLE, PaperFigure, bare, colours, show, span

SHORT = {
    "grid60": "grid",
    "grid90": "grid90",
    "band": "band",
    "border": "border",
    "spatial_information": "info",
    "sparsity": "sparsity",
    "peak": "peak",
}
COLUMNS = 8
LEFT_SIDE, LEFT, MARGIN, HEAD = 1.38, 1.75, 0.12, 0.77  # inches: left panels and their column, margins, heading
SIDE, SHEET = (0.86, 1.38), 6.9  # inches: the side of a map from .. to, and how wide a sheet of few cells grows


def plot_rate_maps(
    maps: xr.DataArray,
    scores: xr.Dataset | None = None,
    *,
    sort: str = "grid60",
    count: int = 48,
    sac: bool = False,
    path: Array | None = None,
    cmap: str = "viridis",
) -> Figure:
    """A sheet of the best `count` cells of `rate_maps`, with the occupancy beside them.

    scores: of the same cells (`scores`); the sheet is then sorted by the score `sort`, best first, cells without one
    last, and a title reads `cell 17 grid 1.21**`: * = p at most .05, ** = p at most .01 against its own shuffles, which
    takes at least 19 and 99 of them (p = (k + 1) / (n + 1)). Only scored cells are drawn. Without scores all cells are,
    by number. sac: the autocorrelogram (-1 to 1) beneath each map, with the annulus of its grid score. path: the
    trajectory `[T, 2]`, NaN = a break. cmap: any of matplotlib's ("jet" is the custom of the field). Each map has its
    own colour range, written beneath it; unvisited bins are white.
    """
    if scores is not None and sort not in SHORT:
        raise ValueError(f"cannot sort by {sort!r}: choose one of {', '.join(SHORT)}")
    cells = maps["cell"].values if scores is None else _sorted(scores, sort)
    drawn = cells[:count]
    columns = min(COLUMNS, max(len(drawn), 1))
    rows = max(-(-len(drawn) // columns), 1)
    side = float(np.clip(SHEET / columns - MARGIN, *SIDE))
    aspect = float(np.clip(maps.sizes["y"] / maps.sizes["x"], 0.25, 4.0))
    tall = side * aspect
    step = (tall + 0.34) * (2 if sac else 1)
    width = LEFT + max(columns * (side + MARGIN), SHEET * 0.7) + MARGIN
    left_height = (LEFT_SIDE * aspect + 0.3) * (1 if path is None else 2) + 0.5
    height = HEAD + max(rows * step, left_height)
    with matplotlib.rc_context(STYLE):
        figure = PaperFigure(figsize=(width, height))

        def place(x: float, y: float, w: float, h: float) -> Axes:
            """Axes at inches from the left and from the top."""
            return figure.add_axes((x / width, 1 - (y + h) / height, w / width, h / height))

        _heading(figure, maps, scores, sort, len(drawn), len(cells), height)
        _left_column(place, maps, path, cmap, LEFT_SIDE * aspect)
        for i, cell in enumerate(drawn):
            x, y = LEFT + (i % columns) * (side + MARGIN), HEAD + (i // columns) * step
            _map(
                place(x, y + 0.14, side, tall), maps, cell, f"{captions.word(maps)} {_title(cell, scores, sort)}", cmap
            )
            if sac:
                correlogram = autocorrelogram(maps.sel(cell=cell).values)
                ax = place(x, y + 0.14 + tall + 0.16, side, tall)
                _correlogram(ax, correlogram, grid_score(correlogram, 90 if sort == "grid90" else 60), cmap)
        if not len(drawn):
            figure.text((LEFT + MARGIN) / width, 0.5, "no cell was ever active", color=GREY, size=9)
    return figure


def plot_neuron(
    neuron: Neuron, scores: xr.Dataset, *, bin: float = 2.5, smooth: float = 2.0, cmap: str = "viridis"
) -> Figure:
    """A recorded neuron: path and spikes, rate map, autocorrelogram with its annulus; scores in the titles.

    scores: of `neuron_scores` with the same `bin` (cm) and `smooth` (bins); behind each score stands the 99th
    percentile (sparsity: the 1st) of its shuffles.
    """
    maps = spike_rate_map(neuron.x, neuron.y, neuron.t, neuron.spikes, bin, smooth=smooth)
    extent = _extent(maps)
    correlogram = autocorrelogram(maps.values)
    row = {str(name): values[0] for name, values in scores.data_vars.items()}
    with matplotlib.rc_context(STYLE):
        figure = PaperFigure(figsize=(7.2, 2.95))
        axes = [figure.add_axes((0.02 + 0.33 * i, 0.09, 0.27, 0.27 * 7.2 / 2.95)) for i in range(3)]
        figure.text(0.02, 0.955, neuron.name.replace("_", " "), size=9, weight="bold", va="center")
        shifts = f"{scores.attrs['shuffles']} time shifts of at least 20 s"
        smoothing = f"{bin:g} cm bins, Gaussian σ {smooth:g} bins"
        settings = " · ".join(filter(None, (smoothing, shifts, captions.legend(scores.attrs["shuffles"]))))
        figure.text(0.98, 0.955, settings, size=6, color=GREY, ha="right", va="center")

        bare(axes[0])
        axes[0].plot(neuron.x, neuron.y, color="0.7", lw=0.4, rasterized=True, zorder=1)
        at = nearest_frames(neuron.t, neuron.spikes)
        axes[0].scatter(neuron.x[at], neuron.y[at], s=2.5, color="#d62728", alpha=0.6, lw=0, rasterized=True, zorder=2)
        axes[0].set(xlim=extent[:2], ylim=extent[2:])
        seconds = neuron.t[-1] - neuron.t[0]
        axes[0].set_title(f"{len(at):,} spikes in {seconds:.0f} s\nmean {row['mean']:.2f} Hz")
        _scale_bar(axes[0], extent)

        image = show(axes[1], maps.values, extent, cmap=colours(cmap))
        axes[1].set_title(
            f"information {_level(row, 'spatial_information', 'bits/spike')}\nsparsity {_level(row, 'sparsity')}"
        )
        _colour_bar(figure, axes[1], image, [f"{v:.1f}" for v in span(maps.values)], "Hz")

        image = _correlogram(axes[2], correlogram, grid_score(correlogram), cmap)
        spacing = f"spacing {row['spacing']:.1f} cm" if np.isfinite(row["spacing"]) else "no spacing"
        axes[2].set_title(f"grid score {_level(row, 'grid60')}\n{spacing}")
        _colour_bar(figure, axes[2], image, ["−1", "1"], "r")
    return figure


def _sorted(scores: xr.Dataset, sort: str) -> Array:
    values = scores[sort].values * (1 if sort in LOWER else -1)
    best: Array = scores["cell"].values[np.argsort(values, kind="stable")]  # NaN sorts last
    return best


def _title(cell: int, scores: xr.Dataset | None, sort: str) -> str:
    if scores is None:
        return f"{cell}"
    value, p = (float(scores[name].sel(cell=cell)) for name in columns_of(sort)[:2])
    number = f"{value:.2f}" if np.isfinite(value) else "–"
    return f"{cell}  {SHORT[sort]} {number}{captions.stars(p)}"


def _level(row: dict[str, xr.DataArray], name: str, unit: str = "") -> str:
    value, p, _, level99 = (float(row[column]) for column in columns_of(name))
    if not np.isfinite(value):
        return "not computable"
    chance = f" ({'1st' if name in LOWER else '99th'} pct. {level99:.2f})" if np.isfinite(level99) else ""
    return " ".join(f"{value:.2f}{captions.stars(p)} {unit}".split()) + chance


def _heading(
    figure: Figure, maps: xr.DataArray, scores: xr.Dataset | None, sort: str, drawn: int, total: int, height: float
) -> None:
    about = maps.attrs
    x = MARGIN / figure.get_figwidth()
    name = f"{about.get('topic', 'rate maps')}" + (f"   {about['cells']}" if about.get("cells") else "")
    figure.text(x, 1 - 0.17 / height, name, size=10, weight="bold", va="center")
    lines = [captions.what(maps, scores is not None, drawn, total), captions.whose(about)]
    for i, line in enumerate(filter(None, lines)):
        figure.text(x, 1 - (0.36 + 0.15 * i) / height, line, size=7, color=GREY, va="center")
    if scores is not None:
        line = captions.order(scores, sort, about.get("ticks"))
        figure.text(x, 1 - 0.66 / height, line, size=6, color=GREY, va="center")


def _left_column(
    place: Callable[[float, float, float, float], Axes], maps: xr.DataArray, path: Array | None, cmap: str, high: float
) -> None:
    """Occupancy, trajectory, and the colour bar that all maps share."""
    extent, y = _extent(maps), HEAD + 0.14
    occupancy = maps["occupancy"].values
    most = occupancy.max()
    ax = place(MARGIN, y, LEFT_SIDE, high)
    show(ax, np.where(occupancy > 0, occupancy, np.nan), extent, cmap=colours("Greys"), vmin=0, vmax=most)
    _frame(ax)
    ax.set_title(f"occupancy, up to {most:g} ticks", pad=3)
    if path is not None:
        y += high + 0.3
        ax = place(MARGIN, y, LEFT_SIDE, high)
        bare(ax)
        _frame(ax)
        ax.plot(*path.T, color="0.2", lw=0.4, alpha=0.6, rasterized=True)
        ax.plot(*path[np.isfinite(path).all(1)][0], "o", color="#2ca02c", ms=3, mew=0)
        ax.set(xlim=extent[:2], ylim=extent[2:])
        ax.set_title("trajectory (green: start)", pad=3)
    bar = place(MARGIN, y + high + 0.3, LEFT_SIDE, 0.08)
    bar.imshow(np.linspace(0, 1, 256)[None], aspect="auto", cmap=colours(cmap), interpolation="none")
    bar.set_yticks([])
    bar.set_xticks([0, 255], ["min", "max"])
    bar.tick_params(length=0, pad=2)
    lowest, highest = bar.get_xticklabels()
    lowest.set_horizontalalignment("left")
    highest.set_horizontalalignment("right")
    unit = maps.attrs.get("unit") or "activity"
    bar.set_title(f"{unit} (range: beneath each map)", size=6, pad=3, loc="left")


def _map(ax: Axes, maps: xr.DataArray, cell: int, title: str, cmap: str) -> None:
    values = maps.sel(cell=cell).values
    low, high = span(values)
    show(ax, values, _extent(maps), cmap=colours(cmap), vmin=low, vmax=high)
    ax.set_title(title, size=6, pad=2)
    known = values[np.isfinite(values)]
    if known.size:
        low, high = known.min(), known.max()
        low = 0.0 if abs(low) < 1e-3 * abs(high) else low  # a softmax is never quite silent
        ax.set_xlabel(f"{low:.3g} to {high:.3g}", size=5, color=GREY, labelpad=1)


def _correlogram(ax: Axes, correlogram: Array, fit: GridScore, cmap: str) -> matplotlib.image.AxesImage:
    rows, columns = correlogram.shape
    image = show(
        ax, correlogram, (-columns / 2, columns / 2, -rows / 2, rows / 2), cmap=colours(cmap), vmin=-1.0, vmax=1.0
    )
    for radius in (float(fit.inner), float(fit.outer)):
        if np.isfinite(float(fit.outer)):
            ax.add_patch(Circle((0, 0), radius, fill=False, ec="white", lw=0.8))
    return image


def _extent(maps: xr.DataArray) -> tuple[float, float, float, float]:
    half = maps.attrs.get("bin_size", 1.0) / 2
    x, y = maps["x"].values, maps["y"].values
    return x[0] - half, x[-1] + half, y[0] - half, y[-1] + half


def _frame(ax: Axes) -> None:
    for spine in ax.spines.values():
        spine.set(visible=True, color="0.7")


def _scale_bar(ax: Axes, extent: tuple[float, float, float, float]) -> None:
    """A bar of about a quarter of the width, of a round length, beneath the data."""
    wide = extent[1] - extent[0]
    power = 10.0 ** np.floor(np.log10(wide / 4))
    length = power * max(m for m in (1, 2, 2.5, 5) if m * power <= wide / 4 * 1.001)
    y = extent[2] - 0.05 * (extent[3] - extent[2])
    ax.plot([extent[0], extent[0] + length], [y, y], color="black", lw=1.5, solid_capstyle="butt", clip_on=False)
    ax.text(extent[0] + length * 1.1, y, f"{length:g} cm", size=6, va="center")


def _colour_bar(figure: Figure, ax: Axes, image: matplotlib.image.AxesImage, labels: list[str], unit: str) -> None:
    """A thin bar at the right that names only its lowest and highest value, and the unit."""
    box = ax.get_position()
    bar = figure.colorbar(image, cax=figure.add_axes((box.x1 + 0.008, box.y0, 0.01, box.height * 0.4)))
    low, high = image.get_clim()
    bar.set_ticks([low, high], labels=labels)
    bar.ax.tick_params(length=0, pad=2, labelsize=6)
    bar.outline.set_visible(False)
    bar.ax.set_title(unit, size=6, pad=3, loc="left")
