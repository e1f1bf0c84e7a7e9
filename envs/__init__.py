"""Worlds: gymnasium environments that step many copies at once and tell their own truth; they know nothing of agents.

Importing this package registers `cogarch/Square-v0` and `cogarch/Graph-v0` with gymnasium (`make` and `make_vec`).
"""

import difflib
import inspect
from typing import Any

import gymnasium

from envs.graph import Graph
from envs.square import Square
from envs.world import World

__all__ = ["World", "catalogue", "make"]

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
        ValueError: an unknown id or setting, with the nearest names; a value that makes no world.
    """
    from envs.minigrid import MiniGrid, ids  # here: importing minigrid takes longer than all else together

    full = env_id if env_id in WORLDS else f"cogarch/{env_id}"
    if full in WORLDS:
        _check_settings(full, WORLDS[full], settings)
        return WORLDS[full](batch, **settings)
    if env_id in ids():
        _check_settings(env_id, MiniGrid, settings)
        return MiniGrid(batch, env_id, **settings)
    known = [*WORLDS, *(name.removeprefix("cogarch/") for name in WORLDS), *ids()]
    raise ValueError(f"no world is called {env_id!r}: {_did_you_mean(env_id, known)}")


def catalogue() -> dict[str, str]:
    """Every world that `make` can make here: its id and a line about it."""
    from envs import minigrid

    ours = {env_id: (inspect.getdoc(world) or "").splitlines()[0] for env_id, world in WORLDS.items()}
    return ours | minigrid.catalogue()


def _check_settings(env_id: str, world: type[World], settings: dict[str, Any]) -> None:
    parameters = inspect.signature(world).parameters.values()
    known = {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    for name in settings:
        if name not in known:
            raise ValueError(f"{env_id} has no setting {name!r}: {_did_you_mean(name, list(known))}")
    for name, parameter in known.items():
        if parameter.default is inspect.Parameter.empty and name not in settings:
            raise ValueError(f"{env_id} needs the setting {name!r}: pass {name}=...")


def _did_you_mean(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known[:12])}"
