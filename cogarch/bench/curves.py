"""What codes predict of worlds never seen, along an axis: the share that was visited, visits, the time since the last.

Each bench here sorts the ticks of the same walks into bins of its own axis, and draws accuracy over them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from rich.console import Console

from analysis.style import GREY, STYLE, PaperFigure, save_figure
from cogarch.bench.codes import LEARNER, LSTM, TEM, TEM_T, Code, usual
from cogarch.bench.report import Row, over_seeds
from cogarch.config import Agent
from cogarch.learning.zero_shot import Bools, Ints, Judged, first_world, judge

SQUARE = "cogarch/Square-v0"
WIDTH = 7
"""The widest squares in which TEM is trained, so that all codes walk in the same ones."""
CODES = (TEM, TEM_T, LEARNER, LSTM)

Bins = Sequence[tuple[str, Bools]]
"""Along an axis: what is written below it, and the ticks `[T, B]` that fall there."""
Score = Callable[[Judged], list[Row]]
"""A row a bin."""


def lives(agent: Agent, env: str | None, seed: int, quick: bool) -> Judged:
    """64 walks of 512 ticks in worlds never trained on."""
    return judge(
        agent,
        env or SQUARE,
        options={} if env else {"width": WIDTH},
        walks=4 if quick else 64,
        together=4 if quick else 16,
        steps=128 if quick else 512,
        seed=seed,
        world_seed=first_world(seed),
    )


def curves(
    codes: Sequence[Code],
    env: str | None,
    seeds: Sequence[int],
    quick: bool,
    console: Console,
    score: Score,
    figures: Sequence[str],
    counts: Sequence[str],
) -> list[Row]:
    """The rows of every code, trained and untrained, means of `figures` and sums of `counts` over seeds."""
    rows, walked = [], usual(env)
    for code in codes:
        for learned in (True, False):
            found = []
            for seed in seeds:
                agent, label = code.ready(env, seed, quick, console, learned=learned, policy=walked)
                found.append([label | row for row in score(lives(agent, env, seed, quick))])
            rows += [over_seeds(same, (*figures, "train_seconds"), counts) for same in zip(*found, strict=True)]
            console.print(f"{rows[-1]['code']}: {figures[0]} {rows[-1][figures[0]]:.3f} at {rows[-1]['bin']}")
    return rows


def draw(rows: Sequence[Row], figure: Path, axis: str, title: str, beside: Mapping[str, str]) -> None:
    """Accuracy over the bins, a line a code with its spread over seeds, untrained ones dashed; and columns `beside`."""
    with matplotlib.rc_context(STYLE):
        page = _page(rows, axis, title, beside)
        save_figure(page, figure)


def _page(rows: Sequence[Row], axis: str, title: str, beside: Mapping[str, str]) -> PaperFigure:
    first = [row for row in rows if row["code"] == rows[0]["code"]]
    page = PaperFigure(figsize=(2 + 0.46 * len(first), 2.4), layout="constrained")
    ax = page.subplots()
    names = list(dict.fromkeys(str(row["code"]).removesuffix(", untrained") for row in rows))
    for i, name in enumerate(names):
        for label, style in ((name, "o-"), (f"{name}, untrained", "--")):
            own = [row for row in rows if row["code"] == label]
            line(ax, own, "accuracy", style, color=f"C{i}", label=label if style == "o-" else None)
    for style, (column, label) in zip(("-.", ":"), beside.items(), strict=True):
        ax.plot([row[column] for row in first], ls=style, lw=0.8, color=GREY, label=label)
    ax.plot([], ls="--", color=GREY, label="the same, untrained")
    finish(ax, [row["bin"] for row in first], axis, title)
    return page


def line(ax: Axes, rows: Sequence[Row], column: str, style: str, **kwargs: Any) -> None:
    """A column over the bins, with a band of one standard deviation over seeds."""
    mean, spread = (np.array([row.get(name, np.nan) for row in rows]) for name in (column, f"{column}_std"))
    ax.plot(mean, style, ms=2.5, lw=1, **kwargs)
    ax.fill_between(range(len(rows)), mean - spread, mean + spread, color=kwargs["color"], alpha=0.2, lw=0)


def finish(ax: Axes, bins: Sequence[str], axis: str, title: str) -> None:
    """Axes as in all these figures."""
    ax.set(ylim=(0, 1.02), xlabel=axis, ylabel="accuracy before seeing", xticks=range(len(bins)))
    ax.set_xticklabels(bins, fontsize=6 if len(bins) > 5 else None)
    ax.set_title(title, loc="left")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))


def arrivals(said: Judged) -> Ints:
    """`[T, B]`: how often the node was entered until then, this time included; standing still is no entering."""
    count = np.zeros(said.node.shape, np.int64)
    entered = np.zeros((said.node.shape[1], int(said.node.max()) + 1), np.int64)
    rows = np.arange(said.node.shape[1])
    for t, node in enumerate(said.node):
        entered[rows, node] += said.events.moved[t] | (t == 0)
        count[t] = entered[rows, node]
    return count


def absences(said: Judged) -> Ints:
    """`[T, B]`: ticks since the agent was last at this node; 0 where it never was."""
    last = np.full((said.node.shape[1], int(said.node.max()) + 1), -1, np.int64)
    rows = np.arange(said.node.shape[1])
    ticks = np.zeros(said.node.shape, np.int64)
    for t, node in enumerate(said.node):
        before = last[rows, node]
        ticks[t] = np.where(before >= 0, t - before, 0)
        last[rows, node] = t
    return ticks


def visited_share(said: Judged) -> NDArray[np.float64]:
    """`[T, B]`: the share of the world's nodes that was visited before the tick."""
    new = (~said.events.visited).cumsum(0)
    before = np.vstack([np.zeros_like(new[:1]), new[:-1]])
    share: NDArray[np.float64] = before / said.nodes
    return share
