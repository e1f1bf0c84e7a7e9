"""Goals: what they mean, in every kind of world, and what cannot be one."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cogarch import Signal
from cogarch.executive import atlas as atlases
from cogarch.executive import goals
from cogarch.executive.goals import Goal
from cogarch.module import State

OBJECTS = Signal(dtype=torch.int64, values=45)
PIXELS = Signal((8, 8, 3), torch.uint8, unit="RGB")
SYMBOLS = Signal((3, 3, 2), torch.uint8)
FEATURES = Signal((4,))
PLACES = 6


def remembered(seen: Signal, views: Tensor, known: int = PLACES) -> State:
    """Two agents' atlases of the same places `[PLACES, *shape]`, the second of one place less."""
    atlas = atlases.init(2, 8, 4, 3, seen, 1)
    atlas["seen"][:, : len(views)] = views.to(seen.dtype)
    atlas["known"][0, :known] = atlas["known"][1, : known - 1] = True
    return atlas


def met(goal: Goal | None, seen: Signal, atlas: State, rows: tuple[bool, bool] = (True, True)) -> list[list[int]]:
    """The places that meet it, row by row."""
    aims = goals.aim(goals.init(2, seen), goal, torch.tensor(rows), seen, 8)
    found = goals.meets(aims, atlas, PLACES)
    assert found.shape == (2, PLACES)
    return [row.nonzero()[:, 0].tolist() for row in found]


def refused(said: str, kind: Any, value: Any, seen: Signal = OBJECTS) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        goals.aim(goals.init(1, seen), Goal(kind, value), torch.tensor([True]), seen, 8)


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("object 7", Goal("object", 7)),
        (" object  7 ", Goal("object", 7)),
        ("node 12", Goal("node", 12)),
        ("observation 3", Goal("observation", 3)),
        ("place 3 -2", Goal("place", [3.0, -2.0])),
        ("place 3, -2.5", Goal("place", [3.0, -2.5])),
        ("reward", Goal("reward")),
    ],
)
def test_goals_are_understood(text: str, goal: Goal) -> None:
    assert Goal.parse(text) == goal


@pytest.mark.parametrize("text", ["object", "object 7 8", "object x", "object 7.5", "place 3", "place a b", "reward 1"])
def test_what_is_not_understood_is_answered_with_what_is(text: str) -> None:
    known = '"object 7", "place 3 -2", "node 12", "observation 7" or "reward"'
    with pytest.raises(ValueError, match=re.escape(f"the goal {text!r} is not understood: {known}")):
        Goal.parse(text)


def test_unknown_kinds_are_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no goal is a 'objet' \(of 'objet 7'\); did you mean 'object'\?"):
        Goal.parse("objet 7")
    with pytest.raises(ValueError, match="no goal is a ''"):
        Goal.parse(" ")
    refused("no goal is a 'rewards'; did you mean 'reward'?", "rewards", None)


# --- what meets them --------------------------------------------------------------------------------------------------


def test_objects_and_whole_observations() -> None:
    atlas = remembered(OBJECTS, torch.tensor([[7], [3], [7], [0], [4], [7]]))
    for goal in (Goal("object", 7), Goal("observation", 7), Goal("observation", [7]), Goal("object", np.int64(7))):
        assert met(goal, OBJECTS, atlas) == [[0, 2, 5], [0, 2]], "of what is known"
    assert met(Goal("object", 9), OBJECTS, atlas) == [[], []]
    assert met(None, OBJECTS, atlas) == [[], []]
    assert met(Goal("object", 0), OBJECTS, atlas, (False, True)) == [[], [3]]


def test_nodes_and_places_and_rewards() -> None:
    atlas = remembered(OBJECTS, torch.zeros(PLACES, 1))
    assert met(Goal("node", 5), OBJECTS, atlas) == [[5], []]
    atlas["at"][:, :3] = torch.tensor([[1.0, 2.0], [1.3, 2.3], [1.0, 2.6]])
    atlas["at"][1] += 10
    assert met(Goal("place", (1, 2)), OBJECTS, atlas) == [[0, 1], []], "half a cell away, no more"
    assert met(Goal("place", torch.tensor([11.0, 12.0])), OBJECTS, atlas) == [[], [0, 1]]
    atlas["paid"][0] = torch.tensor([0, -1, 0.5, 0, 0, 1, 9, 9])
    assert met(Goal("reward"), OBJECTS, atlas) == [[2, 5], []]


def test_an_object_anywhere_in_a_symbolic_view() -> None:
    """By the first channel, the kind; not by what the others hold."""
    views = torch.zeros(PLACES, 3, 3, 2)
    views[1, 2, 0, 0] = 4
    views[2, 1, 1, 1] = 4
    views[4, 0, 0] = 4
    atlas = remembered(SYMBOLS, views)
    assert met(Goal("object", 4), SYMBOLS, atlas) == [[1, 4], [1, 4]]
    assert met(Goal("observation", views[2].to(torch.uint8)), SYMBOLS, atlas) == [[2], [2]]
    assert met(Goal("observation", views[2].tolist()), SYMBOLS, atlas) == [[2], [2]]


def test_a_grid_of_objects_without_channels() -> None:
    grid = Signal((2, 2), dtype=torch.int64, values=9)
    views = torch.tensor([[[1, 2], [3, 4]], [[4, 1], [1, 1]], [[1, 1], [1, 1]]] + [[[0, 0], [0, 0]]] * 3)
    assert met(Goal("object", 4), grid, remembered(grid, views)) == [[0, 1], [0, 1]]


def test_an_image_is_the_place_where_it_was_seen() -> None:
    views = torch.randint(256, (PLACES, 8, 8, 3), generator=torch.Generator().manual_seed(0))
    atlas = remembered(PIXELS, views)
    assert met(Goal("observation", views[3].to(torch.uint8).numpy()), PIXELS, atlas) == [[3], [3]]
    other = views[3].clone()
    other[0, 0, 0] = (other[0, 0, 0] + 1) % 256
    assert met(Goal("observation", other), PIXELS, atlas) == [[], []]


def test_real_numbers_need_not_be_the_same_to_the_bit() -> None:
    """Off by a thousandth of the squared length, about 3 % of the length."""
    views = torch.randn(PLACES, 4, generator=torch.Generator().manual_seed(0))
    atlas = remembered(FEATURES, views)
    for off, found in ((0.0, [2]), (0.03, [2]), (0.033, [])):
        assert met(Goal("observation", views[2] * (1 + off)), FEATURES, atlas)[0] == found
    assert met(Goal("observation", views[2].double().numpy()), FEATURES, atlas) == [[2], [2]]


def test_each_row_has_a_goal_of_its_own() -> None:
    atlas = remembered(OBJECTS, torch.tensor([[7], [3], [7], [0], [4], [7]]))
    aims = goals.aim(goals.init(2, OBJECTS), Goal("object", 7), torch.tensor([True, False]), OBJECTS, 8)
    aims = goals.aim(aims, Goal("node", 4), torch.tensor([False, True]), OBJECTS, 8)
    assert goals.meets(aims, atlas, PLACES).nonzero().tolist() == [[0, 0], [0, 2], [0, 5], [1, 4]]
    aims = goals.aim(aims, None, torch.tensor([True, False]), OBJECTS, 8)
    assert goals.meets(aims, atlas, PLACES).nonzero().tolist() == [[1, 4]]


# --- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "seen", "said"),
    [
        ("object", 45, OBJECTS, "object 45 cannot be: it is a whole number, 0 to 44"),
        ("object", -1, OBJECTS, "object -1 cannot be"),
        ("object", 7.0, OBJECTS, "object 7.0 cannot be: it is a whole number"),
        ("object", True, OBJECTS, "object True cannot be"),
        ("object", 256, SYMBOLS, "object 256 cannot be: it is a whole number, 0 to 255"),
        ("object", 7, PIXELS, "objects have no kind where uint8 [8, 8, 3] in 'RGB' is sensed; give the goal as an"),
        ("object", 7, FEATURES, "objects have no kind"),
        ("node", 8, OBJECTS, "node 8 cannot be: it is a whole number, 0 to 7"),
        ("node", None, OBJECTS, "node None cannot be"),
        ("place", (1, 2, 3), OBJECTS, "x and y from where the life began; got (1, 2, 3)"),
        ("place", (1, float("inf")), OBJECTS, "a place is two finite numbers"),
        ("place", None, OBJECTS, "a place is numbers, not None"),
        ("observation", [1, 2], OBJECTS, "the goal was sensed as [2], this world is sensed as int64 [1]"),
        ("observation", 45, OBJECTS, "the observation 45 cannot be: this world is sensed as whole numbers, 0 to 44"),
        ("observation", 3.5, OBJECTS, "the observation 3.5 cannot be"),
        ("observation", "door", OBJECTS, "an observation is numbers, not 'door'"),
        ("observation", [[[300, 0]] * 3] * 3, SYMBOLS, "cannot be: this world is sensed as uint8"),
        ("observation", [0, 0, 0, float("nan")], FEATURES, "numbers that are not finite"),
        ("observation", float("nan"), OBJECTS, "numbers that are not finite"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(kind: str, value: Any, seen: Signal, said: str) -> None:
    refused(said, kind, value, seen)
