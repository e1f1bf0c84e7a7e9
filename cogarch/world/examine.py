"""Measures what a world model has learned (`cogarch.world.health`), in worlds that it never saw."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

import envs
from cogarch.bus import Bus
from cogarch.config import Agent
from cogarch.folder import RunFolder
from cogarch.module import Messages
from cogarch.run import SCORING_SEED, contracts, heard
from cogarch.world.health import Health
from cogarch.world.jepa import Jepa
from cogarch.world.probes import auroc, linear_r2, mlp_r2, rank
from envs import policies
from envs.coverage import bottlenecks
from envs.oracle import distances, places
from envs.world import NO_BODY, World

WALKS, TICKS, AHEAD = 64, 400, 20
"""Worlds of each kind, ticks of the walk that gets to know each of them, and ticks that are imagined."""
FITTED = 8
"""Times as many worlds are those in which probes are fitted: of few, the background would be taken for the place."""
MOST_NUMBERS = 50_000_000
"""Of observations, that are probed at once."""
Walk = Mapping[str, NDArray[Any]]


def examine(
    agent: Agent,
    env: str,
    *,
    options: Mapping[str, Any],
    scored: Mapping[str, Any],
    seed: int = 0,
    walks: int = WALKS,
    ticks: int = TICKS,
) -> Health:
    """Measure an agent's world model: probes are fitted in training worlds (with `options`), all else is scored in
    worlds from 10,000 on, with the options of `scored` on top."""
    bus, untrained, fitted = _fitted(agent, env, options, seed, walks, ticks)
    with torch.no_grad(), contextlib.closing(envs.make(env, walks, **{**options, **scored})) as world:
        first = SCORING_SEED + 1000 * seed
        known = _known(world, ticks, seed)
        said = _said(bus, known)
        z = said["world/z"]
        return Health(
            std=float(z.flatten(0, 1).std(0).mean()),
            rank=rank(z.flatten(0, 1)),
            between=float(z.mean(0).var(0, correction=0).sum() / z.flatten(0, 1).var(0, correction=0).sum()),
            **_position(bus, untrained, fitted, known, world),
            **_next(said, known, world),
            **_imagined(bus, said, known, world, first, seed),
            **_surprised(bus, known, world, first, seed),
            points=_points(z.flatten(0, 1), known["place"]),
        )


def examine_run(folder: RunFolder) -> Health:
    """Of a training, as its configuration says."""
    return examine(**_asked(folder))


def position(folder: RunFolder) -> dict[str, float]:
    """What of the place the code `world/z` of a training tells (`position_r2` and what stands beside it), of any module
    that writes it."""
    asked = _asked(folder)
    options, seed = asked["options"], asked["seed"]
    bus, untrained, fitted = _fitted(asked["agent"], asked["env"], options, seed, WALKS, TICKS)
    world = envs.make(asked["env"], WALKS, **{**options, **asked["scored"]})
    with torch.no_grad(), contextlib.closing(world):
        return _position(bus, untrained, fitted, _known(world, TICKS, seed), world)


def walked(folder: RunFolder) -> Walk:
    """The walk through worlds never trained on in which a training is judged."""
    asked = _asked(folder)
    with contextlib.closing(envs.make(asked["env"], WALKS, **{**asked["options"], **asked["scored"]})) as world:
        return _known(world, TICKS, asked["seed"])


def _asked(folder: RunFolder) -> dict[str, Any]:
    """What `examine` is given for a training."""
    config, agent = folder.config, folder.agent
    scored = agent.training.scored if agent.training.world == config["env"] else {}
    about = {"env": config["env"], "options": config["options"], "seed": config["seed"]}
    return {"agent": agent, "scored": scored, **about}


def _fitted(
    agent: Agent, env: str, options: Mapping[str, Any], seed: int, walks: int, ticks: int
) -> tuple[Bus, Bus, Walk]:
    """The agent's bus, that of an untrained one, and walks in many training worlds."""
    many = FITTED * walks
    with contextlib.closing(envs.make(env, many, **options)) as world:
        bus = agent.build(contracts(world), batch=walks, seed=seed, learning=True)
        blank = agent.model_copy(update={"weights": None})
        untrained = blank.build(contracts(world), batch=walks, seed=seed, learning=True)
        walk = policies.walk(world, policies.usual(world), ticks // FITTED, world_seeds=range(many), policy_seed=seed)
    return bus, untrained, walk


def _known(world: World, ticks: int, seed: int) -> Walk:
    """A walk that gets to know each of the scoring worlds."""
    first = SCORING_SEED + 1000 * seed
    seeds = range(first, first + world.num_envs)
    return policies.walk(world, "least_visited", ticks, world_seeds=seeds, policy_seed=seed)


def _points(z: Tensor, place: NDArray[np.float32]) -> NDArray[np.float64]:
    chosen = torch.linspace(0, len(z) - 1, 1000).long()
    _, _, axes = torch.linalg.svd((z - z.mean(0)).double(), full_matrices=False)
    found = ((z[chosen] - z.mean(0)).double() @ axes[:2].T).numpy()
    return np.concatenate([found, place.reshape(-1, 2)[chosen.numpy()]], axis=1)


TOPICS = ("world/z", "world/z_predicted", "world/surprise")
MEMORY = "world/memory"


def _said(bus: Bus, walk: Walk, topics: Sequence[str] = TOPICS) -> Messages:
    bus.reset(walk["node"].shape[1])
    return bus.play(heard(walk), topics)


def _position(bus: Bus, untrained: Bus, fitted: Walk, known: Walk, world: World) -> dict[str, Any]:
    names = ("position_r2", "position_r2_mlp", "position_r2_memory", "position_r2_raw", "position_r2_untrained")
    if world.metadata["motion"] == NO_BODY:
        return dict.fromkeys(names, float("nan"))
    y, y_new = (torch.from_numpy(walk["place"]).flatten(0, 1) for walk in (fitted, known))

    def codes(bus: Bus, *topics: str) -> tuple[Tensor, Tensor]:
        told = (_said(bus, walk, topics) for walk in (fitted, known))
        old, new = (torch.cat([said[topic] for topic in topics], -1).flatten(0, 1) for said in told)
        return old, new

    def probe(how: Callable[..., float], x: tuple[Tensor, Tensor]) -> float:
        return how(x[0], y, x[1], y_new)

    learned = codes(bus, "world/z")
    remembers = MEMORY in bus.plan.topics
    raw = [torch.from_numpy(walk["observation"]) for walk in (fitted, known)]
    if raw[0].dim() == 2:  # one whole number
        n = bus.plan.topics["env/observation"].values
        raw = [torch.nn.functional.one_hot(x, n).unsqueeze(-1) for x in raw]
    few = max(1, raw[0].numel() // MOST_NUMBERS)  # pictures are many numbers: a part of the ticks is enough
    flat = [x.flatten(0, 1)[::few].flatten(1).float() for x in raw]
    spread = flat[0].std(0)
    flat = [x[:, spread > 0] / spread[spread > 0] for x in flat]
    return {
        "position_r2": probe(linear_r2, learned),
        "position_r2_mlp": probe(mlp_r2, learned),
        "position_r2_memory": probe(linear_r2, codes(bus, "world/z", MEMORY)) if remembers else float("nan"),
        "position_r2_raw": linear_r2(flat[0], y[::few], flat[1], y_new[::few]),
        "position_r2_untrained": probe(linear_r2, codes(untrained, "world/z")),
    }


def _bank(z: Tensor, node: NDArray[np.int64], nodes: int) -> Tensor:
    """The code of each node of one world `[nodes, d]` as last seen, z `[T, d]`; NaN where it was not."""
    bank = torch.full((nodes, z.shape[-1]), torch.nan)
    bank[torch.from_numpy(node)] = z
    return bank


def _nearest(z: Tensor, bank: Tensor, node: Tensor) -> Tensor:
    """Whether no code of the bank is nearer to z `[n, d]` than that of the node `[n]`."""
    apart = torch.cdist(z, bank).nan_to_num(torch.inf)
    return apart.gather(1, node[:, None])[:, 0] <= apart.amin(1) * (1 + 1e-6)


def _at(z: Tensor, banks: Sequence[Tensor]) -> Tensor:
    """The node `[B]` of each world whose code is nearest to z `[B, d]`."""
    apart = [torch.cdist(one[None], bank).nan_to_num(torch.inf)[0] for one, bank in zip(z, banks, strict=True)]
    return torch.stack([x.argmin() for x in apart])


def _next(said: Messages, known: Walk, world: World) -> dict[str, Any]:
    """What was predicted the last time that each action was taken at each node, and distances between codes."""
    hits: dict[str, list[Tensor]] = {name: [] for name in ("all", "moved", "bumped", "door")}
    likeness = []
    for row in range(world.num_envs):
        table, node, action = world.table(row), known["node"][:, row], known["action"][:, row]
        bank = _bank(said["world/z"][:, row], node, len(table))
        pair = node[:-1] * table.target.shape[1] + action[1:]
        last = len(pair) - np.unique(pair[::-1], return_index=True)[1]  # the tick after
        last = last[~known["start"][last, row]]
        hit = _nearest(said["world/z_predicted"][last, row], bank, torch.from_numpy(node[last]))
        place, doors = places(table), bottlenecks(table)
        crossed = np.stack([place[node[last - 1]], place[node[last]]], 1)
        bumped = torch.from_numpy(known["bump"][last, row])
        through = torch.from_numpy((crossed[:, None] == doors).all(-1).any(-1)) if len(doors) else bumped & False
        for name, which in (("all", bumped | True), ("moved", ~bumped), ("bumped", bumped), ("door", through)):
            hits[name].append(hit[which])
        here = np.unique(node)
        steps, apart = distances(table, here)[:, here], torch.cdist(bank[here], bank[here]).numpy()
        upper = np.triu_indices(len(here), 1)
        likeness.append(spearmanr(steps[upper], apart[upper]).statistic)
    share = {name: float(torch.cat(found).double().mean()) for name, found in hits.items()}
    return {
        "accuracy": share["all"],
        "accuracy_moved": share["moved"],
        "accuracy_bumped": share["bumped"],
        "door_accuracy": share["door"],
        "distance": float(np.nanmean(likeness)) if np.isfinite(likeness).any() else float("nan"),
    }


def _imagined(bus: Bus, said: Messages, known: Walk, world: World, first: int, seed: int) -> dict[str, Any]:
    """Rollouts in the same worlds, along another walk, from its middle on."""
    walk = policies.walk(
        world, policies.usual(world), 2 * AHEAD + 1, world_seeds=range(first, first + world.num_envs), policy_seed=seed
    )
    heard_ = heard(walk)
    part = bus.part("world")
    assert isinstance(part, Jepa)
    z = _said(bus, walk)["world/z"]
    moved = heard_[f"env/{part.moved_by}"][AHEAD + 1 :]
    bus.reset(world.num_envs)
    bus.play({topic: x[: AHEAD + 1] for topic, x in heard_.items()}, TOPICS)
    others = torch.roll(moved, 1, 1)  # those of the agent in the next world
    imagined, shuffled = (part.imagine(bus.state["world"], z[AHEAD], told) for told in (moved, others))
    variance = z.flatten(0, 1).var(0).sum().clamp(min=1e-12)

    def errors(told: Tensor) -> tuple[float, ...]:
        return tuple(((told - z[AHEAD + 1 :]).square().sum(-1).mean(-1) / variance).tolist())

    banks = [
        _bank(said["world/z"][:, row], known["node"][:, row], len(world.table(row))) for row in range(world.num_envs)
    ]
    true = torch.from_numpy(walk["node"][AHEAD:])

    def agree(places: Sequence[Tensor]) -> float:
        """How often these `[B]`, tick by tick, stay or go as the true ones do."""
        at = torch.stack([_at(z[AHEAD], banks), *places])
        return float(((at[1:] == at[:-1]) == (true[1:] == true[:-1])).double().mean())

    snapped, state, here = [], bus.state["world"], z[AHEAD]
    for told in moved:
        there, state = part.onward(state, here, told)
        snapped.append(_at(there, banks))
        here = torch.stack([bank[at] for bank, at in zip(banks, snapped[-1].tolist(), strict=True)])
    errors_, shuffled_ = errors(imagined), errors(shuffled)
    return {
        "rollout": errors_,
        "repeat": errors(z[AHEAD].expand_as(imagined)),
        "shuffled": shuffled_,
        "action_use": shuffled_[0] / max(errors_[0], 1e-12),
        "walls": agree([_at(code, banks) for code in imagined]),
        "walls_snapped": agree(snapped),
    }


def _surprised(bus: Bus, known: Walk, world: World, first: int, seed: int) -> dict[str, Any]:
    """At the last tick of a walk, what cannot happen: to be elsewhere, the door elsewhere, an object another one."""
    rng, rows = np.random.default_rng(seed), np.arange(world.num_envs)
    seeds = range(first, first + world.num_envs)
    walk = policies.walk(world, policies.usual(world), AHEAD + 1, world_seeds=seeds, policy_seed=seed + 1)
    usual = _said(bus, walk)["world/surprise"][-1]
    before, after = walk["observation"][-2:]
    elsewhere = _elsewhere(known, walk, rng)
    odd = {} if elsewhere is None else {"teleport": elsewhere}
    for name, change in (("moved door", _move_door), ("recoloured object", _recolour)):
        if change(world, rows, rng):
            odd[name] = world.restore(world.save())[0]
            world.reset(seed=list(seeds))
            walk = policies.walk(world, policies.usual(world), AHEAD + 1, world_seeds=seeds, policy_seed=seed + 1)
    surprise, changed = {}, {}
    for name, seen in odd.items():
        told = {**walk, "observation": np.concatenate([walk["observation"][:-1], seen[None]])}
        surprise[name] = auroc(_said(bus, told)["world/surprise"][-1], usual)
        counts = [torch.from_numpy((x != before).reshape(len(rows), -1).sum(1)) for x in (seen, after)]
        changed[name] = auroc(counts[0], counts[1])
    return {"surprise": surprise, "change": changed}


def _elsewhere(known: Walk, walk: Walk, rng: np.random.Generator) -> NDArray[Any] | None:
    """What is sensed at another node of the same world, two cells away or more where one is, as it was when visited;
    None where one of the worlds has no other."""
    seen = []
    for row in range(walk["node"].shape[1]):
        other = ~np.isin(known["node"][:, row], walk["node"][-2:, row])
        if not other.any():
            return None
        far = other & (np.abs(known["place"][:, row] - walk["place"][-1, row]).sum(-1) >= 2)
        seen.append(known["observation"][rng.choice(np.flatnonzero(far if far.any() else other)), row])
    return np.stack(seen)


def _move_door(world: World, rows: NDArray[np.int64], rng: np.random.Generator) -> bool:
    move = getattr(world, "move_door", None)
    if move is None:
        return False
    for row in rows.tolist():
        size, now = world.size, world.layout[row] % world.size  # type: ignore[attr-defined]
        with contextlib.suppress(ValueError):  # who stands in the door sees it stay
            move(row, int((now + rng.integers(1, size)) % size))
    return True


def _recolour(world: World, rows: NDArray[np.int64], rng: np.random.Generator) -> bool:
    objects = [world.landmarks(row) for row in rows.tolist()]
    if not all(map(len, objects)):
        return False
    for row, nodes in zip(rows.tolist(), objects, strict=True):
        world.change_landmark(row, int(rng.choice(nodes)), int(rng.integers(1, 10)))  # type: ignore[attr-defined]
    return True
