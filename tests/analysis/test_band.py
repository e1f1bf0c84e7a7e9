"""Band scores of maps whose value is known by formula, and against a brute-force fit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import analysis
from analysis.band import CYCLES


def wave(side, ky, kx, phase=0.4):
    """A plane wave of so many whole cycles along y and x."""
    y, x = np.mgrid[:side, :side] / side
    return np.cos(2 * np.pi * (ky * y + kx * x) + phase)


@pytest.mark.parametrize("side", [12, 15, 40])
@pytest.mark.parametrize("amplitude", [0.0, 0.3, 0.8, 1.0])
def test_two_orthogonal_waves_score_the_difference_of_their_shares(side, amplitude):
    """(1 - a^2) / (1 + a^2): a stripe 1, a square lattice 0."""
    map = 3 + wave(side, 3, 1) + amplitude * wave(side, -1, 3, 1.3)
    assert analysis.band_score(map) == pytest.approx((1 - amplitude**2) / (1 + amplitude**2), abs=0.01)


def test_three_waves_score_by_their_shares():
    """A lattice, of waves k1, k2 and k1 - k2 that are whole cycles: powers 1, b^2, c^2."""
    for b, c in ((1.0, 1.0), (0.5, 0.5), (0.9, 0.2)):
        map = wave(20, 4, 1) + b * wave(20, 1, 4, 2) + c * wave(20, 3, -3, 1)
        assert analysis.band_score(map) == pytest.approx((1 - max(b, c) ** 2) / (1 + b**2 + c**2), abs=0.02)


def test_a_rectified_stripe_keeps_the_share_of_its_first_harmonic():
    """max(cos, 0) has variance 1/4 - 1/pi^2, of which its first harmonic, cos/2, is 1/8."""
    rectified = np.maximum(wave(40, 2, 1), 0)
    assert analysis.band_score(rectified) == pytest.approx((1 / 8) / (1 / 4 - 1 / np.pi**2), abs=0.01)


def test_a_stripe_of_any_wave_and_phase_is_a_band():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:15, :18]
    angle, length = rng.uniform(0, np.pi, 100), rng.uniform(0.11, 0.49, 100)
    maps = [
        np.cos(2 * np.pi * k * (x * np.cos(a) + y * np.sin(a)) + p)
        for a, k, p in zip(angle, length, rng.uniform(0, 6, 100), strict=True)
    ]
    scores = analysis.band_score(maps)
    assert scores.min() > 0.9 and np.median(scores) > 0.98
    assert analysis.band_score((-1.0) ** x) > 0.98  # the shortest wave, two bins


@pytest.mark.parametrize("side", [7, 15, 40])
def test_what_has_no_stripes_is_no_band(side, lattice):
    y, x = np.mgrid[:side, :side]
    middle = (side - 1) / 2
    bump = np.exp(-((x - middle) ** 2 + (y - middle) ** 2) / (side / 4) ** 2)
    for map in (x, y, x + y, 2.0 * x - y, bump):
        assert abs(analysis.band_score(map)) < 0.1
    noise = analysis.band_score(np.random.default_rng(0).normal(size=(200, side, side)))
    assert np.median(noise) < 0.07 and noise.min() > -0.1
    grid = [lattice(np.stack([x, y], -1), s, a, (1, 2)) for s in (side / 4, side / 3) for a in (0.1, 0.4) if s > 3.5]
    assert (analysis.band_score(grid) < 0.25).all() if grid else side == 7


def brute_force(map):
    """Every wave on a grid of a sixteenth of a cycle, each fitted by `lstsq`, twice."""
    visited = np.isfinite(map)
    place = np.argwhere(visited)
    values = map[visited] - map[visited].mean()
    rows, columns = map.shape
    fits = {}
    for ky in np.arange(-8 * rows, 8 * rows + 1) / (16 * rows):
        for kx in np.arange(0, 8 * columns + 1) / (16 * columns):
            if np.hypot(ky, kx) <= 0.5 and abs(ky) * rows + abs(kx) * columns >= CYCLES:
                phase = 2 * np.pi * place @ [ky, kx]
                basis = np.stack([np.cos(phase), np.sin(phase), np.ones(len(phase))], 1)
                fits[ky, kx] = np.linalg.qr(basis[:, [2, 0, 1]])[0][:, 1:]
    first = max(fits, key=lambda k: fits[k].T @ values @ (fits[k].T @ values))
    fitted = fits[first] @ (fits[first].T @ values)
    left = values - fitted
    away = [k for k in fits if abs(np.cross([*k, 0], [*first, 0])[2]) >= 0.5 * np.hypot(*k) * np.hypot(*first)]
    second = max(float(np.square(fits[k].T @ left).sum()) for k in away)
    return (float(np.square(fitted).sum()) - second) / float(np.square(values).sum())


@pytest.mark.parametrize("seed", range(3))
def test_it_is_that_of_a_brute_force_fit_over_visited_bins(seed):
    rng = np.random.default_rng(seed)
    map = rng.normal(size=(7, 9)) + 2 * np.cos(0.9 * np.arange(9) + 0.7 * np.arange(7)[:, None])
    map[rng.random(map.shape) < 0.15] = np.nan
    assert analysis.band_score(map) == pytest.approx(brute_force(map), abs=0.04)


@given(
    seed=st.integers(0, 1000),
    scale=st.sampled_from([-3.0, 1e-6, 1e5]),
    offset=st.floats(-10, 10),
)
@settings(max_examples=30, deadline=None)
def test_scale_offset_and_mirror_do_not_matter(seed, scale, offset):
    map = np.random.default_rng(seed).normal(size=(9, 11))
    map[0, :3] = np.nan
    score = analysis.band_score(map)
    for other in (scale * (map + offset), map[::-1], map[:, ::-1], map.T):
        assert analysis.band_score(other) == pytest.approx(float(score), abs=0.01)


def test_maps_are_scored_one_by_one_whatever_was_visited():
    maps = np.random.default_rng(0).normal(size=(3, 50, 9, 9))
    maps[1, 10:, :2] = np.nan
    maps[2, 5] = np.nan
    maps[2, 6] = 4.0
    scores = analysis.band_score(maps)
    assert scores.shape == (3, 50)
    assert np.isnan(scores[2, 5:7]).all() and np.isfinite(scores).sum() == 148
    np.testing.assert_allclose(scores[1, [3, 30]], [analysis.band_score(maps[1, i]) for i in (3, 30)])
    few = np.full((9, 9), np.nan)
    few[:2, :9] = np.random.default_rng(1).normal(size=(2, 9))
    assert np.isnan(analysis.band_score(few))
    with pytest.raises(ValueError, match="needs maps"):
        analysis.band_score(np.zeros(5))
