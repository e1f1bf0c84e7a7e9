"""What every world owes: gymnasium's contract, seeds, rows that do not touch, motion that adds up to the truth."""

import hashlib
import inspect
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import gymnasium
import networkx as nx
import numpy as np
import pytest
from every_world import DEFAULTS, EVERY_WORLD, VARIANTS, WORLDS, all_same, live, same
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from scipy import stats

import envs
from envs import policies
from envs.spatial.doors import Doors
from envs.spatial.lattice import Lattice
from envs.spatial.rooms import Rooms
from envs.spatial.square import Torus
from envs.world import World


@pytest.mark.parametrize(
    ("env_id", "batch", "settings", "pinned"),
    [
        ("Square-v0", 7, {"width": (5, 8)}, "ef9e56ac77830695"),
        ("Square-v0", 3, {"width": 4, "height": (2, 6), "motion_noise": 0.1}, "3678d8929133d9fe"),
        ("MiniGrid-FourRooms-v0", 2, {}, "6a72212cb7e2023f"),
    ],
)
def test_the_walks_behind_published_numbers_stay_as_they_were(
    env_id: str, batch: int, settings: dict, pinned: str
) -> None:
    """Noise is float32 products and sums of numpy's normal draws, which IEEE 754 fixes: it is pinned, too."""
    world = envs.make(env_id, batch, **settings)
    walk = policies.walk(world, "drifting", 60, world_seeds=range(batch), policy_seed=1)
    names = ("observation", "action", "motion", "bump", "node", "place", "heading")
    walked = b"".join(np.ascontiguousarray(walk[name]).tobytes() for name in names)
    assert hashlib.sha256(walked).hexdigest()[:16] == pinned


@EVERY_WORLD
def test_what_a_world_says(make: Callable[..., World]) -> None:
    world = make(3, motion_noise=0.1)
    assert world.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    for said in live(world, [1, 2, 3], 20):
        assert world.observation_space.contains(said["observation"])
        kinds = {name: (values.dtype, values.shape) for name, values in said.items() if name != "observation"}
        reward = {"reward": (np.float64, (3,)), "terminated": (np.bool_, (3,)), "truncated": (np.bool_, (3,))}
        assert kinds == (reward if "reward" in said else {}) | {
            "motion": (np.float32, (3, 2)),
            "bump": (np.bool_, (3,)),
            "node": (np.int64, (3,)),
            "place": (np.float32, (3, 2)),
            "heading": (np.float32, (3,)),
        }
        assert not said["motion"][said["bump"]].any()


@EVERY_WORLD
def test_a_batch_equals_its_single_worlds(make: Callable[..., World]) -> None:
    """To the bit, with noise over more than one block of it, and a reset by mask on the way."""
    seeds = [5, 9, 2, 2]
    together = live(make(4, motion_noise=0.1), seeds, 150)
    other = make(4, motion_noise=0.1)
    for row, seed in enumerate(seeds):
        others = live(other, [seed if i == row else 100 + i for i in range(4)], 150)
        for a, b in zip(together, others, strict=True):
            assert same({k: v[row] for k, v in a.items()}, {k: v[row] for k, v in b.items()})
    # a batch of 1 takes the actions of row 0, and is row 0 of the mask
    alone = live(make(1, motion_noise=0.1), seeds[:1], 150)
    assert all_same([{k: v[:1] for k, v in said.items()} for said in together], alone)


@EVERY_WORLD
def test_equal_seeds_give_equal_streams_and_others_do_not(make: Callable[..., World]) -> None:
    first, again, other = (live(make(2, motion_noise=0.1), seeds, 60) for seeds in ([7, 8], [7, 8], [17, 18]))
    assert all_same(first, again)
    assert not all_same(first, other)


@EVERY_WORLD
def test_an_int_seeds_row_i_with_seed_plus_i(make: Callable[..., World]) -> None:
    a, b = make(3), make(3)
    observed_a, info_a = a.reset(seed=40)
    observed_b, info_b = b.reset(seed=[40, 41, 42])
    assert same({"observation": observed_a} | info_a, {"observation": observed_b} | info_b)


@EVERY_WORLD
def test_a_mask_leaves_the_other_rows_as_they_are(make: Callable[..., World]) -> None:
    world = make(4, motion_noise=0.1)
    world.reset(seed=3)
    for actions in np.random.default_rng(0).integers(len(world.metadata["actions"]), size=(30, 4)):
        observation, *_, info = world.step(actions)
    before = {"observation": observation.copy()} | {k: v.copy() for k, v in info.items()}
    for values in info.values():
        values[:] = 1  # what a user does to his copy must not come back
    mask = np.array([False, True, False, True])
    observation, info = world.reset(options={"reset_mask": mask})
    after = {"observation": observation} | info
    assert same({k: v[~mask] for k, v in after.items()}, {k: v[~mask] for k, v in before.items()})
    assert not info["motion"][mask].any()
    assert not info["bump"][mask].any()


@EVERY_WORLD
def test_a_list_of_seeds_may_leave_rows_to_go_on(make: Callable[..., World]) -> None:
    a, b = make(2), make(2)
    a.reset(seed=[1, 2])
    b.reset(seed=[1, 3])
    a.reset()
    b.reset()
    observed_a, info_a = a.reset(seed=[None, 5])
    observed_b, info_b = b.reset(seed=[None, 5])
    assert same({"observation": observed_a} | info_a, {"observation": observed_b} | info_b)


@EVERY_WORLD
def test_motion_adds_up_to_the_truth(make: Callable[..., World]) -> None:
    world = make(8)
    said = live(world, list(range(8)), 240)[: 240 // 2 + 1]  # before the reset by mask
    motion, place, heading = (np.stack([s[k] for s in said]).astype(float) for k in ("motion", "place", "heading"))
    assert not motion[0].any()
    assert not motion[np.stack([s["bump"] for s in said])].any()
    if world.metadata["motion"] == "none":
        assert not motion.any()
        return
    steps = motion * world.metadata.get("cell", 1.0)  # an arena's place is in m, its motion in cells
    if world.metadata["motion"] == "turn, advance":
        turned = heading[0] + motion[..., 0].cumsum(axis=0)
        assert np.allclose(np.exp(1j * turned), np.exp(1j * heading), atol=1e-4)
        steps = motion[..., 1:] * np.stack([np.cos(turned), np.sin(turned)], axis=2)
    off = place[0] + steps.cumsum(axis=0) - place
    if isinstance(world, Torus):
        world.reset(seed=list(range(8)))
        size = np.stack([world.width, world.height], axis=1)
        laps = np.rint(off / size)
        assert (laps != 0).any() or len(said) < size.min() ** 2
        off -= laps * size
    assert np.abs(off).max() < 1e-4


FEELING = [*DEFAULTS, "tori of many sizes", "hexagons of many sizes", "plane", "fixed"]


@pytest.mark.parametrize("name", FEELING)
def test_noise_is_gaussian_on_what_moved_and_changes_nothing_else(name: str) -> None:
    quiet = live(WORLDS[name](40), list(range(40)), 300)
    world = WORLDS[name](40, motion_noise=0.05)
    noisy = live(world, list(range(40)), 300)
    for a, b in zip(quiet, noisy, strict=True):
        assert same({**a, "motion": a["bump"]}, {**b, "motion": b["bump"]})
    true, felt = (np.stack([s["motion"] for s in said]) for said in (quiet, noisy))
    moved = true != 0
    on_the_plane = world.metadata["motion"] == "dx, dy"
    if on_the_plane:  # a step is felt with noise in both components, a turn or an advance in one
        moved = moved.any(axis=2, keepdims=True) & np.ones(2, bool)
    assert np.array_equal(felt[~moved], true[~moved])
    if world.metadata["motion"] == "none":
        assert not moved.any()
        return
    noise = (felt - true)[moved] / 0.05
    assert len(noise) > 4_000
    assert stats.kstest(noise, "norm").pvalue > 1e-3
    if on_the_plane:
        both = (felt - true)[moved.all(axis=2)]
        assert abs(np.corrcoef(both.T)[0, 1]) < 4 / np.sqrt(len(both))
    first, second = np.where(moved, felt - true, np.nan)[..., :2, :].max(axis=2).T[:2]
    together = ~np.isnan(first) & ~np.isnan(second)
    shared = np.intersect1d(first[together], second[together])
    assert len(shared) < 3  # each row has noise of its own (but float32 draws may meet)


@pytest.mark.parametrize(
    ("env_id", "settings"),
    [
        *((env_id, {}) for env_id in envs.WORLDS),
        ("cogarch/Square-v0", {"width": [3, 6], "motion_noise": 0.1, "goal": True, "endless": False}),
        ("cogarch/Hex-v0", {"view": 3, "body": "egocentric", "landmarks": 2}),
        ("cogarch/Graph-v0", {"graph": nx.karate_club_graph(), "label": None}),
    ],
)
def test_registered_worlds_pass_gymnasiums_checker(env_id: str, settings: dict) -> None:
    env = gymnasium.make(env_id, render_mode="rgb_array", **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    several = gymnasium.make_vec(env_id, num_envs=5, **settings)
    assert isinstance(several, World)
    assert several.metadata["motion"] == env.unwrapped.metadata["motion"]
    assert several.spec is not None
    assert several.spec.id == env_id


@pytest.mark.parametrize("name", DEFAULTS | VARIANTS)
def test_a_picture_shows_where_each_row_is(name: str) -> None:
    world = WORLDS[name](2, render_mode="rgb_array")
    turns = world.metadata["motion"] == "turn, advance"
    _, info = world.reset(seed=0)
    before, *_ = frames = world.render()
    assert len(frames) == 2
    assert all(frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3 for frame in frames)
    assert np.ptp(before) > 50
    start, changed = info, False
    for action in np.random.default_rng(0).integers(len(world.metadata["actions"]), size=6):
        *_, info = world.step(np.full(2, action))
        moved = np.abs(info["place"][0] - start["place"][0]).max()
        turned = turns and info["heading"][0] != start["heading"][0]
        if moved > 0.01 or turned:
            assert (world.render()[0] != before).any()
            changed = True
        elif moved == 0:
            assert np.array_equal(world.render()[0], before)
    assert changed
    assert WORLDS[name](2).render() is None


def test_a_single_world_is_row_0_of_a_batch() -> None:
    env = gymnasium.make("cogarch/Square-v0", width=(3, 6), motion_noise=0.1).unwrapped
    world = envs.make("Square-v0", 1, width=(3, 6), motion_noise=0.1)
    observed, info = env.reset(seed=4)
    observed_w, info_w = world.reset(seed=4)
    for action in (0, 1, 2, 3, 3, 3, 3, 3):
        assert observed == observed_w[0]
        assert all((info[name] == info_w[name][0]).all() for name in info_w)
        observed, *_, info = env.step(action)
        observed_w, *_, info_w = world.step(np.array([action]))


def test_a_square_is_drawn_with_the_agent_on_it() -> None:
    world = envs.make("Square-v0", 2, width=4, height=3, render_mode="rgb_array")
    world.reset(seed=0)
    for action in (0, 0, 0, 1, 1):
        info = world.step(np.array([action, action]))[-1]
        frame = world.render()[0]
        assert frame.shape == (242, 320, 3)
        assert frame.dtype == np.uint8
        dark = np.argwhere((frame < 60).all(axis=2)).mean(axis=0)  # the agent is the only dark thing
        cell = 320 / 4.12  # pixels: the outer walls take .06 of a cell at each side
        x, y = dark[1] / cell - 0.56, (242 - dark[0]) / cell - 0.56
        assert np.allclose((x, y), info["place"][0], atol=0.05)


def test_make_names_what_is_wrong_and_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"no world is called 'Sqare-v0'.*did you mean .*Square-v0"):
        envs.make("Sqare-v0", 1)
    with pytest.raises(ValueError, match=r"did you mean MiniGrid-FourRooms-v0"):
        envs.make("MiniGrid-FourRoms-v0", 1)
    with pytest.raises(ValueError, match=r"no setting 'widht': did you mean width"):
        envs.make("Square-v0", 1, widht=4)
    with pytest.raises(ValueError, match=r"no setting 'layuot': did you mean layout"):
        envs.make("MiniGrid-FourRooms-v0", 1, layuot="new")
    with pytest.raises(ValueError, match=r"no setting 'landmark': did you mean landmarks"):
        envs.make("Torus-v0", 1, landmark=2)
    with pytest.raises(ValueError, match="a batch of 0 worlds"):
        envs.make("Square-v0", 0)
    with pytest.raises(ValueError, match="a batch of 0 worlds"):
        envs.make("MiniGrid-FourRooms-v0", 0)
    with pytest.raises(ValueError, match="motion_noise is -1"):
        envs.make("Square-v0", 1, motion_noise=-1)
    with pytest.raises(ValueError, match="render_mode is 'human'"):
        envs.make("Square-v0", 1, render_mode="human")


FAMILY = nx.DiGraph([("Ann", "Bob", {"rel": "child"}), ("Bob", "Ann", {"rel": "parent"})])


@pytest.mark.parametrize(
    ("env_id", "name", "wrong", "message"),
    [
        ("Square-v0", "goal", "maybe", "'maybe': give true or false"),
        ("Square-v0", "goal", "False", "'False': give true or false"),
        ("Square-v0", "goal", 1, "1: give true or false"),
        ("Square-v0", "objects", 2.5, "2.5: give a whole number"),
        ("Square-v0", "objects", True, "True: give a whole number"),
        ("Square-v0", "objects", np.float64(3), "3.0: give a whole number"),
        ("Square-v0", "motion_noise", "high", "'high': give a number"),
        ("Square-v0", "width", "58", "'58': give a whole number or a range [low, high] of whole numbers"),
        ("Square-v0", "width", [5, 8.5], "[5, 8.5]: give a whole number or a range [low, high] of whole numbers"),
        ("Square-v0", "height", "x", "'x': give a whole number or a range [low, high] of whole numbers or None"),
        ("Graph-v0", "graph", [[0, 1], [1, 0]], "[[0, 1], [1, 0]]: give a networkx graph or text or a path"),
        ("Graph-v0", "label", 3, "3: give text or None"),
        ("MiniGrid-FourRooms-v0", "endless", "no", "'no': give true or false"),
        ("MiniGrid-FourRooms-v0", "layout", True, 'True: give "fixed" or "new"'),
    ],
)
def test_a_setting_of_the_wrong_type_is_named_with_what_it_takes(
    env_id: str, name: str, wrong: object, message: str
) -> None:
    needed = {"graph": FAMILY} if env_id == "Graph-v0" else {}
    with pytest.raises(ValueError, match=re.escape(f"{envs.full_id(env_id)}: {name} is {message}") + "$"):
        envs.make(env_id, 1, **(needed | {name: wrong}))


def test_numbers_of_numpy_lists_and_files_make_the_worlds_that_plain_settings_make(tmp_path: Path) -> None:
    plain = envs.make("Square-v0", 3, width=(3, 5), height=4, borders=True, objects=7, motion_noise=1.0)
    for more in (
        {"width": [3, 5], "motion_noise": 1},
        {"width": np.array([3, 5]), "motion_noise": np.float32(1)},
        {"width": (np.int64(3), np.int32(5)), "motion_noise": 1.0},
    ):
        other = envs.make("Square-v0", 3, height=np.int64(4), borders=np.True_, objects=np.uint8(7), **more)
        for a, b in zip(live(plain, [1, 2, 3], 20), live(other, [1, 2, 3], 20), strict=True):
            assert same(a, b)
    path = tmp_path / "family.graphml"
    nx.write_graphml(FAMILY, path)
    for graph in (FAMILY, path, str(path)):
        assert envs.make("Graph-v0", 1, graph=graph, label="rel").metadata["actions"] == ("child", "parent")
        assert envs.make("Graph-v0", 1, graph=graph, label=None).metadata["actions"] == ("0",)


def test_the_two_spellings_of_an_id_are_one_world() -> None:
    for env_id in envs.catalogue():
        assert envs.full_id(env_id) == envs.full_id(env_id.removeprefix("cogarch/")) == env_id
    for wrong in ("Grahp-v0", "cogarch/Grahp-v0", "cogarch/MiniGrid-FourRooms-v0"):
        with pytest.raises(ValueError, match=f"no world is called '{wrong}': did you mean .*(Graph|FourRooms)-v0"):
            envs.full_id(wrong)


def test_the_catalogue_lists_a_line_each() -> None:
    listed = envs.catalogue()
    assert {"cogarch/Square-v0", "cogarch/Graph-v0", "MiniGrid-FourRooms-v0"} <= listed.keys()
    for line in listed.values():
        assert 10 < len(line) <= 90
        assert not set("\n`[]") & set(line)
        assert line[0].isupper() and line.endswith((".", " ..."))
    assert listed["MiniGrid-DistShift1-v0"] == "Based on one of the DeepMind AI safety gridworlds."
    lava, walls = (listed[f"MiniGrid-{kind}CrossingS9N1-v0"] for kind in ("Lava", "Simple"))
    assert lava.startswith("Reach the green goal square") and walls.startswith("Similar to the LavaCrossing")


def test_step_and_reset_name_the_row_that_is_wrong() -> None:
    world = envs.make("Square-v0", 3)
    with pytest.raises(RuntimeError, match="call reset"):
        world.step(np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="the first reset begins every row"):
        world.reset(options={"reset_mask": np.array([True, False, True])})
    with pytest.raises(ValueError, match="row 1: the seed is -4"):
        world.reset(seed=[1, -4, 2])
    with pytest.raises(RuntimeError, match="call reset"):
        world.step(np.zeros(3, np.int64))  # the failed reset left nothing behind
    for wrong in (1.5, "3", "abc", b"123", True, {1: 2, 2: 3, 3: 4}, np.array(3), [[1], [2], [3]]):
        with pytest.raises(
            ValueError, match=r"^seed is .*: give a whole number, 0 or more, or a list of 3, one a row$"
        ):
            world.reset(seed=wrong)
    for wrong in (1.5, "3", True):
        with pytest.raises(ValueError, match=f"^row 1: the seed is {wrong!r}: give a whole number, 0 or more$"):
            world.reset(seed=[0, wrong, 2])
    assert not world.generators  # nor did these
    world.reset(seed=0)
    with pytest.raises(ValueError, match=r"row 2: action 4 is outside 0\.\.3 \(0 east, 1 north, 2 west, 3 south\)"):
        world.step(np.array([0, 3, 4]))
    with pytest.raises(ValueError, match="row 0: action -1"):
        world.step(np.array([-1, 3, 4]))
    for wrong in (np.zeros(2, np.int64), np.zeros((3, 1), np.int64), np.zeros(3), 1):
        with pytest.raises(ValueError, match="give 3 whole numbers"):
            world.step(wrong)
    with pytest.raises(ValueError, match="2 seeds for 3 worlds"):
        world.reset(seed=[1, 2])
    for mask in ([True, False, True], np.array([True, False]), np.array([1, 0, 1])):
        with pytest.raises(ValueError, match="reset_mask must be a numpy array of 3 bools"):
            world.reset(options={"reset_mask": mask})


TELL_OF_A_ROW = {
    name: ask
    for kind in (World, Lattice, Doors, Rooms)
    for name, ask in vars(kind).items()
    if not name.startswith("_")
    and list(inspect.signature(ask).parameters if callable(ask) else ())[:2] == ["self", "row"]
}


def asked(name: str) -> Callable[[World, object], object]:
    """A method that tells of a row (0 for all else that it must be given: a door, a node), of whatever class."""
    _, _, *others = inspect.signature(TELL_OF_A_ROW[name]).parameters.values()
    more = [0 for parameter in others if parameter.default is inspect.Parameter.empty]
    return lambda world, row: getattr(world, name)(row, *more)


def test_all_that_tells_of_a_row_is_tested_below() -> None:
    assert {"table", "graph", "landmarks", "goal", "walls", "rooms", "doors", "close_door"} <= TELL_OF_A_ROW.keys()


@pytest.mark.parametrize("name", TELL_OF_A_ROW)
def test_a_row_that_is_not_there_is_named_with_the_range(name: str) -> None:
    world = Rooms(3, size=2, goal=True, landmarks=2)
    with pytest.raises(RuntimeError, match=r"the world has not begun: call reset\(\) before asking about a row"):
        asked(name)(world, 0)
    for begun in (False, True):
        if begun:
            world.reset(seed=0)
        for wrong in (3, -1, 1.0, "0", True, None):
            message = rf"^row is {re.escape(repr(wrong))}: the worlds of this batch are rows 0\.\.2$"
            with pytest.raises(ValueError, match=message):
                asked(name)(world, wrong)
    if name == "change_landmark":  # node 0 has none
        world.change_landmark(2, int(world.landmarks(2)[0]))
        return
    asked(name)(world, 2)
    asked(name)(world, np.int64(2))


@EVERY_WORLD
def test_every_world_refuses_what_it_cannot_tell(make: Callable[..., World]) -> None:
    world = make(2, render_mode="rgb_array")
    for call in (world.render, world.save, world.graph):
        with pytest.raises(RuntimeError, match=r"the world has not begun: call reset\(\) before"):
            call()
    world.reset(seed=0)
    for tell in (world.graph, world.landmarks):
        for wrong in (2, -1):
            with pytest.raises(ValueError, match=rf"^row is {wrong}: the worlds of this batch are rows 0\.\.1$"):
                tell(wrong)


def test_what_no_reset_decides_is_told_before_it() -> None:
    arena = envs.make("Arena-v0", 2)
    before = arena.table(1).target.copy()
    arena.reset(seed=0)
    assert np.array_equal(arena.table(1).target, before)
    square = envs.make("Square-v0", 2)
    assert not len(square.goal(1)) and not len(square.landmarks(1))
