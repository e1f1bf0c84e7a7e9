"""Saved states: what comes after a restore is what came after the save, to the bit."""

import copy
from typing import Any

import gymnasium
import numpy as np
import pytest
from minigrid.core.world_object import Door
from minigrid.envs import EmptyEnv
from minigrid.utils.baby_ai_bot import BabyAIBot

import envs
from envs import minigrid as adapter
from envs.minigrid.state import parts_of
from envs.world import World

IDS = [
    "MiniGrid-FourRooms-v0",
    "MiniGrid-DoorKey-5x5-v0",
    "MiniGrid-ObstructedMaze-1Dlhb-v0",
    "MiniGrid-ObstructedMaze-Full-v1",
    "MiniGrid-Dynamic-Obstacles-6x6-v0",
    "MiniGrid-LockedRoom-v0",
    "MiniGrid-MultiRoom-N6-v0",
    "MiniGrid-Fetch-8x8-N3-v0",
    "MiniGrid-MemoryS7-v0",
    "MiniGrid-PutNear-6x6-N2-v0",
    "MiniGrid-RedBlueDoors-6x6-v0",
    "MiniGrid-GoToDoor-5x5-v0",
    "BabyAI-BossLevel-v0",
    "BabyAI-MiniBossLevel-v0",
    "BabyAI-PutNextLocal-v0",
    "BabyAI-PutNextS5N2Carrying-v0",
    "BabyAI-OpenDoorsOrderN4-v0",
    "BabyAI-KeyInBox-v0",
]


def future(world: World, seed: int, ticks: int) -> list[list[Any]]:
    """All that a world says and is over random actions; rows that end are reset, and all of them once."""
    rng = np.random.default_rng(seed)
    n = len(world.metadata["actions"])
    said = []
    for tick in range(ticks):
        actions = np.where(rng.random(2) < 0.4, 2, rng.integers(n, size=2))
        *heard, info = world.step(actions)
        done = heard[2] | heard[3]
        if done.any() or tick == ticks // 2:
            heard += [world.reset(options={"reset_mask": done | (tick == ticks // 2)})[0]]
        said.append([*heard, *info.values(), list(world.missions()), *whole(world)])
    return said


def whole(world: World) -> list[Any]:
    """What the environments themselves hold, also where no agent looks."""
    kept: list[Any] = []
    for env in world._envs:
        things = [thing for thing in (*env.grid.grid, env.carrying) if thing is not None]
        things += [thing.contains for thing in things if thing.contains is not None]
        kept += [env.grid.encode(), env.step_count, env.max_steps, str(env.np_random.bit_generator.state)]
        kept += [str([None if t.cur_pos is None else tuple(map(int, t.cur_pos)) for t in things])]
    return kept


def same(a: list[list[Any]], b: list[list[Any]]) -> bool:
    return all(len(x) == len(y) and all(map(np.array_equal, x, y)) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("layout", ["fixed", "new"])
def test_what_follows_a_restore_is_what_followed_the_save(env_id: str, layout: str) -> None:
    make = {"actions": "all", "layout": layout, "endless": layout == "new", "motion_noise": 0.1}
    world, other = envs.make(env_id, 2, **make), envs.make(env_id, 2, **make)
    world.reset(seed=3)
    rng = np.random.default_rng(0)
    for branch in range(2):
        future(world, 10 + branch, int(rng.integers(1, 40)))
        state = world.save()
        before = whole(world)
        expected = future(world, branch, 20)
        for again in (world, other, other):
            _, info = again.restore(state)
            assert same([before], [whole(again)])
            assert np.array_equal(info["node"], again._truth()[0])
            assert same(future(again, branch, 20), expected)


@pytest.mark.parametrize(
    "env_id",
    [
        "BabyAI-MiniBossLevel-v0",
        "BabyAI-GoToSeqS5R2-v0",
        "BabyAI-OpenDoorsOrderN4-v0",
        "BabyAI-MoveTwoAcrossS5N2-v0",
        "BabyAI-UnlockPickup-v0",
    ],
)
def test_a_mission_half_done_is_half_done_again(env_id: str) -> None:
    """BabyAI's own bot fulfils a mission; from each state on its way the rest of its actions does, and at its end."""
    world, other = (envs.make(env_id, 1, actions="all", endless=False) for _ in range(2))
    world.reset(seed=1)
    env = gymnasium.make(env_id, disable_env_checker=True).unwrapped
    env.reset(seed=1)
    bot, plan, end = BabyAIBot(env), [], False
    while not end:
        plan.append(int(bot.replan(plan[-1] if plan else None)))
        _, reward, end, *_ = env.step(plan[-1])
    assert reward > 0
    states = []
    for action in plan:
        states.append(world.save())
        world.step(np.array([action]))
    for t in range(0, len(plan), 3):
        for again in (other, world):
            again.restore(states[t])
            heard = [again.step(np.array([action]))[1:3] for action in plan[t:]]
            assert [(float(r[0]), bool(e[0])) for r, e in heard] == [(0.0, False)] * (len(plan) - t - 1) + [
                (reward, True)
            ]


class Vault(EmptyEnv):
    """A user's own environment, whose doors are kept in a dict of tuples."""

    def _gen_grid(self, width: int, height: int) -> None:
        super()._gen_grid(width, height)
        self.doors = {"pair": (Door("red"), Door("blue"))}
        for column, door in enumerate(self.doors["pair"], 2):
            self.grid.set(column, 1, door)


def test_parts_in_tuples_and_dicts_are_parts_too() -> None:
    gymnasium.register("MiniGrid-Vault-v0", entry_point=Vault)
    try:
        world, other = (envs.make("MiniGrid-Vault-v0", 1, actions="all") for _ in range(2))
    finally:
        del gymnasium.registry["MiniGrid-Vault-v0"]
    world.reset(seed=0)
    state = world.save()
    other.restore(state)
    for again in (world, other):
        again.step(np.array([5]))  # toggle: the agent begins before the red door
        env = again._envs[0]  # type: ignore[attr-defined]
        assert [door.is_open for door in env.doors["pair"]] == [True, False]
        assert env.grid.get(2, 1) is env.doors["pair"][0]
    world.restore(state)
    assert not world._envs[0].doors["pair"][0].is_open  # type: ignore[attr-defined]
    assert other._envs[0].doors["pair"][0].is_open  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "env_id", ["MiniGrid-DoorKey-5x5-v0", "BabyAI-MiniBossLevel-v0", "MiniGrid-KeyCorridorS3R1-v0"]
)
def test_two_worlds_of_one_state_share_nothing_that_changes(env_id: str) -> None:
    world, other = envs.make(env_id, 2, actions="all"), envs.make(env_id, 2, actions="all")
    assert isinstance(world, adapter.MiniGrid) and isinstance(other, adapter.MiniGrid)
    world.reset(seed=1)
    future(world, 0, 30)
    state = world.save()
    other.restore(state)
    mine, yours = ({id(part) for env in w._envs for part in parts_of(env)} for w in (world, other))
    assert len(mine) == len(yours) > 4
    assert not mine & yours
    before = whole(world)
    future(other, 1, 60)
    assert same([before], [whole(world)])
    expected = future(world, 2, 60)
    later = other.save()
    theirs = future(other, 2, 60)
    other.restore(state)
    assert same(future(other, 2, 60), expected)
    other.restore(later)
    assert same(future(other, 2, 60), theirs)


def test_a_search_from_one_state_finds_the_way_and_leaves_the_world_as_it_was() -> None:
    """Breadth first, over saved states alone: the shortest plan of a 5 x 5 door and key, then played out."""
    world = envs.make("MiniGrid-DoorKey-5x5-v0", 1, actions="all", endless=False)
    world.reset(seed=0)
    start = world.save()
    waiting, seen = [(start, [])], set()
    plan: list[int] = []
    while not plan:
        state, actions = waiting.pop(0)
        for action in range(6):
            world.restore(state)
            _, reward, *_ = world.step(np.array([action]))
            if reward[0] > 0:
                plan = [*actions, action]
                break
            env = world._envs[0]  # type: ignore[attr-defined]
            key = (env.hash(), env.carrying is None)
            if key not in seen:
                seen.add(key)
                waiting.append((world.save(), [*actions, action]))
    world.restore(start)
    rewards = [world.step(np.array([action]))[1][0] for action in plan]
    assert rewards[-1] == 1 - 0.9 * len(plan) / 250
    assert not any(rewards[:-1])
    assert {3, 5} < set(plan)  # it took the key and opened the door


def test_a_state_outlives_its_world_and_a_copy_of_it_serves_as_well() -> None:
    world = envs.make("BabyAI-PutNextLocal-v0", 2, actions="all")
    world.reset(seed=0)
    future(world, 0, 20)
    state = copy.deepcopy(world.save())
    expected = future(world, 1, 30)
    del world
    fresh = envs.make("BabyAI-PutNextLocal-v0", 2, actions="all")
    fresh.restore(state)
    assert same(future(fresh, 1, 30), expected)


def test_a_state_of_another_world_is_refused_and_changes_nothing() -> None:
    world = envs.make("MiniGrid-Empty-8x8-v0", 1)
    world.reset(seed=0)
    before = whole(world)
    for other in (
        envs.make("MiniGrid-Empty-6x6-v0", 1),
        envs.make("MiniGrid-Empty-8x8-v0", 2),
        envs.make("MiniGrid-Empty-8x8-v0", 1, layout="new"),
        envs.make("MiniGrid-Empty-8x8-v0", 1, endless=False),
        envs.make("MiniGrid-Empty-8x8-v0", 1, observation="symbolic"),
        envs.make("MiniGrid-Empty-8x8-v0", 1, motion_noise=0.1),
    ):
        other.reset(seed=1)
        with pytest.raises(ValueError, match=r"of MiniGrid-Empty-.* MiniGrid-Empty-8x8-v0 \(1 rows.*made alike"):
            world.restore(other.save())
    assert same([before], [whole(world)])
