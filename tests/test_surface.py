"""What a surface is, once it is there: checked, unchangeable, readable, saved."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hills import Hill, flat, full_batch_run, surface_of
from safetensors.numpy import load_file
from torch import nn

import explainer
from explainer.surface import Walk


@pytest.fixture(scope="module")
def hill() -> Hill:
    return full_batch_run()


@pytest.fixture(scope="module")
def surface(hill: Hill) -> explainer.Surface:
    return surface_of(hill, metrics={"largest/ä": lambda outputs, _: outputs.max()})


def made(**fields: Any) -> explainer.Surface:
    """A surface of two weights, written by hand."""
    one, two = {"w": np.array([1.0, 0.0])}, {"w": np.array([0.0, 2.0])}
    chosen = {
        "losses": np.array([[0.0, 1.0, 2.0], [10.0, 11.0, 12.0]]),
        "center": {"w": np.array([5.0, 6.0], np.float32)},
        "directions": (one, two),
        "plane": "given",
        "u": np.array([0.0, 1.0, 3.0]),
        "v": np.array([-1.0, 1.0]),
        **fields,
    }
    return explainer.Surface(**chosen)


def walk(**fields: Any) -> Walk:
    row, plane_losses = np.array([3.0, 2.0]), np.array([4.0, 0.0])
    chosen = {"steps": np.array([0, 4]), "path": np.zeros((2, 2)), "losses": row, "true_losses": row,
              "plane_losses": plane_losses, "off_plane": row, "slopes": np.zeros((2, 2)), "captured": 0.5}  # fmt: skip
    return Walk(**{**chosen, **fields})


def test_the_weights_of_a_point_are_the_center_and_so_much_of_each_direction() -> None:
    weights = made().weights_at(2.0, -0.5)
    assert weights["w"].tolist() == [7.0, 5.0]
    assert weights["w"].dtype == np.float32
    assert made().shadow(weights)[0] == pytest.approx([2.0, -0.5])


@pytest.mark.parametrize(
    ("u", "v", "height"),
    [(0, -1, 0), (3, 1, 12), (1, -1, 1), (2, -1, 1.5), (0.5, 0, 5.5), (3, 0, 7), (3.01, 0, None), (0, -1.01, None)],
)
def test_the_height_between_points_is_bilinear_and_none_off_the_grid(u: float, v: float, height: float | None) -> None:
    found = made().height(u, v)
    assert np.isnan(found) if height is None else found == pytest.approx(height)


def test_the_height_beside_a_point_without_a_loss_is_none() -> None:
    losses = np.array([[0.0, 1.0, np.nan], [10.0, 11.0, 12.0]])
    assert made(losses=losses).height(0.5, 0) == pytest.approx(5.5)
    assert np.isnan(made(losses=losses).height(2.0, 0))


def test_a_surface_cannot_be_changed(surface: explainer.Surface) -> None:
    with pytest.raises(FrozenInstanceError):
        surface.plane = "other"  # type: ignore[misc]
    arrays = [surface.losses, surface.u, surface.evaluated, surface.walk.path, surface.center["0.weight"]]
    arrays += [surface.directions[1]["0.bias"], surface.metrics["largest/ä"], surface.walk.steps]
    for values in arrays:
        with pytest.raises(ValueError, match="read-only"):
            values[...] = 0


def test_an_array_given_to_a_surface_stays_its_owners() -> None:
    own = np.zeros((2, 3))
    surface = made(losses=own)
    own[0, 0] = 1.0  # no error
    assert surface.losses.shape == (2, 3)


def test_a_surface_can_be_copied_and_sent_to_another_process(surface: explainer.Surface) -> None:
    for twin in (copy.deepcopy(surface), pickle.loads(pickle.dumps(surface))):  # noqa: S301  (our own)
        assert np.array_equal(twin.losses, surface.losses)
        assert flat(twin.weights_at(1, 1)).tolist() == flat(surface.weights_at(1, 1)).tolist()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"losses": np.zeros((3, 2))}, r"losses of 3 points along u and 2 along v are \(3, 2\)"),
        ({"u": np.array([0.0, 0.0, 1.0])}, "u is no rising row of at least two numbers"),
        ({"v": np.array([0.0]), "losses": np.zeros((1, 3))}, "v is no rising row"),
        ({"directions": ({"w": np.zeros(2)},)}, "a plane has two directions, and there are 1"),
        ({"directions": ({"w": np.zeros(2)}, {"b": np.zeros(2)})}, "direction 1 is of other parameters"),
        ({"directions": ({"w": np.zeros(2)}, {"w": np.zeros(3)})}, r"'w' is \(3,\) in direction 1, and \(2,\) in all"),
        ({"metrics": {"m": np.zeros(2)}}, r"'m' is \(2,\), and losses \(2, 3\)"),
        ({"evaluated": np.ones((3, 2), bool)}, "evaluated of 3 points along u"),
        ({"walks": {"a": walk(path=np.zeros((2, 1)), slopes=np.zeros((2, 1)))}}, "the path of the walk 'a' has 1"),
    ],
)  # fmt: skip
def test_what_does_not_hold_together_makes_no_surface(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(explainer.SurfaceError, match=message):
        made(**fields)


def test_what_does_not_hold_together_makes_no_walk() -> None:
    with pytest.raises(explainer.SurfaceError, match=r"losses of 2 steps is \(3,\)"):
        walk(losses=np.zeros(3))
    with pytest.raises(explainer.SurfaceError, match=r"the path of 2 steps is \(3, 2\)"):
        walk(path=np.zeros((3, 2)), slopes=np.zeros((3, 2)))
    with pytest.raises(explainer.SurfaceError, match=r"slopes are \(2, 1\), the path is \(2, 2\)"):
        walk(slopes=np.zeros((2, 1)))


def test_weights_that_do_not_fit_have_no_shadow(surface: explainer.Surface) -> None:
    weights = surface.weights_at(0, 0)
    with pytest.raises(explainer.SurfaceError, match=r"'0.weight' is .* and the surface's model has"):
        surface.shadow({**weights, "0.weight": np.zeros(3)})
    weights.pop("2.bias")
    with pytest.raises(explainer.SurfaceError, match=r"the weights lack '2.bias'"):
        surface.shadow(weights)


def test_the_summary_says_how_far_a_surface_can_be_trusted() -> None:
    losses = np.array([[0.25, 1.0, np.inf], [10.0, 11.0, 12.0]])
    text = made(losses=losses, walks={"α = 0.1": walk()}, data="64 examples", tolerance=0.005, worst=0.0031,
                evaluated=np.array([[True, False, True], [True, False, True]])).summary()  # fmt: skip
    assert text.splitlines() == [
        "plane 'given': 3×2 points, u 0 to 3, v -1 to 1",
        "loss 0.25 to 12, 1 of 6 points not finite; 64 examples; running statistics of norms: none",
        "evaluated 4 of 6 points; the others interpolated: 0.31% off at worst where that was checked, 0.50% allowed",
        "α = 0.1: 2 steps, 50.0% of their variance in the plane; at most 3 off it; "
        "largest gap between the plane's loss and the true one -2 at step 4",
    ]
    assert "nowhere finite" in made(losses=np.full((2, 3), np.nan)).summary()
    assert repr(made(walks={"a": walk()})) == "<Surface 3×2, plane 'given', , a: 50.0% captured>"
    assert repr(walk()) == "<Walk of 2 steps, steps 0 to 4, 50.0% captured>"


# On disk


def test_a_saved_surface_is_the_same_when_opened(surface: explainer.Surface, tmp_path: Path) -> None:
    full = replace(surface, tolerance=0.01, worst=0.002, notes={"a": [1, None, "é"], **surface.notes})
    again = explainer.open_surface(full.save(tmp_path / "deep" / "folder"))
    assert again.summary() == full.summary()
    for name in ("losses", "u", "v", "evaluated"):
        assert np.array_equal(getattr(again, name), getattr(full, name))
        assert getattr(again, name).dtype == getattr(full, name).dtype
    for name in ("plane", "data", "batch_norm", "tolerance", "worst", "notes"):
        assert getattr(again, name) == getattr(full, name)
    for name in ("steps", "path", "losses", "true_losses", "plane_losses", "off_plane", "slopes"):
        assert np.array_equal(getattr(again.walk, name), getattr(full.walk, name))
    assert again.captured == full.captured
    assert list(again.center) == list(full.center)
    assert np.array_equal(again.metrics["largest/ä"], full.metrics["largest/ä"])
    for first, second in zip((again.center, *again.directions), (full.center, *full.directions), strict=True):
        assert all(
            np.array_equal(first[name], second[name]) and first[name].dtype == second[name].dtype for name in first
        )


def test_any_safetensors_library_reads_the_numbers(surface: explainer.Surface, tmp_path: Path) -> None:
    arrays = load_file(surface.save(tmp_path / "s") / "surface.safetensors")
    assert np.array_equal(arrays["losses"], surface.losses)
    assert np.array_equal(arrays["center/0.weight"], surface.center["0.weight"])
    assert np.array_equal(arrays["walk0/steps"], surface.walk.steps)


def test_what_is_not_finite_is_no_number_of_json_and_comes_back(tmp_path: Path) -> None:
    losses = np.array([[np.nan, np.inf, -np.inf], [1.0, 2.0, 3.0]])
    odd = made(losses=losses, walks={"a": walk(captured=float("nan"))}, notes={"x": float("inf"), "y": np.float32(1)})
    folder = odd.save(tmp_path / "s")
    json.loads((folder / "surface.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    again = explainer.open_surface(folder)
    assert np.array_equal(again.losses, losses, equal_nan=True)
    assert np.isnan(again.captured)
    assert again.notes == {"x": None, "y": 1.0}


def test_bfloat16_weights_are_kept_as_float32(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2).bfloat16()
    data = torch.ones(2, 3).bfloat16(), torch.ones(2, 2).bfloat16()
    found = explainer.loss_surface(model, nn.MSELoss(), data, plane="random", resolution=2, progress=False)
    again = explainer.open_surface(found.save(tmp_path / "s"))
    assert again.center["weight"].dtype == np.float32
    assert torch.equal(torch.tensor(again.center["weight"]).bfloat16(), model.weight.detach())


def test_a_surface_may_be_saved_again_in_its_own_folder_and_in_no_other(
    surface: explainer.Surface, tmp_path: Path
) -> None:
    folder = surface.save(tmp_path / "s")
    replace(surface, plane="given").save(folder)
    assert explainer.open_surface(folder).plane == "given"
    assert sorted(path.name for path in folder.iterdir()) == ["surface.json", "surface.safetensors"]
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").touch()
    with pytest.raises(explainer.SurfaceError, match="holds something that is no surface: choose a new folder"):
        surface.save(tmp_path / "taken")
    with pytest.raises(explainer.SurfaceError, match=r"thesis.tex is a file; a surface is a folder"):
        surface.save(tmp_path / "taken" / "thesis.tex")
    with pytest.raises(explainer.SurfaceError, match=r"cannot be made: .*; choose another path"):
        surface.save(tmp_path / "taken" / "thesis.tex" / "below")


def test_opening_and_reading_a_surface_loads_no_torch(surface: explainer.Surface, tmp_path: Path) -> None:
    from test_house import packages_loaded_by

    folder = surface.save(tmp_path / "s")
    reading = """
import sys, explainer
surface = explainer.open_surface(sys.argv[1])
surface.summary(), surface.height(0, 0), surface.shadow(surface.weights_at(1, 1)), surface.path
"""
    assert not packages_loaded_by(reading, str(folder)) & {"torch", "matplotlib", "manim", "scipy"}
