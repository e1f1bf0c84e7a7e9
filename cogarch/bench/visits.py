"""Learning to learn: accuracy at the n-th visit of a node, at stages of training (Whittington et al. 2020, 3A to C).

A code that has learned the structure of worlds knows a node at its second visit, whichever way it comes; one that has
not must learn each link of each new world.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from rich.console import Console

from analysis.style import GREY, STYLE, PaperFigure, save_figure
from cogarch.bench.codes import STAGES, chosen, usual
from cogarch.bench.curves import CODES, arrivals, finish, line, lives
from cogarch.bench.report import Row, over_seeds
from cogarch.learning.zero_shot import Judged, accuracy

VISITS = 8


def measure(
    *,
    env: str | None,
    seeds: Sequence[int],
    quick: bool,
    console: Console,
    only: str = "",
    figure: Path | None = None,
) -> list[Row]:
    """Rows `code train_updates bin events accuracy chance`: weights after 0, 1, 2, 4 and 8 eighths of each training."""
    rows, walked = [], usual(env)
    for code in chosen(CODES, only):
        for eighths in (0, 1, 2, 4, STAGES):
            found = []
            for seed in seeds[:1] if code.shipped else seeds:
                agent, updates = code.after(env, seed, quick, console, eighths, policy=walked)
                label = {"code": code.name, "train_updates": updates, "one_training": code.shipped}
                found.append([label | row for row in score(lives(agent, env, seed, quick))])
            rows += [over_seeds(same, ("accuracy", "chance"), ("events",)) for same in zip(*found, strict=True)]
            console.print(f"{code.name} after {rows[-1]['train_updates']} updates: {rows[-VISITS + 1]['accuracy']:.3f}")
    if figure is not None:
        _draw(rows, figure)
    return rows


def score(said: Judged) -> list[Row]:
    """A row for each visit: the first, which no map can know, to the 8th."""
    count, rows = arrivals(said), []
    for n in range(1, VISITS + 1):
        at = said.events.moved & (count == n)
        rows.append({"bin": str(n), "events": int(at.sum()), "accuracy": accuracy(said.hit, at)})
        rows[-1]["chance"] = float(said.chance.mean())
    return rows


def _draw(rows: Sequence[Row], figure: Path) -> None:
    """A panel a code, a line a stage of its training."""
    with matplotlib.rc_context(STYLE):
        save_figure(_page(rows), figure)


def _page(rows: Sequence[Row]) -> PaperFigure:
    codes = list(dict.fromkeys(row["code"] for row in rows))
    page = PaperFigure(figsize=(2.2 * len(codes) + 0.4, 2.9), layout="constrained")
    panels = page.subplots(1, len(codes), squeeze=False, sharey=True)[0]
    for ax, code in zip(panels, codes, strict=True):
        own = [row for row in rows if row["code"] == code]
        stages = list(dict.fromkeys(row["train_updates"] for row in own))
        for i, stage in enumerate(stages):
            colour = matplotlib.colormaps["viridis"](0.9 * i / max(len(stages) - 1, 1))
            part = [row for row in own if row["train_updates"] == stage]
            line(ax, part, "accuracy", "o-", color=colour, label=f"{stage:,} updates")
        ax.axhline(own[0]["chance"], color=GREY, ls=":", lw=0.8, label="chance")
        finish(ax, [str(n) for n in range(1, VISITS + 1)], "visit of the node", code)
        ax.legend(frameon=False, fontsize=6, loc="upper center", bbox_to_anchor=(0.5, -0.25), ncols=2)
        ax.label_outer()
    return page
