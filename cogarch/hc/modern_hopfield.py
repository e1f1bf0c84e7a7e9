"""A modern Hopfield network as hippocampus: every moment a slot, recall by softmax over all of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from cogarch.hc.attention import dot, energy_of, mix, put, softmax
from cogarch.hc.memory import MemorySpec, Recall, Usage
from cogarch.module import Messages, Module, Read, Signal, State, Step
from cogarch.tree import share


class ModernHopfield(Module):
    """Binds the structural code to the sensory code and recalls one by the other (Ramsauer et al. 2021, eq. 3).

    Key `mec/g`, value `lec/x`; keys and queries are brought to unit length, so `beta` alone sets how sharp recall is.
    A query `q` recalls `sum_i w_i value_i` with `w = softmax(beta k_i . q + log strength_i)`; its energy is
    `E = -lse(beta, k . q) / beta + |q|^2 / 2 + 1 / 2`: 0 where exactly one copy is stored, 2 where nothing is. Their
    constant `log(P) / beta` is left out, for it would make every place less familiar as memories are added.
    With `growth` > 0 recall sharpens as memories are added, `beta (1 + growth log n)` for n of them: what many weak
    likenesses weigh together grows with their number (TEM-t's code has growth 0.46 and beta 10).

    `hc/p` `[B, capacity]` is the activity of the slots, place cells; `hc/familiarity` is minus the energy.

    A memory of `capacity` slots that is full drops its oldest memory for a new one. With `merge` > 0 a moment whose key
    is at least that similar to a stored key of the same value is not stored again: one copy a place, and the slot that
    was not refreshed for longest is the one dropped.

    `recall_g` adds the recall of the structural code by the sensory, `hc/recalled_g`. With `landmark` > 0 it is that of
    the places like this one: what is recalled must look the same, and weighs by `landmark` times its likeness to
    `mec/g_path`; `hc/recognised` `[B, 1]` is the likeness of the best of them (-1: none looks the same). A structural
    code that reads the two corrects itself by what it sees (the landmark correction of Whittington et al. 2022).

    With `surprising` > 0 a moment becomes a memory only where `world/surprise` is at least that (1 is usual), or an
    episode begins; else `hc/slot` is the memory most like it, and `hc/stored` false.

    Where the sensory code says its version (`lec/version`), memories of one version only are held together: a code that
    comes in another version finds an empty bank, and that is said.
    """

    role = "hc"
    spec = MemorySpec("real", hetero=True, order="set", has_energy=True, grad_read=True, grad_write=True, bounded=True)

    def __init__(
        self,
        topics: Mapping[str, Signal],
        *,
        capacity: PositiveInt = 1024,
        beta: PositiveFloat = 50.0,
        growth: NonNegativeFloat = 0.0,
        learn_beta: bool = False,
        merge: NonNegativeFloat = 0.0,
        recall_g: bool = False,
        landmark: NonNegativeFloat = 0.0,
        surprising: NonNegativeFloat = 0.0,
    ) -> None:
        super().__init__()
        if capacity < 1:
            raise ValueError(f"a memory has at least one slot, capacity is {capacity}")
        self.n_g, self.n_x = topics["mec/g"].shape[0], topics["lec/x"].shape[0]
        self.capacity, self.merge, self.recall_g, self.landmark = capacity, merge, recall_g or landmark > 0, landmark
        self.growth, self.versioned, self.surprising = growth, "lec/version" in topics, surprising
        if not merge and not surprising:  # where not every moment is a memory of its own, steps are ticked
            self.over_time = {tuple(step.method for step in self.steps()): "attend"}
        self.log_beta: Tensor
        if learn_beta:
            self.log_beta = nn.Parameter(torch.tensor(math.log(beta)))
        else:  # a setting, not a weight: it is not saved, so an agent may learn with one and live with another
            self.register_buffer("log_beta", torch.tensor(math.log(beta)), persistent=False)

    def steps(self) -> list[Step]:
        g_path = Read("mec/g_path", shape=(self.n_g,), dtype=torch.float32)
        g, x = Read("mec/g", shape=(self.n_g,), dtype=torch.float32), Read("lec/x", shape=(self.n_x,))
        recalled = {
            "hc/p": Signal((self.capacity,), cells="HC place cells (memory slots)"),
            "hc/recalled_x": Signal((self.n_x,), cells="LEC sensory cells, recalled"),
            "hc/familiarity": Signal(unit="minus energy"),
        }
        # which slot holds this moment, and whether it is a memory made just now (else one that was refreshed)
        held = {
            "hc/slot": Signal(dtype=torch.int64, unit="slot", values=self.capacity),
            "hc/stored": Signal(dtype=torch.bool),
        }
        asked: dict[str, str | Read] = {"g_path": g_path}
        if self.versioned:
            asked["version"] = Read("lec/version", shape=(1,), dtype=torch.int64)
        steps = [Step("recall", asked, recalled, state=True)]
        if self.recall_g:
            recalled_g = {"hc/recalled_g": Signal((self.n_g,), cells="MEC cells, recalled")}
            by: dict[str, str | Read] = {"x": x}
            if self.landmark:
                recalled_g["hc/recognised"] = Signal()
                by["g_path"] = g_path
            steps.append(Step("recall_by_x", by, recalled_g, state=True))
        kept: dict[str, str | Read] = {"g": g, "x": x}
        if self.surprising:
            surprise = Read("world/surprise", grad=False, shape=(1,), dtype=torch.float32)
            kept |= {"surprise": surprise, "start": "env/start"}
        return [*steps, Step("store", kept, held, state=True)]

    # --- the steps ----------------------------------------------------------------------------------------------------

    def recall(self, state: State, g_path: Tensor, version: Tensor | None = None) -> tuple[Messages, State]:
        state = self._of(state, version)
        got = self.read(state, g_path, steps=1)
        assert got.weights is not None
        assert got.energy is not None
        writes = {"hc/p": got.weights, "hc/recalled_x": got.value, "hc/familiarity": -got.energy[:, None]}
        return writes, state

    def recall_by_x(self, state: State, x: Tensor, g_path: Tensor | None = None) -> tuple[Messages, State]:
        used = self._used(state)
        keys, seen = state["keys"][:, :used], state["strength"][:, :used].log()
        views = F.normalize(state["values"][:, :used], dim=-1)
        query = None if g_path is None else F.normalize(g_path, dim=-1)[:, None]
        said = self._by_x(views, F.normalize(x, dim=-1)[:, None], keys, query, seen[:, None])
        return {topic: message[:, 0] for topic, message in said.items()}, state

    def _by_x(self, views: Tensor, x: Tensor, keys: Tensor, query: Tensor | None, seen: Tensor) -> Messages:
        """The keys `[B, C, n_g]` whose views are like x `[B, T, n_x]`, of those `seen` `[B, T, C]` (log strength)."""
        same_view = x @ views.mT  # [B, T, C]
        if query is None:
            return {"hc/recalled_g": softmax(self._beta(seen > -math.inf) * same_view + seen)[0] @ keys}
        near = query @ keys.mT
        same = seen.masked_fill(same_view < _SAME, -math.inf)
        recognised = (
            torch.where(same > -math.inf, near, -1.0).amax(-1, keepdim=True)
            if near.shape[-1]
            else near.sum(-1, keepdim=True) - 1
        )
        return {"hc/recalled_g": softmax(self.landmark * near + same)[0] @ keys, "hc/recognised": recognised}

    def store(
        self, state: State, g: Tensor, x: Tensor, surprise: Tensor | None = None, start: Tensor | None = None
    ) -> tuple[Messages, State]:
        """Keep this moment; the bus owns the state, so the bank is written in place where gradients are off."""
        new = None if surprise is None or start is None else ((surprise >= self.surprising) | start)[:, 0]
        state, slot, stored = self._put(state, g, x, torch.ones(len(g), device=g.device), new=new)
        return {"hc/slot": slot[:, None], "hc/stored": stored[:, None]}, state

    # --- the memory protocol: pure functions on state -----------------------------------------------------------------

    def init(self, batch: int) -> State:
        c = self.capacity
        none = torch.zeros(batch, dtype=torch.int64)
        # of the code that is stored, and how many banks were given up for another one
        versions = {"version": none, "renewed": none.clone()} if self.versioned else {}
        return versions | {
            "keys": torch.zeros(batch, c, self.n_g),
            "values": torch.zeros(batch, c, self.n_x),
            "strength": torch.zeros(batch, c),  # 0 = empty
            # when each slot was last written or refreshed; empty slots in their order, before all others
            "last": (torch.arange(c) - c).repeat(batch, 1),
            "clock": torch.zeros(batch, dtype=torch.int64),
            "dropped": torch.zeros(batch, dtype=torch.int64),
        }

    def write(
        self,
        state: State,
        key: Tensor,
        value: Tensor | None = None,
        *,
        predicted: Tensor | None = None,
        strength: float | Tensor = 1.0,
        mask: Tensor | None = None,
    ) -> State:
        """See `AssociativeMemory`; what was `predicted` does not matter to this memory."""
        value = key if value is None else value
        weight = torch.as_tensor(strength, dtype=key.dtype, device=key.device).expand(len(key))
        return self._put(share(state), key, value, weight, mask)[0]

    def read(self, state: State, query: Tensor, *, steps: int | None = None, mask: Tensor | None = None) -> Recall:
        """`steps=1` is one update (attention); more, or None (until 1e-4, at most 100), settle on the keys."""
        used = self._used(state)
        keys, strength = state["keys"][:, :used], state["strength"][:, :used]
        strength = strength if mask is None else strength * mask[:, :used]
        q = F.normalize(query, dim=-1)
        limit, taken = 100 if steps is None else steps, 1
        converged = torch.ones(len(q), dtype=torch.bool, device=q.device)
        similarity = dot(keys, q)
        beta = self._beta(strength > 0)
        weights, lse = softmax(beta * similarity + strength.log())
        best = torch.where(strength > 0, similarity, 0.0).amax(-1).clamp(min=0) if used else torch.zeros_like(lse)
        energy = energy_of(q, lse / beta[:, 0])
        while taken < limit and used:
            settled = torch.where(strength.sum(-1, keepdim=True) > 0, mix(weights, keys), q)
            converged = (settled - q).norm(dim=-1) < 1e-4
            if steps is None:
                if bool(converged.all()):
                    break
                settled = torch.where(converged[:, None], q, settled)  # who has arrived does not wait for the others
            q, taken = settled, taken + 1
            weights, lse = softmax(beta * dot(keys, q) + strength.log())
            energy = energy_of(q, lse / beta[:, 0])
        value = mix(weights, state["values"][:, :used])
        activity = F.pad(weights, (0, self.capacity - used))
        return Recall(value, activity, energy, taken, converged, novelty=1 - best)

    def energy(self, state: State, query: Tensor) -> Tensor:
        """`[B]`, of the query brought to unit length."""
        energy = self.read(state, query, steps=1).energy
        assert energy is not None
        return energy

    def decay(self, state: State, factor: float) -> State:
        return state | {"strength": state["strength"] * factor}

    def forget(self, state: State, where: Tensor) -> State:
        empty = torch.arange(self.capacity, device=where.device) - self.capacity
        return state | {
            "strength": state["strength"].masked_fill(where, 0.0),
            "last": torch.where(where, empty, state["last"]),  # with merge, the first to be filled again
        }

    def reset(self, state: State, rows: Tensor) -> State:
        return self.restart(state, rows, self.init(len(rows)))

    def restart(self, state: State, rows: Tensor, fresh: State) -> State:
        """Only the slots' bookkeeping is made new: an empty slot's key and value are never read."""
        kept = {name: state[name] for name in ("keys", "values")}
        books = {name: x for name, x in state.items() if name not in kept}
        return super().restart(books, rows, {name: fresh[name] for name in books}) | kept

    def usage(self, state: State) -> Usage:
        size = sum(x.numel() * x.element_size() for x in state.values())
        return Usage((state["strength"] > 0).sum(-1), state["dropped"], size, self.capacity)

    def notice(self, state: State) -> str | None:
        said = []
        if self.versioned and (banks := int(state["renewed"].sum())):
            said.append(
                "the encoder changed: what was stored in its old code cannot be compared with the new one, and "
                f"{banks} {'bank was' if banks == 1 else 'banks were'} begun anew"
            )
        if int(state["dropped"].sum()):
            how = "the one not refreshed for longest" if self.merge else "the oldest"
            mend = "" if self.merge else ", or set hc.merge to keep one copy a place"
            said.append(
                f"the memory of {self.capacity} slots is full: each new memory now takes the place of {how}; "
                f"raise hc.capacity{mend}"
            )
        return "; ".join(said) or None

    # --- a whole walk at once -----------------------------------------------------------------------------------------

    def attend(
        self, state: State, g_path: Tensor, g: Tensor, x: Tensor, version: Tensor | None = None
    ) -> tuple[Messages, State]:
        """Recall and store over a walk `[T, B, n]`, piece by piece where the version of the code changes in it."""
        changes = [] if version is None else (version[1:] != version[:-1]).flatten(1).any(1).nonzero()[:, 0].tolist()
        said = []
        for a, b in itertools.pairwise([0, *(t + 1 for t in changes), len(g)]):
            state = self._of(state, None if version is None else version[a])
            writes, state = self._attend(state, g_path[a:b], g[a:b], x[a:b])
            said.append(writes)
        return said[0] if len(said) == 1 else {k: torch.cat([w[k] for w in said]) for k in said[0]}, state

    def _attend(self, state: State, g_path: Tensor, g: Tensor, x: Tensor) -> tuple[Messages, State]:
        """One masked attention: tick t sees what was stored before t.

        Tick t writes slot `(clock + t) % capacity`, so it sees the last `capacity` writes.
        """
        length, batch, c = *g.shape[:2], self.capacity
        used = self._used(state)
        clock = state["clock"]
        now = clock + torch.arange(length, device=g.device)[:, None]  # [T, B]: writes made before tick t
        keys = torch.cat([state["keys"][:, :used], F.normalize(g, dim=-1).transpose(0, 1)], 1)  # [B, used + T, n_g]
        values = torch.cat([state["values"][:, :used], x.transpose(0, 1)], 1)
        written = torch.cat([state["last"][:, :used], now.T], 1)  # [B, used + T]
        strength = torch.cat([state["strength"][:, :used], torch.ones(batch, length, device=g.device)], 1)
        q, slot = F.normalize(g_path, dim=-1).transpose(0, 1), now % c
        index = torch.cat([torch.arange(used, device=g.device).expand(batch, used), slot.T], 1)
        if self.recall_g:
            views = F.normalize(values, dim=-1)
        said: dict[str, list[Tensor]] = {}
        for a in range(0, length, _BLOCK):
            b = min(a + _BLOCK, length)
            n = used + b  # what comes after this block is not seen by it: half of the square need not be computed
            age = now.T[:, a:b, None] - written[:, None, :n]
            seen = torch.where((age > 0) & (age <= c), strength[:, None, :n], 0.0).log()
            beta = self._beta(seen > -math.inf)
            weights, lse = softmax(beta * (q[:, a:b] @ keys[:, :n].mT) + seen)
            if n <= c and not used:
                activity = F.pad(weights, (0, c - n))
            else:
                activity = torch.zeros(batch, b - a, c, device=g.device)
                activity = activity.scatter_add(2, index[:, None, :n].expand_as(weights), weights)
            block = {
                "hc/p": activity,
                "hc/recalled_x": weights @ values[:, :n],
                "hc/familiarity": -energy_of(q[:, a:b], lse / beta[..., 0])[..., None],
            }
            if self.recall_g:
                query = q[:, a:b] if self.landmark else None
                block |= self._by_x(views[:, :n], views[:, used + a : used + b], keys[:, :n], query, seen)
            for topic, x_ in block.items():
                said.setdefault(topic, []).append(x_)
        writes = {topic: torch.cat(blocks, 1).transpose(0, 1) for topic, blocks in said.items()}
        writes |= {"hc/slot": slot[..., None], "hc/stored": torch.ones_like(slot[..., None], dtype=torch.bool)}
        # the last `capacity` moments stay
        first, rows = max(0, length - c), torch.arange(batch, device=g.device)[:, None]
        at = (rows, slot[first:].T)
        state = state | {
            "keys": put(state["keys"], at, keys[:, used + first :]),
            "values": put(state["values"], at, values[:, used + first :]),
            "strength": state["strength"].index_put(at, torch.ones((), device=g.device)),
            "last": state["last"].index_put(at, now[first:].T),
            "clock": clock + length,
            "dropped": state["dropped"] + (state["strength"].gather(1, slot[:c].T) > 0).sum(-1) + first,
        }
        return writes, state

    # --- small parts --------------------------------------------------------------------------------------------------

    def _of(self, state: State, version: Tensor | None) -> State:
        """The state in which memories are of this version `[B, 1]`: rows that hold others begin anew."""
        if version is None:
            return state
        other = version[:, 0] != state["version"]
        if not bool(other.any()):
            return state
        held = other & (state["clock"] > 0)
        now = {"version": version[:, 0], "renewed": state["renewed"] + held}
        if bool(held.any()):
            with version.device:
                state = self.restart(state, held, self.init(len(held)))
        return state | now

    def _used(self, state: State) -> int:
        """Slots at the front that may hold anything: a young memory is read at the cost of what it holds."""
        return min(self.capacity, int(state["clock"].max()))

    def _beta(self, seen: Tensor) -> Tensor:
        """`[..., 1]`, for memories that are `seen` `[..., C]`."""
        beta = self.log_beta.exp()
        if not self.growth:
            return beta.expand(*seen.shape[:-1], 1)
        return beta * (1 + self.growth * seen.sum(-1, keepdim=True).clamp(min=1).log())

    def _put(
        self,
        state: State,
        key: Tensor,
        value: Tensor,
        strength: Tensor,
        mask: Tensor | None = None,
        new: Tensor | None = None,
    ) -> tuple[State, Tensor, Tensor]:
        """Write in the rows of `mask`, a memory of its own only in those of `new`; the slot, and whether it is that."""
        rows, clock = torch.arange(len(key), device=key.device), state["clock"]
        key = F.normalize(key, dim=-1)
        slot = clock % self.capacity
        known = torch.zeros_like(slot, dtype=torch.bool)
        if self.merge:
            slot = state["last"].argmin(-1)
            used = self._used(state)
            if used:
                same = dot(F.normalize(state["values"][:, :used], dim=-1), F.normalize(value, dim=-1)) > _SAME
                candidate = same & (state["strength"][:, :used] > 0)
                near, where = torch.where(candidate, dot(state["keys"][:, :used], key), -2.0).max(-1)
                known = near >= self.merge
                slot = torch.where(known, where, slot)
        fresh = ~known if mask is None else ~known & mask
        touched = torch.ones_like(known) if mask is None else mask
        if new is not None:
            near = torch.where(state["strength"] > 0, dot(state["keys"], key), -2.0)
            slot = torch.where(known | new, slot, near.argmax(-1))
            fresh, touched = fresh & new, touched & (known | new)
        at = (rows, slot)
        old = state["strength"][at]
        lost = fresh & (old > 0)
        keep = ~fresh[:, None]
        state = state | {
            "keys": put(state["keys"], at, torch.where(keep, state["keys"][at], key)),
            "values": put(state["values"], at, torch.where(keep, state["values"][at], value)),
            "strength": put(state["strength"], at, torch.where(touched, torch.where(fresh, strength, old), old)),
            "last": put(state["last"], at, torch.where(touched, clock, state["last"][at])),
            "clock": clock + touched,
            "dropped": state["dropped"] + lost,
        }
        return state, slot, fresh


_SAME = 0.999  # likeness of two views that are one
_BLOCK = 512  # ticks of a walk that look back together
