"""I-JEPA as a sensory code: what is hidden, and what is learned of it."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sensory_codes import PIXELS, VIEW, conv, jepa, views

from cogarch import Signal
from cogarch.lec.jepa import positions
from cogarch.lec.masks import DRAWS, blocks

# --- I-JEPA: what is hidden -------------------------------------------------------------------------------------------


@given(
    st.lists(st.floats(0, 1, exclude_max=True), min_size=DRAWS, max_size=DRAWS), st.integers(1, 9), st.integers(1, 9)
)
def test_the_context_has_nothing_of_what_is_to_be_foreseen(u: list[float], height: int, width: int) -> None:
    if height * width < 2:
        return
    context, targets = blocks(u, height, width)
    hidden = {patch for block in targets for patch in block}
    assert context and targets
    assert not hidden & set(context) and len(set(context)) == len(context)
    assert hidden | set(context) <= set(range(height * width))
    assert len({len(block) for block in targets}) == 1  # nothing need be padded
    for block in targets:
        rows, columns = {p // width for p in block}, {p % width for p in block}
        assert len(block) == len(rows) * len(columns) == (max(rows) - min(rows) + 1) * (max(columns) - min(columns) + 1)


def test_blocks_are_of_the_published_sizes() -> None:
    rng = np.random.default_rng(0)
    targets, contexts, shapes = [], [], []
    for _ in range(500):
        context, found = blocks(rng.random(DRAWS).tolist(), 14, 14)  # the grid of ViT-H/14 on ImageNet
        assert len(found) == 4
        contexts.append(len(context) / 196)
        targets.append(len(found[0]) / 196)
        rows, columns = ({p // 14 for p in found[0]}, {p % 14 for p in found[0]})
        shapes.append(len(rows) / len(columns))
    assert (
        0.12 < min(targets) < 0.15 and 0.19 < max(targets) < 0.23 and np.mean(targets) == pytest.approx(0.175, abs=0.01)
    )
    assert 0.65 < min(shapes) < 0.8 and 1.35 < max(shapes) < 1.8
    assert 0.25 < np.mean(contexts) < 0.6


# --- I-JEPA: what is learned ------------------------------------------------------------------------------------------


def test_hidden_patches_are_foreseen_as_the_target_codes_the_whole_view() -> None:
    lec, seen = jepa(), views(6, 2)
    drawn = torch.rand(DRAWS, generator=torch.Generator().manual_seed(3))
    context, targets = blocks(drawn.tolist(), 5, 5)
    errors = []
    with torch.no_grad():
        for view in torch.unique(seen.flatten(0, 1), dim=0):
            bits = [[float((int(v) >> bit) & 1) for v in cell for bit in range(8)] for cell in view.reshape(25, 2)]
            cells = torch.tensor([bits])
            whole = lec.target(cells)[0]
            whole = (whole - whole.mean(-1, keepdim=True)) / (whole.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
            tokens = lec.encoder(cells[:, context], torch.tensor(context))
            for block in targets:
                made = lec.predictor(tokens, torch.tensor(context), torch.tensor([block]))[0, 0]
                far = (made - whole[block]).abs()
                errors.append(torch.where(far < 1, far.square() / 2, far - 0.5).mean())
        found = lec.masked(seen, drawn)
    assert float(found) == pytest.approx(float(sum(errors)) / len(errors), rel=1e-4)


def test_no_gradient_goes_to_the_target_and_it_follows_the_encoder() -> None:
    lec, seen = jepa(momentum=0.9), views(6, 2)
    loss = lec.masked(seen, torch.rand(DRAWS, generator=torch.Generator().manual_seed(3)))
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None and not p.requires_grad for p in lec.target.parameters())
    assert all(p.grad is not None for part in (lec.encoder, lec.predictor) for p in part.parameters())
    with torch.no_grad():
        for p in lec.encoder.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    slow, fast = copy.deepcopy(lec.target), copy.deepcopy(lec.encoder)
    for factor in (0.9, 0.5):
        lec.momentum = factor
        lec.learned({"env/observation": seen})
        for mine, before, aim in zip(lec.target.parameters(), slow.parameters(), fast.parameters(), strict=True):
            torch.testing.assert_close(mine.data, factor * before.data + (1 - factor) * aim.data)
        slow = copy.deepcopy(lec.target)


def test_the_code_is_the_mean_token_without_what_is_usual() -> None:
    lec, seen = jepa(momentum=1.0), views(30, 4, kinds=40)
    different = torch.unique(seen.flatten(0, 1), dim=0)
    with torch.no_grad():
        before = lec.encode(different)["lec/x"]
        lec.learned({"env/observation": seen})
        mean = lec.target(lec._patches(different)).mean(1).double().numpy()
        after = lec.encode(different)["lec/x"]
    away = mean - mean.mean(0)
    np.testing.assert_allclose(lec.mean, mean.mean(0), atol=1e-5)
    usual = away.T @ away / len(away)
    variances, axes = np.linalg.eigh(usual)
    white = away @ (axes / np.sqrt(variances + 0.01 * variances.mean())) @ axes.T
    np.testing.assert_allclose(after, white / np.linalg.norm(white, axis=1, keepdims=True), atol=1e-3)
    # likenesses are near 1 without it, and on both sides of 0 with it
    other = ~torch.eye(len(different), dtype=torch.bool)
    assert float((before @ before.T)[other].mean()) > 0.9 > 0.1 > abs(float((after @ after.T)[other].mean()))


def test_pixels_are_cut_in_patches_of_eight() -> None:
    lec = jepa(PIXELS)
    picture = torch.arange(32 * 32 * 3).remainder(251).to(torch.uint8).view(1, 32, 32, 3)
    cut = lec._patches(picture)
    assert lec.grid == (4, 4) and cut.shape == (1, 16, 192)
    torch.testing.assert_close(cut[0, 6], picture[0, 8:16, 16:24].flatten() / 255)
    assert float(positions(4, 4, 16)[6, 0]) == pytest.approx(math.sin(1))  # row 1
    assert float(positions(4, 4, 16)[6, 8]) == pytest.approx(math.sin(2))  # column 2


@pytest.mark.parametrize(
    ("seen", "settings", "text"),
    [
        (Signal(dtype=torch.int64, values=45), {}, r"lec/jepa encodes views and pixels \[h, w, channels\]"),
        (Signal((7,)), {}, r"lec/jepa encodes views and pixels .* use another world or another lec"),
        (Signal((1, 1, 3), torch.uint8), {}, "views of 1 x 1 cannot be cut in 2 or more patches of 1 x 1"),
        (PIXELS, {"patch": 5}, "views of 32 x 32 cannot be cut in .* patches of 5 x 5; give lec.patch a number"),
        (VIEW, {"width": 18}, "lec.width is 18; give a multiple of 4 and of the 4 heads"),
    ],
)
def test_what_jepa_does_not_take(seen: Signal, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        jepa(seen, **settings)


def test_what_conv_does_not_take() -> None:
    with pytest.raises(ValueError, match=r"lec/conv encodes views and pixels \[h, w, channels\], env/observation is"):
        conv(Signal((7,)))


def test_one_view_alone_leaves_the_code_finite() -> None:
    """As in a buffer of one transition that was a bump: codes have no variance then."""
    lec = jepa()
    view = torch.ones(2, 1, *lec.seen.shape, dtype=lec.seen.dtype)
    lec.learned({"env/observation": view})
    assert bool(lec.whitening.isfinite().all())
    assert bool(lec.code(view[0]).isfinite().all())
