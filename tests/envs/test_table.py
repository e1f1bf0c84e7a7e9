"""Tables of moves: of themselves, and against what every world does."""

from collections.abc import Callable

import networkx as nx
import numpy as np
import pytest
from every_world import MINIGRID, WORLDS, maker

import envs
from envs.table import CLOSED, WALL, Table
from envs.world import World

# An arena's steps end anywhere, its table tells them from the centres of patches; Dynamic-Obstacles' obstacles move.
WALKED = {name: make for name, make in WORLDS.items() if not {"Arena", "moving"} & {type(make(1)).__name__, name}}
EVERY_WALKED = pytest.mark.parametrize("make", WALKED.values(), ids=WALKED)
STILL = {name: make for name, make in WALKED.items() if name != "new"}  # doors and keys change what can be done


def toy() -> Table:
    return Table(
        ("a", "b", "c"),
        np.array([[1, 1, WALL], [2, CLOSED, 1], [0, 2, 2]]),
        np.array([[0, 0], [1, 0], [0, 2]], np.float32),
        np.arange(18, dtype=np.float32).reshape(3, 3, 2),
        np.array([0, 1, 2], np.float32),
        ("x", "y", "z"),
    )


def test_edges_and_the_matrix_of_a_table() -> None:
    table = toy()
    assert len(table) == 3
    assert table.edges.tolist() == [[0, 0, 1], [0, 1, 1], [1, 0, 2], [1, 2, 1], [2, 0, 0], [2, 1, 2], [2, 2, 2]]
    # two actions between the same nodes count once, standing still not at all
    assert table.matrix.toarray().tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_the_graph_of_a_table() -> None:
    graph = toy().graph([7, 8, 9])
    assert dict(graph.nodes(data=True)) == {
        0: {"x": 0.0, "y": 0.0, "heading": 0.0, "name": "x", "object": 7},
        1: {"x": 1.0, "y": 0.0, "heading": 1.0, "name": "y", "object": 8},
        2: {"x": 0.0, "y": 2.0, "heading": 2.0, "name": "z", "object": 9},
    }
    assert graph.number_of_edges() == 7
    assert graph.edges[1, 2, "a"] == {"action": "a", "motion_0": 6.0, "motion_1": 7.0}
    assert not graph.has_edge(1, 0)
    assert "object" not in toy().graph().nodes[0]


@EVERY_WALKED
def test_every_step_is_as_the_table_says(make: Callable[..., World]) -> None:
    world = make(4)
    _, info = world.reset(seed=0)
    rng = np.random.default_rng(0)
    ended = np.zeros(4, np.bool_)
    for _ in range(80):
        tables, before = [world.table(row) for row in range(4)], info
        actions = rng.integers(len(world.metadata["actions"]), size=4)
        _, _, terminated, truncated, info = world.step(actions)
        for row in np.flatnonzero(~ended):  # MiniGrid's stand still after their end
            check_step(tables[row], before, int(actions[row]), info, row)
        ended = terminated | truncated
        if ended.any():
            _, info = world.reset(options={"reset_mask": ended})
            ended[:] = False


def check_step(table: Table, before: dict, action: int, info: dict, row: int) -> None:
    node, to = int(before["node"][row]), int(info["node"][row])
    target = int(table.target[node, action])
    assert to == (node if target < 0 else target)
    assert info["bump"][row] == (target < 0)
    assert np.allclose(info["motion"][row], table.motion[node, action], atol=1e-6)
    assert np.array_equal(info["place"][row], table.place[to])
    assert np.isclose(info["heading"][row], table.heading[to])


@pytest.mark.parametrize("make", STILL.values(), ids=STILL)
def test_every_move_of_a_world_is_as_the_table_says(make: Callable[..., World]) -> None:
    """All actions at all nodes that can be reached: saved, tried, and gone back to."""
    world = make(1)
    _, info = world.reset(seed=1)
    table, start = world.table(), int(info["node"][0])
    found, waiting = {start}, [(start, world.save())]
    while waiting:
        node, state = waiting.pop()
        for action in range(len(table.actions)):
            _, before = world.restore(state)
            assert before["node"][0] == node
            *_, info = world.step(np.array([action]))
            check_step(table, before, action, info, 0)
            if (to := int(info["node"][0])) not in found:
                found.add(to)
                waiting.append((to, world.save()))
    reachable = nx.descendants(nx.DiGraph(table.edges[:, [0, 2]].tolist()), start) | {start}
    assert found == reachable
    if type(world).__name__ != "MiniGrid":  # whose walls are nodes, too
        assert len(found) == len(table)


@pytest.mark.parametrize("make", WORLDS.values(), ids=WORLDS)
def test_the_graph_of_a_world_is_its_table(make: Callable[..., World]) -> None:
    world = make(2)
    observation, info = world.reset(seed=3)
    for row in range(2):
        table, graph = world.table(row), world.graph(row)
        assert list(graph) == list(range(len(table)))
        edges = {(a, b, data["action"]): (data["motion_0"], data["motion_1"]) for a, b, data in graph.edges(data=True)}
        assert len(edges) == graph.number_of_edges() == len(table.edges)
        for node, action, target in table.edges.tolist():
            assert edges[node, target, table.actions[action]] == tuple(table.motion[node, action])
        node = int(info["node"][row])
        place = (graph.nodes[node]["x"], graph.nodes[node]["y"])
        if type(world).__name__ == "Arena":  # somewhere in the patch
            assert np.abs(place - info["place"][row]).max() <= world.metadata["cell"] / 2 + 1e-6
        else:
            assert np.array_equal(place, info["place"][row])
            assert graph.nodes[node]["heading"] == info["heading"][row]
        if world.single_observation_space.shape == ():
            assert graph.nodes[node]["object"] == observation[row]


AGAIN = [
    maker("Torus-v0", width=3),
    maker("Torus-v0", width=3, body="egocentric"),
    maker("Hex-v0", edge=2, body="egocentric", landmarks=2),
    maker("Hex-v0", edge=2),
    maker("Rooms-v0", size=2),
    maker("FamilyTree-v0"),
]


@pytest.mark.parametrize("make", AGAIN)
def test_the_graph_of_a_world_makes_the_same_world_again(make: Callable[..., World]) -> None:
    world = make(1)
    world.reset(seed=0)
    again = envs.make("Graph-v0", 1, graph=world.graph(), objects=60)
    again.reset(seed=0)
    a, b = world.table(), again.table()
    assert again.metadata["actions"] == world.metadata["actions"]
    assert again.metadata["motion"] == world.metadata["motion"]
    assert np.array_equal(np.maximum(a.target, WALL), b.target)
    assert np.array_equal(a.motion, b.motion)
    assert np.array_equal(a.place, b.place)
    assert np.array_equal(a.heading, b.heading)
    assert list(world.graph().nodes(data="object")) == list(again.graph().nodes(data="object"))


def test_what_is_tested_is_not_empty() -> None:
    assert len(STILL) > 15
    assert set(MINIGRID) - {"moving"} <= set(WALKED)
