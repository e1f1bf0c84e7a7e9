"""How long a map holds: accuracy against the ticks since the last visit of a place (Whittington et al. 2020, 3E)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cogarch.bench.codes import chosen
from cogarch.bench.curves import CODES, absences, curves, draw
from cogarch.bench.report import Row
from cogarch.learning.zero_shot import Judged, accuracy

DOUBLINGS = 8
FIGURES = ("accuracy", "frequent", "chance")


def measure(
    *,
    env: str | None,
    seeds: Sequence[int],
    quick: bool,
    console: Console,
    only: str = "",
    figure: Path | None = None,
) -> list[Row]:
    """Rows `code bin events accuracy frequent chance`: moves to places visited before, by the time away from them."""
    rows = curves(chosen(CODES, only), env, seeds, quick, console, score, FIGURES, ("events",))
    if figure is not None:
        beside = {"frequent": "most frequent object", "chance": "chance"}
        draw(rows, figure, "ticks since the last visit", "Memory of places left", beside)
    return rows


def score(said: Judged) -> list[Row]:
    """A row for each doubling of the absence: 2-3 ticks, 4-7, ..., 256-511."""
    away, rows = absences(said), []
    for low in (2**i for i in range(1, DOUBLINGS + 1)):
        at = said.events.moved & (away >= low) & (away < 2 * low)
        rows.append(
            {
                "bin": f"{low}-{2 * low - 1}",
                "events": int(at.sum()),
                "accuracy": accuracy(said.hit, at),
                "frequent": accuracy(said.frequent, at),
                "chance": float(said.chance.mean()),
            }
        )
    return rows
