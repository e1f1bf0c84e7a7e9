"""One unit a symbol: the sensory code of worlds in which countably many things can be seen."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import PositiveInt
from torch import Tensor

from cogarch.module import Messages, Module, Read, Signal, State, Step


class OneHot(Module):
    """Encodes what is seen as a one-hot code, and decodes what memory recalls.

    Whole-number observations `[B, 1]` of known range are their own code. Symbolic views (`uint8`, such as MiniGrid's
    `[B, 7, 7, 3]`) get theirs from an exact table that grows within a world: the first view seen is code 0, the next
    new one code 1, up to `codes` of them (hashing into as many would make a third of a world's views share one). A
    view beyond them has no code: all zeros, said once.

    `lec/x_predicted` is a distribution over symbols made before seeing; `loss/prediction` its cross-entropy in nats.
    """

    role = "lec"

    def __init__(self, topics: Mapping[str, Signal], *, codes: PositiveInt = 1024) -> None:
        super().__init__()
        self.seen = topics["env/observation"]
        self.views = self.seen.dtype == torch.uint8
        if not self.views and (self.seen.dtype != torch.int64 or self.seen.shape != (1,) or self.seen.values < 1):
            raise ValueError(
                f"lec/one_hot encodes one whole number of known range or a symbolic view (uint8), env/observation is "
                f"{self.seen}; use another world or another lec"
            )
        self.n = codes if self.views else self.seen.values
        if self.views:
            self.over_time = {("look_up",): "look_up_all"}
            # odd multipliers of the hash by which views are compared; equality is then proved view by view
            g = torch.Generator().manual_seed(0)
            mixer = torch.randint(-(2**62), 2**62, (math.prod(self.seen.shape),), generator=g) * 2 + 1
            self.mixer: Tensor
            self.register_buffer("mixer", mixer, persistent=False)

    def steps(self) -> list[Step]:
        x = Signal((self.n,), cells="LEC sensory cells")
        seen = {"observation": Read("env/observation", shape=self.seen.shape, dtype=self.seen.dtype)}
        return [
            Step("look_up", seen, {"lec/x": x}, state=True) if self.views else Step("encode", seen, {"lec/x": x}),
            Step("predict", {"recalled_x": Read("hc/recalled_x", shape=(self.n,))}, {"lec/x_predicted": x}),
            Step("compare", {"x": "lec/x", "x_predicted": "lec/x_predicted"}, {"loss/prediction": Signal(())}),
        ]

    def init(self, batch: int) -> State:
        """`table` `[B, codes, pixels]`, of which the first `known` `[B]` are views; `uncoded` views came after them."""
        if not self.views:
            return {}
        return {
            "table": torch.zeros(batch, self.n, math.prod(self.seen.shape), dtype=torch.uint8),
            "known": torch.zeros(batch, dtype=torch.int64),
            "uncoded": torch.zeros(batch, dtype=torch.int64),
        }

    def notice(self, state: State) -> str | None:
        if not self.views or not int(state["uncoded"].sum()):
            return None
        return f"all {self.n} codes are taken: new views have no code and cannot be told apart; raise lec.codes"

    def encode(self, observation: Tensor) -> Messages:
        return {"lec/x": self._one_hot(observation)}

    def look_up(self, state: State, observation: Tensor) -> tuple[Messages, State]:
        view, known = observation.flatten(1), state["known"]
        rows = torch.arange(len(view), device=view.device)
        used = int(known.max())
        same = (state["table"][:, :used] == view[:, None]).all(-1)
        same &= torch.arange(used, device=view.device) < known[:, None]
        found = same.any(-1)
        code = torch.where(found, same.float().argmax(-1), known) if used else known
        new, room = ~found, known < self.n
        at = known.clamp(max=self.n - 1)
        table = state["table"].clone() if torch.is_grad_enabled() else state["table"]
        table[rows, at] = torch.where((new & room)[:, None], view, table[rows, at])
        state = {"table": table, "known": known + (new & room), "uncoded": state["uncoded"] + (new & ~room)}
        return {"lec/x": self._one_hot(code[:, None])}, state

    def look_up_all(self, state: State, observation: Tensor) -> tuple[Messages, State]:
        """A walk `[T, B, ...]` at once: equal views by their hash, codes in the order of first sight."""
        views = observation.flatten(2).transpose(0, 1)  # [B, T, pixels]
        codes, tables, counts, lost = [], [], [], []
        for row, seen in enumerate(views):
            known = int(state["known"][row])
            all_ = torch.cat([state["table"][row, :known], seen])
            _, same = torch.unique((all_ * self.mixer).sum(-1), return_inverse=True)
            position = torch.arange(len(all_), device=all_.device)
            first = position.new_full((int(same.max()) + 1,), len(all_)).scatter_reduce(0, same, position, "amin")
            if not torch.equal(all_[first[same]], all_):  # two views of one hash: once in 2^64 pairs
                raise RuntimeError("two views share a 64-bit hash; tick this walk instead of playing it")
            code = first.argsort().argsort()[same][known:]
            new = all_[first.sort().values]  # every view once, in order of first sight
            table = state["table"][row].clone()
            table[: len(new)] = new[: self.n]
            codes.append(code)
            tables.append(table)
            counts.append(min(len(new), self.n))
            lost.append(int((code >= self.n).sum()))
        made = {
            "table": torch.stack(tables),
            "known": torch.tensor(counts, device=observation.device),
            "uncoded": state["uncoded"] + torch.tensor(lost, device=observation.device),
        }
        return {"lec/x": self._one_hot(torch.stack(codes, 1).unsqueeze(-1))}, made

    def predict(self, recalled_x: Tensor) -> Messages:
        # a trace of the uniform distribution: where nothing is recalled every symbol is as likely
        mass = recalled_x.relu() + 1e-6
        return {"lec/x_predicted": mass / mass.sum(-1, keepdim=True)}

    def compare(self, x: Tensor, x_predicted: Tensor) -> Messages:
        return {"loss/prediction": -(x * x_predicted.log()).sum(-1)}

    def _one_hot(self, code: Tensor) -> Tensor:
        """`[..., 1]` whole numbers as `[..., n]`; all zeros from `n` on."""
        x = torch.zeros(*code.shape[:-1], self.n + self.views, device=code.device)
        return x.scatter_(-1, code.clamp(max=self.n) if self.views else code, 1.0)[..., : self.n]
