"""MiniGrid's and BabyAI's missions as tokens: one vocabulary for all ids, so that an agent of one reads another's."""

from typing import Final

import numpy as np

from envs.world import Ints

PADDING, UNKNOWN = 0, 1  # the tokens of no word, and of a word outside the vocabulary
LENGTH: Final = 72  # words of the longest: two pairs of "put ... in front of you next to ... behind you" in sequence

WORDS: Final = (
    *("red", "green", "blue", "purple", "yellow", "grey"),
    *("ball", "box", "door", "key", "goal", "lava", "object", "square"),
    *("room", "rooms", "hallway", "opening", "end"),
    *("go", "get", "fetch", "pick", "put", "open", "unlock", "use", "find", "reach", "avoid", "traverse", "must"),
    *("a", "the", "you", "your", "matching"),
    *("to", "up", "in", "at", "of", "on", "from", "near", "next", "front", "behind", "left", "right"),
    *("and", "then", "after", ","),
)
"""The words of every registered mission space and of BabyAI's grammar (Chevalier-Boisvert et al. 2019); token i + 2."""

VOCABULARY: Final = len(WORDS) + 2  # number of tokens
_TOKENS: Final = {word: token for token, word in enumerate(WORDS, 2)}


def encode(text: str, length: int = LENGTH) -> Ints:
    """A mission as tokens, int64 [length], 0 after its end; a comma is a word.

    Raises:
        ValueError: a mission of more words than `length`.
    """
    words = text.lower().replace(",", " , ").split()
    if len(words) > length:
        raise ValueError(f"the mission {text!r} has {len(words)} words, {length} fit: give length={len(words)} or more")
    tokens = np.full(length, PADDING, np.int64)
    tokens[: len(words)] = [_TOKENS.get(word, UNKNOWN) for word in words]
    return tokens


def decode(tokens: Ints) -> str:
    """The text of a row of tokens [length]; "?" for an unknown word.

    Raises:
        ValueError: a number that is no token.
    """
    tokens = np.asarray(tokens)
    if tokens.size and (tokens.min() < 0 or tokens.max() >= VOCABULARY):
        raise ValueError(f"tokens between {tokens.min()} and {tokens.max()}: missions hold 0..{VOCABULARY - 1}")
    words = ("", "?", *WORDS)
    return " ".join(words[token] for token in tokens.tolist() if token != PADDING).replace(" ,", ",")
