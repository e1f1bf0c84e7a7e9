"""The surveyor: explores by sight, remembers what it saw where, and goes to what it only saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from cogarch.executive import affordances, goals, sorties
from cogarch.executive import survey as surveys
from cogarch.executive.goals import Goal
from cogarch.executive.modes import MODES, Rule
from cogarch.executive.survey import UNSEEN, Frame
from cogarch.module import Messages, Module, Noise, Read, Signal, State, Step

RULES = (
    Rule("the goal is reached", "explore"),
    Rule("the way was refused", "replan"),
    Rule("the goal is known", "exploit"),
    Rule("no way to the goal is known", "explore"),
    Rule("it tries what an action does", "explore"),
    Rule("the goal is not known", "explore"),
    Rule("nothing is left to explore", "rest"),
    Rule("there is more to explore", "explore"),
)
REASONS = tuple(rule.reason for rule in RULES)
"""`executive/reason` is a number of these."""
BODY = 10
"""MiniGrid's agent, an object in pictures of the whole grid."""
GOALS = ("object", "place", "same")
"""The kinds of goal that can be told by sight."""


class Surveyor(Module):
    """Explores by sight, remembers what it saw where, and goes by the best way to a goal that it has only seen.

    For views ahead in symbols (MiniGrid's "partial": object, colour, state), and a body that turns by quarters. All is
    learned within the life: what each action does to the body, what lets one through or hides what is behind it, what
    actions do to the thing ahead (`cogarch.executive.affordances`); what was seen lies on a map by felt motion
    (`cogarch.executive.survey`). At every tick the first of `RULES` that applies sets `executive/mode` and is its
    reason. Ways are planned anew at every tick, by value iteration over poses: to the goal, once it was seen; else to
    where the most that is unseen would be seen, against the length of the way (`cogarch.executive.sorties`).

    `goal` is the goal of every life; `aim` gives others while living. "object 8" (MiniGrid's goal), "place 3 -2", or
    "same": a thing of which a like was seen elsewhere, and each of them in turn.

    `size`: of the map, in cells; `reach`: so many moves farther does it go to see e times as much; `curiosity`: seeing
    so many cells is worth as much as trying an action on a thing that was never seen before.

    `executive/togo` is what it expects the way to cost (-1: it knows none), `executive/goal` the cell (x, y) of the
    goal, by felt motion from where the life began (where it is itself, if none is known), `executive/known` how many
    cells it has seen.
    """

    role = "executive"

    def __init__(
        self,
        topics: Mapping[str, Signal],
        *,
        goal: str = "",
        size: Annotated[int, Field(ge=16, le=1024)] = 64,
        reach: PositiveFloat = 8.0,
        curiosity: NonNegativeFloat = 10.0,
    ) -> None:
        super().__init__()
        self.seen, self.actions = topics["env/observation"], topics["env/action"].values
        shape = self.seen.shape
        if len(shape) != 3 or shape[0] != shape[1] or shape[2] != 3 or shape[0] % 2 == 0 or self.seen.unit == "RGB":
            raise ValueError(
                f"executive/surveyor reads views ahead in symbols, uint8 [n, n, 3] of object, colour and state; this "
                f'world is sensed as {self.seen}: take a MiniGrid world with observation = "partial", or another '
                "executive"
            )
        if self.seen.dtype.is_floating_point or topics["env/motion"].unit != "turn, advance":
            raise ValueError(
                f"executive/surveyor is for symbols and a body that turns; this world is sensed as {self.seen} and "
                f"moves by {topics['env/motion'].unit!r}: take a MiniGrid world, or another executive"
            )
        self.n = shape[0]
        if size <= 2 * self.n:
            raise ValueError(f"executive.size = {size} is no map for views of {self.n}: give more than {2 * self.n}")
        self.size, self.reach, self.curiosity = size, reach, curiosity
        self.goal = Goal.parse(goal) if goal else None
        self._aimed(goals.init(1, self.seen), self.goal, torch.ones(1, dtype=torch.bool))  # it can be, or raises

    def steps(self) -> list[Step]:
        reads: dict[str, str | Read] = {
            "observation": Read("env/observation", grad=False),
            "action": "env/action",
            "motion": Read("env/motion", grad=False),
            "bump": "env/bump",
            "start": "env/start",
        }
        writes = {
            "executive/action": Signal(dtype=torch.int64, values=self.actions),
            "executive/mode": Signal(dtype=torch.int64, values=len(MODES), names=MODES),
            "executive/reason": Signal(dtype=torch.int64, values=len(RULES), names=REASONS),
            "executive/goal": Signal((2,), unit="cells"),
            "executive/togo": Signal(fill=-1.0),
            "executive/known": Signal(unit="cells"),
        }
        return [Step("decide", reads, writes, {"u": Noise((2 * self.actions + 1,), "uniform")}, state=True)]

    def init(self, batch: int) -> State:
        """The map, what is known of actions and things, the goals; `barred` and `met` `[B, N, N]`: the symbol that
        refused the way, and whether it was a goal that was reached; `mode` `[B]`."""
        every = torch.ones(batch, dtype=torch.bool)
        return {
            "survey": surveys.init(batch, self.size),
            "known": affordances.init(batch, self.actions),
            "goals": self._aimed(goals.init(batch, self.seen), self.goal, every),
            "barred": torch.zeros(batch, self.size, self.size, dtype=torch.int16),
            "met": torch.zeros(batch, self.size, self.size, dtype=torch.bool),
            "mode": torch.zeros(batch, dtype=torch.int64),
        }

    def aim(self, state: State, goal: Goal | str | None, rows: Tensor | None = None) -> State:
        """The state with this goal in the rows `[B]` (all); None: no goal. ValueError for one that cannot be."""
        rows = torch.ones_like(state["mode"], dtype=torch.bool) if rows is None else rows
        goal = Goal.parse(goal) if isinstance(goal, str) else goal
        met = state["met"] & ~rows[:, None, None]
        return state | {"goals": self._aimed(state["goals"], goal, rows), "met": met}

    def _aimed(self, asked: State, goal: Goal | None, rows: Tensor) -> State:
        return goals.aim(asked, goal, rows, self.seen, 0, GOALS)

    def notice(self, state: State) -> str | None:
        """That what it sees is no view ahead, or that its map is too small."""
        if bool((state["survey"]["map"] // 32 == BODY).any()):
            return 'it sees its own body, so this is no view ahead: make the world with observation = "partial"'
        far = int(state["survey"]["far"].max())
        if far + self.n <= self.size // 2:
            return None
        return f"it has been {far} cells from where its life began, and its map wraps round: raise executive.size"

    # --- the step -----------------------------------------------------------------------------------------------------

    def decide(
        self,
        state: State,
        observation: Tensor,
        action: Tensor,
        motion: Tensor,
        bump: Tensor,
        start: Tensor,
        u: Tensor,
    ) -> tuple[Messages, State]:
        action, bump, start = action[:, 0], bump[:, 0], start[:, 0]
        rows = torch.arange(len(action), device=action.device)
        state = self._sense(state, surveys.symbols(observation), action, motion, bump, start)
        survey, known, carried = state["survey"], state["known"], state["survey"]["carried"]

        frame = surveys.frame(survey)
        cells = frame.cut(survey["map"]).long()
        barred = (frame.cut(state["barred"]) == cells) & (cells != UNSEEN)
        target, price, enters = sorties.edges(known, carried, cells, barred)
        sought = self._sought(state, frame, cells)
        arrived = sought[:, None] & enters[:, None] | sorties.facing(sought & ~enters)
        goal = arrived.flatten(1)
        asked, reached = state["goals"]["by"] > 0, goal[rows, frame.here]
        if bool(reached.any()):
            state, goal = self._arrive(state, reached), goal & ~reached[:, None]

        number = torch.zeros(len(rows), surveys.KINDS, device=u.device)
        number = number.scatter_add(1, surveys.kinds(cells).flatten(1), torch.ones_like(cells.flatten(1)).float())
        curious = affordances.curious(known, carried, number)
        togo, toward = torch.full_like(u[:, 0], torch.inf), torch.zeros_like(action)
        way = {"target": target, "price": price, "here": frame.here, "u": u}
        if bool((some := goal.any(-1)).any()):
            togo[some], toward[some] = sorties.best(**_rows(way, some), goal=goal[some])
        seeks = asked & togo.isfinite()
        if bool((some := ~seeks).any()):
            looks = {"cells": cells, "looked": frame.cut(survey["looked"]), "curious": curious}
            leave = sorties.prospects(
                _rows(known, some), **_rows(looks, some), n=self.n, reach=self.reach, curiosity=self.curiosity
            )
            togo[some], toward[some] = sorties.best(**_rows(way, some), leave=leave)

        tries = (toward == self.actions) & togo.isfinite() & ~seeks
        applies = {
            "the goal is reached": reached,
            "the way was refused": bump & (state["mode"] != MODES.index("explore")) & seeks,
            "the goal is known": seeks,
            "no way to the goal is known": asked & goal.any(-1),
            "it tries what an action does": tries,
            "the goal is not known": asked,
            "nothing is left to explore": togo.isinf(),
            "there is more to explore": ~start | start,
        }
        reason = torch.stack([applies[rule.reason] for rule in RULES]).int().argmax(0)
        mode = torch.tensor([MODES.index(rule.mode) for rule in RULES], device=reason.device)[reason]
        said = {
            "executive/action": self._act(state, toward, tries, togo.isinf(), curious, u[:, -self.actions :])[:, None],
            "executive/mode": mode[:, None],
            "executive/reason": reason[:, None],
            "executive/goal": self._nearest(survey, frame, sought),
            "executive/togo": torch.where(togo.isfinite(), togo, -1.0)[:, None],
            "executive/known": (survey["map"] != UNSEEN).sum((1, 2)).float()[:, None],
        }
        return said, state | {"mode": mode}

    # --- small parts --------------------------------------------------------------------------------------------------

    def _sense(self, state: State, view: Tensor, action: Tensor, motion: Tensor, bump: Tensor, start: Tensor) -> State:
        """What came of the last action, and what is seen now."""
        was, rows = state["survey"], torch.arange(len(action), device=action.device)
        before = affordances.Thing(surveys.ahead(was, was["map"]).long(), was["carried"])
        survey = surveys.look(surveys.move(was, motion), view)
        after = affordances.Thing(view[:, self.n // 2, self.n - 2], survey["carried"])
        known = affordances.try_(state["known"], action, motion, bump, before, after)
        known = affordances.stand(affordances.see(known, view), survey["carried"], start)
        u, v = torch.tensor(surveys.AHEAD, device=rows.device)[survey["heading"]].unbind(-1)
        cell = (rows, (survey["x"] + u) % self.size, (survey["y"] + v) % self.size)
        refused = torch.where(bump & (action >= 0), after.ahead.short(), state["barred"][cell])
        return state | {"survey": survey, "known": known, "barred": state["barred"].index_put(cell, refused)}

    def _sought(self, state: State, frame: Frame, cells: Tensor) -> Tensor:
        """Which cells `[B, M, M]` are the goal, as far as was seen."""
        asked = state["goals"]
        kind = [torch.full_like(asked["by"], goals.BY[name]) for name in GOALS]
        by = {name: (asked["by"] == k)[:, None, None] for name, k in zip(GOALS, kind, strict=True)}
        place = asked["place"].round().long()
        at = (frame.x == place[:, :1] % self.size)[:, :, None] & (frame.y == place[:, 1:] % self.size)[:, None]
        # things: what one can see through, and has not walked on
        known, of = state["known"], surveys.kinds(cells).flatten(1)
        thing = ~known["opaque"] & (known["passed"] == 0)
        number = torch.zeros(len(cells), surveys.SYMBOLS, dtype=torch.int64, device=cells.device)
        number = number.scatter_add(1, cells.flatten(1), torch.ones_like(of)).gather(1, cells.flatten(1))
        same = (thing.gather(1, of) & (number > 1)).view_as(cells) & ~frame.cut(state["met"])
        found: Tensor = (cells != UNSEEN) & (
            by["object"] & (cells // 32 == asked["number"][:, None, None]) | by["place"] & at | by["same"] & same
        )
        return found

    def _arrive(self, state: State, reached: Tensor) -> State:
        """The goal is reached where `reached` `[B]`; of things that are alike the others are left."""
        survey, rows = state["survey"], torch.arange(len(reached), device=reached.device)
        same = reached & (state["goals"]["by"] == goals.BY["same"])
        u, v = torch.tensor(surveys.AHEAD, device=rows.device)[survey["heading"]].unbind(-1)
        met = state["met"]
        for x, y in ((survey["x"], survey["y"]), (survey["x"] + u, survey["y"] + v)):
            cell = (rows, x % self.size, y % self.size)
            met = met.index_put(cell, met[cell] | same)
        return self.aim(state, None, reached & ~same) | {"met": met}

    def _act(self, state: State, toward: Tensor, tries: Tensor, lost: Tensor, curious: Tensor, u: Tensor) -> Tensor:
        """The action `[B]` that begins the way, or what is first to be done to the thing ahead; one never tried here,
        where it `tries`; one that leaves the body in its place, where it knows no way (`lost`)."""
        survey, known = state["survey"], state["known"]
        rows, carried = torch.arange(len(toward), device=toward.device), survey["carried"]
        kind = surveys.kinds(surveys.ahead(survey, survey["map"]).long())
        _, tool = affordances.entry(known, carried)
        first, move = tool[rows, kind], toward.clamp(max=self.actions - 1)
        move = torch.where((known["advance"][rows, move] != 0) & (first >= 0), first, move)
        unfelt, chance = ~known["felt"], affordances.chance(known)[rows, kind]
        first_felt = unfelt.any(-1, keepdim=True) & (chance > 0)[:, None]
        worth = torch.where(first_felt, unfelt.float(), curious[rows, kind])
        trial, idle = (worth + sorties.TIES * u).argmax(-1), (u + 2 * unfelt + (known["turn"] != 0)).argmax(-1)
        return torch.where(lost, idle, torch.where(tries, trial, move))

    def _nearest(self, survey: State, frame: Frame, sought: Tensor) -> Tensor:
        """The cell (x, y) `[B, 2]` that is the goal, the nearest of several."""
        half = self.size // 2
        own = torch.stack([survey["x"], survey["y"]], -1)
        away = [(at - survey[name][:, None] + half) % self.size - half for at, name in ((frame.x, "x"), (frame.y, "y"))]
        dx, dy = away[0][:, :, None], away[1][:, None]
        far = torch.where(sought, dx.abs() + dy.abs(), 4 * self.size).flatten(1)
        cell, m = far.argmin(1), sought.shape[-1]
        step = torch.stack([away[0].gather(1, (cell // m)[:, None]), away[1].gather(1, (cell % m)[:, None])], -1)[:, 0]
        return (own + torch.where(sought.flatten(1).any(-1, keepdim=True), step, 0)).float()


def _rows(state: State, rows: Tensor) -> State:
    """The rows `[B]` bool of each tensor."""
    return {name: x[rows] for name, x in state.items()}
