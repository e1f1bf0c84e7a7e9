"""Walks by what it senses and remembers: uniform, along a drifting heading, or the least familiar way first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from cogarch.module import Messages, Module, Noise, Read, Signal, State, Step


class Explorer(Module):
    """Chooses `executive/action` from topics alone.

    `uniform`: every action alike. `drifting`: with probability `persistence` the action that best follows a heading
    that drifts by up to 0.4 rad a tick and turns about on a bump, else any (the walk of Whittington et al. 2020); what
    each action does to the body is learned from `env/motion`. `least_familiar`: at a remembered place (`hc/slot`, or
    the most active cell of `hc/p`) the action least often taken there, ties at random. It wants a memory that keeps one
    copy a place (`hc.merge`): where every moment is a new slot, nothing was ever taken before.
    """

    role = "executive"

    def __init__(
        self,
        topics: Mapping[str, Signal],
        *,
        policy: Literal["uniform", "drifting", "least_familiar"] = "drifting",
        persistence: float = 0.6,
    ) -> None:
        super().__init__()
        self.policy, self.persistence = policy, persistence
        self.n = topics["env/action"].values
        self.egocentric = topics["env/motion"].unit == "turn, advance"
        self.by_slot = {"hc/slot", "hc/stored"} <= topics.keys()
        if policy == "least_familiar" and not self.by_slot and "hc/p" not in topics:
            raise ValueError(
                "executive.policy = 'least_familiar' needs a memory that says which place this is (hc/slot and "
                "hc/stored, or the activity hc/p); use another hc or another policy"
            )
        self.places = 0
        if policy == "least_familiar":
            self.places = topics["hc/slot"].values if self.by_slot else topics["hc/p"].shape[0]

    def steps(self) -> list[Step]:
        action = {"executive/action": Signal(dtype=torch.int64, values=self.n)}
        noise = {"u": Noise((3,), "uniform")}
        if self.policy == "uniform":
            return [Step("any", {}, action, noise)]
        if self.policy == "drifting":
            felt: dict[str, str | Read] = {
                "action": "env/action",
                "bump": "env/bump",
                "motion": Read("env/motion", grad=False),
            }
            return [Step("follow", felt, action, noise, state=True)]
        if self.by_slot:
            return [Step("seek", {"slot": "hc/slot", "stored": "hc/stored"}, action, noise, state=True)]
        return [Step("seek_by_activity", {"p": Read("hc/p", grad=False)}, action, noise, state=True)]

    def init(self, batch: int) -> State:
        """`heading` `[B]` rad, `effect` `[B, n, 2]` in the unit of `env/motion`; or counts `taken` `[B, places, n]`."""
        if self.policy == "drifting":
            return {
                "heading": torch.zeros(batch, dtype=torch.float64),
                "effect": torch.zeros(batch, self.n, 2),  # what each action did to the body when it last moved it
            }
        if self.policy == "least_familiar":
            return {"taken": torch.zeros(batch, self.places, self.n, dtype=torch.int32)}
        return {}

    def any(self, u: Tensor) -> Messages:
        return {"executive/action": _uniform(u[:, :1], self.n)}

    def follow(self, state: State, action: Tensor, bump: Tensor, motion: Tensor, u: Tensor) -> tuple[Messages, State]:
        rows = torch.arange(len(u), device=u.device)
        moved = (action >= 0) & ~bump
        last = action.clamp(min=0)[:, 0]
        effect = state["effect"].index_put((rows, last), torch.where(moved, motion, state["effect"][rows, last]))
        drift = 0.8 * (u[:, 2] - 0.5).double()
        about = torch.where(bump[:, 0], 2 * math.pi * u[:, 2].double(), 0.0)  # a wall: off in a new direction
        heading = (state["heading"] + drift + about) % (2 * math.pi)
        if self.egocentric:
            along = effect[..., 1]  # the way ahead, if an action is known that advances
        else:
            along = effect[..., 0] * heading.cos().float()[:, None] + effect[..., 1] * heading.sin().float()[:, None]
        best, straight = along.max(-1)
        follows = (u[:, 1] < self.persistence) & (best > 0)
        chosen = torch.where(follows, straight, _uniform(u[:, 0], self.n))
        return {"executive/action": chosen[:, None]}, {"heading": heading, "effect": effect}

    def seek_by_activity(self, state: State, p: Tensor, u: Tensor) -> tuple[Messages, State]:
        """The place is the cell that is most active: for memories without slots."""
        return self.seek(
            state, p.argmax(-1, keepdim=True), torch.zeros(len(p), 1, dtype=torch.bool, device=p.device), u
        )

    def seek(self, state: State, slot: Tensor, stored: Tensor, u: Tensor) -> tuple[Messages, State]:
        rows, here = torch.arange(len(u), device=u.device), slot[:, 0]
        taken = torch.where(stored, 0, state["taken"][rows, here])  # [B, n]; a slot taken over is a new place
        least = (taken == taken.amin(-1, keepdim=True)).float()
        # one of the least taken, each alike: the first at which the running count passes u of the way
        chosen = (least.cumsum(-1) > u[:, :1] * least.sum(-1, keepdim=True)).float().argmax(-1)
        taken = taken + F.one_hot(chosen, self.n)
        kept = state["taken"].index_put((rows, here), taken.to(torch.int32))
        return {"executive/action": chosen[:, None]}, {"taken": kept}


def _uniform(u: Tensor, n: int) -> Tensor:
    return (u * n).long().clamp(max=n - 1)
