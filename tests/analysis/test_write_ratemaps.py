"""What `cogarch ratemaps` writes."""

import csv
import shutil

import numpy as np
import pytest

import analysis


def test_every_topic_with_cells_is_drawn_into_the_run(run_folder, tmp_path):
    run = shutil.copytree(run_folder, tmp_path / "run")
    written = analysis.write_ratemaps(run, shuffles=10)
    assert [path.relative_to(run).as_posix() for path in written] == [
        *(f"figures/hc.p.{kind}" for kind in ("png", "svg", "pdf")),
        *(f"figures/mec.g.{kind}" for kind in ("png", "svg", "pdf")),
        "figures/scores.csv",
    ]
    assert sorted(written) == sorted((run / "figures").iterdir())  # and no temporary file is left
    sheet = (run / "figures" / "hc.p.svg").read_text()
    assert "48 of 90 active cells (400 in all;" in sheet
    assert "sorted by spatial information" in sheet
    with written[-1].open() as file:
        assert len(list(csv.DictReader(file))) == 13 + 90


def test_one_topic_drawn_again_leaves_the_scores_of_the_others(recording, tmp_path):
    *_, table = analysis.write_ratemaps(recording, out=tmp_path, shuffles=2)
    both = table.read_text()
    analysis.write_ratemaps(recording, "mec/g", tmp_path, shuffles=2, seed=1)
    with table.open() as file:
        assert [row["topic"] for row in csv.DictReader(file)] == ["hc/p"] * 90 + ["mec/g"] * 13
    assert table.read_text() != both
    analysis.write_ratemaps(recording, "mec/g", tmp_path, shuffles=2)
    assert table.read_text() == both


def test_what_two_topics_say_alike_is_drawn_once_unless_named(recording, tmp_path):
    grid = recording["mec.g"]
    twice = recording.drop_vars("hc.p").assign({"mec.g_path": grid.assign_attrs(topic="mec/g_path")})
    names = [path.stem for path in analysis.write_ratemaps(twice, out=tmp_path, shuffles=0)]
    assert names == ["mec.g", "mec.g", "mec.g", "scores"]
    assert analysis.write_ratemaps(twice, "mec/g_path", tmp_path, shuffles=0)[0].name == "mec.g_path.png"
    corrected = grid.copy(data=grid.values.copy())
    corrected[2999, 0, 0] += 0.5
    written = analysis.write_ratemaps(twice.assign({"mec.g": corrected}), out=tmp_path, shuffles=0)
    assert [path.stem for path in written] == ["mec.g"] * 3 + ["mec.g_path"] * 3 + ["scores"]


def test_one_episode_is_drawn(lives, tmp_path):
    _, sheet, *_ = analysis.write_ratemaps(lives, "mec/g", tmp_path, episode=2, shuffles=0)
    assert "1,300 ticks, agent 0 of 2, episode 2 of 3" in sheet.read_text()
    with pytest.raises(ValueError, match="episodes 0 to 2"):
        analysis.write_ratemaps(lives, out=tmp_path, episode=3)


@pytest.mark.parametrize("topic", ["hc/familiarity", "env/place", "env/start"])
def test_any_topic_can_be_drawn(recording, tmp_path, topic):
    written = analysis.write_ratemaps(recording, topic, tmp_path, shuffles=0)
    assert written[0].name == topic.replace("/", ".") + ".png"
    assert "signal 0" in written[1].read_text()


def test_silent_and_short_recordings_still_give_a_figure(recording, recorded, tmp_path):
    place = recording["env.place"].values
    silent = recorded(place, mec_g=(np.zeros((*place.shape[:2], 5), np.float32), "silent cells", ""))
    assert "no cell was ever active" in analysis.write_ratemaps(silent, out=tmp_path)[1].read_text()
    assert len(analysis.write_ratemaps(recording.isel(tick=slice(0, 1)), "mec/g", tmp_path)) == 4
    shaped = recorded(place[:50], mec_g=(np.ones((50, 2, 2, 3), np.float32), "a field of cells", ""))
    assert "6 of 6 cells" in analysis.write_ratemaps(shaped, out=tmp_path)[1].read_text()


def test_recordings_without_cells_or_folder_are_told(recording, tmp_path):
    with pytest.raises(ValueError, match="say where to write"):
        analysis.write_ratemaps(recording)
    with pytest.raises(ValueError, match=r"no topic of this recording has cells.*env/place"):
        analysis.write_ratemaps(recording.drop_vars(["mec.g", "hc.p"]), out=tmp_path)
    with pytest.raises(ValueError, match="Did you mean mec/g"):
        analysis.write_ratemaps(recording, "mec/h", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_neuron_is_drawn_beside_its_file(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 50, (2, 3000))
    np.savez(tmp_path / "cell.npz", x=x, y=y, spikes=np.sort(rng.uniform(0, 59, 100)))
    written = analysis.write_ratemaps(str(tmp_path / "cell.npz"), shuffles=5)
    names = ["cell.png", "cell.svg", "cell.pdf", "scores.csv"]
    assert written == [tmp_path / "cell_figures" / name for name in names]
    with pytest.raises(ValueError, match="no topics and no episodes: leave out 'mec/g'"):
        analysis.write_ratemaps(tmp_path / "cell.npz", "mec/g")
    with pytest.raises(ValueError, match="leave out 3"):
        analysis.write_ratemaps(tmp_path / "cell.npz", episode=3)
