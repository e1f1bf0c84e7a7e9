"""Bad input to whole runs: full disks, and folders that are cut short, damaged or foreign.

Beside the parts: wirings in test_wiring and test_bus, settings and weights in test_config, files in test_files,
recordings in test_recording, checkpoints in test_train, words of the command line in test_cli, graphs in tests/envs.
"""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
import xarray as xr
from zarr.storage import LocalStore

import agents
from cogarch import Agent, cli
from cogarch.config import ConfigError
from cogarch.files import FileError
from cogarch.folder import RunFolder
from cogarch.learning.train import resume, train
from cogarch.recording import Recording, RecordingWarning, open_recording
from cogarch.run import run


def explorer() -> Agent:
    return agents.load("explorer").change("mec", modules=1, cells=4).change("hc", capacity=64)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two chunks of ticks."""
    out = tmp_path_factory.mktemp("life") / "run"
    return run(explorer(), "Square-v0", steps=300, options={"width": 5}, out=out, console=tiny.quiet()).path


# --- disks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "cause"),
    [(errno.ENOSPC, "no space is left on the device"), (errno.EROFS, "the file system is read-only")],
)
def test_a_disk_that_refuses_a_new_run_is_said_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, cause: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    for what, name in ((Path, "mkdir"), (os, "replace")):
        for begin in (run, train):
            with monkeypatch.context() as patch:
                patch.setattr(what, name, refuse)
                with pytest.raises(FileError, match=f"cannot write {tmp_path}/.*: {cause}"):
                    begin(tiny.learner(), "Square-v0", out=tmp_path / "deep" / "run", console=tiny.quiet())
            assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_disk_that_fills_up_ends_a_run_with_what_was_committed(
    tmp_path: Path, life: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, put = tmp_path / "run", LocalStore.set
    whole = open_recording(life / "recording.zarr").load()
    written = 0

    async def fill_up(self: LocalStore, key: str, value: Any) -> None:
        nonlocal written
        written += "/c/1" in key
        if written > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        await put(self, key, value)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "set", fill_up)
        with pytest.raises(FileError, match=r"cannot write .*recording\.zarr: no space is left on the device"):
            run(explorer(), "Square-v0", steps=300, options={"width": 5}, out=out, console=tiny.quiet())
    assert RunFolder.open(out).config["status"] == "failed"
    with xr.open_zarr(out / "recording.zarr") as plain:
        assert int(plain["committed"]) == 256
    xr.testing.assert_identical(open_recording(out / "recording.zarr").load(), whole.isel(tick=slice(256)))


def test_of_two_failures_the_first_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk that does not take the recording does not take the end of the run in run.json either."""
    out = tmp_path / "run"

    def full(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def refuse(self: Recording, messages: object) -> None:
        monkeypatch.setattr(os, "replace", full)
        raise FileError(f"cannot write {self.path}: the first failure")

    monkeypatch.setattr(Recording, "append", refuse)
    with pytest.raises(FileError, match="the first failure"):
        run(explorer(), "Square-v0", steps=3, out=out, console=tiny.quiet())
    assert json.loads((out / "run.json").read_text())["status"] == "running"


def test_a_folder_that_holds_a_run_or_is_none_is_not_overwritten(tmp_path: Path, life: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in life.rglob("*")}
    for begin in (run, train):
        with pytest.raises(FileError, match="holds a run already; name another folder with --out"):
            begin(tiny.learner(), "Square-v0", out=life, console=tiny.quiet())
        (tmp_path / "file").write_text("mine")
        with pytest.raises(FileError, match=f"cannot write {tmp_path / 'file'}"):
            begin(tiny.learner(), "Square-v0", out=tmp_path / "file", console=tiny.quiet())
        with pytest.raises(FileError, match=f"cannot write {tmp_path / 'file' / 'run'}: .* is a file, not a folder"):
            begin(tiny.learner(), "Square-v0", out=tmp_path / "file" / "run", console=tiny.quiet())
    assert {path: path.stat().st_mtime_ns for path in life.rglob("*")} == before
    assert (tmp_path / "file").read_text() == "mine"


# --- run.json ---------------------------------------------------------------------------------------------------------


def without(key: str) -> str:
    config = {"kind": "train", "status": "done", "agent": {}, "env": "Square-v0", "options": {}, "seed": 0}
    return json.dumps({name: value for name, value in config.items() if name != key})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"train"',
        "\0\0\0",
        "{}",
        *(without(key) for key in ("kind", "agent", "env", "options", "seed")),
        without("").replace('"agent": {}', '"agent": "explorer"'),
        without("").replace('"seed": 0', '"seed": "0"'),
    ],
)
def test_a_run_json_that_is_cut_short_or_foreign_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(FileError, match=r"run\.json is not a run's configuration .*; it was cut short or is foreign"):
        RunFolder.open(tmp_path)
    with pytest.raises(FileError, match="is not a run's configuration"):
        agents.load(tmp_path)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(FileError, match="is not a run's configuration"):
        RunFolder.open(tmp_path)


def test_an_agent_that_a_run_json_cannot_hold_is_named(tmp_path: Path, life: Path) -> None:
    config = json.loads((life / "run.json").read_text())
    config["agent"]["modules"]["mex"] = config["agent"]["modules"].pop("mec")
    (tmp_path / "run.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"run\.json: modules: .*no role 'mex'; did you mean 'mec'"):
        agents.load(tmp_path)


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileError, match=f"{path} is no run: it has no run.json"):
            RunFolder.open(path)


# --- what lies beside it ----------------------------------------------------------------------------------------------


def test_an_agent_whose_weights_are_lost_or_cut_short_is_refused(tmp_path: Path) -> None:
    folder = train(tiny.learner(updates=2), out=tmp_path / "run", console=tiny.quiet())
    weights, out = folder.path / "weights.safetensors", tmp_path / "life"
    learned, whole = agents.load(folder.path), weights.read_bytes()
    for damage, message in (
        (whole[:-8], "cut short at .* bytes and lacks mec.orientation"),
        (b"", "the file is empty"),
        (b"PK\x03\x04 a pickle in a zip", "it is no safetensors file"),
    ):
        weights.write_bytes(damage)
        with pytest.raises(FileError, match=f"cannot read {weights}: .*{message}"):
            run(learned, "Square-v0", steps=2, out=out, console=tiny.quiet())
        assert not out.exists()
    weights.unlink()
    with pytest.raises(FileError, match=f"cannot read {weights}"):
        run(learned, "Square-v0", steps=2, out=out, console=tiny.quiet())
    with pytest.raises(FileError, match="has saved no weights yet"):
        agents.load(folder.path)


def test_metrics_of_another_kind_are_left_alone(tmp_path: Path) -> None:
    folder = train(tiny.learner(updates=2), out=tmp_path / "run", console=tiny.quiet())
    metrics = folder.path / "metrics.csv"
    metrics.write_text("a,b\n1,2\n")
    with pytest.raises(FileError, match="its columns are a,b"):
        resume(RunFolder.open(folder.path), tiny.quiet())
    assert metrics.read_text() == "a,b\n1,2\n"


def test_the_good_part_of_a_damaged_recording_is_drawn_and_the_rest_is_said(
    tmp_path: Path, life: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(life, folder)
    chunk = folder / "recording.zarr/hc.p/c/1/0/0"
    chunk.write_bytes(chunk.read_bytes()[:20])
    cli.ratemaps(folder, topic="mec/g", shuffles=3)
    said = capsys.readouterr()
    assert said.out.split()[0] == str(folder / "figures/mec.g.png")
    assert "recording.zarr is damaged: the first 256 of 300 ticks" in said.err
    assert "it lacks chunk 1 of hc.p (missing or cut short), from tick 256" in said.err
    with pytest.warns(RecordingWarning, match="it lacks chunk 1 of hc.p"):
        good = open_recording(folder / "recording.zarr")
    xr.testing.assert_identical(good.load(), open_recording(life / "recording.zarr").load().isel(tick=slice(256)))

    shutil.rmtree(folder / "recording.zarr")
    with pytest.raises(FileError, match=r"cannot read .*recording\.zarr: there is no such folder"):
        cli.ratemaps(folder)
    (folder / "recording.zarr").mkdir()
    with pytest.raises(FileError, match="it is no recording of cogarch"):
        cli.ratemaps(folder)


def test_a_recording_copied_out_of_its_run_is_drawn(tmp_path: Path, life: Path) -> None:
    shutil.copytree(life / "recording.zarr", tmp_path / "mine.zarr")
    cli.ratemaps(tmp_path / "mine.zarr", topic="mec/g", shuffles=3)
    assert (tmp_path / "figures/scores.csv").exists()
