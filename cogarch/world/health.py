"""What a world model has learned, in numbers and in words: is it collapsed, does it know more than the background, is
it of use? `cogarch.world.examine` measures it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.table import Table

COLLAPSED, BACKGROUND, KNOWN, FORESEEN = 0.1, 0.5, 0.9, 0.9
"""Below this std a code is collapsed; below this R2 it does not tell where the agent is; usable are codes with at least
that R2 whose predictions are nearest to the right place at least that often."""


@dataclass(frozen=True)
class Health:
    """Of codes in worlds never trained on."""

    std: float
    """Mean standard deviation of a latent."""
    rank: float
    between: float
    """The share of the codes' variance that lies between worlds: what does not move."""
    position_r2: float
    """Linear, fitted in training worlds; NaN where there are no places."""
    position_r2_mlp: float
    position_r2_memory: float
    """The same of the code and of what the predictor remembers; NaN where it remembers nothing."""
    position_r2_raw: float
    """The same of the observation itself."""
    position_r2_untrained: float
    accuracy: float
    """How often the code predicted for a (node, action) is nearest to that of the right node of this world."""
    accuracy_moved: float
    accuracy_bumped: float
    """The same where the move was made, and where it was refused."""
    door_accuracy: float
    """The same at bottlenecks (`envs.coverage.bottlenecks`); NaN where there are none."""
    action_use: float
    """The error of predictions for other actions over that for those taken; 1: the action does not matter."""
    walls: float
    """The share of imagined steps that stay or go as the world's agent does."""
    walls_snapped: float
    """The same where each imagined code is replaced by the nearest that the agent remembers of this world."""
    distance: float
    """Spearman's correlation of distances between codes with steps between nodes."""
    rollout: tuple[float, ...]
    """Squared error of what is imagined 1, 2, .. ticks ahead, over the codes' variance."""
    repeat: tuple[float, ...]
    """That of the first code said again."""
    shuffled: tuple[float, ...]
    """That of what is imagined for other agents' moves."""
    surprise: Mapping[str, float]
    """AUROC of surprise for each violation of what can happen, against ticks of the same walks without it."""
    change: Mapping[str, float]
    """That of the number of sensed values that changed: a detector that knows nothing."""
    points: NDArray[np.float64]
    """`[n, 4]`: the first two principal components of some codes, and x, y of where they were sensed; for a figure."""

    @property
    def row(self) -> dict[str, Any]:
        """Plain numbers and words, for a table or a file."""
        verdict, why = self.verdict
        lowest = min(self.surprise.values(), default=math.nan)
        numbers = {name: x for name, x in vars(self).items() if isinstance(x, float)}
        for name in ("rollout", "repeat", "shuffled"):
            series = getattr(self, name)
            numbers |= {f"{name}_1": series[0], f"{name}_{len(series)}": series[-1]}
        for name, x in self.surprise.items():
            numbers |= {f"surprise_{name.replace(' ', '_')}": x, f"change_{name.replace(' ', '_')}": self.change[name]}
        return {**numbers, "surprise_auroc": lowest, "verdict": verdict, "why": why}

    @property
    def table(self) -> Table:
        """What a training ends with."""
        verdict, why = self.verdict
        table = Table(title=f"{verdict}: {why}", title_justify="left", box=SIMPLE, pad_edge=False, show_header=False)
        far = len(self.rollout)
        lines = {
            "std of a latent (1 is meant), rank": f"{self.std:.2f}, {self.rank:.1f}",
            "share of the variance between worlds": f"{self.between:.2f}",
            "position R2, linear (perceptron; with the predictor's memory)": (
                f"{_said(self.position_r2)} ({_said(self.position_r2_mlp)}; {_said(self.position_r2_memory)})"
            ),
            "  of the observation itself, of an untrained encoder": (
                f"{_said(self.position_r2_raw)}, {_said(self.position_r2_untrained)}"
            ),
            "next place right: moves, bumps, bottlenecks": (
                f"{_said(self.accuracy_moved)}, {_said(self.accuracy_bumped)}, {_said(self.door_accuracy)}"
            ),
            "error for other actions over that for those taken": f"{self.action_use:.1f}",
            f"error of {far} ticks imagined, of the code repeated, of others' moves": (
                f"{self.rollout[-1]:.3f}, {self.repeat[-1]:.3f}, {self.shuffled[-1]:.3f}"
            ),
            "imagined steps that walls stop as in the world (each snapped to memory)": (
                f"{self.walls:.3f} ({self.walls_snapped:.3f})"
            ),
            "distance of codes with steps between places, rank correlation": f"{self.distance:.2f}",
            **{
                f"AUROC of surprise: {name} (of what changed)": f"{x:.3f} ({self.change[name]:.3f})"
                for name, x in self.surprise.items()
            },
        }
        for name, value in lines.items():
            table.add_row(name, value)
        return table

    @property
    def verdict(self) -> tuple[str, str]:
        """What it is: "collapsed", "static background only", "usable" or "not usable", and why."""
        if not self.std >= COLLAPSED:
            return "collapsed", (
                f"latents have a standard deviation of {self.std:.2g}, not 1: then neither rank ({self.rank:.1f}) nor a"
                " small error says anything"
            )
        told = "no places" if math.isnan(self.position_r2) else f"position R2 {self.position_r2:.2f}"
        if self.position_r2 < BACKGROUND and self.between > BACKGROUND:
            return "static background only", (
                f"{self.between:.0%} of the variance lies between worlds, and the code does not tell where in them the "
                f"agent is ({told})"
            )
        wants = []
        if self.position_r2 < KNOWN:
            wants.append(f"{told} < {KNOWN}")
        if not self.accuracy >= FORESEEN:
            wants.append(f"the next code is nearest to the right place in {self.accuracy:.2f} < {FORESEEN} of moves")
        if not self.action_use > 2:
            wants.append(f"another action makes the error {self.action_use:.1f} times as large: it hardly matters")
        if wants:
            return "not usable", "; ".join(wants)
        return "usable", f"{told}, std {self.std:.2f}, the next place right in {self.accuracy:.3f} of moves"


def _said(x: float) -> str:
    return "-" if math.isnan(x) else f"{x:.3f}"
