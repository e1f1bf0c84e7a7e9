import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from cogarch.files import FileError
from cogarch.module import Signal
from cogarch.recording import Recording, RecordingWarning, open_recording

BATCH = 3
SIGNALS = {
    "mec/g": Signal((2, 4), torch.float32, cells="grid", unit="rate"),
    "env/node": Signal((1,), torch.int64),
    "env/start": Signal((1,), torch.bool),
    "hc/count": Signal((), torch.uint8),
}


def truth(topic: str, ticks: np.ndarray | range) -> torch.Tensor:
    """What is said on `topic` at these ticks, `[n, B, *shape]`: another number for each tick, agent and cell."""
    signal = SIGNALS[topic]
    size = BATCH * int(np.prod(signal.shape))
    numbers = torch.tensor(ticks)[:, None] * size + torch.arange(size)
    if signal.dtype == torch.bool:
        numbers = (numbers * 7919) % 3 == 0
    return numbers.reshape(-1, BATCH, *signal.shape).to(signal.dtype)


def walk(start: int, stop: int) -> dict[str, torch.Tensor]:
    return {topic: truth(topic, range(start, stop)) for topic in SIGNALS}


def tick(k: int) -> dict[str, torch.Tensor]:
    return {topic: values[0] for topic, values in walk(k, k + 1).items()}


def assert_holds(dataset: xr.Dataset, ticks: int) -> None:
    """Every one of the first `ticks` ticks of every topic is there, to the bit."""
    for topic in SIGNALS:
        values = dataset[topic.replace("/", ".")][:ticks].to_numpy()
        assert len(values) == ticks
        np.testing.assert_array_equal(values, truth(topic, range(ticks)).numpy())


def record(path: Path, ticks: int, *, length: int = 100, chunk: int = 8) -> Path:
    with Recording(path, SIGNALS, length=length, batch=BATCH, chunk=chunk, attrs={"seed": 5}) as recording:
        recording.extend(walk(0, ticks))
    return path


def test_plain_xarray_reads_what_was_recorded(tmp_path):
    dataset = xr.open_zarr(record(tmp_path / "recording.zarr", 21))
    assert int(dataset["committed"]) == 21
    assert_holds(dataset, 21)
    grid = dataset["mec.g"]
    assert grid.dims == ("tick", "agent", "mec.g.0", "mec.g.1")
    assert grid.shape == (104, 3, 2, 4)  # whole chunks
    assert grid.attrs == {"topic": "mec/g", "cells": "grid", "unit": "rate"}
    assert dataset.attrs["seed"] == 5
    for name, fill in {"mec.g": np.nan, "env.node": -1, "env.start": False, "hc.count": 0}.items():
        rest = dataset[name][21:].to_numpy()
        np.testing.assert_array_equal(rest, np.full_like(rest, fill))


def test_the_modules_of_a_signal_are_recorded(tmp_path):
    signals = {"mec/g": Signal((9,), cells="grid", modules=(4, 3, 2)), "hc/p": Signal((9,))}
    Recording(tmp_path / "r.zarr", signals, length=4, batch=1).close()
    for dataset in (xr.open_zarr(tmp_path / "r.zarr"), open_recording(tmp_path / "r.zarr")):
        assert dataset["mec.g"].attrs["modules"] == [4, 3, 2]
        assert "modules" not in dataset["hc.p"].attrs


def test_open_recording_holds_the_committed_ticks_alone(tmp_path):
    dataset = open_recording(record(tmp_path / "recording.zarr", 21))
    assert set(dataset) == {"mec.g", "env.node", "env.start", "hc.count"}
    assert dataset.sizes["tick"] == 21
    assert_holds(dataset, 21)


def test_a_recording_without_ticks_opens(tmp_path):
    path = record(tmp_path / "recording.zarr", 0)
    assert open_recording(path).sizes["tick"] == 0
    assert int(xr.open_zarr(path)["committed"]) == 0


@pytest.mark.parametrize(
    "dtype",
    ["float16", "float32", "float64", "bool", "uint8", "uint16", "int8", "int16", "int32", "int64"],
)
def test_every_dtype_comes_back(tmp_path, dtype):
    values = (torch.rand(5, 2, 3) * 3 - 1).to(getattr(torch, dtype))
    with Recording(tmp_path / "r.zarr", {"a/b": Signal((3,), values.dtype)}, length=5, batch=2) as recording:
        recording.extend({"a/b": values})
    read = open_recording(tmp_path / "r.zarr")["a.b"]
    assert str(read.dtype) == dtype
    np.testing.assert_array_equal(read.to_numpy(), values.numpy())


def test_a_recording_that_is_going_on_can_be_read(tmp_path):
    path = tmp_path / "recording.zarr"
    recording = Recording(path, SIGNALS, length=30, batch=BATCH, chunk=8)
    for k in range(30):
        recording.append({**tick(k), "lec/x": torch.zeros(BATCH)})  # a topic that is not recorded
        if k % 5 == 4:
            assert recording.flush() == k + 1
        sure = max(5 * ((k + 1) // 5), 8 * ((k + 1) // 8))
        assert int(xr.open_zarr(path)["committed"]) == recording.committed == sure
        assert recording.ticks == k + 1
    assert_holds(open_recording(path), 30)


@settings(deadline=None, max_examples=25)
@given(
    chunk=st.integers(1, 9),
    deeds=st.lists(st.one_of(st.integers(0, 20), st.sampled_from(["append", "flush", "resume"])), max_size=12),
)
def test_any_split_gives_the_same_recording(tmp_path_factory, chunk, deeds):
    path = tmp_path_factory.mktemp("split") / "recording.zarr"
    recording = Recording(path, SIGNALS, length=300, batch=BATCH, chunk=chunk)
    ticks = 0
    for deed in deeds:
        if deed == "append":
            recording.append(tick(ticks))
            ticks += 1
        elif deed == "flush":
            assert recording.flush() == ticks
        elif deed == "resume":
            recording = Recording.resume(path)
            ticks = recording.ticks
            assert ticks == recording.committed
        else:
            recording.extend(walk(ticks, ticks + deed))
            ticks += deed
        assert recording.ticks == ticks
        assert ticks - recording.committed < chunk
    recording.close()
    plain = xr.open_zarr(path)
    assert int(plain["committed"]) == ticks
    assert_holds(plain, ticks)
    assert np.isnan(plain["mec.g"][ticks:]).all()
    assert open_recording(path).sizes["tick"] == ticks


def test_resume_at_an_earlier_tick_forgets_the_later_ones(tmp_path):
    path = record(tmp_path / "recording.zarr", 21)
    recording = Recording.resume(path, at=10)
    assert open_recording(path).sizes["tick"] == recording.ticks == recording.committed == 10
    recording.extend(walk(10, 13))
    recording.close()
    assert open_recording(path).sizes["tick"] == 13
    assert_holds(xr.open_zarr(path), 13)
    with pytest.raises(ValueError, match="holds 13 ticks and cannot be continued at tick 14"):
        Recording.resume(path, at=14)


def in_new_process(call: str) -> list[str]:
    """The lines that a function of this file prints in a process of its own."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parents[1])])
    command = [sys.executable, "-c", f"import test_recording; test_recording.{call}"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.splitlines()


def write_on(path: Path, acknowledge: int) -> None:
    """The process that is killed: writes for ever and says after each commit how many ticks are sure."""
    chance = random.Random(path.name)
    recording = Recording(path, SIGNALS, length=10**6, batch=BATCH, chunk=16)
    told = 0
    while True:
        if chance.random() < 0.5:
            recording.append(tick(recording.ticks))
        else:
            recording.extend(walk(recording.ticks, recording.ticks + chance.randrange(1, 40)))
        if chance.random() < 0.5:
            recording.flush()
        if recording.committed > told:
            told = recording.committed
            os.write(acknowledge, told.to_bytes(8, "little"))


def kill_writers(folder: str, moments: int) -> None:
    """Start a writer, kill it at a random moment, print what it had acknowledged; again and again.

    Forks, since to start Python anew for each would take a minute.
    """
    chance = random.Random(0)
    for moment in range(moments):
        path = Path(folder) / f"{moment}.zarr"
        hear, acknowledge = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                write_on(path, acknowledge)
            finally:
                os._exit(1)
        os.close(acknowledge)
        creating = moment < 4  # killed about when the folder is made, the others after a random count of commits
        told = b"".join(os.read(hear, 8) for _ in range(0 if creating else chance.randrange(1, 15)))
        time.sleep(chance.uniform(0, 0.06 if creating else 0.01))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, "the writer died before it was killed"
        with os.fdopen(hear, "rb") as rest:
            told += rest.read()
        print(int.from_bytes(told[-8:], "little"))


def test_a_writer_killed_at_random_moments_loses_no_acknowledged_tick(tmp_path):
    told = [int(line) for line in in_new_process(f"kill_writers({str(tmp_path)!r}, 22)")]
    assert len(told) == 22
    assert sum(count > 0 for count in told) >= 18
    for moment, count in enumerate(told):
        path = tmp_path / f"{moment}.zarr"
        if not path.exists():  # killed before the folder had its name
            assert count == 0
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            dataset = xr.open_zarr(path)
            committed = int(dataset["committed"])
            assert committed >= count
            assert_holds(dataset, committed)
            assert open_recording(path).sizes["tick"] == committed
        if moment % 3 == 0:
            recording = Recording.resume(path)
            recording.extend(walk(committed, committed + 20))
            recording.close()
            assert_holds(open_recording(path), committed + 20)
            assert not list(path.rglob("*.partial"))


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def print_growth(path: str, chunks: int) -> None:
    """Memory that a process gains while it records chunks of 1 MB, the first few aside."""
    noise = np.random.default_rng(0)
    recording = Recording(path, {"hc/p": Signal((1024,))}, length=10**8, batch=16, chunk=16)
    before = 0
    for k in range(chunks):
        if k == 10:
            before = resident()
        recording.extend({"hc/p": noise.random((16, 16, 1024), dtype=np.float32)})
    print(resident() - before)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of a process as Linux tells it")
def test_memory_does_not_grow_with_the_length(tmp_path):
    (growth,) = in_new_process(f"print_growth({str(tmp_path / 'r.zarr')!r}, 70)")
    shutil.rmtree(tmp_path / "r.zarr")
    assert int(growth) < 20 * 2**20  # of the 60 MB that were written


def test_chunks_of_wide_messages_are_bounded(tmp_path):
    signals = {"hc/p": Signal((1024,)), "env/node": Signal((1,), torch.int64)}
    Recording(tmp_path / "r.zarr", signals, length=1000, batch=64, chunk=256)
    dataset = xr.open_zarr(tmp_path / "r.zarr")
    assert dataset["hc.p"].encoding["chunks"] == (32, 64, 1024)  # 8 MB
    assert dataset["env.node"].encoding["chunks"] == (32, 64, 1)
    Recording(tmp_path / "one.zarr", {"hc/p": Signal((2**22,))}, length=10, batch=1)
    assert xr.open_zarr(tmp_path / "one.zarr")["hc.p"].encoding["chunks"] == (1, 1, 2**22)


def test_a_recording_gets_its_name_when_it_is_whole(tmp_path, monkeypatch):
    path, rename, named = tmp_path / "recording.zarr", os.replace, []

    def replace(source: Path, target: Path) -> None:
        assert path.exists() == bool(named)
        if Path(target) == path:
            named.append(int(xr.open_zarr(source)["committed"]))
        rename(source, target)

    with monkeypatch.context() as watched:
        watched.setattr(os, "replace", replace)
        Recording(path, SIGNALS, length=100, batch=BATCH)
    assert named == [0]
    assert [p.name for p in tmp_path.iterdir()] == ["recording.zarr"]


@pytest.mark.parametrize(("code", "cause"), [(errno.ENOSPC, "no space is left"), (errno.EROFS, "read-only")])
def test_a_disk_that_refuses_loses_nothing(tmp_path, monkeypatch, code, cause):
    path = tmp_path / "recording.zarr"

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as full:
        full.setattr(os, "replace", refuse)
        with pytest.raises(FileError, match=cause):
            Recording(path, SIGNALS, length=100, batch=BATCH, chunk=8)
        assert not list(tmp_path.iterdir())
    recording = Recording(path, SIGNALS, length=100, batch=BATCH, chunk=8)
    recording.extend(walk(0, 13))
    recording.flush()
    with monkeypatch.context() as full:
        full.setattr(os, "replace", refuse)
        with pytest.raises(FileError, match=cause) as caught:
            recording.extend(walk(13, 16))
        assert str(path) in str(caught.value)
        with pytest.raises(FileError, match=cause):
            recording.append(tick(16))
        with pytest.raises(FileError, match=cause):
            recording.flush()
        assert recording.committed == 13
        assert recording.ticks == 16  # in memory
        assert_holds(open_recording(path), 13)
        assert not list(path.rglob("*.partial"))
    recording.append(tick(16))
    recording.close()
    assert_holds(open_recording(path), 17)


def test_a_write_that_fails_half_way_loses_nothing(tmp_path):
    path = tmp_path / "recording.zarr"
    noise = torch.rand(24, 2, 512)
    recording = Recording(path, {"hc/p": Signal((512,))}, length=24, batch=2, chunk=8)
    recording.extend({"hc/p": noise[:10]})
    recording.flush()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(FileError, match="file-size limit"):
            recording.extend({"hc/p": noise[10:]})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    np.testing.assert_array_equal(open_recording(path)["hc.p"], noise[:10])
    recording.extend({"hc/p": noise[recording.ticks :]})
    np.testing.assert_array_equal(open_recording(path)["hc.p"], noise)


def cut(file: Path, keep: float) -> None:
    os.truncate(file, int(file.stat().st_size * keep))


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Ticks 0 to 20 in the chunks 0-7, 8-15, 16-23."""
    return record(tmp_path / "recording.zarr", 21)


@pytest.mark.parametrize("keep", [0, 0.5, 0.99])
def test_without_its_metadata_a_recording_opens(whole, keep):
    cut(whole / "zarr.json", keep)
    with pytest.warns(RecordingWarning, match=r"lacks zarr\.json"):
        dataset = open_recording(whole)
    assert dataset.sizes["tick"] == 21
    assert_holds(dataset, 21)
    cut(whole / "mec.g" / "zarr.json", keep)
    with pytest.warns(RecordingWarning, match=r"mec\.g/zarr\.json"):
        dataset = open_recording(whole)
    assert set(dataset) == {"env.node", "env.start", "hc.count"}
    with pytest.raises(FileError, match=r"damaged and lacks zarr\.json"):
        Recording.resume(whole)


def test_metadata_of_one_variable_is_not_missed(whole):
    (whole / "mec.g" / "zarr.json").unlink()
    assert_holds(open_recording(whole), 21)  # the consolidated copy serves


@pytest.mark.parametrize("keep", [0, 0.1, 0.9])
def test_ticks_before_a_torn_chunk_open(whole, keep):
    cut(whole / "mec.g/c/1/0/0/0", keep)
    message = r"first 8 of 21 ticks of .* lacks chunk 1 of mec\.g \(missing or cut short\), from tick 8"
    with pytest.warns(RecordingWarning, match=message):
        dataset = open_recording(whole)
    assert dataset.sizes["tick"] == 8
    assert_holds(dataset, 8)
    with pytest.raises(FileError, match=r"damaged and lacks chunk 1 of mec\.g"):
        Recording.resume(whole)


def test_a_missing_variable_is_dropped_and_named(whole):
    shutil.rmtree(whole / "env.node")
    with pytest.warns(RecordingWarning, match=r"first 21 of 21 ticks .* chunk 0 of env\.node"):
        dataset = open_recording(whole)
    assert set(dataset) == {"mec.g", "env.start", "hc.count"}
    assert dataset.sizes["tick"] == 21


def test_without_the_count_the_full_chunks_open(whole):
    (whole / "committed/c").unlink()
    with pytest.warns(RecordingWarning, match="the count of ticks"):
        dataset = open_recording(whole)
    assert dataset.sizes["tick"] == 16
    assert_holds(dataset, 16)


def test_what_is_no_recording_is_refused(tmp_path, whole):
    with pytest.raises(FileError, match="there is no such folder"):
        open_recording(tmp_path / "none.zarr")
    (tmp_path / "empty").mkdir()
    xr.Dataset({"a": ("x", [1.0])}).to_zarr(tmp_path / "foreign.zarr", consolidated=False)
    xr.Dataset({"a": ("x", [1.0])}).to_zarr(tmp_path / "old.zarr", zarr_format=2)
    for name in ("empty", "foreign.zarr", "old.zarr"):
        for reader in (open_recording, Recording.resume):
            with pytest.raises(FileError, match=f"{name}: it is no recording"):
                reader(tmp_path / name)
    for folder in whole.glob("*/c"):
        if folder.parent.name != "committed":
            shutil.rmtree(folder)
    with pytest.raises(FileError, match="nothing of the recording is left"):
        open_recording(whole)


def test_messages_that_do_not_fit_are_named(tmp_path):
    recording = Recording(tmp_path / "r.zarr", SIGNALS, length=10, batch=BATCH)
    good = tick(0)
    with pytest.raises(ValueError, match=r"records 'mec/g', which is not among the messages: did you mean 'mec/gg'"):
        recording.append({("mec/gg" if topic == "mec/g" else topic): values for topic, values in good.items()})
    with pytest.raises(ValueError, match=r"'mec/g' as float32 \[3, 2, 4\] a tick, the message is float64 \[3, 2, 4\]"):
        recording.append({**good, "mec/g": good["mec/g"].double()})
    with pytest.raises(ValueError, match=r"the message is float32 \[3, 2, 1\]"):  # numpy would broadcast
        recording.append({**good, "mec/g": good["mec/g"][..., :1]})
    with pytest.raises(ValueError, match="different counts of ticks"):
        recording.extend({**walk(0, 4), "mec/g": truth("mec/g", range(3))})
    assert recording.ticks == 0
    recording.extend(walk(0, 10))
    with pytest.raises(ValueError, match="was made for 10 ticks and holds 10: 1 more"):
        recording.append(tick(10))
    assert recording.flush() == 10
    assert_holds(open_recording(tmp_path / "r.zarr"), 10)


def test_a_gradient_is_no_hindrance(tmp_path):
    with Recording(tmp_path / "r.zarr", {"lec/x": Signal((2,))}, length=1, batch=1) as recording:
        recording.append({"lec/x": torch.ones(1, 2, requires_grad=True)})
    assert open_recording(tmp_path / "r.zarr")["lec.x"].sum() == 2


def test_what_cannot_be_recorded_is_named(tmp_path, whole):
    with pytest.raises(FileError, match="it exists; name another folder"):
        Recording(whole, SIGNALS, length=10, batch=BATCH)
    assert_holds(open_recording(whole), 21)
    for signals, cause in [
        ({"a/b": Signal((1,), torch.bfloat16)}, "'a/b' cannot be recorded as bfloat16: send it as float32"),
        ({"a/b": Signal((1,), torch.complex64)}, "'a/b' cannot be recorded as complex64"),
        ({"committed": Signal()}, "'committed' cannot be recorded"),
        ({"a/b.c": Signal(), "a/b/c": Signal()}, "'a/b.c' cannot be recorded"),
        ({}, "needs a topic, a tick and an agent"),
    ]:
        with pytest.raises(ValueError, match=cause):
            Recording(tmp_path / "r.zarr", signals, length=10, batch=BATCH)
    with pytest.raises(ValueError, match="length=0"):
        Recording(tmp_path / "r.zarr", SIGNALS, length=0, batch=BATCH)
    assert [p.name for p in tmp_path.iterdir()] == ["recording.zarr"]
