"""The surveyor in MiniGrid: it finds goals, opens doors, says why, and each row lives for itself."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor

import agents
import envs
from cogarch import Bus, Signal
from cogarch.bench.minigrid import by_chance, live, measure, shortest
from cogarch.check import check_module, example_contracts
from cogarch.executive.configurator import MODES
from cogarch.executive.surveyor import REASONS, RULES, Surveyor
from cogarch.module import SCORING_ONLY, Messages
from cogarch.run import contracts, living

TOPICS = example_contracts("turn, advance") | {"env/observation": Signal((7, 7, 3), dtype=torch.uint8)}
ENDS = {"layout": "new", "endless": False}


def lived(env: str, seeds: list[int], ticks: int, options: dict[str, Any] | None = None, **settings: Any) -> Messages:
    """What is said `[T, B, ...]` from the beginning of lives in the worlds of these seeds."""
    world = envs.make(env, len(seeds), **(options or {}))
    bus = agents.load("scout").change("executive", **settings).build(contracts(world), batch=len(seeds), seed=0)
    with torch.no_grad():
        lives = living(world, bus, lambda t: {} if t else dict(enumerate(seeds)))
        said = list(itertools.islice(lives, ticks))
    return {topic: torch.stack([tick[topic] for tick in said]) for topic in said[0]}


def reasons(said: Messages, row: int = 0) -> list[str]:
    return [REASONS[i] for i in said["executive/reason"][:, row, 0].tolist()]


def test_the_suite_passes() -> None:
    class Told(Surveyor):
        def __init__(self, topics: Any) -> None:
            super().__init__(topics, size=32, goal="object 1")

    verdicts = check_module(Told, TOPICS)
    assert not [v for v in verdicts if v.passed is False]
    assert len([v for v in verdicts if v.passed]) > 8


def test_it_finds_the_goal_of_four_rooms_and_of_a_room() -> None:
    seeds = list(range(500, 512))
    for env, least in (("MiniGrid-FourRooms-v0", 0.75), ("MiniGrid-Empty-Random-6x6-v0", 1.0)):
        best, most = shortest(env, ENDS, seeds)
        reward, frames = live(agents.load("scout"), env, ENDS, seeds, most, 0)
        came = reward > 0
        assert came.mean() >= least
        assert (frames >= best)[came].all()
        np.testing.assert_allclose(reward[came], 1 - 0.9 * frames[came] / most)


def test_doors_are_learned_to_be_opened() -> None:
    seeds = [3, 4, 5, 6]
    options = {**ENDS, "actions": "all"}
    best, most = shortest("MiniGrid-MultiRoom-N4-S5-v1", options, seeds)
    reward, _ = live(agents.load("scout"), "MiniGrid-MultiRoom-N4-S5-v1", options, seeds, most, 0)
    assert (reward > 0).mean() >= 0.75
    assert np.isfinite(best).all() and (reward <= 1 - 0.9 * best / most + 1e-6).all()
    blind, _ = live(
        agents.load("scout"), "MiniGrid-MultiRoom-N4-S5-v1", {**ENDS, "actions": "navigation"}, seeds, most, 0
    )
    assert not blind.any()  # who cannot toggle stays in


def test_the_likes_of_what_was_seen_are_gone_to() -> None:
    seeds = list(range(40, 48))
    _, most = shortest("MiniGrid-MemoryS9-v0", ENDS, seeds)
    told = agents.load("scout").change("executive", goal="same")
    reward, _ = live(told, "MiniGrid-MemoryS9-v0", ENDS, seeds, most, 0)
    assert (reward > 0).mean() >= 0.85  # by chance: a half


def test_once_the_goal_is_seen_and_all_is_known_the_way_is_the_shortest() -> None:
    """In an open room: what it expects the way to cost falls by 1 a step, and the steps are those of the oracle."""
    said = lived("MiniGrid-Empty-8x8-v0", [0], 60)
    why = reasons(said)
    seen, came = why.index("the goal is known"), why.index("the goal is reached")
    togo = said["executive/togo"][seen:came, 0, 0]
    assert len(togo) >= 4
    assert (togo.diff() <= -0.9).all()
    world = envs.make("MiniGrid-Empty-8x8-v0", 1)
    world.reset(seed=[0])
    way = np.abs(said["env/place"][seen, 0].numpy() - (6, 1)).sum()
    assert way <= came - seen <= way + 2  # and turns
    assert said["executive/goal"][seen, 0].tolist() == [5, -5]  # from where the life began, looking east


def test_modes_follow_reasons() -> None:
    said = lived("MiniGrid-FourRooms-v0", [1, 2, 3], 90)
    for reason, mode in zip(said["executive/reason"].flatten(), said["executive/mode"].flatten(), strict=True):
        assert MODES[int(mode)] == RULES[int(reason)].mode
    assert {"the goal is known", "the goal is reached", "the goal is not known"} <= set(reasons(said))
    assert (said["executive/known"].diff(dim=0) >= 0).all()


def test_a_room_that_is_known_leaves_nothing_to_explore() -> None:
    said = lived("MiniGrid-Empty-6x6-v0", [0], 60, goal="")
    assert reasons(said)[-1] == "nothing is left to explore"
    assert MODES[int(said["executive/mode"][-1])] == "rest"
    assert said["executive/togo"][-1] == -1
    assert said["executive/known"][-1] == said["executive/known"][-10] >= 36


def test_a_place_and_another_goal_while_living() -> None:
    world = envs.make("MiniGrid-Empty-8x8-v0", 2)
    bus = agents.load("scout").change("executive", goal="").build(contracts(world), batch=2, seed=0)
    executive: Any = bus.part("executive")
    places: list[Tensor] = []
    with torch.no_grad():
        for t, said in enumerate(living(world, bus, lambda t: {} if t else {0: 0, 1: 0})):
            if t == 20:
                bus.state["executive"] = executive.aim(
                    bus.state["executive"], "place 3 -1", torch.tensor([True, False])
                )
            places.append(said["env/place"])
            if t == 45:
                break
    began = places[0][0].tolist()
    assert [began[0] + 3, began[1] - 1] in [p[0].tolist() for p in places[21:]]
    assert (bus.state["executive"]["goals"]["by"] == 0).all()


def test_rows_live_alike_alone_and_among_others() -> None:
    seeds = [11, 12, 13]
    together = lived("MiniGrid-FourRooms-v0", seeds, 40, ENDS)
    others = lived("MiniGrid-FourRooms-v0", [11, 99, 98], 40, ENDS)
    for topic in ("executive/action", "executive/reason", "executive/togo", "executive/known"):
        torch.testing.assert_close(together[topic][:, 0], others[topic][:, 0])
    assert not torch.equal(together["executive/action"][:, 1], others["executive/action"][:, 1])


def test_a_map_that_is_too_small_is_told() -> None:
    for size, told in ((16, True), (64, False)):
        world = envs.make("MiniGrid-FourRooms-v0", 1)
        bus: Bus = agents.load("scout").change("executive", goal="", size=size).build(contracts(world), batch=1, seed=0)
        with torch.no_grad():
            for _ in itertools.islice(living(world, bus, lambda t: {} if t else {0: 0}), 80):
                pass
        notice = bus.part("executive").notice(bus.state["executive"])
        assert (notice is not None and "raise executive.size" in notice) == told


def test_a_whole_grid_in_place_of_a_view_is_told() -> None:
    world = envs.make("MiniGrid-DoorKey-5x5-v0", 1, observation="full")
    bus: Bus = agents.load("scout").build(contracts(world), batch=1, seed=0)
    with torch.no_grad():
        next(living(world, bus, lambda t: {0: 0}))
    assert "own body" in str(bus.part("executive").notice(bus.state["executive"]))


def test_the_bench_knows_the_shortest_way_and_chance() -> None:
    best, most = shortest("MiniGrid-Empty-8x8-v0", ENDS, [0, 1])
    assert best.tolist() == [11, 11] and most == 256  # five on, a turn, five on
    assert shortest("MiniGrid-DoorKey-5x5-v0", ENDS, [0])[0] != best[:1]  # nan: locked
    assert 0 < by_chance("MiniGrid-Empty-5x5-v0", ENDS, list(range(40)), 0).mean() < 0.8
    with pytest.raises(ValueError, match="bench minigrid knows MiniGrid-Empty-8x8-v0, "):
        measure(env="cogarch/Square-v0", seeds=[0], quick=True, console=Console(quiet=True))


BAD = [
    ({"env/observation": Signal((7, 7, 2), dtype=torch.uint8)}, {}, "reads views ahead in symbols"),
    ({"env/observation": Signal((56, 56, 3), dtype=torch.uint8, unit="RGB")}, {}, 'observation = "partial"'),
    ({"env/observation": Signal(dtype=torch.int64, values=45)}, {}, "reads views ahead in symbols"),
    ({"env/observation": Signal((7, 7, 3))}, {}, "for symbols and a body that turns"),
    ({"env/motion": Signal((2,), unit="dx, dy")}, {}, "moves by 'dx, dy'"),
    ({"env/observation": Signal((9, 9, 3), dtype=torch.uint8)}, {"size": 16}, "give more than 18"),
    ({}, {"goal": "node 3"}, "seeks no 'node'"),
    ({}, {"goal": "object 300"}, "0 to 255"),
    ({}, {"goal": "objekt 3"}, "did you mean 'object'"),
]


@pytest.mark.parametrize(("topics", "settings", "says"), BAD, ids=[says for *_, says in BAD])
def test_what_it_cannot_do_is_said(topics: dict[str, Signal], settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Surveyor(TOPICS | topics, **settings)


def test_it_reads_nothing_of_the_truth() -> None:
    (step,) = Surveyor(TOPICS).steps()
    assert not {read.topic for read in step.subscriptions.values()} & set(SCORING_ONLY)
