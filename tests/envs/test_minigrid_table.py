"""The table of moves of a layout: what walks do, and what MiniGrid's objects say."""

import math
from typing import Any

import networkx as nx
import numpy as np
import pytest

import envs
from envs import minigrid as adapter
from envs import oracle
from envs.table import CLOSED, WALL

IDS = [
    "MiniGrid-FourRooms-v0",
    "MiniGrid-DoorKey-6x6-v0",
    "MiniGrid-RedBlueDoors-6x6-v0",
    "MiniGrid-LavaCrossingS9N3-v0",
    "MiniGrid-MultiRoom-N2-S4-v0",
    "MiniGrid-ObstructedMaze-1Dlhb-v0",
    "MiniGrid-Playground-v0",
    "BabyAI-UnlockLocalDist-v0",
    "BabyAI-PutNextS5N2Carrying-v0",
]


@pytest.mark.parametrize("env_id", IDS)
def test_walks_obey_the_table(env_id: str) -> None:
    world = envs.make(env_id, 2, actions="all")
    _, info = world.reset(seed=5)
    rng = np.random.default_rng(0)
    bumps = 0
    for _ in range(250):
        tables = [world.table(row) for row in (0, 1)]
        before, actions = info["node"], rng.choice(7, p=[0.15, 0.15, 0.4, 0.07, 0.06, 0.1, 0.07], size=2)
        *_, info = world.step(actions)
        for row, table in enumerate(tables):
            target = table.target[before[row], actions[row]]
            assert info["node"][row] == (target if target >= 0 else before[row])
            assert info["bump"][row] == (target < 0)
            assert np.array_equal(info["motion"][row], table.motion[before[row], actions[row]])
            assert np.array_equal(info["place"][row], table.place[info["node"][row]])
            assert info["heading"][row] == table.heading[info["node"][row]]
        bumps += int(info["bump"].sum())
    assert bumps > 20


@pytest.mark.parametrize("env_id", IDS)
def test_a_table_is_what_the_cells_say(env_id: str) -> None:
    world = envs.make(env_id, 1)
    assert isinstance(world, adapter.MiniGrid)
    world.reset(seed=2)
    env, table = world._envs[0], world.table()
    assert table.actions == ("left", "right", "forward")
    assert len(table) == env.width * env.height * 4
    assert np.array_equal(table.heading[:4], np.float32([0, math.pi / 2, math.pi, 3 * math.pi / 2]))
    for column in range(env.width):
        for line in range(env.height):
            y = env.height - 1 - line
            here = env.grid.get(column, line)
            free = here is None or here.can_overlap()
            for quarter, (dx, dy) in enumerate([(1, 0), (0, 1), (-1, 0), (0, -1)]):
                node = (y * env.width + column) * 4 + quarter
                assert tuple(table.place[node]) == (column, y)
                if not free:
                    assert (table.target[node] == WALL).all()
                    assert not table.motion[node].any()
                    continue
                assert table.target[node, 0] == node - quarter + (quarter + 1) % 4
                assert table.target[node, 1] == node - quarter + (quarter + 3) % 4
                x, up = column + dx, y + dy
                inside = 0 <= x < env.width and 0 <= up < env.height
                ahead = env.grid.get(x, env.height - 1 - up) if inside else None
                if inside and (ahead is None or ahead.can_overlap()):
                    assert table.target[node, 2] == (up * env.width + x) * 4 + quarter
                    assert tuple(table.motion[node, 2]) == (0, 1)
                else:
                    shut = ahead is not None and ahead.type == "door"
                    assert table.target[node, 2] == (CLOSED if shut else WALL)
                    assert not table.motion[node, 2].any()


def test_a_shut_door_parts_the_graph_and_an_open_one_joins_it() -> None:
    world = envs.make("MiniGrid-DoorKey-6x6-v0", 1, actions="all")
    assert isinstance(world, adapter.MiniGrid)
    _, info = world.reset(seed=0)
    env = world._envs[0]
    goal = next(i for i, cell in enumerate(env.grid.grid) if cell is not None and cell.type == "goal")
    there = ((env.height - 1 - goal // env.width) * env.width + goal % env.width) * 4
    assert not nx.has_path(world.graph(), int(info["node"][0]), there)
    assert (world.table().target == CLOSED).sum() == 2  # from either side
    door = next(cell for cell in env.grid.grid if cell is not None and cell.type == "door")
    door.is_open = True
    graph = world.graph()
    assert nx.has_path(graph, int(info["node"][0]), there)
    assert graph.has_edge(there, there, key="done")  # an action that is no move stays
    assert not (world.table().target == CLOSED).any()


LAVA = ["MiniGrid-LavaGapS7-v0", "MiniGrid-LavaCrossingS9N1-v0", "MiniGrid-LavaCrossingS11N5-v0"]


def cells_of(env: Any, kind: str) -> list[int]:
    """The cells of a kind, counted as nodes are: rows from the south."""
    found = [i for i, cell in enumerate(env.grid.grid) if cell is not None and cell.type == kind]
    return [(env.height - 1 - i // env.width) * env.width + i % env.width for i in found]


@pytest.mark.parametrize("env_id", LAVA)
@pytest.mark.parametrize("seed", range(4))
def test_the_shortest_way_past_lava_reaches_the_goal_alive(env_id: str, seed: int) -> None:
    world = envs.make(env_id, 1, endless=False)
    assert isinstance(world, adapter.MiniGrid)
    _, info = world.reset(seed=seed)
    env = world._envs[0]
    (goal,) = cells_of(env, "goal")
    nodes, actions = oracle.shortest_path(world.table(), int(info["node"][0]), range(goal * 4, goal * 4 + 4))
    for node, action in zip(nodes[1:], actions, strict=True):
        assert not info["bump"][0]
        _, reward, ended, _, info = world.step(np.array([action]))
        assert info["node"][0] == node
        assert ended[0] == (node // 4 == goal)
    assert reward[0] > 0

    poses = nx.DiGraph()  # the cells that are free, by hand
    lava = cells_of(env, "lava")
    shut = {*lava, *cells_of(env, "wall")}
    beside = {0: 1, 1: env.width, 2: -1, 3: -env.width}
    for cell in set(range(env.width * env.height)) - shut:
        for quarter, step in beside.items():
            pose = cell * 4 + quarter
            poses.add_edges_from((pose, cell * 4 + (quarter + turn) % 4) for turn in (1, 3))
            if cell + step not in shut:
                poses.add_edge(pose, (cell + step) * 4 + quarter)
    lengths = nx.single_source_shortest_path_length(poses, int(nodes[0]))
    assert len(actions) == min(lengths[goal * 4 + quarter] for quarter in range(4))


def test_lava_is_walked_through_where_nothing_ends() -> None:
    world = envs.make("MiniGrid-LavaGapS7-v0", 1)
    assert isinstance(world, adapter.MiniGrid)
    _, info = world.reset(seed=0)
    lava = cells_of(world._envs[0], "lava")
    start, table = int(info["node"][0]), world.table()
    deaths = envs.make("MiniGrid-LavaGapS7-v0", 1, endless=False)
    deaths.reset(seed=0)
    assert not np.isin(deaths.table().target // 4, lava).any()
    assert (deaths.table().target[np.array(lava) * 4] == WALL).all()
    for cell in lava:  # in, through all headings, and on to the start
        there, into = oracle.shortest_path(table, start, range(cell * 4, cell * 4 + 4))
        back, out = oracle.shortest_path(table, int(there[-1]), start)
        for node, action in zip([*there[1:], *back[1:]], [*into, *out], strict=True):
            *_, ended, _, info = world.step(np.array([action]))
            assert info["node"][0] == node
            assert not ended[0]
    cell = lava[0]
    *_, into = oracle.shortest_path(table, start, range(cell * 4, cell * 4 + 4))
    for action in into:
        _, reward, ended, _, _ = deaths.step(np.array([action]))
    assert ended[0]
    assert reward[0] == 0
