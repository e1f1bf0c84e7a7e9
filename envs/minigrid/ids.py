"""The registered MiniGrid and BabyAI ids: what each is, and why some cannot run here."""

import inspect
import re
import textwrap

import gymnasium
import minigrid  # registers its ids with gymnasium
from gymnasium.envs.registration import load_env_creator, parse_env_id
from minigrid.envs.wfc.config import WFC_PRESETS

PREFIXES = ("MiniGrid-", "BabyAI-")


def ids() -> list[str]:
    """The registered `MiniGrid-*` and `BabyAI-*` ids, also those that cannot run."""
    return sorted(env_id for env_id in gymnasium.registry if env_id.startswith(PREFIXES))


def unavailable() -> dict[str, str]:
    """The ids that cannot run with the installed minigrid, with the reason: out of date, or files that it lacks."""
    versions: dict[tuple[str | None, str], int] = {}
    for family, name, version in map(parse_env_id, ids()):
        versions[family, name] = max(version or 0, versions.get((family, name), 0))
    reasons = {env_id: _out_of_date(env_id, versions) or _files_missing(env_id) for env_id in ids()}
    return {env_id: reason for env_id, reason in reasons.items() if reason}


def catalogue() -> dict[str, str]:
    """The ids that run with the installed minigrid, with the first sentence of their own description."""
    lacking = unavailable()
    return {env_id: _about(env_id) for env_id in ids() if env_id not in lacking}


def _out_of_date(env_id: str, newest: dict[tuple[str | None, str], int]) -> str | None:
    family, name, version = parse_env_id(env_id)
    if version == newest[family, name]:
        return None
    return f"{env_id} is out of date: use {name}-v{newest[family, name]}"


def _files_missing(env_id: str) -> str | None:
    preset = gymnasium.spec(env_id).kwargs.get("wfc_config")
    if preset is None or WFC_PRESETS[preset].pattern_path.is_file():
        return None
    missing = WFC_PRESETS[preset].pattern_path.name
    return f"{env_id} cannot run: the installed minigrid {minigrid.__version__} comes without its file {missing}"


def _about(env_id: str) -> str:
    spec = gymnasium.spec(env_id)
    text = inspect.getdoc(load_env_creator(str(spec.entry_point))) or ""
    text = text.replace("## Description", "").split("##")[0].replace("`", "").strip()
    obstacle = spec.kwargs.get("obstacle_type", "lava")  # a description for each: the lava crossings', the walls'
    text = re.sub(rf'^Depending on the obstacle_type.*?"{obstacle}" - ', "", text, flags=re.DOTALL)
    text = re.sub(r"\[([^]]*)\](\([^)]*\))?", r"\1", text)  # a markdown link, or words in brackets
    text = re.sub(r"^((This|The) environment (is |has )?|The agent has to )", "", text)
    first = re.split(r"\.(?:\s|$)|\n\n", text)[0]
    first = " ".join(re.split(r"\n(?=[A-Z])", first)[0].split())  # BabyAI's lines lack a full stop
    return textwrap.shorten(f"{first[:1].upper()}{first[1:]}.", 90, placeholder=" ...")
