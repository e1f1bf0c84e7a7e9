"""One graph, two ways to run it: ticking and playing agree, and rows, clones and files are what they say."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from buses import START, X, agent, assert_equal, env, live, part, square_walk
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cogarch import Bus, Module, Noise, Read, Signal, Step, WiringError
from cogarch.module import Messages, State
from cogarch.tree import leaves

RECALL = ("hc/p", "hc/recalled_x", "hc/familiarity", "lec/x_predicted", "loss/prediction")


# --- a small agent that uses everything: delays, a loop through time, noise, state in every form -----------------------


class Leaky(Module):
    """Integrates, with noise, and remembers two things in one state tree; two steps, one call for both."""

    role = "mec"
    over_time = {("charge", "fire"): "charge_and_fire"}

    def steps(self) -> list[Step]:
        return [
            Step("charge", {"x": "env/x"}, {"mec/g_path": X}, {"u": Noise((2,))}, state=True),
            Step("fire", {"g": "mec/g_path", "late": Read("env/x", delay=3)}, {"mec/g": X}, state=True),
        ]

    def init(self, batch: int) -> State:
        return {"charge": torch.zeros(batch, 2), "fired": ({"times": torch.zeros(batch, dtype=torch.int64)},)}

    def charge(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        charge = state["charge"] * 0.5 + x + 0.1 * u
        return {"mec/g_path": charge}, state | {"charge": charge}

    def fire(self, state: State, g: Tensor, late: Tensor) -> tuple[Messages, State]:
        times = state["fired"][0]["times"] + (g[:, 0] > 0)
        return {"mec/g": g + late + times[:, None]}, state | {"fired": ({"times": times},)}

    def charge_and_fire(self, state: State, x: Tensor, u: Tensor, late: Tensor) -> tuple[Messages, State]:
        path, fired = [], []
        for now, noise, before in zip(x, u, late, strict=True):
            writes, state = self.charge(state, now, noise)
            path.append(writes["mec/g_path"])
            writes, state = self.fire(state, path[-1], before)
            fired.append(writes["mec/g"])
        return {"mec/g_path": torch.stack(path), "mec/g": torch.stack(fired)}, state


def small(batch: int = 2, seed: int = 0) -> Bus:
    """`Leaky`, a step without state that dreams, and two modules tied in a loop through time."""
    a = part(
        Step("say", {"b": Read("world/b", delay=2), "g": "mec/g"}, {"hc/a": X}, {"u": Noise((2,), "uniform")}, state=True),
        init=lambda batch: {"sum": torch.zeros(batch, 2)},
        say=lambda state, b, g, u: ({"hc/a": b.tanh() + g + u}, {"sum": state["sum"] * 0.9 + b.tanh()}),
    )
    b = part(Step("say", {"a": "hc/a", "x": Read("env/x", delay=1)}, {"world/b": X}), say=lambda a, x: {"world/b": a - x})
    c = part(Step("say", {}, {"lec/dream": X}, {"u": Noise((2,))}), say=lambda u: {"lec/dream": u})
    modules = {"mec": Leaky(), "hc": a, "world": b, "lec": c}
    return Bus({"env/x": Signal((2,), fill=-1.0), "env/start": START}, modules, batch=batch, seed=seed)


def small_walk(ticks: int, batch: int = 2, seed: int = 0, again: float = 0.0) -> Messages:
    rng = np.random.default_rng(seed)
    starts = rng.random((ticks, batch, 1)) < again
    starts[0] = True
    x = rng.normal(size=(ticks, batch, 2)).astype(np.float32)
    return {"env/x": torch.from_numpy(x), "env/start": torch.from_numpy(starts)}


def pieces(walk: Messages, cuts: list[int]) -> list[Messages]:
    length = len(walk["env/start"])
    ends = [0, *sorted({c for c in cuts if 0 < c < length}), length]
    return [{k: x[a:b] for k, x in walk.items()} for a, b in zip(ends, ends[1:], strict=False)]


def join(played: list[Messages]) -> Messages:
    return {topic: torch.cat([p[topic] for p in played]) for topic in played[0]}


def changing(bus: Bus) -> Messages:
    return bus.dump()


def cut(walk: Messages, a: int, b: int | None = None) -> Messages:
    return {k: x[a:b] for k, x in walk.items()}


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
        torch.testing.assert_close(played[topic], lived[topic], rtol=0, atol=tolerance, msg=lambda m, t=topic: f"{t}: {m}")
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
    books = {name: x for name, x in changing(ticked).items() if "keys" not in name and "values" not in name}
    assert_equal({name: changing(played)[name] for name in books}, books, rtol=0, atol=1e-6)


@torch.no_grad()
@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 30), st.integers(1, 4), st.integers(0, 99), st.sampled_from([0.0, 0.1, 0.5]), st.lists(st.integers(1, 29))
)
def test_any_walk_cut_anywhere(ticks: int, batch: int, seed: int, again: float, cuts: list[int]) -> None:
    """Ticked, played at once, played in pieces: the same numbers, and the same bus after."""
    walk = small_walk(ticks, batch, seed, again)
    ticked, whole, cut_up = (small(batch, seed) for _ in range(3))
    lived = live(ticked, walk)
    assert_equal(whole.play(walk), lived)
    assert_equal(join([cut_up.play(piece) for piece in pieces(walk, cuts)]), lived)
    assert_equal(changing(whole), changing(ticked))
    assert_equal(changing(cut_up), changing(ticked))


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
        bus = agent(2, mec={"motion": "learned", "modules": 2, "cells": 12}, hc={"capacity": 30, "beta": 5.0, "learn_beta": True})
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


# --- rows, clones, files ----------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_restarted_row_is_a_fresh_row() -> None:
    walk, rows = small_walk(16, batch=3), torch.tensor([False, True, False])
    bus, undisturbed = small(3), small(3)
    live(bus, cut(walk, 0, 7)), live(undisturbed, cut(walk, 0, 7))
    bus.restart(rows)
    quiet = cut(walk, 7)
    after, others = live(bus, quiet), live(undisturbed, quiet)
    fresh = small(3)
    fresh.episode = rows.long()
    new = live(fresh, quiet)
    for topic in after:
        assert torch.equal(after[topic][:, rows], new[topic][:, rows]), topic
        assert torch.equal(after[topic][:, ~rows], others[topic][:, ~rows]), topic
    assert not torch.equal(after["mec/g"][:, rows], others["mec/g"][:, rows])


@torch.no_grad()
def test_a_second_episode_has_noise_of_its_own() -> None:
    walk = small_walk(5)
    bus = small()
    first = live(bus, walk)["lec/dream"]
    bus.restart(torch.tensor([True, True]))
    second = live(bus, cut(walk, 0))["lec/dream"]
    assert (first != second).all()
    bus.reset()
    assert torch.equal(live(bus, walk)["lec/dream"], first)


@torch.no_grad()
def test_restarting_a_row_that_never_ticked_does_nothing() -> None:
    bus = small()
    before = {k: x.clone() for k, x in bus.dump().items()}
    bus.restart(torch.tensor([True, True]))
    assert_equal(bus.dump(), before)
    live(bus, small_walk(3))
    bus.restart(torch.tensor([True, False]))
    once = bus.dump()
    bus.restart(torch.tensor([True, False]))
    assert_equal(bus.dump(), once)
    assert bus.episode.tolist() == [1, 0]


@torch.no_grad()
def test_seeds_differ_and_repeat() -> None:
    walk = small_walk(5)
    one, again, other = (live(small(seed=seed), walk) for seed in (0, 0, 1))
    assert_equal(one, again)
    assert not torch.equal(one["lec/dream"], other["lec/dream"])


@torch.no_grad()
def test_swapping_a_module_leaves_the_noise_of_the_others_alone() -> None:
    def bus(*names: str) -> Bus:
        parts = {
            n: part(Step("say", {}, {f"{n}/x": X}, {"u": Noise((2,))}), say=lambda u, n=n: {f"{n}/x": u}) for n in names
        }
        return Bus({"env/start": START}, parts, batch=2)

    walk = {"env/start": torch.tensor([[[True], [True]]])}
    alone, among = live(bus("mec"), walk), live(bus("hc", "lec", "mec", "world"), walk)
    assert torch.equal(alone["mec/x"], among["mec/x"])
    assert not torch.equal(among["hc/x"], among["lec/x"])


@torch.no_grad()
def test_a_clone_goes_its_own_way() -> None:
    walk, _ = square_walk(30, 2)
    hc = {"capacity": 64, "merge": 0.99}
    bus, alone = agent(2, hc=hc), agent(2, hc=hc)
    lived = live(alone, walk)
    first = live(bus, cut(walk, 0, 20))
    twin = bus.clone()
    assert_equal(twin.state["mec"], bus.state["mec"])
    other, _ = square_walk(15, 2, seed=9)
    imagined = live(twin, other)
    rest = live(bus, cut(walk, 20))
    assert_equal(join([first, rest]), lived)
    assert not torch.equal(imagined["mec/g"][:10], rest["mec/g"])
    assert twin.parts is bus.parts  # one brain: parameters are not copied


@torch.no_grad()
def test_a_clone_shares_the_bank_until_it_is_written() -> None:
    walk, _ = square_walk(5, 2)
    bus = agent(2)
    live(bus, walk)
    before = bus.state["hc"]["keys"].clone()
    twin = bus.clone()
    for one in (bus, twin):
        assert torch._C._is_cow_tensor(one.state["hc"]["keys"])
    bus.play(cut(walk, 0), want=["mec/g"])  # reading only
    assert torch._C._is_cow_tensor(bus.state["hc"]["keys"])
    live(twin, square_walk(5, 2, seed=3)[0])
    assert torch.equal(bus.state["hc"]["keys"], before)
    assert not torch.equal(twin.state["hc"]["keys"], before)
    assert bus.state["hc"]["keys"].data_ptr() != twin.state["hc"]["keys"].data_ptr()


@torch.no_grad()
def test_every_clone_dreams_alone() -> None:
    bus, walk = small(), small_walk(4)
    twins = [bus.clone(), bus.clone()]
    twins.append(twins[0].clone())
    dreams = [live(one, walk)["lec/dream"] for one in (bus, *twins)]
    for i, a in enumerate(dreams):
        for b in dreams[i + 1 :]:
            assert (a != b).all()


@torch.no_grad()
def test_a_clone_keeps_its_clamps_and_loses_its_probes() -> None:
    bus = small()
    bus.clamp("mec/g", 3.0)
    probe = bus.probe("mec/g")
    twin = bus.clone()
    assert (live(twin, small_walk(2))["mec/g"] == 3).all()
    twin.release("mec/g")
    live(bus, small_walk(2))
    assert (live(twin, small_walk(2))["mec/g"] != 3).all()
    assert probe.data.shape == (2, 2, 2)
    assert (probe.data == 3).all()


@torch.no_grad()
def test_dump_and_load() -> None:
    walk, bus = small_walk(20, again=0.1), small()
    lived = live(small(), walk)
    live(bus, cut(walk, 0, 11))
    bus.clone()
    saved = bus.dump()
    kept = {name: x.clone() for name, x in saved.items()}
    live(bus, cut(walk, 11))
    dream = live(bus.clone(), walk)["lec/dream"]
    assert_equal(saved, kept)  # what was dumped is not what lives on
    other = small(batch=5, seed=99)
    other.load(saved)
    assert_equal(live(other, cut(walk, 11)), {k: x[11:] for k, x in lived.items()})
    assert_equal(saved, kept)  # nor what was loaded
    assert_equal(other.dump(), bus.dump() | {"clock": other.dump()["clock"]})
    assert torch.equal(live(other.clone(), walk)["lec/dream"], dream)  # clones go on being numbered


@torch.no_grad()
def test_a_dump_of_a_memory_stays_as_it_is() -> None:
    walk, _ = square_walk(20, 2)
    bus = agent(2)
    live(bus, cut(walk, 0, 10))
    saved = bus.dump()
    rest = live(bus, cut(walk, 10))
    other = agent(2)
    other.load(saved)
    assert_equal(live(other, cut(walk, 10)), rest)
    other.load(saved)
    assert_equal(live(other, cut(walk, 10)), rest)


def test_load_names_what_does_not_fit() -> None:
    saved = small().dump()
    with pytest.raises(KeyError, match=r"no 'state\.mec\.charge'.*other modules"):
        small().load({k: x for k, x in saved.items() if k != "state.mec.charge"})
    with pytest.raises(KeyError, match="no 'clock'"):
        small().load({k: x for k, x in saved.items() if k != "clock"})
    wrong = saved | {"state.mec.charge": torch.zeros(2, 5)}
    with pytest.raises(ValueError, match=r"'state\.mec\.charge' is torch\.float32 \[2, 5\], .*\[2, 2\]: .*other settings"):
        small().load(wrong)
    with pytest.raises(ValueError, match=r"'wires\.env/x\.0' is torch\.float64"):
        small().load(saved | {"wires.env/x.0": torch.zeros(2, 2).double()})


@torch.no_grad()
def test_reset_makes_new_agents_of_any_number() -> None:
    bus = small()
    live(bus, small_walk(4))
    bus.reset(5)
    assert bus.t == 0
    assert_equal(live(bus, small_walk(4, batch=5)), live(small(5), small_walk(4, batch=5)))


# --- probes and clamps ------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_probe_records() -> None:
    walk, bus = small_walk(9, again=0.2), small()
    probe, late = bus.probe("mec/g"), None
    lived = [bus.play(cut(walk, 0, 4))]
    late = bus.probe("env/x")
    lived += [live(bus, cut(walk, 4, 6)), bus.play(cut(walk, 6))]
    assert torch.equal(probe.data, join(lived)["mec/g"])
    assert torch.equal(late.data, walk["env/x"][4:])
    kept = probe.data.clone()
    lived[0]["mec/g"].zero_()
    assert torch.equal(probe.data, kept)


@torch.no_grad()
def test_what_is_probed_runs_even_where_it_is_not_wanted() -> None:
    walk, bus = small_walk(5), small()
    probe = bus.probe("mec/g")
    out = bus.play(walk, want=["lec/dream"])
    assert out.keys() == {"lec/dream"}
    assert torch.equal(probe.data, live(small(), walk)["mec/g"])


SHAPED = torch.tensor([[1.0, 2.0], [3.0, 4.0]])


@torch.no_grad()
@pytest.mark.parametrize(
    ("value", "want"),
    [
        (0, lambda x: torch.zeros_like(x)),
        (2.5, lambda x: torch.full_like(x, 2.5)),
        (torch.tensor([1.0, 2.0]), lambda x: torch.tensor([1.0, 2.0]).expand_as(x)),
        (SHAPED, lambda x: SHAPED.expand_as(x)),
        (lambda x: x * 2 + 1, lambda x: x * 2 + 1),
    ],
    ids=["0", "number", "one for all", "one a row", "function"],
)
@pytest.mark.parametrize("topic", ["mec/g", "env/x", "world/b", "lec/dream"])
def test_clamps(value: Any, want: Any, topic: str) -> None:
    """The same ticked and played; readers see the clamped message, and the writer does not."""
    walk = small_walk(8, again=0.2)
    ticked, played = small(), small()
    free = live(small(), walk)
    for bus in (ticked, played):
        bus.clamp(topic, value)
    lived = live(ticked, walk)
    assert_equal(played.play(walk), lived)
    if topic in ("env/x", "lec/dream", "mec/g"):  # world/b hears itself through the loop
        assert torch.equal(lived[topic], want(free[topic]))
    if topic == "mec/g":
        assert torch.equal(lived["mec/g_path"], free["mec/g_path"])
        assert not torch.equal(lived["hc/a"], free["hc/a"])
    assert torch.equal(walk["env/x"], small_walk(8, again=0.2)["env/x"])  # the caller's messages are his own
    for bus in (ticked, played):
        bus.release(topic)
        bus.reset()
    assert_equal(live(ticked, walk), free)
    assert_equal(played.play(walk), free)


@torch.no_grad()
def test_a_clamp_inside_a_group_that_is_played_at_once() -> None:
    """`Leaky.fire` reads what `Leaky.charge` writes: the one call for both cannot see the clamp, so they are ticked."""
    walk, (ticked, played) = small_walk(8, again=0.2), (small(), small())
    free = live(small(), walk)
    for bus in (ticked, played):
        bus.clamp("mec/g_path", 1.0)
    lived = live(ticked, walk)
    assert_equal(played.play(walk), lived)
    assert not torch.equal(lived["mec/g"], free["mec/g"])


@torch.no_grad()
def test_clamps_keep_the_type_of_the_topic() -> None:
    bus = agent(2)
    bus.clamp("executive/action", 3.0)
    bus.clamp("env/bump", True)
    out = live(bus, square_walk(3, 2)[0])
    assert out["executive/action"].dtype == torch.int64
    assert (out["executive/action"] == 3).all()
    assert out["env/bump"].dtype == torch.bool


def test_clamps_and_probes_that_do_not_fit() -> None:
    bus = small()
    for act in (bus.probe, lambda topic: bus.clamp(topic, 0), lambda topic: bus.play(small_walk(2), want=[topic])):
        with pytest.raises(KeyError, match="no topic 'mec/gg'; did you mean 'mec/g'"):
            act("mec/gg")
    with pytest.raises(ValueError, match=r"'mec/g' cannot be clamped to a tensor \[3\]: it is float32 \[2\] for each of 2"):
        bus.clamp("mec/g", torch.zeros(3))


# --- only what is wanted ----------------------------------------------------------------------------------------------


@torch.no_grad()
def test_play_runs_only_what_is_wanted() -> None:
    calls: list[str] = []

    def step(name: str, **reads: str) -> Module:
        def say(**heard: Tensor) -> Messages:
            calls.append(name)
            return {f"{name}/x": sum(heard.values(), torch.zeros(1))}

        return part(Step("say", reads, {f"{name}/x": X}), say=say)

    parts = {"a": step("a", x="env/x"), "b": step("b", x="a/x"), "c": step("c", x="a/x"), "d": step("d", b="b/x", c="c/x")}
    bus, walk = Bus({"env/x": X}, parts, batch=2), {"env/x": torch.ones(3, 2, 2)}
    for want, ran in ((["b/x"], "ab"), (["c/x", "a/x"], "ac"), (["d/x"], "abcd"), (["env/x"], ""), ([], ""), (None, "abcd")):
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


# --- the graph, and errors while living -------------------------------------------------------------------------------


def test_graph() -> None:
    graph = small().graph()
    assert isinstance(graph, nx.MultiDiGraph)
    assert set(graph) == {"the world", "mec.charge", "mec.fire", "hc.say", "world.say", "lec.say"}
    edges = {(a, b, d["topic"], d["delay"]) for a, b, d in graph.edges(data=True)}
    assert edges == {
        ("the world", "mec.charge", "env/x", 0),
        ("the world", "mec.fire", "env/x", 3),
        ("mec.charge", "mec.fire", "mec/g_path", 0),
        ("mec.fire", "hc.say", "mec/g", 0),
        ("world.say", "hc.say", "world/b", 2),
        ("hc.say", "world.say", "hc/a", 0),
        ("the world", "world.say", "env/x", 1),
    }
    assert {d["contract"] for *_, d in graph.edges(data=True)} == {"float32 [2]"}


def breaking(at: float, **step: Any) -> Bus:
    def say(x: Tensor, *_: object) -> Messages:
        if x.device.type != "meta" and bool((x == at).any()):
            raise ArithmeticError("too much")
        return {"mec/g": x}

    return Bus({"env/x": Signal()}, {"mec": part(Step("say", {"x": "env/x"}, {"mec/g": Signal()}), say=say)})


def test_errors_in_a_step_name_it_and_the_tick() -> None:
    bus = breaking(3.0)
    with pytest.raises(ArithmeticError, match="too much") as error:
        for t in range(5):
            bus.tick({"env/x": torch.full((1, 1), float(t))})
    (note,) = error.value.__notes__
    assert note.startswith("cogarch: at tick 3, in mec.say: ")
    with pytest.raises(ArithmeticError) as error:
        breaking(3.0).play({"env/x": torch.arange(5.0).view(5, 1, 1)})
    assert error.value.__notes__ == ["cogarch: playing ticks 0 to 4, in mec.say"]


def test_errors_of_steps_in_a_loop_name_the_tick_when_played() -> None:
    bus = small()

    def burst(a: Tensor, x: Tensor) -> Messages:
        raise ArithmeticError("too much")

    bus.parts["world"].say = burst
    with pytest.raises(ArithmeticError) as error:
        bus.play(small_walk(4))
    assert error.value.__notes__ == ["cogarch: at tick 0, in world.say"]


def test_errors_of_others_are_not_blamed_on_a_step() -> None:
    bus = breaking(3.0)
    with pytest.raises(KeyError) as error:
        bus.tick({})
    assert error.value.__notes__[0].startswith("cogarch: at tick 0, in the world's messages")
    bus.clamp("mec/g", lambda x: x / torch.zeros(3, 3, 3)[0, 0])
    with pytest.raises(RuntimeError) as runtime:
        bus.tick({"env/x": torch.zeros(1, 1)})
    assert "in the clamp of 'mec/g'" in runtime.value.__notes__[0]


def test_a_step_that_returns_too_little_while_living_is_named() -> None:
    module = part(
        Step("say", {"x": "env/x"}, {"mec/g": Signal()}),
        say=lambda x: {"mec/g": x} if x.device.type == "meta" else {},
    )
    bus = Bus({"env/x": Signal()}, {"mec": module})
    with pytest.raises(KeyError) as error:
        bus.tick({"env/x": torch.zeros(1, 1)})
    assert "in mec.say, which should write 'mec/g'" in error.value.__notes__[0]
    with pytest.raises(WiringError, match=r"mec\.say -> 'mec/g': declared float32 \[1\], for 3 ticks .* made nothing"):
        bus.play({"env/x": torch.zeros(3, 1, 1)})


@pytest.mark.parametrize(
    ("whole", "text"),
    [
        (lambda state, x: ({}, state), "made nothing"),
        (lambda state, x: ({"mec/g": x[0]}, state), r"made torch\.float32 \[1, 1\]"),
        (lambda state, x: ({"mec/g": x.double()}, state), r"made torch\.float64 \[3, 1, 1\]"),
    ],
)
def test_an_over_time_method_that_returns_the_wrong_thing(whole: Any, text: str) -> None:
    module = part(
        Step("say", {"x": "env/x"}, {"mec/g": Signal()}, state=True),
        init=lambda batch: {"h": torch.zeros(batch)},
        over_time={("say",): "whole"},
        say=lambda state, x: ({"mec/g": x}, state),
        whole=whole,
    )
    bus = Bus({"env/x": Signal()}, {"mec": module})
    with pytest.raises(WiringError, match=rf"mec\.whole -> 'mec/g': declared float32 \[1\], for 3 ticks .*{text}"):
        bus.play({"env/x": torch.zeros(3, 1, 1)})


def test_tick_is_a_straight_line() -> None:
    """No branch and no loop in what is written at wiring: every line of the tick runs once."""
    source = agent(hc={"recall_g": True})._tick.source
    lines = source.splitlines()
    assert lines[0] == "def tick(bus, inputs):"
    assert all(line.startswith("    ") and not line[4].isspace() for line in lines[1:])
    assert not any(word in source.split() for word in ("if", "for", "while", "try", "with"))


def test_state_is_where_the_bus_keeps_it() -> None:
    """No module of the agent changes while it lives: two buses may share it."""
    walk, _ = square_walk(10, 2)
    one = agent(2)
    two = Bus(env(), dict(one.parts.items()), batch=2)  # type: ignore[arg-type]
    with torch.no_grad():
        alone = live(agent(2), walk)
        live(one, cut(walk, 0, 5))
        assert_equal(live(two, walk), alone)
    assert all(x.shape[0] == 2 for _, x in leaves(one.state))
