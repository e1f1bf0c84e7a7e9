"""Every wiring mistake is told when the bus is built, with both ends and the mend; order is a matter of names alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from buses import START, X, agent, env, part
from torch import Tensor, nn

from cogarch import Bus, Module, Noise, Read, Signal, Step, WiringError
from cogarch.module import Messages, State
from cogarch.wiring import nearest, wire

WORLD = {"env/x": Signal((2,), unit="cells"), "env/n": Signal(dtype=torch.int64, values=3), "env/start": START}


def copy(to: str, signal: Signal = X, of: str | Read = "env/x", **step: Any) -> Module:
    """A module that says on `to` what it hears on `of`."""
    return part(Step("say", {"x": of}, {to: signal}, **step), say=lambda x: {to: x})


def fails(*texts: str, **modules: Module) -> None:
    """Wiring these modules says all of these texts."""
    with pytest.raises(WiringError) as error:
        wire(WORLD, modules)
    for text in texts:
        assert text in str(error.value), f"{text!r} is not in {error.value}"


# --- who writes what --------------------------------------------------------------------------------------------------


def test_two_writers() -> None:
    fails("'mec/g' is written by both hc.say and mec.say", "one writer", mec=copy("mec/g"), hc=copy("mec/g"))
    fails("'env/x' is written by both the world and mec.say", mec=copy("env/x"))


def test_missing_writer_names_the_nearest() -> None:
    fails(
        "hc.say(x) reads 'mec/gg', which nobody writes; did you mean 'mec/g'?",
        "Add a module that writes it, or change the read",
        mec=copy("mec/g"),
        hc=copy("hc/p", of="mec/gg"),
    )
    fails("reads 'zzzz', which nobody writes; there is env/n, env/start, env/x, hc/p. Add", hc=copy("hc/p", of="zzzz"))


def test_nearest() -> None:
    assert nearest("rotr", ["rotor", "tem"]) == "did you mean 'rotor'?"
    assert nearest("rotor", ["motor", "rotors", "x"]) == "did you mean 'rotors' or 'motor'?"
    assert nearest("x", []) == "there is none."


@pytest.mark.parametrize("topic", ["env/place", "env/node", "env/heading"])
def test_the_truth_is_for_scores(topic: str) -> None:
    with pytest.raises(WiringError, match=rf"hc\.say\(x\) reads '{topic}', which carries the truth .* env/observation"):
        wire(WORLD | {topic: X}, {"hc": copy("hc/p", of=topic)})


def test_the_future_is_not_to_be_had() -> None:
    fails("hc.say(x) reads 'env/x' with delay -1", hc=copy("hc/p", of=Read("env/x", delay=-1)))


# --- what does not fit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "texts"),
    [
        (Read("mec/g", shape=(3,)), ["mec.say writes float32 [2] in 'rad'", "hc.say(x) takes shape (3,)"]),
        (Read("mec/g", dtype=torch.int64), ["mec.say writes float32 [2]", "hc.say(x) takes dtype torch.int64"]),
        (Read("mec/g", unit="cells"), ["mec.say writes float32 [2] in 'rad'", "hc.say(x) takes unit 'cells'"]),
        (Read("env/x", unit="rad"), ["the world writes float32 [2] in 'cells'", "hc.say(x) takes unit 'rad'"]),
    ],
)
def test_misfits_name_both_ends(read: Read, texts: list[str]) -> None:
    mend = f"change the {'shape' if read.shape else 'dtype' if read.dtype else 'unit'} of one of the two ends"
    fails(
        f"{read.topic!r} does not fit",
        *texts,
        mend,
        mec=copy("mec/g", Signal((2,), unit="rad")),
        hc=copy("hc/p", of=read),
    )


def test_what_fits_is_wired() -> None:
    read = Read("mec/g", shape=(2,), dtype=torch.float32, unit="rad")
    plan = wire(WORLD, {"mec": copy("mec/g", Signal((2,), unit="rad")), "hc": copy("hc/p", of=read)})
    assert [node.name for node in plan.order] == ["mec.say", "hc.say"]
    assert plan.writer("mec/g") == "mec.say"
    assert plan.writer("env/x") == "the world"


# --- cycles -----------------------------------------------------------------------------------------------------------


def test_cycle_without_delay() -> None:
    a, b, c = copy("mec/a", of="hc/c"), copy("lec/b", of="mec/a"), copy("hc/c", of="lec/b")
    fails(
        "cycle without delay",
        "mec.say reads 'hc/c' of hc.say",
        "lec.say reads 'mec/a' of mec.say",
        "hc.say reads 'lec/b' of lec.say",
        "delay=1",
        mec=a,
        lec=b,
        hc=c,
    )
    fails("mec.say reads 'mec/a' of mec.say", mec=copy("mec/a", of="mec/a"))
    late = copy("mec/a", of=Read("hc/c", delay=1))
    assert [n.module for n in wire(WORLD, {"mec": late, "lec": b, "hc": c}).order] == ["mec", "lec", "hc"]


def test_steps_that_share_a_state_run_as_listed() -> None:
    def two(*order: str) -> Module:
        steps = {
            "z": Step("z", {"x": "env/x"}, {"hc/z": X}, state=True),
            "a": Step("a", {"x": "env/x"}, {"hc/a": X}, state=True),
        }
        return part(
            *(steps[name] for name in order),
            init=lambda batch: {"h": torch.zeros(batch)},
            z=lambda state, x: ({"hc/z": x}, state),
            a=lambda state, x: ({"hc/a": x}, state),
        )

    assert [n.name for n in wire(WORLD, {"hc": two("z", "a")}).order] == ["hc.z", "hc.a"]
    assert [n.name for n in wire(WORLD, {"hc": two("a", "z")}).order] == ["hc.a", "hc.z"]
    reader = copy("mec/g", of="hc/a")
    early = part(
        Step("z", {"x": "mec/g"}, {"hc/z": X}, state=True),
        Step("a", {"x": "env/x"}, {"hc/a": X}, state=True),
        init=lambda batch: {"h": torch.zeros(batch)},
        z=lambda state, x: ({"hc/z": x}, state),
        a=lambda state, x: ({"hc/a": x}, state),
    )
    fails("cycle without delay", "hc.a reads 'its state' of hc.z", hc=early, mec=reader)


# --- order ------------------------------------------------------------------------------------------------------------


def test_the_order_of_registration_never_matters() -> None:
    bus = agent(hc={"recall_g": True})
    modules, inputs = dict(bus.parts.items()), env()
    shuffled, rng = list(modules), random.Random(0)
    topics = list(inputs)
    for _ in range(20):
        rng.shuffle(shuffled)
        rng.shuffle(topics)
        plan = wire({t: inputs[t] for t in topics}, {name: modules[name] for name in shuffled})  # type: ignore[misc]
        assert plan.order == bus.plan.order
        assert plan.groups == bus.plan.groups
        assert plan.depth == bus.plan.depth
    names = [node.name for node in bus.plan.order]
    assert sorted(names) == sorted(f"{m}.{s.method}" for m in modules for s in modules[m].steps())  # type: ignore[operator]
    for before, after in (("mec.move", "hc.recall"), ("lec.encode", "hc.store"), ("hc.recall", "hc.store")):
        assert names.index(before) < names.index(after)


def test_ties_are_broken_by_name() -> None:
    plan = wire(WORLD, {"z": copy("z/x"), "b": copy("b/x", of="a/x"), "a": copy("a/x"), "c": copy("c/x", of="z/x")})
    assert [node.module for node in plan.order] == ["a", "b", "z", "c"]


def test_what_is_tied_in_a_loop_through_time_is_played_together() -> None:
    def late(of: str) -> Read:
        return Read(of, delay=2)

    plan = wire(
        WORLD,
        {
            "a": copy("a/x", of=late("b/x")),
            "b": copy("b/x", of="a/x"),
            "c": copy("c/x", of="b/x"),
            "d": copy("d/x", of=Read("c/x", delay=1)),
        },
    )
    assert [([n.module for n in g.nodes], g.kind) for g in plan.groups] == [
        (["a", "b"], "tick"),
        (["c"], "fold"),
        (["d"], "fold"),
    ]
    assert plan.depth == {"b/x": 2, "c/x": 1}


# --- the proof of a step ----------------------------------------------------------------------------------------------


def stateless(say: Callable[..., object]) -> Module:
    return part(Step("say", {"x": "env/x"}, {"mec/g": X}), say=say)


def stateful(say: Callable[..., object], init: Callable[[int], Any] | None = None) -> Module:
    init = init or (lambda batch: {"h": torch.zeros(batch, 3)})
    return part(Step("say", {"x": "env/x"}, {"mec/g": X}, state=True), init=init, say=say)


@pytest.mark.parametrize(
    ("say", "text"),
    [
        (lambda x: x, "mec.say returned a Tensor; a step returns a dictionary of its writes"),
        (lambda x: ({"mec/g": x}, {}), "mec.say returned a tuple; a step returns a dictionary"),
        (lambda x: None, "mec.say returned a NoneType"),
        (lambda x: {}, "mec.say declares 'mec/g' and did not return it; it returned []"),
        (lambda x: {"mec/gg": x}, "mec.say declares 'mec/g' and did not return it; it returned ['mec/gg']"),
        (lambda x: {"mec/g": x, "mec/h": x}, "mec.say returned 'mec/h', which it does not declare"),
        (lambda x: {"mec/g": x[:, :1]}, "mec.say -> 'mec/g': declared float32 [2] for each agent, made float32 [2, 1]"),
        (lambda x: {"mec/g": x[:1]}, "made float32 [1, 2] for 2 agents"),
        (lambda x: {"mec/g": x.double()}, "declared float32 [2] for each agent, made float64 [2, 2] for 2 agents"),
        (lambda x: {"mec/g": 0.0}, "made a float for 2 agents"),
        (
            lambda x: {"mec/g": x @ torch.ones(3, 3)},
            "mec.say fails on x = 'env/x' float32 [2] in 'cells': RuntimeError: ",
        ),
        (lambda y: {"mec/g": y}, "mec.say fails on x = 'env/x' float32 [2] in 'cells': TypeError: "),
    ],
)
def test_a_step_that_returns_the_wrong_thing(say: Callable[..., object], text: str) -> None:
    fails(text, mec=stateless(say))


@pytest.mark.parametrize(
    ("say", "text"),
    [
        (lambda state, x: {"mec/g": x}, "a step with state returns (writes, state); it returned a dict"),
        (
            lambda state, x: ({"mec/g": x}, {}),
            "mec.say gives its state back changed in kind: 'h' was float32 [2, 3], came back nothing",
        ),
        (lambda state, x: ({"mec/g": x}, state | {"k": x}), "'k' was nothing, came back float32 [2, 2]"),
        (
            lambda state, x: ({"mec/g": x}, {"h": state["h"].double()}),
            "'h' was float32 [2, 3], came back float64 [2, 3]",
        ),
        (lambda state, x: ({"mec/g": x}, {"h": state["h"][:, :1]}), "'h' was float32 [2, 3], came back float32 [2, 1]"),
        (lambda state, x: ({"mec/g": x}, {"h": [1]}), "TypeError: state 'h' is a list; only tensors"),
    ],
)
def test_state_that_is_changed_in_kind(say: Callable[..., object], text: str) -> None:
    fails("mec.say", text, mec=stateful(say))


def test_state_that_is_changed_within_its_own_dictionary() -> None:
    def say(state: State, x: Tensor) -> tuple[Messages, State]:
        state["h"] = state["h"].double()
        return {"mec/g": x}, state

    fails("'h' was float32 [2, 3], came back float64 [2, 3]", mec=stateful(say))


def test_state_without_a_row_for_each_agent() -> None:
    def keep(state: State, x: Tensor) -> tuple[Messages, State]:
        return {"mec/g": x}, state

    fails(
        "mec.init(2) makes 'h' as float32 [7]; state has one row an agent: [2, ...]",
        mec=stateful(keep, lambda b: {"h": torch.zeros(7)}),
    )
    fails("mec.init(2) makes 'h' as float32 []", mec=stateful(keep, lambda b: {"h": torch.zeros(())}))
    fails("mec.say fails on", "state 'h' is a int", mec=stateful(keep, lambda b: {"h": 0}))


def test_a_module_that_branches_on_values_is_proved_on_real_zeros() -> None:
    met: list[Tensor] = []

    def say(x: Tensor, n: Tensor) -> Messages:
        met.append(x)
        return {"mec/g": x.double() if n.sum().item() > 0 else x}

    module = part(Step("say", {"x": "env/x", "n": "env/n"}, {"mec/g": X}), say=say)
    wire(WORLD, {"mec": module})
    assert [x.device.type for x in met] == ["meta", "cpu"]
    assert met[1].tolist() == [[0, 0], [0, 0]]
    wrong = part(
        Step("say", {"x": "env/x"}, {"mec/g": X}), say=lambda x: {"mec/g": x.double() if x.sum().item() == 0 else x}
    )
    fails("declared float32 [2] for each agent, made float64 [2, 2]", mec=wrong)


def test_a_module_that_does_not_branch_is_proved_without_computing() -> None:
    met: list[str] = []

    def say(x: Tensor) -> Messages:
        met.append(x.device.type)
        return {"mec/g": x * 2}

    wire(WORLD, {"mec": stateless(say)})
    assert met == ["meta"]


def test_names_that_cannot_be() -> None:
    fails("mec.say: Part has no method 'say'", mec=part(Step("say", {}, {"mec/g": X})))
    fails(
        "mec.say is listed as two steps",
        mec=part(Step("say", {}, {"mec/g": X}), Step("say", {}, {"mec/h": X}), say=dict),
    )
    with pytest.raises(WiringError, match="a module cannot be called 'm-e c': letters"):
        wire(WORLD, {"m-e c": copy("mec/g")})
    fails(
        "mec.say takes a read and a noise by one name, 'x'",
        mec=part(Step("say", {"x": "env/x"}, {"mec/g": X}, {"x": Noise((2,))}), say=dict),
    )
    with pytest.raises(ValueError, match="Module has no steps: define steps"):
        wire(WORLD, {"mec": Module()})


# --- whole walks ------------------------------------------------------------------------------------------------------


def both(first: Step, second: Step, **over_time: str) -> Module:
    return part(
        first,
        second,
        init=lambda batch: {"h": torch.zeros(batch)},
        over_time={tuple(steps.split("_")): method for steps, method in over_time.items()},
        one=lambda state, **reads: ({"mec/a": reads["x"]}, state),
        two=lambda state, **reads: ({"mec/b": next(iter(reads.values()))}, state),
        whole=lambda state, x: ({}, state),
    )


def test_over_time_names_that_clash() -> None:
    one, two = (
        Step("one", {"x": "env/x"}, {"mec/a": X}, state=True),
        Step("two", {"x": "mec/a"}, {"mec/b": X}, state=True),
    )
    fails(
        "mec.whole runs steps that call two things by one name, 'x': 'env/x' and 'mec/a'; give them different names",
        mec=both(one, two, one_two="whole"),
    )
    noisy = [Step(s.method, {"x": "env/x"}, s.writes, {"u": Noise((2,))}, state=True) for s in (one, two)]
    fails("'u': 'a noise of mec.one' and 'a noise of mec.two'", mec=both(*noisy, one_two="whole"))
    shared = Step("two", {"x": "env/x"}, {"mec/b": X}, state=True)
    (group,) = wire(WORLD, {"mec": both(one, shared, one_two="whole")}).groups
    assert (group.kind, group.method) == ("over_time", "whole")


def test_over_time_names_what_is_there() -> None:
    one, two = (
        Step("one", {"x": "env/x"}, {"mec/a": X}, state=True),
        Step("two", {"x": "env/x"}, {"mec/b": X}, state=True),
    )
    fails("mec: over_time runs 'tow', which is no step; did you mean 'two'?", mec=both(one, two, one_tow="whole"))
    fails("mec.hole: Part has no method 'hole'", mec=both(one, two, one_two="hole"))


def test_a_loop_through_others_is_ticked_even_with_over_time() -> None:
    one = Step("one", {"x": Read("hc/p", delay=1)}, {"mec/a": X}, state=True)
    plan = wire(
        WORLD,
        {
            "mec": part(
                one,
                init=lambda b: {"h": torch.zeros(b)},
                over_time={("one",): "whole"},
                whole=dict,
                one=lambda state, x: ({"mec/a": x}, state),
            ),
            "hc": copy("hc/p", of="mec/a"),
        },
    )
    assert [(g.kind, [n.module for n in g.nodes]) for g in plan.groups] == [("tick", ["mec", "hc"])]


def test_topics_that_differ_in_a_mark_are_told_apart() -> None:
    writer = part(Step("say", {"x": "env/x"}, {"a/b_c": X, "a/b/c": X}), say=lambda x: {"a/b_c": x, "a/b/c": x + 1})
    bus = Bus(WORLD, {"a": writer, "r": copy("r/x", of="a/b_c"), "s": copy("s/x", of="a/b/c")})
    out = bus.tick({"env/x": torch.zeros(1, 2), "env/n": torch.zeros(1, 1), "env/start": torch.ones(1, 1).bool()})
    assert out["r/x"].tolist() == [[0, 0]]
    assert out["s/x"].tolist() == [[1, 1]]


def test_modules_and_methods_that_join_to_one_name_are_told_apart() -> None:
    one = part(Step("b_c", {"x": "env/x"}, {"p/x": X}), b_c=lambda x: {"p/x": x + 1})
    two = part(Step("c", {"x": "env/x"}, {"q/x": X}), c=lambda x: {"q/x": x + 2})
    bus = Bus({"env/x": X}, {"a": one, "a_b": two})
    out = bus.tick({"env/x": torch.zeros(1, 2)})
    assert (out["p/x"] - 1).abs().sum() == (out["q/x"] - 2).abs().sum() == 0


# --- reads that may be missing, and what follows from weights ---------------------------------------------------------


class Listener(Module):
    role = "world"

    def __init__(self, topics: Mapping[str, Signal]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.made = 0

    def steps(self) -> list[Step]:
        reads = {"reward": "env/reward", "more": Read("hc/recalled_g", optional=True)}
        return [Step("hear", reads, {"world/z": Signal()})]

    def hear(self, reward: Tensor, more: Tensor | None = None) -> Messages:
        doubled = self.once("doubled", self._double)
        return {"world/z": reward * doubled + (0 if more is None else more.sum(-1, keepdim=True))}

    def _double(self) -> Tensor:
        self.made += 1
        return 2 * self.weight


def test_an_optional_read_is_left_out_where_nobody_writes_the_topic() -> None:
    inputs = {"env/reward": Signal(), "env/start": Signal(dtype=torch.bool)}
    alone = Bus(inputs, {"world": Listener({})}, batch=2)
    assert list(alone.plan.order[0].reads) == ["reward"]
    heard = {"env/reward": torch.ones(2, 1), "env/start": torch.zeros(2, 1, dtype=torch.bool)}
    assert alone.tick(heard)["world/z"].flatten().tolist() == [2.0, 2.0]
    together = Bus(inputs | {"hc/recalled_g": Signal((3,))}, {"world": Listener({})}, batch=2)
    assert together.tick(heard | {"hc/recalled_g": torch.ones(2, 3)})["world/z"].flatten().tolist() == [5.0, 5.0]


def test_what_follows_from_weights_is_made_once_a_play() -> None:
    inputs = {"env/reward": Signal(), "env/start": Signal(dtype=torch.bool)}
    listener = Listener({})
    listener.over_time = {}
    bus = Bus(inputs, {"world": listener}, batch=1)
    start = torch.tensor([1, 0, 1, 0])[:, None, None] > 0  # two segments
    walk = {"env/reward": torch.ones(4, 1, 1), "env/start": start}
    made = listener.made
    assert bus.play(walk)["world/z"].flatten().tolist() == [2.0] * 4
    assert listener.made == made + 1
    with torch.no_grad():
        listener.weight.fill_(3.0)
    assert bus.play(walk)["world/z"].flatten().tolist() == [6.0] * 4
    for _ in range(2):
        bus.tick({topic: x[1] for topic, x in walk.items()})
    assert listener.made == made + 4
