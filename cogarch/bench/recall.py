"""How long a map remembers: places seen once, left for 1e3 to 1e5 steps, and entered again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

import agents
import envs
from cogarch.bench.codes import trained
from cogarch.bench.report import Row, over_seeds
from cogarch.learning.zero_shot import accuracy, most_frequent, predict
from cogarch.run import SCORING_SEED, contracts
from envs import policies

WIDTH, STAY = 20, 1500
ABSENCES = (1_000, 10_000, 100_000)


class Commuter:
    """Walks at random in the west half for `stay` ticks, in the east half for `absence`, then in the west again."""

    def __init__(self, stay: int, absence: int, width: int) -> None:
        self.stay, self.absence, self.width, self.t = stay, absence, width, 0

    def reset(self, batch: int, rng: np.random.Generator) -> None:
        self.rng, self.t = rng, 0

    def act(self, info: Mapping[str, Any]) -> NDArray[np.int64]:
        self.t += 1
        x = info["place"][:, 0]
        west = not self.stay <= self.t < self.stay + self.absence
        action = self.rng.integers(4, size=len(x))  # east, north, west, south
        half = self.width // 2
        action = np.where(west & (x >= half - 1) & (action == 0), 2, action)  # turned back at the middle
        return np.where(~np.bool_(west) & (x <= half) & (action == 2), 0, action).astype(np.int64)


def measure(*, env: str | None, seeds: Sequence[int], quick: bool, console: Console) -> list[Row]:
    """Rows `code env regime absence events accuracy chance frequent`: views predicted at first return to a place."""
    if env not in (None, "cogarch/Square-v0"):
        raise ValueError(f"bench recall walks in squares, not in {env}")
    rows = []
    for code, regime, name, noise in (
        ("rotor hexagonal", "motion given", "explorer", 0.0),
        ("rotor hexagonal", "motion given", "explorer", 0.05),
        ("rotor hexagonal", "displacements learned", "learner", 0.0),
        ("rotor hexagonal, untrained", "displacements learned", "learner", 0.0),
    ):
        for absence in ABSENCES[:1] if quick else ABSENCES:
            found = []
            for seed in seeds:
                agent = agents.load(name)
                if regime != "motion given" and "untrained" not in code:
                    agent, _ = trained(agent, None, seed, {}, quick, console)
                world = envs.make("cogarch/Square-v0", 1, width=WIDTH, motion_noise=noise)
                walk = policies.walk(
                    world,
                    Commuter(STAY, absence, WIDTH),
                    2 * STAY + absence,
                    world_seeds=[SCORING_SEED + seed],
                    policy_seed=seed,
                )
                bus = agent.build(contracts(world), seed=seed)
                hit = predict(bus, walk)
                returned = _first_return(walk["node"][:, 0], absence)[:, None]
                seen = walk["observation"]
                found.append(
                    {
                        "code": code,
                        "env": f"Square {WIDTH}x{WIDTH}",
                        "regime": regime,
                        "motion_noise": noise,
                        "absence": absence,
                        "events": int(returned.sum()),
                        "accuracy": accuracy(hit, returned),
                        "chance": 1 / contracts(world)["env/observation"].values,
                        "frequent": accuracy(most_frequent(seen) == seen, returned),
                    }
                )
            rows.append(over_seeds(found, ("accuracy", "frequent"), ("events",)))
            console.print(f"{code}, {regime}, noise {noise}, {absence} steps away: {rows[-1]['accuracy']:.3f}")
    return rows


def _first_return(node: NDArray[np.int64], absence: int) -> NDArray[np.bool_]:
    """`[T]`: entered again for the first time after at least `absence` ticks elsewhere."""
    last: dict[int, int] = {}
    found = np.zeros(len(node), bool)
    for t, n in enumerate(node.tolist()):
        found[t] = n in last and t - last[n] >= absence
        last[n] = t
    return found
