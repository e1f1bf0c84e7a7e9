"""Learning from recordings of runs: which walks are cut, that a stop changes nothing, and what does not fit."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from test_cli import Said, command, one_sentence
from test_jepa_training import ctrl_c, small
from test_life import assert_finite, stopped_at
from test_run import explorer
from test_train import assert_same

import envs
from cogarch.config import Agent
from cogarch.files import FileError
from cogarch.folder import RunFolder
from cogarch.learning.recorded import Recorded
from cogarch.learning.train import resume, train
from cogarch.recording import Recording, open_recording
from cogarch.run import contracts, run, truth

__all__ = ["command", "ctrl_c"]  # fixtures

WORLD, OPTIONS = "cogarch/TwoRooms-v0", {"size": 5, "view": "map", "objects": 1}


def lived(out: Path, agent: Agent | None = None, world: str = WORLD, **settings: Any) -> Path:
    made: dict[str, Any] = {"steps": 30, "episodes": 2, "batch": 3, "options": OPTIONS, **settings}
    return run(agent or small(), world, out=out, console=tiny.quiet(), **made).path


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lived(tmp_path_factory.mktemp("life") / "run")


def learn(out: Path, *recorded: Path, agent: Agent | None = None, **settings: Any) -> Path:
    agent = agent or small()
    return train(agent, recorded=recorded, out=out, save_every=2, console=tiny.quiet(), **settings).path


def cut(recorded: Recorded, agent: Agent, first: int = 0, last: int = 3, seed: int = 0) -> list[Any]:
    world, options = recorded.lived_in()
    with contextlib.closing(envs.make(world, 1, **options)) as env:
        recorded.fit(env, world, options, agent.training)
    return list(recorded.windows(agent, world, options, seed, first, last))


# --- what is cut ------------------------------------------------------------------------------------------------------


def test_walks_are_pieces_of_what_was_lived_by_any_agent_at_any_time(tmp_path: Path, life: Path) -> None:
    agent, other = small().train_with(batch=400, visited_only=True), lived(tmp_path / "other", steps=8, seed=5, batch=1)
    found = [open_recording(path / "recording.zarr").load() for path in (life, other)]
    pieces: dict[bytes, int] = {}
    for recording in found:
        for row in range(recording.sizes["agent"]):
            for t in range(recording.sizes["tick"] - 5):
                part = recording.isel(tick=slice(t, t + 6), agent=row)
                action, start = part["env.action"].values.copy(), part["env.start"].values.copy()
                action[0], start[0] = -1, True
                whole = action.tobytes() + start.tobytes() + part["env.observation"].values.tobytes()
                pieces[whole] = pieces.get(whole, 0) + 1
    batches = cut(Recorded([life, other]), agent)
    with contextlib.closing(envs.make(WORLD, 1, **OPTIONS)) as env:
        assert set(batches[0].walk) == set(contracts(env))
    times: dict[bytes, int] = {}
    for batch in batches:
        assert not batch.counts[0].any() and batch.counts.any()
        for row in range(400):
            names = ("env/action", "env/start", "env/observation")
            whole = b"".join(batch.walk[name][:, row].numpy().tobytes() for name in names)
            times[whole] = times.get(whole, 0) + 1
    assert times.keys() <= pieces.keys() and len(times) > 0.95 * len(pieces)
    assert max(times.values()) < 30  # 1,200 draws of 180


def test_walks_are_a_function_of_seed_and_update(life: Path) -> None:
    whole, rest, other = (cut(Recorded([life]), small(), first, 3, seed) for first, seed in ((0, 0), (1, 0), (0, 1)))
    for one, same in zip(rest, whole[1:], strict=True):
        assert all(torch.equal(one.walk[topic], x) for topic, x in same.walk.items())
    assert not torch.equal(whole[0].walk["env/action"], whole[1].walk["env/action"])
    assert not torch.equal(whole[0].walk["env/action"], other[0].walk["env/action"])


# --- learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("replay", [0, 2])
@pytest.mark.usefixtures("ctrl_c")
def test_stopped_and_resumed_it_is_unbroken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, life: Path, replay: int
) -> None:
    going_on = tmp_path / "life"
    shutil.copytree(life, going_on)
    agent = small().train_with(replay=replay, policy="own")  # who walks does not matter
    unbroken = learn(tmp_path / "unbroken", going_on, agent=agent)
    assert_same(unbroken, learn(tmp_path / "again", going_on, agent=agent))
    config = json.loads((unbroken / "run.json").read_text())
    assert config["recorded"] == [{"path": str(going_on / "recording.zarr"), "ticks": 60}]
    assert (config["env"], config["options"]) == (WORLD, OPTIONS)
    stopped_at(2, monkeypatch)
    stopped = learn(tmp_path / "stopped", going_on, agent=agent)
    assert RunFolder.open(stopped).config["status"] == "interrupted"
    shutil.move(going_on, tmp_path / "away")
    with pytest.raises(FileError, match="no such folder"):
        resume(RunFolder.open(stopped), tiny.quiet())
    lived(going_on, steps=20)
    with pytest.raises(FileError, match=r"recording.zarr held 60 ticks when the training began and holds 40; bring it"):
        resume(RunFolder.open(stopped), tiny.quiet())
    shutil.rmtree(going_on)
    shutil.move(tmp_path / "away", going_on)
    resume(RunFolder.open(stopped), tiny.quiet())
    assert_same(stopped, unbroken)


def test_any_agent_learns_from_what_another_lived(tmp_path: Path) -> None:
    by = lived(tmp_path / "by", explorer("uniform"), "Square-v0", options={"width": 4}, steps=100)
    agent = tiny.learner(updates=10)
    folder = train(agent, "Square-v0", recorded=[by], options={"width": 4}, out=tmp_path / "run", console=tiny.quiet())
    assert folder.config["status"] == "done" and folder.metrics[-1]["events"] > 0


def test_episodes_of_two_ticks_are_learned_from(tmp_path: Path) -> None:
    short = lived(tmp_path / "short", steps=2, episodes=10)
    agent = small().train_with(steps=3, batch=1, visited_only=True)
    assert_finite(learn(tmp_path / "run", short, agent=agent))


def test_actions_that_were_never_taken_are_told(tmp_path: Path) -> None:
    world = envs.make("Square-v0", 1, width=3)
    signals = {**contracts(world), **truth(world)}
    empty = {topic: signal.empty(1) for topic, signal in signals.items()}
    with Recording(tmp_path / "r.zarr", signals, length=40, batch=1) as recording:
        for t in range(40):
            acted = {"env/action": torch.full((1, 1), (t % 2) * 2), "env/node": torch.full((1, 1), t % 2)}
            recording.append({**empty, **(acted if t else {"env/action": torch.full((1, 1), -1)})})
    console, agent = tiny.quiet(), tiny.learner(updates=10)
    with pytest.raises(FileError, match=r"does not say in which world it was made.*cogarch train AGENT ENV --recorded"):
        train(agent, recorded=[tmp_path / "r.zarr"], out=tmp_path / "run", console=console)
    options = {"width": 3}
    train(agent, "Square-v0", recorded=[tmp_path / "r.zarr"], options=options, out=tmp_path / "run", console=console)
    said = " ".join(tiny.said(console).split())
    assert said.count("no walk took action 'north' (1), 'south' (3): the model knows nothing of them") == 1


def test_from_the_shell_it_ends_with_the_report(command: Callable[..., Said], life: Path) -> None:
    short = ("--set", "training.batch=4", "--updates", 3, "--set", "training.schedules={}", "--out", "trained")
    said = command("train", "jepa", "--recorded", life, *short)
    assert (said.status, said.out) == (0, "trained\n") and "position R2" in said.err
    assert json.loads(Path("trained/health.json").read_text())["verdict"]
    assert RunFolder.open(Path("trained")).config["options"] == OPTIONS
    said = command("train", "jepa", "--recorded", life, life, *short[:-1], "twice", "--set", "training.walk=90")
    assert "walks that are cut from recordings begin anywhere" in one_sentence(said)


# --- what does not fit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "training", "world", "options", "message"),
    [
        ({"steps": 2}, {}, None, {}, r"recording.zarr holds 4 ticks, fewer than training.steps = 6: record a longer"),
        ({"steps": 1, "episodes": 20}, {}, None, {}, "holds no transition, every tick begins an episode: record lives"),
        ({}, {"steps": 1}, None, {}, "training.steps is 1"),
        ({}, {}, "Square-v0", {}, "was lived in cogarch/TwoRooms-v0, not in Square-v0: leave the world out"),
        ({}, {}, WORLD, {}, r"was lived in .* with .* = .*, the training asks for no .*: give -o .*=.*, or leave the"),
        (
            {},
            {},
            None,
            {"size": 6},
            r"was lived in .* with size = 5, the training asks for size = 6: give -o size=5",
        ),
        (
            {"agent": explorer("uniform"), "world": "Square-v0", "options": {}},
            {},
            None,
            {"objects": 3},
            "with no objects, the training asks for objects = 3: leave -o objects out",
        ),
    ],
)
def test_recordings_that_do_not_fit_are_named_with_the_mend(
    tmp_path: Path, settings: Any, training: Any, world: Any, options: Any, message: str
) -> None:
    path = lived(tmp_path / "life", **settings)
    with pytest.raises(ValueError if training else FileError, match=message) as told:
        learn(tmp_path / "run", path, agent=small().train_with(**training), world=world, options=options)
    assert training or str(path) in str(told.value)
    assert not (tmp_path / "run").exists()


def test_what_is_no_whole_recording_is_named(tmp_path: Path, life: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(life, broken)
    (broken / "recording.zarr/env.action/c/0/0/0").write_bytes(b"")
    trained = learn(tmp_path / "trained", life)
    (tmp_path / "file").write_text("hello")
    for path, message in (
        (broken, "broken/recording.zarr is damaged.*env.action.*record anew, or leave it out"),
        (trained, "is a train and holds no recording; give the folder of a cogarch run"),
        (tmp_path / "nowhere", "nowhere is no run: it has no run.json"),
        (tmp_path / "file", "file is no run"),
        (tmp_path / "nowhere.zarr", "nowhere.zarr: there is no such folder; check the name"),
    ):
        with pytest.raises(FileError, match=message):
            learn(tmp_path / "run", path)
        assert not (tmp_path / "run").exists()


def test_a_recording_that_lacks_what_the_agent_reads_is_named(tmp_path: Path, life: Path) -> None:
    lacking = tmp_path / "lacking"
    shutil.copytree(life, lacking)
    meta = json.loads((lacking / "recording.zarr/zarr.json").read_text())
    del meta["consolidated_metadata"]["metadata"]["env.bump"]
    (lacking / "recording.zarr/zarr.json").write_text(json.dumps(meta))
    with pytest.raises(FileError, match="holds no 'env/bump', which cogarch/TwoRooms-v0 says: give a recording of"):
        learn(tmp_path / "run", lacking)


def test_what_the_report_scores_in_is_told(life: Path) -> None:
    """Recorded in the worlds from 10,000 on, in which a report of seed 0 scores; one of seed 1 does not."""
    recorded = Recorded([life])
    assert "in the worlds from 10000 on, in which a health report of seed 0" in recorded.scored(0)
    assert recorded.scored(1) == ""
