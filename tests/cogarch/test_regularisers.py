"""The losses that keep codes apart, against the same worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from torch import Tensor

from cogarch.regularisers import EPSILON, covariance, mean_where, sigreg, slowness, variance


def codes(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def rotation(d: int, seed: int = 0) -> Tensor:
    turned: Tensor = torch.linalg.qr(codes(d, d, seed=seed + 100)).Q
    return turned


def flat(z: Tensor) -> list[list[float]]:
    """One row a code."""
    rows: list[list[float]] = z.reshape(-1, z.shape[-1]).double().tolist()
    return rows


# --- by hand ----------------------------------------------------------------------------------------------------------


def variance_by_hand(z: Tensor) -> float:
    rows = flat(z)
    short = []
    for latent in zip(*rows, strict=True):
        mean = sum(latent) / len(latent)
        spread = math.sqrt(sum((x - mean) ** 2 for x in latent) / (len(latent) - 1) + 0.0001)
        short.append(max(0.0, 1 - spread))
    return sum(short) / len(short)


def covariance_by_hand(z: Tensor) -> float:
    rows = flat(z)
    n, d = len(rows), len(rows[0])
    mean = [sum(row[i] for row in rows) / n for i in range(d)]
    total = 0.0
    for i in range(d):
        for j in range(d):
            if i != j:
                total += (sum((row[i] - mean[i]) * (row[j] - mean[j]) for row in rows) / (n - 1)) ** 2
    return total / (d * (d - 1))


def sigreg_by_hand(z: Tensor, directions: Tensor) -> float:
    """17 points from -3 to 3 would be 33; the half from 0 on counts twice."""
    ticks, batch, _ = z.shape
    total = 0.0
    for m in range(directions.shape[1]):
        line = directions[:, m].double().numpy()
        line = line / math.sqrt(sum(x * x for x in line))
        for t in range(ticks):
            h = [float(z[t, b].double().numpy() @ line) for b in range(batch)]
            for k in range(17):
                at = 3 * k / 16
                normal = math.exp(-at * at / 2)
                real = sum(math.cos(at * x) for x in h) / batch
                imaginary = sum(math.sin(at * x) for x in h) / batch
                width = 3 / 16 * (1 if k in (0, 16) else 2)
                total += batch * width * normal * ((real - normal) ** 2 + imaginary**2)
    return total / ticks / directions.shape[1]


@pytest.mark.parametrize("scale", [0.05, 0.8, 3.0])
def test_variance_is_how_far_spreads_fall_short_of_1(scale: float) -> None:
    z = codes(5, 7, 4, scale=scale) * torch.tensor([1.0, 0.5, 2.0, 1.1])
    assert float(variance(z)) == pytest.approx(variance_by_hand(z), rel=1e-5, abs=1e-7)


def test_variance_of_one_point_is_nearly_1_and_of_wide_codes_0() -> None:
    assert float(variance(torch.full((4, 6, 3), 2.5))) == pytest.approx(0.99)
    assert float(variance(codes(40, 40, 3, scale=2.0))) == 0


@pytest.mark.parametrize("d", [2, 5])
def test_covariance_is_the_mean_square_beside_the_diagonal(d: int) -> None:
    z = codes(6, 9, d) @ codes(d, d, seed=1) + 3
    assert float(covariance(z)) == pytest.approx(covariance_by_hand(z), rel=1e-4)


def test_latents_that_vary_apart_have_no_covariance_and_copies_have_it_all() -> None:
    signs = torch.tensor([[a, b] for a in (-1.0, 1.0) for b in (-1.0, 1.0)])[None]
    assert float(covariance(signs)) == pytest.approx(0, abs=1e-12)
    assert float(covariance(signs[..., :1].expand(1, 4, 2))) == pytest.approx((4 / 3) ** 2)
    assert float(covariance(codes(3, 4, 1))) == 0


def test_slowness_leaves_out_what_lies_between_two_episodes() -> None:
    z = codes(6, 3, 4)
    start = torch.zeros(6, 3, dtype=torch.bool)
    start[0] = True
    start[3, 1] = start[5, 1] = start[1, 2] = True
    changes = [
        float((z[t, b] - z[t - 1, b]).double().square().sum()) / 4
        for t in range(1, 6)
        for b in range(3)
        if (t, b) not in ((3, 1), (5, 1), (1, 2))
    ]
    assert len(changes) == 12
    assert float(slowness(z, start)) == pytest.approx(sum(changes) / 12, rel=1e-5)
    far = z.clone()
    far[1:, 2] += 1000  # after the start
    assert float(slowness(far, start)) == pytest.approx(sum(changes) / 12, rel=1e-3)


def test_where_nothing_counts_the_mean_is_0() -> None:
    x = torch.tensor([1.0, 2.0, 6.0])
    assert float(mean_where(x, torch.tensor([True, False, True]))) == 3.5
    assert float(mean_where(x, torch.zeros(3, dtype=torch.bool))) == 0
    assert float(slowness(codes(1, 3, 2), torch.zeros(1, 3, dtype=torch.bool))) == 0
    assert float(slowness(codes(4, 3, 2), torch.ones(4, 3, dtype=torch.bool))) == 0


# --- SIGReg -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 6, 3), (3, 5, 2), (2, 1, 4)], ids=str)
def test_sigreg_is_the_sum_over_points_lines_and_ticks(shape: tuple[int, int, int]) -> None:
    z, directions = codes(*shape, scale=1.7) + 0.3, codes(shape[-1], 8, seed=1, scale=5.0)
    assert float(sigreg(z, directions)) == pytest.approx(sigreg_by_hand(z, directions), rel=1e-5)


def test_sigreg_of_a_few_points_is_the_integral() -> None:
    """That of Epps and Pulley, cut at 3; the trapezoid rule is off by less than a hundredth."""
    points = [-0.7, 0.1, 0.4, 2.0]

    def at(t: float) -> float:
        normal = math.exp(-t * t / 2)
        real = sum(math.cos(t * x) for x in points) / 4
        imaginary = sum(math.sin(t * x) for x in points) / 4
        return normal * ((real - normal) ** 2 + imaginary**2)

    whole = quad(at, -3, 3)[0] * 4
    z = torch.tensor(points)[None, :, None]
    assert float(sigreg(z, torch.ones(1, 1))) == pytest.approx(whole, rel=0.01)


def test_sigreg_of_one_point_is_known() -> None:
    """Every code 0: B times the integral of (1 - e^(-t^2/2))^2 e^(-t^2/2), which error functions give."""

    def gauss(a: float) -> float:
        """Of e^(-a t^2/2) from -3 to 3."""
        return math.sqrt(2 * math.pi / a) * math.erf(3 * math.sqrt(a / 2))

    known = gauss(1) - 2 * gauss(2) + gauss(3)
    for batch in (1, 10):
        found = float(sigreg(torch.zeros(2, batch, 3), codes(3, 16)))
        assert found == pytest.approx(batch * known, rel=0.01)


def test_sigreg_grows_with_the_batch_for_what_is_not_normal() -> None:
    z, directions = codes(2, 12, 4, scale=0.1), codes(4, 32, seed=1)
    once, twice = float(sigreg(z, directions)), float(sigreg(torch.cat([z, z], 1), directions))
    assert twice == pytest.approx(2 * once, rel=1e-5)


def test_sigreg_tells_normal_codes_from_others() -> None:
    directions = codes(8, 128, seed=1)
    uniform = torch.rand(1, 2000, 1, generator=torch.Generator().manual_seed(2)) * math.sqrt(12) - math.sqrt(3)
    normal = float(sigreg(codes(1, 2000, 8), directions))
    assert normal < 1.5
    thin = codes(1, 2000, 8)
    thin[..., 4:] = 0
    for wrong in (codes(1, 2000, 8, scale=1e-3), thin, codes(1, 2000, 8, scale=2.0), codes(1, 2000, 8) + 0.5):
        assert float(sigreg(wrong, directions)) > 20 * normal
    # with the mean and the spread of a normal one
    line = torch.ones(1, 1)
    assert float(sigreg(uniform, line)) > 5 * float(sigreg(codes(1, 2000, 1), line))


def test_each_tick_is_to_be_normal_for_itself() -> None:
    """One tick far up and one far down: normal enough together, not apart."""
    z = torch.cat([codes(1, 200, 2) * 0.5 + 0.9, codes(1, 200, 2) * 0.5 - 0.9])
    directions = codes(2, 32, seed=1)
    together = float(sigreg(z.reshape(1, 400, 2), directions)) / 400
    assert float(sigreg(z, directions)) / 200 > 3 * together


def test_sigreg_can_be_learned_from() -> None:
    z = codes(1, 64, 3, scale=0.2)
    before = float(sigreg(z, codes(3, 32, seed=1)))
    for _ in range(60):
        z.requires_grad_()
        (slope,) = torch.autograd.grad(sigreg(z, codes(3, 32, seed=1)), [z])
        z = (z - 0.3 * slope).detach()
    assert float(sigreg(z, codes(3, 32, seed=2))) < 0.2 * before
    assert 0.7 < float(z.std()) < 1.3


# --- what changes nothing ---------------------------------------------------------------------------------------------

SEEDS = st.integers(0, 10_000)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, shift=st.floats(-5, 5), scale=st.floats(0.1, 2))
def test_a_shift_changes_neither_variance_nor_covariance(seed: int, shift: float, scale: float) -> None:
    z = codes(3, 8, 4, seed=seed, scale=scale)
    for loss in (variance, covariance):
        assert float(loss(z + shift)) == pytest.approx(float(loss(z)), rel=1e-3, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_the_order_of_rows_is_nothing(seed: int) -> None:
    z, directions = codes(3, 8, 4, seed=seed), codes(4, 16, seed=seed + 1)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(seed))
    start = codes(3, 8, seed=seed) > 1
    mixed = z[:, order]
    for one, other in (
        (variance(z), variance(mixed)),
        (covariance(z), covariance(mixed)),
        (slowness(z, start), slowness(mixed, start[:, order])),
        (sigreg(z, directions), sigreg(mixed, directions)),
    ):
        assert float(one) == pytest.approx(float(other), rel=1e-4, abs=1e-6)


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_a_rotated_normal_code_is_as_normal(seed: int) -> None:
    z, directions = codes(1, 1500, 4, seed=seed), codes(4, 64, seed=1)
    turned = z @ rotation(4, seed)
    assert abs(float(sigreg(turned, directions)) - float(sigreg(z, directions))) < 0.5
    # a line turned with the code sees the same
    assert float(sigreg(turned, rotation(4, seed).T @ directions)) == pytest.approx(
        float(sigreg(z, directions)), rel=1e-2, abs=1e-3
    )


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, length=st.floats(0.01, 100))
def test_the_length_of_a_direction_is_nothing(seed: int, length: float) -> None:
    z, directions = codes(2, 10, 3, seed=seed), codes(3, 8, seed=seed + 1)
    assert float(sigreg(z, length * directions)) == pytest.approx(float(sigreg(z, directions)), rel=1e-3)


def test_nothing_here_depends_on_chance() -> None:
    z, directions = codes(3, 8, 4), codes(4, 16)
    calls: list[Any] = [
        lambda: variance(z),
        lambda: covariance(z),
        lambda: slowness(z, z[..., 0] > 1),
        lambda: sigreg(z, directions),
    ]
    before = torch.get_rng_state()
    for call in calls:
        assert call().shape == () and torch.equal(call(), call())
    assert torch.equal(before, torch.get_rng_state())


def test_one_code_alone_has_no_spread_and_no_nan() -> None:
    z = torch.ones(1, 1, 4, requires_grad=True)
    loss = variance(z) + covariance(z)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == pytest.approx(1 - EPSILON**0.5)
    assert z.grad is not None
    assert bool(z.grad.isfinite().all())
