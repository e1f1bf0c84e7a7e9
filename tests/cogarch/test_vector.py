"""The planner `vector`: the shortest way where the world is open, by the rotor's codes alone; stuck behind walls."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

import envs
from cogarch import Signal
from cogarch.executive.vector import vector
from cogarch.mec.rotor import Rotor
from envs import oracle

Array = NDArray[Any]
COMPASS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])  # east, north, west, south
BODY = torch.tensor([[math.pi / 2, 0.0], [-math.pi / 2, 0.0], [0.0, 1.0]])  # left, right, forward


def chosen(displacement: list[float], effect: Tensor = COMPASS, u: float = 0.5, **more: Any) -> int:
    """The action of one agent."""
    more = {k: v if isinstance(v, (bool, float)) else torch.tensor([v]) for k, v in more.items()}
    return int(vector(torch.tensor([displacement]), effect[None], torch.tensor([u]), **more))


# --- one choice -------------------------------------------------------------------------------------------------------


def test_the_nearest_after_it() -> None:
    assert chosen([5.0, 1.0]) == 0 and chosen([-1.0, 5.0]) == 1 and chosen([-5.0, 1.0]) == 2
    assert chosen([1.0, -5.0]) == 3
    assert chosen([math.nan, math.nan]) == -1 == chosen([math.nan, math.nan], torch.zeros(4, 2))
    assert chosen([0.3, 0.2]) == -1 and chosen([0.3, 0.2], arrived=0.1) in (0, 1)


def test_ties_are_drawn_alike() -> None:
    u = (torch.arange(1000) + 0.5) / 1000
    n = len(u)
    picks = vector(torch.full((n, 2), 3.0), COMPASS.expand(n, 4, 2), u)
    assert torch.bincount(picks).tolist() == [500, 500]
    refused = torch.ones(n, 4, dtype=torch.bool)
    refused[:, 1] = False
    assert set(vector(torch.full((n, 2), 3.0), COMPASS.expand(n, 4, 2), u, refused).tolist()) == {1}


def test_refused_moves_are_left_out_and_so_is_what_undoes_the_last() -> None:
    east = [True, False, False, False]
    assert chosen([5.0, 1.0], refused=east) == 1
    assert chosen([5.0, -1.0], refused=east) == 3
    assert chosen([5.0, -1.0], refused=east, last=1) == 1  # on along the wall, and not back
    assert chosen([5.0, 0.0], refused=[True, True, False, True], last=0) == 2  # unless nothing else is left
    assert chosen([5.0, 0.0], refused=[True] * 4) == -1
    # a body that met a wall and turned left goes on, though turning back would look shorter
    assert chosen([0.0, -5.0], BODY, egocentric=True) == 1
    assert chosen([0.0, -5.0], BODY, egocentric=True, last=0) == 2


@pytest.mark.parametrize("unknown", [0.0, math.nan])
def test_what_is_not_known_is_tried_where_nothing_is(unknown: float) -> None:
    nothing = torch.full((4, 2), unknown)
    assert {chosen([5.0, 1.0], nothing, u=u) for u in (0.1, 0.3, 0.6, 0.9)} == {0, 1, 2, 3}
    some = COMPASS.clone()
    some[0] = unknown
    assert chosen([5.0, 1.0], some) == 1
    assert chosen([5.0, 1.0], some, refused=[False, True, True, True]) == 0
    turns = BODY.clone()
    turns[2] = unknown
    assert chosen([5.0, 1.0], turns, egocentric=True) == 2  # half of what it takes is of no use


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"refused is \[2, 3\]: with effect \[2, 4, 2\], give \[2, 4\]"):
        vector(torch.zeros(2, 2), torch.zeros(2, 4, 2), torch.zeros(2), torch.zeros(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"u is \[1\]: with effect \[2, 4, 2\], give \[2\]"):
        vector(torch.zeros(2, 2), torch.zeros(2, 4, 2), torch.zeros(1))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), egocentric=st.booleans())
def test_a_row_is_for_itself_and_nothing_is_refused(seed: int, egocentric: bool) -> None:
    rng = torch.Generator().manual_seed(seed)
    n, effect = 12, BODY if egocentric else COMPASS
    way = 6 * torch.randn(n, 2, generator=rng)
    refused = torch.rand(n, len(effect), generator=rng) < 0.4
    last, u = torch.randint(-1, len(effect), (n,), generator=rng), torch.rand(n, generator=rng)
    picks = vector(way, effect.expand(n, -1, 2), u, refused, last, egocentric=egocentric)
    for i in range(n):
        alone = [x[i : i + 1] for x in (way, effect.expand(n, -1, 2), u, refused, last)]
        assert int(vector(*alone, egocentric=egocentric)) == picks[i]
        if picks[i] >= 0:
            assert not refused[i, picks[i]]
        else:
            assert way[i].norm() <= 0.5 or bool(refused[i].all())


# --- whole ways, by the rotor's codes ---------------------------------------------------------------------------------


def effects(world: envs.World) -> Tensor:
    """What each action does, `[A, 2]`."""
    angles = world.metadata["angles"]
    return BODY if angles is None else torch.tensor([[math.cos(a), math.sin(a)] for a in angles])


def goals(world: envs.World) -> Array:
    """A node of each row's world as it begins with seed 0."""
    world.reset(seed=0)
    rng = np.random.default_rng(0)
    return np.array([rng.integers(len(world.table(row))) for row in range(world.num_envs)])


def travel(world: envs.World, ticks: int, remember: bool = False) -> tuple[Array, Array]:
    """Live on codes alone, towards a code that was made by imagining the way to the goal; `remember` moves that were
    refused, and the last. Steps taken `[B]` (-1: not there), and the fewest that there are `[B]`."""
    goal = goals(world)
    n = world.num_envs
    unit, egocentric = world.metadata["motion"], world.metadata["motion"] == "turn, advance"
    _, info = world.reset(seed=0)
    tables = [world.table(i) for i in range(n)]
    effect = effects(world).expand(n, -1, 2)
    torch.manual_seed(0)
    topics = {"env/motion": Signal((2,), unit=unit), "env/action": Signal(dtype=torch.int64, values=effect.shape[1])}
    rotor, u = Rotor(topics), torch.Generator().manual_seed(1)
    state, motion = rotor.init(n), torch.zeros(n, 2)
    with torch.no_grad():
        g = rotor.move(state, motion=motion)[0]["mec/g"]
        # the rotor's axes are the world's, but of a body that turns those of its first heading
        way = torch.tensor(np.stack([t.place[k] for t, k in zip(tables, goal, strict=True)]) - info["place"])
        ends = goal[:, None]
        none = torch.full((n, 1), -1)
        if egocentric:
            ends = np.stack([np.flatnonzero((t.place == t.place[k]).all(1)) for t, k in zip(tables, goal, strict=True)])
            angle = torch.atan2(way[:, 1], way[:, 0]) - torch.from_numpy(info["heading"])
            there = rotor.ahead(g, none, torch.stack([angle, way.norm(dim=-1)], -1).float())
        else:
            there = rotor.ahead(g, none, way.float())
        fewest = oracle.distance(world, info["node"], list(ends))
        taken, last = np.full(n, -1), torch.full((n,), -1)
        walls = np.zeros((n, max(map(len, tables)), effect.shape[1]), bool)
        rows, node = np.arange(n), info["node"]
        for t in range(ticks + 1):
            taken[(taken < 0) & (node[:, None] == ends).any(1)] = t
            refused = torch.from_numpy(walls[rows, node]) if remember else None
            action = vector(
                rotor.between(g, there),
                effect,
                torch.rand(n, generator=u),
                refused,
                last if remember else None,
                egocentric=egocentric,
            )

            if not remember:  # it says that it has arrived, there and nowhere else
                np.testing.assert_array_equal(action < 0, (node[:, None] == ends).any(1))
            last = action
            _, _, _, _, info = world.step(action.clamp(min=0).numpy())
            walls[rows, node, action.clamp(min=0)] |= info["bump"]
            motion, node = torch.from_numpy(info["motion"]), info["node"]
            (writes, state) = rotor.move(state, motion=motion)
            g = writes["mec/g"]
            if (taken >= 0).all():
                break
    return taken, fewest


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("Square-v0", {"width": 12}),
        ("Square-v0", {"width": 30, "height": 7}),
        ("Square-v0", {"width": 9, "body": "egocentric"}),
        ("Hex-v0", {"edge": 7}),
        ("Hex-v0", {"outline": "rectangle", "width": 11}),
    ],
    ids=lambda x: x if isinstance(x, str) else ",".join(f"{k}={v}" for k, v in x.items()),
)
def test_on_open_worlds_every_way_is_a_shortest_way(name: str, more: dict[str, Any]) -> None:
    taken, fewest = travel(envs.make(name, 64, **more), 60)
    assert fewest.max() > 10
    np.testing.assert_array_equal(taken, fewest)


def test_on_a_torus_it_arrives_the_way_it_knows() -> None:
    """A code that unrolls the world knows one way round, which is the longer one as often as not."""
    taken, fewest = travel(envs.make("Torus-v0", 64, width=9), 20)
    assert (taken >= fewest).all()
    assert 16 < (taken == fewest).sum() < 48


@pytest.mark.parametrize(
    ("name", "body", "straight", "sliding"),
    [
        ("Rooms-v0", "allocentric", (9, 19), (22, 31)),
        ("Maze-v0", "allocentric", (1, 9), (15, 25)),
        ("Rooms-v0", "egocentric", (7, 15), (13, 24)),
    ],
)
def test_behind_walls_it_gets_stuck(name: str, body: str, straight: tuple[int, int], sliding: tuple[int, int]) -> None:
    """How many of 32 goals are reached within 80 ticks, straight on or sliding along walls; never all."""
    for remember, (least, most) in ((False, straight), (True, sliding)):
        taken, fewest = travel(envs.make(name, 32, body=body), 80, remember)
        there = taken >= 0
        assert least <= there.sum() <= most, there.sum()
        assert (taken[there] >= fewest[there]).all()


def test_a_step_is_the_longest_that_an_action_makes() -> None:
    """Costs are in steps, so that ties are ties at any scale; and actions that go far are taken for it."""
    for scale in (0.01, 1.0, 100.0):
        fast = scale * torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
        assert chosen([9.0 * scale, 4.0 * scale], fast, arrived=0.1 * scale) == 1
        assert {chosen([scale, scale], scale * COMPASS, u=u, arrived=0.1 * scale) for u in (0.2, 0.8)} == {0, 1}


# --- a body that turns, against every way there is --------------------------------------------------------------------


@pytest.mark.parametrize("directions", [4, 6])
def test_a_turning_body_takes_the_fewest_ticks(directions: int) -> None:
    """Breadth first over all poses within reach: no way is shorter than the one taken."""
    q = 2 * math.pi / directions
    effect = torch.tensor([[q, 0.0], [-q, 0.0], [0.0, 1.0]])
    ways = [complex(math.cos(i * q), math.sin(i * q)) for i in range(directions)]

    def key(z: complex) -> tuple[int, int]:
        return round(z.real * 1000), round(z.imag * 1000)

    fewest, front = {key(0j): (0, 0j)}, {(key(0j), 0): 0j}
    seen = set(front)
    for tick in range(1, 9):
        after = {}
        for (_, h), z in front.items():
            for to, facing in ((z, (h + 1) % directions), (z, (h - 1) % directions), (z + ways[h], h)):
                if (pose := (key(to), facing)) not in seen:
                    seen.add(pose)
                    after[pose] = to
                    fewest.setdefault(key(to), (tick, to))
        front = after
    goals = torch.tensor([[z.real, z.imag] for _, z in fewest.values()])
    want = torch.tensor([tick for tick, _ in fewest.values()])
    n = len(goals)
    assert n > 50
    place, heading, taken = torch.zeros(n, 2), torch.zeros(n), torch.full((n,), -1)
    for tick in range(12):
        way = goals - place
        c, s = heading.cos(), heading.sin()
        body = torch.stack([c * way[:, 0] + s * way[:, 1], c * way[:, 1] - s * way[:, 0]], -1)
        action = vector(body, effect.expand(n, 3, 2), torch.full((n,), 0.5), egocentric=True, arrived=0.1)
        taken = torch.where((action < 0) & (taken < 0), tick, taken)
        done = effect[action.clamp(min=0)] * (action >= 0)[:, None]
        heading = heading + done[:, 0]
        place = place + done[:, 1:] * torch.stack([heading.cos(), heading.sin()], -1)
    assert torch.equal(taken, want)
