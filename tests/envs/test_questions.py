"""Which questions can be answered, against a loop that keeps a list of what was walked."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
from envs import policies
from envs.relational.questions import answerable, phrase
from envs.table import Table


def by_hand(table: Table, compositions: dict[str, Any], walk: dict[str, Any]) -> np.ndarray:
    """The same by brute force, a row and a tick at a time."""
    ticks, rows = walk["node"].shape
    answer = np.zeros((ticks, rows), bool)
    for row in range(rows):
        known: dict[tuple[int, str], int] = {}
        for t in range(ticks):
            if t == 0 or walk["start"][t, row]:
                known = {}
                continue
            node, now = int(walk["node"][t - 1, row]), int(walk["node"][t, row])
            name = table.actions[walk["action"][t, row]]
            if (node, name) not in known and table.target[node, walk["action"][t, row]] >= 0:
                for sequence in compositions.get(name, ()):
                    at: int | None = node
                    for step in sequence:
                        at = known.get((at, step)) if at is not None else None
                    answer[t, row] |= at == now
            if table.target[node, walk["action"][t, row]] >= 0:
                known[node, name] = now
    return answer


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(
        [
            ("FamilyTree-v0", {"levels": 2}),
            ("FamilyTree-v0", {}),
            ("Line-v0", {}),
            ("Line-v0", {"length": 4}),
            ("SocialHierarchy-v0", {"ranks": 3}),
        ]
    ),
    st.integers(0, 10_000),
)
def test_the_answerable_are_those_of_a_loop(which: tuple[str, dict[str, Any]], seed: int) -> None:
    env_id, given = which
    world = envs.make(env_id, 4, **given)
    walk = policies.walk(world, "uniform", 150, world_seeds=[seed] * 4, policy_seed=seed)
    again = policies.walk(world, "uniform", 90, world_seeds=[seed] * 4, policy_seed=seed + 1)
    walk = {name: np.concatenate([walk[name], again[name]]) for name in walk}  # a second episode knows nothing
    late = np.random.default_rng(seed).random((90, 4)) < 0.01  # and rows start anew here and there
    walk["start"][150:] |= late
    expected = by_hand(world.table(), world.compositions, walk)
    assert expected.any()
    assert np.array_equal(answerable(world, world.compositions, walk), expected)
    assert np.array_equal(answerable(world.table(), world.compositions, walk), expected)
    cut = {name: values[20:] for name, values in walk.items()}  # begins in the middle of an episode
    assert np.array_equal(answerable(world, world.compositions, cut), by_hand(world.table(), world.compositions, cut))
    itself = {name: [(name,)] for name in world.metadata["actions"]}
    assert not answerable(world, itself, walk).any()  # the answer is not known from the question's own tick


def family_walk(*names: str) -> tuple[Any, dict[str, np.ndarray]]:
    """A walk along relations from the eldest's first child."""
    world = envs.make("FamilyTree-v0", 1, start=1)
    _, info = world.reset(seed=0)
    node, action = [info["node"]], [np.array([-1])]
    for name in names:
        action.append(np.array([world.metadata["actions"].index(name)]))
        node.append(world.step(action[-1])[-1]["node"])
    return world, {
        "node": np.stack(node),
        "action": np.stack(action),
        "start": np.arange(len(node))[:, None] == 0,
    }


def test_a_niece_is_the_child_of_a_sibling() -> None:
    world, walk = family_walk("sibling", "child 1", "parent", "sibling", "niece 1", "parent", "sibling", "niece 1")
    # back at the first person, "niece 1" has never been used there; nor has "sibling" at tick 4, but nothing tells it
    assert np.flatnonzero(answerable(world, {"niece 1": [("sibling", "child 1")]}, walk)).tolist() == [5]
    # "parent" at tick 6 is a pair walked before, and "niece 1" at tick 8 one asked before
    assert np.flatnonzero(answerable(world, world.compositions, walk)).tolist() == [5]
    table = world.table()
    asked = [phrase(table, int(walk["node"][t - 1, 0]), int(walk["action"][t, 0])) for t in (1, 2, 5)]
    assert asked == ["Bob's sibling", "Cleo's child 1", "Bob's niece 1"]
    walk["start"][3] = True
    assert not answerable(world, world.compositions, walk).any()


def test_a_refused_move_is_no_question_and_no_knowledge() -> None:
    world, walk = family_walk("grandparent", "aunt", "grandparent")
    assert walk["node"][:, 0].tolist() == [1, 1, 1, 1]
    assert not answerable(world, world.compositions, walk).any()


def test_three_more_follows_from_one_and_two() -> None:
    world = envs.make("Line-v0", 1)
    number = {name: action for action, name in enumerate(world.metadata["actions"])}
    actions = [-1] + [number[name] for name in ("1 more", "2 more", "3 less", "3 more", "3 less")]
    walk = {
        "node": np.array([[0], [1], [3], [0], [3], [0]]),
        "action": np.array(actions)[:, None],
        "start": np.arange(6)[:, None] == 0,
    }
    assert np.flatnonzero(answerable(world, world.compositions, walk)).tolist() == [4]
    assert phrase(world.table(), 0, number["3 more"]) == "3 more than A"
    people = envs.make("SocialHierarchy-v0", 1).table()
    assert phrase(people, 1, people.actions.index("2 less popular")) == "2 less popular than Bob"
    assert phrase(Table(("on",), *[np.zeros(1)] * 4), 7, 0) == "on from node 7"


def test_relations_that_the_world_does_not_have() -> None:
    world, walk = family_walk("sibling")
    for wrong in ({"nice 1": [("sibling", "child 1")]}, {"parent": [("sibling", "nice 1")]}):
        with pytest.raises(ValueError, match="no action 'nice 1': did you mean niece 1"):
            answerable(world, wrong, walk)
