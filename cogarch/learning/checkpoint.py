"""What a training needs to go on as if it had never stopped: weights, the optimiser's state, and where it was."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from cogarch import files
from cogarch.bus import Bus
from cogarch.learning.replay import Replay


def save_checkpoint(
    path: Path,
    bus: Bus,
    optimiser: torch.optim.Optimizer,
    done: int,
    seconds: float,
    *,
    living: bool = False,
    replay: Replay | None = None,
) -> None:
    """Weights and the optimiser's state; a checkpoint with the update that it was made after. `living`: also the state
    of the agents, who go on from update to update; of a `replay` how much each walk surprised."""
    tensors = {f"weight.{name}": x for name, x in bus.parts.state_dict().items()}  # with what a module keeps in buffers
    for i, state in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{i}.{name}": torch.as_tensor(x) for name, x in state.items()}
    if living:
        tensors |= {f"life.{name}": x for name, x in bus.dump().items()}
    if replay is not None:
        tensors["replay.priority"] = replay.priority
    files.save_tensors(path, tensors, {"updates": str(done), "seconds": repr(seconds)})


def load_checkpoint(
    path: Path, bus: Bus, optimiser: torch.optim.Optimizer, replay: Replay | None = None
) -> tuple[int, float]:
    """Updates and seconds behind the checkpoint; 0 where there is none yet."""
    if not path.exists():
        return 0, 0.0
    tensors, meta = files.load_tensors(path)
    own = bus.parts.state_dict()
    saved = {name.removeprefix("weight."): x for name, x in tensors.items() if name.startswith("weight.")}
    there, here = ({name: str(list(x.shape)) for name, x in weights.items()} for weights in (saved, own))
    if "updates" not in meta or there != here:
        unlike = (n for n in sorted(there | here) if there.get(n) != here.get(n))
        why = [f" ({n!r} is {there.get(n, 'missing')} in it and {here.get(n, 'missing')} in the agent)" for n in unlike]
        raise files.FileError(f"{path} is not a checkpoint of this agent; remove it to begin anew{''.join(why[:1])}")
    for name, x in own.items():
        x.copy_(saved[name])
    state: dict[int, dict[str, Tensor]] = {}
    for name, x in tensors.items():
        if name.startswith("adam."):
            _, i, field = name.split(".")
            state.setdefault(int(i), {})[field] = x
    if life := {name.removeprefix("life."): x for name, x in tensors.items() if name.startswith("life.")}:
        bus.load(life)
    if replay is not None and "replay.priority" in tensors:
        replay.priority = tensors["replay.priority"]
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return int(meta["updates"]), float(meta["seconds"])
