"""ShiftingSurface: the ground is what was evaluated at each step, the ball never moves sideways, and says its loss."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")
torch = pytest.importorskip("torch")

from torch.func import functional_call  # noqa: E402

from explainer.errors import SurfaceError, TraceError  # noqa: E402
from explainer.lessons import lesson_sequence, lesson_surface, problem_of, record_lesson  # noqa: E402
from explainer.surface import Surface, SurfaceSequence  # noqa: E402
from explainer.trace import Trace  # noqa: E402
from scenes.shifting_surface import ShiftingSurface  # noqa: E402
from tests.filmed import CanBeSeen, Watching, check_room, run  # noqa: E402

STEPS = [0, 22, 45, 114, 459]  # the start, and the last step of epochs 1, 2, 5 and 20


@dataclass
class Frame:
    """What one frame said."""

    step: int
    heights: np.ndarray
    ball: np.ndarray
    place: np.ndarray
    printed: tuple[str, str]
    position: float


class Watched(Watching, ShiftingSurface):
    """The film, looked at in every frame and at the end of every sentence."""

    def look(self) -> None:
        if self.beats[-1][0] == "training":
            u, v, loss = self.ground.spot
            self.frames.append(
                Frame(
                    int(self.clock.counter.words), self.ground.heights.copy(), self.ground.spot.copy(),
                    self.ground.at(u, v, loss), (self.counter.words, self.at_step.counter.words), self.curve.position,
                )
            )  # fmt: skip


@pytest.fixture(scope="module")
def trace() -> Trace:
    return record_lesson("digits")


@pytest.fixture(scope="module")
def sequence(trace: Trace) -> SurfaceSequence:
    return lesson_sequence(trace, steps=STEPS, resolution=9)


@pytest.fixture(scope="module")
def fitted(trace: Trace) -> Surface:
    return lesson_surface(trace, plane="pca", resolution=7)


@pytest.fixture(scope="module")
def given(sequence: SurfaceSequence, fitted: Surface, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("surfaces")
    return {
        "EXPLAINER_SEQUENCE": str(sequence.save(folder / "sequence")),
        "EXPLAINER_SURFACE": str(fitted.save(folder / "pca")),
    }


@pytest.fixture(scope="module")
def film(trace: Trace, given: dict[str, str]) -> Watched:
    return run(Watched, given, trace=trace)


@pytest.fixture(scope="module")
def light(trace: Trace, given: dict[str, str]) -> Watched:
    return run(Watched, {**given, "EXPLAINER_THEME": "light"}, rate=1, painted=False, trace=trace)


class TestItCanBeSeen(CanBeSeen):
    seconds = 40, 55
    slack = 0.06  # the boxes of slanted axes' numbers touch


def rim(losses: np.ndarray) -> np.ndarray:
    """Return the losses along the border of a square grid."""
    return np.concatenate([losses[0], losses[-1], losses[:, 0], losses[:, -1]])


def test_at_the_start_the_ball_stands_at_ln_10_and_there_is_no_way_down_in_this_plane(
    sequence: SurfaceSequence,
) -> None:
    assert sequence.step_losses[0] == pytest.approx(np.log(10), abs=0.02)
    assert sequence.step_losses[0] - sequence[0].losses.min() < 0.02


def test_the_ground_sinks_and_bends_to_a_bowl_around_the_ball(sequence: SurfaceSequence) -> None:
    centers = sequence.step_losses
    assert (np.diff(centers) < -0.2).all()
    assert centers[-1] < 0.15
    for surface, center in zip(list(sequence)[1:], centers[1:], strict=True):
        assert rim(surface.losses).min() > center
        assert surface.losses.min() > center - 0.05
    assert rim(sequence[-1].losses).max() > 1.2


def test_the_loss_at_the_ball_is_the_networks_at_the_recorded_weights(film: Watched, trace: Trace) -> None:
    model, criterion, (inputs, targets) = problem_of(trace)
    for step, center in zip(STEPS, film.centers, strict=True):
        weights = {
            name: torch.from_numpy(np.array(trace.parameters[name][trace.index_of(step)])) for name in trace.parameters
        }
        with torch.no_grad():
            assert float(criterion(functional_call(model, weights, (inputs,)), targets)) == pytest.approx(
                center, rel=1e-5
            )


def test_the_film_looks_at_the_start_and_at_the_ends_of_four_epochs(film: Watched) -> None:
    assert film.moments() == STEPS
    words = {name for name, *_ in film.stills[[sentence for sentence, _, _ in film.said][1]]}
    assert "evaluated at steps 0, 22, 45, 114 and 459; in between it glides" in words


def test_the_ball_never_moves_sideways_neither_in_the_plane_nor_on_screen(film: Watched) -> None:
    assert len(film.frames) > 30
    np.testing.assert_array_equal([frame.ball[:2] for frame in film.frames], np.zeros((len(film.frames), 2)))
    across = [frame.place[0] for frame in film.frames]
    assert np.ptp(across) < 1e-9
    heights = [frame.place[1] for frame in film.frames]
    assert all(after <= before + 1e-9 for before, after in pairwise(heights)) and heights[0] - heights[-1] > 0.5


def test_between_evaluated_steps_the_ground_glides_and_only_their_losses_are_printed(
    film: Watched, sequence: SurfaceSequence
) -> None:
    printed = list(dict.fromkeys(frame.printed for frame in film.frames))
    assert printed == [(f"{loss:.3f}", str(step)) for loss, step in zip(sequence.step_losses, STEPS, strict=True)]
    held = 0
    for frame in film.frames:
        moment = STEPS.index(int(frame.printed[1]))
        before, after = sequence[moment].losses, sequence[min(moment + 1, len(STEPS) - 1)].losses
        low, high = np.minimum(before, after), np.maximum(before, after)
        assert ((frame.heights >= low - 1e-9) & (frame.heights <= high + 1e-9)).all()
        assert frame.ball[2] == pytest.approx(  # the ball is on the ground that is drawn
            frame.heights[4, 4], abs=0.02
        )
        held += bool(np.array_equal(frame.heights, before))
    assert held >= len(STEPS)


def test_the_clock_goes_through_recorded_steps_in_order_with_the_curve(film: Watched, trace: Trace) -> None:
    steps = [frame.step for frame in film.frames]
    assert steps == sorted(steps) and set(steps) <= set(trace.steps.tolist())
    assert (steps[0], steps[-1]) == (0, 459)
    for frame in film.frames:
        assert int(frame.position + 1e-9) == trace.index_of(frame.step)
    np.testing.assert_array_equal(film.curve.values, trace.scalars["loss"])


def test_the_share_of_the_walk_in_the_random_plane_is_that_of_plain_least_squares(
    film: Watched, trace: Trace, sequence: SurfaceSequence
) -> None:
    axes = np.stack(
        [np.concatenate([np.ravel(part) for part in way.values()]) for way in sequence[-1].directions], axis=1
    )
    flat = np.concatenate(
        [np.asarray(each, float).reshape(len(trace), -1) for each in trace.parameters.values()], axis=1
    )
    offsets = (flat - flat[-1]).T
    basis, _ = np.linalg.qr(axes.astype(float))
    expected = np.square(basis.T @ offsets).sum() / np.square(offsets).sum()
    assert film.captured() == pytest.approx(expected, rel=1e-3)
    assert expected < 0.03


def test_the_fitted_plane_stands_beside_with_its_walk_and_both_shares(film: Watched, fitted: Surface) -> None:
    np.testing.assert_array_equal(film.fitted.heights, fitted.losses)
    np.testing.assert_array_equal(film.fitted.path, np.column_stack([fitted.path, fitted.walk.true_losses]))
    assert film.fitted.position == len(fitted.walk) - 1
    words = {name for name, *_ in film.stills["The walk can be seen only in a plane that was fitted to it afterwards."]}
    assert f"captures {100 * fitted.captured:.3g} % of the walk’s distance²" in words
    assert f"captures {100 * film.captured():.3g} % of the walk’s distance²" in words
    assert fitted.captured > 0.9


def test_the_last_frame_has_five_slices_on_one_scale_the_ball_in_each(film: Watched, sequence: SurfaceSequence) -> None:
    assert len(film.row) == 5
    for ground, surface, center in zip(film.row, sequence, sequence.step_losses, strict=True):
        np.testing.assert_array_equal(ground.heights, surface.losses)
        np.testing.assert_array_equal(ground.spot, (0, 0, center))
        assert (ground.floor, ground.ceiling) == (min(0, sequence.lowest), sequence.highest)
        assert float(ground.zoom) == float(film.row[0].zoom)
    heights = [ground.at(0, 0, center)[1] for ground, center in zip(film.row, sequence.step_losses, strict=True)]
    drops = (heights[0] - np.array(heights)) / (sequence.step_losses[0] - sequence.step_losses + 1e-12)
    np.testing.assert_allclose(drops[1:], drops[1], rtol=1e-6)  # one scale: height for loss, in all of them
    across = [ground.at(0, 0, 0)[0] for ground in film.row]
    np.testing.assert_allclose(np.diff(across), np.diff(across)[0])
    words = {name for name, *_ in list(film.stills.values())[-1]}
    assert {f"step {step}" for step in STEPS} | {f"{center:.3f}" for center in sequence.step_losses} <= words


def test_captions_are_true(film: Watched, sequence: SurfaceSequence) -> None:
    first, last = sequence[0].losses, rim(sequence[-1].losses)
    sentences = [sentence for sentence, _, _ in film.said]
    assert sentences == [
        "We drew a mountain and a ball that rolls down it. That picture is a slice chosen after the fact.",
        f"Here is one chosen before: two random directions at step 0. Loss {first.min():.2f} to {first.max():.2f}.",
        "Where is the way down? Not in this plane: the network has 109,386 directions.",
        "Training runs. The ball never moves sideways: the ground sinks and bends around it.",
        f"At step 459 it stands at {sequence.step_losses[-1]:.3f}, in a bowl whose rim is {last.min():.1f} to "
        f"{last.max():.1f} high.",
        "The walk can be seen only in a plane that was fitted to it afterwards.",
        "One training run, one pair of directions: what a step sees changes with every step.",
    ]


def test_a_slice_with_a_way_down_and_holes_is_told_as_it_is(
    trace: Trace, sequence: SurfaceSequence, given: dict[str, str], tmp_path: Path
) -> None:
    losses = sequence[0].losses.copy()
    losses[0, 0], losses[8, 8], losses[8, 7] = 0.5, np.nan, np.inf
    slices = (replace(sequence[0], losses=losses), *list(sequence)[1:3])
    changed = SurfaceSequence(sequence.steps[:3], slices, sequence.step_losses[:3])
    environment = {**given, "EXPLAINER_SEQUENCE": str(changed.save(tmp_path / "changed"))}
    scene = run(Watched, environment, rate=1, trace=trace)
    sentences = [sentence for sentence, _, _ in scene.said]
    assert sentences[1].endswith(f"Loss 0.50 to {losses[np.isfinite(losses)].max():.2f}.")
    assert sentences[2] == f"The lowest point here is 0.500; training came to {sequence.step_losses[2]:.3f}."
    check_room(scene, slack=0.06)


def test_a_trace_of_no_lesson_is_told_how_its_surfaces_are_made() -> None:
    bare = record_bare(criterion=True)
    with pytest.raises(TraceError, match=r"(?s)of no lesson.*surface_sequence\(.*EXPLAINER_SEQUENCE=FOLDER"):
        run(ShiftingSurface, trace=bare)


def test_a_trace_without_a_loss_or_weights_is_told_what_to_record() -> None:
    with pytest.raises(TraceError, match=r"shows the loss.*criterion=criterion"):
        run(ShiftingSurface, trace=record_bare(criterion=False))
    with pytest.raises(TraceError, match=r'(?s)draws parameters.*keep=\("parameters",\)'):
        run(ShiftingSurface, trace=record_bare(criterion=True, keep=("updates",)))


def test_surfaces_of_steps_that_the_trace_does_not_have_are_refused(given: dict[str, str]) -> None:
    short = record_lesson("digits", steps=30)
    with pytest.raises(SurfaceError, match=r"(?s)step 45 was not recorded.*surface_sequence\(trace"):
        run(ShiftingSurface, given, trace=short)


def record_bare(*, criterion: bool, **options: object) -> Trace:
    import explainer

    model, loss = torch.nn.Linear(4, 2), torch.nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    chosen = {"criterion": loss, **options} if criterion else options
    with explainer.record(model, optimizer=optimizer, **chosen) as recorder:  # type: ignore[arg-type]
        for _ in range(3):
            optimizer.zero_grad()
            loss(model(torch.ones(3, 4)), torch.zeros(3, 2)).backward()
            optimizer.step()
    return recorder.trace
