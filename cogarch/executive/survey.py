"""The survey: what was seen where, laid out in the coordinates of felt motion.

Pure functions on a state with one row an agent. A view goes with the body; turned by the felt heading and moved by the
felt way it comes to lie on a map that stays (the transformation between egocentric and allocentric frames of Bicanski &
Burgess 2018; what is known of each cell of the map is what object-vector and boundary cells tell). Positions are whole
cells from where the life began, `x` along the heading that it began with, `y` to the left of it; headings are quarter
turns, counter-clockwise. The map is a torus of `N` x `N` cells: where the agent is, it reaches `N / 2` cells each way.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from cogarch.module import State

UNSEEN = 0
UNSEEN_CLEAR = 0.5
"""The chance that one can see through a cell that was never seen."""
SYMBOLS, KINDS = 512, 64
"""Symbols tell an object (16), its colour (8) and its state (4) apart; kinds an object and its state."""
AHEAD = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""The cell ahead (x, y), by heading."""


def symbols(view: Tensor) -> Tensor:
    """Views or cells of object, colour and state `[..., 3]` as symbols `[...]` int64; `UNSEEN` is 0."""
    thing, colour, state = view.long().unbind(-1)
    symbol = (thing % 16) * 32 + (colour % 8) * 4 + state % 4
    return torch.where(thing == 0, UNSEEN, symbol)


def kinds(symbol: Tensor) -> Tensor:
    """The kind of each symbol: the object and its state, whatever its colour."""
    return symbol // 32 * 4 + symbol % 4


def init(batch: int, size: int) -> State:
    """Nothing seen: `map` `[B, N, N]` symbols by x and y; `looked` `[B, 4, N, N]`, the poses from which it has looked;
    `x`, `y` and `heading` `[B]`; `carried` `[B]`, the symbol shown where the body is; `far` `[B]`: how far from where
    the life began it has been."""
    whole = torch.zeros(batch, dtype=torch.int64)
    return {
        "map": torch.zeros(batch, size, size, dtype=torch.int16),
        "looked": torch.zeros(batch, 4, size, size, dtype=torch.bool),
        "carried": whole.clone(),
        "far": whole.clone(),
        **{name: whole.clone() for name in ("x", "y", "heading")},
    }


def move(survey: State, motion: Tensor) -> State:
    """Moved by what was felt `[B, 2]`, (turn in rad, advance in cells), to the next quarter turn and whole cell."""
    heading = (survey["heading"] + quarters(motion)) % 4
    ahead, advance = torch.tensor(AHEAD, device=heading.device)[heading], motion[:, 1].round().long()
    x, y = survey["x"] + advance * ahead[:, 0], survey["y"] + advance * ahead[:, 1]
    far = torch.maximum(survey["far"], torch.maximum(x.abs(), y.abs()))
    return survey | {"heading": heading, "x": x, "y": y, "far": far}


def quarters(motion: Tensor) -> Tensor:
    """Quarter turns `[...]` of felt motion `[..., 2]`."""
    return (motion[..., 0] / (math.pi / 2)).round().long()


def look(survey: State, view: Tensor) -> State:
    """What is seen now, symbols `[B, n, n]` by column (from the left) and row (the last one is the body's own), is laid
    onto the map; what is not seen stays as it was. Where the body is, the view shows what it carries."""
    batch, n, _ = view.shape
    size, rows = survey["map"].shape[-1], torch.arange(batch, device=view.device)
    x, y = _cells(survey, n, size)
    was = survey["map"][rows[:, None, None], x, y]
    shown = view != UNSEEN
    shown[:, n // 2, n - 1] &= was[:, n // 2, n - 1] == UNSEEN
    laid = survey["map"].index_put((rows[:, None, None], x, y), torch.where(shown, view.to(was.dtype), was))
    here = (rows, survey["heading"], survey["x"] % size, survey["y"] % size)
    looked = survey["looked"].index_put(here, torch.ones_like(rows, dtype=torch.bool))
    return survey | {"map": laid, "looked": looked, "carried": view[:, n // 2, n - 1]}


def _cells(survey: State, n: int, size: int) -> tuple[Tensor, Tensor]:
    """Where on the map each cell of a view lies, `[B, n, n]` each."""
    u, v = torch.tensor(AHEAD, device=survey["x"].device)[survey["heading"]].unbind(-1)
    step = torch.arange(n, device=u.device)
    right, ahead = (step - n // 2)[:, None], (n - 1 - step)[None, :]
    x = survey["x"][:, None, None] + ahead * u[:, None, None] + right * v[:, None, None]
    y = survey["y"][:, None, None] + ahead * v[:, None, None] - right * u[:, None, None]
    return x % size, y % size


def ahead(survey: State, plane: Tensor) -> Tensor:
    """What a plane `[B, N, N]` holds of the cell ahead, `[B]`."""
    size, rows = plane.shape[-1], torch.arange(len(plane), device=plane.device)
    u, v = torch.tensor(AHEAD, device=plane.device)[survey["heading"]].unbind(-1)
    return plane[rows, (survey["x"] + u) % size, (survey["y"] + v) % size]


class Frame(NamedTuple):
    """A square of `M` x `M` cells that holds all that a row has seen, and a margin. Its poses are numbered by heading,
    column, row: `(heading M + x) M + y`."""

    x: Tensor
    """`[B, M]`, the column of the map that each column is,"""
    y: Tensor
    """`[B, M]`, and the row;"""
    inside: Tensor
    """`[B, M, M]`: this cell is of the row's own square: others are there for rows that have seen more;"""
    here: Tensor
    """`[B]`: the pose at which the agent is."""

    def cut(self, plane: Tensor) -> Tensor:
        """Of planes `[B, ..., N, N]` what lies within, `[B, ..., M, M]`; 0 beyond the row's own square."""
        batch, m, size = *self.x.shape, plane.shape[-1]
        at = (self.x[:, :, None] * size + self.y[:, None, :]).view(batch, 1, m * m)
        flat = plane.reshape(batch, -1, size * size)
        part = flat.gather(2, at.expand(-1, flat.shape[1], -1)).view(*plane.shape[:-2], m, m)
        return part * self.inside.view(batch, *[1] * (plane.dim() - 3), m, m)


def frame(survey: State) -> Frame:
    """The square that holds all that was seen, of each row."""
    seen, size = survey["map"] != UNSEEN, survey["map"].shape[-1]
    low, width, centre = [], [], []
    for axis, name in ((2, "x"), (1, "y")):
        at = (survey[name][:, None] - size // 2 + torch.arange(size, device=seen.device)) % size  # as it lies about it
        known = seen.any(axis).gather(1, at).int()
        first, last = known.argmax(1), size - 1 - known.flip(1).argmax(1)
        low.append(first - 1)
        width.append(last - first + 3)
        centre.append(size // 2 - first + 1)
    m = min(int(torch.stack(width).max()), size)
    step = torch.arange(m, device=seen.device)
    x, y = ((survey[name] - size // 2 + lo)[:, None] + step for name, lo in zip("xy", low, strict=True))
    within = [step < w[:, None] for w in width]
    here = (survey["heading"] * m + centre[0]) * m + centre[1]
    return Frame(x % size, y % size, within[0][:, :, None] & within[1][:, None, :], here)


def outlook(unseen: Tensor, clear: Tensor, n: int) -> Tensor:
    """How many unseen cells a view of `n` x `n` is expected to show from each pose, `[B, 4, M, M]`.

    `unseen` `[B, M, M]` bool; `clear` `[B, M, M]`: the chance that one can see through a cell. What lies beyond is
    unseen. Sight spreads from row to row of the view, from the body's own on: from a cell that is seen and clear to
    those beside it in the row, and to those ahead of these three; from where the body is, always. The chance to see a
    cell is that of the best way of sight to it.
    """
    m, reach = clear.shape[-1], n - 1
    planes = []  # [n, B, 4, X, M]: by column of the view, from the left; ahead is along x
    for plane, beyond in ((clear, UNSEEN_CLEAR), (unseen.float(), 1.0)):
        around = torch.nn.functional.pad(plane, (reach,) * 4, value=beyond)
        turned = torch.stack([around.rot90(-q, (1, 2)) for q in range(4)], 1)
        planes.append(turned.unfold(3, m, 1)[:, :, :, reach - n // 2 : reach + n // 2 + 1].permute(3, 0, 1, 2, 4))
    through, new = planes
    seen = torch.zeros_like(new[..., :m, :])
    seen[n // 2] = 1.0
    gain = torch.zeros_like(seen[0])
    for row in range(n):
        open_ = through[..., row + reach : row + reach + m, :]
        if not row:
            open_ = open_.clone()
            open_[n // 2] = 1.0
        for order, step in ((range(n - 1), 1), (range(n - 1, 0, -1), -1)):
            for i in order:
                torch.maximum(seen[i + step], seen[i] * open_[i], out=seen[i + step])
        gain += (seen * new[..., row + reach : row + reach + m, :]).sum(0)
        lit = seen * open_
        seen = lit.clone()
        seen[1:] = torch.maximum(seen[1:], lit[:-1])
        seen[:-1] = torch.maximum(seen[:-1], lit[1:])
    return torch.stack([gain[:, q].rot90(q, (1, 2)) for q in range(4)], 1)
