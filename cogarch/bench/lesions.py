"""Lesions: what each module of an agent is worth to what it does, its messages clamped to nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Console

import agents
from cogarch.bench import errands
from cogarch.bench.errands import AtRandom
from cogarch.bench.navigation import ERRANDS, PLACES, Place
from cogarch.bench.report import Row, over_seeds
from cogarch.config import Agent
from cogarch.run import SCORING_SEED

LESIONS: Mapping[str, Mapping[str, float]] = {
    "none": {},
    "lec": {"lec/x": 0.0},
    "mec": {"mec/g_path": 0.0, "mec/g": 0.0},
    "hc": {"hc/slot": 0.0, "hc/stored": 0.0, "hc/familiarity": 0.0},
    "hc, landmarks": {"hc/recalled_g": 0.0, "hc/recognised": -1.0},
    "world": {"world/z": 0.0, "world/z_predicted": 0.0, "world/surprise": 0.0},
    "executive": {"executive/action": 0.0},
}
"""By the module; the topics that its readers then find at that value."""
ROOMS, WORLDS = PLACES[3], 2
YOUNG = 600
"""Ticks of a life that is born with a lesion."""


def measure(*, env: str | None, seeds: Sequence[int], quick: bool, console: Console, only: str = "") -> list[Row]:
    """Rows `agent env lesion success spl random explored ...`: the flagship, tolman.

    `success`, `spl`: sent to places that it was at, when nothing was left to explore; the lesion is made as it is sent.
    `explored`: the share of the edges that it walks in its first ticks, born with the lesion. `random`: the SPL of
    moves at random. `only`: lesions whose name holds that text. ValueError for another world.
    """
    if env is not None:
        raise ValueError("bench lesions names its own worlds")
    agent, rows = agents.load("tolman").change("executive", wander=False), []
    found: dict[str, list[Row]] = {}
    for seed in seeds:
        first = SCORING_SEED + 1000 * seed
        for lesion, row in _seed(agent, ROOMS, range(first, first + (1 if quick else WORLDS)), seed, only).items():
            found.setdefault(lesion, []).append(row)
            console.print(f"seed {seed}, {lesion}: SPL {row['spl']:.3f}, explored {row['explored']:.3f}")
    for lesion, many in found.items():
        about = {"agent": "tolman", "env": ROOMS.name, "lesion": lesion}
        rows.append(about | over_seeds(many, ("success", "spl", "random", "explored"), ("errands",)))
    return rows


def _seed(agent: Agent, place: Place, worlds: range, seed: int, only: str) -> dict[str, Row]:
    known = errands.explore(agent, place.env, place.options, worlds, (errands.ALL,), 4000, seed=seed)[errands.ALL]
    tables = errands.tables_of(place.env, place.options, worlds)
    rows = {}
    for lesion, clamps in LESIONS.items():
        if only not in lesion:
            continue
        own, random = [], []
        for one, table in zip(known, tables, strict=True):
            ticks = errands.targets(one, table, ERRANDS, np.random.default_rng(seed))
            own.append(errands.send(agent, place.env, place.options, one, ticks, clamps=clamps, seed=seed))
            random.append(errands.send_by(AtRandom, place.env, place.options, one, ticks))
        young = errands.explore(agent, place.env, place.options, worlds, (1.0,), YOUNG, clamps=clamps, seed=seed)
        rows[lesion] = {
            "errands": sum(len(s.came) for s in own),
            "success": float(np.concatenate([s.came for s in own]).mean()),
            "spl": float(np.concatenate([s.spl for s in own]).mean()),
            "random": float(np.concatenate([s.spl for s in random]).mean()),
            "explored": float(np.mean([one.share for one in young[1.0]])),
        }
    return rows
