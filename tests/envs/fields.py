"""What a lattice of rooms says of itself, by coordinates, for the tests that build the same field in networkx."""

import networkx as nx

from envs.spatial.doors import Doors


def places(world: Doors, row: int = 0) -> list[tuple[int, int]]:
    return [(int(x), int(y)) for x, y in world.table(row).place]


def actual(world: Doors, row: int = 0) -> nx.DiGraph:
    """A row's table by coordinates; checks that every move is a step in its direction."""
    table, at, graph = world.table(row), places(world, row), nx.DiGraph()
    assert at == sorted(set(at), key=lambda place: place[::-1])  # in order of rows from the south
    graph.add_nodes_from(at)
    for node, action, to in table.edges.tolist():
        dx, dy = {"east": (1, 0), "north": (0, 1), "west": (-1, 0), "south": (0, -1)}[table.actions[action]]
        assert at[to] == (at[node][0] + dx, at[node][1] + dy)
        graph.add_edge(at[node], at[to])
    return graph


def sides(world: Doors, row: int = 0) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Coordinates of the two places at each door."""
    at = places(world, row)
    return [(at[a], at[b]) for a, b in world.doors(row).tolist()]
