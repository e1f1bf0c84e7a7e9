"""The Hebbian memory against its definition: whole matrices, written at every tick, torch's own gradients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cogarch.check import example_contracts
from cogarch.hc.hebbian import Hebbian
from cogarch.hc.hebbian_matrix import HebbianMatrix, PlainMatrix
from cogarch.hc.memory import AssociativeMemory, Unsupported
from cogarch.hc.settle import Blocks, rectify, settle, settle_plainly
from cogarch.module import Signal

LAYOUTS = st.sampled_from([((5, 4, 3), (3, 2, 1)), ((7,), (1, 1, 1, 1, 1)), ((2, 6), (2, 2, 1)), ((4, 4), (1,))])


def double(*shape: int, scale: float = 1.0, seed: int = 0) -> Tensor:
    return scale * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=40)
@given(LAYOUTS, st.integers(1, 3), st.integers(0, 4), st.booleans(), st.integers(0, 1000))
def test_an_attractor_and_its_gradients_are_those_of_the_whole_matrix(
    sizes_and_counts: tuple[tuple[int, ...], tuple[int, ...]], queries: int, window: int, large: bool, seed: int
) -> None:
    sizes, counts = sizes_and_counts
    layout, batch = Blocks(sizes), 2
    scale = double(batch, seed=seed).abs()
    strength = double(batch, window, seed=seed + 1).abs()
    size = 1.0 if large else 0.2  # large ones reach the clamp
    query = double(batch, queries, layout.n, scale=size, seed=seed + 2).requires_grad_()
    pre, post = ([double(batch, layout.n, scale=size, seed=seed + k + m).requires_grad_() for m in range(window)]
                 for k in (10, 20))  # fmt: skip
    blocks = [
        double(batch, layout.n - a, b - a, scale=size / 2, seed=seed + 30 + a).requires_grad_() for a, b in layout.spans
    ]
    mask = layout.dense([torch.ones_like(block) for block in blocks])
    # from a unit to another of the same block or one before: low frequencies drive high ones
    block_of = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    assert torch.equal(mask[0] > 0, block_of[:, None] >= block_of[None])

    matrix = layout.dense(blocks) * scale[:, None, None]
    for m in range(window):
        matrix = matrix + strength[:, m, None, None] * pre[m][:, :, None] * post[m][:, None] * mask
    expected = settle_plainly(query, matrix, layout, counts, 0.8)
    found = settle(query, scale, strength, pre, post, layout, counts, 0.8, blocks)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)

    weight = double(*found.shape, seed=seed + 40)
    inputs = [query, *pre, *post, *blocks]
    for a, b in zip(*(torch.autograd.grad((x * weight).sum(), inputs) for x in (found, expected)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_an_attractor_by_hand() -> None:
    """Two units, one iteration: 0.8 h + h M, clamped, a hundredth below 0."""
    layout = Blocks((2,))
    matrix = torch.tensor([[[0.5, -1.0], [0.25, 2.0]]])
    query = torch.tensor([[[0.4, -2.0]]])  # begins as (0.4, -0.01)
    found = settle(query, torch.ones(1), torch.zeros(1, 0), [], [], layout, [1], 0.8, [matrix])
    torch.testing.assert_close(found[0, 0], torch.tensor([0.8 * 0.4 + 0.2 - 0.0025, 0.01 * (-0.008 - 0.4 - 0.02)]))
    assert rectify(torch.tensor([2.0, -3.0])).tolist() == pytest.approx([1.0, -0.01])


def live(memory: HebbianMatrix, size: float, ticks: int, grad: bool) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Queries, then writes against what they recalled; the recalls, the last matrix, the gradients of the keys."""
    keys = [double(3, memory.n, scale=size, seed=t).clamp(-1, 1).requires_grad_(grad) for t in range(ticks)]
    state, recalled = memory.init(3), []
    for t, key in enumerate(keys):
        if t == ticks // 2:
            state = memory.decay(memory.reset(state, torch.tensor([True, False, False])), 0.9)
        found = memory.settle(state, torch.stack([key, key.flip(-1)], 1))
        recalled.append(found)
        strength = torch.tensor([1.0, 0.5, -1.0 if t % 4 == 0 else 1.0])  # a write may take away, too
        state = memory.put(state, key, found[:, 0], strength, torch.tensor([True, True, t % 3 > 0]))
    total = sum(x.square().sum() for x in recalled)
    grads = list(torch.autograd.grad(total, keys)) if grad else []
    return torch.stack(recalled).detach(), memory.matrix(state).detach(), grads


@pytest.fixture
def in_double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("size", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("window", [1, 3, 20])
@pytest.mark.parametrize(("sizes", "counts"), [((9, 8, 7), (3, 2, 1)), ((20,), (1, 1, 1))])
def test_a_window_of_vectors_is_the_matrix_also_where_the_clamp_bites(
    sizes: tuple[int, ...], counts: tuple[int, ...], window: int, size: float
) -> None:
    plain = live(PlainMatrix(sizes, counts, retain=0.99), size, 25, grad=True)
    found = live(HebbianMatrix(sizes, counts, retain=0.99, window=window), size, 25, grad=True)
    if size == 2.0:
        assert (plain[1].abs() == 1).any()
    if size == 0.1:
        assert plain[1].abs().max() < 1
    torch.testing.assert_close(found[0], plain[0], rtol=0, atol=1e-11)
    torch.testing.assert_close(found[1], plain[1], rtol=0, atol=1e-12)
    for a, b in zip(found[2], plain[2], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)
    still = live(HebbianMatrix(sizes, counts, retain=0.99, window=window), size, 25, grad=False)
    torch.testing.assert_close(still[0], plain[0], rtol=0, atol=1e-11)


@pytest.mark.parametrize("counts", [(1, 2), (3,), (2, 0)])
def test_a_block_that_has_settled_does_not_begin_again(counts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="give 1 to 2 blocks, never more than before"):
        HebbianMatrix((3, 3), counts)


def test_a_matrix_is_a_memory_that_says_what_it_does_not_honour() -> None:
    memory = HebbianMatrix((6,), (1, 1, 1, 1, 1))
    assert isinstance(memory, AssociativeMemory)
    empty = memory.init(2)
    pattern = torch.tensor([[1.0, 1, 0, 0, 1, 0], [0, 0, 1, 1, 0, 1]])
    state = memory.write(memory.write(empty, pattern), pattern)
    assert int(empty["written"].sum()) == 0  # pure
    cue = pattern * torch.tensor([1.0, 0, 1, 1, 1, 0])
    completed = memory.read(state, cue)
    assert ((completed.value > 0.5) == (pattern > 0)).all()
    assert (completed.novelty < 0.5).all() and not memory.read(state, cue, steps=1).converged.any()
    unknown = memory.read(empty, cue)
    assert not unknown.value.any() and (unknown.novelty == 1).all()
    for steps in (0, 6, -1):
        with pytest.raises(ValueError, match="made for 1 to 5"):
            memory.read(state, cue, steps=steps)
    assert memory.usage(state).items.tolist() == [2, 2] and memory.usage(state).capacity is None
    torch.testing.assert_close(memory.matrix(memory.decay(state, 0.5)), 0.5 * memory.matrix(state))
    assert not memory.matrix(memory.reset(state, torch.tensor([True, False])))[0].any()
    for refused in (
        lambda: memory.energy(state, cue),
        lambda: memory.forget(state, torch.zeros(2, 1, dtype=torch.bool)),
        lambda: memory.write(state, pattern, pattern),
        lambda: memory.read(state, cue, mask=torch.ones(2, 1)),
    ):
        with pytest.raises(Unsupported, match="spec"):
            refused()


@pytest.mark.parametrize("kind", [HebbianMatrix, PlainMatrix])
def test_a_row_with_a_nan_is_new_when_it_is_reset(kind: type[HebbianMatrix]) -> None:
    memory = kind((4,), (1, 1), window=2)
    state = memory.init(2)
    for _ in range(3):  # one of them folded
        state = memory.write(state, torch.tensor([[torch.nan, 1, 1, 1], [1, 0, 1, 0]]))
    kept = memory.matrix(state)[1]
    other = memory.reset(state, torch.tensor([False, True]))
    assert memory.matrix(other)[0].isnan().any() and not memory.matrix(other)[1].any()
    state = memory.reset(state, torch.tensor([True, False]))
    assert not memory.matrix(state)[0].any() and torch.equal(memory.matrix(state)[1], kept)
    assert memory.settle(state, torch.ones(2, 1, 4)).isfinite().all()


@pytest.mark.parametrize("kind", [HebbianMatrix, PlainMatrix])
def test_a_row_that_is_not_written_is_not_looked_at(kind: type[HebbianMatrix]) -> None:
    memory = kind((4,), (1, 1), window=2)
    once = memory.write(memory.init(2), torch.tensor([[1.0, 0, 1, 0], [0, 1, 1, 0]]))
    state = memory.write(once, torch.tensor([[torch.nan] * 4, [0, 1, 1, 0]]), mask=torch.tensor([False, True]))
    assert torch.equal(memory.matrix(state)[0], memory.matrix(once)[0]) and memory.matrix(state)[1].isfinite().all()


# --- the module -------------------------------------------------------------------------------------------------------


def contracts(g: tuple[int, ...], x: tuple[int, ...]) -> dict[str, Signal]:
    code = Signal((sum(x),), modules=x)
    return example_contracts() | {
        "mec/g": Signal((sum(g),), modules=g),
        "mec/g_path": Signal((sum(g),)),
        "lec/x_weighted": code,
    }


def test_conjunctions_are_outer_products_of_each_frequency() -> None:
    module = Hebbian(contracts((6, 3), (2, 4)), subsample=3)
    assert module.n_p == 2 * 2 + 1 * 4
    g, x = double(5, 9).float(), double(5, 6, seed=1).float()
    state = module.init(5)
    said, state = module.recognise(state, x)
    assert set(said) == {"hc/recalled_g", "hc/recalled_x_by_x"}
    said, state = module.bind(state, g, g, x)
    first = rectify(torch.einsum("bi,bj->bij", g[:, :2], x[:, :2])).flatten(1)
    second = rectify(torch.einsum("bi,bj->bij", g[:, 6:7], x[:, 2:])).flatten(1)
    torch.testing.assert_close(said["hc/p"], torch.cat([first, second], 1))
    torch.testing.assert_close(said["hc/x_in_p"], first.view(5, 2, 2).sum(1))
    again, _ = module.recognise(state, x)
    zero = [i for i in range(9) if i not in (0, 1, 6)]
    assert not again["hc/recalled_g"][:, zero].any() and again["hc/recalled_g"][:, [0, 1, 6]].any()


def test_settings_that_do_not_fit_are_named() -> None:
    with pytest.raises(
        ValueError, match=r"lec encodes 3 frequencies and mec has 2 modules: give lec.filters one number"
    ):
        Hebbian(contracts((6, 3), (2, 2, 2)))
    with pytest.raises(ValueError, match=r"4,500 place cells .* raise hc.subsample, or use lec/two_hot"):
        Hebbian(example_contracts() | {"mec/g": Signal((300,))})
