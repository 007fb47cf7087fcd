"""The surface around the current weights, at several steps: one pair of directions, one scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hills import Hill, flat, full_batch_run, loss_at
from networks import Residual, batch_for, seeded
from torch import nn

import explainer


@pytest.fixture(scope="module")
def hill() -> Hill:
    return full_batch_run()


def sequence_of(hill: Hill, **options: Any) -> explainer.SurfaceSequence:
    chosen = {"resolution": (5, 3), "progress": False, **options}
    return explainer.surface_sequence(hill.trace, hill.model, hill.criterion, hill.data, **chosen)


def test_each_steps_weights_stand_in_the_middle_of_its_surface(hill: Hill) -> None:
    sequence = sequence_of(hill, steps=[0, 4, -1])
    assert sequence.steps.tolist() == [0, 4, 11]
    assert len(sequence) == 3
    for step, surface, loss in zip(sequence.steps, sequence, sequence.step_losses, strict=True):
        recorded = {name: hill.trace.parameters[name][int(step)] for name in surface.center}
        assert np.array_equal(flat(surface.center), flat(recorded))
        assert loss == pytest.approx(hill.trace.scalars["loss"][int(step)], abs=1e-6)
        assert surface.losses[1, 2] == pytest.approx(loss, rel=1e-5)
        assert surface.losses[2, 0] == pytest.approx(loss_at(hill, surface.weights_at(-1.0, 1.0)), rel=1e-5)
        assert surface.notes["center"] == f"step {step}"
    assert sequence.lowest == min(surface.losses.min() for surface in sequence)
    assert sequence.highest == max(surface.losses.max() for surface in sequence)


def test_the_directions_are_one_pair_normalised_to_the_last_weights(hill: Hill) -> None:
    sequence = sequence_of(hill, steps=3)
    for surface in sequence:
        for own, first in zip(surface.directions, sequence[0].directions, strict=True):
            assert np.array_equal(flat(own), flat(first))
    row = sequence[0].directions[0]["0.weight"][2]
    assert np.linalg.norm(row) == pytest.approx(np.linalg.norm(hill.trace.parameters["0.weight"][-1][2]), rel=1e-5)
    assert np.linalg.norm(row) != pytest.approx(np.linalg.norm(hill.trace.parameters["0.weight"][0][2]), rel=1e-2)


@pytest.mark.parametrize(("steps", "wanted"), [(2, [0, 11]), (5, [0, 3, 6, 8, 11]), (99, list(range(12)))])
def test_a_number_of_steps_is_spread_evenly_with_both_ends(hill: Hill, steps: int, wanted: list[int]) -> None:
    assert sequence_of(hill, steps=steps, resolution=2).steps.tolist() == wanted


def test_progress_is_told_of_all_surfaces_together(hill: Hill) -> None:
    told: list[tuple[int, int]] = []
    sequence_of(hill, steps=3, progress=lambda done, total: told.append((done, total)))
    assert {total for _, total in told} == {3 * 15}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (45, 45)


@pytest.mark.parametrize("plane", ["pca", "ends", "hessian"])
def test_other_planes_are_carried_along_too(hill: Hill, plane: str) -> None:
    sequence = sequence_of(hill, steps=2, plane=plane)
    assert {surface.plane for surface in sequence} == {plane}


def test_norms_and_modes_are_those_asked_for() -> None:
    model = seeded(Residual)
    criterion, data = nn.CrossEntropyLoss(), batch_for(Residual(), 0)
    from hills import recorded

    hill = recorded(model, criterion, data, 3, 0.1)
    sequence = sequence_of(hill, steps=2, batch_norm="re-estimated", resolution=3)
    assert sequence[0].batch_norm == "re-estimated"
    assert sequence.step_losses == pytest.approx([each.losses[1, 1] for each in sequence], rel=1e-6)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (1, "steps is 1: give how many, from 2 on, or which"),
        ([], "steps names no step"),
        (None, "steps is None: give how many, or which"),
        (["first"], r"steps is \['first'\]: give"),
    ],
)
def test_steps_that_are_none_are_told(hill: Hill, steps: Any, message: str) -> None:
    with pytest.raises(explainer.SurfaceError, match=message):
        sequence_of(hill, steps=steps)
    with pytest.raises(explainer.TraceError, match="step 50 was not recorded; the nearest is 11"):
        sequence_of(hill, steps=[0, 50])


def test_a_saved_sequence_is_the_same_when_opened(hill: Hill, tmp_path: Path) -> None:
    sequence = sequence_of(hill, steps=3)
    again = explainer.open_surface_sequence(sequence.save(tmp_path / "five"))
    assert again.steps.tolist() == sequence.steps.tolist()
    assert again.step_losses.tolist() == sequence.step_losses.tolist()
    assert all(np.array_equal(one.losses, other.losses) for one, other in zip(again, sequence, strict=True))


@pytest.mark.slow
def test_storyboard_11_at_the_start_there_is_no_way_down_and_at_the_end_a_bowl() -> None:
    from explainer import lessons
    from explainer.lessons import digits

    trace = lessons.record_lesson("digits")
    images = digits.images()
    sequence = explainer.surface_sequence(
        trace, digits.model(3), nn.NLLLoss(), (images.train, images.train_digits), steps=[0, 22, 45, 114, -1],
        resolution=9, progress=False,
    )  # fmt: skip
    rims = [np.concatenate([s.losses[0], s.losses[-1], s.losses[:, 0], s.losses[:, -1]]) for s in sequence]
    first, last = sequence[0], sequence[-1]
    assert first.losses[4, 4] == pytest.approx(2.303, abs=0.005)  # ln 10: it knows nothing
    assert first.losses.min() > first.losses[4, 4] - 0.005  # nowhere in the plane is it better
    assert (np.diff(sequence.step_losses) < 0).all()
    assert sequence.step_losses == pytest.approx([2.304, 1.966, 1.212, 0.324, 0.084], abs=0.03)
    assert last.losses[4, 4] == last.losses.min()  # the bottom of a bowl
    assert all(rim.min() > centre for rim, centre in zip(rims, sequence.step_losses, strict=True))
    assert 2.0 < rims[-1].max() < 2.8
