"""MiniGrid by sight alone: what an agent that maps what it sees earns in its first life in a layout, without training.

Agents act in worlds that refuse to tell their graph; the scorer has worlds of its own, made alike.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from minigrid.core.world_object import Door
from numpy.typing import NDArray
from rich.console import Console
from scipy.sparse import csgraph, csr_array

import agents
import envs
from cogarch.bench.errands import closed
from cogarch.bench.report import Row, over_seeds
from cogarch.config import Agent
from cogarch.run import SCORING_SEED, contracts, living

Floats = NDArray[np.float64]
OPTIONS: Mapping[str, Any] = {"layout": "new", "endless": False}
EPISODES, BLIND = 100, 5
"""Lives a seed, and one in so many of them is lived without a goal, too: those last as long as they can."""


class Task(NamedTuple):
    """A world, the goal that the agent is told, and what is published of agents that learned it."""

    env: str
    actions: str
    goal: str
    published: str = ""


GOAL, SAME = "object 8", "same"
TASKS = (
    Task("MiniGrid-Empty-8x8-v0", "all", GOAL),
    Task("MiniGrid-FourRooms-v0", "navigation", GOAL, "PPO .573 at 5 M frames"),
    Task("MiniGrid-FourRooms-v0", "all", GOAL, "PPO .573 at 5 M frames"),
    Task("MiniGrid-MultiRoom-N4-S5-v1", "all", GOAL, "PPO .000 at 10 M frames (v0)"),
    Task("MiniGrid-MultiRoom-N6-v0", "all", GOAL),
    Task("MiniGrid-MemoryS9-v0", "navigation", SAME, "recurrent PPO .93 at 2 M frames"),
    Task("MiniGrid-MemoryS13-v0", "navigation", SAME, "recurrent PPO .93 at 2 M frames (S9)"),
    Task("MiniGrid-DoorKey-5x5-v0", "all", GOAL),
    Task("MiniGrid-DoorKey-8x8-v0", "all", GOAL),
)
"""Who is told "same" knows the rule of the memory tasks, which others learn; `goal-blind` is told of none."""


def measure(*, env: str | None, seeds: Sequence[int], quick: bool, console: Console) -> list[Row]:
    """Rows `agent env actions goal success reward spl frames episodes random oracle published`: of first lives, each in
    a layout of its own; `frames` of experience in all, to the end of a life. `random` and `oracle`: the rewards of
    actions at random, and of the shortest way, which takes the whole world to be known; `spl` is success weighted by
    the length of that way (both are nan where it leads over a locked door). `goal-blind` is told of no goal."""
    tasks = [task for task in TASKS if env in (None, task.env)]
    if not tasks:
        raise ValueError(f"bench minigrid knows {', '.join(dict.fromkeys(task.env for task in TASKS))}; not {env}")
    episodes, rows = 8 if quick else EPISODES, []
    for task in tasks:
        options = {**OPTIONS, "actions": task.actions}
        found: dict[str, list[Row]] = {"scout": [], "goal-blind": []}
        for seed in seeds:
            lives = [SCORING_SEED + seed * EPISODES + row for row in range(episodes)]
            best, most = shortest(task.env, options, lives)
            at_random = by_chance(task.env, options, lives, seed)
            for name in found:
                scout = agents.load("scout").change("executive", goal=task.goal if name == "scout" else "")
                some = len(lives) if name == "scout" else max(len(lives) // BLIND, 1)
                reward, frames = live(scout, task.env, options, lives[:some], most, seed)
                came, way = reward > 0, best[:some]
                found[name].append(
                    {
                        "agent": name,
                        **{key: value for key, value in task._asdict().items() if key != "published"},
                        "success": float(came.mean()),
                        "reward": float(reward.mean()),
                        "spl": float((came * way / np.maximum(way, frames)).mean()),
                        "frames": float(frames.mean()),
                        "episodes": some,
                        "random": float(at_random.mean()),
                        "oracle": float((1 - 0.9 * best / most).mean()),
                        "published": task.published,
                    }
                )
        for lot in found.values():
            rows.append(over_seeds(lot, ("success", "reward", "spl", "frames", "random", "oracle"), ("episodes",)))
            told = f"{lot[0]['agent']} in {task.env}, {task.actions} actions, {task.goal!r}"
            console.print(f"{told}: reward {rows[-1]['reward']:.3f}, success {rows[-1]['success']:.3f}", markup=False)
    return rows


def live(
    agent: Agent, env: str, options: Mapping[str, Any], lives: Sequence[int], most: int, seed: int
) -> tuple[Floats, Floats]:
    """The reward and the frames of one life in the world of each seed of `lives`."""
    batch = len(lives)
    reward, frames, over = np.zeros(batch), np.zeros(batch), np.zeros(batch, bool)
    with torch.no_grad(), contextlib.closing(closed(env, batch, options)) as world:
        bus = agent.build(contracts(world), batch=batch, seed=seed)
        ticks = living(world, bus, lambda t: {} if t else dict(enumerate(lives)))
        next(ticks)
        for said in ticks:
            over |= said["env/start"][:, 0].numpy()
            if over.all():
                return reward, frames
            reward += np.where(over, 0.0, said["env/reward"][:, 0].numpy())
            frames += ~over
    raise AssertionError("a life has no end")


def by_chance(env: str, options: Mapping[str, Any], lives: Sequence[int], seed: int) -> Floats:
    """The reward of actions drawn at random."""
    rng = np.random.default_rng(seed)
    with contextlib.closing(envs.make(env, len(lives), **options)) as world:
        world.reset(seed=list(lives))
        total, over = np.zeros(len(lives)), np.zeros(len(lives), bool)
        while not over.all():
            action = rng.integers(len(world.metadata["actions"]), size=len(lives))
            _, reward, ended, cut, _ = world.step(action)
            total += np.where(over, 0.0, reward)
            over |= ended | cut
    return total


def shortest(env: str, options: Mapping[str, Any], lives: Sequence[int]) -> tuple[Floats, int]:
    """Steps `[B]` of the shortest way to the end that pays, which opens the doors on it (nan: one is locked), and how
    many steps a life may take."""
    with contextlib.closing(envs.make(env, len(lives), **options)) as made:
        world: Any = made
        _, info = world.reset(seed=list(lives))
        steps = np.empty(len(lives))
        for row, inner in enumerate(world._envs):
            steps[row] = _shortest(world, row, inner, int(info["node"][row]))
        return steps, int(world._envs[0].max_steps)


def _shortest(world: Any, row: int, inner: Any, start: int) -> float:
    grid, width, height = inner.grid, inner.width, inner.height
    cells = [(x, y) for y in range(height) for x in range(width)]
    shut = {(x, y) for x, y in cells if isinstance(door := grid.get(x, y), Door) and not door.is_open}
    if any(grid.get(*cell).is_locked for cell in shut):
        return math.nan
    ends = [getattr(inner, "success_pos", None)]
    ends += [cell for cell in cells if grid.get(*cell) is not None and grid.get(*cell).type == "goal"]
    for cell in shut:
        grid.get(*cell).is_open = True
    table = world.table(row)
    price = np.ones(len(table))
    for x, y in shut:  # to toggle it takes a step
        price[((height - 1 - y) * width + x) * 4 + np.arange(4)] = 2
    node, action = np.nonzero(table.target >= 0)
    to = table.target[node, action]
    turned = to // 4 == node // 4
    graph = csr_array((np.where(turned, 1, price[to]), (node, to)), shape=(len(table),) * 2)
    find: Any = csgraph.dijkstra  # its stub knows no sparse array
    way = find(graph, indices=start)
    return float(min(way[((height - 1 - y) * width + x) * 4 + np.arange(4)].min() for x, y in filter(None, ends)))
