"""The exact state of a world, kept in memory: what a search goes back to."""

import reprlib
import zlib
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

if TYPE_CHECKING:
    from envs.world import Array, World

State = dict[str, Any]
PARTS = {"world", "arrays", "streams", "seeds"}
PLAIN = (bool, int, float, str, tuple)  # constants of a world: what changes in its life is an array


def save(world: "World") -> State:
    """Copies of all that changes in a world's life: its writeable arrays, its random streams, its seeds."""
    return {
        "world": world.made,
        "arrays": {name: x.copy() for name, x in _changing(world).items()},
        "streams": {
            name: {row: generator.bit_generator.state for row, generator in generators.items()}
            for name, generators in _streams(world).items()
        },
        "seeds": dict(world.seeds),
    }


def restore(world: "World", state: State) -> None:
    """Put a saved state back; ValueError, and nothing changed, where it is none or of a world made otherwise."""
    if not isinstance(state, dict) or not state.keys() >= PARTS:
        raise ValueError(f"{reprlib.repr(state)} is no state of a world: give what save() returned")
    shapes = {name: x.shape for name, x in _changing(world).items()}
    if state["world"] != world.made or shapes != {name: x.shape for name, x in state["arrays"].items()}:
        raise ValueError(f"a state of {state['world']} is none of {world.made}: restore it in a world made alike")
    for name, x in state["arrays"].items():
        setattr(world, name, x.copy())
    for name, generators in _streams(world).items():
        for row, saved in state["streams"][name].items():
            generators.setdefault(row, np.random.default_rng(0)).bit_generator.state = saved
    world.seeds = dict(state["seeds"])


def describe(world: "World") -> str:
    """What a world was made as, in words and by a check sum of its constants: equal for worlds made alike."""
    senses: Any = world.single_observation_space
    if isinstance(senses, gymnasium.spaces.Box):  # which would print all its bounds
        senses = f"{senses.dtype} {senses.shape} up to {senses.high.max()}"
    total = 0
    for name, x in sorted(vars(world).items()):
        if isinstance(x, np.ndarray) and not x.flags.writeable:
            total = zlib.crc32(np.ascontiguousarray(x).tobytes(), zlib.crc32(name.encode(), total))
        elif name.startswith("_") and not name.startswith("_np_random") and isinstance(x, PLAIN):
            total = zlib.crc32(f"{name}={x!r}".encode(), total)
    actions = len(world.metadata["actions"])
    return f"{type(world).__name__} ({world.num_envs} rows, {actions} actions, {senses}; constants {total:08x})"


def _changing(world: "World") -> dict[str, "Array"]:
    return {name: x for name, x in vars(world).items() if isinstance(x, np.ndarray) and x.flags.writeable}


def _streams(world: "World") -> dict[str, dict[int, np.random.Generator]]:
    return {name: vars(world)[name] for name in ("generators", "_noise_generators") if name in vars(world)}
