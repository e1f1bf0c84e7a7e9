"""Two levels of planning: the shortest way over the doors between regions, and inside a region to the next door.

The map is as in `cogarch.executive.regions`, and `cost` `[B, S, A]` what each move costs, above 0, inf where it is
refused (none given: 1 each). A door is a move from one region to another. The upper plan keeps every door, and what the
ways between doors cost inside regions, so its way costs what the best one costs. (Hierarchical path-finding A*, Botea,
Müller & Schaeffer 2004, keeps a few doors of a wide border, and is nearly as good.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cogarch.executive.regions import leads_on

INF = float("inf")


@dataclass(frozen=True)
class Upper:
    """Regions and doors of B maps. `R`, `M`, `D` and `K` are the most regions of a row, places and doors of a region
    (`M`, `K`) and doors of a row (`D`); -1 and inf fill where there are fewer.

    `target` and `cost` are a graph of the same form as the map's own, with doors for places: what it costs to cross a
    door and go on to the next one.
    """

    region: Tensor  # [B, S] as given
    place: Tensor  # [B, S] which place of its region each slot is
    inside: Tensor  # [B, R, M, A] the place of the same region that each action leads to
    inside_cost: Tensor  # [B, R, M, A]
    members: Tensor  # [B, R, M] slots
    exits: Tensor  # [B, R, K] doors out of each region
    to_exit: Tensor  # [B, R, M, K] cost to the near side of each exit, inside the region
    near: Tensor  # [B, D] slot from which a door is entered
    action: Tensor  # [B, D] the action that does
    far: Tensor  # [B, D] slot to which it leads
    crossing: Tensor  # [B, D] cost of that action
    target: Tensor  # [B, D, K] the doors within reach beyond each door
    cost: Tensor  # [B, D, K] of crossing a door and going to the next
    backups: Tensor  # [B] Bellman backups that it took: moves weighed, times sweeps


def upper(target: Tensor, known: Tensor, region: Tensor, cost: Tensor | None = None) -> Upper:
    """The doors between regions `[B, S]` (see `regions`, or any other: -1 is no place), and what lies between doors.

    It holds for every goal. When a move is learned or refused it is made anew; the regions may stay as they are.

    Raises:
        ValueError: as `regions`; costs of 0 or less, or NaN; known places without a region.
    """
    leads, cost = leads_on(target, known), _costs(target, cost)
    if region.shape != known.shape or region.dtype != torch.int64 or bool((region < 0)[known].any()):
        raise ValueError(
            f"regions {region.dtype} {list(region.shape)}: give int64 {list(known.shape)}, 0 or more at known places"
        )
    leads &= cost.isfinite()
    cost, region = cost.masked_fill(~leads, INF), region.masked_fill(~known, -1)
    batch, _, actions = target.shape
    flat = target.clamp(min=0).flatten(1)
    there = region.gather(1, flat).view_as(target)
    out = leads & (there != region[..., None])
    members, place = _grouped(region, max(int(region.max()) + 1, 1) if region.numel() else 1)
    count, width = members.shape[1:]

    within = torch.where(leads & ~out, place.gather(1, flat).view_as(target), -1)
    at = members.clamp(min=0).flatten(1)[..., None].expand(-1, -1, actions)
    shape = (batch, count, width, actions)
    empty = (members < 0)[..., None]
    inside = within.gather(1, at).view(shape).masked_fill(empty, -1)
    inside_cost = cost.gather(1, at).view(shape).masked_fill(empty | (inside < 0), INF)

    doors = _grouped(torch.where(out, 0, -1).flatten(1), 1)[0][:, 0]  # [B, D] slot * A + action
    no_door, one = doors < 0, doors.clamp(min=0)
    near, action = (x.masked_fill(no_door, -1) for x in (one // actions, one % actions))
    far = flat.gather(1, one).masked_fill(no_door, -1)
    crossing = cost.flatten(1).gather(1, one).masked_fill(no_door, INF)
    exits, rank = _grouped(_at(region, near), count)

    end = cost.new_full((batch, count, width, exits.shape[2]), INF)
    row, door = torch.nonzero(~no_door, as_tuple=True)
    start = near[row, door]
    end[row, region[row, start], place[row, start], rank[row, door]] = 0
    to_exit, sweeps = cost_to_go(inside.flatten(0, 1), inside_cost.flatten(0, 1), end.flatten(0, 1))
    to_exit = to_exit.view_as(end)

    beyond = _at(region, far)  # [B, D]
    rows = torch.arange(batch, device=target.device)[:, None]
    onward = exits[rows, beyond.clamp(min=0)].masked_fill(no_door[..., None], -1)
    way = crossing[..., None] + to_exit[rows, beyond.clamp(min=0), _at(place, far).clamp(min=0)]
    moves = (inside >= 0).sum((2, 3)) * (exits >= 0).sum(2)
    return Upper(
        *(region, place, inside, inside_cost, members, exits, to_exit, near, action, far, crossing),
        target=onward,
        cost=way.masked_fill(onward < 0, INF),
        backups=(moves * sweeps.view(batch, count)).sum(1),
    )


@dataclass(frozen=True)
class Route:
    """The way of each row from its start to the nearest of its goals."""

    cost: Tensor  # [B] of the whole way; inf: there is none, or the goal is no known place
    doors: Tensor  # [B, L] the doors to pass, in order, -1 after the last
    subgoal: Tensor  # [B] the far side of the first door, or the goal where no door is left to pass; -1: no way
    togo: Tensor  # [B, S] cost to the subgoal from the places of the present region (for `descend`); inf elsewhere
    backups: Tensor  # [B] Bellman backups that it took


def plan(upper: Upper, start: Tensor, goals: Tensor) -> Route:
    """The shortest way from `start` `[B]` to the nearest of `goals` `[B, G]` (slots; -1: fewer goals), by two levels.

    Three small problems in place of a large one: what the goals cost from the places of their own regions; from there,
    what they cost from each door; and the least of both at the start. The way to the subgoal leads through the present
    region alone: descend `togo`, and plan again at the subgoal (or `Route.doors` on, as long as nothing surprises).

    Raises:
        ValueError: a start that is no known place, a goal that is no slot.
    """
    batch, slots = upper.region.shape
    for name, x, dim, low in (("start", start, 1, 0), ("goals", goals, 2, -1)):
        if x.dtype != torch.int64 or x.dim() != dim or len(x) != batch:
            raise ValueError(f"{name} {x.dtype} {list(x.shape)}: give int64 [{batch}{', G' if dim == 2 else ''}]")
        if bool(((x < low) | (x >= slots)).any()):
            raise ValueError(f"{name} has slots from {int(x.min())} to {int(x.max())}: there are 0 to {slots - 1}")
    if not goals.shape[1]:
        raise ValueError("goals is empty: give a goal or more a row (-1 for none)")
    rows = torch.arange(batch, device=start.device)
    here = upper.region[rows, start]
    if bool((here < 0).any()):
        row = int((here < 0).nonzero()[0])
        raise ValueError(f"start {int(start[row])} of row {row} is no known place: store it first")

    # what the goals cost inside their own regions, a problem a goal
    goal_region = _at(upper.region, goals)  # [B, G]; -1: not known
    own = rows[:, None], goal_region.clamp(min=0)
    graph, costs, members = (x[own].flatten(0, 1) for x in (upper.inside, upper.inside_cost, upper.members))
    end = costs.new_full(members.shape, INF)
    end.scatter_(1, _at(upper.place, goals).clamp(min=0).view(-1, 1), 0)
    end.masked_fill_((goal_region < 0).view(-1, 1), INF)
    inside, sweeps = cost_to_go(graph, costs, end)  # [B G, M]
    backups = ((graph >= 0).sum((1, 2)) * sweeps).view(goals.shape).sum(1)
    inside = inside.view(*goals.shape, -1)
    home = _put(inside.flatten(1), members.view(batch, -1), slots)  # [B, S]

    # what they cost from the near side of each door
    last = upper.crossing + _at(home, upper.far, INF)  # no door after this one
    value, sweeps = cost_to_go(upper.target, upper.cost, last)
    backups = backups + (upper.target >= 0).sum((1, 2)) * sweeps

    # the way out of the present region, where that is shorter than the way inside
    exits = upper.exits[rows, here]
    best, k = (upper.to_exit[rows, here, upper.place[rows, start]] + _at(value, exits, INF)).min(1)
    direct = torch.where(goal_region == here[:, None], inside[rows, :, upper.place[rows, start]], INF)
    nearest, goal = direct.min(1)
    cost, door = torch.minimum(best, nearest), torch.where(best < nearest, exits[rows, k], -1)
    subgoal = torch.where(door < 0, goals[rows, goal], upper.far[rows, door]).masked_fill(cost.isinf(), -1)
    places = upper.members[rows, here]
    through = upper.to_exit[rows, here, :, k] + upper.crossing[rows, door][:, None]
    togo = _put(torch.where(door[:, None] < 0, _at(home, places, INF), through), places, slots)
    togo[rows[subgoal >= 0], subgoal[subgoal >= 0]] = 0
    return Route(cost, _followed(upper, value, last, door), subgoal, togo, backups)


def cost_to_go(target: Tensor, cost: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """The least cost of a way from each place, and what its last place costs, like `end`; and `[B]`, after how many
    sweeps nothing changed any more.

    Value iteration (Bellman 1957) on `target` and `cost` `[B, S, A]`. `end` `[B, S]` or, for several problems on one
    graph, `[B, S, K]`: 0 at a goal and inf elsewhere, or what it costs to end there.
    """
    batch, slots, actions = target.shape
    done = end.reshape(batch, slots, -1).clone()
    to = target.clamp(min=0).view(batch, slots * actions, 1).expand(-1, -1, done.shape[2])
    cost = cost.masked_fill(target < 0, INF).unsqueeze(3)
    sweeps = torch.zeros(batch, dtype=torch.int64, device=target.device)
    rows, togo = torch.arange(batch, device=target.device), done
    while len(rows):
        after = togo.gather(1, to).view(len(rows), slots, actions, -1) + cost
        better = torch.minimum(togo, after.amin(2))
        sweeps[rows] += 1
        changed = (better < togo).flatten(1).any(1)
        if bool(changed.all()):
            togo = better
            continue
        done[rows] = better  # some rows are settled: the others go on alone
        rows, togo, to, cost = rows[changed], better[changed], to[changed], cost[changed]
    return done.view(end.shape), sweeps


def descend(target: Tensor, togo: Tensor, here: Tensor, cost: Tensor | None = None) -> Tensor:
    """The action from `here` `[B]` that begins the cheapest way down `togo` `[B, S]`, the lowest of equal ones; -1 at
    its end and where no way leads."""
    rows = torch.arange(len(here), device=here.device)
    best, action = (_costs(target, cost)[rows, here] + _at(togo, target[rows, here], INF)).min(1)
    return torch.where(best.isinf() | (togo[rows, here] == 0), -1, action)


def _followed(upper: Upper, value: Tensor, last: Tensor, door: Tensor) -> Tensor:
    """All doors of the ways that begin with these, `[B, L]`."""
    rows, passed = torch.arange(len(door), device=door.device), [door]
    while bool((door >= 0).any()) and len(passed) <= value.shape[1]:
        onward = upper.target[rows, door]
        best, k = (upper.cost[rows, door] + _at(value, onward, INF)).min(1)
        door = torch.where((door >= 0) & (best < last[rows, door]), onward[rows, k], -1)
        passed.append(door)
    return torch.stack(passed[:-1] or [door], 1)


def _costs(target: Tensor, cost: Tensor | None) -> Tensor:
    """As given; 1 a move if none are."""
    if cost is None:
        return torch.ones(target.shape, device=target.device)
    if cost.shape != target.shape or not cost.is_floating_point():
        raise ValueError(f"costs {cost.dtype} {list(cost.shape)}: give floats, one a move, {list(target.shape)}")
    if not bool((cost > 0).all()):
        raise ValueError("a move costs 0, less, or NaN: costs are above 0, and inf where a move is refused")
    return cost


def _at(table: Tensor, index: Tensor, fill: float = -1) -> Tensor:
    """`table[b, index[b, ...]]`, `fill` where the index is negative."""
    found = table.gather(1, index.clamp(min=0).flatten(1)).view_as(index)
    return found.masked_fill(index < 0, fill)


def _put(x: Tensor, slots: Tensor, n: int) -> Tensor:
    """`[B, n]` of `x` `[B, N]` at its slots, the least where several are, inf where none is."""
    table = x.new_full((len(x), n + 1), INF)  # the last takes what has no slot
    return table.scatter_reduce_(1, slots.masked_fill(slots < 0, n), x, "amin")[:, :n]


def _grouped(label: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """The members of each group in order `[B, groups, most]`, -1 after the last; and which of its group each of
    `label` `[B, N]` is (-1: in no group)."""
    label = label.masked_fill(label < 0, groups)
    ordered, order = label.sort(dim=1, stable=True)
    size = torch.zeros(len(label), groups + 1, dtype=torch.int64, device=label.device)
    size.scatter_add_(1, label, torch.ones_like(label))
    rank = torch.arange(label.shape[1], device=label.device) - (size.cumsum(1) - size).gather(1, ordered)
    members = label.new_full((len(label), groups, max(int(size[:, :groups].max()), 1)), -1)
    row, i = torch.nonzero(ordered < groups, as_tuple=True)
    members[row, ordered[row, i], rank[row, i]] = order[row, i]
    return members, torch.empty_like(rank).scatter_(1, order, rank).masked_fill(label == groups, -1)
