"""From modules to a plan: who writes what, in which order, proved once. Mistakes are told here, none while ticking."""

from __future__ import annotations

import copy
import difflib
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import networkx as nx
import torch
from torch import Tensor

from cogarch.module import ROLES, SCORING_ONLY, Module, Read, Signal, Step
from cogarch.tree import leaves


class WiringError(ValueError):
    """Modules that do not fit together; the text names both ends, what each expects, and the mend."""


@dataclass(frozen=True)
class Node:
    """A step of a module on a bus; `name` is `module.method`."""

    module: str
    step: Step
    reads: Mapping[str, Read]
    every: int = 1

    @property
    def name(self) -> str:
        return f"{self.module}.{self.step.method}"


@dataclass(frozen=True)
class Group:
    """Steps that `play` runs together: `fold` (time into the batch), `over_time` (one call of `method`), `tick`."""

    nodes: tuple[Node, ...]
    kind: str
    method: str = ""


@dataclass(frozen=True)
class Plan:
    """What the wiring proved: contracts, the order of a tick, the groups of a play, how many past messages to keep."""

    topics: Mapping[str, Signal]
    inputs: tuple[str, ...]
    order: tuple[Node, ...]
    depth: Mapping[str, int]
    groups: tuple[Group, ...]
    flow: nx.DiGraph[str]
    """An edge for every way, also through time or state, in which a step depends on another."""

    def writer(self, topic: str) -> str:
        return next((n.name for n in self.order if topic in n.step.writes), "the world")


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that suggests names like `name`, or lists what there is."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        likeness = [difflib.SequenceMatcher(None, name, other).ratio() for other in close]
        close = [other for other, ratio in zip(close, likeness, strict=True) if ratio > likeness[0] - 0.25]
        return "did you mean " + " or ".join(repr(c) for c in close) + "?"
    return "there is " + (", ".join(known) if known else "none") + "."


def wire(inputs: Mapping[str, Signal], modules: Mapping[str, Module]) -> Plan:
    """Prove that the modules fit and plan their tick and play. Raises WiringError."""
    nodes: dict[str, Node] = {}
    topics, writer = dict(inputs), dict.fromkeys(inputs, "the world")
    for name in sorted(modules):
        if not name.isidentifier():
            raise WiringError(f"a module cannot be called {name!r}: letters, digits and _ only, such as 'hc'")
        _check_methods(name, modules[name])
        for step in modules[name].steps():
            node = Node(name, step, step.subscriptions, modules[name].every)
            if node.every < 1:
                raise WiringError(f"{name} runs every {node.every} ticks; a rate is 1 or more")
            if node.name in nodes:
                raise WiringError(f"{node.name} is listed as two steps; make one of them, or two methods")
            if both := sorted(step.reads.keys() & step.noise.keys()):
                raise WiringError(f"{node.name} takes a read and a noise by one name, {both[0]!r}; rename one of them")
            nodes[node.name] = node
            for topic, signal in step.writes.items():
                if topic in writer:
                    raise WiringError(
                        f"{topic!r} is written by both {writer[topic]} and {node.name}; "
                        "a topic has one writer: take one of them out, or write to a topic of another name"
                    )
                topics[topic], writer[topic] = signal, node.name
    _check_objectives(modules, topics, writer)
    nodes = {name: _without_missing(node, topics) for name, node in nodes.items()}
    depth = _check_reads(nodes.values(), topics, writer)
    order = _order(nodes, modules, writer)
    for node in order:
        if not node.step.imagines:  # who imagines is proved on the bus
            prove(node, modules[node.module], topics)
    flow = _flow(order, writer)
    return Plan(topics, tuple(inputs), order, depth, _groups(order, flow, modules), flow)


def _check_objectives(modules: Mapping[str, Module], topics: Mapping[str, Signal], writer: Mapping[str, str]) -> None:
    """Losses of whole walks have a writer each, and read what is there."""
    taken = dict(writer)
    for name, module in modules.items():
        for topic, objective in module.objectives().items():
            where = f"{name}.{objective.method} -> {topic!r}"
            if topic in taken or not topic.startswith("loss/"):
                raise WiringError(f"{where}: an objective is a topic loss/* of its own; name it otherwise")
            taken[topic] = name
            if not callable(getattr(module, objective.method, None)):
                raise WiringError(f"{where}: {type(module).__name__} has no method {objective.method!r}")
            if both := sorted(objective.reads.keys() & objective.noise.keys()):
                raise WiringError(f"{where} takes a read and a noise by one name, {both[0]!r}; rename one of them")
            for arg, read in objective.subscriptions.items():
                at = f"{where} reads {read.topic!r}"
                if read.topic in SCORING_ONLY:
                    raise WiringError(f"{at}, which carries the truth for scores and figures; read what agents sense")
                if read.topic not in topics:
                    near = nearest(read.topic, topics.keys() - set(SCORING_ONLY))
                    raise WiringError(f"{at}, which nobody writes; {near} Change the read {arg!r}")
                if read.delay:
                    raise WiringError(f"{at} with delay {read.delay}; it has the whole walk: shift it in the method")


def _without_missing(node: Node, topics: Mapping[str, Signal]) -> Node:
    """The node without the optional reads that nobody writes."""
    return replace(node, reads={a: r for a, r in node.reads.items() if r.topic in topics or not r.optional})


def _check_methods(name: str, module: Module) -> None:
    """Every method that the module names exists, and `over_time` runs steps that it has."""
    known = [step.method for step in module.steps()]
    for steps, method in [*(((step,), step) for step in known), *module.over_time.items()]:
        if unknown := [step for step in steps if step not in known]:
            raise WiringError(f"{name}: over_time runs {unknown[0]!r}, which is no step; {nearest(unknown[0], known)}")
        if not callable(getattr(module, method, None)):
            raise WiringError(f"{name}.{method}: {type(module).__name__} has no method {method!r}")


def _check_reads(nodes: Iterable[Node], topics: Mapping[str, Signal], writer: Mapping[str, str]) -> dict[str, int]:
    depth: dict[str, int] = {}
    for node in nodes:
        for arg, read in node.reads.items():
            at = f"{node.name}({arg})"
            if read.topic in SCORING_ONLY:
                raise WiringError(
                    f"{at} reads {read.topic!r}, which carries the truth for scores and figures only; "
                    "read what the agent can sense: env/observation, env/motion, env/bump"
                )
            if read.topic not in topics:
                role = read.topic.partition("/")[0]
                absent = role in ROLES and not any(topic.startswith(role + "/") for topic in topics)
                mend = f"give the agent a module in the role {role}" if absent else "Add a module that writes it"
                near = "" if absent else nearest(read.topic, topics) + " "
                raise WiringError(f"{at} reads {read.topic!r}, which nobody writes; {near}{mend}, or change the read")
            if read.delay < 0:
                raise WiringError(f"{at} reads {read.topic!r} with delay {read.delay}; the future is not to be had")
            signal = topics[read.topic]
            for what in ("shape", "dtype", "unit"):
                wanted, made = getattr(read, what), getattr(signal, what)
                if wanted is not None and wanted != made:
                    raise WiringError(
                        f"{read.topic!r} does not fit: {writer[read.topic]} writes {signal}, "
                        f"{at} takes {what} {wanted!r}; change the {what} of one of the two ends"
                    )
            depth[read.topic] = max(depth.get(read.topic, 0), read.delay)
        if node.every > 1:  # what it said last is kept, to be held between its ticks
            depth |= {topic: max(depth.get(topic, 0), 1) for topic in node.step.writes}
    return {topic: d for topic, d in depth.items() if d}


def _order(nodes: Mapping[str, Node], modules: Mapping[str, Module], writer: Mapping[str, str]) -> tuple[Node, ...]:
    """Topological, ties by name: the order in which modules were given can never matter."""
    within: nx.DiGraph[str] = nx.DiGraph()
    within.add_nodes_from(nodes)
    for name, node in nodes.items():
        for read in node.reads.values():
            if read.delay == 0 and writer[read.topic] in nodes:
                within.add_edge(writer[read.topic], name, topic=read.topic)
    for name, module in modules.items():  # steps that share a state run in the order in which the module lists them
        stateful = [f"{name}.{step.method}" for step in module.steps() if step.state]
        for first, second in itertools.pairwise(stateful):
            within.add_edge(first, second, topic="its state")
    try:
        return tuple(nodes[name] for name in nx.lexicographical_topological_sort(within))
    except nx.NetworkXUnfeasible:
        cycle = nx.find_cycle(within)
        way = "; ".join(f"{b} reads {within.edges[a, b]['topic']!r} of {a}" for a, b in cycle)
        raise WiringError(f"cycle without delay: {way}. Let one of these reads take an earlier tick: delay=1") from None


def _flow(order: tuple[Node, ...], writer: Mapping[str, str]) -> nx.DiGraph[str]:
    flow: nx.DiGraph[str] = nx.DiGraph()
    flow.add_nodes_from(node.name for node in order)
    for node in order:
        for read in node.reads.values():
            if writer[read.topic] in flow:
                flow.add_edge(writer[read.topic], node.name)
        if node.step.state:
            flow.add_edges_from((node.name, o.name) for o in order if o.module == node.module and o.step.state)
        if node.step.imagines:  # with what every other module holds at that tick
            others = [o.name for o in order if o.step.state and o is not node]
            flow.add_edges_from([*((node.name, o) for o in others), *((o, node.name) for o in others)])
    return flow


def _groups(order: tuple[Node, ...], flow: nx.DiGraph[str], modules: Mapping[str, Module]) -> tuple[Group, ...]:
    """The strongly connected parts of the flow, in order: what is tied in a loop through time stays together."""
    parts = nx.condensation(flow)
    groups = []
    for part in nx.lexicographical_topological_sort(parts, key=lambda p: min(parts.nodes[p]["members"])):
        members = parts.nodes[part]["members"]
        nodes = tuple(node for node in order if node.name in members)
        owners = {node.module for node in nodes}
        methods = {frozenset(steps): method for steps, method in modules[nodes[0].module].over_time.items()}
        method = methods.get(frozenset(node.step.method for node in nodes), "") if len(owners) == 1 else ""
        slow = any(node.every > 1 for node in nodes)
        if method and not slow:
            _check_shared_names(nodes, method)
            groups.append(Group(nodes, "over_time", method))
        elif len(nodes) == 1 and not slow and not flow.has_edge(nodes[0].name, nodes[0].name):
            groups.append(Group(nodes, "fold"))
        else:
            groups.append(Group(nodes, "tick"))
    return tuple(groups)


def reach(plan: Plan, modules: Mapping[str, Module]) -> dict[str, tuple[str, ...]]:
    """Loss topic -> the modules with weights that its gradient can reach: across float reads that do not decline it.

    Losses of single ticks, and of whole walks (`Module.objectives`).
    """
    back: nx.DiGraph[str] = nx.DiGraph()
    for node in plan.order:
        back.add_node(node.name)
        for read in node.reads.values():
            if read.grad and plan.topics[read.topic].dtype.is_floating_point:
                back.add_edge(plan.writer(read.topic), node.name)
        if node.step.state:
            back.add_edges_from((node.name, o.name) for o in plan.order if o.module == node.module and o.step.state)
    learning = {name for name, module in modules.items() if any(p.requires_grad for p in module.parameters())}
    found = {}
    for node in plan.order:
        for topic in node.step.writes:
            if topic.startswith("loss/"):
                behind = {name.partition(".")[0] for name in {node.name} | nx.ancestors(back, node.name)}
                found[topic] = tuple(sorted(behind & learning))
    for name, module in modules.items():
        for topic, objective in module.objectives().items():
            behind = {name}
            for read in objective.subscriptions.values():
                writer = plan.writer(read.topic)
                if read.grad and plan.topics[read.topic].dtype.is_floating_point and writer in back:
                    behind |= {n.partition(".")[0] for n in {writer} | nx.ancestors(back, writer)}
            found[topic] = tuple(sorted(behind & learning))
    return found


def _check_shared_names(nodes: tuple[Node, ...], method: str) -> None:
    taken: dict[str, Read | str] = {}
    for node in nodes:
        noise = dict.fromkeys(node.step.noise, f"a noise of {node.name}")  # two steps never share one
        named: dict[str, Read | str] = {**node.reads, **noise}
        for arg, what in named.items():
            if taken.setdefault(arg, what) != what:
                one, other = (x.topic if isinstance(x, Read) else x for x in (taken[arg], what))
                raise WiringError(
                    f"{node.module}.{method} runs steps that call two things by one name, {arg!r}: "
                    f"{one!r} and {other!r}; give them different names"
                )


# --- the proof of one step ------------------------------------------------------------------------------------------


def prove(node: Node, module: Module, topics: Mapping[str, Signal], mind: object = None) -> None:
    """Run the step once: on meta tensors (nothing is computed), or on real zeros where it branches on values or
    imagines (with a bus of two agents)."""
    try:
        if mind is not None:
            raise NotImplementedError("what other modules hold is not on meta tensors")
        with torch.device("meta"):
            shadow = copy.deepcopy(module).to("meta")
            writes, made, kept = _call(node, shadow, topics, torch.empty, {})
    except Exception:
        device = next((p.device for p in module.parameters()), torch.device("cpu"))
        try:
            with torch.no_grad(), device:
                writes, made, kept = _call(node, module, topics, torch.zeros, {} if mind is None else {"mind": mind})
        except Exception as error:
            got = ", ".join(f"{arg} = {read.topic!r} {topics[read.topic]}" for arg, read in node.reads.items())
            raise WiringError(f"{node.name} fails on {got or 'no reads'}: {type(error).__name__}: {error}") from error
    _check_writes(node, writes)
    for path, x in made.items():
        if x.shape[:1] != (2,):
            raise WiringError(
                f"{node.module}.init(2) makes {path!r} as {_kind(x)}; state has one row an agent: [2, ...]"
            )
    for path in sorted(made.keys() | kept.keys()):
        a, b = made.get(path), kept.get(path)
        if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
            raise WiringError(
                f"{node.name} gives its state back changed in kind: {path!r} was {_kind(a)}, came back {_kind(b)}; "
                "a step returns the same tensors, in shape and dtype, that init() makes"
            )


def _call(
    node: Node,
    module: Module,
    topics: Mapping[str, Signal],
    make: Callable[..., Tensor],
    also: Mapping[str, object],
) -> tuple[Any, dict[str, Tensor], dict[str, Tensor]]:
    """What the step wrote, the state that it was given and the state that it gave back (both flat)."""
    signals = {arg: topics[read.topic] for arg, read in node.reads.items()}
    args: dict[str, Any] = {arg: make(2, *signal.shape, dtype=signal.dtype) for arg, signal in signals.items()}
    args |= also
    args |= {arg: torch.full((2, *spec.shape), 0.5) for arg, spec in node.step.noise.items()}
    method = getattr(module, node.step.method)
    if not node.step.state:
        return method(**args), {}, {}
    state = module.init(2)
    made = dict(leaves(state))  # now: the step may change the dictionary itself
    out = method(state, **args)
    if not (isinstance(out, tuple) and len(out) == 2):
        raise TypeError(f"a step with state returns (writes, state); it returned a {type(out).__name__}")
    return out[0], made, dict(leaves(out[1]))


def _check_writes(node: Node, writes: object) -> None:
    if not isinstance(writes, dict):
        raise WiringError(f"{node.name} returned a {type(writes).__name__}; a step returns a dictionary of its writes")
    declared = node.step.writes
    if missing := sorted(declared.keys() - writes.keys()):
        raise WiringError(f"{node.name} declares {missing[0]!r} and did not return it; it returned {sorted(writes)}")
    if extra := sorted(writes.keys() - declared.keys()):
        raise WiringError(f"{node.name} returned {extra[0]!r}, which it does not declare; add it to the step's writes")
    for topic, signal in declared.items():
        x = writes[topic]
        if not isinstance(x, Tensor) or tuple(x.shape) != (2, *signal.shape) or x.dtype != signal.dtype:
            raise WiringError(
                f"{node.name} -> {topic!r}: declared {signal} for each agent, made {_kind(x)} for 2 agents; "
                "change the declared Signal or what the step returns"
            )


def _kind(x: object) -> str:
    if isinstance(x, Tensor):
        return f"{str(x.dtype).removeprefix('torch.')} {list(x.shape)}"
    return "nothing" if x is None else f"a {type(x).__name__}"
