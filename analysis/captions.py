"""What figures say in words: whose cells they show, by what rule, and what their marks mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from analysis.scores import ACTIVE, columns_of
from analysis.significance import MIN_SHIFT

LONG = {
    "grid60": "grid score (60°)",
    "grid90": "grid score (90°)",
    "band": "band score",
    "border": "border score",
    "spatial_information": "spatial information (bits/spike)",
    "sparsity": "sparsity",
    "peak": "peak",
}
MARKS = {"*": 0.05, "**": 0.01}  # p at most


def stars(p: float) -> str:
    """The mark of a p; none where it is NaN."""
    return max((mark for mark, level in MARKS.items() if p <= level), key=len, default="")


def marks_of(shuffles: int) -> dict[str, float]:
    """The marks that as many shuffles can give: p = (k + 1) / (n + 1) is never below 1 / (n + 1)."""
    return {mark: level for mark, level in MARKS.items() if 1 / (shuffles + 1) <= level}


def legend(shuffles: int) -> str:
    """What the marks mean after as many shuffles; "" where they can give none."""
    return ", ".join(f"{mark} p ≤ {level:g}" for mark, level in marks_of(shuffles).items())


def word(maps: xr.DataArray) -> str:
    """What to call one map of a topic: only a neural one is a cell."""
    return "cell" if maps.attrs.get("cells") else "signal"


def what(maps: xr.DataArray, scored: bool, drawn: int, total: int) -> str:
    """How many of the cells are drawn, and how."""
    about, kind = maps.attrs, f"{word(maps)}s"
    if scored and total < maps.sizes["cell"]:
        kind = f"active {kind} ({maps.sizes['cell']:,} in all; active: peak above {ACTIVE:g} of the highest)"
    unit, size = about.get("place_unit", ""), about.get("bin_size", 1.0)
    parts = [f"{drawn} of {total:,} {kind}", f"bin {size:g} {unit.removesuffix('s') if size == 1 else unit}"]
    if about.get("smooth"):
        parts.append(f"Gaussian σ {about['smooth']:g} bins")
    return " · ".join(parts)


def whose(about: dict[str, Any]) -> str:
    """How many ticks, of which agent and which of its episodes, in which run: as far as the maps say."""
    parts = [about.get("run", "")]
    if "ticks" in about:
        pooled, episode, many = about["agent"] == "all", about["episode"], about["episodes"]
        life = "all agents pooled" if pooled else f"agent {about['agent']} of {about['agents']}"
        if many > (about["agents"] if pooled else 1):
            one = f"episode {episode} of {'each' if pooled else many}"
            life += f", {many} episodes pooled" if episode == "all" else f", {one}"
        parts.insert(0, f"{about['ticks']:,} ticks, {life}")
    return " · ".join(filter(None, parts))


def order(scores: xr.Dataset, sort: str, ticks: int | None) -> str:
    """By what cells are sorted, what the marks mean, and how many chance gives: at most, as p is conservative."""
    line, shuffles = f"sorted by {LONG[sort]}", scores.attrs["shuffles"]
    if not shuffles:
        short = ticks is not None and ticks < 2 * MIN_SHIFT + 1
        return f"{line} · no significance: {ticks} ticks are too few for time shifts" if short else line
    if not marks_of(shuffles):
        return f"{line} · no marks: {shuffles} time shifts are too few (* takes 19, ** 99)"
    mark, level = [*marks_of(shuffles).items()][-1]
    p = scores[columns_of(sort)[1]].values
    beyond, tested = int((p <= level).sum()), int(np.isfinite(p).sum())
    chance = f"{mark}: {beyond:,} of {tested:,} scored, at most {level * tested:.2g} expected by chance"
    return f"{line} · {legend(shuffles)} against its own {shuffles} time shifts ({chance})"
