"""Ready-made agents, a TOML file each. `agents.load("explorer")` is a wiring to run, train, or swap a module of."""

from __future__ import annotations

from pathlib import Path

from cogarch.config import Agent, read_agent
from cogarch.folder import RunFolder
from cogarch.registry import ConfigError
from cogarch.wiring import nearest

_HERE = Path(__file__).parent


def load(name: str | Path) -> Agent:
    """An agent by name, from a TOML file, or from the folder of a run (with the weights that it learned).

    Raises ConfigError naming the nearest agents, or what is wrong in the file.
    """
    path = Path(name)
    if isinstance(name, str) and name in catalogue():  # also where a folder of that name lies about
        return read_agent(_HERE / f"{name}.toml")
    if path.is_dir():
        return RunFolder.open(path).agent
    if path.suffix == ".toml":
        if not path.exists():
            raise ConfigError(f"there is no file {path}; an agent is a name ({', '.join(catalogue())}) or a TOML file")
        return read_agent(path)
    raise ConfigError(f"no agent is called {str(name)!r}; {nearest(str(name), catalogue())}")


def catalogue() -> dict[str, str]:
    """Name -> what it is, in a line."""
    return {path.stem: read_agent(path).about for path in sorted(_HERE.glob("*.toml"))}
