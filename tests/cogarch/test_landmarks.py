"""Recall of the structural code by the sensory: by likeness alone, and as landmarks that look the same and lie near."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from memories import filled, memory, rand, unit
from scipy import special


@torch.no_grad()
def test_recall_by_what_is_sensed_by_hand() -> None:
    hc = memory(recall_g=True, beta=2.0)
    keys, values, x = rand(4, 1, 5), rand(4, 1, 3, seed=1), rand(1, 3, seed=2)
    got = hc.recall_by_x(filled(hc, keys, values), x)[0]["hc/recalled_g"][0]
    k, v = unit(keys[:, 0].numpy()), unit(values[:, 0].numpy())
    np.testing.assert_allclose(got, special.softmax(2 * v @ unit(x[0].numpy())) @ k, atol=1e-5)
    assert hc.recall_by_x(hc.init(1), x)[0]["hc/recalled_g"].abs().sum() == 0


@torch.no_grad()
def test_landmarks_by_hand() -> None:
    """Two places look the same, 0.8 and 0.6 near; a third is nearer still, and looks otherwise."""
    hc, views = memory(landmark=20.0), torch.eye(3)
    keys = torch.tensor([[1.0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0.8, 0.6, 0, 0, 0]])[:, None]
    state = filled(hc, keys, views[[0, 0, 1]][:, None])
    here = torch.tensor([[1.6, 1.2, 0, 0, 0]])
    said, _ = hc.recall_by_x(state, 3 * views[:1], here)
    first = 1 / (1 + np.exp(20 * (0.6 - 0.8)))
    np.testing.assert_allclose(said["hc/recalled_g"][0], [first, 1 - first, 0, 0, 0], atol=1e-6)
    assert float(said["hc/recognised"]) == pytest.approx(0.8)
    for unknown in (hc.recall_by_x(state, views[2:], here)[0], hc.recall_by_x(hc.init(1), views[:1], here)[0]):
        assert float(unknown["hc/recognised"]) == -1 and not unknown["hc/recalled_g"].any()


@torch.no_grad()
def test_landmarks_are_the_same_played() -> None:
    hc, rng = memory(capacity=7, landmark=5.0), torch.Generator().manual_seed(0)
    g, x = torch.randn(12, 2, 5, generator=rng), torch.eye(3)[torch.randint(3, (12, 2), generator=rng)]
    state, played = hc.init(2), hc.attend(hc.init(2), g, g, x)[0]
    for t in range(12):
        said, _ = hc.recall_by_x(state, x[t], g[t])
        for topic in ("hc/recalled_g", "hc/recognised"):
            torch.testing.assert_close(played[topic][t], said[topic])
        state = hc.store(state, g[t], x[t])[1]
