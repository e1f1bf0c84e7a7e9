"""Missions as text and as tokens."""

import contextlib
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from minigrid.envs.babyai.core.roomgrid_level import BabyAIMissionSpace
from minigrid.envs.babyai.core.verifier import LOC_NAMES, AfterInstr, AndInstr, BeforeInstr, ObjDesc, PutNextInstr

import envs
from envs import minigrid as adapter
from envs.minigrid import missions


def bare(env_id: str) -> Any:
    return gymnasium.make(env_id, disable_env_checker=True).unwrapped


@pytest.mark.parametrize("env_id", sorted(adapter.catalogue()))
def test_every_mission_of_every_id_is_told_in_known_words(env_id: str) -> None:
    env = bare(env_id)
    space = env.observation_space["mission"]
    texts = {space.sample() for _ in range(100)}
    with contextlib.redirect_stdout(None):
        texts |= {env.reset(seed=seed)[0]["mission"] for seed in range(6)}
    varies = isinstance(space, BabyAIMissionSpace) or len(texts) > 1
    for text in texts:
        tokens = missions.encode(text)
        assert tokens.shape == (missions.LENGTH,)
        assert missions.UNKNOWN not in tokens
        assert missions.decode(tokens) == text
    world = envs.make(env_id, 1)
    _, info = world.reset(seed=5)
    assert ("mission" in info) == ("mission" in world.metadata) == varies
    assert not varies or missions.decode(info["mission"][0]) == world.missions()[0]


def test_the_longest_mission_of_the_grammar_fits_and_the_grammar_is_known() -> None:
    env = bare("BabyAI-MiniBossLevel-v0")

    class Told(ObjDesc):
        def find_matching_objs(self, env: Any, use_location: bool = True) -> Any:
            self.obj_set = [None, None]

    for place in LOC_NAMES:
        put = PutNextInstr(Told("ball", "purple", place), Told(None, "grey", place))
        for both in (BeforeInstr, AfterInstr):
            text = both(AndInstr(put, put), AndInstr(put, put)).surface(env)
            tokens = missions.encode(text)
            assert missions.UNKNOWN not in tokens
            assert missions.decode(tokens) == text
            if place == "front":
                assert (tokens != missions.PADDING).all()  # the longest fills the row


@given(st.lists(st.sampled_from(missions.WORDS[:-1]), max_size=20), st.integers(20, 30))
def test_words_come_back(words: list[str], length: int) -> None:
    tokens = missions.encode(" ".join(words), length)
    assert tokens.shape == (length,) and tokens.dtype == np.int64
    assert ((tokens > 1) & (tokens < missions.VOCABULARY))[: len(words)].all()
    assert not tokens[len(words) :].any()
    assert missions.decode(tokens) == " ".join(words)


def test_words_are_each_listed_once_and_others_are_unknown() -> None:
    assert len(set(missions.WORDS)) == len(missions.WORDS) == missions.VOCABULARY - 2
    tokens = missions.encode("Go to the unicorn, then open the door", 10)
    assert missions.decode(tokens) == "go to the ?, then open the door"
    assert tokens[3] == missions.UNKNOWN
    assert tokens[-1] == missions.PADDING
    with pytest.raises(ValueError, match=r"'go to the red door' has 5 words, 4 fit: give length=5 or more"):
        missions.encode("go to the red door", 4)
    with pytest.raises(ValueError, match=rf"tokens between 0 and 999: missions hold 0\.\.{missions.VOCABULARY - 1}"):
        missions.decode(np.array([0, 999]))


def test_tokens_follow_the_mission_of_each_row() -> None:
    world = envs.make("BabyAI-MiniBossLevel-v0", 3, layout="new")
    _, info = world.reset(seed=0)
    assert world.metadata["mission"] == (*info["mission"].shape[1:], missions.VOCABULARY)
    told = set()
    for episode in range(4):
        texts = world.missions()
        told |= set(texts)
        info = world.step(np.full(3, episode % 3))[-1]
        assert info["mission"].dtype == np.int64
        assert tuple(map(missions.decode, info["mission"])) == texts
        info["mission"][:] = 0  # a user's own copy
        _, info = world.reset(options={"reset_mask": np.array([True, False, True])})
        assert world.missions()[1] == texts[1]
        assert tuple(map(missions.decode, info["mission"])) == world.missions()
    assert len(told) == 1 + 2 * 4
