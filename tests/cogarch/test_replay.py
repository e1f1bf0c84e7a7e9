"""Walks that are kept: how often each is drawn against its share, and what is forgotten."""

import numpy as np
import pytest
import torch
from scipy import stats

from cogarch.learning.backprop import Batch
from cogarch.learning.replay import ERROR, NEVER, Replay, drawn, first_walked


def batch(first: int, size: int = 3, ticks: int = 4) -> Batch:
    """Walks that carry their own number."""
    number = torch.arange(first, first + size).expand(ticks, size)
    return Batch(
        {"env/node": number.unsqueeze(-1)}, torch.ones(ticks, size, dtype=torch.bool), np.zeros((ticks, size)) > 0
    )


def numbers(drawn_: Batch) -> list[int]:
    return drawn_.walk["env/node"][0, :, 0].tolist()


@pytest.mark.parametrize("rare", [0.0, 1.0, 0.5])
def test_walks_are_drawn_in_proportion_to_how_badly_they_were_foreseen(rare: float) -> None:
    replay, error = Replay(4, rare, seed=0), np.array([1.0, 2.0, 4.0, 8.0, 1.0, 9.0])
    replay.add(batch(0))
    replay.add(batch(3))
    replay.priority = torch.from_numpy(error)
    found = np.bincount([i for update in range(40) for i in numbers(replay.draw(100, update)[0])], minlength=6)
    expected = error**rare / (error**rare).sum()
    assert stats.chisquare(found, 4000 * expected).pvalue > 1e-3


def test_the_largest_error_of_a_walk_is_noted_where_it_was_drawn_and_new_walks_count_as_the_mean() -> None:
    replay = Replay(4, 1.0, seed=1)
    replay.add(batch(0))
    assert replay.priority.tolist() == [NEVER] * 3
    picked, mark = replay.draw(2, 7)
    said = torch.zeros(4, 2)
    said[1, :], said[3, 1] = 5.0, 6.0
    mark({ERROR: said})
    expected = [NEVER] * 3
    for walk, value in zip(numbers(picked), [5.0, 6.0], strict=True):
        expected[walk] = value
    np.testing.assert_array_equal(replay.priority, expected)
    replay.add(batch(3))
    np.testing.assert_array_equal(replay.priority, expected + [NEVER] * 3)
    known = [x for x in expected if x != NEVER]
    weights = np.array([np.mean(known) if x == NEVER else x for x in replay.priority.double().tolist()])
    found = np.bincount([i for update in range(40) for i in numbers(replay.draw(100, update)[0])], minlength=6)
    assert stats.chisquare(found, 4000 * weights / weights.sum()).pvalue > 1e-3


@pytest.mark.parametrize("falls", [False, True])
def test_what_is_rare_and_foreseen_badly_is_drawn_more_often_all_along(falls: bool) -> None:
    """A walk in 25 errs ten times as much; also where errors fall to a hundredth in the meantime."""
    replay, rng, rare, of = Replay(10, 2.0, seed=0), np.random.default_rng(0), [], {}
    for update in range(150):
        size = 0.01 ** (update / 150) if falls else 1.0
        walks = batch(100 * update, 100)
        of |= {100 * update + i: i % 25 == 0 for i in range(100)}
        replay.add(walks)
        picked, mark = replay.draw(100, update)
        odd = np.array([of[i] for i in numbers(picked)])
        error = size * np.where(odd, 1.0, 0.1) * rng.uniform(0.5, 1.0, 100)
        mark({ERROR: torch.from_numpy(error).float()[None]})
        if update > 50:
            rare.append(odd.mean())
    assert np.mean(rare) > 2 * 0.04


def test_the_oldest_batch_is_forgotten_with_its_priorities() -> None:
    replay = Replay(2, 1.0, seed=0)
    for first in (0, 3, 6):
        replay.add(batch(first))
        replay.priority[-3:] = torch.tensor([1.0, 2.0, 3.0]) + first
    assert replay.priority.tolist() == [4, 5, 6, 7, 8, 9]
    assert set(numbers(replay.draw(200, 0)[0])) == set(range(3, 9))


def test_a_draw_is_a_function_of_seed_and_update() -> None:
    replays = [Replay(2, 1.0, seed) for seed in (0, 0, 1)]
    for replay in replays:
        replay.add(batch(0, size=50))
    one, same, other = (numbers(replay.draw(20, 3)[0]) for replay in replays)
    assert one == same != other
    assert one != numbers(replays[0].draw(20, 4)[0])


def test_walks_kept_before_a_stop_are_walked_again_and_learned_from_no_more() -> None:
    whole, resumed = Replay(3, 1.0, 0), Replay(3, 1.0, 0)
    batches = [batch(3 * i) for i in range(8)]
    run = [numbers(found) for found, _ in drawn(iter(batches), whole, 5, 0)]
    for b in batches[:5]:
        resumed.add(b)  # as it stood after 5 updates
    priority, resumed = resumed.priority, Replay(3, 1.0, 0)
    resumed.priority = priority
    assert first_walked(5, resumed) == 2 and first_walked(1, resumed) == 0 and first_walked(5, None) == 5
    again = [numbers(found) for found, _ in drawn(iter(batches[2:]), resumed, 5, 5)]
    assert len(run) == 8 and again == run[5:]


def test_without_a_replay_every_batch_is_learned_from_as_it_is() -> None:
    batches = [batch(0), batch(3)]
    assert [(found, tell) for found, tell in drawn(iter(batches), None, 5, 4)] == [(b, None) for b in batches]
