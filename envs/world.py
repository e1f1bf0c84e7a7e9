"""What every world shares: a generator for each row, reset by mask, felt motion with noise, and the truth in `info`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Final, Literal

import gymnasium
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.settings import check_batch, is_whole
from envs.state import State, describe, restore, save
from envs.table import MultiDiGraph, Table

Array = NDArray[Any]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

ALLOCENTRIC: Final = "dx, dy"  # cells, along east and north
EGOCENTRIC: Final = "turn, advance"  # rad counter-clockwise, cells ahead
NO_BODY: Final = "none"  # a relational world: nothing is felt, motion is always zero
MOST_NOISE = 1_000_000.0  # cells or rad: float32 sums stay finite
NOISE_BLOCK = 128  # ticks of noise drawn at once for a row: a call to a generator costs as much as 100 numbers


class World(VectorEnv[Array, Ints, Array], ABC):
    """B independent copies of a world, stepped together; the base of every world in `envs/`.

    `reset` and `step` follow gymnasium's `VectorEnv` with autoreset disabled: a row starts anew only when
    `reset(options={"reset_mask": bool[B]})` (or a full reset) says so. `info` holds, as arrays:

    - `motion` float32 [B, 2]: self-motion as the body felt it since the last tick, in the unit `metadata["motion"]`:
      "dx, dy" (cells) or "turn, advance" (rad, cells); with noise on what moved, exactly zero on a bump and at a start;
    - `bump` bool [B]: the move was refused;
    - `node` int64 [B], `place` float32 [B, 2] (x, y in cells, y up), `heading` float32 [B] (rad, counter-clockwise
      from east): the truth, for scoring.

    Each row draws from a generator of its own seed, so a batch equals its single worlds to the bit. Motion noise has a
    stream apart: the same seed gives the same worlds with and without noise.

    `metadata` says what the numbers mean: `actions` (their names), `motion` (the unit), `angles` (the direction of each
    action, rad; None where actions have none), `place_unit`, `senses`: "place" where an observation depends on where
    the agent is alone, "pose" where its heading matters too; and whether it is a picture, `pixels`.

    `table(row)` and `graph(row)` tell a row's world whole; `save` and `restore` keep the exact state of all rows.

    A world writes `_begin`, `_move`, `_observe`, `_truth`, `_frame` and `table`, `_outcome` if it pays or ends, and
    `_objects_at` if its nodes hold objects. What it says of a row begins with `_check_row`, and one that asks for much
    memory calls `check_batch` before `__init__`.

    Raises:
        ValueError: a batch of none or too many, noise that is negative or not finite, an unknown render_mode.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]  # each world adds "motion" and "actions"
        "autoreset_mode": AutoresetMode.DISABLED,
        "render_modes": ["rgb_array"],
        "render_fps": 10,
    }

    def __init__(
        self,
        num_envs: int,
        observation_space: gymnasium.Space[Any],
        actions: Sequence[str],
        motion: Literal["dx, dy", "turn, advance", "none"],
        motion_noise: float,
        render_mode: str | None,
        *,
        angles: Sequence[float] | None = None,
        senses: Literal["place", "pose"] = "place",
        place_unit: str = "cells",
        pixels: bool = False,
    ) -> None:
        self.num_envs = num_envs = check_batch(num_envs)
        if not 0 <= motion_noise <= MOST_NOISE:
            raise ValueError(
                f"motion_noise is {motion_noise}: give a number, 0 to {MOST_NOISE:,.0f} (cells a step, rad a turn)"
            )
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f'render_mode is {render_mode!r}: a world offers "rgb_array" or None')
        self.render_mode = render_mode
        self.metadata = {  # type: ignore[misc]
            **World.metadata,
            "actions": tuple(actions),
            "motion": motion,
            "angles": None if angles is None else tuple(angles),
            "senses": senses,
            "place_unit": place_unit,
            "pixels": pixels,
        }
        self.single_observation_space = observation_space
        self.observation_space = batch_space(observation_space, num_envs)
        self.single_action_space = gymnasium.spaces.Discrete(len(actions))
        self.action_space = batch_space(self.single_action_space, num_envs)

        self.generators: dict[int, np.random.Generator] = {}  # of each row, from its first reset on
        self.seeds: dict[int, int] = {}
        self.episode = np.zeros(num_envs, np.int64)  # how many a row has begun
        self._every_row = np.arange(num_envs)
        self._motion = np.zeros((num_envs, 2), np.float32)
        self._bump = np.zeros(num_envs, np.bool_)
        self._motion_noise = motion_noise
        if motion_noise:
            self._noise_generators: dict[int, np.random.Generator] = {}
            self._noise = np.empty((num_envs, NOISE_BLOCK, 2), np.float32)
            self._noise_used = np.full(num_envs, NOISE_BLOCK)

    # ---- what a world writes ----

    @abstractmethod
    def _begin(self, rows: Ints) -> None:
        """Start a new episode in these rows, each drawn from `self.generators[row]`."""

    @abstractmethod
    def _move(self, actions: Ints) -> tuple[Floats, Bools]:
        """Move every row; return the true motion [B, 2] (zero where refused) and the bumps [B], both new arrays."""

    @abstractmethod
    def _observe(self) -> Array:
        """What every row senses now [B, ...], a new array."""

    @abstractmethod
    def _truth(self) -> tuple[Ints, Floats, Floats]:
        """Node [B], place [B, 2] and heading [B] of every row now, new arrays."""

    @abstractmethod
    def _frame(self, row: int) -> NDArray[np.uint8]:
        """A picture of a row [height, width, 3]."""

    @abstractmethod
    def table(self, row: int = 0) -> Table:
        """Where each action leads from each node of a row's world, as it is now."""

    def landmarks(self, row: int = 0) -> Ints:
        """The nodes at which the landmark objects of a row's world lie; none by default."""
        self._check_row(row, begun=False)
        return np.empty(0, np.int64)

    def _objects_at(self, row: int) -> Ints | None:
        """The object on each node of a row's world [N], where nodes hold objects."""
        return None

    def _outcome(self) -> tuple[NDArray[np.float64], Bools, Bools]:
        """Reward, terminated and truncated [B] of the last move: by default nothing pays and nothing ends."""
        return np.zeros(self.num_envs), np.zeros(self.num_envs, np.bool_), np.zeros(self.num_envs, np.bool_)

    # ---- gymnasium's interface ----

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Start new episodes; returns the observation [B, ...] and `info` of all rows.

        An int seeds row i with seed + i, a list gives each row its own. A row without a seed goes on with its
        generator: a new world. `options["reset_mask"]` bool [B] names the rows to reset; the others stay as they are.
        """
        rows = self._rows_to_reset((options or {}).get("reset_mask"))
        seeds = self._seed_of_each_row(seed)
        if not self.generators and len(rows) < self.num_envs:
            raise ValueError("the first reset begins every row: leave reset_mask out")
        seeded = [row for row in rows.tolist() if seeds[row] is not None or row not in self.generators]
        # all of them before any is taken: a bad seed changes nothing
        fresh = {row: _generator(row, seeds[row]) for row in seeded}
        for row, (generator, row_seed) in fresh.items():
            self.generators[row], self.seeds[row] = generator, row_seed
            if self._motion_noise:
                self._noise_generators[row] = generator.spawn(1)[0]
                self._noise_used[row] = NOISE_BLOCK
        self._begin(rows)
        self.episode[rows] += 1
        self._motion[rows] = 0.0
        self._bump[rows] = False
        return self._observe(), self._info()

    def step(self, actions: Ints) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Move every row by its action (int64 [B]).

        Returns observation [B, ...], reward float64 [B], terminated and truncated bool [B], and `info`. A row that has
        ended must be reset before it goes on.

        Raises:
            ValueError: an action outside the world's, with its row and the range.
            RuntimeError: before the first reset.
        """
        self._check_begun("step()")
        motion, self._bump = self._move(self._checked(actions))
        self._motion = self._felt(motion) if self._motion_noise else motion
        return self._observe(), *self._outcome(), self._info()

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """A picture a row, uint8 [height, width, 3], where `render_mode` is "rgb_array"."""
        if self.render_mode is None:
            return None
        self._check_begun("render()")
        return tuple(self._frame(row) for row in range(self.num_envs))

    # ---- what a world knows of itself ----

    def graph(self, row: int = 0) -> MultiDiGraph:
        """A row's world as it is now, as a networkx graph (see `Table.graph`); nodes as in `info["node"]`.

        `envs.make("Graph-v0", ..., graph=world.graph())` makes the same moves again, also from a GraphML file of it
        (GEXF loses the order of actions and the unit of motion). Goals and rewards are not kept. A graph of which parts
        cannot be reached, such as MiniGrid's with its walls, makes no Graph world.

        Raises:
            ValueError: no such row; so, too, for all else that tells of a row.
            RuntimeError: before the first reset; so, too, for all else that a reset decides.
        """
        self._check_row(row)
        graph = self.table(row).graph(self._objects_at(row))
        graph.graph.update(actions=", ".join(self.metadata["actions"]), motion=self.metadata["motion"])
        return graph

    def save(self) -> State:
        """The exact state of all rows, random streams included: what `restore` brings back, as often as wished.

        It holds copies, and nothing but arrays and plain values in memory: worlds go on without touching it.
        """
        self._check_begun("save()")
        return save(self)

    def restore(self, state: State) -> tuple[Array, dict[str, Any]]:
        """Go back to a saved state, of this world or of another one made alike; returns observation and `info`.

        Raises:
            ValueError: what is no state, or that of a world of another kind, batch or other settings.
        """
        restore(self, state)
        return self._observe(), self._info()

    @cached_property
    def made(self) -> str:
        """What it was made as: equal for worlds that can take each other's state."""
        return describe(self)

    # ---- the shared machinery ----

    def _uniform(self, rows: Ints, n: int) -> NDArray[np.float64]:
        """n numbers in [0, 1) from each row's generator, [rows, n], for whole-array arithmetic from there on.

        floor(u * k) is a fair draw below k: the largest double below 1, times k, rounds to less than k.
        """
        u = np.empty((len(rows), n))
        for row, numbers in zip(rows.tolist(), u, strict=True):
            self.generators[row].random(out=numbers)
        return u

    def _check_begun(self, call: str) -> None:
        if not self.generators:
            raise RuntimeError(f"the world has not begun: call reset() before {call}")

    def _check_row(self, row: int, *, begun: bool = True) -> None:
        """Refuse a row that is not there, and any before the first reset, unless what is told is true before it."""
        if not is_whole(row) or not 0 <= row < self.num_envs:
            raise ValueError(f"row is {row!r}: the worlds of this batch are rows 0..{self.num_envs - 1}")
        if begun:
            self._check_begun("asking about a row")

    def _info(self) -> dict[str, Any]:
        node, place, heading = self._truth()
        # copies: a mask reset reports the present motion of the other rows, whatever a user did to the last info
        motion, bump = self._motion.copy(), self._bump.copy()
        return {"motion": motion, "bump": bump, "node": node, "place": place, "heading": heading}

    def _felt(self, motion: Floats) -> Floats:
        """The true motion with Gaussian noise on the components that moved (both, for a step on the plane)."""
        for row in np.flatnonzero(self._noise_used == NOISE_BLOCK).tolist():
            self._noise_generators[row].standard_normal(out=self._noise[row], dtype=np.float32)
            self._noise_used[row] = 0
        noise = self._noise[self._every_row, self._noise_used]
        self._noise_used += 1
        moved = motion != 0
        if self.metadata["motion"] == ALLOCENTRIC:
            moved = moved.any(axis=1, keepdims=True)
        felt: Floats = motion + np.float32(self._motion_noise) * noise * moved
        return felt

    def _checked(self, actions: Ints) -> Ints:
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            raise ValueError(
                f"actions of shape {actions.shape} and type {actions.dtype}: "
                f"give {self.num_envs} whole numbers, one a row, shape ({self.num_envs},)"
            )
        names = self.metadata["actions"]
        if actions.min() < 0 or actions.max() >= len(names):
            row = int(np.flatnonzero((actions < 0) | (actions >= len(names)))[0])
            listed = ", ".join(f"{i} {name}" for i, name in enumerate(names))
            raise ValueError(f"row {row}: action {actions[row]} is outside 0..{len(names) - 1} ({listed})")
        return actions.astype(np.int64, copy=False)

    def _rows_to_reset(self, mask: Bools | None) -> Ints:
        if mask is None:
            return self._every_row
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            raise ValueError(f"reset_mask must be a numpy array of {self.num_envs} bools, one a row; got {mask!r}")
        return np.flatnonzero(mask)

    def _seed_of_each_row(self, seed: int | Sequence[int | None] | None) -> Sequence[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if is_whole(seed):
            return range(int(seed), int(seed) + self.num_envs)
        if isinstance(seed, int) or np.ndim(np.asarray(seed, object)) != 1:
            raise ValueError(
                f"seed is {seed!r}: give a whole number, 0 or more, or a list of {self.num_envs}, one a row"
            )
        if len(seed) != self.num_envs:
            raise ValueError(f"{len(seed)} seeds for {self.num_envs} worlds: give one a row, or one int for all")
        return seed


def _generator(row: int, seed: int | None) -> tuple[np.random.Generator, int]:
    if seed is not None and (not is_whole(seed) or seed < 0):
        raise ValueError(f"row {row}: the seed is {seed!r}: give a whole number, 0 or more")
    return seeding.np_random(None if seed is None else int(seed))
