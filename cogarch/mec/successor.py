"""The successor representation: what is soon to be visited from here, and its eigenvectors as cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from cogarch.module import Messages, Module, Read, Share, Signal, State, Step


class Successor(Module):
    """Discounted visits to come, learned by temporal differences (Dayan 1993; Stachenfeld, Botvinick & Gershman 2017).

    `M[s, s']` is how often `s'` is visited from `s` on, each tick weighing `gamma` times the last. It begins as the
    identity and learns from each move from `s` to `s'`, refused ones too: `M += rate e (1_s + gamma M[s'] - M[s])`,
    with replacing traces `e` that fall by `gamma trace` a tick. `trace=0` is the papers' TD(0), which learns several
    times slower from the same walk. `mec/g` is the row of the present state at unit length: a cell a state, place-like,
    skewed against the direction of travel, stopped by walls.

    `mec/eigenvectors` is the present state's entry in the first `eigenvectors` eigenvectors of `(M + M') / 2` over the
    states known so far, the largest eigenvalue first, each of mean square 1, recomputed every `refresh` ticks. Each
    keeps the sign that agrees with it before, and begins with its largest entry positive; with `rectify`, what is
    negative is 0, as rates are. While M learns they turn within planes of nearly equal eigenvalues, so a map over a
    whole life blurs them: take the ticks after a late `refresh`.

    What a state is, `by="motion"`: a pose of the body, dead-reckoned from the start of the episode. A pose within
    `radius` (cells; for a body that turns also rad, about) of a known state is the nearest such state, any other the
    next free of `states`; when none is free, the nearest known one. Nothing corrects dead reckoning here, and a torus
    is unrolled by it. `by="observation"`: the symbol that is seen, so two places that look the same are one state. By
    default motion, and observation where no body moves.

    `mec/g_path`, before seeing: by motion, the row of the pose just reached; by observation, the row that is expected
    next whatever the action, by Bellman's equation in the direction of `M[s] - 1_s` (after a refused move `M[s]`, at
    the start none: all zeros). No weight is learned by back-propagation.
    """

    role = "mec"

    def __init__(
        self,
        topics: Mapping[str, Signal],
        *,
        states: PositiveInt = 512,
        gamma: Annotated[float, Field(ge=0, lt=1)] = 0.95,
        rate: Share = 0.1,
        trace: Share = 0.9,
        eigenvectors: NonNegativeInt = 64,
        refresh: PositiveInt = 100,
        rectify: bool = True,
        radius: PositiveFloat = 0.5,
        by: Literal["motion", "observation"] | None = None,
    ) -> None:
        super().__init__()
        self.unit, seen = topics["env/motion"].unit, topics["env/observation"]
        body = self.unit in ("dx, dy", "turn, advance")
        self.by = by or ("motion" if body else "observation")
        if self.by == "motion" and not body:
            raise ValueError(
                f"mec/successor reckons by 'dx, dy' or 'turn, advance', env/motion is {self.unit!r}: where no body "
                "moves, let a state be what is seen (mec.by=observation)"
            )
        if self.by == "observation" and (seen.dtype != torch.int64 or seen.shape != (1,) or seen.values < 1):
            raise ValueError(
                f"mec/successor takes one whole number of known range for a state, env/observation is {seen}: "
                "use another world, or another mec"
            )
        self.n = states if self.by == "motion" else seen.values
        self.n_eigen, self.refresh, self.rectify = min(eigenvectors, self.n), refresh, rectify
        self.gamma, self.rate, self.trace, self.radius = gamma, rate, trace, radius
        self.axes = 1 if self.by == "observation" else 2 if self.unit == "dx, dy" else 4

    def steps(self) -> list[Step]:
        g = Signal((self.n,), cells="MEC successor cells")
        code = {"mec/g": g}
        if self.n_eigen:
            label = "MEC eigenvectors of the successor representation"
            code["mec/eigenvectors"] = Signal((self.n_eigen,), cells=label)
        if self.by == "motion":
            motion = Read("env/motion", grad=False, shape=(2,), unit=self.unit)
            return [Step("move", {"motion": motion}, {"mec/g_path": g, **code}, state=True)]
        seen = Read("env/observation", shape=(1,), dtype=torch.int64)
        return [
            Step("expect", {"bump": Read("env/bump", dtype=torch.bool)}, {"mec/g_path": g}, state=True),
            Step("observe", {"observation": seen}, code, state=True),
        ]

    def init(self, batch: int) -> State:
        """No state is known, the body is where it starts.

        `successors` is M `[B, S, S]`, `trace` e `[B, S]`; the first `known` `[B]` states lie at `keys` `[B, S, axes]`
        (x, y in cells and, if the body turns, cosine and sine of its heading; or the symbol); `at` `[B]` is the present
        one, -1 at first.
        """
        state = {
            "successors": torch.eye(self.n).repeat(batch, 1, 1),
            "trace": torch.zeros(batch, self.n),
            "keys": torch.zeros(batch, self.n, self.axes, dtype=torch.float64),
            "known": torch.zeros(batch, dtype=torch.int64),
            "at": torch.full((batch,), -1),
            "crowded": torch.zeros(batch, dtype=torch.int64),  # ticks at new poses for which no state was free
        }
        if self.by == "motion":
            state["place"] = torch.zeros(batch, 2, dtype=torch.float64)
            state["heading"] = torch.zeros(batch, dtype=torch.float64)
        if self.n_eigen:
            state["eigenvectors"] = torch.zeros(batch, self.n, self.n_eigen)
            state["clock"] = torch.zeros(batch, dtype=torch.int64)
        return state

    def notice(self, state: State) -> str | None:
        if not int(state["crowded"].sum()):
            return None
        return f"all {self.n} states are taken: a new place now counts as the nearest known one; raise mec.states"

    # --- the steps ----------------------------------------------------------------------------------------------------

    def move(self, state: State, motion: Tensor) -> tuple[Messages, State]:
        place, heading, motion = state["place"], state["heading"], motion.double()
        if self.unit == "dx, dy":
            place = key = place + motion
        else:
            heading = torch.remainder(heading + motion[:, 0], 2 * torch.pi)
            facing = torch.stack([heading.cos(), heading.sin()], -1)
            place = place + motion[:, 1:] * facing
            key = torch.cat([place, facing], -1)
        writes, state = self._arrive(state | {"place": place, "heading": heading}, key)
        return {"mec/g_path": writes["mec/g"], **writes}, state

    def expect(self, state: State, bump: Tensor) -> tuple[Messages, State]:
        at = state["at"].clamp(min=0)
        row = state["successors"][torch.arange(len(at), device=at.device), at]
        coming = torch.where(bump, row, row - F.one_hot(at, self.n))
        return {"mec/g_path": F.normalize(torch.where(state["at"][:, None] < 0, 0.0, coming), dim=-1)}, state

    def observe(self, state: State, observation: Tensor) -> tuple[Messages, State]:
        return self._arrive(state, observation.double())

    # --- small parts --------------------------------------------------------------------------------------------------

    def _arrive(self, state: State, key: Tensor) -> tuple[Messages, State]:
        """At the state that `key` `[B, axes]` tells: learn from the move, and speak. The bus owns M, which is large:
        it is written in place where gradients are off."""
        rows, before = torch.arange(len(key), device=key.device), state["at"]
        state, at = self._look_up(state, key)
        m = state["successors"].clone() if torch.is_grad_enabled() else state["successors"]
        left = F.one_hot(before.clamp(min=0), self.n) * (before >= 0)[:, None]  # [B, S]; none at an episode's start
        error = left + self.gamma * m[rows, at] - m[rows, before.clamp(min=0)]
        trace = torch.maximum(self.gamma * self.trace * state["trace"], left)
        used = int(state["known"].max())
        m[:, :used, :used] += self.rate * trace[:, :used, None] * error[:, None, :used]
        state = state | {"successors": m, "trace": trace, "at": at}
        writes = {"mec/g": F.normalize(m[rows, at], dim=-1)}
        if self.n_eigen:
            state = self._decompose(state)
            entry = state["eigenvectors"][rows, at]
            writes["mec/eigenvectors"] = entry.relu() if self.rectify else entry
        return writes, state

    def _look_up(self, state: State, key: Tensor) -> tuple[State, Tensor]:
        """The state `[B]` of each key, which may be a new one."""
        rows, known = torch.arange(len(key), device=key.device), state["known"]
        keys = state["keys"].clone() if torch.is_grad_enabled() else state["keys"]
        distance = torch.linalg.vector_norm(keys - key[:, None], dim=-1)
        empty = torch.arange(self.n, device=key.device) >= known[:, None]
        distance, nearest = distance.masked_fill(empty, torch.inf).min(-1)
        new, room = distance >= self.radius, known < self.n
        at = torch.where(new & room, known, nearest)
        keys[rows, at] = torch.where((new & room)[:, None], key, keys[rows, at])
        books = {"known": known + (new & room), "crowded": state["crowded"] + (new & ~room)}
        return state | {"keys": keys} | books, at

    def _decompose(self, state: State) -> State:
        """Eigenvectors anew in the rows whose clock says so, row by row: no agent's depend on who else lives."""
        clock = state["clock"]
        due = (clock % self.refresh == 0).nonzero().flatten().tolist()
        vectors = state["eigenvectors"].clone() if due and torch.is_grad_enabled() else state["eigenvectors"]
        for row in due:
            n = int(state["known"][row])
            m = state["successors"][row, :n, :n].double().cpu()
            found = torch.linalg.eigh((m + m.T) / 2)[1].flip(-1)[:, : self.n_eigen] * n**0.5
            old = vectors[row, :n, : found.shape[1]].double().cpu()
            largest = found.gather(0, found.abs().argmax(0, keepdim=True))
            agrees = torch.where((old != 0).any(0), (old * found).sum(0), largest[0]) >= 0
            vectors[row, :n, : found.shape[1]] = torch.where(agrees, found, -found).to(vectors)
        return state | {"eigenvectors": vectors, "clock": clock + 1}
