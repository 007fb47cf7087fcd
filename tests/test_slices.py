"""A line through the weights: its losses, its slope, and rows 11 to 14 of the lecture's table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hills import Hill, flat, full_batch_run, loss_at
from networks import Residual, batch_for, seeded
from torch import nn

import explainer


@pytest.fixture(scope="module")
def hill() -> Hill:
    return full_batch_run(dtype=torch.float64)


def slice_of(hill: Hill, **options: Any) -> explainer.Slice:
    return explainer.loss_slice(hill.model, hill.criterion, hill.data, **{"resolution": 9, **options})


def gradient_at(hill: Hill, weights: dict[str, Any]) -> np.ndarray[Any, Any]:
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    model.load_state_dict({name: torch.tensor(np.array(each)) for name, each in weights.items()})
    hill.criterion(model(hill.data[0]), hill.data[1]).backward()
    return flat({name: each.grad for name, each in model.named_parameters()})


def test_each_point_of_a_slice_is_what_a_plain_call_gives(hill: Hill) -> None:
    line = slice_of(hill, trace=hill.trace, step=2, span=(-1.0, 3.0))
    assert line.losses == pytest.approx([loss_at(hill, line.weights_at(t)) for t in line.t], rel=1e-9)
    assert line.t[[0, -1]].tolist() == [-1, 3]
    assert line.step == 2
    assert line.loss == pytest.approx(hill.trace.scalars["loss"][2], rel=1e-9)


@pytest.mark.parametrize("direction", ["gradient", "recorded gradient", "update", "random"])
def test_row_12_the_slope_is_autograd_times_the_direction_and_the_finite_difference(hill: Hill, direction: str) -> None:
    line = slice_of(hill, trace=hill.trace, step=1, direction=direction)
    along = flat(line.directions[0])
    assert line.slope == pytest.approx(gradient_at(hill, dict(line.center)) @ along, rel=1e-9)
    step = 1e-5
    rise = loss_at(hill, line.weights_at(step)) - loss_at(hill, line.weights_at(-step))
    assert line.slope == pytest.approx(rise / (2 * step), rel=1e-6)
    assert line.plane == direction


def test_row_13_no_direction_of_the_same_length_rises_faster_than_the_gradient(hill: Hill) -> None:
    line = slice_of(hill, trace=hill.trace, step=0)
    uphill = flat(line.directions[0])
    assert np.linalg.norm(uphill) == pytest.approx(1)
    others = np.random.default_rng(0).standard_normal((1000, len(uphill)))
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    center, step = flat(line.center), 1e-4
    shapes = {name: values.shape for name, values in line.center.items()}

    def loss(weights: np.ndarray[Any, Any]) -> float:
        parts = np.split(weights, np.cumsum([int(np.prod(shape)) for shape in shapes.values()])[:-1])
        return loss_at(hill, {n: part.reshape(s) for (n, s), part in zip(shapes.items(), parts, strict=True)})

    rises = np.array([loss(center + step * each) for each in others]) - line.loss
    along_the_gradient = loss(center + step * uphill) - line.loss
    assert along_the_gradient > rises.max()
    assert along_the_gradient == pytest.approx(step * line.slope, rel=1e-3)


@pytest.mark.parametrize("step", [0, 5, -1])
def test_row_14_the_gradient_points_up_and_its_opposite_down(hill: Hill, step: int) -> None:
    line = slice_of(hill, trace=hill.trace, step=step, span=0.05, resolution=3)
    assert line.losses[2] > line.losses[1] > line.losses[0]
    assert line.slope > 0


def test_row_11_the_update_leads_to_the_next_steps_weights_and_loss(hill: Hill) -> None:
    line = slice_of(hill, trace=hill.trace, step=3, direction="update", span=(-1.0, 2.0), resolution=4)
    assert line.t.tolist() == [-1, 0, 1, 2]
    assert line.losses[1:3] == pytest.approx(hill.trace.scalars["loss"][3:5], rel=1e-9)
    assert flat(line.weights_at(1.0)) == pytest.approx(flat({n: hill.trace.parameters[n][4] for n in line.center}))
    assert line.walk.path[[3, 4], 0] == pytest.approx([0, 1])
    assert slice_of(hill, trace=hill.trace, step=3, direction="update").t[[0, -1]].tolist() == [-1, 2]


def test_the_recorded_gradient_of_a_full_batch_is_the_gradient(hill: Hill) -> None:
    recorded, computed = (
        slice_of(hill, trace=hill.trace, step=4, direction=d) for d in ("recorded gradient", "gradient")
    )
    assert flat(recorded.directions[0]) == pytest.approx(flat(computed.directions[0]), abs=1e-9)


def test_a_line_between_two_models_has_each_at_its_place(hill: Hill) -> None:
    other = full_batch_run(3, dtype=torch.float64, seed=4)
    for to in (other.model, other.model.state_dict()):
        line = slice_of(hill, to=to, resolution=7)
        assert line.plane == "line"
        assert line.t[[0, -1]].tolist() == [-0.25, 1.25]
        assert 0.0 in line.t.tolist()
        assert loss_at(hill, line.weights_at(1.0)) == pytest.approx(loss_at(hill, dict(other.model.named_parameters())))
        assert line.losses[1] == pytest.approx(loss_at(hill, dict(hill.model.named_parameters())))
        assert line.losses[6] == pytest.approx(loss_at(hill, line.weights_at(1.25)))
    assert line.slope == pytest.approx(gradient_at(hill, dict(line.center)) @ flat(line.directions[0]))


def test_a_line_to_a_model_with_statistics_of_its_own_is_warned_of() -> None:
    model, other = seeded(Residual).eval(), seeded(Residual).eval()
    with torch.no_grad():
        other.head.weight.add_(1)
        other.norm.running_var.add_(1)
    data = batch_for(model, 0)
    with pytest.warns(explainer.ExplainerWarning, match="to has running statistics of its own"):
        explainer.loss_slice(model, nn.CrossEntropyLoss(), data, to=other, resolution=3)
    explainer.loss_slice(model, nn.CrossEntropyLoss(), data, to=other, resolution=3, batch_norm="re-estimated")


def test_one_weight_has_a_slice_although_it_has_no_plane() -> None:
    model = nn.Linear(1, 1, bias=False)
    data = torch.ones(2, 1), torch.zeros(2, 1)
    zero, one = {"weight": [[0.0]]}, {"weight": [[1.0]]}
    line = explainer.loss_slice(model, nn.MSELoss(), data, center=zero, direction=one, span=2.0, resolution=5)
    assert line.losses == pytest.approx([4, 1, 0, 1, 4])  # ℓ = w²
    assert line.slope == 0.0
    assert line.step is None


def test_a_loss_without_a_gradient_has_a_slice_but_no_slope(hill: Hill) -> None:
    def share_wrong(outputs: torch.Tensor, targets: torch.Tensor) -> float:
        return float((outputs.argmax(1) != targets).double().mean())

    without = hill._replace(criterion=share_wrong)
    line = slice_of(without, direction="random")
    assert np.isnan(line.slope)
    assert line.loss == line.losses[4]
    with pytest.raises(explainer.SurfaceError, match="the loss has no gradient: the criterion returns a plain number"):
        slice_of(without)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": "gradiant"}, "no direction is called 'gradiant'. Did you mean 'gradient'"),
        ({"direction": "update"}, "direction='update' is one that was recorded: give trace=…"),
        ({"step": 3}, "step=3 is one of a trace: give trace=…"),
        ({"to": {}, "direction": "random"}, "a line leads to other weights, to=…, or along a direction"),
        ({"to": {}}, "to lacks '0.weight', '0.bias', '2.weight', '2.bias'"),
        ({"resolution": 1}, "resolution is 1: give"),
        ({"span": -1.0}, "span is -1.0: give"),
        ({"span": (1.0, 1.0)}, r"span is \(1.0, 1.0\): give"),
        ({"direction": np.zeros(43)}, "the direction is zero"),
    ],
)
def test_a_slice_that_is_none_is_told(hill: Hill, options: dict[str, Any], message: str) -> None:
    with pytest.raises(explainer.SurfaceError, match=message):
        slice_of(hill, **options)


def test_a_line_to_itself_or_without_a_gradient_is_told(hill: Hill) -> None:
    with pytest.raises(explainer.SurfaceError, match="to holds the very weights of the center"):
        slice_of(hill, to=hill.model)
    zero = {name: torch.zeros_like(each) for name, each in hill.model.named_parameters()}
    with pytest.raises(explainer.SurfaceError, match="the gradient at the center is zero, and points nowhere"):
        slice_of(hill._replace(criterion=lambda outputs, _: outputs.square().mean()), center=zero)
    with pytest.raises(explainer.TraceError, match="step 99 was not recorded; the nearest is 11"):
        slice_of(hill, trace=hill.trace, step=99)
    bare = full_batch_run(3, dtype=torch.float64, keep=("parameters",))
    with pytest.raises(
        explainer.SurfaceError, match=r'no recorded parameter gradients .* keep=\("parameter_gradients"'
    ):
        slice_of(bare, trace=bare.trace, direction="recorded gradient")


def test_a_saved_slice_is_the_same_when_opened(hill: Hill, tmp_path: Path) -> None:
    line = slice_of(hill, trace=hill.trace, step=2, metrics={"top": lambda outputs, _: outputs.max()})
    again = explainer.open_slice(line.save(tmp_path / "line"))
    assert repr(again) == repr(line)
    assert (again.loss, again.slope, again.step) == (line.loss, line.slope, 2)
    assert np.array_equal(again.losses, line.losses)
    assert np.array_equal(again.path, line.path)
    assert np.array_equal(again.metrics["top"], line.metrics["top"])
    assert np.array_equal(flat(again.weights_at(0.5)), flat(line.weights_at(0.5)))
