"""An LSTM as structural code: the baseline that path-integrates without any built-in structure."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from cogarch.module import Messages, Module, Read, Signal, State, Step


class Recurrent(Module):
    """The hidden state of an LSTM, driven by the action and by whether it was refused (Hochreiter & Schmidhuber 1997).

    With the default `n` and four actions it has 60,960 parameters, `tem_t` with its own 66,176.
    """

    role = "mec"
    over_time = {("move",): "walk"}

    def __init__(self, topics: Mapping[str, Signal], *, n: PositiveInt = 120) -> None:
        super().__init__()
        self.n, self.actions = n, topics["env/action"].values
        self.lstm = nn.LSTM(self.actions + 1, n)

    def steps(self) -> list[Step]:
        g = Signal((self.n,), cells="MEC recurrent cells (LSTM)")
        reads = {"action": Read("env/action", dtype=torch.int64), "bump": Read("env/bump", dtype=torch.bool)}
        return [Step("move", reads, {"mec/g_path": g, "mec/g": g}, state=True)]

    def init(self, batch: int) -> State:
        """`hidden` and `cell` `[B, n]`."""
        return {"hidden": torch.zeros(batch, self.n), "cell": torch.zeros(batch, self.n)}

    def move(self, state: State, action: Tensor, bump: Tensor) -> tuple[Messages, State]:
        writes, state = self.walk(state, action[None], bump[None])
        return {topic: g[0] for topic, g in writes.items()}, state

    def walk(self, state: State, action: Tensor, bump: Tensor) -> tuple[Messages, State]:
        """A whole walk `[T, B, 1]` in one call."""
        taken = F.one_hot(action[..., 0] + 1, self.actions + 1)[..., 1:].float()  # all zero at a start
        felt = torch.cat([taken, bump.float()], -1)
        g, (hidden, cell) = self.lstm(felt, (state["hidden"][None], state["cell"][None]))
        return {"mec/g_path": g, "mec/g": g}, {"hidden": hidden[0], "cell": cell[0]}
