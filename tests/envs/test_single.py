"""One world for `gymnasium.make`: row 0 of a batch of one in all that it says, knows and goes back to."""

from collections.abc import Callable

import gymnasium
import networkx as nx
import numpy as np
import pytest

import envs
from envs.single import SingleWorld

SETTINGS = {
    "cogarch/Square-v0": {"width": (3, 6), "landmarks": 2, "motion_noise": 0.1},
    "cogarch/Rooms-v0": {"size": 3, "landmarks": 3, "body": "egocentric", "view": 3},
    "cogarch/Line-v0": {},
    "cogarch/Arena-v0": {"observation": "field"},
}
EVERY = pytest.mark.parametrize("env_id", SETTINGS)


def single(env_id: str) -> SingleWorld:
    world = gymnasium.make(env_id, **SETTINGS[env_id]).unwrapped
    assert isinstance(world, SingleWorld)
    return world


def life(world: SingleWorld, ticks: int, action_seed: int) -> list[tuple]:
    """What a world says under random actions, in plain values; halfway it begins anew."""
    said = []
    for t, u in enumerate(np.random.default_rng(action_seed).random(ticks)):
        observation, *rest, info = world.step(int(u * world.action_space.n))
        if t == ticks // 2:
            observation, info = world.reset()
        said.append((np.asarray(observation).tolist(), *rest, {k: np.asarray(v).tolist() for k, v in info.items()}))
    return said


@EVERY
def test_it_tells_of_itself_what_the_batch_tells_of_row_0(env_id: str) -> None:
    world, batch = single(env_id), envs.make(env_id, 1, **SETTINGS[env_id])
    world.reset(seed=4)
    batch.reset(seed=4)
    assert nx.utils.graphs_equal(world.graph(), batch.graph(0))
    assert np.array_equal(world.table().target, batch.table(0).target)
    assert np.array_equal(world.landmarks(), batch.landmarks(0))
    assert len(world.landmarks()) == SETTINGS[env_id].get("landmarks", 0) * (4 if env_id == "cogarch/Rooms-v0" else 1)


@EVERY
def test_a_state_brings_back_its_future_here_and_elsewhere(env_id: str) -> None:
    world, other = single(env_id), single(env_id)
    world.reset(seed=7)
    life(world, 9, action_seed=0)
    state = world.save()
    before = life(world, 30, action_seed=1)
    for back in (world, other):  # the other has never begun
        observation, info = back.restore(state)
        assert world.observation_space.contains(observation)
        assert all(np.array_equal(info[name], value[0]) for name, value in back.world._info().items())
        assert back.np_random_seed == 7
        assert back.np_random is back.world.generators[0]
        assert life(back, 30, action_seed=1) == before


@EVERY
@pytest.mark.parametrize("ask", [SingleWorld.graph, SingleWorld.save])
def test_a_world_that_has_not_begun_says_so(env_id: str, ask: Callable[[SingleWorld], object]) -> None:
    with pytest.raises(RuntimeError, match=r"the world has not begun: call reset\(\) before"):
        ask(single(env_id))


def test_a_state_of_another_world_is_refused() -> None:
    world = single("cogarch/Line-v0")
    world.reset(seed=0)
    with pytest.raises(ValueError, match="restore it in a world made alike"):
        single("cogarch/Square-v0").restore(world.save())
    with pytest.raises(ValueError, match=r"\{\} is no state of a world: give what save\(\) returned"):
        world.restore({})
