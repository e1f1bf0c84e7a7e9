"""The open field: free steps against arithmetic, replayed paths against the recording, fields against their law."""

import os
from pathlib import Path

import gymnasium
import networkx as nx
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import envs
from envs.continuous.arena import Arena

ROOT = Path(__file__).parents[2]
PATH = np.cumsum(np.random.default_rng(0).normal(0, 0.02, (40, 2)), axis=0) % 1.0  # it jumps from side to side
KINDS = pytest.mark.parametrize(
    "kind",
    [
        {},
        {"directions": 8, "observation": "field", "channels": 3},
        {"trajectory": "smooth", "dt": 0.05},
        {"trajectory": PATH, "observation": "field"},
    ],
    ids=["free", "field", "smooth", "replay"],
)


def live(world: Arena, seeds: list[int], ticks: int) -> list[dict[str, np.ndarray]]:
    """Everything that a world says under random actions; halfway the even rows are reset by mask."""
    rng = np.random.default_rng(7)
    observation, info = world.reset(seed=seeds)
    said = [{"observation": observation} | info]
    for t in range(ticks):
        actions = rng.integers(len(world.metadata["actions"]), size=64)[: world.num_envs]
        observation, *_, info = world.step(actions)
        if t == ticks // 2:
            observation, info = world.reset(options={"reset_mask": np.arange(world.num_envs) % 2 == 0})
        said.append({"observation": observation} | info)
    return said


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 12), st.floats(0.01, 0.6), st.integers(2, 12), st.integers(2, 12), st.integers(0, 999))
def test_free_steps_go_where_trigonometry_says(
    directions: int, step: float, columns: int, rows: int, seed: int
) -> None:
    world = Arena(5, width=0.07 * columns, height=0.07 * rows, cell=0.07, directions=directions, step=step)
    rng, angle = np.random.default_rng(seed), 2 * np.pi * np.arange(directions) / directions
    np.testing.assert_allclose(world.metadata["angles"], angle)
    observation, info = world.reset(seed=seed)
    seen: list[dict[int, int]] = [{} for _ in range(5)]
    for _ in range(30):
        before, actions = info["place"].astype(float), rng.integers(directions, size=5)
        observation, reward, terminated, truncated, info = world.step(actions)
        assert not (reward.any() or terminated.any() or truncated.any())
        to = before + step * np.stack([np.cos(angle[actions]), np.sin(angle[actions])], axis=1)
        over = np.maximum(-to, to - [0.07 * columns, 0.07 * rows]).max(axis=1)
        sure = np.abs(over) > 1e-5  # float32 places do not tell which side of a wall a step to the wall ends
        np.testing.assert_array_equal(info["bump"][sure], over[sure] > 0)
        ended = np.where(info["bump"][:, None], before, to)
        np.testing.assert_allclose(info["place"], ended, atol=1e-5)
        np.testing.assert_allclose(info["motion"], (ended - before) / 0.07, atol=1e-4)
        assert not info["motion"][info["bump"]].any()
        moved = ~info["bump"]
        turn = info["heading"][moved] - angle[actions[moved]]
        np.testing.assert_allclose(np.cos(turn), 1, atol=1e-5)
        column, row = info["node"] % columns, info["node"] // columns
        centre = 0.07 * (np.stack([column, row], axis=1) + 0.5)
        assert (np.abs(info["place"] - centre) <= 0.035 + 1e-6).all()
        for known, node, sensed in zip(seen, info["node"].tolist(), observation.tolist(), strict=True):
            assert known.setdefault(node, sensed) == sensed


@KINDS
@pytest.mark.parametrize("motion_noise", [0.0, 0.3])
def test_a_batch_equals_its_single_worlds_to_the_bit(kind: dict, motion_noise: float) -> None:
    batch = live(Arena(5, motion_noise=motion_noise, **kind), [3, 1, 4, 1, 5], 300)
    for row, seed in enumerate([3, 1, 4, 1, 5]):
        world = Arena(1, motion_noise=motion_noise, **kind)
        rng = np.random.default_rng(7)
        observation, info = world.reset(seed=seed)
        for t, together in enumerate(batch):
            if t > 0:
                actions = rng.integers(len(world.metadata["actions"]), size=64)
                observation, *_, info = world.step(actions[row : row + 1])
                if t == 151 and row % 2 == 0:
                    observation, info = world.reset()
            for name, value in ({"observation": observation} | info).items():
                np.testing.assert_array_equal(value[0], together[name][row], err_msg=f"{name} of row {row} at {t}")


@KINDS
def test_motion_adds_up_to_the_place(kind: dict) -> None:
    world = Arena(4, cell=0.1, **kind)
    _, info = world.reset(seed=2)
    place = info["place"].astype(float)
    rng = np.random.default_rng(0)
    for _ in range(2000):
        *_, info = world.step(rng.integers(world.single_action_space.n, size=4))
        place += 0.1 * info["motion"]
    np.testing.assert_allclose(place, info["place"], atol=1e-4)
    assert world.metadata["place_unit"] == "m"
    assert world.metadata["cell"] == 0.1


@KINDS
def test_a_restored_state_lives_the_same_life(kind: dict) -> None:
    world = Arena(3, motion_noise=0.1, **kind)
    live(world, [0, 1, 2], 9)
    state = world.save()
    rng = np.random.default_rng(1)
    actions = rng.integers(world.single_action_space.n, size=(200, 3))  # beyond a block of draws

    def future(world: Arena) -> list[np.ndarray]:
        steps = [world.step(a) for a in actions]
        observation, info = world.reset()
        return [x for o, *_, i in [*steps, (observation, info)] for x in (o, *i.values())]

    first = future(world)
    world.restore(state)
    other = Arena(3, motion_noise=0.1, **kind)
    other.reset(seed=99)
    other.restore(state)
    for again in (future(world), future(other)):
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a, b)


@KINDS
def test_gymnasium_makes_and_checks_it(kind: dict) -> None:
    env = gymnasium.make("cogarch/Arena-v0", render_mode="rgb_array", **kind)
    with pytest.MonkeyPatch.context() as patch:
        if kind.get("observation") == "field":  # a Gaussian field has no bounds, of which gymnasium warns
            patch.setattr("gymnasium.utils.env_checker.logger.warn", lambda *_: None)
        check_env(env.unwrapped)
    env.reset(seed=0)
    assert np.ptp(env.render()) > 0


def test_starts_patches_and_objects_are_drawn_evenly() -> None:
    world = Arena(4000, width=0.25, height=0.15, objects=7)
    observation, info = world.reset(seed=0)
    for axis, size in enumerate((0.25, 0.15)):
        assert stats.kstest(info["place"][:, axis] / size, "uniform").pvalue > 1e-3
    assert stats.chisquare(np.bincount(info["node"], minlength=15)).pvalue > 1e-3
    assert stats.chisquare(np.bincount(observation, minlength=7)).pvalue > 1e-3
    again, _ = world.reset()
    assert stats.binomtest(int((again == observation).sum()), 4000, 1 / 7).pvalue > 1e-3


# ---- the table ----


def test_with_the_default_directions_and_step_the_table_is_the_world() -> None:
    world = Arena(60, width=0.2, height=0.15)
    assert world.metadata["actions"] == ("east", "north", "west", "south")
    table = world.table()
    grid = nx.grid_2d_graph(4, 3)
    edges = {(y * 4 + x, v * 4 + u) for (x, y), (u, v) in [*grid.edges, *[(b, a) for a, b in grid.edges]]}
    assert {(int(n), int(to)) for n, _, to in table.edges} == edges
    rng = np.random.default_rng(0)
    _, info = world.reset(seed=0)
    seen = set()
    for _ in range(60):
        before, actions = info["node"], rng.integers(4, size=60)
        *_, info = world.step(actions)
        target = table.target[before, actions]
        np.testing.assert_array_equal(info["bump"], target < 0)
        np.testing.assert_array_equal(info["node"], np.where(target < 0, before, target))
        np.testing.assert_allclose(info["motion"], table.motion[before, actions], atol=1e-6)
        seen |= set(zip(before.tolist(), actions.tolist(), strict=True))
    assert len(seen) == 12 * 4
    assert nx.get_node_attributes(world.graph(1), "object") == dict(enumerate(world._map[1].tolist()))


def test_diagonal_steps_lead_from_centres_to_the_diagonal_patches() -> None:
    table = Arena(1, width=0.2, height=0.2, directions=8).table()
    north_east = table.actions.index("northeast")
    assert table.target[5, north_east] == 10
    np.testing.assert_allclose(table.motion[5, north_east], np.sqrt([0.5, 0.5]), rtol=1e-6)
    assert table.target[3, north_east] < 0
    np.testing.assert_allclose(table.place[[0, 7]], [[0.025, 0.025], [0.175, 0.075]])
    follow = Arena(1, trajectory="smooth").table()
    assert (follow.target.shape, follow.target.max()) == ((400, 1), -1)


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 12), st.sampled_from([0.02, 0.025, 0.05, 0.1, 0.125]))
def test_the_table_says_where_a_step_from_a_centre_ends(directions: int, step: float) -> None:
    table = Arena(1, width=0.3, height=0.2, directions=directions, step=step).table()
    for node, action, to in table.edges.tolist():
        end = table.place[node] + 0.05 * table.motion[node, action]
        assert (np.abs(end - table.place[to]) <= 0.025 + 1e-6).all()
        assert np.linalg.norm(0.05 * table.motion[node, action]) == pytest.approx(step, rel=1e-5)


# ---- paths and walks ----


def test_a_replayed_path_is_the_recorded_one_whatever_is_asked() -> None:
    world = Arena(2, trajectory=PATH, start="first")
    _, info = world.reset(seed=0)
    for t in range(1, 40):
        np.testing.assert_allclose(info["place"], [PATH[t - 1]] * 2, atol=1e-6)
        *_, terminated, truncated, info = world.step(np.zeros(2, np.int64))
        np.testing.assert_allclose(info["motion"], [(PATH[t] - PATH[t - 1]) / 0.05] * 2, atol=1e-5)
        assert not (terminated.any() or info["bump"].any())
        assert (truncated == (t == 39)).all()
    *_, truncated, info = world.step(np.zeros(2, np.int64))  # carried back, and felt so
    np.testing.assert_allclose(info["place"][0], PATH[0], atol=1e-6)
    np.testing.assert_allclose(info["motion"][0], (PATH[0] - PATH[-1]) / 0.05, atol=1e-5)
    assert not truncated.any()


def test_episodes_on_a_path_begin_at_any_sample_but_the_last() -> None:
    world = Arena(3000, trajectory=PATH)
    _, info = world.reset(seed=0)
    sample = np.abs(PATH - info["place"][:, None]).sum(axis=2).argmin(axis=1)
    assert stats.chisquare(np.bincount(sample, minlength=39)).pvalue > 1e-3
    assert sample.max() == 38


def test_a_path_measured_from_the_middle_keeps_its_numbers() -> None:
    path = 0.9 * (PATH - (PATH.min(0) + PATH.max(0)) / 2)
    world = Arena(1, trajectory=path, start="first")
    assert world.metadata["origin"] == pytest.approx((-0.5, -0.5))
    _, info = world.reset(seed=0)
    np.testing.assert_allclose(info["place"][0], path[0], atol=1e-6)
    column, row = ((path[0] + 0.5) // 0.05).astype(int)
    assert info["node"][0] == row * 20 + column
    np.testing.assert_allclose(world.table().place[0], [-0.475, -0.475], atol=1e-6)


def test_the_reference_recording_is_replayed() -> None:
    folder = os.environ.get("COGARCH_REFERENCE")
    if not folder:
        pytest.skip("COGARCH_REFERENCE is not set: no recorded path to replay")
    file = ROOT / folder / "grid_cell_recording.npz"
    data = np.load(file)
    recorded = np.stack([data["x"], data["y"]], axis=1) / 100
    world = Arena(1, trajectory=str(file), start="first")
    _, info = world.reset(seed=0)
    places, still = [info["place"][0]], np.zeros(1, np.int64)
    for _ in range(len(recorded) - 1):
        *_, truncated, info = world.step(still)
        places.append(info["place"][0])
    np.testing.assert_allclose(places, recorded, atol=1e-4)
    assert truncated[0]
    assert Arena(1, trajectory=str(file), dt=0.1)._path.shape == (6000, 2)


def test_each_row_walks_smoothly_on_its_own_without_end() -> None:
    world = Arena(40, width=2.0, height=1.0, trajectory="smooth", speed=0.2, dt=0.05)
    _, info = world.reset(seed=0)
    path = [info["place"]]
    for _ in range(1500):
        *_, truncated, info = world.step(np.zeros(40, np.int64))
        path.append(info["place"])
        assert not (truncated.any() or info["bump"].any())
    path = np.stack(path)
    assert (path >= 0).all() and (path <= [2.0, 1.0]).all()
    step = np.diff(path, axis=0)
    assert np.linalg.norm(step, axis=2).mean() / 0.05 == pytest.approx(0.2, rel=0.05)
    np.testing.assert_allclose(info["heading"], np.arctan2(step[-1, :, 1], step[-1, :, 0]), atol=1e-3)
    assert len(np.unique(path[-1], axis=0)) == 40


# ---- the sensory field ----


def test_a_field_is_gaussian_and_correlated_over_its_length_scale() -> None:
    world = Arena(3000, observation="field", channels=2, length_scale=0.1, step=0.1, directions=4)
    before, info = world.reset(seed=0)
    assert before.dtype == np.float32
    after, *_, info = world.step(np.zeros(3000, np.int64))
    sensed, moved = after[~info["bump"]], before[~info["bump"]]
    assert before.mean() == pytest.approx(0, abs=0.05)
    assert before.std() == pytest.approx(1, abs=0.05)
    assert np.mean(sensed * moved) == pytest.approx(np.exp(-0.5), abs=0.06)  # one length scale away
    assert np.mean(before[:, 0] * before[:, 1]) == pytest.approx(0, abs=0.06)
    np.testing.assert_array_equal(after[info["bump"]], before[info["bump"]])
    assert np.mean(world.reset()[0] * before) == pytest.approx(0, abs=0.06)  # drawn anew


# ---- pictures and bad input ----


@pytest.mark.parametrize("observation", ["patches", "field"])
@pytest.mark.parametrize("at", [(0.2, 0.1), (0.8, 0.4)])
def test_the_picture_shows_the_body_where_it_is(observation: str, at: tuple[float, float]) -> None:
    path = [[0.5, 0.25], list(at)]
    world = Arena(
        1, width=1.0, height=0.5, trajectory=path, start="first", observation=observation, render_mode="rgb_array"
    )
    world.reset(seed=0)
    world.step(np.zeros(1, np.int64))
    (picture,) = world.render()
    height, width = picture.shape[:2]
    assert width == pytest.approx(2 * height, abs=2)
    dark = (np.abs(picture.astype(int) - 38) <= 1).all(axis=2)
    y, x = (pixels.mean() + 0.5 for pixels in np.nonzero(dark))
    assert (x / width, 0.5 * (1 - y / height)) == pytest.approx(at, abs=0.01)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 1.03}, "width is 1.03 m: give a whole number of cells of 0.05 m"),
        ({"height": float("inf")}, "height is inf m"),
        ({"width": float("nan")}, "width is nan m: give a positive"),
        ({"width": 0.05}, "1 cells of 0.05 m: a field is at least 2"),
        ({"cell": 0.0}, "cell is 0.0 m: give a positive"),
        ({"step": -0.1}, "step is -0.1 m"),
        ({"directions": 2}, "directions is 2: give 3 to 360"),
        ({"objects": 0}, "objects is 0"),
        ({"channels": 0}, "channels is 0"),
        ({"length_scale": 0.0}, "length_scale is 0.0 m"),
        ({"speed": 0.1}, 'speed is 0.1, which means something only where trajectory is "smooth"'),
        ({"dt": 0.1}, "dt is 0.1, which means something only where trajectory is a path or a walk"),
        ({"start": "first"}, "start is first, which means"),
        ({"step": 0.1, "trajectory": "smooth"}, "step is 0.1, which means"),
        ({"dt": 0.0, "trajectory": "smooth"}, "dt of a smooth walk is 0.0"),
        ({"trajectory": "sargolni"}, "did you mean sargolini"),
        ({"trajectory": [[0.0, 0.0], [50.0, 20.0]]}, "the path is 50 m wide and 20 m high, the field 1 x 1 m"),
        ({"observation": "pixels"}, 'observation is .pixels.: give "patches" or "field"'),
        ({"trajectory": 3}, "trajectory is 3"),
        ({"widht": 2.0}, "did you mean width"),
    ],
)
def test_bad_settings_are_named_with_the_mend(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        envs.make("Arena-v0", 1, **wrong)
