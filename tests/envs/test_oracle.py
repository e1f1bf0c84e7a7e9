"""Oracles agree with networkx, step for step, and know what was walked and no more."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import grid, of_graph, random_graph, turning, two_rooms

import envs
from envs import oracle
from envs.oracle import Walked
from envs.policies import walk
from envs.spatial.rooms import Rooms
from envs.table import Table

GRAPHS = st.builds(random_graph, st.integers(2, 12), st.integers(0, 30), st.integers(0, 1000))


def reference(table: Table) -> np.ndarray:
    """Steps between all nodes by networkx, on a graph built from the table by hand."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(table)))
    graph.add_edges_from((u, v) for u, row in enumerate(table.target.tolist()) for v in row if v >= 0)
    steps = np.full((len(table), len(table)), np.inf)
    for source, lengths in nx.all_pairs_shortest_path_length(graph):
        steps[source, list(lengths)] = list(lengths.values())
    return steps


@settings(max_examples=40, deadline=None)
@given(GRAPHS)
def test_distances_are_networkxs(graph: nx.DiGraph) -> None:
    table, n = of_graph(graph), len(graph)
    steps = reference(table)
    assert np.array_equal(oracle.distances(table), steps)
    assert np.array_equal(oracle.distances(table, [n - 1, 0]), steps[[n - 1, 0]])
    assert np.array_equal(oracle.distances_to(table), steps.T)
    assert np.array_equal(oracle.distances_to(table, 1), steps.T[[1]])


@settings(max_examples=40, deadline=None)
@given(GRAPHS, st.data())
def test_what_can_be_reached_is_networkxs(graph: nx.DiGraph, data: st.DataObject) -> None:
    sources = data.draw(st.lists(st.integers(0, len(graph) - 1), min_size=1, max_size=3))
    wanted = set.union(*(nx.descendants(graph, u) | {u} for u in sources))
    assert np.flatnonzero(oracle.reachable(of_graph(graph), sources)).tolist() == sorted(wanted)


@settings(max_examples=40, deadline=None)
@given(GRAPHS, st.data())
def test_the_next_action_is_the_lowest_that_comes_nearer(graph: nx.DiGraph, data: st.DataObject) -> None:
    table = of_graph(graph)
    goals = data.draw(st.lists(st.integers(0, len(table) - 1), min_size=1, max_size=3))
    steps = reference(table)[:, goals].min(axis=1)
    action = oracle.next_action(table, goals)
    for node in range(len(table)):
        nearer = [a for a, v in enumerate(table.target[node].tolist()) if v >= 0 and steps[v] == steps[node] - 1]
        wanted = nearer[0] if 0 < steps[node] < np.inf else -1
        assert action[node] == wanted
        if np.isinf(steps[node]):
            with pytest.raises(ValueError, match=f"no way leads from node {node} to "):
                oracle.shortest_path(table, node, goals)
        else:
            nodes, actions = oracle.shortest_path(table, node, goals)
            assert len(actions) == steps[node]
            assert nodes[0] == node
            assert nodes[-1] in goals
            assert np.array_equal(table.target[nodes[:-1], actions], nodes[1:])


def test_shortest_ways_in_a_field_take_the_lowest_action() -> None:
    nodes, actions = oracle.shortest_path(grid(3, 3), 0, 8)
    assert actions.tolist() == [0, 0, 1, 1]  # east before north
    assert nodes.tolist() == [0, 1, 2, 5, 8]
    assert oracle.shortest_path(grid(3, 3), 4, 4)[1].size == 0


@settings(max_examples=20, deadline=None)
@given(st.lists(GRAPHS, min_size=1, max_size=4), st.data())
def test_a_batch_is_its_rows(graphs: list[nx.DiGraph], data: st.DataObject) -> None:
    width = max(len(table.actions) for table in map(of_graph, graphs))
    tables = []
    for graph in graphs:  # rows of a world have the same actions
        table = of_graph(graph)
        target = np.pad(table.target, ((0, 0), (0, width - len(table.actions))), constant_values=-1)
        names = tuple(map(str, range(width)))
        tables.append(Table(names, target, table.place, np.zeros((*target.shape, 2), np.float32), table.heading))
    start, goal = (np.array([data.draw(st.integers(0, len(t) - 1)) for t in tables]) for _ in range(2))
    steps = [reference(table) for table in tables]
    assert oracle.distance(tables, start, goal).tolist() == [
        s[u, v] for s, u, v in zip(steps, start, goal, strict=True)
    ]
    to_goal, action = oracle.distances_to_goal(tables, goal), oracle.next_actions(tables, goal)
    for row, (table, s) in enumerate(zip(tables, steps, strict=True)):
        assert np.array_equal(to_goal[row, : len(table)], s[:, goal[row]])
        assert np.isinf(to_goal[row, len(table) :]).all()
        assert np.array_equal(action[row, : len(table)], oracle.next_action(table, goal[row]))


def test_the_rows_of_a_world_each_have_their_own_distances() -> None:
    world = envs.make("Square-v0", 6, width=(3, 8))
    world.reset(seed=0)
    start = np.zeros(6, np.int64)
    sizes = np.array([world.table(row).place[:, 0].max() + 1 for row in range(6)])
    assert len(set(sizes.tolist())) > 1
    corner = (sizes**2 - 1).astype(np.int64)
    assert oracle.distance(world, start, corner).tolist() == (2 * (sizes - 1)).tolist()


def test_the_poses_of_a_body_are_one_place() -> None:
    table = turning(grid(3, 2))
    assert oracle.places(table).tolist() == np.repeat(np.arange(0, 24, 4), 4).tolist()
    assert oracle.places(grid(3, 2)).tolist() == list(range(6))
    lap = of_graph(nx.DiGraph([(0, 1), (1, 2), (2, 0)]))  # all drawn at one point, and yet three places
    assert oracle.places(lap).tolist() == [0, 1, 2]
    # to the place behind: turn, turn, forward; any heading there will do
    assert oracle.distance([table], [4], [[0, 1, 2, 3]]).tolist() == [3.0]


def test_nodes_that_are_not_there() -> None:
    table = grid(3, 3)
    with pytest.raises(ValueError, match=r"9 is not of this world: its nodes are the whole numbers 0 to 8"):
        oracle.distances(table, 9)
    with pytest.raises(ValueError, match=r"\[-1\] is not of this world"):
        oracle.next_action(table, [-1])
    with pytest.raises(ValueError, match=r"0\.5 is not of this world"):
        oracle.distances_to(table, 0.5)
    with pytest.raises(ValueError, match="2 goals for 1 worlds: give one a row"):
        oracle.distance([table], [0], [1, 2])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_walked_knows_the_walked_edges_and_no_more(seed: int, backwards: bool) -> None:
    batch, ticks = 3, 25
    world = envs.make("Square-v0", batch, width=9)
    walked = walk(world, "uniform", ticks, world_seeds=range(seed, seed + batch), policy_seed=seed)
    planner = Walked(batch, undo=(2, 3, 0, 1) if backwards else None)
    graphs = [nx.DiGraph() for _ in range(batch)]
    for t in range(1, ticks):
        planner.see(walked["node"][t - 1], walked["action"][t], walked["node"][t])
        for graph, u, v in zip(graphs, walked["node"][t - 1].tolist(), walked["node"][t].tolist(), strict=True):
            graph.add_edge(u, v)
            if backwards:
                graph.add_edge(v, u)
    rng = np.random.default_rng(seed)
    for _ in range(10):
        start, goal = (np.array([rng.choice(list(graph)) for graph in graphs]) for _ in range(2))
        steps, action = planner.distance(start, goal), planner.next_action(start, goal)
        for row, graph in enumerate(graphs):
            u, v = int(start[row]), int(goal[row])
            if not nx.has_path(graph, u, v):
                assert np.isinf(steps[row])
                assert action[row] == -1
                continue
            assert steps[row] == nx.shortest_path_length(graph, u, v)
            if u == v:
                assert action[row] == -1
            else:
                on = int(world.table(row).target[u, action[row]])
                assert graph.has_edge(u, on)
                assert nx.shortest_path_length(graph, on, v) == steps[row] - 1


def test_walked_grows_with_what_it_sees_and_learns_nothing_from_starts() -> None:
    planner = Walked(2)
    planner.see(np.array([0, 3]), np.array([5, -1]), np.array([900, 4]))  # row 1 began anew
    planner.see(np.array([900, 4]), np.array([2, 0]), np.array([7, 4]))  # row 1 bumped
    assert planner.distance(np.array([0, 3]), np.array([7, 4])).tolist() == [2.0, np.inf]
    assert planner.next_action(np.array([0, 3]), np.array([7, 4])).tolist() == [5, -1]
    assert planner.distance(np.array([5000, 4]), np.array([7, 4])).tolist() == [np.inf, 0.0]  # never been there


def test_an_edge_that_was_walked_is_known_better_than_its_way_back() -> None:
    planner = Walked(1, undo=(1, 0, -1))
    for u, action, v in ((1, 0, 2), (0, 1, 1), (1, 2, 3)):
        planner.see(np.array([u]), np.array([action]), np.array([v]))
    ask = planner.next_action
    assert ask(np.array([1]), np.array([2])).tolist() == [0]  # not back to 0, though 0 undoes 1
    assert ask(np.array([2]), np.array([1])).tolist() == [1]
    assert np.isinf(planner.distance(np.array([3]), np.array([1]))).all()  # nothing undoes 2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_of_each_edge_the_last_thing_seen_counts(seed: int, backwards: bool) -> None:
    rng = np.random.default_rng(seed)
    batch, table, undo = 3, grid(3, 3), (2, 3, 0, 1)
    planner = Walked(batch, undo=undo if backwards else None)
    shut = [set[tuple[int, int]]() for _ in range(batch)]  # moves that are refused for now, each way by itself
    seen: list[dict[tuple[int, int], int]] = [{} for _ in range(batch)]
    guessed: list[dict[tuple[int, int], int]] = [{} for _ in range(batch)]
    node = np.zeros(batch, np.int64)
    for _ in range(80):
        action, after = rng.integers(4, size=batch), node.copy()
        for row, (u, a) in enumerate(zip(node.tolist(), action.tolist(), strict=True)):
            shut[row] ^= {(int(rng.integers(9)), int(rng.integers(4)))}
            before = (seen[row] | guessed[row]).get((u, a))
            seen[row].pop((u, a), None)
            guessed[row].pop((u, a), None)
            v = int(table.target[u, a])
            if v < 0 or (u, a) in shut[row]:
                if before is not None:
                    guessed[row].pop((before, undo[a]), None)
                continue
            after[row] = seen[row][u, a] = v
            if (v, undo[a]) not in seen[row]:
                guessed[row][v, undo[a]] = u
        planner.see(node, action, after)
        node = after
        for row in range(batch):
            graph = nx.DiGraph()
            graph.add_nodes_from(range(9))
            known = seen[row] | (guessed[row] if backwards else {})
            graph.add_edges_from((u, v) for (u, _), v in known.items())
            goal = int(rng.integers(9))
            steps = nx.single_source_shortest_path_length(graph, int(node[row])).get(goal, np.inf)
            assert planner.distance(node, np.full(batch, goal))[row] == steps


def test_an_edge_that_leads_elsewhere_now_is_learnt_anew() -> None:
    planner = Walked(1, undo=(1, 0))
    for u, action, v in ((0, 0, 1), (0, 0, 2)):  # from 0 to 1 no more
        planner.see(np.array([u]), np.array([action]), np.array([v]))
    start, goal = np.array([0, 1, 2]), np.array([2, 0, 0])
    steps = [planner.distance(start[[i]], goal[[i]])[0] for i in range(3)]
    assert steps == [1.0, np.inf, 1.0]
    planner.see(np.array([3]), np.array([0]), np.array([2]))  # 2 was entered from elsewhere: so leads its way back
    assert planner.distance(np.array([2]), np.array([3])).tolist() == [1.0]
    assert planner.distance(np.array([2]), np.array([0])).tolist() == [np.inf]


def test_a_door_that_is_found_closed_is_planned_round() -> None:
    world = envs.make("Rooms-v0", 2, columns=2, rows=2, size=3)
    assert isinstance(world, Rooms)
    planner = Walked(2, undo=(2, 3, 0, 1))
    walked = walk(world, "least_visited", 800, world_seeds=[0, 1], policy_seed=0)
    for t in range(1, 800):
        planner.see(walked["node"][t - 1], walked["action"][t], walked["node"][t])
    west, east = world.doors(0)[0]
    here, there, on = np.array([west, west]), np.array([east, east]), np.array([0, 0])
    assert planner.distance(here, there).tolist() == [1.0, 1.0]
    world.close_door(0, 0)  # for row 0 alone
    planner.see(here, on, np.array([west, east]))
    assert planner.distance(here, there).tolist() == [oracle.distances(world.table(0))[west, east], 1.0]
    assert planner.next_action(here, there)[0] != 0
    assert planner.distance(there, here).tolist() == [1.0, 1.0]  # walked itself, and not yet found closed
    planner.see(there, on + 2, np.array([east, west]))
    assert planner.distance(there, here).tolist() == [oracle.distances(world.table(0))[east, west], 1.0]


def test_a_door_is_the_only_way() -> None:
    table = two_rooms(5, door=4)
    assert oracle.distances(table, 4)[0, 5] == 9  # to the other side of the wall: up, through, down
