"""TwoRooms against fields built by hand in networkx: every layout that there is, and what is held out of them."""

from itertools import pairwise, product

import networkx as nx
import numpy as np
import pytest
from fields import actual, places, sides
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import envs
from envs.spatial.two_rooms import TwoRooms

EVERY_WALL = pytest.mark.parametrize("walls", ["edges", "cells"])
SIZES = st.integers(5, 12)


def field(size: int, walls: str, wall: int, north: bool, door: int) -> nx.Graph:
    """The square with a wall past line `wall`, crossed at `door` only; `north`: one goes north through it."""
    graph = nx.grid_2d_graph(size, size)  # x, y
    for along in set(range(size)) - {door}:
        near, far = ((along, wall), (along, wall + 1)) if north else ((wall, along), (wall + 1, along))
        if walls == "cells":
            graph.remove_node(far)
        else:
            graph.remove_edge(near, far)
    if walls == "cells":  # a door has no neighbours beside it, which are wall
        assert graph.degree((door, wall + 1) if north else (wall + 1, door)) == 2
    return graph


def every_layout(size: int, walls: str) -> list[tuple[int, bool, int]]:
    """The wall's line, whether the door leads north, and where it is, in the order in which layouts are numbered."""
    return list(product(range(1, size - 2 if walls == "edges" else size - 3), [False, True], range(size)))


def drawn(size: int, walls: str, layouts: str = "all", batch: int = 2000) -> TwoRooms:
    world = TwoRooms(batch, size=size, walls=walls, layouts=layouts)
    world.reset(seed=0)
    return world


@pytest.mark.parametrize(("walls", "number"), [("cells", 90), ("edges", 108)])
def test_every_layout_is_drawn_evenly_and_is_the_field_of_its_number(walls: str, number: int) -> None:
    world, fields = drawn(9, walls), [field(9, walls, *layout) for layout in every_layout(9, walls)]
    assert len(fields) == number == len({frozenset(f.edges) for f in fields})
    assert set(world.layout) == set(range(number))
    assert stats.chisquare(np.bincount(world.layout)).pvalue > 1e-3
    for layout in range(number):
        row = int((world.layout == layout).argmax())
        assert nx.utils.graphs_equal(actual(world, row), fields[layout].to_directed())


@EVERY_WALL
@settings(max_examples=30, deadline=None)
@given(size=SIZES, seed=st.integers(0, 10_000))
def test_two_rooms_fill_a_square_and_the_door_is_the_only_way_between_them(walls: str, size: int, seed: int) -> None:
    world = TwoRooms(3, size=size, walls=walls)
    world.reset(seed=seed)
    for row in range(3):
        graph, at, rooms = nx.Graph(actual(world, row)), places(world, row), world.rooms(row)
        assert nx.utils.graphs_equal(graph, field(size, walls, *every_layout(size, walls)[world.layout[row]]))
        ((west, east),) = sides(world, row)  # or south and north
        through = nx.shortest_path(graph, west, east)
        assert west < east and len(through) == (2 if walls == "edges" else 3)
        assert set(through[1:-1]) == {place for place, room in zip(at, rooms, strict=True) if room == -1}
        # a bridge, and who cuts it leaves the rooms as they are told, the western or southern one first
        bridges = {frozenset(edge) for edge in nx.bridges(graph)}
        assert {frozenset(step) for step in pairwise(through)} <= bridges
        graph.remove_edge(*through[:2])
        graph.remove_nodes_from(through[1:-1])
        told = [{place for place, room in zip(at, rooms, strict=True) if room == r} for r in (0, 1)]
        assert [nx.node_connected_component(graph, end) for end in (west, east)] == told
        assert min(told[0]) == (0, 0) and max(told[1]) == (size - 1, size - 1)


@EVERY_WALL
@pytest.mark.parametrize("size", [5, 6, 9, 10])
def test_train_and_held_out_layouts_are_disjoint_and_together_all(walls: str, size: int) -> None:
    kept = {layouts: drawn(size, walls, layouts).layout for layouts in ("all", "train", "held_out")}
    assert set(kept["train"]).isdisjoint(kept["held_out"])
    assert set(kept["train"]) | set(kept["held_out"]) == set(kept["all"]) == set(range(len(every_layout(size, walls))))
    for layouts in ("train", "held_out"):
        times = np.unique(kept[layouts], return_counts=True)[1]
        assert len(times) == 1 or stats.chisquare(times).pvalue > 1e-3
    if size >= 9:  # about one in five, and of each wall and each place of the door some in either set
        assert 0.18 <= len(set(kept["held_out"])) / len(set(kept["all"])) <= 0.22
        for layouts in ("train", "held_out"):
            assert set(kept[layouts] % size) == set(range(size))
            assert set(kept[layouts] // size) == set(kept["all"] // size)


def test_which_layouts_are_held_out_of_nine_by_nine_stays_as_it_was() -> None:
    assert set(drawn(9, "cells", "held_out").layout) == set(range(2, 90, 5))


@EVERY_WALL
def test_closing_the_door_parts_the_rooms_and_opening_it_joins_them(walls: str) -> None:
    world = drawn(5, walls, batch=40)
    for row in range(40):
        whole, ((a, b),) = actual(world, row), sides(world, row)
        between = ((a[0] + b[0]) // 2, (a[1] + b[1]) // 2) if walls == "cells" else None
        world.close_door(row, 0)
        lost = set(whole.edges) - set(actual(world, row).edges)
        assert lost == ({(a, b), (b, a)} if between is None else {(a, between), (b, between)})
        assert world.is_closed(row, 0) and not nx.has_path(actual(world, row), a, b)
        world.open_door(row, 0)
        assert nx.utils.graphs_equal(actual(world, row), whole) and not world.is_closed(row, 0)


@EVERY_WALL
@pytest.mark.parametrize("size", [5, 7])
def test_starts_goals_and_landmarks_lie_in_rooms_each_place_as_often(walls: str, size: int) -> None:
    world = TwoRooms(3000, size=size, walls=walls, goal=True, landmarks=6)
    _, info = world.reset(seed=1)
    order = {"start": [], "goal": [], "landmark": []}  # among the places of the rooms
    for row in range(3000):
        free = np.flatnonzero(world.rooms(row) >= 0)
        assert len(free) == size * (size - (walls == "cells"))
        held = {"start": info["node"][[row]], "goal": world.goal(row), "landmark": world.landmarks(row)}
        for name, nodes in held.items():
            assert set(nodes) <= set(free)
            order[name].extend(np.searchsorted(free, nodes[:1] if name == "goal" else nodes))
        assert len(held["landmark"]) == 6 and held["start"] != held["goal"]
    assert all(stats.chisquare(np.bincount(where)).pvalue > 1e-3 for where in order.values())


def test_a_layout_is_saved_and_restored() -> None:
    world = TwoRooms(3, size=6, layouts="train")
    world.reset(seed=0)
    state, layout, graphs = world.save(), world.layout.copy(), [world.graph(row) for row in range(3)]
    world.reset()
    assert (world.layout != layout).any()
    world.restore(state)
    assert np.array_equal(world.layout, layout)
    assert all(nx.utils.graphs_equal(world.graph(row), graphs[row]) for row in range(3))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 4}, "size is 4: two rooms and their wall need 5 places or more"),
        ({"size": 3, "walls": "edges"}, "size is 3: two rooms and their wall need 4 places or more"),
        ({"size": 1001}, "size is 1,001 places: give 1,000 places at most"),
        ({"walls": "thick"}, 'walls is \'thick\': give "edges" or "cells"'),
        ({"layouts": "test"}, 'layouts is \'test\': give "all" or "train" or "held_out"'),
        ({"landmarks": 11}, "landmarks is 11: there are 10 kinds of them; give 0 to 10"),
    ],
)
def test_bad_settings_are_named_with_the_mend(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TwoRooms(1, **wrong)
    with pytest.raises(ValueError, match=message):
        envs.make("TwoRooms-v0", 1, **wrong)
