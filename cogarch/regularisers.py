"""What keeps a latent from collapsing: losses of a whole batch of codes, each a formula on its own.

Codes are `[T, B, d]`, time first; every function gives a scalar.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-4  # in the square root of a variance
POINTS, REACH = 17, 3.0  # of SIGReg's integral over t, from 0 on


def variance(z: Tensor) -> Tensor:
    """How far each latent falls short of a standard deviation of 1, on average (VICReg, Bardes et al. 2022, eq. 1)."""
    flat = z.flatten(0, -2)
    spread = (flat.var(0, correction=min(1, len(flat) - 1)) + EPSILON).sqrt()  # one code alone has none
    return F.relu(1 - spread).mean()


def covariance(z: Tensor) -> Tensor:
    """The mean square of the covariances between latents (VICReg, eq. 4, over d (d - 1) in place of d)."""
    flat = z.flatten(0, -2)
    flat = flat - flat.mean(0)
    c = flat.T @ flat / max(len(flat) - 1, 1)
    d = len(c)
    return (c.square().sum() - c.diagonal().square().sum()) / max(d * (d - 1), 1)


def slowness(z: Tensor, start: Tensor) -> Tensor:
    """Mean squared change from one tick to the next within an episode (PLDM's time similarity); start `[T, B]` bool."""
    return mean_where((z[1:] - z[:-1]).square().mean(-1), ~start[1:])


def sigreg(z: Tensor, directions: Tensor) -> Tensor:
    """How far codes are from an isotropic standard normal distribution, by Epps and Pulley's test along random lines.

    directions `[d, M]` are brought to unit length; the statistic compares, at each tick, the empirical characteristic
    function of the B projections with that of a normal one, weighed by it, times B (Balestriero & LeCun 2025; as in
    LeWorldModel, 17 points in [0, 3], doubled by symmetry). Without the B, a weight carries to no other batch.
    """
    t = torch.linspace(0, REACH, POINTS, device=z.device)
    normal = (-t.square() / 2).exp()
    weights = torch.full_like(t, 2 * REACH / (POINTS - 1))
    weights[[0, -1]] /= 2
    h = z @ F.normalize(directions, dim=0)  # [T, B, M]
    angles = h.unsqueeze(-1) * t
    real, imaginary = angles.cos().mean(1), angles.sin().mean(1)  # [T, M, points]
    gap = (real - normal).square() + imaginary.square()
    return z.shape[1] * (gap @ (weights * normal)).mean()


def mean_where(x: Tensor, where: Tensor) -> Tensor:
    """The mean where it counts; 0 where nothing does."""
    return (x * where).sum() / where.sum().clamp(min=1)
