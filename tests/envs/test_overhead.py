"""Worlds seen from above: the map read back into a world and held against what the world tells, the picture against
the map."""

import re
from dataclasses import dataclass, field

import numpy as np
import pytest
from every_world import maker
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
from envs.drawing import colours
from envs.spatial.lattice import Lattice
from envs.spatial.overhead import MOST_SIDE
from envs.spatial.view import KINDS
from envs.table import CLOSED

Place = tuple[int, int]  # x, y; y up
Line = tuple[float, float]  # the middle of a side of a place
AHEAD = ((1, 0), (0, 1), (-1, 0), (0, -1))  # east, north, west, south
WALL, PLACE, GOAL = (KINDS.index(kind) for kind in ("wall", "place", "goal"))
SOLID, LINE, DOOR, GOLD, BODY, FRONT = (89,) * 3, (38,) * 3, (255, 69, 0), (255, 215, 0), (38,) * 3, (255,) * 3
OBJECT_OF = {tuple(rgb): o for o, rgb in enumerate(colours(np.arange(254)).astype(np.uint8).tolist())}
SEEN = {
    "squares": maker("Square-v0", width=(2, 5), height=(3, 6), landmarks=3, goal=True),
    "squares with borders": maker("Square-v0", width=(3, 5), borders=True, stay=True),
    "torus": maker("Torus-v0", width=(2, 4), height=3, goal=True),
    "rooms": maker("Rooms-v0", size=(2, 4), closed=1, goal=True, door="random"),
    "rooms with thick walls": maker("Rooms-v0", size=(2, 3), closed=1, walls="cells", landmarks=2),
    "two rooms": maker("TwoRooms-v0", size=6, goal=True),
    "two rooms with a thin wall": maker("TwoRooms-v0", size=5, walls="edges"),
    "maze": maker("Maze-v0", width=(3, 5), height=4, loops=0.2),
    "maze with thick walls": maker("Maze-v0", width=(2, 4), walls="cells", goal=True),
}
EVERY_SEEN = pytest.mark.parametrize("name", SEEN)
BODIES = pytest.mark.parametrize("body", ["allocentric", "egocentric"])


@dataclass
class Sight:
    """What is known of a world from above."""

    objects: dict[Place, int] = field(default_factory=dict)  # on each place
    walls: set[Line] = field(default_factory=set)
    closed: set[Line] = field(default_factory=set)
    goal: Place | None = None
    agent: Place | None = None
    heading: int | None = None  # quarter turns; None: the body does not turn, or is not seen


def side(x: int, y: int, direction: int) -> Line:
    dx, dy = AHEAD[direction]
    return x + dx / 2, y + dy / 2


def told(world: Lattice, row: int, info: dict[str, np.ndarray]) -> Sight:
    """What the world says of itself."""
    table, held = world.table(row), [o for _, o in world.graph(row).nodes(data="object")]
    turns = world.metadata["motion"] == "turn, advance"
    at = [(int(x), int(y)) for x, y in table.place]
    known = Sight(objects=dict(zip(at, held, strict=True)), agent=at[info["node"][row]])
    refused = {(x, y) for x, y in world.walls(row).mean(axis=1).round(1).tolist()}
    for node, action in np.argwhere(table.target == CLOSED).tolist():
        known.closed.add(side(*at[node], node % 4 if turns else action))
    known.walls = refused - known.closed
    known.goal = at[world.goal(row)[0]] if len(world.goal(row)) else None
    known.heading = round(float(info["heading"][row]) / (np.pi / 2)) if turns else None
    return known


def read(seen: np.ndarray, turns: bool) -> Sight:
    """What a map shows."""
    known, height = Sight(), len(seen)
    for i, j in np.ndindex(seen.shape[:2]):
        kind, sides, thing, agent = seen[i, j].tolist()
        x, y = j, height - 1 - i
        if kind == WALL:
            assert (sides, thing, agent) == (0, 0, 0)
            continue
        assert kind in (PLACE, GOAL) and thing > 0
        known.objects[x, y] = thing - 1
        known.walls |= {side(x, y, d) for d in range(4) if sides >> d & 1}
        known.closed |= {side(x, y, d) for d in range(4) if sides >> 4 + d & 1}
        if kind == GOAL:
            assert known.goal is None
            known.goal = x, y
        if agent:
            assert known.agent is None
            known.agent, known.heading = (x, y), agent - 1 if turns else None
    return known


def one_colour(pixels: np.ndarray) -> tuple[int, ...]:
    (colour,) = {tuple(pixel) for pixel in pixels.reshape(-1, 3).tolist()}
    return colour


def look(picture: np.ndarray, shape: tuple[int, int], turns: bool) -> Sight:
    """What a picture shows, cell by cell and line by line; an object that cannot be seen is -1."""
    known, (height, width) = Sight(), shape
    s = 63 // max(shape)
    for i, j in np.ndindex(shape):
        x, y, tile = j, height - 1 - i, picture[i * s + 1 : (i + 1) * s, j * s + 1 : (j + 1) * s]
        body = (tile == BODY).all(axis=2) | (tile == FRONT).all(axis=2)
        ground = tile[~body]
        colour = one_colour(ground) if len(ground) else None
        if colour == SOLID:
            assert not body.any()
            continue
        known.objects[x, y] = -1 if colour in (None, GOLD) else OBJECT_OF[colour]
        if colour == GOLD:
            assert known.goal is None
            known.goal = x, y
        if body.any():
            assert known.agent is None
            assert np.array_equal(body, body.T) and np.array_equal(body, body[::-1])  # a square, in the middle
            front = (tile == FRONT).all(axis=2)
            known.agent = x, y
            if turns:
                right, up = np.argwhere(front).mean(axis=0)[::-1] - np.argwhere(body).mean(axis=0)[::-1]
                known.heading = AHEAD.index((round(np.sign(right)), round(-np.sign(up))))
                assert front.sum() == body.sum() ** 0.5
            else:
                assert not front.any()
    lines = {(j, height - i - 0.5): picture[i * s, j * s + 1 : (j + 1) * s] for i, j in np.ndindex(height + 1, width)}
    lines |= {
        (j - 0.5, height - 1 - i): picture[i * s + 1 : (i + 1) * s, j * s] for i, j in np.ndindex(height, width + 1)
    }
    for middle, pixels in lines.items():
        colour = one_colour(pixels)
        known.walls |= {middle} if colour == LINE else set()
        known.closed |= {middle} if colour == DOOR else set()
    assert one_colour(np.append(picture[height * s + 1 :].reshape(-1, 3), [SOLID], axis=0)) == SOLID
    assert one_colour(np.append(picture[:, width * s + 1 :].reshape(-1, 3), [SOLID], axis=0)) == SOLID
    return known


def moves(world: Lattice, ticks: int) -> np.ndarray:
    return np.random.default_rng(0).integers(len(world.metadata["actions"]), size=(ticks, world.num_envs))


@EVERY_SEEN
@BODIES
def test_a_map_shows_all_that_the_world_tells(name: str, body: str) -> None:
    world = SEEN[name](5, view="map", body=body)
    turns, goals, shut = body == "egocentric", 0, 0
    for seed in range(3):
        seen, info = world.reset(seed=seed)
        for actions in moves(world, 8):
            assert world.observation_space.contains(seen)
            for row in range(5):
                known = read(seen[row], turns)
                assert known == told(world, row, info)
                assert {known.objects[x, y] >= 45 for x, y in world.table(row).place[world.landmarks(row)]} <= {True}
                goals, shut = goals + (known.goal is not None), shut + len(known.closed)
            seen, *_, info = world.step(actions)
    assert (goals > 0) == world._pays and (shut > 0) == name.startswith("rooms")


@EVERY_SEEN
@BODIES
def test_a_picture_shows_what_the_map_shows(name: str, body: str) -> None:
    mapped, drawn = (SEEN[name](4, view=view, body=body) for view in ("map", "pixels"))
    shape, turns = mapped.single_observation_space.shape[:2], body == "egocentric"
    assert drawn.single_observation_space.shape == (64, 64, 3)
    for seed in range(2):
        seen, picture = mapped.reset(seed=seed)[0], drawn.reset(seed=seed)[0]
        for actions in moves(mapped, 5):
            assert drawn.observation_space.contains(picture)
            for row in range(4):
                known, shown = read(seen[row], turns), look(picture[row], shape, turns)
                if known.agent == known.goal:  # who stands on the goal hides it, where the picture is coarse
                    assert shown.goal in (known.goal, None)
                    shown.goal = known.goal
                hidden = {place for place, held in shown.objects.items() if held == -1}
                assert hidden <= {known.goal} | ({known.agent} if max(shape) > 10 else set())
                known.objects |= dict.fromkeys(hidden, -1)
                assert shown == known
            seen, picture = mapped.step(actions)[0], drawn.step(actions)[0]


@settings(max_examples=20, deadline=None)
@given(
    width=st.integers(2, MOST_SIDE), height=st.integers(2, MOST_SIDE), seed=st.integers(0, 1000), heads=st.booleans()
)
def test_worlds_of_every_size_fit_into_a_picture(width: int, height: int, seed: int, heads: bool) -> None:
    world = envs.make(
        "Square-v0", 1, width=width, height=height, view="pixels", body="egocentric" if heads else "allocentric"
    )
    picture, info = world.reset(seed=seed)
    shown, known = look(picture[0], (height, width), heads), told(world, 0, info)
    assert (shown.agent, shown.heading, shown.walls) == (known.agent, known.heading, known.walls)
    hidden = [place for place, held in shown.objects.items() if held == -1]
    assert hidden == ([known.agent] if max(width, height) > 10 else [])
    assert shown.objects == known.objects | dict.fromkeys(hidden, -1)


@pytest.mark.parametrize("view", ["map", "pixels"])
def test_smaller_worlds_lie_in_the_southwest_and_all_else_is_wall(view: str) -> None:
    world = envs.make("Square-v0", 30, width=(2, 6), height=(2, 5), view=view)
    seen, _ = world.reset(seed=0)
    assert len(set(zip(world.width.tolist(), world.height.tolist(), strict=True))) > 8
    for row, (w, h) in enumerate(zip(world.width, world.height, strict=True)):
        if view == "map":
            inside = np.zeros((5, 6), bool)
            inside[5 - h :, :w] = True
            assert np.array_equal(seen[row][..., 0] == PLACE, inside) and (seen[row][~inside][:, 0] == WALL).all()
        else:
            shown = look(seen[row], (5, 6), turns=False)
            assert set(shown.objects) == {(x, y) for x in range(w) for y in range(h)}
            assert len(shown.walls) == 2 * (w + h)


@pytest.mark.parametrize("walls", ["edges", "cells"])
@pytest.mark.parametrize("view", ["map", "pixels"])
def test_a_door_is_seen_closed_from_the_next_step_on_in_its_own_row_alone(view: str, walls: str) -> None:
    world = envs.make("TwoRooms-v0", 3, size=5, view=view, walls=walls, stay=True)
    before, _ = world.reset(seed=3)
    world.close_door(1, 0)
    after = world.step(np.full(3, 4))[0]
    assert [bool((before[row] != after[row]).any()) for row in range(3)] == [False, True, False]
    shown = read(after[1], False) if view == "map" else look(after[1], (5, 5), False)
    between = world.table(1).place[world.doors(1)[0]].mean(axis=0)
    off = {(abs(x - between[0]), abs(y - between[1])) for x, y in shown.closed}
    assert off <= ({(0, 0)} if walls == "edges" else {(0.5, 0), (0, 0.5)})
    assert len(shown.closed) == (1 if walls == "edges" else 2)
    world.open_door(1, 0)
    assert np.array_equal(world.step(np.full(3, 4))[0], before)


@pytest.mark.parametrize("view", ["map", "pixels"])
def test_what_a_row_sees_does_not_depend_on_the_others(view: str) -> None:
    given = {"view": view, "size": (2, 4), "closed": 1, "goal": True, "body": "egocentric"}
    together = envs.make("Rooms-v0", 4, **given)
    seen, _ = together.reset(seed=10)
    everyone = [seen, *(together.step(actions)[0] for actions in moves(together, 12))]
    for row in range(4):
        alone = envs.make("Rooms-v0", 1, **given)
        own = [alone.reset(seed=10 + row)[0], *(alone.step(a[[row]])[0] for a in moves(together, 12))]
        assert all(np.array_equal(a[row], b[0]) for a, b in zip(everyone, own, strict=True))


def test_every_object_has_a_colour_of_its_own_that_marks_nothing_else() -> None:
    assert len(OBJECT_OF) == 254
    assert not OBJECT_OF.keys() & {SOLID, LINE, DOOR, GOLD, BODY, FRONT}


@pytest.mark.parametrize(
    ("env_id", "wrong", "message"),
    [
        ("Hex-v0", {"view": "map"}, 'view is \'map\': give an odd number, None, or on squares "map" or "pixels"'),
        ("Square-v0", {"view": "above"}, 'view is \'above\': give a whole number or "map" or "pixels" or None'),
        ("Square-v0", {"view": "pixels", "width": (3, 22)}, "a world 22 places from side to side: 64 pixels show 21"),
        ("Maze-v0", {"view": "pixels", "width": 12, "walls": "cells"}, "a world 23 places from side to side"),
        ("Torus-v0", {"view": "map", "objects": 255}, "255 objects (landmarks and borders counted): seen from above"),
        ("Torus-v0", {"view": "pixels", "objects": 245, "landmarks": 1}, "255 objects (landmarks and borders counted)"),
    ],
)
def test_what_cannot_be_seen_from_above_is_named_with_the_mend(env_id: str, wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        envs.make(env_id, 1, **wrong)


def test_more_pictures_than_memory_holds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"each world holds 12,288 numbers to be seen \(view is 'pixels'\)"):
        envs.make("Square-v0", 20_000, width=4, view="pixels")
    with pytest.raises(ValueError, match=r"view is 'above': give an odd number, None, or on squares"):
        envs.spatial.square.Square(1, view="above")
