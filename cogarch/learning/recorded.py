"""Walks cut from recordings of runs: learning from a life that was lived before, by whoever acted in it."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

import envs
from cogarch.config import Agent, Training
from cogarch.files import FileError
from cogarch.folder import RunFolder
from cogarch.learning.backprop import Batch
from cogarch.learning.walks import piece
from cogarch.module import Signal
from cogarch.recording import RecordingWarning, open_recording
from cogarch.run import SCORING_SEED, contracts, truth
from cogarch.world.examine import WALKS

CUT = 1  # of a seed: the stream of where walks are cut


class Recorded:
    """Recordings from which walks of `training.steps` ticks are cut, anywhere and of any agent, each as likely.

    `runs`: folders of runs, or recordings. `files`: the recordings and how many ticks of each are learned from. What is
    read of them stays in memory.
    """

    def __init__(self, runs: Sequence[Path | str], ticks: Sequence[int | None] | None = None) -> None:
        self.files: list[dict[str, Any]] = []
        self._found: list[xr.Dataset] = []
        for run, known in zip(runs, ticks or [None] * len(runs), strict=True):
            path = _recording(Path(run))
            found = _opened(path)
            if known is not None and found.sizes["tick"] < known:
                raise FileError(
                    f"cannot go on: {path} held {known} ticks when the training began and holds {found.sizes['tick']}; "
                    "bring it back, or train anew"
                )
            self._found.append(found.isel(tick=slice(0, known)))
            self.files.append({"path": str(path.resolve()), "ticks": self._found[-1].sizes["tick"]})

    @classmethod
    def of_files(cls, files: Sequence[Mapping[str, Any]]) -> Recorded:
        """Those of a training that is resumed."""
        return cls([file["path"] for file in files], [file["ticks"] for file in files])

    def lived_in(self) -> tuple[str, dict[str, Any]]:
        """The world of the first one, and its options."""
        attrs = self._found[0].attrs
        try:
            return envs.full_id(str(attrs["env"])), dict(json.loads(str(attrs["options"])))
        except (KeyError, ValueError) as error:
            raise FileError(
                f"{self.files[0]['path']} does not say in which world it was made ({error}); name the world: cogarch "
                "train AGENT ENV --recorded RUN"
            ) from None

    def scored(self, seed: int) -> str:
        """Which of them were lived in worlds that a health report of that seed scores in; "" where none were."""
        first = SCORING_SEED + 1000 * seed
        for file, found in zip(self.files, self._found, strict=True):
            lived = SCORING_SEED + int(found.attrs.get("seed", -SCORING_SEED))
            if lived < first + WALKS and first < lived + found.sizes["agent"]:
                return (
                    f"{file['path']} was lived in the worlds from {lived} on, in which a health report of seed {seed} "
                    f"scores what was learned: it then says too much; record with another seed (cogarch run --seed)"
                )
        return ""

    def fit(self, env: envs.World, world: str, options: Mapping[str, Any], setup: Training) -> None:
        """Prove that all of them are of this world and long enough, and read them. FileError names what is not so."""
        if setup.walk is not None:
            raise ValueError(
                f"training.walk is {setup.walk}, but walks that are cut from recordings begin anywhere, and nothing "
                "goes on from one to the next; leave it out (training.walk=none)"
            )
        known = truth(env)
        signals = {**contracts(env), "env/node": known["env/node"], "env/place": known["env/place"]}
        parts: dict[str, list[NDArray[Any]]] = {topic: [] for topic in signals}
        begin, starts = 0, []
        for file, found in zip(self.files, self._found, strict=True):
            ticks, agents = found.sizes["tick"], found.sizes["agent"]
            _check_world(file["path"], found, world, options)
            if ticks < setup.steps:
                raise FileError(
                    f"{file['path']} holds {ticks} ticks, fewer than training.steps = {setup.steps}: record a longer "
                    "life (cogarch run --steps), or lower training.steps"
                )
            for topic, signal in signals.items():
                parts[topic].append(_read(file["path"], found, topic, signal, world))
            if not (parts["env/action"][-1] >= 0).any():
                raise FileError(
                    f"{file['path']} holds no transition, every tick begins an episode: record lives of 2 ticks "
                    "or more (cogarch run --steps)"
                )
            first = begin + ticks * np.arange(agents)[:, None] + np.arange(ticks - setup.steps + 1)
            starts.append(first.ravel())
            begin += ticks * agents
        self._said = {topic: np.concatenate(arrays) for topic, arrays in parts.items()}  # [ticks of all agents, *shape]
        self._starts = np.concatenate(starts)

    def windows(
        self, agent: Agent, world: str, options: Mapping[str, Any], seed: int, first: int, last: int
    ) -> Iterator[Batch]:
        """The walks of updates `first` to `last` - 1, `[steps, B, ...]`: a function of seed and update."""
        setup = agent.training
        with contextlib.closing(envs.make(world, 1, **options)) as env:
            for update in range(first, last):
                rng = np.random.default_rng([seed, update, CUT])
                at = rng.choice(self._starts, setup.batch) + np.arange(setup.steps)[:, None]
                yield piece(env, setup, {topic: torch.from_numpy(x[at]) for topic, x in self._said.items()})


def _recording(run: Path) -> Path:
    """The recording of a run; FileError where `run` is none that has one."""
    if (run / "zarr.json").exists() or run.suffix == ".zarr":
        return run
    folder = RunFolder.open(run)
    if folder.config["kind"] != "run":
        raise FileError(f"{run} is a {folder.config['kind']} and holds no recording; give the folder of a cogarch run")
    return folder.recording


def _opened(path: Path) -> xr.Dataset:
    """The whole recording; FileError where a part of it is lost."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RecordingWarning)
        try:
            return open_recording(path)
        except RecordingWarning as warning:
            raise FileError(f"cannot train from it: {warning}; record anew, or leave it out") from None


def _check_world(path: str, found: xr.Dataset, world: str, options: Mapping[str, Any]) -> None:
    """A recording that does not say where it was made is taken by its contracts alone."""
    made = str(found.attrs.get("env", world))
    if envs.full_id(made) != envs.full_id(world):
        raise FileError(
            f"{path} was lived in {made}, not in {world}: leave the world out, or give recordings of that world alone"
        )
    wanted = json.loads(json.dumps(dict(options), default=str))
    there = json.loads(str(found.attrs.get("options", json.dumps(wanted))))
    for name in sorted(wanted.keys() | there.keys()):
        if wanted.get(name) != there.get(name):
            was, asked = (f"{name} = {x[name]!r}" if name in x else f"no {name}" for x in (there, wanted))
            mend = f"give -o {name}={there[name]}" if name in there else f"leave -o {name} out"
            raise FileError(
                f"{path} was lived in {made} with {was}, the training asks for {asked}: {mend}, or leave the world out "
                "and give recordings of one kind of world alone"
            )


def _read(path: str, found: xr.Dataset, topic: str, signal: Signal, world: str) -> NDArray[Any]:
    """One topic `[ticks of all agents, *shape]`, one agent after the other; FileError where it is not what the world
    says."""
    name = topic.replace("/", ".")
    mend = f"give a recording of {world} with the same options, or the options that it was made with (-o NAME=VALUE)"
    if name not in found:
        raise FileError(f"{path} holds no {topic!r}, which {world} says: {mend}")
    told = found[name]
    kind = str(signal.dtype).removeprefix("torch.")
    here = Signal(tuple(told.shape[2:]), signal.dtype, unit=str(told.attrs.get("unit", "")))
    if (told.shape[2:], str(told.dtype), here.unit) != (signal.shape, kind, signal.unit):
        there = str(here).replace(kind, str(told.dtype), 1)
        raise FileError(f"{path}: {topic!r} is {there} in it and {signal} in {world}: {mend}")
    values = np.ascontiguousarray(told.values.swapaxes(0, 1)).reshape(-1, *signal.shape)
    if signal.values and values.size and int(values.max()) >= signal.values:
        raise FileError(
            f"{path}: {topic!r} reaches {values.max()} in it, and {world} has the values 0 to {signal.values - 1}: "
            f"{mend}"
        )
    return values
