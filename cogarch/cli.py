"""The `cogarch` command. It alone, with the benches, may use all four packages."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

import cogarch
from cogarch.arguments import Modules, Options, Settings, changed, pairs
from cogarch.folder import RECORDING, RunFolder


def main() -> None:
    """The console script: errors of use are one plain sentence and exit status 2, never a trace."""
    _agents_is_ours()
    from cogarch.learning.backprop import Diverged

    if "" not in sys.path:
        sys.path.append("")  # modules of the user's own, in the folder where the command is given; last, to shadow none
    try:
        tyro.extras.subcommand_cli_from_dict(_COMMANDS, prog="cogarch", description=cogarch.__doc__)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # who read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (ValueError, KeyError, OSError, Diverged) as error:
        # what arose within a step of a module is for its author, who wants the trace and the note that names the step
        if "COGARCH_TRACE" in os.environ or hasattr(error, "__notes__"):
            raise
        _fail(str(error.args[0]) if isinstance(error, KeyError) else str(error))


def _agents_is_ours() -> None:
    """`agents` is also the import name of a popular package: it must be the folder beside ours."""
    home = Path(cogarch.__file__).parent.parent
    for name in ("agents", "envs", "analysis"):
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).parent if spec and spec.origin else None
        if found is None or found.resolve() != (home / name).resolve():
            _fail(
                f"the package {name!r} that Python finds is {found or 'missing'}, not {home / name}; another project's "
                f"{name!r} stands before ours: uninstall it, or run cogarch in an environment of its own"
            )


def _fail(text: str) -> NoReturn:
    Console(stderr=True).print(Text.assemble(("cogarch: ", "bold red"), text), soft_wrap=True)
    sys.exit(2)


# --- commands ---------------------------------------------------------------------------------------------------------


def run(
    agent: str,
    env: str,
    /,
    steps: int = 2000,
    episodes: int = 1,
    batch: int = 1,
    seed: int = 0,
    out: Path | None = None,
    swap: Modules = (),
    settings: Settings = (),
    options: Options = (),
) -> None:
    """Let an agent live in a world, and record every topic.

    Args:
        agent: A name (cogarch agents), a TOML file, or the folder of a training.
        env: A world (cogarch envs).
        steps: Ticks of a life.
        episodes: Lives, each in a new world (MiniGrid: with -o layout=new).
        batch: Agents living at once.
        seed: Seeds everything.
        out: Folder of the run (default: runs/AGENT-ENV-SEED).
        swap: Another module in a role, a name or pkg.mod:Class.
        settings: Another setting of a module, or of the training (training.policy=uniform).
        options: An option of the world.
    """
    folder = cogarch.run(
        _agent(agent, swap, settings),
        env,
        steps=steps,
        episodes=episodes,
        batch=batch,
        seed=seed,
        options=pairs(options),
        out=out,
    )
    _end(folder)


def train(
    agent: str,
    env: str | None = None,
    /,
    updates: int | None = None,
    recorded: tuple[Path, ...] = (),
    seed: int = 0,
    save_every: int = 100,
    keep_every: int | None = None,
    out: Path | None = None,
    preset: str | None = None,
    swap: Modules = (),
    settings: Settings = (),
    options: Options = (),
) -> None:
    """Learn an agent's weights in training worlds.

    Args:
        agent: A name (cogarch agents), a TOML file, or the folder of a training to start from.
        env: A world (default: the one that the agent's file names, or where what is recorded was lived).
        updates: Steps of the weights (default: the agent's).
        recorded: Folders of runs: learn from what was lived there, in place of new walks.
        seed: Seeds weights and walks.
        save_every: Updates between checkpoints.
        keep_every: Updates between weights that are kept (default: only the last ones are).
        out: Folder of the run (default: runs/AGENT-ENV-SEED).
        preset: Another way to be trained that the agent's file names (tem: quick, paper; tem_t: long).
        swap: Another module in a role, a name or pkg.mod:Class.
        settings: Another setting of a module, or of the training (training.policy=uniform).
        options: An option of the world.
    """
    from cogarch.learning.train import train as learn

    wired = _agent(agent, swap, settings, preset)
    if updates is not None:
        if updates < 0:
            raise ValueError(f"--updates {updates}: it is 0 or more")
        wired = wired.model_copy(update={"training": wired.training.model_copy(update={"updates": updates})})
    folder = learn(
        wired,
        env,
        seed=seed,
        options=pairs(options),
        recorded=recorded,
        out=out,
        save_every=save_every,
        keep_every=keep_every,
    )
    _examined(folder)
    _end(folder)


def resume(run: Path, /) -> None:
    """Go on with a training that was stopped or killed.

    Args:
        run: Its folder.
    """
    from cogarch.learning.train import resume as go_on

    folder = go_on(RunFolder.open(run))
    _examined(folder)
    _end(folder)


def ratemaps(
    run: Path,
    /,
    topic: str | None = None,
    out: Path | None = None,
    episode: int | None = None,
    shuffles: int = 100,
    seed: int = 0,
) -> None:
    """Draw the rate maps of a run (or of a recorded neuron, FILE.npz) and score them against their own shuffles.

    Args:
        run: Folder of a run, a recording.zarr, an npz file with x, y (cm) and spikes (s), or the name of an agent: it
            then lives 5,000 ticks first, in the largest world that it trains in.
        topic: A topic with cells (default: all of them).
        out: Folder for the figures (default: figures/ in the run).
        episode: Which life of the agent (default: the first; maps of several lives cannot be laid over each other).
        shuffles: Circular time shifts a cell.
        seed: Seeds the shifts.
    """
    import agents
    import analysis
    from cogarch.recording import open_recording

    if not run.exists() and str(run) in agents.catalogue():
        run = _life(agents.load(str(run))).path
    source: Any = run
    if (run / "run.json").exists():  # a recording of ours opens even where it is damaged
        with warnings.catch_warnings(record=True, action="always") as told:
            source, out = open_recording(run / RECORDING), out or run / "figures"
        for warning in told:
            Console(stderr=True).print(Text(f"cogarch: {warning.message}", "yellow"), soft_wrap=True)
    life: dict[str, Any] = {} if episode is None else {"episode": episode}
    for path in analysis.write_ratemaps(source, topic, out, **life, shuffles=shuffles, seed=seed):
        print(path)


def _life(agent: cogarch.Agent) -> RunFolder:
    """5,000 ticks in the largest world that the agent trains in."""
    ranges = agent.training.options.items()
    options = {name: max(value) if isinstance(value, (list, tuple)) else value for name, value in ranges}
    return cogarch.run(agent, agent.training.world, steps=5000, options=options)


def check(target: str, /, motion: str = "dx, dy") -> None:
    """Run the conformance suite on a module.

    Args:
        target: pkg.mod:Class, or ROLE/NAME of one of ours.
        motion: The unit of env/motion in which to build it.
    """
    from cogarch.check import check_module, example_contracts
    from cogarch.registry import find, load_class, make

    role, _, name = target.partition("/")
    cls = find(role, name) if name and ":" not in target else load_class(target)
    topics = example_contracts(motion)
    others = {topic: signal for topic, signal in topics.items() if topic.partition("/")[0] != cls.role}
    make(cls.role, f"{cls.__module__}:{cls.__qualname__}", others, {})  # says what keeps it from being built at all
    verdicts = check_module(cls, topics)
    table = Table("clause", "", "", title=f"{cls.__module__}:{cls.__qualname__}", title_justify="left")
    for v in verdicts:
        mark = {True: "[green]pass[/]", False: "[red]FAIL[/]", None: "[dim]not run[/]"}[v.passed]
        table.add_row(v.clause, mark, Text(v.text))
    Console().print(table)
    if any(v.passed is False for v in verdicts):
        sys.exit(1)


def modules() -> None:
    """List the modules that there are, by role."""
    from cogarch.registry import catalogue

    _list({f"{role}/{name}": about for role, found in catalogue().items() for name, about in found.items()})


def agents() -> None:
    """List the ready-made agents."""
    import agents

    _list(agents.catalogue())


def envs(match: str = "", /, pictures: Path | None = None) -> None:
    """List the worlds, a line each, and those of MiniGrid that cannot run, with the reason.

    Args:
        match: Only those whose name holds this text.
        pictures: Also draw them into this folder.
    """
    import envs
    from envs.minigrid.ids import unavailable

    found = {name: about for name, about in envs.catalogue().items() if match.lower() in name.lower()}
    lacking = [reason for name, reason in unavailable().items() if match.lower() in name.lower()]
    if not found and not lacking:
        raise ValueError(f"no world's name holds {match!r}; cogarch envs lists them all")
    _list(found)
    if lacking:
        Console().print(Text("\n" + "\n".join(lacking), "dim"), soft_wrap=True)
    if pictures is not None:
        from envs.gallery import write_pictures

        for path in write_pictures(pictures, found):
            print(path)


def graph(
    agent: str,
    env: str = "cogarch/Square-v0",
    /,
    out: Path | None = None,
    swap: Modules = (),
    settings: Settings = (),
    options: Options = (),
) -> None:
    """Show an agent's wiring: its steps in order, what each reads and writes, and which loss teaches which module.

    Args:
        agent: A name (cogarch agents), a TOML file, or the folder of a training.
        env: The world in which it is wired.
        out: Also draw it (png, svg or pdf by the ending).
        swap: Another module in a role, a name or pkg.mod:Class.
        settings: Another setting of a module, or of the training (training.policy=uniform).
        options: An option of the world.
    """
    import envs
    from cogarch.drawing import draw_wiring
    from cogarch.run import contracts

    world = envs.make(env, 1, **pairs(options))
    bus = _agent(agent, swap, settings).build(contracts(world), learning=False)
    table = Table("step", "reads", "writes", title=f"{agent} in {env}", title_justify="left")
    for node in bus.plan.order:
        reads = [f"{r.topic}{f' ({r.delay} ticks ago)' if r.delay else ''}" for r in node.reads.values()]
        writes = [f"{topic}  [dim]{signal}[/]" for topic, signal in node.step.writes.items()]
        rate = f"\n[dim]every {node.every} ticks[/]" if node.every > 1 else ""
        table.add_row(node.name + rate, "\n".join(reads), "\n".join(writes))
    console = Console()
    console.print(table)
    for loss, taught in bus.reach().items():
        console.print(f"{loss} teaches {', '.join(taught) or 'no module: none that it reaches has weights'}")
    if out is not None:
        draw_wiring(bus, out)
        print(out)


def bench(
    name: str,
    /,
    env: str | None = None,
    seeds: int | None = None,
    json: Path | None = None,
    quick: bool = False,
    only: str | None = None,
    figure: Path | None = None,
) -> None:
    """Measure a published number.

    Args:
        name: Which bench: zero-shot, structures, tem, links, visits, absence, cells, remapping, recall, sensory,
            jepa-health, navigation, lesions, minigrid, two-levels, and of speed bus, worlds, jepa-speed, tem-speed,
            train.
        env: Another world than the bench's own.
        seeds: How many seeds, from 0 on (default: the bench's own).
        json: Write the rows here, too.
        quick: A few updates and one short walk, to see that it works; the numbers mean nothing.
        only: Only the codes (or agents) whose name holds this text, where several are measured.
        figure: Draw it, too: FIGURE.png, .svg and .pdf.
    """
    from cogarch.bench import bench as measure

    measure(name, env=env, seeds=seeds, json=json, quick=quick, only=only, figure=figure, console=Console())


def demo(out: Path = Path("runs/demo"), quick: bool = False) -> None:
    """Learn a map, live in worlds never seen, and draw the cells: the main job.

    Args:
        out: Folder for the results; a demo that lies there is made anew.
        quick: A tenth of the training, to see that everything works.
    """
    from cogarch.bench.demo import demo as show

    show(out, quick=quick)


_COMMANDS: dict[str, Callable[..., Any]] = {
    "demo": demo,
    "run": run,
    "train": train,
    "resume": resume,
    "ratemaps": ratemaps,
    "check": check,
    "bench": bench,
    "graph": graph,
    "modules": modules,
    "agents": agents,
    "envs": envs,
}


# --- small parts ------------------------------------------------------------------------------------------------------


def _agent(name: str, swap: tuple[str, ...], settings: tuple[str, ...], preset: str | None = None) -> cogarch.Agent:
    import agents

    agent = agents.load(name)
    agent = agent if preset is None else agent.preset(preset)
    return changed(agent, swap, settings)


def _examined(folder: RunFolder) -> None:
    """What a world model has learned, told and kept in health.json."""
    world = folder.beginning.modules.get("world")
    if world is None or folder.config["status"] != "done":
        return
    from cogarch import files
    from cogarch.bench.report import plain
    from cogarch.registry import find
    from cogarch.world.examine import examine_run
    from cogarch.world.jepa import Jepa

    if not issubclass(find("world", world["use"]), Jepa):  # what another one means by a latent, it alone knows
        return

    found = examine_run(folder)
    Console(stderr=True).print(found.table)
    files.write_whole(folder.path / "health.json", json.dumps(plain(found.row), indent=2) + "\n")


def _end(folder: RunFolder) -> None:
    """Print where it lies; what was interrupted ends as an interrupted command does."""
    print(folder.path)
    if folder.config["status"] == "interrupted":
        sys.exit(130)


def _list(lines: dict[str, str]) -> None:
    if not sys.stdout.isatty():  # a line each, for grep
        width = max(map(len, lines), default=0)
        for name, about in lines.items():
            print(f"{name:{width}}   {about}")
        return
    table = Table.grid(padding=(0, 3))
    for name, about in lines.items():
        table.add_row(Text(name, "bold"), Text(about))
    Console().print(table)
