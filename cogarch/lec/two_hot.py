"""TEM's sensory code: each symbol two units of a few, remembered at several time scales, and read back from memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from cogarch.module import Messages, Module, Read, Signal, State, Step

FILTERS = (0.99, 0.3, 0.09, 0.03, 0.01)


class TwoHot(Module):
    """Encodes a symbol as two active units of `units`, filtered in time once for each frequency of structure.

    After Whittington et al. 2020: `x_f <- (1 - a_f) x_f + a_f x` with learned rates (`lec/x_filtered` `[B, F units]`);
    `lec/x_weighted` is what memory binds, `sigmoid(w_f) unit(relu(x_f - mean))`, the mean over an agent's own units.
    The symbol itself is `lec/x` `[B, n]`, one-hot.

    What a memory recalls in this code is decoded by a learned layer: `lec/x_logits` `[B, n]` and, as a distribution,
    `lec/x_predicted` from the recall by `mec/g_path`, which is made before seeing; `lec/x_logits_by_g` and
    `lec/x_logits_by_p` from the corrected code and from the conjunctions themselves. `lec/error` is half the squared
    error of the symbol that is recalled by its own code: whether memory knows this place by sight.

    A memory that stores symbols (`hc/modern_hopfield` stores `lec/x`) is read through their codes. Losses, in nats:
    `loss/prediction`, `loss/prediction_by_g`, `loss/prediction_by_p` (0 where memory does not recall so).

    Args:
        units: of the code; they tell units * (units - 1) / 2 symbols apart.
        filters: the rates that filters begin with, the highest frequency first.
        hidden: units of the decoder's hidden layer.

    Raises:
        ValueError: observations that are no symbols, more of them than the code has pairs, or as many as units.
    """

    role = "lec"
    over_time = {("encode",): "filter"}

    def __init__(
        self,
        topics: Mapping[str, Signal],
        *,
        units: PositiveInt = 10,
        filters: Sequence[float] = FILTERS,
        hidden: PositiveInt = 200,
    ) -> None:
        super().__init__()
        seen = topics["env/observation"]
        if seen.dtype != torch.int64 or seen.shape != (1,) or seen.values < 1:
            raise ValueError(
                f"lec/two_hot encodes one whole number of known range, env/observation is {seen}; use lec/one_hot"
            )
        self.n, self.units, self.sizes = seen.values, units, (units,) * len(filters)
        pairs = sorted(combinations(range(units), 2), key=lambda pair: (-pair[0], -pair[1]))
        if self.n > len(pairs):
            least = next(u for u in range(units, self.n + 2) if u * (u - 1) // 2 >= self.n)
            raise ValueError(
                f"{self.n} objects, but two of {units} units are {len(pairs)} pairs: give lec.units = {least} or more, "
                f"or a world of at most {len(pairs)} objects"
            )
        if self.n == units:
            raise ValueError(
                f"{units} objects and {units} units: what a memory recalls could be an object or its code; give "
                f"lec.units = {units + 1}"
            )
        if not filters or not all(0 < a < 1 for a in filters):
            raise ValueError(f"lec.filters is {list(filters)}: give rates between 0 and 1, one a frequency")
        table = torch.zeros(self.n, units)
        table[torch.arange(self.n)[:, None], torch.tensor(pairs[: self.n])] = 1.0
        self.table: Tensor
        self.register_buffer("table", table, persistent=False)
        self.filter_rate = nn.Parameter(torch.logit(torch.tensor(filters)))  # through a sigmoid
        self.weight = nn.Parameter(torch.ones(len(filters)))
        self.gain, self.offset = nn.Parameter(torch.ones(())), nn.Parameter(torch.zeros(units))
        self.decoder = nn.Sequential(nn.Linear(units, hidden), nn.ELU(), nn.Linear(hidden, self.n))

    def steps(self) -> list[Step]:
        x = Signal((self.n,), cells="LEC sensory cells")
        code = Signal((sum(self.sizes),), cells="LEC sensory cells, filtered", modules=self.sizes)
        logits = Signal((self.n,))
        others = {
            "by_g": Read("hc/recalled_x_by_g", shape=(self.units,), optional=True),
            "by_p": Read("hc/x_in_p", shape=(self.units,), optional=True),
        }
        # whether memory knows the place steers the correction of g; what it should recall is not taught by that
        by_x = Read("hc/recalled_x_by_x", grad=False, shape=(self.units,), optional=True)
        predictions = {"lec/x_logits": logits, "lec/x_predicted": x, "loss/prediction": Signal(())}
        after = {f"lec/x_logits_{by}": logits for by in others} | {f"loss/prediction_{by}": Signal(()) for by in others}
        return [
            Step(
                "encode",
                {"observation": Read("env/observation", dtype=torch.int64)},
                {"lec/x": x, "lec/x_filtered": code, "lec/x_weighted": code},
                state=True,
            ),
            Step("recognise", {"x": "lec/x", "by_x": by_x}, {"lec/error": Signal()}),
            Step("predict", {"x": "lec/x", "recalled_x": "hc/recalled_x"}, predictions),
            Step("decode", {"x": "lec/x", **others}, after),
        ]

    def init(self, batch: int) -> State:
        """`filtered` `[B, F, units]`."""
        return {"filtered": torch.zeros(batch, len(self.sizes), self.units)}

    def encode(self, state: State, observation: Tensor) -> tuple[Messages, State]:
        writes, state = self.filter(state, observation[None])
        return {topic: x[0] for topic, x in writes.items()}, state

    def filter(self, state: State, observation: Tensor) -> tuple[Messages, State]:
        """A walk `[T, B, 1]` at once: only the filters are a recurrence."""
        code, rate = self.table[observation[..., 0]], torch.sigmoid(self.filter_rate)[:, None]
        filtered, all_ = state["filtered"], []
        for x in code:  # [B, units]
            filtered = (1 - rate) * filtered + rate * x[:, None]
            all_.append(filtered)
        x_f = torch.stack(all_)  # [T, B, F, units]
        unit = F.normalize(torch.relu(x_f - x_f.mean(-1, keepdim=True)), dim=-1)
        weighted = torch.sigmoid(self.weight)[:, None] * unit
        writes = {
            "lec/x": F.one_hot(observation[..., 0], self.n).float(),
            "lec/x_filtered": x_f.flatten(-2),
            "lec/x_weighted": weighted.flatten(-2),
        }
        return writes, {"filtered": filtered}

    def recognise(self, x: Tensor, by_x: Tensor | None = None) -> Messages:
        """How wrong `[B, 1]` memory is of what is seen, when asked by sight: `by_x` `[B, units]`, None = no memory."""
        with torch.no_grad():
            known = torch.zeros_like(x) if by_x is None else self._logits(by_x).softmax(-1)
            return {"lec/error": 0.5 * (x - known).square().sum(-1, keepdim=True)}

    def predict(self, x: Tensor, recalled_x: Tensor) -> Messages:
        """From what was recalled before seeing: a code `[B, units]`, or symbols `[B, n]`."""
        logits = self._logits(recalled_x if recalled_x.shape[-1] == self.units else recalled_x @ self.table)
        predicted = logits.log_softmax(-1)
        return {
            "lec/x_logits": logits,
            "lec/x_predicted": predicted.exp(),
            "loss/prediction": -(x * predicted).sum(-1),
        }

    def decode(self, x: Tensor, by_g: Tensor | None = None, by_p: Tensor | None = None) -> Messages:
        """From what was recalled after seeing, `[B, units]` each."""
        writes: Messages = {}
        for name, recalled in (("by_g", by_g), ("by_p", by_p)):
            logits = torch.zeros_like(x) if recalled is None else self._logits(recalled)
            loss = torch.zeros_like(x[..., 0]) if recalled is None else -(x * logits.log_softmax(-1)).sum(-1)
            writes |= {f"lec/x_logits_{name}": logits, f"loss/prediction_{name}": loss}
        return writes

    def _logits(self, recalled: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.gain * recalled + self.offset)
        return logits
