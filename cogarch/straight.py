"""One tick written out as a straight-line function: no look-ups, no checks, the order fixed."""

from __future__ import annotations

import linecache
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from cogarch import noise
from cogarch.module import Messages
from cogarch.tree import share, where
from cogarch.wiring import Node, Plan

if TYPE_CHECKING:
    from cogarch.bus import Bus, Probe


class Tick:
    """The function, its source, and the step that each of its lines calls."""

    def __init__(
        self, source: str, scope: dict[str, Any], steps: dict[int, str], names: Mapping[str, str], plan: Plan
    ) -> None:
        self.source, self.steps, self.names, self.plan = source, steps, names, plan
        self.file = f"<tick {id(self):#x}>"
        linecache.cache[self.file] = (len(source), None, source.splitlines(True), self.file)
        exec(compile(source, self.file, "exec"), scope)
        self.run: Callable[[Bus, Messages], Messages] = scope["tick"]

    def __call__(self, bus: Bus, inputs: Messages) -> Messages:
        return self.run(bus, inputs)

    def __del__(self) -> None:
        linecache.cache.pop(self.file, None)

    def blame(self, error: BaseException, t: int) -> None:
        """Name, on the error itself, the step in which it arose, and who misled it by a message of the wrong kind."""
        for frame, line in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename != self.file:
                continue
            text = linecache.getline(self.file, line).strip()
            error.add_note(f"cogarch: at tick {t}, in {self.steps.get(line, 'the bus')}: {text}")
            for topic, signal in self.plan.topics.items():
                x = frame.f_locals.get(self.names[topic])
                if isinstance(x, Tensor) and (x.shape[1:] != signal.shape or x.dtype != signal.dtype):
                    made = f"{str(x.dtype).removeprefix('torch.')} {list(x.shape[1:])}"
                    error.add_note(f"cogarch: {topic!r} is declared {signal}; {self.plan.writer(topic)} made {made}")
                    break


def hold(
    node: Node,
    age: Tensor,
    last: Mapping[str, Sequence[Tensor]],
    method: Callable[..., Any],
    state: Any,
    **args: Tensor,
) -> tuple[Messages, Any]:
    """A step of a slow module: the rows whose turn it is at `age` `[B]` run, the others hold what they said last."""
    due = age % node.every == 0
    held = {topic: last[topic][-1] for topic in node.step.writes}
    if not bool(due.any()):
        return held, state
    if not node.step.state:
        return where(due, method(**args), held), None
    writes, moved = method(share(state), **args)
    return where(due, writes, held), where(due, moved, state)


def write_tick(
    plan: Plan,
    parts: Mapping[str, Any],
    clamps: Mapping[str, Callable[[Tensor], Tensor]],
    probes: Mapping[str, list[Probe]],
    mind: Callable[..., object],
) -> Tick:
    """The source of `tick(bus, inputs)` for this plan, compiled; `mind` makes what a step that imagines is handed."""
    scope: dict[str, Any] = {"draw": noise.draw, "hold": hold, "mind": mind}
    lines = ["def tick(bus, inputs):", "    state, wires = bus.state, bus.wires"]
    steps: dict[int, str] = {}
    # numbered, for two topics may differ only in what no Python name can hold
    names = {topic: f"m{i}_" + re.sub(r"\W", "_", topic, flags=re.ASCII) for i, topic in enumerate(plan.topics)}

    def say(line: str, step: str = "") -> None:
        lines.append("    " + line)
        if step:
            steps[len(lines)] = step

    def clamp(topic: str, holder: str) -> None:
        if topic in clamps:
            scope["clamp_" + names[topic]] = clamps[topic]
            m = names[topic]
            say(f"{m} = {holder}[{topic!r}] = clamp_{m}({m})", f"the clamp of {topic!r}")

    if any(topic in clamps for topic in plan.inputs):
        say("inputs = dict(inputs)")
    for topic in plan.inputs:
        say(f"{names[topic]} = inputs[{topic!r}]", "the world's messages")
        clamp(topic, "inputs")
    stateful = sorted({node.module for node in plan.order if node.step.state})
    for module in stateful:
        say(f"s_{module} = state[{module!r}]")
    if any(node.step.noise for node in plan.order):
        say("keys, rows, episode, age = bus.keys, bus.rows, bus.episode, bus.t - bus.born")
    for i, node in enumerate(plan.order):
        call = f"{node.module}_{node.step.method}_{i}"
        scope[call] = getattr(parts[node.module], node.step.method)
        args = ["s_" + node.module] if node.step.state else []
        for arg, read in node.reads.items():
            value = f"wires[{read.topic!r}][-{read.delay}]" if read.delay else names[read.topic]
            args.append(f"{arg}={value}" + ("" if read.grad else ".detach()"))
        for arg, spec in node.step.noise.items():
            scope[f"{call}_{arg}"] = spec
            args.append(f"{arg}=draw({call}_{arg}, keys['{node.name}.{arg}'], rows, episode, age)")
        if node.step.imagines:  # a clone holds what each module holds now
            for module in stateful:
                say(f"state[{module!r}] = s_{module}")
            args.append("mind=mind(bus.parts, bus.clone)")
        result = f"w{i}, s_{node.module}" if node.step.state else f"w{i}"
        if node.every > 1:
            scope[f"slow_{call}"] = node
            args = [f"slow_{call}", "bus.t - bus.born", "wires", call, *(args if node.step.state else ["None", *args])]
            call, result = "hold", f"w{i}, s_{node.module}" if node.step.state else f"w{i}, _"
        say(f"{result} = {call}({', '.join(args)})", node.name)
        for topic in node.step.writes:
            say(f"{names[topic]} = w{i}[{topic!r}]", f"{node.name}, which should write {topic!r}")
            clamp(topic, f"w{i}")
    for topic in plan.depth:
        say(f"wires[{topic!r}] = (*wires[{topic!r}][1:], {names[topic]})")
    for topic, listeners in probes.items():
        for j, probe in enumerate(listeners):
            scope[f"probe{j}_{names[topic]}"] = probe.extend
            say(f"probe{j}_{names[topic]}({names[topic]}.unsqueeze(0))", f"a probe of {topic!r}")
    for module in stateful:
        say(f"state[{module!r}] = s_{module}")
    say("bus.t += 1")
    say("return {" + ", ".join(["**inputs", *(f"**w{i}" for i in range(len(plan.order)))]) + "}")
    return Tick("\n".join(lines) + "\n", scope, steps, names, plan)
