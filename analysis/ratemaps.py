"""What `cogarch ratemaps` writes: the sheet of every topic with cells, or the portrait of a recorded neuron."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from analysis import sources
from analysis.figures import plot_neuron, plot_rate_maps
from analysis.maps import rate_maps
from analysis.neuron import load_neuron
from analysis.scores import neuron_scores, scores, to_csv
from analysis.style import save_figure


def write_ratemaps(
    source: Any,
    topic: str | None = None,
    out: str | Path | None = None,
    *,
    episode: int | None = 0,
    shuffles: int = 100,
    seed: int = 0,
) -> list[Path]:
    """Draw rate maps and write scores; the files written, `scores.csv` last.

    source: a recording (see `open_recording`), or a `.npz` file of a recorded neuron (see `load_neuron`). topic: draw
    this one, neural or not; default: every topic with cells, by name, but those that say what an earlier one said (a
    code without correction is its own path integration). Of each, all active cells of the first agent in one `episode`
    (None pools all) are scored against `shuffles` time shifts, and the best 48 drawn, by grid score for `mec/*` and by
    spatial information elsewhere. Writes `<topic>.png`, `.svg`, `.pdf` and one `scores.csv` into `out`; default:
    `figures` in the run's folder, `<stem>_figures` beside a `.npz`. In a `scores.csv` that is there, the lines of other
    topics stay.

    Raises FileNotFoundError, ValueError (what `open_recording`, `load_neuron` and `scores` say), OSError.
    """
    if isinstance(source, str | Path) and Path(source).suffix == ".npz":
        if topic or episode:
            raise ValueError(f"{source} holds one neuron, no topics and no episodes: leave out {topic or episode!r}")
        return _write_neuron(Path(source), out, shuffles, seed)
    recording = sources.open_recording(source)
    folder = _folder(source, out)
    names = [topic] if topic else _told_once(sources.select(recording, 0, episode))
    if not names:
        held = ", ".join(sources.topics(recording))
        raise ValueError(f"no topic of this recording has cells: name the one to draw. It holds {held}")
    written, tables = [], []
    for name in names:
        table = scores(recording, name, episode=episode, n=shuffles, seed=seed)
        maps, path = rate_maps(recording, name, episode=episode), sources.path(recording, episode=episode)
        figure = plot_rate_maps(maps, table, sort=_sort(name, table), path=path)
        written += save_figure(figure, folder / name.replace("/", "."))
        tables.append(table)
    return [*written, to_csv(tables, folder / "scores.csv", merge=True)]


def _write_neuron(file: Path, out: str | Path | None, shuffles: int, seed: int) -> list[Path]:
    neuron = load_neuron(file)
    table = neuron_scores(neuron, n=shuffles, seed=seed)
    folder = Path(out) if out else file.with_name(f"{file.stem}_figures")
    written = save_figure(plot_neuron(neuron, table), folder / file.stem)
    return [*written, to_csv(table, folder / "scores.csv", merge=True)]


def _told_once(recording: xr.Dataset) -> list[str]:
    """The topics with cells, by name, without those whose values are those of one before."""
    names: list[str] = []
    for name in sorted(name for name, cells in sources.topics(recording).items() if cells):
        said = sources.signal(recording, name)
        before = (sources.signal(recording, other) for other in names)
        if not any(said.shape == it.shape and np.array_equal(said, it, equal_nan=True) for it in before):
            names.append(name)
    return names


def _sort(topic: str, table: xr.Dataset) -> str:
    """The score to sort by: the first of those that suit the topic which any cell has."""
    first = "grid60" if topic.startswith("mec/") else "spatial_information"
    return next((name for name in (first, "grid60", "peak") if np.isfinite(table[name]).any()), first)


def _folder(source: Any, out: str | Path | None) -> Path:
    if out:
        return Path(out)
    where = source if isinstance(source, str | Path) else getattr(source, "recording", None)
    if not isinstance(where, str | Path):
        raise ValueError("a dataset has no folder of its own: say where to write with `out`")
    where = Path(where)
    return (where.parent if where.suffix == ".zarr" else where) / "figures"
