"""Regions of the remembered map: what open ground joins, parted at doors.

The map is a graph of remembered places: `target` `[B, S, A]`, the place (slot of memory) that each action leads to from
each place, -1 where that is unknown or refused; `known` `[B, S]`, which slots hold a place. Moves to slots that hold
none are left out.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph
from torch import Tensor

Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]


def regions(target: Tensor, known: Tensor, *, longer: int = 10, least: int = 6) -> Tensor:
    """The region of each place, int64 `[B, S]`: 0, 1, ... by their first slots, -1 where there is no place.

    Places are of one region where a move joins them that has a way round in fewer than `longer` steps, as all moves in
    the open have (moves count in both directions). What is left are doors, but corridors and hardly walked places, too:
    so a region of fewer than `least` places joins the neighbour to which it has the most moves, of equal ones the
    smallest, for as long as there is one. A room smaller than `least`, or with a way round its door in fewer than
    `longer` steps, is not told from its neighbour; an open field is one region, a maze is cut in pieces of `least` or
    more.

    Edges of short cycles, as in Radicchi et al. (2004), and not modularity: that cuts open rooms in pieces and takes
    small ones together.

    Raises:
        ValueError: shapes and types other than these, a target that is no slot, `longer` below 2 or `least` below 1.
    """
    if longer < 2 or least < 1:
        raise ValueError(f"longer is {longer} and least {least}: a way round has 2 steps or more, a region 1 place")
    leads = leads_on(target, known).cpu().numpy()
    batch, slots, _ = leads.shape
    row, slot, action = np.nonzero(leads)
    # all rows in one graph: no move leads from one to another, so each is as it would be alone
    ends = row * slots + np.stack([slot, target.cpu().numpy()[row, slot, action]])
    u, v = np.unique(np.sort(ends[:, ends[0] != ends[1]], axis=0), axis=1)
    near = _way_round(u, v, batch * slots, longer)
    label = _components(u[near], v[near], batch * slots)
    while True:
        size = np.bincount(label, minlength=len(label))
        between = np.sort(label[[u, v]], axis=0)
        (a, b), moves = np.unique(between[:, between[0] != between[1]], axis=1, return_counts=True)
        small = (size[a] < least) | (size[b] < least)
        if not small.any():
            break
        a, b, moves = a[small], b[small], moves[small]
        rank = np.empty(len(a), np.int64)
        rank[np.lexsort((b, a, size[a] + size[b], -moves))] = np.arange(len(a))
        best = np.full(len(label), len(a))
        np.minimum.at(best, a, rank)
        np.minimum.at(best, b, rank)
        # two small ones join where each is the other's best: else a corridor would become one region at once
        joined = ((best[a] == rank) | (size[a] >= least)) & ((best[b] == rank) | (size[b] >= least))
        label = _components(a[joined], b[joined], len(label))[label]
    label = label.reshape(batch, slots) - slots * np.arange(batch)[:, None]  # the first slot of its region
    there = known.cpu().numpy()
    number = (there & (label == np.arange(slots))).cumsum(axis=1) - 1
    found = np.where(there, np.take_along_axis(number, label, axis=1), -1)
    return torch.from_numpy(found).to(target.device)


def _way_round(u: Ints, v: Ints, n: int, longer: int) -> Bools:
    """Which edges (u, v) of an undirected graph of n nodes have a way round in fewer than `longer` steps."""

    def at(nodes: Ints) -> sparse.csr_array:
        return sparse.csr_array((np.ones(len(nodes)), (np.arange(len(nodes)), nodes)), shape=(len(nodes), n))

    both = np.concatenate([u, v]), np.concatenate([v, u])
    leads = sparse.csr_array((np.ones(len(both[0])), both), shape=(n, n))
    near, left = np.zeros(len(u), np.bool_), np.arange(len(u))
    reached = at(u) @ leads - at(v)  # in a step, but not over the edge itself
    for _ in range(2, longer):
        reached = reached @ leads
        reached = reached - reached.multiply(at(u[left]))  # where walks come back, they could leave over the edge
        reached.eliminate_zeros()
        reached.data[:] = 1.0
        found = reached.multiply(at(v[left])).sum(axis=1) > 0
        near[left[found]] = True
        left, reached = left[~found], reached[~found]
    return near


def _components(u: Ints, v: Ints, n: int) -> Ints:
    """The first node of the connected part of each of n nodes, `[n]`."""
    graph = sparse.csr_array((np.ones(len(u)), (u, v)), shape=(n, n))
    count, part = csgraph.connected_components(graph, directed=False)
    first = np.full(count, n)
    np.minimum.at(first, part, np.arange(n))
    return first[part]


def leads_on(target: Tensor, known: Tensor) -> Tensor:
    """Which moves lead from a known place to a known place, bool `[B, S, A]`.

    Raises:
        ValueError: shapes and types other than those above, a target that is no slot.
    """
    _check(target, known)
    there = known.gather(1, target.clamp(min=0).flatten(1)).view_as(target)
    return (target >= 0) & known[..., None] & there


def _check(target: Tensor, known: Tensor) -> None:
    if target.dtype != torch.int64 or target.dim() != 3 or known.dtype != torch.bool or known.shape != target.shape[:2]:
        raise ValueError(
            f"target {target.dtype} {list(target.shape)} and known {known.dtype} {list(known.shape)}: "
            f"give int64 [B, S, A] and bool [B, S]"
        )
    if not target.numel():
        raise ValueError(f"target is {list(target.shape)}: give a row, a slot and an action or more")
    if int(target.max()) >= target.shape[1] or int(target.min()) < -1:
        raise ValueError(
            f"targets from {int(target.min())} to {int(target.max())}: there are slots 0 to {target.shape[1] - 1}, "
            f"and -1 for no way"
        )
