"""The recording of a run, `recording.zarr`: what was said on each topic at each tick, and how many ticks are sure.

A writer may be killed at any moment: plain `xr.open_zarr` opens the folder without a warning. For that, arrays are made
at full length, all metadata is consolidated before the folder gets its name, each chunk file is replaced as a whole,
and `committed`, the count of ticks, is replaced after the chunks that it speaks for.
"""

import json
import math
import os
import shutil
import uuid
import warnings
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr
from torch import Tensor
from zarr.abc.buffer import Buffer, BufferPrototype
from zarr.abc.store import ByteRequest
from zarr.codecs import BloscCodec
from zarr.errors import ZarrUserWarning
from zarr.storage import LocalStore, WrapperStore

from cogarch.files import FileError, named
from cogarch.module import Signal
from cogarch.wiring import nearest

Values = Tensor | npt.NDArray[Any]

FORMAT = "cogarch recording 1"
_CHUNK_BYTES = 8 * 2**20
_FILL: dict[str, float] = {"f": float("nan"), "i": -1, "u": 0, "b": False}  # by numpy's kind of dtype


class RecordingWarning(UserWarning):
    """A recording is damaged: its good part opens, and the message says what is lost."""


class Recording:
    """Writes the messages of a run to a new folder `path`, one chunk of ticks at a time.

    A topic `mec/g` becomes the variable `mec.g` `[tick, agent, mec.g.0, ...]`, filled with NaN (-1 for signed integers,
    0 for unsigned ones, False) where nothing is committed. Memory holds one chunk a topic, whatever the length.

    signals: the topics to record and their contracts.
    length: the most ticks that will come. batch: the count of agents.
    attrs: attributes of the whole recording, such as the seed.
    chunk: ticks a chunk; fewer where a chunk of the widest message would exceed 8 MB.

    Raises FileError when `path` exists or the disk does not take it; nothing committed is lost then, ticks that could
    not be written stay in memory, and the next `flush` or `append` tries again.
    """

    path: Path
    length: int
    batch: int
    committed: int
    """Ticks that are on disk and stay there whatever happens to this process."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        signals: Mapping[str, Signal],
        *,
        length: int,
        batch: int,
        attrs: Mapping[str, str | int | float] | None = None,
        chunk: int = 256,
    ) -> None:
        path = Path(path)
        if path.exists():
            raise FileError(f"cannot write {path}: it exists; name another folder, or continue it (Recording.resume)")
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
        with named(path, "write"):
            try:
                _create(part, signals, length, batch, attrs or {}, chunk)
                os.replace(part, path)
            finally:
                shutil.rmtree(part, ignore_errors=True)
        self._attach(path, 0)

    @classmethod
    def resume(cls, path: str | os.PathLike[str], at: int | None = None) -> Self:
        """Open for writing on from tick `at` (by default after the last committed one); later ticks are forgotten.

        Raises FileError when the recording is damaged, ValueError when it does not reach `at`.
        """
        path = Path(path)
        survey = _Survey(path)
        if survey.lost:
            raise FileError(f"cannot continue {path}: it is damaged and lacks {'; '.join(survey.lost)}; record anew")
        if at is not None and not 0 <= at <= survey.committed:
            raise ValueError(f"{path} holds {survey.committed} ticks and cannot be continued at tick {at}")
        with named(path, "write"):
            for part in path.rglob("*.partial"):  # what zarr was writing when the process was killed
                part.unlink()
        self = cls.__new__(cls)
        self._attach(path, survey.committed if at is None else at)
        return self

    def _attach(self, path: Path, committed: int) -> None:
        """Take the arrays of a whole recording and bring the chunk of tick `committed` into memory."""
        group = zarr.open_group(path, mode="r+")
        self.path = path
        self.length, self.batch = int(str(group.attrs["length"])), int(str(group.attrs["batch"]))
        # Without empty chunks, one that holds nothing but fill could not be told from one that is lost.
        arrays = {name: array.with_config({"write_empty_chunks": True}) for name, array in group.arrays()}
        self._count = arrays.pop("committed")
        self._arrays = {str(array.attrs["topic"]): array for array in arrays.values()}
        self._chunk = next(iter(arrays.values())).chunks[0]
        self._commit(committed)
        self._start = committed - committed % self._chunk
        self._filled = committed - self._start
        self._buffers: dict[str, npt.NDArray[Any]] = {}
        for topic, array in self._arrays.items():
            self._buffers[topic] = np.full((self._chunk, *array.shape[1:]), array.fill_value, array.dtype)
            if self._filled:
                self._buffers[topic][:] = array[self._start : self._start + self._chunk]

    @property
    def ticks(self) -> int:
        """Ticks taken, those that are still in memory among them."""
        return self._start + self._filled

    def append(self, messages: Mapping[str, Values]) -> None:
        """Take one tick `[B, *shape]` of every recorded topic; other topics are passed over.

        Raises ValueError for a message that is missing or does not fit its contract, or a tick past the length.
        """
        self._add({topic: self._values(messages, topic)[None] for topic in self._buffers})

    def extend(self, walk: Mapping[str, Values]) -> None:
        """Take many ticks `[n, B, *shape]` at once: the same as `append` for each."""
        self._add({topic: self._values(walk, topic) for topic in self._buffers})

    def _values(self, messages: Mapping[str, Values], topic: str) -> npt.NDArray[Any]:
        if topic not in messages:
            raise ValueError(
                f"{self.path} records {topic!r}, which is not among the messages: {nearest(topic, messages)}"
            )
        values = messages[topic]
        return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)

    def _add(self, walk: Mapping[str, npt.NDArray[Any]]) -> None:
        for topic, values in walk.items():
            buffer = self._buffers[topic]
            if values.shape[1:] != buffer.shape[1:] or values.dtype != buffer.dtype:
                raise ValueError(
                    f"{self.path} records {topic!r} as {buffer.dtype} {list(buffer.shape[1:])} a tick, "
                    f"the message is {values.dtype} {list(values.shape[1:])}"
                )
        ticks = {topic: len(values) for topic, values in walk.items()}
        n = max(ticks.values())
        if min(ticks.values()) != n:
            raise ValueError(f"the topics of one walk have different counts of ticks: {ticks}")
        if self.ticks + n > self.length:
            raise ValueError(
                f"{self.path} was made for {self.length} ticks and holds {self.ticks}: {n} more do not fit; "
                "make it with a larger length"
            )
        done = 0
        while done < n:
            step = min(n - done, self._chunk - self._filled)  # 0 when the disk did not take a full chunk before
            for topic, values in walk.items():
                self._buffers[topic][self._filled : self._filled + step] = values[done : done + step]
            self._filled += step
            done += step
            if self._filled == self._chunk:
                self._write()

    def _write(self) -> None:
        """Replace the files of this chunk, then `committed`; a full chunk is done with."""
        with named(self.path, "write"):
            for topic, array in self._arrays.items():
                buffer = self._buffers[topic]
                buffer[self._filled :] = array.fill_value
                array[self._start : self._start + self._chunk] = buffer
            self._commit(self.ticks)
        if self._filled == self._chunk:
            self._start, self._filled = self._start + self._chunk, 0

    def _commit(self, count: int) -> None:
        with named(self.path, "write"):
            self._count[()] = count
        self.committed = count

    def flush(self) -> int:
        """Write and commit what is in memory; the count of committed ticks. A chunk begun is written again later."""
        if self.ticks > self.committed:
            self._write()
        return self.committed

    def close(self) -> None:
        """Commit the rest; nothing else is held open."""
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _create(
    folder: Path,
    signals: Mapping[str, Signal],
    length: int,
    batch: int,
    attrs: Mapping[str, str | int | float],
    chunk: int,
) -> None:
    """Make the whole folder: arrays at full length without a chunk, `committed` 0, metadata consolidated."""
    variables = {topic: topic.replace("/", ".") for topic in signals}
    for topic in signals:
        if "/" not in topic or list(variables.values()).count(variables[topic]) > 1:
            raise ValueError(f"the topic {topic!r} cannot be recorded: topics are named role/signal, without dots")
    if not signals or min(length, batch, chunk) < 1:
        raise ValueError(
            f"a recording needs a topic, a tick and an agent: {len(signals)} topics, {length=}, {batch=}, {chunk=}"
        )
    dtypes = {topic: _dtype(topic, signal) for topic, signal in signals.items()}
    widest = max(batch * dtypes[topic].itemsize * math.prod(signal.shape) for topic, signal in signals.items())
    chunk = max(1, min(chunk, length, _CHUNK_BYTES // max(widest, 1)))
    whole = -(-length // chunk) * chunk
    store = LocalStore(folder)
    reserved = {"format": FORMAT, "length": length, "batch": batch}
    group = zarr.create_group(store, attributes={**attrs, **reserved})
    for topic, signal in signals.items():
        name, rest = variables[topic], (batch, *signal.shape)
        group.create_array(
            name,
            shape=(whole, *rest),
            chunks=(chunk, *rest),
            dtype=dtypes[topic],
            fill_value=_FILL[dtypes[topic].kind],
            # lz4: a fifth of zstd's time, and the header holds the size, so that a file cut short is known at sight
            compressors=BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"),
            dimension_names=("tick", "agent", *(f"{name}.{i}" for i in range(len(signal.shape)))),
            attributes={"topic": topic, "cells": signal.cells, "unit": signal.unit}
            | ({"modules": list(signal.modules)} if signal.modules else {})
            | ({"names": list(signal.names)} if signal.names else {}),
        )
    count = group.create_array(
        "committed", shape=(), dtype="int64", compressors=None, config={"write_empty_chunks": True}
    )
    count[()] = 0
    with warnings.catch_warnings():  # no part of the zarr 3 specification yet, and read by xarray all the same
        warnings.simplefilter("ignore", ZarrUserWarning)
        zarr.consolidate_metadata(store)


def _dtype(topic: str, signal: Signal) -> np.dtype[Any]:
    name = str(signal.dtype).removeprefix("torch.")
    try:
        dtype = np.dtype(name)
        _FILL[dtype.kind]
    except (TypeError, LookupError):
        raise ValueError(f"the topic {topic!r} cannot be recorded as {name}: send it as float32") from None
    return dtype


def open_recording(path: str | os.PathLike[str]) -> xr.Dataset:
    """The committed ticks of a recording, lazily: one variable a topic `[tick, agent, ...]`.

    A damaged recording opens with a RecordingWarning: the first ticks that its readable variables all hold. Raises
    FileError when there is none, or `path` is no recording.
    """
    survey = _Survey(Path(path))
    good = {name: n for name, n in survey.ticks.items() if n > 0 or survey.committed == 0}
    if not good:
        raise FileError(f"cannot read {path}: nothing of the recording is left; it lacks {'; '.join(survey.lost)}")
    ticks = min(good.values())
    if survey.lost:
        warnings.warn(
            f"{path} is damaged: the first {ticks} of {survey.committed} ticks of {', '.join(good)} open; "
            f"it lacks {'; '.join(survey.lost)}",
            RecordingWarning,
            stacklevel=2,
        )
    root = {"zarr_format": 3, "node_type": "group", "attributes": survey.attributes}
    arrays = {name: survey.arrays[name] for name in good}
    consolidated = {"kind": "inline", "must_understand": False, "metadata": arrays}
    store = _Rooted(LocalStore(Path(path), read_only=True))
    store.root = json.dumps({**root, "consolidated_metadata": consolidated}).encode()
    dataset: xr.Dataset = xr.open_zarr(store, chunks=None, consolidated=True)
    return dataset.isel(tick=slice(0, ticks))


class _Rooted(WrapperStore[LocalStore]):
    """A store whose consolidated metadata is given, so that what is damaged is never looked at."""

    root: bytes

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        if key == "zarr.json":
            return prototype.buffer.from_bytes(self.root)
        return await super().get(key, prototype, byte_range)


class _Survey:
    """What of a recording is whole, told from metadata and the headers of the chunk files, without reading them.

    Raises FileError when `path` is no recording.
    """

    arrays: dict[str, dict[str, Any]]
    """Metadata of each variable but `committed`."""
    ticks: dict[str, int]
    """Committed ticks of each variable before the first chunk that is lost."""

    def __init__(self, path: Path) -> None:
        self.lost: list[str] = []
        if not path.is_dir():
            raise FileError(f"cannot read {path}: there is no such folder; check the name")
        root = _json(path / "zarr.json")
        if root is not None:
            self.attributes = root.get("attributes", {})
            arrays = root.get("consolidated_metadata", {}).get("metadata", {})
        else:
            self.lost.append("zarr.json (missing or cut short), the attributes of the recording")
            self.attributes = {"format": FORMAT}
            arrays = {folder.name: _json(folder / "zarr.json") for folder in sorted(path.iterdir()) if folder.is_dir()}
            self.lost += [f"{name}/zarr.json (missing or cut short)" for name, array in arrays.items() if array is None]
        self.arrays = {
            name: array for name, array in arrays.items() if array and "topic" in array.get("attributes", {})
        }
        if self.attributes.get("format") != FORMAT or not self.arrays:
            raise FileError(f"cannot read {path}: it is no recording of cogarch; check the name")
        count = _committed(path / "committed" / "c")  # before the chunks: the run may be going on
        whole = {name: _whole_chunks(path / name, array) for name, array in self.arrays.items()}
        chunk = next(iter(self.arrays.values()))["chunk_grid"]["configuration"]["chunk_shape"][0]
        if count is None:
            count = max(0, max(whole.values()) - 1) * chunk  # the last chunk may be filled in part only
            self.lost.append("committed/c (missing or cut short), the count of ticks")
        self.committed = count
        self.ticks = {name: min(count, n * chunk) for name, n in whole.items()}
        for name, n in self.ticks.items():
            if n < count:
                self.lost.append(f"chunk {whole[name]} of {name} (missing or cut short), from tick {n}")


def _committed(file: Path) -> int | None:
    """The count of ticks, eight plain bytes; None if the file is not whole."""
    content = file.read_bytes() if file.is_file() else b""
    return int.from_bytes(content, "little", signed=True) if len(content) == 8 else None


def _whole_chunks(folder: Path, array: Mapping[str, Any]) -> int:
    """How many chunk files stand whole before the first that does not."""
    size, chunk = array["shape"][0], array["chunk_grid"]["configuration"]["chunk_shape"][0]
    rest = ["0"] * (len(array["shape"]) - 1)  # a chunk holds all agents and the whole message
    files = (folder.joinpath("c", str(k), *rest) for k in range(size // chunk))
    return sum(1 for _ in takewhile(_is_whole, files))


def _is_whole(chunk: Path) -> bool:
    """Whether a blosc file has the size that its own header gives (bytes 12 to 15)."""
    try:
        with chunk.open("rb") as file:
            return int.from_bytes(file.read(16)[12:], "little") == os.fstat(file.fileno()).st_size > 0
    except OSError:
        return False


def _json(file: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
