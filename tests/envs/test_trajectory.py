"""Smooth walks against the laws that they are drawn from; recorded paths in every form, and every way to be wrong."""

import importlib.util
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from envs.continuous.trajectory import SmoothWalk, load_trajectory, smooth_walk

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def walks() -> np.ndarray:
    return smooth_walk(1.0, 1.0, 300, 0.02, np.random.default_rng(0), walks=30)


def correlation(x: np.ndarray, lag: int) -> float:
    """Autocorrelation of [B, T] at a lag."""
    x = x - x.mean()
    return float((x[:, lag:] * x[:, :-lag]).mean() / (x * x).mean())


def test_speed_is_rayleigh_with_the_mean_and_the_coherence_time_asked_for(walks: np.ndarray) -> None:
    speed = np.linalg.norm(np.diff(walks, axis=1), axis=2) / 0.02
    assert speed.mean() == pytest.approx(0.08, rel=0.03)
    assert speed.std() / speed.mean() == pytest.approx(np.sqrt(4 / np.pi - 1), rel=0.05)  # of any Rayleigh distribution
    # a sample each 7 s is independent of the last; one in 500 or so is shortened by a mirror
    law = stats.rayleigh(scale=0.08 * np.sqrt(2 / np.pi))
    assert stats.kstest(speed[:, ::350].ravel(), law.cdf).pvalue > 1e-3
    assert correlation(speed, 35) == pytest.approx(np.exp(-1), abs=0.05)
    slower = smooth_walk(9, 9, 400, 0.1, np.random.default_rng(1), walks=30, speed=0.2, speed_coherence=2.0)
    steps = np.linalg.norm(np.diff(slower, axis=1), axis=2) / 0.1
    assert steps.mean() == pytest.approx(0.2, rel=0.04)
    assert correlation(steps, 20) == pytest.approx(np.exp(-1), abs=0.05)


def test_far_from_walls_it_turns_by_the_rotation_asked_for() -> None:
    path = smooth_walk(1000, 1000, 60, 0.02, np.random.default_rng(2), walks=60)
    step = np.diff(path, axis=1)
    turn = np.diff(np.unwrap(np.arctan2(step[..., 1], step[..., 0]), axis=1), axis=1) / 0.02
    assert np.rad2deg(turn.std()) == pytest.approx(120, rel=0.03)
    assert correlation(turn, 4) == pytest.approx(np.exp(-1), abs=0.03)  # 0.08 s


def test_it_covers_the_box_evenly_and_stays_inside(walks: np.ndarray) -> None:
    assert walks.min() >= 0 and walks.max() <= 1
    seen = np.histogram2d(*walks.reshape(-1, 2).T, bins=5, range=[[0, 1], [0, 1]])[0] / walks[..., 0].size
    np.testing.assert_allclose(seen, 1 / 25, rtol=0.6)
    visited = [(np.histogram2d(*walk.T, bins=10, range=[[0, 1], [0, 1]])[0] > 0).mean() for walk in walks]
    assert np.mean(visited) > 0.8  # of 10 cm squares in 5 minutes
    step = np.diff(walks, axis=1)
    heading = np.arctan2(step[..., 1], step[..., 0])
    assert np.hypot(np.cos(heading).mean(), np.sin(heading).mean()) < 0.05  # no side is favoured


@settings(max_examples=30, deadline=None)
@given(
    st.floats(0.02, 50),
    st.floats(0.02, 50),
    st.sampled_from([0.001, 0.05, 3.0]),
    st.floats(0.01, 5),
    st.integers(0, 99),
)
def test_no_walk_leaves_its_box(width: float, height: float, dt: float, speed: float, seed: int) -> None:
    path = smooth_walk(width, height, 40 * dt, dt, np.random.default_rng(seed), walks=3, speed=speed)
    assert path.shape == (3, 40, 2)
    assert (path >= 0).all() and (path <= [width, height]).all()


def test_a_walk_that_meets_a_wall_is_mirrored_by_it() -> None:
    walk = SmoothWalk(1.0, 2.0, 0.02, wall=1e-9, rotation=1e-9)
    state = np.array([[1 - 1e-4, 1.0, 0.3, 0.0, 2.0], [0.5, 1e-4, -0.3, 0.0, 2.0]])
    after = walk.advance(state, np.zeros((2, 1, 2)))
    np.testing.assert_allclose(after[:, 2], [np.pi - 0.3, 0.3], atol=1e-9)
    speed = stats.rayleigh(scale=0.08 * np.sqrt(2 / np.pi)).ppf(stats.norm.cdf(2 * np.exp(-0.02 / 0.7)))
    way = 0.02 * speed * np.array([np.cos(0.3), np.sin(0.3)])
    np.testing.assert_allclose(after[0, :2], [1 + 1e-4 - way[0], 1 + way[1]], atol=1e-9)
    np.testing.assert_allclose(after[1, :2], [0.5 + way[0], way[1] - 1e-4], atol=1e-9)


def test_near_a_wall_the_heading_turns_along_it() -> None:
    walk = SmoothWalk(1.0, 1.0, 0.02, rotation=1e-9)
    place = [[0.99, 0.5, 0.7], [0.99, 0.5, np.pi - 0.7], [0.5, 0.5, 0.7]]  # into a wall, away from it, in the middle
    after = walk.advance(np.array([[*p, 0.0, 0.0] for p in place]), np.zeros((3, 1, 2)))
    towards = np.arctan2(np.sin(0.7), np.cos(0.7) * 0.01 / 0.05)
    np.testing.assert_allclose(after[:, 2], [towards, np.pi - 0.7, 0.7], atol=1e-9)


def test_one_walk_has_no_batch_axis_and_the_seed_tells_it() -> None:
    one, same, other = (smooth_walk(1, 1, 2, 0.1, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert one.shape == (20, 2)
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 0.0}, "width of a smooth walk is 0.0: give a positive"),
        ({"speed": -1.0}, "speed of a smooth walk is -1"),
        ({"dt": float("nan")}, "dt of a smooth walk is nan"),
        ({"seconds": 0.02}, "make 1 samples"),
        ({"walks": 0}, "walks is 0"),
    ],
)
def test_walks_that_cannot_be_are_named(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        smooth_walk(
            **{"width": 1.0, "height": 1.0, "seconds": 9.0, "dt": 0.02, "rng": np.random.default_rng(0)} | wrong
        )


# ---- recorded paths ----

PATH = np.random.default_rng(5).uniform(0, 1, (60, 2))
T = 3 + np.cumsum(np.random.default_rng(6).uniform(0.01, 0.05, 60))


def test_files_in_cm_and_in_m_hold_the_same_path(tmp_path: Path) -> None:
    np.savez(tmp_path / "cm.npz", x=100 * PATH[:, 0], y=100 * PATH[:, 1], spikes=np.zeros(3))
    np.savez(tmp_path / "m.npz", t=T, pos=PATH)
    for source in (tmp_path / "cm.npz", str(tmp_path / "m.npz"), PATH, PATH.tolist(), np.column_stack([T, PATH])):
        np.testing.assert_allclose(load_trajectory(source), PATH, atol=1e-12)
    twice = load_trajectory(tmp_path / "cm.npz", 0.01)  # 50 Hz where it does not say: each other sample is recorded
    np.testing.assert_allclose(twice[::2], PATH, atol=1e-12)
    np.testing.assert_allclose(twice[1::2], (PATH[1:] + PATH[:-1]) / 2, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.005, 0.4))
def test_a_resampled_path_lies_on_the_recorded_one(dt: float) -> None:
    sampled = load_trajectory(np.column_stack([T, PATH]), dt)
    times = T[0] + dt * np.arange(len(sampled))
    assert times[-1] <= T[-1] + 1e-6 < times[-1] + dt + 2e-6
    after = np.clip(np.searchsorted(T, times, side="right"), 1, len(T) - 1)
    part = ((times - T[after - 1]) / (T[after] - T[after - 1]))[:, None]
    np.testing.assert_allclose(sampled, (1 - part) * PATH[after - 1] + part * PATH[after], atol=1e-4)


def test_lost_samples_are_refused_by_number_or_interpolated() -> None:
    lost = np.column_stack([T, PATH])
    lost[7:9, 1] = np.nan
    with pytest.raises(ValueError, match=r'2 of 60 samples are not finite, the first at 7: .*lost="interpolate"'):
        load_trajectory(lost)
    filled = load_trajectory(lost, lost="interpolate")
    line = PATH[6] + (T[7:9, None] - T[6]) / (T[9] - T[6]) * (PATH[9] - PATH[6])
    np.testing.assert_allclose(filled[7:9], line)
    np.testing.assert_array_equal(np.delete(filled, [7, 8], 0), np.delete(PATH, [7, 8], 0))
    with pytest.raises(ValueError, match="too few are left"):
        load_trajectory(np.full((5, 2), np.nan), lost="interpolate")


def save(**arrays: object) -> object:
    def write(folder: Path) -> Path:
        np.savez(folder / "path.npz", **arrays)
        return folder / "path.npz"

    return write


@pytest.mark.parametrize(
    ("source", "dt", "message"),
    [
        (save(a=PATH), None, r"path\.npz is no path: it needs x, y \(cm\), or t \(s\) and pos \(m\), and it holds a"),
        (save(), None, "it holds nothing"),
        (save(x=PATH[:, 0], y=PATH[:9, 1]), None, r"of one length, a sample each, not \[60\], \[60\], \[9\]"),
        (save(t=T, pos=PATH[:, 0]), None, r"has shape \[60, 1\]"),
        (save(t=T, pos=np.array(["a"] * 60)), None, "not numbers"),
        (save(x=np.array([{}]), y=PATH[:, 1]), None, "does not open as a plain"),
        (save(t=T[::-1], pos=PATH), None, r"times must rise, and t\[1\] is .* s after .* s: sort them first"),
        (save(t=np.r_[T[:7], T[6:-1]], pos=PATH), None, r"times must rise, and t\[7\] is"),
        *(
            (save(t=np.r_[T[:5], [lost, lost], T[7:]], pos=PATH), 0.1, rf"times must be finite, and t\[5\] is {lost} s")
            for lost in (np.nan, np.inf, -np.inf)
        ),
        (
            lambda _: np.column_stack([np.r_[T[:-1], np.inf], PATH]),
            None,
            r"the path: times must be finite, and t\[59\] is inf s",
        ),
        (lambda _: PATH[:, :1], None, r"the path has shape \[60, 1\]: a path is \[T, 2\]"),
        (lambda _: [[1.0, 2.0], [3.0]], None, "no array of numbers"),
        (lambda _: PATH[:1], None, "too few samples, 1"),
        (lambda _: PATH, 0.1, "has no times, so dt means nothing"),
        (lambda _: np.column_stack([T, PATH]), 0.0, "dt is 0.0 s: give a positive"),
        (lambda _: np.column_stack([T, PATH]), 9.0, "too short for samples 9 s apart"),
        (lambda _: "sargolni", None, 'no trajectory is called "sargolni": did you mean sargolini'),
    ],
)
def test_what_is_no_path_is_named(tmp_path: Path, source, dt: float | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_trajectory(source(tmp_path), dt)


def test_files_that_are_no_npz_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.npz: no such file"):
        load_trajectory(tmp_path / "none.npz")
    bad, whole = tmp_path / "bad.npz", tmp_path / "whole.npz"
    np.savez_compressed(whole, t=T, pos=PATH)
    content = whole.read_bytes()
    np.save(tmp_path / "array.npy", PATH)
    cut = [content[: len(content) * part // 8] for part in range(8)]
    for wrong in (
        b"not a zip",
        b"PK\x03\x04 cut short",
        pickle.dumps(PATH),
        (tmp_path / "array.npy").read_bytes(),
        *cut,
    ):
        bad.write_bytes(wrong)
        with pytest.raises(ValueError, match=r"bad\.npz does not open .*: it is not an \.npz file, or one cut short$"):
            load_trajectory(bad)
    named = 0
    for at in range(0, len(content), 7):  # damaged within: loaded as it was, or named
        bad.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
        try:
            assert np.array_equal(load_trajectory(bad), PATH)
        except ValueError as error:
            named += "bad.npz" in str(error)
    assert named > len(content) // 14


def test_an_archive_of_something_else_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "words.npz", "w") as archive:
        archive.writestr("t.npy", b"words")
        archive.writestr("pos.npy", b"more words")
    with pytest.raises(ValueError, match=r"words\.npz"):
        load_trajectory(tmp_path / "words.npz")


def test_ratinaboxs_recordings_are_found_without_running_the_package(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "ratinabox" / "data").mkdir(parents=True)
    (tmp_path / "ratinabox" / "__init__.py").write_text("raise RuntimeError('it ran')")
    np.savez(tmp_path / "ratinabox" / "data" / "sargolini.npz", t=T, pos=PATH)
    monkeypatch.syspath_prepend(tmp_path)
    np.testing.assert_array_equal(load_trajectory("sargolini"), PATH)


def test_without_ratinabox_the_error_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match="pip install ratinabox"):
        load_trajectory("sargolini")


def test_the_recording_that_ratinabox_ships() -> None:
    if importlib.util.find_spec("ratinabox") is None:
        pytest.skip("ratinabox is not installed: its recording cannot be read")
    path = load_trajectory("sargolini", 0.02)
    assert path.min() >= 0 and path.max() <= 1
    assert len(path) == pytest.approx(600 * 50, rel=0.01)


def test_the_reference_recording_is_read_in_m() -> None:
    folder = os.environ.get("COGARCH_REFERENCE")
    if not folder:
        pytest.skip("COGARCH_REFERENCE is not set: no recorded path to read")
    file = ROOT / folder / "grid_cell_recording.npz"
    data = np.load(file)
    np.testing.assert_allclose(100 * load_trajectory(file), np.stack([data["x"], data["y"]], 1), atol=1e-4)
