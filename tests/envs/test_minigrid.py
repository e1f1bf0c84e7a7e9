"""The adapter against MiniGrid itself, stepped beside it with the same seeds and actions."""

import math
import re
from typing import Any

import gymnasium
import numpy as np
import pygame
import pytest
from gymnasium.utils.env_checker import check_env
from minigrid.core.world_object import Door
from minigrid.envs.wfc.config import WFC_PRESETS

import envs
from envs import minigrid as adapter
from envs.single import SingleWorld


def bare(env_id: str) -> Any:
    return gymnasium.make(env_id, disable_env_checker=True).unwrapped


def check_pose(info: dict[str, np.ndarray], row: int, env: Any) -> None:
    x, y, direction = *env.agent_pos, env.agent_dir
    assert tuple(info["place"][row]) == (x, env.height - 1 - y)
    east, south = math.cos(info["heading"][row]), -math.sin(info["heading"][row])
    assert np.allclose((east, south), env.dir_vec, atol=1e-6)
    quarter = {0: 0, 3: 1, 2: 2, 1: 3}[direction]  # MiniGrid: right, down, left, up
    assert info["node"][row] == ((env.height - 1 - y) * env.width + x) * 4 + quarter


@pytest.mark.parametrize(
    "env_id", ["MiniGrid-FourRooms-v0", "MiniGrid-DoorKey-6x6-v0", "MiniGrid-Dynamic-Obstacles-6x6-v0"]
)
@pytest.mark.parametrize("layout", ["fixed", "new"])
def test_views_rewards_ends_and_truth_are_minigrids_own(env_id: str, layout: str) -> None:
    seeds = [3, 4, 5]
    world = envs.make(env_id, 3, actions="all", layout=layout, endless=False)
    singles = [bare(env_id) for _ in seeds]
    rng = np.random.default_rng(0)
    observation, info = world.reset(seed=seeds)
    bumps, ends, done = 0, 0, np.zeros(3, bool)
    for env, seed in zip(singles, seeds, strict=True):
        env.reset(seed=seed)
    n = len(world.metadata["actions"])
    assert n == singles[0].action_space.n
    for _ in range(400):
        if done.any():
            observation, info = world.reset(options={"reset_mask": done})
            for row in np.flatnonzero(done):
                image = singles[row].reset(seed=seeds[row] if layout == "fixed" else None)[0]["image"]
                assert np.array_equal(observation[row], image)
                check_pose(info, row, singles[row])
        actions = np.where(rng.random(3) < 0.6, 2, rng.integers(n, size=3))
        before = [(tuple(env.agent_pos), env.agent_dir) for env in singles]
        observation, reward, terminated, truncated, info = world.step(actions)
        for row, env in enumerate(singles):
            view, r, end, cut, _ = env.step(actions[row])
            assert np.array_equal(observation[row], view["image"])
            assert (reward[row], terminated[row], truncated[row]) == (r, end, cut)
            check_pose(info, row, env)
            moved = (tuple(env.agent_pos), env.agent_dir) != before[row]
            assert info["bump"][row] == (actions[row] == 2 and not moved)
            turn = {0: math.pi / 2, 1: -math.pi / 2}.get(int(actions[row]), 0.0)
            assert np.allclose(info["motion"][row], (turn, float(actions[row] == 2 and moved)))
            bumps += int(info["bump"][row])
        done = terminated | truncated
        ends += int(done.sum())
    assert bumps > 20
    assert ends >= 1


def test_an_endless_life_is_paid_at_each_goal_and_never_ends() -> None:
    world = envs.make("MiniGrid-Empty-5x5-v0", 1)
    _, info = world.reset(seed=0)  # starts at the top left, faces east; the goal is at the bottom right
    assert tuple(info["place"][0]) == (1, 3)
    paid = []
    to_goal, back = [2, 2, 1, 2, 2], [1, 1, 2, 2, 0, 2, 2, 1, 1]
    for lap in range(30):
        for action in to_goal + back:
            _, reward, terminated, truncated, info = world.step(np.array([action]))
            assert not terminated[0]
            assert not truncated[0]
            paid.append(reward[0])
        assert tuple(info["place"][0]) == (1, 3), lap
    paid_at = np.flatnonzero(paid)
    assert np.array_equal(paid_at, 4 + 14 * np.arange(30))
    first, later = 1 - 0.9 * 5 / 100, 1 - 0.9 * 14 / 100  # MiniGrid's 1 - 0.9 steps / max_steps
    assert np.allclose(np.array(paid)[paid_at], [first] + [later] * 29)
    for _ in range(200):  # beyond the step limit the goal still pays, its least
        world.step(np.array([0]))
    rewards = [world.step(np.array([action]))[1][0] for action in to_goal]
    assert rewards == pytest.approx([0, 0, 0, 0, 0.1])


def test_a_row_that_has_ended_stands_still_until_it_is_reset() -> None:
    world = envs.make("MiniGrid-Empty-5x5-v0", 1, endless=False)
    world.reset(seed=0)
    for action in (2, 2, 1, 2, 2):
        observation, reward, terminated, *_, info = world.step(np.array([action]))
    assert terminated[0]
    assert reward[0] > 0
    for _ in range(3):
        again, reward, terminated, _, later = world.step(np.array([2]))
        assert terminated[0]
        assert reward[0] == 0
        assert np.array_equal(again, observation)
        assert later["node"] == info["node"]
        assert not later["motion"].any()
        assert not later["bump"].any()
    world.reset(options={"reset_mask": np.array([True])})
    assert not world.step(np.array([0]))[2][0]


def grid_of(world: adapter.MiniGrid, row: int) -> bytes:
    return bytes(world._envs[row].grid.encode())


def test_fixed_layouts_come_back_and_new_ones_do_not() -> None:
    for layout, kinds in (("fixed", 1), ("new", 6)):
        world = envs.make("MiniGrid-FourRooms-v0", 2, layout=layout)
        assert isinstance(world, adapter.MiniGrid)
        world.reset(seed=0)
        seen = {row: {grid_of(world, row)} for row in (0, 1)}
        for _ in range(5):
            world.reset()
            for row, grids in seen.items():
                grids.add(grid_of(world, row))
        assert [len(grids) for grids in seen.values()] == [kinds, kinds]
        assert not seen[0] & seen[1]


def test_a_view_is_a_function_of_the_pose() -> None:
    world = envs.make("MiniGrid-FourRooms-v0", 2)
    views: dict[tuple[int, int], bytes] = {}
    observation, info = world.reset(seed=1)
    rng = np.random.default_rng(0)
    for _ in range(3000):
        for row in (0, 1):
            view = observation[row].tobytes()
            assert views.setdefault((row, int(info["node"][row])), view) == view
        observation, *_, info = world.step(rng.choice(3, p=[0.18, 0.18, 0.64], size=2))
    assert len(views) > 300


def test_noise_falls_on_the_turn_or_on_the_advance() -> None:
    world = envs.make("MiniGrid-FourRooms-v0", 50, motion_noise=0.05)
    world.reset(seed=0)
    rng = np.random.default_rng(0)
    turns, advances = [], []
    for _ in range(200):
        actions = rng.integers(3, size=50)
        *_, info = world.step(actions)
        motion, forward = info["motion"], actions == 2
        assert not motion[forward, 0].any()
        assert not motion[~forward, 1].any()
        turns.append(np.abs(motion[~forward, 0]) - math.pi / 2)
        advances.append(motion[forward & ~info["bump"], 1] - 1)
    for errors in (np.concatenate(turns), np.concatenate(advances)):
        assert abs(errors.mean()) < 4 * 0.05 / math.sqrt(len(errors))
        assert errors.std() == pytest.approx(0.05, rel=4 / math.sqrt(2 * len(errors)))


def test_an_endless_agent_never_falls_off_the_grid() -> None:
    """GoToDoor's doors are in its outer wall: what toggles them ends an episode, and shuts them in an endless life."""
    world = envs.make("MiniGrid-GoToDoor-5x5-v0", 2, actions="all")
    assert isinstance(world, adapter.MiniGrid)
    world.reset(seed=0)
    rng, ends = np.random.default_rng(0), 0
    for _ in range(600):
        observation, *_, info = world.step(rng.choice(7, p=[0.1, 0.1, 0.4, 0.1, 0.1, 0.1, 0.1], size=2))
        for row, env in enumerate(world._envs):
            assert not any(cell.is_open for cell in env.grid.grid if isinstance(cell, Door))
            assert np.array_equal(observation[row], env.gen_obs()["image"])
            ends += isinstance(env.grid.get(*env.front_pos), Door)
        assert ((info["place"] > 0) & (info["place"] < 4)).all()
    assert ends > 100


def test_frames_are_minigrids_and_open_no_window() -> None:
    world = envs.make("MiniGrid-FourRooms-v0", 2, render_mode="rgb_array")
    world.reset(seed=0)
    env = bare("MiniGrid-FourRooms-v0")
    env.reset(seed=1)
    assert np.array_equal(world.render()[1], env.get_frame(tile_size=16))
    assert not pygame.display.get_init()
    world.close()


def test_the_adapter_behind_the_single_interface_passes_gymnasiums_checker() -> None:
    env = SingleWorld("BabyAI-GoToLocal-v0", render_mode="rgb_array")
    # env_checker wants a spec, to make the environment anew in each render mode
    gymnasium.register("test/GoTo-v0", entry_point=SingleWorld, kwargs={"env_id": "BabyAI-GoToLocal-v0"})
    try:
        check_env(gymnasium.make("test/GoTo-v0", render_mode="rgb_array").unwrapped)
    finally:
        del gymnasium.registry["test/GoTo-v0"]
    assert env.observation_space.shape == (7, 7, 3)
    assert env.metadata["senses"] == "pose"


@pytest.mark.parametrize("env_id", sorted(adapter.catalogue()))
def test_every_listed_id_lives(env_id: str) -> None:
    world = envs.make(env_id, 2, actions="all")
    observation, _ = world.reset(seed=0)
    for action in range(len(world.metadata["actions"])):
        observation, _, terminated, truncated, info = world.step(np.full(2, action))
        assert not (terminated | truncated).any()
    assert world.observation_space.contains(observation)
    for row in (0, 1):
        check_pose(info, row, world._envs[row])
    world.close()


def test_ids_that_cannot_run_say_why() -> None:
    lacking = envs.minigrid.unavailable()
    newest = {f"MiniGrid-ObstructedMaze-{kind}-v0" for kind in ("1Q", "2Q", "2Dlhb", "Full")}
    newest |= {"MiniGrid-MultiRoom-N4-S5-v0"}
    assert newest == {env_id for env_id, reason in lacking.items() if "out of date" in reason}
    assert lacking.keys() - newest == {env_id for env_id in adapter.ids() if "WFC" in env_id and env_id in lacking}
    assert set(adapter.ids()) == lacking.keys() | adapter.catalogue().keys()
    assert not lacking.keys() & envs.catalogue().keys()
    for env_id, reason in lacking.items():
        assert reason.startswith(env_id)
        with pytest.raises(ValueError, match=re.escape(reason)):
            envs.make(env_id, 1)
    assert lacking["MiniGrid-MultiRoom-N4-S5-v0"].endswith("is out of date: use MiniGrid-MultiRoom-N4-S5-v1")
    assert len([env_id for env_id in adapter.catalogue() if env_id.startswith("BabyAI-")]) > 90
    with pytest.raises(ValueError, match="did you mean BabyAI-BossLevel-v0"):
        envs.make("BabyAI-BosLevel-v0", 1)


def test_settings_that_cannot_be_are_named() -> None:
    with pytest.raises(ValueError, match="actions is 'forward': give \"navigation\""):
        envs.make("MiniGrid-FourRooms-v0", 1, actions="forward")
    with pytest.raises(ValueError, match="layout is 'old'"):
        envs.make("MiniGrid-FourRooms-v0", 1, layout="old")
    world = envs.make("MiniGrid-FourRooms-v0", 1)
    world.reset(seed=0)
    with pytest.raises(ValueError, match=r"action 3 is outside 0\.\.2 \(0 left, 1 right, 2 forward\)"):
        world.step(np.array([3]))


def test_an_id_whose_files_are_missing_says_which(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    preset = WFC_PRESETS["MazeSimple"]
    monkeypatch.setattr(preset, "pattern_path", tmp_path / "SimpleMaze.png")
    with pytest.raises(ValueError, match=r"MazeSimple-v0 cannot run: .* without its file SimpleMaze\.png"):
        envs.make("MiniGrid-WFC-MazeSimple-v0", 1)
    assert "MiniGrid-WFC-MazeSimple-v0" not in envs.catalogue()
