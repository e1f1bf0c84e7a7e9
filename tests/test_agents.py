import re
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import agents
import envs
from cogarch import Agent, ConfigError
from cogarch.files import FileError
from cogarch.folder import RunFolder
from cogarch.learning.zero_shot import accuracy, judge
from cogarch.run import contracts, run

QUIET = Console(quiet=True)


def test_the_catalogue_is_the_files_of_the_folder() -> None:
    files = sorted(path.stem for path in Path(agents.__file__).parent.glob("*.toml"))
    assert list(agents.catalogue()) == files
    assert {"explorer", "learner"} <= set(files)
    for about in agents.catalogue().values():
        assert about.endswith(".") and "\n" not in about and len(about) < 120


WORLDS: dict[str, tuple[str, dict[str, object]]] = {
    **{env_id: (env_id, {}) for env_id in envs.WORLDS},
    "egocentric square": ("cogarch/Square-v0", {"body": "egocentric"}),
    "egocentric view": ("cogarch/Rooms-v0", {"body": "egocentric", "view": 5}),
    "allocentric view of hexagons": ("cogarch/Hex-v0", {"view": 3}),
    "smooth walk": ("cogarch/Arena-v0", {"trajectory": "smooth"}),
    "sensory field": ("cogarch/Arena-v0", {"observation": "field"}),
    "MiniGrid": ("MiniGrid-FourRooms-v0", {}),
    "MiniGrid, whole grid": ("MiniGrid-DoorKey-5x5-v0", {"observation": "full", "actions": "all"}),
    "BabyAI, with missions": ("BabyAI-GoToLocal-v0", {}),
}
BODILESS = [f"cogarch/{name}-v0" for name in ("Graph", "Cayley", "FamilyTree", "Line", "SocialHierarchy")]
NOT_ALLOWED = {
    (agent, world): "mec.motion=learned" for agent in ("explorer", "corrected", "navigator") for world in BODILESS
}
SYMBOLIC = [name for name in agents.catalogue() if "lec" in agents.load(name).modules]
NOT_ALLOWED |= {(agent, "sensory field"): "lec/(one|two)_hot encodes" for agent in SYMBOLIC}
VIEWS = ("egocentric view", "allocentric view of hexagons", "MiniGrid", "MiniGrid, whole grid", "BabyAI, with missions")
NOT_ALLOWED |= {("tem", world): "use lec/one_hot" for world in VIEWS}
NOT_ALLOWED |= {("viewer", world): r"lec/jepa encodes views and pixels" for world in WORLDS if world not in VIEWS}
MINIGRID = [world for world in WORLDS if re.match("MiniGrid|BabyAI", world)]
NOT_ALLOWED |= {("scout", world): "surveyor reads views ahead" for world in WORLDS if world not in MINIGRID}
NOT_ALLOWED["tem", "cogarch/Loop-v0"] = r"give lec\.units = 11"  # 45 objects, and the one that tells of reward
"""Pairs that the contracts rule out, and what the error then says."""


@pytest.mark.parametrize("name", sorted(agents.catalogue()))
@pytest.mark.parametrize("world", WORLDS)
def test_every_agent_runs_in_every_world_that_its_contract_allows(name: str, world: str, tmp_path: Path) -> None:
    agent, (env_id, options) = agents.load(name), WORLDS[world]

    def live() -> RunFolder:
        return run(agent, env_id, steps=12, batch=2, options=options, out=tmp_path / "life", console=QUIET)

    if (name, world) in NOT_ALLOWED:
        with pytest.raises(ValueError, match=NOT_ALLOWED[name, world]):
            live()
        return
    folder = live()
    assert folder.config["status"] == "done"
    bus = agent.build(contracts(envs.make(env_id, 1, **options)), batch=2, learning=True)
    said = {"lec": "lec/x_predicted", "mec": "mec/g", "hc": "hc/p", "world": "world/surprise"}
    assert {said[role] for role in bus.parts} <= set(bus.plan.topics)
    assert set(agent.training.losses) <= bus.plan.topics.keys() | bus.objectives.keys()
    assert "executive/action" not in bus.plan.topics  # while learning a policy walks


def test_an_agent_of_ones_own_from_a_file_beside_ours(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('about = "mine"\n[modules.lec]\nuse = "one_hot"\n[modules.hc]\nuse = "modern_hopfield"\n')
    mine = agents.load(file)
    assert (mine.name, mine.about, mine.modules["hc"]) == ("mine", "mine", {"use": "modern_hopfield"})
    assert agents.load(str(file)) == mine


def test_what_is_no_agent_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no agent is called 'lerner'; did you mean 'learner'\?"):
        agents.load("lerner")
    with pytest.raises(ConfigError, match=r"there is no file .*nowhere\.toml; an agent is a name \(corrected, "):
        agents.load(tmp_path / "nowhere.toml")
    with pytest.raises(FileError, match="is no run: it has no run"):
        agents.load(tmp_path)


def test_the_learner_differs_from_the_explorer_in_what_it_is_told() -> None:
    """They are compared with each other: all else must be equal."""
    explorer, learner = agents.load("explorer"), agents.load("learner")

    def bare(agent: Agent) -> dict[str, object]:
        return {**agent.modules, "mec": {k: v for k, v in agent.modules["mec"].items() if k != "motion"}}

    assert bare(explorer) == bare(learner)
    assert (explorer.modules["mec"]["motion"], learner.modules["mec"]["motion"]) == ("given", "learned")


def test_landmarks_keep_the_map_of_a_code_that_drifts(tmp_path: Path) -> None:
    """The shipped TEM-t, its rotations disturbed so that each step turns the code a little wrong."""
    tem_t = agents.load("tem_t")
    assert tem_t.trained is not None
    with safe_open(tem_t.trained, "pt") as file:
        meta = file.metadata()
    weights = load_file(tem_t.trained)
    weights["mec.skew"] += 0.004 * torch.randn(weights["mec.skew"].shape, generator=torch.Generator().manual_seed(0))
    save_file(weights, tmp_path / "disturbed.safetensors", metadata=meta)
    corrected = tem_t.model_copy(update={"weights": tmp_path / "disturbed.safetensors"})
    late = {}
    for name, agent in {
        "corrected": corrected,
        "alone": corrected.change("mec", correct=0.0).change("hc", landmark=0.0),
    }.items():
        said = judge(agent, "cogarch/Square-v0", options={"width": 8}, walks=1, steps=1024, world_seed=10_000)
        known = said.events.moved & said.events.visited
        late[name] = accuracy(said.hit[512:], known[512:])
    assert late["corrected"] >= 0.95 and late["alone"] < 0.6
