"""Goals: what an agent is asked to reach, told by what is sensed there, by where it is, or by what is known of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from cogarch.module import Signal, State
from cogarch.wiring import nearest

Kind = Literal["observation", "place", "node", "object", "reward", "same"]
KINDS: tuple[str, ...] = get_args(Kind)
BY = {kind: 1 + i for i, kind in enumerate(KINDS)}
"""What `by` is for a goal of each kind."""
REMEMBERED: tuple[str, ...] = KINDS[:-1]
"""The kinds that are found among places where one has been."""
NEAR = 0.5
"""Of the world's unit: a place goal is where the body remembers to have been no further from it."""
ALIKE = 1e-3
"""Of its squared length: so far may an observation of real numbers be from the one that is sought."""


@dataclass(frozen=True)
class Goal:
    """Where to go; of several such places, to the nearest.

    - "observation": where this was sensed, an array like `env/observation` (an image, where that is what is sensed);
    - "place": (x, y) from where the life began, by felt motion, in the world's unit;
    - "node": a place of the agent's own map, such as `hc/slot` told it;
    - "object": where an object of that kind was sensed: the observation itself, or anywhere in a symbolic view;
    - "reward": where a reward was felt;
    - "same": at a thing of which a like was seen elsewhere.
    """

    kind: Kind
    value: Any = None

    @classmethod
    def parse(cls, text: str) -> Goal:
        """From words: "object 7", "place 3 -2", "node 12", "observation 7", "reward". ValueError says what is not."""
        kind, *values = re.split(r"[\s,]+", text.strip())
        wanted = {"place": 2, "reward": 0, "same": 0}.get(kind, 1)
        if kind not in KINDS:
            raise ValueError(f"no goal is a {kind!r} (of {text!r}); {nearest(kind, KINDS)}")
        try:
            numbers = [float(v) if kind == "place" else int(v) for v in values]
        except ValueError:
            numbers = []
        if len(numbers) != wanted or len(values) != wanted:
            raise ValueError(
                f'the goal {text!r} is not understood: "object 7", "place 3 -2", "node 12", "observation 7" or "reward"'
            )
        return cls(kind, None if not numbers else numbers if kind == "place" else numbers[0])  # type: ignore[arg-type]


def init(batch: int, seen: Signal) -> State:
    """No goals. `by` `[B]` is 0 for none, else 1 + the kind's number."""
    return {
        "by": torch.zeros(batch, dtype=torch.int64),
        "observation": torch.zeros(batch, *seen.shape, dtype=seen.dtype),
        "place": torch.zeros(batch, 2),
        "number": torch.zeros(batch, dtype=torch.int64),
    }


def aim(
    goals: State, goal: Goal | None, rows: Tensor, seen: Signal, places: int, kinds: Sequence[str] = REMEMBERED
) -> State:
    """The goals `[B]` with this one where `rows` `[B]` is true; ValueError for one that cannot be, or is none of the
    `kinds` that the executive can seek."""
    if goal is None:
        return goals | {"by": torch.where(rows, 0, goals["by"])}
    if goal.kind not in KINDS:
        raise ValueError(f"no goal is a {goal.kind!r}; {nearest(goal.kind, KINDS)}")
    if goal.kind not in kinds:
        raise ValueError(f"this executive seeks no {goal.kind!r}: give it {', '.join(kinds)}, or take another")
    goals = goals | {"by": torch.where(rows, BY[goal.kind], goals["by"])}
    if goal.kind == "observation":
        sought = _sensed(goal.value, seen).to(rows.device)
        put = rows.view(-1, *[1] * sought.dim())
        return goals | {"observation": torch.where(put, sought, goals["observation"])}
    if goal.kind == "place":
        place = _numbers(goal.value, "a place").float().to(rows.device)
        if place.shape != (2,) or not bool(place.isfinite().all()):
            raise ValueError(f"a place is two finite numbers, x and y from where the life began; got {goal.value!r}")
        return goals | {"place": torch.where(rows[:, None], place, goals["place"])}
    if goal.kind in ("reward", "same"):
        return goals
    if goal.kind == "object" and (seen.dtype.is_floating_point or seen.unit == "RGB"):
        raise ValueError(f"objects have no kind where {seen} is sensed; give the goal as an observation or a place")
    most = places if goal.kind == "node" else seen.values or 256
    number = goal.value
    if isinstance(number, bool) or not isinstance(number, Integral) or not 0 <= int(number) < most:
        raise ValueError(f"{goal.kind} {number!r} cannot be: it is a whole number, 0 to {most - 1}")
    return goals | {"number": torch.where(rows, int(number), goals["number"])}


def _sensed(value: Any, seen: Signal) -> Tensor:
    """An observation that the world could give; ValueError for what it could not."""
    given = _numbers(value, "an observation")
    if given.numel() == 1 and seen.shape == (1,):
        given = given.reshape(1)
    if tuple(given.shape) != seen.shape:
        raise ValueError(f"the goal was sensed as {list(given.shape)}, this world is sensed as {seen}")
    if not bool(given.isfinite().all()):
        raise ValueError("the observation sought holds numbers that are not finite")
    sought = given.to(seen.dtype)
    beyond = seen.values > 0 and bool(((given < 0) | (given >= seen.values)).any())
    if beyond or (not seen.dtype.is_floating_point and bool((sought != given).any())):
        these = f"whole numbers, 0 to {seen.values - 1}" if seen.values else str(seen.dtype).removeprefix("torch.")
        raise ValueError(f"the observation {value!r} cannot be: this world is sensed as {these}")
    return sought


def _numbers(value: Any, what: str) -> Tensor:
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{what} is numbers, not {value!r}") from None


def meets(goals: State, atlas: State, places: int) -> Tensor:
    """Which of the first `places` known places meet their row's goal, `[B, places]` bool."""
    by: Tensor = goals["by"]
    known: Tensor = atlas["known"][:, :places]
    found = torch.zeros_like(known)
    for name, kind in BY.items():
        rows = by == kind
        if bool(rows.any()):
            part = {key: atlas[key][rows][:, :places] for key in ("seen", "at", "paid")}
            found[rows] = _meets(name, {key: x[rows] for key, x in goals.items()}, part)
    return found & known


def code(atlas: State, meets: Tensor, seeks: Tensor) -> Tensor:
    """The code `[B, n]` of the nearest place, by felt motion, that meets the goal; NaN where none is sought."""
    rows, n = torch.arange(len(meets), device=meets.device), meets.shape[1]
    away = (atlas["at"][:, :n] - atlas["position"][:, None].float()).norm(dim=-1)
    there: Tensor = atlas["code"][rows, torch.where(meets, away, torch.inf).argmin(-1)]
    return torch.where(seeks[:, None], there, torch.nan)


def _meets(kind: str, goals: State, atlas: State) -> Tensor:
    number: Tensor = goals["number"][:, None]
    seen: Tensor = atlas["seen"]
    sought: Tensor = goals["observation"][:, None]
    paid: Tensor = atlas["paid"]
    if kind == "node":
        return torch.arange(seen.shape[1], device=seen.device) == number
    if kind == "place":
        away: Tensor = (atlas["at"] - goals["place"][:, None]).norm(dim=-1)
        return away <= NEAR
    if kind == "reward":
        return paid > 0
    if kind == "object":
        kinds = seen[..., 0] if seen.dim() == 5 else seen  # the first channel of a symbolic view
        return (kinds.flatten(2) == number[..., None]).any(-1)
    if not seen.dtype.is_floating_point:
        return (seen == sought).flatten(2).all(-1)
    apart = (seen - sought).flatten(2).square().sum(-1)
    return apart <= ALIKE * sought.flatten(2).square().sum(-1)
