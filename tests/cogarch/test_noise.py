"""Noise against an independent SplitMix64, and the statistics that modules rely on."""

from __future__ import annotations

import itertools
import zlib
from statistics import NormalDist

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from cogarch import Noise
from cogarch.noise import _mix, draw, key

GOLDEN, MASK = 0x9E3779B97F4A7C15, (1 << 64) - 1
UNIFORM, NORMAL = Noise((1,), "uniform"), Noise((1,), "normal")
ROSETTA = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
"""The first outputs of SplitMix64 seeded with 1234567, as published (rosettacode.org, Pseudo-random numbers)."""


class SplitMix64:
    """The generator as its authors state it: a counter that grows by the golden ratio, and a finaliser."""

    def __init__(self, seed: int) -> None:
        self.counter = seed & MASK

    def next(self) -> int:
        self.counter = (self.counter + GOLDEN) & MASK
        z = self.counter
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = (z ^ (z >> shift)) * factor & MASK
        return z ^ (z >> 31)


def finalise(z: int) -> int:
    return SplitMix64(z - GOLDEN).next()


def unfinalise(z: int) -> int:
    """The number whose finaliser is `z`: each of its parts can be undone."""

    def unshift(z: int, by: int) -> int:
        x = z
        for _ in range(64 // by + 1):
            x = z ^ (x >> by)
        return x

    for shift, factor in ((31, 0x94D049BB133111EB), (27, 0xBF58476D1CE4E5B9)):
        z = unshift(z, shift) * pow(factor, -1, 1 << 64) & MASK
    return unshift(z, 30)


def signed(z: int) -> int:
    return z - (1 << 64) if z >> 63 else z


def expected(k: int, row: int, episode: int, tick: int, n: int) -> list[float]:
    """Uniform numbers by Python's own integers."""
    h = finalise(row * GOLDEN + k & MASK)
    h = finalise(h + episode * GOLDEN & MASK)
    generator = SplitMix64(finalise(h + tick * GOLDEN & MASK))
    return [((generator.next() >> 40) + 0.5) / 2**24 for _ in range(n)]


def one(spec: Noise, k: int, row: int = 0, episode: int = 0, tick: int = 0) -> Tensor:
    return draw(spec, k, torch.tensor([row]), torch.tensor([episode]), torch.tensor([tick]))[0]


def test_the_reference_is_the_published_generator() -> None:
    generator = SplitMix64(1234567)
    assert [generator.next() for _ in ROSETTA] == ROSETTA
    counters = torch.tensor([signed(1234567 + i * GOLDEN & MASK) for i in range(1, 6)])
    assert [x & MASK for x in _mix(counters).tolist()] == ROSETTA


def test_keys_by_hand() -> None:
    for seed, name, stream in itertools.product((0, 7, 2**40), ("hc.recall.noise", "mec.move.u"), (0, 3)):
        h = 0
        for word in (seed, zlib.crc32(name.encode()), stream):
            h = finalise(h + GOLDEN + word & MASK)
        assert key(seed, name, stream) == signed(h)


@given(st.integers(0, 2**31), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**9), st.integers(1, 5))
def test_draws_are_those_of_the_reference(seed: int, row: int, episode: int, tick: int, n: int) -> None:
    k = key(seed, "mec.move.u", 0)
    want = expected(k, row, episode, tick, n)
    np.testing.assert_allclose(one(Noise((n,), "uniform"), k, row, episode, tick).numpy(), want, rtol=2e-7)
    normal = [NormalDist().inv_cdf(u) for u in want]
    np.testing.assert_allclose(one(Noise((n,)), k, row, episode, tick).numpy(), normal, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("last", [0, MASK])
def test_the_ends_of_the_range_stay_inside_it(last: int) -> None:
    """A key made backwards, so that the very first number drawn has all bits clear, or all set."""
    h = unfinalise(last) - GOLDEN & MASK
    for _ in range(3):  # tick, episode and row are 0
        h = unfinalise(h)
    u = one(UNIFORM, signed(h))
    assert 0 < u.item() < 1
    assert all(int((u * n).item()) < n for n in (1, 2, 3, 4, 5, 7, 9, 45, 1000, 2**20 + 1))
    z = one(NORMAL, signed(h))
    assert 5 < abs(z.item()) < 6
    assert (z.item() > 0) == (last == MASK)


def test_order_and_company_do_not_matter() -> None:
    k, rows = key(1, "a.b.c", 0), torch.arange(3)
    episode, born = torch.tensor([0, 4, 2]), torch.tensor([0, -7, 5])
    spec = Noise((2, 3))
    together = draw(spec, k, rows, episode, torch.arange(20)[:, None] - born)
    assert together.shape == (20, 3, 2, 3)
    assert together.dtype == torch.float32
    for t in reversed(range(20)):
        for row in (2, 0, 1):
            assert torch.equal(together[t, row], one(spec, k, row, int(episode[row]), t - int(born[row])))


def sample(spec: Noise, seed: int = 0, name: str = "m.s.u", stream: int = 0, episode: int = 0) -> Tensor:
    """`[1000 ticks, 100 rows]`."""
    ticks = torch.arange(1000)[:, None]
    return draw(spec, key(seed, name, stream), torch.arange(100), torch.tensor(episode), ticks)[..., 0].double()


def test_distributions() -> None:
    assert stats.kstest(sample(UNIFORM).flatten(), "uniform").pvalue > 0.01
    assert stats.kstest(sample(NORMAL).flatten(), "norm").pvalue > 0.01
    z = sample(NORMAL)
    assert abs(z.mean()) < 4 / 1e5**0.5
    assert abs(z.var() - 1) < 4 * (2 / 1e5) ** 0.5


def test_independent_in_every_part_of_the_key() -> None:
    """No correlation beyond chance (4 standard errors) where any one part of the key differs."""
    base = sample(NORMAL)
    pairs = {
        "row": (base[:, :-1], base[:, 1:]),
        "tick": (base[:-1], base[1:]),
        "row against tick": (base[:100], base[:100].T),
        "episode": (base, sample(NORMAL, episode=1)),
        "episode against tick": (base[1:], sample(NORMAL, episode=1)[:-1]),
        "stream": (base, sample(NORMAL, stream=1)),
        "seed": (base, sample(NORMAL, seed=1)),
        "name": (base, sample(NORMAL, name="m.s.v")),
    }
    two = draw(Noise((2,)), key(0, "m.s.u", 0), torch.arange(100), torch.tensor(0), torch.arange(1000)[:, None])
    pairs["element"] = (two[..., 0].double(), two[..., 1].double())
    for part, (a, b) in pairs.items():
        a, b = a.flatten(), b.flatten()
        assert not torch.equal(a, b)
        for p, q in ((a, b), (a.abs(), b.abs())):  # also in size
            r = float(np.corrcoef(p, q)[0, 1])
            assert abs(r) < 4 / len(a) ** 0.5, (part, r)


def test_bits_of_neighbours_are_balanced() -> None:
    """Neighbouring keys give numbers whose bits differ in half of the places (avalanche).

    The last of the 24 is left out: above one half, rounding to float32 sets it to 0.
    """
    u = (sample(UNIFORM) * 2**24).long()
    differing = torch.stack([((u[1:] ^ u[:-1]) >> bit & 1).double().mean() for bit in range(1, 24)])
    assert float((differing - 0.5).abs().max()) < 4 * 0.5 / 99_900**0.5


def test_a_kind_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match=r"noise of kind 'gauss': it is 'normal' or 'uniform'"):
        Noise((1,), "gauss")  # type: ignore[arg-type]
