"""TEM's structural code: modules of cells moved by learned actions, corrected by what memory recognises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from cogarch.module import Messages, Module, Read, Share, Signal, State, Step

MODULES = (30, 30, 24, 18, 18)


class TEM(Module):
    """The structural code of the Tolman-Eichenbaum Machine (Whittington et al. 2020, Cell 183:1249).

    `mec/g_path` `[B, n_g]` is the last code moved by the action: `g + g W(a)`, clamped to [-1, 1], where W(a) is made
    from the action by a small network for each module, and a module hears only itself and those of lower frequency
    (`hierarchical`). At an episode's first tick it is a learned code. A move that is refused moves nothing.

    `mec/g` is that code corrected by what memory recalls of the place by sight (`hc/recalled_g`): their mean, weighted
    by their precisions, which are heads of the code before the move, and of what was recalled and how wrong it is of
    what is seen (`lec/error`). Where no memory recalls structure, `mec/g` is `mec/g_path`.

    Losses: `loss/g`, half the squared distance of the two codes, and `loss/g_size`, the sum of squares of `mec/g`.

    Args:
        modules: cells of each module, the highest frequency first.
        hidden: units from which W(a) is made, for each module.
        subsample: of what is recalled, one cell in so many of a module is read, the first ones. Give memory the same
            (`hc.subsample`): a cell that it never recalls reads as 0.
        hierarchical: a module is moved by itself and those of lower frequency only; else by all.
        sigma: the heads of standard deviation. "bounded" between exp(-8) and exp(4), and teaching nothing to what they
            read; "exp", unbounded and with all gradients, as in the reference trace.
        still: what a refused move does: the code is "kept"; or it is moved by a W of its own, "learned", as in the
            reference trace, where that is the action of standing still.
        gate: 0 to 1, how far memory may correct (a training opens it by a schedule).

    Raises:
        ValueError: no modules, or one without cells.
    """

    role = "mec"
    scheduled = ("gate",)

    def __init__(
        self,
        topics: Mapping[str, Signal],
        *,
        modules: Sequence[int] = MODULES,
        hidden: PositiveInt = 20,
        subsample: PositiveInt = 3,
        hierarchical: bool = True,
        sigma: Literal["bounded", "exp"] = "bounded",
        still: Literal["kept", "learned"] = "kept",
        gate: Share = 1.0,
    ) -> None:
        super().__init__()
        if not modules or min(modules) < 1:
            raise ValueError(f"mec.modules is {list(modules)}: give the cells of each module, 1 or more")
        self.sizes, self.n, self.actions = tuple(modules), sum(modules), topics["env/action"].values
        self.bounded, self.kept, self.gate = sigma == "bounded", still == "kept", gate
        ends = list(accumulate(modules))
        # the first module that each one hears
        self.heard = [end - n if hierarchical else 0 for n, end in zip(modules, ends, strict=True)]
        self.start = nn.Parameter(nn.init.trunc_normal_(torch.empty(self.n), std=0.5, a=-1.0, b=1.0))
        self.start_log_sigma = nn.Parameter(nn.init.trunc_normal_(torch.empty(self.n), std=0.5, a=-1.0, b=1.0))
        self.hidden = nn.ModuleList(nn.Linear(self.actions, hidden) for _ in modules)
        # free matrices that do more at first (1e-3) blow the code up within a long stay, and nothing is learned
        self.transition = nn.ParameterList(
            1e-6 * torch.randn((self.n - first) * n, hidden) for first, n in zip(self.heard, modules, strict=True)
        )
        recalled = [max(1, n // subsample) for n in modules]
        self.recalled: Tensor
        cells = [torch.arange(end - n, end - n + few) for n, end, few in zip(modules, ends, recalled, strict=True)]
        self.register_buffer("recalled", torch.cat(cells), persistent=False)
        module_of = torch.eye(len(modules)).repeat_interleave(torch.tensor(self.sizes), 0)
        self.module_of: Tensor
        self.register_buffer("module_of", module_of, persistent=False)  # [n_g, F]
        twice = [2 * n for n in modules]
        self.path_sigma = nn.Sequential(BlockLinear(modules, twice), nn.Tanh(), BlockLinear(twice, modules))
        self.memory_g = nn.Sequential(BlockLinear(recalled, twice), nn.ELU(), BlockLinear(twice, modules))
        self.memory_sigma = nn.Sequential(
            BlockLinear([2] * len(modules), twice), nn.Tanh(), BlockLinear(twice, modules)
        )

    def steps(self) -> list[Step]:
        g = Signal((self.n,), cells="MEC structural cells (TEM)", modules=self.sizes)
        felt = {"action": Read("env/action", dtype=torch.int64), "bump": Read("env/bump", dtype=torch.bool)}
        recalled = {
            "recalled_g": Read("hc/recalled_g", shape=(self.n,), optional=True),
            "error": Read("lec/error", grad=False, shape=(1,), optional=True),
        }
        corrected = {"mec/g": g, "loss/g": Signal(()), "loss/g_size": Signal(())}
        return [
            Step("move", felt, {"mec/g_path": g}, state=True),
            Step("correct", {"g_path": "mec/g_path", **recalled}, corrected, state=True),
        ]

    def init(self, batch: int) -> State:
        """`g` `[B, n_g]`, the standard deviation `sigma` of the path, and whether a tick was `lived`."""
        return {
            "g": self.start.expand(batch, -1),
            "sigma": self._sigma(self.start_log_sigma).expand(batch, -1),
            "lived": torch.zeros(batch, 1, dtype=torch.bool),
        }

    def move(self, state: State, action: Tensor, bump: Tensor) -> tuple[Messages, State]:
        """Along the action `[B, 1]`, unless it was refused."""
        g = state["g"]
        g_path = torch.where(state["lived"], self._moved(g, (action < 0) | bump, action), g)
        told = g.detach() if self.bounded else g
        sigma = torch.where(state["lived"], self._sigma(self.path_sigma(told)), state["sigma"])
        return {"mec/g_path": g_path}, {"g": g_path, "sigma": sigma, "lived": torch.ones_like(state["lived"])}

    def correct(
        self, state: State, g_path: Tensor, recalled_g: Tensor | None = None, error: Tensor | None = None
    ) -> tuple[Messages, State]:
        """Towards what memory recalls, `[B, n_g]`, and no further where it was wrong of what is seen (`[B, 1]`)."""
        g = g_path
        if recalled_g is not None:
            by_sight = self.memory_g(recalled_g.index_select(1, self.recalled))
            wrong = g_path.new_zeros(len(g_path), 1) if error is None else error
            size = by_sight.square() @ self.module_of  # [B, F]
            told = torch.stack([size, wrong.expand_as(size)], -1).flatten(-2)
            sigma = self._sigma(self.memory_sigma(told.detach() if self.bounded else told))
            sigma = sigma + 10_000 * (1 - self.gate)
            path, sight = state["sigma"] ** -2, sigma**-2
            g = (g_path * path + by_sight.clamp(-1, 1) * sight) / (path + sight)
        losses = {"loss/g": 0.5 * (g - g_path).square().sum(-1), "loss/g_size": g.square().sum(-1)}
        return {"mec/g": g, **losses}, state | {"g": g}

    def ahead(self, g: Tensor, action: Tensor, motion: Tensor) -> Tensor:
        """See `Imaginable`; moved by the action alone."""
        return self._moved(g, action < 0, action)

    def _moved(self, g: Tensor, stays: Tensor, action: Tensor) -> Tensor:
        taken = torch.where(stays, self.actions, action)  # the last row of `matrices` is standing still
        there = (g @ self.once("matrices", self._matrices)).unflatten(-1, (self.actions + 1, self.n))  # [B, A + 1, n]
        moved = (g + there.gather(1, taken[..., None].expand(-1, 1, self.n))[:, 0]).clamp(-1, 1)
        return torch.where(stays, g, moved) if self.kept else moved

    def _sigma(self, x: Tensor) -> Tensor:
        return (6 * torch.tanh(x) - 2).exp() if self.bounded else x.exp()

    def _matrices(self) -> Tensor:
        """W of every action, and of none, side by side: `[n_g, (A + 1) n_g]`, from and to."""
        actions = torch.eye(self.actions + 1, self.actions, device=self.start.device)
        columns = []
        for first, n, hidden, last in zip(self.heard, self.sizes, self.hidden, self.transition, strict=True):
            made = torch.tanh(hidden(actions)) @ last.mT  # [A + 1, heard n]
            columns.append(F.pad(made.unflatten(-1, (-1, n)), (0, 0, first, 0)))
        return torch.cat(columns, -1).transpose(0, 1).flatten(1)


class BlockLinear(nn.Module):
    """Module f maps its own `n_in[f]` numbers to its own `n_out[f]`: `[..., sum(n_in)]` to `[..., sum(n_out)]`.

    The weights `[sum(n_out), sum(n_in)]` are zero, and stay so, between modules; they begin as torch's own.
    """

    def __init__(self, n_in: Sequence[int], n_out: Sequence[int]) -> None:
        super().__init__()
        own = torch.eye(len(n_in)).repeat_interleave(torch.tensor(n_in), 1).repeat_interleave(torch.tensor(n_out), 0)
        reach = torch.cat([torch.full((b,), a**-0.5) for a, b in zip(n_in, n_out, strict=True)])
        self.own: Tensor
        self.register_buffer("own", own, persistent=False)
        self.weight = nn.Parameter((2 * torch.rand(own.shape) - 1) * own * reach[:, None])
        self.bias = nn.Parameter((2 * torch.rand(len(reach)) - 1) * reach)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.own, self.bias)
