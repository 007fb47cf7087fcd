"""A page shows no other run's walk as its own."""

from __future__ import annotations

import numpy as np
import pytest
from surfaces import make_walk
from synthetic import small_run

from explainer.errors import TraceError
from explainer.page.relief import check_walk


class Recorded:
    """What is asked of a trace."""

    def __init__(self, steps: list[int], losses: list[float]) -> None:
        self.steps, self.scalars = np.array(steps), {"loss": np.array(losses)}


def test_the_walk_of_this_run_is_taken_at_the_steps_that_both_know() -> None:
    walk = make_walk()
    check_walk(walk, Recorded([0, 10, 15], [*walk.losses[:2], 9.0]), "folder")  # type: ignore[arg-type]


def test_a_loss_that_is_no_number_says_nothing_of_whose_walk_it_is() -> None:
    walk = make_walk()
    check_walk(walk, Recorded([0, 10], [np.nan, walk.losses[1]]), "folder")  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", [[0, 10], [3, 4]])
def test_another_runs_walk_is_refused(steps: list[int]) -> None:
    with pytest.raises(TraceError, match="is another run's"):
        check_walk(make_walk(), Recorded(steps, [7.0, 8.0]), "folder")  # type: ignore[arg-type]


def test_a_real_trace_is_told_apart_too() -> None:
    with pytest.raises(TraceError, match="is another run's"):
        check_walk(make_walk(), small_run(), "folder")
