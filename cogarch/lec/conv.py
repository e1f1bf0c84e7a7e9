"""A convolutional sensory code of views and pixels, learned by what the map finds again, or by variance alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from cogarch.encoder import Encoder
from cogarch.lec.continuous import Continuous
from cogarch.module import Signal


class Conv(Continuous):
    """Two layers of convolutions and one hidden layer (`cogarch.encoder`), brought to unit length.

    It learns by `loss/retrieval` with the map, and by `loss/spread`, which needs none.
    """

    def __init__(
        self,
        topics: Mapping[str, Signal],
        *,
        size: PositiveInt = 64,
        hidden: PositiveInt = 128,
        temperature: PositiveFloat = 0.1,
    ) -> None:
        super().__init__(topics, n=size, cells="LEC sensory cells (convolutional)", temperature=temperature)
        if len(self.seen.shape) != 3:
            raise ValueError(
                f"lec/conv encodes views and pixels [h, w, channels], env/observation is {self.seen}; use another "
                "world or another lec"
            )
        self.encoder = Encoder(self.seen, size, kind="conv", hidden=hidden)
        self.renew()

    def made_by(self) -> Iterable[Tensor]:
        return self.encoder.state_dict().values()

    def code(self, observation: Tensor) -> Tensor:
        return F.normalize(self.encoder(observation), dim=-1)
