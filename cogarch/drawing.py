"""An agent's wiring as a figure: a line for every topic, a row for every step, a dot where one meets the other."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
from matplotlib.figure import Figure

from cogarch import files
from cogarch.module import ROLES

if TYPE_CHECKING:
    from cogarch.bus import Bus

_COLOURS = dict(zip(("env", *ROLES), ("0.45", "#3b78b0", "#3f8f3f", "#c87a1e", "#7a55a8", "#c0434f"), strict=True))


def draw_wiring(bus: Bus, path: Path) -> None:
    """Write the figure whole or not at all, in the format of the path's ending (png, svg, pdf)."""
    kind = path.suffix.removeprefix(".")
    if kind not in ("png", "svg", "pdf"):
        raise ValueError(f"a wiring is drawn as png, svg or pdf, not as {path.name!r}")
    data = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "pdf.fonttype": 42}):
        wiring_figure(bus).savefig(data, format=kind, dpi=200, bbox_inches="tight")
    files.write_whole(path, data.getvalue())


def wiring_figure(bus: Bus) -> Figure:
    """Time runs down: steps in the order of a tick. Full dots write, open dots read; a number is a delay in ticks."""
    plan = bus.plan
    steps = ["the world", *(node.name for node in plan.order), "the world "]
    row = {name: i for i, name in enumerate(steps)}
    written = {topic: row[plan.writer(topic)] for topic in plan.topics}
    reads = [(row[node.name], read.topic, read.delay) for node in plan.order for read in node.reads.values()]
    if "executive/action" in plan.topics:  # the world moves, and the next tick begins
        reads.append((len(steps) - 1, "executive/action", 0))
    heard = {topic for _, topic, _ in reads}
    # the world says much that an agent may not listen to; what a module says is shown in any case
    lines = sorted((t for t in plan.topics if t in heard or t not in plan.inputs), key=lambda t: (written[t], t))
    column = {topic: i for i, topic in enumerate(lines)}
    figure = Figure(figsize=(0.42 * len(lines) + 1.8, 0.34 * len(steps) + 1.2))
    ax = figure.subplots()
    for name, i in row.items():
        ax.axhline(i, color="0.92", lw=5, zorder=0)
        ax.text(-0.8, i, name, ha="right", va="center", fontsize=8, color=_colour(name.partition(".")[0]))
    for topic, x in column.items():
        ends = [written[topic], *(i for i, t, delay in reads if t == topic)]
        colour = _colour(topic.partition("/")[0])
        ax.plot([x, x], [min(ends), max(ends)], color=colour, lw=1.4, solid_capstyle="round")
        ax.plot(x, written[topic], "o", color=colour, ms=6)
        ax.text(x, -0.7, topic, rotation=55, ha="left", va="bottom", fontsize=7, color=colour)
    for i, topic, delay in reads:
        colour = _colour(topic.partition("/")[0])
        ax.plot(column[topic], i, "o", mfc="white", mec=colour, mew=1.4, ms=6)
        if delay:
            ax.text(column[topic] + 0.2, i, f"−{delay}", fontsize=6, color=colour, va="center")
    ax.set(xlim=(-0.6, len(lines)), ylim=(len(steps) - 0.5, -0.6))
    ax.axis("off")
    return figure


def _colour(role: str) -> str:
    return _COLOURS.get(role, _COLOURS["env"])
