"""Worlds: gymnasium environments that step many copies at once and tell their own truth; they know nothing of agents.

Importing this package registers `cogarch/Square-v0` and `cogarch/Graph-v0` with gymnasium (`make` and `make_vec`).
"""

import inspect
from typing import Any

import gymnasium

from envs.graph import Graph
from envs.settings import checked, did_you_mean
from envs.square import Square
from envs.world import World

__all__ = ["World", "catalogue", "full_id", "make"]

WORLDS: dict[str, type[World]] = {"cogarch/Square-v0": Square, "cogarch/Graph-v0": Graph}

for _id, _world in WORLDS.items():
    _path = f"{_world.__module__}:{_world.__name__}"
    if _id not in gymnasium.registry:  # the module may be reloaded
        gymnasium.register(id=_id, entry_point=f"{_path}Env", vector_entry_point=_path)


def make(env_id: str, batch: int, **settings: Any) -> World:
    """Make B copies of a world, stepped together.

    Args:
        env_id: `cogarch/Square-v0` (the prefix may be left out) or a registered `MiniGrid-*` id; see `catalogue`.
        batch: B, the number of copies.
        settings: what the world can be given, by name.

    Raises:
        ValueError: an unknown id or setting, with the nearest names; a value of the wrong type, or that makes no world.
    """
    from envs.minigrid import MiniGrid  # here: importing minigrid takes longer than all else together

    env_id = full_id(env_id)
    if env_id in WORLDS:
        return WORLDS[env_id](batch, **checked(WORLDS[env_id], env_id, settings))
    return MiniGrid(batch, env_id, **checked(MiniGrid, env_id, settings))


def full_id(env_id: str) -> str:
    """The id with its prefix, so that two spellings of one world compare equal.

    Raises:
        ValueError: an unknown id, with the nearest names.
    """
    from envs.minigrid import ids

    known = {name.removeprefix("cogarch/"): name for name in WORLDS} | {name: name for name in (*WORLDS, *ids())}
    if env_id not in known:
        raise ValueError(f"no world is called {env_id!r}: {did_you_mean(env_id, known)}")
    return known[env_id]


def catalogue() -> dict[str, str]:
    """Every world that `make` can make here: its id and a line about it."""
    from envs import minigrid

    ours = {env_id: (inspect.getdoc(world) or "").splitlines()[0] for env_id, world in WORLDS.items()}
    return ours | minigrid.catalogue()
