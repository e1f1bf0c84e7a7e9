"""Mazes against networkx's spanning trees: which there are, how often each is drawn, and where moves lead in them."""

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import envs
from envs.spatial.maze import Maze
from envs.spatial.passages import depth_first, kruskal, neighbours, uniform
from envs.spatial.view import KINDS

STEPS = {"east": (1, 0), "north": (0, 1), "west": (-1, 0), "south": (0, -1)}
MAKERS = {"depth_first": depth_first, "kruskal": kruskal, "uniform": uniform}
EVERY_GENERATOR = pytest.mark.parametrize("generator", MAKERS)


def joined(world: Maze, row: int = 0) -> "nx.Graph[tuple[int, int]]":
    """The places of a maze by their coordinates, joined where a move leads; checks that each move is what it says."""
    table, graph = world.table(row), nx.Graph()
    places = [(int(x), int(y)) for x, y in table.place]
    assert places == sorted(set(places), key=lambda place: place[::-1])  # in order of rows from the south
    graph.add_nodes_from(places)
    for node, action in np.ndindex(table.target.shape):
        (x, y), (dx, dy) = places[node], STEPS[table.actions[action]]
        if (to := table.target[node, action]) >= 0:
            assert places[to] == (x + dx, y + dy)
            assert table.target[to, (action + 2) % 4] == node  # and the way back
            graph.add_edge(places[node], places[to])
    return graph


def put(world: Maze, nodes: np.ndarray) -> None:
    """Put the agent of each row on a node."""
    if world.metadata["motion"] == "turn, advance":
        nodes, world._heading = np.divmod(nodes, 4)
    world._at = world._first + nodes


def trees_of(width: int, height: int) -> set[frozenset[tuple[int, int]]]:
    """All spanning trees of a grid by brute force, as sets of edges (cell, cell), cell = y * width + x."""
    grid = nx.convert_node_labels_to_integers(nx.grid_2d_graph(height, width))
    graphs = (nx.Graph(chosen) for chosen in combinations(sorted(grid.edges), len(grid) - 1))
    return {frozenset(map(edge, tree.edges)) for tree in graphs if len(tree) == len(grid) and nx.is_connected(tree)}


def edge(ends: tuple[int, int]) -> tuple[int, int]:
    return min(ends), max(ends)


def drawn(generator: str, width: int, height: int, n: int, seed: int) -> list[frozenset[tuple[int, int]]]:
    """n trees from a generator, each row's from one stream of numbers."""
    rng = np.random.default_rng(seed)
    inside = np.ones((n, height, width), np.bool_)
    passages = MAKERS[generator](lambda rows, k: rng.random((len(rows), k)), np.arange(n), inside)
    trees = []
    for passage in passages.reshape(n, -1, 2):
        cells, directions = np.nonzero(passage)
        ends = zip(cells.tolist(), (cells + np.where(directions == 0, 1, width)).tolist(), strict=True)
        trees.append(frozenset(ends))
    return trees


@pytest.mark.parametrize(("width", "height", "number"), [(2, 2, 4), (3, 2, 15)])
def test_the_uniform_generator_draws_every_tree_equally_often(width: int, height: int, number: int) -> None:
    known = trees_of(width, height)
    assert len(known) == number
    trees = drawn("uniform", width, height, 400 * number, seed=1)
    assert set(trees) == known
    assert stats.chisquare([trees.count(tree) for tree in known]).pvalue > 1e-3


@pytest.mark.parametrize(("width", "height"), [(2, 2), (3, 2), (2, 3), (3, 3)])
def test_the_other_generators_draw_all_trees_that_they_can(width: int, height: int) -> None:
    known = trees_of(width, height)
    assert set(drawn("kruskal", width, height, 12_000, seed=2)) == known
    # a depth-first tree has a root from which every wall parts a cell from one of its descendants
    grid = nx.convert_node_labels_to_integers(nx.grid_2d_graph(height, width))
    possible = set()
    for tree in known:
        ways = dict(nx.all_pairs_shortest_path(nx.Graph(tree)))
        walls = [(u, v) for u, v in grid.edges if edge((u, v)) not in tree]
        if any(all(u in ways[root][v] or v in ways[root][u] for u, v in walls) for root in grid):
            possible.add(tree)
    assert set(drawn("depth_first", width, height, 12_000, seed=3)) == possible


def test_generators_differ_as_their_names_say() -> None:
    """A corridor of the backtracker is long, so it has the fewest dead ends; Kruskal's trees have the most."""
    ends = {}
    for generator in MAKERS:
        world = Maze(100, width=10, generator=generator)
        world.reset(seed=0)
        ends[generator] = np.mean([sum(d == 1 for _, d in joined(world, row).degree()) for row in range(100)])
    # Manna, Dhar and Majumdar 1992: 8/pi^2 (1 - 2/pi) = 0.2945 of an endless uniform tree's cells; more at borders
    assert ends["depth_first"] < 15 < 27 < ends["uniform"] < ends["kruskal"] < 40


@EVERY_GENERATOR
@pytest.mark.parametrize("walls", ["edges", "cells"])
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_one_way_leads_from_every_place_to_every_other(generator: str, walls: str, data: st.DataObject) -> None:
    sizes = st.integers(2, 9) | st.tuples(st.integers(2, 5), st.integers(5, 9))
    world = Maze(3, width=data.draw(sizes), height=data.draw(sizes | st.none()), walls=walls, generator=generator)
    world.reset(seed=data.draw(st.integers(0, 10_000)))
    for row, (width, height) in enumerate(zip(world.width.tolist(), world.height.tolist(), strict=True)):
        graph = joined(world, row)
        assert nx.is_tree(graph)
        cells = {(x, y) for x in range(width) for y in range(height)}
        if walls == "edges":
            assert set(graph) == cells
            continue
        assert {(x // 2, y // 2) for x, y in graph if x % 2 == y % 2 == 0} == cells
        passages = [(x, y) for x, y in graph if x % 2 or y % 2]
        assert len(passages) == width * height - 1
        assert all((x % 2) + (y % 2) == 1 and graph.degree((x, y)) == 2 for x, y in passages)


@EVERY_GENERATOR
@pytest.mark.parametrize("loops", [0.0, 0.1, 0.25, 0.5, 1.0])
def test_loops_open_a_share_of_the_walls_that_are_left(generator: str, loops: float) -> None:
    for walls in ("edges", "cells"):
        world = Maze(8, width=(3, 6), height=(2, 7), generator=generator, loops=loops, walls=walls)
        world.reset(seed=5)
        for row, (w, h) in enumerate(zip(world.width.tolist(), world.height.tolist(), strict=True)):
            left = (w - 1) * h + w * (h - 1) - (w * h - 1)
            graph = joined(world, row)
            assert graph.number_of_edges() - (len(graph) - 1) == round(loops * left)
            assert nx.is_connected(graph)


def test_loops_are_drawn_evenly() -> None:
    """Of four walls half are opened: each of the six pairs equally often."""
    rng = np.random.default_rng(0)
    walls = np.zeros((6000, 3, 2, 2), np.bool_)
    walls[:, 0, 0] = walls[:, 1, 1, 1] = walls[:, 2, 0, 0] = True
    world = Maze(1, width=2, height=3, loops=0.5)
    world._uniform = lambda rows, n: rng.random((len(rows), n))  # type: ignore[method-assign]
    passages = np.zeros_like(walls)
    world._open(np.arange(6000), passages, walls)
    assert (passages <= walls).all()
    assert (passages.sum(axis=(1, 2, 3)) == 2).all()
    pairs = passages[walls].reshape(6000, 4) @ [1, 2, 4, 8]
    assert sorted(set(pairs.tolist())) == [3, 5, 6, 9, 10, 12]
    assert stats.chisquare(np.unique(pairs, return_counts=True)[1]).pvalue > 1e-3


def test_a_field_without_walls_is_networkxs_grid() -> None:
    world = Maze(1, width=4, height=3, loops=1.0)
    world.reset(seed=0)
    assert nx.utils.graphs_equal(joined(world), nx.grid_2d_graph(4, 3))
    assert neighbours(np.ones((1, 3, 4), np.bool_)).sum() == nx.grid_2d_graph(4, 3).number_of_edges()


@EVERY_GENERATOR
@pytest.mark.parametrize("body", ["allocentric", "egocentric"])
@pytest.mark.parametrize("walls", ["edges", "cells"])
def test_every_transition_of_a_small_maze_is_its_graphs(generator: str, body: str, walls: str) -> None:
    world = envs.make("Maze-v0", 4, width=(2, 3), walls=walls, generator=generator, body=body, loops=0.3)
    world.reset(seed=3)
    graphs = [world.graph(row) for row in range(4)]
    for node in range(max(map(len, graphs))):
        nodes = np.array([node % len(graph) for graph in graphs])
        for action, name in enumerate(world.metadata["actions"]):
            put(world, nodes)
            *_, info = world.step(np.full(4, action))
            for row, graph in enumerate(graphs):
                ways = {way: to for _, to, way in graph.out_edges(int(nodes[row]), keys=True)}
                assert info["node"][row] == ways.get(name, nodes[row])
                assert info["bump"][row] == (name not in ways)
                there = graph.nodes[info["node"][row]]
                assert (*info["place"][row], info["heading"][row]) == (there["x"], there["y"], there["heading"])


@EVERY_GENERATOR
def test_a_batch_of_mazes_equals_its_single_mazes(generator: str) -> None:
    given = {"width": (2, 7), "height": (3, 6), "generator": generator, "loops": 0.2, "walls": "cells"}
    together = Maze(6, **given)
    together.reset(seed=20)
    together.reset(options={"reset_mask": np.array([True, False, True, True, False, False])})
    for row in range(6):
        alone = Maze(1, **given)
        alone.reset(seed=20 + row)
        if row in (0, 2, 3):
            alone.reset()
        assert nx.utils.graphs_equal(together.graph(row), alone.graph(0))


@EVERY_GENERATOR
def test_equal_seeds_equal_mazes_and_each_episode_another(generator: str) -> None:
    a, b = Maze(2, generator=generator), Maze(2, generator=generator)
    a.reset(seed=7)
    b.reset(seed=7)
    first = a.table(0).target.copy()
    assert np.array_equal(first, b.table(0).target)
    assert not np.array_equal(first, a.table(1).target)
    a.reset()
    b.reset()
    assert np.array_equal(a.table(0).target, b.table(0).target)
    assert not np.array_equal(first, a.table(0).target)


def test_a_restored_maze_is_the_one_that_was_saved() -> None:
    world = Maze(3, width=(3, 6), generator="uniform", goal=True)
    world.reset(seed=0)
    state, before = world.save(), [world.graph(row) for row in range(3)]
    world.reset()
    assert not any(nx.utils.graphs_equal(world.graph(row), before[row]) for row in range(3))
    world.restore(state)
    assert all(nx.utils.graphs_equal(world.graph(row), before[row]) for row in range(3))


def test_a_view_shows_the_walls_of_the_maze() -> None:
    world = Maze(40, width=4, view=3)
    view, info = world.reset(seed=0)
    for row in range(40):
        target = world.table(row).target[info["node"][row]]
        beside = view[row, [1, 0, 1, 2], [2, 1, 0, 1], 0]  # east, north, west, south
        assert np.array_equal(beside == KINDS.index("place"), target >= 0)
        assert np.array_equal(beside == KINDS.index("wall"), target < 0)


def test_mazes_are_drawn_with_their_walls() -> None:
    world = Maze(1, width=3, height=2, walls="cells", render_mode="rgb_array")
    world.reset(seed=0)
    frame = world.render()[0]
    place = {(int(x), int(y)) for x, y in world.table().place}
    height, width = frame.shape[:2]
    for x in range(5):
        for y in range(3):  # near the middle of each position, off the agent
            colour = frame[int(height * (1 - (y + 0.5) / 3)) + 24, int(width * (x + 0.5) / 5) + 24]
            assert (np.ptp(colour) == 0) == ((x, y) not in place)  # walls are grey


def test_landmarks_have_room_in_the_smallest_maze() -> None:
    for walls, most in (("edges", 4), ("cells", 7)):
        world = Maze(20, width=2, walls=walls, landmarks=most)
        world.reset(seed=0)
        assert all(len(world.landmarks(row)) == most for row in range(20))
        with pytest.raises(ValueError, match=f"landmarks is {most + 1}: .*give 0 to {most}"):
            Maze(1, width=(2, 5), walls=walls, landmarks=most + 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 1}, "width is 1: a world is at least 2"),
        ({"height": (5, 3)}, r"did you mean \(3, 5\)"),
        ({"loops": 1.5}, "loops is 1.5: give the share of walls to open, 0 to 1"),
        ({"loops": -0.1}, "loops is -0.1"),
        ({"loops": float("nan")}, "loops is nan"),
        ({"walls": "thick"}, "walls is 'thick': give \"edges\""),
        ({"generator": "prim"}, "generator is 'prim': give one of depth_first, kruskal, uniform"),
        ({"objects": 0}, "objects is 0"),
    ],
)
def test_bad_settings_are_named_with_the_mend(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Maze(1, **wrong)
    if "generator" in wrong:
        with pytest.raises(ValueError, match="cogarch/Maze-v0: generator is 'prim': give \"depth_first\" or"):
            envs.make("Maze-v0", 1, **wrong)
