"""The rotor: modules of plane waves whose phases self-motion turns. Path integration exact for a life of any length."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from cogarch.module import Messages, Module, Read, Signal, State, Step

_TURN = 2 * math.pi
_PLASTIC = 1.32471795724474602596  # its powers spread points evenly over the unit square (Roberts' R2 sequence)


class Rotor(Module):
    """Grid cells by construction: a cell is the rectified sum of three plane waves 60 degrees apart.

    Each of `modules` modules has one learned scale and orientation and `cells` cells at evenly spread phases (the
    interference picture of Burgess, Barry & O'Keefe 2007; modules as in Stensola et al. 2012). Since the three waves of
    a module stay 60 degrees apart, the map from world to code is a similarity and the lattice cannot shear.

    `motion="given"`: phases turn by `env/motion`. `motion="learned"`: by a displacement learned for each action, gated
    by `env/bump`. In worlds that report `turn, advance` a heading phase runs beside, and `heading_cells` head-direction
    cells join the code. `scales` are the first and last wave numbers in rad per cell of the world; the spacing of a
    module's fields is 4 pi / (sqrt(3) k).

    Phases are float64, wrapped to 2 pi, so that a walk integrated at once and one ticked agree at any length.
    """

    role = "mec"
    over_time = {("move",): "integrate"}

    def __init__(
        self,
        topics: Mapping[str, Signal],
        *,
        motion: Literal["given", "learned"] = "given",
        modules: int = 5,
        cells: int = 32,
        scales: tuple[float, float] = (0.35, 1.6),
        heading_cells: int = 16,
    ) -> None:
        super().__init__()
        self.motion, self.n_modules, self.cells = motion, modules, cells
        self.unit = topics["env/motion"].unit
        if self.unit not in ("dx, dy", "turn, advance"):
            raise ValueError(f"mec/rotor turns by 'dx, dy' or 'turn, advance', env/motion is in {self.unit!r}")
        self.egocentric = self.unit == "turn, advance"
        self.n_heading = heading_cells if self.egocentric else 0
        self.log_scale = nn.Parameter(torch.linspace(math.log(scales[0]), math.log(scales[1]), modules))
        self.orientation = nn.Parameter(torch.rand(modules) * math.pi / 3)
        if motion == "learned":
            actions = topics["env/action"].values
            self.displacement = nn.Parameter(torch.randn(actions, 2) * 0.7)
            if self.egocentric:
                self.turn = nn.Parameter(torch.randn(actions) * 0.5)
        self.waves: Tensor
        self.rays: Tensor
        self.register_buffer("waves", _waves(cells), persistent=False)  # [6, N]
        preferred = torch.arange(heading_cells) * (_TURN / max(heading_cells, 1))
        self.register_buffer(
            "rays", torch.stack([preferred.cos(), preferred.sin()]), persistent=False
        )  # [2, n_heading]

    @property
    def n_g(self) -> int:
        return self.n_modules * self.cells + self.n_heading

    def steps(self) -> list[Step]:
        label = "MEC grid cells (by construction)" + (" and head-direction cells" if self.egocentric else "")
        g = Signal((self.n_g,), cells=label)
        reads: dict[str, str | Read] = {"motion": Read("env/motion", shape=(2,), unit=self.unit)}
        if self.motion == "learned":
            reads = {"action": Read("env/action", dtype=torch.int64), "bump": Read("env/bump", dtype=torch.bool)}
        return [Step("move", reads, {"mec/g_path": g, "mec/g": g}, state=True)]

    def init(self, batch: int) -> State:
        """`phase` `[B, M, 2]` of the first two waves (the third is their difference) and `heading` `[B]`, rad."""
        return {
            "phase": torch.zeros(batch, self.n_modules, 2, dtype=torch.float64),
            "heading": torch.zeros(batch, dtype=torch.float64),
        }

    def move(self, state: State, **reads: Tensor) -> tuple[Messages, State]:
        """One tick; reads `[B, ...]`."""
        turn, step = self._felt(**reads)
        heading = (state["heading"] + turn) % _TURN
        phase = (state["phase"] + self._turned(heading, step)) % _TURN
        return self._speak(phase, heading), {"phase": phase, "heading": heading}

    def integrate(self, state: State, **reads: Tensor) -> tuple[Messages, State]:
        """A whole walk; reads `[T, B, ...]`."""
        turn, step = self._felt(**reads)
        heading = (state["heading"] + turn.cumsum(0)) % _TURN
        phase = (state["phase"] + self._turned(heading, step).cumsum(0)) % _TURN
        return self._speak(phase, heading), {"phase": phase[-1], "heading": heading[-1]}

    def _felt(self, **reads: Tensor) -> tuple[Tensor, Tensor]:
        """The turn `[...]` and the step in body coordinates `[..., 2]`, float64."""
        if self.motion == "given":
            motion = reads["motion"].double()
            if not self.egocentric:
                return torch.zeros_like(motion[..., 0]), motion
            return motion[..., 0], torch.stack([motion[..., 1], torch.zeros_like(motion[..., 1])], -1)
        action = reads["action"][..., 0]
        moved = ((action >= 0) & ~reads["bump"][..., 0]).double()
        action = action.clamp(min=0)
        step = self.displacement.double()[action] * moved[..., None]
        return (self.turn.double()[action] * moved if self.egocentric else torch.zeros_like(moved)), step

    def _turned(self, heading: Tensor, step: Tensor) -> Tensor:
        """How far a step turns each module's two phases, `[..., M, 2]`."""
        if self.egocentric:
            c, s = heading.cos(), heading.sin()
            step = torch.stack([c * step[..., 0] - s * step[..., 1], s * step[..., 0] + c * step[..., 1]], -1)
        angle = self.orientation[:, None].double() + torch.tensor([0.0, math.pi / 3], device=step.device)
        k = self.log_scale.double().exp()[:, None, None] * torch.stack([angle.cos(), angle.sin()], -1)  # [M, 2, 2]
        return torch.einsum("...d,mkd->...mk", step, k)

    def _speak(self, phase: Tensor, heading: Tensor) -> Messages:
        a, b = phase.float().unbind(-1)  # [..., M]
        c = b - a
        basis = torch.stack([a.cos(), a.sin(), b.cos(), b.sin(), c.cos(), c.sin()], -1)
        rates = torch.relu(basis @ self.waves)  # [..., M, N]
        g = _unit(rates).flatten(-2)
        if self.egocentric:
            h = heading.float()
            rays = torch.relu(torch.stack([h.cos(), h.sin()], -1) @ self.rays)
            g = torch.cat([g, _unit(rays)], -1)
        return {"mec/g_path": g, "mec/g": g}


def _unit(rates: Tensor) -> Tensor:
    unit: Tensor = rates / (rates.norm(dim=-1, keepdim=True) + 1e-6)
    return unit


def _waves(cells: int) -> Tensor:
    """`[6, N]`: cosines and sines of each cell's phases on the three waves, so that `basis @ waves` is the sum of
    cos(theta - phase)."""
    i = torch.arange(1, cells + 1, dtype=torch.float64)[:, None]
    two = (i * torch.tensor([1 / _PLASTIC, 1 / _PLASTIC**2], dtype=torch.float64) % 1) * _TURN
    phases = torch.cat([two, two[:, 1:] - two[:, :1]], -1)  # [N, 3]
    return torch.stack([phases.cos(), phases.sin()], -1).flatten(1).T.float().contiguous()
