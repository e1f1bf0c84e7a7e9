"""The folder of a run: `run.json` says what was run, with what, and how it ended; the rest lies beside it."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import importlib.metadata
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from cogarch import files
from cogarch.config import Agent, parse_agent

WEIGHTS = "weights.safetensors"
CHECKPOINT = "checkpoint.safetensors"
RECORDING = "recording.zarr"
METRICS = "metrics.csv"
LOCK = "lock"


class RunFolder:
    """One run on disk. `config` is `run.json` as plain data; `status` is running, done, interrupted or failed."""

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path, self.config = path, config

    @classmethod
    def create(cls, out: Path | None, kind: str, agent: Agent, env: str, **settings: Any) -> RunFolder:
        """A new folder: `out`, or the first free `runs/AGENT-ENV-SEED[-n]`. FileError if `out` is taken."""
        if out is None:
            stem = f"{agent.name}-{env.rpartition('/')[2]}-{settings.get('seed', 0)}"
            names = (Path("runs") / (f"{stem}-{n}" if n > 1 else stem) for n in range(1, 10**6))
            out = next(path for path in names if not path.exists())
        elif (out / "run.json").exists():
            raise files.FileError(f"{out} holds a run already; name another folder with --out")
        with files.named(out, "write"):
            out.mkdir(parents=True, exist_ok=True)
        config = {
            "kind": kind,
            "status": "running",
            "command": shlex.join(["cogarch", *sys.argv[1:]]) if Path(sys.argv[0]).name == "cogarch" else "",
            "agent": agent.model_dump(mode="json"),
            "env": env,
            **settings,
            "threads": torch.get_num_threads(),
            "versions": {
                "python": platform.python_version(),
                **{name: importlib.metadata.version(name) for name in ("cogarch", "torch", "numpy", "gymnasium")},
            },
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        folder = cls(out, config)
        folder.write()
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """A folder that `create` made; FileError says what is missing or broken."""
        file = path / "run.json"
        if not file.exists():
            raise files.FileError(
                f"{path} is no run: it has no run.json; runs are made by cogarch run and cogarch train"
            )
        try:
            with files.named(file, "read"):
                config = json.loads(file.read_text())
            for key, kind in {"kind": str, "agent": dict, "env": str, "options": dict, "seed": int}.items():
                if not isinstance(config[key], kind):
                    raise TypeError(f"{key} is {config[key]!r}")
        except (json.JSONDecodeError, UnicodeDecodeError, TypeError, KeyError) as error:
            raise files.FileError(
                f"{file} is not a run's configuration ({error!r}); it was cut short or is foreign"
            ) from None
        return cls(path, config)

    @property
    def beginning(self) -> Agent:
        """The agent as it was when the run began."""
        return parse_agent(self.config["agent"], str(self.path / "run.json"))

    @property
    def agent(self) -> Agent:
        """The agent as the run left it: a training's with the weights that it learned, and with what is scheduled as it
        was by then. FileError where it has none."""
        if self.config["kind"] != "train":
            return self.beginning
        if not (self.path / WEIGHTS).exists():
            raise files.FileError(
                f"the training in {self.path} has saved no weights yet; cogarch resume {self.path} goes on with it"
            )
        return self._with(self.path / WEIGHTS)

    def weights_after(self, updates: int) -> Path:
        """Where a training keeps the weights of that update."""
        return self.path / f"weights-{updates:06d}.safetensors"

    def agent_after(self, updates: int) -> Agent:
        """The agent after so many updates of a training that kept its weights then; FileError where it did not."""
        kept = self.weights_after(updates)
        if not kept.exists():
            raise files.FileError(
                f"the training in {self.path} kept no weights after {updates} updates; it kept them after "
                f"{', '.join(map(str, self.kept)) or 'none'} (cogarch train --keep-every)"
            )
        return self._with(kept)

    def _with(self, weights: Path) -> Agent:
        updates = files.load_tensors(weights)[1].get("updates")
        agent = self.beginning if updates is None else self.beginning.after(int(updates))
        return agent.model_copy(update={"weights": weights})

    @property
    def kept(self) -> list[int]:
        """The updates whose weights a training kept."""
        return sorted(int(path.stem.rpartition("-")[2]) for path in self.path.glob("weights-*.safetensors"))

    @property
    def metrics(self) -> list[dict[str, float]]:
        """The lines of metrics.csv; a cell that was left empty is NaN."""
        with files.named(self.path / METRICS, "read"), (self.path / METRICS).open(newline="") as file:
            return [{name: float(cell or "nan") for name, cell in row.items()} for row in csv.DictReader(file)]

    @property
    def recording(self) -> Path:
        return self.path / RECORDING

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from training in the folder meanwhile; FileError where one does, naming it.

        The file `lock` stays: what holds the folder is the system's lock on it, which ends with the process however
        that ends. Its text is the number of the process that took it last.
        """
        path = self.path / LOCK
        with contextlib.ExitStack() as stack:
            with files.named(path, "write"):
                file = stack.enter_context(path.open("a+"))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    file.seek(0)
                    raise files.FileError(
                        f"process {file.read()} is training in {self.path}: wait until it ends, or end it, and try "
                        "again; or train in another folder (--out)"
                    ) from None
                file.truncate(0)
                file.write(str(os.getpid()))
                file.flush()
            yield

    def end(self, status: str) -> None:
        """Say how it ended."""
        self.config |= {"status": status, "ended": datetime.now(UTC).isoformat(timespec="seconds")}
        try:
            self.write()
        except files.FileError:
            if status != "failed":  # else what made it fail is the error to tell
                raise

    def write(self) -> None:
        files.write_whole(self.path / "run.json", json.dumps(self.config, indent=2, default=str) + "\n")
