"""The benches of world models: the autoencoder beside them, and what an ideal observer knows."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

import envs
from cogarch.bench import bench, jepa_health
from cogarch.bench.jepa_speed import Autoencoder
from cogarch.encoder import Kind
from cogarch.run import contracts, heard
from envs import policies


@pytest.mark.parametrize(
    ("view", "encoder"), [(7, "conv"), ("map", "mlp"), ("map", "conv"), ("pixels", "conv"), (None, "mlp")]
)
def test_the_autoencoder_is_told_every_number_that_is_sensed(view: int | str | None, encoder: Kind) -> None:
    world = envs.make("cogarch/TwoRooms-v0", 3, view=view, objects=2)
    torch.manual_seed(0)
    model = Autoencoder(contracts(world), size=8, hidden=16, encoder=encoder)
    seen = heard(policies.walk(world, "uniform", 1, world_seeds=[0, 1, 2], policy_seed=0))["env/observation"][0]
    z = model.encode(seen)["world/z"]
    loss = model.reconstruct(z, seen)["loss/reconstruction"]
    if seen.dtype == torch.int64:
        sensed = torch.stack([(seen == k).float() for k in range(2)], -1)[:, 0]
    elif view == "pixels":
        sensed = seen.permute(0, 3, 1, 2).flatten(1) / 255
    else:
        bits = torch.from_numpy(np.unpackbits(seen.numpy()[..., None], axis=-1, bitorder="little")).flatten(-2).float()
        sensed = (bits.permute(0, 3, 1, 2) if encoder == "conv" else bits).flatten(1)
    p = model.decoder(z).sigmoid()
    assert p.shape == sensed.shape
    by_hand = -(sensed * p.log() + (1 - sensed) * (1 - p).log()).mean(1)
    torch.testing.assert_close(loss, by_hand)


def test_speed_is_measured_beside_the_autoencoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cogarch.bench import codes, jepa_speed

    monkeypatch.setattr(codes, "TRAINED", tmp_path / "trained")
    monkeypatch.setattr(jepa_speed, "SIGHTS", (("map", "mlp"),))
    console = Console(file=io.StringIO(), width=200)
    bench("jepa-speed", env=None, seeds=1, json=tmp_path / "s.json", quick=True, console=console)
    rows = json.loads((tmp_path / "s.json").read_text())["rows"]
    assert [row["model"] for row in rows] == ["jepa", "autoencoder"]
    assert rows[1]["ratio"] == 1
    assert all(row["steps_per_second"] > 0 and row["threads"] == 1 for row in rows)
    assert {"position_r2", "position_r2_untrained", "ratio"} <= rows[0].keys()


def test_what_can_be_known_of_a_part_stands_beside_what_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cogarch.bench import codes

    monkeypatch.setattr(codes, "TRAINED", tmp_path / "trained")
    monkeypatch.setattr(jepa_health, "MANY", 600)
    console = Console(file=io.StringIO(), width=200)
    bench("jepa-health", env=None, seeds=1, json=tmp_path / "h.json", quick=True, only="marked", console=console)
    (row,) = json.loads((tmp_path / "h.json").read_text())["rows"]
    assert 0.6 < row["position_r2_view"] < 0.9 < row["position_r2_ideal"]
    assert row["position_r2_memory"] < row["position_r2_ideal"]
