"""Squares and tori against networkx's own grid graphs, and the law of their sensory maps."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from envs.spatial.square import Square, Torus

COMPASS = {"east": (1, 0), "north": (0, 1), "west": (-1, 0), "south": (0, -1)}


def check_transitions(world: Square, ticks: int, seed: int) -> set[tuple[int, int, int]]:
    """Compare every step of a random walk with networkx's grid graph of that size; returns (row, node, action) seen."""
    rng = np.random.default_rng(seed)
    torus = isinstance(world, Torus)
    observation, info = world.reset(seed=seed)
    sizes = list(zip(world.width.tolist(), world.height.tolist(), strict=True))
    graphs = {size: nx.grid_2d_graph(*size, periodic=torus) for size in set(sizes)}
    maps: dict[tuple[int, int], int] = {}  # the object of each node of each row is the same at each visit
    seen = set()
    for _ in range(ticks):
        before, actions = info, rng.integers(4, size=world.num_envs)
        observation, reward, terminated, truncated, info = world.step(actions)
        assert not (reward.any() or terminated.any() or truncated.any())
        for row, action in enumerate(actions.tolist()):
            (width, height), graph = sizes[row], graphs[sizes[row]]
            y, x = divmod(int(before["node"][row]), width)
            assert (x, y) == tuple(before["place"][row])
            dx, dy = COMPASS[world.metadata["actions"][action]]
            to = ((x + dx) % width, (y + dy) % height) if torus else (x + dx, y + dy)
            refused = not graph.has_edge((x, y), to)
            expected = (x, y) if refused else to
            assert tuple(info["place"][row]) == expected
            assert info["node"][row] == expected[1] * width + expected[0]
            assert info["bump"][row] == refused
            assert tuple(info["motion"][row]) == ((0, 0) if refused else (dx, dy))
            assert maps.setdefault((row, int(info["node"][row])), int(observation[row])) == observation[row]
            seen.add((row, y * width + x, action))
    return seen


@pytest.mark.parametrize("kind", [Square, Torus])
@pytest.mark.parametrize(("width", "height"), [(2, 2), (2, 3), (4, 3), (5, 5)])
def test_every_transition_of_a_small_world(width: int, height: int, kind: type[Square]) -> None:
    world = kind(40, width=width, height=height)
    seen = check_transitions(world, 60, seed=1)
    assert {(node, action) for _, node, action in seen} == {(n, a) for n in range(width * height) for a in range(4)}


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 30), st.integers(2, 30), st.sampled_from([Square, Torus]), st.integers(0, 10_000))
def test_transitions_of_any_world(width: int, height: int, kind: type[Square], seed: int) -> None:
    check_transitions(kind(3, width=width, height=height), 40, seed)


@pytest.mark.parametrize("kind", [Square, Torus])
def test_worlds_of_many_sizes_in_one_batch(kind: type[Square]) -> None:
    check_transitions(kind(60, width=(2, 9), height=(3, 7)), 40, seed=5)


def test_sizes_are_drawn_evenly_from_their_range_both_ends_included() -> None:
    world = Square(3000, width=(3, 6), height=(2, 4))
    world.reset(seed=0)
    for sizes, low, high in ((world.width, 3, 6), (world.height, 2, 4)):
        assert (sizes.min(), sizes.max()) == (low, high)
        assert stats.chisquare(np.bincount(sizes)[low:]).pvalue > 1e-3
    assert abs(np.corrcoef(world.width, world.height)[0, 1]) < 0.06
    square = Square(50, width=(3, 6))
    square.reset(seed=0)
    assert np.array_equal(square.width, square.height)


def test_objects_and_starts_are_drawn_evenly() -> None:
    world = Square(4000, width=5, objects=7)
    observation, info = world.reset(seed=0)
    assert stats.chisquare(np.bincount(observation, minlength=7)).pvalue > 1e-3
    assert stats.chisquare(np.bincount(info["node"], minlength=25)).pvalue > 1e-3
    # with replacement: neighbours hold the same object as often as chance has it
    after, *_, info = world.step(np.zeros(4000, np.int64))
    alike = (after == observation)[~info["bump"]]
    assert stats.binomtest(int(alike.sum()), len(alike), 1 / 7).pvalue > 1e-3


def test_a_reset_without_a_seed_brings_a_new_map_and_a_new_size() -> None:
    world = Square(1, width=(4, 20))
    sizes, maps = set(), set()
    world.reset(seed=3)
    for _ in range(6):
        sizes.add(int(world.width[0]))
        walked = [int(world.step(np.array([a]))[0][0]) for a in [0] * 4 + [1] * 4]
        maps.add(tuple(walked))
        world.reset()
    assert len(maps) == 6
    assert len(sizes) > 2


def test_a_step_over_the_seam_of_a_torus_is_felt_as_any_other() -> None:
    world = Torus(1, width=3, height=4)
    _, info = world.reset(seed=0)
    start = info["node"][0]
    for action, laps, motion in ((0, 3, (1, 0)), (1, 4, (0, 1)), (2, 3, (-1, 0)), (3, 4, (0, -1))):
        for _ in range(laps):
            *_, info = world.step(np.array([action]))
            assert tuple(info["motion"][0]) == motion
            assert not info["bump"][0]
        assert info["node"][0] == start


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 1}, "width is 1: a world is at least 2"),
        ({"height": (0, 4)}, r"height is \(0, 4\): a world is at least 2"),
        ({"width": (9, 4)}, r"did you mean \(4, 9\)"),
        ({"width": (3, 4, 5)}, r"give a whole number or a range \(low, high\)"),
        ({"width": 3.5}, r"width is 3.5: give a whole number"),
        ({"width": "8"}, r"width is '8': give a whole number"),
        ({"height": (3.0, 4)}, r"give a whole number or a range"),
        ({"objects": 0}, "objects is 0"),
    ],
)
def test_bad_settings_are_named_with_the_mend(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Square(1, **wrong)
