"""Figures, by what they show."""

import matplotlib
import numpy as np
import pytest
from matplotlib.patches import Circle

import analysis
from analysis import captions
from analysis.captions import LONG
from analysis.scores import LOWER, NAMES

matplotlib.use("agg")


@pytest.fixture(scope="module")
def maps(recording):
    return analysis.rate_maps(recording, "mec/g")


@pytest.fixture(scope="module")
def table(recording):
    return analysis.scores(recording, "mec/g", n=100)


def titled(figure, start):
    return [ax for ax in figure.axes if ax.get_title().startswith(start)]


def texts(figure):
    return " ".join(text.get_text() for text in figure.texts)


def test_a_sheet_is_sorted_by_score_and_marks_significance(maps, table):
    figure = analysis.plot_rate_maps(maps, table, count=12)
    axes = titled(figure, "cell")
    assert len(axes) == 12
    order = [int(ax.get_title().split()[1]) for ax in axes]
    best = table.grid60.sel(cell=order[:10]).values
    assert (np.diff(best) <= 0).all()
    for ax, cell in zip(axes[:10], order, strict=False):
        assert ax.get_title() == f"cell {cell}  grid {float(table.grid60.sel(cell=cell)):.2f}**"
    assert not any("*" in ax.get_title() for ax in axes[10:])


def test_a_map_is_shown_as_it_is(maps, table):
    figure = analysis.plot_rate_maps(maps.where(maps.x > 4), table, cmap="jet")
    ax = titled(figure, "cell")[0]
    cell = int(ax.get_title().split()[1])
    image = ax.images[0]
    shown = np.ma.filled(image.get_array(), np.nan)
    np.testing.assert_array_equal(shown, maps.sel(cell=cell).where(maps.x > 4))
    assert image.get_cmap().name == "jet"
    np.testing.assert_array_equal(image.get_cmap().get_bad(), [1, 1, 1, 1])
    assert image.origin == "lower"
    assert image.get_interpolation() == "none"
    assert ax.get_aspect() == 1
    assert image.get_extent() == [-0.5, 19.5, -0.5, 17.5]
    assert not len(ax.get_xticks())
    assert not len(ax.get_yticks())
    values = maps.sel(cell=cell).where(maps.x > 4)
    assert image.get_clim() == (values.min(), values.max())


def test_the_heading_says_what_is_shown(maps, table, recording):
    words = texts(analysis.plot_rate_maps(maps, table, count=5, path=analysis.path(recording)))
    for part in (
        "mec/g",
        "grid cells by construction",
        "5 of 13 active cells (14 in all; active: peak above 0.001 of the highest)",
        "bin 1 cell",
        "3,000 ticks",
    ):
        assert part in words
    assert "agent 0 of 2" in words
    assert "explorer in cogarch/Square-v0, seed 7" in words
    assert "* p ≤ 0.05, ** p ≤ 0.01 against its own 100 time shifts" in words
    assert "(**: 10 of 11 scored, at most 0.11 expected by chance)" in words
    assert "episode" not in words  # there is only one


def test_the_heading_says_which_episode(lives):
    for arguments, words in (
        ({}, "1,000 ticks, agent 0 of 2, episode 0 of 3 ·"),
        ({"agent": 1, "episode": 1}, "1,000 ticks, agent 1 of 2, episode 1 of 2 ·"),
        ({"episode": None}, "3,000 ticks, agent 0 of 2, 3 episodes pooled ·"),
        ({"agent": None, "episode": None}, "3,000 ticks, all agents pooled, 5 episodes pooled ·"),
    ):
        assert words in texts(analysis.plot_rate_maps(analysis.rate_maps(lives, **arguments), count=1))


def test_marks_are_never_more_than_their_level_by_chance():
    """Of cells that are at chance, every count k of 0 to n shuffles that reach the score is as likely (n + 1 ranks)."""
    for shuffles in range(1, 400):
        drawn = [captions.stars((k + 1) / (shuffles + 1)) for k in range(shuffles + 1)]
        for mark, level in (("*", 0.05), ("**", 0.01)):
            share = sum(star.startswith(mark) for star in drawn) / (shuffles + 1)
            assert share <= level
            assert (share > 0) == (shuffles >= round(1 / level) - 1) == (f"{mark} p" in captions.legend(shuffles))
    assert captions.stars(np.nan) == ""


@pytest.mark.parametrize(
    ("shuffles", "mark", "words"),
    [
        (0, "", "sorted by grid score (60°)"),
        (10, "", "no marks: 10 time shifts are too few (* takes 19, ** 99)"),
        (50, "*", "· * p ≤ 0.05 against its own 50 time shifts (*: 10 of 11 scored, at most 0.55 expected by chance)"),
    ],
)
def test_few_shuffles_give_few_marks(recording, maps, shuffles, mark, words):
    figure = analysis.plot_rate_maps(maps, analysis.scores(recording, "mec/g", n=shuffles))
    titles = [ax.get_title() for ax in titled(figure, "cell")]
    assert ["*" * title.count("*") for title in titles[:10]] == [mark] * 10
    assert texts(figure).endswith(words)


def test_an_episode_too_short_to_be_shifted_is_said(recording):
    short = recording.isel(tick=slice(40))
    figure = analysis.plot_rate_maps(analysis.rate_maps(short), analysis.scores(short))
    assert "no significance: 40 ticks are too few for time shifts" in texts(figure)


def test_occupancy_trajectory_and_colour_bar_stand_beside(maps, table, recording):
    path = analysis.path(recording)
    figure = analysis.plot_rate_maps(maps, table, path=path)
    (occupancy,) = titled(figure, "occupancy")
    np.testing.assert_array_equal(np.ma.filled(occupancy.images[0].get_array(), 0), maps.occupancy)
    (trajectory,) = titled(figure, "trajectory")
    np.testing.assert_array_equal(np.stack(trajectory.lines[0].get_data(), 1), path)
    (bar,) = (ax for ax in figure.axes if ax.get_title(loc="left").startswith("rate"))
    assert [label.get_text() for label in bar.get_xticklabels()] == ["min", "max"]


def test_autocorrelograms_carry_their_annulus(maps, table):
    figure = analysis.plot_rate_maps(maps, table, count=3, sac=True)
    (beneath,) = (figure.axes[figure.axes.index(titled(figure, "cell")[0]) + 1],)
    cell = int(titled(figure, "cell")[0].get_title().split()[1])
    sac = analysis.autocorrelogram(maps.sel(cell=cell))
    fit = analysis.grid_score(sac)
    np.testing.assert_array_equal(np.ma.filled(beneath.images[0].get_array(), np.nan), sac)
    circles = [patch.get_radius() for patch in beneath.patches if isinstance(patch, Circle)]
    assert circles == [float(fit.inner), float(fit.outer)]
    assert beneath.images[0].get_clim() == (-1, 1)


@pytest.mark.parametrize("sort", NAMES)
def test_every_score_sorts_best_first_and_its_name_is_said(maps, table, sort):
    figure = analysis.plot_rate_maps(maps, table, sort=sort)
    shown = [int(ax.get_title().split()[1]) for ax in titled(figure, "cell")]
    values = table[sort].sel(cell=shown).values * (1 if sort in LOWER else -1)
    assert (np.diff(values[np.isfinite(values)]) >= 0).all() and not np.isnan(values[: np.isfinite(values).sum()]).any()
    assert f"sorted by {LONG[sort]}" in texts(figure)


def test_any_score_sorts_and_none_leaves_the_order(maps, table):
    figure = analysis.plot_rate_maps(maps, table, sort="sparsity")
    shown = [int(ax.get_title().split()[1]) for ax in titled(figure, "cell")]
    assert shown == table.cell.values[np.argsort(table.sparsity.values)].tolist()
    plain = titled(analysis.plot_rate_maps(maps), "cell")
    assert [ax.get_title() for ax in plain] == [f"cell {i}" for i in range(14)]
    with pytest.raises(ValueError, match="cannot sort by 'mean'"):
        analysis.plot_rate_maps(maps, table, sort="mean")


def test_nothing_overlaps_or_leaves_the_sheet(maps, table, recording):
    figure = analysis.plot_rate_maps(maps, table, sac=True, path=analysis.path(recording))
    figure.draw_without_rendering()
    boxes = [ax.get_tightbbox() for ax in figure.axes] + [text.get_window_extent() for text in figure.texts]
    for i, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
        for other in boxes[i + 1 :]:
            assert box.x1 <= other.x0 + 1 or other.x1 <= box.x0 + 1 or box.y1 <= other.y0 + 1 or other.y1 <= box.y0 + 1


def test_saved_text_can_be_edited_and_same_figures_are_the_same_files(maps, table, tmp_path):
    for name in ("a", "b"):
        analysis.save_figure(analysis.plot_rate_maps(maps, table, count=2), tmp_path / "new" / name)
    folder = tmp_path / "new"
    assert sorted(p.name for p in folder.iterdir()) == ["a.pdf", "a.png", "a.svg", "b.pdf", "b.png", "b.svg"]
    assert "<text" in (folder / "a.svg").read_text()
    assert b"/Type0" in (folder / "a.pdf").read_bytes()  # an embedded TrueType font, not outlines (Type3)
    for kind in ("png", "svg", "pdf"):
        assert (folder / f"a.{kind}").read_bytes() == (folder / f"b.{kind}").read_bytes()
    image = matplotlib.image.imread(folder / "a.png")
    assert image.shape[1] == pytest.approx(300 * analysis.plot_rate_maps(maps, table, count=2).get_figwidth(), abs=1)


def test_the_users_own_savefig_keeps_text_too(maps, tmp_path):
    analysis.plot_rate_maps(maps.isel(cell=slice(2))).savefig(tmp_path / "mine.svg")
    assert ">cell 1</text>" in (tmp_path / "mine.svg").read_text()


def test_portrait_of_a_neuron(lattice, tmp_path):
    rng = np.random.default_rng(0)
    x, y = (np.clip(np.cumsum(rng.normal(size=30000) * 1.5) % 200, 0, 200) for _ in range(2))
    x, y = np.abs(x - 100), np.abs(y - 100)  # a box of 100 cm with walls that reflect
    rate = lattice(np.stack([x, y], -1), 30.0) * 3
    t = np.arange(30000) / 50
    neuron = analysis.Neuron(x, y, t, t[rng.random(30000) < rate / 50], "made_up")
    table = analysis.neuron_scores(neuron, n=20)
    figure = analysis.plot_neuron(neuron, table)
    path, rates, sac = (next(ax for ax in figure.axes if word in ax.get_title()) for word in ("spikes", "info", "grid"))
    assert f"{len(neuron.spikes):,} spikes in 600 s" in path.get_title()
    assert len(path.collections[0].get_offsets()) == len(neuron.spikes)
    expected = analysis.spike_rate_map(x, y, t, neuron.spikes)
    np.testing.assert_array_equal(np.ma.filled(rates.images[0].get_array(), np.nan), expected)
    assert f"grid score {float(table.grid60[0]):.2f}* (" in sac.get_title()
    assert f"99th pct. {float(table.grid60_p99[0]):.2f}" in sac.get_title()
    assert "spacing 30" in sac.get_title() or "spacing 29" in sac.get_title()
    assert "made up" in texts(figure)
    assert "20 time shifts of at least 20 s · * p ≤ 0.05" in texts(figure)
    assert {ax.get_title(loc="left") for ax in figure.axes} >= {"Hz", "r"}
