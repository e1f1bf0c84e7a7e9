"""How TEM learns: zero-shot accuracy at stages of its training, and along the training itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from rich.console import Console

from analysis.style import GREY, STYLE, PaperFigure, save_figure
from cogarch.bench.codes import STAGES, TEM, TEM_QUICK, Code, chosen
from cogarch.bench.report import Row, over_seeds
from cogarch.learning.zero_shot import evaluate, first_world

WIDTHS = (5, 6, 7)
WINDOWS = ((0, 100), (100, 300), (300, 1000))
"""Stays in a world were 200 to 800 ticks while it learned; the preset quick learned in widths of 5 alone, for 100 to
400 ticks."""
ALONG = 200
"""Updates that are one point of the curve along the training."""
FIGURES = ("accuracy", "accuracy_without_way_back", "same", "frequent")


def measure(
    *,
    env: str | None,
    seeds: Sequence[int],
    quick: bool,
    console: Console,
    only: str = "",
    figure: Path | None = None,
) -> list[Row]:
    """Rows `code train_updates env window events accuracy accuracy_without_way_back same frequent chance`.

    After 0 to 8 eighths of a training in worlds never trained on; then, `window` "training", the training's own
    events, 200 updates a row, over all widths and ages of a stay. The training that is shipped, and the preset quick.
    """
    if env not in (None, "cogarch/Square-v0"):
        raise ValueError(f"bench tem walks in squares, not in {env}; bench structures trains TEM elsewhere")
    rows = []
    for code in chosen((TEM, TEM_QUICK), only):
        for eighths in range(STAGES + 1):
            found = [_scores(code, seed, eighths, quick, console) for seed in seeds]
            stage = zip(*found, strict=True)
            rows += [over_seeds(same, FIGURES, ("events", "events_without_way_back")) for same in stage]
            last = rows[-1]
            console.print(
                f"{code.name} after {last['train_updates']} updates: {last['accuracy']:.3f} in the last window"
            )
        along = [_along(code, seed, quick, console) for seed in seeds]
        rows += [over_seeds(same, ("accuracy",), ("events",)) for same in zip(*along, strict=True)]
    if figure is not None:
        with matplotlib.rc_context(STYLE):
            save_figure(_page(rows), figure)
    return rows


def _scores(code: Code, seed: int, eighths: int, quick: bool, console: Console) -> list[Row]:
    """Zero-shot accuracy by width and window."""
    agent, updates = code.after(None, seed, quick, console, eighths)
    rows: list[Row] = []
    for width in WIDTHS[:1] if quick else WIDTHS:
        label = {"code": code.name, "train_updates": updates, "env": f"Square {width}x{width}"}
        found = evaluate(
            agent,
            "cogarch/Square-v0",
            options={"width": width},
            walks=2 if quick else 32,
            together=16,
            steps=WINDOWS[0][1] if quick else WINDOWS[-1][1],
            seed=seed,
            world_seed=first_world(seed),
            windows=WINDOWS,
        )
        rows += [label | row for row in found]
    return rows


def _along(code: Code, seed: int, quick: bool, console: Console) -> list[Row]:
    """Zero-shot accuracy in the training itself, before each update."""
    folder = code.training(None, seed, quick, console)
    lines = [line for line in folder.metrics if line["events"]]
    update, events, zero_shot = (np.array([line[name] for line in lines]) for name in ("update", "events", "zero_shot"))
    low, high = np.broadcast_to(folder.config["options"]["width"], 2)
    widths = f"{low}x{low} to {high}x{high}" if low < high else f"{low}x{low}"
    rows = []
    for last in range(ALONG, int(update.max()) + ALONG, ALONG):
        at = (update > last - ALONG) & (update <= last)
        label = {"code": code.name, "train_updates": last, "env": f"Square {widths}", "window": "training"}
        right = float((events * zero_shot)[at].sum() / max(events[at].sum(), 1))
        rows.append(label | {"events": int(events[at].sum()), "accuracy": right})
    return rows


def _page(rows: Sequence[Row]) -> PaperFigure:
    """A panel a training."""
    codes = list(dict.fromkeys(row["code"] for row in rows))
    page = PaperFigure(figsize=(3 * len(codes) + 0.6, 2.4), layout="constrained")
    for ax, code in zip(page.subplots(1, len(codes), squeeze=False, sharey=True)[0], codes, strict=True):
        _panel(ax, [row for row in rows if row["code"] == code], code)
        ax.label_outer()
    return page


def _panel(ax: Axes, rows: Sequence[Row], title: str) -> None:
    along = [row for row in rows if row["window"] == "training"]
    updates = [row["train_updates"] for row in along]
    ax.plot(updates, [row["accuracy"] for row in along], color=GREY, lw=0.7, label="in training")
    for i, env in enumerate(dict.fromkeys(row["env"] for row in rows if row["window"] != "training")):
        own = [row for row in rows if row["env"] == env and row["window"] == rows[0]["window"]]
        at, score = [row["train_updates"] for row in own], [row["accuracy"] for row in own]
        spread = [row.get("accuracy_std", 0.0) for row in own]
        ax.errorbar(at, score, spread, fmt="o-", ms=2.5, lw=1, color=f"C{i}", label=env)
    ax.axhline(rows[0]["chance"], color=GREY, ls=":", lw=0.8, label="chance")
    ax.set(ylim=(0, 1.02), xlim=(0, None), xlabel="updates", ylabel=f"zero-shot accuracy, ticks {rows[0]['window']}")
    ax.set_title(title, loc="left")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="lower right")
