"""What every bench gives: rows of plain numbers, printed as a table and written as JSON."""

from __future__ import annotations

import json
import math
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from cogarch import files

Row = dict[str, Any]


def machine() -> str:
    """Cores, threads and versions: what a figure of speed needs beside it."""
    name = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{name}, {os.cpu_count()} cores{gpu}; torch {torch.__version__}, {torch.get_num_threads()} thread(s)"


def publish(bench: str, rows: Sequence[Row], seeds: Sequence[int], path: Path | None, console: Console) -> None:
    """Print the rows as a table, and write them to `path` where one is given."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    same = [c for c in columns if len(rows) > 1 and len({_cell(row.get(c)) for row in rows}) == 1]
    title = f"{bench} · seeds {', '.join(map(str, seeds))} · {machine()}"
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=0, pad_edge=False)
    if same:  # what is the same in every row is said once
        table.caption = " · ".join(f"{c} {_cell(rows[0].get(c))}" for c in same)
    shown = [c for c in columns if c not in same and not c.endswith("_std")]
    for column in shown:
        table.add_column(column.replace("_", "\n"), overflow="fold")
    for row in rows:
        spread = {c: f" ±{row[f'{c}_std']:.2g}" for c in shown if math.isfinite(row.get(f"{c}_std", math.nan))}
        table.add_row(*(_cell(row.get(c)) + spread.get(c, "") for c in shown))
    # a line a row: a table that is wider than the screen may run over it, but is never folded
    Console(file=console.file, width=max(console.width, 200)).print(table)
    if path is not None:
        command = shlex.join(["cogarch", *sys.argv[1:]])
        report = {"bench": bench, "command": command, "machine": machine(), "seeds": list(seeds), "rows": rows}
        files.write_whole(path, json.dumps(plain(report), indent=2) + "\n")


def over_seeds(found: Sequence[Mapping[str, Any]], figures: Sequence[str], counts: Sequence[str] = ()) -> Row:
    """One row for several seeds: means of `figures`, their `_std` (of the population) where there are more seeds than
    one, and sums of `counts`."""
    row: Row = {key: value for key, value in found[0].items() if key not in (*figures, *counts)}
    for key in counts:
        row[key] = sum(f[key] for f in found)
    for key in figures:
        values = np.array([f[key] for f in found], float)
        kept = values[np.isfinite(values)]
        row[key] = float(kept.mean()) if kept.size else math.nan
        if len(found) > 1:
            row[f"{key}_std"] = float(kept.std()) if kept.size else math.nan
    return row


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def plain(value: Any) -> Any:
    """NaN has no place in JSON: null."""
    if isinstance(value, dict):
        return {key: plain(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(x) for x in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
