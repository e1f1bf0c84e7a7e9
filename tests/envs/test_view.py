"""The view against a slow one that goes by vectors in the plane, and what an eye would say of it."""

from collections.abc import Iterable, Mapping

import numpy as np
import pytest
from every_world import maker
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.spatial.geometry import HEXAGONAL, SQUARE, Geometry
from envs.spatial.lattice import Lattice
from envs.spatial.view import KINDS
from envs.table import CLOSED, WALL
from envs.world import Ints, World

UNSEEN, WALLED, SHUT, PLACE, GOAL = range(5)
Coordinates = tuple[int, int]
BODIES = pytest.mark.parametrize("body", ["allocentric", "egocentric"])
GEOMETRIES = {"square": SQUARE, "hexagonal": HEXAGONAL}


class Given(Lattice):
    """One world of the given places (lattice coordinates), each with its object, and of thin walls and shut doors."""

    def __init__(
        self,
        geometry: Geometry,
        held: Mapping[Coordinates, int],
        shut: Iterable[tuple[Coordinates, int, int]] = (),
        start: Coordinates = (0, 0),
        direction: int = 0,
        **more: object,
    ) -> None:
        self._held, self._shut, self._here, self._towards = held, list(shut), start, direction
        self._low = np.min(list(held), axis=0)
        high = np.max(list(held), axis=0) - self._low + 1
        super().__init__(1, geometry, (int(high[1]), int(high[0])), len(held), more)  # type: ignore[arg-type]

    def _layout(self, rows: Ints) -> None:
        is_place = np.zeros((1, *self._shape), np.bool_)
        for q, r in np.array(list(self._held)) - self._low:
            is_place[0, r, q] = True
        self.at = self._lay(rows, is_place)[0]
        for coordinates, direction, kind in self._shut:
            beyond = tuple(np.add(coordinates, self._geometry.steps[direction]).tolist())
            if coordinates in self._held and beyond in self._held:
                n = len(self._geometry.steps)
                self._target[self.node(coordinates) * n + direction] = kind
                self._target[self.node(beyond) * n + (direction + n // 2) % n] = kind

    def _start(self, rows: Ints) -> Ints:
        return np.array([self.node(self._here)])

    def _origin(self) -> tuple[int, int]:
        q, r = self._low.tolist()
        return -q, -r

    def node(self, coordinates: Coordinates) -> int:
        q, r = np.array(coordinates) - self._low
        return int(self.at[r, q])

    def look(self) -> np.ndarray:
        """What is seen from the start, with the objects as given."""
        self.reset(seed=0)
        for coordinates, held in self._held.items():
            self._map[self.node(coordinates)] = held
        self._heading[:] = self._towards
        return self._observe()[0]


def slow_view(world: World, compass: World, row: int, node: int, size: int, objects: np.ndarray) -> np.ndarray:
    """What is seen from a node, by the docstring of `View`: kinds and objects.

    `compass`: the same world with a body that does not turn.
    """
    target, angles = compass.table(row).target, np.array(compass.metadata["angles"])
    n = len(angles)
    way = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    egocentric = world.metadata["motion"] == "turn, advance"
    here, heading = divmod(node, n) if egocentric else (node, 0)

    def key(v: np.ndarray) -> tuple[int, ...]:
        return tuple(np.rint(v * 100).astype(int).tolist())

    steps, front, hops = {key(np.zeros(2)): 0}, [np.zeros(2)], 0
    while hops < 2 * size:
        hops += 1
        front = [v for k, v in {key(v + w): v + w for v in front for w in way}.items() if k not in steps]
        steps |= {key(v): hops for v in front}

    seen: dict[tuple[int, ...], int] = {key(np.zeros(2)): here}

    def see(v: np.ndarray) -> int:
        if key(v) not in seen:
            nearer = [(d, v - w) for d, w in enumerate(way) if steps[key(v - w)] < steps[key(v)]]
            beside = [abs(v[0] * b[1] - v[1] * b[0]) / np.hypot(*v) for _, b in nearer]
            found = [-3]
            for (direction, b), off in zip(nearer, beside, strict=True):
                if (standing := see(b)) >= 0:
                    to = int(target[standing, direction])
                    if to < 0 or off < min(beside) + 1e-6:
                        found.append(to)
            seen[key(v)] = max(found)
        return seen[key(v)]

    picture = np.zeros((size, size, 2), np.uint8)
    half = size // 2
    for i, j in np.ndindex(size, size):
        if egocentric:
            left, right = (1, n - 1) if n == 6 else (0, n - 1)  # on squares: ahead, and to the right
            v = (size - 1 - i) * way[(heading + left) % n] + (j if n == 6 else j - half) * way[(heading + right) % n]
        else:
            v = (j - half) * way[0] + (half - i) * way[1]
        to = see(v)
        picture[i, j, 0] = {-1: WALLED, -2: SHUT, -3: UNSEEN}.get(to, PLACE)
        if to >= 0:
            picture[i, j, 1] = objects[to * n if egocentric else to] + 1
            if to in goal_places(world, row, n if egocentric else 1):
                picture[i, j, 0] = GOAL
    return picture


def goal_places(world: World, row: int, poses: int) -> set[int]:
    return set((world.goal(row) // poses).tolist())


def held_at(world: World, row: int) -> np.ndarray:
    return np.array([held for _, held in world.graph(row).nodes(data="object")])


@BODIES
@pytest.mark.parametrize(
    ("env_id", "more"),
    [
        ("Square-v0", {"width": (3, 6)}),
        ("Torus-v0", {"width": (2, 6)}),
        ("Hex-v0", {"edge": (2, 4)}),
        ("Hex-v0", {"outline": "rectangle", "width": (3, 6)}),
        ("Rooms-v0", {"size": 3, "closed": 1}),
        ("Rooms-v0", {"size": 3, "walls": "cells"}),
        ("Maze-v0", {}),
    ],
)
def test_a_view_is_what_the_slow_one_sees(env_id: str, more: dict, body: str) -> None:
    world = maker(env_id, **more)(3, body=body, view=5, goal=True, landmarks=2)
    compass = maker(env_id, **more)(3, goal=True)
    observation, info = world.reset(seed=2)
    compass.reset(seed=2)
    held = [held_at(world, row) for row in range(3)]
    kinds = set()
    for actions in np.random.default_rng(0).integers(len(world.metadata["actions"]), size=(12, 3)):
        for row in range(3):
            expected = slow_view(world, compass, row, int(info["node"][row]), 5, held[row])
            assert np.array_equal(observation[row], expected)
        kinds |= set(np.unique(observation[..., 0]).tolist())
        observation, *_, info = world.step(actions)
    assert {PLACE, WALLED} <= kinds or env_id == "Torus-v0"


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([*GEOMETRIES]), st.sampled_from(["allocentric", "egocentric"]), st.sampled_from([3, 5, 7]),
    st.integers(0, 10_000),
)  # fmt: skip
def test_a_view_of_any_place_with_thin_walls_and_shut_doors(kind: str, body: str, size: int, seed: int) -> None:
    geometry, rng = GEOMETRIES[kind], np.random.default_rng(seed)
    held, shut = scattered(geometry, rng)
    world = Given(geometry, held, shut, view=size, body=body, objects=9)
    compass = Given(geometry, held, shut)
    world.reset(seed=0)
    compass.reset(seed=0)
    seen = world.look()
    directions = len(geometry.steps)
    node = world.node((0, 0)) * (directions if body == "egocentric" else 1)
    assert np.array_equal(seen, slow_view(world, compass, 0, node, size, held_at(world, 0)))


def scattered(geometry: Geometry, rng: np.random.Generator) -> tuple[dict[Coordinates, int], list]:
    grid = [(q, r) for q in range(-5, 6) for r in range(-5, 6)]
    held = {at: int(rng.integers(9)) for at in grid if rng.random() < 0.8 or at == (0, 0)}
    sides = [(at, d) for at in held for d in range(len(geometry.steps)) if rng.random() < 0.1]
    return held, [(at, d, int(rng.choice([WALL, CLOSED]))) for at, d in sides]


@pytest.mark.parametrize("kind", GEOMETRIES)
@pytest.mark.parametrize("seed", range(5))
def test_a_turned_body_in_a_turned_world_sees_the_same(kind: str, seed: int) -> None:
    geometry = GEOMETRIES[kind]
    held, shut = scattered(geometry, np.random.default_rng(seed))
    n = len(geometry.steps)

    def turned(at: Coordinates, by: int) -> Coordinates:
        q, r = at
        for _ in range(by):
            q, r = (-r, q) if n == 4 else (-r, q + r)
        return q, r

    first = Given(geometry, held, shut, view=7, body="egocentric").look()
    assert len(np.unique(first[..., 0])) > 2
    for by in range(1, n):
        world = Given(
            geometry,
            {turned(at, by): o for at, o in held.items()},
            [(turned(at, by), (d + by) % n, k) for at, d, k in shut],
            direction=by,
            view=7,
            body="egocentric",
        )
        assert np.array_equal(world.look(), first)


@pytest.mark.parametrize(
    ("env_id", "size"),
    [
        ("Square-v0", {"width": 9}),
        ("Torus-v0", {"width": 9}),
        ("Hex-v0", {"edge": 5}),
        ("Hex-v0", {"outline": "rectangle", "width": 9}),
    ],
)
@pytest.mark.parametrize("view", [3, 7, 9])
def test_all_of_an_open_field_is_seen(env_id: str, size: dict, view: int) -> None:
    """Every place of the field that lies in the window, at its offset, and nothing else."""
    world = maker(env_id, **size)(20, view=view)
    observation, info = world.reset(seed=0)
    _, up = np.array(world.metadata["angles"])[:2]
    half, torus = view // 2, env_id == "Torus-v0"
    for row in range(20):
        place, held = world.table(row).place, held_at(world, row)
        for i, j in np.ndindex(view, view):
            offset = (j - half) * np.array([1, 0]) + (half - i) * np.array([np.cos(up), np.sin(up)])
            to = np.round(info["place"][row] + offset, 6)
            there = np.abs(place - (to % 9 if torus else to)).max(axis=1) < 1e-3
            kind, shown = observation[row, i, j]
            assert (kind == PLACE) == there.any()
            assert shown == (held[there.argmax()] + 1 if there.any() else 0)


def picture(world: Given) -> list[str]:
    return ["".join("?#+.G"[kind] for kind in line) for line in world.look()[..., 0]]


def field(*lines: str) -> dict[Coordinates, int]:
    """Places from a drawing, north up; the agent's, A, is (0, 0)."""
    y, x = next((y, line.index("A")) for y, line in enumerate(lines) if "A" in line)
    return {(j - x, y - i): 0 for i, line in enumerate(lines) for j, c in enumerate(line) if c != "#"}


def test_a_wall_of_cells_hides_what_lies_behind() -> None:
    held = field(
        ".......",
        ".......",
        "..###..",
        ".......",
        "...A...",
        ".......",
        ".......",
    )
    assert picture(Given(SQUARE, held, view=7)) == [
        "..???..",
        "..###..",
        ".......",
        ".......",
        ".......",
        ".......",
        "#######",
    ]


def test_a_thin_wall_and_a_shut_door_hide_what_lies_behind() -> None:
    open_field = {(q, r): 0 for q in range(-3, 4) for r in range(-3, 4)}
    wall = [((q, 0), 1, WALL if q else CLOSED) for q in range(-3, 4)]  # all along the north side of the agent's row
    assert picture(Given(SQUARE, open_field, wall, view=5)) == ["?????", "##+##", ".....", ".....", "....."]
    assert picture(Given(SQUARE, open_field, wall, view=5, body="egocentric", direction=1)) == [
        "?????",
        "?????",
        "?????",
        "##+##",
        ".....",
    ]


def test_a_torus_is_seen_over_its_seam_again_and_again() -> None:
    observation, _ = maker("Torus-v0", width=3)(1, view=7).reset(seed=0)
    assert (observation[0, ..., 0] == PLACE).all()
    assert np.array_equal(observation[0, 3:], observation[0, :-3])
    assert np.array_equal(observation[0, :, 3:], observation[0, :, :-3])


@BODIES
def test_a_goal_is_seen_with_the_object_that_lies_there(body: str) -> None:
    world = maker("Square-v0", width=3)(50, view=7, goal=True, body=body)
    observation, info = world.reset(seed=0)
    shown = 0
    for row in range(50):
        held, goal = held_at(world, row), world.goal(row)[0]
        x, y = (world.table(row).place[goal] - info["place"][row]).tolist()
        if body == "egocentric":  # ahead is up
            angle = float(info["heading"][row])
            x, y = np.rint([x * np.sin(angle) - y * np.cos(angle), x * np.cos(angle) + y * np.sin(angle)])
        i, j = (6 if body == "egocentric" else 3) - int(y), 3 + int(x)
        goals = np.argwhere(observation[row, ..., 0] == GOAL).tolist()
        if i < 7:
            assert goals == [[i, j]]
            assert observation[row, i, j, 1] == held[goal] + 1
            shown += 1
        else:
            assert goals == []
    assert shown > 20


def test_kinds_are_named_in_order() -> None:
    assert KINDS == ("unseen", "wall", "closed door", "place", "goal")
