"""A sparse code of random connections, as in the olfactory circuit of the fly: like what is like, nothing learned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from cogarch.encoder import measured, numbers
from cogarch.lec.continuous import Continuous
from cogarch.module import Signal

AT_ONCE = 64
Part = Annotated[float, Field(gt=0, le=1)]  # a setting


class FlyHash(Continuous):
    """Expands what is sensed by sparse random connections and keeps the strongest cells (Dasgupta et al. 2017).

    Each of `cells` sums a random `sampled` share of the inputs, of which their mean was taken away; the `active` share
    with the largest sums are on, all alike, and the code is of unit length. Observations that are alike share many of
    their cells. Takes whatever `cogarch.encoder` does: symbols, features, views, pixels.
    """

    def __init__(
        self,
        topics: Mapping[str, Signal],
        *,
        cells: PositiveInt = 1000,
        active: Part = 0.05,
        sampled: Part = 0.1,
        temperature: PositiveFloat = 0.1,
    ) -> None:
        label = "LEC sensory cells (sparse hash)"
        super().__init__(topics, n=cells, cells=label, temperature=temperature, versioned=False)
        inputs = math.prod(measured(self.seen))
        self.winners = max(1, round(active * cells))
        each = max(1, round(sampled * inputs))
        self.wires: Tensor  # of each cell, the inputs that it sums [cells, each]
        self.register_buffer("wires", torch.rand(cells, inputs).argsort(1)[:, :each].contiguous())

    def code(self, observation: Tensor) -> Tensor:
        x = numbers(observation, self.seen).flatten(1)
        # some at a time: what the cells sum takes a hundred times the memory of a picture
        some = torch.split(x - x.mean(1, keepdim=True), AT_ONCE)
        sums = torch.cat([part[:, self.wires].sum(-1) for part in some])  # [N, cells]
        # of cells that are equally strong the first ones win, on every machine
        order = torch.sort(sums, dim=1, descending=True, stable=True).indices[:, : self.winners]
        return torch.zeros_like(sums).scatter_(1, order, self.winners**-0.5)
