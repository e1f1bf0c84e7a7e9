"""The explorer: how often, how straight, and how thoroughly it walks, by topics alone."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from buses import env, live
from scipy import stats
from torch import Tensor

from cogarch import Bus, Signal
from cogarch.executive.explorer import Explorer
from cogarch.module import SCORING_ONLY, Messages

SLOT = {
    "hc/slot": Signal(dtype=torch.int64, unit="slot", values=6),
    "hc/stored": Signal(dtype=torch.bool),
}
EFFECTS = {
    "dx, dy": torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]),
    "turn, advance": torch.tensor([[math.pi / 2, 0.0], [-math.pi / 2, 0.0], [0.0, 1.0]]),
}


def explorer(batch: int = 1, unit: str = "dx, dy", **settings: Any) -> Bus:
    topics = env(unit) | (SLOT if settings.get("policy") == "least_familiar" else {})
    return Bus(topics, {"executive": Explorer(topics, **settings)}, batch=batch)


def walk(bus: Bus, ticks: int, unit: str = "dx, dy", walls: bool = False) -> tuple[Tensor, Tensor]:
    """Lives in the open (or between walls at +-6): actions `[T, B]` and places or, egocentric, moves `[T, B, 2]`."""
    batch, effects = bus.batch, EFFECTS[unit]
    place, action = torch.zeros(batch, 2), torch.full((batch, 1), -1)
    motion, bump = torch.zeros(batch, 2), torch.zeros(batch, 1, dtype=torch.bool)
    actions, places = [], []
    with torch.no_grad():
        for t in range(ticks):
            out = bus.tick(
                {
                    "env/observation": torch.zeros(batch, 1, dtype=torch.int64),
                    "env/action": action,
                    "env/motion": motion,
                    "env/bump": bump,
                    "env/start": torch.full((batch, 1), t == 0),
                }
            )
            action = out["executive/action"]
            motion = effects[action[:, 0]]
            if walls:
                bump = ((place + motion).abs() > 6).any(1, keepdim=True)
                motion = torch.where(bump, 0.0, motion)
            place = place + motion
            actions.append(action[:, 0])
            places.append(place.clone())
    return torch.stack(actions), torch.stack(places)


def test_uniform_takes_every_action_alike() -> None:
    for unit, n in (("dx, dy", 4), ("turn, advance", 3)):
        actions, _ = walk(explorer(200, unit, policy="uniform"), 100, unit)
        counts = torch.bincount(actions.flatten(), minlength=n)
        assert len(counts) == n
        assert stats.chisquare(counts.numpy()).pvalue > 0.01
        pairs = torch.bincount((actions[1::2] * n + actions[::2]).flatten(), minlength=n * n)
        assert stats.chisquare(pairs.numpy()).pvalue > 0.01


def test_drifting_learns_what_each_action_does() -> None:
    bus = explorer(20, policy="drifting")
    walk(bus, 200)
    torch.testing.assert_close(bus.state["executive"]["effect"], EFFECTS["dx, dy"].expand(20, 4, 2))
    bus = explorer(20, "turn, advance", policy="drifting")
    walk(bus, 200, "turn, advance")
    torch.testing.assert_close(bus.state["executive"]["effect"], EFFECTS["turn, advance"].expand(20, 3, 2))


def test_bumps_teach_nothing() -> None:
    bus = explorer(20, policy="drifting")
    walk(bus, 400, walls=True)
    torch.testing.assert_close(bus.state["executive"]["effect"], EFFECTS["dx, dy"].expand(20, 4, 2))


def test_drifting_goes_straighter_the_more_persistent_it_is() -> None:
    """Mean squared distance after 200 steps: that of a random walk is 200; a heading that drifts carries farther."""
    spread = {}
    for persistence in (0.0, 0.6, 1.0):
        _, places = walk(explorer(300, policy="drifting", persistence=persistence), 300)
        spread[persistence] = float((places[299] - places[99]).square().sum(-1).mean())
    assert spread[0.0] == pytest.approx(200, rel=0.2)
    assert spread[0.6] > 2 * spread[0.0]
    assert spread[1.0] > 2 * spread[0.6]


def test_drifting_in_the_body_s_own_frame_mostly_advances() -> None:
    actions, _ = walk(explorer(200, "turn, advance", policy="drifting", persistence=0.6), 200, "turn, advance")
    share = float((actions[100:] == 2).double().mean())
    assert share == pytest.approx(0.6 + 0.4 / 3, abs=0.02)


def test_drifting_leaves_the_walls() -> None:
    """It covers a walled square as evenly as chance would, though it goes straight: walls do not hold it."""
    _, places = walk(explorer(100, policy="drifting"), 400, walls=True)
    at_wall = float((places[200:].abs() == 6).any(-1).double().mean())
    share = 1 - 11**2 / 13**2
    assert share * 0.7 < at_wall < share * 2


# --- least familiar first ---------------------------------------------------------------------------------------------


def sought(slots: Tensor, seed: int = 0, stored: Tensor | None = None) -> Tensor:
    """Actions `[T, B]` at a walk over slots `[T, B]`, each of a place known before or `stored` just now."""
    topics = env() | SLOT
    bus = Bus(topics, {"executive": Explorer(topics, policy="least_familiar")}, batch=slots.shape[1], seed=seed)
    ticks, batch = slots.shape
    messages: Messages = {t: torch.zeros(ticks, batch, *s.shape).to(s.dtype) for t, s in env().items()}
    with torch.no_grad():
        new = torch.zeros_like(slots, dtype=torch.bool) if stored is None else stored
        said = live(bus, messages | {"hc/slot": slots[..., None], "hc/stored": new[..., None]})
        return said["executive/action"][..., 0]


def test_a_slot_that_is_taken_over_is_a_new_place() -> None:
    """Four actions at a slot, then another place in the same slot: again each action once."""
    slots, stored = torch.zeros(11, 200, dtype=torch.int64), torch.zeros(11, 200, dtype=torch.bool)
    stored[3] = stored[7] = True
    actions = sought(slots, stored=stored)
    for life in (actions[3:7], actions[7:11]):
        assert (life.sort(0).values == torch.arange(4)[:, None]).all()


def test_without_slots_the_most_active_cell_is_the_place() -> None:
    topics = env() | {"hc/p": Signal((6,))}
    bus = Bus(topics, {"executive": Explorer(topics, policy="least_familiar")}, batch=20)
    p = torch.rand(4, 20, 6, generator=torch.Generator().manual_seed(0))
    p[:, :, 2] = 2.0  # the same place four times
    messages: Messages = {t: torch.zeros(4, 20, *s.shape).to(s.dtype) for t, s in env().items()}
    with torch.no_grad():
        actions = live(bus, messages | {"hc/p": p})["executive/action"][..., 0]
    assert (actions.sort(0).values == torch.arange(4)[:, None]).all()


def test_least_familiar_takes_each_action_once_before_any_twice() -> None:
    slots = torch.randint(6, (240, 50), generator=torch.Generator().manual_seed(0))
    actions = sought(slots)
    counts = torch.zeros(50, 6, 4, dtype=torch.int64)
    rows = torch.arange(50)
    for slot, action in zip(slots, actions, strict=True):
        here = counts[rows, slot]
        assert (here[rows, action] == here.min(-1).values).all()
        counts[rows, slot, action] += 1
    assert (counts.amax(-1) - counts.amin(-1)).max() <= 1


def test_ties_are_broken_evenly_at_random() -> None:
    actions = sought(torch.zeros(2, 4000, dtype=torch.int64))
    assert stats.chisquare(torch.bincount(actions[0]).numpy()).pvalue > 0.01
    second = torch.bincount((actions[1] - actions[0]) % 4, minlength=4)
    assert second[0] == 0
    assert stats.chisquare(second[1:].numpy()).pvalue > 0.01


def test_least_familiar_needs_a_memory_that_names_its_slots() -> None:
    with pytest.raises(ValueError, match=r"'least_familiar' needs a memory that says which place .*hc/p"):
        Explorer(env(), policy="least_familiar")


def test_actions_are_within_the_contract() -> None:
    topics = env() | SLOT
    for policy in ("uniform", "drifting", "least_familiar"):
        (step,) = Explorer(topics, policy=policy).steps()  # type: ignore[arg-type]
        assert step.writes["executive/action"] == Signal(dtype=torch.int64, values=4)
        assert not any(read.topic in SCORING_ONLY for read in step.subscriptions.values())
