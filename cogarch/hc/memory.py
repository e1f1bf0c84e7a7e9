"""The socket that every associative memory fills: pure functions on a state with one row an agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from cogarch.module import State


class Unsupported(NotImplementedError):
    """This memory does not honour what was asked; the text says which part of its `spec` says so."""


@dataclass(frozen=True)
class MemorySpec:
    """What a memory honours."""

    code: Literal["bipolar", "sparse", "real"]
    """The code of keys and values that it stores."""
    hetero: bool
    """Keys and values may differ."""
    order: Literal["set", "sequence"]
    has_energy: bool
    grad_read: bool
    """Gradients pass through a read to query, keys and values."""
    grad_write: bool
    """Gradients pass through what was written to what is later read."""
    bounded: bool
    """A fixed number of slots: something is dropped when it is full."""


@dataclass(frozen=True)
class Recall:
    """What a read gives back; `[B, ...]` throughout."""

    value: Tensor
    """`[B, n_value]`; zeros where the memory is empty."""
    weights: Tensor | None
    """`[B, C]`, the activity of the slots; None where there are none."""
    energy: Tensor | None
    """`[B]`."""
    steps: int
    """Updates made."""
    converged: Tensor
    """`[B]` bool: the last update moved the query by less than the tolerance (one update: never asked, all true)."""
    novelty: Tensor
    """`[B]`, 1 minus the similarity of the best match: 0 known, 1 unknown."""


@dataclass(frozen=True)
class Usage:
    """How full a memory is: `items` `[B]`, `dropped` `[B]` (memories lost since it was full), bytes held, and the
    number of items it can hold (None where there is no such number)."""

    items: Tensor
    dropped: Tensor
    bytes: int
    capacity: int | None


@runtime_checkable
class AssociativeMemory(Protocol):
    """Parameters in the memory, contents in the state."""

    @property
    def spec(self) -> MemorySpec: ...

    def init(self, batch: int) -> State:
        """An empty memory of `batch` agents."""
        ...

    def write(
        self,
        state: State,
        key: Tensor,
        value: Tensor | None = None,
        *,
        predicted: Tensor | None = None,
        strength: float | Tensor = 1.0,
        mask: Tensor | None = None,
    ) -> State:
        """Store `key` `[B, n_key]` with `value` `[B, n_value]` (None: the key itself) in the rows of `mask` `[B]`."""
        ...

    def read(self, state: State, query: Tensor, *, steps: int | None = None, mask: Tensor | None = None) -> Recall:
        """What `query` `[B, n_key]` recalls; `steps=None` runs to convergence, `mask` `[B, C]` limits the slots."""
        ...

    def energy(self, state: State, query: Tensor) -> Tensor:
        """`[B]`; raises Unsupported where the spec has none."""
        ...

    def decay(self, state: State, factor: float) -> State:
        """Every memory weaker by `factor` (in (0, 1])."""
        ...

    def forget(self, state: State, where: Tensor) -> State:
        """Drop the slots where `where` (`[B, C]` bool) is true."""
        ...

    def reset(self, state: State, rows: Tensor) -> State:
        """Empty the memories of the agents where `rows` (`[B]` bool) is true."""
        ...

    def usage(self, state: State) -> Usage:
        """How full it is."""
        ...
