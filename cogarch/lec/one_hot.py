"""One unit a symbol: the sensory code of worlds whose places hold one of a countable number of objects."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from cogarch.module import Messages, Module, Read, Signal, Step


class OneHot(Module):
    """Encodes an integer observation `[B, 1]` as a one-hot code `[B, n_x]`, and decodes what memory recalls.

    `lec/x_predicted` is a distribution over symbols made before seeing; `loss/prediction` its cross-entropy in nats.
    """

    role = "lec"

    def __init__(self, topics: Mapping[str, Signal]) -> None:
        super().__init__()
        seen = topics["env/observation"]
        if seen.dtype != torch.int64 or seen.shape != (1,) or seen.values < 1:
            raise ValueError(
                f"lec/one_hot encodes one integer observation of known range, env/observation is {seen}; "
                "use a world with discrete observations or another lec"
            )
        self.n = seen.values

    def steps(self) -> list[Step]:
        x = Signal((self.n,), cells="LEC sensory cells")
        return [
            Step("encode", {"observation": Read("env/observation", shape=(1,), dtype=torch.int64)}, {"lec/x": x}),
            Step("predict", {"recalled_x": Read("hc/recalled_x", shape=(self.n,))}, {"lec/x_predicted": x}),
            Step("compare", {"x": "lec/x", "x_predicted": "lec/x_predicted"}, {"loss/prediction": Signal(())}),
        ]

    def encode(self, observation: Tensor) -> Messages:
        code = torch.zeros(len(observation), self.n, device=observation.device)
        return {"lec/x": code.scatter_(1, observation, 1.0)}

    def predict(self, recalled_x: Tensor) -> Messages:
        # a trace of the uniform distribution: where nothing is recalled every symbol is as likely
        mass = recalled_x.relu() + 1e-6
        return {"lec/x_predicted": mass / mass.sum(-1, keepdim=True)}

    def compare(self, x: Tensor, x_predicted: Tensor) -> Messages:
        return {"loss/prediction": -(x * x_predicted.log()).sum(-1)}
