"""The walks that a training learns from."""

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cogarch.config import Agent, Schedule
from cogarch.learning import walks
from cogarch.learning.backprop import Batch
from cogarch.learning.walks import batches


@pytest.fixture(scope="module")
def all_batches() -> list[Batch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walks, "WALKERS", 13)  # blocks of 3 updates of 4 walks
        return list(batches(tiny.learner(steps=8), "Square-v0", {"width": (3, 5)}, 7, 0, 11))


@settings(deadline=None, max_examples=30)
@given(ends=st.tuples(st.integers(0, 11), st.integers(0, 11)).map(sorted))
def test_the_walks_of_an_update_do_not_depend_on_where_one_begins(all_batches: Any, ends: list[int]) -> None:
    first, last = ends
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walks, "WALKERS", 13)
        part = list(batches(tiny.learner(steps=8), "Square-v0", {"width": (3, 5)}, 7, first, last))
    assert len(part) == last - first
    for made, whole in zip(part, all_batches[first:last], strict=True):
        assert made.walk.keys() == whole.walk.keys()
        assert all(torch.equal(made.walk[topic], whole.walk[topic]) for topic in made.walk)
        assert torch.equal(made.counts, whole.counts)
        np.testing.assert_array_equal(made.zero_shot, whole.zero_shot)


def test_walks_hold_what_an_agent_can_sense_and_no_two_updates_are_alike(all_batches: Any) -> None:
    assert not {"env/node", "env/place", "env/heading"} & all_batches[0].walk.keys()
    assert {x.shape[:2] for x in all_batches[0].walk.values()} == {(8, 4)}
    seen = [tuple(batch.walk["env/action"].flatten().tolist()) for batch in all_batches]
    assert len(set(seen)) == len(seen)


def test_loss_counts_at_visited_places_alone_unless_told() -> None:
    for visited_only in (True, False):
        batch = next(batches(tiny.learner(visited_only=visited_only), "Square-v0", {"width": 3}, 0, 0, 1))
        assert bool(batch.counts.all()) == (not visited_only)
        assert not batch.counts[0].any() or not visited_only


def staying(**settings: Any) -> Agent:
    return tiny.learner(**{"steps": 5, "walk": (10, 30), "updates": 12, **settings})


def test_stays_grow_shorter_where_that_is_scheduled() -> None:
    agent = staying(walk=(20, 20), updates=40, schedules={"walk": Schedule(start=20.0, end=-10.0, over=20)})
    made = list(batches(agent, "Square-v0", {"width": 4}, 3, 0, 40))
    again = list(batches(agent, "Square-v0", {"width": 4}, 3, 25, 40))
    for part, whole in zip(again, made[25:], strict=True):
        assert all(torch.equal(part.walk[topic], whole.walk[topic]) for topic in whole.walk)
    start = torch.stack([batch.walk["env/start"][0, :, 0] for batch in made])  # [update, B]
    for row in range(start.shape[1]):
        begun = start[:, row].nonzero().flatten().tolist()
        for update, stay in zip(begun[1:], np.diff(begun)[1:], strict=False):  # the first one is cut
            more = 20.0 - 30.0 * min(1.0, update / 20)
            assert stay == max(1, 4 + round(more / 5))


def test_agents_stay_in_a_world_over_many_updates() -> None:
    made = list(batches(staying(), "Square-v0", {"width": 4}, 3, 0, 12))
    again = list(batches(staying(), "Square-v0", {"width": 4}, 3, 7, 12))
    for part, whole in zip(again, made[7:], strict=True):
        assert all(torch.equal(part.walk[topic], whole.walk[topic]) for topic in whole.walk)
        assert torch.equal(part.counts, whole.counts) and np.array_equal(part.zero_shot, whole.zero_shot)

    start = torch.stack([batch.walk["env/start"][..., 0] for batch in made])  # [update, T, B]
    assert start[0, 0].all() and not start[:, 1:].any()  # a stay begins with an update
    for row in range(start.shape[2]):
        begun = start[:, 0, row].nonzero().flatten().tolist()
        assert all(2 <= stay <= 6 for stay in np.diff(begun)[1:]) and begun[1] <= 6
    assert (start[1:, 0].any(-1) & ~start[1:, 0].all(-1)).any()  # they part
    # what was seen before in the stay counts, also where that was updates ago
    by_hand = 0
    for row in range(start.shape[2]):
        walked = {
            topic: torch.cat([batch.walk[topic][:, row] for batch in made]) for topic in ("env/start", "env/action")
        }
        counts = torch.cat([batch.counts[:, row] for batch in made])
        assert not counts[walked["env/start"][:, 0]].any()
        by_hand += int(counts.sum())
    assert by_hand > 0.5 * start.numel()
