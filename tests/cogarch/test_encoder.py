"""From what is sensed to a code: every kind of observation, and words for what is not taken."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cogarch.encoder import Encoder, Kind, mlp
from cogarch.module import Signal

NUMBER = Signal(dtype=torch.int64, values=45)
FEATURES = Signal((6,))
SYMBOLS = Signal((5, 4, 3), torch.uint8)
PIXELS = Signal((40, 36, 3), torch.uint8, unit="RGB")
SMALL_PIXELS = Signal((7, 7, 3), torch.uint8, unit="RGB")
IMAGE = Signal((8, 8, 1))
PICTURE = Signal((32, 32, 2))

KINDS: list[tuple[Signal, Kind]] = [
    (NUMBER, "mlp"), (FEATURES, "mlp"), (SYMBOLS, "mlp"), (SYMBOLS, "conv"), (PIXELS, "mlp"), (PIXELS, "conv"),
    (SMALL_PIXELS, "conv"), (IMAGE, "mlp"), (IMAGE, "conv"), (PICTURE, "conv"), (Signal((3,), torch.float64), "mlp"),
]  # fmt: skip
every_kind = pytest.mark.parametrize(("seen", "kind"), KINDS, ids=[f"{seen} {kind}" for seen, kind in KINDS])


def made(seen: Signal, kind: Kind = "mlp", size: int = 7) -> Encoder:
    torch.manual_seed(0)
    return Encoder(seen, size, kind=kind, hidden=16)


def observed(seen: Signal, *lead: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    shape = (*lead, *seen.shape)
    if seen.dtype.is_floating_point:
        return torch.randn(shape, generator=g).to(seen.dtype)
    return torch.randint(0, seen.values or 256, shape, generator=g).to(seen.dtype)


@every_kind
def test_a_code_for_each_row_whatever_comes_before(seen: Signal, kind: Kind) -> None:
    encoder, x = made(seen, kind), observed(seen, 4, 3)
    codes = encoder(x)
    assert codes.shape == (4, 3, 7) and codes.dtype == torch.float32
    for t in range(4):
        torch.testing.assert_close(encoder(x[t]), codes[t])
        torch.testing.assert_close(encoder(x[t, 1]), codes[t, 1])
    assert float((codes[0, 0] - codes[1, 1]).detach().abs().max()) > 1e-4


@every_kind
def test_every_weight_learns_and_the_observation_stays(seen: Signal, kind: Kind) -> None:
    encoder, x = made(seen, kind), observed(seen, 16)
    kept = x.clone()
    encoder(x).square().sum().backward()
    for name, weight in encoder.named_parameters():
        assert weight.grad is not None and bool((weight.grad != 0).any()), name
    assert torch.equal(x, kept)


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_views_that_differ_in_one_symbol_differ_in_code(kind: Kind) -> None:
    encoder, x = made(SYMBOLS, kind), observed(SYMBOLS, 1)
    first = encoder(x)
    codes = []
    for symbol in range(256):
        y = x.clone()
        y[0, 2, 1, 1] = symbol
        codes.append(encoder(y)[0])
        assert torch.equal(y, x) == (symbol == int(x[0, 2, 1, 1]))
    assert torch.equal(codes[int(x[0, 2, 1, 1])], first[0])
    apart = torch.cdist(torch.stack(codes), torch.stack(codes)) + torch.eye(256)
    assert float(apart.detach().min()) > 1e-5


def test_a_symbol_is_its_bits_and_a_pixel_its_share_of_255() -> None:
    view = Signal((1, 2, 1), torch.uint8)
    encoder = made(view)
    entered: list[Tensor] = []
    encoder.trunk[0].register_forward_hook(lambda _, given, __: entered.append(given[0]))
    encoder(torch.tensor([5, 128], dtype=torch.uint8).reshape(1, 1, 2, 1))
    assert entered[0].tolist() == [[1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]]
    encoder = made(Signal((1, 2, 1), torch.uint8, unit="RGB"))
    encoder.trunk[0].register_forward_hook(lambda _, given, __: entered.append(given[0]))
    encoder(torch.tensor([51, 255], dtype=torch.uint8).reshape(1, 1, 2, 1))
    assert entered[1].tolist() == [[pytest.approx(0.2), 1]]


def test_every_whole_number_has_a_code_of_its_own() -> None:
    codes = made(NUMBER)(torch.arange(45)[:, None])
    assert float((torch.cdist(codes, codes) + torch.eye(45)).detach().min()) > 1e-4


def test_convolutions_know_where_a_symbol_stands() -> None:
    """The code is of the whole view: what moves from one square to the next changes it."""
    encoder = made(SYMBOLS, "conv")
    one, other = (torch.zeros(1, 5, 4, 3, dtype=torch.uint8) for _ in range(2))
    one[0, 1, 1, 0] = other[0, 1, 2, 0] = 3
    assert float((encoder(one) - encoder(other)).detach().abs().max()) > 1e-5


def test_a_conv_reads_channels_last() -> None:
    """A row of pixels turned into a column is another view, a channel moved to another place another too."""
    encoder = made(IMAGE, "conv")
    x = observed(IMAGE, 2)
    assert not torch.allclose(encoder(x), encoder(x.transpose(1, 2)))
    wide = made(Signal((6, 9, 2)), "conv")
    assert wide.conv[0].in_channels == 2
    assert wide(observed(Signal((6, 9, 2)), 3)).shape == (3, 7)


def test_what_is_not_taken_is_told_with_what_is() -> None:
    for seen in (
        Signal(dtype=torch.int64),  # of unknown range
        Signal((2,), torch.int64, values=3),
        Signal((6,), torch.uint8),
        Signal((5, 4)),
        Signal((5, 4, 3, 2)),
        Signal((5, 4, 3), torch.int64, values=9),
        Signal(dtype=torch.bool),
    ):
        with pytest.raises(
            ValueError, match=r"takes one whole number of known range, features \[n\], and views"
        ) as told:
            Encoder(seen, 7)
        assert str(seen) in str(told.value)
    for seen in (NUMBER, FEATURES):
        with pytest.raises(ValueError, match=r"convolutions take views \[h, w, channels\].*use kind 'mlp'"):
            Encoder(seen, 7, kind="conv")


def test_a_copy_of_the_weights_is_the_same_encoder() -> None:
    """Nothing that it needs is kept elsewhere, nothing that follows from its settings is kept with the weights."""
    one, other = made(SYMBOLS), Encoder(SYMBOLS, 7, hidden=16)
    x = observed(SYMBOLS, 3)
    assert not torch.equal(one(x), other(x))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(x), other(x))
    assert {name.partition(".")[0] for name in one.state_dict()} == {"trunk"}


def test_a_perceptron_has_no_bend_at_its_end() -> None:
    layers = mlp([3, 5, 2])
    assert [type(layer).__name__ for layer in layers] == ["Linear", "ReLU", "Linear"]
    assert (layers[0].in_features, layers[0].out_features, layers[2].out_features) == (3, 5, 2)
