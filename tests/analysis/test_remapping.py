"""What is kept and what remaps, on maps made by hand whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

import analysis
from analysis.remapping import active_in_both, grid_at_place, map_correlations, plot_remapping, remapping


def maps(values: np.ndarray, x: int = 0, y: int = 0, **attrs: str) -> xr.DataArray:
    """Maps `[n, y, x]` with the bin of the lowest place at (x, y)."""
    n, rows, columns = values.shape
    coords = {"cell": np.arange(n), "y": y + np.arange(rows), "x": x + np.arange(columns)}
    return xr.DataArray(values, dims=("cell", "y", "x"), coords=coords, attrs=attrs)


def random_maps(seed: int, n: int = 6, side: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, side, side))


def peaks_at(bins: list[int], side: int) -> np.ndarray:
    """A place cell for each bin, silent elsewhere."""
    values = np.zeros((len(bins), side * side))
    values[np.arange(len(bins)), bins] = 1.0
    return values.reshape(-1, side, side)


def scrambled(values: np.ndarray, seed: int) -> np.ndarray:
    """All maps with their bins in another order, the same for all."""
    flat = values.reshape(len(values), -1)
    return flat[:, np.random.default_rng(seed).permutation(flat.shape[1])].reshape(values.shape)


# --- correlations of maps ---------------------------------------------------------------------------------------------


def test_correlations_are_pearsons_over_the_bins_visited_in_both() -> None:
    a, b = random_maps(0, 4), random_maps(1, 5)
    a[:, 0, 3], b[:, 6, 1] = np.nan, np.nan
    both = np.ones((7, 7), bool)
    both[0, 3] = both[6, 1] = False
    expected = np.corrcoef(a[:, both], b[:, both])[:4, 4:]
    np.testing.assert_allclose(map_correlations(maps(a), maps(b)), expected, atol=1e-12)


def test_bins_are_matched_by_where_they_are() -> None:
    """World 2 was seen without its westernmost column and southernmost row."""
    a = random_maps(0)
    found = map_correlations(maps(a), maps(a[:, 1:, 1:], x=1, y=1))
    np.testing.assert_allclose(np.diag(found), 1.0)
    with pytest.raises(ValueError, match="0 bins were visited in both worlds"):
        map_correlations(maps(a), maps(a, x=20))


def test_a_flat_map_is_like_nothing() -> None:
    a = random_maps(0)
    a[2] = 0.7 + 1e-9 * a[2]  # but for rounding
    found = remapping((maps(a), maps(random_maps(1))))
    assert np.isnan(found.correlation[2]) and np.isfinite(np.delete(found.correlation, 2)).all()
    assert np.isfinite(found.chance) and np.isfinite(found.structure)


def test_a_code_that_stays_is_told_from_one_that_moves() -> None:
    a = random_maps(0)
    same = remapping((maps(a), maps(3 * a + 2)))
    np.testing.assert_allclose(same.correlation, 1.0)
    between = np.corrcoef(a.reshape(6, -1))
    assert same.chance == pytest.approx(between[~np.eye(6, dtype=bool)].mean())
    assert same.structure == pytest.approx(1.0)


def test_structure_stays_where_all_cells_move_alike_and_only_there() -> None:
    """Maps that overlap, their bins dealt anew: by one deal for all cells, and by one for each."""
    common = random_maps(9, 3)
    a = np.concatenate([common + 0.5 * random_maps(k, 3) for k in range(6)])
    together = remapping((maps(a), maps(scrambled(a, 5))))
    apart = remapping((maps(a), maps(np.concatenate([scrambled(cell[None], k) for k, cell in enumerate(a)]))))
    assert abs(together.correlation.mean()) < 0.15 and together.structure == pytest.approx(1.0)
    assert abs(apart.correlation.mean()) < 0.15 and abs(apart.structure) < 0.25


def test_structure_is_the_correlation_over_pairs_of_cells() -> None:
    a, b = random_maps(0), random_maps(1)
    pairs = [(i, j) for i in range(6) for j in range(i)]
    alike = [[np.corrcoef(m[i].ravel(), m[j].ravel())[0, 1] for i, j in pairs] for m in (a, b)]
    assert remapping((maps(a), maps(b))).structure == pytest.approx(np.corrcoef(*alike)[0, 1])
    assert np.isnan(remapping((maps(a[:2]), maps(b[:2]))).structure)  # one pair has no correlation


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 100), st.floats(-50, 50))
def test_gain_offset_and_the_order_of_worlds_do_not_matter(seed: int, gain: float, offset: float) -> None:
    a, b = random_maps(seed), random_maps(seed + 1)
    plain, other = remapping((maps(a), maps(b))), remapping((maps(b), maps(gain * a + offset)))
    np.testing.assert_allclose(plain.correlation, other.correlation, atol=1e-8)
    assert plain.chance == pytest.approx(other.chance, abs=1e-8)
    assert plain.structure == pytest.approx(other.structure, abs=1e-8)
    assert np.abs(plain.correlation).max() <= 1 + 1e-9


def test_cells_silent_in_either_world_are_left_out() -> None:
    a, b = np.abs(random_maps(0)), np.abs(random_maps(1))
    a[1], b[4] = 0.0, 1e-6
    a[:, 2, 2] = np.nan
    first, second = active_in_both((maps(a), maps(b)))
    assert first["cell"].values.tolist() == second["cell"].values.tolist() == [0, 2, 3, 5]
    with pytest.raises(ValueError, match="6 cells in world 1 and 5 in world 2: give maps of the same cells"):
        active_in_both((maps(a), maps(b[:5])))


# --- grid at place ----------------------------------------------------------------------------------------------------

SIDE = 8


def lattices() -> np.ndarray:
    """Grid cells of period 4 along x and y, in every phase."""
    y, x = np.indices((SIDE, SIDE))
    phases = [(i, j) for i in range(4) for j in range(4)]
    return np.stack([np.cos(np.pi / 2 * (x - i)) + np.cos(np.pi / 2 * (y - j)) for i, j in phases])


def test_places_that_stay_have_the_same_grid_at_place() -> None:
    place = maps(peaks_at([3, 17, 40, 62], SIDE))
    found = grid_at_place((maps(lattices()), maps(lattices())), (place, place))
    assert found.correlation == pytest.approx(1.0)


def test_places_that_move_by_a_period_of_the_grid_keep_it_and_others_lose_it() -> None:
    """From the south-west quarter to the north-east one: every place map moves, grid at place is the same."""
    grid = (maps(lattices()), maps(lattices()))
    first = [y * SIDE + x for y in range(4) for x in range(4)]
    moved = [bin_ + 4 * SIDE + 4 for bin_ in first]
    kept = (maps(peaks_at(first, SIDE)), maps(peaks_at(moved, SIDE)))
    assert remapping(kept).correlation.max() < 0
    found = grid_at_place(grid, kept)
    assert found.correlation == pytest.approx(1.0)
    assert found.permuted.max() < 0.9 and abs(found.permuted.mean()) < 0.02

    dealt = np.random.default_rng(1).permutation(moved).tolist()
    lost = grid_at_place(grid, (kept[0], maps(peaks_at(dealt, SIDE))))
    low, high = np.percentile(lost.permuted, [0.5, 99.5])
    assert low < lost.correlation < high


def test_grid_at_place_is_what_its_definition_says() -> None:
    g, p = [random_maps(k, 4) for k in (0, 1)], [np.abs(random_maps(k, 5)) for k in (2, 3)]
    rates: list[list[float]] = [[], []]
    for k in (0, 1):
        for cell in g[k]:
            for place in p[k]:
                y, x = np.unravel_index(place.argmax(), place.shape)
                rates[k].append((cell[y, x] - cell.mean()) / cell.std())
    found = grid_at_place((maps(g[0]), maps(g[1])), (maps(p[0]), maps(p[1])), permutations=50, seed=3)
    assert found.correlation == pytest.approx(np.corrcoef(*rates)[0, 1])
    again = grid_at_place((maps(g[0]), maps(g[1])), (maps(p[0]), maps(p[1])), permutations=50, seed=3)
    assert found.permuted.shape == (50,) and (found.permuted == again.permuted).all()
    order = np.random.default_rng(3).permutation(5)
    by_hand = np.corrcoef(rates[0], np.reshape(rates[1], (4, 5))[:, order].ravel())[0, 1]
    assert found.permuted[0] == pytest.approx(by_hand)


def test_how_busy_a_grid_cell_is_says_nothing_of_where() -> None:
    gains = np.linspace(1, 50, 16)[:, None, None]
    place = tuple(maps(peaks_at(np.random.default_rng(k).permutation(64)[:20].tolist(), SIDE)) for k in (0, 1))
    assert len(place) == 2
    plain = grid_at_place((maps(lattices()), maps(lattices())), place)
    busy = grid_at_place((maps(gains * lattices() + 100 * gains), maps(gains * lattices())), place)
    assert busy.correlation == pytest.approx(plain.correlation)


def test_flat_grid_cells_are_left_out_and_none_at_all_is_nan() -> None:
    place = (maps(peaks_at([3, 17, 40], SIDE)), maps(peaks_at([9, 50, 21], SIDE)))
    flat = lattices()
    flat[5] = 1.0
    others = np.delete(lattices(), 5, axis=0)
    found = grid_at_place((maps(flat), maps(lattices())), place)
    assert found.correlation == pytest.approx(grid_at_place((maps(others), maps(others)), place).correlation)
    nothing = grid_at_place((maps(0 * flat), maps(lattices())), place, permutations=7)
    assert np.isnan(nothing.correlation) and nothing.permuted.shape == (7,)
    no_place = (place[0][:0], place[1][:0])
    assert np.isnan(grid_at_place((maps(flat), maps(lattices())), no_place).correlation)


# --- figure -----------------------------------------------------------------------------------------------------------


def test_the_same_cells_are_drawn_in_both_worlds_with_their_correlation() -> None:
    grid, place = random_maps(0, 9), np.abs(random_maps(1, 3))
    grid[:, 0, 0] = np.nan
    kept = (maps(grid, cells="grid cells"), maps(2 * grid, cells="grid cells"))
    moved = (maps(place, topic="hc/p"), maps(scrambled(place, 0)))
    figure = plot_remapping({"tester": [kept, moved]}, cells=4)
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 2 * (4 + 3)
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert titles[:4] == ["0: r 1.00", "3: r 1.00", "5: r 1.00", "8: r 1.00"]
    r = remapping(moved).correlation
    assert titles[4:] == [f"{i}: r {r[i]:.2f}".replace("-", "−") for i in range(3)]
    first, second = (figure.axes[k].images[0] for k in (0, 1))
    np.testing.assert_array_equal(np.ma.filled(first.get_array(), np.nan), grid[0])
    np.testing.assert_array_equal(np.ma.filled(second.get_array(), np.nan), 2 * grid[0])
    assert (
        first.get_clim()
        == second.get_clim()
        == (min(np.nanmin(grid[0]), 2 * np.nanmin(grid[0])), 2 * np.nanmax(grid[0]))
    )
    assert first.cmap.get_bad().tolist() == [1, 1, 1, 1]  # white where nobody went
    words = " ".join(text.get_text() for text in figure.texts)
    assert "grid cells: mean r 1.00 of 9 cells" in words and "hc/p: mean r" in words and "world 2" in words


def test_it_is_offered_at_the_door() -> None:
    assert analysis.remapping is remapping and analysis.grid_at_place is grid_at_place
