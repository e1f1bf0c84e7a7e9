"""A family tree: relations as actions, and which of them say the same ("Bob's niece" is a child of Bob's sibling)."""

import numpy as np

from envs.relational.relational import Relational, make_table
from envs.table import WALL, Table
from envs.world import NO_BODY

RELATIONS = (
    "parent",
    "child 1",
    "child 2",
    "sibling",
    "grandparent",
    "aunt",
    "niece 1",
    "niece 2",
    "cousin 1",
    "cousin 2",
)

COMPOSITIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "parent": (
        ("sibling", "parent"),
        ("aunt", "sibling"),
        ("cousin 1", "aunt"),
        ("cousin 2", "aunt"),
        ("child 1", "grandparent"),
        ("child 2", "grandparent"),
        ("niece 1", "grandparent"),
        ("niece 2", "grandparent"),
    ),
    "child 1": (("child 2", "sibling"), ("sibling", "niece 1"), ("niece 1", "cousin 1"), ("niece 2", "cousin 1")),
    "child 2": (("child 1", "sibling"), ("sibling", "niece 2"), ("niece 1", "cousin 2"), ("niece 2", "cousin 2")),
    "sibling": (("niece 1", "parent"), ("niece 2", "parent"), ("child 1", "aunt"), ("child 2", "aunt")),
    "grandparent": (
        ("parent", "parent"),
        ("aunt", "parent"),
        ("sibling", "grandparent"),
        ("cousin 1", "grandparent"),
        ("cousin 2", "grandparent"),
    ),
    "aunt": (("parent", "sibling"), ("sibling", "aunt"), ("cousin 1", "parent"), ("cousin 2", "parent")),
    "niece 1": (("sibling", "child 1"), ("niece 2", "sibling"), ("child 1", "cousin 1"), ("child 2", "cousin 1")),
    "niece 2": (("sibling", "child 2"), ("niece 1", "sibling"), ("child 1", "cousin 2"), ("child 2", "cousin 2")),
    "cousin 1": (("aunt", "child 1"), ("parent", "niece 1"), ("sibling", "cousin 1"), ("cousin 2", "sibling")),
    "cousin 2": (("aunt", "child 2"), ("parent", "niece 2"), ("sibling", "cousin 2"), ("cousin 1", "sibling")),
}
"""All pairs of relations that lead, wherever they exist, to the same person as one relation."""

FIRST_NAMES = """
    Ann Bob Cleo Dan Eve Finn Gwen Hugo Iris Jack Kate Liam Mia Noah Olga Paul Quinn Rosa Sam Tess Umar Vera Will Xena
    Yann Zoe Adam Beth Carl Dora Eric Faye Glen Hope Ivan Jane Kurt Lucy Mark Nina Otto Pia Ravi Sara Tom Una Vic Wanda
    Xavi Yara Zack Amy Ben Cara Dirk Ella Fred Gina Hans Ida Joel Kira Leo Mona Nils Oona Pete Rita Sean Tina Uwe Viola
    Walt Yuki Zeno Alma Bill Cora Dave Elsa Felix Greta Hal Inga Jim Kim Lars Maya Ned Opal Phil Ruth Stan Thea Udo Vita
    Wes Ylva Zara Arlo Bea Chad Dina Ezra Flora Gus Hedda Igor Joan Ken Lena Max Nora Olaf Pam Ron Sue Theo Ursa Vince
    Wren Yves Zita Asa Bree Cal Dee
"""
NAMES = tuple(FIRST_NAMES.split())  # all different, enough for the tallest tree


class FamilyTree(Relational):
    """A family tree whose ten relations are actions (Whittington et al. 2020).

    Args:
        num_envs: families stepped together, all on this tree, each with a sensory map of its own.
        levels: generations below the eldest, 2 to 6, two children each: 2^(levels + 1) - 1 people (15, 31 with 3, 4).
        objects: kinds of objects; each person holds one, drawn with replacement anew each episode.
        start: node at which every episode begins (0 is the eldest); None: any node.
        motion_noise: every world takes it; here nothing is felt.
        render_mode: "rgb_array" or None.

    Observation `Discrete(objects)`; actions parent, child 1 and 2, sibling, grandparent, aunt (the parent's sibling),
    niece 1 and 2 (the sibling's children), cousin 1 and 2 (the aunt's), a bump where there is no such relative. The
    children of node i are nodes 2 i + 1 and 2 i + 2; people have names. `compositions` tells which relations follow
    from others (see `questions`). Motion is always zero; place is the drawn tree. Never ends, never pays.

    Raises:
        ValueError: levels outside 2 to 6.
    """

    compositions = COMPOSITIONS

    def __init__(
        self,
        num_envs: int = 1,
        *,
        levels: int = 3,
        objects: int = 45,
        start: int | None = None,
        motion_noise: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            num_envs,
            family_table(levels),
            objects=objects,
            motion=NO_BODY,
            motion_noise=motion_noise,
            render_mode=render_mode,
            start=start,
        )


def family_table(levels: int) -> Table:
    """The relations of a binary tree; node 0 is the eldest."""
    if not 2 <= levels <= 6:
        raise ValueError(f"levels is {levels}: a family has 2 to 6 generations below the eldest")
    people = 2 ** (levels + 1) - 1
    # One person more, "nobody", the last: nobody's relatives are nobody, so relations compose without cases.
    nobody = people
    person = np.arange(people)
    parent = np.append((person - 1) // 2, nobody)
    parent[0] = nobody
    child_1 = np.append(np.where(2 * person + 1 < people, 2 * person + 1, nobody), nobody)
    child_2 = np.append(np.where(2 * person + 2 < people, 2 * person + 2, nobody), nobody)
    sibling = np.append(np.where(person % 2, person + 1, person - 1), nobody)
    sibling[0] = nobody
    aunt = sibling[parent]
    relatives = (
        parent,
        child_1,
        child_2,
        sibling,
        parent[parent],
        aunt,
        child_1[sibling],
        child_2[sibling],
        child_1[aunt],
        child_2[aunt],
    )
    target = np.stack(relatives, axis=1)[:people]
    generation = np.floor(np.log2(person + 1)).astype(np.int64)
    across = (person + 1 - 2**generation + 0.5) * 2.0 ** (levels - generation) - 0.5  # over the middle of the leaves
    place = np.stack([across, levels - generation], axis=1).astype(np.float32)
    return make_table(RELATIONS, np.where(target == nobody, WALL, target), place, NAMES[:people], body=False)
