"""The paper's curves: what each bin holds, by hand on small walks; and every bench runs."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cogarch.bench import absence, bench, codes, curves, links, structures, visits
from cogarch.learning.zero_shot import Judged, events


def judged(
    node: list[int], hit: list[int], *, nodes: int = 4, reward: list[int] | None = None, ring: int = 99
) -> Judged:
    """One walk by action 0; what is seen is the place, `node % ring`."""
    n = np.array(node)[:, None]
    start = np.arange(len(node))[:, None] == 0
    place = np.stack([n % ring, 0 * n], -1).astype(np.float32)
    paid = np.zeros(n.shape) if reward is None else np.array(reward, float)[:, None]
    seen = np.where(paid > 0, 1000, n % ring)
    return Judged(
        node=n,
        place=place,
        seen=seen,
        reward=paid,
        events=events(n, np.zeros_like(n), start),
        hit=np.array(hit, bool)[:, None],
        same=np.zeros_like(start),
        frequent=np.zeros_like(start),
        answerable=None,
        nodes=np.array([nodes]),
        chance=np.array([0.25]),
    )


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_arrivals_absences_and_shares_are_those_counted_one_by_one(node: list[int]) -> None:
    said = judged(node, [0] * len(node), nodes=5)
    for t, here in enumerate(node):
        entered = [s for s in range(t + 1) if node[s] == here and (s == 0 or node[s - 1] != here)]
        before = [s for s in range(t) if node[s] == here]
        assert curves.arrivals(said)[t, 0] == len(entered)
        assert curves.absences(said)[t, 0] == (t - before[-1] if before else 0)
        assert curves.visited_share(said)[t, 0] == len(set(node[:t])) / 5


def test_links_are_scored_by_the_share_of_the_world_that_was_visited() -> None:
    said = judged([0, 1, 0, 2, 0, 3, 0], [1, 0, 1, 0, 0, 0, 1])
    rows = {row["bin"]: row for row in links.score(said)}
    assert [row["events"] for row in rows.values()] == [0, 0, 1, 1, 1]  # ways back, with 2, 3 and 4 of 4 known
    assert [row["accuracy"] for row in list(rows.values())[2:]] == [1, 0, 1]
    assert math.isnan(rows["40-60 %"]["accuracy_without_way_back"])
    half = rows["40-60 %"]  # to 0 (known) and to 2 (new)
    assert half["moves"] == 2 and half["accuracy_all"] == 0.5
    assert half["node_agent"] == (1 + 0.25) / 2 and half["edge_agent"] == 0.25


def test_visits_count_entries_and_the_first_is_a_row() -> None:
    said = judged([0, 1, 0, 0, 1, 0], [0, 0, 1, 1, 1, 0])
    rows = visits.score(said)
    assert [row["events"] for row in rows[:4]] == [1, 2, 1, 0]  # the beginning of a walk is entered by no move
    assert [row["accuracy"] for row in rows[:3]] == [0, 1, 0]


def test_absence_counts_the_ticks_since_the_last_visit() -> None:
    said = judged([0, 1, 0, 1, 2, 3, 2, 3, 0], [0, 0, 1, 0, 0, 0, 1, 1, 1])
    rows = {row["bin"]: row for row in absence.score(said)}
    assert rows["2-3"]["events"] == 4 and rows["2-3"]["accuracy"] == 0.75
    assert rows["4-7"]["events"] == 1 and rows["4-7"]["accuracy"] == 1  # node 0 after 6 ticks
    assert rows["8-15"]["events"] == 0


def test_who_knows_only_its_place_is_half_right_about_a_reward_in_one_lap_of_many() -> None:
    laps, ring = 4, 3
    node = [t % (laps * ring) for t in range(10 * laps * ring)]
    reward = [int(t > 0 and n == 0) for t, n in enumerate(node)]
    right = structures.score(judged(node, [1] * len(node), nodes=12, reward=reward, ring=ring))
    assert right["accuracy_known"] == right["accuracy_reward"] == 1
    assert right["by_place_reward"] == 0.5
    assert right["by_place"] == pytest.approx(11 / 12, abs=0.01)
    never = structures.score(judged(node, [int(not r) for r in reward], nodes=12, reward=reward, ring=ring))
    assert never["accuracy_reward"] == 0.5 and never["accuracy_known"] > 0.9


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[dict[str, object]]]:
    monkeypatch.setattr(codes, "TRAINED", tmp_path / "trained")

    def run(name: str, **settings: object) -> list[dict[str, object]]:
        console = Console(file=io.StringIO(), width=200)
        asked = {"env": None, "seeds": 2, "quick": True, "json": tmp_path / "rows.json", "console": console} | settings
        bench(name, **asked)  # type: ignore[arg-type]
        rows: list[dict[str, object]] = json.loads((tmp_path / "rows.json").read_text())["rows"]
        return rows

    return run


@pytest.mark.parametrize("name", ["links", "absence", "visits"])
def test_curves_are_drawn_over_seeds(name: str, small: Callable[..., list[dict[str, object]]], tmp_path: Path) -> None:
    rows = small(name, only="rotor", figure=tmp_path / "drawn")
    assert all({"code", "bin", "events", "accuracy", "accuracy_std", "chance"} <= row.keys() for row in rows)
    assert len({row["bin"] for row in rows}) == {"links": 5, "absence": 8, "visits": 8}[name]
    assert all((tmp_path / f"drawn.{kind}").stat().st_size > 1000 for kind in ("png", "svg", "pdf"))
    if name == "visits":
        assert [row["train_updates"] for row in rows[::8]] == [0, 2, 4, 8, 20]
    else:
        assert {row["code"] for row in rows} == {"rotor hexagonal", "rotor hexagonal, untrained"}


def test_curves_are_also_of_worlds_without_directions(small: Callable[..., list[dict[str, object]]]) -> None:
    rows = small("links", env="cogarch/FamilyTree-v0", only="rotor", seeds=1)
    assert [row["learned"] for row in rows[::5]] == [True, False] and "accuracy_std" not in rows[0]


def test_structures_are_scored_world_by_world(small: Callable[..., list[dict[str, object]]]) -> None:
    rows = small("structures", env="cogarch/Cayley-v0", only="rotor", seeds=1)
    assert [row["options"] for row in rows] == ["torus", "dihedral", "symmetric"]
    assert all({"accuracy", "untrained", "frequent", "by_place", "chance"} <= row.keys() for row in rows)
    trained = {path.name.rpartition("-")[0] for path in codes.TRAINED.iterdir()}  # without the digest
    assert trained == {f"learner-Cayley-v0-{group}-20-0" for group in ("torus", "dihedral", "symmetric")}
    (tem,) = small("structures", env="cogarch/FamilyTree-v0", only="TEM", seeds=1)
    assert tem["code"] == "TEM, preset quick" and tem["one_training"]
    with pytest.raises(ValueError, match="bench structures has no cogarch/Arena-v0; there is Square-v0, "):
        small("structures", env="cogarch/Arena-v0")


def test_tem_is_scored_by_stage_and_along_its_training(
    small: Callable[..., list[dict[str, object]]], tmp_path: Path
) -> None:
    rows = small("tem", seeds=1, only="quick", figure=tmp_path / "drawn")
    stages = [row for row in rows if row["window"] != "training"]
    assert [row["train_updates"] for row in stages] == [0, 2, 4, 6, 8, 10, 12, 14, 20]
    along = [row for row in rows if row["window"] == "training"]
    assert [(row["train_updates"], row["env"]) for row in along] == [(200, "Square 5x5")]
    assert (tmp_path / "drawn.png").exists()
