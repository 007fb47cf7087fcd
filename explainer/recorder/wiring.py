"""Who feeds whom: read once, from the graph that autograd builds during the first recorded forward pass."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from explainer.architecture import INPUT, Criterion, Layer, Model, ParameterGroup


class Wiring:
    """Watches one forward pass. Holds on to its graph until it is dropped."""

    def __init__(self) -> None:
        self._of_node: dict[Any, str] = {}  # autograd node -> the layer whose output it made
        self._of_memory: dict[int, str] = {}  # the same for outputs that need no gradient, by their memory
        self._held: list[torch.Tensor] = []  # memory must not be given to another tensor meanwhile
        self.layers: dict[str, dict[str, Any]] = {}
        self.aliases: dict[str, str] = {}
        self.criterion_fed_by: tuple[str, ...] = ()

    def take_input(self, tensors: Iterable[torch.Tensor]) -> None:
        """Take the model's own inputs."""
        for tensor in tensors:
            self._label(tensor, INPUT)

    def take_call(self, layer: str, given: list[torch.Tensor], returned: list[torch.Tensor]) -> None:
        """Take one call of a layer: what it was given and what it returned."""
        output = returned[0]
        feeders: dict[str, None] = {}
        node = output.grad_fn
        if given and output is given[0] and self._label_of(output) is not None:
            self.aliases[layer] = self._label_of(output) or ""
            feeders[self.aliases[layer]] = None
        elif node is not None:
            feeders.update(self._upstream([follower for follower, _ in node.next_functions]))
        for tensor in given:
            label = None if tensor is output else self._of_memory.get(_memory(tensor))
            if label is not None and (label == INPUT or not feeders):
                feeders[label] = None
        self.layers[layer] = {
            "input_shape": tuple(given[0].shape) if given else None,
            "output_shape": tuple(output.shape),
            "dtype": str(output.dtype).removeprefix("torch."),
            "fed_by": tuple(feeders),
        }
        for tensor in returned:
            self._label(tensor, layer)

    def take_criterion(self, given: torch.Tensor) -> None:
        """Take what the loss was computed from."""
        label = self._of_memory.get(_memory(given))
        found = self._upstream([given.grad_fn]) or ({label: None} if label else {})
        self.criterion_fed_by = tuple(found)

    def release(self) -> None:
        """Let go of the graph; what was read from it stays."""
        self._of_node.clear()
        self._of_memory.clear()
        self._held.clear()

    def _label(self, tensor: torch.Tensor, layer: str) -> None:
        if tensor.grad_fn is not None:
            self._of_node[tensor.grad_fn] = layer
        self._of_memory[_memory(tensor)] = layer
        self._held.append(tensor)

    def _label_of(self, tensor: torch.Tensor) -> str | None:
        if tensor.grad_fn is not None:
            return self._of_node.get(tensor.grad_fn)
        return self._of_memory.get(_memory(tensor))

    def _upstream(self, nodes: list[Any]) -> dict[str, None]:
        """Walk against the arrows until every way has met a layer's output."""
        found: dict[str, None] = {}
        seen: set[Any] = set()
        while nodes:
            node = nodes.pop(0)
            if node is None or node in seen:
                continue
            seen.add(node)
            if node in self._of_node:
                found[self._of_node[node]] = None
            else:
                nodes += [follower for follower, _ in node.next_functions]
        return found


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def describe(
    model: nn.Module,
    layers: Mapping[str, nn.Module],
    wiring: Wiring | None,
    criterion: nn.Module | None,
    optimizer: torch.optim.Optimizer | None,
) -> Model:
    """Describe the model as it stands in `trace.json`."""
    called = wiring.layers if wiring else {}
    names = [*called, *(name for name in layers if name not in called)]
    fed_by = wiring.criterion_fed_by if wiring else ()
    qualified = {id(parameter): name for name, parameter in model.named_parameters()}
    return Model(
        type=type(model).__name__,
        layers={name: _describe_layer(name, layers, called.get(name, {}), qualified) for name in names},
        criterion=Criterion(type(criterion).__name__, _settings(criterion), fed_by) if criterion else None,
        optimizer=type(optimizer).__name__ if optimizer else None,
        parameter_count=sum(parameter.numel() for parameter in model.parameters()),
        parameter_groups=_describe_groups(optimizer, qualified) if optimizer else (),
    )


def _describe_layer(
    name: str, layers: Mapping[str, nn.Module], call: Mapping[str, Any], qualified: Mapping[int, str]
) -> Layer:
    first_call = name in layers
    module = layers[name if first_call else name.rpartition(":")[0]]
    own = {qualified[id(value)]: tuple(value.shape) for value in module.parameters()} if first_call else {}
    return Layer(type=type(module).__name__, parameters=own, settings=_settings(module), **call)


def _describe_groups(optimizer: torch.optim.Optimizer, qualified: Mapping[int, str]) -> tuple[ParameterGroup, ...]:
    """Describe what an optimizer does with which parameters of the model."""
    return tuple(
        ParameterGroup(
            tuple(qualified[id(each)] for each in group["params"] if id(each) in qualified),
            {key: _plain_setting(value) for key, value in group.items() if key not in ("params", "param_names")},
        )
        for group in optimizer.param_groups
    )


def _plain_setting(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.tolist()  # a learning rate may be a tensor
    if isinstance(value, (tuple, list)):
        return [_plain_setting(each) for each in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else repr(value)


def _settings(module: nn.Module) -> dict[str, Any]:
    """Return the plain public attributes of a module: `in_features`, `stride`, `reduction`, …"""
    plain = (bool, int, float, str, type(None))
    return {
        key: list(value) if isinstance(value, (tuple, list)) else value
        for key, value in vars(module).items()
        if not key.startswith("_")
        and key != "training"
        and (
            isinstance(value, plain) or (isinstance(value, (tuple, list)) and all(isinstance(v, plain) for v in value))
        )
    }
