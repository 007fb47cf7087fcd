"""The chain rule's figure shows the recorded numbers of one step, and what they multiply to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.text import Text
from torch import nn

import explainer
from explainer import factors, lessons, plots
from explainer.errors import TraceError
from explainer.plots.mathematics import fraction, mathtext
from explainer.plots.sheet import numbers, short
from explainer.trace import Trace


@pytest.fixture(scope="module")
def two_layer() -> Trace:
    return lessons.record_lesson("two-layer")


def record(layers: list[nn.Module], inputs: torch.Tensor, targets: torch.Tensor, **options: Any) -> Trace:
    torch.manual_seed(0)
    model, criterion = nn.Sequential(*layers), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, **options) as recorder:
        criterion(model(inputs), targets).backward()
        optimizer.step()
    return recorder.trace


@pytest.fixture(scope="module")
def deep() -> Trace:
    layers: list[nn.Module] = [each for _ in range(100) for each in (nn.Linear(8, 8), nn.Tanh())]
    return record(layers, torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), torch.arange(4))


def words(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.findobj(Text) if text.get_text()]


@pytest.mark.parametrize("step", [0, 13])
def test_every_number_of_the_small_network_is_written(two_layer: Trace, step: int) -> None:
    found = factors.of_example(two_layer, step)
    shown = [*found.values.values(), *(a for link in found.links for a in (link.local, link.outgoing))]
    expected = [text for each in shown for row in numbers(each).texts for text in row]
    written = words(plots.chain_rule(two_layer, step=step))
    for text in expected:
        assert written.count(text) >= expected.count(text), text
    recorded = two_layer.gradients["L1"][two_layer.index_of(step)][0]
    assert {numbers(recorded).texts[row][0] for row in range(4)} <= set(written)


def test_the_step_with_the_largest_loss_is_drawn_when_none_is_named(two_layer: Trace) -> None:
    losses = two_layer.scalars["loss"]
    axes = plots.chain_rule(two_layer)
    assert f"step {two_layer.steps[int(losses.argmax())]}  ·" in "\n".join(words(axes))
    assert f"{losses.max():.3f}" in words(axes)


def test_nodes_and_factors_stand_from_the_input_to_the_loss(two_layer: Trace) -> None:
    axes = plots.chain_rule(two_layer)
    at = {text.get_text(): text.get_position()[0] for text in axes.texts}
    nodes = ["$x$", "${L_{1}}$", "$S$", "${L_{2}}$", r"$\ell$"]
    assert [at[node] for node in nodes] == sorted(at[node] for node in nodes)
    for node, below in zip(nodes, ("W_1", "L_1", "S", "L_2"), strict=False):
        assert at[node] == at[fraction(below)]
    own = [at[formula] for formula in ("$x^T$", "$S (1 − S)$", "${W_{2}}^T$", "$2 ({L_{2}} − y)$")]
    assert all(at[left] < x < at[right] for left, x, right in zip(nodes, own, nodes[1:], strict=False))


def test_below_each_parameter_stands_the_norm_of_its_gradient(two_layer: Trace) -> None:
    axes = plots.chain_rule(two_layer, step=13)
    index = two_layer.index_of(13)
    at = {text.get_text(): text.get_position()[0] for text in axes.texts}
    for symbol, name in (("{W_{1}}", "L1.weight"), ("{b_{1}}", "L1.bias"), ("{W_{2}}", "L2.weight")):
        norm = float(np.linalg.norm(two_layer.parameter_gradients[name][index]))
        assert at[short(norm)] == pytest.approx(at[f"${symbol}$"])


def test_nothing_that_is_written_is_cut_off_or_lies_upon_another(two_layer: Trace) -> None:
    for style in ("slide", "paper"):
        axes = plots.chain_rule(two_layer, style=style)
        axes.figure.draw_without_rendering()  # type: ignore[union-attr]
        boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
        page = axes.figure.bbox
        assert all(page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 for box in boxes)
        for place, box in enumerate(boxes):
            assert [
                other for other in boxes[place + 1 :] if box.shrunk(0.8, 0.6).overlaps(other.shrunk(0.8, 0.6))
            ] == []


def test_cells_are_coloured_by_the_sign_that_is_written_in_them(two_layer: Trace) -> None:
    axes = plots.chain_rule(two_layer, step=13)
    gradient = factors.of_example(two_layer, 13).links[-1].outgoing.ravel()
    (drawn,) = (c for c in axes.collections if isinstance(c, PatchCollection) and len(c.get_facecolor()) == 8)
    reds, blues = (np.asarray(drawn.get_facecolor())[:, channel] for channel in (0, 2))
    assert ((blues > reds) == (gradient > 0)).all()


def test_of_large_matrices_shapes_and_norms_are_given_and_factors_of_the_norm() -> None:
    layers: list[nn.Module] = [nn.Linear(20, 12), nn.ReLU(), nn.Linear(12, 10), nn.LogSoftmax(dim=1), nn.Sigmoid()]
    trace = record(layers, torch.randn(9, 20, generator=torch.Generator().manual_seed(0)), torch.arange(9))
    found = factors.of_example(trace, 0, example=3)
    axes = plots.chain_rule(trace, step=0, example=3)
    written = words(axes)
    assert "12×20" in written
    assert [f"×{plots.style.number(link.kept, 2)}" in written for link in found.links] == [True] * 6
    assert "autograd agrees to" in "\n".join(written)
    assert not axes.findobj(PatchCollection)


def test_of_two_hundred_layers_those_left_out_are_counted(deep: Trace) -> None:
    axes = plots.chain_rule(deep)
    assert "⋯ 194 layers are left out" in "\n".join(words(axes))
    assert "${L_{100}}$" in words(axes)
    kept = np.prod([link.kept for link in factors.of_example(deep).links[5:-1]])
    assert f"×{plots.style.number(float(kept), 2)}" in words(axes)


def test_it_is_told_in_words(two_layer: Trace) -> None:
    told = plots.describe(plots.chain_rule(two_layer, step=13))
    assert "nodes x, L₁, S, L₂, ℓ from left to right; the loss is 4.408" in told
    assert "to L₂ 4.20, to S 1.53, to L₁ 0.371, to W₁" in told


def test_a_layer_that_is_not_worked_out_by_hand_is_named() -> None:
    trace = record([nn.Conv1d(1, 2, 3), nn.Flatten()], torch.ones(2, 1, 5), torch.tensor([0, 1]))
    with pytest.raises(TraceError, match="layer '0' is a Conv1d, whose derivative is not worked out by hand here"):
        plots.chain_rule(trace)


def test_what_was_not_kept_is_said() -> None:
    trace = record([nn.Linear(3, 2)], torch.ones(2, 3), torch.tensor([0, 1]), keep=())
    with pytest.raises(TraceError, match="keep"):
        plots.chain_rule(trace)


def test_numbers_that_are_not_finite_are_written_as_such() -> None:
    inputs = torch.tensor([[1.0, torch.nan, 2.0], [1.0, 1.0, 1.0]])
    trace = record([nn.Linear(3, 2)], inputs, torch.tensor([0, 1]), examples=None)
    assert "NaN" in words(plots.chain_rule(trace))


@pytest.mark.parametrize(
    ("typst", "set_as"),
    [
        ("ell", r"\ell"),
        ("W_12", "{W_{12}}"),
        ('"diag"(P) - P P^T', r"\mathrm{diag}(P) − P P^T"),
        ("I - bold(1) (e^Q_1)^T", r"I − \mathbf{1} (e^{Q_{1}})^T"),
    ],
)
def test_formulas_are_set_in_matplotlibs_letters(typst: str, set_as: str) -> None:
    assert mathtext(typst) == set_as
