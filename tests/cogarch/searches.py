"""Small worlds to plan in, and what is best in them by other means."""

from __future__ import annotations

from itertools import product

import networkx as nx
import torch
from torch import Tensor

INF = float("inf")


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def random_graph(seed: int, *, rows: int = 3, places: int = 5, actions: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Targets, a quarter of them refused, costs in 1/8, exact in float32, and a goal for each row."""
    g = torch.Generator().manual_seed(seed)
    target = torch.randint(0, places, (rows, places, actions), generator=g)
    target = torch.where(torch.rand(target.shape, generator=g) < 0.25, -1, target)
    cost = torch.randint(1, 33, target.shape, generator=g) / 8
    return target, cost, torch.randint(0, places, (rows,), generator=g)


def distances(target: Tensor, cost: Tensor, goal: Tensor) -> Tensor:
    """`[B, S]` by networkx; inf where there is no way."""
    found = torch.full(target.shape[:2], INF)
    for b in range(len(target)):
        graph = nx.DiGraph()
        graph.add_nodes_from(range(target.shape[1]))
        for s, a in product(range(target.shape[1]), range(target.shape[2])):
            to, c = int(target[b, s, a]), float(cost[b, s, a])
            if to >= 0 and c < graph.edges.get((to, s), {"weight": INF})["weight"]:
                graph.add_edge(to, s, weight=c)  # turned about: from the goal
        for s, d in nx.single_source_dijkstra_path_length(graph, int(goal[b])).items():
            found[b, s] = d
    return found


def exhaustive(target: Tensor, cost: Tensor, togo: Tensor, here: int, horizon: int) -> tuple[float, set[int]]:
    """Of one row `[S, A]`: the least cost of all sequences of `horizon` actions, and the first moves that have it."""
    costs: dict[int, float] = {}
    for actions in product(range(target.shape[1]), repeat=horizon):
        at, total = here, 0.0
        for a in actions:
            if float(togo[at]) == 0:
                break
            total += float(cost[at, a]) if target[at, a] >= 0 else INF
            at = int(target[at, a]) if target[at, a] >= 0 else at
        total += float(togo[at])
        costs[actions[0]] = min(costs.get(actions[0], INF), total)
    least = min(costs.values())
    return least, {a for a, c in costs.items() if c <= least + 1e-5}


def two_rooms(door: int = 4, size: int = 7) -> tuple[Tensor, Tensor]:
    """Targets `[S, 4]` of a square cut in two by a wall with one door, and where the places lie `[S, 2]`."""
    free = [(x, y) for x in range(size) for y in range(size) if x != size // 2 or y == door]
    number = {place: i for i, place in enumerate(free)}
    ways = ((1, 0), (0, 1), (-1, 0), (0, -1))
    target = [[number.get((x + dx, y + dy), -1) for dx, dy in ways] for x, y in free]
    return torch.tensor(target), torch.tensor(free, dtype=torch.float32)
