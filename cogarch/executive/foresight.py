"""Foresight: which remembered place each move from each place should lead to, though it was never made.

Structural codes are moved on by the `mec` of the agent, latents are imagined by its world model; then the atlas is
asked whether it knows the place. Kept up to date tick by tick: what follows from the place that the agent is at, and
which of all moves imagined before lead there.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cogarch.bus import Mind
from cogarch.executive.atlas import NOWHERE
from cogarch.hc.attention import put
from cogarch.module import State


def init(batch: int, places: int, actions: int, n: int) -> State:
    """Nothing foreseen: `codes` `[B, S, A, n]`, the code that should follow each move; `place` `[B, S, A]`, where that
    is known to be (-1: nowhere); `like` `[B, S, A]`, how like its code is to that of the place."""
    return {
        "codes": torch.zeros(batch, places, actions, n),
        "place": torch.full((batch, places, actions), NOWHERE),
        "like": torch.full((batch, places, actions), -torch.inf),
    }


def imaginer(mind: Mind, code: str) -> Any:
    """The module that can be asked where moves lead from any code of the topic `code` (`Imaginable`), or None."""
    part = dict(mind.parts.items()).get(code.partition("/")[0])
    return part if getattr(part, "ahead", None) is not None else None


def look(seen: State, atlas: State, part: Any, place: Tensor, news: Tensor, n: int, sure: float) -> State:
    """Foresee from `place` `[B]`, where the agent is, and whether moves from others of the first `n` places lead there;
    from all of them in the rows of `news` `[B]`, in which an action was felt for the first time.

    A place is known where it is like what was imagined by `sure`: the cosine of structural codes; of latents minus how
    far they are from it (`Jepa.unlike`)."""
    rows = torch.arange(len(place), device=place.device)
    here, known = (rows, place), atlas["known"][:, :n]
    code = atlas["code"][here]
    codes = _ahead(part, code[:, None], atlas)[:, 0]  # [B, A, n]
    seen = seen | {"codes": put(seen["codes"], here, codes)}

    # which of the moves imagined before lead to this place
    like = _like(part, seen["codes"][:, :n].flatten(1, 2), code[:, None]).view(len(rows), n, -1)
    was, best = seen["place"][:, :n], seen["like"][:, :n]
    mine = was == place[:, None, None]
    better = mine | (like > best)
    leads = torch.where(better, torch.where(like >= sure, place[:, None, None], NOWHERE), was)
    best = torch.where(better, torch.where(like >= sure, like, -torch.inf), best)
    # and where those from this place do
    like, where = torch.where(known[:, None], _like(part, codes, atlas["code"][:, :n]), -torch.inf).max(-1)
    leads, best = put(leads, here, torch.where(like >= sure, where, NOWHERE)), put(best, here, like)
    all_ = {"place": seen["place"].clone(), "like": seen["like"].clone(), "codes": seen["codes"]}
    all_["place"][:, :n], all_["like"][:, :n] = leads, best
    for row in news.nonzero()[:, 0].tolist():  # seldom: as often as there are actions
        own = {name: atlas[name][row : row + 1] for name in ("effect", "code", "known")}
        codes = _ahead(part, own["code"][:, :n], own)
        like = _like(part, codes.flatten(1, 2), own["code"][:, :n])
        like, where = torch.where(own["known"][:, None, :n], like, -torch.inf).max(-1)
        fits = (like >= sure).view(n, -1)
        all_["codes"][row, :n] = codes[0]
        all_["like"][row, :n] = like.view(n, -1)
        all_["place"][row, :n] = torch.where(fits, where.view(n, -1), NOWHERE)
    return all_


def _ahead(part: Any, code: Tensor, atlas: State) -> Tensor:
    """What should follow each action from codes `[B, m, n]`: `[B, m, A, n]`."""
    batch, m, n = code.shape
    actions = atlas["effect"].shape[1]
    from_ = code[:, :, None].expand(-1, -1, actions, -1).reshape(-1, n)
    action = torch.arange(actions, device=code.device).expand(batch, m, -1).reshape(-1, 1)
    motion = atlas["effect"][:, None].expand(-1, m, -1, -1).reshape(-1, 2)
    codes: Tensor = part.ahead(from_, action, motion)
    return codes.view(batch, m, actions, n)


def _like(part: Any, codes: Tensor, other: Tensor) -> Tensor:
    """`[B, k, m]` of codes `[B, k, n]` and others `[B, m, n]`."""
    if hasattr(part, "unlike"):
        unlike: Tensor = part.unlike(codes, other)
        return -unlike
    return F.normalize(codes, dim=-1) @ F.normalize(other, dim=-1).mT
