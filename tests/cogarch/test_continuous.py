"""Continuous sensory codes: what all of them do, their losses by hand, their training, and the bench of them."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from sensory_codes import PIXELS, SMALL, VIEW, conv, jepa, mapped, views

import agents
from cogarch import Agent, Signal
from cogarch.bench import codes, sensory
from cogarch.bench.sensory import adjacent, nearest_is_near
from cogarch.check import check_module, example_contracts
from cogarch.folder import RunFolder
from cogarch.learning.train import resume, train
from cogarch.lec.continuous import Continuous, each_once
from cogarch.lec.conv import Conv
from cogarch.lec.fly_hash import FlyHash
from cogarch.lec.jepa import Jepa
from cogarch.module import Messages, Module
from cogarch.objectives import objective
from cogarch.registry import ConfigError, catalogue, find

# --- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("motion", ["dx, dy", "turn, advance"])
@pytest.mark.parametrize("seen", [VIEW, PIXELS], ids=["symbols", "pixels"])
@pytest.mark.parametrize(("cls", "settings"), [(FlyHash, {"cells": 60}), (Conv, {}), (Jepa, SMALL)])
def test_they_pass_the_conformance_suite(
    cls: type[Module], settings: dict[str, Any], seen: Signal, motion: str
) -> None:
    def make(topics: Any) -> Module:
        return cls(topics, **settings)  # type: ignore[call-arg]

    make.role = "lec"  # type: ignore[attr-defined]
    verdicts = check_module(make, example_contracts(motion) | {"env/observation": seen})
    assert [v for v in verdicts if v.passed is not True and v.text != "no GPU here"] == []


def test_what_they_share_is_no_entry_of_the_catalogue() -> None:
    assert {"conv", "fly_hash", "jepa", "one_hot", "two_hot"} == catalogue()["lec"].keys()
    assert find("lec", "jepa") is Jepa
    with pytest.raises(ConfigError, match="holds no module that fills lec"):
        find("lec", "continuous")


@given(st.integers(0, 1000))
def test_each_view_is_coded_once(seed: int) -> None:
    seen = views(12, 1, kinds=5, seed=seed)[:, 0]
    first, which = each_once(seen)
    assert torch.equal(seen[first][which], seen)
    assert len(first) == len({tuple(view.flatten().tolist()) for view in seen})
    assert all(not any(torch.equal(seen[i], seen[j]) for j in range(i)) for i in first.tolist())


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_retrieval_is_the_share_of_ticks_with_the_same_view(temperature: float) -> None:
    lec = conv(temperature=temperature)
    seen, g = views(9, 3), torch.Generator().manual_seed(1)
    x, predicted = (F.normalize(torch.randn(9, 3, 12, generator=g), dim=-1) for _ in range(2))
    found = lec.retrieval(x, predicted, seen)
    losses = []
    for row in range(3):
        for t in range(9):
            same = [s for s in range(9) if torch.equal(seen[s, row], seen[t, row])]
            if min(same) == t:
                continue  # not seen before
            weights = [math.exp(float(predicted[t, row] @ x[s, row]) / temperature) for s in range(9)]
            losses.append(-math.log(sum(weights[s] for s in same) / sum(weights)))
    assert 0 < len(losses) < 27
    assert float(found) == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_a_code_that_is_the_same_everywhere_finds_nothing() -> None:
    seen = torch.arange(8, dtype=torch.uint8).repeat(3)[:, None, None, None, None].expand(24, 2, *VIEW.shape)
    x = F.one_hot(torch.arange(8).repeat(3), 12).float()[:, None].expand(24, 2, 12)
    lec, same = conv(), F.normalize(torch.ones(24, 2, 12), dim=-1)
    assert float(lec.retrieval(same, same, seen)) == pytest.approx(math.log(8), rel=1e-5)
    assert float(lec.retrieval(x, x, seen)) == pytest.approx(math.log(1 + 7 * math.exp(-10)), rel=0.01)
    nothing_again = lec.retrieval(x[:8], x[:8], seen[:8])
    assert float(nothing_again) == 0


@pytest.mark.parametrize("make", [conv, jepa])
def test_retrieval_teaches_the_code_the_map_and_the_memory(make: Any) -> None:
    bus, walk = mapped(make())
    assert set(bus.reach()["loss/retrieval"]) == {"lec", "mec", "hc"}
    objective(bus, "loss/retrieval", bus.play(walk), 0).backward()  # type: ignore[no-untyped-call]
    lec, mec, hc = (bus.part(role) for role in ("lec", "mec", "hc"))
    learned = lec.encoder.parameters()  # type: ignore[union-attr]
    for weights in (list(learned), [mec.displacement], [hc.log_beta]):
        assert all(weight.grad is not None for weight in weights)  # type: ignore[union-attr]
        assert any(float(weight.grad.abs().max()) > 0 for weight in weights)  # type: ignore[union-attr, operator]


def test_fly_hash_says_no_version_and_the_map_learns_by_it() -> None:
    torch.manual_seed(0)
    bus, walk = mapped(FlyHash({"env/observation": VIEW}, cells=40))
    assert "lec/version" not in bus.plan.topics and "version" not in bus.state["hc"]
    assert bus.reach()["loss/retrieval"] == ("hc", "mec")
    assert float(objective(bus, "loss/retrieval", bus.play(walk), 0).detach()) > 0


# --- spread -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [conv, jepa])
def test_spread_is_the_variance_and_covariance_of_different_views(make: Any) -> None:
    lec, seen = make(), views(30, 4, kinds=40)
    different = torch.unique(seen.flatten(0, 1), dim=0)
    with torch.no_grad():
        found = float(lec.spread(seen))
        z = (lec.learned_code(different) * math.sqrt(lec.n)).double().numpy()
    c = np.cov(z.T)
    off = (c**2).sum() - (np.diag(c) ** 2).sum()
    short = np.maximum(1 - np.sqrt(np.diag(c) + 1e-4), 0).mean()
    assert found == pytest.approx(short + off / (lec.n * (lec.n - 1)), rel=1e-3)


# --- training ---------------------------------------------------------------------------------------------------------


def viewer(lec: str, **training: Any) -> Agent:
    agent = agents.load("viewer").change("mec", modules=2, cells=8, motion="learned")
    if lec == "conv":
        agent = agent.swap("lec", "conv", size=16, hidden=16)
        losses = {"loss/retrieval": 1.0, "loss/spread": 1.0}
    else:
        agent, losses = agent.change("lec", **SMALL), {"loss/retrieval": 1.0, "loss/spread": 1.0, "loss/masked": 1.0}
    small = {"updates": 12, "batch": 3, "steps": 20, "losses": losses, "options": {"width": 4, "view": 3}}
    small |= {"modules": {"hc": {"capacity": 20, "merge": 0.0, "beta": 15.0}}}
    return agent.train_with(**small, **training)


@pytest.mark.parametrize("lec", ["conv", "jepa"])
def test_a_training_learns_and_goes_on_to_the_bit(lec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO())
    whole = train(viewer(lec), out=tmp_path / "whole", console=console)
    path = tmp_path / "broken"
    calls = []

    def stop(self: Continuous, said: Messages) -> None:
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        kept(self, said)

    cls: type[Continuous] = Conv if lec == "conv" else Jepa
    kept = cls.learned
    with monkeypatch.context() as patch:
        patch.setattr(cls, "learned", stop)
        with pytest.raises(KeyboardInterrupt):
            train(viewer(lec), out=path, save_every=5, console=console)
    broken = resume(RunFolder.open(path), console)
    inputs = mapped(conv(Signal((3, 3, 2), torch.uint8)))[0].plan
    topics = {topic: inputs.topics[topic] for topic in inputs.inputs}
    a, b, fresh = (agent.build(topics).parts.state_dict() for agent in (whole.agent, broken.agent, viewer(lec)))
    assert all(torch.equal(a[name], b[name]) for name in a)
    changed = {name for name in a if not torch.equal(a[name], fresh[name])}
    assert {"lec.version", "mec.displacement"} <= changed
    assert not any("predictor" in name or "encoder" in name for name in a.keys() - changed if name.endswith("weight"))
    losses = whole.metrics
    assert all(math.isfinite(row["loss/retrieval"]) for row in losses)


# --- the bench --------------------------------------------------------------------------------------------------------


def test_views_are_near_where_they_were_sensed_side_by_side() -> None:
    """A corridor of five nodes, of which the first and the last look the same."""
    view, node = np.array([0, 1, 2, 3, 0]), np.arange(5)
    edges = np.array([[n, 0, n + 1] for n in range(4)])
    near = adjacent(view, node, edges, 5)
    pairs = {(a, b) for a in range(4) for b in range(4) if near[a, b] and a != b}
    assert pairs == {(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2), (3, 0), (0, 3)}
    likeness = torch.tensor([[9, 3, 2, 1], [3, 9, 1, 3], [4, 0, 9, 4], [0, 0, 2, 9]]).float()
    # 0 -> 1, near; 1 -> 0 or 3, one of them near; 2 -> 0 or 3, as well; 3 -> 2, near
    assert nearest_is_near(likeness, near) == pytest.approx((1 + 0.5 + 0.5 + 1) / 4)
    assert nearest_is_near(torch.zeros(4, 4), near) == pytest.approx(2 / 3)  # chance


def test_the_bench_sets_codes_beside_what_they_were_before_learning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codes, "TRAINED", tmp_path)
    monkeypatch.setattr(sensory, "WORLDS", sensory.WORLDS[:1])
    console = Console(file=io.StringIO())
    rows = sensory.measure(env=None, seeds=range(1), quick=True, console=console, only="conv")
    assert [row["code"] for row in rows] == ["conv, untrained", "conv"]
    for row in rows:
        assert row["accuracy"] > 0.9 and 0 < row["chance"] < row["raw"] < 1 and 0 <= row["neighbour_retrieval"] <= 1
    with pytest.raises(ValueError, match=r"bench sensory has one_hot, .* nothing of cnov"):
        sensory.measure(env=None, seeds=range(1), quick=True, console=console, only="cnov")
