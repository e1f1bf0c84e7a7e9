import contextlib
import csv
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
import tiny
import torch
from safetensors.torch import load_file

import agents
import envs
from cogarch import files
from cogarch.config import Agent, Schedule
from cogarch.folder import RunFolder
from cogarch.learning.backprop import Diverged, update
from cogarch.learning.train import TIME_COLUMNS, resume, train
from cogarch.learning.walks import batches
from cogarch.learning.zero_shot import evaluate
from cogarch.run import contracts, run
from envs import policies

SAVE = 6


@pytest.fixture(autouse=True)
def planted_modules_count_from_0() -> None:
    for cls in vars(tiny).values():
        if isinstance(cls, type) and issubclass(cls, tiny.Counted):
            cls.walks = 0
    tiny.Drawing.drawn.clear()


def learn(out: Path, agent: Agent | None = None, **settings: Any) -> RunFolder:
    return train(agent or tiny.learner(), out=out, save_every=SAVE, console=tiny.quiet(), **settings)


def metrics(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same(one: Path, other: Path) -> None:
    """Metrics equal but for their time columns, weights and optimiser's state equal to the bit."""
    a, b = (
        [{name: x for name, x in row.items() if name not in TIME_COLUMNS} for row in metrics(folder)]
        for folder in (one, other)
    )
    assert a == b
    for name in ("weights.safetensors", "checkpoint.safetensors"):
        x, y = load_file(one / name), load_file(other / name)
        assert x.keys() == y.keys()
        assert all(torch.equal(x[key], y[key]) for key in x), name


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return learn(tmp_path_factory.mktemp("unbroken") / "run").path


# --- what is learned --------------------------------------------------------------------------------------------------


def test_loss_falls_and_zero_shot_accuracy_rises(tmp_path: Path) -> None:
    untrained = agents.load("learner")
    setup = untrained.training.model_copy(update={"updates": 80})
    console = tiny.quiet()
    folder = train(untrained.model_copy(update={"training": setup}), out=tmp_path / "run", console=console)
    rows = metrics(folder.path)
    assert [int(row["update"]) for row in rows] == list(range(10, 81, 10))
    assert [int(row["env_steps"]) for row in rows] == [u * 32 * 100 for u in range(10, 81, 10)]
    loss, zero_shot = ([float(row[name]) for row in rows] for name in ("loss", "zero_shot"))
    assert loss[-1] < 0.75 * loss[0]
    assert zero_shot[-1] > zero_shot[0] + 0.15
    assert "80/80" in tiny.said(console) and "zero-shot 0." in tiny.said(console)
    # and in worlds that it never saw, beside the untrained one
    before, after = (
        evaluate(agent, "Square-v0", options={"width": 7}, walks=4, steps=100, windows=((0, 100),))[0]["accuracy"]
        for agent in (untrained, folder.agent)
    )
    assert after > before + 0.15


def test_equal_seeds_learn_the_same_to_the_bit_and_others_do_not(tmp_path: Path, unbroken: Path) -> None:
    assert_same(unbroken, learn(tmp_path / "again").path)
    other = learn(tmp_path / "other", seed=1).path
    assert metrics(unbroken)[0]["loss"] != metrics(other)[0]["loss"]
    a, b = (load_file(folder / "weights.safetensors") for folder in (unbroken, other))
    assert not any(torch.equal(a[key], b[key]) for key in a if a[key].numel() > 1)


def test_the_folder_says_what_was_run_and_gives_the_agent(unbroken: Path) -> None:
    config = json.loads((unbroken / "run.json").read_text())
    assert (config["kind"], config["status"], config["env"], config["seed"]) == (
        "train",
        "done",
        "cogarch/Square-v0",
        0,
    )
    assert config["options"] == {"width": 4} and config["updates"] == 20
    learned = agents.load(unbroken)
    assert learned.weights == unbroken / "weights.safetensors"
    tensors, meta = files.load_tensors(learned.weights)
    assert meta["updates"] == "20"
    assert {name.partition(".")[0] for name in tensors} == {"mec"}


def test_no_updates_keep_the_weights_of_the_seed(tmp_path: Path) -> None:
    folder = learn(tmp_path / "run", tiny.learner(updates=0))
    assert folder.config["status"] == "done" and metrics(folder.path) == []
    bus = tiny.learner().build(_inputs(), seed=0)
    for name, x in load_file(folder.path / "weights.safetensors").items():
        assert torch.equal(x, bus.parts.state_dict()[name])


def _inputs() -> dict[str, Any]:
    import envs
    from cogarch.run import contracts

    return contracts(envs.make("Square-v0", 1))


# --- the walks --------------------------------------------------------------------------------------------------------


def test_only_training_worlds_are_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walked: set[int] = set()
    walk = policies.walk

    def watch(*args: Any, world_seeds: Any, **settings: Any) -> Any:
        walked.update(world_seeds)
        return walk(*args, world_seeds=world_seeds, **settings)

    monkeypatch.setattr(policies, "walk", watch)
    learn(tmp_path / "run", tiny.learner(updates=3, batch=900, steps=3), seed=5)
    assert walked == set(range(1000))  # 2,700 walks: each world at least twice
    walked.clear()
    evaluate(tiny.learner(), "Square-v0", walks=3, steps=3)
    assert min(walked) >= 10_000


def test_each_update_has_noise_of_its_own(tmp_path: Path) -> None:
    noisy = tiny.learner(updates=7).swap("lec", "tiny:Drawing")
    learn(tmp_path / "whole", noisy)
    drawn = list(tiny.Drawing.drawn)
    assert len(drawn) == 7
    assert not any(torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])
    tiny.Drawing.drawn.clear()
    learn(tmp_path / "again", noisy)
    assert all(torch.equal(a, b) for a, b in zip(drawn, tiny.Drawing.drawn, strict=True))


# --- stopped, killed, resumed -----------------------------------------------------------------------------------------


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_the_update_under_way_saves_and_says_how_to_go_on(tmp_path: Path, unbroken: Path) -> None:
    console, out = tiny.quiet(), tmp_path / "run"
    folder = train(tiny.planted("Interrupted"), out=out, save_every=SAVE, console=console)
    assert folder.config["status"] == json.loads((out / "run.json").read_text())["status"] == "interrupted"
    assert f"interrupted after 8 updates; cogarch resume {out} goes on" in tiny.said(console)
    assert files.load_tensors(out / "checkpoint.safetensors")[1]["updates"] == "8"
    assert RunFolder.open(out).agent.weights == out / "weights.safetensors"
    resumed = resume(RunFolder.open(out), tiny.quiet())
    assert resumed.config["status"] == "done"
    assert_same(out, unbroken)


def test_weights_along_the_way_are_kept_where_asked_for(tmp_path: Path, unbroken: Path) -> None:
    folder = learn(tmp_path / "run", keep_every=8)
    assert folder.kept == [8, 16]
    assert_same(folder.path, unbroken)
    assert files.load_tensors(folder.weights_after(8))[1]["updates"] == "8"
    with pytest.raises(files.FileError, match=r"kept no weights after 9 updates; it kept them after 8, 16 "):
        folder.agent_after(9)
    kept, last = (load_file(agent.weights) for agent in (folder.agent_after(8), folder.agent) if agent.weights)
    assert kept.keys() == last.keys() and any(not torch.equal(kept[name], last[name]) for name in kept)


def test_what_is_scheduled_lives_on_as_it_was_when_the_weights_were_kept(tmp_path: Path) -> None:
    """TEM's gate is shut at first: weights of an early stage live with the gate of that stage."""
    small = agents.load("tem").change("mec", modules=[3, 3], hidden=2).change("lec", filters=[0.9, 0.1])
    small = small.train_with(updates=6, batch=2, steps=4, walk=8, options={"width": 3})
    folder = learn(tmp_path / "run", small, keep_every=3)
    gate, eta = (small.training.schedules[name] for name in ("mec.gate", "hc.eta"))
    for agent, updates in ((folder.agent_after(3), 3), (folder.agent, 6)):
        assert agent.modules["mec"]["gate"] == gate.at(updates) < 0.2
        assert agent.modules["hc"]["eta"] == eta.at(updates) < 0.01
    assert "gate" not in folder.beginning.modules["mec"]


@pytest.mark.usefixtures("ctrl_c")
def test_what_a_module_keeps_in_buffers_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learn(tmp_path / "broken", tiny.planted("Remembers"))
    assert resume(RunFolder.open(tmp_path / "broken"), tiny.quiet()).config["status"] == "done"
    monkeypatch.setattr(tiny.Remembers, "presses", 0)
    whole = learn(tmp_path / "whole", tiny.planted("Remembers")).path
    assert float(load_file(whole / "weights.safetensors")["mec.seen"]) == 20
    assert_same(tmp_path / "broken", whole)


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_ctrl_c_does_not_wait_and_leaves_the_last_checkpoint(
    tmp_path: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny.Interrupted, "presses", 2)
    with pytest.raises(KeyboardInterrupt):
        train(tiny.planted("Interrupted"), out=tmp_path / "run", save_every=SAVE, console=tiny.quiet())
    assert files.load_tensors(tmp_path / "run" / "checkpoint.safetensors")[1]["updates"] == "6"
    resume(RunFolder.open(tmp_path / "run"), tiny.quiet())
    assert_same(tmp_path / "run", unbroken)


def long() -> Agent:
    """A training of some seconds."""
    return tiny.learner(updates=200, batch=2, steps=10)


def kill_trainings(out: str, moments: int) -> None:
    """Train, be killed at a random moment, go on, be killed again ...; prints the updates behind each checkpoint.

    Forks, since to start Python anew for each would take half a minute.
    """
    train(long(), out=Path(out) / "unbroken", save_every=3, console=tiny.quiet())
    chance, broken = random.Random(0), Path(out) / "broken"
    checkpoint = broken / "checkpoint.safetensors"

    def behind() -> int:
        return int(files.load_tensors(checkpoint)[1]["updates"]) if checkpoint.exists() else 0

    for moment in range(moments):
        child = os.fork()
        if child == 0:
            try:
                if (broken / "run.json").exists():
                    resume(RunFolder.open(broken), tiny.quiet())
                else:
                    train(long(), out=broken, save_every=3, console=tiny.quiet())
            finally:
                os._exit(1)
        # the first at any moment of the start, the others some updates on (by progress, whatever else the machine does)
        goal = 0 if moment == 0 else behind() + chance.randint(0, 12)
        while behind() < goal and os.waitpid(child, os.WNOHANG) == (0, 0):
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, "the training ended before it was killed"
        print(behind())
    resume(RunFolder.open(broken), tiny.quiet())


def test_killed_at_random_moments_and_resumed_it_is_the_unbroken_run(tmp_path: Path) -> None:
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parents[1])])
    command = [sys.executable, "-c", f"import test_train; test_train.kill_trainings({str(tmp_path)!r}, 11)"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, check=True, stdout=subprocess.PIPE, text=True
    )
    told = [int(line) for line in done.stdout.split()]
    assert len(told) == 11 and told == sorted(told)
    assert len(set(told)) >= 5 and told[-1] < 200  # killed in the midst of it
    assert len(metrics(tmp_path / "broken")) == 20
    assert_same(tmp_path / "broken", tmp_path / "unbroken")


def test_what_is_done_stays_as_it_is_when_resumed(tmp_path: Path, unbroken: Path) -> None:
    out = learn(tmp_path / "run").path
    before = metrics(out)
    assert resume(RunFolder.open(out), tiny.quiet()).config["status"] == "done"
    assert metrics(out) == before
    assert_same(out, unbroken)


def test_a_full_disk_is_said_and_what_was_saved_goes_on(
    tmp_path: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, put = tmp_path / "run", os.replace
    full = False

    def replace(source: Any, target: Any) -> None:
        nonlocal full
        full = full or (Path(target).name == "checkpoint.safetensors" and (out / "checkpoint.safetensors").exists())
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        put(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with pytest.raises(files.FileError, match=r"cannot write .*checkpoint\.safetensors: no space is left"):
            learn(out)
    assert files.load_tensors(out / "checkpoint.safetensors")[1]["updates"] == str(SAVE)
    assert sorted(p.name for p in out.iterdir()) == [
        "checkpoint.safetensors",
        "lock",
        "metrics.csv",
        "run.json",
        "weights.safetensors",
    ]
    resume(RunFolder.open(out), tiny.quiet())
    assert_same(out, unbroken)


# --- numbers that are not finite --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "where"),
    [
        ("SaysNaN", r"'mec/g', written by mec\.move, is not finite at tick 3 of the walk"),
        ("NaNGradient", r"the gradient of 'mec\.log_scale' is not finite, though every message is"),
    ],
)
def test_what_is_not_finite_stops_the_training_by_name(tmp_path: Path, module: str, where: str) -> None:
    out = tmp_path / "run"
    with pytest.raises(Diverged, match=f"after 13 updates {where}; lower .*the checkpoint after 12 updates is kept"):
        learn(out, tiny.planted(module))
    assert json.loads((out / "run.json").read_text())["status"] == "diverged"
    assert [row["update"] for row in metrics(out)] == ["10"]
    tensors, meta = files.load_tensors(out / "checkpoint.safetensors")
    assert meta["updates"] == "12" and all(bool(x.isfinite().all()) for x in tensors.values())
    kept = load_file(out / "weights.safetensors")
    bus = agents.load(out).build(_inputs())
    assert all(torch.equal(bus.parts.state_dict()[name], x) for name, x in kept.items())
    with pytest.raises(Diverged, match="after 12 updates"):  # the planted fault is there from the first walk now
        resume(RunFolder.open(out), tiny.quiet())


def test_a_sum_that_overflows_is_said(tmp_path: Path) -> None:
    agent = tiny.learner(losses={"loss/prediction": 1e39}, clip=1e30)
    with pytest.raises(
        Diverged, match=r"after 0 updates the sum of the losses is not finite.*no checkpoint was made before it"
    ):
        learn(tmp_path / "run", agent)


# --- agents that stay in their worlds ---------------------------------------------------------------------------------


def test_a_training_of_agents_that_stay_is_resumed_where_it_stopped(tmp_path: Path) -> None:
    schedules = {
        "learning_rate": Schedule(start=1e-2, end=1e-3, over=5),
        "hc.eta": Schedule(start=0.1, end=0.5, over=9),
    }
    agent = agents.load("tem").change("mec", modules=[6, 3]).change("lec", filters=[0.9, 0.1], hidden=8)
    losses = agent.training.losses
    agent = agent.train_with(updates=8, steps=5, walk=[10, 20], batch=3, schedules=schedules, options={"width": 3})
    assert agent.training.losses == losses
    unbroken = train(agent, out=tmp_path / "unbroken", console=tiny.quiet())
    stopped = train(agent.train_with(updates=5), out=tmp_path / "stopped", save_every=5, console=tiny.quiet())
    config = json.loads((stopped.path / "run.json").read_text())
    config["agent"]["training"]["updates"] = 8
    config |= {"updates": 8, "status": "interrupted"}
    (stopped.path / "run.json").write_text(json.dumps(config))
    resumed = resume(RunFolder.open(stopped.path), tiny.quiet())
    one, other = (load_file(folder.path / "weights.safetensors") for folder in (unbroken, resumed))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_schedule_out_of_the_range_of_its_setting_is_refused(tmp_path: Path) -> None:
    for name, end in (("hc.eta", 7.0), ("mec.gate", 5.0)):
        agent = agents.load("tem").train_with(schedules={name: {"start": 0.1, "end": end, "over": 2}})
        with pytest.raises(ValueError, match=name.partition(".")[2]):
            train(agent, out=tmp_path / "run", console=tiny.quiet())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("largest", [None, 1e-3])
def test_each_gradient_is_clipped_apart(largest: float | None) -> None:
    agent = agents.load("tem").change("mec", modules=[6, 3]).change("lec", filters=[0.9, 0.1], hidden=8)
    agent = agent.train_with(batch=2, steps=5, walk=[5, 10], clip_each=largest, clip=1e9)
    with contextlib.closing(envs.make("Square-v0", 1, width=3)) as world:
        bus = agent.build(contracts(world), batch=2, learning=True)
    weights = [p for p in bus.parts.parameters() if p.requires_grad]
    batch = next(batches(agent, "Square-v0", {"width": 3}, 0, 0, 1))
    optimiser = torch.optim.SGD(weights, lr=0.0)
    row = update(bus, optimiser, batch, agent.training, weights, 0, True)
    norms = torch.stack([p.grad.norm() for p in weights if p.grad is not None])
    assert bool((norms <= 1.01e-3).all()) == (largest is not None)
    assert row["gradient_norm"] == pytest.approx(float(norms.norm()), rel=1e-3)


def test_schedules_of_nothing_are_refused(tmp_path: Path) -> None:
    for name, message in (
        ("hc.etta", "'hc.etta' is nothing that changes; did you mean 'hc.eta'"),
        ("loss/g_", "loss/g"),
    ):
        agent = agents.load("tem")
        schedules = agent.training.schedules | {name: Schedule(start=0, end=1, over=2)}
        with pytest.raises(ValueError, match=message):
            train(agent.train_with(schedules=schedules), out=tmp_path / "run", console=tiny.quiet())
    assert not (tmp_path / "run").exists()


# --- what cannot be learned -------------------------------------------------------------------------------------------


def test_what_cannot_be_learned_is_said_before_there_is_a_folder(tmp_path: Path) -> None:
    out = tmp_path / "run"
    for agent, wrong, message in (
        (tiny.learner(losses={"loss/predicton": 1.0}), {}, "no module writes the loss 'loss/predicton'; did you mean"),
        (tiny.learner(losses={"lec/x": 1.0}), {}, "no module writes the loss 'lec/x'; there is loss/prediction"),
        (tiny.learner().swap("mec", "tiny:Weightless"), {}, "learner has no weight that learns"),
        (tiny.learner(), {"options": {"widht": 4}}, "no setting 'widht': did you mean width"),
        (tiny.learner(), {"world": "Sqare-v0"}, "no world is called 'Sqare-v0': did you mean .*Square-v0"),
        (
            tiny.learner(),
            {"world": "Graph-v0", "options": {"graph": nx.cycle_graph(4)}},
            "kept as JSON.*path of its file",
        ),
        (
            tiny.learner().train_with(policy="object_seeking"),
            {"world": "Square-v0"},
            "landmark",
        ),
        (tiny.learner(), {"seed": -1}, "seed is at least 0"),
        (tiny.learner(), {"save_every": 0}, "save_every and keep_every at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            train(agent, out=out, console=tiny.quiet(), **wrong)  # type: ignore[arg-type]
        assert not out.exists()


def test_a_weight_that_no_loss_reaches_is_told(tmp_path: Path) -> None:
    console = tiny.quiet()
    agent = tiny.learner(updates=1).swap("world", "tiny:Unreached")
    folder = train(agent, out=tmp_path / "run", console=console)
    assert "no loss of loss/prediction reaches world: its weights stay as they are" in tiny.said(console)
    assert float(load_file(folder.path / "weights.safetensors")["world.idle"]) == 3.0


def test_only_trainings_are_resumed(tmp_path: Path) -> None:
    life = run(tiny.learner(), "Square-v0", steps=3, out=tmp_path / "life", console=tiny.quiet())
    with pytest.raises(files.FileError, match="is a run, not a training; only trainings are resumed"):
        resume(life, tiny.quiet())


def test_a_training_that_saved_nothing_yet_has_no_agent(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "run", "train", tiny.learner(), "cogarch/Square-v0", options={}, seed=0)
    with pytest.raises(files.FileError, match="has saved no weights yet; cogarch resume"):
        agents.load(tmp_path / "run")


@pytest.mark.parametrize("fault", ["cut short", "another agent's", "no checkpoint", "text"])
def test_a_checkpoint_that_does_not_fit_is_refused_and_left(tmp_path: Path, unbroken: Path, fault: str) -> None:
    out = learn(tmp_path / "run", tiny.learner(updates=SAVE)).path
    checkpoint = out / "checkpoint.safetensors"
    if fault == "cut short":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-10])
        message = "cut short at .* and lacks "
    elif fault == "another agent's":
        other = tiny.learner(updates=1).change("mec", cells=9, modules=3)
        checkpoint.write_bytes((learn(tmp_path / "other", other).path / "checkpoint.safetensors").read_bytes())
        message = "is not a checkpoint of this agent; remove it to begin anew"
    elif fault == "no checkpoint":
        checkpoint.write_bytes((out / "weights.safetensors").read_bytes())
        message = "is not a checkpoint of this agent; remove it to begin anew"
    else:
        checkpoint.write_text("hello")
        message = "it is no safetensors file"
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(files.FileError, match=message):
        resume(RunFolder.open(out), tiny.quiet())
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
