"""Tours visit everything, in as few steps as brute force where that can tell, and never undercut their bound."""

import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import grid, of_graph, random_graph, turning, two_rooms

from envs.oracle import distances, places
from envs.table import Table
from envs.tour import Tour, _bound, tour


def is_a_tour(found: Tour, table: Table, start: int, groups: np.ndarray | None = None) -> None:
    groups = np.arange(len(table)) if groups is None else groups
    assert found.nodes[0] == start
    assert np.array_equal(table.target[found.nodes[:-1], found.actions], found.nodes[1:])
    within = np.flatnonzero(np.isfinite(distances(table, start)[0]))
    assert set(groups[found.nodes]) == set(groups[within])
    assert len(set(groups[within])) - 1 <= found.bound <= found.steps == len(found.nodes) - 1


def brute_force(table: Table, start: int) -> float:
    """Steps of the best tour, every order of the nodes within reach tried."""
    steps = distances(table)
    others = [v for v in range(len(table)) if np.isfinite(steps[start, v]) and v != start]
    orders = itertools.permutations(others)
    return min(sum(steps[u, v] for u, v in itertools.pairwise((start, *order))) for order in orders)


@settings(max_examples=40, deadline=None)
@given(st.builds(random_graph, st.integers(2, 7), st.integers(1, 25), st.integers(0, 1000)))
def test_small_worlds_are_toured_as_brute_force_would(graph: nx.DiGraph) -> None:
    table = of_graph(graph)
    best = brute_force(table, 0)
    if np.isinf(best):
        with pytest.raises(ValueError, match=r"no walk .*visits everything"):
            tour(table, 0)
    else:
        found = tour(table, 0)
        is_a_tour(found, table, 0)
        assert found.steps == found.bound == best


@pytest.mark.parametrize(("width", "height", "start", "steps"), [(8, 8, 0, 63), (6, 9, 22, 53), (5, 5, 0, 24)])
def test_fields_are_toured_without_a_step_too_many(width: int, height: int, start: int, steps: int) -> None:
    found = tour(grid(width, height), start)
    is_a_tour(found, grid(width, height), start)
    assert found.steps == found.bound == steps


def test_a_field_of_odd_size_takes_a_step_more_from_a_place_of_the_rarer_colour() -> None:
    # neighbours differ in colour, so a walk without a step too many alternates: 13 of one, 12 of the other
    found = tour(grid(5, 5), 1)
    is_a_tour(found, grid(5, 5), 1)
    assert found.steps == 25


@pytest.mark.parametrize("seed", range(6))
def test_trees_are_toured_at_the_optimum_that_is_known(seed: int) -> None:
    tree = nx.random_labeled_tree(30, seed=seed)
    table = of_graph(nx.DiGraph(tree))
    best = 2 * 29 - distances(table, 0).max()  # every edge twice, but those on the way to the farthest leaf
    found = tour(table, 0)
    is_a_tour(found, table, 0)
    assert found.steps == best
    assert best - 3 <= found.bound <= best


@pytest.mark.parametrize("seed", range(4))
def test_the_bound_holds_and_the_search_is_near_it_where_the_optimum_is_known(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = nx.random_regular_graph(3, 10, seed=seed)
    table = of_graph(nx.DiGraph(nx.convert_node_labels_to_integers(graph)))
    exact = tour(table, 0)
    monkeypatch.setattr("envs.tour.EXACT", 0)
    found = tour(table, 0)
    is_a_tour(found, table, 0)
    assert found.bound <= exact.steps <= found.steps <= exact.steps + 2


def eared(n: int, seed: int) -> nx.DiGraph:
    """A random strongly connected graph: ears, ways of one direction from a node by new ones to a node, are added."""
    rng = np.random.default_rng(seed)
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_node(0)
    while len(graph) < n:
        new = range(len(graph), min(n, len(graph) + int(rng.integers(1, 4))))
        ends = rng.integers(len(graph), size=2).tolist()
        nx.add_path(graph, [ends[0], *new, ends[1]])
    return graph


def fewest_steps(table: Table, start: int, groups: list[int]) -> int:
    """Breadth first over (node, groups visited): the first to have visited all."""
    everything = frozenset(groups)
    states = {(start, frozenset([groups[start]]))}
    known = set(states)
    for steps in itertools.count():
        if any(visited == everything for _, visited in states):
            return steps
        ways = ((v, visited) for u, visited in states for v in table.target[u].tolist() if v >= 0)
        states = {(v, visited | {groups[v]}) for v, visited in ways} - known
        known |= states
    raise AssertionError


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 9), st.integers(0, 10_000), st.booleans(), st.booleans())
def test_the_bound_is_below_the_optimum_whatever_it_is_told(n: int, seed: int, both_ways: bool, paired: bool) -> None:
    graph = eared(n, seed)
    if both_ways:
        graph = nx.DiGraph(graph.to_undirected())
    table = of_graph(graph)
    groups = np.arange(n) // 2 if paired else np.arange(n)
    optimum = fewest_steps(table, 0, groups.tolist())
    apart = dict(nx.all_pairs_shortest_path_length(graph))
    size = groups.max() + 1
    between = np.zeros((size, size))
    for a, b in itertools.combinations(range(size), 2):  # the nearer way of the two
        pairs = itertools.product(np.flatnonzero(groups == a).tolist(), np.flatnonzero(groups == b).tolist())
        between[a, b] = between[b, a] = min(min(apart[u][v], apart[v][u]) for u, v in pairs)
    tree = nx.minimum_spanning_tree(nx.from_numpy_array(between)).size(weight="weight")
    for told in (optimum, optimum + 10):
        assert min(tree, optimum) <= _bound(between, 0, told) <= optimum
    exact = tour(table, 0, groups)
    is_a_tour(exact, table, 0, groups)
    assert exact.bound == exact.steps == optimum
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("envs.tour.EXACT", 0)
        found = tour(table, 0, groups)
    is_a_tour(found, table, 0, groups)
    assert found.bound <= optimum <= found.steps


def test_a_turning_body_visits_places() -> None:
    table = turning(grid(3, 3))
    found = tour(table, 0)
    is_a_tour(found, table, 0, places(table))
    assert found.steps == found.bound == 12  # 8 steps, and no way round turns less than 4 times
    large = turning(grid(6, 6))
    found = tour(large, 0)
    is_a_tour(found, large, 0, places(large))
    assert found.steps <= 35 + 2 * 5  # boustrophedon: two turns at the end of each row


def test_groups_of_ones_own() -> None:
    columns = np.arange(12) % 4
    found = tour(grid(4, 3), 1, groups=columns)  # of a column any place: west, then three times east
    is_a_tour(found, grid(4, 3), 1, columns)
    assert found.steps == 4
    with pytest.raises(ValueError, match=r"groups of shape \(3,\) for 12 nodes"):
        tour(grid(4, 3), 0, groups=[0, 1, 2])


def test_one_way_moves_are_toured_in_the_order_that_they_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    there = nx.compose(nx.DiGraph(nx.cycle_graph(8)), nx.relabel_nodes(nx.DiGraph(nx.cycle_graph(8)), lambda v: v + 8))
    there.add_edge(3, 11)
    monkeypatch.setattr("envs.tour.EXACT", 0)
    found = tour(of_graph(there), 0)
    is_a_tour(found, of_graph(there), 0)
    assert set(found.nodes[: list(found.nodes).index(11)]) == set(range(8))
    there.add_edges_from([(0, 16), (1, 17)])  # two dead ends
    with pytest.raises(ValueError, match="no walk from node 0 visits everything: neither 8 leads to 16 nor 16 to 8"):
        tour(of_graph(there), 0)


def test_only_what_can_be_reached_is_visited() -> None:
    shut = grid(4, 2, walls=((1, 2), (5, 6)))
    assert set(tour(shut, 0).nodes) == {0, 1, 4, 5}
    assert tour(grid(1, 1), 0).steps == 0


def test_the_same_call_gives_the_same_tour() -> None:
    first, again = tour(two_rooms(5), 0), tour(two_rooms(5), 0)
    assert np.array_equal(first.nodes, again.nodes)
