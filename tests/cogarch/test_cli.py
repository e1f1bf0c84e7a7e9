import csv
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny
import xarray as xr

import agents
import cogarch
from cogarch.folder import RunFolder
from cogarch.learning.train import train
from cogarch.recording import open_recording

SCRIPT = Path(sys.executable).with_name("cogarch")
REFERENCE = os.environ.get("COGARCH_REFERENCE")
ROOT = Path(cogarch.__file__).parents[1]


@dataclass
class Said:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """The installed script, run in this process (to start Python anew takes two seconds) and in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> Said:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, words)])
        monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
            status = 0
        except SystemExit as end:
            status = 0 if end.code is None else int(str(end.code))
        printed = capsys.readouterr()
        return Said(status, printed.out, printed.err)

    return run


def start(folder: Path, *words: object, path: Path | None = None) -> subprocess.Popen[str]:
    """The installed script as a process, in `folder`; Ctrl-C reaches it even where this one ignores it."""
    environment = {**os.environ, "COLUMNS": "200", **({"PYTHONPATH": str(path)} if path else {})}
    return subprocess.Popen(
        [str(SCRIPT), *map(str, words)],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def one_sentence(said: Said) -> str:
    """What an error of use is: one line on stderr, status 2, no trace."""
    assert said.status == 2, said
    assert said.out == ""
    assert said.err.startswith("cogarch: ") and said.err.count("\n") == 1, said.err
    assert "Traceback" not in said.err
    return said.err


SMALL = ("--set", "mec.modules=1", "--set", "mec.cells=4", "--set", "hc.capacity=64")

# --- what there is ----------------------------------------------------------------------------------------------------


def test_the_script_is_declared_and_installed() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert declared == {"cogarch": "cogarch.cli:main"}
    assert SCRIPT.exists(), "install the project first: make test does"


def test_every_command_helps(command: Callable[..., Said]) -> None:
    whole = command("--help")
    assert whole.status == 0
    names = re.findall(r"• (\S+) ", whole.out)
    assert {"demo", "run", "train", "resume", "ratemaps", "check", "modules", "agents", "envs"} <= set(names)
    for name in names:
        said = command(name, "--help")
        assert said.status == 0 and said.err == ""
        assert f"usage: cogarch {name}" in said.out
    for flag in ("--steps", "--episodes", "--batch", "--seed", "--out", "--swap ROLE=NAME", "-o", "--set"):
        assert flag in command("run", "--help").out


def test_the_lists(command: Callable[..., Said]) -> None:
    modules = command("modules").out
    for name in ("lec/one_hot", "mec/rotor", "hc/modern_hopfield", "executive/explorer"):
        assert re.search(rf"^{name} +\S", modules, re.M)
    assert [line.split()[0] for line in command("agents").out.splitlines()] == list(agents.catalogue())
    worlds = command("envs").out
    for name in ("cogarch/Square-v0", "cogarch/Alternation-v0", "MiniGrid-FourRooms-v0", "BabyAI-GoToLocal-v0"):
        assert re.search(rf"^{name} +\S", worlds, re.M)
    assert "MiniGrid-MultiRoom-N4-S5-v0 is out of date: use MiniGrid-MultiRoom-N4-S5-v1" in worlds
    some = command("envs", "babyai").out.split("\n\n")[0].splitlines()
    assert len(some) > 50 and all(line.startswith("BabyAI-") for line in some)
    assert "no world's name holds 'Sqare'" in command("envs", "Sqare").err


def test_the_wiring_is_shown(command: Callable[..., Said]) -> None:
    said = command("graph", "learner")
    assert said.status == 0
    assert "mec.move" in said.out and "hc/recalled_x" in said.out
    assert re.search(r"loss/prediction teaches .*mec", said.out)


# --- run, ratemaps ----------------------------------------------------------------------------------------------------


def test_a_run_and_its_rate_maps(command: Callable[..., Said], tmp_path: Path) -> None:
    words = ("run", "explorer", "Torus-v0", "--steps", 150, "--batch", 2, "--seed", 4, "-o", "width=[4, 6]", *SMALL)
    said = command(*words, "--option", "objects=30", "--swap", "executive=explorer", "--out", "life")
    assert (said.status, said.out) == (0, "life\n")
    folder = RunFolder.open(tmp_path / "life")
    config = folder.config
    assert (config["kind"], config["status"], config["env"], config["seed"]) == ("run", "done", "Torus-v0", 4)
    assert (config["steps"], config["episodes"], config["batch"]) == (150, 1, 2)
    assert config["options"] == {"width": [4, 6], "objects": 30}
    assert config["command"].startswith("cogarch run explorer Torus-v0 --steps 150")
    assert folder.agent.modules["mec"] == {"use": "rotor", "motion": "given", "modules": 1, "cells": 4}
    assert folder.agent.modules["executive"] == {"use": "explorer"}
    # the same by the library, to the bit
    agent = agents.load("explorer").change("mec", modules=1, cells=4).change("hc", capacity=64)
    same = cogarch.run(
        agent.swap("executive", "explorer"),
        "Torus-v0",
        steps=150,
        batch=2,
        seed=4,
        options={"width": [4, 6], "objects": 30},
        out=tmp_path / "same",
        console=tiny.quiet(),
    )
    xr.testing.assert_identical(open_recording(folder.recording).load(), open_recording(same.recording).load())

    said = command("ratemaps", "life", "--topic", "mec/g", "--shuffles", 5)
    assert (said.status, said.err) == (0, "")
    assert said.out.split() == [
        f"life/figures/{name}" for name in ("mec.g.png", "mec.g.svg", "mec.g.pdf", "scores.csv")
    ]
    with (tmp_path / "life/figures/scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["cell"] for row in rows] == ["0", "1", "2", "3"]

    said = command("ratemaps", "learner", "--topic", "lec/x", "--shuffles", 0)  # an agent's name: it lives first
    life = RunFolder.open(tmp_path / "runs/learner-Square-v0-0")
    assert said.status == 0 and "runs/learner-Square-v0-0/figures/lec.x.png" in said.out
    assert life.config["steps"] == 5000 and life.config["options"] == {"width": 8}  # the largest that it trains in

    sentence = one_sentence(command("ratemaps", "life", "--topic", "mec/gg"))
    assert "no topic 'mec/gg' in this recording. Did you mean mec/g" in sentence
    assert "no such file or folder" in one_sentence(command("ratemaps", "nowhere"))
    assert "life holds a run already; name another folder with --out" in one_sentence(command(*words, "--out", "life"))
    assert "life is a run, not a training" in one_sentence(command("resume", "life"))


def test_the_rate_map_of_a_recorded_neuron(command: Callable[..., Said], tmp_path: Path) -> None:
    if not REFERENCE:
        pytest.skip("COGARCH_REFERENCE is not set: .ci/run sets it where the reference data lies")
    file = (ROOT / REFERENCE / "grid_cell_recording.npz").resolve()
    said = command("ratemaps", file, "--out", "neuron", "--shuffles", 5)
    assert said.status == 0
    names = ("grid_cell_recording.png", "grid_cell_recording.svg", "grid_cell_recording.pdf", "scores.csv")
    assert said.out.split() == [f"neuron/{name}" for name in names]
    assert all((tmp_path / "neuron" / name).stat().st_size > 500 for name in names[:3])
    with (tmp_path / "neuron/scores.csv").open(newline="") as table:
        (row,) = csv.DictReader(table)
    assert float(row["grid60"]) > 0.7


# --- train, resume ----------------------------------------------------------------------------------------------------


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    """A small agent that learns, as a file."""
    agent = tiny.learner(updates=12)
    lines = ['about = "small"', "[training]", 'policy = "uniform"', "updates = 12", "batch = 2", "steps = 10"]
    lines += ["options = { width = 4 }", "[training.modules.hc]", "capacity = 10", "merge = 0.0"]
    for role, settings in agent.modules.items():
        lines += [f"[modules.{role}]", *(f"{name} = {json.dumps(value)}" for name, value in settings.items())]
    file = tmp_path / "small.toml"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_a_training_and_a_life_with_what_was_learned(command: Callable[..., Said], tmp_path: Path, toml: Path) -> None:
    said = command("train", "small.toml", "--updates", 8, "--seed", 3, "--save-every", 2, "-o", "objects=7")
    assert (said.status, said.out) == (0, "runs/small-Square-v0-3\n")
    folder = RunFolder.open(tmp_path / "runs/small-Square-v0-3")
    assert folder.config["options"] == {"width": 4, "objects": 7}
    assert folder.config["updates"] == 8 and folder.config["save_every"] == 2
    assert command("resume", "runs/small-Square-v0-3").out == "runs/small-Square-v0-3\n"
    said = command("run", "runs/small-Square-v0-3", "Square-v0", "--steps", 5, "-o", "objects=7", "--out", "life")
    assert said.status == 0
    learned = RunFolder.open(tmp_path / "life").agent.build(_contracts(7)).parts.state_dict()
    assert learned["mec.displacement"].equal(folder.agent.build(_contracts(7)).parts.state_dict()["mec.displacement"])
    assert not learned["mec.displacement"].equal(
        folder.beginning.build(_contracts(7), seed=3).parts.state_dict()["mec.displacement"]
    )


def _contracts(objects: int) -> dict[str, cogarch.Signal]:
    import envs
    from cogarch.run import contracts

    return contracts(envs.make("Square-v0", 1, objects=objects))


def test_what_diverges_ends_in_a_sentence(command: Callable[..., Said], toml: Path) -> None:
    said = command("train", "small.toml", "--out", "run", "--swap", "mec=tiny:NaNFromTheFirst")
    assert said.status == 2 and "Traceback" not in said.err
    assert "cogarch: after 0 updates 'mec/g_path', written by mec.move, is not finite at tick 0 of the walk" in said.err
    assert RunFolder.open(Path("run")).config["status"] == "diverged"


def test_a_training_interrupted_and_resumed(
    command: Callable[..., Said], toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny.Interrupted, "walks", 0)
    toml.write_text(toml.read_text().replace('use = "rotor"', 'use = "tiny:Interrupted"'))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        said = command("train", "small.toml", "--out", "run")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (said.status, said.out) == (130, "run\n")
    assert "interrupted after 8 updates; cogarch resume run goes on" in said.err
    said = command("resume", "run")
    assert (said.status, said.out) == (0, "run\n")
    assert RunFolder.open(Path("run")).config["status"] == "done"
    assert [line.split(",")[0] for line in Path("run/metrics.csv").read_text().splitlines()] == ["update", "10", "12"]


def test_a_run_killed_and_a_run_interrupted(tmp_path: Path) -> None:
    life = ("run", "explorer", "Square-v0", "--steps", 10**6, "-o", "width=5", *SMALL, "--out")
    killed, interrupted = start(tmp_path, *life, "killed"), start(tmp_path, *life, "interrupted")
    try:
        _wait(lambda: _committed(tmp_path / "killed") > 0 and _committed(tmp_path / "interrupted") > 0)
        os.kill(killed.pid, signal.SIGKILL)
        os.kill(interrupted.pid, signal.SIGINT)
        killed.communicate(timeout=60)
        out, err = interrupted.communicate(timeout=60)
    finally:
        for process in (killed, interrupted):
            process.kill()
            process.wait()

    assert killed.returncode == -signal.SIGKILL
    assert json.loads((tmp_path / "killed/run.json").read_text())["status"] == "running"
    with xr.open_zarr(tmp_path / "killed/recording.zarr") as plain:
        ticks = int(plain["committed"])
        assert ticks >= 256 and not plain["mec.g"][:ticks].isnull().any()
    assert open_recording(tmp_path / "killed/recording.zarr").sizes["tick"] == ticks

    assert (interrupted.returncode, out) == (130, "interrupted\n")
    assert "what was lived so far is in interrupted" in err and "Traceback" not in err
    assert RunFolder.open(tmp_path / "interrupted").config["status"] == "interrupted"
    recording = open_recording(tmp_path / "interrupted/recording.zarr").load()
    assert recording.sizes["tick"] >= 256 and not recording["mec.g"].isnull().any()


def _committed(folder: Path) -> int:
    path = folder / "recording.zarr"
    return int(xr.open_zarr(path)["committed"]) if path.exists() else 0


def _wait(for_: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not for_():
        assert time.monotonic() < end, "it never came so far"
        time.sleep(0.3)  # what is looked at costs more than the wait


# --- modules of one's own ---------------------------------------------------------------------------------------------

MINE = '''
import torch
from cogarch import Module, Signal, Step


class Compass(Module):
    role = "mec"

    def __init__(self, topics, *, gain: float = 1.0):
        super().__init__()
        self.gain = gain

    def steps(self):
        g = Signal((2,), cells="compass")
        return [Step("turn", {"motion": "env/motion"}, {"mec/g_path": g, "mec/g": g})]

    def turn(self, motion):
        return {"mec/g_path": self.gain * motion, "mec/g": self.gain * motion}


class Leaky(Compass):
    """Its rows hear each other."""

    def turn(self, motion):
        return super().turn(motion + motion.mean(0, keepdim=True))


class Wrong(Compass):
    """Says another shape than it declares."""

    def turn(self, motion):
        return {"mec/g_path": motion, "mec/g": motion[:, :1]}


class Breaks(Compass):
    """Fails in the midst of life."""

    def steps(self):
        (turn,) = super().steps()
        return [Step("turn", {**turn.reads, "action": "env/action"}, turn.writes)]

    def turn(self, motion, action):
        if action.device.type != "meta" and (action > 0).any():
            raise ValueError("my own mistake")
        return super().turn(motion)


class Needy(Compass):
    def __init__(self, topics, *, gain: float):
        super().__init__(topics, gain=gain)


class Elsewhere(Compass):
    def __init__(self, topics):
        super().__init__(topics)
        self.n = topics["hc/nothing"].shape


class Plain:
    pass
'''


def test_a_module_of_ones_own_in_the_folder_of_the_command(command: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "my_compass.py").write_text(MINE)
    said = command("check", "my_compass:Compass")
    assert said.status == 0, said
    assert "FAIL" not in said.out and len(re.findall(r"│ pass +│", said.out)) >= 9
    said = command("check", "my_compass:Leaky")
    assert said.status == 1 and said.err == ""
    assert re.search(r"│ rows +│ FAIL +│", said.out)
    assert command("check", "mec/rotor").status == 0
    for target, sentence in (
        ("my_compass:Needy", "setting 'gain': Field required"),
        ("my_compass:Elsewhere", "needs the contract of 'hc/nothing'"),
        ("my_compass:Compas", "my_compass has no 'Compas'; did you mean 'Compass'?"),
        ("my_compass:Plain", "my_compass:Plain is not a cogarch.Module; derive it from cogarch.Module"),
        ("my_compas:Compass", "cannot import 'my_compas' of 'my_compas:Compass'"),
        ("my_compass", "'my_compass' names no class; a class of your own is 'package.file:Class'"),
        (":Compass", "':Compass' names no class"),
        ("mec/roter", "no mec is called 'roter'; did you mean 'rotor'?"),
        ("mex/rotor", "no role 'mex'; did you mean 'mec'?"),
    ):
        assert sentence in one_sentence(command("check", target))

    life = ("run", "explorer", "Square-v0", "--steps", 20, *SMALL[4:], "--out")
    assert command(*life, "life", "--swap", "mec=my_compass:Compass", "--set", "mec.gain=2").status == 0
    assert open_recording(tmp_path / "life/recording.zarr")["mec.g"].attrs["cells"] == "compass"
    wrong = one_sentence(command(*life, "wrong", "--swap", "mec=my_compass:Wrong"))
    assert "mec.turn -> 'mec/g': declared float32 [2]" in wrong and "made float32 [2, 1]" in wrong
    with pytest.raises(ValueError, match="my own mistake") as broken:  # its author is shown the trace ...
        command(*life, "broken", "--swap", "mec=my_compass:Breaks")
    assert re.search(r"at tick \d+, in mec\.turn", "".join(broken.value.__notes__))  # ... and the step
    assert RunFolder.open(tmp_path / "broken").config["status"] == "failed"


# --- errors of use ----------------------------------------------------------------------------------------------------

RUN = ("run", "explorer", "Square-v0", "--steps", "3")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("run", "explorr", "Square-v0"), "no agent is called 'explorr'; did you mean 'explorer'?"),
        (("run", "nowhere.toml", "Square-v0"), "there is no file nowhere.toml; an agent is a name ("),
        (("run", "explorer", "Sqare-v0"), "no world is called 'Sqare-v0': did you mean Square-v0"),
        (("run", "explorer", "MiniGrid-FourRoom-v0"), "did you mean MiniGrid-FourRooms-v0"),
        ((*RUN, "-o", "widht=5"), "cogarch/Square-v0 has no setting 'widht': did you mean width?"),
        ((*RUN, "-o", "width=wide"), "width is 'wide': give a whole number or a range"),
        ((*RUN, "-o", "width"), "--option width: it is NAME=VALUE"),
        ((*RUN, "--option", "=5"), "--option =5: it is NAME=VALUE"),
        ((*RUN, "--swap", "hx=hebbian"), "no role 'hx'; did you mean 'hc'?"),
        ((*RUN, "--swap", "mec=roter"), "no mec is called 'roter'; did you mean 'rotor'? A class of your own is"),
        ((*RUN, "--swap", "mec=one_hot"), "no mec is called 'one_hot'; "),
        ((*RUN, "--swap", "mec"), "--swap mec: it is ROLE=NAME"),
        ((*RUN, "--swap", "mec="), "--swap mec=: it is ROLE=NAME"),
        ((*RUN, "--swap", "mec=cogarch.lec.one_hot:OneHot"), "fills the role 'lec', not 'mec'"),
        ((*RUN, "--set", "hc.capacit=5"), "hc = 'modern_hopfield' has no setting 'capacit'; did you mean 'capacity'?"),
        ((*RUN, "--set", "hc.capacity=many"), "setting 'capacity': "),
        ((*RUN, "--set", "hd.capacity=5"), "explorer has no 'hd'; did you mean 'hc'?"),
        ((*RUN, "--set", "capacity=5"), "--set capacity=5: it is ROLE.SETTING=VALUE, such as hc.capacity=2048"),
        ((*RUN, "--set", "hc.capacity"), "--set hc.capacity: it is ROLE.SETTING=VALUE"),
        ((*RUN, "--seed", "-1"), "seed at least 0"),
        (("run", "explorer", "Square-v0", "--steps", "0"), "are at least 1"),
        (("run", "explorer", "Graph-v0"), "let it learn a displacement for each action (mec.motion=learned)"),
        ((*RUN, "-o", "widht=4"), "cogarch/Square-v0 has no setting 'widht': did you mean width?"),
        (("run", "explorer", "Graph-v0", "-o", "graph=no.edges"), "no.edges"),
        (("train", "learner", "--updates", "-1"), "--updates -1: it is 0 or more"),
        (("train", "learner", "--save-every", "0"), "save_every and keep_every at least 1"),
        (("resume", "nowhere"), "nowhere is no run: it has no run.json"),
    ],
)
def test_errors_of_use_are_one_sentence(
    command: Callable[..., Said], tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    assert sentence in one_sentence(command(*words))
    assert not list(tmp_path.iterdir())  # and nothing is left behind


def test_a_key_of_a_file_that_does_not_exist(command: Callable[..., Said], toml: Path) -> None:
    toml.write_text(toml.read_text().replace("updates", "update"))
    sentence = one_sentence(command("run", "small.toml", "Square-v0"))
    assert "small.toml: no key 'training.update'; did you mean 'updates'?" in sentence
    toml.write_text("[modules")
    assert "small.toml is not TOML" in one_sentence(command("run", "small.toml", "Square-v0"))


def test_text_in_brackets_is_told_as_it_is(command: Callable[..., Said], tmp_path: Path) -> None:
    """The printer's own markup is in brackets, too."""
    assert "[bold]x[/red].toml" in one_sentence(command("run", "[bold]x[/red].toml", "Square-v0"))


def test_unknown_flags_and_commands(command: Callable[..., Said]) -> None:
    for words in (("fly",), ("run", "explorer", "Square-v0", "--step", "3"), ("run", "explorer"), ()):
        said = command(*words)
        assert said.status == 2 and said.out == "" and "Traceback" not in said.err
    assert "--steps" in command("run", "explorer", "Square-v0", "--step", "3").err


def test_a_foreign_package_named_agents_is_told(tmp_path: Path) -> None:
    foreign = tmp_path / "site" / "agents"
    foreign.mkdir(parents=True)
    (foreign / "__init__.py").write_text('raise SystemExit("the foreign package was run")\n')
    process = start(tmp_path, "agents", path=foreign.parent)
    out, err = process.communicate(timeout=120)
    sentence = one_sentence(Said(process.returncode, out, err))
    assert f"the package 'agents' that Python finds is {foreign}, not {ROOT / 'agents'}" in sentence
    assert "uninstall it, or run cogarch in an environment of its own" in sentence
    # with nothing before it, and from the same folder, all is well
    process = start(tmp_path, "agents")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "") and "explorer" in out


def test_a_training_can_be_repeated_from_what_its_folder_says(command: Callable[..., Said], toml: Path) -> None:
    assert command("train", "small.toml", "--out", "one").status == 0
    config = RunFolder.open(Path("one")).config
    folder = RunFolder.open(Path("one"))
    again = train(
        folder.beginning,
        config["env"],
        seed=config["seed"],
        options=config["options"],
        out="two",
        console=tiny.quiet(),
    )
    assert (again.path / "weights.safetensors").read_bytes() == Path("one/weights.safetensors").read_bytes()
