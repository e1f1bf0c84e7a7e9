"""The published numbers, a file each: `cogarch bench NAME` prints a bench's rows and writes them as JSON."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from rich.console import Console

from cogarch.bench.report import Row, publish
from cogarch.wiring import nearest

BENCHES = {
    "zero-shot": "what a map predicts at known places entered by new ways, by window of the walk",
    "recall": "what is recalled of places unvisited for 1e3, 1e4 and 1e5 steps",
    "bus": "the cost of the bus beside the same modules called by hand, and of play beside ticking",
    "train": "steps a second, threads and memory of training, by structural code",
}


def bench(name: str, *, env: str | None, seeds: int, json: Path | None, quick: bool, console: Console) -> None:
    """Run a bench; ValueError names the nearest."""
    if name not in BENCHES:
        raise ValueError(f"no bench is called {name!r}; {nearest(name, BENCHES)}")
    if seeds < 1:
        raise ValueError(f"a bench takes 1 or more seeds, not {seeds}")
    measure: Callable[..., list[Row]] = import_module(f"cogarch.bench.{name.replace('-', '_')}").measure
    publish(name, measure(env=env, seeds=range(seeds), quick=quick, console=console), range(seeds), json, console)
