"""Learned codes say their version, and memories of two are never mixed."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch
from buses import START
from sensory_codes import conv, jepa, mapped, views

import agents
import envs
from cogarch import Bus, Signal
from cogarch.check import check_module, example_contracts
from cogarch.hc.modern_hopfield import ModernHopfield
from cogarch.lec.jepa import Jepa
from cogarch.module import Messages, Module
from cogarch.run import contracts


@pytest.mark.parametrize("make", [conv, jepa])
def test_the_version_is_that_of_the_weights_that_make_the_code(make: Any, tmp_path: Path) -> None:
    lec, other, seen = make(), make(), views(6, 2)
    assert int(lec.version) == int(other.version) != 0
    assert torch.equal(lec.encode(seen[0])["lec/version"], lec.version.expand(2, 1))
    with torch.no_grad():
        for p in lec.encoder.parameters():
            p.mul_(1.01)
    lec.learned({"env/observation": seen})
    assert int(lec.version) != int(other.version)
    other.load_state_dict(lec.state_dict())
    assert int(lec.version) == int(other.version)
    if isinstance(lec, Jepa):  # what only learns to foresee does not make the code
        kept = int(lec.version)
        with torch.no_grad():
            lec.predictor.mask.add_(1)
        lec.renew()
        assert int(lec.version) == kept


def bank(version: bool = True, **settings: Any) -> Bus:
    topics = {
        "mec/g_path": Signal((4,)),
        "mec/g": Signal((4,)),
        "lec/x": Signal((3,)),
        "env/start": START,
    } | ({"lec/version": Signal(dtype=torch.int64)} if version else {})
    return Bus(topics, {"hc": ModernHopfield(topics, **({"capacity": 20} | settings))}, batch=2)


def lived(ticks: int, seed: int = 0) -> Messages:
    g = torch.Generator().manual_seed(seed)
    at = torch.randn(ticks, 2, 4, generator=g)
    start = torch.zeros(ticks, 2, 1, dtype=torch.bool)
    return {"mec/g_path": at, "mec/g": at, "lec/x": torch.randn(ticks, 2, 3, generator=g), "env/start": start}


@pytest.mark.parametrize("merge", [0.0, 0.9])
@pytest.mark.parametrize("play", [False, True])
def test_memories_of_another_version_are_never_mixed(play: bool, merge: float) -> None:
    walk = lived(12)
    version = torch.full((12, 2, 1), 5)
    version[7:, 1] = -9  # the second agent's encoder changes
    version[9:, 0] = 5
    bus, same = bank(merge=merge), bank(False, merge=merge)

    def live(bus: Bus, walk: Messages) -> Messages:
        with torch.no_grad():
            if play:
                return bus.play(walk)
            said = [bus.tick({k: x[t].clone() for k, x in walk.items()}) for t in range(len(walk["env/start"]))]
        return {k: torch.stack([tick[k] for tick in said]) for k in said[0]}

    said = live(bus, walk | {"lec/version": version})
    whole, late = live(same, walk), live(bank(False, merge=merge), {k: x[7:] for k, x in walk.items()})
    for topic in ("hc/recalled_x", "hc/p", "hc/familiarity", "hc/slot"):
        torch.testing.assert_close(said[topic][:, 0], whole[topic][:, 0])
        torch.testing.assert_close(said[topic][:7, 1], whole[topic][:7, 1])
        torch.testing.assert_close(said[topic][7:, 1], late[topic][:, 1])  # a bank that was empty at tick 7
    assert not said["hc/recalled_x"][7, 1].any()
    assert bus.state["hc"]["renewed"].tolist() == [0, 1]
    notice = bus.part("hc").notice(bus.state["hc"])
    assert notice is not None and notice.startswith("the encoder changed: ") and "1 bank was begun anew" in notice
    assert same.part("hc").notice(same.state["hc"]) is None


def test_a_saved_life_goes_on_with_its_own_encoder_and_begins_anew_with_another() -> None:
    walk = lived(8)
    of = lambda version: walk | {"lec/version": torch.full((8, 2, 1), version)}  # noqa: E731
    bus = bank()
    bus.play(of(5))
    saved = bus.dump()
    for version, recalled in ((5, True), (6, False)):
        other = bank()
        other.load(saved)
        said = other.tick({k: x[3] for k, x in of(version).items()})
        assert bool(said["hc/recalled_x"].any()) == recalled
        assert other.part("hc").usage(other.state["hc"]).items.tolist() == ([9, 9] if recalled else [1, 1])  # type: ignore[operator]
        assert (other.part("hc").notice(other.state["hc"]) is None) == recalled


def test_a_living_agent_whose_encoder_changes_begins_a_new_bank() -> None:
    lec = conv()
    bus, walk = mapped(lec)
    ticks = [{topic: x[t] for topic, x in walk.items()} for t in range(10)]
    with torch.no_grad():
        for tick in ticks[:5]:
            said = bus.tick(tick)
        assert said["hc/recalled_x"].any() and bus.part("hc").notice(bus.state["hc"]) is None
        for p in lec.encoder.parameters():
            p.add_(0.01)
        lec.learned({})
        assert not bus.tick(ticks[5])["hc/recalled_x"].any()
        assert "3 banks were begun anew" in (bus.part("hc").notice(bus.state["hc"]) or "")
        assert bus.tick(ticks[6])["hc/recalled_x"].any()


@pytest.mark.parametrize(
    "settings",
    [{}, {"capacity": 5, "recall_g": True}, {"capacity": 4, "merge": 0.9}, {"capacity": 5, "landmark": 20.0}],
    ids=str,
)
def test_the_memory_passes_the_suite_with_versions_that_change_all_the_time(settings: dict[str, Any]) -> None:
    def make(topics: Any) -> Module:
        return ModernHopfield(topics, **settings)

    make.role = "hc"  # type: ignore[attr-defined]
    verdicts = check_module(make, example_contracts() | {"lec/version": Signal(dtype=torch.int64)})
    assert [v for v in verdicts if v.passed is not True and v.text != "no GPU here"] == []


def test_without_a_version_the_memory_is_as_it_was() -> None:
    bus, walk = bank(False), lived(30)
    assert bus.state["hc"].keys() == {"keys", "values", "strength", "last", "clock", "dropped"}
    said = bus.play(walk)
    of = torch.full((30, 2, 1), 3)
    versioned = bank().play(walk | {"lec/version": of})
    assert all(torch.equal(said[topic], versioned[topic]) for topic in said)


@pytest.mark.parametrize("view", [3, 5])
def test_the_viewer_is_shipped_with_weights_of_their_own_version(view: int) -> None:
    with contextlib.closing(envs.make("cogarch/Square-v0", 1, view=view)) as world:
        inputs = contracts(world)
    agent, why = agents.load("viewer").ready(inputs)
    assert not why and agent.weights is not None
    lec = agent.build(inputs).part("lec")
    assert isinstance(lec, Jepa)
    shipped = int(lec.version)
    lec.renew()
    assert int(lec.version) == shipped


def test_a_memory_that_cannot_give_up_old_codes_is_refused() -> None:
    agent = agents.load("viewer").swap("hc", "hebbian")
    with contextlib.closing(envs.make("cogarch/Square-v0", 1, view=5)) as world:
        with pytest.raises(ValueError, match=r"cannot give up those of a code that changed.*use hc/modern_hopfield"):
            agent.build(contracts(world))
        agent.swap("lec", "fly_hash", cells=50).build(contracts(world))
