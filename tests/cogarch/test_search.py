"""Searches that can be exchanged, and the two modes of control: sent to places in squares, by each of them."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import Tensor

import agents
import envs
from cogarch.bench import errands
from cogarch.bench.errands import Known, Sent
from cogarch.config import Agent
from cogarch.executive import atlas as atlases
from cogarch.executive import control, costs, habit
from cogarch.executive.search import SEARCHES, finder
from cogarch.executive.value_iteration import value_iteration
from cogarch.module import Signal, State
from cogarch.run import contracts
from cogarch.tree import leaves

SQUARE = ("cogarch/Square-v0", {"width": 5})
ERRANDS = 8


def navigator(**settings: object) -> Agent:
    agent = agents.load("navigator").change("hc", capacity=64)
    return agent.change("executive", wander=False, **settings)


@functools.cache
def explored(habits: bool) -> Known:
    """All that is to be known of a square, and with `habits` 60 lessons of it."""
    agent = navigator(habit=True, lessons=4) if habits else navigator()
    return errands.explore(agent, *SQUARE, [10_000], (errands.ALL,), 600, rested=15 if habits else 1)[errands.ALL][0]


def sent(agent: Agent, known: Known) -> Sent:
    table = errands.tables_of(*SQUARE, [10_000])[0]
    return errands.send(agent, *SQUARE, known, errands.targets(known, table, ERRANDS, np.random.default_rng(0)))


@pytest.mark.parametrize("name", SEARCHES)
def test_every_search_comes_there_the_shortest_way_in_the_open(name: str) -> None:
    came = sent(navigator(search=name), explored(False))
    assert len(came.came) == ERRANDS
    assert bool(came.came.all())
    if name == "vector":  # it does not undo its last move, and that was made before it was sent
        assert float(came.spl.mean()) > 0.85
    else:
        assert came.spl.tolist() == [1.0] * ERRANDS


def test_a_habit_learned_in_rest_acts_where_it_is_sure() -> None:
    known = explored(True)
    sure = sent(navigator(habit=True, doubt=1.0, lessons=1), known)
    never = sent(navigator(habit=True, doubt=0.0, lessons=1), known)
    assert bool(sure.came.all())
    assert sure.by_habit.sum() > 0.5 * sure.steps.sum()
    assert never.by_habit.sum() == 0
    assert never.spl.tolist() == [1.0] * ERRANDS


# --- by hand: a corridor of four places, a step east and west ---------------------------------------------------------

EAST, WEST = 0, 1


def corridor(batch: int = 2) -> State:
    """0 - 1 - 2 - 3, all walked, the agents at 1; place 4 is not known."""
    atlas = atlases.init(batch, 5, 2, 3, Signal(dtype=torch.int64, values=9), len(costs.TERMS))
    atlas["target"][:, :4] = torch.tensor([[1, -1], [2, 0], [3, 1], [-1, 2]])
    atlas["refused"][:, 0, WEST] = atlas["refused"][:, 3, EAST] = True
    atlas["taken"][:, :4] = 1
    atlas["known"][:, :4] = True
    atlas["code"][:, :4] = torch.nn.functional.normalize(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
    atlas["at"][:, :4, 0] = torch.arange(4.0)
    atlas["effect"][:] = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    atlas["moves"][:] = True
    atlas["here"][:] = 1
    atlas["position"][:, 0] = 1.0
    return atlas


def find(name: str, goal: Tensor, atlas: State) -> tuple[Tensor, Tensor]:
    batch = len(goal)
    g = torch.Generator().manual_seed(1)
    draws = torch.rand(batch, 10, 30, 16, generator=g)
    every, last = torch.ones(batch, dtype=torch.bool), torch.full((batch,), -1)
    search = finder(name, None, draws, last, atlas, every, torch.rand(batch, 2, generator=g), False)
    return search(atlas["target"], torch.ones(batch, 5, 2), goal)


@pytest.mark.parametrize("name", SEARCHES)
def test_searches_say_the_cost_and_the_move_from_here(name: str) -> None:
    goal = torch.zeros(2, 5, dtype=torch.bool)
    goal[0, 3] = goal[1, 0] = True
    togo, q = find(name, goal, corridor())
    assert togo[:, 1].tolist() == pytest.approx([2.0, 1.0])
    assert q[:, 1].argmin(-1).tolist() == [EAST, WEST]


@pytest.mark.parametrize("name", SEARCHES)
def test_without_a_way_the_cost_is_infinite(name: str) -> None:
    goal = torch.zeros(1, 5, dtype=torch.bool)
    togo, _ = find(name, goal, corridor(1))
    assert togo[:, 1].isinf().all()


def test_lessons_are_routes_of_the_map_and_only_who_rests_learns() -> None:
    torch.manual_seed(0)
    atlas, begun = corridor(2), control.init(2, habit.draw(3, 2, hidden=16))
    target, price = atlas["target"], torch.ones(2, 5, 2)
    u = torch.rand(2, 150, control.GOALS + 2 * control.EXAMPLES, generator=torch.Generator().manual_seed(2))
    after = control.rest(begun, atlas, target, price, u, torch.tensor([True, False]))
    for name, x in leaves(after["habit"]):
        assert torch.equal(x[1], dict(leaves(begun["habit"]))[name][1]), name
    assert after["habit"]["updates"].tolist() == [150, 0]
    for goal in range(4):
        ends = torch.arange(5)[None] == goal
        togo, q = value_iteration(target[:1], price[:1], ends)
        for here in (p for p in range(4) if p != goal):
            said = habit.act(after["habit"], atlas["code"][:, here], atlas["code"][:, goal])
            assert int(said.logits[0].argmax()) == int(q[0, here].argmin()), (here, goal)
            assert float(said.togo[0]) == pytest.approx(float(togo[0, here]), abs=0.6)


def test_a_habit_doubts_itself_where_it_was_refused_or_goes_in_circles() -> None:
    torch.manual_seed(0)
    atlas, mind = corridor(3), control.init(3, habit.draw(3, 2, hidden=16))
    mind["habit"]["updates"] += 1
    mind = control.given_a_goal(mind, torch.full((3,), 7), torch.ones(3, dtype=torch.bool))
    code, goal, never = atlas["code"][:, 1], atlas["code"][:, 3], torch.zeros(3, dtype=torch.bool)
    mind, _, _, sure = control.act(mind, atlas, code, goal, torch.full((3,), 2), never, 1.0)
    assert sure.all()
    bump, last = torch.tensor([True, False, False]), torch.tensor([2, 7, 2])
    mind, _, _, sure = control.act(mind, atlas, code, goal, last, bump, 1.0)
    assert sure.tolist() == [False, False, True], "refused; here before on this way; all well"
    mind, _, _, sure = control.act(mind, atlas, code, goal, torch.full((3,), 2), never, 1.0)
    assert sure.tolist() == [False, False, True], "doubts stay until there is another goal"
    mind = control.given_a_goal(mind, torch.full((3,), 9), torch.tensor([True, False, False]))
    _, _, _, sure = control.act(mind, atlas, code, goal, torch.full((3,), 2), never, 1.0)
    assert sure.tolist() == [True, False, True]
    no_goal = torch.full_like(goal, torch.nan)
    assert not control.act(mind, atlas, code, no_goal, torch.full((3,), 2), never, 1.0)[3].any()


def test_shipped_weights_fit_an_agent_that_gets_a_habit() -> None:
    inputs = contracts(envs.make("cogarch/Square-v0", 1))
    agent, unfit = agents.load("tolman").change("executive", habit=True).ready(inputs)
    assert agent.weights is not None, unfit
    own = agent.build(inputs).parts["executive"]
    assert not any(name.startswith("habit") for name in own.state_dict())
    assert any(name.startswith("habit") for name, _ in own.named_buffers())
