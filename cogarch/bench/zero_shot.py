"""Zero-shot accuracy of every structural code, trained and untrained, by window of the walk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from rich.console import Console

from analysis.style import GREY, STYLE, PaperFigure, save_figure
from cogarch.bench.codes import GIVEN, SQUARES, chosen, suited
from cogarch.bench.curves import finish, line
from cogarch.bench.report import Row, over_seeds
from cogarch.config import Agent
from cogarch.learning.zero_shot import WINDOWS, evaluate, first_world

WIDTHS = (8, 12, 20, 30)
"""Rotors train on widths 5 to 8, tem_t and the LSTM on 5 to 12; the worlds scored are others in any case."""
NOISES = (0.0, 0.05)
DRAWN = 20
"""The width of which the figure is."""
FIRST_STEPS = (0, 100)
"""A window of its own beside the others: as long as the walks of a training."""
KINDS = ("", "_without_way_back", "_answerable")  # the last where moves compose


def measure(
    *,
    env: str | None,
    seeds: Sequence[int],
    quick: bool,
    console: Console,
    only: str = "",
    figure: Path | None = None,
) -> list[Row]:
    """Rows `code env regime motion_noise window events accuracy ... train_updates train_seconds`, means over seeds.

    On squares (the default) trained on the widths of the agent's file, scored on `WIDTHS` (`width_trained` says which
    of them it knows); on another `env` trained on its training seeds, scored on others. Each code stands beside its
    untrained self. `figure`: accuracy by window, in squares those `DRAWN` wide, with noise and without.
    """
    squares = env in (None, "cogarch/Square-v0")
    codes, policy = (SQUARES, None) if squares or env is None else suited(env)
    rows = []
    for code in chosen(codes, only):
        for learned in (False, True):
            found: list[list[Row]] = []
            for seed in seeds:
                world = None if squares else env
                agent, label = code.ready(world, seed, quick, console, learned=learned, policy=policy)
                scores = []
                options = {**agent.training.options, **code.options}
                label["train_motion_noise"] = options.get("motion_noise", 0.0) if learned else None
                low, high = options["width"]
                for row in _scores(agent, world, seed, quick, given=code.regime == GIVEN):
                    seen = squares and low <= int(row["env"].rpartition("x")[2]) <= high
                    scores.append(label | {"width_trained": seen and learned} | row)
                found.append(scores)
            kinds = [kind for kind in KINDS if f"accuracy{kind}" in found[0][0]]
            figures = [*(f"accuracy{kind}" for kind in kinds), "same", "frequent", "train_seconds"]
            counts = [f"events{kind}" for kind in kinds]
            rows += [over_seeds(same, figures, counts) for same in zip(*found, strict=True)]
            console.print(f"{rows[-1]['code']}, {code.regime}: accuracy {rows[-1]['accuracy']:.3f} in the last window")
    untrained = {_key(row): row["accuracy"] for row in rows if not row["learned"]}
    rows = [{**row, "untrained": untrained[_key(row)]} for row in rows]
    if figure is not None:
        with matplotlib.rc_context(STYLE):
            save_figure(_page(rows), figure)
    return rows


def _scores(agent: Agent, env: str | None, seed: int, quick: bool, *, given: bool) -> list[Row]:
    rows: list[Row] = []
    for width in WIDTHS if env is None else (None,):
        for noise in NOISES:
            if noise and not given:  # it reads no motion: the same walk, to the bit
                rows += [row | {"motion_noise": noise} for row in rows if row["env"] == _where(env, width)]
                continue
            options = {"motion_noise": noise} | ({"width": width} if width else {})
            found = evaluate(
                agent,
                env or "cogarch/Square-v0",
                options=options,
                together=4,
                walks=1 if quick else 4 if width else 2,
                steps=1024 if quick else 4096 if width else 2048,
                seed=seed,
                world_seed=first_world(seed),
                windows=(FIRST_STEPS, *WINDOWS),
            )
            rows += [{"env": _where(env, width), "motion_noise": noise} | row for row in found]
    return rows


def _page(rows: Sequence[Row]) -> PaperFigure:
    """A panel without noise, of all codes, and one with noise, of those that are moved by what the body felt."""
    widest = [row for row in rows if row["env"] == _where(None, DRAWN)] or rows
    quiet = [row for row in widest if not row["motion_noise"]]
    noisy = [row for row in widest if row["motion_noise"] and row["regime"] == GIVEN]
    parts = [part for part in (quiet, noisy) if part]
    colours = {code: f"C{i}" for i, code in enumerate(dict.fromkeys(_key(row)[:2] for row in widest))}
    page = PaperFigure(figsize=(3 * len(parts) + 2.2, 2.6), layout="constrained")
    panels = page.subplots(1, len(parts), squeeze=False, sharey=True)[0]
    for ax, shown in zip(panels, parts, strict=True):
        for code, colour in colours.items():
            for learned, style in ((True, "o-"), (False, "--")):
                own = [row for row in shown if _key(row)[:2] == code and row["learned"] == learned]
                if own:
                    label = ", ".join(code) if learned else None
                    line(ax, own, "accuracy", style, color=colour, label=label)
        first = [row for row in shown if _key(row)[:2] == _key(shown[0])[:2] and row["learned"] == shown[0]["learned"]]
        ax.plot([row["frequent"] for row in first], ":", lw=0.8, color=GREY, label="most frequent object")
        ax.plot([], ls="--", color=GREY, label="the same, untrained")
        noise = first[0]["motion_noise"]
        title = f"{first[0]['env']}" + (f", noise {noise} cells a step" if noise else "")
        finish(ax, [str(row["window"]) for row in first], "ticks of the walk", title)
        ax.tick_params(axis="x", labelsize=6)
        ax.label_outer()
        if ax is not panels[0]:
            ax.get_legend().remove()
    handles, labels = panels[0].get_legend_handles_labels()
    panels[0].get_legend().remove()
    panels[-1].legend(handles, labels, frameon=False, fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))
    return page


def _where(env: str | None, width: int | None) -> str:
    return f"Square {width}x{width}" if width else str(env)


def _key(row: Row) -> tuple[Any, ...]:
    code = str(row["code"]).removesuffix(", untrained")
    return code, row["regime"], row["env"], row["motion_noise"], row["window"]
