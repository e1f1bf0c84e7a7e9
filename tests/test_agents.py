from pathlib import Path

import pytest

import agents
import envs
from cogarch import Agent, ConfigError
from cogarch.files import FileError
from cogarch.run import contracts


def test_the_catalogue_is_the_files_of_the_folder() -> None:
    files = sorted(path.stem for path in Path(agents.__file__).parent.glob("*.toml"))
    assert list(agents.catalogue()) == files
    assert {"explorer", "learner"} <= set(files)
    for about in agents.catalogue().values():
        assert about.endswith(".") and "\n" not in about and len(about) < 120


@pytest.mark.parametrize("name", sorted(agents.catalogue()))
@pytest.mark.parametrize("world", ["cogarch/Square-v0", "MiniGrid-FourRooms-v0"])
def test_every_agent_is_wired_to_every_kind_of_world(name: str, world: str) -> None:
    agent = agents.load(name)
    assert agent.name == name
    for learning in (False, True):
        bus = agent.build(contracts(envs.make(world, 1)), batch=2, learning=learning)
        assert {"mec/g", "hc/p", "lec/x_predicted", *agent.training.losses} <= set(bus.plan.topics)
        assert ("executive/action" in bus.plan.topics) is not learning  # while learning a policy walks


def test_an_agent_of_ones_own_from_a_file_beside_ours(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('about = "mine"\n[modules.lec]\nuse = "one_hot"\n[modules.hc]\nuse = "modern_hopfield"\n')
    mine = agents.load(file)
    assert (mine.name, mine.about, mine.modules["hc"]) == ("mine", "mine", {"use": "modern_hopfield"})
    assert agents.load(str(file)) == mine


def test_what_is_no_agent_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no agent is called 'lerner'; did you mean 'learner'\?"):
        agents.load("lerner")
    with pytest.raises(ConfigError, match=r"there is no file .*nowhere\.toml; an agent is a name \(explorer, "):
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
