"""The two modes of control: mode 1 does what it is used to do where it is sure, mode 2 searches (LeCun 2022, 3.1).

In rest a habit is taught by routes that value iteration plans over the atlas to places taken at random. On the way to a
goal it acts where its uncertainty is low; once a move was refused, or a place was passed twice, search takes over until
there is another goal: a habit remembers nothing, and would go round in circles.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from cogarch.executive import habit
from cogarch.executive.routes import TIES
from cogarch.executive.value_iteration import value_iteration
from cogarch.module import State
from cogarch.tree import tree_map

CONTROLS = ("search", "habit")
GOALS, EXAMPLES = 16, 128
"""Of a lesson: goals, and pairs of a place and one of them."""


def init(batch: int, weights: Mapping[str, Tensor]) -> State:
    """A habit that knows nothing; `since` `[B]`, the tick at which the present goal was given; `acted` `[B]`, it made
    the last move; `doubts` `[B]`, it has failed on the way to the goal."""
    return {
        "habit": habit.init(batch, weights),
        "since": torch.zeros(batch, dtype=torch.int64),
        "acted": torch.zeros(batch, dtype=torch.bool),
        "doubts": torch.zeros(batch, dtype=torch.bool),
    }


def rest(control: State, atlas: State, target: Tensor, price: Tensor, u: Tensor, rows: Tensor) -> State:
    """Lessons in the rows `[B]` that rest, `u` `[B, lessons, GOALS + 2 EXAMPLES]` in (0, 1), on the map `target`
    `[B, n, A]` with its `price` of moves."""
    which = rows.nonzero()[:, 0]
    taught = tree_map(lambda x: x[which], control["habit"])
    target, price, u = target[which], price[which], u[which]
    batch, n, actions = target.shape
    known, code = atlas["known"][which, :n], atlas["code"][which, :n]
    each = torch.arange(batch, device=u.device)[:, None]
    for lesson in u.unbind(1):
        goal = _any(known, lesson[:, :GOALS])  # [b, G]
        place = _any(known, lesson[:, GOALS : GOALS + EXAMPLES])
        one = (lesson[:, GOALS + EXAMPLES :] * GOALS).long()  # which of the goals
        ends = torch.zeros(batch, GOALS, n, dtype=torch.bool, device=u.device).scatter(2, goal[..., None], True)
        many = [x[:, None].expand(-1, GOALS, -1, -1).flatten(0, 1) for x in (target, price)]
        togo, q = value_iteration(many[0], many[1], ends.flatten(0, 1))
        cost, best = togo.view(batch, GOALS, n)[each, one, place], q.view(batch, GOALS, n, actions)[each, one, place]
        right = (best <= best.amin(-1, keepdim=True) + TIES) & best.isfinite() & (cost > 0)[..., None]
        taught, _ = habit.learn(taught, code[each, place], code[each, goal.gather(1, one)], right.float(), cost)

    def put(x: Tensor, new: Tensor) -> Tensor:
        return x.index_copy(0, which, new)

    return control | {"habit": tree_map(put, control["habit"], taught)}


def act(
    control: State, atlas: State, code: Tensor, goal: Tensor, last: Tensor, bump: Tensor, doubt: float
) -> tuple[State, Tensor, Tensor, Tensor]:
    """What habit would do from `code` `[B, n]` to reach `goal` `[B, n]` (NaN: no goal): the action `[B]`, the cost that
    it expects `[B]`, and whether it is sure enough, `[B]`. `last` `[B]`: when the agent was at this place before."""
    rows = torch.arange(len(code), device=code.device)
    doubts = control["doubts"] | (control["acted"] & (bump | (last >= control["since"])))
    said = habit.act(control["habit"], code, goal)
    action = said.logits.argmax(-1)
    shut = atlas["refused"][rows, atlas["here"], action]
    sure = (said.uncertainty < doubt) & ~doubts & ~shut & (control["habit"]["updates"] > 0)
    sure &= goal.isfinite().all(-1)
    return control | {"doubts": doubts, "acted": sure}, action, said.togo, sure


def given_a_goal(control: State, clock: Tensor, rows: Tensor) -> State:
    """In the rows `[B]` another way begins, at `clock` `[B]`: no doubts yet."""
    return control | {
        "since": torch.where(rows, clock, control["since"]),
        "acted": control["acted"] & ~rows,
        "doubts": control["doubts"] & ~rows,
    }


def _any(known: Tensor, u: Tensor) -> Tensor:
    """Known places `[B, k]`, each as likely, by `u` `[B, k]` in (0, 1)."""
    upto = known.cumsum(-1)
    return torch.searchsorted(upto.double(), (u * upto[:, -1:]).double(), right=True).clamp(max=known.shape[1] - 1)
