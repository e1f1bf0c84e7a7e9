"""A world as arrays: where each action leads from each node; its networkx graph and its sparse matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

if TYPE_CHECKING:  # networkx takes its type parameters from type checkers only
    MultiDiGraph = nx.MultiDiGraph[int]
else:
    MultiDiGraph = nx.MultiDiGraph

WALL, CLOSED = -1, -2  # targets of a refused move: nothing there, or a closed door


@dataclass(frozen=True)
class Table:
    """A world of N nodes and A actions: all that there is to know about moving in it."""

    actions: tuple[str, ...]
    target: NDArray[np.integer]  # [N, A] node that the action leads to; WALL or CLOSED (negative) where it is refused
    place: NDArray[np.float32]  # [N, 2] x, y
    motion: NDArray[np.float32]  # [N, A, 2] true motion of each move, zero where refused
    heading: NDArray[np.float32]  # [N] rad; zero where the body has none
    names: tuple[str, ...] = ()  # of the nodes, where they have any

    def __len__(self) -> int:
        return len(self.target)

    @property
    def edges(self) -> NDArray[np.integer]:
        """Each (node, action, target) that is not refused, [E, 3], in order of node and action."""
        node, action = np.nonzero(self.target >= 0)
        return np.stack([node, action, self.target[node, action]], axis=1)

    @property
    def matrix(self) -> sparse.csr_array:
        """[N, N], 1 where some action leads from row to column, for scipy's csgraph; standing still is left out."""
        node, _, target = self.edges[self.edges[:, 0] != self.edges[:, 2]].T
        matrix = sparse.csr_array((np.ones(len(node)), (node, target)), shape=(len(self), len(self)))
        matrix.data[:] = 1.0  # two actions between the same nodes were summed
        return matrix

    def graph(self, objects: Sequence[int] | NDArray[np.integer] | None = None) -> MultiDiGraph:
        """The same as a networkx graph: nodes 0..N-1 with `x`, `y`, `heading` (and `name`, `object`), edges keyed by
        action with `action` and the felt `dx`, `dy` or `turn`, `advance` as `motion_0`, `motion_1`."""
        graph: MultiDiGraph = nx.MultiDiGraph()
        for node, ((x, y), heading) in enumerate(zip(self.place.tolist(), self.heading.tolist(), strict=True)):
            graph.add_node(node, x=x, y=y, heading=heading)
            if self.names:
                graph.nodes[node]["name"] = self.names[node]
            if objects is not None:
                graph.nodes[node]["object"] = int(objects[node])
        for node, action, target in self.edges.tolist():
            felt = {f"motion_{i}": value for i, value in enumerate(self.motion[node, action].tolist())}
            graph.add_edge(node, target, key=self.actions[action], action=self.actions[action], **felt)
        return graph
