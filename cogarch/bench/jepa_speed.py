"""How fast the world model learns, and what of the place its code tells, beside an autoencoder of the same size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from rich.console import Console
from torch import Tensor, nn

import agents
from cogarch.bench.codes import training
from cogarch.bench.report import Row
from cogarch.bench.train import trained
from cogarch.config import Agent
from cogarch.encoder import Encoder, Kind, measured, mlp, numbers
from cogarch.module import Messages, Module, Read, Signal, Step
from cogarch.world.examine import position

ROUNDS, UPDATES = 3, 100


class Autoencoder(Module):
    """The same encoder, and a decoder that is its mirror: `loss/reconstruction` is the error of each number sensed."""

    role = "world"

    def __init__(
        self,
        topics: Mapping[str, Signal],
        *,
        size: PositiveInt = 32,
        hidden: PositiveInt = 128,
        encoder: Kind = "mlp",
    ) -> None:
        super().__init__()
        self.seen, self.size = topics["env/observation"], size
        self.encoder = Encoder(self.seen, size, kind=encoder, hidden=hidden)
        shape = measured(self.seen)
        if encoder == "mlp":
            self.decoder: nn.Module = mlp([size, hidden, hidden, math.prod(shape)])
        else:
            small = self.encoder.conv(torch.zeros(1, *shape).movedim(-1, 1)).shape[1:]
            flat = [mlp([size, hidden, math.prod(small)]), nn.ReLU(), nn.Unflatten(1, small)]
            self.decoder = nn.Sequential(*flat, *_mirrored(self.encoder.conv, shape[0]), nn.Flatten())

    def steps(self) -> list[Step]:
        seen: dict[str, str | Read] = {"observation": Read("env/observation", grad=False)}
        z = Signal((self.size,), cells="latent units")
        return [
            Step("encode", seen, {"world/z": z}),
            Step("reconstruct", {"z": "world/z", **seen}, {"loss/reconstruction": Signal(())}),
        ]

    def encode(self, observation: Tensor) -> Messages:
        return {"world/z": self.encoder(observation)}

    def reconstruct(self, z: Tensor, observation: Tensor) -> Messages:
        x = numbers(observation, self.seen)
        x = (x.movedim(-1, 1) if self.encoder.kind == "conv" else x).flatten(1)
        bits = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="none")  # all are between 0 and 1
        return {"loss/reconstruction": bits.mean(-1)}


def _mirrored(conv: nn.Sequential, side: int) -> list[nn.Module]:
    """Transposed convolutions back to what was convolved, pictures `side` wide."""
    back: list[nn.Module] = []
    for layer in conv:
        if isinstance(layer, nn.Conv2d):
            kernel, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
            left = (side + 2 * padding - kernel) % stride
            back = [nn.ConvTranspose2d(layer.out_channels, layer.in_channels, kernel, stride, padding, left), *back]
            side = (side + 2 * padding - kernel) // stride + 1
    return [part for layer in back for part in (layer, nn.ReLU())][:-1]


AUTOENCODER = {"use": "cogarch.bench.jepa_speed:Autoencoder"}
SIGHTS: tuple[tuple[str, Kind], ...] = (("map", "mlp"), ("pixels", "conv"))


def pair(view: str, encoder: Kind) -> dict[str, Agent]:
    """The world model, and an autoencoder in its place."""
    jepa = agents.load("jepa").change("world", encoder=encoder)
    jepa = jepa.train_with(options=jepa.training.options | {"view": view})
    plain = jepa.model_copy(update={"modules": {"world": AUTOENCODER | {"encoder": encoder}}, "trained": None})
    return {"jepa": jepa, "autoencoder": plain.train_with(losses={"loss/reconstruction": 1.0}, schedules={})}


def measure(*, env: str | None, seeds: Sequence[int], quick: bool, console: Console) -> list[Row]:
    """Rows `model view steps_per_second ratio position_r2 position_r2_untrained threads`.

    Both learn from the same walks of two rooms, in turn in each of three rounds, walking included; `ratio` is the
    median over rounds of the speed over that of the autoencoder. `position_r2` after a whole training each
    (`cogarch.world.examine`), in layouts held out.
    """
    if env is not None:
        raise ValueError("bench jepa-speed trains in two rooms of 9 x 9; leave --env out")
    rows: list[Row] = []
    for view, encoder in SIGHTS:
        models = pair(view, encoder)
        rounds: list[dict[str, Row]] = []
        for _ in range(1 if quick else ROUNDS):
            rounds.append({})
            for name, agent in models.items():
                rounds[-1][name] = trained(agent, None, 5 if quick else UPDATES, seeds[0])
                console.print(f"{name}, {view}: {rounds[-1][name]['steps_per_second']:,.0f} steps/s")
        plain = np.array([found["autoencoder"]["steps_per_second"] for found in rounds])
        for name, agent in models.items():
            speed = np.array([found[name]["steps_per_second"] for found in rounds])
            told = position(training(agent, None, seeds[0], {}, quick, console))
            rows.append(
                {"model": name, "view": view}
                | {"steps_per_second": float(np.median(speed)), "steps_per_second_std": float(speed.std())}
                | {"ratio": float(np.median(speed / plain)), "threads": rounds[0][name]["threads"]}
                | {"position_r2": told["position_r2"], "position_r2_untrained": told["position_r2_untrained"]}
            )
    return rows
