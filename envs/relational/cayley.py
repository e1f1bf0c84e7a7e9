"""Cayley graphs of small groups: worlds that look alike from every node, and whose moves commute or do not."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from envs.relational.layout import layout
from envs.relational.relational import Relational, make_table
from envs.table import Table
from envs.world import NO_BODY

Group = Literal["cyclic", "torus", "dihedral", "symmetric", "alternating", "quaternion", "heisenberg"]
Matrix = NDArray[np.int64]

SIZES: dict[str, tuple[int, int, int]] = {  # of n: the default, least and greatest
    "cyclic": (8, 2, 200),
    "torus": (5, 2, 16),
    "dihedral": (6, 3, 100),
    "symmetric": (4, 2, 5),
    "alternating": (4, 3, 5),
    "heisenberg": (3, 2, 7),
}


class Cayley(Relational):
    """The Cayley graph of a group: actions multiply by a generator or its inverse.

    Args:
        num_envs: worlds stepped together, all on this graph, each with a sensory map of its own.
        group: "cyclic" (order n), "torus" (cyclic n x cyclic m, order n m), "dihedral" (turns and mirrorings of an
            n-gon, order 2 n), "symmetric" (permutations of n by swaps of neighbours, order n!), "alternating" (even
            permutations of n by cycles of three, order n!/2), "quaternion" (order 8), "heisenberg" (upper unitriangular
            3 x 3 matrices modulo n, order n^3). Moves commute in the first two only.
        n: size of the group; None: its default (8, 5, 6, 4, 4, none, 3).
        m: length of the second cycle of a torus; None: n.
        objects: kinds of objects; each node holds one, drawn with replacement anew each episode.
        start: node at which every episode begins (0 is the identity); None: any node.
        motion_noise: every world takes it; here nothing is felt.
        render_mode: "rgb_array" or None.

    Observation `Discrete(objects)`; actions the generators ("a", ...) and their inverses ("a^-1", ...), an action that
    is its own inverse once, multiplied from the right: no move is ever refused. Nodes are named by a shortest word of
    actions from the identity "1". Motion is always zero; place is a layout to draw by. Never ends, never pays.

    Raises:
        ValueError: a size too small or too large for the group, or one that the group does not have.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        group: Group = "dihedral",
        n: int | None = None,
        m: int | None = None,
        objects: int = 45,
        start: int | None = None,
        motion_noise: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            num_envs,
            cayley_table(group, n, m),
            objects=objects,
            motion=NO_BODY,
            motion_noise=motion_noise,
            render_mode=render_mode,
            start=start,
        )


def cayley_table(group: Group, n: int | None = None, m: int | None = None) -> Table:
    """The group's multiplication by its generators as a table; node 0 is the identity."""
    generators, modulus = _generators(group, n, m)
    actions: dict[str, Matrix] = {}
    for name, matrix in zip("abcdefgh", generators, strict=False):
        actions[name] = matrix
        inverse = _inverse(matrix, modulus)
        if not np.array_equal(inverse, matrix):
            actions[f"{name}^-1"] = inverse

    identity = np.eye(len(generators[0]), dtype=np.int64)
    elements, words, node_of = [identity], ["1"], {identity.tobytes(): 0}
    targets: list[list[int]] = []
    for node, element in enumerate(elements):  # grows as it goes: breadth first, so words are shortest
        targets.append([])
        for name, matrix in actions.items():
            product = element @ matrix % modulus
            if product.tobytes() not in node_of:
                node_of[product.tobytes()] = len(elements)
                elements.append(product)
                words.append(name if node == 0 else f"{words[node]} {name}")
            targets[-1].append(node_of[product.tobytes()])
    target = np.array(targets)
    return make_table(tuple(actions), target, layout(target), tuple(words), body=False)


def _generators(group: Group, n: int | None, m: int | None) -> tuple[list[Matrix], int | Matrix]:
    """Generators of a group as matrices, and the modulus of their entries (a number, or one for each entry)."""
    if group != "torus" and m is not None:
        raise ValueError(f"m is {m}: only a torus has a second cycle; leave m out, or take group='torus'")
    if group == "quaternion":
        if n is not None:
            raise ValueError(f"n is {n}: the quaternion group has 8 elements; leave n out")
        return [np.array([[0, 2], [1, 0]]), np.array([[1, 1], [1, 2]])], 3  # i and j in the 2 x 2 matrices modulo 3
    default, low, high = SIZES[group]
    n = default if n is None else n
    m = n if m is None else m
    for name, size in (("n", n), ("m", m)):
        if not low <= size <= high:
            raise ValueError(f"{name} is {size}: group={group!r} takes {name} from {low} to {high}")
    turn = np.array([[1, 1], [0, 1]])  # its k-th power adds k
    if group == "cyclic":
        return [turn], n
    if group == "dihedral":
        return [turn, np.array([[n - 1, 0], [0, 1]])], n
    if group == "torus":
        modulus = np.full((4, 4), m)
        modulus[:2, :2] = n
        east, north = np.eye(4, dtype=np.int64), np.eye(4, dtype=np.int64)
        east[:2, :2] = north[2:, 2:] = turn
        return [east, north], modulus
    if group == "heisenberg":
        across, down = np.eye(3, dtype=np.int64), np.eye(3, dtype=np.int64)
        across[0, 1] = down[1, 2] = 1
        return [across, down], n
    orders = (
        [[*range(k), k + 1, k, *range(k + 2, n)] for k in range(n - 1)]
        if group == "symmetric"
        else [[1, k, *range(2, k), 0, *range(k + 1, n)] for k in range(2, n)]
    )
    return [np.eye(n, dtype=np.int64)[order] for order in orders], 2


def _inverse(matrix: Matrix, modulus: int | Matrix) -> Matrix:
    """The power before the one that is the identity."""
    power = identity = np.eye(len(matrix), dtype=np.int64)
    while not np.array_equal(following := power @ matrix % modulus, identity):
        power = following
    return power
