"""How fast TEM and TEM-t learn, beside TEM as it is defined (whole matrices at every tick) and the rotor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console

import agents
from cogarch.bench.report import Row
from cogarch.bench.train import trained
from cogarch.config import Agent

CORRECTED: dict[str, dict[str, Any]] = {"hc": {"capacity": 100, "merge": 0.0}}
"""tem_t corrects itself while it learns, too."""


def codes() -> dict[str, tuple[Agent, int]]:
    """Each with its agent and the updates of a round."""
    tem, tem_t = agents.load("tem"), agents.load("tem_t")
    return {
        "tem": (tem, 40),
        "tem, plain form": (tem.change("hc", plain=True), 8),
        "tem_t": (tem_t, 100),
        "tem_t, corrected": (tem_t.train_with(modules=CORRECTED), 20),
        "rotor": (agents.load("explorer"), 200),
    }


def measure(*, env: str | None, seeds: Sequence[int], quick: bool, console: Console) -> list[Row]:
    """Rows `code steps_per_second over_plain peak_mb threads`: medians over rounds, all codes in turn in each.

    `over_plain`: the median over rounds of the speed over that of the plain form in the same round.
    """
    rounds: list[dict[str, Row]] = []
    for _ in range(1 if quick else 3):
        rounds.append({})
        for code, (agent, updates) in codes().items():
            rounds[-1][code] = trained(agent, env, max(1, updates // 8) if quick else updates, seeds[0])
            console.print(f"{code}: {rounds[-1][code]['steps_per_second']:,.0f} steps/s")
    rows = []
    for code in rounds[0]:
        speed = np.array([found[code]["steps_per_second"] for found in rounds])
        plain = np.array([found["tem, plain form"]["steps_per_second"] for found in rounds])
        rows.append(
            {"code": code}
            | rounds[0][code]
            | {
                "steps_per_second": float(np.median(speed)),
                "steps_per_second_std": float(speed.std()),
                "over_plain": float(np.median(speed / plain)),
                "peak_mb": max(found[code]["peak_mb"] for found in rounds),
            }
        )
    return rows
