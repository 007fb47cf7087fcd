"""The graph of a computation, against what was recorded."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("manim")

from explainer.lessons import record_lesson
from explainer.mobjects.computation_graph import ComputationGraph
from explainer.mobjects.layout import layout
from explainer.trace import Trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    return record_lesson("two-layer")


@pytest.fixture
def graph(trace: Trace) -> ComputationGraph:
    return ComputationGraph(trace.model, trace.layers, layout().stage)


def test_nodes_are_the_lectures_ten(graph: ComputationGraph) -> None:
    assert graph.spine == ("input", "L1", "S", "L2", "loss")
    above = {"L1.weight", "L1.bias", "L2.weight", "L2.bias", "target"}
    assert graph.nodes.keys() == {*graph.spine, *above}


def test_edges_are_who_feeds_whom_as_recorded(trace: Trace, graph: ComputationGraph) -> None:
    recorded = {
        (feeder, name) for name, layer in trace.model.layers.items() for feeder in (*layer.fed_by, *layer.parameters)
    }
    assert trace.model.criterion is not None
    recorded |= {(feeder, "loss") for feeder in (*trace.model.criterion.fed_by, "target")}
    assert graph.edges.keys() == recorded
    assert sorted(graph.feeders("L2")) == ["L2.bias", "L2.weight", "S"]


def test_the_spine_runs_from_left_to_right_and_parameters_stand_above(graph: ComputationGraph) -> None:
    across = [graph.nodes[name].get_x() for name in graph.spine]
    assert across == sorted(across)
    assert np.ptp([graph.nodes[name].get_y() for name in graph.spine]) < 1e-9
    for name in ("L1.weight", "L1.bias", "L2.weight", "L2.bias", "target"):
        assert graph.nodes[name].get_y() > graph.nodes["L1"].get_top()[1]


def test_an_edge_ends_at_the_rings(graph: ComputationGraph) -> None:
    for (feeder, fed), edge in graph.edges.items():
        for end, name in ((edge.get_start(), feeder), (edge.get_end(), fed)):
            node = graph.nodes[name]
            assert np.linalg.norm(end - node.ring.get_center()) == pytest.approx(node.radius, abs=1e-6)


def test_a_gradients_arrow_runs_against_its_edge(graph: ComputationGraph) -> None:
    for feeder, fed in graph.edges:
        arrow = graph.arrow_back(fed, feeder)
        towards = graph.nodes[feeder].get_center() - graph.nodes[fed].get_center()
        assert np.dot(arrow.get_end() - arrow.get_start(), towards) > 0


def test_a_gradient_at_an_edge_is_its_number_or_its_norm(trace: Trace, graph: ComputationGraph) -> None:
    last = graph.gradient_at_edge("loss", "L2", trace.gradients["L2"][13].T)
    assert last[1].words == "4.199"
    hidden = graph.gradient_at_edge("L2", "S", trace.gradients["S"][13].T)
    assert hidden[1].words == f"‖·‖ {np.linalg.norm(trace.gradients['S'][13]):.3f}"


def test_a_parameters_gradient_is_the_recorded_one_on_its_own_side(trace: Trace, graph: ComputationGraph) -> None:
    for name in trace.parameters:
        recorded = trace.parameter_gradients[name][13]
        shown = graph.gradient_at_parameter(name, recorded)
        grid = next(part for part in shown if hasattr(part, "cells"))
        np.testing.assert_array_equal(grid.values.reshape(recorded.shape), recorded)
        side = 1 if name.endswith("bias") else -1
        assert side * (shown.get_x() - graph.nodes[name].get_x()) > 0


def test_nothing_that_stands_in_the_graph_overlaps(graph: ComputationGraph) -> None:
    for first, second in itertools.combinations(graph.nodes.values(), 2):
        apart = np.linalg.norm(first.ring.get_center() - second.ring.get_center())
        assert apart > first.radius + second.radius


def test_units_under_a_node_are_its_activations(trace: Trace, graph: ComputationGraph) -> None:
    values = trace.activations["S"][13].T
    units = graph.units("S", values)
    np.testing.assert_array_equal(units.values, values[:, 0])
    assert units.get_x() == pytest.approx(graph.nodes["S"].get_x())
    assert units.get_top()[1] < graph.nodes["S"].get_bottom()[1]


def test_what_is_computed_stands_under_its_node_or_not_at_all(trace: Trace) -> None:
    found = layout()
    graph = ComputationGraph(trace.model, trace.layers, found.stage)
    formulas = graph.computations(found.formula)
    assert list(formulas) == ["L1", "S", "L2", "loss"]
    for name, formula in formulas.items():
        assert formula.get_x() == pytest.approx(graph.nodes[name].get_x(), abs=0.3)
        assert found.formula.contains(formula, slack=0.01)
