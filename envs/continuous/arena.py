"""An open field in metres: free steps, a recorded path replayed, or a smooth random walk."""

import math
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.continuous.trajectory import LONGEST, SmoothWalk, load_trajectory
from envs.drawing import draw
from envs.settings import MOST_NUMBERS, MOST_PLACES, check_batch, check_most, check_objects
from envs.table import WALL, Table
from envs.world import ALLOCENTRIC, NOISE_BLOCK, Array, Bools, Floats, Ints, World

COMPASS = ("east", "northeast", "north", "northwest", "west", "southwest", "south", "southeast")
FEATURES = 64  # random Fourier features of a field
SHORTEST = 1e-6  # m, of a length
PIXELS = 160  # longer side of the picture of a field


class Arena(World):
    """An open field in metres: free steps, a recorded path replayed, or a smooth random walk.

    A grid of square patches, `cell` wide, lies over the field: `node` = row * columns + column, row 0 in the south, is
    the patch under the body. `place` is in m; `motion` is in cells of `cell` m, so that what was built for grids finds
    its scale (cells of 5 cm). place = first place + cell * the sum of motion. `heading` is the direction of the last
    move. `metadata` also holds `cell` and `origin` (x, y of the south-west corner, m).

    How the body moves (`trajectory`):

    - None: steps of `step` m in `directions` headings, from anywhere; one that would leave the field is refused.
    - "smooth": the action "follow" takes the body on along a `SmoothWalk` of its own, which never ends.
    - otherwise "follow" takes it to the next sample of a recorded path (`load_trajectory`). The last sample truncates
      the episode. A row that is stepped on nevertheless is carried back to the first sample, and feels the way.

    Nothing is refused on a path or a walk: only a free step bumps.

    Args:
        num_envs: fields stepped together.
        width, height: m, whole numbers of cells. A recorded path that does not lie in [0, width] x [0, height], such as
            one measured from the middle, keeps its numbers; the field is laid around the middle of its range.
        cell: side of a patch, m.
        directions: headings of a free step, counter-clockwise from east, evenly spread.
        step: length of a free step, m; None: one cell.
        trajectory: None, "smooth", "sargolini", "tanni", the path of an `.npz`, or an array [T, 2 or 3].
        start: the first sample of an episode on a recorded path is "drawn" from all but the last, or the "first".
        speed: mean speed of the smooth walk, m/s; None: 0.08.
        dt: s a tick. None: 0.1 on a smooth walk, the samples as they are on a recorded path.
        objects: kinds of objects; each patch holds one, drawn with replacement anew each episode.
        observation: "patches", the object underfoot, `Discrete(objects)`; or "field", a Box float32 [channels]: smooth
            random functions of place, of mean 0 and variance 1, drawn anew each episode.
        channels: functions of a field.
        length_scale: m over which a field changes: its correlation at distance d is exp(-d² / (2 length_scale²)).
        motion_noise: standard deviation of felt motion, cells a tick, on both components.
        render_mode: "rgb_array" or None.

    Raises:
        ValueError: a length that is not positive, or out of all bounds; a field of fewer than 2 x 2 patches or of
            broken ones; more patches, channels or draws than memory holds; a path that does not fit the field; a
            setting without meaning for the kind of trajectory; what `load_trajectory` says.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        width: float = 1.0,
        height: float = 1.0,
        cell: float = 0.05,
        directions: int = 4,
        step: float | None = None,
        trajectory: str | Path | list[list[float]] | None = None,
        start: Literal["drawn", "first"] = "drawn",
        speed: float | None = None,
        dt: float | None = None,
        objects: int = 45,
        observation: Literal["patches", "field"] = "patches",
        channels: int = 8,
        length_scale: float = 0.1,
        motion_noise: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        free, smooth = trajectory is None, isinstance(trajectory, str) and trajectory == "smooth"
        _check_meaning(free, smooth, step=step, dt=dt, speed=speed, start=None if start == "drawn" else start)
        step = cell if step is None else step
        check_objects(objects)
        _check_numbers(
            directions, channels, cell=cell, step=step, length_scale=length_scale, width=width, height=height
        )
        self._columns, self._rows = _patches("width", width, cell), _patches("height", height, cell)
        patches = self._columns * self._rows
        check_most("width x height / cell²", patches, MOST_PLACES, " patches")
        check_batch(num_envs, patches, "patches (width x height / cell²)", MOST_NUMBERS)
        self._size, self._cell = np.array([width, height], float), float(cell)
        angles = 2 * math.pi * np.arange(directions) / directions
        moves = step * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        self._moves = np.where(np.abs(moves) < 1e-12, 0.0, moves) if free else np.zeros((1, 2))
        names = COMPASS[:: 8 // directions] if directions in (4, 8) else [f"{a:g} degrees" for a in np.degrees(angles)]
        self._patchy = observation == "patches"
        space: gymnasium.Space[Any] = gymnasium.spaces.Discrete(objects)
        if not self._patchy:
            each = channels * FEATURES
            check_batch(num_envs, each, f"numbers, {FEATURES} a channel (channels is {channels:,})", MOST_NUMBERS)
            space = gymnasium.spaces.Box(-np.inf, np.inf, (channels,), np.float32)
        super().__init__(
            num_envs,
            space,
            names if free else ("follow",),
            ALLOCENTRIC,
            motion_noise,
            render_mode,
            angles=angles.tolist() if free else None,
            place_unit="m",
        )
        self._origin = np.zeros(2)
        self._walk = None
        if smooth:
            self._walk = SmoothWalk(width, height, 0.1 if dt is None else dt, 0.08 if speed is None else speed)
            ahead = NOISE_BLOCK * self._walk.substeps * 2
            check_batch(num_envs, ahead, f"draws for ticks to come (dt is {self._walk.dt:g} s)", MOST_NUMBERS)
            self._walkers = np.zeros((num_envs, 5))
            self._draws = np.empty((num_envs, NOISE_BLOCK, self._walk.substeps, 2))
            self._draws_used = np.full(num_envs, NOISE_BLOCK)
        self._path = None
        if trajectory is not None and not smooth:
            self._path, self._origin = _laid(load_trajectory(trajectory, dt), self._size)
            self._path.setflags(write=False)
            self._sample, self._from_first = np.zeros(num_envs, np.int64), start == "first"
        self.metadata.update(cell=self._cell, origin=tuple(self._origin.tolist()))
        for constant in (self._size, self._moves, self._origin):
            constant.setflags(write=False)

        self._objects, self._channels, self._length_scale = objects, channels, length_scale
        if self._patchy:
            self._map = np.zeros((num_envs, self._rows * self._columns), np.int32)
        else:
            self._waves = np.zeros((num_envs, 3, FEATURES))  # rad per m eastwards and northwards, and phases
            self._weights = np.zeros((num_envs, channels, FEATURES))
        self._at = np.zeros((num_envs, 2))  # m from the south-west corner
        self._heading = np.zeros(num_envs, np.float32)

    # ---- moving ----

    def _begin(self, rows: Ints) -> None:
        self._draw_senses(rows)
        u = self._uniform(rows, 3)
        self._heading[rows] = 0.0
        if self._walk:
            self._draws_used[rows] = NOISE_BLOCK
            self._walkers[rows] = self._walk.begin(u, self._next_draws(rows)[:, 0])
            self._at[rows] = self._walkers[rows, :2]
        elif self._path is not None:
            drawn = (u[:, 0] * (len(self._path) - 1)).astype(np.int64)
            self._sample[rows] = 0 if self._from_first else drawn
            self._at[rows] = self._path[self._sample[rows]]
        else:
            self._at[rows] = u[:, :2] * self._size

    def _move(self, actions: Ints) -> tuple[Floats, Bools]:
        bump = np.zeros(self.num_envs, np.bool_)
        if self._walk:
            self._walkers = self._walk.advance(self._walkers, self._next_draws(self._every_row))
            at = self._walkers[:, :2].copy()
        elif self._path is not None:
            self._sample = (self._sample + 1) % len(self._path)
            at = self._path[self._sample]
        else:
            at = self._at + self._moves[actions]
            outside = (at < 0) | (at > self._size)
            bump = outside[:, 0] | outside[:, 1]
            at[bump] = self._at[bump]
        motion = ((at - self._at) / self._cell).astype(np.float32)
        moved = motion.any(axis=1)
        self._heading = np.where(moved, np.arctan2(motion[:, 1], motion[:, 0]), self._heading)
        self._at = at
        return motion, bump

    def _outcome(self) -> tuple[NDArray[np.float64], Bools, Bools]:
        reward, terminated, truncated = super()._outcome()
        if self._path is not None:
            truncated = np.equal(self._sample, len(self._path) - 1)
        return reward, terminated, truncated

    def _next_draws(self, rows: Ints) -> NDArray[np.float64]:
        """Standard normal draws of a tick [rows, substeps, 2]; each row's come from its generator in blocks."""
        for row in rows[self._draws_used[rows] == NOISE_BLOCK].tolist():
            self.generators[row].standard_normal(out=self._draws[row])
            self._draws_used[row] = 0
        self._draws_used[rows] += 1
        draws: NDArray[np.float64] = self._draws[rows, self._draws_used[rows] - 1]
        return draws

    # ---- sensing ----

    def _draw_senses(self, rows: Ints) -> None:
        if self._patchy:
            self._map[rows] = self._uniform(rows, self._map.shape[1]) * self._objects
            return
        for row in rows.tolist():
            generator = self.generators[row]
            self._waves[row, :2] = generator.standard_normal((2, FEATURES)) / self._length_scale
            self._waves[row, 2] = 2 * math.pi * generator.random(FEATURES)
            self._weights[row] = generator.standard_normal((self._channels, FEATURES))

    def _field(self, row: Ints, at: NDArray[np.float64]) -> NDArray[np.float64]:
        """The field of each row [n] at a place in it [n, 2], as [n, channels]: random Fourier features, after Rahimi &
        Recht (2007), of a Gaussian random field with a squared-exponential kernel."""
        turns = at[:, :1] * self._waves[row, 0] + at[:, 1:] * self._waves[row, 1] + self._waves[row, 2]
        features = np.cos(turns) * math.sqrt(2 / FEATURES)
        value: NDArray[np.float64] = (self._weights[row] * features[:, None]).sum(axis=2)
        return value

    def _observe(self) -> Array:
        if self._patchy:
            return self._map[self._every_row, self._node()].astype(np.int64)
        return self._field(self._every_row, self._at).astype(np.float32)

    def _node(self) -> Ints:
        column, row = (self._at / self._cell).astype(np.int64).T
        node: Ints = np.minimum(row, self._rows - 1) * self._columns + np.minimum(column, self._columns - 1)
        return node

    # ---- the truth ----

    def _truth(self) -> tuple[Ints, Floats, Floats]:
        return self._node(), (self._origin + self._at).astype(np.float32), self._heading.copy()

    def table(self, row: int = 0) -> Table:
        """The patches, and where a free step from the centre of each ends.

        With the default step and directions this is exact from anywhere: the body keeps its offset within the patch.
        With 8, a step of one cell along a diagonal is felt as (0.71, 0.71) and ends in the diagonal patch when it
        begins at a centre; from elsewhere it may end in one beside that. A step of half a cell or less stays in its
        patch: such a table has no way from patch to patch. On a path or a walk the action decides nothing, and leads
        nowhere. Shortest ways between places of an open field are straight lines, which no table of steps measures.
        """
        self._check_row(row, begun=False)  # it is constant
        centre = self._centres() * self._cell
        end = centre[:, None] + self._moves
        within = (end >= 0) & (end <= self._size)
        inside = within[..., 0] & within[..., 1] & (self._path is None and self._walk is None)
        to = np.minimum(np.floor(end / self._cell + 1e-9).astype(np.int64), [self._columns - 1, self._rows - 1])
        motion = np.where(inside[..., None], self._moves / self._cell, 0.0).astype(np.float32)
        target = np.where(inside, to[..., 1] * self._columns + to[..., 0], WALL)
        place = (self._origin + centre).astype(np.float32)
        return Table(self.metadata["actions"], target, place, motion, np.zeros(len(place), np.float32))

    def _centres(self) -> NDArray[np.float64]:
        """Centre of each patch [N, 2], cells from the south-west corner."""
        y, x = np.divmod(np.arange(self._rows * self._columns), self._columns)
        return np.stack([x + 0.5, y + 0.5], axis=1)

    def _objects_at(self, row: int) -> Ints | None:
        return self._map[row].astype(np.int64) if self._patchy else None

    def _frame(self, row: int) -> NDArray[np.uint8]:
        if self._patchy:
            tile = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
            x, y = (self._at[row] / self._cell).tolist()
            return draw(self._centres(), self._map[row], tile, (x, y))
        # the first three channels as red, green and blue, and the body as a dark disc
        pixel = self._size.max() / PIXELS
        width, height = np.maximum(np.rint(self._size / pixel), 1).astype(int)
        colours = np.zeros((height, width, 3))
        for y, line in enumerate(colours[::-1]):  # a line at a time: all features of all pixels would fill memory
            at = pixel * np.stack([np.arange(width) + 0.5, np.full(width, y + 0.5)], axis=1)
            shade = self._field(np.full(width, row), at)[:, :3]
            line[:, : shade.shape[1]] = 255 / (1 + np.exp(-1.5 * shade))
            line[np.linalg.norm(at - self._at[row], axis=1) < 0.015 * self._size.max()] = 38
        return colours.astype(np.uint8)


def _patches(name: str, size: float, cell: float) -> int:
    patches = round(size / cell)
    if not np.isclose(patches * cell, size, rtol=1e-9, atol=0):
        raise ValueError(f"{name} is {size} m: give a whole number of cells of {cell} m")
    if patches < 2:
        raise ValueError(f"{name} is {size} m, {patches} cells of {cell} m: a field is at least 2 cells wide and high")
    return patches


def _laid(path: NDArray[np.float64], size: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A path from the south-west corner of its field, and the corner: at 0, or where the path lies in the middle."""
    low, high = path.min(axis=0), path.max(axis=0)
    if (high - low > size + 1e-6).any():
        (across, up), (width, height) = high - low, size
        raise ValueError(
            f"the path is {across:g} m wide and {up:g} m high, the field {width:g} x {height:g} m: "
            "give a larger width and height (paths are in m, those of files with x and y in cm)"
        )
    inside = (low >= -1e-6).all() and (high <= size + 1e-6).all()
    corner = np.zeros(2) if inside else (low + high - size) / 2
    return np.clip(path - corner, 0.0, size), corner


def _check_meaning(free: bool, smooth: bool, **given: object) -> None:
    """Refuse settings that the kind of trajectory would not heed."""
    heeded = {"step": free, "dt": not free, "speed": smooth, "start": not (free or smooth)}
    needs = {"step": "None", "dt": "a path or a walk", "speed": '"smooth"', "start": "a recorded path"}
    for name, value in given.items():
        if value is not None and not heeded[name]:
            raise ValueError(f"{name} is {value}, which means something only where trajectory is {needs[name]}")


def _check_numbers(directions: int, channels: int, **lengths: float) -> None:
    if not 3 <= directions <= 360:
        raise ValueError(f"directions is {directions}: give 3 to 360")
    if channels < 1:
        raise ValueError(f"channels is {channels}: give 1 or more")
    for name, length in lengths.items():
        if not SHORTEST <= length <= LONGEST:
            raise ValueError(f"{name} is {length} m: give a positive number, {SHORTEST:g} to {LONGEST:,.0f}")
