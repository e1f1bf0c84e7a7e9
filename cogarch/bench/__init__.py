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
    "zero-shot": 3,  # what a map predicts at known places entered by new ways, by window of the walk
    "remapping": 5,  # what of a code carries over to a world of other objects, and what remaps
    "recall": 5,  # what is recalled of places unvisited for 1e3, 1e4 and 1e5 steps
    "structures": 3,  # who learns what: every structural code on worlds of many structures
    "tem": 1,  # how TEM learns, stage by stage (hours a seed where it was not trained before)
    "links": 3,  # links never walked, inferred: against the share of the world that was visited
    "visits": 3,  # learning to learn: accuracy at the n-th visit of a node, at stages of training
    "absence": 3,  # memory: accuracy against the time since the last visit
    "cells": 3,  # shares of grid, band, border and place cells, by agent and by frequency module
    "sensory": 3,  # sensory codes: whose neighbours are neighbours in the world, and what a map in them predicts
    "two-levels": 3,  # regions of a half-walked map against its rooms, and what planning over their doors saves
    "jepa-health": 3,  # what a world model has learned, beside models made to fail
    "navigation": 3,  # goes where it is sent: beside a dictionary of walked moves, chance and an oracle
    "jepa-speed": 1,  # training of a world model beside a plain autoencoder of its size, and what each code tells
    "lesions": 3,  # what each module of the flagship is worth to what it does: clamped in turn
    "minigrid": 3,  # an agent that maps what it sees, in MiniGrid: reward, success and frames, without training
    "bus": 1,  # the cost of the bus beside the same modules called by hand, and of play beside ticking
    "worlds": 1,  # steps a second of every world, beside MiniGrid in gymnasium's own vector environments
    "tem-speed": 1,  # training of TEM and TEM-t, beside TEM's plain form and the rotor
    "train": 1,  # steps a second, threads and memory of training, by structural code
}
"""The benches, and how many seeds each takes unless told otherwise."""
TIMED = ("jepa-speed", "bus", "worlds", "tem-speed", "train")
"""What is timed takes one seed."""


def bench(
    name: str,
    *,
    env: str | None,
    seeds: int | None,
    json: Path | None,
    quick: bool,
    console: Console,
    only: str | None = None,
    figure: Path | None = None,
) -> None:
    """Run a bench, or those codes `only` of it whose names hold that text; draw its `figure` (.png, .svg and .pdf).

    ValueError for an unknown name (the nearest are told), and for what a bench does not take.
    """
    if name not in BENCHES:
        raise ValueError(f"no bench is called {name!r}; {nearest(name, BENCHES)}")
    seeds, timed = BENCHES[name] if seeds is None else seeds, name in TIMED
    if seeds < 1 or (timed and seeds > 1):
        raise ValueError(f"bench {name} takes {'1 seed' if timed else '1 or more seeds'}, not {seeds}")
    env = None if env is None else full_id(env)
    measure: Callable[..., list[Row]] = import_module(f"cogarch.bench.{name.replace('-', '_')}").measure
    asked = {key: value for key, value in {"only": only, "figure": figure}.items() if value is not None}
    for key in asked:
        if key not in inspect.signature(measure).parameters:
            raise ValueError(f"bench {name} has no {'parts' if key == 'only' else key}: leave --{key} out")
    rows = measure(env=env, seeds=range(seeds), quick=quick, console=console, **asked)
    publish(name, rows, range(seeds), json, console)
