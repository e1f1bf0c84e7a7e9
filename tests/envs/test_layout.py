"""Places to draw graphs by: against metrics that are known, and scaling written out."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

import envs
from envs.relational.layout import LARGE, layout, scaled


def moves(graph: nx.Graph) -> np.ndarray:
    """Where action k leads from each node [N, A]: to the k-th neighbour."""
    graph = nx.convert_node_labels_to_integers(graph)
    target = np.full((len(graph), max(degree for _, degree in graph.degree)), -1)
    for node in graph:
        target[node, : graph.degree[node]] = sorted(graph[node])
    return target


def edges(graph: nx.Graph) -> np.ndarray:
    return np.array([way for a, b in graph.edges for way in ((a, b), (b, a))])


def test_a_long_path_is_a_straight_line() -> None:
    place = layout(moves(nx.path_graph(300)))
    rank = np.arange(300)[:, None]
    assert np.allclose(cdist(place, place), cdist(rank, rank), atol=1e-3)


def test_a_large_ring_is_a_circle() -> None:
    place = layout(moves(nx.cycle_graph(512)))  # every second node is a landmark
    radius = 0.5 / np.sin(np.pi / 512)  # of the regular polygon with sides of 1
    angle = 2 * np.pi / 512 * np.arange(512)
    circle = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert np.allclose(cdist(place, place), cdist(circle, circle), rtol=1e-3)


@pytest.mark.parametrize(("width", "height"), [(20, 20), (60, 20), (20, 200)])
def test_on_a_large_grid_what_is_near_in_steps_lies_near(width: int, height: int) -> None:
    assert width * height > LARGE
    place = layout(moves(nx.grid_2d_graph(width, height)))
    position = np.stack(np.indices((width, height)), axis=-1).reshape(-1, 2)
    few = np.arange(0, len(place), 7)
    steps = cdist(position[few], position, "cityblock")
    apart = cdist(place[few], place)
    assert apart[steps == 1].mean() == pytest.approx(1, abs=0.05)
    assert apart[steps == 1].max() < apart[steps >= 10].min()
    assert np.corrcoef(apart.ravel(), cdist(position[few], position).ravel())[0, 1] > 0.95


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_scaling_is_that_of_torgerson_where_every_node_is_a_landmark(seed: int) -> None:
    graph = nx.random_labeled_tree(20, seed=seed)
    graph.add_edges_from(np.random.default_rng(seed).permutation(20).reshape(-1, 2).tolist())
    squares = nx.floyd_warshall_numpy(graph, nodelist=range(20)) ** 2
    centre = np.eye(20) - 1 / 20
    values, vectors = np.linalg.eigh(-0.5 * centre @ squares @ centre)
    if values[-2] - values[-3] < 1e-3:  # the plane is not unique
        return
    by_hand = vectors[:, -2:] * np.sqrt(values[-2:])
    place = scaled(20, edges(graph))
    assert np.allclose(cdist(place, place), cdist(by_hand, by_hand), atol=1e-6)


@pytest.mark.parametrize("graph", [nx.complete_graph(300), nx.star_graph(300), nx.grid_2d_graph(17, 17, periodic=True)])
def test_equal_eigenvalues_give_places_apart_and_the_same_on_every_machine(
    graph: nx.Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = layout(moves(graph))
    assert len(np.unique(place.round(3), axis=0)) > 250
    eigh = np.linalg.eigh

    def of_another_machine(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        noise = np.random.default_rng(0).normal(size=matrix.shape)  # as its rounding is another
        values, vectors = eigh(matrix + 1e-12 * (noise + noise.T))
        return values, -vectors

    monkeypatch.setattr(np.linalg, "eigh", of_another_machine)
    assert np.allclose(layout(moves(graph)), place, atol=1e-4)


@pytest.mark.parametrize("nodes", [2, 3, 50, LARGE, LARGE + 1])
def test_an_edge_is_1_cell_long_on_average(nodes: int) -> None:
    graph = nx.barabasi_albert_graph(nodes, 2, seed=1) if nodes > 2 else nx.path_graph(2)
    place = layout(moves(graph))
    a, b = edges(graph).T
    assert np.linalg.norm(place[a] - place[b], axis=1).mean() == pytest.approx(1, abs=1e-5)
    assert place.dtype == np.float32


def test_loops_and_one_way_moves() -> None:
    """A ring walked one way only, with a stay at each node, lies as the ring that is walked both ways."""
    node = np.arange(300)
    one_way = np.stack([node, (node + 1) % 300], axis=1)
    assert np.allclose(layout(one_way), layout(moves(nx.cycle_graph(300))), atol=1e-4)


@pytest.mark.parametrize("graph", [nx.path_graph(400), nx.grid_2d_graph(50, 50), nx.balanced_tree(3, 6)])
def test_large_graphs_are_drawn(graph: nx.Graph) -> None:
    world = envs.make("Graph-v0", 1, graph=graph, label=None, render_mode="rgb_array")
    world.reset(seed=0)
    frame = world.render()[0]
    assert max(frame.shape) == 320 and min(frame.shape[:2]) >= 16
    assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 40  # of the objects' colours


def test_graphs_with_all_nodes_in_one_place_are_drawn() -> None:
    graph = nx.path_graph(3)
    nx.set_node_attributes(graph, dict.fromkeys(graph, (1.0, 1.0)), "pos")
    world = envs.make("Graph-v0", 1, graph=graph, label=None, render_mode="rgb_array")
    world.reset(seed=0)
    assert max(world.render()[0].shape) == 320


def test_places_close_to_one_another_are_still_seen_from_afar() -> None:
    graph = nx.path_graph(6)
    nx.set_node_attributes(graph, {i: (100 * (i // 2) + 1e-3 * (i % 2), 0) for i in graph}, "pos")
    world = envs.make("Graph-v0", 1, graph=graph, label=None, render_mode="rgb_array")
    world.reset(seed=0)
    coloured = np.ptp(world.render()[0].astype(int), axis=2) > 40  # nothing but an object has a colour
    assert coloured[:, :40].any() and coloured[:, -40:].any()
