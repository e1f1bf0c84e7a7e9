"""How fast worlds step, beside MiniGrid in gymnasium's own vector environments, and what our MiniGrid adapter costs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gymnasium
import numpy as np
from minigrid.wrappers import ImgObsWrapper
from rich.console import Console

import envs
from cogarch.bench.report import Row
from cogarch.bench.timing import paired

BATCHES = (1, 64, 4096)
PEER = "MiniGrid-Empty-8x8-v0"
"""An open field of MiniGrid: what `cogarch/Square-v0` is, with a view ahead instead of the object underfoot."""

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "cogarch/Square-v0, egocentric, view 7": ("cogarch/Square-v0", {"body": "egocentric", "view": 7}),
    "cogarch/Arena-v0, smooth walk": ("cogarch/Arena-v0", {"trajectory": "smooth"}),
}
ADAPTED = ("MiniGrid-Empty-8x8-v0", "MiniGrid-FourRooms-v0", "BabyAI-GoToLocal-v0")

Step = Callable[[], Any]


def measure(*, env: str | None, seeds: Sequence[int], quick: bool, console: Console) -> list[Row]:
    """Rows `env batch steps_per_second ratio`, and for the adapter `over_bare`.

    `ratio`: speed over that of gymnasium's `SyncVectorEnv` of MiniGrid at the same batch, the two stepped in turn; the
    median over rounds. `over_bare`: time of a step over that of the same environments stepped in a plain loop.
    """
    worlds: dict[str, tuple[str, dict[str, Any]]] = {env_id: (env_id, {}) for env_id in envs.WORLDS} | VARIANTS
    if env is not None:
        worlds = {env: (env, {})}
    batches, rounds = (BATCHES[:2], 2) if quick else (BATCHES, 7)
    seconds = 0.02 if quick else 0.2  # that a side runs in a round, or one step
    rows = []
    for batch in batches:
        with _peer(batch, "sync") as peer:
            times = _steps_in(peer, seconds)
            rows.append(_row(f"{PEER} in SyncVectorEnv", batch, batch / (_seconds(peer, times) / times), 1.0))
            if 1 < batch <= 64:  # a process for each environment
                with _peer(batch, "async") as other:
                    rows.append(_compared(f"{PEER} in AsyncVectorEnv", batch, other, peer, seconds, rounds))
            for name, (env_id, settings) in worlds.items():
                with _stepped(envs.make(env_id, batch, **settings), seeds[0]) as step:
                    rows.append(_compared(name, batch, step, peer, seconds, rounds))
                console.print(f"{name} x {batch}: {rows[-1]['steps_per_second']:,.0f} steps/s")
        if batch <= 64 and env is None:
            rows += [_adapter(env_id, batch, seconds, rounds) for env_id in ADAPTED]
    return rows


def _compared(name: str, batch: int, step: Step, peer: Step, seconds: float, rounds: int) -> Row:
    ours, theirs = _steps_in(step, seconds), _steps_in(peer, seconds)
    quartiles, _, mine = paired(lambda: _repeat(peer, theirs), lambda: _repeat(step, ours), rounds)
    scale = ours / theirs  # from the time of all steps to that of one
    return _row(name, batch, batch * ours / mine, quartiles[1] * scale) | {
        "quartiles": f"{quartiles[0] * scale:.3g} to {quartiles[2] * scale:.3g}"
    }


def _adapter(env_id: str, batch: int, seconds: float, rounds: int) -> Row:
    """Our adapter beside the bare environments, seeded alike, given the same actions."""
    bare: list[Any] = [gymnasium.make(env_id, disable_env_checker=True).unwrapped for _ in range(batch)]
    for i, one in enumerate(bare):
        one.reset(seed=i)
    actions = _actions(3, batch)

    def loop() -> None:
        for one, action in zip(bare, next(actions).tolist(), strict=True):
            one.step_count = 0  # as our endless worlds do, so that neither side is reset
            one.step(action)

    with _stepped(envs.make(env_id, batch), 0) as step:
        times = _steps_in(step, seconds)
        quartiles, mine, _ = paired(lambda: _repeat(step, times), lambda: _repeat(loop, times), rounds)
    return _row(f"{env_id} in our adapter", batch, batch * times / mine, None) | {
        "over_bare": float(quartiles[1]),
        "quartiles": f"{quartiles[0]:.3g} to {quartiles[2]:.3g}",
    }


def _row(name: str, batch: int, steps_per_second: float, ratio: float | None) -> Row:
    return {"env": name, "batch": batch, "steps_per_second": steps_per_second, "ratio": ratio}


@contextlib.contextmanager
def _peer(batch: int, how: str) -> Iterator[Step]:
    view = [ImgObsWrapper]  # without the mission's text, which no batch can hold
    peer = gymnasium.make_vec(PEER, num_envs=batch, vectorization_mode=how, wrappers=view)
    with _stepped(peer, 0, 3) as step:
        yield step


@contextlib.contextmanager
def _stepped(world: Any, seed: int, most: int = 2**31) -> Iterator[Step]:
    """A call that steps the world once by random actions."""
    world.reset(seed=seed)
    actions = _actions(min(int(world.single_action_space.n), most), world.num_envs)
    yield lambda: world.step(next(actions))
    world.close()


def _actions(n: int, batch: int) -> Iterator[Any]:
    drawn = np.random.default_rng(0).integers(n, size=(256, batch))
    while True:
        yield from drawn


def _steps_in(step: Step, seconds: float) -> int:
    """How many steps last so long, at least one."""
    times = 1
    while (taken := _seconds(step, times)) < seconds / 8:
        times *= 4
    return max(1, round(times * seconds / taken))


def _seconds(step: Step, times: int) -> float:
    began = time.perf_counter()
    _repeat(step, times)
    return time.perf_counter() - began


def _repeat(step: Step, times: int) -> None:
    for _ in range(times):
        step()
