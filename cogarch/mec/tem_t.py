"""TEM-t's structural code in its first form: one matrix an action, the code brought to unit length at every step."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from cogarch.module import Messages, Module, Read, Signal, State, Step


class TEMt(Module):
    """A structural code that learns a matrix for each action (TEM-t, first form).

    `g_t = normalise(relu(g_{t-1} W_a + b_a))`, after Whittington et al. 2022; a refused move leaves it alone.
    Normalising inside the recurrence keeps it from growing without bound (free matrices reach NaN). Nothing here
    corrects the code by what is seen, so path integration drifts as the walk goes on.
    """

    role = "mec"
    over_time = {("move",): "walk"}

    def __init__(self, topics: Mapping[str, Signal], *, n: PositiveInt = 128) -> None:
        super().__init__()
        self.n, self.actions = n, topics["env/action"].values
        near_identity = torch.eye(n) + 0.1 * torch.randn(self.actions, n, n) / math.sqrt(n)
        self.transition = nn.Parameter(near_identity)  # [A, n, n]
        self.bias = nn.Parameter(torch.zeros(self.actions, n))
        self.start = nn.Parameter(torch.rand(n))

    def steps(self) -> list[Step]:
        g = Signal((self.n,), cells="MEC structural cells (TEM-t)")
        reads = {"action": Read("env/action", dtype=torch.int64), "bump": Read("env/bump", dtype=torch.bool)}
        return [Step("move", reads, {"mec/g_path": g, "mec/g": g}, state=True)]

    def init(self, batch: int) -> State:
        """`g` `[B, n]`, of unit length."""
        return {"g": F.normalize(self.start.relu(), dim=-1).expand(batch, -1)}

    def move(self, state: State, action: Tensor, bump: Tensor) -> tuple[Messages, State]:
        g = self._moved(state["g"], action, bump, self._matrices())
        return {"mec/g_path": g, "mec/g": g}, {"g": g}

    def walk(self, state: State, action: Tensor, bump: Tensor) -> tuple[Messages, State]:
        """A whole walk `[T, B, 1]`: a recurrence, but with the matrices laid side by side once."""
        g, said, matrices = state["g"], [], self._matrices()
        for t in range(len(action)):
            g = self._moved(g, action[t], bump[t], matrices)
            said.append(g)
        all_ = torch.stack(said)
        return {"mec/g_path": all_, "mec/g": all_}, {"g": g}

    def _matrices(self) -> Tensor:
        """`[n, A * n]`: all actions at once is one product, cheaper than a matrix gathered for each row."""
        return self.transition.permute(1, 0, 2).flatten(1)

    def _moved(self, g: Tensor, action: Tensor, bump: Tensor, matrices: Tensor) -> Tensor:
        stays = (action < 0) | bump  # [B, 1]
        a = action.clamp(min=0)[..., None].expand(-1, 1, self.n)
        there = torch.addmm(self.bias.flatten(), g, matrices).view(-1, self.actions, self.n)  # [B, A, n]
        return torch.where(stays, g, F.normalize(there.gather(1, a)[:, 0].relu(), dim=-1, eps=1e-6))
