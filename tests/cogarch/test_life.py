"""Learning from the agent's own life: what is lived, that it goes on after a stop, and what cannot be learned from."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file
from test_jepa_training import ctrl_c, learn, small
from test_run import explorer
from test_train import assert_same, metrics

import agents
import envs
from cogarch.bus import Bus
from cogarch.config import Agent, Schedule
from cogarch.folder import RunFolder
from cogarch.learning import walks
from cogarch.learning.backprop import Batch
from cogarch.learning.console import count_taken, untaken
from cogarch.learning.life import Life
from cogarch.learning.replay import Replay
from cogarch.learning.train import resume, train
from cogarch.learning.walks import batches, piece
from cogarch.module import Messages
from cogarch.recording import open_recording
from cogarch.run import contracts, living, run
from cogarch.world.jepa import Jepa
from envs import policies
from envs.spatial.two_rooms import TwoRooms

__all__ = ["ctrl_c"]  # a fixture

EMPTY = "MiniGrid-Empty-5x5-v0"
ENDS: dict[str, Any] = {"endless": False, "layout": "new"}


def own(agent: Agent | None = None, **training: Any) -> Agent:
    return (agent or small()).train_with(policy="own", **training)


def lives(agent: Agent, world: str, options: dict[str, Any], first: int, last: int, saved: Any = None) -> Any:
    """The windows of updates `first` to `last` - 1 of agents who do not learn, and what is saved after them."""
    with contextlib.closing(envs.make(world, 1, **options)) as env:
        learner = agent.build(contracts(env), learning=True)
    with contextlib.closing(Life(agent, world, options, 0, learner, tiny.quiet())) as life:
        if saved is not None:
            life.load(saved)
        return list(life.windows(first, last)), {name: x.clone() for name, x in life.dump().items()}


def assert_equal(one: Batch, other: Batch) -> None:
    assert one.walk.keys() == other.walk.keys()
    for topic, x in one.walk.items():
        assert torch.equal(x, other.walk[topic]), topic
    assert torch.equal(one.counts, other.counts) and np.array_equal(one.zero_shot, other.zero_shot)


# --- what is lived ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "world", "options"),
    [
        (explorer(), "Square-v0", {"width": 5, "motion_noise": 0.1}),
        (explorer(), EMPTY, ENDS),
        (agents.load("jepa"), "TwoRooms-v0", {"view": "map", "objects": 1}),
    ],
    ids=["memory", "lives that end", "shipped weights"],
)
def test_it_lives_as_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: Agent, world: str, options: dict[str, Any]
) -> None:
    agent = own(agent.model_copy(update={"weights": agent.trained}), steps=25, batch=3)
    monkeypatch.setattr(sys.modules["cogarch.run"], "SCORING_SEED", 0)  # life 0 of row b is in world b
    lived = run(agent, world, steps=100, batch=3, options=options, out=tmp_path / "run", console=tiny.quiet())
    recording = open_recording(lived.recording).load()
    windows, _ = lives(agent, world, options, 0, 4)
    before = {"env/action": -1, "env/motion": 0, "env/bump": False, "env/reward": 0, "env/start": True}
    for i, window in enumerate(windows):
        assert set(window.walk) == set(contracts(envs.make(world, 1, **options)))
        for topic, x in window.walk.items():
            expected = recording[topic.replace("/", ".")].values[25 * i : 25 * (i + 1)]
            np.testing.assert_array_equal(x[1:], expected[1:], err_msg=topic)
            np.testing.assert_array_equal(x[0], np.full_like(expected[0], before.get(topic, expected[0])))
    starts = torch.stack([window.walk["env/start"][1:] for window in windows])
    assert bool(starts.any()) == (world == EMPTY)


def test_weights_buffers_and_settings_of_the_update_are_lived_with() -> None:
    agent = own(small(target="momentum")).train_with(schedules={"world.momentum": Schedule(start=0.5, end=1.0, over=4)})
    world, options = "cogarch/TwoRooms-v0", agent.training.options
    with contextlib.closing(envs.make(world, 1, **options)) as env:
        learner = agent.build(contracts(env), learning=True)
    with contextlib.closing(Life(agent, world, options, 0, learner, tiny.quiet())) as life:
        for update, _ in enumerate(life.windows(0, 3)):
            now = life.bus.parts.state_dict()
            assert all(torch.equal(x, now[name]) for name, x in learner.parts.state_dict().items())
            assert life.bus.part("world").momentum == 0.5 + 0.125 * update
            with torch.no_grad():
                for x in learner.parts.state_dict().values():  # buffers, too
                    x.add_(1.0)
        assert "world.usual" in now


def test_a_life_ends_where_walk_says_and_the_next_is_in_another_world() -> None:
    agent = own(walk=(12, 30), steps=6, batch=5)
    world, options = agent.training.world, agent.training.options
    stayed: dict[int, list[int]] = {}
    with contextlib.closing(envs.make(world, 1, **options)) as env:
        learner = agent.build(contracts(env), learning=True)
    with contextlib.closing(Life(agent, world, options, 0, learner, tiny.quiet())) as life:
        for _ in life.windows(0, 12):
            for row, seed in life.env.seeds.items():
                stayed.setdefault(row, []).append(seed)
    for row, seeds in stayed.items():
        assert [seed % 5 for seed in seeds] == [row] * 12 and sorted(seeds) == seeds
        lengths = [seeds.count(seed) for seed in dict.fromkeys(seeds)]
        assert len(lengths) > 2 and all(2 <= n <= 5 for n in lengths[1:-1])
    assert len({tuple(np.diff(seeds)) for seeds in stayed.values()}) > 1  # they part


def test_what_counts_is_told_of_each_episode_by_itself() -> None:
    """A window over three episodes is marked like three walks."""
    agent = small().train_with(visited_only=True, batch=2)
    with contextlib.closing(envs.make("Square-v0", 2, width=3)) as env:
        walk = policies.walk(env, "drifting", 30, world_seeds=[0, 1], policy_seed=0)
    start, both = walk["start"], ("node", "place")
    start[[7, 20], 0] = True
    walk["action"][start] = -1

    def told(ticks: slice) -> Messages:
        names = (*both, "observation", "action", "motion", "bump", "start", "reward")
        found = {f"env/{name}": torch.from_numpy(walk[name][ticks]) for name in names}
        return {topic: x if x.dim() == 3 else x.unsqueeze(-1) for topic, x in found.items()}

    whole = piece(env, agent.training, told(slice(0, 30)))
    for a, b in ((0, 7), (7, 20), (20, 30)):
        part = piece(env, agent.training, told(slice(a, b)))
        assert torch.equal(whole.counts[a:b, 0], part.counts[:, 0]) and not part.counts[0].any()
        np.testing.assert_array_equal(whole.zero_shot[a:b, 0], part.zero_shot[:, 0])
    assert whole.zero_shot.any(0).all() and whole.counts.any(0).all()


def test_a_policy_may_walk_in_worlds_that_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walks, "WALKERS", 4)
    agent = small().train_with(steps=120, visited_only=True)
    batch = next(batches(agent, EMPTY, {"endless": False}, 0, 0, 1))
    assert batch.walk["env/start"][1:].any() and batch.counts.any()
    assert not (batch.counts & batch.walk["env/start"][..., 0]).any()


# --- stopped and gone on with -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("walk", "world", "options"),
    [
        (None, EMPTY, {**ENDS, "motion_noise": 0.2}),
        ((20, 60), EMPTY, ENDS),
        ((10, 30), "TwoRooms-v0", {"size": 5, "motion_noise": 0.1}),
        (30, "Arena-v0", {"trajectory": "smooth", "motion_noise": 0.1}),
    ],
)
def test_a_life_goes_on_to_the_bit(walk: Any, world: str, options: dict[str, Any]) -> None:
    agent = own(small(moved_by="motion"), walk=walk, steps=10, batch=3)
    whole, _ = lives(agent, world, options, 0, 12)
    part, saved = lives(agent, world, options, 0, 7)
    rest, _ = lives(agent, world, options, 7, 12, saved)
    assert len(part + rest) == len(whole)
    for one, other in zip(part + rest, whole, strict=True):
        assert_equal(one, other)
    longest = 120 if walk is None else max(walk) if isinstance(walk, tuple) else walk
    assert len(saved["actions"]) <= longest  # older lives are not walked again


def stopped_at(update: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """Ctrl-C while that update is learned from."""
    presses = iter([False] * update + [True])

    def learned(self: Jepa, said: Messages, own: Any = Jepa.learned) -> None:
        own(self, said)
        if next(presses, False):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Jepa, "learned", learned)
    return presses


@pytest.mark.parametrize(
    ("agent", "world", "options"),
    [
        (own(), None, {}),
        (own(replay=3, walk=(12, 24), rare=0.5), None, {"motion_noise": 0.1}),
        (own(small(predictor="gru", target="momentum"), replay=2), EMPTY, ENDS),
    ],
    ids=["one world", "replay", "lives that end"],
)
@pytest.mark.usefixtures("ctrl_c")
def test_stopped_and_resumed_it_is_unbroken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: Agent, world: str | None, options: dict[str, Any]
) -> None:
    at: dict[str, Any] = {"world": world, "options": options}
    unbroken = learn(tmp_path / "unbroken", agent, **at)
    assert_same(unbroken, learn(tmp_path / "again", agent, **at))
    presses = stopped_at(3, monkeypatch)
    stopped = learn(tmp_path / "stopped", agent, **at)
    assert RunFolder.open(stopped).config["status"] == "interrupted" and next(presses, None) is None
    resume(RunFolder.open(stopped), tiny.quiet())
    assert_same(stopped, unbroken)
    other = load_file(learn(tmp_path / "other", agent, seed=1, **at) / "weights.safetensors")
    same = load_file(unbroken / "weights.safetensors")
    assert not any(torch.equal(same[name], other[name]) for name in same if same[name].ndim > 1)


def test_a_replay_that_is_saved_with_its_walks_draws_the_same() -> None:
    made = list(batches(small(), "cogarch/TwoRooms-v0", small().training.options, 0, 0, 3))
    replay, back, empty = Replay(2, 1.0, 5), Replay(2, 1.0, 5), Replay(2, 1.0, 5)
    for batch in made:
        replay.add(batch)
    replay.priority = torch.rand(8)
    back.load(replay.dump(walks=True))
    assert back.held == 2 and torch.equal(back.priority, replay.priority)
    assert_equal(back.draw(6, 9)[0], replay.draw(6, 9)[0])
    assert set(replay.dump(walks=False)) == {"priority"}
    empty.load(Replay(2, 1.0, 5).dump(walks=True))
    assert empty.held == 0


def test_it_learns_from_its_life_and_from_what_is_kept_of_it(tmp_path: Path) -> None:
    for name, agent in (("fresh", own(updates=60)), ("kept", own(updates=60, replay=10, walk=60))):
        rows = [float(row["loss/rollout"]) for row in metrics(learn(tmp_path / name, agent))]
        assert rows[-1] < 0.6 * rows[0], name


def test_a_full_memory_is_told_while_it_learns(tmp_path: Path) -> None:
    console = tiny.quiet()
    agent = own(tiny.learner(updates=4)).change("hc", capacity=6, merge=0.0)
    train(agent, out=tmp_path / "run", console=console)
    assert tiny.said(console).count("is full") == 1


# --- what cannot be learned from --------------------------------------------------------------------------------------

EVERY_LOSS = dict.fromkeys(
    ("loss/next", "loss/rollout", "loss/variance", "loss/covariance", "loss/slowness", "loss/sigreg", "loss/inverse"),
    1.0,
)


def assert_finite(folder: Path) -> list[dict[str, str]]:
    assert all(bool(x.isfinite().all()) for x in load_file(folder / "checkpoint.safetensors").values())
    rows = metrics(folder)
    assert rows and all(np.isfinite(float(row[name])) for row in rows for name in row if name.startswith("loss"))
    return rows


@pytest.mark.parametrize("policy", ["own", "uniform"])
@pytest.mark.parametrize("predictor", ["mlp", "gru", "transformer"])
def test_one_walk_of_one_transition_is_learned_from(tmp_path: Path, policy: str, predictor: str) -> None:
    agent = small(EVERY_LOSS, predictor=predictor)
    agent = agent.train_with(policy=policy, steps=2, batch=1, replay=1, visited_only=True)
    assert_finite(learn(tmp_path / "run", agent))


@pytest.mark.parametrize("policy", ["own", "uniform"])
def test_worlds_that_end_at_once_are_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str) -> None:
    """A start, one move, the end: windows of two ticks hold one transition or none."""

    def ends(self: TwoRooms) -> tuple[Any, ...]:
        over = np.ones(self.num_envs, bool)
        return np.zeros(self.num_envs), over, over

    monkeypatch.setattr(TwoRooms, "_outcome", ends)
    agent = small(EVERY_LOSS).train_with(policy=policy, replay=2, steps=3, batch=1, visited_only=True)
    assert_finite(learn(tmp_path / "run", agent))
    agent = tiny.learner(updates=10, steps=4).train_with(policy=policy, visited_only=True)
    learn(tmp_path / "map", agent, world="TwoRooms-v0", options={"size": 5})


@pytest.mark.parametrize("agent", [own(), small(), tiny.learner()])
def test_walks_of_one_tick_are_refused(tmp_path: Path, agent: Agent) -> None:
    with pytest.raises(
        ValueError, match=r"training.steps is 1: a walk of one tick holds no transition.*give 2 or more"
    ):
        learn(tmp_path / "run", agent.train_with(steps=1))
    assert not (tmp_path / "run").exists()


def test_an_agent_that_cannot_act_is_told_how_it_could(tmp_path: Path) -> None:
    agent = small()
    idle = own(agent.model_copy(update={"modules": {"world": agent.modules["world"]}}))
    with pytest.raises(
        ValueError, match=r"policy is 'own', but nobody writes 'executive/action'.*--swap executive=exp"
    ):
        learn(tmp_path / "run", idle)
    with pytest.raises(ValueError, match=r"'world.usual' is .4, 4. while learning and .8, 8. while living: leave out"):
        learn(tmp_path / "run", own(modules={"world": {"size": 4}}))
    assert not (tmp_path / "run").exists()


def test_actions_that_were_never_taken_are_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    act = policies.Uniform.act
    monkeypatch.setattr(policies.Uniform, "act", lambda self, info: np.minimum(act(self, info), 2))
    console = tiny.quiet()
    folder = train(small().train_with(policy="uniform"), out=tmp_path / "run", console=console, save_every=2)
    text = " ".join(tiny.said(console).split())
    assert text.count("no walk took action 'south' (3): the model knows nothing of it") == 1
    assert_finite(folder.path)
    learn(tmp_path / "all", small(), options={})


def test_what_was_taken_is_told_in_words() -> None:
    taken, names = torch.zeros(3, dtype=torch.int64), ("left", "right", "forward")
    assert untaken(taken, names).startswith("no walk held a transition")
    count_taken(torch.tensor([[[-1]], [[2]], [[2]]]), taken)
    assert taken.tolist() == [0, 0, 2]
    assert untaken(taken, names) == "no walk took action 'left' (0), 'right' (1): the model knows nothing of them"
    count_taken(torch.tensor([[[0]], [[1]]]), taken)
    assert untaken(taken, names) == ""


def test_living_has_no_end(tmp_path: Path) -> None:
    """The loop of `run` itself: lives of two ticks, each in the next world of its row."""
    with contextlib.closing(envs.make("Square-v0", 2, width=3)) as env:
        bus: Bus = explorer().build(contracts(env), batch=2)
        ticks = living(env, bus, lambda t: {} if t % 2 else dict.fromkeys(range(2), None if t else 7))
        with torch.no_grad():
            starts = [next(ticks)["env/start"].all().item() for _ in range(7)]
    assert starts == [True, False] * 3 + [True]
