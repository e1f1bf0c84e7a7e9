"""A memory that is a matrix of Hebbian weights: written by outer products, read by an attractor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cogarch.hc.memory import MemorySpec, Recall, Unsupported, Usage
from cogarch.hc.settle import Blocks, settle, settle_plainly
from cogarch.module import State
from cogarch.tree import share, tree_map, where

TOLERANCE = 1e-4
"""A read has converged where its last iteration moved it by less."""


class HebbianMatrix(nn.Module):
    """One Hebbian matrix an agent: `M <- clamp(retain M + eta (k + r)' (k - r), -1, 1)`.

    `k` is what was there and `r` what memory had predicted of it (Whittington et al. 2020, eq. 10). A query settles by
    `h <- rectify(kappa h + h M)`; block f takes part in the first `counts` of those iterations that still count it.

    The last writes are kept as vectors, `window` of them, and folded into the matrix when they are full: reading them
    costs little, and gradients flow through vectors alone. The clamp is exact nevertheless: where a bound on the
    matrix says that it might bite, what it bounds is computed, and if it does, the window is folded at once.

    Args:
        sizes: units of each block; a block receives from itself and from those after it.
        counts: how many blocks still settle at each iteration, never more than at the one before.
        window: writes kept as vectors.
        kappa: what a unit keeps of itself in an iteration.
        eta, retain: the rate of a write, and what the matrix keeps of itself in it (lambda).

    Raises:
        ValueError: counts that rise, or of blocks that are not there.
    """

    spec = MemorySpec(
        "real", hetero=False, order="set", has_energy=False, grad_read=True, grad_write=True, bounded=False
    )

    def __init__(
        self,
        sizes: Sequence[int],
        counts: Sequence[int],
        *,
        window: int = 20,
        kappa: float = 0.8,
        eta: float = 0.5,
        retain: float = 0.9999,
    ) -> None:
        super().__init__()
        if list(counts) != sorted(counts, reverse=True) or not all(1 <= c <= len(sizes) for c in counts):
            raise ValueError(f"counts are {list(counts)}: give 1 to {len(sizes)} blocks, never more than before")
        self.layout, self.counts = Blocks(sizes), tuple(counts)
        self.n, self.window, self.kappa = self.layout.n, window, kappa
        self.eta, self.retain = eta, retain

    def init(self, batch: int) -> State:
        """The blocks of the matrix, to be multiplied by `scale`; the window: `pre` and `post`, W of `[B, n]`, with
        their `strength`, of which `used` hold something; what bounds the size of a weight: the `largest` that any may
        have been, and by unit the squares of what was written since that was known; `written` in all."""
        w, blank = self.window, torch.zeros(batch, self.n)
        return {
            "blocks": self.layout.empty(batch),
            "scale": torch.ones(batch),
            "pre": (blank,) * w,
            "post": (blank,) * w,
            "strength": torch.zeros(batch, w),
            "used": torch.zeros(batch, dtype=torch.int64),  # of the window, alike in all rows but for fresh ones
            "largest": torch.zeros(batch),
            "pre_squares": torch.zeros(batch, self.n),
            "post_squares": torch.zeros(batch, self.n),
            "written": torch.zeros(batch, dtype=torch.int64),
        }

    def matrix(self, state: State) -> Tensor:
        """The whole matrix `[B, n, n]`, from and to."""
        return self.layout.dense(self._folded(state))

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
        """Store `key` `[B, n]` where memory had `predicted` another (None: nothing); `strength` multiplies eta."""
        if value is not None:
            raise Unsupported("a Hebbian matrix completes patterns (spec.hetero is False): leave value out")
        predicted = torch.zeros_like(key) if predicted is None else predicted
        rows = torch.ones(len(key), dtype=torch.bool, device=key.device) if mask is None else mask
        rate = torch.as_tensor(strength, dtype=key.dtype, device=key.device).expand(len(key))
        return self.put(share(state), key, predicted, rate, rows)

    def put(self, state: State, key: Tensor, predicted: Tensor, strength: Tensor, rows: Tensor) -> State:
        """`write`, but the state may be overwritten where gradients are off."""
        rate, keep = (self.eta * strength) * rows, torch.ones_like(strength).masked_fill(rows, self.retain)
        # what is not written is not looked at: 0 times what is not finite is no 0
        pre, post = (x.masked_fill(~rows[:, None], 0.0) for x in (key + predicted, key - predicted))
        slot = self._used(state)
        strength = state["strength"] * keep[:, None]
        strength[:, slot] = rate
        state = state | {
            "scale": state["scale"] * keep,
            "pre": (*state["pre"][:slot], pre, *state["pre"][slot + 1 :]),
            "post": (*state["post"][:slot], post, *state["post"][slot + 1 :]),
            "strength": strength,
            "used": torch.full_like(state["used"], slot + 1),
            "largest": state["largest"] * keep,
            "pre_squares": torch.addcmul(state["pre_squares"], pre.detach().square(), rate.abs()[:, None]),
            "post_squares": torch.addcmul(state["post_squares"], post.detach().square(), rate.abs()[:, None]),
            "written": state["written"] + rows,
        }
        return self._within(state)

    def read(self, state: State, query: Tensor, *, steps: int | None = None, mask: Tensor | None = None) -> Recall:
        """What `query` `[B, n]` settles to in the iterations that the matrix was made for (or the first `steps`).

        Novelty is 1 minus the cosine of what the weights alone add and the query. ValueError for other `steps`.
        """
        if mask is not None:
            raise Unsupported("a Hebbian matrix has no slots (spec.bounded is False): leave mask out")
        if steps is not None and not 1 <= steps <= len(self.counts):
            raise ValueError(f"{steps} iterations: the matrix was made for 1 to {len(self.counts)}")
        counts = self.counts[:steps]
        before, value = (
            self.settle(state, query[:, None], part)[:, 0] if part else query for part in (counts[:-1], counts)
        )
        known = (state["written"] > 0)[:, None]
        kept = self.settle(tree_map(torch.zeros_like, state), query[:, None], counts)[:, 0]  # where no weight helps
        similarity = torch.cosine_similarity(value - kept, query, dim=-1).clamp(0, 1)
        converged = (value - before).norm(dim=-1) < TOLERANCE
        return Recall(value * known, None, None, len(counts), converged, novelty=1 - similarity * known[:, 0])

    def settle(self, state: State, query: Tensor, counts: Sequence[int] | None = None) -> Tensor:
        """Queries `[B, Q, n]` settled together: the matrix is read once for all of them."""
        counts = self.counts if counts is None else counts
        used = self._used(state)
        pre, post, strength = state["pre"][:used], state["post"][:used], state["strength"][:, :used]
        return settle(query, state["scale"], strength, pre, post, self.layout, counts, self.kappa, state["blocks"])

    def energy(self, state: State, query: Tensor) -> Tensor:
        raise Unsupported("a Hebbian matrix that is not symmetric has no energy (spec.has_energy is False)")

    def decay(self, state: State, factor: float) -> State:
        return state | {name: state[name] * factor for name in ("scale", "strength", "largest")}

    def forget(self, state: State, where: Tensor) -> State:
        raise Unsupported("what a Hebbian matrix holds cannot be told apart (spec.bounded is False): reset, or decay")

    def reset(self, state: State, rows: Tensor) -> State:
        return self.restart(state, rows, self.init(len(rows)))

    def restart(self, state: State, rows: Tensor, fresh: State) -> State:
        """Rows made new by a scale and strengths of 0: the matrix is not touched before it is folded.

        Unless it holds what is not finite, for 0 times that is no 0.
        """
        if any(not bool(torch.isfinite(x[rows]).all()) for name in ("blocks", "pre", "post") for x in state[name]):
            whole: State = where(rows, fresh | {"used": state["used"]}, state)
            return whole
        kept = {name: state[name] for name in ("blocks", "pre", "post", "used")}
        books = {name: x for name, x in state.items() if name not in kept}
        made: State = where(rows, {name: fresh[name] for name in books}, books)
        return made | kept | {"scale": state["scale"].masked_fill(rows, 0.0)}

    def usage(self, state: State) -> Usage:
        size = sum(x.numel() * x.element_size() for name in ("blocks", "pre", "post") for x in state[name])
        return Usage(state["written"], torch.zeros_like(state["written"]), size, None)

    # --- small parts --------------------------------------------------------------------------------------------------

    def _within(self, state: State) -> State:
        """Fold the window where it is full, and the rows of which the last write takes a weight out of [-1, 1]."""
        full = self._used(state) == self.window
        rows = torch.ones_like(state["largest"], dtype=torch.bool)
        if not full:
            rows, state = self._overflows(state)
        if not bool(rows.any()):
            return state
        blocks = tuple(m.clamp(-1, 1) for m in self._folded(state))
        with torch.no_grad():
            largest = torch.stack([m.abs().flatten(1).amax(-1) for m in blocks]).amax(0)
        folded: State = {name: torch.zeros_like(state[name]) for name in ("strength", "pre_squares", "post_squares")}
        folded |= {"blocks": blocks, "scale": torch.ones_like(state["scale"]), "largest": largest}
        if not full:  # slots are the same for all rows
            parted: State = where(rows, folded, {name: state[name] for name in folded})
            return state | parted
        return state | folded | {"used": torch.zeros_like(state["used"])}

    def _overflows(self, state: State) -> tuple[Tensor, State]:
        """Whether a weight of a row may be out of [-1, 1] now, `[B]`; none was, at any write since the row's last fold.

        The sum of |pre_i post_j| is at most the root of the product of the sums of their squares (Cauchy). Only where
        that is not enough, the sums themselves are made, and what is written later counts from them.
        """
        pre, post = (state[name].amax(-1) for name in ("pre_squares", "post_squares"))
        rows: Tensor = state["largest"] + (pre * post).sqrt() > 1
        if not bool(rows.any()):
            return rows, state
        with torch.no_grad():
            sizes = tree_map(torch.abs, {name: state[name] for name in ("blocks", "pre", "post", "strength")})
            largest = torch.stack([m.flatten(1).amax(-1) for m in self._folded(state | sizes)]).amax(0)
        squares = {name: torch.zeros_like(state[name]) for name in ("pre_squares", "post_squares")}
        return largest > 1, state | squares | {"largest": largest}

    def _folded(self, state: State) -> tuple[Tensor, ...]:
        used = self._used(state)
        scale = state["scale"][:, None, None]
        if not used:
            return tuple(m * scale for m in state["blocks"])
        pre, post = (torch.stack(state[name][:used], 1) for name in ("pre", "post"))
        added = self.layout.outer(pre, post * state["strength"][:, :used, None])
        return tuple(torch.addcmul(new, m, scale) for new, m in zip(added, state["blocks"], strict=True))

    def _used(self, state: State) -> int:
        return int(state["used"].max())


class PlainMatrix(HebbianMatrix):
    """The same as it is defined: a whole matrix, written at every tick, gradients left to torch; to check against."""

    def init(self, batch: int) -> State:
        """`matrix` `[B, n, n]` and `written`."""
        return {"matrix": torch.zeros(batch, self.n, self.n), "written": torch.zeros(batch, dtype=torch.int64)}

    def matrix(self, state: State) -> Tensor:
        matrix: Tensor = state["matrix"]
        return matrix

    def put(self, state: State, key: Tensor, predicted: Tensor, strength: Tensor, rows: Tensor) -> State:
        mask = self.layout.dense([torch.ones_like(m) for m in self.layout.empty(1)]).to(key.device)
        added = (key + predicted)[:, :, None] * (key - predicted)[:, None] * mask * (self.eta * strength)[:, None, None]
        matrix = torch.where(rows[:, None, None], (self.retain * state["matrix"] + added).clamp(-1, 1), state["matrix"])
        return {"matrix": matrix, "written": state["written"] + rows}

    def settle(self, state: State, query: Tensor, counts: Sequence[int] | None = None) -> Tensor:
        counts = self.counts if counts is None else counts
        return settle_plainly(query, state["matrix"], self.layout, counts, self.kappa)

    def decay(self, state: State, factor: float) -> State:
        return state | {"matrix": state["matrix"] * factor}

    def restart(self, state: State, rows: Tensor, fresh: State) -> State:
        made: State = where(rows, fresh, state)
        return made

    def usage(self, state: State) -> Usage:
        size = state["matrix"].numel() * state["matrix"].element_size()
        return Usage(state["written"], torch.zeros_like(state["written"]), size, None)
