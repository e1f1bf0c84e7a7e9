"""What a move costs: terms that are felt at every tick, their weights in each mode, and the price of moves on a map."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from cogarch.module import Messages, State
from cogarch.wiring import nearest

TERMS = ("novelty", "surprise", "disagreement", "coverage", "effort", "collision")
"""Of the present moment: how little it is remembered (minus `hc/familiarity`, at least 0), how little it was foreseen
(`world/surprise`), how much an ensemble disagrees (`world/disagreement`), the share of moves from here never made, the
move itself (1, but at a start), and whether it was refused. A term that nobody tells is 0."""
WEIGHTS: Mapping[str, Mapping[str, float]] = {
    "explore": {"effort": 1.0, "collision": 0.5, "novelty": -0.5},
    "exploit": {"effort": 1.0, "collision": 0.5},
}
"""By mode; a negative weight is what is sought. What is not named weighs nothing."""
LEAST = 0.05
"""What a move costs at least, however much there is to be had where it leads: no plan goes in circles."""
PRIOR = ((4.0, 0.2), (1.0, 1.0), (0.5, 2.0), (8.0, 0.1))
"""How many inferred moves are taken to have been found open, and refused, before any was tried: of those with 0, 1, 2
or more neighbours from which the same was refused (walls go on), and of those that lead back over a move once made."""
BACK = 3


def weights(mode: str, changes: Mapping[str, float]) -> Tensor:
    """`[k]`; ValueError for a term that does not exist, and for weights that contradict each other."""
    for term in changes:
        if term not in TERMS:
            raise ValueError(f"executive.{mode} weighs {term!r}, which is no cost; {nearest(term, TERMS)}")
        if not math.isfinite(changes[term]):
            raise ValueError(f"executive.{mode} weighs {term} by {changes[term]}: give a finite number")
    all_ = {**WEIGHTS[mode], **changes}
    if all_["effort"] <= 0:
        raise ValueError(
            f"executive.{mode} weighs effort by {all_['effort']}: a longer way would cost no more, and no plan would "
            "end; give more than 0"
        )
    if all_["collision"] < 0:
        raise ValueError(
            f"executive.{mode} weighs collision by {all_['collision']} and effort by {all_['effort']}: it would seek "
            "the walls that it is to avoid; give 0 or more"
        )
    return torch.tensor([float(all_.get(term, 0.0)) for term in TERMS])


def feel(atlas: State, place: Tensor, new: Tensor, action: Tensor, bump: Tensor, told: Messages) -> Tensor:
    """The terms `[B, k]` at this moment, at `place` `[B]` after `action` `[B]`; `told` `[B, 1]`: what other modules say
    of novelty (as familiarity), surprise and disagreement."""
    rows = torch.arange(len(place), device=place.device)
    never = new[:, None] | ((atlas["taken"][rows, place] == 0) & ~atlas["refused"][rows, place])
    terms = {term: x[:, 0] for term, x in told.items()}
    if "novelty" in terms:
        terms["novelty"] = (-terms["novelty"]).clamp(min=0)
    nothing = {"novelty": new.float(), "surprise": torch.zeros_like(bump), "disagreement": torch.zeros_like(bump)}
    terms = nothing | terms | {"coverage": never.float().mean(-1), "effort": action >= 0, "collision": bump}
    return torch.stack([terms[term].float() for term in TERMS], -1)


def of_moves(atlas: State, target: Tensor, weight: Tensor, open_: Tensor, untried: Tensor) -> Tensor:
    """What each move `[B, S, A]` costs, at least `LEAST`: its effort, what was felt where it leads (`target`, -1:
    nothing was, but its novelty is 1), and of those that are `untried` `[B, S, A]` what it is to be refused, by the
    chance that they are open `[B, S, A]`: so many tries does it take."""
    felt = atlas["felt"][:, : target.shape[1]]
    rows = torch.arange(len(target), device=target.device)[:, None, None]
    k = {term: i for i, term in enumerate(TERMS)}
    sought = torch.tensor([term not in ("effort", "collision") for term in TERMS], device=target.device)
    there = (felt * (weight * sought)).sum(-1)[rows, target.clamp(min=0)]
    price = weight[k["effort"]] + torch.where(target >= 0, there, weight[k["novelty"]])
    refused = weight[k["effort"]] * (1 / open_ - 1) + weight[k["collision"]] * (1 - open_)
    return (price + torch.where(untried, refused, 0.0)).clamp(min=LEAST)


def refusals_beside(atlas: State, places: int) -> Tensor:
    """From how many (0, 1, 2: or more) of the places beside each one of its moves was refused, `[B, places, A]`."""
    target: Tensor = atlas["target"][:, :places]
    refused: Tensor = atlas["refused"][:, :places]
    actions = target.shape[-1]
    there = target.clamp(min=0).flatten(1)[..., None].expand(-1, -1, actions)
    beside = refused.gather(1, there).view(*target.shape, actions)  # [B, S, way there, move]
    other = ~torch.eye(actions, dtype=torch.bool, device=target.device)
    return (beside & (target >= 0)[..., None] & other).sum(2).clamp(max=BACK - 1)


def grounds(atlas: State, target: Tensor) -> Tensor:
    """Which of the kinds of `PRIOR` a move to `target` `[B, n, A]` is, were it inferred, `[B, n, A]`."""
    n, actions = target.shape[1:]
    there = target.clamp(min=0).flatten(1)[..., None].expand(-1, -1, actions)
    own = torch.arange(n, device=target.device)[:, None, None]
    came = (atlas["target"][:, :n].gather(1, there).view(*target.shape, actions) == own).any(-1)
    return torch.where(came & (target >= 0), BACK, refusals_beside(atlas, n))


def learned(tried: Tensor, guessed: Tensor, bump: Tensor) -> Tensor:
    """Counts `[B, 4, 2]` of inferred moves found open and refused, with the last move: `guessed` `[B]`, it was
    inferred, on these `grounds` (-1: it was not)."""
    found = F.one_hot(guessed.clamp(min=0), len(PRIOR))[..., None] * F.one_hot(bump.long(), 2)[:, None]
    counts: Tensor = tried + found * (guessed >= 0)[:, None, None]
    return counts


def chance_open(tried: Tensor, beside: Tensor) -> Tensor:
    """That an inferred move is open, by what came of those tried so far `[B, 4, 2]` (open, refused), as `beside`, its
    `grounds`."""
    counts = tried + torch.tensor(PRIOR, device=tried.device)
    share = counts[..., 0] / counts.sum(-1)  # [B, 3]
    chance: Tensor = share.gather(1, beside.flatten(1)).view(beside.shape)
    return chance
