"""Border scores and fields of maps whose value is known by formula, and against the definition, bin by bin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import analysis
from analysis.fields import field_counts


@pytest.mark.parametrize("side", [7, 15, 40])
def test_a_line_along_a_wall_scores_by_formula(side):
    """cM = 1, dm = (1/2) / (side / 2) = 1 / side: (side - 1) / (side + 1), at any wall and at all four."""
    expected = (side - 1) / (side + 1)
    walls = [np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]]
    maps = np.zeros((5, side, side))
    for map, wall in zip(maps, walls, strict=False):
        map[wall] = 2.0
        maps[4][wall] = 2.0
    np.testing.assert_allclose(analysis.border_score(maps), expected)


def test_half_a_wall_is_half_a_coverage():
    map = np.zeros((20, 20))
    map[:10, 0] = 1
    assert analysis.border_score(map) == pytest.approx((1 / 2 - 1 / 20) / (1 / 2 + 1 / 20))
    map[15:, 0] = 1  # the longer of two fields counts, not their sum
    assert analysis.border_score(map) == pytest.approx((1 / 2 - 1 / 20) / (1 / 2 + 1 / 20))


def test_what_is_no_border_cell():
    whole, ramp, middle, bin = (
        np.ones((30, 30)),
        np.arange(30.0) * np.ones((30, 1)),
        np.zeros((30, 30)),
        np.zeros((7, 7)),
    )
    whole[15, 15] = 0
    middle[12:18, 12:18] = 1
    bin[0, 3] = 1
    assert analysis.border_score(whole) == pytest.approx(1 / 2, abs=0.01)
    assert analysis.border_score(ramp) == pytest.approx(1 / 2, abs=0.01)
    assert analysis.border_score(middle) == -1
    assert analysis.border_score(bin) == pytest.approx(0)
    assert np.isnan(analysis.border_score(np.full((9, 9), 2.5)))
    small = np.zeros((20, 20))
    small[0, :7] = 1  # 2 % of 400 bins are 8
    assert analysis.border_score(small) == -1
    small[0, 7] = 1
    assert analysis.border_score(small) == pytest.approx((8 / 20 - 1 / 20) / (8 / 20 + 1 / 20))


def test_walls_count_where_they_were_visited():
    map = np.zeros((10, 10))
    map[0] = 1
    map[0, :4] = np.nan
    assert analysis.border_score(map) == pytest.approx(9 / 11)
    map[0, 4:9] = np.nan  # too little is left of this wall, and one bin of another is lined
    assert analysis.border_score(map) == pytest.approx((1 / 10 - 1 / 10) / (1 / 10 + 1 / 10))
    with pytest.raises(ValueError, match="needs maps"):
        analysis.border_score(np.zeros(5))


def by_definition(map):
    """(cM - dm) / (cM + dm), field by field and bin by bin."""
    rate = map - np.nanmin(map)
    rows, columns = map.shape
    labels, count = ndimage.label(np.nan_to_num(rate) >= 0.3 * np.nanmax(rate))
    fields = [labels == i for i in range(1, count + 1)]
    fields = [field for field in fields if field.sum() >= max(1, int(0.02 * np.isfinite(map).sum()))]
    walls = [np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]]
    coverage = max(field[w].sum() / np.isfinite(map[w]).sum() for field in fields for w in walls)
    weights, distances = [], []
    for field in fields:
        for y, x in np.argwhere(field):
            weights.append(rate[y, x])
            distances.append(min(y + 0.5, rows - y - 0.5, x + 0.5, columns - x - 0.5) / (min(rows, columns) / 2))
    distance = np.average(distances, weights=weights)
    return (coverage - distance) / (coverage + distance)


@given(seed=st.integers(0, 10_000), sigma=st.sampled_from([0.0, 1.0, 2.0]))
@settings(max_examples=40, deadline=None)
def test_it_is_that_of_the_definition(seed, sigma):
    rng = np.random.default_rng(seed)
    maps = ndimage.gaussian_filter(rng.normal(size=(3, 11, 14)), (0, sigma, sigma))
    maps[1, 3, 2:5] = np.nan
    np.testing.assert_allclose(analysis.border_score(maps), [by_definition(map) for map in maps])
    np.testing.assert_allclose(analysis.border_score(5 * maps - 3), analysis.border_score(maps))


def test_fields_are_counted_and_measured():
    maps = np.zeros((4, 10, 10))
    maps[0, 2:4, 2:5] = 1
    maps[0, 7, 7] = 0.31
    maps[0, 0, 0] = 0.29
    maps[1, [1, 2], [1, 2]] = 1  # neighbours share a side
    maps[2] = -1
    maps[3, :, :5] = np.nan
    maps[3, :, 5:7] = 3
    count, share = field_counts(maps)
    np.testing.assert_array_equal(count, [2, 2, 0, 1])
    np.testing.assert_allclose(share, [0.06, 0.01, 0, 0.4])
