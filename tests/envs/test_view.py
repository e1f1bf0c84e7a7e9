"""The view against a slow one that goes by vectors in the plane, and what an eye would say of it."""

import functools
import itertools
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


@functools.cache
def rings(n: int) -> list[np.ndarray]:
    """The vectors from a place to all that are 0, 1, .. 14 steps away, on a lattice of n directions."""
    way, found = compass_rose(n), [np.zeros((1, 2))]
    for _ in range(14):
        known = {key(v) for v in np.concatenate(found)}
        ring = {key(w): w for v in found[-1] for w in v + way}
        found.append(np.array([w for k, w in ring.items() if k not in known]))
    return found


def compass_rose(n: int) -> np.ndarray:
    angle = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def key(v: np.ndarray) -> tuple[int, ...]:
    return tuple(np.rint(v * 100).astype(int).tolist())


@functools.cache
def straight(n: int, to: tuple[int, ...]) -> tuple[list[int], list[int], list[int]]:
    """The directions of the left and of the right straight way to a place, and those of the last moves to it."""
    hops, v = next((hops, v) for hops, ring in enumerate(rings(n)) for v in ring if key(v) == to)
    ways = []
    for side in (1, -1):
        passed = [np.zeros(2)]
        for ring in rings(n)[1 : hops + 1]:
            along = np.clip(ring @ v / (v @ v), 0, 1)
            off = np.linalg.norm(ring - along[:, None] * v, axis=1)
            nearest = ring[off < off.min() + 1e-6]
            passed.append(max(nearest, key=lambda w: side * (v[0] * w[1] - v[1] * w[0])))
        moves = np.diff(passed, axis=0)
        assert np.allclose(np.linalg.norm(moves, axis=1), 1)  # to the place beside
        ways.append([int((compass_rose(n) @ move).argmax()) for move in moves])
    nearer = {key(w) for w in rings(n)[hops - 1]} if hops else set()
    return ways[0], ways[1], [d for d, w in enumerate(compass_rose(n)) if key(v - w) in nearer]


def slow_view(world: World, compass: World, row: int, node: int, size: int, objects: np.ndarray) -> np.ndarray:
    """What is seen from a node, by the docstring of `View`: kinds and objects.

    `compass`: the same world with a body that does not turn.
    """
    target = compass.table(row).target
    n = target.shape[1]
    way = compass_rose(n)
    egocentric = world.metadata["motion"] == "turn, advance"
    here, heading = divmod(node, n) if egocentric else (node, 0)

    def walk(moves: list[int]) -> int:
        at = here
        for move in moves:
            at = int(target[at, move]) if at >= 0 else at
        return at

    def place(v: np.ndarray) -> int:
        """The place seen at an offset; negative if none is."""
        left, right, _ = straight(n, key(v))
        if n == 6 and not egocentric and len(left) > size // 2:
            return -9
        return max(walk(left), walk(right))

    def see(v: np.ndarray) -> tuple[int, int]:
        if (to := place(v)) >= 0:
            return PLACE, to
        left, _, last = straight(n, key(v))
        if n == 6 and not egocentric and len(left) > size // 2:
            return UNSEEN, -1
        refused = {int(target[at, move]) for move in last if (at := place(v - way[move])) >= 0}
        return SHUT if CLOSED in refused else WALLED if WALL in refused else UNSEEN, -1

    picture = np.zeros((size, size, 2), np.uint8)
    half = size // 2
    for i, j in np.ndindex(size, size):
        if egocentric:
            left, right = (1, n - 1) if n == 6 else (0, n - 1)  # on squares: ahead, and to the right
            v = (size - 1 - i) * way[(heading + left) % n] + (j if n == 6 else j - half) * way[(heading + right) % n]
        else:
            v = (j - half) * way[0] + (half - i) * way[1]
        picture[i, j, 0], to = see(v)
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


@settings(max_examples=60, deadline=None)
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
    """Every place of the field that lies in the window, at its offset, and nothing else; of hexagons, those around."""
    world = maker(env_id, **size)(20, view=view)
    observation, info = world.reset(seed=0)
    _, up = np.array(world.metadata["angles"])[:2]
    half, torus = view // 2, env_id == "Torus-v0"
    for row in range(20):
        place, held = world.table(row).place, held_at(world, row)
        for i, j in np.ndindex(view, view):
            if "Hex" in env_id and max(abs(j - half), abs(half - i), abs(j - i)) > half:
                assert not observation[row, i, j].any()
                continue
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
        ".?????.",
        "..###..",
        ".......",
        ".......",
        ".......",
        ".......",
        "#######",
    ]


def test_a_line_meets_corners_and_is_free_along_its_left_or_along_its_right() -> None:
    right_barred = field(
        "...",
        "..#",
        "A#.",
    )
    assert picture(Given(SQUARE, right_barred, view=5))[:3] == ["?#...", "?#..#", "?#.#?"]
    each_barred_once = field(
        "#..",
        "#..",
        "A#.",
    )
    assert picture(Given(SQUARE, each_barred_once, view=5))[:3] == ["?????", "??#??", "?#.#?"]
    left_then_right = field(
        "...",
        "..#",
        "A..",
    )
    left_then_right.pop((0, 1))
    assert picture(Given(SQUARE, left_then_right, view=5))[:3] == ["?????", "??#.#", "?#..."]


def test_an_opening_beside_a_corridor_is_neither_wall_nor_place_until_it_is_looked_into() -> None:
    def corridor(at: int) -> dict[Coordinates, int]:
        return field("#" * 7, "." * at + "A" + "." * (6 - at), "####.##", "####.##")

    assert picture(Given(SQUARE, corridor(2), view=5)) == ["?????", "#####", ".....", "####?", "?????"]
    assert picture(Given(SQUARE, corridor(3), view=5)) == ["?????", "#####", ".....", "###.#", "?????"]
    assert picture(Given(SQUARE, corridor(4), view=5)) == ["?????", "#####", ".....", "##.##", "?#.#?"]


def test_a_closed_door_is_shown_before_a_wall() -> None:
    """To the northeast, from the north a wall and from the east a closed door, or the other way round."""
    held = field("..", "A.")
    for from_north, from_east in ((WALL, CLOSED), (CLOSED, WALL)):
        world = Given(SQUARE, held, [((0, 1), 0, from_north), ((1, 0), 1, from_east)], view=3)
        assert picture(world) == ["#.+", "#..", "?##"]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_on_squares_a_place_is_seen_if_no_wall_is_on_the_line_to_it(seed: int) -> None:
    """By the area that the line crosses, and the corners that it meets."""
    held = dict.fromkeys(scattered(SQUARE, np.random.default_rng(seed))[0], 0)
    shown = Given(SQUARE, held, view=9).look()[..., 0]
    for x, y in itertools.product(range(-4, 5), repeat=2):
        crossed, left, right = True, True, True
        for at in itertools.product(range(min(x, 0), max(x, 0) + 1), range(min(y, 0), max(y, 0) + 1)):
            off = 2 * (x * at[1] - y * at[0])  # the corners of a square are |x| + |y| from the line through its centre
            crossed &= at in held or abs(off) >= abs(x) + abs(y)
            left &= at in held or off != abs(x) + abs(y)
            right &= at in held or off != -abs(x) - abs(y)
        assert (shown[4 - y, 4 + x] == PLACE) == (crossed and (left or right) and (x, y) in held)


@BODIES
def test_rows_looked_from_in_parts_see_the_same(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make = maker("Rooms-v0", size=3)
    whole, _ = make(5, body=body, view=5, goal=True).reset(seed=0)
    monkeypatch.setattr("envs.spatial.view.ROWS", 2)
    parts, _ = make(5, body=body, view=5, goal=True).reset(seed=0)
    assert np.array_equal(whole, parts)


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
