"""The same examples, run through the model at every recorded step without a trace of it in the training."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from explainer.errors import RecordingError
from explainer.recorder.guard import unheard
from explainer.recorder.tensors import named_tensors


class Probe:
    """Runs fixed examples in evaluation mode.

    Args:
        examples: `(inputs, targets)`: inputs a tensor or a tuple of the model's arguments; targets may be None.

    Raises:
        RecordingError: `examples` is no such pair.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, nn.Module],
        criterion: nn.Module | None,
        examples: object,
    ) -> None:
        if not isinstance(examples, tuple) or len(examples) != 2 or not named_tensors("", examples[0]):
            raise RecordingError("probe: it is a pair (inputs, targets) of tensors; targets may be None")
        inputs, self.targets = examples
        self._arguments = inputs if isinstance(inputs, tuple) else (inputs,)
        self.inputs: torch.Tensor = named_tensors("", inputs)[0][1]
        self._model, self.layers, self._criterion = model, layers, criterion

    def run(self) -> tuple[dict[str, torch.Tensor], float | None]:
        """Run the examples.

        Returns:
            Each layer's activation (example, …), and the loss where there are a criterion and targets.
        """
        seen: dict[str, torch.Tensor] = {}
        calls: dict[str, int] = {}

        def listen(layer: str) -> Any:
            def hook(module: nn.Module, args: Any, output: Any) -> None:
                call = calls[layer] = calls.get(layer, -1) + 1
                for name, tensor in named_tensors(f"{layer}:{call}" if call else layer, output):
                    seen[name] = tensor.detach().clone()

            return hook

        handles = [module.register_forward_hook(listen(name)) for name, module in self.layers.items()]
        try:
            with unheard(), _untouched(self._model):
                output = self._model(*self._arguments)
                loss = None
                if self._criterion is not None and self.targets is not None:
                    loss = float(self._criterion(output, self.targets).mean())
        finally:
            for handle in handles:
                handle.remove()
        return seen, loss


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, no gradients, no autocast; afterwards modes, buffers and random numbers are as they were.

    Whatever else a model keeps, such as a counter of its own, sees the probe as it sees a validation pass.
    """
    chance, numpys_chance = random.getstate(), np.random.get_state()  # noqa: NPY002  (the user's own)
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    device = next((tensor.device.type for tensor in model.parameters()), "cpu")
    with torch.random.fork_rng(devices), torch.no_grad(), torch.autocast(device, enabled=False):
        try:
            for module, _ in modes:
                module.training = False  # not .eval(): a model may have its own idea of what that does
            yield
        finally:
            random.setstate(chance)
            np.random.set_state(numpys_chance)  # noqa: NPY002
            for module, mode in modes:
                module.training = mode
            for buffer, before in buffers:
                if not torch.equal(buffer, before):
                    buffer.copy_(before)
