"""What the bus costs: `tick` beside the same modules called by hand, and `play` beside ticking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console

import agents
import envs
from cogarch.bench.report import Row
from cogarch.bench.timing import paired
from cogarch.bus import Bus
from cogarch.module import Messages
from cogarch.run import contracts, heard
from envs import policies

BATCHES = (1, 16, 256)
LENGTHS = (1000, 4096)


def measure(*, env: str | None, seeds: Sequence[int], quick: bool, console: Console) -> list[Row]:
    """Rows `batch overhead` (tick over direct calls that return the same dictionaries) and `length play_speedup`.

    Each figure is a ratio of times measured side by side, in turn, in this run: the median over rounds, with the
    quartiles beside. One seed: what is timed does not depend on it.
    """
    world = "cogarch/Square-v0"
    if env not in (None, world):
        raise ValueError(f"bench bus calls by hand what the explorer does in {world}; it knows no {env}")
    rows: list[Row] = []
    for batch in BATCHES:
        # the same bus and the same state on both sides, so that only the way of calling differs
        bus, walk = _setting(world, batch, 128)
        ticks = [{topic: x[t] for topic, x in walk.items()} for t in range(128)]
        sides = (lambda b=bus, t=ticks: _ticked(b, t), lambda b=bus, t=ticks: _by_hand(b, t))
        ratio, first, second = paired(*sides, rounds=2 if quick else 60)
        rows.append(
            {
                "batch": batch,
                "overhead": ratio[1],
                "overhead_quartiles": f"{ratio[0]:.3f} to {ratio[2]:.3f}",
                "tick_us": first / 128 * 1e6,
                "by_hand_us": second / 128 * 1e6,
            }
        )
    for length in LENGTHS[:1] if quick else LENGTHS:
        bus, walk = _setting(world, 4, length)
        ticks = [{topic: x[t] for topic, x in walk.items()} for t in range(length)]

        def play(bus: Bus = bus, walk: Messages = walk) -> None:
            bus.reset()
            bus.play(walk)

        sides = (lambda b=bus, t=ticks: _ticked(b, t), play)
        ratio, first, second = paired(*sides, rounds=2 if quick else 7)
        rows.append(
            {
                "batch": 4,
                "length": length,
                "play_speedup": ratio[1],
                "play_speedup_quartiles": f"{ratio[0]:.2f} to {ratio[2]:.2f}",
                "tick_us": first / length * 1e6,
                "play_us": second / length * 1e6,
            }
        )
    return rows


def _setting(world: str, batch: int, length: int) -> tuple[Bus, Messages]:
    """The explorer as it learns (its memory holds the walk), without an executive: a recorded walk is played."""
    env = envs.make(world, batch)
    walk = policies.walk(env, "drifting", length, world_seeds=range(10_000, 10_000 + batch), policy_seed=0)
    agent = agents.load("explorer").change("hc", capacity=length, merge=0.0)
    agent = agent.model_copy(update={"modules": {r: s for r, s in agent.modules.items() if r != "executive"}})
    bus = agent.build(contracts(env), batch=batch)
    return bus, heard(walk)


def _ticked(bus: Bus, ticks: list[Messages]) -> None:
    bus.reset()
    for tick in ticks:
        bus.tick(tick)


def _by_hand(bus: Any, ticks: list[Messages]) -> None:
    """What one would write without a bus: the methods called in order, their results passed on by name."""
    bus.reset()
    lec, mec, hc = (bus.parts[role] for role in ("lec", "mec", "hc"))
    s_mec, s_hc = bus.state["mec"], bus.state["hc"]
    for tick in ticks:
        x = lec.encode(observation=tick["env/observation"])
        g, s_mec = mec.move(s_mec, motion=tick["env/motion"])
        recalled, s_hc = hc.recall(s_hc, g_path=g["mec/g_path"])
        stored, s_hc = hc.store(s_hc, g=g["mec/g"], x=x["lec/x"])
        predicted = lec.predict(recalled_x=recalled["hc/recalled_x"])
        loss = lec.compare(x=x["lec/x"], x_predicted=predicted["lec/x_predicted"])
        _ = {**tick, **x, **g, **recalled, **stored, **predicted, **loss}
