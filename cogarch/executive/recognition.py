"""Recognition: that a place thought new, or another, is one already known, for all that was sensed on the way fits it.

Path integration unrolls a world that closes on itself: after a round every place is met again under another code. Who
walks there follows, beside its own way, every way through its map on which it would have sensed the same, and weighs
the evidence in nats: what is rarely sensed says much. Where one other place stands out the two are taken as one (loop
closure, as in mapping by robots; here by an exact filter over the atlas).
"""

from __future__ import annotations

import torch
from torch import Tensor

from cogarch.executive.atlas import NOWHERE, forget, merge
from cogarch.module import State

_FAR = 1e6
ROUNDS = 4
"""Ways round the world that are kept in mind."""


def init(batch: int, places: int) -> State:
    """`evidence` `[B, S]`, nats for being at each place (-inf: it cannot be), and `since` when it is gathered (tick);
    `same` `[B, S]`, the place that each slot stands for; `lost` `[B]`, the codes sensed are not those of the places
    (after a round, say), and `adopted` `[B, S]`, places that are known by a code that was foreseen, not sensed;
    `rounds` `[B, ROUNDS, 2]`, the displacements that lead back to where they began (0: not known)."""
    return {
        "evidence": torch.full((batch, places), -torch.inf),
        "since": torch.zeros(batch, places, dtype=torch.int64),
        "same": torch.arange(places).repeat(batch, 1),
        "lost": torch.zeros(batch, dtype=torch.bool),
        "adopted": torch.zeros(batch, places, dtype=torch.bool),
        "rounds": torch.zeros(batch, ROUNDS, 2),
    }


def follow(
    known: State, atlas: State, foreseen: Tensor, own: Tensor, seen: Tensor, action: Tensor, bump: Tensor, start: Tensor
) -> tuple[Tensor, Tensor]:
    """The evidence `[B, S]` after a move `[B]` and what was sensed then, `seen` `[B, *shape]`, and since when it has
    been gathered; before the atlas takes the move in. `foreseen` `[B, S, A]`: where moves should lead that were not
    made; `own` `[B]`: the tick at which it was last where it thinks that it is, -1 for never. What is sensed again on
    one way, or has not changed (where a body turns), says nothing more."""
    batch, places, _ = foreseen.shape
    rows = torch.arange(batch, device=action.device)
    moved = action.clamp(min=0)
    walked, refused = atlas["target"][rows, :, moved], atlas["refused"][rows, :, moved]  # [B, S]
    leads = torch.where(walked >= 0, walked, torch.where(refused, NOWHERE, foreseen[rows, :, moved]))
    every = torch.arange(places, device=action.device).expand(batch, -1)
    leads = torch.where(bump[:, None], torch.where(walked >= 0, NOWHERE, every), leads)
    carried = torch.where((leads >= 0) & ~start[:, None], known["evidence"], -torch.inf)
    leads = leads.clamp(min=0)
    there = torch.full_like(carried, -torch.inf).scatter_reduce(1, leads, carried, "amax")
    best = torch.where(carried == there.gather(1, leads), known["since"], NOWHERE)
    since = torch.full_like(best, NOWHERE).scatter_reduce(1, leads, best, "amax")
    begins = there <= 0
    since = torch.where(begins, atlas["clock"][:, None], since)

    fits = (atlas["seen"] == seen[:, None]).flatten(2).all(-1) & atlas["known"]
    share = fits.sum(-1) / atlas["known"].sum(-1).clamp(min=1)
    changed = (atlas["seen"][rows, atlas["here"].clamp(min=0)] != seen).flatten(1).any(-1)
    tells = begins | (changed[:, None] & (own[:, None] < since))
    says = torch.where(tells, -share.clamp(min=1e-9).log()[:, None], 0.0)
    return torch.where(fits, there.clamp(min=0) + says, -torch.inf), since


def other(evidence: Tensor, place: Tensor, number: Tensor, nats: float) -> Tensor:
    """The place `[B]` that the agent is at, if it is not `place` `[B]`, -1 where none stands out: by `nats` above what
    some one of so many places, `number` `[B]`, would have by chance, and by half of that above every other."""
    rows = torch.arange(len(place), device=place.device)
    others = evidence.index_put((rows, place), torch.tensor(-torch.inf, device=place.device))
    best = others.topk(2, -1) if others.shape[1] > 1 else None
    if best is None:
        return torch.full_like(place, NOWHERE)
    (first, second), which = best.values.unbind(-1), best.indices[:, 0]
    stands_out = (first - number.clamp(min=1).log() >= nats) & (first - second >= nats / 2)
    return torch.where(stands_out, which, NOWHERE)


def resolve(
    known: State, atlas: State, evidence: Tensor, slot: Tensor, stored: Tensor, nats: float
) -> tuple[State, State, Tensor, Tensor]:
    """Which place `[B]` the slot `[B]` of the memory stands for, and whether that is new `[B]`; places that turn out to
    be one are made one. Gives the two states, too."""
    rows, own = torch.arange(len(slot), device=slot.device), torch.arange(evidence.shape[1], device=slot.device)
    known, atlas = dict(known), forget(atlas, slot, stored & atlas["known"][rows, slot])
    # what stood for a place that memory dropped stands for itself again
    same = torch.where(stored[:, None] & (known["same"] == slot[:, None]), own, known["same"])
    same = same.index_put((rows, slot), torch.where(stored, slot, same[rows, slot]))
    evidence = torch.where(atlas["known"], evidence, -torch.inf)
    place = same[rows, slot]
    new = ~atlas["known"][rows, place]
    found = other(evidence, place, atlas["known"].sum(-1), nats)
    one = found >= 0
    if bool(one.any()):
        kept = torch.where(one, found, place)
        atlas = merge(atlas, place, kept, one & ~new)
        same = torch.where(one[:, None] & (same == place[:, None]), kept[:, None], same)
        evidence = torch.where(one[:, None] & (own == place[:, None]), -torch.inf, evidence)
        place = kept
        back = atlas["at"][rows, place].double()
        known["rounds"] = _with(known["rounds"], (atlas["position"] - back).float(), one)
        atlas = atlas | {"position": torch.where(one[:, None], back, atlas["position"])}
    return known | {"same": same, "evidence": evidence}, atlas, place, new & ~one


def recognise(
    known: State,
    atlas: State,
    foreseen: State,
    code: Tensor,
    slot: Tensor,
    stored: Tensor,
    seen: Tensor,
    nats: float,
    *,
    action: Tensor,
    bump: Tensor,
    start: Tensor,
) -> tuple[State, State, State, Tensor, Tensor, Tensor]:
    """The three states, which place this is `[B]`, for all that was sensed on the way here, whether it is new `[B]`,
    and the code `[B, n]` by which it is to be known: where path integration has lost its frame, that which was
    foreseen."""
    rows, before = torch.arange(len(slot), device=slot.device), known["same"]
    own = torch.where(stored, NOWHERE, atlas["last"][rows, before[rows, slot]])
    evidence, since = follow(known, atlas, foreseen["place"], own, seen, action, bump, start)
    known = known | {"since": since}
    known, atlas, place, new = resolve(known, atlas, evidence, slot, stored, nats)
    if not torch.equal(known["same"], before):  # what leads to a place leads to what it is
        same = known["same"][rows[:, None], foreseen["place"].clamp(min=0).flatten(1)].view_as(foreseen["place"])
        foreseen = foreseen | {"place": torch.where(foreseen["place"] >= 0, same, NOWHERE)}
    lost = known["lost"] & ~start
    foretold = foreseen["codes"][rows, atlas["here"].clamp(min=0), action.clamp(min=0)]
    foretold = torch.where((lost & ~bump & (atlas["here"] >= 0))[:, None], foretold, code)
    code = torch.where(new[:, None], foretold, atlas["code"][rows, place])
    adopted = known["adopted"].index_put((rows, place), torch.where(new, lost, known["adopted"][rows, place]))
    known = known | {"adopted": adopted, "lost": torch.where(new, lost, (slot != place) | adopted[rows, place])}
    return known, atlas, foreseen, place, new, code


def _with(rounds: Tensor, way: Tensor, rows: Tensor) -> Tensor:
    """The rounds `[B, R, 2]`, and where `rows` `[B]` the `way` `[B, 2]`, if it is none of them or of their reverse."""
    known = torch.cat([rounds, -rounds], 1)
    new = rows & ((known - way[:, None]).norm(dim=-1) > 0.5).all(-1) & (way.norm(dim=-1) > 0.5)
    free = (rounds == 0).all(-1).int().argmax(-1)
    room = (rounds == 0).all(-1).any(-1)
    put = (new & room)[:, None, None] & (torch.arange(ROUNDS, device=way.device) == free[:, None])[..., None]
    return torch.where(put, way[:, None], rounds)


def round_the_world(rounds: Tensor, atlas: State, foreseen: Tensor, egocentric: bool) -> Tensor:
    """`foreseen` `[B, n, A]` with the places that moves lead to where they complete a round: those that lie, by felt
    motion, a known round away from where the move should lead."""
    known = (rounds != 0).any(-1)
    if egocentric or not bool(known.any()):
        return foreseen
    n = foreseen.shape[1]
    at = atlas["at"][:, :n]
    ends = at[:, :, None] + atlas["effect"][:, None]  # [B, n, A, 2]
    at = torch.where(atlas["known"][:, :n, None], at, _FAR)
    for way in (w for w in (*rounds.unbind(1), *(-rounds).unbind(1)) if bool((w != 0).any())):
        near, place = torch.cdist((ends - way[:, None, None]).flatten(1, 2), at).min(-1)
        fits = (near < 0.5).view_as(foreseen) & (way != 0).any(-1)[:, None, None] & (foreseen < 0)
        foreseen = torch.where(fits & atlas["moves"][:, None], place.view_as(foreseen), foreseen)
    return foreseen
