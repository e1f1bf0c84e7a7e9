"""Attention over a bank of slots: the parts of a memory that have no state."""

from __future__ import annotations

import torch
from torch import Tensor


def put(bank: Tensor, at: tuple[Tensor, ...], x: Tensor) -> Tensor:
    """`bank[at] = x`: in place where gradients are off, for the bus owns the bank and it is large; else a new bank."""
    if torch.is_grad_enabled():
        return bank.index_put(at, x)
    bank[at] = x
    return bank


def dot(bank: Tensor, query: Tensor) -> Tensor:
    return (bank @ query.unsqueeze(-1)).squeeze(-1)  # [B, C, n] x [B, n] -> [B, C]


def mix(weights: Tensor, bank: Tensor) -> Tensor:
    return (weights.unsqueeze(-2) @ bank).squeeze(-2)  # [B, C] x [B, C, n] -> [B, n]


def energy_of(q: Tensor, lse: Tensor) -> Tensor:
    """Of `lse / beta`; an empty memory has none, its energy is that of the opposite of the one thing stored."""
    return 0.5 + 0.5 * q.square().sum(-1) - lse.clamp(min=-1.0)


def softmax(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax and log-sum-exp over the last axis; all weights 0 (and lse -1e30) where no slot may be read."""
    if logits.shape[-1] == 0:
        return logits, logits.new_full(logits.shape[:-1], -1e30)
    top = logits.amax(-1, keepdim=True).clamp(min=-1e30)
    e = (logits - top).exp()
    total = e.sum(-1, keepdim=True).clamp(min=1e-30)  # 0 only where nothing is read, whose log would give NaN gradients
    return e / total, (top + total.log()).squeeze(-1)
