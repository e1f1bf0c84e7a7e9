"""Saving and restoring: the future of every world to the bit, as often as wished."""

import copy
from collections.abc import Callable

import networkx as nx
import numpy as np
import pytest
from every_world import EVERY_WORLD, all_same, maker

import envs
from envs.world import World


def future(world: World, ticks: int, action_seed: int) -> list[dict[str, np.ndarray]]:
    """What a world says from here on; halfway rows 0, 2, ... begin anew, as their generators have it."""
    said = []
    mask = np.arange(world.num_envs) % 2 == 0
    actions = np.random.default_rng(action_seed).integers(len(world.metadata["actions"]), size=(ticks, world.num_envs))
    for t in range(ticks):
        observation, reward, terminated, truncated, info = world.step(actions[t])
        if t == ticks // 2:
            observation, info = world.reset(options={"reset_mask": mask})
        said.append(
            {"observation": observation, "reward": reward, "terminated": terminated, "truncated": truncated}
            | info
            | {"episode": world.episode.copy()}
        )
    return said


@EVERY_WORLD
def test_a_state_brings_back_the_future_here_and_elsewhere(make: Callable[..., World]) -> None:
    world = make(3, motion_noise=0.1)
    world.reset(seed=[4, 5, 6])
    future(world, 17, action_seed=0)
    state = world.save()
    untouched = copy.deepcopy(state["arrays"])
    first = future(world, 40, action_seed=1)
    future(world, 5, action_seed=2)
    observation, info = world.restore(state)
    assert {k: info[k].tolist() for k in info} == {k: world._info()[k].tolist() for k in info}
    assert np.array_equal(observation, world._observe())
    assert all_same(future(world, 40, action_seed=1), first)
    other = make(3, motion_noise=0.1)
    other.restore(state)  # one that never began
    assert all_same(future(other, 40, action_seed=1), first)
    world.restore(state)
    observation, info = other.restore(state)
    assert world.seeds == other.seeds == {0: 4, 1: 5, 2: 6}
    interleaved = [future(w, 3, action_seed=3) for w in (world, other, world, other)]
    assert all_same(interleaved[0], interleaved[1])
    assert all_same(interleaved[2], interleaved[3])
    assert all(np.array_equal(state["arrays"][name], kept) for name, kept in untouched.items())


@EVERY_WORLD
def test_a_restored_world_says_what_it_said(make: Callable[..., World]) -> None:
    world = make(2, motion_noise=0.1)
    world.reset(seed=0)
    said = future(world, 9, action_seed=0)[-1]
    state = world.save()
    future(world, 9, action_seed=1)
    observation, info = world.restore(state)
    assert all_same([{"observation": observation} | info], [{k: said[k] for k in ("observation", *info)}])
    for values in (observation, *info.values()):
        values[...] = 1  # what a user does to his copy must not come back
    again, info = world.restore(state)
    assert all_same([{"observation": again} | info], [{k: said[k] for k in ("observation", *info)}])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (maker("Square-v0"), maker("Torus-v0")),
        (maker("Square-v0", width=5), maker("Square-v0", width=6)),
        (maker("Square-v0"), maker("Square-v0", motion_noise=0.1)),
        (maker("Square-v0", motion_noise=0.1), maker("Square-v0")),
        (maker("Square-v0"), maker("Square-v0", goal=True)),
        (maker("Square-v0", goal=True), maker("Square-v0")),
        (maker("Square-v0", objects=5), maker("Square-v0")),
        (maker("Hex-v0"), maker("Hex-v0", body="egocentric")),
        (maker("Hex-v0"), maker("Hex-v0", view=3)),
        (maker("Line-v0", length=4), maker("Line-v0", length=5)),
        (maker("MiniGrid-FourRooms-v0"), maker("MiniGrid-Empty-8x8-v0")),
        (maker("Square-v0", goal=True), maker("Square-v0", goal=True, endless=False)),
        (maker("Graph-v0", graph=nx.path_graph(6), label=None), maker("Graph-v0", graph=nx.star_graph(5), label=None)),
        (maker("Arena-v0", observation="field"), maker("Arena-v0", observation="field", length_scale=0.2)),
    ],
)
def test_a_state_of_another_world_is_refused_and_changes_nothing(
    one: Callable[..., World], other: Callable[..., World]
) -> None:
    a, b, c = one(2), other(2), other(2)
    for world in (a, b, c):
        world.reset(seed=0)
    with pytest.raises(ValueError, match=r"restore it in (one|a world) made alike"):
        b.restore(a.save())
    assert all_same(future(b, 20, action_seed=0), future(c, 20, action_seed=0))


def test_a_state_of_another_batch_is_refused() -> None:
    a, b = envs.make("Square-v0", 2), envs.make("Square-v0", 3)
    a.reset(seed=0)
    b.reset(seed=0)
    with pytest.raises(ValueError, match=r"2 rows.*is none of.*3 rows"):
        b.restore(a.save())


def test_a_world_that_has_not_begun_has_no_state() -> None:
    with pytest.raises(RuntimeError, match="call reset"):
        envs.make("Square-v0", 2).save()


@EVERY_WORLD
def test_what_is_no_state_is_refused_and_changes_nothing(make: Callable[..., World]) -> None:
    world, other = make(2), make(2)
    for one in (world, other):
        one.reset(seed=0)
    for wrong in ({}, None, 3, [], "state", {"world": "Square", "arrays": {}}, world):
        with pytest.raises(ValueError, match=r"is no state of a world: give what save\(\) returned$"):
            world.restore(wrong)
    assert all_same(future(world, 5, action_seed=0), future(other, 5, action_seed=0))


def test_the_refusal_of_a_view_is_short() -> None:
    a, b = envs.make("Hex-v0", 1, view=7), envs.make("Hex-v0", 1, view=5)
    a.reset(seed=0)
    with pytest.raises(ValueError, match=r"^a state of Hex .*\(7, 7, 2\).* is none of Hex .*\(5, 5, 2\).{,80}$"):
        b.restore(a.save())
