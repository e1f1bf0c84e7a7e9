"""What every lattice can be given: landmarks, borders, goals, bodies that turn; its walls, and bad input."""

import re

import numpy as np
import pytest
from every_world import DEFAULTS, maker
from scipy import stats

import envs
from envs.spatial.hexagon import Hex
from envs.spatial.lattice import LANDMARKS, Lattice
from envs.spatial.square import Square, Torus
from envs.spatial.two_rooms import TwoRooms

LATTICES = {name: make for name, make in DEFAULTS.items() if isinstance(make(1), Lattice)} | {
    "squares of many sizes": maker("Square-v0", width=(2, 4), height=(3, 6)),
    "hexagons of many sizes": maker("Hex-v0", edge=(2, 4)),
    "hexes in a rectangle": maker("Hex-v0", outline="rectangle", width=(2, 4), height=(3, 5)),
}
EVERY_LATTICE = pytest.mark.parametrize("name", LATTICES)
BODIES = pytest.mark.parametrize("body", ["allocentric", "egocentric"])


def objects_of(world: Lattice, row: int) -> np.ndarray:
    """The object on each node of a row's world, as its graph tells it."""
    return np.array([held for _, held in world.graph(row).nodes(data="object")])


def lacking(world: Lattice, row: int) -> list[frozenset[int]]:
    """The sides of each node of an allocentric world that lead nowhere."""
    return [frozenset(np.flatnonzero(target < 0).tolist()) for target in world.table(row).target]


@EVERY_LATTICE
@pytest.mark.parametrize("n", [1, 4])
def test_landmarks_are_so_many_of_different_kinds(name: str, n: int) -> None:
    world = LATTICES[name](6, landmarks=n, objects=5)
    assert world.single_observation_space.n == 5 + LANDMARKS
    world.reset(seed=0)
    for row in range(6):
        held, landmarks = objects_of(world, row), world.landmarks(row)
        assert len(landmarks) == len(set(held[landmarks].tolist())) == n
        assert ((held[landmarks] >= 5) & (held[landmarks] < 5 + LANDMARKS)).all()
        assert (np.delete(held, landmarks) < 5).all()
    assert not len(LATTICES[name](1).landmarks())
    turning = LATTICES[name](1, landmarks=n, objects=5, body="egocentric")
    turning.reset(seed=0)
    directions = len(world.metadata["actions"])
    assert sorted(turning.landmarks()) == [p * directions + d for p in world.landmarks() for d in range(directions)]


def test_landmarks_lie_anywhere_and_are_of_any_kind() -> None:
    world = Square(2000, width=3, landmarks=2, objects=1)
    world.reset(seed=0)
    places = np.stack([world.landmarks(row) for row in range(2000)])
    assert stats.chisquare(np.bincount(places.ravel(), minlength=9)).pvalue > 1e-3
    kinds = np.stack([objects_of(world, row)[at] for row, at in enumerate(places)]) - 1
    assert stats.chisquare(np.bincount(kinds.ravel(), minlength=LANDMARKS)).pvalue > 1e-3
    # in order of their places, both orders of two kinds come equally often
    assert stats.binomtest(int((kinds[:, 0] < kinds[:, 1]).sum()), 2000).pvalue > 1e-3


def test_the_smallest_world_may_be_full_of_landmarks() -> None:
    world = Square(50, width=(2, 4), height=2, landmarks=4)
    world.reset(seed=0)
    assert all(len(world.landmarks(row)) == 4 for row in range(50))
    full = Square(1, width=4, landmarks=10)
    full.reset(seed=0)
    assert sorted(objects_of(full, 0)[full.landmarks()]) == list(range(45, 55))


@EVERY_LATTICE
@pytest.mark.parametrize("landmarks", [0, 2])
def test_a_border_is_sensed_by_the_set_of_its_walled_sides(name: str, landmarks: int) -> None:
    world = LATTICES[name](8, borders=True, objects=7, landmarks=landmarks)
    world.reset(seed=0)
    first = 7 + (LANDMARKS if landmarks else 0)
    sense_of: dict[frozenset[int], int] = {}
    for row in range(8):
        marked = set(world.landmarks(row).tolist())
        for node, (sides, held) in enumerate(zip(lacking(world, row), objects_of(world, row), strict=True)):
            if node in marked:
                assert 7 <= held < first
            elif not sides:
                assert held < 7
            else:
                assert first <= held < world.single_observation_space.n
                assert sense_of.setdefault(sides, held) == held
    assert len(set(sense_of.values())) == len(sense_of)
    assert bool(sense_of) != (name == "Torus-v0")


@pytest.mark.parametrize("kind", [Square, Hex])
def test_a_goal_lies_anywhere_but_at_the_start(kind: type[Lattice]) -> None:
    world = Square(4000, width=2, goal=True) if kind is Square else Hex(4000, edge=2, goal=True)
    _, info = world.reset(seed=0)
    start, n = info["node"], len(world.table())
    goal = np.concatenate([world.goal(row) for row in range(4000)])
    pairs = np.bincount(start * n + goal, minlength=n * n).reshape(n, n)
    assert not pairs.diagonal().any()
    assert stats.chisquare(pairs[~np.eye(n, dtype=bool)]).pvalue > 1e-3


@EVERY_LATTICE
@BODIES
@pytest.mark.parametrize("endless", [True, False])
def test_a_goal_pays_at_each_arrival_and_not_while_one_stands_there(name: str, body: str, endless: bool) -> None:
    world = LATTICES[name](32, goal=True, endless=endless, body=body)
    _, info = world.reset(seed=0)
    goals, rng, paid, stood = [world.goal(row) for row in range(32)], np.random.default_rng(0), 0, 0
    for _ in range(400):
        before = info
        _, reward, terminated, truncated, info = world.step(rng.integers(len(world.metadata["actions"]), size=32))
        at_goal = np.array([node in goal for node, goal in zip(info["node"], goals, strict=True)])
        arrived = at_goal & (info["place"] != before["place"]).any(axis=1)
        assert np.array_equal(reward, arrived)
        assert np.array_equal(terminated, arrived & (not endless))
        assert not truncated.any()
        paid, stood = paid + arrived.sum(), stood + (at_goal & ~arrived).sum()
    assert paid > 5
    assert stood > 5 or (name == "Torus-v0" and body == "allocentric")
    assert all(np.array_equal(world.goal(row), goals[row]) for row in range(32))
    world.reset()
    assert not all(np.array_equal(world.goal(row), goals[row]) for row in range(32))
    assert not len(LATTICES[name](1).goal())


@EVERY_LATTICE
def test_a_body_that_turns_walks_the_same_world(name: str) -> None:
    """Against the table of the world that the same seed makes for a body that does not turn."""
    compass, body = LATTICES[name](4), LATTICES[name](4, body="egocentric")
    observed, start = compass.reset(seed=3)
    observation, info = body.reset(seed=3)
    assert np.array_equal(observation, observed)
    assert body.metadata["actions"] == ("left", "right", "forward")
    directions, angles = len(compass.metadata["actions"]), compass.metadata["angles"]
    tables = [compass.table(row) for row in range(4)]
    place, direction = start["node"], info["node"] % directions
    turn = 2 * np.pi / directions
    for actions in np.random.default_rng(0).integers(3, size=(150, 4)):
        assert np.array_equal(info["node"], place * directions + direction)
        assert np.allclose(info["heading"], np.array(angles)[direction])
        assert np.array_equal(info["place"], [t.place[p] for t, p in zip(tables, place, strict=True)])
        *_, info = body.step(actions)
        ahead = np.array([t.target[p, d] for t, p, d in zip(tables, place, direction, strict=True)])
        refused = (actions == 2) & (ahead < 0)
        motion = np.array([(turn, 0), (-turn, 0), (0, 1)])[actions] * ~refused[:, None]
        assert np.allclose(info["motion"], motion)
        assert np.array_equal(info["bump"], refused)
        place = np.where((actions == 2) & ~refused, ahead, place)
        direction = (direction + np.array([1, -1, 0])[actions]) % directions


@pytest.mark.parametrize(("kind", "directions"), [(Square, 4), (Hex, 6)])
def test_a_body_that_turns_begins_in_any_direction(kind: type[Lattice], directions: int) -> None:
    _, info = kind(3000, body="egocentric").reset(seed=0)
    assert stats.chisquare(np.bincount(info["node"] % directions, minlength=directions)).pvalue > 1e-3


def as_lines(lines: np.ndarray) -> list[tuple[tuple[float, float], ...]]:
    return sorted(tuple(sorted((round(x, 3), round(y, 3)) for x, y in line)) for line in (lines + 0.0).tolist())


@EVERY_LATTICE
@BODIES
def test_walls_are_the_sides_that_lead_nowhere(name: str, body: str) -> None:
    """A side of a tile is half a cell ahead, and as long as a tile's side; a thin wall is told once for its two."""
    world, compass = LATTICES[name](3, body=body), LATTICES[name](3)
    world.reset(seed=1)
    compass.reset(seed=1)
    angles = np.array(compass.metadata["angles"])
    half = 0.5 * np.tan(np.pi / len(angles))
    for row in range(3):
        expected = []
        for place, sides in zip(compass.table(row).place.tolist(), lacking(compass, row), strict=True):
            for angle in angles[sorted(sides)]:
                ahead, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
                middle = np.array(place) + ahead / 2
                expected.append([middle - half * across, middle + half * across])
        told = as_lines(world.walls(row))
        assert sorted(set(as_lines(np.array(expected)))) == sorted(told)
    assert bool(len(world.walls())) != (name == "Torus-v0")


@EVERY_LATTICE
@pytest.mark.parametrize("more", [{}, {"view": 5}, {"view": 3, "body": "egocentric"}])
def test_every_observation_lies_in_the_space(name: str, more: dict) -> None:
    world = LATTICES[name](16, objects=2, landmarks=2, borders=True, goal=True, **more)
    observation, _ = world.reset(seed=0)
    most = 0
    for actions in np.random.default_rng(0).integers(3, size=(60, 16)):
        assert world.observation_space.contains(observation)
        assert observation.dtype == world.observation_space.dtype
        most = max(most, observation[..., -1].max() if more else observation.max())
        observation, *_ = world.step(actions)
    assert most >= (2 + bool(more)) or name == "Torus-v0"


def test_a_picture_turns_with_the_body() -> None:
    world = Square(1, width=3, objects=1, body="egocentric", render_mode="rgb_array")
    _, info = world.reset(seed=0)
    while tuple(info["place"][0]) != (1, 1):  # the middle
        _, info = world.reset()
    while info["heading"][0] != 0:
        *_, info = world.step(np.array([0]))
    dark = []
    for _ in range(4):
        dark.append((world.render()[0] < 60).all(axis=2))  # the agent is the only dark thing
        world.step(np.array([0]))
    for k in range(4):
        assert (np.rot90(dark[0], k) != dark[k]).sum() < 0.25 * dark[0].sum()  # pixels at its rim
    column = np.argwhere(dark[0])[:, 1]
    assert (dark[0].sum(axis=0)[column.max() - 5 :] < dark[0].sum(axis=0).max() / 2).all()  # its tip is in the east


@pytest.mark.parametrize("env_id", ["Square-v0", "Torus-v0", "Hex-v0"])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"view": "four"}, 'view is \'four\': give a whole number or "map" or "pixels" or None'),
        ({"view": 4}, "view is 4: give an odd number, 3 to 63, or None"),
        ({"view": 1}, "view is 1: give an odd number, 3 to 63, or None"),
        ({"view": 3, "objects": 300}, "300 objects (landmarks and borders counted): a view tells at most 254 apart"),
        ({"landmarks": -1}, "landmarks is -1"),
        ({"landmarks": 11}, "landmarks is 11: there are 10 kinds of them; give 0 to 10"),
        ({"landmarks": 1.5}, "landmarks is 1.5: give a whole number"),
        ({"landmarks": True}, "landmarks is True: give a whole number"),
        ({"objects": 0}, "objects is 0: a world needs at least 1 kind of object"),
        ({"goal": "yes"}, "goal is 'yes': give true or false"),
        ({"borders": 1}, "borders is 1: give true or false"),
        ({"endless": False}, "endless is False, but there is no goal to end at: pass goal=True"),
        ({"body": "turning"}, 'body is \'turning\': give "allocentric" or "egocentric"'),
        ({"motion_noise": -0.5}, "motion_noise is -0.5"),
        ({"motion_noise": float("nan")}, "motion_noise is nan"),
        ({"lanmdarks": 3}, "no setting 'lanmdarks': did you mean landmarks?"),
        ({"viwe": 3}, "no setting 'viwe': did you mean view?"),
        ({"width": 1, "outline": "rectangle"}, "width is 1: a world is at least 2"),
    ],
)
def test_bad_settings_are_named_with_the_mend(env_id: str, wrong: dict, message: str) -> None:
    if env_id != "Hex-v0":
        wrong = {name: value for name, value in wrong.items() if name != "outline"}
    with pytest.raises(ValueError, match=re.escape(message)):
        envs.make(env_id, 1, **wrong)


def test_an_outline_takes_no_sizes_of_the_other() -> None:
    for wrong in ({"width": 3}, {"height": (2, 3)}, {"outline": "rectangle", "edge": 4}):
        with pytest.raises(ValueError, match=r"a (hexagon|rectangle) has no (width|height|edge): leave .* out"):
            envs.make("Hex-v0", 1, **wrong)
    with pytest.raises(ValueError, match="edge is 1: a world is at least 2"):
        envs.make("Hex-v0", 1, edge=1)


def test_more_landmarks_than_places() -> None:
    for make in (lambda: Square(1, width=2, landmarks=5), lambda: Torus(1, width=(2, 9), height=2, landmarks=5)):
        with pytest.raises(ValueError, match="landmarks is 5: there are as few as 4 places; give 0 to 4"):
            make()
    with pytest.raises(ValueError, match="landmarks is 8: there are as few as 7 places; give 0 to 7"):
        Hex(1, edge=(2, 5), landmarks=8)
    with pytest.raises(ValueError, match="landmarks is 7: there are as few as 6 places"):
        Hex(1, outline="rectangle", width=(2, 9), height=3, landmarks=7)


def test_a_class_called_by_itself_is_as_strict() -> None:
    with pytest.raises(ValueError, match="body is 'turning': give"):
        Square(1, body="turning")
    with pytest.raises(TypeError, match="no setting torus"):
        Square(1, torus=True)


def test_a_landmark_becomes_another_one() -> None:
    world = TwoRooms(2, objects=3, landmarks=2, view="map")
    world.reset(seed=[0, 1])
    node, other = world.landmarks(1)
    before = objects_of(world, 1)
    world.change_landmark(1, int(node), 4)
    after = objects_of(world, 1)
    assert after[node] == 3 + (before[node] - 3 + 4) % 10
    after[node] = before[node]
    np.testing.assert_array_equal(after, before)
    bare = next(n for n in range(10) if n not in (node, other))
    with pytest.raises(ValueError, match=r"has no landmark: give one of landmarks\(1\)"):
        world.change_landmark(1, bare)
