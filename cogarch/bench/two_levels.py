"""Two levels of planning: are regions of a half-walked map its rooms, and what does planning over their doors save?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import networkx as nx
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from scipy import sparse
from scipy.cluster.vq import kmeans2
from scipy.sparse import csgraph
from torch import Tensor

import envs
from cogarch.bench.report import Row, over_seeds
from cogarch.executive.regions import regions
from cogarch.executive.two_levels import Upper, cost_to_go, descend, plan, upper
from cogarch.run import SCORING_SEED
from envs import policies
from envs.coverage import coverage
from envs.oracle import stack

Ints = NDArray[np.int64]
Points = NDArray[np.float32]

ROOMS: tuple[dict[str, Any], ...] = (
    {},
    {"columns": 3, "rows": 3, "size": 4},
    {"columns": 2, "rows": 1, "size": 9},
    {"size": 8, "walls": "cells", "door": "random"},  # as MiniGrid's four rooms
    {"columns": 4, "rows": 4, "doors": "tree", "door": "random"},
    {"columns": 6, "rows": 6, "size": 3},
    {"columns": 3, "rows": 3, "size": 12},
)
SHARES = (0.5, 0.75, 0.9, 1.0)
LONG: tuple[tuple[str, dict[str, Any]], ...] = (
    *(("Rooms-v0", {"columns": c, "rows": c, "doors": "tree", "door": "random"}) for c in (2, 4, 6, 9)),
    ("Rooms-v0", {"columns": 9, "rows": 9, "door": "random"}),
    *(("Maze-v0", {"width": w}) for w in (10, 20, 32, 45)),
    ("Maze-v0", {"width": 45, "generator": "uniform"}),
    ("Maze-v0", {"width": 45, "loops": 0.1}),
    ("Square-v0", {"width": 45, "height": 45}),
)
LEASTS = (6, 40)
TASKS, AGENTS = 3, 8  # pairs of a start and a goal in each world; worlds, a row each
FOUND = ("walked", "rooms", "found", "ari", "ms")
SAVED = (
    *("regions", "doors", "expanded_flat", "expanded", "expanded_once", "backups_flat", "backups", "backups_once"),
    *("pays_after", "ms_flat", "ms", "ms_regions", "ms_upper", "ms_dijkstra", "ratio", "ratio_fewest_doors"),
)


def measure(*, env: str | None, seeds: Sequence[int], quick: bool, console: Console, only: str = "") -> list[Row]:
    """Rows `task world walked method rooms found ari ms` of rooms, by adjusted Rand index against the true ones; and
    `task world places least regions doors ...` of plans.

    `expanded` are the places and doors that Dijkstra's algorithm takes up until the start is reached, for one goal
    (`expanded_once`: for the upper graph, of all goals), `backups` the moves weighed by value iteration as it is
    written here (times sweeps); `pays_after` so many goals the two levels have expanded less than the flat plan. `ms`
    is for a batch of 8 agents, `ms_dijkstra` for their flat plans by scipy, one by one. `ratio` is the way walked over
    the shortest there is; `ratio_fewest_doors` where the upper plan counts doors alone, and takes the nearest.
    """
    rows = []
    for options in ROOMS[:1] if quick else ROOMS:
        if only in "rooms" and env in (None, "cogarch/Rooms-v0"):
            rows += _found(options, seeds, SHARES[-1:] if quick else SHARES)
            console.print(f"rooms {_text(options)}: " + ", ".join(f"{r['method']} {r['ari']:.2f}" for r in rows[-7:]))
    for name, options in LONG[:1] if quick else LONG:
        if only in "plans" and env in (None, f"cogarch/{name}"):
            for least in LEASTS[:1] if quick else LEASTS:
                row = over_seeds([_saved(name, options, least, seed) for seed in seeds], SAVED)
                rows.append(row)
                console.print(f"plans {row['world']}, {least}: {row['expanded_flat']:.0f} to {row['expanded']:.0f}")
    if not rows:
        raise ValueError(
            f"bench two-levels has no {only} {env or ''}: give rooms or plans; in Rooms-v0, Maze-v0, Square-v0"
        )
    return rows


# ---- rooms ----


def _found(options: dict[str, Any], seeds: Sequence[int], shares: Sequence[float]) -> list[Row]:
    rows = []
    for share in shares:
        found: dict[str, list[Row]] = {}
        for seed in seeds:
            target, room, place, gone = walked_map(options, share, seed)
            inside = room >= 0
            count = len(np.unique(room[inside]))
            for method, part in METHODS.items():
                began = time.perf_counter()
                said = part(target, place, count)
                ms = 1e3 * (time.perf_counter() - began)
                ari = adjusted_rand(room[inside], said[inside])
                label = {"task": "rooms", "world": f"Rooms {_text(options)}", "walked": gone, "method": method}
                figures = {"rooms": count, "found": len(np.unique(said)), "ari": ari, "ms": ms}
                found.setdefault(method, []).append(label | figures)
        rows += [over_seeds(part, FOUND) for part in found.values()]
    return rows


def walked_map(options: dict[str, Any], share: float, seed: int) -> tuple[Ints, Ints, Points, float]:
    """What a uniform walk knows when it has gone that share of the edges of rooms: targets `[N, A]` among the places
    visited, their true rooms (-1: a door) and positions, and the share (less where the walk ended before)."""
    world: Any = envs.make("cogarch/Rooms-v0", 1, **options)
    first = SCORING_SEED + 1000 * (1 + seed)
    world.reset(seed=[first])
    n = len(world.table(0))
    policy = "uniform" if share < 1 else "least_visited"
    walk = policies.walk(world, policy, (400 if share > 0.75 else 100) * n, world_seeds=[first], policy_seed=seed)
    gone = coverage(world, walk).edges.curve[:, 0]
    end = int(np.argmax(gone >= min(share, gone[-1]))) + 1
    node, action = walk["node"][:end, 0], walk["action"][:end, 0]
    target = np.full((n, len(world.metadata["actions"])), -1)
    moved = ~walk["bump"][1:end].reshape(-1)
    target[node[:-1][moved], action[1:][moved]] = node[1:][moved]
    seen = np.unique(node)
    rank = np.full(n + 1, -1)
    rank[seen] = np.arange(len(seen))
    return rank[target[seen]], world.rooms(0)[seen], world.table(0).place[seen], float(gone[end - 1])


def adjusted_rand(a: Ints, b: Ints) -> float:
    """How far two partitions `[N]` pair places alike: 1 the same, 0 as by chance (Hubert & Arabie 1985)."""
    _, a = np.unique(a, return_inverse=True)
    _, b = np.unique(b, return_inverse=True)
    both = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(both, (a, b), 1)

    def pairs(x: NDArray[np.float64]) -> float:
        return float((x * (x - 1) / 2).sum())

    rows, columns, every = pairs(both.sum(1)), pairs(both.sum(0)), pairs(both.sum(keepdims=True))
    chance, most = rows * columns / every, (rows + columns) / 2
    return 1.0 if most == chance else (pairs(both) - chance) / (most - chance)


def _regions(target: Ints) -> Ints:
    found: Ints = regions(torch.from_numpy(target)[None], torch.ones(1, len(target), dtype=torch.bool))[0].numpy()
    return found


def _communities(find: Callable[[Any], Any], target: Ints) -> Ints:
    """By networkx."""
    graph: Any = nx.Graph()
    graph.add_nodes_from(range(len(target)))
    place, action = np.nonzero(target >= 0)
    graph.add_edges_from(zip(place.tolist(), target[place, action].tolist(), strict=True))
    label = np.zeros(len(target), np.int64)
    for number, part in enumerate(find(graph)):
        label[list(part)] = number
    return label


def _clusters(place: Points, count: int) -> Ints:
    return kmeans2(place, count, minit="++", rng=np.random.default_rng(0))[1].astype(np.int64)


def _random(target: Ints, count: int) -> Ints:
    return np.random.default_rng(0).permutation(np.arange(len(target)) % count)


METHODS: dict[str, Callable[[Ints, Points, int], Ints]] = {
    "regions": lambda target, place, count: _regions(target),
    "Louvain": lambda target, place, count: _communities(partial(nx.community.louvain_communities, seed=0), target),
    "greedy modularity": lambda target, place, count: _communities(nx.community.greedy_modularity_communities, target),
    "label propagation": lambda target, place, count: _communities(nx.community.label_propagation_communities, target),
    "one region": lambda target, place, count: np.zeros(len(target), np.int64),
    "random, as many as rooms": lambda target, place, count: _random(target, count),
    "k-means of true positions": lambda target, place, count: _clusters(place, count),
}
"""From what was walked alone, but the last two, which are told how many rooms there are, and the last where it was."""


# ---- plans ----


def _saved(name: str, options: dict[str, Any], least: int, seed: int) -> Row:
    """A row of planning in the whole map of a world, by two levels and flat."""
    world = envs.make(f"cogarch/{name}", AGENTS, **options)
    world.reset(seed=list(range(SCORING_SEED + 1000 * (1 + seed), SCORING_SEED + 1000 * (1 + seed) + AGENTS)))
    target = torch.from_numpy(np.maximum(stack(world), -1))
    batch, places, _ = target.shape
    known = torch.ones(batch, places, dtype=torch.bool)  # one size each
    cost, moves = torch.ones(target.shape), (target >= 0).sum((1, 2))
    ms_regions, region = _timed(partial(regions, least=least), target, known)
    ms_upper, u = _timed(upper, target, known, region)
    matrices = [_matrix(one) for one in target]
    few = replace(u, cost=torch.where(u.cost.isfinite(), 1e4, u.cost), crossing=1e4 * u.crossing)  # what doors cost
    rng, found = np.random.default_rng(seed), []
    for _ in range(TASKS):
        start, goal = torch.from_numpy(rng.integers(places, size=(2, batch)))
        end = torch.where(torch.arange(places) == goal[:, None], 0.0, torch.inf)
        ms_flat, (togo, sweeps) = _timed(cost_to_go, target, cost, end)
        ms, route = _timed(plan, u, start, goal[:, None])
        best = togo.gather(1, start[:, None])[:, 0]
        passed = (u.crossing + togo.gather(1, u.far.clamp(min=0)) < best[:, None]).sum(1)
        around = (u.region == u.region.gather(1, goal[:, None])).sum(1)
        way = walked(target, u, start, goal)
        short = best > 0
        found.append(
            {
                "expanded_flat": _mean((togo < best[:, None]).sum(1) + 1),
                "expanded": _mean(around + passed),
                "backups_flat": _mean(sweeps * moves),
                "backups": _mean(route.backups),
                "ms_flat": ms_flat,
                "ms": ms,
                "ms_dijkstra": _timed(_dijkstra, matrices, goal)[0],
                "ratio": _mean((way / best)[short]),
                "ratio_fewest_doors": _mean((walked(target, few, start, goal) / best)[short]),
            }
        )
    row: Row = {"task": "plans", "world": f"{name[:-3]} {_text(options)}", "places": places, "least": least}
    mean = {key: float(np.mean([f[key] for f in found])) for key in found[0]}
    once = _mean(u.to_exit.isfinite().sum((1, 2, 3)))
    spared = mean["expanded_flat"] - mean["expanded"]
    return (
        row
        | mean
        | {
            "regions": _mean(region.amax(1) + 1),
            "doors": _mean((u.near >= 0).sum(1)),
            "expanded_once": once,
            "backups_once": _mean(u.backups),
            "pays_after": once / spared if spared > 0 else math.nan,
            "ms_regions": ms_regions,
            "ms_upper": ms_upper,
        }
    )


def walked(target: Tensor, u: Upper, start: Tensor, goal: Tensor) -> Tensor:
    """The steps that each row takes to its goal, planning again at each subgoal."""
    rows, here, steps = torch.arange(len(start)), start, torch.zeros(len(start))
    while not torch.equal(here, goal):
        togo = plan(u, here, goal[:, None]).togo
        while bool(((action := descend(target, togo, here)) >= 0).any()):
            here = torch.where(action >= 0, target[rows, here, action], here)
            steps += action >= 0
    return steps


def _timed(do: Callable[..., Any], *given: Any, rounds: int = 3) -> tuple[float, Any]:
    """The least milliseconds of a few rounds, and what came of it."""
    least = math.inf
    for _ in range(rounds):
        began = time.perf_counter()
        said = do(*given)
        least = min(least, 1e3 * (time.perf_counter() - began))
    return least, said


def _dijkstra(matrices: Sequence[Any], goal: Tensor) -> None:
    for matrix, node in zip(matrices, goal.tolist(), strict=True):
        csgraph.dijkstra(matrix, indices=np.array([node]))


def _matrix(target: Tensor) -> sparse.csr_array:
    place, action = np.nonzero(target.numpy() >= 0)
    ends = target.numpy()[place, action], place  # backwards, from the goal
    return sparse.csr_array((np.ones(len(place)), ends), shape=(len(target), len(target)))


def _mean(x: Tensor) -> float:
    return float(x.double().mean())


def _text(options: dict[str, Any]) -> str:
    return " ".join(f"{key} {value}" for key, value in options.items()) or "as they are"
