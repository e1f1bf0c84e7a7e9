"""The rotor: plane waves whose phases self-motion turns. Path integration exact for a life of any length."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from cogarch.mec.phases import TURN, angles, displacement, wrapped
from cogarch.module import Messages, Module, Read, Share, Signal, State, Step

_PLASTIC = 1.32471795724474602596  # its powers spread points evenly over the unit square (Roberts' R2 sequence)


class Rotor(Module):
    """Grid cells by construction, or free plane waves, moved by self-motion.

    `lattice="hexagonal"`: `modules` modules of `cells` cells, each cell the rectified sum of three waves 60 degrees
    apart at phases of its own, evenly spread (the interference picture of Burgess, Barry & O'Keefe 2007; modules as in
    Stensola et al. 2012). A module has one learned scale and orientation, so with `motion="given"` the map from world
    to code is a similarity and the lattice cannot shear. `lattice="free"`: `modules * cells / 2` learned wave vectors,
    the cells their cosines and sines. `scales` are the first and last wave numbers, in rad per cell of the world; the
    fields of a hexagonal module lie 4 pi / (sqrt(3) k) apart.

    `motion="given"`: phases turn by `env/motion`. `motion="learned"`: by a displacement learned for each action, gated
    by `env/bump`. In worlds that report `turn, advance` a heading phase runs beside, and `heading_cells` head-direction
    cells join the code.

    With `correct` > 0 the code is corrected by what memory recalls of a place that looks the same, where that is like
    it by `sure` or more (`hc/recalled_g` and `hc/recognised`, of a memory with `landmark`): the phases that both codes
    stand for are read from them, their differences give one displacement by least squares, and the phases take that
    share of it.

    Phases are float64, wrapped to 2 pi, so that a walk integrated at once and one ticked agree at any length.

    A code tells its phases and heading exactly where a hexagonal module has 12 cells or more and, in worlds that report
    `turn, advance`, 5 head-direction cells or more: then it can be imagined (`ahead`) and says the way (`between`).
    With fewer the two raise ValueError.
    """

    role = "mec"

    def __init__(
        self,
        topics: Mapping[str, Signal],
        *,
        lattice: Literal["hexagonal", "free"] = "hexagonal",
        motion: Literal["given", "learned"] = "given",
        modules: PositiveInt = 5,
        cells: PositiveInt = 32,
        scales: tuple[PositiveFloat, PositiveFloat] = (0.35, 1.6),
        heading_cells: NonNegativeInt = 16,
        correct: Share = 0.0,
        sure: float = 0.8,
    ) -> None:
        super().__init__()
        self.correct_by, self.sure = correct, sure
        if not correct:
            self.over_time = {("move",): "integrate"}
        self.unit = topics["env/motion"].unit
        if self.unit not in ("dx, dy", "turn, advance") and motion == "given":
            raise ValueError(
                f"mec/rotor turns by 'dx, dy' or 'turn, advance', env/motion is {self.unit!r}: where no body moves, "
                f"let it learn a displacement for each action (mec.motion=learned)"
            )
        self.egocentric = self.unit == "turn, advance"
        self.lattice, self.motion, self.n_modules = lattice, motion, modules
        self.n_heading = heading_cells if self.egocentric else 0
        self.n_g = modules * cells + self.n_heading
        low, high = math.log(scales[0]), math.log(scales[1])
        if lattice == "hexagonal":
            self.log_scale = nn.Parameter(torch.linspace(low, high, modules))
            self.orientation = nn.Parameter(torch.rand(modules) * math.pi / 3)
            self.n_phases = 2 * modules  # of the first two waves; the third is their difference
        else:
            self.n_phases = modules * cells // 2
            if 2 * self.n_phases != modules * cells:
                raise ValueError(f"a free wave is two cells: modules * cells is even, not {modules} * {cells}")
            k, way = torch.linspace(low, high, self.n_phases).exp(), torch.rand(self.n_phases) * TURN
            self.vectors = nn.Parameter(torch.stack([k * way.cos(), k * way.sin()], -1))
        if motion == "learned":
            # from almost nowhere: larger beginnings fall into the periods of the lattice and stay there
            actions = topics["env/action"].values
            self.displacement = nn.Parameter(torch.randn(actions, 2) * 0.05)
            if self.egocentric:
                self.turn = nn.Parameter(torch.randn(actions) * 0.05)
        self.legible = (lattice == "free" or cells >= 12) and (not self.egocentric or heading_cells >= 5)
        self.waves: Tensor
        self.rays: Tensor
        self.register_buffer("waves", _waves(cells), persistent=False)  # [6, N]
        preferred = torch.arange(heading_cells) * (TURN / max(heading_cells, 1))
        self.register_buffer("rays", torch.stack([preferred.cos(), preferred.sin()]), persistent=False)  # [2, N]

    def steps(self) -> list[Step]:
        label = "MEC plane waves"
        if self.lattice == "hexagonal":  # what is learned from prediction alone leaves the lattice sheared
            label = "MEC grid cells (by construction)" if self.motion == "given" else "MEC sheared lattice (learned)"
        g = Signal((self.n_g,), cells=label + (" and head-direction cells" if self.egocentric else ""))
        reads: dict[str, str | Read] = {"motion": Read("env/motion", shape=(2,), unit=self.unit)}
        if self.motion == "learned":
            reads = {"action": Read("env/action", dtype=torch.int64), "bump": Read("env/bump", dtype=torch.bool)}
        if not self.correct_by:
            return [Step("move", reads, {"mec/g_path": g, "mec/g": g}, state=True)]
        recalled = {
            "recalled_g": Read("hc/recalled_g", shape=(self.n_g,)),
            "recognised": Read("hc/recognised", grad=False, shape=(1,)),
        }
        return [
            Step("move", reads, {"mec/g_path": g}, state=True),
            Step("correct", {"g_path": "mec/g_path", **recalled}, {"mec/g": g}, state=True),
        ]

    def init(self, batch: int) -> State:
        """`phase` `[B, P]` and `heading` `[B]`, rad."""
        return {
            "phase": torch.zeros(batch, self.n_phases, dtype=torch.float64),
            "heading": torch.zeros(batch, dtype=torch.float64),
        }

    def move(self, state: State, **reads: Tensor) -> tuple[Messages, State]:
        """One tick; reads `[B, ...]`."""
        turn, step = self._felt(**reads)
        heading = (state["heading"] + turn) % TURN
        phase = (state["phase"] + self._turned(heading, step)) % TURN
        writes = self._speak(phase, heading)
        if self.correct_by:
            del writes["mec/g"]
        return writes, {"phase": phase, "heading": heading}

    def correct(self, state: State, g_path: Tensor, recalled_g: Tensor, recognised: Tensor) -> tuple[Messages, State]:
        """The phases moved by the displacement that best explains how the recalled ones differ."""
        share = self.correct_by * (recognised >= self.sure).double()  # [B, 1]
        (path, facing), (recalled, other) = self._read(g_path), self._read(recalled_g)
        waves = self._wave_vectors()
        step = wrapped(recalled - path) @ torch.linalg.pinv(waves).T  # [B, 2]
        phase = (state["phase"] + share * (step @ waves.T)) % TURN
        heading = (state["heading"] + share[:, 0] * wrapped(other - facing)) % TURN
        return {"mec/g": self._speak(phase, heading)["mec/g"]}, {"phase": phase, "heading": heading}

    def ahead(self, g: Tensor, action: Tensor, motion: Tensor) -> Tensor:
        """See `Imaginable`; exact to 1e-5 for codes of its own."""
        phase, heading = self._read(g, steps=EXACT)
        turn, step = self._felt(motion=motion, action=action, bump=torch.zeros_like(action, dtype=torch.bool))
        heading = heading + turn
        return self._speak((phase + self._turned(heading, step)) % TURN, heading % TURN)["mec/g_path"]

    def between(self, here: Tensor, there: Tensor, reach: float = 40.0) -> Tensor:
        """The displacement `[N, 2]` float32 that leads from the place of one code `[N, n_g]` to that of the other.

        In the unit of the motion that it lives by (cells), along the axes of the world; of a body that turns, along
        those of the body at `here`: ahead, left. Of all displacements up to `reach`, the one on which the modules agree
        best (`phases.displacement`). NaN codes, as of a goal that is none, give NaN.

        Half the spacing of the coarsest module's fields, 2 pi / (sqrt(3) k), 10.4 cells at the default scales, is told
        by that module alone. Beyond, modules must agree, so it takes several, whose scales have no small common
        multiple, and codes without much noise: at the default scales exact codes told 1,000 cells; with noise of 0.05
        in each cell all of 40 cells, with 0.1 four in five. A world that closes on itself is unrolled: on a torus it
        leads back the way that was come, which may not be the shortest.
        """
        if not reach > 0:
            raise ValueError(f"reach is {reach}: give the longest displacement that may be meant, above 0 (cells)")
        (start, heading), (end, _) = self._read(here, steps=EXACT), self._read(there, steps=EXACT)
        waves, differ = self._wave_vectors(), end - start
        if self.lattice == "hexagonal":  # the third waves, so that no direction counts more
            third = [x[1::2] - x[0::2] for x in (waves, differ.T)]
            waves, differ = torch.cat([waves, third[0]]), torch.cat([differ, third[1].T], -1)
        way = displacement(differ, waves, self.n_modules, reach)
        return _rotated(way, -heading).float() if self.egocentric else way.float()

    def _read(self, g: Tensor, steps: int = 0) -> tuple[Tensor, Tensor]:
        """The phases `[B, P]` and the heading `[B]` that a code stands for, as `phases.angles` reads them."""
        if steps and not self.legible:
            raise ValueError(
                "this mec/rotor has too few cells to tell from a code alone where it is: give 12 or more (mec.cells) "
                "and, where the body turns, 5 or more for its heading (mec.heading_cells)"
            )
        g, heading = g.double(), g.new_zeros(len(g), dtype=torch.float64)
        if self.n_heading:
            g, head = g[:, : -self.n_heading], g[:, -self.n_heading :]
            heading = angles(head, self.rays.double(), head.new_ones(1, 1), steps)[:, 0]
        if self.lattice == "free":
            return torch.atan2(g[:, self.n_phases :], g[:, : self.n_phases]), heading
        three = g.new_tensor([[1, 0], [0, 1], [-1, 1]])  # waves of two phases
        return angles(g.view(len(g), self.n_modules, -1), self.waves.double(), three, steps).flatten(1), heading

    def integrate(self, state: State, **reads: Tensor) -> tuple[Messages, State]:
        """A whole walk; reads `[T, B, ...]`."""
        turn, step = self._felt(**reads)
        heading = (state["heading"] + turn.cumsum(0)) % TURN
        phase = (state["phase"] + self._turned(heading, step).cumsum(0)) % TURN
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
        """How far a step turns each phase, `[..., P]`."""
        if self.egocentric:
            step = _rotated(step, heading)
        return step @ self._wave_vectors().T

    def _wave_vectors(self) -> Tensor:
        """`[P, 2]` float64, rad per cell of the world (or per unit of learned displacement)."""
        if self.lattice == "free":
            return self.vectors.double()
        sixty = torch.tensor([0.0, math.pi / 3], dtype=torch.float64, device=self.orientation.device)
        angle = self.orientation[:, None].double() + sixty
        k = self.log_scale.double().exp()[:, None, None]
        return (k * torch.stack([angle.cos(), angle.sin()], -1)).flatten(0, 1)

    def _speak(self, phase: Tensor, heading: Tensor) -> Messages:
        theta = phase.float()
        if self.lattice == "free":
            g = torch.cat([theta.cos(), theta.sin()], -1) / math.sqrt(self.n_phases)
        else:
            a, b = theta[..., 0::2], theta[..., 1::2]  # [..., M]
            c = b - a
            basis = torch.stack([a.cos(), a.sin(), b.cos(), b.sin(), c.cos(), c.sin()], -1)
            g = _unit(torch.relu(basis @ self.waves)).flatten(-2) / math.sqrt(self.n_phases / 2)
        if self.egocentric:
            h = heading.float()
            g = torch.cat([g, _HEADING * _unit(torch.relu(torch.stack([h.cos(), h.sin()], -1) @ self.rays))], -1)
        return {"mec/g_path": g, "mec/g": g}


def _rotated(x: Tensor, angle: Tensor) -> Tensor:
    """Vectors `[..., 2]` turned counter-clockwise by angles `[...]`."""
    c, s = angle.cos(), angle.sin()
    return torch.stack([c * x[..., 0] - s * x[..., 1], s * x[..., 0] + c * x[..., 1]], -1)


EXACT = 6  # steps in which the phases of a code are read; the population vectors are enough to correct by
_HEADING = math.sqrt(0.2)  # head direction weighs as much in the code as one of five modules


def _unit(rates: Tensor) -> Tensor:
    unit: Tensor = rates / (rates.norm(dim=-1, keepdim=True) + 1e-6)
    return unit


def _waves(cells: int) -> Tensor:
    """`[6, N]`: cosines and sines of each cell's phases on the three waves, so that `basis @ waves` is the sum of
    cos(theta - phase)."""
    i = torch.arange(1, cells + 1, dtype=torch.float64)[:, None]
    two = (i * torch.tensor([1 / _PLASTIC, 1 / _PLASTIC**2], dtype=torch.float64) % 1) * TURN
    phases = torch.cat([two, two[:, 1:] - two[:, :1]], -1)  # [N, 3]
    return torch.stack([phases.cos(), phases.sin()], -1).flatten(1).T.float().contiguous()
