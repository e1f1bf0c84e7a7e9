"""The fly's sparse code: its cells by hand, and how well it keeps who is like whom."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cogarch import Bus, Signal
from cogarch.learning.zero_shot import retrieved
from cogarch.lec.fly_hash import FlyHash


def made(n: int, **settings: float) -> FlyHash:
    torch.manual_seed(0)
    return FlyHash({"env/observation": Signal((n,))}, **settings)  # type: ignore[arg-type]


@given(st.integers(0, 1000))
def test_the_cells_are_those_with_the_largest_sums_of_their_inputs(seed: int) -> None:
    lec = made(30, cells=40, active=0.1, sampled=0.2)
    x = np.random.default_rng(seed).normal(size=30).astype(np.float32)
    code = lec.encode(torch.from_numpy(x)[None])["lec/x"][0].numpy()
    sums = [sum(float(x[i]) - float(x.mean()) for i in wires) for wires in lec.wires.tolist()]
    assert set(np.flatnonzero(code)) == set(np.argsort(sums)[-4:])
    assert np.allclose(code[code > 0], 0.5)  # of unit length
    assert all(len(set(wires)) == 6 for wires in lec.wires.tolist())
    # how bright it is does not matter
    assert np.array_equal(code, lec.encode(torch.from_numpy(x)[None] + 3.0)["lec/x"][0].numpy())


def precision(likeness: np.ndarray, truth: np.ndarray, n: int = 10) -> float:
    """The share of the n truly nearest among the n that the codes say are nearest."""
    found, true = (np.argsort(-x, axis=1, kind="stable")[:, :n] for x in (likeness, truth))
    return float(np.mean([len(set(a) & set(b)) / n for a, b in zip(found, true, strict=True)]))


def test_neighbours_are_found_again_better_than_by_dense_signs_of_as_many_numbers() -> None:
    """Dasgupta et al. (2017): the same number of active cells as of signs of dense random projections."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 50)).astype(np.float32) * np.linspace(3, 0.1, 50, dtype=np.float32)
    centred = x - x.mean(1, keepdims=True)
    truth = -((centred[:, None] - centred[None]) ** 2).sum(-1) - 1e9 * np.eye(500)
    code = made(50, cells=1000, active=0.016).encode(torch.from_numpy(x))["lec/x"].numpy()
    signs = np.sign(centred @ rng.normal(size=(50, 16)))
    fly, dense = (precision(c @ c.T - 1e9 * np.eye(500), truth) for c in (code, signs))
    assert fly > 1.4 * dense and dense > 3 * 10 / 499  # chance


def test_views_are_coded_and_what_is_recalled_is_compared() -> None:
    topics = {"env/observation": Signal((3, 3, 2), torch.uint8), "hc/recalled_x": Signal((60,))}
    torch.manual_seed(0)
    bus = Bus(topics, {"lec": FlyHash(topics, cells=60)}, batch=2)
    view = torch.randint(0, 5, (2, 3, 3, 2), dtype=torch.uint8)
    code = bus.tick({"env/observation": view, "hc/recalled_x": torch.zeros(2, 60)})["lec/x"]
    said = bus.tick({"env/observation": view, "hc/recalled_x": 7 * code})
    assert torch.allclose(said["lec/x_predicted"], code) and float(said["loss/prediction"].abs().max()) < 1e-6
    nothing = bus.tick({"env/observation": view, "hc/recalled_x": torch.zeros(2, 60)})
    assert torch.equal(nothing["loss/prediction"], torch.ones(2))
    assert bus.plan.topics["lec/x"].unit == "code"


def test_a_prediction_is_right_where_no_other_view_of_the_walk_is_more_like_it() -> None:
    views = torch.nn.functional.normalize(torch.tensor([[1.0, 0.1, 0.0], [0.0, 1.0, 0.2], [0.3, 0.0, 1.0]]), dim=-1)
    seen = np.array([[0], [1], [2], [0], [1]])
    x = views[torch.from_numpy(seen)]
    predicted = x.clone()
    predicted[1, 0] = 0.6 * views[0] + 0.4 * views[1]  # more like another view
    predicted[2, 0] = 0.4 * views[0] + 0.6 * views[2]
    predicted[4] = 0.0  # nothing was recalled
    hit = retrieved({"lec/x": x, "lec/x_predicted": predicted}, seen)
    assert hit[:, 0].tolist() == [True, False, True, True, False]


def test_shares_are_checked() -> None:
    from cogarch.registry import ConfigError, make

    with pytest.raises(ConfigError, match="setting 'active'"):
        make("lec", "fly_hash", {"env/observation": Signal((5,))}, {"active": 0.0})
