"""How fast the codes learn: environment steps a second, threads, and the memory of the process."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

import agents
from cogarch.bench.report import Row
from cogarch.config import Agent
from cogarch.learning.train import train

CODES = (
    ("rotor, motion given", "explorer"),
    ("rotor, displacements learned", "learner"),
    ("tem_t", "tem_t"),
    ("recurrent (LSTM)", "recurrent"),
)


def measure(*, env: str | None, seeds: Sequence[int], quick: bool, console: Console) -> list[Row]:
    """Rows `code steps_per_second peak_mb`; each code in a process of its own, walking the worlds included."""
    rows = []
    for code, name in CODES:
        row = {"code": code, **trained(agents.load(name), env, 20 if quick else 200, seeds[0])}
        rows.append(row)
        console.print(f"{code}: {row['steps_per_second']:,.0f} steps/s")
    for row in rows:
        row["ratio"] = row["steps_per_second"] / rows[0]["steps_per_second"]
    return rows


def trained(agent: Agent, env: str | None, updates: int, seed: int) -> Row:
    """`steps_per_second peak_mb ...` of so many updates, in a process of its own, whose memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        row: Row = pool.apply(_one, (agent, env, updates, seed))
    return row


def _one(agent: Agent, env: str | None, updates: int, seed: int) -> Row:
    agent = agent.model_copy(update={"training": agent.training.model_copy(update={"updates": updates})})
    with tempfile.TemporaryDirectory() as out:
        folder = train(agent, env, seed=seed, out=Path(out) / "run", console=Console(quiet=True))
        last = folder.metrics[-1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "steps_per_second": last["steps_per_second"],
        "peak_mb": peak / (2**20 if sys.platform == "darwin" else 1024),
        "updates": updates,
        "env_steps": int(last["env_steps"]),
        "seconds": last["seconds"],
        "threads": torch.get_num_threads(),
    }
