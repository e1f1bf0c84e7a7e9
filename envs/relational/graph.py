"""Any graph as a world: the nodes are places, the labels of the edges are actions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from envs.relational.graph_table import AnyGraph, as_graph, graph_table, node_features
from envs.relational.relational import Relational
from envs.table import MultiDiGraph
from envs.world import Ints


class Graph(Relational):
    """Any connected graph with labelled edges; the agent senses the object of its node.

    Args:
        num_envs: worlds stepped together, all on this graph, each with a sensory map of its own.
        graph: a networkx graph (directed, undirected or multi), or the path of a GraphML (`.graphml`) or GEXF (`.gexf`)
            file, or else of an edge list (`from to action`, one move a line), or the name of an example: "karate"
            (Zachary 1977, friends in a club) or "florentine" (Padgett and Ansell 1993, families by marriage), whose
            action k leads to the k-th neighbour.
        label: the edge attribute that names the action: text without ", ", or a number. An undirected edge needs a name
            each way: `label` leads from the node that comes first in `list(graph)` to the other, `back` returns. None:
            action k leads to the k-th neighbour in sorted order, so that an action has no meaning of its own: to be
            asked for.
        objects: kinds of objects; each node holds one, drawn with replacement anew each episode, unless the nodes have
            an attribute `object` (0..objects-1).
        features: what is sensed in place of objects: the node attributes of these names, each a number or a list of
            numbers, side by side (a list of names, or one text "a, b").
        start: node at which every episode begins; None: any node.
        motion_noise: standard deviation of felt motion, cells a step, on both components.
        render_mode: "rgb_array" or None.

    Observation `Discrete(objects)`, or the features, float32 [n]; actions the labels in sorted order, a bump where the
    node has no such edge; node = rank in `list(graph)`; never ends, never pays. Where the nodes have attributes `x` and
    `y` (or `pos`), place is those and motion "dx, dy" is their difference; else place is a layout to draw by (mean edge
    1, see `layout`) and the unit of motion is "none": a graph has no body. What `World.graph` writes is read with the
    same moves again: the graph's attributes `actions` (their order, "east, north, ...") and `motion` (the unit; felt as
    the edges' `motion_0`, `motion_1`), the nodes' `heading` and `name`.

    Raises:
        ValueError: a graph that makes no world, with the nodes and the mend; a file that is no graph or has a DOCTYPE.
        OSError: a file that is not there or cannot be read.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        graph: AnyGraph | str | Path = "karate",
        label: str | None = "action",
        objects: int = 45,
        features: str | Sequence[str] | None = None,
        start: int | None = None,
        motion_noise: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        graph, label = as_graph(graph, label)
        self._columns = {} if features is None else node_features(graph, features)
        table, self._held, motion = graph_table(graph, label)
        if self._held is not None and self._held.max() >= objects >= 1:
            raise ValueError(f"a node holds object {self._held.max()}: pass objects={self._held.max() + 1} or more")
        super().__init__(
            num_envs,
            table,
            objects=objects,
            motion=motion,
            motion_noise=motion_noise,
            render_mode=render_mode,
            start=start,
            features=np.concatenate(list(self._columns.values()), axis=1) if self._columns else None,
        )

    def graph(self, row: int = 0) -> MultiDiGraph:
        """See `World.graph`; features in place of objects, those that are lists as `NAME_0`, `NAME_1`, .. (a file of a
        graph holds no lists)."""
        graph = super().graph(row)
        for name, column in self._columns.items():
            names = [name] if column.shape[1] == 1 else [f"{name}_{i}" for i in range(column.shape[1])]
            for node, values in enumerate(column.tolist()):
                graph.nodes[node].pop("object", None)
                graph.nodes[node].update(zip(names, values, strict=True))
        return graph

    def _begin(self, rows: Ints) -> None:
        super()._begin(rows)
        if self._held is not None:
            self._map[rows] = self._held
