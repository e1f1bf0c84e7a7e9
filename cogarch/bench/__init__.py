"""The published numbers, a file each: `cogarch bench NAME` prints a bench's rows and writes them as JSON."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from rich.console import Console

from cogarch.bench.report import Row, publish
from cogarch.wiring import nearest
from envs import full_id

BENCHES = {
    "zero-shot": 5,  # what a map predicts at known places entered by new ways, by window of the walk
    "recall": 5,  # what is recalled of places unvisited for 1e3, 1e4 and 1e5 steps
    "bus": 1,  # the cost of the bus beside the same modules called by hand, and of play beside ticking
    "worlds": 1,  # steps a second of every world, beside MiniGrid in gymnasium's own vector environments
    "tem-speed": 1,  # training of TEM and TEM-t, beside TEM's plain form and the rotor
    "train": 1,  # steps a second, threads and memory of training, by structural code
}
"""The benches, and how many seeds each takes unless told otherwise (what is timed takes one)."""


def bench(
    name: str,
    *,
    env: str | None,
    seeds: int | None,
    json: Path | None,
    quick: bool,
    console: Console,
    only: str | None = None,
) -> None:
    """Run a bench, or those codes `only` of it whose names hold that text; ValueError names the nearest."""
    if name not in BENCHES:
        raise ValueError(f"no bench is called {name!r}; {nearest(name, BENCHES)}")
    usual = BENCHES[name]
    seeds = usual if seeds is None else seeds
    if seeds < 1 or (usual == 1 and seeds > 1):
        raise ValueError(f"bench {name} takes {'1 seed' if usual == 1 else '1 or more seeds'}, not {seeds}")
    env = None if env is None else full_id(env)
    measure: Callable[..., list[Row]] = import_module(f"cogarch.bench.{name.replace('-', '_')}").measure
    part = {}
    if only is not None:
        if "only" not in inspect.signature(measure).parameters:
            raise ValueError(f"bench {name} has no parts: leave --only out")
        part = {"only": only}
    rows = measure(env=env, seeds=range(seeds), quick=quick, console=console, **part)
    publish(name, rows, range(seeds), json, console)
