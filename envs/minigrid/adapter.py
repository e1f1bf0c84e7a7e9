"""MiniGrid's and BabyAI's environments as worlds: egocentric moves, five kinds of observation, missions, the truth."""

import contextlib
import math
from functools import cached_property
from typing import Any, Literal

import gymnasium
import numpy as np
from minigrid.core.world_object import Door
from minigrid.envs.babyai.core.roomgrid_level import BabyAIMissionSpace
from numpy.typing import NDArray

from envs.minigrid import missions
from envs.minigrid import state as episode_state
from envs.minigrid.ids import unavailable
from envs.minigrid.views import OBSERVATIONS, Observation, look
from envs.settings import check_batch, check_most
from envs.table import CLOSED, WALL, Table
from envs.world import EGOCENTRIC, Array, Bools, Floats, Ints, World

ACTIONS = ("left", "right", "forward", "pickup", "drop", "toggle", "done")
AHEAD_X, AHEAD_Y = np.array([[1, 0, -1, 0], [0, 1, 0, -1]])  # one cell on, by quarter turns: east, north, west, south


class MiniGrid(World):
    """B environments of a registered `MiniGrid-*` or `BabyAI-*` id, each with its own layout, stepped one by one.

    Args:
        num_envs: environments in the batch.
        env_id: the registered id.
        observation: what an agent senses, as MiniGrid's own wrappers give it (n is 7, W x H the grid):
            "partial": the view ahead, uint8 [n, n, 3] of object, colour and state;
            "full": the whole grid with the agent in it, uint8 [W, H, 3], encoded alike;
            "symbolic": the whole grid, int64 [W, H, 3] of column, row and object (-1 none);
            "pixels", "full_pixels": pictures of the view and of the grid, uint8 [n * tile_size, n * tile_size, 3] and
            [H * tile_size, W * tile_size, 3].
        tile_size: pixels along a cell in the pictures that are observed.
        actions: "navigation" (left, right, forward) or "all" that the environment has.
        layout: "fixed": each reset of a row brings back the layout and the start that its seed gave; "new": the next.
        endless: the goal or the mission pays, each time, and nothing ends (nor do lava, a collision, the step limit).
            The reward falls with the steps since it was last paid, as MiniGrid's does with the steps since the start.
            False: MiniGrid's own ends; a row that has ended stands still until it is reset.
        motion_noise: standard deviation of felt motion: rad on a turn, cells on an advance.
        render_mode: "rgb_array" or None; never opens a window.

    MiniGrid counts rows downward; here y is up: place = (x, height - 1 - y), heading counter-clockwise from east, a
    left turn +pi/2. node = cell * 4 + quarter turns (0 east, 1 north, 2 west, 3 south), since a view is a function of
    the pose. The grid of an id has one size in all its layouts.

    Where missions vary (all of BabyAI, Fetch, GoToDoor, ...), `info["mission"]` int64 [B, L] has them as tokens (see
    `envs.minigrid.missions`) and `metadata["mission"]` is (L, number of tokens); `missions()` gives the text.

    Raises:
        ValueError: an id that is out of date or that the installed minigrid lacks files for; an unknown setting.
    """

    def __init__(
        self,
        num_envs: int,
        env_id: str,
        *,
        observation: Observation = "partial",
        tile_size: int = 8,
        actions: Literal["navigation", "all"] = "navigation",
        layout: Literal["fixed", "new"] = "fixed",
        endless: bool = True,
        motion_noise: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        if actions not in ("navigation", "all"):
            raise ValueError(f'actions is {actions!r}: give "navigation" (left, right, forward) or "all"')
        if layout not in ("fixed", "new"):
            raise ValueError(f'layout is {layout!r}: give "fixed" (the same at each reset) or "new"')
        if observation not in OBSERVATIONS:
            raise ValueError(f"observation is {observation!r}: give one of {', '.join(OBSERVATIONS)}")
        if tile_size < 1:
            raise ValueError(f"tile_size is {tile_size}: give 1 or more pixels")
        check_most("tile_size", tile_size, 128, " pixels")
        check_most("num_envs of MiniGrid", check_batch(num_envs), 10_000)
        if reason := unavailable().get(env_id):
            raise ValueError(reason)
        first = _make(env_id)
        offered = ACTIONS[: first.action_space.n]  # Dynamic-Obstacles has but three
        space, _ = look(first, observation, tile_size)
        super().__init__(
            num_envs,
            space,
            offered[:3] if actions == "navigation" else offered,
            EGOCENTRIC,
            motion_noise,
            render_mode,
            senses="pose",
            pixels=observation in ("pixels", "full_pixels"),
        )
        self._envs = [first, *(_make(env_id) for _ in range(num_envs - 1))]
        self._look = [look(env, observation, tile_size)[1] for env in self._envs]
        self._parts: list[list[Any]] = [[] for _ in self._envs]  # of each row's episode, once it is saved
        self._made = (  # told once: `save` is called in the inner loop of a search
            f"{env_id} ({num_envs} rows, observation {observation}, tile_size {tile_size}, actions {actions}, "
            f"layout {layout}, endless {endless}, motion_noise {motion_noise})"
        )
        self._fixed, self._endless = layout == "fixed", endless
        self._width, self._height = first.width, first.height
        self._view = np.zeros((num_envs, *space.shape), space.dtype)  # type: ignore[misc]
        self._x, self._y, self._quarter = np.zeros((3, num_envs), np.int64)
        self._reward = np.zeros(num_envs)
        self._terminated, self._truncated = np.zeros((2, num_envs), np.bool_)
        self._mission = None
        if _varies(first.observation_space["mission"]):
            self.metadata["mission"] = (missions.LENGTH, missions.VOCABULARY)
            self._mission = np.zeros((num_envs, missions.LENGTH), np.int64)

    def _begin(self, rows: Ints) -> None:
        for row in rows.tolist():
            env = self._envs[row]
            with contextlib.redirect_stdout(None):  # BabyAI prints each layout that it rejects
                if self._fixed:
                    shown, _ = env.reset(seed=self.seeds[row])
                else:
                    env.np_random = self.generators[row]
                    shown, _ = env.reset()
            self._view[row] = self._look[row](shown)
            self._parts[row] = []
            if self._mission is not None:
                self._mission[row] = missions.encode(env.mission)
        self._reward[rows] = 0.0
        self._terminated[rows] = self._truncated[rows] = False
        self._x, self._y, self._quarter = self._poses()

    def _move(self, actions: Ints) -> tuple[Floats, Bools]:
        ended = (self._terminated | self._truncated).tolist()
        for row, (env, action) in enumerate(zip(self._envs, actions.tolist(), strict=True)):
            if ended[row]:
                self._reward[row] = 0.0
                continue
            if self._endless:
                env.step_count = min(env.step_count, env.max_steps - 1)  # so that the goal always pays something
            shown, reward, terminated, truncated, _ = env.step(action)
            if not self._endless:
                self._terminated[row], self._truncated[row] = terminated, truncated
            elif terminated:
                shown = _go_on(env)
            self._view[row] = self._look[row](shown)
            self._reward[row] = reward
        motion = self._moved()
        bump = (actions <= ACTIONS.index("forward")) & ~motion.any(axis=1)
        bump[ended] = False
        return motion, bump

    def _moved(self) -> Floats:
        """What the body did, from its pose before and after: also right where something other than a move stops it."""
        x, y, quarter = self._x, self._y, self._quarter
        self._x, self._y, self._quarter = self._poses()
        motion = np.empty((self.num_envs, 2), np.float32)
        motion[:, 0] = ((self._quarter - quarter + 1) % 4 - 1) * (math.pi / 2)
        motion[:, 1] = (self._x - x) * AHEAD_X[quarter] + (self._y - y) * AHEAD_Y[quarter]
        return motion

    def _poses(self) -> tuple[Ints, Ints, Ints]:
        poses = [(*env.agent_pos, env.agent_dir) for env in self._envs]
        x, row, direction = np.array(poses, np.int64).T
        return x, self._height - 1 - row, -direction % 4

    def _observe(self) -> Array:
        return self._view.copy()

    def _truth(self) -> tuple[Ints, Floats, Floats]:
        place = np.empty((self.num_envs, 2), np.float32)
        place[:, 0], place[:, 1] = self._x, self._y
        cell = self._y * self._width + self._x
        return cell * 4 + self._quarter, place, (self._quarter * (math.pi / 2)).astype(np.float32)

    def _outcome(self) -> tuple[NDArray[np.float64], Bools, Bools]:
        return self._reward.copy(), self._terminated.copy(), self._truncated.copy()

    def _frame(self, row: int) -> NDArray[np.uint8]:
        frame: NDArray[np.uint8] = self._envs[row].get_frame(tile_size=16)
        return frame

    def _info(self) -> dict[str, Any]:
        info = super()._info()
        if self._mission is not None:
            info["mission"] = self._mission.copy()
        return info

    def missions(self) -> tuple[str, ...]:
        """What each row is told to do, as MiniGrid says it."""
        return tuple(env.mission for env in self._envs)

    def table(self, row: int = 0) -> Table:
        """Where each action leads from each pose in a row's layout as it is now: its doors, and its objects at rest.

        An action that is no move (pickup, drop, toggle, done) stays at its node. Nothing leads into, or out of, a cell
        that is walled, shut or taken by an object, or lava that would end the episode (`endless=False`).
        """
        self._check_row(row)
        actions = self.metadata["actions"]
        refusals = [_refusal(cell, self._endless) for cell in self._envs[row].grid.grid]
        # of each cell, y up; 0 where it can be entered
        refusal = np.array(refusals).reshape(self._height, self._width)[::-1].ravel()
        cell, quarter = np.divmod(np.arange(len(refusal) * 4), 4)
        x, y = cell % self._width, cell // self._width
        ahead_x, ahead_y = x + AHEAD_X[quarter], y + AHEAD_Y[quarter]
        inside = (ahead_x >= 0) & (ahead_x < self._width) & (ahead_y >= 0) & (ahead_y < self._height)
        ahead = np.where(inside, ahead_y * self._width + ahead_x, 0)
        refused = np.where(inside, refusal[ahead], WALL)
        target = np.repeat(np.arange(len(cell))[:, None], len(actions), axis=1)
        target[:, 0] = cell * 4 + (quarter + 1) % 4
        target[:, 1] = cell * 4 + (quarter - 1) % 4
        target[:, 2] = np.where(refused < 0, refused, ahead * 4 + quarter)
        target[refusal[cell] < 0] = WALL
        motion = np.zeros((*target.shape, 2), np.float32)
        motion[:, :3] = [(math.pi / 2, 0), (-math.pi / 2, 0), (0, 1)]
        motion[target < 0] = 0.0
        place, heading = np.stack([x, y], axis=1).astype(np.float32), (quarter * (math.pi / 2)).astype(np.float32)
        return Table(actions, target, place, motion, heading)

    def save(self) -> dict[str, Any]:
        """The exact state of all rows: poses, grids, objects, what is carried, instructions, random streams.

        It is kept in memory and holds the objects of the environments that it was taken from: a state goes back
        fastest into its own world, and by way of copies into another one.
        """
        for row, env in enumerate(self._envs):
            self._parts[row] = self._parts[row] or episode_state.parts_of(env)
        rows = zip(self._envs, self._parts, strict=True)
        return super().save() | {"envs": [episode_state.save(env, parts, self._fixed) for env, parts in rows]}

    def restore(self, state: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        """Go back to a saved state, of this world or of another one made alike; returns observation and `info`.

        Raises:
            ValueError: the state of a world of another kind or batch.
        """
        said = super().restore(state)
        for row, (env, saved) in enumerate(zip(self._envs, state["envs"], strict=True)):
            self._parts[row] = episode_state.restore(env, saved)
            if not self._fixed and self.generators:
                env.np_random = self.generators[row]
        return said

    @cached_property
    def made(self) -> str:
        return self._made

    def close_extras(self, **kwargs: Any) -> None:
        """Close every environment."""
        for env in self._envs:
            env.close()


def _make(env_id: str) -> Any:
    # unwrapped: gymnasium's wrappers check what the base class checks too, and slow the steps down
    return gymnasium.make(env_id, disable_env_checker=True).unwrapped


def _varies(mission_space: Any) -> bool:
    return isinstance(mission_space, BabyAIMissionSpace) or any(
        len(choices) > 1 for choices in mission_space.ordered_placeholders or ()
    )


def _refusal(cell: Any, endless: bool) -> int:
    if cell is None or (cell.can_overlap() and (endless or cell.type != "lava")):
        return 0
    return CLOSED if isinstance(cell, Door) else WALL


def _go_on(env: Any) -> dict[str, Any]:
    """Let an environment that has ended live on; returns what it shows."""
    env.step_count = 0
    x, y = env.front_pos
    door = env.grid.get(x, y)
    if isinstance(door, Door) and (x in (0, env.width - 1) or y in (0, env.height - 1)):
        door.is_open = False  # GoToDoor's doors lead out of the grid, and an open one would let the agent fall off it
    shown: dict[str, Any] = env.gen_obs()
    return shown
