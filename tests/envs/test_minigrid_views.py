"""Every observation against MiniGrid's own wrappers, to the bit."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from minigrid.wrappers import FullyObsWrapper, RGBImgObsWrapper, RGBImgPartialObsWrapper, SymbolicObsWrapper

import envs
from envs import minigrid as adapter

WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "partial": lambda env: env,
    "full": FullyObsWrapper,
    "symbolic": SymbolicObsWrapper,
    "pixels": lambda env: RGBImgPartialObsWrapper(env, tile_size=5),
    "full_pixels": lambda env: RGBImgObsWrapper(env, tile_size=5),
}


def wrapped(env_id: str, observation: str) -> Any:
    return WRAPPERS[observation](gymnasium.make(env_id, disable_env_checker=True).unwrapped)


@pytest.mark.parametrize("observation", WRAPPERS)
@pytest.mark.parametrize(
    "env_id",
    [
        "MiniGrid-DoorKey-5x5-v0",
        "MiniGrid-RedBlueDoors-6x6-v0",  # wider than high
        "MiniGrid-LavaGapS5-v0",
        "MiniGrid-Dynamic-Obstacles-5x5-v0",  # sees through walls
        "MiniGrid-Playground-v0",
        "BabyAI-PutNextS5N2Carrying-v0",  # carries something from the first
        "BabyAI-MiniBossLevel-v0",
    ],
)
def test_each_observation_is_its_wrappers(env_id: str, observation: str, capsys: pytest.CaptureFixture[str]) -> None:
    seeds = [1, 2]
    world = envs.make(env_id, 2, observation=observation, tile_size=5, actions="all", endless=False)
    singles = [wrapped(env_id, observation) for _ in seeds]
    assert world.single_observation_space == singles[0].observation_space["image"]
    observed, _ = world.reset(seed=seeds)
    assert not capsys.readouterr().out  # BabyAI prints what it rejects
    shown = [env.reset(seed=seed)[0]["image"] for env, seed in zip(singles, seeds, strict=True)]
    done = np.zeros(2, np.bool_)
    rng = np.random.default_rng(0)
    for _ in range(60 if "pixels" in observation else 80):
        assert observed.dtype == shown[0].dtype
        assert np.array_equal(observed, shown)
        assert world.observation_space.contains(observed)
        if done.any():
            world.reset(options={"reset_mask": done})
            for row in np.flatnonzero(done):
                singles[row].reset(seed=seeds[row])
        n = len(world.metadata["actions"])
        actions = np.where(rng.random(2) < 0.4, 2, rng.integers(n, size=2))
        observed, _, terminated, truncated, _ = world.step(actions)
        done = terminated | truncated
        shown = [env.step(action)[0]["image"] for env, action in zip(singles, actions, strict=True)]


@pytest.mark.parametrize("env_id", sorted(adapter.catalogue()))
def test_the_partial_view_of_every_id_is_minigrids(env_id: str) -> None:
    """From random poses, among doors that are open or shut, and with something in hand."""
    world = envs.make(env_id, 1)
    assert isinstance(world, adapter.MiniGrid)
    world.reset(seed=4)
    env, rng = world._envs[0], np.random.default_rng(0)
    things = [thing for thing in env.grid.grid if thing is not None and thing.can_pickup()]
    for _ in range(8):
        env.agent_pos = tuple(rng.integers((env.width, env.height)).tolist())
        env.agent_dir = int(rng.integers(4))
        env.carrying = rng.choice([None, *things])
        for cell in env.grid.grid:
            if cell is not None and cell.type == "door":
                cell.is_open = bool(rng.integers(2))
        view = env.gen_obs()["image"]
        assert view.dtype == np.uint8
        assert np.array_equal(view, type(env).gen_obs(env)["image"])


def test_an_observation_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match='observation is \'rgb\': give "partial" or "full" or "symbolic"'):
        envs.make("MiniGrid-FourRooms-v0", 1, observation="rgb")
    with pytest.raises(ValueError, match="tile_size is 0: give 1 or more pixels"):
        envs.make("MiniGrid-FourRooms-v0", 1, observation="pixels", tile_size=0)
    with pytest.raises(ValueError, match="observation is 'rgb': give one of partial, full"):
        adapter.MiniGrid(1, "MiniGrid-FourRooms-v0", observation="rgb")  # type: ignore[arg-type]
