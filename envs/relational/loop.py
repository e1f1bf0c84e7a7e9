"""Laps on a ring with a reward after the last: lap cells (event-specific representation)."""

import numpy as np

from envs.relational.relational import Relational, make_table
from envs.settings import check_most
from envs.world import ALLOCENTRIC

MOST_NODES = 1_000_000


class Loop(Relational):
    """Laps on a ring, rewarded after the last one (Sun et al. 2020, Nature Neuroscience 23:651).

    Args:
        num_envs: animals stepped together, each with a sensory map of its own.
        laps: laps to a reward, 1 or more.
        length: positions on the ring, 3 or more.
        visible_reward: the state that pays shows an object of its own, the number `objects`, in place of its
            position's. On by default: without it nothing that is sensed tells one lap from another.
        objects: kinds of objects; each position holds one in every lap, drawn with replacement anew each episode.
        start: node at which every episode begins; None: any node.
        motion_noise: standard deviation of felt motion, cells a step, on both components.
        render_mode: "rgb_array" or None.

    Observation `Discrete(objects)`, or one more with `visible_reward`; one action, "forward"; node = lap * length +
    position. The step from the end of the last lap leads to node 0, as at the start box, and pays 1; never ends. The
    ring is `length` cells round and counter-clockwise, with its centre at (0, 0): "dx, dy" of a step is the chord,
    a little shorter than a cell.

    Raises:
        ValueError: too few laps or positions, or too many.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        laps: int = 4,
        length: int = 8,
        visible_reward: bool = True,
        objects: int = 45,
        start: int | None = None,
        motion_noise: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        if laps < 1:
            raise ValueError(f"laps is {laps}: a reward comes after at least 1 lap")
        if length < 3:
            raise ValueError(f"length is {length}: a ring has at least 3 positions")
        check_most("laps * length", laps * length, MOST_NODES)
        node = np.arange(laps * length)
        position = node % length
        angle = 2 * np.pi * position / length
        place = length / (2 * np.pi) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        names = tuple(f"lap {lap + 1}, {at + 1}" for lap in range(laps) for at in range(length))
        table = make_table(("forward",), ((node + 1) % len(node))[:, None], place.astype(np.float32), names, body=True)
        super().__init__(
            num_envs,
            table,
            objects=objects,
            motion=ALLOCENTRIC,
            motion_noise=motion_noise,
            render_mode=render_mode,
            start=start,
            position=position,
            pays=node == 0,
            visible_reward=visible_reward,
        )
