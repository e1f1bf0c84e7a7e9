"""TEM's hippocampus: conjunctions of structure and sense, bound by Hebbian weights and completed by an attractor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from cogarch.hc.hebbian_matrix import HebbianMatrix, PlainMatrix
from cogarch.hc.settle import rectify
from cogarch.module import Messages, Module, Read, Share, Signal, State, Step

MOST_CELLS = 4096


class Hebbian(Module):
    """Place cells are conjunctions: each multiplies a structural cell by a sensory one (Whittington et al. 2020).

    For each module f of `mec/g` a share of its cells (the first of every `subsample`) meets each cell of the sensory
    code of that frequency (`lec/x_weighted`; of `lec/x`, where the encoder has no frequencies):
    `p_f = rectify(g_f x_f)`, `hc/p` `[B, n_p]`. Two memories hold them. The *generative* one is asked by structure: the
    code of `mec/g_path`, and that of `mec/g`, settle to a `p` from which the sense is read, as the sum over structural
    cells of the highest frequency (`hc/recalled_x`, `hc/recalled_x_by_g`). In it low frequencies drive high ones, and
    settle in fewer iterations. The *inference* one is asked by sense, and gives the structure that goes with it: the
    sum over sensory cells (`hc/recalled_g`, zero for cells that do not meet sense) and, to tell whether it knows the
    place, the sense that it recalls of it (`hc/recalled_x_by_x`). Each is then written with what it had predicted
    against what was there. Each of them, not this module, fills the memory protocol (`hc/hebbian_matrix`).

    `hc/familiarity` is the cosine of `p` and of what the generative memory completes it to from `mec/g`, less 1.

    Losses: `loss/p_by_g` and `loss/p_by_x`, half the squared error of what either memory recalls, and `loss/p_size`,
    the sum of absolute values.

    Args:
        subsample: one in so many cells of `mec/g` meets sense.
        iterations: of the attractor; of the generative one, a frequency less for each frequency below the highest.
        kappa: what a cell keeps of itself in an iteration.
        eta, retain: rate of a write, and what the memories keep of themselves in it (lambda).
        hierarchical: low frequencies drive high ones, not the other way; else all drive all.
        window: writes kept as vectors before they are folded into the matrices; while learning, as long as the
            back-propagation.
        plain: whole matrices at every tick, as the definition says, and slower: to check against.

    Raises:
        ValueError: an encoder with other frequencies than the structural code has modules; more than 4,096 place cells,
            whose matrix would not fit into memory.
    """

    role = "hc"
    scheduled = ("eta", "retain")

    def __init__(
        self,
        topics: Mapping[str, Signal],
        *,
        subsample: PositiveInt = 3,
        iterations: PositiveInt = 5,
        kappa: PositiveFloat = 0.8,
        eta: Share = 0.5,
        retain: Share = 0.9999,
        hierarchical: bool = True,
        window: PositiveInt = 20,
        plain: bool = False,
    ) -> None:
        super().__init__()
        if "lec/version" in topics:
            raise ValueError(
                "hc/hebbian holds all memories in one matrix and cannot give up those of a code that changed, and lec "
                "writes one that is learned (lec/version); use hc/modern_hopfield, or lec/fly_hash, one_hot or two_hot"
            )
        g, self.x_topic = topics["mec/g"], "lec/x_weighted" if "lec/x_weighted" in topics else "lec/x"
        x = topics[self.x_topic]
        self.n_g, self.n_x = g.shape[0], x.shape[0]
        modules = g.modules or (self.n_g,)
        senses = x.modules or (self.n_x,) * len(modules)
        if len(senses) != len(modules):
            raise ValueError(
                f"lec encodes {len(senses)} frequencies and mec has {len(modules)} modules: give lec.filters one "
                "number a module, or use lec/one_hot"
            )
        # of each place cell, the structural and the sensory cell that it multiplies
        g_of, x_of, sizes, first_g, first_x = [], [], [], 0, 0
        for cells, sense in zip(modules, senses, strict=True):
            met = torch.arange(first_g, first_g + max(1, cells // subsample))
            g_of.append(met.repeat_interleave(sense))
            x_of.append(torch.arange(first_x, first_x + sense).repeat(len(met)))
            sizes.append(len(g_of[-1]))
            first_g, first_x = first_g + cells, first_x + (sense if x.modules else 0)
        self.n_p, self.first, self.n_sense = sum(sizes), sizes[0], senses[0]
        if self.n_p > MOST_CELLS:
            raise ValueError(
                f"hc/hebbian would have {self.n_p:,} place cells and a weight for each two of them; {MOST_CELLS:,} at "
                "most: raise hc.subsample, or use lec/two_hot, whose code is shorter"
            )
        self.g_of: Tensor
        self.x_of: Tensor
        self.register_buffer("g_of", torch.cat(g_of), persistent=False)  # [n_p]
        self.register_buffer("x_of", torch.cat(x_of), persistent=False)
        kind = PlainMatrix if plain else HebbianMatrix
        rates: dict[str, Any] = {"window": window, "kappa": kappa, "eta": eta, "retain": retain}
        fewer = [max(1, len(sizes) - i) for i in range(iterations)]
        self.generative = kind(sizes, fewer, **rates) if hierarchical else kind([self.n_p], [1] * iterations, **rates)
        self.inference = kind([self.n_p], [1] * iterations, **rates)

    @property
    def eta(self) -> float:
        """The rate at which memories are written."""
        return self.generative.eta

    @eta.setter
    def eta(self, value: float) -> None:
        self.generative.eta = self.inference.eta = value

    @property
    def retain(self) -> float:
        """What memories keep of themselves at a write."""
        return self.generative.retain

    @retain.setter
    def retain(self, value: float) -> None:
        self.generative.retain = self.inference.retain = value

    def steps(self) -> list[Step]:
        sense = Read(self.x_topic, shape=(self.n_x,), dtype=torch.float32)
        g_path, g = (Read(topic, shape=(self.n_g,), dtype=torch.float32) for topic in ("mec/g_path", "mec/g"))
        x = Signal((self.n_sense,), cells="LEC sensory cells, recalled")
        p = Signal((self.n_p,), cells="HC place cells (conjunctions)")
        recognised = {"hc/recalled_g": Signal((self.n_g,), cells="MEC cells, recalled"), "hc/recalled_x_by_x": x}
        bound = {
            "hc/p": p,
            "hc/p_by_g": p,
            "hc/recalled_x": x,
            "hc/recalled_x_by_g": x,
            "hc/x_in_p": x,
            "hc/familiarity": Signal(),
            "loss/p_by_g": Signal(()),
            "loss/p_by_x": Signal(()),
            "loss/p_size": Signal(()),
        }
        return [
            Step("recognise", {"x": sense}, recognised, state=True),
            Step("bind", {"g_path": g_path, "g": g, "x": sense}, bound, state=True),
        ]

    def init(self, batch: int) -> State:
        """The two memories, and what inference recalled in this tick, `[B, n_p]`."""
        return {
            "generative": self.generative.init(batch),
            "inference": self.inference.init(batch),
            "recognised": torch.zeros(batch, self.n_p),
        }

    def restart(self, state: State, rows: Tensor, fresh: State) -> State:
        memories = {
            name: memory.restart(state[name], rows, fresh[name])
            for name, memory in (("generative", self.generative), ("inference", self.inference))
        }
        return memories | {"recognised": state["recognised"].masked_fill(rows[:, None], 0.0)}

    def recognise(self, state: State, x: Tensor) -> tuple[Messages, State]:
        """What the sense alone `[B, n_x]` recalls."""
        p = self.inference.settle(state["inference"], x[:, None, self.x_of])[:, 0]
        recalled_g = torch.zeros(len(x), self.n_g, device=x.device).index_add(1, self.g_of, p)
        writes = {"hc/recalled_g": recalled_g, "hc/recalled_x_by_x": self._sense(p)}
        return writes, state | {"recognised": p}

    def bind(self, state: State, g_path: Tensor, g: Tensor, x: Tensor) -> tuple[Messages, State]:
        """What the structure `[B, n_g]` recalls, before seeing and after; then this moment is written."""
        structure = torch.stack([g, g_path], 1)[..., self.g_of]  # [B, 2, n_p]
        p = rectify(structure[:, 0] * x[:, self.x_of])
        by_g, by_path = self.generative.settle(state["generative"], structure).unbind(1)
        by_x = state["recognised"]
        whole = torch.ones(len(p), device=p.device)
        kept = {
            "generative": self.generative.put(state["generative"], p, by_g, whole, whole.bool()),
            "inference": self.inference.put(state["inference"], p, by_x, whole, whole.bool()),
        }
        writes = {
            "hc/p": p,
            "hc/p_by_g": by_g,
            "hc/recalled_x": self._sense(by_path),
            "hc/recalled_x_by_g": self._sense(by_g),
            "hc/x_in_p": self._sense(p),
            "hc/familiarity": torch.cosine_similarity(p, by_g, dim=-1)[:, None] - 1,
            "loss/p_by_g": 0.5 * (p - by_g).square().sum(-1),
            "loss/p_by_x": 0.5 * (p - by_x).square().sum(-1),
            "loss/p_size": p.abs().sum(-1),
        }
        return writes, state | kept

    def _sense(self, p: Tensor) -> Tensor:
        """The sense in the conjunctions of the highest frequency, `[B, n_sense]`."""
        return p[:, : self.first].view(len(p), -1, self.n_sense).sum(1)
