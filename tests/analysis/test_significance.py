"""Shuffles against rolling the activity by hand, and p against counting."""

import numpy as np
import pytest
from scipy.stats import binomtest

import analysis
from analysis.maps import mean_maps


@pytest.mark.parametrize("agents", [1, 3])
def test_shuffled_maps_are_maps_of_shifted_activity(agents):
    rng = np.random.default_rng(0)
    index, activity = rng.integers(-1, 12, (200, agents)), rng.random((200, agents, 4))
    duration = rng.uniform(0.5, 2, (200, agents))
    got = list(analysis.shuffled_maps(index, activity, (3, 4), n=5, seed=9))
    shifts = analysis.circular_shifts(200, 5 * agents, 20, np.random.default_rng(9)).reshape(5, agents)
    for maps, shift in zip(got, shifts, strict=True):
        moved = np.stack([np.roll(activity[:, b], s, axis=0) for b, s in enumerate(shift)], 1)
        expected, _ = mean_maps(index.ravel(), moved.reshape(-1, 4), (3, 4))
        np.testing.assert_allclose(maps, expected, atol=1e-12)
    timed = next(analysis.shuffled_maps(index, activity, (3, 4), n=5, seed=9, duration=duration))
    moved = np.stack([np.roll(activity[:, b], s, axis=0) for b, s in enumerate(shifts[0])], 1)
    expected, _ = mean_maps(index.ravel(), moved.reshape(-1, 4), (3, 4), duration.ravel())
    np.testing.assert_allclose(timed, expected, atol=1e-12)


def test_shifts_keep_their_distance_at_both_ends_and_repeat_with_the_seed():
    shifts = analysis.circular_shifts(100, 5000, 20, np.random.default_rng(1))
    assert shifts.min() == 20
    assert shifts.max() == 80
    np.testing.assert_array_equal(shifts, analysis.circular_shifts(100, 5000, 20, np.random.default_rng(1)))
    with pytest.raises(ValueError, match="too short"):
        analysis.circular_shifts(40, 1, 20, np.random.default_rng(0))


def test_p_counts_shuffles_at_least_as_extreme():
    drawn = np.stack([np.arange(99.0), np.arange(99.0), np.full(99, np.nan), np.arange(99.0)], 1)
    drawn[50:, 3] = np.nan
    got = analysis.significance(np.array([98.0, 200.0, 1.0, 49.0]), drawn)
    np.testing.assert_allclose(got.p, [2 / 100, 1 / 100, np.nan, 2 / 51])
    np.testing.assert_allclose(got.percentile95, [93.1, 93.1, np.nan, np.percentile(np.arange(50), 95)])
    np.testing.assert_allclose(got.percentile99, [97.02, 97.02, np.nan, np.percentile(np.arange(50), 99)])
    small = analysis.significance(np.array([0.0]), drawn[:, :1], lower=True)
    assert small.p == pytest.approx(2 / 100)
    assert small.percentile95 == pytest.approx(4.9)
    assert np.isnan(analysis.significance(np.array([np.nan]), drawn[:, :1]).p)


def controls(place, side, rng, count):
    """Cells that are no grid cells: activity blind to place, stripes, border cells, single fields, `[T, 1, n]` each."""
    ticks = len(place)
    slow = np.stack([np.convolve(rng.normal(size=ticks), np.ones(15), "same") for _ in range(count)], -1)
    stripes, borders, fields = [], [], []
    for _ in range(count):
        angle, wavelength = rng.uniform(0, np.pi), rng.uniform(side / 4, side / 2)
        stripes.append(np.cos(2 * np.pi / wavelength * place @ [np.cos(angle), np.sin(angle)] + rng.uniform(0, 6.3)))
        borders.append(np.exp(-place[:, rng.integers(2)] / rng.uniform(1, 3)))
        fields.append(np.exp(-((place - rng.uniform(3, side - 4, 2)) ** 2).sum(-1) / rng.uniform(6, 14)))
    groups = {"noise": slow.T, "stripes": stripes, "borders": borders, "fields": fields}
    return {name: np.maximum(np.stack(cells, -1), 0)[:, None] for name, cells in groups.items()}


def test_controls_are_at_chance_and_grid_cells_are_not(walk, recorded, lattice):
    side, count = 20, 40
    rng = np.random.default_rng(4)
    place = walk(4000, side, side, 5)
    cells = controls(place, side, rng, count)
    cells["grids"] = np.stack([lattice(place, s, rng.uniform(0, 1)) for s in np.linspace(5, 9, count)], -1)[:, None]
    beyond = {}
    for name, activity in cells.items():
        table = analysis.scores(recorded(place[:, None], mec_g=(activity, name, "")), n=100, smooth=1.0)
        beyond[name] = int((table.grid60 > table.grid60_p95).sum())
        if name == "noise":  # blind to place: p is uniform, for information too
            informed = int((table.spatial_information > table.spatial_information_p95).sum())
            assert binomtest(informed, count, 0.05, "greater").pvalue > 0.01
    assert beyond.pop("grids") == count
    for name, hits in beyond.items():
        assert binomtest(hits, count, 0.05, "greater").pvalue > 0.01, (name, hits)
