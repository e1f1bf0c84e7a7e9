"""One graph, two ways to run it: ticking and playing agree in numbers, in gradients and through time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from buses import (
    START,
    X,
    agent,
    assert_equal,
    cut,
    join,
    live,
    part,
    pieces,
    small,
    small_walk,
    square_walk,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cogarch import Bus, Module, Read, Signal, Step
from cogarch.module import Messages, State

RECALL = ("hc/p", "hc/recalled_x", "hc/familiarity", "lec/x_predicted", "loss/prediction")


# --- tick = play ------------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("motion", ["dx, dy", "turn, advance"])
def test_tick_is_play_on_a_whole_agent_for_4096_steps(motion: str) -> None:
    walk, _ = square_walk(4096, 1, width=20, motion=motion)
    hc = {"capacity": 4096, "beta": 100.0}
    lived = live(agent(motion=motion, hc=hc), walk)
    bus = agent(motion=motion, hc=hc)
    played = bus.play(walk)
    assert {(g.kind, g.nodes[0].module) for g in bus.plan.groups} == {
        ("over_time", "mec"), ("over_time", "hc"), ("fold", "lec"), ("tick", "executive")
    }  # fmt: skip
    for topic in lived:
        tolerance = 1e-3 if topic in RECALL else 1e-5
        torch.testing.assert_close(
            played[topic], lived[topic], rtol=0, atol=tolerance, msg=lambda m, t=topic: f"{t}: {m}"
        )
    assert torch.equal(played["hc/recalled_x"].argmax(-1), lived["hc/recalled_x"].argmax(-1))
    assert torch.equal(played["executive/action"], lived["executive/action"])


@torch.no_grad()
@pytest.mark.parametrize(
    ("motion", "mec", "hc", "executive"),
    [
        ("dx, dy", {"motion": "learned"}, {"capacity": 40}, {"policy": "uniform"}),
        ("turn, advance", {}, {"capacity": 40, "recall_g": True}, {"policy": "least_familiar"}),
        ("dx, dy", {}, {"capacity": 30, "merge": 0.99}, {"policy": "least_familiar"}),
    ],
)
def test_tick_is_play_with_episodes_and_full_memories(
    motion: str, mec: dict[str, Any], hc: dict[str, Any], executive: dict[str, Any]
) -> None:
    walk, _ = square_walk(150, 3, again=0.02, motion=motion)
    ticked, played = (agent(3, motion=motion, mec=mec, hc=hc, executive=executive) for _ in range(2))
    lived = live(ticked, walk)
    got = join([played.play(piece) for piece in pieces(walk, [1, 33, 100])])
    assert_equal(got, lived, rtol=0, atol=1e-4)
    books = {name: x for name, x in ticked.dump().items() if "keys" not in name and "values" not in name}
    assert_equal({name: played.dump()[name] for name in books}, books, rtol=0, atol=1e-6)


@torch.no_grad()
@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 30),
    st.integers(1, 4),
    st.integers(0, 99),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.lists(st.integers(1, 29)),
)
def test_any_walk_cut_anywhere(ticks: int, batch: int, seed: int, again: float, cuts: list[int]) -> None:
    """Ticked, played at once, played in pieces: the same numbers, and the same bus after."""
    walk = small_walk(ticks, batch, seed, again)
    ticked, whole, cut_up = (small(batch, seed) for _ in range(3))
    lived = live(ticked, walk)
    assert_equal(whole.play(walk), lived)
    assert_equal(join([cut_up.play(piece) for piece in pieces(walk, cuts)]), lived)
    assert_equal(whole.dump(), ticked.dump())
    assert_equal(cut_up.dump(), ticked.dump())


@torch.no_grad()
@settings(deadline=None, max_examples=15)
@given(st.integers(0, 99), st.sampled_from([0.0, 0.2]))
def test_any_walk_of_a_whole_agent(seed: int, again: float) -> None:
    walk, _ = square_walk(24, 2, seed, width=4, again=again)
    hc = {"capacity": 10, "recall_g": True}
    assert_equal(agent(2, seed, hc=hc).play(walk), live(agent(2, seed, hc=hc), walk), rtol=0, atol=1e-4)


@torch.no_grad()
def test_ticks_and_plays_mix() -> None:
    walk = small_walk(12, again=0.2)
    bus, lived = small(), live(small(), walk)
    got = [bus.play(cut(walk, 0, 4)), live(bus, cut(walk, 4, 9)), bus.play(cut(walk, 9))]
    assert_equal(join(got), lived)


# --- delays -----------------------------------------------------------------------------------------------------------


def delayed(delay: int, fill: float = -1.0) -> Bus:
    module = part(Step("say", {"x": Read("env/x", delay=delay)}, {"mec/g": Signal()}), say=lambda x: {"mec/g": x})
    return Bus({"env/x": Signal(fill=fill), "env/start": START}, {"mec": module}, batch=2)


def counting(ticks: int, starts: Tensor) -> Messages:
    x = torch.arange(ticks, dtype=torch.float32)
    return {"env/x": torch.stack([x, x + 100], 1)[..., None], "env/start": starts[..., None]}


def test_delays_by_hand() -> None:
    starts = torch.zeros(6, 2, dtype=torch.bool)
    starts[0], starts[3, 1] = True, True  # the second agent begins again at tick 3
    want = torch.tensor([[-1, -1], [-1, -1], [0, 100], [1, -1], [2, -1], [3, 103]])
    walk = counting(6, starts)
    assert torch.equal(live(delayed(2), walk)["mec/g"][..., 0], want)
    assert torch.equal(delayed(2).play(walk)["mec/g"][..., 0], want)
    for at in range(1, 6):
        bus = delayed(2)
        assert torch.equal(join([bus.play(p) for p in pieces(walk, [at])])["mec/g"][..., 0], want)


@pytest.mark.parametrize("delay", [1, 4, 9])
def test_delays_longer_than_a_piece(delay: int) -> None:
    starts = torch.zeros(8, 2, dtype=torch.bool)
    starts[0] = True
    walk, bus = counting(8, starts), delayed(delay)
    got = join([bus.play(cut(walk, t, t + 1)) for t in range(8)])["mec/g"][:, 0, 0]
    assert got.tolist() == ([-1.0] * delay + list(range(8)))[:8]


# --- gradients --------------------------------------------------------------------------------------------------------


def chain(**reads: Read) -> Bus:
    """Two modules in a row: one weight each."""
    a = part(Step("say", {"x": "env/x"}, {"lec/x": Signal()}), say=lambda x: {"lec/x": x * 3})
    b = part(Step("say", {"x": reads.get("x", Read("lec/x"))}, {"mec/g": Signal()}), say=lambda x: {"mec/g": x * 5})
    return Bus({"env/x": Signal(), "env/start": START}, {"lec": a, "mec": b})


def sources(ticks: int) -> list[Tensor]:
    return [torch.tensor([[float(t)]], requires_grad=True) for t in range(ticks)]


def said(bus: Bus, xs: list[Tensor], way: str) -> list[Tensor]:
    start = [torch.tensor([[t == 0]]) for t in range(len(xs))]
    if way == "play":
        return list(bus.play({"env/x": torch.stack(xs), "env/start": torch.stack(start)})["mec/g"].unbind())
    return [bus.tick({"env/x": x, "env/start": s})["mec/g"] for x, s in zip(xs, start, strict=True)]


def grads(out: Tensor, xs: list[Tensor]) -> list[float]:
    found = torch.autograd.grad(out.sum(), xs, allow_unused=True)
    return [0.0 if g is None else float(g) for g in found]


@pytest.mark.parametrize("way", ["tick", "play"])
def test_gradients_cross_the_bus(way: str) -> None:
    xs = sources(3)
    assert grads(said(chain(), xs, way)[2], xs) == [0, 0, 15]
    assert grads(said(chain(x=Read("lec/x", delay=2)), xs, way)[2], xs) == [15, 0, 0]


@pytest.mark.parametrize("way", ["tick", "play"])
def test_a_reader_may_decline_gradients(way: str) -> None:
    for delay in (0, 1):
        out = said(chain(x=Read("lec/x", delay=delay, grad=False)), sources(3), way)[2]
        assert not out.requires_grad
        assert out.item() == 15 * (2 - delay)


@pytest.mark.parametrize("way", ["tick", "play"])
@pytest.mark.parametrize("cutting", [False, True])
def test_detach_cuts_time(way: str, cutting: bool) -> None:
    """A delayed wire and a state carry gradients over ticks and over pieces, until they are detached."""
    memory = part(
        Step("say", {"x": "env/x"}, {"hc/m": Signal()}, state=True),
        init=lambda batch: {"m": torch.zeros(batch, 1)},
        say=lambda state, x: ({"hc/m": state["m"] + x}, {"m": state["m"] + x}),
    )
    late = part(
        Step("say", {"x": Read("env/x", delay=1), "m": "hc/m"}, {"mec/g": Signal()}),
        say=lambda x, m: {"mec/g": 7 * x + m},
    )
    bus, xs = Bus({"env/x": Signal(), "env/start": START}, {"hc": memory, "mec": late}), sources(3)
    walk = [{"env/x": x, "env/start": torch.tensor([[False]])} for x in xs]
    for message in walk[:2]:
        bus.play({k: x[None] for k, x in message.items()}) if way == "play" else bus.tick(message)
    if cutting:
        bus.detach()
    last = bus.play({k: x[None] for k, x in walk[2].items()}) if way == "play" else bus.tick(walk[2])
    assert last["mec/g"].item() == 7 * 1 + 0 + 1 + 2
    assert grads(last["mec/g"], xs) == ([0, 0, 1] if cutting else [1, 8, 1])


def test_gradients_are_the_same_ticked_and_played() -> None:
    walk, _ = square_walk(30, 2, width=4, again=0.1)
    found = []
    for way in ("tick", "play"):
        bus = agent(
            2,
            mec={"motion": "learned", "modules": 2, "cells": 12},
            hc={"capacity": 30, "beta": 5.0, "learn_beta": True},
        )
        out = live_with_gradients(bus, walk) if way == "tick" else bus.play(walk)["loss/prediction"]
        out.mean().backward()
        found.append({name: p.grad for name, p in bus.parts.named_parameters()})
    assert found[0].keys() >= {"mec.displacement", "mec.log_scale", "hc.log_beta"}
    for name, grad in found[0].items():
        assert grad is not None
        assert grad.abs().max() > 0
        torch.testing.assert_close(found[1][name], grad, rtol=1e-3, atol=1e-6)


def live_with_gradients(bus: Bus, walk: Messages) -> Tensor:
    losses = []
    for t in range(len(walk["env/start"])):
        bus.restart(walk["env/start"][t].flatten())
        losses.append(bus.tick({k: x[t] for k, x in walk.items()})["loss/prediction"])
    return torch.stack(losses)


def test_a_memory_that_begins_empty_gives_finite_gradients() -> None:
    """Familiarity of an empty memory is a constant: it must not poison the gradients of the rest."""
    walk, _ = square_walk(6, 2)
    bus = agent(2, mec={"motion": "learned"}, hc={"capacity": 6})
    bus.play(walk)["hc/familiarity"].sum().backward()
    for p in bus.parts.parameters():
        assert p.grad is None or bool(p.grad.isfinite().all())


def test_initial_state_may_be_learned() -> None:
    class Learned(Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Parameter(torch.tensor([2.0]))

        def steps(self) -> list[Step]:
            return [Step("say", {"x": "env/x"}, {"hc/m": Signal()}, state=True)]

        def init(self, batch: int) -> State:
            return {"m": self.first.expand(batch, 1)}

        def say(self, state: State, x: Tensor) -> tuple[Messages, State]:
            return {"hc/m": state["m"] * x}, state

    module = Learned()
    bus = Bus({"env/x": Signal()}, {"hc": module}, batch=2)
    bus.tick({"env/x": torch.full((2, 1), 3.0)})["hc/m"].sum().backward()
    assert module.first.grad is not None
    assert module.first.grad.item() == 6


# --- only what is wanted ----------------------------------------------------------------------------------------------


@torch.no_grad()
def test_play_runs_only_what_is_wanted() -> None:
    calls: list[str] = []

    def step(name: str, **reads: str) -> Module:
        def say(**heard: Tensor) -> Messages:
            calls.append(name)
            return {f"{name}/x": sum(heard.values(), torch.zeros(1))}

        return part(Step("say", reads, {f"{name}/x": X}), say=say)

    parts = {
        "a": step("a", x="env/x"),
        "b": step("b", x="a/x"),
        "c": step("c", x="a/x"),
        "d": step("d", b="b/x", c="c/x"),
    }
    bus, walk = Bus({"env/x": X}, parts, batch=2), {"env/x": torch.ones(3, 2, 2)}
    for want, ran in (
        (["b/x"], "ab"),
        (["c/x", "a/x"], "ac"),
        (["d/x"], "abcd"),
        (["env/x"], ""),
        ([], ""),
        (None, "abcd"),
    ):
        calls.clear()
        out = bus.play(walk, want=want)
        assert "".join(sorted(calls)) == ran
        assert out.keys() == ({"env/x", "a/x", "b/x", "c/x", "d/x"} if want is None else set(want))
    assert bus.t == 18


@torch.no_grad()
def test_what_is_not_wanted_stands_still() -> None:
    walk, _ = square_walk(10, 2)
    bus = agent(2)
    got = bus.play(walk, want=["mec/g"])
    assert_equal(got, {"mec/g": live(agent(2), walk)["mec/g"]}, rtol=0, atol=1e-6)
    assert int(bus.state["hc"]["clock"].sum()) == 0
    assert float(bus.state["mec"]["phase"].abs().sum()) > 0


def test_needed_is_what_reaches_through_time() -> None:
    bus, walk = small(), small_walk(6, again=0.2)
    out = bus.play(walk, want=["hc/a"])
    assert_equal(out, {"hc/a": live(small(), walk)["hc/a"]})
