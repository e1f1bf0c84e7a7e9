"""The attractor of a Hebbian memory, with a backward pass of its own: no gradient of a whole matrix is ever made."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SLOPE = 0.01
"""Of the leaky rectifier below 0."""


def rectify(z: Tensor) -> Tensor:
    """The activation of conjunctive cells: clamped to [-1, 1], then a leaky rectifier."""
    return F.leaky_relu(F.hardtanh(z), SLOPE)


class Blocks:
    """Units parted into blocks, of which one receives from itself and those after it: low frequencies drive high ones.

    A matrix `[B, n, n]` (from, to) is kept as the blocks that are not zero, one a receiving block: `[B, n - start,
    size]`. One block of all units is a whole matrix.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self.n, self.ends = sum(sizes), tuple(accumulate(sizes))
        self.starts = (0, *self.ends[:-1])
        self.spans = tuple(zip(self.starts, self.ends, strict=True))

    def __len__(self) -> int:
        return len(self.sizes)

    def empty(self, batch: int) -> tuple[Tensor, ...]:
        """A matrix of zeros."""
        return tuple(torch.zeros(batch, self.n - a, b - a) for a, b in self.spans)

    def outer(self, pre: Tensor, post: Tensor) -> tuple[Tensor, ...]:
        """The sum of the outer products of `pre` and `post` `[B, m, n]`, where blocks are."""
        return tuple(pre[..., a:].mT @ post[..., a:b] for a, b in self.spans)

    def dense(self, blocks: Sequence[Tensor]) -> Tensor:
        """`[B, n, n]`."""
        return torch.cat([F.pad(m, (0, 0, a, 0)) for m, a in zip(blocks, self.starts, strict=True)], -1)


class Settle(torch.autograd.Function):
    """`h <- rectify(kappa h + h M)`, begun at `rectify(query)`, for M = scale * blocks + sum of strength * pre x post.

    `counts` are the blocks that still change at each iteration, no more than at the one before: a low frequency settles
    in fewer. Of the gradient, what goes through the matrix is `dz M'`; that of the vectors is gathered over all
    iterations in two products a block. The gradient of the blocks themselves is made only where they ask for it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        scale: Tensor,
        strength: Tensor,
        layout: Blocks,
        counts: Sequence[int],
        kappa: float,
        *rest: Tensor,
    ) -> Tensor:
        """query `[B, Q, n]`, scale `[B]`, strength `[B, m]`; rest: the blocks, m of pre and m of post `[B, n]`."""
        f, m, n = len(layout), strength.shape[1], layout.n
        blocks, scale = rest[:f], scale[:, None, None]
        window: tuple[Tensor, ...] = ()
        if m:
            window = pre, post = torch.stack(rest[f : f + m], 1), torch.stack(rest[f + m :], 1) * strength[..., None]
        h = rectify(query)
        trace, driven = [], []
        scores: list[list[Tensor]] = [[] for _ in blocks]  # of each block, at each iteration `[B, Q, m]`
        for count in counts:
            end, scaled, parts = layout.ends[count - 1], h * scale, []
            for i, (a, b) in enumerate(layout.spans[:count]):
                z = torch.baddbmm(h[..., a:b], scaled[..., a:], blocks[i], beta=kappa)
                if m:
                    scores[i].append(torch.bmm(h[..., a:], pre[..., a:].mT))
                    z.baddbmm_(scores[i][-1], post[..., a:b])
                parts.append(z)
            z = parts[0] if count == 1 else torch.cat(parts, -1)
            trace.append(h)
            driven.append(z)
            new = rectify(z)
            h = new if end == n else torch.cat([new, h[..., end:]], -1)
        flat = [score for of_block in scores for score in of_block]
        ctx.save_for_backward(query, scale, strength, *window, *driven, *trace, *flat, *blocks)
        ctx.layout, ctx.counts, ctx.kappa = layout, counts, kappa
        return h

    @staticmethod
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor | None, ...]:
        layout, counts, n = ctx.layout, ctx.counts, ctx.layout.n
        steps, f = len(counts), len(layout)
        query, scale, strength, *saved = ctx.saved_tensors
        m = strength.shape[1]
        pre, post, *saved = saved if m else (None, None, *saved)
        driven, trace, flat, blocks = (
            saved[:steps], saved[steps : 2 * steps], iter(saved[2 * steps : len(saved) - f]), saved[len(saved) - f :]
        )  # fmt: skip
        dzs: list[list[Tensor]] = [[] for _ in blocks]  # of each block, the last iteration first
        to_scores: list[list[Tensor]] = [[] for _ in blocks]
        for z, count in zip(reversed(driven), reversed(counts), strict=True):
            end = layout.ends[count - 1]
            dz = _unrectify(dh if end == n else dh[..., :end], z)
            scaled, kept = dz * scale, dz * ctx.kappa
            dh = kept if end == n else torch.cat([kept, dh[..., end:]], -1)
            for i, (a, b) in enumerate(layout.spans[:count]):
                own = dz[..., a:b]
                heard = torch.bmm(scaled[..., a:b], blocks[i].mT)
                if m:
                    to_scores[i].append(torch.bmm(own, post[..., a:b].mT))
                    heard.baddbmm_(to_scores[i][-1], pre[..., a:])
                dzs[i].append(own)
                dh[..., a:].add_(heard)  # not baddbmm_: into a part of a tensor it goes row by row
        asked = ctx.needs_input_grad[6 : 6 + f]
        made = [torch.zeros_like(x) if wanted else None for x, wanted in zip(blocks, asked, strict=True)]
        dpre, dpost = (query.new_zeros(len(query), m, n) for _ in (pre, post))
        for i, (a, b) in enumerate(layout.spans):
            took = len(dzs[i])  # it took part in the first iterations
            if not took:
                continue
            h, dz = torch.cat([x[..., a:] for x in trace[took - 1 :: -1]], 1), torch.cat(dzs[i], 1)  # [B, took Q, ...]
            if m:
                score = torch.cat([next(flat) for _ in range(took)][::-1], 1)
                dpre[..., a:].add_(torch.cat(to_scores[i], 1).mT @ h)
                dpost[..., a:b] = score.mT @ dz
            if asked[i]:
                made[i] = h.mT @ (dz * scale)
        vectors = (*dpre.unbind(1), *(dpost * strength[..., None]).unbind(1))
        return _unrectify(dh, query), None, None, None, None, None, *made, *vectors


def settle(
    query: Tensor,
    scale: Tensor,
    strength: Tensor,
    pre: Sequence[Tensor],
    post: Sequence[Tensor],
    layout: Blocks,
    counts: Sequence[int],
    kappa: float,
    blocks: Sequence[Tensor],
) -> Tensor:
    """What `query` `[B, Q, n]` settles to, `[B, Q, n]`: see `Settle`."""
    settled: Tensor = Settle.apply(query, scale, strength, layout, counts, kappa, *blocks, *pre, *post)  # type: ignore[no-untyped-call]
    return settled


def settle_plainly(query: Tensor, matrix: Tensor, layout: Blocks, counts: Sequence[int], kappa: float) -> Tensor:
    """The same by a whole matrix `[B, n, n]` and torch's own gradients: the definition, to check against."""
    h = rectify(query)
    for count in counts:
        end = layout.ends[count - 1]
        moved = rectify(kappa * h + h @ matrix)
        h = torch.cat([moved[..., :end], h[..., end:]], -1)
    return h


def _unrectify(grad: Tensor, z: Tensor) -> Tensor:
    """The gradient of `rectify(z)` taken back to z."""
    passed: Tensor = torch.ops.aten.leaky_relu_backward(grad, z, SLOPE, False)
    back: Tensor = torch.ops.aten.hardtanh_backward(passed, z, -1.0, 1.0)
    return back
