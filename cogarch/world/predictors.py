"""What comes next: predictors of the next latent from this one and the move, with and without a memory of the past; and
which move was made, told from two latents.

A predictor has `init(batch)`, its state; `step(state, z, moved)` gives the next latent `[n, d]` and the state after it;
`over(state, z, moved, start)` does so along walks `[T, B, ...]`, each tick from the true latent of the tick before, and
gives the states after every tick `[T, B, ...]`; `memory(state)` `[..., hidden]` is what it remembers, if it does. All
predict a change, added to the latent.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cogarch.encoder import mlp
from cogarch.module import State
from cogarch.tree import tree_map

HEADS = 4


class Residual(nn.Module):
    """A multilayer perceptron without a memory: the latent must say all."""

    def __init__(self, size: int, moves: int, hidden: int) -> None:
        super().__init__()
        self.change = mlp([size + moves, hidden, hidden, size])

    def init(self, batch: int) -> State:
        return {}

    def step(self, state: State, z: Tensor, moved: Tensor) -> tuple[Tensor, State]:
        return z + self.change(torch.cat([z, moved], -1)), {}

    def over(self, state: State, z: Tensor, moved: Tensor, start: Tensor) -> tuple[Tensor, State]:
        return self.step(state, z, moved)


class Recurrent(nn.Module):
    """A gated recurrent unit: what was seen before may tell what this view alone does not."""

    def __init__(self, size: int, moves: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(size + moves, hidden)
        self.change = mlp([hidden, hidden, size])

    def init(self, batch: int) -> State:
        return {"h": torch.zeros(batch, self.cell.hidden_size)}

    def memory(self, state: State) -> Tensor:
        h: Tensor = state["h"]
        return h

    def step(self, state: State, z: Tensor, moved: Tensor) -> tuple[Tensor, State]:
        h = self.cell(torch.cat([z, moved], -1), state["h"])
        return z + self.change(h), {"h": h}

    def over(self, state: State, z: Tensor, moved: Tensor, start: Tensor) -> tuple[Tensor, State]:
        h, inputs, past = state["h"], torch.cat([z, moved], -1), []
        for x, new in zip(inputs, start, strict=True):
            h = torch.where(new[:, None], 0.0, self.cell(x, h))  # a start follows from nothing
            past.append(h)
        all_ = torch.stack(past)
        return z + self.change(all_), {"h": all_}


class Transformer(nn.Module):
    """A small causal transformer: each layer attends to the last `context` ticks, told apart by a learned bias.

    What the second layer attends to rests on as many ticks again: two layers look back 2 (`context` - 1) ticks.
    """

    def __init__(self, size: int, moves: int, hidden: int, context: int = 8, layers: int = 2) -> None:
        super().__init__()
        if hidden % HEADS:
            raise ValueError(f"world.hidden is {hidden}: a transformer of {HEADS} heads needs a multiple of {HEADS}")
        self.context, self.width = context, hidden
        self.enter = nn.Linear(size + moves, hidden)
        self.blocks = nn.ModuleList(_Block(hidden, context) for _ in range(layers))
        self.change = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, size))

    def init(self, batch: int) -> State:
        """What each layer took in at the last `context` - 1 ticks, and how many of them there were."""
        past = {f"layer {i}": torch.zeros(batch, self.context - 1, self.width) for i in range(len(self.blocks))}
        return {**past, "ticks": torch.zeros(batch, dtype=torch.int64)}

    def memory(self, state: State) -> Tensor:
        """What the last layer took in at the last tick."""
        x: Tensor = state[f"layer {len(self.blocks) - 1}"][..., -1, :]
        return x

    def step(self, state: State, z: Tensor, moved: Tensor) -> tuple[Tensor, State]:
        new = torch.zeros(len(z), dtype=torch.bool, device=z.device)
        predicted, after = self._attend(state, z[None], moved[None], new[None])
        return predicted[0], tree_map(lambda x: x[0], after)

    def over(self, state: State, z: Tensor, moved: Tensor, start: Tensor) -> tuple[Tensor, State]:
        return self._attend(state, z, moved, start)

    def _attend(self, state: State, z: Tensor, moved: Tensor, start: Tensor) -> tuple[Tensor, State]:
        c = self.context - 1
        # how many ticks each one may look back on: none across a start, which is itself not looked at
        ticks = []
        n = state["ticks"]
        for new in start:
            n = torch.where(new, 0, (n + 1).clamp(max=c))
            ticks.append(n)
        known = torch.stack(ticks)  # [T, B], after each tick
        before = torch.where(start, 0, torch.cat([state["ticks"][None], known[:-1]]))
        x = self.enter(torch.cat([z, moved], -1))
        after: State = {"ticks": known}
        for i, block in enumerate(self.blocks):
            seen = torch.cat([state[f"layer {i}"].transpose(0, 1), x])  # [c + T, B, width]
            windows = seen.unfold(0, c + 1, 1).movedim(-1, 2)  # [T, B, context, width], this tick last
            after[f"layer {i}"] = windows[:, :, 1:]
            x = block(windows, before)
        return z + self.change(x), after


class _Block(nn.Module):
    """Attention of the last tick of each window to the whole of it, then a perceptron; normalised before each."""

    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.norm, self.query, self.keys = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.join, self.bias = nn.Linear(width, width), nn.Parameter(torch.zeros(HEADS, context))
        self.think = nn.Sequential(nn.LayerNorm(width), *mlp([width, 2 * width, width]))

    def forward(self, windows: Tensor, before: Tensor) -> Tensor:
        """windows `[T, B, context, width]`, of which the last `before` `[T, B]` + 1 are; `[T, B, width]`."""
        context, width = windows.shape[-2:]
        x = self.norm(windows)
        q = self.query(x[..., -1, :]).unflatten(-1, (HEADS, -1))
        k, v = self.keys(x).unflatten(-1, (2, HEADS, -1)).unbind(-3)
        age = torch.arange(context - 1, -1, -1, device=windows.device)
        scores = torch.einsum("tbhi,tbchi->tbhc", q, k) / (width // HEADS) ** 0.5 + self.bias
        scores = scores.masked_fill((age > before[..., None])[..., None, :], float("-inf"))
        heard = torch.einsum("tbhc,tbchi->tbhi", F.softmax(scores, -1), v).flatten(-2)
        x = windows[..., -1, :] + self.join(heard)
        thought: Tensor = x + self.think(x)
        return thought


class Mover(nn.Module):
    """Which move led from one latent to the next: told by a line from their difference, by a perceptron from both.

    The line is what learns at once a code in which moves are steps in a direction, each its own. A perceptron alone
    stays for long where two of the moves are not told apart, or for ever.
    """

    def __init__(self, size: int, moves: int, hidden: int) -> None:
        super().__init__()
        self.line, self.perceptron = nn.Linear(size, moves), mlp([2 * size, hidden, moves])

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Latents `[..., d]`; logits of actions or the felt motion `[..., moves]`."""
        told: Tensor = self.line(after - before) + self.perceptron(torch.cat([before, after], -1))
        return told


Predictor = Residual | Recurrent | Transformer
PREDICTORS: dict[str, type[Predictor]] = {"mlp": Residual, "gru": Recurrent, "transformer": Transformer}
