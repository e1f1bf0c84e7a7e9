"""Continuous spatial alternation on a figure of eight: splitter cells."""

import numpy as np

from envs.relational.relational import Relational, make_table
from envs.settings import check_most
from envs.table import CLOSED, WALL, Table
from envs.world import ALLOCENTRIC, Bools, Ints

ACTIONS = ("forward", "left", "right")
LONGEST = 10_000  # stem or arm


class Alternation(Relational):
    """A figure of eight, rewarded for alternating sides (Wood et al. 2000, Neuron 27:623).

    Args:
        num_envs: animals stepped together, each with a sensory map of its own.
        stem: positions of the middle stem, both ends included, 2 or more; its upper end is the choice point.
        arm: cells from the stem to the outer arms, 1 or more. An arm has 2 arm + stem - 2 positions.
        forced: the door to the side that came last is closed: for training walks of nothing but alternation.
        visible_reward: a state that pays shows an object of its own, the number `objects`, in place of its position's.
        objects: kinds of objects; each position holds one, drawn with replacement anew each episode.
        start: node at which every episode begins; None: any node.
        motion_noise: standard deviation of felt motion, cells a step, on both components.
        render_mode: "rgb_array" or None.

    Observation `Discrete(objects)`, or one more with `visible_reward`; actions forward (up the stem and round an arm),
    left and right (at the choice point), the others a bump. Node = position x the side that came last: the side of the
    last arm walked to its end (38 nodes by default; with `forced` only those that can be reached, 24). The upper outer
    corner of an arm pays 1 if the other side came last. Never ends. The stem runs north from (0, 0), every step is 1
    cell, motion is "dx, dy".

    Raises:
        ValueError: a stem or an arm too short or too long.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        stem: int = 5,
        arm: int = 2,
        forced: bool = False,
        visible_reward: bool = False,
        objects: int = 45,
        start: int | None = None,
        motion_noise: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        if stem < 2:
            raise ValueError(f"stem is {stem}: it has at least 2 positions, where the arms meet and where they part")
        if arm < 1:
            raise ValueError(f"arm is {arm}: an arm lies at least 1 cell from the stem")
        check_most("stem", stem, LONGEST)
        check_most("arm", arm, LONGEST)
        table, position, pays = alternation_table(stem, arm, forced)
        super().__init__(
            num_envs,
            table,
            objects=objects,
            motion=ALLOCENTRIC,
            motion_noise=motion_noise,
            render_mode=render_mode,
            start=start,
            position=position,
            pays=pays,
            visible_reward=visible_reward,
        )


def alternation_table(stem: int, arm: int, forced: bool) -> tuple[Table, Ints, Bools]:
    """The moves, the position of each node [N], and which nodes pay [N]."""
    top = stem - 1
    out = [(x, top) for x in range(1, arm + 1)]
    down = [(arm, y) for y in range(top - 1, 0, -1)]
    back = [(x, 0) for x in range(arm, 0, -1)]
    route = out + down + back  # of the right arm; the left one mirrors it
    cells = [("stem", 0, y) for y in range(stem)]
    cells += [(side, sign * x, y) for side, sign in (("left", -1), ("right", 1)) for x, y in route]
    first = {"left": stem, "right": stem + len(route)}  # position at which an arm begins
    corners = {first[side] + arm - 1: side for side in first}  # where the reward waits

    states = [
        (position, last)
        for last in ("left", "right")
        for position, (part, _, _) in enumerate(cells)
        if not (forced and part == last)
    ]
    node_of = {state: node for node, state in enumerate(states)}
    target = np.full((len(states), len(ACTIONS)), WALL, np.int64)
    for node, (position, last) in enumerate(states):
        part = cells[position][0]
        if position == top:
            for side in first:
                target[node, ACTIONS.index(side)] = node_of.get((first[side], last), CLOSED)
        elif part != "stem" and position + 1 == first[part] + len(route):
            target[node, 0] = node_of[0, part]  # from here on the side of this arm is the one that came last
        else:
            target[node, 0] = node_of[position + 1, last]
    place = np.array([cells[position][1:] for position, _ in states], np.float32)
    names = tuple(
        f"{cells[position][0]} {position + 1 - first.get(cells[position][0], 0)}, {last} last"
        for position, last in states
    )
    pays = np.array([corners.get(position, last) != last for position, last in states])
    return make_table(ACTIONS, target, place, names, body=True), np.array([p for p, _ in states]), pays
