"""What could be known of where the agent is: an observer who knows every world that may be, and forgets nothing."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.spatial.lattice import Lattice
from envs.world import Ints


class IdealObserver:
    """Says where an agent is to be expected from what it senses: the mean place of all that it may be at.

    worlds: a lattice with a row for each world that may be, all equally likely, begun; worlds of the same moves count
    once. What is sensed must follow from moves and node (one kind of object). Felt motion is not read.

    No code can tell the place better, in squared error, than `seen` from one observation and `remembered` from all of a
    walk and its moves. In a room that looks alike when turned by 180 degrees, both know nothing (R2 0).

    Raises:
        ValueError: worlds of the same moves that look different, so that those that may be are not counted.
    """

    def __init__(self, worlds: Lattice) -> None:
        tables = [worlds.table(row) for row in range(worlds.num_envs)]
        of_table: dict[bytes, int] = {}
        alike = np.array([of_table.setdefault(table.target.tobytes(), row) for row, table in enumerate(tables)])
        rows = np.unique(alike)
        nodes = max(len(table) for table in tables)
        self._target = np.full((len(rows), nodes, len(worlds.metadata["actions"])), -1)
        self._place = np.full((len(rows), nodes, 2), np.nan)
        for i, table in enumerate(tables[row] for row in rows.tolist()):
            self._target[i, : len(table)] = table.target
            self._place[i, : len(table)] = table.place
        before, seen = worlds.save(), []
        for node in range(nodes):
            for row, table in enumerate(tables):
                worlds.teleport(row, min(node, len(table) - 1))
            seen.append(worlds.restore(worlds.save())[0])
            if not np.array_equal(seen[-1], seen[-1][alike]):
                raise ValueError("worlds of the same moves look different: pass objects=1, no landmarks and no goal")
        worlds.restore(before)
        views = np.stack(seen, axis=1)[rows].reshape(len(rows) * nodes, -1)
        distinct, number = np.unique(views, axis=0, return_inverse=True)
        self._number = {view.tobytes(): i for i, view in enumerate(distinct)}
        self._view = number.reshape(len(rows), nodes)
        self._may = ~np.isnan(self._place[..., 0])

    def seen(self, observation: NDArray[Any]) -> NDArray[np.float64]:
        """The mean place [..., 2] of all nodes where this is sensed [..., *shape]; NaN where it never is."""
        view, place = self._view[self._may], self._place[self._may]
        count = np.bincount(view, minlength=len(self._number) + 1)
        total = np.stack([np.bincount(view, place[:, i], len(count)) for i in (0, 1)], axis=1)
        with np.errstate(invalid="ignore"):
            mean: NDArray[np.float64] = (total / count[:, None])[self._numbers(observation)]
        return mean

    def remembered(self, walk: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """The same [T, B, 2] from all that was sensed and done on a walk (`policies.walk`) until then."""
        number, action = self._numbers(walk["observation"]), walk["action"]
        place: NDArray[np.float64] = np.full((*number.shape, 2), np.nan)
        for b in range(number.shape[1]):
            for t in range(len(number)):
                if walk["start"][t, b]:
                    world, node = np.nonzero(self._may)
                else:
                    to = self._target[world, node, action[t, b]]
                    node = np.where(to < 0, node, to)
                still = self._view[world, node] == number[t, b]
                world, node = world[still], node[still]
                if len(node):
                    place[t, b] = self._place[world, node].mean(axis=0)
        return place

    def _numbers(self, observation: NDArray[Any]) -> Ints:
        """The number of each view; one past the last for what no world shows."""
        flat = observation.reshape(-1, observation[0, 0].size)
        found = [self._number.get(view.tobytes(), len(self._number)) for view in flat]
        return np.array(found, np.int64).reshape(observation.shape[:2])
