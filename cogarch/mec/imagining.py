"""What lets a structural code be imagined: the code of where a move would lead, from any code."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Imaginable(Protocol):
    """A structural code that moves from any given code, for planners: `isinstance(module, Imaginable)`.

    Where a module's state holds more than `mec/g` tells (an LSTM's cell, a table of successors), it is imagined on a
    clone of the bus instead. The conformance suite holds `ahead` to what the module itself says next.
    """

    def ahead(self, g: Tensor, action: Tensor, motion: Tensor) -> Tensor:
        """The code `[N, n_g]` float32 that path integration gives after one move, not refused, from the codes `g`.

        g `[N, n_g]`, action `[N, 1]` int64 (-1: no move), motion `[N, 2]` in the unit of `env/motion`; a module reads
        of the two what it lives by. Nothing is kept or changed, and gradients pass.

        Raises:
            ValueError: the module's settings leave too little in a code to move it.
        """
        ...
