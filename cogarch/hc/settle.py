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
        self.n, self.width = sum(sizes), max(sizes)
        self.ends = tuple(accumulate(sizes))
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

    def spread(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors `[B, m, n]` as `[B, F m, n]` each, such that their outer products summed are those where blocks are:
        for each block, what of `pre` it receives from, and what of `post` it is."""
        if len(self) == 1:
            return pre, post
        heard, own = self._masks(pre)
        return (pre[:, None] * heard).flatten(1, 2), (post[:, None] * own).flatten(1, 2)

    def gather(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient of what was spread, `[B, F m, n]` each, as that of the vectors `[B, m, n]`."""
        if len(self) == 1:
            return pre, post
        heard, own = self._masks(pre)
        pre, post = (x.view(len(x), len(self), -1, self.n) for x in (pre, post))
        return (pre * heard).sum(1), (post * own).sum(1)

    def _masks(self, like: Tensor) -> tuple[Tensor, Tensor]:
        unit = torch.arange(self.n, device=like.device)
        start, end = (torch.tensor(ends, device=like.device)[:, None, None] for ends in (self.starts, self.ends))
        heard = unit >= start  # [F, 1, n]
        return heard.to(like.dtype), (heard & (unit < end)).to(like.dtype)


class Settle(torch.autograd.Function):
    """`h <- rectify(kappa h + h M)`, begun at `rectify(query)`, for M = scale * blocks + sum of strength * pre x post.

    `counts` are the blocks that still change at each iteration: a low frequency settles in fewer. Of the gradient, what
    goes through the matrix is `dz M'`; that of the vectors is gathered over all iterations in two products. The
    gradient of the blocks themselves is made only where they ask for it.
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
        h = rectify(query)
        window: tuple[Tensor, ...] = ()
        if m:
            pre, post = torch.stack(rest[f : f + m], 1), torch.stack(rest[f + m :], 1) * strength[..., None]
            window = pre, post = layout.spread(pre, post)
            heard = pre.mT
        trace, driven, scores = [], [], []
        for count in counts:
            end = layout.ends[count - 1]
            scaled = h * scale
            parts = [
                torch.baddbmm(h.narrow(2, a, b - a), scaled.narrow(2, a, n - a), block, beta=kappa)
                for (a, b), block in zip(layout.spans[:count], blocks, strict=False)
            ]
            z = parts[0] if count == 1 else torch.cat(parts, -1)
            if m:
                few = count * m
                score = torch.bmm(h, heard.narrow(2, 0, few))  # [B, Q, count m]
                z.baddbmm_(score, post.narrow(1, 0, few).narrow(2, 0, end))
                scores.append(F.pad(score, (0, (f - count) * m)))
            trace.append(h)
            driven.append(z)
            new = rectify(z)
            h = new if end == n else torch.cat([new, h.narrow(2, end, n - end)], -1)
        ctx.save_for_backward(query, scale, strength, *window, *driven, *trace, *scores, *blocks)
        ctx.layout, ctx.counts, ctx.kappa = layout, counts, kappa
        return h

    @staticmethod
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor | None, ...]:
        layout, counts, n = ctx.layout, ctx.counts, ctx.layout.n
        steps, f = len(counts), len(layout)
        query, scale, strength, *saved = ctx.saved_tensors
        m = strength.shape[1]
        pre, post, *saved = saved if m else (None, None, *saved)
        driven, trace, scores, blocks = (
            saved[:steps], saved[steps : 2 * steps], saved[2 * steps : len(saved) - f], saved[len(saved) - f :]
        )  # fmt: skip
        dzs, to_scores = [], []  # of each iteration, last first
        for i in reversed(range(steps)):
            count, end = counts[i], layout.ends[counts[i] - 1]
            dz = _unrectify(dh if end == n else dh.narrow(2, 0, end), driven[i])
            scaled = dz * scale
            back = dz * ctx.kappa
            if end < n:
                back = torch.cat([back, dh.narrow(2, end, n - end)], -1)
                dz = F.pad(dz, (0, n - end))
            for (a, b), block in zip(layout.spans[:count], blocks, strict=False):
                # not baddbmm_: into a part of a tensor it goes row by row
                back.narrow(2, a, n - a).add_(torch.bmm(scaled.narrow(2, a, b - a), block.mT))
            if m:
                few = count * m
                to_score = torch.bmm(dz, post.narrow(1, 0, few).mT)
                back.baddbmm_(to_score, pre.narrow(1, 0, few))
                to_scores.append(F.pad(to_score, (0, (f - count) * m)))
            dzs.append(dz)
            dh = back
        vectors: tuple[Tensor | None, ...] = ()
        made: tuple[Tensor | None, ...] = (None,) * f
        if m or any(ctx.needs_input_grad[6 : 6 + f]):
            dz_all, h_all = torch.cat(dzs, 1), torch.cat(trace[::-1], 1)  # [B, steps Q, n]
        if m:
            dpre, dpost = torch.cat(to_scores, 1).mT @ h_all, torch.cat(scores[::-1], 1).mT @ dz_all
            dpre, dpost = layout.gather(dpre, dpost)
            vectors = (*dpre.unbind(1), *(dpost * strength[..., None]).unbind(1))
        if any(ctx.needs_input_grad[6 : 6 + f]):
            made = layout.outer(h_all, dz_all * scale)
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
