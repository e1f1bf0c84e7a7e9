"""Zero-shot accuracy: what a map predicts at a place that it knows, entered by a way that it never took.

An event is a tick at which the agent moved to a node visited before in this walk, by a (node, action) pair never used
before in it. Only the prediction made before seeing counts; standing still and bumps are no events. Most events go back
over an edge that was walked the other way (62 to 73 % in squares), so they are also scored without those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

import envs
from cogarch.bus import Bus
from cogarch.config import Agent
from cogarch.module import Messages
from cogarch.run import SCORING_SEED, contracts, heard
from envs import policies
from envs.relational.questions import answerable

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

WINDOWS = ((0, 512), (512, 1024), (1024, 2048), (2048, 4096))
WANTED = ("lec/x", "lec/x_predicted")
PER_SEED = 1_000_003
"""Policy seeds of one seed."""


def first_world(seed: int) -> int:
    """The first of the worlds in which that seed of a bench scores; 100 of them are its own."""
    return SCORING_SEED + 100 * seed


def first_time(ids: Ints) -> Bools:
    """`[T, B]`: the value has not occurred before in its column."""
    order = np.argsort(ids, axis=0, kind="stable")
    ranked = np.take_along_axis(ids, order, 0)
    new = np.ones_like(ranked, dtype=bool)
    new[1:] = ranked[1:] != ranked[:-1]
    first = np.empty_like(new)
    np.put_along_axis(first, order, new, 0)
    return first


@dataclass(frozen=True)
class Events:
    """Masks `[T, B]` over a walk."""

    moved: Bools
    """To another node (or place), not by a new beginning."""
    visited: Bools
    """The node was visited before."""
    zero_shot: Bools
    without_way_back: Bools
    """Zero-shot, and the edge was not walked in either direction."""


def events(node: Ints, action: Ints, start: Bools, place: Ints | None = None) -> Events:
    """The events of a walk; all arguments `[T, B]`, `action` the one that led to the tick. One episode a column.

    place: where the agent is for what it senses, if that is less than its node: a body that turns on the spot and
    senses what is underfoot stands still. None: the node.
    """
    place = node if place is None else place
    if bool(start[1:].any()):
        raise ValueError("zero-shot events are defined within one episode; the walk begins a new one in its middle")
    visited = ~first_time(place)
    nowhere = np.full((1, node.shape[1]), -1)
    before, place_before = np.vstack([nowhere, node[:-1]]), np.vstack([nowhere, place[:-1]])
    moved = (place != place_before) & ~start
    many = max(int(node.max()) + 2, int(action.max()) + 2)
    new_pair = first_time((before + 1) * many + action + 1)
    low, high = np.minimum(place, place_before), np.maximum(place, place_before)
    new_edge = first_time(np.where(moved, low * many + high, -1))
    zero_shot = visited & moved & new_pair
    return Events(moved, visited, zero_shot, zero_shot & new_edge)


def events_of(world: VectorEnv[Any, Any, Any], walk: Mapping[str, NDArray[Any]]) -> Events:
    """The events of a walk in this world, told by its places where it senses no more than these."""
    place = None
    if world.metadata["motion"] == "turn, advance" and world.metadata["senses"] == "place":
        place = view_ids(walk["place"])
    return events(walk["node"], walk["action"], walk["start"], place)


def view_ids(observation: NDArray[Any]) -> Ints:
    """Observations `[T, B, ...]` as whole numbers `[T, B]`, equal where the views are."""
    if observation.ndim == 2:
        return observation.astype(np.int64)
    flat = observation.reshape(observation.shape[0] * observation.shape[1], -1)
    return np.unique(flat, axis=0, return_inverse=True)[1].reshape(observation.shape[:2]).astype(np.int64)


def most_frequent(seen: Ints, where: Ints | None = None) -> Ints:
    """`[T, B]`: the view seen most often before each tick, the guess of an agent without a map (-1 at first).

    where: `[T, B]`, counted apart for each of these numbers, such as places; None: all together.
    """
    where = np.zeros_like(seen) if where is None else where
    guess = np.full_like(seen, -1)
    for row in range(seen.shape[1]):
        counts: Counter[tuple[int, int]] = Counter()
        best: dict[int, int] = {}
        for t, (here, view) in enumerate(zip(where[:, row].tolist(), seen[:, row].tolist(), strict=True)):
            guess[t, row] = best.get(here, -1)
            counts[here, view] += 1
            if counts[here, view] > counts[here, best.get(here, -1)]:
                best[here] = view
    return guess


def accuracy(hit: Bools, mask: Bools) -> float:
    """The share of `mask` that is hit; NaN where it is empty."""
    return float(hit[mask].mean()) if mask.any() else float("nan")


PIECE = 4096
"""Ticks played at once: the activity of all slots over a whole life would not fit into memory."""


def played(bus: Bus, walk: Mapping[str, NDArray[Any]], topics: Sequence[str]) -> Iterator[Messages]:
    """What the bus says of these topics along a walk `[T, B, ...]`, piece by piece."""
    messages = heard(walk)
    for a in range(0, len(walk["node"]), PIECE):
        yield bus.play({topic: x[a : a + PIECE] for topic, x in messages.items()}, topics)


def predict(bus: Bus, walk: Mapping[str, NDArray[Any]]) -> Bools:
    """`[T, B]`: was the view predicted before seeing it? The bus is reset. ValueError for a walk of no ticks."""
    if not len(walk["node"]):
        raise ValueError("a walk of 0 ticks: give 1 or more")
    bus.reset(walk["node"].shape[1])
    with torch.no_grad():
        if bus.plan.topics["lec/x"].unit == CONTINUOUS:
            pieces = list(played(bus, walk, WANTED))
            said = {topic: torch.cat([piece[topic] for piece in pieces]) for topic in WANTED}
            return retrieved(said, view_ids(walk["observation"]))
        return np.vstack([hits(said) for said in played(bus, walk, WANTED)])


def hits(said: Messages) -> Bools:
    """`[T, B]`: the likeliest view is the one that is seen; one without a code (all zeros) is never predicted."""
    x, predicted = (said[topic].detach() for topic in WANTED)
    hit = (predicted.argmax(-1) == x.argmax(-1)) & (x != 0).any(-1)
    return np.asarray(hit.cpu().numpy())


CONTINUOUS = "code"
"""The unit of a sensory code that is no symbol."""


def retrieved(said: Messages, seen: Ints) -> Bools:
    """`[T, B]`: of all views of its walk, numbered in `seen` `[T, B]`, none is more like (by cosine) what was predicted
    than the one that is seen; for continuous codes."""
    x, predicted = (said[topic].detach() for topic in WANTED)
    found = np.zeros(seen.shape, bool)
    for row in range(seen.shape[1]):
        _, first, view = np.unique(seen[:, row], return_index=True, return_inverse=True)
        views = torch.nn.functional.normalize(x[first, row], dim=-1)
        likeness = predicted[:, row] @ views.T  # [T, views]
        own = likeness.gather(1, torch.from_numpy(view)[:, None].to(likeness.device))[:, 0]
        found[:, row] = ((own > 0) & (own >= likeness.amax(1) - 1e-6)).cpu().numpy()
    return found


@dataclass(frozen=True)
class Judged:
    """What was predicted over walks; `[T, B]` unless said."""

    node: Ints
    place: NDArray[np.float32]
    """`[T, B, 2]`, x, y."""
    seen: Ints
    """The view, numbered within each group of walks."""
    reward: NDArray[np.floating[Any]]
    events: Events
    hit: Bools
    """The view was predicted before it was seen."""
    same: Bools
    """It is the one that was seen last."""
    frequent: Bools
    """It is the one that was seen most often."""
    answerable: Bools | None
    """Zero-shot, and it follows from moves made before; None where moves do not compose."""
    nodes: Ints
    """`[B]`, how many there are in each world."""
    chance: NDArray[np.float64]
    """`[B]`, one over the number of objects; NaN where they are not counted."""


def judge(
    agent: Agent,
    env: str,
    *,
    options: Mapping[str, Any] | None = None,
    walks: int = 4,
    steps: int = 4096,
    seed: int = 0,
    world_seed: int = SCORING_SEED,
    policy: str | None = None,
    together: int = 2,
) -> Judged:
    """Predict every tick of `walks` walks, one a world, `together` of them at a time; arguments as of `evaluate`."""
    if min(walks, steps, together) < 1 or min(seed, world_seed) < 0:
        raise ValueError(
            "walks, steps and together are at least 1, seed and world_seed at least 0; "
            f"got {walks}, {steps}, {together}, {seed} and {world_seed}"
        )
    parts = []
    for first in range(0, walks, together):
        n = min(together, walks - first)
        world = envs.make(env, n, **(options or {}))
        seeds = range(world_seed + first, world_seed + first + n)
        walk = policies.walk(
            world, policy or policies.usual(world), steps, world_seeds=seeds, policy_seed=seed * PER_SEED + first
        )
        found, compositions = events_of(world, walk), getattr(world, "compositions", None)
        bus = _holding(agent, steps).build(contracts(world), batch=n, seed=seed)
        seen, values = view_ids(walk["observation"]), contracts(world)["env/observation"].values
        part = Judged(
            node=walk["node"],
            place=walk["place"],
            seen=seen,
            reward=walk["reward"],
            events=found,
            hit=predict(bus, walk),
            same=np.vstack([np.full((1, n), -1), seen[:-1]]) == seen,
            frequent=most_frequent(seen) == seen,
            answerable=found.zero_shot & answerable(world, compositions, walk) if compositions else None,
            nodes=np.array([len(world.table(row)) for row in range(n)]),
            chance=np.full(n, 1 / values if values else np.nan),
        )
        world.close()
        parts.append(part)
    joined: Judged = _side_by_side(parts)
    return joined


def _side_by_side(parts: Sequence[Any]) -> Any:
    """One of several, its arrays joined along the walks."""
    joined: dict[str, Any] = {}
    for name in (field.name for field in fields(parts[0])):
        values = [getattr(part, name) for part in parts]
        if is_dataclass(values[0]):
            joined[name] = _side_by_side(values)
        else:
            joined[name] = None if values[0] is None else np.hstack(values)
    return type(parts[0])(**joined)


def evaluate(
    agent: Agent,
    env: str,
    *,
    options: Mapping[str, Any] | None = None,
    walks: int = 4,
    steps: int = 4096,
    seed: int = 0,
    world_seed: int = SCORING_SEED,
    policy: str | None = None,
    windows: Sequence[tuple[int, int]] = WINDOWS,
    together: int = 2,
) -> list[dict[str, Any]]:
    """Zero-shot accuracy by window of the walk, in worlds never trained on; one row a window.

    `walks` walks of `steps` ticks in worlds `world_seed`, `world_seed + 1`, ..., `together` of them at a time (a walk
    of T ticks attends over T^2 pairs), by `policies.usual` where no `policy` is named. Beside the map: `chance` (one
    over the number of objects, where counted), `same` (predict what is seen now) and `frequent` (predict the view seen
    most often so far). Where moves compose (a family tree, a line), `accuracy_answerable` is that at the events that
    follow from moves made before (`envs.relational.questions`): "Bob's niece" is a child of his sibling.
    """
    said = judge(
        agent,
        env,
        options=options,
        walks=walks,
        steps=steps,
        seed=seed,
        world_seed=world_seed,
        policy=policy,
        together=together,
    )
    masks = {"": said.events.zero_shot, "_without_way_back": said.events.without_way_back}
    if said.answerable is not None:
        masks["_answerable"] = said.answerable
    rows = []
    for a, b in windows:
        if a >= steps:
            continue
        at = slice(a, min(b, steps))
        row: dict[str, Any] = {"window": f"{a}-{min(b, steps)}"}
        for name, mask in masks.items():
            row[f"events{name}"] = int(mask[at].sum())
            row[f"accuracy{name}"] = accuracy(said.hit[at], mask[at])
        row["chance"] = float(said.chance.mean())
        row["same"] = accuracy(said.same[at], masks[""][at])
        row["frequent"] = accuracy(said.frequent[at], masks[""][at])
        rows.append(row)
    return rows


def _holding(agent: Agent, steps: int) -> Agent:
    """The agent with a memory of slots that holds the whole walk, so that `play` is one attention over it.

    One that corrects itself is ticked in any case, and needs a copy a place: it keeps what it merges.
    """
    wanted = {"capacity": steps} if agent.modules["mec"].get("correct") else {"capacity": steps, "merge": 0.0}
    settings = {name: wanted[name] for name in agent.training.modules.get("hc", {}) if name in wanted}
    return agent.change("hc", **settings) if settings else agent
