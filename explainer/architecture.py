"""What a trace knows of the model: its layers, their shapes, and who feeds whom. Plain data, read without torch."""

from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

# What stands, where layers are named, for the model's own input, its loss, and what that compares an answer with; a
# layer may be called so too: readers ask a model for its `input_name`, `loss_name` and `target_name`
INPUT, LOSS, TARGET = "input", "loss", "target"


@dataclass(frozen=True)
class Layer:
    """One layer of a recorded model."""

    type: str  # the module's class, such as "Linear"
    input_shape: tuple[int, ...] | None = None  # (example, …) as first recorded; None where it was never called
    output_shape: tuple[int, ...] | None = None
    # Of the output, as torch had it: a trace holds "bfloat16" as float32, and "complex64" as float32 whose last axis is
    # (real, imaginary); statistics are over those numbers, so that the norm is the complex one.
    dtype: str | None = None
    parameters: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # qualified name -> shape
    settings: Mapping[str, Any] = field(default_factory=dict)  # such as {"stride": [2, 2]}
    # The layers whose outputs it reads, through functions that no module sees too; `Model.input_name` stands for what
    # the model itself was given.
    fed_by: tuple[str, ...] = ()
    # Autograd's names of what stands between those layers and this one, such as "AddBackward0", the first to run first:
    # functions that no module sees, and layers that were not chosen.
    unseen: tuple[str, ...] = ()

    @property
    def parameter_count(self) -> int:
        """The number of trainable and frozen numbers in the layer."""
        total = 0
        for shape in self.parameters.values():
            count = 1
            for size in shape:
                count *= size
            total += count
        return total


@dataclass(frozen=True)
class Criterion:
    """The loss module of a recorded run."""

    type: str
    settings: Mapping[str, Any] = field(default_factory=dict)  # such as {"reduction": "mean"}
    fed_by: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()  # as of a layer: what stands between those and the loss


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that an optimizer moves by the same settings."""

    parameters: tuple[str, ...]  # qualified names
    settings: Mapping[str, Any] = field(default_factory=dict)  # as the recording began, such as {"momentum": 0.9}


@dataclass(frozen=True)
class Model:
    """The model that was recorded."""

    type: str = ""
    layers: Mapping[str, Layer] = field(default_factory=dict)  # in forward order, then those never called
    criterion: Criterion | None = None
    optimizer: str | None = None  # its class
    parameter_count: int = 0
    tied: Mapping[str, str] = field(default_factory=dict)  # another name of a parameter -> the one it is recorded under
    parameter_groups: tuple[ParameterGroup, ...] = ()  # the optimizer's; none in older traces

    @property
    def input_name(self) -> str:
        """What `fed_by` calls the model's own input: "input", or ".input" where a layer is called "input"."""
        return apart(INPUT, self._taken)

    @property
    def loss_name(self) -> str:
        """What the loss is called among layers: "loss", or ".loss" where a layer is called "loss"."""
        return apart(LOSS, self._taken)

    @property
    def target_name(self) -> str:
        """What the target is called among layers: "target", or ".target" where a layer is called "target"."""
        return apart(TARGET, self._taken)

    @cached_property
    def _taken(self) -> frozenset[str]:
        return frozenset(self.layers).union(*(layer.parameters for layer in self.layers.values()))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {layer: place for place, layer in enumerate(self.layers)}

    def source(self, name: str, reader: str) -> str:
        """Return who is meant by a recorded source of a layer: a layer, or the model's own input.

        Older traces wrote "input" for both. In forward order a layer feeds neither itself nor one before it: of these
        the source is the model's own input. Of those after it the layer is taken to be meant; that the model's own
        input may have gone past it, such a trace cannot tell.
        """
        if name != INPUT or self.input_name == INPUT:
            return name
        places = self._places
        is_layer = INPUT in places and places.get(reader, len(places)) > places[INPUT]
        return name if is_layer else self.input_name

    def to_json(self) -> dict[str, Any]:
        """Return the model as JSON's types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Model":
        """Read what `to_json` returned."""
        criterion = data.get("criterion")
        model = cls(
            type=str(data["type"]),
            layers={str(name): _layer(layer) for name, layer in data["layers"].items()},
            criterion=criterion and Criterion(**{**criterion, **_sources(criterion)}),
            optimizer=data.get("optimizer"),
            parameter_count=int(data["parameter_count"]),
            tied=dict(data.get("tied") or {}),
            parameter_groups=tuple(
                ParameterGroup(tuple(group["parameters"]), group["settings"])
                for group in data.get("parameter_groups") or ()
            ),
        )
        return model if model.input_name == INPUT else model._with_sources_apart()

    def _with_sources_apart(self) -> "Model":
        def read(described: Any, name: str) -> Any:
            return replace(described, fed_by=tuple(self.source(each, name) for each in described.fed_by))

        layers = {name: read(layer, name) for name, layer in self.layers.items()}
        return replace(self, layers=layers, criterion=self.criterion and read(self.criterion, self.loss_name))


def apart(name: str, taken: Container[str]) -> str:
    """Return a name for what is no layer; where one has it, a name with a dot before it, which no module can have."""
    return f".{name}" if name in taken else name


def _layer(data: Mapping[str, Any]) -> Layer:
    shapes = {key: each and tuple(each) for key in ("input_shape", "output_shape") for each in [data.get(key)]}
    parameters = {name: tuple(shape) for name, shape in data["parameters"].items()}
    return Layer(**{**data, **shapes, "parameters": parameters, **_sources(data)})


def _sources(data: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(data.get(key) or ()) for key in ("fed_by", "unseen")}
