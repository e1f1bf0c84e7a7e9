"""Angles that rates tell, and the displacement that differences of phase tell."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

TURN = 2 * math.pi
SHORTER = 1e-6  # of two displacements that agree alike, the shorter
_RIDGE = 1e-9  # where no cell is active, no angle is told, and the step is not infinite


def wrapped(angle: Tensor) -> Tensor:
    """The same angle in [-pi, pi)."""
    return torch.remainder(angle + math.pi, TURN) - math.pi


def angles(g: Tensor, waves: Tensor, mix: Tensor, steps: int) -> Tensor:
    """The angles `[..., D]` that rates `g` `[..., C]` stand for: where their population vectors point, then `steps` of
    Gauss and Newton to those whose rates are the nearest.

    Rates are `relu(basis @ waves)` brought to unit length, `basis` the cosine and sine of each wave `mix @ angles`;
    waves `[2 w, C]`, mix `[w, D]` with the identity on top, all float64. Population vectors are off by up to 0.25 rad
    with the 32 cells of a hexagonal module (the rates are rectified, and the cells few); after 3 steps nothing is off
    by more than 1e-6, with 12 cells after 6. Fewer do not tell all phases. Gradients pass through the last step.
    """
    sums = g @ waves.T
    found = torch.atan2(sums[..., 1::2], sums[..., 0::2])[..., : mix.shape[1]]
    if not steps:
        return found
    g = F.normalize(g, dim=-1)
    with torch.no_grad():
        for _ in range(steps - 1):
            found = found + _step(g, found, waves, mix)
    return found.detach() + _step(g, found, waves, mix)


def _step(g: Tensor, angles: Tensor, waves: Tensor, mix: Tensor) -> Tensor:
    """One of Gauss and Newton's, no longer than half a radian; gradients pass to `g` alone."""
    with torch.no_grad():
        theta = angles @ mix.T  # [..., w]
        cos, sin = theta.cos(), theta.sin()
        rates = (torch.stack([cos, sin], -1).flatten(-2) @ waves).relu()
        length = rates.norm(dim=-1, keepdim=True) + 1e-6
        u = rates / length
        # d basis / d angle, [..., D, 2 w]
        slope = (torch.stack([-sin, cos], -1).unsqueeze(-3) * mix.T[..., None]).flatten(-2)
        change = (slope @ waves) * (rates > 0).unsqueeze(-2) / length.unsqueeze(-2)  # [..., D, C]
        change = change - (change @ u.unsqueeze(-1)) * u.unsqueeze(-2)  # unit length is kept
        square = change @ change.mT + _RIDGE * torch.eye(mix.shape[1], dtype=g.dtype, device=g.device)
        inverse = torch.linalg.inv(square)
    step: Tensor = (inverse @ (change @ (g - u).unsqueeze(-1))).squeeze(-1)
    return step.clamp(-0.5, 0.5)


def displacement(differ: Tensor, waves: Tensor, stages: int, reach: float) -> Tensor:
    """The displacement `[N, 2]` (cells), no longer than `reach`, that differences of phase `[N, W]` (rad) stand for.

    A residue number system (Fiete, Burak & Brookings 2008; Bush et al. 2015 on the vectors). Two coarse waves allow the
    points of a lattice; from each, the others are unwrapped from coarse to fine by the estimate so far, which is
    the least squares of those unwrapped (in `stages` equal parts). Of all these the one that agrees best with all
    waves is taken: the greatest sum of cosines, of equals the shortest. waves `[W, 2]` rad per cell, two or more.
    """
    order = waves.norm(dim=-1).argsort(stable=True)
    waves, differ = waves[order], wrapped(differ[:, order])
    parts = [max(2, len(waves) * (i + 1) // stages) for i in range(stages)]
    n = max(3, parts[0])  # among so many of the coarsest waves, the first and the one most across it
    across = (waves[0, 0] * waves[1:n, 1] - waves[0, 1] * waves[1:n, 0]).abs() / waves[1:n].norm(dim=-1)
    pair = torch.stack([torch.zeros_like(across.argmax()), 1 + across.argmax()])
    cell = torch.linalg.inv(waves[pair])  # [2, 2] cells per rad
    found = (differ[:, pair] @ cell.T)[:, None] + _lattice(TURN * cell, reach)  # [N, C, 2]
    for n in parts:
        turns = ((found @ waves[:n].T - differ[:, None, :n]) / TURN).round().detach()
        found = (differ[:, None, :n] + TURN * turns) @ torch.linalg.pinv(waves[:n]).T
    with torch.no_grad():
        length = found.norm(dim=-1)
        agree = (found @ waves.T - differ[:, None]).cos().mean(-1) - SHORTER * length / reach
        best = torch.where(length <= 1.05 * reach, agree, agree - 2).argmax(-1)  # noise may lengthen it
    way: Tensor = found.gather(1, best[:, None, None].expand(-1, 1, 2))[:, 0]
    return way


def _lattice(basis: Tensor, reach: float) -> Tensor:
    """The points `[C, 2]` of the lattice of columns `basis` that a point of its first cell may be added to."""
    most = basis.norm(dim=0).sum() / 2  # from the middle of the cell to its farthest corner, or farther
    n = (torch.linalg.inv(basis).norm(dim=-1) * (reach + most)).ceil().long().tolist()
    i, j = (torch.arange(-k, k + 1, dtype=basis.dtype, device=basis.device) for k in n)
    points: Tensor = torch.cartesian_prod(i, j) @ basis.T
    return points[points.norm(dim=-1) <= reach + most]
