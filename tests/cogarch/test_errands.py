"""Errands on small worlds: who is sent where, and what came of it, by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import agents
from cogarch import Agent
from cogarch.bench import errands
from cogarch.bench.errands import AtRandom, Known, Sent
from envs import World, oracle
from envs.oracle import Walked

SQUARE, OPTIONS = "cogarch/Square-v0", {"width": 3}
EAST, NORTH, WEST, SOUTH = range(4)


def navigator() -> Agent:
    return agents.load("navigator").change("hc", capacity=32)


def knows(env: str, options: dict[str, Any], actions: Sequence[int], seed: int = 0) -> Known:
    """What one that took these actions would know, of no mind; the last of them is not made yet."""
    with errands.opened(env, 1, options) as world:
        info = world.reset(seed=[seed])[1]
        nodes = [int(info["node"][0])]
        for action in actions[:-1]:
            nodes.append(int(world.step(np.array([action]))[4]["node"][0]))
    node = np.array(nodes)
    return Known({}, seed, np.array(actions), node, node, np.zeros((len(node), 2)), 0.0)


@cache
def met() -> dict[float, list[Known]]:
    """Two agents in worlds of nine places."""
    return errands.explore(navigator(), SQUARE, OPTIONS, (3, 4), (0.4, 1.0), 200)


# --- exploring --------------------------------------------------------------------------------------------------------


def test_who_explores_is_known_by_what_it_did() -> None:
    tables = errands.tables_of(SQUARE, OPTIONS, (3, 4))
    for share in (0.4, 1.0):
        for known, table in zip(met()[share], tables, strict=True):
            total = int((table.target >= 0).sum())
            walked = set()
            for now, action, then in zip(known.node, known.actions, known.node[1:], strict=False):
                to = int(table.target[now, action])
                assert then == (to if to >= 0 else now), "the actions lead where it was"
                if to >= 0:
                    walked.add((int(now), int(action)))
            assert len(walked) / total == pytest.approx(known.share)
            assert share <= known.share < share + 1.01 / total, "and no tick later"
            assert len(known.actions) == len(known.node) == len(known.place) == len(known.at)
            assert known.at[0].tolist() == [0, 0]
            there = {int(p): int(n) for p, n in zip(known.place, known.node, strict=True)}
            assert [there[int(p)] for p in known.place] == known.node.tolist(), "its places are places"
    assert [k.seed for k in met()[1.0]] == [3, 4]


def test_who_does_not_come_so_far_is_left_with_what_it_knows() -> None:
    (known,) = errands.explore(navigator(), SQUARE, OPTIONS, (3,), (1.0,), 5)[1.0]
    assert len(known.node) == 5 and known.share < 0.4


def test_the_closed_world_refuses_its_graph() -> None:
    world = errands.closed(SQUARE, 1, OPTIONS)
    world.reset(seed=[0])
    for ask in (world.table, world.graph):
        with pytest.raises(RuntimeError, match="a planner asked for the world's graph; it has only what its agent"):
            ask(0)
    assert len(errands.tables_of(SQUARE, OPTIONS, (0,))[0]) == 9, "the scorer has its own"


# --- sending ----------------------------------------------------------------------------------------------------------


def test_it_is_sent_to_other_places_each_the_last_time_that_it_was_there() -> None:
    known = met()[1.0][0]
    table = errands.tables_of(SQUARE, OPTIONS, (3,))[0]
    to = int(table.target[known.node[-1], known.actions[-1]])
    start = int(known.node[-1]) if to < 0 else to
    ticks = errands.targets(known, table, 99, np.random.default_rng(0))
    assert set(known.node[ticks].tolist()) == set(range(9)) - {start}
    for t in ticks:
        assert known.node[t] not in known.node[t + 1 :]
    few = errands.targets(known, table, 3, np.random.default_rng(0))
    assert len(few) == 3 and set(few.tolist()) <= set(ticks.tolist())
    nowhere = knows(SQUARE, OPTIONS, [known.actions[0]])
    alone = replace(nowhere, node=np.array([start]), actions=np.array([-1]))
    assert errands.targets(alone, replace_wall(table), 3, np.random.default_rng(0)).tolist() == []


def replace_wall(table: Any) -> Any:
    """A world in which nobody can move."""
    return replace(table, target=np.full_like(table.target, -1))


NOTHING = np.zeros(5, int), 0.0, np.zeros(5, int), np.zeros((1, 5), int)


def test_spl_by_hand() -> None:
    """Straight there 1; twice the way 1/2; there already 1; failed 0; no way 0."""
    came = np.array([True, True, True, False, False])
    sent = Sent(came, np.array([4, 8, 0, 9, 0]), np.array([4.0, 4, 0, 4, np.inf]), *NOTHING)
    with np.errstate(all="raise"):
        assert sent.spl.tolist() == [1, 0.5, 1, 0, 0]


class Scripted:
    """Goes by a list of actions, whatever the goal is."""

    def __init__(self, batch: int, actions: Sequence[int]) -> None:
        self.batch, self.actions, self.seen = batch, list(actions), list[tuple[int, int, int]]()

    def see(self, node: NDArray[Any], action: NDArray[Any], next_node: NDArray[Any]) -> None:
        self.seen.append((int(node[0]), int(action[0]), int(next_node[0])))

    def next_action(self, node: NDArray[Any], goal: NDArray[Any]) -> NDArray[Any]:
        return np.full(self.batch, self.actions.pop(0) if self.actions else SOUTH)


CORNER = [WEST, WEST, SOUTH, SOUTH, EAST, NORTH, WEST, SOUTH, SOUTH]
"""They lead to the southwestern corner, node 0, from wherever it begins; the last one is refused."""


def test_errands_are_scored_by_hand() -> None:
    """From the corner 0 of 3 x 3 to 1 and to 4: east, bumped south, north, then south for ever."""
    known = knows(SQUARE, OPTIONS, CORNER)
    assert known.node[-1] == 0
    ticks = np.array([np.flatnonzero(known.node == n)[-1] for n in (1, 4)])
    made: list[Scripted] = []

    def walker(k: int) -> Scripted:
        made.append(Scripted(k, [EAST, SOUTH, NORTH]))
        return made[0]

    sent = errands.send_by(walker, SQUARE, OPTIONS, known, ticks)
    assert sent.best.tolist() == [1, 2]
    assert sent.came.tolist() == [True, True] and sent.steps.tolist() == [1, 3]
    assert sent.spl.tolist() == [1, pytest.approx(2 / 3)]
    walked = {(int(a), int(b)) for a, b in zip(known.node, known.node[1:], strict=False)}
    new = [int((0, 1) not in walked), int((0, 1) not in walked) + int((1, 4) not in walked)]
    assert sent.new.tolist() == new, "bumps are steps, and lead nowhere new"
    assert [action for _, action, _ in made[0].seen][: len(known.actions)] == known.actions.tolist()
    assert made[0].seen[len(known.actions)] == (0, EAST, 1)


def test_who_never_comes_has_failed_after_ten_times_the_way() -> None:
    known = knows(SQUARE, OPTIONS, CORNER)
    ticks = np.array([np.flatnonzero(known.node == n)[-1] for n in (1, 4)])
    sent = errands.send_by(partial(Scripted, actions=[]), SQUARE, OPTIONS, known, ticks)
    assert not sent.came.any() and sent.spl.tolist() == [0, 0]
    assert sent.steps.tolist() == [10 * 1 + 10, 10 * 2 + 10]


def all_knowing(table: Any) -> Callable[[int], Walked]:
    def made(k: int) -> Walked:
        walker = Walked(k)
        for node, action, target in table.edges:
            walker.see(*(np.full(k, x) for x in (node, action, target)))
        return walker

    return made


@pytest.mark.parametrize(
    ("env", "options"),
    [(SQUARE, OPTIONS), ("cogarch/Rooms-v0", {"size": 3}), (SQUARE, {"width": 3, "body": "egocentric"})],
    ids=str,
)
def test_an_oracle_takes_the_shortest_way_and_chance_does_not(env: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    (table,) = errands.tables_of(env, options, (0,))
    known = knows(env, options, rng.integers(len(table.actions), size=60).tolist())
    ticks = errands.targets(known, table, 6, rng)
    best = errands.send_by(all_knowing(table), env, options, known, ticks)
    chance = errands.send_by(AtRandom, env, options, known, ticks)
    assert len(ticks) == 6 and best.came.all() and (best.best > 0).all()
    if "body" not in options:  # of the poses of a place it goes to the one that it was in
        assert best.spl.tolist() == [1] * 6
    assert best.spl.min() > 0.3 and chance.spl.mean() < 0.75 * best.spl.mean()
    again = errands.send_by(AtRandom, env, options, known, ticks)
    assert again.steps.tolist() == chance.steps.tolist()


def test_a_navigator_comes_by_what_it_knows() -> None:
    """As well as an oracle where it has walked all; and each of its minds is left as it was."""
    known = met()[1.0][0]
    (table,) = errands.tables_of(SQUARE, OPTIONS, (3,))
    ticks = errands.targets(known, table, 8, np.random.default_rng(0))
    before = {name: x.clone() for name, x in known.mind.items()}
    sent = errands.send(navigator(), SQUARE, OPTIONS, known, ticks)
    assert sent.came.all() and sent.spl.tolist() == [1] * 8
    assert sent.new.tolist() == [0] * 8
    assert all(torch.equal(known.mind[name], x) for name, x in before.items())
    start = errands._start(known, table)
    expected = oracle.distances(table, [start])[0, known.node[ticks]]
    assert sent.best.tolist() == expected.tolist() == sent.steps.tolist()


def test_an_egocentric_navigator_comes_too() -> None:
    options = {"width": 3, "body": "egocentric"}
    (known,) = errands.explore(navigator().change("hc", capacity=64), SQUARE, options, (3,), (1.0,), 300)[1.0]
    (table,) = errands.tables_of(SQUARE, options, (3,))
    ticks = errands.targets(known, table, 4, np.random.default_rng(0))
    assert len({tuple(table.place[n]) for n in known.node[ticks]}) == 4, "places, not poses"
    sent = errands.send(navigator().change("hc", capacity=64), SQUARE, options, known, ticks)
    assert sent.came.all() and sent.spl.mean() > 0.9


# --- a world that changes ---------------------------------------------------------------------------------------------

TWO = ("cogarch/Rooms-v0", {"columns": 2, "rows": 1, "size": 2})


def close(world: World, row: int) -> None:
    world.close_door(row, 0)  # type: ignore[attr-defined]


def test_the_world_changes_when_it_is_where_it_is_sent_from() -> None:
    """Its last move leads through the door, which closes behind it: for agents, for walkers and for the scorer."""
    (known,) = errands.explore(navigator(), *TWO, (0,), (1.0,), 200)[1.0]
    (table,) = errands.tables_of(*TWO, (0,))
    with errands.opened(TWO[0], 1, TWO[1]) as world:
        world.reset(seed=[0])
        doors = [tuple(ends) for ends in world.doors(0).tolist()]  # type: ignore[attr-defined]
    west, east = doors[0]
    cut = next(
        t + 1 for t in range(len(known.node) - 1, 0, -1) if {int(known.node[t - 1]), int(known.node[t])} == {west, east}
    )
    short = Known(known.mind, 0, known.actions[: cut - 1], known.node[: cut - 1], known.place, known.at, known.share)
    start = errands._start(short, table)
    assert start == int(known.node[cut - 1]) and {start, int(short.node[-1])} == {west, east}
    first = np.array([t for t in range(len(short.node)) if short.node[t] in doors[0]][:1])
    seen: list[int] = []

    class Watched(Walked):
        def see(self, node: NDArray[Any], action: NDArray[Any], next_node: NDArray[Any]) -> None:
            seen.append(int(next_node[0]))
            super().see(node, action, next_node)

    errands.send_by(Watched, *TWO, short, first, change=close)
    assert seen[len(short.actions) - 1] == start, "it went through"
    # the agent, too: told of nothing, it is where the scorer thinks that it is
    mind = {**known.mind}
    sent = errands.send(navigator(), *TWO, replace(short, mind=mind), first, change=close)
    by_walker = errands.send_by(Watched, *TWO, short, first, change=close)
    assert sent.best.tolist() == by_walker.best.tolist()


def test_where_no_way_leads_is_no_failure_of_the_bench() -> None:
    known = knows(*TWO, [int(a) for a in np.random.default_rng(0).integers(4, size=120)])
    (table,) = errands.tables_of(*TWO, (0,))
    ticks = errands.targets(known, table, 7, np.random.default_rng(0))
    sent = errands.send_by(all_knowing(table), *TWO, known, ticks, change=close)
    parted = ~np.isfinite(sent.best)
    assert parted.any() and not parted.all()
    assert not sent.came[parted].any() and sent.came[~parted].all()
    assert sent.steps[parted].tolist() == [0] * int(parted.sum())
    with np.errstate(all="raise"):
        assert set(sent.spl[parted].tolist()) == {0}


def test_doors_on_the_way_have_a_way_round() -> None:
    env, options = "cogarch/Rooms-v0", {"size": 3}
    known = knows(env, options, [int(a) for a in np.random.default_rng(1).integers(4, size=300)])
    (table,) = errands.tables_of(env, options, (0,))
    ticks = errands.targets(known, table, 20, np.random.default_rng(0))
    kept, doors = errands.doors_on_the_way(env, options, known, ticks)
    assert set(kept.tolist()) <= set(ticks.tolist()) and len(kept) == len(doors) > 0
    start = errands._start(known, table)
    for t, door in zip(kept, doors, strict=True):
        with errands.opened(env, 1, options) as world:
            world.reset(seed=[0])
            world.close_door(0, int(door))  # type: ignore[attr-defined]
            after = oracle.distances(world.table(0), [start])[0, known.node[t]]
        assert np.isfinite(after) and after >= oracle.distances(table, [start])[0, known.node[t]]


def test_the_worlds_of_a_scorer_are_those_of_the_agents() -> None:
    with errands.opened(SQUARE, 2, OPTIONS) as ours:
        ours.reset(seed=[3, 4])
        tables = errands.tables_of(SQUARE, OPTIONS, (3, 4))
        for row in range(2):
            assert np.array_equal(ours.table(row).target, tables[row].target)
