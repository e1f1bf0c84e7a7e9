"""Every world that there is, for the tests that each must pass: a world that is registered is tested at once."""

from collections.abc import Callable

import networkx as nx
import numpy as np
import pytest

import envs
from envs.world import World


def plane() -> nx.DiGraph:
    """A 3 x 3 plane with coordinates of its own and moves by compass."""
    graph = nx.DiGraph()
    for x in range(3):
        for y in range(3):
            graph.add_node((x, y), x=2.0 * x, y=-1.5 * y)
            for name, to in {"right": (x + 1, y), "left": (x - 1, y), "up": (x, y + 1), "down": (x, y - 1)}.items():
                if 0 <= to[0] < 3 and 0 <= to[1] < 3:
                    graph.add_edge((x, y), to, action=name)
    return graph


def maker(env_id: str, **settings: object) -> Callable[..., World]:
    return lambda batch, **more: envs.make(env_id, batch, **(settings | more))


DEFAULTS = {env_id.removeprefix("cogarch/"): maker(env_id) for env_id in envs.WORLDS}
VARIANTS = {
    "squares of many sizes": maker("Square-v0", width=(3, 5), height=(2, 6)),
    "square with all": maker("Square-v0", width=(3, 5), landmarks=3, borders=True, goal=True, endless=False),
    "square ahead": maker("Square-v0", width=(3, 5), body="egocentric", view=3, goal=True),
    "squares from above": maker("Square-v0", width=(3, 5), height=(2, 6), view="map", landmarks=2, goal=True),
    "square in pixels": maker("Square-v0", width=(3, 5), body="egocentric", view="pixels", goal=True),
    "tori of many sizes": maker("Torus-v0", width=(2, 4), height=(2, 3), body="egocentric"),
    "torus around": maker("Torus-v0", width=(2, 4), view=5),
    "rooms from above": maker("Rooms-v0", size=(2, 3), closed=1, body="egocentric", view="map"),
    "two rooms in pixels": maker("TwoRooms-v0", size=5, walls="edges", view="pixels"),
    "hexagons of many sizes": maker("Hex-v0", edge=(2, 3), body="egocentric", goal=True),
    "hexes in a rectangle": maker("Hex-v0", outline="rectangle", width=(2, 4), height=(2, 5), view=3, landmarks=2),
    "plane": maker("Graph-v0", graph=plane()),
    "smooth walk": maker("Arena-v0", trajectory="smooth", observation="field"),
    "recorded path": maker("Arena-v0", trajectory=[[0.1, 0.1], [0.3, 0.2], [0.9, 0.5], [0.5, 0.9], [0.2, 0.5]]),
}
MINIGRID = {
    "fixed": maker("MiniGrid-FourRooms-v0"),
    "new": maker("MiniGrid-DoorKey-6x6-v0", layout="new", actions="all", endless=False),
    "moving": maker("MiniGrid-Dynamic-Obstacles-6x6-v0"),
}
WORLDS = DEFAULTS | VARIANTS | MINIGRID
EVERY_WORLD = pytest.mark.parametrize("make", WORLDS.values(), ids=WORLDS)


def live(world: World, seeds: list[int], ticks: int) -> list[dict[str, np.ndarray]]:
    """Everything a world says in `ticks` ticks of random actions; halfway rows 0, 2, ... are reset by mask."""
    mask = np.arange(world.num_envs) % 2 == 0
    observation, info = world.reset(seed=seeds)
    said = [{"observation": observation} | info]
    for t, actions in enumerate(np.random.default_rng(0).integers(len(world.metadata["actions"]), size=(ticks, 64))):
        observation, reward, terminated, truncated, info = world.step(actions[: world.num_envs])
        if t == ticks // 2:
            observation, info = world.reset(options={"reset_mask": mask})
        said.append(
            {"observation": observation, "reward": reward, "terminated": terminated, "truncated": truncated} | info
        )
    return said


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    """To the bit, of the same names, types and shapes."""
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and bool((a[k] == b[k]).all()) for k in a
    )


def all_same(a: list[dict[str, np.ndarray]], b: list[dict[str, np.ndarray]]) -> bool:
    return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
