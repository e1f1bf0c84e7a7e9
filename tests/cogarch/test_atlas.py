"""The atlas against the same kept in plain dictionaries, and small maps by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cogarch import Signal
from cogarch.executive import atlas as atlases
from cogarch.module import State

SEEN, PLACES, ACTIONS, N = Signal(dtype=torch.int64, values=9), 5, 3, 2


def empty(batch: int = 1, places: int = PLACES) -> State:
    return atlases.init(batch, places, ACTIONS, N, SEEN, 1)


def bools(*values: bool) -> Tensor:
    return torch.tensor(values)


def visited(atlas: State, place: list[int], **given: Any) -> State:
    """`atlases.visit` with what does not matter here left out; numbers are for every row."""
    batch = len(place)

    def each(name: str, otherwise: Any, dtype: torch.dtype) -> Tensor:
        return torch.as_tensor(given.get(name, otherwise), dtype=dtype).expand(batch).clone()

    return atlases.visit(
        atlas,
        torch.tensor(place),
        each("new", False, torch.bool),
        torch.full((batch, N), float(given.get("code", 1))),
        torch.full((batch, 1), int(given.get("seen", 0))),
        action=each("action", -1, torch.int64),
        bump=each("bump", False, torch.bool),
        start=each("start", False, torch.bool),
        reward=each("reward", 0.0, torch.float32),
        felt=torch.full((batch, 1), float(given.get("felt", 0))),
    )


class Plain:
    """One agent's map, in dictionaries."""

    def __init__(self) -> None:
        self.target: dict[tuple[int, int], int] = {}
        self.refused: set[tuple[int, int]] = set()
        self.taken: dict[tuple[int, int], int] = {}
        self.paid: dict[int, float] = {}
        self.last: dict[int, int] = {}
        self.here, self.clock = -1, 0

    def visit(self, place: int, new: bool, action: int, bump: bool, start: bool, reward: float) -> None:
        if new and place in self.last:
            self.target = {edge: to for edge, to in self.target.items() if to != place}
            self.here = -1 if self.here == place else self.here
        if new:
            self.drop(place)
        if self.here >= 0 and action >= 0 and not start:
            edge = (self.here, action)
            self.target.pop(edge, None)
            self.refused.discard(edge)
            if bump:
                self.refused.add(edge)
            else:
                self.target[edge] = place
            self.taken[edge] = self.taken.get(edge, 0) + 1
        self.paid[place] = max(self.paid.get(place, -math.inf), reward)
        self.last[place] = self.clock
        self.here = place
        self.clock += 1

    def drop(self, place: int) -> None:
        for edges in (self.target, self.taken):
            for edge in [e for e in edges if e[0] == place]:
                del edges[edge]
        self.refused = {e for e in self.refused if e[0] != place}
        self.paid.pop(place, None)
        self.last.pop(place, None)

    def merge(self, gone: int, kept: int) -> None:
        for a in range(ACTIONS):
            mine, other = (kept, a), (gone, a)
            if mine not in self.target and mine not in self.refused:
                if other in self.target:
                    self.target[mine] = self.target[other]
                if other in self.refused:
                    self.refused.add(mine)
            self.taken[mine] = self.taken.get(mine, 0) + self.taken.get(other, 0)
        self.paid[kept] = max(self.paid[kept], self.paid[gone])
        self.target = {edge: kept if to == gone else to for edge, to in self.target.items()}
        self.drop(gone)
        self.here = kept if self.here == gone else self.here


def assert_is(atlas: State, row: int, plain: Plain) -> None:
    """All that the plain map says of the places that it knows, and no place more."""
    known = {s for s in range(PLACES) if atlas["known"][row, s]}
    assert known == set(plain.last)
    assert int(atlas["here"][row]) == plain.here
    for s in known:
        assert float(atlas["paid"][row, s]) == pytest.approx(plain.paid[s])
        assert int(atlas["last"][row, s]) == plain.last[s]
        for a in range(ACTIONS):
            assert int(atlas["target"][row, s, a]) == plain.target.get((s, a), -1)
            assert bool(atlas["refused"][row, s, a]) == ((s, a) in plain.refused)
            assert int(atlas["taken"][row, s, a]) == plain.taken.get((s, a), 0)


VISITS = st.tuples(
    st.integers(0, PLACES - 1),
    st.booleans(),
    st.integers(-1, ACTIONS - 1),
    st.booleans(),
    st.booleans(),
    st.integers(-3, 3),
)
MERGES = st.tuples(st.integers(0, PLACES - 1), st.integers(0, PLACES - 1))


@settings(max_examples=60, deadline=None)
@given(lives=st.lists(st.lists(st.one_of(VISITS, MERGES), min_size=25, max_size=25), min_size=2, max_size=2))
def test_it_keeps_what_dictionaries_keep(lives: list[list[tuple[Any, ...]]]) -> None:
    """Of two agents at once, who visit, are refused, begin anew, lose places and find two to be one."""
    atlas, plain = empty(2), [Plain(), Plain()]
    with torch.no_grad():
        for moments in zip(*lives, strict=True):
            made = []
            for one, moment in zip(plain, moments, strict=True):
                if len(moment) == 2 and moment[0] != moment[1] and set(moment) <= set(one.last):
                    one.merge(*moment)
                    made.append((*moment, True))
                else:
                    made.append((0, 0, False))
            gone, kept, rows = zip(*made, strict=True)
            atlas = atlases.merge(atlas, torch.tensor(gone), torch.tensor(kept), torch.tensor(rows))
            visits = []
            for one, moment in zip(plain, moments, strict=True):
                place, new, action, bump, start, reward = (
                    moment if len(moment) == 6 else (*moment[:1], False, -1, 0, 0, 0)
                )
                new = bool(new or place not in one.last)  # as memories say it
                one.visit(place, new, action, bool(bump), bool(start), reward)
                visits.append((place, new, action, bool(bump), bool(start), float(reward)))
            columns = dict(
                zip(("place", "new", "action", "bump", "start", "reward"), zip(*visits, strict=True), strict=True)
            )
            place = list(columns.pop("place"))
            atlas = visited(atlas, place, **columns)
            for row, one in enumerate(plain):
                assert_is(atlas, row, one)


def test_with_gradients_on_nothing_is_changed_in_place() -> None:
    atlas = visited(visited(empty(), [0], new=True, start=True), [1], new=True, action=2)
    kept = {name: x.clone() for name, x in atlas.items()}
    with torch.enable_grad():
        after = visited(atlas, [0], action=1, bump=True, reward=2.0)
    assert all(torch.equal(atlas[name], x) for name, x in kept.items())
    with torch.no_grad():
        again = visited({name: x.clone() for name, x in atlas.items()}, [0], action=1, bump=True, reward=2.0)
    assert all(torch.equal(after[name], again[name]) for name in after)
    assert int(after["here"][0]) == 0 and bool(after["refused"][0, 1, 1])


def test_a_visit_keeps_what_is_sensed_and_felt_there() -> None:
    atlas = visited(empty(), [3], new=True, code=7, seen=4, felt=0.25, reward=-1.0)
    assert atlas["code"][0, 3].tolist() == [7, 7] and atlas["seen"][0, 3].tolist() == [4]
    assert float(atlas["felt"][0, 3]) == 0.25 and float(atlas["paid"][0, 3]) == -1
    atlas = visited(atlas, [3], action=0, code=8, seen=5, felt=0.5, reward=-2.0)
    assert float(atlas["code"][0, 3, 0]) == 8 and float(atlas["paid"][0, 3]) == -1, "the largest reward"
    assert int(atlas["target"][0, 3, 0]) == 3, "a move that leads back to where it began"


# --- places by their codes --------------------------------------------------------------------------------------------


def snapped(codes: list[float], same: float = 0.01, places: int = PLACES) -> tuple[list[int], list[bool], State]:
    """The places of one agent that senses these codes one after the other."""
    atlas, found, news = empty(places=places), [], []
    for t, code in enumerate(codes):
        place, new = atlases.snap(atlas, torch.tensor([[code, 0.0]]), same)
        atlas = visited(atlas, place.tolist(), new=new.tolist(), code=code, start=t == 0, action=0)
        atlas["code"][0, place[0]] = torch.tensor([code, 0.0])
        found.append(int(place))
        news.append(bool(new))
    return found, news, atlas


def test_a_code_that_came_again_is_the_place_where_it_came_first() -> None:
    """Within a tenth of its own length (0.01 of the square)."""
    found, news, _ = snapped([1.0, 2.0, 3.0, 2.1, 1.0, 2.5])
    assert found == [0, 1, 2, 1, 0, 3]
    assert news == [True, True, True, False, False, True]


def test_where_no_place_is_free_the_one_not_visited_for_longest_is_given_up() -> None:
    found, news, atlas = snapped([1.0, 2.0, 4.0, 1.0, 8.0, 2.0], places=3)
    assert found == [0, 1, 2, 0, 1, 2]
    assert news == [True, True, True, False, True, True]
    # 1 -> 2 (slots 0, 1), 2 -> 4 (1, 2) were given up with their ends; 4 -> 1 with its beginning; 8 -> 2 was made last
    assert atlas["target"][0, :, 0].tolist() == [1, 2, -1]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 9999), same=st.floats(0.001, 1.0))
def test_snap_takes_the_nearest_that_is_near_enough(seed: int, same: float) -> None:
    g = torch.Generator().manual_seed(seed)
    atlas = empty(4)
    atlas["known"] = torch.rand(4, PLACES, generator=g) < 0.6
    atlas["code"], code = torch.randn(4, PLACES, N, generator=g), torch.randn(4, N, generator=g)
    atlas["last"] = torch.stack([torch.randperm(PLACES, generator=g) for _ in range(4)])
    place, new = atlases.snap(atlas, code, same)
    for row in range(4):
        known = [s for s in range(PLACES) if atlas["known"][row, s]]
        apart = {s: float((atlas["code"][row, s] - code[row]).square().sum()) for s in known}
        near = min(known, key=lambda s: apart[s]) if known else -1
        if known and apart[near] <= same * float(code[row].square().sum()):
            assert (int(place[row]), bool(new[row])) == (near, False)
        else:
            free = [s for s in range(PLACES) if s not in known]
            oldest = min(known, key=lambda s: int(atlas["last"][row, s])) if not free else -1
            assert int(place[row]) in (free or [oldest]) and bool(new[row])


# --- felt motion ------------------------------------------------------------------------------------------------------


def felt(atlas: State, action: int, motion: tuple[float, float], bump: bool = False, egocentric: bool = False) -> State:
    return atlases.feel(atlas, torch.tensor([action]), bools(bump), torch.tensor([motion]), egocentric)


def test_what_each_action_does_is_learned_from_moves_that_were_not_refused() -> None:
    atlas = felt(empty(), 1, (0.0, 2.0))
    atlas = felt(atlas, 0, (0.0, 0.0), bump=True)
    atlas = felt(atlas, -1, (5.0, 5.0))
    assert atlas["moves"].tolist() == [[False, True, False]]
    assert atlas["effect"].tolist() == [[[0, 0], [0, 2], [0, 0]]]
    assert felt(atlas, 2, (0.0, 0.0))["moves"].tolist() == [[False, True, False]], "moved, and felt nothing"


def test_a_body_that_turns_knows_where_it_is() -> None:
    """Left turns between advances of 1, 2, 3: along x, y and back along x."""
    atlas = empty()
    for ahead in (1.0, 2.0, 3.0):
        atlas = felt(atlas, 2, (0.0, ahead), egocentric=True)
        atlas = felt(atlas, 0, (math.pi / 2, 0.0), egocentric=True)
    assert atlas["position"][0].tolist() == pytest.approx([1 - 3, 2], abs=1e-6)
    assert float(atlas["heading"][0]) == pytest.approx(1.5 * math.pi)
    atlas = visited(atlas, [0], new=True)
    assert atlas["at"][0, 0].tolist() == pytest.approx([-2, 2], abs=1e-5)


# --- two places that are one ------------------------------------------------------------------------------------------


def test_merge_by_hand() -> None:
    """0 -a-> 1 -a-> 2 -a-> 3, refused 3 b; then 3 is found to be 0: a ring of three, and 0 refuses b."""
    atlas = visited(empty(2), [0, 0], new=True, start=True)
    for place in (1, 2, 3):
        atlas = visited(atlas, [place] * 2, new=True, action=0, reward=float(place))
    atlas = visited(atlas, [3, 3], action=1, bump=True, reward=0.0)
    before = {name: x.clone() for name, x in atlas.items()}
    one = atlases.merge(atlas, torch.tensor([3, 3]), torch.tensor([0, 0]), bools(True, False))
    assert one["known"].tolist() == [[True, True, True, False, False], [True, True, True, True, False]]
    assert one["target"][0, :3, 0].tolist() == [1, 2, 0] and one["target"][1, :3, 0].tolist() == [1, 2, 3]
    assert bool(one["refused"][0, 0, 1]) and not bool(one["refused"][1, 0, 1])
    assert one["here"].tolist() == [0, 3]
    assert one["paid"][:, 0].tolist() == [3, 0], "a reward that was felt is not forgotten"
    for name, x in before.items():
        assert torch.equal(one[name][1], x[1]), f"{name} of a row in which nothing is merged"


def test_what_is_known_of_the_place_that_is_kept_is_known_better() -> None:
    atlas = visited(empty(), [0], new=True, start=True)
    atlas = visited(atlas, [1], new=True, action=0)  # 0 a -> 1
    atlas = visited(atlas, [1], action=0, bump=True)  # 1 a refused
    one = atlases.merge(atlas, torch.tensor([1]), torch.tensor([0]), bools(True))
    assert not bool(one["refused"][0, 0, 0]) and int(one["target"][0, 0, 0]) == 0


# --- inferred and reachable -------------------------------------------------------------------------------------------


def random_map(seed: int, batch: int = 3) -> tuple[State, Tensor]:
    g = torch.Generator().manual_seed(seed)
    atlas = empty(batch)
    atlas["known"] = torch.rand(batch, PLACES, generator=g) < 0.8
    kind = torch.rand(batch, PLACES, ACTIONS, generator=g)
    to = torch.randint(0, PLACES, kind.shape, generator=g)
    atlas["target"] = torch.where(kind < 0.25, to, -1)
    atlas["refused"] = (kind > 0.25) & (kind < 0.45)
    atlas["here"] = torch.randint(0, PLACES, (batch,), generator=g)
    imagined = torch.randint(-1, PLACES, kind.shape, generator=g)
    return atlas, imagined


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9999))
def test_inferred_is_what_may_be_believed(seed: int) -> None:
    atlas, imagined = random_map(seed)
    found = atlases.inferred(atlas, imagined)
    for row in range(3):
        for s in range(PLACES):
            for a in range(ACTIONS):
                to = int(imagined[row, s, a])
                never = int(atlas["target"][row, s, a]) < 0 and not atlas["refused"][row, s, a]
                believed = never and to not in (-1, s) and bool(atlas["known"][row, to])
                for back in range(ACTIONS):  # a wall has two sides
                    if believed and imagined[row, to, back] == s and atlas["refused"][row, to, back]:
                        believed = False
                assert int(found[row, s, a]) == (to if believed else -1)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9999))
def test_reachable_is_where_moves_that_were_made_lead(seed: int) -> None:
    atlas, _ = random_map(seed)
    found = atlases.reachable(atlas, PLACES)
    for row in range(3):
        there, new = set(), {int(atlas["here"][row])}
        while new:
            there |= new
            new = {int(to) for s in new for to in atlas["target"][row, s] if to >= 0} - there
        assert {s for s in range(PLACES) if found[row, s]} == there


def test_what_leads_to_a_place_that_is_forgotten_leads_nowhere() -> None:
    atlas = visited(empty(2), [0, 0], new=True, start=True)
    atlas = visited(atlas, [1, 1], new=True, action=0)
    atlas = atlases.forget(atlas, torch.tensor([1, 1]), bools(True, False))
    assert atlas["target"][:, 0, 0].tolist() == [-1, 1]
    assert atlas["known"][:, 1].tolist() == [False, True] and atlas["here"].tolist() == [-1, 1]
    assert atlases.used(atlas) == 2 and atlases.used(empty()) == 0
