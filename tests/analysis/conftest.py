"""Synthetic cells whose answers are known, and the recorded neuron where there is one."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

ROOT = Path(__file__).parents[2]


def _lattice(place, spacing, angle=0.0, phase=(0.0, 0.0)):
    """A perfect grid cell: three plane waves 60 degrees apart, of wavelength sqrt(3)/2 x spacing, rectified."""
    angles = angle + np.pi / 3 * np.arange(3)
    waves = np.stack([np.cos(angles), np.sin(angles)])
    return np.maximum(np.cos(4 * np.pi / np.sqrt(3) / spacing * ((place - np.asarray(phase)) @ waves)).sum(-1), 0.0)


def _walk(ticks, width, height, seed):
    """A walk that keeps its heading for a while and stops at walls, `[T, 2]`."""
    rng = np.random.default_rng(seed)
    moves, place, heading = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]]), np.array([width // 2, height // 2]), 0
    out = np.empty((ticks, 2), np.float32)
    for t in range(ticks):
        out[t] = place
        heading = rng.integers(4) if rng.random() < 0.25 else heading
        place = np.clip(place + moves[heading], 0, [width - 1, height - 1])
    return out


def _recording(place, **topics):
    """A recording of `place` `[T, B, 2]` and topics `mec_g=(values [T, B, ...], cells, unit)`."""
    ticks, agents, _ = place.shape
    start = np.zeros((ticks, agents, 1), bool)
    start[0] = True
    variables = {
        "env.place": (("tick", "agent", "xy"), place, {"topic": "env/place", "cells": "", "unit": "cells"}),
        "env.start": (("tick", "agent", "one"), start, {"topic": "env/start", "cells": "", "unit": ""}),
        "committed": ((), np.int64(ticks)),
    }
    for name, (values, cells, unit) in topics.items():
        topic = name.replace("_", "/", 1)
        dims = ("tick", "agent", *(f"{name}_{i}" for i in range(values.ndim - 2)))
        variables[topic.replace("/", ".")] = (dims, values, {"topic": topic, "cells": cells, "unit": unit})
    return xr.Dataset(
        variables, attrs={"agent": "explorer", "env": "cogarch/Square-v0", "seed": 7, "place_unit": "cells"}
    )


@pytest.fixture(scope="session")
def lattice() -> Callable[..., np.ndarray]:
    return _lattice


@pytest.fixture(scope="session")
def walk() -> Callable[..., np.ndarray]:
    return _walk


@pytest.fixture(scope="session")
def recorded() -> Callable[..., xr.Dataset]:
    return _recording


@pytest.fixture(scope="session")
def recording() -> xr.Dataset:
    """3,000 ticks of two agents in a 20 x 18 world: 10 grid cells, 3 of noise, 1 silent, and a memory of 400 slots."""
    rng = np.random.default_rng(0)
    place = np.stack([_walk(3000, 20, 18, seed) for seed in (1, 2)], 1)
    spacings = np.linspace(5, 9, 10)
    grids = [_lattice(place, s, rng.uniform(0, 1), rng.uniform(0, s, 2)) for s in spacings]
    noise = np.abs(rng.normal(size=(3, 3000, 2)))
    mec = np.stack([*grids, *noise, np.zeros((3000, 2))], -1).astype(np.float32)
    slots = np.zeros((3000, 2, 400), np.float32)
    at = (place[..., 1] // 2 * 10 + place[..., 0] // 2).astype(int)
    np.put_along_axis(slots, at[..., None], 1.0, -1)
    return _recording(
        place,
        mec_g=(mec, "grid cells by construction", "rate"),
        hc_p=(slots, "place cells", ""),
        hc_familiarity=(noise[0][..., None].astype(np.float32), "", "energy"),
    )


@pytest.fixture(scope="session")
def lives(recording) -> xr.Dataset:
    """The same, with new lives of the first agent at ticks 1,000 and 1,700 and of the second at tick 2,000."""
    start = recording["env.start"].copy(data=recording["env.start"].values.copy())
    start.values[[1000, 1700, 2000], [0, 0, 1]] = True
    return recording.assign({"env.start": start})


@pytest.fixture(scope="session")
def run_folder(recording, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    recording.to_zarr(folder / "recording.zarr", zarr_format=3, consolidated=False)
    return folder


@pytest.fixture(scope="session")
def reference_neuron() -> Path:
    """The recorded grid cell of the reference data, where there is one."""
    folder = os.environ.get("COGARCH_REFERENCE")
    if not folder:
        pytest.skip("COGARCH_REFERENCE is not set: no recorded neuron to compare with")
    return (ROOT / folder / "grid_cell_recording.npz").resolve(strict=True)
