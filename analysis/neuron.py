"""A recorded neuron: where the animal was, and when the cell fired."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.sources import Array

FRAME_RATE = 50.0  # Hz, of a file that does not say


@dataclass(frozen=True)
class Neuron:
    """Position `x`, `y` (cm) at times `t` (s), all `[T]`, and the times of the `spikes` (s).

    Raises ValueError for lengths that differ, numbers that are not finite, times that do not rise, and spikes outside
    the recording; each names the array and the first place where it is wrong.
    """

    x: Array
    y: Array
    t: Array
    spikes: Array
    name: str = "neuron"

    def __post_init__(self) -> None:
        arrays = {key: getattr(self, key) for key in ("x", "y", "t", "spikes")}
        for key, values in arrays.items():
            if values.ndim != 1 or values.dtype.kind not in "fiu":
                raise ValueError(
                    f"{self.name}: {key} must be one row of numbers, not {values.dtype} {list(values.shape)}"
                )
            bad = np.flatnonzero(~np.isfinite(values))
            if len(bad):
                raise ValueError(
                    f"{self.name}: {key}[{bad[0]}] is {values[bad[0]]} ({len(bad)} such): cut or fill them first"
                )
        if not len(self.x) == len(self.y) == len(self.t):
            lengths = ", ".join(f"{key} {len(arrays[key])}" for key in ("x", "y", "t"))
            raise ValueError(f"{self.name}: x, y and t must be of one length, not {lengths}")
        if len(self.t) < 2:
            raise ValueError(f"{self.name}: {len(self.t)} frames are too few for a recording")
        for key, strict in (("t", True), ("spikes", False)):
            steps = np.diff(arrays[key])
            back = np.flatnonzero(steps <= 0 if strict else steps < 0)
            if len(back):
                at = back[0] + 1
                raise ValueError(
                    f"{self.name}: {key} must rise, and {key}[{at}] = {arrays[key][at]} s does not: sort it first"
                )
        first, last = self.t[0] - np.diff(self.t[:2])[0], self.t[-1] + np.diff(self.t[-2:])[0]
        outside = self.spikes[(self.spikes < first) | (self.spikes > last)]
        if len(outside):
            raise ValueError(
                f"{self.name}: {len(outside)} spikes lie outside the recording of {self.t[0]:g} to {self.t[-1]:g} s, "
                f"the first at {outside[0]:g} s: are they in seconds?"
            )


def load_neuron(file: str | Path) -> Neuron:
    """The neuron in a `.npz` file: `x`, `y` (cm), `spikes` (s), and `t` (s; left out: frames at 50 Hz from 0).

    Raises FileNotFoundError, and ValueError for a file that is no npz, lacks an array or fails a check of `Neuron`.
    """
    file = Path(file)
    try:
        with file.open("rb") as opened:  # np.load leaves its own handle open where it fails
            data = np.load(opened, allow_pickle=False)
            if isinstance(data, np.ndarray):
                raise ValueError("it holds one array without a name")
            arrays = {key: data[key] for key in data.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file} does not open as a plain .npz file of arrays: {error}") from error
    missing = [key for key in ("x", "y", "spikes") if key not in arrays]
    if missing:
        held = ", ".join(arrays) or "nothing"
        raise ValueError(
            f"{file} lacks {' and '.join(missing)}: a neuron is x, y (cm) and spikes (s), and it holds {held}"
        )
    t = arrays.get("t", np.arange(arrays["x"].size) / FRAME_RATE)
    return Neuron(arrays["x"], arrays["y"], t, arrays["spikes"], name=file.stem)


def nearest_frames(t: Array, spikes: Array) -> Array:
    """The frame nearest in time to each spike, `[S]`; of two as near, the earlier."""
    return np.searchsorted((t[1:] + t[:-1]) / 2, spikes)


def spike_counts(t: Array, spikes: Array) -> Array:
    """How many spikes are nearest to each frame, `[T]`."""
    return np.bincount(nearest_frames(t, spikes), minlength=len(t)).astype(float)


def frame_durations(t: Array) -> Array:
    """The seconds that each frame stands for, `[T]`: half of the way to its neighbours on both sides."""
    durations: Array = np.gradient(t)
    return durations
