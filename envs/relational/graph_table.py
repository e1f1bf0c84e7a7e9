"""From a networkx graph, or a file of one, to a table of moves; every fault of a graph is named here."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from xml.parsers import expat

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from envs.relational.layout import layout
from envs.relational.relational import differences
from envs.settings import MOST_OBJECTS, MOST_PLACES, did_you_mean
from envs.table import WALL, Table
from envs.world import ALLOCENTRIC, EGOCENTRIC, NO_BODY

if TYPE_CHECKING:  # networkx.Graph takes its type parameter from type checkers only
    AnyGraph = nx.Graph[Any]
else:
    AnyGraph = nx.Graph

Node = Any
Action = Any
FARTHEST = 1e30  # differences of places, and their squares' roots, stay within float32
NO_LABEL = "label=None (from the shell: -o label=none)"


EXAMPLES: dict[str, Callable[[], AnyGraph]] = {
    "karate": nx.karate_club_graph,
    "florentine": nx.florentine_families_graph,
}
SEPARATOR = ", "  # of the actions, as `World.graph` writes them


def as_graph(graph: AnyGraph | str | Path, label: str | None) -> tuple[AnyGraph, str | None]:
    """A graph, a file of one or the name of an example as a graph, and what names its moves.

    Raises:
        ValueError: none of these; a file that is no graph.
        OSError: a file that is not there or cannot be read.
    """
    if isinstance(graph, str) and graph in EXAMPLES:
        graph, label = EXAMPLES[graph](), None
    if isinstance(graph, str | Path):
        graph = read_graph(Path(graph), label)
    if not isinstance(graph, nx.Graph):
        raise ValueError(f"graph is a {type(graph).__name__}: give a networkx graph, or the path of a file of one")
    return graph, label


def graph_table(
    graph: AnyGraph, label: str | None
) -> tuple[Table, NDArray[np.int64] | None, Literal["dx, dy", "turn, advance", "none"]]:
    """Prove that a graph makes a world, and turn it into arrays. See `Graph` for the rules.

    Returns:
        The table, whose node i is the i-th of `list(graph)`; the objects of the nodes [N] where they name them; the
        unit of motion.

    Raises:
        ValueError: too small or too large, not connected, moves without labels, with labels that are no
            names or contradict each other, coordinates or objects on some nodes only; with the names of nodes and the
            mend.
    """
    if len(graph) < 2:
        raise ValueError(f"the graph has {len(graph)} nodes: a world has at least 2")
    _check_connected(graph)
    moves = _numbered_moves(graph) if label is None else _labelled_moves(graph, label)
    labels = dict.fromkeys((str(action), action) for leaving in moves.values() for action in leaving)
    actions = _actions(graph, _in_order([action for _, action in labels]))

    if len(graph) * len(actions) > MOST_PLACES:
        raise ValueError(
            f"the graph has {len(graph):,} nodes and {len(actions):,} actions: their product is at most "
            f"{MOST_PLACES:,}; keep a part, graph.subgraph(nodes), or use fewer labels"
        )
    node_at = {node: i for i, node in enumerate(graph)}
    action_at = {action: i for i, action in enumerate(actions)}
    target = np.full((len(graph), len(actions)), WALL, np.int64)
    for node, leaving in moves.items():
        for action, to in leaving.items():
            target[node_at[node], action_at[str(action)]] = node_at[to]
    place = _own_places(graph)
    unit: Any = NO_BODY if place is None else ALLOCENTRIC
    motion, heading = np.zeros((*target.shape, 2), np.float32), np.zeros(len(graph), np.float32)
    if "motion" in graph.graph and graph.is_directed() and label is not None:  # written by `World.graph`
        unit = _unit(graph)
        for a, b, data in graph.edges(data=True):
            felt = (data.get("motion_0"), data.get("motion_1"))
            motion[node_at[a], action_at[str(data[label])]] = _finite(felt, f"the edge from {a!r} to {b!r} is felt as")
        for node, data in graph.nodes.items():
            heading[node_at[node]] = _finite((data.get("heading", 0.0),), f"node {node!r} heads to", 1)[0]
    elif place is not None:
        motion = differences(target, place)
    names = tuple(str(data.get("name", node)) for node, data in graph.nodes.items())
    place = layout(target) if place is None else place
    return Table(actions, target, place, motion, heading, names), _own_objects(graph), unit


def read_graph(path: Path, label: str | None) -> AnyGraph:
    """Read GraphML (`.graphml`), GEXF (`.gexf`), or else an edge list.

    An edge list has one move a line, `from to action`; with `label=None` one undirected edge a line, `from to`. Blank
    lines and lines that begin with # are left out. An XML file with a DOCTYPE is refused: it may expand without end.
    """
    if not path.exists() or path.is_dir():
        raise FileNotFoundError(
            f"there is no file {path.absolute()} to read the graph from: give the path of a GraphML (.graphml), "
            f"GEXF (.gexf) or edge list file, or the name of an example: {did_you_mean(path.name, EXAMPLES)}"
        )
    ending = path.suffix.lower()
    if ending not in (".graphml", ".gexf"):
        try:
            return _read_edge_list(path, label)
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is no edge list: it is not text (GraphML is read from .graphml)") from error
    read: Any = nx.read_graphml if ending == ".graphml" else nx.read_gexf
    try:
        graph: AnyGraph | None = None if _has_doctype(path) else read(path)
    except (expat.ExpatError, nx.NetworkXException, LookupError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is no {ending[1:]} graph that networkx reads: {error}") from error
    if graph is None:
        raise ValueError(f"{path} has a DOCTYPE, which may expand without end: remove it (no graph needs one)")
    return graph


class _DoctypeError(Exception):
    pass


def _has_doctype(path: Path) -> bool:
    # The parser itself tells, before it expands anything: a search for the bytes would miss other encodings.
    def stop(*_: Any) -> None:
        raise _DoctypeError

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = stop
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except _DoctypeError:
        return True
    return False


def _read_edge_list(path: Path, label: str | None) -> AnyGraph:
    columns = ("from", "to") if label is None else ("from", "to", label)
    graph: AnyGraph = nx.Graph() if label is None else nx.MultiDiGraph()
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
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
        if not isinstance(action, str | int | float | np.number) or SEPARATOR in str(action):
            raise ValueError(
                f"the edge from {a!r} to {b!r} is labelled {action!r}: give text without {SEPARATOR!r} (it parts the "
                f"actions in the graph that a world writes), or a number"
            )
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


def _actions(graph: AnyGraph, labels: list[Action]) -> tuple[str, ...]:
    """The names of the actions, in the order that the graph gives them, or else as sorted."""
    names = tuple(str(label) for label in labels)
    if len(set(names)) < len(names) or len(set(labels)) < len(labels):
        raise ValueError(f"two actions read alike ({', '.join(map(repr, labels))}): label all edges with one type")
    if "actions" not in graph.graph:
        return names
    ordered = tuple(str(graph.graph["actions"]).split(SEPARATOR))
    if len(set(ordered)) < len(ordered) or not set(names) <= set(ordered):
        raise ValueError(
            f"the graph's attribute 'actions' is {', '.join(ordered)!r}: name every action once, in order "
            f"({', '.join(names)}), or leave it out"
        )
    return ordered


def _unit(graph: AnyGraph) -> Any:
    unit, units = graph.graph["motion"], (ALLOCENTRIC, EGOCENTRIC, NO_BODY)
    if unit not in units:
        raise ValueError(f"the graph's attribute 'motion' is {unit!r}: give {' or '.join(map(repr, units))}")
    return unit


def _own_places(graph: AnyGraph) -> NDArray[np.float32] | None:
    if any("pos" in data for _, data in graph.nodes(data=True)):
        positions = _of_every_node(graph, "pos")
    elif any("x" in data or "y" in data for _, data in graph.nodes(data=True)):
        positions = list(zip(_of_every_node(graph, "x"), _of_every_node(graph, "y"), strict=True))
    else:
        return None
    places = np.empty((len(graph), 2))
    for i, (node, position) in enumerate(zip(graph, positions, strict=True)):
        places[i] = _finite(position, f"node {node!r} lies at")
    return places.astype(np.float32)


def _finite(values: Any, what: str, n: int = 2) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != n or not all(abs(number) < FARTHEST for number in numbers):
        raise ValueError(f"{what} {values!r}: give {n} finite number{'s' * (n > 1)}, below {FARTHEST:g}")
    return numbers


def node_features(graph: AnyGraph, names: str | Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """The attributes of these names of every node, numbers or lists of them: each an array [N, n].

    Raises:
        ValueError: no name; nodes without one, or with more numbers than others, or with what is no finite number.
    """
    wanted = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    if not wanted or not all(wanted):
        raise ValueError(f"features is {names!r}: give names of node attributes, or None to sense objects")
    columns = {}
    for name in wanted:
        values = [np.ravel(value).tolist() for value in _of_every_node(graph, name)]
        what = [f"{name!r} of node {node!r} is" for node in graph]
        numbers = [_finite(value, at, len(values[0])) for value, at in zip(values, what, strict=True)]
        columns[name] = np.array(numbers, np.float32)
    return columns


def _own_objects(graph: AnyGraph) -> NDArray[np.int64] | None:
    if not any("object" in data for _, data in graph.nodes(data=True)):
        return None
    objects = _of_every_node(graph, "object")
    for node, held in zip(graph, objects, strict=True):
        if not isinstance(held, int | np.integer) or not 0 <= held < MOST_OBJECTS:
            raise ValueError(f"node {node!r} holds object {held!r}: give a whole number, 0 to {MOST_OBJECTS - 1:,}")
    return np.array(objects, np.int64)


def _of_every_node(graph: AnyGraph, name: str) -> list[Any]:
    lacking = [node for node, data in graph.nodes(data=True) if name not in data]
    if lacking:
        raise ValueError(
            f"{len(lacking)} of {len(graph)} nodes have no {name!r} (such as {lacking[0]!r}): give it to all or none"
        )
    return [data[name] for _, data in graph.nodes(data=True)]


def _in_order(items: Collection[Any]) -> list[Any]:
    """Sorted; by their text where they cannot be compared."""
    try:
        return sorted(items)
    except TypeError:
        return sorted(items, key=str)
