"""The learned structural codes against their formulas, and all of them through the conformance suite."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from cogarch import Module, Signal
from cogarch.check import check_module, example_contracts
from cogarch.mec.recurrent import Recurrent
from cogarch.mec.rotor import Rotor
from cogarch.mec.tem_t import TEMt
from cogarch.module import Messages

TOPICS = example_contracts()
ACTIONS = TOPICS["env/action"].values


def walk(length: int, batch: int, seed: int = 0) -> Messages:
    g = torch.Generator().manual_seed(seed)
    action = torch.randint(ACTIONS, (length, batch, 1), generator=g)
    action[0] = -1
    bump = (torch.rand(length, batch, 1, generator=g) < 0.3) & (action >= 0)
    return {"action": action, "bump": bump}


@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (TEMt, {}),
        (TEMt, {"n": 8, "transition": "free"}),
        (TEMt, {"n": 24, "correct": 0.5, "sure": 0.0}),
        (Rotor, {"modules": 3, "cells": 8, "heading_cells": 0, "correct": 0.5, "sure": 0.0}),
        (Recurrent, {}),
        (Rotor, {"lattice": "free"}),
        (Rotor, {"lattice": "free", "motion": "learned"}),
    ],
)
@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("unit", ["dx, dy", "turn, advance"])
def test_conformance(cls: type[Module], settings: dict[str, object], every: int, unit: str) -> None:
    def make(topics: dict[str, Signal]) -> Module:
        module = cls(topics, **settings)
        module.every = every
        return module

    make.role = "mec"  # type: ignore[attr-defined]
    assert [v for v in check_module(make, example_contracts(unit)) if v.passed is False] == []  # type: ignore[arg-type]


def test_tem_t_is_its_formula() -> None:
    torch.manual_seed(0)
    code, path = TEMt(TOPICS, n=7, transition="free"), walk(20, 3)
    with torch.no_grad():
        code.bias.normal_()
        said, _ = code.walk(code.init(3), **path)
    w, b = code.transition.detach().double().numpy(), code.bias.detach().double().numpy()
    for row in range(3):
        g = np.maximum(code.start.detach().double().numpy(), 0)
        g /= np.linalg.norm(g)
        for t in range(20):
            a = int(path["action"][t, row])
            if a >= 0 and not path["bump"][t, row]:
                g = np.maximum(g @ w[a] + b[a], 0)
                g /= np.linalg.norm(g)
            assert np.allclose(said["mec/g"][t, row], g, atol=1e-5)


@pytest.mark.parametrize(
    ("transition", "weights", "atol"), [("free", "transition", 1e-4), ("orthogonal", "skew", 0.05)]
)
def test_tem_t_keeps_its_unit_length_however_long_the_walk_and_wild_its_matrices(
    transition: str, weights: str, atol: float
) -> None:
    torch.manual_seed(0)
    code = TEMt(TOPICS, n=16, transition=transition)
    with torch.no_grad():
        getattr(code, weights).mul_(100.0)
        said, _ = code.walk(code.init(2), **walk(4096, 2))
    length = said["mec/g"].norm(dim=-1)
    assert torch.allclose(length, torch.ones(4096, 2), atol=atol), length[-1]


def test_orthogonal_transitions_are_rotations_by_the_exponential_of_a_skew_matrix() -> None:
    torch.manual_seed(0)
    code, path = TEMt(TOPICS, n=6), walk(30, 3)
    with torch.no_grad():
        said, _ = code.walk(code.init(3), **path)
    skew = code.skew.detach().double().numpy()
    rotations = [expm(s - s.T) for s in skew]
    for rotation in rotations:
        assert np.allclose(rotation @ rotation.T, np.eye(6), atol=1e-9) and np.isclose(np.linalg.det(rotation), 1)
    for row in range(3):
        g = code.start.detach().double().numpy()
        g /= np.linalg.norm(g)
        for t in range(30):
            a = int(path["action"][t, row])
            if a >= 0 and not path["bump"][t, row]:
                g = g @ rotations[a]
            assert np.allclose(said["mec/g"][t, row], g, atol=1e-5)
    assert not said["loss/g"].any() and torch.allclose(said["loss/g_negative"], (-said["mec/g"]).relu().sum(-1))


def test_tem_t_goes_a_share_of_the_way_to_what_it_recognises() -> None:
    code = TEMt(TOPICS, n=4, correct=0.25, sure=0.5)
    path, recalled = torch.eye(4)[:2], torch.eye(4)[2:]
    with torch.no_grad():
        said, _ = code.correct({}, path, 3 * recalled, torch.tensor([[0.6], [0.4]]))
    assert torch.allclose(said["mec/g"][0], torch.tensor([0.75, 0, 0.25, 0]) / math.hypot(0.75, 0.25))
    assert torch.equal(said["mec/g"][1], path[1])


@pytest.mark.parametrize("settings", [{"lattice": "hexagonal", "modules": 5}, {"lattice": "free", "modules": 5}])
@pytest.mark.parametrize("unit", ["dx, dy", "turn, advance"])
def test_a_rotor_reads_its_error_from_the_codes(settings: dict[str, Any], unit: str) -> None:
    """Two apart by less than half a cell, and a little turned: the first is corrected to about where the other is."""
    code = Rotor(example_contracts(unit) | {"env/motion": Signal((2,), unit=unit)}, correct=1.0, **settings)
    rng = torch.Generator().manual_seed(0)
    there = code.init(64)
    there["phase"] = 6 * torch.rand(64, code.n_phases, generator=rng, dtype=torch.float64)
    off = 0.6 * torch.rand(64, 2, generator=rng, dtype=torch.float64) - 0.3
    with torch.no_grad():
        here = there | {"phase": (there["phase"] + off @ code._wave_vectors().T) % (2 * math.pi)}
        if code.egocentric:
            here["heading"] = (there["heading"] + 0.2) % (2 * math.pi)
        recalled = code._speak(there["phase"], there["heading"])["mec/g"]
        path = code._speak(here["phase"], here["heading"])["mec/g"]
        said, state = code.correct(here, path, recalled, torch.ones(64, 1))
        left = (state["phase"] - there["phase"] + math.pi) % (2 * math.pi) - math.pi
        error = left @ torch.linalg.pinv(code._wave_vectors()).T
        assert error.norm(dim=-1).mean() < 0.15 * off.norm(dim=-1).mean()
        assert torch.cosine_similarity(said["mec/g"], recalled).min() > 0.99
        unsure, _ = code.correct(here, recalled, recalled, torch.zeros(64, 1))
        assert torch.equal(unsure["mec/g"], path)


def test_the_lstm_is_an_lstm_cell_driven_by_action_and_bump() -> None:
    torch.manual_seed(0)
    code, path = Recurrent(TOPICS, n=6), walk(15, 2)
    cell = torch.nn.LSTMCell(ACTIONS + 1, 6)
    cell.load_state_dict({name.removesuffix("_l0"): x for name, x in code.lstm.state_dict().items()})
    h = c = torch.zeros(2, 6)
    with torch.no_grad():
        said, state = code.walk(code.init(2), **path)
        for t in range(15):
            felt = torch.zeros(2, ACTIONS + 1)
            for row in range(2):
                if path["action"][t, row] >= 0:
                    felt[row, path["action"][t, row]] = 1
                felt[row, -1] = float(path["bump"][t, row])
            h, c = cell(felt, (h, c))
            assert torch.allclose(said["mec/g"][t], h, atol=1e-6)
    assert torch.allclose(state["cell"], c, atol=1e-6)


def test_the_lstm_has_about_as_many_parameters_as_tem_t() -> None:
    sizes = [sum(p.numel() for p in cls(TOPICS).parameters()) for cls in (Recurrent, TEMt)]
    assert 0.5 < sizes[0] / sizes[1] < 2


def test_free_waves_are_cosines_and_sines_of_the_place() -> None:
    torch.manual_seed(0)
    code = Rotor(TOPICS, lattice="free", modules=2, cells=8)
    motion = torch.randn(30, 2, 2)
    with torch.no_grad():
        said, _ = code.integrate(code.init(2), motion=motion)
    phase = motion.double().cumsum(0).numpy() @ code.vectors.detach().double().numpy().T
    expected = np.concatenate([np.cos(phase), np.sin(phase)], -1) / np.sqrt(8)
    assert np.allclose(said["mec/g"], expected, atol=1e-5)
    assert np.allclose(said["mec/g"].norm(dim=-1), 1, atol=1e-5)


def test_free_waves_come_in_pairs_of_cells() -> None:
    with pytest.raises(ValueError, match="even"):
        Rotor(TOPICS, lattice="free", modules=3, cells=3)
