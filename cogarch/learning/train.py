"""Training: fresh worlds walked, weights stepped, progress told, checkpoints kept; stopped and resumed at will."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import envs
from cogarch import files
from cogarch.bus import Bus
from cogarch.config import Agent, save_weights
from cogarch.folder import CHECKPOINT, METRICS, WEIGHTS, RunFolder
from cogarch.learning.backprop import Diverged, no_subnormals, rate, update
from cogarch.learning.checkpoint import load_checkpoint, save_checkpoint
from cogarch.learning.replay import SURPRISE, Replay, drawn, first_walked
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
    out: Path | str | None = None,
    save_every: int = 100,
    keep_every: int | None = None,
    console: Console | None = None,
) -> RunFolder:
    """Learn the agent's weights in training worlds; the folder holds them, metrics.csv and a checkpoint.

    `world` None: the agent's own, with its own options. The checkpoint is renewed every `save_every` updates; with
    `keep_every` the weights of every so many-th update stay (`RunFolder.agent_after`), so that learning can be looked
    at. Ctrl-C ends the training after the update under way, saved; `resume` goes on. Raises Diverged where a number
    stops being finite; the last checkpoint is kept.
    """
    if seed < 0 or save_every < 1 or (keep_every is not None and keep_every < 1):
        raise ValueError(
            f"seed is at least 0, save_every and keep_every at least 1; got {seed}, {save_every} and {keep_every}"
        )
    setup = agent.training
    if world is None:
        world, options = setup.world, {**setup.options, **(options or {})}
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
    agent, bus, taught = _build(agent, world, options, seed, console)
    folder = RunFolder.create(
        None if out is None else Path(out),
        "train",
        agent,
        world,
        options=options,
        seed=seed,
        updates=setup.updates,
        save_every=save_every,
        keep_every=keep_every,
    )
    with folder.held():
        return _learn(folder, bus, taught, console)


def resume(folder: RunFolder, console: Console | None = None) -> RunFolder:
    """Go on with a training that was stopped or killed, from its last checkpoint: the same run as an unbroken one."""
    config = folder.config
    if config["kind"] != "train":
        raise files.FileError(f"{folder.path} is a {config['kind']}, not a training; only trainings are resumed")
    console = console or Console(stderr=True)
    _, bus, taught = _build(folder.beginning, config["env"], config["options"], config["seed"], console)
    with folder.held():
        return _learn(folder, bus, taught, console)


def _build(
    agent: Agent, world: str, options: Mapping[str, Any], seed: int, console: Console
) -> tuple[Agent, Bus, list[str]]:
    """The agent as it fits, the bus that learns, and its modules with weights that a loss reaches.

    ValueError where there are none, and for losses and schedules of nothing, or out of the range of their setting.
    """
    with contextlib.closing(envs.make(world, 1, **options)) as env:
        policies.walk(env, agent.training.policy, 2, world_seeds=[0], policy_seed=seed)
        inputs = contracts(env)
    bus = agent.build(inputs, batch=agent.training.batch, seed=seed, learning=True)
    reach = bus.reach()
    if agent.swapped:
        agent = _without(agent, [topic for topic in agent.training.losses if topic not in reach], console)
    setup = agent.training
    if setup.replay and (SURPRISE not in bus.plan.topics or setup.walk is not None):
        why = f"nobody writes {SURPRISE!r}" if setup.walk is None else "agents that stay (training.walk) are not drawn"
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
    return agent, bus, sorted(taught)


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


def _learn(folder: RunFolder, bus: Bus, taught: list[str], console: Console) -> RunFolder:
    config, agent = folder.config, folder.beginning
    setup, seed = agent.training, config["seed"]
    for name in bus.parts:
        if name not in taught and _weights(bus, name):
            losses = ", ".join(setup.losses)
            text = f"[yellow]no loss of {losses} reaches {name}: its weights stay as they are[/]"
            console.print(text, soft_wrap=True)
    weights = [p for name in taught for p in _weights(bus, name)]
    optimiser = torch.optim.Adam(weights, lr=setup.learning_rate)
    replay = Replay(setup.replay, setup.rare, seed) if setup.replay else None
    done, spent = load_checkpoint(folder.path / CHECKPOINT, bus, optimiser, replay)
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
        living = setup.walk is not None
        save_checkpoint(folder.path / CHECKPOINT, bus, optimiser, done, seconds, living=living, replay=replay)
        save_weights(bus, folder.path / WEIGHTS, meta())

    def meta() -> dict[str, str]:
        return {"agent": agent.name, "env": config["env"], "seed": str(seed), "updates": str(done)}

    try:
        with no_subnormals(), _interrupt_waits() as asked_to_stop, _progress(console) as progress:
            bar = progress.add_task("", total=setup.updates, completed=done, said="")
            walks = batches(agent, config["env"], config["options"], seed, first_walked(done, replay), setup.updates)
            for batch, tell in drawn(walks, replay, setup.batch, done):
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
                    progress.update(bar, completed=done, said=said)
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
    if status == "interrupted":
        text = f"interrupted after {done} updates; cogarch resume {folder.path} goes on"
        console.print(text, markup=False, soft_wrap=True)
    return folder


@contextlib.contextmanager
def _interrupt_waits() -> Iterator[Callable[[], bool]]:
    """Ctrl-C waits for the end of the update, so that what is saved is whole; a second one does not wait.

    Gives a function that says whether there was one.
    """
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    # only the main thread may take signals, and one that somebody else takes or ignores is left to them
    ours = threading.current_thread() is threading.main_thread()
    ours = ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: bool(asked)
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("learning"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        TimeRemainingColumn(),
        console=console,
    )
