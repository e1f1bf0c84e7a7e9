"""The cross-entropy method for discrete actions: draw sequences, keep the best, refit the odds of actions to them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cogarch.executive.model import Model, Plan, repeat, rows_of


@torch.no_grad()
def cem(
    model: Model,
    root: Any,
    u: Tensor,
    *,
    elites: int = 10,
    smoothing: float = 0.2,
    last: Plan | None = None,
) -> Plan:
    """The best of all sequences of actions drawn; `u` `[B, iterations, samples, horizon]`.

    Each action is drawn from a categorical of its own by inverse transform of `u`, among the allowed where the model
    says which are. A sequence costs the sum of its moves up to the goal, or up to the horizon and then the cost to go.
    After each iteration the categoricals become the shares of the actions among the `elites` cheapest of what was drawn
    and the elites before (de Boer et al. 2005), mixed with `smoothing` of a uniform one, so that no action dies out.
    `last`, the plan of the tick before, a move on, is the first sample, and half of the odds that are started from.
    Raises ValueError where `u`, the root, a number or `last` does not fit, or the model gives a negative cost or NaN.
    """
    batch = rows_of(model, root, u, "[B, iterations, samples, horizon]")
    _, iterations, samples, horizon = u.shape
    if elites < 1 or not 0 < smoothing <= 1:
        raise ValueError(f"elites {elites}, smoothing {smoothing}: give 1 or more, a number in (0, 1]")
    a = model.actions
    odds = torch.full((batch, horizon, a), 1 / a, device=u.device)
    left = None if last is None else _left(last, batch, horizon)
    if left is not None:
        odds = _refit(odds, left[:, None], torch.ones_like(odds[:, :1, 0]), 0.5)
    states = repeat(root, samples)
    best = u.new_empty(batch, 0, horizon, dtype=torch.int64)
    cost, reaches = u.new_zeros(batch, 0), u.new_zeros(batch, 0, dtype=torch.bool)
    for i in range(iterations):
        drawn, drawn_cost, drawn_reaches = _imagine(model, states, odds, u[:, i], left if i == 0 else None)
        cost, order = torch.cat([cost, drawn_cost], 1).sort(stable=True, dim=1)
        cost, order = cost[:, :elites], order[:, :elites]
        best = torch.cat([best, drawn], 1).gather(1, order[..., None].expand(-1, -1, horizon))
        reaches = torch.cat([reaches, drawn_reaches], 1).gather(1, order)
        odds = _refit(odds, best, cost.isfinite().float(), smoothing)
    cost = cost[:, 0]
    actions = torch.where(cost.isfinite()[:, None], best[:, 0], -1)
    return Plan(actions[:, 0], cost, actions, reaches[:, 0] & cost.isfinite())


def _imagine(model: Model, state: Any, odds: Tensor, u: Tensor, first: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Actions `[B, samples, horizon]` (-1 from the goal on), their cost and whether they arrive `[B, samples]`.

    The first sample is `first` `[B, horizon]` as far as it goes, if it is given.
    """
    batch, samples, horizon = u.shape
    u = u.flatten(0, 1).double()  # [N, horizon]; in float32, u of the whole may round to the whole
    togo = model.togo(state)
    cost, drawn = torch.zeros_like(togo), []
    for t in range(horizon):
        share = odds[:, t].double().repeat_interleave(samples, 0)
        if model.allowed is not None:
            share = share * model.allowed(state)
        upto = share.cumsum(-1)
        action = (upto <= u[:, t, None] * upto[:, -1:]).sum(-1).clamp(max=model.actions - 1)
        if first is not None:
            action.view(batch, samples)[:, 0] = torch.where(first[:, t] < 0, action[::samples], first[:, t])
        there = togo == 0
        state, move = model.step(state, action)
        cost = cost + torch.where(there, 0.0, move)
        drawn.append(torch.where(there, -1, action))
        togo = torch.where(there, 0.0, model.togo(state))
    cost = cost + togo
    if not bool((cost >= 0).all()):
        raise ValueError("the model gave a negative cost or NaN: give 0 or more, inf where a move is refused")
    return torch.stack(drawn, -1).view(batch, samples, horizon), cost.view(batch, -1), (togo == 0).view(batch, -1)


def _refit(odds: Tensor, elites: Tensor, weight: Tensor, smoothing: float) -> Tensor:
    """Shares `[B, H, A]` of the actions of `elites` `[B, E, H]` of `weight` `[B, E]`; as before where none acts."""
    a = odds.shape[-1]
    counts = (F.one_hot(elites + 1, a + 1)[..., 1:] * weight[..., None, None]).sum(1)
    total = counts.sum(-1, keepdim=True)
    return torch.where(total > 0, (1 - smoothing) * counts / total.clamp(min=1e-9) + smoothing / a, odds)


def _left(last: Plan, batch: int, horizon: int) -> Tensor:
    """What is left of the plan after its first move `[B, horizon]`, -1 after its end."""
    left = last.actions[:, 1 : horizon + 1]
    if len(left) != batch:
        raise ValueError(f"the last plan has {len(left)} rows, u has {batch}: give the plan of the same agents")
    return F.pad(left, (0, horizon - left.shape[1]), value=-1)
