"""Cell classes: which of a topic's cells are grid, band, border or place cells, by scores and their own shuffles.

A score is remarkable where it is above 99 % of those of the cell's own time shifts (Langston et al. 2010, Science
328:1576), as p <= .01 with p = (k + 1) / (n + 1): chance gives at most 1 % whatever the number of shuffles, while of
100 of them 2 % lie above the 99th percentile. Beyond that,

    grid        grid60 > 0
    hexagonal   a grid cell with grid60 > grid90
    square      grid90 > 0 is remarkable, and grid90 >= grid60; seldom a grid cell, for a square lattice has low grid60
    band        band > .5: one wave explains half of the map more than any other direction does (ours; after Krupic et
                al. 2012, Science 337:853)
    border      border > .5 (Solstad et al. 2008, Science 322:1865)
    place       spatial information (Skaggs et al. 1993, NIPS 5:1030) is remarkable, one field at 30 % of the peak, and
                that in no more than half of the visited bins; not a grid, band or border cell

A cell may be grid, band and border cell at once. What cannot be computed makes no member: activity of either sign has
no spatial information, so no place cells are told in a code of such cells.

Cells that have nothing to do with place are members of a class in at most 1 % of cases. A cell that does depend on
place has a map that stands, and shuffles that blur: any lean to a class may then be remarkable. Maps of smooth noise
measure that; `cogarch bench cells` has them beside every share.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

LEVEL = 0.01
BAND, BORDER, LARGEST = 0.5, 0.5, 0.5
CLASSES = {
    "grid": "grid60",
    "hexagonal": "grid60",
    "square": "grid90",
    "band": "band",
    "border": "border",
    "place": "spatial_information",
}
"""Each class, and the score without which it cannot be told."""


def classes(table: xr.Dataset) -> xr.Dataset:
    """Which cells of a table of `scores` belong to each of `CLASSES`, bool `[cell]` each; coordinates are kept.

    Raises ValueError where fewer than 99 shuffles stand behind a score: p is then never as low as .01.
    """
    if table.attrs["shuffles"] < 1 / LEVEL - 1:
        raise ValueError(
            f"classes take 99 shuffles or more, these scores have {table.attrs['shuffles']}: score with n=99 or more, "
            "on a record of more than 40 ticks"
        )

    def remarkable(name: str, least: float) -> xr.DataArray:
        return (table[name] > least) & (table[f"{name}_p"] <= LEVEL)

    grid, band, border = remarkable("grid60", 0), remarkable("band", BAND), remarkable("border", BORDER)
    compact = (table["fields"] == 1) & (table["field_share"] <= LARGEST)
    found = {
        "grid": grid,
        "hexagonal": grid & (table["grid60"] > table["grid90"]),
        "square": remarkable("grid90", 0) & (table["grid90"] >= table["grid60"]),
        "band": band,
        "border": border,
        "place": remarkable("spatial_information", 0) & compact & ~(grid | band | border),
    }
    return xr.Dataset(found, attrs={"topic": table.attrs["topic"], "shuffles": table.attrs["shuffles"]})


def shares(table: xr.Dataset) -> dict[str, float]:
    """The share of a table's cells in each of `CLASSES`; NaN where the score of none of them could be computed."""
    found = classes(table)
    told = {name: bool(np.isfinite(table[score]).any()) for name, score in CLASSES.items()}
    return {name: float(found[name].mean()) if told[name] else float("nan") for name in CLASSES}
