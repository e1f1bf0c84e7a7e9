"""State is a tree: dictionaries and tuples with tensors at the leaves. Map over it, flatten it, restart rows of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor


def tree_map(fn: Callable[..., Tensor], tree: Any, *others: Any) -> Any:
    """`fn` of every leaf (and of the leaves in the same place of the other trees); TypeError on any other leaf."""
    if isinstance(tree, Tensor):
        return fn(tree, *others)
    if isinstance(tree, dict):
        return {key: tree_map(fn, value, *(other[key] for other in others)) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(tree_map(fn, *branch) for branch in zip(tree, *others, strict=True))
    raise TypeError(f"state holds a {type(tree).__name__}; only tensors, dictionaries and tuples of them can be kept")


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the tree with its path, `a.b.0`."""
    if isinstance(tree, Tensor):
        yield path, tree
    elif isinstance(tree, (dict, tuple)):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, value in items:
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    else:
        raise TypeError(f"state {path!r} is a {type(tree).__name__}; only tensors, dictionaries and tuples can be kept")


def unflatten(tree: Any, flat: dict[str, Tensor], path: str = "") -> Any:
    """A tree shaped like `tree` with the tensors of `flat` (as `leaves` names them); KeyError names a missing one."""
    if isinstance(tree, Tensor):
        return flat[path]
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    made = {key: unflatten(value, flat, f"{path}.{key}" if path else str(key)) for key, value in items}
    return made if isinstance(tree, dict) else tuple(made.values())


def where(rows: Tensor, new: Any, old: Any) -> Any:
    """`new` in the rows where `rows` (`[B]` bool) is true, `old` elsewhere."""
    return tree_map(lambda n, o: torch.where(rows.view(-1, *[1] * (o.dim() - 1)), n, o), new, old)


def share(tree: Any) -> Any:
    """A copy that shares memory until either side writes: the bank of a memory is not copied to imagine a few ticks."""

    def copy(x: Tensor) -> Tensor:
        try:
            return x._lazy_clone()
        except RuntimeError:  # memory that torch does not own, such as a numpy array's
            return x.clone()

    return tree_map(copy, tree)
