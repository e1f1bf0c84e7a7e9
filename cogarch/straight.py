"""One tick written out as a straight-line function: no look-ups, no checks, the order fixed. At most 1.05 times by hand."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from cogarch import noise
from cogarch.module import Messages
from cogarch.wiring import Plan

if TYPE_CHECKING:
    from cogarch.bus import Bus, Probe


class Tick:
    """The function, its source, and the step that each of its lines calls."""

    def __init__(self, source: str, scope: dict[str, Any], steps: dict[int, str]) -> None:
        self.source, self.steps = source, steps
        self.file = f"<tick {id(self):#x}>"
        linecache.cache[self.file] = (len(source), None, source.splitlines(True), self.file)
        exec(compile(source, self.file, "exec"), scope)
        self.run: Callable[[Bus, Messages], Messages] = scope["tick"]

    def __call__(self, bus: Bus, inputs: Messages) -> Messages:
        return self.run(bus, inputs)

    def __del__(self) -> None:
        linecache.cache.pop(self.file, None)

    def blame(self, error: BaseException, t: int) -> None:
        """Name the step in which an error arose, on the error itself."""
        for frame in traceback.extract_tb(error.__traceback__):
            if frame.filename == self.file:
                where = self.steps.get(frame.lineno or 0, "the world's messages")
                error.add_note(f"cogarch: at tick {t}, in {where}: {frame.line}")


def write_tick(
    plan: Plan,
    parts: Mapping[str, Any],
    clamps: Mapping[str, Callable[[Tensor], Tensor]],
    probes: Mapping[str, list[Probe]],
) -> Tick:
    """The source of `tick(bus, inputs)` for this plan, compiled."""
    scope: dict[str, Any] = {"draw": noise.draw}
    lines = ["def tick(bus, inputs):", "    state, wires = bus.state, bus.wires"]
    steps: dict[int, str] = {}
    if any(topic in clamps for topic in plan.inputs):
        lines.append("    inputs = dict(inputs)")
    for topic in plan.inputs:
        lines.append(f"    {_name(topic)} = inputs[{topic!r}]")
        lines += _clamp(topic, "inputs", clamps, scope)
    stateful = sorted({node.module for node in plan.order if node.step.state})
    lines += [f"    s_{module} = state[{module!r}]" for module in stateful]
    if any(node.step.noise for node in plan.order):
        lines.append("    keys, rows, episode, age = bus.keys, bus.rows, bus.episode, bus.t - bus.born")
    for i, node in enumerate(plan.order):
        call = f"{node.module}_{node.step.method}"
        scope[call] = getattr(parts[node.module], node.step.method)
        args = ["s_" + node.module] if node.step.state else []
        for arg, read in node.reads.items():
            value = f"wires[{read.topic!r}][-{read.delay}]" if read.delay else _name(read.topic)
            args.append(f"{arg}={value}" + ("" if read.grad else ".detach()"))
        for arg, spec in node.step.noise.items():
            scope[f"{call}_{arg}"] = spec
            args.append(f"{arg}=draw({call}_{arg}, keys['{node.name}.{arg}'], rows, episode, age)")
        result = f"w{i}, s_{node.module}" if node.step.state else f"w{i}"
        lines.append(f"    {result} = {call}({', '.join(args)})")
        steps[len(lines)] = node.name
        for topic in node.step.writes:
            lines.append(f"    {_name(topic)} = w{i}[{topic!r}]")
            steps[len(lines)] = f"{node.name}, which should write {topic!r}"
            lines += _clamp(topic, f"w{i}", clamps, scope)
    for topic in plan.depth:
        lines.append(f"    wires[{topic!r}] = (*wires[{topic!r}][1:], {_name(topic)})")
    for topic, listeners in probes.items():
        for j, probe in enumerate(listeners):
            scope[f"probe{j}_{_name(topic)}"] = probe.extend
            lines.append(f"    probe{j}_{_name(topic)}({_name(topic)}.unsqueeze(0))")
    lines += [f"    state[{module!r}] = s_{module}" for module in stateful]
    lines.append("    bus.t += 1")
    lines.append("    return {" + ", ".join(["**inputs", *(f"**w{i}" for i in range(len(plan.order)))]) + "}")
    return Tick("\n".join(lines) + "\n", scope, steps)


def _name(topic: str) -> str:
    return "m_" + "".join(c if c.isalnum() else "_" for c in topic)


def _clamp(topic: str, holder: str, clamps: Mapping[str, Any], scope: dict[str, Any]) -> list[str]:
    if topic not in clamps:
        return []
    scope[f"clamp_{_name(topic)}"] = clamps[topic]
    return [f"    {_name(topic)} = {holder}[{topic!r}] = clamp_{_name(topic)}({_name(topic)})"]
