"""Zero-shot questions: moves never made whose answer follows from moves made before."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from envs.settings import did_you_mean
from envs.table import Table
from envs.world import Bools, World


def answerable(
    world: World | Table, compositions: Mapping[str, Sequence[Sequence[str]]], walk: Mapping[str, Any]
) -> Bools:
    """The ticks of a walk at which a question is put and can be answered without having seen the answer [T, B].

    A question is the first use, in its episode, of an action at a node. "Bob's niece 1" can be answered when Bob's
    sibling, and then the child 1 of that sibling, were walked before in the same episode: then the place that the move
    leads to was visited before, and which it is follows from what the relations mean.

    Args:
        world: the world walked in, where all rows share one table, or that table.
        compositions: for each action by name the sequences of actions that lead to the same node; an action that is
            not named follows from nothing.
        walk: `node`, `action` and `start` [T, B], as `envs.policies.walk` returns them: `action` led to the tick. A
            walk that does not begin with a start is taken to.

    Raises:
        ValueError: the name of an action that the world does not have.
    """
    table = world if isinstance(world, Table) else world.table()
    number = {name: action for action, name in enumerate(table.actions)}
    for name in (*compositions, *(step for ways in compositions.values() for way in ways for step in way)):
        if name not in number:
            raise ValueError(f"the world has no action {name!r}: {did_you_mean(name, number)}")
    start = np.array(walk["start"], np.bool_)
    start[0] = True
    # Episodes numbered through all rows, and the first tick at which each uses each (node, action).
    episode = start.T.ravel().cumsum().reshape(start.T.shape).T - 1
    tick, row = np.nonzero(~start & (walk["action"] >= 0))
    episode, node, action = episode[tick, row], walk["node"][tick - 1, row], walk["action"][tick, row]
    never = len(start)
    first = np.full((int(start.sum()), *table.target.shape), never)
    np.minimum.at(first, (episode, node, action), tick)

    answer = table.target[node, action]
    asked = (first[episode, node, action] == tick) & (answer >= 0)
    found = np.zeros(start.shape, np.bool_)
    for name, ways in compositions.items():
        for way in ways:
            question = np.flatnonzero(asked & (action == number[name]))
            at = node[question]
            for step in way:
                known = first[episode[question], at, number[step]] < tick[question]
                question, at = question[known], at[known]
                at = table.target[at, number[step]]
                question, at = question[at >= 0], at[at >= 0]
            question = question[at == answer[question]]
            found[tick[question], row[question]] = True
    return found


def phrase(table: Table, node: int, action: int) -> str:
    """A move in words: "Bob's niece 1", "3 more than E", or "forward from node 7" where nodes have no names."""
    relation = table.actions[action]
    if not table.names:
        return f"{relation} from node {node}"
    if {"more", "less"} & set(relation.split()):
        return f"{relation} than {table.names[node]}"
    return f"{table.names[node]}'s {relation}"
