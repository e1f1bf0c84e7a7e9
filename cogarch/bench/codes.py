"""The structural codes that benches set side by side, and their trainings, kept for the next bench."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gymnasium.spaces import Discrete
from rich.console import Console

import agents
import envs
from cogarch.bench.report import Row
from cogarch.config import Agent
from cogarch.folder import RunFolder
from cogarch.learning.train import resume, train
from envs import policies
from envs.world import NO_BODY

TRAINED = Path("runs/bench")
"""Trainings are kept here and used again by the next bench: remove the folder to train anew."""
STAGES = 8
"""Of a training, the weights after each eighth are kept."""

Changes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Code:
    """A structural code as it is scored."""

    name: str
    regime: str
    agent: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the world in which it is trained, on top of the agent's own."""
    changes: Changes = field(default_factory=dict)
    """Settings by role; "training" is a role here."""
    life: Changes = field(default_factory=dict)
    """Settings that differ when it is scored."""
    preset: str | None = None
    """Of the agent: another way to be trained."""
    shipped: bool = False
    """It takes long to train: one training stands for all seeds, in its own squares the shipped one."""

    def ready(
        self, env: str | None, seed: int, quick: bool, console: Console, *, learned: bool, policy: str | None = None
    ) -> tuple[Agent, Row]:
        """The agent that is scored, and what is said of it in a row; `env` None: trained in its own squares."""
        agent = self._wired(policy)
        if not learned:  # it lives as the trained one does
            agent = agent.after(agent.training.updates)
        about: Row = {"train_updates": 0, "train_seconds": 0.0}
        if learned and self.shipped and self.preset is None and env is None and agent.trained is not None:
            agent = agent.model_copy(update={"weights": agent.trained})
            about = {"train_updates": agent.training.updates, "train_seconds": math.nan}  # it was not timed here
        elif learned:
            agent, about = trained(agent, env, 0 if self.shipped else seed, self.options, quick, console)
        label: Row = {"code": self.name if learned else f"{self.name}, untrained", "regime": self.regime}
        label |= {"learned": learned, "one_training": learned and self.shipped}
        return changed(agent, self.life), label | about

    def after(
        self, env: str | None, seed: int, quick: bool, console: Console, eighths: int, policy: str | None = None
    ) -> tuple[Agent, int]:
        """The agent after so many eighths of its training, and how many updates that are."""
        if not eighths:  # it lives as the trained one does
            agent = self._wired(policy)
            return changed(agent.after(agent.training.updates), self.life), 0
        folder = self.training(env, seed, quick, console, policy)
        whole = int(folder.config["updates"])
        updates = whole if eighths == STAGES else eighths * max(1, whole // STAGES)
        return changed(folder.agent if eighths == STAGES else folder.agent_after(updates), self.life), updates

    def training(
        self, env: str | None, seed: int, quick: bool, console: Console, policy: str | None = None
    ) -> RunFolder:
        """The folder of its training, now or earlier."""
        return training(self._wired(policy), env, seed, self.options, quick, console)

    def _wired(self, policy: str | None) -> Agent:
        agent = agents.load(self.agent)
        agent = changed(agent if self.preset is None else agent.preset(self.preset), self.changes)
        return agent.train_with(policy=policy) if policy else agent


def chosen(codes: Sequence[Code], only: str) -> list[Code]:
    """Those whose names hold that text; ValueError where there are none."""
    found = [code for code in codes if only in code.name]
    if not found:
        raise ValueError(f"no code's name holds {only!r}; there is {', '.join(code.name for code in codes)}")
    return found


LEARNED, GIVEN = "displacements learned", "motion given"
UNCORRECTED: Changes = {"mec": {"correct": 0.0}, "hc": {"landmark": 0.0}}
NOISY = {"motion_noise": 0.05}
FREE: Changes = {"mec": {"transition": "free"}, "training": {"updates": 4000, "learning_rate": 0.001}}
ROTOR = Code("rotor hexagonal", GIVEN, "explorer", NOISY)
LEARNER = Code("rotor hexagonal", LEARNED, "learner")
CORRECTED = Code("rotor hexagonal, corrected", GIVEN, "corrected")
TEM_T = Code("tem_t", LEARNED, "tem_t", life=UNCORRECTED)
TEM_T_CORRECTED = Code("tem_t, corrected", LEARNED, "tem_t")
TEM_T_FREE = Code("tem_t, free matrices", LEARNED, "tem_t", changes=FREE, life=UNCORRECTED)
LSTM = Code("recurrent (LSTM)", LEARNED, "recurrent")
TEM = Code("TEM", LEARNED, "tem", shipped=True)
TEM_QUICK = Code("TEM, preset quick", LEARNED, "tem", preset="quick", shipped=True)

SQUARES = (ROTOR, CORRECTED, LEARNER, Code("rotor free", LEARNED, "free"), TEM_T, TEM_T_CORRECTED, TEM_T_FREE, LSTM)
ROOMS = (ROTOR, LEARNER)
BODILESS = (LEARNER, TEM_T, TEM_T_CORRECTED, LSTM)


def usual(env: str | None) -> str | None:
    """The policy by which this world is walked; None: in their own squares, codes know."""
    if env is None:
        return None
    with contextlib.closing(envs.make(env, 1)) as world:
        return policies.usual(world)


def suited(env: str) -> tuple[tuple[Code, ...], str]:
    """What learns in this world, and the policy by which it is walked."""
    with contextlib.closing(envs.make(env, 1)) as world:
        return BODILESS if world.metadata["motion"] == NO_BODY else ROOMS, policies.usual(world)


def changed(agent: Agent, changes: Changes) -> Agent:
    """The agent with other settings."""
    for role, settings in changes.items():
        agent = agent.train_with(**settings) if role == "training" else agent.change(role, **settings)
    return agent


def trained(
    agent: Agent, env: str | None, seed: int, options: Mapping[str, Any], quick: bool, console: Console
) -> tuple[Agent, Row]:
    """The agent as trained by a bench (now or earlier), and what that took; `env` None: in the agent's own squares."""
    folder = training(agent, env, seed, options, quick, console)
    found = folder.agent.change("lec", codes=1024) if env is not None and _views(env) else folder.agent
    return found, {"train_updates": folder.config["updates"], "train_seconds": folder.metrics[-1]["seconds"]}


def training(
    agent: Agent, env: str | None, seed: int, options: Mapping[str, Any], quick: bool, console: Console
) -> RunFolder:
    """The folder of that training, its weights kept after each eighth of it."""
    setup = agent.training
    if env is not None and "lec" in agent.modules and _views(env):
        # slow worlds: fewer updates; as many codes as there are views in a walk
        agent = agent.change("lec", codes=256)
        setup = setup.model_copy(update={"updates": 200})
    if quick:
        setup = setup.model_copy(update={"updates": 20})
    agent, keep_every = agent.model_copy(update={"training": setup}), max(1, setup.updates // STAGES)
    kind = "-free" if agent.modules.get("mec", {}).get("transition") == "free" else ""
    where = "squares" if env is None else "-".join((env.rpartition("/")[2], *map(str, options.values())))
    path = TRAINED / f"{agent.name}{kind}-{where}-{setup.updates}-{seed}-{_digest(agent, options)}"
    if (path / "run.json").exists():
        folder = RunFolder.open(path)
        return folder if folder.config["status"] == "done" else resume(folder, console)
    return train(agent, env, seed=seed, options=options, out=path, keep_every=keep_every, console=console)


def _views(env: str) -> bool:
    """What is sensed there is no symbol."""
    with contextlib.closing(envs.make(env, 1)) as world:
        return not isinstance(world.single_observation_space, Discrete)


def _digest(agent: Agent, options: Mapping[str, Any]) -> str:
    """Eight characters that tell trainings apart. The executive does not matter: it does not act in training."""
    modules = {role: settings for role, settings in agent.modules.items() if role != "executive"}
    training = agent.training.model_dump(exclude_defaults=True)
    what = json.dumps([modules, training, dict(options)], sort_keys=True)
    return hashlib.blake2s(what.encode(), digest_size=4).hexdigest()
