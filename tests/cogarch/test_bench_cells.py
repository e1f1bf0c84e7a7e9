"""The bench of cell classes: its rows, controls, modules and figure, and what it refuses."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import agents
import analysis
from cogarch import Agent
from cogarch.bench import bench, cells
from cogarch.bench.cells import LIVES, NOISE, PERMUTED, RECTIFIED, SHIFTED, Life

KEYS = "agent topic module cells grid band place border hexagonal grid60"


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few cells, in agents that are quick to run and need no training."""
    load = agents.load

    def loaded(name: str) -> Agent:
        agent = load(name).model_copy(update={"learns": False, "trained": None})
        if name == "tem":
            return agent.change("lec", filters=[0.9, 0.1]).change("mec", modules=[6, 4])
        return agent.change("mec", modules=3, cells=6).change("hc", capacity=128)

    monkeypatch.setattr(agents, "load", loaded)
    monkeypatch.setattr(cells, "NOISE_CELLS", 12)
    monkeypatch.setattr(cells, "SHUFFLES", 99)


def measure(console: Console, **settings: Any) -> list[dict[str, Any]]:
    return cells.measure(**{"env": None, "seeds": range(1), "quick": True, "console": console, **settings})


def test_shares_of_the_explorer_stand_beside_its_permuted_maps(
    small: None, console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "LIVES", (LIVES[0],))
    bench("cells", env=None, seeds=2, json=tmp_path / "c.json", quick=True, console=console, only="explorer")
    rows = json.loads((tmp_path / "c.json").read_text())["rows"]
    assert set(KEYS.split()) <= rows[0].keys() and {"grid_std", "cells_std"} <= rows[0].keys()
    assert [(row["agent"], row["topic"], row["module"]) for row in rows] == [
        ("explorer", "mec/g", "all"),
        (SHIFTED, "maps", "all"),
        (PERMUTED, "maps", "all"),
    ]
    grid, _, permuted = rows
    assert grid["cells"] == 18 and permuted["cells"] == 18
    assert grid["grid60"] > permuted["grid60"]
    assert {row["weights"] for row in rows} == {"none"}


def test_slots_of_the_memory_are_place_cells(small: None, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "LIVES", (LIVES[1],))
    (row,) = measure(console)
    assert row["topic"] == "hc/p" and 60 <= row["cells"] <= 81  # a slot a place
    assert row["place"] > 0.8 and row["computable"] < 0.1  # one bin is no lattice


def test_cells_are_counted_by_module_and_drawn(
    small: None, console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "LIVES", (Life("tem", controls=(NOISE, RECTIFIED)), Life("recurrent")))
    rows = measure(console, only="tem", figure=tmp_path / "cells")
    assert [row["module"] for row in rows] == ["all", 0, 1, "all", "all"]
    assert [row["cells"] for row in rows] == [10, 6, 4, 12, 12]
    drawn = (tmp_path / "cells.svg").read_text()
    assert "module 0" in drawn and "module 1" in drawn and NOISE in drawn
    assert RECTIFIED not in drawn and (tmp_path / "cells.png").exists() and (tmp_path / "cells.pdf").exists()


@pytest.mark.parametrize(("env", "options"), [(cells.SQUARE, {"width": 6}), (cells.HEX, {"edge": 4})])
def test_controls_are_what_they_are_called(small: None, env: str, options: dict[str, int]) -> None:
    recording = cells._live(agents.load("explorer"), env, options, Life("explorer"), 0, quick=True)
    made_up = {
        control: cells._controls(control, recording, "mec/g", 16, np.random.default_rng(0))
        for control in (SHIFTED, PERMUTED, NOISE, RECTIFIED)
    }
    maps = {control: analysis.rate_maps(source, "maps") for control, source in made_up.items()}
    before = analysis.rate_maps(recording)
    visited = before["occupancy"].values > 0
    assert all(np.array_equal(made["occupancy"], before["occupancy"]) for made in maps.values())

    was, shifted = recording["mec.g"].values[:, 0], made_up[SHIFTED]["maps"].values[:, 0]
    np.testing.assert_array_equal(np.sort(shifted, 0), np.sort(was, 0))
    for i in range(was.shape[1]):
        assert any(np.array_equal(np.roll(was[:, i], shift), shifted[:, i]) for shift in range(len(was)))
    one_way, other = maps[PERMUTED].values[:, visited], before.values[:, visited]
    np.testing.assert_allclose(np.sort(one_way, 1), np.sort(other, 1), rtol=1e-5)
    assert (np.abs(one_way - other) > 1e-3).any(1).sum() > len(other) / 2
    noise = maps[NOISE].values
    np.testing.assert_allclose(maps[RECTIFIED].values, np.maximum(noise, 0), rtol=1e-4)
    beside = np.diff(noise, axis=2)[np.isfinite(np.diff(noise, axis=2))]
    assert noise.shape[0] == 12 and beside.std() < 0.7 * noise[np.isfinite(noise)].std()  # it is smooth


def test_weights_are_those_shipped_else_trained_by_the_bench(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def trained(agent: Agent, env: str | None, seed: int, *_: Any) -> tuple[Agent, dict[str, Any]]:
        asked.append((agent.name, env, seed))
        return agent, {}

    monkeypatch.setattr(cells, "trained", trained)
    tem_t = agents.load("tem_t")
    agent, weights = cells._ready(Life("tem_t"), cells.SQUARE, 3, False, console)
    assert (agent.weights, weights) == (tem_t.trained, "shipped")
    assert cells._ready(Life("tem_t"), cells.HEX, 3, False, console)[1] == "trained"
    assert cells._ready(Life("learner"), cells.SQUARE, 4, False, console)[1] == "trained"
    assert cells._ready(Life("explorer"), cells.SQUARE, 4, False, console)[1] == "none"
    assert asked == [("tem_t", cells.HEX, 3), ("learner", None, 4)]


def test_what_the_bench_cannot_map_is_refused(console: Console) -> None:
    with pytest.raises(ValueError, match="not in cogarch/Ring-v0: name one of these"):
        measure(console, env="cogarch/Ring-v0")
    with pytest.raises(ValueError, match="no agent's name holds 'grid'; there is explorer, "):
        measure(console, only="grid")
