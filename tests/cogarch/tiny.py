"""Small agents, quiet consoles and planted modules that the tests of running, learning and the command line share."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from rich.console import Console
from torch import Tensor, nn

import agents
from cogarch import Agent, Module, Noise, Read, Signal, Step
from cogarch.executive.explorer import Explorer
from cogarch.lec.one_hot import OneHot
from cogarch.mec.rotor import Rotor
from cogarch.module import Messages, State


def learner(**training: Any) -> Agent:
    """The agent that learns its displacements, with a small rotor; 20 updates of 4 walks of 20 ticks unless told."""
    agent = agents.load("learner").change("mec", modules=2, cells=8)
    small = {"updates": 20, "batch": 4, "steps": 20, "options": {"width": 4}, **training}
    modules = {"hc": {"capacity": small["steps"], "merge": 0.0, "beta": 15.0}}
    return agent.model_copy(update={"training": agent.training.model_copy(update={"modules": modules, **small})})


def planted(mec: str) -> Agent:
    """The same with one of the rotors below."""
    return learner().change("mec", use=f"tiny:{mec}")


def quiet() -> Console:
    """A console of 80 columns that keeps what is printed; `said` gives it."""
    return Console(file=io.StringIO())


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class Counted(Rotor):
    """A rotor that counts the walks that it integrates: one an update, from 0."""

    walks: ClassVar[int] = 0

    def integrate(self, state: State, **reads: Tensor) -> tuple[Messages, State]:
        n = type(self).walks
        type(self).walks += 1
        return self.corrupt(n, *super().integrate(state, **reads))

    def corrupt(self, n: int, said: Messages, state: State) -> tuple[Messages, State]:
        return said, state


class SaysNaN(Counted):
    """From the 14th update on, its code is not a number from tick 3 on."""

    def corrupt(self, n: int, said: Messages, state: State) -> tuple[Messages, State]:
        if n >= 13:
            g = said["mec/g"].clone()
            g[3:] = float("nan")
            said = said | {"mec/g": g}
        return said, state


class NaNGradient(Counted):
    """From the 14th update on, the gradient of its scales is not a number, and every message is."""

    def corrupt(self, n: int, said: Messages, state: State) -> tuple[Messages, State]:
        if n >= 13:
            nothing = (self.log_scale.sum() * 0).abs().sqrt()  # 0, with the slope of a square root there
            said = {topic: x + nothing for topic, x in said.items()}
        return said, state


class Interrupted(Counted):
    """Ctrl-C is pressed within the 8th update, `presses` times."""

    presses: ClassVar[int] = 1

    def corrupt(self, n: int, said: Messages, state: State) -> tuple[Messages, State]:
        for _ in range(self.presses if n == 7 else 0):
            os.kill(os.getpid(), signal.SIGINT)
        return said, state


class Remembers(Interrupted):
    """Counts the walks that it learned from in a buffer, and is interrupted."""

    def __init__(
        self, topics: Mapping[str, Signal], *, motion: Literal["given", "learned"], modules: int, cells: int
    ) -> None:
        super().__init__(topics, motion=motion, modules=modules, cells=cells)
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros(()))

    def integrate(self, state: State, **reads: Tensor) -> tuple[Messages, State]:
        self.seen += 1
        return super().integrate(state, **reads)


class Drawing(OneHot):
    """Keeps the noise that it was given in each update."""

    drawn: ClassVar[list[Tensor]] = []

    def steps(self) -> list[Step]:
        *first, compare = super().steps()
        return [*first, Step(compare.method, compare.reads, compare.writes, {"u": Noise((2,))})]

    def compare(self, x: Tensor, x_predicted: Tensor, u: Tensor) -> Messages:  # type: ignore[override]
        if not torch.is_inference(u) and torch.is_grad_enabled() and u.device.type != "meta":
            self.drawn.append(u.clone())
        return super().compare(x, x_predicted)


class Weightless(Module):
    """A code that does not change, and nothing to learn."""

    role = "mec"

    def __init__(self, topics: Mapping[str, Signal]) -> None:
        super().__init__()

    def steps(self) -> list[Step]:
        g = Signal((3,))
        return [Step("stand", {"bump": "env/bump"}, {"mec/g_path": g, "mec/g": g})]

    def stand(self, bump: Tensor) -> Messages:
        g = torch.ones(len(bump), 3, device=bump.device)
        return {"mec/g_path": g, "mec/g": g}


class Unreached(Module):
    """A world model to whose weight no loss leads."""

    role = "world"

    def __init__(self, topics: Mapping[str, Signal]) -> None:
        super().__init__()
        self.idle = nn.Parameter(torch.tensor(3.0))

    def steps(self) -> list[Step]:
        return [Step("imagine", {"g": "mec/g"}, {"world/surprise": Signal()})]

    def imagine(self, g: Tensor) -> Messages:
        return {"world/surprise": self.idle * g[:, :1]}


class Tires(Explorer):
    """Ctrl-C is pressed after `left` choices."""

    left: ClassVar[int] = 0

    def __init__(self, topics: Mapping[str, Signal]) -> None:
        super().__init__(topics, policy="uniform")

    def any(self, u: Tensor) -> Messages:
        if u.device.type != "meta":
            if not type(self).left:
                raise KeyboardInterrupt
            type(self).left -= 1
        return super().any(u)


class OutOfRange(Explorer):
    """After 5 moves, an action that no world of squares has."""

    def __init__(self, topics: Mapping[str, Signal]) -> None:
        super().__init__(topics, policy="uniform")

    def steps(self) -> list[Step]:
        return [Step("choose", {"u": "env/bump"}, {"executive/action": Signal(dtype=torch.int64)}, state=True)]

    def init(self, batch: int) -> State:
        return {"moves": torch.zeros(batch, 1, dtype=torch.int64)}

    def choose(self, state: State, u: Tensor) -> tuple[Messages, State]:
        moves = state["moves"]
        return {"executive/action": torch.where(moves < 5, 0 * moves, 9)}, {"moves": moves + 1}


class Slotless(Module):
    """A memory that remembers nothing and has no slots."""

    role = "hc"

    def __init__(self, topics: Mapping[str, Signal]) -> None:
        super().__init__()
        self.x = topics["lec/x"]

    def steps(self) -> list[Step]:
        return [Step("recall", {"x": Read("lec/x", delay=1)}, {"hc/recalled_x": self.x})]

    def recall(self, x: Tensor) -> Messages:
        return {"hc/recalled_x": x}


class NaNFromTheFirst(Counted):
    """Its code is never a number."""

    def corrupt(self, n: int, said: Messages, state: State) -> tuple[Messages, State]:
        return {topic: x * float("nan") for topic, x in said.items()}, state
