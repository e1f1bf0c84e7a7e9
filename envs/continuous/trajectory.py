"""Paths through an open field: recorded ones from files, and smooth random walks like a foraging rat's."""

import importlib.util
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from envs.settings import MOST_PLACES, check_most, did_you_mean

Array = NDArray[np.float64]

FRAME_RATE = 50.0  # Hz, of a file in cm that does not say
FINEST = 0.02  # s; longer ticks are walked in steps no longer than this, a quarter of the turning's coherence time
LONGEST = 1e6  # m; and the most that a constant of a smooth walk can be
SLOWEST = 60.0  # s, a tick
ZIPPED = (b"PK\x03\x04", b"PK\x05\x06")  # how an archive begins, and an empty one
PACKAGED = ("sargolini", "tanni")  # recordings that ship with RatInABox


@dataclass(frozen=True)
class SmoothWalk:
    """A smooth random walk in a box, a batch of walkers at a time.

    Rotational velocity is an Ornstein-Uhlenbeck process of mean 0; speed is Rayleigh distributed, an Ornstein-Uhlenbeck
    process of unit variance taken through the Rayleigh quantile function. Form: Raudies & Hasselmo (2012); constants:
    George et al. (2024), fitted to the rats of Sargolini et al. (2006). Both processes are discretised exactly.

    Within `wall` of a wall, the part of the heading that points into it shrinks with the distance left: the walker
    turns to run along. One that meets the wall nevertheless is mirrored by it, as light is. Neither changes its speed.

    A state is float64 [B, 5]: x, y (m, from the south-west corner), heading (rad, counter-clockwise from east), and the
    two processes in standard deviations: rotation, pace.

    Raises:
        ValueError: a constant that is not positive, or out of all bounds.
    """

    width: float  # m
    height: float  # m
    dt: float  # s
    speed: float = 0.08  # m/s, the mean
    speed_coherence: float = 0.7  # s
    rotation: float = math.radians(120)  # rad/s, standard deviation
    rotation_coherence: float = 0.08  # s
    wall: float = 0.05  # m

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            most = SLOWEST if name == "dt" else LONGEST
            if not 0 < value <= most:
                raise ValueError(f"{name} of a smooth walk is {value}: give a positive number, {most:,.0f} at most")

    @property
    def substeps(self) -> int:
        """Steps in a tick of `dt`, none of them longer than `FINEST`."""
        return max(1, math.ceil(self.dt / FINEST - 1e-9))

    def begin(self, uniform: Array, normal: Array) -> Array:
        """The state of walkers that begin anywhere in the box, heading anywhere: from draws [B, 3] and [B, 2]."""
        return np.concatenate([uniform * [self.width, self.height, 2 * math.pi], normal], axis=1)

    def advance(self, state: Array, normal: Array) -> Array:
        """The state a tick later; `normal` [B, substeps, 2] holds standard normal draws."""
        dt = self.dt / self.substeps
        keep = np.exp(-dt / np.array([self.rotation_coherence, self.speed_coherence]))
        spread = np.sqrt(1 - keep**2)
        scale = self.speed * math.sqrt(2 / math.pi)  # of the Rayleigh distribution with this mean
        x, y, heading = state[:, 0], state[:, 1], state[:, 2]
        processes = state[:, 3:]
        for i in range(self.substeps):
            processes = keep * processes + spread * normal[:, i]
            heading = heading + dt * self.rotation * processes[:, 0]
            speed = scale * np.sqrt(-2 * log_ndtr(-processes[:, 1]))
            east, north = self._turned(np.cos(heading), x, self.width), self._turned(np.sin(heading), y, self.height)
            heading = np.arctan2(north, east)
            x, east = _mirrored(x + dt * speed * np.cos(heading), east, self.width)
            y, north = _mirrored(y + dt * speed * np.sin(heading), north, self.height)
            heading = np.arctan2(north, east)
        return np.concatenate([np.stack([x, y, heading], axis=1), processes], axis=1)

    def _turned(self, direction: Array, at: Array, size: float) -> Array:
        left = np.where(direction > 0, size - at, at)  # m to the wall ahead
        return direction * np.minimum(left / self.wall, 1.0)


def _mirrored(at: Array, direction: Array, size: float) -> tuple[Array, Array]:
    """Places beyond the walls at 0 and `size` folded back in, and their directions with them."""
    at = at % (2 * size)
    beyond = at > size
    return np.where(beyond, 2 * size - at, at), np.where(beyond, -direction, direction)


def smooth_walk(
    width: float,
    height: float,
    seconds: float,
    dt: float,
    rng: np.random.Generator,
    *,
    walks: int | None = None,
    **constants: float,
) -> Array:
    """A smooth random walk in a box of `width` x `height` m, from a uniform start: [T, 2] in m, a sample each `dt` s.

    walks: B of them at once, [B, T, 2]. constants: those of `SmoothWalk`, such as `speed` (m/s).

    Raises:
        ValueError: a constant that is not positive; fewer than 2 samples, or more than memory holds; fewer than 1 walk.
    """
    walk, batch = SmoothWalk(width, height, dt, **constants), 1 if walks is None else walks
    if batch < 1:
        raise ValueError(f"walks is {walks}: give 1 or more, or None for one without a batch axis")
    check_most(f"walks ({batch:,}) x steps in a tick", batch * walk.substeps, MOST_PLACES)
    _check_samples(seconds, dt, batch)
    ticks = round(seconds / dt)
    if ticks < 2:
        raise ValueError(f"{seconds} s at {dt} s a sample make {ticks} samples: a walk has 2 or more")
    path = np.empty((batch, ticks, 2))
    state = walk.begin(rng.random((batch, 3)), rng.standard_normal((batch, 2)))
    path[:, 0] = state[:, :2]
    for t in range(1, ticks):
        state = walk.advance(state, rng.standard_normal((batch, walk.substeps, 2)))
        path[:, t] = state[:, :2]
    return path if walks is not None else path[0]


def load_trajectory(
    source: str | Path | Sequence[Sequence[float]] | NDArray[Any],
    dt: float | None = None,
    *,
    lost: Literal["refuse", "interpolate"] = "refuse",
) -> Array:
    """A recorded path, float64 [T, 2]: x, y in m.

    Args:
        source: a `.npz` file with `x`, `y` in cm (and `t` in s; left out: 50 Hz, as of a recorded neuron) or with `t`
            in s and `pos` [T, 2] in m (as RatInABox has them); "sargolini" or "tanni", which ship with the package
            ratinabox; or an array [T, 2] of x, y or [T, 3] of t, x, y, in s and m.
        dt: s from sample to sample: the path is interpolated linearly; None: the samples as they were recorded.
        lost: samples that are not finite (tracking lost) are refused, or interpolated linearly in time.

    Raises:
        FileNotFoundError: no such file.
        ValueError: what is no path, with what is wrong; the package ratinabox is not installed.
    """
    if isinstance(source, str | Path):
        file = _packaged(str(source)) if str(source) in PACKAGED else _named(source)
        name, (t, path) = str(source), _read(file)
    else:
        name, (t, path) = "the path", _columns(source)
    _check(name, t, path)
    sampled = np.arange(len(path), dtype=float) if t is None else t
    held = np.isfinite(path).all(axis=1)
    if not held.all():
        gone = f"{name}: {int((~held).sum())} of {len(path)} samples are not finite, the first at {int(held.argmin())}"
        if lost == "refuse":
            raise ValueError(f'{gone}: fill them, or load_trajectory(..., lost="interpolate") does')
        if held.sum() < 2:
            raise ValueError(f"{gone}: too few are left to interpolate between")
        path = _at(sampled, sampled[held], path[held])
    if dt is None:
        return path
    if not (dt > 0 and np.isfinite(dt)):
        raise ValueError(f"dt is {dt} s: give a positive number, or None for the samples as they are")
    if t is None:
        raise ValueError(f"{name} has no times, so dt means nothing: give three columns, t, x, y, or leave dt out")
    _check_samples(float(t[-1]) - float(t[0]), dt)
    samples = math.floor((t[-1] - t[0]) / dt + 1e-6) + 1
    if samples < 2:
        raise ValueError(f"{name} lasts {t[-1] - t[0]:g} s: too short for samples {dt:g} s apart")
    return _at(t[0] + dt * np.arange(samples), t, path)


def _check_samples(seconds: float, dt: float, walks: int = 1) -> None:
    if not seconds * walks <= MOST_PLACES * dt:  # NaN is refused, too
        of = f" of {walks:,} walks" if walks > 1 else ""
        raise ValueError(f"dt is {dt:g} s, for {seconds:g} s{of}: memory holds {MOST_PLACES:,} samples at most")


def _at(times: Array, t: Array, path: Array) -> Array:
    return np.stack([np.interp(times, t, path[:, 0]), np.interp(times, t, path[:, 1])], axis=1)


def _packaged(name: str) -> Path:
    found = importlib.util.find_spec("ratinabox")  # finds the package without running it
    if found is None or not found.submodule_search_locations:
        raise ValueError(
            f'the trajectory "{name}" ships with RatInABox, which is not installed: '
            "pip install ratinabox (or cogarch's extra: cogarch[ratinabox])"
        )
    return _named(Path(found.submodule_search_locations[0]) / "data" / f"{name}.npz")


def _named(source: str | Path) -> Path:
    file = Path(source)
    if not file.suffix:
        raise ValueError(f'no trajectory is called "{source}": {did_you_mean(str(source), ("smooth", *PACKAGED))}')
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    return file


def _read(file: Path) -> tuple[Array | None, Array]:
    try:
        with file.open("rb") as opened:  # np.load leaves its own handle open where it fails
            if opened.read(4) not in ZIPPED or not zipfile.is_zipfile(opened):
                raise ValueError("it is not an .npz file, or one cut short")
            opened.seek(0)
            data = np.load(opened, allow_pickle=False)
            arrays = {key: data[key] for key in data.files}
            if not all(isinstance(array, np.ndarray) for array in arrays.values()):
                raise ValueError("it holds what is no array")
    except Exception as error:  # of a damaged file: of zipfile, its decompressors, numpy and the system
        why = str(error) or "it ends too soon"
        raise ValueError(f"{file} does not open as a plain .npz file of arrays: {why}") from error
    if {"t", "pos"} <= set(arrays):
        t, columns, unit = arrays["t"], [arrays["pos"]], 1.0
    elif {"x", "y"} <= set(arrays):
        t, columns, unit = arrays.get("t", np.arange(arrays["x"].size) / FRAME_RATE), [arrays["x"], arrays["y"]], 0.01
    else:
        held = ", ".join(arrays) or "nothing"
        raise ValueError(f"{file} is no path: it needs x, y (cm), or t (s) and pos (m), and it holds {held}")
    if any(array.dtype.kind not in "fiu" for array in (t, *columns)):
        raise ValueError(f"{file}: its arrays are not numbers")
    if len({array.shape[:1] for array in (t, *columns)}) > 1 or t.ndim != 1:
        shapes = ", ".join(str(list(array.shape)) for array in (t, *columns))
        raise ValueError(f"{file}: its arrays must be of one length, a sample each, not {shapes}")
    return t.astype(np.float64), np.column_stack(columns).astype(np.float64) * unit


def _columns(source: Any) -> tuple[Array | None, Array]:
    try:
        path = np.asarray(source, np.float64)
    except (ValueError, TypeError) as error:
        raise ValueError(f"the path is no array of numbers: {error}") from None
    if path.ndim == 2 and path.shape[1] == 3:
        return path[:, 0].copy(), path[:, 1:].copy()
    return None, path.copy()


def _check(name: str, t: Array | None, path: Array) -> None:
    if path.ndim != 2 or path.shape[1] != 2:
        raise ValueError(f"{name} has shape {list(path.shape)}: a path is [T, 2] (x, y) or [T, 3] (t, x, y)")
    if len(path) < 2:
        raise ValueError(f"{name} has too few samples, {len(path)}: a path has 2 or more")
    if t is not None:
        rises = np.r_[True, t[1:] > t[:-1]]
        if not np.isfinite(t).all():
            at = int(np.flatnonzero(~np.isfinite(t))[0])
            raise ValueError(f"{name}: times must be finite, and t[{at}] is {t[at]} s: leave out such samples")
        if not rises.all():
            at = int(rises.argmin())
            raise ValueError(f"{name}: times must rise, and t[{at}] is {t[at]} s after {t[at - 1]} s: sort them first")
