"""Mode 1, the amortised controller, and the critic: what to do here to come there, and how far it is, without search.

LeCun's mode 1 (2022, sections 3.1.1 and 3.1.3) is a goal-conditioned inverse dynamics `pi(a | here, goal)`, distilled
from routes that mode 2 planned; the critic estimates the cost to go. Both are heads of one small network, trained in
rest. An agent's network is its own: its weights are state, one row an agent, moved by `learn` and never by a training.

A code of unit size enters three ways: `relu(V (goal - here))`, for codes in which a move is a step (a latent);
`(P here) * (Q goal)`, a bilinear form of low rank (Kim et al. 2017), for codes that a move rotates, such as plane
waves, whose products are those of a displacement; then a layer that sees both, and the heads. Several members, begun
differently, learn from the same examples; where these say little, they differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cogarch.module import State
from cogarch.tree import tree_map, where

BETAS, TINY = (0.9, 0.999), 1e-8  # of Adam (Kingma & Ba 2015)
CRITIC = 0.1  # what an error of one step weighs, against nats of the policy


class Habit(NamedTuple):
    """What to do, how far it is, and how much to trust it; `...` is `[B]` or `[B, K]`."""

    logits: Tensor
    """Log-probabilities of actions `[..., A]`."""
    togo: Tensor
    """Steps to the goal, or whatever cost was taught `[...]`, 0 or more."""
    uncertainty: Tensor
    """Between 0 and 1 `[...]`: the geometric mean of the entropy of the policy and of how much of it is disagreement
    between members (their mutual information with the action), both over log A. Actions that are known to be equally
    good leave it low; it is 1 where a code is not finite (no goal)."""


def draw(n_code: int, actions: int, *, hidden: int = 64, members: int = 4) -> dict[str, Tensor]:
    """Weights of a habit that knows nothing, `[members, ...]`, by torch's generator.

    Whoever owns habits draws once, where it is made, keeps them as buffers, and begins every agent with them (`init`).

    Raises:
        ValueError: a size below 1, or fewer than 2 actions or members (one alone disagrees with nobody).
    """
    for name, value, least in (("n_code", n_code, 1), ("actions", actions, 2), ("hidden", hidden, 1)):
        if value < least:
            raise ValueError(f"{name} is {value}: a habit needs {least} or more")
    if members < 2:
        raise ValueError(f"members is {members}: give 2 or more, or none disagrees and nothing is uncertain")

    def layer(inputs: int, outputs: int) -> Tensor:
        return torch.randn(members, inputs, outputs) / math.sqrt(inputs)

    return {
        "way": layer(n_code, hidden),
        "way_bias": torch.zeros(members, 1, hidden),
        "here": layer(n_code, hidden),
        "here_bias": torch.zeros(members, 1, hidden),
        "goal": layer(n_code, hidden),
        "goal_bias": torch.zeros(members, 1, hidden),
        "join": layer(2 * hidden, hidden),
        "join_bias": torch.zeros(members, 1, hidden),
        "say": layer(hidden, actions + 1),  # logits of the actions, and the cost to go
        "say_bias": torch.zeros(members, 1, actions + 1),
    }


def init(batch: int, weights: Mapping[str, Tensor]) -> State:
    """State of `batch` agents that begin with the weights `draw` gave: `weights` and the moments of Adam, each
    `[B, members, ...]`, and `updates` `[B]` int64."""
    begun = {name: x.expand(batch, *x.shape) for name, x in weights.items()}
    mean, square = ({name: torch.zeros_like(x) for name, x in begun.items()} for _ in BETAS)
    updates = torch.zeros(batch, dtype=torch.int64, device=weights["say"].device)
    return {"weights": begun, "mean": mean, "square": square, "updates": updates}


def learn(
    state: State,
    here: Tensor,
    goal: Tensor,
    action: Tensor,
    togo: Tensor,
    *,
    learning_rate: float = 3e-3,
    rows: Tensor | None = None,
) -> tuple[State, Tensor]:
    """One step of Adam on a minibatch of N examples an agent; the state after it and the loss before it `[B]`.

    The loss is the cross-entropy of the actions plus `CRITIC` times the Huber loss of the cost to go (in steps), each
    the mean over the examples that teach it.

    Args:
        state: as `init` gave it; left alone.
        here: codes `[B, N, n]`.
        goal: codes `[B, N, n]`.
        action: those that begin a shortest way: one `[B, N]` int64 (-1, or any that is none of the A: not known), or
            the share of each `[B, N, A]`, brought to a sum of 1 (all 0: not known).
        togo: cost from here to the goal `[B, N]`; NaN, infinite or negative: not known.
        learning_rate: of Adam.
        rows: the agents that learn `[B]` bool (default: all). The others stay as they are, to the bit, and so do those
            that are given nothing to learn.

    An example whose codes are not finite teaches nothing. No gradient comes in or goes out.

    Raises:
        ValueError: shapes or dtypes that do not fit the state, or a learning rate that is not above 0.
    """
    batch, actions = len(state["updates"]), state["weights"]["say"].shape[-1] - 1
    _check(state, here, goal, 3)
    examples = tuple(here.shape[:2])
    integer = not action.dtype.is_floating_point
    if tuple(action.shape) != (examples if integer else (*examples, actions)) or action.dtype == torch.bool:
        raise ValueError(
            f"action is {action.dtype} {list(action.shape)}: give the index of one action {[*examples]} as int64, or "
            f"the share of each of {actions} actions {[*examples, actions]} as floats"
        )
    if tuple(togo.shape) != examples:
        raise ValueError(f"togo is {list(togo.shape)} for codes {list(here.shape)}: give one cost an example")
    if rows is not None and (tuple(rows.shape) != (batch,) or rows.dtype != torch.bool):
        raise ValueError(f"rows is {rows.dtype} {list(rows.shape)}: give one bool an agent, [{batch}]")
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate is {learning_rate}: give a number above 0")

    if integer:
        action = (action[..., None] == torch.arange(actions, device=action.device)).to(here.dtype)
    here, goal, finite = _sized(here.detach(), goal.detach())
    share = action.detach().nan_to_num(0.0, 0.0, 0.0).clamp(min=0)
    total = share.sum(-1)
    does = finite & (total > 0)
    share = share / total[..., None].clamp(min=1e-30)
    far = finite & togo.isfinite() & (togo >= 0)
    togo = torch.where(far, togo.detach(), 0.0)

    with torch.enable_grad():
        weights = {name: x.detach().requires_grad_() for name, x in state["weights"].items()}
        logits, cost = _forward(weights, here, goal)  # [B, E, N, A], [B, E, N]
        policy = -(share[:, None] * logits.log_softmax(-1)).sum(-1)
        critic = F.smooth_l1_loss(cost, togo[:, None].expand_as(cost), reduction="none")
        loss = _mean(policy, does) + CRITIC * _mean(critic, far)  # [B, E]; no member, and no row, moves another
        slopes = dict(zip(weights, torch.autograd.grad(loss.sum(), list(weights.values())), strict=True))

    learns = (does | far).any(1)
    learns = learns if rows is None else learns & rows
    updates = state["updates"] + 1
    mean = tree_map(lambda m, g: m.lerp(g, 1 - BETAS[0]), state["mean"], slopes)
    square = tree_map(lambda s, g: s.lerp(g.square(), 1 - BETAS[1]), state["square"], slopes)
    size = [(1 - beta ** updates.to(here.dtype)).view(-1, 1, 1, 1) for beta in BETAS]

    def moved(w: Tensor, m: Tensor, s: Tensor) -> Tensor:
        step: Tensor = learning_rate * (m / size[0]) / ((s / size[1]).sqrt() + TINY)
        return w.detach() - step

    after = {"weights": tree_map(moved, weights, mean, square), "mean": mean, "square": square, "updates": updates}
    return where(learns, after, state), loss.detach().mean(1)


def act(state: State, here: Tensor, goal: Tensor) -> Habit:
    """What the habit says, without a gradient, of the way from here to the goal: codes `[B, n]`, or K pairs an agent
    `[B, K, n]`.

    Where a code is not finite all actions are alike, the cost is that of a code of zeros, and the uncertainty is 1.

    Raises:
        ValueError: shapes that do not fit the state.
    """
    _check(state, here, goal, here.dim())
    one = here.dim() == 2
    with torch.no_grad():
        here, goal, finite = _sized(here, goal)
        if one:
            here, goal, finite = here[:, None], goal[:, None], finite[:, None]
        logits, cost = _forward(state["weights"], here, goal)
        each = logits.double().log_softmax(-1)  # [B, E, K, A]; a root makes much of a small error of a difference
        members, most = each.shape[1], math.log(each.shape[-1])
        log_p = torch.where(finite[..., None], each.logsumexp(1) - math.log(members), -most)
        entropy = _entropy(log_p)
        disagreement = (entropy - _entropy(each).mean(1)).clamp(min=0)
        uncertainty = torch.where(finite, (entropy * disagreement).sqrt() / most, 1.0)
        said = log_p.to(cost.dtype), cost.mean(1), uncertainty.to(cost.dtype)
        return Habit(*(x[:, 0] for x in said)) if one else Habit(*said)


def _forward(w: Mapping[str, Tensor], here: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
    """Logits `[B, E, N, A]` and costs `[B, E, N]` of each member, for codes `[B, N, n]` of unit size."""
    here, goal = here[:, None], goal[:, None]
    way = ((goal - here) @ w["way"] + w["way_bias"]).relu()
    pair = (here @ w["here"] + w["here_bias"]) * (goal @ w["goal"] + w["goal_bias"])
    said = (torch.cat([way, pair], -1) @ w["join"] + w["join_bias"]).relu() @ w["say"] + w["say_bias"]
    return said[..., :-1], F.softplus(said[..., -1])


def _sized(here: Tensor, goal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Codes at a root mean square of 1 (0 where not finite), and where both are finite."""
    pair = torch.stack([here, goal])
    finite = pair.isfinite().all(-1)
    pair = F.normalize(torch.where(finite[..., None], pair, 0.0), dim=-1) * math.sqrt(here.shape[-1])
    return pair[0], pair[1], finite.all(0)


def _mean(x: Tensor, counts: Tensor) -> Tensor:
    """Over the examples that count `[B, N]`: x `[B, E, N]` -> `[B, E]`; 0 where none does."""
    return torch.where(counts[:, None], x, 0.0).sum(-1) / counts.sum(-1, keepdim=True).clamp(min=1)


def _entropy(log_p: Tensor) -> Tensor:
    return -(log_p.exp() * log_p).sum(-1)


def _check(state: State, here: Tensor, goal: Tensor, axes: int) -> None:
    batch, n = len(state["updates"]), state["weights"]["way"].shape[-2]
    for name, x in (("here", here), ("goal", goal)):
        if x.dim() != axes or axes not in (2, 3) or x.shape != here.shape or (x.shape[0], x.shape[-1]) != (batch, n):
            wanted = f"[{batch}, N, {n}]" if axes == 3 else f"[{batch}, {n}] (or [{batch}, K, {n}])"
            raise ValueError(f"{name} is {list(x.shape)}: the habits of {batch} agents take codes {wanted}, both alike")
        if not x.dtype.is_floating_point:
            raise ValueError(f"{name} is {x.dtype}: codes are floats")
