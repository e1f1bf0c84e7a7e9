"""Small buses, walks and modules that the tests of the core share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cogarch import Bus, Module, Noise, Read, Signal, Step
from cogarch.executive.explorer import Explorer
from cogarch.hc.modern_hopfield import ModernHopfield
from cogarch.lec.one_hot import OneHot
from cogarch.mec.rotor import Rotor
from cogarch.module import Messages, State

X = Signal((2,))
START = Signal(dtype=torch.bool)


def part(
    *steps: Step,
    init: Callable[[int], Any] | None = None,
    over_time: Mapping[tuple[str, ...], str] | None = None,
    **methods: Any,
) -> Module:
    """A module made of plain functions, one for each method that its steps name."""
    body: dict[str, Any] = {name: staticmethod(fn) for name, fn in methods.items()}
    body["steps"] = lambda self: list(steps)
    if init is not None:
        body["init"] = staticmethod(init)
    if over_time is not None:
        body["over_time"] = over_time
    made: Module = type("Part", (Module,), body)()
    return made


def env(motion: str = "dx, dy", objects: int = 45) -> dict[str, Signal]:
    """What a world of squares says."""
    return {
        "env/observation": Signal(dtype=torch.int64, values=objects),
        "env/action": Signal(dtype=torch.int64, values=3 if motion == "turn, advance" else 4),
        "env/motion": Signal((2,), unit=motion),
        "env/bump": Signal(dtype=torch.bool),
        "env/start": START,
    }


def agent(
    batch: int = 1,
    seed: int = 0,
    motion: str = "dx, dy",
    mec: Mapping[str, Any] | None = None,
    hc: Mapping[str, Any] | None = None,
    executive: Mapping[str, Any] | None = None,
) -> Bus:
    """A whole agent: one_hot, rotor, modern_hopfield and explorer with the settings given."""
    topics = env(motion)
    parts: dict[str, Module] = {}
    torch.manual_seed(seed)
    made = (("lec", OneHot, {}), ("mec", Rotor, mec), ("hc", ModernHopfield, hc), ("executive", Explorer, executive))
    for role, cls, settings in made:
        parts[role] = cls(topics, **(settings or {}))  # type: ignore[operator]
        for step in parts[role].steps():
            topics = topics | dict(step.writes)
    return Bus(env(motion), parts, batch=batch, seed=seed)


def square_walk(
    ticks: int, batch: int, seed: int = 0, width: int = 9, again: float = 0.0, motion: str = "dx, dy"
) -> tuple[Messages, Tensor]:
    """Random walks `[T, B, ...]` in a walled square with an object at every place, and the places `[T, B, 2]`.

    `again` is the chance of a tick to begin a new episode.
    """
    rng = np.random.default_rng(seed)
    objects = rng.integers(45, size=(batch, width, width))
    ways = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    places, acts = np.zeros((ticks, batch, 2), int), np.zeros((ticks, batch), int)
    moves, bumps = np.zeros((ticks, batch, 2)), np.zeros((ticks, batch), bool)
    starts = rng.random((ticks, batch)) < again
    starts[0] = True
    for row in range(batch):
        place, facing = rng.integers(width, size=2), 0
        for t in range(ticks):
            if starts[t, row]:
                place, facing, acts[t, row] = rng.integers(width, size=2), 0, -1
            elif motion == "dx, dy":
                acts[t, row] = rng.integers(4)
                to = place + ways[acts[t, row]]
                bumps[t, row] = (to < 0).any() or (to >= width).any()
                moves[t, row] = 0 if bumps[t, row] else ways[acts[t, row]]
                place = place if bumps[t, row] else to
            else:
                acts[t, row] = rng.integers(3)
                if acts[t, row] < 2:
                    moves[t, row, 0] = (np.pi / 2, -np.pi / 2)[acts[t, row]]
                    facing = (facing + (1, 3)[acts[t, row]]) % 4
                else:
                    to = place + ways[facing]
                    bumps[t, row] = (to < 0).any() or (to >= width).any()
                    moves[t, row, 1] = not bumps[t, row]
                    place = place if bumps[t, row] else to
            places[t, row] = place
    seen = objects[np.arange(batch), places[..., 0], places[..., 1]]
    walk = {
        "env/observation": torch.from_numpy(seen)[..., None],
        "env/action": torch.from_numpy(acts)[..., None],
        "env/motion": torch.from_numpy(moves).float(),
        "env/bump": torch.from_numpy(bumps)[..., None],
        "env/start": torch.from_numpy(starts)[..., None],
    }
    return walk, torch.from_numpy(places)


def live(bus: Bus, walk: Messages) -> Messages:
    """Tick through a walk as the run loop does, rows restarted where an episode begins; all topics `[T, B, *shape]`."""
    said: list[Messages] = []
    for t in range(len(next(iter(walk.values())))):
        if "env/start" in walk:
            bus.restart(walk["env/start"][t].flatten())
        said.append({topic: x.clone() for topic, x in bus.tick({k: x[t].clone() for k, x in walk.items()}).items()})
    return {topic: torch.stack([messages[topic] for messages in said]) for topic in said[0]}


def assert_equal(a: Messages, b: Messages, **tolerance: float) -> None:
    """The same topics with the same numbers, to the bit unless told otherwise."""
    assert a.keys() == b.keys()
    for topic in a:
        torch.testing.assert_close(
            a[topic],
            b[topic],
            equal_nan=True,
            msg=lambda m, topic=topic: f"{topic}: {m}",
            **({"rtol": 0, "atol": 0} | tolerance),
        )


# --- a small agent that uses everything: delays, a loop through time, noise, state in every form ----------------------


class Leaky(Module):
    """Integrates, with noise, and remembers two things in one state tree; two steps, one call for both."""

    role = "mec"
    over_time = {("charge", "fire"): "charge_and_fire"}

    def steps(self) -> list[Step]:
        return [
            Step("charge", {"x": "env/x"}, {"mec/g_path": X}, {"u": Noise((2,))}, state=True),
            Step("fire", {"g": "mec/g_path", "late": Read("env/x", delay=3)}, {"mec/g": X}, state=True),
        ]

    def init(self, batch: int) -> State:
        return {"charge": torch.zeros(batch, 2), "fired": ({"times": torch.zeros(batch, dtype=torch.int64)},)}

    def charge(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        charge = state["charge"] * 0.5 + x + 0.1 * u
        return {"mec/g_path": charge}, state | {"charge": charge}

    def fire(self, state: State, g: Tensor, late: Tensor) -> tuple[Messages, State]:
        times = state["fired"][0]["times"] + (g[:, 0] > 0)
        return {"mec/g": g + late + times[:, None]}, state | {"fired": ({"times": times},)}

    def charge_and_fire(self, state: State, x: Tensor, u: Tensor, late: Tensor) -> tuple[Messages, State]:
        path, fired = [], []
        for now, noise, before in zip(x, u, late, strict=True):
            writes, state = self.charge(state, now, noise)
            path.append(writes["mec/g_path"])
            writes, state = self.fire(state, path[-1], before)
            fired.append(writes["mec/g"])
        return {"mec/g_path": torch.stack(path), "mec/g": torch.stack(fired)}, state


def small(batch: int = 2, seed: int = 0) -> Bus:
    """`Leaky`, a step without state that dreams, and two modules tied in a loop through time."""
    a = part(
        Step(
            "say", {"b": Read("world/b", delay=2), "g": "mec/g"}, {"hc/a": X}, {"u": Noise((2,), "uniform")}, state=True
        ),
        init=lambda batch: {"sum": torch.zeros(batch, 2)},
        say=lambda state, b, g, u: ({"hc/a": b.tanh() + g + u}, {"sum": state["sum"] * 0.9 + b.tanh()}),
    )
    b = part(
        Step("say", {"a": "hc/a", "x": Read("env/x", delay=1)}, {"world/b": X}), say=lambda a, x: {"world/b": a - x}
    )
    c = part(Step("say", {}, {"lec/dream": X}, {"u": Noise((2,))}), say=lambda u: {"lec/dream": u})
    modules = {"mec": Leaky(), "hc": a, "world": b, "lec": c}
    return Bus({"env/x": Signal((2,), fill=-1.0), "env/start": START}, modules, batch=batch, seed=seed)


def small_walk(ticks: int, batch: int = 2, seed: int = 0, again: float = 0.0) -> Messages:
    rng = np.random.default_rng(seed)
    starts = rng.random((ticks, batch, 1)) < again
    starts[0] = True
    x = rng.normal(size=(ticks, batch, 2)).astype(np.float32)
    return {"env/x": torch.from_numpy(x), "env/start": torch.from_numpy(starts)}


def pieces(walk: Messages, cuts: list[int]) -> list[Messages]:
    length = len(walk["env/start"])
    ends = [0, *sorted({c for c in cuts if 0 < c < length}), length]
    return [{k: x[a:b] for k, x in walk.items()} for a, b in itertools.pairwise(ends)]


def join(played: list[Messages]) -> Messages:
    return {topic: torch.cat([p[topic] for p in played]) for topic in played[0]}


def cut(walk: Messages, a: int, b: int | None = None) -> Messages:
    return {k: x[a:b] for k, x in walk.items()}
