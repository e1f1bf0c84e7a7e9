"""Continuous sensory codes: their loss by hand, what I-JEPA hides and foresees, their version, and their training."""

from __future__ import annotations

import contextlib
import copy
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from buses import START
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from torch import Tensor

import agents
import envs
from cogarch import Agent, Bus, Signal
from cogarch.bench import codes, sensory
from cogarch.bench.sensory import adjacent, nearest_is_near
from cogarch.check import check_module, example_contracts
from cogarch.folder import RunFolder
from cogarch.hc.modern_hopfield import ModernHopfield
from cogarch.learning.train import resume, train
from cogarch.lec.continuous import Continuous, each_once
from cogarch.lec.conv import Conv
from cogarch.lec.fly_hash import FlyHash
from cogarch.lec.jepa import Jepa, positions
from cogarch.lec.masks import DRAWS, blocks
from cogarch.mec.rotor import Rotor
from cogarch.module import Messages, Module
from cogarch.objectives import objective
from cogarch.registry import ConfigError, catalogue, find
from cogarch.run import contracts

VIEW = Signal((5, 5, 2), torch.uint8)
PIXELS = Signal((32, 32, 3), torch.uint8, unit="RGB")
SMALL: dict[str, Any] = {"width": 16, "depth": 1, "predictor_width": 8, "predictor_depth": 1}


def jepa(seen: Signal = VIEW, **settings: Any) -> Jepa:
    torch.manual_seed(0)
    return Jepa({"env/observation": seen}, **(SMALL | settings))


def conv(seen: Signal = VIEW, **settings: Any) -> Conv:
    torch.manual_seed(0)
    return Conv({"env/observation": seen}, **({"size": 12, "hidden": 16} | settings))


def views(ticks: int, batch: int, kinds: int = 4, seed: int = 0) -> Tensor:
    """Walks `[T, B, 5, 5, 2]` in which so many views come again."""
    rng = np.random.default_rng(seed)
    different = rng.integers(0, 6, size=(kinds, *VIEW.shape), dtype=np.uint8)
    return torch.from_numpy(different[rng.integers(kinds, size=(ticks, batch))])


# --- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("motion", ["dx, dy", "turn, advance"])
@pytest.mark.parametrize("seen", [VIEW, PIXELS], ids=["symbols", "pixels"])
@pytest.mark.parametrize(("cls", "settings"), [(FlyHash, {"cells": 60}), (Conv, {}), (Jepa, SMALL)])
def test_they_pass_the_conformance_suite(
    cls: type[Module], settings: dict[str, Any], seen: Signal, motion: str
) -> None:
    def make(topics: Any) -> Module:
        return cls(topics, **settings)  # type: ignore[call-arg]

    make.role = "lec"  # type: ignore[attr-defined]
    verdicts = check_module(make, example_contracts(motion) | {"env/observation": seen})
    assert [v for v in verdicts if v.passed is not True and v.text != "no GPU here"] == []


def test_what_they_share_is_no_entry_of_the_catalogue() -> None:
    assert {"conv", "fly_hash", "jepa", "one_hot", "two_hot"} == catalogue()["lec"].keys()
    assert find("lec", "jepa") is Jepa
    with pytest.raises(ConfigError, match="holds no module that fills lec"):
        find("lec", "continuous")


@given(st.integers(0, 1000))
def test_each_view_is_coded_once(seed: int) -> None:
    seen = views(12, 1, kinds=5, seed=seed)[:, 0]
    first, which = each_once(seen)
    assert torch.equal(seen[first][which], seen)
    assert len(first) == len({tuple(view.flatten().tolist()) for view in seen})
    assert all(not any(torch.equal(seen[i], seen[j]) for j in range(i)) for i in first.tolist())


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_retrieval_is_the_share_of_ticks_with_the_same_view(temperature: float) -> None:
    lec = conv(temperature=temperature)
    seen, g = views(9, 3), torch.Generator().manual_seed(1)
    x, predicted = (F.normalize(torch.randn(9, 3, 12, generator=g), dim=-1) for _ in range(2))
    found = lec.retrieval(x, predicted, seen)
    losses = []
    for row in range(3):
        for t in range(9):
            same = [s for s in range(9) if torch.equal(seen[s, row], seen[t, row])]
            if min(same) == t:
                continue  # not seen before
            weights = [math.exp(float(predicted[t, row] @ x[s, row]) / temperature) for s in range(9)]
            losses.append(-math.log(sum(weights[s] for s in same) / sum(weights)))
    assert 0 < len(losses) < 27
    assert float(found) == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_a_code_that_is_the_same_everywhere_finds_nothing() -> None:
    seen = torch.arange(8, dtype=torch.uint8).repeat(3)[:, None, None, None, None].expand(24, 2, *VIEW.shape)
    x = F.one_hot(torch.arange(8).repeat(3), 12).float()[:, None].expand(24, 2, 12)
    lec, same = conv(), F.normalize(torch.ones(24, 2, 12), dim=-1)
    assert float(lec.retrieval(same, same, seen)) == pytest.approx(math.log(8), rel=1e-5)
    assert float(lec.retrieval(x, x, seen)) == pytest.approx(math.log(1 + 7 * math.exp(-10)), rel=0.01)
    nothing_again = lec.retrieval(x[:8], x[:8], seen[:8])
    assert float(nothing_again) == 0


def mapped(lec: Continuous, batch: int = 3) -> tuple[Bus, Messages]:
    """A map in that code, and walks of 10 ticks."""
    topics = {
        "env/observation": lec.seen,
        "env/action": Signal(dtype=torch.int64, values=4),
        "env/motion": Signal((2,), unit="dx, dy"),
        "env/bump": Signal(dtype=torch.bool),
        "env/start": START,
    }
    known, parts = dict(topics), {"lec": lec}
    torch.manual_seed(0)
    for step in lec.steps():
        known |= step.writes
    mec = Rotor(known, motion="learned", modules=2, cells=6)
    for step in mec.steps():
        known |= step.writes
    hc = ModernHopfield(known, capacity=10, learn_beta=True)
    bus = Bus(topics, {**parts, "mec": mec, "hc": hc}, batch=batch)
    start = torch.zeros(10, batch, 1, dtype=torch.bool)
    start[0] = True
    g = torch.Generator().manual_seed(0)
    action = torch.randint(0, 4, (10, batch, 1), generator=g)
    return bus, {
        "env/observation": views(10, batch),
        "env/action": torch.where(start, -1, action),
        "env/motion": torch.zeros(10, batch, 2),
        "env/bump": torch.zeros_like(start),
        "env/start": start,
    }


@pytest.mark.parametrize("make", [conv, jepa])
def test_retrieval_teaches_the_code_the_map_and_the_memory(make: Any) -> None:
    bus, walk = mapped(make())
    assert set(bus.reach()["loss/retrieval"]) == {"lec", "mec", "hc"}
    objective(bus, "loss/retrieval", bus.play(walk), 0).backward()  # type: ignore[no-untyped-call]
    lec, mec, hc = (bus.part(role) for role in ("lec", "mec", "hc"))
    learned = lec.encoder.parameters()  # type: ignore[union-attr]
    for weights in (list(learned), [mec.displacement], [hc.log_beta]):
        assert all(weight.grad is not None for weight in weights)  # type: ignore[union-attr]
        assert any(float(weight.grad.abs().max()) > 0 for weight in weights)  # type: ignore[union-attr, operator]


def test_fly_hash_says_no_version_and_the_map_learns_by_it() -> None:
    torch.manual_seed(0)
    bus, walk = mapped(FlyHash({"env/observation": VIEW}, cells=40))
    assert "lec/version" not in bus.plan.topics and "version" not in bus.state["hc"]
    assert bus.reach()["loss/retrieval"] == ("hc", "mec")
    assert float(objective(bus, "loss/retrieval", bus.play(walk), 0).detach()) > 0


# --- spread -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [conv, jepa])
def test_spread_is_the_variance_and_covariance_of_different_views(make: Any) -> None:
    lec, seen = make(), views(30, 4, kinds=40)
    different = torch.unique(seen.flatten(0, 1), dim=0)
    with torch.no_grad():
        found = float(lec.spread(seen))
        z = (lec.learned_code(different) * math.sqrt(lec.n)).double().numpy()
    c = np.cov(z.T)
    off = (c**2).sum() - (np.diag(c) ** 2).sum()
    short = np.maximum(1 - np.sqrt(np.diag(c) + 1e-4), 0).mean()
    assert found == pytest.approx(short + off / (lec.n * (lec.n - 1)), rel=1e-3)


# --- I-JEPA: what is hidden -------------------------------------------------------------------------------------------


@given(
    st.lists(st.floats(0, 1, exclude_max=True), min_size=DRAWS, max_size=DRAWS), st.integers(1, 9), st.integers(1, 9)
)
def test_the_context_has_nothing_of_what_is_to_be_foreseen(u: list[float], height: int, width: int) -> None:
    if height * width < 2:
        return
    context, targets = blocks(u, height, width)
    hidden = {patch for block in targets for patch in block}
    assert context and targets
    assert not hidden & set(context) and len(set(context)) == len(context)
    assert hidden | set(context) <= set(range(height * width))
    assert len({len(block) for block in targets}) == 1  # nothing need be padded
    for block in targets:
        rows, columns = {p // width for p in block}, {p % width for p in block}
        assert len(block) == len(rows) * len(columns) == (max(rows) - min(rows) + 1) * (max(columns) - min(columns) + 1)


def test_blocks_are_of_the_published_sizes() -> None:
    rng = np.random.default_rng(0)
    targets, contexts, shapes = [], [], []
    for _ in range(500):
        context, found = blocks(rng.random(DRAWS).tolist(), 14, 14)  # the grid of ViT-H/14 on ImageNet
        assert len(found) == 4
        contexts.append(len(context) / 196)
        targets.append(len(found[0]) / 196)
        rows, columns = ({p // 14 for p in found[0]}, {p % 14 for p in found[0]})
        shapes.append(len(rows) / len(columns))
    assert (
        0.12 < min(targets) < 0.15 and 0.19 < max(targets) < 0.23 and np.mean(targets) == pytest.approx(0.175, abs=0.01)
    )
    assert 0.65 < min(shapes) < 0.8 and 1.35 < max(shapes) < 1.8
    assert 0.25 < np.mean(contexts) < 0.6


# --- I-JEPA: what is learned ------------------------------------------------------------------------------------------


def test_hidden_patches_are_foreseen_as_the_target_codes_the_whole_view() -> None:
    lec, seen = jepa(), views(6, 2)
    drawn = torch.rand(DRAWS, generator=torch.Generator().manual_seed(3))
    context, targets = blocks(drawn.tolist(), 5, 5)
    errors = []
    with torch.no_grad():
        for view in torch.unique(seen.flatten(0, 1), dim=0):
            bits = [[float((int(v) >> bit) & 1) for v in cell for bit in range(8)] for cell in view.reshape(25, 2)]
            cells = torch.tensor([bits])
            whole = lec.target(cells)[0]
            whole = (whole - whole.mean(-1, keepdim=True)) / (whole.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
            tokens = lec.encoder(cells[:, context], torch.tensor(context))
            for block in targets:
                made = lec.predictor(tokens, torch.tensor(context), torch.tensor([block]))[0, 0]
                far = (made - whole[block]).abs()
                errors.append(torch.where(far < 1, far.square() / 2, far - 0.5).mean())
        found = lec.masked(seen, drawn)
    assert float(found) == pytest.approx(float(sum(errors)) / len(errors), rel=1e-4)


def test_no_gradient_goes_to_the_target_and_it_follows_the_encoder() -> None:
    lec, seen = jepa(momentum=0.9), views(6, 2)
    loss = lec.masked(seen, torch.rand(DRAWS, generator=torch.Generator().manual_seed(3)))
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None and not p.requires_grad for p in lec.target.parameters())
    assert all(p.grad is not None for part in (lec.encoder, lec.predictor) for p in part.parameters())
    with torch.no_grad():
        for p in lec.encoder.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    slow, fast = copy.deepcopy(lec.target), copy.deepcopy(lec.encoder)
    for factor in (0.9, 0.5):
        lec.momentum = factor
        lec.learned({"env/observation": seen})
        for mine, before, aim in zip(lec.target.parameters(), slow.parameters(), fast.parameters(), strict=True):
            torch.testing.assert_close(mine.data, factor * before.data + (1 - factor) * aim.data)
        slow = copy.deepcopy(lec.target)


def test_the_code_is_the_mean_token_without_what_is_usual() -> None:
    lec, seen = jepa(momentum=1.0), views(30, 4, kinds=40)
    different = torch.unique(seen.flatten(0, 1), dim=0)
    with torch.no_grad():
        before = lec.encode(different)["lec/x"]
        lec.learned({"env/observation": seen})
        mean = lec.target(lec._patches(different)).mean(1).double().numpy()
        after = lec.encode(different)["lec/x"]
    away = mean - mean.mean(0)
    np.testing.assert_allclose(lec.mean, mean.mean(0), atol=1e-5)
    usual = away.T @ away / len(away)
    variances, axes = np.linalg.eigh(usual)
    white = away @ (axes / np.sqrt(variances + 0.01 * variances.mean())) @ axes.T
    np.testing.assert_allclose(after, white / np.linalg.norm(white, axis=1, keepdims=True), atol=1e-3)
    # likenesses are near 1 without it, and on both sides of 0 with it
    other = ~torch.eye(len(different), dtype=torch.bool)
    assert float((before @ before.T)[other].mean()) > 0.9 > 0.1 > abs(float((after @ after.T)[other].mean()))


def test_pixels_are_cut_in_patches_of_eight() -> None:
    lec = jepa(PIXELS)
    picture = torch.arange(32 * 32 * 3).remainder(251).to(torch.uint8).view(1, 32, 32, 3)
    cut = lec._patches(picture)
    assert lec.grid == (4, 4) and cut.shape == (1, 16, 192)
    torch.testing.assert_close(cut[0, 6], picture[0, 8:16, 16:24].flatten() / 255)
    assert float(positions(4, 4, 16)[6, 0]) == pytest.approx(math.sin(1))  # row 1
    assert float(positions(4, 4, 16)[6, 8]) == pytest.approx(math.sin(2))  # column 2


@pytest.mark.parametrize(
    ("seen", "settings", "text"),
    [
        (Signal(dtype=torch.int64, values=45), {}, r"lec/jepa encodes views and pixels \[h, w, channels\]"),
        (Signal((7,)), {}, r"lec/jepa encodes views and pixels .* use another world or another lec"),
        (Signal((1, 1, 3), torch.uint8), {}, "views of 1 x 1 cannot be cut in 2 or more patches of 1 x 1"),
        (PIXELS, {"patch": 5}, "views of 32 x 32 cannot be cut in .* patches of 5 x 5; give lec.patch a number"),
        (VIEW, {"width": 18}, "lec.width is 18; give a multiple of 4 and of the 4 heads"),
    ],
)
def test_what_jepa_does_not_take(seen: Signal, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        jepa(seen, **settings)


def test_what_conv_does_not_take() -> None:
    with pytest.raises(ValueError, match=r"lec/conv encodes views and pixels \[h, w, channels\], env/observation is"):
        conv(Signal((7,)))


# --- which version it is ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [conv, jepa])
def test_the_version_is_that_of_the_weights_that_make_the_code(make: Any, tmp_path: Path) -> None:
    lec, other, seen = make(), make(), views(6, 2)
    assert int(lec.version) == int(other.version) != 0
    assert torch.equal(lec.encode(seen[0])["lec/version"], lec.version.expand(2, 1))
    with torch.no_grad():
        for p in lec.encoder.parameters():
            p.mul_(1.01)
    lec.learned({"env/observation": seen})
    assert int(lec.version) != int(other.version)
    other.load_state_dict(lec.state_dict())
    assert int(lec.version) == int(other.version)
    if isinstance(lec, Jepa):  # what only learns to foresee does not make the code
        kept = int(lec.version)
        with torch.no_grad():
            lec.predictor.mask.add_(1)
        lec.renew()
        assert int(lec.version) == kept


def bank(version: bool = True, **settings: Any) -> Bus:
    topics = {
        "mec/g_path": Signal((4,)),
        "mec/g": Signal((4,)),
        "lec/x": Signal((3,)),
        "env/start": START,
    } | ({"lec/version": Signal(dtype=torch.int64)} if version else {})
    return Bus(topics, {"hc": ModernHopfield(topics, **({"capacity": 20} | settings))}, batch=2)


def lived(ticks: int, seed: int = 0) -> Messages:
    g = torch.Generator().manual_seed(seed)
    at = torch.randn(ticks, 2, 4, generator=g)
    start = torch.zeros(ticks, 2, 1, dtype=torch.bool)
    return {"mec/g_path": at, "mec/g": at, "lec/x": torch.randn(ticks, 2, 3, generator=g), "env/start": start}


@pytest.mark.parametrize("merge", [0.0, 0.9])
@pytest.mark.parametrize("play", [False, True])
def test_memories_of_another_version_are_never_mixed(play: bool, merge: float) -> None:
    walk = lived(12)
    version = torch.full((12, 2, 1), 5)
    version[7:, 1] = -9  # the second agent's encoder changes
    version[9:, 0] = 5
    bus, same = bank(merge=merge), bank(False, merge=merge)

    def live(bus: Bus, walk: Messages) -> Messages:
        with torch.no_grad():
            if play:
                return bus.play(walk)
            said = [bus.tick({k: x[t].clone() for k, x in walk.items()}) for t in range(len(walk["env/start"]))]
        return {k: torch.stack([tick[k] for tick in said]) for k in said[0]}

    said = live(bus, walk | {"lec/version": version})
    whole, late = live(same, walk), live(bank(False, merge=merge), {k: x[7:] for k, x in walk.items()})
    for topic in ("hc/recalled_x", "hc/p", "hc/familiarity", "hc/slot"):
        torch.testing.assert_close(said[topic][:, 0], whole[topic][:, 0])
        torch.testing.assert_close(said[topic][:7, 1], whole[topic][:7, 1])
        torch.testing.assert_close(said[topic][7:, 1], late[topic][:, 1])  # a bank that was empty at tick 7
    assert not said["hc/recalled_x"][7, 1].any()
    assert bus.state["hc"]["renewed"].tolist() == [0, 1]
    notice = bus.part("hc").notice(bus.state["hc"])
    assert notice is not None and notice.startswith("the encoder changed: ") and "1 bank was begun anew" in notice
    assert same.part("hc").notice(same.state["hc"]) is None


def test_a_saved_life_goes_on_with_its_own_encoder_and_begins_anew_with_another() -> None:
    walk = lived(8)
    of = lambda version: walk | {"lec/version": torch.full((8, 2, 1), version)}  # noqa: E731
    bus = bank()
    bus.play(of(5))
    saved = bus.dump()
    for version, recalled in ((5, True), (6, False)):
        other = bank()
        other.load(saved)
        said = other.tick({k: x[3] for k, x in of(version).items()})
        assert bool(said["hc/recalled_x"].any()) == recalled
        assert other.part("hc").usage(other.state["hc"]).items.tolist() == ([9, 9] if recalled else [1, 1])  # type: ignore[operator]
        assert (other.part("hc").notice(other.state["hc"]) is None) == recalled


def test_a_living_agent_whose_encoder_changes_begins_a_new_bank() -> None:
    lec = conv()
    bus, walk = mapped(lec)
    ticks = [{topic: x[t] for topic, x in walk.items()} for t in range(10)]
    with torch.no_grad():
        for tick in ticks[:5]:
            said = bus.tick(tick)
        assert said["hc/recalled_x"].any() and bus.part("hc").notice(bus.state["hc"]) is None
        for p in lec.encoder.parameters():
            p.add_(0.01)
        lec.learned({})
        assert not bus.tick(ticks[5])["hc/recalled_x"].any()
        assert "3 banks were begun anew" in (bus.part("hc").notice(bus.state["hc"]) or "")
        assert bus.tick(ticks[6])["hc/recalled_x"].any()


@pytest.mark.parametrize(
    "settings",
    [{}, {"capacity": 5, "recall_g": True}, {"capacity": 4, "merge": 0.9}, {"capacity": 5, "landmark": 20.0}],
    ids=str,
)
def test_the_memory_passes_the_suite_with_versions_that_change_all_the_time(settings: dict[str, Any]) -> None:
    def make(topics: Any) -> Module:
        return ModernHopfield(topics, **settings)

    make.role = "hc"  # type: ignore[attr-defined]
    verdicts = check_module(make, example_contracts() | {"lec/version": Signal(dtype=torch.int64)})
    assert [v for v in verdicts if v.passed is not True and v.text != "no GPU here"] == []


def test_without_a_version_the_memory_is_as_it_was() -> None:
    bus, walk = bank(False), lived(30)
    assert bus.state["hc"].keys() == {"keys", "values", "strength", "last", "clock", "dropped"}
    said = bus.play(walk)
    of = torch.full((30, 2, 1), 3)
    versioned = bank().play(walk | {"lec/version": of})
    assert all(torch.equal(said[topic], versioned[topic]) for topic in said)


# --- training ---------------------------------------------------------------------------------------------------------


def viewer(lec: str, **training: Any) -> Agent:
    agent = agents.load("viewer").change("mec", modules=2, cells=8, motion="learned")
    if lec == "conv":
        agent = agent.swap("lec", "conv", size=16, hidden=16)
        losses = {"loss/retrieval": 1.0, "loss/spread": 1.0}
    else:
        agent, losses = agent.change("lec", **SMALL), {"loss/retrieval": 1.0, "loss/spread": 1.0, "loss/masked": 1.0}
    small = {"updates": 12, "batch": 3, "steps": 20, "losses": losses, "options": {"width": 4, "view": 3}}
    small |= {"modules": {"hc": {"capacity": 20, "merge": 0.0, "beta": 15.0}}}
    return agent.train_with(**small, **training)


@pytest.mark.parametrize("lec", ["conv", "jepa"])
def test_a_training_learns_and_goes_on_to_the_bit(lec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO())
    whole = train(viewer(lec), out=tmp_path / "whole", console=console)
    path = tmp_path / "broken"
    calls = []

    def stop(self: Continuous, said: Messages) -> None:
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        kept(self, said)

    cls: type[Continuous] = Conv if lec == "conv" else Jepa
    kept = cls.learned
    with monkeypatch.context() as patch:
        patch.setattr(cls, "learned", stop)
        with pytest.raises(KeyboardInterrupt):
            train(viewer(lec), out=path, save_every=5, console=console)
    broken = resume(RunFolder.open(path), console)
    inputs = mapped(conv(Signal((3, 3, 2), torch.uint8)))[0].plan
    topics = {topic: inputs.topics[topic] for topic in inputs.inputs}
    a, b, fresh = (agent.build(topics).parts.state_dict() for agent in (whole.agent, broken.agent, viewer(lec)))
    assert all(torch.equal(a[name], b[name]) for name in a)
    changed = {name for name in a if not torch.equal(a[name], fresh[name])}
    assert {"lec.version", "mec.displacement"} <= changed
    assert not any("predictor" in name or "encoder" in name for name in a.keys() - changed if name.endswith("weight"))
    losses = whole.metrics
    assert all(math.isfinite(row["loss/retrieval"]) for row in losses)


# --- the bench --------------------------------------------------------------------------------------------------------


def test_views_are_near_where_they_were_sensed_side_by_side() -> None:
    """A corridor of five nodes, of which the first and the last look the same."""
    view, node = np.array([0, 1, 2, 3, 0]), np.arange(5)
    edges = np.array([[n, 0, n + 1] for n in range(4)])
    near = adjacent(view, node, edges, 5)
    pairs = {(a, b) for a in range(4) for b in range(4) if near[a, b] and a != b}
    assert pairs == {(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2), (3, 0), (0, 3)}
    likeness = torch.tensor([[9, 3, 2, 1], [3, 9, 1, 3], [4, 0, 9, 4], [0, 0, 2, 9]]).float()
    # 0 -> 1, near; 1 -> 0 or 3, one of them near; 2 -> 0 or 3, as well; 3 -> 2, near
    assert nearest_is_near(likeness, near) == pytest.approx((1 + 0.5 + 0.5 + 1) / 4)
    assert nearest_is_near(torch.zeros(4, 4), near) == pytest.approx(2 / 3)  # chance


def test_the_bench_sets_codes_beside_what_they_were_before_learning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codes, "TRAINED", tmp_path)
    monkeypatch.setattr(sensory, "WORLDS", sensory.WORLDS[:1])
    console = Console(file=io.StringIO())
    rows = sensory.measure(env=None, seeds=range(1), quick=True, console=console, only="conv")
    assert [row["code"] for row in rows] == ["conv, untrained", "conv"]
    for row in rows:
        assert row["accuracy"] > 0.9 and 0 < row["chance"] < row["raw"] < 1 and 0 <= row["neighbour_retrieval"] <= 1
    with pytest.raises(ValueError, match=r"bench sensory has one_hot, .* nothing of cnov"):
        sensory.measure(env=None, seeds=range(1), quick=True, console=console, only="cnov")


@pytest.mark.parametrize("view", [3, 5])
def test_the_viewer_is_shipped_with_weights_of_their_own_version(view: int) -> None:
    with contextlib.closing(envs.make("cogarch/Square-v0", 1, view=view)) as world:
        inputs = contracts(world)
    agent, why = agents.load("viewer").ready(inputs)
    assert not why and agent.weights is not None
    lec = agent.build(inputs).part("lec")
    assert isinstance(lec, Jepa)
    shipped = int(lec.version)
    lec.renew()
    assert int(lec.version) == shipped


def test_one_view_alone_leaves_the_code_finite() -> None:
    """As in a buffer of one transition that was a bump: codes have no variance then."""
    lec = jepa()
    view = torch.ones(2, 1, *lec.seen.shape, dtype=lec.seen.dtype)
    lec.learned({"env/observation": view})
    assert bool(lec.whitening.isfinite().all())
    assert bool(lec.code(view[0]).isfinite().all())


def test_a_memory_that_cannot_give_up_old_codes_is_refused() -> None:
    agent = agents.load("viewer").swap("hc", "hebbian")
    with contextlib.closing(envs.make("cogarch/Square-v0", 1, view=5)) as world:
        with pytest.raises(ValueError, match=r"cannot give up those of a code that changed.*use hc/modern_hopfield"):
            agent.build(contracts(world))
        agent.swap("lec", "fly_hash", cells=50).build(contracts(world))
