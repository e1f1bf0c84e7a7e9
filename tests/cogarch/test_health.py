"""The health report on models made to fail, each by a loss that is switched off, and on one that works."""

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import networkx as nx
import pytest
from rich.console import Console

import agents
from cogarch.folder import RunFolder
from cogarch.learning.train import train
from cogarch.world.examine import examine, examine_run
from cogarch.world.health import Health

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def shipped() -> Health:
    """The shipped model, in layouts held out of its training."""
    agent = agents.load("jepa")
    setup = agent.training
    ready = agent.model_copy(update={"weights": agent.trained})
    return examine(ready, setup.world, options=setup.options, scored=setup.scored, walks=32)


def failed(out: Path, *without: str) -> Health:
    """A small model in small rooms, trained without these losses."""
    agent = agents.load("jepa").change("world", hidden=32, size=16)
    losses = {topic: weight for topic, weight in agent.training.losses.items() if topic not in without}
    agent = agent.train_with(updates=150, batch=32, learning_rate=0.003, losses=losses, schedules={})
    folder = train(agent, None, options={"size": 5}, out=out, console=QUIET)
    return examine(folder.agent, agent.training.world, options=folder.config["options"], scored={}, walks=16, ticks=120)


def test_the_shipped_model_is_usable(shipped: Health) -> None:
    assert shipped.verdict[0] == "usable"
    assert shipped.position_r2 >= 0.97 and shipped.std >= 0.5 and shipped.door_accuracy >= 0.99
    assert shipped.rollout[-1] < 0.5 * shipped.repeat[-1] and shipped.rollout[-1] < 0.5 * shipped.shuffled[-1]
    assert min(shipped.surprise.values()) >= 0.98 and set(shipped.surprise) == {"teleport", "moved door"}
    # what anyone would score: the observation tells the place, an untrained encoder does not; doors change many values
    assert shipped.position_r2_raw > 0.999 and shipped.position_r2_untrained < 0.1
    assert shipped.change["moved door"] > 0.95 and 0.4 < shipped.change["teleport"] < 0.7


def test_without_variance_covariance_and_inverse_dynamics_it_is_collapsed(tmp_path: Path) -> None:
    health = failed(tmp_path / "run", "loss/variance", "loss/covariance", "loss/inverse")
    assert health.verdict[0] == "collapsed" and health.std < 0.05
    assert health.rollout[0] < 0.1 or health.rank > 1  # so neither would have told


def test_without_inverse_dynamics_it_knows_the_background_only(tmp_path: Path) -> None:
    health = failed(tmp_path / "run", "loss/inverse")
    assert health.verdict[0] == "static background only"
    assert health.std > 0.5 and health.between > 0.9 and health.accuracy_moved < 0.2


def test_without_prediction_it_foresees_nothing(tmp_path: Path) -> None:
    health = failed(tmp_path / "run", "loss/rollout")
    assert health.verdict[0] != "usable" and health.action_use < 1.2 and health.rollout[-1] > health.repeat[-1]


@pytest.mark.parametrize(
    ("change", "verdict", "why"),
    [
        ({"std": 0.01, "rank": 30.0}, "collapsed", r"deviation of 0\.01, not 1: then neither rank \(30\.0\)"),
        ({"position_r2": 0.1, "between": 0.99}, "static background only", r"99% .*position R2 0\.10"),
        ({"position_r2": 0.1, "between": 0.1}, "not usable", r"position R2 0\.10 < 0\.9"),
        ({"position_r2": math.nan}, "usable", "no places, std"),
        ({"std": math.nan}, "collapsed", "deviation of nan"),
        ({"accuracy": 0.5}, "not usable", r"nearest to the right place in 0\.50 < 0\.9"),
        ({"action_use": 1.0}, "not usable", r"error 1\.0 times as large: it hardly matters"),
        ({}, "usable", r"position R2 0\.9"),
    ],
)
def test_each_verdict_has_its_reason(shipped: Health, change: dict[str, float], verdict: str, why: str) -> None:
    found = replace(shipped, **change)  # type: ignore[arg-type]
    assert found.verdict[0] == verdict
    assert re.search(why, found.verdict[1]), found.verdict[1]


def test_a_training_in_a_world_without_places_or_doors_has_a_report(tmp_path: Path) -> None:
    agent = agents.load("jepa").change("world", hidden=16, size=8).train_with(updates=5, batch=8, policy="uniform")
    folder = train(agent, "cogarch/FamilyTree-v0", out=tmp_path / "run", console=QUIET)
    health = examine_run(RunFolder.open(folder.path))
    assert math.isnan(health.position_r2) and set(health.surprise) == {"teleport"}
    assert "not usable" in health.verdict[0] or health.verdict[0] == "collapsed"
    assert health.table.row_count > 8


def test_a_training_from_the_shell_ends_with_the_report(tmp_path: Path) -> None:
    command = ["train", "jepa", "cogarch/Line-v0", "--updates", "2", "--out", str(tmp_path / "run")]
    for setting in ("training.policy=uniform", "training.batch=4", "world.hidden=16"):
        command += ["--set", setting]
    done = subprocess.run(
        [Path(sys.executable).with_name("cogarch"), *command],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "AUROC of surprise: teleport" in done.stderr

    def no_number(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    found = json.loads((tmp_path / "run" / "health.json").read_text(), parse_constant=no_number)
    assert found["position_r2"] is None and found["verdict"] in done.stderr


def test_a_world_of_two_places_has_no_elsewhere() -> None:
    agent = agents.load("jepa").model_copy(update={"trained": None})
    options = {"graph": nx.path_graph(2), "label": None, "objects": 2}
    health = examine(agent, "cogarch/Graph-v0", options=options, scored={}, walks=4, ticks=24)
    assert not health.surprise
    assert math.isnan(health.row["surprise_auroc"])
    assert health.table.row_count > 5
