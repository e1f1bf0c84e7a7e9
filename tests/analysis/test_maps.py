"""Rate maps against means taken bin by bin, and the places of the bins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import binned_statistic_2d

import analysis
from analysis.maps import Bins, mean_maps, smooth_maps


def test_maps_are_the_means_of_each_bin(recording):
    maps = analysis.rate_maps(recording, "mec/g")
    place, activity = recording["env.place"].values[:, 0], recording["mec.g"].values[:, 0]
    assert maps.dims == ("cell", "y", "x")
    assert maps.shape == (14, 18, 20)
    np.testing.assert_array_equal(maps.x, np.arange(20))
    for cell, x, y in [(0, 3, 5), (4, 19, 0), (11, 0, 17), (12, 10, 9)]:
        here = (place == [x, y]).all(1)
        assert maps.occupancy.sel(x=x, y=y) == here.sum()
        assert maps.sel(cell=cell, x=x, y=y) == pytest.approx(activity[here, cell].mean(), rel=1e-5)
    assert maps.attrs["cells"] == "grid cells by construction"
    assert maps.attrs["unit"] == "rate"


def test_maps_agree_with_scipy_on_continuous_places():
    rng = np.random.default_rng(3)
    place, activity = rng.uniform(-7, 9, (500, 2)), rng.normal(size=(500, 3))
    bins = Bins.cover(place, 2.5)
    maps, occupancy = mean_maps(bins.index(place), activity, bins.shape)
    for n in range(3):
        expected = binned_statistic_2d(
            place[:, 1], place[:, 0], activity[:, n], "mean", [bins.y_edges, bins.x_edges]
        ).statistic
        np.testing.assert_allclose(maps[n], expected, atol=1e-12)
    assert occupancy.sum() == 500


def test_bins_of_grid_worlds_are_centred_on_cells_and_others_on_multiples_of_their_size():
    corners = np.array([[2.0, 0.0], [5.0, 1.0]])
    np.testing.assert_array_equal(Bins.cover(corners).x_edges, [1.5, 2.5, 3.5, 4.5, 5.5])
    np.testing.assert_array_equal(Bins.cover(corners, 2).x_edges, [1.5, 3.5, 5.5])
    np.testing.assert_array_equal(Bins.cover(np.array([[-50.0, 0.3], [50.0, 99.2]]), 2.5).x_edges[[0, -1]], [-50, 50])


def test_upper_edge_belongs_to_the_last_bin_and_what_lies_outside_to_none():
    bins = Bins(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0]))
    places = np.array([[2.0, 1.0], [0.0, 0.0], [2.1, 0.5], [-0.1, 0.5], [np.nan, 0.5]])
    np.testing.assert_array_equal(bins.index(places), [1, 0, -1, -1, -1])


def test_unknown_activity_is_left_out_of_the_mean():
    index, activity = np.array([0, 0, 1]), np.array([[1.0], [np.nan], [np.nan]])
    maps, occupancy = mean_maps(index, activity, (1, 2))
    np.testing.assert_array_equal(maps, [[[1.0, np.nan]]])
    np.testing.assert_array_equal(occupancy, [[2, 1]])


def test_one_agent_or_all_of_them(recording):
    both = analysis.rate_maps(recording, agent=None)
    each = [analysis.rate_maps(recording, agent=i) for i in range(2)]
    np.testing.assert_array_equal(both.occupancy, each[0].occupancy + each[1].occupancy)
    sums = sum(np.nan_to_num(m.values) * m.occupancy.values for m in each)
    np.testing.assert_allclose(np.nan_to_num(both.values) * both.occupancy.values, sums, atol=1e-4)
    with pytest.raises(ValueError, match="agents 0 to 1"):
        analysis.rate_maps(recording, agent=2)


def test_one_episode_or_all_of_them(recording, lives):
    def part(a, b):
        return analysis.rate_maps(recording.isel(tick=slice(a, b)))

    for episode, (a, b) in enumerate([(0, 1000), (1000, 1700), (1700, 3000)]):
        maps = analysis.rate_maps(lives, episode=episode)
        np.testing.assert_array_equal(maps, part(a, b))
        assert (maps.occupancy.sum(), maps.attrs["ticks"]) == (b - a, b - a)
        assert (maps.attrs["episode"], maps.attrs["episodes"]) == (episode, 3)
    np.testing.assert_array_equal(analysis.rate_maps(lives), part(0, 1000))
    pooled = analysis.rate_maps(lives, episode=None)
    np.testing.assert_array_equal(pooled, part(0, 3000))
    assert (pooled.attrs["episode"], pooled.attrs["episodes"]) == ("all", 3)
    with pytest.raises(
        ValueError, match="episode 3 of agent 0 does not exist: there are episodes 0 to 2, and None pools"
    ):
        analysis.rate_maps(lives, episode=3)
    with pytest.raises(ValueError, match="there are episodes 0 to 1"):
        analysis.rate_maps(lives, agent=1, episode=-1)


def test_an_episode_of_all_agents_is_one_that_they_begin_together(recording, lives):
    assert analysis.rate_maps(lives, agent=None, episode=None).attrs["episodes"] == 5
    with pytest.raises(ValueError, match=r"begin their episodes at different ticks.*episode=None"):
        analysis.rate_maps(lives, agent=None)
    start = recording["env.start"].copy(data=np.arange(3000)[:, None, None] % 1500 + np.zeros((1, 2, 1)) == 0)
    together = analysis.rate_maps(recording.assign({"env.start": start}), agent=None, episode=1)
    np.testing.assert_array_equal(together, analysis.rate_maps(recording.isel(tick=slice(1500, None)), agent=None))


@pytest.mark.parametrize("size", [0, -1, np.nan])
def test_a_bin_size_that_cannot_be_is_refused(recording, size):
    with pytest.raises(ValueError, match="bin size"):
        analysis.rate_maps(recording, bins=size)


def test_bins_too_small_for_memory_are_refused(recording):
    with pytest.raises(ValueError, match="choose a larger one"):
        analysis.rate_maps(recording, bins=1e-3)


def test_smoothing_is_the_weighted_mean_of_visited_bins():
    maps = np.full((9, 9), np.nan)
    maps[4, 4], maps[4, 6], maps[2, 4] = 1.0, 3.0, 8.0
    smoothed = smooth_maps(maps, 1.0)
    near, far = np.exp(-(2**2) / 2), np.exp(-(2**2 + 2**2) / 2)
    assert smoothed[4, 4] == pytest.approx((1 + near * 3 + near * 8) / (1 + 2 * near), rel=1e-3)
    assert smoothed[4, 6] == pytest.approx((3 + near * 1 + far * 8) / (1 + near + far), rel=1e-3)
    assert np.isnan(smoothed).sum() == 78


@given(
    hnp.arrays(float, (6, 7), elements=st.floats(0, 100)),
    hnp.arrays(bool, (6, 7)),
    st.floats(0.3, 3),
)
def test_smoothing_keeps_to_the_range_and_to_visited_bins(values, visited, sigma):
    maps = np.where(visited, values, np.nan)
    smoothed = smooth_maps(maps, sigma)
    np.testing.assert_array_equal(np.isfinite(smoothed), visited)
    if visited.any():
        assert np.nanmin(smoothed) >= np.nanmin(maps) - 1e-9
        assert np.nanmax(smoothed) <= np.nanmax(maps) + 1e-9


def test_spikes_go_to_the_nearest_frame_and_rates_are_in_hz():
    t = np.array([0.0, 1.0, 2.0, 3.0])
    x, y = np.array([0.5, 1.5, 2.5, 2.5]), np.full(4, 0.5)
    maps = analysis.spike_rate_map(x, y, t, np.array([0.4, 0.6, 1.4, 2.2]), bin=1.0, smooth=0)
    np.testing.assert_array_equal(maps.occupancy, [[1, 1, 2]])
    np.testing.assert_array_equal(maps, [[1, 2, 0.5]])
