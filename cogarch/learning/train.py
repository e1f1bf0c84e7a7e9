"""Training: fresh worlds walked, weights stepped, progress told, checkpoints kept; stopped and resumed at will."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console

import envs
from cogarch import files
from cogarch.bus import Bus
from cogarch.config import Agent, save_weights
from cogarch.folder import CHECKPOINT, METRICS, WEIGHTS, RunFolder
from cogarch.learning.backprop import Diverged, no_subnormals, rate, update
from cogarch.learning.checkpoint import load_checkpoint, save_checkpoint
from cogarch.learning.console import count_taken, interrupt_waits, progress, untaken
from cogarch.learning.life import Life, living_bus
from cogarch.learning.recorded import Recorded
from cogarch.learning.replay import ERROR, Replay, drawn, first_walked
from cogarch.learning.walks import batches
from cogarch.run import contracts
from cogarch.wiring import nearest
from envs import policies

COLUMNS = ("update", "env_steps", "loss", "zero_shot", "events", "gradient_norm", "seconds", "steps_per_second")
TIME_COLUMNS = ("seconds", "steps_per_second")
REPORT_EVERY = 10


def train(
    agent: Agent,
    world: str | None = None,
    *,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    recorded: Sequence[Path | str] = (),
    out: Path | str | None = None,
    save_every: int = 100,
    keep_every: int | None = None,
    console: Console | None = None,
) -> RunFolder:
    """Learn the agent's weights in training worlds; the folder holds them, metrics.csv and a checkpoint.

    `world` None: the agent's own, with its own options. With `recorded` walks are cut from what was lived in these runs
    (`cogarch.learning.recorded`), and `world` None is the one that they lived in. The checkpoint is renewed every
    `save_every` updates; with `keep_every` the weights of every so many-th update stay (`RunFolder.agent_after`), so
    that learning can be looked at. Ctrl-C ends the training after the update under way, saved; `resume` goes on. Raises
    Diverged where a number stops being finite; the last checkpoint is kept.
    """
    if seed < 0 or save_every < 1 or (keep_every is not None and keep_every < 1):
        raise ValueError(
            f"seed is at least 0, save_every and keep_every at least 1; got {seed}, {save_every} and {keep_every}"
        )
    setup = agent.training
    cut = Recorded(recorded) if recorded else None
    if world is None:
        at, usual = (setup.world, setup.options) if cut is None else cut.lived_in()
        world, options = at, {**usual, **(options or {})}
    options = dict(options or {})
    try:
        json.dumps(options)
    except TypeError as error:
        raise ValueError(
            f"options of a training are kept as JSON, so that it can be resumed: {error}; give plain numbers, text and "
            "lists (a graph as the path of its file)"
        ) from None
    console = console or Console(stderr=True)
    # what does not fit is told before there is a folder
    ready = _build(agent, world, options, seed, console, cut)
    folder = RunFolder.create(
        None if out is None else Path(out),
        "train",
        ready.agent,
        world,
        options=options,
        seed=seed,
        updates=setup.updates,
        save_every=save_every,
        keep_every=keep_every,
        **({} if cut is None else {"recorded": cut.files}),
    )
    with folder.held():
        return _learn(folder, ready, console)


def resume(folder: RunFolder, console: Console | None = None) -> RunFolder:
    """Go on with a training that was stopped or killed, from its last checkpoint: the same run as an unbroken one."""
    config = folder.config
    if config["kind"] != "train":
        raise files.FileError(f"{folder.path} is a {config['kind']}, not a training; only trainings are resumed")
    console = console or Console(stderr=True)
    cut = Recorded.of_files(config["recorded"]) if "recorded" in config else None
    ready = _build(folder.beginning, config["env"], config["options"], config["seed"], console, cut)
    with folder.held():
        return _learn(folder, ready, console)


@dataclass(frozen=True)
class _Ready:
    """What a training begins with."""

    agent: Agent
    """As it fits."""
    bus: Bus
    """What learns."""
    taught: list[str]
    """Its modules with weights that a loss reaches."""
    actions: tuple[str, ...]
    """The names of the world's."""
    recorded: Recorded | None


def _build(
    agent: Agent, world: str, options: Mapping[str, Any], seed: int, console: Console, recorded: Recorded | None
) -> _Ready:
    """What learns, proved.

    ValueError where there is nothing that learns, or nothing to learn from; for losses and schedules of nothing, or out
    of the range of their setting.
    """
    setup = agent.training
    with contextlib.closing(envs.make(world, 1, **options)) as env:
        if recorded is None and setup.policy != "own":
            policies.walk(env, setup.policy, 2, world_seeds=[0], policy_seed=seed)
        inputs, actions = contracts(env), env.metadata["actions"]
        bus = agent.build(inputs, batch=setup.batch, seed=seed, learning=True)
        if recorded is not None:
            recorded.fit(env, world, options, setup)
            if "world" in agent.modules and (text := recorded.scored(seed)):
                console.print(text, markup=False, style="yellow", soft_wrap=True)
        elif setup.policy == "own":
            living_bus(agent, env, seed, bus)
    if setup.steps < 2 and not setup.stays:
        raise ValueError(
            "training.steps is 1: a walk of one tick holds no transition, of which alone a prediction is learned; "
            "give 2 or more"
        )
    reach = bus.reach()
    if agent.swapped:
        agent = _without(agent, [topic for topic in agent.training.losses if topic not in reach], console)
    setup = agent.training
    if setup.replay and (ERROR not in bus.plan.topics or setup.stays):
        why = "agents that stay (training.walk) are not drawn" if setup.stays else f"nobody writes {ERROR!r}"
        raise ValueError(f"training.replay is {setup.replay}, but {why}; leave it 0")
    losses = setup.losses
    for topic in losses:
        if topic not in reach:
            raise ValueError(f"no module writes the loss {topic!r}; {nearest(topic, reach)}")
    settings = [f"{role}.{name}" for role in bus.parts for name in bus.part(role).scheduled]
    known = [*losses, "learning_rate", "walk", *settings]
    for name in agent.training.schedules:
        if name not in known:
            raise ValueError(f"training.schedules: {name!r} is nothing that changes; {nearest(name, known)}")
    for at in ("start", "end") if agent.training.schedules else ():
        _scheduled(agent, at).build(inputs, learning=True)  # each module looks at its settings
    taught = {name for topic in losses for name in reach[topic]}
    if not taught:
        raise ValueError(f"{agent.name} has no weight that learns; run it as it is")
    return _Ready(agent, bus, sorted(taught), actions, recorded)


def _scheduled(agent: Agent, at: Literal["start", "end"]) -> Agent:
    """The agent with the settings of its modules as they are at either end of their schedules."""
    for name, schedule in agent.training.schedules.items():
        role, dot, setting = name.partition(".")
        if dot and role in agent.modules:
            agent = agent.change(role, **{setting: getattr(schedule, at)})
    return agent


def _without(agent: Agent, losses: Sequence[str], console: Console) -> Agent:
    """The agent without losses that went with a module, and their schedules."""
    if losses:
        console.print(f"left out, with the module that wrote them: {', '.join(losses)}", markup=False, soft_wrap=True)
    setup = agent.training
    kept = {topic: weight for topic, weight in setup.losses.items() if topic not in losses}
    schedules = {name: schedule for name, schedule in setup.schedules.items() if name not in losses}
    return agent.model_copy(update={"training": setup.model_copy(update={"losses": kept, "schedules": schedules})})


def _weights(bus: Bus, name: str) -> list[torch.nn.Parameter]:
    return [p for p in bus.parts[name].parameters() if p.requires_grad]


def _learn(folder: RunFolder, ready: _Ready, console: Console) -> RunFolder:
    config, agent, bus, taught = folder.config, folder.beginning, ready.bus, ready.taught
    setup, seed = agent.training, config["seed"]
    for name in bus.parts:
        if name not in taught and _weights(bus, name):
            losses = ", ".join(setup.losses)
            text = f"[yellow]no loss of {losses} reaches {name}: its weights stay as they are[/]"
            console.print(text, soft_wrap=True)
    weights = [p for name in taught for p in _weights(bus, name)]
    optimiser = torch.optim.Adam(weights, lr=setup.learning_rate)
    replay = Replay(setup.replay, setup.rare, seed) if setup.replay else None
    taken = torch.zeros(len(ready.actions), dtype=torch.int64)
    done, spent, also = load_checkpoint(folder.path / CHECKPOINT, bus, optimiser)
    if "life" in also:
        bus.load(also["life"])
    if replay is not None and "replay" in also:
        replay.load(also["replay"])
    if "walks" in also:
        taken += also["walks"]["taken"]
    metrics = files.MetricsCsv(folder.path / METRICS, (*COLUMNS, *setup.losses))
    metrics.truncate_after(done)
    if done == setup.updates and config["status"] == "done":
        console.print(f"{folder.path} has made all its {done} updates already", markup=False, soft_wrap=True)
        return folder
    folder.config |= {"status": "running"}
    folder.write()
    status, began, first, kept = "failed", time.perf_counter() - spent, done, done
    keep_every = config.get("keep_every")

    def save() -> None:
        seconds = time.perf_counter() - began
        more = {"walks": {"taken": taken}}
        more |= {"life": bus.dump()} if setup.stays else {}
        more |= {"own": own.dump()} if own is not None else {}
        more |= {"replay": replay.dump(walks=own is not None)} if replay is not None else {}
        save_checkpoint(folder.path / CHECKPOINT, bus, optimiser, done, seconds, more)
        save_weights(bus, folder.path / WEIGHTS, meta())

    def meta() -> dict[str, str]:
        return {"agent": agent.name, "env": config["env"], "seed": str(seed), "updates": str(done)}

    where = agent, config["env"], config["options"], seed
    own: Life | None = None
    try:
        with (
            no_subnormals(),
            interrupt_waits() as asked_to_stop,
            progress(console) as shown,
            contextlib.ExitStack() as stack,
        ):
            bar = shown.add_task("", total=setup.updates, completed=done, said="")
            walked, last = first_walked(done, replay), setup.updates
            if ready.recorded is not None:
                walks = ready.recorded.windows(*where, walked, last)
            elif setup.policy == "own":
                own = stack.enter_context(contextlib.closing(Life(*where, bus, console)))
                if "own" in also:
                    own.load(also["own"])
                walks = own.windows(done, last)
            else:
                walks = batches(*where, walked, last)
            for batch, tell in drawn(walks, replay, setup.batch, done):
                count_taken(batch.walk["env/action"], taken)
                report = (done + 1) % REPORT_EVERY == 0 or done + 1 == setup.updates
                for group in optimiser.param_groups:
                    group["lr"] = rate(setup, done)
                row = update(bus, optimiser, batch, setup, weights, done, report, tell)
                done += 1
                if report:
                    seconds = time.perf_counter() - began
                    speed = (done - first) * setup.batch * setup.steps / max(seconds - spent, 1e-9)
                    row |= {"update": done, "env_steps": done * setup.batch * setup.steps}
                    metrics.append(row | {"seconds": seconds, "steps_per_second": speed})
                    scored = f"zero-shot {row['zero_shot']:.3f}  " if math.isfinite(row["zero_shot"]) else ""
                    said = f"loss {row['loss']:.3f}  {scored}{speed:,.0f} steps/s"
                    shown.update(bar, completed=done, said=said)
                if done % config["save_every"] == 0:
                    save()
                    kept = done
                if keep_every and done % keep_every == 0:
                    save_weights(bus, folder.weights_after(done), meta())
                if asked_to_stop():
                    break
        save()
        status = "done" if done == setup.updates else "interrupted"
    except Diverged as error:
        status = "diverged"
        held = f"the checkpoint after {kept} updates is kept" if kept else "no checkpoint was made before it"
        raise Diverged(f"after {done} updates {error}; lower training.learning_rate or training.clip; {held}") from None
    finally:
        folder.end(status)
    if status == "done" and done and (text := untaken(taken, ready.actions)):
        console.print(text, markup=False, style="yellow", soft_wrap=True)
    if status == "interrupted":
        text = f"interrupted after {done} updates; cogarch resume {folder.path} goes on"
        console.print(text, markup=False, soft_wrap=True)
    return folder
