"""Training walks: each policy follows its law, and a walk records exactly what the world said."""

import hashlib
import itertools
import math
from collections.abc import Sequence
from typing import Any

import networkx as nx
import numpy as np
import pytest
from scipy import stats
from tables import grid, turning

import envs
from envs import oracle, policies
from envs.policies import (
    DriftingHeading,
    ForwardMostly,
    LeastVisited,
    ObjectSeeking,
    Script,
    Shortest,
    Uniform,
    walk,
)
from envs.table import Table

SQUARE = ("east", "north", "west", "south")
QUARTERS = tuple(quarter * math.pi / 2 for quarter in range(4))


class Known:
    """What policies ask of a world, without the world: B rows of a table, with landmarks."""

    def __init__(
        self,
        batch: int = 1,
        table: Table | None = None,
        landmarks: Sequence[int] = (),
        actions: Sequence[str] = SQUARE,
        angles: Sequence[float] | None = QUARTERS,
    ) -> None:
        self.num_envs, self._table, self._landmarks = batch, table, landmarks
        self.metadata = {"actions": tuple(table.actions if table else actions), "angles": angles}
        self.episode = np.ones(batch, np.int64)

    def table(self, row: int = 0) -> Table | None:
        return self._table

    def landmarks(self, row: int = 0) -> np.ndarray:
        return np.array(self._landmarks, np.int64)


def choices(policy: policies.Policy, batch: int, ticks: int, bump: bool = False, node: int = 0) -> np.ndarray:
    """Actions [ticks, batch] of a policy that never (or always) bumps, and never leaves its node."""
    policy.reset(batch, np.random.default_rng(0))
    info = {"bump": np.full(batch, bump), "node": np.full(batch, node)}
    return np.stack([policy.act(info) for _ in range(ticks)])


def pvalue(actions: np.ndarray, shares: Sequence[float]) -> float:
    """How well the actions agree with a share of each; 0 if one that has none was taken."""
    counts, expected = np.bincount(actions.ravel(), minlength=len(shares)), np.array(shares) * actions.size
    if counts[expected == 0].any():
        return 0.0
    return float(stats.chisquare(counts[expected > 0], expected[expected > 0]).pvalue)


@pytest.mark.parametrize(
    ("name", "env_id", "settings", "first", "digest"),
    [
        ("uniform", "Square-v0", {"width": 4}, "133102232233332300312130200313", "b6ad4240c7586f5c5c3ddeff6f5c5b66"),
        ("drifting", "Square-v0", {"width": 4}, "312012033321202122032003300022", "569139505bf4c6a921017ab643444edd"),
        (
            "least_visited",
            "Square-v0",
            {"width": 4},
            "100021313033332131221103320012",
            "20417742d3dd5b1e69f1c4412754e90a",
        ),
        ("uniform", "EMPTY", {"endless": False}, "122001221222222200212120200202", "6817c17125f807c305dfa5d9e6c2d6c8"),
        ("drifting", "EMPTY", {"endless": False}, "122001112222211020202011110212", "42652bab814326516930de177a712e67"),
        (
            "least_visited",
            "EMPTY",
            {"endless": False},
            "112201202202001220112210000001",
            "dc51ab66270cb5755a87b62aaa972af8",
        ),
    ],
)
def test_walks_are_those_of_the_published_numbers(
    name: str, env_id: str, settings: dict[str, Any], first: str, digest: str
) -> None:
    # 400 ticks with the code of which numbers were published; actions of the first ten moves, then a digest of all
    world = envs.make(env_id.replace("EMPTY", "MiniGrid-Empty-5x5-v0"), 3, **settings)
    walked = walk(world, name, 400, world_seeds=[3, 1, 4], policy_seed=9)
    assert "".join(map(str, walked["action"][1:11].ravel())) == first
    parts = (walked["action"], walked["node"].astype(np.int64))
    assert "".join(hashlib.sha256(part.tobytes()).hexdigest()[:16] for part in parts) == digest


def test_uniform_takes_every_action_equally_often() -> None:
    assert pvalue(choices(Uniform(Known(actions="abcde")), 200, 50), [0.2] * 5) > 1e-3


def test_the_drifting_heading_is_followed_a_quarter_of_the_time() -> None:
    steady = choices(DriftingHeading(Known(), drift=0.0), 4000, 2)
    # both ticks follow (1/16): the same action; else by chance (1/4)
    repeated = int((steady[0] == steady[1]).sum())
    assert stats.binomtest(repeated, 4000, 1 / 16 + 15 / 16 / 4).pvalue > 1e-3
    assert pvalue(choices(DriftingHeading(Known()), 200, 50), [0.25] * 4) > 1e-3


def test_the_heading_drifts_by_at_most_four_tenths_of_a_radian() -> None:
    fine = Known(
        actions=[f"{k}" for k in range(360)], angles=np.radians(np.arange(360)).tolist()
    )  # to read the heading
    actions = choices(DriftingHeading(fine, follow=1.0), 500, 40)
    turned = choices(DriftingHeading(fine, follow=1.0), 500, 40, bump=True)
    drift = (np.diff(actions, axis=0) + 180) % 360 - 180
    assert (
        stats.kstest(
            np.radians(drift.ravel() + np.random.default_rng(1).uniform(-0.5, 0.5, drift.size)),
            stats.uniform(-0.4, 0.8).cdf,
        ).pvalue
        > 1e-3
    )
    assert abs(drift).max() <= math.degrees(0.4) + 1
    anew = np.diff(turned, axis=0).ravel() % 360  # after a bump any heading is as likely
    assert stats.chisquare(np.bincount(anew // 36, minlength=10)).pvalue > 1e-3


def test_the_heading_means_what_the_angles_of_the_actions_say() -> None:
    order = [3, 0, 1, 2]
    shuffled = Known(actions=[SQUARE[i] for i in order], angles=[QUARTERS[i] for i in order])
    straight = [choices(DriftingHeading(w, follow=1.0, drift=0.0), 300, 1)[0] for w in (Known(), shuffled)]
    assert straight[0].tolist() == [order[a] for a in straight[1]]
    policy = DriftingHeading(Known(actions="ab", angles=(3 * math.pi / 4, 0.0)), follow=1.0, drift=0.0)
    nearer_east = choices(policy, 4000, 1)[0].mean()  # the bisector of 0 and 135 degrees parts the circle in halves
    assert abs(nearer_east - 0.5) < 4 * 0.5 / math.sqrt(4000)
    staying = Known(actions=("stay", "east", "west"), angles=(math.nan, 0.0, math.pi))
    assert pvalue(choices(DriftingHeading(staying, follow=1.0), 4000, 1), [0, 0.5, 0.5]) > 1e-3


def test_a_body_walks_forward_mostly() -> None:
    names = ("left", "right", "forward", "pickup")
    assert pvalue(choices(ForwardMostly(Known(actions=names)), 200, 50), [0.18, 0.18, 0.64, 0]) > 1e-3


def test_least_visited_takes_all_actions_of_a_node_in_turn() -> None:
    env = envs.make("Square-v0", 8, width=10)
    walked = walk(env, "least_visited", 3000, world_seeds=range(8), policy_seed=0)
    taken = np.zeros((8, 100, 4), int)
    np.add.at(taken, (np.arange(8), walked["node"][:-1], walked["action"][1:]), 1)
    assert (taken.max(axis=2) - taken.min(axis=2)).max() <= 1
    assert (taken.sum(axis=2) > 0).all()
    firsts = choices(LeastVisited(Known()), 4000, 1)[0]
    assert stats.chisquare(np.bincount(firsts, minlength=4)).pvalue > 1e-3


def test_policies_are_made_by_name() -> None:
    assert isinstance(policies.make("drifting", Known()), DriftingHeading)
    assert isinstance(
        policies.make("drifting", Known(actions=("left", "right", "forward"), angles=None)), ForwardMostly
    )
    with pytest.raises(ValueError, match=r"no policy is called 'drifing': did you mean drifting\?$"):
        policies.make("drifing", Known())
    with pytest.raises(ValueError, match="'zz': there are uniform, drifting, least_visited, object_seeking"):
        policies.make("zz", Known())
    with pytest.raises(ValueError, match=r"actions are child, parent: use 'uniform' .*--set training\.policy=uniform"):
        policies.make("drifting", Known(actions=("child", "parent"), angles=None))


def object_seeking_law(table: Table, node: int, goals: list[int]) -> np.ndarray:
    """The share of each action, by the formula, with distances by networkx."""
    graph = nx.DiGraph((int(u), int(v)) for u, _, v in table.edges)
    left = np.full(len(table.actions), np.inf)
    for action, to in enumerate(table.target[node].tolist()):
        if to >= 0:
            left[action] = min(nx.shortest_path_length(graph, to, goal) for goal in goals)
    nearest, inverse = left == left.min(), 1 / (1 + left)
    return 0.2 * nearest / nearest.sum() + 0.55 * inverse / inverse.sum() + 0.25 / len(left)


@pytest.mark.parametrize("node", [0, 6, 7, 11, 24])  # two corners, beside, on and above the object
def test_an_object_is_sought_by_the_mixture_of_three(node: int) -> None:
    world = Known(500, grid(5, 5), [6])
    shares = object_seeking_law(grid(5, 5), node, [6])
    assert shares.sum() == pytest.approx(1)
    assert pvalue(choices(ObjectSeeking(world), 500, 20, node=node), shares) > 1e-3


def test_a_body_that_turns_seeks_the_place_in_any_heading() -> None:
    table = turning(grid(4, 4))
    world = Known(500, table, [4 * 5, 4 * 5 + 1, 4 * 5 + 2, 4 * 5 + 3])
    for node in (4 * 4 + 2, 4 * 5 + 1, 4 * 15):
        shares = object_seeking_law(table, node, list(range(20, 24)))
        assert pvalue(choices(ObjectSeeking(world), 500, 20, node=node), shares) > 1e-3


def test_where_a_world_lets_it_stay_it_stays_one_tick_in_twenty() -> None:
    field = grid(4, 4)
    target = np.concatenate([np.arange(16)[:, None], field.target], axis=1)
    staying = Table(("stay", *field.actions), target, field.place, np.zeros((16, 5, 2), np.float32), field.heading)
    shares = np.concatenate([[0.05], 0.95 * object_seeking_law(field, 9, [0])])
    assert pvalue(choices(ObjectSeeking(Known(500, staying, [0])), 500, 20, node=9), shares) > 1e-3


def test_an_object_is_visited_15_to_20_times_and_then_another() -> None:
    world = envs.make("Square-v0", 24, width=6, landmarks=3)
    policy = ObjectSeeking(world)
    sought: list[np.ndarray] = []

    def spy(info: Any, rng: np.random.Generator) -> np.ndarray:
        if not sought:
            policy.reset(24, rng)
        action = policy.act(info)
        sought.append(policy._sought.copy())
        return action

    node = walk(world, spy, 2500, world_seeds=range(24), policy_seed=0)["node"]
    goals = np.stack(sought)
    lengths, change = [], 0
    for row in range(24):
        places = world.landmarks(row)
        assert len(places) == 3
        turns = np.flatnonzero(np.diff(goals[:, row])) + 1  # at the tick of the last visit the next one is sought
        change += len(turns)
        for first, last in itertools.pairwise(turns):
            on = node[first : last + 1, row] == places[goals[first, row]]
            lengths.append(int((on[1:] & ~on[:-1]).sum()))
    assert change > 200
    assert set(lengths) == set(range(15, 21))
    assert pvalue(np.array(lengths) - 15, [1 / 6] * 6) > 1e-3
    there = np.mean([np.isin(node[:, row], world.landmarks(row)).mean() for row in range(24)])
    assert there > 1.5 * 3 / 36  # a uniform walk is there 3 ticks of 36


def test_objects_are_found_anew_in_every_episode_and_must_be_there() -> None:
    world = envs.make("Square-v0", 2, width=(3, 8), landmarks=1)
    policy = ObjectSeeking(world, greedy=1.0, inverse=0.0)
    policy.reset(2, np.random.default_rng(0))
    _, info = world.reset(seed=[0, 1])
    for episode in range(12):
        steps = oracle.distance(world, info["node"], [world.landmarks(row) for row in range(2)])
        for _ in range(int(steps.max())):
            *_, info = world.step(policy.act(info))
        # greedy all the way: there, or gone past it while the other row had farther to go
        assert all((steps.max() - steps[row]) % 2 == (info["node"][row] != world.landmarks(row)[0]) for row in range(2))
        mask = np.array([True, episode % 2 == 0])
        _, info = world.reset(options={"reset_mask": mask})
    with pytest.raises(ValueError, match="this world has none: give the world landmarks=3 where it takes them"):
        walk(envs.make("Square-v0", 2), "object_seeking", 10, world_seeds=[0, 1], policy_seed=0)


def test_the_oracle_takes_a_shortest_way() -> None:
    world = envs.make("Square-v0", 6, width=(4, 9))
    world.reset(seed=0)
    goal = np.array([len(world.table(row)) - 1 for row in range(6)])
    walked = walk(world, Shortest(world, goal), 20, world_seeds=range(6), policy_seed=0)
    steps = oracle.distance(world, walked["node"][0], goal)
    for row in range(6):
        assert np.flatnonzero(walked["node"][:, row] == goal[row])[0] == steps[row]
    told = walk(world, Shortest(world, lambda row: goal[row]), 20, world_seeds=range(6), policy_seed=0)
    assert np.array_equal(told["node"], walked["node"])
    with pytest.raises(ValueError, match="1 goals for 6 worlds: give one a row"):
        Shortest(world, [3])


def test_a_script_is_walked_as_written_and_from_the_beginning_again() -> None:
    world = envs.make("Square-v0", 3, width=5)
    round_and_round = Script(world, ["east", "north", "west", "south"])
    walked = walk(world, round_and_round, 10, world_seeds=range(3), policy_seed=0)
    assert (walked["action"][1:] == np.array([0, 1, 2, 3, 0, 1, 2, 3, 0])[:, None]).all()
    again = walk(world, round_and_round, 10, world_seeds=range(3), policy_seed=0)
    assert np.array_equal(again["action"], walked["action"])
    random = walk(world, "uniform", 30, world_seeds=range(3), policy_seed=4)
    replayed = walk(world, Script(world, random["action"][1:]), 30, world_seeds=range(3), policy_seed=0)
    assert all(np.array_equal(random[key], replayed[key]) for key in random)


def test_scripts_that_cannot_be_walked() -> None:
    world = envs.make("Square-v0", 3, width=5)
    with pytest.raises(
        ValueError, match=r"up at \[1\] of the script is no action of this world: 0 east, 1 north, 2 west"
    ):
        Script(world, ["east", "up"])
    with pytest.raises(ValueError, match=r"4 at \[0, 2\] of the script is no action"):
        Script(world, [[0, 1, 4], [0, 0, 0]])
    for wrong in ([], [[0, 1]], 3):
        with pytest.raises(ValueError, match=r"a script of shape .*: give \[ticks\] or \[ticks, 3 rows\]"):
            Script(world, wrong)


def test_a_policy_of_ones_own() -> None:
    class Pacing:  # the example of `Policy`
        def reset(self, batch: int, rng: np.random.Generator) -> None:
            self.action = np.zeros(batch, np.int64)

        def act(self, info: Any) -> np.ndarray:
            self.action = np.where(info["bump"], 2 - self.action, self.action)
            return self.action

    world = envs.make("Square-v0", 2, width=4)
    x = walk(world, Pacing(), 20, world_seeds=[0, 1], policy_seed=0)["place"][:, :, 0]
    for row in range(2):
        path = [0, 0, 1, 2, 3, 3, 2, 1] * 4  # a tick at each wall bumps
        began = next(i for i in range(1, 5) if path[i] == x[0, row])
        assert x[:, row].tolist() == path[began : began + 20]
    named = walk(world, "uniform", 20, world_seeds=[0, 1], policy_seed=5)
    function = walk(world, lambda info, rng: rng.integers(4, size=2), 20, world_seeds=[0, 1], policy_seed=5)
    assert np.array_equal(function["action"], named["action"])  # the same generator, the same draws
    homing = walk(
        world, lambda info, rng: np.where(info["place"][:, 0] > 3, 2, 0), 40, world_seeds=[0, 1], policy_seed=5
    )
    assert (abs(homing["place"][-1, :, 0] - 3.5) < 1).all()


@pytest.mark.parametrize("name", ["uniform", "drifting", "least_visited", "object_seeking"])
def test_a_walk_is_what_the_world_said(name: str) -> None:
    env = envs.make("Square-v0", 5, width=(3, 6), landmarks=2, motion_noise=0.05)
    walked = walk(env, name, 50, world_seeds=[3, 1, 4, 1, 5], policy_seed=9)
    observation, info = env.reset(seed=[3, 1, 4, 1, 5])
    for t in range(50):
        if t:
            observation, *_, info = env.step(walked["action"][t])
        for key, values in ({"observation": observation} | info).items():
            assert np.array_equal(walked[key][t], values)
            assert walked[key].dtype == values.dtype
    assert walked["bump"].any()
    assert (walked["action"][0] == -1).all()
    assert (walked["action"][1:] >= 0).all()
    assert walked["start"][0].all()
    assert not walked["start"][1:].any()
    assert walked["reward"].dtype == np.float32
    assert walked["start"].dtype == bool
    again = walk(env, name, 50, world_seeds=[3, 1, 4, 1, 5], policy_seed=9)
    other = walk(env, name, 50, world_seeds=[3, 1, 4, 1, 5], policy_seed=10)
    assert all(np.array_equal(walked[key], again[key]) for key in walked)
    assert not np.array_equal(walked["action"], other["action"])


def test_a_row_that_ends_begins_anew_in_the_next_tick() -> None:
    env = envs.make("MiniGrid-Empty-5x5-v0", 4, endless=False)
    walked = walk(env, "drifting", 400, world_seeds=range(4), policy_seed=0)
    starts, paid = walked["start"], walked["reward"] > 0
    assert paid.sum() > 10
    # an end is a payment or the step limit (100 ticks after the start); the start is the tick after, and only then
    for row in range(4):
        last = 0
        for t in range(1, 400):
            ended = t - 1 > last and (paid[t - 1, row] or t - 1 - last == 100)
            assert starts[t, row] == ended
            if ended:
                last = t
    assert np.array_equal(walked["action"] == -1, starts)
    assert not walked["motion"][starts].any()
    assert not walked["reward"][starts].any()
    first = walked["observation"][0, 0]  # this layout and start never change
    assert (walked["observation"][starts] == first).all()


def test_a_walk_of_one_tick_and_walks_that_cannot_be() -> None:
    env = envs.make("Square-v0", 2)
    assert walk(env, "uniform", 1, world_seeds=[0, 1], policy_seed=0)["node"].shape == (1, 2)
    with pytest.raises(ValueError, match="a walk of 0 ticks"):
        walk(env, "uniform", 0, world_seeds=[0, 1], policy_seed=0)
    with pytest.raises(ValueError, match="3 world_seeds for 2 worlds"):
        walk(env, "uniform", 5, world_seeds=[0, 1, 2], policy_seed=0)
