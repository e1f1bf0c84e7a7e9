"""Cells by class and by frequency module: which share of each agent's cells are grid, band, border and place cells."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rich.console import Console
from scipy import ndimage

import agents
import analysis
import envs
from analysis.classes import CLASSES, shares
from cogarch.bench.codes import trained
from cogarch.bench.recorded import recorded
from cogarch.bench.report import Row, over_seeds
from cogarch.config import Agent
from cogarch.run import SCORING_SEED, contracts
from envs import policies

SQUARE, HEX = "cogarch/Square-v0", "cogarch/Hex-v0"
TICKS, SHUFFLES = 10_000, 120  # of shuffles that have a score it takes 99
NOISE_CELLS, SMOOTH = 160, 1 / 8
"""Smooth noise: a Gaussian, its sigma as a share of the width of the world."""
MADE_UP = "maps"  # the topic of a control
FIGURES = ("cells", "computable", *CLASSES, "grid60")


@dataclass(frozen=True)
class Life:
    """How an agent lives, and which of its cells are looked at."""

    agent: str
    topics: tuple[str, ...] = ("mec/g",)
    width: int = 15
    known: int = 2_000
    """Ticks before those that are mapped."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the structural code."""
    preset: str | None = None
    """Another way to be trained than that of the shipped weights."""
    controls: tuple[str, ...] = ()
    """Cells that are made up, and mapped along the same walk."""


SHIFTED, PERMUTED = "explorer, shifted in time", "explorer, bins permuted"
NOISE, RECTIFIED = "smooth noise", "smooth noise, rectified"
LIVES = (
    Life("explorer", width=30, controls=(SHIFTED, PERMUTED)),  # the fields of its coarsest module lie 21 cells apart
    Life("explorer", ("hc/p",)),
    Life("learner", width=30),
    Life("tem_t", ("mec/g", "hc/p"), controls=(NOISE, RECTIFIED)),
    Life("tem_t", preset="long"),
    # trained in squares 5 to 7 wide, in which not even a perfect lattice has a grid score
    Life("tem", width=10, controls=(NOISE, RECTIFIED)),
    Life("recurrent"),
    # eigenvectors are found once, and stand still while they are mapped
    Life("successor", ("mec/g", "mec/eigenvectors"), known=10_000, settings={"refresh": 10_000}),
)


@dataclass(frozen=True)
class Population:
    """Cells that are counted together."""

    about: Row
    """Agent, world, topic, module and weights."""
    maps: xr.DataArray
    scores: xr.Dataset

    @property
    def name(self) -> str:
        module = "" if self.about["module"] == "all" else f", module {self.about['module']}"
        return f"{self.about['agent']} · {self.about['topic']}{module} · {self.about['env']}"

    @property
    def row(self) -> Row:
        grid60 = self.scores["grid60"].values[np.isfinite(self.scores["grid60"].values)]
        return self.about | {
            "cells": self.scores.sizes["cell"],
            "computable": grid60.size / max(self.scores.sizes["cell"], 1),
            **shares(self.scores),
            "grid60": float(grid60.mean()) if grid60.size else float("nan"),
        }


def measure(
    *,
    env: str | None,
    seeds: Sequence[int],
    quick: bool,
    console: Console,
    only: str = "",
    figure: Path | None = None,
) -> list[Row]:
    """Rows `agent env topic module weights cells computable grid ... grid60`: shares of active cells, means over seeds.

    Every agent walks the world at random (a policy that sweeps it leaves an order in its time shifts), and each of its
    active cells is classed against its own `SHUFFLES` of these (`analysis.classes`). `module`: "all", or the number of
    a frequency module, the highest frequency first. `weights`: "shipped" (a seed is a world), "trained" (a training and
    a world) or "none" (a world). `computable`: the share of cells that have a grid score; `grid60` is their mean.

    Controls: the explorer's lattice by construction (positive); the same activity shifted in time, and the same maps
    with their bins permuted (negative: at most 1 % in each class by chance); and smooth noise, as it is and rectified,
    read along the same walk. That is what place alone gives: a share that is no larger than its own says nothing.

    `only`: agents whose name holds that text, and the controls in worlds of their width. `figure`: the best cells of
    each. Raises ValueError for a world that is neither square nor hexagonal, and where no agent has that name.
    """
    if env not in (None, SQUARE, HEX):
        raise ValueError(f"bench cells maps cells in {SQUARE} and {HEX}, not in {env}: name one of these")
    lives = [life for life in LIVES if only in life.agent]
    if not lives:
        raise ValueError(f"no agent's name holds {only!r}; there is {', '.join({life.agent: 0 for life in LIVES})}")
    rows: list[Row] = []
    drawn: dict[str, Population] = {}
    for life in lives:
        found: dict[str, list[Row]] = {}
        for seed in seeds:
            for population in _populations(life, env or SQUARE, seed, quick, console):
                found.setdefault(population.name, []).append(population.row)
                drawn.setdefault(population.name, population)
        rows += [over_seeds(same, FIGURES) for same in found.values()]
        for name, row in zip(found, rows[-len(found) :], strict=True):
            console.print(f"{name}: " + ", ".join(f"{kind} {row[kind]:.2f}" for kind in CLASSES), markup=False)
    if figure is not None:
        analysis.save_figure(analysis.plot_populations(_page(drawn)), figure)
    return rows


def _page(drawn: Mapping[str, Population]) -> dict[str, tuple[xr.DataArray, xr.Dataset]]:
    """What is drawn: modules in place of the whole that they make, and noise as it is."""
    whole = {(p.about["agent"], p.about["topic"]) for p in drawn.values() if p.about["module"] == 0}
    return {
        name: (p.maps, p.scores)
        for name, p in drawn.items()
        if p.about["agent"] != RECTIFIED
        and not (p.about["module"] == "all" and (p.about["agent"], p.about["topic"]) in whole)
    }


def _populations(life: Life, env: str, seed: int, quick: bool, console: Console) -> Iterator[Population]:
    """The populations of one life, and the controls that belong to it."""
    agent, weights = _ready(life, env, seed, quick, console)
    width = 9 if quick else life.width
    options = {"width": width} if env == SQUARE else {"edge": (width + 1) // 2}
    where = f"Square {width}x{width}" if env == SQUARE else f"Hex, edge {options['edge']}"
    recording = _live(agent, env, options, life, seed, quick)
    about = {"agent": agent.name, "env": where, "topic": "", "module": "all", "weights": weights}
    for topic in life.topics:
        yield from _scored(recording, about | {"topic": topic}, seed)
    for control in life.controls:
        made_up = _controls(control, recording, life.topics[0], width, np.random.default_rng(seed))
        yield from _scored(made_up, about | {"agent": control, "topic": MADE_UP, "weights": "none"}, seed)


def _controls(control: str, recording: xr.Dataset, topic: str, width: int, rng: np.random.Generator) -> xr.Dataset:
    """A recording of made-up cells along the walk of another."""
    activity = recording[topic.replace("/", ".")].values[:, 0]
    if control == SHIFTED:  # each cell by an amount of its own
        shifts = rng.integers(len(activity), size=(activity.shape[1],))
        return _along(recording, np.stack([np.roll(activity[:, i], by) for i, by in enumerate(shifts.tolist())], -1))
    maps = analysis.rate_maps(recording, topic)
    if control == PERMUTED:  # each cell in a way of its own
        visited, values = maps["occupancy"].values > 0, maps.values.copy()
        values[:, visited] = rng.permuted(values[:, visited], axis=1)
    else:
        noise = rng.normal(size=(NOISE_CELLS, *maps.shape[1:]))
        values = ndimage.gaussian_filter(noise, (0, width * SMOOTH, width * SMOOTH))
        values = np.maximum(values, 0) if control == RECTIFIED else values
    index = analysis.Bins.of(recording).index(recording["env.place"].values[:, 0])
    return _along(recording, values.reshape(len(values), -1).T[index])


def _along(recording: xr.Dataset, activity: NDArray[Any]) -> xr.Dataset:
    """Activity `[T, n]` along the walk of a recording."""
    cells = (("tick", "agent", "cells"), activity[:, None].astype(np.float32), {"topic": MADE_UP})
    return recording[["env.place"]].assign({MADE_UP: cells})


def _ready(life: Life, env: str, seed: int, quick: bool, console: Console) -> tuple[Agent, str]:
    """The agent as it lives, and where its weights are from."""
    agent = agents.load(life.agent).change("mec", **life.settings)
    agent = agent if life.preset is None else agent.preset(life.preset)
    if agent.trained is not None and env == SQUARE and life.preset is None:
        return agent.model_copy(update={"weights": agent.trained}), "shipped"
    if agent.learns:
        return trained(agent, None if env == SQUARE else env, seed, {}, quick, console)[0], "trained"
    return agent, "none"


def _live(agent: Agent, env: str, options: Mapping[str, Any], life: Life, seed: int, quick: bool) -> xr.Dataset:
    """The recording of a random walk in a world never trained on, from the tick on from which it is mapped."""
    known, ticks = (50, 600) if quick else (life.known, TICKS)
    with contextlib.closing(envs.make(env, 1, **options)) as world:
        world_seeds = [SCORING_SEED + seed]
        walk = policies.walk(world, "drifting", known + ticks, world_seeds=world_seeds, policy_seed=seed)
        bus = agent.build(contracts(world), seed=seed)
    return recorded(bus, walk, life.topics, known)


def _scored(recording: xr.Dataset, about: Row, seed: int) -> Iterator[Population]:
    """All cells of a topic, and then each of its modules."""
    maps = analysis.rate_maps(recording, about["topic"])
    scores = analysis.scores(recording, about["topic"], n=SHUFFLES, seed=seed)
    yield Population(about, maps, scores)
    if "module" in scores.coords:
        for module in np.unique(maps["module"]).tolist():
            own = scores.isel(cell=np.flatnonzero(scores["module"] == module))
            yield Population(about | {"module": module}, maps, own)
