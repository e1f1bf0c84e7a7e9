"""Rooms against fields built by hand in networkx: where doors are, which can be closed, and what closing one does."""

from collections import Counter
from itertools import combinations, pairwise

import networkx as nx
import numpy as np
import pytest
from fields import actual, places, sides
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import envs
from envs.coverage import bottlenecks
from envs.spatial.rooms import Rooms
from envs.spatial.view import KINDS
from envs.table import CLOSED

EVERY_WALL = pytest.mark.parametrize("walls", ["edges", "cells"])


def expected(columns: int, rows: int, size: int, doors: list[tuple[tuple[int, int], tuple[int, int]]]) -> nx.DiGraph:
    """Open rooms, `doors` the two places at each; a door two steps long has a place in its middle."""
    apart = size + (1 if doors and sum(abs(a - b) for a, b in zip(*doors[0], strict=True)) == 2 else 0)
    graph: nx.Graph = nx.Graph()
    for column in range(columns):
        for line in range(rows):
            room = nx.grid_2d_graph(size, size)
            graph.update(nx.relabel_nodes(room, {(x, y): (x + column * apart, y + line * apart) for x, y in room}))
    for (x, y), (to_x, to_y) in doors:
        nx.add_path(graph, dict.fromkeys([(x, y), ((x + to_x) // 2, (y + to_y) // 2), (to_x, to_y)]))
    return graph.to_directed()


def shut(world: Rooms, row: int = 0) -> list[int]:
    return [door for door in range(len(world.doors(row))) if world.is_closed(row, door)]


@EVERY_WALL
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_rooms_are_open_fields_joined_by_their_doors(walls: str, data: st.DataObject) -> None:
    columns, rows = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)).filter(lambda shape: shape != (1, 1)))
    size = data.draw(st.integers(2, 6) | st.tuples(st.integers(2, 3), st.integers(3, 6)))
    doors, door = data.draw(st.sampled_from(["all", "tree"])), data.draw(st.sampled_from(["middle", "random"]))
    world = Rooms(3, columns=columns, rows=rows, size=size, walls=walls, doors=doors, door=door)
    world.reset(seed=data.draw(st.integers(0, 10_000)))
    neighbouring = nx.convert_node_labels_to_integers(nx.grid_2d_graph(rows, columns))
    for row in range(3):
        side, at, rooms = int(world.size[row]), places(world, row), world.rooms(row)
        graph = actual(world, row)
        assert nx.utils.graphs_equal(graph, expected(columns, rows, side, sides(world, row)))
        assert nx.is_strongly_connected(graph)
        # each room has its places, a door none
        assert np.array_equal(np.bincount(rooms[rooms >= 0], minlength=columns * rows), [side**2] * (columns * rows))
        assert (rooms == -1).sum() == (len(world.doors(row)) if walls == "cells" else 0)
        apart = side + (walls == "cells")
        assert all(room in (-1, y // apart * columns + x // apart) for (x, y), room in zip(at, rooms, strict=True))
        # the doors, in order, are edges between neighbouring rooms
        pairs = [(int(rooms[a]), int(rooms[b])) for a, b in world.doors(row)]
        assert pairs == sorted(pairs) and all(neighbouring.has_edge(a, b) and a < b for a, b in pairs)
        if doors == "all":
            assert len(pairs) == neighbouring.number_of_edges()
        else:
            assert len(pairs) == columns * rows - 1 and nx.is_connected(nx.Graph(pairs))
        if door == "middle":
            for (x, y), (to_x, _) in sides(world, row):
                assert (y if to_x > x else x) % apart == side // 2
        assert not shut(world, row)


def test_two_rooms_with_one_door() -> None:
    world = Rooms(1, columns=2, rows=1, size=3)
    world.reset(seed=0)
    assert world.doors().tolist() == [[8, 9]]  # (2, 1) and (3, 1), 6 places a row
    assert world.rooms().tolist() == [0, 0, 0, 1, 1, 1] * 3
    thick = Rooms(1, columns=2, rows=1, size=3, walls="cells")
    thick.reset(seed=0)
    assert thick.doors().tolist() == [[8, 10]]  # 6 places, 7 with the door, 6
    assert thick.rooms().tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0, -1, 1, 1, 1, 0, 0, 0, 1, 1, 1]


@EVERY_WALL
def test_doors_at_random_places_are_drawn_evenly_and_each_for_itself(walls: str) -> None:
    world = Rooms(800, size=4, door="random", walls=walls)
    world.reset(seed=1)
    apart = 4 + (walls == "cells")
    offsets = np.array(
        [[(y if to_x > x else x) % apart for (x, y), (to_x, _) in sides(world, row)] for row in range(800)]
    )
    assert offsets.shape == (800, 4)
    for offset in offsets.T:
        assert stats.chisquare(np.bincount(offset, minlength=4)).pvalue > 1e-3
    assert np.abs(np.corrcoef(offsets.T) - np.eye(4)).max() < 0.12


def test_trees_of_rooms_are_drawn_evenly() -> None:
    world = Rooms(1500, columns=3, rows=2, size=2, doors="tree")
    world.reset(seed=2)
    drawn = [tuple(map(tuple, world.rooms(row)[world.doors(row)].tolist())) for row in range(1500)]
    grid = nx.convert_node_labels_to_integers(nx.grid_2d_graph(2, 3))
    known = [chosen for chosen in combinations(sorted(grid.edges), 5) if nx.is_tree(nx.Graph(chosen))]
    assert set(drawn) == {chosen for chosen in known if len(nx.Graph(chosen)) == 6}
    assert stats.chisquare(list(Counter(drawn).values())).pvalue > 1e-3


@EVERY_WALL
@pytest.mark.parametrize(("columns", "rows", "closed"), [(2, 2, 1), (3, 2, 1), (3, 2, 2), (3, 3, 4)])
def test_closed_doors_leave_every_room_within_reach(walls: str, columns: int, rows: int, closed: int) -> None:
    world = Rooms(200, columns=columns, rows=rows, size=2, walls=walls, closed=closed)
    world.reset(seed=3)
    grid = nx.convert_node_labels_to_integers(nx.grid_2d_graph(rows, columns))
    edges, ways = sorted(grid.edges), set()
    for row in range(200):
        doors = shut(world, row)
        assert len(doors) == closed
        ways.add(tuple(doors))
        graph, rooms = actual(world, row), world.rooms(row)
        inside = [place for place, room in zip(places(world, row), rooms, strict=True) if room >= 0]
        within = nx.descendants(graph, inside[0]) | {inside[0]}
        assert set(inside) <= within
    possible = {
        doors
        for doors in combinations(range(len(edges)), closed)
        if nx.is_connected(nx.restricted_view(grid, [], [edges[door] for door in doors]))
    }
    assert ways <= possible
    if closed < 4:
        assert ways == possible


@EVERY_WALL
def test_closing_and_opening_a_door(walls: str) -> None:
    world = Rooms(3, columns=3, rows=1, size=3, walls=walls)
    world.reset(seed=0)
    whole, others = actual(world, 1), [world.table(row).target for row in (0, 2)]
    (a, b), (c, d) = sides(world, 1)
    world.close_door(1, 0)
    assert [world.is_closed(1, 0), world.is_closed(1, 1)] == [True, False]
    assert all(np.array_equal(world.table(row).target, kept) for row, kept in zip((0, 2), others, strict=True))
    lost = set(whole.edges) - set(actual(world, 1).edges)
    between = ((a[0] + b[0]) // 2, a[1])
    assert lost == ({(a, b), (b, a)} if walls == "edges" else {(a, between), (b, between)})  # one can leave the door
    assert (world.table(1).target == CLOSED).sum() == 2
    assert not nx.has_path(actual(world, 1), a, b) and nx.has_path(actual(world, 1), c, d)
    world.close_door(1, 0)  # closing what is closed changes nothing
    world.open_door(1, 0)
    assert nx.utils.graphs_equal(actual(world, 1), whole) and not world.is_closed(1, 0)
    world.open_door(1, 0)
    assert nx.utils.graphs_equal(actual(world, 1), whole)


def test_one_who_stands_in_a_door_can_leave_it_but_not_come_back() -> None:
    world = Rooms(1, columns=2, rows=1, size=2, walls="cells")
    world.reset(seed=0)
    west, east = world.doors()[0]
    world._at[0] = west
    door = world.step(np.array([0]))[-1]["node"][0]
    assert world.rooms()[door] == -1
    world.close_door(0, 0)
    *_, info = world.step(np.array([0]))
    assert info["node"][0] == east and not info["bump"][0]
    *_, info = world.step(np.array([2]))
    assert info["node"][0] == east and info["bump"][0] and not info["motion"].any()


@EVERY_WALL
@pytest.mark.parametrize("body", ["allocentric", "egocentric"])
def test_every_transition_is_the_graphs(walls: str, body: str) -> None:
    world = envs.make("Rooms-v0", 3, size=(2, 3), walls=walls, body=body, door="random", closed=1)
    world.reset(seed=1)
    graphs = [world.graph(row) for row in range(3)]
    for node in range(max(map(len, graphs))):
        nodes = np.array([node % len(graph) for graph in graphs])
        for action, name in enumerate(world.metadata["actions"]):
            world._at, world._heading = world._first + nodes, np.zeros(3, np.int64)
            if body == "egocentric":
                world._at, world._heading = world._first + nodes // 4, nodes % 4
            *_, info = world.step(np.full(3, action))
            for row, graph in enumerate(graphs):
                ways = {way: to for _, to, way in graph.out_edges(int(nodes[row]), keys=True)}
                assert info["node"][row] == ways.get(name, nodes[row])
                assert info["bump"][row] == (name not in ways)
                there = graph.nodes[info["node"][row]]
                assert (*info["place"][row], info["heading"][row]) == (there["x"], there["y"], there["heading"])


@EVERY_WALL
def test_doors_and_rooms_are_told_in_places_whatever_the_body(walls: str) -> None:
    worlds = [Rooms(2, size=3, walls=walls, door="random", body=body) for body in ("allocentric", "egocentric")]
    for world in worlds:
        world.reset(seed=4)
    walker, turner = worlds
    for row in range(2):
        assert np.array_equal(walker.doors(row), turner.doors(row))
        assert np.array_equal(walker.rooms(row), turner.rooms(row))
        assert len(turner.table(row)) == 4 * len(turner.rooms(row))
    turner.close_door(1, 2)
    west, east = turner.doors(1)[2]
    ahead = turner.table(1).target[[west * 4 + 1, east * 4 + 3], 2]  # door 2 leads north from room 1
    assert np.array_equal(turner.rooms(1)[[west, east]], [1, 3]) and (ahead == CLOSED).all()


@EVERY_WALL
def test_starts_goals_and_landmarks_lie_in_rooms(walls: str) -> None:
    given = {"size": 2, "walls": walls, "closed": 1, "goal": True, "landmarks": 10, "door": "random"}
    world = Rooms(400, **given)
    _, info = world.reset(seed=6)
    held = np.zeros((3, 4), np.int64)
    for row in range(400):
        rooms, start, goal = world.rooms(row), info["node"][row], world.goal(row)[0]
        assert start != goal and min(rooms[start], rooms[goal], *rooms[world.landmarks(row)]) >= 0
        assert len(world.landmarks(row)) == 10
        for kind, nodes in enumerate(([start], [goal], world.landmarks(row))):
            np.add.at(held[kind], rooms[nodes], 1)
    assert all(stats.chisquare(counts).pvalue > 1e-3 for counts in held)
    with pytest.raises(ValueError, match=r"landmarks is 9: .*give 0 to 8"):
        Rooms(1, columns=2, rows=1, size=2, walls=walls, landmarks=9)


@EVERY_WALL
def test_smaller_rooms_after_larger_ones_keep_nothing_of_them(walls: str) -> None:
    world = Rooms(60, size=(2, 6), walls=walls, landmarks=4, goal=True)
    world.reset(seed=1)
    for _ in range(3):
        _, info = world.reset()
        for row in range(60):
            n = 4 * world.size[row] ** 2 + (4 if walls == "cells" else 0)
            assert len(world.rooms(row)) == len(world.table(row)) == n
            assert max(info["node"][row], *world.goal(row)) < n and len(world.landmarks(row)) == 4


@EVERY_WALL
def test_a_closed_door_is_no_border(walls: str) -> None:
    """What a place beside a door is sensed as does not depend on the door, which may be opened under way."""
    shut_one, free = Rooms(20, borders=True, closed=1, walls=walls), Rooms(20, borders=True, walls=walls)
    for world in (shut_one, free):
        world.reset(seed=2)
    for row in range(20):
        for world in (shut_one, free):
            beside = world._objects_at(row)[world.doors(row)]
            assert (beside < 45).all() if walls == "cells" else (beside[0] < 45).all()
            corner = world._objects_at(row)[0]
            assert corner == 45 + 0b1100 - 1  # walls to the west and the south


@EVERY_WALL
def test_a_view_shows_a_closed_door_and_hides_what_is_behind(walls: str) -> None:
    world = Rooms(1, columns=2, rows=1, size=3, walls=walls, view=5)
    world.reset(seed=0)
    for closed in (False, True, False):
        (world.close_door if closed else world.open_door)(0, 0)
        world._at[0], world._heading[0] = world.doors()[0, 0] - 1, 0  # a place west of the door's own
        view = world.step(np.array([0]))[0][0]  # east, to the door
        kinds = [KINDS[kind] for kind in view[2, :, 0]]  # the row from west to east, the agent in its middle
        beyond = ["closed door", "unseen"] if closed else ["place", "place"]
        assert kinds == ["place", "place", "place", *beyond]


def test_a_turning_body_sees_the_closed_door_ahead() -> None:
    world = Rooms(1, columns=2, rows=1, size=3, body="egocentric", view=3)
    world.reset(seed=0)
    world.close_door(0, 0)
    world._at[0], world._heading[0] = world.doors()[0, 0], 1  # facing north
    seen = world.step(np.array([1]))[0][0]  # and now east
    assert KINDS[seen[1, 1, 0]] == "closed door" and KINDS[seen[0, 1, 0]] == "unseen"
    observation, *_, info = world.step(np.array([2]))
    assert info["bump"][0] and np.array_equal(observation[0], seen)


@EVERY_WALL
def test_a_batch_equals_its_single_worlds(walls: str) -> None:
    given = {"columns": 3, "rows": 2, "size": (2, 5), "walls": walls, "door": "random", "closed": 2, "landmarks": 2}
    together = Rooms(5, **given)
    together.reset(seed=20)
    together.reset(options={"reset_mask": np.array([True, False, True, True, False])})
    for row in range(5):
        alone = Rooms(1, **given)
        alone.reset(seed=20 + row)
        if row in (0, 2, 3):
            alone.reset()
        assert nx.utils.graphs_equal(together.graph(row), alone.graph(0))
        assert np.array_equal(together.doors(row), alone.doors(0)) and shut(together, row) == shut(alone)
        assert np.array_equal(together.rooms(row), alone.rooms(0))
    tree, single = Rooms(3, columns=4, rows=4, doors="tree", size=2), Rooms(1, columns=4, rows=4, doors="tree", size=2)
    tree.reset(seed=9)
    single.reset(seed=11)
    assert nx.utils.graphs_equal(tree.graph(2), single.graph(0))


@EVERY_WALL
def test_saving_and_restoring_brings_doors_back(walls: str) -> None:
    world = Rooms(2, walls=walls, size=(2, 4), door="random", closed=1)
    world.reset(seed=0)
    (gone,) = shut(world)
    opened = (gone + 1) % 4
    world.open_door(0, gone)
    world.close_door(0, opened)  # the door has moved
    state, graph, doors, rooms = world.save(), world.graph(), world.doors(), world.rooms()
    world.open_door(0, opened)
    world.reset()
    for other in (world, Rooms(2, walls=walls, size=(2, 4), door="random", closed=1)):
        other.restore(state)
        assert shut(other) == [opened]
        assert nx.utils.graphs_equal(other.graph(), graph)
        assert np.array_equal(other.doors(), doors) and np.array_equal(other.rooms(), rooms)
        other.open_door(0, opened)
        assert shut(other) == [] and nx.is_strongly_connected(nx.DiGraph(other.graph()))


def test_a_reset_brings_the_doors_back_to_how_an_episode_starts() -> None:
    world = Rooms(2)
    world.reset(seed=0)
    for row in range(2):
        world.close_door(row, 0)
    world.reset(options={"reset_mask": np.array([True, False])})
    assert not world.is_closed(0, 0) and world.is_closed(1, 0)


@EVERY_WALL
def test_a_closed_door_is_drawn(walls: str) -> None:
    world = Rooms(1, columns=2, rows=1, size=2, walls=walls, render_mode="rgb_array", objects=1)
    world.reset(seed=0)
    opened = world.render()[0]
    world.close_door(0, 0)
    (a, b), at = world.doors()[0], world.table().place
    changed = np.argwhere((world.render()[0] != opened).any(axis=2))
    scale = opened.shape[1] / (at[:, 0].max() + 1.12)
    x, y = changed[:, 1] / scale - 0.56, (opened.shape[0] - changed[:, 0]) / scale - 0.56
    assert len(changed) > 50
    assert abs(x.mean() - (at[a, 0] + at[b, 0]) / 2) < 0.05 and abs(y.mean() - at[a, 1]) < 0.1
    assert x.min() > at[a, 0] and x.max() < at[b, 0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"columns": 0}, "0 columns and 2 rows of rooms: give 1 or more of each"),
        ({"columns": 1, "rows": 1}, "1 columns and 1 rows of rooms: .* 2 rooms or more"),
        ({"rows": -3}, "2 columns and -3 rows"),
        ({"size": 1}, "size is 1: a world is at least 2"),
        ({"size": (6, 3)}, r"did you mean \(3, 6\)"),
        ({"walls": "thick"}, 'walls is \'thick\': give "edges" or "cells"'),
        ({"doors": "none"}, 'doors is \'none\': give "all" or "tree"'),
        ({"door": "left"}, 'door is \'left\': give "middle" or "random"'),
        ({"closed": -1}, "closed is -1: of the 4 doors of 4 rooms, 1 can be closed at most"),
        ({"closed": 2}, "closed is 2: of the 4 doors of 4 rooms, 1 can be closed at most"),
        ({"closed": 1, "doors": "tree"}, "closed is 1: of the 3 doors of 4 rooms, 0 can be closed at most"),
        ({"closed": 1, "rows": 1}, "closed is 1: of the 1 doors of 2 rooms, 0 can be closed at most"),
    ],
)
def test_bad_settings_are_named_with_the_mend(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Rooms(1, **wrong)


def test_doors_that_are_not_there() -> None:
    world = Rooms(2)
    for ask in (world.is_closed, world.close_door, world.open_door):
        with pytest.raises(RuntimeError, match=r"call reset\(\) before"):
            ask(0, 0)
    world.reset(seed=0)
    for ask in (world.is_closed, world.close_door, world.open_door):
        for door in (4, -1, 1.0, True, None):
            with pytest.raises(ValueError, match=rf"door is {door}: row 1 has doors 0\.\.3$"):
                ask(1, door)
        for row in (2, -1, 1.0, True, None):
            with pytest.raises(ValueError, match=rf"row is {row}: the worlds of this batch are rows 0\.\.1$"):
                ask(row, 0)


@EVERY_WALL
@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize(("columns", "rows", "doors"), [(2, 2, "all"), (4, 3, "all"), (4, 1, "all"), (3, 3, "tree")])
def test_doors_in_the_middle_are_bottlenecks_but_where_a_way_round_is_short(
    walls: str, size: int, columns: int, rows: int, doors: str
) -> None:
    world = Rooms(1, columns=columns, rows=rows, size=size, walls=walls, doors=doors)
    world.reset(seed=0)
    at, through = world.doors(), set()
    for a, b in at.tolist():
        way = [a, b]
        if walls == "cells":  # the place between
            way[1:1] = set(world.table().target[a].tolist()) & set(world.table().target[b].tolist()) - {-1}
        through |= {step for steps in (way, way[::-1]) for step in pairwise(steps)}
    found = {(int(a), int(b)) for a, b in bottlenecks(world.table())}
    graph = nx.DiGraph(world.table().edges[:, [0, 2]].tolist())
    around = set()
    for a, b in through:
        graph.remove_edge(a, b)
        around.add(nx.shortest_path_length(graph, a, b) if nx.has_path(graph, a, b) else np.inf)
        graph.add_edge(a, b)
    assert around == {np.inf if doors == "tree" or rows == 1 else 4 * size - 1 + 4 * (walls == "cells")}
    near = walls == "edges" and size == 2 and np.inf not in around
    assert found == (set() if near else through)
