"""Graph worlds against networkx, from graphs and from files, and every fault of a graph."""

import re
from pathlib import Path
from typing import Any

import gymnasium
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import envs
from envs import policies
from envs.relational.graph import Graph


def check_transitions(world: Graph, moves: dict[tuple[Any, str], Any], nodes: list[Any], ticks: int) -> None:
    """Compare a random walk with (node, action) -> node; every pair of the graph must come up."""
    rng = np.random.default_rng(0)
    _, info = world.reset(seed=0)
    seen = set()
    for _ in range(ticks):
        before, actions = info, rng.integers(len(world.metadata["actions"]), size=world.num_envs)
        *_, info = world.step(actions)
        for row, action in enumerate(actions.tolist()):
            node, name = nodes[before["node"][row]], world.metadata["actions"][action]
            assert nodes[info["node"][row]] == moves.get((node, name), node)
            assert info["bump"][row] == ((node, name) not in moves)
            seen.add((node, name))
    assert seen == {(node, name) for node in nodes for name in world.metadata["actions"]}


def family() -> nx.Graph:
    """An undirected graph whose edges have a name each way, from the earlier node to the later and back."""
    graph = nx.Graph()
    graph.add_nodes_from(["Ann", "Bob", "Cleo"])
    graph.add_edge("Ann", "Bob", action="child", back="parent")
    graph.add_edge("Cleo", "Bob", action="sibling", back="sibling")
    graph.add_edge("Cleo", "Ann", action="younger", back="older")
    return graph


FAMILY_MOVES = {
    ("Ann", "child"): "Bob",
    ("Bob", "parent"): "Ann",
    ("Bob", "sibling"): "Cleo",
    ("Cleo", "sibling"): "Bob",
    ("Ann", "younger"): "Cleo",  # Ann is the earlier node, however the edge was written down
    ("Cleo", "older"): "Ann",
}


def test_an_undirected_graph_has_a_name_each_way() -> None:
    world = Graph(20, graph=family())
    assert world.metadata["actions"] == ("child", "older", "parent", "sibling", "younger")
    check_transitions(world, FAMILY_MOVES, ["Ann", "Bob", "Cleo"], 60)


def test_parallel_edges_loops_and_another_label() -> None:
    graph = nx.MultiDiGraph()
    for a, b, name in [(0, 1, "x"), (0, 1, "y"), (1, 0, "x"), (1, 1, "stay")]:
        graph.add_edge(a, b, rel=name)
    world = Graph(20, graph=graph, label="rel")
    check_transitions(world, {(0, "x"): 1, (0, "y"): 1, (1, "x"): 0, (1, "stay"): 1}, [0, 1], 60)


def test_numbered_neighbours_of_a_real_network() -> None:
    graph = nx.karate_club_graph()
    moves = {(node, str(k)): to for node in graph for k, to in enumerate(sorted(graph[node]))}
    world = Graph(400, graph=graph, label=None)
    assert len(world.metadata["actions"]) == max(degree for _, degree in graph.degree)
    check_transitions(world, moves, list(graph), 60)


def test_an_undirected_multigraph_has_a_name_each_way_for_each_edge() -> None:
    graph = nx.MultiGraph()
    graph.add_edge("home", "work", action="walk there", back="walk home")
    graph.add_edge("home", "work", action="ride there", back="ride home")
    moves = {("home", f"{how} there"): "work" for how in ("walk", "ride")} | {
        ("work", f"{how} home"): "home" for how in ("walk", "ride")
    }
    check_transitions(Graph(20, graph=graph), moves, ["home", "work"], 60)


@pytest.mark.parametrize(
    ("name", "graph"), [("karate", nx.karate_club_graph()), ("florentine", nx.florentine_families_graph())]
)
def test_real_networks_by_name(name: str, graph: nx.Graph) -> None:
    world, table = Graph(1, graph=name), Graph(1, graph=graph, label=None).table()
    assert world.table().names == tuple(map(str, graph))
    assert world.table().actions == table.actions == tuple(map(str, range(len(table.actions))))
    assert np.array_equal(world.table().target, table.target)
    for node, neighbours in enumerate(graph.adj.values()):
        leads = [list(graph)[to] for to in world.table().target[node] if to >= 0]
        assert leads == sorted(neighbours)


def test_karate_is_the_default_and_a_file_of_that_name_is_reached_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "karate").write_text("a b go\nb a return\n")
    monkeypatch.chdir(tmp_path)
    assert len(Graph().table()) == len(Graph(graph="karate").table()) == 34
    assert len(Graph(graph="./karate").table()) == len(Graph(graph=Path("karate")).table()) == 2


def test_a_name_that_is_neither_an_example_nor_a_file() -> None:
    for name, near in (("karrate", "did you mean karate"), ("zoo.txt", "there are karate, florentine")):
        message = f"{name} to read the graph from: .*or the name of an example: {near}"
        with pytest.raises(FileNotFoundError, match=message):
            Graph(1, graph=name)


def test_start_and_map_come_from_the_rows_generator_in_this_order() -> None:
    graph = nx.cycle_graph(6)
    world = Graph(3, graph=graph, label=None, objects=9)
    for episode in range(2):
        observation, info = world.reset(seed=40 if episode == 0 else None)
        for row in range(3):
            u = np.random.Generator(np.random.PCG64(40 + row)).random(14)[7 * episode : 7 * episode + 7]
            start, objects = int(u[0] * 6), (u[1:] * 9).astype(int)
            assert (info["node"][row], observation[row]) == (start, objects[start])
            assert [held for _, held in world.graph(row).nodes(data="object")] == objects.tolist()


def test_what_a_world_writes_of_its_actions_and_motion_is_read() -> None:
    """A ring on a torus of 3: the step over the seam is felt as any other; and a body that turns."""
    graph = nx.MultiDiGraph(actions="west, jump, east", motion="dx, dy")
    for x in range(3):
        graph.add_node(x, x=float(x), y=0.0, name=f"place {x}")
    for x in range(3):
        graph.add_edge(x, (x + 1) % 3, action="east", motion_0=1.0, motion_1=0.0)
        graph.add_edge(x, (x - 1) % 3, action="west", motion_0=-1.0, motion_1=0.0)
    world = Graph(1, graph=graph)
    assert world.metadata["actions"] == ("west", "jump", "east")
    assert world.table().names == ("place 0", "place 1", "place 2")
    assert world.table().motion[:, :, 0].tolist() == [[-1, 0, 1]] * 3
    assert (world.table().target[:, 1] == -1).all()
    graph.graph["motion"] = "turn, advance"
    nx.set_node_attributes(graph, {0: 0.0, 1: 1.5, 2: -1.5}, "heading")
    world = Graph(8, graph=graph)
    _, info = world.reset(seed=0)
    assert world.metadata["motion"] == "turn, advance"
    assert np.array_equal(info["heading"], np.float32([0.0, 1.5, -1.5])[info["node"]])


@st.composite
def labelled_graphs(draw: st.DrawFn) -> nx.DiGraph:
    """Strongly connected: a ring, and chords; each node labels its edges in an order of its own."""
    n = draw(st.integers(2, 8))
    chords = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=12))
    graph = nx.DiGraph([(i, (i + 1) % n) for i in range(n)] + chords)
    for node in graph:
        names = draw(st.permutations("abcdefgh"[: graph.out_degree(node)]))
        for to, name in zip(list(graph[node]), names, strict=True):
            graph.edges[node, to]["action"] = name
    return graph


@settings(max_examples=30, deadline=None)
@given(labelled_graphs())
def test_any_directed_graph(graph: nx.DiGraph) -> None:
    moves = {(a, name): b for a, b, name in graph.edges(data="action")}
    check_transitions(Graph(150, graph=graph), moves, list(graph), 40)


def test_places_of_the_graphs_own_are_felt_and_those_drawn_by_are_not() -> None:
    path = nx.path_graph(3)
    world = Graph(1, graph=path, label=None)
    assert world.metadata["motion"] == "none"
    _, info = world.reset(seed=0)
    for action in (0, 1, 0, 1, 1, 0):
        *_, info = world.step(np.array([action]))
        assert not info["motion"].any()
    nx.set_node_attributes(path, {0: (0, 0), 1: (3, 4), 2: (3, -1)}, "pos")
    world = Graph(1, graph=path, label=None)
    assert world.metadata["motion"] == "dx, dy"
    _, info = world.reset(seed=0)
    for _ in range(5):
        while info["node"][0] != 1:  # to the middle, whose neighbours are 0 and 2
            *_, info = world.step(np.array([0]))
        *_, info = world.step(np.array([1]))
        assert (info["node"][0], tuple(info["motion"][0]), tuple(info["place"][0])) == (2, (0, -5), (3, -1))


def test_a_layout_to_draw_by_has_edges_of_length_1_on_average() -> None:
    graph = nx.krackhardt_kite_graph()
    world = Graph(300, graph=graph, label=None)
    _, info = world.reset(seed=0)
    place = dict(zip(info["node"].tolist(), info["place"], strict=True))
    lengths = [np.linalg.norm(place[a] - place[b]) for a, b in graph.edges]
    assert np.mean(lengths) == pytest.approx(1, abs=1e-5)
    assert len({tuple(p.round(3)) for p in place.values()}) == len(graph)


def test_sensory_maps_are_random_unless_the_nodes_name_their_objects() -> None:
    graph = nx.cycle_graph(6)
    world = Graph(3000, graph=graph, label=None, objects=5)
    observation, info = world.reset(seed=0)
    assert stats.chisquare(np.bincount(observation, minlength=5)).pvalue > 1e-3
    assert stats.chisquare(np.bincount(info["node"], minlength=6)).pvalue > 1e-3
    assert (world.reset()[0] != observation).any()
    nx.set_node_attributes(graph, {node: 7 - node for node in graph}, "object")
    observation, info = Graph(50, graph=graph, label=None).reset(seed=0)
    assert np.array_equal(observation, 7 - info["node"])


def test_a_graph_is_drawn() -> None:
    world = Graph(1, graph=nx.petersen_graph(), label=None, render_mode="rgb_array")
    world.reset(seed=0)
    before = world.render()[0]
    world.step(np.array([0]))
    after = world.render()[0]
    assert before.dtype == np.uint8
    assert max(before.shape) == 320
    assert (before != after).any()


# ---- files ----


def directed_family() -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(["Ann", "Bob", "Cleo"])
    for (a, name), b in FAMILY_MOVES.items():
        graph.add_edge(a, b, action=name)
    return graph


@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("ending", ["graphml", "gexf"])
def test_graphml_and_gexf(tmp_path: Path, ending: str, directed: bool) -> None:
    graph = directed_family() if directed else family()
    path = tmp_path / f"family.{ending}"
    (nx.write_graphml if ending == "graphml" else nx.write_gexf)(graph, path)
    check_transitions(Graph(20, graph=path), FAMILY_MOVES, ["Ann", "Bob", "Cleo"], 60)


def test_attributes_come_with_a_graphml_file(tmp_path: Path) -> None:
    graph = nx.cycle_graph(4)
    for node in graph:
        graph.nodes[node].update(x=float(node % 2), y=float(node // 2), object=node + 10)
    nx.write_graphml(graph, tmp_path / "ring.graphml")
    observation, info = Graph(40, graph=str(tmp_path / "ring.graphml"), label=None).reset(seed=0)
    assert np.array_equal(observation, info["node"] + 10)
    assert np.array_equal(info["place"], np.stack([info["node"] % 2, info["node"] // 2], axis=1))


def test_edge_lists(tmp_path: Path) -> None:
    path = tmp_path / "family.txt"
    path.write_text("# a move a line\n\n" + "".join(f"{a} {b} {name}\n" for (a, name), b in FAMILY_MOVES.items()))
    check_transitions(Graph(20, graph=path), FAMILY_MOVES, ["Ann", "Bob", "Cleo"], 60)
    path.write_text("b a\nb c\n")
    moves = {("a", "0"): "b", ("b", "0"): "a", ("b", "1"): "c", ("c", "0"): "b"}
    check_transitions(Graph(20, graph=path, label=None), moves, ["b", "a", "c"], 60)


LAUGHS = (
    '<?xml version="1.0" encoding="{0}"?><!DOCTYPE lolz [<!ENTITY a "lol">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><graphml><graph><node id='&i;'/></graph></graphml>"
)


GRAPHML = (
    b"<graphml xmlns='http://graphml.graphdrawing.org/xmlns'>"
    b"<key id='size' for='node' attr.name='size' attr.type='int'/><graph edgedefault='directed'>%s</graph></graphml>"
)


@pytest.mark.parametrize("ending", ["graphml", "gexf"])
def test_a_file_that_reads_another_file_is_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"outside.{ending}"
    path.write_text('<!DOCTYPE a [<!ENTITY b SYSTEM "other.txt">]><graphml><graph><node id="&b;"/></graph></graphml>')
    with pytest.raises(ValueError, match="has a DOCTYPE"):
        Graph(1, graph=path)


@pytest.mark.parametrize("ending", ["graphml", "gexf"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_file_that_expands_is_refused(tmp_path: Path, ending: str, encoding: str) -> None:
    path = tmp_path / f"laughs.{ending}"
    path.write_bytes(LAUGHS.format(encoding).encode(encoding))
    with pytest.raises(ValueError, match="has a DOCTYPE"):
        Graph(1, graph=path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.graphml", b"once upon a time", "is no graphml graph"),
        ("a.graphml", b"<graphml/>", "is no graphml graph"),
        ("a.graphml", b"<html><body/></html>", "is no graphml graph"),
        ("a.gexf", b"<gexf version='9.9'/>", "is no gexf graph"),
        ("a.graphml", b"<?xml version='1.0' encoding='x-none'?><graphml/>", "is no graphml graph"),
        ("a.graphml", b"<a>" * 5_000 + b"</a>" * 5_000, "is no graphml graph"),
        ("a.graphml", GRAPHML % b"<node id='a'><data key='size'>large</data></node>", "is no graphml graph.*'large'"),
        ("a.graphml", GRAPHML % b"<node id='a'><data key='none'>1</data></node>", "is no graphml graph"),
        ("a.graphml", GRAPHML % b"<node id='a'/><hyperedge/>", "is no graphml graph"),
        ("a.graphml", GRAPHML % b"", "has 0 nodes"),
        ("a.png", b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "it is not text"),
        ("a.txt", b"a b right\nb a\n", "line 2: 2 words, where an edge list has 3 .*-o label=none"),
        ("a.txt", b"a b right now\n", "line 1: 4 words"),
        ("a.txt", b"", "has 0 nodes"),
    ],
)
def test_files_that_are_no_graphs(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Graph(1, graph=tmp_path / name)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for name in ("a.graphml", "a.txt", "."):
        path = tmp_path / name
        message = f"there is no file {path} to read the graph from: give the path"
        with pytest.raises(FileNotFoundError, match=re.escape(message)):
            Graph(1, graph=path)


# ---- faults ----


def arrows(*edges: tuple[Any, Any, Any], **nodes: dict[str, Any]) -> nx.MultiDiGraph:
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(nodes.items())
    for a, b, action in edges:
        graph.add_edge(a, b, **({} if action is None else {"action": action}))
    return graph


THERE_AND_BACK = (("a", "b", "go"), ("b", "a", "return"))


def says(**attributes: Any) -> nx.MultiDiGraph:
    graph = arrows(*THERE_AND_BACK)
    graph.graph.update(attributes)
    return graph


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (nx.Graph(), "the graph has 0 nodes"),
        (arrows(("a", "a", "stay")), "the graph has 1 nodes"),
        ([[0, 1], [1, 0]], "graph is a list"),
        (arrows(("a", "b", "go")), "not strongly connected: no way leads from 'b' to 'a'"),
        (arrows(("b", "a", "go")), "not strongly connected: no way leads from 'a' to 'b'"),
        (nx.Graph([(1, 2), (3, 4)]), r"not connected: no way leads from 1 to 3 \(2 parts\)"),
        (
            arrows(("a", "b", "go"), ("b", "a", None)),
            "the edge from 'b' to 'a' has no 'action'.*pass label=None .*-o label=none",
        ),
        (nx.karate_club_graph(), r"from 0 to 1 has no 'action' \(it has 'weight'\).*label=None"),
        (arrows(*THERE_AND_BACK, ("a", "c", "go"), ("c", "a", "x")), "node 'a': action 'go' leads to both 'b' and 'c'"),
        (
            nx.Graph([("a", "b", {"action": "go", "back": "x"}), ("a", "c", {"action": "go", "back": "x"})]),
            "node 'a': action 'go' leads to both 'b' and 'c'",
        ),
        (
            nx.Graph(
                [
                    ("a", "b", {"action": "x", "back": "z"}),
                    *((a, "c", {"action": f"from {a}", "back": "y"}) for a in "ab"),
                ]
            ),
            "node 'c': action 'y' leads to both 'a' and 'b'",
        ),
        (says(actions="go, come"), "attribute 'actions' is 'go, come': name every action once.*go, return"),
        (says(actions="go, return, go"), "name every action once"),
        (says(motion="by car"), "attribute 'motion' is 'by car': give 'dx, dy' or 'turn, advance' or 'none'"),
        (says(motion="dx, dy"), r"the edge from 'a' to 'b' is felt as \(None, None\): give 2 finite numbers"),
        (nx.Graph([("a", "b", {"action": "go"})]), "no 'back', the action from 'b' to 'a'"),
        (arrows(("a", "b", 1), ("b", "a", "1")), "two actions read alike"),
        (
            arrows(("a", "b", "left, then right"), ("b", "a", "back")),
            "the edge from 'a' to 'b' is labelled 'left, then right': give text without ', '",
        ),
        (
            arrows(("a", "b", "go"), ("b", "a", ["back"])),
            r"from 'b' to 'a' is labelled \['back'\]: .* or a number",
        ),
        (arrows(("a", "b", {"go": 1}), ("b", "a", "back")), "from 'a' to 'b' is labelled {'go': 1}"),
        (arrows(("a", "b", (1,)), ("b", "a", "back")), r"from 'a' to 'b' is labelled \(1,\)"),
        (nx.Graph([("a", "b", {"action": "go", "back": {"home"}})]), "from 'b' to 'a' is labelled {'home'}"),
        (arrows(*THERE_AND_BACK, a={"x": 0, "y": 1}, b={"x": 1}), "1 of 2 nodes have no 'y' .*'b'"),
        (arrows(*THERE_AND_BACK, a={"pos": (0, 1)}, b={"pos": (1, float("nan"))}), "node 'b' lies at"),
        (arrows(*THERE_AND_BACK, a={"pos": (0, 1)}, b={"pos": "here"}), "node 'b' lies at 'here'"),
        (
            arrows(*THERE_AND_BACK, a={"pos": (0, 1)}, b={"pos": (0, 1e300)}),
            r"'b' lies at \(0, 1e\+300\): .* below",
        ),
        (
            arrows(*THERE_AND_BACK, a={"pos": (0, 1)}, b={"pos": (0, 1, 2)}),
            "node 'b' lies at .*: give 2 finite numbers",
        ),
        (arrows(*THERE_AND_BACK, a={"object": 3}), "1 of 2 nodes have no 'object' .*'b'"),
        (arrows(*THERE_AND_BACK, a={"object": 3}, b={"object": "cup"}), "node 'b' holds object 'cup'"),
        (
            arrows(*THERE_AND_BACK, a={"object": 3}, b={"object": 10**30}),
            "object 10+: give .* 0 to 999,999",
        ),
        (arrows(*THERE_AND_BACK, a={"object": 3}, b={"object": 45}), "pass objects=46"),
    ],
)
def test_graphs_that_make_no_world(graph: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Graph(1, graph=graph)


def test_a_graph_too_large_for_a_table() -> None:
    with pytest.raises(ValueError, match="5,001 nodes and 5,000 actions: their product is at most 20,000,000; keep"):
        Graph(1, graph=nx.star_graph(5000), label=None)


@pytest.mark.parametrize("names", [(1, 2), (0.5, 1.5), (",y", "x,"), ("", " "), ("x,", "x,y")])
def test_any_other_label_comes_back_from_the_graph_of_its_world(names: tuple[Any, Any]) -> None:
    world = Graph(1, graph=arrows(("a", "b", names[0]), ("b", "a", names[1])))
    world.reset(seed=0)
    again = Graph(1, graph=world.graph())
    assert again.metadata["actions"] == world.metadata["actions"] == tuple(map(str, names))
    assert np.array_equal(again.table().target, world.table().target)


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    path = tmp_path / "triangle.txt"
    path.write_bytes(b"\xef\xbb\xbfa b\nb c\nc a\n")
    assert envs.make("Graph-v0", 1, graph=path, label=None).table().names == ("a", "b", "c")


def test_labels_that_are_equal_but_read_differently_are_refused() -> None:
    graph = nx.DiGraph([(0, 1, {"action": 1}), (1, 0, {"action": 1.0})])
    with pytest.raises(ValueError, match=r"two actions read alike \(1, 1.0\)"):
        envs.make("Graph-v0", 1, graph=graph)


def featured() -> nx.Graph:
    graph = nx.path_graph(4)
    for node in graph:
        graph.nodes[node].update(colour=[node / 2, 1.0, -node], size=10 * node)
    return graph


def test_features_of_the_node_are_sensed_side_by_side() -> None:
    world = Graph(3, graph=featured(), label=None, features="colour, size")
    assert world.single_observation_space == gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float32)
    walk = policies.walk(world, "uniform", 30, world_seeds=[0, 1, 2], policy_seed=0)
    node = walk["node"]
    np.testing.assert_array_equal(walk["observation"], np.stack([node / 2, node * 0 + 1, -node, 10 * node], axis=-1))
    np.testing.assert_array_equal(
        policies.walk(
            Graph(3, graph=featured(), label=None, features=["colour", "size"]),
            "uniform",
            30,
            world_seeds=[0, 1, 2],
            policy_seed=0,
        )["observation"],
        walk["observation"],
    )


def test_features_are_in_the_graph_of_the_world() -> None:
    world = Graph(1, graph=featured(), label=None, features="colour, size")
    world.reset(seed=0)
    graph = world.graph()
    assert "object" not in graph.nodes[0]
    again = Graph(1, graph=graph, features="colour_0, colour_1, colour_2, size")
    seen, info = again.reset(seed=5)
    node = int(info["node"][0])
    assert seen.tolist() == [[node / 2, 1.0, -node, 10.0 * node]]


def test_features_survive_a_file(tmp_path: Path) -> None:
    graph = featured()
    for node in graph:
        del graph.nodes[node]["colour"]
    nx.write_graphml(graph, tmp_path / "sizes.graphml")
    seen, info = Graph(1, graph=tmp_path / "sizes.graphml", label=None, features="size").reset(seed=3)
    assert seen.tolist() == [[10.0 * info["node"][0]]]


@pytest.mark.parametrize(
    ("spoil", "features", "words"),
    [
        ({}, "shape", "4 of 4 nodes have no 'shape'"),
        ({}, "", "give names of node attributes"),
        ({}, [], "give names of node attributes"),
        ({"colour": [1.0]}, "colour", r"'colour' of node 2 is \[1.0\]: give 3 finite numbers"),
        ({"size": "large"}, "size", "'size' of node 2 is .*give 1 finite number"),
        ({"size": float("nan")}, "size", "'size' of node 2 is .*give 1 finite number"),
    ],
)
def test_features_that_are_none_are_told(spoil: dict[str, Any], features: Any, words: str) -> None:
    graph = featured()
    graph.nodes[2].update(spoil)
    with pytest.raises(ValueError, match=words):
        Graph(1, graph=graph, label=None, features=features)
