"""The conformance suite: our modules pass every clause, and each planted fault fails its own and no other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cogarch import Module, Noise, Read, Signal, Step
from cogarch.check import Verdict, check_module, example_contracts
from cogarch.executive.explorer import Explorer
from cogarch.hc.hebbian import Hebbian
from cogarch.hc.modern_hopfield import ModernHopfield
from cogarch.lec.fly_hash import FlyHash
from cogarch.lec.one_hot import OneHot
from cogarch.lec.two_hot import TwoHot
from cogarch.mec.recurrent import Recurrent
from cogarch.mec.rotor import Rotor
from cogarch.mec.tem import TEM
from cogarch.mec.tem_t import TEMt
from cogarch.module import Messages, State
from cogarch.world.jepa import Jepa

CLAUSES = [
    "truth", "contracts", "seeded", "messages", "rows", "restart", "clone", "round trip", "tick = play", "gradients",
    "ahead", "device",
]  # fmt: skip
EGOCENTRIC = "turn, advance"


# --- our modules pass -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("motion", ["dx, dy", EGOCENTRIC])
@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (OneHot, {}),
        (FlyHash, {}),
        (TwoHot, {}),
        (TwoHot, {"filters": [0.5], "units": 11}),
        (TEM, {"modules": [9, 8, 7]}),
        (TEM, {"modules": [12, 12], "sigma": "exp", "still": "learned", "hierarchical": False, "gate": 0.5}),
        (TEMt, {}),
        (Recurrent, {}),
        (Hebbian, {}),
        (Hebbian, {"window": 3, "subsample": 4, "eta": 1.0}),
        (Hebbian, {"plain": True, "subsample": 6}),
        (Rotor, {}),
        (Rotor, {"motion": "learned", "modules": 2, "cells": 7, "heading_cells": 5}),
        (Rotor, {"modules": 1, "heading_cells": 0}),
        (Rotor, {"lattice": "free", "motion": "learned"}),
        (ModernHopfield, {}),
        (ModernHopfield, {"capacity": 5, "recall_g": True, "learn_beta": True}),
        (ModernHopfield, {"capacity": 1}),
        (ModernHopfield, {"capacity": 4, "merge": 0.9, "recall_g": True}),
        (ModernHopfield, {"capacity": 5, "landmark": 20.0, "growth": 0.46}),
        (ModernHopfield, {"capacity": 5, "landmark": 20.0, "merge": 0.9}),
        (Jepa, {}),
        (Jepa, {"predictor": "gru", "moved_by": "motion"}),
        (Jepa, {"predictor": "transformer", "hidden": 16}),
        (Jepa, {"target": "momentum", "ensemble": 3}),
        (Explorer, {}),
        (Explorer, {"policy": "uniform"}),
        (Explorer, {"policy": "least_familiar"}),
        (Explorer, {"persistence": 1.0}),
    ],
    ids=lambda x: x.__name__ if isinstance(x, type) else ",".join(f"{k}={v}" for k, v in x.items()) or "-",
)
def test_our_modules_pass(cls: type[Module], settings: dict[str, Any], motion: str) -> None:
    made = partial(cls, **settings)
    made.role = cls.role  # type: ignore[attr-defined]
    verdicts = check_module(made, example_contracts(motion))
    assert [v.clause for v in verdicts] == CLAUSES
    assert [
        (v.clause, v.text)
        for v in verdicts
        if v.passed is not True and v.text != "no GPU here" and "too few cells" not in v.text
    ] == []


# --- planted faults ---------------------------------------------------------------------------------------------------

G = Signal((24,))


class Sound(Module):
    """A leaky integrator of the sensory code through learned weights, with noise: it passes. The faults are planted
    in its children."""

    role = "mec"
    over_time = {("move",): "integrate"}

    def __init__(self, topics: Mapping[str, Signal]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(45, 24) / 7)

    def steps(self) -> list[Step]:
        return [Step("move", {"x": "lec/x"}, {"mec/g": G}, {"u": Noise((24,))}, state=True)]

    def init(self, batch: int) -> State:
        return {"h": torch.zeros(batch, 24)}

    def move(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        h = 0.8 * state["h"] + x @ self.weight + 0.1 * u
        return {"mec/g": h.tanh()}, {"h": h}

    def integrate(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        said = []
        for heard, noise in zip(x, u, strict=True):
            writes, state = self.move(state, heard, noise)
            said.append(writes["mec/g"])
        return {"mec/g": torch.stack(said)}, state


class Ticked(Sound):
    over_time = {}


class RowsLeak(Sound):
    def move(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        return super().move(state, x - x.mean(0), u)


class NotRestarted(Sound):
    def restart(self, state: State, rows: Tensor, fresh: State) -> State:
        return state


class RestartsAll(Sound):
    def restart(self, state: State, rows: Tensor, fresh: State) -> State:
        return fresh


class ChangesWhatItReads(Ticked):
    def move(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        return super().move(state, x.clamp_(min=0), u)


class ChangesWhatItWrote(Ticked):
    """It says the very tensor that it will overwrite at the next tick."""

    def move(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        h = x @ self.weight + 0.1 * u
        if torch.is_grad_enabled():
            h = 0.8 * state["h"] + h
            return {"mec/g": h}, {"h": h}
        state["h"].mul_(0.8).add_(h)
        return {"mec/g": state["h"]}, state


class GlobalNoise(Sound):
    def move(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        return super().move(state, x, torch.randn_like(u))


class OwnGenerator(Sound):
    def __init__(self, topics: Mapping[str, Signal]) -> None:
        super().__init__(topics)
        self.generator = torch.Generator().manual_seed(0)

    def move(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        return super().move(state, x, torch.randn(u.shape, generator=self.generator, device="cpu"))


class HiddenState(Sound):
    def __init__(self, topics: Mapping[str, Signal]) -> None:
        super().__init__(topics)
        self.moves = 0

    def move(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        self.moves += 1
        return super().move(state, x, u + self.moves)


class SharedBuffer(Ticked):
    """It keeps one buffer for its state to save an allocation a tick, so a clone writes into what the other holds."""

    buffer: Tensor | None = None

    def move(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        writes, new = super().move(state, x, u)
        if x.device.type == "meta" or torch.is_grad_enabled():
            return writes, new
        if self.buffer is None or self.buffer.shape != new["h"].shape:
            self.buffer = torch.empty_like(new["h"])
        self.buffer.copy_(new["h"])
        return writes, {"h": self.buffer}


class NamesThatCollide(Ticked):
    """Two tensors of its state have one path, so a file can keep one of them only."""

    def init(self, batch: int) -> State:
        return {"h.x": torch.zeros(batch, 24), "h": {"x": torch.ones(batch, 24)}}

    def move(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        writes, new = super().move({"h": state["h.x"] + state["h"]["x"]}, x, u)
        return writes, {"h.x": new["h"] / 2, "h": {"x": new["h"] / 4}}


class WrongOverTime(Sound):
    def integrate(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        writes, state = super().integrate(state, x, u)
        return {"mec/g": writes["mec/g"].roll(1, 0)}, state


class ForgetfulOverTime(Sound):
    """Right within one piece; the state it leaves is that of the beginning."""

    def integrate(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        return super().integrate(state, x, u)[0], state


class OverTimeMisnamed(Sound):
    def integrate(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        writes, state = super().integrate(state, x, u)
        return {"mec/gg": writes["mec/g"]}, state


class CutGradient(Sound):
    def move(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        return super().move(state, x.detach(), u)


class UnusedParameter(Sound):
    def __init__(self, topics: Mapping[str, Signal]) -> None:
        super().__init__(topics)
        self.gain = nn.Parameter(torch.ones(24))


class NoGradientAtAll(Sound):
    def move(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        with torch.no_grad():
            return super().move(state, x, u)


class WrongType(Sound):
    def move(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        writes, state = super().move(state, x, u)
        return {"mec/g": writes["mec/g"].double()}, state


class NotFinite(Sound):
    def move(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        return super().move(state, x.sqrt(), u)


class OneAgentOnly(Ticked):
    """Right for the two agents of the proof, and wrong in shape for any other number."""

    def move(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        writes, new = super().move(state, x, u)
        return {"mec/g": writes["mec/g"][:2]}, new


class ReadsTheTruth(Sound):
    def steps(self) -> list[Step]:
        return [Step("move", {"x": "env/place"}, {"mec/g": G}, {"u": Noise((24,))}, state=True)]


class Breaks(Ticked):
    def move(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
        if x.device.type != "meta" and float(x.abs().sum()) > 0:
            raise ArithmeticError("too much")
        return super().move(state, x, u)


class Ahead(Module):
    """A code that can be imagined: it passes."""

    role = "mec"

    def steps(self) -> list[Step]:
        return [Step("move", {"motion": "env/motion", "bump": "env/bump"}, {"mec/g": Signal((2,))}, state=True)]

    def init(self, batch: int) -> State:
        return {"g": torch.zeros(batch, 2)}

    def move(self, state: State, motion: Tensor, bump: Tensor) -> tuple[Messages, State]:
        g = 0.9 * state["g"] + motion * ~bump
        return {"mec/g": g}, {"g": g}

    def ahead(self, g: Tensor, action: Tensor, motion: Tensor) -> Tensor:
        return 0.9 * g + motion


class AheadOfAnother(Ahead):
    def ahead(self, g: Tensor, action: Tensor, motion: Tensor) -> Tensor:
        return g + motion


class AheadMixesRows(Ahead):
    """Right for the agents that live; their mean is not that of one alone."""

    def ahead(self, g: Tensor, action: Tensor, motion: Tensor) -> Tensor:
        return super().ahead(g, action, motion) * (1 if len(g) > 1 else 1.1)


class AheadIsDouble(Ahead):
    def ahead(self, g: Tensor, action: Tensor, motion: Tensor) -> Tensor:
        return super().ahead(g, action, motion).double()


FAULTS = [
    (RowsLeak, "rows", "differs where the other rows live otherwise, in 'mec/g' at tick 0"),
    (NotRestarted, "restart", "the rows that should be fresh are not, in 'mec/g' at tick 0"),
    (RestartsAll, "restart", "the rows that should be undisturbed are not, in 'mec/g' at tick 0"),
    (ChangesWhatItReads, "messages", "a message on 'lec/x' that the module reads was changed in place"),
    (ChangesWhatItWrote, "messages", "a message on 'mec/g' that the module wrote was changed in place"),
    (GlobalNoise, "seeded", "drew from a global random generator"),
    (OwnGenerator, "seeded", "two lives with one seed differ, first in 'mec/g' at tick 0"),
    (HiddenState, "seeded", "two lives with one seed differ"),
    (SharedBuffer, "clone", "what a clone lived changed the living agent, in 'mec/g' at tick 0"),
    (NamesThatCollide, "round trip", "after dump() and load() the life differs in 'mec/g' at tick 0"),
    (WrongOverTime, "tick = play", "play and tick differ in 'mec/g' at tick 0"),
    (ForgetfulOverTime, "tick = play", "play and tick differ in 'mec/g' at tick 5"),
    (OverTimeMisnamed, "tick = play", "mec.integrate -> 'mec/g': declared float32 [24], for 5 ticks of 4 agents it"),
    (CutGradient, "gradients", "no gradient reaches the read of 'lec/x'"),
    (UnusedParameter, "gradients", "no gradient reaches parameter mec.gain"),
    (NoGradientAtAll, "gradients", "no write carries a gradient, though it is declared for the read of 'lec/x'"),
    (WrongType, "contracts", "mec.move -> 'mec/g': declared float32 [24] for each agent, made float64 [2, 24]"),
    (NotFinite, "contracts", "'mec/g' is not finite at tick 0"),
    (OneAgentOnly, "contracts", "'mec/g' at tick 0: declared float32 [24] for each of 4 agents, made torch"),
    (ReadsTheTruth, "truth", "move(x) reads 'env/place', which carries the truth"),
    (AheadOfAnother, "ahead", "ahead() is not what the module says after that move, 'mec/g' at tick 1"),
    (AheadMixesRows, "ahead", "ahead() mixes rows, 'mec/g' at tick 1"),
    (AheadIsDouble, "ahead", "ahead() made torch.float64: a code is float32"),
    (Breaks, "contracts", "ArithmeticError: too much cogarch: at tick 0, in mec.move"),
]  # fmt: skip


@pytest.mark.parametrize("cls", [Sound, Ticked, Ahead])
def test_what_the_faults_are_planted_in_is_sound(cls: type[Module]) -> None:
    assert [v for v in check_module(cls) if v.passed is False] == []


@pytest.mark.parametrize(("fault", "clause", "text"), FAULTS, ids=lambda x: getattr(x, "__name__", None))
def test_a_planted_fault_fails_its_own_clause_and_no_other(fault: type[Module], clause: str, text: str) -> None:
    verdicts = {v.clause: v for v in check_module(fault)}
    assert [name for name, v in verdicts.items() if v.passed is False] == [clause]
    assert text in verdicts[clause].text
    for v in verdicts.values():
        assert v.passed is not None or v.text == "no GPU here" or v.text.startswith("rests on")
    if clause in ("truth", "contracts"):  # nothing else means anything
        assert all(verdicts[later].passed is None for later in CLAUSES[CLAUSES.index(clause) + 1 :])


def test_every_clause_but_the_gpus_has_a_planted_fault() -> None:
    assert {clause for _, clause, _ in FAULTS} == set(CLAUSES) - {"device"}


@pytest.mark.parametrize(("fill", "word", "passes"), [(0.0, "nan", False), ("nan", "nan", True), ("nan", "inf", False)])
def test_nan_is_a_word_only_where_it_stands_for_nothing(fill: float | str, word: str, passes: bool) -> None:
    class Silent(Ticked):
        """It has no goal at first."""

        def steps(self) -> list[Step]:
            (step,) = super().steps()
            goal = Signal((2,), fill=float(fill))
            return [Step(step.method, step.reads, {**step.writes, "mec/goal": goal}, step.noise, state=True)]

        def init(self, batch: int) -> State:
            return super().init(batch) | {"age": torch.zeros(batch, 1), "far": torch.full((batch,), float("inf"))}

        def move(self, state: State, x: Tensor, u: Tensor) -> tuple[Messages, State]:
            writes, new = super().move({"h": state["h"]}, x, u)
            goal = torch.where(state["age"] < 3, float(word), 1.0).expand(-1, 2)
            return writes | {"mec/goal": goal}, new | {"age": state["age"] + 1, "far": state["far"]}

    failed = [(v.clause, v.text) for v in check_module(Silent) if v.passed is False]
    assert failed == ([] if passes else [("contracts", "'mec/goal' is not finite at tick 0 on ordinary messages")])


def test_the_suite_leaves_no_trace() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    check_module(Sound)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_module_of_another_world_is_checked_with_its_own_contracts() -> None:
    class Pixels(Module):
        role = "lec"

        def steps(self) -> list[Step]:
            return [Step("see", {"image": Read("env/observation", shape=(4, 4))}, {"lec/x": Signal((16,))})]

        def see(self, image: Tensor) -> Messages:
            return {"lec/x": image.flatten(1) * 2}

    made = lambda topics: Pixels()  # noqa: E731
    assert [v for v in check_module(made, {"env/observation": Signal((4, 4))}) if v.passed is False] == []
    (wrong, *_) = [v for v in check_module(made) if v.passed is False]
    assert wrong.clause == "contracts"
    assert "lec.see(image) takes shape (4, 4)" in wrong.text
    assert isinstance(wrong, Verdict)
