"""The figure of a shortcut: an errand, the way that a dictionary of walked moves takes, and the agent's."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.style import GREY, STYLE, save_figure
from cogarch.bench import errands
from cogarch.bench.errands import Known, Sent
from cogarch.config import Agent
from envs.oracle import Walked


def draw(path: Path, agent: Agent, env: str, options: dict[str, Any], worlds: Sequence[Known]) -> None:
    """Of the errands in these worlds, the one on which inferring saves most steps where the dictionary knows a way."""
    best: tuple[int, Known, Sent, Sent, int, int] | None = None
    for known in worlds:
        table = errands.tables_of(env, options, [known.seed])[0]
        ticks = errands.targets(known, table, 60, np.random.default_rng(0))
        own = errands.send(agent, env, options, known, ticks)
        walked = errands.send_by(Walked, env, options, known, ticks)
        saved = np.where(own.came & walked.came & (walked.new == 0), walked.steps - own.steps, -1)
        k = int(saved.argmax())
        if best is None or saved[k] > best[0]:
            best = int(saved[k]), known, own, walked, k, int(known.node[ticks[k]])
    if best is None:
        raise ValueError("there is no world to draw an errand of")
    _, known, own, walked, chosen, goal = best
    table = errands.tables_of(env, options, [known.seed])[0]
    with errands.opened(env, 1, options) as world:
        world.reset(seed=[known.seed])
        walls = world.walls(0)  # type: ignore[attr-defined]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.4), layout="constrained")
        for ax, sent, title in zip(
            figure.subplots(1, 2), (walked, own), ("only moves made before", "moves inferred"), strict=True
        ):
            _draw(ax, table.place, walls, known, sent, chosen, goal)
            ax.set_title(f"{title}: {sent.steps[chosen]} steps (best {sent.best[chosen]:.0f})")
        figure.supxlabel("grey: moves made while exploring; red: moves never made before", fontsize=8)
        save_figure(figure, path)


def _draw(ax: Axes, place: Any, walls: Any, known: Known, sent: Sent, k: int, goal: int) -> None:
    made = {(a, b) for a, b in zip(known.node.tolist(), known.node[1:].tolist(), strict=False) if a != b}
    for a, b in made:
        ax.plot(*place[[a, b]].T, color=GREY, lw=0.8, zorder=1)
    for line in walls:
        ax.plot(*line.T, color="black", lw=1.4, zorder=2)
    way = sent.nodes[: sent.steps[k] + 1, k].tolist()
    for a, b in itertools.pairwise(way):
        new = (a, b) not in made
        ax.annotate(
            "",
            place[b],
            place[a],
            arrowprops={"arrowstyle": "-|>", "color": "C3" if new else "C0", "lw": 1.6},
            zorder=3,
        )
    ax.plot(*place[way[0]], "o", color="C0", ms=6, zorder=4)
    ax.plot(*place[goal], "*", color="C1", ms=11, zorder=4)
    ax.set_aspect("equal")
    ax.axis("off")
