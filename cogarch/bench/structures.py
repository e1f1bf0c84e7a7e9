"""Who learns what: every structural code on worlds of many structures, each trained in its own and scored on others.

No code has to win everywhere. The rotor assumes moves that commute: it must fail on trees and on groups whose moves do
not. What a code can know without structure is set beside it: chance, the most frequent object, the untrained code.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from rich.console import Console

import envs
from cogarch.bench.codes import LEARNER, LSTM, TEM_QUICK, TEM_T, TEM_T_FREE, chosen
from cogarch.bench.report import Row, over_seeds
from cogarch.learning.zero_shot import Bools, Ints, Judged, accuracy, first_world, judge, most_frequent, view_ids
from envs import policies

WORLDS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("Square-v0", {}),
    ("Torus-v0", {}),
    ("Hex-v0", {}),
    ("Rooms-v0", {}),
    ("Maze-v0", {}),
    ("Cayley-v0", {"group": "torus"}),
    ("Cayley-v0", {"group": "dihedral"}),
    ("Cayley-v0", {"group": "symmetric"}),
    ("FamilyTree-v0", {}),
    ("Line-v0", {}),
    ("SocialHierarchy-v0", {}),
    ("Loop-v0", {}),
    ("Alternation-v0", {"visible_reward": True}),
)
"""Of fixed size; the worlds that a code has not learned are other sensory maps (and mazes)."""
BUDGET = {"updates": 1000, "batch": 8}
CODES = tuple(
    replace(code, changes={**code.changes, "training": {**code.changes.get("training", {}), **BUDGET}})
    for code in (LEARNER, TEM_T, TEM_T_FREE, LSTM)
)
TEM = replace(TEM_QUICK, changes={"training": {"walk": (40, 120)}})  # stays as short as these worlds are small
TEM_WORLDS = ("FamilyTree-v0", "Line-v0")
FIGURES = (
    *("accuracy", "accuracy_without_way_back", "accuracy_answerable", "accuracy_known", "accuracy_reward"),
    *("frequent", "by_place", "by_place_reward", "chance", "train_seconds"),
)


def measure(*, env: str | None, seeds: Sequence[int], quick: bool, console: Console, only: str = "") -> list[Row]:
    """Rows `code env options events accuracy ... untrained chance frequent by_place train_updates train_seconds`.

    `accuracy` is zero-shot, `accuracy_known` that of every move to a node visited before, and `accuracy_reward` of
    those to places that pay at some times: the mean of when they do and when they do not. `by_place` is an agent that
    knows where it is, but not how it came there: the view most frequent at this place, at moves to known nodes.
    """
    worlds = [(name, options) for name, options in WORLDS if env is None or env.endswith(name)]
    if not worlds:
        raise ValueError(f"bench structures has no {env}; there is {', '.join(dict.fromkeys(n for n, _ in WORLDS))}")
    rows: list[Row] = []
    wanted = chosen([*CODES, TEM], only)
    for name, options in worlds:
        with contextlib.closing(envs.make(name, 1, **options)) as world:
            walked = policies.usual(world)
        for code in wanted:
            if code is TEM and name not in TEM_WORLDS:
                continue
            code = replace(code, options={**code.options, **options})
            found: dict[bool, list[Row]] = {False: [], True: []}
            for seed in seeds:
                for learned in found:
                    agent, label = code.ready(f"cogarch/{name}", seed, quick, console, learned=learned, policy=walked)
                    said = judge(
                        agent,
                        name,
                        options=options,
                        walks=4 if quick else 32,
                        together=16,
                        steps=128 if quick else 512,
                        seed=seed,
                        world_seed=first_world(seed),
                    )
                    found[learned].append(label | {"env": name, "options": _text(options)} | score(said))
            untrained, row = (over_seeds(part, FIGURES, ("events", "events_known")) for part in found.values())
            both = {f"untrained{kind}": untrained[f"accuracy{kind}"] for kind in ("", "_known", "_reward")}
            rows.append(row | both)
            console.print(
                f"{name} {_text(options)} {code.name}: {row['accuracy']:.3f}, known {row['accuracy_known']:.3f}"
            )
    return rows


def score(said: Judged) -> Row:
    """The figures of one code in one kind of world."""
    events, where = said.events, view_ids(said.place)
    by_place = most_frequent(said.seen, where) == said.seen
    known = events.moved & events.visited
    pays = known & (said.reward > 0)
    alike = known & ~pays & _paying(said, where)
    reward = [(accuracy(hit, pays) + accuracy(hit, alike)) / 2 for hit in (said.hit, by_place)]
    return {
        "events": int(events.zero_shot.sum()),
        "accuracy": accuracy(said.hit, events.zero_shot),
        "accuracy_without_way_back": accuracy(said.hit, events.without_way_back),
        "accuracy_answerable": float("nan") if said.answerable is None else accuracy(said.hit, said.answerable),
        "events_known": int(known.sum()),
        "accuracy_known": accuracy(said.hit, known),
        "accuracy_reward": reward[0],
        "frequent": accuracy(said.frequent, events.zero_shot),
        "by_place": accuracy(by_place, known),
        "by_place_reward": reward[1],
        "chance": float(said.chance.mean()),
    }


def _paying(said: Judged, where: Ints) -> Bools:
    """`[T, B]`: the place pays at some time of the walk."""
    rows = [np.isin(here, here[reward > 0]) for here, reward in zip(where.T, said.reward.T, strict=True)]
    return np.stack(rows, 1)


def _text(options: Mapping[str, Any]) -> str:
    return " ".join(str(value) for value in options.values() if not isinstance(value, bool))
