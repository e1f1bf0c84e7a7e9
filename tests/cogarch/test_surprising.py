"""Surprise gates what is remembered, and nobody who reads it changes it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from buses import START, part
from memories import memory, rand
from torch import Tensor

import agents
import envs
from cogarch import Bus, Signal, Step
from cogarch.config import Agent
from cogarch.run import contracts, heard
from cogarch.wiring import WiringError
from cogarch.world.jepa import Jepa
from envs import policies

TICKS = 60
MODULES: dict[str, dict[str, Any]] = {
    "lec": {"use": "fly_hash", "cells": 200},
    "mec": {"use": "rotor", "motion": "given"},
    "world": {"use": "jepa", "size": 8, "hidden": 16},
}


def column(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


@pytest.mark.parametrize("grad", [False, True])
def test_what_is_usual_leaves_no_memory(grad: bool) -> None:
    hc = memory(capacity=3, surprising=2.0)
    g, x = F.normalize(rand(4, 3, 5), dim=-1), rand(4, 3, 3, seed=1)
    no = torch.zeros(3, 1, dtype=torch.bool)
    state = hc.init(3)
    with torch.set_grad_enabled(grad):
        said, state = hc.store(state, g[0], x[0], column(0, 2, 1.9), ~no[:, :1] & column(1, 0, 0).bool())
        assert said["hc/stored"][:, 0].tolist() == [True, True, False]
        assert (state["strength"] > 0).sum(1).tolist() == [1, 1, 0]
        said, state = hc.store(state, g[1], x[1], column(5, 0, 3), no)
        assert said["hc/stored"][:, 0].tolist() == [True, False, True]
        assert (state["strength"] > 0).sum(1).tolist() == [2, 1, 1]
        before = {name: v.clone() for name, v in state.items()}
        said, state = hc.store(state, g[2], x[2], column(0, 0, 0), no)
        assert not said["hc/stored"].any()
        assert all(torch.equal(before[name], v) for name, v in state.items())
        near = [float(g[2, 0] @ g[i, 0]) for i in (0, 1)]
        assert said["hc/slot"][:, 0].tolist() == [near.index(max(near)), 0, 0]
    torch.testing.assert_close(hc.read(state, g[0], steps=1).value[1], x[0, 1])


def test_a_known_place_is_refreshed_however_usual() -> None:
    hc, no, yes = memory(capacity=2, merge=0.9, surprising=1.0), torch.zeros(1, 1).bool(), torch.ones(1, 1).bool()
    g, x = torch.eye(5)[:3, None], F.one_hot(torch.arange(3))[:, None].float()
    _, state = hc.store(hc.init(1), g[0], x[0], column(0), yes)
    _, state = hc.store(state, g[1], x[1], column(9), no)
    said, state = hc.store(state, g[0], x[0], column(0), no)  # refreshed: the other one is now the oldest
    assert not said["hc/stored"].any()
    assert said["hc/slot"].item() == 0
    said, state = hc.store(state, g[2], x[2], column(9), no)
    assert said["hc/stored"].all()
    assert said["hc/slot"].item() == 1


def lived(hc: dict[str, Any], play: bool) -> dict[str, Tensor]:
    agent = Agent(name="watcher", modules={**MODULES, "hc": {"use": "modern_hopfield", "capacity": 64, **hc}})
    world = envs.make("cogarch/TwoRooms-v0", 3, size=6, view=5, objects=4)
    bus = agent.build(contracts(world), batch=3, seed=0)
    walk = heard(policies.walk(world, "drifting", TICKS, world_seeds=[1, 2, 3], policy_seed=0))
    with torch.no_grad():
        if play:
            return bus.play(walk)
        said = []
        for t in range(TICKS):
            bus.restart(walk["env/start"][t].flatten())
            said.append(bus.tick({topic: x[t] for topic, x in walk.items()}))
    return {topic: torch.stack([tick[topic] for tick in said]) for topic in said[0]}


def test_a_memory_that_reads_surprise_changes_nothing_of_it() -> None:
    for play in (False, True):
        free = lived({}, play)
        enough = float(free["world/surprise"].median())
        gated = lived({"surprising": enough}, play)
        for topic in ("world/z", "world/z_predicted", "world/surprise", "lec/x", "mec/g"):
            assert torch.equal(free[topic], gated[topic]), topic
        assert free["hc/stored"].all()
        expected = (gated["world/surprise"] >= enough) | (torch.arange(TICKS) == 0)[:, None, None]
        assert torch.equal(gated["hc/stored"], expected)
        assert 0.3 < gated["hc/stored"].float().mean() < 0.7


def test_nobody_teaches_what_it_measures() -> None:
    """No loss of who reads surprise reaches the world model: it is read without gradient."""
    agent = Agent(name="watcher", modules={**MODULES, "hc": {"use": "modern_hopfield", "surprising": 1.0}})
    bus = agent.build(contracts(envs.make("cogarch/TwoRooms-v0", 1, view=5)), batch=1, seed=0, learning=True)
    assert "world" not in bus.reach()["loss/retrieval"]
    assert "world" in bus.reach()["loss/next"]


def test_a_loss_of_a_reader_changes_no_weight_of_the_world_model() -> None:
    """Nor does one that asks for gradients."""
    envs_ = {"env/observation": Signal((3,)), "env/action": Signal(dtype=torch.int64, values=4), "env/start": START}
    torch.manual_seed(0)
    model = Jepa(envs_, size=4, hidden=8)
    whim = part(
        Step("want", {"surprise": "world/surprise"}, {"executive/mood": Signal(), "loss/want": Signal(())}),
        want=lambda surprise: {"executive/mood": surprise, "loss/want": -surprise[..., 0]},
    )
    bus = Bus(envs_, {"world": model, "executive": whim}, batch=2, seed=0)
    start = torch.zeros(5, 2, 1, dtype=torch.bool)
    start[0] = True
    walk = {"env/observation": torch.randn(5, 2, 3), "env/action": torch.ones(5, 2, 1).long(), "env/start": start}
    said = bus.play(walk)
    assert float(said["loss/want"].min()) < 0
    assert not said["loss/want"].requires_grad
    assert said["loss/next"].requires_grad


def test_without_a_world_model_there_is_no_surprise() -> None:
    agent = agents.load("explorer").change("hc", surprising=1.0)
    with pytest.raises(WiringError, match=r"reads 'world/surprise', which nobody writes; give the agent a module"):
        agent.build(contracts(envs.make("cogarch/Square-v0", 1)))
