"""What is written on the command line: modules in a role, settings of modules, options of a world."""

from __future__ import annotations

import tomllib
from typing import Annotated, Any

import tyro

from cogarch.config import Agent

Modules = Annotated[
    tuple[str, ...],
    tyro.conf.arg(metavar="ROLE=NAME"),
    tyro.conf.UseAppendAction,
]
Settings = Annotated[
    tuple[str, ...],
    tyro.conf.arg(name="set", metavar="ROLE.SETTING=VALUE"),
    tyro.conf.UseAppendAction,
]
Options = Annotated[
    tuple[str, ...],
    tyro.conf.arg(name="option", aliases=["-o"], metavar="NAME=VALUE"),
    tyro.conf.UseAppendAction,
]


def changed(agent: Agent, swap: Modules, settings: Settings) -> Agent:
    """The agent with other modules and settings. ValueError names what is not of its form."""
    for item in swap:
        role, use = _split(item, "--swap", "ROLE=NAME")
        agent = agent.swap(role, use)
    for item in settings:
        key, value = _split(item, "--set", "ROLE.SETTING=VALUE")
        role, dot, setting = key.partition(".")
        if not dot:
            raise ValueError(f"--set {item}: it is ROLE.SETTING=VALUE, such as hc.capacity=2048")
        new = {setting: _value(value)}
        agent = agent.train_with(**new) if role == "training" else agent.change(role, **new)
    return agent


def pairs(items: Options) -> dict[str, Any]:
    """Options of a world by name."""
    return {name: _value(value) for name, value in (_split(item, "--option", "NAME=VALUE") for item in items)}


def _split(item: str, flag: str, form: str) -> tuple[str, str]:
    key, equals, value = item.partition("=")
    if not equals or not key or not value:
        raise ValueError(f"{flag} {item}: it is {form}")
    return key, value


def _value(text: str) -> Any:
    """A TOML value (20, 0.05, true, [5, 8]), `none`, or the text itself."""
    if text == "none":
        return None
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text
