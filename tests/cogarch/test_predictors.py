"""Predictors of what comes next: how far they look back, and that walks and steps are the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cogarch.world.predictors import Recurrent, Residual, Transformer

MOVES = 4


@pytest.mark.parametrize(("layers", "context"), [(1, 4), (2, 3), (2, 8)])
def test_the_transformer_looks_back_so_far_and_never_across_a_start(layers: int, context: int) -> None:
    torch.manual_seed(0)
    predictor = Transformer(3, MOVES, 8, context, layers)
    ticks, new = 22, 16
    z, moved = torch.randn(ticks, 1, 3, requires_grad=True), torch.randn(ticks, 1, MOVES)
    start = torch.zeros(ticks, 1, dtype=torch.bool)
    start[0] = start[new] = True
    out, _ = predictor.over(predictor.init(1), z, moved, start)
    for t in range(ticks):
        (slope,) = torch.autograd.grad(out[t].square().sum(), [z], retain_graph=True)
        seen = [s for s in range(ticks) if slope[s].any()]
        begun = new if t >= new else 0
        assert seen == list(range(t if t == begun else max(t - layers * (context - 1), begun + 1), t + 1)), t


def test_the_gated_unit_remembers_back_to_the_start() -> None:
    torch.manual_seed(0)
    predictor = Recurrent(3, MOVES, 8)
    z, moved = torch.randn(9, 1, 3, requires_grad=True), torch.randn(9, 1, MOVES)
    start = torch.zeros(9, 1, dtype=torch.bool)
    start[4] = True
    out, states = predictor.over(predictor.init(1), z, moved, start)
    (slope,) = torch.autograd.grad(out[7].square().sum(), [z])
    assert [t for t in range(9) if slope[t].any()] == [5, 6, 7]
    assert not states["h"][4].any() and states["h"].shape == (9, 1, 8)


@pytest.mark.parametrize("cls", [Residual, Recurrent, Transformer])
def test_a_state_from_over_goes_on_as_that_of_steps(cls: Any) -> None:
    torch.manual_seed(0)
    predictor = cls(3, MOVES, 8)
    z, moved = torch.randn(20, 2, 3), torch.randn(20, 2, MOVES)
    start = torch.zeros(20, 2, dtype=torch.bool)
    with torch.no_grad():
        out, states = predictor.over(predictor.init(2), z, moved, start)
        state = predictor.init(2)
        for t in range(20):
            made, state = predictor.step(state, z[t], moved[t])
            torch.testing.assert_close(made, out[t], atol=1e-5, rtol=1e-4)
            for name, x in state.items():
                torch.testing.assert_close(x, states[name][t], atol=1e-5, rtol=1e-4)
        for weight in predictor.change[-1].parameters():
            weight.zero_()
        assert torch.equal(predictor.over(predictor.init(2), z, moved, start)[0], z)  # what is told is a change
