"""What a planner imagines with: a model is functions on states; a plan is what a search gives back.

A state is a tree of tensors with one row each (`cogarch.tree`). Planners know nothing else of it: the same search runs
on a graph of remembered places, on latents, or on latents snapped to remembered ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cogarch.tree import leaves, tree_map


@dataclass(frozen=True)
class Model:
    """A deterministic world with a goal, as functions on N states.

    `step(state, action [N] int64)`: the state after, and the cost of the move `[N]`, 0 or more; inf where it is known
    to be refused. `togo(state)`: the estimated cost to go `[N]`; exactly 0 at the goal and nowhere else, inf where no
    way is. The rest may be left out. `key(state)`: a number `[N]` int64 for each place, so that a search does not
    look at one twice. `allowed(state)`: `[N, actions]` bool, false where `step` would cost inf, so that no move is
    drawn in vain. `prior(state)`: how likely each action is to be right, `[N, actions]` that sum to 1 (of mode 1, say).
    """

    actions: int
    step: Callable[[Any, Tensor], tuple[Any, Tensor]]
    togo: Callable[[Any], Tensor]
    key: Callable[[Any], Tensor] | None = None
    allowed: Callable[[Any], Tensor] | None = None
    prior: Callable[[Any], Tensor] | None = None


@dataclass(frozen=True)
class Plan:
    """What a search found for each of B rows.

    `action` `[B]` int64 is the first move, -1 where none is needed (cost 0) or none leads to the goal (cost inf);
    `cost` `[B]` that of the whole way, with the estimate of what remains at its end; `actions` `[B, H]` the way, -1
    after its end; `reaches` `[B]` bool: it was imagined up to the goal; `visits` `[B, A]` int64: how many simulations
    began with each move.
    """

    action: Tensor
    cost: Tensor
    actions: Tensor
    reaches: Tensor
    visits: Tensor | None = None


def graph_model(target: Tensor, cost: Tensor, togo: Tensor) -> Model:
    """A graph for each of B rows: `target` `[B, S, A]` int64 (-1: no way), `cost` `[B, S, A]`, `togo` `[B, S]`.

    Its state is `(row [N], node [N])` int64, so a search starts from `(torch.arange(B), here)`. Raises ValueError for
    shapes that do not fit, a target that is no node, a negative or NaN cost.
    """
    b, s, a = _shape("target", target, 3)
    _fits("cost", cost, (b, s, a))
    _fits("togo", togo, (b, s))
    if target.numel() and (int(target.min()) < -1 or int(target.max()) >= s):
        raise ValueError(f"a target is in [-1, {s}), these reach from {int(target.min())} to {int(target.max())}")
    for name, x in (("cost", cost), ("togo", togo)):
        if not bool((x >= 0).all()):
            raise ValueError(f"{name} holds a negative number or NaN: give 0 or more, inf where there is no way")
    cost = torch.where(target < 0, torch.inf, cost)
    target = torch.where(cost.isinf(), torch.arange(s, device=target.device)[:, None], target)  # a refused move stays

    def step(state: Any, action: Tensor) -> tuple[Any, Tensor]:
        row, node = state
        return (row, target[row, node, action]), cost[row, node, action]

    return Model(
        a,
        step,
        togo=lambda state: togo[state],
        key=lambda state: state[1],
        allowed=lambda state: cost[state].isfinite(),
    )


def latent_model(
    ahead: Callable[[Tensor, Tensor], Tensor],
    actions: int,
    goal: Tensor,
    *,
    stride: float = 1.0,
    near: float = 0.5,
) -> Model:
    """Latents moved by `ahead(z [N, d], action [N]) -> [N, d]` toward those of a goal `[B, d]`; each move costs 1.

    The cost to go is the distance to the goal over `stride`, how far a move takes a latent: moves in a straight line.
    Within `near` moves it is the goal. The state is `(row [N], z [N, d])`. What is imagined drifts with each
    move (of breadth-first search, 0 to 5 % arrived): where there is a memory, take `snapped_model`.
    """
    _shape("goal", goal, 2)
    _positive(stride=stride, near=near)

    def step(state: Any, action: Tensor) -> tuple[Any, Tensor]:
        row, z = state
        return (row, ahead(z, action)), z.new_ones(len(z))

    return Model(actions, step, togo=lambda state: _moves(state[1], goal[state[0]], stride, near))


def snapped_model(
    ahead: Callable[[Tensor, Tensor], Tensor],
    actions: int,
    goal: Tensor,
    bank: Tensor,
    known: Tensor,
    *,
    refused: Tensor | None = None,
    stride: float = 1.0,
    near: float = 0.5,
) -> Model:
    """As `latent_model`, where each imagined latent is replaced by the nearest remembered one, so that none drifts.

    `bank` `[B, S, d]` holds the remembered latents of each row, `known` `[B, S]` bool which of them are; `refused`
    `[B, S, A]` bool the moves known to fail. The goal is the remembered latent nearest to `goal`, with all that lie
    within `near` moves of it. The state is `(row [N], slot [N])`: start from `(rows, nearest(bank, known, rows, z))`.
    Nothing remembered: no way, the cost is inf.
    """
    b, s, d = _shape("bank", bank, 3)
    _fits("known", known, (b, s))
    _fits("goal", goal, (b, d))
    if refused is not None:
        _fits("refused", refused, (b, s, actions))
    _positive(stride=stride, near=near)
    rows = torch.arange(b, device=bank.device)
    goal = bank[rows, nearest(bank, known, rows, goal)]
    empty = ~known.any(-1)

    def step(state: Any, action: Tensor) -> tuple[Any, Tensor]:
        row, slot = state
        fails = empty[row] if refused is None else empty[row] | refused[row, slot, action]
        there = nearest(bank, known, row, ahead(bank[row, slot], action))
        return (row, torch.where(fails, slot, there)), torch.where(fails, torch.inf, 1.0)

    def togo(state: Any) -> Tensor:
        moves = _moves(bank[state], goal[state[0]], stride, near)
        return torch.where(empty[state[0]], torch.inf, moves)

    return Model(
        actions,
        step,
        togo,
        key=lambda state: state[1],
        allowed=None if refused is None else lambda state: ~refused[state],
    )


def nearest(bank: Tensor, known: Tensor, row: Tensor, z: Tensor) -> Tensor:
    """Of the known slots of row `row` `[N]` of a bank `[B, S, d]` the nearest to `z` `[N, d]`, `[N]`; 0 if none is."""
    many, rest = divmod(len(z), len(bank))
    if rest == 0 and torch.equal(row, torch.arange(len(bank), device=row.device).repeat_interleave(many)):
        # states in the order of their rows, as planners give them, need no copy of the bank each
        exact = "donot_use_mm_for_euclid_dist"
        gap = torch.cdist(z.view(len(bank), many, -1), bank, compute_mode=exact).flatten(0, 1)  # [N, S]
    else:
        gap = (bank[row] - z.unsqueeze(1)).norm(dim=-1)
    return torch.where(known[row], gap, torch.inf).argmin(-1)


def rows_of(model: Model, root: Any, u: Tensor, dims: str) -> int:
    """How many rows a search has; ValueError where `u` or the root do not fit."""
    batch = len(u)
    if u.dim() != dims.count(",") + 1 or not u.numel():
        raise ValueError(f"u is {list(u.shape)}: give random numbers {dims}, one or more along each axis")
    if not bool(((u >= 0) & (u < 1)).all()):
        raise ValueError("u leaves [0, 1): give uniform random numbers")
    for path, x in leaves(root):
        if x.dim() == 0 or len(x) != batch:
            raise ValueError(f"root{path and '.' + path} is {list(x.shape)}: u has {batch} rows, give as many states")
    if model.actions < 1:
        raise ValueError(f"the model has {model.actions} actions; give 1 or more")
    return batch


def repeat(state: Any, times: int) -> Any:
    """Each row `times` times, one after another."""
    return tree_map(lambda x: x.repeat_interleave(times, 0), state)


def _moves(z: Tensor, goal: Tensor, stride: float, near: float) -> Tensor:
    moves = (z - goal).norm(dim=-1) / stride
    return torch.where(moves < near, 0.0, moves)


def _positive(**numbers: float) -> None:
    for name, x in numbers.items():
        if not x > 0:
            raise ValueError(f"{name} is {x}: give a number greater than 0")


def _shape(name: str, x: Tensor, dims: int) -> tuple[int, ...]:
    if x.dim() != dims:
        raise ValueError(f"{name} is {list(x.shape)}: give {dims} axes, rows first")
    return tuple(x.shape)


def _fits(name: str, x: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(x.shape) != shape:
        raise ValueError(f"{name} is {list(x.shape)}: give {list(shape)}, to fit the others")
