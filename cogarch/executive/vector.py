"""The planner `vector`: straight for the goal by its displacement, along walls where a move is refused."""

from __future__ import annotations

import math

import torch
from torch import Tensor

TIE = 1e-3  # steps: ways whose lengths differ by less are alike
_NEVER = 1e9


def vector(
    displacement: Tensor,
    effect: Tensor,
    u: Tensor,
    refused: Tensor | None = None,
    last: Tensor | None = None,
    *,
    egocentric: bool = False,
    arrived: float = 0.5,
) -> Tensor:
    """The action `[N]` int64 that begins the shortest way to the goal in a world without walls (Bush et al. 2015).

    displacement: to the goal `[N, 2]`, cells (`Rotor.between`); where the body turns (`egocentric`), ahead and left of
        it. NaN: no goal.
    effect: what each action does to the body `[N, A, 2]`, in the unit of `env/motion`: "dx, dy" (cells), or "turn,
        advance" (rad, cells); for a code that learned its motion, in the unit of that. NaN or 0: not known.
    u: `[N]` uniform in (0, 1), by which one of several actions that are alike is drawn.
    refused: `[N, A]` bool, moves that are known to be refused from here: left out, so that the way slides along walls.
    last: the action before `[N]` int64, -1 for none or for another goal: what undoes it is left out where there is
        another, and a body that it turned away from the goal advances if it can, so that the way does not go to and
        fro before a wall.
    arrived: within so many cells there is nothing to do.

    -1 where it has arrived, has no goal, or every action is refused. Where no effect of an action that is not refused
    is known (or, of a body that turns, where none that turns or none that advances is), one of those not known, to
    learn it.

    Nothing is remembered: behind a wall that bends towards it, it stays. On a torus the displacement may be that of the
    longer way round, for a code that unrolls the world knows no other.

    Raises:
        ValueError: shapes that do not fit each other.
    """
    n, a = effect.shape[:2]
    refused = effect.new_zeros(n, a, dtype=torch.bool) if refused is None else refused
    for name, given, shape in (
        ("displacement", displacement, (n, 2)),
        ("effect", effect, (n, a, 2)),
        ("u", u, (n,)),
        ("refused", refused, (n, a)),
        *([] if last is None else [("last", last, (n,))]),
    ):
        if given.shape != shape:
            raise ValueError(f"{name} is {list(given.shape)}: with effect {list(effect.shape)}, give {list(shape)}")
    effect, displacement = effect.double().nan_to_num(), displacement.double()
    known = (effect != 0).any(-1)  # [N, A]
    cost = _turning(displacement, effect, effect) if egocentric else _straight(displacement, effect)
    usable = known & ~refused
    if egocentric:  # it takes both
        usable = usable & (effect != 0).any(1).all(-1, keepdim=True)
    if last is not None:
        before = effect.gather(1, last.clamp(min=0)[:, None, None].expand(-1, 1, 2))
        undoes = ((effect + before).norm(dim=-1) < 0.1 * before.norm(dim=-1)) & (last >= 0)[:, None]
        if egocentric:  # a body that was turned away advances, if it can
            away = (undoes & (cost < _turning(displacement, 0 * effect, effect))).any(-1, keepdim=True)
            undoes = undoes | away & (effect[..., 0] != 0)
        rest = usable & ~undoes
        usable = torch.where(rest.any(-1, keepdim=True), rest, usable)
    least = cost.masked_fill(~usable, _NEVER).amin(-1, keepdim=True)
    best = torch.where(usable.any(-1, keepdim=True), usable & (cost <= least + TIE), ~known & ~refused).double()
    # one of the best, each alike: the first at which the running count passes u of the way
    chosen = (best.cumsum(-1) > u[:, None] * best.sum(-1, keepdim=True)).int().argmax(-1)
    idle = ~(displacement.norm(dim=-1) > arrived) | (best.sum(-1) == 0)
    return torch.where(idle, -1, chosen)


def _straight(displacement: Tensor, effect: Tensor) -> Tensor:
    """How far the goal is after each action, `[N, A]`, in steps of the longest."""
    step = effect.norm(dim=-1).amax(-1, keepdim=True).clamp(min=1e-6)
    far: Tensor = (displacement[:, None] - effect).norm(dim=-1) / step
    return far


def _turning(displacement: Tensor, effect: Tensor, steps: Tensor) -> Tensor:
    """The ticks, turns and advances, from after each action to the goal on an open plane, `[N, A]`.

    A body that turns by q and advances by a step at a time, the least turn and the longest advance of `steps`
    `[N, A, 2]`, goes by the two of its headings between which the goal lies: how far by each follows from the angles,
    and the one that is nearer to its own comes first. Less than half a step is none.
    """
    turn, advance = effect.unbind(-1)
    quantum, longest = steps.unbind(-1)
    q = quantum.abs().masked_fill(quantum == 0, math.inf).amin(-1, keepdim=True)  # [N, 1]
    q = torch.where(q < math.pi, q, math.pi / 2)
    step = longest.amax(-1, keepdim=True).clamp(min=1e-6)
    c, s = turn.cos(), turn.sin()
    ahead = c * displacement[:, :1] + s * displacement[:, 1:] - advance  # first the body turns, then it goes
    left = c * displacement[:, 1:] - s * displacement[:, :1]
    distance, bearing = torch.hypot(ahead, left) / step, torch.atan2(left, ahead)
    first = (bearing / q).floor()  # the lesser of the two headings, in turns
    within = bearing - first * q
    by_first, by_second = distance * (q - within).sin() / q.sin(), distance * within.sin() / q.sin()
    one, other = by_first >= 0.5, by_second >= 0.5
    both = torch.minimum(first.abs(), (first + 1).abs()) + 1
    turns = torch.where(one & other, both, torch.where(one, first.abs(), (first + 1).abs() * other))
    return by_first + by_second + turns
