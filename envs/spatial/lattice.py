"""Places on a lattice: what squares, hexes, tori, rooms and mazes share."""

import math
from abc import abstractmethod
from typing import Any, Literal, TypedDict

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.drawing import draw
from envs.settings import MOST_NUMBERS, check_batch, check_objects, is_whole
from envs.spatial.geometry import Geometry
from envs.spatial.overhead import SIGHTS, Overhead
from envs.spatial.view import View
from envs.table import CLOSED, WALL, Table
from envs.world import ALLOCENTRIC, EGOCENTRIC, Array, Bools, Floats, Ints, World

LANDMARKS = 10  # kinds of objects reserved for landmarks (Whittington et al. 2020)
TURNS = ("left", "right", "forward")
TURNED = np.array([1, -1, 0, 0])
STILL = -1  # in place of an action that was refused


class LatticeSettings(TypedDict, total=False):
    """What every lattice can be given."""

    objects: int  # kinds of objects; each place holds one, drawn with replacement anew each episode
    landmarks: int  # how many places hold instead one of 10 objects reserved for that, each another
    borders: bool  # a place beside a wall is sensed as such: one sense for each set of walled sides
    goal: bool  # a place drawn anew each episode pays 1 at each arrival
    endless: bool  # False: the episode ends when the goal is reached
    body: Literal["allocentric", "egocentric"]  # moves by compass; or left, right (one direction on), forward
    stay: bool  # one more action, the last: stand still
    # sense a window of so many by so many places (`View`), or all from above (`Overhead`); None: the object underfoot
    view: int | Literal["map", "pixels"] | None
    motion_noise: float  # standard deviation of felt motion: cells a step, rad a turn
    render_mode: str | None  # "rgb_array" or None


DEFAULTS: LatticeSettings = {
    "objects": 45,
    "landmarks": 0,
    "borders": False,
    "goal": False,
    "endless": True,
    "body": "allocentric",
    "stay": False,
    "view": None,
    "motion_noise": 0.0,
    "render_mode": None,
}


class Lattice(World):
    """The base of worlds whose places lie on a square or hexagonal lattice; each row may have a layout of its own.

    State is the place of each row as an index into flat tables over all rows, so that a step is one look-up. A world
    writes `_layout`, which calls `_lay`, and `_start` if its start is not just any place.

    node: the place, in the order of rows from the south; with an egocentric body, place * directions + direction.
    """

    _thick = False  # whether walls are as wide as places
    _measures = "width x height"  # the settings that decide how many places there are

    def __init__(
        self, num_envs: int, geometry: Geometry, shape: tuple[int, int], least: int, settings: LatticeSettings
    ) -> None:
        """shape: rows and columns of the largest layout; least: places of the smallest."""
        s: LatticeSettings = {**DEFAULTS, **settings}
        _check(s, least, len(geometry.steps))
        num_envs = check_batch(num_envs, shape[0] * shape[1], f"places ({self._measures})")
        directions = len(geometry.steps)
        self._egocentric = s["body"] == "egocentric"
        self._objects, self._n_landmarks, self._borders = s["objects"], s["landmarks"], s["borders"]
        self._pays, self._endless, self._stays = s["goal"], s["endless"], s["stay"]
        senses = s["objects"] + (LANDMARKS if s["landmarks"] else 0) + ((2**directions - 1) if s["borders"] else 0)
        self._senses = senses
        self._view: View | Overhead | None = None
        if isinstance(s["view"], str):
            self._view = Overhead(shape, s["view"], self._egocentric)
            check_batch(num_envs, self._view.size, f"numbers to be seen (view is {s['view']!r})", MOST_NUMBERS)
        elif s["view"] is not None:
            self._view = View(geometry, s["view"], self._egocentric)
            check_batch(num_envs, s["view"] ** 2, f"positions in sight (view is {s['view']})")
        super().__init__(
            num_envs,
            gymnasium.spaces.Discrete(senses) if self._view is None else self._view.space(senses),
            (*(TURNS if self._egocentric else geometry.directions), *(("stay",) if s["stay"] else ())),
            EGOCENTRIC if self._egocentric else ALLOCENTRIC,
            s["motion_noise"],
            s["render_mode"],
            angles=None if self._egocentric else (*geometry.angles, *((math.nan,) if s["stay"] else ())),
            senses="pose" if self._egocentric and self._view else "place",
            pixels=s["view"] == "pixels",
        )
        self._geometry, self._shape, self._most = geometry, shape, shape[0] * shape[1]
        turn = 2 * math.pi / directions
        felt = [[turn, 0], [-turn, 0], [0, 1]] if self._egocentric else geometry.felt
        still = [[0, 0]] * (1 + s["stay"])
        self._felt_of_action = np.array([*felt, *still], np.float32)  # [A + 1, 2], the last of a refused move
        self._felt_of_action.setflags(write=False)
        self._first = np.arange(num_envs) * self._most  # of each row's places in the flat tables
        self._first.setflags(write=False)
        self._count = np.zeros(num_envs, np.int64)  # places of each row
        self._target = np.full(num_envs * self._most * directions, WALL, np.int64)  # place * D + direction -> place
        self._position = np.zeros((num_envs * self._most, 2), np.int64)  # lattice coordinates
        self._place = np.zeros((num_envs * self._most, 2), np.float32)
        self._map = np.zeros(num_envs * self._most, np.int32)  # what is sensed of each place
        self._at = self._first.copy()
        self._heading = np.zeros(num_envs, np.int64)
        if self._pays:
            self._goal = np.zeros(num_envs, np.int64)
            self._arrived = np.zeros(num_envs, np.bool_)

    # ---- what a world writes ----

    @abstractmethod
    def _layout(self, rows: Ints) -> None:
        """Draw and `_lay` the layout of these rows, where it changes."""

    def _start(self, rows: Ints) -> Ints:
        """The place, within its row, where each of these rows begins."""
        return self._draw(rows, self._free(rows))

    def _free(self, rows: Ints) -> Bools:
        """The places that may be a start, a goal or a landmark [rows, most places of a row]."""
        return np.arange(self._most) < self._count[rows, None]

    def _draw(self, rows: Ints, places: Bools) -> Ints:
        """One of the places [rows, most], within its row, each equally likely."""
        pick = (self._uniform(rows, 1)[:, 0] * places.sum(axis=1)).astype(np.int64)
        drawn: Ints = (places.cumsum(axis=1) > pick[:, None]).argmax(axis=1)
        return drawn

    # ---- layouts ----

    def _draw_sizes(self, rows: Ints, width: tuple[int, int], height: tuple[int, int] | None) -> tuple[Ints, Ints]:
        """Width and height of each of these rows, from their ranges; None: as wide as high."""
        u = self._uniform(rows, 2)
        wide = width[0] + (u[:, 0] * (width[1] - width[0] + 1)).astype(np.int64)
        if height is None:
            return wide, wide
        return wide, height[0] + (u[:, 1] * (height[1] - height[0] + 1)).astype(np.int64)

    def _lay(self, rows: Ints, is_place: Bools, size: tuple[Ints, Ints] | None = None) -> Ints:
        """Make tables of moves: each place leads to the places beside it.

        is_place: [rows, height, width]. size: width and height of each row's torus, where the edges are joined.
        Returns the index of each lattice position within its row, -1 where it is no place, [rows, height, width].
        """
        directions = len(self._geometry.steps)
        at = (is_place.reshape(len(rows), -1).cumsum(axis=1) - 1).reshape(is_place.shape)
        at[~is_place] = -1
        row, r, q = np.nonzero(is_place)
        flat = self._first[rows[row]] + at[row, r, q]
        self._count[rows] = at.reshape(len(rows), -1).max(axis=1) + 1
        self._position[flat, 0], self._position[flat, 1] = q, r
        self._place[flat] = (self._position[flat] - self._origin()) @ self._geometry.basis
        target = self._target.reshape(self.num_envs, -1)
        target[rows] = WALL
        edged = np.pad(at, ((0, 0), (0, 1), (0, 1)), constant_values=-1)  # index -1, too, is outside
        for direction, (dq, dr) in enumerate(self._geometry.steps.tolist()):
            to_q, to_r = q + dq, r + dr
            if size is not None:
                to_q, to_r = to_q % size[0][row], to_r % size[1][row]
            to = edged[row, to_r, to_q]
            self._target[flat * directions + direction] = np.where(to < 0, WALL, to + self._first[rows[row]])
        return at

    def _origin(self) -> tuple[int, int]:
        """Lattice coordinates of the place (0, 0) of the plane."""
        return 0, 0

    # ---- the life of a world ----

    def _begin(self, rows: Ints) -> None:
        self._layout(rows)
        self._at[rows] = self._first[rows] + self._start(rows)
        senses = self._map.reshape(self.num_envs, -1)
        senses[rows] = self._uniform(rows, self._most) * self._objects
        if self._borders:
            self._sense_borders(rows)
        if self._n_landmarks:
            self._put_landmarks(rows)
        if self._egocentric:
            self._heading[rows] = self._uniform(rows, 1)[:, 0] * len(self._geometry.steps)
        if self._pays:
            free = self._free(rows)
            free[np.arange(len(rows)), self._at[rows] - self._first[rows]] = False  # any place but the start
            self._goal[rows] = self._first[rows] + self._draw(rows, free)
            self._arrived[rows] = False

    def _sense_borders(self, rows: Ints) -> None:
        walled = self._target.reshape(self.num_envs, self._most, -1)[rows] == WALL  # doors come and go
        sides = walled @ (1 << np.arange(walled.shape[2]))
        border = self._objects + (LANDMARKS if self._n_landmarks else 0) + sides - 1
        senses = self._map.reshape(self.num_envs, -1)
        senses[rows] = np.where(sides > 0, border, senses[rows])

    def _put_landmarks(self, rows: Ints) -> None:
        u = self._uniform(rows, self._most + LANDMARKS)
        u[:, : self._most][~self._free(rows)] = 1.0
        places = u[:, : self._most].argsort(axis=1)[:, : self._n_landmarks]
        kinds = u[:, self._most :].argsort(axis=1)[:, : self._n_landmarks]
        self._map[self._first[rows, None] + places] = self._objects + kinds

    def _move(self, actions: Ints) -> tuple[Floats, Bools]:
        directions = len(self._geometry.steps)
        if self._egocentric:
            self._heading = (self._heading + TURNED.take(actions)) % directions
            target = self._target.take(self._at * directions + self._heading)
            target = np.where(actions == 2, target, self._at)
        elif self._stays:
            target = self._target.take(self._at * directions + np.minimum(actions, directions - 1))
            target = np.where(actions == directions, self._at, target)
        else:
            target = self._target.take(self._at * directions + actions)
        bump = target < 0
        if bump.any():
            target = np.where(bump, self._at, target)
            actions = np.where(bump, STILL, actions)
        motion = self._felt_of_action.take(actions, axis=0)
        if self._pays:
            self._arrived = (target == self._goal) & (target != self._at)
        self._at = target
        return motion, bump

    def _observe(self) -> Array:
        if self._view is None:
            return self._map.take(self._at).astype(np.int64)
        goal = self._goal if self._pays else None
        if isinstance(self._view, View):
            return self._view.paint(self._view.see(self._target, self._at, self._heading), self._map, goal)
        shape = (self.num_envs, self._most)
        return self._view.observe(
            self._target.reshape(*shape, -1),
            self._position.reshape(*shape, 2),
            np.arange(self._most) < self._count[:, None],
            self._map.reshape(shape),
            self._at - self._first,
            self._heading,
            None if goal is None else goal - self._first,
        )

    def _truth(self) -> tuple[Ints, Floats, Floats]:
        node = self._at - self._first
        place = self._place.take(self._at, axis=0)
        if not self._egocentric:
            return node, place, np.zeros(self.num_envs, np.float32)
        directions = len(self._geometry.steps)
        return node * directions + self._heading, place, (self._heading * (2 * math.pi / directions)).astype(np.float32)

    def _outcome(self) -> tuple[NDArray[np.float64], Bools, Bools]:
        reward, terminated, truncated = super()._outcome()
        if self._pays:
            reward += self._arrived
            terminated |= self._arrived & (not self._endless)
        return reward, terminated, truncated

    # ---- what an experimenter may do to it; sensed from the next step on, or by `restore(save())` ----

    def teleport(self, row: int, node: int) -> None:
        """Put the agent of a row on another node."""
        place, turned = divmod(self._node(row, node), len(self._geometry.steps) if self._egocentric else 1)
        self._at[row] = self._first[row] + place
        if self._egocentric:
            self._heading[row] = turned

    def put_object(self, row: int, node: int, thing: int) -> None:
        """Let the place of a node hold another object, a number below the kinds that its world senses."""
        place = self._node(row, node) // (len(self._geometry.steps) if self._egocentric else 1)
        if not is_whole(thing) or not 0 <= thing < self._senses:
            raise ValueError(f"object is {thing!r}: row {row} holds objects 0..{self._senses - 1}")
        self._map[self._first[row] + place] = thing

    def change_landmark(self, row: int, node: int, by: int = 1) -> None:
        """Let the landmark at a node be another one, `by` kinds further among the 10 that there are."""
        place = self._node(row, node) // (len(self._geometry.steps) if self._egocentric else 1)
        kind = int(self._map[self._first[row] + place]) - self._objects
        if not self._n_landmarks or not 0 <= kind < LANDMARKS:
            raise ValueError(f"node {node} of row {row} has no landmark: give one of landmarks({row})")
        self.put_object(row, node, self._objects + (kind + by) % LANDMARKS)

    def _node(self, row: int, node: int) -> int:
        """The node, if the row has it."""
        self._check_row(row)
        most = int(self._count[row]) * (len(self._geometry.steps) if self._egocentric else 1)
        if not is_whole(node) or not 0 <= node < most:
            raise ValueError(f"node is {node!r}: row {row} has nodes 0..{most - 1}")
        return int(node)

    # ---- what a world knows of itself ----

    def table(self, row: int = 0) -> Table:
        self._check_row(row)
        own = self._own(row)
        target = self._target.reshape(self.num_envs * self._most, -1)[own]
        target = np.where(target < 0, target, target - self._first[row])
        place, names = self._place[own].copy(), self.metadata["actions"]
        n, directions = target.shape
        if not self._egocentric:
            moves = np.column_stack([target, np.arange(n)]) if self._stays else target
            motion = np.where(moves[..., None] >= 0, self._felt_of_action[:-1], np.float32(0))
            return Table(names, moves, place, motion, np.zeros(n, np.float32))
        node, heading = np.divmod(np.arange(n * directions), directions)
        ahead = np.where(target < 0, target, target * directions + np.arange(directions)).ravel()
        turned = [node * directions + (heading + turn) % directions for turn in TURNED[:2]]
        moves = np.stack([*turned, ahead, *([np.arange(n * directions)] if self._stays else [])], axis=1)
        motion = np.where(moves[..., None] >= 0, self._felt_of_action[:-1], np.float32(0))
        angle = (heading * (2 * math.pi / directions)).astype(np.float32)
        return Table(names, moves, place[node], motion, angle)

    def landmarks(self, row: int = 0) -> Ints:
        if not self._n_landmarks:
            return super().landmarks(row)
        self._check_row(row)
        senses = self._objects_at(row)
        return np.flatnonzero((senses >= self._objects) & (senses < self._objects + LANDMARKS))

    def goal(self, row: int = 0) -> Ints:
        """The nodes at which the goal of a row's world is reached; none where it has none."""
        self._check_row(row, begun=self._pays)
        if not self._pays:
            return np.empty(0, np.int64)
        goal: Ints = self._goal[[row]] - self._first[row]
        directions = len(self._geometry.steps)
        return goal * directions + np.arange(directions) if self._egocentric else goal

    def walls(self, row: int = 0) -> NDArray[np.float64]:
        """The walls of a row's world, closed doors included, each once, as lines [W, 2, 2] on the plane, in cells."""
        self._check_row(row)
        lines = self._sides(row, WALL, CLOSED)
        middles = lines.mean(axis=1).round(3) + 0.0  # no two walls have the same
        _, once = np.unique(middles, axis=0, return_index=True)
        return lines[once]

    def _sides(self, row: int, *kinds: int) -> NDArray[np.float64]:
        own, directions = self._own(row), len(self._geometry.steps)
        place, side = np.nonzero(np.isin(self._target.reshape(-1, directions)[own], kinds))
        corners = self._geometry.tile[np.stack([side - 1, side], axis=1)]  # a side lies between two corners
        lines: NDArray[np.float64] = self._place[own][place, None] + corners
        return lines

    def _objects_at(self, row: int) -> Ints:
        senses = self._map[self._own(row)].astype(np.int64)
        return senses.repeat(len(self._geometry.steps)) if self._egocentric else senses

    def _own(self, row: int) -> slice:
        return slice(int(self._first[row]), int(self._first[row] + self._count[row]))

    def _frame(self, row: int) -> NDArray[np.uint8]:
        own = self._own(row)
        x, y = self._place[self._at[row]].tolist()
        marks: dict[str, Any] = {"walls": self._sides(row, WALL), "closed": self._sides(row, CLOSED)}
        marks["ground"] = "0.35" if self._thick else "white"
        if self._n_landmarks:
            marks["landmarks"] = self._map[own] >= self._objects
        if self._pays:
            marks["goal"] = self._place[self._goal[row]]
        if self._egocentric:
            marks["heading"] = float(self._heading[row] * 2 * math.pi / len(self._geometry.steps))
        return draw(self._place[own], self._map[own], self._geometry.tile, (x, y), **marks)


def _check(settings: LatticeSettings, least: int, directions: int) -> None:
    if unknown := settings.keys() - DEFAULTS.keys():
        raise TypeError(f"a lattice has no setting {', '.join(sorted(unknown))}")
    check_objects(settings["objects"])
    if not 0 <= settings["landmarks"] <= min(LANDMARKS, least):
        there = f"as few as {least} places" if least < LANDMARKS else f"{LANDMARKS} kinds of them"
        raise ValueError(f"landmarks is {settings['landmarks']}: there are {there}; give 0 to {min(LANDMARKS, least)}")
    if settings["body"] not in ("allocentric", "egocentric"):
        raise ValueError(f'body is {settings["body"]!r}: give "allocentric" (compass) or "egocentric" (turns)')
    if isinstance(settings["view"], str) and (settings["view"] not in SIGHTS or directions != 4):
        raise ValueError(
            f"view is {settings['view']!r}: give an odd number, None, or on squares "
            + " or ".join(f'"{sight}"' for sight in SIGHTS)
        )
    if not settings["endless"] and not settings["goal"]:
        raise ValueError("endless is False, but there is no goal to end at: pass goal=True")
