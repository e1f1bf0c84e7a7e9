"""The atlas: the places that are remembered, what is known of them, and where each move has led from there.

Pure functions on a state with one row an agent. A place is a slot of the memory, or, where no memory says which place
this is, a code that came again (`snap`); for a body that turns it is a pose. Sizes: `S` places, `A` actions, codes of
`n` cells.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cogarch.hc.attention import put
from cogarch.module import Signal, State

NOWHERE = -1


def init(batch: int, places: int, actions: int, n: int, seen: Signal, terms: int) -> State:
    """An empty atlas: `target` `[B, S, A]`, the place that each action led to when last taken (-1: not taken, or
    refused); `refused` `[B, S, A]`; `taken` `[B, S, A]`, how often; `known` `[B, S]`; `code` `[B, S, n]`; `seen`
    `[B, S, *shape]`, what was sensed there; `at` `[B, S, 2]`, where it is by felt motion, in the world's unit from
    where the life began, along the axes that it began with; `felt` `[B, S, k]`, the costs that were felt there;
    `paid` `[B, S]`, the largest reward; `last` `[B, S]`, the tick of the last visit; `effect` `[B, A, 2]`, what each
    action does to the body, in the unit of `env/motion` (`moves` `[B, A]`: whether that is known)."""
    return {
        "target": torch.full((batch, places, actions), NOWHERE),
        "refused": torch.zeros(batch, places, actions, dtype=torch.bool),
        "taken": torch.zeros(batch, places, actions, dtype=torch.int32),
        "known": torch.zeros(batch, places, dtype=torch.bool),
        "code": torch.zeros(batch, places, n),
        "seen": torch.zeros(batch, places, *seen.shape, dtype=seen.dtype),
        "at": torch.zeros(batch, places, 2),
        "felt": torch.zeros(batch, places, terms),
        "paid": torch.zeros(batch, places),
        "last": torch.full((batch, places), -1),
        "effect": torch.zeros(batch, actions, 2),
        "moves": torch.zeros(batch, actions, dtype=torch.bool),
        "here": torch.full((batch,), NOWHERE),
        "position": torch.zeros(batch, 2, dtype=torch.float64),
        "heading": torch.zeros(batch, dtype=torch.float64),
        "clock": torch.zeros(batch, dtype=torch.int64),
    }


def used(atlas: State) -> int:
    """Places at the front that may be known, of any row."""
    columns = atlas["known"].any(0).nonzero()
    return int(columns[-1]) + 1 if len(columns) else 0


def snap(atlas: State, code: Tensor, same: float) -> tuple[Tensor, Tensor]:
    """The place `[B]` whose code is that of `code` `[B, n]` but for `same` of its squared length, else a free one, and
    whether it is new `[B]`; where none is free, the one not visited for longest is given up."""
    n = used(atlas)
    free = torch.where(atlas["known"], atlas["last"], -1).argmin(-1)
    if not n:
        return free, torch.ones_like(free, dtype=torch.bool)
    apart = torch.cdist(code[:, None], atlas["code"][:, :n])[:, 0].square()
    near, where = torch.where(atlas["known"][:, :n], apart, torch.inf).min(-1)
    new = near > same * code.square().sum(-1)
    return torch.where(new, free, where), new


def feel(atlas: State, action: Tensor, bump: Tensor, motion: Tensor, egocentric: bool) -> State:
    """Take in a move `[B]` and the motion `[B, 2]` that it gave: what each action does, and where the body now is."""
    rows = torch.arange(len(action), device=action.device)
    last, moved = action.clamp(min=0), (action >= 0) & ~bump
    effect = put(atlas["effect"], (rows, last), torch.where(moved[:, None], motion, atlas["effect"][rows, last]))
    moves = put(atlas["moves"], (rows, last), atlas["moves"][rows, last] | (moved & (motion != 0).any(-1)))
    position, heading, felt = atlas["position"], atlas["heading"], motion.double()
    if egocentric:
        heading = heading + felt[:, 0]
        position = position + felt[:, 1:] * torch.stack([heading.cos(), heading.sin()], -1)
    else:
        position = position + felt
    return atlas | {"effect": effect, "moves": moves, "position": position, "heading": heading}


def visit(
    atlas: State,
    place: Tensor,
    new: Tensor,
    code: Tensor,
    seen: Tensor,
    *,
    action: Tensor,
    bump: Tensor,
    start: Tensor,
    reward: Tensor,
    felt: Tensor,
) -> State:
    """The agent is at `place` `[B]` (`new`: never seen, or taken over from a place that is forgotten) after `action`
    `[B]`, which was refused where `bump` `[B]` is true."""
    rows = torch.arange(len(place), device=place.device)
    here = (rows, place)
    atlas = forget(atlas, place, new & atlas["known"][here])
    blank: State = {"target": NOWHERE, "refused": False, "taken": 0, "paid": -torch.inf}
    for name, nothing in blank.items():
        kept = atlas[name][here]
        fresh = new.view(-1, *[1] * (kept.dim() - 1))
        atlas = atlas | {name: put(atlas[name], here, torch.where(fresh, torch.full_like(kept, nothing), kept))}

    before, moved = atlas["here"], action.clamp(min=0)
    tells = (before >= 0) & (action >= 0) & ~start
    edge = (rows, before.clamp(min=0), moved)
    was, was_refused = atlas["target"][edge], atlas["refused"][edge]
    leads = torch.where(bump, NOWHERE, place)
    taken = atlas["taken"][edge]
    return atlas | {
        "target": put(atlas["target"], edge, torch.where(tells, leads, was)),
        "refused": put(atlas["refused"], edge, torch.where(tells, bump, was_refused)),
        "taken": put(atlas["taken"], edge, taken + tells.to(taken.dtype)),
        "known": put(atlas["known"], here, torch.ones_like(new)),
        "code": put(atlas["code"], here, code),
        "seen": put(atlas["seen"], here, seen),
        "at": put(atlas["at"], here, atlas["position"].float()),
        "felt": put(atlas["felt"], here, felt),
        "paid": put(atlas["paid"], here, torch.maximum(atlas["paid"][here], reward)),
        "last": put(atlas["last"], here, atlas["clock"]),
        "here": place,
        "clock": atlas["clock"] + 1,
    }


def forget(atlas: State, place: Tensor, rows: Tensor) -> State:
    """The atlas without the place `[B]`, where `rows` `[B]`: what led there leads nowhere known."""
    if not bool(rows.any()):
        return atlas
    leads = rows[:, None, None] & (atlas["target"] == place[:, None, None])
    own = torch.arange(atlas["known"].shape[1], device=place.device)
    return atlas | {
        "target": torch.where(leads, NOWHERE, atlas["target"]),
        "known": atlas["known"] & ~(rows[:, None] & (own == place[:, None])),
        "here": torch.where(rows & (atlas["here"] == place), NOWHERE, atlas["here"]),
    }


def merge(atlas: State, gone: Tensor, kept: Tensor, rows: Tensor) -> State:
    """The place `gone` `[B]` is found to be `kept` `[B]`, where `rows` `[B]`: what was known of either is known of
    it."""
    each = torch.arange(len(gone), device=gone.device)
    known = {name: (atlas[name][each, gone], atlas[name][each, kept]) for name in ("target", "refused", "taken")}
    tells = rows[:, None] & (known["target"][1] < 0) & ~known["refused"][1]
    target = atlas["target"].index_put((each, kept), torch.where(tells, *known["target"]))
    refused = atlas["refused"].index_put((each, kept), torch.where(tells, *known["refused"]))
    taken = known["taken"][1] + known["taken"][0] * rows[:, None]
    paid = atlas["paid"][each, kept]
    paid = torch.where(rows, torch.maximum(paid, atlas["paid"][each, gone]), paid)
    leads = rows[:, None, None] & (target == gone[:, None, None])
    own = torch.arange(target.shape[1], device=gone.device)
    return atlas | {
        "target": torch.where(leads, kept[:, None, None], target),
        "refused": refused,
        "taken": atlas["taken"].index_put((each, kept), taken),
        "paid": atlas["paid"].index_put((each, kept), paid),
        "known": atlas["known"] & ~(rows[:, None] & (own == gone[:, None])),
        "here": torch.where(rows & (atlas["here"] == gone), kept, atlas["here"]),
    }


def inferred(atlas: State, imagined: Tensor) -> Tensor:
    """Of the places `imagined` `[B, S, A]` that moves should lead to, those that may be believed, elsewhere -1: known
    ones, of moves never taken, but for those between two places of which one has refused the way to the other."""
    target, refused = atlas["target"][:, : imagined.shape[1]], atlas["refused"][:, : imagined.shape[1]]
    own = torch.arange(imagined.shape[1], device=imagined.device)[:, None]
    there = imagined.clamp(min=0).flatten(1)  # [B, S A]
    known = atlas["known"].gather(1, there).view_as(imagined)
    there = there[..., None].expand(-1, -1, imagined.shape[-1])  # [B, S A, A]
    back = imagined.gather(1, there).view(*imagined.shape, -1)  # [B, S, A, A]: where moves from there should lead
    shut = (back == own[..., None]) & refused.gather(1, there).view_as(back)
    believed = (imagined >= 0) & known & (imagined != own) & (target < 0) & ~refused & ~shut.any(-1)
    return torch.where(believed, imagined, NOWHERE)


def reachable(atlas: State, places: int) -> Tensor:
    """To which of the first `places` places moves that were made lead from where the agent is, `[B, places]` bool."""
    here, target = atlas["here"][:, None], atlas["target"][:, :places]
    found: Tensor = torch.arange(places, device=here.device) == here
    while True:
        there = torch.where(found[..., None] & (target >= 0), target, here[..., None]).flatten(1)
        further = found.scatter(1, there, True)
        if torch.equal(further, found):
            return found
        found = further
