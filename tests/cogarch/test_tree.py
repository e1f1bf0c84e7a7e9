"""State as a tree of tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cogarch.tree import leaves, share, tree_map, unflatten, where

NAMES = st.text("abc", min_size=1, max_size=3)
TREES = st.recursive(
    st.integers(-100, 100).map(lambda i: torch.tensor([[i], [i + 1]])),
    lambda inner: st.dictionaries(NAMES, inner, max_size=3) | st.lists(inner, max_size=3).map(tuple),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))


@given(TREES)
def test_flat_and_back(tree: Any) -> None:
    flat = dict(leaves(tree))
    assert same(unflatten(tree, flat), tree)


@given(TREES)
def test_map_keeps_the_shape(tree: Any) -> None:
    doubled = tree_map(lambda a, b: a + b, tree, tree)
    assert same(unflatten(tree, {name: x * 2 for name, x in leaves(tree)}), doubled)


@given(TREES, st.tuples(st.booleans(), st.booleans()))
def test_where_takes_rows(tree: Any, rows: tuple[bool, bool]) -> None:
    new = tree_map(lambda x: x + 1000, tree)
    mixed = dict(leaves(where(torch.tensor(rows), new, tree)))
    for name, x in leaves(tree):
        for row in (0, 1):
            assert torch.equal(mixed[name][row], x[row] + 1000 * rows[row])


def test_paths() -> None:
    one = torch.zeros(1)
    assert [name for name, _ in leaves({"a": one, "b": (one, {"c": one})})] == ["a", "b.0", "b.1.c"]
    with pytest.raises(KeyError, match=r"b\.0"):
        unflatten({"b": (one,)}, {"b.1": one})


def test_where_broadcasts_over_any_number_of_axes() -> None:
    rows = torch.tensor([True, False])
    for shape in ((2,), (2, 3), (2, 3, 4)):
        assert torch.equal(where(rows, torch.ones(shape), torch.zeros(shape))[0], torch.ones(shape[1:]))
        assert not where(rows, torch.ones(shape), torch.zeros(shape))[1].any()


@pytest.mark.parametrize("leaf", [3, [torch.zeros(1)], None, "x"])
def test_what_is_no_tensor_is_named(leaf: object) -> None:
    with pytest.raises(TypeError, match=f"state holds a {type(leaf).__name__}; only tensors"):
        tree_map(lambda x: x, {"a": leaf})
    with pytest.raises(TypeError, match=rf"state 'a\.0' is a {type(leaf).__name__}"):
        dict(leaves({"a": (leaf,)}))


def test_a_share_is_a_copy_that_costs_nothing_until_written() -> None:
    bank = torch.zeros(1000)
    tree = {"bank": bank}
    shared = share(tree)["bank"]
    assert torch._C._is_cow_tensor(shared)
    assert torch._C._is_cow_tensor(bank)
    assert shared.sum() == 0  # reading copies nothing
    assert torch._C._is_cow_tensor(shared)
    bank[0] = 1
    assert shared[0] == 0
    shared[1] = 2
    assert bank[1] == 0


def test_a_share_of_memory_that_is_not_torchs_own_is_a_copy() -> None:
    array = np.zeros(3)
    shared = share({"x": torch.from_numpy(array)})["x"]
    array[0] = 1
    assert shared.tolist() == [0, 0, 0]


def test_gradients_pass_through_a_share() -> None:
    x = torch.ones(3, requires_grad=True)
    (share({"x": x * 2})["x"] * 3).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [6, 6, 6]
