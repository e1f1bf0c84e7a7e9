"""What a world can be given: settings checked by name and by the annotations of its constructor."""

import difflib
import inspect
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeGuard, get_args, get_origin, get_type_hints

import networkx as nx
import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

Size = int | Sequence[int]

MOST_OBJECTS = 1_000_000
MOST_WORLDS = 1_000_000  # in a batch: a minute to begin, as each has a generator of its own
MOST_PLACES = 20_000_000  # of all worlds of a batch: about 4 GB
MOST_NUMBERS = 10 * MOST_PLACES  # or of what takes a tenth of a place
STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)  # strict: the text "False" is no bool
IN_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    NoneType: "None",
    Sequence: "a range [low, high] of whole numbers",
    list: "an array [T, 2 or 3]",
    nx.Graph: "a networkx graph",
}


def checked(world: type, env_id: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as the constructor of a world takes them, its keyword-only parameters; numpy's numbers made plain.

    Raises:
        ValueError: an unknown name, with the nearest ones; one that is lacking; a value of another type than annotated.
    """
    parameters = inspect.signature(world).parameters.values()
    known = {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    shared = _shared(world)
    known |= dict.fromkeys(shared)
    for name in settings:
        if name not in known:
            raise ValueError(f"{env_id} has no setting {name!r}: {did_you_mean(name, known)}")
    for name, default in known.items():
        if default is inspect.Parameter.empty and name not in settings:
            raise ValueError(f"{env_id} needs the setting {name!r}: pass {name}=...")
    types = {**get_type_hints(world.__init__), **shared}  # type: ignore[misc]
    return {name: _of_type(types[name], _plain(value), f"{env_id}: {name}") for name, value in settings.items()}


def check_objects(objects: int) -> None:
    """ValueError for fewer than one kind of object, or more than a map could hold."""
    if not 1 <= objects <= MOST_OBJECTS:
        raise ValueError(f"objects is {objects}: a world needs at least 1 kind of object, {MOST_OBJECTS:,} at most")


def check_batch(num_envs: int, each: int = 1, of: str = "places", most: int = MOST_PLACES) -> int:
    """The number of worlds as an int; refuses, before memory is asked for, a batch that is none or that none holds.

    Args:
        num_envs: worlds of the batch.
        each: how many places, or as much of something else, each of them holds.
        of: what that is, and the settings that decide it.
        most: how much of it all worlds together may hold.

    Raises:
        ValueError: no whole number of worlds, fewer than 1 or too many; too much in all of them together.
    """
    if not is_whole(num_envs) or not 1 <= num_envs <= MOST_WORLDS:
        raise ValueError(f"a batch of {num_envs!r} worlds (num_envs): give a whole number, 1 to {MOST_WORLDS:,}")
    if int(num_envs) * each > most:
        raise ValueError(
            f"num_envs is {num_envs:,}, and each world holds {each:,} {of}: a batch holds {most:,} at most, "
            "so make the worlds smaller or fewer"
        )
    return int(num_envs)


def check_most(name: str, value: float, most: float, unit: str = "") -> None:
    """ValueError for a setting above the most that a world can be given."""
    if value > most:
        raise ValueError(f"{name} is {value:,}{unit}: give {most:,}{unit} at most")


def size_range(name: str, size: Size, least: int = 2) -> tuple[int, int]:
    """A size, or a range of them, as (low, high).

    Raises:
        ValueError: no whole numbers, a size below `least` or beyond all memory, a range from high to low.
    """
    ends: Any = size if isinstance(size, list | tuple) else (size, size)
    if len(ends) != 2 or not all(isinstance(end, int | np.integer) for end in ends):
        raise ValueError(f"{name} is {size!r}: give a whole number or a range (low, high)")
    low, high = (int(end) for end in ends)
    if low < least:
        raise ValueError(f"{name} is {size!r}: a world is at least {least} places wide and high")
    if low > high:
        raise ValueError(f"{name} is {size!r}: a range runs from low to high; did you mean ({high}, {low})?")
    check_most(name, high, MOST_PLACES // least)
    return low, high


def is_whole(number: object) -> TypeGuard[int]:
    """Whether this is an int, of Python or numpy; a bool is none."""
    return isinstance(number, int | np.integer) and not isinstance(number, bool)


def _shared(world: type) -> dict[str, Any]:
    """Settings that a constructor takes as `**settings: Unpack[SomeTypedDict]`, with their types."""
    for parameter in inspect.signature(world).parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            (fields,) = get_args(parameter.annotation)
            return get_type_hints(fields)
    return {}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest names, or what there is."""
    known = list(known)
    near = difflib.get_close_matches(name, known)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known[:12])}"


def _of_type(annotation: Any, value: Any, what: str) -> Any:
    try:
        return TypeAdapter(annotation, config=STRICT).validate_python(value)
    except ValidationError:
        raise ValueError(f"{what} is {reprlib.repr(value)}: give {_in_words(annotation)}") from None


def _in_words(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(annotation))
    if origin in IN_WORDS or annotation in IN_WORDS:
        return IN_WORDS[origin or annotation]
    return " or ".join(map(_in_words, get_args(annotation)))  # a union


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value
