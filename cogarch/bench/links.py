"""Links never walked, inferred: zero-shot accuracy against the share of the nodes visited.

Figures 1H and 3D of Whittington et al. 2020.
The node agent of that paper knows every node that it visited and every link between them; the edge agent knows the
links that it walked. Both guess elsewhere. A map is a node agent; a table of transitions is an edge agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from cogarch.bench.codes import chosen
from cogarch.bench.curves import CODES, curves, draw, visited_share
from cogarch.bench.report import Row
from cogarch.learning.zero_shot import Judged, accuracy

BINS = 5
FIGURES = ("accuracy", "accuracy_without_way_back", "accuracy_all", "node_agent", "edge_agent", "frequent", "chance")


def measure(
    *,
    env: str | None,
    seeds: Sequence[int],
    quick: bool,
    console: Console,
    only: str = "",
    figure: Path | None = None,
) -> list[Row]:
    """Rows `code bin events accuracy accuracy_without_way_back accuracy_all node_agent edge_agent frequent chance`.

    `accuracy` is zero-shot; `accuracy_all`, `node_agent` and `edge_agent` are of all moves, those along links walked
    before and to new nodes among them.
    """
    rows = curves(chosen(CODES, only), env, seeds, quick, console, score, FIGURES, ("events", "moves"))
    if figure is not None:
        beside = {"frequent": "most frequent object", "chance": "chance (edge agent)"}
        draw(rows, figure, "share of the nodes visited", "Links never walked, inferred", beside)
    return rows


def score(said: Judged) -> list[Row]:
    """A row for each fifth of the world."""
    share, moved = visited_share(said), said.events.moved
    chance = np.broadcast_to(said.chance, share.shape)
    # a move to a visited node is along a link walked before, or zero-shot
    node_agent = np.where(said.events.visited, 1.0, chance)
    edge_agent = np.where(said.events.visited & ~said.events.zero_shot, 1.0, chance)
    rows = []
    for i in range(BINS):
        at = (share > i / BINS) & (share <= (i + 1) / BINS)
        zero_shot, way_on, moves = (at & mask for mask in (said.events.zero_shot, said.events.without_way_back, moved))
        rows.append(
            {
                "bin": f"{100 * i // BINS}-{100 * (i + 1) // BINS} %",
                "events": int(zero_shot.sum()),
                "moves": int(moves.sum()),
                "accuracy": accuracy(said.hit, zero_shot),
                "accuracy_without_way_back": accuracy(said.hit, way_on),
                "accuracy_all": accuracy(said.hit, moves),
                "node_agent": float(node_agent[moves].mean()) if moves.any() else float("nan"),
                "edge_agent": float(edge_agent[moves].mean()) if moves.any() else float("nan"),
                "frequent": accuracy(said.frequent, zero_shot),
                "chance": float(said.chance.mean()),
            }
        )
    return rows
