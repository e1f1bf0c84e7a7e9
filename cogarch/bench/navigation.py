"""Goes where it is sent: what agents that explored a world know of it, beside a dictionary, chance and an oracle."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

import agents
from cogarch.bench import errands, shortcut
from cogarch.bench.errands import AtRandom, Ints, Known, Sent
from cogarch.bench.report import Row, over_seeds
from cogarch.config import Agent
from cogarch.executive.search import SEARCHES
from cogarch.run import SCORING_SEED
from envs import World, coverage, policies
from envs.oracle import Walked
from envs.table import Table

WORLDS, ERRANDS, MOST = 4, 20, 4000
"""Worlds a seed, errands in each, ticks of exploring at most."""
COMPASS, HEX = (2, 3, 0, 1), (3, 4, 5, 0, 1, 2)


class Place(NamedTuple):
    """A world to go about in."""

    name: str
    env: str
    options: Mapping[str, Any]
    undo: Sequence[int]
    """The action that undoes each."""


PLACES = (
    Place("square 12x12", "cogarch/Square-v0", {"width": 12}, COMPASS),
    Place("hexagons", "cogarch/Hex-v0", {}, HEX),
    Place("torus 12x12", "cogarch/Torus-v0", {"width": 12}, COMPASS),
    Place("four rooms, thin walls", "cogarch/Rooms-v0", {}, COMPASS),
    Place("four rooms, thick walls", "cogarch/Rooms-v0", {"walls": "cells"}, COMPASS),
    Place("maze", "cogarch/Maze-v0", {}, COMPASS),
)
SHARES = (0.5, 0.9)


def measure(
    *, env: str | None, seeds: Sequence[int], quick: bool, console: Console, only: str = "", figure: Path | None = None
) -> list[Row]:
    """Rows `agent env task success spl random walked_only oracle ...`.

    *return*: sent to places that it was at, when it had walked half, or 0.9, of the edges. *detour*: the same when
    nothing was left to explore, and a door on the shortest way is then closed; the oracle knows all but that, and
    learns it on bumping. *explore*: steps until 0.95 of the edges are walked. *latent*: across a door, by what a world
    model imagines.
    `spl`: success weighted by path length (Anderson et al. 2018), of the agent and of `random` moves; of a dictionary
    of the moves that were made (`walked_only`, and `walked_back`, which knows each move's reverse, too); of an agent
    that stays (`goal_met`), and of the shortest way (`oracle`). `never_walked`: the share of its steps that it had
    never made before. *control*: by each search, and by habit. `only`: tasks, agents or worlds whose name holds that
    text; `figure`: a shortcut. ValueError for another world: each task has its own.
    """
    if env is not None:
        raise ValueError("bench navigation names its own worlds")
    rows = []
    number = 2 if quick else WORLDS
    for task, places in _TASKS.items():
        for place in places:
            for name, agent in _agents(task, place).items():
                if only not in f"{task} {name} {place.name}":
                    continue
                found = []
                for seed in seeds:
                    first = SCORING_SEED + 1000 * seed
                    found.append(_MEASURE[task](agent, place, range(first, first + number), seed))
                for many in zip(*found, strict=True):
                    about = {"agent": name, "env": place.name, "task": task}
                    figures = [key for key, value in many[0].items() if isinstance(value, float)]
                    rows.append(about | over_seeds(many, figures, ("errands",) if "errands" in many[0] else ()))
                    console.print(f"{name}, {place.name}, {task}: {_said(rows[-1])}")
    if figure is not None:
        square, agent, half = PLACES[0], agents.load("navigator"), SHARES[0]
        worlds = range(SCORING_SEED, SCORING_SEED + number)
        known = errands.explore(agent, square.env, square.options, worlds, (half,), MOST)[half]
        shortcut.draw(figure, agent, square.env, dict(square.options), known)
    return rows


def _agents(task: str, place: Place) -> dict[str, Agent]:
    if task == "latent":
        dreamer = agents.load("dreamer")
        return {
            "dreamer": dreamer,
            "dreamer, imagination alone": dreamer.change("executive", walked=False),
            "dreamer, untrained": dreamer.model_copy(update={"trained": None}).change("executive", walked=False),
        }
    navigator = agents.load("navigator")
    if task == "control":
        still = navigator.change("executive", wander=False)
        searches = {f"navigator, {name}": still.change("executive", search=name) for name in SEARCHES}
        habits = {"habit where sure": 0.15, "habit": 1.0}
        return searches | {
            f"navigator, {name}": still.change("executive", habit=True, doubt=doubt) for name, doubt in habits.items()
        }
    if task == "return" and place in SOME:
        walks = navigator.change("executive", infer=False, recognise=0.0)
        return {"navigator": navigator, "tolman": agents.load("tolman"), "navigator, infers nothing": walks}
    return {"navigator": navigator}


def _said(row: Row) -> str:
    return ", ".join(
        f"{key} {value:.3f}" for key, value in row.items() if isinstance(value, float) and "_std" not in key
    )


def _return(agent: Agent, place: Place, seeds: range, seed: int) -> list[Row]:
    """A row a share of the edges walked."""
    known = errands.explore(agent, place.env, place.options, seeds, SHARES, MOST, seed=seed)
    tables = errands.tables_of(place.env, place.options, seeds)
    rows = []
    for share in SHARES:
        sent: dict[str, list[Sent]] = {}
        for one, table in zip(known[share], tables, strict=True):
            ticks = errands.targets(one, table, ERRANDS, np.random.default_rng(seed))
            sent.setdefault("spl", []).append(errands.send(agent, place.env, place.options, one, ticks, seed=seed))
            for name, walker in _walkers(place).items():
                sent.setdefault(name, []).append(errands.send_by(walker, place.env, place.options, one, ticks))
        own = sent["spl"]
        rows.append(
            {
                "walked": share,
                "edges": float(np.mean([one.share for one in known[share]])),
                "explored_ticks": float(np.mean([len(one.node) for one in known[share]])),
                "errands": sum(len(s.came) for s in own),
                "success": _mean([s.came for s in own]),
                **{name: _mean([s.spl for s in some]) for name, some in sent.items()},
                "goal_met": _mean([s.best == 0 for s in own]),
                "oracle": 1.0,
                "never_walked": sum(s.new.sum() for s in own) / max(sum(s.steps.sum() for s in own), 1),
            }
        )
    return rows


def _walkers(place: Place) -> dict[str, Callable[[int], Any]]:
    return {
        "random": AtRandom,
        "walked_only": Walked,
        "walked_back": functools.partial(Walked, undo=place.undo),
    }


def _detour(agent: Agent, place: Place, seeds: range, seed: int) -> list[Row]:
    """A door on the shortest way is closed; beside an oracle that knows all but that, and learns it on bumping."""
    known = errands.explore(agent, place.env, place.options, seeds, (errands.ALL,), MOST, seed=seed)[errands.ALL]
    tables = errands.tables_of(place.env, place.options, seeds)
    own, learned, random = [], [], []
    for one, table in zip(known, tables, strict=True):
        ticks = errands.targets(one, table, 2 * ERRANDS, np.random.default_rng(seed))
        ticks, doors = errands.doors_on_the_way(place.env, place.options, one, ticks)

        def close(world: World, row: int, doors: Ints = doors) -> None:
            world.close_door(row, int(doors[row]))  # type: ignore[attr-defined]

        if not len(ticks):
            continue
        own.append(errands.send(agent, place.env, place.options, one, ticks, change=close, seed=seed))
        knows = functools.partial(_knows_all, table)
        learned.append(errands.send_by(knows, place.env, place.options, one, ticks, change=close))
        random.append(errands.send_by(AtRandom, place.env, place.options, one, ticks, change=close))
    ratio = np.concatenate([np.where(a.came, a.steps / b.steps, np.inf) for a, b in zip(own, learned, strict=True)])
    return [
        {
            "edges": float(np.mean([one.share for one in known])),
            "errands": len(ratio),
            "success": _mean([s.came for s in own]),
            "spl": _mean([s.spl for s in own]),
            "random": _mean([s.spl for s in random]),
            "oracle": _mean([s.spl for s in learned]),
            "within_5_percent": float((ratio <= 1.05).mean()),
            "steps_over_oracle": float(np.mean(ratio[np.isfinite(ratio)])),
        }
    ]


def _knows_all(table: Table, batch: int) -> Walked:
    """An oracle that learns: all edges are known, and unlearned where a move is refused."""
    walker = Walked(batch)
    for node, action, target in table.edges:
        walker.see(*(np.full(batch, x) for x in (node, action, target)))
    return walker


def _explore(agent: Agent, place: Place, seeds: range, seed: int) -> list[Row]:
    """Steps to 0.95 of the edges, of the agent and of policies that make training walks (and may use the truth)."""
    known = errands.explore(agent, place.env, place.options, seeds, (0.95,), MOST, seed=seed)[0.95]
    tables = errands.tables_of(place.env, place.options, seeds)
    edges = np.array([(table.target >= 0).sum() for table in tables])
    row: Row = {"steps": float(np.mean([len(one.node) for one in known])), "reached": _mean([_done(known)])}
    for name in ("uniform", "least_visited"):
        with errands.opened(place.env, len(seeds), place.options) as world:
            walk = policies.walk(world, name, MOST, world_seeds=list(seeds), policy_seed=seed)
            curve = coverage.coverage(tables, walk).edges.curve
        first = np.where((curve >= 0.95).any(0), (curve >= 0.95).argmax(0), MOST)
        row[f"{name}_steps"] = float(first.mean())
    return [row | {"oracle_steps": float((0.95 * edges).mean())}]


LATENT = Place("two rooms 9x9", "cogarch/TwoRooms-v0", {"view": "map", "objects": 1, "layouts": "held_out"}, COMPASS)
LAYOUTS, ACROSS = 21, 60


def _latent(agent: Agent, place: Place, seeds: range, seed: int) -> list[Row]:
    """Across the door, by what a world model imagines from the latents that are remembered; one layout, and others."""
    seeds = range(seeds.start, seeds.start + (LAYOUTS if len(seeds) == WORLDS else 2))
    known = errands.explore(agent, place.env, place.options, seeds, (0.95,), MOST, seed=seed)[0.95]
    tables = errands.tables_of(place.env, place.options, seeds)
    with errands.opened(place.env, len(seeds), place.options) as world:
        world.reset(seed=list(seeds))
        rooms = [world.rooms(row) for row in range(len(seeds))]  # type: ignore[attr-defined]
    own: list[Sent] = []
    random: list[Sent] = []
    for one, table, room in zip(known, tables, rooms, strict=True):
        ticks = errands.targets(one, table, ERRANDS if own else ACROSS, np.random.default_rng(seed), room)
        own.append(errands.send(agent, place.env, place.options, one, ticks, seed=seed))
        random.append(errands.send_by(AtRandom, place.env, place.options, one, ticks))
    alone = errands.send(agent, place.env, place.options, known[0], ticks[:1], seed=seed)
    rows = []
    for layouts, some, chance in (("one", own[:1], random[:1]), (f"{len(seeds)} random", own, random)):
        rows.append(
            {
                "layouts": layouts,
                "errands": sum(len(s.came) for s in some),
                "success": _mean([s.came for s in some]),
                "spl": _mean([s.spl for s in some]),
                "random": _mean([s.spl for s in chance]),
                "goal_met": _mean([s.best == 0 for s in some]),
                "oracle": 1.0,
                "ms_a_decision": 1000 * alone.seconds,
            }
        )
    return rows


RESTS = 40
"""Ticks of rest, and so of lessons for a habit, before errands."""


def _control(agent: Agent, place: Place, seeds: range, seed: int) -> list[Row]:
    """Sent when nothing is left to explore and it has rested: by search, and by habit where that is sure."""
    seeds = seeds[:1]  # searches that look ahead at every step take long
    known = errands.explore(agent, place.env, place.options, seeds, (errands.ALL,), MOST, rested=RESTS, seed=seed)
    tables = errands.tables_of(place.env, place.options, seeds)
    quick = agent.change("executive", lessons=1)  # who has come rests; that it learns then is not measured
    own, random, alone = [], [], []
    for one, table in zip(known[errands.ALL], tables, strict=True):
        ticks = errands.targets(one, table, ERRANDS, np.random.default_rng(seed))
        own.append(errands.send(quick, place.env, place.options, one, ticks, seed=seed))
        random.append(errands.send_by(AtRandom, place.env, place.options, one, ticks))
        alone.append(errands.send(quick, place.env, place.options, one, ticks[own[-1].best.argmax()][None], seed=seed))
    steps = sum(s.steps.sum() for s in own)
    return [
        {
            "errands": sum(len(s.came) for s in own),
            "success": _mean([s.came for s in own]),
            "spl": _mean([s.spl for s in own]),
            "random": _mean([s.spl for s in random]),
            "oracle": 1.0,
            "by_habit": float(sum(s.by_habit.sum() for s in own) / steps),
            "ms_a_decision": 1000 * float(np.mean([s.seconds for s in alone])),
        }
    ]


def _done(known: list[Known]) -> NDArray[np.bool_]:
    return np.array([one.share >= 0.95 for one in known])


def _mean(parts: Sequence[NDArray[Any]]) -> float:
    return float(np.concatenate(parts).mean())


_MEASURE: dict[str, Callable[[Agent, Place, range, int], list[Row]]] = {
    "return": _return,
    "detour": _detour,
    "explore": _explore,
    "control": _control,
    "latent": _latent,
}
SOME = (PLACES[0], PLACES[3])
_TASKS = {"return": PLACES, "detour": PLACES[3:5], "explore": PLACES, "control": SOME, "latent": (LATENT,)}
