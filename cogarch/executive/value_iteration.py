"""Value iteration on the graph of remembered places: the cost of the best way from everywhere to a goal."""

from __future__ import annotations

import torch
from torch import Tensor


def value_iteration(
    target: Tensor,
    cost: Tensor,
    goal: Tensor,
    *,
    leave: Tensor | None = None,
    most: int | None = None,
    here: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Cost to go `[B, S]`, inf where no way is known, and that of each action `[B, S, A]` (Bellman 1957).

    `target` `[B, S, A]`: where each action leads, -1 where that is not known; `cost` `[B, S, A]`, each above 0; `goal`
    `[B, S]` bool, where the way ends. `leave` `[B, S, A]`: what it costs to leave the map by an action, which ends the
    way, too (inf: it does not). Costs are exact after as many sweeps as the longest best way has moves (`most`: stop
    after so many; `here` `[B]`: as soon as those from these places are exact, and of each action there that is as
    good). ValueError for a cost that is not above 0: a longer way would be better, and no plan ends.
    """
    if not bool((cost > 0).all()):
        raise ValueError(f"a move costs {float(cost.min())}: each costs more than 0, or the best way has no end")
    batch, places, actions = target.shape
    there = target.clamp(min=0).mT.reshape(batch, -1)  # by action, then by place: minima over actions are then quick
    price = torch.where(target >= 0, cost, torch.inf).mT.contiguous()
    exits = torch.full_like(price, torch.inf) if leave is None else leave.mT.contiguous()

    def look_ahead(togo: Tensor) -> Tensor:
        return torch.minimum(price + togo.gather(1, there).view(batch, actions, places), exits)

    togo = torch.where(goal, 0.0, exits.amin(1))
    rows, least, end = torch.arange(batch, device=target.device), price.amin((1, 2)), togo.amin(1)
    for sweep in range(places if most is None else most):
        better = torch.where(goal, 0.0, look_ahead(togo).amin(1))
        if torch.equal(better, togo):
            break
        togo = better
        if here is not None and bool((togo[rows, here] <= sweep * least + end).all()):
            break  # a way of more moves costs more
    return togo, look_ahead(togo).mT
