"""The rotor against plane waves computed by hand, and the geometry that makes its cells grid cells."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from buses import START, env, live, square_walk
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from cogarch import Bus, Signal
from cogarch.mec.rotor import Rotor, _waves

TURN = 2 * math.pi
Array = NDArray[Any]


def rotor(unit: str = "dx, dy", **settings: Any) -> Rotor:
    torch.manual_seed(0)
    return Rotor(env(unit), **settings)


def bus(module: Rotor, motion: str = "dx, dy", batch: int = 1) -> Bus:
    return Bus(
        {topic: s for topic, s in env(motion).items() if topic != "env/observation"}, {"mec": module}, batch=batch
    )


def codes(module: Rotor, steps: Array) -> Array:
    """The code after each of the displacements `[T, 2]` (cells) in a row, `[T, n_g]`."""
    motion = torch.as_tensor(steps, dtype=torch.float32)[:, None]
    with torch.no_grad():
        return module.integrate(module.init(1), motion=motion)[0]["mec/g"][:, 0].numpy()


def at(module: Rotor, places: Array) -> Array:
    """The code at each of the places `[N, 2]`, as a batch of agents that jump there, `[N, n_g]`."""
    with torch.no_grad():
        motion = torch.as_tensor(places, dtype=torch.float32)
        return module.move(module.init(len(places)), motion=motion)[0]["mec/g"].numpy()


def rates_by_hand(module: Rotor, places: Array) -> Array:
    """Rectified sums of three cosines `[N, M, cells]` at places `[N, 2]`: the interference picture, in numpy."""
    k = np.exp(module.log_scale.detach().double().numpy())
    orientation = module.orientation.detach().double().numpy()
    i = np.arange(1, module.waves.shape[1] + 1)
    plastic = 1.3247179572447460
    first, second = i / plastic % 1 * TURN, i / plastic**2 % 1 * TURN
    cell_phases = np.stack([first, second, second - first])  # [3, cells]
    angles = orientation[:, None] + np.array([0, math.pi / 3, 2 * math.pi / 3])
    waves = k[:, None, None] * np.stack([np.cos(angles), np.sin(angles)], -1)  # [M, 3, 2]
    phases = np.einsum("nd,mwd->nmw", places, waves)
    return np.maximum(np.cos(phases[..., None] - cell_phases).sum(-2), 0)


# --- the formula ------------------------------------------------------------------------------------------------------


def test_the_sum_of_three_waves_by_hand() -> None:
    module, rng = rotor(modules=4, cells=20), np.random.default_rng(0)
    places = rng.uniform(-30, 30, (200, 2)).astype(np.float32).astype(float)
    rates = rates_by_hand(module, places)
    unit = rates / np.linalg.norm(rates, axis=-1, keepdims=True) / 4**0.5
    np.testing.assert_allclose(at(module, places), unit.reshape(200, 80), atol=2e-5)


def test_the_waves_are_a_sum_of_shifted_cosines() -> None:
    waves, rng = _waves(9).double().numpy(), np.random.default_rng(1)
    a, b = rng.uniform(0, TURN, 2)
    basis = np.array([f(x) for x in (a, b, b - a) for f in (np.cos, np.sin)])
    phases = np.arctan2(waves[1::2], waves[::2])  # [3, 9]
    want = np.cos(np.array([a, b, b - a])[:, None] - phases).sum(0)
    np.testing.assert_allclose(basis @ waves, want, atol=1e-6)
    # the phases of the third wave follow from the first two, as the waves themselves do: the peaks of a cell coincide
    gap = (phases[2] - phases[1] + phases[0]) % TURN
    np.testing.assert_allclose(np.minimum(gap, TURN - gap), 0, atol=1e-6)


def test_phases_of_the_cells_are_spread_evenly() -> None:
    """The largest hole in the phases of 32 cells is not far from that of a square grid; chance leaves larger ones."""
    waves = _waves(32).double().numpy()
    phases = np.arctan2(waves[[1, 3]], waves[[0, 2]]).T  # [32, 2]
    ticks = np.arange(0, TURN, TURN / 40)
    grid = np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2)

    def hole(points: Array) -> float:
        gap = np.abs(grid[:, None] - points)
        return float(np.linalg.norm(np.minimum(gap, TURN - gap), axis=-1).min(1).max())

    square = TURN / 32**0.5 / 2**0.5
    rng = np.random.default_rng(0)
    assert hole(phases) < 1.25 * square
    assert hole(phases) < min(hole(rng.uniform(-math.pi, math.pi, (32, 2))) for _ in range(20))


# --- path integration -------------------------------------------------------------------------------------------------


def test_a_closed_loop_returns_to_the_same_code() -> None:
    module, rng = rotor(), np.random.default_rng(2)
    steps = rng.integers(-2, 3, (300, 2))
    steps = np.concatenate([[[0, 0]], steps, [-steps.sum(0)]])
    path = codes(module, steps)
    np.testing.assert_allclose(path[-1], path[0], atol=1e-6)
    assert np.linalg.norm(path[1:-1] - path[0], axis=1).max() > 0.5


def test_the_code_depends_on_the_displacement_alone() -> None:
    module, rng = rotor(), np.random.default_rng(3)
    steps = rng.integers(-2, 3, (50, 2))
    for _ in range(5):
        np.testing.assert_allclose(codes(module, rng.permutation(steps))[-1], codes(module, steps)[-1], atol=1e-6)
    np.testing.assert_allclose(at(module, steps.sum(0)[None])[0], codes(module, steps)[-1], atol=1e-6)


def test_places_of_a_large_square_have_codes_of_their_own() -> None:
    code = at(rotor(), np.stack(np.meshgrid(np.arange(30), np.arange(30)), -1).reshape(-1, 2))
    similarity = code @ code.T
    np.testing.assert_allclose(np.diag(similarity), 1, atol=1e-4)
    np.fill_diagonal(similarity, 0)
    assert similarity.max() < 0.99


@torch.no_grad()
@pytest.mark.parametrize("motion", ["dx, dy", "turn, advance"])
def test_phases_of_a_hundred_thousand_steps_ticked_and_played(motion: str) -> None:
    module, rng = rotor(motion), np.random.default_rng(4)
    felt = torch.from_numpy(rng.normal(size=(100_000, 1, 2)) * 0.5).float()
    _, played = module.integrate(module.init(1), motion=felt)
    state = module.init(1)
    turn, _ = module._felt(motion=felt)
    headings = (turn.cumsum(0) % TURN).numpy()
    for t in range(0, 100_000, 1000):
        _, state = module.integrate(state, motion=felt[t : t + 1000])
    gap = (state["phase"] - played["phase"]).abs()
    assert torch.minimum(gap, TURN - gap).max() < 1e-9
    # by hand: numpy, in longdouble
    if motion == "dx, dy":
        walked = felt[:, 0].numpy().astype(np.longdouble).sum(0)
    else:
        advance = felt[:, 0, 1].numpy().astype(np.longdouble)
        walked = np.array([(np.cos(headings[:, 0]) * advance).sum(), (np.sin(headings[:, 0]) * advance).sum()])
    k, o = module.log_scale.double().exp(), module.orientation.double()
    for m in range(5):
        for wave, angle in enumerate((0.0, math.pi / 3)):
            phase = (
                k[m].item()
                * (walked[0] * math.cos(o[m].item() + angle) + walked[1] * math.sin(o[m].item() + angle))
                % TURN
            )
            gap = abs(float(played["phase"][0, 2 * m + wave]) - float(phase))
            assert min(gap, TURN - gap) < 1e-6, (m, wave)


@torch.no_grad()
def test_phases_ticked_one_by_one() -> None:
    module, walk = rotor(modules=2, cells=4), square_walk(20_000, 1, width=15)[0]
    motion = walk["env/motion"]
    state = module.init(1)
    for felt in motion.unbind():
        _, state = module.move(state, motion=felt)
    gap = (state["phase"] - module.integrate(module.init(1), motion=motion)[1]["phase"]).abs()
    assert torch.minimum(gap, TURN - gap).max() < 1e-9
    assert state["phase"].dtype == torch.float64
    assert ((state["phase"] >= 0) & (state["phase"] < TURN)).all()


# --- the cells are grid cells -----------------------------------------------------------------------------------------


def peak_of(module: Rotor, cell: int) -> Array:
    """Where the cell's three waves are all in phase, nearest to the origin (from the two phases, solved by hand)."""
    waves = module.waves.double().numpy()
    phases = np.arctan2(waves[[1, 3], cell], waves[[0, 2], cell])
    k, o = module.log_scale.exp()[0].item(), module.orientation[0].item()
    vectors = k * np.array([[math.cos(o), math.sin(o)], [math.cos(o + math.pi / 3), math.sin(o + math.pi / 3)]])
    found: Array = np.linalg.solve(vectors, phases)
    return found


def test_cells_are_six_fold_symmetric_about_their_peaks() -> None:
    """Turned by 60 degrees about a peak of the cell, the map is the same; turned by 90 or 30, it is not.

    Many cells, for each rate is divided by the length of the module's code, which is the more even the more there are.
    """
    module, rng = rotor(modules=1, cells=2000, scales=(1.0, 1.0)), np.random.default_rng(5)
    for cell in (0, 7, 11):
        peak, away = peak_of(module, cell), rng.uniform(-8, 8, (500, 2))

        def turned(degrees: float, cell: int = cell, peak: Array = peak, away: Array = away) -> Array:
            c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
            found: Array = at(module, peak + away @ np.array([[c, s], [-s, c]]))[:, cell]
            return found

        rates = turned(0)
        top = at(module, peak[None])[0, cell]
        assert rates.max() <= top * 1.001
        for degrees in (60, 120, 180, 240, 300):
            np.testing.assert_allclose(turned(degrees), rates, atol=2e-3 * top)
        for degrees in (30, 45, 90):
            assert np.corrcoef(turned(degrees), rates)[0, 1] < 0.6


@pytest.mark.parametrize("scale", [0.35, 0.8, 1.6])
def test_the_spacing_of_fields(scale: float) -> None:
    """Peaks found on a fine map lie 4 pi / (sqrt(3) k) apart, six around each at 60 degrees."""
    module = rotor(modules=1, scales=(scale, scale))
    spacing = 4 * math.pi / (math.sqrt(3) * scale)
    ticks = np.linspace(-1.6 * spacing, 1.6 * spacing, 321)
    grid = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1)
    rates = at(module, grid.reshape(-1, 2)).reshape(321, 321, 32)[..., 3]
    tops = (rates == ndimage.maximum_filter(rates, 15)) & (rates > 0.5 * rates.max())
    tops[[0, -1]] = tops[:, [0, -1]] = False
    peaks = grid[tops]
    centre = peaks[np.linalg.norm(peaks, axis=1).argmin()]
    away = np.delete(peaks, np.linalg.norm(peaks - centre, axis=1).argmin(), 0) - centre
    around = away[np.linalg.norm(away, axis=1) < 1.3 * spacing]
    assert len(around) == 6
    np.testing.assert_allclose(np.linalg.norm(around, axis=1), spacing, rtol=0.06)
    np.testing.assert_allclose(np.linalg.norm(around, axis=1).mean(), spacing, rtol=0.01)
    angles = np.sort(np.degrees(np.arctan2(around[:, 1], around[:, 0])))
    np.testing.assert_allclose(np.diff(angles), 60, atol=5)


def test_scales_and_modules() -> None:
    module = rotor(modules=4, scales=(0.35, 1.6))
    np.testing.assert_allclose(module.log_scale.exp().detach(), np.geomspace(0.35, 1.6, 4), rtol=1e-6)
    assert module.n_g == 4 * 32
    assert rotor("turn, advance", modules=4).n_g == 4 * 32 + 16
    code = at(module, np.random.default_rng(0).uniform(-9, 9, (50, 2))).reshape(50, 4, 32)
    np.testing.assert_allclose(np.linalg.norm(code, axis=-1), 0.5, atol=1e-5)  # each module weighs the same
    assert (code >= 0).all()


def test_free_waves_by_hand() -> None:
    module, rng = rotor(lattice="free", modules=3, cells=6, scales=(0.35, 1.6)), np.random.default_rng(6)
    vectors = module.vectors.detach().double().numpy()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), np.exp(np.linspace(*np.log([0.35, 1.6]), 9)), rtol=1e-5)
    places = rng.uniform(-20, 20, (100, 2)).astype(np.float32).astype(float)
    theta = places @ vectors.T
    np.testing.assert_allclose(at(module, places), np.concatenate([np.cos(theta), np.sin(theta)], 1) / 3, atol=1e-5)
    steps = rng.integers(-2, 3, (40, 2))
    np.testing.assert_allclose(codes(module, steps)[-1], at(module, steps.sum(0)[None])[0], atol=1e-6)
    with pytest.raises(ValueError, match=r"a free wave is two cells: .* even, not 3 \* 5"):
        rotor(lattice="free", modules=3, cells=5)


# --- heading ----------------------------------------------------------------------------------------------------------


def egocentric(*acts: str) -> Tensor:
    said = {"left": (math.pi / 2, 0.0), "right": (-math.pi / 2, 0.0), "forward": (0.0, 1.0), "stay": (0.0, 0.0)}
    return torch.tensor([said[act] for act in acts])[:, None]


@torch.no_grad()
def test_a_square_loop_closes() -> None:
    module = rotor("turn, advance")
    loop = egocentric("stay", *(["forward", "forward", "left"] * 4), *(["forward", "right"] * 4))
    code = module.integrate(module.init(1), motion=loop)[0]["mec/g"][:, 0]
    torch.testing.assert_close(code[12], code[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(code[-1], code[0], atol=1e-5, rtol=0)
    assert (code[1:12] - code[0]).norm(dim=-1).min() > 0.5


@torch.no_grad()
def test_turning_first_is_moving_in_the_new_direction() -> None:
    """A turn and the advance of one tick: the body turns, then goes where it looks."""
    module, planar = rotor("turn, advance"), rotor("dx, dy")
    turned = module.integrate(module.init(1), motion=egocentric("left", "forward", "forward"))[0]["mec/g"][-1, 0]
    torch.testing.assert_close(turned[:160].numpy(), at(planar, np.array([[0.0, 2.0]]))[0], atol=1e-5, rtol=0)
    at_once = module.move(module.init(1), motion=torch.tensor([[math.pi / 2, 2.0]]))[0]["mec/g"][0]
    torch.testing.assert_close(at_once, turned, atol=1e-5, rtol=0)


@torch.no_grad()
def test_head_direction_cells() -> None:
    """Each fires for a half turn around its own direction, by the cosine; turns alone leave the grid cells alone."""
    module = rotor("turn, advance", heading_cells=8)
    headings = np.linspace(0, TURN, 50, endpoint=False)
    code = module.move(module.init(50), motion=torch.from_numpy(np.stack([headings, 0 * headings], 1)).float())[0][
        "mec/g"
    ]
    rates = np.maximum(np.cos(headings[:, None] - np.arange(8) * TURN / 8), 0)
    want = rates / np.linalg.norm(rates, axis=1, keepdims=True) * 0.2**0.5  # as much as one of five modules
    np.testing.assert_allclose(code[:, -8:].numpy(), want, atol=1e-5)
    assert (code[:, :-8] - code[0, :-8]).abs().max() < 1e-6


# --- displacements learned --------------------------------------------------------------------------------------------


def felt(module: Rotor, actions: list[int], bumps: list[bool]) -> Tensor:
    with torch.no_grad():
        action, bump = torch.tensor(actions)[:, None, None], torch.tensor(bumps)[:, None, None]
        return module.integrate(module.init(1), action=action, bump=bump)[0]["mec/g"][:, 0]


@pytest.mark.parametrize("unit", ["dx, dy", "turn, advance"])
def test_learned_displacements_are_gated_by_bumps_and_the_start(unit: str) -> None:
    module = rotor(unit, motion="learned")
    code = felt(module, [-1, 1, 1, 2, 1], [False, False, True, True, False])
    rest = felt(module, [-1], [False])
    assert torch.equal(code[0], rest[0])  # nothing led to the first tick
    assert not torch.equal(code[1], code[0])
    assert torch.equal(code[2], code[1])  # refused
    assert torch.equal(code[3], code[1])
    assert not torch.equal(code[4], code[1])


def test_learned_displacements_move_as_given_ones_do() -> None:
    given, learned = rotor(), rotor(motion="learned")
    learned.displacement.data *= 20
    learned.load_state_dict(given.state_dict() | {"displacement": learned.displacement.data})
    d = learned.displacement.detach().double().numpy()
    code = felt(learned, [-1, 0, 3, 3, 2], [False, False, False, True, False])
    for t, place in enumerate([0 * d[0], d[0], d[0] + d[3], d[0] + d[3], d[0] + d[3] + d[2]]):
        np.testing.assert_allclose(code[t], at(given, place[None])[0], atol=1e-5)


def test_learned_turns() -> None:
    module = rotor("turn, advance", motion="learned")
    module.turn.data = torch.tensor([math.pi / 2, -math.pi / 2, 0.0])
    module.displacement.data = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    code = felt(module, [-1] + [2, 0] * 4, [False] * 9)
    torch.testing.assert_close(code[-1], code[0], atol=1e-5, rtol=0)
    assert (code[1:8] - code[0]).norm(dim=-1).min() > 0.5


@pytest.mark.parametrize("lattice", ["hexagonal", "free"])
def test_gradients_reach_what_is_learned(lattice: str) -> None:
    module = rotor("turn, advance", motion="learned", lattice=lattice)
    action = torch.tensor([0, 2, 1, 2])[:, None, None]
    bump = torch.zeros(4, 1, 1, dtype=torch.bool)
    code = module.integrate(module.init(1), action=action, bump=bump)[0]["mec/g"]
    (code * torch.randn(code.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    for name, p in module.named_parameters():
        assert p.grad is not None, name
        assert p.grad.abs().max() > 0, name


# --- what does not fit, and contracts ---------------------------------------------------------------------------------


def test_motion_in_another_unit() -> None:
    with pytest.raises(ValueError, match=r"mec/rotor turns by 'dx, dy' or 'turn, advance', env/motion is 'metres'"):
        Rotor(env() | {"env/motion": Signal((2,), unit="metres")})
    module = rotor()
    with pytest.raises(
        ValueError, match=r"the world writes float32 \[2\] in 'turn, advance', mec.move\(motion\) takes unit 'dx, dy'"
    ):
        bus(module, "turn, advance")


def test_only_lattices_that_cannot_shear_are_called_grid_cells() -> None:
    for settings in ({}, {"motion": "learned"}, {"lattice": "free"}):
        (step,) = rotor(**settings).steps()
        for signal in step.writes.values():
            assert ("grid cells (by construction)" in signal.cells) == (not settings)


@torch.no_grad()
def test_both_codes_are_one_where_nothing_corrects() -> None:
    walk = {k: x for k, x in square_walk(20, 2)[0].items() if k != "env/observation"}
    out = live(bus(rotor(), batch=2), walk)
    assert torch.equal(out["mec/g"], out["mec/g_path"])
    assert out["env/start"].dtype == START.dtype
