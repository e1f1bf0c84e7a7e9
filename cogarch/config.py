"""What an agent is, as a file: which module fills each role, with which settings, and how it learns."""

from __future__ import annotations

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


class Training(_Config):
    """How the weights are learned. Budgets are counted in updates and environment steps."""

    world: str = "cogarch/Square-v0"
    """The world in which it learns, unless `cogarch train` is given another."""
    options: dict[str, Any] = {}
    """Options of that world."""
    policy: Literal["uniform", "drifting", "least_visited"] = "drifting"
    """Who walks (`envs/policies.py`)."""
    updates: pydantic.NonNegativeInt = 2000
    batch: pydantic.PositiveInt = 32
    """Walks an update."""
    steps: pydantic.PositiveInt = 100
    """Ticks a walk."""
    learning_rate: pydantic.PositiveFloat = 1e-2
    clip: pydantic.PositiveFloat = 1.0
    """Largest norm of the gradient."""
    losses: dict[str, float] = {"loss/prediction": 1.0}
    """The loss topics that are summed, with their weights."""
    visited_only: bool = True
    """Count a tick's loss only at places visited before in the walk: elsewhere nothing can be known (Whittington 2020)."""
    modules: dict[str, dict[str, Any]] = {}
    """Settings that differ while learning (a memory that holds the whole walk and merges nothing)."""


class Agent(_Config):
    """A wiring: a module for each role, how it is trained, and where its learned weights lie."""

    name: str
    about: str = ""
    modules: dict[str, dict[str, Any]]
    """Role -> `use` (a name of the catalogue, or `pkg.mod:Class`) and that module's settings."""
    training: Training = Training()
    weights: Path | None = None
    """A safetensors file; None: as initialised by the seed."""

    @pydantic.field_validator("modules")
    @classmethod
    def _roles(cls, modules: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for role, settings in modules.items():
            if role not in ROLES:
                raise ValueError(f"no role {role!r}; {nearest(role, ROLES)}")
            if "use" not in settings:
                raise ValueError(f"role {role!r} does not say which module it uses: use = \"NAME\"")
        return modules

    def swap(self, role: str, use: str, **settings: Any) -> Agent:
        """The same agent with another module in one role. Learned weights of the other modules stay."""
        if role not in ROLES:
            raise ConfigError(f"no role {role!r}; {nearest(role, ROLES)}")
        training = self.training
        if role in training.modules:  # settings meant for the module that leaves
            training = training.model_copy(update={"modules": {r: s for r, s in training.modules.items() if r != role}})
        modules = self.modules | {role: {"use": use, **settings}}
        return self.model_copy(update={"modules": modules, "training": training})

    def change(self, role: str, **settings: Any) -> Agent:
        """The same agent with other settings of the module in one role."""
        if role not in self.modules:
            raise ConfigError(f"{self.name} has no {role!r}; {nearest(role, self.modules)}")
        return self.model_copy(update={"modules": self.modules | {role: self.modules[role] | settings}})

    def build(
        self, inputs: Mapping[str, Signal], *, batch: int = 1, seed: int = 0, learning: bool = False, load: bool = True
    ) -> Bus:
        """The bus of `batch` agents in a world that says `inputs`; parameters initialised by `seed`, then loaded.

        Each module draws its initial parameters from a generator of its own (seed, role), so swapping one leaves the
        others' alone. Raises ConfigError, WiringError, FileError.
        """
        topics, parts = dict(inputs), {}
        for role in ROLES:
            if role not in self.modules:
                continue
            settings = self.modules[role] | (self.training.modules.get(role, {}) if learning else {})
            use = settings.pop("use")
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(key(seed, role, 0))
                parts[role] = make(role, use, topics, settings)
            for step in parts[role].steps():
                topics |= step.writes
        bus = Bus(inputs, parts, batch=batch, seed=seed)
        if load and self.weights is not None:
            load_weights(bus, self.weights)
        return bus


def load_weights(bus: Bus, path: Path) -> None:
    """Put the weights of a file into the modules whose role and shapes they fit. FileError names what does not fit.

    A module that was swapped in has no weights in the file, and keeps its own; a file that fits nothing is an error.
    """
    tensors, meta = files.load_tensors(path)
    own = dict(bus.parts.named_parameters())
    for name, tensor in tensors.items():
        role = name.partition(".")[0]
        if meta.get(f"use.{role}") not in (None, _kind(bus, role)):
            continue
        if name not in own or own[name].shape != tensor.shape:
            have = list(own[name].shape) if name in own else "no such parameter"
            raise files.FileError(
                f"{path}: {name!r} is {list(tensor.shape)} in the file, the agent has {have}; "
                "it was trained with other settings: use those, or train again"
            )
        own[name].data.copy_(tensor)


def save_weights(bus: Bus, path: Path, meta: Mapping[str, str]) -> None:
    """All parameters to a safetensors file, whole or not at all, with the class that each role was filled with."""
    kinds = {f"use.{role}": _kind(bus, role) for role in bus.parts}
    tensors = {name: p.detach().cpu().contiguous() for name, p in bus.parts.named_parameters()}
    files.save_tensors(path, tensors, {**kinds, **meta})


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
    if "weights" in raw:
        raw["weights"] = path.parent / str(raw["weights"])
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
