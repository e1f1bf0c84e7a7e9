"""Mode 2: searches that can be exchanged, on one map. Each gives the cost to go, and that of each move, as value
iteration does; but those that look ahead from where the agent is say it of that place alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from cogarch.executive.cem import cem
from cogarch.executive.mcts import mcts
from cogarch.executive.model import graph_model
from cogarch.executive.value_iteration import value_iteration
from cogarch.executive.vector import vector
from cogarch.module import State

Search = Literal["value_iteration", "mcts", "cem", "vector"]
SEARCHES: tuple[str, ...] = get_args(Search)
DRAWS = (10, 30, 16)
"""Of the cross-entropy method: iterations, samples, and moves that a way has at most."""
Find = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""`target` `[B, n, A]`, `price` `[B, n, A]`, `goal` `[B, n]` -> cost to go `[B, n]`, and of each move `[B, n, A]`."""


def finder(
    name: str,
    part: Any,
    draws: Tensor | None,
    last: Tensor,
    atlas: State,
    which: Tensor,
    u: Tensor,
    egocentric: bool,
) -> Find:
    """The search of that name for the agents `which` `[B]`, whose atlas this is, from where they are.

    `part`: the structural code, which tells the way between two places to `vector` (`Rotor.between`; else it goes by
    felt motion); `draws` `[B, *DRAWS]` and `u` `[B, A]` in (0, 1); `last` `[B]`: the action before."""
    u, last = u[which], last[which]
    rows, here = torch.arange(len(u), device=u.device), atlas["here"]

    def find(target: Tensor, price: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        if name == "value_iteration":
            return value_iteration(target, price, goal)
        there = _nearest_goal(atlas, goal)
        if name == "vector":
            way = _way(atlas, part, there, egocentric)
            refused = atlas["refused"][rows, here]
            action = vector(way, atlas["effect"], u[:, 0], refused, last, egocentric=egocentric)
            cost = way.norm(dim=-1).float()
        else:
            model = graph_model(target, price, _straight_on(atlas, goal))
            root = (rows, here)
            plan = mcts(model, root, u) if name == "mcts" else cem(model, root, _of(draws, which))
            action, cost = plan.action, plan.cost
        found = goal.any(-1) & (action >= 0) & cost.isfinite()
        togo = torch.full(goal.shape, torch.inf, device=u.device)
        q = torch.full_like(price, torch.inf)
        togo[rows, here] = torch.where(found, cost, torch.inf)
        q[rows, here, action.clamp(min=0)] = torch.where(found, cost, torch.inf)
        return togo, q

    return find


def _of(draws: Tensor | None, which: Tensor) -> Tensor:
    assert draws is not None
    return draws[which]


def _nearest_goal(atlas: State, goal: Tensor) -> Tensor:
    """The place `[B]` that meets the goal and lies nearest, by felt motion."""
    away = (atlas["at"] - atlas["position"][:, None].float()).norm(dim=-1)
    return torch.where(goal, away, torch.inf).argmin(-1)


def _straight_on(atlas: State, goal: Tensor) -> Tensor:
    """Moves `[B, n]` that the way to the nearest goal has at least: straight on, by the longest of them."""
    stride = atlas["effect"].norm(dim=-1).amax(-1).clamp(min=1e-6)  # a turn counts as a stride, if it is longer
    apart = torch.cdist(atlas["at"], atlas["at"])
    away = torch.where(goal[:, None], apart, torch.inf).amin(-1) / stride[:, None]
    least = torch.where(goal, 0.0, away.clamp(min=1e-3))
    return torch.where(goal.any(-1, keepdim=True), least, torch.inf)


def _way(atlas: State, part: Any, there: Tensor, egocentric: bool) -> Tensor:
    """The displacement `[B, 2]` to each agent's place `there`: in the world's axes, or ahead and left of the body."""
    rows = torch.arange(len(there), device=there.device)
    if hasattr(part, "between"):
        way: Tensor = part.between(atlas["code"][rows, atlas["here"]], atlas["code"][rows, there])
        return way
    way = atlas["at"][rows, there] - atlas["position"].float()
    if not egocentric:
        return way
    c, s = atlas["heading"].cos().float(), atlas["heading"].sin().float()
    return torch.stack([c * way[:, 0] + s * way[:, 1], c * way[:, 1] - s * way[:, 0]], -1)
