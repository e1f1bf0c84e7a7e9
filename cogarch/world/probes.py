"""What can be read from a code: ridge regression and a small perceptron, fitted in some worlds and scored in others."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cogarch.encoder import mlp

RIDGE = 1e-3
"""Of the variance that a latent should have, 1: what is written a thousand times smaller than that is not read."""
SAMPLES = 2048
"""Of codes that have more numbers than that, at most so many are fitted."""
STEPS, BATCH = 500, 512


def linear_r2(x: Tensor, y: Tensor, x_new: Tensor, y_new: Tensor) -> float:
    """R2 of a ridge regression fitted on x `[n, d]`, y `[n, k]`, scored on new ones; the mean over y's columns."""
    mean_x, mean_y = x.double().mean(0), y.double().mean(0)
    if x.shape[1] > SAMPLES:  # by its dual: as many equations as samples
        chosen = torch.linspace(0, len(x) - 1, min(SAMPLES, len(x))).long()
        a, b = x[chosen].double() - mean_x, y[chosen].double() - mean_y
        weights = a.T @ torch.linalg.solve(a @ a.T + RIDGE * len(a) * torch.eye(len(a), dtype=torch.float64), b)
    else:
        a, b = x.double() - mean_x, y.double() - mean_y
        weights = torch.linalg.solve(a.T @ a + RIDGE * len(a) * torch.eye(a.shape[1], dtype=torch.float64), a.T @ b)
    return r2((x_new.double() - mean_x) @ weights + mean_y, y_new)


def mlp_r2(x: Tensor, y: Tensor, x_new: Tensor, y_new: Tensor, *, seed: int = 0) -> float:
    """The same of a perceptron with one hidden layer of 128."""
    mean, spread = y.float().mean(0), y.float().std(0)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        net = mlp([x.shape[1], 128, y.shape[1]])
        optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
        for step in range(STEPS):
            for group in optimiser.param_groups:
                group["lr"] = 3e-3 * 0.5 * (1 + math.cos(math.pi * step / STEPS))
            pick = torch.randint(len(x), (BATCH,))
            loss = (net(x[pick]) - (y[pick].float() - mean) / spread).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        return r2(net(x_new) * spread + mean, y_new)


def r2(told: Tensor, y: Tensor) -> float:
    """The share of variance explained, the mean over columns; below 0 where the mean would have been better."""
    left = (told.double() - y.double()).square().sum(0)
    return float((1 - left / (y.double() - y.double().mean(0)).square().sum(0)).mean())


def rank(z: Tensor) -> float:
    """RankMe (Garrido et al. 2023): the exponential of the entropy of the singular values of codes `[n, d]`. It has no
    scale: a collapsed code may have the highest."""
    sizes = torch.linalg.svdvals(z.double())
    p = sizes / sizes.sum() + 1e-7
    return float((-(p * p.log()).sum()).exp())


def auroc(odd: Tensor, usual: Tensor) -> float:
    """How often one of `odd` is more than one of `usual` (ties count half): 0.5 tells nothing, 1 tells all."""
    gap = odd.flatten()[:, None] - usual.flatten()
    return float((gap > 0).double().mean() + 0.5 * (gap == 0).double().mean())
