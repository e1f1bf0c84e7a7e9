"""What all worlds on one table owe: exact transitions, maps of their own, seeds, states kept, graphs that come back."""

import warnings
from pathlib import Path
from typing import Any

import gymnasium
import networkx as nx
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import envs
from envs.relational.relational import Relational, make_table
from envs.world import NO_BODY

WORLDS: list[tuple[str, dict[str, Any]]] = [
    ("Graph-v0", {}),
    ("Graph-v0", {"graph": "florentine"}),
    ("Cayley-v0", {}),
    ("Cayley-v0", {"group": "cyclic", "n": 2}),
    ("Cayley-v0", {"group": "torus", "n": 3, "m": 4}),
    ("FamilyTree-v0", {}),
    ("FamilyTree-v0", {"levels": 2}),
    ("Line-v0", {}),
    ("Line-v0", {"length": 3}),
    ("SocialHierarchy-v0", {}),
    ("SocialHierarchy-v0", {"ranks": 2}),
    ("Loop-v0", {}),
    ("Loop-v0", {"laps": 1, "length": 3, "visible_reward": False}),
    ("Alternation-v0", {}),
    ("Alternation-v0", {"stem": 2, "arm": 1, "visible_reward": True}),
    ("Alternation-v0", {"forced": True}),
]
EVERY_WORLD = pytest.mark.parametrize(("env_id", "given"), WORLDS, ids=lambda x: str(x))
PHYSICAL = ("Loop-v0", "Alternation-v0")


def live(world: Relational, seeds: list[int], actions: np.ndarray) -> list[dict[str, np.ndarray]]:
    """Everything the worlds say to actions [T, B]; halfway every second row is reset by mask."""
    observation, info = world.reset(seed=seeds)
    said = [{"observation": observation} | info]
    for t, action in enumerate(actions):
        observation, reward, _, _, info = world.step(action)
        if t == len(actions) // 2:
            observation, info = world.reset(options={"reset_mask": np.arange(world.num_envs) % 2 == 0})
        said.append({"observation": observation, "reward": reward} | info)
    return said


def same(a: list[dict[str, np.ndarray]], b: list[dict[str, np.ndarray]]) -> bool:
    return all(
        x.keys() == y.keys() and all(x[k].dtype == y[k].dtype and np.array_equal(x[k], y[k]) for k in x)
        for x, y in zip(a, b, strict=True)
    )


def everywhere(env_id: str, given: dict[str, Any]) -> tuple[Relational, np.ndarray, np.ndarray]:
    """A batch with a row at each node for each action, and the nodes and actions [N * A]."""
    table = envs.make(env_id, 1, **given).table()
    node, action = (x.ravel() for x in np.indices(table.target.shape))
    world = envs.make(env_id, len(node), **given)
    world.reset(seed=0)
    state = world.save()
    state["arrays"]["_node"][:] = node
    world.restore(state)
    return world, node, action


@EVERY_WORLD
def test_every_transition_equals_the_graph(env_id: str, given: dict[str, Any]) -> None:
    world, node, action = everywhere(env_id, given)
    graph, names = world.graph(), world.metadata["actions"]
    leads = {(a, name): b for a, b, name in graph.edges(data="action")}
    assert len(leads) == graph.number_of_edges()
    place = np.array([[graph.nodes[i]["x"], graph.nodes[i]["y"]] for i in range(len(graph))])
    *_, info = world.step(action)
    expected = np.array([leads.get((n, names[a]), -1) for n, a in zip(node.tolist(), action.tolist(), strict=True)])
    bump = expected < 0
    assert np.array_equal(info["bump"], bump)
    assert np.array_equal(bump, world.table().target.ravel() < 0)
    assert np.array_equal(info["node"], np.where(bump, node, expected))
    assert np.allclose(info["place"], place[info["node"]])
    assert not info["heading"].any()
    if env_id in PHYSICAL:
        assert world.metadata["motion"] == "dx, dy"
        assert np.allclose(info["motion"], place[info["node"]] - place[node], atol=1e-6)
    else:
        assert world.metadata["motion"] == "none"
        assert not info["motion"].any()
    assert nx.is_strongly_connected(graph)


@EVERY_WORLD
def test_equal_seeds_a_batch_of_singles_and_a_state_that_comes_back(env_id: str, given: dict[str, Any]) -> None:
    world = envs.make(env_id, 4, motion_noise=0.1, **given)
    actions = np.random.default_rng(0).integers(len(world.metadata["actions"]), size=(150, 4))
    seeds = [5, 9, 2, 5]
    said = live(world, seeds, actions)
    assert same(said, live(envs.make(env_id, 4, motion_noise=0.1, **given), seeds, actions))
    single = live(envs.make(env_id, 1, motion_noise=0.1, **given), seeds[:1], actions[:, :1])
    assert same([{k: v[:1] for k, v in x.items()} for x in said], single)
    assert not same(said, live(world, [11, 12, 13, 14], actions))

    state = world.save()
    here = {"observation": world._observe()} | world._info()
    first = [world.step(a) for a in actions[:20]] + [world.reset()]
    observation, info = world.restore(state)
    assert same([here], [{"observation": observation} | info])
    again = [world.step(a) for a in actions[:20]] + [world.reset()]
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a[0], b[0])
        assert same([a[-1]], [b[-1]])


@EVERY_WORLD
def test_its_graph_is_the_same_world_again(env_id: str, given: dict[str, Any], tmp_path: Path) -> None:
    world = envs.make(env_id, 1, **given)
    observation, info = world.reset(seed=3)
    nx.write_graphml(world.graph(), tmp_path / "world.graphml")
    for graph in (world.graph(), tmp_path / "world.graphml"):
        again = envs.make("Graph-v0", 1, graph=graph, objects=46, start=int(info["node"][0]))
        a, b = world.table(), again.table()
        assert (a.actions, a.names) == (b.actions, b.names)
        assert np.array_equal(a.target >= 0, b.target >= 0)
        assert np.array_equal(np.maximum(a.target, -1), b.target)  # a closed door comes back as a wall
        assert np.array_equal(a.place, b.place)
        assert np.array_equal(a.motion, b.motion)
        assert {**world.metadata, "place_unit": ""} == {**again.metadata, "place_unit": ""}
        observed, _ = again.reset(seed=8)
        assert np.array_equal(observed, observation)
        assert dict(again.graph().nodes(data="object")) == dict(world.graph().nodes(data="object"))


@pytest.mark.parametrize("env_id", sorted({env_id for env_id, _ in WORLDS}))
def test_it_is_registered_and_drawn(env_id: str) -> None:
    env = gymnasium.make(f"cogarch/{env_id}", render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    _, info = env.reset(seed=1)
    start, before = info["node"], env.render()
    assert before.dtype == np.uint8 and before.shape[2] == 3 and max(before.shape) == 320
    actions = np.random.default_rng(0).integers(env.action_space.n, size=100)
    assert any(env.step(action)[-1]["node"] != start for action in actions)
    assert (env.render() != before).any()


@pytest.mark.parametrize("env_id", sorted({env_id for env_id, _ in WORLDS}))
def test_bad_settings_are_named(env_id: str) -> None:
    nodes = len(envs.make(env_id, 1).table())
    with pytest.raises(ValueError, match="objects is 0: a world needs at least 1"):
        envs.make(env_id, 1, objects=0)
    for start in (-1, nodes):
        with pytest.raises(ValueError, match=f"start is {start}: give a node, 0 to {nodes - 1}"):
            envs.make(env_id, 1, start=start)
    _, info = envs.make(env_id, 5, start=2).reset(seed=0)
    assert info["node"].tolist() == [2] * 5


@pytest.mark.parametrize("env_id", sorted({env_id for env_id, _ in WORLDS}))
def test_a_row_that_is_not_there(env_id: str) -> None:
    world = envs.make(env_id, 3)
    for row in (-1, 3, 1.0):
        with pytest.raises(ValueError, match=rf"row is {row}: the worlds of this batch are rows 0..2"):
            world.table(row)
    assert world.table(2) is world.table()


@pytest.mark.parametrize(
    ("env_id", "batch", "given", "message"),
    [
        ("Loop-v0", 1, {"laps": 10**9}, r"laps \* length is 8,000,000,000: give 1,000,000 at most"),
        ("Alternation-v0", 1, {"stem": 10**9}, "stem is 1,000,000,000: give 10,000 at most"),
        ("Alternation-v0", 1, {"arm": 10**9}, "arm is 1,000,000,000: give 10,000 at most"),
        ("FamilyTree-v0", 200_000, {"levels": 6}, "num_envs is 200,000, and each world holds 127 positions"),
    ],
)
def test_sizes_beyond_all_memory(env_id: str, batch: int, given: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        envs.make(env_id, batch, **given)


def test_maps_and_starts_are_drawn_evenly_and_anew_each_episode() -> None:
    world = envs.make("FamilyTree-v0", 4000, objects=7)
    observation, info = world.reset(seed=0)
    assert stats.chisquare(np.bincount(observation, minlength=7)).pvalue > 1e-3
    assert stats.chisquare(np.bincount(info["node"], minlength=15)).pvalue > 1e-3
    first = np.stack([world._objects_at(row) for row in range(4000)])
    assert stats.chisquare(np.bincount(first.ravel(), minlength=7)).pvalue > 1e-3
    kept = np.arange(4000) < 100
    world.reset(options={"reset_mask": ~kept})
    second = np.stack([world._objects_at(row) for row in range(4000)])
    assert np.array_equal(first[kept], second[kept])
    alike = (first == second)[~kept]
    assert stats.binomtest(int(alike.sum()), alike.size, 1 / 7).pvalue > 1e-3


def test_the_table_is_shared_and_cannot_be_written() -> None:
    world = envs.make("Line-v0", 3)
    assert world.table(0) is world.table(2)
    for x in (world.table().target, world.table().place, world.table().motion, world.table().heading):
        with pytest.raises(ValueError, match="read-only"):
            x[:] = 0


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_table_walks_as_it_says(data: st.DataObject) -> None:
    nodes, actions = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 4))
    seed = data.draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    target = rng.integers(-2, nodes, size=(nodes, actions))
    position = rng.permutation(np.append(np.arange(3), rng.integers(3, size=max(nodes - 3, 0))))[:nodes]
    position = np.unique(position, return_inverse=True)[1]
    place, pays = rng.normal(size=(nodes, 2)).astype(np.float32), rng.random(nodes) < 0.3
    seen = data.draw(st.booleans())
    world = Relational(
        3,
        make_table(tuple("abcd"[:actions]), target.copy(), place, body=True),
        objects=5,
        motion="dx, dy",
        motion_noise=0.0,
        render_mode=None,
        position=position,
        pays=pays,
        visible_reward=seen,
    )
    observation, info = world.reset(seed=seed)
    shown: dict[tuple[int, int], int] = {}
    at = info["node"].tolist()
    for _ in range(30):
        action = rng.integers(actions, size=3)
        observation, reward, terminated, truncated, info = world.step(action)
        assert not terminated.any() and not truncated.any()
        for row, chosen in enumerate(action.tolist()):
            to = int(target[at[row], chosen])
            moved = place[to] - place[at[row]] if to >= 0 else np.zeros(2)
            paid = to >= 0 and pays[to]
            at[row] = to if to >= 0 else at[row]
            assert info["node"][row] == at[row]
            assert info["bump"][row] == (to < 0)
            assert reward[row] == paid
            assert np.array_equal(info["motion"][row], moved)
            assert np.array_equal(info["place"][row], place[at[row]])
            marked = seen and pays[at[row]]
            assert (observation[row] == 5) == marked
            if not marked:
                key = (row, int(position[at[row]]))
                assert shown.setdefault(key, int(observation[row])) == observation[row]


def test_a_world_without_a_body_feels_nothing_even_with_noise() -> None:
    world = envs.make("Line-v0", 50, motion_noise=0.5)
    assert world.metadata["motion"] == NO_BODY
    world.reset(seed=0)
    for action in np.random.default_rng(0).integers(10, size=(20, 50)):
        assert not world.step(action)[-1]["motion"].any()
