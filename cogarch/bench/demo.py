"""First light: learn a map, live in worlds never seen, print what was predicted, and draw the cells."""

from __future__ import annotations

import csv
import itertools
import shutil
import time
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

import agents
import analysis
from analysis.style import PaperFigure
from cogarch.bench.report import Row
from cogarch.config import Agent
from cogarch.folder import RunFolder
from cogarch.learning.train import train
from cogarch.learning.zero_shot import evaluate
from cogarch.run import run

WIDTH, TICKS, UPDATES = 20, 3000, 1000
LIVES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("square", "cogarch/Square-v0", {"width": WIDTH}),
    ("four-rooms", "MiniGrid-FourRooms-v0", {}),
)
CELLS = (("mec/g", "grid60"), ("hc/p", "spatial_information"))
"""Topics whose cells are drawn, and the score that sorts them."""
SAID = {"grid60": "grid score {:.2f}", "spatial_information": "{:.2f} bits/spike", "band": "band {:.2f}"}
SHIPPED: tuple[tuple[str, dict[str, Any]], ...] = (("tem_t", {"width": 10}), ("tem", {"width": 7}))
"""Agents that live with the weights that they are shipped with, in squares; of them the structural cells are drawn."""


def demo(out: Path, *, quick: bool = False) -> None:
    """Everything that `make demo` shows, into `out`; a demo that lies there is made anew."""
    began, console = time.perf_counter(), Console()
    for name in ("learned", *(name for name, *_ in LIVES), "square-learned", *(name for name, _ in SHIPPED)):
        if (out / name / "run.json").exists():
            shutil.rmtree(out / name)
    explorer, learner, tem_t = (agents.load(name) for name in ("explorer", "learner", "tem_t"))
    setup = learner.training.model_copy(update={"updates": UPDATES // 10 if quick else UPDATES})

    console.rule("1. learn a map: how far does each action carry me? (squares 5 to 8 wide)", align="left")
    folder = train(learner.model_copy(update={"training": setup}), out=out / "learned")
    learned = folder.agent

    console.rule(f"2. predict the unseen: zero-shot in squares {WIDTH} wide, never trained on", align="left")
    rows: list[Row] = []
    for agent, regime, noise, updates in (
        (explorer, "motion given", 0.0, 0),
        (explorer, "motion given", 0.05, 0),
        (agents.load("corrected"), "corrected by landmarks", 0.05, 0),
        (learned, "displacements learned", 0.0, setup.updates),
        (learner, "displacements learned", 0.0, 0),
        (tem_t.model_copy(update={"weights": tem_t.trained}), "tem_t", 0.0, tem_t.training.updates),
    ):
        options = {"width": WIDTH, "motion_noise": noise}
        found = evaluate(agent, "cogarch/Square-v0", options=options, walks=2, steps=2048)
        rows += [{"regime": regime, "motion_noise": noise, "train_updates": updates, **row} for row in found]
    _table(rows, console)

    console.rule("3. live in worlds never seen, and draw the cells", align="left")
    lives: list[tuple[str, Agent, str, dict[str, Any]]] = [
        *((name, explorer, env, options) for name, env, options in LIVES),
        ("square-learned", learned, LIVES[0][1], LIVES[0][2]),
        *((name, agents.load(name), LIVES[0][1], options) for name, options in SHIPPED),
    ]
    for name, agent, env, options in lives:
        ticks = TICKS // 2 if agent.trained else TICKS  # their squares are small
        life = run(agent, env, steps=ticks, options=options, out=out / name, console=console)
        for topic, _ in CELLS[:1] if agent.trained else CELLS:
            figures = life.path / "figures" / topic.replace("/", ".")
            for path in analysis.write_ratemaps(life.path, topic, figures, shuffles=100):
                if path.suffix == ".png":
                    console.print(f"   {path}")
    paths = analysis.save_figure(_first_light(out, rows), out / "first_light")
    minutes = (time.perf_counter() - began) / 60
    console.print(f"\n[bold]{paths[0]}[/] shows it all on one page; the demo took {minutes:.1f} minutes.")


def _table(rows: list[Row], console: Console) -> None:
    """A line a code, a column a window: accuracy, and without the way back over a walked edge."""
    windows = {row["window"]: row["events"] for row in rows}
    table = Table(box=SIMPLE, padding=(0, 1), pad_edge=False)
    for head in ("code", *(f"ticks {window}\n{events} events" for window, events in windows.items())):
        table.add_column(head)
    for kind in dict.fromkeys(_kind(row) for row in rows):
        own = [row for row in rows if _kind(row) == kind]
        table.add_row(kind, *(f"{r['accuracy']:.3f} ({r['accuracy_without_way_back']:.3f})" for r in own))
    frequent = {row["window"]: row["frequent"] for row in rows}
    table.add_row("[dim]always the most frequent object[/]", *(f"[dim]{frequent[w]:.3f}[/]" for w in windows))
    table.add_row("[dim]chance[/]", *(f"[dim]{rows[0]['chance']:.3f}[/]" for _ in windows))
    console.print(table)
    console.print("in brackets: without the way back over an edge walked before", style="dim")


def _kind(row: Row) -> str:
    learned = f" after {row['train_updates']} updates" if row["train_updates"] else ", untrained"
    return f"{row['regime']}{learned}{f', noise {noise}' if (noise := row['motion_noise']) else ''}"


def _first_light(out: Path, rows: list[Row]) -> PaperFigure:
    """One page: the prediction of the unseen, a path, and the best cells of MEC and HC in both worlds."""
    figure = PaperFigure(figsize=(11, 8.8), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(1, 2.2))
    left, right = halves
    _accuracy(left.subplots(), rows)
    drawn = [(name, env, *cells) for (name, env, _), cells in itertools.product(LIVES, CELLS)]
    drawn += [(name, f"a square {options['width']} wide", "mec/g", "band") for name, options in SHIPPED]
    rooms: Any = right.subfigures(len(drawn), 1)
    for room, (name, env, topic, score) in zip(rooms, drawn, strict=True):
        cells = _cells(room.subplots(1, 8), RunFolder.open(out / name), topic, score)
        room.suptitle(f"{cells} in {env}", x=0.01, ha="left", fontsize=8)
    return figure


def _accuracy(ax: Axes, rows: list[Row]) -> None:
    windows = list(dict.fromkeys(row["window"] for row in rows))
    for i, label in enumerate(dict.fromkeys(_kind(row) for row in rows)):
        own = [row["accuracy"] for row in rows if _kind(row) == label]
        # each mark smaller than the one below it: codes that are equally right stay visible
        ax.plot(own, "o-", ms=12 - 1.8 * i, lw=3.6 - 0.55 * i, label=label, clip_on=False)
    ax.axhline(rows[0]["chance"], color="0.6", ls=":", label="chance")
    ax.set(ylim=(0, 1), ylabel="zero-shot accuracy", xlabel="window of the walk (ticks)", xticks=range(len(windows)))
    ax.set_xticklabels(windows, fontsize=8)
    ax.set_title(
        f"The unseen link, predicted\n(squares {WIDTH} wide, never trained on)", loc="left", fontsize=10, pad=10
    )
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=7, loc="lower left", bbox_to_anchor=(0, 0.16))


def _cells(axes: Any, life: RunFolder, topic: str, score: str) -> str:
    """Draw eight cells from the best down; the name of their population."""
    maps = analysis.rate_maps(life, topic)
    with (life.path / "figures" / topic.replace("/", ".") / "scores.csv").open(newline="") as file:
        table = [row for row in csv.DictReader(file) if row[score]]
    best = sorted(table, key=lambda row: -float(row[score]))
    # every eighth of the better half: the best alone would all be of one module
    for ax, row in zip(axes, best[:: max(len(best) // 12, 1)], strict=False):
        ax.imshow(maps.sel(cell=int(row["cell"])), origin="lower", interpolation="none")
        ax.set_title(SAID[score].format(float(row[score])), fontsize=6)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    return str(maps.attrs["cells"])
