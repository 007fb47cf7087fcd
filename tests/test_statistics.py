from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from explainer.moments import moments_of
from explainer.statistics import STATISTICS, merged, summarise


def summary_of(values: np.ndarray) -> dict[str, float]:
    row = summarise(np.array([moments_of(values)], np.float64))[0]
    return dict(zip(STATISTICS, row, strict=True))


def referee(values: np.ndarray) -> dict[str, float]:
    """The same by torch in float64."""
    tensor = torch.tensor(values).double()
    return {
        "mean": tensor.mean().item(),
        "std": tensor.std(correction=0).item(),
        "abs_mean": tensor.abs().mean().item(),
        "norm": tensor.norm().item(),
        "max_abs": tensor.abs().max().item(),
        "zero_fraction": (tensor == 0).double().mean().item(),
        "nonfinite": float((~tensor.isfinite()).sum()),
    }


CASES = {
    "normal": lambda random: random.normal(size=5000),
    "larger than a chunk": lambda random: random.normal(size=100_000),
    "half zeros": lambda random: np.maximum(random.normal(size=70_000), 0),
    "one zero among many": lambda random: np.append(random.normal(size=70_000), 0),
    "one value": lambda random: np.array([3.0]),
    "constant": lambda random: np.full(1000, 0.1),
    "mean far above std": lambda random: 1000 + random.normal(size=4000) * 0.01,
    "vanishing": lambda random: random.normal(size=500) * 1e-25,
    "huge": lambda random: random.normal(size=500) * 1e25,
    "all zero": lambda random: np.zeros(5000),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_statistics_equal_torch_in_float64(name: str, dtype: type) -> None:
    values = CASES[name](np.random.default_rng(0))
    values = np.clip(values, np.finfo(dtype).min, np.finfo(dtype).max).astype(dtype)
    expected = referee(values)
    assert summary_of(values) == pytest.approx(expected, rel=2e-5, abs=1e-5 * expected["abs_mean"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted(bad: float) -> None:
    values = np.ones(5000, np.float32)
    values[[3, 4000]] = bad
    found = summary_of(values)
    assert found["nonfinite"] == 2
    assert found["zero_fraction"] == 0
    assert not np.isfinite(found["norm"])


def test_an_empty_tensor_has_no_mean_and_norm_zero() -> None:
    found = summary_of(np.zeros(0, np.float32))
    assert np.isnan(found["mean"])
    assert found["norm"] == 0


def test_whole_numbers_are_summarised_too() -> None:
    assert summary_of(np.array([0, 1, 2, 5], np.int64)) == pytest.approx(referee(np.array([0, 1, 2, 5], np.int64)))


@given(st.lists(st.floats(-1e3, 1e3), max_size=40), st.lists(st.floats(-1e3, 1e3), max_size=40))
def test_moments_of_two_batches_merge_into_those_of_both(first: list[float], second: list[float]) -> None:
    both = merged(moments_of(np.array(first)), moments_of(np.array(second)))
    expected = moments_of(np.array(first + second))
    assert tuple(both) == pytest.approx(tuple(expected), rel=1e-9, abs=1e-6)
