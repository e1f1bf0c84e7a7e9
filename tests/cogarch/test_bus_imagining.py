"""Steps that imagine: they look ahead with a clone of the bus, and nothing of the living agent changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from buses import START, Leaky, agent, assert_equal, join, live, part, pieces, small, small_walk, square_walk
from torch import Tensor

from cogarch import Bus, Signal, Step, WiringError
from cogarch.bus import Mind
from cogarch.module import Messages, Module, State

AHEAD = Signal((2,))


def dreamer(batch: int = 2, look: Callable[..., Any] | None = None) -> Bus:
    """The small bus, and an executive that says where its mec would go, from what that and the memory hold."""

    def ahead(state: State, g: Tensor, mind: Mind) -> tuple[Messages, State]:
        twin = mind.clone()
        mec: Any = twin.part("mec")
        held = twin.state["mec"]
        for late in (*twin.wires["env/x"], g):
            said, held = mec.charge(held, late, twin.state["hc"]["sum"])
        return {"executive/ahead": said["mec/g_path"] + state["sum"]}, {"sum": 0.5 * state["sum"] + g}

    executive = part(
        Step("ahead", {"g": "mec/g"}, {"executive/ahead": AHEAD}, state=True, imagines=True),
        init=lambda batch: {"sum": torch.zeros(batch, 2)},
        ahead=look or ahead,
    )
    bus = small(batch)
    modules: dict[str, Module] = {name: bus.part(name) for name in bus.parts}
    return Bus({"env/x": Signal((2,), fill=-1.0), "env/start": START}, modules | {"executive": executive}, batch=batch)


@torch.no_grad()
@pytest.mark.parametrize("cuts", [[], [3], [1, 6]])
def test_tick_and_play_imagine_the_same(cuts: list[int]) -> None:
    walk = small_walk(10, batch=2, again=0.15, seed=1)
    assert walk["env/start"][1:].any()
    ticked, played = dreamer(), dreamer()
    lived = live(ticked, walk)
    assert_equal(lived, join([played.play(piece) for piece in pieces(walk, cuts)]), rtol=1e-5, atol=1e-5)
    assert lived["executive/ahead"].std() > 0.1


@torch.no_grad()
def test_what_is_imagined_changes_nothing() -> None:
    walk = small_walk(8, seed=2)
    without, said = live(small(), walk), live(dreamer(), walk)
    assert_equal(without, {topic: x for topic, x in said.items() if topic != "executive/ahead"})


@torch.no_grad()
def test_a_clone_holds_what_the_others_hold_at_that_moment() -> None:
    """The memory that is imagined with has this tick's moment in it, and its size is that of the batch."""
    seen: list[tuple[int, int, Tensor]] = []

    def look(g: Tensor, mind: Mind) -> Messages:
        twin = mind.clone()
        key = twin.state["hc"]["keys"]
        seen.append((twin.batch, int(twin.state["hc"]["clock"][0]), key[torch.arange(len(g)), twin.t % key.shape[1]]))
        return {"executive/action": torch.zeros(len(g), 1, dtype=torch.int64)}

    walk, _ = square_walk(6, 3)
    bus = agent(batch=3, hc={"capacity": 32})
    act = Signal(dtype=torch.int64, values=4)
    executive = part(Step("look", {"g": "mec/g", "slot": "hc/slot"}, {"executive/action": act}, imagines=True))
    executive.look = lambda g, slot, mind: look(g, mind)  # type: ignore[assignment]
    inputs = {topic: bus.plan.topics[topic] for topic in bus.plan.inputs}
    whole = Bus(inputs, {**{n: bus.part(n) for n in ("lec", "mec", "hc")}, "executive": executive}, batch=3)
    seen.clear()
    g = live(whole, walk)["mec/g"]
    assert [(batch, clock) for batch, clock, _ in seen] == [(3, t + 1) for t in range(6)]
    for t in range(6):
        torch.testing.assert_close(seen[t][2], torch.nn.functional.normalize(g[t], dim=-1))
    ticked = list(seen)
    seen.clear()
    whole.reset()
    whole.play(walk)
    assert [(batch, clock) for batch, clock, _ in seen] == [(batch, clock) for batch, clock, _ in ticked]
    for (_, _, a), (_, _, b) in zip(seen, ticked, strict=True):
        torch.testing.assert_close(a, b)


@torch.no_grad()
def test_a_clone_of_a_probed_bus_ticks() -> None:
    bus = dreamer()
    probe = bus.probe("mec/g")
    said = live(bus, small_walk(4))
    assert torch.equal(probe.data, said["mec/g"])


def test_what_an_imagining_step_returns_is_proved_when_it_is_wired() -> None:
    def too_wide(state: State, g: Tensor, mind: Mind) -> tuple[Messages, State]:
        assert isinstance(mind.parts["mec"], Leaky)
        return {"executive/ahead": torch.zeros(len(g), 3)}, state

    with pytest.raises(WiringError, match=r"executive/ahead.*declared float32.*made float32"):
        dreamer(look=too_wide)
