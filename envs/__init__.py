"""Worlds: gymnasium environments that step many copies at once and tell their own truth; they know nothing of agents.

Importing this package registers every world of `WORLDS` as `cogarch/NAME-v0` with gymnasium (`make` and `make_vec`).
"""

import importlib
import inspect
from typing import Any

import gymnasium

from envs.settings import check_batch, checked, did_you_mean
from envs.world import World

__all__ = ["World", "catalogue", "full_id", "make"]

WORLDS: dict[str, str] = {
    "cogarch/Square-v0": "envs.spatial.square:Square",
    "cogarch/Torus-v0": "envs.spatial.square:Torus",
    "cogarch/Hex-v0": "envs.spatial.hexagon:Hex",
    "cogarch/Rooms-v0": "envs.spatial.rooms:Rooms",
    "cogarch/TwoRooms-v0": "envs.spatial.two_rooms:TwoRooms",
    "cogarch/Maze-v0": "envs.spatial.maze:Maze",
    "cogarch/Graph-v0": "envs.relational.graph:Graph",
    "cogarch/Cayley-v0": "envs.relational.cayley:Cayley",
    "cogarch/FamilyTree-v0": "envs.relational.family_tree:FamilyTree",
    "cogarch/Line-v0": "envs.relational.line:Line",
    "cogarch/SocialHierarchy-v0": "envs.relational.line:SocialHierarchy",
    "cogarch/Loop-v0": "envs.relational.loop:Loop",
    "cogarch/Alternation-v0": "envs.relational.alternation:Alternation",
    "cogarch/Arena-v0": "envs.continuous.arena:Arena",
}
"""Our worlds, each by its module and class: a world is imported when it is made."""


def make(env_id: str, batch: int, **settings: Any) -> World:
    """Make B copies of a world, stepped together.

    Args:
        env_id: `cogarch/Square-v0` (the prefix may be left out) or a registered `MiniGrid-*` or `BabyAI-*` id; see
            `catalogue`.
        batch: B, the number of copies.
        settings: what the world can be given, by name.

    Raises:
        ValueError: an unknown id or setting, with the nearest names; a value of the wrong type, or that makes no world.
    """
    env_id, batch = full_id(env_id), check_batch(batch)
    if env_id in WORLDS:
        world = _class(env_id)
        return world(batch, **checked(world, env_id, settings))
    from envs.minigrid import MiniGrid  # here: importing minigrid takes longer than all else together

    return MiniGrid(batch, env_id, **checked(MiniGrid, env_id, settings))


def full_id(env_id: str) -> str:
    """The id with its prefix, so that two spellings of one world compare equal.

    Raises:
        ValueError: an unknown id, with the nearest names.
    """
    ours = {name.removeprefix("cogarch/"): name for name in WORLDS} | {name: name for name in WORLDS}
    if env_id in ours:
        return ours[env_id]
    from envs.minigrid import ids

    known = ours | {name: name for name in ids()}
    if env_id not in known:
        raise ValueError(f"no world is called {env_id!r}: {did_you_mean(env_id, known)}")
    return known[env_id]


def catalogue() -> dict[str, str]:
    """Every world that `make` can make here: its id and a line about it."""
    from envs import minigrid

    ours = {env_id: (inspect.getdoc(_class(env_id)) or "").splitlines()[0] for env_id in WORLDS}
    return ours | minigrid.catalogue()


def _class(env_id: str) -> type[World]:
    module, _, name = WORLDS[env_id].partition(":")
    world: type[World] = getattr(importlib.import_module(module), name)
    return world


def _make_vec(env_id: str, num_envs: int = 1, **settings: Any) -> World:
    return make(env_id, num_envs, **settings)


for _id in WORLDS:
    if _id not in gymnasium.registry:  # the module may be reloaded
        gymnasium.register(
            id=_id, entry_point="envs.single:SingleWorld", vector_entry_point="envs:_make_vec", kwargs={"env_id": _id}
        )
