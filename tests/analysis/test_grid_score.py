"""Grid score and spacing on lattices whose answer is known, and on maps that have none."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, rotate

import analysis


def board(rows, columns=None):
    return np.stack(np.meshgrid(np.arange(columns or rows), np.arange(rows)), -1).astype(float)


def correlograms(lattice, side, spacing, count=6, seed=0):
    rng = np.random.default_rng(seed)
    maps = [lattice(board(side), spacing, rng.uniform(0, np.pi / 3), rng.uniform(0, spacing, 2)) for _ in range(count)]
    return analysis.autocorrelogram(np.stack(maps))


@pytest.mark.parametrize(
    ("side", "spacing"), [(40, 10), (40, 12), (40, 16), (40, 20), (20, 5), (20, 6), (20, 8), (30, 5), (30, 8), (12, 5)]
)
def test_perfect_lattices_score_above_1_2_at_their_spacing(lattice, side, spacing):
    sacs = correlograms(lattice, side, spacing)
    fit = analysis.grid_score(sacs)
    assert (fit.score > 1.2).all()
    assert (fit.reason == "").all()
    assert (fit.inner < spacing / 2).all()
    assert (fit.outer > spacing).all()  # the six peaks lie in the annulus
    np.testing.assert_allclose(analysis.grid_spacing(sacs), spacing, rtol=0.03)


def test_square_lattices_score_at_90_degrees_and_hexagonal_ones_at_60(lattice):
    place = board(30)
    square = np.maximum(np.cos(2 * np.pi * place / 7).sum(-1), 0)
    sacs = analysis.autocorrelogram(np.stack([square, lattice(place, 7, 0.2)]))
    sixty, ninety = analysis.grid_score(sacs).score, analysis.grid_score(sacs, 90).score
    assert ninety[0] > 1.2 > 0 > sixty[0]
    assert sixty[1] > 1.2 > 0.5 > ninety[1]


def test_maps_need_not_be_square(lattice):
    sacs = analysis.autocorrelogram(np.stack([lattice(board(16, 34), 6, a) for a in (0.0, 0.3, 0.6)]))
    assert (analysis.grid_score(sacs).score > 1.2).all()
    np.testing.assert_allclose(analysis.grid_spacing(sacs), 6, rtol=0.03)


def test_agrees_with_rotating_the_image(lattice):
    """The rings and half circles give what turning the whole image by 30 to 150 degrees gives."""
    place = board(40)
    cells = [lattice(place, 14, 0.3), lattice(place * [1.0, 0.88], 13, 0.1), np.exp(-((place - 17) ** 2).sum(-1) / 60)]
    noise = gaussian_filter(np.random.default_rng(0).normal(size=place.shape[:2]), 1.5)
    for sac in analysis.autocorrelogram(np.stack([cell + noise for cell in cells])):
        rings = analysis.grid.read_rings(sac[None])
        inner, outer = max(rings.peak[0], 1.0), 22.0
        samples = np.where((rings.radii >= inner)[:, None], rings.samples, np.nan)
        y, x = np.indices(sac.shape) - 39
        annulus = (np.hypot(x, y) >= inner) & (np.hypot(x, y) <= outer)
        for angle in (30, 45, 60, 90, 120, 150):
            turned = rotate(np.nan_to_num(sac), angle, reshape=False, order=1)
            expected = np.corrcoef(sac[annulus], turned[annulus])[0, 1]
            ours = analysis.grid._turned_correlation(rings.radii, samples, angle)[0]
            assert ours[np.searchsorted(rings.radii, outer)] == pytest.approx(expected, abs=0.03)


def test_score_does_not_depend_on_orientation_or_phase(lattice):
    scores = analysis.grid_score(correlograms(lattice, 40, 10, count=12)).score
    assert np.ptp(scores) < 0.05


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full((20, 20), 2.0), "constant"),
        (np.where(np.arange(400).reshape(20, 20) < 15, np.arange(400.0).reshape(20, 20), np.nan), "too few"),
        (np.random.default_rng(0).random((20, 20)) > 0.98, "narrower than a bin"),
        (board(20)[..., 0], "too wide"),
        (np.cos(board(6)).sum(-1), "no annulus fits"),
    ],
    ids=["constant", "unvisited", "white noise", "ramp", "tiny"],
)
@pytest.mark.parametrize("symmetry", [60, 90])
def test_not_computable_says_why(values, reason, symmetry):
    fit = analysis.grid_score(analysis.autocorrelogram(values.astype(float)), symmetry)
    assert np.isnan(fit.score)
    assert np.isnan(fit.outer)
    assert reason in str(fit.reason)


def test_a_lattice_finer_than_the_bins_is_not_computable(lattice):
    fit = analysis.grid_score(correlograms(lattice, 20, 3))
    assert np.isnan(fit.score).all()
    assert all("narrower" in reason for reason in fit.reason)


def test_stripes_and_single_fields_score_near_0():
    place = board(40)
    stripes = [np.maximum(np.cos(2 * np.pi / 12 * place @ [np.cos(a), np.sin(a)]), 0) for a in np.linspace(0, 3, 9)]
    fields = [np.exp(-((place - c) ** 2).sum(-1) / 20) for c in ([12, 20], [25, 8])]
    assert (analysis.grid_score(analysis.autocorrelogram(np.stack(stripes + fields))).score < 0.15).all()


def test_no_spacing_without_six_peaks():
    field = np.exp(-((board(20) - 10) ** 2).sum(-1) / 10)
    assert np.isnan(analysis.grid_spacing(analysis.autocorrelogram(field)))


def test_wrong_shapes_and_symmetries_are_refused():
    with pytest.raises(ValueError, match="autocorrelograms"):
        analysis.grid_score(np.zeros((4, 6)))
    with pytest.raises(ValueError, match="symmetry 45"):
        analysis.grid_score(np.zeros((9, 9)), 45)
