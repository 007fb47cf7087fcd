"""A recorded network as one example sees it, step by step: what a `NetworkDiagram` shows while a film runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from explainer.architecture import Model
from explainer.mobjects.network_diagram import Column, NetworkDiagram, evenly
from explainer.trace import Trace

Array = npt.NDArray[np.float64]


def between(recorded: Array, position: float) -> Array:
    """Return what lies between two recorded steps: position 3.25 is a quarter of the way from recorded[3] to [4]."""
    before = int(position)
    share = position - before
    return np.asarray(recorded[before] if share == 0 else (1 - share) * recorded[before] + share * recorded[before + 1])


@dataclass(frozen=True)
class Link:
    """One fully connected layer of a recorded chain, with what follows it up to the next one.

    Attributes:
        weight: The parameter's name, as in `trace.parameters`.
        layer: Whose activation the next column shows, as in `trace.activations`.
        type: That layer's class.
    """

    weight: str
    layer: str
    type: str


def dense_chain(model: Model) -> list[Link]:
    """Return a recorded model's fully connected layers, if it is nothing but a chain of them, else nothing.

    What has no weight matrix (ReLU, Flatten, LogSoftmax) is taken as the end of the layer before it.
    """
    links: list[Link] = []
    before = model.input_name
    for name, layer in model.layers.items():
        if layer.output_shape is None:
            continue
        matrices = [key for key, shape in layer.parameters.items() if len(shape) == 2]
        if layer.fed_by != (before,) or len(matrices) > 1 or any(len(s) > 2 for s in layer.parameters.values()):
            return []
        if matrices:
            links.append(Link(matrices[0], name, layer.type))
        elif links:
            links[-1] = Link(links[-1].weight, name, layer.type)
        if links and len(layer.output_shape) != 2:
            return []
        before = name
    return links


@dataclass(frozen=True)
class NetworkHistory:
    """A chain of fully connected layers and one probe example's activations in it.

    Attributes:
        names: Per column what stands under it.
        activations: Per column (S, unit).
        weights: Per gap between two columns (S, next drawn unit, drawn unit).
        drawn: Per column (drawn unit,) which of its units are drawn.
    """

    names: tuple[str, ...]
    activations: tuple[Array, ...]
    weights: tuple[Array, ...]
    drawn: tuple[npt.NDArray[np.int64], ...]

    def diagram(self, image: tuple[float, float] | None = None, **options: Any) -> NetworkDiagram:
        """Return the network at the first recorded step; scales of colour and width hold for all steps.

        Args:
            image: Between which numbers the inputs are pixels from black to white; else they are signed numbers.
            options: Of `NetworkDiagram`.
        """
        columns = [
            Column(each[0], name, largest=float(np.abs(each).max()), drawn=drawn, image=None if index else image)
            for index, (name, each, drawn) in enumerate(zip(self.names, self.activations, self.drawn, strict=True))
        ]
        largest = [float(np.abs(each).max()) for each in self.weights]
        return NetworkDiagram(columns, [each[0] for each in self.weights], largest=largest, **options)

    def show(self, diagram: NetworkDiagram, position: float) -> None:
        """Show the network at a recorded step, or between two."""
        diagram.set_values([between(each, position) for each in self.activations])
        diagram.set_weights([between(each, position) for each in self.weights])


def network_history(
    trace: Trace, example: int, outputs: Array, shown: npt.NDArray[np.int64], *, inputs: str, named: str
) -> NetworkHistory | None:
    """Read a chain of fully connected layers from a trace with a probe; None where the model is no such chain.

    Args:
        example: Which of the probe's examples.
        outputs: (S, output) what the last column shows, such as probabilities, and `named` what they are.
        shown: Which of the outputs are drawn.
        inputs: What the inputs are, such as "pixels".
    """
    chain, probe = dense_chain(trace.model), trace.probe
    kept = all(link.weight in trace.parameters for link in chain)
    if not chain or not kept or probe is None or any(link.layer not in probe.activations for link in chain[:-1]):
        return None
    entered = np.asarray(probe.inputs, float)[example].ravel()
    hidden = [np.asarray(probe.activations[link.layer][:, example], float) for link in chain[:-1]]
    activations = (np.broadcast_to(entered, (len(trace), len(entered))), *hidden, np.asarray(outputs, float))
    drawn = (*(evenly(each.shape[1]) for each in activations[:-1]), shown)
    weights = []
    for gap, link in enumerate(chain):
        chosen = np.ix_(drawn[gap + 1], drawn[gap])
        weights.append(np.stack([np.asarray(matrix, float)[chosen] for matrix in trace.parameters[link.weight]]))
    return NetworkHistory((inputs, *(link.type for link in chain[:-1]), named), activations, tuple(weights), drawn)
