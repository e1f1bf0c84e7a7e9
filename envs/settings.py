"""What a world can be given: settings checked by name and by the annotations of its constructor."""

import difflib
import inspect
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import networkx as nx
import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

Size = int | Sequence[int]

MOST_OBJECTS = 1_000_000
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


def size_range(name: str, size: Size, least: int = 2) -> tuple[int, int]:
    """A size, or a range of them, as (low, high).

    Raises:
        ValueError: no whole numbers, a size below `least`, a range from high to low.
    """
    ends: Any = size if isinstance(size, list | tuple) else (size, size)
    if len(ends) != 2 or not all(isinstance(end, int | np.integer) for end in ends):
        raise ValueError(f"{name} is {size!r}: give a whole number or a range (low, high)")
    low, high = (int(end) for end in ends)
    if low < least:
        raise ValueError(f"{name} is {size!r}: a world is at least {least} places wide and high")
    if low > high:
        raise ValueError(f"{name} is {size!r}: a range runs from low to high; did you mean ({high}, {low})?")
    return low, high


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
