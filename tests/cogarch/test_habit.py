"""Mode 1 and the critic: each step of learning against networks of torch's own, and what is learned against truth."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy
from torch import Tensor

from cogarch.executive import habit
from cogarch.module import State
from cogarch.tree import leaves, share, tree_map, unflatten, where

MOVES = ((1, 0), (0, 1), (-1, 0), (0, -1))


def begun(batch: int, n: int = 6, actions: int = 4, *, hidden: int = 8, members: int = 3, seed: int = 0) -> State:
    """Fresh habits; the stream of random numbers is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return habit.init(batch, habit.draw(n, actions, hidden=hidden, members=members))


def some(batch: int, n: int = 6, many: int = 5, actions: int = 4, seed: int = 0) -> tuple[Tensor, ...]:
    """Codes, actions and costs of a minibatch, at random."""
    g = torch.Generator().manual_seed(seed)
    here, goal = torch.randn(batch, many, n, generator=g), torch.randn(batch, many, n, generator=g)
    return here, goal, torch.randint(actions, (batch, many), generator=g), 20 * torch.rand(batch, many, generator=g)


def apart(a: Any, b: Any) -> float:
    """How far two trees are from each other, at most."""
    return max(
        float((x.double() - y.double()).abs().max()) for (_, x), (_, y) in zip(leaves(a), leaves(b), strict=True)
    )


def same(a: Any, b: Any) -> bool:
    """Two trees to the bit."""
    return all(torch.equal(x, y) for (_, x), (_, y) in zip(leaves(a), leaves(b), strict=True))


# --- a world to learn -------------------------------------------------------------------------------------------------


def grid(side: int, wall: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Codes of plane waves `[S, n]`, steps from place to place `[S, S]`, and which actions begin a shortest way
    `[S, S, A]`, by networkx, in a square; `wall` parts it before that column, but for a door in the first row."""
    places = list(itertools.product(range(side), range(side)))
    graph: Any = nx.Graph()
    graph.add_nodes_from(places)
    for x, y in places:
        for dx, dy in MOVES[:2]:
            if (x + dx, y + dy) in graph and not (dx and x + dx == wall and y > 0):
                graph.add_edge((x, y), (x + dx, y + dy))
    found = dict(nx.all_pairs_shortest_path_length(graph))
    steps = torch.tensor([[float(found[a][b]) for b in places] for a in places])
    best = torch.zeros(len(places), len(places), len(MOVES), dtype=torch.bool)
    for (i, (x, y)), (k, (dx, dy)) in itertools.product(enumerate(places), enumerate(MOVES)):
        to = (x + dx, y + dy)
        if graph.has_edge((x, y), to):
            best[i, :, k] = steps[places.index(to)] < steps[i]
    waves = torch.tensor([[k * math.cos(w), k * math.sin(w)] for k in (0.35, 0.7, 1.4) for w in (0.1, 1.1, 2.2)])
    phase = torch.tensor(places, dtype=torch.float32) @ waves.T
    return torch.cat([phase.cos(), phase.sin()], -1), steps, best


def taught(worlds: Sequence[tuple[Tensor, ...]], goals: Tensor, updates: int, many: int = 96) -> State:
    """Habits of a row a world, that learned shortest ways from everywhere to some of the places; goals `[B, G]`."""
    codes, steps, best = (torch.stack([world[i] for world in worlds]) for i in range(3))
    rows, g = torch.arange(len(worlds))[:, None], torch.Generator().manual_seed(1)
    state = begun(len(worlds), codes.shape[-1], hidden=32)
    for _ in range(updates):
        here = torch.randint(codes.shape[1], (len(worlds), many), generator=g)
        goal = goals.gather(1, torch.randint(goals.shape[1], (len(worlds), many), generator=g))
        said = codes[rows, here], codes[rows, goal], best[rows, here, goal].float(), steps[rows, here, goal]
        state, _ = habit.learn(state, *said)
    return state


def asked(state: State, codes: Tensor) -> habit.Habit:
    """What each habit says of every pair: codes `[B, S, n]` -> `[B, S, S, ...]`."""
    b, s, n = codes.shape
    here, goal = codes[:, :, None].expand(b, s, s, n), codes[:, None].expand(b, s, s, n)
    said = habit.act(state, here.flatten(1, 2), goal.flatten(1, 2))
    return habit.Habit(*(x.view(b, s, s, *x.shape[2:]) for x in said))


def test_small_worlds_are_learned_to_perfection() -> None:
    """One of the two has a wall: each row learns its own."""
    worlds = [grid(4), grid(4, wall=2)]
    codes, steps, best = (torch.stack([world[i] for world in worlds]) for i in range(3))
    assert not torch.equal(best[0], best[1])
    said = asked(taught(worlds, torch.arange(16).expand(2, -1), 300), codes)
    apart_ = steps > 0
    chosen = said.logits.argmax(-1, keepdim=True)
    assert bool(best.gather(3, chosen)[..., 0][apart_].all())
    assert float((said.togo - steps)[apart_].abs().mean()) < 0.3
    two = best.sum(-1) == 2  # equally good ways are about equally likely, and no doubt
    p = said.logits.exp()
    assert float(torch.where(best, p, 1.0).amin(-1)[two].mean()) > 0.35
    assert float(said.uncertainty[two].mean()) < 0.25


def test_goals_never_taught_are_found_better_than_by_the_nearest_that_was() -> None:
    world = grid(7)
    codes, steps, best = world
    mixed = torch.randperm(49, generator=torch.Generator().manual_seed(2))
    old, new = mixed[:24], mixed[24:]
    said = asked(taught([world], old[None], 250), codes[None])
    good = best.gather(2, said.logits[0].argmax(-1, keepdim=True))[..., 0]
    elsewhere = steps[:, new] > 0
    right = float(good[:, new][elsewhere].float().mean())
    nearest = old[torch.cdist(codes[new], codes[old]).argmin(1)]  # what to copy
    copied = best[:, nearest].float().argmax(-1, keepdim=True)
    copy = float(best[:, new].gather(2, copied)[..., 0][elsewhere].float().mean())
    assert right > 0.95 and right > copy + 0.03
    assert float((said.togo[0] - steps)[:, new][elsewhere].abs().mean()) < 1
    doubt = said.uncertainty[0][:, new][elsewhere]
    wrong = ~good[:, new][elsewhere]
    assert float(doubt[wrong].mean()) > 1.3 * float(doubt[~wrong].mean())


def test_what_is_learned_is_doubted_less() -> None:
    world = grid(4)
    fresh = asked(begun(1, world[0].shape[-1], hidden=32), world[0][None])
    known = asked(taught([world], torch.arange(16)[None], 150), world[0][None])
    assert float(known.uncertainty.mean()) < 0.6 * float(fresh.uncertainty.mean())


# --- one step, against torch ------------------------------------------------------------------------------------------


def learned_by_hand(state: State, row: int, index: int, batches: list[tuple[Tensor, ...]]) -> dict[str, Tensor]:
    """The weights of one member of one row after these minibatches, by torch's Adam and its losses, in float64."""
    w = {name: x.double().clone().requires_grad_() for name, x in member(state, row, index).items()}
    adam = torch.optim.Adam(list(w.values()), lr=0.01)
    for here, goal, action, togo in batches:
        logits, cost = forward_by_hand(w, here[row].double(), goal[row].double())
        loss = F.cross_entropy(logits, action[row]) + 0.1 * F.huber_loss(cost, togo[row].double())
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    return {k: x.detach() for k, x in w.items()}


def member(state: State, row: int, index: int) -> dict[str, Tensor]:
    """The weights of one member of one row."""
    return {name: x[row, index] for name, x in state["weights"].items()}


def forward_by_hand(w: dict[str, Tensor], here: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
    here, goal = (x / x.square().mean(-1, keepdim=True).sqrt() for x in (here, goal))
    way = torch.einsum("ni,ij->nj", goal - here, w["way"]) + w["way_bias"]
    left = torch.einsum("ni,ij->nj", here, w["here"]) + w["here_bias"]
    right = torch.einsum("ni,ij->nj", goal, w["goal"]) + w["goal_bias"]
    joined = torch.einsum("ni,ij->nj", torch.cat([way.clamp(min=0), left * right], 1), w["join"]) + w["join_bias"]
    said = torch.einsum("ni,ij->nj", joined.clamp(min=0), w["say"]) + w["say_bias"]
    return said[:, :-1], (1 + said[:, -1].exp()).log()


def test_updates_are_those_of_torch() -> None:
    """In float64, where a rounding error is not taken for a slope."""
    state = tree_map(lambda x: x.double() if x.is_floating_point() else x, begun(2))
    batches = [tuple(x.double() if x.is_floating_point() else x for x in some(2, seed=i)) for i in range(4)]
    after = state
    for batch in batches:
        after, _ = habit.learn(after, *batch, learning_rate=0.01)
    assert apart(after["weights"], state["weights"]) > 0.01
    for row, index in itertools.product(range(2), range(3)):
        for name, x in learned_by_hand(state, row, index, batches).items():
            assert torch.allclose(after["weights"][name][row, index], x, rtol=0, atol=1e-9), name
    assert after["updates"].tolist() == [4, 4]


def test_the_loss_is_the_mean_over_members() -> None:
    state, (here, goal, action, togo) = begun(2), some(2)
    _, loss = habit.learn(state, here, goal, action, togo)
    for row in range(2):
        found = []
        for member in range(3):
            logits, cost = forward_by_hand(
                {k: x[row, member] for k, x in state["weights"].items()}, here[row], goal[row]
            )
            found.append(F.cross_entropy(logits, action[row]) + 0.1 * F.huber_loss(cost, togo[row]))
        assert float(loss[row]) == pytest.approx(float(sum(found)) / 3, rel=1e-4)


def test_what_is_said_is_the_mixture_of_members() -> None:
    state, (here, goal, _, _) = begun(2), some(2)
    said = habit.act(state, here, goal)
    for row, i in itertools.product(range(2), range(5)):
        pair = here[row, i : i + 1], goal[row, i : i + 1]
        each = [forward_by_hand(member(state, row, index), *pair) for index in range(3)]
        p = np.stack([logits[0].double().softmax(-1).numpy() for logits, _ in each])
        assert said.logits[row, i].exp().numpy() == pytest.approx(p.mean(0), rel=1e-4)
        assert float(said.togo[row, i]) == pytest.approx(sum(float(cost) for _, cost in each) / 3, rel=1e-4)
        whole = entropy(p.mean(0), base=4)
        told = np.mean([entropy(one, p.mean(0), base=4) for one in p])  # mutual information as a mean divergence
        assert float(said.uncertainty[row, i]) == pytest.approx(math.sqrt(whole * told), rel=1e-3)


def test_members_that_agree_are_not_in_doubt() -> None:
    state, (here, goal, _, _) = begun(1), some(1)
    state["weights"] = {k: x[:, :1].expand_as(x) for k, x in state["weights"].items()}
    assert float(habit.act(state, here, goal).uncertainty.max()) < 1e-6


def test_an_action_is_the_whole_of_its_share() -> None:
    state, (here, goal, action, togo) = begun(2), some(2)
    by_index = habit.learn(state, here, goal, action, togo)
    for scale in (1.0, 7.0):
        assert apart(by_index, habit.learn(state, here, goal, scale * F.one_hot(action, 4).float(), togo)) < 1e-6


def test_one_pair_and_many() -> None:
    state, (here, goal, _, _) = begun(2), some(2)
    many = habit.act(state, here, goal)
    for i in range(5):
        one = habit.act(state, here[:, i], goal[:, i])
        assert one.logits.shape == (2, 4) and one.togo.shape == one.uncertainty.shape == (2,)
        assert apart(tuple(one), tuple(x[:, i] for x in many)) < 1e-5


# --- what teaches nothing, and spreads nothing ------------------------------------------------------------------------

BROKEN = (math.nan, math.inf, -math.inf)


@settings(max_examples=25, deadline=None)
@given(
    value=st.sampled_from(BROKEN), which=st.sampled_from(["here", "goal"]), at=st.integers(0, 4), cell=st.integers(0, 5)
)
def test_an_example_of_a_broken_code_is_as_if_it_were_not(value: float, which: str, at: int, cell: int) -> None:
    state, (here, goal, action, togo) = begun(2), some(2)
    (here if which == "here" else goal)[0, at, cell] = value
    after, loss = habit.learn(state, here, goal, action, togo)
    left = torch.arange(5) != at
    alone, expected = habit.learn(state, here[:, left], goal[:, left], action[:, left], togo[:, left])
    assert float(loss[0]) == pytest.approx(float(expected[0]), rel=1e-5)
    assert apart(tree_map(lambda x: x[:1], after), tree_map(lambda x: x[:1], alone)) < 1e-4
    assert all(bool(x.isfinite().all()) for _, x in leaves(after))
    said = habit.act(state, here, goal)
    assert all(bool(x.isfinite().all()) for x in said)
    assert float(said.uncertainty[0, at]) == 1
    assert said.logits[0, at].exp().tolist() == pytest.approx([0.25] * 4)


@pytest.mark.parametrize("unknown", [*BROKEN, -1.0], ids=str)
def test_a_cost_that_is_not_known_teaches_the_policy_alone(unknown: float) -> None:
    state, (here, goal, action, togo) = begun(1), some(1)
    togo[0, 2:] = unknown
    after, loss = habit.learn(state, here, goal, action, togo)
    first, _ = habit.learn(state, here, goal, action, torch.where(togo >= 0, togo, math.nan))
    assert same(after, first) and bool(loss.isfinite().all())
    nothing, _ = habit.learn(state, here, goal, action, torch.full_like(togo, unknown))
    moved = (nothing["weights"]["say"] - state["weights"]["say"]).abs().amax((0, 1, 2))
    assert bool((moved[:4] > 0).all()) and float(moved[4]) == 0


def test_an_action_that_is_not_known_teaches_the_critic_alone() -> None:
    state, (here, goal, action, togo) = begun(1), some(1)
    nowhere = torch.full((1, 5, 4), math.nan)
    for none in (torch.full_like(action, -1), torch.full_like(action, 4), torch.zeros(1, 5, 4), nowhere):
        after, _ = habit.learn(state, here, goal, none, togo)
        moved = (after["weights"]["say"] - state["weights"]["say"]).abs().amax((0, 1, 2))
        assert float(moved[:4].max()) == 0 and float(moved[4]) > 0


def test_who_is_taught_nothing_stays_to_the_bit() -> None:
    state, batch = begun(3), some(3)
    state, _ = habit.learn(state, *batch)  # with momentum, which would move it on
    here, goal, action, togo = (x.clone() for x in batch)
    action[1], togo[1] = -1, math.nan
    after, loss = habit.learn(state, here, goal, action, togo)
    assert same(tree_map(lambda x: x[1], after), tree_map(lambda x: x[1], state)) and float(loss[1]) == 0
    assert not same(tree_map(lambda x: x[0], after), tree_map(lambda x: x[0], state))
    empty = habit.learn(state, *(x[:, :0] for x in batch))
    assert same(empty[0], state) and empty[1].tolist() == [0, 0, 0]


# --- rows, state ------------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), learns=st.lists(st.booleans(), min_size=4, max_size=4))
def test_rows_are_their_own(seed: int, learns: list[bool]) -> None:
    rows = torch.tensor(learns)
    state, _ = habit.learn(begun(4), *some(4, seed=seed))
    batch = some(4, seed=seed + 1)
    after, loss = habit.learn(state, *batch, rows=rows)
    said = habit.act(after, batch[0], batch[1])
    for row in range(4):
        own = tree_map(lambda x, row=row: x[row : row + 1], state)
        alone, its = habit.learn(own, *(x[row : row + 1] for x in batch))
        mine = tree_map(lambda x, row=row: x[row : row + 1], after)
        assert apart(mine, alone) < 1e-4 if learns[row] else same(mine, own)
        assert float(loss[row]) == pytest.approx(float(its), rel=1e-4)
        kept = habit.act(mine, batch[0][row : row + 1], batch[1][row : row + 1])
        assert apart(tuple(kept), tuple(x[row : row + 1] for x in said)) < 1e-4


@settings(max_examples=15, deadline=None)
@given(a=st.floats(1e-3, 1e3), b=st.floats(1e-3, 1e3))
def test_the_size_of_a_code_says_nothing(a: float, b: float) -> None:
    state, (here, goal, _, _) = begun(2), some(2)
    assert apart(tuple(habit.act(state, a * here, b * goal)), tuple(habit.act(state, here, goal))) < 1e-3


def test_codes_of_zeros_and_of_any_size_are_finite() -> None:
    state, (here, goal, action, togo) = begun(2), some(2)
    for x in (torch.zeros_like(here), 1e30 * here, 1e-30 * here):
        after, loss = habit.learn(state, x, goal, action, togo)
        assert bool(loss.isfinite().all()) and all(bool(y.isfinite().all()) for _, y in leaves(after))
        assert all(bool(y.isfinite().all()) for y in habit.act(after, x, goal))


def test_a_life_is_saved_cloned_restarted_and_goes_on() -> None:
    fresh = begun(3)
    batches = [some(3, seed=i) for i in range(6)]
    state = fresh
    for batch in batches[:3]:
        state, _ = habit.learn(state, *batch)
    assert all(x.shape[0] == 3 for _, x in leaves(state))
    saved = {name: x.clone() for name, x in leaves(state)}
    clone = share(state)
    for batch in batches[3:]:
        state, _ = habit.learn(state, *batch)
    assert same(tuple(clone.values()), tuple(unflatten(clone, saved).values()))  # what was lived since left it alone
    loaded = unflatten(begun(3, seed=1), saved)
    for batch in batches[3:]:
        loaded, _ = habit.learn(loaded, *batch)
    assert same(state, loaded)
    rows = torch.tensor([True, False, False])
    again, _ = habit.learn(where(rows, fresh, state), *batches[0])
    first, _ = habit.learn(fresh, *batches[0])
    assert apart(tree_map(lambda x: x[0], again), tree_map(lambda x: x[0], first)) < 1e-6


@pytest.mark.parametrize("grad", [False, True])
def test_no_graph_leaks_and_nothing_is_drawn(grad: bool) -> None:
    state, (here, goal, action, togo) = begun(2), some(2)
    here.requires_grad_()
    before, stream = {name: x.clone() for name, x in leaves(state)}, torch.get_rng_state()
    with torch.set_grad_enabled(grad):
        first, again = (habit.learn(state, here, goal, action, togo) for _ in range(2))
        said = habit.act(first[0], here, goal)
    assert same(first, again)
    assert not any(x.requires_grad for _, x in leaves((first, tuple(said))))
    assert torch.equal(stream, torch.get_rng_state())
    assert all(torch.equal(x, before[name]) for name, x in leaves(state))


# --- bad input --------------------------------------------------------------------------------------------------------


def bad(**changed: Any) -> Any:
    here, goal, action, togo = some(2)
    given_ = {"here": here, "goal": goal, "action": action, "togo": togo} | changed
    return lambda: habit.learn(begun(2), **given_)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: habit.draw(0, 4), "n_code is 0: a habit needs 1 or more"),
        (lambda: habit.draw(6, 1), "actions is 1: a habit needs 2 or more"),
        (lambda: habit.draw(6, 4, hidden=0), "hidden is 0"),
        (lambda: habit.draw(6, 4, members=1), "members is 1: give 2 or more"),
        (bad(here=torch.zeros(2, 5, 7)), r"here is \[2, 5, 7\]: the habits of 2 agents take codes \[2, N, 6\]"),
        (bad(goal=torch.zeros(2, 4, 6)), r"goal is \[2, 4, 6\]"),
        (bad(here=torch.zeros(3, 5, 6), goal=torch.zeros(3, 5, 6)), r"here is \[3, 5, 6\]"),
        (bad(here=torch.zeros(2, 5, 6, dtype=torch.int64)), "here is torch.int64: codes are floats"),
        (bad(action=torch.zeros(2, 4, dtype=torch.int64)), r"give the index of one action \[2, 5\] as int64"),
        (bad(action=torch.zeros(2, 5, 3)), r"share of each of 4 actions \[2, 5, 4\]"),
        (bad(action=torch.zeros(2, 5, dtype=torch.bool)), "action is torch.bool"),
        (bad(togo=torch.zeros(2)), r"togo is \[2\] for codes \[2, 5, 6\]: give one cost an example"),
        (bad(rows=torch.ones(3, dtype=torch.bool)), r"rows is torch.bool \[3\]: give one bool an agent, \[2\]"),
        (bad(rows=torch.ones(2)), "rows is torch.float32"),
        (bad(learning_rate=0.0), "learning_rate is 0.0: give a number above 0"),
        (bad(learning_rate=math.nan), "learning_rate is nan"),
        (lambda: habit.act(begun(2), torch.zeros(2, 7), torch.zeros(2, 7)), r"take codes \[2, 6\] \(or \[2, K, 6\]\)"),
        (lambda: habit.act(begun(2), torch.zeros(6), torch.zeros(6)), r"here is \[6\]"),
        (lambda: habit.act(begun(2), torch.zeros(2, 6), torch.zeros(2, 1, 6)), r"goal is \[2, 1, 6\]"),
    ],
)
def test_bad_input_is_named(call: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()
