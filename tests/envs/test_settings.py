"""Settings that no memory holds or no one waits for: refused at once, by name and with the limit."""

import re
from collections.abc import Callable

import numpy as np
import pytest

import envs
from envs.continuous.trajectory import SmoothWalk, smooth_walk
from envs.settings import MOST_NUMBERS, MOST_PLACES, MOST_WORLDS, check_batch, size_range
from envs.spatial.view import MOST_VIEW

HUGE = 10**9


@pytest.mark.parametrize(
    ("env_id", "batch", "settings", "message"),
    [
        ("Square-v0", 1, {"width": HUGE}, "width is 1,000,000,000: give 10,000,000 at most"),
        ("Torus-v0", 1, {"width": 3, "height": (2, HUGE)}, "height is 1,000,000,000: give 10,000,000 at most"),
        (
            "Square-v0",
            1,
            {"width": 5_000},
            "num_envs is 1, and each world holds 25,000,000 places (width x height): a b",
        ),
        ("Square-v0", 4096, {"width": (2, 1_000)}, "num_envs is 4,096, and each world holds 1,000,000 places"),
        ("Hex-v0", 1, {"edge": HUGE}, "edge is 1,000,000,000: give 10,000,000 at most"),
        ("Hex-v0", 1, {"edge": 3_000}, "each world holds 35,988,001 places (edge, or width x height)"),
        ("Hex-v0", 9, {"outline": "rectangle", "width": 2, "height": HUGE}, "height is 1,000,000,000"),
        ("Rooms-v0", 1, {"columns": HUGE}, "columns x rows is 2,000,000,000 rooms: give 250,000 rooms at most"),
        ("Rooms-v0", 1, {"columns": 10**5, "rows": 10**5}, "columns x rows is 10,000,000,000 rooms"),
        ("Rooms-v0", 1, {"size": HUGE}, "size is 1,000,000,000: give 10,000,000 at most"),
        ("Rooms-v0", 99, {"size": 500}, "99, and each world holds 1,000,000 places (columns x rows of rooms of size x"),
        ("Maze-v0", 1, {"width": 2_000}, 'maze by "depth_first" is 4,000,000 cells: give 1,000,000 cells at most'),
        (
            "Maze-v0",
            1,
            {"width": 600, "generator": "uniform"},
            '"uniform" is 360,000 cells: give 250,000 cells at most',
        ),
        ("Maze-v0", 1, {"width": 3_000, "generator": "kruskal", "walls": "cells"}, "holds 35,988,001 places"),
        ("Square-v0", 1, {"view": MOST_VIEW + 2}, "view is 65: give an odd number, 3 to 63, or None"),
        ("Hex-v0", 1, {"view": HUGE + 1}, "view is 1000000001: give an odd number, 3 to 63, or None"),
        (
            "Square-v0",
            9_999,
            {"view": 63},
            "each world holds 3,969 positions in sight (view is 63): a batch holds 20,0",
        ),
        ("Square-v0", 1, {"motion_noise": 1e39}, "motion_noise is 1e+39: give a number, 0 to 1,000,000 (cells a step"),
        ("Line-v0", 1, {"motion_noise": float("inf")}, "motion_noise is inf: give a number, 0 to 1,000,000"),
        ("Arena-v0", 1, {"width": 1e9}, "width is 1000000000.0 m: give a positive number, 1e-06 to 1,000,000"),
        ("Arena-v0", 1, {"cell": 1e-300}, "cell is 1e-300 m: give a positive number, 1e-06 to 1,000,000"),
        ("Arena-v0", 1, {"cell": 1e-6}, "width x height / cell² is 1,000,000,000,000 patches: give 20,000,000 patches"),
        (
            "Arena-v0",
            999,
            {"width": 50.0, "height": 50.0},
            "each world holds 1,000,000 patches (width x height / cell²)",
        ),
        ("Arena-v0", 1, {"step": 1e300}, "step is 1e+300 m: give a positive number"),
        ("Arena-v0", 1, {"length_scale": 1e-310}, "length_scale is 1e-310 m: give a positive number"),
        (
            "Arena-v0",
            1,
            {"observation": "field", "channels": HUGE},
            "(channels is 1,000,000,000): a batch holds 200,000",
        ),
        ("Arena-v0", 1, {"trajectory": "smooth", "dt": 1e9}, "dt of a smooth walk is 1000000000.0: give a positive"),
        (
            "Arena-v0",
            999,
            {"trajectory": "smooth", "dt": 60.0},
            "768,000 draws for ticks to come (dt is 60 s): a batch",
        ),
        ("Arena-v0", 1, {"trajectory": "smooth", "speed": 1e308}, "speed of a smooth walk is 1e+308: give a positive"),
        (
            "Arena-v0",
            1,
            {"trajectory": [[0, 0, 0], [9, 1, 1]], "dt": 1e-9},
            "dt is 1e-09 s, for 9 s: memory holds 20,0",
        ),
    ],
)
def test_what_no_memory_holds_is_refused_by_name(env_id: str, batch: int, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        envs.make(env_id, batch, **settings)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, 2.0, True, "3", None, MOST_WORLDS + 1, np.float32(2)])
@pytest.mark.parametrize("env_id", ["Square-v0", "Hex-v0", "Arena-v0", "Line-v0", "MiniGrid-Empty-5x5-v0"])
def test_a_batch_is_a_whole_number_of_worlds(env_id: str, wrong: object) -> None:
    message = rf"^a batch of {re.escape(repr(wrong))} worlds \(num_envs\): give a whole number, 1 to 1,000,000$"
    with pytest.raises(ValueError, match=message):
        envs.make(env_id, wrong)


@pytest.mark.parametrize("three", [3, np.int64(3), np.uint8(3)])
def test_a_batch_may_be_a_number_of_numpys(three: int) -> None:
    world = envs.make("Square-v0", three, width=300)
    assert type(world.num_envs) is int
    assert world.reset(seed=0)[0].shape == (3,)


@pytest.mark.parametrize(
    ("env_id", "batch", "settings"),
    [
        ("Square-v0", 4096, {"width": 30}),
        ("Square-v0", 1, {"width": 1_000}),
        ("Square-v0", 2, {"width": 3, "view": MOST_VIEW}),
        ("Arena-v0", 1, {"channels": HUGE}),  # of a field that nobody asked for
        ("Arena-v0", 4096, {"trajectory": "smooth"}),
        ("Arena-v0", 100, {"width": 20.0, "height": 20.0}),
    ],
)
def test_what_memory_holds_is_made(env_id: str, batch: int, settings: dict) -> None:
    assert envs.make(env_id, batch, **settings).num_envs == batch


def refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except ValueError:
        return True
    return False


def test_limits_are_the_first_that_are_refused() -> None:
    fit = MOST_PLACES // 70
    assert [refused(lambda n=n: check_batch(n, 70)) for n in (fit, fit + 1)] == [False, True]
    fit = MOST_NUMBERS // 999
    assert [refused(lambda n=n: check_batch(n, 999, "numbers", MOST_NUMBERS)) for n in (fit, fit + 1)] == [False, True]
    assert refused(lambda: check_batch(np.int32(2**16), 2**16))  # which is 0 in 32 bits
    assert [refused(lambda n=n: size_range("width", n)) for n in (MOST_PLACES // 2, MOST_PLACES // 2 + 1)] == [
        False,
        True,
    ]
    assert [refused(lambda dt=dt: SmoothWalk(1.0, 1.0, dt)) for dt in (60.0, 60.01)] == [False, True]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seconds": 1e12}, "dt is 0.1 s, for 1e+12 s: memory holds 20,000,000 samples at most"),
        ({"seconds": float("inf")}, "for inf s"),
        ({"seconds": float("nan")}, "for nan s"),
        ({"seconds": 1e4, "walks": 1_000}, "for 10000 s of 1,000 walks: memory holds"),
        ({"walks": HUGE}, "walks (1,000,000,000) x steps in a tick is 5,000,000,000: give 20,000,000 at most"),
        ({"dt": 1e-300}, "dt is 1e-300 s, for 9 s"),
    ],
)
def test_walks_that_no_memory_holds(wrong: dict, message: str) -> None:
    given = {"width": 1.0, "height": 1.0, "seconds": 9.0, "dt": 0.1, "rng": np.random.default_rng(0)} | wrong
    with pytest.raises(ValueError, match=re.escape(message)):
        smooth_walk(**given)
