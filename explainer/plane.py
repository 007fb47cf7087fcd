"""The plane of a network's two inputs: a grid of them with what the network makes of each, and examples among it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from explainer.classifier import check_judged, class_numbers, probabilities_of, probe_layer
from explainer.errors import TraceError, is_one_of, unknown
from explainer.forward import forward
from explainer.regression import output_layer
from explainer.trace import Trace

Array = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

PROBE_LINES = """\
    grid = torch.cartesian_prod(torch.linspace(-2, 2, 41), torch.linspace(-2, 2, 41))
    probe = torch.cat([inputs, grid]), torch.cat([labels, torch.full((len(grid),), -100)])  # −100: without a class
    with explainer.record(model, path, criterion=criterion, optimizer=optimizer, probe=probe) as recorder:"""
LINES = 61  # of a grid that is worked out, along each axis
SLACK = 1e-3  # how far what is worked out may be off what was recorded, as a share of the largest


@dataclass(frozen=True)
class Plane:
    """A grid over two inputs at one recorded step, and the examples among it.

    Attributes:
        across: (column,) the grid's first input, ascending, and `up`: (row,) its second.
        points: (example, 2) the examples' inputs; `targets` (example,) their classes.
        classes: Their names.
        layer: The one whose output the probabilities are made of.
        recorded: Whether the grid was recorded, as a part of the probe; else it was worked out from the parameters.
        probed: Whether the examples are the probe's; else they are those kept of the step's batch.
        largest_difference: Where it was worked out, how far the examples' outputs are at most off the recorded.
    """

    across: Array
    up: Array
    points: Array
    targets: Whole
    classes: tuple[str, ...]
    layer: str
    recorded: bool
    probed: bool
    largest_difference: float
    _trace: Trace
    _of_grid: Callable[[str], Array]
    _of_points: Callable[[str], Array]

    def at(self, layer: str) -> Array:
        """Return what a layer gives for the grid, (row, column, unit)."""
        flat = np.asarray(self._of_grid(layer), np.float64)
        return flat.reshape(len(self.across), len(self.up), -1).swapaxes(0, 1)

    def of_points(self, layer: str) -> Array:
        """Return what a layer gives for the examples, (example, unit)."""
        return np.asarray(self._of_points(layer), np.float64).reshape(len(self.points), -1)

    @property
    def probabilities(self) -> Array:
        """(row, column, class) at the grid."""
        flat = self.at(self.layer).reshape(len(self.up) * len(self.across), -1)
        found, _ = probabilities_of(self._trace, self.layer, flat)
        return found.reshape(len(self.up), len(self.across), -1)

    @property
    def answers(self) -> Whole:
        """(example,) the class with the highest probability."""
        p, _ = probabilities_of(self._trace, self.layer, self.of_points(self.layer))
        return np.asarray(p.argmax(axis=-1), np.int64)

    @property
    def wrong(self) -> npt.NDArray[np.bool_]:
        """(example,) whether that class is another than the right one."""
        return np.asarray(self.answers != self.targets)


def read_plane(trace: Trace, index: int, name: str = "") -> Plane:
    """Read the grid and the examples of a recorded step.

    The grid is those of the probe's examples whose label is below 0, such as −100, which cross-entropy leaves out. A
    probe without any, or none at all, will do where the layers stand one after the other and are all known to
    `explainer.operations`: then a grid around the examples is worked out from the recorded parameters, and the
    examples' own outputs are checked against the recorded.

    Args:
        index: The step's place among the recorded.
        name: What messages call the trace; "the trace" when omitted.

    Raises:
        TraceError: The network has not two inputs, its targets are no classes, or there is no grid to be had.
    """
    called = f"the trace {name!r}" if name else "the trace"
    found = _of_probe(trace, index, called) or _of_batch(trace, index, called)
    inputs, raw, layer, outputs, probed = found
    if inputs.ndim != 2 or inputs.shape[1] != 2 or np.iscomplexobj(inputs):
        raise TraceError(
            f"each input of {called} is of shape {inputs.shape[1:]}, and a plane is that of two numbers: choose a "
            "trace of a network that has two inputs, such as explainer.lessons.record_lesson('moons')"
        )
    check_judged(trace, layer, called)
    targets, classes = _classes(trace, layer, raw, outputs, called)
    own = np.flatnonzero(targets >= 0)
    if not len(own):
        raise TraceError(f"no example of {called} has a class: its labels are all below 0")
    if not np.isfinite(outputs[own]).all():
        raise TraceError(
            f"at step {trace.steps[index]} not all outputs of {called} are finite numbers: choose an earlier step"
        )
    about = {
        "points": np.asarray(inputs[own], np.float64), "targets": targets[own], "layer": layer, "probed": probed,
        "classes": classes, "_trace": trace,
    }  # fmt: skip
    rest = np.flatnonzero(targets < 0)
    lattice = _lattice(inputs[rest]) if probed and len(rest) else None
    if lattice is not None:
        return _recorded(trace, index, about, own, rest[lattice[2]], lattice)
    return _worked_out(trace, index, about, outputs[own], called)


def _classes(
    trace: Trace, layer: str, raw: npt.NDArray[Any], outputs: npt.NDArray[Any], called: str
) -> tuple[Whole, tuple[str, ...]]:
    """Return each example's class, (example,), and the classes' names.

    Raises:
        TraceError: The targets are no classes, or the outputs no probabilities of them.
    """
    targets = class_numbers(raw, outputs.shape)
    if targets is None:
        raise TraceError(
            f"the targets of {called} are {raw.dtype} of shape {raw.shape}, not a class number for each example: "
            "choose a trace of a classifier"
        )
    p, _ = probabilities_of(trace, layer, outputs)
    if p.ndim != 2 or len(p) != len(targets) or p.shape[1] <= targets.max(initial=0):
        raise TraceError(
            f"the output of layer {layer!r} of {called} has the shape {outputs.shape}, and a probability for each "
            f"class needs (example, class) with more than {targets.max(initial=0)} classes"
        )
    return targets, tuple(map(str, trace.notes.get("classes") or range(p.shape[1])))


def two_unit_layer(trace: Trace, plane: Plane, layer: str | None = None) -> str:
    """Return a layer whose output is two numbers for each example: the last before the classes' scores.

    Args:
        layer: Which, instead.

    Raises:
        TraceError: There is none, or the one that was asked for is no such layer.
    """
    shapes = {name: each.output_shape for name, each in trace.model.layers.items() if name in trace.layers}
    if layer is not None:
        if not is_one_of(layer, shapes):
            raise TraceError(unknown("layer", layer, shapes))
        if len(shapes[layer] or ()) != 2 or (shapes[layer] or ())[1] != 2:
            raise TraceError(f"layer {layer!r} gives each example {(shapes[layer] or ())[1:]} numbers, not two")
        return layer
    before = trace.layers[: trace.layers.index(plane.layer)] if plane.layer in trace.layers else trace.layers
    output = trace.model.layers[plane.layer]
    if output.type in ("LogSoftmax", "Softmax"):  # what feeds it are the scores
        before = before[: trace.layers.index(output.fed_by[0])] if output.fed_by[:1] else before
    found = [name for name in before if len(shapes.get(name) or ()) == 2 and (shapes[name] or ())[1] == 2]
    if not found:
        raise TraceError(
            "no layer before the scores has two units, whose space could be drawn: let the last hidden layer have two, "
            "as nn.Linear(16, 2), nn.Linear(2, classes), or as in explainer.lessons.record_lesson('moons')"
        )
    return found[-1]


_Found = tuple[npt.NDArray[Any], npt.NDArray[Any], str, npt.NDArray[Any], bool]


def _of_probe(trace: Trace, index: int, called: str) -> _Found | None:
    """Return the probe's inputs, targets, output layer and outputs; None where it has no targets."""
    probe = trace.probe
    if probe is None or probe.inputs is None or probe.targets is None:
        return None
    layer = probe_layer(trace)
    return np.asarray(probe.inputs), np.asarray(probe.targets), layer, probe.activations[layer][index], True


def _of_batch(trace: Trace, index: int, called: str) -> _Found:
    """Return the same of the examples that were kept of a step's batch."""
    layer = output_layer(trace) if trace.layers else ""
    try:
        inputs, targets = np.asarray(trace.inputs[index]), np.asarray(trace.targets[index])
        return inputs, targets, layer, trace.activations[layer][index], False
    except (TraceError, IndexError) as error:
        raise TraceError(
            f"{called} holds neither a probe nor its inputs, targets and outputs, so no plane can be drawn: record "
            f"with a grid in the probe:\n{PROBE_LINES}"
        ) from error


def _lattice(inputs: npt.NDArray[Any]) -> tuple[Array, Array, Whole] | None:
    """Return both axes of a grid, (column,) and (row,), and the order in which it goes column by column.

    None where the inputs are no grid.
    """
    across, first = np.unique(inputs[:, 0], return_inverse=True)
    up, second = np.unique(inputs[:, 1], return_inverse=True)
    places = first.reshape(-1) * len(up) + second.reshape(-1)
    if min(len(across), len(up)) < 2 or not np.array_equal(np.sort(places), np.arange(len(across) * len(up))):
        return None
    return np.asarray(across, np.float64), np.asarray(up, np.float64), np.argsort(places)


def _recorded(
    trace: Trace, index: int, about: dict[str, Any], own: Whole, grid: Whole, lattice: tuple[Array, Array, Whole]
) -> Plane:
    def seen(layer: str) -> npt.NDArray[Any]:
        return np.asarray(trace.probe.activations[layer][index] if trace.probe else ())

    return Plane(
        lattice[0], lattice[1], **about, recorded=True, largest_difference=0.0,
        _of_grid=lambda layer: seen(layer)[grid], _of_points=lambda layer: seen(layer)[own],
    )  # fmt: skip


def _worked_out(trace: Trace, index: int, about: dict[str, Any], outputs: npt.NDArray[Any], called: str) -> Plane:
    """Work a grid around the examples out from the parameters, and check it at the examples.

    Raises:
        TraceError: It cannot be, or does not give what was recorded.
    """
    points = about["points"]
    low, high = points.min(axis=0), points.max(axis=0)
    room = 0.15 * np.where(high > low, high - low, 1.0)
    across, up = (np.linspace(low[each] - room[each], high[each] + room[each], LINES) for each in (0, 1))
    grid = np.stack(np.meshgrid(across, up, indexing="ij"), axis=-1).reshape(-1, 2)
    advice = f"record with a grid in the probe:\n{PROBE_LINES}"
    try:
        of_points, of_grid = forward(trace, index, points), forward(trace, index, grid)
    except TraceError as error:
        raise TraceError(
            f"{called} holds no grid of inputs, and none can be worked out, as {error}; {advice}"
        ) from error
    off = np.abs(of_points[about["layer"]] - outputs).max()
    if not off <= SLACK * max(1.0, float(np.abs(outputs).max())):
        raise TraceError(
            f"{called} holds no grid of inputs, and its parameters give the examples other outputs than were recorded "
            f"(by {off:.2g}): something that is no layer works on them; {advice}"
        )
    return Plane(
        across, up, **about, recorded=False, largest_difference=float(off), _of_grid=of_grid.__getitem__,
        _of_points=of_points.__getitem__,
    )  # fmt: skip
