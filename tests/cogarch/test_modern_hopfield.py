"""The modern Hopfield memory against its formulas in numpy, published retrieval, and what it promises when full."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from memories import filled, memory, rand, unit
from scipy import special
from torch import Tensor

from cogarch.hc.memory import AssociativeMemory
from cogarch.module import State


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def untouched(state: State) -> Any:
    """A copy of the state, to see whether it is still what it was."""
    return {name: x.clone() for name, x in state.items()}


# --- the formulas -----------------------------------------------------------------------------------------------------


@torch.no_grad()
@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.floats(0.5, 30), st.integers(0, 99), st.booleans(), st.sampled_from([0.0, 0.46]))
def test_recall_by_hand(p: int, beta: float, seed: int, masked: bool, growth: float) -> None:
    """Weights, value, energy and novelty of one update, with strengths of their own and slots that are masked."""
    hc, rng = memory(capacity=12, beta=beta, growth=growth), np.random.default_rng(seed)
    keys, values, query = rng.normal(size=(p, 2, 5)), rng.normal(size=(p, 2, 3)), rng.normal(size=(2, 5))
    strength = rng.uniform(0.2, 3, (p, 2))
    state = hc.init(2)
    for k, v, s in zip(keys, values, strength, strict=True):
        state = hc.write(state, torch.tensor(k).float(), torch.tensor(v).float(), strength=torch.tensor(s).float())
    open_ = rng.random((2, 12)) < 0.7 if masked else np.ones((2, 12), bool)
    open_[:, 0] = True
    got = hc.read(state, torch.tensor(query).float(), steps=1, mask=torch.tensor(open_) if masked else None)
    assert got.weights is not None
    assert got.energy is not None
    for row in range(2):
        seen = open_[row, :p]
        similarity = unit(keys[:, row])[seen] @ unit(query[row])
        sharp = beta * (1 + growth * np.log(seen.sum()))
        logits = sharp * similarity + np.log(strength[seen, row])
        weights = np.zeros(12)
        weights[:p][seen] = special.softmax(logits)
        np.testing.assert_allclose(got.weights[row], weights, atol=2e-5)
        np.testing.assert_allclose(got.value[row], weights[:p] @ values[:, row], atol=2e-4)
        lse = max(special.logsumexp(logits) / sharp, -1)
        np.testing.assert_allclose(got.energy[row], -lse + 0.5 + 0.5, atol=2e-4)
        np.testing.assert_allclose(got.novelty[row], 1 - max(similarity.max(), 0), atol=1e-5)
    assert got.steps == 1
    assert got.converged.all()
    if not masked:
        torch.testing.assert_close(hc.energy(state, torch.tensor(query).float()), got.energy)


@torch.no_grad()
def test_softmax_of_a_case_known_by_heart() -> None:
    """Two keys at right angles, a query on the first, beta = ln 3: weights 3/4 and 1/4."""
    hc = memory(n_g=2, n_x=2, beta=float(np.log(3)))
    state = filled(hc, torch.eye(2)[:, None], torch.tensor([[[8.0, 0.0]], [[0.0, 8.0]]]))
    got = hc.read(state, torch.tensor([[5.0, 0.0]]), steps=1)
    assert got.weights is not None
    assert got.energy is not None
    torch.testing.assert_close(got.weights[0, :3], torch.tensor([0.75, 0.25, 0.0]))
    torch.testing.assert_close(got.value[0], torch.tensor([6.0, 2.0]))
    np.testing.assert_allclose(got.energy[0], 1 - np.log(4) / np.log(3), rtol=1e-6)
    one = hc.read(filled(hc, torch.eye(2)[:1, None], torch.ones(1, 1, 2)), torch.tensor([[1.0, 0.0]]))
    assert one.energy is not None
    assert abs(one.energy.item()) < 1e-6  # exactly one copy is stored: as familiar as can be


@torch.no_grad()
def test_decay_and_forget_by_hand() -> None:
    hc = memory(n_g=2, n_x=2, beta=1.0)
    state = filled(hc, torch.eye(2)[:, None], torch.eye(2)[:, None])
    before = untouched(state)
    weaker = hc.decay(state, 0.5)
    third = hc.write(weaker, torch.tensor([[-1.0, 0.0]]), torch.ones(1, 2))
    got = hc.read(third, torch.tensor([[0.0, 1.0]]), steps=1)
    assert got.weights is not None
    want = np.array([0.5 * np.exp(0), 0.5 * np.exp(1), np.exp(0)])
    np.testing.assert_allclose(got.weights[0, :3], want / want.sum(), rtol=1e-5)
    gone = torch.zeros(1, 8, dtype=torch.bool)
    gone[0, 1] = True
    got = hc.read(hc.forget(third, gone), torch.tensor([[0.0, 1.0]]), steps=1)
    assert got.weights is not None
    np.testing.assert_allclose(got.weights[0, :3], [1 / 3, 0, 2 / 3], rtol=1e-5)
    assert hc.usage(hc.forget(third, gone)).items.tolist() == [2]
    assert same(state, before)  # all of these are functions: what they are given stays


@torch.no_grad()
def test_strengths_of_no_weight_leave_it_empty() -> None:
    hc = memory()
    state = hc.write(hc.init(1), rand(1, 5), rand(1, 3), strength=0.0)
    assert hc.usage(state).items.tolist() == [0]
    assert hc.read(state, rand(1, 5)).value.abs().sum() == 0


# --- an empty memory --------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("steps", [1, 3, None])
@pytest.mark.parametrize("how", ["new", "reset", "forgotten", "masked", "beside a full one"])
def test_an_empty_memory_recalls_nothing(how: str, steps: int | None) -> None:
    hc, mask = memory(), None
    state = hc.init(2)
    if how != "new":
        state = filled(hc, rand(4, 2, 5), rand(4, 2, 3))
    if how == "reset":
        state = hc.reset(state, torch.tensor([True, True]))
    if how == "forgotten":
        state = hc.forget(state, torch.ones(2, 8, dtype=torch.bool))
    if how == "masked":
        mask = torch.zeros(2, 8, dtype=torch.bool)
    if how == "beside a full one":
        state = hc.reset(state, torch.tensor([True, False]))
    got = hc.read(state, rand(2, 5, seed=1), steps=steps, mask=mask)
    assert got.weights is not None
    assert got.energy is not None
    assert got.value.shape == (2, 3)
    assert got.weights.shape == (2, 8)
    rows = slice(0, 1) if how == "beside a full one" else slice(None)
    assert (got.value[rows] == 0).all()
    assert (got.weights[rows] == 0).all()
    torch.testing.assert_close(got.energy[rows], torch.full_like(got.energy[rows], 2.0))
    assert (got.novelty[rows] == 1).all()
    assert got.converged[rows].all()
    assert got.energy.isfinite().all()
    if how == "beside a full one":
        assert got.weights[1].sum() == pytest.approx(1)


def test_what_is_new_is_judged_row_by_row() -> None:
    """Novelty of a row whose memories all point away does not depend on how full another row is."""
    hc, key = memory(), torch.tensor([[1.0, 0, 0, 0, 0]])
    alone = hc.read(hc.write(hc.init(1), key, torch.ones(1, 3)), -key).novelty
    state = hc.write(hc.init(2), key.expand(2, 5), torch.ones(2, 3))
    state = hc.write(state, rand(2, 5), rand(2, 3), mask=torch.tensor([False, True]))
    assert hc.read(state, -key.expand(2, 5)).novelty[0] == alone[0] == 1


# --- a full memory ----------------------------------------------------------------------------------------------------


def one_hot_moments(places: list[int], n: int = 12) -> Tensor:
    """`[T, 1, n]`."""
    return F.one_hot(torch.tensor(places), n).float()[:, None]


@torch.no_grad()
def test_a_full_ring_drops_the_oldest() -> None:
    hc = memory(capacity=3, n_g=12, n_x=12, beta=100.0)
    moments, state = one_hot_moments([0, 1, 2, 3, 4]), hc.init(1)
    for t, moment in enumerate(moments):
        assert hc.usage(state).items.tolist() == [min(t, 3)]
        assert hc.usage(state).dropped.tolist() == [max(0, t - 3)]
        assert (hc.notice(state) is None) == (t <= 3)
        state = hc.write(state, moment)
    assert state["values"][0].argmax(-1).tolist() == [3, 4, 2]
    notice = hc.notice(state)
    assert notice is not None
    for text in ("3 slots is full", "takes the place of the oldest", "raise hc.capacity", "hc.merge"):
        assert text in notice
    recalled = [hc.read(state, m).value[0] for m in moments]
    assert all(int(recalled[place].argmax()) == place for place in (2, 3, 4))
    assert all(float(recalled[place][place]) == 0 for place in (0, 1))


@torch.no_grad()
def test_dropped_is_counted_the_same_played() -> None:
    """After forgetting, a slot that is empty when the ring comes round is no loss: ticked and played alike."""
    hc = memory(capacity=4, n_g=12, n_x=12)
    moments = one_hot_moments([0, 1, 2, 3, 4, 5])
    state = hc.init(1)
    for m in moments:
        state = hc.store(state, m, m)[1]
    state = hc.forget(state, torch.tensor([[False, False, True, False]]))
    for rest in ([6], [6, 7], list(range(6, 12))):
        ticked, played = untouched(state), untouched(state)
        for m in one_hot_moments(rest):
            ticked = hc.store(ticked, m, m)[1]
        more = one_hot_moments(rest)
        played = hc.attend(played, more, more, more)[1]
        for name in ticked:
            torch.testing.assert_close(played[name], ticked[name])


@torch.no_grad()
def test_recall_that_grows_sharper_is_the_same_played() -> None:
    """Of a ring that fills up on the way, so that the number of memories stops growing."""
    hc, rng = memory(capacity=7, growth=0.46), torch.Generator().manual_seed(0)
    g, x = torch.randn(12, 2, 5, generator=rng), torch.randn(12, 2, 3, generator=rng)
    state, played = hc.init(2), hc.attend(hc.init(2), g, g, x)[0]
    for t in range(12):
        said, _ = hc.recall(state, g[t])
        for topic in ("hc/recalled_x", "hc/familiarity", "hc/p"):
            torch.testing.assert_close(played[topic][t], said[topic])
        state = hc.store(state, g[t], x[t])[1]


@torch.no_grad()
def test_merging_keeps_one_copy_a_place() -> None:
    hc, places = memory(capacity=6, n_g=12, n_x=12, merge=0.95), [0, 1, 2, 1, 1, 0, 3, 0]
    state = filled(hc, one_hot_moments(places), one_hot_moments(places))
    assert hc.usage(state).items.tolist() == [4]
    assert hc.usage(state).dropped.tolist() == [0]
    assert hc.notice(state) is None
    assert state["values"][0, :4].argmax(-1).tolist() == [0, 1, 2, 3]
    slots = []
    for place in (0, 3, 7, 7):
        moment = one_hot_moments([place])[0]
        writes, state = hc.store(state, moment, moment)
        slots.append(writes["hc/slot"].item())
    assert slots == [0, 3, 4, 4]  # the slot names the place


@torch.no_grad()
def test_merging_needs_the_same_value_and_a_similar_key() -> None:
    hc = memory(capacity=6, n_g=2, n_x=12, merge=0.9)
    near, far = torch.tensor([[1.0, 0.4]]), torch.tensor([[1.0, 0.6]])  # cosines .928 and .857
    here, there = one_hot_moments([0])[0], one_hot_moments([1])[0]
    first = hc.write(hc.init(1), torch.tensor([[1.0, 0.0]]), here)
    for key, value, items in ((near, here, 1), (near * 7, here, 1), (far, here, 2), (near, there, 2)):
        assert hc.usage(hc.write(first, key, value)).items.tolist() == [items]
    kept = hc.write(first, near, here)
    torch.testing.assert_close(kept["keys"][0, 0], torch.tensor([1.0, 0.0]))  # the first impression stays


@torch.no_grad()
def test_a_full_merging_memory_drops_what_was_not_refreshed_for_longest() -> None:
    hc = memory(capacity=3, n_g=12, n_x=12, merge=0.95)
    state = filled(hc, one_hot_moments([0, 1, 2, 0]), one_hot_moments([0, 1, 2, 0]))
    state = hc.write(state, one_hot_moments([3])[0])  # in place of 1
    assert state["values"][0].argmax(-1).tolist() == [0, 3, 2]
    state = hc.write(state, one_hot_moments([4])[0])  # in place of 2
    assert state["values"][0].argmax(-1).tolist() == [0, 3, 4]
    assert hc.usage(state).dropped.tolist() == [2]
    notice = hc.notice(state)
    assert notice is not None
    assert "not refreshed for longest" in notice


@torch.no_grad()
def test_a_forgotten_slot_is_filled_before_anything_is_dropped() -> None:
    hc = memory(capacity=3, n_g=12, n_x=12, merge=0.95)
    state = filled(hc, one_hot_moments([0, 1, 2]), one_hot_moments([0, 1, 2]))
    state = hc.forget(state, torch.tensor([[False, True, False]]))
    state = hc.write(state, one_hot_moments([3])[0])
    assert state["values"][0].argmax(-1).tolist() == [0, 3, 2]
    assert hc.usage(state).dropped.tolist() == [0]


# --- the protocol -----------------------------------------------------------------------------------------------------


def test_it_fills_the_socket() -> None:
    hc = memory()
    assert isinstance(hc, AssociativeMemory)
    assert hc.spec.hetero
    assert hc.spec.bounded
    assert hc.spec.has_energy


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("merge", [0.0, 0.9])
def test_writing_leaves_the_state_that_it_was_given(grad: bool, merge: float) -> None:
    hc = memory(capacity=3, merge=merge)
    with torch.set_grad_enabled(grad):
        state = filled(hc, rand(5, 2, 5), rand(5, 2, 3))
        before = untouched(state)
        after = hc.write(state, rand(2, 5, seed=1), rand(2, 3, seed=2))
        assert same(state, before)
        assert not same(after, before)
        for change in (lambda s: hc.decay(s, 0.5), lambda s: hc.reset(s, torch.tensor([True, False]))):
            changed = change(state)
            hc.write(changed, rand(2, 5, seed=3), rand(2, 3, seed=4))
            assert same(state, before)


@torch.no_grad()
def test_write_with_a_mask_and_without_a_value() -> None:
    hc = memory(n_g=3)
    state = hc.write(hc.init(2), rand(2, 3), mask=torch.tensor([True, False]))
    assert hc.usage(state).items.tolist() == [1, 0]
    torch.testing.assert_close(state["values"][0, 0], rand(2, 3)[0])
    assert same(hc.write(state, rand(2, 3, seed=5), mask=torch.tensor([False, False])), state)


@torch.no_grad()
@settings(deadline=None, max_examples=25)
@given(st.integers(0, 99), st.integers(1, 12), st.sampled_from([0.0, 0.9]))
def test_rows_are_apart(seed: int, writes: int, merge: float) -> None:
    hc = memory(capacity=5, merge=merge)
    keys, values = rand(writes, 3, 5, seed=seed), rand(writes, 3, 3, seed=seed + 1000)
    query = rand(3, 5, seed=seed + 2000)
    together = hc.read(filled(hc, keys, values), query)
    for row in range(3):
        one = slice(row, row + 1)
        alone = hc.read(filled(hc, keys[:, one], values[:, one]), query[one])
        torch.testing.assert_close(together.value[one], alone.value, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_reset_empties_its_rows_only() -> None:
    hc = memory()
    state = filled(hc, rand(4, 2, 5), rand(4, 2, 3))
    state = hc.reset(state, torch.tensor([True, False]))
    assert hc.usage(state).items.tolist() == [0, 4]
    want = hc.read(filled(hc, rand(4, 2, 5), rand(4, 2, 3)), rand(2, 5)).value
    torch.testing.assert_close(hc.read(state, rand(2, 5)).value[1], want[1])


def test_usage() -> None:
    hc = memory(capacity=7)
    usage = hc.usage(hc.init(2))
    assert usage.capacity == 7
    assert usage.bytes == 2 * (7 * (5 + 3 + 1) * 4 + 7 * 8 + 8 + 8)


@pytest.mark.parametrize("capacity", [0, -3])
def test_a_memory_has_slots(capacity: int) -> None:
    with pytest.raises(ValueError, match=f"at least one slot, capacity is {capacity}"):
        memory(capacity=capacity)


# --- fixed points -----------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_well_separated_patterns_are_fixed_points() -> None:
    hc = memory(capacity=10, n_g=20, n_x=20, beta=60.0)
    patterns = F.normalize(rand(10, 1, 20), dim=-1)
    state = filled(hc, patterns, patterns)
    for pattern in patterns:
        got = hc.read(state, pattern + 0.1 * rand(1, 20, seed=7))
        assert got.converged.all()
        assert got.steps < 20
        torch.testing.assert_close(got.value, pattern, atol=2e-3, rtol=0)
        # from a fixed point one more update goes nowhere
        torch.testing.assert_close(hc.read(state, got.value, steps=2).value, got.value, atol=1e-3, rtol=0)


@torch.no_grad()
def test_similar_patterns_melt_into_a_metastable_mean() -> None:
    """Ramsauer et al. 2021: amid patterns that are close, a fixed point near their mean; sharper recall parts them."""
    cluster = F.normalize(torch.ones(20) + 0.2 * rand(5, 1, 20), dim=-1)
    others = F.normalize(rand(5, 1, 20, seed=3) - 2, dim=-1)
    patterns = torch.cat([cluster, others])
    soft, sharp = (memory(capacity=10, n_g=20, n_x=20, beta=beta) for beta in (8.0, 3000.0))
    got = soft.read(filled(soft, patterns, patterns), cluster[0])
    assert got.weights is not None
    assert got.converged.all()
    assert (got.weights[0, :5] > 0.15).all()
    torch.testing.assert_close(got.value, cluster.mean(0), atol=0.02, rtol=0)
    apart = sharp.read(filled(sharp, patterns, patterns), cluster[0])
    torch.testing.assert_close(apart.value, cluster[0], atol=1e-3, rtol=0)


@torch.no_grad()
def test_energy_never_rises_while_settling() -> None:
    hc = memory(capacity=30, n_g=6, n_x=6, beta=5.0)
    state = filled(hc, rand(30, 4, 6), rand(30, 4, 6))
    query, last = rand(4, 6, seed=9), torch.full((4,), torch.inf)
    for steps in range(1, 15):
        energy = hc.read(state, query, steps=steps).energy
        assert energy is not None
        assert (energy <= last + 1e-5).all()
        last = energy
    assert hc.read(state, query, steps=5).steps == 5
    assert not hc.read(state, query, steps=2).converged.all()


@torch.no_grad()
def test_ten_thousand_patterns_are_retrieved_in_one_update() -> None:
    """Exponential storage (Ramsauer et al. 2021): Gaussian patterns of 64 dimensions on the radius sqrt(64), query with
    noise of sd .5 a component, beta 1; on unit vectors that is beta 64."""
    p, d, n = 10_000, 64, 50
    hc = memory(capacity=p, n_g=d, n_x=d, beta=float(d))
    patterns = F.normalize(rand(p, d), dim=-1) * d**0.5
    state = hc.init(1)
    state["keys"][0], state["values"][0] = F.normalize(patterns, dim=-1), patterns
    state["strength"].fill_(1)
    state["clock"].fill_(p)
    state = {name: x.expand(n, *x.shape[1:]) for name, x in state.items()}
    got = hc.read(state, patterns[:n] + 0.5 * rand(n, d, seed=1), steps=1)
    error = (got.value - patterns[:n]).square().sum(-1) / d
    assert error.mean() < 1e-3
    blurred = memory(capacity=p, n_g=d, n_x=d, beta=d**0.5).read(state, patterns[:n], steps=1)
    assert ((blurred.value - patterns[:n]).square().sum(-1) / d).mean() > 0.3  # with 1 / sqrt(d) it averages


# --- gradients --------------------------------------------------------------------------------------------------------


def test_gradients_by_finite_differences() -> None:
    """Of value, energy and weights with respect to query, keys, values and beta."""
    hc = memory(capacity=4, beta=3.0, learn_beta=True).double()
    keys, values = rand(3, 2, 5).double().requires_grad_(), rand(3, 2, 3, seed=1).double().requires_grad_()
    query = rand(2, 5, seed=2).double().requires_grad_()

    def recalled(query: Tensor, keys: Tensor, values: Tensor, steps: int) -> tuple[Tensor, ...]:
        state = {k: x.double() if x.is_floating_point() else x for k, x in hc.init(2).items()}
        for key, value in zip(keys, values, strict=True):
            state = hc.write(state, key, value)
        got = hc.read(state, query, steps=steps)
        assert got.energy is not None
        assert got.weights is not None
        return got.value, got.energy, got.weights

    for steps in (1, 3):
        assert torch.autograd.gradcheck(lambda q, k, v, s=steps: recalled(q, k, v, s), (query, keys, values), atol=1e-6)
    recalled(query, keys, values, 1)[0].square().sum().backward()
    assert hc.log_beta.grad is not None
    before = hc.log_beta.detach().clone()
    sides = []
    for step in (1e-5, -1e-5):
        hc.log_beta.data = before + step
        sides.append(recalled(query, keys, values, 1)[0].square().sum().item())
    assert hc.log_beta.grad.item() == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-5)


def test_an_empty_row_gives_no_nan_gradients() -> None:
    hc = memory(learn_beta=True)
    state, first = hc.init(2), torch.tensor([True, False])
    for seed in (0, 10):
        state = hc.write(state, rand(2, 5, seed=seed), rand(2, 3, seed=seed), mask=first)
    query = rand(2, 5, seed=1).requires_grad_()
    got = hc.read(state, query, steps=2)
    assert got.energy is not None
    (got.value.sum() + got.energy.sum()).backward()
    assert query.grad is not None
    assert query.grad.isfinite().all()
    assert query.grad[0].abs().sum() > 0
    assert hc.log_beta.grad is not None
    assert hc.log_beta.grad.isfinite()


# --- a setting is no weight -------------------------------------------------------------------------------------------


def test_beta_is_saved_only_where_it_is_learned() -> None:
    assert "log_beta" not in memory().state_dict()
    assert "log_beta" in memory(learn_beta=True).state_dict()
    assert memory(beta=7.0).log_beta.exp().item() == pytest.approx(7)
