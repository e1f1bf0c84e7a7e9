"""Where signals come from: recordings of runs, as xarray datasets.

A recording is a zarr store whose variables are named after topics (`mec.g` holds the topic `mec/g`), with dimensions
`("tick", "agent", ...)`; `env.place` holds where each agent was, in the unit of the attribute `place_unit`. Any dataset
of this form will do: nothing here knows how it was made.
"""

from __future__ import annotations

import difflib
import os
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

Array: TypeAlias = npt.NDArray[Any]

PLACE, START = "env.place", "env.start"
GOOD_PART = "`cogarch ratemaps` with the run's folder draws the good part, `cogarch.recording.open_recording` opens it"


def open_recording(source: Any) -> xr.Dataset:
    """The recording of a run, cut to the ticks that were committed.

    `source`: an `xr.Dataset`, the path of a zarr store, the path of a run's folder (which holds `recording.zarr`), or
    an object whose attribute `recording` is one of these. Places in m come out in cm. To look at a part of a run, pass
    `open_recording(run).isel(tick=slice(a, b))` wherever a source is asked for.

    Raises FileNotFoundError where there is nothing, ValueError where what is there is no recording, or a recording of
    cogarch that has lost files.
    """
    if isinstance(source, xr.Dataset):
        return _committed(source, "this dataset")
    if isinstance(source, str | Path):
        return _committed(_open_zarr(Path(source)), str(source))
    inner = getattr(source, "recording", None)
    if inner is None:
        raise ValueError(
            f"{type(source).__name__} is no source of recordings: give a path, an xarray.Dataset, "
            "or an object with a `recording`"
        )
    return open_recording(inner)


def topics(recording: xr.Dataset) -> dict[str, str]:
    """Each topic of a recording and the population of cells that it stands for ("" = not neural)."""
    return {_topic(v): str(v.attrs.get("cells", "")) for v in recording.data_vars.values() if "tick" in v.dims}


def signal(recording: xr.Dataset, topic: str) -> xr.DataArray:
    """The variable of a topic, `[tick, agent, ...]`. Raises ValueError with the nearest names where there is none."""
    for variable in recording.data_vars.values():
        if "tick" in variable.dims and _topic(variable) == topic:
            return variable
    known = topics(recording)
    near = difflib.get_close_matches(topic, known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    neural = ", ".join(name for name, cells in known.items() if cells) or "none"
    raise ValueError(
        f"no topic {topic!r} in this recording.{hint} Topics with cells: {neural}. All: {', '.join(known)}."
    )


def select(recording: xr.Dataset, agent: int | None, episode: int | None = None) -> xr.Dataset:
    """The recording of one agent (of all, where None) in one episode (in all), keeping the dimension `agent`.

    Episodes begin where `env.start` of the agent is true, the first with the recording. Raises ValueError where there
    is no such agent or episode, and for an episode of agents that begin theirs at different ticks.
    """
    count = recording.sizes["agent"]
    if agent is not None:
        if not 0 <= agent < count:
            raise ValueError(f"agent {agent} is not in this recording: it holds agents 0 to {count - 1}")
        recording = recording.isel(agent=slice(agent, agent + 1))
    if episode is None:
        return recording
    starts = _starts(recording)[1:]
    if (starts != starts[:, :1]).any():
        raise ValueError(
            "the agents begin their episodes at different ticks: choose one agent, or pool with episode=None"
        )
    bounds = [0, *(np.flatnonzero(starts[:, 0]) + 1).tolist(), recording.sizes["tick"]]
    last = len(bounds) - 2
    if not 0 <= episode <= last:
        whose = "of this recording" if agent is None else f"of agent {agent}"
        raise ValueError(
            f"episode {episode} {whose} does not exist: there are episodes 0 to {last}, and None pools them"
        )
    return recording.isel(tick=slice(bounds[episode], bounds[episode + 1]))


def path(source: Any, agent: int = 0, episode: int | None = 0) -> Array:
    """Where one agent went in one episode, `[T, 2]` in units of the world.

    With `episode` None, in all of them: a row of NaN before each new one breaks the line.
    """
    recording = select(open_recording(source), agent, episode)
    place = recording[PLACE].values[:, 0].astype(float)
    return np.insert(place, np.flatnonzero(_starts(recording)[1:, 0]) + 1, np.nan, axis=0)


def place_unit(recording: xr.Dataset) -> str:
    """The unit of places: the dataset's `place_unit`, else the unit of `env/place`, else cells of the world."""
    return str(recording.attrs.get("place_unit") or recording[PLACE].attrs.get("unit") or "cells")


def episodes(recording: xr.Dataset) -> int:
    """How many episodes the recording holds, over all its agents (a life that goes on counts as one)."""
    return recording.sizes["agent"] + int(_starts(recording)[1:].sum())


def describe(recording: xr.Dataset) -> str:
    """Which agent lived where, with what seed, as far as the recording says."""
    about = recording.attrs
    where = " in ".join(str(about[key]) for key in ("agent", "env") if key in about)
    seed = f"seed {about['seed']}" if "seed" in about else ""
    return ", ".join(filter(None, (where, seed)))


def _starts(recording: xr.Dataset) -> Array:
    if START not in recording:
        return np.zeros((recording.sizes["tick"], recording.sizes["agent"]), bool)
    starts: Array = recording[START].values.reshape(recording.sizes["tick"], -1).astype(bool)
    return starts


def _topic(variable: xr.DataArray) -> str:
    return str(variable.attrs.get("topic", str(variable.name).replace(".", "/")))


def _open_zarr(where: Path) -> xr.Dataset:
    store = where / "recording.zarr" if (where / "recording.zarr").exists() else where
    if not store.exists():
        raise FileNotFoundError(f"{where}: no such file or folder")
    if not store.is_dir():
        raise ValueError(f"{where} is no recording: a recording is a zarr store, or a run's folder with recording.zarr")
    if not (store / "zarr.json").exists():
        if any(store.glob("*/zarr.json")):
            raise ValueError(f"{where} is damaged: its zarr.json is missing, its arrays are there; {GOOD_PART}")
        raise ValueError(f"{where} is no recording: it holds neither recording.zarr nor a zarr store (zarr.json)")
    try:
        recording: xr.Dataset = xr.open_zarr(store, consolidated=False)  # as well where nobody consolidated
    except Exception as error:  # zarr raises what its parsers raise; all of it means the same to the reader
        raise ValueError(f"{where} does not open as a zarr store: {error}") from error
    if lost := _lost(store, recording):
        raise ValueError(f"{where} is damaged: it lacks {'; '.join(lost)}; {GOOD_PART}")
    return recording


def _lost(store: Path, recording: xr.Dataset) -> list[str]:
    """What is missing or cut short among the committed ticks of a recording of cogarch, told from its files' sizes.

    Cogarch writes every chunk. Others leave out those that hold nothing but fill, which is how zarr reads a lost one.
    """
    if not str(recording.attrs.get("format", "")).startswith("cogarch recording"):
        return []
    if "committed" not in recording or not _is_whole(store / "committed" / "c", 8):
        return ["committed/c, the count of ticks"]
    ticks, lost = int(recording["committed"].item()), []
    for name, variable in recording.data_vars.items():
        if "tick" in variable.dims:
            chunk = variable.encoding["chunks"][0]
            files = (
                store.joinpath(str(name), "c", str(k), *["0"] * (variable.ndim - 1)) for k in range(-(-ticks // chunk))
            )
            for whole, run in groupby(enumerate(files), lambda numbered: _is_whole(numbered[1])):
                if not whole:
                    gone = [k for k, _ in run]
                    lost.append(f"{name} of ticks {gone[0] * chunk} to {min((gone[-1] + 1) * chunk, ticks) - 1}")
    return lost


def _is_whole(file: Path, size: int | None = None) -> bool:
    """Whether a chunk has its size: where None, the one that its own blosc header says (bytes 12 to 15)."""
    try:
        with file.open("rb") as stream:
            expected = int.from_bytes(stream.read(16)[12:], "little") if size is None else size
            return os.fstat(stream.fileno()).st_size == expected > 0
    except OSError:
        return False


def _committed(recording: xr.Dataset, name: str) -> xr.Dataset:
    if PLACE not in recording or recording[PLACE].dims[:2] != ("tick", "agent") or recording[PLACE].shape[2:] != (2,):
        held = ", ".join(str(v) for v in recording.data_vars) or "nothing"
        raise ValueError(f"{name} is no recording: it needs {PLACE} [tick, agent, 2], and holds {held}")
    if "committed" in recording:
        recording = recording.isel(tick=slice(0, int(recording["committed"].item())))
    if recording.sizes["tick"] == 0:
        raise ValueError(f"{name} holds no ticks: the run was cut short before the first was committed")
    return _in_cm(recording) if place_unit(recording) == "m" else recording


def _in_cm(recording: xr.Dataset) -> xr.Dataset:
    """Places in m as places in cm, the unit in which recorded neurons are mapped."""
    place = recording[PLACE].copy(data=recording[PLACE].values * np.float32(100)).assign_attrs(unit="cm")
    return recording.assign({PLACE: place}).assign_attrs(place_unit="cm")
