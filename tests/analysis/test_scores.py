"""The table of scores, and the recorded neuron against what published packages say of it."""

import csv

import numpy as np
import pytest

import analysis
from analysis.fields import field_counts


def test_scores_tell_grid_cells_from_noise(recording):
    table = analysis.scores(recording, "mec/g", n=50)
    np.testing.assert_array_equal(table.cell, np.arange(13))  # the 14th never fires
    assert (table.grid60[:10] > table.grid60_p99[:10]).all()
    np.testing.assert_allclose(table.grid60_p[:10], 1 / 51)
    np.testing.assert_allclose(table.spacing[:10], np.linspace(5, 9, 10), rtol=0.03)
    assert (table.spatial_information_p[10:] > 0.02).all()
    assert (table.sparsity[:10] < table.sparsity_p01[:10]).all()
    assert table.attrs["cells_in_topic"] == 14


def test_scores_are_those_of_the_maps(recording):
    maps = analysis.rate_maps(recording, "mec/g", smooth=1.0)
    table = analysis.scores(recording, "mec/g", smooth=1.0, n=0)
    kept = maps.sel(cell=table.cell)
    np.testing.assert_allclose(table.grid60, analysis.grid_score(analysis.autocorrelogram(kept)).score)
    np.testing.assert_allclose(table.spatial_information, analysis.spatial_information(kept, maps.occupancy))
    np.testing.assert_allclose(table.peak, kept.max(("y", "x")))
    activity = recording["mec.g"].values[:, 0, table.cell.values]
    np.testing.assert_allclose(table["mean"], activity.mean(0), rtol=1e-5)
    assert np.isnan(table.grid60_p).all()


def test_band_border_and_fields_are_those_of_the_maps(recording):
    maps = analysis.rate_maps(recording, "mec/g")
    table = analysis.scores(recording, "mec/g", n=20)
    kept = maps.sel(cell=table.cell)
    np.testing.assert_allclose(table.band, analysis.band_score(kept))
    np.testing.assert_allclose(table.border, analysis.border_score(kept))
    count, share = field_counts(kept)
    np.testing.assert_array_equal(table.fields, count)
    np.testing.assert_array_equal(table.field_share, share)
    for name in ("band", "border"):
        assert ((table[f"{name}_p"] > 0) & (table[f"{name}_p"] <= 1)).all()
        assert (table[f"{name}_p95"] <= table[f"{name}_p99"]).all()


def test_cells_are_told_by_module(recording, tmp_path):
    in_modules = recording.copy()
    in_modules["mec.g"] = recording["mec.g"].assign_attrs(modules=[10, 3, 1])
    table = analysis.scores(in_modules, "mec/g", n=0)  # the 14th cell is silent
    np.testing.assert_array_equal(table.module, [0] * 10 + [1] * 3)
    maps = analysis.rate_maps(in_modules, "mec/g")
    np.testing.assert_array_equal(maps.module, [0] * 10 + [1] * 3 + [2])
    place = analysis.scores(in_modules, "hc/p", n=0)
    assert "module" not in place.coords and "module" not in analysis.rate_maps(in_modules, "hc/p").coords
    path = analysis.to_csv([table, place], tmp_path / "scores.csv")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["module"] for row in rows] == [*"0" * 10, *"1" * 3] + [""] * place.sizes["cell"]
    before = path.read_bytes()
    analysis.to_csv(place, path, merge=True)  # with and without modules, one header
    assert sorted(path.read_bytes().splitlines()) == sorted(before.splitlines())
    in_modules["mec.g"] = recording["mec.g"].assign_attrs(modules=[10, 3])
    with pytest.raises(ValueError, match=r"mec.g has 14 cells, its modules \(10, 3\) have 13"):
        analysis.rate_maps(in_modules, "mec/g")


def test_same_seed_same_scores_to_the_bit(recording):
    first, second, other = (analysis.scores(recording, n=10, seed=seed) for seed in (3, 3, 4))
    assert first.identical(second)
    assert not first.identical(other)


def test_an_episode_is_scored_and_shuffled_by_itself(recording, lives):
    alone = analysis.scores(recording.isel(tick=slice(1000, 1700)), n=10)
    table = analysis.scores(lives, episode=1, n=10)
    assert table.equals(alone)
    assert table.attrs["episode"] == 1
    assert not table.equals(analysis.scores(lives, episode=None, n=10))


def test_a_negative_number_of_shuffles_is_refused(recording, tmp_path):
    with pytest.raises(ValueError, match="-1 shuffles: there must be none"):
        analysis.write_ratemaps(recording, out=tmp_path / "figures", shuffles=-1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scale", [1e-6, 1.0, -1e3])
def test_numerical_dust_is_no_cell(recorded, scale):
    """Peaks are compared with the population's, whatever its unit and its sign."""
    place = np.stack(np.divmod(np.arange(200.0), 20), -1)[:, None]
    peaks = np.array([1.0, 6e-9, 0.9e-3, 1.1e-3, 0.0, 0.5])
    activity = scale * peaks * (np.arange(200) == 7)[:, None, None]
    activity[3, 0, 5] = np.nan
    table = analysis.scores(recorded(place, hc_p=(activity, "place cells", "")), "hc/p", n=0)
    np.testing.assert_array_equal(table.cell, [0, 3, 5])


def test_short_recordings_are_scored_without_significance(recording):
    table = analysis.scores(recording.isel(tick=slice(0, 40)), "mec/g")
    assert np.isfinite(table.peak).all()
    assert np.isnan(table.peak_p).all()
    assert table.attrs["shuffles"] == 0


def test_scores_that_cannot_be_computed_say_why(recording, recorded):
    place = recording["env.place"].values[:, :1]
    values = np.stack([np.full(place.shape[:2], -1.0), place[..., 0] > 30, place[..., 0] + 1], -1)
    table = analysis.scores(recorded(place, mec_g=(values, "odd cells", "")), n=5)
    np.testing.assert_array_equal(table.cell, [0, 2])
    assert "grid score: the map is constant" in str(table.not_computable.values[0])
    assert "activity is negative" in str(table.not_computable.values[0])
    assert "too wide" in str(table.not_computable.values[1])


def test_csv_holds_the_table(recording, tmp_path):
    tables = [analysis.scores(recording, topic, n=5) for topic in ("mec/g", "hc/p")]
    path = analysis.to_csv(tables, tmp_path / "scores.csv")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == tables[0].sizes["cell"] + tables[1].sizes["cell"]
    assert [row["topic"] for row in rows][:: len(rows) - 1] == ["mec/g", "hc/p"]
    assert float(rows[3]["grid60"]) == float(tables[0].grid60[3])
    one_bin = next(row for row in rows if row["topic"] == "mec/g" and row["not_computable"])
    assert one_bin["grid60"] == ""


def test_a_merged_csv_keeps_other_topics_of_the_same_columns(recording, tmp_path):
    grid, place = (analysis.scores(recording, topic, n=5) for topic in ("mec/g", "hc/p"))
    both = analysis.to_csv([place, grid], tmp_path / "both.csv").read_bytes()
    path = tmp_path / "scores.csv"
    for table in (grid, place, grid):
        analysis.to_csv(table, path, merge=True)
    assert path.read_bytes() == both
    new = analysis.scores(recording, "mec/g", n=5, seed=1).isel(cell=slice(2))
    analysis.to_csv(new, path, merge=True)
    assert path.read_bytes() == analysis.to_csv([place, new], tmp_path / "both.csv").read_bytes()
    for other in ("topic,cell,peak\nhc/p,0,1.0\n", ""):
        path.write_text(other)
        analysis.to_csv(grid, path, merge=True)
        assert path.read_bytes() == analysis.to_csv(grid, tmp_path / "grid.csv").read_bytes()


def test_csv_is_written_whole_or_not_at_all(recording, tmp_path):
    table = analysis.scores(recording, n=0)
    path = tmp_path / "scores.csv"
    path.write_text("before")
    with pytest.raises(KeyError):
        analysis.to_csv([table, table.drop_vars("peak")], path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture(scope="module")
def neuron(reference_neuron):
    return analysis.load_neuron(reference_neuron)


@pytest.mark.parametrize(("zero_filled", "information", "sparsity"), [(False, 0.450, 0.580), (True, 0.445, 0.589)])
def test_recorded_neuron_has_its_published_information_and_sparsity(neuron, zero_filled, information, sparsity):
    maps = analysis.spike_rate_map(neuron.x, neuron.y, neuron.t, neuron.spikes, zero_filled=zero_filled)
    assert maps.shape == (40, 40)
    assert np.isnan(maps.values).sum() == 102
    assert maps.occupancy.sum() == pytest.approx(600, abs=0.1)
    assert analysis.spatial_information(maps, maps.occupancy) == pytest.approx(information, abs=0.005)
    assert analysis.sparsity(maps, maps.occupancy) == pytest.approx(sparsity, abs=0.005)


def test_recorded_neuron_is_a_grid_cell_beyond_its_shuffles(neuron):
    """Published packages: 1.173 (opexebo), 1.187 (ephysiopy), 1.206 (DeepMind), spacing 47.3 cm (opexebo)."""
    table = analysis.neuron_scores(neuron, n=100).isel(cell=0)
    assert table.grid60 == pytest.approx(1.19, abs=0.05)
    assert table.grid60 > table.grid60_p99
    assert table.grid60_p == pytest.approx(1 / 101)
    assert table.spacing == pytest.approx(47.3, abs=1)
    assert table.spatial_information == pytest.approx(0.450, abs=0.005)
    assert table.spatial_information > table.spatial_information_p99
    assert table["mean"] == pytest.approx(2326 / 600, rel=1e-3)
