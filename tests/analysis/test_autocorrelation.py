"""Autocorrelograms against Pearson's r lag by lag, and against scikit-image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.registration._masked_phase_cross_correlation import cross_correlate_masked

import analysis


def brute_force(values, min_overlap):
    rows, columns = values.shape
    out = np.full((2 * rows - 1, 2 * columns - 1), np.nan)
    for dy in range(-rows + 1, rows):
        for dx in range(-columns + 1, columns):
            a = values[max(dy, 0) : rows + min(dy, 0), max(dx, 0) : columns + min(dx, 0)]
            b = values[max(-dy, 0) : rows + min(-dy, 0), max(-dx, 0) : columns + min(-dx, 0)]
            both = np.isfinite(a) & np.isfinite(b)
            if both.sum() >= min_overlap:
                out[dy + rows - 1, dx + columns - 1] = np.corrcoef(a[both], b[both])[0, 1]
    return out


@pytest.mark.parametrize("shape", [(7, 7), (9, 5), (4, 12)])
def test_equals_pearson_at_every_lag(shape):
    rng = np.random.default_rng(0)
    maps = rng.random((3, *shape))
    maps[:, rng.random(shape) < 0.2] = np.nan
    maps[1][rng.random(shape) < 0.2] = np.nan  # and one map visited otherwise than the rest
    for values, got in zip(maps, analysis.autocorrelogram(maps, 5), strict=True):
        np.testing.assert_allclose(got, brute_force(values, 5), atol=1e-10)


def test_equals_scikit_image():
    rng = np.random.default_rng(1)
    values, visited = rng.random((30, 24)) * 1e3, rng.random((30, 24)) < 0.8
    ours = analysis.autocorrelogram(np.where(visited, values, np.nan))
    theirs = cross_correlate_masked(values, values, visited, visited, mode="full", overlap_ratio=0)
    known = np.isfinite(ours)
    assert known.sum() > 1500
    np.testing.assert_allclose(ours[known], theirs[known], atol=1e-9)


def test_too_few_bins_constant_maps_and_flat_overlaps_are_nan():
    assert np.isnan(analysis.autocorrelogram(np.full((8, 8), 3.3))).all()
    few = np.full((8, 8), np.nan)
    few.flat[:19] = np.arange(19)
    assert np.isnan(analysis.autocorrelogram(few)).all()
    corner = np.zeros((10, 10))
    corner[0, 0] = 1.0
    sac = analysis.autocorrelogram(corner)
    assert sac[9, 9] == pytest.approx(1)
    assert np.isnan(sac[9 + 3, 9 + 3])  # one side of the overlap holds nothing but zeros


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(float, (6, 8), elements=st.floats(0, 10, width=16)),
    st.floats(0.01, 100),
    st.floats(-50, 50),
)
def test_symmetric_under_point_reflection_bounded_and_blind_to_scale(values, scale, offset):
    sac = analysis.autocorrelogram(values, 6)
    np.testing.assert_array_equal(sac, sac[::-1, ::-1])
    assert np.nanmax(np.abs(sac), initial=0) <= 1
    again = analysis.autocorrelogram(values * scale + offset, 6)
    both = np.isfinite(sac) & np.isfinite(again)
    well = both & (np.ptp(values) > 0.5)  # else the offset drowns what varies
    np.testing.assert_allclose(again[well], sac[well], atol=1e-4)


def test_a_stack_equals_its_maps_one_by_one():
    maps = np.random.default_rng(2).random((130, 6, 6))
    stack = analysis.autocorrelogram(maps.reshape(2, 65, 6, 6), 5).reshape(130, 11, 11)
    for i in (0, 63, 64, 129):
        np.testing.assert_allclose(stack[i], analysis.autocorrelogram(maps[i], 5), atol=1e-12)
