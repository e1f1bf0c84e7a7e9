"""A joint-embedding predictive world model: it predicts the code of what comes next, never the observation itself."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from cogarch import regularisers
from cogarch.encoder import Encoder, Kind
from cogarch.module import Messages, Module, Noise, Objective, Read, Share, Signal, State, Step
from cogarch.tree import tree_map
from cogarch.world.predictors import PREDICTORS, Mover, Predictor, Residual

STEADY = 0.99
"""Of what error is usual so much stays at each update."""
RIDGE = 1e-3
"""Of the mean variance of errors, added to each: none is known to be 0."""


class Jepa(Module):
    """Encodes each observation as `world/z`, and predicts it from the one before and the action (LeCun 2022).

    `predictor`: "mlp" (this latent and the move say all), "gru" or "transformer" (which remember, for partial views).
    `moved_by`: what is told of a move, the "action" or the felt "motion". With `ensemble` > 1 so many predictors, begun
    differently, give their mean, and `world/disagreement`, the variance between them. Predictors that remember say what
    they do as `world/memory`, which with `world/z` is all that the model knows at a tick.

    `world/surprise` is the squared error of the prediction made one tick ago, `e' C^-1 e / d` for the covariance `C` of
    the usual errors, which training keeps: 1 is usual, and a small change of what is always foreseen (a door, in a wall
    that never moves) counts more than a large one of what seldom is. 0 at the start of an episode, before which nothing
    was predicted. Whoever reads it changes nothing of it: it is made from what is sensed alone.

    Losses, summed as the training says, of whole batches of walks but for the first: `loss/next` the mean squared error
    of that prediction, unweighted; `loss/rollout` that of predictions 1 to `horizon` ticks ahead, each made from the
    one before; `loss/variance`, `loss/covariance`, `loss/slowness`, `loss/sigreg` (`cogarch.regularisers`);
    `loss/inverse`, how badly the move is told from two successive latents (cross-entropy of actions, squared error of
    motion). With `target = "momentum"` predictions aim at the code of an encoder that follows this one slowly, by
    `momentum` at each update, and no gradient goes there.
    """

    role = "world"
    scheduled = ("momentum",)

    def __init__(
        self,
        topics: Mapping[str, Signal],
        *,
        size: PositiveInt = 32,
        hidden: PositiveInt = 128,
        encoder: Kind = "mlp",
        predictor: Literal["mlp", "gru", "transformer"] = "mlp",
        moved_by: Literal["action", "motion"] = "action",
        horizon: PositiveInt = 4,
        ensemble: PositiveInt = 1,
        target: Literal["own", "momentum"] = "own",
        momentum: Share = 0.99,
        projections: PositiveInt = 256,
    ) -> None:
        super().__init__()
        self.seen, self.move = topics["env/observation"], topics[f"env/{moved_by}"]
        self.size, self.hidden, self.horizon = size, hidden, horizon
        self.momentum, self.projections = momentum, projections
        self.moved_by, self.remembers = moved_by, predictor != "mlp"
        if moved_by == "motion" and self.move.unit == "none":
            raise ValueError("world.moved_by = 'motion', but nothing is felt in this world; use 'action'")
        moves = self.move.values if moved_by == "action" else self.move.shape[0]
        self.encoder = Encoder(self.seen, size, kind=encoder, hidden=hidden)
        self.predictors = nn.ModuleList(PREDICTORS[predictor](size, moves, hidden) for _ in range(ensemble))
        self.mover = Mover(size, moves, hidden)
        self.usual: Tensor  # covariance of the errors of predictions
        self.register_buffer("usual", torch.eye(size))
        self.target = copy.deepcopy(self.encoder).requires_grad_(False) if target == "momentum" else None
        self.hears = (self._aim, "world/z_predicted", "env/start")
        if self.remembers:
            self.over_time = {("predict",): "predict_all"}
            self.ahead = None  # type: ignore[assignment,method-assign]  # a latent does not say all (`Imaginable`)

    def steps(self) -> list[Step]:
        z = Signal((self.size,), cells="latent units")
        start = {"start": "env/start"}
        said = {"world/z_predicted": z} | ({"world/disagreement": Signal()} if len(self.predictors) > 1 else {})
        if self.remembers:
            said["world/memory"] = Signal((self.hidden * len(self.predictors),), cells="memory units")
        aim = {"world/z_target": z} if self.target is not None else {}
        past: dict[str, str | Read] = {
            "z_before": Read("world/z", delay=1),
            "moved": Read(f"env/{self.moved_by}", grad=False),
            **start,
        }
        judged: dict[str, str | Read] = {"z": self._aim, "z_predicted": "world/z_predicted", **start}
        seen: dict[str, str | Read] = {"observation": Read("env/observation", grad=False)}
        return [
            Step("encode", seen, {"world/z": z, **aim}),
            Step("predict", past, said, state=True) if self.remembers else Step("predict_from_this", past, said),
            Step("compare", judged, {"world/surprise": Signal(), "loss/next": Signal(())}),
        ]

    def objectives(self) -> dict[str, Objective]:
        walk = {"z": "world/z", "moved": f"env/{self.moved_by}", "start": "env/start"}
        z, timed = {"z": "world/z"}, {"z": "world/z", "start": "env/start"}
        drawn = {"directions": Noise((self.size, self.projections))}
        return {
            "loss/rollout": Objective("rollout", {**walk, "aim": self._aim}),
            "loss/variance": Objective("variance", z),
            "loss/covariance": Objective("covariance", z),
            "loss/slowness": Objective("slowness", timed),
            "loss/sigreg": Objective("sigreg", z, drawn),
            "loss/inverse": Objective("inverse", walk),
        }

    @property
    def _aim(self) -> str:
        return "world/z" if self.target is None else "world/z_target"

    def init(self, batch: int) -> State:
        """What each predictor remembers."""
        return {str(i): predictor.init(batch) for i, predictor in enumerate(self._members())} if self.remembers else {}

    def learned(self, said: Messages) -> None:
        """The target follows, and what error is usual."""
        with torch.no_grad():
            error = (said["world/z_predicted"] - said[self._aim])[~said["env/start"][..., 0]]
            if len(error):
                self.usual.lerp_(error.T @ error / len(error), 1 - STEADY)
            if self.target is not None:
                for slow, fast in zip(self.target.parameters(), self.encoder.parameters(), strict=True):
                    slow.lerp_(fast, 1 - self.momentum)

    # --- the steps ----------------------------------------------------------------------------------------------------

    def encode(self, observation: Tensor) -> Messages:
        said = {"world/z": self.encoder(observation)}
        if self.target is not None:
            said["world/z_target"] = self.target(observation)
        return said

    def predict(self, state: State, z_before: Tensor, moved: Tensor, start: Tensor) -> tuple[Messages, State]:
        said, after = self.predict_all(state, z_before[None], moved[None], start[None])
        return {topic: x[0] for topic, x in said.items()}, after

    def predict_from_this(self, z_before: Tensor, moved: Tensor, start: Tensor) -> Messages:
        made, _ = self._step({}, z_before, self._told(moved))
        return self._said(made, {}, start)

    def predict_all(self, state: State, z_before: Tensor, moved: Tensor, start: Tensor) -> tuple[Messages, State]:
        """Along walks `[T, B, ...]`."""
        made, after = self._over(state, z_before, self._told(moved), start)
        return self._said(made, after, start), tree_map(lambda x: x[-1], after)

    def compare(self, z: Tensor, z_predicted: Tensor, start: Tensor) -> Messages:
        error = torch.where(start, 0.0, z_predicted - z)
        surprise = ((error @ self.once("precision", self._precision)) * error).mean(-1, keepdim=True)
        # without gradient: who reads it cannot teach what it measures
        return {"world/surprise": surprise.detach(), "loss/next": error.square().mean(-1)}

    def _precision(self) -> Tensor:
        size = self.usual.diagonal().mean()
        precision: Tensor = torch.linalg.inv(self.usual + RIDGE * size * torch.eye(self.size, device=size.device))
        return precision

    # --- losses of whole walks, [T, B, ...] ---------------------------------------------------------------------------

    def rollout(self, z: Tensor, moved: Tensor, start: Tensor, aim: Tensor) -> Tensor:
        """Mean squared error of predictions 1 to `horizon` ticks ahead, from every tick at which they fit the walk."""
        start = torch.cat([torch.ones_like(start[:1]), start[1:]])  # nothing is known of what was before the walk
        told, new = self._told(moved), start[..., 0]
        before = torch.cat([torch.zeros_like(z[:1]), z[:-1]])
        made, states = self._over(self.init(z.shape[1]), before, told, start)
        known = ~new  # [T, B]: where the ticks that the prediction rests on, and the one that it is of, are one episode
        errors = []
        for ahead in range(max(min(self.horizon, len(z) - 1), 1)):
            if ahead:
                flat = tree_map(lambda x: x[:-1].flatten(0, 1), (states, made.movedim(0, -2)))
                last, after = self._step(flat[0], flat[1].movedim(-2, 0), told[ahead:].flatten(0, 1), each=True)
                made = last.reshape(len(last), -1, *z.shape[1:])
                states = tree_map(lambda x: x.reshape(-1, z.shape[1], *x.shape[1:]), after)
                known = known[:-1] & ~new[ahead:]
            errors.append(((made - aim[ahead:]).square().mean(-1) * known).sum((1, 2)) / known.sum().clamp(min=1))
        return torch.stack(errors).mean()

    def variance(self, z: Tensor) -> Tensor:
        return regularisers.variance(z)

    def covariance(self, z: Tensor) -> Tensor:
        return regularisers.covariance(z)

    def slowness(self, z: Tensor, start: Tensor) -> Tensor:
        return regularisers.slowness(z, start[..., 0])

    def sigreg(self, z: Tensor, directions: Tensor) -> Tensor:
        return regularisers.sigreg(z, directions)

    def inverse(self, z: Tensor, moved: Tensor, start: Tensor) -> Tensor:
        told = self.mover(z[:-1], z[1:])
        if self.moved_by == "action":
            error = F.cross_entropy(told.movedim(-1, 1), moved[1:, ..., 0].clamp(min=0), reduction="none")
        else:
            error = (told - moved[1:]).square().mean(-1)
        return regularisers.mean_where(error, ~start[1:, ..., 0])

    # --- imagining ----------------------------------------------------------------------------------------------------

    def imagine(self, state: State, z: Tensor, moved: Tensor) -> Tensor:
        """Latents `[K, B, d]` after moves `[K, B, ...]` from z `[B, d]`, each from the one imagined before; nothing of
        the living agent changes."""
        passed = []
        for one in moved:
            z, state = self.onward(state, z, one)
            passed.append(z)
        return torch.stack(passed)

    def onward(self, state: State, z: Tensor, moved: Tensor) -> tuple[Tensor, State]:
        """The latent `[B, d]` after one move `[B, ...]` from z `[B, d]`, and what is remembered then."""
        made, after = self._step(state, z, self._told(moved))
        return made.mean(0), after

    def ahead(self, z: Tensor, action: Tensor, motion: Tensor) -> Tensor:
        """The latent after one move from each of z `[N, d]`, by action `[N, 1]` or motion `[N, 2]`; only of predictors
        without a memory, for which a latent says all."""
        return self.onward({}, z, action if self.moved_by == "action" else motion)[0]

    def unlike(self, z_predicted: Tensor, z: Tensor) -> Tensor:
        """How far each latent z `[..., m, d]` is from what was foreseen, z_predicted `[..., k, d]`: the squared
        distance in units of the usual squared error, `[..., k, m]`. (That of `world/surprise`, in which rare directions
        count most, tells places apart less well: errors in layouts never seen are rare ones, too.)"""
        return torch.cdist(z_predicted, z).square() / self.usual.trace()

    # --- small parts --------------------------------------------------------------------------------------------------

    def _members(self) -> Iterator[Predictor]:
        """The ensemble."""
        for member in self.predictors:
            assert isinstance(member, Predictor)
            yield member

    def _told(self, moved: Tensor) -> Tensor:
        """A move as numbers `[..., m]`; none at a start."""
        if self.moved_by == "motion":
            return moved
        return F.one_hot(moved[..., 0].clamp(min=0), self.move.values).float() * (moved >= 0)

    def _step(self, state: State, z: Tensor, told: Tensor, each: bool = False) -> tuple[Tensor, State]:
        """Predictions `[E, n, d]` of every member from z `[n, d]`, or (`each`) from its own `[E, n, d]`."""
        made = [
            predictor.step(state.get(str(i), {}), z[i] if each else z, told)
            for i, predictor in enumerate(self._members())
        ]
        return torch.stack([m for m, _ in made]), {str(i): after for i, (_, after) in enumerate(made)}

    def _over(self, state: State, z: Tensor, told: Tensor, start: Tensor) -> tuple[Tensor, State]:
        """The same along walks, from every true latent: `[E, T, B, d]`, and the states after every tick."""
        made = [
            predictor.over(state.get(str(i), {}), z, told, start[..., 0]) for i, predictor in enumerate(self._members())
        ]
        return torch.stack([m for m, _ in made]), {str(i): after for i, (_, after) in enumerate(made)}

    def _said(self, made: Tensor, after: State, start: Tensor) -> Messages:
        said = {"world/z_predicted": torch.where(start, 0.0, made.mean(0))}
        if self.remembers:
            members = enumerate(self._members())
            held = [member.memory(after[str(i)]) for i, member in members if not isinstance(member, Residual)]
            said["world/memory"] = torch.where(start, 0.0, torch.cat(held, -1))
        if len(made) > 1:
            said["world/disagreement"] = torch.where(start, 0.0, made.var(0).mean(-1, keepdim=True))
        return said
