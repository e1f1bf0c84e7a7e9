"""The map by sight, against the grids of the environments themselves; sight, against MiniGrid's own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from minigrid.core.grid import Grid
from minigrid.core.world_object import Wall
from torch import Tensor

import envs
from cogarch.executive import affordances, sorties
from cogarch.executive import survey as surveys
from cogarch.executive.value_iteration import value_iteration
from cogarch.module import State
from cogarch.run import hear
from envs import oracle

LEFT, RIGHT, FORWARD, TOGGLE = 0, 1, 2, 5
SIZE = 64


def walk(env: str, seeds: list[int], steps: int, **options: Any) -> Iterator[tuple[Any, State, State]]:
    """Surveys and affordances of rows that walk at random, tick by tick, with the world as it is."""
    world: Any = envs.make(env, len(seeds), **options)
    seen, info = world.reset(seed=seeds)
    rng, actions = np.random.default_rng(0), len(world.metadata["actions"])
    survey, known = surveys.init(len(seeds), SIZE), affordances.init(len(seeds), actions)
    action = np.full(len(seeds), -1)
    for _ in range(steps):
        said = hear({"observation": seen, "action": action, **info})
        view = surveys.symbols(said["env/observation"])
        before = affordances.Thing(surveys.ahead(survey, survey["map"]).long(), survey["carried"])
        survey = surveys.look(surveys.move(survey, said["env/motion"]), view)
        after = affordances.Thing(view[:, view.shape[1] // 2, -2], survey["carried"])
        tried = said["env/action"][:, 0], said["env/motion"], said["env/bump"][:, 0]
        known = affordances.see(affordances.try_(known, *tried, before, after), view)
        yield world, survey, known
        action = np.where(rng.random(len(seeds)) < 0.5, FORWARD, rng.integers(actions, size=len(seeds)))
        seen, *_, info = world.step(action)


def true_symbol(cell: Any) -> int:
    return int(surveys.symbols(torch.tensor((1, 0, 0) if cell is None else cell.encode())))


def check_map(world: Any, survey: State, row: int, begun: tuple[int, int, int]) -> int:
    """Every cell that is known is that of the environment; how many are."""
    inner, (x0, y0, d0) = world._envs[row], begun
    known = survey["map"][row].nonzero()
    for i, j in known.tolist():
        dx, dy = ((k + SIZE // 2) % SIZE - SIZE // 2 for k in (i, j))  # forward and left of where it began
        u, v = ((1, 0), (0, 1), (-1, 0), (0, -1))[d0]  # MiniGrid: rows count downward
        x, y = x0 + dx * u + dy * v, y0 + dx * v - dy * u
        inside = 0 <= x < inner.width and 0 <= y < inner.height
        assert int(survey["map"][row, i, j]) == true_symbol(inner.grid.get(x, y) if inside else Wall()), (x, y)
    return len(known)


@pytest.mark.parametrize("env", ["MiniGrid-FourRooms-v0", "MiniGrid-SimpleCrossingS9N3-v0", "MiniGrid-MemoryS13-v0"])
def test_the_map_is_the_true_grid_wherever_it_was_seen(env: str) -> None:
    begun: list[tuple[int, int, int]] = []
    for world, survey, _ in walk(env, [3, 4, 5], 25):
        begun = begun or [(*map(int, inner.agent_pos), inner.agent_dir) for inner in world._envs]
        for row, (x0, y0, d0) in enumerate(begun):
            assert check_map(world, survey, row, begun[row]) >= 4
            inner = world._envs[row]
            ahead, left = ((1, 0), (0, 1), (-1, 0), (0, -1))[d0], ((0, -1), (1, 0), (0, 1), (-1, 0))[d0]
            away = np.array(inner.agent_pos) - (x0, y0)
            assert (away @ ahead, away @ left) == (survey["x"][row], survey["y"][row])
            assert (d0 - inner.agent_dir) % 4 == survey["heading"][row]


def test_noise_on_motion_does_not_blur_the_map() -> None:
    begun: list[tuple[int, int, int]] = []
    for world, survey, _ in walk("MiniGrid-FourRooms-v0", [7], 60, motion_noise=0.1):
        begun = begun or [(*map(int, inner.agent_pos), inner.agent_dir) for inner in world._envs]
        last = world, survey
    assert check_map(*last, 0, begun[0]) > 40


MOVES = st.lists(st.sampled_from([(math.pi / 2, 0.0), (-math.pi / 2, 0.0), (0.0, 1.0)]), max_size=40)


@settings(max_examples=30, deadline=None)
@given(moves=MOVES)
def test_a_walk_and_its_undoing_lead_back(moves: list[tuple[float, float]]) -> None:
    survey = surveys.init(1, SIZE)
    about = [(math.pi / 2, 0.0)] * 2
    back = [(-turn, ahead) for turn, ahead in reversed(moves)]
    for motion in [*moves, *about, *back, *about]:
        survey = surveys.move(survey, torch.tensor([motion]))
    assert [int(survey[name]) for name in ("x", "y", "heading")] == [0, 0, 0]
    assert int(survey["far"]) <= sum(ahead for _, ahead in moves)


# --- the frame, and what would be seen --------------------------------------------------------------------------------


def test_a_frame_holds_all_that_was_seen_and_where_the_agent_is() -> None:
    for _, survey, _ in walk("MiniGrid-FourRooms-v0", [0, 1, 2, 3], 30):
        frame = surveys.frame(survey)
        cells, m = frame.cut(survey["map"]), frame.x.shape[1]
        assert ((cells != 0).sum((1, 2)) == (survey["map"] != 0).sum((1, 2))).all()
        heading, cell = frame.here // m**2, frame.here % m**2
        rows = torch.arange(4)
        assert (heading == survey["heading"]).all()
        assert (frame.x[rows, cell // m] == survey["x"] % SIZE).all()
        assert (frame.y[rows, cell % m] == survey["y"] % SIZE).all()
        assert not cells[:, [0, -1]].any() and not cells[:, :, [0, -1]].any()  # a margin
        looked = frame.cut(survey["looked"]).flatten(1)
        assert looked[rows, frame.here].all()


def test_sight_is_that_of_minigrid() -> None:
    """Where it is known what one can see through, the unseen cells in view are those of `Grid.process_vis`."""
    rng, m, n, heading = np.random.default_rng(0), 11, 7, 1
    clear = rng.random((m, m)) < 0.75
    clear[[0, -1]] = clear[:, [0, -1]] = False
    unseen = rng.random((m, m)) < 0.5
    found = surveys.outlook(torch.tensor(unseen)[None], torch.tensor(clear)[None].float(), n)[0]
    compared = 0
    for x in range(1, m - 1):
        for y in range(1, m - n):  # it looks along y, and left of it is where x is less
            grid = Grid(n, n)
            for i in range(n):
                for j in range(n):
                    at = (x + i - n // 2, y + n - 1 - j)
                    if not (0 <= at[0] < m) or not clear[at]:
                        grid.set(i, j, Wall())
            mask = Grid.process_vis(grid, (n // 2, n - 1))
            want = 0
            for i in range(n):
                for j in range(n):
                    at = (x + i - n // 2, y + n - 1 - j)
                    want += bool(mask[i, j]) and 0 <= at[0] < m and bool(unseen[at])
            if clear[x, y]:
                compared += 1
                assert int(found[heading, x, y]) == want
    assert compared > 15


def test_what_may_be_seen_through_the_unseen_counts_by_its_chance() -> None:
    nothing = torch.ones(1, 5, 5, dtype=torch.bool)
    found = surveys.outlook(nothing, torch.full((1, 5, 5), surveys.UNSEEN_CLEAR), 3)
    assert torch.allclose(found, torch.tensor(3 + 3 + 3 * surveys.UNSEEN_CLEAR))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_outlooks_turn_with_the_world(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    clear, unseen = torch.rand(2, 8, 8, generator=g), torch.rand(2, 8, 8, generator=g) < 0.5
    straight = surveys.outlook(unseen, clear, 5)
    turned = surveys.outlook(unseen.rot90(1, (1, 2)), clear.rot90(1, (1, 2)), 5)
    torch.testing.assert_close(turned, straight.rot90(1, (2, 3)).roll(1, 1))


# --- what is learned of things ----------------------------------------------------------------------------------------


def test_what_actions_do_and_what_hides_what_is_learned() -> None:
    *_, (world, _, known) = walk("MiniGrid-MultiRoom-N4-S5-v1", [0, 1, 2, 5, 8], 75, actions="all")
    cells = {None if c is None else c.encode(): c for e in world._envs for c in e.grid.grid}.values()
    things = {int(surveys.kinds(torch.tensor(true_symbol(cell)))): cell for cell in cells}
    assert len(things) >= 4
    assert known["felt"].all()
    assert (known["turn"] == torch.tensor([1, -1, 0, 0, 0, 0, 0])).all()
    assert (known["advance"] == torch.tensor([0, 0, 1, 0, 0, 0, 0])).all()
    for kind, thing in things.items():
        if thing is None or thing.see_behind():
            assert not known["opaque"][:, kind].any()
        if known["passed"][:, kind].any():
            assert thing is None or thing.can_overlap() or thing.type == "door"
    wall = 2 * 4
    assert known["opaque"][:, wall].all() and known["refused"][:, wall].any() and not known["passed"][:, wall].any()
    shut, ajar = 4 * 4 + 1, 4 * 4
    opened = known["becomes"][:, 1, shut, TOGGLE]
    assert set(opened.tolist()) == {affordances.UNTRIED, ajar}  # some rows came to a door
    price, first = affordances.entry(known, torch.full((5,), 32))
    row = int((opened == ajar).int().argmax())
    assert int(first[row, shut]) == TOGGLE and 2 <= float(price[row, shut]) < 4
    assert price[row, 4] == 1 and price[row, wall] > 3


def test_rare_things_that_bar_the_way_are_tried_first_and_nothing_twice() -> None:
    known = affordances.init(1, 3)
    known["felt"][:] = True
    wall, door, floor, held = 8, 17, 4, torch.tensor([32])
    known["passed"][0, floor] = known["refused"][0, wall] = 1
    number = torch.zeros(1, surveys.KINDS)
    number[0, [wall, door, floor]] = torch.tensor([9.0, 1.0, 9.0])
    worth = affordances.curious(known, held, number)[0]
    assert worth[door].min() > worth[wall].max() > worth[floor].max() == 0
    known["becomes"][0, 1, door, 1] = known["holds"][0, 1, door, 1] = 1
    after = affordances.curious(known, held, number)[0]
    assert after[door, 1] == 0 and after[door, 0] == worth[door, 0]


# --- ways -------------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_value_iteration_from_here_is_that_from_everywhere(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    target = torch.randint(-1, 30, (3, 30, 3), generator=g)
    cost = 1 + 3 * torch.rand(3, 30, 3, generator=g)
    goal = torch.rand(3, 30, generator=g) < 0.05
    leave = torch.where(torch.rand(3, 30, 3, generator=g) < 0.1, 20 * torch.rand(3, 30, 3, generator=g), torch.inf)
    here, rows = torch.randint(0, 30, (3,), generator=g), torch.arange(3)
    togo, q = value_iteration(target, cost, goal, leave=leave)
    near, q_near = value_iteration(target, cost, goal, leave=leave, here=here)
    assert torch.equal(togo[rows, here], near[rows, here])
    best = (q[rows, here] == q[rows, here].amin(-1, keepdim=True)).nonzero()
    assert torch.equal(best, (q_near[rows, here] == q_near[rows, here].amin(-1, keepdim=True)).nonzero())


def test_edges_are_the_moves_of_the_body() -> None:
    """In a room known whole, costs to go are the steps of the world's own table."""
    world: Any = envs.make("MiniGrid-Empty-6x6-v0", 1)
    world.reset(seed=0)
    m, floor = 6, 32
    inner = world._envs[0].grid
    kind = [[true_symbol(inner.get(x, m - 1 - y)) for y in range(m)] for x in range(m)]
    known = affordances.init(1, 3)
    known["felt"][:] = True
    known["turn"][0], known["advance"][0] = torch.tensor([1, -1, 0]), torch.tensor([0, 0, 1])
    known["passed"][0, [4, 32]] = 1
    known["refused"][0, 8] = 1
    cells = torch.tensor(kind)[None]
    target, price, enters = sorties.edges(known, torch.tensor([floor]), cells, torch.zeros_like(cells).bool())
    assert enters.sum() == 16
    table = world.table(0)
    for end in ((4, 1), (2, 3)):
        goal = torch.zeros(1, 4, m, m, dtype=torch.bool)
        goal[:, :, end[0], end[1]] = True
        togo, _ = value_iteration(target, price, goal.flatten(1))
        want = oracle.distances_to(table, (end[1] * m + end[0]) * 4 + np.arange(4)).min(0)
        found: Tensor = togo.view(4, m, m)
        for x in range(1, 5):
            for y in range(1, 5):
                assert found[:, x, y].tolist() == want[(y * m + x) * 4 + np.arange(4)].tolist()
