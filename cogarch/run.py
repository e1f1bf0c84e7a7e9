"""Agents live here: what a world says becomes `env/*` topics, what the executive says becomes a step of the world."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

import envs
from cogarch.bus import Bus
from cogarch.config import Agent
from cogarch.folder import RunFolder
from cogarch.module import Messages, Signal
from cogarch.recording import Recording
from cogarch.wiring import WiringError

SCORING_SEED = 10_000
"""World seeds from here on score; those below 1,000 train."""


def truth(env: gymnasium.vector.VectorEnv[Any, Any, Any]) -> dict[str, Signal]:
    """The topics recorded beside the agent's own, for figures and scores; no module can read them."""
    return {
        "env/node": Signal(dtype=torch.int64),
        "env/place": Signal((2,), unit=f"x, y ({env.metadata['place_unit']})"),
        "env/heading": Signal(unit="rad"),
    }


_TYPES = {"motion": torch.float32, "reward": torch.float32, "place": torch.float32, "heading": torch.float32}


def contracts(env: gymnasium.vector.VectorEnv[Any, Any, Any]) -> dict[str, Signal]:
    """The `env/*` topics that an agent in this world can read."""
    space = env.single_observation_space
    if isinstance(space, gymnasium.spaces.Discrete):
        seen = Signal(dtype=torch.int64, values=int(space.n))
    elif isinstance(space, gymnasium.spaces.Box):
        unit = "RGB" if env.metadata.get("pixels") else ""
        seen = Signal(space.shape, torch.from_numpy(np.empty(0, space.dtype)).dtype, unit=unit)
    else:
        raise WiringError(f"observations of {type(space).__name__} are not known to the bus; it takes Discrete and Box")
    actions = env.single_action_space
    if not isinstance(actions, gymnasium.spaces.Discrete):
        raise WiringError(f"actions of {type(actions).__name__} are not known to the bus; it takes Discrete")
    told = {}
    if "mission" in env.metadata:
        length, words = env.metadata["mission"]
        told["env/mission"] = Signal((length,), dtype=torch.int64, values=words)
    return told | {
        "env/observation": seen,
        "env/action": Signal(dtype=torch.int64, values=int(actions.n)),
        "env/motion": Signal((2,), unit=str(env.metadata["motion"])),
        "env/bump": Signal(dtype=torch.bool),
        "env/start": Signal(dtype=torch.bool),
        "env/reward": Signal(),
    }


def hear(said: Mapping[str, NDArray[Any]], tick: int = 0) -> Messages:
    """What a world says as messages of the `env/*` topics; scalars get their axis.

    Arrays `[B, ...]` or `[T, B, ...]`: observation, action, motion, bump, start, reward, node, place, heading, and
    mission (tokens) where the world gives one. ValueError where an observation is not finite, with its row and its tick
    (`tick` is that of the first one).
    """
    if said["observation"].dtype.kind == "f":
        _check_finite(said["observation"], said["action"].ndim, tick)
    messages = {}
    for name, x in said.items():
        tensor = torch.from_numpy(np.ascontiguousarray(x)).to(_TYPES.get(name))
        scalar = name not in ("motion", "place", "mission") and (name != "observation" or tensor.dtype == torch.int64)
        messages[f"env/{name}"] = tensor.unsqueeze(-1) if scalar else tensor
    return messages


def heard(walk: Mapping[str, NDArray[Any]]) -> Messages:
    """A whole walk of `envs.policies.walk` as an agent hears it: without the truth."""
    return hear({name: x for name, x in walk.items() if name not in ("node", "place", "heading")})


def _check_finite(observation: NDArray[Any], axes: int, tick: int) -> None:
    """Refuse NaN and infinity before they spread: `axes` is 1 for `[B, ...]`, 2 for `[T, B, ...]`."""
    finite = np.isfinite(observation)
    if finite.all():
        return
    *t, row = np.argwhere(~finite)[0, :axes].tolist()
    value = observation[(*t, row)][~finite[(*t, row)]].flat[0]
    raise ValueError(
        f"env/observation of row {row} is {value} at tick {tick + sum(t)}: an agent takes in finite numbers only; mend "
        "the world, or let it say what stands for nothing sensed"
    )


def living(
    world: envs.World,
    bus: Bus,
    begins: Callable[[int], Mapping[int, int | None]],
    *,
    first: int = 0,
    past: Sequence[NDArray[np.integer]] = (),
    ending: Callable[[int], None] | None = None,
) -> Iterator[Messages]:
    """What is said on every topic `[B, *shape]`, the truth included, tick after tick from tick `first` on, without end.

    begins: the rows that begin a new life at a tick, each with the seed of its world (None: its world's next one); at
    tick `first` all of them. A life that its world ends is followed by the next one in the tick after.
    past: the actions `[n, B]` of the first n ticks, where these were lived before and the bus is as it was after them:
    worlds follow from seeds and actions, so they are stepped to where they were, and what is said goes on from there.
    ending: is told the tick before the agents forget the lives that are over.
    """
    batch = world.num_envs
    action, reward, over = np.full(batch, -1), np.zeros(batch, np.float32), np.zeros(batch, bool)
    for t in itertools.count(first):
        seeds = begins(t)
        start = over.copy()  # the last tick of a life, with its reward, was lived
        start[list(seeds)] = True
        if t > first:
            seen, reward, ended, cut, info = world.step(action)
            over = (ended | cut) & ~start
        if start.any():
            seen, info = world.reset(seed=[seeds.get(row) for row in range(batch)], options={"reset_mask": start})
        if t - first < len(past):
            action = past[t - first]
            continue
        action, reward = np.where(start, -1, action), np.where(start, 0.0, reward)
        messages = hear({"observation": seen, "action": action, "reward": reward, "start": start, **info}, t)
        if start.any():
            if ending is not None and t > first:
                ending(t)
            bus.restart(messages["env/start"].flatten())
        lived = bus.tick(messages)
        action = lived["executive/action"].flatten().numpy()
        yield lived


def run(
    agent: Agent,
    env: str,
    *,
    steps: int = 2000,
    episodes: int = 1,
    batch: int = 1,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    out: Path | str | None = None,
    console: Console | None = None,
) -> RunFolder:
    """Let `batch` agents live `episodes` lives of at most `steps` ticks in worlds never used for training.

    The folder holds `run.json` and `recording.zarr` with every topic and the truth. World seeds are 10,000 + seed +
    row. A life that its world ends is followed by the next one in the tick after. Ctrl-C ends the run with what was
    lived so far; nothing recorded is lost.
    """
    if min(steps, episodes, batch) < 1 or seed < 0:
        raise ValueError(
            f"steps, episodes and batch are at least 1 and seed at least 0; got {steps}, {episodes}, {batch} and {seed}"
        )
    world = envs.make(env, batch, **(options or {}))
    agent, unfit = agent.ready(contracts(world))
    bus = agent.build(contracts(world), batch=batch, seed=seed)
    if "executive/action" not in bus.plan.topics:
        raise WiringError(f"nobody writes 'executive/action', so {agent.name} cannot act; give it an executive")
    folder = RunFolder.create(
        None if out is None else Path(out),
        "run",
        agent,
        env,
        options=dict(options or {}),
        steps=steps,
        episodes=episodes,
        batch=batch,
        seed=seed,
    )
    attrs: dict[str, str | int | float] = {"agent": agent.name, "env": env, "seed": seed}
    attrs["place_unit"] = world.metadata["place_unit"]
    attrs["options"] = json.dumps(dict(options or {}), default=str)  # a graph is named, not written out
    signals = {**bus.plan.topics, **truth(world)}
    console = console or Console(stderr=True)  # stdout holds results
    told: set[str] = set()
    if agent.learns and agent.weights is None:
        why = f" (the weights it is shipped with: {unfit})" if unfit else ""
        text = f"{agent.name} has not learned yet{why}; cogarch train {agent.name} {env} makes an agent that has"
        console.print(Text(text, "yellow"), soft_wrap=True)
    status = "failed"

    def begins(t: int) -> dict[int, int | None]:
        return {} if t % steps else {row: None if t else SCORING_SEED + seed + row for row in range(batch)}

    def tell(t: int) -> None:
        tell_notices(bus, told, console, t)

    try:
        with (
            Recording(folder.recording, signals, length=steps * episodes, batch=batch, attrs=attrs) as recording,
            _progress(console) as progress,
            torch.no_grad(),
        ):
            bar = progress.add_task(f"{agent.name} in {env}", total=steps * episodes)
            lives = living(world, bus, begins, ending=tell)
            minded = _Minded(signals, console)
            for t, lived in enumerate(itertools.islice(lives, steps * episodes)):
                minded.tell(t, lived)
                recording.append({topic: lived[topic] for topic in signals})
                if t % 64 == 0:
                    progress.update(bar, completed=t)
                    tell(t)
            progress.update(bar, completed=steps * episodes)
            tell(steps * episodes)
        status = "done"
    except KeyboardInterrupt:
        status = "interrupted"
        console.print(f"interrupted; what was lived so far is in {folder.path}", markup=False, soft_wrap=True)
    finally:
        folder.end(status)
        world.close()
    return folder


def tell_notices(bus: Bus, told: set[str], console: Console, t: int) -> None:
    """What modules have to say of their state, each once."""
    for role in bus.parts:
        if role not in told and (notice := bus.part(role).notice(bus.state[role])):
            told.add(role)
            console.print(Text.assemble((f"{role} by tick {t}: ", "yellow"), notice), soft_wrap=True)


class _Minded:
    """Tells when the first agent changes its mode, and why, where its executive says so by name."""

    MOST = 40

    def __init__(self, signals: Mapping[str, Signal], console: Console) -> None:
        self.named = {topic: signals[topic].names for topic in _MODE if topic in signals and signals[topic].names}
        self.console, self.before, self.changes = console, "", 0

    def tell(self, t: int, said: Messages) -> None:
        if "executive/mode" not in self.named:
            return
        now = {topic: names[int(said[topic][0, 0])] for topic, names in self.named.items()}
        mode, why = now["executive/mode"], now.get("executive/reason", "")
        if mode == self.before:
            return
        self.before, self.changes = mode, self.changes + 1
        if self.changes <= self.MOST:
            self.console.print(Text.assemble(f"tick {t:>5} ", (f"{mode:<8}", "bold"), f" {why}"), soft_wrap=True)
        elif self.changes == self.MOST + 1:
            self.console.print("... and so on: all of it is in the recording, executive.mode and executive.reason")


_MODE = ("executive/mode", "executive/reason")


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    )
