"""Foresight against the same found by asking every place, at the end of a walk, where each move should lead."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from buses import env, live, square_walk
from torch import Tensor

from cogarch import Bus, Module, Signal
from cogarch.executive import atlas as atlases
from cogarch.executive import foresight
from cogarch.executive.configurator import Configurator
from cogarch.hc.modern_hopfield import ModernHopfield
from cogarch.lec.one_hot import OneHot
from cogarch.mec.recurrent import Recurrent
from cogarch.mec.rotor import Rotor
from cogarch.mec.tem_t import TEMt
from cogarch.module import Messages
from cogarch.world.jepa import Jepa

EGOCENTRIC = "turn, advance"


def bus_of(motion: str, batch: int, *parts: tuple[str, Any, dict[str, Any]]) -> Bus:
    """Modules by role, class and settings, and a configurator that is told what they say."""
    told = env(motion) | {"env/reward": Signal()}
    topics, made = dict(told), dict[str, Module]()
    torch.manual_seed(0)
    for role, cls, settings in parts:
        made[role] = cls(topics, **settings)
        for step in made[role].steps():
            topics |= step.writes
    return Bus(told, made, batch=batch)


def walked(ticks: int, batch: int, motion: str = "dx, dy", width: int = 5, seed: int = 0) -> tuple[Messages, Tensor]:
    walk, places = square_walk(ticks, batch, seed, width=width, motion=motion)
    return walk | {"env/reward": torch.zeros(ticks, batch, 1)}, places


def asked(bus: Bus, sure: float) -> tuple[Tensor, Tensor, Tensor]:
    """For the known places of each row: of every move, the place whose code is most like where it should lead (-1: none
    by `sure`), how like it is `[B, S, A]`, and how like all of them are `[B, S, A, S]` (-inf: not known)."""
    atlas, part = bus.state["executive"]["atlas"], bus.parts["mec"]
    batch, n = len(atlas["here"]), atlases.used(atlas)
    actions = atlas["effect"].shape[1]
    like = torch.full((batch, n, actions, n), -torch.inf)
    with torch.no_grad():
        for row in range(batch):
            known = atlas["known"][row].nonzero()[:, 0]
            codes = atlas["code"][row, known]
            for a in range(actions):
                motion = atlas["effect"][row, a].expand(len(known), 2)
                ahead = part.ahead(codes, torch.full((len(known), 1), a), motion)  # type: ignore[operator]
                cosines = torch.cosine_similarity(ahead[:, None], codes[None], dim=-1)
                like[row, known[:, None], a, known[None]] = cosines
    best, where = like.max(-1)
    return torch.where(best >= sure, where, -1), best, like


@pytest.mark.parametrize("motion", ["dx, dy", EGOCENTRIC])
@pytest.mark.parametrize(
    ("mec", "settings"),
    [
        (Rotor, {}),
        (Rotor, {"lattice": "free"}),
        (TEMt, {"n": 40}),
    ],
    ids=lambda x: x.__name__ if isinstance(x, type) else ",".join(f"{k}={v}" for k, v in x.items()) or "-",
)
@pytest.mark.parametrize("hc", [True, False])
def test_it_is_what_every_place_would_answer(
    mec: type[Module], settings: dict[str, Any], motion: str, hc: bool
) -> None:
    batch, sure = 3, 0.9
    memory = [("lec", OneHot, {}), ("hc", ModernHopfield, {"capacity": 128, "merge": 0.99})] if hc else []
    executive = ("executive", Configurator, {"sure": sure, "places": 128})
    bus = bus_of(motion, batch, ("mec", mec, settings), *memory, executive)
    walk, _ = walked(90, batch, motion)
    for first, last in ((0, 4), (4, 30), (30, 90)):
        with torch.no_grad():
            live(bus, {topic: x[first:last] for topic, x in walk.items()})
        atlas, seen = (bus.state["executive"][name] for name in ("atlas", "foreseen"))
        expected, best, like = asked(bus, sure)
        known = atlas["known"][:, : expected.shape[1]]
        found = torch.where(known[..., None], seen["place"][:, : expected.shape[1]], -1)
        assert torch.equal(found >= 0, expected >= 0)
        # of places that are equally like it, any
        chosen = like.gather(3, found.clamp(min=0)[..., None])[..., 0]
        torch.testing.assert_close(chosen[found >= 0], best[found >= 0], rtol=0, atol=1e-5)
    assert int((found >= 0).sum()) > 60
    assert int((known.sum(-1) > 5).sum()) == batch


def test_moves_that_were_never_made_are_foreseen_where_they_lead() -> None:
    """A rotor in an open square: each foreseen place is the true neighbour."""
    hc = ("hc", ModernHopfield, {"capacity": 64, "merge": 0.99})
    bus = bus_of("dx, dy", 2, ("mec", Rotor, {}), ("lec", OneHot, {}), hc, ("executive", Configurator, {}))
    walk, places = walked(60, 2)
    with torch.no_grad():
        said = live(bus, walk)
    atlas, seen = (bus.state["executive"][name] for name in ("atlas", "foreseen"))
    ways = torch.tensor([[1, 0], [0, 1], [-1, 0], [0, -1]])
    right = 0
    for row in range(2):
        where = {int(s): tuple(places[t, row].tolist()) for t, s in enumerate(said["hc/slot"][:, row, 0])}
        for s, at in where.items():
            for a in range(4):
                to, never = int(seen["place"][row, s, a]), int(atlas["taken"][row, s, a]) == 0
                there = tuple((torch.tensor(at) + ways[a]).tolist())
                assert (to >= 0) == (there in where.values())
                if to >= 0:
                    assert where[to] == there
                    right += never
    assert right > 20


def test_a_place_that_is_no_longer_known_is_not_foreseen() -> None:
    """An action felt for the first time is imagined from all places: to none of those that were merged away."""
    part = Rotor(env())
    atlas = atlases.init(1, 6, 4, part.n_g, Signal(dtype=torch.int64, values=9), 1)
    atlas["code"][0, :2] = part.move(part.init(1), motion=torch.zeros(1, 2))[0]["mec/g"]  # alike, and nobody has moved
    atlas["known"][0, 1] = True
    news = torch.tensor([True])
    with torch.no_grad():
        seen = foresight.look(foresight.init(1, 6, 4, part.n_g), atlas, part, torch.tensor([1]), news, n=2, sure=0.9)
    assert seen["place"][0, 1].tolist() == [1] * 4


# --- latents ----------------------------------------------------------------------------------------------------------


def dreaming(size: int = 6, **settings: Any) -> tuple[Bus, Jepa]:
    bus = bus_of("dx, dy", 3, ("world", Jepa, {"size": size}), ("executive", Configurator, settings))
    world = bus.parts["world"]
    assert isinstance(world, Jepa)
    root = torch.randn(size, size, generator=torch.Generator().manual_seed(1))
    world.usual.copy_(0.01 * root @ root.T + 1e-3 * torch.eye(size))  # as a training would have left it
    return bus, world


def test_how_unlike_a_latent_is_what_was_foreseen_in_usual_errors() -> None:
    bus, world = dreaming()
    walk, _ = walked(30, 3)
    with torch.no_grad():
        said = live(bus, walk)
        z, foretold = said["world/z"], said["world/z_predicted"]
        found = world.unlike(foretold, z).diagonal(dim1=1, dim2=2)  # [T, B, B]: of each row its own
        usual = float(world.usual.diagonal().sum())  # what the squared error is on average
        torch.testing.assert_close(found, (foretold - z).square().sum(-1) / usual, rtol=1e-3, atol=1e-3)
        apart = world.unlike(foretold[5], z[7])
        one = world.unlike(foretold[5, 1:2], z[7, 2:3])
    torch.testing.assert_close(apart[1, 2], one[0, 0], rtol=1e-4, atol=1e-4)


def test_latents_are_foreseen_where_they_are_least_unlike() -> None:
    unlike = 40.0
    bus, world = dreaming(unlike=unlike, places=64)
    walk, _ = walked(60, 3)
    with torch.no_grad():
        live(bus, walk)
        atlas, seen = (bus.state["executive"][name] for name in ("atlas", "foreseen"))
        n, some = atlases.used(atlas), 0
        for row in range(3):
            known = atlas["known"][row].nonzero()[:, 0]
            z = atlas["code"][row, known]
            for a in range(4):
                ahead = world.ahead(z, torch.full((len(known), 1), a), torch.zeros(len(known), 2))
                error = ahead[:, None] - z[None]  # [from, to, d]
                apart = error.square().sum(-1) / world.usual.trace()
                least = apart.amin(-1)
                found = seen["place"][row, known, a]
                sure = (least - unlike).abs() > 0.01
                assert torch.equal((found >= 0)[sure], (least <= unlike)[sure])
                chosen = apart.gather(1, torch.searchsorted(known, found.clamp(min=0))[:, None])[:, 0]
                both = (found >= 0) & sure
                torch.testing.assert_close(chosen[both], least[both], rtol=1e-3, atol=1e-3)
                some += int(both.sum())
        assert 20 < some < 3 * 4 * n, "some are foreseen, and some are not"


# --- who can be asked -------------------------------------------------------------------------------------------------


def test_only_what_can_be_moved_from_any_code_is_asked() -> None:
    """An LSTM's state holds more than its code: nothing is foreseen, and life goes on."""
    bus = bus_of("dx, dy", 2, ("mec", Recurrent, {}), ("executive", Configurator, {"places": 99}))
    walk, _ = walked(20, 2)
    with torch.no_grad():
        live(bus, walk)
    assert bool((bus.state["executive"]["foreseen"]["place"] == -1).all())
    assert int(bus.state["executive"]["atlas"]["known"].sum()) > 2


def test_who_does_not_infer_foresees_nothing() -> None:
    bus = bus_of("dx, dy", 2, ("mec", Rotor, {}), ("executive", Configurator, {"infer": False}))
    walk, _ = walked(20, 2)
    with torch.no_grad():
        live(bus, walk)
    foreseen = bus.state["executive"]["foreseen"]
    assert bool((foreseen["place"] == -1).all()) and foreseen["codes"].numel() == 0
