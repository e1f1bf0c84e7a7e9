"""Benches give rows with the keys that others rely on, as a table and as JSON; the wiring is drawn."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import agents
import envs
from cogarch.bench import BENCHES, bench
from cogarch.bench.recall import Commuter, _first_return
from cogarch.bench.report import over_seeds, publish
from cogarch.config import Agent
from cogarch.drawing import draw_wiring, wiring_figure
from cogarch.run import contracts
from envs import policies


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_bus_bench_measures_overhead_and_play(tmp_path: Path, console: Console) -> None:
    bench("bus", env=None, seeds=1, json=tmp_path / "bus.json", quick=True, console=console)
    report = json.loads((tmp_path / "bus.json").read_text())
    assert report.keys() == {"bench", "command", "machine", "seeds", "rows"}
    ticks = [row for row in report["rows"] if "overhead" in row]
    assert [row["batch"] for row in ticks] == [1, 16, 256]
    assert all(row["overhead"] > 0 for row in ticks)
    assert any(row.get("play_speedup", 0) > 0 for row in report["rows"])
    assert "overhead" in printed(console)


def test_zero_shot_bench_sets_every_code_beside_its_untrained_self(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cogarch.bench import codes, zero_shot

    monkeypatch.setattr(codes, "TRAINED", tmp_path / "trained")
    monkeypatch.setattr(zero_shot, "WIDTHS", (8,))
    files = {"json": tmp_path / "z.json", "figure": tmp_path / "z"}
    bench("zero-shot", env=None, seeds=2, quick=True, console=console, **files)
    assert (tmp_path / "z.png").stat().st_size > 1000
    rows = json.loads((tmp_path / "z.json").read_text())["rows"]
    keys = "code env regime motion_noise window events accuracy accuracy_std accuracy_without_way_back untrained chance"
    assert set(keys.split()) <= rows[0].keys()
    assert {row["regime"] for row in rows} == {"motion given", "displacements learned"}
    given = [row for row in rows if row["regime"] == "motion given" and row["motion_noise"] == 0]
    assert all(row["accuracy"] == 1 and row["untrained"] == 1 for row in given)
    windows = dict.fromkeys(row["window"] for row in rows)
    assert len(rows) == len(windows) * len(zero_shot.SQUARES) * len(zero_shot.NOISES) * 2
    trainings = {path.name for path in (tmp_path / "trained").iterdir()}
    assert len(trainings) == (len(zero_shot.SQUARES) - 1) * 2  # kept, and used again: tem_t lives in two ways


def test_unknown_bench_names_the_nearest(console: Console) -> None:
    with pytest.raises(ValueError, match="zero-shot"):
        bench("zeroshot", env=None, seeds=1, json=None, quick=True, console=console)
    assert "bus" in BENCHES


def test_rows_over_seeds_are_means_with_their_spread_and_sums_of_counts() -> None:
    row = over_seeds(
        [{"code": "a", "x": 1.0, "n": 2}, {"code": "a", "x": 3.0, "n": 5}, {"code": "a", "x": math.nan, "n": 0}],
        ["x"],
        ["n"],
    )
    assert row == {"code": "a", "n": 7, "x": 2.0, "x_std": 1.0}


def test_nan_is_null_in_json_and_a_dash_on_screen(tmp_path: Path, console: Console) -> None:
    publish("x", [{"a": math.nan, "b": 1}, {"a": 1.5, "b": 1}], [0], tmp_path / "x.json", console)
    assert json.loads((tmp_path / "x.json").read_text())["rows"][0]["a"] is None
    assert "b 1" in printed(console)  # the same in every row: said once


def test_the_commuter_leaves_the_west_and_comes_back() -> None:
    world = envs.make("cogarch/Square-v0", 1, width=20)
    walk = policies.walk(world, Commuter(200, 500, 20), 900, world_seeds=[1], policy_seed=0)
    x, node = walk["place"][:, 0, 0], walk["node"][:, 0]
    assert x[:180].max() < 10
    assert x[300:680].min() >= 9
    back = np.flatnonzero(_first_return(node, 500))
    assert back.size > 10
    for t in back:
        earlier = np.flatnonzero(node[:t] == node[t])
        assert t - earlier[-1] >= 500


def test_the_wiring_is_drawn_with_every_step_and_topic(tmp_path: Path) -> None:
    bus = agents.load("explorer").build(contracts(envs.make("cogarch/Square-v0", 1)))
    texts = {text.get_text() for text in wiring_figure(bus).axes[0].texts}
    assert {node.name for node in bus.plan.order} <= texts
    assert {"mec/g", "hc/recalled_x", "executive/action", "env/motion"} <= texts
    assert "env/reward" not in texts  # nobody listens
    draw_wiring(bus, tmp_path / "w.svg")
    assert "hc.store" in (tmp_path / "w.svg").read_text()
    with pytest.raises(ValueError, match="png, svg or pdf"):
        draw_wiring(bus, tmp_path / "w.gif")


def test_the_demo_shows_it_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cogarch.bench import demo

    for name, value in (("WIDTH", 6), ("TICKS", 400), ("UPDATES", 20)):
        monkeypatch.setattr(demo, name, value)
    lives = (("square", "cogarch/Square-v0", {"width": 6}), ("four-rooms", "MiniGrid-FourRooms-v0", {}))
    monkeypatch.setattr(demo, "LIVES", lives)
    demo.demo(tmp_path, quick=True)
    shown = capsys.readouterr().out
    for line in ("motion given, untrained", "displacements learned after", "most frequent", "chance"):
        assert line in shown
    for life in ("square", "four-rooms", "square-learned"):
        for topic in ("mec.g", "hc.p"):
            for kind in ("png", "svg", "pdf"):
                assert (tmp_path / life / "figures" / topic / f"{topic}.{kind}").exists()
    for life in ("tem_t", "tem"):
        assert (tmp_path / life / "figures" / "mec.g" / "mec.g.png").exists()
    page = (tmp_path / "first_light.svg").read_text()
    assert "MEC structural cells (TEM) in a square 7 wide" in page
    assert "MEC structural cells (TEM-t) in a square 10 wide" in page
    assert "HC place cells (memory slots) in MiniGrid-FourRooms-v0" in page
    assert "MEC grid cells (by construction)" in page


def test_worlds_bench_sets_every_world_beside_minigrid(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cogarch.bench import worlds

    monkeypatch.setattr(worlds, "BATCHES", (1, 3))
    bench("worlds", env="cogarch/Square-v0", seeds=1, json=tmp_path / "w.json", quick=True, console=console)
    rows = json.loads((tmp_path / "w.json").read_text())["rows"]
    assert {(row["env"], row["batch"]) for row in rows} == {
        *((name, batch) for name in ("cogarch/Square-v0", f"{worlds.PEER} in SyncVectorEnv") for batch in (1, 3)),
        (f"{worlds.PEER} in AsyncVectorEnv", 3),
    }
    for row in rows:
        assert row["steps_per_second"] > 0 and row["ratio"] > 0
    assert all(row["ratio"] == 1 for row in rows if "Sync" in row["env"] and "Async" not in row["env"])


def test_a_world_ten_times_as_fast_as_its_peer_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only the steps move: the peer's take 1 ms each, ours 0.1 ms."""
    import time

    from cogarch.bench import worlds

    now = [0.0]

    def takes(seconds: float) -> Callable[[], None]:
        def step() -> None:
            now[0] += seconds

        return step

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    row = worlds._compared("ours", 4, takes(1e-4), takes(1e-3), 0.05, 3)
    assert row["ratio"] == pytest.approx(10)
    assert row["steps_per_second"] == pytest.approx(4 / 1e-4)
    assert row["quartiles"] == "10 to 10"


def test_tem_speed_sets_every_code_beside_the_plain_form_of_the_same_round(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cogarch.bench import tem_speed

    taken = iter([[30.0, 10.0, 500.0, 50.0, 900.0], [40.0, 20.0, 400.0, 40.0, 800.0], [10.0, 1.0, 300.0, 30.0, 700.0]])
    left: list[float] = []

    def trained(agent: Agent, env: str | None, updates: int, seed: int) -> dict[str, float]:
        left.extend(next(taken) if not left else [])
        return {"steps_per_second": left.pop(0), "peak_mb": float(len(left)), "updates": updates}

    monkeypatch.setattr(tem_speed, "trained", trained)
    bench("tem-speed", env=None, seeds=1, json=tmp_path / "t.json", quick=False, console=console)
    rows = {row["code"]: row for row in json.loads((tmp_path / "t.json").read_text())["rows"]}
    assert rows["tem"]["over_plain"] == 3.0 and rows["tem"]["steps_per_second"] == 30.0  # medians of 3, 2, 10
    assert rows["tem, plain form"]["over_plain"] == 1.0 and rows["rotor"]["peak_mb"] == 0.0
    plain, corrected = (tem_speed.codes()[code][0] for code in ("tem, plain form", "tem_t, corrected"))
    assert plain.modules["hc"]["plain"] and not corrected.training.modules.get("mec")


def test_zero_shot_bench_in_a_world_without_directions(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cogarch.bench import codes

    monkeypatch.setattr(codes, "TRAINED", tmp_path / "trained")
    files = {"json": tmp_path / "z.json", "figure": tmp_path / "z"}
    bench("zero-shot", env="FamilyTree-v0", seeds=1, quick=True, console=console, **files)
    assert (tmp_path / "z.png").stat().st_size > 1000
    rows = json.loads((tmp_path / "z.json").read_text())["rows"]
    assert {row["code"].removesuffix(", untrained") for row in rows} == {code.name for code in codes.BODILESS}
    assert all(row["chance"] == 1 / 45 for row in rows)
    assert all(0 < row["events_answerable"] < row["events"] for row in rows if row["window"] == "0-512")


def test_what_the_adapter_costs_is_measured_on_equal_environments() -> None:
    from cogarch.bench import worlds

    row = worlds._adapter("MiniGrid-Empty-5x5-v0", 2, 0.005, 2)
    assert row["batch"] == 2 and row["over_bare"] > 0 and row["steps_per_second"] > 0
