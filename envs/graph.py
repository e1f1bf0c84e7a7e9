"""Any graph as a world: the nodes are places, the labels of the edges are actions."""

from pathlib import Path

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.drawing import draw
from envs.graph_table import AnyGraph, graph_table
from envs.world import ALLOCENTRIC, Array, Bools, Floats, Ints, SingleWorld, World


class Graph(World):
    """Any connected graph with labelled edges; the agent senses the object of its node.

    Args:
        num_envs: worlds stepped together, all on this graph, each with a sensory map of its own.
        graph: a networkx graph (directed, undirected or multi), or the path of a GraphML (`.graphml`) or GEXF (`.gexf`)
            file, or else of an edge list (`from to action`, one move a line).
        label: the edge attribute that names the action. An undirected edge needs a name each way: `label` leads from
            the node that comes first in `list(graph)` to the other, `back` returns. None: action k leads to the k-th
            neighbour in sorted order, so that an action has no meaning of its own: to be asked for.
        objects: kinds of objects; each node holds one, drawn with replacement anew each episode, unless the nodes have
            an attribute `object` (0..objects-1).
        motion_noise: standard deviation of felt motion, cells a step, on both components.
        render_mode: "rgb_array" or None.

    Observation `Discrete(objects)`; actions the labels in sorted order, a bump where the node has no such edge; node =
    rank in `list(graph)`; never ends, never pays. Where the nodes have attributes `x` and `y` (or `pos`), place is
    those and motion is their difference; else place is a layout to draw by (Kamada-Kawai, mean edge 1) and motion is
    zero: a graph has no body.

    Raises:
        ValueError: a graph that makes no world, with the nodes and the mend; a file that is no graph or has a DOCTYPE.
        OSError: a file that is not there or cannot be read.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        graph: AnyGraph | str | Path,
        label: str | None = "action",
        objects: int = 45,
        motion_noise: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        if objects < 1:
            raise ValueError(f"objects is {objects}: a world needs at least 1 kind of object")
        self._table = table = graph_table(graph, label)
        if table.objects is not None and table.objects.max() >= objects:
            raise ValueError(
                f"a node holds object {table.objects.max()}: pass objects={table.objects.max() + 1} or more"
            )
        space = gymnasium.spaces.Discrete(objects)
        super().__init__(num_envs, space, table.actions, ALLOCENTRIC, motion_noise, render_mode)
        self._objects = objects
        self._map = np.zeros((num_envs, len(table.place)), np.int32)  # object of each node
        self._node = np.zeros(num_envs, np.int64)

    def _begin(self, rows: Ints) -> None:
        u = self._uniform(rows, 1 + self._map.shape[1])
        self._node[rows] = u[:, 0] * self._map.shape[1]
        self._map[rows] = u[:, 1:] * self._objects if self._table.objects is None else self._table.objects

    def _move(self, actions: Ints) -> tuple[Floats, Bools]:
        target = self._table.target[self._node, actions]
        motion = self._table.motion[self._node, actions]
        bump = target < 0
        self._node = np.where(bump, self._node, target)
        return motion, bump

    def _observe(self) -> Array:
        return self._map[self._every_row, self._node].astype(np.int64)

    def _truth(self) -> tuple[Ints, Floats, Floats]:
        return self._node.copy(), self._table.place[self._node], np.zeros(self.num_envs, np.float32)

    def _frame(self, row: int) -> NDArray[np.uint8]:
        place, edges = self._table.place, self._table.edges
        angle = np.linspace(0, 2 * np.pi, 24)
        radius = 0.2 * np.linalg.norm(edges[:, 0] - edges[:, 1], axis=1).mean() or 0.2
        disc = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        x, y = place[self._node[row]].tolist()
        return draw(place, self._map[row], disc, (x, y), edges)


class GraphEnv(SingleWorld):
    """One world on a graph, for `gymnasium.make`."""

    world_class = Graph
