"""The successor representation against its fixed point, its updates by hand, and eigenvectors known in closed form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import agents
import envs
from cogarch import Module, Signal
from cogarch.check import check_module, example_contracts
from cogarch.learning.zero_shot import evaluate
from cogarch.mec.successor import Successor
from cogarch.module import Messages, State
from cogarch.run import contracts, hear
from envs import policies
from envs.table import Table

Array = NDArray[Any]


def code(unit: str = "dx, dy", **settings: Any) -> Successor:
    return Successor(example_contracts(unit), **settings)


@torch.no_grad()
def wander(module: Successor, heard: Messages) -> tuple[list[Messages], State, Array]:
    """Ticks through a walk `[T, B, ...]`: what was said, the state after, and the states that were passed `[T, B]`."""
    state, said, passed = module.init(heard["env/bump"].shape[1]), [], []
    for t in range(len(heard["env/bump"])):
        if module.by == "motion":
            writes, state = module.move(state, heard["env/motion"][t])
        else:
            expected, state = module.expect(state, heard["env/bump"][t])
            seen, state = module.observe(state, heard["env/observation"][t])
            writes = expected | seen
        said.append(writes)
        passed.append(state["at"].numpy())
    return said, state, np.stack(passed)


def walk(env: str, steps: int, batch: int = 1, policy: str = "uniform", **options: Any) -> tuple[Any, dict[str, Array]]:
    world = envs.make(env, batch, **options)
    return world, policies.walk(world, policy, steps, world_seeds=range(batch), policy_seed=0)


def of_nodes(state: State, passed: Array, node: Array, n: int) -> Array:
    """M of each agent `[B, n, n]` by the world's nodes."""
    made = []
    for row in range(node.shape[1]):
        order = np.full(n, -1)
        order[node[:, row]] = passed[:, row]
        assert (order >= 0).all()  # every node was visited
        made.append(state["successors"][row].numpy()[np.ix_(order, order)])
    return np.stack(made)


def transitions(table: Table) -> Array:
    """T `[n, n]` of a walk that takes each action alike; a refused move stays."""
    n, actions = table.target.shape
    t = np.zeros((n, n))
    for node in range(n):
        for to in table.target[node]:
            t[node, node if to < 0 else to] += 1 / actions
    return t


def cosines(width: int) -> tuple[Array, Array]:
    """Eigenvectors of the Laplacian of an open square, node = y * width + x, `[n, n]` a row each; its eigenvalues."""
    k = np.arange(width)
    waves = np.cos(math.pi * np.outer(k, k + 0.5) / width)
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    vectors = np.einsum("py,qx->pqyx", waves, waves).reshape(width**2, width**2)
    one = 2 - 2 * np.cos(math.pi * k / width)
    return vectors, (one[:, None] + one).ravel()


# --- the suite --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "every"),
    [
        ({"states": 24}, 3),
        ({"states": 24, "refresh": 3, "rectify": False, "trace": 0.0}, 1),
        ({"states": 4, "refresh": 1, "eigenvectors": 2}, 1),
        ({"states": 24, "eigenvectors": 0}, 1),
    ],
)
@pytest.mark.parametrize("unit", ["dx, dy", "turn, advance", "none"])
def test_conformance(settings: dict[str, Any], every: int, unit: str) -> None:
    def make(topics: dict[str, Signal]) -> Module:
        module = Successor(topics, **settings)
        module.every = every
        return module

    make.role = "mec"  # type: ignore[attr-defined]
    assert [v for v in check_module(make, example_contracts(unit)) if v.passed is False] == []  # type: ignore[arg-type]


@torch.no_grad()
def test_rows_are_independent_to_the_bit() -> None:
    _, walked = walk("cogarch/Square-v0", 60, batch=3, width=4)
    heard = hear(walked)
    module = code(states=32, refresh=7)
    together, _, _ = wander(module, heard)
    for row in range(3):
        alone, _, _ = wander(module, {topic: x[:, row : row + 1] for topic, x in heard.items()})
        for a, b in zip(together, alone, strict=True):
            assert all(torch.equal(a[topic][row : row + 1], b[topic]) for topic in a)


# --- learning ---------------------------------------------------------------------------------------------------------


def test_three_ticks_by_hand() -> None:
    """From 0 to 1, against a wall at 1, back to 0; rate 1/2, gamma 1/2."""
    module = code(states=3, rate=0.5, gamma=0.5, trace=0.0, eigenvectors=0)
    motion = torch.tensor([[0.0, 0.0], [1, 0], [0, 0], [-1, 0]])[:, None]
    said, state, passed = wander(module, {"env/motion": motion, "env/bump": torch.zeros(4, 1, 1, dtype=torch.bool)})
    assert passed[:, 0].tolist() == [0, 1, 1, 0]
    # M[0] = [1, 0] + ([1, 0] + [0, 1] / 2 - [1, 0]) / 2; M[1] = [0, 1] + ([0, 1] + [0, 1] / 2 - [0, 1]) / 2 = [0, 5/4];
    # then M[1] = [0, 5/4] + ([0, 1] + [1, 1/4] / 2 - [0, 5/4]) / 2 = [1/4, 19/16]
    expected = [[1, 0.25, 0], [0.25, 19 / 16, 0], [0, 0, 1]]
    np.testing.assert_allclose(state["successors"][0], expected, atol=1e-7)
    for t, row in enumerate([[1, 0, 0], [0, 1, 0], [0, 1.25, 0], [1, 0.25, 0]]):
        for topic in ("mec/g", "mec/g_path"):
            np.testing.assert_allclose(said[t][topic][0], np.array(row) / np.linalg.norm(row), atol=1e-6)


def test_traces_are_td_lambda() -> None:
    """Every state's row learned apart, in numpy: TD(lambda) with replacing traces (Singh & Sutton 1996)."""
    _, walked = walk("cogarch/Square-v0", 300, width=3)
    module = code(states=9, rate=0.2, gamma=0.9, trace=0.7, eigenvectors=0)
    _, state, passed = wander(module, hear(walked))
    m, eligible = np.eye(9), np.zeros(9)
    for s, after in zip(passed[:-1, 0], passed[1:, 0], strict=True):
        eligible *= 0.9 * 0.7
        eligible[s] = 1
        error = (np.arange(9) == s) + 0.9 * m[after] - m[s]
        for other in range(9):
            m[other] += 0.2 * eligible[other] * error
    np.testing.assert_allclose(state["successors"][0], m, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("trace", [0.0, 0.9])
@pytest.mark.parametrize(
    ("env", "options"),
    [
        ("cogarch/Square-v0", {"width": 4}),
        ("cogarch/Rooms-v0", {"columns": 2, "rows": 1, "size": 3}),
        ("cogarch/Square-v0", {"width": 2, "body": "egocentric"}),
    ],
)
def test_m_becomes_the_inverse_that_it_stands_for(env: str, options: dict[str, Any], trace: float) -> None:
    world, walked = walk(env, 2000, batch=48, **options)
    table = world.table(0)
    module = Successor(contracts(world), states=32, gamma=0.7, rate=0.1, trace=trace, eigenvectors=0)
    _, state, passed = wander(module, hear(walked))
    learned = of_nodes(state, passed, walked["node"], len(table)).mean(0)
    fixed = np.linalg.inv(np.eye(len(table)) - 0.7 * transitions(table))
    # a constant rate leaves a bias of its order
    assert np.abs(learned - fixed).max() < 0.08 * fixed.max()
    assert np.linalg.norm(learned - fixed) < 0.05 * np.linalg.norm(fixed)


def test_on_a_ring_walked_one_way_cells_fire_before_their_place_and_the_next_row_is_expected() -> None:
    """`M[s, s + k] = gamma^k / (1 - gamma^8)`: skewed against the direction of travel (Mehta et al. 2000)."""
    _, walked = walk("cogarch/Loop-v0", 1200, visible_reward=False, laps=1)
    symbols = np.unique(walked["observation"])
    assert len(symbols) == 8  # of this seed, no two places look the same
    by_k = 0.8 ** np.arange(8) / (1 - 0.8**8)
    for by in ("motion", "observation"):
        module = code(gamma=0.8, rate=0.3, eigenvectors=0, by=by)
        said, state, passed = wander(module, hear(walked))
        m = of_nodes(state, passed, walked["node"], 8)[0]
        for s in range(8):
            np.testing.assert_allclose(np.roll(m[s], -s), by_k, rtol=1e-3)
        for writes in said[-8:]:
            np.testing.assert_allclose(writes["mec/g_path"], writes["mec/g"], atol=1e-4)
    assert not said[0]["mec/g_path"].any()  # by observation, nothing is expected of the first tick


def test_by_observation_a_refused_move_is_expected_to_show_the_same() -> None:
    module = code("none", eigenvectors=0)
    with torch.no_grad():
        _, state = module.observe(module.init(1), torch.tensor([[7]]))
        now, state = module.observe(state, torch.tensor([[3]]))
        said, _ = module.expect(state, torch.tensor([[True]]))
    assert torch.equal(said["mec/g_path"], now["mec/g"])


def test_m_is_written_in_place_where_gradients_are_off_and_only_there() -> None:
    module, motion = code(states=8), torch.ones(1, 2)
    with torch.no_grad():
        state = module.move(module.init(1), motion)[1]
        bank = state["successors"]
        state = module.move(state, motion)[1]
        assert state["successors"] is bank and bank[0, 0, 1] > 0
    before = {name: x.clone() for name, x in state.items()}
    module.move(state, motion)
    assert all(torch.equal(x, before[name]) for name, x in state.items())


# --- states -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "options"),
    [
        ("cogarch/Square-v0", {"width": 6}),
        ("cogarch/Square-v0", {"width": 4, "body": "egocentric"}),
        ("cogarch/Square-v0", {"width": 6, "motion_noise": 0.01}),
        ("cogarch/Hex-v0", {}),
        ("cogarch/Hex-v0", {"body": "egocentric"}),
        ("cogarch/Rooms-v0", {}),
        ("MiniGrid-FourRooms-v0", {}),
    ],
)
def test_states_are_the_nodes_of_the_world(env: str, options: dict[str, Any]) -> None:
    world, walked = walk(env, 300, batch=2, policy="drifting", **options)
    module = Successor(contracts(world), eigenvectors=0)
    _, state, passed = wander(module, hear(walked))
    for row in range(2):
        pairs = set(zip(walked["node"][:, row].tolist(), passed[:, row].tolist(), strict=True))
        nodes, states = zip(*pairs, strict=True)
        assert len(pairs) == len(set(nodes)) == len(set(states)) == int(state["known"][row]) > 20
        first = [passed[:, row].tolist().index(s) for s in range(len(pairs))]
        assert first == sorted(first)  # first come, first served


def test_places_that_look_the_same_are_one_state_by_observation_alone() -> None:
    world, walked = walk("cogarch/Square-v0", 200, width=4, objects=3)
    by_observation = Successor(contracts(world), by="observation")
    _, state, passed = wander(by_observation, hear(walked))
    assert int(state["known"]) == 3 == by_observation.n
    assert len(set(zip(passed[:, 0].tolist(), walked["observation"][:, 0].tolist(), strict=True))) == 3
    _, state, _ = wander(Successor(contracts(world)), hear(walked))
    assert int(state["known"]) == 16


def test_a_full_table_says_so_and_takes_the_nearest_state() -> None:
    module = code(states=3)
    motion = torch.tensor([[0.0, 0], [1, 0], [1, 0], [1, 0], [-3, 1], [0, -1]])[:, None]
    bump = torch.zeros(6, 1, 1, dtype=torch.bool)
    assert module.notice(module.init(1)) is None
    _, state, passed = wander(module, {"env/motion": motion[:3], "env/bump": bump[:3]})
    assert module.notice(state) is None
    _, state, passed = wander(module, {"env/motion": motion, "env/bump": bump})
    assert passed[:, 0].tolist() == [0, 1, 2, 2, 0, 0] and int(state["crowded"]) == 2
    said = module.notice(state)
    assert said is not None and "all 3 states are taken" in said and "mec.states" in said


@pytest.mark.parametrize(("radius", "known"), [(0.5, 3), (0.2, 5)])
def test_the_radius_of_a_state(radius: float, known: int) -> None:
    motion = torch.full((5, 1, 2), 0.3) * torch.tensor([1.0, 0])
    _, state, _ = wander(
        code(radius=radius), {"env/motion": motion, "env/bump": torch.zeros(5, 1, 1, dtype=torch.bool)}
    )
    assert int(state["known"]) == known


def test_what_cannot_be_a_state_is_refused() -> None:
    with pytest.raises(ValueError, match=r"env/motion is 'none'.*mec\.by=observation"):
        code("none", by="motion")
    view = example_contracts("none") | {"env/observation": Signal((7, 7, 3), dtype=torch.uint8)}
    with pytest.raises(ValueError, match=r"one whole number of known range.*uint8 \[7, 7, 3\]"):
        Successor(view)


# --- eigenvectors -----------------------------------------------------------------------------------------------------


def test_eigenvectors_are_those_of_numpy() -> None:
    _, walked = walk("cogarch/Square-v0", 400, width=4)
    module = code(states=20, eigenvectors=6, refresh=1, rectify=False)
    said, state, passed = wander(module, hear(walked))
    m = state["successors"][0, :16, :16].double().numpy()
    values, vectors = np.linalg.eigh((m + m.T) / 2)
    assert np.diff(values[-7:]).min() > 1e-3
    ours = state["eigenvectors"][0].double().numpy()
    np.testing.assert_allclose(np.abs(ours[:16].T @ vectors[:, :-7:-1]) / 4, np.eye(6), atol=1e-4)
    assert not ours[16:].any()
    np.testing.assert_allclose(said[-1]["mec/eigenvectors"][0], ours[passed[-1, 0]], atol=1e-6)
    firing, _, _ = wander(code(states=20, eigenvectors=6, refresh=1), hear(walked))
    np.testing.assert_allclose(
        firing[-1]["mec/eigenvectors"], np.maximum(said[-1]["mec/eigenvectors"].numpy(), 0), atol=1e-6
    )


@torch.no_grad()
def test_eigenvectors_keep_their_sign_and_begin_with_the_largest_entry_positive() -> None:
    _, walked = walk("cogarch/Square-v0", 400, width=4)
    module = code(states=20, eigenvectors=6, refresh=1, rectify=False)
    _, state, _ = wander(module, hear(walked))
    found, still = state["eigenvectors"].clone(), torch.zeros(1, 2)
    for sign in (1, -1):
        after = module.move(state | {"eigenvectors": sign * found}, still)[1]["eigenvectors"]
        assert ((sign * found * after).sum(1) > 14).all()  # of 16
    begun = module.move(state | {"eigenvectors": torch.zeros_like(found)}, still)[1]["eigenvectors"]
    assert torch.equal(begun.amax(1), begun.abs().amax(1))


def test_eigenvectors_are_made_every_so_many_ticks() -> None:
    _, walked = walk("cogarch/Square-v0", 25, width=4)
    module = code(refresh=10)
    states = [
        wander(module, hear({name: x[:n] for name, x in walked.items()}))[1]["eigenvectors"] for n in (11, 20, 21)
    ]
    assert torch.equal(states[0], states[1]) and not torch.equal(states[1], states[2])


@torch.no_grad()
def test_on_an_open_square_they_are_the_cosines_of_the_laplacian() -> None:
    width, gamma = 7, 0.95
    world, _ = walk("cogarch/Square-v0", 1, width=width)
    vectors, values = cosines(width)
    # a uniform walk that stays where it is refused is T = 1 - L / 4, so M = sum of v v' / (1 - gamma (1 - value / 4))
    m = np.einsum("kn,km,k->nm", vectors, vectors, 1 / (1 - gamma * (1 - values / 4)))
    np.testing.assert_allclose(m, np.linalg.inv(np.eye(width**2) - gamma * transitions(world.table(0))), atol=1e-9)
    module = code(states=width**2, eigenvectors=width**2, rate=0.0, rectify=False)
    state = module.init(1) | {"successors": torch.from_numpy(m).float()[None], "known": torch.tensor([width**2])}
    state["keys"][0] = torch.cartesian_prod(torch.arange(width), torch.arange(width)).flip(-1)
    said, state = module.move(state, torch.tensor([[2.0, 3.0]]))
    ours = state["eigenvectors"][0].double().numpy() / width
    np.testing.assert_allclose(said["mec/eigenvectors"][0], width * ours[3 * width + 2], atol=1e-5)
    order, done = np.argsort(values, kind="stable"), 0
    for value in np.unique(values.round(9)):  # equal eigenvalues span a plane: its projector is what is told
        same = vectors[order[np.isclose(values[order], value, atol=1e-8)]]
        mine = ours[:, done : done + len(same)]
        np.testing.assert_allclose(mine @ mine.T, same.T @ same, atol=1e-4)
        done += len(same)
    assert done == width**2


def test_those_that_are_learned_come_near_the_cosines() -> None:
    """A share of the first three and of the first six that chance (3 or 6 of 49) is far from."""
    width, batch = 7, 4
    _, walked = walk("cogarch/Square-v0", 4000, batch, width=width)
    module = code(states=width**2, eigenvectors=6, refresh=3999, rectify=False)
    _, state, passed = wander(module, hear(walked))
    vectors, values = cosines(width)
    leading = vectors[np.argsort(values, kind="stable")[:6]]
    for row in range(batch):
        order = np.full(width**2, -1)
        order[walked["node"][:, row]] = passed[:, row]
        ours = state["eigenvectors"][row].numpy()[order] / width
        assert np.square(leading[:3] @ ours[:, :3]).sum() / 3 > 0.8
        assert np.square(leading @ ours).sum() / 6 > 0.7


# --- in an agent ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [5, 12])
def test_dead_reckoning_predicts_what_it_never_came_to_this_way_before(width: int) -> None:
    """Keys stored while M was young are still found when it has learned."""
    agent = agents.load("successor").change("mec", states=width**2, eigenvectors=0)
    for one in (agent, agent.train_with(modules={})):  # every moment a memory; and one copy a place, as it lives
        rows = evaluate(one, "cogarch/Square-v0", options={"width": width}, walks=1, steps=600, windows=((0, 600),))
        assert rows[0]["events"] > 50 and rows[0]["accuracy"] > 0.99
