"""The configurator: what the agent is about (explore, exploit, replan, rest), why, and what it does next."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from cogarch.bus import Mind
from cogarch.executive import atlas as atlases
from cogarch.executive import control, costs, foresight, goals, recognition, routes
from cogarch.executive import habit as habits
from cogarch.executive.goals import Goal
from cogarch.executive.modes import MODES, REASONS, RULES, first
from cogarch.executive.search import DRAWS, Find, Search, finder
from cogarch.module import Messages, Module, Noise, Read, Share, Signal, State, Step

__all__ = ["MODES", "REASONS", "RULES", "Configurator"]


class Configurator(Module):
    """Explores what it does not know, goes to its goal by the best way it can think of, and says why.

    It keeps an atlas of the places that it remembers (`cogarch.executive.atlas`; a place is `hc/slot`, or where no
    memory tells one a code that came again) and of where each move led from them. At every tick the first of `RULES`
    that applies sets `executive/mode` and is its reason, `executive/reason`. In every mode it plans by value iteration
    over the atlas (Bellman 1957): to the nearest move never made, or to the goal. Moves never made join places, too,
    where they can be foreseen (`cogarch.executive.foresight`): the structural code is moved on, and the atlas asked
    whether it knows the place; or the latent is imagined by the world model. `sure` (a cosine) and `unlike` (usual
    errors of prediction) are how like the place's code must be; `infer = false` leaves only moves made before,
    `walked = false` plans ways to goals by what is foreseen alone. A move that was refused is remembered and not
    inferred again, from either side; how far inferred moves are to be trusted is learned from those tried. What moves
    cost is composed of terms (`cogarch.executive.costs`), each a topic, by weights for each mode (`explore`, `exploit`:
    changes to `costs.WEIGHTS`).

    With `recognise` > 0, so many nats of evidence, places are one that all that was sensed on the way says are one
    (`cogarch.executive.recognition`): for worlds that close on themselves, and whose places differ in what is sensed.

    `search` is how ways to goals are found: by `value_iteration`, once for a goal; or looking ahead from where it is,
    at every step, by `mcts` (Monte-Carlo tree search), `cem` (the cross-entropy method, on sequences of actions), or
    `vector`, straight on by the difference of two codes' phases (`cogarch.executive.search`).

    With `habit` it learns, `lessons` a tick of rest, what to do where to come where, and does so where its uncertainty
    is below `doubt`; else it searches (`cogarch.executive.control`; `executive/control` says which).

    `goal` is the goal of every life ("object 7", see `cogarch.executive.goals.Goal`); `aim` gives others while living.
    A goal that is not known, or to which no way is known, is said at once (`executive/reason`), and the agent explores.
    With `wander` it gives itself one when nothing is left to explore and it has rested `rest` ticks: the place that it
    has not seen for longest. `surprising`: with `world/surprise` above this it plans anew.

    `executive/goal` is the code of the place it goes to (NaN: none), `executive/togo` what it expects the way to cost
    (NaN: no way), `executive/inferred` whether the move it now makes was never made before and is trusted to lead on.

    Places are known by the topic `code` (default: "mec/g" where it is written, else "world/z"). Where no memory tells
    which place this is, so many `places` are kept, and a code is the same but for `same` of its squared length.
    """

    role = "executive"

    def __init__(
        self,
        topics: Mapping[str, Signal],
        *,
        goal: str = "",
        infer: bool = True,
        walked: bool = True,
        search: Search = "value_iteration",
        habit: bool = False,
        doubt: Share = 0.15,
        lessons: PositiveInt = 5,
        sure: Share = 0.9,
        unlike: PositiveFloat = 5.0,
        recognise: NonNegativeFloat = 0.0,
        places: PositiveInt = 1024,
        same: NonNegativeFloat = 1e-4,
        surprising: NonNegativeFloat = 0.0,
        wander: bool = False,
        rest: NonNegativeInt = 20,
        explore: dict[str, float] | None = None,
        exploit: dict[str, float] | None = None,
        code: Literal["mec/g", "world/z"] | None = None,
    ) -> None:
        super().__init__()
        self.code = code or ("mec/g" if "mec/g" in topics else "world/z")
        if self.code not in topics:
            raise ValueError(
                f"executive/configurator needs a code of places, and {self.code!r} is not written: give the agent a "
                "mec or a world model"
            )
        self.n, self.actions = topics[self.code].shape[0], topics["env/action"].values
        self.seen, self.unit = topics["env/observation"], topics["env/motion"].unit
        self.by_slot = {"hc/slot", "hc/stored"} <= topics.keys()
        self.places = topics["hc/slot"].values if self.by_slot else places
        self.infer, self.sure, self.unlike, self.same = infer, sure, unlike, same
        self.recognise, self.walked, self.search = recognise, walked, search
        if not (infer or walked):
            raise ValueError("executive.infer and executive.walked are both false: there is nothing to plan with")
        if recognise and not infer:
            raise ValueError("executive.recognise goes by what is foreseen: set executive.infer = true, or leave it 0")
        self.surprising, self.wander, self.rest = surprising, wander, rest
        self.told = {term for term, topic in _TOLD.items() if topic in topics}
        if surprising and "surprise" not in self.told:
            raise ValueError("executive.surprising needs world/surprise: give the agent a world model, or leave it 0")
        self.habit, self.doubt, self.lessons = habit, doubt, lessons
        for name, x in (habits.draw(self.n, self.actions) if habit else {}).items():
            self.register_buffer(f"habit_{name}", x, persistent=False)  # of the seed, not learned by a training
        self.goal = Goal.parse(goal) if goal else None
        blank = goals.init(1, self.seen)
        goals.aim(blank, self.goal, torch.ones(1, dtype=torch.bool), self.seen, self.places)  # it can be, or raises
        self.explore: Tensor
        self.exploit: Tensor
        for mode, changes in (("explore", explore), ("exploit", exploit)):
            self.register_buffer(mode, costs.weights(mode, changes or {}), persistent=False)

    def steps(self) -> list[Step]:
        reads: dict[str, str | Read] = {
            "code": Read(self.code, grad=False),
            "observation": Read("env/observation", grad=False),
            "action": "env/action",
            "motion": Read("env/motion", grad=False),
            "bump": "env/bump",
            "start": "env/start",
            "reward": Read("env/reward", grad=False),
        }
        if self.by_slot:
            reads |= {"slot": "hc/slot", "stored": "hc/stored"}
        reads |= {term: Read(_TOLD[term], grad=False, shape=(1,)) for term in sorted(self.told)}
        writes = {
            "executive/action": Signal(dtype=torch.int64, values=self.actions),
            "executive/mode": Signal(dtype=torch.int64, values=len(MODES), names=MODES),
            "executive/reason": Signal(dtype=torch.int64, values=len(RULES), names=REASONS),
            "executive/goal": Signal((self.n,), fill=float("nan")),
            "executive/togo": Signal(fill=float("nan")),
            "executive/inferred": Signal(dtype=torch.bool),
            "executive/control": Signal(dtype=torch.int64, values=2, names=control.CONTROLS),
            "executive/cost": Signal((len(costs.TERMS),)),
            **{f"executive/{term}": Signal() for term in costs.TERMS},
        }
        noise = {"u": Noise((self.actions,), "uniform")}
        if self.search == "cem":
            noise["draws"] = Noise(DRAWS, "uniform")
        if self.habit:
            noise["lessons"] = Noise((self.lessons, control.GOALS + 2 * control.EXAMPLES), "uniform")
        return [Step("decide", reads, writes, noise, state=True, imagines=True)]

    def init(self, batch: int) -> State:
        """The atlas, the goals, the mode and the routes, and what was expected of the last move."""
        every, none = torch.ones(batch, dtype=torch.bool), torch.zeros(batch, dtype=torch.int64)
        return {
            "atlas": atlases.init(batch, self.places, self.actions, self.n, self.seen, len(costs.TERMS)),
            "goals": goals.aim(goals.init(batch, self.seen), self.goal, every, self.seen, self.places),
            "foreseen": foresight.init(batch, self.places, self.actions, self.n if self.infer else 0),
            "recognition": recognition.init(batch, self.places if self.recognise else 1),
            "plan": routes.init(batch, self.places),
            "control": control.init(batch, self._begun_habit()) if self.habit else {},
            "mode": none,
            "rested": none.clone(),
            "wanders": ~every,  # it gave itself its goal
            "expects": torch.full((batch,), _ANEW),  # the place that the last move should lead to
            "guessed": torch.full((batch,), -1),  # it was inferred, on these grounds
            "sought": none.clone(),  # how many places met the goal when the routes were planned
            "tried": torch.zeros(batch, len(costs.PRIOR), 2),  # inferred moves found open, and refused
        }

    def aim(self, state: State, goal: Goal | str | None, rows: Tensor | None = None) -> State:
        """The state with this goal in the rows `[B]` (all); None: no goal. ValueError for one that cannot be."""
        rows = torch.ones_like(state["mode"], dtype=torch.bool) if rows is None else rows
        goal = Goal.parse(goal) if isinstance(goal, str) else goal
        aimed = goals.aim(state["goals"], goal, rows, self.seen, self.places)
        return state | {
            "goals": self._as_recognised(aimed, state["recognition"]),
            "expects": torch.where(rows, _ANEW, state["expects"]),
            "wanders": state["wanders"] & ~rows,
            "control": self._given_a_goal(state, rows),
        }

    # --- the step -----------------------------------------------------------------------------------------------------

    def decide(
        self,
        state: State,
        *,
        code: Tensor,
        observation: Tensor,
        action: Tensor,
        motion: Tensor,
        bump: Tensor,
        start: Tensor,
        reward: Tensor,
        u: Tensor,
        mind: Mind,
        slot: Tensor | None = None,
        stored: Tensor | None = None,
        draws: Tensor | None = None,
        lessons: Tensor | None = None,
        **told: Tensor,
    ) -> tuple[Messages, State]:
        """One tick; what is read `[B, ...]` is of the place that `action` led to."""
        action, bump, start = action[:, 0], bump[:, 0], start[:, 0]
        move = {"action": action, "bump": bump, "start": start}
        moves = state["atlas"]["moves"].clone()
        atlas = atlases.feel(state["atlas"], action, bump, motion, self.unit == "turn, advance")
        if slot is None or stored is None:
            place, new = atlases.snap(atlas, code, self.same)
        else:
            place, new = slot[:, 0], stored[:, 0]
        if self.recognise:
            known, atlas, foreseen, place, new, code = recognition.recognise(
                state["recognition"], atlas, state["foreseen"], code, place, new, observation, self.recognise, **move
            )
            aims = self._as_recognised(state["goals"], known)
            state = state | {"recognition": known, "foreseen": foreseen, "goals": aims}
        rows = torch.arange(len(place), device=place.device)
        new = new | ~atlas["known"][rows, place]
        felt = costs.feel(atlas, place, new, action, bump, told)
        last = atlas["last"][rows, place]
        atlas = atlases.visit(atlas, place, new, code, observation, **move, reward=reward[:, 0], felt=felt)
        state = state | {"atlas": atlas, "tried": costs.learned(state["tried"], state["guessed"], bump)}

        n = atlases.used(atlas)
        part = foresight.imaginer(mind, self.code)
        if self.infer and part is not None:
            news = (atlas["moves"] != moves).any(-1)
            alike = self.sure if self.code == "mec/g" else -self.unlike
            state = state | {"foreseen": foresight.look(state["foreseen"], atlas, part, place, news, n, alike)}
        meets = goals.meets(state["goals"], atlas, n)
        reached = meets[rows, place]
        if bool(reached.any()):
            state = self.aim(state, None, reached)
            meets = meets & ~reached[:, None]
        asked = state["goals"]["by"] > 0
        off = (state["expects"] >= 0) & (state["expects"] != place) & ~start
        surprised = (told["surprise"][:, 0] > self.surprising) & ~start if self.surprising else reached & False
        goal = goals.code(atlas, meets, asked & meets.any(-1))
        sure = torch.zeros_like(bump)
        if self.habit:
            own, by_habit, cost, sure = control.act(state["control"], atlas, code, goal, last, bump, self.doubt)
            state = state | {"control": own}
        stale = (state["expects"] != place) | (meets.sum(-1) != state["sought"]) | surprised
        if self.search != "value_iteration":  # what looks ahead from here alone is asked again at every step
            stale = stale | (state["plan"]["toward"][rows, place] < 0) | state["plan"]["seeks"]
        stale = stale & ~sure
        if bool(stale.any()):
            state = self._plan(state, stale, meets, u, functools.partial(finder, self.search, part, draws, action))
        plan = state["plan"]
        toward, togo, untried = (plan[name][rows, place] for name in ("toward", "togo", "untried"))
        seeks = asked & (plan["seeks"] | sure)
        if bool((lost := state["wanders"] & ~seeks).any()):
            state = self.aim(state, None, lost)  # what it gave itself it gives up
            asked = asked & ~lost
        was_going = seeks & (state["mode"] != MODES.index("explore"))
        mode, reason = first(
            {
                "the goal is reached": reached,
                "the way was refused": was_going & off & bump,
                "the way led elsewhere": was_going & off,
                "it was surprising": was_going & surprised,
                "the goal is known": seeks,
                "no way to the goal is known": asked & meets.any(-1),
                "the goal is not known": asked,
                "nothing is left to explore": togo.isinf(),
            }
        )

        action = torch.where(toward >= 0, toward, routes.waits(atlas, place, u))
        if self.habit:
            action, togo = torch.where(sure, by_habit, action), torch.where(sure, cost, togo)
        leads = plan["leads"][rows, place]
        state = self._rest(state, mode, lessons) | {
            "mode": mode,
            # what leads out of what is known is planned anew when it was made
            "expects": torch.where((toward >= 0) & (seeks | ~untried) & ~sure, leads, _ANEW),
            "guessed": torch.where(untried & (leads >= 0) & ~sure, plan["beside"][rows, place], -1),
        }
        weight = torch.where((mode == MODES.index("explore"))[:, None], self.explore, self.exploit)
        said = {
            "executive/action": action[:, None],
            "executive/mode": mode[:, None],
            "executive/reason": reason[:, None],
            "executive/goal": torch.where(seeks[:, None], goal, torch.nan),
            "executive/togo": torch.where(seeks, togo, torch.nan)[:, None],
            "executive/inferred": (untried & seeks & ~sure)[:, None],
            "executive/control": sure.long()[:, None],
            "executive/cost": felt * weight,
            **{f"executive/{term}": felt[:, i : i + 1] for i, term in enumerate(costs.TERMS)},
        }
        return said, state

    # --- small parts --------------------------------------------------------------------------------------------------

    def _plan(self, state: State, stale: Tensor, meets: Tensor, u: Tensor, search: Callable[..., Find]) -> State:
        """Routes anew where `stale` `[B]`."""
        n = meets.shape[1]
        atlas = state["atlas"]
        part = {name: x[:, :n][stale] if name in _PLACED else x[stale] for name, x in atlas.items()}
        foreseen = self._foreseen(state, part, stale)
        made = routes.route(
            part,
            foreseen,
            meets[stale],
            state["tried"][stale],
            u[stale],
            explore=self.explore,
            exploit=self.exploit,
            by_heart=self.walked,
            find=search(part, stale, u, self.unit == "turn, advance"),
        )
        plan = {name: x.clone() for name, x in state["plan"].items()}
        for name, x in made.items():
            (plan[name] if x.dim() < 2 else plan[name][:, :n])[stale] = x
        return state | {"plan": plan, "sought": torch.where(stale, meets.sum(-1), state["sought"])}

    def _foreseen(self, state: State, atlas: State, rows: Tensor | slice = slice(None)) -> Tensor:
        """Where moves should lead `[b, n, A]` that were not made, in the rows and among the n places of the atlas."""
        foreseen: Tensor = state["foreseen"]["place"][:, : atlas["known"].shape[1]][rows]
        if self.unit != "none":  # an action that never moved the body is not known to lead anywhere
            foreseen = torch.where(atlas["moves"][:, None], foreseen, atlases.NOWHERE)
        if self.recognise:
            rounds, egocentric = state["recognition"]["rounds"][rows], self.unit == "turn, advance"
            foreseen = recognition.round_the_world(rounds, atlas, foreseen, egocentric)
        return foreseen

    def _begun_habit(self) -> dict[str, Tensor]:
        return {name.removeprefix("habit_"): x for name, x in self.named_buffers() if name.startswith("habit_")}

    def _given_a_goal(self, state: State, rows: Tensor) -> State:
        return control.given_a_goal(state["control"], state["atlas"]["clock"], rows) if self.habit else {}

    def _as_recognised(self, aims: State, known: State) -> State:
        """The goals, those that are places as they are known now."""
        if not self.recognise:
            return aims
        number = known["same"].gather(1, aims["number"].clamp(max=self.places - 1)[:, None])[:, 0]
        return aims | {"number": torch.where(aims["by"] == goals.BY["node"], number, aims["number"])}

    def _rest(self, state: State, mode: Tensor, lessons: Tensor | None) -> State:
        """Rests, with lessons for the habit; and with `wander`, who has rested goes where it can and has not been for
        longest."""
        resting = mode == MODES.index("rest")
        rested = torch.where(resting, state["rested"] + 1, 0)
        if lessons is not None and bool(resting.any()):
            atlas = state["atlas"]
            n = atlases.used(atlas)
            foreseen = self._foreseen(state, {name: x[:, :n] if name in _PLACED else x for name, x in atlas.items()})
            target, _, _, price = routes.moves(atlas, foreseen, state["tried"], self.exploit, self.walked)
            state = state | {"control": control.rest(state["control"], atlas, target, price, lessons, resting)}
        up = resting & (rested > self.rest)
        if self.wander and bool(up.any()):
            atlas = state["atlas"]
            there = atlases.reachable(atlas, atlases.used(atlas))
            oldest = torch.where(there, atlas["last"][:, : there.shape[1]], _LATE).argmin(-1)
            own = state["goals"] | {
                "by": torch.where(up, goals.BY["node"], state["goals"]["by"]),
                "number": torch.where(up, oldest, state["goals"]["number"]),
            }
            state = state | {"goals": own, "wanders": state["wanders"] | up, "control": self._given_a_goal(state, up)}
        return state | {"rested": rested}


_PLACED = frozenset(("target", "refused", "taken", "known", "code", "seen", "at", "felt", "paid", "last"))
"""What the atlas holds by place."""
_ANEW = -2  # no place: the next tick plans anew
_LATE = 1 << 62
_TOLD = {"novelty": "hc/familiarity", "surprise": "world/surprise", "disagreement": "world/disagreement"}
