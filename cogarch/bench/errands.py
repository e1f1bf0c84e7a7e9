"""Errands: agents get to know a world, are sent to places in it, and are scored by the steps that they take.

Agents act in worlds that refuse to tell their graph; the scorer has worlds of its own, made alike.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray

import envs
from cogarch.config import Agent
from cogarch.executive.goals import Goal
from cogarch.run import contracts, living
from envs import World, oracle
from envs.table import Table

Ints = NDArray[np.int64]


def closed(env: str, batch: int, options: Mapping[str, Any]) -> World:
    """A world that does not tell its graph: to act in."""
    world = envs.make(env, batch, **options)

    def refuse(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("a planner asked for the world's graph; it has only what its agent sensed")

    world.table = world.graph = refuse  # type: ignore[method-assign]
    return world


ALL = math.inf


@dataclass(frozen=True)
class Known:
    """What an agent knows of one world: its own state after T ticks there."""

    mind: dict[str, torch.Tensor]
    """`Bus.dump` of one row."""
    seed: int
    actions: Ints
    """`[T]`, chosen at each tick; the last one is not made yet."""
    node: Ints
    """`[T]`, where it was."""
    place: Ints
    """`[T]`, where it thought that it was: the place of its atlas."""
    at: NDArray[np.float64]
    """`[T, 2]`, by felt motion from where its life began."""
    share: float
    """Of the edges of the world that it has walked."""


def explore(
    agent: Agent,
    env: str,
    options: Mapping[str, Any],
    seeds: Sequence[int],
    shares: Sequence[float],
    most: int,
    *,
    rested: int = 1,
    clamps: Mapping[str, float] | None = None,
    seed: int = 0,
) -> dict[float, list[Known]]:
    """What agents know of their worlds (`seeds`, one each) when they have walked each of `shares` of the edges, by
    their own way of exploring in at most `most` ticks; `ALL`: when nothing is left to explore, walls included,
    and they have `rested` so many ticks. Who does not come so far is left with what it then knows."""
    batch = len(seeds)
    tables = tables_of(env, options, seeds)
    total = np.array([(table.target >= 0).sum() for table in tables])
    found: dict[float, dict[int, Known]] = {share: {} for share in shares}
    walked: list[set[tuple[int, int]]] = [set() for _ in range(batch)]
    past: list[tuple[Ints, Ints, Ints, NDArray[np.float64]]] = []
    with torch.no_grad(), contextlib.closing(closed(env, batch, options)) as world:
        bus = agent.ready(contracts(world))[0].build(contracts(world), batch=batch, seed=seed)
        for topic, value in (clamps or {}).items():
            bus.clamp(topic, value)
        for t, said in enumerate(itertools.islice(living(world, bus, _begin(seeds)), most)):
            atlas = bus.state["executive"]["atlas"]
            told = (said["executive/action"][:, 0], said["env/node"][:, 0], atlas["here"], atlas["position"])
            past.append(tuple(x.numpy().copy() for x in told))  # type: ignore[arg-type]
            if t:
                for row, (action, before, now) in enumerate(zip(past[-2][0], past[-2][1], past[-1][1], strict=True)):
                    if tables[row].target[before, action] == now:
                        walked[row].add((int(before), int(action)))
            share = np.array([len(edges) for edges in walked]) / total
            resting = bus.state["executive"]["rested"].numpy() >= rested
            for wanted, rows in found.items():
                enough = resting if wanted == ALL else share >= wanted
                for row in np.flatnonzero(enough | (t == most - 1)).tolist():
                    if row not in rows:
                        mind = {k: x if k == "clock" else x[row : row + 1].clone() for k, x in bus.dump().items()}
                        actions, nodes, places, at = (np.stack(x)[:, row] for x in zip(*past, strict=True))
                        rows[row] = Known(mind, seeds[row], actions, nodes, places, at, float(share[row]))
            if all(len(rows) == batch for rows in found.values()):
                break
    return {share: [rows[row] for row in range(batch)] for share, rows in found.items()}


@dataclass(frozen=True)
class Sent:
    """What came of K errands."""

    came: NDArray[np.bool_]
    """`[K]`."""
    steps: Ints
    """`[K]`, taken."""
    best: NDArray[np.float64]
    """`[K]`, of the shortest way (inf: none leads there, and none is tried)."""
    new: Ints
    """`[K]`, of the steps that led on, how many had never been walked before."""
    seconds: float
    """A tick of all K, world included."""
    by_habit: Ints
    """`[K]`, of the steps, those that a habit took (mode 1)."""
    nodes: Ints
    """`[T, K]`, where each was, from where it was sent on; also after it came."""

    @property
    def spl(self) -> NDArray[np.float64]:
        """Success weighted by path length, `[K]` (Anderson et al. 2018); 1 where it was there at once."""
        best = np.where(self.came, self.best, 0.0)
        return np.where(self.came & (best == 0), 1.0, best / np.maximum(np.maximum(self.steps, best), 1))


def targets(known: Known, table: Table, number: int, rng: np.random.Generator, room: Ints | None = None) -> Ints:
    """Ticks `[K]` of the walk at which it was at so many different places, none of them where it will be sent from; of
    each place the last one. With `room` `[N]`, the room of each node (-1: a door), places in other rooms alone."""
    places, start = oracle.places(table), _start(known, table)
    last = {int(p): t for t, p in enumerate(places[known.node])}
    last.pop(int(places[start]), None)
    if room is not None:
        last = {p: t for p, t in last.items() if room[p] not in (-1, room[start])}
    ticks = np.array(sorted(last.values()), np.int64)
    return np.sort(rng.choice(ticks, min(number, len(ticks)), replace=False))


def send(
    agent: Agent,
    env: str,
    options: Mapping[str, Any],
    known: Known,
    ticks: Ints,
    *,
    change: Callable[[World, int], None] | None = None,
    clamps: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Sent:
    """Send an agent to each of the places that it was at at `ticks` `[K]`, each time with what it knows and no more;
    `change` is done to each row of the world before it is sent, and from then on topics are held at what `clamps`
    says."""
    k = len(ticks)
    with torch.no_grad(), contextlib.closing(closed(env, k, options)) as world:
        bus = agent.ready(contracts(world))[0].build(contracts(world), batch=k, seed=seed)
        many = {name: x if name == "clock" else x.expand(k, *x.shape[1:]).clone() for name, x in known.mind.items()}
        bus.load(many)
        for topic, value in (clamps or {}).items():
            bus.clamp(topic, value)
        executive: Any = bus.part("executive")
        egocentric = world.metadata["motion"] == "turn, advance"
        for i, t in enumerate(ticks):
            goal = Goal("place", known.at[t]) if egocentric else Goal("node", int(known.place[t]))
            rows = torch.arange(k) == i
            bus.state["executive"] = executive.aim(bus.state["executive"], goal, rows)
        past = [np.full(k, action) for action in known.actions]

        def lives() -> Iterator[tuple[Ints, Ints]]:
            for t, said in enumerate(living(world, bus, _begin([known.seed] * k), past=past)):
                yield said["env/node"][:, 0].numpy(), said["executive/control"][:, 0].numpy()
                if t == 0 and change is not None:  # it is where it is sent from
                    for row in range(k):
                        change(world, row)

        return _score(env, options, known, ticks, lives(), change)


def send_by(
    policy: Callable[[int], Any],
    env: str,
    options: Mapping[str, Any],
    known: Known,
    ticks: Ints,
    *,
    change: Callable[[World, int], None] | None = None,
) -> Sent:
    """The same errands for what knows the true nodes: `policy(k)` has `see(node, action, next_node)`, and
    `next_action(node, goal)` (-1: it knows no way, and moves at random)."""
    k = len(ticks)
    walker, goal = policy(k), known.node[ticks]
    rng = np.random.default_rng(known.seed)
    with contextlib.closing(closed(env, k, options)) as world:
        info: Mapping[str, Any] = world.reset(seed=[known.seed] * k)[1]
        for action in known.actions:
            info = _stepped(world, walker, info, np.full(k, action))
        if change is not None:
            for row in range(k):
                change(world, row)

        def lives() -> Iterator[tuple[Ints, Ints]]:
            now = info
            while True:
                yield now["node"], np.zeros(k, np.int64)
                action = walker.next_action(now["node"], goal)
                any_ = rng.integers(len(world.metadata["actions"]), size=k)
                now = _stepped(world, walker, now, np.where(action < 0, any_, action))

        return _score(env, options, known, ticks, lives(), change)


class AtRandom:
    """A walker that knows nothing."""

    def __init__(self, batch: int) -> None:
        self.nothing = np.full(batch, -1)

    def see(self, node: Ints, action: Ints, next_node: Ints) -> None:
        """Learns nothing."""

    def next_action(self, node: Ints, goal: Ints) -> Ints:
        """Any."""
        return self.nothing


@contextlib.contextmanager
def opened(env: str, batch: int, options: Mapping[str, Any]) -> Iterator[World]:
    """The scorer's worlds."""
    with contextlib.closing(envs.make(env, batch, **options)) as world:
        yield world


def tables_of(env: str, options: Mapping[str, Any], seeds: Sequence[int]) -> list[Table]:
    """The scorer's: where each action leads from each node of these worlds."""
    with opened(env, len(seeds), options) as world:
        world.reset(seed=list(seeds))
        return [world.table(row) for row in range(len(seeds))]


def doors_on_the_way(env: str, options: Mapping[str, Any], known: Known, ticks: Ints) -> tuple[Ints, Ints]:
    """Of errands to where it was at `ticks` those whose shortest way leads through a door that there is a way round,
    and that door, an index of `world.doors`."""
    kept, doors = [], []
    with opened(env, 1, options) as world:
        for t in ticks.tolist():
            world.reset(seed=[known.seed])
            table = world.table(0)
            start, goal = _start(known, table), int(known.node[t])
            nodes, _ = oracle.shortest_path(table, start, goal)
            for door, ends in enumerate(world.doors(0).tolist()):  # type: ignore[attr-defined]
                at = [i for i, node in enumerate(nodes.tolist()) if node in ends]
                if len(at) == 2 and not {start, goal} & set(ends):
                    world.close_door(0, door)  # type: ignore[attr-defined]
                    if np.isfinite(oracle.distances(world.table(0), [start])[0, goal]):
                        kept.append(t)
                        doors.append(door)
                    break
    return np.array(kept, np.int64), np.array(doors, np.int64)


LIMIT = 10
"""Times the shortest way, and as many steps more than that: an agent that has not come by then has failed."""


def _score(
    env: str,
    options: Mapping[str, Any],
    known: Known,
    ticks: Ints,
    lives: Iterator[tuple[Ints, Ints]],
    change: Callable[[World, int], None] | None,
) -> Sent:
    """`lives`: where each agent is `[K]`, from where it is sent, and whether a habit then acts."""
    k = len(ticks)
    with opened(env, k, options) as world:
        world.reset(seed=[known.seed] * k)
        walked = set(zip(known.node.tolist(), [*known.node[1:].tolist(), _start(known, world.table(0))], strict=True))
        if change is not None:
            for row in range(k):
                change(world, row)
        tables = [world.table(row) for row in range(k)]
    place = oracle.places(tables[0])
    goal, (now, used) = place[known.node[ticks]], next(lives)
    best = oracle.distance(tables, now, [np.flatnonzero(place == g) for g in goal])
    came, steps, new, by_habit = place[now] == goal, *np.zeros((3, k), np.int64)
    began, t, nodes, possible = time.perf_counter(), 0, [now], np.isfinite(best)
    for t in range(1, int(LIMIT * best[possible].max(initial=0)) + LIMIT + 1):
        by_habit += ~came & (used > 0)
        before, (now, used) = now, next(lives)
        going = ~came & possible & (t <= LIMIT * best + LIMIT)
        nodes.append(now)
        led = [a != b and (a, b) not in walked for a, b in zip(before.tolist(), now.tolist(), strict=True)]
        steps += going
        new += going & np.array(led)
        came |= going & (place[now] == goal)
        if came.all():
            break
    return Sent(came, steps, best, new, (time.perf_counter() - began) / max(t, 1), by_habit, np.stack(nodes))


def _start(known: Known, table: Table) -> int:
    """Where it is sent from: after the last action that it had chosen."""
    there = int(table.target[known.node[-1], known.actions[-1]])
    return int(known.node[-1]) if there < 0 else there


def _begin(seeds: Sequence[int]) -> Callable[[int], Mapping[int, int | None]]:
    return lambda t: dict(enumerate(seeds)) if t == 0 else {}


def _stepped(world: World, walker: Any, info: Mapping[str, Any], action: Ints) -> Mapping[str, Any]:
    _, _, _, _, after = world.step(action)
    walker.see(info["node"], action, after["node"])
    return after
