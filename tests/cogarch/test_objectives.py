"""Losses of whole walks: what they may read, whom they teach, and that each mistake is told when the bus is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from buses import START, X, part
from torch import Tensor, nn

from cogarch import Bus, Module, Noise, Objective, Read, Signal, Step, WiringError
from cogarch.check import Verdict, check_module
from cogarch.module import SCORING_ONLY, Messages
from cogarch.objectives import objective
from cogarch.wiring import wire

WORLD = {"env/x": X, "env/n": Signal(dtype=torch.int64, values=3), "env/start": START}


class Scales(Module):
    """Says what it hears, times a weight."""

    role = "lec"

    def __init__(
        self, of: str | Read = "env/x", to: str = "lec/x", asked: Mapping[str, Objective] | None = None
    ) -> None:
        super().__init__()
        self.scale, self.of, self.to, self.asked = nn.Parameter(torch.tensor(2.0)), of, to, asked or {}

    def steps(self) -> list[Step]:
        return [Step("say", {"x": self.of}, {self.to: X})]

    def say(self, x: Tensor) -> Messages:
        return {self.to: self.scale * x}

    def objectives(self) -> Mapping[str, Objective]:
        return self.asked

    def spread(self, x: Tensor) -> Tensor:
        return x.square().mean()


def asks(what: Objective, topic: str = "loss/spread", **methods: Callable[..., Any]) -> Module:
    """A module that says mec/g and has a loss of whole walks, with no weights."""
    say = Step("say", {"x": "env/x"}, {"mec/g": X})
    methods = {"spread": lambda g: g.square().mean(), **methods}
    return part(say, say=lambda x: {"mec/g": x}, objectives=lambda: {topic: what}, **methods)


def walk(ticks: int = 5, batch: int = 3) -> Messages:
    g = torch.Generator().manual_seed(0)
    start = torch.zeros(ticks, batch, 1, dtype=torch.bool)
    start[0] = True
    n = torch.randint(0, 3, (ticks, batch, 1), generator=g)
    return {"env/x": torch.randn(ticks, batch, 2, generator=g), "env/n": n, "env/start": start}


# --- mistakes ---------------------------------------------------------------------------------------------------------


def read(topic: str | Read, **more: Any) -> Objective:
    return Objective("spread", {"g": topic}, **more)


@pytest.mark.parametrize(
    ("what", "topic", "text"),
    [
        (read("mec/gg"), "loss/spread", "mec.spread -> 'loss/spread' reads 'mec/gg', which nobody writes; "
            "did you mean 'mec/g'? Change the read 'g'"),
        (read("env/place"), "loss/spread", "reads 'env/place', which carries the truth"),
        (read(Read("mec/g", delay=1)), "loss/spread", "reads 'mec/g' with delay 1; it has the whole walk"),
        (read(Read("mec/g", delay=-1)), "loss/spread", "reads 'mec/g' with delay -1; it has the whole walk"),
        (read("mec/g", noise={"g": Noise()}), "loss/spread", "takes a read and a noise by one name, 'g'"),
        (read("mec/g"), "loss/said", "mec.spread -> 'loss/said': an objective is a topic loss/* of its own"),
        (read("mec/g"), "mec/spread", "'mec/spread': an objective is a topic loss/* of its own"),
        (read("mec/g"), "mec/g", "'mec/g': an objective is a topic loss/* of its own"),
        (Objective("spraed", {"g": "mec/g"}), "loss/spread", "Part has no method 'spraed'"),
        (Objective("spread", {"g": "loss/spread"}), "loss/spread", "reads 'loss/spread', which nobody writes"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_when_wired(what: Objective, topic: str, text: str) -> None:
    said = part(Step("say", {"x": "env/x"}, {"loss/said": Signal(())}), say=lambda x: {"loss/said": x[:, 0]})
    for inputs in (WORLD, WORLD | {"env/place": X}):
        with pytest.raises(WiringError) as told:
            wire(inputs, {"mec": asks(what, topic), "lec": said})
        assert text in str(told.value)


def test_two_modules_do_not_share_a_loss() -> None:
    other = Scales(asked={"loss/spread": Objective("spread", {"x": "lec/x"})})
    with pytest.raises(WiringError, match="'loss/spread': an objective is a topic loss/\\* of its own"):
        wire(WORLD, {"mec": asks(read("mec/g")), "lec": other})


def test_no_step_reads_a_loss_of_whole_walks() -> None:
    with pytest.raises(WiringError, match=r"lec\.say\(x\) reads 'loss/spread', which nobody writes"):
        wire(WORLD, {"mec": asks(read("mec/g")), "lec": Scales("loss/spread")})


def test_the_truth_is_not_the_nearest_of_anything() -> None:
    with pytest.raises(WiringError, match="'env/plce', which nobody writes; did you mean") as told:
        wire(WORLD | {"env/place": X}, {"mec": asks(read("env/plce"))})
    assert not any(topic in str(told.value) for topic in SCORING_ONLY)


def test_a_loss_is_one_number() -> None:
    bus = Bus(WORLD, {"mec": asks(read("mec/g"), spread=lambda g: g.mean(-1))}, batch=3)
    with pytest.raises(WiringError, match=r"mec\.spread -> 'loss/spread' made \[5, 3\]; an objective is one number"):
        objective(bus, "loss/spread", bus.play(walk()), 0)


# --- what it is given -------------------------------------------------------------------------------------------------


def test_it_has_whole_walks_and_noise_of_its_own() -> None:
    given: dict[str, Tensor] = {}

    def spread(**args: Tensor) -> Tensor:
        given.update(args)
        return args["g"].sum()

    noise = {"u": Noise((2, 3)), "v": Noise((2, 3)), "w": Noise((400,), "uniform")}
    what = Objective("spread", {"g": "mec/g", "n": "env/n", "start": "env/start"}, noise)
    bus = Bus(WORLD, {"mec": asks(what, spread=spread)}, batch=3, seed=4)
    assert bus.objectives == {"loss/spread": ("mec", what)}
    said = bus.play(walk())
    assert float(objective(bus, "loss/spread", said, 7)) == pytest.approx(float(walk()["env/x"].sum()))
    assert given.keys() == {"g", "n", "start", "u", "v", "w"}
    assert torch.equal(given["g"], said["mec/g"]) and given["n"].shape == (5, 3, 1)
    assert given["u"].shape == (2, 3) and not torch.equal(given["u"], given["v"])
    assert 0 < float(given["w"].min()) < 0.1 < 0.9 < float(given["w"].max()) < 1
    first = dict(given)
    objective(bus, "loss/spread", said, 7)
    assert all(torch.equal(first[name], given[name]) for name in given)
    objective(bus, "loss/spread", said, 8)
    assert not any(bool((first[name] == given[name]).any()) for name in noise)


def test_ticking_knows_nothing_of_it() -> None:
    bus = Bus(WORLD, {"mec": asks(read("mec/g"))}, batch=3)
    assert "loss/spread" not in bus.tick({topic: x[0] for topic, x in walk().items()})
    assert "loss/spread" not in bus.play(walk()) and "loss/spread" not in bus.plan.topics
    assert bus.clone().objectives == bus.objectives


@pytest.mark.parametrize("grad", [True, False])
def test_a_read_that_declines_gradients_has_none(grad: bool) -> None:
    bus = Bus(WORLD, {"lec": Scales(), "mec": asks(read(Read("lec/x", grad=grad)))}, batch=3)
    loss = objective(bus, "loss/spread", bus.play(walk()), 0)
    assert loss.requires_grad == grad


# --- whom it teaches --------------------------------------------------------------------------------------------------


def test_reach_names_the_modules_that_a_loss_of_whole_walks_teaches() -> None:
    def reached(*reads: str | Read, cut: bool = False) -> tuple[str, ...]:
        what = Objective("spread", {f"x{i}": topic for i, topic in enumerate(reads)})
        middle = Scales(Read("lec/x", delay=1, grad=not cut), "mec/g")
        modules = {"lec": Scales(), "mec": middle, "hc": Scales(to="hc/p"), "world": Scales("hc/p", "world/z")}
        weightless = part(
            Step("act", {"x": "lec/x"}, {"executive/action": Signal(dtype=torch.int64)}),
            act=lambda x: {"executive/action": (x[:, :1] > 0).long()},
            objectives=lambda: {"loss/spread": what},
            spread=lambda **args: sum(x.sum() for x in args.values()),
        )
        return Bus(WORLD, {**modules, "executive": weightless}, batch=3).reach()["loss/spread"]

    assert reached("lec/x") == ("lec",)
    assert reached("mec/g") == ("lec", "mec")  # also through time
    assert reached("mec/g", cut=True) == ("mec",)
    assert reached("mec/g", "world/z") == ("hc", "lec", "mec", "world")
    assert reached(Read("mec/g", grad=False), "hc/p") == ("hc",)
    assert reached("executive/action", "env/x") == ()  # whole numbers carry no gradient


def test_reach_counts_the_module_whose_loss_it_is() -> None:
    own = {"loss/spread": Objective("spread", {"x": "env/x"}), "loss/other": Objective("spread", {"x": "lec/x"})}
    bus = Bus(WORLD, {"lec": Scales(), "mec": Scales(to="mec/g", asked=own)}, batch=3)
    assert bus.reach() == {"loss/spread": ("mec",), "loss/other": ("lec", "mec")}


# --- the conformance suite looks at them ------------------------------------------------------------------------------


class Asks(Scales):
    """Its loss is one of those below."""

    role = "mec"
    fault = ""

    def __init__(self, topics: Mapping[str, Signal]) -> None:
        super().__init__("lec/x", "mec/g")
        self.bias = nn.Parameter(torch.zeros(2))

    def steps(self) -> list[Step]:
        return [Step("say", {"x": "lec/x_seen"}, {"mec/g": X})]

    def objectives(self) -> Mapping[str, Objective]:
        also = {"truth": "env/place", "elsewhere": "hc/p"}.get(self.fault, "env/start")
        return {"loss/spread": Objective("judge", {"g": "mec/g", "also": also})}

    def judge(self, g: Tensor, also: Tensor) -> Tensor:
        if self.fault == "many":
            return (g + self.bias).square()
        if self.fault == "chance":
            g = g * torch.rand(())
        if self.fault == "infinite":
            g = g / 0
        return ((g if self.fault == "deaf" else g + self.bias) + also[..., :1]).square().mean()


@pytest.mark.parametrize(
    ("fault", "clause", "text"),
    [
        ("", "", ""),
        ("elsewhere", "", ""),  # a topic that no step of its own reads
        ("truth", "truth", "judge(also) reads 'env/place', which carries the truth"),
        ("many", "gradients", "an objective is one number"),
        ("chance", "gradients", "'loss/spread' drew from a global random generator"),
        ("infinite", "gradients", "'loss/spread' is inf on ordinary messages"),
        ("deaf", "gradients", "no gradient reaches parameter mec.bias"),
    ],
)
def test_the_conformance_suite_looks_at_losses_of_whole_walks(fault: str, clause: str, text: str) -> None:
    class Faulty(Asks):
        pass

    Faulty.fault = fault
    topics = {"lec/x_seen": X, "env/start": START, "hc/p": Signal((2,)), "env/place": X}
    failed: list[Verdict] = [verdict for verdict in check_module(Faulty, topics) if verdict.passed is False]
    assert [verdict.clause for verdict in failed] == ([clause] if clause else []), failed
    assert not clause or text in failed[0].text
