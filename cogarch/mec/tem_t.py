"""TEM-t's structural code: a learned matrix for each action, and correction by places that look the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from cogarch.module import Messages, Module, Read, Share, Signal, State, Step


class TEMt(Module):
    """A structural code moved by a learned matrix for each action (Whittington, Warren & Behrens 2022).

    `transition="orthogonal"`: `g_t = g_{t-1} R_a` with `R_a = exp(S_a - S_a')`, a rotation, so the code keeps its unit
    length at any age. `transition="free"`: `g_t = normalise(relu(g_{t-1} W_a + b_a))`; normalising inside the
    recurrence keeps it from growing without bound (free matrices reach NaN). A refused move leaves the code alone.

    With `correct` > 0 the code moves by that share of the way to what memory recalls of a place that looks the same,
    where that is like it by `sure` or more (`hc/recalled_g` and `hc/recognised`, of a memory with `landmark`). Without,
    path integration drifts as the walk goes on. `loss/g` is half the squared distance of the code before and after.

    `loss/g_negative` is the sum of what is negative in `mec/g`: weighed by a training, cells turn non-negative.
    """

    role = "mec"

    def __init__(
        self,
        topics: Mapping[str, Signal],
        *,
        n: PositiveInt = 128,
        transition: Literal["orthogonal", "free"] = "orthogonal",
        correct: Share = 0.0,
        sure: float = 0.8,
    ) -> None:
        super().__init__()
        self.n, self.actions = n, topics["env/action"].values
        self.orthogonal, self.correct_by, self.sure = transition == "orthogonal", correct, sure
        if self.orthogonal:
            self.skew = nn.Parameter(0.05 * torch.randn(self.actions, n, n))  # [A, n, n]
            self.start = nn.Parameter(torch.randn(n))
        else:
            self.transition = nn.Parameter(torch.eye(n) + 0.1 * torch.randn(self.actions, n, n) / math.sqrt(n))
            self.bias = nn.Parameter(torch.zeros(self.actions, n))
            self.start = nn.Parameter(torch.rand(n))
        if not correct:
            self.over_time = {("move",): "walk"}

    def steps(self) -> list[Step]:
        g = Signal((self.n,), cells="MEC structural cells (TEM-t)")
        reads = {"action": Read("env/action", dtype=torch.int64), "bump": Read("env/bump", dtype=torch.bool)}
        losses = {"loss/g": Signal(()), "loss/g_negative": Signal(())}
        if not self.correct_by:
            return [Step("move", reads, {"mec/g_path": g, "mec/g": g, **losses}, state=True)]
        recalled = {
            "recalled_g": Read("hc/recalled_g", shape=(self.n,)),
            "recognised": Read("hc/recognised", grad=False, shape=(1,)),
        }
        return [
            Step("move", reads, {"mec/g_path": g}, state=True),
            Step("correct", {"g_path": "mec/g_path", **recalled}, {"mec/g": g, **losses}, state=True),
        ]

    def init(self, batch: int) -> State:
        """`g` `[B, n]`, of unit length."""
        start = self.start if self.orthogonal else self.start.relu()
        return {"g": F.normalize(start, dim=-1).expand(batch, -1)}

    def move(self, state: State, action: Tensor, bump: Tensor) -> tuple[Messages, State]:
        g = self._moved(state["g"], action, bump)
        writes = {"mec/g_path": g}
        return writes if self.correct_by else writes | {"mec/g": g, **self._losses(g, g)}, {"g": g}

    def correct(self, state: State, g_path: Tensor, recalled_g: Tensor, recognised: Tensor) -> tuple[Messages, State]:
        share = self.correct_by * (recognised >= self.sure)
        g = F.normalize(g_path + share * (F.normalize(recalled_g, dim=-1) - g_path), dim=-1)
        return {"mec/g": g, **self._losses(g_path, g)}, {"g": g}

    def walk(self, state: State, action: Tensor, bump: Tensor) -> tuple[Messages, State]:
        """A whole walk `[T, B, 1]`: a recurrence, with the matrices made and laid side by side once."""
        g, said = state["g"], []
        for t in range(len(action)):
            g = self._moved(g, action[t], bump[t])
            said.append(g)
        all_ = torch.stack(said)
        return {"mec/g_path": all_, "mec/g": all_, **self._losses(all_, all_)}, {"g": g}

    def ahead(self, g: Tensor, action: Tensor, motion: Tensor) -> Tensor:
        """See `Imaginable`; moved by the action alone."""
        return self._moved(g, action, torch.zeros_like(action, dtype=torch.bool))

    def _matrices(self) -> Tensor:
        """`[n, A n]`: all actions at once is one product, cheaper than a matrix gathered for each row."""
        matrices = torch.matrix_exp(self.skew - self.skew.mT) if self.orthogonal else self.transition
        return matrices.transpose(0, 1).flatten(1)

    def _moved(self, g: Tensor, action: Tensor, bump: Tensor) -> Tensor:
        stays = (action < 0) | bump  # [B, 1]
        a = action.clamp(min=0)[..., None].expand(-1, 1, self.n)
        there = (g @ self.once("matrices", self._matrices)).view(-1, self.actions, self.n)  # [B, A, n]
        if self.orthogonal:
            return torch.where(stays, g, there.gather(1, a)[:, 0])
        moved = (there + self.bias).gather(1, a)[:, 0].relu()
        return torch.where(stays, g, F.normalize(moved, dim=-1, eps=1e-6))

    def _losses(self, g_path: Tensor, g: Tensor) -> Messages:
        return {"loss/g": 0.5 * (g - g_path).square().sum(-1), "loss/g_negative": (-g).relu().sum(-1)}
