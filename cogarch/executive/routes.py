"""Routes over the atlas: to the goal, or where none is asked for or known, to the nearest move never made."""

from __future__ import annotations

import torch
from torch import Tensor

from cogarch.executive import atlas as atlases
from cogarch.executive import costs
from cogarch.executive.search import Find
from cogarch.executive.value_iteration import value_iteration
from cogarch.module import State

TIES = 1e-4
"""Of a move's cost: so far apart, at random, are those that cost the same."""


def init(batch: int, places: int) -> State:
    """No route: from each place `[B, S]` the action (`toward`, -1: none), where it `leads`, the cost `togo`, whether
    the move is `untried`, and the grounds on which it is taken to be open (`beside`); `seeks` `[B]`: it is a route to
    the goal."""
    return {
        "toward": torch.full((batch, places), -1),
        "leads": torch.full((batch, places), atlases.NOWHERE),
        "togo": torch.full((batch, places), torch.inf),
        "untried": torch.zeros(batch, places, dtype=torch.bool),
        "beside": torch.zeros(batch, places, dtype=torch.int64),
        "seeks": torch.zeros(batch, dtype=torch.bool),
    }


def moves(
    atlas: State, imagined: Tensor, tried: Tensor, exploit: Tensor, by_heart: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The map to plan on: where moves lead `[B, n, A]` (-1: nowhere known), the grounds on which they would be taken to
    be open, the chance that they are, and what they cost. As `route` takes them."""
    walked = atlas["target"][:, : imagined.shape[1]]
    target = torch.where(walked >= 0, walked, atlases.inferred(atlas, imagined))
    if not by_heart:
        own = torch.arange(imagined.shape[1], device=imagined.device)[:, None]
        target = torch.where(imagined == own, atlases.NOWHERE, imagined)
    beside = costs.grounds(atlas, target)
    chance = costs.chance_open(tried, beside)
    return target, beside, chance, costs.of_moves(atlas, target, exploit, chance, (walked < 0) & by_heart)


def route(
    atlas: State,
    imagined: Tensor,
    goal: Tensor,
    tried: Tensor,
    u: Tensor,
    *,
    explore: Tensor,
    exploit: Tensor,
    by_heart: bool = True,
    find: Find = value_iteration,
) -> State:
    """Routes `[B, n]` as `init` names them, over the places that are known and those moves that can be believed.

    `imagined` `[B, n, A]`: the place that each move should lead to, -1 where none is known there; `goal` `[B, n]` bool;
    `tried` `[B, 4, 2]`: inferred moves found open and refused; `u` `[B, A]` in (0, 1); `explore` and `exploit`: the
    weights `[k]` of costs; `by_heart`: moves once made lead where they led, else where they should; `find`: the
    search for ways to goals. Where no way to a goal is known the route is to a move never made.
    """
    n = goal.shape[1]
    walked, refused, taken = (atlas[name][:, :n] for name in ("target", "refused", "taken"))
    target, beside, chance, price = moves(atlas, imagined, tried, exploit, by_heart)
    if bool(goal.any()):
        togo, q = find(target, price, goal)
    else:
        togo, q = torch.full(goal.shape, torch.inf, device=goal.device), torch.full_like(price, torch.inf)
    rows = torch.arange(len(goal), device=goal.device)
    seeks = goal.any(-1) & togo[rows, atlas["here"]].isfinite()

    if not bool(seeks.all()):
        never = (taken == 0) & ~refused & atlas["known"][:, :n, None]
        price = costs.of_moves(atlas, target, explore, chance, walked < 0)
        leave = torch.where(never, price, torch.inf)
        out, q_out = value_iteration(walked, price, torch.zeros_like(goal), leave=leave)
        q, togo = torch.where(seeks[:, None, None], q, q_out), torch.where(seeks[:, None], togo, out)
    best, toward = (q + TIES * u[:, None]).min(-1)
    chosen = toward[..., None]
    toward = torch.where(best.isfinite(), toward, -1)
    return {
        "toward": toward,
        "leads": target.gather(2, chosen)[..., 0],
        "togo": togo,
        "untried": (walked.gather(2, chosen)[..., 0] < 0) & (toward >= 0),
        "beside": beside.gather(2, chosen)[..., 0],
        "seeks": seeks,
    }


def waits(atlas: State, place: Tensor, u: Tensor) -> Tensor:
    """Where there is nowhere to go: a move that is refused here, or leads nowhere else, or any."""
    rows = torch.arange(len(place), device=place.device)
    stays: Tensor = atlas["refused"][rows, place] | (atlas["target"][rows, place] == place[:, None])
    return (u + stays).argmax(-1)
