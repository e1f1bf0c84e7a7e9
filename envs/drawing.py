"""Pictures of worlds: a tile for each place, coloured by its object, and the agent on top."""

import colorsys

import numpy as np
from numpy.typing import NDArray

GOLDEN_RATIO = 0.618034  # successive hues as far apart as can be, however many there are


def colours(objects: NDArray[np.integer]) -> NDArray[np.float64]:
    """The colour of each object [N, 3], 0 to 255."""
    hues = [(int(o) * GOLDEN_RATIO % 1, 0.35 + 0.25 * (int(o) % 2), 0.95) for o in objects]
    return 255 * np.array([colorsys.hsv_to_rgb(*hue) for hue in hues]).reshape(-1, 3)


def draw(
    place: NDArray[np.floating | np.integer],
    objects: NDArray[np.integer],
    tile: NDArray[np.floating],
    agent: tuple[float, float],
    edges: NDArray[np.floating] | None = None,
    pixels: int = 320,
    *,
    walls: NDArray[np.floating] | None = None,
    closed: NDArray[np.floating] | None = None,
    landmarks: NDArray[np.bool_] | None = None,
    goal: NDArray[np.floating] | None = None,
    heading: float | None = None,
    ground: str = "white",
) -> NDArray[np.uint8]:
    """Draw one world.

    Args:
        place: centre of each place [N, 2], cells, y up.
        objects: object on each place [N].
        tile: outline of a place around its centre [k, 2].
        agent: where the agent is (x, y).
        edges: lines between places [E, 2, 2].
        pixels: length of the longer side.
        walls, closed: walls and closed doors, as lines [W, 2, 2].
        landmarks: whether a place holds a landmark [N]: a dark frame.
        goal: where the goal is (x, y): a gold star.
        heading: of an agent that has one, rad: it is drawn as an arrow head.
        ground: colour of what is no place.

    Returns:
        uint8 [height, width, 3].
    """
    # here: matplotlib takes longer to import than all worlds together, and few of them are ever drawn
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.figure import Figure

    margin = 0.06 if walls is not None and len(walls) else 0.0  # for the outer walls' width
    low, high = place.min(axis=0) + tile.min(axis=0) - margin, place.max(axis=0) + tile.max(axis=0) + margin
    lacking = np.maximum((high - low).max() / 20 - (high - low), 0.0)  # the picture of a long path is a strip
    low, high = low - lacking / 2, high + lacking / 2
    size = (high - low) / (high - low).max() * pixels / 100
    figure = Figure(figsize=tuple(size), dpi=100, facecolor=ground)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0), xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    axes.set_axis_off()
    points = 0.72 * pixels / (high - low).max()  # of a cell
    if edges is not None:
        axes.add_collection(LineCollection(list(edges), colors="0.6", linewidths=1, zorder=1))
    tiles = place[:, None] + tile
    axes.add_collection(
        PolyCollection(list(tiles), facecolors=colours(objects) / 255, edgecolors="white", linewidths=1, zorder=2)
    )
    if landmarks is not None and landmarks.any():
        frames = place[landmarks][:, None] + 0.75 * tile
        frame = PolyCollection(list(frames), facecolors="none", edgecolors="0.15", linewidths=0.12 * points, zorder=3)
        axes.add_collection(frame)
    for lines, colour, width, cap in ((walls, "0.35", 0.12, "round"), (closed, "orangered", 0.22, "butt")):
        if lines is not None and len(lines):
            drawn = LineCollection(list(lines), colors=colour, linewidths=width * points, capstyle=cap, zorder=4)
            axes.add_collection(drawn)
    if goal is not None:
        star = {"marker": "*", "s": (0.6 * points) ** 2, "color": "gold", "edgecolors": "0.15", "zorder": 5}
        axes.scatter([goal[0]], [goal[1]], **star)
    body = 0.6 * tile
    if heading is not None:
        arrow = heading + np.array([0.0, 2.5, np.pi, -2.5])  # tip, wing, notch, wing
        body = np.linalg.norm(tile[0]) * np.array([[0.55], [0.55], [0.2], [0.55]])
        body = body * np.stack([np.cos(arrow), np.sin(arrow)], axis=1)
    agents = PolyCollection([np.asarray(agent) + body], facecolors="0.15", edgecolors="white", linewidths=1, zorder=6)
    axes.add_collection(agents)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
