"""Cell classes: rules on tables with known answers, what chance gives, and the figure of populations."""

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib.patches import Circle

import analysis
from analysis.classes import CLASSES

matplotlib.use("agg")

CELL = {
    "grid60": 0.0,
    "grid60_p": 0.5,
    "grid90": 0.1,
    "grid90_p": 0.5,
    "band": 0.0,
    "band_p": 0.5,
    "border": 0.0,
    "border_p": 0.5,
    "spatial_information": 0.2,
    "spatial_information_p": 0.5,
    "fields": 3,
    "field_share": 0.2,
}
RULES = [
    ({}, ""),
    ({"grid60": 0.4, "grid60_p": 0.01}, "grid hexagonal"),
    ({"grid60": 0.4, "grid60_p": 0.0101}, ""),
    ({"grid60": -0.1, "grid60_p": 0.01}, ""),
    ({"grid60": 0.4, "grid60_p": 0.01, "grid90": 0.5}, "grid"),
    ({"grid60": 0.4, "grid60_p": 0.01, "grid90": 0.5, "grid90_p": 0.01}, "grid square"),
    ({"grid60": -0.8, "grid90": 0.9, "grid90_p": 0.005}, "square"),
    ({"band": 0.6, "band_p": 0.01}, "band"),
    ({"band": 0.5, "band_p": 0.01}, ""),
    ({"border": 0.6, "border_p": 0.01, "band": 0.6, "band_p": 0.01}, "band border"),
    ({"border": 0.5, "border_p": 0.01}, ""),
    ({"spatial_information_p": 0.01, "fields": 1}, "place"),
    ({"spatial_information_p": 0.01, "fields": 2}, ""),
    ({"spatial_information_p": 0.01, "fields": 1, "field_share": 0.51}, ""),
    ({"spatial_information_p": 0.01, "fields": 1, "border": 0.9, "border_p": 0.01}, "border"),
    ({"spatial_information": np.nan, "spatial_information_p": np.nan, "fields": 1}, ""),
]


def table(cells, shuffles=199):
    columns = {name: ("cell", [{**CELL, **cell}[name] for cell in cells]) for name in CELL}
    return xr.Dataset(columns, {"cell": np.arange(len(cells)) + 7}, {"shuffles": shuffles, "topic": "mec/g"})


def test_each_rule():
    found = analysis.classes(table([cell for cell, _ in RULES]))
    np.testing.assert_array_equal(found.cell, np.arange(len(RULES)) + 7)
    for i, (_, members) in enumerate(RULES):
        assert [name for name in CLASSES if found[name][i]] == sorted(members.split(), key=list(CLASSES).index)


def test_shares_are_of_all_cells_and_unknown_where_no_score_is_known():
    found = analysis.shares(table([RULES[1][0], RULES[7][0], {}, {}]))
    assert found == {"grid": 0.25, "hexagonal": 0.25, "square": 0, "band": 0.25, "border": 0, "place": 0}
    signed = {"spatial_information": np.nan}
    assert np.isnan(analysis.shares(table([signed, signed]))["place"])
    assert analysis.shares(table([signed, {}]))["place"] == 0


def test_too_few_shuffles_make_no_class(recording):
    with pytest.raises(ValueError, match="99 shuffles or more, these scores have 98"):
        analysis.classes(table([{}], shuffles=98))
    with pytest.raises(ValueError, match="these scores have 0"):
        analysis.classes(analysis.scores(recording.isel(tick=slice(40)), n=99))


@pytest.fixture(scope="module")
def made_up(recording, lattice, recorded):
    """6 lattices, 6 stripes, 6 lines along a wall, 6 bumps, and 40 cells that do not care for place."""
    rng = np.random.default_rng(0)
    place = recording["env.place"].values[:, :1]
    x, y = place[..., 0], place[..., 1]
    spacing, angle = rng.uniform(5, 9, 6), rng.uniform(0, np.pi, 6)
    grids = [lattice(place, s, a, rng.uniform(0, s, 2)) for s, a in zip(spacing, angle, strict=True)]
    bands = [np.cos(2 * np.pi * (x * np.cos(a) + y * np.sin(a)) / s) for s, a in zip(spacing, angle, strict=True)]
    borders = [rng.uniform(1, 2) * ((x == 0), (x == 19), (y == 0), (y == 17))[i % 4] for i in range(6)]
    bumps = [np.exp(-((x - a) ** 2 + (y - b) ** 2) / 8) for a, b in rng.uniform(4, 13, (6, 2))]
    noise = np.abs(np.repeat(rng.normal(size=(40, 300, 1)), 10, axis=1))  # slow, as activity is
    activity = np.stack([*grids, *bands, *borders, *bumps, *noise], -1).astype(np.float32)
    source = recorded(place, mec_g=(activity, "all kinds of cells", ""))
    source["mec.g"].attrs["modules"] = [6, 6, 6, 6, 40]
    return source


@pytest.fixture(scope="module")
def scored(made_up):
    return analysis.scores(made_up, n=99)


def test_cells_of_each_kind_are_told(scored):
    own = {i: analysis.shares(scored.isel(cell=np.flatnonzero(scored.module == i))) for i in range(5)}
    for i, name in enumerate(("grid", "band", "border", "place")):
        assert own[i][name] >= 0.9, own
        others = {own[i][other] for other in {"grid", "band", "border", "place"} - {name}}
        assert max(np.nan_to_num(list(others))) <= (0.35 if i == 1 else 0)  # a stripe along a wall lines it
    assert own[0]["hexagonal"] == own[0]["grid"]


def test_chance_makes_at_most_a_few_members(scored):
    """At most 1 % each are expected: 4 of 40 or more come with a probability of .0007 (binomial)."""
    own = analysis.shares(scored.isel(cell=np.flatnonzero(scored.module == 4)))
    assert all(share < 4 / 40 for share in own.values())


def test_populations_are_drawn_with_their_best_cells(made_up, scored):
    maps = analysis.rate_maps(made_up)
    maps = maps.where(maps.x > 0)
    parts = {f"part {i}": scored.isel(cell=np.flatnonzero(scored.module == i)) for i in range(4)}
    figure = analysis.plot_populations({name: (maps, part) for name, part in parts.items()})
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    kinds = [title.split()[0] for title in titles]
    assert kinds[:8] + kinds[12:] == ["grid", "grid", "band", "border"] * 3
    assert kinds[8:12] == ["band", "border", "info", "info"]  # a line along a wall has no grid score
    grids = parts["part 0"].sortby("grid60", ascending=False)
    assert titles[:2] == [f"grid {float(value):.2f}**" for value in grids.grid60[:2]]
    first, beneath = figure.axes[:2]
    np.testing.assert_array_equal(np.ma.filled(first.images[0].get_array(), np.nan), maps.sel(cell=grids.cell[0]))
    np.testing.assert_array_equal(first.images[0].get_cmap().get_bad(), [1, 1, 1, 1])
    assert first.get_aspect() == beneath.get_aspect() == 1
    assert beneath.images[0].get_clim() == (-1, 1)
    assert len([patch for patch in beneath.patches if isinstance(patch, Circle)]) == 2
    assert beneath.get_xlabel() == "hexagonal"
    words = " ".join(text.get_text() for text in figure.texts)
    assert "part 3" in words and "% of 6: grid " in words and "99 time shifts" in words


def test_place_cells_are_drawn_by_information(made_up):
    part = made_up[["env.place", "env.start"]].assign({"hc.p": made_up["mec.g"][..., :6] * 0})
    part["hc.p"].attrs = {"topic": "hc/p", "cells": "place cells"}
    x, y = part["env.place"].values[..., 0], part["env.place"].values[..., 1]
    part["hc.p"].values[:] = np.stack([(x == i) & (y == i) for i in range(3, 9)], -1)
    pair = analysis.rate_maps(part, "hc/p"), analysis.scores(part, "hc/p", n=99)
    figure = analysis.plot_populations({"memory": pair})
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert [title.split()[0] for title in titles] == ["info"] * 4
    assert "grid –" in " ".join(text.get_text() for text in figure.texts)
