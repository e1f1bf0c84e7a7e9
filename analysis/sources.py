"""Where signals come from: recordings of runs, as xarray datasets.

A recording is a zarr store whose variables are named after topics (`mec.g` holds the topic `mec/g`), with dimensions
`("tick", "agent", ...)`; `env.place` holds where each agent was. Any dataset of this form will do: nothing here knows
how it was made.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

Array: TypeAlias = npt.NDArray[Any]

PLACE, START = "env.place", "env.start"


def open_recording(source: Any) -> xr.Dataset:
    """The recording of a run, cut to the ticks that were committed.

    `source`: an `xr.Dataset`, the path of a zarr store, the path of a run's folder (which holds `recording.zarr`), or
    an object whose attribute `recording` is one of these. To look at a part of a run, pass
    `open_recording(run).isel(tick=slice(a, b))` wherever a source is asked for.

    Raises FileNotFoundError where there is nothing, ValueError where what is there is no recording.
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


def select(recording: xr.Dataset, agent: int | None) -> xr.Dataset:
    """The recording of one agent (or of all, where None), keeping the dimension `agent`."""
    if agent is None:
        return recording
    count = recording.sizes["agent"]
    if not 0 <= agent < count:
        raise ValueError(f"agent {agent} is not in this recording: it holds agents 0 to {count - 1}")
    return recording.isel(agent=slice(agent, agent + 1))


def path(source: Any, agent: int = 0) -> Array:
    """Where one agent went, `[T, 2]` in units of the world; a row of NaN before each new episode breaks the line."""
    recording = select(open_recording(source), agent)
    place = recording[PLACE].values[:, 0].astype(float)
    return np.insert(place, np.flatnonzero(_starts(recording)[1:, 0]) + 1, np.nan, axis=0)


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
        raise ValueError(f"{where} is no recording: it holds neither recording.zarr nor a zarr store (zarr.json)")
    try:
        recording: xr.Dataset = xr.open_zarr(store, consolidated=False)  # as well where nobody consolidated
    except Exception as error:  # zarr raises what its parsers raise; all of it means the same to the reader
        raise ValueError(f"{where} does not open as a zarr store: {error}") from error
    return recording


def _committed(recording: xr.Dataset, name: str) -> xr.Dataset:
    if PLACE not in recording or recording[PLACE].dims[:2] != ("tick", "agent") or recording[PLACE].shape[2:] != (2,):
        held = ", ".join(str(v) for v in recording.data_vars) or "nothing"
        raise ValueError(f"{name} is no recording: it needs {PLACE} [tick, agent, 2], and holds {held}")
    if "committed" in recording:
        recording = recording.isel(tick=slice(0, int(recording["committed"].item())))
    if recording.sizes["tick"] == 0:
        raise ValueError(f"{name} holds no ticks: the run was cut short before the first was committed")
    return recording
