"""Monte-Carlo tree search in a deterministic world, for many agents at once.

The tree of a row is arrays of fixed size, as in mctx. Selection is PUCT with the constants of MuZero (Schrittwieser et
al. 2020, appendix B), values normalised among siblings. Four things differ, for the world is deterministic:

- a simulation tries all actions of its leaf at once, so a refused move is known before it is chosen;
- a leaf is worth its cost to go, and what goes up the tree is the least cost, not the mean;
- costs are kept as those of the whole way from the root, so backing up is a minimum along the path, in one go;
- where the model has keys, a place reached before at no greater cost is a dead end, and so is what has only dead ends.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cogarch.executive.model import Model, Plan, repeat, rows_of
from cogarch.tree import leaves, tree_map

BASE = 19652.0  # pb_c_base of MuZero
TIE = 1e-6  # scores this close are alike


@torch.no_grad()
def mcts(
    model: Model,
    root: Any,
    u: Tensor,
    *,
    simulations: int = 64,
    depth: int | None = None,
    c: float = 1.25,
    settle: bool = True,
) -> Plan:
    """The first move of the cheapest way that `simulations` found; `u` `[B, A]` says which of equal moves is taken.

    No branch is longer than `depth` moves. `c` is how much is explored (pb_c_init). With `settle` a row stops once
    nothing seems cheaper than a way that arrives, which is exact where `togo` is never too high (as in A*); without, it
    goes on, to find a cheaper way that an estimate hid. A search that has tried everything in vain costs inf.
    Raises ValueError where `u`, the root or a number does not fit, or the model gives a negative cost or NaN.
    """
    rows_of(model, root, u, "[B, actions]")
    if u.shape[1] != model.actions:
        raise ValueError(f"u is {list(u.shape)}, the model has {model.actions} actions: give [B, {model.actions}]")
    depth = simulations + 1 if depth is None else depth
    if simulations < 1 or depth < 1 or c < 0:
        raise ValueError(f"simulations {simulations}, depth {depth}, c {c}: give 1 or more, 1 or more, 0 or more")
    tree = _Tree(model, root, u, simulations, depth, c, settle)
    for fresh in range(1, simulations + 1):
        path = tree.select()
        if bool((path == tree.bin).all()):  # nothing is left to try, in any row
            break
        tree.backup(path, tree.expand(path, fresh))
    return tree.plan()


class _Tree:
    """`simulations` + 1 nodes of A edges a row, and one node more, `bin`, where paths that have ended go."""

    def __init__(
        self, model: Model, root: Any, u: Tensor, simulations: int, depth: int, c: float, settle: bool
    ) -> None:
        self.model, self.u, self.depth, self.c, self.settle = model, u, depth, c, settle
        self.bin = simulations + 1
        b, n, a, on = len(u), simulations + 2, model.actions, u.device
        self.rows = torch.arange(b, device=on)[:, None]
        self.total = torch.full((b, n, a), torch.inf, device=on)  # cost from the root by this edge to the goal
        self.reach = torch.full((b, n, a), torch.inf, device=on)  # cost from the root to the end of this edge
        self.visits = torch.zeros(b, n, a, device=on)
        self.child = torch.full((b, n, a), self.bin, device=on)  # the node at its end; `bin` where there is none yet
        self.ends = torch.ones(b, n, a, dtype=torch.bool, device=on)  # the goal, or deep enough: never expanded
        self.prior = torch.full((b, n, a), 1 / a, device=on)
        self.best = torch.zeros(b, n, dtype=torch.int64, device=on)  # the action selected at a node
        self.next = torch.full((b, n), self.bin, device=on)  # the node that it leads to
        self.arrival = torch.full((b, 1), torch.inf, device=on)  # the cost of the cheapest way that arrives,
        self.way = torch.full((b, simulations + 1), -1, device=on)  # and its actions
        # places seen: the root, then the ends of all edges
        self.seen = torch.full((b, 1 + (n - 1) * a), -1, device=on)
        self.seen_cost = torch.full((b, 1 + (n - 1) * a), torch.inf, device=on)
        self.seen_level = torch.zeros(b, 1 + (n - 1) * a, dtype=torch.int64, device=on)
        if model.key is not None:
            self.seen[:, 0], self.seen_cost[:, 0] = model.key(root), 0
        self.after = tree_map(lambda x: _spread(x, n, a), root)  # [B, nodes, A, ...], the state at the end of each edge
        self.arrived = model.togo(root) == 0
        self._grow(0, root, torch.zeros(b, device=on), self.way[:, :0], ~self.arrived)
        self._choose(torch.zeros_like(self.rows))

    def select(self) -> Tensor:
        """The nodes `[B, D]` from the root down the actions selected, `bin` after the last and where all is done."""
        path: list[Tensor] = []
        cost = self.total[:, :1].amin(-1)
        node = torch.where(cost < self.arrival if self.settle else cost.isfinite(), 0, self.bin)
        while not path or bool((node != self.bin).any()):
            path.append(node)
            node = self.next.gather(1, node)
        return torch.cat(path, 1)

    def expand(self, path: Tensor, fresh: int) -> Tensor:
        """Grows node `fresh` at the end of the path; `[B, 1]`: that node, or `bin` where the path cannot go on."""
        leaf = path.gather(1, ((path != self.bin).sum(1, keepdim=True) - 1).clamp(min=0))
        edge = (self.rows, leaf, self.best.gather(1, leaf))  # each [B, 1]
        grows = self.total[edge].isfinite() & ~self.ends[edge]
        self.child[edge] = torch.where(grows, fresh, self.child[edge])
        state, taken = tree_map(lambda x: x[edge][:, 0], self.after), self.best.gather(1, path)
        self._grow(fresh, state, self.reach[edge][:, 0], taken.where(path != self.bin, -1), grows[:, 0])
        return torch.where(grows, fresh, self.bin)

    def _grow(self, node: int, state: Any, reach: Tensor, taken: Tensor, where: Tensor) -> None:
        """The edges of `node`, reached at cost `reach` `[B]` by the moves `taken` `[B, D]`, in rows `where` `[B]`."""
        b, a = self.u.shape
        after, cost = self.model.step(repeat(state, a), torch.arange(a, device=self.u.device).repeat(b))
        cost, togo = cost.view(b, a), self.model.togo(after).view(b, a)
        level = (taken >= 0).sum(1, keepdim=True) + 1  # moves from the root to the ends of the edges
        if not bool(((cost >= 0) & (togo >= 0)).all()):
            raise ValueError("the model gave a negative cost or NaN: give 0 or more, inf where a move is refused")
        reached = torch.where(where[:, None], reach[:, None] + cost, torch.inf)
        if self.model.key is not None:
            reached = self._once(node, self.model.key(after).view(b, a), reached, level)
        self.reach[:, node], self.total[:, node] = reached, reached + togo
        self.ends[:, node] = (togo == 0) | (level >= self.depth)
        arrival, last = torch.where(togo == 0, reached, torch.inf).min(-1, keepdim=True)
        way = F.pad(taken, (0, self.bin - taken.shape[1]), value=-1).scatter(1, level - 1, last)
        self.way = torch.where(arrival < self.arrival, way, self.way)
        self.arrival = torch.minimum(arrival, self.arrival)
        if self.model.prior is not None:
            self.prior[:, node] = self.model.prior(state)
        for (_, kept), (_, new) in zip(leaves(self.after), leaves(after), strict=True):
            kept[:, node] = new.view(b, a, *new.shape[1:])

    def _once(self, node: int, key: Tensor, reached: Tensor, level: Tensor) -> Tensor:
        """`reached` `[B, A]`, inf where a place was reached before at no more cost and in no more moves."""
        a = self.u.shape[1]
        old = slice(0, 1 + node * a)
        again = (key[:, :, None] == self.seen[:, None, old]) & (self.seen_cost[:, None, old] <= reached[:, :, None])
        again &= self.seen_level[:, None, old] <= level[:, :, None]
        # of actions that lead to one place the cheapest, else by `u`
        cheaper, equal = reached[:, None] < reached[:, :, None], reached[:, None] == reached[:, :, None]
        twin = (key[:, :, None] == key[:, None]) & (cheaper | (equal & (self.u[:, None] > self.u[:, :, None])))
        reached = torch.where(again.any(-1) | twin.any(-1), torch.inf, reached)
        new = slice(1 + node * a, 1 + (node + 1) * a)
        self.seen[:, new], self.seen_cost[:, new], self.seen_level[:, new] = key, reached, level
        return reached

    def backup(self, path: Tensor, new: Tensor) -> None:
        """Every edge of the path `[B, D]` gets a visit and the least cost known through it."""
        edges = (self.rows, path, self.best.gather(1, path))  # each [B, D]
        at = torch.cat([path, new], 1)
        total, by = self.total[self.rows, at], self.total[edges]
        # where the path is left at its nodes, and the edges of the new one; an edge is worth the least below it
        aside = total[:, :-1].scatter(-1, edges[2][..., None], torch.inf)
        ways = torch.cat([aside[:, 1:], total[:, -1:]], 1).amin(-1)
        end = ((path != self.bin).sum(1, keepdim=True) - 1).clamp(min=0)
        stays = torch.where(new == self.bin, by.gather(1, end), torch.inf)
        self.total[edges] = torch.minimum(_least_after(ways), stays).where(path != self.bin, torch.inf)
        self.visits[edges] += 1
        self._choose(at)

    def _choose(self, nodes: Tensor) -> None:
        """The action selected at `nodes` `[B, D]`: PUCT."""
        total, visits = self.total[self.rows, nodes], self.visits[self.rows, nodes]  # [B, D, A]
        open_ = total.isfinite()
        low = total.amin(-1, keepdim=True)
        span = torch.where(open_, total, -torch.inf).amax(-1, keepdim=True) - low
        value = 1 - (total - low) / span.clamp(min=1e-9)
        n = visits.sum(-1, keepdim=True)
        bonus = (self.c + ((n + BASE + 1) / BASE).log()) * self.prior[self.rows, nodes] * n.sqrt() / (1 + visits)
        score = torch.where(open_, value + bonus, -torch.inf)
        alike = score >= score.amax(-1, keepdim=True) - TIE
        best = torch.where(alike, self.u[:, None], -1.0).argmax(-1)
        self.best[self.rows, nodes] = best
        self.next[self.rows, nodes] = self.child[self.rows, nodes, best]

    def plan(self) -> Plan:
        """The cheapest way in the tree; of equal ones one that arrives, else the most visited, then by `u`."""
        cost = torch.where(self.arrived, 0.0, self.total[:, 0].amin(-1))[:, None]
        reaches = self.arrived[:, None] | (cost.isfinite() & (self.arrival <= cost * (1 + TIE)))
        ended, node, way = reaches | cost.isinf(), torch.zeros_like(self.rows), []
        while not bool(ended.all()):
            total = self.total[self.rows, node][:, 0]
            alike = total <= total.amin(-1, keepdim=True) * (1 + TIE)
            action = torch.where(alike, self.visits[self.rows, node][:, 0] + self.u, -1.0).argmax(-1, keepdim=True)
            way.append(torch.where(ended, -1, action))
            node = self.child[self.rows, node, action]
            ended = ended | (node == self.bin)
        hoped = F.pad(torch.cat([*way, -torch.ones_like(self.rows)], 1), (0, self.bin), value=-1)[:, : self.bin]
        actions = torch.where(reaches, self.way, hoped)
        return Plan(actions[:, 0], cost[:, 0], actions, reaches[:, 0], self.visits[:, 0].long())


def _least_after(x: Tensor) -> Tensor:
    """The least of `x` `[B, D]` from each place on."""
    return x.flip(1).cummin(1).values.flip(1)


def _spread(x: Tensor, n: int, a: int) -> Tensor:
    return x[:, None, None].expand(-1, n, a, *x.shape[1:]).clone()
