"""Tree search, against the same written out node by node, all sequences tried, and shortest paths by networkx."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from searches import INF, distances, exhaustive, random_graph, two_rooms, uniform
from torch import Tensor

from cogarch.executive.mcts import mcts
from cogarch.executive.model import Model, Plan, graph_model, latent_model, nearest, snapped_model
from cogarch.tree import tree_map

SEEDS = st.integers(0, 100_000)


def root_of(here: Tensor) -> tuple[Tensor, Tensor]:
    return torch.arange(len(here)), here


# --- node by node -----------------------------------------------------------------------------------------------------


@dataclass
class Edge:
    to: int
    reach: float
    level: int
    togo: float
    prior: float
    visits: int = 0
    node: list[Edge] = field(default_factory=list)

    def total(self) -> float:
        """The cost of the whole way: the least below, where it was looked at."""
        return min((e.total() for e in self.node), default=self.reach + self.togo)


def by_hand(
    target: Tensor, cost: Tensor, togo: Tensor, here: int, u: list[float], simulations: int, *, keys: bool, depth: int
) -> tuple[float, list[int]]:
    """One row; recursive, in double precision."""
    seen = [(here, 0.0, 0)]

    def grow(at: int, reach: float, level: int) -> list[Edge]:
        edges, reached = [], []
        for a in range(len(u)):
            to, total = int(target[at, a]), reach + float(cost[at, a])
            if to < 0:
                to, total = at, INF
            reached.append((to, total, level + 1))
            edges.append(Edge(to, total, level + 1, float(togo[to]), 1 / len(u)))
        if keys:
            for a, e in enumerate(edges):
                old = any(k == e.to and c <= e.reach and n <= e.level for k, c, n in seen)
                twin = any(k == e.to and (c < reached[a][1] or (c == reached[a][1] and u[b] > u[a]))
                           for b, (k, c, _) in enumerate(reached))  # fmt: skip
                if old or twin:
                    e.reach = INF
            seen.extend((e.to, e.reach, e.level) for e in edges)
        return edges

    def pick(edges: list[Edge]) -> Edge:
        totals = [e.total() for e in edges]
        low, high = min(totals), max(t for t in totals if t < INF)
        n = sum(e.visits for e in edges)
        scores = []
        for e, t in zip(edges, totals, strict=True):
            bonus = (1.25 + math.log((n + 19652 + 1) / 19652)) * e.prior * math.sqrt(n) / (1 + e.visits)
            scores.append(-INF if t == INF else 1 - (t - low) / max(high - low, 1e-9) + bonus)
        alike = [a for a in range(len(u)) if scores[a] >= max(scores) - 1e-6]
        return edges[max(alike, key=lambda a: u[a])]

    if float(togo[here]) == 0:
        return 0.0, [0] * len(u)
    root = grow(here, 0.0, 0)
    for _ in range(simulations):
        if all(e.total() == INF for e in root):
            break
        edges = root
        while True:
            e = pick(edges)
            e.visits += 1
            if not e.node:
                break
            edges = e.node
        if e.togo > 0 and e.level < depth:
            e.node = grow(e.to, e.reach, e.level)
    return min(e.total() for e in root), [e.visits for e in root]


@pytest.mark.parametrize("keys", [True, False])
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, depth=st.integers(2, 8), simulations=st.integers(1, 30))
def test_visits_and_costs_are_those_of_a_tree_searched_node_by_node(
    keys: bool, seed: int, depth: int, simulations: int
) -> None:
    target, cost, goal = random_graph(seed, places=7)
    togo = torch.randint(1, 60, target.shape[:2], generator=torch.Generator().manual_seed(seed)) / 8
    togo[torch.arange(3), goal] = 0
    model, u = graph_model(target, cost, togo), uniform(3, 3, seed=seed)
    here = torch.tensor([0, 1, 2])
    model = model if keys else replace(model, key=None)
    found = mcts(model, root_of(here), u, simulations=simulations, depth=depth, settle=False)
    assert found.visits is not None
    for b in range(3):
        least, visits = by_hand(
            target[b], cost[b], togo[b], int(here[b]), u[b].tolist(), simulations, keys=keys, depth=depth
        )
        assert float(found.cost[b]) == pytest.approx(least, rel=1e-5)
        assert found.visits[b].tolist() == visits


# --- all ways ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("settle", "simulations"), [(True, 120), (False, 60)])
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, share=st.floats(0.05, 1))
def test_with_time_enough_the_plan_is_the_shortest_path(
    settle: bool, simulations: int, seed: int, share: float
) -> None:
    target, cost, goal = random_graph(seed, rows=4, places=6)
    exact = distances(target, cost, goal)
    model = graph_model(target, cost, share * exact)
    found = mcts(model, root_of(torch.arange(4)), uniform(4, 3), simulations=simulations, settle=settle)
    for b in range(4):
        assert float(found.cost[b]) == pytest.approx(float(exact[b, b]), rel=1e-5)
        check_way(found, b, target, cost, b, goal)


def check_way(found: Plan, b: int, target: Tensor, cost: Tensor, here: int, goal: Tensor) -> None:
    """The actions said lead where it is said, at the cost said."""
    at, total, way = here, 0.0, [a for a in found.actions[b].tolist() if a >= 0]
    assert int(found.action[b]) == (way[0] if way else -1)
    assert bool(found.reaches[b]) == (float(found.cost[b]) < INF)
    for a in way:
        total += float(cost[b, at, a])
        at = int(target[b, at, a])
        assert at >= 0, "a refused move is planned"
    if found.reaches[b]:
        assert at == int(goal[b]) and total == pytest.approx(float(found.cost[b]), rel=1e-5)
    else:
        assert not way


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_with_a_horizon_it_is_the_best_of_all_sequences(seed: int) -> None:
    """Without keys: a place may be crossed twice, and nothing below the horizon is seen."""
    target, cost, goal = random_graph(seed)
    togo = 0.5 * distances(target, cost, goal)
    model = replace(graph_model(target, cost, togo), key=None)
    found = mcts(model, root_of(torch.tensor([0, 1, 2])), uniform(3, 3), simulations=150, depth=3)
    for b in range(3):
        least, first = exhaustive(target[b], cost[b], togo[b], b, 3)
        assert float(found.cost[b]) == pytest.approx(least, rel=1e-5)
        assert int(found.action[b]) in (first if 0 < least < INF else {-1})


def test_settling_stops_when_the_way_is_sure() -> None:
    """Exact estimates on a line: a look at each place on the way. An estimate too high hides a way, if it stops."""
    target, cost = line(9)
    exact = torch.arange(9.0).flip(0)[None]
    at, u = root_of(torch.tensor([0])), uniform(1, 2)
    for settle, looks in ((True, 7), (False, 64)):
        found = mcts(graph_model(target, cost, exact), at, u, settle=settle)
        assert found.visits is not None
        assert found.cost.tolist() == [8] and int(found.visits.sum()) == looks
    # two ways: straight at cost 5, round at cost 2, which seems to cost 10
    two = torch.tensor([[[1, 2], [-1, -1], [1, -1]]])
    hidden = graph_model(two, torch.tensor([[[5.0, 1], [1, 1], [1, 1]]]), torch.tensor([[3.0, 0, 9]]))
    assert [mcts(hidden, at, u, settle=settle).cost.tolist() for settle in (True, False)] == [[5], [2]]


@pytest.mark.parametrize("door", [0, 4])
def test_it_finds_the_door(door: int) -> None:
    """From a straight-line estimate, which leads into the wall; every pair of one goal."""
    target, at = two_rooms(door)
    n = len(target)
    goal = torch.full((n,), n - 1)
    straight = (at - at[-1]).norm(dim=-1).expand(n, n)
    worlds, ones = target.expand(n, -1, -1), torch.ones(n, n, 4)
    found = mcts(graph_model(worlds, ones, straight), root_of(torch.arange(n)), uniform(n, 4))
    exact = distances(target[None], ones[:1], goal[:1])[0]
    torch.testing.assert_close(found.cost, exact)
    assert bool(found.reaches.all()) and float(exact.max()) >= 12
    for b in range(n):
        check_way(found, b, worlds, ones, b, goal)


# --- edges ------------------------------------------------------------------------------------------------------------


def line(n: int, rows: int = 1) -> tuple[Tensor, Tensor]:
    """Left and right along n places."""
    target = torch.tensor([[max(i - 1, -1), i + 1 if i + 1 < n else -1] for i in range(n)])
    return target.expand(rows, -1, -1), torch.ones(rows, n, 2)


def test_at_the_goal_nothing_is_done() -> None:
    target, cost = line(4)
    found = mcts(graph_model(target, cost, torch.tensor([[2.0, 1, 0, 1]])), root_of(torch.tensor([2])), uniform(1, 2))
    assert found.cost.tolist() == [0] and found.action.tolist() == [-1] and found.reaches.tolist() == [True]
    assert found.visits is not None and int(found.visits.sum()) == 0


@pytest.mark.parametrize("estimate", [1.0, INF])
def test_where_there_is_no_way_the_cost_says_so(estimate: float) -> None:
    target, cost = line(5)
    cost = cost.clone()
    cost[0, 2, 1] = INF  # known to be refused
    togo = torch.tensor([[estimate, estimate, estimate, 1, 0]])
    found = mcts(graph_model(target, cost, togo), root_of(torch.tensor([0])), uniform(1, 2))
    assert found.cost.tolist() == [INF] and found.action.tolist() == [-1] and found.reaches.tolist() == [False]
    assert not bool((found.actions >= 0).any())


def test_one_row_at_the_goal_or_lost_does_not_stop_the_others() -> None:
    target, cost = line(6, rows=3)
    togo = torch.tensor([[0.0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0], [INF] * 6])
    found = mcts(graph_model(target, cost, togo), root_of(torch.tensor([0, 1, 2])), uniform(3, 2))
    assert found.cost.tolist() == [0, 4, INF] and found.action.tolist() == [-1, 1, -1]
    assert found.actions[1].tolist() == [1, 1, 1, 1] + [-1] * 61


def test_a_row_depends_on_no_other_and_on_nothing_else() -> None:
    target, cost, goal = random_graph(3, rows=6, places=9)
    togo = 0.3 * distances(target, cost, goal)
    u, here = uniform(6, 3), torch.arange(6)
    before = torch.get_rng_state()
    whole, again = (mcts(graph_model(target, cost, togo), root_of(here), u) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert whole.visits is not None and again.visits is not None
    assert int((whole.action >= 0).sum()) >= 3
    assert torch.equal(whole.actions, again.actions) and torch.equal(whole.visits, again.visits)
    for rows in (torch.tensor([4]), torch.tensor([5, 0, 3])):
        part = mcts(graph_model(target[rows], cost[rows], togo[rows]), root_of(here[rows]), u[rows])
        assert part.visits is not None
        torch.testing.assert_close(part.cost, whole.cost[rows], rtol=1e-4, atol=1e-4)
        assert torch.equal(part.visits, whole.visits[rows])
        assert torch.equal(part.action, whole.action[rows])


def test_noise_breaks_ties_and_nothing_else() -> None:
    """Two ways round a ring are equal to its far side; one step nearer they are not."""
    n, rows = 8, 200
    ring = torch.tensor([[(i - 1) % n, (i + 1) % n] for i in range(n)]).expand(rows, -1, -1)
    far = torch.tensor([min(i, n - i) for i in range(n)]).float().expand(rows, -1)
    model = graph_model(ring, torch.ones(rows, n, 2), far)
    even = mcts(model, root_of(torch.full((rows,), 4)), uniform(rows, 2))
    assert 0.35 < float(even.action.float().mean()) < 0.65
    near = mcts(model, root_of(torch.full((rows,), 3)), uniform(rows, 2))
    assert bool((near.action == 0).all())
    assert bool((even.cost == 4).all()) and bool((near.cost == 3).all())


def test_a_prior_says_where_to_look_first() -> None:
    """A comb of long teeth that promise alike, the goal at the end of one: known by the prior alone."""
    places, actions = 41, 4
    target = torch.full((1, places, actions), -1)
    for a in range(actions):
        target[0, 0, a] = 1 + 10 * a
        for i in range(9):
            target[0, 1 + 10 * a + i, a] = 2 + 10 * a + i
    togo = torch.tensor([10, *(9 - i if i < 9 else 1 for _ in range(actions) for i in range(10))])[None].float()
    togo[0, 10 * 3] = 0
    model = graph_model(target, torch.ones(1, places, actions), togo)
    told = torch.tensor([0.01, 0.01, 0.97, 0.01])
    guided = replace(model, prior=lambda state: told.expand(len(state[1]), -1))
    u = torch.tensor([[0.9, 0.5, 0.1, 0.3]])
    blind, seeing = (mcts(m, root_of(torch.tensor([0])), u, simulations=14) for m in (model, guided))
    assert seeing.reaches.tolist() == [True] and seeing.action.tolist() == [2] and float(seeing.cost) == 10
    assert blind.reaches.tolist() == [False]


# --- latents ----------------------------------------------------------------------------------------------------------


def drifting(at: Tensor, noise: float) -> tuple[Tensor, object]:
    """Places embedded at random in 8 dimensions, far apart as they lie; moved a step with an error of its own."""
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1))).Q[:2]
    ways = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]]) @ turn
    wrong = noise * torch.randn(4, 8, generator=torch.Generator().manual_seed(2))

    def ahead(z: Tensor, action: Tensor) -> Tensor:
        return z + ways[action] + wrong[action]

    return at @ turn, ahead


def test_snapped_to_memory_a_search_does_not_drift() -> None:
    target, at = two_rooms()
    bank, ahead = drifting(at, 0.12)
    n = len(bank)
    goal, rows = bank[-1:].expand(n, -1), torch.arange(n)
    known = torch.ones(n, n, dtype=torch.bool)
    banks, refused = bank.expand(n, -1, -1), (target < 0).expand(n, -1, -1)
    model = snapped_model(ahead, 4, goal, banks, known, refused=refused)  # type: ignore[arg-type]
    start = nearest(banks, known, rows, bank)
    assert torch.equal(start, rows)
    found = mcts(model, (rows, start), uniform(n, 4))
    ones = torch.ones(1, n, 4)
    exact = distances(target[None], ones, torch.tensor([n - 1]))[0]
    torch.testing.assert_close(found.cost, exact)
    # in one room, where no wall is in the way, what drifts still arrives when the model errs little, else not
    room = at[:, 0] > 3
    loose = latent_model(ahead, 4, goal[room], near=0.3)  # type: ignore[arg-type]
    drifts = mcts(loose, (torch.arange(int(room.sum())), bank[room]), uniform(int(room.sum()), 4), depth=12)
    assert float(drifts.reaches.float().mean()) < 0.6
    bank, ahead = drifting(at, 0.0)
    exactly = latent_model(ahead, 4, goal[room], near=0.3)  # type: ignore[arg-type]
    true = mcts(exactly, (torch.arange(int(room.sum())), bank[room]), uniform(int(room.sum()), 4), depth=12)
    assert float((true.cost == exact[room]).float().mean()) > 0.9


def test_the_nearest_is_of_those_known_in_the_row() -> None:
    g = torch.Generator().manual_seed(4)
    bank, known = torch.randn(3, 20, 5, generator=g), torch.rand(3, 20, generator=g) < 0.5
    for row in (torch.arange(3).repeat_interleave(4), torch.tensor([2, 0, 0, 1, 2])):
        z = torch.randn(len(row), 5, generator=g)
        found = nearest(bank, known, row, z)
        for r, x, slot in zip(row.tolist(), z, found.tolist(), strict=True):
            gaps = {s: float((bank[r, s] - x).norm()) for s in range(20) if known[r, s]}
            assert slot == min(gaps, key=lambda s: gaps[s])


def test_with_nothing_remembered_there_is_no_way() -> None:
    bank, ahead = drifting(two_rooms()[1], 0.0)
    known = torch.zeros(2, len(bank), dtype=torch.bool)
    known[1] = True
    model = snapped_model(ahead, 4, bank[-1:].expand(2, -1), bank.expand(2, -1, -1), known)  # type: ignore[arg-type]
    found = mcts(model, (torch.arange(2), torch.zeros(2, dtype=torch.int64)), uniform(2, 4))
    assert found.cost[0] == INF and found.action[0] == -1
    assert bool(found.cost[1].isfinite()) and bool(found.reaches[1])


# --- bad input --------------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_named() -> None:
    target, cost = line(4)
    togo = torch.tensor([[2.0, 1, 0, 1]])
    model, root = graph_model(target, cost, togo), root_of(torch.tensor([0]))
    with pytest.raises(ValueError, match="1 rows"):
        mcts(model, root_of(torch.tensor([0, 1])), uniform(1, 2))
    with pytest.raises(ValueError, match="2 actions"):
        mcts(model, root, uniform(1, 3))
    with pytest.raises(ValueError, match=r"\[B, actions\]"):
        mcts(model, root, uniform(1, 2, 2))
    with pytest.raises(ValueError, match="leaves"):
        mcts(model, root, uniform(1, 2) + 1)
    with pytest.raises(ValueError, match="simulations 0"):
        mcts(model, root, uniform(1, 2), simulations=0)
    with pytest.raises(ValueError, match="negative cost or NaN"):
        mcts(replace(model, togo=lambda s: s[1] * float("nan")), root_of(torch.tensor([1])), uniform(1, 2))


def test_a_model_that_does_not_fit_is_named() -> None:
    target, cost = line(4)
    togo = torch.tensor([[2.0, 1, 0, 1]])
    with pytest.raises(ValueError, match="cost is"):
        graph_model(target, cost[:, :3], togo)
    with pytest.raises(ValueError, match="togo is"):
        graph_model(target, cost, togo[0])
    with pytest.raises(ValueError, match="cost holds"):
        graph_model(target, -cost, togo)
    with pytest.raises(ValueError, match="togo holds"):
        graph_model(target, cost, togo / 0)
    with pytest.raises(ValueError, match="a target"):
        graph_model(target + 1, cost, togo)
    z = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="near is 0"):
        latent_model(lambda z, a: z, 4, z, near=0)
    with pytest.raises(ValueError, match="known is"):
        snapped_model(lambda z, a: z, 4, z, torch.zeros(2, 5, 3), torch.ones(2, 4, dtype=torch.bool))


def test_any_tree_of_tensors_is_a_state() -> None:
    """Steps on a line as a nested state; nothing of it is changed."""
    state = {"at": torch.tensor([0.0, 3.0]), "past": (torch.zeros(2, 4),)}

    def step(s: dict[str, Tensor], action: Tensor) -> tuple[dict[str, object], Tensor]:
        moved = {"at": s["at"] + 2 * action - 1, "past": (s["past"][0] + 1,)}
        return moved, torch.ones(len(action))

    model = Model(2, step, togo=lambda s: (s["at"] - 5).abs())
    kept = tree_map(torch.clone, state)
    found = mcts(model, state, uniform(2, 2), simulations=30)
    assert found.cost.tolist() == [5, 2] and found.action.tolist() == [1, 1]
    assert torch.equal(state["at"], kept["at"]) and not bool(kept["past"][0].any())  # type: ignore[arg-type]
