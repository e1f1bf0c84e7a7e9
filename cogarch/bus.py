"""The bus: typed topics, one graph, two ways to run it. `tick` lives one step; `play` runs recorded walks at once."""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import networkx as nx
import torch
from torch import Tensor, nn

from cogarch import noise
from cogarch.module import Messages, Module, Signal
from cogarch.straight import Tick, hold, write_tick
from cogarch.tree import leaves, share, tree_map, unflatten, where
from cogarch.wiring import Group, Node, WiringError, nearest, prove, reach, wire

Clamp: TypeAlias = "float | Tensor | Callable[[Tensor], Tensor]"


class Probe:
    """A recording of one topic, made while the bus runs. `data` is `[T, B, *shape]`."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._parts: list[Tensor] = []

    def extend(self, messages: Tensor) -> None:
        """Add messages `[n, B, *shape]`."""
        self._parts.append(messages.detach().clone())

    @property
    def data(self) -> Tensor:
        if not self._parts:
            raise ValueError(f"the probe of {self.topic!r} has recorded nothing yet: tick or play first")
        return torch.cat(self._parts)


@dataclass(frozen=True)
class Mind:
    """What a step that imagines is handed: the agent's modules, and clones of its bus as it is at that moment.

    Modules hold weights, and no state: their own methods say what would follow from any code. `clone()` holds their
    states, too (of those modules that have spoken in this tick, after it; what the wires hold is of the ticks before).
    To tick a clone would be to imagine again, without end: ask its parts.
    """

    parts: nn.ModuleDict
    clone: Callable[[], Bus]


class Bus:
    """Modules joined by topics, and the state of `batch` agents made of them.

    `inputs` are the contracts of what the world says (`env/...`). Raises WiringError where the modules do not fit.
    `state` holds every module's state, `wires` the past messages of topics that are read with delay.
    """

    def __init__(
        self, inputs: Mapping[str, Signal], modules: Mapping[str, Module], *, batch: int = 1, seed: int = 0
    ) -> None:
        self.plan = wire(inputs, modules)
        self.parts = nn.ModuleDict({name: modules[name] for name in sorted(modules)})
        self.objectives = {
            topic: (name, what) for name, module in modules.items() for topic, what in module.objectives().items()
        }
        """Losses of whole walks: topic -> the module, and what it reads."""
        self.seed, self.stream = seed, 0
        self._clones = [0]  # how many were made, one count for all of them: the number of a clone is its noise stream
        self._probes: dict[str, list[Probe]] = {}
        self._clamps: dict[str, Callable[[Tensor], Tensor]] = {}
        self.batch = batch
        self.device = next((x.device for x in (*self.parts.parameters(), *self.parts.buffers())), torch.device("cpu"))
        self._rekey()
        self._rewrite()
        for node in self.plan.order:
            if node.step.imagines:
                self.reset(2)
                prove(node, self.part(node.module), self.plan.topics, Mind(self.parts, self.clone))
        self.reset(batch)

    # --- life ---------------------------------------------------------------------------------------------------------

    def reset(self, batch: int | None = None) -> None:
        """New agents: fresh state, empty wires, the first episode. `batch` may change."""
        self.batch = batch or self.batch
        self._clones[:] = [0]
        self.t = 0  # ticks of the bus; a row's own tick is t - born[row]
        with self.device:
            self.rows = torch.arange(self.batch)
            self.episode = torch.zeros(self.batch, dtype=torch.int64)
            self.born = torch.zeros(self.batch, dtype=torch.int64)
            self.state = {name: self.part(name).init(self.batch) for name in self.parts}
            self.wires = {
                topic: (self.plan.topics[topic].empty(self.batch),) * depth for topic, depth in self.plan.depth.items()
            }

    def to(self, device: torch.device | str) -> Bus:
        """Move modules and state; messages must then come from there. Returns the bus."""
        self.device = torch.device(device)
        self.parts.to(self.device)
        self.state, self.wires = (tree_map(lambda x: x.to(self.device), tree) for tree in (self.state, self.wires))
        self.rows, self.episode, self.born = (x.to(self.device) for x in (self.rows, self.episode, self.born))
        return self

    def tick(self, inputs: Messages) -> Messages:
        """One step of the world for all agents: messages `[B, *shape]` in, every topic's out. Checks nothing."""
        tick = self._tick or self._rewrite()
        try:
            return tick(self, inputs)
        except Exception as error:
            tick.blame(error, self.t)
            raise

    def restart(self, rows: Tensor) -> None:
        """Begin a new episode for the agents where `rows` (`[B]` bool) is true; those that never ticked are new."""
        rows = rows.flatten() & (self.born < self.t)
        if not bool(rows.any()):
            return
        with self.device:
            for name in self.parts:
                part = self.part(name)
                self.state[name] = part.restart(self.state[name], rows, part.init(self.batch))
            for topic, past in self.wires.items():
                empty = self.plan.topics[topic].empty(self.batch)
                self.wires[topic] = tuple(where(rows, empty, message) for message in past)
        self.episode = self.episode + rows
        self.born = torch.where(rows, self.t, self.born)

    def clone(self) -> Bus:
        """A twin that goes its own way, with noise of its own: to imagine. Memory is shared until one side writes."""
        twin = copy.copy(self)
        twin.state, twin.wires = share(self.state), dict(self.wires)
        twin._clamps, twin._probes = dict(self._clamps), {}
        self._clones[0] += 1
        twin.stream = self._clones[0]
        twin._rekey()
        if self._probes:
            twin._tick = None
        return twin

    def detach(self) -> None:
        """Cut the graph here: truncated back-propagation through time."""
        self.state = tree_map(Tensor.detach, self.state)
        self.wires = tree_map(Tensor.detach, self.wires)

    def dump(self) -> dict[str, Tensor]:
        """All that changes while living, flat, for a file; `load` takes it back."""
        flat = dict(leaves({"state": self.state, "wires": self.wires, "episode": self.episode, "born": self.born}))
        flat["clock"] = torch.tensor([self.t, self.seed, self.stream, *self._clones])
        # shared until one side writes: what was dumped stays as it is while life goes on
        saved: dict[str, Tensor] = share({name: tensor.detach() for name, tensor in flat.items()})
        return saved

    def load(self, flat: Mapping[str, Tensor]) -> None:
        """Go on from a `dump` of a bus with the same modules; KeyError or ValueError name what does not fit."""
        tree = {"state": self.state, "wires": self.wires, "episode": self.episode, "born": self.born}
        for name, tensor in [*leaves(tree), ("clock", torch.zeros(4, dtype=torch.int64))]:
            if name not in flat:
                raise KeyError(f"the saved state has no {name!r}: it is of an agent with other modules")
            if flat[name].shape[1:] != tensor.shape[1:] or flat[name].dtype != tensor.dtype:
                raise ValueError(
                    f"saved {name!r} is {flat[name].dtype} {list(flat[name].shape)}, this agent's is "
                    f"{tensor.dtype} {list(tensor.shape)}: it was saved with other settings"
                )
        # cloned: a step may write its state in place, and the caller's tensors are his own
        tree = unflatten(tree, {name: tensor.clone().to(self.device) for name, tensor in flat.items()})
        self.state, self.wires, self.episode, self.born = tree["state"], tree["wires"], tree["episode"], tree["born"]
        self.batch = len(self.born)
        self.rows = torch.arange(self.batch, device=self.device)
        self.t, self.seed, self.stream, *self._clones = (int(v) for v in flat["clock"])
        self._rekey()

    # --- looking in and reaching in -----------------------------------------------------------------------------------

    def probe(self, topic: str) -> Probe:
        """Record a topic from now on; the module that writes it does not know."""
        self._check_topic(topic)
        probe = Probe(topic)
        self._probes.setdefault(topic, []).append(probe)
        self._rewrite()
        return probe

    def clamp(self, topic: str, value: Clamp) -> None:
        """Lesion or stimulate: readers see `value` in place of what the topic's writer says.

        A number, a tensor `[*shape]` or `[B, *shape]`, or a function of the message `[B, *shape]`, row by row.
        """
        self._check_topic(topic)
        signal = self.plan.topics[topic]
        if callable(value):
            # playing, the message is [T, B, *shape]: time is folded into the rows
            self._clamps[topic] = lambda x: value(x.flatten(0, -1 - len(signal.shape))).reshape(x.shape)
        else:
            given = torch.as_tensor(value)
            held = given.to(signal.dtype)
            if bool((held != given).any()) and not signal.dtype.is_floating_point:
                raise ValueError(f"{topic!r} cannot be clamped to {value}: it is {signal}, which does not hold that")
            if signal.values and bool(((held < 0) | (held >= signal.values)).any()):
                raise ValueError(
                    f"{topic!r} cannot be clamped to {value}: it takes the values 0 to {signal.values - 1}"
                )
            try:
                held.expand(self.batch, *signal.shape)
            except RuntimeError:
                raise ValueError(
                    f"{topic!r} cannot be clamped to a tensor {list(held.shape)}: "
                    f"it is {signal} for each of {self.batch} agents"
                ) from None
            self._clamps[topic] = lambda x: held.to(x.device).expand_as(x)
        self._rewrite()

    def release(self, topic: str) -> None:
        """Let a clamped topic speak again."""
        self._check_topic(topic)
        self._clamps.pop(topic, None)
        self._rewrite()

    def graph(self) -> nx.MultiDiGraph[str]:
        """The wiring: steps and the world as nodes; an edge a read, with `topic`, `delay` and `contract`."""
        graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
        graph.add_nodes_from(node.name for node in self.plan.order)  # also those that read nothing
        for node in self.plan.order:
            for read in node.reads.values():
                contract = str(self.plan.topics[read.topic])
                writer = self.plan.writer(read.topic)
                graph.add_edge(writer, node.name, topic=read.topic, delay=read.delay, contract=contract)
        return graph

    def reach(self) -> dict[str, tuple[str, ...]]:
        """Which loss can teach which module: loss topic -> modules with weights that its gradient reaches."""
        return reach(self.plan, {name: self.part(name) for name in self.parts})

    # --- whole walks --------------------------------------------------------------------------------------------------

    def play(self, walk: Messages, want: Iterable[str] | None = None) -> Messages:
        """Run recorded walks `[T, B, *shape]` at once; the same numbers as ticking, the same state after.

        Rows begin a new episode where `env/start` is true. With `want`, only the steps run that those topics (and the
        probed ones) depend on, the others' states stand still, and only those topics are returned; without, every
        topic, `[T, B, *shape]`. Raises WiringError where an `over_time` method does not return what its steps declare,
        ValueError for a walk that lacks a topic or holds no ticks.
        """
        if missing := [topic for topic in self.plan.inputs if topic not in walk]:
            raise ValueError(f"the walk lacks {missing[0]!r}; it holds {', '.join(walk) or 'nothing'}")
        starts = walk.get("env/start")
        length = len(next(iter(walk.values())))
        if not length:
            raise ValueError("a walk of 0 ticks cannot be played: give 1 or more")
        cuts = [0] if starts is None else [0, *(t for t in starts.flatten(1).any(1).nonzero().flatten().tolist() if t)]
        groups = self._needed(want)
        kept = None if want is None else set(want)
        pieces = []
        with self._weights_stand():
            for a, b in itertools.pairwise([*cuts, length]):
                if starts is not None:
                    self.restart(starts[a].flatten())
                piece = self._segment({topic: x[a:b] for topic, x in walk.items()}, groups, b - a)
                pieces.append({topic: x for topic, x in piece.items() if kept is None or topic in kept})
        return pieces[0] if len(pieces) == 1 else {k: torch.cat([piece[k] for piece in pieces]) for k in pieces[0]}

    def _needed(self, want: Iterable[str] | None) -> tuple[Group, ...]:
        if want is None:
            return self.plan.groups
        needed: set[str] = set()
        for topic in {*want, *self._probes}:
            self._check_topic(topic)
            if (writer := self.plan.writer(topic)) in self.plan.flow:
                needed |= {writer} | nx.ancestors(self.plan.flow, writer)
        return tuple(group for group in self.plan.groups if group.nodes[0].name in needed)

    def _segment(self, walk: Messages, groups: tuple[Group, ...], length: int) -> Messages:
        known = {topic: self._clamped(topic, x) for topic, x in walk.items()}
        clock = self.t - self.born + torch.arange(length, device=self.device).unsqueeze(1)  # [T, B]
        for group in groups:
            written = {topic for node in group.nodes for topic in node.step.writes}
            kind = group.kind
            if kind == "over_time" and any(
                read.topic in written and read.topic in self._clamps for n in group.nodes for read in n.reads.values()
            ):
                kind = "tick"  # the call cannot let its own steps see the clamped value
            if kind == "tick":
                self._tick_group(group, written, known, clock)
                continue
            args: dict[str, Tensor] = {}
            for node in group.nodes:
                args |= {
                    arg: self._delayed(known, read.topic, read.delay, read.grad)
                    for arg, read in node.reads.items()
                    if read.topic not in written
                }
                args |= self._noise(node, clock)
            module = group.nodes[0].module
            name = group.method or group.nodes[0].step.method
            method = getattr(self.part(module), name)
            with _blame(f"playing ticks {self.t} to {self.t + length - 1}, in {module}.{name}"):
                if kind == "over_time":
                    writes, self.state[module] = method(self.state[module], **args)
                else:
                    folded = method(**{arg: x.flatten(0, 1) for arg, x in args.items()})
                    writes = {topic: x.unflatten(0, (length, self.batch)) for topic, x in folded.items()}
                for topic in written:
                    self._check_played(f"{module}.{name}", topic, writes.get(topic), length)
            known |= {topic: self._clamped(topic, x) for topic, x in writes.items()}
        for topic, past in self.wires.items():
            if topic in known:
                self.wires[topic] = (*past, *known[topic][-len(past) :].unbind())[-len(past) :]
        self.t += length
        for topic, probes in self._probes.items():
            for probe in probes:
                probe.extend(known[topic])
        return known

    def _tick_group(self, group: Group, written: set[str], known: Messages, clock: Tensor) -> None:
        """Steps tied in a loop through time: tick only these; all that they read from outside is known."""
        said: dict[str, list[Tensor]] = {topic: list(self.wires.get(topic, ())) for topic in written}
        before = {topic: len(past) for topic, past in said.items()}
        outside = {
            (node.name, arg): self._delayed(known, read.topic, read.delay, read.grad)
            for node in group.nodes
            for arg, read in node.reads.items()
            if read.topic not in written
        }
        draws = {node.name: self._noise(node, clock) for node in group.nodes}
        for t in range(len(clock)):
            for node in group.nodes:
                args: dict[str, Any] = {arg: x[t] for arg, x in draws[node.name].items()}
                for arg, read in node.reads.items():
                    if read.topic in written:
                        x = said[read.topic][before[read.topic] + t - read.delay]
                        args[arg] = x if read.grad else x.detach()
                    else:
                        args[arg] = outside[node.name, arg][t]
                if node.step.imagines:
                    args["mind"] = Mind(self.parts, functools.partial(self._clone_at, t, said, before, known))
                method = getattr(self.parts[node.module], node.step.method)
                with _blame(f"at tick {self.t + t}, in {node.name}"):
                    if node.every > 1:
                        state = self.state[node.module] if node.step.state else None
                        writes, state = hold(node, clock[t], said, method, state, **args)
                        if node.step.state:
                            self.state[node.module] = state
                    elif node.step.state:
                        writes, self.state[node.module] = method(self.state[node.module], **args)
                    else:
                        writes = method(**args)
                    for topic, x in writes.items():
                        said[topic].append(self._clamped(topic, x))
        known |= {topic: torch.stack(messages[before[topic] :]) for topic, messages in said.items()}

    def _clone_at(self, t: int, said: Mapping[str, list[Tensor]], before: Mapping[str, int], known: Messages) -> Bus:
        """A clone in the midst of a played walk, as ticking would make it at tick `t` of this piece."""
        twin = self.clone()
        twin.t += t
        for topic, past in self.wires.items():
            depth = len(past)
            if topic in said:
                messages = said[topic][before[topic] + t - depth : before[topic] + t]
            else:
                messages = [*past, *known[topic][max(0, t - depth) : t]][-depth:]
            twin.wires[topic] = tuple(messages)
        return twin

    def _delayed(self, known: Messages, topic: str, delay: int, grad: bool) -> Tensor:
        x = known[topic]
        if delay:
            x = torch.cat([torch.stack(self.wires[topic][-delay:]), x])[: len(x)]
        return x if grad else x.detach()

    # --- small parts --------------------------------------------------------------------------------------------------

    @contextmanager
    def _weights_stand(self) -> Iterator[None]:
        """Modules keep what follows from their weights (`Module.once`)."""
        for name in self.parts:
            self.part(name)._kept = {}
        try:
            yield
        finally:
            for name in self.parts:
                self.part(name)._kept = None

    def part(self, name: str) -> Module:
        """The module of that role."""
        part = self.parts[name]
        assert isinstance(part, Module)
        return part

    def _check_topic(self, topic: str) -> None:
        if topic not in self.plan.topics:
            raise KeyError(f"no topic {topic!r}; {nearest(topic, self.plan.topics)}")

    def _clamped(self, topic: str, x: Tensor) -> Tensor:
        """A message `[T, B, *shape]` or `[B, *shape]` as readers see it."""
        return self._clamps[topic](x) if topic in self._clamps else x

    def _check_played(self, method: str, topic: str, x: Tensor | None, length: int) -> None:
        signal = self.plan.topics[topic]
        if x is None or x.shape != (length, self.batch, *signal.shape) or x.dtype != signal.dtype:
            made = "nothing" if x is None else f"{x.dtype} {list(x.shape)}"
            raise WiringError(
                f"{method} -> {topic!r}: declared {signal}, for {length} ticks of {self.batch} agents it made {made}; "
                "return what ticking would, with time in front"
            )

    def _noise(self, node: Node, clock: Tensor) -> dict[str, Tensor]:
        return {
            arg: noise.draw(spec, self.keys[f"{node.name}.{arg}"], self.rows, self.episode, clock)
            for arg, spec in node.step.noise.items()
        }

    def _rewrite(self) -> Tick:
        """Write `tick` anew: when built, when a probe or clamp is set, and by a clone without its probes."""
        self._tick: Tick | None = write_tick(self.plan, dict(self.parts.items()), self._clamps, self._probes, Mind)
        return self._tick

    def _rekey(self) -> None:
        names = [f"{node.name}.{arg}" for node in self.plan.order for arg in node.step.noise]
        self.keys = {name: noise.key(self.seed, name, self.stream) for name in names}


@contextmanager
def _blame(where: str) -> Iterator[None]:
    """Name the step in which an error arose, on the error itself."""
    try:
        yield
    except Exception as error:
        error.add_note(f"cogarch: {where}")
        raise
