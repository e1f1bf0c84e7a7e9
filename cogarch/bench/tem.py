"""How TEM learns: zero-shot accuracy at stages of its training, and along the training itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from rich.console import Console

import agents
from analysis.style import GREY, STYLE, PaperFigure, save_figure
from cogarch.bench.codes import STAGES, TEM, training
from cogarch.bench.report import Row, over_seeds
from cogarch.learning.zero_shot import evaluate

WIDTHS = (5, 6, 7)
WINDOWS = ((0, 100), (100, 300), (300, 1000))
"""A stay in a world was 200 to 800 ticks while it learned."""
ALONG = 200
"""Updates that are one point of the curve along the training."""
FIGURES = ("accuracy", "accuracy_without_way_back", "same", "frequent")


def measure(
    *, env: str | None, seeds: Sequence[int], quick: bool, console: Console, figure: Path | None = None
) -> list[Row]:
    """Rows `train_updates env window events accuracy accuracy_without_way_back same frequent chance`.

    After 0 to 8 eighths of the training in worlds never trained on; then, `window` "training", the training's own
    events, 200 updates a row, over all widths and ages of a stay.
    """
    if env not in (None, "cogarch/Square-v0"):
        raise ValueError(f"bench tem walks in squares, not in {env}; bench structures trains TEM elsewhere")
    rows, widths = [], WIDTHS[:1] if quick else WIDTHS
    for eighths in range(STAGES + 1):
        found: list[list[Row]] = []
        for seed in seeds:
            agent, updates = TEM.after(None, seed, quick, console, eighths)
            found.append([])
            for width in widths:
                label = {"code": "TEM", "train_updates": updates, "env": f"Square {width}x{width}"}
                scores = evaluate(
                    agent,
                    "cogarch/Square-v0",
                    options={"width": width},
                    walks=2 if quick else 32,
                    together=16,
                    steps=WINDOWS[0][1] if quick else WINDOWS[-1][1],
                    seed=seed,
                    world_seed=10_000 + 100 * seed,
                    windows=WINDOWS,
                )
                found[-1] += [label | row for row in scores]
        stage = zip(*found, strict=True)
        rows += [over_seeds(same, FIGURES, ("events", "events_without_way_back")) for same in stage]
        console.print(f"after {rows[-1]['train_updates']} updates: {rows[-1]['accuracy']:.3f} in the last window")
    along = [_along(seed, quick, console) for seed in seeds]
    rows += [over_seeds(same, ("accuracy",), ("events",)) for same in zip(*along, strict=True)]
    if figure is not None:
        with matplotlib.rc_context(STYLE):
            save_figure(_page(rows), figure)
    return rows


def _along(seed: int, quick: bool, console: Console) -> list[Row]:
    """Zero-shot accuracy in the training itself, before each update."""
    folder = training(agents.load(TEM.agent), None, seed, {}, quick, console)
    lines = [line for line in folder.metrics if line["events"]]
    update, events, zero_shot = (np.array([line[name] for line in lines]) for name in ("update", "events", "zero_shot"))
    rows = []
    for last in range(ALONG, int(update.max()) + ALONG, ALONG):
        at = (update > last - ALONG) & (update <= last)
        label = {"code": "TEM", "train_updates": last, "env": "5x5 to 7x7", "window": "training"}
        right = float((events * zero_shot)[at].sum() / max(events[at].sum(), 1))
        rows.append(label | {"events": int(events[at].sum()), "accuracy": right})
    return rows


def _page(rows: Sequence[Row]) -> PaperFigure:
    page = PaperFigure(figsize=(3.6, 2.4), layout="constrained")
    ax = page.subplots()
    along = [row for row in rows if row["window"] == "training"]
    updates = [row["train_updates"] for row in along]
    ax.plot(updates, [row["accuracy"] for row in along], color=GREY, lw=0.7, label="in training")
    for i, env in enumerate(dict.fromkeys(row["env"] for row in rows if row["window"] != "training")):
        own = [row for row in rows if row["env"] == env and row["window"] == rows[0]["window"]]
        at, score = [row["train_updates"] for row in own], [row["accuracy"] for row in own]
        ax.errorbar(at, score, [row["accuracy_std"] for row in own], fmt="o-", ms=2.5, lw=1, color=f"C{i}", label=env)
    ax.axhline(rows[0]["chance"], color=GREY, ls=":", lw=0.8, label="chance")
    ax.set(ylim=(0, 1.02), xlim=(0, None), xlabel="updates", ylabel=f"zero-shot accuracy, ticks {rows[0]['window']}")
    ax.set_title("TEM learns", loc="left")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="lower right")
    return page
