"""The learned structural codes against their formulas, and all of them through the conformance suite."""

import numpy as np
import pytest
import torch

from cogarch import Module, Signal
from cogarch.check import check_module, example_contracts
from cogarch.mec.recurrent import Recurrent
from cogarch.mec.rotor import Rotor
from cogarch.mec.tem_t import TEMt
from cogarch.module import Messages

TOPICS = example_contracts()
ACTIONS = TOPICS["env/action"].values


def walk(length: int, batch: int, seed: int = 0) -> Messages:
    g = torch.Generator().manual_seed(seed)
    action = torch.randint(ACTIONS, (length, batch, 1), generator=g)
    action[0] = -1
    bump = (torch.rand(length, batch, 1, generator=g) < 0.3) & (action >= 0)
    return {"action": action, "bump": bump}


@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (TEMt, {}),
        (TEMt, {"n": 8}),
        (Recurrent, {}),
        (Rotor, {"lattice": "free"}),
        (Rotor, {"lattice": "free", "motion": "learned"}),
    ],
)
@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("unit", ["dx, dy", "turn, advance"])
def test_conformance(cls: type[Module], settings: dict[str, object], every: int, unit: str) -> None:
    def make(topics: dict[str, Signal]) -> Module:
        module = cls(topics, **settings)
        module.every = every
        return module

    make.role = "mec"  # type: ignore[attr-defined]
    assert [v for v in check_module(make, example_contracts(unit)) if v.passed is False] == []  # type: ignore[arg-type]


def test_tem_t_is_its_formula() -> None:
    torch.manual_seed(0)
    code, path = TEMt(TOPICS, n=7), walk(20, 3)
    with torch.no_grad():
        code.bias.normal_()
        said, _ = code.walk(code.init(3), **path)
    w, b = code.transition.detach().double().numpy(), code.bias.detach().double().numpy()
    for row in range(3):
        g = np.maximum(code.start.detach().double().numpy(), 0)
        g /= np.linalg.norm(g)
        for t in range(20):
            a = int(path["action"][t, row])
            if a >= 0 and not path["bump"][t, row]:
                g = np.maximum(g @ w[a] + b[a], 0)
                g /= np.linalg.norm(g)
            assert np.allclose(said["mec/g"][t, row], g, atol=1e-5)


def test_tem_t_stays_of_unit_length_however_long_the_walk_and_wild_its_matrices() -> None:
    torch.manual_seed(0)
    code = TEMt(TOPICS, n=16)
    with torch.no_grad():
        code.transition.mul_(100.0)
        said, _ = code.walk(code.init(2), **walk(4096, 2))
    assert torch.allclose(said["mec/g"].norm(dim=-1), torch.ones(4096, 2), atol=1e-4)


def test_the_lstm_is_an_lstm_cell_driven_by_action_and_bump() -> None:
    torch.manual_seed(0)
    code, path = Recurrent(TOPICS, n=6), walk(15, 2)
    cell = torch.nn.LSTMCell(ACTIONS + 1, 6)
    cell.load_state_dict({name.removesuffix("_l0"): x for name, x in code.lstm.state_dict().items()})
    h = c = torch.zeros(2, 6)
    with torch.no_grad():
        said, state = code.walk(code.init(2), **path)
        for t in range(15):
            felt = torch.zeros(2, ACTIONS + 1)
            for row in range(2):
                if path["action"][t, row] >= 0:
                    felt[row, path["action"][t, row]] = 1
                felt[row, -1] = float(path["bump"][t, row])
            h, c = cell(felt, (h, c))
            assert torch.allclose(said["mec/g"][t], h, atol=1e-6)
    assert torch.allclose(state["cell"], c, atol=1e-6)


def test_the_lstm_has_about_as_many_parameters_as_tem_t() -> None:
    sizes = [sum(p.numel() for p in cls(TOPICS).parameters()) for cls in (Recurrent, TEMt)]
    assert 0.5 < sizes[0] / sizes[1] < 2


def test_free_waves_are_cosines_and_sines_of_the_place() -> None:
    torch.manual_seed(0)
    code = Rotor(TOPICS, lattice="free", modules=2, cells=8)
    motion = torch.randn(30, 2, 2)
    with torch.no_grad():
        said, _ = code.integrate(code.init(2), motion=motion)
    phase = motion.double().cumsum(0).numpy() @ code.vectors.detach().double().numpy().T
    expected = np.concatenate([np.cos(phase), np.sin(phase)], -1) / np.sqrt(8)
    assert np.allclose(said["mec/g"], expected, atol=1e-5)
    assert np.allclose(said["mec/g"].norm(dim=-1), 1, atol=1e-5)


def test_free_waves_come_in_pairs_of_cells() -> None:
    with pytest.raises(ValueError, match="even"):
        Rotor(TOPICS, lattice="free", modules=3, cells=3)
