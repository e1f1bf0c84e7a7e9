"""How the structural code of one environment carries over to the next, while the conjunctive code remaps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import agents
import analysis
import envs
from analysis.remapping import Pair, active_in_both, grid_at_place, plot_remapping, remapping
from cogarch.bench.recorded import recorded
from cogarch.bench.report import Row, over_seeds
from cogarch.config import Agent
from cogarch.run import SCORING_SEED, contracts
from envs import policies
from envs.world import NO_BODY

STRUCTURAL, CONJUNCTIVE = TOPICS = ("mec/g", "hc/p")
AGENTS = {"explorer": 8, "tem_t": 8, "tem": 7}
"""The agents, and how wide the squares are in which they live: TEM trains on widths 5 to 7."""
TICKS, KNOWN = 3000, 1000
"""Ticks that an agent lives in a world, and those after which it knows it: maps are of what comes then."""
PAIRS = 4
SEARCHED, AT_ONCE = 2000, 100
"""World seeds of one seed of the bench, among which those are sought in which life begins at the same place."""
FIGURES = ("cells", "correlation", "chance", "structure", *(f"grid_at_place{k}" for k in ("", "_permuted", "_p95")))


def measure(
    *,
    env: str | None,
    seeds: Sequence[int],
    quick: bool,
    console: Console,
    only: str = "",
    figure: Path | None = None,
) -> list[Row]:
    """Rows `agent env topic pairs cells correlation chance structure grid_at_place ...`, means over pairs of worlds.

    Both worlds of a pair have the same moves and start and other objects, and are walked in different ways. Of the
    cells active in both: `correlation` of each one's two maps, beside that of mismatched cells (`chance`); `structure`,
    how far cells that are alike in one world are so in the other; `grid_at_place` (see `analysis.grid_at_place`), with
    the mean and the 95th percentile where peaks are `_permuted`. The rotor (explorer) is the positive control: without
    noise, its code is a function of the displacement from the start. Published: structure of grid cells .55 and .95,
    of place cells .31 and .16; grid at place .31 (model), .322 (rat), .273 (mouse).

    A unit of TEM's `hc/p` is a conjunction of the same structural and sensory cell in every world. A unit of a memory
    of slots is the n-th place stored, another one in each world by construction, but for the first few near the start.

    `only`: agents whose name holds that text. `figure`: maps of the same cells in both worlds of the first pair.
    Raises ValueError for a world without places, or of which no two are alike.
    """
    chosen = {name: agent for name, agent in _agents().items() if only in name}
    if not chosen:
        raise ValueError(f"no agent's name holds {only!r}; there is {', '.join(_agents())}")
    rows: list[Row] = []
    drawn: dict[str, list[Pair]] = {}
    for name, agent in chosen.items():
        square = env in (None, "cogarch/Square-v0")
        options = {"width": AGENTS[agent.name]} if square else {}
        where = f"Square {options['width']}x{options['width']}" if square else str(env)
        with contextlib.closing(envs.make(env or "cogarch/Square-v0", 1, **options)) as world:
            agent, unfit = agent.ready(contracts(world))
        if "untrained" not in name and agent.learns and agent.weights is None:
            console.print(f"{name} is left out: {unfit or 'it is not shipped with weights yet'}", soft_wrap=True)
            continue
        found: dict[str, list[Row]] = {topic: [] for topic in TOPICS}
        for seed in seeds:
            pairs = [*_lives(agent, env or "cogarch/Square-v0", options, seed, quick)]
            drawn.setdefault(f"{name}, {where}", [pairs[0][topic] for topic in TOPICS])
            for topic in TOPICS:
                means = over_seeds([_compared(pair, topic) for pair in pairs], FIGURES)
                row = {"agent": name, "env": where, "topic": topic, "pairs": len(pairs)}
                found[topic].append(row | {key: means[key] for key in FIGURES})
        rows += [over_seeds(found[topic], FIGURES, ("pairs",)) for topic in TOPICS]
        kept, moved = (row["correlation"] for row in rows[-2:])
        said = f"{name}: a cell's maps in two worlds correlate {kept:.2f} (structural), {moved:.2f} (conjunctive)"
        console.print(said, soft_wrap=True)
    if figure is not None:
        analysis.save_figure(plot_remapping(drawn), figure)
    return rows


def _agents() -> dict[str, Agent]:
    """Each agent with the weights that it is shipped with, and one that learns also untrained."""
    found = {}
    for name in AGENTS:
        found[name] = agents.load(name)
        if found[name].learns:
            found[f"{name}, untrained"] = found[name].model_copy(update={"trained": None})
    return found


def _lives(agent: Agent, env: str, options: Mapping[str, Any], seed: int, quick: bool) -> Iterator[dict[str, Pair]]:
    """Maps of every topic, in pairs of worlds that are alike."""
    ticks, known, count = (600, 200, 2) if quick else (TICKS, KNOWN, 2 * PAIRS)
    world_seeds = alike(env, options, SCORING_SEED + SEARCHED * seed, count)
    with contextlib.closing(envs.make(env, count, **options)) as world:
        walk = policies.walk(world, policies.usual(world), ticks, world_seeds=world_seeds, policy_seed=seed)
        bus = agent.build(contracts(world), batch=count, seed=seed)
        recording = recorded(bus, walk, TOPICS, known).assign_attrs(place_unit=world.metadata["place_unit"])
    for i in range(0, count, 2):
        yield {
            topic: active_in_both(
                (analysis.rate_maps(recording, topic, agent=i), analysis.rate_maps(recording, topic, agent=i + 1))
            )
            for topic in TOPICS
        }


def alike(env: str, options: Mapping[str, Any], first: int, count: int) -> list[int]:
    """The first `count` world seeds from `first` on whose worlds have the same moves and the same start.

    Raises ValueError for a world without a body, and where there are not as many among `SEARCHED`.
    """
    seeds: dict[tuple[int, bytes, bytes], list[int]] = {}
    with contextlib.closing(envs.make(env, AT_ONCE, **options)) as worlds:
        if worlds.metadata["motion"] == NO_BODY:
            raise ValueError(f"bench remapping compares maps of places, and {env} has none: name a spatial world")
        for begin in range(first, first + SEARCHED, AT_ONCE):
            _, info = worlds.reset(seed=begin)
            for row, node in enumerate(info["node"].tolist()):
                begins = node, info["place"][row].tobytes(), worlds.table(row).target.tobytes()
                same = seeds.setdefault(begins, [])
                same.append(begin + row)
                if len(same) == count:
                    return same
    raise ValueError(
        f"of {SEARCHED} worlds of {env} no {count} have the same moves and start; name one of fixed size and layout"
    )


def _compared(maps: Mapping[str, Pair], topic: str) -> Row:
    """The figures of one topic in one pair of worlds; grid at place is told with the place cells."""
    found = remapping(maps[topic])
    known = found.correlation[np.isfinite(found.correlation)]
    row: Row = {
        "cells": known.size,
        "correlation": float(known.mean()) if known.size else float("nan"),
        "chance": found.chance,
        "structure": found.structure,
    }
    nothing = float("nan")
    row |= {"grid_at_place": nothing, "grid_at_place_permuted": nothing, "grid_at_place_p95": nothing}
    if topic == CONJUNCTIVE:
        tied = grid_at_place(maps[STRUCTURAL], maps[CONJUNCTIVE])
        row |= {
            "grid_at_place": tied.correlation,
            "grid_at_place_permuted": float(tied.permuted.mean()),
            "grid_at_place_p95": float(np.percentile(tied.permuted, 95)),
        }
    return row
