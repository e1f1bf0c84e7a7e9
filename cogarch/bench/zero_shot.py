"""Zero-shot accuracy of every structural code, trained and untrained, by window of the walk."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

import agents
import envs
from cogarch.bench.report import Row, over_seeds
from cogarch.config import Agent
from cogarch.folder import RunFolder
from cogarch.learning.train import resume, train
from cogarch.learning.zero_shot import WINDOWS, evaluate
from envs import policies
from envs.world import NO_BODY

TRAINED = Path("runs/bench")
"""Trainings are kept here and used again by the next bench: remove the folder to train anew."""
WIDTHS = (8, 12, 20, 30)
"""Rotors train on widths 5 to 8, tem_t and the LSTM on 5 to 12; the worlds scored are others in any case."""
NOISES = (0.0, 0.05)
FIRST_STEPS = (0, 100)
"""A window of its own beside the others: as long as the walks of a training."""
KINDS = ("", "_without_way_back", "_answerable")  # the last where moves compose

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

SQUARES = (ROTOR, CORRECTED, LEARNER, Code("rotor free", LEARNED, "free"), TEM_T, TEM_T_CORRECTED, TEM_T_FREE, LSTM)
ROOMS = (ROTOR, LEARNER)
BODILESS = (LEARNER, TEM_T, TEM_T_CORRECTED, LSTM)


def measure(*, env: str | None, seeds: Sequence[int], quick: bool, console: Console, only: str = "") -> list[Row]:
    """Rows `code env regime motion_noise window events accuracy ... train_updates train_seconds`, means over seeds.

    On squares (the default) trained on the widths of the agent's file, scored on `WIDTHS` (`width_trained` says which
    of them it knows); on another `env` trained on its training seeds, scored on others. Each code stands beside its
    untrained self.
    """
    squares = env in (None, "cogarch/Square-v0")
    codes, policy = (SQUARES, None) if squares or env is None else _suited(env)
    chosen = [code for code in codes if only in code.name]
    if not chosen:
        raise ValueError(f"no code's name holds {only!r}; there is {', '.join(code.name for code in codes)}")
    rows = []
    for code in chosen:
        for learned in (False, True):
            found: list[list[Row]] = []
            for seed in seeds:
                agent, scores = _changed(agents.load(code.agent), code.changes), []
                agent = agent.train_with(policy=policy) if policy else agent
                about: Row = {"train_updates": 0, "train_seconds": 0.0}
                if learned:
                    agent, about = trained(agent, None if squares else env, seed, code.options, quick, console)
                agent = _changed(agent, code.life)
                label = {
                    "code": code.name if learned else f"{code.name}, untrained",
                    "regime": code.regime,
                    "learned": learned,
                    **about,
                }
                options = {**agent.training.options, **code.options}
                label["train_motion_noise"] = options.get("motion_noise", 0.0) if learned else None
                low, high = options["width"]
                for row in _scores(agent, None if squares else env, seed, quick):
                    seen = squares and low <= int(row["env"].rpartition("x")[2]) <= high
                    scores.append(label | {"width_trained": seen and learned} | row)
                found.append(scores)
            kinds = [kind for kind in KINDS if f"accuracy{kind}" in found[0][0]]
            figures = [*(f"accuracy{kind}" for kind in kinds), "same", "frequent", "train_seconds"]
            counts = [f"events{kind}" for kind in kinds]
            rows += [over_seeds(same, figures, counts) for same in zip(*found, strict=True)]
            console.print(f"{rows[-1]['code']}, {code.regime}: accuracy {rows[-1]['accuracy']:.3f} in the last window")
    untrained = {_key(row): row["accuracy"] for row in rows if not row["learned"]}
    return [{**row, "untrained": untrained[_key(row)]} for row in rows]


def _changed(agent: Agent, changes: Changes) -> Agent:
    for role, settings in changes.items():
        agent = agent.train_with(**settings) if role == "training" else agent.change(role, **settings)
    return agent


def _suited(env: str) -> tuple[tuple[Code, ...], str]:
    """What learns in this world, and the policy by which it is walked."""
    with contextlib.closing(envs.make(env, 1)) as world:
        return BODILESS if world.metadata["motion"] == NO_BODY else ROOMS, policies.usual(world)


def trained(
    agent: Agent, env: str | None, seed: int, options: Mapping[str, Any], quick: bool, console: Console
) -> tuple[Agent, Row]:
    """The agent as trained by this bench (or by an earlier one), and what that took."""
    setup = agent.training
    if env is not None:  # a slow world: fewer updates, and as many codes as there are views in a training walk
        agent = agent.change("lec", codes=256)
        setup = setup.model_copy(update={"updates": 200})
    if quick:
        setup = setup.model_copy(update={"updates": 20})
    kind = "-free" if agent.modules["mec"].get("transition") == "free" else ""
    path = TRAINED / "-".join((agent.name + kind, (env or "squares").rpartition("/")[2], str(setup.updates), str(seed)))
    agent = agent.model_copy(update={"training": setup})
    if (path / "run.json").exists() and not _same(RunFolder.open(path), agent, options):
        shutil.rmtree(path)  # of an agent that has changed since
    if (path / "run.json").exists():
        folder = RunFolder.open(path)
        if folder.config["status"] != "done":
            folder = resume(folder, console)
    else:
        folder = train(agent, env, seed=seed, options=options, out=path, console=console)
    seconds = folder.metrics[-1]["seconds"]
    found = folder.agent if env is None else folder.agent.change("lec", codes=1024)
    return found, {"train_updates": setup.updates, "train_seconds": seconds}


def _same(folder: RunFolder, agent: Agent, options: Mapping[str, Any]) -> bool:
    """Is this the training that is wanted? The executive does not matter: it does not act in training."""
    before, now = folder.beginning.model_dump(), agent.model_dump()
    for wired in (before, now):
        wired["modules"].pop("executive", None)
    same = all(before[key] == now[key] for key in ("modules", "training"))
    return same and options.items() <= folder.config["options"].items()


def _scores(agent: Agent, env: str | None, seed: int, quick: bool) -> list[Row]:
    rows: list[Row] = []
    for width in WIDTHS if env is None else (None,):
        for noise in NOISES:
            if noise and agent.modules["mec"].get("motion") != "given":  # it reads no motion: the same walk, to the bit
                rows += [row | {"motion_noise": noise} for row in rows if row["env"] == _where(env, width)]
                continue
            options = {"motion_noise": noise} | ({"width": width} if width else {})
            found = evaluate(
                agent,
                env or "cogarch/Square-v0",
                options=options,
                together=4,
                walks=1 if quick else 4 if width else 2,
                steps=1024 if quick else 4096 if width else 2048,
                seed=seed,
                world_seed=10_000 + 100 * seed,
                windows=(FIRST_STEPS, *WINDOWS),
            )
            rows += [{"env": _where(env, width), "motion_noise": noise} | row for row in found]
    return rows


def _where(env: str | None, width: int | None) -> str:
    return f"Square {width}x{width}" if width else str(env)


def _key(row: Row) -> tuple[Any, ...]:
    code = str(row["code"]).removesuffix(", untrained")
    return code, row["regime"], row["env"], row["motion_noise"], row["window"]
