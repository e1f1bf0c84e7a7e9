"""Multi-block masking (I-JEPA, Assran et al. 2023): which patches are to be predicted, and from which."""

from __future__ import annotations

import math
from collections.abc import Sequence

TARGETS = 4  # blocks to be predicted
AREA, ASPECT = (0.15, 0.2), (0.75, 1.5)  # of a target block: share of the view, height over width
CONTEXT = (0.85, 1.0)  # share of the view, a square
DRAWS = 3 + 2 * (TARGETS + 1)
"""Random numbers that it takes."""


def blocks(u: Sequence[float], height: int, width: int) -> tuple[list[int], list[list[int]]]:
    """The patches of the context, and those of each target block, of `height` x `width` patches counted row by row.

    u: `DRAWS` numbers in [0, 1). Target blocks are of one size and may overlap; the context has none of their patches.
    In small views a block is one patch at least; where the targets leave nothing of the context, it is all that is
    not a target, and targets are given up, the last ones first, where even that is nothing. 2 patches at least.
    """
    area, aspect, share, *corners = u
    size = height * width
    tall, broad = _shape(int(size * _between(area, AREA)), _between(aspect, ASPECT), height, width)
    if tall * broad == size:  # something must be left to predict it from
        tall, broad = (tall - 1, broad) if tall > 1 else (tall, broad - 1)
    at = [(corners[2 * i], corners[2 * i + 1]) for i in range(TARGETS + 1)]
    targets = [_block(*corner, tall, broad, height, width) for corner in at[:TARGETS]]
    around = _block(*at[TARGETS], *_shape(int(size * _between(share, CONTEXT)), 1.0, height, width), height, width)
    while True:
        hidden = {patch for block in targets for patch in block}
        context = [patch for patch in around if patch not in hidden]
        context = context or [patch for patch in range(size) if patch not in hidden]
        if context:
            return context, targets
        targets.pop()


def _between(u: float, ends: tuple[float, float]) -> float:
    return ends[0] + u * (ends[1] - ends[0])


def _shape(patches: int, aspect: float, height: int, width: int) -> tuple[int, int]:
    """Of a block of about so many patches that fits."""
    tall, broad = round(math.sqrt(patches * aspect)), round(math.sqrt(patches / aspect))
    return min(max(tall, 1), height), min(max(broad, 1), width)


def _block(down: float, right: float, tall: int, broad: int, height: int, width: int) -> list[int]:
    top, left = int(down * (height - tall + 1)), int(right * (width - broad + 1))
    return [row * width + column for row in range(top, top + tall) for column in range(left, left + broad)]
