"""Recognition: a world that closes on itself is closed, and no two places are taken as one that are two."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

import agents
import envs
from cogarch import Signal
from cogarch.executive import atlas as atlases
from cogarch.executive import recognition
from cogarch.module import State
from cogarch.run import contracts, living

SEEN = Signal(dtype=torch.int64, values=9)
NO, YES = torch.tensor([False]), torch.tensor([True])


def lived(env: str, ticks: int, seeds: range, options: Mapping[str, Any]) -> tuple[State, list[dict[int, set[int]]]]:
    """A navigator's state, and row by row the true nodes at which it thought that it was at each place, as it knows
    its places at the end."""
    agent = agents.load("navigator")
    world = envs.make(env, len(seeds), **options)
    bus = agent.build(contracts(world), batch=len(seeds))
    past: list[tuple[Tensor, Tensor]] = []
    with torch.no_grad():
        for t, said in enumerate(living(world, bus, lambda t: dict(enumerate(seeds)) if t == 0 else {})):
            past.append((bus.state["executive"]["atlas"]["here"].clone(), said["env/node"][:, 0]))
            if t == ticks - 1:
                break
    state: State = bus.state["executive"]
    same, nodes = state["recognition"]["same"], []
    for row in range(len(seeds)):
        found: dict[int, set[int]] = {}
        for here, node in past:
            found.setdefault(int(same[row, here[row]]), set()).add(int(node[row]))
        nodes.append(found)
    return state, nodes


def test_after_a_round_the_true_place_is_found() -> None:
    """On a torus of 8 x 8, of which path integration knows no end."""
    state, nodes = lived("cogarch/Torus-v0", 600, range(1), {})
    assert all(len(true) == 1 for true in nodes[0].values()), "each place is one node"
    assert len(set().union(*nodes[0].values())) == 64
    closed = int((state["recognition"]["same"][0] != torch.arange(1024)).sum())
    assert closed >= 40, "codes that stand for a place known by another"
    assert len(nodes[0]) < 160
    rounds = state["recognition"]["rounds"][0]
    rounds = rounds[(rounds != 0).any(-1)]
    assert len(rounds) >= 2
    assert bool((rounds.remainder(8.0).round() % 8 == 0).all()), "multiples of the world's width"


@pytest.mark.parametrize(
    ("env", "options"),
    [
        ("cogarch/Square-v0", {"objects": 2}),
        ("cogarch/Rooms-v0", {"objects": 3}),
        ("cogarch/Rooms-v0", {"view": 3}),
        ("cogarch/Hex-v0", {"objects": 2}),
        ("cogarch/Square-v0", {"body": "egocentric", "objects": 3, "width": 5}),
    ],
    ids=str,
)
def test_no_two_places_are_taken_as_one(env: str, options: dict[str, Any]) -> None:
    state, nodes = lived(env, 150, range(2), options)
    for row, found in enumerate(nodes):
        assert all(len(true) == 1 for true in found.values())
        true = set().union(*found.values())
        assert len(true) == len(found) == int(state["atlas"]["known"][row].sum())
        assert len(true) > 40


def test_few_kinds_of_objects_on_a_torus_make_no_false_places() -> None:
    _, nodes = lived("cogarch/Torus-v0", 200, range(2), {"objects": 4, "width": 5})
    for found in nodes:
        assert all(len(true) == 1 for true in found.values())


def test_a_memory_that_drops_places_makes_no_false_ones() -> None:
    """Codes that stood for a dropped place do not stand for what is remembered in its stead."""
    agent = agents.load("navigator").change("hc", capacity=40)
    world = envs.make("cogarch/Torus-v0", 2, width=5)
    bus = agent.build(contracts(world), batch=2)
    is_at: list[dict[int, int]] = [{}, {}]
    with torch.no_grad():
        for t, said in enumerate(living(world, bus, lambda t: {0: 0, 1: 1} if t == 0 else {})):
            state = bus.state["executive"]
            same, known = state["recognition"]["same"], state["atlas"]["known"]
            place, node = state["atlas"]["here"].tolist(), said["env/node"][:, 0].tolist()
            for row in range(2):
                fresh = bool(said["hc/stored"][row, 0]) and place[row] == int(said["hc/slot"][row, 0])
                forgot = {p for p in is_at[row] if not known[row, p]} | ({place[row]} if fresh else set())
                is_at[row] = {p: n for p, n in is_at[row].items() if p not in forgot}
                assert is_at[row].setdefault(place[row], node[row]) == node[row]
                assert bool((same[row][known[row]] == known[row].nonzero()[:, 0]).all()), "a known place is itself"
            if t == 200:
                break
    assert int(bus.state["hc"]["dropped"].sum()) > 0


# --- by hand ----------------------------------------------------------------------------------------------------------


def line(sensed: list[int]) -> State:
    """Places 0, 1, 2, ... one move (action 0) apart, at which these were sensed; the agent is at the last one."""
    atlas = atlases.init(1, 8, 2, 2, SEEN, 1)
    n = len(sensed)
    atlas["seen"][0, :n, 0] = torch.tensor(sensed)
    atlas["known"][0, :n] = True
    atlas["target"][0, : n - 1, 0] = torch.arange(1, n)
    atlas["last"][0, :n] = torch.arange(n)
    return atlas | {"here": torch.tensor([n - 1]), "clock": torch.tensor([n])}


def followed(known: State, atlas: State, seen: int, own: int = -1, bump: bool = False) -> tuple[State, list[float]]:
    foreseen = torch.full((1, 8, 2), -1)
    given = (torch.tensor([own]), torch.tensor([[seen]]), torch.tensor([0]), torch.tensor([bump]), NO)
    evidence, since = recognition.follow(known, atlas, foreseen, *given)
    return known | {"evidence": evidence, "since": since}, evidence[0].tolist()


def test_evidence_is_how_seldom_it_is_sensed() -> None:
    atlas = line([1, 2, 3, 3, 1]) | {"here": torch.tensor([1])}
    known = recognition.init(1, 8)
    known, says = followed(known, atlas, 3)
    assert says == pytest.approx([-math.inf] * 2 + [math.log(5 / 2)] * 2 + [-math.inf] * 4)
    known, says = followed(known, atlas, 1)  # on from 2 it is 3, where 3 was sensed; on from 3 it is 4
    assert says == pytest.approx([math.log(5 / 2)] + [-math.inf] * 3 + [2 * math.log(5 / 2)] + [-math.inf] * 3)
    assert int(known["since"][0, 4]) == 5


def test_what_is_sensed_again_on_one_way_says_nothing_more() -> None:
    atlas = line([1, 2, 3, 4])
    atlas["target"][0, 3, 0] = 2  # to and fro
    known, first = followed(recognition.init(1, 8), atlas, 3)
    assert first[2] == pytest.approx(math.log(4))
    atlas["clock"] += 1
    known, then = followed(known, atlas | {"here": torch.tensor([2])}, 4, own=2)  # it was here before this way began
    assert then[3] == pytest.approx(2 * math.log(4))
    _, again = followed(known, atlas | {"here": torch.tensor([3])}, 3, own=4)  # and here since
    assert again[2] == pytest.approx(2 * math.log(4))


def test_what_has_not_changed_says_nothing() -> None:
    """A body that turns on its place."""
    atlas = line([1, 2, 2, 2])
    known, first = followed(recognition.init(1, 8), atlas | {"here": torch.tensor([0])}, 2)
    _, then = followed(known, atlas, 2)
    assert first[1:4] == pytest.approx([math.log(4 / 3)] * 3)
    assert then[1:4] == pytest.approx([math.log(4 / 3)] * 3)


def test_a_refused_move_rules_out_where_it_led_on() -> None:
    atlas = line([1, 2, 3, 4])
    known, _ = followed(recognition.init(1, 8), atlas, 2)
    stays = torch.tensor([[0.0, 5.0, -math.inf, 5.0] + [-math.inf] * 4])
    _, says = followed(known | {"evidence": stays}, atlas, 2, own=9, bump=True)
    assert says[1] == pytest.approx(math.log(4)), "from there the move led on: it begins anew"
    atlas["target"][0, 1, 0], atlas["refused"][0, 1, 0] = -1, True
    _, says = followed(known | {"evidence": stays}, atlas, 2, own=9, bump=True)
    assert says[1] == 5


def test_one_other_place_must_stand_out() -> None:
    """By 12 nats above log 100, and 6 above the next."""
    place, many = torch.tensor([0]), torch.tensor([100])
    enough = 12 + math.log(100) + 0.01
    for evidence, found in (
        ([99.0, enough, 0.0], 1),
        ([99.0, enough - 0.1, 0.0], -1),
        ([99.0, enough, enough - 5.9], -1),
        ([99.0, enough - 6.1, enough], 2),
        ([99.0, -math.inf, -math.inf], -1),
        ([99.0], -1),
    ):
        assert recognition.other(torch.tensor([evidence]), place, many, 12.0).tolist() == [found]


def resolved(
    known: State, atlas: State, evidence: list[float], slot: int, stored: bool
) -> tuple[State, State, int, bool]:
    whole = torch.tensor([evidence + [-math.inf] * (8 - len(evidence))])
    made = recognition.resolve(known, atlas, whole, torch.tensor([slot]), torch.tensor([stored]), 5.0)
    return made[0], made[1], int(made[2]), bool(made[3])


def test_two_places_become_one() -> None:
    known, atlas, place, new = resolved(recognition.init(1, 8), line([1, 2, 3, 1]), [9.0], 3, False)
    assert (place, new) == (0, False)
    assert known["same"][0].tolist() == [0, 1, 2, 0, 4, 5, 6, 7]
    assert atlas["known"][0].tolist() == [True] * 3 + [False] * 5
    assert atlas["target"][0, :3, 0].tolist() == [1, 2, 0]
    # a new code of a place that is known: the place, and nothing to merge
    known, atlas, place, new = resolved(known, atlas, [0.0, 9.0], 4, True)
    assert (place, new, int(known["same"][0, 4])) == (1, False, 1)


def test_a_slot_that_is_taken_over_stands_for_itself() -> None:
    known, atlas, _, _ = resolved(recognition.init(1, 8), line([1, 2, 3, 1]), [9.0], 3, False)
    known, atlas, place, new = resolved(known, atlas, [9.0], 0, True)  # memory drops what 0 and 3 stood for
    assert (place, new) == (0, True)
    assert known["same"][0].tolist() == list(range(8)), "3 does not stand for what is new in 0"
    assert bool((known["evidence"][0] == -math.inf).all()), "what fitted the old place does not fit the new one"
    assert atlas["target"][0, :3, 0].tolist() == [1, 2, -1]
    _, _, place, new = resolved(known, atlas, [], 3, False)
    assert (place, new) == (3, True), "memory knows it, the atlas does not"


def test_rounds_that_are_known_join_the_ends() -> None:
    """Places in a row at x = 0 .. 3 of a world that is 4 round: on from 3 it is 0, back from 0 it is 3."""
    atlas = line([1, 2, 3, 4])
    atlas["at"][0, :4, 0] = torch.arange(4.0)
    atlas["effect"][0] = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    atlas["moves"][:] = True
    nowhere = torch.full((1, 4, 2), -1)
    rounds = torch.zeros(1, recognition.ROUNDS, 2)
    assert torch.equal(recognition.round_the_world(rounds, atlas, nowhere, False), nowhere)
    rounds[0, 0, 0] = 4.0
    joined = recognition.round_the_world(rounds, atlas, nowhere, False)[0].tolist()
    assert joined == [[-1, 3], [-1, -1], [-1, -1], [0, -1]]
    assert torch.equal(recognition.round_the_world(rounds, atlas, nowhere, True), nowhere), "a body that turns"


def test_a_round_is_kept_once() -> None:
    """Neither again, nor turned about, nor too short; and no more than there is room for."""
    rounds = torch.zeros(1, recognition.ROUNDS, 2)
    for way in ([8.0, 0.0], [-8.0, 0.1], [8.2, 0.0], [0.2, 0.1], [0.0, 8.0]):
        rounds = recognition._with(rounds, torch.tensor([way]), YES)
    assert rounds[0].tolist() == [[8, 0], [0, 8], [0, 0], [0, 0]]
    for x in (20.0, 30.0, 40.0):
        rounds = recognition._with(rounds, torch.tensor([[x, 0.0]]), YES)
    assert rounds[0, :, 0].tolist() == [8, 0, 20, 30]
