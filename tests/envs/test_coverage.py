"""Coverage counted one tick after another, and bottlenecks found by taking each edge out, as networkx would."""

import dataclasses
from collections.abc import Callable, Mapping

import networkx as nx
import numpy as np
import pytest
from every_world import WORLDS
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import grid, of_graph, random_graph, turning, two_rooms

import envs
from envs import policies
from envs.coverage import Coverage, bottlenecks, coverage
from envs.oracle import places
from envs.spatial.rooms import Rooms
from envs.table import WALL, Table
from envs.world import World


def stroll(tables: list[Table], ticks: int, seed: int, restart: float = 0.0) -> dict[str, np.ndarray]:
    """A uniform walk through tables; now and then a row begins anew at its node 0."""
    rng = np.random.default_rng(seed)
    node, start = np.zeros((ticks, len(tables)), np.int64), np.zeros((ticks, len(tables)), np.bool_)
    action = np.full((ticks, len(tables)), -1)
    start[0] = True
    for t in range(1, ticks):
        for row, table in enumerate(tables):
            if rng.random() < restart:
                start[t, row] = True
                continue
            action[t, row] = rng.integers(len(table.actions))
            to = table.target[node[t - 1, row], action[t, row]]
            node[t, row] = to if to >= 0 else node[t - 1, row]
    return {"node": node, "action": action, "start": start}


def by_hand(table: Table, longer: int) -> set[tuple[int, int]]:
    """Each edge between places taken out, and the way round asked of networkx."""
    place = places(table).tolist()
    graph = nx.DiGraph()
    for u, row in enumerate(table.target.tolist()):
        graph.add_edges_from((place[u], place[v]) for v in row if v >= 0 and place[u] != place[v])
    found = set()
    for u, v in graph.edges:
        without = graph.copy()
        without.remove_edges_from([e for e in ((u, v), (v, u)) if without.has_edge(*e)])
        if not nx.has_path(without, u, v) or nx.shortest_path_length(without, u, v) >= longer:
            found.add((u, v))
    return found


def as_set(edges: np.ndarray) -> set[tuple[int, int]]:
    return {(u, v) for u, v in edges.tolist()}


@settings(max_examples=60, deadline=None)
@given(st.builds(random_graph, st.integers(2, 14), st.integers(1, 40), st.integers(0, 1000)), st.integers(2, 9))
def test_bottlenecks_are_what_is_far_round_without_them(graph: nx.DiGraph, longer: int) -> None:
    table = of_graph(graph)
    assert as_set(bottlenecks(table, longer)) == by_hand(table, longer)


@pytest.mark.parametrize("longer", [3, 4, 8, 9, 10, 11])
def test_doors_are_bottlenecks_and_fields_have_none(longer: int) -> None:
    assert len(bottlenecks(grid(5, 5), longer)) == (0 if longer > 3 else 80)  # every way round takes 3
    assert as_set(bottlenecks(two_rooms(4, door=2), longer)) >= {(19, 20), (20, 19)}
    wide = grid(8, 5, walls=((11, 12), (19, 20), (27, 28)))  # open below and above: a way round the wall of 9 steps
    assert as_set(bottlenecks(wide, longer)) == by_hand(wide, longer)
    assert ((3, 4) in as_set(bottlenecks(wide, longer))) == (longer <= 9)


def test_the_places_of_a_body_that_turns_have_the_bottlenecks() -> None:
    table = two_rooms(3, door=1)
    assert as_set(bottlenecks(table)) == {(8, 9), (9, 8)}
    assert as_set(bottlenecks(turning(table))) == {(32, 36), (36, 32)} == by_hand(turning(table), 8)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.booleans(), st.sampled_from([0.0, 0.1]))
def test_coverage_counts_one_tick_after_another(seed: int, turns: bool, restart: float) -> None:
    plain = [two_rooms(3), grid(4, 2), grid(6, 1), grid(4, 2, walls=((1, 2), (5, 6)))]
    tables = [turning(table) for table in plain] if turns else plain
    walk = stroll(tables, 120, seed, restart)
    found = coverage(tables, walk)
    for row, table in enumerate(tables):
        graph = nx.DiGraph((int(u), int(v)) for u, _, v in table.edges)
        within = nx.descendants(graph, 0) | {0}
        doors = {(u, v) for u, v in by_hand(table, 8) if u in within}
        place = places(table)
        assert found.nodes.total[row] == len(within)
        assert found.edges.total[row] == sum(int(u) in within for u, _, _ in table.edges)
        assert found.bottlenecks.total[row] == len(doors)
        nodes, edges, passed = set(), set(), set()
        for t in range(120):
            node, action = int(walk["node"][t, row]), int(walk["action"][t, row])
            nodes.add(node)
            before = int(walk["node"][t - 1, row])
            if not walk["start"][t, row] and table.target[before, action] >= 0:
                edges.add((before, action))
                passed |= {(int(place[before]), int(place[node]))} & doors
            assert found.nodes.counts[t, row] == len(nodes)
            assert found.edges.counts[t, row] == len(edges)
            assert found.bottlenecks.counts[t, row] == len(passed)
        assert found.edges.share[row] == len(edges) / found.edges.total[row]
        assert found.nodes.curve[0, row] == 1 / len(within)
    assert np.isnan(found.bottlenecks.share[1])  # an open field has none
    assert found.bottlenecks.total[2] == 10  # all of a corridor


def test_a_slip_uses_no_edge_but_passes_the_door() -> None:
    table = two_rooms(3)
    walk = {
        "node": np.array([[2], [3], [2]]),
        "action": np.array([[-1], [1], [2]]),  # north, and slipped east
        "start": np.array([[True], [False], [False]]),
    }
    found = coverage([table], walk)
    assert found.edges.counts[:, 0].tolist() == [0, 0, 1]
    assert found.bottlenecks.counts[:, 0].tolist() == [0, 1, 2]


def check_bounds(found: Coverage) -> None:
    for kind in (found.nodes, found.edges, found.bottlenecks):
        assert np.array_equal(np.isnan(kind.share), kind.total == 0)
        assert (kind.counts <= kind.total).all()
        assert (kind.counts >= 0).all()
        assert (np.diff(kind.counts, axis=0) >= 0).all()


def check_totals(found: Coverage, table: Table, walk: dict[str, np.ndarray], row: int) -> None:
    """By networkx, tick by tick: the nodes walked and what they lead to; the edges that led where the table says."""
    graph = nx.DiGraph((int(u), int(v)) for u, _, v in table.edges)
    graph.add_nodes_from(range(len(table)))
    nodes, edges = walk["node"][:, row].tolist(), set()
    for t in range(1, len(nodes)):
        told = table.target[nodes[t - 1], walk["action"][t, row]]
        if not walk["start"][t, row] and told == nodes[t]:
            edges.add((nodes[t - 1], int(walk["action"][t, row])))
    within = set.union(*(nx.descendants(graph, u) | {u} for u in set(nodes)))
    assert found.nodes.total[row] == len(within)
    assert found.nodes.counts[-1, row] == len(set(nodes))
    assert found.edges.total[row] == sum(int(u) in within for u, _, _ in table.edges)
    assert found.edges.counts[-1, row] == len(edges)


ALIKE = {name: make for name, make in WORLDS.items() if name != "square with all"}  # that grows with its episodes


@pytest.mark.parametrize("policy", ["uniform", "least_visited"])
@pytest.mark.parametrize("make", ALIKE.values(), ids=ALIKE)
def test_no_share_of_any_world_is_more_than_one(make: Callable[[int], World], policy: str) -> None:
    world = make(2)
    walk = policies.walk(world, policy, 250, world_seeds=[3, 4], policy_seed=0)
    found = coverage(world, walk)
    check_bounds(found)
    for row in range(2):
        if world.table(row).matrix.nnz:
            check_totals(found, world.table(row), walk, row)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 30), st.booleans())
def test_worlds_that_changed_while_they_were_walked(seed: int, gone: int, turns: bool) -> None:
    plain = two_rooms(3)
    before = turning(plain) if turns else plain
    walk = stroll([before], 200, seed)
    target = before.target.copy()
    node, action = np.random.default_rng(seed).integers((len(before), target.shape[1]), size=(gone, 2)).T
    target[node, action] = WALL
    after = dataclasses.replace(before, target=target)
    found = coverage([after], walk)
    check_bounds(found)
    check_totals(found, after, walk, 0)


class Closing:
    """At random, until in one tick all doors are closed, wherever the walkers are."""

    def __init__(self, world: Rooms, tick: int) -> None:
        self._world, self._tick = world, tick

    def reset(self, batch: int, rng: np.random.Generator) -> None:
        self._batch, self._rng, self._now = batch, rng, 0

    def act(self, info: Mapping[str, np.ndarray]) -> np.ndarray:
        self._now += 1
        if self._now == self._tick:
            for row in range(self._batch):
                for door in range(len(self._world.doors(row))):
                    self._world.close_door(row, door)
        return self._rng.integers(len(self._world.metadata["actions"]), size=self._batch)


@pytest.mark.parametrize("walls", ["edges", "cells"])
@pytest.mark.parametrize("body", ["allocentric", "egocentric"])
def test_doors_closed_while_the_world_was_walked(walls: str, body: str) -> None:
    world = envs.make("Rooms-v0", 6, columns=2, rows=1, size=3, walls=walls, body=body)
    assert isinstance(world, Rooms)
    walk = policies.walk(world, Closing(world, 150), 400, world_seeds=range(6), policy_seed=1)
    found = coverage(world, walk)
    check_bounds(found)
    for row in range(6):
        check_totals(found, world.table(row), walk, row)
    poses = 4 if body == "egocentric" else 1
    rooms = np.array([len({*world.rooms(row)[walk["node"][:, row] // poses].tolist()} - {-1}) for row in range(6)])
    if walls == "edges":
        assert found.nodes.total.tolist() == (9 * poses * rooms).tolist()  # the room behind the door, where it was seen
    assert 2 in rooms


def test_of_a_path_or_a_smooth_walk_the_patches_count() -> None:
    world = envs.make("Arena-v0", 2, trajectory="smooth", width=0.5, height=0.5, cell=0.1)
    walk = policies.walk(world, "uniform", 400, world_seeds=[0, 1], policy_seed=0)
    found = coverage(world, walk)
    assert found.nodes.total.tolist() == [25, 25]
    for row in range(2):
        assert found.nodes.share[row] == len(set(walk["node"][:, row].tolist())) / 25 > 0.5
    assert np.isnan(found.edges.share).all()
    assert np.isnan(found.bottlenecks.share).all()


def test_a_key_taken_opens_what_the_table_of_the_start_kept_shut() -> None:
    world = envs.make("MiniGrid-DoorKey-6x6-v0", 4, actions="all")
    world.reset(seed=range(4))
    began = [world.table(row) for row in range(4)]
    walk = policies.walk(world, "least_visited", 1500, world_seeds=range(4), policy_seed=0)
    ended = [world.table(row) for row in range(4)]
    assert any(not np.array_equal(a.target, b.target) for a, b in zip(began, ended, strict=True))
    for tables in (began, ended):
        found = coverage(tables, walk)
        check_bounds(found)
        for row in range(4):
            check_totals(found, tables[row], walk, row)


def test_what_a_uniform_walk_covers_of_two_rooms() -> None:
    # the figures that the docstring of `coverage` gives
    tables = [two_rooms(6, door=2)] * 32
    found = coverage(tables, stroll(tables, 300, 0))
    shares = [kind.share.mean() for kind in (found.nodes, found.edges, found.bottlenecks)]
    assert np.allclose(shares, [0.67, 0.48, 0.66], atol=0.005)


def test_the_least_visited_walk_covers_a_world_sooner_than_chance() -> None:
    world = envs.make("Square-v0", 8, width=(6, 9))
    found = {}
    for name in ("uniform", "least_visited"):
        walk = policies.walk(world, name, 600, world_seeds=range(8), policy_seed=0)
        found[name] = coverage(world, walk)
        assert (np.diff(found[name].nodes.counts, axis=0) >= 0).all()
        for row in range(8):
            assert found[name].nodes.counts[-1, row] == len(set(walk["node"][:, row].tolist()))
            assert found[name].nodes.total[row] == len(world.table(row))
    assert (found["least_visited"].edges.share > found["uniform"].edges.share).all()
    assert (found["least_visited"].nodes.share > 0.98).all()


def test_a_walk_of_another_world() -> None:
    walk = stroll([grid(4, 4)], 200, 0)
    with pytest.raises(
        ValueError, match=r"row 0 of the walk has nodes up to 15 .* its world has 9 nodes and 4 actions"
    ):
        coverage([grid(3, 3)], walk)
    with pytest.raises(ValueError, match=r"a walk of shapes \(200, 1\), .* in 2 worlds: each is \[ticks, rows\]"):
        coverage([grid(4, 4)] * 2, walk)
    with pytest.raises(ValueError, match="longer is 1: a way round has at least 2 steps"):
        bottlenecks(grid(3, 3), 1)
