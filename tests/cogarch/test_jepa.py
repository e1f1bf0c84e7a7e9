"""The predictive world model, tick by tick and in thought, against the same in plain loops."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from buses import START, part
from torch import Tensor

from cogarch import Bus, Module, Noise, Signal, Step
from cogarch.module import Messages, State
from cogarch.world.jepa import Jepa
from cogarch.world.predictors import Recurrent, Residual, Transformer

FEATURES, MOVES = 6, 4
ENV = {
    "env/observation": Signal((FEATURES,)),
    "env/action": Signal(dtype=torch.int64, values=MOVES),
    "env/motion": Signal((2,), unit="dx, dy"),
    "env/start": START,
}
PREDICTORS = ("mlp", "gru", "transformer")
every_predictor = pytest.mark.parametrize("predictor", PREDICTORS)
TICKS, BATCH = 13, 4
STARTS = ((0,), (0, 5), (0, 1, 2, 9), (7,))  # of each row; the last one was under way before


def jepa(seed: int = 0, **settings: Any) -> Jepa:
    torch.manual_seed(seed)
    return Jepa(ENV, **{"size": 5, "hidden": 16, **settings})


def living(batch: int = BATCH, *others: tuple[str, Module], seed: int = 0, **settings: Any) -> Bus:
    return Bus(ENV, {"world": jepa(**settings), **dict(others)}, batch=batch, seed=seed)


def world(bus: Bus) -> Jepa:
    model = bus.part("world")
    assert isinstance(model, Jepa)
    return model


def walked(ticks: int = TICKS, batch: int = BATCH, seed: int = 0, starts: Any = STARTS) -> Messages:
    g = torch.Generator().manual_seed(seed)
    start = torch.zeros(ticks, batch, 1, dtype=torch.bool)
    for row, begun in enumerate(starts[:batch]):
        start[list(begun), row] = True
    action = torch.randint(0, MOVES, (ticks, batch, 1), generator=g)
    return {
        "env/observation": torch.randn(ticks, batch, FEATURES, generator=g),
        "env/action": torch.where(start, -1, action),
        "env/motion": torch.where(start, 0.0, torch.randn(ticks, batch, 2, generator=g)),
        "env/start": start,
    }


def ticked(bus: Bus, walk: Messages) -> Messages:
    said = []
    with torch.no_grad():
        for t in range(len(walk["env/start"])):
            bus.restart(walk["env/start"][t].flatten())
            said.append(bus.tick({topic: x[t] for topic, x in walk.items()}))
    return {topic: torch.stack([tick[topic] for tick in said]) for topic in said[0]}


def told(walk: Messages, moved_by: str = "action") -> Tensor:
    """The move as numbers: 1 at its place, all 0 at a start."""
    if moved_by == "motion":
        return walk["env/motion"]
    return (walk["env/action"] == torch.arange(MOVES)).float()


def lived(z: Tensor, moved: Tensor, start: Tensor, member: Any) -> dict[tuple[int, int], tuple[Tensor, State]]:
    """For each tick and row that follows from the one before: what one member predicts of it, and its state then."""
    found = {}
    for row in range(z.shape[1]):
        state = member.init(1)
        for t in range(1, len(z)):
            if start[t, row]:
                state = member.init(1)
                continue
            predicted, state = member.step(state, z[t - 1, row : row + 1], moved[t, row : row + 1])
            found[t, row] = predicted, state
    return found


# --- tick by tick -----------------------------------------------------------------------------------------------------


@every_predictor
@pytest.mark.parametrize("moved_by", ["action", "motion"])
def test_each_tick_is_predicted_from_the_one_before(predictor: str, moved_by: str) -> None:
    bus, walk = living(predictor=predictor, moved_by=moved_by, ensemble=2), walked(starts=(*STARTS[:3], (0, 4)))
    model = world(bus)
    usual = np.cov(np.random.default_rng(0).normal(size=(5, 20)) * [[0.1], [0.5], [1], [2], [3]])
    model.usual.copy_(torch.from_numpy(usual))
    precision = np.linalg.inv(usual + 0.001 * np.trace(usual) / 5 * np.eye(5))
    said = ticked(bus, walk)
    z = said["world/z"]
    assert torch.equal(z, model.encoder(walk["env/observation"]))
    with torch.no_grad():
        members = [lived(z, told(walk, moved_by), walk["env/start"][..., 0], member) for member in model.predictors]
    for t, row in itertools.product(range(TICKS), range(BATCH)):
        predicted, surprise = said["world/z_predicted"][t, row], float(said["world/surprise"][t, row])
        disagreement = float(said["world/disagreement"][t, row])
        if walk["env/start"][t, row]:
            assert not predicted.any() and surprise == disagreement == float(said["loss/next"][t, row]) == 0
            continue
        own = np.stack([member[t, row][0][0].numpy() for member in members])
        np.testing.assert_allclose(predicted, own.mean(0), atol=1e-5)
        error = own.mean(0) - z[t, row].numpy()
        assert float(said["loss/next"][t, row]) == pytest.approx(sum(error**2) / 5, rel=1e-3) != 0
        assert surprise == pytest.approx(error @ precision @ error / 5, rel=1e-3) != 0
        assert disagreement == pytest.approx(float(own.var(0, ddof=1).mean()), rel=1e-3) != 0


@pytest.mark.parametrize("predictor", ["gru", "transformer"])
def test_the_memory_is_what_the_predictor_holds_when_it_predicts(predictor: str) -> None:
    model, walk = jepa(predictor=predictor, ensemble=2), walked(starts=(*STARTS[:3], (0, 4)))
    said = ticked(Bus(ENV, {"world": model}, batch=BATCH), walk)
    assert said["world/memory"].shape == (TICKS, BATCH, 2 * 16)
    members = [lived(said["world/z"], told(walk), walk["env/start"][..., 0], member) for member in model.predictors]
    for t, row in members[0]:
        held = [found[t, row][1] for found in members]
        last = [state["h"] if predictor == "gru" else state["layer 1"][:, -1] for state in held]
        torch.testing.assert_close(said["world/memory"][t, row], torch.cat(last, -1)[0].detach(), rtol=1e-4, atol=1e-5)
    assert not said["world/memory"][walk["env/start"][..., 0]].any()


@every_predictor
def test_walks_played_in_two_pieces_are_the_ticks_of_one_life(predictor: str) -> None:
    """For longer than the transformer looks back, cut within an episode and at a start."""
    walk = walked(40, starts=((0,), (0, 21), (0, 1, 30), (0,)))
    for cut in (17, 21):
        bus, other = living(predictor=predictor), living(predictor=predictor)
        expected = ticked(bus, walk)
        with torch.no_grad():
            parts = [other.play({k: x[a:b] for k, x in walk.items()}) for a, b in ((0, cut), (cut, 40))]
        for topic in ("world/z_predicted", "world/surprise"):
            torch.testing.assert_close(torch.cat([p[topic] for p in parts]), expected[topic], atol=1e-5, rtol=1e-4)


def test_members_that_are_the_same_agree() -> None:
    bus = living(ensemble=3)
    model, walk = world(bus), walked()
    assert float(ticked(bus, walk)["world/disagreement"].max()) > 1e-4
    for member in model.predictors:
        member.load_state_dict(model.predictors[0].state_dict())
    assert float(ticked(Bus(ENV, {"world": model}, batch=BATCH), walk)["world/disagreement"].max()) < 1e-12


@every_predictor
@pytest.mark.parametrize("target", ["own", "momentum"])
def test_who_reads_the_surprise_changes_nothing_of_it(predictor: str, target: str) -> None:
    whim = part(
        Step(
            "feel",
            {"surprise": "world/surprise", "z": "world/z_predicted"},
            {"executive/mood": Signal()},
            {"u": Noise()},
            state=True,
        ),
        init=lambda batch: {"mood": torch.zeros(batch, 1)},
        feel=lambda state, surprise, z, u: (
            {"executive/mood": state["mood"] * u + surprise * z[:, :1]},
            {"mood": state["mood"] + surprise},
        ),
    )
    walk, settings = walked(), {"predictor": predictor, "target": target}
    for live in (ticked, Bus.play):
        alone = live(living(**settings), walk)
        among = live(living(BATCH, ("executive", whim), **settings), walk)
        assert float(among["executive/mood"].detach().abs().max()) > 0
        own = [topic for topic in alone if topic.startswith(("world/", "loss/"))]
        assert len(own) == 4 + (target == "momentum") + (predictor != "mlp")
        assert all(torch.equal(alone[topic], among[topic]) for topic in own)


# --- losses of whole walks --------------------------------------------------------------------------------------------


def rollout_by_hand(model: Jepa, z: Tensor, walk: Messages, aim: Tensor) -> float:
    start, moved = walk["env/start"][..., 0], told(walk, model.moved_by)
    errors: list[list[float]] = [[] for _ in range(model.horizon)]
    for member in model.predictors:
        assert isinstance(member, Residual | Recurrent | Transformer)
        for (t, row), (predicted, state) in lived(z, moved, start, member).items():
            for ahead in range(model.horizon):
                if t + ahead == len(z) or (ahead and start[t + ahead, row]):
                    break
                if ahead:
                    predicted, state = member.step(state, predicted, moved[t + ahead, row : row + 1])
                errors[ahead].append(float((predicted[0] - aim[t + ahead, row]).square().mean()))
    return sum(sum(e) / len(e) if e else 0.0 for e in errors) / len(errors)


@every_predictor
@pytest.mark.parametrize("horizon", [1, 4])
@pytest.mark.parametrize("settings", [{"ensemble": 2}, {"moved_by": "motion"}], ids=str)
def test_rollout_is_the_error_of_every_prediction_that_fits(
    predictor: str, horizon: int, settings: dict[str, Any]
) -> None:
    model, walk = jepa(predictor=predictor, horizon=horizon, **settings), walked()
    g = torch.Generator().manual_seed(5)
    z, aim = torch.randn(TICKS, BATCH, 5, generator=g), torch.randn(TICKS, BATCH, 5, generator=g)
    with torch.no_grad():
        found = model.rollout(z, walk[f"env/{model.moved_by}"], walk["env/start"], aim)
        assert found.shape == ()
        assert float(found) == pytest.approx(rollout_by_hand(model, z, walk, aim), rel=1e-4)


@every_predictor
def test_what_came_before_the_walk_is_not_made_up(predictor: str) -> None:
    """An agent under way: its first tick is one that nothing is known before, as a start is."""
    model, walk = jepa(predictor=predictor), walked(starts=((),) * BATCH)
    z = torch.randn(TICKS, BATCH, 5, generator=torch.Generator().manual_seed(5))
    begun = torch.zeros_like(walk["env/start"])
    begun[0] = True
    with torch.no_grad():
        found = [model.rollout(z, walk["env/action"], start, z) for start in (walk["env/start"], begun)]
    assert torch.equal(*found)


def test_a_walk_too_short_for_the_horizon_is_rolled_out_as_far_as_it_goes() -> None:
    model, walk = jepa(horizon=4), walked(3, starts=((0,),) * BATCH)
    z = torch.randn(3, BATCH, 5)
    with torch.no_grad():
        two = model.rollout(z, walk["env/action"], walk["env/start"], z)
        model.horizon = 2
        assert torch.equal(two, model.rollout(z, walk["env/action"], walk["env/start"], z))
        assert float(model.rollout(z[:1], walk["env/action"][:1], walk["env/start"][:1], z[:1])) == 0


@pytest.mark.parametrize("moved_by", ["action", "motion"])
def test_inverse_is_how_badly_the_move_is_told(moved_by: str) -> None:
    model, walk = jepa(moved_by=moved_by), walked()
    z = torch.randn(TICKS, BATCH, 5, generator=torch.Generator().manual_seed(5))
    errors = []
    with torch.no_grad():
        for t, row in itertools.product(range(1, TICKS), range(BATCH)):
            if walk["env/start"][t, row]:
                continue
            line, curve = model.mover.line, model.mover.perceptron
            out = (line(z[t, row] - z[t - 1, row]) + curve(torch.cat([z[t - 1, row], z[t, row]]))).tolist()
            if moved_by == "action":
                total = sum(math.exp(x) for x in out)
                errors.append(-math.log(math.exp(out[int(walk["env/action"][t, row])]) / total))
            else:
                errors.append(
                    sum((a - b) ** 2 for a, b in zip(out, walk["env/motion"][t, row].tolist(), strict=True)) / 2
                )
        found = float(model.inverse(z, walk[f"env/{moved_by}"], walk["env/start"]))
    assert len(errors) == (TICKS - 1) * BATCH - 5
    assert found == pytest.approx(sum(errors) / len(errors), rel=1e-5)


# --- imagining --------------------------------------------------------------------------------------------------------


@every_predictor
@pytest.mark.parametrize("ensemble", [1, 2])
def test_imagining_is_living_where_each_latent_is_the_one_predicted(predictor: str, ensemble: int) -> None:
    bus, walk = living(predictor=predictor, ensemble=ensemble), walked(16, starts=((0,), (0, 4), (0, 9), (0,)))
    said = ticked(bus, {topic: x[:10] for topic, x in walk.items()})
    kept = {name: x.clone() for name, x in bus.dump().items()}
    with torch.no_grad():
        imagined = world(bus).imagine(bus.state["world"], said["world/z"][-1], walk["env/action"][10:])
        now = bus.dump()
        assert now.keys() == kept.keys() and all(torch.equal(now[name], kept[name]) for name in kept)
        assert imagined.shape == (6, BATCH, 5)
        for k in range(6):
            tick = {topic: x[10 + k] for topic, x in walk.items()}
            tick["env/observation"] = torch.full((BATCH, FEATURES), 9.0)  # nothing is seen
            predicted = bus.clone().tick(tick)["world/z_predicted"]
            torch.testing.assert_close(imagined[k], predicted, atol=1e-5, rtol=1e-4)
            bus.clamp("world/z", predicted)
            bus.tick(tick)


# --- what it is not given ---------------------------------------------------------------------------------------------


def test_settings_that_do_not_fit_are_told() -> None:
    still = ENV | {"env/motion": Signal((2,), unit="none")}
    with pytest.raises(ValueError, match=r"moved_by = 'motion', but nothing is felt in this world; use 'action'"):
        Jepa(still, moved_by="motion")
    with pytest.raises(ValueError, match=r"hidden is 18: a transformer of 4 heads needs a multiple of 4"):
        jepa(hidden=18, predictor="transformer")
