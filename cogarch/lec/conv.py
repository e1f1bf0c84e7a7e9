"""A convolutional sensory code of views and pixels, learned by what the map finds again, or by variance alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from cogarch import regularisers
from cogarch.encoder import Encoder
from cogarch.lec.continuous import Continuous
from cogarch.module import Objective, Read, Signal


class Conv(Continuous):
    """Two layers of convolutions and one hidden layer (`cogarch.encoder`), brought to unit length.

    It learns by `loss/retrieval` with the map, or without one: `loss/x_variance` and `loss/x_covariance` (VICReg,
    Bardes et al. 2022), of the code times the root of its length, keep it spread over all its cells, and
    `loss/x_slowness` likens successive views, which here stand for VICReg's two pictures of one thing.
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

    def objectives(self) -> dict[str, Objective]:
        timed: dict[str, str | Read] = {"x": "lec/x", "start": "env/start"}
        return {
            **super().objectives(),
            "loss/x_variance": Objective("variance", {"x": "lec/x"}),
            "loss/x_covariance": Objective("covariance", {"x": "lec/x"}),
            "loss/x_slowness": Objective("slowness", timed),
        }

    def code(self, observation: Tensor) -> Tensor:
        return F.normalize(self.encoder(observation), dim=-1)

    def variance(self, x: Tensor) -> Tensor:
        return regularisers.variance(x * self.n**0.5)

    def covariance(self, x: Tensor) -> Tensor:
        return regularisers.covariance(x * self.n**0.5)

    def slowness(self, x: Tensor, start: Tensor) -> Tensor:
        return regularisers.slowness(x * self.n**0.5, start[..., 0])
