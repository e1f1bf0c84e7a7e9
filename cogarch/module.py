"""What a module is: the signals that it reads and writes, the state that it asks the bus to keep, and its steps.

A module is a `torch.nn.Module` that fills a role. It holds parameters and nothing that changes between ticks: its
state is a dictionary of tensors with one row an agent (`[B, ...]`), made by `init`, handed to its steps and given back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import torch
from pydantic import Field
from torch import Tensor, nn

from cogarch.tree import where

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]  # a setting
State: TypeAlias = dict[str, Any]  # str -> Tensor [B, ...], or a nested dict or tuple of such
Messages: TypeAlias = dict[str, Tensor]  # topic -> [B, *shape]; in over_time methods [T, B, *shape]

ROLES = ("lec", "mec", "hc", "world", "executive")
"""The roles, in the order in which an agent builds them: each sees the contracts of those before it."""

SCORING_ONLY = ("env/node", "env/place", "env/heading")
"""Topics that carry the truth: figures and scores read them, modules never."""


@dataclass(frozen=True)
class Signal:
    """The contract of a topic: what one message `[B, *shape]` on it is.

    `cells` names the neural population that it stands for ("" = not neural), `unit` what its numbers measure (wiring
    compares units as well as shapes), `modules` the sizes of the groups that its cells come in, if they do (grid-cell
    modules, the highest spatial frequency first), `values` how many values an integer signal takes (0 = not counted),
    `names` what each of these is called (modes and their reasons), `fill` what a delayed reader sees before the first
    message.
    """

    shape: tuple[int, ...] = (1,)
    dtype: torch.dtype = torch.float32
    cells: str = ""
    unit: str = ""
    modules: tuple[int, ...] = ()
    values: int = 0
    names: tuple[str, ...] = ()
    fill: float = 0.0

    def __str__(self) -> str:
        unit = f" in {self.unit!r}" if self.unit else ""
        return f"{str(self.dtype).removeprefix('torch.')} {list(self.shape)}{unit}"

    def empty(self, batch: int) -> Tensor:
        """The message before the first one, `[batch, *shape]`."""
        return torch.full((batch, *self.shape), self.fill, dtype=self.dtype)


@dataclass(frozen=True)
class Read:
    """One subscription: a topic, how many ticks old the message is, whether gradients pass back through it.

    `shape`, `dtype` and `unit`, where given, are what the reader can take; the wiring proves them against the writer. A
    read that is `optional` is left out where nobody writes the topic: the step then takes its own default.
    """

    topic: str
    delay: int = 0
    grad: bool = True
    optional: bool = False
    shape: tuple[int, ...] | None = None
    dtype: torch.dtype | None = None
    unit: str | None = None


@dataclass(frozen=True)
class Noise:
    """Random numbers that the bus draws for a step: `[B, *shape]`, `kind` "normal" or "uniform" (in (0, 1))."""

    shape: tuple[int, ...] = (1,)
    kind: Literal["normal", "uniform"] = "normal"

    def __post_init__(self) -> None:
        if self.kind not in ("normal", "uniform"):
            raise ValueError(f"noise of kind {self.kind!r}: it is 'normal' or 'uniform'")


@dataclass(frozen=True)
class Step:
    """One method of a module and the topics that it connects.

    The method takes each read (and each noise) by the name given here and returns a dictionary of its writes. With
    `state=True` it takes the module's state first and returns `(writes, state)`; it may overwrite tensors of that state
    in place where gradients are off, and never a message.

    With `imagines=True` it is also handed `mind`, a `cogarch.bus.Mind`: the agent's modules, and clones of the bus as
    it is at that moment of the tick, to look ahead with. Nothing that is done with them touches the living agent.
    """

    method: str
    reads: Mapping[str, str | Read] = field(default_factory=dict)
    writes: Mapping[str, Signal] = field(default_factory=dict)
    noise: Mapping[str, Noise] = field(default_factory=dict)
    state: bool = False
    imagines: bool = False

    @property
    def subscriptions(self) -> dict[str, Read]:
        """The reads, each as a `Read`."""
        return _as_reads(self.reads)


def _as_reads(reads: Mapping[str, str | Read]) -> dict[str, Read]:
    return {arg: Read(read) if isinstance(read, str) else read for arg, read in reads.items()}


@dataclass(frozen=True)
class Objective:
    """A loss of whole walks: what no tick can say alone, such as how far a code spreads over all of them.

    The method takes each read `[T, B, *shape]` by the name given here, and each noise `[*shape]`, drawn anew for each
    update; it returns a scalar. Its topic is one of `loss/*`, and only a training asks for it.
    """

    method: str
    reads: Mapping[str, str | Read]
    noise: Mapping[str, Noise] = field(default_factory=dict)

    @property
    def subscriptions(self) -> dict[str, Read]:
        """The reads, each as a `Read`."""
        return _as_reads(self.reads)


class Module(nn.Module):
    """The base of every module: say your role and steps, and what state you need.

    `over_time` names, for steps of this module that can run over a whole walk in one call, the method that does so:
    `{("move",): "integrate"}`. That method takes the state and the same reads and noise with time in front
    (`[T, B, *shape]`; but not what its own steps write) and returns `(writes, state)`, equal to ticking. Steps without
    state need none: the bus folds time into the batch.

    `scheduled` are the settings that a training may change between updates (`training.schedules`): attributes, floats.

    `hears` are topics of which it is told what was said in the walks of an update (`learned`).

    `every` is the module's rate: an agent's steps run at the ticks of its episode that `every` divides, and between
    them its topics hold their last message.
    """

    role: ClassVar[str] = ""
    over_time: Mapping[tuple[str, ...], str] = {}
    scheduled: ClassVar[tuple[str, ...]] = ()
    hears: Sequence[str] = ()
    every: int = 1

    def __init__(self, topics: Mapping[str, Signal] | None = None) -> None:
        """`topics` are the contracts of the world and of the roles before; a module that sizes itself by them, or has
        settings, takes them in a constructor of its own: `__init__(self, topics, *, setting=default)`."""
        super().__init__()
        self._kept: dict[str, Any] | None = None

    def steps(self) -> Sequence[Step]:
        """The steps, in the order in which those with state run within a tick."""
        raise ValueError(f"{type(self).__name__} has no steps: define steps(self) and return a list of Step")

    def objectives(self) -> Mapping[str, Objective]:
        """Losses of whole walks, by their topic; those of single ticks are written by steps."""
        return {}

    def learned(self, said: Messages) -> None:
        """Called after each step of the weights, with what was said `[T, B, *shape]` on the topics that it `hears`:
        what follows slowly, follows."""

    def init(self, batch: int) -> State:
        """Fresh state of `batch` agents; every tensor `[batch, ...]`. Learned initial values are used here."""
        return {}

    def restart(self, state: State, rows: Tensor, fresh: State) -> State:
        """`state` with the agents where `rows` (`[B]` bool) made new; `fresh` is `init(B)`. Seldom overridden."""
        restarted: State = where(rows, fresh, state)
        return restarted

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` gives, and follows from weights alone: made once a play; elsewhere, where weights may change from
        tick to tick, at every call."""
        if self._kept is None:
            return make()
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def notice(self, state: State) -> str | None:
        """Something the user should be told once of this state (a memory that is full), or None."""
        return None
