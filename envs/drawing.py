"""Pictures of worlds: a tile for each place, coloured by its object, and the agent on top."""

import colorsys

import numpy as np
from numpy.typing import NDArray

GOLDEN_RATIO = 0.618034  # successive hues as far apart as can be, however many there are


def draw(
    place: NDArray[np.floating | np.integer],
    objects: NDArray[np.integer],
    tile: NDArray[np.floating],
    agent: tuple[float, float],
    edges: NDArray[np.floating] | None = None,
    pixels: int = 320,
) -> NDArray[np.uint8]:
    """Draw one world.

    Args:
        place: centre of each place [N, 2], cells, y up.
        objects: object on each place [N].
        tile: outline of a place around its centre [k, 2].
        agent: where the agent is (x, y).
        edges: lines between places [E, 2, 2].
        pixels: length of the longer side.

    Returns:
        uint8 [height, width, 3].
    """
    # here: matplotlib takes longer to import than all worlds together, and few of them are ever drawn
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.figure import Figure

    low, high = place.min(axis=0) + tile.min(axis=0), place.max(axis=0) + tile.max(axis=0)
    figure = Figure(figsize=tuple((high - low) / (high - low).max() * pixels / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0), xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    axes.set_axis_off()
    if edges is not None:
        axes.add_collection(LineCollection(list(edges), colors="0.6", linewidths=1, zorder=1))
    colours = [colorsys.hsv_to_rgb(int(o) * GOLDEN_RATIO % 1, 0.35 + 0.25 * (int(o) % 2), 0.95) for o in objects]
    tiles = place[:, None] + tile
    axes.add_collection(PolyCollection(list(tiles), facecolors=colours, edgecolors="white", linewidths=1, zorder=2))
    body = np.asarray(agent) + 0.6 * tile
    axes.add_collection(PolyCollection([body], facecolors="0.15", edgecolors="white", linewidths=1, zorder=3))
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
