"""A sensory code learned by predicting, within each view, the code of hidden patches from the patches around them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from cogarch.encoder import measured, numbers
from cogarch.lec.continuous import Continuous, each_once, some_views
from cogarch.lec.masks import DRAWS, blocks
from cogarch.module import Messages, Noise, Objective, Read, Share, Signal

PIXELS = 8  # from side to side of a patch of a picture
STEADY = 0.95
"""Of what codes are usual so much stays at each update."""
RIDGE, SMALLEST = 1e-2, 1e-6
"""Of the mean variance of codes, added to each: whitening makes none of them infinitely large. The smallest variance:
of one view alone there is none."""


class Jepa(Continuous):
    """I-JEPA (Assran et al. 2023), small: the view is cut in patches, and a transformer makes a token of each.

    A patch is a cell of a symbolic view, told by its bits, or `patch` x `patch` pixels (8). `loss/masked`: from the
    tokens of the patches that are left, a narrow predictor foresees those of hidden blocks (`cogarch.lec.masks`), as a
    target encoder makes them of the whole view; smooth L1 to its tokens, each brought to mean 0 and variance 1. The
    target follows the encoder slowly, by `momentum` at each update, and no gradient goes there.

    The code is the mean token of the target encoder, minus what it usually is and whitened (without the first all codes
    are alike, without the second those of one world), of unit length. `loss/retrieval` looks for what the map predicted
    among codes of the encoder that learns (as in MoCo, He et al. 2020: one side follows slowly), and `loss/spread` is
    that of the latter (as in C-JEPA, Mo & Tong 2024).
    """

    scheduled = ("momentum",)
    hears = ("env/observation",)

    def __init__(
        self,
        topics: Mapping[str, Signal],
        *,
        width: PositiveInt = 64,
        depth: PositiveInt = 2,
        heads: PositiveInt = 4,
        patch: PositiveInt | None = None,
        predictor_width: PositiveInt = 32,
        predictor_depth: PositiveInt = 1,
        momentum: Share = 0.996,
        temperature: PositiveFloat = 0.1,
    ) -> None:
        super().__init__(topics, n=width, cells="LEC sensory cells (I-JEPA)", temperature=temperature)
        if len(self.seen.shape) != 3:
            raise ValueError(
                f"lec/jepa encodes views and pixels [h, w, channels], of which it hides patches; env/observation is "
                f"{self.seen}; use another world or another lec"
            )
        for name, n in (("width", width), ("predictor_width", predictor_width)):
            if n % 4 or n % heads:
                raise ValueError(f"lec.{name} is {n}; give a multiple of 4 and of the {heads} heads")
        height, broad, channels = measured(self.seen)
        symbols = channels != self.seen.shape[2]
        self.patch = patch or (1 if symbols or min(height, broad) < 2 * PIXELS else PIXELS)
        if height % self.patch or broad % self.patch or height * broad < 2 * self.patch**2:
            raise ValueError(
                f"views of {height} x {broad} cannot be cut in 2 or more patches of {self.patch} x {self.patch}; give "
                "lec.patch a number that divides both sides"
            )
        self.grid, self.momentum = (height // self.patch, broad // self.patch), momentum
        self.encoder = Tokens(channels * self.patch**2, width, depth, heads, self.grid)
        self.target = copy.deepcopy(self.encoder).requires_grad_(False)
        self.predictor = Predictor(width, predictor_width, predictor_depth, heads, self.grid)
        self.mean: Tensor  # of the target's mean tokens, their covariance, and its inverse root
        self.usual: Tensor
        self.whitening: Tensor
        self.updates: Tensor
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("usual", torch.eye(width))
        self.register_buffer("whitening", torch.eye(width))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.renew()

    def made_by(self) -> Iterable[Tensor]:
        return [*self.target.state_dict().values(), self.mean, self.whitening]

    def objectives(self) -> dict[str, Objective]:
        seen: dict[str, str | Read] = {"observation": Read("env/observation", grad=False)}
        masked = Objective("masked", seen, {"drawn": Noise((DRAWS,), "uniform")})
        return {**super().objectives(), "loss/masked": masked}

    def code(self, observation: Tensor) -> Tensor:
        return self._pooled(self.target, observation)

    def learned_code(self, observation: Tensor) -> Tensor:
        return self._pooled(self.encoder, observation)

    def keys(self, x: Tensor, observation: Tensor) -> Tensor:
        seen = observation.flatten(0, 1)
        first, which = each_once(seen)
        return self.learned_code(seen[first])[which].view_as(x)

    def learned(self, said: Messages) -> None:
        """The target follows, then what codes are usual, then the version."""
        with torch.no_grad():
            for slow, fast in zip(self.target.parameters(), self.encoder.parameters(), strict=True):
                slow.lerp_(fast, 1 - self.momentum)
            pooled = self.target(self._patches(some_views(said["env/observation"]))).mean(1)
            self.updates += 1
            share = max(1 - STEADY, 1 / int(self.updates))
            self.mean.lerp_(pooled.mean(0), share)
            away = pooled - self.mean
            self.usual.lerp_(away.T @ away / len(away), share)
            variances, axes = torch.linalg.eigh(self.usual)
            spread = variances.clamp(min=0) + RIDGE * variances.mean()
            self.whitening.copy_(axes * spread.clamp(min=SMALLEST).rsqrt() @ axes.T)
        super().learned(said)

    def masked(self, observation: Tensor, drawn: Tensor) -> Tensor:
        """Of walks `[T, B, *shape]`: how badly hidden blocks of different views are foreseen."""
        cut = self._patches(some_views(observation))
        context, targets = (torch.tensor(patches) for patches in blocks(drawn.tolist(), *self.grid))
        with torch.no_grad():
            aim = self.target(cut)
            aim = F.layer_norm(aim, aim.shape[-1:])[:, targets]  # [N, blocks, patches, width]
        foreseen = self.predictor(self.encoder(cut[:, context], context), context, targets)
        return F.smooth_l1_loss(foreseen, aim)

    def _pooled(self, encoder: nn.Module, observation: Tensor) -> Tensor:
        tokens: Tensor = encoder(self._patches(observation))
        return F.normalize((tokens.mean(1) - self.mean) @ self.whitening, dim=-1)

    def _patches(self, observation: Tensor) -> Tensor:
        """`[N, patches, numbers]` of views `[N, *shape]`."""
        x, p = numbers(observation, self.seen), self.patch
        cut = x.view(len(x), self.grid[0], p, self.grid[1], p, x.shape[-1]).transpose(2, 3)
        return cut.reshape(len(x), self.grid[0] * self.grid[1], -1)


class Tokens(nn.Module):
    """A token `[N, patches, width]` for each patch `[N, patches, numbers]`, told where it is: all, or those at `at`."""

    def __init__(self, numbers: int, width: int, depth: int, heads: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.embed = nn.Linear(numbers, width)
        self.where: Tensor
        self.register_buffer("where", positions(*grid, width), persistent=False)
        self.blocks = _blocks(width, depth, heads)
        self.norm = nn.LayerNorm(width)

    def forward(self, patches: Tensor, at: Tensor | None = None) -> Tensor:
        where = self.where if at is None else self.where[at]
        tokens: Tensor = self.norm(self.blocks(self.embed(patches) + where))
        return tokens


class Predictor(nn.Module):
    """The tokens `[N, blocks, patches, width]` of hidden blocks from those of the context, each block on its own."""

    def __init__(self, width: int, narrow: int, depth: int, heads: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.narrow, self.widen = nn.Linear(width, narrow), nn.Linear(narrow, width)
        self.mask = nn.Parameter(torch.randn(narrow) * 0.02)  # stands for a patch that is not seen
        self.where: Tensor
        self.register_buffer("where", positions(*grid, narrow), persistent=False)
        self.blocks = _blocks(narrow, depth, heads)
        self.norm = nn.LayerNorm(narrow)

    def forward(self, tokens: Tensor, context: Tensor, targets: Tensor) -> Tensor:
        seen = (self.narrow(tokens) + self.where[context])[:, None].expand(-1, len(targets), -1, -1)
        asked = (self.mask + self.where[targets]).expand(len(tokens), -1, -1, -1)
        x = self.blocks(torch.cat([seen, asked], 2).flatten(0, 1))[:, len(context) :]
        foreseen: Tensor = self.widen(self.norm(x))
        return foreseen.view(len(tokens), *asked.shape[1:3], -1)


def _blocks(width: int, depth: int, heads: int) -> nn.Sequential:
    made = (
        nn.TransformerEncoderLayer(width, heads, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        for _ in range(depth)
    )
    return nn.Sequential(*made)


def positions(height: int, width: int, n: int) -> Tensor:
    """`[height * width, n]`: sines and cosines of row and column, at wavelengths from 2 pi to 20,000 pi patches."""
    rates = 10_000 ** -(torch.arange(n // 4) / (n // 4))
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    angles = [at.flatten()[:, None] * rates for at in (row, column)]
    return torch.cat([wave for angle in angles for wave in (angle.sin(), angle.cos())], 1)
