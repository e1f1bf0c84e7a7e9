"""Agents as files: what is said wrong is named with the nearest that is right, and swapping leaves the rest alone."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from buses import env, live, square_walk
from torch import nn

import agents
from cogarch import Module, Signal, Step
from cogarch.config import Agent, Preset, load_weights, parse_agent, read_agent, save_weights
from cogarch.files import FileError, load_tensors, save_tensors
from cogarch.registry import ConfigError, catalogue, check_settings, find
from cogarch.wiring import WiringError

TOML = """
about = "a test"

[modules.lec]
use = "one_hot"

[modules.mec]
use = "rotor"
modules = 2
scales = [0.5, 1.5]

[modules.hc]
use = "modern_hopfield"
capacity = 20
beta = 30

[modules.executive]
use = "explorer"
policy = "uniform"

[training]
updates = 5
losses = { "loss/prediction" = 0.5 }

[training.modules.hc]
capacity = 50
beta = 10.0
"""


class Wired(Module):
    """A module from outside the catalogue, with a buffer that is part of what it has learned."""

    role = "mec"

    def __init__(self, topics: dict[str, Signal], *, size: int = 4, name: str = "x") -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, size))
        self.register_buffer("projection", torch.randn(size, size))
        self.size = size

    def steps(self) -> list[Step]:
        g = Signal((self.size,))
        return [Step("say", {"x": "env/motion"}, {"mec/g": g, "mec/g_path": g})]

    def say(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        g = x @ self.weight @ self.projection
        return {"mec/g": g, "mec/g_path": g}


class WiredWorld(Wired):
    """The same numbers to draw, in another role."""

    role = "world"

    def steps(self) -> list[Step]:
        return [Step("latent", {"x": "env/motion"}, {"world/z": Signal((self.size,))})]

    def latent(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"world/z": x @ self.weight}


class NotAModule:
    role = "mec"


HERE = f"{__name__}:Wired"


def written(tmp_path: Path, text: str = TOML) -> Path:
    path = tmp_path / "tester.toml"
    path.write_text(text)
    return path


def agent(tmp_path: Path, text: str = TOML) -> Agent:
    return read_agent(written(tmp_path, text))


def toml(data: dict[str, Any]) -> str:
    """A table as inline TOML (JSON, but for the sign between key and value)."""

    def value(x: Any) -> str:
        if isinstance(x, dict):
            return "{" + ", ".join(f"{json.dumps(k)} = {value(v)}" for k, v in x.items()) + "}"
        return "[" + ", ".join(map(value, x)) + "]" if isinstance(x, list) else json.dumps(x)

    return "\n".join(f"{json.dumps(k)} = {value(v)}" for k, v in data.items() if v is not None)


# --- files ------------------------------------------------------------------------------------------------------------


def test_an_agent_from_toml(tmp_path: Path) -> None:
    got = agent(tmp_path)
    assert (got.name, got.about, got.weights) == ("tester", "a test", None)
    assert got.modules == tomllib.loads(TOML)["modules"]
    assert got.training.updates == 5
    assert got.training.losses == {"loss/prediction": 0.5}
    assert agent(tmp_path, 'weights = "learned.safetensors"\n' + TOML).weights == tmp_path / "learned.safetensors"


@pytest.mark.parametrize("name", sorted(agents.catalogue()))
def test_agents_go_round_through_toml_and_json(name: str, tmp_path: Path) -> None:
    first = agents.load(name)
    data = first.model_dump(mode="json")
    assert parse_agent(json.loads(json.dumps(data)), "run.json") == first
    assert agent(tmp_path, toml(first.model_dump(mode="json", exclude_none=True))) == first
    assert first.about


def test_ready_made_agents_are_wired() -> None:
    for name in agents.catalogue():
        for motion in ("dx, dy", "turn, advance"):
            if name in ("explorer", "learner"):
                bus = agents.load(name).build(env(motion), batch=2)
                assert {"mec/g", "hc/p", "executive/action", "loss/prediction"} <= bus.plan.topics.keys()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TOML.replace("about", "abuot"), "no key 'abuot'; did you mean 'about'?"),
        (TOML.replace("updates", "update"), "no key 'training.update'; did you mean 'updates'?"),
        (TOML.replace("modules.hc]", "modules.hcc]", 1), "no role 'hcc'; did you mean 'hc'"),
        (TOML.replace('use = "rotor"\n', ""), "role 'mec' does not say which module it uses"),
        (TOML.replace("updates = 5", "updates = -5"), "training.updates: Input should be greater than or equal to 0"),
        (
            TOML.replace("updates = 5", 'policy = "drift"'),
            "training.policy: Input should be 'uniform', 'drifting', ",
        ),
        ("about = ", "is not TOML"),
        ("about = 3\n[modules]", "about: Input should be a valid string"),
        ("", "modules: Field required"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        agent(tmp_path, text)
    assert said in str(error.value)
    assert str(tmp_path / "tester.toml") in str(error.value)


# --- modules by name --------------------------------------------------------------------------------------------------


def build(tmp_path: Path, old: str, new: str) -> None:
    assert old in TOML
    agent(tmp_path, TOML.replace(old, new)).build(env())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"rotor"', '"rotr"', "no mec is called 'rotr'; did you mean 'rotor'?"),
        ('"rotor"', '"one_hot"', "no mec is called 'one_hot'; "),
        ("modules = 2", "module = 2", "mec = 'rotor' has no setting 'module'; did you mean 'modules'?"),
        ("modules = 2", 'modules = "two"', "mec = 'rotor': setting 'modules': Input should be a valid integer"),
        ("modules = 2", "modules = 2.5", "mec = 'rotor': setting 'modules': Input should be a valid integer"),
        ("[0.5, 1.5]", "[0.5]", "mec = 'rotor': setting 'scales.1': Field required"),
        ('"uniform"', '"random"', "executive = 'explorer': setting 'policy': Input should be 'uniform'"),
        ('"rotor"', '"nowhere.at_all:X"', "cannot import 'nowhere.at_all' of 'nowhere.at_all:X'"),
        ('"rotor"', f'"{__name__}:Wird"', "has no 'Wird'; did you mean 'Wired'"),
        ('"rotor"', f'"{__name__}:NotAModule"', "is not a cogarch.Module; derive it from cogarch.Module"),
        ('"modern_hopfield"', f'"{HERE}"', f"{HERE} fills the role 'mec', not 'hc'; say role = 'hc' in the class"),
    ],
)
def test_what_is_wrong_with_a_module_is_named(old: str, new: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        build(tmp_path, old, new)
    assert said in str(error.value)


def test_a_module_that_needs_one_that_is_not_there(tmp_path: Path) -> None:
    without = TOML.replace('[modules.mec]\nuse = "rotor"\nmodules = 2\nscales = [0.5, 1.5]\n', "")
    with pytest.raises(ConfigError, match=r"hc = 'modern_hopfield' needs the contract of 'mec/g'"):
        agent(tmp_path, without).build(env())
    with pytest.raises(WiringError, match=r"lec\.predict\(recalled_x\) reads 'hc/recalled_x', which nobody writes"):
        Agent(name="x", modules={"lec": {"use": "one_hot"}}).build(env())


def test_roles_and_the_catalogue() -> None:
    listed = catalogue()
    assert {"rotor"} <= listed["mec"].keys()
    assert {"one_hot"} <= listed["lec"].keys()
    assert "memory" not in listed["hc"]  # a file of shared parts is no module
    assert all(about for modules in listed.values() for about in modules.values())
    for role, modules in listed.items():
        assert all(find(role, name).role == role for name in modules)
    with pytest.raises(ConfigError, match=r"no role 'mce'; did you mean 'mec'"):
        find("mce", "rotor")
    with pytest.raises(ConfigError, match="holds no module that fills hc"):
        find("hc", "memory")


def test_a_module_of_the_user_fills_its_role(tmp_path: Path) -> None:
    assert find("mec", HERE) is Wired
    bus = agent(tmp_path).swap("mec", HERE, size=6).build(env())
    assert bus.plan.topics["mec/g"].shape == (6,)
    assert check_settings(Wired, {"size": "5"}, "mec") == {"size": 5, "name": "x"}


def test_a_module_without_a_constructor_can_be_named(tmp_path: Path) -> None:
    bus = agent(tmp_path).swap("executive", f"{__name__}:Idle").build(env())
    assert "executive/cost" in bus.plan.topics
    with pytest.raises(ConfigError, match="has no setting 'size'"):
        agent(tmp_path).swap("executive", f"{__name__}:Idle", size=3).build(env())


class Idle(Module):
    """No constructor, no state: the least that is a module."""

    role = "executive"

    def steps(self) -> list[Step]:
        return [Step("say", {"x": "env/motion"}, {"executive/cost": Signal((2,))})]

    def say(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"executive/cost": x.square()}


# --- swaps and seeds --------------------------------------------------------------------------------------------------


def test_swapping_leaves_the_initial_parameters_of_the_others_alone(tmp_path: Path) -> None:
    one = agent(tmp_path).change("mec", motion="learned")
    whole, again, other = one.build(env(), seed=3), one.build(env(), seed=3), one.build(env(), seed=4)
    for swapped in (
        one.swap("hc", "modern_hopfield", learn_beta=True),
        one.swap("executive", "explorer", policy="drifting"),
        one.change("lec"),
    ):
        for name, p in swapped.build(env(), seed=3).parts["mec"].named_parameters():
            assert torch.equal(p, dict(whole.parts["mec"].named_parameters())[name])
    for name, p in whole.parts.named_parameters():
        assert torch.equal(p, dict(again.parts.named_parameters())[name])
    assert not torch.equal(whole.parts["mec"].orientation, other.parts["mec"].orientation)


def test_every_role_draws_numbers_of_its_own(tmp_path: Path) -> None:
    both = agent(tmp_path).swap("mec", HERE).swap("world", f"{__name__}:WiredWorld")
    bus = both.build(env())
    assert not torch.equal(bus.parts["mec"].weight, bus.parts["world"].weight)


def test_building_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    agent(tmp_path).swap("mec", HERE).build(env())
    assert torch.equal(torch.get_rng_state(), before)


def test_swap_and_change(tmp_path: Path) -> None:
    first = agent(tmp_path)
    swapped = first.swap("hc", "modern_hopfield", merge=0.9)
    assert swapped.modules["hc"] == {"use": "modern_hopfield", "merge": 0.9}
    assert "hc" not in swapped.training.modules  # those settings were meant for the one that left
    assert swapped.modules["mec"] == first.modules["mec"]
    assert first.modules["hc"]["capacity"] == 20  # agents do not change
    changed = first.change("hc", capacity=7)
    assert changed.modules["hc"] == {"use": "modern_hopfield", "capacity": 7, "beta": 30}
    with pytest.raises(ConfigError, match="no role 'hcx'; did you mean 'hc'"):
        first.swap("hcx", "rotor")
    with pytest.raises(ConfigError, match="tester has no 'world'; there is executive, hc, lec, mec"):
        first.change("world", size=3)


def test_settings_while_learning(tmp_path: Path) -> None:
    living, learning = agent(tmp_path).build(env()), agent(tmp_path).build(env(), learning=True)
    assert (living.parts["hc"].capacity, learning.parts["hc"].capacity) == (20, 50)
    assert living.parts["hc"].log_beta.exp().item() == pytest.approx(30)
    assert learning.parts["hc"].log_beta.exp().item() == pytest.approx(10)


# --- weights ----------------------------------------------------------------------------------------------------------


def test_weights_go_round(tmp_path: Path) -> None:
    path, first = tmp_path / "w.safetensors", agent(tmp_path).swap("mec", HERE)
    learned = first.build(env(), seed=1, learning=True)
    save_weights(learned, path, {"updates": "7"})
    assert load_tensors(path)[1]["use.mec"] == HERE
    assert load_tensors(path)[1]["updates"] == "7"
    bus = first.model_copy(update={"weights": path}).build(env(), seed=2)
    for name, x in learned.parts.state_dict().items():  # buffers too: a fixed projection belongs to what was learned
        assert torch.equal(bus.parts.state_dict()[name], x), name
    walk, _ = square_walk(10, 1)
    with torch.no_grad():
        assert torch.equal(live(bus, walk)["mec/g"], live(learned, walk)["mec/g"])
    # the life keeps its own settings
    assert bus.parts["hc"].log_beta.exp().item() == pytest.approx(30)
    fresh = first.build(env(), seed=2)
    assert not torch.equal(fresh.parts["mec"].weight, learned.parts["mec"].weight)


def test_a_swapped_module_keeps_its_own_weights(tmp_path: Path) -> None:
    path, first = tmp_path / "w.safetensors", agent(tmp_path)
    learned = first.build(env(), seed=1)
    save_weights(learned, path, {})
    other = first.swap("mec", HERE).model_copy(update={"weights": path})
    bus, own = other.build(env(), seed=2), other.model_copy(update={"weights": None}).build(env(), seed=2)
    assert torch.equal(bus.parts["mec"].weight, own.parts["mec"].weight)
    # nor need an agent have every role that the file knows
    alone = Agent(name="x", modules={"executive": {"use": "explorer", "policy": "uniform"}}, weights=path)
    alone.build(env())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"modules": 3}, "'mec.log_scale' is [2] in the file and [3] in the agent; it was trained with other settings"),
        ({"motion": "learned"}, "'mec.displacement' is missing in the file and [4, 2] in the agent"),
        ({"lattice": "free"}, "'mec.log_scale' is [2] in the file and missing in the agent"),
    ],
)
def test_weights_that_do_not_fit(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    path, first = tmp_path / "w.safetensors", agent(tmp_path)
    save_weights(first.build(env()), path, {})
    with pytest.raises(FileError) as error:
        first.change("mec", **change).model_copy(update={"weights": path}).build(env())
    assert said in str(error.value)
    assert str(path) in str(error.value)


def test_weights_that_do_not_fit_change_nothing(tmp_path: Path) -> None:
    path, bus = tmp_path / "w.safetensors", agent(tmp_path).build(env())
    before = {name: x.clone() for name, x in bus.parts.state_dict().items()}
    save_tensors(path, {"mec.log_scale": torch.ones(2), "mec.orientation": torch.ones(5)}, {})
    with pytest.raises(FileError, match=r"'mec\.orientation' is \[5\] in the file"):
        load_weights(bus, path)
    assert all(torch.equal(x, before[name]) for name, x in bus.parts.state_dict().items())


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    bus, path = agent(tmp_path).build(env()), tmp_path / "w.safetensors"
    with pytest.raises(FileError, match=r"w\.safetensors"):
        load_weights(bus, path)
    path.write_bytes(b"no weights at all")
    with pytest.raises(FileError, match="no safetensors file"):
        load_weights(bus, path)
    save_tensors(path, {"net.0.weight": torch.ones(2)}, {})
    with pytest.raises(FileError, match=r"'net\.0\.weight' is \[2\] in the file and missing in the agent"):
        load_weights(bus, path)


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path: Path) -> None:
    bus, path = agent(tmp_path).build(env()), tmp_path / "w.safetensors"
    weights = {name: tensor.clone() for name, tensor in bus.parts.state_dict().items()}
    name = next(iter(weights))
    weights[name].view(-1)[0] = torch.nan
    save_tensors(path, weights, {})
    with pytest.raises(FileError, match=rf"'{re.escape(name)}' holds numbers that are not finite"):
        load_weights(bus, path)
    assert all(bool(tensor.isfinite().all()) for tensor in bus.parts.state_dict().values())


def test_presets_are_other_ways_to_be_trained() -> None:
    tem = agents.load("tem")
    paper = tem.preset("paper")
    assert (tem.training.updates, paper.training.updates) == (16000, 20000)
    quick = tem.preset("quick")
    assert (quick.name, quick.training.updates, quick.training.options) == ("tem-quick", 4000, {"width": 5})
    assert quick.modules == tem.modules and quick.training.schedules.keys() == tem.training.schedules.keys()
    assert paper.training.schedules["hc.eta"].over == 16000 and paper.training.losses == tem.training.losses
    with pytest.raises(ConfigError, match=r"tem has no preset 'papr'; did you mean 'paper'\?"):
        tem.preset("papr")
    odd = tem.model_copy(update={"presets": {"odd": Preset(training={"udpates": 3})}})
    with pytest.raises(ConfigError, match=r"no key 'training.udpates'; did you mean 'updates'"):
        odd.preset("odd")
