"""What is read from codes: known maps are, collapsed codes and noise are not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cogarch.world import probes
from cogarch.world.probes import auroc, linear_r2, mlp_r2, r2, rank


def codes(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def rotation(d: int, seed: int = 0) -> Tensor:
    turned: Tensor = torch.linalg.qr(codes(d, d, seed=seed + 100)).Q
    return turned


def linear(n: int, d: int, seed: int = 0, noise: float = 0.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Codes, two numbers that are a linear map of them, and the same of new codes."""
    weights, x = codes(d, 2, seed=seed + 1), codes(2 * n, d, seed=seed)
    y = x @ weights + 5 + noise * codes(2 * n, 2, seed=seed + 2)
    return x[:n], y[:n], x[n:], y[n:]


def test_a_linear_map_is_read() -> None:
    assert linear_r2(*linear(300, 6)) > 0.999
    noisy = linear(300, 6, noise=float(np.sqrt(6)))  # as much noise as there is of the code
    assert 0.3 < linear_r2(*noisy) < 0.6


def test_what_is_written_too_small_is_not_read() -> None:
    """A collapsed code says the same in a millionth part; without a ridge that were as good."""
    x, y, x_new, y_new = linear(300, 6)
    assert abs(linear_r2(x * 1e-6, y, x_new * 1e-6, y_new)) < 0.05
    assert linear_r2(x * 0.5, y, x_new * 0.5, y_new) > 0.99


def test_what_is_not_there_is_not_read() -> None:
    x, _, x_new, _ = linear(300, 6)
    assert linear_r2(x, codes(300, 2, seed=9), x_new, codes(300, 2, seed=10)) < 0.05


def test_the_dual_form_reads_as_the_primal_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes of 30 numbers: from all of fewer samples, and from a part of more."""
    few, many = linear(12, 30, noise=0.3), linear(40, 30, noise=0.3)
    primal = linear_r2(*few)
    x, y, x_new, _ = (part.double().numpy() for part in many)
    chosen = [int(i * 39 / 28) for i in range(29)]
    a, b = x[chosen] - x.mean(0), y[chosen] - y.mean(0)
    weights = np.linalg.inv(a.T @ a + 29e-3 * np.eye(30)) @ a.T @ b
    part = r2(torch.from_numpy((x_new - x.mean(0)) @ weights + y.mean(0)), many[3])
    monkeypatch.setattr(probes, "SAMPLES", 29)
    assert linear_r2(*few) == pytest.approx(primal, rel=1e-6)
    assert linear_r2(*many) == pytest.approx(part, rel=1e-6)


def test_r2_is_the_mean_over_columns() -> None:
    y = codes(50, 2)
    told = y.clone()
    told[:, 1] = y[:, 1].mean()
    assert r2(y, y) == 1
    assert r2(told, y) == pytest.approx(0.5, abs=1e-6)
    assert r2(-y, y) < -1


def test_a_perceptron_reads_what_no_line_does_and_leaves_chance_alone() -> None:
    x = codes(1200, 2)
    y = x.prod(1, keepdim=True)
    before = torch.get_rng_state()
    first, again = (mlp_r2(x[:800], y[:800], x[800:], y[800:]) for _ in range(2))
    assert first > 0.9 > 0.2 > linear_r2(x[:800], y[:800], x[800:], y[800:])
    assert first == again != mlp_r2(x[:800], y[:800], x[800:], y[800:], seed=1)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "sizes", [[1.0] * 6, [1.0, 0, 0, 0, 0, 0], [5.0, 5, 5, 0, 0, 0], [4.0, 2, 1, 1, 0, 0]], ids=str
)
def test_the_rank_of_a_known_spectrum(sizes: list[float]) -> None:
    left = torch.linalg.qr(codes(40, 6)).Q
    z = left @ torch.diag(torch.tensor(sizes)) @ rotation(6)
    shares = [size / sum(sizes) for size in sizes if size]
    entropy = -sum(p * math.log(p) for p in shares)
    assert rank(z) == pytest.approx(math.exp(entropy), rel=1e-3)
    assert rank(z * 1e-5) == pytest.approx(rank(z), rel=1e-3)  # it has no scale


@settings(max_examples=30, deadline=None)
@given(
    odd=st.lists(st.integers(0, 5), min_size=1, max_size=12), usual=st.lists(st.integers(0, 5), min_size=1, max_size=12)
)
def test_auroc_counts_pairs(odd: list[int], usual: list[int]) -> None:
    won = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a in odd for b in usual)
    found = auroc(torch.tensor(odd).float()[:, None], torch.tensor(usual).float())
    assert found == pytest.approx(won / len(odd) / len(usual))
    assert auroc(torch.tensor(usual).float(), torch.tensor(odd).float()) == pytest.approx(1 - found)
