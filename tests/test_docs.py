"""The page of worlds shows what there is: each world with its picture and settings, code and commands that run."""

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import pytest
from matplotlib.image import imread

import envs
from cogarch.bench import BENCHES
from envs import gallery
from envs.minigrid import catalogue
from envs.minigrid.views import OBSERVATIONS
from envs.policies import POLICIES
from envs.spatial.lattice import DEFAULTS, LatticeSettings

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "worlds.md").read_text()
ROWS = {
    name: (picture, settings.split())
    for picture, name, settings in re.findall(r"^\| !\[\]\((.+?)\) \| `(.+?)` \|.*\|(.*?)\|$", PAGE, re.MULTILINE)
}


def test_every_world_has_a_row_and_a_picture() -> None:
    assert list(ROWS) == list(envs.WORLDS)
    for name, (picture, _) in ROWS.items():
        assert picture == f"figures/worlds/{name.removeprefix('cogarch/')}.png"
    for picture in re.findall(r"!\[.*?\]\((.+?)\)", PAGE):
        assert 1_000 < (DOCS / picture).stat().st_size < 500_000


@pytest.mark.parametrize("env_id", envs.WORLDS)
def test_the_settings_shown_are_those_that_there_are(env_id: str) -> None:
    module, _, name = envs.WORLDS[env_id].partition(":")
    parameters = inspect.signature(getattr(import_module(module), name)).parameters.values()
    own = {p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    shown = {word.strip("`") for word in ROWS[env_id][1]}
    assert shown <= own
    assert own - shown <= {"objects", "motion_noise", "render_mode", "start"}  # every world's


def test_the_settings_of_every_lattice_are_shown_with_their_defaults() -> None:
    shown = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", PAGE, re.MULTILINE))
    assert shown.keys() == get_type_hints(LatticeSettings).keys() - {"endless", "render_mode"}
    for name, default in DEFAULTS.items():
        words = (
            f'`"{default}"`' if isinstance(default, str) else f"{default:g}" if type(default) is float else str(default)
        )
        assert shown.get(name, words.lower()) == words.lower()


def test_the_code_runs() -> None:
    namespace: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "worlds.md", "exec"), namespace)
    assert namespace["best"].steps >= namespace["best"].bound  # type: ignore[attr-defined]


def test_the_names_in_the_text_exist() -> None:
    assert set(re.findall(r"`(\w+)`", PAGE.split("Policies make training walks")[1].split("a `Script`")[0])) == set(
        POLICIES
    )
    kinds = PAGE.split("five kinds of observation (")[1].split(")")[0]
    assert set(re.findall(r"`(\w+)`", kinds)) == set(OBSERVATIONS)
    assert set(re.findall(r"cogarch bench ([\w-]+)", PAGE)) <= BENCHES.keys()


def test_pictures_are_drawn_as_they_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = {"cogarch/Square-v0", "cogarch/Loop-v0", "MiniGrid-Empty-5x5-v0"}
    listed = {env_id: about for env_id, about in envs.catalogue().items() if env_id in some}
    assert set(listed) == some and "MiniGrid-Empty-5x5-v0" in catalogue()
    monkeypatch.setattr(envs, "catalogue", lambda: listed)
    written = gallery.write_pictures(tmp_path)
    assert {path.name for path in written} == {"Square-v0.png", "Loop-v0.png", "cogarch.png", "MiniGrid.png"}
    drawn, shown = (imread(folder / "Square-v0.png") for folder in (tmp_path, DOCS / "figures/worlds"))
    assert drawn.shape == shown.shape and abs(drawn - shown).max() < 0.1
