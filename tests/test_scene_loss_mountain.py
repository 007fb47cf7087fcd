"""LossMountain: every height, arrow, number and place on screen is the surface's, and the camera hides none of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")
torch = pytest.importorskip("torch")

from torch.func import functional_call  # noqa: E402

from explainer.errors import SurfaceError  # noqa: E402
from explainer.lessons import lesson_surface, problem_of, record_lesson  # noqa: E402
from explainer.surface import Surface, Walk  # noqa: E402
from scenes.loss_mountain import BUNDLE, SLANT, LossMountain  # noqa: E402
from tests.filmed import CanBeSeen, Watching, check_room, overlaps, run  # noqa: E402


@dataclass
class Frame:
    """What one frame showed."""

    beat: str
    step: int
    loss: str
    position: float
    rise: float
    azimuth: float
    elevation: float
    grown: np.ndarray
    bars: np.ndarray


class Watched(Watching, LossMountain):
    """The film, looked at in every frame and at the end of every sentence."""

    def look(self) -> None:
        shown = self.mountain
        boxes = self.bars.others.get_all_points(), self.bars.chosen.get_all_points()
        self.frames.append(
            Frame(
                self.beats[-1][0], int(self.clock.counter.words), self.counter.words, float(shown.position),
                float(shown.rise), float(shown.azimuth), float(shown.elevation), shown.grown.copy(),
                np.array([box[:, 1].max() - box[:, 1].min() for box in boxes]),
            )
        )  # fmt: skip


def walked(surface: Surface, theme: str = "dark", *, rate: int = 3, painted: bool = True) -> Watched:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("explainer.mobjects.trace_sources.open_surface", lambda folder: surface)
        return run(Watched, {"EXPLAINER_THEME": theme, "EXPLAINER_SURFACE": "given"}, rate=rate, painted=painted)


@pytest.fixture(scope="module")
def surface() -> Surface:
    """Return the film's own surface, at a quarter of the points."""
    return lesson_surface(record_lesson("digits"), **{**LossMountain.surfaces[0], "resolution": 26})


@pytest.fixture(scope="module")
def film(surface: Surface) -> Watched:
    return walked(surface)


@pytest.fixture(scope="module")
def light(surface: Surface) -> Watched:
    return walked(surface, "light", rate=1, painted=False)


class TestItCanBeSeen(CanBeSeen):
    seconds = 45, 65


def foreign(*, slopes: bool = True) -> Surface:
    """Return another person's surface: a ravine with a cliff, holes and a wall that is far too high."""
    u, v = np.linspace(-3, 2, 21), np.linspace(-1, 1, 16)
    losses = 0.3 + 0.2 * u[None, :] ** 2 + 3 * (v[:, None] - 0.1 * u[None, :]) ** 2
    losses[12:, 15:] = np.nan
    losses[0, 0] = 1e9
    whole = Surface(losses, {"w": np.zeros(2)}, ({"w": np.eye(2)[0]}, {"w": np.eye(2)[1]}), "random", u=u, v=v,
                    evaluated=np.isfinite(losses), data="50 examples")  # fmt: skip
    path = np.array([(-2.5, 0.6), (-2.2, 0.1), (-1.5, -0.4), (-1.0, 0.0), (-0.2, 0.05)])
    planes = np.array([whole.height(*point) for point in path])
    slope = np.stack(
        [0.4 * path[:, 0] - 0.6 * (path[:, 1] - 0.1 * path[:, 0]), 6 * (path[:, 1] - 0.1 * path[:, 0])], axis=1
    )
    walk = Walk(
        np.arange(5) * 10, path, planes, planes + 0.05, planes, np.ones(5), slope if slopes else slope * np.nan, 0.02
    )
    return replace(whole, walks={"walk": walk})


@pytest.fixture(scope="module")
def foreign_film() -> Watched:
    return walked(foreign())


def test_the_ground_is_the_surface_and_the_walk_stands_at_its_true_losses(film: Watched, surface: Surface) -> None:
    np.testing.assert_array_equal(film.mountain.heights, surface.losses)
    np.testing.assert_array_equal(film.mountain.path, np.column_stack([surface.path, surface.walk.true_losses]))
    np.testing.assert_array_equal(film.mountain.below, surface.plane_losses)


def test_it_says_how_much_of_the_walk_the_plane_holds(film: Watched, surface: Surface) -> None:
    assert f"{100 * surface.captured:.1f} %" in film.about.words
    assert "109,386 weights" in film.said[0][0]


def test_the_mountain_rises_out_of_its_plane(film: Watched) -> None:
    rises = [frame.rise for frame in film.frames if frame.beat in ("plane", "mountain")]
    assert rises[0] == 0 and rises[-1] == 1 and rises == sorted(rises)
    assert len(set(rises)) > 5


@pytest.mark.parametrize("which", ["film", "foreign_film"])
def test_high_and_low_are_named_where_they_can_be_seen(which: str, request: pytest.FixtureRequest) -> None:
    scene = request.getfixturevalue(which)
    shown = scene.mountain.copy().turn(scene.side, SLANT)
    losses, places = [], []
    for name in scene.names:
        u, v = np.meshgrid(shown.u, shown.v)
        apart = np.linalg.norm(shown.at(u, v, shown.cut)[..., :2] - (name.get_center()[:2] - [0, 0.3]), axis=-1)
        row, column = np.unravel_index(np.nanargmin(apart), apart.shape)
        assert apart[row, column] < 1e-6
        losses.append(shown.cut[row, column])
        places.append(shown.space([u[row, column], v[row, column], shown.cut[row, column] + 0.03 * shown.ceiling]))
    span = np.nanmax(shown.cut) - np.nanmin(shown.cut)
    assert losses[0] > np.nanmin(shown.cut) + 0.8 * span and losses[1] < np.nanmin(shown.cut) + 0.2 * span
    assert not shown.ground().hidden(np.array(places), shown.view).any()


def test_the_slope_of_the_arrow_is_that_of_the_loss_itself(surface: Surface) -> None:
    model, criterion, (inputs, targets) = problem_of(record_lesson("digits"))
    u, v = surface.path[0]

    def loss(across: float, along: float) -> float:
        weights = {name: torch.tensor(each, dtype=torch.float64) for name, each in surface.weights_at(u, v).items()}
        for by, direction in zip((across, along), surface.directions, strict=True):
            weights = {name: each + by * torch.tensor(direction[name]).double() for name, each in weights.items()}
        return float(criterion(functional_call(model.double(), weights, (inputs.double(),)), targets))

    small = 1e-4
    slope = [(loss(small, 0) - loss(-small, 0)) / (2 * small), (loss(0, small) - loss(0, -small)) / (2 * small)]
    np.testing.assert_allclose(surface.walk.slopes[0], slope, rtol=1e-4)


def test_no_arrow_of_the_same_length_rises_more_than_the_gradients(film: Watched, surface: Surface) -> None:
    u, v = surface.path[0]
    assert len(film.ways) == BUNDLE + 1
    np.testing.assert_allclose(np.linalg.norm(film.ways, axis=1), film.length)
    slope = surface.walk.slopes[0]
    np.testing.assert_allclose(film.ways[-1] / film.length, slope / np.hypot(*slope))
    rises = [surface.height(u + across, v + along) - surface.height(u, v) for across, along in film.ways]
    np.testing.assert_allclose(film.rises, rises)
    assert max(rises[:-1]) < rises[-1] and min(rises) < 0
    np.testing.assert_array_equal(film.mountain.ways, film.ways)
    np.testing.assert_array_equal(film.mountain.origin, [u, v])


def test_the_gradients_arrow_grows_and_then_flips(film: Watched) -> None:
    grown = [frame.grown[-1] for frame in film.frames if frame.beat == "gradient" and len(frame.grown)]
    assert grown[0] == 0 and grown[-1] > 0.95 and grown == sorted(grown)
    flipped = [frame.grown[-1] for frame in film.frames if frame.beat == "downhill"]
    assert flipped[0] > 0.5 and flipped[-1] < -0.95 and flipped == sorted(flipped, reverse=True)


def test_the_bars_are_as_long_as_the_arrows_rise(film: Watched, surface: Surface) -> None:
    shown = [frame for frame in film.frames if frame.beat == "gradient"][-1]
    spread = max(film.rises[:-1]) - min(film.rises[:-1])
    assert shown.bars[1] / shown.bars[0] == pytest.approx(shown.grown[-1] * film.rises[-1] / spread)
    u, v = surface.path[0]
    across, along = film.ways[-1]
    fall = surface.height(u - across, v - along) - surface.height(u, v)
    assert film.bars.changes[-1] == pytest.approx(fall) and film.bars.printed.words == f"−{abs(fall):.3f}"


def test_every_printed_loss_is_the_true_one_of_the_step_in_the_corner(film: Watched, surface: Surface) -> None:
    of_step = dict(zip(surface.walk.steps.tolist(), surface.walk.true_losses, strict=True))
    frames = [frame for frame in film.frames if frame.beat == "walk" and frame.position >= 0]
    assert len({frame.step for frame in frames}) > 30
    for frame in frames:
        assert frame.loss == f"{of_step[frame.step]:.3f}"
        reached = int(np.flatnonzero(surface.walk.steps == frame.step)[0])
        assert reached <= frame.position + 1e-6 < reached + 1


def test_the_ball_walks_all_steps_in_order_while_the_camera_turns(film: Watched, surface: Surface) -> None:
    frames = [frame for frame in film.frames if frame.beat == "walk" and frame.position > 0]
    positions, turns = [frame.position for frame in frames], [frame.azimuth for frame in frames]
    assert positions == sorted(positions) and positions[0] < 2
    assert float(film.mountain.position) == len(surface.walk) - 1
    assert turns in (sorted(turns), sorted(turns, reverse=True)) and abs(turns[-1] - turns[0]) > 20
    assert np.abs(np.diff(turns)).max() < 4, "degrees in a third of a second"


def test_how_often_the_loss_rose_is_counted(film: Watched, surface: Surface) -> None:
    rose = sum(
        later > earlier for earlier, later in zip(surface.walk.true_losses, surface.walk.true_losses[1:], strict=False)
    )
    assert any(f"{rose} of {len(surface.walk) - 1} times" in sentence for sentence, *_ in film.said)
    assert any("64 examples" in sentence for sentence, *_ in film.said)


def test_the_gap_is_told_where_it_is_largest(film: Watched, surface: Surface) -> None:
    worst = int(np.abs(surface.walk.gap).argmax())
    words = film.gap[1].words
    assert words == (
        f"step {surface.walk.steps[worst]}: walk {surface.walk.true_losses[worst]:.3f}, "
        f"ground {surface.plane_losses[worst]:.3f}"
    )
    assert float(film.mountain.stems) == 1


def test_the_last_frame_is_the_map_with_both_ends_named(film: Watched, surface: Surface) -> None:
    shown = film.mountain
    assert (float(shown.azimuth), float(shown.elevation)) == (-90, 90)
    last = film.stills[film.said[-1][0]]
    for name, place in (("start", 0), ("end", -1)):
        at = shown.at(*surface.path[place], surface.walk.true_losses[place])
        words, left, bottom, right, top = next(box for box in last if box[0].startswith(name))
        assert words == f"{name}, {surface.walk.true_losses[place]:.3f}"
        assert abs((left + right) / 2 - at[0]) < 0.3 and -0.8 < (bottom + top) / 2 - at[1] < 0
    low, high = shown.at(surface.u[0], surface.v[0], 0), shown.at(surface.u[-1], surface.v[-1], 0)
    share = (shown.at(*surface.path[20], 1.0) - low)[:2] / (high - low)[:2]
    expected = (surface.path[20] - [surface.u[0], surface.v[0]]) / [np.ptp(surface.u), np.ptp(surface.v)]
    np.testing.assert_allclose(share, expected)


def test_another_persons_surface_with_holes_and_a_wall_is_shown_without_a_trace(foreign_film: Watched) -> None:
    check_room(foreign_film)
    assert not hasattr(foreign_film, "trace")
    assert foreign_film.ceiling < 10
    assert "two random directions" in foreign_film.about.words
    assert np.argmax(foreign_film.rises) == BUNDLE


@pytest.mark.slow
def test_a_walk_that_lies_in_its_plane_is_not_said_to_leave_it() -> None:
    walk = foreign().walk
    scene = walked(
        replace(foreign(), walks={"walk": replace(walk, true_losses=walk.plane_losses)}), rate=1, painted=False
    )
    assert "gap" not in dict(scene.beats) and not any("not exactly" in sentence for sentence, *_ in scene.said)
    assert float(scene.mountain.elevation) == 90


def test_of_several_walks_it_says_which_one_it_shows() -> None:
    scene, walk = LossMountain.__new__(LossMountain), foreign().walk
    scene.ground = replace(foreign(), walks={"SGD": walk, "Adam": walk})
    scene.walked = scene.ground.walk
    assert scene.sentence_of_walk() == "Of the 2 recorded walks this is the first, SGD: it takes 41 steps."
    scene.ground = foreign()
    assert scene.sentence_of_walk() == "The recorded training takes 41 steps."


@pytest.mark.parametrize(
    ("losses", "recorded", "batch_norm", "said"),
    [
        ([2.0, 0.5], [2.0, 0.5], "none", "The loss falls from 2.000 to 0.500."),
        ([2.0, 4.0], [2.0, 4.0], "none", "The loss rises from 2.000 to 4.000."),
        ([2.0, 4.0], [2.0, 0.5], "as is",
         "The loss rises from 2.000 to 4.000: batch norm as the model has it, not as in training."),
        ([2.0, 4.0], [2.0, 4.0], "as is", "The loss rises from 2.000 to 4.000."),
    ],
)  # fmt: skip
def test_a_loss_that_rises_is_not_said_to_fall(
    losses: list[float], recorded: list[float], batch_norm: str, said: str
) -> None:
    scene = LossMountain.__new__(LossMountain)
    scene.ground = replace(foreign(), batch_norm=batch_norm)
    scene.walked = replace(scene.ground.walk, true_losses=np.array([*losses[:1] * 4, losses[-1]]),
                           losses=np.array([*recorded[:1] * 4, recorded[-1]]))  # fmt: skip
    scene.last = 4
    assert scene.sentence_of_batches() == said
    assert scene.words_about_plane().endswith("; batch norm as is") == (batch_norm == "as is")


def test_an_end_of_the_walk_near_the_maps_edge_has_its_name_above_it() -> None:
    whole = foreign()
    path = whole.walk.path.copy()
    path[-1] = (0.5, -0.95)
    near = replace(whole, walks={"walk": replace(whole.walk, path=path)})
    scene = walked(near, rate=1)
    last = list(scene.stills.values())[-1]
    assert list(overlaps(last)) == []
    end = next(box for box in last if box[0].startswith("end, "))
    assert end[2] > scene.mountain.at(0.5, -0.95, near.walk.true_losses[-1])[1]


def test_a_surface_without_slopes_or_without_a_walk_is_refused() -> None:
    with pytest.raises(SurfaceError, match="gradient at the walk's first step"):
        walked(foreign(slopes=False))
    with pytest.raises(SurfaceError, match="has no walk"):
        walked(replace(foreign(), walks={}))


def test_a_walk_that_begins_beside_the_surface_or_in_a_hole_is_refused() -> None:
    walk = foreign().walk
    with pytest.raises(SurfaceError, match="compute it again with a larger span"):
        walked(replace(foreign(), walks={"walk": replace(walk, path=walk.path + np.array([9, 0]))}))
    with pytest.raises(SurfaceError, match="has a hole there"):
        walked(replace(foreign(), losses=np.full_like(foreign().losses, np.nan)))


def test_another_run_of_the_lesson_gets_a_plane_of_its_own(surface: Surface, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def find(of: object, **choice: object) -> Surface:
        asked.append(choice)
        far = replace(surface.walk, path=surface.path + np.array([3, 0]))
        return replace(surface, walks={"walk": far}) if len(asked) == 1 else surface

    monkeypatch.setattr("explainer.mobjects.trace_scene.find_surface", find)
    scene = LossMountain.__new__(LossMountain)
    scene.trace = record_lesson("digits")
    scene.read()
    assert asked == [LossMountain.surfaces[0], {"plane": "pca", "resolution": 51}]
    assert scene.ground is surface


def test_the_film_says_in_its_file_which_surface_it_draws() -> None:
    from explainer.render import scenes_of

    (scene,) = scenes_of(Path(__file__).parent.parent / "scenes" / "loss_mountain.py")
    assert scene.lesson == "digits" and scene.surfaces == LossMountain.surfaces
