"""MiniGrid's observations, to the bit; the view and the grid, the cost of a step, are encoded several times as fast."""

from collections.abc import Callable
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any, Final, Literal, get_args

import gymnasium
import numpy as np
from minigrid.core.constants import COLOR_TO_IDX, DIR_TO_VEC, OBJECT_TO_IDX
from minigrid.core.world_object import Wall
from minigrid.wrappers import FullyObsWrapper, RGBImgObsWrapper, RGBImgPartialObsWrapper, SymbolicObsWrapper

from envs.world import Array

Observation = Literal["partial", "full", "symbolic", "pixels", "full_pixels"]
OBSERVATIONS: Final = get_args(Observation)
OUTSIDE: Final = Wall()  # what is seen beyond the grid
EMPTY: Final = bytes((1, 0, 0))
UNSEEN: Final = bytes(3)


def look(
    env: Any, observation: Observation, tile_size: int
) -> tuple[gymnasium.Space[Any], Callable[[dict[str, Any]], Array]]:
    """Make an environment give this observation, and it alone.

    Returns its space and the function that takes it from what `reset` and `step` of the environment return.
    """
    if observation == "partial":
        env.gen_obs = lambda: {"image": partial_view(env)}
        return env.observation_space["image"], itemgetter("image")
    env.gen_obs = dict  # the partial view is not asked for
    wrappers: dict[str, Callable[[Any], Any]] = {
        "full": FullyObsWrapper,
        "symbolic": SymbolicObsWrapper,
        "pixels": partial(RGBImgPartialObsWrapper, tile_size=tile_size),
        "full_pixels": partial(RGBImgObsWrapper, tile_size=tile_size),
    }
    wrapper = wrappers[observation](env)
    space = wrapper.observation_space["image"]
    if observation == "full":
        return space, lambda _: full_view(env)
    return space, lambda shown: wrapper.observation(shown)["image"]


def partial_view(env: Any) -> Array:
    """What an agent sees of its grid, as MiniGrid encodes it: uint8 [n, n, 3] of object, colour and state.

    The same as `env.gen_obs()["image"]`, but the window is picked from the grid at once, and how sight spreads along
    a row of it is looked up.
    """
    n = env.agent_view_size
    pick = _window(env.width, env.height, n, int(env.agent_pos[0]), int(env.agent_pos[1]), int(env.agent_dir))
    cells = pick([*env.grid.grid, OUTSIDE])
    everywhere = env.see_through_walls
    seen = 1 << n // 2  # bit i: column i of the row
    shown: list[bytes] = []
    for start in range(0, n * n, n):
        row = cells[start : start + n]
        if everywhere:
            seen = -1
        elif not seen:
            break
        else:
            clear = 0
            for i, cell in enumerate(row):
                if cell is None or cell.see_behind():
                    clear |= 1 << i
            seen, beyond = _spread(seen, clear, n)
        for i, cell in enumerate(row):
            shown.append(UNSEEN if not seen >> i & 1 else EMPTY if cell is None else bytes(cell.encode()))
        if not everywhere:
            seen = beyond
    shown[n // 2] = bytes(env.carrying.encode()) if env.carrying else EMPTY
    image = np.frombuffer(b"".join(shown).ljust(3 * n * n, b"\0"), np.uint8)
    return image.reshape(n, n, 3)[::-1].swapaxes(0, 1)


def full_view(env: Any) -> Array:
    """The whole grid with the agent in it, as `FullyObsWrapper` encodes it: uint8 [W, H, 3]."""
    cells = bytearray().join(EMPTY if cell is None else bytes(cell.encode()) for cell in env.grid.grid)
    image = np.frombuffer(cells, np.uint8).reshape(env.height, env.width, 3).swapaxes(0, 1)
    image[env.agent_pos[0], env.agent_pos[1]] = OBJECT_TO_IDX["agent"], COLOR_TO_IDX["red"], env.agent_dir
    return image


@lru_cache(maxsize=1 << 14)
def _window(width: int, height: int, n: int, x: int, y: int, direction: int) -> Callable[[list[Any]], tuple[Any, ...]]:
    """Picks what an agent at a pose has before it: n rows of n cells, its own row first; the last cell lies outside."""
    ahead = np.array(DIR_TO_VEC[direction])
    right = np.array((-ahead[1], ahead[0]))
    rows, columns = np.mgrid[:n, :n].reshape(2, -1, 1)
    i, j = ((x, y) + rows * ahead + (columns - n // 2) * right).T
    inside = (i >= 0) & (i < width) & (j >= 0) & (j < height)
    return itemgetter(*np.where(inside, j * width + i, width * height).tolist())


@lru_cache(maxsize=1 << 14)
def _spread(seen: int, clear: int, n: int) -> tuple[int, int]:
    """How sight goes through a row of n cells: what is seen of it in the end, and of the next row, as bits.

    From a cell that is seen and clear it goes to its neighbours in the row, and to those ahead of both.
    """
    beyond = 0
    for cells, step in ((range(n - 1), 1), (range(n - 1, 0, -1), -1)):
        for i in cells:
            if seen & clear & 1 << i:
                seen |= 1 << i + step
                beyond |= 1 << i | 1 << i + step
    return seen, beyond
