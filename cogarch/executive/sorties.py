"""Sorties: the poses within what was seen, what each action costs there, and what there is to be had by going."""

from __future__ import annotations

import torch
from torch import Tensor

from cogarch.executive import affordances
from cogarch.executive import survey as surveys
from cogarch.executive.survey import AHEAD, UNSEEN
from cogarch.executive.value_iteration import value_iteration
from cogarch.module import State

TIES = 1e-4
"""Of a move's cost: so far apart, at random, are those that cost the same."""


def edges(known: State, carried: Tensor, cells: Tensor, barred: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where each action leads from each pose, `[B, S, A]` (-1: nowhere that is known), what it costs, and which cells
    `[B, M, M]` can be entered; of symbols `cells` `[B, M, M]`, some of them `barred`: they refused the way.

    To enter a cell costs as many tries as its kind is likely to take, and what is first to be done to it; all other
    moves cost 1."""
    m, rows = cells.shape[-1], torch.arange(len(cells), device=cells.device)
    enter, tool = affordances.entry(known, carried)
    kind = surveys.kinds(cells).flatten(1)
    into = enter.gather(1, kind).masked_fill(barred.flatten(1) & (tool.gather(1, kind) < 0), torch.inf)
    turn, advance = (known[name][:, None, None, None] for name in ("turn", "advance"))  # [B, 1, 1, 1, A]
    step, quarter = torch.arange(m, device=cells.device), torch.arange(4, device=cells.device)
    heading = (quarter[:, None, None, None] + turn) % 4
    ahead = torch.tensor(AHEAD, device=cells.device)[heading]  # [B, 4, 1, 1, A, 2]
    x = step[:, None, None] + advance * ahead[..., 0]
    y = step[:, None] + advance * ahead[..., 1]  # [B, 4, M, M, A], by broadcasting
    there = (x >= 0) & (x < m) & (y >= 0) & (y < m) & affordances.moves(known)[:, None, None, None]
    cell = x.clamp(0, m - 1) * m + y.clamp(0, m - 1)
    price = torch.where(advance != 0, into[rows.view(-1, 1, 1, 1, 1), cell], 1.0)
    target = torch.where(there & price.isfinite(), heading * m * m + cell, -1)
    actions = target.shape[-1]
    return target.reshape(len(rows), -1, actions), price.reshape(len(rows), -1, actions), into.view_as(cells).isfinite()


def facing(plane: Tensor) -> Tensor:
    """What a plane `[B, M, M]` holds of the cell ahead of each pose, `[B, 4, M, M]`; 0 beyond it."""
    around = torch.nn.functional.pad(plane, (1, 1, 1, 1))
    m = plane.shape[-1]
    return torch.stack([around[:, 1 + u : 1 + u + m, 1 + v : 1 + v + m] for u, v in AHEAD], 1)


def prospects(
    known: State, cells: Tensor, looked: Tensor, curious: Tensor, n: int, *, reach: float, curiosity: float
) -> Tensor:
    """What it costs to end the way at each pose `[B, S]` (inf: there is nothing to be had), the less the more there is:
    `reach ln(n^2 / A)`, so that the best way is that to the largest `A e^(-L / reach)`, where `A` is how many unseen
    cells a view from there should show and `L` the cost of the way (Gonzalez-Banos & Latombe 2002).

    `cells` `[B, M, M]`: the symbols seen; `looked` `[B, 4, M, M]`: the poses from which it has looked; `curious`
    `[B, K, A]`: see `affordances.curious`; what is worth 1 there is as much as `curiosity` cells. What an action does
    to the body is tried at once, where the way ahead should be clear.
    """
    unseen, kind = cells == UNSEEN, surveys.kinds(cells)
    opaque = known["opaque"].gather(1, kind.flatten(1)).view_as(kind)
    clear = torch.where(unseen, surveys.UNSEEN_CLEAR, (~opaque).float())
    gain = surveys.outlook(unseen, clear, n).masked_fill(looked | unseen[:, None], 0.0).flatten(1)
    thing = facing(kind).flatten(1)
    gain = torch.maximum(gain, curiosity * curious.amax(-1).gather(1, thing))
    cost = torch.where(gain > 0, reach * (n * n / gain.clamp(min=1e-9)).log(), torch.inf).clamp(min=0)
    unfelt = (~known["felt"]).any(-1, keepdim=True)
    tries = 1 / affordances.chance(known).gather(1, thing) - 1
    return torch.where(unfelt, torch.minimum(cost, tries), cost)


def best(
    target: Tensor, price: Tensor, here: Tensor, u: Tensor, *, goal: Tensor | None = None, leave: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The cost `[B]` of the best way from the poses `here` `[B]`, and the action `[B]` that begins it (A: to end it).

    The way ends at a `goal` `[B, S]`, or where it is worth it: at the cost of `leave` `[B, S]`."""
    rows = torch.arange(len(here), device=here.device)
    batch, poses, actions = target.shape
    moving = (target >= 0).any(0).any(0).nonzero()[:, 0]
    stay = torch.full((batch, poses, 1), -1, device=here.device)
    exits = torch.full((batch, poses, len(moving) + 1), torch.inf, device=here.device)
    if leave is not None:
        exits[..., -1] = leave
    ends = torch.zeros(batch, poses, dtype=torch.bool, device=here.device) if goal is None else goal
    _, q = value_iteration(
        torch.cat([target[..., moving], stay], -1),
        torch.cat([price[..., moving], torch.ones_like(stay)], -1),
        ends,
        leave=exits,
        here=here,
    )
    own = q[rows, here]
    choice = (own + TIES * u[:, torch.cat([moving, moving.new_tensor([actions])])]).argmin(-1)
    return own.amin(-1), torch.cat([moving, moving.new_tensor([actions])])[choice]
