"""The exact state of a MiniGrid environment, saved and brought back in microseconds, for tree search."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from minigrid.core.grid import Grid
from minigrid.core.roomgrid import Room
from minigrid.core.world_object import Floor, Goal, Lava, Wall, WorldObj
from minigrid.envs.babyai.core.verifier import Instr, ObjDesc

MUTABLE: Final = (WorldObj, Grid, Instr, ObjDesc, Room)
NEVER_CHANGES: Final = (Wall, Floor, Goal, Lava)
OWN: Final = ("gen_obs", "_np_random", "observation_space", "action_space")  # of an environment, never of its state


@dataclass(frozen=True)
class State:
    """What an environment was: its changeable parts, which are held, and copies of what each of them had.

    Within an episode parts change their attributes, never what they are: an attribute that is a list or an array is
    replaced, not written to (the cells of the grid excepted). So a copy of each part's attributes is enough.
    """

    parts: list[Any]  # the environment first, then its objects, rooms, instructions
    kept: list[dict[str, Any]]  # the attributes of each
    cells: list[Any]  # of the grid
    stream: dict[str, Any] | None  # of the environment's own generator


def parts_of(env: Any) -> list[Any]:
    """All of an environment's episode that can change, each part once, the environment first."""
    found = {id(env): env}
    waiting = [env]
    while waiting:
        for item in _within(list(vars(waiting.pop()).values())):
            if isinstance(item, MUTABLE) and not isinstance(item, NEVER_CHANGES) and id(item) not in found:
                found[id(item)] = item
                waiting.append(item)
    return list(found.values())


def save(env: Any, parts: list[Any], own_stream: bool) -> State:
    """The state of an environment, given `parts_of` its present episode."""
    stream = env.np_random.bit_generator.state if own_stream else None
    return State(parts, [vars(part).copy() for part in parts], env.grid.grid.copy(), stream)


def restore(env: Any, state: State) -> list[Any]:
    """Bring an environment back to a state of its own or of one made alike; returns the parts that it now has."""
    if state.stream is not None:
        env.np_random.bit_generator.state = state.stream
    own = {name: getattr(env, name) for name in OWN}
    if state.parts[0] is env:
        parts, cells = state.parts, state.cells.copy()
        for part, kept in zip(parts, state.kept, strict=True):
            vars(part).update(kept)
    else:  # the parts live in another environment: this one gets copies of them
        copies = {id(part): object.__new__(type(part)) for part in state.parts}
        copies[id(state.parts[0])] = env
        parts, cells = list(copies.values()), [copies.get(id(cell), cell) for cell in state.cells]
        for part, kept in zip(parts, state.kept, strict=True):
            vars(part).update({name: _copied(value, copies) for name, value in kept.items()})
    vars(env).update(own)
    env.grid.grid = cells
    return parts


def _within(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _within(item)
    elif isinstance(value, dict):
        yield from _within(list(value.values()))
    else:
        yield value


def _copied(value: Any, copies: dict[int, Any]) -> Any:
    """A value with the copies of parts in the place of the parts."""
    if id(value) in copies:
        return copies[id(value)]
    if isinstance(value, list):
        return [_copied(item, copies) for item in value]
    if type(value) is tuple:
        return tuple(_copied(item, copies) for item in value)
    if isinstance(value, dict):
        return {name: _copied(item, copies) for name, item in value.items()}
    return value
