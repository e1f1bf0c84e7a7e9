"""One world of a batch of one, for `gymnasium.make`."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.state import State
from envs.table import MultiDiGraph, Table
from envs.world import Ints, World


class SingleWorld(gymnasium.Env[Any, Any]):
    """One world behind gymnasium's single interface: the vector world of batch 1, without its batch axis.

    What it knows of itself is asked of `gymnasium.make(...).unwrapped`; what only some worlds offer (the doors of
    rooms), of `unwrapped.world`, the batch, as row 0.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        name: World.metadata[name] for name in ("render_modes", "render_fps")
    }

    def __init__(self, env_id: str, **settings: Any) -> None:
        import envs  # here: it knows the worlds, and they know this module

        self.world = envs.make(env_id, 1, **settings)
        self.metadata = {name: value for name, value in self.world.metadata.items() if name != "autoreset_mode"}  # type: ignore[misc]
        self.render_mode = self.world.render_mode
        self.observation_space = self.world.single_observation_space
        self.action_space = self.world.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start a new episode; returns the observation and `info` (see `World`) of the one row."""
        observation, info = self.world.reset(seed=seed, options=options)
        self._take_generator()
        return observation[0], _first(info)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Move by one action (int)."""
        observation, reward, terminated, truncated, info = self.world.step(np.asarray([action]))
        return observation[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), _first(info)

    def render(self) -> NDArray[np.uint8] | None:
        """A picture of the world, uint8 [height, width, 3], where `render_mode` is "rgb_array"."""
        frames = self.world.render()
        return frames[0] if frames else None

    def close(self) -> None:
        """Free what the world holds."""
        self.world.close()

    def table(self) -> Table:
        """Where each action leads from each node of the world, as it is now."""
        return self.world.table()

    def graph(self) -> MultiDiGraph:
        """The world as it is now, as a networkx graph (see `World.graph`)."""
        return self.world.graph()

    def landmarks(self) -> Ints:
        """The nodes at which the landmark objects of the world lie."""
        return self.world.landmarks()

    def save(self) -> State:
        """The exact state of the world, random streams included (see `World.save`)."""
        return self.world.save()

    def restore(self, state: State) -> tuple[Any, dict[str, Any]]:
        """Go back to a saved state (see `World.restore`); returns the observation and `info` of the one row."""
        observation, info = self.world.restore(state)
        self._take_generator()
        return observation[0], _first(info)

    def _take_generator(self) -> None:
        """Let gymnasium's `np_random` be the world's own generator."""
        self._np_random, self._np_random_seed = self.world.generators[0], self.world.seeds[0]


def _first(info: dict[str, Any]) -> dict[str, Any]:
    return {name: values[0] for name, values in info.items()}
