"""Mistakes that are told in a sentence: in Python by the bus, on the command line by name."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
from buses import agent, env, live, small, small_walk, square_walk
from torch import Tensor

import agents
from cogarch import Agent, Bus, ConfigError, Module, Signal, Step, WiringError
from cogarch.arguments import changed, pairs
from cogarch.bench import codes, demo
from cogarch.learning.train import train
from cogarch.mec.rotor import Rotor
from cogarch.module import Messages, State


class Shrinks(Rotor):
    """Keeps its contract until tick 3, then says less."""

    def move(self, state: State, **reads: Tensor) -> tuple[Messages, State]:
        said, state = super().move(state, **reads)
        if bool((state["phase"].abs().sum() > 0).any()) and not state["phase"].is_meta:
            said = {topic: g[:, :3] for topic, g in said.items()}
        return said, state


def test_who_sends_a_message_of_the_wrong_kind_is_named_not_who_chokes_on_it() -> None:
    wired = Agent(
        name="x",
        modules={
            "lec": {"use": "one_hot"},
            "mec": {"use": "test_small_mercies:Shrinks"},
            "hc": {"use": "modern_hopfield"},
        },
    )
    bus = wired.build(env())
    walk, _ = square_walk(5, 1)
    with pytest.raises(RuntimeError) as error:
        live(bus, walk)
    notes = " ".join(error.value.__notes__)
    assert "in hc.recall" in notes
    assert "'mec/g_path' is declared float32 [160]; mec.move made float32 [3]" in notes


@pytest.mark.parametrize("value", [1.5, 99, -2])
def test_a_clamp_that_the_topic_cannot_hold(value: float) -> None:
    bus = agent(1)
    with pytest.raises(ValueError, match="'executive/action' cannot be clamped to"):
        bus.clamp("executive/action", value)


def test_releasing_what_is_no_topic_names_the_nearest() -> None:
    with pytest.raises(KeyError, match="mec/g"):
        agent(1).release("mec/gg")


def test_a_walk_that_lacks_a_topic_and_a_probe_that_heard_nothing() -> None:
    bus = small()
    walk = small_walk(4)
    name = next(iter(bus.plan.inputs))
    with pytest.raises(ValueError, match=f"the walk lacks '{name}'"):
        bus.play({topic: x for topic, x in walk.items() if topic != name})
    with pytest.raises(ValueError, match=r"the walk lacks .* it holds nothing"):
        bus.play({})
    probe = bus.probe(next(iter(bus.plan.order[0].step.writes)))
    with pytest.raises(ValueError, match="recorded nothing yet"):
        _ = probe.data


class Stepless(Module):
    role = "mec"


def test_a_module_without_steps_is_told_what_it_needs() -> None:
    with pytest.raises(ValueError, match="Stepless has no steps"):
        Bus(env(), {"mec": Stepless()})


class Reads(Module):
    role = "lec"

    def steps(self) -> list[Step]:
        return [Step("see", {"x": "hc/recalled_x"}, {"lec/x": Signal((3,))})]

    def see(self, x: Tensor) -> Messages:
        return {"lec/x": x}


def test_a_role_that_nothing_fills_is_named() -> None:
    with pytest.raises(WiringError, match="give the agent a module in the role hc"):
        Bus(env(), {"lec": Reads()})


def test_the_training_can_be_set_from_the_command_line() -> None:
    other = changed(agents.load("learner"), (), ("training.policy=uniform", "training.updates=7", "hc.beta=2.5"))
    assert (other.training.policy, other.training.updates, other.modules["hc"]["beta"]) == ("uniform", 7, 2.5)
    with pytest.raises(ConfigError, match=r"no key 'training\.polcy'; did you mean 'policy'"):
        changed(agents.load("learner"), (), ("training.polcy=uniform",))
    assert pairs(("label=none", "width=[5, 8]", "graph=a.gexf")) == {
        "label": None,
        "width": [5, 8],
        "graph": "a.gexf",
    }


@pytest.mark.parametrize("setting", ["mec.modules=0", "mec.scales=[-1, 2]", "hc.beta=-1", "mec.every=2.5"])
def test_settings_out_of_range_are_named(setting: str) -> None:
    wrong = changed(agents.load("explorer"), (), (setting,))
    with pytest.raises(ConfigError, match=setting.split("=")[0].split(".")[1]):
        wrong.build(env())


def test_an_agent_s_name_is_not_shadowed_by_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "explorer").mkdir()
    monkeypatch.chdir(tmp_path)
    assert agents.load("explorer").name == "explorer"


def test_any_memory_can_be_trained_whatever_the_executive_needs() -> None:
    bus = agents.load("learner").build(env(), learning=True)
    assert not any(topic.startswith("executive/") for topic in bus.plan.topics)


def test_a_training_of_a_bench_is_used_again_only_if_it_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codes, "TRAINED", tmp_path)
    wanted = tiny.learner(updates=8)

    def trained(agent: Agent, **options: object) -> Path:
        return codes.training(agent, None, 0, options, False, tiny.quiet()).path

    path = trained(wanted)
    written = (path / "weights.safetensors").stat().st_mtime_ns
    assert trained(wanted) == trained(wanted.swap("executive", "explorer", policy="uniform")) == path
    assert (path / "weights.safetensors").stat().st_mtime_ns == written
    others = {trained(wanted.change("mec", cells=9)), trained(wanted.train_with(batch=5)), trained(wanted, width=3)}
    others.add(codes.training(wanted, None, 1, {}, False, tiny.quiet()).path)
    assert len(others | {path}) == 5


def test_the_demo_removes_its_own_runs_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "learned").mkdir()
    (tmp_path / "learned" / "run.json").write_text("{}")
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "square").mkdir()
    (tmp_path / "square" / "notes.txt").write_text("no run")

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        demo.demo(tmp_path, quick=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["square", "thesis.txt"]
    assert (tmp_path / "square" / "notes.txt").exists()


def test_metrics_are_read_by_name(tmp_path: Path) -> None:
    folder = train(tiny.learner(updates=10), out=tmp_path / "run", console=tiny.quiet())
    last = folder.metrics[-1]
    assert last["update"] == 10
    assert last["env_steps"] == 10 * 4 * 20
    assert np.isfinite(last["seconds"])
    assert json.loads((folder.path / "run.json").read_text())["status"] == "done"
    assert sys.modules["cogarch.learning.train"].resume(folder, tiny.quiet()) is folder  # nothing is left to do
