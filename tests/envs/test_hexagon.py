"""Hexagonal lattices against networkx's triangular lattice and plain geometry."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import cdist

import envs
from envs.spatial.hexagon import Hex

COMPASS = ("east", "northeast", "northwest", "west", "southwest", "southeast")
WAY = np.stack([np.cos(np.arange(6) * np.pi / 3), np.sin(np.arange(6) * np.pi / 3)], axis=1)


def check_neighbours(world: Hex, row: int) -> None:
    """An action leads to the place that is 1 cell away at its angle, wherever there is one."""
    table = world.table(row)
    assert table.actions == COMPASS
    away = table.place[:, None] + WAY  # [N, A, 2]
    distance = cdist(away.reshape(-1, 2), table.place)
    expected = np.where(distance.min(axis=1) < 1e-3, distance.argmin(axis=1), -1).reshape(-1, 6)
    assert np.array_equal(table.target, expected)
    assert np.allclose(table.motion, np.where(expected[..., None] >= 0, WAY, 0), atol=1e-6)
    apart = cdist(table.place, table.place)
    assert np.array_equal(np.abs(apart - 1) < 1e-3, table.matrix.toarray() > 0)
    order = np.lexsort((table.place[:, 0], np.round(table.place[:, 1], 3)))
    assert np.array_equal(order, np.arange(len(table)))  # from the south, and from west to east


@pytest.mark.parametrize(("edge", "places"), [(2, 7), (3, 19), (5, 61), (6, 91), (7, 127)])
def test_a_hexagon(edge: int, places: int) -> None:
    world = Hex(1, edge=edge)
    world.reset(seed=0)
    table = world.table()
    assert len(table) == places
    check_neighbours(world, 0)
    turned = table.place @ np.array([[0.5, np.sqrt(0.75)], [-np.sqrt(0.75), 0.5]])  # by 60 degrees about the middle
    assert cdist(turned, table.place).min(axis=1).max() < 1e-5
    assert np.allclose(np.linalg.norm(table.place, axis=1).max(), edge - 1)
    sides = (table.target < 0).sum(axis=1)
    assert (sides == 3).sum() == 6  # corners
    assert (sides == 2).sum() == 6 * (edge - 2)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 9), st.integers(2, 9))
def test_a_rectangle_is_networkxs_triangular_lattice(width: int, height: int) -> None:
    world = Hex(1, outline="rectangle", width=width, height=height)
    world.reset(seed=0)
    check_neighbours(world, 0)
    theirs = nx.triangular_lattice_graph(height - 1, 2 * (width - 1))
    table, position = world.table(), theirs.nodes(data="pos")
    at = {name: int(cdist([xy], table.place).argmin()) for name, xy in position}
    assert len(table) == len(theirs) == width * height
    assert max(np.abs(table.place[at[name]] - xy).max() for name, xy in position) < 1e-5
    assert {frozenset((a, b)) for a, _, b in table.edges.tolist()} == {
        frozenset((at[a], at[b])) for a, b in theirs.edges
    }


def test_a_height_left_out_is_the_width() -> None:
    world = Hex(40, outline="rectangle", width=(2, 5))
    world.reset(seed=0)
    assert {len(world.table(row)) for row in range(40)} == {4, 9, 16, 25}
    assert len(world.walls()) > 0


@pytest.mark.parametrize(
    ("sizes", "places"),
    [
        ({"edge": (2, 5)}, [7, 19, 37, 61]),
        ({"outline": "rectangle", "width": (2, 3), "height": (5, 6)}, [10, 12, 15, 18]),
    ],
)
def test_sizes_are_drawn_evenly_both_ends_included(sizes: dict, places: list[int]) -> None:
    world = Hex(800, **sizes)
    world.reset(seed=0)
    drawn = np.array([len(world.table(row)) for row in range(800)])
    assert set(drawn.tolist()) == set(places)
    assert stats.chisquare([(drawn == n).sum() for n in places]).pvalue > 1e-3
    for row in range(20):
        check_neighbours(world, row)


def test_starts_and_objects_are_drawn_evenly() -> None:
    observation, info = Hex(4000, edge=3, objects=7).reset(seed=0)
    assert stats.chisquare(np.bincount(observation, minlength=7)).pvalue > 1e-3
    assert stats.chisquare(np.bincount(info["node"], minlength=19)).pvalue > 1e-3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"edge": 1}, "edge is 1: a world is at least 2"),
        ({"edge": (6, 4)}, r"edge is \[6, 4\]: a range runs from low to high; did you mean \(4, 6\)"),
        ({"edge": 2.5}, "edge is 2.5: give a whole number"),
        ({"outline": "circle"}, 'outline is \'circle\': give "hexagon" or "rectangle"'),
        ({"outline": "rectangle", "width": 1}, "width is 1: a world is at least 2"),
        ({"outline": "rectangle", "height": (0, 3)}, "height is .*: a world is at least 2"),
        ({"outine": "rectangle"}, "did you mean outline"),
    ],
)
def test_bad_settings_are_named_with_the_mend(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        envs.make("Hex-v0", 1, **wrong)
