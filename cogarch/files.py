"""The one place that writes files whole or not at all, and says in plain words why a file cannot be written or read.

Tensors are kept as safetensors and metrics as CSV: no pickle, so that loading a file never runs code.
"""

import errno
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from cogarch.wiring import nearest

Number = float | np.integer[Any] | np.floating[Any] | Tensor

_MENDS = {
    errno.ENOSPC: "no space is left on the device; free some, or name a folder on another disk",
    errno.EDQUOT: "the disk quota is used up; free some space, or name a folder on another disk",
    errno.EFBIG: "the file-size limit is reached; raise it (ulimit -f), or name a folder on another disk",
    errno.EROFS: "the file system is read-only; name a folder on another disk",
    errno.EACCES: "permission is denied; change the rights of the folder, or name another one",
    errno.EPERM: "permission is denied; change the rights of the folder, or name another one",
    errno.ENOENT: "it or its folder does not exist; check the name, or make the folder first",
    errno.ENOTDIR: "a part of its path is a file, not a folder; check the name",
    errno.EISDIR: "it is a folder, not a file; check the name",
}


class FileError(OSError):
    """A file cannot be written or read; the message names the file, the cause and the mend."""


@contextmanager
def named(path: Path, deed: str) -> Iterator[None]:
    """Turn an OSError of the block into a FileError that says which file, why and what to do.

    deed: "write" or "read".
    """
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        cause = _MENDS.get(error.errno or 0, error.strerror or str(error))
        plain = FileError(f"cannot {deed} {path}: {cause}")
        plain.errno = error.errno
        raise plain from error


def write_whole(path: str | os.PathLike[str], data: str | bytes) -> None:
    """Write `data` (text as UTF-8) to `path`: afterwards the file is the old one or the new one, never a part.

    Raises FileError for a full or read-only disk; the old file is then as it was.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")  # in the same folder: a rename across disks copies
    with named(path, "write"):
        try:
            with part.open("xb") as file:
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())  # the rename must not reach the disk before the content does
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def save_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], meta: Mapping[str, str]) -> None:
    """Write tensors and a dictionary of strings as one safetensors file. Equal content gives equal bytes.

    Raises FileError when the disk does not take it.
    """
    # Clones, since safetensors refuses tensors that share memory (tied weights, views).
    apart = {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    data = safetensors.torch.save(apart, dict(meta))
    header, end = _header(data)
    head = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()  # the library's order is random
    head += b" " * (-len(head) % 8)  # the format aligns the data to 8 bytes
    write_whole(path, b"".join((len(head).to_bytes(8, "little"), head, memoryview(data)[end:])))


def load_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `save_tensors` wrote: (tensors on the CPU, meta).

    Raises FileError naming the file and what is wrong with it (missing, empty, cut short and which tensors are
    lost, or no safetensors file at all).
    """
    path = Path(path)
    with named(path, "read"):
        data = path.read_bytes()  # at once: a training may put a new file in its place at any moment
    try:
        return safetensors.torch.load(data), dict(_header(data)[0].get("__metadata__", {}))
    except safetensors.SafetensorError as error:
        raise FileError(f"cannot read {path}: {_fault(data)}") from error


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file (or of its beginning) and where it ends; ValueError if there is none."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    if not isinstance(header, dict):
        raise ValueError("not a safetensors header")
    return header, end


def _fault(data: bytes) -> str:
    mend = "load an earlier checkpoint, or make the file anew"
    if not data:
        return f"the file is empty; {mend}"
    try:
        header, end = _header(data)
        ends = {name: end + entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, LookupError, TypeError):
        return f"it is no safetensors file, or its header is cut short; {mend}, or check the name"
    lost = [name for name in ends if ends[name] > len(data)]
    if not lost:
        return f"it is no valid safetensors file; {mend}"
    return f"it is cut short at {len(data)} of {max(ends.values())} bytes and lacks {', '.join(sorted(lost))}; {mend}"


class MetricsCsv:
    """A growing table of numbers (`metrics.csv`), one line at a time, each on disk when `append` returns.

    A new file is made with its header; a file that is there is continued, without the last line if that was torn by
    a kill. Equal numbers give equal bytes (floats are written as their shortest exact form).

    Raises FileError when the file has other columns, or the disk does not take it.
    """

    def __init__(self, path: str | os.PathLike[str], columns: Sequence[str]) -> None:
        self.path = Path(path)
        self.columns = tuple(columns)
        if clash := [name for name in self.columns if set(name) & set(',"\n\r')]:
            raise ValueError(f"the column name {clash[0]!r} holds a comma, a quote or a line end; rename it")
        header = ",".join(self.columns)
        if not self.path.exists():
            self._write([header])
            return
        lines, torn = self._lines()
        if lines[:1] != [header]:
            raise FileError(
                f"cannot continue {self.path}: its columns are {''.join(lines[:1]) or 'missing'}, "
                f"this run writes {header}; name another folder, or remove the file"
            )
        if torn:
            self._write(lines)

    def _lines(self) -> tuple[list[str], str]:
        """The whole lines, header first, and what a kill left of one more ("" as a rule)."""
        with named(self.path, "read"):
            *lines, torn = self.path.read_bytes().decode(errors="replace").split("\n")
        return lines, torn

    def _write(self, lines: list[str]) -> None:
        write_whole(self.path, "".join(line + "\n" for line in lines))

    def append(self, row: Mapping[str, Number]) -> None:
        """Write one line; a column that the row lacks stays empty. Raises FileError, and the file is as it was."""
        for name in row:
            if name not in self.columns:
                raise ValueError(f"{self.path} has no column {name!r}: {nearest(name, self.columns)}")
        line = (",".join(_cell(row[name]) if name in row else "" for name in self.columns) + "\n").encode()
        with named(self.path, "write"), self.path.open("ab", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            try:
                while line:  # a disk that fills up takes a part of the line first
                    line = line[os.write(file.fileno(), line) :]
            except OSError:
                file.truncate(size)
                raise

    def truncate_after(self, update: int) -> None:
        """Drop the rows whose `update` is larger: a run resumed from a checkpoint writes them again."""
        if "update" not in self.columns:
            raise ValueError(f"{self.path} has no column 'update' to cut at: there are {', '.join(self.columns)}")
        column = self.columns.index("update")
        (header, *rows), _ = self._lines()
        try:
            kept = [row for row in rows if int(row.split(",")[column]) <= update]
        except (ValueError, IndexError) as error:
            raise FileError(
                f"cannot read {self.path}: a row has no whole number under 'update'; mend or remove the file"
            ) from error
        if len(kept) < len(rows):
            self._write([header, *kept])


def _cell(value: Number) -> str:
    number = value.item() if isinstance(value, Tensor | np.generic) else value
    return str(int(number)) if isinstance(number, int) else repr(float(number))  # True as 1, np.float64(1.0) as 1.0
