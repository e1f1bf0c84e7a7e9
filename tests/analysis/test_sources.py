"""Opening recordings from anywhere, and saying what is wrong with what is none."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

import analysis
from analysis.sources import describe, episodes


def test_a_recording_opens_from_a_folder_a_store_a_dataset_or_a_run(recording, run_folder):
    sources = [run_folder, str(run_folder / "recording.zarr"), SimpleNamespace(recording=run_folder), recording]
    for source in sources:
        opened = analysis.open_recording(source)
        np.testing.assert_array_equal(opened["mec.g"].values, recording["mec.g"].values)


def test_only_committed_ticks_are_read(recording):
    cut = recording.assign(committed=np.int64(17))
    assert analysis.open_recording(cut).sizes["tick"] == 17
    assert analysis.rate_maps(cut).occupancy.sum() == 17
    assert analysis.open_recording(recording.isel(tick=slice(100, 200))).sizes["tick"] == 100


def test_what_is_no_recording_is_named(recording, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        analysis.open_recording(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"neither recording\.zarr nor a zarr store"):
        analysis.open_recording(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is no recording"):
        analysis.open_recording(tmp_path / "file")
    (tmp_path / "zarr.json").write_text("{ nonsense")
    with pytest.raises(ValueError, match="does not open"):
        analysis.open_recording(tmp_path)
    with pytest.raises(ValueError, match=r"needs env\.place .* holds a"):
        analysis.open_recording(xr.Dataset({"a": 1}))
    with pytest.raises(ValueError, match="no ticks"):
        analysis.open_recording(recording.assign(committed=np.int64(0)))
    with pytest.raises(ValueError, match="int is no source"):
        analysis.open_recording(3)


def test_a_missing_topic_names_the_nearest_and_those_with_cells(recording):
    with pytest.raises(
        ValueError, match=r"'mec/gg'.*Did you mean mec/g.*Topics with cells: mec/g, hc/p\. All: .*env/place"
    ):
        analysis.rate_maps(recording, "mec/gg")


def test_paths_break_between_episodes(recording):
    start = recording["env.start"].copy(data=recording["env.start"].values.copy())
    start.values[[10, 20], 0] = True
    cut = recording.assign({"env.start": start}).isel(tick=slice(0, 30))
    path = analysis.path(cut)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(path[:, 0])), [10, 21])
    np.testing.assert_array_equal(path[np.isfinite(path[:, 0])], cut["env.place"].values[:, 0])
    assert episodes(cut) == 4
    assert analysis.rate_maps(cut).attrs["episodes"] == 3


def test_a_recording_says_whose_it_is(recording):
    assert describe(recording) == "explorer in cogarch/Square-v0, seed 7"
    assert describe(recording.drop_attrs()) == ""
