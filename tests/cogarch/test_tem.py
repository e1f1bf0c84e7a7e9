"""The Tolman-Eichenbaum Machine equals a published one, number by number, and learns."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tiny
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import agents
import envs
from cogarch.bus import Bus
from cogarch.check import example_contracts
from cogarch.config import Agent, Schedule
from cogarch.folder import RunFolder
from cogarch.learning.train import resume, train
from cogarch.lec.two_hot import TwoHot
from cogarch.mec.tem import TEM, BlockLinear
from cogarch.module import Messages, Signal
from cogarch.run import contracts

Trace = dict[str, NDArray[Any]]

# --- a published forward pass -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trace() -> Trace:
    folder = os.environ.get("COGARCH_REFERENCE")
    if folder is None:
        pytest.skip("COGARCH_REFERENCE is not set: the reference trace is elsewhere")
    with np.load(Path(folder) / "tem_reference_trace.npz") as file:
        return dict(file)


def reference(trace: Trace, **settings: Any) -> Bus:
    """Our modules with the weights of the trace, its constants through configuration."""
    tem = agents.load("tem").change("mec", sigma="exp", still="learned").change("hc", **settings)
    inputs = {name: signal for name, signal in example_contracts().items() if name.startswith("env/")}
    modules = {role: part for role, part in tem.modules.items() if role != "executive"}
    bus = tem.model_copy(update={"modules": modules}).build(inputs, batch=4)
    lec, mec = bus.part("lec"), bus.part("mec")
    assert isinstance(lec, TwoHot)
    assert isinstance(mec, TEM)

    def weights(name: str) -> list[Tensor]:
        """An array, or the list of them over the frequency modules."""
        whole = trace.get(f"weights/{name}")
        if whole is not None:
            return [torch.tensor(whole)]
        before, _, after = name.partition("*")
        return [torch.tensor(trace[f"weights/{before}{f}{after}"]) for f in range(5)]

    with torch.no_grad():
        lec.filter_rate.copy_(torch.stack(weights("alpha.*")))
        lec.weight.copy_(torch.stack(weights("w_p.*")))
        lec.gain.copy_(weights("w_x")[0])
        lec.offset.copy_(weights("b_x")[0])
        mec.start.copy_(torch.cat(weights("g_init.*")))
        mec.start_log_sigma.copy_(torch.cat(weights("logsig_g_init.*")))
        for i, layer in ((0, lec.decoder[0]), (1, lec.decoder[2])):
            layer.weight.copy_(weights(f"MLP_c_star.w.0.{i}.weight")[0])
            layer.bias.copy_(weights(f"MLP_c_star.w.0.{i}.bias")[0])
        for f in range(5):
            mec.hidden[f].weight.copy_(weights("MLP_D_a.w.*.0.weight")[f])
            mec.hidden[f].bias.copy_(weights("MLP_D_a.w.*.0.bias")[f])
            mec.transition[f].copy_(weights("MLP_D_a.w.*.1.weight")[f])
        heads = {"MLP_sigma_g_path": mec.path_sigma, "MLP_mu_g_mem": mec.memory_g, "MLP_sigma_g_mem": mec.memory_sigma}
        for name, head in heads.items():
            for i, layer in ((0, head[0]), (1, head[2])):
                layer.weight.copy_(torch.block_diag(*weights(f"{name}.w.*.{i}.weight")))
                layer.bias.copy_(torch.cat(weights(f"{name}.w.*.{i}.bias")))
    bus.reset()  # with the learned beginning
    return bus


def walk(trace: Trace) -> Messages:
    """Its actions are those taken after a tick, 0 to stand still; ours led to it, and a refused one stands still."""
    seen = torch.tensor(trace["walk/observation"]).T[..., None]
    taken = torch.tensor(trace["walk/action"]).T[..., None]
    led = torch.cat([torch.full_like(taken[:1], -1), taken[:-1] - 1])
    start = torch.arange(len(seen))[:, None, None].expand_as(seen) == 0
    no = torch.zeros_like(start)
    return {"env/observation": seen, "env/action": led, "env/bump": no, "env/start": start,
            "env/motion": torch.zeros(*seen.shape[:2], 2), "env/reward": no.float()}  # fmt: skip


CODES = {
    "mec/g_path": "g_path", "mec/g": "g", "hc/p": "p", "hc/p_by_g": "p_recalled_from_g", "lec/x_filtered": "x_filtered",
}  # fmt: skip
LOGITS = {"lec/x_logits": "g_path", "lec/x_logits_by_g": "g", "lec/x_logits_by_p": "p"}
LOSSES = ("p_by_g", "p_by_x", "prediction", "prediction_by_g", "prediction_by_p", "g", "g_size", "p_size")


@pytest.mark.parametrize("how", ["tick", "play"])
@pytest.mark.parametrize("settings", [{}, {"window": 7}, {"plain": True}], ids=str)
def test_every_number_of_the_reference_is_ours(trace: Trace, settings: dict[str, Any], how: str) -> None:
    bus, heard = reference(trace, **settings), walk(trace)
    with torch.no_grad():
        if how == "play":
            said = bus.play(heard)
        else:
            ticks = [bus.tick({topic: x[t] for topic, x in heard.items()}) for t in range(40)]
            said = {topic: torch.stack([tick[topic] for tick in ticks]) for topic in ticks[0]}

    def same(found: Tensor, name: str, atol: float) -> None:
        torch.testing.assert_close(found.transpose(0, 1), torch.tensor(trace[name]), rtol=0, atol=atol)

    for topic, name in CODES.items():
        same(said[topic], f"out/{name}", 1e-5)
    for topic, name in LOGITS.items():
        same(said[topic], f"out/x_logits_from_{name}", 1e-4)
    same(torch.stack([said[f"loss/{name}"] for name in LOSSES], -1), "out/losses", 1e-4)
    for name in ("generative", "inference"):
        memory: Any = getattr(bus.part("hc"), name)
        expected = torch.tensor(trace[f"out/memory_{name}_final"][0])
        torch.testing.assert_close(memory.matrix(bus.state["hc"][name])[0], expected, rtol=0, atol=1e-5)


def test_gradients_through_a_window_are_those_of_whole_matrices(trace: Trace) -> None:
    """Over two updates of 20 ticks, the state carried from one to the other."""
    found: list[list[Tensor]] = []
    for settings in ({}, {"plain": True}):
        bus, heard = reference(trace, **settings), walk(trace)
        for part in (slice(0, 20), slice(20, 40)):
            if part.start:
                bus.detach()
            said = bus.play({topic: x[part] for topic, x in heard.items()})
            total = sum(said[f"loss/{name}"].mean() for name in LOSSES)
            grads = torch.autograd.grad(total, [*bus.parts.parameters()], allow_unused=True)
            found.append([grad for grad in grads if grad is not None])
    assert [len(grads) for grads in found[:2]] == [len(list(bus.parts.parameters())), len(found[3])]
    for window, plain in zip(found[:2], found[2:], strict=True):
        for a, b in zip(window, plain, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


# --- the sensory code -------------------------------------------------------------------------------------------------


def observed(n: int) -> dict[str, Signal]:
    return example_contracts() | {"env/observation": Signal(dtype=torch.int64, values=n)}


def test_each_object_has_two_of_the_units_of_its_own() -> None:
    module = TwoHot(observed(45))
    codes = {tuple(code.nonzero().flatten().tolist()) for code in module.table}
    assert len(codes) == 45 and all(len(code) == 2 for code in codes)
    with pytest.raises(ValueError, match=r"46 objects, but two of 10 units are 45 pairs: give lec.units = 11 or more"):
        TwoHot(observed(46))
    assert len(TwoHot(observed(46), units=11).table) == 46
    with pytest.raises(ValueError, match=r"lec.filters is \[1.5\]: give rates between 0 and 1"):
        TwoHot(observed(45), filters=[1.5])
    with pytest.raises(ValueError, match=r"lec/two_hot encodes one whole number .* use lec/one_hot"):
        TwoHot(example_contracts() | {"env/observation": Signal((7, 7, 3), torch.uint8)})


def test_filters_and_weights_by_hand() -> None:
    module = TwoHot(observed(2), units=3, filters=[0.5, 0.1])
    seen = torch.tensor([0, 0, 1])[:, None, None]
    said, _ = module.filter(module.init(1), seen)
    x = module.table[seen[:, 0, 0]].double().detach().numpy()
    for f, rate in enumerate((0.5, 0.1)):
        filtered = np.zeros(3)
        for t in range(3):
            filtered = (1 - rate) * filtered + rate * x[t]
            found = said["lec/x_filtered"][t, 0, 3 * f : 3 * f + 3].detach().numpy()
            np.testing.assert_allclose(found, filtered, atol=1e-6)
            above = np.maximum(filtered - filtered.mean(), 0)
            weighted = above / np.linalg.norm(above) / (1 + np.exp(-1))
            found = said["lec/x_weighted"][t, 0, 3 * f : 3 * f + 3].detach().numpy()
            np.testing.assert_allclose(found, weighted, atol=1e-6)


# --- the structural code ----------------------------------------------------------------------------------------------


def test_modules_are_kept_apart_and_move_by_lower_frequencies_only() -> None:
    layer = BlockLinear([2, 3], [4, 1])
    layer(torch.randn(5, 5)).sum().backward()  # type: ignore[no-untyped-call]
    own = torch.block_diag(torch.ones(4, 2), torch.ones(1, 3))  # type: ignore[no-untyped-call]
    assert layer.weight.grad is not None
    assert ((layer.weight != 0) == (own > 0)).all() and ((layer.weight.grad != 0) == (own > 0)).all()

    code = TEM(example_contracts(), modules=[2, 3])
    nn.init.normal_(code.transition[0])
    nn.init.normal_(code.transition[1])
    matrices = code._matrices().view(5, 5, 5)  # from, action, to
    assert (matrices[:2, :, 2:] == 0).all() and (matrices[:2, :, :2] != 0).all() and (matrices[2:] != 0).all()


def test_a_refused_move_moves_nothing_and_the_first_tick_is_learned() -> None:
    code = TEM(example_contracts(), modules=[4])
    nn.init.normal_(code.transition[0])
    state = code.init(2)
    action, free = torch.tensor([[-1], [2]]), torch.zeros(2, 1, dtype=torch.bool)
    said, state = code.move(state, action, free)
    assert torch.equal(said["mec/g_path"], code.start.expand(2, -1))  # whatever led to it
    said, after = code.move(state, torch.tensor([[1], [1]]), torch.tensor([[True], [False]]))
    assert torch.equal(said["mec/g_path"][0], code.start)
    expected = (code.start + code.start @ code._matrices().view(4, 5, 4)[:, 1]).clamp(-1, 1)
    torch.testing.assert_close(said["mec/g_path"][1], expected)
    assert after["lived"].all()


def test_correction_is_the_mean_weighted_by_precision_and_stays_out_where_the_gate_is_shut() -> None:
    code = TEM(example_contracts(), modules=[6, 3])
    state = code.init(1)
    path, recalled, error = torch.rand(1, 9), torch.rand(1, 9), torch.tensor([[0.3]])
    said, _ = code.correct(state, path, recalled, error)
    sight = code.memory_g(recalled[:, [0, 1, 6]])
    large = [float(sight[0, cells].detach().square().sum()) for cells in (slice(0, 6), slice(6, 9))]
    told = torch.tensor([[large[0], 0.3, large[1], 0.3]])
    a, b = state["sigma"] ** -2, (6 * code.memory_sigma(told).tanh() - 2).exp() ** -2
    torch.testing.assert_close(said["mec/g"], (path * a + sight.clamp(-1, 1) * b) / (a + b))
    code.gate = 0.0
    torch.testing.assert_close(code.correct(state, path, recalled, error)[0]["mec/g"], path, rtol=0, atol=1e-4)
    alone = code.correct(state, path)[0]
    assert torch.equal(alone["mec/g"], path) and not alone["loss/g"].any()
    with pytest.raises(ValueError, match=r"mec.modules is .*: give the cells of each module"):
        TEM(example_contracts(), modules=[3, 0])


@pytest.mark.parametrize("sigma", ["bounded", "exp"])
def test_bounded_heads_of_sigma_stay_finite_and_teach_nothing_to_what_they_read(
    sigma: Literal["bounded", "exp"],
) -> None:
    code, bounded = TEM(example_contracts(), modules=[6, 3], sigma=sigma), sigma == "bounded"
    g, error = torch.rand(1, 9, requires_grad=True), torch.tensor([[0.3]], requires_grad=True)
    state = {"g": g, "sigma": code.init(1)["sigma"], "lived": torch.tensor([[True]])}
    _, after = code.move(state, torch.tensor([[1]]), torch.tensor([[False]]))
    said, _ = code.correct(code.init(1), torch.rand(1, 9), torch.rand(1, 9), error)
    for heard, of in ((after["sigma"], g), (said["mec/g"], error)):
        (grad,) = torch.autograd.grad(heard.sum(), of, allow_unused=True)
        assert (grad is None) == bounded
    with torch.no_grad():
        for head in (code.path_sigma, code.memory_sigma):
            head[-1].bias.fill_(99.0)
        _, after = code.move(state, torch.tensor([[1]]), torch.tensor([[False]]))
    assert bool(after["sigma"].isfinite().all()) == bounded


# --- the agent --------------------------------------------------------------------------------------------------------


def build(agent: Agent, **options: Any) -> Bus:
    return agent.build(contracts(envs.make("Square-v0", 1, **options)), batch=2, learning=True)


def test_parts_of_tem_fit_the_others_alternatives() -> None:
    tem = agents.load("tem")
    for agent in (
        tem.swap("hc", "modern_hopfield"),
        tem.swap("hc", "modern_hopfield", recall_g=True),
        tem.swap("lec", "one_hot").change("mec", modules=[12, 9]),
        tem.swap("mec", "tem_t", n=30).swap("lec", "one_hot"),
        tem.swap("mec", "recurrent", n=40).change("lec", filters=[0.5]),
        tem.swap("mec", "rotor", motion="learned").change("lec", filters=[0.5]),
    ):
        bus = build(agent)
        heard = {topic: torch.stack([bus.plan.topics[topic].empty(2)] * 4) for topic in bus.plan.inputs}
        said = bus.play(heard)
        said["loss/prediction"].mean().backward()  # type: ignore[no-untyped-call]
        assert said["lec/x_predicted"].isfinite().all()


@pytest.mark.parametrize(
    ("role", "use", "settings", "left"),
    [
        ("hc", "modern_hopfield", {}, "loss/p_by_g, loss/p_by_x, loss/p_size"),
        ("lec", "one_hot", {}, "loss/prediction_by_g, loss/prediction_by_p"),
        ("mec", "recurrent", {"lec": {"filters": [0.5]}}, "loss/g, loss/g_size"),
    ],
)
def test_tem_is_trained_with_the_others_alternatives(
    role: str, use: str, settings: dict[str, Any], left: str, tmp_path: Path
) -> None:
    agent, console = agents.load("tem"), tiny.quiet()
    agent = agent.change("mec", modules=[9, 6]).change("lec", filters=[0.9, 0.1], hidden=8).swap(role, use)
    for other, changed in settings.items():
        agent = agent.change(other, **changed)
    agent = agent.train_with(updates=2, batch=2, steps=5, walk=[5, 10])
    folder = train(agent, out=tmp_path / "run", console=console)
    assert f"left out, with the module that wrote them: {left}" in " ".join(tiny.said(console).split())
    assert folder.config["status"] == "done" and folder.agent.swapped == (role,)
    assert not set(left.split(", ")) & folder.agent.training.losses.keys()
    assert resume(RunFolder.open(folder.path), console).config["status"] == "done"


def test_objects_that_the_code_does_not_tell_apart_are_refused() -> None:
    with pytest.raises(ValueError, match=r"give lec.units = 11"):
        build(agents.load("tem"), objects=50)
    with pytest.raises(ValueError, match=r"10 objects and 10 units: .* give lec.units = 11"):
        build(agents.load("tem"), objects=10)


def test_schedules() -> None:
    line = Schedule(start=0.0, end=0.5, over=10)
    assert [line.at(n) for n in (0, 5, 10, 99)] == [0.0, 0.25, 0.5, 0.5]
    half = Schedule(start=9.4e-4, end=8e-5, over=4000, kind="halving")
    for n in (0, 1000, 4000, 20000):  # the learning rate of the reference
        assert half.at(n) == pytest.approx(8e-5 + (9.4e-4 - 8e-5) * 0.5 ** (n / 4000))
    gate = Schedule(start=0.0, end=1.0, over=200, middle=400, kind="sigmoid")
    assert gate.at(0) == pytest.approx(1 / (1 + np.exp(2))) and Schedule(
        start=0, end=1, over=1, middle=9999, kind="sigmoid"
    ).at(0) == pytest.approx(0)
    assert gate.at(400) == 0.5 and gate.at(600) == pytest.approx(1 / (1 + np.exp(-1)))
