"""One unit a symbol, and the loss that is its prediction's cross-entropy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from buses import env
from hypothesis import given
from hypothesis import strategies as st

from cogarch import Bus, Signal
from cogarch.lec.one_hot import OneHot

WORLD = {"env/observation": Signal(dtype=torch.int64, values=5), "hc/recalled_x": Signal((5,))}


@given(st.lists(st.integers(0, 44), min_size=1, max_size=8))
def test_encoding(symbols: list[int]) -> None:
    code = OneHot(env()).encode(torch.tensor(symbols)[:, None])["lec/x"]
    assert code.dtype == torch.float32
    assert torch.equal(code, F.one_hot(torch.tensor(symbols), 45).float())


@given(st.lists(st.floats(0, 3, width=32), min_size=5, max_size=5))
def test_the_prediction_is_a_distribution_and_the_loss_its_cross_entropy(recalled: list[float]) -> None:
    bus = Bus(WORLD, {"lec": OneHot(WORLD)})
    out = bus.tick({"env/observation": torch.tensor([[3]]), "hc/recalled_x": torch.tensor([recalled])})
    p = (np.array(recalled) + 1e-6) / (np.sum(recalled) + 5e-6)
    np.testing.assert_allclose(out["lec/x_predicted"][0], p, rtol=1e-4)
    assert float(out["lec/x_predicted"].sum()) == pytest.approx(1)
    assert out["loss/prediction"].shape == (1,)
    assert float(out["loss/prediction"]) == pytest.approx(-np.log(p[3]), rel=1e-4, abs=1e-6)


def test_where_nothing_is_recalled_every_symbol_is_as_likely() -> None:
    out = OneHot(WORLD).predict(torch.tensor([[0.0] * 5, [-1.0, -2.0, 0.0, 0.0, 0.0]]))
    torch.testing.assert_close(out["lec/x_predicted"], torch.full((2, 5), 0.2))


def test_gradients_reach_what_was_recalled() -> None:
    recalled = torch.tensor([[0.4, 0.3, 0.2, 0.05, 0.05]], requires_grad=True)
    module = OneHot(WORLD)
    x = module.encode(torch.tensor([[1]]))["lec/x"]
    module.compare(x, module.predict(recalled)["lec/x_predicted"])["loss/prediction"].sum().backward()
    assert recalled.grad is not None
    want = np.ones(5)  # d/dr of log(sum r) - log r_1
    want[1] -= 1 / 0.3
    np.testing.assert_allclose(recalled.grad[0], want, rtol=1e-3)


@pytest.mark.parametrize(
    "seen",
    [Signal((2,)), Signal((3,), dtype=torch.int64, values=4), Signal(dtype=torch.int64), Signal((84, 84))],
    ids=str,
)
def test_observations_that_have_no_one_hot_code(seen: Signal) -> None:
    with pytest.raises(ValueError, match="lec/one_hot encodes one whole number of known range") as error:
        OneHot({"env/observation": seen})
    assert str(seen) in str(error.value)
    assert "use another world or another lec" in str(error.value)


def test_a_symbol_out_of_range_is_told_with_its_step() -> None:
    bus = Bus(WORLD, {"lec": OneHot(WORLD)})
    with pytest.raises(RuntimeError) as error:
        bus.tick({"env/observation": torch.tensor([[9]]), "hc/recalled_x": torch.zeros(1, 5)})
    assert error.value.__notes__[0].startswith("cogarch: at tick 0, in lec.encode")
