"""What sensory codes of real numbers share: how they are predicted, how they are learned, which version they are."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from cogarch.module import Messages, Module, Objective, Read, Signal, Step
from cogarch.regularisers import covariance, mean_where, variance

LOOKED_AT = 128
"""Views of an update from which is learned what needs none of the map."""


class Continuous(Module, ABC):
    """A code `lec/x` of unit length (unit "code") for whatever is sensed; a subclass says how it is made (`code`).

    `lec/x_predicted` is what memory recalls, brought to unit length, and `loss/prediction` is 1 minus its likeness
    (cosine) to the code. A prediction is right where no other view that the world has shown is more like it.

    `loss/retrieval`, of whole walks, is that question made soft (InfoNCE, van den Oord et al. 2018): at each tick whose
    view occurred before in the walk, -log of the share that softmax(likeness / `temperature`) over all ticks of the
    walk gives to those with the same view. It teaches the map, and the code that it is told in; a code that is the same
    everywhere finds nothing again, but one that changes slowly is found by a map that knows nothing. With a code that
    is learned it goes with `loss/spread`, variance and covariance (VICReg, Bardes et al. 2022) of the codes of
    different views, times the root of their length.

    With `versioned` the code is learned, and says by what: `lec/version` `[B, 1]` is a checksum of the weights that
    make it, renewed whenever they are. Codes of two versions are not to be compared.
    """

    role = "lec"

    def __init__(
        self, topics: Mapping[str, Signal], *, n: int, cells: str, temperature: float, versioned: bool = True
    ) -> None:
        super().__init__()
        self.seen, self.n, self.cells, self.temperature = topics["env/observation"], n, cells, temperature
        self.versioned = versioned
        if versioned:
            self.version: Tensor
            self.register_buffer("version", torch.zeros(1, dtype=torch.int64))

    @abstractmethod
    def code(self, observation: Tensor) -> Tensor:
        """The codes `[N, n]`, of unit length, of observations `[N, *shape]`, each of which comes once."""

    def made_by(self) -> Iterable[Tensor]:
        """The weights that make the code."""
        return self.state_dict().values()

    def learned_code(self, observation: Tensor) -> Tensor:
        """The codes as the weights that learn make them; as `code`."""
        return self.code(observation)

    def keys(self, x: Tensor, observation: Tensor) -> Tensor:
        """The codes `[T, B, n]` among which a training looks for what was predicted."""
        return x

    def steps(self) -> list[Step]:
        x = Signal((self.n,), cells=self.cells, unit="code")
        said = {"lec/x": x} | ({"lec/version": Signal(dtype=torch.int64)} if self.versioned else {})
        return [
            Step("encode", {"observation": Read("env/observation", grad=False)}, said),
            Step("predict", {"recalled_x": Read("hc/recalled_x", shape=(self.n,))}, {"lec/x_predicted": x}),
            Step("compare", {"x": "lec/x", "x_predicted": "lec/x_predicted"}, {"loss/prediction": Signal(())}),
        ]

    def objectives(self) -> dict[str, Objective]:
        reads: dict[str, str | Read] = {
            "x": "lec/x",
            "x_predicted": "lec/x_predicted",
            "observation": Read("env/observation", grad=False),
        }
        found = {"loss/retrieval": Objective("retrieval", reads)}
        if self.versioned:
            found["loss/spread"] = Objective("spread", {"observation": reads["observation"]})
        return found

    def learned(self, said: Messages) -> None:
        if self.versioned:
            self.renew()

    def renew(self) -> None:
        """The version of the weights as they are now."""
        self.version.zero_()
        digest = hashlib.blake2b(digest_size=8)
        for weight in self.made_by():
            digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
        self.version.fill_(int.from_bytes(digest.digest(), "little", signed=True))

    # --- the steps ----------------------------------------------------------------------------------------------------

    def encode(self, observation: Tensor) -> Messages:
        first, which = each_once(observation)
        said = {"lec/x": self.code(observation[first])[which]}
        return said | ({"lec/version": self.version.repeat(len(observation), 1)} if self.versioned else {})

    def predict(self, recalled_x: Tensor) -> Messages:
        return {"lec/x_predicted": F.normalize(recalled_x, dim=-1)}

    def compare(self, x: Tensor, x_predicted: Tensor) -> Messages:
        return {"loss/prediction": 1 - (x * x_predicted).sum(-1)}

    # --- losses of whole walks ----------------------------------------------------------------------------------------

    def retrieval(self, x: Tensor, x_predicted: Tensor, observation: Tensor) -> Tensor:
        """Of walks `[T, B, ...]`; see the class."""
        _, which = each_once(observation.flatten(0, 1))
        keys = self.keys(x, observation)
        view = which.view(x.shape[:2]).T  # [B, T]
        same = view[:, :, None] == view[:, None]
        before = same.tril(-1).any(-1)
        likeness = x_predicted.transpose(0, 1) @ keys.permute(1, 2, 0) / self.temperature  # [B, T, T]
        share = likeness.masked_fill(~same, -torch.inf).logsumexp(-1) - likeness.logsumexp(-1)
        return mean_where(-share, before)

    def spread(self, observation: Tensor) -> Tensor:
        """Of walks `[T, B, *shape]`; see the class."""
        x = self.learned_code(some_views(observation)) * self.n**0.5
        return variance(x) + covariance(x)


def some_views(observation: Tensor) -> Tensor:
    """Of walks `[T, B, *shape]` at most `LOOKED_AT` different views `[N, *shape]`."""
    views = observation.flatten(0, 1)
    views = views[each_once(views)[0]]
    return views[:: -(-len(views) // LOOKED_AT)]


def each_once(observation: Tensor) -> tuple[Tensor, Tensor]:
    """Of observations `[N, *shape]` those that differ from all before, `[n]`, and which of these each is, `[N]`."""
    numbers: dict[bytes, int] = {}
    rows = observation.detach().flatten(1).cpu().contiguous().numpy()
    which = [numbers.setdefault(row.tobytes(), len(numbers)) for row in rows]
    first = [-1] * len(numbers)
    for i in range(len(which) - 1, -1, -1):
        first[which[i]] = i
    return torch.tensor(first, device=observation.device), torch.tensor(which, device=observation.device)
