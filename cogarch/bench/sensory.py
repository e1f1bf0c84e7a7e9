"""Sensory codes beside each other: whose neighbours are neighbours in the world, and what a map in them predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

import agents
import envs
from cogarch.bench.codes import trained, usual
from cogarch.bench.report import Row, over_seeds
from cogarch.config import Agent
from cogarch.encoder import numbers
from cogarch.learning.zero_shot import PER_SEED, evaluate, first_world, played, view_ids
from cogarch.run import contracts
from envs import policies

STEPS, WALKS = 1024, 2  # of what is scored
_TIE = 1e-6


@dataclass(frozen=True)
class World:
    """Where codes are learned, and where they are scored: other worlds of the kind."""

    name: str
    env: str
    options: Mapping[str, Any] = field(default_factory=dict)
    scored: Mapping[str, Any] = field(default_factory=dict)
    motion: Literal["given", "learned"] = "given"
    """What the map is told of its motion, or learns."""
    ablated: bool = False
    """Also what each loss does alone."""


SQUARE, ROOMS = "cogarch/Square-v0", "MiniGrid-FourRooms-v0"
VIEWS, SMALL, LARGE = "square, views of 5 x 5", {"width": [5, 8]}, {"width": 12}
WORLDS = (
    World(VIEWS, SQUARE, {**SMALL, "view": 5}, LARGE, ablated=True),
    World("MiniGrid four rooms, views of 7 x 7", ROOMS),
    World("square, 64 x 64 pixels", SQUARE, {**SMALL, "view": "pixels"}, LARGE),
    World(VIEWS, SQUARE, {**SMALL, "view": 5}, LARGE, motion="learned"),
)
LEARN = ("conv", "jepa")
"""Codes with weights; the others have something to learn only where the map does."""
FOUND, APART = {"loss/retrieval": 1.0}, {"loss/retrieval": 1.0, "loss/spread": 10.0}
LATE = {"start": 1e-6, "end": 1.0, "over": 4, "kind": "sigmoid"}
"""A code that learns from a map that knows nothing yet learns to change slowly."""
TRAININGS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "given": {
        "one_hot": {},
        "fly_hash": {},
        "conv": {"losses": FOUND | {"loss/spread": 1.0}},
        "jepa": {},  # as the viewer is trained
        "jepa, whitening alone": {"losses": {"loss/masked": 1.0}, "learning_rate": 1e-12},  # weights as drawn
        "jepa, masked alone": {"losses": {"loss/masked": 1.0}},
        "jepa, retrieval alone": {"losses": FOUND | {"loss/spread": 1.0}},
    },
    "learned": {
        "one_hot": {"losses": {"loss/prediction": 1.0}, "learning_rate": 0.01, "batch": 16, "updates": 150},
        "fly_hash": {"losses": FOUND, "learning_rate": 0.01, "batch": 16, "updates": 150},
        "conv": {
            "losses": APART,
            "learning_rate": 0.005,
            "batch": 16,
            "updates": 300,
            "schedules": {"loss/retrieval": LATE | {"middle": 80}},
        },
        "jepa": {
            "losses": APART | {"loss/masked": 1.0},
            "updates": 150,
            "schedules": {
                "loss/retrieval": LATE | {"middle": 50},
                "lec.momentum": {"start": 0.95, "end": 1.0, "over": 150},
            },
        },
    },
}


def measure(*, env: str | None, seeds: Sequence[int], quick: bool, console: Console, only: str = "") -> list[Row]:
    """Rows `code world regime learned neighbour_retrieval raw chance accuracy ...`, means over seeds.

    `neighbour_retrieval`: of the other views of the walk, the one whose code is nearest was sensed at the same or an
    adjacent place (or pose), beside `chance` and `raw`, the same of the observation's numbers. `accuracy`: zero-shot,
    by retrieval among all views of the walk, of a map in that code whose motion is given or learned (`regime`);
    `frequent` guesses the view seen most often.
    """
    rows = []
    for world in WORLDS:
        for lec in TRAININGS[world.motion]:
            if only not in lec or env not in (None, world.env) or ("alone" in lec and not world.ablated):
                continue
            for learned in _stages(world, lec):
                found = [_row(world, lec, seed, quick, console, learned=learned) for seed in seeds]
                figures = ("neighbour_retrieval", "raw", "chance", "accuracy", "frequent", "train_seconds")
                rows.append(over_seeds(found, figures, ("events",)))
                said = f"neighbours {rows[-1]['neighbour_retrieval']:.3f}, zero-shot {rows[-1]['accuracy']:.3f}"
                console.print(f"{world.name}, motion {world.motion}: {rows[-1]['code']}: {said}")
    if not rows:
        codes = ", ".join(TRAININGS["given"])
        raise ValueError(f"bench sensory has {codes} in {SQUARE} and {ROOMS}, nothing of {only or env}")
    return rows


def _row(world: World, lec: str, seed: int, quick: bool, console: Console, *, learned: bool) -> Row:
    agent = _agent(world, lec)
    about: Row = {"train_updates": 0, "train_seconds": 0.0}
    if learned:
        agent, about = trained(agent, None, seed, {}, quick, console)
    options = {**world.options, **world.scored}
    walks, steps = (1, 256) if quick else (WALKS, STEPS)
    first = first_world(seed)
    (scored,) = evaluate(
        agent, world.env, options=options, walks=walks, steps=steps, seed=seed, world_seed=first, windows=((0, steps),)
    )
    code = lec if learned or len(_stages(world, lec)) == 1 else f"{lec}, untrained"
    label: Row = {"code": code, "world": world.name, "regime": f"motion {world.motion}", "learned": learned}
    near = neighbours(agent, world.env, options, walks, steps, seed)
    return label | near | {key: scored[key] for key in ("events", "accuracy", "frequent")} | about


def _stages(world: World, lec: str) -> tuple[bool, ...]:
    """Not learned and learned, where there is something to learn and it was not said of another row."""
    if "alone" in lec:
        return (True,)
    return (False, True) if world.motion == "learned" or lec in LEARN else (False,)


def _agent(world: World, lec: str) -> Agent:
    agent = agents.load("viewer").change("mec", motion=world.motion)
    kind = lec.partition(",")[0]
    if kind != "jepa":
        agent = agent.swap("lec", kind)
    agent = agent.model_copy(update={"trained": None, "name": f"viewer-{kind}"})
    agent = agent.train_with(world=world.env, options=dict(world.options), policy=usual(world.env))
    return agent.train_with(**TRAININGS[world.motion][lec])


def neighbours(agent: Agent, env: str, options: Mapping[str, Any], walks: int, steps: int, seed: int) -> Row:
    """How often the view that is nearest in code is near in the world; walks as those of `evaluate`."""
    world = envs.make(env, walks, **options)
    seeds = [first_world(seed) + row for row in range(walks)]
    usual = policies.usual(world)
    walk = policies.walk(world, usual, steps, world_seeds=seeds, policy_seed=seed * PER_SEED)
    bus = agent.build(contracts(world), batch=walks, seed=seed)
    with torch.no_grad():
        x = torch.cat([said["lec/x"] for said in played(bus, walk, ("lec/x",))])
    seen, ids = contracts(world)["env/observation"], view_ids(walk["observation"])
    hits = []
    for row in range(walks):
        _, first, view = np.unique(ids[:, row], return_index=True, return_inverse=True)
        near = adjacent(view, walk["node"][:, row], world.table(row).edges, len(world.table(row)))
        sensed = numbers(torch.from_numpy(walk["observation"][first, row]), seen).flatten(1)
        raw = -torch.cdist(sensed, sensed)
        code = F.normalize(x[first, row], dim=-1)
        hits.append([nearest_is_near(likeness, near) for likeness in (code @ code.T, raw, torch.zeros_like(raw))])
    world.close()
    found = np.mean(hits, 0)
    return dict(zip(("neighbour_retrieval", "raw", "chance"), found.tolist(), strict=True))


def adjacent(
    view: NDArray[np.integer], node: NDArray[np.integer], edges: NDArray[np.integer], nodes: int
) -> NDArray[np.bool_]:
    """`[V, V]`: two views were sensed at one node, or at two with an edge between them; view and node `[T]`."""
    sensed = np.zeros((int(view.max()) + 1, nodes), np.int64)
    sensed[view, node] = 1
    reach = np.eye(nodes, dtype=np.int64)
    reach[edges[:, 0], edges[:, 2]] = reach[edges[:, 2], edges[:, 0]] = 1
    near: NDArray[np.bool_] = sensed @ reach @ sensed.T > 0
    return near


def nearest_is_near(likeness: Tensor, near: NDArray[np.bool_]) -> float:
    """The share of views, of those with near ones, of which the most alike other one is near; of several that are as
    alike, any."""
    other = ~torch.eye(len(near), dtype=torch.bool)
    alike = likeness.masked_fill(~other, -torch.inf)
    best = (alike >= alike.amax(1, keepdim=True) - _TIE) & other
    wanted = torch.from_numpy(near) & other
    share = (best & wanted).sum(1) / best.sum(1)
    return float(share[wanted.any(1)].mean())
