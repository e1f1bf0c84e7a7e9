"""Opening recordings from anywhere, and saying what is wrong with what is none."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

import analysis
from analysis.sources import describe, episodes
from cogarch.module import Signal
from cogarch.recording import Recording


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
    path = analysis.path(cut, episode=None)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(path[:, 0])), [10, 21])
    np.testing.assert_array_equal(path[np.isfinite(path[:, 0])], cut["env.place"].values[:, 0])
    assert episodes(cut) == 4
    np.testing.assert_array_equal(analysis.path(cut, episode=1), cut["env.place"].values[10:20, 0])


@pytest.fixture
def written(tmp_path):
    """A recording as cogarch writes it: 2 agents, chunks of 10 ticks, 35 ticks of 60 written, the cells silent."""
    signals = {"env/place": Signal((2,)), "mec/g": Signal((5,), cells="grid cells")}
    with Recording(tmp_path / "recording.zarr", signals, length=60, batch=2, chunk=10) as recording:
        place = np.random.default_rng(0).integers(0, 4, (35, 2, 2)).astype(np.float32)
        recording.extend({"env/place": place, "mec/g": np.zeros((35, 2, 5), np.float32)})
    assert analysis.open_recording(tmp_path).sizes["tick"] == 35
    return tmp_path / "recording.zarr"


def test_lost_and_cut_chunks_are_named_with_their_ticks(written):
    chunks = [written / f"mec.g/c/{k}/0/0" for k in range(4)]
    chunks[0].unlink()
    chunks[1].write_bytes(chunks[1].read_bytes()[:-1])
    chunks[3].write_bytes(b"")
    (written / "env.place/c/2/0/0").unlink()
    with pytest.raises(ValueError, match="is damaged") as error:
        analysis.open_recording(written.parent)
    for words in (
        "env.place of ticks 20 to 29;",
        "mec.g of ticks 0 to 19; mec.g of ticks 30 to 34;",
        "cogarch ratemaps",
    ):
        assert words in str(error.value)


def test_a_lost_count_of_ticks_and_a_lost_root_are_named(written):
    (written / "committed/c").unlink()
    with pytest.raises(ValueError, match=r"lacks committed/c, the count of ticks; `cogarch ratemaps`"):
        analysis.open_recording(written)
    (written / "zarr.json").unlink()
    with pytest.raises(ValueError, match=r"its zarr\.json is missing, its arrays are there; `cogarch ratemaps`"):
        analysis.open_recording(written)


def test_others_leave_out_chunks_of_fill_and_are_opened(recording, tmp_path):
    options = {"encoding": {"mec.g": {"chunks": (100, 1, 1), "fill_value": 0.0}}, "write_empty_chunks": False}
    recording[["env.place", "mec.g"]].to_zarr(tmp_path / "other.zarr", zarr_format=3, consolidated=False, **options)
    assert not (tmp_path / "other.zarr/mec.g/c/0/0/13").exists()  # the silent cell
    np.testing.assert_array_equal(analysis.open_recording(tmp_path / "other.zarr")["mec.g"], recording["mec.g"])


def test_a_recording_says_whose_it_is(recording):
    assert describe(recording) == "explorer in cogarch/Square-v0, seed 7"
    assert describe(recording.drop_attrs()) == ""


def test_places_in_m_come_out_in_cm_with_the_bins_of_recorded_neurons(recording):
    place = recording["env.place"].copy(data=recording["env.place"].values * np.float32(0.043))
    metres = recording.assign({"env.place": place}).assign_attrs(place_unit="m")
    opened = analysis.open_recording(analysis.open_recording(metres))  # converted once
    np.testing.assert_allclose(opened["env.place"], 100 * place, rtol=1e-6)
    assert opened.attrs["place_unit"] == opened["env.place"].attrs["unit"] == "cm"
    assert opened["env.place"].attrs["topic"] == "env/place"
    assert metres.attrs["place_unit"] == "m"
    maps, finer = analysis.rate_maps(metres), analysis.rate_maps(metres, bins=1.0)
    assert (maps.attrs["place_unit"], maps.attrs["bin_size"], finer.attrs["bin_size"]) == ("cm", 2.5, 1.0)
    np.testing.assert_allclose(analysis.path(metres), 100 * place[:, 0], rtol=1e-6)
    reach = 100 * place.values[:, 0].max(axis=0)
    assert (maps.x[-1] + 1.25, maps.y[-1] + 1.25) == tuple(np.ceil(reach / 2.5) * 2.5)
    assert maps.occupancy.sum() == opened.sizes["tick"]
