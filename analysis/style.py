"""How figures look, and how they are saved: for a paper, with text that can be edited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from analysis.files import whole
from analysis.sources import Array

STYLE: dict[Any, Any] = {
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.linewidth": 0.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "cogarch",  # same figure, same file
    "pdf.fonttype": 42,
}
GREY = "0.4"
FORMATS: dict[str, dict[str, Any]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


class PaperFigure(Figure):
    """A matplotlib figure that saves text as text, at 300 dpi, whatever the settings of the session."""

    def savefig(self, *args: Any, **kwargs: Any) -> None:
        """As `matplotlib.figure.Figure.savefig`."""
        with matplotlib.rc_context(STYLE):
            super().savefig(*args, **({"dpi": 300} | kwargs))


def save_figure(figure: Figure, stem: Path) -> list[Path]:
    """Save as `stem.png` (300 dpi), `.svg` and `.pdf`, each whole or not at all; the folder is made where missing."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in FORMATS]
    for path, (kind, metadata) in zip(paths, FORMATS.items(), strict=True):
        with whole(path) as temporary:
            figure.savefig(temporary, format=kind, metadata=metadata, dpi=300)
    return paths


def colours(name: str) -> Colormap:
    """A colour map in which what was never visited is white."""
    return matplotlib.colormaps[name].with_extremes(bad="white")


def show(ax: Axes, values: Array, extent: tuple[float, float, float, float], **kwargs: Any) -> AxesImage:
    """Draw an array `[y, x]` with y upwards, bins square and unblurred, and no ticks."""
    bare(ax)
    return ax.imshow(values, origin="lower", interpolation="none", extent=extent, aspect="equal", **kwargs)


def bare(ax: Axes) -> None:
    """No ticks and no frame: the data alone, in equal axes."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_aspect("equal")
    for spine in ax.spines.values():
        spine.set_visible(False)


def span(values: Array) -> tuple[float, float]:
    """Lowest and highest known value, apart even where all are the same (colours need a range)."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    return (low, high) if high > low else (low, low + 1.0)
