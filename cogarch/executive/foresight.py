"""Foresight: which remembered place each move from each place should lead to, though it was never made."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cogarch.bus import Bus
from cogarch.executive import atlas as atlases
from cogarch.module import State


def foresee(twin: Bus, atlas: State, code: str, *, sure: float, surprising: float, bodiless: bool) -> Tensor:
    """The place `[B, n, A]` that each move should lead to from each of the atlas' n, -1 where none is known there.

    Codes of structure (`code` "mec/g") are moved on by the `mec` of the clone, and are known where a place's code is
    like them by `sure` (cosine); of moves whose effect on the body has been felt, or of all where none is felt
    (`bodiless`).
    Latents ("world/z") are imagined by its world model, and known where the nearest would surprise less than
    `surprising`. A module that cannot be asked so (it keeps more than its code) foresees nothing.
    """
    batch, n, actions = atlas["target"].shape
    part: Any = twin.part(code.partition("/")[0]) if code.partition("/")[0] in twin.parts else None
    nothing = torch.full((batch, n, actions), atlases.NOWHERE, device=atlas["known"].device)
    if part is None or not hasattr(part, "ahead") or getattr(part, "remembers", False) or not n:
        return nothing
    here = atlas["code"][:, :n, None].expand(-1, -1, actions, -1)  # [B, n, A, cells]
    action = torch.arange(actions, device=here.device).expand(batch, n, actions)
    if code == "mec/g":
        effect = atlas["effect"][:, None].expand(-1, n, -1, -1)
        codes = part.ahead(here.flatten(0, 2), action.reshape(-1, 1), effect.reshape(-1, 2)).view_as(here)
        place = atlases.nearest(atlas, codes, sure)
        return place if bodiless else torch.where(atlas["moves"][:, None], place, nothing)
    codes, _ = part.ahead({}, here.flatten(0, 2), action.reshape(-1, 1))
    apart = part.surprise_of(codes.view(batch, -1, here.shape[-1]), atlas["code"][:, :n])
    apart = torch.where(atlas["known"][:, None, :n], apart, torch.inf)
    least, place = apart.min(-1)
    return torch.where(least <= surprising, place, atlases.NOWHERE).view(batch, n, actions)
