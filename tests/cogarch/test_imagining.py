"""Codes imagined are the codes lived; and the rotor's displacement between two codes is that of their places."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from buses import env, square_walk
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cogarch import Bus, Module, Signal
from cogarch.mec.imagining import Imaginable
from cogarch.mec.phases import angles, displacement, wrapped
from cogarch.mec.recurrent import Recurrent
from cogarch.mec.rotor import Rotor
from cogarch.mec.successor import Successor
from cogarch.mec.tem import TEM
from cogarch.mec.tem_t import TEMt
from cogarch.module import Messages

TURN = 2 * math.pi
EGOCENTRIC = "turn, advance"
CODES: list[tuple[type[Module], dict[str, Any]]] = [
    (Rotor, {}),
    (Rotor, {"correct": 0.6}),
    (Rotor, {"cells": 12, "modules": 3, "heading_cells": 5, "correct": 0.3}),
    (Rotor, {"motion": "learned", "correct": 0.3}),
    (Rotor, {"lattice": "free"}),
    (Rotor, {"lattice": "free", "motion": "learned", "cells": 6, "correct": 0.5}),
    (TEMt, {"n": 40}),
    (TEMt, {"n": 40, "correct": 0.5}),
    (TEMt, {"n": 40, "transition": "free", "correct": 0.5}),
    (TEM, {}),
    (TEM, {"still": "learned", "sigma": "exp", "modules": [12, 9]}),
]


def made(cls: type[Module], unit: str = "dx, dy", seed: int = 0, **more: Any) -> Any:
    """The module; what it learns of actions is made large enough to matter."""
    torch.manual_seed(seed)
    module = cls(env(unit), **more)  # type: ignore[call-arg]
    with torch.no_grad():
        for name, p in module.named_parameters():
            if name in ("displacement", "turn") or name.startswith("transition."):
                p.mul_(10.0 if name in ("displacement", "turn") else 1e5)
    return module


def lived(module: Module, walk: Messages, unit: str = "dx, dy") -> Messages:
    """Tick through a walk; a memory that recalls a code near some other, now and then surely: `[T, B, *shape]`."""
    batch = walk["env/action"].shape[1]
    g = next(s.writes["mec/g_path"] for s in module.steps() if "mec/g_path" in s.writes)
    wanted = {read.topic for step in module.steps() for read in step.subscriptions.values()}
    topics = {k: s for k, s in (env(unit) | {"hc/recalled_g": g, "hc/recognised": Signal()}).items() if k in wanted}
    bus, said, rng = Bus(topics, {"mec": module}, batch=batch), [], torch.Generator().manual_seed(1)
    before = torch.rand(batch, *g.shape, generator=rng)
    with torch.no_grad():
        for t in range(len(walk["env/action"])):
            tick = {k: walk[k][t] for k in topics if k in walk}
            noise = 0.1 * torch.randn(before.shape, generator=rng)
            recalled = {"hc/recalled_g": before + noise, "hc/recognised": torch.rand(batch, 1, generator=rng) * 1.5}
            out = bus.tick(tick | {k: x for k, x in recalled.items() if k in topics})
            said.append({k: x.clone() for k, x in out.items() if k.startswith("mec/")})
            before = said[-1]["mec/g"].roll(1, 0)  # of another agent, so that it pulls far
    return {k: torch.stack([x[k] for x in said]) for k in said[0]}


# --- a move imagined is the move made ---------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["dx, dy", EGOCENTRIC])
@pytest.mark.parametrize(
    ("cls", "more"), CODES, ids=lambda x: x.__name__ if isinstance(x, type) else ",".join(map(str, x.values())) or "-"
)
def test_what_is_ahead_is_what_is_said_next(cls: type[Module], more: dict[str, Any], unit: str) -> None:
    module = made(cls, unit, **more)
    walk = square_walk(201, 3, motion=unit, width=30)[0]
    said = lived(module, walk, unit)
    g, path = said["mec/g"][:-1].flatten(0, 1), said["mec/g_path"][1:].flatten(0, 1)
    action, motion = walk["env/action"][1:].flatten(0, 1), walk["env/motion"][1:].flatten(0, 1)
    went = ~walk["env/bump"][1:].flatten()
    assert isinstance(module, Imaginable)
    ahead = module.ahead(g, action, motion)
    assert ahead.dtype == torch.float32 and went.sum() > 300
    torch.testing.assert_close(ahead[went], path[went], atol=1e-4, rtol=0)
    assert (ahead - g)[went].norm(dim=-1).mean() > 0.03  # it moves
    if more.get("correct"):
        assert (said["mec/g"] - said["mec/g_path"]).norm(dim=-1).max() > 0.1  # it was corrected
    before = torch.get_rng_state()
    torch.testing.assert_close(module.ahead(g[5:6], action[5:6], motion[5:6]), ahead[5:6], atol=1e-5, rtol=0)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("unit", ["dx, dy", EGOCENTRIC])
@pytest.mark.parametrize("more", [{}, {"lattice": "free"}, {"motion": "learned"}], ids=str)
@torch.no_grad()
def test_a_whole_way_imagined_is_the_way_lived(more: dict[str, Any], unit: str) -> None:
    """200 moves, each from the code imagined before: nothing adds up."""
    module = made(Rotor, unit, **more)
    walk = {k: x[1:] for k, x in square_walk(201, 4, motion=unit, width=900)[0].items()}
    felt = {k: walk["env/" + k] for k in (("action", "bump") if more.get("motion") else ("motion",))}
    lived_ = module.integrate(module.init(4), **felt)[0]["mec/g"]
    g = module.integrate(module.init(4), **{k: x[:1] for k, x in felt.items()})[0]["mec/g"][0]
    for t in range(1, 200):
        g = module.ahead(g, walk["env/action"][t], walk["env/motion"][t])
    torch.testing.assert_close(g, lived_[-1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("unit", ["dx, dy", EGOCENTRIC])
@pytest.mark.parametrize("more", [{}, {"lattice": "free"}, {"cells": 12}], ids=str)
def test_gradients_of_the_rotor_are_its_slopes(more: dict[str, Any], unit: str) -> None:
    """Along codes of its own: how the next code changes where this one is of a place a little farther on."""
    module, rng = made(Rotor, unit, **more), torch.Generator().manual_seed(0)
    none, way = torch.full((40, 1), -1), torch.tensor([0.3, 0.8]).expand(40, 2)
    with torch.no_grad():
        here = module.move(module.init(40), motion=5 * torch.randn(40, 2, generator=rng))[0]["mec/g"]
        near = [module.ahead(here, none, sign * torch.tensor([2e-3, 2e-3]).expand(40, 2)) for sign in (-1, 1)]
        rise = module.ahead(near[1], none, way) - module.ahead(near[0], none, way)
    here.requires_grad_()
    weights = torch.randn(here.shape, generator=rng)
    (slope,) = torch.autograd.grad((module.ahead(here, none, way) * weights).sum(), [here])
    got, want = (slope * (near[1] - near[0])).sum(-1), (rise * weights).sum(-1)
    assert want.abs().max() > 0.002
    assert (got - want).norm() < 0.03 * want.norm()  # cells begin and cease to fire between the two


@pytest.mark.parametrize("more", [{}, {"transition": "free"}], ids=str)
def test_gradients_of_learned_transitions_are_their_slopes(more: dict[str, Any]) -> None:
    module = made(TEMt, n=12, **more).double()
    g = torch.rand(3, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.1
    action, motion = torch.tensor([[0], [3], [-1]]), torch.zeros(3, 2)
    assert torch.autograd.gradcheck(lambda x: module.ahead(x, action, motion), [g.requires_grad_()])


def test_what_cannot_be_imagined_says_so() -> None:
    assert not isinstance(Recurrent(env()), Imaginable)
    assert not isinstance(Successor(env()), Imaginable)
    for few in (Rotor(env(), cells=11), Rotor(env(EGOCENTRIC), heading_cells=4)):
        g = torch.zeros(1, few.n_g)
        with pytest.raises(ValueError, match=r"too few cells to tell .* give 12 or more \(mec.cells\)"):
            few.ahead(g, torch.zeros(1, 1).long(), torch.zeros(1, 2))
        with pytest.raises(ValueError, match=r"5 or more for its heading \(mec.heading_cells\)"):
            few.between(g, g)
    for enough in (Rotor(env(), cells=2, lattice="free"), Rotor(env(), heading_cells=0)):
        g = enough.move(enough.init(1), motion=torch.ones(1, 2))[0]["mec/g"]
        torch.testing.assert_close(enough.ahead(g, torch.zeros(1, 1).long(), torch.zeros(1, 2)), g)


# --- angles from rates ------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000), cells=st.integers(12, 60))
def test_phases_are_read_exactly(seed: int, cells: int) -> None:
    module = Rotor(env(), modules=2, cells=cells)
    phase = TURN * torch.rand(200, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        g = module._speak(phase, torch.zeros(200))["mec/g"]
        assert wrapped(module._read(g, steps=6)[0] - phase).abs().max() < 2e-5
        assert wrapped(module._read(g)[0] - phase).abs().max() > 0.02  # the population vectors alone


def test_a_code_of_nothing_has_finite_angles_and_gradients() -> None:
    waves = Rotor(env()).waves.double()
    g = torch.zeros(1, 32, dtype=torch.float64, requires_grad=True)
    found = angles(g, waves, torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]]).double(), 6)
    (slope,) = torch.autograd.grad(found.sum(), [g])
    assert bool(found.isfinite().all()) and bool(slope.isfinite().all())


# --- the way between two codes ----------------------------------------------------------------------------------------


def pairs(module: Rotor, n: int, reach: float, seed: int = 0, least: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """Codes of two places each, and the displacements between them, evenly over the disc up to `reach` cells."""
    rng = torch.Generator().manual_seed(seed)
    here, angle = 30 * torch.randn(n, 2, generator=rng), TURN * torch.rand(n, generator=rng)
    far = (least**2 + (reach**2 - least**2) * torch.rand(n, generator=rng)).sqrt()
    way = far[:, None] * torch.stack([angle.cos(), angle.sin()], -1)
    with torch.no_grad():
        start, end = (module.move(module.init(n), motion=x)[0]["mec/g"] for x in (here, here + way))
    return start, end, way


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("more", "reach"),
    [({}, 10.3), ({}, 40.0), ({}, 200.0), ({"modules": 2}, 40.0), ({"cells": 12}, 40.0), ({"lattice": "free"}, 40.0),
     ({"lattice": "free", "modules": 2, "cells": 4}, 8.0)],
    ids=str,
)  # fmt: skip
def test_displacements_are_found(more: dict[str, Any], reach: float, seed: int) -> None:
    module = made(Rotor, seed=seed, **more)
    here, there, way = pairs(module, 300, reach, seed)
    with torch.no_grad():
        found = module.between(here, there, reach=reach)
        torch.testing.assert_close(found, way, atol=1e-3, rtol=0)
        torch.testing.assert_close(module.between(there, here, reach=reach), -way, atol=1e-3, rtol=0)
        torch.testing.assert_close(module.between(here[7:8], there[7:8], reach=reach), found[7:8], atol=1e-4, rtol=0)


@torch.no_grad()
def test_one_module_alone_is_periodic() -> None:
    """It knows half the spacing of its fields, 2 pi / (sqrt(3) k); beyond, the shortest displacement of those alike."""
    module, half = made(Rotor, modules=1), TURN / (math.sqrt(3) * 0.35)
    here, there, way = pairs(module, 300, 0.999 * half)
    torch.testing.assert_close(module.between(here, there), way, atol=1e-3, rtol=0)
    here, there, way = pairs(module, 300, 40.0, least=1.2 * half)
    found = module.between(here, there)
    assert (found.norm(dim=-1) < 2 / math.sqrt(3) * half + 1e-3).all()  # a cell of the lattice, to its corners
    turns = (found - way).double() @ module._wave_vectors().T / TURN
    torch.testing.assert_close(turns, turns.round(), atol=1e-3, rtol=0)


@torch.no_grad()
def test_beyond_reach_it_is_wrong() -> None:
    module = made(Rotor)
    here, there, way = pairs(module, 200, 80.0, least=45.0)
    found = module.between(here, there)
    assert (found.norm(dim=-1) <= 42.01).all() and ((found - way).norm(dim=-1) > 2).all()
    torch.testing.assert_close(module.between(here, there, reach=80.0), way, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("noise", "median", "wrong"), [(0.02, 0.06, 0.001), (0.05, 0.16, 0.005), (0.1, 0.6, 0.3)])
@torch.no_grad()
def test_noise_in_the_codes(noise: float, median: float, wrong: float) -> None:
    """Of both codes, in each cell, whose rates are 0.45 at most: up to 0.05 hardly one is led astray (by a cell)."""
    module, rng = made(Rotor), torch.Generator().manual_seed(1)
    here, there, way = pairs(module, 1000, 40.0)
    here, there = (x + noise * torch.randn(x.shape, generator=rng) for x in (here, there))
    off = (module.between(here, there) - way).norm(dim=-1)
    assert noise < off.median() < median
    assert (off > 1).double().mean() <= wrong


@torch.no_grad()
def test_a_body_that_turns_is_told_ahead_and_left() -> None:
    module = made(Rotor, EGOCENTRIC)
    rng = torch.Generator().manual_seed(0)
    here = module.move(module.init(300), motion=8 * torch.randn(300, 2, generator=rng))[0]["mec/g"]
    none, motion = torch.full((300, 1), -1), 8 * torch.randn(300, 2, generator=rng)
    there = module.ahead(here, none, motion)
    want = motion[:, 1:] * torch.stack([motion[:, 0].cos(), motion[:, 0].sin()], -1)
    torch.testing.assert_close(module.between(here, there), want, atol=1e-3, rtol=0)
    turned = module.ahead(here, none, torch.tensor([math.pi / 2, 0.0]).expand(300, 2))  # what was left is ahead
    torch.testing.assert_close(
        module.between(turned, there), torch.stack([want[:, 1], -want[:, 0]], -1), atol=1e-3, rtol=0
    )


@torch.no_grad()
def test_learned_motion_is_told_in_its_own_unit() -> None:
    module = made(Rotor, motion="learned")
    g = module.move(module.init(4), action=torch.full((4, 1), -1), bump=torch.zeros(4, 1, dtype=torch.bool))[0]["mec/g"]
    there = g
    for action in (0, 0, 1, 3):
        there = module.ahead(there, torch.full((4, 1), action), torch.zeros(4, 2))
    d = module.displacement
    torch.testing.assert_close(module.between(g, there), (2 * d[0] + d[1] + d[3]).expand(4, 2), atol=1e-3, rtol=0)


def test_the_way_can_be_learned_from() -> None:
    """Its slope: a code moved on by a little is so much farther."""
    module = made(Rotor)
    here, there, _ = pairs(module, 5, 20.0)
    there.requires_grad_()
    (slope,) = torch.autograd.grad(module.between(here, there)[:, 0].sum(), [there])
    none, small = torch.full((5, 1), -1), torch.tensor([[1e-2, 0.0]]).expand(5, 2)
    with torch.no_grad():
        step = module.ahead(there, none, small) - module.ahead(there, none, -small)
    torch.testing.assert_close((slope * step).sum(-1), torch.full((5,), 2e-2), rtol=0.05, atol=0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 100_000), waves=st.integers(3, 12), stages=st.integers(1, 6))
def test_any_waves_agree_with_every_unwrapping_tried(seed: int, waves: int, stages: int) -> None:
    """Against a search over the plane in steps of a tenth of a cell: nothing agrees better than what was found."""
    rng = np.random.default_rng(seed)
    angle, k = rng.uniform(0, TURN, waves), rng.uniform(0.4, 1.5, waves)
    angle[1] = angle[0] + rng.uniform(0.5, 2.6)  # not all along one line
    k[0], k[1] = 0.3, 0.35
    vectors = torch.from_numpy(k[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1))
    way = torch.from_numpy(rng.uniform(-8, 8, (6, 2)))
    differ = wrapped(way @ vectors.T)
    found = displacement(differ, vectors, stages, 12.0)
    ticks = torch.arange(-12, 12.01, 0.1, dtype=torch.float64)
    plane = torch.cartesian_prod(ticks, ticks)

    def agree(d: Tensor) -> Tensor:
        return (d @ vectors.T - differ[:, None]).cos().mean(-1)

    assert (agree(found[:, None])[:, 0] >= agree(plane.expand(6, -1, 2)).amax(1) - 1e-9).all()
    torch.testing.assert_close(wrapped(found @ vectors.T - differ), torch.zeros_like(differ), atol=1e-6, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("unit", ["dx, dy", EGOCENTRIC])
def test_a_goal_that_is_none_leads_nowhere(unit: str) -> None:
    """Its code is NaN; the rows beside it do not notice."""
    module = made(Rotor, unit)
    here, there, _ = pairs(module, 6, 20.0)
    want = module.between(here, there)
    there[2] = math.nan
    found = module.between(here, there)
    assert bool(found[2].isnan().all())
    rest = torch.arange(6) != 2
    torch.testing.assert_close(found[rest], want[rest], atol=1e-5, rtol=0)


def test_a_reach_of_nothing() -> None:
    module = made(Rotor)
    here, there, _ = pairs(module, 2, 5.0)
    with pytest.raises(ValueError, match=r"reach is 0: give the longest displacement that may be meant, above 0"):
        module.between(here, there, reach=0)
