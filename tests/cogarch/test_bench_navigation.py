"""The bench of navigation: small worlds, and what each figure means."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from cogarch.bench import lesions, navigation

CONSOLE = Console(quiet=True)
SMALL = navigation.Place("square 4x4", "cogarch/Square-v0", {"width": 4}, navigation.COMPASS)
ROOMS = navigation.Place("rooms", "cogarch/Rooms-v0", {"size": 2}, navigation.COMPASS)
LATENT = navigation.LATENT._replace(options={"view": "map", "objects": 1, "layouts": "held_out"})


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One small world for each task."""
    tasks = {"return": (SMALL,), "detour": (ROOMS,), "explore": (SMALL,), "control": (SMALL,), "latent": (LATENT,)}
    monkeypatch.setattr(navigation, "_TASKS", tasks)
    for name, value in {"ERRANDS": 4, "ACROSS": 4, "MOST": 200, "RESTS": 3}.items():
        monkeypatch.setattr(navigation, name, value)


def measure(only: str, **more: object) -> list[dict[str, object]]:
    settings = {"env": None, "seeds": range(1), "quick": True, "console": CONSOLE, "only": only, **more}
    return navigation.measure(**settings)  # type: ignore[arg-type]


@pytest.mark.usefixtures("small")
def test_sent_to_known_places_beside_what_knows_less_and_more() -> None:
    half, most = measure("return navigator square")
    for row, share in ((half, 0.5), (most, 0.9)):
        assert row["agent"] == "navigator"
        assert row["walked"] == share
        assert share <= row["edges"] <= share + 0.1  # type: ignore[operator]
        assert row["success"] == 1.0
        assert row["random"] < row["spl"] <= row["oracle"] == 1.0  # type: ignore[operator]
        assert row["goal_met"] == 0.0
    assert half["spl"] > half["walked_only"]  # type: ignore[operator]


@pytest.mark.usefixtures("small")
def test_a_detour_is_as_long_as_that_of_who_knows_all_but_the_closed_door() -> None:
    (row,) = measure("detour")
    assert row["success"] == row["within_5_percent"] == 1.0
    assert row["random"] < row["spl"]  # type: ignore[operator]


@pytest.mark.usefixtures("small")
def test_exploring_takes_less_than_chance_and_no_less_than_a_tour() -> None:
    (row,) = measure("explore")
    assert row["reached"] == 1.0
    assert row["oracle_steps"] <= row["steps"] + 1 < row["uniform_steps"]  # type: ignore[operator]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("agent", ["value_iteration", "habit where sure"])
def test_control(agent: str) -> None:
    (row,) = measure(f"control navigator, {agent} square")
    assert row["success"] == 1.0
    assert 0 <= row["by_habit"] <= 1  # type: ignore[operator]
    assert (row["by_habit"] > 0) <= (agent != "value_iteration")  # type: ignore[operator]


@pytest.mark.usefixtures("small")
def test_across_the_door_by_imagination_alone() -> None:
    one, more = measure("latent dreamer, imagination alone")
    assert (one["layouts"], more["layouts"]) == ("one", "2 random")
    assert one["success"] == more["success"] == 1.0
    assert more["spl"] > 0.8  # type: ignore[operator]


@pytest.mark.usefixtures("small")
def test_the_figure_of_a_shortcut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(navigation, "PLACES", (SMALL,))
    measure("nothing of that name", figure=tmp_path / "shortcut")
    assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".svg", ".pdf"}


def test_it_names_its_own_worlds() -> None:
    with pytest.raises(ValueError, match="names its own worlds"):
        measure("", env="cogarch/Square-v0")


def test_lesions_cost_what_the_module_is_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesions, "ROOMS", SMALL)
    monkeypatch.setattr(lesions, "YOUNG", 60)
    monkeypatch.setattr(lesions, "ERRANDS", 4)
    rows = lesions.measure(env=None, seeds=range(1), quick=True, console=CONSOLE, only="e")
    found = {str(row["lesion"]): row for row in rows}
    assert list(found) == ["none", "lec", "mec", "executive"]
    assert found["none"]["success"] == found["none"]["spl"] == 1.0
    assert found["mec"]["spl"] < 0.6 < found["none"]["explored"]
    assert found["executive"]["explored"] < 0.3
