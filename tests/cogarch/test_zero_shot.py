from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import agents
import envs
from cogarch.config import Agent
from cogarch.learning.zero_shot import accuracy, evaluate, events, events_of, first_time, hits, most_frequent, view_ids
from envs import policies


def events_by_hand(node: list[int], action: list[int]) -> tuple[list[bool], list[bool], list[bool]]:
    """The definition, a tick at a time: known, zero-shot, and zero-shot over an edge that was never walked."""
    places, pairs, edges = {node[0]}, set(), set()
    known, zero_shot, no_way_back = [False], [False], [False]
    for t in range(1, len(node)):
        here, before = node[t], node[t - 1]
        moved = here != before
        known.append(here in places)
        zero_shot.append(moved and here in places and (before, action[t]) not in pairs)
        no_way_back.append(zero_shot[-1] and {before, here} not in edges)
        places.add(here)
        pairs.add((before, action[t]))
        if moved:
            edges.add(frozenset((before, here)))
    return known, zero_shot, no_way_back


def assert_events(nodes: list[list[int]], actions: list[list[int]]) -> None:
    node, action = np.array(nodes).T, np.array(actions).T  # [T, B]
    start = np.zeros(node.shape, bool)
    start[0] = True
    found = events(node, action, start)
    for row in range(len(nodes)):
        known, zero_shot, no_way_back = events_by_hand(nodes[row], actions[row])
        assert found.visited[:, row].tolist() == known
        assert found.zero_shot[:, row].tolist() == zero_shot
        assert found.without_way_back[:, row].tolist() == no_way_back


@settings(deadline=None, max_examples=60)
@given(
    width=st.integers(2, 4),
    height=st.integers(1, 4),
    walks=st.integers(1, 60).flatmap(
        lambda n: st.lists(st.lists(st.integers(0, 4), min_size=n, max_size=n), min_size=1, max_size=3)
    ),
)
def test_events_of_walks_that_bump_and_stand_still(width: int, height: int, walks: list[list[int]]) -> None:
    ways = [(1, 0), (0, 1), (-1, 0), (0, -1), (0, 0)]
    nodes = []
    for walk in walks:
        x, y, path = 0, 0, []
        for t, action in enumerate(walk):
            if t:
                x = min(max(x + ways[action][0], 0), width - 1)
                y = min(max(y + ways[action][1], 0), height - 1)
            path.append(y * width + x)
        nodes.append(path)
    assert_events(nodes, [[-1, *walk[1:]] for walk in walks])


@settings(deadline=None, max_examples=60)
@given(
    targets=st.integers(2, 6).flatmap(
        lambda n: st.lists(st.lists(st.integers(-1, n - 1), min_size=3, max_size=3), min_size=n, max_size=n)
    ),
    walk=st.lists(st.integers(0, 2), min_size=1, max_size=60),
)
def test_events_on_any_graph(targets: list[list[int]], walk: list[int]) -> None:
    """Edges one way, loops, several actions over one edge, and -1: refused."""
    node, path = 0, [0]
    for action in walk[1:]:
        node = targets[node][action] if targets[node][action] >= 0 else node
        path.append(node)
    assert_events([path], [[-1, *walk[1:]]])


def test_events_by_example() -> None:
    """Out to the east, back (zero-shot by the way back), and around a block of four (zero-shot without)."""
    node = np.array([[0, 1, 0, 0, 2, 3, 1, 3]]).T
    action = np.array([[-1, 0, 2, 2, 1, 0, 3, 1]]).T
    found = events(node, action, np.arange(8)[:, None] == 0)
    assert np.flatnonzero(found.zero_shot).tolist() == [2, 6, 7]
    assert np.flatnonzero(found.without_way_back).tolist() == [6]


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 4), st.integers(0, 999), st.integers(2, 80))
def test_a_body_that_turns_on_the_spot_and_senses_what_is_underfoot_stands_still(w: int, seed: int, n: int) -> None:
    world = envs.make("Square-v0", 2, width=w, body="egocentric")
    walk = policies.walk(world, "drifting", n, world_seeds=[seed, seed + 1], policy_seed=seed)
    found = events_of(world, walk)
    for row in range(2):
        node, action = walk["node"][:, row].tolist(), walk["action"][:, row].tolist()
        place = [tuple(xy) for xy in walk["place"][:, row].tolist()]
        assert len(set(node)) >= len(set(place))
        for t in range(n):
            moved = t > 0 and place[t] != place[t - 1]
            visited = place[t] in place[:t]
            used = {(node[s - 1], action[s]) for s in range(1, t)}
            crossed = {frozenset(place[s - 1 : s + 1]) for s in range(1, t)}
            zero_shot = moved and visited and (node[t - 1], action[t]) not in used
            assert found.visited[t, row] == visited
            assert found.zero_shot[t, row] == zero_shot
            assert found.without_way_back[t, row] == (zero_shot and frozenset(place[t - 1 : t + 1]) not in crossed)


def test_a_body_that_senses_its_pose_meets_events_by_turning() -> None:
    world = envs.make("MiniGrid-FourRooms-v0", 2)
    walk = policies.walk(world, "drifting", 200, world_seeds=[10_000, 10_001], policy_seed=0)
    turned = (walk["action"] < 2) & (walk["node"] != np.roll(walk["node"], 1, axis=0))
    found = events_of(world, walk)
    assert (found.zero_shot & turned).any()
    for row in range(2):
        by_hand = events_by_hand(walk["node"][:, row].tolist(), walk["action"][:, row].tolist())
        assert found.zero_shot[:, row].tolist() == by_hand[1]
        assert found.without_way_back[:, row].tolist() == by_hand[2]


def test_a_walk_of_two_episodes_is_refused() -> None:
    start = np.array([[True], [False], [True]])
    with pytest.raises(ValueError, match="within one episode"):
        events(np.zeros((3, 1), int), np.zeros((3, 1), int), start)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30))
def test_first_time(ids: list[int]) -> None:
    assert first_time(np.array(ids)[:, None])[:, 0].tolist() == [x not in ids[:t] for t, x in enumerate(ids)]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.lists(st.integers(0, 4), min_size=40, max_size=40))
def test_most_frequent_so_far_and_of_equals_the_first_to_get_there(one: list[int], other: list[int]) -> None:
    columns = [one, other[: len(one)]]
    guesses = most_frequent(np.array(columns).T)
    for row, seen in enumerate(columns):
        assert guesses[0, row] == -1
        for t in range(1, len(seen)):
            counts = Counter(seen[:t])
            most = max(counts.values())
            leaders = [view for view, n in counts.items() if n == most]
            got_there = {view: [i for i, s in enumerate(seen[:t]) if s == view][most - 1] for view in leaders}
            assert guesses[t, row] == min(leaders, key=got_there.__getitem__)


def test_most_frequent_is_counted_apart_at_each_place() -> None:
    seen = np.array([[1], [2], [2], [1], [1], [2], [0]])
    where = np.array([[0], [5], [5], [0], [5], [5], [5]])
    assert most_frequent(seen, where)[:, 0].tolist() == [-1, -1, 2, 1, 2, 2, 2]
    np.testing.assert_array_equal(most_frequent(seen, np.zeros_like(seen)), most_frequent(seen))


def test_views_have_one_number_each() -> None:
    views = np.random.default_rng(0).integers(0, 2, (20, 3, 2, 2, 1), dtype=np.uint8)
    ids = view_ids(views)
    same = (views[:, :, None, None] == views[None, None]).all((-3, -2, -1))
    np.testing.assert_array_equal(ids[:, :, None, None] == ids[None, None], same)


def square_walks(width: int, steps: int, walks: int) -> dict[str, np.ndarray]:
    world = envs.make("Square-v0", walks, width=width)
    return policies.walk(world, "drifting", steps, world_seeds=range(10_000, 10_000 + walks), policy_seed=1)


def test_an_oracle_is_always_right_and_a_guess_as_often_as_chance() -> None:
    walk = square_walks(12, 2000, 8)
    zero_shot = events(walk["node"], walk["action"], walk["start"]).zero_shot
    x = torch.nn.functional.one_hot(torch.from_numpy(walk["observation"]), 45).float()
    n = int(zero_shot.sum())
    assert n > 1500
    assert accuracy(hits({"lec/x": x, "lec/x_predicted": x * 0.4 + 0.01}), zero_shot) == 1.0
    guess = torch.rand(x.shape, generator=torch.Generator().manual_seed(0))
    chance = accuracy(hits({"lec/x": x, "lec/x_predicted": guess}), zero_shot)
    assert abs(chance - 1 / 45) < 4 * np.sqrt(1 / 45 / n)
    assert np.isnan(accuracy(np.ones(3, bool), np.zeros(3, bool)))


def test_a_view_without_a_code_is_never_predicted() -> None:
    x = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 0.0]]])
    predicted = torch.tensor([[[0.5, 0.5]], [[0.2, 0.8]], [[0.5, 0.5]]])
    assert hits({"lec/x": x, "lec/x_predicted": predicted})[:, 0].tolist() == [True, True, False]


@pytest.mark.parametrize(("width", "steps"), [(8, 400), (12, 800), (20, 2000)])
def test_most_events_go_the_way_back(width: int, steps: int) -> None:
    walk = square_walks(width, steps, 24)
    found = events(walk["node"], walk["action"], walk["start"])
    share = 1 - found.without_way_back.sum() / found.zero_shot.sum()
    assert 0.62 < share < 0.73


def score(agent: Agent, **options: float) -> list[dict[str, float]]:
    return evaluate(
        agent, "Square-v0", options={"width": 6, **options}, walks=3, steps=300, windows=((0, 100), (100, 999))
    )


def test_the_untrained_explorer_is_right_where_motion_is_exact_and_falls_where_it_is_not() -> None:
    explorer = agents.load("explorer")
    first, second = rows = score(explorer)
    assert [row["accuracy"] for row in rows] == [1.0, 1.0]
    assert [row["accuracy_without_way_back"] for row in rows] == [1.0, 1.0]
    assert (first["window"], second["window"]) == ("0-100", "100-300")
    assert first["chance"] == second["chance"] == 1 / 45
    assert max(row[guess] for row in rows for guess in ("same", "frequent")) < 0.3
    noisy = score(explorer, motion_noise=0.1)
    assert 1.0 > noisy[0]["accuracy"] > noisy[1]["accuracy"]
    assert noisy[1]["accuracy"] < 0.7


def test_rows_repeat_and_count_the_events_of_the_scoring_worlds() -> None:
    rows = score(agents.load("explorer"))
    assert rows == score(agents.load("explorer"))
    counted = np.zeros(2, int)
    for walk_seed, seeds in ((0, (10_000, 10_001)), (2, (10_002,))):  # two walks at a time, one policy seed for both
        world = envs.make("Square-v0", len(seeds), width=6)
        walk = policies.walk(world, "drifting", 300, world_seeds=seeds, policy_seed=walk_seed)
        for row in range(len(seeds)):
            zero_shot = np.array(events_by_hand(walk["node"][:, row].tolist(), walk["action"][:, row].tolist())[1])
            counted += [zero_shot[:100].sum(), zero_shot[100:].sum()]
    assert [row["events"] for row in rows] == counted.tolist()
