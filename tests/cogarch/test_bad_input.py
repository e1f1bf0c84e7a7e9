"""Bad input to whole runs: full disks, and folders that are cut short, damaged or foreign.

Beside the parts: wirings in test_wiring and test_bus, settings and weights in test_config, files in test_files,
recordings in test_recording, checkpoints in test_train, words of the command line in test_cli, graphs in tests/envs.
"""

import errno
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny
import xarray as xr
from torch import Tensor
from zarr.storage import LocalStore

import agents
import envs
from cogarch import Agent, Module, Read, Signal, Step, cli
from cogarch.config import ConfigError
from cogarch.files import FileError
from cogarch.folder import RunFolder
from cogarch.learning.train import resume, train
from cogarch.learning.zero_shot import evaluate, predict
from cogarch.module import Messages
from cogarch.recording import Recording, RecordingWarning, open_recording
from cogarch.run import contracts, hear, run
from envs import policies
from envs.continuous.arena import Arena


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


# --- walks of no length -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"steps": 0}, {"steps": -3}, {"episodes": 0}, {"batch": 0}, {"seed": -1}])
def test_a_life_of_no_ticks_is_refused_before_there_is_a_folder(tmp_path: Path, settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="steps, episodes and batch are at least 1 and seed at least 0; got "):
        run(explorer(), "Square-v0", out=tmp_path / "run", console=tiny.quiet(), **settings)  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "settings", [{"steps": 0}, {"walks": 0}, {"together": 0}, {"seed": -1}, {"world_seed": -1}, {"walks": -2}]
)
def test_walks_of_no_ticks_are_not_scored(settings: dict[str, int]) -> None:
    with pytest.raises(
        ValueError, match="walks, steps and together are at least 1, seed and world_seed at least 0; got"
    ):
        evaluate(tiny.learner(), "Square-v0", **settings)  # type: ignore[arg-type]


def test_nothing_is_predicted_of_a_walk_of_no_ticks() -> None:
    world = envs.make("Square-v0", 2, width=4)
    walk = policies.walk(world, "drifting", 3, world_seeds=[0, 1], policy_seed=0)
    bus = tiny.learner().build(contracts(world), batch=2)
    with pytest.raises(ValueError, match="a walk of 0 ticks: give 1 or more"):
        predict(bus, {name: x[:0] for name, x in walk.items()})


@pytest.mark.parametrize(
    "walk",
    [0, -5, 19, True, 25.0, "long", [0, 0], [60, 40], [19, 40], [40], [20, 40, 60], []],
)
def test_a_stay_that_is_none_or_shorter_than_an_update_is_refused(walk: Any) -> None:
    said = f"training.walk: Value error, {walk!r} is no stay in a world; give ticks, or [low, high], no fewer than "
    with pytest.raises(ConfigError, match=re.escape(f"{said}training.steps = 20")):
        tiny.learner().train_with(walk=walk)


@pytest.mark.parametrize("walk", [None, 20, 700, [20, 20], [20, 700], (40, 50)])
def test_a_stay_of_an_update_or_more_is_taken(walk: Any) -> None:
    stays = tiny.learner().train_with(walk=walk).training.walk
    assert stays == (tuple(walk) if isinstance(walk, list) else walk)


@pytest.mark.parametrize("setting", ["steps", "batch"])
def test_a_training_of_no_ticks_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=rf"training\.{setting}: Input should be greater than 0"):
        tiny.learner().train_with(**{setting: 0})


# --- weights of other shapes ------------------------------------------------------------------------------------------


def test_weights_that_do_not_fit_are_named_with_both_shapes(tmp_path: Path) -> None:
    """Where they are asked for it is an error; where the agent is only shipped with them, it lives untrained and says
    so."""
    folder = train(tiny.learner(updates=1), out=tmp_path / "run", console=tiny.quiet())
    path = folder.path / "weights.safetensors"
    other = tiny.learner().change("mec", modules=3)
    lacking = (
        r"'mec\.\w+' is \[2(, 2)?\] in the file and \[3(, 2)?\] in the agent; it was trained in .*Square-v0 or with"
    )
    world = contracts(envs.make("Square-v0", 1))
    with pytest.raises(FileError, match=f"{path}: {lacking} other settings: use those, or train again"):
        other.model_copy(update={"weights": path}).build(world)
    shipped = other.model_copy(update={"trained": path})
    agent, why = shipped.ready(world)
    assert agent.weights is None and re.search(lacking, why)
    console = tiny.quiet()
    run(shipped, "Square-v0", steps=2, out=tmp_path / "life", console=console)
    assert re.search(rf"has not learned yet \(the weights it is shipped with: {path}: {lacking}", tiny.said(console))


# --- a folder in which somebody trains --------------------------------------------------------------------------------


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, {})
    with folder.held():
        assert (tmp_path / "lock").read_text() == str(os.getpid())
        with (
            pytest.raises(
                FileError, match=f"process {os.getpid()} is training in {tmp_path}: wait until it ends, or end"
            ),
            RunFolder(tmp_path, {}).held(),
        ):
            raise AssertionError("held twice")
    with folder.held():
        pass


def test_what_goes_wrong_in_a_held_folder_is_told_as_it_is_and_lets_go(tmp_path: Path) -> None:
    for error in (OSError(errno.ENOENT, "mine"), KeyboardInterrupt(), FileError("cannot write elsewhere")):
        with pytest.raises(type(error)) as told, RunFolder(tmp_path, {}).held():
            raise error
        assert told.value is error
    with RunFolder(tmp_path, {}).held():
        pass
    with (
        pytest.raises(FileError, match=f"cannot write {tmp_path / 'nowhere' / 'lock'}"),
        RunFolder(tmp_path / "nowhere", {}).held(),
    ):
        raise AssertionError("held what is not there")


def test_a_process_that_is_killed_lets_go(tmp_path: Path) -> None:
    holds = (
        "import sys; from pathlib import Path; from cogarch.folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1]), {}).held(): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holds, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(FileError, match=f"process {other.pid} is training in"), RunFolder(tmp_path, {}).held():
            raise AssertionError("held twice")
        other.kill()
    with RunFolder(tmp_path, {}).held():
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_a_training_is_not_resumed_where_another_one_is_under_way(tmp_path: Path) -> None:
    folder = train(tiny.learner(updates=2), out=tmp_path / "run", console=tiny.quiet())
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    with folder.held(), pytest.raises(FileError, match=f"process {os.getpid()} is training in {folder.path}"):
        resume(RunFolder.open(folder.path), tiny.quiet())
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before


def test_a_walk_of_no_ticks_is_not_played() -> None:
    world = envs.make("Square-v0", 2, width=4)
    walk = policies.walk(world, "drifting", 3, world_seeds=[0, 1], policy_seed=0)
    heard = hear({name: x for name, x in walk.items() if name not in ("node", "place", "heading")})
    for name in ("explorer", "tem"):
        bus = agents.load(name).build(contracts(world), batch=2)
        with pytest.raises(ValueError, match="a walk of 0 ticks cannot be played: give 1 or more"):
            bus.play({topic: x[:0] for topic, x in heard.items()})
        assert bus.t == 0


# --- observations that are not numbers --------------------------------------------------------------------------------


class Senses(Module):
    """Takes in numbers as they are."""

    role = "lec"

    def __init__(self, topics: Mapping[str, Signal]) -> None:
        super().__init__()
        self.seen = topics["env/observation"]

    def steps(self) -> list[Step]:
        x, recalled = Signal(self.seen.shape), Read("hc/recalled_x", shape=self.seen.shape)
        return [
            Step("sense", {"observation": "env/observation"}, {"lec/x": x}),
            Step("predict", {"recalled_x": recalled}, {"lec/x_predicted": x}),
            Step("compare", {"x": "lec/x", "x_predicted": "lec/x_predicted"}, {"loss/prediction": Signal(())}),
        ]

    def sense(self, observation: Tensor) -> Messages:
        return {"lec/x": observation}

    def predict(self, recalled_x: Tensor) -> Messages:
        return {"lec/x_predicted": recalled_x}

    def compare(self, x: Tensor, x_predicted: Tensor) -> Messages:
        return {"loss/prediction": (x - x_predicted).square().mean(-1)}


FIELD = {"observation": "field"}


@pytest.fixture(params=[math.nan, math.inf])
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """From tick 3 on, what row 1 of an arena senses is not a number."""
    whole, calls = Arena._observe, Counter[int]()

    def observe(self: Arena) -> Any:
        seen, calls[id(self)] = whole(self), calls[id(self)] + 1
        if calls[id(self)] > 3:
            seen[1:2, -1] = request.param
        return seen

    monkeypatch.setattr(Arena, "_observe", observe)
    return f"env/observation of row 1 is {request.param} at tick 3: an agent takes in finite numbers only"


def test_an_observation_that_is_no_number_ends_a_life_with_its_tick_and_row(tmp_path: Path, broken: str) -> None:
    agent = explorer().swap("lec", f"{__name__}:Senses")
    with pytest.raises(ValueError, match=broken):
        run(agent, "Arena-v0", steps=9, batch=3, options=FIELD, out=tmp_path / "run", console=tiny.quiet())
    assert RunFolder.open(tmp_path / "run").config["status"] == "failed"
    with xr.open_zarr(tmp_path / "run" / "recording.zarr") as lived:
        assert int(lived["committed"]) == 3


@pytest.mark.parametrize("walk", [None, 20])
def test_nothing_is_learned_from_an_observation_that_is_no_number(
    tmp_path: Path, broken: str, walk: int | None
) -> None:
    agent = tiny.learner(walk=walk, policy="uniform").swap("lec", f"{__name__}:Senses")
    with pytest.raises(ValueError, match=broken):
        train(agent, "Arena-v0", options=FIELD, out=tmp_path / "run", console=tiny.quiet())
    assert RunFolder.open(tmp_path / "run").config["status"] == "failed"
    assert not (tmp_path / "run" / "weights.safetensors").exists()


def test_a_world_of_numbers_is_lived_in_and_learned_from(tmp_path: Path) -> None:
    """The same without the fault, so that it is the fault which is refused."""
    agent = tiny.learner(policy="uniform", updates=2).swap("lec", f"{__name__}:Senses")
    run(agent, "Arena-v0", steps=9, batch=3, options=FIELD, out=tmp_path / "run", console=tiny.quiet())
    train(agent, "Arena-v0", options=FIELD, out=tmp_path / "learned", console=tiny.quiet())
    assert [RunFolder.open(tmp_path / name).config["status"] for name in ("run", "learned")] == ["done", "done"]


def test_a_checkpoint_of_other_shapes_names_a_weight_and_both_shapes(tmp_path: Path) -> None:
    small, large = (
        train(tiny.learner(updates=1).change("mec", modules=n), out=tmp_path / str(n), console=tiny.quiet())
        for n in (2, 3)
    )
    shutil.copy(small.path / "checkpoint.safetensors", large.path / "checkpoint.safetensors")
    with pytest.raises(FileError, match=r"begin anew \('mec\.\w+' is \[2.*\] in it and \[3.*\] in the agent\)"):
        resume(RunFolder.open(large.path), tiny.quiet())
