"""What a training needs to go on as if it had never stopped: weights, the optimiser's state, and where it was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from cogarch import files
from cogarch.bus import Bus


def save_checkpoint(
    path: Path,
    bus: Bus,
    optimiser: torch.optim.Optimizer,
    done: int,
    seconds: float,
    also: Mapping[str, Mapping[str, Tensor]],
) -> None:
    """Weights and the optimiser's state, with the update that it was made after; `also` what else cannot be made again,
    by the name of who takes it back."""
    tensors = {f"weight.{name}": x for name, x in bus.parts.state_dict().items()}  # with what a module keeps in buffers
    for i, state in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{i}.{name}": torch.as_tensor(x) for name, x in state.items()}
    for owner, kept in also.items():
        tensors |= {f"{owner}.{name}": x for name, x in kept.items()}
    files.save_tensors(path, tensors, {"updates": str(done), "seconds": repr(seconds)})


def load_checkpoint(
    path: Path, bus: Bus, optimiser: torch.optim.Optimizer
) -> tuple[int, float, dict[str, dict[str, Tensor]]]:
    """Updates and seconds behind the checkpoint, and what else it holds; 0 and nothing where there is none yet."""
    also: dict[str, dict[str, Tensor]] = {}
    if not path.exists():
        return 0, 0.0, also
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
        owner, _, rest = name.partition(".")
        if owner == "adam":
            i, _, field = rest.partition(".")
            state.setdefault(int(i), {})[field] = x
        elif owner != "weight":
            also.setdefault(owner, {})[rest] = x
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return int(meta["updates"]), float(meta["seconds"]), also
