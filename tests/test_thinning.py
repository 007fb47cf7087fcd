"""What is left of a long run keeps its peaks, its gaps and its order."""

from __future__ import annotations

import numpy as np

from explainer.thinning import bins, envelope, layer_groups


def test_bins_cover_every_place_once_and_in_order() -> None:
    for count, most in ((0, 5), (3, 5), (5, 5), (17, 5), (100_000, 999)):
        places = [place for part in bins(count, most) for place in range(part.start, part.stop)]
        assert places == list(range(count))
        assert len(bins(count, most)) == min(count, most)


def test_a_short_curve_keeps_every_point() -> None:
    x, y = envelope([0, 1, 2], [5.0, np.nan, 4.0])
    assert x.tolist() == [0, 1, 2]
    assert np.array_equal(y, [5.0, np.nan, 4.0], equal_nan=True)


def test_a_single_peak_among_a_hundred_thousand_steps_stays() -> None:
    y = np.random.default_rng(0).normal(size=100_000)
    y[61_803], y[31_415] = 99.0, -99.0
    x, thin = envelope(np.arange(len(y)), y, 500)
    assert len(thin) <= 1000
    assert (np.diff(x) > 0).all()
    assert thin.max() == 99.0 and thin.min() == -99.0
    assert (y[x.astype(int)] == thin).all()


def test_a_stretch_without_numbers_stays_a_gap() -> None:
    y = np.ones(10_000)
    y[4_000:6_000] = np.nan
    x, thin = envelope(np.arange(len(y)), y, 100)
    assert np.isnan(thin[(x >= 4_000) & (x < 6_000)]).all()
    assert not np.isnan(thin[x < 4_000]).any()


def test_few_layers_stand_for_themselves() -> None:
    assert layer_groups(["a", "b.c"], 2) == [("a", [0]), ("b.c", [1])]


def test_many_layers_are_grouped_by_the_names_that_they_share() -> None:
    layers = [f"block{block}.conv{conv}" for block in range(3) for conv in range(4)] + ["head"]
    assert layer_groups(layers, 5) == [
        ("block0", [0, 1, 2, 3]),
        ("block1", [4, 5, 6, 7]),
        ("block2", [8, 9, 10, 11]),
        ("head", [12]),
    ]


def test_layers_that_share_no_names_are_grouped_by_their_place() -> None:
    groups = layer_groups([str(place) for place in range(200)], 30)
    assert len(groups) == 30
    assert [place for _, places in groups for place in places] == list(range(200))
    assert groups[0][0] == "0 … 6"


def test_where_names_would_leave_too_few_groups_neighbours_are_joined() -> None:
    layers = [f"blocks.{block}.{part}" for block in range(50) for part in ("attention", "linear")]
    groups = layer_groups(["embedding", *layers], 20)
    assert len(groups) == 20
    assert [place for _, places in groups for place in places] == list(range(101))
    assert groups[:2] == [("embedding … blocks.1", [0, 1, 2, 3, 4]), ("blocks.2 … 3", [5, 6, 7, 8])]


def test_a_layer_that_is_joined_with_none_keeps_its_name() -> None:
    assert [name for name, _ in layer_groups(["a", "b", "c"], 2)] == ["a … b", "c"]
