"""Loading a recorded neuron, and every way in which a file can be wrong."""

import numpy as np
import pytest

import analysis


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {"x": rng.uniform(0, 100, 500), "y": rng.uniform(0, 100, 500), "spikes": np.sort(rng.uniform(0, 9.9, 60))}


def load(tmp_path, arrays):
    np.savez(tmp_path / "cell.npz", **arrays)
    return analysis.load_neuron(tmp_path / "cell.npz")


def test_frames_are_at_50_hz_unless_told(tmp_path, arrays):
    neuron = load(tmp_path, arrays)
    np.testing.assert_allclose(neuron.t, np.arange(500) / 50)
    assert neuron.name == "cell"
    slower = load(tmp_path, arrays | {"t": np.arange(500) / 25})
    assert slower.t[-1] == pytest.approx(499 / 25)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": None, "spikes": None}, "lacks x and spikes.*holds y"),
        ({"y": np.ones(499)}, "x 500, y 499, t 500"),
        ({"t": np.zeros(500)}, r"t must rise, and t\[1\]"),
        ({"spikes": np.array([2.0, 1.0])}, r"spikes must rise, and spikes\[1\] = 1"),
        ({"x": np.full(500, np.nan)}, r"x\[0\] is nan \(500 such\)"),
        ({"spikes": np.array([1.0, np.inf])}, r"spikes\[1\] is inf"),
        ({"spikes": np.array([1.0, 11.0, 12.0])}, "2 spikes lie outside .* first at 11 s"),
        ({"x": np.ones((500, 2))}, r"one row of numbers, not float64 \[500, 2\]"),
        ({"x": np.array(["a"] * 500)}, "one row of numbers"),
        ({"x": np.ones(1), "y": np.ones(1), "spikes": np.array([])}, "too few"),
        ({"x": np.array([{}], dtype=object)}, "does not open as a plain"),
    ],
)
def test_bad_arrays_are_named(tmp_path, arrays, change, message):
    changed = {key: value for key, value in (arrays | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        load(tmp_path, changed)


def test_files_that_are_no_npz_are_named(tmp_path):
    with pytest.raises(FileNotFoundError):
        analysis.load_neuron(tmp_path / "none.npz")
    for content in (b"", b"not a zip", b"PK\x03\x04 cut short"):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"bad\.npz does not open"):
            analysis.load_neuron(tmp_path / "bad.npz")
    np.save(tmp_path / "one.npy", np.ones(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(ValueError, match="does not open"):
        analysis.load_neuron(tmp_path / "one.npz")


def test_one_visited_bin_is_refused(tmp_path, arrays):
    neuron = load(tmp_path, arrays | {"x": np.full(500, 1.2), "y": np.full(500, 1.3)})
    with pytest.raises(ValueError, match=r"one bin of 2\.5 cm holds every position"):
        analysis.neuron_scores(neuron)


def test_a_neuron_that_never_fires_is_scored_as_not_computable(tmp_path, arrays):
    table = analysis.neuron_scores(load(tmp_path, arrays | {"spikes": np.array([])}), n=3)
    assert np.isnan(table.grid60.values[0])
    assert "constant" in str(table.not_computable.values[0])
    assert table.peak.values[0] == 0
