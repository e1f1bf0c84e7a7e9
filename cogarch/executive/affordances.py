"""Affordances: what actions do to the body and to the thing ahead, and what lets one through, as found by trying.

Pure functions on a state with one row an agent; kinds and symbols are those of `cogarch.executive.survey`. The word is
Gibson's (1979).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from cogarch.executive import survey as surveys
from cogarch.executive.survey import KINDS, UNSEEN
from cogarch.module import State

HELD = 16
"""Objects that can be carried; what an action does to the thing ahead may hang on it."""
UNTRIED = -1
PASSES = {"clear": 0.8, "opaque": 0.2, "unseen": 0.5}
"""The chance that a kind never walked into lets one through, by whether one can see through it."""


def init(batch: int, actions: int) -> State:
    """Nothing known: `felt` `[B, A]`, whether it is known what the action does to the body: `turn` (quarter turns) and
    `advance` (cells) `[B, A]`; `passed` and `refused` `[B, K]`, how often each kind was; `opaque` `[B, K]`; `becomes`
    `[B, H, K, A]`, the kind that the thing ahead became, by what was carried, its kind and the action; `holds`, what
    object was then carried."""
    whole = torch.zeros(batch, actions, dtype=torch.int64)
    return {
        "felt": torch.zeros(batch, actions, dtype=torch.bool),
        "turn": whole,
        "advance": whole.clone(),
        "passed": torch.zeros(batch, KINDS, dtype=torch.int32),
        "refused": torch.zeros(batch, KINDS, dtype=torch.int32),
        "opaque": torch.zeros(batch, KINDS, dtype=torch.bool),
        "becomes": torch.full((batch, HELD, KINDS, actions), UNTRIED, dtype=torch.int8),
        "holds": torch.full((batch, HELD, KINDS, actions), UNTRIED, dtype=torch.int8),
    }


class Thing(NamedTuple):
    """Symbols `[B]` of the cell ahead, and of what is carried."""

    ahead: Tensor
    carried: Tensor


def try_(known: State, action: Tensor, motion: Tensor, bump: Tensor, before: Thing, after: Thing) -> State:
    """Take in what came of an action `[B]` (negative: none): the motion `[B, 2]` felt, whether it was refused, and the
    symbols `[B]` of the thing ahead and of what was carried, before and after."""
    rows, tells, a = torch.arange(len(action), device=action.device), action >= 0, action.clamp(min=0)
    turn, advance = surveys.quarters(motion), motion[:, 1].round().long()
    moved = tells & ((turn != 0) | (advance != 0)) & ~bump
    own, kind = (rows, a), surveys.kinds(before.ahead)
    still = tells & ~bump & ~moved & ~known["turn"][own].bool() & ~known["advance"][own].bool()
    done, tried = (rows, before.carried // 32, kind, a), still & (before.ahead != UNSEEN)
    became = torch.where(tried, surveys.kinds(after.ahead).to(torch.int8), known["becomes"][done])
    holds = torch.where(tried, (after.carried // 32).to(torch.int8), known["holds"][done])
    return known | {
        "felt": known["felt"].index_put(own, known["felt"][own] | (tells & ~bump)),
        "turn": known["turn"].index_put(own, torch.where(moved, turn, known["turn"][own])),
        "advance": known["advance"].index_put(own, torch.where(moved, advance, known["advance"][own])),
        "passed": known["passed"].index_put((rows, kind), known["passed"][rows, kind] + (moved & (advance == 1))),
        "refused": known["refused"].index_put((rows, kind), known["refused"][rows, kind] + (tells & bump)),
        "becomes": known["becomes"].index_put(done, became),
        "holds": known["holds"].index_put(done, holds),
    }


def stand(known: State, symbol: Tensor, start: Tensor) -> State:
    """Where a life begins `[B]`, one stands: what is there lets one through."""
    rows, kind = torch.arange(len(symbol), device=symbol.device), surveys.kinds(symbol)
    return known | {"passed": known["passed"].index_put((rows, kind), known["passed"][rows, kind] + start)}


def see(known: State, view: Tensor) -> State:
    """Take in a view, symbols `[B, n, n]`: what is seen, with nothing to be seen right behind it, is opaque."""
    hides = (view[:, :, 1:] != UNSEEN) & (view[:, :, :-1] == UNSEEN)
    kind = surveys.kinds(view[:, :, 1:]).flatten(1)
    found = torch.zeros_like(known["opaque"], dtype=torch.int64).scatter_add(1, kind, hides.flatten(1).long())
    return known | {"opaque": known["opaque"] | (found > 0)}


def chance(known: State) -> Tensor:
    """That each kind lets one through, `[B, K]`: as it did, else by whether one can see through it."""
    passed, refused = known["passed"].float(), known["refused"].float()
    prior = torch.where(known["opaque"], PASSES["opaque"], PASSES["clear"])
    prior[:, UNSEEN] = PASSES["unseen"]
    tried = passed + refused
    return torch.where(tried > 0, passed / tried.clamp(min=1), prior)


def entry(known: State, carried: Tensor) -> tuple[Tensor, Tensor]:
    """What it costs to enter a cell of each kind from the one before it, in actions, carrying the symbols `[B]`:
    `[B, K]`, inf where it cannot be entered; and the action that is first to be done to the thing there (-1: none)."""
    rows = torch.arange(len(carried), device=carried.device)
    price = 1 / chance(known)  # so many tries
    becomes = known["becomes"][rows, carried // 32].long()  # [B, K, A]
    changes = (becomes != UNTRIED) & (becomes != torch.arange(KINDS, device=becomes.device)[:, None])
    then = price.gather(1, becomes.clamp(min=0).flatten(1)).view_as(becomes)
    best, action = torch.where(changes, 1 + then, torch.inf).min(-1)
    return torch.minimum(price, best), torch.where(best < price, action, -1)


def moves(known: State) -> Tensor:
    """Which actions are known to move the body, `[B, A]`."""
    moving: Tensor = (known["turn"] != 0) | (known["advance"] != 0)
    return moving


def curious(known: State, carried: Tensor, number: Tensor) -> Tensor:
    """What each action is worth to be tried on each kind of thing, carrying the symbols `[B]`: `[B, K, A]`, at most 1.

    Where it was never tried, the chance that such a thing bars the way, over the square of the `number` `[B, K]` of
    them: what is rare is tried first. Where it changes what is carried, half of what there is then to be tried at best.
    Actions that move the body do nothing to things, and those of which it is not known are tried for that first.
    """
    rows, held = torch.arange(len(carried), device=carried.device), carried // 32
    idle = known["felt"] & ~moves(known)
    new = (known["becomes"] == UNTRIED) & idle[:, None, None]  # [B, H, K, A]
    bars = torch.where(number > 0, (1 - chance(known)) / number.clamp(min=1) ** 2, 0.0)
    bars[:, UNSEEN] = 0.0
    most = (bars[:, None] * new.any(-1)).amax(-1)  # [B, H]: with each thing in hand
    then = known["holds"][rows, held].long()
    takes = (then != UNTRIED) & (then != held[:, None, None])
    after = most.gather(1, then.clamp(min=0).flatten(1)).view_as(takes.float()) / 2
    return torch.where(takes, after, bars[..., None] * new[rows, held])
