"""A sparse code of random connections, as in the olfactory circuit of the fly: like what is like, nothing learned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor

from cogarch.encoder import measured, numbers
from cogarch.module import Messages, Module, Read, Signal, Step

Part = Annotated[float, Field(gt=0, le=1)]  # a setting


class FlyHash(Module):
    """Expands what is sensed by sparse random connections and keeps the strongest cells (Dasgupta et al. 2017).

    Each of `cells` sums a random `sampled` share of the inputs, of which their mean was taken away; the `active` share
    with the largest sums are on, all alike, and the code is of unit length. Observations that are alike share many of
    their cells. Takes whatever `cogarch.encoder` does: symbols, features, views, pixels.

    `lec/x_predicted` is what memory recalls, brought to unit length, and `loss/prediction` is 1 minus its likeness
    (cosine) to the code. The code is continuous (unit "code"): a prediction is right where no other view that the world
    has shown is more like it.
    """

    role = "lec"

    def __init__(
        self, topics: Mapping[str, Signal], *, cells: PositiveInt = 1000, active: Part = 0.05, sampled: Part = 0.1
    ) -> None:
        super().__init__()
        self.seen, self.n = topics["env/observation"], cells
        inputs = math.prod(measured(self.seen))
        self.winners = max(1, round(active * cells))
        each = max(1, round(sampled * inputs))
        self.wires: Tensor  # of each cell, the inputs that it sums [cells, each]
        self.register_buffer("wires", torch.rand(cells, inputs).argsort(1)[:, :each].contiguous())

    def steps(self) -> list[Step]:
        x = Signal((self.n,), cells="LEC sensory cells (sparse hash)", unit="code")
        seen: dict[str, str | Read] = {"observation": Read("env/observation", grad=False)}
        return [
            Step("encode", seen, {"lec/x": x}),
            Step("predict", {"recalled_x": Read("hc/recalled_x", shape=(self.n,))}, {"lec/x_predicted": x}),
            Step("compare", {"x": "lec/x", "x_predicted": "lec/x_predicted"}, {"loss/prediction": Signal(())}),
        ]

    def encode(self, observation: Tensor) -> Messages:
        x = numbers(observation, self.seen).flatten(1)
        sums = (x - x.mean(1, keepdim=True))[:, self.wires].sum(-1)  # [B, cells]
        # of cells that are equally strong the first ones win, on every machine
        order = torch.sort(sums, dim=1, descending=True, stable=True).indices[:, : self.winners]
        code = torch.zeros_like(sums).scatter_(1, order, self.winners**-0.5)
        return {"lec/x": code}

    def predict(self, recalled_x: Tensor) -> Messages:
        return {"lec/x_predicted": F.normalize(recalled_x, dim=-1)}

    def compare(self, x: Tensor, x_predicted: Tensor) -> Messages:
        return {"loss/prediction": 1 - (x * x_predicted).sum(-1)}
