"""Spatial information and sparsity against sums by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import analysis

rates = hnp.arrays(float, (4, 5), elements=st.floats(0, 50, allow_subnormal=False))
times = hnp.arrays(float, (4, 5), elements=st.floats(0.02, 30))


def test_a_cell_that_fires_in_one_of_n_bins_carries_log2_n_bits():
    maps = np.zeros((4, 4))
    maps[1, 2] = 5.0
    assert analysis.spatial_information(maps, np.ones((4, 4))) == pytest.approx(4.0)
    assert analysis.spatial_information(maps, np.ones((4, 4)), "bits/s") == pytest.approx(4.0 * 5 / 16)
    assert analysis.sparsity(maps, np.ones((4, 4))) == pytest.approx(1 / 16)


def test_negative_terms_count():
    """Two bins, rates 1 and 3, times 3 and 1: by hand, L = 1.5."""
    maps, occupancy = np.array([[1.0, 3.0]]), np.array([[3.0, 1.0]])
    expected = 0.75 * (1 / 1.5) * np.log2(1 / 1.5) + 0.25 * (3 / 1.5) * np.log2(3 / 1.5)
    assert analysis.spatial_information(maps, occupancy) == pytest.approx(expected)
    assert analysis.sparsity(maps, occupancy) == pytest.approx(1.5**2 / (0.75 * 1 + 0.25 * 9))


def test_unvisited_bins_do_not_count():
    maps, occupancy = np.array([[1.0, 3.0, np.nan, 7.0]]), np.array([[3.0, 1.0, 5.0, 0.0]])
    kept = analysis.spatial_information(maps[:, :2], occupancy[:, :2])
    assert analysis.spatial_information(maps, occupancy) == pytest.approx(kept)


def test_silence_and_negative_activity_have_no_information():
    maps = np.stack([np.zeros((2, 2)), np.array([[1.0, -1.0], [2.0, 2.0]]), np.full((2, 2), np.nan)])
    assert np.isnan(analysis.spatial_information(maps, np.ones((2, 2)))).all()
    assert np.isnan(analysis.sparsity(maps, np.ones((2, 2)))).all()


@given(rates, times, st.floats(0.01, 100))
def test_never_negative_and_blind_to_scale(maps, occupancy, scale):
    if maps.max() < 1e-3:
        return
    information, sparsity = analysis.spatial_information(maps, occupancy), analysis.sparsity(maps, occupancy)
    assert information >= 0
    assert 0 < sparsity <= 1 + 1e-12
    np.testing.assert_allclose(analysis.spatial_information(maps * scale, occupancy * scale), information, atol=1e-9)


@given(st.floats(1e-3, 1e3), times)
def test_flat_maps_say_nothing(rate, occupancy):
    maps = np.full((4, 5), rate)
    assert analysis.spatial_information(maps, occupancy) == pytest.approx(0, abs=1e-9)
    assert analysis.sparsity(maps, occupancy) == pytest.approx(1)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="same y and x"):
        analysis.spatial_information(np.ones((3, 4)), np.ones((4, 3)))
