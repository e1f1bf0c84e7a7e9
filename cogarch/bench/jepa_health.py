"""What a world model has learned: one that works, in several worlds and senses, beside those made to fail."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure as PaperFigure
from numpy.typing import NDArray
from rich.console import Console

import agents
import envs
from analysis.style import GREY, STYLE, save_figure
from cogarch.bench.codes import Changes, changed, training
from cogarch.bench.report import Row, over_seeds
from cogarch.config import Agent
from cogarch.folder import RunFolder
from cogarch.world.examine import examine_run, walked
from cogarch.world.health import Health
from cogarch.world.probes import r2
from envs.ideal import IdealObserver
from envs.spatial.lattice import Lattice


@dataclass(frozen=True)
class Model:
    """A world model as it is trained and judged."""

    name: str
    env: str | None = None
    """None: two rooms, 9 x 9, a wall and a door anywhere; layouts held out of training."""
    options: Mapping[str, Any] = field(default_factory=dict)
    changes: Changes = field(default_factory=dict)
    """Settings by role; "training" is a role here."""
    without: tuple[str, ...] = ()
    """Losses that are switched off."""
    drawn: bool = False
    """It has a column in the figure."""
    partial: bool = False
    """A part of the world is seen: what an ideal observer knows of the place is said beside it."""

    def agent(self) -> Agent:
        agent = changed(agents.load("jepa"), self.changes)
        setup = agent.training
        losses = {topic: weight for topic, weight in setup.losses.items() if topic not in self.without}
        schedules = {name: s for name, s in setup.schedules.items() if name not in self.without}
        return agent.train_with(losses=losses, schedules=schedules)


EGO = {"body": "egocentric", "view": 7}
CONV: Changes = {"world": {"encoder": "conv"}}
LONGER = {"batch": 32, "steps": 24}
REMEMBERS: Changes = {"world": {"predictor": "gru"}, "training": LONGER}
MODELS = (
    Model("two rooms from above", drawn=True),
    Model("without variance and covariance", without=("loss/variance", "loss/covariance", "loss/inverse"), drawn=True),
    Model("without inverse dynamics", without=("loss/inverse",), drawn=True),
    Model("without prediction", without=("loss/rollout",), drawn=True),
    Model("two rooms, thin walls", options={"walls": "edges"}),
    Model("two rooms with an object", options={"landmarks": 1}),
    Model("two rooms, 64 x 64 pixels", options={"view": "pixels"}, changes=CONV),
    Model("two rooms, view of 7 x 7", options={"view": 7}, changes=REMEMBERS, partial=True),
    Model("two rooms, egocentric view", options=EGO, changes=REMEMBERS, partial=True),
    Model("egocentric, marked walls", options=EGO | {"borders": True}, changes=REMEMBERS, partial=True),
    Model("MiniGrid four rooms, egocentric view", env="MiniGrid-FourRooms-v0", changes=REMEMBERS),
)
WORDS = ("verdict", "why")


def measure(
    *,
    env: str | None,
    seeds: Sequence[int],
    quick: bool,
    console: Console,
    only: str = "",
    figure: Path | None = None,
) -> list[Row]:
    """Rows `model env position_r2 std rank door_accuracy surprise_auroc verdict ...` (`cogarch.world.health`).

    Beside each: the position R2 of the observation itself, of an untrained encoder, and where only a part is seen of an
    ideal observer of one view and of all of them (`envs.ideal`); what is imagined against the first code repeated and
    against other agents' moves; surprise against the number of sensed values that changed. A verdict over seeds is the
    one found most often, and how often.

    `only`: models whose name holds that text. `figure`: codes and imagined errors of a good model and three failed
    ones. ValueError for another world: each model has its own.
    """
    if env is not None:
        raise ValueError("bench jepa-health names its own worlds; cogarch train jepa WORLD ends with this report")
    chosen = [model for model in MODELS if only in model.name]
    if not chosen:
        raise ValueError(f"no model's name holds {only!r}; there is {', '.join(model.name for model in MODELS)}")
    rows: list[Row] = []
    drawn: dict[str, Health] = {}
    for model in chosen:
        found, label = [], {"model": model.name, "env": model.env or "TwoRooms 9x9"}
        for seed in seeds:
            folder = training(model.agent(), model.env, seed, model.options, quick, console)
            health = examine_run(folder)
            if model.drawn:
                drawn.setdefault(model.name, health)
            took = {"train_updates": folder.config["updates"], "train_seconds": folder.metrics[-1]["seconds"]}
            found.append(label | took | health.row | (_ideal(folder) if model.partial else {}))
            console.print(f"{model.name}, seed {seed}: {health.verdict[0]}: {health.verdict[1]}", soft_wrap=True)
        numbers = [key for key in found[0] if key not in (*label, *WORDS, "train_updates")]
        row = over_seeds(found, numbers)
        verdict, times = Counter(f["verdict"] for f in found).most_common(1)[0]
        row["verdict"] = verdict if times == len(found) else f"{verdict} ({times} of {len(found)})"
        rows.append(row)
    if figure is not None and drawn:
        with matplotlib.rc_context(STYLE):
            save_figure(_page(drawn), figure)
    return rows


MANY = 1500
"""Worlds among which each layout is, but for one case in a hundred thousand."""


def _ideal(folder: RunFolder) -> Row:
    """R2 of the place that an ideal observer expects, in the worlds in which the code was probed."""
    options = {**folder.config["options"], "layouts": "all"}
    with contextlib.closing(envs.make(folder.config["env"], MANY, **options)) as every:
        assert isinstance(every, Lattice)
        every.reset(seed=list(range(MANY)))
        ideal = IdealObserver(every)
    walk = walked(folder)
    told = {"view": ideal.seen(walk["observation"]), "ideal": ideal.remembered(walk)}
    place = torch.from_numpy(walk["place"]).flatten(0, 1)
    return {f"position_r2_{name}": r2(torch.from_numpy(x).flatten(0, 1), place) for name, x in told.items()}


def _page(drawn: Mapping[str, Health]) -> PaperFigure:
    """A column a model: where its codes lie, coloured by where they were sensed; and what it imagines."""
    page = PaperFigure(figsize=(2.3 * len(drawn) + 0.4, 4.4), layout="constrained")
    axes = page.subplots(2, len(drawn), squeeze=False)
    for (name, health), (above, below) in zip(drawn.items(), axes.T, strict=True):
        _codes(above, health.points)
        above.set_title(f"{name}\n{health.verdict[0]}\nR2 {health.position_r2:.2f}, std {health.std:.2f}", loc="left")
        _imagined(below, health)
        below.set_yscale("log")
    axes[0, 0].set_ylabel("second principal component")
    axes[1, 0].set_ylabel("error of what is imagined\n/ variance of the codes")
    axes[1, 0].legend(frameon=False, loc="lower right")
    return page


def _codes(ax: Axes, points: NDArray[np.float64]) -> None:
    """Red by x and blue by y."""
    x, y = ((p - p.min()) / max(np.ptp(p), 1e-9) for p in points[:, 2:].T)
    ax.scatter(points[:, 0], points[:, 1], s=5, c=np.stack([x, np.full_like(x, 0.25), y], axis=1), linewidths=0)
    ax.set(xticks=[], yticks=[], xlabel="first principal component")
    ax.spines[["top", "right"]].set_visible(False)


def _imagined(ax: Axes, health: Health) -> None:
    for label, series, colour in (
        ("imagined", health.rollout, "C0"),
        ("others' moves", health.shuffled, "C1"),
        ("first code repeated", health.repeat, GREY),
    ):
        ax.plot(range(1, len(series) + 1), series, color=colour, lw=1.2, label=label)
    ax.set(xlabel="ticks ahead", xlim=(1, len(health.rollout)))
    ax.spines[["top", "right"]].set_visible(False)
