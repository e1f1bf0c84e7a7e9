"""The ideal observer against counting by hand, and what it knows in rooms that look alike when turned."""

import numpy as np
import pytest

from envs import policies
from envs.ideal import IdealObserver
from envs.spatial.square import Square
from envs.spatial.two_rooms import TwoRooms


def every_layout(**options: object) -> TwoRooms:
    worlds = TwoRooms(400, size=6, objects=1, **options)  # type: ignore[arg-type]
    worlds.reset(seed=list(range(400)))
    return worlds


def r2(told: np.ndarray, place: np.ndarray) -> float:
    left = ((told - place) ** 2).sum((0, 1))
    return float((1 - left / ((place - place.mean((0, 1))) ** 2).sum((0, 1))).mean())


def test_one_view_tells_the_mean_of_the_places_that_show_it() -> None:
    world = Square(1, width=4, objects=1, view=3)
    seen, _ = world.reset(seed=[0])
    ideal = IdealObserver(world)
    # corners and sides of a square of 4 x 4 look each their own way, the four places within all alike
    for x in range(4):
        for y in range(4):
            world.teleport(0, 4 * y + x)
            view = world.restore(world.save())[0]
            by_axis = [0 if v == 0 else 3 if v == 3 else 1.5 for v in (x, y)]
            np.testing.assert_allclose(ideal.seen(view[None])[0, 0], by_axis)
    assert np.isnan(ideal.seen(seen[None] + 7)).all()


def test_all_is_remembered() -> None:
    world = Square(2, width=4, objects=1, view=3)
    world.reset(seed=[0, 1])
    ideal = IdealObserver(world)
    walk = policies.walk(world, "uniform", 40, world_seeds=[3, 4], policy_seed=0)
    told = ideal.remembered(walk)
    for b in range(2):
        may = {(x, y) for x in range(4) for y in range(4)}
        for t in range(40):
            if t:
                dx, dy = [(1, 0), (0, 1), (-1, 0), (0, -1)][walk["action"][t, b]]
                may = {(min(max(x + dx, 0), 3), min(max(y + dy, 0), 3)) for x, y in may}
            edges = tuple(v if v in (0, 3) else None for v in walk["place"][t, b].tolist())
            may = {p for p in may if tuple(v if v in (0, 3) else None for v in p) == edges}
            np.testing.assert_allclose(told[t, b], np.mean(list(may), axis=0), err_msg=f"{t}")


def test_what_looks_alike_when_turned_is_never_told() -> None:
    held = every_layout(body="egocentric", view=5)
    walk = policies.walk(held, "least_visited", 100, world_seeds=range(400), policy_seed=0)
    ideal = IdealObserver(held)
    assert abs(r2(ideal.seen(walk["observation"]), walk["place"])) < 0.02
    assert abs(r2(ideal.remembered(walk), walk["place"])) < 0.02


def test_walls_that_look_different_tell_all_in_time() -> None:
    held = every_layout(body="egocentric", view=5, borders=True)
    walk = policies.walk(held, "least_visited", 60, world_seeds=range(400), policy_seed=0)
    ideal = IdealObserver(held)
    seen, remembered = (r2(told, walk["place"]) for told in (ideal.seen(walk["observation"]), ideal.remembered(walk)))
    assert 0.5 < seen < 0.95 < remembered
    np.testing.assert_array_equal(ideal.remembered(walk)[-1], walk["place"][-1])


def test_worlds_that_cannot_be_counted_are_told() -> None:
    worlds = Square(3, width=4, objects=5)
    worlds.reset(seed=[0, 1, 2])
    with pytest.raises(ValueError, match="look different: pass objects=1"):
        IdealObserver(worlds)
