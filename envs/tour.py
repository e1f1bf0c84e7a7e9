"""The best tour for coverage: a walk that visits all of a world in as few steps as can be found, and a proven bound."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.oracle import Steps, distances, places, shortest_path
from envs.table import Table
from envs.world import Ints

EXACT = 12  # places up to which every order is weighed
SIDEWAYS = 1000  # moves that neither lengthen nor shorten, to leave a local minimum
ASCENTS = 300  # steps towards the best bound


@dataclass(frozen=True)
class Tour:
    """A walk that visits everything within reach of its start."""

    nodes: Ints  # [steps + 1]
    actions: Ints  # [steps]
    bound: int  # no walk does it in fewer steps

    @property
    def steps(self) -> int:
        """Its length."""
        return len(self.actions)


def tour(table: Table, start: int, groups: ArrayLike | None = None) -> Tour:
    """A short walk from `start` that visits a node of every group within reach.

    Exact (steps = bound) for up to 12 groups: Held and Karp's dynamic programme over distances. Else a
    nearest-neighbour or a depth-first walk, whichever is shorter, improved by reversing and moving stretches of it
    (2-opt, Or-opt), and the bound of Held and Karp (1970): spanning trees with a price on each stop. The result is a
    function of the arguments.

    Args:
        table: the world.
        start: the first node.
        groups: which group each node belongs to [N]; default `oracle.places`: the nodes themselves, or for a turning
            body the places, in whatever heading.

    Raises:
        ValueError: one-way moves that let no walk visit everything.
    """
    groups = places(table) if groups is None else np.asarray(groups)
    if groups.shape != (len(table),):
        raise ValueError(f"groups of shape {groups.shape} for {len(table)} nodes: give each node its group")
    within = np.flatnonzero(np.isfinite(distances(table, [start])[0]))
    apart = distances(table, within)[:, within]
    _, group = np.unique(groups[within], return_inverse=True)
    first = int(np.searchsorted(within, start))
    between = _between(apart, group)
    oneway = np.argwhere(np.isinf(between) & np.isinf(between.T))
    if len(oneway):
        a, b = (int(within[np.flatnonzero(group == g)[0]]) for g in oneway[0])
        raise ValueError(f"no walk from node {start} visits everything: neither {a} leads to {b} nor {b} to {a}")
    exact = len(between) <= EXACT
    stops = _held_karp(apart, group, first) if exact else _search(apart, group, first, len(between) - 1)
    nodes, actions = [int(start)], []
    for stop in within[stops[1:]].tolist():
        path, moves = shortest_path(table, nodes[-1], stop)
        nodes += path[1:].tolist()
        actions += moves.tolist()
    bound = len(between) - 1
    if exact:
        bound = len(actions)
    elif len(actions) > bound:
        bound = max(bound, _bound(np.minimum(between, between.T), int(group[first]), len(actions)))
    return Tour(np.array(nodes), np.array(actions, np.int64), bound)


def _between(apart: Steps, group: Ints) -> Steps:
    """Steps from each group to each, [G, G], at best."""
    n = int(group.max()) + 1
    between = np.full((n, n), np.inf)
    np.minimum.at(between, (group[:, None], group[None, :]), apart)
    return between


def _held_karp(apart: Steps, group: Ints, first: int) -> list[int]:
    """The best order of stops: the shortest way that has visited each set of groups and stands at each node."""
    n, others = len(apart), np.flatnonzero(np.arange(group.max() + 1) != group[first])
    best = np.full((1 << len(others), n), np.inf)
    best[0, first] = 0
    sets = np.arange(len(best))
    size = np.array([bin(s).count("1") for s in sets])
    members = [np.flatnonzero(group == g) for g in others]
    for k in range(len(others)):
        layer = sets[size == k]
        ahead = np.min([best[layer, u, None] + apart[u] for u in range(n)], axis=0)  # [sets, nodes]
        for bit, nodes in enumerate(members):
            without = layer & (1 << bit) == 0
            larger = layer[without] | (1 << bit)
            best[larger[:, None], nodes] = np.minimum(best[larger[:, None], nodes], ahead[without][:, nodes])
    full = len(best) - 1
    stops = [int(best[full].argmin())]
    if not np.isfinite(best[full, stops[0]]):
        raise ValueError("no walk visits everything: one-way moves part the places")
    while full:
        bit = int(np.flatnonzero(others == group[stops[-1]])[0])
        full ^= 1 << bit
        stops.append(int((best[full] + apart[:, stops[-1]]).argmin()))
    return stops[::-1]


def _search(apart: Steps, group: Ints, first: int, enough: int) -> list[int]:
    """A good order of stops, one of each group: nearest next, then improved as long as that helps."""
    far = float(apart[np.isfinite(apart)].sum() + 1)  # more than any tour
    cost = np.where(np.isfinite(apart), apart, far)

    def length(stops: Ints) -> float:
        return float(cost[stops[:-1], stops[1:]].sum())

    begun = _nearest_next(apart, group, first), _best_poses(cost, group, _depth_first(apart, group, first))
    stops = min(begun, key=length)
    sideways = SIDEWAYS
    while True:
        shorter = _best_poses(cost, group, _reordered(cost, stops, enough, sideways))
        if length(shorter) >= length(stops):
            return [int(stop) for stop in stops]
        stops, sideways = shorter, 0


def _nearest_next(apart: Steps, group: Ints, first: int) -> Ints:
    """Always to the nearest group not yet visited; of equally near ones to that with the fewest unvisited neighbours
    (Warnsdorff's rule, which leaves no corners behind)."""
    n = int(group.max()) + 1
    member = np.zeros((len(apart), n))
    member[np.arange(len(apart)), group] = 1
    leads = (np.isfinite(apart) @ member) > 0  # [node, group]
    beside = ((apart == 1) @ member) > 0
    left = np.ones(n, np.bool_)
    left[group[first]] = False
    stops = [first]
    while left.any():
        steps = np.where(left[group], apart[stops[-1]], np.inf)
        steps[~leads[:, left].all(axis=1)] = np.inf  # from there something could not be visited any more
        nearest = np.flatnonzero(steps == steps.min())
        if not np.isfinite(steps[nearest[0]]):
            raise ValueError("no walk visits everything: one-way moves part the places")
        stop = int(nearest[(beside[nearest] & left).sum(axis=1).argmin()])
        stops.append(stop)
        left[group[stop]] = False
    return np.array(stops)


def _depth_first(apart: Steps, group: Ints, first: int) -> Ints:
    """Down a tree of shortest ways, branch after branch, the deepest last: the best tour of a maze without loops."""
    between, root = _between(apart, group), int(group[first])
    depth = between[root]
    outward = np.argsort(depth, kind="stable").tolist()
    children: dict[int, list[int]] = {g: [] for g in outward}
    height = depth.copy()  # of the deepest below
    for g in outward[:0:-1]:  # inward, but for the root
        along = depth + (1 + 1e-9) * between[:, g]  # of all that lie on a shortest way, the nearest
        parent = int(np.where(depth < depth[g], along, np.inf).argmin())
        children[parent].append(g)
        height[parent] = max(height[parent], height[g])
    order, ahead = [], [root]
    while ahead:
        order.append(ahead.pop())
        ahead += sorted(children[order[-1]], key=height.__getitem__, reverse=True)
    _, member = np.unique(group, return_index=True)
    stops: Ints = member[order]
    stops[0] = first
    return stops


def _reordered(cost: Steps, stops: Ints, enough: int, most_sideways: int) -> Ints:
    """The stops in the best order found by reversing and moving stretches; the first stays the first.

    Where nothing shortens the walk, one of the moves that leave its length is taken at random, `most_sideways` times in
    a row at most.
    """
    rng = np.random.default_rng(0)
    n = len(cost)
    cost = np.pad(cost, (0, 1))  # an end that is near everything: the walk may stop anywhere
    order = np.append(stops, n)
    best, least, length = order, np.inf, cost[order[:-1], order[1:]].sum()
    sideways = 0
    while True:
        if length < least:
            best, least, sideways = order, length, 0
        if least <= enough:
            return best[:-1]
        d = cost[order[:, None], order]
        changes = [_reversing(d), *(_moving(d, size) for size in (1, 2, 3) if size + 3 <= len(order))]
        gain = min(change.min() for change in changes)
        if gain > 0 or (gain == 0 and sideways == most_sideways):
            return best[:-1]
        sideways += gain == 0
        kind, i, j = _draw([np.argwhere(change == gain) for change in changes], rng)
        order = _reversed(order, i, j) if kind == 0 else _moved(order, i, j, kind)
        length += gain


def _draw(choices: list[Ints], rng: np.random.Generator) -> tuple[int, int, int]:
    kind = np.repeat(np.arange(len(choices)), [len(c) for c in choices])
    pick = int(rng.integers(len(kind)))
    i, j = np.concatenate(choices)[pick].tolist()
    return int(kind[pick]), i, j


def _reversing(d: Steps) -> Steps:
    """How much longer the walk is with its stops i to j reversed, [i, j], for distances [stop, stop] in its order."""
    n = len(d)
    ahead = np.concatenate([[0], np.cumsum(np.diagonal(d, 1))])
    back = np.concatenate([[0], np.cumsum(np.diagonal(d, -1))])
    longer = np.full((n, n), np.inf)
    inside = slice(1, n - 1)
    longer[inside, inside] = (
        d[:-2, 1:-1] + d[1:-1, 2:] + (back[None, inside] - back[inside, None]) - (ahead[None, 2:] - ahead[:-2, None])
    )
    return np.where(np.arange(n)[:, None] < np.arange(n), longer, np.inf)


def _reversed(order: Ints, i: int, j: int) -> Ints:
    return np.concatenate([order[:i], order[i : j + 1][::-1], order[j + 1 :]])


def _moving(d: Steps, size: int) -> Steps:
    """How much longer the walk is with its stops i to i + size - 1 between k and k + 1 instead, [i, k]."""
    n = len(d)
    i = np.arange(1, n - size)
    k = np.arange(n - 1)
    gone = d[i - 1, i] + d[i + size - 1, i + size] - d[i - 1, i + size]
    longer = np.full((n, n), np.inf)
    inserted = d[k, i[:, None]] + d[i[:, None] + size - 1, k + 1] - d[k, k + 1] - gone[:, None]
    same = (k >= i[:, None] - 1) & (k < i[:, None] + size)
    longer[1 : n - size, : n - 1] = np.where(same, np.inf, inserted)
    return longer


def _moved(order: Ints, i: int, k: int, size: int) -> Ints:
    stretch, rest = order[i : i + size], np.delete(order, np.s_[i : i + size])
    at = k + 1 if k < i else k + 1 - size
    return np.insert(rest, at, stretch)


def _best_poses(cost: Steps, group: Ints, stops: Ints) -> Ints:
    """The best node of each stop's group, in the order that the stops have."""
    choices = [np.array([stops[0]]), *(np.flatnonzero(group == group[stop]) for stop in stops[1:])]
    steps, came = np.zeros(1), []
    for here, there in pairwise(choices):
        total = steps[:, None] + cost[here[:, None], there]
        came.append(total.argmin(axis=0))
        steps = total.min(axis=0)
    pick = int(steps.argmin())
    best = [choices[-1][pick]]
    for here, before in zip(choices[-2::-1], came[::-1], strict=True):
        pick = int(before[pick])
        best.append(here[pick])
    return np.array(best[::-1])


def _bound(between: Steps, first: int, steps: int) -> int:
    """A number of steps that no walk from `first` through all groups undercuts, for symmetric distances [G, G].

    A walk is a spanning tree with two neighbours for each stop but the ends. A price on each neighbour, raised where
    the cheapest tree has too many and lowered where it has too few, brings that tree near to a walk; its cost less the
    prices that any walk pays is a bound whatever the prices.
    """
    n = len(between)
    price = np.zeros(n)
    wanted = np.full(n, 2.0)
    wanted[first] = 1.0
    others = np.arange(n) != first
    best = 0.0
    for k in range(ASCENTS):
        cost, neighbours = _spanning_tree(between + price[:, None] + price)
        bound = cost - wanted @ price + price[others].min()
        best = max(best, bound)
        excess = neighbours - wanted
        excess[np.where(others, price, np.inf).argmin()] += 1  # where the walk would end
        if best > steps - 1 or not excess.any():
            break
        price = price + (1 - k / ASCENTS) * (steps - bound) / (excess @ excess) * excess
    return int(np.ceil(best - 1e-6))


def _spanning_tree(cost: Steps) -> tuple[float, NDArray[np.float64]]:
    """Cost and number of neighbours of each node of the cheapest spanning tree (Prim)."""
    neighbours = np.zeros(len(cost))
    nearest, total = np.zeros(len(cost), np.int64), 0.0
    steps = cost[0].copy()
    out = np.ones(len(cost), np.bool_)
    out[0] = False
    for _ in range(len(cost) - 1):
        node = int(np.where(out, steps, np.inf).argmin())
        total += steps[node]
        neighbours[[node, nearest[node]]] += 1
        out[node] = False
        nearer = cost[node] < steps
        nearest[nearer], steps[nearer] = node, cost[node][nearer]
    return total, neighbours
