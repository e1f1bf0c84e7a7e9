"""Names to modules. The tree is the catalogue: `cogarch/mec/rotor.py` is the `rotor` of the role `mec`."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, get_type_hints

import pydantic

from cogarch.module import ROLES, Module, Signal
from cogarch.wiring import nearest


class ConfigError(ValueError):
    """A name or setting that does not exist or does not fit; the text names the nearest that does."""


def catalogue() -> dict[str, dict[str, str]]:
    """Role -> name -> first line of what it is, for all modules in the tree and all installed plugins."""
    found: dict[str, dict[str, str]] = {}
    for role in ROLES:
        found[role] = {
            name: (inspect.getdoc(cls) or "").split("\n")[0]
            for name in _names(role)
            if (cls := _defined_in(f"cogarch.{role}.{name}"))
        }
        for point in _plugins(role):
            found[role][point.name.partition(".")[2]] = f"a plugin, {point.value}"
    return found


def find(role: str, use: str) -> type[Module]:
    """The class that `use` names: a file of the role, a plugin, or `pkg.mod:Class`. Raises ConfigError."""
    if role not in ROLES:
        raise ConfigError(f"no role {role!r}; {nearest(role, ROLES)}")
    if ":" in use:
        cls = load_class(use)
    elif use in _names(role):
        found = _defined_in(f"cogarch.{role}.{use}")
        if found is None:
            raise ConfigError(f"cogarch/{role}/{use}.py holds no module that fills {role}; {_choices(role, use)}")
        cls = found
    elif points := [point for point in _plugins(role) if point.name == f"{role}.{use}"]:
        cls = load_class(points[0].value)
    else:
        raise ConfigError(
            f"no {role} is called {use!r}; {_choices(role, use)} A class of your own is 'package.file:Class'"
        )
    if cls.role != role:
        raise ConfigError(f"{use} fills the role {cls.role!r}, not {role!r}; say role = {role!r} in the class")
    return cls


def make(role: str, use: str, topics: Mapping[str, Signal], settings: Mapping[str, Any]) -> Module:
    """The module with its settings, checked against its constructor. `topics` are the contracts known so far."""
    cls = find(role, use)
    checked = check_settings(cls, settings, f"{role} = {use!r}")
    try:
        return cls(topics, **checked)
    except KeyError as missing:
        if (missing.args and missing.args[0] in topics) or "/" not in str(missing):
            raise
        raise ConfigError(
            f"{role} = {use!r} needs the contract of {missing}, which neither the world nor a role before it writes; "
            f"{nearest(str(missing.args[0]), topics)}"
        ) from missing


def check_settings(cls: type[Module], settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Settings with the types of the constructor's keyword arguments; ConfigError names the wrong one."""
    hints = get_type_hints(cls.__init__, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints.get(name, Any), parameter.default if parameter.default is not parameter.empty else ...)
        for name, parameter in list(inspect.signature(cls).parameters.items())[1:]
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    if unknown := sorted(settings.keys() - fields.keys()):
        raise ConfigError(f"{where} has no setting {unknown[0]!r}; {nearest(unknown[0], fields)}")
    model = pydantic.create_model("Settings", __config__=pydantic.ConfigDict(protected_namespaces=()), **fields)
    try:
        made = model(**settings)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{where}: setting {name!r}: {first['msg']}; got {first.get('input')!r}") from None
    return {name: getattr(made, name) for name in fields}


def _names(role: str) -> list[str]:
    try:
        package = importlib.import_module(f"cogarch.{role}")
    except ModuleNotFoundError:  # a role that nothing fills yet
        return []
    return sorted(info.name for info in pkgutil.iter_modules(package.__path__))


def _defined_in(name: str) -> type[Module] | None:
    """The one module class that a file of the catalogue defines (a file may hold shared parts instead, or a base)."""
    file = importlib.import_module(name)
    classes = [c for c in vars(file).values() if inspect.isclass(c) and issubclass(c, Module) and c.__module__ == name]
    own = [c for c in classes if not inspect.isabstract(c)]
    return own[0] if len(own) == 1 else None


def _plugins(role: str) -> list[Any]:
    return [point for point in entry_points(group="cogarch.modules") if point.name.startswith(role + ".")]


def _choices(role: str, use: str) -> str:
    return nearest(use, catalogue()[role])


def load_class(target: str) -> type[Module]:
    """The class that `pkg.mod:Class` names. Raises ConfigError."""
    path, _, name = target.partition(":")
    if not all(part.isidentifier() for part in (*path.split("."), name)):
        raise ConfigError(f"{target!r} names no class; a class of your own is 'package.file:Class'")
    try:
        file = importlib.import_module(path)
    except ImportError as error:
        raise ConfigError(f"cannot import {path!r} of {target!r}: {error}; is it on the Python path?") from error
    cls = getattr(file, name, None)
    if cls is None:
        raise ConfigError(
            f"{path} has no {name!r}; {nearest(name, [n for n, c in vars(file).items() if inspect.isclass(c)])}"
        )
    if not (inspect.isclass(cls) and issubclass(cls, Module)):
        raise ConfigError(f"{target} is not a cogarch.Module; derive it from cogarch.Module")
    return cls
