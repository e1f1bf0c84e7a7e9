import io
import json
import sys
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import tiny
import torch
import xarray as xr
from rich.console import Console

import agents
import cogarch
import envs
from cogarch import Agent
from cogarch.config import save_weights
from cogarch.folder import RunFolder
from cogarch.recording import open_recording
from cogarch.run import contracts, run, truth


def explorer(policy: str = "least_familiar", **hc: Any) -> Agent:
    agent = agents.load("explorer").change("mec", modules=2, cells=12)
    return agent.change("hc", **{"capacity": 64, **hc}).change("executive", policy=policy)


def live(out: Path, agent: Agent | None = None, env: str = "Square-v0", **settings: Any) -> xr.Dataset:
    """The whole recording of a short life; scalars without their axis."""
    options = {"width": 5} if env == "Square-v0" else {}
    console = settings.pop("console", None) or tiny.quiet()
    made: Any = {"steps": 60, "options": options, **settings}
    folder = run(agent or explorer(), env, out=out, console=console, **made)
    assert folder.config["status"] == json.loads((out / "run.json").read_text())["status"]
    return open_recording(folder.recording).load()


def get(recording: xr.Dataset, topic: str) -> np.ndarray:
    x = recording[topic.replace("/", ".")].values
    return x[..., 0] if x.shape[2:] == (1,) else x


def assert_equal(a: xr.Dataset, b: xr.Dataset, topics: set[str] | None = None) -> None:
    assert set(a) == set(b)
    for name in topics or set(a):
        np.testing.assert_array_equal(a[name].values, b[name].values, err_msg=str(name))


# --- what is recorded -------------------------------------------------------------------------------------------------


def test_a_recording_holds_every_topic_and_the_truth(tmp_path: Path) -> None:
    recording = live(tmp_path / "run", batch=2, seed=3)
    world = envs.make("Square-v0", 2, width=5)
    bus = explorer().build(contracts(world), batch=2, seed=3)
    assert set(recording) == {topic.replace("/", ".") for topic in {**bus.plan.topics, **truth(world)}}
    assert recording.sizes["tick"] == 60 and recording.sizes["agent"] == 2
    assert recording["mec.g"].attrs["cells"].startswith("MEC grid cells")
    about = recording.attrs
    assert (about["agent"], about["env"], about["seed"]) == ("explorer", "Square-v0", 3)
    assert json.loads(str(about["options"])) == {"width": 5}
    # the same actions in the same worlds, seeds 10,003 and 10,004, give the same truth and what was sensed
    seen, info = world.reset(seed=[10_003, 10_004])
    actions = get(recording, "env/action")
    np.testing.assert_array_equal(actions[1:], get(recording, "executive/action")[:-1])
    for t in range(60):
        if t:
            seen, _, _, _, info = world.step(actions[t])
        np.testing.assert_array_equal(get(recording, "env/observation")[t], seen)
        for name in ("node", "place", "heading", "motion", "bump"):
            np.testing.assert_array_equal(get(recording, f"env/{name}")[t], info[name])


def test_the_bus_played_over_the_recorded_walk_says_the_same(tmp_path: Path) -> None:
    agent = explorer(merge=0.0)
    recording = live(tmp_path / "run", agent, batch=2)
    bus = agent.build(contracts(envs.make("Square-v0", 2, width=5)), batch=2)
    walk = {topic: torch.from_numpy(recording[topic.replace("/", ".")].values) for topic in bus.plan.inputs}
    with torch.no_grad():
        played = bus.play(walk)
    for topic, x in played.items():
        np.testing.assert_allclose(
            x.numpy(), recording[topic.replace("/", ".")].values, rtol=1e-3, atol=1e-3, err_msg=topic
        )


def test_equal_seeds_are_equal_runs_to_the_bit_and_others_are_not(tmp_path: Path) -> None:
    one, same, other = (live(tmp_path / str(i), batch=2, seed=seed) for i, seed in enumerate((3, 3, 4)))
    assert_equal(one, same)
    assert not np.array_equal(get(one, "executive/action"), get(other, "executive/action"))
    assert not np.array_equal(get(one, "env/observation"), get(other, "env/observation"))
    assert not np.array_equal(one["mec.g"].values, other["mec.g"].values)  # orientations are drawn by the seed


def test_rows_are_lives_of_their_own(tmp_path: Path) -> None:
    recording = live(tmp_path / "run", batch=3)
    actions = get(recording, "executive/action")
    assert not any(np.array_equal(actions[:, a], actions[:, b]) for a, b in ((0, 1), (0, 2), (1, 2)))


def test_a_run_needs_no_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [cogarch.run(explorer(), "Square-v0", steps=2, console=tiny.quiet()).path for _ in range(2)]
    assert [str(path) for path in paths] == ["runs/explorer-Square-v0-0", "runs/explorer-Square-v0-0-2"]
    opened = RunFolder.open(paths[0])
    assert opened.config["status"] == "done"
    assert opened.agent == explorer()


# --- episodes ---------------------------------------------------------------------------------------------------------


def test_each_episode_is_a_new_world_to_a_fresh_memory(tmp_path: Path) -> None:
    recording = live(tmp_path / "run", steps=40, episodes=3, batch=2)
    starts = [0, 40, 80]
    assert np.flatnonzero(get(recording, "env/start").all(1)).tolist() == starts
    assert np.flatnonzero(get(recording, "env/start").any(1)).tolist() == starts
    action = get(recording, "env/action")
    assert (action[starts] == -1).all() and (np.delete(action, starts, axis=0) >= 0).all()
    assert not get(recording, "env/motion")[starts].any() and not get(recording, "env/reward").any()
    # nothing is remembered at a start (energy 2), and the tick after recalls nothing but it
    np.testing.assert_array_equal(get(recording, "hc/familiarity")[starts], -2.0)
    assert not get(recording, "hc/p")[starts].any()
    assert (np.count_nonzero(get(recording, "hc/p")[[1, 41, 81]], axis=-1) == 1).all()
    np.testing.assert_array_equal(
        get(recording, "mec/g")[starts], np.broadcast_to(get(recording, "mec/g")[0], (3, 2, 24))
    )
    # the same places show other things
    for row in range(2):
        maps = []
        for start in starts:
            own = slice(start, start + 40)
            maps.append(
                dict(
                    zip(get(recording, "env/node")[own, row], get(recording, "env/observation")[own, row], strict=True)
                )
            )
        for a, b in ((0, 1), (1, 2), (0, 2)):
            both = maps[a].keys() & maps[b].keys()
            assert len(both) > 5
            assert sum(maps[a][node] == maps[b][node] for node in both) < len(both) / 2
    actions = [get(recording, "executive/action")[start : start + 40, 0].tolist() for start in starts]
    assert actions[0] != actions[1] != actions[2]


def test_a_life_that_its_world_ends_is_paid_and_followed_by_the_next(tmp_path: Path) -> None:
    options = {"endless": False}
    recording = live(tmp_path / "run", env="MiniGrid-Empty-5x5-v0", steps=300, batch=2, options=options)
    start, reward, place = (get(recording, f"env/{name}") for name in ("start", "reward", "place"))
    ends = np.argwhere(reward > 0)
    assert len(ends) >= 4
    assert {row for _, row in ends} == {0, 1}
    assert start[1:].any(axis=1).sum() > start[1:].all(axis=1).sum()  # rows end each at its own time
    for t, row in ends:
        assert not start[t, row]
        np.testing.assert_array_equal(place[t, row], [3, 1])  # on the goal, in the corner below
        if t < 299:
            assert start[t + 1, row] and reward[t + 1, row] == 0
            np.testing.assert_array_equal(place[t + 1, row], [1, 3])
            assert get(recording, "env/action")[t + 1, row] == -1
            assert get(recording, "hc/familiarity")[t + 1, row] == -2.0
    # nothing but a goal or MiniGrid's limit of 100 steps begins a row anew
    for row in range(2):
        lives = np.diff(np.flatnonzero(start[:, row]))
        for t, length in zip(np.flatnonzero(start[:, row])[1:], lives, strict=True):
            assert reward[t - 1, row] > 0 or length == 101


def test_endless_worlds_begin_once(tmp_path: Path) -> None:
    recording = live(tmp_path / "run", env="MiniGrid-Empty-5x5-v0", steps=200)
    assert np.flatnonzero(get(recording, "env/start")).tolist() == [0]
    assert get(recording, "env/reward").sum() > 0


# --- worlds -----------------------------------------------------------------------------------------------------------


def test_each_view_has_a_code_of_its_own(tmp_path: Path) -> None:
    recording = live(tmp_path / "run", env="MiniGrid-FourRooms-v0", steps=250)
    x = get(recording, "lec/x")[:, 0]
    assert x.shape == (250, 1024) and (x.sum(-1) == 1).all()
    views = [view.tobytes() for view in get(recording, "env/observation")[:, 0]]
    order = list(dict.fromkeys(views))  # codes in the order of first sight
    assert x.argmax(-1).tolist() == [order.index(view) for view in views]
    assert len(order) > 30
    assert recording["env.motion"].attrs["unit"] == "turn, advance"


def test_a_graph_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "ring.edges"
    file.write_text("".join(f"{i} {(i + 1) % 7} on\n{(i + 1) % 7} {i} back\n" for i in range(7)))
    bodiless = explorer("uniform").change("mec", motion="learned")
    recording = live(tmp_path / "run", bodiless, "Graph-v0", steps=100, options={"graph": str(file)})
    node, action = get(recording, "env/node")[:, 0], get(recording, "env/action")[:, 0]
    step = np.where(action[1:] == 1, 1, -1)  # labels in sorted order: back, on
    np.testing.assert_array_equal(np.diff(node) % 7, step % 7)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["options"] == {"graph": str(file)}


def test_a_graph_as_an_object_is_named_in_the_run(tmp_path: Path) -> None:
    graph = nx.cycle_graph(5)
    bodiless = explorer("uniform").change("mec", motion="learned")
    recording = live(tmp_path / "run", bodiless, "Graph-v0", options={"graph": graph, "label": None})
    node = get(recording, "env/node")[:, 0]
    assert set(np.diff(node) % 5) <= {0, 1, 4}
    options = json.loads((tmp_path / "run" / "run.json").read_text())["options"]
    assert options == json.loads(str(recording.attrs["options"])) == {"graph": str(graph), "label": None}


# --- modules of one's own ---------------------------------------------------------------------------------------------

MY_MEC = '''
import torch
from cogarch import Module, Signal, Step


class MyMEC(Module):
    """Counts what the body did: a code of 4 cells."""

    role = "mec"

    def __init__(self, topics, *, gain: float = 0.5):
        super().__init__()
        self.gain = gain

    def steps(self):
        g = Signal((4,), cells="cells of my own")
        return [Step("count", {"motion": "env/motion"}, {"mec/g_path": g, "mec/g": g}, state=True)]

    def init(self, batch):
        return {"sum": torch.zeros(batch, 2)}

    def count(self, state, motion):
        total = state["sum"] + motion
        g = torch.cat([(self.gain * total).cos(), (self.gain * total).sin()], -1)
        return {"mec/g_path": g, "mec/g": g}, {"sum": total}
'''


@pytest.fixture
def my_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "code" / "my_pkg"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "my_mod.py").write_text(MY_MEC)
    monkeypatch.syspath_prepend(folder.parent)
    for name in ("my_pkg", "my_pkg.my_mod"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return folder


def test_a_module_of_ones_own_runs_in_place_of_ours(tmp_path: Path, my_package: Path) -> None:
    before = explorer("uniform")
    ours = live(tmp_path / "ours", before, batch=2)
    swapped = before.swap("mec", "my_pkg.my_mod:MyMEC", gain=0.25)
    mine = live(tmp_path / "mine", swapped, batch=2)
    assert mine["mec.g"].attrs["cells"] == "cells of my own"
    place = get(mine, "env/place")
    walked = 0.25 * (place - place[0])
    np.testing.assert_allclose(get(mine, "mec/g"), np.concatenate([np.cos(walked), np.sin(walked)], -1), atol=1e-5)
    # the others' noise is left alone: the same random walk through the same world
    assert_equal(ours, mine, {"executive.action", "env.place", "env.observation", "lec.x"})
    assert RunFolder.open(tmp_path / "mine").agent == swapped


def test_swapping_any_module_leaves_the_noise_of_the_others_alone(tmp_path: Path) -> None:
    before = live(tmp_path / "before", explorer("uniform"))
    for role, after in (
        ("mec", explorer("uniform").swap("mec", "tiny:Weightless")),
        ("hc", explorer("uniform").swap("hc", "modern_hopfield", capacity=7)),
        ("lec", explorer("uniform").swap("lec", "tiny:Drawing")),
    ):
        recording = live(tmp_path / role, after)
        np.testing.assert_array_equal(get(before, "executive/action"), get(recording, "executive/action"))
    other = live(tmp_path / "executive", explorer("drifting"))
    assert not np.array_equal(get(before, "executive/action"), get(other, "executive/action"))
    np.testing.assert_array_equal(get(before, "mec/g")[0], get(other, "mec/g")[0])


# --- what is told -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("merge", "how"), [(0.0, "the oldest"), (0.99, "the one not refreshed for longest")])
@pytest.mark.parametrize(("steps", "episodes"), [(200, 1), (40, 4)])
def test_a_full_memory_is_told_once_with_what_is_dropped(
    tmp_path: Path, merge: float, how: str, steps: int, episodes: int
) -> None:
    console = tiny.quiet()
    live(tmp_path / "run", explorer(capacity=6, merge=merge), steps=steps, episodes=episodes, console=console)
    text = " ".join(tiny.said(console).split())
    assert text.count("hc by tick") == text.count("is full") == 1
    assert f"the memory of 6 slots is full: each new memory now takes the place of {how}" in text


def test_a_memory_that_fills_up_shortly_before_its_life_ends_is_told_then(tmp_path: Path) -> None:
    """The run looks every 64 ticks; a life that is over would be forgotten by then."""
    console = tiny.quiet()
    live(tmp_path / "run", explorer(capacity=50, merge=0.0), steps=60, episodes=2, console=console)
    assert "hc by tick 60: the memory of 50 slots is full" in tiny.said(console)


def test_changes_of_mode_are_told_with_their_reason_and_recorded_by_name(tmp_path: Path) -> None:
    console = tiny.quiet()
    agent = agents.load("navigator").change("hc", capacity=32).change("executive", rest=3)
    folder = cogarch.run(
        agent, "cogarch/Square-v0", steps=120, options={"width": 3}, out=tmp_path / "run", console=console
    )
    data = open_recording(folder.recording)
    mode, reason = (data[f"executive.{name}"].values[:, 0, 0] for name in ("mode", "reason"))
    names = {name: data[f"executive.{name}"].attrs["names"] for name in ("mode", "reason")}
    told = [line.split(maxsplit=3) for line in tiny.said(console).splitlines() if line.startswith("tick ")]
    changed = [t for t in range(120) if t == 0 or mode[t] != mode[t - 1]]
    assert len(changed) > 3
    for (_, tick, said, why), t in zip(told, changed, strict=True):
        assert (int(tick), said, why) == (t, names["mode"][mode[t]], names["reason"][reason[t]])
    assert told[0][2:] == ["explore", "there is more to explore"]
    assert ["rest", "nothing is left to explore"] in [line[2:] for line in told]


def test_a_memory_that_is_not_full_is_not_told(tmp_path: Path) -> None:
    console = tiny.quiet()
    live(tmp_path / "run", console=console)
    assert "full" not in tiny.said(console)


# --- ends -------------------------------------------------------------------------------------------------------------


def test_ctrl_c_keeps_what_was_lived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny.Tires, "left", 50)
    console, out = tiny.quiet(), tmp_path / "run"
    recording = live(out, explorer().swap("executive", "tiny:Tires"), console=console)
    assert recording.sizes["tick"] == 50
    assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
    assert f"interrupted; what was lived so far is in {out}" in tiny.said(console)
    monkeypatch.setattr(tiny.Tires, "left", 10**6)
    whole = live(tmp_path / "whole", explorer().swap("executive", "tiny:Tires"))
    assert_equal(recording, whole.isel(tick=slice(50)))


def test_a_run_that_fails_says_so_and_keeps_what_was_lived(tmp_path: Path) -> None:
    agent = explorer().swap("executive", "tiny:OutOfRange")
    with pytest.raises(ValueError, match=r"row 0: action 9 is outside 0\.\.3"):
        live(tmp_path / "run", agent)
    assert RunFolder.open(tmp_path / "run").config["status"] == "failed"
    assert open_recording(tmp_path / "run" / "recording.zarr").sizes["tick"] == 6


def test_what_cannot_be_run_is_said_before_there_is_a_folder(tmp_path: Path) -> None:
    out = tmp_path / "run"
    idle = Agent(name="idle", modules={role: explorer().modules[role] for role in ("lec", "mec", "hc")})
    for agent, wrong, message in (
        (idle, {}, "nobody writes 'executive/action', so idle cannot act; give it an executive"),
        (explorer(), {"steps": 0}, "are at least 1"),
        (explorer(), {"episodes": 0}, "are at least 1"),
        (explorer(), {"batch": 0}, "are at least 1"),
        (explorer(), {"seed": -9500}, "seed at least 0"),
        (explorer(), {"options": {"widht": 4}}, "no setting 'widht': did you mean width"),
        (explorer("seek_food"), {}, "setting 'policy'"),
        (explorer().swap("hc", "tiny:Slotless"), {}, "least_familiar.* needs a memory that says which place"),
    ):
        with pytest.raises(ValueError, match=message):
            live(out, agent, **wrong)
        assert not out.exists()


# --- weights that an agent is shipped with ----------------------------------------------------------------------------


def shipped(tmp_path: Path) -> Agent:
    """tem_t with weights of its own kind, made by hand."""
    agent = agents.load("tem_t").change("mec", n=8)
    bus = agent.build(contracts(envs.make("Square-v0", 1)), seed=5)
    save_weights(bus, tmp_path / "weights.safetensors", {"env": "cogarch/Square-v0"})
    return agent.model_copy(update={"trained": tmp_path / "weights.safetensors"})


def test_an_agent_lives_with_the_weights_that_it_is_shipped_with(tmp_path: Path) -> None:
    agent, console = shipped(tmp_path), Console(file=io.StringIO(), width=500)
    folder = run(agent, "Square-v0", steps=3, out=tmp_path / "run", console=console)
    assert folder.agent.weights == agent.trained
    assert "not learned" not in console.file.getvalue()  # type: ignore[attr-defined]
    inputs = contracts(envs.make("Square-v0", 1))
    ready, why = agent.ready(inputs)
    lived, other = ready.build(inputs, seed=1), agent.build(inputs, seed=1)
    expected = agent.build(inputs, seed=5)
    for name, weight in lived.parts.state_dict().items():
        assert torch.equal(weight, expected.parts.state_dict()[name])
    assert not torch.equal(other.parts.state_dict()["mec.skew"], lived.parts.state_dict()["mec.skew"])
    torch.testing.assert_close(lived.state["mec"]["g"][0], expected.state["mec"]["g"][0])  # it begins as it has learned
    assert why == ""


def test_shipped_weights_that_do_not_fit_the_world_are_told(tmp_path: Path) -> None:
    agent, console = shipped(tmp_path), Console(file=io.StringIO(), width=500)
    folder = run(agent, "Hex-v0", steps=3, out=tmp_path / "run", console=console)
    assert folder.agent.weights is None
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert (
        "tem_t has not learned yet" in told and "'mec.skew' is [4, 8, 8] in the file and [6, 8, 8] in the agent" in told
    )
