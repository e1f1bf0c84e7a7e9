"""Training walks: each policy follows its law, and a walk records exactly what the world said."""

import math

import numpy as np
import pytest
from scipy import stats

import envs
from envs import policies
from envs.policies import COMPASS, DriftingHeading, ForwardMostly, LeastVisited, Uniform, walk

SQUARE = ("east", "north", "west", "south")


def choices(policy: policies.Policy, batch: int, ticks: int, bump: bool = False) -> np.ndarray:
    """Actions [ticks, batch] of a policy that never (or always) bumps."""
    policy.reset(batch, np.random.default_rng(0))
    info = {"bump": np.full(batch, bump), "node": np.zeros(batch, np.int64)}
    return np.stack([policy.act(info) for _ in range(ticks)])


def test_uniform_takes_every_action_equally_often() -> None:
    actions = choices(Uniform("abcde"), 200, 50)
    assert stats.chisquare(np.bincount(actions.ravel(), minlength=5)).pvalue > 1e-3


def test_the_drifting_heading_is_followed_a_quarter_of_the_time() -> None:
    steady = choices(DriftingHeading(SQUARE, drift=0.0), 4000, 2)
    # both ticks follow (1/16): the same action; else by chance (1/4)
    repeated = int((steady[0] == steady[1]).sum())
    assert stats.binomtest(repeated, 4000, 1 / 16 + 15 / 16 / 4).pvalue > 1e-3
    assert stats.chisquare(np.bincount(choices(DriftingHeading(SQUARE), 200, 50).ravel())).pvalue > 1e-3


def test_the_heading_drifts_by_at_most_four_tenths_of_a_radian() -> None:
    many = [f"{k}" for k in range(360)]
    COMPASS.update({name: math.radians(k) for k, name in enumerate(many)})  # a compass fine enough to read the heading
    try:
        actions = choices(DriftingHeading(many, follow=1.0), 500, 40)
        turned = choices(DriftingHeading(many, follow=1.0), 500, 40, bump=True)
    finally:
        for name in many:
            del COMPASS[name]
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


def test_the_heading_means_what_the_names_of_the_actions_say() -> None:
    shuffled = ("south", "east", "north", "west")
    straight = [choices(DriftingHeading(names, follow=1.0, drift=0.0), 300, 1)[0] for names in (SQUARE, shuffled)]
    assert [SQUARE[a] for a in straight[0]] == [shuffled[a] for a in straight[1]]
    policy = DriftingHeading(("northwest", "east"), follow=1.0, drift=0.0)
    nearer_east = choices(policy, 4000, 1)[0].mean()  # the bisector of 0 and 135 degrees parts the circle in halves
    assert abs(nearer_east - 0.5) < 4 * 0.5 / math.sqrt(4000)


def test_a_body_walks_forward_mostly() -> None:
    names = ("left", "right", "forward", "pickup")
    counts = np.bincount(choices(ForwardMostly(names), 200, 50).ravel(), minlength=4)
    assert counts[3] == 0
    assert stats.chisquare(counts[:3], np.array([0.18, 0.18, 0.64]) * 10_000).pvalue > 1e-3


def test_least_visited_takes_all_actions_of_a_node_in_turn() -> None:
    env = envs.make("Square-v0", 8, width=10)
    walked = walk(env, "least_visited", 3000, world_seeds=range(8), policy_seed=0)
    taken = np.zeros((8, 100, 4), int)
    np.add.at(taken, (np.arange(8), walked["node"][:-1], walked["action"][1:]), 1)
    assert (taken.max(axis=2) - taken.min(axis=2)).max() <= 1
    assert (taken.sum(axis=2) > 0).all()
    firsts = choices(LeastVisited(SQUARE), 4000, 1)[0]
    assert stats.chisquare(np.bincount(firsts, minlength=4)).pvalue > 1e-3


def test_policies_are_made_by_name() -> None:
    assert isinstance(policies.make("drifting", SQUARE), DriftingHeading)
    assert isinstance(policies.make("drifting", ("left", "right", "forward")), ForwardMostly)
    with pytest.raises(ValueError, match=r"no policy is called 'drifing': did you mean drifting\?$"):
        policies.make("drifing", SQUARE)
    with pytest.raises(ValueError, match="'zz': there are uniform, drifting, least_visited"):
        policies.make("zz", SQUARE)
    with pytest.raises(ValueError, match=r"actions are child, parent: use 'uniform' .*--set training\.policy=uniform"):
        policies.make("drifting", ("child", "parent"))


@pytest.mark.parametrize("name", ["uniform", "drifting", "least_visited"])
def test_a_walk_is_what_the_world_said(name: str) -> None:
    env = envs.make("Square-v0", 5, width=(3, 6), motion_noise=0.05)
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
