"""The configurator: what it is about in situations of all kinds, and why it says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from buses import assert_equal, env, live, square_walk
from torch import Tensor

import agents
import envs
from cogarch import Agent, Bus, Signal
from cogarch.check import check_module, example_contracts
from cogarch.executive import atlas as atlases
from cogarch.executive.configurator import MODES, REASONS, Configurator
from cogarch.executive.goals import Goal
from cogarch.executive.modes import RULES
from cogarch.module import SCORING_ONLY, Messages
from cogarch.run import contracts, living
from envs import oracle

MODE_OF = {rule.reason: rule.mode for rule in RULES}


# --- the conformance suite --------------------------------------------------------------------------------------------

TURNS, GOES, NONE = "turn, advance", "dx, dy", "none"
SETTINGS: list[tuple[str, str, dict[str, Any]]] = [
    (GOES, "", {}),
    (NONE, "", {"infer": False, "explore": {"surprise": -0.5}, "surprising": 0.5}),
    (TURNS, "", {"recognise": 3.0, "wander": True, "rest": 1, "goal": "object 7"}),
    (GOES, "hc", {"places": 5, "recognise": 3.0, "goal": "node 4"}),
    (TURNS, "hc", {"places": 8, "goal": "place 0 1"}),
    (GOES, "hc mec", {"places": 8}),
    (TURNS, "", {"code": "world/z"}),
]


@pytest.mark.parametrize(("motion", "without", "given"), SETTINGS, ids=str)
def test_it_passes_the_conformance_suite(motion: str, without: str, given: dict[str, Any]) -> None:
    topics = {t: s for t, s in example_contracts(motion).items() if t.partition("/")[0] not in without.split()}
    made = partial(Configurator, **given)
    made.role = "executive"  # type: ignore[attr-defined]
    verdicts = check_module(made, topics)
    assert [(v.clause, v.text) for v in verdicts if v.passed is not True and v.text != "no GPU here"] == []


# --- agents in worlds -------------------------------------------------------------------------------------------------


class Life:
    """Agents in a world, tick by tick: what they said last, and what they have said."""

    def __init__(
        self,
        env_id: str,
        options: Mapping[str, Any] | None = None,
        *,
        batch: int = 1,
        agent: Agent | None = None,
        seed: int = 0,
        **executive: Any,
    ) -> None:
        agent = agent or agents.load("navigator").change("hc", capacity=256)
        self.world = envs.make(env_id, batch, **(options or {}))
        self.bus = agent.change("executive", **executive).build(contracts(self.world), batch=batch)
        self.lives: Iterator[Messages] = living(
            self.world, self.bus, lambda t: {row: seed + row for row in range(batch)} if t == 0 else {}
        )
        self.said: list[Messages] = []

    def live(self, ticks: int) -> list[str]:
        """The reasons of the first agent."""
        with torch.no_grad():
            self.said += [next(self.lives) for _ in range(ticks)]
        return [REASONS[int(said["executive/reason"][0])] for said in self.said[-ticks:]]

    def until(self, reason: str, most: int = 800) -> list[str]:
        """The reasons up to that one, or AssertionError."""
        reasons: list[str] = []
        while not reasons or reasons[-1] != reason:
            assert len(reasons) < most, f"{reason!r} was never said: {set(reasons)}"
            reasons += self.live(1)
        return reasons

    def aim(self, goal: Goal | str | None, rows: Tensor | None = None) -> None:
        executive: Any = self.bus.part("executive")
        self.bus.state["executive"] = executive.aim(self.bus.state["executive"], goal, rows)

    @property
    def atlas(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.bus.state["executive"]["atlas"]
        return found

    def node(self, row: int = 0) -> int:
        return int(self.said[-1]["env/node"][row])

    def place_of(self, node: int, row: int = 0) -> int:
        """The slot of the last visit."""
        return next(int(s["hc/slot"][row]) for s in reversed(self.said) if int(s["env/node"][row]) == node)


def mode(said: Messages, row: int = 0) -> str:
    return MODES[int(said["executive/mode"][row])]


def test_every_mode_is_that_of_its_reason() -> None:
    life = Life("cogarch/Square-v0", {"width": 3}, batch=2, rest=3, wander=True)
    life.live(110)
    heard = set()
    for said in life.said:
        for row in range(2):
            reason = REASONS[int(said["executive/reason"][row])]
            assert mode(said, row) == MODE_OF[reason]
            heard.add(reason)
            going = reason in ("the goal is known", "the way was refused", "the way led elsewhere")
            assert bool(said["executive/goal"][row].isfinite().all()) == going
            assert bool(said["executive/togo"][row].isfinite()) == going
    assert heard == {
        "there is more to explore",
        "nothing is left to explore",
        "the goal is known",
        "the goal is reached",
    }


def test_it_explores_all_moves_then_rests_then_wanders() -> None:
    life = Life("cogarch/Square-v0", {"width": 4}, rest=5, wander=True)
    first = life.until("nothing is left to explore")
    table = life.world.table(0)
    atlas = life.atlas
    assert set(first[:-1]) == {"there is more to explore"}
    assert int(atlas["known"].sum()) == len(table)
    made = (atlas["taken"][atlas["known"]] > 0).sum()
    surely = int((table.target >= 0).sum())
    assert int(made) >= surely, "walls may be known without a bump at each"
    where, oldest = life.node(), int(torch.where(atlas["known"], atlas["last"], 1 << 40).argmin(-1))
    resting = life.until("the goal is known")
    assert resting == ["nothing is left to explore"] * 5 + ["the goal is known"]
    assert life.node() == where, "who rests stays where it is"
    goal = life.said[-1]["executive/goal"]
    assert torch.equal(goal[0], atlas["code"][0, oldest])
    life.until("the goal is reached")
    assert int(life.atlas["here"]) == oldest


def test_without_wandering_it_rests_for_good() -> None:
    life = Life("cogarch/Square-v0", {"width": 3}, wander=False, rest=0)
    life.until("nothing is left to explore")
    assert set(life.live(40)) == {"nothing is left to explore"}


def test_who_wanders_gives_up_a_goal_of_its_own_that_no_way_leads_to() -> None:
    """On a ring of laps that look alike, what paid once is not found where it was; and what no way leads to is never
    chosen."""
    life = Life("cogarch/Loop-v0", wander=True, rest=2)
    reasons = life.live(200)
    assert "no way to the goal is known" not in reasons
    assert reasons[-60:].count("the goal is reached") > 3, "it goes on wandering"


def test_a_goal_that_was_given_is_not_given_up_for_wandering() -> None:
    life = Life("cogarch/Rooms-v0", {"columns": 2, "rows": 1, "size": 2}, wander=True, rest=2)
    life.until("nothing is left to explore")
    far = next(n for n in range(8) if (n % 4 < 2) != (life.node() % 4 < 2))
    life.world.close_door(0, 0)  # type: ignore[attr-defined]
    life.aim(Goal("node", life.place_of(far)))
    life.until("no way to the goal is known")
    assert set(life.live(30)) == {"no way to the goal is known"}
    life.aim(None)
    assert "the goal is reached" in life.live(40), "it wanders in what is left"


# --- errands ----------------------------------------------------------------------------------------------------------


def explored(**more: Any) -> Life:
    life = Life("cogarch/Rooms-v0", {"columns": 2, "rows": 2, "size": 3}, wander=False, **more)
    life.until("nothing is left to explore")
    return life


def test_it_goes_the_shortest_way_and_says_when_it_is_there() -> None:
    life = explored()
    table = life.world.table(0)
    for node in (0, 35, 5, 30):
        steps = int(oracle.distances(table, [life.node()])[0, node])
        if not steps:
            continue
        life.aim(Goal("node", life.place_of(node)))
        reasons = life.until("the goal is reached", most=steps + 2)
        assert life.node() == node
        going = reasons.count("the goal is known")
        assert set(reasons) <= {"nothing is left to explore", "the goal is known", "the goal is reached"}
        assert abs(going - steps) <= 1, "the move that it had chosen before it was told may lead nearer, or away"
        assert len(reasons) <= steps + 2
        togo = life.said[-2]["executive/togo"]
        assert float(togo) == pytest.approx(1.0)


def test_a_closed_door_is_bumped_into_and_gone_round() -> None:
    """From the middle of one room to the middle of the next: refused, planned anew, round by the other doors."""
    life = explored()
    table = life.world.table(0)
    doors = life.world.doors(0)  # type: ignore[attr-defined]
    west, east = doors[0].tolist()
    life.aim(Goal("node", life.place_of(int(west))))
    life.until("the goal is reached")
    life.world.close_door(0, 0)  # type: ignore[attr-defined]
    life.aim(Goal("node", life.place_of(int(east))))
    assert int(oracle.distances(table, [west])[0, east]) == 1
    reasons = life.until("the way was refused", most=3)
    assert reasons[0] in ("nothing is left to explore", "the goal is known") and life.node() == west
    assert mode(life.said[-1]) == "replan"
    round_ = int(oracle.distances(life.world.table(0), [west])[0, east])
    assert round_ > 5
    assert float(life.said[-1]["executive/togo"]) == pytest.approx(round_)
    rest = life.until("the goal is reached")
    assert rest == ["the goal is known"] * (round_ - 1) + ["the goal is reached"]
    assert life.node() == east


def test_no_way_is_said_at_once() -> None:
    life = Life("cogarch/Rooms-v0", {"columns": 2, "rows": 1, "size": 2}, wander=False)
    life.until("nothing is left to explore")
    doors = life.world.doors(0)[0].tolist()  # type: ignore[attr-defined]
    mine, other = sorted(doors, key=lambda n: (n % 4 < 2) != (life.node() % 4 < 2))
    life.aim(Goal("node", life.place_of(mine)))
    life.until("the goal is reached")
    life.world.close_door(0, 0)  # type: ignore[attr-defined]
    life.aim(Goal("node", life.place_of(other)))
    reasons = life.until("no way to the goal is known", most=3)
    assert reasons[-2:] == ["the goal is known", "no way to the goal is known"], "at the tick of the refused move"
    assert mode(life.said[-1]) == "explore"
    assert bool(life.said[-1]["executive/togo"].isnan().all()) and bool(life.said[-1]["executive/goal"].isnan().all())


def test_a_goal_that_is_not_known_is_said_at_once_and_looked_for() -> None:
    life = Life("cogarch/Square-v0", {"width": 4}, wander=False)
    life.live(1)
    objects = set(life.world._objects_at(0).tolist())  # type: ignore[union-attr]
    missing = next(k for k in range(45) if k not in objects)
    life.aim(f"object {missing}")
    reasons = life.live(120)
    assert set(reasons) == {"the goal is not known"} and {mode(s) for s in life.said[1:]} == {"explore"}
    assert int(life.atlas["known"].sum()) == 16, "it explored all"
    there = sorted(objects)[0]
    life.aim(f"object {there}")
    life.until("the goal is reached", most=12)
    assert int(life.said[-1]["env/observation"]) == there


def test_a_goal_is_found_on_the_way() -> None:
    life = Life("cogarch/Square-v0", {"width": 4})
    life.aim("object 44")
    life.live(1)
    objects = life.world._objects_at(0).tolist()  # type: ignore[union-attr]
    far = max(range(16), key=lambda n: abs(n % 4 - life.node() % 4) + abs(n // 4 - life.node() // 4))
    life.aim(Goal("observation", objects[far]))
    reasons = life.until("the goal is reached")
    assert set(reasons[:-1]) <= {"the goal is not known", "the goal is known", "there is more to explore"}
    assert int(life.said[-1]["env/observation"]) == objects[far]
    assert reasons[0] == "the goal is not known"


def test_where_it_already_is() -> None:
    life = Life("cogarch/Square-v0", {"width": 4})
    life.aim(Goal("place", [0.0, 0.0]))
    assert life.live(1) == ["the goal is reached"]
    life.live(9)
    life.aim(Goal("place", [0.0, 0.0]))
    life.until("the goal is reached", most=20)
    assert life.node() == int(life.said[0]["env/node"])


@pytest.mark.parametrize("goal", ["node 3", "place 9 9", "reward", "object 44", "observation 44"])
def test_planning_before_any_experience(goal: str) -> None:
    life = Life("cogarch/Square-v0", {"width": 3})
    life.aim(goal)
    assert life.live(1) == ["the goal is not known"]
    assert mode(life.said[0]) == "explore" and 0 <= int(life.said[0]["executive/action"]) < 4


def test_the_goal_of_every_life() -> None:
    life = Life("cogarch/Square-v0", {"width": 4, "objects": 5}, batch=3, goal="object 2")
    life.live(60)
    reached = torch.stack([s["executive/reason"][:, 0] == REASONS.index("the goal is reached") for s in life.said])
    there = torch.stack([s["env/observation"][:, 0] == 2 for s in life.said])
    assert bool(reached.any(0).all()) and bool((reached <= there).all())
    assert reached.sum(0).tolist() == [1, 1, 1], "once a life"
    life.bus.restart(torch.tensor([False, True, False]))
    assert life.bus.state["executive"]["goals"]["by"].tolist() == [0, 1 + 3, 0]


WAYS = [(1, 0), (0, 1), (-1, 0), (0, -1)]


@pytest.mark.parametrize("infer", [True, False])
def test_a_shortcut_is_inferred_from_where_it_should_lead(infer: bool) -> None:
    """All four ways were gone, and then home by a move that was never made, or by none."""
    world = envs.make("cogarch/Square-v0", 1)
    agent = agents.load("navigator").change("hc", capacity=64).change("executive", infer=infer, recognise=0.0)
    bus = agent.build(contracts(world), batch=1)
    executive: Any = bus.part("executive")
    past, said = (0, 0), Messages()
    for t, at in enumerate([(0, 0), (1, 0), (1, -1), (1, 0), (1, 1), (0, 1)]):
        step = (at[0] - past[0], at[1] - past[1])
        if at == (0, 1):
            bus.state["executive"] = executive.aim(bus.state["executive"], Goal("place", [0.0, 0.0]))
        with torch.no_grad():
            said = bus.tick(
                {
                    "env/observation": torch.tensor([[7 + 5 * at[0] + at[1]]]),
                    "env/action": torch.tensor([[WAYS.index(step) if t else -1]]),
                    "env/motion": torch.tensor([step], dtype=torch.float32),
                    "env/bump": torch.tensor([[False]]),
                    "env/start": torch.tensor([[t == 0]]),
                    "env/reward": torch.zeros(1, 1),
                }
            )
        past = at
    assert REASONS[int(said["executive/reason"])] == ("the goal is known" if infer else "no way to the goal is known")
    assert bool(said["executive/inferred"]) == infer
    if infer:
        assert WAYS[int(said["executive/action"])] == (0, -1)
        assert 1 < float(said["executive/togo"]) < 1.2, "one move, and the chance that it is refused"


def test_an_egocentric_body_turns_and_goes() -> None:
    life = Life("cogarch/Square-v0", {"body": "egocentric", "width": 4}, wander=False)
    life.until("nothing is left to explore")
    table = life.world.table(0)
    where = oracle.places(table)
    for tick in (10, 40):
        goal = int(life.said[tick]["env/node"])
        at = life.said[tick]["env/place"][0] - life.said[0]["env/place"][0]
        turn = -float(life.said[0]["env/heading"][0])  # the axes of the map are those that life began with
        c, s = np.cos(turn), np.sin(turn)
        life.aim(Goal("place", [c * float(at[0]) - s * float(at[1]), s * float(at[0]) + c * float(at[1])]))
        steps = oracle.distances_to(table, np.flatnonzero(where == where[goal])).min(0)[life.node()]
        life.until("the goal is reached", most=int(steps) + 3)
        assert where[life.node()] == where[goal]


# --- more than one ----------------------------------------------------------------------------------------------------


def test_aim_on_some_rows_leaves_the_others_alone() -> None:
    goals = (Goal("node", 3), Goal("place", [1.0, 0.0]), Goal("object", 4))
    lives = []
    for others in (None, goals):
        life = Life("cogarch/Square-v0", {"width": 4}, batch=4)
        life.live(30)
        life.aim(Goal("node", 0), torch.tensor([True, False, False, False]))
        for row, goal in enumerate(others or (), start=1):
            life.aim(goal, torch.arange(4) == row)
        life.live(30)
        lives.append(life)
    alone, among = (life.said[30:] for life in lives)
    for a, b in zip(alone, among, strict=True):
        assert_equal({k: x[:1] for k, x in a.items()}, {k: x[:1] for k, x in b.items()}, rtol=1e-4, atol=1e-4)
    assert any(
        not torch.equal(a["executive/action"][1:], b["executive/action"][1:]) for a, b in zip(alone, among, strict=True)
    )
    assert all(bool((a["executive/goal"][1:].isnan()).all()) for a in alone[:1])


def test_a_whole_agent_ticks_as_it_plays_and_clones_and_comes_back() -> None:
    """With a rotor that is asked for what it foresees, and rows that begin anew."""
    walk, _ = square_walk(60, 2, width=5, again=0.03)
    walk |= {"env/reward": torch.zeros(60, 2, 1)}
    told = env() | {"env/reward": Signal()}
    ticked, played = (agents.load("navigator").change("hc", capacity=64).build(told, batch=2) for _ in range(2))
    with torch.no_grad():
        lived = live(ticked, {k: x[:40] for k, x in walk.items()})
        assert_equal(lived, played.play({k: x[:40].clone() for k, x in walk.items()}), rtol=1e-4, atol=1e-4)
        saved = {name: x.clone() for name, x in ticked.dump().items()}
        twin = ticked.clone()
        live(twin, {k: x[:20] for k, x in walk.items()})
        after = live(ticked, {k: x[40:] for k, x in walk.items()})
        played.load(saved)
        assert_equal(after, live(played, {k: x[40:] for k, x in walk.items()}))


def test_a_row_that_begins_anew_knows_nothing() -> None:
    life = Life("cogarch/Square-v0", {"width": 4}, batch=2)
    life.live(40)
    life.aim("node 0")
    life.bus.restart(torch.tensor([True, False]))
    fresh = life.bus.part("executive").init(2)
    state = life.bus.state["executive"]
    for name in ("mode", "rested", "expects", "guessed", "sought", "tried", "wanders"):
        assert torch.equal(state[name][0], fresh[name][0])
    for part in ("atlas", "foreseen", "plan", "goals", "recognition"):
        for name, x in state[part].items():
            assert torch.equal(x[0], fresh[part][name][0]), f"{part}.{name}"
    assert int(state["atlas"]["known"][1].sum()) > 5


def test_a_memory_that_overflows() -> None:
    """25 places, 10 slots: the map forgets what memory forgets, and the agent goes on."""
    agent = agents.load("navigator").change("hc", capacity=10)
    life = Life("cogarch/Square-v0", {"width": 5}, batch=2, agent=agent)
    for t in range(150):
        life.live(1)
        if t % 15 == 14:
            life.aim(f"node {t // 15}")
        atlas = life.atlas
        assert int(atlas["known"].sum(-1).max()) <= 10
        leads = atlas["target"][atlas["known"]]
        rows = torch.arange(2)[:, None, None].expand_as(atlas["target"])[atlas["known"]]
        assert bool(atlas["known"][rows[leads >= 0], leads[leads >= 0]].all()), "a known place leads to a known one"
        slot = life.said[-1]["hc/slot"][:, 0]
        assert torch.equal(atlas["here"], slot)
    assert int(life.bus.state["hc"]["dropped"].min()) > 0


def test_a_place_that_is_found_to_be_another_is_still_a_goal() -> None:
    """On a torus: it is sent to a place by the name that this had when it was met a second time, as a new one."""
    life = Life("cogarch/Torus-v0", {"width": 4}, agent=agents.load("navigator"), wander=False)
    names: list[int] = []
    for _ in range(150):
        life.live(1)
        names.append(int(life.atlas["here"]))
    known = life.atlas["known"][0]
    tick = next(t for t in range(149, -1, -1) if not known[names[t]])
    life.aim(f"node {names[tick]}")
    life.until("the goal is reached", most=8)
    assert life.node() == int(life.said[tick]["env/node"])


# --- scripted ---------------------------------------------------------------------------------------------------------


class Corridor:
    """Six places in a row, two moves; codes are one-hot, and nobody can be asked where a move would lead."""

    def __init__(self, **executive: Any) -> None:
        topics = {
            "env/observation": Signal(dtype=torch.int64, values=9),
            "env/action": Signal(dtype=torch.int64, values=2),
            "env/motion": Signal((2,), unit="dx, dy"),
            "env/bump": Signal(dtype=torch.bool),
            "env/start": Signal(dtype=torch.bool),
            "env/reward": Signal(),
            "mec/g": Signal((6,)),
            "world/surprise": Signal(),
        }
        self.bus = Bus(topics, {"executive": Configurator(topics, places=8, **executive)})
        self.at, self.action, self.bump = 2, -1, False

    def tick(self, surprise: float = 0.0, reward: float = 0.0, jump: int | None = None) -> tuple[str, str]:
        """Reason and mode; with `jump` it is carried off there."""
        before = self.at
        if self.action >= 0:
            to = self.at + (1, -1)[self.action]
            self.bump = not 0 <= to < 6
            self.at = jump if jump is not None else self.at if self.bump else to
        with torch.no_grad():
            said = self.bus.tick(
                {
                    "env/observation": torch.tensor([[self.at]]),
                    "env/action": torch.tensor([[self.action]]),
                    "env/motion": torch.tensor([[float(self.at - before), 0.0]]),
                    "env/bump": torch.tensor([[self.bump]]),
                    "env/start": torch.tensor([[self.action < 0]]),
                    "env/reward": torch.tensor([[reward]]),
                    "mec/g": torch.eye(6)[self.at : self.at + 1],
                    "world/surprise": torch.tensor([[surprise]]),
                }
            )
        self.action = int(said["executive/action"])
        return REASONS[int(said["executive/reason"])], mode(said)

    def known(self) -> Corridor:
        """Explored, and at its western end."""
        while self.tick()[0] != "nothing is left to explore":
            pass
        self.aim("observation 0")
        while self.tick()[0] != "the goal is reached":
            pass
        return self

    def aim(self, goal: str | None) -> None:
        executive: Any = self.bus.part("executive")
        self.bus.state["executive"] = executive.aim(self.bus.state["executive"], goal)


def test_what_surprises_is_planned_anew() -> None:
    world = Corridor(surprising=2.0).known()
    world.aim("observation 5")
    said = [world.tick(surprise) for surprise in (0.0, 0.0, 2.5, 0.0, 0.0, 9.0)]
    known = ("the goal is known", "exploit")
    assert said[1:5] == [known, ("it was surprising", "replan"), known, known]
    assert said[5][0] == "the goal is reached" or said[5] == ("it was surprising", "replan")


def test_who_is_carried_off_says_that_the_way_led_elsewhere() -> None:
    world = Corridor().known()
    world.aim("observation 5")
    assert world.tick(jump=1)[1] == "exploit" and world.at == 1
    assert world.tick(jump=3) == ("the way led elsewhere", "replan")
    assert world.tick() == ("the goal is known", "exploit")
    assert world.tick()[0] == "the goal is reached"


def test_a_place_that_paid() -> None:
    world = Corridor()
    world.tick()
    world.tick(reward=1.0)
    paid = world.at
    world.known()
    world.aim("reward")
    while world.tick()[0] != "the goal is reached":
        assert world.at != paid
    assert world.at == paid


def test_costs_are_topics_and_their_weights_those_of_the_mode() -> None:
    world = Corridor(explore={"collision": 3.0, "surprise": 0.5})
    probe = {
        t: world.bus.probe(f"executive/{t}") for t in ("cost", "collision", "effort", "surprise", "novelty", "mode")
    }
    for t in range(20):
        world.tick(surprise=float(t))
    data = {t: p.data[:, 0] for t, p in probe.items()}
    assert bool((data["mode"] == MODES.index("explore")).any())
    exploring = data["mode"][:, 0] == MODES.index("explore")
    cost = {"novelty": -0.5, "surprise": 0.5, "effort": 1.0, "collision": 3.0}
    whole = sum(weight * data[term][:, 0] for term, weight in cost.items())
    torch.testing.assert_close(data["cost"].sum(-1)[exploring], whole[exploring])
    assert data["effort"][0].tolist() == [0] and bool((data["effort"][1:] == 1).all())
    assert float(data["collision"].sum()) >= 1 and data["surprise"][:, 0].tolist() == list(range(20))


# --- what it is made of -----------------------------------------------------------------------------------------------


def test_a_planner_never_reads_the_truth() -> None:
    bus = Life("cogarch/Rooms-v0").bus
    read = {data["topic"] for _, _, data in bus.graph().edges(data=True)}
    assert read & set(SCORING_ONLY) == set()
    assert "env/observation" in read and not set(SCORING_ONLY) & set(bus.plan.topics)
    # and what it does is the same whatever the truth is said to be
    lived = []
    for wrong in (0, 1):
        life = Life("cogarch/Square-v0", {"width": 4})
        world, info = life.world, life.world._info

        def lies(info: Any = info, wrong: int = wrong) -> dict[str, Any]:
            told: dict[str, Any] = info()
            return told | {
                "node": told["node"] + wrong,
                "place": told["place"] + wrong,
                "heading": told["heading"] + wrong,
            }

        world._info = lies  # type: ignore[method-assign]
        life.live(40)
        lived.append([int(s["executive/action"]) for s in life.said])
    assert lived[0] == lived[1]


@pytest.mark.parametrize(
    ("given", "without", "said"),
    [
        ({}, ("mec", "world"), "executive/configurator needs a code of places, and 'world/z' is not written: give the"),
        ({"code": "mec/g"}, ("mec",), "'mec/g' is not written"),
        ({"surprising": 1.0}, ("world",), "executive.surprising needs world/surprise: give the agent a world model"),
        ({"recognise": 5.0, "infer": False}, (), "executive.recognise goes by what is foreseen: set executive.infer"),
        ({"goal": "object 99"}, (), "object 99 cannot be: it is a whole number, 0 to 44"),
        ({"goal": "node 32"}, (), "node 32 cannot be: it is a whole number, 0 to 31"),
        ({"goal": "somewhere"}, (), "no goal is a 'somewhere'"),
        ({"exploit": {"effort": 0.0}}, (), "executive.exploit weighs effort by 0.0"),
        ({"explore": {"novel": 1.0}}, (), "did you mean 'novelty'"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_the_mend(given: dict[str, Any], without: tuple[str, ...], said: str) -> None:
    topics = {t: s for t, s in example_contracts().items() if t.partition("/")[0] not in without}
    with pytest.raises(ValueError, match=said):
        Configurator(topics, **given)


@pytest.mark.parametrize(
    ("env_id", "options", "mec", "least"),
    [
        ("cogarch/Square-v0", {}, {}, 40),
        ("cogarch/Hex-v0", {}, {}, 40),
        ("cogarch/Rooms-v0", {}, {}, 40),
        ("cogarch/Square-v0", {"body": "egocentric"}, {}, 60),
        ("cogarch/FamilyTree-v0", {}, {"motion": "learned"}, 3),
        ("MiniGrid-FourRooms-v0", {}, {}, 60),
        ("cogarch/Loop-v0", {}, {}, 8),
    ],
    ids=lambda x: str(x),
)
def test_a_navigator_lives_there(env_id: str, options: dict[str, Any], mec: dict[str, Any], least: int) -> None:
    agent = agents.load("navigator").change("mec", **mec) if mec else agents.load("navigator")
    life = Life(env_id, options, batch=2, agent=agent)
    life.live(110)
    nodes = [{int(s["env/node"][row]) for s in life.said} for row in range(2)]
    assert min(map(len, nodes)) >= min(least, len(life.world.table(0)))
    assert int(life.atlas["known"].sum(-1).min()) >= least
    assert all(bool(s["executive/cost"].isfinite().all()) for s in life.said)
    assert atlases.used(life.atlas) < 1024
