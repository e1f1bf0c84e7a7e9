"""Costs: weights that contradict each other, and the price of moves worked out by hand."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cogarch import Signal
from cogarch.executive import atlas as atlases
from cogarch.executive.costs import (
    LEAST,
    PRIOR,
    TERMS,
    WEIGHTS,
    chance_open,
    feel,
    of_moves,
    refusals_beside,
    weights,
)
from cogarch.module import State

S, A = 4, 3
FELT = {term: i for i, term in enumerate(TERMS)}


def blank(batch: int = 1) -> State:
    return atlases.init(batch, S, A, 2, Signal(dtype=torch.int64, values=9), len(TERMS))


# --- weights ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["explore", "exploit"])
def test_weights_are_those_of_the_mode_with_the_changes(mode: str) -> None:
    found = dict(zip(TERMS, weights(mode, {"surprise": 2.0, "effort": 0.5}).tolist(), strict=True))
    assert found == {**dict.fromkeys(TERMS, 0.0), **WEIGHTS[mode], "surprise": 2.0, "effort": 0.5}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"effort": 0.0}, r"executive.exploit weighs effort by 0.0: a longer way would cost no more.*give more than 0"),
        ({"effort": -1.0}, "weighs effort by -1.0: .*no plan would end"),
        ({"collision": -0.5}, "weighs collision by -0.5 and effort by 1.0: it would seek the walls .*give 0 or more"),
        ({"efort": 1.0}, r"executive.exploit weighs 'efort', which is no cost; did you mean 'effort'\?"),
        ({"novelty": float("nan")}, "executive.exploit weighs novelty by nan: give a finite number"),
        ({"effort": float("inf")}, "weighs effort by inf: give a finite number"),
    ],
)
def test_weights_that_contradict_each_other_are_refused(changes: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        weights("exploit", changes)


# --- what is felt -----------------------------------------------------------------------------------------------------


def test_what_is_felt_at_a_moment() -> None:
    atlas = blank(3)
    atlas["taken"][0, 1] = torch.tensor([1, 0, 0])
    atlas["refused"][0, 1] = torch.tensor([False, True, False])
    atlas["taken"][2, 1] = 5
    place, new = torch.tensor([1, 1, 1]), torch.tensor([False, True, False])
    action, bump = torch.tensor([2, -1, 0]), torch.tensor([False, False, True])
    felt = feel(atlas, place, new, action, bump, {})
    expected = {
        "novelty": [0, 1, 0],
        "surprise": [0, 0, 0],
        "disagreement": [0, 0, 0],
        "coverage": [1 / 3, 1, 0],  # of three moves one was made, one refused
        "effort": [1, 0, 1],
        "collision": [0, 0, 1],
    }
    for term, values in expected.items():
        assert felt[:, FELT[term]].tolist() == pytest.approx(values), term
    told = {term: torch.tensor([[x], [-x], [0.0]]) for term, x in (("novelty", -0.5), ("surprise", 2.0))}
    felt = feel(atlas, place, new, action, bump, told)
    assert felt[:, FELT["novelty"]].tolist() == [0.5, 0, 0], "minus the familiarity, at least 0"
    assert felt[:, FELT["surprise"]].tolist() == [2, -2, 0]


# --- what moves cost --------------------------------------------------------------------------------------------------


def test_the_price_of_moves_by_hand() -> None:
    """Effort 2, collision 3, novelty -0.5, surprise 1; place 1 is novel (2), place 2 surprising (4)."""
    weight = weights("explore", {"effort": 2.0, "collision": 3.0, "surprise": 1.0})
    atlas = blank()
    atlas["felt"][0, 1, FELT["novelty"]], atlas["felt"][0, 2, FELT["surprise"]] = 2.0, 4.0
    atlas["felt"][0, :, FELT["effort"]] = atlas["felt"][0, :, FELT["collision"]] = 1.0  # of the way there, not of it
    target = torch.tensor([[[1, 2, -1], [0, 1, 3], [-1, -1, -1], [1, 1, 1]]])
    untried = torch.zeros(1, S, A, dtype=torch.bool)
    untried[0, 1, 1] = untried[0, 0, 2] = True
    chance = torch.full((1, S, A), 0.25)
    price = of_moves(atlas, target, weight, chance, untried)[0]
    novel, surprising, nowhere = 2 - 0.5 * 2, 2 + 4, 2 - 0.5
    refused = 2 * (1 / 0.25 - 1) + 3 * (1 - 0.25)  # 4 tries, and 3 of 4 end at a wall
    assert price[0].tolist() == pytest.approx([novel, surprising, nowhere + refused])
    assert price[1].tolist() == pytest.approx([2, novel + refused, 2])
    assert price[2].tolist() == pytest.approx([nowhere] * 3) and price[3].tolist() == pytest.approx([novel] * 3)


def test_no_move_is_free_however_much_is_to_be_had() -> None:
    atlas = blank()
    atlas["felt"][..., FELT["novelty"]] = 100.0
    target = torch.zeros(1, S, A, dtype=torch.int64)
    chance, untried = torch.ones(1, S, A), torch.zeros(1, S, A, dtype=torch.bool)
    assert of_moves(atlas, target, weights("explore", {}), chance, untried).unique().tolist() == pytest.approx([LEAST])


def test_the_chance_that_a_move_is_open_by_hand() -> None:
    """Before any was tried: 4 of 4.2, 1 of 2, 0.5 of 2.5, and 8 of 8.1 where the way back was walked; then by what was
    found, kind by kind and row by row."""
    beside = torch.tensor([[[0, 1, 2, 3]], [[0, 1, 2, 3]]])
    tried = torch.zeros(2, 4, 2)
    tried[1] = torch.tensor([[0.0, 4.0], [3.0, 0.0], [7.5, 0.0], [0.0, 8.1]])
    found = chance_open(tried, beside)
    assert found[0, 0].tolist() == pytest.approx([4 / 4.2, 1 / 2, 0.5 / 2.5, 8 / 8.1])
    assert found[1, 0].tolist() == pytest.approx([4 / 8.2, 4 / 5, 8 / 10, 8 / 16.2])
    assert PRIOR == ((4.0, 0.2), (1.0, 1.0), (0.5, 2.0), (8.0, 0.1))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9999))
def test_refusals_beside_are_counted(seed: int) -> None:
    """Of the neighbours that other moves lead to, those at which this one is refused."""
    g = torch.Generator().manual_seed(seed)
    atlas = blank(2)
    atlas["target"] = torch.randint(-1, S, (2, S, A), generator=g)
    atlas["refused"] = torch.rand(2, S, A, generator=g) < 0.5
    found = refusals_beside(atlas, S)
    for row, s, a in product(range(2), range(S), range(A)):
        ways = [int(atlas["target"][row, s, b]) for b in range(A) if b != a]
        count = sum(bool(atlas["refused"][row, to, a]) for to in ways if to >= 0)
        assert int(found[row, s, a]) == min(count, 2)
