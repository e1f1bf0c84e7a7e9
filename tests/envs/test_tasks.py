"""Groups by their laws, families and ranks by their meaning, laps and alternation by a walker under the rules."""

import itertools
import math
from functools import reduce
from typing import Any

import networkx as nx
import numpy as np
import pytest

import envs
from envs.relational.cayley import cayley_table
from envs.relational.family_tree import COMPOSITIONS, NAMES, RELATIONS, family_table
from envs.table import CLOSED, Table

# ---- Cayley graphs ----

GROUPS: list[tuple[dict[str, Any], int, str]] = [  # settings, order, laws that hold (words equal to the identity)
    ({"group": "cyclic", "n": 2}, 2, "aa"),
    ({"group": "cyclic"}, 8, "aaaaaaaa"),
    ({"group": "torus"}, 25, "aaaaa bbbbb abAB"),
    ({"group": "torus", "n": 3, "m": 4}, 12, "aaa bbbb abAB"),
    ({"group": "torus", "n": 2, "m": 2}, 4, "aa bb abab"),
    ({"group": "dihedral"}, 12, "aaaaaa bb abab"),
    ({"group": "dihedral", "n": 3}, 6, "aaa bb abab"),
    ({"group": "dihedral", "n": 4}, 8, "aaaa bb abab"),
    ({"group": "symmetric", "n": 3}, 6, "aa bb ababab"),
    ({"group": "symmetric"}, 24, "aa bb cc ababab bcbcbc acac"),
    ({"group": "symmetric", "n": 5}, 120, "aa bb cc dd ababab bcbcbc cdcdcd acac adad bdbd"),
    ({"group": "alternating", "n": 3}, 3, "aaa"),
    ({"group": "alternating"}, 12, "aaa bbb abab"),
    ({"group": "alternating", "n": 5}, 60, "aaa bbb ccc abab acac bcbc"),
    ({"group": "quaternion"}, 8, "aaaa bbbb aaBB abaB"),
    ({"group": "heisenberg"}, 27, "aaa bbb abABabaBAA abABbbaBAB"),
    ({"group": "heisenberg", "n": 2}, 8, "aa bb abababab"),
]
EVERY_GROUP = pytest.mark.parametrize(("given", "order", "laws"), GROUPS, ids=lambda x: str(x))


def follow(table: Table, word: str) -> np.ndarray:
    """Where a word leads from every node; a capital is the inverse of a letter."""
    number = {name: action for action, name in enumerate(table.actions)}
    at = np.arange(len(table))
    for letter in word:
        inverse = f"{letter.lower()}^-1"
        at = table.target[at, number[inverse if letter.isupper() and inverse in number else letter.lower()]]
    return at


@EVERY_GROUP
def test_a_group_obeys_its_laws(given: dict[str, Any], order: int, laws: str) -> None:
    table = cayley_table(**given)
    everywhere = np.arange(order)
    assert len(table) == order
    letters = [name for name in table.actions if "^" not in name]
    for letter in letters:
        assert np.array_equal(follow(table, letter + letter.upper()), everywhere)
        assert np.array_equal(follow(table, letter.upper() + letter), everywhere)
        own_inverse = np.array_equal(follow(table, letter * 2), everywhere)
        assert own_inverse == (f"{letter}^-1" not in table.actions)
    for law in laws.split():
        assert np.array_equal(follow(table, law), everywhere), law
        if set(law) == {law[0]}:  # the order of a generator: no power sooner comes back, from any node
            assert all((follow(table, law[:length]) != everywhere).all() for length in range(1, len(law)))
    commutes = all(
        np.array_equal(follow(table, a + b), follow(table, b + a)) for a, b in itertools.combinations(letters, 2)
    )
    assert commutes == (given["group"] in ("cyclic", "torus") or given == {"group": "alternating", "n": 3})


@EVERY_GROUP
def test_a_group_looks_alike_from_every_node(given: dict[str, Any], order: int, laws: str) -> None:
    table = cayley_table(**given)
    assert (np.sort(table.target, axis=0) == np.arange(order)[:, None]).all()  # each action is a permutation
    for image in range(order):  # the map of node 0 to `image` along words keeps every labelled edge
        to = np.full(order, -1)
        to[0], queue = image, [0]
        while queue:
            node = queue.pop()
            for action, neighbour in enumerate(table.target[node].tolist()):
                if to[neighbour] < 0:
                    to[neighbour] = table.target[to[node], action]
                    queue.append(neighbour)
        assert np.array_equal(to[table.target], table.target[to])


@EVERY_GROUP
def test_nodes_are_named_by_shortest_words(given: dict[str, Any], order: int, laws: str) -> None:
    world = envs.make("Cayley-v0", 1, **given)
    table = world.table()
    distance = nx.single_source_shortest_path_length(world.table().graph(), 0)
    assert table.names[0] == "1"
    for node, name in enumerate(table.names[1:], 1):
        word = name.split()
        assert len(word) == distance[node]
        assert reduce(lambda at, action: table.target[at, table.actions.index(action)], word, 0) == node


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"group": "cyclic", "n": 1}, "n is 1: group='cyclic' takes n from 2 to 200"),
        ({"group": "dihedral", "n": 2}, "n is 2: group='dihedral' takes n from 3"),
        ({"group": "symmetric", "n": 6}, "n is 6: group='symmetric' takes n from 2 to 5"),
        ({"group": "alternating", "n": 2}, "n is 2: group='alternating' takes n from 3 to 5"),
        ({"group": "torus", "m": 1}, "m is 1: group='torus' takes m from 2"),
        ({"group": "cyclic", "m": 3}, "m is 3: only a torus has a second cycle"),
        ({"group": "quaternion", "n": 8}, "n is 8: the quaternion group has 8 elements; leave n out"),
        ({"group": "monster"}, 'group is \'monster\': give "cyclic" or "torus"'),
    ],
)
def test_groups_that_are_not_there(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        envs.make("Cayley-v0", 1, **given)


# ---- families ----


@pytest.mark.parametrize(("levels", "people"), [(2, 7), (3, 15), (4, 31), (6, 127)])
def test_relations_mean_what_they_say(levels: int, people: int) -> None:
    tree = nx.balanced_tree(2, levels, create_using=nx.DiGraph)
    table = family_table(levels)
    assert len(table) == len(tree) == len(set(table.names)) == people

    def parent(person: int) -> list[int]:
        return list(tree.predecessors(person))

    def children(person: int) -> list[int]:
        return sorted(tree.successors(person))

    def siblings(person: int) -> list[int]:
        return [child for p in parent(person) for child in children(p) if child != person]

    for person in tree:
        aunts = [aunt for p in parent(person) for aunt in siblings(p)]
        relatives = {
            "parent": parent(person),
            "child": children(person),
            "sibling": siblings(person),
            "grandparent": [grand for p in parent(person) for grand in parent(p)],
            "aunt": aunts,
            "niece": [child for s in siblings(person) for child in children(s)],
            "cousin": [child for aunt in aunts for child in children(aunt)],
        }
        for action, name in enumerate(RELATIONS):
            kind, _, which = name.partition(" ")
            found = relatives[kind][int(which or 1) - 1 :][:1]
            assert table.target[person, action] == (found[0] if found else -1), (person, name)


def test_compositions_are_all_pairs_of_relations_that_mean_one_relation() -> None:
    table = family_table(4)
    number = {name: action for action, name in enumerate(RELATIONS)}
    found: dict[str, set[tuple[str, str]]] = {name: set() for name in RELATIONS}
    for a, b in itertools.product(RELATIONS, repeat=2):
        ends = []
        for person in range(len(table)):
            between = table.target[person, number[a]]
            if between >= 0 and table.target[between, number[b]] >= 0:
                ends.append((person, table.target[between, number[b]]))
        for name in RELATIONS:
            if ends and all(table.target[person, number[name]] == end for person, end in ends):
                found[name].add((a, b))
    assert {name: set(ways) for name, ways in COMPOSITIONS.items()} == found
    assert sum(map(len, COMPOSITIONS.values())) == sum(map(len, found.values()))  # none twice


def test_people_have_names_of_their_own() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 127
    assert all(name.isalpha() and name.istitle() for name in NAMES)


# ---- ranks ----


@pytest.mark.parametrize("length", [3, 4, 6, 10])
def test_more_and_less_on_a_line(length: int) -> None:
    table = envs.make("Line-v0", 1, length=length).table()
    row = "ABCDEFGHIJ"[:length]
    assert table.names == tuple(row)
    assert len(table.actions) == 2 * (length - 1)
    for action, name in enumerate(table.actions):
        amount, way = name.split()
        for node, letter in enumerate(row):
            expected = ord(letter) + int(amount) * {"more": 1, "less": -1}[way] - ord("A")
            assert table.target[node, action] == (expected if 0 <= expected < length else -1)
    assert table.place.tolist() == [[rank, 0] for rank in range(length)]


@pytest.mark.parametrize("given", [{}, {"ranks": 2}, {"ranks": 4, "amount": 1}, {"ranks": 5, "amount": 3}])
def test_ranks_of_people(given: dict[str, int]) -> None:
    world = envs.make("SocialHierarchy-v0", 1, **given)
    table, ranks = world.table(), given.get("ranks", 4)
    amounts = range(1, given.get("amount", ranks - 1) + 1)
    assert len(set(table.names)) == len(table) == ranks**2
    assert set(table.actions) == {
        f"{k} {way} {trait}" for k in amounts for way in ("more", "less") for trait in ("competent", "popular")
    }
    node_of = {tuple(place): node for node, place in enumerate(table.place.tolist())}
    assert node_of.keys() == set(itertools.product(range(ranks), repeat=2))
    for ((competence, popularity), node), (action, name) in itertools.product(
        node_of.items(), enumerate(table.actions)
    ):
        amount, way, trait = name.split()
        change = int(amount) * (1 if way == "more" else -1)
        to = (competence + change, popularity) if trait == "competent" else (competence, popularity + change)
        assert table.target[node, action] == node_of.get(to, -1)
    assert world.metadata["place_unit"] == "ranks"


def test_amounts_add_up() -> None:
    ways = envs.make("Line-v0", 1, length=5).compositions
    assert ways["1 more"] == ()
    assert set(ways["3 more"]) == {("1 more",) * 3, ("1 more", "2 more"), ("2 more", "1 more")}
    assert len(ways["4 less"]) == len(set(ways["4 less"])) == 2**3 - 1
    for env_id in ("Line-v0", "SocialHierarchy-v0"):
        world = envs.make(env_id, 1)
        table = world.table()
        for action, sequences in world.compositions.items():
            for sequence in sequences:
                for node in range(len(table)):
                    at = node
                    for step in sequence:
                        at = table.target[at, table.actions.index(step)] if at >= 0 else -1
                    assert at in (-1, table.target[node, table.actions.index(action)])


@pytest.mark.parametrize(
    ("env_id", "given", "message"),
    [
        ("FamilyTree-v0", {"levels": 1}, "levels is 1: a family has 2 to 6 generations"),
        ("FamilyTree-v0", {"levels": 7}, "levels is 7: a family has 2 to 6 generations"),
        ("Line-v0", {"length": 2}, "length is 2: a line has 3 to 10 places"),
        ("Line-v0", {"length": 11}, "length is 11: a line has 3 to 10 places"),
        ("SocialHierarchy-v0", {"ranks": 1}, "ranks is 1: a hierarchy has 2 to 10 ranks"),
        ("SocialHierarchy-v0", {"amount": 4}, "amount is 4: 4 ranks differ by 1 to 3"),
        ("SocialHierarchy-v0", {"amount": 0}, "amount is 0: 4 ranks differ by 1 to 3"),
        ("Loop-v0", {"laps": 0}, "laps is 0: a reward comes after at least 1 lap"),
        ("Loop-v0", {"length": 2}, "length is 2: a ring has at least 3 positions"),
        ("Alternation-v0", {"stem": 1}, "stem is 1: it has at least 2 positions"),
        ("Alternation-v0", {"arm": 0}, "arm is 0: an arm lies at least 1 cell from the stem"),
        ("Alternation-v0", {"stem": 2.5}, "stem is 2.5: give a whole number"),
    ],
)
def test_sizes_that_make_no_world(env_id: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        envs.make(env_id, 1, **given)


# ---- laps ----


@pytest.mark.parametrize("visible", [True, False])
@pytest.mark.parametrize(("laps", "length"), [(4, 8), (1, 3), (3, 5)])
def test_laps_and_their_reward(laps: int, length: int, visible: bool) -> None:
    world = envs.make("Loop-v0", 6, laps=laps, length=length, visible_reward=visible, objects=500)
    assert len(world.table()) == laps * length
    observation, info = world.reset(seed=0)
    steps = info["node"].copy()
    of_position: dict[tuple[int, int], int] = {}
    for _ in range(3 * laps * length):
        at = steps % (laps * length)
        assert np.array_equal(info["node"], at)
        angle = 2 * math.pi * steps / length
        place = length / (2 * math.pi) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        assert np.allclose(info["place"], place, atol=1e-4)
        for row in range(6):
            if visible and at[row] == 0:
                assert observation[row] == 500
            else:
                position = (row, int(steps[row]) % length)
                assert of_position.setdefault(position, int(observation[row])) == observation[row] < 500
        observation, reward, terminated, _, info = world.step(np.zeros(6, np.int64))
        steps += 1
        assert np.array_equal(reward, steps % (laps * length) == 0)
        assert not terminated.any() and not info["bump"].any()
        chord = length / math.pi * math.sin(math.pi / length)
        assert np.allclose(np.linalg.norm(info["motion"], axis=1), chord, atol=1e-5)
    assert len(of_position) == 6 * (length - (visible and laps == 1))


# ---- alternation ----


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize(("stem", "arm"), [(5, 2), (2, 1), (3, 4), (6, 1)])
def test_alternation_by_a_walker_that_follows_the_rules(stem: int, arm: int, forced: bool) -> None:
    world = envs.make("Alternation-v0", 30, stem=stem, arm=arm, forced=forced, objects=1000)
    top, names = stem - 1, world.table().names
    positions = stem + 2 * (2 * arm + stem - 2)
    assert len(world.table()) == (2 * positions if not forced else positions + stem)
    observation, info = world.reset(seed=1)
    x, y = info["place"].T.astype(int).tolist()
    side = ["left" if "left last" in names[node] else "right" for node in info["node"].tolist()]
    node_of: dict[tuple[int, int, str], int] = {}
    of_position: dict[tuple[int, int, int], int] = {}
    rng = np.random.default_rng(0)
    for _ in range(600):
        before = list(zip(x, y, strict=True))
        actions = np.where(rng.random(30) < 0.7, 0, rng.integers(3, size=30))
        observation, reward, _, _, info = world.step(actions)
        for row, name in enumerate(world.metadata["actions"][action] for action in actions.tolist()):
            east, north = x[row], y[row]
            if name != "forward":
                if (east, north) == (0, top) and not (forced and side[row] == name):
                    x[row] += 1 if name == "right" else -1
            elif east == 0 and north < top:
                y[row] += 1
            elif east != 0:
                outward = 1 if east > 0 else -1
                if north == top and abs(east) < arm:
                    x[row] += outward
                elif north > 0:
                    y[row] -= 1
                else:
                    x[row] -= outward
                    if x[row] == 0:
                        side[row] = "right" if outward > 0 else "left"
            moved = (x[row], y[row]) != before[row]
            assert info["bump"][row] == (not moved)
            assert tuple(info["place"][row]) == (x[row], y[row])
            assert tuple(info["motion"][row]) == (x[row] - before[row][0], y[row] - before[row][1])
            corner = moved and y[row] == top and abs(x[row]) == arm
            assert reward[row] == (corner and side[row] != ("right" if x[row] > 0 else "left"))
            key = (x[row], y[row], side[row])
            assert node_of.setdefault(key, int(info["node"][row])) == info["node"][row]
            shown = (row, x[row], y[row])
            assert of_position.setdefault(shown, int(observation[row])) == observation[row]
    assert len(node_of) == len(set(node_of.values())) == len(world.table())
    assert (world.table().target == CLOSED).any() == forced


def test_the_default_alternation_has_38_states_and_pays_only_for_alternating() -> None:
    world = envs.make("Alternation-v0", 1, start=0, visible_reward=True)
    assert len(world.table()) == 38
    assert len(np.unique(world.table().place, axis=0)) == 19
    rewards = {}
    for turns in (("left", "right") * 3, ("left",) * 6):
        world.reset(seed=0)
        paid, seen = [], []
        for turn in turns:
            actions = [0] * 4 + [world.metadata["actions"].index(turn)] + [0] * 7
            for action in actions:
                observation, reward, *_ = world.step(np.array([action]))
                paid.append(reward[0])
                seen.append(observation[0] == 45)
            assert tuple(world._info()["place"][0]) == (0, 0)
        assert np.array_equal(np.array(paid, bool), seen)
        rewards[turns] = sum(paid)
    # node 0 is the foot of the stem, left last: the first turn to the left is not paid
    assert rewards == {("left", "right") * 3: 5, ("left",) * 6: 0}
