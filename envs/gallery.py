"""Thumbnails of worlds, one by one and on a sheet."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import envs

SHOWN: dict[str, dict[str, Any]] = {
    "cogarch/Square-v0": {"landmarks": 3, "goal": True},
    "cogarch/Hex-v0": {"body": "egocentric"},
    "cogarch/Rooms-v0": {"closed": 1},
    "cogarch/Arena-v0": {"trajectory": "smooth"},
}
"""Settings that show what a world can do, where its own do not."""


def picture(env_id: str, *, seed: int = 3, settings: Mapping[str, Any] | None = None) -> NDArray[np.uint8]:
    """A world as it begins with this seed, uint8 [height, width, 3]."""
    settings = SHOWN.get(envs.full_id(env_id), {}) if settings is None else settings
    world = envs.make(env_id, 1, render_mode="rgb_array", **settings)
    world.reset(seed=seed)
    frames = world.render()
    world.close()
    assert frames is not None
    return frames[0]


def write_pictures(folder: Path, env_ids: Iterable[str] | None = None) -> list[Path]:
    """Write `NAME.png` for each of our worlds, and a sheet for each family of worlds; returns the paths.

    env_ids: those to draw; None: all that run.
    """
    from matplotlib.image import imsave  # here, like all of matplotlib: few who make worlds draw them

    folder.mkdir(parents=True, exist_ok=True)
    families: dict[str, dict[str, NDArray[np.uint8]]] = {}
    for env_id in envs.catalogue() if env_ids is None else env_ids:
        family, _, name = env_id.partition("/" if env_id in envs.WORLDS else "-")
        families.setdefault(family, {})[name] = picture(env_id)
    written = []
    for name, frame in families.get("cogarch", {}).items():
        written.append(folder / f"{name}.png")
        imsave(written[-1], frame)
    for family, frames in families.items():
        written.append(folder / f"{family}.png")
        _sheet(written[-1], frames, columns=7 if family == "cogarch" else 8)
    return written


def _sheet(path: Path, frames: Mapping[str, NDArray[np.uint8]], columns: int) -> None:
    """Many worlds on one sheet, each with its name."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(frames) // columns)
    figure = Figure(figsize=(1.5 * columns, 1.62 * rows), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, (name, frame) in zip(axes, frames.items(), strict=False):
        axis.imshow(frame)
        axis.set_title(_folded(name), fontsize=6, pad=2)
    figure.savefig(path)


def _folded(name: str, width: int = 20) -> str:
    """A long name on two lines, parted at a hyphen near its middle where there is one."""
    if len(name) <= width:
        return name
    cuts: Sequence[int] = [i + 1 for i, c in enumerate(name) if c == "-"] or [len(name) // 2]
    cut = min(cuts, key=lambda i: abs(i - len(name) / 2))
    return f"{name[:cut]}\n{name[cut:]}"
