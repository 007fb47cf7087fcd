"""Counts in bins: against numpy's own histogram, and against every value counted one by one."""

from __future__ import annotations

import numpy as np
import pytest

from explainer.distributions import MAGNITUDES, magnitudes, spread

VALUES = np.random.default_rng(0).normal(size=(8, 50)).astype(np.float32) * 10.0 ** np.arange(-5, 3).reshape(-1, 1)


def test_magnitudes_are_numpys_histogram_of_their_logarithms() -> None:
    found = magnitudes(VALUES)
    expected, _ = np.histogram(np.log10(np.abs(VALUES.ravel().astype(np.float64))), bins=MAGNITUDES)
    assert found.counts.tolist() == expected.tolist()
    assert found.held == found.size == VALUES.size


def test_zeros_and_what_is_not_finite_are_counted_apart_and_signs_do_not_matter() -> None:
    found = magnitudes(np.array([0.0, -0.0, 5.0, -5.0, np.inf, np.nan], np.float32))
    assert (found.zeros, found.nonfinite, found.held, found.size) == (2, 2, 2, 6)
    assert found.zero_share == pytest.approx(1 / 3)
    assert found.counts.max() == 2


@pytest.mark.parametrize("value", [1e-45, 1e-38, 1.0, 3.4e38])
def test_every_size_that_float32_holds_has_its_bin(value: float) -> None:
    found = magnitudes(np.array([value], np.float32))
    (bin_,) = np.flatnonzero(found.counts)
    logarithm = np.log10(float(np.float32(value)))
    assert found.edges[bin_] <= logarithm <= found.edges[bin_ + 1]


def test_integers_and_truth_values_are_values_too() -> None:
    assert magnitudes(np.array([3, -3, 0])).held == 2
    assert spread(np.array([True, False, True]), [0, 0.5, 1]).counts.tolist() == [1, 2]


def test_values_between_edges_are_numpys_histogram() -> None:
    edges = np.linspace(-2, 2, 9)
    found = spread(VALUES, edges)
    assert found.counts.tolist() == np.histogram(VALUES, bins=edges)[0].tolist()
    assert found.size == VALUES.size


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_a_quantile_is_numpys_but_for_a_bin(share: float) -> None:
    logarithms = np.log10(np.abs(VALUES))
    assert magnitudes(VALUES).quantile(share) == pytest.approx(np.quantile(logarithms, share), abs=2 / 16)


def test_of_no_values_there_is_no_quantile_and_no_share() -> None:
    empty = magnitudes(np.zeros((0, 3)))
    assert np.isnan(empty.quantile(0.5)) and np.isnan(empty.zero_share)
    assert np.isnan(magnitudes(np.zeros(3)).quantile(0.5))


def test_a_part_in_fewer_bins_holds_the_same_values() -> None:
    whole = magnitudes(VALUES)
    part = whole.between(-8, 6, 20)
    assert part.held == whole.held and len(part.counts) <= 20
    assert part.edges[0] == pytest.approx(-8) and part.edges[-1] >= 6
    assert np.histogram(np.log10(np.abs(VALUES)), bins=part.edges)[0].tolist() == part.counts.tolist()
    assert 0 < whole.between(-1, 0, 20).held < whole.held


def test_the_median_is_that_of_the_values_themselves() -> None:
    assert magnitudes(VALUES).median == np.median(np.abs(VALUES.astype(np.float64)))
    assert magnitudes(np.array([0, -1.0, 1.0, np.inf])).median == 1
    assert spread(VALUES, [-1, 0, 1]).median == np.median(VALUES.astype(np.float64))
    assert np.isnan(magnitudes(np.zeros(3)).median)
