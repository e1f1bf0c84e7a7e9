"""The conformance suite that every module passes, ours and yours: `cogarch check pkg.mod:Class`, or `check_module`."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cogarch.bus import Bus
from cogarch.mec.imagining import Imaginable
from cogarch.module import SCORING_ONLY, Messages, Module, Objective, Signal, Step
from cogarch.objectives import objective
from cogarch.tree import leaves, where
from cogarch.wiring import WiringError

TICKS, BATCH = 12, 4


@dataclass(frozen=True)
class Verdict:
    """One clause: `passed` is None where it was not run; `text` says what failed, or why it was not run."""

    clause: str
    passed: bool | None
    text: str = ""


class _NotRun(Exception):
    """A clause says nothing of this module; the text says why."""


class _Failed(Exception):
    """A clause does not hold; the text says where, and what to do."""


def example_contracts(motion: str = "dx, dy") -> dict[str, Signal]:
    """The topics of an agent on a square world (45 objects, 4 moves), for building a module on its own."""
    return {
        "env/observation": Signal(dtype=torch.int64, values=45),
        "env/action": Signal(dtype=torch.int64, values=4),
        "env/motion": Signal((2,), unit=motion),
        "env/bump": Signal(dtype=torch.bool),
        "env/start": Signal(dtype=torch.bool),
        "env/reward": Signal(),
        "lec/x": Signal((45,)),
        "lec/x_predicted": Signal((45,)),
        "mec/g_path": Signal((24,)),
        "mec/g": Signal((24,)),
        "hc/p": Signal((32,)),
        "hc/recalled_x": Signal((45,)),
        "hc/recalled_g": Signal((24,)),
        "hc/recognised": Signal(),
        "hc/familiarity": Signal(unit="minus energy"),
        "hc/slot": Signal(dtype=torch.int64, unit="slot", values=32),
        "hc/stored": Signal(dtype=torch.bool),
        "world/z": Signal((16,)),
        "world/z_predicted": Signal((16,)),
        "world/surprise": Signal(),
        "executive/mode": Signal(dtype=torch.int64, values=4),
        "executive/goal": Signal((24,), fill=float("nan")),
        "executive/cost": Signal((4,)),
        "executive/action": Signal(dtype=torch.int64, values=4),
    }


def check_module(
    make: Callable[[Mapping[str, Signal]], Module], topics: Mapping[str, Signal] | None = None
) -> list[Verdict]:
    """Run every clause on the module that `make(topics)` builds; clauses that rest on one that failed are not run.

    `topics` are the contracts of the world and the other modules (default: `example_contracts()`); those of the
    module's own role are left out.
    """
    return _Suite(make, example_contracts() if topics is None else topics).run()


class _Suite:
    def __init__(self, make: Callable[[Mapping[str, Signal]], Module], topics: Mapping[str, Signal]) -> None:
        role = getattr(make, "role", None)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = make({topic: signal for topic, signal in topics.items() if topic.partition("/")[0] != role})
        self.module = module
        self.name = module.role or type(module).__name__.lower()
        if x := next((step.writes["lec/x"] for step in module.steps() if "lec/x" in step.writes), None):
            topics = {**topics, "hc/recalled_x": x}  # a memory recalls what it was given
        own = {topic for step in module.steps() for topic in step.writes}
        wanted = {read.topic for reader in self._readers() for read in reader.subscriptions.values()}
        self.inputs = {t: s for t, s in topics.items() if t in wanted - own or t == "env/start"}
        self.failed: set[str] = set()

    def run(self) -> list[Verdict]:
        clauses: list[tuple[str, Callable[[], None], tuple[str, ...]]] = [
            ("truth", self.truth, ()),
            ("contracts", self.contracts, ("truth",)),
            ("seeded", self.seeded, ("contracts",)),
            ("messages", self.messages, ("contracts",)),
            ("rows", self.rows, ("contracts", "seeded")),
            ("restart", self.restart, ("contracts", "seeded", "rows")),
            ("clone", self.clone, ("contracts", "seeded")),
            ("round trip", self.round_trip, ("contracts", "seeded")),
            ("tick = play", self.tick_is_play, ("contracts", "seeded", "messages", "rows")),
            ("gradients", self.gradients, ("contracts",)),
            ("ahead", self.ahead, ("contracts", "seeded")),
            ("device", self.device, ("contracts", "seeded")),
        ]
        verdicts = []
        for name, clause, needs in clauses:
            if broken := [need for need in needs if need in self.failed]:
                self.failed.add(name)
                verdicts.append(Verdict(name, None, f"rests on {broken[0]!r}"))
            elif name == "device" and not torch.cuda.is_available():
                verdicts.append(Verdict(name, None, "no GPU here"))
            else:
                try:
                    clause()
                    verdicts.append(Verdict(name, True))
                except _NotRun as why:
                    verdicts.append(Verdict(name, None, str(why)))
                except (_Failed, WiringError) as error:
                    self.failed.add(name)
                    verdicts.append(Verdict(name, False, str(error)))
                except Exception as error:
                    self.failed.add(name)
                    notes = " ".join(getattr(error, "__notes__", ()))
                    verdicts.append(Verdict(name, False, f"{type(error).__name__}: {error} {notes}".strip()))
        return verdicts

    # --- the clauses --------------------------------------------------------------------------------------------------

    def truth(self) -> None:
        """Only what an agent can sense is read."""
        for reader in self._readers():
            for arg, read in reader.subscriptions.items():
                if read.topic in SCORING_ONLY:
                    raise _Failed(
                        f"{reader.method}({arg}) reads {read.topic!r}, which carries the truth for scores and figures; "
                        "read what the agent senses: env/observation, env/motion, env/bump"
                    )

    def contracts(self) -> None:
        """The wiring proves shapes and dtypes; then real messages are finite and as declared, for 1 and 4 agents."""
        for batch in (1, BATCH):
            for t, out in enumerate(self.live(self.bus(batch), self.walk(batch))):
                for topic, signal in self.written().items():
                    x = out[topic]
                    if x.shape != (batch, *signal.shape) or x.dtype != signal.dtype:
                        raise _Failed(
                            f"{topic!r} at tick {t}: declared {signal} for each of {batch} agents, "
                            f"made {x.dtype} {list(x.shape)}"
                        )
                    told = x.isfinite() | x.isnan() if math.isnan(signal.fill) else x.isfinite()  # NaN: nothing
                    if not bool(told.all()):
                        raise _Failed(f"{topic!r} is not finite at tick {t} on ordinary messages")

    def seeded(self) -> None:
        """One seed, one life: no generator is drawn from, no state is kept outside the bus."""
        before = _generators()
        bus, walk = self.bus(), self.walk()
        first = self.live(bus, walk)
        if _generators() != before:
            raise _Failed("a step drew from a global random generator; ask the bus: Step(..., noise={...})")
        bus.reset()
        if at := _differ(first, self.live(bus, walk), 0.0):
            raise _Failed(
                f"two lives with one seed differ, first in {at}; noise comes from the bus (Step(..., noise=...)), "
                "and whatever changes while living belongs into the state"
            )

    def messages(self) -> None:
        """What was said is never changed: neither messages read nor messages written at earlier ticks."""
        bus, heard, said = self.bus(), [], []
        with torch.no_grad():
            for t, tick in enumerate(self.walk()):
                copies = {topic: x.clone() for topic, x in tick.items()}
                out = {topic: x for topic, x in bus.tick(tick).items() if topic in self.written()}
                heard.append((tick, copies))
                said.append((out, {topic: x.clone() for topic, x in out.items()}))
                for kind, kept in (("reads", heard), ("wrote", said)):
                    for messages, was in kept:
                        for topic, x in messages.items():
                            if _differ([{topic: x}], [{topic: was[topic]}], 0.0):
                                raise _Failed(
                                    f"at tick {t} a message on {topic!r} that the module {kind} was changed in place; "
                                    "other modules read it too: make a new tensor"
                                )

    def rows(self) -> None:
        """An agent's life is its own: among others who live otherwise, the same."""
        walk, others = self.walk(), self.walk(seed=4)
        together = self.live(self.bus(), walk)
        for row in range(BATCH):
            own = torch.arange(BATCH) == row
            mixed = [
                {k: where(own, x, other[k]) for k, x in tick.items()} for tick, other in zip(walk, others, strict=True)
            ]
            among = self.live(self.bus(), mixed)
            a, b = ([{k: x[row : row + 1] for k, x in out.items()} for out in life] for life in (together, among))
            if at := _differ(a, b, 1e-4):
                raise _Failed(f"row {row} differs where the other rows live otherwise, in {at}; do not mix rows")

    def restart(self) -> None:
        """A restarted row is a fresh row; the others do not notice."""
        half, rows = TICKS // 2, torch.tensor([False, True, False, True])
        bus, walk = self.bus(), self.walk()
        self.live(bus, walk[:half])
        bus.restart(rows)
        after = self.live(bus, walk[half:])
        fresh = self.bus()
        fresh.episode = rows.long()  # so that its noise is that of a second episode
        undisturbed = self.bus()
        self.live(undisturbed, walk[:half])
        for name, other, which in (("fresh", fresh, rows), ("undisturbed", undisturbed, ~rows)):
            expected = self.live(other, walk[half:])
            a, b = ([{k: x[which] for k, x in out.items()} for out in life] for life in (after, expected))
            if at := _differ(a, b, 1e-4):
                raise _Failed(
                    f"after restart(rows) the rows that should be {name} are not, in {at}; "
                    "init() makes fresh state, and restart() puts it into those rows only"
                )

    def clone(self) -> None:
        """A clone goes its own way: neither sees what the other does."""
        half = TICKS // 2
        bus, walk = self.bus(), self.walk()
        alone = self.live(bus, walk)
        bus.reset()
        self.live(bus, walk[:half])
        twin = bus.clone()
        twin.stream = bus.stream
        twin._rekey()  # the same noise, to compare
        self.live(twin, walk[:half])
        if at := _differ(alone[half:], self.live(bus, walk[half:]), 0.0):
            raise _Failed(f"what a clone lived changed the living agent, in {at}; keep all that changes in the state")
        second = bus.clone()
        a, b = (self.live(one, walk[:half], stream=0) for one in (second, bus))
        if at := _differ(a, b, 0.0):
            raise _Failed(f"a clone that lives the same differs in {at}; keep all that changes in the state")

    def round_trip(self) -> None:
        """Saved and loaded, life goes on the same."""
        half = TICKS // 2
        bus, walk = self.bus(), self.walk()
        self.live(bus, walk[:half])
        saved = {name: x.clone() for name, x in bus.dump().items()}
        expected = self.live(bus, walk[half:])
        other = self.bus()
        other.load(saved)
        if at := _differ(expected, self.live(other, walk[half:]), 0.0):
            raise _Failed(f"after dump() and load() the life differs in {at}; keep all that changes in the state")

    def tick_is_play(self) -> None:
        """Whole walks, in one piece and in two, with an episode that begins in the middle: the numbers of ticking."""
        walk = self.walk(start_again=5)
        ticked, played, pieces = self.bus(), self.bus(), self.bus()
        lived = []
        with torch.no_grad():
            for tick in walk:
                ticked.restart(tick["env/start"].flatten())
                lived += self.live(ticked, [tick])
            whole = _stack(walk)
            first = played.play({k: x.clone() for k, x in whole.items()})
            parts = [pieces.play({k: x[a:b].clone() for k, x in whole.items()}) for a, b in ((0, 7), (7, TICKS))]
        for name, got, bus in (("play", [first], played), ("play in two pieces", parts, pieces)):
            said = [{k: part[k][t] for k in self.written()} for part in got for t in range(len(part["env/start"]))]
            if at := _differ(lived, said, 1e-4):
                raise _Failed(f"{name} and tick differ in {at}; an over_time method computes what ticking does")
            if at := _differ([_state(ticked)], [_state(bus)], 1e-4):
                raise _Failed(f"{name} and tick leave different state, in {at}")

    def gradients(self) -> None:
        """Gradients cross every float read that does not decline them, and reach every parameter that asks for them."""
        walk = self.walk()
        floats = {
            read.topic
            for reader in self._readers()
            for read in reader.subscriptions.values()
            if read.grad and read.topic in self.inputs and self.inputs[read.topic].dtype.is_floating_point
        }
        sources = {topic: [tick[topic].clone().requires_grad_() for tick in walk] for topic in sorted(floats)}
        bus, noise, total = self.bus(), torch.Generator().manual_seed(1), torch.zeros(())
        said = []
        for t, tick in enumerate(walk):
            out = bus.tick(tick | {topic: xs[t].clone() for topic, xs in sources.items()})
            said.append(out)
            for topic, signal in self.written().items():
                if signal.dtype.is_floating_point and out[topic].requires_grad:
                    total = total + (out[topic] * torch.randn(out[topic].shape, generator=noise)).sum()
        before = _generators()
        for topic in bus.objectives:
            loss = objective(bus, topic, _stack(said), 0)
            if _generators() != before:
                raise _Failed(f"{topic!r} drew from a global random generator; ask: Objective(..., noise={{...}})")
            if not bool(loss.isfinite()):
                raise _Failed(f"{topic!r} is {float(loss.detach())} on ordinary messages")
            total = total + loss
        parameters = {n: p for n, p in bus.parts.named_parameters() if p.requires_grad}
        wanted = {f"the read of {t!r}": xs for t, xs in sources.items()} | {
            f"parameter {n}": [p] for n, p in parameters.items()
        }
        if not wanted:
            return
        if not total.requires_grad:
            raise _Failed(f"no write carries a gradient, though it is declared for {', '.join(wanted)}")
        flat = [x for xs in wanted.values() for x in xs]
        found = iter(torch.autograd.grad(total, flat, allow_unused=True))
        for name, xs in wanted.items():
            grads = [next(found) for _ in xs]
            if not any(g is not None and bool((g != 0).any()) for g in grads):
                raise _Failed(
                    f"no gradient reaches {name}; a detach or a hard choice cuts it "
                    "(where none is meant to pass: Read(..., grad=False), or requires_grad=False)"
                )

    def ahead(self) -> None:
        """A structural code that says what a move leads to (`Imaginable`) says what it is led to itself."""
        if self.module.role != "mec" or not isinstance(self.module, Imaginable):
            return
        path = "mec/g_path" if "mec/g_path" in self.written() else "mec/g"
        bus, g = self.bus(), None
        for t, tick in enumerate(self.walk()):
            if "env/bump" in tick:
                tick["env/bump"] = torch.zeros(BATCH, 1, dtype=torch.bool)
            [said] = self.live(bus, [tick])
            if t % self.module.every:  # it holds what it said
                continue
            if g is not None:
                action = tick.get("env/action", torch.zeros(BATCH, 1, dtype=torch.int64))
                move = (g, action, tick.get("env/motion", torch.zeros(BATCH, 2)))
                with torch.no_grad():
                    try:
                        together = self.module.ahead(*(x.clone() for x in move))
                    except ValueError as cannot:  # by its settings
                        raise _NotRun(str(cannot)) from None
                    alone = torch.cat([self.module.ahead(*(x[i : i + 1] for x in move)) for i in range(BATCH)])
                if together.dtype != torch.float32:
                    raise _Failed(f"ahead() made {together.dtype}: a code is float32")
                for codes, wrong in ((together, "is not what the module says after that move"), (alone, "mixes rows")):
                    if _differ([{path: said[path]}], [{path: codes}], 1e-4):
                        gap = float((said[path] - codes).abs().max())
                        raise _Failed(f"ahead() {wrong}, {path!r} at tick {t} (by {gap:.2g})")
            g = said["mec/g"]

    def device(self) -> None:
        """On a GPU, the numbers of the CPU."""
        walk = self.walk()
        expected = self.live(self.bus(), walk)
        bus = self.bus().to("cuda")
        on_gpu = self.live(bus, [{topic: x.cuda() for topic, x in tick.items()} for tick in walk])
        if at := _differ(expected, [{k: x.cpu() for k, x in out.items()} for out in on_gpu], 1e-3):
            raise _Failed(f"GPU and CPU differ in {at}")

    # --- small parts --------------------------------------------------------------------------------------------------

    def _readers(self) -> list[Step | Objective]:
        """All that reads."""
        return [*self.module.steps(), *self.module.objectives().values()]

    def bus(self, batch: int = BATCH) -> Bus:
        return Bus(self.inputs, {self.name: copy.deepcopy(self.module)}, batch=batch, seed=7)

    def written(self) -> dict[str, Signal]:
        return {topic: signal for step in self.module.steps() for topic, signal in step.writes.items()}

    def walk(self, batch: int = BATCH, start_again: int | None = None, seed: int = 3) -> list[Messages]:
        """Messages that fit the contracts, tick by tick; they come round again, so that a memory recalls."""
        g = torch.Generator().manual_seed(seed)
        base = [{t: _random(t, s, g) for t, s in self.inputs.items()} for _ in range(5)]
        ticks = [{topic: x[:batch].clone() for topic, x in base[t % 5].items()} for t in range(TICKS)]
        for t, tick in enumerate(ticks):
            tick["env/start"] = torch.full((batch, 1), t == 0)
            if t == start_again:
                tick["env/start"][:: max(batch // 2, 1)] = True
            if "env/action" in tick:
                tick["env/action"] = torch.where(tick["env/start"], -1, tick["env/action"])
        return ticks

    def live(self, bus: Bus, walk: list[Messages], stream: int | None = None) -> list[Messages]:
        """Tick through fresh copies of the messages; what the module wrote."""
        if stream is not None:
            bus.stream = stream
            bus._rekey()
        with torch.no_grad():
            outs = (bus.tick({topic: x.clone() for topic, x in tick.items()}) for tick in walk)
            return [{topic: out[topic].clone() for topic in self.written()} for out in outs]


def _random(topic: str, signal: Signal, g: torch.Generator) -> Tensor:
    shape = (BATCH, *signal.shape)
    if signal.dtype == torch.bool:
        return torch.rand(shape, generator=g) < 0.2
    if signal.dtype.is_floating_point:
        return torch.randn(shape, generator=g, dtype=signal.dtype)
    return torch.randint(0, signal.values or 2, shape, generator=g).to(signal.dtype)


def _generators() -> tuple[list[int], str, object]:
    """Where the global generators of torch, numpy and Python stand."""
    return torch.get_rng_state().tolist(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002


def _stack(walk: list[Messages]) -> Messages:
    return {topic: torch.stack([tick[topic] for tick in walk]) for topic in walk[0]}


def _state(bus: Bus) -> dict[str, Any]:
    return dict(leaves(bus.state))


def _differ(a: list[Messages], b: list[Messages], tolerance: float) -> str:
    """Where two lives first differ, in words; "" where they do not."""
    for t, (x, y) in enumerate(zip(a, b, strict=True)):
        for topic in x:
            p, q = x[topic].double(), y[topic].double()
            if p.shape != q.shape:
                return f"{topic!r} at tick {t}: shape {list(p.shape)} against {list(q.shape)}"
            same = (p == q) | (p.isnan() & q.isnan())  # infinities and "nothing" (NaN), too
            gap = torch.where(same, 0.0, (p - q).abs() - tolerance * (1 + p.abs()))
            if p.numel() and not bool((gap <= 0).all()):
                return f"{topic!r} at tick {t} (by {float((p - q).abs().max()):.2g})"
    return ""
