"""Value iteration against Dijkstra's of scipy, on random maps with random costs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse import csgraph
from searches import INF, random_graph, two_rooms, uniform
from torch import Tensor

from cogarch.executive.value_iteration import value_iteration

NONE = torch.zeros(1, 3, dtype=torch.bool)


def dijkstra(target: Tensor, cost: Tensor, goal: Tensor, leave: Tensor | None = None) -> Tensor:
    """Costs to go `[S]` of one row; leaving is a way to one place more, which is a goal, too."""
    s, a = target.shape
    weights: dict[tuple[int, int], float] = {}
    for i in range(s):
        for j in range(a):
            ways = [(int(target[i, j]), float(cost[i, j]))] if target[i, j] >= 0 else []
            if leave is not None and float(leave[i, j]) < INF:
                ways.append((s, float(leave[i, j])))
            for to, price in ways:
                if to != i:
                    weights[to, i] = min(price, weights.get((to, i), INF))  # turned about: from the goals
    ends = [*goal.nonzero()[:, 0].tolist(), *([] if leave is None else [s])]
    if not ends:
        return torch.full((s,), INF)
    rows, columns = np.array(list(weights), int).reshape(-1, 2).T
    matrix = sparse.csr_array((np.array(list(weights.values())), (rows, columns)), shape=(s + 1, s + 1))
    found = csgraph.dijkstra(matrix, indices=ends, min_only=True)[:s]
    return torch.tensor(found).float()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 99_999), goals=st.floats(0, 0.5), leaves=st.booleans())
def test_costs_are_those_of_dijkstra(seed: int, goals: float, leaves: bool) -> None:
    g = torch.Generator().manual_seed(seed)
    target, _, _ = random_graph(seed, places=9)
    cost = 0.05 + 3 * torch.rand(target.shape, generator=g)
    goal = torch.rand(target.shape[:2], generator=g) < goals
    leave = None
    if leaves:
        leave = torch.where(torch.rand(target.shape, generator=g) < 0.1, 0.1 + cost, INF)
    togo, q = value_iteration(target, cost, goal, leave=leave)
    for row in range(len(target)):
        expected = dijkstra(target[row], cost[row], goal[row], None if leave is None else leave[row])
        torch.testing.assert_close(togo[row], expected, rtol=1e-5, atol=1e-5)
    there = torch.where(target >= 0, cost + togo.gather(1, target.clamp(min=0).flatten(1)).view_as(cost), INF)
    torch.testing.assert_close(q, there if leave is None else torch.minimum(there, leave))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_rows_are_alone(seed: int) -> None:
    target, cost, goal = random_graph(seed)
    reach = torch.nn.functional.one_hot(goal, target.shape[1]).bool()
    together = value_iteration(target, cost, reach)
    for row in range(len(target)):
        alone = value_iteration(*(x[row : row + 1] for x in (target, cost, reach)))
        assert all(torch.equal(a[row], b[0]) for a, b in zip(together, alone, strict=True))


def test_a_long_way_is_exact() -> None:
    """A corridor of 300 places is 299 moves long, and so many sweeps."""
    line = torch.stack([torch.arange(300) - 1, torch.arange(300) + 1], -1)[None]
    line[line == 300] = -1
    goal = torch.arange(300)[None] == 0
    togo, _ = value_iteration(line, torch.ones(1, 300, 2), goal)
    assert togo[0].tolist() == list(range(300))


def test_through_the_only_door() -> None:
    target, at = two_rooms(door=1)
    goal = (at == torch.tensor([6.0, 6.0])).all(-1)[None]
    togo, q = value_iteration(target[None], torch.ones(1, *target.shape), goal)
    here = int((at == torch.tensor([0.0, 6.0])).all(-1).int().argmax())
    assert float(togo[0, here]) == 5 + 6 + 5  # down to the door, across, up again
    assert int(q[0, here].argmin()) in (0, 3)


def test_no_way_is_infinitely_far() -> None:
    target = torch.tensor([[[1], [-1], [1]]])
    togo, q = value_iteration(target, torch.ones(1, 3, 1), torch.tensor([[True, False, False]]))
    assert togo.tolist() == [[0, INF, INF]] and q.flatten().tolist() == [INF] * 3
    togo, _ = value_iteration(target, torch.ones(1, 3, 1), NONE)
    assert togo.tolist() == [[INF] * 3]


def test_the_goal_is_there_whatever_leaving_costs() -> None:
    leave = torch.tensor([[[INF], [5.0], [INF]]])
    target = torch.tensor([[[1], [2], [-1]]])
    togo, _ = value_iteration(target, torch.ones(1, 3, 1), NONE, leave=leave)
    assert togo.tolist() == [[6, 5, INF]]
    togo, _ = value_iteration(target, torch.ones(1, 3, 1), torch.tensor([[False, False, True]]), leave=leave)
    assert togo.tolist() == [[2, 1, 0]]


def test_so_many_sweeps_see_so_far() -> None:
    target = torch.tensor([[[1], [2], [3], [-1]]])
    goal = torch.tensor([[False, False, False, True]])
    for most in range(4):
        togo, _ = value_iteration(target, torch.ones(1, 4, 1), goal, most=most)
        assert [x < INF for x in togo[0].tolist()] == [3 - i <= most for i in range(4)]


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan")])
def test_a_move_that_costs_nothing_is_refused(price: float) -> None:
    target, cost, goal = random_graph(0)
    cost[1, 2, 0] = price
    reach = torch.nn.functional.one_hot(goal, target.shape[1]).bool()
    with pytest.raises(ValueError, match=f"a move costs {price}: each costs more than 0, or the best way has no end"):
        value_iteration(target, cost, reach)


def test_nothing_depends_on_chance() -> None:
    target, _, goal = random_graph(3)
    cost, reach = 0.1 + uniform(*target.shape), torch.nn.functional.one_hot(goal, target.shape[1]).bool()
    before = torch.get_rng_state()
    one, other = value_iteration(target, cost, reach), value_iteration(target, cost, reach)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert torch.equal(before, torch.get_rng_state())
