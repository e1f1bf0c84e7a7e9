"""A walk, played and recorded: what rate maps are drawn of where no agent has to act."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import xarray as xr
from numpy.typing import NDArray

from cogarch.bus import Bus
from cogarch.learning.zero_shot import played


def recorded(bus: Bus, walk: Mapping[str, NDArray[Any]], topics: Sequence[str], known: int) -> xr.Dataset:
    """The recording of these topics along a walk `[T, B, ...]`, from tick `known` on: before it the world is new."""
    with torch.no_grad():
        pieces = list(played(bus, walk, topics))
    variables: dict[str, Any] = {"env.place": (("tick", "agent", "xy"), walk["place"][known:])}
    for topic in topics:
        signal = bus.plan.topics[topic]
        about = {"topic": topic, "cells": signal.cells, "modules": list(signal.modules)}
        said = torch.cat([piece[topic] for piece in pieces])[known:].numpy()
        variables[topic.replace("/", ".")] = (("tick", "agent", topic), said, about)
    return xr.Dataset(variables)
