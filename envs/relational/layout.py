"""Places for a graph that has none, to draw it by."""

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path

from envs.settings import MOST_PLACES
from envs.world import Floats, Ints

LARGE = 256  # nodes: Kamada and Kawai's method takes a second with these, and minutes with ten times as many


def layout(target: Ints) -> Floats:
    """Places [N, 2] in which nodes near in steps lie near; an edge is 1 cell long on average.

    Kamada and Kawai (1989) up to 256 nodes, above them landmark multidimensional scaling, `scaled`. The same graph has
    the same places.

    Args:
        target: node that each action leads to [N, A], negative where it is refused; all nodes connected.
    """
    node, action = np.nonzero((target >= 0) & (target != np.arange(len(target))[:, None]))
    edges = np.stack([node, target[node, action]], axis=1)
    places = _springs(len(target), edges) if len(target) <= LARGE else scaled(len(target), edges)
    length = np.linalg.norm(places[edges[:, 0]] - places[edges[:, 1]], axis=1).mean()
    unit: Floats = (places / length).astype(np.float32)
    return unit


def _springs(n: int, edges: Ints) -> NDArray[np.float64]:
    graph: nx.Graph[int] = nx.empty_graph(n)
    graph.add_edges_from(edges.tolist())
    # from rings of equal distance to the first node: from one ring of all nodes it often ends up folded
    rings = nx.shell_layout(graph, nlist=list(nx.bfs_layers(graph, 0)), rotate=0.3)
    places = nx.kamada_kawai_layout(graph, pos=rings, weight=None)
    return np.array([places[node] for node in range(n)])


def scaled(n: int, edges: Ints) -> NDArray[np.float64]:
    """Places [N, 2] by multidimensional scaling of the distances in steps, along edges either way.

    Classical scaling (Torgerson 1952) of up to 256 landmarks, each the farthest from those before it, and the other
    nodes by their distances to these (de Silva and Tenenbaum 2004). Nodes that no landmark tells apart, as the leaves
    of a wide tree, may coincide.
    """
    matrix = csr_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(n, n))
    landmarks = min(n, LARGE, max(16, MOST_PLACES // n))  # fewer where their distances would fill the memory
    squares = np.empty((landmarks, n))  # of the distances
    chosen: list[int] = []
    farthest, nearest = 0, np.full(n, np.inf)
    for k in range(landmarks):
        chosen.append(farthest)
        distance = shortest_path(matrix, directed=False, unweighted=True, indices=farthest)
        squares[k] = distance**2
        nearest = np.minimum(nearest, distance)  # to a landmark
        farthest = int(nearest.argmax())
    squares -= squares[:, chosen].mean(axis=1, keepdims=True)
    between = squares[:, chosen]
    values, vectors = np.linalg.eigh(-0.5 * (between - between.mean(axis=0)))
    # Equal eigenvalues leave their axes open, and each axis its sign: the nearest to two uneven ones settle both.
    axes = np.zeros((2, landmarks))
    for axis, value, step in zip(axes, values[:-3:-1], (0.6180339887, 0.4142135624), strict=True):
        space = vectors[:, np.isclose(values, value, rtol=1e-6, atol=0)]
        found = space @ (space.T @ (np.arange(landmarks) * step % 1 - 0.5))
        found -= axes[0] * (axes[0] @ found)
        axis[:] = found / np.linalg.norm(found)
    greatest = values[:-3:-1, None]
    scale = np.where(greatest > 1e-6 * values[-1], greatest, np.inf) ** -0.5  # a path has one dimension
    places: NDArray[np.float64] = -0.5 * ((scale * axes) @ squares).T
    return places
