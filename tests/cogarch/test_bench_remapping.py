"""The bench of what carries over between worlds: worlds that are alike, codes with known answers, what is refused."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

import agents
import envs
from cogarch import Agent
from cogarch.bench import bench, remapping
from cogarch.bench.recorded import recorded
from cogarch.bench.remapping import TOPICS, alike
from cogarch.config import save_weights
from cogarch.learning import zero_shot
from cogarch.run import contracts, heard
from envs import policies

KEYS = "agent env topic pairs correlation chance structure grid_at_place grid_at_place_permuted"


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def small(name: str) -> Agent:
    return agents.load(name).change("mec", modules=3, cells=8).change("hc", capacity=128)


def only(monkeypatch: pytest.MonkeyPatch, **found: Agent) -> None:
    """The bench knows these agents and no others, in squares 5 wide."""
    monkeypatch.setattr(remapping, "AGENTS", {agent.name: 5 for agent in found.values()})
    monkeypatch.setattr(agents, "load", lambda name: found[name])


def measure(console: Console, **settings: Any) -> list[dict[str, Any]]:
    return remapping.measure(**{"env": None, "seeds": range(1), "quick": True, "console": console, **settings})


# --- pairs of worlds --------------------------------------------------------------------------------------------------


def test_worlds_that_are_alike_begin_at_the_same_place_with_other_objects() -> None:
    seeds = alike("cogarch/Square-v0", {"width": 4}, 10_000, 6)
    assert len(set(seeds)) == 6 and min(seeds) >= 10_000
    starts, objects = [], []
    for seed in range(10_000, max(seeds) + 1):
        world = envs.make("Square-v0", 1, width=4)
        _, info = world.reset(seed=seed)
        starts.append(int(info["node"][0]))
        objects.append(tuple(world._objects_at(0)))  # type: ignore[arg-type]
    here = starts[seeds[0] - 10_000]
    assert [seed for seed in range(10_000, max(seeds) + 1) if starts[seed - 10_000] == here] == seeds
    assert max(starts.count(start) for start in set(starts[:-1])) <= 6  # none was sooner
    assert len({objects[seed - 10_000] for seed in seeds}) == 6


def test_a_body_that_turns_begins_with_the_same_heading() -> None:
    seeds = alike("cogarch/Square-v0", {"width": 2, "body": "egocentric"}, 10_000, 3)
    world = envs.make("Square-v0", 3, width=2, body="egocentric")
    _, info = world.reset(seed=seeds)
    assert len(set(info["heading"].tolist())) == 1 and len({tuple(place) for place in info["place"].tolist()}) == 1


def test_worlds_without_a_body_or_of_which_no_two_are_alike_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="compares maps of places, and cogarch/FamilyTree-v0 has none"):
        alike("cogarch/FamilyTree-v0", {}, 10_000, 2)
    monkeypatch.setattr(remapping, "SEARCHED", 20)
    monkeypatch.setattr(remapping, "AT_ONCE", 10)
    for name in ("Maze", "Arena"):
        with pytest.raises(ValueError, match=f"of 20 worlds of cogarch/{name}-v0 no 2 have the same moves and start"):
            alike(f"cogarch/{name}-v0", {}, 10_000, 2)


# --- what is measured -------------------------------------------------------------------------------------------------


def test_a_rotor_carries_over_and_the_slots_of_its_memory_do_not(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, explorer=small("explorer"))
    bench(
        "remapping",
        env=None,
        seeds=2,
        json=tmp_path / "r.json",
        quick=True,
        console=console,
        figure=tmp_path / "figures" / "remapping",
    )
    g, p = json.loads((tmp_path / "r.json").read_text())["rows"]
    for row, topic in ((g, "mec/g"), (p, "hc/p")):
        assert set(KEYS.split()) <= row.keys()
        assert (row["agent"], row["env"], row["topic"], row["pairs"]) == ("explorer", "Square 5x5", topic, 2)
        assert row["correlation_std"] is not None
    # without noise the code is a function of the displacement from the start, which is the same place
    assert g["correlation"] == pytest.approx(1, abs=1e-5) and g["structure"] == pytest.approx(1, abs=1e-5)
    assert abs(g["chance"]) < 0.1 and g["grid_at_place"] is None
    assert p["correlation"] < 0.5 and p["cells"] == 25  # a slot a place
    assert abs(p["grid_at_place_permuted"]) < 0.05 < p["grid_at_place_p95"]
    for kind in ("png", "svg", "pdf"):
        assert (tmp_path / "figures" / f"remapping.{kind}").exists()
    assert "explorer, Square 5x5" in (tmp_path / "figures" / "remapping.svg").read_text()


def test_what_is_recorded_is_what_ticking_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is the same in whatever pieces it is played."""
    agent = small("explorer")
    world = envs.make("Square-v0", 2, width=4)
    walk = policies.walk(world, "drifting", 90, world_seeds=[3, 4], policy_seed=0)
    monkeypatch.setattr(zero_shot, "PIECE", 17)
    found = recorded(agent.build(contracts(world), batch=2), walk, TOPICS, 30)
    bus = agent.build(contracts(world), batch=2)
    ticked: dict[str, list[Any]] = {topic: [] for topic in TOPICS}
    messages = heard(walk)
    for t in range(90):
        said = bus.tick({topic: x[t] for topic, x in messages.items()})
        for topic in TOPICS:
            ticked[topic].append(said[topic].detach().numpy())
    for topic in TOPICS:
        np.testing.assert_allclose(found[topic.replace("/", ".")], np.stack(ticked[topic])[30:], atol=1e-5)
    np.testing.assert_array_equal(found["env.place"], walk["place"][30:])
    assert isinstance(found, xr.Dataset)


def test_an_agent_that_learns_is_measured_as_shipped_and_untrained(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = small("learner")
    only(monkeypatch, learner=learner)
    assert {row["agent"] for row in measure(console)} == {"learner, untrained"}
    assert "learner is left out: it is not shipped with weights yet" in printed(console)

    world = envs.make("Square-v0", 1, width=5)
    save_weights(learner.build(contracts(world), seed=7), tmp_path / "w.safetensors", {})
    shipped = learner.model_copy(update={"trained": tmp_path / "w.safetensors"})
    only(monkeypatch, learner=shipped)
    rows = measure(console)
    assert [row["agent"] for row in rows] == ["learner", "learner", "learner, untrained", "learner, untrained"]
    assert rows[0]["correlation"] != rows[2]["correlation"]

    only(monkeypatch, learner=shipped.change("mec", modules=2))
    assert {row["agent"] for row in measure(console)} == {"learner, untrained"}
    assert "in the file and" in printed(console)  # which weight, and its two shapes


def test_an_unknown_agent_is_named(console: Console) -> None:
    with pytest.raises(
        ValueError, match="no agent's name holds 'tmt'; there is explorer, tem_t, tem_t, untrained, tem, "
    ):
        measure(console, only="tmt")
