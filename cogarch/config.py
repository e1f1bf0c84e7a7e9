"""What an agent is, as a file: which module fills each role, with which settings, and how it learns."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic
import torch

from cogarch import files
from cogarch.bus import Bus
from cogarch.module import ROLES, Signal
from cogarch.noise import key
from cogarch.registry import ConfigError, make
from cogarch.wiring import nearest


class _Config(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Schedule(_Config):
    """A number that changes from update to update, from `start` towards `end`."""

    start: float
    end: float
    over: pydantic.PositiveInt
    """Updates: to arrive (linear), for each half of the way (halving), or of the slope (sigmoid)."""
    kind: Literal["linear", "halving", "sigmoid"] = "linear"
    middle: pydantic.NonNegativeInt = 0
    """Update at which a sigmoid is half-way."""

    def at(self, number: int) -> float:
        """The value for update `number`."""
        if self.kind == "linear":
            gone = min(1.0, number / self.over)
        elif self.kind == "halving":
            gone = 1 - 0.5 ** (number / self.over)
        else:
            gone = 1 / (1 + math.exp(min((self.middle - number) / self.over, 700.0)))  # e^710 overflows
        return self.start + (self.end - self.start) * gone


class Training(_Config):
    """How the weights are learned. Budgets are counted in updates and environment steps."""

    world: str = "cogarch/Square-v0"
    """The world in which it learns, unless `cogarch train` is given another."""
    options: dict[str, Any] = {}
    """Options of that world."""
    policy: Literal["uniform", "drifting", "least_visited", "object_seeking", "own"] = "drifting"
    """Who walks (`envs/policies.py`). "own": the agent itself lives on from update to update, its executive acts, and
    each update learns from the last `steps` ticks (`cogarch.learning.life`), as from a walk that begins there."""
    updates: pydantic.NonNegativeInt = 2000
    batch: pydantic.PositiveInt = 32
    """Walks an update."""
    steps: pydantic.PositiveInt = 100
    """Ticks of an update, through which its loss is back-propagated."""
    walk: pydantic.PositiveInt | tuple[pydantic.PositiveInt, pydantic.PositiveInt] | None = None
    """Ticks that an agent stays in a world, or a range of them from which each stay is drawn, in whole `steps`; its
    state goes on from update to update, and the gradient ends at each (truncated back-propagation through time). None:
    a new world for each update. With `policy = "own"` it is the life alone that goes on (None: in one world, for the
    whole training); what learns begins each update anew, so that pieces of lives can be learned from in any order."""
    replay: pydantic.NonNegativeInt = 0
    """Updates whose walks are kept; each update then learns from walks drawn among them (`cogarch.learning.replay`)."""
    rare: pydantic.NonNegativeFloat = 2.0
    """How much more often those are drawn that are foreseen badly (`loss/next`): to this power. 0: all alike."""
    learning_rate: pydantic.PositiveFloat = 1e-2
    """Of the first update; it falls along a half cosine to `final_rate` of it, so that the last steps settle."""
    final_rate: pydantic.NonNegativeFloat = 0.0
    clip: pydantic.PositiveFloat = 1.0
    """Largest norm of the gradient."""
    clip_each: pydantic.PositiveFloat | None = None
    """Largest norm of each weight's own gradient, clipped first."""
    schedules: dict[str, Schedule] = {}
    """What changes with the updates: `learning_rate` (in place of the half cosine), the weight of a loss topic, a
    setting of a module that can be scheduled (`hc.eta`), or `walk`: ticks more, for a stay that begins then."""
    losses: dict[str, float] = {"loss/prediction": 1.0}
    """The loss topics that are summed, with their weights."""
    scored: dict[str, Any] = {}
    """Options of the worlds in which what was learned is scored, on top of those in which it learns."""
    visited_only: bool = True
    """Count a tick's loss only at places visited before in the walk: elsewhere nothing can be known."""
    modules: dict[str, dict[str, Any]] = {}
    """Settings that differ while learning (a memory that holds the whole walk and merges nothing)."""

    @property
    def stays(self) -> bool:
        """What learns keeps its state from update to update."""
        return self.walk is not None and self.policy != "own"

    @pydantic.field_validator("walk", mode="before")
    @classmethod
    def _stays(cls, walk: Any, info: pydantic.ValidationInfo) -> Any:
        stay = tuple(walk) if isinstance(walk, list | tuple) else (walk, walk)
        steps = info.data.get("steps", 1)
        whole = len(stay) == 2 and all(type(ticks) is int for ticks in stay)
        if walk is not None and not (whole and steps <= stay[0] <= stay[1]):
            raise ValueError(
                f"{walk!r} is no stay in a world; give ticks, or [low, high], no fewer than training.steps = {steps}"
            )
        return walk


class Preset(_Config):
    """Settings that go together, under a name."""

    modules: dict[str, dict[str, Any]] = {}
    training: dict[str, Any] = {}


class Agent(_Config):
    """A wiring: a module for each role, how it is trained, and where its learned weights lie."""

    name: str
    about: str = ""
    modules: dict[str, dict[str, Any]]
    """Role -> `use` (a name of the catalogue, or `pkg.mod:Class`), `every` (its rate in ticks, 1 unless said), and that
    module's settings."""
    training: Training = Training()
    presets: dict[str, Preset] = {}
    """Other ways to be trained, by name."""
    swapped: tuple[str, ...] = ()
    """Roles filled by another module than the training was written for: what it says of the old ones is left out."""
    weights: Path | None = None
    """A safetensors file; None: as initialised by the seed."""
    trained: Path | None = None
    """The weights that the agent is shipped with: it lives with them where they fit. A training begins anew."""
    learns: bool = False
    """It is of little use before it has learned; who runs it without weights is told."""

    @pydantic.field_validator("modules")
    @classmethod
    def _roles(cls, modules: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for role, settings in modules.items():
            if role not in ROLES:
                raise ValueError(f"no role {role!r}; {nearest(role, ROLES)}")
            if "use" not in settings:
                raise ValueError(f'role {role!r} does not say which module it uses: use = "NAME"')
        return modules

    def swap(self, role: str, use: str, **settings: Any) -> Agent:
        """The same agent with another module in one role. Learned weights of the other modules stay; what its training
        says of the module that leaves goes with it (of losses, when it is trained: what nobody writes)."""
        if role not in ROLES:
            raise ConfigError(f"no role {role!r}; {nearest(role, ROLES)}")
        learning = {r: s for r, s in self.training.modules.items() if r != role}
        schedules = {name: s for name, s in self.training.schedules.items() if not name.startswith(f"{role}.")}
        training = self.training.model_copy(update={"modules": learning, "schedules": schedules})
        modules = self.modules | {role: {"use": use, **settings}}
        swapped = tuple(dict.fromkeys((*self.swapped, role)))
        return self.model_copy(update={"modules": modules, "training": training, "swapped": swapped})

    def change(self, role: str, **settings: Any) -> Agent:
        """The same agent with other settings of the module in one role."""
        if role not in self.modules:
            raise ConfigError(f"{self.name} has no {role!r}; {nearest(role, self.modules)}")
        return self.model_copy(update={"modules": self.modules | {role: self.modules[role] | settings}})

    def train_with(self, **settings: Any) -> Agent:
        """The same agent, trained otherwise. ConfigError names a setting that does not exist or fit."""
        raw = self.model_dump() | {"training": self.training.model_dump() | settings}
        return parse_agent(raw, self.name)

    def after(self, updates: int) -> Agent:
        """The same agent with the settings that its training changes as they are after so many updates."""
        agent = self
        for name, schedule in self.training.schedules.items():
            role, _, setting = name.partition(".")
            if setting and role in self.modules:
                agent = agent.change(role, **{setting: schedule.at(updates)})
        return agent

    def preset(self, name: str) -> Agent:
        """The agent with the settings of one of its presets, called NAME-PRESET. ConfigError names the nearest, or a
        setting that does not exist."""
        if name not in self.presets:
            raise ConfigError(f"{self.name} has no preset {name!r}; {nearest(name, self.presets)}")
        agent = self.model_copy(update={"name": f"{self.name}-{name}"})
        for role, settings in self.presets[name].modules.items():
            agent = agent.change(role, **settings)
        before = agent.training.model_dump()
        tables = ("schedules", "losses", "modules")
        training = {
            key: before[key] | value if key in tables else value for key, value in self.presets[name].training.items()
        }
        return agent.train_with(**training)

    def ready(self, inputs: Mapping[str, Signal]) -> tuple[Agent, str]:
        """The agent with the weights that it is shipped with, if it has no others; and why not, where they do not fit
        the world or its modules (it then lives untrained)."""
        if self.weights is not None or self.trained is None:
            return self, ""
        shipped = self.model_copy(update={"weights": self.trained})
        try:
            shipped.build(inputs)
        except files.FileError as error:
            return self, str(error)
        return shipped, ""

    def build(self, inputs: Mapping[str, Signal], *, batch: int = 1, seed: int = 0, learning: bool = False) -> Bus:
        """The bus of `batch` agents in a world that says `inputs`; parameters initialised by `seed`, then loaded.

        Each module draws its initial parameters from a generator of its own (seed, role), so swapping one leaves the
        others' alone. Raises ConfigError, WiringError, FileError.
        """
        topics, parts = dict(inputs), {}
        for role in ROLES:
            if role not in self.modules or (learning and role == "executive"):
                continue  # while learning a policy walks (envs/policies.py), so any memory can be trained
            settings = self.modules[role] | (self.training.modules.get(role, {}) if learning else {})
            use, every = settings.pop("use"), settings.pop("every", 1)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(key(seed, role, 0))
                parts[role] = make(role, use, topics, settings)
            if not isinstance(every, int) or every < 1:
                raise ConfigError(f"{role}.every is {every!r}: a rate is a whole number of ticks, 1 or more")
            parts[role].every = every
            for step in parts[role].steps():
                topics |= step.writes
        bus = Bus(inputs, parts, batch=batch, seed=seed)
        if self.weights is not None:
            load_weights(bus, self.weights)
            bus.reset()  # how a life begins may be learned, too
        return bus


def load_weights(bus: Bus, path: Path) -> None:
    """Put the weights of a file into the modules of the class that they were saved from; all or none of them.

    A module that was swapped in has no weights in the file, and keeps its own. Raises FileError that names the first
    weight which does not fit, or is missing.
    """
    tensors, meta = files.load_tensors(path)
    world = f" in {meta['env']} or" if "env" in meta else ""
    own = bus.parts.state_dict()
    swapped = {role for role in bus.parts if meta.get(f"use.{role}", _kind(bus, role)) != _kind(bus, role)}
    for name in (*sorted(tensors), *sorted(own)):
        role = name.partition(".")[0]
        if role in swapped or (role not in bus.parts and f"use.{role}" in meta):
            continue
        there, here = tensors.get(name), own.get(name)
        if there is None or here is None or there.shape != here.shape:
            there_is, here_is = ("missing" if x is None else str(list(x.shape)) for x in (there, here))
            raise files.FileError(
                f"{path}: {name!r} is {there_is} in the file and {here_is} in the agent; "
                f"it was trained{world} with other settings: use those, or train again"
            )
        if not bool(torch.isfinite(there).all()):
            raise files.FileError(f"{path}: {name!r} holds numbers that are not finite; use another checkpoint")
    for name, tensor in tensors.items():
        if name in own and name.partition(".")[0] not in swapped:
            own[name].copy_(tensor)


def save_weights(bus: Bus, path: Path, meta: Mapping[str, str]) -> None:
    """All weights to a safetensors file, whole or not at all, with the class that each role was filled with."""
    kinds = {f"use.{role}": _kind(bus, role) for role in bus.parts}
    # buffers too: a fixed random projection is as much a part of what was learned as the weights behind it
    files.save_tensors(path, bus.parts.state_dict(), {**kinds, **meta})


def _kind(bus: Bus, role: str) -> str:
    if role not in bus.parts:
        return ""
    cls = type(bus.parts[role])
    return f"{cls.__module__}:{cls.__qualname__}"


def read_agent(path: Path) -> Agent:
    """An agent from a TOML file. ConfigError names the file, the key and the nearest key that exists."""
    try:
        raw = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    raw.setdefault("name", path.stem)
    for file in raw.keys() & {"weights", "trained"}:
        raw[file] = path.parent / str(raw[file])
    return parse_agent(raw, str(path))


def parse_agent(raw: Mapping[str, Any], where: str) -> Agent:
    """An agent from plain data; `where` is named in errors."""
    try:
        return Agent(**raw)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            model = Training if first["loc"][0] == "training" else Agent
            raise ConfigError(f"{where}: no key {at!r}; {nearest(str(first['loc'][-1]), model.model_fields)}") from None
        raise ConfigError(f"{where}: {at}: {first['msg']}") from None
