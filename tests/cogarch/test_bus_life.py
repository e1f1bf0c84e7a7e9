"""Rows, clones, files, probes, clamps and errors of a bus that lives."""

from __future__ import annotations

from typing import Any

import networkx as nx
import pytest
import torch
from buses import (
    START,
    X,
    agent,
    assert_equal,
    cut,
    env,
    join,
    live,
    part,
    small,
    small_walk,
    square_walk,
)
from torch import Tensor

from cogarch import Bus, Noise, Signal, Step, WiringError
from cogarch.module import Messages
from cogarch.tree import leaves

# --- rows, clones, files ----------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_restarted_row_is_a_fresh_row() -> None:
    walk, rows = small_walk(16, batch=3), torch.tensor([False, True, False])
    bus, undisturbed = small(3), small(3)
    live(bus, cut(walk, 0, 7)), live(undisturbed, cut(walk, 0, 7))
    bus.restart(rows)
    quiet = cut(walk, 7)
    after, others = live(bus, quiet), live(undisturbed, quiet)
    fresh = small(3)
    fresh.episode = rows.long()
    new = live(fresh, quiet)
    for topic in after:
        assert torch.equal(after[topic][:, rows], new[topic][:, rows]), topic
        assert torch.equal(after[topic][:, ~rows], others[topic][:, ~rows]), topic
    assert not torch.equal(after["mec/g"][:, rows], others["mec/g"][:, rows])


@torch.no_grad()
def test_a_second_episode_has_noise_of_its_own() -> None:
    walk = small_walk(5)
    bus = small()
    first = live(bus, walk)["lec/dream"]
    bus.restart(torch.tensor([True, True]))
    second = live(bus, cut(walk, 0))["lec/dream"]
    assert (first != second).all()
    bus.reset()
    assert torch.equal(live(bus, walk)["lec/dream"], first)


@torch.no_grad()
def test_restarting_a_row_that_never_ticked_does_nothing() -> None:
    bus = small()
    before = {k: x.clone() for k, x in bus.dump().items()}
    bus.restart(torch.tensor([True, True]))
    assert_equal(bus.dump(), before)
    live(bus, small_walk(3))
    bus.restart(torch.tensor([True, False]))
    once = bus.dump()
    bus.restart(torch.tensor([True, False]))
    assert_equal(bus.dump(), once)
    assert bus.episode.tolist() == [1, 0]


@torch.no_grad()
def test_seeds_differ_and_repeat() -> None:
    walk = small_walk(5)
    one, again, other = (live(small(seed=seed), walk) for seed in (0, 0, 1))
    assert_equal(one, again)
    assert not torch.equal(one["lec/dream"], other["lec/dream"])


@torch.no_grad()
def test_swapping_a_module_leaves_the_noise_of_the_others_alone() -> None:
    def bus(*names: str) -> Bus:
        parts = {
            n: part(Step("say", {}, {f"{n}/x": X}, {"u": Noise((2,))}), say=lambda u, n=n: {f"{n}/x": u}) for n in names
        }
        return Bus({"env/start": START}, parts, batch=2)

    walk = {"env/start": torch.tensor([[[True], [True]]])}
    alone, among = live(bus("mec"), walk), live(bus("hc", "lec", "mec", "world"), walk)
    assert torch.equal(alone["mec/x"], among["mec/x"])
    assert not torch.equal(among["hc/x"], among["lec/x"])


@torch.no_grad()
def test_a_clone_goes_its_own_way() -> None:
    walk, _ = square_walk(30, 2)
    hc = {"capacity": 64, "merge": 0.99}
    bus, alone = agent(2, hc=hc), agent(2, hc=hc)
    lived = live(alone, walk)
    first = live(bus, cut(walk, 0, 20))
    twin = bus.clone()
    assert_equal(twin.state["mec"], bus.state["mec"])
    other, _ = square_walk(15, 2, seed=9)
    imagined = live(twin, other)
    rest = live(bus, cut(walk, 20))
    assert_equal(join([first, rest]), lived)
    assert not torch.equal(imagined["mec/g"][:10], rest["mec/g"])
    assert twin.parts is bus.parts  # one brain: parameters are not copied


@torch.no_grad()
def test_a_clone_shares_the_bank_until_it_is_written() -> None:
    walk, _ = square_walk(5, 2)
    bus = agent(2)
    live(bus, walk)
    before = bus.state["hc"]["keys"].clone()
    twin = bus.clone()
    for one in (bus, twin):
        assert torch._C._is_cow_tensor(one.state["hc"]["keys"])
    bus.play(cut(walk, 0), want=["mec/g"])  # reading only
    assert torch._C._is_cow_tensor(bus.state["hc"]["keys"])
    live(twin, square_walk(5, 2, seed=3)[0])
    assert torch.equal(bus.state["hc"]["keys"], before)
    assert not torch.equal(twin.state["hc"]["keys"], before)
    assert bus.state["hc"]["keys"].data_ptr() != twin.state["hc"]["keys"].data_ptr()


@torch.no_grad()
def test_every_clone_dreams_alone() -> None:
    bus, walk = small(), small_walk(4)
    twins = [bus.clone(), bus.clone()]
    twins.append(twins[0].clone())
    dreams = [live(one, walk)["lec/dream"] for one in (bus, *twins)]
    for i, a in enumerate(dreams):
        for b in dreams[i + 1 :]:
            assert (a != b).all()


@torch.no_grad()
def test_a_clone_keeps_its_clamps_and_loses_its_probes() -> None:
    bus = small()
    bus.clamp("mec/g", 3.0)
    probe = bus.probe("mec/g")
    twin = bus.clone()
    assert (live(twin, small_walk(2))["mec/g"] == 3).all()
    twin.release("mec/g")
    live(bus, small_walk(2))
    assert (live(twin, small_walk(2))["mec/g"] != 3).all()
    assert probe.data.shape == (2, 2, 2)
    assert (probe.data == 3).all()


@torch.no_grad()
def test_dump_and_load() -> None:
    walk, bus = small_walk(20, again=0.1), small()
    lived = live(small(), walk)
    live(bus, cut(walk, 0, 11))
    bus.clone()
    saved = bus.dump()
    kept = {name: x.clone() for name, x in saved.items()}
    live(bus, cut(walk, 11))
    dream = live(bus.clone(), walk)["lec/dream"]
    assert_equal(saved, kept)  # what was dumped is not what lives on
    other = small(batch=5, seed=99)
    other.load(saved)
    assert_equal(live(other, cut(walk, 11)), {k: x[11:] for k, x in lived.items()})
    assert_equal(saved, kept)  # nor what was loaded
    assert_equal(other.dump(), bus.dump() | {"clock": other.dump()["clock"]})
    assert torch.equal(live(other.clone(), walk)["lec/dream"], dream)  # clones go on being numbered


@torch.no_grad()
def test_a_dump_of_a_memory_stays_as_it_is() -> None:
    walk, _ = square_walk(20, 2)
    bus = agent(2)
    live(bus, cut(walk, 0, 10))
    saved = bus.dump()
    kept = {name: x.clone() for name, x in saved.items()}
    rest = live(bus, cut(walk, 10))
    assert_equal(saved, kept)
    other = agent(2)
    other.load(saved)
    assert_equal(live(other, cut(walk, 10)), rest)
    assert_equal(saved, kept)


def test_load_names_what_does_not_fit() -> None:
    saved = small().dump()
    with pytest.raises(KeyError, match=r"no 'state\.mec\.charge'.*other modules"):
        small().load({k: x for k, x in saved.items() if k != "state.mec.charge"})
    with pytest.raises(KeyError, match="no 'clock'"):
        small().load({k: x for k, x in saved.items() if k != "clock"})
    wrong = saved | {"state.mec.charge": torch.zeros(2, 5)}
    with pytest.raises(
        ValueError, match=r"'state\.mec\.charge' is torch\.float32 \[2, 5\], .*\[2, 2\]: .*other settings"
    ):
        small().load(wrong)
    with pytest.raises(ValueError, match=r"'wires\.env/x\.0' is torch\.float64"):
        small().load(saved | {"wires.env/x.0": torch.zeros(2, 2).double()})


@torch.no_grad()
def test_reset_makes_new_agents_of_any_number() -> None:
    bus = small()
    live(bus, small_walk(4))
    bus.reset(5)
    assert bus.t == 0
    assert_equal(live(bus, small_walk(4, batch=5)), live(small(5), small_walk(4, batch=5)))


# --- probes and clamps ------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_probe_records() -> None:
    walk, bus = small_walk(9, again=0.2), small()
    probe, late = bus.probe("mec/g"), None
    lived = [bus.play(cut(walk, 0, 4))]
    late = bus.probe("env/x")
    lived += [live(bus, cut(walk, 4, 6)), bus.play(cut(walk, 6))]
    assert torch.equal(probe.data, join(lived)["mec/g"])
    assert torch.equal(late.data, walk["env/x"][4:])
    kept = probe.data.clone()
    lived[0]["mec/g"].zero_()
    assert torch.equal(probe.data, kept)


@torch.no_grad()
def test_what_is_probed_runs_even_where_it_is_not_wanted() -> None:
    walk, bus = small_walk(5), small()
    probe = bus.probe("mec/g")
    out = bus.play(walk, want=["lec/dream"])
    assert out.keys() == {"lec/dream"}
    assert torch.equal(probe.data, live(small(), walk)["mec/g"])


SHAPED = torch.tensor([[1.0, 2.0], [3.0, 4.0]])


@torch.no_grad()
@pytest.mark.parametrize(
    ("value", "want"),
    [
        (0, lambda x: torch.zeros_like(x)),
        (2.5, lambda x: torch.full_like(x, 2.5)),
        (torch.tensor([1.0, 2.0]), lambda x: torch.tensor([1.0, 2.0]).expand_as(x)),
        (SHAPED, lambda x: SHAPED.expand_as(x)),
        (lambda x: x * 2 + 1, lambda x: x * 2 + 1),
    ],
    ids=["0", "number", "one for all", "one a row", "function"],
)
@pytest.mark.parametrize("topic", ["mec/g", "env/x", "world/b", "lec/dream"])
def test_clamps(value: Any, want: Any, topic: str) -> None:
    """The same ticked and played; readers see the clamped message, and the writer does not."""
    walk = small_walk(8, again=0.2)
    ticked, played = small(), small()
    free = live(small(), walk)
    for bus in (ticked, played):
        bus.clamp(topic, value)
    lived = live(ticked, walk)
    assert_equal(played.play(walk), lived)
    if topic in ("env/x", "lec/dream", "mec/g"):  # world/b hears itself through the loop
        assert torch.equal(lived[topic], want(free[topic]))
    if topic == "mec/g":
        assert torch.equal(lived["mec/g_path"], free["mec/g_path"])
        assert not torch.equal(lived["hc/a"], free["hc/a"])
    assert torch.equal(walk["env/x"], small_walk(8, again=0.2)["env/x"])  # the caller's messages are his own
    for bus in (ticked, played):
        bus.release(topic)
        bus.reset()
    assert_equal(live(ticked, walk), free)
    assert_equal(played.play(walk), free)


@torch.no_grad()
def test_a_clamp_inside_a_group_that_is_played_at_once() -> None:
    """`Leaky.fire` reads what `Leaky.charge` writes: the one call for both cannot see the clamp, so they are ticked."""
    walk, (ticked, played) = small_walk(8, again=0.2), (small(), small())
    free = live(small(), walk)
    for bus in (ticked, played):
        bus.clamp("mec/g_path", 1.0)
    lived = live(ticked, walk)
    assert_equal(played.play(walk), lived)
    assert not torch.equal(lived["mec/g"], free["mec/g"])


@torch.no_grad()
def test_clamps_keep_the_type_of_the_topic() -> None:
    bus = agent(2)
    bus.clamp("executive/action", 3.0)
    bus.clamp("env/bump", True)
    out = live(bus, square_walk(3, 2)[0])
    assert out["executive/action"].dtype == torch.int64
    assert (out["executive/action"] == 3).all()
    assert out["env/bump"].dtype == torch.bool


def test_clamps_and_probes_that_do_not_fit() -> None:
    bus = small()
    for act in (bus.probe, lambda topic: bus.clamp(topic, 0), lambda topic: bus.play(small_walk(2), want=[topic])):
        with pytest.raises(KeyError, match="no topic 'mec/gg'; did you mean 'mec/g'"):
            act("mec/gg")
    with pytest.raises(
        ValueError, match=r"'mec/g' cannot be clamped to a tensor \[3\]: it is float32 \[2\] for each of 2"
    ):
        bus.clamp("mec/g", torch.zeros(3))


# --- the graph, and errors while living -------------------------------------------------------------------------------


def test_graph() -> None:
    graph = small().graph()
    assert isinstance(graph, nx.MultiDiGraph)
    assert set(graph) == {"the world", "mec.charge", "mec.fire", "hc.say", "world.say", "lec.say"}
    edges = {(a, b, d["topic"], d["delay"]) for a, b, d in graph.edges(data=True)}
    assert edges == {
        ("the world", "mec.charge", "env/x", 0),
        ("the world", "mec.fire", "env/x", 3),
        ("mec.charge", "mec.fire", "mec/g_path", 0),
        ("mec.fire", "hc.say", "mec/g", 0),
        ("world.say", "hc.say", "world/b", 2),
        ("hc.say", "world.say", "hc/a", 0),
        ("the world", "world.say", "env/x", 1),
    }
    assert {d["contract"] for *_, d in graph.edges(data=True)} == {"float32 [2]"}


def breaking(at: float, **step: Any) -> Bus:
    def say(x: Tensor, *_: object) -> Messages:
        if x.device.type != "meta" and bool((x == at).any()):
            raise ArithmeticError("too much")
        return {"mec/g": x}

    return Bus({"env/x": Signal()}, {"mec": part(Step("say", {"x": "env/x"}, {"mec/g": Signal()}), say=say)})


def test_errors_in_a_step_name_it_and_the_tick() -> None:
    bus = breaking(3.0)
    for t in range(3):
        bus.tick({"env/x": torch.full((1, 1), float(t))})
    with pytest.raises(ArithmeticError, match="too much") as error:
        bus.tick({"env/x": torch.full((1, 1), 3.0)})
    (note,) = error.value.__notes__
    assert note.startswith("cogarch: at tick 3, in mec.say: ")
    with pytest.raises(ArithmeticError) as error:
        breaking(3.0).play({"env/x": torch.arange(5.0).view(5, 1, 1)})
    assert error.value.__notes__ == ["cogarch: playing ticks 0 to 4, in mec.say"]


def test_errors_of_steps_in_a_loop_name_the_tick_when_played() -> None:
    bus = small()

    def burst(a: Tensor, x: Tensor) -> Messages:
        raise ArithmeticError("too much")

    bus.parts["world"].say = burst
    with pytest.raises(ArithmeticError) as error:
        bus.play(small_walk(4))
    assert error.value.__notes__ == ["cogarch: at tick 0, in world.say"]


def test_errors_of_others_are_not_blamed_on_a_step() -> None:
    bus = breaking(3.0)
    with pytest.raises(KeyError) as error:
        bus.tick({})
    assert error.value.__notes__[0].startswith("cogarch: at tick 0, in the world's messages")
    bus.clamp("mec/g", lambda x: x / torch.zeros(3, 3, 3)[0, 0])
    with pytest.raises(RuntimeError) as runtime:
        bus.tick({"env/x": torch.zeros(1, 1)})
    assert "in the clamp of 'mec/g'" in runtime.value.__notes__[0]


def test_a_step_that_returns_too_little_while_living_is_named() -> None:
    module = part(
        Step("say", {"x": "env/x"}, {"mec/g": Signal()}),
        say=lambda x: {"mec/g": x} if x.device.type == "meta" else {},
    )
    bus = Bus({"env/x": Signal()}, {"mec": module})
    with pytest.raises(KeyError) as error:
        bus.tick({"env/x": torch.zeros(1, 1)})
    assert "in mec.say, which should write 'mec/g'" in error.value.__notes__[0]
    with pytest.raises(WiringError, match=r"mec\.say -> 'mec/g': declared float32 \[1\], for 3 ticks .* made nothing"):
        bus.play({"env/x": torch.zeros(3, 1, 1)})


@pytest.mark.parametrize(
    ("whole", "text"),
    [
        (lambda state, x: ({}, state), "made nothing"),
        (lambda state, x: ({"mec/g": x[0]}, state), r"made torch\.float32 \[1, 1\]"),
        (lambda state, x: ({"mec/g": x.double()}, state), r"made torch\.float64 \[3, 1, 1\]"),
    ],
)
def test_an_over_time_method_that_returns_the_wrong_thing(whole: Any, text: str) -> None:
    module = part(
        Step("say", {"x": "env/x"}, {"mec/g": Signal()}, state=True),
        init=lambda batch: {"h": torch.zeros(batch)},
        over_time={("say",): "whole"},
        say=lambda state, x: ({"mec/g": x}, state),
        whole=whole,
    )
    bus = Bus({"env/x": Signal()}, {"mec": module})
    with pytest.raises(WiringError, match=rf"mec\.whole -> 'mec/g': declared float32 \[1\], for 3 ticks .*{text}"):
        bus.play({"env/x": torch.zeros(3, 1, 1)})


def test_tick_is_a_straight_line() -> None:
    """No branch and no loop in what is written at wiring: every line of the tick runs once."""
    source = agent(hc={"recall_g": True})._tick.source
    lines = source.splitlines()
    assert lines[0] == "def tick(bus, inputs):"
    assert all(line.startswith("    ") and not line[4].isspace() for line in lines[1:])
    assert not any(word in source.split() for word in ("if", "for", "while", "try", "with"))


def test_state_is_where_the_bus_keeps_it() -> None:
    """No module of the agent changes while it lives: two buses may share it."""
    walk, _ = square_walk(10, 2)
    one = agent(2)
    two = Bus(env(), dict(one.parts.items()), batch=2)  # type: ignore[arg-type]
    with torch.no_grad():
        alone = live(agent(2), walk)
        live(one, cut(walk, 0, 5))
        assert_equal(live(two, walk), alone)
    assert all(x.shape[0] == 2 for _, x in leaves(one.state))
