"""The predictive world model learns: its noise, its slow target, and trainings that are the same to the bit."""

from __future__ import annotations

import contextlib
import math
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file
from test_jepa import BATCH, living, walked, world
from test_train import assert_same, metrics
from torch import Tensor

import agents
import envs
from cogarch import regularisers
from cogarch.bus import Bus
from cogarch.config import Agent
from cogarch.folder import RunFolder
from cogarch.learning import walks
from cogarch.learning.backprop import Batch, Diverged, update
from cogarch.learning.replay import Replay, _Mark
from cogarch.learning.train import resume, train
from cogarch.learning.walks import batches
from cogarch.module import Messages
from cogarch.objectives import objective
from cogarch.run import contracts, heard
from cogarch.world.examine import examine_run
from cogarch.world.jepa import Jepa
from envs import policies

OPTIONS = {"size": 5, "view": "map", "objects": 1, "layouts": "train"}


@pytest.fixture(autouse=True)
def few_walkers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walks, "WALKERS", 40)


def small(losses: dict[str, float] | None = None, updates: int = 6, **settings: Any) -> Agent:
    agent = agents.load("jepa").change("world", **{"size": 8, "hidden": 16, "projections": 8, **settings})
    changed = {} if losses is None else {"losses": losses}
    return agent.train_with(updates=updates, batch=4, steps=6, options=OPTIONS, schedules={}, **changed)


def learn(out: Path, agent: Agent, **settings: Any) -> Path:
    return train(agent, out=out, console=tiny.quiet(), save_every=2, **settings).path


def begun(agent: Agent) -> tuple[Bus, Batch, list[torch.nn.Parameter]]:
    """A bus that is about to learn, its first walks, its weights."""
    with contextlib.closing(envs.make("cogarch/TwoRooms-v0", 1, **OPTIONS)) as env:
        bus = agent.build(contracts(env), batch=4, learning=True)
    batch = next(batches(agent, "cogarch/TwoRooms-v0", OPTIONS, 0, 0, 1))
    return bus, batch, [p for p in bus.parts.parameters() if p.requires_grad]


def weights(model: torch.nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


# --- one update -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.9, 0.25])
def test_the_target_goes_a_part_of_the_way_and_has_no_gradient(momentum: float) -> None:
    agent = small(target="momentum", momentum=momentum)
    bus, batch, learned = begun(agent)
    model = world(bus)
    assert model.target is not None
    before, target = weights(model.encoder), weights(model.target)
    assert all(torch.equal(a, b) for a, b in zip(before, target, strict=True))
    for number in range(2):
        target = weights(model.target)
        update(bus, torch.optim.Adam(learned, lr=0.01), batch, agent.training, learned, number, False)
        for slow, was, fast in zip(model.target.parameters(), target, model.encoder.parameters(), strict=True):
            torch.testing.assert_close(slow.detach(), momentum * was + (1 - momentum) * fast.detach())
            assert slow.grad is None and not slow.requires_grad
    assert not any(torch.equal(a, b) for a, b in zip(before, weights(model.encoder), strict=True))


@pytest.mark.parametrize("target", ["own", "momentum"])
def test_what_error_is_usual_is_followed_slowly_by_training_alone(target: str) -> None:
    bus, walk = living(target=target), walked()
    model, mixed = world(bus), torch.randn(5, 5)
    model.usual.copy_(mixed @ mixed.T)
    if model.target is not None:
        for weight in model.target.parameters():
            weight.data.mul_(0.5)
    before = model.usual.clone()
    with torch.no_grad():
        said = bus.play(walk)
    assert torch.equal(model.usual, before)
    model.learned(said)
    aim = said["world/z" if target == "own" else "world/z_target"]
    both = []
    for t, row in (~walk["env/start"][..., 0]).nonzero().tolist():
        error = said["world/z_predicted"][t, row] - aim[t, row]
        both.append(torch.outer(error, error))
    torch.testing.assert_close(model.usual, 0.99 * before + 0.01 * sum(both) / len(both))
    before = model.usual.clone()
    model.learned(said | {"env/start": torch.ones_like(walk["env/start"])})
    assert torch.equal(model.usual, before)


def test_the_usual_surprise_of_what_was_learned_is_about_1() -> None:
    """Where the usual errors are those of these walks, their mean is 1 by definition, whatever their scale."""
    bus, walk = living(), walked()
    with torch.no_grad():
        said = bus.play(walk)
        for _ in range(1500):
            world(bus).learned(said)
        surprise = bus.play(walk)["world/surprise"][~walk["env/start"]]
    assert 0.9 < float(surprise.mean()) < 1.01


def test_predictions_aim_at_the_target_where_there_is_one() -> None:
    bus, walk = living(target="momentum"), walked()
    model = world(bus)
    assert model.target is not None
    with torch.no_grad():
        for weight in model.target.parameters():
            weight.mul_(0.5)
    said = bus.play(walk)
    assert torch.equal(said["world/z_target"], model.target(walk["env/observation"]))
    assert not said["world/z_target"].requires_grad and not torch.equal(said["world/z_target"], said["world/z"])
    gap = (said["world/z_predicted"] - said["world/z_target"]).square().mean(-1)
    counts = ~walk["env/start"][..., 0]
    torch.testing.assert_close(said["loss/next"][counts], gap[counts])
    moved, start = walk["env/action"], walk["env/start"]
    aimed = model.rollout(said["world/z"], moved, start, said["world/z_target"])
    assert torch.equal(objective(bus, "loss/rollout", said, 0), aimed)


def test_the_loss_is_the_sum_that_the_training_says() -> None:
    """Losses of ticks over those that count, losses of walks over all of them; each is reported as it is."""
    agent = small({"loss/next": 2.0, "loss/variance": 3.0, "loss/rollout": 0.5})
    bus, batch, learned = begun(agent)
    counts = torch.rand(batch.counts.shape) < 0.4
    with torch.no_grad():
        said = bus.play(batch.walk)
        z = said["world/z"]
        expected = {
            "loss/next": float(said["loss/next"][counts].mean()),
            "loss/variance": float(regularisers.variance(z)),
            "loss/rollout": float(world(bus).rollout(z, batch.walk["env/action"], batch.walk["env/start"], z)),
        }
    thinned = Batch(batch.walk, counts, batch.zero_shot)
    row = update(bus, torch.optim.SGD(learned, lr=0.0), thinned, agent.training, learned, 0, True)
    for topic, value in expected.items():
        assert row[topic] == pytest.approx(value, rel=1e-5)
    total = 2 * expected["loss/next"] + 3 * expected["loss/variance"] + 0.5 * expected["loss/rollout"]
    assert row["loss"] == pytest.approx(total, rel=1e-5)


def test_only_what_the_losses_need_is_played(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = small({"loss/variance": 1.0})
    bus, batch, learned = begun(agent)
    called: list[str] = []

    def watched(method: str, own: Any) -> Any:
        return lambda *args, **named: called.append(method) or own(*args, **named)

    for method in ("encode", "predict_from_this", "compare", "variance", "covariance", "inverse"):
        monkeypatch.setattr(Jepa, method, watched(method, getattr(Jepa, method)))
    assert update(bus, torch.optim.SGD(learned, lr=0.1), batch, agent.training, learned, 0, True)["gradient_norm"] > 0
    assert called == ["encode", "predict_from_this", "variance"]  # also what the module hears


# --- noise ------------------------------------------------------------------------------------------------------------


def test_the_lines_of_sigreg_are_a_matter_of_seed_and_update_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Tensor] = []
    monkeypatch.setattr(Jepa, "sigreg", lambda self, z, directions: drawn.append(directions) or z.mean())

    def lines(seed: int, number: int, batch: int = BATCH, ticks: int = 0) -> Tensor:
        bus = living(batch, seed=seed, projections=30)
        said = bus.play(walked(batch=batch))
        for _ in range(ticks):
            bus.play(walked(batch=batch, seed=9))
            torch.rand(3)
        objective(bus, "loss/sigreg", said, number)
        return drawn[-1]

    one = lines(0, 3)
    assert one.shape == (5, 30) and 0.7 < float(one.std()) < 1.3 and abs(float(one.mean())) < 0.3
    assert torch.equal(one, lines(0, 3)) and torch.equal(one, lines(0, 3, batch=2, ticks=2))
    others = [lines(0, 4), lines(1, 3), lines(0, 300)]
    assert not any(bool((one == other).any()) for other in others)


def test_each_update_has_lines_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Tensor] = []
    own = Jepa.sigreg
    monkeypatch.setattr(
        Jepa, "sigreg", lambda self, z, directions: drawn.append(directions) or own(self, z, directions)
    )
    agent = small({"loss/sigreg": 1.0})
    bus, batch, learned = begun(agent)
    for number in (0, 1, 2, 1):
        update(bus, torch.optim.SGD(learned, lr=0.0), batch, agent.training, learned, number, False)
    assert torch.equal(drawn[1], drawn[3])
    assert not any(torch.equal(drawn[i], drawn[j]) for i in range(3) for j in range(i))


def test_each_loss_is_where_the_agent_is() -> None:
    """On the device that stands for all others: a tensor made elsewhere would not mix with those there."""
    for predictor in ("mlp", "gru", "transformer"):
        bus = living(predictor=predictor, ensemble=2)
        with torch.no_grad():
            said = {topic: x.to("meta") for topic, x in bus.play(walked()).items()}
            bus.to("meta")
            for topic in bus.objectives:
                assert objective(bus, topic, said, 0).device.type == "meta", topic


# --- whole trainings --------------------------------------------------------------------------------------------------


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    "agent",
    [
        small(),
        small({"loss/rollout": 1.0, "loss/sigreg": 0.1}, predictor="gru", ensemble=2),
        small(target="momentum", momentum=0.9, predictor="transformer"),
        small().train_with(replay=2),
    ],
    ids=["own", "sigreg", "momentum", "replay"],
)
@pytest.mark.usefixtures("ctrl_c")
def test_stopped_and_resumed_it_is_unbroken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: Agent) -> None:
    unbroken = learn(tmp_path / "unbroken", agent)
    assert_same(unbroken, learn(tmp_path / "again", agent))
    presses = iter([False, False, True])

    def learned(self: Jepa, said: Messages, own: Any = Jepa.learned) -> None:
        own(self, said)
        if next(presses, False):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Jepa, "learned", learned)
    stopped = learn(tmp_path / "stopped", agent)
    assert RunFolder.open(stopped).config["status"] == "interrupted" and next(presses, None) is None
    resume(RunFolder.open(stopped), tiny.quiet())
    assert RunFolder.open(stopped).config["status"] == "done"
    assert_same(stopped, unbroken)
    other = load_file(learn(tmp_path / "other", agent, seed=1) / "weights.safetensors")
    same = load_file(unbroken / "weights.safetensors")
    assert not any(torch.equal(same[name], other[name]) for name in same if same[name].ndim > 1)


def test_each_loss_has_a_column_and_nothing_is_scored_that_cannot_be(tmp_path: Path) -> None:
    console = tiny.quiet()
    agent = small({"loss/rollout": 1.0, "loss/covariance": 0.5}, updates=20)
    (first, last) = metrics(train(agent, out=tmp_path / "run", console=console).path)
    assert float(first["loss"]) == pytest.approx(float(first["loss/rollout"]) + 0.5 * float(first["loss/covariance"]))
    assert last["zero_shot"] == "nan" and "zero-shot" not in tiny.said(console)
    assert not {"loss/variance", "loss/next"} & first.keys()


def test_it_learns_to_predict_and_does_not_collapse(tmp_path: Path) -> None:
    def measured(agent: Agent) -> tuple[float, float]:
        """The spread of the code, the error of predictions as a share of its variance."""
        bus, batch, _ = begun(agent)
        with torch.no_grad():
            said = bus.play(batch.walk)
        z = said["world/z"].flatten(0, 1)
        return float(z.std(0).mean()), float(said["loss/next"][1:].mean() / z.var(0).mean())

    spread, error = measured(agents.load(learn(tmp_path / "whole", small(updates=150))))
    assert 0.5 < spread < 2 and error < 0.1 * measured(small())[1]
    alone = small({"loss/next": 1.0}, updates=150)
    assert measured(agents.load(learn(tmp_path / "alone", alone)))[0] < 0.1 * spread


def test_a_loss_that_is_not_there_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no module writes the loss 'loss/rolout'; did you mean 'loss/rollout'\?"):
        learn(tmp_path / "run", small({"loss/rolout": 1.0}))
    assert not (tmp_path / "run").exists()


def test_an_objective_that_is_not_finite_stops_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter([1.0, 1.0, 1.0, float("nan")])
    covariance = Jepa.covariance
    monkeypatch.setattr(Jepa, "covariance", lambda self, z: covariance(self, z) * next(made))
    with pytest.raises(Diverged, match="after 3 updates 'loss/covariance' is not finite, though every message is"):
        learn(tmp_path / "run", small())
    kept = load_file(tmp_path / "run" / "checkpoint.safetensors")
    assert all(bool(x.isfinite().all()) for x in kept.values())
    assert RunFolder.open(tmp_path / "run").config["status"] == "diverged"


@pytest.mark.parametrize(("settings", "why"), [({}, "nobody writes 'loss/next'"), ({"walk": 200}, "agents that stay")])
def test_a_replay_that_cannot_be_is_refused_before_there_is_a_folder(
    settings: dict[str, int], why: str, tmp_path: Path
) -> None:
    agent = agents.load("learner").train_with(replay=3, **settings)
    with pytest.raises(ValueError, match=f"training.replay is 3, but {why}"):
        train(agent, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_replay_draws_walks_through_a_door_more_often() -> None:
    """Of the shipped model, in its own worlds: more than twice as often as they are walked."""
    agent, n = agents.load("jepa"), 1600
    shipped = agent.model_copy(update={"weights": agent.trained})
    with contextlib.closing(envs.make("cogarch/TwoRooms-v0", n, **agent.training.options)) as env:
        bus = shipped.build(contracts(env), batch=n, seed=0, learning=True)
        walk = policies.walk(env, "drifting", 9, world_seeds=range(n), policy_seed=0)
        passed = np.array([(env.rooms(row)[walk["node"][:, row]] < 0).any() for row in range(n)])
    replay = Replay(1, agent.training.rare, seed=0)
    replay.add(Batch(heard(walk), torch.ones(9, n), np.zeros((9, n), bool)))
    with torch.no_grad():
        said = bus.play(heard(walk), ["loss/next"])
    _Mark(replay, torch.arange(n))(said)
    drawn = replay.draw(4000, 0)[1].which
    assert 0.02 < passed.mean() < 0.06
    assert passed[drawn.numpy()].mean() > 2 * passed.mean()


def test_numbers_of_the_nodes_of_a_graph_are_learned_from(tmp_path: Path) -> None:
    graph = nx.karate_club_graph()
    for node in graph:
        graph.nodes[node].clear()
        graph.nodes[node].update(friends=graph.degree[node], age=node / 10)
    for i, edge in enumerate(sorted(graph.edges)):
        graph.edges[edge].clear()
        graph.edges[edge]["weight"] = i
    nx.write_graphml(graph, tmp_path / "club.graphml")
    options = {"graph": str(tmp_path / "club.graphml"), "label": None, "features": "friends, age"}
    agent = agents.load("jepa").train_with(updates=30, policy="uniform")
    folder = train(agent, "cogarch/Graph-v0", options=options, out=tmp_path / "run", console=tiny.quiet())
    rows = folder.metrics
    assert rows[-1]["loss/variance"] < rows[0]["loss/variance"]
    assert all(math.isfinite(row["loss"]) for row in rows)
    health = examine_run(folder)
    assert math.isfinite(health.accuracy)
    assert set(health.surprise) == {"teleport"}
