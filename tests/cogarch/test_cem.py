"""The cross-entropy method, against all sequences tried, shortest paths by networkx, and its formulas by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from searches import INF, distances, exhaustive, random_graph, two_rooms, uniform
from torch import Tensor

from cogarch.executive.cem import _refit, cem
from cogarch.executive.model import Model, Plan, graph_model

SEEDS = st.integers(0, 100_000)


def root_of(here: Tensor) -> tuple[Tensor, Tensor]:
    return torch.arange(len(here)), here


@pytest.mark.parametrize("told", [True, False])
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_with_samples_enough_it_is_the_best_of_all_sequences(told: bool, seed: int) -> None:
    """27 of them, 400 drawn: whether or not the model says which moves are refused."""
    target, cost, goal = random_graph(seed)
    togo = 0.5 * distances(target, cost, goal)
    model = graph_model(target, cost, togo)
    if not told:
        model = replace(model, allowed=None)
    found = cem(model, root_of(torch.arange(3)), uniform(3, 2, 400, 3, seed=seed))
    for b in range(3):
        least, first = exhaustive(target[b], cost[b], togo[b], b, 3)
        assert float(found.cost[b]) == pytest.approx(least, rel=1e-5)
        assert int(found.action[b]) in (first if 0 < least < INF else {-1})


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_with_a_horizon_long_enough_it_is_the_shortest_path(seed: int) -> None:
    target, cost, goal = random_graph(seed, rows=4)
    exact = distances(target, cost, goal)
    known = torch.where(exact > 0, torch.where(exact < INF, 1000.0, INF), 0.0)  # to arrive is worth any way
    found = cem(graph_model(target, cost, known), root_of(torch.arange(4)), uniform(4, 4, 400, 4, seed=seed))
    for b in range(4):
        assert float(found.cost[b]) == pytest.approx(float(exact[b, b]), rel=1e-5)
        assert bool(found.reaches[b]) == bool(exact[b, b].isfinite())
        at, total = b, 0.0
        for a in found.actions[b].tolist():
            if a >= 0:
                total += float(cost[b, at, a])
                at = int(target[b, at, a])
                assert at >= 0, "a refused move is planned"
        if found.reaches[b]:
            assert at == int(goal[b]) and total == pytest.approx(float(found.cost[b]), rel=1e-5)
        else:
            assert bool((found.actions[b] == -1).all())


def test_it_goes_through_the_door() -> None:
    """From all over one room into the other, behind a wall: nearly the shortest way, and never against it."""
    target, at = two_rooms(door=6)
    goal = len(at) - 1
    here = (at[:, 0] < 3).nonzero()[:, 0]
    n = len(here)
    straight = (at - at[goal]).norm(dim=-1).expand(n, -1)
    worlds, ones = target.expand(n, -1, -1), torch.ones(n, *target.shape)
    found = cem(graph_model(worlds, ones, straight), root_of(here), uniform(n, 10, 100, 16))
    exact = distances(target[None], ones[:1], torch.tensor([goal]))[0, here]
    assert n == 21 and float(exact.max()) == 12
    assert bool(found.reaches.all())
    assert bool((found.cost >= exact).all())
    assert float((found.cost == exact).float().mean()) > 0.8
    assert bool((target[here, found.action] >= 0).all())


def test_no_more_is_paid_after_the_goal() -> None:
    """On a line, its goal 2 away: at horizon 9 the cost is 2, and the way ends."""
    target = torch.tensor([[[max(i - 1, -1), i + 1 if i < 4 else -1] for i in range(5)]])
    model = graph_model(target, torch.ones(1, 5, 2), torch.tensor([[2.0, 1, 0, 1, 2]]))
    found = cem(model, root_of(torch.tensor([0])), uniform(1, 4, 100, 9))
    assert found.cost.tolist() == [2] and found.actions.tolist() == [[1, 1] + [-1] * 7]
    assert found.reaches.tolist() == [True]
    short = cem(model, root_of(torch.tensor([0])), uniform(1, 4, 100, 1))
    assert short.cost.tolist() == [2] and short.reaches.tolist() == [False]


def test_at_the_goal_and_where_there_is_no_way() -> None:
    target = torch.tensor([[i + 1 if i < 4 else -1] for i in range(5)]).expand(3, -1, -1)
    cost = torch.ones(3, 5, 1)
    togo = torch.tensor([[0.0, 1, 1, 1, 1], [4, 3, 2, 1, 0], [INF] * 5])
    found = cem(graph_model(target, cost, togo), root_of(torch.tensor([0, 0, 0])), uniform(3, 2, 20, 6))
    assert found.cost.tolist() == [0, 4, INF] and found.action.tolist() == [-1, 0, -1]
    assert found.reaches.tolist() == [True, True, False]
    cost[1, 2, 0] = INF  # known to be refused
    found = cem(graph_model(target, cost, togo), root_of(torch.tensor([0, 0, 0])), uniform(3, 2, 20, 6))
    assert found.cost.tolist() == [0, INF, INF] and found.action.tolist() == [-1, -1, -1]


def test_a_row_depends_on_no_other_and_on_nothing_else() -> None:
    target, cost, goal = random_graph(3, rows=6, places=9)
    togo, u, here = 0.3 * distances(target, cost, goal), uniform(6, 3, 20, 5), torch.arange(6)
    before = torch.get_rng_state()
    whole, again = (cem(graph_model(target, cost, togo), root_of(here), u) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert int((whole.action >= 0).sum()) >= 3
    assert torch.equal(whole.actions, again.actions)
    for rows in (torch.tensor([4]), torch.tensor([5, 0, 3])):
        part = cem(graph_model(target[rows], cost[rows], togo[rows]), root_of(here[rows]), u[rows])
        torch.testing.assert_close(part.cost, whole.cost[rows], rtol=1e-4, atol=1e-4)
        assert torch.equal(part.actions, whole.actions[rows])


def test_odds_are_the_shares_of_the_elites() -> None:
    odds = torch.full((2, 3, 3), 1 / 3)
    elites = torch.tensor([[[0, 1, -1], [0, 2, -1], [1, 2, -1], [2, 2, 2]], [[1, 1, 1]] * 4])
    weight = torch.tensor([[1.0, 1, 1, 0], [0, 0, 0, 0]])  # of the second row none arrives anywhere
    found = _refit(odds, elites, weight, 0.3)
    by_hand = [[0.7 * 2 / 3 + 0.1, 0.7 / 3 + 0.1, 0.1], [0.1, 0.7 / 3 + 0.1, 0.7 * 2 / 3 + 0.1], [1 / 3] * 3]
    torch.testing.assert_close(found[0], torch.tensor(by_hand))
    torch.testing.assert_close(found[1], odds[1])


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, smoothing=st.floats(0.01, 1))
def test_no_action_dies_out(seed: int, smoothing: float) -> None:
    g = torch.Generator().manual_seed(seed)
    elites, weight = torch.randint(-1, 4, (2, 6, 5), generator=g), torch.rand(2, 6, generator=g)
    odds = _refit(torch.full((2, 5, 4), 0.25), elites, weight, smoothing)
    torch.testing.assert_close(odds.sum(-1), torch.ones(2, 5))
    assert float(odds.min()) >= smoothing / 4 - 1e-6


def test_draws_are_the_inverse_transform() -> None:
    """One iteration of one sample: what is said is what `u` falls on, also at the ends, and among the allowed."""
    u = torch.tensor([0.0, 0.2, 0.26, 0.5, 0.74, 0.76, 1 - 2**-24])
    model = Model(4, lambda s, a: (s, torch.zeros(len(a))), togo=lambda s: torch.ones(len(s)))
    found = cem(model, torch.zeros(7), u.view(7, 1, 1, 1))
    assert found.action.tolist() == [0, 0, 1, 2, 2, 3, 3]
    allowed = torch.tensor([False, True, True, False])
    some = replace(model, allowed=lambda s: allowed.expand(len(s), -1))
    assert cem(some, torch.zeros(7), u.view(7, 1, 1, 1)).action.tolist() == [1, 1, 1, 2, 2, 2, 2]


def test_the_last_plan_is_where_it_starts() -> None:
    """A long corridor with a side door at each place: too long to be found anew, kept when it is known."""
    n = 12
    target = torch.tensor([[i + 1 if i < n else -1, 0, 0] for i in range(n + 1)])
    worlds = target.expand(20, -1, -1)
    togo = torch.ones(n + 1)
    togo[n] = 0
    model = graph_model(worlds, torch.ones(20, n + 1, 3), togo.expand(20, -1))
    way = torch.zeros(20, n, dtype=torch.int64)
    known = Plan(way[:, 0], torch.full((20,), float(n)), way, torch.ones(20, dtype=torch.bool))
    root, u = root_of(torch.ones(20, dtype=torch.int64)), uniform(20, 2, 60, n)
    fresh, warm = cem(model, root, u), cem(model, root, u, last=known)
    assert bool(warm.reaches.all()) and warm.cost.tolist() == [n - 1] * 20
    assert float(fresh.reaches.float().mean()) < 0.2
    # a plan that has become wrong is given up
    shut = torch.ones(20, n + 1, 3)
    shut[:, 5, 0] = INF
    wrong = cem(graph_model(worlds, shut, togo.expand(20, -1)), root, u, last=known)
    assert not bool(wrong.reaches.any()) and bool(wrong.cost.isfinite().all())


def test_what_does_not_fit_is_named() -> None:
    target = torch.tensor([[[1], [-1]]])
    model = graph_model(target, torch.ones(1, 2, 1), torch.tensor([[1.0, 0]]))
    root = root_of(torch.tensor([0]))
    with pytest.raises(ValueError, match="iterations, samples, horizon"):
        cem(model, root, uniform(1, 2, 3))
    with pytest.raises(ValueError, match="one or more"):
        cem(model, root, uniform(1, 2, 0, 3))
    with pytest.raises(ValueError, match="elites 0"):
        cem(model, root, uniform(1, 2, 3, 4), elites=0)
    with pytest.raises(ValueError, match="smoothing 0"):
        cem(model, root, uniform(1, 2, 3, 4), smoothing=0)
    with pytest.raises(ValueError, match="1 rows"):
        cem(model, root_of(torch.tensor([0, 0])), uniform(1, 2, 3, 4))
    other = Plan(*(torch.zeros(2) for _ in range(2)), torch.zeros(2, 4), torch.zeros(2))
    with pytest.raises(ValueError, match="last plan has 2 rows"):
        cem(model, root, uniform(1, 2, 3, 4), last=other)
    with pytest.raises(ValueError, match="negative cost or NaN"):
        cem(replace(model, step=lambda s, a: (s, -torch.ones(len(a)))), root, uniform(1, 2, 3, 4))
