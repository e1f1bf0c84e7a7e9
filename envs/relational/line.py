"""Ranks in one dimension or two: transitive inference and social hierarchies."""

from collections.abc import Iterator, Sequence

import numpy as np

from envs.relational.family_tree import NAMES
from envs.relational.relational import Relational, make_table
from envs.table import WALL, Table
from envs.world import NO_BODY

LONGEST = 10  # the ways to add up to an amount double with each rank


class Ranked(Relational):
    """People or things ranked in one dimension or more; an action goes up or down in one of them by an amount."""

    def __init__(
        self,
        num_envs: int,
        table: Table,
        *,
        objects: int,
        start: int | None,
        motion_noise: float,
        render_mode: str | None,
    ) -> None:
        super().__init__(
            num_envs,
            table,
            objects=objects,
            motion=NO_BODY,
            motion_noise=motion_noise,
            render_mode=render_mode,
            start=start,
            place_unit="ranks",
        )

    @property
    def compositions(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        """For each action the sequences of smaller ones, in its direction, that add up to it (see `questions`)."""
        ways: dict[str, tuple[tuple[str, ...], ...]] = {}
        for action in self.metadata["actions"]:
            amount, direction = action.split(" ", 1)
            ways[action] = tuple(tuple(f"{k} {direction}" for k in parts) for parts in _sums(int(amount)))
        return ways


class Line(Ranked):
    """Transitive inference: a row, and actions as "2 more" (Whittington et al. 2020).

    Args:
        num_envs: lines stepped together, each with a sensory map of its own.
        length: things in the row, 3 to 10.
        objects: kinds of objects; each place holds one, drawn with replacement anew each episode.
        start: node at which every episode begins (0 is the least); None: any node.
        motion_noise: every world takes it; here nothing is felt.
        render_mode: "rgb_array" or None.

    Observation `Discrete(objects)`; actions "1 more" to "length-1 more", then "1 less" and so on, a bump beyond the
    ends; node = rank, named A, B, ...; place is (rank, 0); motion is always zero. Never ends, never pays.

    Raises:
        ValueError: a length outside 3 to 10.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        length: int = 6,
        objects: int = 45,
        start: int | None = None,
        motion_noise: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        if not 3 <= length <= LONGEST:
            raise ValueError(f"length is {length}: a line has 3 to {LONGEST} places")
        table = ranked_table(length, length - 1, (("more", "less"),), "ABCDEFGHIJ"[:length])
        super().__init__(
            num_envs, table, objects=objects, start=start, motion_noise=motion_noise, render_mode=render_mode
        )


class SocialHierarchy(Ranked):
    """People ranked by competence and by popularity (Park et al. 2020, Neuron 107:1226).

    Args:
        num_envs: hierarchies stepped together, each with a sensory map of its own.
        ranks: ranks in each dimension, 2 to 10 (4 there); one person at each pair of ranks.
        amount: the largest difference that an action names; None: ranks - 1, all of them.
        objects: kinds of objects; each person holds one, drawn with replacement anew each episode.
        start: node at which every episode begins; None: any node.
        motion_noise: every world takes it; here nothing is felt.
        render_mode: "rgb_array" or None.

    Observation `Discrete(objects)`; actions "1 more competent", "2 more competent", ..., "1 less competent", ..., and
    the same with "popular", a bump beyond the ranks; node = popularity * ranks + competence; people have names; place
    is (competence, popularity); motion is always zero. Never ends, never pays.

    Raises:
        ValueError: ranks outside 2 to 10; an amount that no two ranks differ by.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        ranks: int = 4,
        amount: int | None = None,
        objects: int = 45,
        start: int | None = None,
        motion_noise: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        if not 2 <= ranks <= LONGEST:
            raise ValueError(f"ranks is {ranks}: a hierarchy has 2 to {LONGEST} ranks in each dimension")
        amount = ranks - 1 if amount is None else amount
        if not 1 <= amount < ranks:
            raise ValueError(f"amount is {amount}: {ranks} ranks differ by 1 to {ranks - 1}")
        directions = (("more competent", "less competent"), ("more popular", "less popular"))
        table = ranked_table(ranks, amount, directions, NAMES[: ranks**2])
        super().__init__(
            num_envs, table, objects=objects, start=start, motion_noise=motion_noise, render_mode=render_mode
        )


def ranked_table(ranks: int, amount: int, directions: Sequence[tuple[str, str]], names: Sequence[str]) -> Table:
    """Nodes at all ranks in one or two dimensions; actions go up and down in each by 1 to `amount`."""
    rank = np.indices((ranks,) * len(directions)).reshape(len(directions), -1)[::-1].T  # [N, D]
    stride = ranks ** np.arange(len(directions))
    actions, targets = [], []
    for dimension, pair in enumerate(directions):
        for direction, sign in zip(pair, (1, -1), strict=True):
            for k in range(1, amount + 1):
                to = rank[:, dimension] + sign * k
                node = rank @ stride + sign * k * stride[dimension]
                actions.append(f"{k} {direction}")
                targets.append(np.where((to >= 0) & (to < ranks), node, WALL))
    place = np.zeros((len(rank), 2), np.float32)
    place[:, : len(directions)] = rank
    return make_table(tuple(actions), np.stack(targets, axis=1), place, tuple(names), body=False)


def _sums(amount: int) -> Iterator[tuple[int, ...]]:
    """The sequences of two or more positive numbers that add up to an amount."""
    for first in range(1, amount):
        yield (first, amount - first)
        yield from ((first, *rest) for rest in _sums(amount - first))
