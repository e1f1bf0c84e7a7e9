"""What a training says on the console, and what it hears from the keyboard."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor


def untaken(taken: Tensor, actions: Sequence[str]) -> str:
    """What cannot have been learned, where each action was taken so often; "" where there is nothing to say."""
    if not bool(taken.any()):
        return "no walk held a transition, every tick began an episode: nothing was learned of what actions do"
    never = [f"{actions[i]!r} ({i})" for i in torch.nonzero(taken == 0).flatten().tolist()]
    if not never:
        return ""
    return f"no walk took action {', '.join(never)}: the model knows nothing of {'it' if len(never) == 1 else 'them'}"


def count_taken(walk: Tensor, taken: Tensor) -> None:
    """Add the actions of walks `[T, B, 1]` (-1 at a start) to how often each was taken."""
    taken += torch.bincount(walk[walk >= 0], minlength=len(taken))


@contextlib.contextmanager
def interrupt_waits() -> Iterator[Callable[[], bool]]:
    """Ctrl-C waits for the end of the update, so that what is saved is whole; a second one does not wait.

    Gives a function that says whether there was one.
    """
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    # only the main thread may take signals, and one that somebody else takes or ignores is left to them
    ours = threading.current_thread() is threading.main_thread()
    ours = ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: bool(asked)
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def progress(console: Console) -> Progress:
    """The bar, with the field `said`."""
    return Progress(
        TextColumn("learning"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        TimeRemainingColumn(),
        console=console,
    )
