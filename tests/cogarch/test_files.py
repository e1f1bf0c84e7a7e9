import errno
import math
import os
import resource
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cogarch.files import FileError, MetricsCsv, load_tensors, save_tensors, write_whole


@pytest.fixture
def small_files():
    """The system refuses files over 4 kB: a real failure half-way through a write, for root too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def refuse(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def replace(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", replace)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("data", ["h\u00e9xagonal\n", b"\x00\xff"])
def test_a_file_is_written_and_replaced(tmp_path, data):
    path = tmp_path / "run.json"
    path.write_text("old")
    write_whole(path, data)
    assert path.read_bytes() == (data.encode() if isinstance(data, str) else data)
    assert names(tmp_path) == ["run.json"]


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (errno.ENOSPC, "no space is left"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission is denied"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_a_refused_write_is_named_and_leaves_the_old_file(tmp_path, monkeypatch, code, cause):
    path = tmp_path / "run.json"
    path.write_text("old")
    refuse(monkeypatch, code)
    with pytest.raises(FileError, match=cause) as caught:
        write_whole(path, "new")
    assert str(path) in str(caught.value)
    assert caught.value.errno == code
    assert path.read_text() == "old"
    assert names(tmp_path) == ["run.json"]


def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path, small_files):
    path = tmp_path / "weights"
    path.write_bytes(b"old")
    with pytest.raises(FileError, match="file-size limit"):
        write_whole(path, bytes(10_000))
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["weights"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileError, match=r"none/run.json: it or its folder does not exist"):
        write_whole(tmp_path / "none" / "run.json", "")


def tensors() -> dict[str, torch.Tensor]:
    tied = torch.arange(6.0).reshape(2, 3)
    return {"w": tied, "tied": tied, "turned": tied.T, "n": torch.tensor(3), "on": torch.tensor([True, False])}


def test_tensors_come_back_to_the_bit_and_other_libraries_read_them(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_tensors(path, tensors(), {"update": "7", "code": "rotor"})
    back, meta = load_tensors(path)
    assert meta == {"update": "7", "code": "rotor"}
    for read in (back, safetensors.torch.load_file(path)):
        assert read.keys() == tensors().keys()
        for name, tensor in tensors().items():
            assert read[name].dtype == tensor.dtype
            assert torch.equal(read[name], tensor)


def test_equal_tensors_give_equal_bytes(tmp_path):
    content = {"b": torch.ones(3), "a": torch.zeros(2)}, {letter: letter for letter in "zyxwvutsrq"}
    assert len({safetensors.torch.save(*content) for _ in range(5)}) > 1  # the library alone: any order
    for k in range(5):
        save_tensors(tmp_path / str(k), *content)
    assert len({(tmp_path / str(k)).read_bytes() for k in range(5)}) == 1


def test_a_checkpoint_cut_anywhere_is_refused_by_name(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_tensors(path, {"a": torch.zeros(4), "b": torch.ones(4)}, {"update": "7"})
    data = path.read_bytes()
    header = len(data[:-32].rstrip())  # it may end with spaces
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(FileError, match=r"weights\.safetensors") as caught:
            load_tensors(path)
        if size == 0:
            assert "the file is empty" in str(caught.value)
        elif size >= len(data) - 16:
            assert f"cut short at {size} of {len(data)} bytes and lacks b;" in str(caught.value)
        elif size >= header:
            assert "lacks a, b;" in str(caught.value)
        else:
            assert "header is cut short" in str(caught.value)


@pytest.mark.parametrize("data", [b"hello, this is text", b"PK\x03\x04" + bytes(400), b"\x02" + bytes(7) + b"[]"])
def test_a_foreign_checkpoint_is_refused_by_name(tmp_path, data):
    path = tmp_path / "weights.pt"
    path.write_bytes(data)
    with pytest.raises(FileError, match=r"weights\.pt: it is no safetensors file"):
        load_tensors(path)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        load_tensors(tmp_path / "weights.safetensors")


def test_metrics_hold_numbers_exactly(tmp_path):
    path = tmp_path / "metrics.csv"
    table = MetricsCsv(path, ["update", "loss", "accuracy"])
    table.append({"update": 1, "loss": 0.1 + 0.2})
    table.append({"update": np.int64(2), "loss": np.float64(1.0), "accuracy": torch.tensor(0.5)})
    table.append({"accuracy": math.inf, "loss": math.nan, "update": torch.tensor(3)})
    assert path.read_text() == "update,loss,accuracy\n1,0.30000000000000004,\n2,1.0,0.5\n3,nan,inf\n"


def test_an_unknown_column_is_named(tmp_path):
    table = MetricsCsv(tmp_path / "metrics.csv", ["update", "accuracy"])
    with pytest.raises(ValueError, match=r"no column 'acuracy': did you mean 'accuracy'\?"):
        table.append({"update": 1, "acuracy": 0.5})
    with pytest.raises(ValueError, match="comma"):
        MetricsCsv(tmp_path / "other.csv", ["a,b"])


@settings(deadline=None, max_examples=30)
@given(
    losses=st.lists(st.floats(), min_size=1, max_size=8),
    checkpoint=st.integers(0, 8),
    torn=st.integers(0, 200),
)
def test_a_killed_and_resumed_table_equals_the_unbroken_one(tmp_path_factory, losses, checkpoint, torn):
    folder = tmp_path_factory.mktemp("metrics")
    rows = [{"update": k, "loss": loss} for k, loss in enumerate(losses)]
    unbroken, broken = (MetricsCsv(folder / name, ["update", "loss"]) for name in ("unbroken.csv", "broken.csv"))
    for row in rows:
        unbroken.append(row)
        broken.append(row)
    header = len("update,loss\n")
    with (folder / "broken.csv").open("r+b") as file:  # the kill: any cut after the header
        file.truncate(max(header, file.seek(0, 2) - torn))
    broken = MetricsCsv(folder / "broken.csv", ["update", "loss"])
    broken.truncate_after(checkpoint)
    text = (folder / "broken.csv").read_text()
    assert text.endswith("\n")
    kept = text.count("\n") - 1
    assert kept <= checkpoint + 1
    for row in rows[kept:]:
        broken.append(row)
    assert (folder / "broken.csv").read_bytes() == (folder / "unbroken.csv").read_bytes()


def test_a_table_with_other_columns_is_refused(tmp_path):
    path = tmp_path / "metrics.csv"
    for text in ("", "update,loss", "update,accuracy\n1,0.5\n"):
        path.write_text(text)
        with pytest.raises(FileError, match=r"metrics\.csv: its columns are"):
            MetricsCsv(path, ["update", "loss"])
        assert path.read_text() == text
    path.write_text("update,loss\none,2.0\n")
    with pytest.raises(FileError, match="no whole number under 'update'"):
        MetricsCsv(path, ["update", "loss"]).truncate_after(0)
    with pytest.raises(ValueError, match="no column 'update'"):
        MetricsCsv(tmp_path / "other.csv", ["loss"]).truncate_after(0)


def test_a_row_that_does_not_fit_the_disk_leaves_no_part(tmp_path, small_files):
    path = tmp_path / "metrics.csv"
    table = MetricsCsv(path, ["update", "loss"])
    table.append({"update": 0, "loss": 1 / 3})
    header, row = path.read_text().splitlines(keepends=True)
    rows = (4096 - len(header)) // len(row)
    for _ in range(1, rows):
        table.append({"update": 0, "loss": 1 / 3})
    assert 4096 - len(row) < path.stat().st_size < 4096  # the limit cuts the next line in two
    before = path.read_bytes()
    with pytest.raises(FileError, match="file-size limit"):
        table.append({"update": 0, "loss": 1 / 3})
    assert path.read_bytes() == before


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_table_that_cannot_be_cut_stays_as_it_was(tmp_path, monkeypatch, code):
    path = tmp_path / "metrics.csv"
    table = MetricsCsv(path, ["update"])
    for k in range(3):
        table.append({"update": k})
    before = path.read_bytes()
    refuse(monkeypatch, code)
    with pytest.raises(FileError, match=r"metrics\.csv"):
        table.truncate_after(1)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["metrics.csv"]
