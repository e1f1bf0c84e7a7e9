"""From a networkx graph, or a file of one, to a table of moves; every fault of a graph is named here."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

import networkx as nx
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # networkx.Graph takes its type parameter from type checkers only
    AnyGraph = nx.Graph[Any]
else:
    AnyGraph = nx.Graph

Node = Any
Action = Any
NO_LABEL = "label=None (from the shell: -o label=none)"


@dataclass(frozen=True)
class GraphTable:
    """A graph of N nodes and A actions as arrays; node i is the i-th of `list(graph)`."""

    actions: tuple[str, ...]
    target: NDArray[np.int64]  # [N, A] node that the action leads to, -1 where it does not exist
    place: NDArray[np.float32]  # [N, 2] x, y
    motion: NDArray[np.float32]  # [N, A, 2] difference of places, zero where the graph has no coordinates of its own
    objects: NDArray[np.int64] | None  # [N] where the nodes name their objects

    @property
    def edges(self) -> NDArray[np.float32]:
        """Lines between places [E, 2, 2]."""
        node, action = np.nonzero(self.target >= 0)
        return np.stack([self.place[node], self.place[self.target[node, action]]], axis=1)


def graph_table(graph: AnyGraph | str | Path, label: str | None) -> GraphTable:
    """Read a graph, prove that it makes a world, and turn it into arrays. See `envs.graph.Graph` for the rules.

    Raises:
        ValueError: not a graph, too small, not connected, moves without or with contradicting labels, coordinates or
            objects on some nodes only; with the names of nodes and the mend.
        OSError: a file that is not there or cannot be read.
    """
    if isinstance(graph, str | Path):
        graph = read_graph(Path(graph), label)
    if not isinstance(graph, nx.Graph):
        raise ValueError(f"graph is a {type(graph).__name__}: give a networkx graph, or the path of a file of one")
    if len(graph) < 2:
        raise ValueError(f"the graph has {len(graph)} nodes: a world has at least 2")
    _check_connected(graph)
    moves = _numbered_moves(graph) if label is None else _labelled_moves(graph, label)
    actions = _in_order(dict.fromkeys(action for leaving in moves.values() for action in leaving))
    names = tuple(str(action) for action in actions)
    if len(set(names)) < len(names):
        raise ValueError(f"two actions read alike ({', '.join(map(repr, actions))}): label all edges with one type")

    index = {node: i for i, node in enumerate(graph)}
    target = np.full((len(graph), len(actions)), -1, np.int64)
    for node, leaving in moves.items():
        for action, to in leaving.items():
            target[index[node], actions.index(action)] = index[to]
    place = _own_places(graph)
    motion = np.zeros((*target.shape, 2), np.float32)
    if place is None:
        place = _layout(graph)
    else:
        motion = np.where(target[..., None] >= 0, place[target] - place[:, None], np.float32(0))
    return GraphTable(names, target, place, motion, _own_objects(graph))


def read_graph(path: Path, label: str | None) -> AnyGraph:
    """Read GraphML (`.graphml`), GEXF (`.gexf`), or else an edge list.

    An edge list has one move a line, `from to action`; with `label=None` one undirected edge a line, `from to`. Blank
    lines and lines that begin with # are left out. An XML file with a DOCTYPE is refused: it may expand without end.
    """
    if not path.exists() or path.is_dir():
        raise FileNotFoundError(
            f"there is no file {path.absolute()} to read the graph from: "
            f"give the path of a GraphML (.graphml), GEXF (.gexf) or edge list file"
        )
    ending = path.suffix.lower()
    if ending not in (".graphml", ".gexf"):
        try:
            return _read_edge_list(path, label)
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is no edge list: it is not text (GraphML is read from .graphml)") from error
    try:
        _refuse_doctype(path)
        graph: AnyGraph = nx.read_graphml(path) if ending == ".graphml" else nx.read_gexf(path)
    except (expat.ExpatError, nx.NetworkXException, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no {ending[1:]} graph that networkx reads: {error}") from error
    return graph


def _refuse_doctype(path: Path) -> None:
    # The parser itself tells, before it expands anything: a search for the bytes would miss other encodings.
    def refuse(*_: Any) -> None:
        raise ValueError(f"{path} has a DOCTYPE, which may expand without end: remove it (no graph needs one)")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    with path.open("rb") as file:
        parser.ParseFile(file)


def _read_edge_list(path: Path, label: str | None) -> AnyGraph:
    columns = ("from", "to") if label is None else ("from", "to", label)
    graph: AnyGraph = nx.Graph() if label is None else nx.MultiDiGraph()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != len(columns):
            mend = f"; {NO_LABEL} reads two, and numbers the neighbours" if label and len(words) == 2 else ""
            raise ValueError(
                f"{path}, line {number}: {len(words)} words, where an edge list has {len(columns)} "
                f"({' '.join(columns)}){mend}"
            )
        graph.add_edge(words[0], words[1], **({label: words[2]} if label else {}))
    return graph


def _check_connected(graph: AnyGraph) -> None:
    directed = graph.is_directed()
    components: Any = nx.strongly_connected_components if directed else nx.connected_components
    parts = list(components(graph))
    if len(parts) == 1:
        return
    a, b = (next(node for node in graph if node in part) for part in parts[:2])
    if directed and nx.has_path(graph, a, b):
        a, b = b, a
    raise ValueError(
        f"the graph is not {'strongly ' if directed else ''}connected: no way leads from {a!r} to {b!r} "
        f"({len(parts)} parts); add edges, or keep one part: graph.subgraph(nodes)"
    )


def _numbered_moves(graph: AnyGraph) -> dict[Node, dict[Action, Node]]:
    return {node: dict(enumerate(_in_order(graph[node]))) for node in graph}


def _labelled_moves(graph: AnyGraph, label: str) -> dict[Node, dict[Action, Node]]:
    moves: dict[Node, dict[Action, Node]] = {node: {} for node in graph}

    def add(a: Node, b: Node, action: Action) -> None:
        other = moves[a].setdefault(action, b)
        if other != b:
            raise ValueError(
                f"node {a!r}: action {action!r} leads to both {other!r} and {b!r}; an action has one target"
            )

    for a, b, data in graph.edges(data=True):
        if data.get(label) is None:
            raise ValueError(
                f"the edge from {a!r} to {b!r} has no {label!r} (it has {', '.join(map(repr, data)) or 'nothing'}): "
                f"label every edge, or pass {NO_LABEL} to number each node's neighbours"
            )
        add(a, b, data[label])
        if graph.is_directed() or a == b:
            continue
        if data.get("back") is None:
            raise ValueError(
                f"the undirected edge of {a!r} and {b!r} has no 'back', the action from {b!r} to {a!r}: "
                f"add it, or use a directed graph with an edge each way"
            )
        add(b, a, data["back"])
    return moves


def _own_places(graph: AnyGraph) -> NDArray[np.float32] | None:
    if any("pos" in data for _, data in graph.nodes(data=True)):
        positions = _of_every_node(graph, "pos")
    elif any("x" in data or "y" in data for _, data in graph.nodes(data=True)):
        positions = list(zip(_of_every_node(graph, "x"), _of_every_node(graph, "y"), strict=True))
    else:
        return None
    places = np.empty((len(graph), 2))
    for i, (node, position) in enumerate(zip(graph, positions, strict=True)):
        try:
            places[i] = [float(value) for value in position]
        except (TypeError, ValueError):
            places[i] = math.nan
        if not np.isfinite(places[i]).all():
            raise ValueError(f"node {node!r} lies at {position!r}: give two finite numbers, x and y")
    return places.astype(np.float32)


def _own_objects(graph: AnyGraph) -> NDArray[np.int64] | None:
    if not any("object" in data for _, data in graph.nodes(data=True)):
        return None
    objects = _of_every_node(graph, "object")
    for node, held in zip(graph, objects, strict=True):
        if not isinstance(held, int | np.integer) or held < 0:
            raise ValueError(f"node {node!r} holds object {held!r}: give a whole number, 0 or more")
    return np.array(objects, np.int64)


def _of_every_node(graph: AnyGraph, name: str) -> list[Any]:
    lacking = [node for node, data in graph.nodes(data=True) if name not in data]
    if lacking:
        raise ValueError(
            f"{len(lacking)} of {len(graph)} nodes have no {name!r} (such as {lacking[0]!r}): give it to all or none"
        )
    return [data[name] for _, data in graph.nodes(data=True)]


def _layout(graph: AnyGraph) -> NDArray[np.float32]:
    """Places for a graph without any, to draw it: Kamada and Kawai (1989), an edge 1 cell long on average."""
    simple: AnyGraph = nx.Graph()
    simple.add_nodes_from(graph)
    simple.add_edges_from((a, b) for a, b in graph.edges() if a != b)
    layout = nx.kamada_kawai_layout(simple, weight=None)
    length = np.mean([np.linalg.norm(layout[a] - layout[b]) for a, b in simple.edges()])
    return np.array([layout[node] / length for node in graph], np.float32)


def _in_order(items: Iterable[Any]) -> list[Any]:
    """Sorted; by their text where they cannot be compared."""
    try:
        return sorted(items)
    except TypeError:
        return sorted(items, key=str)
