"""What an agent is about, and why: rules of which the first that applies says the mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

MODES = ("explore", "exploit", "replan", "rest")


class Rule(NamedTuple):
    """The first rule that applies says the mode, and is the reason."""

    reason: str
    mode: str


RULES = (
    Rule("the goal is reached", "explore"),
    Rule("the way was refused", "replan"),
    Rule("the way led elsewhere", "replan"),
    Rule("it was surprising", "replan"),
    Rule("the goal is known", "exploit"),
    Rule("no way to the goal is known", "explore"),
    Rule("the goal is not known", "explore"),
    Rule("nothing is left to explore", "rest"),
    Rule("there is more to explore", "explore"),
)
REASONS = tuple(rule.reason for rule in RULES)
"""`executive/reason` is a number of these."""


def first(applies: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Mode and reason `[B]`, of which reasons apply `[B]`; the last rule applies where no other does."""
    said = torch.stack([applies[reason] for reason in REASONS[:-1]])
    reason = torch.where(said.any(0), said.int().argmax(0), len(RULES) - 1)
    return torch.tensor([MODES.index(rule.mode) for rule in RULES], device=reason.device)[reason], reason
