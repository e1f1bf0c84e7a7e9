"""MiniGrid's environments as worlds: native egocentric moves and views, felt motion, bumps and the truth."""

import inspect
import math
import re
import textwrap
from typing import Any, Literal

import gymnasium
import minigrid  # registers the MiniGrid ids with gymnasium
import numpy as np
from gymnasium.envs.registration import load_env_creator, parse_env_id
from minigrid.envs.wfc.config import WFC_PRESETS
from numpy.typing import NDArray

from envs.world import EGOCENTRIC, Array, Bools, Floats, Ints, World

ACTIONS = ("left", "right", "forward", "pickup", "drop", "toggle", "done")
AHEAD_X, AHEAD_Y = np.array([[1, 0, -1, 0], [0, 1, 0, -1]])  # one cell on, by quarter turns: east, north, west, south


class MiniGrid(World):
    """B environments of a registered `MiniGrid-*` id, each with its own layout, stepped one after the other.

    Args:
        num_envs: environments in the batch.
        env_id: the registered id.
        actions: "navigation" (left, right, forward) or "all" that the environment has.
        layout: "fixed": each reset of a row brings back the layout and the start that its seed gave; "new": the next.
        endless: the goal pays and nothing ends (nor do lava, a collision, the step limit). The reward falls with the
            steps since it was last paid, as MiniGrid's does with the steps since the start. False: MiniGrid's own ends;
            a row that has ended stands still until it is reset.
        motion_noise: standard deviation of felt motion: rad on a turn, cells on an advance.
        render_mode: "rgb_array" or None; never opens a window.

    Observation: MiniGrid's partial symbolic view, uint8 [7, 7, 3] (object, colour, state), without compass and mission.
    MiniGrid counts rows downward; here y is up: place = (x, height - 1 - y), heading counter-clockwise from east, a
    left turn +pi/2. node = cell * 4 + quarter turns (0 east, 1 north, 2 west, 3 south), since a view is a function of
    the pose.

    Raises:
        ValueError: an id that is out of date or that the installed minigrid lacks files for; an unknown setting.
    """

    def __init__(
        self,
        num_envs: int,
        env_id: str,
        *,
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
        if reason := _why_not(env_id):
            raise ValueError(reason)
        first = _make(env_id)
        offered = ACTIONS[: first.action_space.n]  # Dynamic-Obstacles has but three
        super().__init__(
            num_envs,
            first.observation_space["image"],
            offered[:3] if actions == "navigation" else offered,
            EGOCENTRIC,
            motion_noise,
            render_mode,
        )
        self._envs = [first, *(_make(env_id) for _ in range(num_envs - 1))]
        self._fixed, self._endless = layout == "fixed", endless
        self._view = np.zeros((num_envs, *self.single_observation_space.shape), np.uint8)  # type: ignore[misc]
        self._x, self._y, self._quarter = np.zeros((3, num_envs), np.int64)
        self._reward = np.zeros(num_envs)
        self._terminated, self._truncated = np.zeros((2, num_envs), np.bool_)

    def _begin(self, rows: Ints) -> None:
        for row in rows.tolist():
            env = self._envs[row]
            if self._fixed:
                observation, _ = env.reset(seed=self.seeds[row])
            else:
                env.np_random = self.generators[row]
                observation, _ = env.reset()
            self._view[row] = observation["image"]
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
            observation, reward, terminated, truncated, _ = env.step(action)
            self._view[row] = observation["image"]
            self._reward[row] = reward
            if not self._endless:
                self._terminated[row], self._truncated[row] = terminated, truncated
            elif terminated:
                env.step_count = 0
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
        poses = [(*env.agent_pos, env.agent_dir, env.height) for env in self._envs]
        x, row, direction, height = np.array(poses, np.int64).T
        return x, height - 1 - row, -direction % 4

    def _observe(self) -> Array:
        return self._view.copy()

    def _truth(self) -> tuple[Ints, Floats, Floats]:
        place = np.empty((self.num_envs, 2), np.float32)
        place[:, 0], place[:, 1] = self._x, self._y
        cell = self._y * self._envs[0].width + self._x
        return cell * 4 + self._quarter, place, (self._quarter * (math.pi / 2)).astype(np.float32)

    def _outcome(self) -> tuple[NDArray[np.float64], Bools, Bools]:
        return self._reward.copy(), self._terminated.copy(), self._truncated.copy()

    def _frame(self, row: int) -> NDArray[np.uint8]:
        frame: NDArray[np.uint8] = self._envs[row].get_frame(tile_size=16)
        return frame

    def close_extras(self, **kwargs: Any) -> None:
        """Close every environment."""
        for env in self._envs:
            env.close()


def _make(env_id: str) -> Any:
    # unwrapped: gymnasium's wrappers check what the base class checks too, and slow the steps down
    return gymnasium.make(env_id, disable_env_checker=True).unwrapped


def ids() -> list[str]:
    """The registered `MiniGrid-*` ids."""
    return sorted(env_id for env_id in gymnasium.registry if env_id.startswith("MiniGrid-"))


def catalogue() -> dict[str, str]:
    """The ids that run with the installed minigrid, with the first sentence of their own description."""
    return {env_id: _about(env_id) for env_id in ids() if not _why_not(env_id)}


def _about(env_id: str) -> str:
    spec = gymnasium.spec(env_id)
    text = inspect.getdoc(load_env_creator(str(spec.entry_point))) or ""
    text = " ".join(text.replace("## Description", "").replace("`", "").split())
    obstacle = spec.kwargs.get("obstacle_type", "lava")  # a description for each: the lava crossings', the walls'
    text = re.sub(rf'^Depending on the obstacle_type.*?"{obstacle}" - ', "", text)
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text)  # a markdown link
    text = re.sub(r"^((This|The) environment (is |has )?|The agent has to )", "", text)
    first = re.split(r"\.(?:\s|$)", text)[0]
    return textwrap.shorten(f"{first[:1].upper()}{first[1:]}.", 90, placeholder=" ...")


def _why_not(env_id: str) -> str | None:
    """What keeps a registered id from running with the installed minigrid, if anything."""
    family, name, version = parse_env_id(env_id)
    newest = max(v or 0 for f, n, v in map(parse_env_id, ids()) if (f, n) == (family, name))
    if version != newest:
        return f"{env_id} is out of date: use {name}-v{newest}"
    preset = gymnasium.spec(env_id).kwargs.get("wfc_config")
    if preset is not None and not WFC_PRESETS[preset].pattern_path.is_file():
        missing = WFC_PRESETS[preset].pattern_path.name
        return f"{env_id} cannot run: the installed minigrid {minigrid.__version__} comes without its file {missing}"
    return None
