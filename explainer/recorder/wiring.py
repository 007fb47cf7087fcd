"""Who feeds whom: read once, from the graph that autograd builds during the first recorded forward pass."""

from collections import deque
from collections.abc import Container, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from explainer.architecture import INPUT, Criterion, Layer, Model, ParameterGroup, apart
from explainer.recorder.optimizing import members
from explainer.recorder.wrappers import named_parameters


class Wiring:
    """Watches one forward pass. Holds on to its graph until it is dropped."""

    def __init__(self, layers: Container[str]) -> None:
        """Watch a pass through these layers, none of which is taken for the model's own input, whatever its name."""
        self._own_input = apart(INPUT, layers)
        self._of_node: dict[Any, str] = {}  # autograd node -> the layer whose output it made
        self._of_memory: dict[int, str] = {}  # the same for outputs that need no gradient, by their memory
        self._held: list[torch.Tensor] = []  # memory must not be given to another tensor meanwhile
        self._given: dict[int, tuple[int, Any]] = {}  # a call's arguments: identity -> version, autograd node
        self.layers: dict[str, dict[str, Any]] = {}
        self.aliases: dict[str, str] = {}
        self.read_within: dict[str, str] = {}  # an output -> another of the same layer that is computed from it
        self.criterion: dict[str, tuple[str, ...]] = {}

    def take_input(self, tensors: Iterable[torch.Tensor]) -> None:
        """Take the model's own inputs."""
        for tensor in tensors:
            self._label(tensor, self._own_input)

    def take_arguments(self, given: list[torch.Tensor]) -> None:
        """Take what a layer is given, before it may change that in place."""
        self._given = {id(each): (_version(each), each.grad_fn) for each in given}

    def take_call(self, given: list[torch.Tensor], returned: list[tuple[str, torch.Tensor]]) -> None:
        """Take one call of a layer: what it was given and what it returned, the layer's own name first."""
        layer, output = returned[0]
        feeders: dict[str, None] = {}
        node = output.grad_fn
        if self._given.get(id(output), (None, None))[0] == _version(output):  # what it was given, as it was
            own = self._label_of(output)
            self.aliases[layer] = own or (type(node).__name__ if node else self._own_input)
            feeders = {own: None} if own else self._upstream([node])[0]
        elif node is not None:
            feeders, _ = self._upstream([follower for follower, _ in node.next_functions])
        for tensor in given:
            label = None if tensor is output else self._of_memory.get(_memory(tensor))
            if label is not None and (label == self._own_input or not feeders):
                feeders[label] = None
        self.layers[layer] = {
            "input_shape": tuple(given[0].shape) if given else None,
            "output_shape": tuple(output.shape),
            "dtype": str(output.dtype).removeprefix("torch."),
            "fed_by": tuple(feeders),
            "unseen": self._upstream([before for _, before in self._given.values()])[1],
        }
        if len(returned) > 1:
            self._look_within(returned)
        self._given = {}
        for _, tensor in returned:
            self._label(tensor, layer)

    def _look_within(self, returned: list[tuple[str, torch.Tensor]]) -> None:
        """Find the outputs from which another output of the same call is computed."""
        made_before = {node for _, node in self._given.values() if node is not None} | self._of_node.keys()
        outputs: dict[Any, str] = {
            tensor.grad_fn: name for name, tensor in returned if tensor.grad_fn not in made_before
        }
        outputs.pop(None, None)
        for reader in list(outputs):
            waiting, seen = deque(follower for follower, _ in reader.next_functions), {reader}
            while waiting:
                node = waiting.popleft()
                if node is None or node in seen or node in made_before:
                    continue
                seen.add(node)
                if node in outputs:
                    self.read_within.setdefault(outputs[node], outputs[reader])
                waiting += [follower for follower, _ in node.next_functions]

    def take_criterion(self, given: torch.Tensor) -> None:
        """Take what the loss was computed from."""
        label = self._of_memory.get(_memory(given))
        found, unseen = self._upstream([given.grad_fn])
        self.criterion = {"fed_by": tuple(found or ({label: None} if label else {})), "unseen": unseen}

    def release(self) -> None:
        """Let go of the graph; what was read from it stays."""
        self._of_node.clear()
        self._of_memory.clear()
        self._held.clear()
        self._given.clear()

    def _label(self, tensor: torch.Tensor, layer: str) -> None:
        if tensor.grad_fn is not None:
            self._of_node[tensor.grad_fn] = layer
        if tensor._base is not None and tensor._base.grad_fn is not None:
            self._of_node.setdefault(tensor._base.grad_fn, layer)  # where a change in place goes on from
        if tensor.numel():
            self._of_memory[_memory(tensor)] = layer
        self._held.append(tensor)

    def _label_of(self, tensor: torch.Tensor) -> str | None:
        if tensor.grad_fn is not None:
            return self._of_node.get(tensor.grad_fn)
        return self._of_memory.get(_memory(tensor))

    def _upstream(self, nodes: list[Any]) -> tuple[dict[str, None], tuple[str, ...]]:
        """Walk against the arrows until every way has met a layer's output.

        Returns:
            The layers that were met, and the names of the autograd functions on the way, the first to run first.
        """
        found: dict[str, None] = {}
        between: dict[str, None] = {}
        seen: set[Any] = set()
        waiting = deque(nodes)
        while waiting:
            node = waiting.popleft()
            if node is None or node in seen:
                continue
            seen.add(node)
            if node in self._of_node:
                found[self._of_node[node]] = None
                continue
            if node.next_functions:  # a leaf's own node has none
                between[type(node).__name__] = None
            waiting += [follower for follower, _ in node.next_functions]
        return found, tuple(reversed(between))


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _version(tensor: torch.Tensor) -> int:
    """Count how often a tensor was changed in place; an inference tensor keeps no count."""
    return 0 if tensor.is_inference() else tensor._version


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
    judged = wiring.criterion if wiring else {}
    qualified = {id(parameter): name for name, parameter in named_parameters(model).items()}
    names_of_all = named_parameters(model, remove_duplicate=False).items()
    return Model(
        type=type(model).__name__,
        layers={name: _describe_layer(name, layers, called.get(name, {}), qualified) for name in names},
        criterion=Criterion(type(criterion).__name__, _settings(criterion), **judged) if criterion else None,
        optimizer=" + ".join(type(each).__name__ for each in members(optimizer)) if optimizer else None,
        parameter_count=sum(parameter.numel() for parameter in model.parameters()),
        tied={name: qualified[id(each)] for name, each in names_of_all if name != qualified[id(each)]},
        parameter_groups=_describe_groups(optimizer, qualified) if optimizer else (),
    )


def _describe_layer(
    name: str, layers: Mapping[str, nn.Module], call: Mapping[str, Any], qualified: Mapping[int, str]
) -> Layer:
    first_call = name in layers
    module = layers[name if first_call else name.rpartition(":")[0]]
    parameters = [each for each in module.parameters() if id(each) in qualified] if first_call else []
    own = {qualified[id(each)]: tuple(each.shape) for each in parameters}
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
